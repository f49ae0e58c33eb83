"""Registers, shared memory, spills and occupancy of every kernel, held against a budget.

report.py BUDGET TABLE PTXAS...: reads what ptxas said (ptxas.py keeps it), writes TABLE and prints
TAP. The budget has a row per kernel and source: what it is launched with (threads of a block at
most; bytes of dynamic shared memory, of attention with heads of 128 in bf16, of the scan with 16
states) and what it may use of registers and static shared memory, whatever the element. Spills and
stack frames have no budget: there are none.
"""

import csv
import pathlib
import re
import sys

ENTRY = re.compile(r"Compiling entry function '(\w+)' for 'sm_(\d+)'")
STACK = re.compile(r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads")
USED = re.compile(r"Used (\d+) registers")
SHARED = re.compile(r"(\d+) bytes smem")
MANGLED = re.compile(r"_Z(?:L|N\d+\w*?)?(\d+)(\w+)")
ELEMENTS = {"f": "float", "13__nv_bfloat16": "bf16", "6__half": "half"}

# CUDA C++ Programming Guide 13.0, table "Technical Specifications per Compute Capability": warps,
# blocks and KiB of shared memory of a multiprocessor; from 8.0 on a block takes 1 KiB more.
UNITS = {75: (32, 16, 64), 80: (64, 32, 164), 86: (48, 16, 100), 89: (48, 24, 100),
         90: (64, 32, 228), 100: (64, 32, 228), 120: (48, 24, 100)}
REGISTERS, REGISTER_UNIT, WARP = 65536, 256, 32
FIELDS = ["source", "kernel", "element", "architecture", "registers", "shared_bytes", "stack_bytes",
          "spill_bytes", "occupancy"]


def name_of(symbol):
    """A kernel's name and element from its mangled name: _Z8backwardI6__halfEv... ."""
    match = MANGLED.match(symbol)
    length, rest = int(match[1]), match[2]
    name, after = rest[:length], rest[length:]
    for code, element in ELEMENTS.items():
        if after.startswith("I" + code):
            return name, element
    return name, ""


def parse(source, text):
    """Rows of what ptxas says, one per kernel, element and architecture."""
    rows = []
    for line in text.splitlines():
        if match := ENTRY.search(line):
            name, element = name_of(match[1])
            rows.append({"source": source, "kernel": name, "element": element,
                         "architecture": int(match[2]), "registers": None, "shared_bytes": 0,
                         "stack_bytes": None, "spill_bytes": None})
        elif match := STACK.search(line):
            if rows and rows[-1]["stack_bytes"] is None:
                rows[-1]["stack_bytes"] = int(match[1])
                rows[-1]["spill_bytes"] = int(match[2]) + int(match[3])
        elif match := USED.search(line):
            rows[-1]["registers"] = int(match[1])
            if match := SHARED.search(line):
                rows[-1]["shared_bytes"] = int(match[1])
    return rows


def occupancy(row, budget):
    """The share of a multiprocessor's warps that can be there at once."""
    warps_most, blocks_most, shared_kib = UNITS[row["architecture"]]
    warps = int(budget["threads"]) // WARP
    per_warp = -(-row["registers"] * WARP // REGISTER_UNIT) * REGISTER_UNIT
    shared = row["shared_bytes"] + int(budget["dynamic_bytes"])
    shared += 1024 if row["architecture"] >= 80 else 0
    blocks = min(REGISTERS // per_warp // warps, blocks_most, warps_most // warps,
                 shared_kib * 1024 // shared if shared else blocks_most)
    return blocks * warps / warps_most


def against(row, budget):
    """What of a row is over its budget, as sentences."""
    if budget is None:
        return ["has no row in the budget"]
    over = [f"{key} {row[key]} > {budget[key]}" for key in ("registers", "shared_bytes")
            if row[key] is None or row[key] > int(budget[key])]
    over += [f"{key} {row[key]}" for key in ("stack_bytes", "spill_bytes") if row[key] != 0]
    return over + (["cannot be launched"] if not over and row["occupancy"] == 0 else [])


def key_of(row):
    return row["source"], row["kernel"]


def read_rows(logs):
    rows = []
    for log in map(pathlib.Path, logs):
        rows += parse(log.stem, log.read_text(encoding="utf-8"))
    return sorted(rows, key=lambda row: (*key_of(row), row["element"], row["architecture"]))


def write_table(path, rows):
    with open(path, "w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, FIELDS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def main():
    budget_path, table_path, *logs = sys.argv[1:]
    with open(budget_path, encoding="utf-8") as file:
        budgets = {key_of(row): row for row in csv.DictReader(file)}
    rows = read_rows(logs)
    failed = {}
    for row in rows:
        budget = budgets.get(key_of(row))
        if budget and row["registers"]:
            row["occupancy"] = round(occupancy(row, budget), 3)
        failed.setdefault(key_of(row), []).extend(
            f"{row['element']} sm_{row['architecture']}: {text}" for text in against(row, budget))
    write_table(table_path, rows)
    unused = [" ".join(key) for key in sorted(set(budgets) - set(failed))]
    failed["budget.csv", "rows that are no kernel's"] = unused + ([] if rows else ["no kernel"])
    print(f"1..{len(failed)}")
    for number, (key, texts) in enumerate(failed.items(), 1):
        print(f"{'not ok' if texts else 'ok'} {number} - {' '.join(key)}")
        for text in texts:
            print(f"# {text}")
    sys.exit(1 if any(failed.values()) else 0)


if __name__ == "__main__":
    main()
