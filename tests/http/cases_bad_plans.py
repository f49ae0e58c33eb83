"""Bad plans: what POST /v1/plans refuses, with which status, kind of problem and pointer. Answers are
in cases_plans.py."""
from cases_plans import CONTRACT, body_of, planned
from client import expect_problem


def refused(server, status, slug, pointer, part, **members):
    answer = server.post("/v1/plans", body_of(members))
    CONTRACT.check_answer("POST", "/v1/plans", answer)
    expect_problem(answer, status, slug, pointer, part)


def case_budgets_are_one_positive_number_in_range(server):
    for budget in (0, -1, 1e40, 5.15, 5.15e9, "5e21"):
        refused(server, 400, "invalid-field", "/budget_flop", "1e+15", budget_flop=budget)
    refused(server, 400, "invalid-field", "/budget_usd", "one or the other", budget_usd=1e5)
    refused(server, 400, "invalid-field", "/budget_flop", "budget_usd", budget_flop=None)
    refused(server, 400, "invalid-field", "/budget_usd", "0.01", budget_flop=None, budget_usd=0)
    refused(server, 400, "invalid-field", "/budget_usd", "FLOPs", budget_flop=None, budget_usd=1e15,
            usd_per_gpu_hour=1e-9)


def case_expert_counts_are_whole_and_in_range(server):
    for bad in (0, 1.5, 1e6, -4, "8"):
        refused(server, 400, "invalid-field", "/experts/1", "65536", experts=[4, bad])
    refused(server, 400, "invalid-field", "/experts", "1..32", experts=[])
    refused(server, 400, "invalid-field", "/experts", "1..32", experts=8)
    refused(server, 400, "invalid-field", "/experts/1", "second time", experts=[4, 4])
    for bad in (0, 1.5, 1e6):
        refused(server, 400, "invalid-field", "/base_experts", "65536", base_experts=bad)
    refused(server, 400, "invalid-field", "/active_experts", "fewest", active_experts=8)
    refused(server, 400, "invalid-field", "/active_experts", "2 (experts, by default)", active_experts=64,
            experts=None, base_experts=None)
    refused(server, 400, "invalid-field", "/active_experts", "4 (base_experts, by default)",
            active_experts=64, experts=[64], base_experts=None)
    refused(server, 400, "invalid-field", "/active_experts", "2 (experts)", active_experts=3,
            experts=[1, 2], base_experts=1)
    planned(server, active_experts=8, experts=[1, 8, 16], base_experts=1)
    refused(server, 400, "invalid-field", "/model", "mixture", model="llama-3.1-8b")
    refused(server, 400, "invalid-field", "/model", "goes without", model="mixtral-8x7b",
            mlp_share=0.5)


def case_laws_must_know_what_they_are_asked(server):
    refused(server, 422, "impossible", "/experts", "does not know experts", law="besiroglu2024")
    refused(server, 422, "impossible", "/base_experts", "does not know experts",
            law="besiroglu2024", experts=[1])
    refused(server, 422, "impossible", "/law", "tokens", law="clark2022-s-base")
    refused(server, 422, "impossible", "/law", "leverage", law="tian2025")
    refused(server, 422, "impossible", "/laws/1", "does not know experts",
            laws=["zhao2025", "hoffmann2022"])
    refused(server, 422, "impossible", "/law", "no optimum", budget_flop=1e30)


def case_a_loss_that_nothing_reaches_names_the_nearest(server):
    refused(server, 422, "impossible", "/required_loss", "2.16495, with 32 experts",
            required_loss=1.5)


def case_models_that_no_gpu_count_serves_are_refused(server):
    refused(server, 422, "does-not-fit", "/max_serving_gpu_count", "would hold it", gpu="T4",
            budget_flop=1e25, max_serving_gpu_count=1)


def case_unknown_names_are_refused(server):
    refused(server, 400, "unknown-reference", "/law", "my-law", law="my-law")
    refused(server, 400, "unknown-reference", "/laws/0", "my-law", laws=["my-law"])
    refused(server, 400, "unknown-reference", "/gpu", "A41", gpu="A41")
    refused(server, 400, "unknown-reference", "/providers/0", "acme", usd_per_gpu_hour=None,
            providers=["acme"])
    refused(server, 400, "unknown-reference", "/stack", "mine", stack="mine")
    refused(server, 400, "unknown-reference", "/model", "gpt-5", model="gpt-5")
    refused(server, 422, "unpriced", "/providers", "named providers", usd_per_gpu_hour=None,
            providers=["cudo-2024"])


def case_other_members_are_checked(server):
    for member, bad in (("served_tokens", -1), ("required_loss", 0), ("max_total_parameters", 0),
                        ("max_training_tokens", -1), ("deadline_s", 0), ("utilisation", 1.1),
                        ("utilisation", 0), ("max_serving_gpu_count", 0), ("series", 1),
                        ("max_concurrent_requests", 0), ("mlp_share", 2), ("laws", []),
                        ("laws", "all"), ("training_gpu_count", 0), ("experts_", 1)):
        refused(server, 400, "invalid-field", f"/{member}", None, **{member: bad})
    refused(server, 400, "invalid-field", "/laws/1", "second time", laws=["zhao2025", "ZHAO2025"])
    refused(server, 400, "invalid-field", "/max_total_parameters", "smallest",
            max_total_parameters=1e6, experts=[65536])
    refused(server, 400, "invalid-field", "/deadline_s", "FLOPs", deadline_s=1,
            training_gpu_count=1)


def case_all_faults_are_told_at_once(server):
    answer = server.post("/v1/plans", body_of({"budget_flop": 0, "experts": [0], "law": "mine",
                                               "gpu": "A41", "served_tokens": -1}))
    assert answer.status == 400, answer
    assert {fault["pointer"] for fault in answer.json["errors"]} == {
        "/budget_flop", "/experts/0", "/law", "/gpu", "/served_tokens"}, answer
