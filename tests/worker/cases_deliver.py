"""Deliveries to servers that misbehave: nothing is lost, nothing is sent twice as something new."""
import json
import resource
import signal
import socket
import subprocess
import time

from worker import HTML, TOKEN, answer, expect, point, problem, receipt, stores, wait_for

SOON_S = 10.0  # without having waited, on a machine that does much else


def keep(worker, count):
    points = [point(n) for n in range(count)]
    worker.keep(points)
    return points


# What is sent

def case_points_go_as_they_were_kept(worker):
    points = keep(worker, 3)
    fake = worker.fake(stores)
    expect(worker.deliver(fake.url), 0, "delivered 3 points")
    (request,) = fake.requests
    assert request.line == "POST /v1/calibrations HTTP/1.1", request.line
    assert request.json == {"points": points}, request.body
    assert request.headers["authorization"] == f"Bearer {TOKEN}"
    assert request.headers["user-agent"].startswith("llmquote-worker/"), request.headers
    assert request.headers["content-type"] == "application/json"
    assert len(request.key) == 32, request.key
    assert set(request.headers) == {"host", "accept", "authorization", "user-agent", "content-type",
                                    "idempotency-key", "content-length"}, request.headers
    machine = socket.gethostname()
    assert len(machine) < 4 or machine not in str(request.headers) + request.body.decode()
    expect(worker.deliver(fake.url), 0, "delivered 0 points")
    assert len(fake.requests) == 1


def case_batches_have_at_most_500_points(worker):
    points = keep(worker, 1201)
    fake = worker.fake(stores)
    expect(worker.deliver(fake.url), 0, "delivered 1201 points")
    assert [len(one.json["points"]) for one in fake.requests] == [500, 500, 201]
    assert [one for request in fake.requests for one in request.json["points"]] == points
    assert len({one.key for one in fake.requests}) == 3


def case_a_prefix_of_the_path_is_kept(worker):
    keep(worker, 1)
    fake = worker.fake(stores)
    expect(worker.deliver(fake.url + "/quotes/"), 0)
    assert fake.requests[0].line == "POST /quotes/v1/calibrations HTTP/1.1"


def case_receipts_are_told(worker):
    keep(worker, 3)
    fake = worker.fake(lambda request, _: receipt(request, 2, ["id-7", "id-9"]))
    expect(worker.deliver(fake.url), 0, "2 were there already", "2 are implausible", "id-7 id-9")


def case_a_real_server_takes_them(worker):
    points = keep(worker, 3)
    server = worker.server()
    expect(worker.deliver(server.url), 0, "delivered 3 points (0 were there already")
    server.settle()
    rows = server.get("/v1/calibrations?source=lab").json["calibrations"]
    assert len(rows) == 3, rows
    worker.keep(points)
    expect(worker.deliver(server.url), 0, "3 were there already")
    server.settle()
    assert len(server.get("/v1/calibrations?source=lab").json["calibrations"]) == 3


# The token

def case_a_refused_token_stops_at_once(worker):
    for status, code in ((401, "token"), (403, "scope")):
        keep(worker, 1)
        fake = worker.fake(problem(status, f"no such {code} {TOKEN}"))
        begin = time.monotonic()
        expect(worker.deliver(fake.url), 77, "calibrations:write", str(status), "kept")
        assert len(fake.requests) == 1 and time.monotonic() - begin < SOON_S
    expect(worker.deliver(worker.fake(stores).url), 0, "delivered 2 points")


def case_a_real_server_refuses_a_token_without_the_scope(worker):
    keep(worker, 1)
    server = worker.server()
    worker.token_file.write_text("lq_nonsense\n")
    expect(worker.deliver(server.url), 77, "401")
    worker.token_file.write_text(server.token("catalog:write") + "\n")
    expect(worker.deliver(server.url), 77, "403", "calibrations:write")


def case_the_token_comes_from_the_environment_too(worker):
    keep(worker, 1)
    fake = worker.fake(stores)
    done = worker.run("deliver", "--server", fake.url, "--spool", worker.spool, LLMQUOTE_TOKEN="abc")
    expect(done, 0)
    assert fake.requests[0].headers["authorization"] == "Bearer abc"


