"""What intake, decisions and publishing share: the settings of the job, a close and its figures, the changelog's row keys.

It imports none of the three.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, NamedTuple, Protocol

from agents.engine.record_batches import texts
from policies.compiled.classes import ClassTable, CompiledClasses, by_class, compile_classes
from policies.compiled.program import Column, Program
from policies.language.reader import PackError, Problem
from policies.lifecycle.state import Decision
from policies.model.figures import Flow, Key
from policies.model.pack import Pack
from schemas.bounds import EVENTS_MAX
from schemas.registry import Registry
from streams.accounts.ledger import Ledger
from streams.accounts.store import Array
from streams.averages.metrics import Metrics
from streams.calendar import NO_DAY
from streams.closing import NOTHING_LEFT_OUT, Run
from streams.money import EXPONENTS

_FOR_CLOSER: Final = "for_closer"
CLOSES_LEFT_OUT: Final = "closes_left_out"
"""Of a fence's meta, where there are any: [asked, last closed] of the runs of closes that don't count."""


class RowKey:
    """First byte of a changelog key, by what the row holds. Behind it stands an id: the customer's where nothing else is said.

    A key that has been written once keeps its meaning for good. `@` belongs to the engine.
    """

    ACCOUNT: Final = b"a"  # the account's id
    NAMES: Final = b"n"  # no id: one row
    PROGRESS: Final = b"p"  # no id: one row
    CUSTOMER: Final = b"c"
    LIFECYCLE: Final = b"l"
    LAYER: Final = b"y"
    OUTLOOK: Final = b"o"
    OUTLOOK_ALERTS: Final = b"w"
    CASES: Final = b"q"
    CASE_DESK: Final = b"u"
    STATE_ALERTS: Final = b"v"
    FACT: Final = b"f"  # the fact's name, `/` and the customer's id
    FACT_MONTHS: Final = b"m"  # the fact's name, `/` and the customer's id
    FLOWS: Final = b"g"
    FLOW_REVERSALS: Final = b"j"
    FLOW_SERIES: Final = b"h"  # no id: one row
    DATES: Final = b"d"
    TRANSACTION_COUNTS: Final = b"t"
    PACK: Final = b"k"  # the pack's place in the book
    REFERENCES: Final = b"r"  # no id: one row
    HANDOVER: Final = b"s"  # no id: one row


ROW_KEYS = {name.lower(): key for name, key in vars(RowKey).items() if isinstance(key, bytes)}


def customer_keys(ledger: Ledger, slots: Array, key: bytes = b"") -> tuple[Array, Array]:
    """(buffer, ends): the ids of customers, each behind `key`."""
    return texts(ledger.customers.ids(), ledger.customers.refs(slots), key)


class Tally:
    """Counts what happens in a transaction, by the name of its metric."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()

    def add(self, name: str, count: int = 1) -> None:
        """So many more of a name."""
        self._counts[name] += count

    def take(self) -> dict[str, int]:
        """What has been counted since the last call."""
        counts, self._counts = self._counts, Counter()
        return dict(counts)


@dataclass(slots=True)
class DayClose:
    """close(D) as read: its cut for this partition, by topic; `offset` is its own in business-days.

    `aside`: it does not count (streams.closing); topics go on past its marks.
    """

    day: int
    cut: dict[str, int]
    offset: int
    aside: bool = False


class OlderClass(NamedTuple):
    """A class of an older version of a pack, for customers who are pinned to it."""

    program: Program
    scopes: Mapping[str, frozenset[str]]
    flows: Mapping[str, Flow]


class ForCloser(NamedTuple):
    """What a fence tells those who close days: the newest booked day (NO_DAY: none), the calendar ahead, sources met.

    `aside`: by source the day of a mark that is set aside; `behind`: by source its newest booked day, where it is another one.
    """

    booked: int = NO_DAY
    calendar: Mapping[int, bool] = {}
    sources: tuple[str, ...] = ()
    aside: Mapping[str, int] = {}
    behind: Mapping[str, int] = {}

    def entry(self) -> dict[str, Any]:
        """As an entry of a fence's meta; none before a booked day is known."""
        told = {name: value for name, value in self._asdict().items() if value or name not in ("aside", "behind")}
        return {} if self.booked == NO_DAY else {_FOR_CLOSER: told}

    @classmethod
    def of_fence(cls, meta: bytes) -> ForCloser:
        """Out of a fence's meta."""
        saved = json.loads(meta).get(_FOR_CLOSER)
        if saved is None:
            return cls()
        calendar = {int(day): is_open for day, is_open in saved["calendar"].items()}
        return cls(saved["booked"], calendar, tuple(saved["sources"]), saved.get("aside", {}), saved.get("behind", {}))


def left_out_by(meta: bytes) -> frozenset[Run]:
    """The closes that don't count by a fence's meta."""
    return frozenset(Run(*run) for run in json.loads(meta).get(CLOSES_LEFT_OUT, ()))


Older = Callable[[str, int, str], OlderClass | None]  # by pack, version and class of customers


class Evidence(NamedTuple):
    """What a decision of a close rests on: the columns that were looked at, and the customer's place in them.

    `as_of` is the day of a former close that is looked at again.
    """

    columns: dict[Key, Column]
    row: int
    as_of: int | None = None


