#!/usr/bin/env python3
"""docs/quote.ipynb runs from its first cell to its last against a fresh server. Prints TAP.

usage: notebook.py SERVER

Its cells take the standard library and matplotlib; without matplotlib everything is skipped.
"""
import ast
import importlib.util
import json
import os
import pathlib
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
NOTEBOOK = HERE.parents[1] / "docs" / "quote.ipynb"
sys.path.insert(0, str(HERE))
sys.dont_write_bytecode = True

from client import Server  # noqa: E402  (the path has to be set first)

SAVE = """
for number in plt.get_fignums():
    plt.figure(number).savefig(f"{number}.png")
"""
MARK = "print('== cell')\n"
FIGURES = 4
SAID = {"batch 4,": "the quote", "calibrated by": "its basis", "/model": "the bad member", "/epochs": "the other"}


def claim(number, name, against):
    print(f"{'not ok' if against else 'ok'} {number} - {name}", flush=True)
    for line in str(against or "").splitlines():
        print(f"# {line}")
    return bool(against)


def imports(program):
    """Modules that the program takes, by their first names."""
    found = set()
    for node in ast.walk(ast.parse(program)):
        if isinstance(node, ast.Import):
            found |= {name.name.partition(".")[0] for name in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add(node.module.partition(".")[0])
    return found


def ran(program, server, folder):
    environment = {**os.environ, "MPLBACKEND": "Agg", "MPLCONFIGDIR": folder,
                   "LLMQUOTE_SERVER": "http://{}:{}".format(*server.address)}
    return subprocess.run([sys.executable, "-c", program + SAVE], capture_output=True, text=True, check=False,
                          cwd=folder, env=environment, timeout=120)


def main():
    if importlib.util.find_spec("matplotlib") is None:
        print("1..0 # SKIP python3 has no matplotlib (Debian: python3-matplotlib)")
        return 0
    notebook = json.loads(NOTEBOOK.read_text())
    cells = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    program = "\n".join("".join(cell["source"]) + "\n" + MARK for cell in cells)
    failed = claim(1, "the_notebook_is_plain", None if notebook["nbformat"] == 4 and all(
        cell["outputs"] == [] and cell["execution_count"] is None for cell in cells) else "it has outputs")
    others = imports(program) - sys.stdlib_module_names - {"matplotlib"}
    failed |= claim(2, "it_takes_the_standard_library_and_matplotlib", ", ".join(others))
    server = Server(pathlib.Path(sys.argv[1]).resolve()).start()
    try:
        with tempfile.TemporaryDirectory() as folder:
            done = ran(program, server, folder)
            pictures = len(list(pathlib.Path(folder).glob("*.png")))
    finally:
        server.close()
    failed |= claim(3, "every_cell_runs", done.stderr if done.returncode or
                    done.stdout.count("== cell") != len(cells) else None)
    failed |= claim(4, "it_draws_its_figures", None if pictures == FIGURES else f"{pictures} figures")
    lacking = [what for text, what in SAID.items() if text not in done.stdout]
    failed |= claim(5, "it_says_what_it_should", done.stdout if lacking else None)
    print("1..5")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
