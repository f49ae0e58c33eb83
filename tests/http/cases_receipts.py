"""Saved estimates and outcomes: kept exactly, listed to their owner alone, once, for so long."""
import json
import re
import signal
import sqlite3

from client import Server, expect_problem
from contract import Contract

CONTRACT = Contract()
OWN = "calibrations:write"
JOB = {"model": "mixtral-8x7b", "gpu": "A40", "usd_per_gpu_hour": 1.0, "batch_size": 2,
       "method": {"kind": "qlora", "rank": 16, "targets": ["experts", "router"]},
       "dataset": {"queries": 1000, "lengths": {"name": "xia2024-math"}, "cutoff_tokens": 1024}}


def checked(method, path, answer, status):
    CONTRACT.check_answer(method, path, answer)
    assert answer.status == status, answer
    return answer.json


def save(server, job=None, scope=OWN, status=200):
    body = {**(job or JOB), "save": True}
    return checked("POST", "/v1/estimates",
                   server.post("/v1/estimates", body, server.bearer(scope)), status)


def kept(server, key, status=200):
    return checked("GET", f"/v1/estimates/{key}", server.get(f"/v1/estimates/{key}"), status)


def tell(server, key, outcome, scope=OWN, status=201):
    path = f"/v1/estimates/{key}/outcome"
    return checked("PUT", path, server.put(path, outcome, server.bearer(scope)), status)


def listed(server, query="", scope=OWN):
    return checked("GET", "/v1/estimates",
                   server.get(f"/v1/estimates{query}", server.bearer(scope)), 200)


def own_server(server, *arguments):
    """Another one, with a database of its own."""
    return Server(server.program, arguments).start()


def case_saved_estimates_come_back_as_they_were_answered(server):
    answer = save(server)
    key = answer.pop("id")
    assert re.fullmatch("[0-9a-f]{32}", key)
    document = kept(server, key)
    assert document["estimate"] == answer and document["outcome"] is None
    assert document["request"] == JOB, document["request"]
    unsaved = server.post("/v1/estimates", JOB).json
    assert unsaved == answer, "saving changes nothing"
    again = server.post("/v1/estimates", {**JOB, "save": False}).json
    assert again == answer


def case_ids_differ_each_time(server):
    keys = {save(server)["id"] for _ in range(20)}
    assert len(keys) == 20


def case_ids_are_not_logged(server):
    key = save(server)["id"]
    kept(server, key)
    tell(server, key, {"hours": 1})
    cursor = listed(server, "?limit=1")["next_cursor"]
    listed(server, f"?limit=1&cursor={cursor}")
    log = server.log()
    assert key not in log and cursor not in log
    assert "/v1/estimates/{id}" in [line.get("path") for line in server.log_lines()]


def case_requests_asked_again_give_the_same_answer(server):
    answer = save(server, {**JOB, "dataset": {"lengths": {"sample": [9, 300, 9, 77]}}})
    document = kept(server, answer.pop("id"))
    assert document["request"]["dataset"]["lengths"] == {"histogram": [[9, 2], [77, 1], [300, 1]]}
    assert server.post("/v1/estimates", document["request"]).json == answer


def case_samples_are_nowhere_in_the_database(server):
    other = own_server(server)
    try:
        sample = [321, 17, 321, 99, 17]
        save(other, {**JOB, "dataset": {"lengths": {"sample": sample}}})
        assert other.stop() == 0
        with sqlite3.connect(other.db) as database:
            text, = database.execute("SELECT request_json || answer_json FROM kept_estimates")
        assert "sample" not in text[0] and "[321,2]" in text[0], text
    finally:
        other.close()


def case_batches_are_kept_job_by_job(server):
    body = {"jobs": [JOB, {**JOB, "gpu": "A41"}, {**JOB, "epochs": 3}], "save": True}
    results = checked("POST", "/v1/estimates",
                      server.post("/v1/estimates", body, server.bearer(OWN)), 200)["results"]
    assert "id" not in results[1] and results[1]["status"] == 400
    assert results[0]["id"] != results[2]["id"]
    for result, epochs in ((results[0], 1), (results[2], 3)):
        document = kept(server, result.pop("id"))
        assert document["estimate"] == result
        assert document["estimate"]["assumptions"]["epochs"] == epochs


