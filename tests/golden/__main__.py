"""Writes recordings anew, or compares what would be written: `python -m tests.golden [--write [--replace]]`."""

from __future__ import annotations

import argparse
import sys

from tests.golden.recording import Recording
from tests.golden.writer import MADE, recorded


def main() -> int:
    """0 if the recordings are as the program would write them now, or have been written."""
    parser = argparse.ArgumentParser(prog="python -m tests.golden", description=__doc__)
    parser.add_argument("--write", action="store_true", help="write what is not there")
    parser.add_argument("--replace", action="store_true", help="and what is: only with a new format of rows")
    given = parser.parse_args()
    if given.write and not given.replace and all(file.exists() for file in MADE):
        print("All recordings are there. They are replaced only together with a new format of rows: --write --replace")
        return 2
    code = 0
    for file in MADE:
        if given.write and (given.replace or not file.exists()):
            found = recorded(file)
            found.write(file)
            print(f"{file.name}: {len(found.steps)} transactions, {file.stat().st_size} bytes")
        else:
            same = recorded(file).lines() == Recording.read(file).lines()
            print(f"{file.name}: {'the same as recorded' if same else 'other than recorded'}")
            code |= not same
    return int(code)


if __name__ == "__main__":
    sys.exit(main())
