#!/usr/bin/env python3
"""Measures POST /v1/estimates over keep-alive beside yardsticks in the same run.

usage: http_bench.py SERVER ECHO_SERVER [--repetitions N] [--seconds S] [--connections C]

All servers run at once and wrk asks them in turn, so that whatever else the machine does meets all
alike: one of ours without a cache (single jobs and lists of them), one with (the same jobs again,
and /healthz as the fixed answer), one that only decodes and encodes JSON with a thread per core,
and, where python3-fastapi is installed, FastAPI doing a simpler sum. Prints medians, ranges, p50
and p99, the ratios, and the server's resident memory. Needs wrk (Debian package wrk).
"""
import argparse
import json
import os
import pathlib
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent / "http"), str(HERE.parent)]
sys.dont_write_bytecode = True

from client import Server, wait_until  # noqa: E402  (the path has to be set first)
from figures import record  # noqa: E402

BATCH = 100  # jobs a list

JOB = {"model": "mixtral-8x7b", "gpu": "A40", "gpu_count": 1,
       "method": {"kind": "qlora", "rank": 16, "targets": ["experts", "router"]},
       "active_experts": 2, "gradient_checkpointing": True,
       "dataset": {"queries": 15000, "lengths": {"name": "xia2024-math"}, "cutoff_tokens": 1024,
                   "padding": "longest"},
       "epochs": 10, "batch_size": "max", "stack": "hf-2024", "estimator": "default",
       "providers": ["cudo-2024"], "confidence": 0.9}


def bodies():
    """Jobs that differ in what they ask, all answered with 200."""
    for gpu in ("A40", "A100-80GB-PCIe", "H100-PCIe-80GB"):
        for queries in range(1000, 17000, 1000):
            job = json.loads(json.dumps(JOB))
            job["gpu"] = gpu
            job["dataset"]["queries"] = queries
            yield json.dumps(job)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def measure(port, options, environment):
    """Requests per second of one run, and percentiles 50 and 99 of the latency in ms."""
    done = subprocess.run(
        ["wrk", "-t2", f"-c{options.connections}", f"-d{options.seconds}s", "--timeout", "60s", "-s",
         str(HERE / "http_bench.lua"), f"http://127.0.0.1:{port}"],
        capture_output=True, text=True, env=environment, check=True)
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("COUNTS")]
    requests, microseconds, refused, broken, p50_us, p99_us = map(int, line.split()[1:])
    if refused or broken or not requests:
        raise SystemExit(f"http_bench: {refused} refused and {broken} broken of {requests} requests")
    return requests / microseconds * 1e6, p50_us / 1e3, p99_us / 1e3


def resident_mib(pid):
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise SystemExit("http_bench: no VmRSS")


class Case:
    """What is asked of one server, and what its runs gave."""

    def __init__(self, name, port, environment, each=1):
        self.name, self.port, self.environment, self.each = name, port, environment, each
        self.runs = []

    def run(self, options):
        self.runs.append(measure(self.port, options, self.environment))

    @property
    def rate(self):
        """Quotes per second."""
        return statistics.median(rate for rate, _, _ in self.runs) * self.each

    def report(self):
        rates = [rate * self.each for rate, _, _ in self.runs]
        p50, p99 = (statistics.median(run[i] for run in self.runs) for i in (1, 2))
        print(f"{self.name:12} {self.rate:9.0f} /s   range {min(rates):.0f}..{max(rates):.0f}   "
              f"p50 {p50:.2f} p99 {p99:.2f} ms   {len(rates)} runs", flush=True)

    def text(self):
        p50, p99 = (statistics.median(run[i] for run in self.runs) for i in (1, 2))
        return f"{self.rate:,.0f}/s, p50 {p50:.1f} ms, p99 {p99:.1f} ms"