def case_a_token_cannot_carry_headers(worker):
    keep(worker, 1)
    fake = worker.fake(stores)
    done = worker.run("deliver", "--server", fake.url, "--spool", worker.spool,
                      LLMQUOTE_TOKEN="abc\r\nX-Evil: 1")
    expect(done, 64)
    assert "abc" not in done.stderr and not fake.requests


def case_a_token_stays_off_http_to_other_machines(worker):
    keep(worker, 1)
    for url in ("http://192.0.2.1", "http://127.0.0.1.example.org", "http://localhost.example.org"):
        expect(worker.deliver(url), 64, "https")
    done = worker.deliver("http://192.0.2.1", "--insecure-http", "--give-up", "0", "--timeout", "0.2")
    expect(done, 69)


def case_a_servers_url_is_checked_and_its_secrets_are_not_told(worker):
    keep(worker, 1)
    for url in ("ftp://127.0.0.1", "http://", "http://127.0.0.1/?a=b", "nonsense://x"):
        expect(worker.deliver(url), 64, "URL")
    done = worker.deliver("http://me:hunter2@127.0.0.1:1")
    expect(done, 64)
    assert "hunter2" not in done.stdout + done.stderr


def case_a_certificate_that_nobody_vouches_for_gets_nothing(worker):
    keep(worker, 1)
    known, context = worker.certificate("known")
    other, _ = worker.certificate("other")
    fake = worker.fake(stores, tls=context)
    for more in ((), ("--ca-file", other), ("--insecure-http",)):
        expect(worker.deliver(fake.url, "--give-up", "0", *more), 69, "certificate")
    elsewhere = fake.url.replace("127.0.0.1", "localhost")  # what it does not speak for
    expect(worker.deliver(elsewhere, "--give-up", "0", "--ca-file", known), 69, "localhost")
    assert not fake.requests
    expect(worker.deliver(fake.url, "--ca-file", known), 0, "delivered 1 points")
    keep(worker, 1)
    expect(worker.deliver(fake.url, LLMQUOTE_CA_FILE=known), 0, "delivered 1 points")


def case_redirects_are_not_followed(worker):
    keep(worker, 1)
    other = worker.fake(stores)
    fake = worker.fake(answer(307, "", Location=other.url + "/v1/calibrations"))
    expect(worker.deliver(fake.url), 69, "does not answer as an llmquote-server")
    assert not other.requests


def case_no_proxy_stands_before_this_machine(worker):
    keep(worker, 1)
    proxy, fake = worker.fake(stores), worker.fake(stores)
    expect(worker.deliver(fake.url, http_proxy=proxy.url, all_proxy=proxy.url), 0)
    assert len(fake.requests) == 1 and not proxy.requests


# Bad points

def case_bad_points_are_set_aside_and_the_others_go(worker):
    points = keep(worker, 5)
    errors = [("/points/1/step_time_s", "must be \u001b[31mpositive"), ("/points/4", "is odd"),
              ("/points/1/gpu", "is unknown"), ("/points/77/gpu", "is not ours")]
    for status in (400, 422):
        fake = worker.fake(problem(status, "2 faults", errors), stores)
        expect(worker.deliver(fake.url), 65, "rejected 2", "/step_time_s", "is odd")
        assert fake.requests[1].json["points"] == [points[0], points[2], points[3]]
        assert fake.requests[0].key != fake.requests[1].key
        first, second = worker.rejected()[-2:]
        assert first["point"] == points[1] and first["pointer"] == "/step_time_s", first
        assert first["detail"] == "must be ?[31mpositive" and second["point"] == points[4], second
        worker.keep(points)
    assert len(worker.rejected()) == 4


def case_a_real_server_rejects_a_bad_point_only(worker):
    points = [point(n) for n in range(20)]
    for n in range(0, 20):
        if n != 3:
            points[n]["gpu"] = "no-such-gpu"  # more than a problem names at once
    worker.keep(points)
    server = worker.server()
    expect(worker.deliver(server.url), 65, "delivered 1 points", "rejected 19", "no-such-gpu")
    server.settle()
    assert len(server.get("/v1/calibrations?source=lab").json["calibrations"]) == 1
    assert len(worker.rejected()) == 19


def case_a_body_that_is_refused_without_a_reason_is_halved(worker):
    points = keep(worker, 8)
    bad = points[5]
    fake = worker.fake(lambda request, _: problem(400, "syntax")
                       if bad in request.json["points"] else receipt(request))
    expect(worker.deliver(fake.url), 65, "delivered 7 points", "rejected 1")
    assert [one["point"] for one in worker.rejected()] == [bad]


