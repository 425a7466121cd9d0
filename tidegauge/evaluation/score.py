"""The score of a pack on a labelled world, out of the steps that its cases took. Pure; docs/alerts.md#scores defines each."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import accumulate
from typing import Final, NamedTuple

from connectors.labelled.labels import COUNTS_QUIET, LEAVER, Label
from streams.alerts.lifecycle import RAISED
from streams.calendar import business_day, date_of, zone_table
from streams.vocabulary.terms import ALERT_KINDS, OUTFLOW
from tidegauge.evaluation.episodes import Episode
from tidegauge.evaluation.steps import ENDS, LINES, TOLD, ScoredStep

SETTLES_MS: Final = 30 * 60_000  # a quiet customer's case that is over by then was no false alarm
CUSTOMERS_AN_RM: Final = 400
ONE_BP: Final = 10_000
HALF_BP, MOST_BP, SMALL_STEP_BP = 5_000, 8_000, 3_000
MONTH_DAYS: Final = Fraction(1461, 48)  # of the calendar, on average
THOUSAND: Final = 1000
AFTER_DAYS: Final = 7  # a case that opens within so many days behind an episode still is one of it


class LabelledWorld(NamedTuple):
    """A labelled world: labels, the episodes of its leavers, its days, and each customer's manager where he has one."""

    labels: list[Label]
    episodes: list[Episode]
    days: range
    managers: Mapping[str, str]
    zone: str


class EpisodeFinding(NamedTuple):
    """How one episode was found. Shares in basis points of its amount; told None: never.

    told_bp: what was out when it was first told; before_bp: before the last posting of those.
    first_bp: the first posting; steps: how many it took to 80 %.
    """

    label: Label
    told: int | None
    told_bp: int
    before_bp: int
    first_bp: int
    steps: int
    cases: int

    @property
    def in_one_go(self) -> bool:
        """Whether the first posting took 80 % or more."""
        return self.first_bp >= MOST_BP

    @property
    def before_half(self) -> bool:
        """Told before or at the step that crosses 50 %."""
        return self.told is not None and self.before_bp < HALF_BP

    @property
    def before_most(self) -> bool:
        """Told before 80 % was out, or with a first posting that took it at once."""
        return self.told is not None and (self.told_bp < MOST_BP or (self.in_one_go and self.before_bp == 0))


@dataclass(slots=True)
class KindScore:
    """The score of one way to behave, or of all customers of a sort. Cases are those of kind outflow.

    told: cases opened; false: told and still open 30 booked minutes later; blinks: over by then; open_at_end: on the last day.
    """

    kind: str
    counts_as: str
    customers: int = 0
    findings: list[EpisodeFinding] = field(default_factory=list)
    told: int = 0
    false: int = 0
    blinks: int = 0
    open_at_end: int = 0

    def share(self, count: int) -> Fraction | None:
        """Of the episodes; None without any."""
        return Fraction(count, len(self.findings)) if self.findings else None

    def shares_told(self) -> list[int]:
        """What was out at the first telling, of the episodes whose first step is small, in order."""
        return sorted(f.told_bp for f in self.findings if f.told is not None and f.first_bp < SMALL_STEP_BP)


@dataclass(slots=True)
class OccasionScore:
    """How a kind other than outflow was found.

    labelled: labels of that kind; found: those with a case of it that opened on their days; of_others: cases of customers
    without such a label.
    """

    labelled: int = 0
    found: int = 0
    of_others: int = 0


class Lines(NamedTuple):
    """Told lines a manager and day, at 400 customers each; after_close: the most on the day after a month's close."""

    median: int
    p95: int
    most: int
    after_close: int


@dataclass(frozen=True, slots=True)
class Score:
    """A pack on a world. `months`: of the world. `occasions`: of each kind but outflow that is labelled, or has cases."""

    kinds: list[KindScore]
    leavers: KindScore
    quiet: KindScore
    lines: Lines
    months: Fraction
    occasions: dict[str, OccasionScore]

    def a_month(self, count: int, customers: int) -> Fraction | None:
        """Per 1,000 customers and month."""
        return Fraction(count * THOUSAND) / (customers * self.months) if customers else None


@dataclass(slots=True)
class Case:
    """A case as its steps tell it: instants of its telling and of its end, None while it is open."""

    customer_id: str
    kind: str
    opened: int
    told: list[int]
    ended: int | None = None


def cases_of(steps: Iterable[ScoredStep]) -> list[Case]:
    """Cases in the order of their opening. Steps come in the order in which they were published."""
    found: dict[str, Case] = {}
    for step in steps:
        case = found.get(step.case_id)
        if case is None:
            if step.step != RAISED:
                continue
            case = found[step.case_id] = Case(step.customer_id, step.kind, step.at, [])
        if step.step in TOLD:
            case.told.append(step.at)
            case.ended = None
        elif step.step in ENDS:
            case.ended = step.at
    return list(found.values())


def score(world: LabelledWorld, steps: list[ScoredStep]) -> Score:
    """See the classes."""
    cases, by_customer = cases_of(steps), defaultdict[str, list[Case]](list)
    for case in cases:
        if case.kind == OUTFLOW:
            by_customer[case.customer_id].append(case)
    kinds: dict[tuple[str, str], KindScore] = {}
    counted: set[str] = set()
    for label in world.labels:
        one = kinds.setdefault((label.kind, label.counts_as), KindScore(label.kind, label.counts_as))
        if label.customer_id not in counted:
            counted.add(label.customer_id)
            one.customers += 1
            for case in by_customer[label.customer_id]:
                _count(one, case)
    for found in episode_findings(world, by_customer):
        kinds[found.label.kind, found.label.counts_as].findings.append(found)
    listed = sorted(kinds.values(), key=lambda one: (one.counts_as != LEAVER, one.counts_as != COUNTS_QUIET))
    return Score(
        listed, _together(listed, LEAVER), _together(listed, COUNTS_QUIET), told_lines(world, steps, counted),
        len(world.days) / MONTH_DAYS, _occasions(world, cases),
    )  # fmt: skip