def case_saving_needs_a_token_that_may_store(server):
    body = {**JOB, "save": True}
    expect_problem(server.post("/v1/estimates", body), 401, "token-required")
    expect_problem(server.post("/v1/estimates", body, {"Authorization": "Bearer lq_no"}), 401,
                   "token-required")
    expect_problem(server.post("/v1/estimates", body, server.bearer("read")), 403,
                   "scope-required")
    for scope in ("catalog:write", "admin"):
        kept(server, save(server, scope=scope)["id"])
    expect_problem(server.post("/v1/estimates", {**JOB, "save": "yes"}, server.bearer(OWN)), 400,
                   "invalid-field", part="/save")
    inner = server.post("/v1/estimates", {"jobs": [body]}, server.bearer(OWN)).json["results"][0]
    assert inner["errors"][0]["pointer"] == "/jobs/0/save", inner


def case_bad_jobs_are_not_kept(server):
    before = len(listed(server, "?limit=1000")["estimates"])
    answer = server.post("/v1/estimates", {**JOB, "epochs": 0, "save": True}, server.bearer(OWN))
    expect_problem(answer, 400, "invalid-field")
    assert len(listed(server, "?limit=1000")["estimates"]) == before


def case_lists_show_ones_own_alone_newest_first(server):
    mine = [save(server, {**JOB, "epochs": epochs})["id"] for epochs in (1, 2, 3)]
    theirs = save(server, scope="catalog:write")["id"]
    page = listed(server, "?limit=2")
    assert [item["id"] for item in page["estimates"]] == [mine[2], mine[1]]
    rest = listed(server, f"?limit=1&cursor={page['next_cursor']}")["estimates"]
    assert rest[0]["id"] == mine[0]
    assert theirs not in [item["id"] for item in listed(server, "?limit=1000")["estimates"]]
    theirs_list = listed(server, "?limit=1000", scope="catalog:write")["estimates"]
    assert theirs in [item["id"] for item in theirs_list]
    assert not set(mine) & {item["id"] for item in theirs_list}
    document = kept(server, mine[0])
    for name in ("queries_per_s", "duration_s"):
        got = document["estimate"]["throughput"].get(name, document["estimate"].get(name))
        assert rest[0][name] == got, (name, rest[0], got)
    assert rest[0]["cost_usd"] == document["estimate"]["cost"][0]["cost_usd"]
    expect_problem(server.get("/v1/estimates"), 401, "token-required")
    expect_problem(server.get("/v1/estimates", server.bearer("read")), 403, "scope-required")


def case_unknown_ids_are_not_found(server):
    expect_problem(server.get("/v1/estimates/" + "0" * 32), 404, "not-found")
    expect_problem(server.get("/v1/estimates/%20"), 400, "bad-request")
    tell(server, "0" * 32, {"hours": 1}, status=404)


def case_outcomes_stand_beside_what_was_estimated(server):
    answer = save(server)
    estimate = answer["duration_s"]
    told = tell(server, answer["id"], {"hours": estimate / 3600, "cost_usd": 1000,
                                       "note": "one restart"})
    assert told["id"] == answer["id"] and told["note"] == "one restart"
    time, cost = told["compared"]
    assert abs(time["ratio"] - 1) < 1e-9 and time["within_interval"]
    assert time["interval"] == answer["interval"]["duration_s"]
    assert cost["quantity"] == "cost_usd" and not cost["within_interval"]
    del told["id"]
    assert kept(server, answer["id"])["outcome"] == told
    assert listed(server, "?limit=1")["estimates"][0]["outcome"] == told


