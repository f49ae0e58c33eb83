"""Scaling laws, losses and jobs: what is listed, taken, fitted, refused, cancelled."""
import csv
import json
import math
import pathlib
import random
import threading
import time

from client import Server, expect_problem, wait_until
from contract import Contract

CONTRACT = Contract()
CSV = pathlib.Path(__file__).resolve().parents[1] / "data" / "scaling" / "chinchilla_points.csv"
SHIPPED = {"hoffmann2022", "hoffmann2022-unrounded", "besiroglu2024", "muennighoff2023",
           "sardana2024-all", "sardana2024-100", "clark2022-s-base", "clark2022-rl-r",
           "clark2022-hash", "krajewski2024", "krajewski2024-dense", "ludziejewski2025",
           "abnar2025", "zhao2025", "tian2025", "yun2024-reconstructed", "yun2024-s3", "yun2024-s5"}
COEFFICIENTS = {"A": 400.5, "B": 411, "E": 1.7, "alpha": 0.34, "beta": 0.28}
POINT = {"parameters": 1e9, "tokens": 2e10}
names = (f"law-{i}" for i in range(10000))


def chinchilla():
    """The 240 runs of the replication: the five highest losses dropped."""
    with CSV.open() as file:
        runs = [{"parameters": float(row["n_params"]), "tokens": float(row["n_tokens"]),
                 "loss": float(row["loss"])} for row in csv.DictReader(file)]
    return sorted(runs, key=lambda run: run["loss"])[:240]


def checked(server, method, path, body=None, headers=None):
    answer = server.request(method, path, body, headers)
    CONTRACT.check_answer(method, path, answer)
    return answer


def post_law(server, **law):
    return checked(server, "POST", "/v1/scaling-laws", {"name": next(names), **law},
                   server.bearer("catalog:write"))


def losses(server, law, *points, **members):
    return checked(server, "POST", "/v1/losses", {"law": law, "points": list(points), **members})


def job(server, path):
    answer = checked(server, "GET", path)
    assert answer.status == 200, answer
    return answer.json


def cancel(server, path, headers=None):
    return checked(server, "DELETE", path, None, headers or server.bearer("catalog:write"))


def done(server, answer, limit_s=60.0):
    """The law that a 201 or the job of a 202 came to."""
    if answer.status == 201:
        return answer.json
    assert answer.status == 202, answer
    path = answer.header("Location")
    wait_until(lambda: job(server, path)["state"] not in ("queued", "running"), path, limit_s)
    assert job(server, path)["state"] == "done", job(server, path)
    return job(server, path)["result"]


def near(got, want, tolerance):
    assert abs(got - want) <= tolerance, f"{got}, want {want} within {tolerance}"


def long_fit(server, **members):
    """A fit that takes many seconds: 202 with its job's path."""
    runs = [{**run, "experts": 2 ** (i % 5)} for i, run in enumerate(chinchilla())]
    answer = post_law(server, form="yun2024", runs=runs, starts="grid", **members)
    assert answer.status == 202, answer
    return answer.header("Location")


# What is listed

def case_all_shipped_laws_are_listed_with_what_they_are(server):
    laws = checked(server, "GET", "/v1/scaling-laws?limit=1000").json["scaling_laws"]
    assert SHIPPED <= {law["id"] for law in laws}
    for law in laws:
        assert law["formula"] and law["source"] and law["coefficients"], law
        assert law["parameters_meaning"] in ("total", "active", "dense-equivalent")
    by_id = {law["id"]: law for law in laws}
    assert by_id["besiroglu2024"]["coefficients"] == {"A": 482.01, "B": 2085.43, "E": 1.8172,
                                                      "alpha": 0.3478, "beta": 0.3658}
    assert by_id["besiroglu2024"]["knows_tokens"] and not by_id["besiroglu2024"]["knows_experts"]
    assert by_id["clark2022-hash"]["fixed_tokens"] == 130e9
    assert not by_id["clark2022-hash"]["knows_tokens"] and by_id["clark2022-hash"]["knows_experts"]
    assert by_id["yun2024-s5"]["training_flop"] == "active"
    assert by_id["tian2025"]["quantity"] == "leverage"
    for law in laws:
        assert (law["status"] == "reconstructed") == law["id"].startswith("yun2024"), law["id"]


