"""Text from outside made safe to show: no character of it steers a terminal or hides another one."""

import re
from collections.abc import Iterable
from typing import Final

# C0 and C1 controls but for tab and line feed, DEL, what turns the direction of writing, line separators, halves of pairs.
_STEERING: Final = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufeff]"
)


def printable(text: str) -> str:
    r"""The text with such characters written out. It is the same if it has none; again changes nothing.

    They become escapes of JSON (`\u001b`), so a JSON document stays one.
    """
    return _STEERING.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


# What a spreadsheet takes for the beginning of a formula, in full width too.
_FORMULA: Final = re.compile("[=+\\-@\t\r\n＝＋－＠]")
_NUMBER: Final = re.compile(r"[+-]?[0-9]+(?:\.[0-9]+)?")


def spreadsheet_row(row: Iterable[object]) -> list[object]:
    """A row of a CSV file for people: text that a spreadsheet would compute gets a `'` before it; numbers stay."""
    return [_cell(printable(value)) if isinstance(value, str) else value for value in row]


def _cell(text: str) -> str:
    return f"'{text}" if _FORMULA.match(text) and not _NUMBER.fullmatch(text) else text
