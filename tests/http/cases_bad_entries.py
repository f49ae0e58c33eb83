"""Bad input but jobs: paths, methods, sizes and queries; tokens; models, GPUs and points that are
refused, and what is shipped and stays as it is."""
import json

from client import ABSENT, changed, expect_problem

JOB = {"model": "mixtral-8x7b", "gpu": "A40", "method": {"kind": "qlora", "targets": ["experts"]},
       "dataset": {"queries": 15000, "lengths": {"name": "xia2024-math"}, "cutoff_tokens": 1024}}
POINT = {"model": "llama-3.1-8b", "gpu": "L40S", "method": "lora", "stack": "hf-2024",
         "batch_size": 4, "sequence_tokens": 512, "queries_per_s": 2.5}
GPU = {"memory_bytes": 24e9, "memory_bandwidth_bytes_per_s": 1e12, "fp16_flop_per_s": 1e14}
MIB = 1024 * 1024


# Paths, methods, media types, sizes

def case_wrong_paths_methods_and_media_types_are_refused(server):
    for path in ("/v1/estimate", "/v2/models", "/v1/models/a/b", "/v1/calibrations/"):
        expect_problem(server.get(path), 404, "not-found")
    for method, path, allow in (("GET", "/v1/servings", "POST"), ("POST", "/v1/models", "GET"),
                                ("DELETE", "/v1/gpus/A40", "GET, HEAD, PUT"),
                                ("PUT", "/v1/calibrations", "POST"), ("POST", "/healthz", "GET"),
                                ("POST", "/v1/prices/x", "GET, HEAD, PUT, DELETE")):
        answer = server.request(method, path, {})
        expect_problem(answer, 405, "method-not-allowed")
        assert answer.header("Allow").startswith(allow), answer.headers
    for media in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data"):
        answer = server.post("/v1/estimates", json.dumps(JOB), {"Content-Type": media})
        expect_problem(answer, 415, "unsupported-media-type")


def case_bodies_over_the_limit_are_refused(server):
    padding = " " * MIB
    expect_problem(server.post("/v1/estimates", json.dumps(JOB) + padding), 413, "too-large")
    bearer = server.bearer("calibrations:write")
    answer = server.post("/v1/calibrations", json.dumps({"points": [POINT]}) + padding * 2, bearer)
    assert answer.status == 201, answer
    answer = server.post("/v1/calibrations", b" " * (32 * MIB + 1), bearer)
    expect_problem(answer, 413, "too-large")
    points = [{**POINT, "queries_per_s": 1 + i} for i in range(10001)]
    expect_problem(server.post("/v1/calibrations", {"points": points}, bearer), 413, "too-large",
                   "/points", "10000")
    server.delete(f"/v1/calibrations/{stored(server, bearer)}", bearer)


def stored(server, bearer):
    return server.post("/v1/calibrations", {"points": [POINT]}, bearer).json["ids"][0]


def case_bad_queries_are_refused(server):
    for name in ("models", "gpus", "prices", "providers", "datasets", "stacks", "calibrations",
                 "fits"):
        for query in ("limit=0", "limit=1001", "limit=x", "limit=-1", "limit=", "limit=1.5",
                      "cursor=zz", "cursor=", "cursor=6", "page=2", "limit=1&limit=2"):
            pointer = "/" + query.partition("=")[0]
            expect_problem(server.get(f"/v1/{name}?{query}"), 400, "invalid-field", pointer)
    for query, pointer in (("gpu=A41", "/gpu"), ("provider=hal", "/provider")):
        expect_problem(server.get(f"/v1/prices?{query}"), 400, "unknown-reference", pointer)


def case_unknown_resources_are_404(server):
    for path in ("/v1/models/gpt-5", "/v1/gpus/A41", "/v1/datasets/dolly", "/v1/fits/none",
                 "/v1/calibrations/none", "/v1/models/%C3%A9"):
        expect_problem(server.get(path), 404, "not-found")


# Tokens

