#!/usr/bin/env python3
"""Measures a start of the worker, beside /bin/true: time to the end and the most memory resident.
Asked are less than 50 ms and 16 MB.

usage: worker_bench.py WORKER
"""
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

REPETITIONS = 11 if os.environ.get("LQ_BENCH_SHORT") else 51


def seconds_of(arguments):
    begin = time.perf_counter()
    subprocess.run(arguments, stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - begin


def resident_of(arguments):
    """The most memory resident, read while the program waits to write its last words: a finished
    one has none, and what wait4 tells includes that of the Python it was forked from."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    try:
        while True:
            os.write(writer, bytes(4096))
    except BlockingIOError:
        os.set_blocking(writer, True)
    process = subprocess.Popen(arguments, stdout=writer)
    os.close(writer)
    status = pathlib.Path(f"/proc/{process.pid}/status")
    end = time.monotonic() + 10
    while "pipe" not in pathlib.Path(f"/proc/{process.pid}/wchan").read_text():
        if time.monotonic() > end:
            break  # a kernel that does not tell: after so long it waits
        time.sleep(0.01)
    (peak,) = (line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
    while os.read(reader, 65536):
        pass
    os.close(reader)
    process.wait()
    return 1024 * int(peak.split()[1])


def measure(name, arguments):
    times = [1e3 * seconds_of(arguments) for _ in range(REPETITIONS)]
    memory = resident_of(arguments) / 1e6 if arguments[1:] else 0.0
    print(f"{name:32} median {statistics.median(times):7.2f} ms   range {min(times):.2f}.."
          f"{max(times):.2f}" + (f"   {memory:.1f} MB resident" if memory else ""))


def main():
    worker = sys.argv[1]
    with tempfile.TemporaryDirectory() as folder:
        measure("/bin/true", ["/bin/true"])
        measure("llmquote-worker --version", [worker, "--version"])
        measure("deliver, nothing in the spool", [worker, "deliver", "--spool", folder])
    return 0


if __name__ == "__main__":
    sys.exit(main())
