"""The book of packs of a partition: those that the job began with, and those that `tidegauge policy activate` sends.

A pack is taken from its lane and kept as a row of its own. It takes effect at the first close whose next day is one on
which it is in force (agents.standing.decide.lifecycle.changeover).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import date
from typing import Any

from agents.engine.job import Pair, Rows
from agents.standing.intake.figures.flows import SERIES_MAX, different_flows
from agents.standing.model import OlderClass, RowKey
from policies.book import Book
from policies.compiled.classes import by_class, in_branch
from policies.compiled.program import compile_program
from policies.diff import obstacles
from policies.language.loader import parse_pack
from policies.language.reader import PackError
from policies.lifecycle.state import day_number
from policies.model.pack import Pack
from streams.vocabulary.terms import CUSTOMER_CLASSES

PACK_REFUSED = "the pack is refused"
_Follow = Callable[[Pack], object]


class Packs:
    """The book of packs of a partition. `follow` raises PackError for a pack that the job cannot follow.

    The first ones are in force until others take effect, whatever their own dates.
    """

    def __init__(self, first: Sequence[Pack], layers: Pack | None, base_exponent: int, follow: _Follow) -> None:
        begun = [replace(pack, effective_from=date.min) for pack in first]
        self.running = by_class(*begun)  # the tier scheme of each class of customers
        self.layers = None if layers is None else replace(layers, effective_from=date.min)
        self.book = Book(begun if self.layers is None else [*begun, self.layers])
        self._begun = list(self.book.packs)
        self._texts: dict[bytes, str] = {}  # of the packs taken since, by the keys of their rows
        self._gone: list[Pack] = []  # retracted ones, kept since `_fitting` knows packs by their identity
        self._trial: Pack | None = None
        self.base_exponent, self.follow = base_exponent, follow
        self._older: dict[tuple[str, int, str], OlderClass] = {}
        self._fitting: dict[tuple[int, int], bool] = {}
        self._rows: list[Pair] = []

    def take(self, record: dict[str, Any], closed: int) -> Pack | list[str]:
        """The pack in a record of `policies`, taken into the book or out of it; or why not. `closed`: the last closed day."""
        if record.get("retracted"):
            return self._retract(record["pack_id"], record["version"], closed)
        text = record["body"]
        try:
            pack = parse_pack(text, record["pack_id"] or "pack")
        except PackError as problem:
            return [str(one) for one in problem.problems]
        why = [*_differences(record, pack), *self.unfit(pack)] or self.book.put(text, closed)
        if why:
            return why
        self._keep(text)
        return pack

    def _keep(self, text: str) -> None:
        """A row for a pack that was taken, behind those of all others."""
        place = 1 + max((int(key[1:]) for key in self._texts), default=len(self._begun) - 1)
        key = RowKey.PACK + f"{place:06}".encode()
        self._texts[key] = text
        self._rows.append((key, text.encode()))

    def _retract(self, pack_id: str, version: int, closed: int) -> Pack | list[str]:
        places = [pack for pack in self.book.packs if pack not in self._begun]
        found = self.book.retract(pack_id, version, closed)
        if isinstance(found, list):
            return found
        key = sorted(self._texts)[places.index(found)]
        del self._texts[key]
        self._gone.append(found)
        self._rows.append((key, None))
        return found

    def unfit(self, pack: Pack) -> list[str]:
        """Why a pack cannot take the place of the one in force before its day."""
        try:
            self.follow(pack)
        except PackError as problem:
            return [str(one) for one in problem.problems]
        if different_flows([*self.book.packs, pack]) > SERIES_MAX:
            return [f"flows: with those of the packs before there are more than {SERIES_MAX}"]
        why = []
        if pack.supplement is not None:
            return self._unfit_supplement(pack)
        before = self.book.in_force_anywhere(day_number(pack.effective_from), "layers")
        if pack.kind == "layers" and before is not None:
            why += [f"classes: {name} is left out" for name in before.classes if name not in pack.classes]
        return why

    def _unfit_supplement(self, pack: Pack) -> list[str]:
        base = self.book.base(pack)
        if base is None:
            return []  # the book says so
        if pack.kind != "tiers":
            return ["supplement: a branch adds to tiers, not to layers"]
        same = pack.scopes == base.scopes and pack.classes.keys() == base.classes.keys()
        for name, policy in pack.classes.items():
            of_base = base.classes.get(name)
            same = same and of_base is not None and [t.id for t in of_base.tiers] == [t.id for t in policy.tiers]
            same = same and of_base is not None and of_base.queue == policy.queue
        return [] if same else ["supplement: classes, the list of tiers, queue and scopes stay those of its base"]

    def use(self, running: dict[str, Pack]) -> None:
        """These tier schemes are the running ones from now on."""
        self.running = running

    def use_layers(self, pack: Pack) -> None:
        """This layer scheme is the running one from now on."""
        self.layers = pack

    def try_out(self, pack: Pack) -> None:
        """Takes a pack that is in force from its day on, whatever else the book says."""
        self._trial = pack

    def due(self, day: int) -> dict[str, Pack] | None:
        """The tier schemes in force on a day, by class of customers, where they are others than the running ones.

        A supplement has its branch in its key. It lapses where its base is no longer in force, or has changed what it locks.
        """
        found = {name: pack for name in CUSTOMER_CLASSES if (pack := self.book.in_force(name, day)) is not None}
        trial = self._trial
        if trial is not None and trial.kind == "tiers" and day_number(trial.effective_from) <= day:
            found |= dict.fromkeys(trial.classes, trial)
        for branch, supplement in self.book.supplements(day).items():
            for name in supplement.classes:
                if name in found and self._fits(supplement, found[name]):
                    found[in_branch(name, branch)] = supplement
        return None if found == self.running else found

    def _fits(self, supplement: Pack, base: Pack) -> bool:
        key = id(supplement), id(base)  # both stay as long as the book
        if key not in self._fitting:
            self._fitting[key] = not obstacles(supplement, base)
        return self._fitting[key]

    def due_layers(self, day: int) -> Pack | None:
        """The layer scheme in force on a day, where it is another one than the running one."""
        found, trial = self.book.in_force_anywhere(day, "layers"), self._trial
        if trial is not None and trial.kind == "layers" and day_number(trial.effective_from) <= day:
            found = trial
        return None if found == self.layers else found

    def older(self, pack_id: str, version: int, customer_class: str) -> OlderClass | None:
        """A class of an older version of a pack."""
        key = pack_id, version, customer_class
        if key not in self._older:
            pack = self.book.version(pack_id, version)
            if pack is None or customer_class not in pack.classes:
                return None
            self._older[key] = OlderClass(
                compile_program(pack, self.base_exponent, customer_class), pack.scopes, pack.flows
            )
        return self._older[key]

    def take_rows(self) -> list[Pair]:
        """Rows changed since the last call."""
        rows, self._rows = self._rows, []
        return rows

    def load(self, rows: Rows) -> None:
        """Rows back, in the order of the log; packs stand in the book in the order in which they were taken."""
        for key, value in rows:
            if value is None:
                self._texts.pop(key, None)
            else:
                self._texts[key] = value.decode()
        if len(rows):
            self.book.packs[:] = [
                *self._begun,
                *(parse_pack(text, taken=True) for _, text in sorted(self._texts.items())),
            ]


def _differences(record: dict[str, Any], pack: Pack) -> list[str]:
    """Where a record contradicts the pack that it carries."""
    given = record["pack_id"], record["version"], record["effective_from"]
    own = pack.id, pack.version, day_number(pack.effective_from)
    names = ("pack_id", "version", "effective_from")
    return [f"{name}: {a}, in the body {b}" for name, a, b in zip(names, given, own, strict=True) if a != b]
