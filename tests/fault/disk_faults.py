#!/usr/bin/env python3
"""Lets writes and flushes of the database fail under a server that is being posted to.

usage: disk_faults.py SERVER FAILING_DISK_LIBRARY [--short] [--seed N]

For each first failing call N: no crash; no acknowledged point is missing, after a restart too; while
nothing can be stored, posts are answered with 503, reads go on; afterwards the server takes points
again, and says in /readyz how it is. Prints TAP and the figures.
"""
import argparse
import json
import pathlib
import random
import re
import signal
import sqlite3
import subprocess
import sys
import threading

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent / "http"), str(HERE.parent)]
sys.dont_write_bytecode = True

from client import Server, wait_until  # noqa: E402  (the path has to be set first)
from figures import record  # noqa: E402
from kill_rounds import documents, point  # noqa: E402

POSTS = 24  # requests of three clients
FAILING = 6  # calls in a row that fail: more than one commit's


def post(server, headers, number):
    return server.post("/v1/calibrations", {"points": [point(number)]}, headers)


class Trial:
    """One server whose calls fail from the N-th on."""

    def __init__(self, options, call, code, first):
        self.name = f"{call} {code} from {first}"
        self.server = Server(options.server, ["--log", "none", "--threads", "4"])
        self.server.start()  # makes the file and a token without faults
        self.headers = self.server.bearer("calibrations:write")
        self.server.stop()
        self.server.environment.update(
            LD_PRELOAD=options.library, LQ_FAIL_CALL=call,
            LQ_FAIL_ERRNO=code, LQ_FAIL_FROM=str(first), LQ_FAIL_COUNT=str(FAILING))
        self.acknowledged = {}
        self.refused = 0
        self.lock = threading.Lock()

    def client(self, number):
        for i in range(number, POSTS, 3):
            answer = post(self.server, self.headers, i)
            with self.lock:
                if answer.status == 201:
                    self.acknowledged[i] = answer.json["ids"][0]
                else:
                    assert answer.status == 503, answer
                    self.refused += 1
            assert self.server.get("/v1/gpus/A40").status == 200

    def run(self):
        """False: the calls of opening failed already, which it said and ended with."""
        try:
            self.server.start()
        except RuntimeError:
            status = self.server.process.wait(30)
            assert status > 0, f"ended by signal {-status}: {self.server.log()[-1000:]}"
            return False
        failures = []

        def guarded(number):
            try:
                self.client(number)
            except Exception as failure:  # noqa: BLE001  told by the trial
                failures.append(repr(failure))

        threads = [threading.Thread(target=guarded, args=(n,)) for n in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not failures, failures
        assert self.server.process.poll() is None, self.server.log()[-1000:]
        self.recover()
        return True

    def recover(self):
        """What fails does so FAILING times, of which some may be left: posts are taken after them."""
        for _ in range(FAILING + 1):
            # the probe of /readyz finds out when it is over
            wait_until(lambda: self.server.get("/readyz").status == 200, "the server to be ready", 20)
            answer = post(self.server, self.headers, 1000)
            if answer.status == 201:
                self.acknowledged[1000] = answer.json["ids"][0]
                return
            assert answer.status == 503, answer
            self.refused += 1
        raise AssertionError(f"posts are still refused: {answer}")

    def judge(self):
        """After kill -9, what was acknowledged is in the file."""
        self.server.stop(signal.SIGKILL)
        database = sqlite3.connect(self.server.db)
        try:
            (verdict,) = database.execute("PRAGMA integrity_check").fetchone()
            assert verdict == "ok", verdict
            for number, one in self.acknowledged.items():
                rows = documents(database, one)
                assert rows == [point(number)], (number, rows)
        finally:
            database.close()

    def close(self):
        self.server.close()


def behind_sanitizers(program, library):
    """What is to be loaded first: a sanitizer's runtime, where the program has one, before ours."""
    needed = subprocess.run(["ldd", program], capture_output=True, text=True, check=True).stdout
    runtimes = re.findall(r"=> (\S*lib[atu]\w*san\S*)", needed)
    return ":".join([*runtimes, str(pathlib.Path(library).resolve())])


def trials(short, seed):
    chosen = random.Random(seed)
    for call, most in (("flush", 30), ("write", 120)):
        for code in ("ENOSPC", "EIO"):
            every = range(1, most + 1)
            for first in sorted(chosen.sample(every, 2)) if short else every:
                yield call, code, first


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("server")
    parser.add_argument("library")
    parser.add_argument("--short", action="store_true")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    options = parser.parse_args()
    options.library = behind_sanitizers(options.server, options.library)
    print(f"# seed {options.seed}", flush=True)
    failures, opened, refused, taken, count = 0, 0, 0, 0, 0
    for count, (call, code, first) in enumerate(trials(options.short, options.seed), 1):
        trial = Trial(options, call, code, first)
        text = ""
        try:
            if trial.run():
                opened += 1
                trial.judge()
            refused += trial.refused
            taken += len(trial.acknowledged)
        except (AssertionError, OSError) as failure:
            failures += 1
            text = f"\n# {failure}"
        finally:
            trial.close()
        print(f"{'not ok' if text else 'ok'} {count} - {trial.name}{text}", flush=True)
    print(f"# {opened} servers opened their files, {taken} posts taken, {refused} refused with 503")
    if opened == 0 or refused == 0:
        print("# nothing failed: the library was not loaded")
        failures += 1
    if not failures:
        record("disk_faults", f"{count} runs, {refused:,} posts refused, {taken:,} kept")
    print(f"1..{count}")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