def case_the_list_is_filtered_and_paged(server):
    rows = checked(server, "GET", "/v1/scaling-laws?status=reconstructed").json["scaling_laws"]
    assert [law["id"] for law in rows] == ["yun2024-reconstructed", "yun2024-s3", "yun2024-s5"]
    rows = checked(server, "GET", "/v1/scaling-laws?form=clark2022&status=published").json
    assert len(rows["scaling_laws"]) == 3
    page = checked(server, "GET", "/v1/scaling-laws?limit=10").json
    rest = checked(server, "GET", f"/v1/scaling-laws?cursor={page['next_cursor']}").json
    assert SHIPPED <= {law["id"] for law in page["scaling_laws"] + rest["scaling_laws"]}
    expect_problem(server.get("/v1/scaling-laws?state=user"), 400, "invalid-field", "/state")


def case_a_law_is_read_in_any_case_and_unknown_ones_are_not_there(server):
    assert checked(server, "GET", "/v1/scaling-laws/YUN2024-S3").json["id"] == "yun2024-s3"
    expect_problem(checked(server, "GET", "/v1/scaling-laws/nosuch"), 404, "not-found")


def case_the_list_has_a_tag_that_changes_with_the_laws(server):
    etag = checked(server, "GET", "/v1/scaling-laws").header("ETag")
    assert server.get("/v1/scaling-laws", {"If-None-Match": etag}).status == 304
    assert post_law(server, form="hoffmann2022", coefficients=COEFFICIENTS).status == 201
    assert server.get("/v1/scaling-laws", {"If-None-Match": etag}).status == 200


# Laws by their coefficients

def case_a_law_by_coefficients_is_stored_and_answers(server):
    answer = checked(server, "POST", "/v1/scaling-laws", {
        "name": "Mine", "form": "besiroglu2024", "source": "a notebook",
        "coefficients": {"A": 482.01, "B": 2085.43, "E": 1.8172, "alpha": 0.3478, "beta": 0.3658},
        "range": {"parameters": [7e7, 1.6e10]}}, server.bearer("catalog:write"))
    assert answer.status == 201 and answer.header("Location") == "/v1/scaling-laws/mine", answer
    law = answer.json
    assert (law["id"], law["status"], law["posted_by"]) == ("mine", "user", "test")
    assert law["created_at"].endswith("Z") and law["source"] == "a notebook"
    assert law["range"]["parameters"] == [7e7, 1.6e10] and law["range"]["tokens"] is None
    assert checked(server, "GET", "/v1/scaling-laws/mine").json == law
    mine, shipped = (losses(server, name, POINT).json for name in ("mine", "besiroglu2024"))
    assert mine["losses"] == shipped["losses"] == [2.530050324]
    assert mine["status"] == "user" and mine["version"] == law["version"]
    assert losses(server, "mine", {**POINT, "parameters": 1e11}).json["warnings"]


def case_laws_survive_a_restart(server):
    name = post_law(server, form="hoffmann2022", coefficients=COEFFICIENTS).json["id"]
    assert server.stop() == 0
    law = server.start().get(f"/v1/scaling-laws/{name}").json
    assert law["coefficients"] == COEFFICIENTS


def case_a_taken_name_is_a_conflict(server):
    law = {"form": "hoffmann2022", "coefficients": COEFFICIENTS}
    name = post_law(server, **law).json["id"]
    for taken in (name, name.upper(), "besiroglu2024", "Yun2024-Reconstructed", "all-applicable"):
        answer = post_law(server, **{**law, "name": taken})
        expect_problem(answer, 409, "conflict", "/name")
        answer = post_law(server, name=taken, form="hoffmann2022", runs=chinchilla())
        expect_problem(answer, 409, "conflict", "/name")
    assert server.put(f"/v1/scaling-laws/{name}", law).status == 405
    assert server.delete(f"/v1/scaling-laws/{name}").status == 405


