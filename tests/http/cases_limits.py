"""Connections that starve or flood the server: deadlines, limits, and what is answered at them."""
import contextlib
import os
import resource
import socket
import time

from client import Server, expect_problem, wait_until

DEADLINE_S = 2
SLACK_S = 8.0  # the sweep comes twice a second, but machines are busy
ARGUMENTS = ["--threads", "2", "--request-deadline-s", str(DEADLINE_S), "--connections", "40",
             "--connections-per-address", "30"]
ONE = "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
HEAD = ("POST /v1/estimates HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        "Content-Length: 1000\r\n\r\n")


@contextlib.contextmanager
def serving(server, *arguments):
    other = Server(server.program, arguments).start()
    try:
        yield other
        assert other.stop() == 0, other.log()[-4000:]
    finally:
        other.close()


def ended_after(connection, piece, every_s=0.1):
    """Sends a piece again and again until the other side ends it; seconds that took."""
    start = time.monotonic()
    connection.socket.settimeout(every_s)
    received = b""
    while time.monotonic() - start < DEADLINE_S + 10:
        try:
            connection.send(piece)
            data = connection.socket.recv(4096)
            if data == b"":
                break
            received += data
        except TimeoutError:
            continue
        except OSError:
            break
    return time.monotonic() - start, received


def expect_deadline(took_s, received):
    assert DEADLINE_S - 0.5 < took_s < DEADLINE_S + SLACK_S, took_s
    head, _, body = received.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 408 ") and b"Connection: close" in head, received
    assert b"urn:llmquote:problem:request-timeout" in body, received


def case_slow_heads_end_at_the_deadline(server):
    with server.connect() as connection:
        connection.send("GET /healthz HTTP/1.1\r\nHost: x\r\nX-A: ")
        expect_deadline(*ended_after(connection, "a"))


def case_slow_bodies_end_at_the_deadline(server):
    with server.connect() as connection:
        connection.send(HEAD)
        expect_deadline(*ended_after(connection, " "))


def case_silence_after_connecting_ends_at_the_deadline(server):
    with server.connect() as connection:
        start = time.monotonic()
        assert connection.socket.recv(4).startswith(b"HTTP")
        assert DEADLINE_S - 0.5 < time.monotonic() - start < DEADLINE_S + SLACK_S


def case_a_slow_next_request_ends_at_the_deadline_too(server):
    with server.connect() as connection:
        connection.send(ONE)
        assert connection.read_answer().status == 200
        time.sleep(1.2)  # so that the rest of it is seen
        took_s, received = ended_after(connection, "G", 0.2)
        assert took_s < DEADLINE_S + SLACK_S + 0.5 and b" 408 " in received, (took_s, received)


def case_idle_connections_are_kept_beyond_the_deadline(server):
    with server.connect() as connection:
        for _ in range(2):
            connection.send(ONE)
            assert connection.read_answer().status == 200
            time.sleep(DEADLINE_S + SLACK_S)
        connection.send(ONE)
        assert connection.read_answer().status == 200


def case_a_hundred_pipelined_requests_are_answered_in_order(server):
    paths = ["/healthz" if i % 3 else f"/nothing-{i}" for i in range(100)]
    with server.connect() as connection:
        connection.send("".join(f"GET {path} HTTP/1.1\r\nHost: x\r\nX-Request-Id: r{i}\r\n\r\n"
                                for i, path in enumerate(paths)))
        for i, path in enumerate(paths):
            answer = connection.read_answer()
            assert answer.header("X-Request-Id") == f"r{i}", i
            assert answer.status == (200 if path == "/healthz" else 404), (i, answer)


def case_pipelined_bodies_in_pieces_keep_their_borders(server):
    one = ("POST /v1/estimates HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n"
           'Content-Type: application/json\r\n\r\n{"a":1,}\n')
    with server.connect() as connection:
        text = one * 20
        for at in range(0, len(text), 37):
            connection.send(text[at:at + 37])
        for _ in range(20):
            expect_problem(connection.read_answer(), 400, "invalid-json", part="column 8")


def case_connections_are_kept_after_4xx(server):
    bad = ("POST /v1/estimates HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n"
           "Content-Type: application/json\r\n\r\n{")
    with server.connect() as connection:
        for _ in range(3):
            for text, status in ((bad, 400), ("GET /nothing HTTP/1.1\r\nHost: x\r\n\r\n", 404),
                                 ("GET /v1/servings HTTP/1.1\r\nHost: x\r\n\r\n", 405), (ONE, 200)):
                connection.send(text)
                assert connection.read_answer().status == status


def case_half_closed_connections_get_their_answers_and_are_closed(server):
    with contextlib.ExitStack() as stack:
        closed = [stack.enter_context(server.connect()) for _ in range(10)]
        for connection in closed:  # the end may come with the requests or after them
            connection.send(ONE + ONE)
            connection.socket.shutdown(socket.SHUT_WR)
            connection.socket.settimeout(8)
        for connection in closed:
            assert [connection.read_answer().status for _ in range(2)] == [200, 200]
        assert all(connection.is_closed() for connection in closed)
    with server.connect() as connection:
        connection.send(HEAD + "{")
        connection.socket.shutdown(socket.SHUT_WR)
        connection.socket.settimeout(DEADLINE_S + 5)
        connection.stream.read()  # ends, whatever it says
    assert server.get("/healthz").status == 200


def case_bodies_on_their_way_take_only_so_much_memory(server):
    body = b" " * 700_000 + b"{}"  # there is room for one of it
    with serving(server, "--bodies-mib", "1") as other:
        def ask():
            with other.connect() as connection:
                connection.send(HEAD.replace("1000", str(len(body))).encode() + body)
                return connection.read_answer()

        for patience_s in (0.2, 0.5, 1, 2, 5):  # for the first to be read whole before the next comes
            with other.connect() as holding:
                holding.send(HEAD.replace("1000", str(len(body))).encode() + body[:-1])
                time.sleep(patience_s)
                answer = ask()
                if answer.status != 503:
                    continue
                expect_problem(answer, 503, "overloaded", part="bodies")
                assert other.get("/healthz").status == 200, "what has no body is taken"
                holding.send(body[-1:])
                assert holding.read_answer().status == 400  # an empty job
            wait_until(lambda: ask().status == 400, "its memory to be given back")
            return
        assert False, "there was always room"


def refused(server, part):
    with server.connect() as connection:
        connection.send(ONE)
        answer = connection.read_answer()
        problem = expect_problem(answer, 503, "overloaded", part=part)
        assert answer.header("Retry-After") == "1" and answer.header("Connection") == "close"
        assert connection.is_closed()
        return problem


def filled(server, count, stack):
    """Opens connections that are all served before the next thing happens."""
    for _ in range(count):
        connection = stack.enter_context(server.connect())
        connection.send(ONE)
        assert connection.read_answer().status == 200


def case_an_address_has_its_limit_of_connections(server):
    with contextlib.ExitStack() as stack:
        filled(server, 30, stack)
        for _ in range(5):
            refused(server, "this address")
    wait_until(lambda: answered(server), "a place to be free again")


def answered(server):
    try:
        return server.get("/healthz").status == 200
    except OSError:
        return False


def case_a_trusted_proxy_meets_the_limit_of_all_alone(server):
    with serving(server, "--connections", "40", "--connections-per-address", "30",
                 "--trusted-proxy", "127.0.0.0/8") as other:
        with contextlib.ExitStack() as stack:
            filled(other, 40, stack)
            for _ in range(5):
                refused(other, "the server")
        wait_until(lambda: answered(other), "a place to be free again")


def case_requests_left_in_the_middle_give_their_places_back_at_once(server):
    """Long before the deadline, which would keep an address out for that long."""
    with serving(server, "--connections-per-address", "30", "--request-deadline-s", "600") as other:
        for _ in range(30):
            with other.connect() as connection:
                connection.send(HEAD + '{"model"')
        wait_until(lambda: answered(other), "a place to be free again")


def case_a_flood_beyond_the_limit_is_turned_away_and_passes(server):
    """Hundreds that say nothing: those beyond the limit are told so, and the rest is served."""
    with contextlib.ExitStack() as stack:
        flood = [stack.enter_context(server.connect()) for _ in range(400)]
        told = 0
        for connection in flood:
            connection.socket.settimeout(DEADLINE_S + 10)
            told += connection.stream.readline().startswith(b"HTTP/1.1 503")
        assert told == 370, told
    wait_until(lambda: answered(server), "the flood to pass")


def descriptors(server):
    return len(os.listdir(f"/proc/{server.process.pid}/fd"))


def cpu_s(server):
    fields = open(f"/proc/{server.process.pid}/stat").read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def case_out_of_descriptors_it_answers_503_and_rests(server):
    with serving(server, "--request-deadline-s", "60") as other:
        assert other.get("/healthz").status == 200
        time.sleep(0.3)  # that connection is closed
        _, hard = resource.prlimit(other.process.pid, resource.RLIMIT_NOFILE)
        most = descriptors(other) + 3
        resource.prlimit(other.process.pid, resource.RLIMIT_NOFILE, (most, hard))
        with contextlib.ExitStack() as stack:
            held = [stack.enter_context(other.connect()) for _ in range(20)]
            for connection in held[8:]:
                connection.send(ONE)
                expect_problem(connection.read_answer(), 503, "overloaded", part="the server")
            before_s = cpu_s(other)
            time.sleep(1.0)
            assert cpu_s(other) - before_s < 0.3, "it spins"
        resource.prlimit(other.process.pid, resource.RLIMIT_NOFILE, (hard, hard))
        wait_until(lambda: answered(other), "descriptors to be free again")


def case_many_short_connections_leave_nothing_behind(server):
    assert server.get("/healthz").status == 200
    time.sleep(0.2)
    before = descriptors(server)
    for i in range(300):
        with server.connect() as connection:
            if i % 3 == 0:
                connection.send(ONE)
                connection.read_answer()
            elif i % 3 == 1:
                connection.send("GET /heal")
    wait_until(lambda: descriptors(server) <= before + 1, "the sockets to be closed")


def case_what_was_turned_away_is_in_the_log(server):
    wait_until(lambda: any(line.get("event") == "connections" for line in server.log_lines()),
               "a line about what was turned away", 12)
