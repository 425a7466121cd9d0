"""The packs that a bank has put into force: which version decides on a day, and why another one is not taken.

A bank runs one tier scheme, which may cover both classes of customers or leave one to another pack, and beside it at most
one layer scheme (docs/tiers.md#schemes). A pack that is refused changes nothing: the running ones go on.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from policies.diff import obstacles
from policies.language.loader import parse_pack
from policies.language.reader import PackError
from policies.lifecycle.state import day_number
from streams.vocabulary.terms import CUSTOMER_CLASSES

if TYPE_CHECKING:
    from policies.model.pack import Pack


@dataclass(slots=True)
class Book:
    """Packs in the order in which they were taken. The same texts in the same order make the same book."""

    packs: list[Pack] = field(default_factory=list)

    def put(self, text: str, closed: int) -> list[str]:
        """Takes a pack, or says why not. `closed`: the last closed day; what is decided by then stays as it is."""
        try:
            pack = parse_pack(text)
        except PackError as problem:
            return [str(one) for one in problem.problems]
        why = obstacles(pack, self.base(pack), pack.effective_from)
        if day_number(pack.effective_from) <= closed and self.packs:
            why.append(f"effective from {pack.effective_from}, which is closed already")
        newest = max((known.version for known in self.packs if known.id == pack.id), default=0)
        if pack.version <= newest:
            why.append(f"version {pack.version} is not above {newest}")
        if not why:
            self.packs.append(pack)
        return why

    def retract(self, pack_id: str, version: int, closed: int) -> Pack | list[str]:
        """Takes a version out whose first day has not begun by the last closed day; or says why not."""
        pack = self.version(pack_id, version)
        if pack is None:
            return [f"{pack_id} version {version} was never put into force"]
        if day_number(pack.effective_from) <= closed + 1:
            return [f"{pack_id} version {version} decides from {pack.effective_from} on, and that day has begun"]
        self.packs.remove(pack)
        return pack

    def taking_over(self, pack: Pack) -> list[Pack]:
        """Those that decide in a pack's place from a later day on, the first of them first."""
        later = [
            other for other in self.packs
            if other.effective_from > pack.effective_from and other.kind == pack.kind
            and other.classes.keys() & pack.classes.keys() and _branch(other) == _branch(pack)
        ]  # fmt: skip
        return sorted(later, key=lambda other: other.effective_from)

    def base(self, pack: Pack) -> Pack | None:
        """The pack that a supplement adds to, in its newest version."""
        named = pack.supplement.base if pack.supplement is not None else None
        return next((known for known in reversed(self.packs) if known.id == named), None)

    def in_force(self, customer_class: str, day: int, kind: str = "tiers") -> Pack | None:
        """The pack of a kind that decides for a class on a day: the latest effective one, then the one taken last."""
        found = [
            (day_number(pack.effective_from), place, pack)
            for place, pack in enumerate(self.packs)
            if pack.kind == kind and customer_class in pack.classes and day_number(pack.effective_from) <= day
            and pack.supplement is None
        ]  # fmt: skip
        return max(found, key=lambda entry: entry[:2])[2] if found else None

    def supplements(self, day: int) -> dict[str, Pack]:
        """The latest supplement of each branch that has taken effect by a day, by the branch."""
        found: dict[str, Pack] = {}
        for pack in sorted(self.packs, key=lambda known: known.effective_from):
            if pack.supplement is not None and day_number(pack.effective_from) <= day:
                found[pack.supplement.branch] = pack
        return dict(sorted(found.items()))

    def in_force_anywhere(self, day: int, kind: str) -> Pack | None:
        """The pack of a kind that decides for the first class that one decides for."""
        found = (self.in_force(name, day, kind) for name in CUSTOMER_CLASSES)
        return next((pack for pack in found if pack is not None), None)

    def version(self, pack_id: str, version: int) -> Pack | None:
        """A version of a pack, for customers who are pinned to it."""
        return next((pack for pack in self.packs if (pack.id, pack.version) == (pack_id, version)), None)


def _branch(pack: Pack) -> str | None:
    return None if pack.supplement is None else pack.supplement.branch