def _occasions(world: LabelledWorld, cases: Iterable[Case]) -> dict[str, OccasionScore]:
    found, table = defaultdict[str, OccasionScore](OccasionScore), zone_table(world.zone)
    labelled = {(label.customer_id, label.kind) for label in world.labels}
    opened = defaultdict[tuple[str, str], list[int]](list)
    customers = {label.customer_id for label in world.labels}
    for case in cases:
        if case.kind != OUTFLOW and case.customer_id in customers:
            opened[case.customer_id, case.kind].append(int(business_day(case.opened, *table)))
            found[case.kind].of_others += (case.customer_id, case.kind) not in labelled
    for label in world.labels:
        if label.kind in ALERT_KINDS and label.kind != OUTFLOW:
            first, last = label.first_day or 0, label.last_day or world.days[-1]
            found[label.kind].labelled += 1
            found[label.kind].found += any(first <= day <= last for day in opened[label.customer_id, label.kind])
    return {kind: found[kind] for kind in ALERT_KINDS if kind in found}


def _count(one: KindScore, case: Case) -> None:
    one.told += 1
    one.open_at_end += case.ended is None
    settled = case.ended is not None and case.ended - case.opened <= SETTLES_MS
    one.blinks += settled
    one.false += not settled


def episode_findings(world: LabelledWorld, cases: Mapping[str, list[Case]]) -> list[EpisodeFinding]:
    """How each episode was found: by the first telling from its first posting on, up to the customer's next episode."""
    following: dict[tuple[str, int | None], int] = {}
    begun: dict[str, int] = {}
    for episode in sorted(world.episodes, key=lambda one: one.label.first_day or 0, reverse=True):
        label = episode.label
        if episode.debits:
            following[label.customer_id, label.first_day] = begun.get(label.customer_id, 2**63)
            begun[label.customer_id] = episode.debits[0].at
    return [_finding(episode, cases, following, world.zone) for episode in world.episodes]


def _finding(
    episode: Episode, cases: Mapping[str, list[Case]], following: Mapping[tuple[str, int | None], int], zone: str
) -> EpisodeFinding:
    label, debits, mine = episode.label, episode.debits, cases.get(episode.label.customer_id, [])
    if not debits:
        return EpisodeFinding(label, None, 0, 0, 0, 0, 0)
    whole = label.amount_minor or 1
    until = following[label.customer_id, label.first_day]
    told = min((at for case in mine for at in case.told if debits[0].at <= at < until), default=None)
    sums = accumulate((debit.amount for debit in debits), initial=0)
    bp = [part * ONE_BP // whole for part in sums]
    out = sum(told is not None and debit.at <= told for debit in debits)
    steps = next((place for place, part in enumerate(bp) if part >= MOST_BP), len(debits))
    opened = (int(business_day(case.opened, *zone_table(zone))) for case in mine)
    last = (label.last_day or 0) + AFTER_DAYS
    count = sum((label.first_day or 0) <= day <= last for day in opened)
    return EpisodeFinding(label, told, min(bp[out], ONE_BP), bp[max(out - 1, 0)], bp[1], steps, count)


def told_lines(world: LabelledWorld, steps: Iterable[ScoredStep], customers: set[str]) -> Lines:
    """Lines of all kinds a manager and day. A close is told on the morning after.

    Customers are given to managers of 400 each, by the manager that their profile names and their id.
    """
    ordered = sorted(customers, key=lambda one: (world.managers.get(one, ""), one))
    desks = max(1, round(Fraction(len(ordered), CUSTOMERS_AN_RM)))
    desk = {customer: place * desks // len(ordered) for place, customer in enumerate(ordered)}
    counts = defaultdict[tuple[int, int], int](int)
    table = zone_table(world.zone)
    for step in steps:
        if step.step in LINES and step.customer_id in desk:
            day = int(business_day(step.at, *table)) + (not step.provisional)
            counts[desk[step.customer_id], day] += 1
    days = range(world.days[0], world.days[-1] + 2)
    every = sorted(counts[one, day] for one in range(desks) for day in days)
    after = [counts[one, day] for one in range(desks) for day in days if date_of(day).day == 1]
    return Lines(quantile(every, 50), quantile(every, 95), every[-1], max(after, default=0))


def quantile(ordered: list[int], per_cent: int) -> int:
    """The least value that at least so many per cent are not above; 0 of none."""
    return ordered[max(0, -(-len(ordered) * per_cent // 100) - 1)] if ordered else 0


def _together(kinds: Iterable[KindScore], counts_as: str) -> KindScore:
    whole = KindScore(f"all {counts_as}", counts_as)
    for one in kinds:
        if one.counts_as == counts_as:
            whole.customers += one.customers
            whole.findings += one.findings
            whole.told, whole.false = whole.told + one.told, whole.false + one.false
            whole.blinks, whole.open_at_end = whole.blinks + one.blinks, whole.open_at_end + one.open_at_end
    return whole