def case_storing_needs_a_token_of_the_scope(server):
    calls = [("PUT", "/v1/models/own", {}, "catalog:write"),
             ("PUT", "/v1/gpus/own", GPU, "catalog:write"),
             ("DELETE", "/v1/models/own", None, "catalog:write"),
             ("POST", "/v1/calibrations", {"points": [POINT]}, "calibrations:write"),
             ("DELETE", "/v1/calibrations/xia2024-001", None, "calibrations:write")]
    other = {"catalog:write": "calibrations:write", "calibrations:write": "catalog:write"}
    for method, path, body, scope in calls:
        expect_problem(server.request(method, path, body), 401, "token-required")
        for wrong in ("Bearer lq_wrong", "Bearer", "Basic eDp5", "lq_wrong"):
            answer = server.request(method, path, body, {"Authorization": wrong})
            expect_problem(answer, 401, "token-required")
        answer = server.request(method, path, body, server.bearer(other[scope]))
        expect_problem(answer, 403, "scope-required")
        answer = server.request(method, path, body, server.bearer("read"))
        expect_problem(answer, 403, "scope-required", part=scope)
    assert server.get("/v1/models/own").status == 404 and server.get("/v1/gpus/own").status == 404


def case_admin_tokens_may_do_everything(server):
    bearer = server.bearer("admin")
    assert server.put("/v1/gpus/admins", GPU, bearer).status == 201
    one = stored(server, bearer)
    assert server.delete(f"/v1/calibrations/{one}", bearer).status == 204


def case_revoked_and_expired_tokens_are_refused(server):
    made = server.command("token", "create", "--name", "short-lived", "--scope", "catalog:write")
    bearer = {"Authorization": f"Bearer {made.stdout.splitlines()[-1]}"}
    assert server.put("/v1/gpus/mine", GPU, bearer).status == 201
    (row,) = [line for line in server.command("token", "list").stdout.splitlines()
              if "short-lived" in line]
    assert server.command("token", "revoke", row.split("\t")[0]).returncode == 0
    expect_problem(server.put("/v1/gpus/mine", GPU, bearer), 401, "token-required", part="revoked")
    bearer = {"Authorization": f"Bearer {server.expired_token('catalog:write')}"}
    expect_problem(server.put("/v1/gpus/mine", GPU, bearer), 401, "token-required", part="expired")


# What is shipped

def case_shipped_entries_are_read_only(server):
    catalog, calibrations = server.bearer("catalog:write"), server.bearer("calibrations:write")
    config = server.get("/v1/models/llama-3.1-8b").json["config"]
    for path in ("/v1/models/llama-3.1-8b", "/v1/models/LLAMA-3.1-8B", "/v1/models/mixtral-8x7b"):
        before = server.get(path).body
        expect_problem(server.put(path, config, catalog), 409, "conflict")
        expect_problem(server.delete(path, catalog), 409, "conflict")
        assert server.get(path).body == before
    for path in ("/v1/gpus/A40", "/v1/gpus/a40"):
        before = server.get(path).body
        expect_problem(server.put(path, GPU, catalog), 409, "conflict")
        assert server.get(path).body == before
    expect_problem(server.delete("/v1/calibrations/xia2024-001", calibrations), 409, "conflict")
    assert server.get("/v1/calibrations/xia2024-001").status == 200


# Models and GPUs

def case_bad_models_are_refused(server):
    bearer = server.bearer("catalog:write")
    config = server.get("/v1/models/mixtral-8x7b").json["config"]
    for pointer, value in (("/model_type", "transformer-xl"), ("/model_type", ABSENT),
                           ("/model_type", 3), ("/hidden_size", 0), ("/hidden_size", ABSENT), ("/hidden_size", "4096"),
                           ("/num_hidden_layers", -1), ("/num_hidden_layers", 1e9),
                           ("/num_attention_heads", 3), ("/num_key_value_heads", 5),
                           ("/num_local_experts", 1.5), ("/num_experts_per_tok", 9),
                           ("/vocab_size", 0), ("/tie_word_embeddings", "no")):
        bad = changed(config, pointer, value)
        expect_problem(server.put("/v1/models/bad", bad, bearer), 400, "invalid-field", pointer)
        expect_problem(server.post("/v1/estimates", {**JOB, "model": bad}), 400, "invalid-field",
                       f"/model{pointer}")
    for bad in ([], 3, "mixtral-8x7b"):
        answer = server.put("/v1/models/bad", json.dumps(bad), bearer)
        expect_problem(answer, 400, "invalid-field", "")
    assert server.get("/v1/models/bad").status == 404


def case_bad_ids_in_paths_are_refused(server):
    bearer = server.bearer("catalog:write")
    config = server.get("/v1/models/llama-3.1-8b").json["config"]
    for one in ("a%20b", "%2e", "-a", "a%2Fb", "x" * 64, "%C3%A9"):
        expect_problem(server.put(f"/v1/models/{one}", config, bearer), 400, "bad-request")
        expect_problem(server.put(f"/v1/gpus/{one}", GPU, bearer), 400, "bad-request")


