"""Many rows of one topic as columns, and their way to the store's script without a Python object a row.

A view of a million customers is rebuilt in seconds only if neither decoding nor the protocol takes them one by one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numba as nb
import numpy as np
import numpy.typing as npt

import streams  # noqa: F401  it tells numba where to keep what is compiled below
from schemas.codec.blocks import Reader
from schemas.codec.kernel import Bytes, Longs
from schemas.codec.primitives import LENGTH_MAX, NULL, REF_BITS
from schemas.codec.values import decode_values
from services.views.keys import digest_of_name
from services.views.projections import TopicRecord, iso_day
from services.views.store import Drop, Op, Put

if TYPE_CHECKING:
    from schemas.registry import Registry
    from services.views.keys import Keys


NUMBER_BYTES_MAX: Final = 30  # of a bulk string that holds an int64, and of the frame of any other
VALUE_BYTES_MAX: Final = 512
"""A larger record goes one by one, so that a chunk of these never takes the store long."""


@dataclass(frozen=True, slots=True)
class PutRows:
    """Puts and drops in log order; iterating gives them one by one.

    Row i has key prefix + the text of key[i]; field j of a put is the text of fields[i, j]. Texts are packed references
    (`position << 20 | length`) into `raw`.
    """

    prefix: str
    raw: Bytes
    key: Longs
    version: Longs
    dropped: npt.NDArray[np.bool_]
    names: tuple[str, ...]
    fields: Longs

    def __len__(self) -> int:
        return len(self.key)

    def __iter__(self) -> Iterator[Op]:
        for i, dropped in enumerate(self.dropped.tolist()):
            key = self.prefix + self._text(self.key[i]).decode()
            if dropped:
                yield Drop(key)
            else:
                values = (self._text(ref) for ref in self.fields[i])
                yield Put(key, int(self.version[i]), dict(zip(self.names, values, strict=True)))

    def _text(self, ref: Any) -> bytes:
        return bytes(self.raw[ref >> REF_BITS : (ref >> REF_BITS) + (ref & LENGTH_MAX)])

    def part(self, first: int, stop: int) -> PutRows:
        """Rows [first, stop)."""
        at = slice(first, stop)
        return PutRows(
            self.prefix, self.raw, self.key[at], self.version[at], self.dropped[at], self.names, self.fields[at]
        )

    def arguments(self) -> tuple[int, bytes]:
        """The store's script arguments in the Redis protocol (RESP bulk strings): how many, and their bytes."""
        names = [name.encode() for name in self.names]
        framed = np.frombuffer(b"".join(b"$%d\r\n%b\r\n" % (len(name), name) for name in names), np.uint8)
        ends = np.cumsum([len(b"$%d\r\n%b\r\n" % (len(name), name)) for name in names])
        prefix = np.frombuffer(self.prefix.encode(), np.uint8)
        texts = int((self.key & LENGTH_MAX).sum() + (self.fields & LENGTH_MAX).sum())
        frames = len(framed) + len(prefix) + NUMBER_BYTES_MAX * (4 + len(names))
        out = np.empty(len(self) * frames + texts, np.uint8)
        count, size = _arguments(
            prefix, self.raw, self.key, self.version, self.dropped, framed, ends, np.ascontiguousarray(self.fields), out
        )
        return count, out[:size].tobytes()


class InColumns:
    """Projects the records of a topic to rows at once; None for what has to go one by one."""

    def __init__(self, registry: Registry) -> None:
        self.readers = {topic: Reader(topic, registry) for topic in ("standings", "queue-priority")}

    def __call__(self, keys: Keys, records: Sequence[TopicRecord]) -> PutRows | None:
        """Rows of a partition's records, as `services.views.projections` gives them one by one.

        None if the topic has no such projection, or if any record can't be read or is large: one by one then finds which.
        """
        topic = records[0].topic
        reader = self.readers.get(topic)
        names = [record.key or b"" for record in records]
        dropped = np.array([record.value is None for record in records])
        if reader is None or not all(names) or not _is_text(names):
            return None
        columns = decode_values([record.value or b"" for record in records], reader)
        if columns.status[~dropped].any() or (columns.value & LENGTH_MAX > VALUE_BYTES_MAX).any():
            return None
        buffer = _Buffer(columns.raw)
        key = buffer.texts(_row_names(topic, names))
        if topic == "standings":
            prefix, version, shown = keys.standings, "source_seq", {"record": columns.value}
        else:
            prefix, version = keys.priority(""), "version"
            column = {name: columns.data[:, reader.index[name]] for name in ("queue_class", "vip_area", "valid_until")}
            if (days := buffer.days(column["valid_until"])) is None:
                return None
            shown = {
                "queue_class": column["queue_class"],
                "vip_area": buffer.texts([b"0", b"1"])[np.where(column["vip_area"] == 1, 1, 0)],
                "valid_until": days,
            }
        fields, versions = np.stack(list(shown.values()), 1), columns.data[:, reader.index[version]]
        if (versions[~dropped] < 0).any():
            return None
        fields[dropped] = 0
        return PutRows(prefix, buffer.raw(), key, versions, dropped, tuple(shown), fields)


