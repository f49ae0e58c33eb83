#!/usr/bin/env python3
"""Measures POST /v1/estimates over keep-alive beside a yardstick that only decodes and encodes.

usage: http_bench.py SERVER ECHO_SERVER [--repetitions N] [--seconds S] [--connections C]

Both servers run at once with one thread per core; wrk asks them in turn, so that whatever else the
machine does meets both alike. Prints the median, the range, the ratio of medians and the server's
resident memory. Needs wrk (Debian package wrk).
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
sys.path.insert(0, str(HERE.parent / "http"))
sys.dont_write_bytecode = True

from client import Server  # noqa: E402  (the path has to be set first)

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
    """Requests per second of one run, and the 99th percentile of the latency in ms."""
    done = subprocess.run(
        ["wrk", "-t2", f"-c{options.connections}", f"-d{options.seconds}s", "-s",
         str(HERE / "http_bench.lua"), f"http://127.0.0.1:{port}"],
        capture_output=True, text=True, env=environment, check=True)
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("COUNTS")]
    requests, microseconds, refused, broken, p99_us = map(int, line.split()[1:])
    if refused or broken or not requests:
        raise SystemExit(f"http_bench: {refused} refused and {broken} broken of {requests} requests")
    return requests / microseconds * 1e6, p99_us / 1e3


def resident_mib(pid):
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise SystemExit("http_bench: no VmRSS")


def report(name, runs):
    rates = [rate for rate, _ in runs]
    tails = [tail for _, tail in runs]
    print(f"{name:12} {statistics.median(rates):9.0f} /s   range {min(rates):.0f}..{max(rates):.0f}"
          f"   p99 {statistics.median(tails):.2f} ms   {len(runs)} runs")
    return statistics.median(rates)


def run(options, folder):
    lines = list(bodies())
    (folder / "bodies").write_text("\n".join(lines) + "\n")
    environment = {**os.environ, "BODIES": str(folder / "bodies")}
    threads = str(os.cpu_count())
    server = Server(options.server, ["--threads", threads, "--log", "none"]).start()
    echo = None
    try:
        for line in lines:
            answer = server.post("/v1/estimates", line)
            if answer.status != 200:
                raise SystemExit(f"http_bench: {line} is answered with {answer}")
        (folder / "answer.json").write_bytes(answer.body)
        print(f"request {len(lines[0])} bytes, answer {len(answer.body)} bytes, "
              f"{options.connections} connections, {threads} threads, {options.seconds} s a run")
        port = free_port()
        echo = subprocess.Popen([options.echo, str(port), threads, str(folder / "answer.json")],
                                stdout=subprocess.PIPE)
        if echo.stdout.readline() != b"listening\n":
            raise SystemExit("http_bench: the yardstick did not start")
        ours, theirs = [], []
        for _ in range(options.repetitions):
            theirs.append(measure(port, options, environment))
            ours.append(measure(server.address[1], options, environment))
        yardstick = report("yardstick", theirs)
        estimates = report("estimates", ours)
        print(f"ratio {estimates / yardstick:.3f}   "
              f"resident {resident_mib(server.process.pid):.1f} MiB")
    finally:
        if echo is not None:
            echo.terminate()
            echo.wait()
            echo.stdout.close()
        server.stop()
        server.close()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("server")
    parser.add_argument("echo")
    parser.add_argument("--repetitions", type=int, default=5)
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
