"""Decide one customer from facts: the pack's criteria for the standard, the lifecycle for the tier, and the reasons."""

from __future__ import annotations

import csv
import json
from dataclasses import dataclass
from datetime import date
from fractions import Fraction
from typing import IO, TYPE_CHECKING, Any

from policies.cases import facts as fact
from policies.cases.facts import FactError, Facts
from policies.diff import bound_text
from policies.language.loader import load_pack
from policies.language.reader import PackError
from policies.lifecycle.acts import act
from policies.lifecycle.services import bill
from policies.lifecycle.state import Close, Decision, State, begin, card_tier, day_number, flags, months_later, tier_of
from policies.lifecycle.transitions import close
from policies.model.criteria import OWN_STANDARD, Values, band, decide, meets
from policies.model.metrics import NOT_KNOWN
from policies.model.provisions import RECORDS
from policies.model.terms import limits, rate_key

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from policies.model.pack import ClassPolicy, Pack
    from policies.model.terms import Limit

EVERY_CLOSE = frozenset({"day", "month", "quarter", "half_year", "year"})
CASE_COLUMNS = ("case_id", "scheme_id", "customer_class", "facts", "expected_tier")


@dataclass(frozen=True, slots=True)
class Reason:
    """One limit of one tier, the value it was compared with, and whether it is met.

    value None: the number is still open, or the value is not known.
    """

    tier: str
    limit: Limit
    value: Fraction | str | None
    met: bool
    rate: Fraction | None = None  # of a limit in a currency of its own

    @property
    def unknown(self) -> bool:
        """Whether the value is not known, such as an age without a birth date."""
        return self.value is None and not self.limit.is_open

    @property
    def bound(self) -> Fraction | None:
        """The number compared with, in the base currency."""
        return (
            None if self.limit.value is None else Fraction(self.limit.value) * (1 if self.rate is None else self.rate)
        )


@dataclass(frozen=True, slots=True)
class CaseOutcome:
    """What a pack says of a customer. `measured` is the tier of the standard, `card` the tier of the card held.

    missing: records that the pack asks for and that are not there.
    """

    pack_id: str
    version: int
    customer_class: str
    tier: str
    measured: str
    card: str
    band: str | None
    flags: tuple[str, ...]
    reasons: tuple[Reason, ...]
    decisions: tuple[Decision, ...]
    missing: tuple[str, ...] = ()


def decide_facts(pack: Pack, customer_class: str, given: Mapping[str, Any], day: date | None = None) -> CaseOutcome:
    """The outcome for a customer of whom these facts are known, at a close of `day` (default: the pack's first month).

    Raises FactError for facts that cannot be used or a class the pack does not cover.
    """
    policy = pack.classes.get(customer_class)
    if policy is None:
        raise FactError(f"{pack.id} has no class {customer_class}; classes: {', '.join(pack.classes)}")
    number = _month_end(pack, day)
    known = Facts(pack, given, number)
    known.check()
    values = known.values(policy)
    measured = decide(policy, values)
    barred = policy.vetoes_at_once and policy.veto is not None and meets(policy.veto, values)
    state, said = _run(policy, given, measured, number, vetoed=barred)
    said = [*said, *_billed(policy, known, state, given.get("current", policy.tiers[0].id), number)]
    found = set(flags(policy, state, number)) | ({"potential_customer"} if _potential(policy, known) else set())
    return CaseOutcome(
        pack.id, pack.version, customer_class, tier_of(policy, state), state.measured, card_tier(policy, state.card),
        band(policy, state.measured, values), tuple(sorted(found)), reasons(policy, values), tuple(said),
        missing_records(policy, state),
    )  # fmt: skip


def _month_end(pack: Pack, day: date | None) -> int:
    if day is not None:
        return day_number(day)
    return months_later(day_number(pack.effective_from.replace(day=1)), 1) - 1


def _run(
    policy: ClassPolicy, given: Mapping[str, Any], measured: str, day: int, *, vetoed: bool
) -> tuple[State, list[Decision]]:  # fmt: skip
    """The facts as a short life: what was so before, what people did, the close, and what they asked for then."""
    joined = fact.relation_begun(given, day)
    state = fact.starting_state(policy, given, begin(policy), day, measured)
    said: list[Decision] = []
    for one in fact.acts_before(policy, given, day):
        state, more = act(policy, state, one)
        taken_as_made = one.details.get("record") == "application" and "application" not in given
        said.extend(() if taken_as_made else more)
    at = Close(day, EVERY_CLOSE, measured, given.get("pinned_standard"), joined=joined, vetoed=vetoed)
    state, more = close(policy, state, at)
    said.extend(more)
    for one in fact.acts_after(policy, given, state, day + 1):
        state, more = act(policy, state, one)
        said.extend(more)
        if any(decision.kind == "refused" for decision in more):
            break  # what follows rests on it
    return state, said


