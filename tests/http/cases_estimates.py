"""What estimates say: defaults, identities between the figures, intervals, costs, and how they move
with the job."""
import copy
import itertools
import json
import math

QLORA = {"kind": "qlora", "rank": 16, "targets": ["experts", "router"]}
JOB = {"model": "mixtral-8x7b", "gpu": "A40", "method": QLORA,
       "dataset": {"queries": 15000, "lengths": {"name": "xia2024-math"}, "cutoff_tokens": 1024},
       "epochs": 10, "providers": ["cudo-2024"]}
SMALL = {"model": "llama-3.2-1b", "gpu": "H100-SXM-80GB", "usd_per_gpu_hour": 2.0,
         "dataset": {"queries": 1000, "lengths": {"fixed_tokens": 512}}}
DEFAULTS = {
    "gpu_count": 1, "precision": "bf16", "optimizer": "adamw", "master_weights": False,
    "attention": "flash", "gradient_checkpointing": True, "gradient_accumulation_steps": 1,
    "batch_size": "max", "epochs": 1, "padding": "longest", "padding_multiple": 8,
    "cutoff_tokens": None, "stack": "hf-2024", "estimator": "default", "confidence": 0.9,
    "optimizations": [], "expert_load": None, "layout": "auto", "node_gpu_count": 8}


def estimate(server, job, **members):
    job = copy.deepcopy({**job, **members})
    answer = server.post("/v1/estimates", job)
    assert answer.status == 200, f"{job}: {answer}"
    return answer.json


def on(job, **members):
    return {**job, "dataset": {**job["dataset"], **members}}


def near(got, want, tolerance=1e-9):
    assert math.isclose(got, want, rel_tol=tolerance), f"{got}, want {want}"


# Defaults and spellings

def case_defaults_are_echoed_as_assumptions(server):
    got = estimate(server, SMALL)["assumptions"]
    for name, value in DEFAULTS.items():
        assert got[name] == value and isinstance(value, type(got[name])) or name == "epochs", got
    assert got["epochs"] == 1 and got["queries"] == 1000 and got["active_experts"] is None, got
    assert got["internode_gb_s"] > 0, got
    method = got["method"]
    assert (method["kind"], method["rank"], method["targets"]) == ("lora", 16, ["all-linear"]), method
    assert estimate(server, JOB)["assumptions"]["active_experts"] == 2


def case_a_default_that_is_written_out_changes_nothing(server):
    bare = estimate(server, SMALL)
    named = {**SMALL, **DEFAULTS, "method": {"kind": "lora", "rank": 16, "targets": ["all-linear"]}}
    for name in ("padding", "padding_multiple", "cutoff_tokens"):
        named["dataset"] = {**named["dataset"], name: named.pop(name)}
    assert estimate(server, named) == bare
    assert estimate(server, SMALL, method="lora", batch_size=None, epochs=None) == bare


def case_what_is_asked_is_echoed(server):
    job = on({**SMALL, "gpu_count": 8, "precision": "fp16", "optimizer": "paged-adamw-8bit",
              "master_weights": True, "attention": "eager", "gradient_checkpointing": "selective",
              "gradient_accumulation_steps": 4, "batch_size": 2, "epochs": 2.5, "stack": "torchtune",
              "confidence": 0.5, "method": {"kind": "qlora", "rank": 8, "targets": ["q", "v"],
                                            "quantization": "int8"}},
             cutoff_tokens=256, padding="fixed", padding_multiple=64)
    got = estimate(server, job)
    for name in ("gpu_count", "precision", "optimizer", "master_weights", "attention", "batch_size",
                 "gradient_checkpointing", "gradient_accumulation_steps", "epochs", "stack",
                 "confidence"):
        assert got["assumptions"][name] == job[name], (name, got["assumptions"])
    for name in ("cutoff_tokens", "padding", "padding_multiple", "queries"):
        assert got["assumptions"][name] == job["dataset"][name], (name, got["assumptions"])
    for name, value in job["method"].items():
        assert got["assumptions"]["method"][name] == got["method"][name] == value, got["method"]


