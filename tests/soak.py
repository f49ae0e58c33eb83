#!/usr/bin/env python3
"""Puts a mixed load on a server for a while and watches that it neither grows nor leaks.

usage: soak.py SERVER [--short] [--minutes M] [--seed N]

Estimates that are kept and that are not, lists of jobs, comparisons, posted points, reads of the
catalog, bad requests, and clients that leave in the middle. Resident memory, descriptors and
threads come from /proc. Points are posted under one content: what is stored does not grow, so
growth is a leak. Fails if after the warm-up memory grows by more than 5 % (and 4 MiB: one thread's
arena) or a descriptor or thread stays.
"""
import argparse
import collections
import http.client
import json
import pathlib
import random
import socket
import sys
import threading
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE / "http"), str(HERE)]
sys.dont_write_bytecode = True

import examples  # noqa: E402  (the path has to be set first)
from figures import record  # noqa: E402
from client import ANSWER_S, Server  # noqa: E402

CLIENTS = 4
SHORT_S = 60
WARM_SHARE = 0.25  # caches fill, every thread gets its arena
GROWN_SHARE, GROWN_KB = 0.05, 4 * 1024
ROWS = 10  # of the table
MODELS = ("llama-3.1-8b", "qwen3-8b", "mistral-7b-v0.3")
POINTS = [{"model": "llama-3.1-8b", "gpu": "L40S", "method": {"kind": "lora", "rank": 16}, "stack": "torchtune",
           "batch_size": 1 + i, "sequence_tokens": 512, "source": "soak", "step_time_s": 0.1 + 0.05 * i}
          for i in range(3)]
PATHS = ("/v1/models", "/v1/models/mixtral-8x7b", "/v1/gpus?limit=20", "/v1/prices?gpu=A40", "/v1/calibrations?limit=50",
         "/v1/fits", "/v1/scaling-laws", "/healthz", "/readyz", "/metrics", "/nowhere")


class Client(threading.Thread):
    """Asks one thing after the other until told to stop."""

    def __init__(self, server, bearer, seed, stop):
        super().__init__(daemon=True)
        self.server, self.bearer, self.stopped = server, bearer, stop
        self.random = random.Random(seed)
        self.statuses = collections.Counter()
        self.kinds = collections.Counter()
        self.against = []
        self.connection = None
        self.examples = {one.name: one.body for one in examples.EXAMPLES}

    def job(self):
        return {**self.examples["estimate_defaults"], "model": self.random.choice(MODELS)}

    def draw(self):
        """(kind, weight, method, path, body)"""
        fresh = {**self.job(), "epochs": 1 + self.random.random()}
        return self.random.choices([
            ("kept", "POST", "/v1/estimates", self.job()),
            ("computed", "POST", "/v1/estimates", fresh),
            ("jobs", "POST", "/v1/estimates", {"jobs": [fresh, {**fresh, "gpu": "none"}] * 10}),
            ("comparison", "POST", "/v1/comparisons", {**self.examples["comparison_paper"]}),
            ("serving", "POST", "/v1/servings", self.examples["serving_cheapest"]),
            ("plan", "POST", "/v1/plans", self.examples["plan"]),
            ("points", "POST", "/v1/calibrations", {"points": [self.random.choice(POINTS)]}),
            ("read", "GET", self.random.choice(PATHS), None),
            ("bad", "POST", "/v1/estimates", {"model": self.random.random(), "gpu": [], "extra": {}}),
            ("broken", "POST", "/v1/estimates", '{"model": ' + "[" * self.random.choice((1, 100, 5000))),
            ("leave", None, None, None)], weights=(20, 20, 4, 2, 4, 4, 2, 25, 6, 4, 5))[0]

    def leave(self):
        """A request that is not finished, or whose answer nobody reads."""
        body = json.dumps(self.job()).encode()
        head = f"POST /v1/estimates HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        whole = head.encode() + body
        with socket.create_connection(self.server.address, timeout=ANSWER_S) as connection:
            connection.sendall(whole[:self.random.randrange(1, len(whole) + 1)])

    def ask(self, method, path, body):
        if self.connection is None or self.random.random() < 0.02:
            self.drop()
            self.connection = http.client.HTTPConnection(*self.server.address, timeout=ANSWER_S)
        data = body if isinstance(body, str) or body is None else json.dumps(body)
        self.connection.request(method, path, data, {"Content-Type": "application/json", **self.bearer})
        answer = self.connection.getresponse()
        answer.read()
        if answer.will_close:
            self.drop()
        if answer.status >= 500:
            self.against.append(f"{method} {path}: {answer.status}")
        self.statuses[answer.status] += 1

    def drop(self):
        if self.connection is not None:
            self.connection.close()
        self.connection = None

    def run(self):
        while not self.stopped.is_set():
            kind, method, path, body = self.draw()
            self.kinds[kind] += 1
            try:
                self.leave() if method is None else self.ask(method, path, body)
            except (OSError, http.client.HTTPException) as error:
                self.drop()
                self.against.append(f"{kind}: {error!r}")
        self.drop()


