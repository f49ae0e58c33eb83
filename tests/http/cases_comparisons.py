"""Comparisons: what is ranked and by what, that every option is its estimate, bounds, chances, pages,
what is infeasible and why, and what is refused."""
import math

from client import expect_problem
from contract import Contract

CONTRACT = Contract()
QLORA = {"kind": "qlora", "rank": 16, "targets": ["experts", "router"]}
TABLE_4 = {"model": "mixtral-8x7b", "method": QLORA, "epochs": 10, "providers": ["cudo-2024"],
           "dataset": {"queries": 15000, "lengths": {"name": "xia2024-math"}, "cutoff_tokens": 1024}}
SMALL = {"model": "llama-3.1-8b", "dataset": {"queries": 10000, "lengths": {
    "quantiles": {"p50": 174, "p90": 271, "max": 1470}}}}
OWN = ("gpus", "gpu_counts", "spot", "budget_usd", "deadline_s", "objective", "limit", "cursor")


def compared(server, job, **members):
    body = {**job, **members}
    CONTRACT.check_request("POST", "/v1/comparisons", body)
    answer = server.post("/v1/comparisons", body)
    assert answer.status == 200, f"{body}: {answer}"
    CONTRACT.check_answer("POST", "/v1/comparisons", answer)
    return answer.json


def refused(server, status, slug, pointer, part, **members):
    answer = server.post("/v1/comparisons", {**SMALL, **members})
    CONTRACT.check_answer("POST", "/v1/comparisons", answer)
    expect_problem(answer, status, slug, pointer, part)


def all_options(server, job, **members):
    got = compared(server, job, limit=1000, **members)
    options = got["options"]
    while got["next_cursor"]:
        got = compared(server, job, limit=1000, cursor=got["next_cursor"], **members)
        options += got["options"]
    assert len(options) == got["option_count"], (len(options), got["option_count"])
    return options


def case_the_cheapest_gpu_of_table_4_is_the_h100(server):
    got = compared(server, TABLE_4, estimator="measured", gpu_counts=[1])
    costs = [(o["gpu"], o["batch_size"], round(o["cost_usd"], 2)) for o in got["options"]]
    assert costs == [("H100-PCIe-80GB", 17, 17.86), ("A100-80GB-PCIe", 17, 25.40),
                     ("A40", 4, 32.74)], costs
    assert all(o["basis"] == "calibrated" for o in got["options"]), got["options"]
    assert got["options"][0]["p_cheapest"] > 0.999, got["options"][0]
    assert [o["gpu"] for o in got["front"]] == ["H100-PCIe-80GB"], got["front"]
    even = got["break_even"]
    assert math.isclose(even["runner_up_usd_per_gpu_hour"], 1.67 * 17.86162 / 25.39603096,
                        rel_tol=1e-6), even
    assert got["sensitivity"]["length"] is None, got["sensitivity"]


def same_as_single(server, job, option, spot_rate=False):
    """To the last digit: the two are encoded from the same doubles."""
    single = {key: value for key, value in job.items() if key not in OWN}
    answer = server.post("/v1/estimates", {**single, "gpu": option["gpu"],
                                           "gpu_count": option["gpu_count"]})
    assert answer.status == 200, answer
    got = answer.json
    assert option["duration_s"] == got["duration_s"], (option, got["duration_s"])
    assert option["batch_size"] == got["batch_size"] and option["layout"] == got["layout"], option
    assert option["queries_per_s"] == got["throughput"]["queries_per_s"], option
    assert option["interval"]["duration_s"] == got["interval"]["duration_s"], option
    assert option["basis"] == got["basis"]["kind"], option
    assert option["warnings"] == [w["code"] for w in got["warnings"] if w["code"] in option["warnings"]]
    lines = [line for line in got["cost"] if all(line[key] == option[key] for key in (
        "provider", "region", "instance_type", "usd_per_gpu_hour", "cost_usd", "instance_count",
        "instance_gpu_count", "idle_gpu_count", "price_date", "stale"))]
    assert lines, (option, got["cost"])
    if option["cost_usd"] == got["cost"][0]["cost_usd"]:
        assert option["interval"]["cost_usd"] == got["interval"]["cost_usd"], option