def case_ids_are_matched_in_any_case(server):
    other = json.loads(json.dumps(JOB).replace("mixtral-8x7b", "MIXTRAL-8x7B").replace("A40", "a40")
                       .replace("xia2024-math", "Xia2024-MATH").replace("cudo-2024", "CUDO-2024"))
    other["stack"] = "HF-2024"
    assert estimate(server, other) == estimate(server, JOB)


def case_counts_may_be_written_as_reals(server):
    assert estimate(server, on(JOB, queries=2.9e6)) == estimate(server, on(JOB, queries=2900000))
    text = json.dumps(on(JOB, queries=12345)).replace("12345", "2.9e6")
    assert server.post("/v1/estimates", text).json == estimate(server, on(JOB, queries=2900000))
    text = json.dumps({**JOB, "batch_size": 12345}).replace("12345", "20e-1")
    assert server.post("/v1/estimates", text).json["batch_size"] == 2


def case_the_same_request_gives_the_same_bytes(server):
    for job in (JOB, SMALL, {"jobs": [JOB, SMALL, {}]}):
        headers = {"X-Request-Id": "same"}
        bodies = {server.post("/v1/estimates", job, headers).body for _ in range(5)}
        assert len(bodies) == 1, bodies
    backwards = dict(reversed(list(JOB.items())))
    assert server.post("/v1/estimates", backwards).body == server.post("/v1/estimates", JOB).body


def case_an_answer_names_its_versions(server):
    got = estimate(server, JOB)
    assert got["versions"]["fit"] == got["basis"]["fit"], got
    assert got["versions"]["memory_fit"] == got["basis"]["memory"]["fit"], got
    assert server.get(f"/v1/fits/{got['versions']['fit']}").status == 200
    etag = server.get("/v1/models").header("ETag")
    assert got["versions"]["catalog"] in etag and got["versions"]["code"] in etag, etag
    assert got["versions"]["prices"] in server.get("/v1/prices").header("ETag")


# Figures that belong together

def case_the_figures_of_an_answer_agree(server):
    for job in (JOB, {**JOB, "gpu_count": 4}, {**JOB, "estimator": "xia2024"}, SMALL,
                {**JOB, "estimator": "measured", "batch_size": 3}, {**JOB, "epochs": 0.5},
                on(JOB, padding="packed"), on(JOB, padding="fixed"),
                {**SMALL, "gradient_accumulation_steps": 8, "batch_size": 2}):
        got = estimate(server, job)
        rate, step, memory = got["throughput"], got["step_time"], got["memory"]
        queries, epochs = job["dataset"]["queries"], job.get("epochs", 1)
        near(got["duration_s"], queries * epochs / rate["queries_per_s"], 1e-6)
        near(rate["tokens_per_s"], rate["tokens_per_s_per_gpu"] * got["gpu_count"], 1e-6)
        near(step["total_s"], step["forward_s"] + step["backward_s"] + step["optimizer_s"], 1e-6)
        near(step["total_s"], sum(term["time_s"] for term in step["terms"]), 1e-6)
        near(step["padded_tokens"], step["row_tokens"] * got["batch_size"], 1e-6)
        near(rate["tokens_per_s_per_gpu"], step["padded_tokens"] / step["total_s"], 1e-6)
        assert rate["unpadded_tokens_per_s"] <= rate["tokens_per_s"] * (1 + 1e-9), rate
        parts = sum(memory[f"{part}_bytes"] for part in (
            "weights", "adapter", "gradient", "optimizer", "activation", "logits", "communication",
            "overhead"))
        assert abs(parts - memory["total_bytes"]) <= 8, memory
        assert got["batch_size"] > got["max_batch_size"] or \
            memory["total_bytes"] <= memory["capacity_bytes"], memory
        for line in got["cost"]:
            hours = got["duration_s"] / 3600
            gpus = line["instance_count"] * line["instance_gpu_count"]
            assert gpus == got["gpu_count"] + line["idle_gpu_count"], line
            near(line["cost_usd"], hours * gpus * line["usd_per_gpu_hour"], 1e-6)