def case_bad_laws_are_refused_at_the_place(server):
    for members, pointer, part in (
            ({"form": "chinchilla", "coefficients": COEFFICIENTS}, "/form", "no form named"),
            ({"form": "hoffmann2022"}, "", "got neither"),
            ({"form": "hoffmann2022", "coefficients": COEFFICIENTS, "runs": [POINT]}, "", "both"),
            ({"form": "hoffmann2022", "coefficients": {**COEFFICIENTS, "A": -1}},
             "/coefficients/A", "not negative"),
            ({"form": "hoffmann2022", "coefficients": {**COEFFICIENTS, "A": "1"}},
             "/coefficients/A", "must be a number"),
            ({"form": "hoffmann2022", "coefficients": {**COEFFICIENTS, "a": 1}},
             "/coefficients/a", "unknown field"),
            ({"form": "hoffmann2022", "coefficients": {"A": 1}}, "/coefficients/beta", "required"),
            ({"name": "no spaces", "form": "hoffmann2022", "coefficients": COEFFICIENTS},
             "/name", "must consist of"),
            ({"form": "hoffmann2022", "coefficients": COEFFICIENTS, "starts": 3},
             "/starts", "goes with runs")):
        slug = "unknown-reference" if pointer == "/form" else "invalid-field"
        expect_problem(post_law(server, **members), 400, slug, pointer, part)


def case_storing_needs_the_scope(server):
    law = {"name": "x", "form": "hoffmann2022", "coefficients": COEFFICIENTS}
    expect_problem(checked(server, "POST", "/v1/scaling-laws", law), 401, "token-required")
    expect_problem(checked(server, "POST", "/v1/scaling-laws", law,
                           server.bearer("calibrations:write")), 403, "scope-required")


# Losses

def case_losses_are_those_of_the_published_check_values(server):
    """To the digits of the reference computation."""
    for law, point, loss in (
            ("hoffmann2022", POINT, 2.5800), ("hoffmann2022-unrounded", POINT, 2.5305),
            ("besiroglu2024", {**POINT, "experts": 1}, 2.5301), ("muennighoff2023", POINT, 2.5604),
            ("sardana2024-all", POINT, 2.7257), ("krajewski2024-dense", POINT, 2.9803),
            ("krajewski2024", {**POINT, "granularity": 1}, 3.2761),
            ("krajewski2024", {**POINT, "granularity": 8}, 3.1404),
            ("clark2022-s-base", {"parameters": 1.3e9, "experts": 1}, 2.2374),
            ("clark2022-s-base", {"parameters": 1.3e9, "experts": 64}, 2.0498),
            ("yun2024-reconstructed", {"parameters": 3.36e9, "tokens": 1.0516e11, "experts": 1}, 2.2968),
            ("yun2024-reconstructed", {"parameters": 2e9, "tokens": 4e11, "experts": 16}, 2.2149),
            ("yun2024-s3", {"parameters": 2e9, "tokens": 4e11, "experts": 16}, 1.9087),
            ("yun2024-s5", {"parameters": 2e9, "tokens": 4e11, "experts": 16}, 2.0543)):
        answer = losses(server, law, point)
        assert answer.status == 200, answer
        near(answer.json["losses"][0], loss, 6e-5)
        assert answer.json["status"] == ("reconstructed" if law.startswith("yun") else "published")


def case_points_keep_their_order_and_warnings_name_them(server):
    points = [{**POINT, "parameters": 1e9 * (i + 1)} for i in range(30)]
    answer = losses(server, "besiroglu2024", *points).json
    assert answer["losses"] == sorted(answer["losses"], reverse=True) and len(answer["losses"]) == 30
    (warning,) = answer["warnings"]
    assert warning["code"] == "outside-parameters"
    assert warning["points"] == list(range(16, 30)) and warning["point_count"] == 14


def case_variables_that_a_law_does_not_know_are_told(server):
    answer = losses(server, "besiroglu2024", {**POINT, "granularity": 8, "repeats": 3}).json
    assert [w["code"] for w in answer["warnings"]] == ["granularity-ignored", "repeats-ignored"]
    answer = losses(server, "clark2022-hash", {**POINT, "experts": 8}).json
    assert "tokens-ignored" in [w["code"] for w in answer["warnings"]]


