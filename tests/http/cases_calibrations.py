"""Calibrations: points in and out, what they do to fits and estimates, retries, durability."""
import functools
import json
import signal
import threading

import examples
from client import expect_problem

POINT = {"model": "llama-3.1-8b", "gpu": "L40S", "method": {"kind": "lora", "rank": 16},
         "stack": "torchtune", "batch_size": 1, "sequence_tokens": 512}
JOB = {"model": "llama-3.1-8b", "gpu": "L40S", "method": {"kind": "lora", "rank": 16},
       "stack": "torchtune", "batch_size": 4, "usd_per_gpu_hour": 1.0,
       "dataset": {"queries": 1000, "lengths": {"fixed_tokens": 512}}}
T0_S, T1_S = 0.05, 4e-4  # the truth behind the points below
BATCHES = (1, 2, 4, 8)


def points(**members):
    """Noise-free measurements of a machine with T0_S and T1_S."""
    return [{**POINT, **members, "batch_size": b, "step_time_s": T0_S + T1_S * b * 512}
            for b in BATCHES]


def bearer(server):
    return server.bearer("calibrations:write")


def post(server, batch, **headers):
    answer = server.post("/v1/calibrations", {"points": batch}, {**bearer(server), **headers})
    assert answer.status == 201, answer
    assert len(answer.json["ids"]) == len(batch), answer
    server.settle()
    return answer.json


def remove(server, ids):
    for one in ids:
        assert server.delete(f"/v1/calibrations/{one}", bearer(server)).status == 204
    server.settle()


def estimate(server, **members):
    answer = server.post("/v1/estimates", {**JOB, **members})
    assert answer.status == 200, answer
    return answer.json


def fits(server, **query):
    text = "&".join(f"{name}={value}" for name, value in query.items())
    return server.get(f"/v1/fits?limit=1000&{text}").json["fits"]


def clean(case):
    """The case, after which no posted point is left, however it ends."""
    @functools.wraps(case)
    def run(server):
        try:
            case(server)
        finally:
            server.settle()
            listed = server.get("/v1/calibrations?limit=1000").json["calibrations"]
            remove(server, [one["id"] for one in listed if not one["shipped"]])
    return run


# Points in and out

@clean
def case_points_come_back_as_they_were_posted(server):
    point = {**POINT, "queries_per_s": 3.25, "peak_memory_bytes": 2.5e10, "gpu_count": 2,
             "precision": "fp16", "optimizer": "adamw-8bit", "gradient_checkpointing": "selective",
             "attention": "eager", "master_weights": True, "optimizations": ["offload-optimizer"],
             "layout": {"tensor": 2, "zero_stage": 1}, "gradient_accumulation_steps": 4, "measured_at": "2026-07-20T10:00:00Z",
             "source": "my-lab", "dataset": "my-set", "note": "a note", "device": {"name": "L40S"},
             "phases": {"forward_s": 0.1, "backward_s": 0.2, "kernels": {"gemm": 0.2}}}
    (one,) = post(server, [point])["ids"]
    got = server.get(f"/v1/calibrations/{one.upper()}").json
    assert got["id"] == one and got["shipped"] is False and got["document"] == point, got
    for name in ("model", "gpu", "gpu_count", "stack", "precision", "optimizer", "batch_size",
                 "gradient_checkpointing", "gradient_accumulation_steps", "sequence_tokens",
                 "queries_per_s", "peak_memory_bytes", "source", "dataset", "measured_at",
                 "attention", "master_weights", "optimizations"):
        assert got[name] == point[name], (name, got)
    assert got["layout"] == {"data": 1, "tensor": 2, "pipeline": 1, "expert": 1, "context": 1,
                             "zero_stage": 1, "nodes": 1}, got
    assert got["out_of_memory"] is False and got["longest_tokens"] == 512, got
    listed = server.get("/v1/calibrations?source=MY-LAB").json["calibrations"]
    assert listed == [{name: value for name, value in got.items() if name != "document"}], listed
    remove(server, [one])
    expect_problem(server.get(f"/v1/calibrations/{one}"), 404, "not-found")
    expect_problem(server.delete(f"/v1/calibrations/{one}", bearer(server)), 404, "not-found")


