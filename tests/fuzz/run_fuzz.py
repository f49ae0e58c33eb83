#!/usr/bin/env python3
"""Runs the fuzz targets of a build made with -Dfuzzing=true to a count of executions each.

usage: run_fuzz.py BUILD [--short] [--seed N] [--runs N] [--seconds S] [--afresh] [--merge] [TARGET...]

A target goes on from the checked-in corpus and from what earlier runs kept in BUILD/corpus. How far
each has come stands in BUILD/campaign.json, so a run that was ended goes on where it was; --afresh
counts from nothing, --seconds bounds what one target may take now. As many targets run at once as there are
cores. A finding is made small and printed with the command that repeats it; a target with one has not
reached its count. One campaign at a time. --merge runs nothing: of the inputs in BUILD/corpus that
reach what the checked-in corpus does not, it puts the largest few into the latter, in place of those
an earlier run put there.
"""
import argparse
import concurrent.futures
import hashlib
import json
import os
import pathlib
import random
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time

import yaml

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
sys.dont_write_bytecode = True

from figures import record  # noqa: E402  (the path has to be set first)

ROOT = HERE.parents[1]
RUNS = 10_000_000
SHORT_S = 3  # 24 targets, a second of start each: with the requests, two minutes
SLICE_S = 120  # after so long a target notes how far it has come and goes on
SLOW_S = 60  # one input may take that long under sanitizers: a sweep has 2000 points
INPUT_MAX = 4096  # longer ones are tried by the HTTP tests; here they only cost executions
SHOWN_MAX = 400
# What --merge leaves of found inputs for each target: 24 targets, 188 KiB at the most.
MERGED_FILES = 4
MERGED_INPUT_MAX = 2000
# A short quarantine and short stacks of allocations: executions allocate little, so what they free
# stays there for thousands of them, and half of the time is saved.
ASAN = "detect_leaks=1:allocator_may_return_null=1:malloc_context_size=2:quarantine_size_mb=16:max_malloc_fill_size=512"


def write_dictionary(path, tokens):
    path.write_text("".join(f'"{token}"\n' for token in tokens))


def dictionaries(build):
    """Names and values of the contract as tokens of libFuzzer's: of bodies, and of targets of GET."""
    contract = yaml.safe_load((ROOT / "openapi.yaml").read_text())
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

    walk(contract)
    tokens = [f'\\"{word}\\"' for word in sorted(words) if re.fullmatch(r"[\w.-]{1,40}", word)]
    tokens += ["null", "true", "false", "1e308", "-1", "1e-300", "9223372036854775807", "\\x00", "{}", "[]",
               "\\\\ud800", "\\xef\\xbb\\xbf"]
    write_dictionary(build / "json.dict", tokens)
    parts = {part for path in contract["paths"] for part in re.findall(r"/[^/{]+", path)}
    queries = {parameter["name"] for parameter in contract["components"].get("parameters", {}).values()
               if parameter.get("in") == "query"}
    for path in contract["paths"].values():
        queries.update(parameter["name"] for parameter in path.get("get", {}).get("parameters", [])
                       if parameter.get("in") == "query")
    write_dictionary(build / "get.dict", sorted(parts) + [f"{name}=" for name in sorted(queries)]
                     + ["?", "&", "%2F", "%00", "%ff", "A40", "mixtral-8x7b", "2026-01-01"])


def figure(name, text):
    found = re.search(rf"stat::{name}:\s+(\d+)", text)
    return int(found[1]) if found else 0


def run(program, folders, flags, log, **more):
    """Runs it; returns (status, output, seconds of a core that it took)."""
    with log.open("wb") as out, subprocess.Popen([str(program), *flags, *map(str, folders)], stdout=out,
                                                 stderr=subprocess.STDOUT, env=environment(**more)) as process:
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    return process.returncode, log.read_text(errors="replace"), used.ru_utime + used.ru_stime


def environment(**more):
    return {**os.environ, "UBSAN_OPTIONS": "print_stacktrace=1:halt_on_error=1", "ASAN_OPTIONS": ASAN, **more}


def tell(program, found, output, log):
    """Prints a finding: what it is, the input made small, how to see it again."""
    small = found.with_name(found.name + ".small")
    run(program, [found], ["-minimize_crash=1", "-runs=20000", "-max_total_time=20",
                           f"-exact_artifact_path={small}"], log, FUZZ_ALL="1")
    small = small if small.exists() else found
    lines = [line for line in output.splitlines() if re.search(r"ERROR|runtime error|^fuzz: |SUMMARY|    #\d ", line)]
    print("\n".join([*lines[:14], f"input ({small.stat().st_size} bytes): {small.read_bytes()[:SHOWN_MAX]!r}",
                     f"again: FUZZ_ALL=1 {program} {small}"]), flush=True)  # at once: others print, too


class Campaign:
    """How far each target has come, kept beside the build."""

    def __init__(self, path, afresh):
        self.path = path
        self.lock = threading.Lock()
        self.state = {} if afresh or not path.exists() else json.loads(path.read_text())

    def of(self, name):
        return self.state.setdefault(name, {"executions": 0, "seconds": 0.0, "cpu_s": 0.0, "findings": 0})

    def add(self, name, executions, seconds, cpu_s, found):
        with self.lock:
            reached = self.of(name)
            reached["executions"] += executions
            reached["seconds"] += seconds
            reached["cpu_s"] += cpu_s
            reached["findings"] += found
            self.path.write_text(json.dumps(self.state, indent=1))


