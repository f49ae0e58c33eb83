"""A server under test and what cases need to talk to it: requests, raw bytes, assertions."""
import contextlib
import copy
import http.client
import json
import os
import pathlib
import re
import signal
import socket
import sqlite3
import subprocess
import tempfile
import threading
import time

PATIENCE = int(os.environ.get("LQ_TEST_PATIENCE", "1"))  # of builds that count every line
START_S = 60 * PATIENCE
ANSWER_S = 120 * PATIENCE
EXPIRED = "2020-01-01T00:00:00Z"
ABSENT = object()  # for `changed`: the member is taken away


class Answer:
    """One response; `json` decodes the body, header names are looked up in any case."""

    def __init__(self, status, headers, body):
        self.status = status
        self.headers = headers  # list of (name, value)
        self.body = body

    def header(self, name, default=None):
        values = [value for key, value in self.headers if key.lower() == name.lower()]
        assert len(values) <= 1, f"{name} came {len(values)} times: {values}"
        return values[0] if values else default

    @property
    def json(self):
        return json.loads(self.body, parse_constant=refuse_constant)

    def __repr__(self):
        return f"{self.status} {self.body[:600]!r}"


def refuse_constant(name):
    raise AssertionError(f"the answer contains {name}")


class Server:
    """A running llmquote-server with a database of its own."""

    def __init__(self, program, arguments=(), environment=None):
        self.program = str(program)
        self.folder = tempfile.TemporaryDirectory(prefix="llmquote-http-")
        self.db = str(pathlib.Path(self.folder.name) / "test.db")
        self.arguments = list(arguments)
        self.environment = {**os.environ, **(environment or {})}
        self.process = None
        self.address = None
        self.log_path = pathlib.Path(self.folder.name) / "log"
        self.tokens = {}

    def start(self):
        with self.log_path.open("ab") as log:
            self.process = subprocess.Popen(
                [self.program, "--listen", "127.0.0.1:0", "--db", self.db, *self.arguments],
                stdout=subprocess.PIPE, stderr=log, env=self.environment)
        timer = threading.Timer(START_S, self.process.kill)
        timer.start()
        line = self.process.stdout.readline().decode()
        timer.cancel()
        found = re.match(r"listening on https?://(\S+):(\d+)$", line.strip())
        if not found:
            self.process.kill()
            self.process.wait()
            raise RuntimeError(f"the server did not start: {line!r} {self.log()}")
        self.address = (found.group(1), int(found.group(2)))
        return self

    def log(self):
        return self.log_path.read_text(errors="replace")

    def log_lines(self):
        """The log as objects; each line must be JSON."""
        return [json.loads(line) for line in self.log().splitlines()]

    def stop(self, number=signal.SIGTERM):
        """Ends the server and returns its exit status."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        status = self.process.wait(ANSWER_S)
        self.process.stdout.close()
        return status

    def close(self):
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
            self.process.stdout.close()
        self.folder.cleanup()

    def command(self, *arguments):
        """Runs a command of the program on this server's database."""
        return subprocess.run([self.program, *arguments, "--db", self.db], capture_output=True,
                              text=True, timeout=ANSWER_S, env=self.environment)

    def token(self, *scopes):
        """A token with these scopes, made by the command line once and then kept."""
        if scopes not in self.tokens:
            flags = [flag for scope in scopes for flag in ("--scope", scope)]
            made = self.command("token", "create", "--name", "test", *flags)
            assert made.returncode == 0, made.stderr
            self.tokens[scopes] = made.stdout.splitlines()[-1]
        return self.tokens[scopes]

    def expired_token(self, scope):
        """A token whose time was over at EXPIRED; the command line makes none."""
        made = self.command("token", "create", "--name", "late", "--scope", scope,
                            "--expires", "9999-01-01T00:00:00Z")
        assert made.returncode == 0, made.stderr
        with contextlib.closing(sqlite3.connect(self.db)) as database, database:
            changed_rows = database.execute("UPDATE tokens SET expires_at_utc = ?1 WHERE name = 'late'",
                                            (EXPIRED,)).rowcount
        assert changed_rows >= 1, changed_rows
        return made.stdout.splitlines()[-1]

    def bearer(self, *scopes):
        return {"Authorization": f"Bearer {self.token(*scopes)}"}

    def request(self, method, path, body=None, headers=None):
        """One request on a connection of its own. A body that is no bytes or str is sent as JSON."""
        headers = dict(headers or {})
        if body is not None:
            if not isinstance(body, (bytes, str)):
                body = json.dumps(body)
            headers.setdefault("Content-Type", "application/json")
        connection = http.client.HTTPConnection(*self.address, timeout=ANSWER_S)
        try:
            connection.request(method, path, body, headers)
            response = connection.getresponse()
            return Answer(response.status, response.getheaders(), response.read())
        finally:
            connection.close()

    def get(self, path, headers=None):
        return self.request("GET", path, None, headers)

    def post(self, path, body, headers=None):
        return self.request("POST", path, body, headers)

    def put(self, path, body, headers=None):
        return self.request("PUT", path, body, headers)

    def delete(self, path, headers=None):
        return self.request("DELETE", path, None, headers)

    def settle(self):
        """Waits until lists, fits and estimates rest on all points that are stored."""
        wait_until(lambda: self.get("/v1/fits?limit=1").json["pending_points"] == 0,
                   "the catalog to have all points", ANSWER_S)

    def connect(self):
        return contextlib.closing(Connection(self.address))

    def raw(self, data):
        """Sends bytes as they are and reads one answer; the connection's fate is in `closed`."""
        with self.connect() as connection:
            connection.send(data)
            answer = connection.read_answer()
            answer.closed = connection.is_closed() if answer.header("Connection") == "close" else False
            return answer


