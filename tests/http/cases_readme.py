"""The README holds: its first call is answered as it prints, and its table is what is served."""
import json
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text()


def assert_within(part, whole, path=""):
    """Every member of `part` stands in `whole` with the same value; lists may be longer."""
    if isinstance(part, dict):
        for name, value in part.items():
            assert name in whole, f"{path}/{name} is not in the answer"
            assert_within(value, whole[name], f"{path}/{name}")
    elif isinstance(part, list):
        assert len(whole) >= len(part), f"{path} is shorter in the answer"
        for i, value in enumerate(part):
            assert_within(value, whole[i], f"{path}/{i}")
    elif isinstance(part, float):
        assert abs(part - whole) <= 1e-6 * abs(part), f"{path}: README {part}, answer {whole}"
    else:
        assert part == whole, f"{path}: README {part!r}, answer {whole!r}"


def case_first_curl_is_answered_as_printed(server):
    body = re.search(r"curl .*?-d '(\{.*?\})'\n```", README, re.S).group(1)
    printed = json.loads(re.search(r"```json\n(.*?)\n```", README, re.S).group(1))
    answer = server.post("/v1/estimates", json.loads(body))
    assert answer.status == 200, answer
    assert_within(printed, answer.json)


def case_validation_table_is_what_is_served(server):
    done = subprocess.run([sys.executable, str(ROOT / "tests/validate.py"), str(server.program),
                           "--check", str(ROOT / "README.md")],
                          capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def case_validation_is_printed_whole(server):
    done = subprocess.run([sys.executable, str(ROOT / "tests/validate.py"), str(server.program)],
                          capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for name in server.get("/v1/validation").json:
        assert f"{name}:" in done.stdout, name
    assert "xia2024-mixtral-cs-a40" in done.stdout


def case_every_call_of_the_table_is_a_route(server):
    routes = subprocess.run([str(server.program), "--print-routes"], capture_output=True, text=True,
                            check=True).stdout.split("\n")
    rows = re.findall(r"^\| (`(?:GET|POST|PUT|DELETE).*?) \|", README, re.M)
    told = set()
    for row in rows:
        verbs = []
        for item in re.findall(r"`([^`]*)`", row):
            words = item.split()
            verbs = words[:-1] or verbs
            told |= {f"{verb} {words[-1]}" for verb in verbs}
    assert told == {route for route in routes if route}, told ^ {r for r in routes if r}