def case_no_answer_holds_nan_or_infinity(server):
    """Answer.json refuses both; the jobs are extreme."""
    sizes = {"fixed_tokens": 1}, {"fixed_tokens": 16777216}, {"quantiles": {"p1": 1, "max": 1e7}}
    for lengths, epochs, queries, confidence in itertools.product(
            sizes, (1e-9, 1e6), (1, 1e15), (0.01, 0.999)):
        for model in ("pythia-410m", "mamba-2.8b", "olmoe-1b-7b"):
            job = {"model": model, "gpu": "B200", "epochs": epochs, "confidence": confidence,
                   "dataset": {"lengths": lengths, "queries": queries}}
            answer = server.post("/v1/estimates", job)
            assert answer.status in (200, 422), f"{job}: {answer}"
            assert answer.json["model" if answer.status == 200 else "type"]


# Intervals

def bounds(interval):
    return {name: value for name, value in interval.items() if name != "level" and value is not None}


def case_intervals_hold_the_estimate(server):
    for job in (JOB, SMALL, {**JOB, "estimator": "xia2024"}, {**JOB, "estimator": "xia2024-printed"},
                {**JOB, "gpu": "H100-SXM-80GB", "providers": ["vast"]}):
        got = estimate(server, job)
        values = {"queries_per_s": got["throughput"]["queries_per_s"],
                  "tokens_per_s_per_gpu": got["throughput"]["tokens_per_s_per_gpu"],
                  "duration_s": got["duration_s"], "cost_usd": got["cost"][0]["cost_usd"],
                  "memory_bytes": got["memory"]["total_bytes"],
                  "max_batch_size": got["max_batch_size"]}
        for name, (low, high) in bounds(got["interval"]).items():
            assert low <= values[name] <= high, (name, low, values[name], high)


def case_intervals_widen_with_confidence(server):
    for job in (JOB, SMALL):
        last = None
        for level in (0.1, 0.5, 0.9, 0.99, 0.999):
            now = estimate(server, job, confidence=level)["interval"]
            assert now["level"] == level
            for name, (low, high) in bounds(now).items():
                assert last is None or (low <= last[name][0] and high >= last[name][1]), (name, now)
            last = now
        assert last["duration_s"][1] > last["duration_s"][0] > 0


def case_less_evidence_means_a_wider_interval(server):
    def width(job):
        low, high = estimate(server, job)["interval"]["duration_s"]
        return high / low

    measured = {**JOB, "estimator": "measured", "batch_size": 3}
    transferred = {**JOB, "gpu": "L40S", "providers": ["vast"]}
    widths = [width(measured), width(JOB), width(transferred), width(SMALL)]
    assert widths == sorted(widths) and widths[1] < widths[2], widths


def case_the_basis_says_how_honest_a_figure_is(server):
    for job, kind in ((JOB, "calibrated"), ({**JOB, "gpu_count": 2}, "transferred"),
                      (SMALL, "prior")):
        got = estimate(server, job)
        assert got["basis"]["kind"] == kind, got["basis"]
        codes = [warning["code"] for warning in got["warnings"]]
        assert (kind in codes) == (kind != "calibrated"), codes
        assert (got["basis"]["fit"] is None) == (kind == "prior"), got["basis"]
        assert (got["basis"]["points"] > 0) == (kind != "prior"), got["basis"]


def case_whatever_identifies_a_measurement_makes_it_transferred(server):
    job = {**JOB, "gpu": "A100-80GB-PCIe", "batch_size": 1}
    for name, value in (("precision", "fp16"), ("optimizer", "sgd"), ("gradient_checkpointing", False),
                        ("method", {**QLORA, "rank": 8}), ("method", {**QLORA, "quantization": "nf4"}),
                        ("method", {**QLORA, "targets": ["attention"]}), ("method", "qlora"),
                        ("gpu_count", 2), ("stack", "torchtune")):
        got = estimate(server, {**job, name: value})
        assert got["basis"]["kind"] == "transferred", (name, value, got["basis"])
        assert got["basis"]["memory"]["kind"] != "prior", (name, value, got["basis"])
    assert estimate(server, job)["basis"]["kind"] == "calibrated"


# How figures move with the job

def totals(server, jobs):
    answer = server.post("/v1/estimates", {"jobs": jobs})
    assert answer.status == 200, answer
    assert all("type" not in one for one in answer.json["results"]), answer.json["results"]
    return answer.json["results"]


