"""Backup and check of a database that is in use, retention, and what the health check says."""
import contextlib
import os
import pathlib
import signal
import sqlite3
import subprocess
import threading
import time

from cases_calibrations import POINT, bearer, points, post
from client import Server


def beside(server, name):
    return str(pathlib.Path(server.db).parent / name)


def backup(server, *arguments):
    return server.command("backup", *arguments)


def refused(done, part, status=1):
    assert done.returncode == status and part in done.stderr and not done.stdout, done


def edited(server, name, sql):
    """A backup in which something was changed by hand."""
    path = beside(server, name)
    done = backup(server, path)
    assert done.returncode == 0, done
    with sqlite3.connect(path) as database:
        database.executescript(sql)
    database.close()
    return path


def check(server, path):
    return subprocess.run([server.program, "check", "--db", path], capture_output=True, text=True,
                          timeout=30, env=server.environment)


# Backup

def case_a_backup_is_a_database_that_a_server_goes_on_from(server):
    ids = post(server, points(source="before-backup"))["ids"]
    path = beside(server, "copy.db")
    done = backup(server, path)
    assert done.returncode == 0 and path in done.stdout and not done.stderr, done
    assert os.stat(path).st_mode & 0o777 == 0o600
    assert [name for name in os.listdir(os.path.dirname(path)) if "copy.db" in name] == ["copy.db"]
    assert check(server, path).stdout == f"{path}: ok\n"
    other = Server(server.program)
    try:
        os.replace(path, other.db)
        other.start()
        listed = other.get("/v1/calibrations?source=before-backup").json["calibrations"]
        assert [one["id"] for one in listed] == ids, listed
        token = other.command("token", "list")
        assert "test" in token.stdout, token
        assert other.stop() == 0
    finally:
        other.close()


def case_what_is_acknowledged_before_a_backup_is_in_it_while_others_write(server):
    stop = threading.Event()

    def write():
        number = 0
        while not stop.is_set():
            number += 1
            post(server, [{**POINT, "queries_per_s": 3.0 + number * 1e-6, "source": "writer"}])
    writer = threading.Thread(target=write)
    writer.start()
    try:
        for i in range(3):
            before = len(server.get("/v1/calibrations?source=writer&limit=1000").json["calibrations"])
            path = beside(server, f"busy-{i}.db")
            done = backup(server, path)
            assert done.returncode == 0, done
            with sqlite3.connect(path) as copy:
                (count,) = copy.execute("SELECT count(*) FROM calibrations WHERE source='writer'"
                                        ).fetchone()
            assert count >= before, (count, before)
            assert check(server, path).returncode == 0
    finally:
        stop.set()
        writer.join()


def case_a_backup_replaces_nothing_unless_told_to(server):
    path = beside(server, "kept.db")
    pathlib.Path(path).write_text("mine")
    refused(backup(server, path), "is there already; --force replaces it")
    assert pathlib.Path(path).read_text() == "mine"
    assert backup(server, path, "--force").returncode == 0
    assert check(server, path).returncode == 0


def case_a_backup_never_goes_to_the_database_a_directory_or_a_link(server):
    link = beside(server, "link.db")
    os.symlink(beside(server, "elsewhere.db"), link)
    second_name = beside(server, "second-name.db")
    os.link(server.db, second_name)
    folder = beside(server, "folder")
    os.mkdir(folder)
    size = os.stat(server.db).st_size
    for place, part in ((server.db, "belongs to the database itself"),
                        (server.db + "-wal", "belongs to the database itself"),
                        (server.db + "-journal", "belongs to the database itself"),
                        (second_name, "belongs to the database itself"),
                        (folder, "is a directory"), (link, "is a symbolic link"),
                        (beside(server, "missing/x.db"), "No such file"),
                        (beside(server, "x" * 300), "File name too long")):
        refused(backup(server, place, "--force"), part)
    os.unlink(second_name)
    assert os.stat(server.db).st_size >= size and not os.path.exists(link)
    assert check(server, server.db).returncode == 0


def case_what_another_database_left_is_never_played_into_a_backup(server):
    ids = post(server, points(source="whole"))["ids"]
    other = Server(server.program).start()
    try:
        post(other, points(source="lost"))
        refused(backup(server, other.db, "--force"), "is the database of a running server")
        other.stop(signal.SIGKILL)
        assert os.path.getsize(other.db + "-wal") > 0, "nothing to play"
        os.unlink(other.db)
        refused(backup(server, other.db), "of another database; --force removes it")
        done = backup(server, other.db, "--force")
        assert done.returncode == 0 and not os.path.exists(other.db + "-wal"), done
        assert check(server, other.db).returncode == 0
        other.start()
        listed = other.get("/v1/calibrations?source=whole").json["calibrations"]
        assert [one["id"] for one in listed] == ids, listed
        assert not other.get("/v1/calibrations?source=lost").json["calibrations"]
    finally:
        other.close()


