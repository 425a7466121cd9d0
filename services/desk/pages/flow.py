"""The customers of a month from tier to tier, as places of a drawing: the template writes the SVG.

Tiers of before stand left, those of after right, the highest on top. A ribbon is as thick as its customers are many. Places are
whole pixels.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Final, NamedTuple

from services.desk.schemes import TierKey

if TYPE_CHECKING:
    from collections.abc import Sequence

    from services.desk.queries import DeskRow
    from services.desk.schemes import Schemes

FLOW_WIDTH: Final = 720
SIDE: Final = 170
"""On each side, for names."""

POST: Final = 12
ROOM: Final = 260
"""All ribbons together are about so high."""

GAP: Final = 18
RIBBON_MIN: Final = 2
RIBBONS_MAX: Final = 40
"""The thickest ones are drawn; the table has all."""


class TierPost(NamedTuple):
    """A tier on one side: its customers, its rectangle, and the line of its name."""

    pack_id: str
    tier: str
    customers: int
    x: int
    y: int
    height: int
    left: bool


class Ribbon(NamedTuple):
    """Customers from a tier to another, by the row of the table; `path`: the outline."""

    row: DeskRow
    path: str


class FlowPicture(NamedTuple):
    """What is drawn."""

    posts: list[TierPost]
    ribbons: list[Ribbon]
    width: int
    height: int
    post_width: int = POST


def flow_of(migrations: Sequence[DeskRow], schemes: Schemes) -> FlowPicture | None:
    """migrations: rows with pack_id, from_tier, to_tier and customers, most customers first. None where nobody has moved."""
    drawn = list(migrations[:RIBBONS_MAX])
    if not drawn:
        return None
    whole = sum(row["customers"] for row in drawn)
    # From the top of either side down, so that ribbons of one post do not cross each other.
    drawn.sort(key=lambda row: tuple(_place(schemes, (row["pack_id"], row[end])) for end in ("from_tier", "to_tier")))
    thick = [max(RIBBON_MIN, ROOM * row["customers"] // whole) for row in drawn]
    left = _posts(drawn, thick, "from_tier", SIDE, schemes)
    right = _posts(drawn, thick, "to_tier", FLOW_WIDTH - SIDE - POST, schemes)
    used: dict[tuple[str, TierKey], int] = defaultdict(int)
    ribbons = []
    for row, height in zip(drawn, thick, strict=True):
        ends = []
        for end, side in (("from_tier", left), ("to_tier", right)):
            key = (row["pack_id"], row[end])
            ends.append(side[key].y + used[end, key])
            used[end, key] += height
        ribbons.append(Ribbon(row, _outline(ends[0], ends[1], height)))
    posts = [*left.values(), *right.values()]
    return FlowPicture(posts, ribbons, FLOW_WIDTH, max(post.y + post.height for post in posts) + GAP)


def _place(schemes: Schemes, key: TierKey) -> tuple[int, TierKey]:
    return -schemes.height(*key), key


def _posts(drawn: list[DeskRow], thick: list[int], end: str, x: int, schemes: Schemes) -> dict[TierKey, TierPost]:
    """The tiers of one side, from the top down."""
    heights, customers = defaultdict[TierKey, int](int), defaultdict[TierKey, int](int)
    for row, height in zip(drawn, thick, strict=True):
        key = (row["pack_id"], row[end])
        heights[key] += height
        customers[key] += row["customers"]
    found, y = dict[TierKey, TierPost](), GAP
    for key in sorted(heights, key=lambda one: _place(schemes, one)):
        found[key] = TierPost(*key, customers[key], x, y, heights[key], end == "from_tier")
        y += heights[key] + GAP
    return found


def _outline(left: int, right: int, height: int) -> str:
    """A band between two heights, bent in the middle."""
    start, end = SIDE + POST, FLOW_WIDTH - SIDE - POST
    middle = (start + end) // 2
    return (
        f"M{start} {left}C{middle} {left} {middle} {right} {end} {right}V{right + height}"
        f"C{middle} {right + height} {middle} {left + height} {start} {left + height}Z"
    )
