"""What an operator says about posted points: exclusions, confirmations, and what looks wrong."""
import functools

import cases_calibrations
from cases_calibrations import JOB, POINT, estimate, fits, points, post
from client import expect_problem


def admin(server):
    return server.bearer("admin")


def clean(case):
    """The case, after which nobody is excluded and no posted point is left."""
    @functools.wraps(case)
    def run(server):
        try:
            case(server)
        finally:
            for one in server.get("/v1/exclusions", admin(server)).json["exclusions"]:
                assert server.delete(f"/v1/exclusions/{one['id']}", admin(server)).status == 204
    return cases_calibrations.clean(run)


def get(server, one):
    answer = server.get(f"/v1/calibrations/{one}")
    assert answer.status == 200, answer
    return answer.json


def expected(server):
    """Queries per second of POINT by what is stored."""
    return estimate(server, batch_size=1)["throughput"]["queries_per_s"]


def confirm(server, one, method="PUT"):
    answer = server.request(method, f"/v1/calibrations/{one}/confirmation", None, admin(server))
    assert answer.status == 204, answer


def rests_on(server, one):
    """Whether a fit of the point's own identity has been made."""
    return bool(fits(server, model=POINT["model"], gpu=POINT["gpu"], stack=POINT["stack"]))


# Exclusions

@clean
def case_points_of_an_excluded_token_are_kept_and_move_nothing(server):
    before = estimate(server)
    receipt = post(server, points())
    token = get(server, receipt["ids"][0])["token"]
    assert token.startswith("tok-") and estimate(server)["basis"]["kind"] == "calibrated"
    answer = server.put(f"/v1/exclusions/{token}", None, admin(server))
    assert answer.status == 201 and answer.json["points"] == len(receipt["ids"]), answer
    assert answer.json["id"] == token and answer.json["excluded_by"] == "test", answer
    after = estimate(server)
    assert after["throughput"] == before["throughput"] and after["basis"] == before["basis"], after
    assert all(get(server, one)["excluded"] for one in receipt["ids"])
    later = post(server, points(sequence_tokens=1024))["ids"]
    assert get(server, later[0])["excluded"], "what comes later is excluded too"
    again = server.put(f"/v1/exclusions/{token.upper()}", None, admin(server))
    assert again.status == 200 and again.json["excluded_at"] == answer.json["excluded_at"], again
    (listed,) = server.get("/v1/exclusions", admin(server)).json["exclusions"]
    assert listed == {**answer.json, "points": len(receipt["ids"]) + len(later)}, listed
    assert server.delete(f"/v1/exclusions/{token}", admin(server)).status == 204
    assert estimate(server)["basis"]["kind"] == "calibrated"
    assert not get(server, receipt["ids"][0])["excluded"]


@clean
def case_points_of_an_excluded_source_are_left_out_and_shipped_ones_never(server):
    ids = post(server, points(source="Bad-Worker"))["ids"]
    others = post(server, points(source="good-worker", sequence_tokens=1024))["ids"]
    answer = server.put("/v1/exclusions/bad-worker", None, admin(server))
    assert answer.status == 201 and answer.json["points"] == len(ids), answer
    assert get(server, ids[0])["excluded"] and not get(server, others[0])["excluded"]
    expect_problem(server.put("/v1/exclusions/xia2024", None, admin(server)), 404, "not-found")
    listed = server.get("/v1/calibrations?limit=1000").json["calibrations"]
    assert not any(one["excluded"] for one in listed if one["shipped"])


@clean
def case_exclusions_survive_a_restart(server):
    ids = post(server, points(source="restarted"))["ids"]
    server.put("/v1/exclusions/restarted", None, admin(server))
    assert server.stop() == 0
    server.start()
    assert get(server, ids[0])["excluded"]
    assert server.command("check").returncode == 0


@clean
def case_only_an_administrator_excludes_and_only_what_there_is(server):
    expect_problem(server.put("/v1/exclusions/nobody", None, admin(server)), 404, "not-found")
    expect_problem(server.delete("/v1/exclusions/nobody", admin(server)), 404, "not-found")
    expect_problem(server.put("/v1/exclusions/a%20b", None, admin(server)), 400, "bad-request")
    expect_problem(server.get("/v1/exclusions"), 401, "token-required")
    worker = server.bearer("calibrations:write")
    for call in (server.get("/v1/exclusions", worker), server.put("/v1/exclusions/x", None, worker),
                 server.delete("/v1/exclusions/x", worker),
                 server.put("/v1/calibrations/x/confirmation", None, worker),
                 server.delete("/v1/calibrations/x/confirmation", worker)):
        expect_problem(call, 403, "scope-required")


