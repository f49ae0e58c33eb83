"""The closed loop: what small batches cost is measured, what others cost is predicted and right."""
import os

from loop import JOBS, Loop, compare
from worker import Skip

# Loose and tried again, as other tests run beside this one; tests/bench/loop_bench.py is strict.
FACTOR = 2.0
ATTEMPTS = 3
TOKENS = 64


def attempt(loop, name, config, method):
    """Calibrates and compares; what is off by more than it may."""
    loop.calibrate(name, config, method)
    results = compare(loop, name, method)
    assert all(result.basis == "calibrated" for result in results), results
    return [result for result in results if result.error > FACTOR - 1.0]


def case_the_server_predicts_from_small_batches_what_the_worker_then_measures(worker):
    if os.environ.get("LQ_TEST_SHORT"):
        raise Skip("times of a sanitised program say nothing")
    server = worker.server("calibrations:write", "catalog:write")
    loop = Loop(lambda *arguments: worker.run(*arguments, *worker.at(server.url)), server,
                worker.folder, TOKENS, "--seconds", "0.05", "--rounds", "1")
    loop.register()
    for name, config, method in JOBS:
        off = []
        for number in range(ATTEMPTS):
            off = attempt(loop, f"{name}-{number}", config, method)
            if not off:
                break
        assert not off, off
