"""A customer's monthly averages with the floors of the tiers, as places of a drawing: the template writes the SVG.

Places are whole pixels; amounts stay whole numbers of minor units.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date

WIDTH, HEIGHT = 720, 260
LEFT, RIGHT, TOP, BOTTOM = 8, 150, 16, 28
BAR_SHARE_PERCENT: Final = 60
FLOOR_REACH_PERCENT: Final = 150
"""A floor is drawn up to so far above the largest amount; those beyond would make everything else flat."""

MONTHS_A_YEAR: Final = 12


class Bar(NamedTuple):
    """A month: `month` such as 2026-03, its amount in minor units (None: not known), its rectangle."""

    month: str
    minor: int | None
    x: int
    y: int
    width: int
    height: int


class Floor(NamedTuple):
    """A tier's floor: its amount, and the height of its line."""

    tier: str
    minor: int
    y: int


class Chart(NamedTuple):
    """What is drawn, left to right and bottom to top."""

    bars: list[Bar]
    floors: list[Floor]
    width: int = WIDTH
    height: int = HEIGHT
    base: int = HEIGHT - BOTTOM
    end: int = WIDTH - RIGHT


def chart_of(as_of: date, averages: Sequence[int | None], floors: Sequence[tuple[str, int]]) -> Chart | None:
    """averages: of the last ended month and those before it, newest first. floors: tiers with what they ask.

    None where no average is known.
    """
    known = [one for one in averages if one is not None]
    if not known:
        return None
    most = max([*known, 1])
    shown = [(tier, minor) for tier, minor in floors if 100 * minor <= FLOOR_REACH_PERCENT * most]
    top = max([most, *(minor for _, minor in shown)])
    room, step = HEIGHT - TOP - BOTTOM, (WIDTH - LEFT - RIGHT) // len(averages)

    def height(minor: int) -> int:
        return max(minor, 0) * room // top

    bars = []
    for place, minor in enumerate(reversed(averages)):
        tall = height(minor or 0)
        bars.append(Bar(
            _month(as_of, len(averages) - 1 - place), minor, LEFT + place * step, HEIGHT - BOTTOM - tall,
            step * BAR_SHARE_PERCENT // 100, tall,
        ))  # fmt: skip
    return Chart(bars, [Floor(tier, minor, HEIGHT - BOTTOM - height(minor)) for tier, minor in shown])


def _month(as_of: date, back: int) -> str:
    """The month that has ended by a day, or one so many before it."""
    ended = as_of.year * MONTHS_A_YEAR + as_of.month - 1 - (0 if _ends_month(as_of) else 1) - back
    return f"{ended // MONTHS_A_YEAR}-{ended % MONTHS_A_YEAR + 1:02}"


def _ends_month(day: date) -> bool:
    return day.toordinal() == day.max.toordinal() or day.fromordinal(day.toordinal() + 1).day == 1
