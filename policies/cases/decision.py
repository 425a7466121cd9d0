"""Decide one customer from facts: the pack's criteria for the standard, the lifecycle for the tier, and the reasons."""

from __future__ import annotations

import csv
import json
from dataclasses import dataclass
from fractions import Fraction
from typing import IO, TYPE_CHECKING, Any

from policies.cases import facts as fact
from policies.cases.facts import FactError, Facts
from policies.language.loader import load_pack
from policies.language.reader import PackError
from policies.lifecycle.acts import act
from policies.lifecycle.state import Close, Decision, State, begin, card_tier, day_number, flags, months_later, tier_of
from policies.lifecycle.transitions import close
from policies.model.criteria import OWN_STANDARD, Values, band, decide, meets
from policies.model.metrics import NOT_KNOWN
from policies.model.terms import limits

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import date

    from policies.model.pack import ClassPolicy, Pack
    from policies.model.terms import Limit

EVERY_CLOSE = frozenset({"day", "month", "quarter", "year"})
CASE_COLUMNS = ("case_id", "scheme_id", "customer_class", "facts", "expected_tier")


@dataclass(frozen=True, slots=True)
class Reason:
    """One limit of one tier, the value it was compared with, and whether it is met.

    value None: the number is still open, or the value is not known.
    """

    tier: str
    limit: Limit
    value: Fraction | None
    met: bool

    @property
    def unknown(self) -> bool:
        """Whether the value is not known, such as an age without a birth date."""
        return self.value is None and self.limit.value is not None


@dataclass(frozen=True, slots=True)
class CaseOutcome:
    """What a pack says of a customer. `measured` is the tier of the standard, `card` the tier of the card held."""

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


def decide_facts(pack: Pack, customer_class: str, given: Mapping[str, Any], day: date | None = None) -> CaseOutcome:
    """The outcome for a customer of whom these facts are known, at a close of `day` (default: the pack's first month).

    Raises FactError for facts that cannot be used or a class the pack does not cover.
    """
    policy = pack.classes.get(customer_class)
    if policy is None:
        raise FactError(f"{pack.id} has no class {customer_class}; classes: {', '.join(pack.classes)}")
    known = Facts(pack, given)
    known.check()
    values = known.values(policy)
    measured = decide(policy, values)
    number = _month_end(pack, day)
    state, said = _run(policy, given, measured, number)
    found = set(flags(policy, state, number)) | ({"potential_customer"} if _potential(policy, known) else set())
    return CaseOutcome(
        pack.id, pack.version, customer_class, tier_of(policy, state), state.measured, card_tier(policy, state.card),
        band(policy, state.measured, values), tuple(sorted(found)), reasons(policy, values), tuple(said),
    )  # fmt: skip


def _month_end(pack: Pack, day: date | None) -> int:
    if day is not None:
        return day_number(day)
    return months_later(day_number(pack.effective_from.replace(day=1)), 1) - 1


def _run(policy: ClassPolicy, given: Mapping[str, Any], measured: str, day: int) -> tuple[State, list[Decision]]:
    """The facts as a short life: what was so before, what people did, the close, and what they asked for then."""
    state = fact.starting_state(policy, given, begin(policy), day)
    said: list[Decision] = []
    for one in fact.acts_before(policy, given, day):
        state, more = act(policy, state, one)
        said.extend(more)
    state, more = close(policy, state, Close(day, EVERY_CLOSE, measured, given.get("pinned_standard")))
    said.extend(more)
    for one in fact.acts_after(policy, given, state, day + 1):
        state, more = act(policy, state, one)
        said.extend(more)
    return state, said


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
    found: list[Reason] = []
    for i, tier in enumerate(policy.tiers):
        for leaf in limits(tier.when):
            value = None if leaf.value is None else values[leaf.metric, leaf.scope]
            value = None if value is None else Fraction(value)
            found.append(Reason(tier.id, leaf, value, meets(leaf, values, own >= i)))
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


def run_cases(lines: IO[str], only: str | None = None) -> Iterator[CaseResult]:
    """Decides every row of a CSV table with the columns of COLUMNS, under the pack that the row names.

    Raises FactError when columns are missing. `only` limits it to one pack.
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
                packs[row["scheme_id"]] = load_pack(row["scheme_id"])
            given = fact.parse_facts(row["facts"])
            tier = decide_facts(packs[row["scheme_id"]], row["customer_class"], given).tier
        except (FactError, PackError) as found:
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
        "reasons": [
            {
                "tier": r.tier,
                "metric": r.limit.metric,
                "scope": r.limit.scope,
                "operator": r.limit.operator,
                "limit": None if r.limit.value is None else str(r.limit.value),
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
