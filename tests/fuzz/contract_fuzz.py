#!/usr/bin/env python3
"""Asks a server everything that openapi.yaml allows, and worse; every answer must be a documented one.

usage: contract_fuzz.py SERVER [--short] [--seed N] [--requests N] [--seconds S]

Prints TAP and the figures. A status that the operation does not have, a body that breaks its
schema, a 500, an answer that does not come: each is a finding, printed with its request. The server
must be alive at the end, with as many descriptors as at first, and must not have grown.
"""
import argparse
import collections
import http.client
import os
import pathlib
import random
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "http"))
sys.dont_write_bytecode = True

from cases_calibrations import JOB, POINT  # noqa: E402  (the path has to be set first)
from client import Answer, Server  # noqa: E402
from contract import Contract  # noqa: E402
from contract_requests import Drawer  # noqa: E402

SHORT_S, SHORT_REQUESTS = 18, 4000
FINDINGS_MAX = 20
PATIENCE_S = 180  # GET /v1/validation works for seconds after a post, and sanitizers for ten times that
GROWN_MAX_KB = 96 * 1024  # stored points, models and laws among 4000 requests, and caches
IDS = {"model": "models", "gpu": "gpus", "provider": "providers", "stack": "stacks"}
PROBLEMS_ANYWHERE = (400, 404, 405, 413, 414, 415, 431)  # of requests that the contract does not have


class Asker:
    """Sends requests over one connection as long as it lasts."""

    def __init__(self, server):
        self.server = server
        self.connection = None

    def ask(self, request):
        for attempt in (0, 1):
            if self.connection is None:
                self.connection = http.client.HTTPConnection(*self.server.address, timeout=PATIENCE_S)
            try:
                return self.ask_once(request)
            except (ConnectionError, http.client.HTTPException):  # closed, as its last answer said
                self.drop()
                if attempt == 1:
                    raise
        return None

    def ask_once(self, request):
        self.connection.putrequest(request.method, request.path, skip_accept_encoding=True)
        headers = dict(request.headers)
        if request.body is not None:
            headers["Content-Length"] = str(len(request.body))
        for name, value in headers.items():
            self.connection.putheader(name, value)
        self.connection.endheaders(request.body)
        response = self.connection.getresponse()
        answer = Answer(response.status, response.getheaders(), response.read())
        if response.will_close:
            self.drop()
        return answer

    def drop(self):
        if self.connection is not None:
            self.connection.close()
        self.connection = None


def status_of(server):
    """(resident KiB, open descriptors) of the server."""
    proc = pathlib.Path(f"/proc/{server.process.pid}")
    fields = dict(line.split(":", 1) for line in (proc / "status").read_text().splitlines())
    return int(fields["VmRSS"].split()[0]), len(list((proc / "fd").iterdir()))


def is_documented(contract, request, answer):
    """Whether the operation says anything of the status: any path may be mistaken for another's."""
    responses = contract.operations[request.method, request.template][1]["responses"]
    return answer.status not in (404, 405) or str(answer.status) in responses


def things(server, bearer):
    """Ids of what is stored: two points that were posted and two shipped ones, an estimate, and who
    may be excluded."""
    batch = {"points": [{**POINT, "step_time_s": 0.1, "source": "fuzz", "batch_size": b} for b in (1, 2)]}
    posted = server.post("/v1/calibrations", batch, bearer)
    kept = server.post("/v1/estimates", {**JOB, "save": True}, bearer)
    assert posted.status == 201 and kept.status == 200, (posted, kept)
    server.settle()
    shipped = [one["id"] for one in server.get("/v1/calibrations?limit=2").json["calibrations"]]
    token = server.get(f"/v1/calibrations/{posted.json['ids'][0]}").json["token"]
    return {"/calibrations": posted.json["ids"] + shipped, "/estimates": [kept.json["id"], "0" * 32],
            "/exclusions": [token, "source:fuzz", "fuzz"]}


def judge(contract, request, answer):
    """What is wrong with an answer; None where nothing is."""
    try:
        if answer.status >= 500 and answer.status != 503:
            return f"status {answer.status}: {answer.body[:300]!r}"
        if request.template is not None and is_documented(contract, request, answer):
            contract.check_answer(request.method, request.template, answer)
        elif request.method != "HEAD" and answer.status >= 400:
            assert answer.status in PROBLEMS_ANYWHERE + (401, 403, 409, 422, 429, 503), answer
            assert answer.header("Content-Type") == "application/problem+json", answer.headers
            assert answer.json["status"] == answer.status, answer
    except (AssertionError, ValueError, KeyError) as error:
        return str(error)[:1000]
    return None


def is_lenient(contract, request, answer):
    """What of a body breaks its schema, where it was taken. null means left out. The answers to lists
    of jobs and to sweeps hold problems beside estimates."""
    if request.document is None or answer.status >= 300 or request.template in (None, "/v1/sweeps"):
        return None
    if "jobs" in request.document:
        return None
    taken = contract.operations[request.method, request.template][1].get("requestBody")
    if taken is None:  # the call takes none, and reads none
        return None
    schema = taken["content"]["application/json"]["schema"]
    against = contract.fault(schema, request.document)
    return against if against and "None" not in against else None


