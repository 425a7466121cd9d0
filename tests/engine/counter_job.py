"""A small job that shows what the engine promises: order-free sums, order-sensitive tiers, a barrier, dead letters.

Two inputs, `left` and `right`. A record's key is a customer's number (8 bytes), its value an amount (8 bytes) or a mark
(`M` and a number, 9 bytes); anything else is a dead letter. Per customer and input: a sum, and a tier reached by it,
emitted at every change with the id topic/partition/offset. An input stops at mark n until the other has reached its
own; then the totals are published. So every output is a function of the log, whatever the interleaving of the inputs.
"""

import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache

import numba as nb
import numpy as np

from agents.engine.job import TP, Block, Outcome, Rejoin, Upgrade
from agents.engine.transport import records

CUSTOMERS = 2000
THRESHOLDS = (1_000, 10_000, 100_000, 1_000_000)
LIMITS = np.array(THRESHOLDS, np.int64)
EVENT, MARK, BAD = 0, 1, 2
ROW = struct.Struct(">2q2q")


@nb.njit(cache=True, nogil=True)
def _varint(b, p):
    r, s = np.uint64(0), np.uint64(0)
    while True:
        x = b[p]
        p += 1
        r |= np.uint64(x & 127) << s
        if x < 128:
            return np.int64(r >> np.uint64(1)) ^ -np.int64(r & np.uint64(1)), p
        s += np.uint64(7)


@nb.njit(cache=True, nogil=True)
def _int(b, p, n):
    r = np.int64(0)
    for i in range(n):
        r = (r << 8) | b[p + i]
    return r


@nb.njit(cache=True, nogil=True)
def parse(b, start, stop, offs, kind, slot, amount):
    """Columns of the records in [start, stop), each offset once; gives their number."""
    p = k = 0
    while p < len(b):
        base, q = _int(b, p, 8), p + 61
        for _ in range(_int(b, p + 57, 4)):
            n, q = _varint(b, q)
            nxt = q + n
            _, q = _varint(b, q + 1)
            delta, q = _varint(b, q)
            nk, q = _varint(b, q)
            key = q
            nv, q = _varint(b, q + max(nk, 0))
            offset = base + delta
            if start <= offset < stop:
                offs[k], kind[k], slot[k], amount[k] = offset, BAD, 0, 0
                if nv == 9 and b[q] == 77:
                    kind[k], amount[k] = MARK, _int(b, q + 1, 8)
                elif nk == 8 and nv == 8:
                    s = _int(b, key, 8)
                    if 0 <= s < CUSTOMERS:
                        kind[k], slot[k], amount[k] = EVENT, s, _int(b, q, 8)
                k += 1
                start = offset + 1
            q = nxt
        p += 12 + _int(b, p + 8, 4)
    return k


@nb.njit(cache=True, nogil=True)
def apply(t, offs, kind, slot, amount, i, closed, sums, last, tier, dirty, limits, once, live, at, old, new):
    """Apply from row i on, up to a mark above `closed`; gives the next row and the number of tier changes."""
    k = 0
    while i < len(offs) and not (kind[i] == MARK and amount[i] > closed):
        s = slot[i]
        if kind[i] == EVENT and not (once and offs[i] <= last[s, t]):
            sums[s, t] += amount[i]
            last[s, t] = offs[i]
            dirty[s] = True
            if live:
                x = 0
                for limit in limits:
                    x += sums[s, t] >= limit
                if x != tier[s, t]:
                    at[k], old[k], new[k], k = i, tier[s, t], x, k + 1
                    tier[s, t] = x
        i += 1
    return i, k


@dataclass(slots=True)
class Chunk:
    """A decoded block: columns, the next row to consume, bad values by offset."""

    offs: np.ndarray
    kind: np.ndarray
    slot: np.ndarray
    amount: np.ndarray
    end: int
    size: int
    bad: dict[int, bytes]
    at: int = 0