@clean
def case_running_out_of_memory_is_kept_and_times_nothing(server):
    before = fits(server, model="llama-3.1-8b", estimator="default")
    point = {**POINT, "batch_size": 64, "out_of_memory": True, "source": "burst"}
    receipt = post(server, [point])
    assert receipt["implausible"] == [], receipt
    (got,) = server.get("/v1/calibrations?source=burst").json["calibrations"]
    assert got["out_of_memory"] is True and got["queries_per_s"] is None, got
    assert got["step_time_s"] is None and got["peak_memory_bytes"] is None, got
    assert fits(server, model="llama-3.1-8b", estimator="default") == before
    job = {**JOB, "estimator": "measured", "batch_size": 64}
    expect_problem(server.post("/v1/estimates", job), 422, "no-measurement", "/estimator")


@clean
def case_how_it_was_trained_is_part_of_what_was_measured(server):
    ids = []
    for members in ({}, {"attention": "eager"}, {"master_weights": True}, {"optimizations": []},
                    {"gpu_count": 2}, {"gpu_count": 2, "layout": {"tensor": 2}},
                    {"gpu_count": 2, "layout": {"zero_stage": 1}}):
        ids += post(server, [{**POINT, **members, "source": "many", "step_time_s": 0.4}])["ids"]
    assert len(set(ids)) == 7
    listed = server.get("/v1/calibrations?source=many").json["calibrations"]
    told = {json.dumps([one[name] for name in ("gpu_count", "attention", "master_weights",
                                               "optimizations", "layout")]) for one in listed}
    assert len(told) == 7, told
    made = [fit for fit in fits(server, model="llama-3.1-8b") if fit["sources"] == ["many"]]
    assert len(made) == 7 and all(fit["points"] == 1 for fit in made), made
    # rows per second are those of the data ranks
    by_layout = {one["layout"]["tensor"]: one for one in listed if one["gpu_count"] == 2}
    assert by_layout[1]["queries_per_s"] == 2 * by_layout[2]["queries_per_s"], by_layout


@clean
def case_rates_and_step_times_are_two_spellings(server):
    for members in ({}, {"gpu_count": 2}, {"batch_size": 8, "gpu_count": 4}):
        ids = post(server, [{**POINT, **members, "source": "spelled", "step_time_s": 0.5}])["ids"]
        (got,) = server.get("/v1/calibrations?source=spelled").json["calibrations"]
        rate = got["batch_size"] * got["gpu_count"] / 0.5
        assert abs(got["queries_per_s"] / rate - 1) < 1e-9 and got["step_time_s"] == 0.5, got
        remove(server, ids)


@clean
def case_names_are_taken_as_the_catalog_writes_them(server):
    post(server, [{**POINT, "model": "LLAMA-3.1-8B", "gpu": "l40s", "queries_per_s": 2,
                   "source": "cased"}])
    (got,) = server.get("/v1/calibrations?source=cased").json["calibrations"]
    assert (got["model"], got["gpu"]) == ("llama-3.1-8b", "L40S"), got


@clean
def case_a_point_is_read_at_once_and_what_rests_on_it_tells_what_it_lacks(server):
    for i in range(5):
        body = {"points": [{**POINT, "queries_per_s": 2 + i, "source": "early"}]}
        (one,) = server.post("/v1/calibrations", body, bearer(server)).json["ids"]
        assert server.get(f"/v1/calibrations/{one}").json["document"] == body["points"][0]
        page = server.get("/v1/calibrations?source=early&limit=1000").json
        assert len(page["calibrations"]) + page["pending_points"] == i + 1, page
    server.settle()
    for path in ("/v1/calibrations?limit=1", "/v1/fits?limit=1", "/v1/validation"):
        assert server.get(path).json["pending_points"] == 0, path
    assert len(server.get("/v1/calibrations?source=early").json["calibrations"]) == 5


# Duplicates and retries

@clean
def case_duplicates_are_counted_and_not_stored_twice(server):
    batch = points(source="twice")
    first = post(server, batch)
    assert first["duplicates"] == 0 and len(set(first["ids"])) == 4, first
    again = post(server, batch[:2] + [{**POINT, "queries_per_s": 9.5, "source": "twice"}])
    assert again["duplicates"] == 2 and again["ids"][:2] == first["ids"][:2], again
    same = post(server, [dict(reversed(list(batch[0].items())))])
    assert same == {"ids": first["ids"][:1], "duplicates": 1, "implausible": []}, same
    inside = post(server, [batch[0]] * 3)
    assert inside == {"ids": first["ids"][:1] * 3, "duplicates": 3, "implausible": []}, inside
    assert len(server.get("/v1/calibrations?source=twice").json["calibrations"]) == 5