class Run:
    """One run: what was asked and what was found."""

    def __init__(self, server, settings):
        self.server = server
        self.contract = Contract()
        ids = {name: [item["id"] for item in server.get(f"/v1/{plural}?limit=1000").json[plural]]
               for name, plural in IDS.items()}
        paths = {f"/{plural}": ids[name] for name, plural in IDS.items()}
        paths |= {"/prices": ids["provider"] + ["own"], "/models": ids["model"] + ["own-1", "own-2"],
                  "/gpus": ids["gpu"] + ["own-gpu"]}
        self.bearer = server.bearer("admin")
        paths |= things(server, self.bearer)
        ids["law"] = [law["id"] for law in server.get("/v1/scaling-laws").json["scaling_laws"]]
        paths["/scaling-laws"] = ids["law"]
        paths["/fits"] = [fit["id"] for fit in server.get("/v1/fits?limit=50").json["fits"]]
        self.drawer = Drawer(self.contract, random.Random(settings.seed), {**ids, **paths})
        self.random = self.drawer.random
        self.asker = Asker(server)
        self.statuses = collections.Counter()
        self.operations = set()
        self.findings = []
        self.lenient = []
        self.slowest = (0.0, "")

    def step(self, number):
        request = self.drawer.valid() if number % 2 == 0 else self.drawer.worse()
        if self.random.random() < 0.85:
            request.headers.setdefault("Authorization", self.bearer["Authorization"])
        start = time.monotonic()
        try:
            answer = self.asker.ask(request)
        except (OSError, http.client.HTTPException) as error:
            self.asker.drop()
            self.findings.append(f"request {number}: {error!r}: {request}")
            return
        except (ValueError, UnicodeError):  # http.client does not send such a line
            self.asker.drop()
            return
        self.slowest = max(self.slowest, (time.monotonic() - start, str(request)[:300]))
        self.statuses[answer.status] += 1
        self.operations.add((request.method, request.template))
        against = judge(self.contract, request, answer)
        if against:
            self.findings.append(f"request {number}: {against}: {request}")
        taken = is_lenient(self.contract, request, answer)
        if taken:
            self.lenient.append(f"request {number}: {taken}: {request}")


def main():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("server", type=pathlib.Path)
    parser.add_argument("--short", action="store_true")
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--requests", type=int, default=50000)
    parser.add_argument("--seconds", type=float, default=3600.0)
    settings = parser.parse_args()
    settings.seed = settings.seed if settings.seed is not None else random.randrange(2 ** 31)
    if settings.short:
        settings.requests, settings.seconds = SHORT_REQUESTS, SHORT_S
    # A sanitizer keeps what is freed for a while: little of it, or that would count as growth.
    options = os.environ.get("ASAN_OPTIONS", "") + ":quarantine_size_mb=8"
    server = Server(settings.server.resolve(), ["--log", "none"], {"ASAN_OPTIONS": options.lstrip(":")})
    try:
        server.start()
        return tell(server, settings)
    finally:
        server.close()


def tell(server, settings):
    run = Run(server, settings)
    end = time.monotonic() + settings.seconds
    number, warm = 0, None
    print(f"# seed {settings.seed}", flush=True)
    while number < settings.requests and time.monotonic() < end and len(run.findings) < FINDINGS_MAX:
        run.step(number)
        number += 1
        if number == settings.requests // 4:
            run.asker.drop()
            warm = status_of(server)
        if server.process.poll() is not None:
            run.findings.append(f"the server ended with {server.process.returncode}: {server.log()[-3000:]}")
            break
    run.asker.drop()
    alive = server.process.poll() is None
    time.sleep(0.2)
    last = status_of(server) if alive else (0, 0)
    warm = warm or last
    claims = {"every_answer_is_documented": run.findings,
              "bodies_that_break_their_schema_are_refused": run.lenient,
              "the_server_is_alive": [] if alive and server.get("/healthz").status == 200 else ["it is not"],
              "descriptors_do_not_leak": [] if last[1] <= warm[1] + 2 else [f"{warm[1]}, then {last[1]}"],
              "memory_does_not_grow": [] if last[0] <= warm[0] + GROWN_MAX_KB else [f"{warm[0]} KiB, then {last[0]}"],
              "the_server_ends_with_status_0": [] if alive and server.stop() == 0 else ["it does not"]}
    for i, (claim, against) in enumerate(claims.items(), 1):
        print(f"{'not ok' if against else 'ok'} {i} - {claim}")
        for line in against[:FINDINGS_MAX]:
            print(f"# {line}".replace("\n", "\n# "))
    print(f"1..{len(claims)}")
    print(f"# {number} requests to {len(run.operations)} operations; by status: "
          + ", ".join(f"{status}: {n}" for status, n in sorted(run.statuses.items())))
    print(f"# slowest {run.slowest[0]:.2f} s: {run.slowest[1]}")
    print(f"# resident {warm[0]} -> {last[0]} KiB, descriptors {warm[1]} -> {last[1]}; to repeat: --seed {settings.seed}")
    return 1 if any(claims.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
