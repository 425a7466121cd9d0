"""The plain twin of a bank under any pack: every customer by his own, from the events themselves and the pure rules.

Figures are those of the slow twins, the tier is what the tree of the pack gives over them, and what becomes of it is what the
pure functions of policies.lifecycle say; nothing is kept but the events, and a state a customer. Packs with continuous closes,
pins and stale sources are others' (tests.standing.test_lifecycle).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from policies import decide, limits
from policies.lifecycle import transitions
from policies.lifecycle.acts import act
from policies.lifecycle.services import bill
from policies.lifecycle.state import Act, Close, Decision, State, begin, day_date, tier_of, unsaid
from policies.model.criteria import Values, meets
from policies.model.figures import limit_columns
from policies.model.pack import ClassPolicy, Pack
from streams.vocabulary.terms import ASSET_CLASSES
from tests.twins.definitions import Rules
from tests.twins.figures import SlowFigures
from tests.twins.ledger import SlowLedger

STEPS = {"month": 1, "quarter": 3, "half_year": 6, "year": 12}
Said = tuple[str, str, str, int, int, str | None, str | None]


def month_of(day: int) -> int:
    """Months since the year 0."""
    on = day_date(day)
    return on.year * 12 + on.month - 1


def last_day(month: int) -> int:
    """Of a month since the year 0."""
    day = (month - 1970 * 12) * 30
    while month_of(day) < month or month_of(day + 1) == month:
        day += 1
    return day


def ends(before: int, day: int) -> frozenset[str]:
    """The closes that the close of a day makes."""
    was, now = month_of(before + 1), month_of(day + 1)
    return frozenset({"day", *(name for name, months in STEPS.items() if now // months > was // months)})


class Known:
    """Figures of the events that have come so far."""

    def __init__(self, pack: Pack) -> None:
        self.events: list[Any] = []
        scopes: dict[str | None, frozenset[str]] = {None: frozenset(ASSET_CLASSES), **pack.scopes}
        self.ledgers = {name: SlowLedger(replace(Rules(), scope=scope)) for name, scope in scopes.items()}
        self.figures = SlowFigures(pack, [], self.ledgers)
        self.figures.events = self.events

    def take(self, event: dict[str, Any]) -> None:
        """One more."""
        self.events.append(event)
        for ledger in self.ledgers.values() if event["topic"] in ("transactions", "balances", "fx-rates") else ():
            ledger.add(event)


@dataclass
class WholeBank:
    """Customers by their classes; `joined` is since when each is one. `said` is all that is decided."""

    pack: Pack
    classes: dict[str, str]
    joined: dict[str, int | None]
    states: dict[str, State] = field(default_factory=dict)
    since: dict[str, int] = field(default_factory=dict)  # the first day of the tier in force
    said: list[Said] = field(default_factory=list)
    restated: int = 0
    closed: int = -1
    begun: int = -1  # the month of the first close
    late: dict[str, int] = field(default_factory=dict)  # the first closed month that has changed since the last close

    def __post_init__(self) -> None:
        self.known, self.before = Known(self.pack), Known(self.pack)  # so far, and by the last close
        self.mine = {c: kind for c, kind in self.classes.items() if kind in self.pack.classes}

    def policy(self, customer: str) -> ClassPolicy:
        """The rules of a customer."""
        return self.pack.classes[self.classes[customer]]

    def state(self, customer: str) -> State:
        """What is remembered of him."""
        return self.states.get(customer, begin(self.policy(customer)))

    def step(self, step: dict[str, Any] | int) -> None:
        """An event or a close."""
        if isinstance(step, int):
            self.close(step)
            return
        self.known.take(step)
        if (
            step["topic"] == "transactions"
            and self.closed >= 0
            and month_of(step["value_date"]) < month_of(self.closed + 1)
        ):
            customer, month = step["customer_id"], month_of(step["value_date"])
            self.late[customer] = min(month, self.late.get(customer, month))
        if step["topic"] == "crm-actions" and step["customer_id"] in self.mine:
            self.act(step)

    def act(self, step: dict[str, Any]) -> None:
        """What somebody did."""
        customer, on = step["customer_id"], int((step["at"] + 8 * 3_600_000) // 86_400_000)
        what = replace(Act.of({"stamped_by": None, "stamped_role": None} | step, on), joined=self.joined[customer])
        self.take(customer, *act(self.policy(customer), self.state(customer), what))

    def take(self, customer: str, state: State, said: tuple[Decision, ...]) -> None:
        """The new state, and what was said."""
        self.states[customer] = state
        for one in said:
            self.said.append((customer, one.kind, one.reason, one.day, one.effective, one.before, one.after))
            if one.kind == "tier":
                self.since[customer] = one.effective

    def values(self, customer: str, day: int, known: Known | None = None, *, of: str = "tiers") -> Values:
        """What the criteria look at, as of a day: those of the tiers and the veto, or of services."""
        policy, figures = self.policy(customer), (known or self.known).figures
        criteria = [policy.veto, *(tier.when for tier in policy.tiers)]
        criteria = criteria if of == "tiers" else [one.when for one in policy.charged]
        return {
            key: value
            for criterion in criteria for leaf in limits(criterion) if not leaf.is_open
            for key, value in figures.limits(customer, day, leaf).items()
        }  # fmt: skip

    # -- closes

    def close(self, day: int) -> None:
        """A day ends: closes of before are looked at again, everybody is decided, and services are looked at."""
        before, opened = (
            (self.closed if self.closed >= 0 else day - 1),
            month_of((self.closed if self.closed >= 0 else day - 1) + 1),
        )
        if self.begun < 0:
            self.begun = month_of(day)
        for customer, since in sorted(self.late.items()):
            if customer in self.mine:
                self.restate(customer, since, opened, day)
        self.late.clear()
        closes = ends(before, day)
        for customer in sorted(self.mine):
            self.decide(customer, day, closes)
            if "month" in closes:
                self.bill(customer, day)
        self.closed = day
        for event in self.known.events[len(self.before.events) :]:
            self.before.take(event)

    def decide(self, customer: str, day: int, closes: frozenset[str]) -> None:
        """A customer at a close."""
        policy, state, values = self.policy(customer), self.state(customer), self.values(customer, day)
        vetoed = policy.vetoes_at_once and policy.veto is not None and meets(policy.veto, values)
        at = Close(day, closes, decide(policy, values), joined=self.joined[customer], vetoed=vetoed)
        if policy.evaluation.close not in closes:
            at = replace(at, ends=frozenset({"day"}), measured=state.measured)
            if not policy.vetoes_at_once and not self._due(policy, state, day):
                return
        self.take(customer, *transitions.close(policy, state, at))

    @staticmethod
    def _due(policy: ClassPolicy, state: State, day: int) -> bool:
        """Whether something of his ends, or is to be told, by a day."""
        ended = [one.last_day for one in (state.card, state.grant) if one is not None and one.last_day is not None]
        ended += [on for on in unsaid(policy, state) if on is not None]
        ended += [] if state.pending is None else [state.pending.day - 1]
        return min(ended, default=day + 1) <= day

    def bill(self, customer: str, day: int) -> None:
        """His services."""
        policy, state = self.policy(customer), self.state(customer)
        if policy.charged:
            values = self.values(customer, day, of="services")
            met = {one.id: one.when is None or meets(one.when, values) for one in policy.charged}
            self.take(customer, *bill(policy, state, day, tier_of(policy, state), self.since.get(customer), met))

    # -- closes of the past

    def restate(self, customer: str, since: int, opened: int, day: int) -> None:
        """What the closes of months would give now, where balances of theirs have changed."""
        policy, step = self.policy(customer), self._step(customer)
        for month in range(max(since, self.begun), opened - opened % step if step else 0):
            end = last_day(month)
            if (month + 1) % step or not self._differs(customer, end):
                continue
            self.restated += 1
            measured, state = decide(policy, self.values(customer, end)), self.state(customer)
            rises = policy.level(measured) >= policy.level(state.official)
            when = policy.evaluation.upgrades if rises else policy.evaluation.downgrades
            of = STEPS.get(when, 0 if when == "day" else step)
            last = bool(of) and month == opened - 1 - opened % of
            if policy.evaluation.restatement != "record_only" and (
                last or (state.pending is not None and state.pending.decided == end)
            ):
                at = Close(day, frozenset(), measured, joined=self.joined[customer])
                self.take(customer, *transitions.restate(policy, state, at, "", end, last=last))

    def _step(self, customer: str) -> int:
        """Months between two closes that may move a tier; 0 where every day decides."""
        when = self.policy(customer).evaluation
        if when.close in STEPS:
            return STEPS[when.close]
        return min((STEPS[way] for way in (when.upgrades, when.downgrades) if way in STEPS), default=0)

    def _differs(self, customer: str, end: int) -> bool:
        """Whether what the close of a day looks at of balances is something else now than by the last close."""
        policy = self.policy(customer)
        keys = {
            key
            for criterion in (policy.veto, *(tier.when for tier in policy.tiers))
            for leaf in limits(criterion) if not leaf.is_open
            for key in limit_columns(self.pack, leaf) if key[1] is not None
        }  # fmt: skip
        figures = (self.before.figures, self.known.figures)
        return any(len({one.value(customer, end, *key) for one in figures}) > 1 for key in keys)