class CounterJob:
    """See the module."""

    inputs = ("left", "right")
    state_format = unmarked_format = 1
    upgrades: Mapping[int, Upgrade] = {}

    def __init__(self, idempotent: bool = False):
        self.idempotent = idempotent
        self.sums, self.last = np.zeros((CUSTOMERS, 2), np.int64), np.full((CUSTOMERS, 2), -1, np.int64)
        self.tier, self.dirty = np.zeros((CUSTOMERS, 2), np.int8), np.zeros(CUSTOMERS, np.bool_)
        self.flushing: list[int] = []
        self.closed = 0
        self.waiting: dict[str, list[Chunk]] = {"left": [], "right": []}
        self.next: dict[str, int] = {}
        warm()

    def begin(self, partition: int, positions: dict[str, int]) -> None:
        self.partition, self.next = partition, dict(positions)

    def feed(self, block: Block, stop: int | None = None) -> None:
        topic = block.tp.topic
        start, end = self.next[topic], min(block.end, block.end if stop is None else stop)
        if block.start > start:
            raise Rejoin(f"{topic}: block starts at {block.start}, expected {start}")
        if end <= start:
            return
        raw = np.frombuffer(b"".join(block.batches), np.uint8)
        n = sum(int.from_bytes(x[57:61], "big") for x in block.batches)
        columns = [np.empty(n, np.int64), np.empty(n, np.int8), np.empty(n, np.int64), np.empty(n, np.int64)]
        n = parse(raw, start, end, *columns)
        offs, kind, slot, amount = (c[:n] for c in columns)
        bad = {}
        if (kind == BAD).any():
            bad = {o: v or b"" for o, _, v in records(block) if o in set(offs[kind == BAD].tolist())}
        self.waiting[topic].append(Chunk(offs, kind, slot, amount, end, block.size, bad))
        self.next[topic] = end

    def held_bytes(self, topic: str) -> int:
        return sum(c.size for c in self.waiting[topic])

    def days(self) -> dict[str, int]:
        """None."""
        return {}

    def source_days(self) -> dict[str, int]:
        """Of no source."""
        return {}

    def has_own_work(self) -> bool:
        return False

    def positions(self) -> dict[str, int]:
        return {t: int(w[0].offs[w[0].at]) if (w := self.waiting[t]) else self.next[t] for t in self.inputs}

    def work(self, live: bool) -> Outcome:
        out, dead, rows, closes, events = [], [], {}, [], 0
        while True:
            for t, topic in enumerate(self.inputs):
                events += self.consume(t, topic, live, out, dead, rows)
            if not all(self.waiting[topic] for topic in self.inputs):
                break
            self.closed += 1  # every input stands at a mark above the last
            closes.append((b"%d" % self.closed, b"%d %d" % tuple(self.sums.sum(axis=0).tolist())))
            rows[b"c"] = b"%d" % self.closed
        if not live:
            return Outcome(events=events)
        outputs = [(name, pairs) for name, pairs in (("tiers", out), ("dead", dead), ("closes", closes)) if pairs]
        return Outcome(outputs, list(rows.items()), events, {"dead_letters": len(dead), "closes": len(closes)})

    def consume(self, t: int, topic: str, live: bool, out: list, dead: list, rows: dict) -> int:
        """Consume an input up to its next mark."""
        waiting, events = self.waiting[topic], 0
        while waiting:
            c, first = waiting[0], waiting[0].at
            at, old, new = (np.empty(len(c.offs), np.int64) for _ in range(3))
            c.at, k = apply(
                t, c.offs, c.kind, c.slot, c.amount, first, self.closed, self.sums, self.last, self.tier, self.dirty,
                LIMITS, self.idempotent, live, at, old, new,
            )  # fmt: skip
            events += c.at - first
            for i, a, b in zip(at[:k].tolist(), old[:k].tolist(), new[:k].tolist(), strict=True):
                s = int(c.slot[i])
                out.append(
                    (s.to_bytes(8, "big"), b"%s/%d/%d %d>%d" % (topic.encode(), self.partition, c.offs[i], a, b))
                )
                rows[b"t" + s.to_bytes(8, "big")] = self.tier[s].tobytes()
            stop = c.offs[c.at] if c.at < len(c.offs) else c.end
            for o in [o for o in c.bad if o < stop]:
                dead.append((b"%s/%d/%d" % (topic.encode(), self.partition, o), c.bad.pop(o)))
            if c.at < len(c.offs):
                break
            del waiting[0]
        return events

    def dirty_count(self) -> int:
        return len(self.flushing) + int(self.dirty.sum())

    def take_dirty(self, rows_max: int | None) -> tuple[list[tuple[bytes, bytes]], bool]:
        if not self.flushing:
            self.flushing = np.flatnonzero(self.dirty).tolist()
            self.dirty[:] = False
        n = len(self.flushing) if rows_max is None else rows_max
        taken, self.flushing = self.flushing[:n], self.flushing[n:]
        rows = [(b"r" + s.to_bytes(8, "big"), ROW.pack(*self.sums[s].tolist(), *self.last[s].tolist())) for s in taken]
        return rows, not self.flushing

    def take_elsewhere(self) -> list[tuple[TP, list[tuple[bytes, bytes]]]]:
        return []

    def fence(self) -> bytes:
        return b"meta\nof %d" % self.closed

    def load(self, rows: Iterable[tuple[bytes, bytes | None]]) -> None:
        for key, value in rows:
            if key == b"c":
                self.closed = int(value or b"0")
                continue
            s = int.from_bytes(key[1:], "big")
            if key[:1] == b"r":
                fields = ROW.unpack(value or b"")
                self.sums[s], self.last[s] = fields[:2], fields[2:]
            else:
                self.tier[s] = np.frombuffer(value or b"", np.int8)

    def load_fence(self, meta: bytes) -> None:
        assert meta.startswith(b"meta\nof ")


class NewerCounterJob(CounterJob):
    """A version whose rows of sums begin with a byte of their own, and whose fence says so."""

    state_format = 2
    upgrades = {1: Upgrade({b"r": lambda value: b"+" + value}, lambda meta: b"newer " + meta)}  # noqa: RUF012

    def take_dirty(self, rows_max: int | None) -> tuple[list[tuple[bytes, bytes]], bool]:
        rows, complete = super().take_dirty(rows_max)
        return [(key, b"+" + value) for key, value in rows], complete

    def load(self, rows: Iterable[tuple[bytes, bytes | None]]) -> None:
        given = list(rows)
        assert all((value or b"")[:1] == b"+" for key, value in given if key[:1] == b"r")
        super().load((key, (value or b"")[1:] if key[:1] == b"r" else value) for key, value in given)

    def fence(self) -> bytes:
        return b"newer " + super().fence()

    def load_fence(self, meta: bytes) -> None:
        assert meta.startswith(b"newer ")
        super().load_fence(meta.removeprefix(b"newer "))


@cache
def warm() -> None:
    """Compile the kernels: before the group is joined, or heartbeats starve."""
    empty, small = np.empty(0, np.int64), np.empty(0, np.int8)
    parse(np.frombuffer(b"", np.uint8), 0, 0, empty, small, empty, empty)
    table, tier = np.zeros((1, 2), np.int64), np.zeros((1, 2), np.int8)
    apply(
        0,
        empty,
        small,
        empty,
        empty,
        0,
        0,
        table,
        table,
        tier,
        np.zeros(1, np.bool_),
        LIMITS,
        False,
        True,
        empty,
        empty,
        empty,
    )
