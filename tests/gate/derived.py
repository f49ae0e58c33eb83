"""Seed files that a program beside them writes are what it writes."""

import pathlib
import subprocess
import sys

from tap import Report

GENERATORS = ("migrations/seed/measured/alpaca.py", "migrations/seed/measured/runs.py")


def main():
    root = pathlib.Path(sys.argv[1])
    report = Report()
    for generator in GENERATORS:
        name = pathlib.Path(generator).stem
        run = subprocess.run([sys.executable, root / generator, "--check"], check=False,
                             capture_output=True, text=True)
        report.claim(f"{name}_csv_is_what_its_generator_writes",
                     [run.stderr or f"run {generator}"] if run.returncode else [])
    report.finish()


if __name__ == "__main__":
    main()