def case_a_model_stands_for_its_own_numbers(server):
    by_model = losses(server, "besiroglu2024", {"model": "llama-2-7b", "tokens": 2e11}).json
    by_number = losses(server, "besiroglu2024", {"parameters": 6738415616, "tokens": 2e11}).json
    near(by_model["losses"][0], by_number["losses"][0], 2e-3)
    config = server.get("/v1/models/llama-2-7b").json["config"]
    inline = losses(server, "besiroglu2024", {"model": config, "tokens": 2e11}).json
    assert inline["losses"] == by_model["losses"]
    mixture = losses(server, "yun2024-reconstructed", {"model": "mixtral-8x7b", "tokens": 2e11})
    assert mixture.status == 200, mixture
    expect_problem(losses(server, "besiroglu2024", {"model": "mixtral-8x7b", "tokens": 2e11}),
                   422, "impossible", "/points/0/experts")
    for point, pointer, slug in (
            ({"model": "llama-9", "tokens": 1e9}, "/points/0/model", "unknown-reference"),
            ({"model": 7, "tokens": 1e9}, "/points/0/model", "invalid-field"),
            ({"model": "llama-2-7b"}, "/points/0/tokens", "invalid-field"),
            ({"model": "llama-2-7b", "tokens": 1e9, "parameters": 7e9}, "/points/0/parameters",
             "invalid-field")):
        expect_problem(losses(server, "besiroglu2024", point), 400, slug, pointer)


def case_bad_experts_are_refused(server):
    law = "yun2024-reconstructed"
    for experts in (0, 1.5, 1e6, -1, "8"):
        expect_problem(losses(server, law, {**POINT, "experts": experts}), 400, "invalid-field",
                       "/points/0/experts", "must be a whole number from 1 to 65536")
    expect_problem(losses(server, law, POINT), 400, "invalid-field", "/points/0/experts", "needs it")
    expect_problem(losses(server, law, {**POINT, "experts": 8, "active_experts": 9}), 400,
                   "invalid-field", "/points/0/active_experts", "at most the 8 experts")


def case_a_law_without_experts_refuses_them(server):
    expect_problem(losses(server, "besiroglu2024", {**POINT, "experts": 8}), 422, "impossible",
                   "/points/0/experts", "does not know experts")
    expect_problem(losses(server, "krajewski2024", {**POINT, "experts": 8, "granularity": 1}), 422,
                   "impossible", "/points/0/experts", "64 experts only")


def case_bad_questions_are_refused(server):
    for body, status, slug, pointer in (
            ({"law": "nosuch", "points": [POINT]}, 400, "unknown-reference", "/law"),
            ({"points": [POINT]}, 400, "invalid-field", "/law"),
            ({"law": "besiroglu2024"}, 400, "invalid-field", "/points"),
            ({"law": "besiroglu2024", "points": []}, 400, "invalid-field", "/points"),
            ({"law": "besiroglu2024", "points": POINT}, 400, "invalid-field", "/points"),
            ({"law": "besiroglu2024", "points": [POINT] * 10001}, 413, "too-large", "/points"),
            ({"law": "besiroglu2024", "points": [{"tokens": 1e9}]}, 400, "invalid-field",
             "/points/0/parameters"),
            ({"law": "besiroglu2024", "points": [POINT, {**POINT, "tokens": 0}]}, 400,
             "invalid-field", "/points/1/tokens"),
            ({"law": "besiroglu2024", "points": [{**POINT, "tokens": -1}]}, 400, "invalid-field",
             "/points/0/tokens"),
            ({"law": "besiroglu2024", "points": [{**POINT, "tokens": 1e40}]}, 400, "invalid-field",
             "/points/0/tokens"),
            ({"law": "besiroglu2024", "points": [{**POINT, "token": 1}]}, 400, "invalid-field",
             "/points/0/token"),
            ({"law": "besiroglu2024", "points": [7]}, 400, "invalid-field", "/points/0"),
            ({"law": "tian2025", "points": [POINT]}, 422, "impossible", "/law")):
        expect_problem(checked(server, "POST", "/v1/losses", body), status, slug, pointer)
    bad = losses(server, "besiroglu2024", *([{**POINT, "tokens": 0}] * 20))
    assert expect_problem(bad, 400, "invalid-field")["error_count"] == 20


