"""HTTPS: versions, certificates, deadlines, and what is said about files that cannot be used."""
import pathlib
import socket
import ssl
import subprocess
import threading
import time

from client import wait_until

HERE = pathlib.Path(__file__).resolve().parent / "tls"
CERT, KEY, OTHER_CERT, OTHER_KEY = (
    str(HERE / name) for name in ("cert.pem", "key.pem", "other-cert.pem", "other-key.pem"))
ARGUMENTS = ["--tls-cert", CERT, "--tls-key", KEY, "--request-deadline-s", "2"]
ONE = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"


def connect(server, **versions):
    context = ssl.create_default_context(cafile=CERT)
    for name, value in versions.items():
        setattr(context, name, value)
    plain = socket.create_connection(server.address, timeout=20)
    try:
        return context.wrap_socket(plain, server_hostname="localhost")
    except BaseException:
        plain.close()
        raise


def read_answer(secured):
    data = b""
    while not data.endswith(b'"}'):
        piece = secured.recv(65536)
        assert piece, data
        data += piece
    return data


def case_requests_are_answered_over_tls_1_2_and_1_3(server):
    for version, name in ((ssl.TLSVersion.TLSv1_2, "TLSv1.2"), (ssl.TLSVersion.TLSv1_3, "TLSv1.3")):
        with connect(server, minimum_version=version, maximum_version=version) as secured:
            assert secured.version() == name
            for _ in range(3):
                secured.sendall(ONE)
                answer = read_answer(secured)
                assert answer.startswith(b"HTTP/1.1 200 "), answer
                assert b"\r\nStrict-Transport-Security: max-age=" in answer, answer


def case_many_requests_on_one_connection_are_pipelined(server):
    with connect(server) as secured:
        secured.sendall(ONE * 50)
        data = b""
        while data.count(b'{"status":"ok"}') < 50:
            piece = secured.recv(65536)
            assert piece, data[-300:]
            data += piece


def case_older_versions_are_refused(server):
    try:
        with connect(server, minimum_version=ssl.TLSVersion.TLSv1,
                     maximum_version=ssl.TLSVersion.TLSv1_1):
            raise AssertionError("TLS 1.1 was spoken")
    except (ssl.SSLError, OSError, ValueError):
        pass


def case_plain_http_is_not_answered(server):
    with server.connect() as connection:
        connection.send(ONE)
        assert b"HTTP/1.1 200" not in connection.stream.read()


def ends(server, piece):
    """Seconds until a connection that sends this, and then nothing, is ended."""
    start = time.monotonic()
    with server.connect() as connection:
        connection.send(piece)
        try:
            connection.stream.read()
        except OSError:
            pass
    return time.monotonic() - start


def case_handshakes_end_at_the_deadline(server):
    for piece in (b"", b"\x16\x03\x01"):
        assert 1.5 < ends(server, piece) < 15.0


def case_slow_heads_end_at_the_deadline_inside_tls_too(server):
    with connect(server) as secured:
        start = time.monotonic()
        secured.sendall(b"GET /healthz HTTP/1.1\r\nHost: ")
        try:
            assert secured.recv(100) == b""
        except (ssl.SSLError, OSError):
            pass
        assert 1.0 < time.monotonic() - start < 15.0


def case_files_that_cannot_be_used_are_named(server):
    folder = pathlib.Path(server.folder.name)
    (folder / "empty").write_text("")
    (folder / "text").write_text("-----BEGIN NOTHING-----\n")
    missing, empty, text = (str(folder / name) for name in ("missing", "empty", "text"))
    for cert, key, parts in ((missing, KEY, (missing, "No such file")),
                             (CERT, missing, (missing, "No such file")),
                             (str(folder), KEY, (str(folder), "directory")),
                             (empty, KEY, (empty, "no certificate")),
                             (text, KEY, (text, "no certificate")),
                             (CERT, text, (text, "no private key")),
                             (CERT, CERT, (CERT, "no private key")),
                             (CERT, OTHER_KEY, (OTHER_KEY, "not the key of the certificate"))):
        done = subprocess.run([server.program, "--listen", "127.0.0.1:0", "--db", server.db + ".tls",
                               "--tls-cert", cert, "--tls-key", key],
                              capture_output=True, text=True, timeout=30)
        assert done.returncode == 1, (cert, key, done)
        assert all(part in done.stderr for part in parts), (parts, done.stderr)
    done = subprocess.run([server.program, "--tls-cert", CERT], capture_output=True, text=True, timeout=30)
    assert done.returncode == 2 and "needed together" in done.stderr, done


def case_it_still_serves_after_all_that(server):
    def served():
        with connect(server) as secured:
            secured.sendall(ONE)
            return read_answer(secured).startswith(b"HTTP/1.1 200 ")

    wait_until(served, "an answer")


def healthcheck(server, cert):
    done = subprocess.run([server.program, "healthcheck", "--listen", "%s:%d" % server.address,
                           "--tls-cert", cert, "--tls-key", KEY], capture_output=True, text=True,
                          timeout=30, check=False)
    return done.returncode, done.stdout + done.stderr


def case_healthcheck_speaks_tls_and_knows_the_certificate(server):
    assert healthcheck(server, CERT) == (0, "ready\n")


def case_healthcheck_refuses_another_certificate(server):
    status, said = healthcheck(server, OTHER_CERT)
    assert status != 0 and "another certificate" in said, (status, said)


def case_healthcheck_names_a_certificate_it_cannot_read(server):
    status, said = healthcheck(server, "/nowhere/cert.pem")
    assert status != 0 and "/nowhere/cert.pem" in said, (status, said)


def case_healthcheck_ends_where_an_answer_trickles(server):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        def trickle():
            peer, _ = listener.accept()
            with peer:
                try:
                    for _ in range(40):
                        peer.sendall(b"H")
                        time.sleep(0.5)
                except OSError:
                    pass

        threading.Thread(target=trickle, daemon=True).start()
        start = time.monotonic()
        done = subprocess.run([server.program, "healthcheck", "--listen",
                               "127.0.0.1:%d" % listener.getsockname()[1]], capture_output=True,
                              text=True, timeout=30, check=False)
        assert done.returncode != 0 and "no answer in time" in done.stderr, done
        assert time.monotonic() - start < 15
