"""POST /v1/plans: the worked-out figures, and how answers move and hang together. What is refused is
in cases_bad_plans.py."""
import math

from contract import Contract

CONTRACT = Contract()
ASKED = {"budget_flop": 5.15e21, "law": "yun2024-reconstructed", "experts": [1, 4, 8, 16, 32],
         "base_experts": 4, "gpu": "A100-40GB-SXM", "max_serving_gpu_count": 8,
         "max_concurrent_requests": 256, "usd_per_gpu_hour": 1.5,
         "traffic": {"prompt_tokens": 161, "output_tokens": 338}, "served_tokens": 1e12}


def body_of(members):
    """The request with these members; None takes one away."""
    return {key: value for key, value in {**ASKED, **members}.items() if value is not None}


def planned(server, **members):
    body = body_of(members)
    CONTRACT.check_request("POST", "/v1/plans", body)
    answer = server.post("/v1/plans", body)
    assert answer.status == 200, answer
    CONTRACT.check_answer("POST", "/v1/plans", answer)
    return answer.json


def option(plan, experts):
    return next(o for o in plan["options"] if o["experts"] == experts)


def close(got, want, tolerance=1e-6):
    assert math.isclose(got, want, rel_tol=tolerance), f"got {got}, want {want}"


def codes(plan):
    return [warning["code"] for warning in plan["warnings"]]


def claim(plan, name):
    return next(c for c in plan["claims"] if c["claim"] == name)


# Figures

def case_algorithm_1_ends_as_much_smaller_as_worked_out(server):
    plan = planned(server, experts=[8, 16, 32, 64])
    for experts, percent in ((8, 63.4), (16, 78.3), (32, 85.5), (64, 89.2)):
        model = option(plan, experts)["bounded_loss"]
        assert abs(100 * (1 - model["shrink_ratio"]) - percent) <= 0.5, model
        close(model["loss"], plan["base"]["loss"])


def case_four_and_eight_experts_need_351_and_194_percent_of_sixteen_s_budget(server):
    plan = planned(server, base_experts=16)
    assert abs(option(plan, 4)["equal_loss_budget_ratio"] - 3.51) <= 0.005, plan
    assert abs(option(plan, 8)["equal_loss_budget_ratio"] - 1.94) <= 0.005, plan
    assert option(plan, 16)["equal_loss_budget_ratio"] == 1


def case_claims_state_what_holds_with_and_without_the_cap(server):
    plan = planned(server)
    cheapest = claim(plan, "few-experts-serve-cheapest")
    assert cheapest["holds"] and not cheapest["holds_uncapped"], cheapest
    for suffix, experts in (("", 4), ("_uncapped", 32)):
        costs = {row["experts"]: row["serving_gpu_s_per_million_tokens" + suffix]
                 for row in cheapest["numbers"]}
        assert min(costs, key=costs.get) == experts, costs
    assert claim(plan, "few-experts-cost-more-to-train")["holds"], plan["claims"]
    assert claim(plan, "small-overtrained-16-32")["holds"], plan["claims"]
    assert not claim(planned(server, budget_flop=1e21), "few-experts-serve-cheapest")["holds"]


# Answers hang together

def case_the_bill_adds_up(server):
    model = option(planned(server), 8)["loss_optimal"]
    close(model["training_flop"], 6 * model["parameters"] * model["tokens"])
    close(model["training_gpu_hours"], 5.15e21 / (0.4 * 312e12) / 3600)
    close(model["training_usd"], 1.5 * model["training_gpu_hours"])
    close(model["serving_usd_per_million_tokens"],
          model["serving_gpu_s_per_million_tokens"] / 3600 * 1.5)
    close(model["served_usd"], 1e6 * model["serving_usd_per_million_tokens"])
    close(model["total_usd"], model["served_usd"] + model["training_usd"])


def case_losses_are_those_of_the_loss_endpoint(server):
    plan = planned(server)
    models = [option(plan, e)[name] for e in (8, 16) for name in ("loss_optimal", "bounded_loss")]
    answer = server.post("/v1/losses", {"law": plan["law"], "points": [
        {"parameters": m["parameters"], "tokens": m["tokens"], "experts": e}
        for m, e in zip(models, (8, 8, 16, 16))]})
    for got, model in zip(answer.json["losses"], models):
        close(got, model["loss"])


