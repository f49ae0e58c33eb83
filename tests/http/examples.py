#!/usr/bin/env python3
"""The examples of openapi.yaml: what is asked, and how the answers get into the contract.

usage: examples.py SERVER [--write]

Asks a fresh server everything in the table below, in this order. With --write the examples in
openapi.yaml become what it answered (build again afterwards: the contract is embedded); without, the
differences are printed. cases_contract.py does the same in the tests.
"""
import dataclasses
import json
import math
import pathlib
import sys

import yaml

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
CONTRACT = ROOT / "openapi.yaml"
MARK = "  # Below this line tests/http/examples.py --write writes.\n"
RELATIVE_TOLERANCE = 1e-6  # compilers and libm versions differ in the last digits


@dataclasses.dataclass
class Example:
    """One call. Without a body of its own it repeats the one of `again`."""
    name: str
    summary: str
    method: str
    path: str
    body: object = None
    again: str = None
    status: int = 200
    scope: str = None
    headers: dict = dataclasses.field(default_factory=dict)
    cut: dict = dataclasses.field(default_factory=dict)  # list -> entries shown; object -> its cut
    is_bad: bool = False  # the request breaks its schema: shown in words only
    follows: str = None  # asked at the Location (or id) that this one was answered with
    volatile: dict = dataclasses.field(default_factory=dict)  # members that differ each time -> shown


MATH = {"queries": 15000, "lengths": {"name": "xia2024-math"}, "cutoff_tokens": 1024}
QLORA = {"kind": "qlora", "rank": 16, "targets": ["experts", "router"]}
MIXTRAL = {"model": "mixtral-8x7b", "gpu": "A40", "method": QLORA, "dataset": MATH, "epochs": 10,
           "providers": ["cudo-2024"]}
SMALL = {"model": "llama-3.1-8b", "gpu": "H100-SXM-80GB", "usd_per_gpu_hour": 2.5, "dataset": {
    "queries": 10000, "lengths": {"quantiles": {"p50": 174, "p90": 271, "max": 1470}}}}
MISTRAL = {"architectures": ["MistralForCausalLM"], "model_type": "mistral", "hidden_size": 4096,
           "num_hidden_layers": 32, "num_attention_heads": 32, "num_key_value_heads": 8,
           "intermediate_size": 14336, "vocab_size": 32000, "max_position_embeddings": 32768,
           "sliding_window": 4096, "rope_theta": 10000.0, "torch_dtype": "bfloat16",
           "transformers_version": "4.34.0"}
GPU = {"vendor": "NVIDIA", "memory_bytes": 25757220864, "memory_bandwidth_bytes_per_s": 1.008e12,
       "fp16_flop_per_s": 1.652e14, "source": "vendor data sheet"}
POINT = {"model": "llama-3.1-8b", "gpu": "H100-SXM-80GB", "method": "lora", "stack": "torchtune",
         "batch_size": 4, "sequence_tokens": 512, "queries_per_s": 14.2,
         "peak_memory_bytes": 3.1e10, "measured_at": "2026-07-20T10:00:00Z", "source": "my-lab",
         "device": {"name": "NVIDIA H100 80GB HBM3", "driver": "570.86"}}
FIGURES = {"model": "mixtral-8x7b", "gpu": "A40", "method": QLORA, "usd_per_gpu_hour": 1.5,
           "dataset": {**MATH, "lengths": {"name": "xia2024-cs"}}}
A40_FIT = "xia2024-mixtral-8x7b-qlora-a40-hf-2024-xia2024-math-0e52c0e7"

NOON = "2026-09-01T12:00:00Z"
JOB = {"id": "5f0c2b7a9d3e4c18a6b1f2e3d4c5b6a7", "created_at": NOON, "started_at": NOON}
SAVED = {"id": JOB["id"], "saved_at": NOON, "expires_at": "2027-09-01T12:00:00Z",
         "recorded_at": "2026-09-03T08:00:00Z"}
