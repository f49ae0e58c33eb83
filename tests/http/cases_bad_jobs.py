"""Bad jobs: what is refused, with which status, kind of problem and pointer. Framing, sizes of
heads and the like are in cases_transport.py."""
import json
import re

from client import ABSENT, changed, expect_problem

JOB = {"model": "mixtral-8x7b", "gpu": "A40", "method": {"kind": "qlora", "targets": ["experts"]},
       "dataset": {"queries": 15000, "lengths": {"name": "xia2024-math"}, "cutoff_tokens": 1024}}


def refused(server, pointer, value, status=400, slug="invalid-field", at=None, part=None):
    """The job with this member is refused, alone and in a list, at this pointer."""
    job = changed(JOB, pointer, value)
    at = pointer if at is None else at
    problem = expect_problem(server.post("/v1/estimates", job), status, slug, at, part)
    results = server.post("/v1/estimates", {"jobs": [job]})
    assert results.status == 200, results
    (inner,) = results.json["results"]
    assert inner["type"] == problem["type"] and inner["status"] == status, inner
    assert f"/jobs/0{at}" in [error["pointer"] for error in inner["errors"]], inner


# Syntax

def case_faults_of_syntax_are_one_400_with_line_and_column(server):
    for path, headers in (("/v1/estimates", {}),
                          ("/v1/calibrations", server.bearer("calibrations:write"))):
        for body, line, column in ((b"{", 1, 1), (b'{"model":}', 1, 10), (b'{\n"a": 1,\n}', 3, 1),
                                   (b'{"a": 1, "a": 2}', 1, 12), (b'{"a": 1e999}', 1, 7),
                                   (b'{"a": 99999999999999999999}', 1, 7), (b'{"a": "\xc3("}', 1, 8),
                                   (b'{"a": NaN}', 1, 7), (b'{"a": 01}', 1, 7), (b"{'a': 1}", 1, 2),
                                   (b"[" * 33 + b"]" * 33, 1, 33), (b'{"a": 1} x', 1, 10)):
            problem = expect_problem(server.post(path, body, headers), 400, "invalid-json")
            found = re.search(r"line (\d+), column (\d+)", problem["detail"])
            assert found, problem
            token_bytes = 21  # a bad token is told by its first or its last byte
            assert int(found[1]) == line, (body, problem)
            assert column - 1 <= int(found[2]) <= column + token_bytes, (body, problem)
            assert "errors" not in problem, problem


def case_32_levels_are_read(server):
    body = b'{"a": ' + b"[" * 31 + b"]" * 31 + b"}"
    expect_problem(server.post("/v1/estimates", body), 400, "invalid-field", "/a")


def case_an_empty_body_is_a_fault_of_syntax(server):
    for body in (b"", b"  \n "):
        answer = server.post("/v1/estimates", body)
        expect_problem(answer, 400, "invalid-json")


# Counts

def case_counts_are_whole_and_in_range(server):
    for pointer, most in (("/gpu_count", 65536), ("/batch_size", 1e9), ("/dataset/queries", 1e15),
                          ("/gradient_accumulation_steps", 1e6), ("/active_experts", 8), ("/node_gpu_count", 65536),
                          ("/dataset/cutoff_tokens", 16777216), ("/method/rank", 4096),
                          ("/dataset/padding_multiple", 65536)):
        for value in (0, -1, -2.5, 1.5, 2 * most, 1e300, 9223372036854775807, -9223372036854775808,
                      True, [], {}, [1]):
            refused(server, pointer, value)
        refused(server, pointer, "4")


def case_numbers_are_in_range(server):
    for pointer, values in (("/epochs", (0, -1, 1e7, "1", True, [])),
                            ("/usd_per_gpu_hour", (0, -0.5, 1e9, "0.79", True)),
                            ("/confidence", (0, 1, -0.9, 90, "0.9", True))):
        for value in values:
            refused(server, pointer, value)


