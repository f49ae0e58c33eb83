#!/usr/bin/env python3
"""Runs HTTP cases against the built server and prints TAP.

usage: run.py SERVER [CASES.py...]

Each file is a module whose functions named case_* take the running server; the name states the
claim. Without files every cases_*.py beside this script runs. A file that sets ARGUMENTS (a list)
has its server started with these. What a case needs is in client.py.
"""
import importlib.util
import pathlib
import sys
import traceback

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
sys.dont_write_bytecode = True

from client import Server  # noqa: E402  (the path has to be set first)


def load(path):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def cases_of(module):
    return [(name, value) for name, value in vars(module).items() if name.startswith("case_")]


def run_file(program, path, number):
    """Runs one file's cases on one server; returns the last test number and the failures."""
    module = load(path)
    server = Server(program, getattr(module, "ARGUMENTS", []))
    failures = 0
    try:
        server.start()
        for name, case in cases_of(module):
            number += 1
            label = f"{path.stem} {name.removeprefix('case_')}"
            try:
                case(server)
                assert server.process.poll() is None, "the server has ended"
                print(f"ok {number} - {label}", flush=True)
            except Exception:  # noqa: BLE001  a case may fail in any way; each is reported
                failures += 1
                print(f"not ok {number} - {label}", flush=True)
                for line in traceback.format_exc().splitlines():
                    print(f"# {line}", flush=True)
        status = server.stop()
        number += 1
        passed = status == 0
        failures += not passed
        print(f"{'ok' if passed else 'not ok'} {number} - {path.stem} server_ends_with_status_0",
              flush=True)
        if not passed:
            print(f"# exit status {status}\n# " + server.log()[-4000:].replace("\n", "\n# "))
    finally:
        server.close()
    return number, failures


def main():
    if len(sys.argv) < 2:
        print(__doc__, file=sys.stderr)
        return 2
    program = pathlib.Path(sys.argv[1]).resolve()
    files = [pathlib.Path(name) for name in sys.argv[2:]] or sorted(HERE.glob("cases_*.py"))
    number = failures = 0
    for path in files:
        number, failed = run_file(program, path, number)
        failures += failed
    print(f"1..{number}")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
