"""Who may do what, and how often: closed reads, tokens that are no good, rates, forged addresses."""
import contextlib
import re
import time

from client import Server, expect_problem, wait_until

ARGUMENTS = ["--reads", "token", "--metrics", "token"]
JOB = {"model": "mixtral-8x7b", "gpu": "A40",
       "method": {"kind": "qlora", "rank": 16, "targets": ["experts", "router"]},
       "dataset": {"queries": 15000, "lengths": {"name": "xia2024-math"}, "cutoff_tokens": 1024},
       "epochs": 10}


@contextlib.contextmanager
def serving(server, *arguments):
    other = Server(server.program, arguments).start()
    try:
        yield other
        assert other.stop() == 0, other.log()[-4000:]
    finally:
        other.close()


def bearer(secret):
    return {"Authorization": f"Bearer {secret}"}


# Closed reads

def case_closed_reads_need_a_token(server):
    for method, path, body in (("GET", "/v1/models", None), ("GET", "/v1/gpus/A40", None),
                               ("POST", "/v1/estimates", JOB), ("GET", "/v1/validation", None),
                               ("GET", "/v1/estimates/x", None), ("HEAD", "/v1/models", None)):
        answer = server.request(method, path, body)
        assert answer.status == 401, (method, path, answer)
        assert answer.header("WWW-Authenticate").startswith("Bearer "), answer.headers
    expect_problem(server.get("/v1/models"), 401, "token-required", part="scope read")


def case_any_scope_may_read(server):
    for scope in ("read", "calibrations:write", "catalog:write", "admin"):
        assert server.get("/v1/models", server.bearer(scope)).status == 200, scope
        assert server.post("/v1/estimates", JOB, server.bearer(scope)).status == 200, scope


def case_what_watches_the_service_stays_open(server):
    for path in ("/healthz", "/readyz", "/openapi.yaml"):
        assert server.get(path).status == 200, path


def case_paths_that_are_not_there_need_no_token(server):
    expect_problem(server.get("/v1/nothing"), 404, "not-found")
    assert server.request("OPTIONS", "/v1/models").status == 204


def case_reading_scopes_do_not_write(server):
    for method, path in (("PUT", "/v1/models/x"), ("DELETE", "/v1/calibrations/x"),
                         ("PUT", "/v1/prices/x"), ("GET", "/v1/estimates")):
        expect_problem(server.request(method, path, None, server.bearer("read")), 403, "scope-required")
    expect_problem(server.post("/v1/estimates", {**JOB, "save": True}, server.bearer("read")),
                   403, "scope-required")


# Tokens that are no good

def made(server, *arguments):
    done = server.command("token", "create", "--name", "made", *arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()[-1]


def case_damaged_tokens_are_refused(server):
    secret = server.token("admin")
    for damaged in (secret[:-1], secret + "A", secret[3:], secret.swapcase(), secret[:20],
                    "lq_", "lq_" + "A" * 43, secret.replace("lq_", "lq_ "), "x" * 10000):
        expect_problem(server.get("/v1/models", bearer(damaged)), 401, "token-required")
    assert server.get("/v1/models", bearer(secret)).status == 200


def case_expired_tokens_are_refused(server):
    secret = server.expired_token("read")
    problem = expect_problem(server.get("/v1/models", bearer(secret)), 401, "token-required")
    assert "expired" in problem["detail"], problem


def case_a_token_expires_while_it_is_in_use(server):
    end = int(time.time()) + 4
    secret = made(server, "--scope", "read", "--expires",
                  time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(end)))
    status = server.get("/v1/models", bearer(secret)).status
    assert status == 200 or time.time() >= end, status
    wait_until(lambda: server.get("/v1/models", bearer(secret)).status == 401, "the expiry", 6)


def case_a_revocation_counts_within_a_second(server):
    secret = made(server, "--scope", "admin")
    listed = server.command("token", "list").stdout.splitlines()
    identity = [line.split("\t")[0] for line in listed if "\tmade\t" in line][-1]
    for _ in range(20):
        assert server.get("/v1/models", bearer(secret)).status == 200
    assert server.command("token", "revoke", identity).returncode == 0
    wait_until(lambda: server.get("/v1/models", bearer(secret)).status == 401, "the revocation", 1.0)
    problem = expect_problem(server.get("/v1/models", bearer(secret)), 401, "token-required")
    assert "revoked" in problem["detail"], problem