def case_values_of_the_wrong_kind_are_named(server):
    for pointer, values in (
            ("/model", (3, None, [], True)), ("/gpu", (3, None, {}, "", "a b", "x" * 64)),
            ("/dataset", (3, None, [], "xia2024-math")), ("/dataset/lengths", (3, None, [], "x")),
            ("/stack", (3, {}, "a/b")), ("/precision", (3, "int4", "BF16")),
            ("/optimizer", (1, "adam")), ("/attention", ("ring", True)),
            ("/master_weights", ("yes", 1)), ("/gradient_checkpointing", ("full", 1, "true")),
            ("/estimator", ("best", 3)), ("/layout", ("tensor", 4, [])),
            ("/dataset/padding", ("left", 8)), ("/providers", ([], "cudo-2024", {}, 3)),
            ("/method", ("dora", 3, [], True)), ("/method/kind", ("dora", 1)),
            ("/method/targets", ([], {}, 3)), ("/method/quantization", ("nf5", "none", 4)),
            ("/method/train_embeddings", (1, "no"))):
        for value in values:
            refused(server, pointer, value)
    refused(server, "/providers", ["cudo-2024", 3], at="/providers/1")
    refused(server, "/method/targets", ["q", "w"], at="/method/targets/1")
    refused(server, "/layout", {"data": 0}, at="/layout/data")
    refused(server, "/layout", {"zero_stage": 4}, at="/layout/zero_stage")


def case_what_is_missing_is_named(server):
    for pointer in ("/model", "/gpu", "/dataset", "/dataset/lengths", "/method/kind"):
        refused(server, pointer, ABSENT, part="required")
    problem = expect_problem(server.post("/v1/estimates", {}), 400, "invalid-field")
    assert [e["pointer"] for e in problem["errors"]] == ["/model", "/gpu", "/dataset"], problem


def case_settings_that_contradict_each_other_are_refused(server):
    refused(server, "/method", {"kind": "full", "rank": 8}, at="/method/kind")
    refused(server, "/method", {"kind": "lora", "quantization": "nf4"}, at="/method/quantization")
    refused(server, "/active_experts", 9, part="8")
    job = {**JOB, "providers": ["cudo-2024"], "usd_per_gpu_hour": 1.0}
    expect_problem(server.post("/v1/estimates", job), 400, "invalid-field", "/usd_per_gpu_hour")
    job = changed(changed(JOB, "/dataset/cutoff_tokens", ABSENT), "/dataset/padding", "packed")
    expect_problem(server.post("/v1/estimates", job), 400, "invalid-field", "/dataset/cutoff_tokens")
    job = {**JOB, "model": "llama-3.1-8b", "active_experts": 2}
    expect_problem(server.post("/v1/estimates", job), 400, "invalid-field", "/active_experts")
    job = changed(JOB, "/dataset", {"lengths": {"fixed_tokens": 512}})
    expect_problem(server.post("/v1/estimates", job), 400, "invalid-field", "/dataset/queries")


# References

def case_unknown_names_are_named(server):
    for pointer, value, at in (("/model", "gpt-5", "/model"), ("/gpu", "A41", "/gpu"),
                               ("/providers", ["cudo-2024", "hal"], "/providers/1"),
                               ("/dataset/lengths", {"name": "dolly"}, "/dataset/lengths/name")):
        name = value if isinstance(value, str) else list(value)[-1]
        part = value["name"] if isinstance(value, dict) else name
        refused(server, pointer, value, slug="unknown-reference", at=at, part=part)


# Lengths

