"""Start and stop: what is refused at the command line, and what a stop lets finish."""
import pathlib
import resource
import signal
import subprocess

from client import EXPIRED, Server, expect_problem, wait_until

HALF_A_REQUEST = ("POST /v1/estimates HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n"
                  "Content-Type: application/json\r\n\r\n{\n")


def run(server, *arguments, environment=None):
    return subprocess.run([server.program, *arguments], capture_output=True, text=True, timeout=30,
                          env={**server.environment, **(environment or {})})


def stop_with_a_request_in_flight(server, number):
    other = Server(server.program).start()
    try:
        with other.connect() as idle, other.connect() as busy:
            idle.send("GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
            idle.read_answer()
            busy.send(HALF_A_REQUEST)
            wait_until(lambda: other.get("/healthz").status == 200, "the server to see the request")
            other.process.send_signal(number)
            wait_until(lambda: '"stopping"' in other.log(), "the stop to begin")
            wait_until(lambda: refuses(other), "new connections to be refused")
            busy.send('"x')
            answer = busy.read_answer()
            expect_problem(answer, 400, "invalid-json", part="line 2")
            assert answer.header("Connection") == "close"
            assert busy.is_closed()
        assert other.stop() == 0
    finally:
        other.close()


def refuses(server):
    try:
        with server.connect():
            return False
    except OSError:
        return True


def case_sigterm_finishes_the_request_in_flight(server):
    stop_with_a_request_in_flight(server, signal.SIGTERM)


def case_sigint_finishes_the_request_in_flight(server):
    stop_with_a_request_in_flight(server, signal.SIGINT)


def case_a_taken_address_is_refused(server):
    host, port = server.address
    done = run(server, "--listen", f"{host}:{port}", "--db", server.db + ".other")
    assert done.returncode == 1 and "already in use" in done.stderr, done


def case_bad_settings_are_refused_with_what_they_take(server):
    for arguments, part in ((["--threads", "0"], "--threads takes 1..256|cores, got \"0\""),
                            (["--listen", "8080"], "--listen takes ADDR:PORT"),
                            (["--listen=127.0.0.1:99999"], "--listen takes ADDR:PORT"),
                            (["--log", "loud"], "--log takes none|info"),
                            (["--cors-origin", "example.org"], "--cors-origin takes"),
                            (["--cors-origin", "*"], "--cors-origin takes"),
                            (["--db"], "--db takes PATH"),
                            (["--nonsense"], "unknown argument \"--nonsense\""),
                            (["serve"], "unknown command")):
        done = run(server, *arguments)
        assert done.returncode == 2 and part in done.stderr, (arguments, done)
    done = run(server, environment={"LLMQUOTE_THREADS": "many"})
    assert done.returncode == 2 and "LLMQUOTE_THREADS takes" in done.stderr, done


def case_too_few_descriptors_for_the_threads_are_told(server):
    def few():
        resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))

    done = subprocess.run([server.program, "--db", server.db + ".few", "--listen", "127.0.0.1:0"],
                          capture_output=True, text=True, timeout=30, preexec_fn=few, check=False)
    assert done.returncode == 1, done
    assert "cannot start 128 HTTP threads" in done.stderr and "ulimit -n" in done.stderr, done


def case_flags_win_over_the_environment(server):
    other = Server(server.program, environment={"LLMQUOTE_LISTEN": "256.0.0.1:1", "LLMQUOTE_LOG": "none",
                                                "LLMQUOTE_CORS_ORIGIN": "https://env.example"}).start()
    try:
        answer = other.get("/healthz", {"Origin": "https://env.example"})
        assert answer.header("Access-Control-Allow-Origin") == "https://env.example"
        assert other.stop() == 0
        assert '"method"' not in other.log()
    finally:
        other.close()


def case_help_and_version_are_printed(server):
    done = run(server, "--help")
    assert done.returncode == 0 and "--cors-origin" in done.stdout and "LLMQUOTE_DB" in done.stdout
    done = run(server, "--version")
    assert done.returncode == 0 and done.stdout.startswith("llmquote-server ")


def case_routes_are_printed_one_per_line(server):
    done = run(server, "--print-routes")
    lines = done.stdout.splitlines()
    assert done.returncode == 0 and "POST /v1/estimates" in lines and "GET /healthz" in lines
    assert len(lines) == len(set(lines))


def case_token_commands_make_list_and_revoke(server):
    made = server.command("token", "create", "--name", "worker-1", "--scope",
                          "calibrations:write,catalog:write", "--expires", "2099-01-31T00:00:00Z")
    assert made.returncode == 0, made.stderr
    bearer = {"Authorization": f"Bearer {made.stdout.splitlines()[-1]}"}
    expect_problem(server.post("/v1/calibrations", b"{", bearer), 400, "invalid-json")
    listed = server.command("token", "list")
    assert listed.returncode == 0, listed.stderr
    (row,) = [line.split("\t") for line in listed.stdout.splitlines() if "worker-1" in line]
    assert row[2] == "calibrations:write catalog:write" and row[5] == "valid", row
    assert made.stdout.splitlines()[-1] not in listed.stdout
    revoked = server.command("token", "revoke", row[0])
    assert revoked.returncode == 0, revoked.stderr
    wait_until(lambda: server.post("/v1/calibrations", b"{", bearer).status == 401, "the revocation", 1.0)
    assert server.command("token", "revoke", "no-such-token").returncode == 1


def case_only_token_create_makes_a_database(server):
    path = pathlib.Path(server.db).with_name("mistyped.db")
    for arguments in (["list"], ["revoke", "tok-1"]):
        done = run(server, "token", *arguments, "--db", str(path))
        assert done.returncode == 1 and not done.stdout, done
        assert f"{path}: No such file or directory" in done.stderr and not path.exists(), done
    done = run(server, "token", "create", "--name", "first", "--scope", "read", "--db", str(path))
    assert done.returncode == 0 and path.exists(), done
    done = run(server, "token", "list", "--db", str(path))
    assert done.returncode == 0 and "\tfirst\t" in done.stdout, done


def case_the_list_says_which_tokens_have_expired(server):
    server.expired_token("read")
    (row,) = [line.split("\t") for line in server.command("token", "list").stdout.splitlines()
              if "\tlate\t" in line]
    assert row[4:] == [EXPIRED, "expired"], row
    assert server.command("token", "revoke", row[0]).returncode == 0
    (row,) = [line.split("\t") for line in server.command("token", "list").stdout.splitlines()
              if "\tlate\t" in line]
    assert row[5] == "revoked", row


def case_an_expiry_that_is_no_time_to_come_is_refused(server):
    create = ["token", "create", "--name", "no-expiry", "--scope", "read"]
    for flags, part in ((["--expires", ""], "must be a time in UTC"),
                        (["--expires="], "must be a time in UTC"),
                        (["--expires", "2020-01-01T00:00:00Z"], "is in the past")):
        done = server.command(*create, *flags)
        assert done.returncode == 2 and part in done.stderr and not done.stdout, (flags, done)
    assert "no-expiry" not in server.command("token", "list").stdout


def case_bad_token_commands_are_refused(server):
    for arguments in (["token"], ["token", "make"], ["token", "create"], ["token", "list", "x"],
                      ["token", "create", "--name", "n"], ["token", "revoke"],
                      ["token", "create", "--name", "n", "--scope", "everything"],
                      ["token", "create", "--name", "n", "--scope", "admin", "--expires", "soon"],
                      ["token", "revoke", "x", "--scope", "admin"]):
        done = server.command(*arguments)
        assert done.returncode == 2 and done.stderr, (arguments, done)