def rises(values):
    return all(a < b for a, b in zip(values, values[1:]))


def never_falls(values):
    """Gradients and optimizer may be the peak of small batches, which they do not depend on."""
    return values == sorted(values)


def case_memory_rises_with_the_batch_and_with_the_rows(server):
    for model in ("llama-3.2-1b", "olmoe-1b-7b", "mamba-2.8b"):
        job = {**SMALL, "model": model, "gpu": "B200"}
        for method in ("full", "lora", "qlora"):
            got = totals(server, [{**job, "method": method, "batch_size": b} for b in range(1, 6)])
            assert never_falls([one["memory"]["total_bytes"] for one in got]), (model, method)
            got = totals(server, [{**on(job, lengths={"fixed_tokens": n}), "method": method,
                                   "batch_size": 2} for n in (64, 256, 512, 1024, 2048)])
            assert never_falls([one["memory"]["total_bytes"] for one in got]), (model, method)


def case_the_largest_batch_falls_as_rows_grow_and_rises_with_memory(server):
    got = totals(server, [on(SMALL, lengths={"fixed_tokens": n}) for n in (64, 256, 1024, 4096)])
    assert rises([-one["max_batch_size"] for one in got]), got
    gpus = ("A40", "A100-80GB-PCIe", "H200-SXM-141GB", "B200")
    got = totals(server, [{**SMALL, "gpu": gpu} for gpu in gpus])
    assert rises([one["memory"]["capacity_bytes"] for one in got])
    assert rises([one["max_batch_size"] for one in got]), got


def case_the_largest_batch_fits_and_one_more_does_not(server):
    for job in (JOB, SMALL, {**SMALL, "method": "full"}):
        most = estimate(server, job)["max_batch_size"]
        one = estimate(server, {**job, "batch_size": most})
        assert one["memory"]["total_bytes"] <= one["memory"]["capacity_bytes"], one["memory"]
        answer = server.post("/v1/estimates", {**job, "batch_size": most + 1})
        codes = [warning["code"] for warning in answer.json.get("warnings", [])]
        assert answer.status == 422 or {"may-not-fit", "batch-measured"} & set(codes), answer


def case_methods_and_optimizers_cost_the_memory_they_should(server):
    job = {**SMALL, "model": "llama-3.1-8b", "gpu": "B200", "batch_size": 1}
    full, lora, qlora = totals(server, [{**job, "method": m} for m in ("full", "lora", "qlora")])
    assert rises([one["memory"]["total_bytes"] for one in (qlora, lora, full)])
    assert full["memory"]["adapter_bytes"] == 0 < lora["memory"]["adapter_bytes"]
    # nf4 of 7.0 billion, and fp32 of embedding, head and norms
    assert qlora["memory"]["weights_bytes"] < 0.5 * lora["memory"]["weights_bytes"]
    sgd, small, adam = totals(server, [{**job, "method": "full", "optimizer": o}
                                       for o in ("sgd", "adamw-8bit", "adamw")])
    assert rises([one["memory"]["optimizer_bytes"] for one in (sgd, small, adam)])
    kept, selective, recomputed = totals(server, [{**job, "gradient_checkpointing": c}
                                                  for c in (True, "selective", False)])
    assert rises([one["memory"]["activation_bytes"] for one in (kept, selective, recomputed)])
    flash, eager = totals(server, [{**job, "attention": a, "gradient_checkpointing": False}
                                   for a in ("flash", "eager")])
    assert flash["memory"]["activation_bytes"] < eager["memory"]["activation_bytes"]
    ranks = totals(server, [{**job, "method": {"kind": "lora", "rank": r}} for r in (8, 16, 64)])
    assert rises([one["memory"]["adapter_bytes"] for one in ranks])


def case_the_largest_batch_of_every_estimator_fits_or_is_warned_of(server):
    for estimator in ("default", "xia2024", "xia2024-printed"):
        for gpu in ("A40", "A100-40GB-PCIe", "A100-80GB-PCIe", "H100-PCIe-80GB"):
            got = estimate(server, {**JOB, "gpu": gpu, "estimator": estimator, "providers": None})
            memory, codes = got["memory"], [warning["code"] for warning in got["warnings"]]
            if memory["total_bytes"] > memory["capacity_bytes"]:
                assert {"eq1-printed", "may-not-fit"} & set(codes), (estimator, gpu, memory)


