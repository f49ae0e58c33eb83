#!/usr/bin/env python3
"""Kills a server (SIGKILL) while several clients post to it, round after round.

usage: kill_rounds.py SERVER [--rounds N] [--seed N]

After each restart every point that was acknowledged is there, under the id of its receipt; requests
without an answer are repeated under their Idempotency-Key, and no point is there twice; and SQLite
finds its file whole. Prints TAP and the figures; choices follow from the seed, timing does not.
"""
import argparse
import http.client
import json
import pathlib
import random
import sqlite3
import sys
import threading
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent / "http"), str(HERE.parent)]
sys.dont_write_bytecode = True

from client import Server  # noqa: E402  (the path has to be set first)
from figures import record  # noqa: E402

POSTERS = 6
LIFE_S = (0.02, 0.25)  # of a server under load, drawn anew each round
SERIES = 50  # rounds on one database: what a start reads grows with each
CHECKED_AT_ONCE = 400  # acknowledged points that are looked up in each round, beside the new ones


def point(number):
    batch = 1 + number % 32
    return {"model": "llama-3.1-8b", "gpu": "L40S", "method": {"kind": "lora", "rank": 16},
            "stack": "torchtune", "batch_size": batch, "sequence_tokens": 512, "source": "fault",
            "step_time_s": round((0.2 + 2e-3 * batch) * (1 + 1e-7 * number), 12)}


def documents(database, identifier):
    """The points that the file has under a posted point's id, by the index that the server uses."""
    key = int.from_bytes(bytes.fromhex(identifier.removeprefix("cal-")), "big", signed=True)
    return [json.loads(row) for (row,) in database.execute(
        "SELECT document_json FROM calibrations WHERE digest_key = ?", (key,))]


class Poster(threading.Thread):
    """Posts batches of its own until the server is gone; remembers what was answered."""

    def __init__(self, campaign, number):
        super().__init__(daemon=True)
        self.campaign = campaign
        self.number = number
        self.open = None  # the request without an answer: key, body, the points' numbers
        self.random = random.Random(campaign.seed * 1000 + number)

    def next_request(self):
        count = self.random.choice((1, 1, 1, 2, 20))
        numbers = self.campaign.take_numbers(count)
        body = json.dumps({"points": [point(n) for n in numbers]})
        return f"round-{numbers[0]}", body, numbers

    def post(self, connection, request):
        key, body, numbers = request
        connection.request("POST", "/v1/calibrations", body,
                           {**self.campaign.headers, "Idempotency-Key": key})
        response = connection.getresponse()
        answer = json.loads(response.read())
        assert response.status == 201, answer
        self.campaign.acknowledge(numbers, answer["ids"])

    def run(self):
        connection = http.client.HTTPConnection(*self.campaign.server.address, timeout=30)
        try:
            while True:
                self.open = self.open or self.next_request()
                self.post(connection, self.open)
                self.open = None
        except (OSError, http.client.HTTPException, ValueError):
            pass  # killed in the middle
        finally:
            connection.close()


class Campaign:
    def __init__(self, program, seed):
        self.seed = seed
        self.random = random.Random(seed)
        self.server = Server(program, ["--log", "none", "--threads", "8"]).start()
        self.headers = {**self.server.bearer("calibrations:write"),
                        "Content-Type": "application/json"}
        self.lock = threading.Lock()
        self.next_number = 0
        self.acknowledged = {}  # number -> id
        self.fresh = []  # of this round
        self.failure = None
        self.repeated = 0

    def take_numbers(self, count):
        with self.lock:
            first = self.next_number
            self.next_number += count
        return list(range(first, first + count))

    def acknowledge(self, numbers, ids):
        with self.lock:
            for number, one in zip(numbers, ids, strict=True):
                assert self.acknowledged.setdefault(number, one) == one, (number, one)
                self.fresh.append(number)

    def round(self, left_open):
        """One life of the server. Returns the requests that got no answer."""
        posters = [Poster(self, number) for number in range(POSTERS)]
        for poster, request in zip(posters, left_open):
            poster.open = request
            self.repeated += request is not None
        for poster in posters:
            poster.start()
        time.sleep(self.random.uniform(*LIFE_S))
        self.server.process.kill()
        self.server.process.wait()
        self.server.process.stdout.close()
        for poster in posters:
            poster.join(30)
        return [poster.open for poster in posters]

    def judge(self, whole):
        """What the file holds of what was acknowledged: the new points and some, or all, others."""
        database = sqlite3.connect(self.server.db)
        try:
            (verdict,) = database.execute("PRAGMA integrity_check").fetchone()
            assert verdict == "ok", verdict
            numbers = list(self.acknowledged) if whole else self.fresh + self.random.sample(
                sorted(self.acknowledged), min(CHECKED_AT_ONCE, len(self.acknowledged)))
            for number in numbers:
                rows = documents(database, self.acknowledged[number])
                assert len(rows) == 1, f"point {number} was acknowledged and is not there"
                assert rows[0] == point(number), (number, rows)
            (rows, different) = database.execute(
                "SELECT count(*), count(DISTINCT document_json) FROM calibrations"
                " WHERE source = 'fault'").fetchone()
            assert rows == different, f"{rows - different} points are there twice"
            assert rows >= len(self.acknowledged), (rows, len(self.acknowledged))
            self.fresh = []
            return rows
        finally:
            database.close()

    def go(self, rounds):
        left_open = [None] * POSTERS
        for _ in range(rounds):
            left_open = self.round(left_open)
            self.judge(whole=False)
            self.server.start()
        # the last open requests are answered too
        for request in left_open:
            if request is not None:
                connection = http.client.HTTPConnection(*self.server.address, timeout=30)
                Poster(self, 99).post(connection, request)
                connection.close()
        self.server.stop()
        rows = self.judge(whole=True)
        assert rows == self.next_number == len(self.acknowledged), (
            rows, self.next_number, len(self.acknowledged))
        return rows


def run(program, rounds, seed):
    """Campaigns of at most SERIES rounds, each on a database of its own: (rows, requests repeated)."""
    rows = repeated = 0
    for done in range(0, rounds, SERIES):
        campaign = Campaign(program, seed + done)
        try:
            rows += campaign.go(min(SERIES, rounds - done))
            repeated += campaign.repeated
        except AssertionError as failure:
            raise AssertionError(f"{failure}\n# {campaign.server.log()[-2000:]}") from failure
        finally:
            campaign.server.close()
        if rounds > SERIES:
            print(f"# {min(done + SERIES, rounds)} rounds, {rows} points", flush=True)
    return rows, repeated


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("server")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    options = parser.parse_args()
    print(f"# seed {options.seed}", flush=True)
    text, good = "", True
    try:
        rows, repeated = run(options.server, options.rounds, options.seed)
        text = (f"{options.rounds} kills, {rows} points stored once each, "
                f"{repeated} requests repeated")
        record("kill_rounds", f"{options.rounds:,} rounds, {rows:,} points once each")
    except AssertionError as failure:
        good, text = False, str(failure)
    print(f"{'ok' if good else 'not ok'} 1 - every acknowledged point survives kill -9, once\n"
          f"# {text}\n1..1")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
