"""Transport: framing, routing, limits, tokens, request ids, connections. The calls' own meaning is
tested elsewhere."""
import http.client
import json

from client import Answer, expect_problem, wait_until

ARGUMENTS = ["--threads", "2", "--cors-origin", "https://a.example,https://b.example:8443"]
HOST = "Host: x\r\n"
MIB = 1024 * 1024


def refused(server, request, part):
    """Sent raw, it is a 400 after which the connection ends."""
    answer = server.raw(request)
    expect_problem(answer, 400, "bad-request", part=part)
    assert answer.header("Connection") == "close" and answer.closed


# Framing

def case_transfer_encoding_beside_content_length_is_refused(server):
    refused(server, "POST /v1/estimates HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n"
            "Transfer-Encoding: chunked\r\nContent-Type: application/json\r\n\r\n0\r\n\r\n",
            "must not come together")


def case_differing_content_lengths_are_refused(server):
    refused(server, "POST /v1/estimates HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n"
            "Content-Length: 3\r\n\r\n{} ", "repeated")


def case_equal_content_lengths_are_taken(server):
    answer = server.raw("POST /v1/estimates HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n"
                        "Content-Length: 1\r\nContent-Type: application/json\r\n\r\n{")
    expect_problem(answer, 400, "invalid-json")


def case_a_blank_before_the_colon_is_refused(server):
    refused(server, "POST /v1/estimates HTTP/1.1\r\nHost: x\r\nContent-Length : 2\r\n\r\n{}",
            "not a token")


def case_transfer_encodings_but_chunked_are_refused(server):
    for coding in ("gzip, chunked", "gzip", "identity", "xchunked"):
        refused(server, f"POST /v1/estimates HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: {coding}\r\n"
                "\r\n0\r\n\r\n", "chunked")


def case_other_versions_are_refused(server):
    for version in ("HTTP/1.9", "HTTP/1.2"):
        refused(server, f"GET /healthz {version}\r\nHost: x\r\n\r\n", "HTTP/1.1")


def case_a_missing_or_repeated_host_is_refused(server):
    refused(server, "GET /healthz HTTP/1.1\r\n\r\n", "Host")
    refused(server, "GET /healthz HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", "repeated")
    for host in ("a b", "a/b", "user@a", "a#", "a\x80"):
        refused(server, f"GET /healthz HTTP/1.1\r\nHost: {host}\r\n\r\n", "Host must be")


def case_bad_chunks_end_the_connection(server):
    """The HTTP library answers these itself, with a page; what counts is that nothing is read on."""
    for chunk in ("-1", "0x1", "+1", "1 ", "g", "FFFFFFFFFFFFFFFFF"):
        answer = server.raw("POST /v1/estimates HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n"
                            f"Content-Type: application/json\r\n\r\n{chunk}\r\n{{\r\n0\r\n\r\n")
        assert answer.status in (400, 413) and answer.closed, (chunk, answer)


