#!/usr/bin/env python3
"""Measures how far estimates of the closed loop are off: the worker measures batches of 1, 2 and 4,
the server predicts a larger batch and a longer row from them, the worker measures those. Asked is a
median of 10 % or less.

usage: loop_bench.py WORKER SERVER
"""
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile

sys.dont_write_bytecode = True
TESTS = pathlib.Path(__file__).resolve().parent.parent
sys.path[:0] = [str(TESTS / "worker"), str(TESTS / "http")]

from client import Server  # noqa: E402  (the path has to be set first)
from loop import JOBS, Loop, compare  # noqa: E402

REPEATS = 1 if os.environ.get("LQ_BENCH_SHORT") else 5
TOKENS = 128
SECONDS = "1"  # of sampling each kind of layer in a round
ASKED_PERCENT = 10


def repeat(worker, server_program):
    """A server and a spool of its own; every job calibrated and compared."""
    with tempfile.TemporaryDirectory(prefix="llmquote-loop-") as home:
        folder = pathlib.Path(home)
        server = Server(server_program, ["--log", "none"]).start()
        try:
            token = folder / "token"
            token.write_text(server.token("calibrations:write", "catalog:write") + "\n")
            at = ["--server", "http://%s:%d" % server.address, "--spool", folder / "spool",
                  "--token-file", token]
            loop = Loop(lambda *arguments: subprocess.run(
                [worker, *map(str, [*arguments, *at])], capture_output=True, text=True, check=False),
                server, folder, TOKENS, "--seconds", SECONDS)
            loop.register()
            results = []
            for name, config, method in JOBS:
                loop.calibrate(name, config, method)
                results += compare(loop, name, method)
            return results
        finally:
            server.close()


def main():
    results = [result for _ in range(REPEATS) for result in repeat(*sys.argv[1:3])]
    for label in dict.fromkeys(result.label for result in results):
        ratios = [result.ratio for result in results if result.label == label]
        print(f"{label:28} predicted / measured: median {statistics.median(ratios):.3f}   "
              f"range {min(ratios):.3f}..{max(ratios):.3f}")
    errors = [100 * result.error for result in results]
    print(f"{len(errors)} predictions in {REPEATS} repeats: median error "
          f"{statistics.median(errors):.1f} % (asked: {ASKED_PERCENT} %), worst {max(errors):.1f} %, "
          f"load up to {max(result.load for result in results):.1f} tasks per core")
    return 0


if __name__ == "__main__":
    sys.exit(main())
