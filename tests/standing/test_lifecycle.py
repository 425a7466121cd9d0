"""The job's columns and states against the pure lifecycle, customer by customer, for packs of every kind of timing."""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import replace
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.standing.decide.lifecycle.decider import closes_ending
from agents.standing.job import StandingJob
from policies import decide, parse_pack
from policies.language.consistency import GRACEFUL
from policies.lifecycle import transitions
from policies.lifecycle.acts import HANDLERS, act
from policies.lifecycle.state import FLAGS, Act, Close, State, begin, flags, unsaid
from policies.model.criteria import meets
from schemas.codec.records import decode_one
from schemas.topics import INPUTS
from streams.alerts.acts import STEPS_OF_ACTS
from streams.calendar import date_of
from tests.standing.drawn_leaving import leaving
from tests.standing.partition import Partition, Topics, conf, customer
from tests.standing.test_recovery import profiles
from tests.streams.fast import unshrunk
from tests.twins.events import day, instant, posting

PACK = """
pack: tested
version: 1
effective_from: 2020-01-01
name: {{zh: 测试, en: Tested}}
scopes: {{aum: [deposit_demand]}}
classes:
  personal:
    evaluation: {{close: {close}, upgrades: {up}, downgrades: {down}, grace_months: {grace}}}
    {extra}
    vip_from: mid
    potential: {{when: {{all: [{{metric: loan_balance, minimum: "500.00"}}, {{metric: aum, scope: aum, below: "150.00"}}]}}}}
    tiers:
      - {{id: low, name: {{zh: 低, en: Low}}, card: white}}
      - {{id: mid, name: {{zh: 中, en: Mid}}, card: gold, when: {{metric: aum, scope: aum, minimum: "100.00"}}}}
      - id: high
        name: {{zh: 高, en: High}}
        card: black
        when:
          any:
            - {{metric: aum, scope: aum, minimum: "200.00"}}
            - {{all: [{{metric: loan_balance, minimum: "500.00"}}, {{metric: tenure_months, minimum: "1"}}]}}
    overrides: {{request_by: rm, approve_by: head, valid_months: 1}}
    queue: {{basis: tier, classes: [{{id: one, name: {{zh: 一, en: One}}, head_start_minutes: 0, tiers: [low, mid, high]}}]}}
  corporate:
    evaluation: {{close: quarter}}
    tiers:
      - {{id: firm, name: {{zh: 户, en: Firm}}}}
      - {{id: high, name: {{zh: 高, en: High}}, when: {{metric: prev_month_avg, scope: aum, above: "100.00"}}}}
    queue: {{basis: tier, classes: [{{id: two, name: {{zh: 二, en: Two}}, head_start_minutes: 0, tiers: [firm, high]}}]}}
"""
LAYERS = """
pack: layered
version: 1
effective_from: 2020-01-01
kind: layers
name: {{zh: 分层, en: Layered}}
scopes: {{all: [deposit_demand], wide: [deposit_demand, savings]}}
classes:
  personal:
    evaluation: {{close: {close}, upgrades: {up}, downgrades: {down}, grace_months: {grace}}}
    tiers:
      - {{id: nobody, name: {{zh: 无, en: Nobody}}}}
      - {{id: teller, name: {{zh: 柜员, en: Teller}}, when: {{metric: prev_month_avg, scope: wide, minimum: "50.00"}}}}
      - id: head
        name: {{zh: 主管, en: Head}}
        when: {{any: [{{metric: aum, scope: all, minimum: "150.00"}}, {{metric: loan_balance, minimum: "500.00"}}]}}
"""
REVIEWED = {"quarter": 3}  # months from one review to the next, by the close
FIRST, LAST = day("2024-01-01"), day("2024-05-15")
SINCE = day("2024-01-31")
CLASSES = {"C1": "personal", "C2": "personal", "C3": "corporate"}
ACTS = st.sampled_from(
    ("apply_card", "apply_tier", "apply_tier", "issue_card", "collect_card", "report_lost", "return_card", "record",
     "withdraw_record", "override_tier", "approve_exception", "revoke_exception", "dance", "note")
)  # fmt: skip