class Chosen(NamedTuple):
    """Metrics over one scope of asset classes, and which rows of them are meant."""

    scope: frozenset[str]
    found: Metrics
    rows: Array

    def chosen(self) -> Metrics:
        """Those rows."""
        if len(self.rows) == len(self.found.units):
            return self.found
        units, nano, held = (part[self.rows] for part in (self.found.units, self.found.nano, self.found.held))
        return Metrics(self.found.as_of, self.found.days, units, nano, held)


class CloseStep(NamedTuple):
    """The close of some customers of one class, as columns: their tiers as indices, and what these rest on.

    official: in force before the close; known: measured by the close before; measured: what the standard gives now.
    """

    at: DayClose
    closes: frozenset[str]
    found: Metrics
    columns: dict[Key, Column]
    official: Array
    known: Array
    measured: Array
    stale: tuple[str, ...]


class Switched(NamedTuple):
    """A change of packs: the names of the codes before, and whether a customer of a code before goes up, by rank."""

    names: Sequence[str]
    up: Array


class Keeper(Protocol):
    """Keeps the tiers of one scheme by slot. Profiles keep the tiers themselves, Layers the layers."""

    def held(self) -> Array:
        """`tier` and `tier_day` of every customer, as streams.tiers has them: codes of `tier_names`."""

    def tier_names(self) -> list[str]:
        """The names behind the codes."""

    def changed(self, slots: Array) -> None:
        """Tiers of these customers, or what their rows hold beside them, have changed."""

    def card(self, slot: int) -> str | None:
        """The card held, where the tier may rest on one."""

    def put_card(self, slot: int, card: str | None) -> None:
        """The card by which the customer queues from now on."""


class Sink(Protocol):
    """Publishes decisions."""

    def one(
        self, slot: int, table: ClassTable, said: Sequence[Decision], evidence: Evidence | None, at: DayClose | None
    ) -> None:
        """Decisions about one customer, at a close or by an act."""

    def switched(
        self, table: ClassTable, slots: Array, moved: Array, given: Array, step: CloseStep, old: Switched
    ) -> None:
        """Tiers that a change of packs has moved: slots[i], from code step.official[i] to tier index given[i]."""

    def many(self, table: ClassTable, slots: Array, moved: Array, given: Array, step: CloseStep) -> None:
        """Tiers that a close has moved: slots[i] to tier index given[i], for i in moved."""


class Keyring(NamedTuple):
    """Secrets: of customer references, and of the ids of alerts, which stay when the first one changes.

    previous: of the references before, while both are published; retire: these are taken back.
    """

    references: bytes
    alerts: bytes
    previous: bytes | None = None
    retire: bool = False


@dataclass(frozen=True, slots=True)
class StandingConf:
    """What a standing job needs to know.

    `others` give the tiers of classes of customers that `pack` does not name; `layers`: the layer scheme, if there is one;
    `alert_key`: of the ids of alerts, where it is not the reference key; `partitions`: of every topic, by which records
    are checked (agents.standing.intake.placement); `previous_key` and `retire`: of a rotation of references (Keyring);
    `epoch`: of the log's identity, in versions of records; `shadow`: the outputs are another group's, and these go elsewhere;
    `left_out`: closes that don't count; `letters_max`: None for the bound of a topic (schemas.letters.LettersAtOnce);
    `claims`: the owners of accounts are told (agents.standing.publish.claims); `stamped_from`: the day from which acts have a
    stamp, from the close before it on; None: they may lack one.
    """

    base_currency: str
    zone: str
    pack: Pack
    reference_key: bytes
    registry: Registry | None = None
    layers: Pack | None = None
    others: tuple[Pack, ...] = ()
    alert_key: bytes | None = None
    partitions: int = 1
    previous_key: bytes | None = None
    retire: bool = False
    epoch: int = 0
    shadow: bool = False
    left_out: frozenset[Run] = NOTHING_LEFT_OUT
    letters_max: int | None = None
    claims: bool = False
    stamped_from: int | None = None

    @property
    def keys(self) -> Keyring:
        """All keys."""
        return Keyring(self.reference_key, self.alert_key or self.reference_key, self.previous_key, self.retire)

    def alone(self) -> StandingConf:
        """For a log of one partition, such as files make: each line that is refused has a letter."""
        return replace(self, partitions=1, letters_max=EVENTS_MAX)

    def packs(self) -> list[Pack]:
        """All packs."""
        return [self.pack, *self.others, *([] if self.layers is None else [self.layers])]

    def compiled(self) -> CompiledClasses:
        """The classes of all tier schemes in minor units of the base currency; PackError where the job cannot follow one."""
        if self.layers is not None:
            self.follow(self.layers)
        for pack in (self.pack, *self.others):
            if pack.kind != "tiers":
                raise _refused(pack, "kind", "a layer scheme stands beside a tier scheme: name that one too")
            self.follow(pack)
        return self.together(by_class(self.pack, *self.others))

    def together(self, packs: Mapping[str, Pack]) -> CompiledClasses:
        """Classes of customers, each by its pack."""
        return compile_classes(packs, EXPONENTS[self.base_currency])

    def follow(self, pack: Pack) -> CompiledClasses:
        """The classes of one pack of either kind. PackError."""
        return self.together(by_class(pack))


def _refused(pack: Pack, field: str, message: str) -> PackError:
    return PackError([Problem(pack.id, 1, field, message)])