def case_algorithms_relate_to_the_base(server):
    plan = planned(server)
    base = option(plan, 4)
    assert base["bounded_loss"]["parameters_ratio"] == base["bounded_cost"]["parameters_ratio"] == 1
    for experts in (8, 16, 32):
        one = option(plan, experts)
        close(one["bounded_loss"]["parameters_ratio"],
              one["bounded_loss"]["parameters"] / plan["base"]["parameters"])
        close(one["bounded_cost"]["serving_cost_ratio"], 1, 1e-6)
        assert one["bounded_cost"]["cost_binds"] and one["bounded_cost"]["loss_difference"] < 0
    assert not option(plan, 1)["bounded_cost"]["cost_binds"]


def case_a_loss_out_of_an_option_s_reach_is_null_with_the_nearest(server):
    one = option(planned(server), 1)
    assert one["bounded_loss"] is None and one["least_total_cost"] is None, one
    assert f"{one['loss_optimal']['loss']:.4f}" in one["bounded_loss_reason"], one


def case_defaults_are_the_paper_s_set_up_and_echoed(server):
    answer = server.post("/v1/plans", {"budget_flop": 5.15e21})
    CONTRACT.check_answer("POST", "/v1/plans", answer)
    plan = answer.json
    assert [o["experts"] for o in plan["options"]] == [1, 2, 4, 8, 16, 32, 64]
    assert plan["law"] == "yun2024-reconstructed" and plan["gpu"] == "A100-40GB-SXM"
    assumed = plan["assumptions"]
    assert assumed["utilisation"] == 0.4 and assumed["max_concurrent_requests"] == 256, assumed
    assert assumed["traffic"]["output_tokens"] == 338 and assumed["base_experts"] == 4, assumed
    assert "assumed-utilisation" in codes(plan) and "reconstructed" in codes(plan)
    assert "assumed-utilisation" not in codes(planned(server, utilisation=0.4))


def case_reconstructed_sets_say_so_wherever_they_appear(server):
    plan = planned(server, laws=["yun2024-reconstructed", "yun2024-s3", "yun2024-s5"])
    assert plan["status"] == "reconstructed"
    assert {law["status"] for law in plan["laws"]} == {"reconstructed"}
    assert {c["status"] for c in plan["claims"]} == {"reconstructed"}
    assert planned(server, law="ludziejewski2025")["status"] == "published"


def case_s5_gives_ratios_of_activated_parameters(server):
    plan = planned(server, law="yun2024-s5", base_experts=1)
    assert plan["ratios_of"] == "activated-parameters", plan["ratios_of"]
    model = option(plan, 16)["loss_optimal"]
    close(model["parameters_ratio"],
          model["active_parameters"] / plan["base"]["active_parameters"])
    close(model["training_flop"], 6 * model["active_parameters"] * model["tokens"])
    assert planned(server)["ratios_of"] == "dense-equivalent-parameters"


def case_prices_are_the_request_s_or_the_cheapest_offer(server):
    assert planned(server)["price"]["provider"] == "request"
    offered = planned(server, usd_per_gpu_hour=None, providers=["aws"])
    assert offered["price"]["provider"] == "aws", offered["price"]
    close(offered["price"]["usd_per_gpu_hour"], 21.9576 / 8)
    twice = planned(server, usd_per_gpu_hour=3)
    close(twice["base"]["training_usd"], 2 * planned(server)["base"]["training_usd"])


def case_dollars_become_flops_at_price_and_utilisation(server):
    plan = planned(server, budget_flop=None, budget_usd=30000, served_tokens=None, utilisation=0.5)
    close(plan["budget_flop"], 30000 / 1.5 * 3600 * 0.5 * 312e12)
    close(plan["base"]["training_usd"], 30000)


def case_fp8_trains_at_the_fp8_rate_and_says_so(server):
    plain, halved = (planned(server, gpu="H100-SXM-80GB", precision=p) for p in ("bf16", "fp8"))
    close(halved["base"]["training_gpu_hours"], plain["base"]["training_gpu_hours"] / 2, 1e-3)
    assert "fp8-training" in codes(halved) and "fp8-training" not in codes(plain)
    assert "fp8-training" not in codes(planned(server, precision="fp8"))  # an A100 has no such rate


# Total cost and constraints

def case_the_least_total_cost_is_the_recommendation(server):
    plan = planned(server)
    totals = {o["experts"]: o["least_total_cost"]["total_usd"] for o in plan["options"]
              if o["least_total_cost"]}
    best = plan["recommendation"]
    assert best["objective"] == "total-cost" and best["experts"] == min(totals, key=totals.get)
    assert best["total_usd"] <= option(plan, best["experts"])["bounded_loss"]["total_usd"]
    close(best["loss"], plan["base"]["loss"])


