"""What the bank rules ask of a branch in figures, compared exactly: a bound that is reached is met (C-01).

Shares are compared by products of whole numbers, so that nothing is rounded before the answer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from services.access.decision import Role

if TYPE_CHECKING:
    from collections.abc import Mapping

GROWTH_PERCENT: Final = 15
"""R-197: gold and above, in a year."""

GOLD_SHARE_PERCENT: Final = 1
"""R-198: gold and above in all customers."""

CHURN_CUT_PERCENT: Final = 20
"""R-274: of last year's rate."""

NEW_VIPS: Final = 20
"""R-275: in a year."""

WHOLE_PERCENT: Final = 100

PORTFOLIO_ROLES: Final[Mapping[str, Role]] = {
    "outlet-head": Role.BRANCH_MANAGER, "lobby-manager": Role.LOBBY, "teller": Role.TELLER,
}  # fmt: skip
"""Roles as packs name them under `portfolio` (R-203), with those of the list of staff. The others have none there yet."""


class VipLoss(NamedTuple):
    """How many VIPs a year began with, and how many of them were none at its end."""

    lost: int
    at_start: int


def growth_met(before: int, after: int) -> bool | None:
    """Whether a number has grown as R-197 asks; None where there was nobody."""
    return WHOLE_PERCENT * after >= (WHOLE_PERCENT + GROWTH_PERCENT) * before if before > 0 else None


def gold_share_met(golds: int, customers: int) -> bool | None:
    """Whether gold and above are so many as R-198 asks; None where there is nobody."""
    return WHOLE_PERCENT * golds >= GOLD_SHARE_PERCENT * customers if customers > 0 else None


def churn_met(last: VipLoss, now: VipLoss) -> bool | None:
    """Whether the rate is as far below last year's as R-274 asks; None where last year has no rate that could fall."""
    if not (last.lost > 0 and last.at_start > 0 and now.at_start > 0):
        return None
    left = WHOLE_PERCENT - CHURN_CUT_PERCENT
    return WHOLE_PERCENT * now.lost * last.at_start <= left * last.lost * now.at_start


def new_vips_met(gained: int) -> bool:
    """Whether so many are new as R-275 asks."""
    return gained >= NEW_VIPS


def minima_of(portfolio: Mapping[str, int]) -> dict[Role, int]:
    """A pack's `portfolio` by the roles of the list of staff (R-203)."""
    return {PORTFOLIO_ROLES[name]: least for name, least in portfolio.items() if name in PORTFOLIO_ROLES}


def portfolio_met(customers: int, least: int | None) -> bool | None:
    """Whether somebody has so many customers as his role asks; None where it asks nothing."""
    return None if least is None else customers >= least
