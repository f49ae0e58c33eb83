#!/usr/bin/env python3
"""Runs cases of the worker as a program and prints TAP.

usage: run.py WORKER SPOOL_PUT SERVER CASES.py...

Each file is a module whose functions named case_* take a Worker with a folder of its own; the name
states the claim. What a case needs is in worker.py.
"""
import importlib.util
import pathlib
import sys
import traceback

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

from worker import Skip, Worker  # noqa: E402  (the path has to be set first)


def cases_of(path):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return [(f"{path.stem} {name.removeprefix('case_')}", value)
            for name, value in vars(module).items() if name.startswith("case_")]


def main():
    if len(sys.argv) < 5:
        print(__doc__, file=sys.stderr)
        return 2
    programs = [str(pathlib.Path(name).resolve()) for name in sys.argv[1:4]]
    cases = [case for name in sys.argv[4:] for case in cases_of(pathlib.Path(name))]
    print(f"1..{len(cases)}")
    failures = 0
    for number, (label, case) in enumerate(cases, 1):
        worker = Worker(*programs)
        try:
            case(worker)
            print(f"ok {number} - {label}", flush=True)
        except Skip as why:
            print(f"ok {number} - {label} # SKIP {why}", flush=True)
        except Exception:  # noqa: BLE001  a case may fail in any way; each is reported
            failures += 1
            print(f"not ok {number} - {label}", flush=True)
            for line in traceback.format_exc().splitlines():
                print(f"# {line}", flush=True)
        finally:
            worker.close()
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
