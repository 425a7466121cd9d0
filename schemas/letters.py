"""Dead letters: the record of something nobody could use, the same whoever writes it, and small whatever it was."""

from __future__ import annotations

import hashlib
from typing import Any, NamedTuple

from schemas.bounds import LETTER_DETAIL_CHARS_MAX, LETTER_KEY_BYTES_MAX, LETTER_VALUE_BYTES_MAX


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