def case_nothing_is_acknowledged_once_another_file_stands_in_the_databases_place(server):
    other = Server(server.program).start()
    try:
        post(other, points())
        copy = beside(server, "instead.db")
        assert backup(server, copy).returncode == 0
        os.replace(copy, other.db)
        answer = other.post("/v1/calibrations", {"points": points(source="later")}, bearer(other))
        assert answer.status == 503, answer
        assert other.get("/readyz").status == 503
    finally:
        other.close()


def case_the_partial_file_is_never_the_database(server):
    name = beside(server, "tricky")
    os.link(server.db, name + ".partial")
    refused(backup(server, name, "--force"), "belongs to the database itself")
    os.unlink(name + ".partial")
    assert check(server, server.db).returncode == 0


def case_only_one_backup_goes_to_a_file_at_a_time(server):
    import fcntl
    name = beside(server, "twice.db")
    with open(name + ".partial", "wb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        refused(backup(server, name), "another backup is writing it")
    assert backup(server, name).returncode == 0, "a partial file that was left is taken over"
    assert not os.path.exists(name + ".partial")


def case_a_backup_that_is_killed_leaves_what_was_there(server):
    path = beside(server, "killed.db")
    assert backup(server, path).returncode == 0
    for after_s in (0.0, 0.002, 0.005, 0.01, 0.02):
        process = subprocess.Popen([server.program, "backup", path, "--force", "--db", server.db],
                                   stdout=subprocess.DEVNULL)
        time.sleep(after_s)
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert check(server, path).stdout == f"{path}: ok\n", after_s
    assert backup(server, path, "--force").returncode == 0


def case_a_backup_onto_a_full_file_system_fails_and_leaves_nothing(server):
    path = beside(server, "full.db")
    done = subprocess.run(["bash", "-c", 'trap "" XFSZ; ulimit -f 64; exec "$@"', "-", server.program,
                           "backup", path, "--db", server.db], capture_output=True, text=True)
    refused(done, "cannot be copied to")
    assert not os.path.exists(path) and not os.path.exists(path + ".partial")


def case_a_missing_or_foreign_database_is_not_backed_up(server):
    path = beside(server, "none.db")
    done = subprocess.run([server.program, "backup", path, "--db", beside(server, "nothing.db")],
                          capture_output=True, text=True)
    refused(done, "No such file")
    assert not os.path.exists(beside(server, "nothing.db")) and not os.path.exists(path)
    foreign = beside(server, "foreign.db")
    with sqlite3.connect(foreign) as database:
        database.execute("CREATE TABLE t (x)")
    database.close()
    done = subprocess.run([server.program, "backup", path, "--db", foreign], capture_output=True,
                          text=True)
    refused(done, "another program's database")
    assert not os.path.exists(path) and not os.path.exists(path + ".partial")


def case_bad_arguments_are_usage_faults(server):
    for arguments in (["backup"], ["backup", "a", "b"], ["backup", ""], ["check", "x"],
                      ["check", "--force"], ["backup", "a", "--nonsense"], ["healthcheck", "x"]):
        done = server.command(*arguments)
        assert done.returncode == 2 and done.stderr, (arguments, done)


# Check

def case_a_database_in_use_is_whole(server):
    done = server.command("check")
    assert done.returncode == 0 and done.stdout == f"{server.db}: ok\n", done


def case_check_says_what_is_wrong(server):
    post(server, points(source="to-check"))
    for i, (sql, part) in enumerate((
            ("UPDATE settings SET optimizer = 'hope'", "hope"),
            ("UPDATE calibrations SET document_json = '{' WHERE source = 'to-check'", "not JSON: 4"),
            ("UPDATE calibrations SET digest_key = 7 WHERE source = 'to-check' AND sequence_number ="
             " (SELECT max(sequence_number) FROM calibrations)", "id is not of their digest: 1"),
            ("DELETE FROM settings", "settings are not there"),
            ("DELETE FROM seed_state", "seed_state has not exactly one row"),
            ("UPDATE tokens SET scopes_list = ''", "tokens without a hash or a scope"),
            ("PRAGMA foreign_keys = OFF; INSERT INTO outcomes (estimate_id, cost_usd, recorded_at_utc)"
             " VALUES ('gone', 1.0, '')", "a row of outcomes names a row of kept_estimates"))):
        path = edited(server, f"wrong-{i}.db", sql)
        done = check(server, path)
        assert done.returncode == 1 and part in done.stdout, (sql, done)


def case_check_finds_damaged_pages(server):
    path = edited(server, "damaged.db", "")
    with open(path, "r+b") as file:
        file.seek(4096 * 20)
        file.write(b"\xa5" * 4096 * 4)
    done = check(server, path)
    assert done.returncode == 1 and (done.stdout or "malformed" in done.stderr), done
    refused(subprocess.run([server.program, "backup", path + ".copy", "--db", path],
                           capture_output=True, text=True), "")
    assert not os.path.exists(path + ".copy")


def case_what_is_no_database_cannot_be_checked(server):
    text = beside(server, "text.db")
    pathlib.Path(text).write_text("not a database at all" * 100)
    refused(check(server, text), "not a database")
    empty = beside(server, "empty.db")
    pathlib.Path(empty).touch()
    refused(check(server, empty), "is empty")
    refused(check(server, beside(server, "missing.db")), "No such file")
    newer = edited(server, "newer.db", "PRAGMA user_version = 9999")
    refused(check(server, newer), "a newer release wrote it")


# Health

def case_the_health_check_tells_ready_from_not(server):
    listen = "{}:{}".format(*server.address)
    run = [server.program, "healthcheck", "--listen"]
    done = subprocess.run([*run, listen], capture_output=True, text=True, timeout=30)
    assert done.returncode == 0 and done.stdout == "ready\n", done
    done = subprocess.run([*run, f"0.0.0.0:{server.address[1]}"], capture_output=True, text=True)
    assert done.returncode == 0, done
    refused(subprocess.run([*run, "127.0.0.1:1"], capture_output=True, text=True),
            "127.0.0.1:1: Connection refused")
    aside = server.db + ".aside"
    os.rename(server.db, aside)
    try:
        refused(subprocess.run([*run, listen], capture_output=True, text=True), "not ready: HTTP/1.1 503")
    finally:
        os.rename(aside, server.db)


# Retention

@contextlib.contextmanager
def going_on(server, path, days):
    """Another server on a copy of a database, which keeps points for so many days."""
    other = Server(server.program, ["--calibration-retention-days", days])
    try:
        pathlib.Path(other.db).write_bytes(pathlib.Path(path).read_bytes())
        other.start()
        other.settle()
        yield other
    finally:
        other.close()


def case_posted_calibrations_go_when_their_time_is_over_and_shipped_ones_never(server):
    path = edited(server, "aged.db", "UPDATE calibrations SET stored_at_utc = '2001-01-01T00:00:00Z'")
    for days, kept in (("0", True), ("36500", True), ("9000", False)):
        with going_on(server, path, days) as other:
            listed = other.get("/v1/calibrations?limit=1000").json["calibrations"]
            posted = [one for one in listed if not one["shipped"]]
            assert len(listed) - len(posted) >= 100 and bool(posted) == kept, (days, len(posted))
            assert ('"expired"' in other.log()) != kept, other.log()
            other.stop()


def case_answers_under_a_key_go_with_the_time_of_points(server):
    post(server, points(), **{"Idempotency-Key": "old-one"})
    path = edited(server, "answered.db", "UPDATE receipts SET stored_at_utc = '2001-01-01T00:00:00Z'")
    with going_on(server, path, "9000") as other:
        other.stop()
        with sqlite3.connect(other.db) as database:
            (left,) = database.execute("SELECT count(*) FROM receipts").fetchone()
        database.close()
        assert left == 0, left


def settings_of(server, name):
    """How many settings a copy of the database has."""
    path = edited(server, name, "")
    with sqlite3.connect(path) as database:
        (count,) = database.execute("SELECT count(*) FROM settings").fetchone()
    database.close()
    return count


def case_settings_go_with_the_last_of_their_points(server):
    other = Server(server.program).start()
    try:
        before = settings_of(other, "before.db")
        ids = post(other, points())["ids"]
        with_points = settings_of(other, "with.db")
        assert with_points > before, (before, with_points)
        for i, one in enumerate(ids):
            assert settings_of(other, f"left-{i}.db") > before
            assert other.delete(f"/v1/calibrations/{one}", bearer(other)).status == 204
        assert settings_of(other, "after.db") == before
    finally:
        other.close()


def case_settings_go_when_the_time_of_their_points_is_over(server):
    path = edited(server, "old.db", "UPDATE calibrations SET stored_at_utc = '2001-01-01T00:00:00Z'")
    with going_on(server, path, "9000") as other:
        fresh = Server(server.program).start()
        try:
            assert settings_of(other, "expired.db") == settings_of(fresh, "fresh.db")
        finally:
            fresh.close()


def case_a_fresh_calibration_stays(server):
    other = Server(server.program, ["--calibration-retention-days", "1"]).start()
    try:
        ids = post(other, points())["ids"]
        other.stop()
        other.start()
        assert all(other.get(f"/v1/calibrations/{one}").status == 200 for one in ids)
        assert bearer(other)
        other.stop()
    finally:
        other.close()
