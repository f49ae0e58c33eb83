#!/usr/bin/env python3
"""Measures what idle and slow connections cost those who behave.

usage: slow_bench.py SERVER [--repetitions N] [--seconds S] [--idle N] [--slow N] [--deadline S]

wrk asks POST /v1/estimates in turn without and with 2,000 idle connections and 200 that send their
head a byte at a time. Prints the 99th percentile of the latency in both, their ratio, and when the
slow ones were ended. Needs wrk (Debian package wrk).
"""
import argparse
import os
import pathlib
import resource
import shutil
import socket
import statistics
import sys
import tempfile
import threading
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent / "http"), str(HERE.parent), str(HERE)]
sys.dont_write_bytecode = True

from client import Server  # noqa: E402  (the path has to be set first)
from figures import record  # noqa: E402
from http_bench import bodies, measure  # noqa: E402

ONE = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
MOST_RATIO = 2.0
BYTE_EVERY_S = 0.5


class Slow(threading.Thread):
    """Connections that send a byte now and then; each is opened anew when it has been ended."""

    def __init__(self, address, count):
        super().__init__(daemon=True)
        self.address = address
        self.count = count
        self.ended_s = []
        self.done = threading.Event()

    def open(self):
        made = socket.create_connection(self.address, timeout=20)
        made.setblocking(False)
        made.send(b"GET /healthz HTTP/1.1\r\nHost: x\r\nX-Slow: ")
        return made, time.monotonic()

    def visit(self, one, since):
        """The connection, or a new one in its place."""
        try:
            one.send(b"a")
            one.recv(4096)  # its 408, or its end
        except BlockingIOError:
            return one, since
        except OSError:
            pass
        self.ended_s.append(time.monotonic() - since)
        one.close()
        return self.open()

    def run(self):
        held = [self.open() for _ in range(self.count)]
        while not self.done.wait(BYTE_EVERY_S):
            held = [self.visit(*one) for one in held]
        for one, _ in held:
            one.close()


def open_idle(address, count):
    held = []
    for _ in range(count):
        one = socket.create_connection(address, timeout=20)
        one.sendall(ONE)
        if b" 200 " not in one.recv(4096):
            raise SystemExit("slow_bench: an idle connection was refused")
        held.append(one)
    return held


def beside(server, options, environment):
    """One run beside idle and slow connections, and when the slow ones were ended."""
    slow = Slow(server.address, options.slow)
    idle = open_idle(server.address, options.idle)
    slow.start()
    time.sleep(1.0)
    try:
        run = measure(server.address[1], options, environment)
        open_still = sum(is_open(one) for one in idle)
        wait_s = options.deadline + 2
        while not slow.ended_s and wait_s > 0:
            time.sleep(0.5)
            wait_s -= 0.5
        return run, slow.ended_s, open_still
    finally:
        slow.done.set()
        slow.join()
        for one in idle:
            one.close()


def is_open(one):
    one.setblocking(False)
    try:
        return one.recv(1) != b""
    except BlockingIOError:
        return True
    except OSError:
        return False


def report(name, runs):
    rates, _, tails = zip(*runs)
    print(f"{name:22} p99 {statistics.median(tails):7.2f} ms   range {min(tails):.2f}..{max(tails):.2f}"
          f"   {statistics.median(rates):.0f} /s   {len(runs)} runs")
    return statistics.median(tails)


def run(options, folder):
    (folder / "bodies").write_text("\n".join(bodies()) + "\n")
    environment = {**os.environ, "BODIES": str(folder / "bodies")}
    server = Server(options.server, ["--log", "none", "--request-deadline-s", str(options.deadline),
                                     "--connections-per-address", "4000"]).start()
    without, with_them, ended_s, kept = [], [], [], []
    try:
        for _ in range(options.repetitions):
            without.append(measure(server.address[1], options, environment))
            one, ends, still = beside(server, options, environment)
            with_them.append(one)
            ended_s += ends
            kept.append(still)
    finally:
        server.stop()
        server.close()
    ratio = report(f"with {options.idle} + {options.slow}", with_them) / report("without", without)
    print(f"ratio {ratio:.2f} (at most {MOST_RATIO})   idle kept {min(kept)} of {options.idle}")
    print(f"slow heads ended after {statistics.median(ended_s):.2f} s   "
          f"range {min(ended_s):.2f}..{max(ended_s):.2f}   deadline {options.deadline} s"
          f"   {len(ended_s)} ended" if ended_s else "no slow head was ended")
    record("slow", f"{ratio:.2f}x")
    if ended_s:
        record("slow_heads", f"after {statistics.median(ended_s):.1f} s, at most {max(ended_s):.1f} s")
    late = not ended_s or max(ended_s) > options.deadline + 3
    return 1 if ratio > MOST_RATIO or late or min(kept) < options.idle else 0


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("server")
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=6)
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--idle", type=int, default=2000)
    parser.add_argument("--slow", type=int, default=200)
    parser.add_argument("--deadline", type=int, default=4)
    options = parser.parse_args()
    if os.environ.get("LQ_BENCH_SHORT"):
        options.repetitions = 2
    if shutil.which("wrk") is None:
        print("slow_bench: wrk is missing; install the Debian package wrk", file=sys.stderr)
        return 1
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    if hard < options.idle + options.slow + 64:
        print(f"slow_bench: only {hard} descriptors are allowed here (ulimit -Hn)", file=sys.stderr)
        return 1
    with tempfile.TemporaryDirectory(prefix="llmquote-bench-") as folder:
        return run(options, pathlib.Path(folder))


if __name__ == "__main__":
    sys.exit(main())
