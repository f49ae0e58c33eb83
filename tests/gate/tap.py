"""The little of TAP that the gates need: a claim, and what stands against it."""

import os
import pathlib
import sys

SKIPPED_FOLDERS = (".git", ".cache", "__pycache__", "node_modules")


class Report:
    """Prints one line a claim; `finish` prints the plan and exits."""

    def __init__(self):
        self.number = 0
        self.failed = 0

    def claim(self, text, against):
        """The claim holds when nothing stands `against` it (a list of lines)."""
        self.number += 1
        self.failed += bool(against)
        print(f"{'not ok' if against else 'ok'} {self.number} - {text}")
        for line in against:  # meson shows the error stream of a failed test
            print(f"{text}: {line}", file=sys.stderr)

    def finish(self):
        print(f"1..{self.number}")
        sys.exit(int(self.failed > 0))


def files(root, suffixes, folders=()):
    """Source files under `root` (or only its `folders`), as paths relative to it, sorted."""
    found = []
    for top in folders or ("",):
        for folder, below, names in os.walk(root / top):
            below[:] = [d for d in below if d not in SKIPPED_FOLDERS and not d.startswith("build")]
            for name in names:
                path = pathlib.Path(folder, name)
                if path.suffix in suffixes and path.is_file():
                    found.append(path.relative_to(root))
    return sorted(found)