def case_precision_alone_does_not_make_a_job_smaller(server):
    """A job that was never measured in this precision is no reason to forget what was measured."""
    bf16, fp16, fp32 = [estimate(server, {**JOB, "precision": p, "batch_size": 1})["memory"]
                        for p in ("bf16", "fp16", "fp32")]
    near(fp16["total_bytes"], bf16["total_bytes"], 0.05)
    assert fp32["total_bytes"] > bf16["total_bytes"], (bf16, fp32)


def case_duration_follows_queries_epochs_and_devices(server):
    one = estimate(server, SMALL)["duration_s"]
    near(estimate(server, on(SMALL, queries=3000))["duration_s"], 3 * one, 1e-6)
    near(estimate(server, SMALL, epochs=2.5)["duration_s"], 2.5 * one, 1e-6)
    replicas = {**SMALL, "batch_size": 2}
    spread = [estimate(server, replicas, gpu_count=n, layout={"data": n})["duration_s"]
              for n in (8, 4, 2, 1)]
    assert rises(spread) and spread[0] >= spread[3] / 8 * (1 - 1e-9), spread


def case_more_active_experts_take_longer(server):
    got = totals(server, [{**JOB, "active_experts": n, "batch_size": 1} for n in range(1, 9)])
    assert rises([one["duration_s"] for one in got])


def case_padding_costs_time(server):
    packed, longest, fixed = totals(server, [
        {**on(JOB, padding=p), "batch_size": 2} for p in ("packed", "longest", "fixed")])
    assert packed["duration_s"] < longest["duration_s"] < fixed["duration_s"]
    rows = totals(server, [{**JOB, "batch_size": n} for n in (1, 2, 3, 4)])
    assert rises([one["step_time"]["row_tokens"] for one in rows])
    coarse = estimate(server, {**on(JOB, padding_multiple=512), "batch_size": 2})
    assert coarse["step_time"]["row_tokens"] >= max(512, longest["step_time"]["row_tokens"])


def case_spellings_of_one_distribution_agree(server):
    fixed = estimate(server, SMALL)
    for lengths in ({"histogram": [[512, 9]]}, {"sample": [512, 512]}):
        got = estimate(server, on(SMALL, lengths=lengths))
        for name in ("throughput", "step_time", "memory", "duration_s", "max_batch_size"):
            assert got[name] == fixed[name], (lengths, name)
    counts = {9: 2, 200: 5, 700: 1}
    sample = [n for n, times in counts.items() for _ in range(times)]
    a = estimate(server, on(SMALL, lengths={"sample": sample[::-1]}))
    b = estimate(server, on(SMALL, lengths={"histogram": [[n, t] for n, t in counts.items()]}))
    assert a == b
    named = estimate(server, JOB)
    bins = server.get("/v1/datasets/xia2024-math").json["histogram"]
    inline = estimate(server, on(JOB, lengths={"histogram": bins}))
    near(inline["duration_s"], named["duration_s"], 1e-9)
    rough = estimate(server, on(JOB, lengths={"quantiles": {
        "p10": 104, "p25": 135, "p50": 174, "p75": 221, "p90": 271, "max": 1470}}))
    near(rough["duration_s"], named["duration_s"], 0.05)


def case_queries_default_to_what_the_lengths_count(server):
    for lengths, want in (({"name": "xia2024-math"}, 13921), ({"histogram": [[5, 3], [9, 4]]}, 7),
                          ({"sample": [1, 2, 3]}, 3)):
        job = {**SMALL, "dataset": {"lengths": lengths}}
        assert estimate(server, job)["assumptions"]["queries"] == want


# Cost