def case_a_trailer_cannot_change_the_framing(server):
    with server.connect() as connection:
        connection.send("POST /v1/estimates HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n"
                        "Content-Type: application/json\r\n\r\n1\r\n{\r\n0\r\nContent-Length: 37\r\n\r\n"
                        "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        expect_problem(connection.read_answer(), 400, "invalid-json")
        assert connection.read_answer().status == 200


def case_spaces_inside_the_request_line_are_refused(server):
    refused(server, "GET  /healthz  HTTP/1.1\r\nHost: x\r\n\r\n", "escaped")
    refused(server, "GET /healthz HTTP/1.1\r\n Host: y\r\nHost: x\r\n\r\n", "not a token")


def case_http_1_0_is_answered(server):
    assert server.raw("GET /healthz HTTP/1.0\r\n\r\n").status == 200


def case_an_absolute_target_is_understood(server):
    assert server.raw("GET http://x/healthz HTTP/1.1\r\nHost: x\r\n\r\n").status == 200


def case_broken_escapes_and_encoded_nul_are_refused(server):
    for target in ("/v1/models/a%2", "/v1/models/a%zz", "/v1/models/%00", "/v1/models?x=%f"):
        expect_problem(server.get(target), 400, "bad-request", part="escape")


def case_a_refused_body_is_never_read_as_the_next_request(server):
    """The body of a refused call must not be taken for a request (request smuggling)."""
    inner = "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
    for method in ("GET", "DELETE", "PATCH", "POST", "PUT"):
        with server.connect() as connection:
            connection.send(f"{method} /nothing HTTP/1.1\r\nHost: x\r\n"
                            f"Content-Length: {len(inner)}\r\n\r\n{inner}")
            expect_problem(connection.read_answer(), 404, "not-found")
            assert connection.is_closed(), method


def case_the_body_of_a_call_without_one_is_skipped(server):
    with server.connect() as connection:
        for _ in range(2):
            connection.send("GET /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello")
            assert connection.read_answer().json == {"status": "ok"}


# Routing

def case_unknown_paths_are_404(server):
    for path in ("/index.html", "/assets", "/v1", "/v1/", "/v1/models/", "/v1/models/a/b",
                 "/v1/estimates/", "/V1/models", "/healthz/x"):
        expect_problem(server.get(path), 404, "not-found")


def case_other_methods_are_405_with_allow(server):
    answer = server.get("/v1/servings")
    expect_problem(answer, 405, "method-not-allowed")
    assert answer.header("Allow") == "POST, OPTIONS"
    answer = server.request("PATCH", "/v1/models/x", {})
    expect_problem(answer, 405, "method-not-allowed")
    assert answer.header("Allow") == "GET, HEAD, PUT, DELETE, OPTIONS"
    expect_problem(server.request("get", "/healthz"), 405, "method-not-allowed")


def case_head_is_get_without_its_body(server):
    with server.connect() as connection:
        connection.send("HEAD /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        answer = connection.read_answer(head_only=True)
        assert answer.status == 200 and int(answer.header("Content-Length")) > 0
        connection.send("GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        assert connection.read_answer().json == {"status": "ok"}


def case_liveness_readiness_and_contract_are_served(server):
    assert server.get("/healthz").json == {"status": "ok"}
    assert server.get("/readyz").json == {"status": "ready"}
    answer = server.get("/openapi.yaml")
    assert answer.header("Content-Type") == "application/yaml" and answer.body.startswith(b"openapi:")
    again = server.get("/openapi.yaml", {"If-None-Match": answer.header("ETag")})
    assert again.status == 304 and again.body == b""


# Limits

def case_a_declared_size_over_the_cap_is_413_at_once(server):
    """The body never comes, the answer does."""
    answer = server.raw(f"POST /v1/estimates HTTP/1.1\r\nHost: x\r\nContent-Length: {MIB + 1}\r\n"
                        "Content-Type: application/json\r\n\r\n")
    expect_problem(answer, 413, "too-large", part=str(MIB))
    answer = server.raw("POST /v1/estimates HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n"
                        "Content-Type: application/json\r\nExpect: 100-continue\r\n\r\n")
    expect_problem(answer, 413, "too-large")


def case_a_client_that_sends_all_before_reading_sees_its_413(server):
    for size in (MIB + 1, 2 * MIB, 24 * MIB):
        expect_problem(server.post("/v1/estimates", b" " * size), 413, "too-large")


def case_a_chunked_body_over_the_cap_is_413(server):
    connection = http.client.HTTPConnection(*server.address, timeout=30)
    chunks = (b" " * 65536 for _ in range(40))
    connection.request("POST", "/v1/estimates", chunks, {"Content-Type": "application/json"},
                       encode_chunked=True)
    response = connection.getresponse()
    answer = Answer(response.status, response.getheaders(), response.read())
    connection.close()
    expect_problem(answer, 413, "too-large")


def case_a_body_of_exactly_the_cap_is_read(server):
    expect_problem(server.post("/v1/estimates", b" " * MIB), 400, "invalid-json", part="empty")


def case_chunked_bodies_are_put_together(server):
    answer = server.raw("POST /v1/estimates HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n"
                        "Content-Type: application/json\r\n\r\n4\r\n{\n\"a\r\n3\r\n\" 1\r\n0\r\n\r\n")
    expect_problem(answer, 400, "invalid-json", part="line 2, column 5")


def case_long_targets_are_414_and_large_heads_431(server):
    expect_problem(server.get("/v1/models?q=" + "x" * 4084), 414, "uri-too-long", part="4097 bytes")
    assert server.get("/healthz?q=" + "x" * 4085).status == 200
    expect_problem(server.get("/healthz", {"X-A": "x" * 17000}), 431, "head-too-large")
    assert server.get("/healthz", {"X-A": "x" * 15000}).status == 200


def case_too_many_query_parameters_are_refused(server):
    query = "&".join(f"q{i}=1" for i in range(17))
    expect_problem(server.get(f"/healthz?{query}"), 400, "bad-request", part="16")


# Media types and bodies

def case_other_media_types_are_415(server):
    for media in ("text/plain", "application/x-www-form-urlencoded", "application/json; charset=latin1",
                  "application/jsonx", "application/", "application/json; charset", ""):
        answer = server.post("/v1/estimates", b"{", {"Content-Type": media})
        expect_problem(answer, 415, "unsupported-media-type")
    with server.connect() as connection:
        connection.send("POST /v1/estimates HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\n{")
        expect_problem(connection.read_answer(), 415, "unsupported-media-type")


def case_json_media_types_are_taken(server):
    for media in ("application/json", "Application/JSON; charset=UTF-8", "application/vnd.x+json",
                  'application/json;charset="utf-8"', "application/json; a=b ; charset=utf-8"):
        answer = server.post("/v1/estimates", b"{", {"Content-Type": media})
        expect_problem(answer, 400, "invalid-json")


def case_syntax_faults_name_line_and_column(server):
    for body, part in (
            (b'{\n  "model": ,\n}', "line 2, column 12"),
            (b"", "the body is empty"),
            (b'{"model": 1, "model": 2}', "duplicate object key"),
            (b'{"model": "\xff"}', "unable to decode byte 0xff"),
            (b'{"epochs": 1e999}', "real number overflow"),
            (b'{"epochs": 9223372036854775808}', "too big integer"),
            (b'{"epochs": NaN}', "line 1, column"),
            (b'{"a": "\\u0000"}', "line 1, column"),
            (b'{"a":\x00 1}', "line 1, column"),
            (b'{"a": ' + b"[" * 40 + b"]" * 40 + b"}", "line 1, column 38: nested deeper than 32"),
            (b'{"a": 1} {}', "line 1, column 10")):
        expect_problem(server.post("/v1/estimates", body), 400, "invalid-json", part=part)


def case_a_body_that_is_no_object_is_a_field_fault(server):
    for body in (b"[]", b"3", b'"x"', b"null"):
        expect_problem(server.post("/v1/estimates", body), 400, "invalid-field", pointer="")


# Tokens

def case_storing_without_a_token_is_401(server):
    answer = server.post("/v1/calibrations", {"points": []})
    expect_problem(answer, 401, "token-required")
    assert answer.header("WWW-Authenticate").startswith("Bearer ")
    for value in ("Bearer nonsense", "Basic Zm9vOmJhcg==", "Bearer", "Bearer "):
        answer = server.post("/v1/calibrations", {"points": []}, {"Authorization": value})
        expect_problem(answer, 401, "token-required")


def case_a_token_without_the_scope_is_403(server):
    answer = server.post("/v1/calibrations", {"points": []}, server.bearer("catalog:write"))
    expect_problem(answer, 403, "scope-required")
    assert "insufficient_scope" in answer.header("WWW-Authenticate")
    for method, path in (("DELETE", "/v1/models/x"), ("PUT", "/v1/models/x"), ("PUT", "/v1/gpus/x"),
                         ("DELETE", "/v1/calibrations/x")):
        scope = "catalog:write" if "calibrations" in path else "calibrations:write"
        expect_problem(server.request(method, path, None, server.bearer(scope)), 403, "scope-required")


def case_a_token_with_the_scope_is_let_through(server):
    answer = server.post("/v1/calibrations", b"{", server.bearer("calibrations:write"))
    expect_problem(answer, 400, "invalid-json")


def case_the_token_is_checked_before_the_body_is_sent(server):
    with server.connect() as connection:
        connection.send(f"POST /v1/calibrations HTTP/1.1\r\n{HOST}Content-Length: 1000\r\n"
                        "Content-Type: application/json\r\nExpect: 100-continue\r\n\r\n")
        expect_problem(connection.read_answer(), 401, "token-required")


def case_expect_continue_is_answered_before_the_body(server):
    with server.connect() as connection:
        connection.send(f"POST /v1/estimates HTTP/1.1\r\n{HOST}Content-Length: 1\r\n"
                        "Content-Type: application/json\r\nExpect: 100-continue\r\n\r\n")
        assert connection.read_answer().status == 100
        connection.send("{")
        expect_problem(connection.read_answer(), 400, "invalid-json")


def case_expect_without_a_body_is_refused_before_anything_is_done(server):
    admin = server.bearer("admin")
    rate = {"gpu": "A40", "gpu_count": 2, "usd_per_gpu_hour": 0.25, "price_date": "2026-09-01",
            "source": "contract 17"}
    assert server.put("/v1/prices/expected", {"prices": [rate]}, admin).status == 201
    for length in ("", "Content-Length: 0\r\n"):
        refused(server, f"DELETE /v1/prices/expected HTTP/1.1\r\n{HOST}{length}Expect: 100-continue\r\n"
                f"Authorization: {admin['Authorization']}\r\n\r\n"
                f"GET /healthz HTTP/1.1\r\n{HOST}\r\n", "Expect needs a body")
        assert server.get("/v1/prices/expected").status == 200, length


def case_expect_with_a_body_is_followed_by_the_next_request(server):
    with server.connect() as connection:
        connection.send(f"POST /v1/estimates HTTP/1.1\r\n{HOST}Transfer-Encoding: chunked\r\n"
                        "Content-Type: application/json\r\nExpect: 100-continue\r\n\r\n"
                        f"1\r\n{{\r\n0\r\n\r\nGET /healthz HTTP/1.1\r\n{HOST}\r\n")
        statuses = [connection.read_answer().status for _ in range(2)]
        if statuses[0] == 100:  # need not come once the body has begun
            statuses = [statuses[1], connection.read_answer().status]
        assert statuses == [400, 200], statuses


# Fields of the answer

def case_request_ids_are_taken_over_or_made(server):
    assert server.get("/healthz", {"X-Request-Id": "a.B_9-z"}).header("X-Request-Id") == "a.B_9-z"
    made = {server.get("/healthz").header("X-Request-Id") for _ in range(3)}
    assert len(made) == 3 and all(len(one) == 32 and int(one, 16) >= 0 for one in made)
    for bad in ("x" * 65, "a b", "a/b", ""):
        assert server.get("/healthz", {"X-Request-Id": bad}).header("X-Request-Id") not in (bad, None)


def case_answers_carry_their_protective_fields(server):
    for answer in (server.get("/healthz"), server.get("/nothing")):
        assert answer.header("X-Content-Type-Options") == "nosniff"
        assert answer.header("Referrer-Policy") == "no-referrer"
        assert answer.header("Content-Security-Policy") == "default-src 'none'; frame-ancestors 'none'"
        assert answer.header("Cross-Origin-Resource-Policy") == "same-origin"
        assert answer.header("Strict-Transport-Security") is None
        assert answer.header("Cache-Control") == "no-store"
        assert answer.header("Vary") == "Origin"


def case_named_origins_may_read_answers_and_others_may_not(server):
    for origin in ("https://a.example", "https://b.example:8443"):
        for path in ("/healthz", "/nothing"):
            answer = server.get(path, {"Origin": origin})
            assert answer.header("Access-Control-Allow-Origin") == origin
            assert "X-Request-Id" in answer.header("Access-Control-Expose-Headers")
            assert answer.header("Cross-Origin-Resource-Policy") is None
    for origin in ("https://a.example.evil.org", "http://a.example", "null"):
        answer = server.get("/healthz", {"Origin": origin})
        assert answer.header("Access-Control-Allow-Origin") is None


def case_preflights_are_answered(server):
    headers = {"Origin": "https://a.example", "Access-Control-Request-Method": "POST"}
    answer = server.request("OPTIONS", "/v1/servings", None, headers)
    assert answer.status == 204 and answer.body == b""
    assert answer.header("Access-Control-Allow-Origin") == "https://a.example"
    assert "POST" in answer.header("Access-Control-Allow-Methods")
    assert "Content-Type" in answer.header("Access-Control-Allow-Headers")
    answer = server.request("OPTIONS", "/v1/servings", None, {"Origin": "https://evil.example"})
    assert answer.status == 204 and answer.header("Access-Control-Allow-Origin") is None
    assert answer.header("Allow") == "POST, OPTIONS"
    expect_problem(server.request("OPTIONS", "/nothing"), 404, "not-found")


# Connections

def case_connections_are_kept_and_may_pipeline(server):
    one = "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
    bad = ("POST /v1/estimates HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n"
           "Content-Type: application/json\r\n\r\n{")
    with server.connect() as connection:
        connection.send(one + bad + one + "GET /nothing HTTP/1.1\r\nHost: x\r\n\r\n" + one)
        statuses = [connection.read_answer().status for _ in range(5)]
        assert statuses == [200, 400, 200, 404, 200], statuses


def case_heads_and_bodies_may_come_in_pieces(server):
    data = ("POST /v1/estimates HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n"
            'Content-Type: application/json\r\n\r\n{"a":1,}\n')
    with server.connect() as connection:
        for byte in data:
            connection.send(byte)
        expect_problem(connection.read_answer(), 400, "invalid-json", part="line 1, column 8")


def case_each_request_is_one_line_of_the_log(server):
    server.get("/v1/models/x%22%0A", {"X-Request-Id": "logged-1"})

    def lines():
        return [line for line in server.log_lines() if line.get("id") == "logged-1"]

    wait_until(lambda: lines(), "the log line")
    (line,) = lines()
    assert line["method"] == "GET" and line["route"] == "/v1/models/{id}", line
    assert line["path"] == "/v1/models/x%22%0A" and line["ms"] >= 0 and line["bytes"] > 0, line
    assert line["status"] == 404 and line["level"] == "info", line
    assert line["time"].endswith("Z") and line["time"][10] == "T" and line["time"][19] == ".", line


def case_problems_say_how_many_faults_beyond_sixteen(server):
    body = json.dumps({f"unknown_{i}": 1 for i in range(20)})
    problem = expect_problem(server.post("/v1/estimates", body), 400, "invalid-field",
                             pointer="/unknown_0", part="unknown field")
    assert len(problem["errors"]) == 16 and problem["error_count"] >= 20