@clean
def case_an_idempotency_key_replays_the_first_answer(server):
    key = {"Idempotency-Key": "retry-1"}
    first = post(server, points(source="keyed"), **key)
    for _ in range(3):
        assert post(server, points(source="keyed"), **key) == first
    # blanks around a field's value are no part of it (RFC 9112, 5.1)
    assert post(server, points(source="keyed"), **{"Idempotency-Key": " retry-1 \t"}) == first
    answer = server.post("/v1/calibrations", {"points": points(source="other")},
                         {**bearer(server), **key})
    expect_problem(answer, 409, "conflict", part="retry-1")
    assert server.get("/v1/calibrations?source=other").json["calibrations"] == []
    server.stop(signal.SIGKILL)
    server.start()
    assert post(server, points(source="keyed"), **key) == first


@clean
def case_a_key_replays_its_answer_whatever_the_catalog_holds_by_then(server):
    catalog = server.bearer("catalog:write")
    gpu = {"architecture": "ampere", "memory_bytes": 8e10, "memory_bandwidth_bytes_per_s": 2e10,
           "fp16_flop_per_s": 3e12}
    config = server.get("/v1/models/llama-3.1-8b").json["config"]

    assert server.put("/v1/gpus/slow-one", gpu, catalog).status == 201
    assert server.put("/v1/models/own-llama", config, catalog).status == 201
    batch = [{**POINT, "model": "own-llama", "gpu": "slow-one", "step_time_s": 0.05}]
    key = {"Idempotency-Key": "retry-3"}
    first = post(server, batch, **key)
    assert first["implausible"] == first["ids"], first
    remove(server, first["ids"])
    assert server.delete("/v1/models/own-llama", catalog).status == 204
    assert post(server, batch, **key) == first
    expect_problem(server.post("/v1/calibrations", {"points": batch}, bearer(server)), 400,
                   "unknown-reference", "/points/0/model")


@clean
def case_a_refused_batch_does_not_use_up_its_key(server):
    key = {"Idempotency-Key": "retry-2"}
    bad = {"points": [{**POINT, "queries_per_s": -1}]}
    answer = server.post("/v1/calibrations", bad, {**bearer(server), **key})
    expect_problem(answer, 400, "invalid-field", "/points/0/queries_per_s")