def case_without_served_tokens_the_cheapest_to_serve_is(server):
    plan = planned(server, served_tokens=None)
    costs = {o["experts"]: o["bounded_loss"]["serving_cost_ratio"] for o in plan["options"]
             if o["bounded_loss"]}
    best = plan["recommendation"]
    assert best["objective"] == "serving-cost" and best["experts"] == min(costs, key=costs.get)
    assert f"{best['experts']} experts" in best["why"], best


def case_a_total_budget_gives_the_lowest_loss_it_trains_and_serves(server):
    plan = planned(server, budget_flop=None, budget_usd=60000)
    assert plan["recommendation"]["objective"] == "loss"
    for one in plan["options"]:
        close(one["within_total_budget"]["total_usd"], 60000)
        assert one["within_total_budget"]["loss"] >= plan["recommendation"]["loss"]
    poor = planned(server, budget_flop=None, budget_usd=1)
    assert "alone" in option(poor, 4)["within_total_budget_reason"], poor["options"][1]
    assert poor["recommendation"]["experts"] is None, poor["recommendation"]


def case_a_total_budget_binds_a_required_loss_too(server):
    rich = planned(server, budget_flop=None, budget_usd=60000, required_loss=2.3)["recommendation"]
    assert rich["objective"] == "total-cost" and rich["total_usd"] <= 60000, rich
    close(rich["loss"], 2.3)
    plan = planned(server, budget_flop=None, budget_usd=20000, served_tokens=1e15,
                   required_loss=2.4)
    least = min(o["least_total_cost"]["total_gpu_hours"] for o in plan["options"]
                if o["least_total_cost"])
    assert plan["recommendation"]["experts"] is None, plan["recommendation"]
    assert f"{least:.4g} GPU hours" in plan["recommendation"]["why"], plan["recommendation"]


def case_a_required_loss_is_reached(server):
    plan = planned(server, required_loss=2.2)
    close(plan["recommendation"]["loss"], 2.2)
    assert option(plan, 8)["required_loss"] is None
    assert "2.2172" in option(plan, 8)["required_loss_reason"], option(plan, 8)


def case_an_easy_required_loss_takes_the_smallest_model(server):
    for served_tokens in (None, 1e12):
        plan = planned(server, required_loss=50, served_tokens=served_tokens)
        best = plan["recommendation"]
        close(best["parameters"], 1e4)
        assert best["loss"] <= 50 * (1 + 1e-9) and best["loss_bound"] == 50, best


def case_constraints_hold(server):
    for member, limit, of in (("max_total_parameters", 1e10, "total_parameters"),
                              ("max_training_tokens", 1e11, "tokens")):
        plan = planned(server, **{member: limit})
        for one in plan["options"]:
            for name in ("loss_optimal", "bounded_loss", "bounded_cost", "equal_loss"):
                assert one[name] is None or one[name][of] <= limit * (1 + 1e-6), (member, one)
    one_gpu = planned(server, max_serving_gpu_count=1)
    assert {o["bounded_loss"]["serving_gpu_count"] for o in one_gpu["options"]
            if o["bounded_loss"]} <= {1, None}


def case_a_deadline_counts_gpus_or_limits_the_budget(server):
    model = planned(server, deadline_s=864000)["base"]
    assert model["training_gpu_count"] == math.ceil(model["training_gpu_hours"] * 3600 / 864000)
    late = planned(server, deadline_s=86400, training_gpu_count=100)
    close(late["budget_flop"], 86400 * 100 * 0.4 * 312e12)
    close(late["base"]["training_duration_s"], 86400)
    assert "deadline-binds" in codes(late)


def case_a_concrete_mixture_tells_its_shares(server):
    assumed = planned(server, model="mixtral-8x7b", experts=[8, 16])["assumptions"]
    assert assumed["active_experts"] == 2 and assumed["moe_layer_share"] == 1, assumed
    experts = 8 * 3 * 4096 * 14336 * 32
    close(assumed["mlp_share"], experts / 8 / (46702792704 - experts * 7 / 8), 1e-3)


# Several laws, series, shapes

