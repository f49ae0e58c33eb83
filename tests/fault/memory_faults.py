#!/usr/bin/env python3
"""Lets allocations of server and worker fail, one after the other and by chance.

usage: memory_faults.py SERVER WORKER SHIM [--short] [--seed N]

SHIM is fail_malloc.c as a library. Each kind of request is asked with its first, second, ... N-th
allocation failing: the answer must be the usual one, a documented 500 or 503, or a closed
connection, never half of one, and the server must live and answer as ever afterwards. The worker
must end by itself, and what it kept or sent must be whole. Prints TAP and the figures.
"""
import argparse
import collections
import http.client
import json
import mmap
import os
import pathlib
import random
import struct
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "http"))
sys.dont_write_bytecode = True

import examples  # noqa: E402  (the path has to be set first)
from client import Server  # noqa: E402

LOGS = HERE.parent / "worker/logs"
PATIENCE_S = 60  # a worker that has not ended by then hangs
VOLATILE = ("instance", "id", "created_at", "stored_at", "posted_by", "saved_at", "started_at", "uptime_s")
POINT = {"model": "llama-3.1-8b", "gpu": "L40S", "method": {"kind": "lora", "rank": 16}, "stack": "torchtune",
         "batch_size": 4, "sequence_tokens": 512, "source": "fault", "step_time_s": 0.31}
MISTRAL = json.loads((HERE.parents[1] / "migrations/seed/models/mistral-7b-v0.1.json").read_text())


class Control:
    """What fail_malloc.c reads: the same file, mapped."""

    def __init__(self, folder, seed):
        self.path = str(pathlib.Path(folder) / "control")
        pathlib.Path(self.path).write_bytes(bytes(4096))
        with open(self.path, "r+b") as file:
            self.map = mmap.mmap(file.fileno(), 4096)
        self.put(2, seed)

    def put(self, field, value):
        self.map[8 * field:8 * field + 8] = struct.pack("<Q", value)

    def get(self, field):
        return struct.unpack("<q", self.map[8 * field:8 * field + 8])[0]

    def arm(self, countdown=0, one_in=0):
        self.put(3, 0)
        self.put(4, 0)
        self.put(0, countdown)
        self.put(1, one_in)

    @property
    def counted(self):
        return self.get(3)

    @property
    def failed(self):
        return self.get(4)


def kinds():
    """(name, method, path, body) of one request of each kind."""
    by_name = {example.name: example for example in examples.EXAMPLES}
    for name in ("estimate_defaults", "estimate_jobs", "estimate_does_not_fit", "comparison_paper", "serving_cheapest",
                 "plan", "sweep_batch", "losses"):
        example = by_name[name]
        yield name, example.method, example.path, example.body or by_name[example.again].body
    for path in ("/v1/models", "/v1/models/mixtral-8x7b", "/v1/prices?limit=50", "/v1/calibrations?limit=20", "/v1/fits",
                 "/v1/scaling-laws", "/v1/validation", "/metrics", "/readyz", "/nowhere"):
        yield path, "GET", path, None
    yield "put_model", "PUT", "/v1/models/own", MISTRAL
    yield "put_prices", "PUT", "/v1/prices/own", examples.RATES
    yield "post_points", "POST", "/v1/calibrations", {"points": [POINT]}
    yield "bad_body", "POST", "/v1/estimates", {"model": [1, 2], "gpu": 3}


def stable(value):
    if isinstance(value, dict):
        return {name: stable(below) for name, below in value.items() if name not in VOLATILE}
    return [stable(below) for below in value] if isinstance(value, list) else value


