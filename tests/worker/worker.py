"""The worker under test, a server that answers as it is told, and a real one."""
import json
import os
import pathlib
import shutil
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "http"))

from client import Server  # noqa: E402  (the path has to be set first)

LIMIT_S = 60  # of whatever should end; a loaded machine included
TOKEN = "lq_0123456789abcdef"
HTML = b"<html><title>Welcome to the hotel</title></html>"


class Skip(Exception):
    """A case that cannot be tried here, and why."""


def point(n):
    """Valid where a real server judges it, and another one for each n."""
    return {"model": "llama-3.1-8b", "gpu": "L40S", "method": {"kind": "lora", "rank": 16},
            "stack": "torchtune", "batch_size": 1 + n, "sequence_tokens": 512, "source": "lab",
            "step_time_s": 0.1 + 0.2 * (1 + n)}


def receipt(request, duplicates=0, implausible=()):
    """The answer of a server that has stored all."""
    ids = [f"id-{one['batch_size']}" for one in request.json["points"]]
    body = {"ids": ids, "duplicates": duplicates, "implausible": list(implausible)}
    return answer(201, json.dumps(body))


def problem(status, detail, errors=(), **headers):
    body = {"type": "urn:llmquote:problem:some", "title": "t", "status": status, "detail": detail,
            "instance": "i"}
    if errors:
        body["errors"] = [{"pointer": pointer, "detail": text} for pointer, text in errors]
    return answer(status, json.dumps(body), **{"Content-Type": "application/problem+json", **headers})


def answer(status, body, **headers):
    """An answer as bytes; header names with _ for -."""
    body = body if isinstance(body, bytes) else body.encode()
    lines = [f"HTTP/1.1 {status} X", f"Content-Length: {len(body)}", "Connection: close"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


class Request:
    def __init__(self, line, headers, body):
        self.line, self.headers, self.body = line, headers, body

    @property
    def json(self):
        return json.loads(self.body)

    @property
    def key(self):
        return self.headers["idempotency-key"]


class FakeServer:
    """Answers each request by the next of `script` (the last one again and again): bytes to send,
    or a function of the request and the connection that returns them, or None to close at once."""

    def __init__(self, *script, tls=None):
        self.script = list(script)
        self.requests = []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.tls = tls
        self.url = f"http{'s' if tls else ''}://127.0.0.1:{self.listener.getsockname()[1]}"
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            try:
                connection = self.listener.accept()[0]
            except OSError:
                return
            try:
                if self.tls is not None:
                    connection.settimeout(LIMIT_S)
                    connection = self.tls.wrap_socket(connection, server_side=True)
                with connection:
                    self.answer(connection)
            except OSError:
                connection.close()

    def answer(self, connection):
        connection.settimeout(LIMIT_S)
        with connection.makefile("rb") as stream:
            line = stream.readline().decode().strip()
            if not line:
                return
            headers = {}
            while (field := stream.readline().strip()) != b"":
                name, _, value = field.decode().partition(":")
                headers[name.lower()] = value.strip()
            request = Request(line, headers, stream.read(int(headers.get("content-length", 0))))
        step = self.script[min(len(self.requests), len(self.script) - 1)]
        self.requests.append(request)
        data = step(request, connection) if callable(step) else step
        if data is not None:
            connection.sendall(data)

    def close(self):
        self.listener.close()


def stores(request, connection):
    """A step of a script: all points are stored."""
    return receipt(request)


class Worker:
    """The program with a spool, a token file and what else a case needs, all in one folder."""

    def __init__(self, program, spool_put, server_program):
        self.program, self.spool_put, self.server_program = program, spool_put, server_program
        self.home = tempfile.TemporaryDirectory(prefix="llmquote-worker-")
        self.folder = pathlib.Path(self.home.name)
        self.spool = self.folder / "spool"
        self.token_file = self.folder / "token"
        self.token_file.write_text(TOKEN + "\n")
        self.fakes = []
        self.real = None

    def close(self):
        for fake in self.fakes:
            fake.close()
        if self.real is not None:
            self.real.close()
        self.home.cleanup()

    def fake(self, *script, tls=None):
        self.fakes.append(FakeServer(*script, tls=tls))
        return self.fakes[-1]

    def certificate(self, name):
        """A certificate for the address 127.0.0.1 that nobody knows, and a context to serve it."""
        path = self.folder / name
        if shutil.which("openssl") is None:
            raise Skip("openssl is not installed")
        subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2",
                        "-subj", f"/CN={name}", "-addext", "subjectAltName=IP:127.0.0.1",
                        "-keyout", path, "-out", f"{path}.crt"], check=True, capture_output=True)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(f"{path}.crt", path)
        return f"{path}.crt", context

    def server(self, *scopes):
        """A real llmquote-server, for which the worker gets a token of these scopes."""
        self.real = Server(self.server_program, ["--log", "none"]).start()
        self.token_file.write_text(self.real.token(*scopes or ["calibrations:write"]) + "\n")
        self.real.url = "http://%s:%d" % self.real.address
        return self.real

    def keep(self, points):
        lines = "".join(json.dumps(one) + "\n" for one in points)
        subprocess.run([self.spool_put, str(self.spool)], input=lines, text=True, check=True,
                       stdout=subprocess.DEVNULL, timeout=LIMIT_S)

    def environment(self, variables):
        known = {name: value for name, value in os.environ.items()
                 if not name.startswith("LLMQUOTE_") and "proxy" not in name.lower()}
        # the CPU, also where there is a GPU: what it measures is the same everywhere
        return {**known, "HOME": str(self.folder), "LLMQUOTE_BACKEND": "cpu", **variables}

    def run(self, *arguments, **variables):
        """The program run to its end; variables go into its environment."""
        return subprocess.run([self.program, *map(str, arguments)], capture_output=True, text=True,
                              timeout=LIMIT_S, env=self.environment(variables))

    def start(self, *arguments, **variables):
        return subprocess.Popen([self.program, *map(str, arguments)], stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE, text=True, env=self.environment(variables))

    def at(self, url):
        """Settings of a call to that server that gives up soon."""
        return ["--server", url, "--spool", self.spool, "--token-file", self.token_file,
                "--give-up", "20"]

    def delivery(self, url, *more):
        """The arguments of a delivery that gives up soon."""
        return ["deliver", *self.at(url), *more]

    def deliver(self, url, *more, **variables):
        done = self.run(*self.delivery(url, *more), **variables)
        assert TOKEN not in done.stdout + done.stderr, "the token is shown"
        return done

    def rejected(self):
        path = self.spool / "rejected.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def expect(done, status, *parts):
    """`done` ended with this status and said all of this."""
    said = done.stdout + done.stderr
    assert done.returncode == status, f"want status {status}, got {done.returncode}: {said}"
    for part in parts:
        assert part in said, f"{part!r} is not in {said!r}"


def wait_for(condition, what):
    end = time.monotonic() + LIMIT_S
    while not condition():
        assert time.monotonic() < end, f"waited {LIMIT_S} s for {what}"
        time.sleep(0.01)
