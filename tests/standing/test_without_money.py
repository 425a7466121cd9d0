"""Customers without money: who has a row, live, after a recovery, in a replay of files and by a plain count of the events."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.offline.replay import Arrival, replay_arrivals
from agents.offline.standings import standings_at
from agents.standing.job import StandingJob
from policies import parse_pack
from policies.cases.decision import decide_facts
from schemas.codec.records import encode
from streams.calendar import date_of, last_ended_month
from streams.reference import customer_ref
from tests.standing.partition import Partition, Topics, conf, customer
from tests.standing.test_lifecycle import fact
from tests.standing.test_recovery import Crashing
from tests.streams.fast import unshrunk
from tests.twins.events import day, posting

PACK = """
pack: homes
version: 1
effective_from: 2020-01-01
name: {{zh: 房贷, en: Homes}}
scopes: {{aum: [deposit_demand]}}
facts: {{home_points: {{kind: count}}}}
classes:
  personal:
    evaluation: {{close: {close}, upgrades: {close}, downgrades: {close}}}
    {status}
    vip_from: gold
    tiers:
      - {{id: low, name: {{zh: 低, en: Low}}, card: white}}
      - id: gold
        name: {{zh: 金, en: Gold}}
        card: gold
        when:
          any:
            - {{metric: aum, scope: aum, minimum: "100.00"}}
            - {{metric: loan_balance, minimum: "500.00"}}
            - {{metric: home_points, minimum: "7"}}
    queue: {{basis: tier, classes: [
      {{id: fast, name: {{zh: 快, en: Fast}}, head_start_minutes: 9, tiers: [gold]}},
      {{id: slow, name: {{zh: 慢, en: Slow}}, head_start_minutes: 0, tiers: [low]}}]}}
"""
FIRST, LAST = day("2024-01-20"), day("2024-03-12")
LIVES = {
    "money": ("posting",), "facts": ("fact",), "profile": ("profile",), "card": ("card",),
    "all": ("posting", "fact", "card"), "both": ("profile", "fact"), "late": ("fact", "posting"),
}  # fmt: skip
MONEY = (-20_000, 5_000, 12_000)
FACTS = (("loan_balance", 0), ("loan_balance", 50_000), ("home_points", 6), ("home_points", 7))
Step = dict[str, Any] | int


def pack(close: str, *, by_card: bool) -> Any:
    """The pack with its timing; with tiers by the card held in place of the criteria."""
    return parse_pack(PACK.format(close=close, status="status: {basis: card}" if by_card else ""), "homes.yaml")


@st.composite
def worlds(draw: st.DrawFn) -> list[Step]:
    """Events of customers of every kind with a close of each day behind them."""
    steps: list[Step] = []
    for number, at in enumerate(range(FIRST, LAST + 1)):
        for one in draw(st.lists(st.sampled_from(sorted(LIVES)), max_size=3)) if number % 3 == 0 else ():
            what, serial = draw(st.sampled_from(LIVES[one])), len(steps)
            if what == "posting":
                value = at - draw(st.sampled_from((0, 0, 9)))
                steps.append(
                    posting(serial + 1, draw(st.sampled_from(MONEY)), value, at, customer=one, account=f"{one}-1")
                )
            elif what == "fact":
                name, value = draw(st.sampled_from(FACTS))
                steps.append(fact(one, serial, value, at - draw(st.sampled_from((-1, 0, 0, 1, 20))), name))
            else:
                card = draw(st.sampled_from(("white", "gold"))) if what == "card" else None
                steps.append(customer(one, event_id=f"p{serial}", card_held=card))
        steps.append(at)
    return steps


class Plain:
    """The customers of a bank, one event after the other; no money has a class or currency that would matter."""

    def __init__(self, close: str, *, by_card: bool) -> None:
        self.month, self.by_card = close == "month", by_card
        self.money: dict[str, list[tuple[int, int]]] = {}
        self.facts: dict[str, dict[str, tuple[int, str, int]]] = {}
        self.cards: dict[str, str | None] = {}
        self.tiers: dict[str, list[tuple[int, str]]] = {}

    def take(self, step: Step) -> None:
        """An event or a close."""
        if isinstance(step, int):
            self._close(step)
            return
        one = step["customer_id"]
        if step["topic"] == "transactions":
            self.money.setdefault(one, []).append((step["value_date"], step["amount_minor"]))
        elif step["topic"] == "facts":
            held, new = self.facts.setdefault(one, {}), (step["as_of"], step["event_id"], step["value"])
            held[step["name"]] = max(held.get(step["name"], new), new)
        else:
            self.cards[one] = step["card_held"]

    def _close(self, at: int) -> None:
        if self.month and not self.by_card and int(last_ended_month(at)) == int(last_ended_month(at - 1)):
            return
        for one in {*self.money, *self.facts, *self.cards}:
            known = {name: value for name, (_, _, value) in self.facts.get(one, {}).items()}
            meets = self.aum(one, at) >= 10_000 or known.get("loan_balance", 0) >= 50_000
            rich = meets or known.get("home_points", 0) >= 7
            given = (self.cards.get(one) == "gold") if self.by_card else rich
            tier = "gold" if given else "low"
            if tier != self.tier(one):
                self.tiers.setdefault(one, []).append((at + 1, tier))

    def aum(self, one: str, at: int) -> int:
        """In minor units."""
        return sum(amount for value, amount in self.money.get(one, ()) if value <= at)

    def tier(self, one: str, at: int = LAST + 9) -> str:
        """In force on a day; else the one decided last."""
        return next((tier for since, tier in reversed(self.tiers.get(one, ())) if since <= at), "low")

    def rows(self, at: int) -> dict[str, tuple[int, str]]:
        """AUM, and the tier in force on the day, of whoever has a row as of the last close."""
        found = {}
        for one in {*self.money, *self.facts, *self.cards}:
            days = [value for value, _ in self.money.get(one, ())] + [d for d, _, _ in self.facts.get(one, {}).values()]
            days += [since - 1 for since, _ in self.tiers.get(one, ())[-3:]]
            if days and min(days) <= at:
                found[one] = self.aum(one, at), self.tier(one, at)
        return found


def shown(job: StandingJob, at: int) -> dict[str, tuple[int, str]]:
    """The same out of a job's state."""
    return {str(row[0]): (int(row[1] or 0), str(row[-1])) for row in standings_at(job, at)}


