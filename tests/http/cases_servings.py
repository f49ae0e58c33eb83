"""POST /v1/servings: figures that can be counted by hand, how they move, and what is refused."""
import math

from contract import Contract

CONTRACT = Contract()
CHAT = {"prompt_tokens": 161, "output_tokens": 338}
GIB = 1024 ** 3


def asked(server, body, status=200):
    """The answer, which must have this status and fit the contract."""
    answer = server.post("/v1/servings", body)
    CONTRACT.check_answer("POST", "/v1/servings", answer)
    assert answer.status == status, answer
    return answer.json


def served(server, **members):
    body = {"model": "llama-3.1-8b", "gpu": "A100-80GB-SXM", "usd_per_gpu_hour": 1.5, **members}
    CONTRACT.check_request("POST", "/v1/servings", body)
    return asked(server, body)


def refused(server, status, pointers, **members):
    body = {"model": "llama-3.1-8b", "gpu": "A100-80GB-SXM", **members}
    problem = asked(server, body, status)
    got = [fault["pointer"] for fault in problem["errors"]]
    assert got == pointers, problem
    return problem


def close(got, want, tolerance=1e-6):
    assert math.isclose(got, want, rel_tol=tolerance), f"got {got}, want {want}"


def codes(answer):
    return [warning["code"] for warning in answer["warnings"]]


def case_memory_is_that_of_the_shapes(server):
    memory = served(server, gpu_count=1)["memory"]
    assert memory["model_weights_bytes"] == 2 * 8030261248, memory
    assert memory["model_kv_bytes_per_token"] == 2 * 32 * 8 * 128 * 2, memory
    assert memory["kv_bytes_per_request"] == 131072 * (161 + 169), memory
    assert memory["usable_bytes"] == round(0.9 * 80 * GIB), memory
    assert memory["total_bytes"] <= memory["usable_bytes"] < memory["capacity_bytes"]


def case_caches_follow_the_architecture(server):
    for model, gpu, bytes_per_token in (("llama-2-7b", "A100-80GB-SXM", 2 * 32 * 4096 * 2),
                                        ("deepseek-v3", "H200-SXM-141GB", 61 * (512 + 64) * 2),
                                        ("mamba-2.8b", "A100-80GB-SXM", 0)):
        answer = served(server, model=model, gpu=gpu, max_serving_gpu_count=16)
        assert answer["memory"]["model_kv_bytes_per_token"] == bytes_per_token, answer["memory"]
    one = served(server, model="mamba-2.8b", traffic={"prompt_tokens": 1, "output_tokens": 1})
    many = served(server, model="mamba-2.8b", traffic={"prompt_tokens": 9000, "output_tokens": 900})
    key = "kv_bytes_per_request"
    assert one["memory"][key] == many["memory"][key] == 64 * 5120 * (16 + 4) * 2


def case_windows_cap_the_cache(server):
    traffic = {"prompt_tokens": 20000, "output_tokens": 1000}
    answer = served(server, model="gemma-3-12b", gpu_count=1, traffic=traffic)
    layer = 2 * 8 * 256 * 2
    assert answer["memory"]["kv_bytes_per_request"] == layer * (40 * 1024 + 8 * 20500), answer


def case_rates_costs_and_times_belong_together(server):
    for model in ("llama-3.1-8b", "mixtral-8x7b", "llama-3.1-70b"):
        answer = served(server, model=model)
        rate = answer["tokens_per_s"]
        close(rate, answer["max_concurrent_requests"] / answer["token_latency_s"])
        close(answer["tokens_per_s_per_gpu"], rate / answer["gpu_count"])
        close(answer["requests_per_s"], rate / 338)
        close(answer["usd_per_million_output_tokens"],
              answer["gpu_count"] * 1.5 / 3600 / rate * 1e6)
        close(sum(answer["time_shares"].values()), 1)
        assert answer["time_shares"][answer["bound"]] == max(answer["time_shares"].values())
        low, high = answer["interval"]["tokens_per_s"]
        assert low < rate < high
        cheapest = min(option["usd_per_million_output_tokens"] for option in answer["options"]
                       if option["fits"])
        close(cheapest, answer["usd_per_million_output_tokens"])