def _row_names(topic: str, names: Sequence[bytes]) -> Sequence[bytes]:
    """What the keys of the rows end in."""
    return [digest_of_name(name.decode()).encode() for name in names] if topic == "standings" else names


class _Buffer:
    """Texts behind the values."""

    def __init__(self, raw: Bytes) -> None:
        self._parts, self._size = [raw.tobytes()], len(raw)

    def texts(self, parts: Sequence[bytes]) -> Longs:
        """References to texts."""
        sizes = np.fromiter(map(len, parts), np.int64, len(parts))
        at = self._size + np.cumsum(sizes) - sizes
        self._parts.append(b"".join(parts))
        self._size += int(sizes.sum())
        return np.asarray(at << REF_BITS | sizes)

    def days(self, days: Longs) -> Longs | None:
        """References to ISO dates of day numbers, to the empty text for none; None if one is no day of the calendar."""
        found, which = np.unique(days, return_inverse=True)
        try:
            texts = [iso_day(None if day == NULL else day).encode() for day in found.tolist()]
        except ValueError:
            return None
        return self.texts(texts)[which]

    def raw(self) -> Bytes:
        """All bytes."""
        return np.frombuffer(b"".join(self._parts), np.uint8)


def _is_text(parts: Sequence[bytes]) -> bool:
    try:
        b"\n".join(parts).decode()
    except UnicodeDecodeError:
        return False
    return True


@nb.njit(cache=True, nogil=True)
def _digits(value: int, out: Bytes, at: int) -> int:
    """A number that is not negative in decimal digits into out[at:]; the next place."""
    size, rest = 1, value // 10
    while rest > 0:
        size, rest = size + 1, rest // 10
    for i in range(size - 1, -1, -1):
        out[at + i], value = 48 + value % 10, value // 10
    return at + size


@nb.njit(cache=True, nogil=True)
def _head(size: int, out: Bytes, at: int) -> int:
    """`$size` and the end of the line."""
    out[at] = 36
    at = _digits(size, out, at + 1)
    out[at], out[at + 1] = 13, 10
    return at + 2


@nb.njit(cache=True, nogil=True)
def _number(value: int, out: Bytes, at: int) -> int:
    """A number as a bulk string."""
    size = _digits(value, out, at)  # only to know how long it is
    at = _digits(value, out, _head(size - at, out, at))
    out[at], out[at + 1] = 13, 10
    return at + 2


@nb.njit(cache=True, nogil=True)
def _copy(raw: Bytes, first: int, size: int, out: Bytes, at: int) -> int:
    for i in range(size):
        out[at + i] = raw[first + i]
    return at + size


@nb.njit(cache=True, nogil=True)
def _arguments(
    prefix: Bytes, raw: Bytes, key: Longs, version: Longs, dropped: Bytes, names: Bytes, name_ends: Longs, fields: Longs,
    out: Bytes,
) -> tuple[int, int]:  # fmt: skip
    """Arguments of all rows into `out`: (how many, bytes)."""
    count = at = 0
    width = fields.shape[1]
    for i in range(len(key)):
        at = _head(1, out, at)
        out[at], out[at + 1], out[at + 2] = (68 if dropped[i] else 80), 13, 10  # D or P
        size = key[i] & LENGTH_MAX
        at = _copy(prefix, 0, len(prefix), out, _head(len(prefix) + size, out, at + 3))
        at = _copy(raw, key[i] >> REF_BITS, size, out, at)
        out[at], out[at + 1] = 13, 10
        at, count = at + 2, count + 2
        if dropped[i]:
            continue
        at = _number(version[i], out, _number(2 * width + 1, out, at))
        for j in range(width):
            before = name_ends[j - 1] if j > 0 else 0
            at = _copy(names, before, name_ends[j] - before, out, at)
            size = fields[i, j] & LENGTH_MAX
            at = _copy(raw, fields[i, j] >> REF_BITS, size, out, _head(size, out, at))
            out[at], out[at + 1] = 13, 10
            at += 2
        count += 2 + 2 * width
    return count, at