def case_a_new_token_counts_at_once(server):
    secret = made(server, "--scope", "read")
    assert server.get("/v1/models", bearer(secret)).status == 200


# Rates

def statuses(server, count, headers=None, path="/v1/stacks"):
    return [server.get(path, headers).status for _ in range(count)]


def case_an_address_has_its_rate(server):
    with serving(server, "--rate-per-address", "1:5") as other:
        assert statuses(other, 5) == [200] * 5
        answer = other.get("/v1/stacks")
        expect_problem(answer, 429, "busy", part="this address")
        assert answer.header("Retry-After") == "1"
        assert statuses(other, 20, path="/healthz") == [200] * 20
        assert statuses(other, 3, path="/readyz") == [200] * 3
        assert statuses(other, 20, path="/") == [200] * 20  # and its files: a page takes many at once
        asset = re.search(r'"(/assets/[^"]+)"', other.get("/").body.decode()).group(1)
        assert statuses(other, 20, path=asset) == [200] * 20
        time.sleep(1.1)
        assert other.get("/v1/stacks").status == 200
        with other.connect() as connection:  # a refusal ends no connection
            for _ in range(3):
                connection.send("GET /v1/stacks HTTP/1.1\r\nHost: x\r\n\r\n")
                assert connection.read_answer().status in (200, 429)


def case_paths_and_methods_that_are_not_there_take_of_the_rate(server):
    with serving(server, "--rate-per-address", "0.2:5") as other:
        got = [other.request(method, path).status
               for method, path in (("GET", "/nothing"), ("PATCH", "/v1/stacks"), ("GET", "/v1/models/%zz"),
                                    ("OPTIONS", "/v1/stacks"), ("POST", "/healthz"))]
        assert got == [404, 405, 400, 204, 405], got
        for method, path in (("GET", "/nothing"), ("PATCH", "/v1/stacks"), ("GET", "/v1/models/%zz"),
                             ("OPTIONS", "/v1/stacks"), ("POST", "/healthz"), ("GET", "/v1/stacks")):
            expect_problem(other.request(method, path), 429, "busy", part="this address")
        assert other.get("/healthz").status == 200
        answer = other.raw("GET /healthz HTTP/1.1\r\n\r\n")  # broken framing ends the connection
        assert answer.status == 400 and answer.closed, answer


def case_a_token_has_its_rate_and_bad_tokens_take_nothing_of_it(server):
    with serving(server, "--reads", "token", "--rate-per-token", "0.2:6") as other:
        first, second = other.bearer("read"), other.bearer("admin")
        damaged = {"Authorization": first["Authorization"][:-2] + "zz"}
        assert statuses(other, 30, damaged) == [401] * 30
        assert statuses(other, 6, first) == [200] * 6
        answer = other.get("/v1/stacks", first)
        expect_problem(answer, 429, "busy", part="this token")
        assert 3 <= int(answer.header("Retry-After")) <= 5, answer.headers
        assert statuses(other, 6, second) == [200] * 6


def case_a_forged_forwarded_for_is_not_believed(server):
    with serving(server, "--rate-per-address", "0.2:5", "--trusted-proxy", "192.0.2.1") as other:
        got = [other.get("/v1/stacks", {"X-Forwarded-For": f"198.51.100.{i}"}).status for i in range(8)]
        assert got == [200] * 5 + [429] * 3, got


def case_a_trusted_proxys_last_hop_is_believed(server):
    with serving(server, "--rate-per-address", "0.2:3", "--trusted-proxy", "10.0.0.0/8,127.0.0.1") as other:
        def asked(value, count=1):
            return [other.get("/v1/stacks", {"X-Forwarded-For": value}).status for _ in range(count)]

        assert asked("198.51.100.7", 4) == [200] * 3 + [429]
        assert asked("198.51.100.8") == [200]
        assert asked("198.51.100.8, 198.51.100.7") == [429], "only the last hop counts"
        assert asked("198.51.100.7,  203.0.113.5:4711") == [200]
        assert asked("2001:db8::1", 3) == [200] * 3
        assert asked("2001:db8::ffff") == [429], "a /64 is one"
        assert asked("[2001:db8:0:1::1]:80") == [200]
        assert asked("unknown", 4) == [200] * 3 + [429], "falls back to the proxy"
        with other.connect() as connection:
            connection.send("GET /v1/stacks HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: 203.0.113.99\r\n"
                            "X-Forwarded-For: 198.51.100.7\r\n\r\n")
            assert connection.read_answer().status == 429, "the last line counts"