def case_options_are_the_powers_of_two(server):
    answer = served(server, model="llama-3.1-70b", max_serving_gpu_count=16)
    assert [option["gpu_count"] for option in answer["options"]] == [1, 2, 4, 8, 16]
    assert answer["options"][0]["fits"] is False and "bytes" in answer["options"][0]["detail"]
    one = served(server, model="llama-3.1-70b", gpu_count=4)
    assert [option["gpu_count"] for option in one["options"]] == [4] and one["gpu_count"] == 4


def case_cost_is_linear_in_the_price(server):
    once = served(server, usd_per_gpu_hour=1)
    twice = served(server, usd_per_gpu_hour=2)
    close(twice["usd_per_million_output_tokens"], 2 * once["usd_per_million_output_tokens"])


def case_requests_at_once_end_at_the_cap_or_at_the_memory(server):
    rates = []
    for cap in (1, 8, 64, 256, 100000):
        answer = served(server, gpu_count=1, max_concurrent_requests=cap)
        assert answer["max_concurrent_requests"] <= cap
        limit = "max_concurrent_requests" if cap <= 256 else "memory"
        assert answer["limited_by"] == limit, answer["limited_by"]
        rates.append(answer["tokens_per_s"])
    assert rates == sorted(rates), rates


def case_narrow_weights_and_caches_leave_room(server):
    plain = served(server, gpu_count=1, max_concurrent_requests=100000)
    weights = served(server, gpu_count=1, max_concurrent_requests=100000, quantization="int4")
    cache = served(server, gpu_count=1, max_concurrent_requests=100000, kv_precision="fp8")
    assert weights["memory"]["weights_bytes"] < 0.4 * plain["memory"]["weights_bytes"]
    assert weights["max_concurrent_requests"] > plain["max_concurrent_requests"]
    close(cache["max_concurrent_requests"], 2 * plain["max_concurrent_requests"], 0.02)