@pytest.mark.slow
@settings(unshrunk, max_examples=12)
@given(st.data(), st.sampled_from(("day", "month")), st.booleans())
def test_everybody_has_the_same_row_everywhere(data, close, by_card):
    """Rows of customers with money, with facts, a profile or a card alone: job, recovery, replay and plain count agree."""
    mine = replace(conf(), pack=pack(close, by_card=by_card))
    steps, plain = data.draw(worlds()), Plain(close, by_card=by_card)
    live = Crashing(Topics(), StandingJob(mine))
    live.conf = mine
    live.fence = (live.job.positions(), live.job.fence())
    crash, said = data.draw(st.sampled_from([step for step in steps if isinstance(step, int)])), 0
    before = FIRST - 1
    for step in steps:
        live.log.tell([step])
        plain.take(step)
        if not isinstance(step, int):
            continue
        live.run()
        right, told = plain.rows(step), live.of("standings", said)
        said += len(told)
        assert {r["customer_id"] for r in told} <= set(right)
        for record in told:
            one = record["customer_id"]
            assert (record["aum_minor"], record["tier"]) == (right[one][0], plain.tier(one))
            first = min((value for value, _ in plain.money.get(one, ()) if value <= step), default=0)
            assert record["first_day"] == first
        if close == "day" or int(last_ended_month(step)) != int(last_ended_month(step - 1)):
            assert {r["customer_id"] for r in told} == set(right)
        fresh = {one for one, held in plain.facts.items() if any(before < on <= step for on, _, _ in held.values())}
        without = {one for one in fresh if min((v for v, _ in plain.money.get(one, ())), default=step + 1) > step}
        assert without <= {r["customer_id"] for r in told}
        if step == crash:
            if data.draw(st.booleans()):
                live.flush(None)
            live = live.recovered(data)
        assert shown(live.job, step) == right
        before = step
    arrivals, at = [], FIRST
    for step in steps:
        if isinstance(step, int):
            arrivals.append(Arrival(step, "", None))
            at = step + 1
        else:
            arrivals.append(Arrival(at, step["topic"], {k: v for k, v in step.items() if k != "topic"}))
    assert shown(replay_arrivals(mine, arrivals, encode, LAST), LAST) == plain.rows(LAST)
    queue = {record["customer_ref"]: record["queue_class"] for record in live.of("queue-priority")}
    for one in {*plain.money, *plain.facts, *plain.cards}:
        known = queue.get(customer_ref(mine.reference_key, one), "slow")
        assert known == ("fast" if plain.tier(one) == "gold" else "slow")


def test_a_vip_by_a_mortgage_alone():
    """He has a standing, a change of tier, a queue class and an outlook where the pack can be foreseen; no account, no day."""
    steps = [customer("HOME"), fact("HOME", 1, 50_000, day("2024-01-30")), customer("NONE"), day("2024-01-31")]
    one = Partition(Topics().tell(steps), StandingJob(replace(conf(), pack=pack("month", by_card=False)))).run()
    [standing], [change], [queued] = one.of("standings"), one.of("tier-changes"), one.of("queue-priority")
    assert (standing["customer_id"], standing["tier"], standing["aum_minor"]) == ("HOME", "gold", 0)
    assert date_of(standing["first_day"]).isoformat() == "1970-01-01"
    assert (change["customer_id"], change["to_tier"], queued["queue_class"]) == ("HOME", "gold", "fast")
    foreseen = Partition(Topics().tell(steps)).run()
    assert [(o["customer_id"], o["aum_minor"], o["tier"]) for o in foreseen.of("outlooks")] == [("HOME", 0, "ordinary")]


def test_facts_alone_are_decided_with_no_money():
    """`policy decide` says the same of him; of somebody of whom nothing is told it still asks for the amount."""
    assert decide_facts(pack("month", by_card=False), "personal", {"loan_balance": 500}).tier == "gold"
    assert decide_facts(pack("month", by_card=False), "personal", {"home_points": 1}).tier == "low"