def case_what_is_too_large_is_halved(worker):
    points = keep(worker, 100)
    fake = worker.fake(lambda request, _: answer(413, "no") if len(request.json["points"]) > 30
                       else receipt(request))
    expect(worker.deliver(fake.url), 0, "delivered 100 points")
    sizes = [len(one.json["points"]) for one in fake.requests]
    assert sizes == [100, 50, 25, 25, 25, 25], sizes
    keep(worker, 1)
    expect(worker.deliver(worker.fake(answer(413, "no")).url), 65, "rejected 1")
    assert worker.rejected()[0]["point"] == points[0]


def case_a_conflict_is_set_aside_and_told(worker):
    points = keep(worker, 2)
    fake = worker.fake(problem(409, "the key was used with another body"))
    expect(worker.deliver(fake.url), 65, "409", "another body", "rejected 2")
    assert [one["point"] for one in worker.rejected()] == points


# Servers in trouble

def case_retry_after_is_obeyed(worker):
    keep(worker, 1)
    for status in (429, 503):
        fake = worker.fake(problem(status, "busy", Retry_After=1), stores)
        begin = time.monotonic()
        expect(worker.deliver(fake.url), 0, "trying again in 1.0 s")
        assert time.monotonic() - begin >= 1.0
        assert fake.requests[0].key == fake.requests[1].key
        assert fake.requests[0].body == fake.requests[1].body
        keep(worker, 1)


def case_more_patience_than_there_is_gives_up_at_once(worker):
    keep(worker, 1)
    fake = worker.fake(problem(503, "busy", Retry_After=500))
    begin = time.monotonic()
    expect(worker.deliver(fake.url), 75, "500 s", "1 points are kept")
    assert time.monotonic() - begin < SOON_S and len(fake.requests) == 1


def case_failures_are_repeated_to_the_byte(worker):
    keep(worker, 3)
    fake = worker.fake(problem(500, "internal"), None, answer(502, HTML), lambda *_: b"HTTP/1.1 2",
                       lambda *_: b"\x00\xff garbage", stores)
    expect(worker.deliver(fake.url), 0, "delivered 3 points")
    assert len(fake.requests) == 6
    assert len({(one.key, one.body) for one in fake.requests}) == 1


def case_giving_up_keeps_the_points(worker):
    points = keep(worker, 2)
    fake = worker.fake(problem(500, "internal"))
    expect(worker.deliver(fake.url, "--give-up", "1"), 75, "given up", "2 points are kept")
    with socket.create_server(("127.0.0.1", 0)) as closed:
        url = f"http://127.0.0.1:{closed.getsockname()[1]}"
    expect(worker.deliver(url, "--give-up", "0.5"), 69, "given up")
    again = worker.fake(stores)
    expect(worker.deliver(again.url), 0)
    assert again.requests[0].json["points"] == points
    assert again.requests[0].key == fake.requests[0].key
    assert again.requests[0].body == fake.requests[0].body


def case_what_is_no_receipt_is_no_llmquote_server(worker):
    keep(worker, 2)
    few = json.dumps({"ids": ["a"], "duplicates": 0, "implausible": []})
    for body in (HTML, b"", b"{", b"[]", b"\xff\xfe", few.encode(), b'{"ids":[1,2],"duplicates":0}',
                 b'{"ids":["a","b"]}', b'{"ids":["a","b"],"duplicates":-1}'):
        for status in (200, 201):
            fake = worker.fake(answer(status, body))
            done = worker.deliver(fake.url, "--give-up", "0")
            expect(done, 69, "does not answer as an llmquote-server", "2 points are kept")
    fake = worker.fake(answer(200, HTML))
    expect(worker.deliver(fake.url), 69, "does not answer as an llmquote-server", "4 attempts")
    assert len(fake.requests) == 4, len(fake.requests)
    expect(worker.deliver(worker.fake(answer(200, HTML), stores).url), 0, "delivered 2 points")


def case_a_slow_answer_is_given_up(worker):
    keep(worker, 1)

    def slow(*_):
        time.sleep(1.5)
        return answer(201, "late")

    fake = worker.fake(slow, stores)
    expect(worker.deliver(fake.url, "--timeout", "0.4"), 0, "trying again")
    assert fake.requests[0].key == fake.requests[-1].key