def case_bad_lengths_are_refused(server):
    at = "/dataset/lengths"
    for lengths, below in (
            ({}, ""), ({"name": "xia2024-cs", "fixed_tokens": 512}, ""),
            ({"name": 3}, "/name"), ({"name": None}, "/name"),
            ({"fixed_tokens": 0}, "/fixed_tokens"), ({"fixed_tokens": -5}, "/fixed_tokens"),
            ({"fixed_tokens": 1.5}, "/fixed_tokens"), ({"fixed_tokens": 1e12}, "/fixed_tokens"),
            ({"histogram": []}, "/histogram"), ({"histogram": {}}, "/histogram"),
            ({"histogram": [[100, 0]]}, "/histogram"), ({"histogram": [100, 3]}, "/histogram/0"),
            ({"histogram": [[100]]}, "/histogram/0"), ({"histogram": [[1, 2, 3]]}, "/histogram/0"),
            ({"histogram": [[0, 1]]}, "/histogram/0/0"), ({"histogram": [[9, -1]]}, "/histogram/0/1"),
            ({"histogram": [[9, 1.5]]}, "/histogram/0/1"),
            ({"histogram": [["9", 1]]}, "/histogram/0/0"),
            ({"histogram": [[200, 1], [100, 1]]}, "/histogram/1/0"),
            ({"histogram": [[100, 1], [100, 1]]}, "/histogram/1/0"),
            ({"quantiles": {}}, "/quantiles"), ({"quantiles": []}, "/quantiles"),
            ({"quantiles": {"p50": 100}}, "/quantiles"), ({"quantiles": {"max": 100}}, "/quantiles"),
            ({"quantiles": {"p50": 200, "p90": 100, "max": 300}}, "/quantiles"),
            ({"quantiles": {"p50": 200, "max": 100}}, "/quantiles"),
            ({"quantiles": {"min": 300, "p50": 200, "max": 400}}, "/quantiles"),
            ({"quantiles": {"p0": 1, "max": 9}}, "/quantiles/p0"),
            ({"quantiles": {"p100": 1, "max": 9}}, "/quantiles/p100"),
            ({"quantiles": {"median": 1, "max": 9}}, "/quantiles/median"),
            ({"quantiles": {"p50": -1, "max": 9}}, "/quantiles/p50"),
            ({"quantiles": {"p50": "9", "max": 9}}, "/quantiles/p50"),
            ({"sample": []}, "/sample"), ({"sample": 512}, "/sample"),
            ({"sample": [5, 0]}, "/sample/1"), ({"sample": [2.5]}, "/sample/0"),
            ({"sample": ["5"]}, "/sample/0")):
        refused(server, at, lengths, at=at + below)


def case_each_bad_entry_of_a_list_is_named(server):
    job = changed(JOB, "/dataset/lengths", {"sample": [0, 5, -1, 7, 1.5]})
    problem = expect_problem(server.post("/v1/estimates", job), 400, "invalid-field")
    assert [e["pointer"] for e in problem["errors"]] == [f"/dataset/lengths/sample/{i}"
                                                         for i in (0, 2, 4)], problem


# Several at once

def case_unknown_fields_are_named_with_the_nearest_known_one(server):
    for name, nearest in (("bach_size", "batch_size"), ("gpus_count", "gpu_count"),
                          ("epoch", "epochs"), ("Model", "model")):
        refused(server, f"/{name}", 1, part=f'did you mean "{nearest}"')
    refused(server, "/dataset/cutof_tokens", 1, part='did you mean "cutoff_tokens"')
    refused(server, "/method/ranks", 1, part='did you mean "rank"')
    refused(server, "/flux_capacitor", 1, part="unknown")


def case_pointers_are_escaped(server):
    body = json.dumps({**JOB, "a/b~c": 1})
    expect_problem(server.post("/v1/estimates", body), 400, "invalid-field", "/a~1b~0c")


def case_all_bad_fields_come_at_once_in_the_documents_order(server):
    body = {"gpu": "A41", "epochs": 0, "model": "gpt-5", "bach_size": 3, "batch_size": -1,
            "dataset": {"queries": 0, "lengths": {"sample": [0]}},
            "method": {"kind": "lora", "rank": 0}}
    answer = server.post("/v1/estimates", body)
    assert answer.status == 400, answer
    pointers = [error["pointer"] for error in answer.json["errors"]]
    assert sorted(pointers) == sorted([
        "/gpu", "/epochs", "/model", "/bach_size", "/batch_size", "/dataset/queries",
        "/dataset/lengths/sample/0", "/method/rank"]), pointers
    assert "error_count" not in answer.json and answer.json["detail"].startswith("8 faults")


