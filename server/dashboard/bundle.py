#!/usr/bin/env python3
"""Writes one C file that holds the dashboard: its page, modules and style, hashed and compressed.

usage: bundle.py --embed embed.py --charts DIR --output OUT.c --depfile OUT.d index.html FILE...

Each file but the page gets its content's hash into its name, and whatever names it (an import of a
module, a link of the page) is rewritten, so that a file may be kept for ever by whoever has it. The
chart library is taken from DIR (uPlot's dist folder) where it is there; where it is not, the page
says so. The C file is left alone when nothing changed. What the table looks like is in assets.h.
"""
import argparse
import gzip
import hashlib
import importlib.util
import pathlib
import re
import sys

TYPES = {".html": "text/html", ".js": "text/javascript", ".css": "text/css"}
CHARTS = {"uplot.js": "uPlot.iife.min.js", "uplot.css": "uPlot.min.css"}
IMPORT = re.compile(r"""(\bfrom\s+|\bimport\s*\(?\s*)(['"])\./([\w-]+\.js)\2""")
LINK = re.compile(r'="([\w-]+\.(?:js|css))"')
CHART_LINE = re.compile(r"^.*\buplot\.(?:js|css)\b.*\n", re.M)
NO_CHARTS = re.compile(r'<p [^>]*id="no-charts".*?</p>\n', re.S)


def load(path):
    """The module at this path: embed.py knows how bytes become a C literal."""
    spec = importlib.util.spec_from_file_location("embed", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Bundle:
    """Files by their plain names, and under which names they are served."""

    def __init__(self, files, charts):
        self.plain = {file.name: file.read_bytes() for file in files}
        self.has_charts = all((charts / name).is_file() for name in CHARTS.values())
        if self.has_charts:
            self.plain |= {name: (charts / real).read_bytes() for name, real in CHARTS.items()}
            licence = charts.parent / "LICENSE"  # whoever gets the library gets its terms
            if licence.is_file():
                self.plain["uplot.js"] = b"/*!\n" + licence.read_bytes() + b"*/\n" + self.plain["uplot.js"]
        self.served = {}

    def asset(self, name, on_the_way=()):
        """(name with hash, content) of a file, once what it imports has its own."""
        if name in on_the_way:
            raise SystemExit(f"bundle.py: {' -> '.join((*on_the_way, name))} is a circle")
        if name not in self.plain:
            raise SystemExit(f"bundle.py: {on_the_way[-1]} asks for {name}, which is not given")
        if name not in self.served:
            content = self.plain[name]
            if name.endswith(".js") and name not in CHARTS:
                content = IMPORT.sub(
                    lambda m: f"{m[1]}{m[2]}./{self.asset(m[3], (*on_the_way, name))[0]}{m[2]}",
                    content.decode()).encode()
            stem, dot, suffix = name.rpartition(".")
            self.served[name] = (f"{stem}-{digest(content)}{dot}{suffix}", content)
        return self.served[name]

    def page(self, name):
        """The page, with every file it links under the name it is served by."""
        text = self.plain[name].decode()
        text = (NO_CHARTS if self.has_charts else CHART_LINE).sub("", text)
        text = LINK.sub(lambda m: f'="/assets/{self.asset(m[1], (name,))[0]}"', text)
        return text.encode()


def digest(content):
    return hashlib.sha256(content).hexdigest()[:16]


def table(embed, page, assets):
    """The C file."""
    parts = ["/* Made by bundle.py at build time. */\n#include \"server/dashboard/assets.h\"\n\n"
             # Beyond the 4095 characters that C17 promises; gcc and clang take any length.
             '#pragma GCC diagnostic ignored "-Woverlength-strings"\n']
    rows = []
    for index, (name, content) in enumerate([page, *sorted(assets)]):
        packed = gzip.compress(content, 9, mtime=0)
        parts.append(embed.definition(f"{index}", content))
        parts.append(embed.definition(f"{index}_GZIP", packed))
        kind = TYPES[pathlib.PurePath(name).suffix]
        rows.append(f'{{"{name}", "{kind}; charset=utf-8", "{digest(content)}", FILE_{index}, '
                    f"sizeof FILE_{index} - 1, FILE_{index}_GZIP, sizeof FILE_{index}_GZIP - 1}}")
    below = "".join(f"    {row},\n" for row in rows[1:])
    parts.append(f"const struct lq_asset LQ_DASHBOARD_PAGE = {rows[0]};\n"
                 f"const struct lq_asset LQ_DASHBOARD_ASSETS[] = {{\n{below}}};\n"
                 f"const size_t LQ_DASHBOARD_ASSET_COUNT = {len(rows) - 1};\n")
    return "\n".join(parts)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--embed", required=True, type=pathlib.Path)
    parser.add_argument("--charts", required=True, type=pathlib.Path)
    parser.add_argument("--output", required=True, type=pathlib.Path)
    parser.add_argument("--depfile", required=True, type=pathlib.Path)
    parser.add_argument("files", nargs="+", type=pathlib.Path, help="the page first")
    options = parser.parse_args()

    bundle = Bundle(options.files, options.charts)
    name = options.files[0].name
    page = (name, bundle.page(name))
    assets = [bundle.asset(other) for other in bundle.plain if other != name]
    text = table(load(options.embed), page, assets)
    # A file that is not there makes ninja look again with every build.
    wanted = " ".join(str(options.charts / real) for real in CHARTS.values())
    options.depfile.write_text(f"{options.output}: {wanted}\n")
    if not options.output.exists() or options.output.read_text() != text:
        options.output.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
