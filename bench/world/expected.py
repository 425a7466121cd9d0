"""What J1 must give, computed another way than any engine does: numpy over each chunk, customers sorted together."""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bench.world.data import Chunk

Array = NDArray[Any]
FIRST_DAY, MONTH_DAYS = 20_500, 30
THRESHOLDS = (0, 10**9, 10**10, 10**11)


class Sums(NamedTuple):
    """What every engine's result is checked against. A customer's order counts in the last two."""

    balance: int  # of all customers, fen
    integral: int  # of all customers, fen days
    months: int  # of all customers and months, fen days
    changes: int  # of tier, which are the output
    crc: int  # sum of the CRC-32 of every output value


@dataclass(slots=True)
class Expected:
    """Sums over the chunks added so far, in their order."""

    customers: int
    integral: Array = field(init=False)
    tier: Array = field(init=False)
    totals: list[int] = field(default_factory=lambda: [0] * len(Sums._fields))

    def __post_init__(self) -> None:
        self.integral, self.tier = np.zeros(self.customers, np.int64), np.zeros(self.customers, np.int64)

    def add(self, chunk: Chunk) -> None:
        """One more chunk of bench.parts.j1.events, whose amounts are signed."""
        customer = chunk.keys[:, 1:].astype(np.int64) @ 10 ** np.arange(chunk.keys.shape[1] - 2, -1, -1)
        customer -= ord("0") * int("1" * (chunk.keys.shape[1] - 1))
        order = np.argsort(customer, kind="stable")
        who, amount, day = customer[order], chunk.amount[order], chunk.value_day[order]
        starts = np.flatnonzero(np.diff(who, prepend=-1))
        runs = np.diff(starts, append=len(who))
        part = amount * day
        total = np.cumsum(part)
        total += np.repeat(self.integral[who[starts]] - (total[starts] - part[starts]), runs)
        reached = sum((total // 1000 >= threshold).astype(np.int64) for threshold in THRESHOLDS)
        before = np.roll(reached, 1)
        before[starts] = self.tier[who[starts]]
        ends = starts + runs - 1
        self.integral[who[ends]], self.tier[who[ends]] = total[ends], reached[ends]
        moved = np.flatnonzero(reached != before)
        told = zip(who[moved].tolist(), before[moved].tolist(), reached[moved].tolist(), strict=True)
        crc = sum(zlib.crc32(b"C%08d,%d,%d" % change) for change in told)
        months = int((amount * (MONTH_DAYS - (day - FIRST_DAY) % MONTH_DAYS)).sum())
        found = (int(amount.sum()), int(part.sum()), months, len(moved), crc)
        self.totals = [a + b for a, b in zip(self.totals, found, strict=True)]

    def sums(self) -> Sums:
        """So far."""
        return Sums(*self.totals)