EXCLUDED = {"excluded_at": NOON}
CANCELLED = {**JOB, "progress": 0.25, "finished_at": NOON}
DENSE_RUNS = [{"parameters": parameters, "tokens": tokens, "loss": loss}
              for parameters, tokens, loss in (
                  (7.4e7, 1.5e9, 3.745), (1.4e8, 3e9, 3.362), (2.8e8, 5e9, 3.094),
                  (5.6e8, 4e9, 3.012), (5.6e8, 2e10, 2.693), (1.1e9, 9e9, 2.726),
                  (1.1e9, 8e10, 2.385), (2.6e9, 3e10, 2.405), (6.8e9, 2e11, 2.113))]
MIXTURE_RUNS = [{"parameters": parameters, "tokens": tokens, "experts": experts,
                 "loss": round(1.9 + 850 / parameters ** 0.38 / experts ** 0.06 + 4100 / tokens ** 0.42
                               + 0.003 * (i % 3), 4)}
                for i, (parameters, tokens, experts) in enumerate(
                    (parameters, tokens, experts) for parameters in (1e8, 7.3e8)
                    for tokens in (2.5e9, 2e10) for experts in (1, 2, 4, 8, 16, 32))]

RATES = {"price_date": "2026-09-15", "source": "contract", "prices": [
    {"gpu": "H100-SXM-80GB", "gpu_count": 8, "usd_per_gpu_hour": 1.9, "region": "eu",
     "instance_type": "h100x8"},
    {"gpu": "A40", "usd_per_gpu_hour": 0.32, "spot_usd_per_gpu_hour": 0.18}]}
SKYPILOT = """InstanceType,AcceleratorName,AcceleratorCount,vCPUs,MemoryGiB,GpuInfo,Price,SpotPrice,Region,AvailabilityZone
p4d.24xlarge,A100,8.0,96.0,1152.0,"{'Gpus': [{'Name': 'A100', 'Count': 8.0}]}",21.9576,10.2,us-east-1,us-east-1a
p4d.24xlarge,A100,8.0,96.0,1152.0,"{'Gpus': [{'Name': 'A100', 'Count': 8.0}]}",21.9576,9.8,us-east-1,us-east-1b
dl1.24xlarge,Gaudi HL-205,8.0,96.0,768.0,,13.10904,,us-east-1,us-east-1a
m5.large,,,2.0,8.0,,0.096,0.04,us-east-1,us-east-1a
"""
FIRST_LIST = {"version": 1, "prices": 2, "price_date": "2026-09-15", "layout": "json",
              "content_sha256": "0" * 64, "posted_by": "test", "stored_at": NOON, "ended_at": None}
SECOND_LIST = {**FIRST_LIST, "version": 2, "price_date": "2026-09-16"}
SKYPILOT_LIST = {**FIRST_LIST, "prices": 1, "layout": "skypilot"}

