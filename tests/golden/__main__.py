"""Writes the recording anew, or compares what would be written: `python -m tests.golden [--write [--replace]]`."""

from __future__ import annotations

import argparse
import sys

from tests.golden.recording import FILE, Recording
from tests.golden.writing import recorded


def main() -> int:
    """0 if the recording is as the program would write it now, or has been written."""
    parser = argparse.ArgumentParser(prog="python -m tests.golden", description=__doc__)
    parser.add_argument("--write", action="store_true", help="write the recording")
    parser.add_argument("--replace", action="store_true", help="although there is one: only with a new format of rows")
    given = parser.parse_args()
    if given.write and FILE.exists() and not given.replace:
        print(f"{FILE.name} is there. It is replaced only together with a new format of rows: --write --replace")
        return 2
    found = recorded()
    if given.write:
        found.write()
        print(f"{len(found.steps)} transactions, {FILE.stat().st_size} bytes")
        return 0
    same = found.lines() == Recording.read().lines()
    print("the same as recorded" if same else "other than recorded")
    return 0 if same else 1


if __name__ == "__main__":
    sys.exit(main())
