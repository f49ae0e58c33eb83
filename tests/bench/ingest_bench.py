#!/usr/bin/env python3
"""Measures how fast points are stored, and reads beside that, next to SQLite alone in the same run.

usage: ingest_bench.py SERVER INGEST_LOAD SQLITE_ALONE [--repetitions N] [--seconds S]

The yardstick inserts the same rows into the server's own table by prepared statements, as many a
transaction as the server's groups have, with the same durability, on one thread: no HTTP, no JSON,
no digests. Every run of either begins with a new database. Rates are medians over runs that take
turns; reads are GET /v1/gpus/A40 and POST /v1/estimates in turn, their latency counted from when each
was due. The load generator shares the machine's cores with the server.
"""
import argparse
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent / "http"), str(HERE.parent)]
sys.dont_write_bytecode = True

from client import Server  # noqa: E402  (the path has to be set first)
from figures import record  # noqa: E402

SHORT = os.environ.get("LQ_BENCH_SHORT") is not None
# name, workers, points a request, requests/s wanted for the paced run, rows a commit of the yardstick
LOADS = (("single", 64, 1, 5000, 1), ("batches of 100", 16, 100, 500, 100))
FIGURES = {"single": "ingest_single", "batches of 100": "ingest_batch"}
READERS, READS_PER_S = 2, 100
ROUND = 10_000_000  # numbers of points that a run may use up


class Bench:
    def __init__(self, options, folder):
        self.options = options
        self.folder = pathlib.Path(folder)
        self.server = Server(options.server, ["--log", "none"]).start()
        self.token = self.server.token("calibrations:write")
        self.next = 1

    def begin_afresh(self):
        """As the yardstick does: a run's rate falls with what the runs before it have stored."""
        self.server.stop()
        for left in pathlib.Path(self.server.db).parent.glob(pathlib.Path(self.server.db).name + "*"):
            left.unlink()
        shutil.copy(self.folder / "fresh.db", self.server.db)
        self.server.start()

    def load(self, workers, points, pace):
        self.begin_afresh()
        done = subprocess.run(
            [self.options.load, str(self.server.address[1]), self.token, str(workers), str(points),
             str(self.options.seconds), str(pace), str(READERS), str(READS_PER_S), str(self.next)],
            capture_output=True, text=True, check=True)
        self.next += ROUND
        answered, refused, took_s, p50, p99, _, read_refused, _, read_p99 = map(
            float, done.stdout.split())
        if refused or read_refused or not answered:
            raise SystemExit(f"ingest_bench: {refused:.0f} posts and {read_refused:.0f} reads "
                             f"refused: {done.stderr}")
        return {"points": answered * points / took_s, "p50": p50, "p99": p99, "read": read_p99}

    def yardstick(self, rows):
        """Rows/s of SQLite alone, on a copy of a fresh database."""
        path = self.folder / "alone.db"
        shutil.copy(self.folder / "fresh.db", path)
        done = subprocess.run([self.options.alone, str(path), str(rows), str(self.options.seconds)],
                              capture_output=True, text=True, check=True)
        for left in self.folder.glob("alone.db*"):
            left.unlink()
        return float(done.stdout)


def spread(values):
    return f"{statistics.median(values):9.0f} ({min(values):.0f}..{max(values):.0f})"


def measure(bench, load):
    name, workers, points, pace, rows = load
    alone, most, paced = [], [], []
    for _ in range(bench.options.repetitions):
        alone.append(bench.yardstick(rows))
        most.append(bench.load(workers, points, 0))
        paced.append(bench.load(workers, points, pace))
    rate = statistics.median(run["points"] for run in most)
    print(f"{name}: {spread([run['points'] for run in most])} points/s from {workers} workers; "
          f"post p50 {statistics.median(run['p50'] for run in most):.1f} "
          f"p99 {statistics.median(run['p99'] for run in most):.1f} ms, "
          f"read p99 {statistics.median(run['read'] for run in most):.1f} ms")
    print(f"  SQLite alone, {rows} a commit: {spread(alone)} rows/s; "
          f"ratio {rate / statistics.median(alone):.2f}")
    print(f"  at {pace * points} points/s wanted: {spread([run['points'] for run in paced])}; "
          f"post p99 {statistics.median(run['p99'] for run in paced):.1f} ms, "
          f"read p99 {statistics.median(run['read'] for run in paced):.1f} ms", flush=True)
    record(FIGURES[name], f"{rate:,.0f}/s, {rate / statistics.median(alone):.2f} of SQLite alone")
    if points == 1:
        record("ingest_reads", f"{statistics.median(run['read'] for run in paced):.1f} ms")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("server")
    parser.add_argument("load")
    parser.add_argument("alone")
    parser.add_argument("--repetitions", type=int, default=1 if SHORT else 5)
    parser.add_argument("--seconds", type=int, default=2 if SHORT else 5)
    options = parser.parse_args()
    for load in LOADS:
        with tempfile.TemporaryDirectory(prefix="llmquote-bench-") as folder:
            bench = Bench(options, folder)
            try:
                bench.server.stop()
                shutil.copy(bench.server.db, bench.folder / "fresh.db")
                bench.server.start()
                measure(bench, load)
            finally:
                bench.server.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