def case_an_outcome_is_told_once_by_the_owner(server):
    key = save(server)["id"]
    outcome = {"queries_per_s": 0.5}
    problem = tell(server, key, outcome, scope="catalog:write", status=403)
    assert "another token" in problem["detail"]
    path = f"/v1/estimates/{key}/outcome"
    expect_problem(server.put(path, outcome), 401, "token-required")
    assert kept(server, key)["outcome"] is None
    tell(server, key, outcome)
    tell(server, key, {"queries_per_s": 0.6}, status=409)
    tell(server, key, {"queries_per_s": 0.6, "calibrate": True}, status=409)
    tell(server, key, outcome, scope="catalog:write", status=403)
    assert kept(server, key)["outcome"]["queries_per_s"] == 0.5


def case_bad_outcomes_are_refused_with_the_place(server):
    key = save(server)["id"]
    for outcome, pointer in (({}, ""), ({"note": "x"}, ""), ({"hours": 0}, "/hours"),
                             ({"duration_s": -1}, "/duration_s"), ({"hours": "two"}, "/hours"),
                             ({"duration_s": 5, "hours": 1}, "/hours"),
                             ({"cost_usd": -2}, "/cost_usd"), ({"cost_usd": 1e13}, "/cost_usd"),
                             ({"queries_per_s": 0}, "/queries_per_s"),
                             ({"queries_per_s": None}, ""),
                             ({"hours": 1, "note": "x" * 512}, "/note"),
                             ({"hours": 1, "days": 1}, "/days"),
                             ({"hours": 1, "calibrate": 1}, "/calibrate"),
                             ({"cost_usd": 1, "calibrate": True}, "/calibrate")):
        problem = tell(server, key, outcome, status=400)
        assert [fault["pointer"] for fault in problem["errors"]] == [pointer], (outcome, problem)
    path = f"/v1/estimates/{key}/outcome"
    expect_problem(server.put(path, "[]", server.bearer(OWN)), 400, "invalid-field")
    expect_problem(server.put(path, '{"hours": NaN}', server.bearer(OWN)), 400, "invalid-json")
    assert kept(server, key)["outcome"] is None


def case_calibrations_follow_on_request(server):
    other = own_server(server)
    try:
        answer = save(other, {**JOB, "gpu": "L40S", "batch_size": 4})
        assert answer["basis"]["kind"] != "calibrated", answer["basis"]
        rate = answer["throughput"]["queries_per_s"] * 0.8
        told = tell(other, answer["id"], {"queries_per_s": rate, "calibrate": True})
        point = other.get(f"/v1/calibrations/{told['calibration']}").json
        assert point["source"] == "outcome" and point["batch_size"] == 4
        assert abs(point["queries_per_s"] / rate - 1) < 1e-12
        assert answer["id"] not in json.dumps(point), "the id is a secret"
        other.settle()
        then = other.post("/v1/estimates", {**JOB, "gpu": "L40S", "batch_size": 4}).json
        assert then["basis"]["kind"] == "calibrated", then["basis"]
        near = then["throughput"]["queries_per_s"] / rate
        assert abs(near - 1) < 0.1, near
        assert kept(other, answer["id"])["outcome"]["calibration"] == told["calibration"]
    finally:
        other.close()


def case_calibrations_keep_inline_lengths_to_themselves(server):
    histogram = [[100, 3], [250, 5], [777, 1]]
    answer = save(server, {**JOB, "dataset": {"lengths": {"histogram": histogram}}})
    told = tell(server, answer["id"], {"duration_s": answer["duration_s"], "calibrate": True})
    point = server.get(f"/v1/calibrations/{told['calibration']}").json
    assert "777" not in json.dumps(point), point
    assert abs(point["queries_per_s"] / answer["throughput"]["queries_per_s"] - 1) < 1e-9
    assert abs(point["row_tokens"] / answer["step_time"]["row_tokens"] - 1) < 1e-9