EXAMPLES = [
    Example("estimate_calibrated", "Measured on this model, method, GPU and stack",
            "POST", "/v1/estimates", MIXTRAL),
    Example("estimate_measured", "The measured point itself: Table IV of Xia et al. 2024",
            "POST", "/v1/estimates", {**MIXTRAL, "gpu": "A100-80GB-PCIe", "batch_size": 17,
                                      "estimator": "measured"}),
    Example("estimate_xia2024", "The paper's logarithmic form",
            "POST", "/v1/estimates", {**MIXTRAL, "estimator": "xia2024", "confidence": 0.5}),
    Example("estimate_defaults", "Nothing but what is required, and a price; nothing measured",
            "POST", "/v1/estimates", SMALL),
    Example("estimate_layout", "Two nodes, sharded optimizer states, tensors over pairs: named beyond the stack",
            "POST", "/v1/estimates", {**SMALL, "method": "lora", "gpu_count": 16, "internode_gb_s": 25,
                                      "layout": {"tensor": 2, "zero_stage": 1},
                                      "optimizations": ["compile", "chunked-loss"]}),
    Example("estimate_bad_layout", "Groups that do not make up the devices",
            "POST", "/v1/estimates", {**SMALL, "gpu_count": 8,
                                      "layout": {"data": 3, "tensor": 2}}, status=400),
    Example("estimate_jobs", "Two jobs, one of them bad",
            "POST", "/v1/estimates", {"jobs": [MIXTRAL, {**SMALL, "gpu": "H100-SXM-81GB"}]}),
    Example("estimate_bad_fields", "Three bad fields",
            "POST", "/v1/estimates", {"model": "mixtral-8x7b", "bach_size": 4, "epochs": 0,
                                      "dataset": MATH}, status=400, is_bad=True),
    Example("estimate_does_not_fit", "Full fine-tuning of 70 billion parameters on one device",
            "POST", "/v1/estimates", {"model": "llama-3.1-70b", "gpu": "A40", "method": "full",
                                      "dataset": MATH}, status=422),
    Example("estimate_unpriced", "The named provider does not offer the GPU",
            "POST", "/v1/estimates", {**MIXTRAL, "gpu": "H100-SXM-80GB"}, status=422),
    Example("comparison_paper", "Table IV of Xia et al. 2024: the largest measured batches, then prices",
            "POST", "/v1/comparisons", {
                **{key: MIXTRAL[key] for key in ("model", "method", "dataset", "epochs", "providers")},
                "gpus": ["A40", "A100-80GB-PCIe", "H100-PCIe-80GB"], "gpu_counts": [1],
                "estimator": "measured"}),
    Example("comparison_budget", "Two GPUs under a budget and a deadline, spot prices too",
            "POST", "/v1/comparisons", {
                "model": "llama-3.1-70b", "method": "lora", "gpus": ["A10", "L40S", "H100-SXM-80GB"],
                "gpu_counts": [4, 8], "dataset": SMALL["dataset"], "spot": "both", "limit": 2,
                "budget_usd": 20, "deadline_s": 7200}, cut={"front": 2, "infeasible": 3}),
    Example("comparison_unmet", "A budget that nothing keeps",
            "POST", "/v1/comparisons", {
                "model": "llama-3.1-8b", "gpus": ["A40", "H100-SXM-80GB"], "gpu_count": 1,
                "dataset": SMALL["dataset"], "budget_usd": 0.01}),
    Example("comparison_tune_or_buy", "Tuning and serving oneself beside buying tokens",
            "POST", "/v1/comparisons", {
                "model": "llama-3.1-8b", "gpus": ["H100-SXM-80GB"], "gpu_count": 1, "limit": 1,
                "dataset": SMALL["dataset"], "serving": {"gpu": "A40"}, "utilisation": 0.5,
                "api": {"usd_per_million_input_tokens": 0.5, "usd_per_million_output_tokens": 1.5},
                "traffic": {"prompt_tokens": 161, "output_tokens": 338},
                "requests_per_month": 1e6}, cut={"front": 1}),
    Example("comparison_bad_fields", "An unknown GPU, no count, a spot price perhaps",
            "POST", "/v1/comparisons", {"model": "llama-3.1-8b", "gpus": ["H100-SXM-81GB"],
                                        "gpu_counts": [0], "spot": "maybe", "budget_usd": -1,
                                        "dataset": SMALL["dataset"]}, status=400, is_bad=True),
    Example("comparison_unpriced", "The named provider offers none of the GPUs",
            "POST", "/v1/comparisons", {"model": "llama-3.1-8b", "gpus": ["H100-SXM-80GB"],
                                        "providers": ["cudo-2024"], "dataset": SMALL["dataset"]},
            status=422),
    Example("estimate_saved", "Kept under an id", "POST", "/v1/estimates",
            {**MIXTRAL, "save": True}, scope="calibrations:write", volatile=SAVED),
    Example("outcome", "Twelve per cent longer than estimated", "PUT",
            "/v1/estimates/{id}/outcome",
            {"hours": 38.5, "cost_usd": 30.4, "note": "one restart"}, status=201,
            follows="estimate_saved", scope="calibrations:write", volatile=SAVED),
    Example("outcome_again", "It was told before", "PUT", "/v1/estimates/{id}/outcome",
            again="outcome", status=409, follows="estimate_saved", scope="calibrations:write",
            volatile={"detail": "the outcome was recorded at 2026-09-03T08:00:00Z, and is so once"}),
    Example("saved_estimate", "What was asked, answered, and happened", "GET",
            "/v1/estimates/{id}", follows="estimate_saved", volatile=SAVED),
    Example("estimates_page", "The estimates of one's own token", "GET", "/v1/estimates?limit=1",
            scope="calibrations:write", volatile=SAVED),
    Example("sweep_capacity", "Largest batch against memory: Fig. 13 of Xia et al. 2024",
            "POST", "/v1/sweeps", {
                "job": {**FIGURES, "active_experts": 2},
                "axes": [{"name": "gpu_memory_bytes",
                          "values": [gib * 1024 ** 3 for gib in (40, 48, 80, 100, 120)]}]}),
    Example("sweep_batch", "Throughput against batch, sparse and dense: a panel of their Fig. 14",
            "POST", "/v1/sweeps", {
                "job": FIGURES,
                "axes": [{"name": "batch_size", "from": 1, "to": 8, "steps": 4, "scale": "log"},
                         {"name": "active_experts", "values": [2, 8]}]}),
    Example("sweep_gpus", "Throughput against batch on each GPU: their Fig. 15",
            "POST", "/v1/sweeps", {
                "job": {**FIGURES, "dataset": MATH},
                "axes": [{"name": "batch_size", "values": [1, 3, 17]},
                         {"name": "gpu", "values": ["A100-40GB-PCIe", "A100-80GB-PCIe",
                                                    "H100-PCIe-80GB"]}]}),
    Example("sweep_bad_axes", "An axis that there is not, and a range without an end",
            "POST", "/v1/sweeps", {"job": FIGURES, "axes": [{"name": "bach_size", "values": [1]},
                                                            {"name": "epochs", "from": 1}]},
            status=400, is_bad=True),
    Example("serving_cheapest", "The cheapest number of GPUs for chats",
            "POST", "/v1/servings", {"model": "mixtral-8x7b", "gpu": "A100-80GB-SXM",
                                     "usd_per_gpu_hour": 1.5}),
    Example("serving_one_at_a_time", "A configuration that was measured",
            "POST", "/v1/servings", {
                "model": "llama-3.1-70b", "gpu": "A100-80GB-SXM", "gpu_count": 4,
                "stack": "gpt-fast", "max_concurrent_requests": 1, "usd_per_gpu_hour": 1.5,
                "traffic": {"prompt_tokens": 5, "output_tokens": 200}}),
    Example("serving_bad_fields", "A prompt of nothing, more experts than there are, an unknown stack",
            "POST", "/v1/servings", {"model": "mixtral-8x7b", "gpu": "A40", "active_experts": 9,
                                     "stack": "mine", "traffic": {"prompt_tokens": 0}},
            status=400, is_bad=True),
    Example("serving_does_not_fit", "A model that no allowed number of GPUs holds",
            "POST", "/v1/servings", {"model": "deepseek-v3", "gpu": "A40",
                                     "max_serving_gpu_count": 8}, status=422),
    Example("plan", "Two expert counts against four, and a trillion tokens to serve",
            "POST", "/v1/plans", {
                "budget_flop": 5.15e21, "law": "yun2024-reconstructed", "experts": [4, 16],
                "base_experts": 4, "gpu": "A100-40GB-SXM", "usd_per_gpu_hour": 1.5,
                "served_tokens": 1e12}, cut={"claims": 1}),
    Example("plan_laws", "Dollars, a buildable shape, and every law that applies",
            "POST", "/v1/plans", {
                "budget_usd": 50000, "experts": [8, 16], "usd_per_gpu_hour": 1.5,
                "shape": True, "laws": "all-applicable"}, cut={"claims": 1, "options": 1}),
    Example("plan_bad_fields", "No budget, no experts, an unknown law",
            "POST", "/v1/plans", {"budget_flop": 0, "experts": [0, 1.5], "law": "mine"},
            status=400, is_bad=True),
    Example("plan_no_experts", "A law of dense models is asked about experts",
            "POST", "/v1/plans", {"budget_flop": 5.15e21, "law": "besiroglu2024",
                                  "experts": [1, 8]}, status=422),
    Example("plan_out_of_reach", "A loss that no expert count reaches",
            "POST", "/v1/plans", {"budget_flop": 5.15e21, "required_loss": 1.9}, status=422),
    Example("scaling_laws_page", "One law a page", "GET",
            "/v1/scaling-laws?status=reconstructed&limit=1"),
    Example("scaling_law", "A published law", "GET", "/v1/scaling-laws/besiroglu2024"),
    Example("losses", "Two sizes, one of them beyond the law's runs", "POST", "/v1/losses",
            {"law": "besiroglu2024", "points": [{"parameters": 1e9, "tokens": 2e10, "experts": 1},
                                                {"parameters": 7e10, "tokens": 1.4e12}]}),
    Example("losses_mixtures", "Experts, and a model of the catalog", "POST", "/v1/losses",
            {"law": "yun2024-reconstructed",
             "points": [{"parameters": 5e8, "tokens": 1e10, "experts": 8},
                        {"model": "mixtral-8x7b", "tokens": 2e12}]}),
    Example("losses_bad", "No tokens, half an expert", "POST", "/v1/losses",
            {"law": "yun2024-reconstructed",
             "points": [{"parameters": 5e8, "experts": 8},
                        {"parameters": 5e8, "tokens": 1e10, "experts": 1.5}]},
            status=400, is_bad=True),
    Example("losses_no_experts", "A law of dense models is asked about experts", "POST", "/v1/losses",
            {"law": "besiroglu2024", "points": [{"parameters": 1e9, "tokens": 2e10, "experts": 8}]},
            status=422),
    Example("models_page", "One model a page", "GET", "/v1/models?type=mixtral&limit=1"),
    Example("model", "A shipped model", "GET", "/v1/models/mixtral-8x7b"),
    Example("model_unknown", "No such model", "GET", "/v1/models/mixtral-9x7b", status=404),
    Example("gpus_page", "One GPU a page", "GET", "/v1/gpus?vendor=amd&limit=1"),
    Example("gpu", "A shipped GPU", "GET", "/v1/gpus/a40"),
    Example("prices_page", "The two cheapest offers of a GPU", "GET", "/v1/prices?gpu=A40&limit=2"),
    Example("providers_page", "Four sources", "GET", "/v1/providers?limit=4"),
    Example("datasets_page", "All data sets", "GET", "/v1/datasets"),
    Example("dataset", "A data set with its histogram", "GET", "/v1/datasets/xia2024-math",
            cut={"histogram": 5}),
    Example("stacks_page", "Three stacks", "GET", "/v1/stacks?limit=3"),
    Example("calibrations_page", "One point a page",
            "GET", "/v1/calibrations?dataset=xia2024-mixtral-math-a40&limit=1"),
    Example("calibration", "A shipped point", "GET", "/v1/calibrations/xia2024-037"),
    Example("fits_page", "One fit a page",
            "GET", "/v1/fits?estimator=default&model=mixtral-8x7b&limit=1"),
    Example("fit", "A fit with its residuals", "GET", f"/v1/fits/{A40_FIT}"),
    Example("validation", "Errors of the estimators", "GET", "/v1/validation",
            cut={"throughput": 3, "max_batch": 2, "serving": 1,
                 "published": {"shares": 1, "utilisation": 1, "expert_load": 1, "accuracy": 1}}),
    Example("health", "Alive", "GET", "/healthz"),
    Example("readiness", "Ready", "GET", "/readyz"),
    Example("model_put", "A config.json as published", "PUT", "/v1/models/my-mistral", MISTRAL,
            status=201, scope="catalog:write"),
    Example("model_put_again", "The same once more", "PUT", "/v1/models/my-mistral",
            again="model_put", scope="catalog:write"),
    Example("model_put_shipped", "A shipped model is read-only", "PUT", "/v1/models/mixtral-8x7b",
            again="model_put", status=409, scope="catalog:write"),
    Example("gpu_put", "A GPU of one's own", "PUT", "/v1/gpus/my-4090", GPU, status=201,
            scope="catalog:write"),
    Example("gpu_put_again", "The same once more", "PUT", "/v1/gpus/my-4090", again="gpu_put",
            scope="catalog:write"),
    Example("gpu_put_shipped", "A shipped GPU is read-only", "PUT", "/v1/gpus/A40", again="gpu_put",
            status=409, scope="catalog:write"),
    Example("price_list_put", "Negotiated rates", "PUT", "/v1/prices/my-cloud", RATES, status=201,
            scope="catalog:write", volatile={"list": FIRST_LIST}),
    Example("price_list_put_again", "One of them is new", "PUT", "/v1/prices/my-cloud",
            {**RATES, "price_date": "2026-09-16", "prices": [
                {**RATES["prices"][0], "usd_per_gpu_hour": 1.85}, RATES["prices"][1]]},
            scope="catalog:write", volatile={"list": SECOND_LIST}),
    Example("price_list_put_shipped", "Shipped prices are read-only", "PUT", "/v1/prices/aws",
            again="price_list_put", status=409, scope="catalog:write"),
    Example("price_list_put_bad", "An unknown GPU, a price below nothing, another currency", "PUT",
            "/v1/prices/my-cloud", {"currency": "EUR", "prices": [
                {"gpu": "H100-SXM-81GB", "usd_per_gpu_hour": 2},
                {"gpu": "A40", "usd_per_gpu_hour": -1}]},
            status=400, scope="catalog:write", is_bad=True),
    Example("price_list_put_skypilot", "A catalog of SkyPilot's, cut to a few rows", "PUT",
            "/v1/prices/my-aws?price_date=2026-09-15&source=skypilot-catalog", SKYPILOT, status=201,
            scope="catalog:write", headers={"Content-Type": "text/csv"},
            volatile={"list": SKYPILOT_LIST}),
    Example("price_list_shipped", "Shipped prices", "GET", "/v1/prices/cudo-2024?limit=1"),
    Example("price_list", "Own prices", "GET", "/v1/prices/my-cloud",
            volatile={"list": SECOND_LIST}),
    Example("price_list_earlier", "What they were", "GET", "/v1/prices/my-cloud?version=1",
            volatile={"list": {**FIRST_LIST, "ended_at": NOON}}),
    Example("price_list_before", "A time before the first version", "GET",
            "/v1/prices/my-cloud?at=2026-01-31", status=404),
    Example("price_list_versions", "Both versions", "GET", "/v1/prices/my-cloud/versions",
            volatile={"versions": [SECOND_LIST, {**FIRST_LIST, "ended_at": NOON}]}),
    Example("scaling_law_given", "Coefficients of one's own", "POST", "/v1/scaling-laws",
            {"name": "my-law", "form": "hoffmann2022", "source": "my-lab",
             "coefficients": {"A": 406.4, "B": 410.7, "E": 1.69, "alpha": 0.34, "beta": 0.28},
             "range": {"parameters": [7e7, 1.6e10], "tokens": [5e9, 5e11]}},
            status=201, scope="catalog:write", volatile={"created_at": NOON}),
    Example("scaling_law_fitted", "Nine runs, from one start", "POST", "/v1/scaling-laws",
            {"name": "my-fit", "form": "hoffmann2022", "runs": DENSE_RUNS, "bootstrap": 0,
             "starts": [{"A": 400, "B": 400, "E": 1.7, "alpha": 0.34, "beta": 0.28}]},
            status=201, scope="catalog:write", volatile={"created_at": NOON}),
    Example("scaling_law_job", "Runs with experts, from many starts", "POST", "/v1/scaling-laws",
            {"name": "my-mixture", "form": "yun2024", "runs": MIXTURE_RUNS, "starts": 10000},
            status=202, scope="catalog:write",
            volatile={**JOB, "started_at": None, "state": "queued", "progress": 0.0}),
    Example("job_cancel", "A fit that is not wanted any more", "DELETE", "/v1/jobs/{id}",
            follows="scaling_law_job", scope="catalog:write", volatile=CANCELLED),
    Example("job_cancel_again", "The same once more", "DELETE", "/v1/jobs/{id}", status=409,
            follows="scaling_law_job", scope="catalog:write"),
    Example("job", "What is left of it", "GET", "/v1/jobs/{id}", follows="scaling_law_job",
            volatile=CANCELLED),
    Example("scaling_law_taken", "A name that is taken", "POST", "/v1/scaling-laws",
            {"name": "besiroglu2024", "form": "hoffmann2022",
             "coefficients": {"A": 406.4, "B": 410.7, "E": 1.69, "alpha": 0.34, "beta": 0.28}},
            status=409, scope="catalog:write"),
    Example("scaling_law_too_few_runs", "Three runs for five coefficients", "POST",
            "/v1/scaling-laws", {"name": "my-few", "form": "hoffmann2022", "runs": DENSE_RUNS[:3]},
            status=422, scope="catalog:write"),
    Example("scaling_law_bad_runs", "A loss of nothing, an unknown form's coefficient", "POST",
            "/v1/scaling-laws",
            {"name": "my-bad", "form": "hoffmann2022", "fixed": {"gamma": 1},
             "runs": [{"parameters": 1e9, "tokens": 2e10, "loss": 0}]},
            status=400, scope="catalog:write", is_bad=True),
    Example("calibrations_post", "One measured point", "POST", "/v1/calibrations",
            {"points": [POINT]}, status=201, scope="calibrations:write",
            headers={"Idempotency-Key": "run-1"}),
    Example("calibrations_post_out_of_memory", "A sharded run that did not fit", "POST",
            "/v1/calibrations", {"points": [{
                "model": "llama-3.1-70b", "gpu": "H100-SXM-80GB", "gpu_count": 8, "method": "full",
                "stack": "torchtune", "layout": {"zero_stage": 3}, "master_weights": True,
                "batch_size": 8, "sequence_tokens": 2048, "out_of_memory": True,
                "source": "my-lab"}]}, status=201, scope="calibrations:write"),
    Example("calibrations_post_conflict", "The key was used with another body", "POST",
            "/v1/calibrations", {"points": [{**POINT, "queries_per_s": 14.3}]}, status=409,
            scope="calibrations:write", headers={"Idempotency-Key": "run-1"}),
    Example("calibrations_post_bad", "A point without its rows' length, with two rates", "POST",
            "/v1/calibrations",
            {"points": [{"model": "llama-3.1-8b", "gpu": "A40", "method": "lora", "stack": "torchtune",
                         "batch_size": 0, "queries_per_s": 14.2, "step_time_s": 0.3}]},
            status=400, scope="calibrations:write", is_bad=True),
    Example("calibrations_post_no_token", "No token", "POST", "/v1/calibrations",
            again="calibrations_post", status=401),
    Example("calibration_delete_shipped", "A shipped point is read-only", "DELETE",
            "/v1/calibrations/xia2024-037", status=409, scope="calibrations:write"),
    Example("confirmation_shipped", "A shipped point is taken as it is", "PUT",
            "/v1/calibrations/xia2024-037/confirmation", status=409, scope="admin"),
    Example("exclusion", "Points that name a source are left out of fits", "PUT",
            "/v1/exclusions/my-lab", status=201, scope="admin", volatile=EXCLUDED),
    Example("exclusion_again", "They were already", "PUT", "/v1/exclusions/my-lab", scope="admin",
            volatile=EXCLUDED),
    Example("exclusions", "Whose points are left out", "GET", "/v1/exclusions", scope="admin",
            volatile=EXCLUDED),
]


