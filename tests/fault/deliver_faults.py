#!/usr/bin/env python3
"""Delivers points while everything on their way is killed: each must be stored exactly once.

usage: deliver_faults.py SERVER WORKER SPOOL_PUT [--short] [--seed N]

A real server is killed (SIGKILL) and started again at random moments of its requests, a proxy of
ours drops one answer in ten after the server has committed, and the worker is killed at random
moments too, while it keeps points as well as while it delivers them. Prints TAP and the figures;
a run's choices follow from its seed, its timing does not.
"""
import argparse
import http.client
import http.server
import json
import pathlib
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "http"))
sys.dont_write_bytecode = True

from client import Server  # noqa: E402  (the path has to be set first)

DROP_EVERY = 10  # answers
SPARE_ROUNDS = 20  # at most, where chance did not have everything killed as often as planned
IDENTITIES = [("llama-3.1-8b", "L40S"), ("llama-3.1-8b", "A40"), ("mixtral-8x7b", "A40"),
              ("mixtral-8x7b", "L40S")]


class Plan:
    """How much of everything a run does."""

    def __init__(self, short, seed):
        self.seed = seed
        self.points = 1200 if short else 10000
        self.rounds = 2 if short else 16  # points are kept and delivered in that many portions,
        # each of more than one batch
        self.server_kills = 3 if short else 20
        self.worker_kills = 3 if short else 20
        self.put_kills = 1 if short else 5


def point(i):
    model, gpu = IDENTITIES[i % len(IDENTITIES)]
    batch = 1 + i % 32
    return {"model": model, "gpu": gpu, "method": {"kind": "lora", "rank": 16}, "stack": "torchtune",
            "batch_size": batch, "sequence_tokens": 512, "source": "fault",
            "step_time_s": round((0.2 + 2e-3 * batch) * (1 + 1e-6 * i), 12)}


class Killable:
    """The server, which may be killed and is started again at once."""

    def __init__(self, program):
        self.server = Server(program, ["--log", "none"]).start()
        self.lock = threading.Lock()
        self.kills = 0

    def kill(self):
        with self.lock:
            self.server.stop(signal.SIGKILL)
            self.kills += 1
            self.server.start()

    @property
    def address(self):
        with self.lock:  # waits for the restart
            return self.server.address


class Proxy(http.server.ThreadingHTTPServer):
    """Passes requests on to the server, drops answers, and has the server killed meanwhile."""
    daemon_threads = True

    def __init__(self, target, chance):
        super().__init__(("127.0.0.1", 0), Passer)
        self.target = target
        self.chance = chance
        self.kills_left = 0  # one at each of the next requests
        self.usual_s = 0.2  # that a request takes
        self.drop_at = chance.randrange(3)  # a short run drops an answer, too
        self.dropped = self.passed = 0
        self.bodies = {}  # key -> all bodies sent under it
        self.keys = {}  # point -> all keys it was sent under
        self.guard = threading.Lock()
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}"

    def note(self, key, body):
        """Remembers what is sent under which key; returns in how many seconds to kill the server,
        or None."""
        with self.guard:
            self.bodies.setdefault(key, set()).add(body)
            for one in json.loads(body)["points"]:
                self.keys.setdefault(json.dumps(one), set()).add(key)
            if self.kills_left == 0:
                return None
            self.kills_left -= 1
            return self.chance.uniform(0, 1.3 * self.usual_s)

    def drops(self):
        """Whether an answer that came is dropped: one in ten."""
        with self.guard:
            drop = (self.passed + self.dropped) % DROP_EVERY == self.drop_at
            self.dropped += drop
            self.passed += not drop
            return drop

    def handle_error(self, request, client_address):
        """The worker was killed: its connection is gone."""


class Passer(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):  # noqa: N802  (the name is the library's)
        body = self.rfile.read(int(self.headers["Content-Length"]))
        proxy = self.server
        kill_s = proxy.note(self.headers["Idempotency-Key"], body)
        killer = None
        if kill_s is not None:
            killer = threading.Timer(kill_s, proxy.target.kill)
            killer.start()
        answer = self.forward(body)
        if killer is not None:
            killer.join()
        if answer is None or proxy.drops():
            self.close_connection = True
            return
        status, kind, text = answer
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def forward(self, body):
        proxy = self.server
        connection = http.client.HTTPConnection(*proxy.target.address, timeout=60)
        headers = {name: self.headers[name] for name in
                   ("Authorization", "Content-Type", "Idempotency-Key")}
        begin = time.monotonic()
        try:
            connection.request("POST", self.path, body, headers)
            answer = connection.getresponse()
            got = answer.status, answer.headers["Content-Type"], answer.read()
            proxy.usual_s = 0.5 * proxy.usual_s + 0.5 * (time.monotonic() - begin)
            return got
        except (OSError, http.client.HTTPException):
            return None
        finally:
            connection.close()

    def log_message(self, *arguments):
        """Says nothing."""


