"""How a tier is left, the slow and obvious way: the whole history of a customer is kept, and every close looks back over it.

Nothing here is taken from the product but the calendar's words; docs/tiers.md#leaving-a-tier is what it is written from.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, field

_EPOCH = dt.date(1970, 1, 1)


def months_on(day: int, months: int) -> int:
    """The same day of the month so much later, or the month's last."""
    at = _EPOCH + dt.timedelta(day)
    count = at.year * 12 + at.month - 1 + months
    first = dt.date(count // 12, count % 12 + 1, 1)
    last = dt.date((count + 1) // 12, (count + 1) % 12 + 1, 1) - dt.timedelta(1)
    return (first.replace(day=min(at.day, last.day)) - _EPOCH).days


@dataclass(frozen=True)
class Rules:
    """ranks: of each tier, lowest first; closes by name; 0 or none: not asked."""

    ranks: tuple[int, ...]
    permanent: frozenset[int] = frozenset()
    upgrades: str = "month"
    downgrades: str = "month"
    grace: int = 0
    keep: int = 0
    steps: int = 0
    exempt: int = 0
    notice: int = 0
    delay_up: int = 0
    delay_down: int = 0
    joined: int | None = None
    closed: frozenset[int] = frozenset()  # weekdays on which the bank is closed
    worked: frozenset[int] = frozenset()  # days of a weekend on which it is open


@dataclass
class Leaving:
    """One customer. `entries`: (first day, tier, by the standard); `told`: what was said of changes to come."""

    rules: Rules
    entries: list[tuple[int, int, bool]] = field(default_factory=lambda: [(-1, 0, False)])
    pending: tuple[int, int, int] | None = None  # tier, first day, close
    closes: list[tuple[int, frozenset[str], bool, int]] = field(default_factory=list)  # day, ends, was below, tier then
    told: list[tuple[str, int, int, int]] = field(default_factory=list)  # kind, close, tier, first day
    vetoed: bool = False

    @property
    def tier(self) -> int:
        """As decided so far."""
        return self.entries[-1][1]

    def close(self, day: int, ends: frozenset[str], measured: int, *, vetoed: bool = False) -> None:
        """A close: the tier that the standard gives, and whether the veto that acts at once is met."""
        rules, rank = self.rules, self.rules.ranks
        if self.pending is not None and self.pending[1] <= day:
            self._comes()
        if vetoed:
            self._drop(day)
            if self.tier != 0:
                self.entries.append((day + 1, 0, False))
        else:
            had = [tier for _, tier, standard in self.entries if standard and tier in rules.permanent]
            floor = max(had, key=lambda tier: (rank[tier], -had.index(tier)), default=0)
            wanted = floor if rank[floor] > rank[measured] else measured
            self.closes.append((day, ends, rank[wanted] < rank[self.tier], len(self.entries)))
            if rank[wanted] >= rank[self.tier]:
                self._up(day, ends, wanted)
            else:
                self._down(day, ends, wanted)
        if self.pending is not None and self.pending[1] <= day + 1:
            self._comes()

    def _up(self, day: int, ends: frozenset[str], wanted: int) -> None:
        rules, same = self.rules, self.rules.ranks[wanted] == self.rules.ranks[self.tier]
        falling = self.pending is not None and rules.ranks[self.pending[0]] < rules.ranks[self.tier]
        if wanted != self.tier and rules.upgrades in ends:
            self._change(day, wanted, self._business_day(day, rules.delay_up))
        elif (falling and rules.downgrades in ends) or (not falling and same and rules.upgrades in ends):
            self._drop(day)

    def _down(self, day: int, ends: frozenset[str], wanted: int) -> None:
        rules = self.rules
        rising = self.pending is not None and rules.ranks[self.pending[0]] >= rules.ranks[self.tier]
        kept = max(self._kept_until(), self._exempt_until())
        months = [
            below for at, ended, below, since in self.closes
            if since == len(self.entries) and ("month" in ended or not below) and (at >= kept or not below)
        ]  # fmt: skip
        in_a_row = next((n for n, below in enumerate(reversed(months)) if not below), len(months))
        lost = rules.grace == 0 or in_a_row > rules.grace
        if rules.downgrades in ends and lost and day + 1 >= kept:
            ranks = sorted(set(rules.ranks))
            place = ranks.index(rules.ranks[self.tier])
            least = ranks[max(place - rules.steps, 0)] if rules.steps else ranks[0]
            to = wanted if rules.ranks[wanted] >= least else rules.ranks.index(least)
            self._change(day, to, max(self._business_day(day, rules.delay_down), day + rules.notice + 1))
        elif rising and rules.upgrades in ends:
            self._drop(day)

    def _kept_until(self) -> int:
        rank, keep = self.rules.ranks, self.rules.keep
        rose = 0
        for (_, before, _), (first, tier, _) in zip(self.entries, self.entries[1:], strict=False):
            if rank[tier] > rank[before]:
                rose = months_on(first, keep) if keep else 0
            elif rank[tier] < rank[before]:
                rose = 0
        return rose

    def _exempt_until(self) -> int:
        joined = self.rules.joined
        return 0 if joined is None or not self.rules.exempt else months_on(joined, self.rules.exempt)

    def _business_day(self, day: int, count: int) -> int:
        if count == 0:
            return day + 1
        found = 0
        while found < count:
            day += 1
            weekend = (_EPOCH + dt.timedelta(day)).weekday() >= 5
            found += (not weekend and day not in self.rules.closed) or (weekend and day in self.rules.worked)
        return day

    def _change(self, day: int, to: int, first: int) -> None:
        if first == day + 1:
            self._drop(day)
            self.entries.append((first, to, True))
        elif self.pending is None or self.pending[0] != to:
            self._drop(day)
            self.pending = (to, first, day)
            falls = self.rules.ranks[to] < self.rules.ranks[self.tier]
            self.told.append(("notice" if falls and self.rules.notice else "pending", day, to, first))

    def _drop(self, day: int) -> None:
        if self.pending is not None:
            self.told.append(("withdrawn", day, self.pending[0], day + 1))
            self.pending = None

    def _comes(self) -> None:
        assert self.pending is not None
        self.entries.append((self.pending[1], self.pending[0], True))
        self.pending = None