def case_an_endless_answer_is_cut_off(worker):
    keep(worker, 1)
    sent = []

    def endless(_, connection):
        connection.sendall(b"HTTP/1.1 201 X\r\nContent-Length: 1000000000\r\n\r\n")
        block = b" " * 65536
        for _ in range(1000000000 // len(block)):
            sent.append(connection.send(block))

    fake = worker.fake(endless)
    expect(worker.deliver(fake.url, "--give-up", "0"), 69, "larger than")
    assert sum(sent) < 64 * 1024 * 1024, sum(sent)


# Being stopped

def case_an_interrupt_ends_a_wait_and_keeps_the_points(worker):
    for number in (signal.SIGINT, signal.SIGTERM):
        keep(worker, 1)
        fake = worker.fake(problem(503, "busy", Retry_After=15))
        process = worker.start(*worker.delivery(fake.url))
        wait_for(lambda: fake.requests, "a request")
        time.sleep(0.2)
        begin = time.monotonic()
        process.send_signal(number)
        out, err = process.communicate(timeout=10)
        assert process.returncode == 130 and "kept" in err, (process.returncode, out, err)
        assert time.monotonic() - begin < SOON_S
    expect(worker.deliver(worker.fake(stores).url), 0, "delivered 2 points")


def case_an_interrupt_ends_a_request(worker):
    keep(worker, 1)
    fake = worker.fake(lambda *_: time.sleep(5))
    process = worker.start(*worker.delivery(fake.url))
    wait_for(lambda: fake.requests, "a request")
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=10)
    assert process.returncode == 130


def case_a_killed_delivery_is_repeated_under_its_key(worker):
    keep(worker, 3)
    fake = worker.fake(lambda *_: time.sleep(1), stores)
    process = worker.start(*worker.delivery(fake.url))
    wait_for(lambda: fake.requests, "a request")
    process.kill()
    process.communicate(timeout=10)
    expect(worker.deliver(fake.url), 0, "delivered 3 points")
    assert fake.requests[0].key == fake.requests[1].key
    assert fake.requests[0].body == fake.requests[1].body


# The spool

def case_two_workers_do_not_share_a_spool(worker):
    keep(worker, 1)
    fake = worker.fake(lambda *_: time.sleep(1), stores)
    process = worker.start(*worker.delivery(fake.url))
    wait_for(lambda: fake.requests, "a request")
    expect(worker.deliver(fake.url), 73, "another llmquote-worker", str(worker.spool))
    process.kill()
    process.communicate(timeout=10)


def case_a_full_disk_lets_what_is_there_be_delivered(worker):
    limit = 80 * 1024

    def limited():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    lines = "".join(json.dumps(point(n)) + "\n" for n in range(1000))
    put = subprocess.run([worker.spool_put, worker.spool], input=lines, text=True,
                         capture_output=True, preexec_fn=limited, check=False)
    assert put.returncode == 1 and "File too large" in put.stderr, put
    kept = len(put.stdout.splitlines())
    assert 10 < kept < 1000, kept
    fake = worker.fake(stores)
    done = subprocess.run([worker.program, *map(str, worker.delivery(fake.url))], text=True,
                          capture_output=True, preexec_fn=limited, check=False)
    expect(done, 0, f"delivered {kept} points")


def case_a_damaged_spool_is_kept_aside_and_told(worker):
    points = keep(worker, 3)
    path = worker.spool / "spool"
    data = path.read_bytes()
    at = data.index(b'"batch_size": 2')
    path.write_bytes(data[:at] + b"!" + data[at + 1:])
    fake = worker.fake(stores)
    expect(worker.deliver(fake.url), 0, "damaged", f"{path}.damaged-1", "delivered 2 points")
    assert fake.requests[0].json["points"] == [points[0], points[2]]
    assert (worker.spool / "spool.damaged-1").exists()
    done = worker.deliver(fake.url)
    expect(done, 0, "delivered 0 points")
    assert "damaged" not in done.stderr


def case_a_spool_that_cannot_be_opened_says_so(worker):
    (worker.spool / "spool").mkdir(parents=True)
    expect(worker.deliver("http://127.0.0.1:1"), 73, "directory")
    expect(worker.run("deliver", "--spool", worker.token_file), 73, str(worker.token_file))
    expect(worker.run("deliver", "--spool", "/proc/no/spool"), 73, "/proc/no/spool")
