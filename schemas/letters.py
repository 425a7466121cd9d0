"""Dead letters: the record of something nobody could use, the same whoever writes it, and small whatever it was."""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass
from typing import Any, NamedTuple

from schemas import bounds
from schemas.bounds import LETTER_DETAIL_CHARS_MAX, LETTER_KEY_BYTES_MAX, LETTER_VALUE_BYTES_MAX

Subject = tuple[str, int, str]
"""What letters have in common: topic, partition, reason."""


class Original(NamedTuple):
    """What a letter keeps of a record: the beginnings of its key and value, the value's length and SHA-256.

    `size` and `sha256` are None where nobody knows the whole; `last` is the last offset the letter stands for, None if
    that is its own; `why` says what a reason leaves open.
    """

    head: bytes
    size: int | None
    sha256: str | None
    key: bytes | None = None
    last: int | None = None
    why: str = ""

    @classmethod
    def of(cls, value: Any, key: Any = None, last: int | None = None) -> Original:
        """Of a value (bytes, or a buffer of them; None: a tombstone) that is in memory as a whole."""
        whole = memoryview(b"" if value is None else value).cast("B")
        head = bytes(whole[:LETTER_VALUE_BYTES_MAX])
        beginning = None if key is None else bytes(memoryview(key)[:LETTER_KEY_BYTES_MAX])
        return cls(head, len(whole), hashlib.sha256(whole).hexdigest(), beginning, last)


def dead_letter(
    topic: str, partition: int, offset: int, reason: str, original: Original, *, field: str | None = None,
    detail: str = "",
) -> dict[str, Any]:  # fmt: skip
    """The record of contract `dead-letters`; without a `detail` that of field and reason."""
    detail = detail or original.why or (f"{field}: {reason}" if field else reason)
    return {
        "topic": topic, "partition": partition, "offset": offset, "reason": reason, "field": field,
        "detail": detail[:LETTER_DETAIL_CHARS_MAX], "original": original.head, "original_key": original.key,
        "original_bytes": original.size, "original_sha256": original.sha256, "last_offset": original.last,
    }  # fmt: skip


@dataclass(slots=True)
class _Rest:
    first: dict[str, Any]  # a letter
    last: int  # offset
    count: int = 1


class LettersAtOnce:
    """Letters that leave together, of a transaction or of a fetch, in a bounded number (schemas.bounds).

    A small batch may unpack to so many bad records that a letter for each would fill topic and memory. Beyond
    `most` of one subject a single letter names the range of offsets and how many of the records in it are meant.
    """

    def __init__(self, most: int | None = None) -> None:
        """`most` instead of the bound is for logs that are no topics."""
        self._most = most
        self._alone, self._rest = Counter[Subject](), dict[Subject, _Rest]()

    def room(self, subject: Subject) -> int:
        """How many more letters have a place of their own."""
        most = bounds.LETTERS_AT_ONCE_MAX if self._most is None else self._most
        return max(0, most - self._alone[subject])

    def one(self, letter: dict[str, Any]) -> bool:
        """Whether a letter is to be written as it is; else it is among the rest."""
        subject = letter["topic"], letter["partition"], letter["reason"]
        if self.room(subject):
            self._alone[subject] += 1
            return True
        last = letter["offset"] if letter["last_offset"] is None else letter["last_offset"]
        if subject in self._rest:
            self.more(subject, 1, last)
        else:
            self._rest[subject] = _Rest(letter, last)
        return False

    def more(self, subject: Subject, count: int, last: int) -> None:
        """So many further ones, behind the first of the rest; `last`: the last offset that they stand for."""
        rest = self._rest[subject]
        rest.count, rest.last = rest.count + count, max(rest.last, last)

    def take(self) -> list[dict[str, Any]]:
        """The letters of what was left over; then it begins anew."""
        found = [_standing_for(rest) for rest in self._rest.values()]
        self._alone, self._rest = Counter(), {}
        return found


def _standing_for(rest: _Rest) -> dict[str, Any]:
    """The letter of the first, in the name of all."""
    if rest.count == 1:
        return rest.first
    words = (
        f"{rest.count:,} records from here to offset {rest.last}, for the same reason; this one: {rest.first['detail']}"
    )
    return {**rest.first, "last_offset": rest.last, "detail": words[:LETTER_DETAIL_CHARS_MAX]}
