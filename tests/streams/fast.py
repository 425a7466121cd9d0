"""The fast ledger asked like the slow twin: exact metrics, breaks, and its state in a form that can be compared."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from fractions import Fraction
from typing import Any

import numpy as np
from hypothesis import Phase, settings

from streams.accounts.entries import OPEN_END
from streams.accounts.findings import Break, UnmatchedReversal
from streams.accounts.ledger import Ledger
from streams.accounts.store import BREAK, DELTA, JOURNAL, LATE, POSTING
from streams.money import NANO
from streams.vocabulary.metrics import COLUMNS
from tests.streams.feed import feed
from tests.twins.definitions import IN_SCOPE, Rules, month_first

# Whole banks of events against a slow twin: to shrink one takes longer than a test may last. The blob repeats it.
unshrunk = settings(phases=(Phase.explicit, Phase.reuse, Phase.generate))
FIELDS = ("base", "posted", "first_day", "snapshots", "partial", "rolled")


RULES = Rules()


def column(name: str) -> str:
    """month_avg[0] as the ledger's month_avg_0."""
    return name.replace("[", "_").replace("]", "")


class Fast:
    """A ledger with what a close does around it."""

    def __init__(self) -> None:
        self.ledger = Ledger("CNY", "Asia/Shanghai")
        self.scope = self.ledger.scope_of(sorted(IN_SCOPE))
        self.statuses: list[int] = []
        self.breaks: dict[tuple[str, int], Break] = {}
        self.unmatched: list[tuple[str, UnmatchedReversal]] = []

    def add(self, events: Iterable[Mapping[str, Any]]) -> list[int]:
        """Feeds events; their statuses."""
        statuses, _ = feed(self.ledger, list(events))
        self.statuses += statuses
        return statuses

    def close(self, day: int) -> None:
        """A close as the standing job does it; later breaks of a snapshot replace earlier ones."""
        for found in self.ledger.breaks():
            self.breaks[self.ledger.account_id(found.account), found.instant] = found
        for alone in self.ledger.unmatched_reversals(day):
            self.unmatched.append((self.ledger.account_id(alone.account), alone))
        self.ledger.open_day(day)
        self.ledger.fold_day()

    def told(self, steps: Iterable[Mapping[str, Any] | int], last: int | None = None) -> Fast:
        """Events and closes in order, consecutive events as blocks; then a close of `last`."""
        block: list[Mapping[str, Any]] = []
        for step in steps:
            if isinstance(step, int):
                self.add(block)
                block = []
                self.close(step)
            else:
                block.append(step)
        self.add(block)
        if last is not None:
            self.close(last)
        return self

    def days(self) -> tuple[int, int]:
        """The first and the last day that metrics can be asked for."""
        return month_first(self.ledger.closed + 1, 1), int(self.ledger.clock[OPEN_END])

    def metrics(self, as_of: int) -> dict[str, dict[str, Fraction | None]]:
        """Exact metrics of every customer by customer and column; None where held."""
        n = self.ledger.columns.customer_count
        found = self.ledger.metrics(self.scope, as_of, np.arange(n))
        rows = {}
        for i in range(n):
            sums = [int(u) * NANO + int(v) for u, v in zip(found.units[i], found.nano[i], strict=True)]
            values = [Fraction(total, NANO * int(days)) for total, days in zip(sums, found.days, strict=True)]
            pairs = zip(COLUMNS, values, found.held[i], strict=True)
            rows[self.ledger.customer_id(i)] = {name: None if held else value for name, value, held in pairs}
        return rows

    def first_days(self) -> dict[str, int]:
        """The first day of every customer."""
        ledger, out = self.ledger, {}
        for slot in range(ledger.columns.customer_count):
            days = [int(ledger.store.accounts["first_day"][a]) for a in ledger.accounts_of(slot)]
            out[ledger.customer_id(slot)] = min(days)
        return out


def state(ledger: Ledger, *, reported: bool = True) -> dict[str, Any]:
    """The state in a form that the order of arrival leaves no trace in. Codes are replaced by their names.

    Without `reported` it leaves out what tells of when something was known: late changes, reported breaks, touches.
    """
    out: dict[str, Any] = {"rates": ledger.rates.items(), "clock": ledger.clock.tolist()}
    for slot in range(ledger.columns.account_count):
        a = ledger.store.accounts[slot]
        row = {name: int(a[name]) for name in (*FIELDS, *(("touched", "folded") if reported else ()))}
        row["sums"] = a["sums"].tolist()
        row["owner"] = ledger.customer_id(int(a["customer"]))
        row["class"], row["currency"] = ledger.classes.text(int(a["asset_class"])), int(a["currency"])
        row["journal"] = sorted(_journal(ledger, slot))
        entries: Counter[tuple[Any, ...]] = Counter()
        for e in ledger.entries_of(slot).tolist():
            booked, amount, day, print_, extra, kind, nature, flags = e
            if kind == JOURNAL or (not reported and kind in (LATE, BREAK)) or (kind in (DELTA, LATE) and amount == 0):
                continue
            if kind == POSTING:  # its fingerprint is mixed with the code of its source
                extra, print_ = ledger.banks.text(extra) if extra >= 0 else extra, None
            entries[booked, amount, day, print_, extra, kind, nature, flags] += 1
        row["entries"] = sorted(entries.items(), key=repr)
        out[ledger.account_id(slot)] = row
    return out


def _journal(ledger: Ledger, slot: int) -> list[tuple[str, int, int]]:
    """(source, lowest, highest) of the journal's intervals."""
    a = ledger.store.accounts[slot]
    found = [
        (ledger.sources.text(e["day"]), int(e["booked"]), int(e["amount"]))
        for e in ledger.entries_of(slot)
        if e["kind"] == JOURNAL
    ]
    if a["journal_source"] >= 0:
        found.append((ledger.sources.text(a["journal_source"]), int(a["journal_low"]), int(a["journal_high"])))
    return found


def differences(one: dict[str, Any], other: dict[str, Any]) -> list[tuple[Any, ...]]:
    """Where two states differ: (account, field, what one has alone, what the other has alone)."""
    found = []
    for key in sorted(one.keys() | other.keys()):
        a, b = one.get(key), other.get(key)
        if a == b:
            continue
        if not isinstance(a, dict) or not isinstance(b, dict):
            found.append((key, a, b))
            continue
        for name in a:
            if a[name] != b[name]:
                mine, other_ = a[name], b[name]
                if isinstance(mine, list) and name != "sums":
                    mine, other_ = ([x for x in mine if x not in b[name]], [x for x in other_ if x not in a[name]])
                found.append((key, name, mine, other_))
    return found