def case_costs_come_cheapest_first(server):
    job = {**SMALL, "gpu_count": 4}
    del job["usd_per_gpu_hour"]
    for gpu in ("A40", "H100-SXM-80GB", "A100-80GB-PCIe"):
        lines = estimate(server, job, gpu=gpu)["cost"]
        costs = [line["cost_usd"] for line in lines]
        assert len(lines) > 1 and costs == sorted(costs), costs
        offers = {(p["provider"], p["instance_type"], p["region"])
                  for p in server.get(f"/v1/prices?gpu={gpu}&limit=1000").json["prices"]
                  if p["usd_per_gpu_hour"] is not None and p["gpu_count"] >= 4}
        assert {(x["provider"], x["instance_type"], x["region"]) for x in lines} == offers
        assert all(x["instance_count"] == 1 for x in lines)


def case_cost_is_linear_in_the_price(server):
    unit = estimate(server, SMALL, usd_per_gpu_hour=1)["cost"][0]["cost_usd"]
    for price in (0.1, 0.79, 2, 100):
        got = estimate(server, SMALL, usd_per_gpu_hour=price)
        near(got["cost"][0]["cost_usd"], price * unit, 1e-6)
        near(got["interval"]["cost_usd"][1] / got["interval"]["duration_s"][1], price / 3600, 1e-6)


def case_old_prices_are_marked_stale(server):
    got = estimate(server, JOB)
    assert [line["stale"] for line in got["cost"]] == [True] and got["cost"][0]["price_date"] == "2024"
    assert "stale-price" in [warning["code"] for warning in got["warnings"]]
    got = estimate(server, {**JOB, "providers": ["cudo"]})
    assert got["cost"] and not any(line["stale"] for line in got["cost"])
    assert "stale-price" not in [warning["code"] for warning in got["warnings"]]


def case_providers_choose_the_offers(server):
    one = estimate(server, JOB, providers=["cudo"])["cost"]
    other = estimate(server, JOB, providers=["cudo-2024"])["cost"]
    both = estimate(server, JOB, providers=["cudo-2024", "cudo"])["cost"]
    assert len(both) == len(one) + len(other) and {x["provider"] for x in both} == {"cudo", "cudo-2024"}
    twice = estimate(server, JOB, providers=["cudo-2024", "CUDO-2024"])["cost"]
    assert twice == other


# Lists of jobs and inline models

def case_a_list_answers_as_its_jobs_alone_would(server):
    jobs = [JOB, SMALL, {**JOB, "estimator": "xia2024"}, {**SMALL, "method": "full"}] * 25
    answer = server.post("/v1/estimates", {"jobs": jobs})
    alone = [estimate(server, job) for job in jobs[:4]]
    assert answer.json["results"] == alone * 25
    many = server.post("/v1/estimates", {"jobs": [SMALL] * 1000})
    assert many.status == 200 and len(many.json["results"]) == 1000


def case_jobs_of_a_list_share_no_lengths_that_differ(server):
    rules = ({}, {"cutoff_tokens": 128}, {"padding_multiple": 64}, {"padding": "fixed"},
             {"lengths": {"name": "xia2024-cs"}}, {"lengths": {"fixed_tokens": 300}},
             {"lengths": {"sample": [100, 300]}}, {"queries": 7})
    jobs = [on(JOB, **rule) for pair in itertools.permutations(rules, 2) for rule in pair]
    alone = {json.dumps(on(JOB, **rule)): estimate(server, on(JOB, **rule)) for rule in rules}
    assert len({json.dumps(one) for one in alone.values()}) == len(rules)
    results = server.post("/v1/estimates", {"jobs": jobs}).json["results"]
    assert results == [alone[json.dumps(job)] for job in jobs]


def case_a_config_json_may_stand_in_for_a_model(server):
    for model in ("llama-3.2-1b", "deepseek-v2-lite", "mamba-2.8b"):
        config = server.get(f"/v1/models/{model}").json["config"]
        named = estimate(server, SMALL, model=model)
        inline = estimate(server, SMALL, model={**config, "an_extra_key": [1, {"x": None}]})
        for name in ("throughput", "step_time", "duration_s", "memory", "max_batch_size", "cost"):
            assert named[name] == inline[name], (model, name)
        assert inline["basis"]["kind"] != "calibrated", inline["basis"]


def case_bodies_may_be_unicode_and_loose_in_space(server):
    text = "\n\t " + json.dumps(JOB, indent=4).replace("A40", "\\u004140") + " \r\n"
    assert server.post("/v1/estimates", text).json == estimate(server, JOB)