def case_sixteen_are_listed_and_all_are_counted(server):
    for count in (16, 17, 200):
        body = {**JOB, **{f"unknown_{i}": 1 for i in range(count)}}
        problem = expect_problem(server.post("/v1/estimates", body), 400, "invalid-field")
        assert len(problem["errors"]) == 16, problem
        assert problem.get("error_count") == (count if count > 16 else None), problem


# Valid but impossible

def case_a_job_that_cannot_fit_says_what_is_missing_and_what_would_fit(server):
    for job, pointer in (({**JOB, "model": "llama-3.1-405b", "method": "full"}, "/gpu"),
                         ({**JOB, "model": "llama-3.1-70b", "method": "lora"}, "/gpu"),
                         ({**JOB, "batch_size": 64}, "/batch_size")):
        job.pop("active_experts", None)
        problem = expect_problem(server.post("/v1/estimates", job), 422, "does-not-fit", pointer)
        detail = problem["errors"][0]["detail"]
        needed, missing, has = map(int, re.search(
            r"needs (\d+) bytes, (\d+) more than the (\d+) of A40", detail).groups())
        assert abs(needed - missing - has) <= 1 and missing > 0 and has == 48305799168, detail
        assert "would fit" in detail, detail


def case_what_is_said_to_fit_does_fit(server):
    detail = server.post("/v1/estimates", {**JOB, "batch_size": 64}).json["errors"][0]["detail"]
    batch = int(re.search(r"a batch of (\d+) would fit", detail)[1])
    answer = server.post("/v1/estimates", {**JOB, "batch_size": batch})
    assert answer.status == 200 and answer.json["max_batch_size"] == batch, answer


def case_unpriced_gpus_are_refused_only_where_providers_are_named(server):
    gpus = [gpu["id"] for gpu in server.get("/v1/gpus?limit=1000").json["gpus"]]
    priced = {price["gpu"] for price in server.get("/v1/prices?limit=1000").json["prices"]
              if price["usd_per_gpu_hour"] is not None}
    unpriced = [gpu for gpu in gpus if gpu not in priced]
    assert unpriced and len(unpriced) < len(gpus)
    job = {**JOB, "model": "llama-3.2-1b", "method": "qlora"}
    for gpu in unpriced:
        answer = server.post("/v1/estimates", {**job, "gpu": gpu})
        assert answer.status == 200 and answer.json["cost"] == [], answer
        assert answer.json["interval"]["cost_usd"] is None, answer
        assert "unpriced" in [warning["code"] for warning in answer.json["warnings"]], answer
    for gpu in (unpriced[0], "H100-SXM-80GB"):
        answer = server.post("/v1/estimates", {**job, "gpu": gpu, "providers": ["cudo-2024"]})
        expect_problem(answer, 422, "unpriced", "/providers", gpu)
    answer = server.post("/v1/estimates", {**job, "gpu": unpriced[0], "usd_per_gpu_hour": 2.0})
    assert [line["provider"] for line in answer.json["cost"]] == ["request"], answer


def case_estimators_without_evidence_are_refused(server):
    dense = {**JOB, "model": "llama-3.1-8b", "method": "qlora"}
    dense.pop("active_experts", None)
    for estimator in ("xia2024", "xia2024-printed"):
        for job in (dense, {**JOB, "gpu": "H100-SXM-80GB"}, {**JOB, "method": "lora"}):
            answer = server.post("/v1/estimates", {**job, "estimator": estimator})
            expect_problem(answer, 422, "no-coefficients", "/estimator")
    job = {**JOB, "method": {"kind": "qlora", "rank": 16, "targets": ["experts", "router"]},
           "estimator": "measured", "batch_size": 4}
    assert server.post("/v1/estimates", job).status == 200
    for pointer, value in (("/dataset/cutoff_tokens", 512), ("/dataset/padding_multiple", 16),
                           ("/dataset/padding", "fixed"), ("/active_experts", 1), ("/method/rank", 8),
                           ("/dataset/lengths", {"fixed_tokens": 512}), ("/precision", "fp16"),
                           ("/gradient_checkpointing", "selective"), ("/optimizer", "sgd"),
                           ("/gpu_count", 2), ("/gradient_accumulation_steps", 2)):
        answer = server.post("/v1/estimates", changed(job, pointer, value))
        expect_problem(answer, 422, "no-measurement", "/estimator", "nearest is xia2024-")
    expect_problem(server.post("/v1/estimates", {**dense, "estimator": "measured"}), 422,
                   "no-measurement", "/estimator")


