"""Prints GET /v1/validation of a fresh server as a table: each estimator on each stored set.

Usage: validate.py SERVER_PROGRAM
"""

import json
import pathlib
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

START_S = 30


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def ask(server, url):
    """The answer, once the server listens."""
    give_up = time.monotonic() + START_S
    while True:
        try:
            with urllib.request.urlopen(url, timeout=START_S) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            sys.exit(f"{url}: {error.status} {error.read().decode()}")
        except urllib.error.URLError as error:
            if server.poll() is not None or time.monotonic() > give_up:
                sys.exit(f"{url}: {error.reason}")
            time.sleep(0.05)


def text(value):
    return f"{value:.4g}" if isinstance(value, float) else "" if value is None else str(value)


def print_table(rows):
    """Rows are objects; their plain members are the columns, in the order of the answer."""
    columns = [name for name, value in rows[0].items() if not isinstance(value, (dict, list))]
    table = [columns] + [[text(row.get(name)) for name in columns] for row in rows]
    widths = [max(len(line[i]) for line in table) for i in range(len(columns))]
    for line in table:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths)).rstrip())


def main():
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.argv[1], "--listen", f"127.0.0.1:{port}",
                   "--db", str(pathlib.Path(folder, "validate.db"))]
        server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            answer = ask(server, f"http://127.0.0.1:{port}/v1/validation")
        finally:
            server.terminate()
            server.wait()
    for name, rows in answer.items():
        if isinstance(rows, list) and rows and isinstance(rows[0], dict):
            print(f"{name}:")
            print_table(rows)


if __name__ == "__main__":
    main()
