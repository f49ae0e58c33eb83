"""The dashboard's files as they are served: names by content, compression, caches, the page's policy."""
import gzip
import hashlib
import pathlib
import re
import subprocess
import sys
import tempfile

from client import expect_problem
from contract import Contract

ROOT = pathlib.Path(__file__).resolve().parents[2]
SOURCES = ROOT / "server" / "dashboard"
CONTRACT = Contract()
TYPES = {".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8"}
NAME = re.compile(r"/assets/([\w-]+-[0-9a-f]{16}\.(?:js|css))")
IMPORT = re.compile(r"""['"]\./([\w-]+-[0-9a-f]{16}\.js)['"]""")
MOST_BYTES = 250_000
POLICY = {"default-src": "'none'", "script-src": "'self'", "style-src": "'self'", "connect-src": "'self'",
          "img-src": "'self' data:", "base-uri": "'none'", "form-action": "'none'",
          "frame-ancestors": "'none'"}


def page(server):
    return server.get("/").body.decode()


def assets(server):
    """{name: content} of everything that the page and its modules ask for."""
    found, wanted = {}, set(NAME.findall(page(server)))
    while wanted:
        name = wanted.pop()
        answer = server.get(f"/assets/{name}")
        assert answer.status == 200, f"{name}: {answer}"
        found[name] = answer
        wanted |= set(IMPORT.findall(answer.body.decode())) - set(found)
    return found


def case_the_page_is_whole(server):
    answer = server.get("/")
    CONTRACT.check_answer("GET", "/", answer)
    assert answer.header("Content-Type") == "text/html; charset=utf-8"
    text = answer.body.decode()
    assert text.startswith("<!doctype html>") and '<main id="view"' in text
    assert not re.findall(r'(?:src|href)="(?!/|#|data:)', text), "links that nobody rewrote"
    assert not re.search(r"<script(?![^>]*src=)|\son\w+=|style=", text), "the policy would refuse this"


def case_the_page_asks_no_other_host(server):
    texts = [page(server)] + [answer.body.decode() for name, answer in assets(server).items()
                              if not name.startswith("uplot")]
    for text in texts:
        hosts = set(re.findall(r"https?://[\w.-]+", text)) - {"http://www.w3.org"}  # a namespace
        assert not hosts, hosts


def case_the_page_has_a_strict_policy(server):
    told = server.get("/").header("Content-Security-Policy")
    assert dict(part.strip().split(" ", 1) for part in told.split(";")) == POLICY


def case_other_answers_keep_their_policy(server):
    for path in ("/healthz", "/assets/none.js", "/v1/models/none"):
        assert server.get(path).header("Content-Security-Policy") == \
            "default-src 'none'; frame-ancestors 'none'"


def case_names_are_hashes_of_the_content(server):
    served = assets(server)
    for name, answer in served.items():
        digest = hashlib.sha256(answer.body).hexdigest()[:16]
        assert f"-{digest}." in name, name
        assert answer.header("Content-Type") == TYPES[pathlib.PurePath(name).suffix]
        CONTRACT.check_answer("GET", f"/assets/{name}", answer)
    kinds = {re.sub(r"-[0-9a-f]{16}", "", name) for name in served}
    own = {file.name for file in SOURCES.iterdir() if file.suffix in TYPES}
    assert own <= kinds <= own | {"uplot.js", "uplot.css"}, kinds ^ own


def case_all_assets_are_small(server):
    total = len(page(server)) + sum(len(answer.body) for answer in assets(server).values())
    assert total < MOST_BYTES, total


def case_assets_may_be_kept_for_ever_and_the_page_may_not(server):
    for name in assets(server):
        told = server.get(f"/assets/{name}").header("Cache-Control")
        assert told == "public, max-age=31536000, immutable", told
    assert server.get("/").header("Cache-Control") == "no-cache"
    assert server.get("/assets/none.js").header("Cache-Control") == "no-store"


def case_files_come_compressed_where_the_client_can(server):
    for path in ["/"] + [f"/assets/{name}" for name in assets(server)]:
        plain = server.get(path, {"Accept-Encoding": "identity"})
        packed = server.get(path, {"Accept-Encoding": "deflate, gzip;q=0.8, br"})
        assert plain.header("Content-Encoding") is None and packed.header("Content-Encoding") == "gzip"
        assert gzip.decompress(packed.body) == plain.body
        assert len(packed.body) < len(plain.body) and packed.body[4:8] == b"\0\0\0\0", path  # no time
        assert plain.header("Vary") == packed.header("Vary") == "Accept-Encoding"
        assert plain.header("ETag") != packed.header("ETag")
        for refused in ("gzip;q=0", "br", "*;q=0"):
            assert server.get(path, {"Accept-Encoding": refused}).body == plain.body


