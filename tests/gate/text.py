"""How files look: rooms small, no stray white space, nothing left to do written into the code."""

import pathlib
import re
import sys

from tap import Report, files

C = {".c", ".h", ".cu", ".cpp"}
WEB = {".js", ".mjs", ".ts", ".css", ".html"}
TEXT = C | WEB | {".py", ".sh", ".sql", ".yaml", ".build", ".md"}
LINES_WISHED = 400
LINES_MOST = 450
DATA_TABLES = ()  # sources that are one long table
LEFTOVER = re.compile(r"\b(T[O]DO|F[I]XME|X[X]X|not [i]mplemented)\b")
OPENING = re.compile(r"/\*|//|<!doctype html>\n<!--")


def each_line(root, paths, offends):
    """path:line for every line about which `offends` says something."""
    against = []
    for path in paths:
        for number, line in enumerate((root / path).read_text().split("\n"), 1):
            if offends(line):
                against.append(f"{path}:{number}: {line.strip()[:80]}")
    return against


def main():
    root = pathlib.Path(sys.argv[1])
    sources = files(root, C | WEB, ("core", "server", "kernels", "tests", "docs"))
    texts = files(root, TEXT) + [path for path in (pathlib.Path("dev"), pathlib.Path(".ci/run"))
                                 if (root / path).exists()]
    long = {path: len((root / path).read_text().splitlines()) for path in sources
            if str(path) not in DATA_TABLES}
    report = Report()
    report.claim(f"no_source_is_longer_than_{LINES_MOST}_lines",
                 [f"{path}: {n} lines" for path, n in long.items() if n > LINES_MOST])
    for path, n in long.items():
        if LINES_WISHED < n <= LINES_MOST:
            print(f"# {path} has {n} lines; {LINES_WISHED} are wished for")
    report.claim("no_line_ends_in_white_space",
                 each_line(root, texts, lambda line: line != line.rstrip()))
    report.claim("no_source_holds_a_tab", each_line(root, sources, lambda line: "\t" in line))
    report.claim("no_source_is_wider_than_100_columns",
                 each_line(root, sources, lambda line: len(line) > 100))
    report.claim("nothing_left_to_do_is_written_into_the_code",
                 each_line(root, [p for p in texts if p.suffix != ".md"], LEFTOVER.search))
    report.claim("every_source_opens_with_what_lives_there",
                 [str(path) for path in sources if not OPENING.match((root / path).read_text())])
    report.claim("every_text_ends_in_one_newline",
                 [str(path) for path in texts
                  if not re.search(r"[^\n]\n\Z", (root / path).read_text() or "x\n")])
    report.finish()


if __name__ == "__main__":
    main()