class Yardstick:
    """A server that is not ours, for as long as the block lasts."""

    def __init__(self, arguments, port, folder=None):
        self.port = port
        self.process = subprocess.Popen(arguments, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                                        cwd=folder)
        wait_until(self.answers, f"{arguments[0]} to listen", 20)

    def answers(self):
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def close(self):
        self.process.terminate()
        self.process.wait()


def has_fastapi():
    return subprocess.run([sys.executable, "-c", "import fastapi, uvicorn"], capture_output=True,
                          check=False).returncode == 0


def write_bodies(folder):
    """Environments that name the files of single jobs and of lists."""
    lines = list(bodies())
    (folder / "single").write_text("\n".join(lines) + "\n")
    jobs = [json.loads(line) for line in lines]
    lists = [json.dumps({"jobs": [jobs[(i + k) % len(jobs)] for i in range(BATCH)]}) for k in range(4)]
    (folder / "lists").write_text("\n".join(lists) + "\n")
    return lines, *({**os.environ, "BODIES": str(folder / name)} for name in ("single", "lists"))


def check_answers(server, lines, folder):
    for line in lines:
        answer = server.post("/v1/estimates", line)
        if answer.status != 200:
            raise SystemExit(f"http_bench: {line} is answered with {answer}")
    (folder / "answer.json").write_bytes(answer.body)
    return len(answer.body)


def report(cases, resident):
    for case in cases.values():
        case.report()
    ratios = [("http_uncached", "computed", "jansson"), ("http_cached", "cached", "fixed"),
              ("http_batch", "lists", "computed"), ("http_fastapi", "fastapi", "computed")]
    for name, ours, other in ratios:
        if ours in cases:
            ratio = cases[ours].rate / cases[other].rate
            print(f"{ours} / {other}: {ratio:.3f}")
            record(name, f"{ratio:.2f} ({cases[ours].text()})")
    print(f"resident {resident:.1f} MiB")


def run(options, folder):
    lines, single, lists = write_bodies(folder)
    threads = str(os.cpu_count())
    computing = Server(options.server, ["--log", "none", "--cache-mib", "0"]).start()
    caching = Server(options.server, ["--log", "none"]).start()
    yardsticks = []
    try:
        size = check_answers(computing, lines, folder)
        print(f"request {len(lines[0])} bytes, answer {size} bytes, "
              f"{options.connections} connections, {options.seconds} s a run")
        yardsticks.append(Yardstick([options.echo, str(port := free_port()), threads,
                                     str(folder / "answer.json")], port))
        cases = {"jansson": Case("jansson", port, single),
                 "computed": Case("computed", computing.address[1], single),
                 "lists": Case("lists", computing.address[1], lists, BATCH),
                 "fixed": Case("fixed", caching.address[1], {**os.environ, "FIXED": "/healthz"}),
                 "cached": Case("cached", caching.address[1], single)}
        if has_fastapi():
            yardsticks.append(Yardstick([sys.executable, "fastapi_quote.py", str(port := free_port()),
                                         threads], port, HERE))
            cases["fastapi"] = Case("fastapi", port, single)
        else:
            print("fastapi: not measured, python3-fastapi or uvicorn is not installed")
        for _ in range(options.repetitions):
            for case in cases.values():
                case.run(options)
        report(cases, resident_mib(computing.process.pid))
    finally:
        for yardstick in yardsticks:
            yardstick.close()
        for server in (computing, caching):
            server.stop()
            server.close()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("server")
    parser.add_argument("echo")
    parser.add_argument("--repetitions", type=int,
                        default=2 if os.environ.get("LQ_BENCH_SHORT") else 5)
    parser.add_argument("--seconds", type=int, default=4)
    parser.add_argument("--connections", type=int, default=64)
    options = parser.parse_args()
    if shutil.which("wrk") is None:
        print("http_bench: wrk is missing; install the Debian package wrk", file=sys.stderr)
        return 1
    with tempfile.TemporaryDirectory(prefix="llmquote-bench-") as folder:
        run(options, pathlib.Path(folder))
    return 0


if __name__ == "__main__":
    sys.exit(main())