def case_calibrations_of_several_gpus_have_the_layout_that_was_answered(server):
    job = {"model": "llama-3.1-8b", "gpu": "H100-SXM-80GB", "gpu_count": 8, "method": "lora",
           "usd_per_gpu_hour": 2, "dataset": {"queries": 9000, "lengths": {"fixed_tokens": 512}}}
    answer = save(server, job)
    rate = answer["throughput"]["queries_per_s"]
    told = tell(server, answer["id"], {"queries_per_s": rate, "calibrate": True})
    point = server.get(f"/v1/calibrations/{told['calibration']}").json
    assert point["layout"] == answer["layout"] and point["gpu_count"] == 8, point


def case_models_that_came_with_the_request_make_no_calibration(server):
    config = {"architectures": ["MistralForCausalLM"], "model_type": "mistral",
              "hidden_size": 4096, "num_hidden_layers": 32, "num_attention_heads": 32,
              "num_key_value_heads": 8, "intermediate_size": 14336, "vocab_size": 32000,
              "max_position_embeddings": 32768, "rope_theta": 10000.0}
    answer = save(server, {**JOB, "model": config, "method": "qlora"})
    problem = tell(server, answer["id"], {"hours": 1, "calibrate": True}, status=400)
    assert problem["errors"][0]["pointer"] == "/calibrate"
    tell(server, answer["id"], {"hours": 1})


def case_outcomes_enter_the_validation(server):
    other = own_server(server)
    try:
        first = other.get("/v1/validation")
        assert first.json["outcomes"] == []
        for factor in (0.9, 1.0, 1.25, 3.0):
            answer = save(other)
            tell(other, answer["id"], {"duration_s": answer["duration_s"] / factor})
        answer = other.get("/v1/validation", {"If-None-Match": first.header("ETag")})
        assert answer.status == 200 and answer.header("ETag") != first.header("ETag")
        every, month = answer.json["outcomes"]
        assert every["month"] is None and re.fullmatch(r"\d{4}-\d\d", month["month"])
        assert {**every, "month": 0} == {**month, "month": 0}
        assert every["quantity"] == "duration_s" and every["outcomes"] == 4
        low, high = answer_interval(other)
        within = sum(low <= 1 / factor <= high for factor in (0.9, 1.0, 1.25, 3.0))
        assert every["coverage"] == within / 4 and every["level"] == 0.9
        assert abs(every["bias"] - (-0.1 + 0.0 + 0.25 + 2.0) / 4) < 1e-9, every
        assert abs(every["mape"] - (0.1 + 0.0 + 0.25 + 2.0) / 4) < 1e-9, every
        same = other.get("/v1/validation", {"If-None-Match": answer.header("ETag")})
        assert same.status == 304
    finally:
        other.close()


def answer_interval(server):
    """Bounds of the duration, as shares of it."""
    answer = server.post("/v1/estimates", JOB).json
    return [bound / answer["duration_s"] for bound in answer["interval"]["duration_s"]]


def case_what_was_answered_survives_a_kill(server):
    other = own_server(server)
    try:
        answer = save(other)
        told = tell(other, answer["id"], {"hours": 2})
        later = save(other)
        other.stop(signal.SIGKILL)
        other.start()
        document = kept(other, answer["id"])
        assert {**document["outcome"], "id": answer["id"]} == told
        assert kept(other, later["id"])["outcome"] is None
        tell(other, answer["id"], {"hours": 3}, status=409)
    finally:
        other.close()


def case_estimates_go_when_their_time_is_over(server):
    other = own_server(server, "--estimate-retention-days", "30")
    try:
        old, new = save(other)["id"], save(other)["id"]
        tell(other, old, {"hours": 2})
        saved, expires = (kept(other, new)[name] for name in ("saved_at", "expires_at"))
        assert saved < expires
        assert other.stop() == 0
        with sqlite3.connect(other.db) as database:
            database.execute("UPDATE kept_estimates SET stored_at_utc = '2020-01-01T00:00:00Z'"
                             " WHERE id = ?", (old,))
        other.start()
        kept(other, old, status=404)
        kept(other, new)
        assert other.get("/v1/validation").json["outcomes"] == []
        assert [item["id"] for item in listed(other)["estimates"]] == [new]
        assert '"expired"' in other.log()
    finally:
        other.close()