@st.composite
def packs(draw: st.DrawFn) -> Any:
    """A pack of two classes; the personal one with any timing."""
    close = draw(st.sampled_from(("day", "month", "quarter", "continuous", "continuous")))
    extra = draw(
        st.sampled_from(
            ("", "status: {basis: card}", "status: {requires: [filing]}", f"review: {{months: {REVIEWED.get(close, 1)}}}",
             "cards: {valid_months: 1, issue: {mode: teller, needs_standard: false, start: collection}}",
             "status: {basis: card}\n    cards: {valid_months: 1, issue: {mode: teller}}")
        )
    )  # fmt: skip
    when = ["application"] * (not extra and draw(st.booleans()))
    when += [close, *(word for word, of in (("application", "basis: card"), ("review", "review")) if of in extra)]
    when += ["day", "month"] if close == "continuous" else []
    up, down = draw(st.sampled_from(when)), draw(st.sampled_from(when))
    grace = draw(st.sampled_from((0, 1))) if down in GRACEFUL else 0
    text = PACK.format(close=close, up=up, down=down, grace=grace, extra=extra)
    if "basis: card" not in extra and draw(st.booleans()):
        text = leaving(draw, text, close, down)
    return parse_pack(text, "tested.yaml")


def in_two(pack: Any) -> tuple[Any, Any]:
    """The same rules as a pack for each class."""
    head, personal, corporate = re.split(r"^  (?:personal|corporate):\n", pack.body, flags=re.MULTILINE)
    return (
        parse_pack(f"{head}  personal:\n{personal}", "tested.yaml"),
        parse_pack(f"{head}  corporate:\n{corporate}".replace("pack: tested", "pack: firms"), "firms.yaml"),
    )


@st.composite
def layers(draw: st.DrawFn) -> Any:
    """A layer scheme for personal customers, with any timing of its own."""
    close = draw(st.sampled_from(("day", "month", "quarter")))
    up, down = (draw(st.sampled_from((close, "quarter"))) for _ in range(2))
    grace = draw(st.sampled_from((0, 1))) if down in GRACEFUL else 0
    return parse_pack(LAYERS.format(close=close, up=up, down=down, grace=grace), "layered.yaml")


@st.composite
def lives(draw: st.DrawFn) -> list[dict[str, Any] | int]:
    """Postings, facts, acts and closes of three customers, in the order they come."""
    steps: list[dict[str, Any] | int] = [
        customer(c, customer_class=kind, relationship_since=SINCE, birth_date=None) for c, kind in CLASSES.items()
    ]
    at, number = FIRST, 0
    while at < LAST:
        for _ in range(draw(st.integers(0, 3))):
            number += 1
            c, what = draw(st.sampled_from(sorted(CLASSES))), draw(st.sampled_from(("posting", "fact", "act", "act")))
            if what == "posting":
                amount = draw(st.sampled_from((-10_000, 5_000, 10_000, 10_000, 20_000, -20_000)))
                steps.append(posting(number, amount, at, customer=c, account=f"A{c}"))
            elif what == "fact":
                steps.append(fact(c, number, draw(st.sampled_from((0, 50_000))), at - draw(st.integers(0, 3))))
            else:
                steps.append(action(c, number, draw(ACTS), at, draw(st.sampled_from(("white", "gold", "black")))))
        steps.append(at)
        at += draw(st.sampled_from((1, 5, 10, 20)))
    return steps


def fact(customer_id: str, number: int, value: int, as_of: int, name: str = "loan_balance") -> dict[str, Any]:
    """A fact."""
    return {"topic": "facts", "event_id": f"f{number}", "customer_id": customer_id, "name": name, "value": value,
            "as_of": as_of, "source": "loans"}  # fmt: skip


def action(customer_id: str, number: int, name: str, at: int, card: str, **other: Any) -> dict[str, Any]:
    """Something somebody did, with parameters for any action."""
    tier = {"white": "low", "gold": "mid", "black": "high"}[card]
    return {"topic": "crm-actions", "event_id": f"act{number}", "customer_id": customer_id, "action": name,
            "requested_by": f"p{number % 2}", "approved_by": "boss" if number % 3 == 0 else None,
            "at": instant(at, "10:00:00"), "expires_on": None,
            "details": {"card": card, "tier": tier, "record": "filing", "role": "rm"}, **other}  # fmt: skip