def _billed(policy: ClassPolicy, known: Facts, state: State, before: str, day: int) -> tuple[Decision, ...]:
    """The services that are due or free at the close of a month, as from none before."""
    met = {one.id: one.when is None or meets(one.when, known.needed([one.when])) for one in policy.charged}
    tier = tier_of(policy, state)
    since = fact.day_given(known.given, "current_since") if tier == before else day + 1
    return bill(policy, state, day, tier, since, met)[1]


def missing_records(policy: ClassPolicy, state: State) -> tuple[str, ...]:
    """Records that the pack asks for, of a customer whose standard gives a tier, and that are not there."""
    if policy.level(state.measured) == 0:
        return ()
    needed = {
        *policy.status.requires,
        *(["filing"] if policy.cards.issue.mode == "filing" and policy.status.basis == "card" else []),
    }
    return tuple(name for name in RECORDS if name in needed - state.records)


def _potential(policy: ClassPolicy, known: Facts) -> bool:
    """Whether the customer is flagged as potential; not without the values it takes."""
    when = policy.potential.when if policy.potential is not None else None
    if when is None:
        return False
    try:
        return meets(when, known.needed([when]))
    except FactError:
        return False


def reasons(policy: ClassPolicy, values: Values) -> tuple[Reason, ...]:
    """Every limit of every tier with the value and whether it is met, lowest tier first."""
    own = values.get(OWN_STANDARD) or 0
    assert isinstance(own, int)
    found: list[Reason] = []
    for i, tier in enumerate(policy.tiers):
        for leaf in limits(tier.when):
            value = None if leaf.is_open else values[leaf.metric, leaf.scope]
            value = Fraction(value) if isinstance(value, int) else value
            rate = None if leaf.currency is None else values[rate_key(leaf.currency)]
            assert not isinstance(rate, str)
            rate = None if rate is None else Fraction(rate)
            found.append(Reason(tier.id, leaf, value, meets(leaf, values, own >= i), rate))
    return tuple(found)


@dataclass(frozen=True, slots=True)
class CaseResult:
    """One row of a table of cases. `problem` is set where the row cannot be decided at all."""

    case_id: str
    expected: str
    tier: str | None
    why: str
    problem: str | None = None

    @property
    def good(self) -> bool:
        """Whether the tier is the expected one."""
        return self.problem is None and self.tier == self.expected


def run_cases(lines: IO[str], only: str | None = None, folder: Path | None = None) -> Iterator[CaseResult]:
    """Decides every row of a CSV table with the columns of CASE_COLUMNS, under the pack that the row names.

    Raises FactError when columns are missing. `only` limits it to one pack; files of packs may lie in `folder`. A row may
    have a `date`, the close that decides.
    """
    table = csv.DictReader(lines, restval="")
    missing = [name for name in CASE_COLUMNS if name not in (table.fieldnames or ())]
    if missing:
        raise FactError(f"columns are missing: {', '.join(missing)}")
    packs: dict[str, Pack] = {}
    for row in table:
        if only is not None and row["scheme_id"] != only:
            continue
        why, tier, problem = row.get("why") or "", None, None
        try:
            if row["scheme_id"] not in packs:
                beside = None if folder is None else folder / row["scheme_id"]
                known = beside is not None and beside.is_file()
                packs[row["scheme_id"]] = load_pack(beside if beside is not None and known else row["scheme_id"])
            given = fact.parse_facts(row["facts"])
            day = date.fromisoformat(row["date"]) if row.get("date") else None
            tier = decide_facts(packs[row["scheme_id"]], row["customer_class"], given, day).tier
        except (ValueError, FactError, PackError) as found:
            problem = str(found)
        yield CaseResult(row["case_id"], row["expected_tier"], tier, why, problem)


def as_json(outcome: CaseOutcome) -> str:
    """The outcome for machines, exact values as fractions in text."""
    body = {
        "pack": outcome.pack_id,
        "version": outcome.version,
        "class": outcome.customer_class,
        "tier": outcome.tier,
        "standard_tier": outcome.measured,
        "card_tier": outcome.card,
        "band": outcome.band,
        "flags": list(outcome.flags),
        "records_missing": list(outcome.missing),
        "reasons": [
            {
                "tier": r.tier,
                "metric": r.limit.metric,
                "scope": r.limit.scope,
                "operator": r.limit.operator,
                "limit": bound_text(r.limit)
                if r.limit.texts
                else None
                if r.limit.value is None
                else str(r.limit.value),
                **({} if r.limit.currency is None else {"currency": r.limit.currency, "rate": str(r.rate)}),
                "value": NOT_KNOWN if r.unknown else None if r.value is None else str(r.value),
                "met": r.met,
            }
            for r in outcome.reasons
        ],
        "decisions": [
            {"kind": d.kind, "reason": d.reason, "from": d.before, "to": d.after, **dict(d.evidence)}
            for d in outcome.decisions
        ],
    }
    return json.dumps(body, ensure_ascii=False, indent=1)