# Confirmations

@clean
def case_a_point_faster_than_the_device_waits_for_a_confirmation(server):
    receipt = post(server, [{**POINT, "queries_per_s": 1e6}])
    (one,) = receipt["ids"]
    assert receipt["implausible"] == [one] and get(server, one)["implausible"] is True
    assert not rests_on(server, one)
    confirm(server, one)
    got = get(server, one)
    assert got["implausible"] is True and got["confirmed_at"] is not None, got
    assert rests_on(server, one)
    confirm(server, one)
    assert get(server, one)["confirmed_at"] == got["confirmed_at"], "the first time stays"
    confirm(server, one, "DELETE")
    assert get(server, one)["confirmed_at"] is None and not rests_on(server, one)


@clean
def case_a_lone_point_far_off_what_else_is_known_waits_for_a_confirmation(server):
    rate = expected(server)
    (one,) = post(server, [{**POINT, "queries_per_s": rate / 4}])["ids"]
    got = get(server, one)
    assert got["outlier"] is True and got["implausible"] is False, got
    assert expected(server) == rate
    confirm(server, one)
    assert get(server, one)["outlier"] is False and abs(expected(server) / rate * 4 - 1) < 0.1
    confirm(server, one, "DELETE")
    assert get(server, one)["outlier"] is True and expected(server) == rate


@clean
def case_a_point_within_a_factor_of_three_counts(server):
    rate = expected(server)
    for factor in (1 / 2.5, 2.0):
        receipt = post(server, [{**POINT, "queries_per_s": rate * factor}])
        assert receipt["implausible"] == [] and not get(server, receipt["ids"][0])["outlier"]
        cases_calibrations.remove(server, receipt["ids"])


@clean
def case_points_that_agree_with_each_other_are_no_outliers(server):
    rate = expected(server)
    slow = [{**POINT, "batch_size": b, "queries_per_s": rate / 5} for b in (1, 2, 4, 8)]
    receipt = post(server, slow)
    assert receipt["implausible"] == [] and estimate(server)["basis"]["kind"] == "calibrated"


@clean
def case_one_outlier_among_good_points_moves_nothing(server):
    good = post(server, points())["ids"]
    before = estimate(server)
    receipt = post(server, [{**POINT, "batch_size": 4, "step_time_s": 20 * (0.05 + 4e-4 * 4 * 512)}])
    assert get(server, receipt["ids"][0])["outlier"] is True
    after = estimate(server)
    assert after["throughput"] == before["throughput"] and after["basis"] == before["basis"]
    assert not any(get(server, one)["outlier"] for one in good)


@clean
def case_the_order_of_arrival_does_not_matter_for_outliers(server):
    batch = points() + [{**POINT, "batch_size": 4, "step_time_s": 20.0}]
    told = []
    for order in (batch, batch[::-1]):
        ids = [one for point in order for one in post(server, [point])["ids"]]
        told.append(({one: get(server, one)["outlier"] for one in ids}, estimate(server)["throughput"]))
        cases_calibrations.remove(server, ids)
    assert told[0] == told[1], told
    assert sum(told[0][0].values()) == 1, told


@clean
def case_an_outlier_is_no_measured_answer(server):
    (one,) = post(server, [{**POINT, "queries_per_s": expected(server) / 10}])["ids"]
    job = {**JOB, "batch_size": 1, "estimator": "measured"}
    expect_problem(server.post("/v1/estimates", job), 422, "no-measurement", "/estimator")
    confirm(server, one)
    assert estimate(server, batch_size=1, estimator="measured")["basis"]["points"] == 1


@clean
def case_confirmations_are_of_posted_points(server):
    shipped = next(one for one in server.get("/v1/calibrations").json["calibrations"] if one["shipped"])
    answer = server.put(f"/v1/calibrations/{shipped['id']}/confirmation", None, admin(server))
    expect_problem(answer, 409, "conflict")
    answer = server.put("/v1/calibrations/nothing/confirmation", None, admin(server))
    expect_problem(answer, 404, "not-found")