class Connection:
    """A socket that speaks raw bytes and reads answers framed by Content-Length."""

    def __init__(self, address):
        self.socket = socket.create_connection(address, timeout=ANSWER_S)
        self.stream = self.socket.makefile("rb")

    def send(self, data):
        self.socket.sendall(data if isinstance(data, bytes) else data.encode("latin-1"))

    def read_answer(self, head_only=False):
        line = self.stream.readline().decode("latin-1")
        assert line.startswith("HTTP/1."), f"no status line but {line!r}"
        status = int(line.split()[1])
        headers = []
        while (field := self.stream.readline().strip()) != b"":
            name, _, value = field.decode("latin-1").partition(":")
            headers.append((name, value.strip()))
        answer = Answer(status, headers, b"")
        if not head_only and status >= 200 and status not in (204, 304):
            answer.body = self.stream.read(int(answer.header("Content-Length")))
        return answer

    def is_closed(self):
        """Whether the other side ends the connection (without sending anything more)."""
        return self.stream.read(1) == b""

    def close(self):
        self.stream.close()
        self.socket.close()


def expect_problem(answer, status, slug, pointer=None, part=None):
    """`answer` is this problem; pointer: one of its errors points there and its text has `part`."""
    assert answer.status == status, f"want {status}, got {answer}"
    assert answer.header("Content-Type") == "application/problem+json", answer.headers
    problem = answer.json
    assert problem["type"] == f"urn:llmquote:problem:{slug}", problem
    assert problem["status"] == status and problem["title"] and problem["detail"], problem
    assert problem["instance"] == answer.header("X-Request-Id"), problem
    details = [problem["detail"]]
    if pointer is not None:
        details = [e["detail"] for e in problem.get("errors", []) if e["pointer"] == pointer]
        assert details, f"no error at {pointer!r}: {problem}"
    if part is not None:
        assert any(part in detail for detail in details), f"{part!r} is not in {details}"
    return problem


def wait_until(condition, what, limit_s=10.0):
    end = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < end, f"waited {limit_s} s for {what}"
        time.sleep(0.01)


def changed(document, pointer, value):
    """A copy in which the member at `pointer` has this value, or is gone."""
    result = copy.deepcopy(document)
    *path, last = pointer.lstrip("/").split("/")
    node = result
    for part in path:
        node = node[int(part)] if isinstance(node, list) else node.setdefault(part, {})
    if value is ABSENT:
        del node[last]
    else:
        node[last] = value
    return result