class Twin:
    """Every customer by the pure functions alone."""

    def __init__(self, pack: Any) -> None:
        self.pack, self.states = pack, dict[str, State]()
        self.postings: dict[str, list[tuple[int, int]]] = defaultdict(list)
        self.facts: dict[str, tuple[int, str, int]] = {}
        self.said: list[tuple[Any, ...]] = []
        self.touched: dict[str, str] = {}
        self.moved: set[str] = set()  # by a posting since the last close
        self.known: set[str] = set()
        self.causes: list[str] = []
        self.closed = FIRST - 1

    def step(self, step: dict[str, Any] | int, *, together: bool = False) -> None:
        """An event or a close; `together` with the next one in a transaction."""
        if isinstance(step, int):
            self.now()
            closes, self.closed = closes_ending(self.closed if self.closed >= FIRST else -1, step), step
            for c in CLASSES:
                if CLASSES[c] in self.pack.classes:
                    self.close(c, step, closes)
            for c in sorted(self.moved):
                self.look(c, f"close/{date_of(step)}")
            self.moved.clear()
        elif step["event_id"] in self.known:
            return
        elif step["topic"] == "transactions":
            self.postings[step["customer_id"]].append((step["value_date"], step["amount_minor"]))
            self.moved.add(step["customer_id"])
            self.touched[step["customer_id"]] = step["event_id"]
        elif step["topic"] == "facts":
            new, before = (step["as_of"], step["event_id"], step["value"]), self.facts.get(step["customer_id"])
            self.facts[step["customer_id"]] = max(new, before or (-1, "", 0))
            if before != self.facts[step["customer_id"]]:
                self.touched[step["customer_id"]] = step["event_id"]
        elif step["topic"] == "crm-actions" and step["action"] != "note" and self.pack.kind == "tiers":
            self.act(step)
        if not isinstance(step, int):
            self.known.add(step["event_id"])
        if not together:
            self.now()

    def now(self) -> None:
        """The end of a transaction: whom it has touched is looked at."""
        for c, cause in sorted(self.touched.items()):
            self.look(c, cause)
        self.touched.clear()

    def look(self, c: str, cause: str) -> None:
        """A customer as of the day being lived, where his class is decided continuously."""
        policy = self.pack.classes.get(CLASSES[c])
        if policy is not None and policy.evaluation.close == "continuous" and self.closed >= FIRST:
            measured = decide(policy, self.values(c, self.closed + 1))
            state = self.states.get(c, begin(policy))
            after, said = transitions.look(policy, state, self.closed + 1, measured, cause)
            self.causes += [cause for d in said if d.kind == "tier"]
            self.take(c, (after, said))

    def close(self, c: str, at: int, closes: frozenset[str]) -> None:
        """A close of one customer."""
        policy = self.pack.classes[CLASSES[c]]
        state = self.states.get(c, begin(policy))
        held = [part.last_day for part in (state.card, state.grant) if part is not None and part.last_day is not None]
        held += [] if state.pending is None else [state.pending.day - 1]
        values = self.values(c, at)
        vetoed = policy.vetoes_at_once and policy.veto is not None and meets(policy.veto, values)
        more = {"joined": SINCE, "vetoed": vetoed}
        if policy.evaluation.close in (*closes, "continuous"):
            now = Close(at, closes, decide(policy, values), **more)
        elif policy.vetoes_at_once:
            now = Close(at, frozenset({"day"}), state.measured, **more)
        elif min([*held, *(on for on in unsaid(policy, state) if on is not None)], default=at + 1) <= at:
            now = Close(at, frozenset({"day"}), state.measured)
        else:
            return
        self.take(c, transitions.close(policy, state, now))

    def flags(self, c: str, at: int) -> list[str]:
        """What is true of a customer beside the tier after a close."""
        policy, values = self.pack.classes[CLASSES[c]], self.values(c, at)
        found = flags(policy, self.states.get(c, begin(policy)), at)
        if policy.potential is not None and values["loan_balance", None] >= 500 and values["aum", "aum"] < 150:
            found |= {"potential_customer"}
        return [name for name in FLAGS if name in found]

    def act(self, step: dict[str, Any]) -> None:
        """An act of one customer."""
        c, on = step["customer_id"], int((step["at"] + 8 * 3_600_000) // 86_400_000)
        policy = self.pack.classes[CLASSES[c]]
        what = Act(
            step["action"], on, step["requested_by"], step["approved_by"], None, step["details"], step["event_id"],
            joined=SINCE,
        )  # fmt: skip
        if step["action"] == "dance":
            self.said.append((c, "refused", "unknown_action", on, on, None, None))
        else:
            self.take(c, act(policy, self.states.get(c, begin(policy)), what))
            self.touched[c] = what.event_id

    def take(self, c: str, step: Any) -> None:
        """The new state, and what was said."""
        self.states[c], said = step
        self.said += [(c, d.kind, d.reason, d.day, d.effective, d.before, d.after) for d in said]

    def values(self, c: str, at: int) -> dict[tuple[str, str | None], Fraction]:
        """The metrics of the pack, from the definitions."""

        def aum(on: int) -> Fraction:
            return Fraction(sum(amount for value, amount in self.postings[c] if value <= on), 100)

        first = day("2023-12-01")
        months = [
            m for m in range(first, at + 2) if closes_ending(m - 2, m - 1) >= {"month"}
        ]  # first days after a month's end
        month = [aum(on) for on in range(months[-2], months[-1])] if len(months) > 1 else [Fraction(0)]
        months_known = sum(1 for on in range(SINCE + 1, at + 1) if on in TENURE)
        average = sum(month, Fraction(0)) / len(month)
        return {
            ("aum", "aum"): aum(at), ("month_avg[0]", "aum"): average,
            ("aum", "all"): aum(at), ("month_avg[0]", "wide"): average,
            ("loan_balance", None): Fraction(self.facts.get(c, (0, "", 0))[2], 100),
            ("tenure_months", None): Fraction(months_known),
        }  # fmt: skip


TENURE = {
    day(text) for text in ("2024-02-29", "2024-03-31", "2024-04-30", "2024-05-31")
}  # full months since 31 January


def heard(partition: Partition) -> list[tuple[Any, ...]]:
    """What the job has published, as the twin says it."""
    changes = [
        (r["customer_id"], "tier", r["reason"], r["business_day"], r["effective_date"], r["from_tier"], r["to_tier"])
        for r in partition.of("tier-changes")
    ]
    others = [
        (r["customer_id"], r["kind"], r["reason"], r["day"], r["effective_date"], r["before"], r["after"])
        for r in partition.of("decisions")
    ]
    return changes + others


@pytest.mark.slow
@settings(unshrunk, max_examples=30)
@given(packs(), st.none() | layers(), st.booleans(), lives(), st.data())
def test_columns_follow_the_pure_lifecycle(
    pack: Any, layered: Any, apart: bool, steps: list[dict[str, Any] | int], data: Any
) -> None:
    """Every tier change and every decision is the twin's, with crashes in between; ids are never used twice.

    A layer scheme beside the tier scheme is decided as if it were alone, and neither changes the other. The classes of
    customers may have a pack each.
    """
    first, *others = in_two(pack) if apart else (pack,)
    settings_, twin, seen = replace(conf(), pack=first, others=tuple(others), layers=layered), Twin(pack), 0
    partition, other = Partition(Topics(), StandingJob(settings_)), None if layered is None else Twin(layered)
    for group in grouped(data, steps):
        for one in (twin, other):
            for step in group if one is not None else ():
                one.step(step, together=True)
            if one is not None:
                one.now()
        partition.log.tell(group)
        partition.run()
        told = partition.published["standings"][seen:]
        seen += len(told)
        for record in (decode_one(value) for _, value in told):
            assert record["flags"] == twin.flags(record["customer_id"], record["as_of"])
        if data.draw(st.integers(0, 19)) == 0:
            partition = crashed(partition, settings_)
    expected = [(*s[:3], None if by_act(s) else s[3], *s[4:]) if s[1] == "tier" else s for s in twin.said]
    lay = [] if other is None else [(said[0], "layer", *said[2:]) for said in other.said]
    assert sorted(heard(partition), key=repr) == sorted(expected + lay, key=repr)
    ids = [r["event_id"] for topic in ("tier-changes", "decisions") for r in partition.of(topic)]
    assert len(set(ids)) == len(ids)
    told = [r for r in partition.of("tier-changes") if r["reason"] == "continuous"]
    assert sorted(r["caused_by"] for r in told) == sorted(twin.causes)
    for c, state in twin.states.items():
        slot = partition.job.ledger.customer(c)
        table = partition.job.decider.lifecycle.table(slot)
        assert partition.job.decider.lifecycle.columns.state(slot, table) == state
    states = {} if other is None else other.states
    last = {r["customer_id"]: r["layer"] for r in partition.of("standings")}
    assert last == {c: states[c].official if c in states else None for c in last}
    assert not partition.of("dead-letters")


@pytest.mark.parametrize("close", ["month", "quarter"])
def test_a_grant_that_ends_between_closes_is_no_standard(close: str) -> None:
    """The tier that was granted is not taken for the one that the standard gives when the grant ends."""
    pack = parse_pack(
        PACK.format(close=close, up=close, down=close, grace=0, extra=f"review: {{months: {REVIEWED.get(close, 1)}}}"),
        "tested.yaml",
    )
    steps: list[dict[str, Any] | int] = [
        customer("C1", customer_class="personal", relationship_since=SINCE, birth_date=None)
    ]
    steps += [FIRST, action("C1", 3, "override_tier", FIRST + 1, "black"), *range(FIRST + 1, FIRST + 60)]
    twin, partition = Twin(pack), Partition(Topics(), StandingJob(replace(conf(), pack=pack)))
    for step in steps:
        twin.step(step)
        partition.log.tell([step])
        partition.run()
    assert {said[2] for said in heard(partition) if said[1] == "tier"} == {"override", "expiry"}
    expected = [(*s[:3], None if by_act(s) else s[3], *s[4:]) if s[1] == "tier" else s for s in twin.said]
    assert sorted(heard(partition), key=repr) == sorted(expected, key=repr)


def test_months_below_end_when_the_standard_comes_back_between_closes() -> None:
    """The grace of a customer with something of his own is not used up by months that are not in a row."""
    cards = "cards: {valid_months: 1, issue: {mode: teller, needs_standard: false, start: collection}}"
    pack = parse_pack(PACK.format(close="continuous", up="month", down="month", grace=1, extra=cards), "tested.yaml")
    amounts = {"2024-01-05": 30_000, "2024-02-20": -25_000, "2024-03-05": 25_000, "2024-03-20": -25_000}
    moved = {
        day(on): posting(i, amount, on, customer="C1", account="AC1")
        for i, (on, amount) in enumerate(amounts.items(), 1)
    }
    steps: list[dict[str, Any] | int] = [
        customer("C1", customer_class="personal", relationship_since=SINCE, birth_date=None)
    ]
    steps += [FIRST, action("C1", 9, "apply_card", FIRST, "gold")]
    for at in range(FIRST + 1, day("2024-04-02")):
        steps += [moved[at], at] if at in moved else [at]
    twin, partition = Twin(pack), Partition(Topics(), StandingJob(replace(conf(), pack=pack)))
    for step in steps:
        twin.step(step)
        partition.log.tell([step])
        partition.run()
    assert [said[6] for said in heard(partition) if said[1] == "tier"] == ["high"]
    assert [said[6] for said in twin.said if said[1] == "tier"] == ["high"]
    assert (
        partition.job.decider.lifecycle.columns.state(0, partition.job.decider.lifecycle.table(0)) == twin.states["C1"]
    )


@st.composite
def moving(draw: st.DrawFn) -> list[dict[str, Any] | int]:
    """Lives of customers who come into other classes, some of their acts sent again much later."""
    out: list[dict[str, Any] | int] = []
    for number, step in enumerate(draw(lives())):
        out.append(step)
        if isinstance(step, int) and draw(st.integers(0, 2)) == 0:
            one, kind = draw(st.sampled_from(sorted(CLASSES))), draw(st.sampled_from(sorted(set(CLASSES.values()))))
            card = draw(st.sampled_from((None, "gold")))
            out.append(customer(one, event_id=f"class-{number}", customer_class=kind, card_held=card))
        acts = [one for one in out if isinstance(one, dict) and one["topic"] == "crm-actions"]
        if acts and draw(st.integers(0, 7)) == 0:
            out.append(draw(st.sampled_from(acts)))
    return out


@pytest.mark.slow
@settings(unshrunk, max_examples=12)
@given(packs(), layers(), st.sampled_from((None, 1, 2)), moving(), st.data())
def test_a_recovery_leaves_no_trace_in_any_class(
    pack: Any, layered: Any, apart: int | None, steps: list[dict[str, Any] | int], data: Any
) -> None:
    """Who comes into another class, with a scheme or without, is the same in a running worker and in a recovered one."""
    first, *others = (pack,) if apart is None else in_two(pack)[:apart]
    settings_ = replace(conf(), pack=first, others=tuple(others), layers=layered)
    partition = Partition(Topics(), StandingJob(settings_))
    for group in grouped(data, steps):
        partition.log.tell(group)
        partition.run()
        if data.draw(st.integers(0, 2)) > 0:  # not behind each: what differs stays so
            continue
        other = crashed(partition, settings_)
        mine, theirs = profiles(partition.job), profiles(other.job)
        assert {c: mine[c] for c in mine if mine[c] != theirs[c]} == {
            c: theirs[c] for c in mine if mine[c] != theirs[c]
        }
        if data.draw(st.booleans()):
            partition = other
    ids = [r["event_id"] for topic in ("tier-changes", "decisions") for r in partition.of(topic)]
    assert len(set(ids)) == len(ids)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["personal", "corporate"])
