#!/usr/bin/env python3
"""The Chinchilla fit over the same grid of starts by scipy, on one thread, beside our own.

usage: scipy_grid.py LAW_BENCH POINTS.csv

Runs LAW_BENCH for our time and scipy's L-BFGS-B with the analytic gradient for theirs, in one run.
With LQ_BENCH_SHORT scipy tries every twentieth start and the time is scaled. Without scipy it says so.
"""
import csv
import itertools
import os
import re
import subprocess
import sys
import time

try:
    import numpy as np
    from scipy.optimize import minimize
except ImportError:
    print("scipy is not installed (Debian package python3-scipy): no ratio")
    sys.exit(77)

DELTA = 1e-3  # of Huber's loss on the log residual


def points(path):
    """Runs without the five highest losses, as the usual refit has them."""
    with open(path, encoding="utf-8") as file:
        rows = [row for row in csv.reader(line for line in file if line[0] in "0123456789.")]
    table = np.array([[float(cell) for cell in row[:4]] for row in rows])
    return table[np.argsort(table[:, 3])[:-5]]


def objective(x, log_n, log_d, log_loss):
    """Sum of Huber's loss, and its gradient in (ln A, ln B, ln E, alpha, beta)."""
    a, b, e, alpha, beta = x
    terms = np.stack([a - alpha * log_n, b - beta * log_d, np.full_like(log_n, e)])
    top = terms.max(axis=0)
    parts = np.exp(terms - top)
    whole = parts.sum(axis=0)
    residual = top + np.log(whole) - log_loss
    small = np.abs(residual) <= DELTA
    value = np.where(small, 0.5 * residual ** 2, DELTA * (np.abs(residual) - 0.5 * DELTA)).sum()
    slope = np.clip(residual, -DELTA, DELTA)
    share = parts / whole * slope
    return value, np.array([share[0].sum(), share[1].sum(), share[2].sum(),
                            -(share[0] * log_n).sum(), -(share[1] * log_d).sum()])


def main():
    table = points(sys.argv[2])
    logs = np.log(table[:, 0]), np.log(table[:, 1]), np.log(table[:, 3])
    grid = list(itertools.product(range(0, 26, 5), range(0, 26, 5), np.arange(-1, 1.1, 0.5),
                                  np.arange(0, 2.1, 0.5), np.arange(0, 2.1, 0.5)))
    tried = grid[::20] if os.environ.get("LQ_BENCH_SHORT") else grid
    start = time.perf_counter()
    best = min((minimize(objective, x, logs, "L-BFGS-B", jac=True,
                         options={"maxiter": 10000, "maxfun": 20000, "ftol": 1e-14, "gtol": 1e-10})
                for x in tried), key=lambda end: end.fun)
    theirs = (time.perf_counter() - start) * len(grid) / len(tried)
    out = subprocess.run(sys.argv[1:3], capture_output=True, text=True, check=True).stdout
    ours = float(re.search(r"the grid of 4,500 starts, 2 threads\s+median\s+([0-9.]+) s", out)[1])
    print(f"scipy {len(grid)} starts, one thread{'' if tried is grid else ' (scaled)'}: {theirs:.1f} s, "
          f"objective {best.fun:.8f}")
    print(f"ours, two threads: {ours:.2f} s   ratio {theirs / ours:.0f}")


if __name__ == "__main__":
    main()
