#!/usr/bin/env python3
"""Runs the fuzz targets of a build made with -Dfuzzing=true, and tells what they found.

usage: run_fuzz.py BUILD [--short] [--seed N] [--runs N | --seconds S] [TARGET...]

Each target goes on from the checked-in corpus and from what earlier runs kept in BUILD/corpus. A
finding is made small and printed with the command that repeats it. One process at a time.
"""
import argparse
import os
import pathlib
import random
import re
import subprocess
import sys

import yaml

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
SHORT_S = 3  # 24 targets, a second of start each: with the requests, two minutes
SLOW_S = 60  # one input may take that long under sanitizers: a sweep has 2000 points
INPUT_MAX = 8192  # longer ones are tried by the HTTP tests; here they only cost executions
SHOWN_MAX = 400


def dictionary(path):
    """Names and values of the contract as tokens of libFuzzer's."""
    words = set()

    def walk(node):
        if isinstance(node, dict):
            words.update(str(name) for name in node.get("properties", {}))
            words.update(str(value) for value in node.get("enum", []))
            for below in node.values():
                walk(below)
        elif isinstance(node, list):
            for below in node:
                walk(below)

    walk(yaml.safe_load((ROOT / "openapi.yaml").read_text()))
    tokens = [f'\\"{word}\\"' for word in sorted(words) if re.fullmatch(r"[\w.-]{1,40}", word)]
    tokens += ["null", "true", "false", "1e308", "-1", "1e-300", "9223372036854775807", "\\x00", "{}", "[]",
               "\\\\ud800", "\\xef\\xbb\\xbf"]
    path.write_text("".join(f'"{token}"\n' for token in tokens))


def figure(name, text):
    found = re.search(rf"stat::{name}:\s+(\d+)", text)
    return int(found[1]) if found else 0


def run(program, folders, flags, log):
    command = [str(program), *flags, *map(str, folders)]
    with log.open("wb") as out:
        status = subprocess.run(command, stdout=out, stderr=subprocess.STDOUT, env=environment(),
                                check=False).returncode
    return status, log.read_text(errors="replace")


def environment():
    return {**os.environ, "UBSAN_OPTIONS": "print_stacktrace=1:halt_on_error=1",
            "ASAN_OPTIONS": "detect_leaks=1:allocator_may_return_null=1"}


def tell(program, found, output, log):
    """Prints a finding: what it is, the input made small, how to see it again."""
    small = found.with_name(found.name + ".small")
    run(program, [found], ["-minimize_crash=1", "-runs=20000", "-max_total_time=20",
                           f"-exact_artifact_path={small}"], log)
    small = small if small.exists() else found
    lines = [line for line in output.splitlines() if re.search(r"ERROR|runtime error|^fuzz: |SUMMARY|    #\d ", line)]
    print("\n".join(lines[:14]))
    print(f"input ({small.stat().st_size} bytes): {small.read_bytes()[:SHOWN_MAX]!r}")
    print(f"again: {program} {small}", flush=True)


def fuzz(build, name, settings):
    """Runs one target; returns (executions, seconds' worth of rate, features, whether it found something)."""
    program = build / "tests/fuzz" / f"fuzz_{name}"
    grown, findings = build / "corpus" / name, build / "findings"
    for folder in (grown, findings):
        folder.mkdir(parents=True, exist_ok=True)
    flags = [f"-seed={settings.seed}", "-print_final_stats=1", f"-timeout={SLOW_S}", f"-max_len={INPUT_MAX}",
             f"-artifact_prefix={findings}/{name}-", f"-dict={build / 'json.dict'}", "-rss_limit_mb=4096"]
    flags += [f"-runs={settings.runs}"] if settings.runs else [f"-max_total_time={settings.seconds}"]
    status, output = run(program, [grown, HERE / "corpus" / name], flags, build / f"{name}.log")
    written = re.findall(r"Test unit written to (\S+)", output) if status != 0 else []
    for path in written[-1:]:
        tell(program, pathlib.Path(path), output, build / f"{name}-small.log")
    if status != 0 and not written:
        print(output[-2000:])
    features = re.findall(r"ft: (\d+)", output)
    return (figure("number_of_executed_units", output), figure("average_exec_per_sec", output),
            int(features[-1]) if features else 0, status != 0)


def main():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("build", type=pathlib.Path)
    parser.add_argument("targets", nargs="*")
    parser.add_argument("--short", action="store_true")
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--runs", type=int, default=0)
    parser.add_argument("--seconds", type=int, default=60)
    settings = parser.parse_intermixed_args()
    settings.build = settings.build.resolve()
    settings.seconds = SHORT_S if settings.short else settings.seconds
    settings.seed = settings.seed if settings.seed is not None else random.randrange(1, 2 ** 31)
    known = sorted(path.name.removeprefix("fuzz_") for path in (settings.build / "tests/fuzz").glob("fuzz_*")
                   if path.is_file() and os.access(path, os.X_OK))
    targets = settings.targets or known
    if not set(targets) <= set(known):
        print(f"targets are: {' '.join(known)}", file=sys.stderr)
        return 2
    dictionary(settings.build / "json.dict")
    print(f"seed {settings.seed}\n{'target':22} {'executions':>12} {'per s':>8} {'features':>9}")
    failed = []
    for name in targets:
        executions, rate, features, found = fuzz(settings.build, name, settings)
        print(f"{name:22} {executions:12,d} {rate:8,d} {features:9,d}{'  FOUND' if found else ''}", flush=True)
        failed += [name] * found
    print(f"{len(targets) - len(failed)} targets without a finding, {len(failed)} with: {' '.join(failed)}".rstrip(": "))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