def case_what_is_known_is_not_sent_again(server):
    for path in ["/"] + [f"/assets/{name}" for name in assets(server)]:
        for coding in ("identity", "gzip"):
            accept = {"Accept-Encoding": coding}
            first = server.get(path, accept)
            again = server.get(path, {**accept, "If-None-Match": f'"x", {first.header("ETag")}'})
            assert again.status == 304 and again.body == b"", again
            for name in ("ETag", "Cache-Control", "Vary"):
                assert again.header(name) == first.header(name), name
            assert again.header("Content-Encoding") is None
        other = {"Accept-Encoding": "identity", "If-None-Match": server.get(
            path, {"Accept-Encoding": "gzip"}).header("ETag")}
        assert server.get(path, other).status == 200, "the tag of another coding"


def case_head_tells_what_get_would(server):
    for path in ["/"] + [f"/assets/{name}" for name in list(assets(server))[:3]]:
        for coding in ("identity", "gzip"):
            got = server.get(path, {"Accept-Encoding": coding})
            head = server.request("HEAD", path, None, {"Accept-Encoding": coding})
            assert head.status == 200 and head.body == b""
            for name in ("Content-Length", "Content-Encoding", "Content-Type", "ETag", "Vary"):
                assert head.header(name) == got.header(name), name


def case_other_names_and_methods_are_refused(server):
    name = next(iter(assets(server)))
    for other in ("none.js", name.replace("-", "-0", 1), "index.html", "..%2f..%2fetc%2fpasswd", name + "x"):
        expect_problem(server.get(f"/assets/{other}"), 404, "not-found")
    expect_problem(server.get("/assets/"), 404, "not-found")
    expect_problem(server.get("/index.html"), 404, "not-found")
    expect_problem(server.post("/", {}), 405, "method-not-allowed")
    assert server.post("/", {}).header("Allow") == "GET, HEAD, OPTIONS"


def case_a_query_changes_nothing(server):
    assert server.get("/?next=%3Cscript%3E").body == server.get("/").body


def case_a_page_without_the_chart_library_says_so(server):
    has_charts = any(name.startswith("uplot") for name in assets(server))
    assert ("uPlot) was not there" in page(server)) != has_charts


def bundled(folder, files, charts="nowhere"):
    """What bundle.py makes of these files: (exit status, C file or error)."""
    for name, text in files.items():
        (folder / name).write_text(text)
    done = subprocess.run([sys.executable, SOURCES / "bundle.py", "--embed", ROOT / "migrations/embed.py",
                           "--charts", folder / charts, "--output", folder / "out.c",
                           "--depfile", folder / "out.d", *(folder / name for name in files)],
                          capture_output=True, text=True, check=False)
    return done.returncode, (folder / "out.c").read_text() if done.returncode == 0 else done.stderr


PAGE = ('<script src="a.js"></script>\n<script src="uplot.js"></script>\n<link href="uplot.css">\n'
        '<p id="no-charts">none\nhere</p>\n')


def case_a_change_below_changes_every_name_above(server):
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        files = {"index.html": PAGE, "a.js": "import {b} from './b.js';", "b.js": "export const b = 1;"}
        names = []
        for value in ("1", "1", "2"):
            files["b.js"] = f"export const b = {value};"
            status, text = bundled(folder, files)
            assert status == 0, text
            names.append(sorted(set(re.findall(r"\b[ab]-[0-9a-f]{16}\.js", text))))
        assert names[0] == names[1] and not set(names[0]) & set(names[2]), names


def case_charts_are_left_out_where_they_are_not_there(server):
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        files = {"index.html": PAGE, "a.js": "// nothing"}
        status, text = bundled(folder, files)
        assert status == 0 and "no-charts" in text and "uplot" not in text, text
        (folder / "dist").mkdir()
        for made in ("uPlot.iife.min.js", "uPlot.min.css"):
            (folder / "dist" / made).write_text("/* charts */")
        status, text = bundled(folder, files, "dist")
        assert status == 0 and "no-charts" not in text, text
        assert re.search(r"uplot-[0-9a-f]{16}\.js", text) and re.search(r"uplot-[0-9a-f]{16}\.css", text)
        assert "uPlot.min.css" in (folder / "out.d").read_text()


def case_circles_and_unknown_modules_fail_the_build(server):
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        status, text = bundled(folder, {"index.html": PAGE, "a.js": "import './b.js';", "b.js": "import('./a.js');"})
        assert status != 0 and "a.js -> b.js -> a.js is a circle" in text, text
        status, text = bundled(folder, {"index.html": PAGE, "a.js": "import {b} from './c.js';"})
        assert status != 0 and "a.js asks for c.js" in text, text