def body_of(example):
    if example.again is None:
        return example.body
    return next(other.body for other in EXAMPLES if other.name == example.again)


def ask(server, example):
    """The answer; its request id is the example's name, so that problems are repeatable too."""
    headers = {**example.headers, "X-Request-Id": example.name}
    if example.scope is not None:
        headers.update(server.bearer(example.scope))
    locations = server.__dict__.setdefault("locations", {})
    path = example.path
    if example.follows:  # what stands behind the id is asked for below it
        path = locations[example.follows] + path.partition("{id}")[2]
    answer = server.request(example.method, path, body_of(example), headers)
    locations[example.name] = answer.header("Location")
    if path.startswith("/v1/calibrations") and example.method != "GET":
        server.settle()
    if answer.status == 200 and path == "/v1/estimates" and "id" in answer.json:
        locations[example.name] = f"{path}/{answer.json['id']}"
    return answer


def cut(value, kept):
    """A list's first entries, or an object with its lists cut."""
    if isinstance(kept, int):
        return value[:kept]
    return {key: cut(item, kept[key]) if key in kept else item for key, item in value.items()}


def pinned(value, volatile):
    """The value with members that differ each time as they are shown, wherever they stand."""
    if isinstance(value, list):
        return [pinned(item, volatile) for item in value]
    if not isinstance(value, dict):
        return value
    return {key: volatile[key] if key in volatile else pinned(item, volatile)
            for key, item in value.items()}


