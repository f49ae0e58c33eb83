"""Every header compiles alone, and twice, with the flags and warnings of the sources beside it."""

import concurrent.futures
import json
import os
import pathlib
import shlex
import subprocess
import sys

from tap import Report, files

WITH_VALUE = ("-o", "-MF", "-MQ", "-MT")
WITHOUT = ("-c", "-MD", "-MMD")
CPLUSPLUS = "kernels/cuda/"  # compiled for the shim; needs a C++ compiler


def flags_of(entry):
    """The compiler call of one source, without its input and outputs."""
    words = shlex.split(entry["command"])
    kept, skip = [], False
    for word in words:
        if skip or word == entry["file"] or word in WITHOUT:
            skip = False
        elif word in WITH_VALUE:
            skip = True
        else:
            kept.append(word)
    return kept


def compile_header(header, flags, folder):
    language = "c++" if str(header).startswith(CPLUSPLUS) else "c"
    program = f'#include "{header}"\n#include "{header}"\ntypedef int not_empty;\n'
    from_stdin = ["-fdiagnostics-color=never", "-fsyntax-only", "-x", language, "-"]
    done = subprocess.run(flags + from_stdin, input=program, cwd=folder,
                          capture_output=True, text=True, check=False)
    return [] if done.returncode == 0 else done.stderr.splitlines()


def kind_of(header):
    """Which flags are its own: the kernels' in C++, or those of its room."""
    return CPLUSPLUS if str(header).startswith(CPLUSPLUS) else header.parts[0]


def main():
    root, build = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
    commands = json.loads((build / "compile_commands.json").read_text())
    flags = {}
    for entry in commands:
        source = os.path.relpath(os.path.join(entry["directory"], entry["file"]), root)
        if source.startswith(CPLUSPLUS) and source.endswith(".cpp"):
            flags.setdefault(CPLUSPLUS, flags_of(entry))
        elif source.endswith(".c"):
            flags.setdefault(source.split("/")[0], flags_of(entry))
    headers = [header for header in files(root, {".h"}, ("core", "server", "kernels"))
               if kind_of(header) in flags]  # a build may leave out the worker, or C++
    with concurrent.futures.ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        results = list(pool.map(
            lambda header: compile_header(header, flags[kind_of(header)], build), headers))
    report = Report()
    for header, against in zip(headers, results):
        report.claim(f"{header} compiles alone", against)
    report.finish()


if __name__ == "__main__":
    main()