def sample(pid):
    """(resident KiB, descriptors, threads) of a process."""
    proc = pathlib.Path(f"/proc/{pid}")
    fields = dict(line.split(":", 1) for line in (proc / "status").read_text().splitlines())
    return int(fields["VmRSS"].split()[0]), len(list((proc / "fd").iterdir())), int(fields["Threads"])


def watch(server, clients, seconds):
    """Samples over the time, told as a table; the clients' descriptors are taken off."""
    print(f"{'s':>6} {'requests':>10} {'RSS KiB':>9} {'fds':>5} {'threads':>8}", flush=True)
    samples, start = [], time.monotonic()
    for row in range(1, ROWS * 4 + 1):
        time.sleep(max(0.0, start + seconds * row / (ROWS * 4) - time.monotonic()))
        samples.append(sample(server.process.pid))
        if row % 4 == 0:
            asked = sum(sum(client.kinds.values()) for client in clients)
            rss, fds, threads = samples[-1]
            print(f"{time.monotonic() - start:6.0f} {asked:10,d} {rss:9,d} {fds:5d} {threads:8d}", flush=True)
    return samples


def median(values):
    return sorted(values)[len(values) // 2]


def verdict(samples, idle, clients, minutes):
    against = [line for client in clients for line in client.against]
    warm = max(1, int(len(samples) * WARM_SHARE))
    first, last = (median([one[0] for one in part]) for part in (samples[warm:2 * warm], samples[-warm:]))
    if last - first > max(GROWN_SHARE * first, GROWN_KB if len(samples) and first < 80 * 1024 else 0):
        against.append(f"memory grew from {first} to {last} KiB")
    before, after = idle
    if after[1] > before[1] or after[2] > before[2]:
        against.append(f"descriptors {before[1]}, then {after[1]}; threads {before[2]}, then {after[2]}")
    if not against:
        record("soak", f"{100.0 * (last / first - 1.0):+.1f} % in {minutes:.0f} minutes, no descriptor left")
    print(f"memory {first:,d} -> {last:,d} KiB ({100.0 * (last / first - 1.0):+.1f} %), descriptors "
          f"{before[1]} -> {after[1]}, threads {before[2]} -> {after[2]}")
    return against


def main():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("server", type=pathlib.Path)
    parser.add_argument("--short", action="store_true")
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--seed", type=int, default=None)
    settings = parser.parse_args()
    seed = settings.seed if settings.seed is not None else random.randrange(2 ** 31)
    seconds = SHORT_S if settings.short else 60.0 * settings.minutes
    print(f"seed {seed}, {seconds:.0f} s, {CLIENTS} clients")
    server = Server(settings.server.resolve(), ["--log", "none", "--cache-mib", "8"])
    try:
        server.start()
        bearer = server.bearer("calibrations:write")
        for point in POINTS:
            server.post("/v1/calibrations", {"points": [point]}, bearer)
        for path in PATHS:
            server.get(path)
        before = sample(server.process.pid)
        stop = threading.Event()
        clients = [Client(server, bearer, seed + i, stop) for i in range(CLIENTS)]
        for client in clients:
            client.start()
        samples = watch(server, clients, seconds)
        stop.set()
        for client in clients:
            client.join(2 * ANSWER_S)
        time.sleep(2.0)  # connections that were left are noticed
        against = verdict(samples, (before, sample(server.process.pid)), clients, seconds / 60)
        statuses, kinds = (sum((getattr(client, name) for client in clients), collections.Counter())
                           for name in ("statuses", "kinds"))
        print(f"asked {dict(sorted(kinds.items()))}; answered {dict(sorted(statuses.items()))}")
        if server.stop() != 0:
            against.append("the server did not end with status 0")
    finally:
        server.close()
    for line in against[:20]:
        print(f"FOUND {line}")
    print(f"{len(against)} findings; to repeat: --seed {seed}")
    return 1 if against else 0


if __name__ == "__main__":
    sys.exit(main())
