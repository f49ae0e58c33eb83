#!/usr/bin/env python3
"""Measures POST /v1/comparisons over one keep-alive connection: all GPUs, all prices, counts 1, 2, 4
and 8, the first page of 50; and single GPUs alone. Prints medians; asked are 40 ms for the first.

usage: compare_http_bench.py SERVER
"""
import http.client
import json
import pathlib
import statistics
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "http"))
sys.dont_write_bytecode = True

from client import Server  # noqa: E402  (the path has to be set first)

REPETITIONS = 31
MIXTRAL = {"model": "mixtral-8x7b", "epochs": 10,
           "method": {"kind": "qlora", "rank": 16, "targets": ["experts", "router"]},
           "dataset": {"queries": 15000, "lengths": {"name": "xia2024-math"}, "cutoff_tokens": 1024}}
LLAMA = {"model": "llama-3.1-8b", "dataset": {"queries": 10000, "lengths": {
    "quantiles": {"p50": 174, "p90": 271, "max": 1470}}}}


def measure(connection, name, job):
    body, times = json.dumps(job), []
    for _ in range(REPETITIONS):
        start = time.perf_counter()
        connection.request("POST", "/v1/comparisons", body, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        text = answer.read()
        times.append(1e3 * (time.perf_counter() - start))
        if answer.status != 200:
            raise SystemExit(f"compare_http_bench: {answer.status} {text[:300]}")
    got = json.loads(text)
    print(f"{name:40} median {statistics.median(times):7.2f} ms   range {min(times):.2f}.."
          f"{max(times):.2f}   {len(got['options'])} of {got['option_count']} options, {len(text)} bytes")


def main():
    server = Server(sys.argv[1], ["--log", "none"]).start()
    try:
        connection = http.client.HTTPConnection(*server.address)
        for name, job in (("Mixtral QLoRA", MIXTRAL), ("Llama 8B LoRA", LLAMA)):
            measure(connection, f"{name}, 1 2 4 8 GPUs", job)
            measure(connection, f"{name}, one GPU", {**job, "gpu_counts": [1]})
    finally:
        server.stop()
        server.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