def fuzz(build, name, settings, left):
    """Runs one target for `left` executions or the seconds given; returns what it took and found."""
    program = build / "tests/fuzz" / f"fuzz_{name}"
    grown, findings = build / "corpus" / name, build / "findings"
    for folder in (grown, findings):
        folder.mkdir(parents=True, exist_ok=True)
    words = build / ("get.dict" if name == "get" else "json.dict")
    flags = [f"-seed={settings.seed}", "-print_final_stats=1", f"-timeout={SLOW_S}", f"-max_len={INPUT_MAX}",
             f"-artifact_prefix={findings}/{name}-", f"-dict={words}", "-rss_limit_mb=4096", "-reload=0",
             f"-runs={left}", f"-max_total_time={settings.seconds or SLICE_S}"]
    start = time.monotonic()
    status, output, cpu_s = run(program, [grown, HERE / "corpus" / name], flags, build / f"{name}.log")
    seconds = time.monotonic() - start
    written = re.findall(r"Test unit written to (\S+)", output) if status != 0 else []
    for path in written[-1:]:
        tell(program, pathlib.Path(path), output, build / f"{name}-small.log")
    if status != 0 and not written:
        print(output[-2000:])
    return figure("number_of_executed_units", output), seconds, cpu_s, status != 0


def line(name, reached, kept):
    rate = reached["executions"] / reached["seconds"] if reached["seconds"] > 0 else 0
    cpu_rate = reached["executions"] / reached["cpu_s"] if reached["cpu_s"] > 0 else 0
    return (f"{name:20} {reached['executions']:12,d} {reached['seconds']:9,.0f} {rate:9,.0f} {cpu_rate:9,.0f} "
            f"{kept:7,d} {reached['findings']:9d}")


def merge(build, targets):
    """Inputs that reach the most of what seeds do not go into the checked-in corpus as found-*."""
    for name in targets:
        seeds = HERE / "corpus" / name
        for path in seeds.glob("found-*"):
            path.unlink()
        with tempfile.TemporaryDirectory() as folder:
            merged = pathlib.Path(folder) / name
            shutil.copytree(seeds, merged)
            run(build / "tests/fuzz" / f"fuzz_{name}", [merged, build / "corpus" / name],
                ["-merge=1", f"-max_len={MERGED_INPUT_MAX}"], build / f"{name}-merge.log")
            known = {path.read_bytes() for path in seeds.iterdir()}
            new = sorted({path.read_bytes() for path in merged.iterdir()} - known, key=len, reverse=True)
        for data in new[:MERGED_FILES]:
            (seeds / ("found-" + hashlib.sha1(data).hexdigest()[:12])).write_bytes(data)
        print(f"{name:20} {len(new):6d} inputs reach more, {len(new[:MERGED_FILES])} kept")


def parse():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("build", type=pathlib.Path)
    parser.add_argument("targets", nargs="*")
    parser.add_argument("--short", action="store_true")
    parser.add_argument("--merge", action="store_true")
    parser.add_argument("--afresh", action="store_true")
    parser.add_argument("--seed", type=int, default=random.randrange(1, 2 ** 31))
    parser.add_argument("--runs", type=int, default=RUNS)
    parser.add_argument("--seconds", type=int, default=0)
    settings = parser.parse_intermixed_args()
    settings.build = settings.build.resolve()
    settings.seconds = SHORT_S if settings.short else settings.seconds
    return settings


def main():
    settings = parse()
    known = sorted(path.name.removeprefix("fuzz_") for path in (settings.build / "tests/fuzz").glob("fuzz_*")
                   if path.is_file() and os.access(path, os.X_OK))
    targets = settings.targets or known
    if not set(targets) <= set(known):
        print(f"targets are: {' '.join(known)}", file=sys.stderr)
        return 2
    if settings.merge:
        merge(settings.build, targets)
        return 0
    dictionaries(settings.build)
    # a short run is a look at each target: it counts for itself
    campaign = Campaign(settings.build / ("short.json" if settings.short else "campaign.json"),
                        settings.short or settings.afresh)
    print(f"seed {settings.seed}\n{'target':20} {'executions':>12} {'seconds':>9} {'per s':>9} {'per cpu s':>9} "
          f"{'corpus':>7} {'findings':>9}")
    failed = []

    def advance(name):
        found = False
        while not found and (left := settings.runs - campaign.of(name)["executions"]) > 0:
            *took, found = fuzz(settings.build, name, settings, left)
            campaign.add(name, *took, int(found))
            if settings.seconds > 0:
                break
        failed.extend([name] * found)
        kept = sum(1 for _ in (settings.build / "corpus" / name).iterdir())
        print(line(name, campaign.of(name), kept), flush=True)

    with concurrent.futures.ThreadPoolExecutor(max_workers=len(os.sched_getaffinity(0))) as pool:
        list(pool.map(advance, targets))  # a target on each core
    print(f"{len(targets) - len(failed)} targets without a finding, {len(failed)} with: {' '.join(failed)}".rstrip(": "))
    if not settings.short and targets == known and not failed:
        reached = [campaign.of(name)["executions"] for name in known]
        whole = sum(count >= RUNS for count in reached)
        record("fuzz", f"{whole} of {len(known)} decoders; {sum(reached) / 1e6:,.0f} million in all, none found")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