def case_layouts_that_do_not_go_together_are_named(server):
    for count, layout, at, part in (
            (1, {"tensor": 2}, "/layout/tensor", "2"),
            (8, {"data": 2, "tensor": 2}, "/layout/data", "8 devices"),
            (8, {"tensor": 3}, "/layout", "must divide the 8 devices"),
            (6, {"tensor": 3}, "/layout/tensor", "must divide"),
            (33, {"pipeline": 33}, "/layout/pipeline", "1..32"),
            (8, {"expert": 3}, "/layout/expert", "must divide data (8)"),
            (16, {"expert": 16}, "/layout/expert", "8 routed experts"),
            (8, {"zero_stage": 1, "zero_group": 3}, "/layout/zero_group", "must divide"),
            (8, {"zero_group": 8}, "/layout/zero_group", "zero_stage 0"),
            (64, {"nodes": 4}, "/layout/nodes", "must be 8 or more")):
        job = {**JOB, "gpu": "A100-80GB-SXM", "gpu_count": count, "layout": layout}
        job.pop("providers", None)
        expect_problem(server.post("/v1/estimates", job), 400, "invalid-field", at, part)
    refused(server, "/layout", {"tensor": 1, "rows": 2}, at="/layout/rows")


def case_expert_loads_that_cannot_be_are_named(server):
    for load, at, part in (
            ([1, 1], "/expert_load", "8 of them, got 2"), ([0] * 8, "/expert_load", "all zero"),
            ([1] * 7 + [-1], "/expert_load/7", "0"), ([1] * 7 + ["1"], "/expert_load/7", ""),
            ({}, "/expert_load/variance", "required"), ("even", "/expert_load", "list"),
            ({"variance": 1100}, "/expert_load/variance", "1093.75"),
            ({"variance": -1}, "/expert_load/variance", ""),
            ({"variance": 1, "mean": 1}, "/expert_load/mean", ""), ([1] * 1025, "/expert_load", "")):
        refused(server, "/expert_load", load, at=at, part=part)
    for load in ([1] * 8, {"variance": 1}):
        job = {**JOB, "model": "llama-2-7b", "method": "lora", "expert_load": load}
        expect_problem(server.post("/v1/estimates", job), 400, "invalid-field", "/expert_load")


def case_optimizations_are_known_by_name(server):
    refused(server, "/optimizations", "compile")
    refused(server, "/optimizations", ["compile", "magic"], at="/optimizations/1", part="magic")
    refused(server, "/optimizations", [None], at="/optimizations/0")


# Lists of jobs

def case_bad_lists_of_jobs_are_refused(server):
    for body, pointer in (({"jobs": []}, "/jobs"), ({"jobs": {}}, "/jobs"), ({"jobs": 3}, "/jobs"),
                          ({"jobs": [JOB] * 1001}, "/jobs"), ({"jobs": [JOB], "gpu": "A40"}, "/gpu"),
                          ({"jobs": None}, "/jobs")):
        expect_problem(server.post("/v1/estimates", body), 400, "invalid-field", pointer)


def case_one_bad_job_does_not_spoil_the_others(server):
    jobs = [JOB, {**JOB, "gpu": "A41"}, 3, {**JOB, "batch_size": 64}, JOB]
    answer = server.post("/v1/estimates", {"jobs": jobs})
    results = answer.json["results"]
    assert [one.get("status", 200) for one in results] == [200, 400, 400, 422, 200], results
    assert results[0] == results[4] == server.post("/v1/estimates", JOB).json
    assert {one["instance"] for one in results[1:4]} == {answer.header("X-Request-Id")}
    assert results[2]["errors"][0]["pointer"] == "/jobs/2", results[2]