def shown(example, value):
    """The answer with its long lists cut, and as it is shown where it differs each time."""
    value = cut(value, example.cut) if example.cut else value
    return pinned(value, example.volatile) if example.volatile else value


def entries(server):
    """components/examples: the requests and the answers to them."""
    result = {}
    for example in EXAMPLES:
        answer = ask(server, example)
        assert answer.status == example.status, f"{example.name}: {answer}"
        summary = example.summary
        if example.cut:
            summary += " (lists cut to their first entries)"
        entry = {"summary": summary}
        if example.is_bad:
            entry["description"] = f"Asked with `{json.dumps(example.body)}`"
        elif example.body is not None:
            result[f"{example.name}_request"] = {"summary": example.summary, "value": example.body}
        result[example.name] = {**entry, "value": shown(example, answer.json)}
    return result


def represent_text(dumper, text):
    """Files line by line."""
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


def written(server):
    """openapi.yaml with the examples as the server answers now."""
    head, mark, _ = CONTRACT.read_text().partition(MARK)
    assert mark, f"openapi.yaml has no line {MARK!r}"
    dumper = yaml.SafeDumper
    dumper.ignore_aliases = lambda self, data: True
    dumper.add_representer(str, represent_text)
    text = yaml.dump({"examples": entries(server)}, Dumper=dumper, default_flow_style=None,
                     sort_keys=False, allow_unicode=True, width=96)
    return head + mark + "".join(f"  {line}\n" for line in text.splitlines())


