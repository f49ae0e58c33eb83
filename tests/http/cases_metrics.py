"""What Prometheus is told: that the counters count what happened, once."""
import re
import time

from cases_calibrations import JOB, points, post
from client import Server, wait_until

ARGUMENTS = ["--connections", "40", "--connections-per-address", "3", "--request-deadline-s", "2"]


def metrics(server):
    """Every sample by its name and labels."""
    text = server.get("/metrics").body.decode()
    names = re.findall(r"^# TYPE (\S+)", text, re.MULTILINE)
    assert len(names) == len(set(names)), names
    return {name: float(value) for name, value in
            re.findall(r"^([a-z_]+(?:\{[^}]*\})?) (\S+)$", text, re.MULTILINE)}


def rise(before, after, name):
    return after[name] - before.get(name, 0.0)


def case_requests_count_by_route_and_status(server):
    good = 'llmquote_requests_total{method="POST",route="/v1/estimates",status="200"}'
    bad = good.replace("200", "400")
    before = metrics(server)
    for _ in range(3):
        assert server.post("/v1/estimates", JOB).status == 200
    assert server.post("/v1/estimates", {**JOB, "epochs": -1}).status == 400
    after = metrics(server)
    assert rise(before, after, good) == 3 and rise(before, after, bad) == 1, (before, after)
    hits = 'llmquote_answers_total{cache="hit"}'
    assert rise(before, after, hits) == 2, after[hits]


def case_points_count_once_however_often_they_come(server):
    stored = 'llmquote_points_total{outcome="stored"}'
    duplicate = 'llmquote_points_total{outcome="duplicate"}'
    before = metrics(server)
    key = {"Idempotency-Key": "counted"}
    for _ in range(3):
        post(server, points(source="counted"), **key)
    post(server, points(source="counted"))
    after = metrics(server)
    assert rise(before, after, stored) == 4 and rise(before, after, duplicate) == 12, after


def case_drift_is_of_new_points_against_a_fit_without_them(server):
    post(server, points(source="drift"))
    before = metrics(server)
    later = points(source="drift", sequence_tokens=256)
    post(server, later)
    post(server, later)
    after = metrics(server)
    assert rise(before, after, "llmquote_point_drift_ratio_count") == len(later), after


def case_queues_and_the_age_of_fits_are_there(server):
    post(server, points(source="age"))
    got = metrics(server)
    assert got["llmquote_changes_waiting"] == 0.0, got
    assert got['llmquote_jobs{state="queued"}'] == got['llmquote_jobs{state="running"}'] == 0.0, got
    assert 0 <= time.time() - got["llmquote_fits_timestamp_seconds"] < 60, got
    assert got["llmquote_points_outlying"] == 0.0, got


def case_refused_and_slow_connections_count(server):
    other = Server(server.program, ARGUMENTS).start()
    try:
        slow = 'llmquote_connections_total{outcome="too-slow"}'
        refused = 'llmquote_connections_total{outcome="refused"}'
        with other.connect() as first, other.connect(), other.connect() as third:
            first.send("GET /healthz HTTP/1.1\r\n")
            with other.connect() as fourth:
                assert fourth.read_answer().status == 503
            third.close()
            wait_until(lambda: first.is_closed(), "the slow one to end", 20)
        got = metrics(other)
        assert got[refused] >= 1 and got[slow] >= 1, got
    finally:
        other.close()
