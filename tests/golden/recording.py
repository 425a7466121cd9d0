"""The recording as a file: compressed lines of JSON, bytes in base64. It knows nothing of the program."""

from __future__ import annotations

import json
import lzma
from base64 import b64decode, b64encode
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

FILES = {number: Path(__file__).parent / f"format-{number}.ndjson.xz" for number in (2, 3)}  # by state format
FILE = FILES[max(FILES)]
REVERSALS = FILE.with_name(f"format-{max(FILES)}-reversals.ndjson.xz")

Record = tuple[str, bytes, bytes | None]  # topic, key, value
Row = tuple[bytes, bytes | None]


@dataclass
class Step:
    """A transaction: up to which offsets the topics were fed, what was published, and the changelog rows.

    rows: those of the events, in order; flushed: names and account rows of a part of a flush; fence: what the flush that
    begins here will write as its fence; fenced: the fence that was written, behind the last part. The changelog has all of
    them, and then the positions, which are None where nothing was written.
    """

    fed: dict[str, int]
    outputs: list[Record]
    rows: list[Row]
    flushed: list[Row]
    fence: bytes | None
    fenced: bytes | None
    positions: bytes | None


@dataclass
class Recording:
    """Settings, the input topics from offset 0 on, the transactions, and whole states as rows behind some of them."""

    settings: dict[str, Any]
    inputs: dict[str, list[tuple[bytes, bytes]]] = field(default_factory=dict)
    steps: list[Step] = field(default_factory=list)
    states: dict[int, dict[bytes, bytes]] = field(default_factory=dict)

    def changelog(self, step: int) -> list[list[Row]]:
        """The changelog after a step, transaction by transaction; the mark of the format first, where it had one."""
        written = [one for one in self.steps[: step + 1] if one.positions is not None]
        marks = [(key.encode(), value.encode()) for key, value in self.settings.get("mark", [])]
        return [
            [*(marks if i == 0 else []), *one.rows, *one.flushed,
             *([] if one.fenced is None else [(b"@fence", one.fenced)]), (b"@commit", one.positions)]
            for i, one in enumerate(written)
        ]  # fmt: skip

    def compacted(self, step: int) -> dict[bytes, bytes]:
        """The last value of every key after a step."""
        return {key: value for rows in self.changelog(step) for key, value in rows if value is not None}

    def lines(self) -> bytes:
        """As text."""
        out: list[list[Any]] = [["settings", self.settings]]
        for topic, records in self.inputs.items():
            out += [["input", topic, text(key), text(value)] for key, value in records]
        for one in self.steps:
            outputs = [[topic, text(key), text(value)] for topic, key, value in one.outputs]
            ends = [text(part) for part in (one.fence, one.fenced, one.positions)]
            out.append(["step", one.fed, outputs, pairs(one.rows), pairs(one.flushed), *ends])
        out += [["state", step, pairs(sorted(rows.items()))] for step, rows in sorted(self.states.items())]
        return "".join(json.dumps(line, ensure_ascii=False, separators=(",", ":")) + "\n" for line in out).encode()

    def write(self, path: Path = FILE) -> None:
        """Into a file."""
        path.write_bytes(lzma.compress(self.lines(), preset=9 | lzma.PRESET_EXTREME))

    @classmethod
    def read(cls, path: Path = FILE) -> Recording:
        """From a file."""
        found = cls({})
        for line in lzma.decompress(path.read_bytes()).decode().splitlines():
            kind, *parts = json.loads(line)
            if kind == "settings":
                found.settings = parts[0]
            elif kind == "input":
                found.inputs.setdefault(parts[0], []).append((need(parts[1]), need(parts[2])))
            elif kind == "step":
                fed, outputs, rows, flushed, *ends = parts
                records = [(topic, need(key), raw(value)) for topic, key, value in outputs]
                found.steps.append(Step(fed, records, unpaired(rows), unpaired(flushed), *map(raw, ends)))
            else:
                found.states[parts[0]] = {key: value or b"" for key, value in unpaired(parts[1])}
        return found


def text(value: bytes | None) -> str | None:
    """Bytes as base64."""
    return None if value is None else b64encode(value).decode()


def raw(value: str | None) -> bytes | None:
    """Base64 as bytes."""
    return None if value is None else b64decode(value)


def need(value: str) -> bytes:
    """The same of what is never absent."""
    return b64decode(value)


def pairs(rows: list[Any]) -> list[list[str | None]]:
    """Rows as base64."""
    return [[text(key), text(value)] for key, value in rows]


def unpaired(rows: list[list[str]]) -> list[Row]:
    """And back."""
    return [(need(key), raw(value)) for key, value in rows]
