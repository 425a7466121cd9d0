"""The slow twin of alerts out of the outlook: one customer, one rule, one close after the other, told in words."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction


@dataclass(frozen=True)
class View:
    """A customer's outlook at a close; `to_hold` by tier above the lowest, None: no amount is enough. None: held."""

    as_of: int
    next_close: int
    tier: int
    projected: int
    to_hold: list[int | None]
    lost_close: int | None
    aum: int


@dataclass(frozen=True)
class SlowRule:
    """A rule of a pack: of either kind, by tier."""

    kind: str
    cool_down_days: int
    at_most: dict[int, int]
    basis_points: dict[int, int]
    within_days: dict[int, int]

    def met(self, view: View) -> bool:
        """Whether the rule is met at a close."""
        if self.kind == "upgrade_near":
            need = view.to_hold[view.tier] if view.tier < len(view.to_hold) else None
            if need is None:
                return False
            by_amount = view.tier in self.at_most and need <= self.at_most[view.tier]
            share = self.basis_points.get(view.tier)
            return by_amount or (
                share is not None and view.aum > 0 and Fraction(need, view.aum) <= Fraction(share, 10_000)
            )
        if view.lost_close is None or view.tier not in self.within_days:
            return False
        return view.lost_close <= view.next_close or view.lost_close - view.as_of <= self.within_days[view.tier]


class SlowWatch:
    """The life of one rule's alerts for one customer."""

    def __init__(self, rule: SlowRule) -> None:
        self.rule = rule
        self.raised_on: int | None = None  # of the last alert
        self.told: View | None = None  # of the alert that stands

    def close(self, view: View | None) -> list[tuple[str, int]]:
        """[(status, day the alert was raised)] of a close."""
        if view is None:
            return []
        met, said = self.rule.met(view), []
        if self.told is not None and (not met or view.tier != self.told.tier):
            said.append(("closed", self.raised_on))
            self.told = None
        if self.told is not None and self.further(self.told, view):
            said.append(("deepened", self.raised_on))
            self.told = view
        elif met and self.told is None and self.rested(view.as_of):
            self.raised_on, self.told = view.as_of, view
            said.append(("raised", view.as_of))
        return said

    def rested(self, day: int) -> bool:
        """Whether the cool-down is over."""
        return self.raised_on is None or day >= self.raised_on + max(self.rule.cool_down_days, 1)

    def further(self, told: View, view: View) -> bool:
        """Whether it gets more, or comes sooner, than was told."""
        before, now = told.projected - told.tier, view.projected - view.tier
        if self.rule.kind == "upgrade_near":
            return now > max(before, 0)
        if view.lost_close is None:
            return False
        return told.lost_close is None or view.lost_close < told.lost_close or now < min(before, 0)
