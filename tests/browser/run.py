#!/usr/bin/env python3
"""Runs the browser's cases with Node, or says what is missing. Prints TAP.

usage: run.py SERVER NODE_MODULES [ARGUMENT...]

NODE_MODULES is where `./dev` has npm put what package.json beside this file names; arguments go to
run.mjs. Without Node, Chromium or the modules everything is skipped.
"""
import os
import pathlib
import shutil
import sys

HERE = pathlib.Path(__file__).resolve().parent
CHROMIUM = "/usr/bin/chromium"


def missing(modules):
    """What is not there, in words; "" where all is."""
    lacking = [] if shutil.which("node") else ["Node"]
    lacking += [] if pathlib.Path(CHROMIUM).exists() else [CHROMIUM]
    lacking += [] if (modules / "playwright-core").is_dir() else ["the modules of tests/browser/package.json"]
    return ", ".join(lacking)


def main():
    server, modules = (pathlib.Path(word).resolve() for word in sys.argv[1:3])
    lacking = missing(modules)
    if lacking:
        print(f"1..0 # SKIP not there: {lacking}; ./dev test installs them where apt and npm can")
        return 0
    os.environ["LQ_NODE_MODULES"] = str(modules)
    os.execvp("node", ["node", str(HERE / "run.mjs"), str(server), *sys.argv[3:]])
    return 1


if __name__ == "__main__":
    sys.exit(main())