@clean
def case_concurrent_retries_store_once(server):
    token = bearer(server)
    answers = []

    def send():
        answers.append(server.post("/v1/calibrations", {"points": points(source="raced")},
                                   {**token, "Idempotency-Key": "race-1"}))

    threads = [threading.Thread(target=send) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {answer.status for answer in answers} == {201}, answers
    assert len({answer.body for answer in answers}) == 1, answers
    server.settle()
    assert len(server.get("/v1/calibrations?source=raced").json["calibrations"]) == 4


# What they do

@clean
def case_points_of_a_new_identity_calibrate_it_and_deletion_reverts(server):
    before = estimate(server)
    assert before["basis"]["kind"] in ("prior", "transferred"), before["basis"]
    assert fits(server, model="llama-3.1-8b", gpu="L40S") == []
    ids = post(server, points(source="my-lab"))["ids"]
    after = estimate(server)
    assert after["basis"]["kind"] == "calibrated" and after["basis"]["points"] == 4, after["basis"]
    assert after["basis"]["sources"] == ["my-lab"], after["basis"]
    assert after["versions"]["fit"] != before["versions"]["fit"]
    truth = 4 / (T0_S + T1_S * 4 * 512)
    assert abs(after["throughput"]["queries_per_s"] / truth - 1) < 0.02, (after["throughput"], truth)
    low, high = after["interval"]["duration_s"]
    low_before, high_before = before["interval"]["duration_s"]
    assert high / low < high_before / low_before, after["interval"]
    (fit,) = fits(server, model="llama-3.1-8b", gpu="L40S", estimator="default")
    assert fit["id"] == after["basis"]["fit"] and fit["points"] == 4, fit
    assert fit["scope"] == "identity" and fit["coefficients"]["matmul"] > 0, fit
    residuals = server.get(f"/v1/fits/{fit['id']}").json["residuals"]
    assert sorted(one["calibration"] for one in residuals) == sorted(ids), residuals
    assert all(abs(one["relative_error"]) < 0.02 for one in residuals), residuals
    remove(server, ids)
    assert estimate(server) == before
    assert fits(server, model="llama-3.1-8b", gpu="L40S") == []
    expect_problem(server.get(f"/v1/fits/{fit['id']}"), 404, "not-found")


@clean
def case_a_new_gpu_turns_from_transferred_to_calibrated(server):
    qlora = {"kind": "qlora", "rank": 16, "targets": ["experts", "router"]}
    job = {**JOB, "model": "mixtral-8x7b", "method": qlora, "stack": "hf-2024", "batch_size": 1}
    assert estimate(server, **job)["basis"]["kind"] == "transferred"
    batch = [{"model": "mixtral-8x7b", "gpu": "L40S", "method": qlora, "stack": "hf-2024",
              "active_experts": k, "batch_size": b, "sequence_tokens": 512,
              "step_time_s": 2.0 + 512 * b * (1e-4 + 3e-4 * k)} for k in (2, 8) for b in (1, 2, 3)]
    post(server, batch)
    got = estimate(server, **job)
    assert got["basis"]["kind"] == "calibrated" and got["basis"]["points"] == 6, got["basis"]
    truth = 2.0 + 512 * (1e-4 + 6e-4)
    assert abs(got["step_time"]["total_s"] / truth - 1) < 0.02, (got["step_time"], truth)
    a40 = estimate(server, **{**job, "gpu": "A40"})
    assert a40["basis"]["sources"] == ["xia2024"], a40["basis"]


@clean
def case_a_fit_changes_its_id_with_its_points(server):
    post(server, points(source="a"))
    (before,) = fits(server, gpu="L40S", estimator="default")
    more = post(server, [{**POINT, "batch_size": 16, "step_time_s": 3.6, "source": "b"}])["ids"]
    (after,) = fits(server, gpu="L40S", estimator="default")
    assert after["id"] != before["id"] and after["points"] == 5 and after["sources"] == ["a", "b"]
    remove(server, more)
    (again,) = fits(server, gpu="L40S", estimator="default")
    assert again == before


@clean
def case_the_order_of_arrival_does_not_matter(server):
    ids = post(server, points(source="order"))["ids"]
    forwards = estimate(server)
    remove(server, ids)
    ids = [post(server, [one])["ids"][0] for one in reversed(points(source="order"))]
    backwards = estimate(server)
    for name in ("throughput", "step_time", "interval", "memory"):
        against = list(examples.differences(backwards[name], forwards[name]))
        assert not against, against


@clean
def case_an_outlier_moves_a_robust_fit_little(server):
    good = points(source="robust") + [{**POINT, "batch_size": b, "source": "robust",
                                       "step_time_s": T0_S + T1_S * b * 512} for b in (3, 5, 6, 7)]
    post(server, good)
    clean = estimate(server)["step_time"]["total_s"]
    post(server, [{**POINT, "batch_size": 4, "source": "robust", "step_time_s": 9.0}])
    assert abs(estimate(server)["step_time"]["total_s"] / clean - 1) < 0.1


@clean
def case_measured_answers_with_the_posted_point(server):
    ids = post(server, points(source="exact"))["ids"]
    got = estimate(server, estimator="measured")
    assert got["basis"]["point"] == ids[2] and got["basis"]["points"] == 1, got["basis"]
    assert abs(got["step_time"]["total_s"] / (T0_S + T1_S * 4 * 512) - 1) < 1e-9
    answer = server.post("/v1/estimates", {**JOB, "estimator": "measured", "batch_size": 3})
    expect_problem(answer, 422, "no-measurement", "/estimator", "nearest")


@clean
def case_measured_memory_calibrates_the_memory(server):
    before = estimate(server)
    assert before["basis"]["memory"]["kind"] != "calibrated"
    known = {b: estimate(server, batch_size=b)["memory"] for b in BATCHES}
    batch = [{**one, "peak_memory_bytes": known[one["batch_size"]]["total_bytes"]
              + known[one["batch_size"]]["activation_bytes"]} for one in points(source="memory")]
    ids = post(server, batch)["ids"]
    after = estimate(server)
    assert after["basis"]["memory"]["kind"] == "calibrated", after["basis"]
    for b, was in known.items():
        # a peak is what was reserved; the total also has the context
        got = estimate(server, batch_size=b)["memory"]["total_bytes"]
        assert 0.97 < got / (was["total_bytes"] + was["activation_bytes"]) < 1.12, (b, got, was)
    assert after["memory"]["activation_bytes"] > known[4]["activation_bytes"], after["memory"]
    fit = server.get(f"/v1/fits/{after['basis']['memory']['fit']}").json
    assert fit["scope"] == "identity" and fit["identity"]["gpu"] is None, fit
    assert fit["points"] == 4 and fit["sources"] == ["memory"], fit
    remove(server, ids)
    assert estimate(server) == before


@clean
def case_one_point_leaves_doubt(server):
    """A single measurement fixes no spread: the intervals must not close over it."""
    known = estimate(server)["memory"]["total_bytes"]
    post(server, [{**points()[2], "peak_memory_bytes": known * 1.1, "source": "one"}])
    got = estimate(server, batch_size=8)["interval"]
    assert got["duration_s"][1] > 1.05 * got["duration_s"][0], got
    assert got["memory_bytes"][1] > 1.01 * got["memory_bytes"][0], got


@clean
def case_a_new_stack_is_known_from_its_points(server):
    def warned():
        answer = estimate(server, stack="my-own-stack")
        assert answer["basis"]["kind"] != "calibrated", answer["basis"]
        return "stack-not-measured" in [warning["code"] for warning in answer["warnings"]]

    assert warned()
    ids = post(server, points(stack="my-own-stack", source="stacked"))["ids"]
    assert estimate(server, stack="my-own-stack")["basis"]["kind"] == "calibrated"
    (row,) = [one for one in server.get("/v1/stacks").json["stacks"] if one["id"] == "my-own-stack"]
    assert row["points"] == 4 and row["modelled"] is False, row
    assert row["sources"] == [{"source": "stacked", "points": 4, "runs": 0, "capacities": 0}], row
    remove(server, ids)
    assert warned()


@clean
def case_a_labelled_set_is_validated(server):
    post(server, points(source="my-lab", dataset="my-set"))
    rows = [row for row in server.get("/v1/validation").json["throughput"]
            if row["dataset"] == "my-set"]
    (row,) = [row for row in rows if row["estimator"] == "default"]
    assert row["points"] == 4 and row["shipped"] is False and row["mape"] < 0.02, row
    assert row["leave_one_out"] is not None and row["printed"] is None, row


@clean
def case_posted_points_leave_other_identities_alone(server):
    probe = {"model": "mixtral-8x7b", "gpu": "A40",
             "method": {"kind": "qlora", "rank": 16, "targets": ["experts", "router"]},
             "dataset": {"lengths": {"name": "xia2024-math"}, "cutoff_tokens": 1024}}
    def told():
        answer = server.post("/v1/estimates", probe).json
        assert answer["basis"]["sources"] == ["xia2024"], answer["basis"]
        return answer["throughput"]["queries_per_s"]

    # what wider scopes believe moves with every point, and with it what calibrated fits start from
    before = told()
    post(server, points(source="elsewhere"))
    assert abs(told() / before - 1) < 2e-3


# Size and durability

@clean
def case_stored_points_survive_a_restart_and_a_kill(server):
    ids = post(server, points(source="kept", stack="hf-2023"))["ids"]
    job = {**JOB, "stack": "hf-2023"}
    before = server.post("/v1/estimates", job).json
    document = server.get(f"/v1/calibrations/{ids[0]}").json
    for number in (signal.SIGKILL, signal.SIGTERM):
        server.stop(number)
        server.start()
        assert server.post("/v1/estimates", job).json == before
        assert server.get(f"/v1/calibrations/{ids[0]}").json == document


def case_ten_thousand_points_are_taken_at_once(server):
    many = [{**POINT, "batch_size": 1 + i % 64, "source": "many",
             "step_time_s": (T0_S + T1_S * 512 * (1 + i % 64)) * (1 + 1e-6 * i)}
            for i in range(10000)]
    receipt = post(server, many)
    assert receipt["duplicates"] == 0 and len(set(receipt["ids"])) == 10000
    assert estimate(server)["basis"]["points"] == 10000
    seen, cursor = [], ""
    while cursor is not None:
        page = server.get(f"/v1/calibrations?source=many&limit=1000{cursor}").json
        seen += [one["id"] for one in page["calibrations"]]
        cursor = page["next_cursor"] and f"&cursor={page['next_cursor']}"
    assert seen == receipt["ids"]
