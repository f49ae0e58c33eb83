"""Layouts and stacks: what `auto` may choose, what is refused, what a named layout is warned of, and
that comparisons and sweeps keep to the same."""
from client import expect_problem
from contract import Contract

CONTRACT = Contract()
MIXTRAL = {"model": "mixtral-8x7b", "gpu": "A40", "method": "qlora", "usd_per_gpu_hour": 1,
           "dataset": {"queries": 15000, "lengths": {"name": "xia2024-math"}, "cutoff_tokens": 1024}}
DENSE = {"model": "llama-3.2-1b", "gpu": "A100-80GB-SXM", "method": "lora", "usd_per_gpu_hour": 2,
         "dataset": {"queries": 1000, "lengths": {"fixed_tokens": 512}}}
SIZES = ("tensor", "pipeline", "expert", "context")


def asked(server, job, **members):
    return server.post("/v1/estimates", {**job, **members})


def estimate(server, job, **members):
    answer = asked(server, job, **members)
    assert answer.status == 200, answer
    CONTRACT.check_answer("POST", "/v1/estimates", answer)
    return answer.json


def said(answer):
    return {warning["code"]: warning["detail"] for warning in answer["warnings"]}


def trainers(server):
    stacks = server.get("/v1/stacks?limit=1000")
    CONTRACT.check_answer("GET", "/v1/stacks", stacks)
    return {one["id"]: one for one in stacks.json["stacks"]
            if one["modelled"] and one["id"] not in ("gpt-fast", "vllm")}


def uses(layout):
    """The kinds of a layout on one node."""
    kinds = {name for name in SIZES if layout[name] > 1}
    if layout["data"] * layout["context"] > 1:
        alone = not kinds - {"expert"}
        kinds.add(f"zero-{layout['zero_stage']}" if layout["zero_stage"] else
                  "data" if alone else "data-combined")
    return kinds


def case_auto_stays_within_what_a_stack_offers(server):
    for name, stack in trainers(server).items():
        for job in (MIXTRAL, DENSE, {**DENSE, "method": "qlora"}):
            quantized = job["method"] == "qlora"
            offered = set(stack["quantized_parallelism" if quantized else "parallelism"])
            answer = asked(server, job, stack=name, gpu_count=8, batch_size=1)
            if offered:
                assert answer.status == 200, answer
                used = uses(answer.json["layout"])
                assert used and used <= offered, (name, job, answer.json["layout"])
                assert "layout-not-in-stack" not in said(answer.json)
            else:
                part = "train quantised weights" if quantized else f"{name} is not known to train"
                expect_problem(answer, 422, "impossible", "/gpu_count", part)


def case_two_gpus_are_no_more_than_two(server):
    one, two = (estimate(server, MIXTRAL, gpu_count=n, batch_size=2) for n in (1, 2))
    assert uses(two["layout"]) <= {"data", "zero-1", "zero-2", "zero-3"}, two["layout"]
    gain = two["throughput"]["queries_per_s"] / one["throughput"]["queries_per_s"]
    assert 1 < gain < 2.02, gain


def case_a_named_layout_beyond_the_stack_is_answered_with_a_warning(server):
    for job, layout, stack, lacking in (
            (MIXTRAL, {"expert": 2}, "hf-2024", "expert"),
            (DENSE, {"tensor": 2}, "hf-2024", "tensor"),
            (MIXTRAL, {"zero_stage": 3}, "hf-2023", "zero-3"),
            (DENSE, {"data": 2}, "unsloth-2024", "data"),
            (DENSE, {"zero_stage": 3}, "hf-2023", None),
            (DENSE, {"tensor": 2}, "my-own-trainer", None)):
        got = estimate(server, job, layout=layout, stack=stack, gpu_count=2)
        detail = said(got).get("layout-not-in-stack")
        assert (detail is None) == (lacking is None), (layout, stack, detail)
        assert lacking is None or detail.endswith(f"not {lacking}"), detail


def case_comparisons_keep_to_the_stack(server):
    job = {key: value for key, value in DENSE.items() if key != "gpu"}
    got = server.post("/v1/comparisons",
                      {**job, "stack": "unsloth-2024", "gpus": ["A100-80GB-SXM"]}).json
    assert {option["gpu_count"] for option in got["options"]} == {1}, got["options"]
    refused = {item["gpu_count"]: item for item in got["infeasible"]}
    assert sorted(refused) == [2, 4, 8], refused
    for item in refused.values():
        assert item["reason"] == "impossible", item
        assert (item["change"]["field"], item["change"]["to"]) == ("gpu_count", 1), item
    job = {key: value for key, value in MIXTRAL.items() if key != "gpu"}
    got = server.post("/v1/comparisons", {**job, "gpus": ["A40"]}).json
    for option in got["options"]:
        assert uses(option["layout"]) <= {"data", "zero-1", "zero-2", "zero-3"}, option


def case_sweeps_keep_to_the_stack(server):
    axes = [{"name": "stack", "values": ["hf-2024", "litgpt-2023"]}]
    answer = server.post("/v1/sweeps", {"job": {**MIXTRAL, "gpu_count": 2}, "axes": axes})
    spread, refused = answer.json["series"][0]["points"]
    alone = estimate(server, MIXTRAL, gpu_count=2)
    assert spread["queries_per_s"] == alone["throughput"]["queries_per_s"], spread
    assert refused["problem"]["code"] == "impossible", refused