@pytest.mark.parametrize("name", [*HANDLERS, *STEPS_OF_ACTS, "dance", "note"])
def test_an_act_that_comes_again_says_nothing_more(name: str, kind: str) -> None:
    """Of any kind, to a customer of a class with a scheme or without: once, over a recovery and a close."""
    found = Partition(Topics())
    act_ = action("C1", 1, name, FIRST + 1, "gold")
    for steps in (
        [customer("C1", customer_class=kind), FIRST, act_],
        [act_],
        [act_, act_, FIRST + 1],
        [act_, FIRST + 2],
    ):
        found.log.tell(steps)
        found = crashed(found.run(), conf())
    told = [r["caused_by"] for r in found.of("decisions")]
    assert told == ["act1"] * (name != "note")
    assert not found.of("dead-letters")


def grouped(data: Any, steps: list[dict[str, Any] | int]) -> list[list[dict[str, Any] | int]]:
    """Transactions: steps in a row, each topic's behind those of the topic before it, with some of them sent twice."""
    out: list[list[dict[str, Any] | int]] = []
    for step in steps:
        if isinstance(step, int) or not out or isinstance(out[-1][-1], int) or data.draw(st.booleans()):
            out.append([])
        out[-1] += [step] * (1 if isinstance(step, int) else data.draw(st.sampled_from((1, 1, 1, 2))))
    for group in out:
        group.sort(key=lambda step: len(INPUTS) if isinstance(step, int) else INPUTS.index(step["topic"]))
    return out


def by_act(said: tuple[Any, ...]) -> bool:
    """Tier decisions of an act hold at once, an application from the next day."""
    return said[2] == "application" or (said[3] == said[4] and said[2] != "pending")


def crashed(partition: Partition, settings_: Any) -> Partition:
    """Another job from the rows and a fence."""
    job = StandingJob(settings_)
    partition.rows |= dict(_flat(partition.job.take_dirty(None)[0]))
    job.load(partition.rows.items())
    job.load_fence(partition.job.fence())
    again = Partition(partition.log, job, partition.job.positions())
    again.rows, again.published = partition.rows, partition.published
    return again


def _flat(items: Any) -> Any:
    from agents.engine.record_batches import flat

    return flat(items)