def case_all_applicable_laws_stand_side_by_side(server):
    plan = planned(server, laws="all-applicable")
    assert {law["law"] for law in plan["laws"]} == {
        "yun2024-reconstructed", "yun2024-s3", "yun2024-s5", "ludziejewski2025", "abnar2025",
        "zhao2025"}
    said = [law["recommendation"]["experts"] for law in plan["laws"]]
    agreed = plan["consensus"]
    assert agreed["experts"] in said and agreed["agreeing"] == said.count(agreed["experts"])
    assert agreed["spread"]["experts"] == [min(said), max(said)], agreed
    assert "robust" in agreed["robust"], agreed


def case_laws_of_dense_models_have_no_say_on_the_number_of_experts(server):
    plan = planned(server, law=None, laws=["besiroglu2024", "hoffmann2022"], experts=None,
                   base_experts=None)
    agreed = plan["consensus"]
    assert agreed["experts"] is None and agreed["voters"] == 0 and agreed["laws"] == 2, agreed
    assert agreed["spread"]["experts"] is None, agreed
    assert "None of the laws knows experts" in agreed["robust"], agreed


def case_a_law_alone_says_what_it_says_among_others(server):
    among = next(law for law in planned(server, laws="all-applicable")["laws"]
                 if law["law"] == "ludziejewski2025")
    alone = planned(server, law="ludziejewski2025")
    assert among["recommendation"] == alone["recommendation"]


def case_the_first_of_several_laws_is_shown_unless_one_is_named(server):
    laws = ["zhao2025", "yun2024-s3"]
    assert planned(server, law=None, laws=laws)["law"] == "zhao2025"
    assert planned(server, laws=laws)["law"] == "yun2024-reconstructed"


def case_a_law_of_dense_models_plans_dense_models(server):
    answer = server.post("/v1/plans", {"budget_flop": 5.76e23, "law": "besiroglu2024",
                                       "max_serving_gpu_count": 16})
    CONTRACT.check_answer("POST", "/v1/plans", answer)
    plan = answer.json
    assert [o["experts"] for o in plan["options"]] == [1] and plan["claims"] == []
    close(plan["base"]["parameters"], 72.3e9, 0.001)
    close(plan["base"]["tokens"], 1.33e12, 0.003)


def case_a_user_s_law_plans_too(server):
    coefficients = {"A": 1810.48, "alpha": 0.44323, "B": 0.605862, "beta": 0.53474, "C": 161708,
                    "gamma": 0.56634, "F": 2.01937, "d": -7.66978e-4, "E_start": 10.7632,
                    "E_max": 58.5529}
    made = server.request("POST", "/v1/scaling-laws",
                          {"name": "my-plan-law", "form": "yun2024", "coefficients": coefficients},
                          server.bearer("catalog:write"))
    assert made.status == 201, made
    mine = planned(server, law="my-plan-law")
    assert mine["status"] == "user"
    close(mine["base"]["parameters"], planned(server)["base"]["parameters"])


def case_series_are_ready_to_plot(server):
    plan = planned(server, series=True)
    series = plan["series"]
    for name, points in (("over_training", 25), ("loss_cost", 9), ("equal_loss_budgets", 9),
                         ("bounded_cost", 9)):
        assert [c["experts"] for c in series[name]] == ASKED["experts"], series[name]
        assert [len(c["points"]) for c in series[name]] == [points] * 5, name
    middle = series["bounded_loss"][3]["points"][4]
    close(middle["budget_flop"], 5.15e21)
    close(middle["shrink_ratio"], option(plan, 16)["bounded_loss"]["shrink_ratio"])
    losses = [p["loss"] for p in series["loss_cost"][3]["points"]]
    assert losses == sorted(losses, reverse=True), losses
    assert "series" not in planned(server)


def case_shapes_can_be_built(server):
    plan = planned(server, shape=True)
    for one in plan["options"]:
        model = one["loss_optimal"]
        shape = model["shape"]
        assert shape["hidden_size"] == shape["heads"] * shape["head_size"], shape
        assert shape["experts"] == one["experts"]
        assert abs(shape["parameters"] / model["parameters"] - 1) < 0.05, shape
        assert abs(shape["total_parameters"] / model["total_parameters"] - 1) < 0.06, shape
    assert "shape" not in planned(server)["base"]


def case_the_same_question_gives_the_same_bytes(server):
    body = body_of({"laws": "all-applicable", "series": True, "shape": True})
    assert server.post("/v1/plans", body).body == server.post("/v1/plans", body).body