def case_a_law_without_a_value_at_a_point_says_so(server):
    """d large and positive: the loss overflows."""
    law = server.get("/v1/scaling-laws/yun2024-s3").json["coefficients"]
    name = post_law(server, form="yun2024", coefficients={**law, "d": 90.0}).json["id"]
    expect_problem(losses(server, name, {**POINT, "experts": 8}), 422, "impossible", "/points/0")


def case_ten_thousand_points_are_answered(server):
    answer = losses(server, "yun2024-reconstructed",
                    *({"parameters": 1e8 + i, "tokens": 3e9, "experts": 1 + i % 32}
                      for i in range(10000)))
    assert answer.status == 200 and len(answer.json["losses"]) == 10000


# Fits

def case_the_whole_grid_finds_the_published_chinchilla_fit(server):
    """arXiv 2404.10102: E 1.8172, alpha .3478, beta .3658; refitted by scipy: .3473, .3672."""
    answer = post_law(server, form="hoffmann2022", runs=chinchilla())
    assert answer.status == 202 and answer.header("Location").startswith("/v1/jobs/")
    law = done(server, answer)
    near(law["coefficients"]["E"], 1.8172, 1e-3)
    near(law["coefficients"]["alpha"], 0.3473, 1e-3)
    near(law["coefficients"]["beta"], 0.3672, 1e-3)
    near(law["objective"], 0.00101827, 1e-7)
    assert law["starts"] == 4500 and law["starts_agreeing"] > 100 and law["runs"] == 240
    assert law["range"]["tokens"] == [min(r["tokens"] for r in chinchilla()),
                                      max(r["tokens"] for r in chinchilla())]
    for name, printed in (("alpha", 0.02), ("beta", 0.02), ("E", 0.03)):
        assert 0 < law["standard_errors"][name] < 2 * printed
        low, high = law["intervals"][name]
        assert low < law["coefficients"][name] < high
    assert law["interval_basis"] == "bootstrap" and law["bootstrap_samples"] == 200
    assert checked(server, "GET", f"/v1/scaling-laws/{law['id']}").json == law


def case_one_good_start_is_answered_at_once(server):
    start = time.monotonic()
    answer = post_law(server, form="hoffmann2022", runs=chinchilla(), bootstrap=0, starts=[
        {"A": 406.4, "B": 410.7, "E": 1.69, "alpha": 0.34, "beta": 0.28}])
    took_s = time.monotonic() - start
    assert answer.status == 201 and answer.header("Location").endswith(answer.json["id"]), answer
    near(answer.json["objective"], 0.00101827, 1e-7)
    assert answer.json["interval_basis"] == "standard-errors"
    assert took_s < 1.0, took_s


def case_all_245_points_give_another_fit(server):
    with CSV.open() as file:
        runs = [{"parameters": float(r["n_params"]), "tokens": float(r["n_tokens"]),
                 "loss": float(r["loss"])} for r in csv.DictReader(file)]
    law = done(server, post_law(server, form="besiroglu2024", runs=runs, starts=200, bootstrap=0))
    near(law["coefficients"]["beta"], 0.4531, 2e-3)
    near(law["objective"], 0.00182601, 1e-7)


def case_runs_with_experts_are_fitted(server):
    rng = random.Random(1)
    runs = [{"parameters": 10 ** rng.uniform(7.2, 9.1), "experts": 2 ** rng.randrange(10)}
            for _ in range(80)]
    answer = losses(server, "clark2022-s-base", *runs)
    for run, loss in zip(runs, answer.json["losses"]):
        run["loss"] = loss * math.exp(rng.gauss(0, 0.01))
        run["tokens"] = 1.3e11
    law = done(server, post_law(server, form="clark2022", runs=runs))
    for run in ({"parameters": 3e8, "experts": 16}, {"parameters": 1e9, "experts": 256}):
        mine, theirs = (losses(server, name, run).json["losses"][0]
                        for name in (law["id"], "clark2022-s-base"))
        near(mine / theirs, 1.0, 0.01)


