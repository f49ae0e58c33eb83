#!/usr/bin/env python3
"""Writes one C file that holds other files as a table {name, data, size}.

usage: embed.py --symbol LQ_SEED --root DIR --header migrations/embed.h --output OUT.c FILE...

The file defines SYMBOL[], SYMBOL_COUNT and SYMBOL_DIGEST (SHA-256 over names and contents); a
header declares those that are used. Names are paths below DIR; entries are ascending by name.
"""
import argparse
import hashlib
import pathlib
import sys

ESCAPES = {0x22: '\\"', 0x5C: "\\\\", 0x09: "\\t", 0x0D: "\\r", 0x3F: "\\?"}  # \? ends trigraphs


def literal(line: bytes) -> str:
    """One line of a file as a C string literal."""
    text = []
    for byte in line:
        if byte == 0x0A:
            text.append("\\n")
        elif byte in ESCAPES:
            text.append(ESCAPES[byte])
        elif 0x20 <= byte < 0x7F:
            text.append(chr(byte))
        else:
            text.append(f"\\{byte:03o}")  # always three digits: a digit that follows stays its own
    return '"' + "".join(text) + '"'


def definition(index: int, data: bytes) -> str:
    lines = data.splitlines(keepends=True) or [b""]
    body = "\n".join("    " + literal(line) for line in lines)
    return f"static const char FILE_{index}[] =\n{body};\n"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--symbol", required=True)
    parser.add_argument("--root", required=True, type=pathlib.Path)
    parser.add_argument("--header", default="migrations/embed.h")
    parser.add_argument("--output", required=True, type=pathlib.Path)
    parser.add_argument("files", nargs="+", type=pathlib.Path)
    options = parser.parse_args()

    root = options.root.resolve()
    named = sorted((file.resolve().relative_to(root).as_posix(), file) for file in options.files)
    digest = hashlib.sha256()
    parts = []
    rows = []
    for index, (name, file) in enumerate(named):
        data = file.read_bytes()
        digest.update(f"{name}\0{len(data)}\0".encode())
        digest.update(data)
        parts.append(definition(index, data))
        rows.append(f"    {{{literal(name.encode())}, FILE_{index}, sizeof FILE_{index} - 1}},\n")

    symbol = options.symbol
    options.output.write_text(
        f"/* Made by embed.py at build time. */\n"
        f'#include "{options.header}"\n\n'
        # Beyond the 4095 characters that C17 promises; gcc and clang take any length.
        f'#pragma GCC diagnostic ignored "-Woverlength-strings"\n\n'
        f"extern const struct lq_embedded {symbol}[];\n"
        f"extern const size_t {symbol}_COUNT;\n"
        f"extern const char {symbol}_DIGEST[];\n\n"
        + "\n".join(parts)
        + f"\nconst struct lq_embedded {symbol}[] = {{\n{''.join(rows)}}};\n"
        f"const size_t {symbol}_COUNT = {len(rows)};\n"
        f'const char {symbol}_DIGEST[] = "{digest.hexdigest()}";\n'
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
