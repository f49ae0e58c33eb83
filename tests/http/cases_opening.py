"""What the server says of a database that it cannot serve, and of clocks that differ."""
import os
import pathlib
import signal
import sqlite3
import subprocess

from cases_calibrations import bearer, points, post
from client import EXPIRED, Server, expect_problem

NOBODY = 65534  # the user and group of that name on Debian


def start(server, path, *, as_nobody=False, prefix=()):
    """Tries to serve the database at `path`; it must fail at once."""
    who = {"user": NOBODY, "group": NOBODY, "extra_groups": []} if as_nobody and os.getuid() == 0 else {}
    done = subprocess.run([*prefix, server.program, "--listen", "127.0.0.1:0", "--db", str(path)],
                          capture_output=True, text=True, timeout=30, env=server.environment, **who)
    assert done.returncode == 1 and not done.stdout, done
    assert len(done.stderr.splitlines()) == 1 and str(path) in done.stderr, done
    return done.stderr


def folder(server):
    """A folder that every user can enter, with a database of the server's kind in it."""
    path = pathlib.Path(server.db).parent
    path.chmod(0o755)
    return path


def copy(server, name):
    path = folder(server) / name
    done = server.command("backup", str(path))
    assert done.returncode == 0, done
    return path


def case_a_directory_or_a_link_is_no_database(server):
    place = folder(server) / "directory.db"
    place.mkdir()
    assert "is a directory, not a database file" in start(server, place)
    link = folder(server) / "link.db"
    link.symlink_to(copy(server, "linked.db"))
    assert "is a symbolic link, not a database file" in start(server, link)
    pipe = folder(server) / "pipe.db"
    os.mkfifo(pipe)
    assert "is not a regular file" in start(server, pipe)


def case_a_link_among_the_directories_is_fine(server):
    real = folder(server) / "real"
    real.mkdir()
    (folder(server) / "by-link").symlink_to(real)
    other = Server(server.program)
    try:
        other.db = str(folder(server) / "by-link" / "llmquote.db")
        assert other.start().get("/readyz").status == 200
        assert other.stop() == 0
    finally:
        other.close()


def case_a_newer_or_foreign_database_is_left_alone(server):
    newer = copy(server, "newer.db")
    with sqlite3.connect(newer) as database:
        database.execute("PRAGMA user_version = 9999")
    database.close()
    before = newer.read_bytes()
    assert "a newer release wrote it" in start(server, newer)
    foreign = folder(server) / "foreign.db"
    with sqlite3.connect(foreign) as database:
        database.execute("CREATE TABLE t (x)")
    database.close()
    assert "is another program's database" in start(server, foreign)
    assert newer.read_bytes() == before


def case_a_file_that_is_no_database_is_left_alone(server):
    text = folder(server) / "text.db"
    text.write_text("dear diary\n" * 1000)
    assert "not a database" in start(server, text)
    assert text.read_text() == "dear diary\n" * 1000


def case_a_file_without_permission_is_refused(server):
    path = copy(server, "private.db")  # mode 0600, of another user
    if os.getuid() != 0:
        path.chmod(0)
    error = start(server, path, as_nobody=True)
    assert "unable to open database file" in error or "ermission" in error, error
    if os.getuid() == 0:  # else the folder is the user's own
        error = start(server, folder(server) / "new.db", as_nobody=True)
        assert "cannot be created: Permission denied" in error, error


def case_a_read_only_file_is_refused(server):
    path = copy(server, "read-only.db")
    path.chmod(0o444)
    assert "is not writable" in start(server, path, as_nobody=True)


def case_a_read_only_disk_is_refused(server):
    prefix = ["unshare", "--mount", "sh", "-ec",
              'mount --bind "$1" "$1"; mount -o remount,ro,bind "$1"; shift; exec "$@"', "-",
              str(folder(server))]
    path = copy(server, "on-read-only-disk.db")
    if subprocess.run([*prefix, "true"], capture_output=True).returncode != 0:
        return  # no right to mount here
    assert "is not writable" in start(server, path, prefix=prefix)
    error = start(server, folder(server) / "new.db", prefix=prefix)
    assert "cannot be created: Read-only file system" in error, error


def case_a_measurement_from_the_future_is_kept_as_it_says(server):
    (one,) = post(server, [{**points()[0], "measured_at": "2999-01-01T00:00:00Z", "source": "time-traveller"}])["ids"]
    got = server.get(f"/v1/calibrations/{one}").json
    assert got["measured_at"] == "2999-01-01T00:00:00Z" and got["implausible"] is False, got
    newest = [fit for fit in server.get("/v1/fits?limit=1000").json["fits"]
              if "time-traveller" in str(fit)]
    assert newest, "fits rest on it as on any other"


def case_a_second_server_on_a_database_is_refused(server):
    other = Server(server.program)
    try:
        other.start()
        assert "another server uses this database" in start(server, other.db)
        assert other.get("/readyz").status == 200
        for arguments in (("token", "list"), ("check",), ("backup", other.db + ".copy")):
            done = other.command(*arguments)
            assert done.returncode == 0, done  # commands work beside it
        assert "another server uses this database" in start(server, other.db), "also after commands"
        other.stop(signal.SIGKILL)
        assert other.start().get("/readyz").status == 200, "nothing is left of one that was killed"
        assert other.stop() == 0
        assert other.start().get("/readyz").status == 200
        assert other.stop() == 0
    finally:
        other.close()


def case_tokens_expire_by_the_servers_clock(server):
    late = {"Authorization": f"Bearer {server.expired_token('admin')}"}
    expect_problem(server.post("/v1/calibrations", {"points": points()}, late), 401,
                   "token-required", part=f"expired at {EXPIRED}")


def case_what_was_stored_in_the_future_stays(server):
    """The clock was ahead for a while: retention then deletes late, never early."""
    post(server, points(source="ahead"))
    path = copy(server, "ahead.db")
    with sqlite3.connect(path) as database:
        database.execute("UPDATE calibrations SET stored_at_utc = '2999-01-01T00:00:00Z'")
    database.close()
    other = Server(server.program, ["--calibration-retention-days", "1"])
    try:
        os.replace(path, other.db)
        other.start()
        assert other.get("/v1/calibrations?source=ahead").json["calibrations"]
        assert bearer(other) and other.stop() == 0
    finally:
        other.close()