def differences(got, want, at="#"):
    """Where two values differ; numbers may by RELATIVE_TOLERANCE."""
    if isinstance(want, dict) and isinstance(got, dict):
        for key in {**want, **got}:
            if key not in got or key not in want:
                yield f"{at}/{key}: only in the {'contract' if key in want else 'answer'}"
            else:
                yield from differences(got[key], want[key], f"{at}/{key}")
    elif isinstance(want, list) and isinstance(got, list):
        if len(got) != len(want):
            yield f"{at}: {len(got)} entries, {len(want)} in the contract"
        for i, (mine, theirs) in enumerate(zip(got, want)):
            yield from differences(mine, theirs, f"{at}/{i}")
    elif isinstance(want, float) or isinstance(got, float):
        if isinstance(got, str) or isinstance(want, str) or not math.isclose(
                got, want, rel_tol=RELATIVE_TOLERANCE, abs_tol=1e-12):
            yield f"{at}: {got}, {want} in the contract"
    elif got != want or type(got) is not type(want):
        yield f"{at}: {got!r}, {want!r} in the contract"


def main():
    from client import Server
    if len(sys.argv) not in (2, 3) or sys.argv[2:] not in ([], ["--write"]):
        print(__doc__, file=sys.stderr)
        return 2
    server = Server(pathlib.Path(sys.argv[1]).resolve())
    try:
        server.start()
        text = written(server)
    finally:
        server.close()
    if sys.argv[2:]:
        CONTRACT.write_text(text)
        return 0
    old = yaml.safe_load(CONTRACT.read_text())["components"]["examples"]
    against = list(differences(yaml.safe_load(text)["components"]["examples"], old))
    print("\n".join(against))
    return 1 if against else 0


if __name__ == "__main__":
    sys.dont_write_bytecode = True
    sys.path.insert(0, str(HERE))
    sys.exit(main())