def case_every_option_equals_the_single_estimate(server):
    for job in ({**SMALL, "method": "lora"}, {**TABLE_4, "providers": ["vast", "lium", "aws"]},
                {**TABLE_4, "estimator": "measured", "gpu_counts": [1]},
                {**SMALL, "usd_per_gpu_hour": 2.5, "gpu_counts": [3, 16], "confidence": 0.5},
                {**SMALL, "gpu_count": 8, "layout": {"tensor": 2, "zero_stage": 1},
                 "gpus": ["H100-SXM-80GB", "A100-80GB-SXM"]}):
        options = all_options(server, job)
        assert options, job
        for option in options[::max(1, len(options) // 40)]:
            same_as_single(server, {key: value for key, value in job.items() if key != "gpu_count"},
                           option)


def case_options_are_ranked_by_the_objective(server):
    for objective, first, second in (("cost", "cost_usd", "duration_s"),
                                     ("time", "duration_s", "cost_usd")):
        options = all_options(server, SMALL, objective=objective)
        keys = [(o[first], o[second]) for o in options]
        assert keys == sorted(keys), objective
        assert [o["rank"] for o in options] == list(range(1, len(options) + 1))


def case_the_front_is_what_nothing_dominates(server):
    for members in ({}, {"objective": "time"}, {"spot": "both"}):
        options = all_options(server, SMALL, **members)
        want = {o["rank"] for o in options if not any(
            other["cost_usd"] <= o["cost_usd"] and other["duration_s"] <= o["duration_s"]
            and (other["cost_usd"] < o["cost_usd"] or other["duration_s"] < o["duration_s"])
            for other in options)}
        assert {o["rank"] for o in options if o["on_front"]} == want
        front = compared(server, SMALL, limit=1, **members)["front"]
        assert {o["rank"] for o in front} == want, front


def case_probabilities_are_those_of_the_intervals(server):
    options = all_options(server, SMALL, budget_usd=2, deadline_s=4000)
    assert abs(sum(o["p_cheapest"] for o in options) - 1) < 1e-6
    for o in options:
        assert o["cost_usd"] <= 2 and o["duration_s"] <= 4000, o
        assert 0.5 <= o["p_in_budget"] <= 1 and 0.5 <= o["p_in_time"] <= 1, o
        low, high = o["interval"]["duration_s"]
        if high <= 4000:
            assert o["p_in_time"] >= 0.949, o
    bare = compared(server, SMALL)["options"]
    assert all(o["p_in_budget"] is None and o["p_in_time"] is None for o in bare)
    shares = {}
    for o in options:
        shares.setdefault((o["gpu"], o["gpu_count"]), []).append((o["cost_usd"], o["p_cheapest"]))
    for items in shares.values():  # of one estimate the cheapest offers alone can be the cheapest
        least = min(cost for cost, _ in items)
        assert all(p == 0 for cost, p in items if cost > least), items


def case_bounds_that_nothing_keeps_are_answered_with_how_far_off_they_are(server):
    got = compared(server, SMALL, budget_usd=0.001)
    assert got["options"] == [] and got["option_count"] == 0 and got["front"] == []
    assert got["break_even"] is None and got["sensitivity"] is None
    least = compared(server, SMALL)["options"][0]
    cheapest = got["unmet"]["cheapest"]
    assert cheapest["rank"] is None and cheapest["gpu"] == least["gpu"], cheapest
    assert math.isclose(cheapest["budget_usd_missing"], least["cost_usd"] - 0.001, rel_tol=1e-6)
    assert cheapest["deadline_s_missing"] is None and cheapest["p_in_budget"] < 1e-6
    got = compared(server, SMALL, deadline_s=0.001)
    assert got["unmet"]["fastest"]["deadline_s_missing"] > 0, got["unmet"]
    assert {item["reason"] for item in got["infeasible"]} >= {"past-deadline"}
    assert compared(server, SMALL)["unmet"] is None


def case_what_is_infeasible_says_why_and_what_would_help(server):
    full = {**SMALL, "model": "llama-3.1-70b", "method": "full", "dataset": {
        "queries": 1000, "lengths": {"fixed_tokens": 2048}}}
    got = compared(server, full, gpus=["A10", "H100-SXM-80GB"], gpu_counts=[1, 2, 8, 16])
    by = {(item["gpu"], item["gpu_count"]): item for item in got["infeasible"]}
    assert by["A10", 8]["reason"] == "does-not-fit"
    assert by["A10", 8]["change"]["to"] in ("lora", "qlora"), by["A10", 8]
    assert by["H100-SXM-80GB", 1]["change"]["field"] in ("gpu_count", "method"), by
    kept = compared(server, SMALL, gpus=["A40"], gpu_count=1, gradient_checkpointing=False,
                    batch_size=4)["infeasible"]
    assert kept[0]["change"]["field"] == "gradient_checkpointing", kept
    large = compared(server, SMALL, gpus=["A40"], gpu_count=1, batch_size=1000)["infeasible"]
    single = server.post("/v1/estimates", {**SMALL, "gpu": "A40"}).json
    assert large[0]["change"]["field"] == "batch_size", large
    assert large[0]["change"]["to"] == single["max_batch_size"], (large, single["max_batch_size"])
    priced = compared(server, SMALL, gpus=["A40", "H100-SXM-80GB"], providers=["cudo-2024"])
    (item,) = priced["infeasible"]
    assert item["reason"] == "unpriced" and item["gpu"] == "H100-SXM-80GB", item
    assert item["gpu_count"] is None and item["change"] is None, item
    dear = compared(server, SMALL, gpus=["A40"], gpu_count=1, budget_usd=0.01)["infeasible"][0]
    assert dear["reason"] == "over-budget" and dear["change"]["field"] == "budget_usd", dear
    assert math.isclose(dear["change"]["by"], dear["change"]["to"] - 0.01, rel_tol=1e-6), dear
    late = compared(server, SMALL, gpus=["A40"], gpu_count=1, deadline_s=10)["infeasible"][0]
    assert late["reason"] == "past-deadline" and late["change"]["field"] == "deadline_s", late
    more = compared(server, SMALL, gpus=["A40"], deadline_s=1500)["infeasible"]
    assert any(item["change"]["field"] == "gpu_count" for item in more), more


def case_spot_prices_count_when_asked(server):
    both = all_options(server, SMALL, spot="both")
    spot = all_options(server, SMALL, spot=True)
    plain = all_options(server, SMALL)
    assert all(o["spot"] for o in spot) and not any(o["spot"] for o in plain)
    assert len(both) == len(spot) + len(plain)
    for o in spot[:20]:
        prices = server.get(f"/v1/prices?gpu={o['gpu']}&limit=1000").json["prices"]
        assert any(math.isclose(p["spot_usd_per_gpu_hour"] or 0, o["usd_per_gpu_hour"], rel_tol=1e-9)
                   and p["provider"] == o["provider"] for p in prices), o


def case_pages_go_on_where_the_last_one_ended(server):
    whole = compared(server, SMALL, limit=30)["options"]
    first = compared(server, SMALL, limit=20)
    second = compared(server, SMALL, limit=10, cursor=first["next_cursor"])
    assert first["options"] + second["options"] == whole
    for cursor in ("nonsense", first["next_cursor"][:-2] + "999999", first["next_cursor"] + "x"):
        refused(server, 400, "invalid-field", "/cursor", "begin again", cursor=cursor)
    for other in ({"objective": "time"}, {"epochs": 3}, {"spot": "both"}):
        refused(server, 400, "invalid-field", "/cursor", "begin again",
                cursor=first["next_cursor"], **other)
    assert len(compared(server, SMALL)["options"]) == 50


def case_sensitivity_says_what_would_change_the_winner(server):
    got = compared(server, SMALL, gpus=["A40", "L40S", "A100-80GB-PCIe", "H100-SXM-80GB"])
    price, length, epochs = (got["sensitivity"][name] for name in ("price", "length", "epochs"))
    best = got["options"][0]
    for item in (price, epochs):
        assert math.isclose(item["elasticity"], 1, rel_tol=1e-9), item
        assert math.isclose(item["above"]["cost_usd"], 1.25 * best["cost_usd"], rel_tol=1e-9)
    assert 0.5 < length["elasticity"] < 1.6, length
    assert price["below"]["best"]["rank"] == 1 and not price["below"]["changes"]
    second = got["options"][1]
    changes = second["cost_usd"] < 1.25 * best["cost_usd"]
    assert price["above"]["changes"] == changes, (price, best, second)
    assert not epochs["above"]["changes"] and not epochs["below"]["changes"], epochs
    tight = compared(server, SMALL, gpus=["A40", "H100-SXM-80GB"], gpu_count=1,
                     deadline_s=1.1 * best["duration_s"] if best["gpu"] == "A40" else 2000)
    assert tight["sensitivity"]["epochs"]["above"]["best"] is None or \
        tight["sensitivity"]["epochs"]["above"]["best"]["gpu"] != "A40", tight["sensitivity"]


def case_cost_is_linear_in_price_and_in_epochs(server):
    ones = all_options(server, SMALL, usd_per_gpu_hour=1, gpus=["A40", "L40S"])
    twos = all_options(server, SMALL, usd_per_gpu_hour=2, gpus=["A40", "L40S"])
    thrice = all_options(server, SMALL, usd_per_gpu_hour=1, gpus=["A40", "L40S"], epochs=3)
    for one, two, three in zip(ones, twos, thrice):
        assert (one["gpu"], one["gpu_count"]) == (two["gpu"], two["gpu_count"])
        assert math.isclose(two["cost_usd"], 2 * one["cost_usd"], rel_tol=1e-9)
        assert math.isclose(three["cost_usd"], 3 * one["cost_usd"], rel_tol=1e-9)


def case_the_same_request_gives_the_same_bytes(server):
    bodies = {server.post("/v1/comparisons", SMALL, {"X-Request-Id": "same"}).body for _ in range(3)}
    assert len(bodies) == 1


def case_bad_fields_are_named(server):
    refused(server, 400, "invalid-field", "/gpus", "1..256", gpus=[])
    refused(server, 400, "invalid-field", "/gpus", "1..256", gpus="A40")
    refused(server, 400, "invalid-field", "/gpus/0", "id of a GPU", gpus=[7])
    refused(server, 400, "unknown-reference", "/gpus/1", "no GPU", gpus=["A40", "H100-SXM-81GB"])
    refused(server, 400, "invalid-field", "/gpus/1", "second time", gpus=["A40", "a40"])
    refused(server, 400, "invalid-field", "/gpus", "one or the other", gpus=["A40"], gpu="A40")
    refused(server, 400, "unknown-reference", "/gpu", "no GPU", gpu="H100-SXM-81GB")
    refused(server, 400, "invalid-field", "/gpu_counts", "1..16", gpu_counts=[])
    for bad in (0, 1.5, -1, 1e9, "2"):
        refused(server, 400, "invalid-field", "/gpu_counts/0", "65536", gpu_counts=[bad])
    refused(server, 400, "invalid-field", "/gpu_counts/1", "second time", gpu_counts=[2, 2])
    refused(server, 400, "invalid-field", "/gpu_counts", "one or the other", gpu_counts=[1],
            gpu_count=1)
    refused(server, 400, "invalid-field", "/spot", "both", spot="maybe")
    refused(server, 400, "invalid-field", "/spot", "goes without", spot=True, usd_per_gpu_hour=1)
    for name in ("budget_usd", "deadline_s"):
        for bad in (0, -1, "1", 1e30):
            refused(server, 400, "invalid-field", f"/{name}", "", **{name: bad})
    refused(server, 400, "invalid-field", "/objective", "cost", objective="fame")
    for bad in (0, 1001, 1.5, "10"):
        refused(server, 400, "invalid-field", "/limit", "1000", limit=bad)
    refused(server, 400, "invalid-field", "/layout", "one gpu_count", layout={"tensor": 2})
    refused(server, 400, "invalid-field", "/bugdet_usd", "", bugdet_usd=1)
    refused(server, 400, "unknown-reference", "/providers/0", "no provider", providers=["nobody"])
    refused(server, 400, "unknown-reference", "/model", "no model", model="llama-9")


def case_no_candidate_is_a_problem(server):
    refused(server, 422, "unpriced", "/providers", "no candidate", gpus=["H100-SXM-80GB"],
            providers=["cudo-2024"])


# Tune or buy

BUY = {**SMALL, "gpus": ["A40", "H100-SXM-80GB"], "limit": 1, "serving": {"gpu": "A40"},
       "api": {"usd_per_million_input_tokens": 0.5, "usd_per_million_output_tokens": 1.5},
       "traffic": {"prompt_tokens": 161, "output_tokens": 338}}


def case_tune_or_buy_adds_up(server):
    answer = compared(server, BUY, requests_per_month=1e6)
    got, best = answer["tune_or_buy"], answer["options"][0]
    assert got["tuning_usd"] == best["cost_usd"], (got, best)
    assert got["tuning_usd_interval"] == best["interval"]["cost_usd"], (got, best)
    assert math.isclose(got["api_usd_per_request"], (161 * 0.5 + 338 * 1.5) / 1e6, rel_tol=1e-9)
    group = got["serving"]
    assert math.isclose(group["usd_per_month"],
                        730 * group["usd_per_gpu_hour"] * group["gpu_count"], rel_tol=1e-9), group
    single = server.post("/v1/servings", {"model": BUY["model"], "gpu": "A40", "traffic": BUY["traffic"],
                                          "gpu_count": group["gpu_count"]}).json
    assert group["tokens_per_s"] == single["tokens_per_s"], (group, single)
    assert math.isclose(group["usd_per_request"] * 1e6 / 338, single["usd_per_million_output_tokens"],
                        rel_tol=1e-9), (group, single)
    for row in got["horizons"]:
        own = got["tuning_usd"] + row["months"] * group["groups"] * group["usd_per_month"]
        buy = row["months"] * 1e6 * got["api_usd_per_request"]
        assert math.isclose(row["own_usd"], own, rel_tol=1e-9), row
        assert math.isclose(row["buy_usd"], buy, rel_tol=1e-9), row
        assert (row["p_own_cheaper"] > 0.5) == (own < buy), row
        low, high = row["break_even_requests_per_month_interval"]
        assert low <= row["break_even_requests_per_month"] <= high, row
        at = compared(server, BUY, requests_per_month=row["break_even_requests_per_month"])
        same = next(r for r in at["tune_or_buy"]["horizons"] if r["months"] == row["months"])
        assert math.isclose(same["own_usd"], same["buy_usd"], rel_tol=1e-6), same
        assert math.isclose(at["tune_or_buy"]["break_even_months"], row["months"], rel_tol=1e-3), at


def case_cheap_tokens_are_always_bought(server):
    got = compared(server, BUY, requests_per_month=1e6, api={
        "usd_per_million_input_tokens": 0.001, "usd_per_million_output_tokens": 0.001})["tune_or_buy"]
    assert got["break_even_months"] is None, got
    for row in got["horizons"]:
        assert row["break_even_requests_per_month"] is None and row["p_own_cheaper"] == 0, row


def case_traffic_that_was_not_said_leaves_totals_out(server):
    got = compared(server, BUY)["tune_or_buy"]
    assert got["requests_per_month"] is None and got["serving"]["groups"] is None, got
    assert all("own_usd" not in row for row in got["horizons"]), got
    half = compared(server, BUY, utilisation=0.5)["tune_or_buy"]["serving"]
    assert math.isclose(half["requests_per_month"], 0.5 * got["serving"]["requests_per_month"],
                        rel_tol=1e-9), half
    assert compared(server, SMALL, limit=1)["tune_or_buy"] is None
    assert compared(server, BUY, budget_usd=0.001)["tune_or_buy"] is None


def case_bad_tune_or_buy_is_named(server):
    api = BUY["api"]
    refused(server, 400, "invalid-field", "/serving", "names a gpu", api=api)
    refused(server, 400, "invalid-field", "/serving", "goes with api", serving={"gpu": "A40"})
    refused(server, 400, "invalid-field", "/traffic", "goes with api", traffic={})
    refused(server, 400, "invalid-field", "/requests_per_month", "goes with api", requests_per_month=1)
    refused(server, 400, "invalid-field", "/utilisation", "goes with api", utilisation=0.5)
    bad = {**BUY, "utilisation": 2}
    refused(server, 400, "invalid-field", "/utilisation", "0.01", **bad)
    refused(server, 400, "invalid-field", "/requests_per_month", "", **{**BUY, "requests_per_month": 0})
    refused(server, 400, "invalid-field", "/api", "cost nothing", **{**BUY, "api": {
        "usd_per_million_input_tokens": 0, "usd_per_million_output_tokens": 0}})
    refused(server, 400, "invalid-field", "/api/usd_per_million_output_tokens", "", **{**BUY, "api": {
        "usd_per_million_input_tokens": 1}})
    refused(server, 400, "invalid-field", "/api/usd_per_million_input_tokens", "", **{**BUY, "api": {
        **api, "usd_per_million_input_tokens": -1}})
    for serving, slug, pointer in (({}, "invalid-field", "/serving/gpu"),
                                   ({"gpu": "A41"}, "unknown-reference", "/serving/gpu"),
                                   ({"gpu": "A40", "traffic": {}}, "invalid-field", "/serving"),
                                   ({"gpu": "A40", "mine": 1}, "invalid-field", "/serving/mine")):
        refused(server, 400, slug, pointer, "", **{**BUY, "serving": serving})
    refused(server, 400, "invalid-field", "/traffic/prompt_tokens", "", **{
        **BUY, "traffic": {"prompt_tokens": 0}})
    refused(server, 422, "does-not-fit", "/serving/gpu", "no allowed number", **{
        **BUY, "model": "llama-3.1-70b", "gpus": ["H100-SXM-80GB"],
        "serving": {"gpu": "A40", "gpu_count": 1}})
    refused(server, 422, "unpriced", "/serving/gpu", "prices", **{
        **BUY, "serving": {"gpu": "H100-SXM-80GB", "providers": ["cudo-2024"]}})