def case_offers_hold_a_replica_whole_where_any_does(server):
    answer = asked(server, {"model": "mixtral-8x7b", "gpu": "A100-80GB-SXM", "gpu_count": 2})
    assert answer["cost"] and "several-instances" not in codes(answer)
    rate = answer["tokens_per_s"]
    for line in answer["cost"]:
        size = line["instance_gpu_count"]
        assert size >= 2 and line["instance_count"] == 1, line
        close(line["usd_per_million_output_tokens"],
              line["usd_per_gpu_hour"] * size / (size // 2) / 3600 / rate * 1e6)
    costs = [line["usd_per_million_output_tokens"] for line in answer["cost"]]
    assert costs == sorted(costs) and costs[0] == answer["usd_per_million_output_tokens"]


def case_a_gpu_that_nobody_prices_has_no_cost(server):
    put = server.put("/v1/gpus/my-gpu", {
        "vendor": "NVIDIA", "memory_bytes": 80 * GIB, "memory_bandwidth_bytes_per_s": 2e12,
        "fp16_flop_per_s": 3e14, "source": "test"}, server.bearer("catalog:write"))
    assert put.status == 201, put
    answer = asked(server, {"model": "llama-3.1-8b", "gpu": "my-gpu"})
    assert answer["usd_per_million_output_tokens"] is None and answer["cost"] == []
    assert answer["interval"]["usd_per_million_output_tokens"] is None
    assert "unpriced" in codes(answer)
    two = asked(server, {"model": "llama-3.1-8b", "gpu": "my-gpu", "gpu_count": 2})
    assert "interconnect-unknown" in codes(two)


def case_traffic_is_told_in_three_ways(server):
    mean = served(server, gpu_count=1, traffic=CHAT)
    assert served(server, gpu_count=1) == mean
    single = served(server, gpu_count=1, traffic={
        "prompt_tokens": {"histogram": [[161, 3]]}, "output_tokens": {"histogram": [[338, 7]]}})
    pairs = served(server, gpu_count=1, traffic={"pairs": [[161, 338, 2], [161, 338, 1]]})
    assert single["tokens_per_s"] == mean["tokens_per_s"] == pairs["tokens_per_s"]
    # half the answers are 10 tokens long, half 90: 9 in 10 of those met running are long ones
    mixed = served(server, gpu_count=1, traffic={
        "prompt_tokens": 100, "output_tokens": {"histogram": [[10, 1], [90, 1]]}})
    held = 0.1 * (100 + 5) + 0.9 * (100 + 45)
    assert mixed["memory"]["kv_bytes_per_request"] == round(131072 * held), mixed["memory"]
    assert mixed["assumptions"]["traffic"]["output_tokens"] == 50
    assert mixed["assumptions"]["traffic"]["longest_tokens"] == 190


def case_fewer_active_experts_read_less(server):
    base = {"model": "mixtral-8x7b", "gpu_count": 2, "max_concurrent_requests": 1}
    one = served(server, active_experts=1, **base)
    two = served(server, active_experts=2, **base)
    assert one["decode_latency_s"] < two["decode_latency_s"]
    assert one["memory"] == two["memory"]
    spread = served(server, expert_parallel=True, **base)
    assert spread["decode_latency_s"] != two["decode_latency_s"]


def case_what_was_measured_is_said(server):
    measured = served(server, model="llama-3.1-70b", gpu_count=4, stack="gpt-fast",
                      max_concurrent_requests=1, traffic={"prompt_tokens": 5, "output_tokens": 200})
    assert measured["basis"]["kind"] == "calibrated" and measured["basis"]["points"] == 31
    close(1 / measured["decode_latency_s"], 37.45, 0.15)
    other = served(server, stack="gpt-fast", max_concurrent_requests=1, model="qwen3-8b")
    assert other["basis"]["kind"] == "transferred" and "transferred" in codes(other)
    many = served(server)
    assert many["basis"]["kind"] == "transferred" and "batch-extrapolated" in codes(many)
    prior = served(server, stack="roofline")
    assert prior["basis"]["kind"] == "prior" and "prior" in codes(prior)
    assert many["interval"]["tokens_per_s"][1] / many["tokens_per_s"] > 2
    wide = served(server, confidence=0.99)["interval"]["tokens_per_s"]
    assert wide[0] < many["interval"]["tokens_per_s"][0]


def case_models_come_as_config_json_too(server):
    config = {"model_type": "llama", "hidden_size": 4096, "num_hidden_layers": 32,
              "num_attention_heads": 32, "intermediate_size": 11008, "vocab_size": 32000}
    inline = served(server, model=config, gpu_count=1)
    named = served(server, model="llama-2-7b", gpu_count=1)
    assert inline["tokens_per_s"] == named["tokens_per_s"]
    assert inline["memory"] == named["memory"]


def case_equal_requests_have_equal_bytes(server):
    body = {"model": "Mixtral-8x7B", "gpu": "a100-80gb-sxm", "stack": "VLLM"}
    first = server.post("/v1/servings", body)
    assert first.status == 200 and first.body == server.post("/v1/servings", body).body


def case_a_model_that_does_not_fit_is_told_what_would(server):
    problem = refused(server, 422, ["/max_serving_gpu_count"], model="deepseek-v3", gpu="A40")
    assert problem["type"].endswith(":does-not-fit")
    assert "bytes" in problem["detail"] and "32 of them would hold it" in problem["detail"]
    problem = refused(server, 422, ["/gpu_count"], model="mixtral-8x7b", gpu_count=1)
    assert '2 of them would hold it, or quantization "int8" on as many' in problem["detail"]
    problem = refused(server, 422, ["/gpu_count"], gpu_count=1,
                      traffic={"prompt_tokens": 16777216, "output_tokens": 16777216})
    assert "no number of them would hold it" in problem["detail"], problem


def case_unpriced_providers_are_refused(server):
    problem = refused(server, 422, ["/providers"], providers=["cudo-2024"], gpu="A10G")
    assert problem["type"].endswith(":unpriced")


def case_bad_values_are_told_all_at_once(server):
    refused(server, 400, ["/traffic/prompt_tokens", "/traffic/output_tokens"],
            traffic={"prompt_tokens": 0, "output_tokens": -1})
    refused(server, 400, ["/traffic/prompt_tokens/histogram"],
            traffic={"prompt_tokens": {"histogram": []}})
    refused(server, 400, ["/traffic/prompt_tokens/histogram"],
            traffic={"prompt_tokens": {"histogram": [[100, 0]]}})
    refused(server, 400, ["/traffic/prompt_tokens/histogram/0/0", "/traffic/output_tokens/tokens",
                          "/traffic/output_tokens/histogram"],
            traffic={"prompt_tokens": {"histogram": [[0, 1]]}, "output_tokens": {"tokens": 3}})
    refused(server, 400, ["/traffic/pairs"], traffic={"pairs": [[1, 2, 0]]})
    refused(server, 400, ["/traffic/pairs/0"], traffic={"pairs": [[1, 2]]})
    refused(server, 400, ["/traffic/pairs"], traffic={"pairs": [[1, 2, 3]], "prompt_tokens": 1})
    refused(server, 400, ["/traffic"], traffic=3)
    refused(server, 400, ["/active_experts"], active_experts=2)
    refused(server, 400, ["/active_experts"], model="mixtral-8x7b", active_experts=9)
    refused(server, 400, ["/gpu_count"], gpu_count=0)
    refused(server, 400, ["/gpu_count"], gpu_count=9, max_serving_gpu_count=8)
    refused(server, 400, ["/max_concurrent_requests"], max_concurrent_requests=0)
    refused(server, 400, ["/quantization"], precision="fp8", quantization="int4")
    refused(server, 400, ["/kv_precision"], kv_precision="nf4")
    refused(server, 400, ["/usd_per_gpu_hour"], usd_per_gpu_hour=1, providers=["runpod-2025"])
    refused(server, 400, ["/stack"], stack="torchtune")
    refused(server, 400, ["/confidence", "/gpus"], confidence=1, gpus=["A40"])


def case_unknown_ids_are_named(server):
    problem = refused(server, 400, ["/model", "/gpu", "/stack", "/providers/0"], model="none",
                      gpu="none", stack="none", providers=["none"])
    assert problem["type"].endswith(":unknown-reference")


def case_more_active_experts_than_experts_are_a_bad_config(server):
    refused(server, 400, ["/model/num_experts_per_tok"], model={
        "model_type": "mixtral", "hidden_size": 4096, "num_hidden_layers": 32,
        "num_attention_heads": 32, "num_key_value_heads": 8, "intermediate_size": 14336,
        "vocab_size": 32000, "num_local_experts": 4, "num_experts_per_tok": 5})


def case_nothing_is_not_a_request(server):
    problem = asked(server, {}, 400)
    assert [fault["pointer"] for fault in problem["errors"]] == ["/model", "/gpu"]


def case_validation_holds_the_roofline_against_every_run(server):
    stacks = {row["stack"]: row for row in server.get("/v1/validation").json["serving"]}
    assert {name: row["points"] for name, row in stacks.items()} == {
        "gpt-fast": 31, "hf-2023": 12, "vllm": 1}
    row = stacks["gpt-fast"]
    assert row["median_ape"] <= 0.15 and row["p90_ape"] <= 0.35, row
    assert row["held_out"]["points"] == 18 and row["held_out"]["median_ape"] <= 0.15
    assert len(row["runs"]) == 31 and 0.85 <= row["interval_coverage_90"] <= 1


def case_weights_are_only_proportions(server):
    rows = [[100, 1], [200, 3]]
    small = [[tokens, weight * 1e-300] for tokens, weight in rows]
    answers = [served(server, traffic={"prompt_tokens": {"histogram": side},
                                       "output_tokens": {"histogram": side}})
               for side in (rows, small)]
    close(answers[0]["tokens_per_s"], answers[1]["tokens_per_s"])