def case_bad_gpus_are_refused(server):
    bearer = server.bearer("catalog:write")
    for pointer, value in (("/memory_bytes", 24), ("/memory_bytes", ABSENT),
                           ("/memory_bytes", "24 GB"), ("/memory_bandwidth_bytes_per_s", 0), ("/fp16_flop_per_s", -1),
                           ("/fp16_flop_per_s", 312), ("/sm_count", 1.5), ("/vendor", ""),
                           ("/memory_gb", 24), ("/id", "other"), ("/memory_is_reported", 1)):
        expect_problem(server.put("/v1/gpus/bad", changed(GPU, pointer, value), bearer), 400,
                       "invalid-field", pointer)
    assert server.get("/v1/gpus/bad").status == 404


# Calibrations

def case_bad_points_are_refused_all_or_nothing(server):
    bearer = server.bearer("calibrations:write")
    server.settle()
    before = server.get("/v1/calibrations?limit=1000").json
    for pointer, value, slug in (
            ("/model", "gpt-5", "unknown-reference"), ("/gpu", "A41", "unknown-reference"),
            ("/model", ABSENT, "invalid-field"), ("/gpu", ABSENT, "invalid-field"),
            ("/method", ABSENT, "invalid-field"), ("/stack", ABSENT, "invalid-field"),
            ("/batch_size", ABSENT, "invalid-field"), ("/batch_size", 0, "invalid-field"),
            ("/sequence_tokens", 0, "invalid-field"), ("/sequence_tokens", ABSENT, "invalid-field"),
            ("/queries_per_s", 0, "invalid-field"), ("/queries_per_s", -1, "invalid-field"),
            ("/queries_per_s", "2", "invalid-field"), ("/queries_per_s", ABSENT, "invalid-field"),
            ("/peak_memory_bytes", 0, "invalid-field"), ("/active_experts", 2, "invalid-field"),
            ("/phases", {"forward": 1}, "invalid-field"), ("/phases", 3, "invalid-field"),
            ("/expert_load", [-1] + [1] * 7, "invalid-field"), ("/device", "A100", "invalid-field"),
            ("/measured_at", "yesterday", "invalid-field"), ("/source", "a b", "invalid-field"),
            ("/lengths", {"name": "xia2024-cs"}, "invalid-field"), ("/qps", 1, "invalid-field")):
        at = "/phases/forward" if isinstance(value, dict) and pointer == "/phases" else pointer
        body = {"points": [POINT, changed(POINT, pointer, value)]}
        expect_problem(server.post("/v1/calibrations", body, bearer), 400, slug, f"/points/1{at}")
    for body, pointer in (({}, "/points"), ({"points": []}, "/points"), ({"points": {}}, "/points"),
                          ([], ""), ({"points": [3]}, "/points/0"),
                          ({"points": [POINT], "x": 1}, "/x")):
        expect_problem(server.post("/v1/calibrations", json.dumps(body), bearer), 400,
                       "invalid-field", pointer)
    assert server.get("/v1/calibrations?limit=1000").json == before


def case_every_bad_point_is_named(server):
    points = [changed(POINT, "/batch_size", 0) if i % 2 else POINT for i in range(40)]
    bearer = server.bearer("calibrations:write")
    answer = server.post("/v1/calibrations", {"points": points}, bearer)
    problem = expect_problem(answer, 400, "invalid-field")
    assert [e["pointer"] for e in problem["errors"]] == [f"/points/{i}/batch_size"
                                                         for i in range(1, 33, 2)], problem
    assert problem["error_count"] == 20, problem


def case_impossible_dates_are_refused(server):
    bearer = server.bearer("calibrations:write")
    for text in ("2026-13-01T00:00:00Z", "2026-02-30T00:00:00Z", "2026-01-01T25:00:00Z",
                 "2026-01-01", "2026-01-01T00:00:00+02:00", ""):
        body = {"points": [{**POINT, "measured_at": text}]}
        expect_problem(server.post("/v1/calibrations", body, bearer), 400, "invalid-field",
                       "/points/0/measured_at")


def case_bad_idempotency_keys_are_refused(server):
    for key in ("x" * 129, ""):
        headers = {**server.bearer("calibrations:write"), "Idempotency-Key": key}
        answer = server.post("/v1/calibrations", {"points": [POINT]}, headers)
        expect_problem(answer, 400, "bad-request", part="Idempotency-Key")