class ServerRun:
    """Requests under failing allocations."""

    def __init__(self, program, shim, control, settings):
        self.control, self.settings = control, settings
        self.server = Server(program, ["--log", "none", "--cache-mib", "0", "--threads", "1"],
                             {"LD_PRELOAD": shim, "FAIL_MALLOC": control.path}).start()
        quiet = {name: value for name, value in self.server.environment.items() if name != "LD_PRELOAD"}
        self.server.environment = quiet
        self.headers = self.server.bearer("catalog:write", "calibrations:write")
        self.random = random.Random(settings.seed)
        self.outcomes = collections.Counter()
        self.failures = self.headless = 0

    def ask(self, method, path, body):
        """(status, what the answer says); status 0 where the connection was closed without one."""
        try:
            answer = self.server.request(method, path, body, self.headers)
        except (ConnectionError, http.client.HTTPException):
            return 0, None
        text = answer.body.decode()
        self.headless += answer.header("Content-Type") is None and text != ""
        try:
            return answer.status, stable(json.loads(text)) if text.startswith("{") else text
        except ValueError as error:
            return answer.status, f"no JSON: {error}: {text[-200:]}"

    def places(self, count):
        """Which allocations fail: all of few, else some of them, the first ones among these."""
        most = 8 if self.settings.short else 200
        if count <= most:
            return list(range(1, count + 1))
        first = list(range(1, most // 2 + 1))
        return first + sorted(self.random.sample(range(most // 2 + 1, count + 1), most - len(first)))

    def kind(self, name, method, path, body):
        """What stands against this kind of request."""
        against = []
        self.control.arm()
        self.ask(method, path, body)  # what it stores the first time, and what threads keep
        self.control.arm()
        usual = self.ask(method, path, body)
        for place in self.places(self.control.counted):
            self.control.arm(countdown=place)
            status, said = self.ask(method, path, body)
            failed, _ = self.control.failed, self.control.arm()
            self.failures += failed
            self.outcomes[status if failed else "untouched"] += 1
            if self.server.process.poll() is not None:
                return against + [f"{name}, allocation {place}: the server ended with {self.server.process.returncode}"]
            if status in (500, 503):
                if said and said.get("status") != status:  # for a body there may be no memory
                    against.append(f"{name}, allocation {place}: {status} without a problem: {said}")
            elif status != 0 and (status != usual[0] or (said != usual[1] and not path.startswith("/metrics"))):
                against.append(f"{name}, allocation {place}: {status} {str(said)[:300]}, else {usual[0]} {str(usual[1])[:300]}")
        after = self.ask(method, path, body)
        if after[0] != usual[0]:
            against.append(f"{name}: {after[0]} afterwards, {usual[0]} before")
        return against

    def by_chance(self, seconds):
        """Every request at random while each allocation fails with a small chance."""
        asked = list(kinds())
        end = time.monotonic() + seconds
        while time.monotonic() < end and self.server.process.poll() is None:
            self.control.arm(one_in=self.random.choice((20, 200, 2000)))
            _, method, path, body = self.random.choice(asked)
            status, said = self.ask(method, path, body)
            self.outcomes[status] += 1
            self.failures += self.control.failed
            if isinstance(said, str) and said.startswith("no JSON"):
                return [f"{method} {path}: {status} {said}"]
        self.control.arm()
        if self.server.process.poll() is not None:
            return [f"the server ended with {self.server.process.returncode}: {self.server.log()[-2000:]}"]
        return [f"{name}: {status} afterwards" for name, method, path, body in asked
                for status, _ in [self.ask(method, path, body)] if status == 0 or status >= 500]


class WorkerRun:
    """Commands of the worker under failing allocations, and what they leave behind."""

    def __init__(self, program, shim, control, server, settings):
        self.program, self.shim, self.control, self.server, self.settings = program, shim, control, server, settings
        self.random = random.Random(settings.seed)
        self.outcomes = collections.Counter()
        self.failures = 0

    def run(self, *arguments, preload=True):
        environment = {**os.environ, "FAIL_MALLOC": self.control.path, "OPENBLAS_NUM_THREADS": "1"}
        if preload:
            environment["LD_PRELOAD"] = self.shim
        return subprocess.run([self.program, *arguments], capture_output=True, text=True, timeout=PATIENCE_S,
                              env=environment, check=False)

    def under_failures(self, *arguments):
        """Yields (place, what the command did) with one allocation after the other failing."""
        self.control.arm()
        usual = self.run(*arguments)
        count, most = self.control.counted, 12 if self.settings.short else 400
        places = range(1, count + 1) if count <= most else sorted(self.random.sample(range(1, count + 1), most))
        yield 0, usual
        for place in places:
            self.control.arm(countdown=place)
            done = self.run(*arguments)
            self.failures += self.control.failed
            self.outcomes[done.returncode] += 1
            yield place, done
        self.control.arm()

    def imports(self):
        """A dry run prints the usual points or fails with a word about it."""
        against, usual = [], None
        for place, done in self.under_failures("import", "--dry-run", "--gpu", "A40", "--source", "lab",
                                               str(LOGS / "torchtune-lora")):
            usual = usual if place else done.stdout
            if done.returncode < 0 or (done.returncode == 0 and done.stdout != usual) or \
                    (done.returncode > 0 and not done.stderr.strip()):
                against.append(f"import, allocation {place}: {done.returncode} {done.stdout[:300]!r} {done.stderr[:300]!r}")
        return against

    def deliveries(self):
        """Points that were kept are delivered in the end, whatever failed meanwhile."""
        against = []
        with tempfile.TemporaryDirectory(prefix="llmquote-memory-") as folder:
            spool = str(pathlib.Path(folder) / "spool")
            token = pathlib.Path(folder) / "token"
            token.write_text(self.server.bearer("calibrations:write")["Authorization"].split()[1])
            token.chmod(0o600)
            arguments = ("import", "--server", "http://%s:%d" % self.server.address, "--spool", spool, "--token-file",
                         str(token), "--give-up", "1", "--gpu", "A40", "--source", "memory", str(LOGS / "torchtune-lora"))
            for place, done in self.under_failures(*arguments):
                if done.returncode < 0:
                    against.append(f"deliver, allocation {place}: {done.returncode} {done.stderr[:400]!r}")
            done = self.run(*arguments, preload=False)
            if done.returncode != 0:
                against.append(f"deliver, afterwards: {done.returncode} {done.stderr[:400]!r}")
            self.server.settle()
            stored = self.server.get("/v1/calibrations?source=memory").json["calibrations"]
            if len(stored) != 1:
                against.append(f"deliver: {len(stored)} points are stored, want 1")
        return against


class Tap:
    def __init__(self):
        self.number = self.failed = 0

    def claim(self, text, against):
        self.number += 1
        self.failed += bool(against)
        print(f"{'not ok' if against else 'ok'} {self.number} - {text}", flush=True)
        for line in against[:10]:
            print(f"# {line}".replace("\n", "\n# "), flush=True)


def main():
    parser = argparse.ArgumentParser(usage=__doc__)
    for name in ("server", "worker", "shim"):
        parser.add_argument(name, type=lambda path: str(pathlib.Path(path).resolve()))
    parser.add_argument("--short", action="store_true")
    parser.add_argument("--seed", type=int, default=None)
    settings = parser.parse_args()
    settings.seed = settings.seed if settings.seed is not None else random.randrange(2 ** 31)
    print(f"# seed {settings.seed}", flush=True)
    tap = Tap()
    with tempfile.TemporaryDirectory(prefix="llmquote-memory-") as folder:
        control = Control(folder, settings.seed)
        run = ServerRun(settings.server, settings.shim, control, settings)
        try:
            for name, *request in kinds():
                tap.claim(f"{name}_with_failing_allocations",
                          run.kind(name, *request) if run.server.process.poll() is None else ["the server has ended"])
            tap.claim("all_kinds_with_allocations_failing_by_chance", run.by_chance(2 if settings.short else 60))
            worker_control = Control(tempfile.mkdtemp(dir=folder), settings.seed)
            worker = WorkerRun(settings.worker, settings.shim, worker_control, run.server, settings)
            tap.claim("imports_with_failing_allocations", worker.imports())
            tap.claim("deliveries_with_failing_allocations", worker.deliveries())
            tap.claim("no_answer_lacks_its_content_type",
                      [f"{run.headless} answers came without"] if run.headless else [])
            tap.claim("the_server_ends_with_status_0", [] if run.server.stop() == 0 else [run.server.log()[-2000:]])
        finally:
            run.server.close()
    print(f"1..{tap.number}")
    print(f"# server: {run.failures} failed allocations; answers {dict(run.outcomes)}")
    print(f"# worker: {worker.failures} failed allocations; exits {dict(worker.outcomes)}; seed {settings.seed}")
    return 1 if tap.failed else 0


if __name__ == "__main__":
    sys.exit(main())
