"""Seeded postings as the product's own contract has them: columns by numpy, Avro by the bulk encoder, no object a record.

A bench world begins with an opening credit on every account, valued three months back, so that the month close that
follows gives every customer a tier. The postings of the open month come after it, in booking order.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from schemas.codec.encoder import Writer, encode_columns
from schemas.codec.murmur import partitions_of
from schemas.registry import contract

Array = NDArray[Any]
DAY_MS = 86_400_000
ZONE_MS = 8 * 3_600_000  # Asia/Shanghai
OPENED = 20_454  # 2026-01-01: the opening credits
CLOSED = 20_543  # 2026-03-31: the month close that gives the first tiers
FIRST = CLOSED + 1
DAYS = 30  # of postings: the open month, April 2026
ACCOUNTS_EACH = 2
NULL = -(1 << 63)
BANKS = ("ICBC", "ABC", "BOC", "CCB", "CMB")
FIXED = ("core", "CNY", "deposit_demand", "wealth", "B001", "mobile", *BANKS)
NATURES = tuple(
    next(f for f in contract("transactions")["fields"] if f["name"] == "nature")["type"]["symbols"],
)
OUTSIDE_SHARE, INSIDE_SHARE, LATE_SHARE = 0.05, 0.25, 0.02  # debits to other banks, own transfers, late value dates
WATCHED_FROM = 20_000_000  # fen: gold at least, with what the month close sees
ALARM_FEN, STEP_FEN = 110_000_000, 10_000
WATCHED_TO = 4 * ALARM_FEN  # of whom an alarm takes more than a fifth
LARGE_SHARE = 0.02  # of the debits to other banks: most of the account
EVENT_WIDTH, CUSTOMER_WIDTH, ACCOUNT_WIDTH = 17, 9, 10


@dataclass(slots=True)
class Chunk:
    """Encoded postings in log order; value i is values[ends[i-1]:ends[i]]."""

    n: int
    keys: Array  # uint8[n, CUSTOMER_WIDTH]
    values: Array  # uint8
    ends: Array  # int64[n]
    partition: Array  # int64[n]
    account: Array  # int64[n]
    amount: Array  # int64[n]
    value_day: Array  # int64[n]
    booked: Array  # int64[n] instants
    event: Array  # int64[n] numbers of the events

    def event_id(self, i: int) -> str:
        """Id of event i."""
        return f"E{int(self.event[i]):0{EVENT_WIDTH - 1}d}"


def digits(prefix: str, numbers: Array, width: int) -> Array:
    """Texts of one width as bytes: uint8[n, width]."""
    out = np.empty((len(numbers), width), np.uint8)
    out[:, : len(prefix)] = np.frombuffer(prefix.encode(), np.uint8)
    rest = numbers.astype(np.int64)
    for at in range(width - 1, len(prefix) - 1, -1):
        rest, out[:, at] = rest // 10, rest % 10 + 48
    return out


@dataclass(frozen=True)
class World:
    """Customers with two accounts each and how many postings they make; everything follows from the seed."""

    customers: int
    events: int
    partitions: int = 4
    seed: int = 1
    days: int = DAYS
    alarms: tuple[tuple[int, int], ...] = ()  # of so many postings, every so many is an outflow that raises an alert

    @property
    def accounts(self) -> int:
        """Number of accounts; account a belongs to customer a // 2."""
        return self.customers * ACCOUNTS_EACH

    @cached_property
    def partition(self) -> Array:
        """Partition of each customer, by Kafka's own hash of the key."""
        return partitions_of(digits("C", np.arange(self.customers), CUSTOMER_WIDTH), self.partitions)

    @cached_property
    def opening(self) -> Array:
        """Opening credit of each account, fen: most customers ordinary, a tail up to private banking."""
        rng = np.random.default_rng([self.seed, 0])
        return np.minimum(rng.lognormal(13.5, 2.2, self.accounts), 5e10).astype(np.int64) + 1

    def prelude(self, chunk: int = 250_000) -> Iterator[Chunk]:
        """One opening credit an account."""
        for first in range(0, self.accounts, chunk):
            account = np.arange(first, min(first + chunk, self.accounts))
            n = len(account)
            day, zero = np.full(n, OPENED), np.zeros(n, np.int64)
            yield self._encode(account, account, zero + 1, self.opening[account], day, instant(day, zero), zero)

    @cached_property
    def alarm(self) -> Array:
        """Which postings raise an alert: bool[events]."""
        return np.concatenate([np.arange(count) % every == 0 for count, every in self.alarms])

    @cached_property
    def _rich(self) -> Array:
        """The first account of each customer whom an alarm is told of."""
        held = self.opening.reshape(-1, ACCOUNTS_EACH).sum(1)
        return np.flatnonzero((held > WATCHED_FROM) & (held < WATCHED_TO)) * ACCOUNTS_EACH

    @cached_property
    def _alarm_fen(self) -> Array:
        """What each alarm takes, by its place among them: twice as much in every round over the customers, so that all are told."""
        place = np.arange(int(self.alarm.sum()))
        return (ALARM_FEN << place // len(self._rich)) + place * STEP_FEN

    @cached_property
    def _picked(self) -> tuple[Array, Array]:
        """Account of each posting and its place in the account's journal."""
        account = np.random.default_rng([self.seed, 1]).integers(0, self.accounts, self.events)
        if self.alarms:
            at = np.flatnonzero(self.alarm)
            account[at] = self._rich[np.arange(len(at)) % len(self._rich)]
        order = np.argsort(account, kind="stable")
        starts = np.flatnonzero(np.diff(account[order], prepend=-1))
        place = np.arange(self.events) - np.repeat(starts, np.diff(starts, append=self.events))
        number = np.empty(self.events, np.int64)
        number[order] = place + 2  # 1 is the opening credit
        return account, number

    def postings(self, chunk: int = 250_000) -> Iterator[Chunk]:
        """The postings of the open month, in booking order."""
        for k, first in enumerate(range(0, self.events, chunk)):
            stop = min(first + chunk, self.events)
            rng, n = np.random.default_rng([self.seed, 2, k]), stop - first
            account, number = (column[first:stop] for column in self._picked)
            at = np.arange(first, stop) * self.days * DAY_MS // max(self.events, 1)
            booked_day = FIRST + at // DAY_MS
            late = rng.random(n) < LATE_SHARE
            value_day = booked_day - np.where(late, rng.integers(1, 41, n), 0)
            kind = rng.random(n)
            amount = rng.lognormal(9.5, 1.8, n).astype(np.int64) + 1
            outside, inside = kind < OUTSIDE_SHARE, kind < OUTSIDE_SHARE + INSIDE_SHARE
            nature = np.where(outside, NATURES.index("external"), NATURES.index("own_transfer"))
            nature = np.where(inside, nature, NATURES.index("external"))
            large = outside & (rng.random(n) < LARGE_SHARE)  # most of what the account began with
            if self.alarms:
                alarm = self.alarm[first:stop]
                outside, inside, late = outside | alarm, inside | alarm, late & ~alarm
                nature = np.where(alarm, NATURES.index("external"), nature)
                value_day = np.where(alarm, booked_day, value_day)
            amount = np.where(inside, -np.where(large, self.opening[account] * 7 // 10 + 1, amount), amount)
            if self.alarms:
                place = int(self.alarm[:first].sum())
                amount[alarm] = -self._alarm_fen[place : place + int(alarm.sum())]
            yield self._encode(
                np.arange(first, stop) + self.accounts, account, number, amount, value_day,
                instant(booked_day, at % DAY_MS), nature, outside,
            )  # fmt: skip

    def _encode(
        self, event: Array, account: Array, number: Array, amount: Array, day: Array, booked: Array, nature: Array,
        outside: Array | None = None,
    ) -> Chunk:  # fmt: skip
        n, writer = len(event), _writer()
        customer = account // ACCOUNTS_EACH
        keys = digits("C", customer, CUSTOMER_WIDTH)
        parts = [digits("E", event, EVENT_WIDTH), keys, digits("A", account, ACCOUNT_WIDTH)]
        refs, at = [], 0
        for part in parts:
            width = part.shape[1]
            refs.append(((at + np.arange(n) * width) << 20) | width)
            at += part.size
        fixed = {}
        for text in FIXED:
            fixed[text] = at << 20 | len(text)
            at += len(text)
        raw = np.concatenate([*(part.ravel() for part in parts), np.frombuffer("".join(FIXED).encode(), np.uint8)])
        bank = np.full(n, NULL)
        if outside is not None:
            bank = np.where(outside, np.array([fixed[b] for b in BANKS])[event % len(BANKS)], NULL)
        columns: dict[str, Any] = {
            "event_id": refs[0], "source": fixed["core"], "journal_seq": number, "customer_id": refs[1],
            "account_id": refs[2], "asset_class": np.where(account % 2, fixed["wealth"], fixed["deposit_demand"]),
            "currency": fixed["CNY"], "amount_minor": amount, "value_date": day, "booked_at": booked, "nature": nature,
            "customer_initiated": 1, "branch": fixed["B001"], "channel": fixed["mobile"], "counterparty_bank": bank,
            "counterparty_ref": NULL, "reverses": NULL,
        }  # fmt: skip
        data = np.empty((n, writer.width), np.int64)
        for name, column in columns.items():
            data[:, writer.index[name]] = column
        values, ends = encode_columns(writer, data, raw)
        return Chunk(n, keys, values, ends, self.partition[customer], account, amount, day, booked, event)


def instant(day: Array, ms: Array) -> Array:
    """The instant `ms` after the start of a business day of the bank."""
    return np.asarray(day * DAY_MS + ms - ZONE_MS)


def _writer() -> Writer:
    return Writer("transactions")
