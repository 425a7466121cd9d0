"""Reversals in flows: each takes from the month of what it takes back, as long as both are held, else from its own.

Which posting that is follows from all postings held (streams.accounts.reversals), and may change until one of the two leaves
the horizon. So each close asks anew, and what was taken moves.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from agents.engine.job import Pair, Rows
from agents.standing.model import RowKey
from streams.accounts.entries import HORIZON_MS
from streams.accounts.ledger import Ledger
from streams.accounts.store import POSTING, REVERSAL, Array
from streams.calendar import business_day, month_of


class TakenBack(NamedTuple):
    """A reversal as it was posted, and from what it takes its amount now: `flows` in `month`.

    may: the flows that it can belong to by all but its nature; own_month, own: where it belongs by itself.
    """

    account: str
    booked: int
    day: int
    amount: int
    currency: int
    may: tuple[int, ...]
    own_month: int
    own: tuple[int, ...]
    month: int
    flows: tuple[int, ...] = ()

    @property
    def identity(self) -> tuple[str, int, int, int]:
        """What its entry in the ledger is known by."""
        return self.account, self.booked, self.day, self.amount


class FlowReversals:
    """Those of a partition's customers that may still move, by slot."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self._held: dict[int, list[TakenBack]] = {}
        self._changed: set[int] = set()

    def note(self, slot: int, taken: TakenBack) -> None:
        """A reversal has come; it takes by itself until a close has asked."""
        self._held.setdefault(slot, []).append(taken._replace(flows=taken.own))
        self._changed.add(slot)

    def settle(self, natures: Sequence[int]) -> Iterator[tuple[int, TakenBack, TakenBack]]:
        """(slot, before, now) of those that take from elsewhere now. `natures`: of each flow, a bit for each.

        Called at a close, once the clock has moved and before anything is folded.
        """
        for slot in sorted(self._held):
            accounts = {self.ledger.account_id(account): account for account in self.ledger.accounts_of(slot)}
            kept: list[TakenBack] = []
            for name in sorted({one.account for one in self._held[slot]}):
                mine = sorted(one for one in self._held[slot] if one.account == name)
                for before, now, last in self._of_account(accounts.get(name), mine, natures):
                    if (before.month, before.flows) != (now.month, now.flows):
                        yield slot, before, now
                    kept += [] if last else [now]
            if kept != self._held[slot]:
                self._changed.add(slot)
                self._held[slot] = kept
        self._held = {slot: kept for slot, kept in self._held.items() if kept}

    def _of_account(
        self, account: int | None, mine: list[TakenBack], natures: Sequence[int]
    ) -> Iterator[tuple[TakenBack, TakenBack, bool]]:
        """(Before, now, whether that is final) of the reversals of an account; of equal ones the k-th has the k-th entry."""
        ledger = self.ledger
        entries = np.zeros(0) if account is None else ledger.entries_of(account)
        found = [] if account is None else ledger.partners(account).tolist()
        horizon, places = int(ledger.clock[HORIZON_MS]), defaultdict[tuple[str, int, int, int], list[int]](list)
        for at in range(len(found)):
            entry = entries[at]
            if entry["kind"] == POSTING and entry["flags"] & REVERSAL:
                places[mine[0].account, int(entry["booked"]), int(entry["day"]), int(entry["amount"])].append(at)
        for listed in places.values():
            listed.sort(key=lambda at: _order(entries, found[at]))
        for one in mine:
            signed = self._entry_of(one, places)
            if signed is None:  # folded, or never held: it stays as it is
                yield one, one, True
                continue
            back, of = entries[signed], found[signed]
            if of < 0:
                yield one, one._replace(month=one.own_month, flows=one.own), int(back["booked"]) < horizon
                continue
            other = entries[of]
            day = business_day(int(other["booked"]), *ledger.zone)
            flows = tuple(flow for flow in one.may if natures[flow] >> int(other["nature"]) & 1)
            final = min(int(back["booked"]), int(other["booked"])) < horizon
            yield one, one._replace(month=int(month_of(int(day))), flows=flows), final

    @staticmethod
    def _entry_of(one: TakenBack, places: dict[tuple[str, int, int, int], list[int]]) -> int | None:
        listed = places.get(one.identity)
        return listed.pop(0) if listed else None

    # -- rows

    def take_rows(self) -> list[Pair]:
        """Rows changed since the last call; one without any left says so, since rows of before may still be there."""
        out: list[Pair] = []
        for slot in sorted(self._changed):
            key = RowKey.FLOW_REVERSALS + self.ledger.customer_id(slot).encode()
            out.append((key, json.dumps(self._held.get(slot, []), ensure_ascii=False).encode()))
        self._changed.clear()
        return out

    def load(self, rows: Rows) -> None:
        """Rows back; a later one counts."""
        for key, value in rows:
            read = [_read(one) for one in json.loads(value or b"[]")]
            slot = self.ledger.customer(key[1:].decode())
            self._held.pop(slot, None)
            if read:
                self._held[slot] = read


def _order(entries: Array, of: int) -> tuple[int, int]:
    """Equal reversals by what they take back, so that the order of arrival leaves no trace."""
    return (-1, 0) if of < 0 else (int(entries[of]["booked"]), int(entries[of]["nature"]))


def _read(told: list[Any]) -> TakenBack:
    """One out of a row, where tuples are lists."""
    parts: list[Any] = [tuple(part) if isinstance(part, list) else part for part in told]
    return TakenBack._make(parts)