def case_coefficients_can_be_fixed_and_bounded(server):
    law = done(server, post_law(server, form="hoffmann2022", runs=chinchilla(), starts=100,
                                fixed={"A": 482.01}, bounds={"alpha": [0.35, 0.4]}, bootstrap=0))
    assert law["coefficients"]["A"] == 482.01 and law["standard_errors"]["A"] is None
    near(law["coefficients"]["alpha"], 0.35, 1e-9)
    assert law["fixed"] == ["A"] and "at-bound" in [w["code"] for w in law["warnings"]]


def case_bad_runs_are_refused(server):
    good = chinchilla()[:10]
    for runs, status, slug, pointer, part in (
            ([*good, {**POINT, "loss": 0}], 400, "invalid-field", "/runs/10/loss", "got 0"),
            ([*good, {**POINT, "loss": -2.5}], 400, "invalid-field", "/runs/10/loss", "got -2.5"),
            ([*good, POINT], 400, "invalid-field", "/runs/10/loss", "is required"),
            ([{**POINT, "loss": 2, "experts": 8}], 422, "impossible", "/runs/0/experts", "experts"),
            (good[:4], 422, "fit-failed", "/runs", "4 runs do not determine the 5 coefficients"),
            ([{**run, "tokens": 1e10} for run in good], 422, "fit-failed", "/runs", "same tokens"),
            ([{**run, "parameters": 1e9} for run in good], 422, "fit-failed", "/runs", "alpha"),
            ([], 400, "invalid-field", "/runs", "1..10000"),
            (good * 1001, 413, "too-large", "/runs", "at most 10000")):
        expect_problem(post_law(server, form="hoffmann2022", runs=runs), status, slug, pointer, part)


def case_runs_at_one_number_of_experts_do_not_tell_what_experts_do(server):
    runs = [{**run, "experts": 8} for run in chinchilla()]
    answer = post_law(server, form="yun2024", runs=runs)
    expect_problem(answer, 422, "fit-failed", "/runs", "same experts")


def case_many_bad_runs_are_told_at_once(server):
    problem = expect_problem(post_law(server, form="hoffmann2022", starts=0, fixed={"x": 1},
                                      runs=[{**POINT, "loss": 0}] * 30), 400, "invalid-field")
    assert len(problem["errors"]) == 16 and problem["error_count"] == 32


# Jobs

def case_a_job_shows_progress_and_is_cancelled(server):
    path = long_fit(server)
    wait_until(lambda: job(server, path)["progress"] > 0, "progress", 20)
    state = job(server, path)
    assert state["state"] == "running" and 0 < state["progress"] < 1, state
    assert state["started_at"] >= state["created_at"] and state["finished_at"] is None
    cancelled = cancel(server, path)
    assert cancelled.status == 200 and cancelled.json["state"] == "cancelled", cancelled
    assert cancelled.json["finished_at"] is not None and cancelled.json["result"] is None
    expect_problem(cancel(server, path), 409, "conflict", part="cancelled already")
    assert job(server, path)["state"] == "cancelled"


def case_a_cancelled_fit_is_not_stored(server):
    name = next(names)
    path = long_fit(server, name=name)
    assert cancel(server, path).status == 200
    assert server.get(f"/v1/scaling-laws/{name}").status == 404
    assert post_law(server, name=name, form="hoffmann2022", coefficients=COEFFICIENTS).status == 201


def case_a_finished_job_cannot_be_cancelled(server):
    answer = post_law(server, form="hoffmann2022", runs=chinchilla(), starts=800)
    assert answer.status == 202, answer
    law = done(server, answer)
    state = job(server, answer.header("Location"))
    assert state["progress"] == 1 and state["problem"] is None and state["kind"] == "law-fit"
    assert state["result"] == law
    expect_problem(cancel(server, answer.header("Location")), 409, "conflict", part="it is done")


def case_a_name_taken_meanwhile_fails_the_job(server):
    name = next(names)
    first, second = (post_law(server, name=name, form="hoffmann2022", runs=chinchilla(),
                              starts=starts) for starts in (800, 4500))
    assert (first.status, second.status) == (202, 202)
    done(server, first)
    path = second.header("Location")
    wait_until(lambda: job(server, path)["state"] == "failed", "the second to fail", 60)
    problem = job(server, path)["problem"]
    assert problem["status"] == 409 and problem["type"].endswith(":conflict"), problem
    assert problem["errors"][0]["pointer"] == "/name"


