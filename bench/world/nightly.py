"""The nightly file: a balance snapshot of every account of a bank, as the product's contract has it."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from bench.world.bank import Bank, Moves
from bench.world.data import (
    ACCOUNT_WIDTH,
    ACCOUNTS_EACH,
    CUSTOMER_WIDTH,
    EVENT_WIDTH,
    NULL,
    Array,
    Chunk,
    World,
    digits,
    instant,
)
from schemas.codec.encoder import Writer, encode_columns
from streams.accounts.store import REF_BITS

FIXED = ("core", "CNY", "deposit_demand", "wealth", "B001")
OFF_EVERY, OFF_FEN = 1_000, 12_345  # so many accounts' balances are more than their postings say


def balances(world: World, moves: list[Moves], day: int, chunk: int = 250_000) -> Iterator[Chunk]:
    """A snapshot an account as of the end of `day`: what its postings sum up to, on some accounts a little more.

    A chunk's amounts are what the snapshots move: the little more, valued on the day.
    """
    held = np.zeros(world.accounts, np.int64)
    for move in moves:
        np.add.at(held, move.account, move.amount)
    writer = Writer("balances")
    for first in range(0, world.accounts, chunk):
        account = np.arange(first, min(first + chunk, world.accounts))
        off = np.where(account % OFF_EVERY == 0, OFF_FEN, 0)
        yield _encoded(world, writer, account, held[account] + off, off, day)


def _encoded(world: World, writer: Writer, account: Array, balance: Array, moved: Array, day: int) -> Chunk:
    n, customer = len(account), account // ACCOUNTS_EACH
    keys = digits("C", customer, CUSTOMER_WIDTH)
    parts = [digits("S", account, EVENT_WIDTH), keys, digits("A", account, ACCOUNT_WIDTH)]
    refs, at = [], 0
    for part in parts:
        refs.append(((at + np.arange(n) * part.shape[1]) << REF_BITS) | part.shape[1])
        at += part.size
    fixed = {}
    for text in FIXED:
        fixed[text] = at << REF_BITS | len(text)
        at += len(text)
    raw = np.concatenate([*(part.ravel() for part in parts), np.frombuffer("".join(FIXED).encode(), np.uint8)])
    cut_off = int(instant(np.int64(day + 1), np.int64(0))) - 1
    columns = {
        "event_id": refs[0], "source": fixed["core"], "customer_id": refs[1], "account_id": refs[2],
        "asset_class": np.where(account % 2, fixed["wealth"], fixed["deposit_demand"]), "currency": fixed["CNY"],
        "balance_minor": balance, "cutoff_at": cut_off, "business_day": day, "version": 1, "opened_on": NULL,
        "branch": fixed["B001"],
    }  # fmt: skip
    data = np.empty((n, writer.width), np.int64)
    for name, column in columns.items():
        data[:, writer.index[name]] = column
    values, ends = encode_columns(writer, data, raw)
    days = np.full(n, day)
    return Chunk(
        n, keys, values, ends, world.partition[customer], account, moved, days, np.full(n, cut_off), account
    )  # fmt: skip


def load(bank: Bank, day: int) -> tuple[int, float]:
    """Sends the file of a day and has the workers take it: (snapshots, seconds from its commit to theirs)."""
    found = bank.load(balances(bank.world, list(bank.moves), day), "balances")
    return found.events, found.seconds
