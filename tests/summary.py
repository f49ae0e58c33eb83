"""Adds up what test runs did: one line a suite, what failed, then `N passed, N failed` alone on the last line.

Usage: summary.py LABEL=BUILD_DIR...   Exits 1 when anything failed or nothing ran.
A TAP program counts as many tests as it reports, any other program as one.
"""

import json
import pathlib
import re
import sys

TAP_LINE = re.compile(r"^\s*(not ok|ok)\b(.*)$", re.MULTILINE)
NAME = re.compile(r"[^:]*:?(\S+)")  # project:suite / test
DIRECTIVE = re.compile(r"#\s*(skip|todo)\b", re.IGNORECASE)
GOOD = ("OK", "EXPECTEDFAIL", "SKIP")


def counts(run):
    """(passed, failed, skipped) of one test program."""
    passed = failed = skipped = 0
    for verdict, rest in TAP_LINE.findall(run["stdout"] or ""):
        if DIRECTIVE.search(rest):
            skipped += 1
        elif verdict == "ok":
            passed += 1
        else:
            failed += 1
    if passed + failed + skipped == 0:
        passed, skipped = int(run["result"] in GOOD[:2]), int(run["result"] == "SKIP")
    if run["result"] not in GOOD and failed == 0:
        failed = 1  # it died, ran out of time or broke its plan
    return passed, failed, skipped


def failures(run):
    """The lines that tell what failed in one test program: its failed tests, or else how it ended."""
    told = [f"not ok{rest}" for verdict, rest in TAP_LINE.findall(run["stdout"] or "")
            if verdict == "not ok" and not DIRECTIVE.search(rest)]
    return told or [f"{run['result']}, status {run['returncode']}, after {run['duration']:.0f} s"]


def main():
    total = [0, 0, 0]
    failed_tests = []
    for argument in sys.argv[1:]:
        label, _, folder = argument.partition("=")
        log = pathlib.Path(folder) / "meson-logs" / "testlog.json"
        by_suite = {}
        for line in log.read_text().splitlines() if log.exists() else []:
            run = json.loads(line)
            row = by_suite.setdefault(NAME.match(run["name"])[1], [0, 0, 0])
            if counts(run)[1]:
                failed_tests += [f"{label} {run['name']}: {line}" for line in failures(run)]
            for i, n in enumerate(counts(run)):
                row[i] += n
                total[i] += n
        for suite, (passed, failed, skipped) in sorted(by_suite.items()):
            print(f"{label:10s} {suite:10s} {passed:6d} passed {failed:4d} failed {skipped:4d} skipped")
        if not by_suite:
            print(f"{label:10s} ran no test")
            total[1] += 1
    for line in failed_tests:
        print(f"failed: {line}")
    passed, failed, skipped = total
    print(f"{passed} passed, {failed} failed" + (f", {skipped} skipped" if skipped else ""))
    return int(failed > 0 or passed == 0)


if __name__ == "__main__":
    sys.exit(main())