def case_only_the_token_that_posted_a_job_cancels_it(server):
    path = long_fit(server)
    made = server.command("token", "create", "--name", "test", "--scope", "catalog:write")
    other = {"Authorization": f"Bearer {made.stdout.splitlines()[-1]}"}
    expect_problem(cancel(server, path, other), 403, "scope-required", part="only the token")
    expect_problem(server.delete(path), 401, "token-required")
    assert cancel(server, path).status == 200


def case_unknown_jobs_are_not_there(server):
    for name in ("0" * 32, "x", "..%2f"):
        expect_problem(server.get(f"/v1/jobs/{name}"), 404, "not-found")
    expect_problem(cancel(server, f"/v1/jobs/{'0' * 32}"), 404, "not-found")


def case_a_full_queue_is_busy_and_nothing_else_is(server):
    other = Server(server.program, ["--job-threads", "1", "--job-queue", "2"]).start()
    try:
        paths = [long_fit(other)]
        wait_until(lambda: job(other, paths[0])["state"] == "running", "the first to run")
        paths += [long_fit(other), long_fit(other)]
        runs = [{**run, "experts": 2 ** (i % 5)} for i, run in enumerate(chinchilla())]
        answer = post_law(other, form="yun2024", runs=runs)
        expect_problem(answer, 429, "busy", part="2 jobs are waiting")
        assert answer.header("Retry-After") == "1"
        assert job(other, paths[2])["state"] == "queued"
        assert post_law(other, form="hoffmann2022", runs=chinchilla(), starts=1).status == 201
        assert cancel(other, paths[2]).json["state"] == "cancelled"
        paths[2] = long_fit(other)
        assert other.stop() == 0  # with one job running and two waiting
    finally:
        other.close()


def case_answers_do_not_wait_for_a_fit(server):
    path = long_fit(server)
    wait_until(lambda: job(server, path)["state"] == "running", "the fit to run")
    slowest_s = 0.0
    for _ in range(100):
        start = time.monotonic()
        assert server.post("/v1/losses", {"law": "besiroglu2024", "points": [POINT]}).status == 200
        slowest_s = max(slowest_s, time.monotonic() - start)
    assert job(server, path)["state"] == "running"
    assert slowest_s < 0.5, slowest_s  # milliseconds; the rest is for a busy machine
    assert cancel(server, path).status == 200


def case_fits_posted_together_are_all_stored(server):
    """More than there are threads, in turns with reads."""
    answers = []
    threads = [threading.Thread(target=lambda: answers.append(
        post_law(server, form="hoffmann2022", runs=chinchilla(), starts=300))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    laws = [done(server, answer) for answer in answers]
    assert len({law["id"] for law in laws}) == 8
    assert len({json.dumps(law["coefficients"]) for law in laws}) == 1
    assert len({law["version"] for law in laws}) == 1


def case_few_runs_from_many_starts_are_a_job(server):
    runs = [{"parameters": 1e8 * 3 ** i, "tokens": 1e9 * 5 ** (i % 3), "loss": 4 - 0.3 * i + 0.1 * (i % 2)}
            for i in range(5)]
    answer = post_law(server, form="besiroglu2024", runs=runs)
    assert answer.status == 202, answer  # a descent through all runs is long, however few they are
    cancel(server, answer.header("Location"))


def case_a_fit_through_all_runs_says_so(server):
    runs = [{"parameters": 1e8 * 3 ** i, "tokens": 1e9 * 5 ** (i % 3), "loss": 4 - 0.3 * i + 0.1 * (i % 2)}
            for i in range(5)]
    answer = post_law(server, form="hoffmann2022", runs=runs, starts=1, bootstrap=1)
    assert answer.status == 201, answer
    assert "no-freedom" in [warning["code"] for warning in answer.json["warnings"]], answer
    assert answer.json["interval_basis"] == "standard-errors", answer
