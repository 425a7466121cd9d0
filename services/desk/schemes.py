"""What the desk's figures need of the packs: which tier is higher, who is a VIP, who has gold or more, customers a person.

A tier is known by its pack and its id; where classes of a pack have the same ids, a VIP of one is one of all.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from policies.model.pack import Pack

TierKey = tuple[str, str]
"""A pack's id and a tier's."""

GOLD: Final = "gold"
UP, DOWN = "up", "down"


class Schemes(NamedTuple):
    """levels: of tiers, from 0 up. golds: of packs that have such a tier, it and those above. portfolio: by the pack's role."""

    levels: Mapping[TierKey, int]
    vips: frozenset[TierKey]
    golds: frozenset[TierKey]
    portfolio: Mapping[str, int]

    def direction(self, pack_id: str, before: str, after: str) -> str:
        """UP or DOWN; empty where the pack doesn't say which tier is higher."""
        old, new = self.levels.get((pack_id, before)), self.levels.get((pack_id, after))
        if old is None or new is None or old == new:
            return ""
        return UP if new > old else DOWN

    def height(self, pack_id: str, tier: str) -> int:
        """A tier's level, by which lists of tiers are in order; -1 for one that no pack knows."""
        return self.levels.get((pack_id, tier), -1)


def schemes_of(packs: Iterable[Pack]) -> Schemes:
    """Of the packs of the settings."""
    levels, portfolio = dict[TierKey, int](), dict[str, int]()
    vips, golds = set[TierKey](), set[TierKey]()
    for pack in packs:
        for policy in pack.classes.values():
            portfolio |= policy.portfolio
            ids = [tier.id for tier in policy.tiers]
            levels |= {(pack.id, tier): policy.level(tier) for tier in ids}
            vips |= {(pack.id, tier) for tier in ids if policy.is_vip(tier)}
            if GOLD in ids:
                golds |= {(pack.id, tier) for tier in ids if policy.rank(tier) >= policy.rank(GOLD)}
    return Schemes(levels, frozenset(vips), frozenset(golds), portfolio)