class Run:
    def __init__(self, programs, plan, folder):
        self.plan = plan
        self.chance = random.Random(plan.seed)
        self.target = Killable(programs.server)
        self.proxy = Proxy(self.target, random.Random(plan.seed + 1))
        self.worker, self.put = programs.worker, programs.spool_put
        self.spool = str(pathlib.Path(folder) / "spool")
        token = pathlib.Path(folder) / "token"
        token.write_text(self.target.server.token("calibrations:write") + "\n")
        self.token = str(token)
        self.worker_kills = self.put_kills = self.starts = 0
        self.points = 0  # delivered in all

    def keep(self, points, kill):
        """Keeps points in the spool; with `kill` the program is killed on the way."""
        lines = [json.dumps(one, separators=(",", ":")) for one in points]
        stop_at = self.chance.randrange(1, len(lines)) if kill else None
        with subprocess.Popen([self.put, self.spool], stdin=subprocess.PIPE,
                              stdout=subprocess.PIPE, text=True) as process:
            feed = threading.Thread(target=self.feed, args=(process, lines), daemon=True)
            feed.start()
            kept = 0
            for line in process.stdout:
                kept = int(line.split()[1])
                if kept == stop_at:
                    process.kill()
                    self.put_kills += 1
                    stop_at = None
            feed.join()
        if kept < len(points):
            assert kill, f"only {kept} of {len(points)} points were kept"
            self.keep(points[kept:], False)

    @staticmethod
    def feed(process, lines):
        try:
            process.stdin.write("\n".join(lines) + "\n")
            process.stdin.close()
        except OSError:
            pass

    def deliver(self, kills):
        """Runs the worker until it has delivered all; kills it that often."""
        while True:
            self.starts += 1
            with subprocess.Popen([self.worker, "deliver", "--server", self.proxy.url, "--spool",
                                   self.spool, "--token-file", self.token, "--give-up", "120"],
                                  stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
                if kills > 0:
                    time.sleep(self.chance.uniform(0, 3.0 * self.proxy.usual_s))
                    if process.poll() is None:
                        process.kill()
                        self.worker_kills += 1
                    kills -= 1
                status = process.wait(300)
            if status == 0:
                return
            assert status == -signal.SIGKILL, f"the worker ended with status {status}"

    def go(self):
        plan = self.plan
        size = plan.points // plan.rounds
        number = 0
        while number < plan.rounds or (self.lacks() and number < plan.rounds + SPARE_ROUNDS):
            left = max(plan.rounds - number, 1)
            self.proxy.kills_left = -(-(plan.server_kills - self.target.kills) // left)
            portion = [point(i) for i in range(number * size, (number + 1) * size)]
            self.keep(portion, self.put_kills < plan.put_kills and
                      (number % 2 == 0 or number >= plan.rounds))
            worker_kills = -(-(plan.worker_kills - self.worker_kills) // left)
            self.deliver(worker_kills)
            number += 1
        self.points = number * size

    def lacks(self):
        """What chance has left undone: a worker that was done before it could be killed, ..."""
        plan = self.plan
        return (self.target.kills < plan.server_kills or self.worker_kills == 0
                or self.put_kills < plan.put_kills or self.proxy.dropped == 0)

    def stored(self):
        """The documents of all rows of ours."""
        self.target.server.settle()
        rows, cursor = [], ""
        while cursor is not None:
            page = self.target.server.get(f"/v1/calibrations?source=fault&limit=1000{cursor}").json
            rows += page["calibrations"]
            cursor = page["next_cursor"] and f"&cursor={page['next_cursor']}"
        return rows


def claim(number, name, holds, text):
    print(f"{'ok' if holds else 'not ok'} {number} - {name}\n# {text}", flush=True)
    return holds


def identity(one):
    return one["model"], one["gpu"], one["batch_size"], round(one["step_time_s"], 11)


def judge(run):
    plan = run.plan
    rows = run.stored()
    got = {identity(row) for row in rows}
    want = {identity(point(i)) for i in range(run.points)}
    # the append that a kill hits may have kept its point, which is then kept once more
    twice = sum(len(keys) > 1 for keys in run.proxy.keys.values())
    changed = sum(len(bodies) > 1 for bodies in run.proxy.bodies.values())
    holds = [claim(1, "no_point_is_lost", want <= got,
                   f"{len(want & got)} of {run.points} points are stored"),
             claim(2, "no_point_is_stored_twice", len(rows) == run.points,
                   f"{len(rows)} rows"),
             claim(3, "what_is_sent_again_is_the_same_to_the_byte",
                   changed == 0 and twice <= run.put_kills,
                   f"{changed} keys with two bodies, {twice} points under two keys (at most "
                   f"{run.put_kills}: kept twice, as their append was killed)"),
             claim(4, "everything_was_killed_as_often_as_planned",
                   not run.lacks(),
                   f"killed: server {run.target.kills}, worker delivering {run.worker_kills}, "
                   f"worker keeping {run.put_kills}; dropped {run.proxy.dropped} answers of "
                   f"{run.proxy.dropped + run.proxy.passed}")]
    return all(holds)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("server")
    parser.add_argument("worker")
    parser.add_argument("spool_put")
    parser.add_argument("--short", action="store_true")
    parser.add_argument("--seed", type=int, default=int(time.time()))
    programs = parser.parse_args()
    plan = Plan(programs.short, programs.seed)
    print(f"1..4\n# seed {plan.seed}; --seed {plan.seed} makes the same choices", flush=True)
    begin = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="llmquote-faults-") as folder:
        run = Run(programs, plan, folder)
        try:
            run.go()
            passed = judge(run)
        finally:
            run.proxy.shutdown()
            run.target.server.close()
    print(f"# {run.points} points in {time.monotonic() - begin:.1f} s, {run.starts} starts of the "
          "worker")
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
