"""Flows, facts by month, texts and facts that lapse in a partition: against the twin, over crashes, and switched to live."""

import json
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.standing.job import StandingJob
from agents.standing.model import RowKey
from policies import load_pack, parse_pack
from policies.model.figures import FLOW_MONTHS_MAX, Series
from schemas.registry import file_registry
from streams.vocabulary.terms import ASSET_CLASSES
from tests.policies.test_figures import NAME, written
from tests.standing.partition import Partition, Topics, conf, customer
from tests.standing.test_changeover import activation
from tests.standing.test_lifecycle import crashed, fact
from tests.streams.fast import RULES, unshrunk
from tests.twins.events import day, posting, rate
from tests.twins.figures import NO_RATE, SlowFigures
from tests.twins.ledger import SlowLedger

FLOWS = {
    "pays": {"direction": "in", "channels": ["payroll"]},
    "debits": {"direction": "out", "value": "count", "natures": ["external"]},
    "others": {"direction": "in", "counterparties": ["X", "acc-7"], "natures": ["external", "own_transfer"]},
}
PAID = {"metric": "pays", "months": 1, "minimum": "100.00"}
TEXT = written(PAID, flows=FLOWS)
LAST = day("2024-04-30")


def ran(*steps, text=TEXT, crash=False):
    """A partition under the pack from the start; `crash`: recovered before its last step."""
    mine = replace(conf(), pack=parse_pack(text), registry=file_registry(2))
    partition = Partition(Topics().tell(steps[: -1 if crash else None]), StandingJob(mine)).run()
    if crash:
        partition = crashed(partition, mine)
        partition.log.tell(steps[-1:])
        partition.run()
    return partition


def figure(partition, name, month, at=LAST, customer_id="C1"):
    """A flow of a month that has ended, k months back: in whole units, None or NO_RATE."""
    pack, flows = partition.job.conf.pack, partition.job.decider.flows
    slot = partition.job.ledger.customer(customer_id)
    column = flows.column(pack.flows[name], Series(name, month), np.array([slot]), at)
    if column.unknown is not None and column.unknown[0]:
        return None
    if column.held is not None and column.held[0]:
        return NO_RATE
    nano = 0 if column.nano is None else int(column.nano[0])
    value = int(column.units[0]) + Fraction(nano, 10**9)
    return value / 100 if pack.flows[name].value == "sum" else value


def pay(seq, amount, value, booked=None, **other):
    """A posting by the payroll channel."""
    return posting(seq, amount, value, booked, **{"channel": "payroll", **other})


def tiers(partition):
    """(effective, to) of every change of tier."""
    return [(r["effective_date"], r["to_tier"]) for r in partition.of("tier-changes")]


def test_by_month_of_booking():
    """What is booked in February counts there, whatever its value date; the tier follows at the month's close."""
    partition = ran(
        customer("C1"), pay(1, 9_999, "2024-01-10"), pay(2, 10_000, "2024-01-31", "2024-02-01"), day("2024-01-31"),
        posting(3, 50_000, "2024-02-03", channel="mobile"), day("2024-02-29"), day("2024-03-31"),
    )  # fmt: skip
    assert [figure(partition, "pays", k, day("2024-03-31")) for k in range(3)] == [0, 100, Fraction(9_999, 100)]
    assert tiers(partition) == [(day("2024-03-01"), "high"), (day("2024-04-01"), "low")]
    [up, down] = partition.of("tier-changes")
    assert [(m["name"], m["value_minor"], m["period_from"]) for m in up["metrics"]] == [
        ("pays[0]", 10_000, day("2024-02-01"))
    ]
    assert down["metrics"][0]["period_to"] == day("2024-03-31")


def test_a_reversal_takes_from_the_month_of_what_it_takes_back():
    """Booked in February, it takes January's amount and one of its number, and has the nature of what it takes back."""
    steps = [
        customer("C1"), pay(1, 10_000, "2024-01-30"), posting(2, -3_000, "2024-01-30", "2024-01-31"), day("2024-01-31"),
        pay(3, -10_000, "2024-01-30", "2024-02-02", reverses="C1-A1-core-1"),
        posting(4, 3_000, "2024-01-30", "2024-02-02", reverses="x", nature="unknown"),
        pay(5, 7_000, "2024-02-05"), day("2024-02-05"), day("2024-02-29"), day("2024-04-30"),
    ]  # fmt: skip
    for crash in (False, True):
        partition = ran(*steps, crash=crash)
        assert [figure(partition, "pays", k) for k in (2, 3)] == [70, 0]
        assert [figure(partition, "debits", k) for k in (2, 3)] == [0, 0]


def test_one_without_a_partner_takes_from_its_own_month():
    """As one that comes alone does; once what it takes back arrives within the horizon, it moves."""
    alone = pay(3, -10_000, "2024-01-30", "2024-02-02", reverses="x")
    partition = ran(customer("C1"), pay(1, 30_000, "2024-02-01"), alone, day("2024-02-29"), LAST)
    assert [figure(partition, "pays", k) for k in (2, 3)] == [200, 0]
    late = pay(2, 10_000, "2024-01-30", "2024-01-31")
    partition = ran(
        customer("C1"), pay(1, 30_000, "2024-02-01"), alone, day("2024-02-12"), late, day("2024-02-29"), LAST
    )
    assert [figure(partition, "pays", k) for k in (2, 3)] == [300, 0]


def test_foreign_sums_at_the_rate_of_the_months_last_day():
    """Kept by currency; a rate that comes later changes what the next close sees, and one that is missing holds."""
    usd = {"currency": "USD", "account": "A2"}
    steps = [
        customer("C1"),
        pay(1, 1_000, "2024-01-10", **usd),
        pay(1, 500, "2024-01-11"),
        rate("USD", 7_000_000, "2024-01-20"),
    ]
    partition = ran(*steps, rate("USD", 7_500_000, "2024-01-31"), day("2024-01-31"), LAST)
    assert figure(partition, "pays", 3) == 80
    partition = ran(*steps[:-1], day("2024-01-31"), LAST)
    assert figure(partition, "pays", 3) == NO_RATE
    assert figure(partition, "pays", 2) == 0


def test_a_flow_begins_with_its_pack():
    """Months before are unknown and meet nothing; the month behind the next close is the first that is known."""
    mine = conf()
    steps = [
        customer("C1"), pay(1, 90_000, "2024-01-10"), day("2024-01-31"),
        activation(TEXT.replace('"2024-01-01"', '"2024-02-10"')), pay(2, 90_000, "2024-02-03"), day("2024-02-12"),
        pay(3, 90_000, "2024-02-15"), day("2024-02-29"), pay(4, 90_000, "2024-03-05"), day("2024-03-31"),
    ]  # fmt: skip
    partition = Partition(Topics().tell(steps), StandingJob(mine)).run()
    partition = crashed(partition, mine)
    partition.log.tell([day("2024-04-30")])
    partition.run()
    changes = [r for r in partition.of("tier-changes") if r["pack_id"] == "figures"]
    assert [(r["effective_date"], r["to_tier"]) for r in changes] == [
        (day("2024-04-01"), "high"),
        (day("2024-05-01"), "low"),
    ]
    pays = partition.job.decider.flows
    flow, slot = parse_pack(TEXT).flows["pays"], np.array([partition.job.ledger.customer("C1")])
    known = [pays.column(flow, Series("pays", k), slot, LAST) for k in range(4)]
    assert [None if one.unknown is not None and one.unknown[0] else int(one.units[0]) for one in known] == [
        0,
        90_000,
        None,
        None,
    ]


def test_months_are_left_behind():
    """A posting into a month that is not held any more is in no flow, and counted; rows are small."""
    steps = [customer("C1"), *(pay(n, 100 * n, f"2023-{n:02d}-05") for n in range(1, 13)), day("2023-12-31")]
    partition = ran(*steps)
    held = [figure(partition, "pays", k, day("2023-12-31")) for k in range(FLOW_MONTHS_MAX)]
    assert held == [12, 11, 10, 9, 8, 7]
    partition.log.tell([pay(13, 100, "2023-06-05", "2023-06-20")])
    partition.feed("transactions")
    assert partition.job.work(live=True).counts["flows_too_old"] == 1
    [row] = [value for key, value in partition.rows.items() if key[:1] == RowKey.FLOWS]
    partition.log.tell([pay(14, 100, "2023-12-05"), day("2024-01-31")])
    partition.run()
    [row] = [value for key, value in partition.rows.items() if key[:1] == RowKey.FLOWS]
    assert len(row) <= 64


def test_at_most_64_bytes_a_customer_flow_and_currency():
    """In memory and in the row, over two years of full months in two currencies, as long as closes follow the days."""
    steps, most, largest = [customer("C1"), rate("USD", 7_000_000, "2022-01-01")], 0, 0
    partition = ran(*steps)
    ends = [f"{year}-{month:02d}" for year in (2022, 2023) for month in range(1, 13)]
    for n, month in enumerate(ends, 1):
        first, late = f"{month}-01", f"{month}-20"
        usd = pay(n, 3_000_000, late, currency="USD", account="A2")
        partition.log.tell([pay(n, 7_500_000, first), day(first), usd, day(late)])
        partition.run()
        series = partition.job.decider.flows
        most = max(most, 8 * series.months_held)
        assert series.columns_held <= 2 * series.months_held
        row = partition.rows[RowKey.FLOWS + b"C1"]
        largest = max(largest, len(row))
    assert 8 * FLOW_MONTHS_MAX < most <= 64
    assert 2 * FLOW_MONTHS_MAX < largest <= 2 * 64


def test_a_pack_without_flows_has_no_rows_of_them():
    """Nothing is kept that no pack asks for."""
    mine = replace(conf(), pack=load_pack("abc-bands"))
    partition = Partition(
        Topics().tell([customer("C1"), pay(1, 5, "2024-01-10"), day("2024-01-31")]), StandingJob(mine)
    ).run()
    new = (RowKey.FLOWS, RowKey.FLOW_SERIES, RowKey.FLOW_REVERSALS, RowKey.FACT_MONTHS)
    assert not [key for key in partition.rows if key[:1] in new]


@st.composite
def worlds(draw):
    """Postings over four months in any order, some reversed within three weeks, and closes at weeks' and months' ends."""
    steps = [customer("C1"), customer("C2"), rate("USD", 7_123_456, "2024-01-05")]
    for seq in range(1, draw(st.integers(2, 12))):
        on = day("2024-01-02") + draw(st.integers(0, 80))
        account, currency = draw(st.sampled_from([("A1", "CNY"), ("A2", "USD")]))
        amount = draw(st.sampled_from([-500, -200, 200, 500]))
        other = {
            "customer": draw(st.sampled_from(["C1", "C2"])), "account": account, "currency": currency,
            "channel": draw(st.sampled_from(["payroll", "mobile", None])),
            "nature": draw(st.sampled_from(["external", "own_transfer", "unknown"])),
            "counterparty_bank": draw(st.sampled_from(["X", None])), "counterparty_ref": draw(st.sampled_from(["acc-7", None])),
        }  # fmt: skip
        steps.append(posting(2 * seq, amount, on, on, **other))
        if draw(st.booleans()):
            back = on + draw(st.integers(0, 20))
            nature = draw(st.sampled_from([other["nature"], "unknown"]))
            steps.append(posting(2 * seq + 1, -amount, on, back, reverses="it", **other | {"nature": nature}))
    events = draw(st.permutations(steps[3:]))
    cut = draw(st.integers(0, len(events)))
    first = day("2024-03-01") if draw(st.booleans()) else day("2024-02-14")
    newest = max((one["booked_at"] // 86_400_000 for one in events), default=0)
    # What comes after the first close is booked within the horizon, so that pairs are found as the twin finds them.
    late = [one for one in events[cut:] if one["booked_at"] // 86_400_000 > first - 10]
    early = [one for one in events if one not in late]
    return [*steps[:3], *early, first, *late, *([newest + 2] if newest + 2 > first else [])], LAST


@pytest.mark.slow
@settings(unshrunk, max_examples=60)
@given(worlds())
def test_flows_are_those_of_the_twin(world):
    """Whatever comes, in whatever order: every month of every flow, live and recovered, is what the definition gives."""
    steps, last = world
    for crash in (False, True):
        partition = ran(*steps, last, crash=crash)
        ledger = SlowLedger(replace(RULES, scope=frozenset(ASSET_CLASSES)))
        for event in (step for step in steps if not isinstance(step, int)):
            if event["topic"] in ("transactions", "fx-rates"):
                ledger.add(event)
        twin = SlowFigures(parse_pack(TEXT), steps, {None: ledger})
        for name in FLOWS:
            for back in range(4):
                for c in ("C1", "C2"):
                    wanted = twin.value(c, LAST, f"{name}[{back}]")
                    assert figure(partition, name, back, LAST, c) == wanted, (name, back, c)


OWN = {"facts": {
    "salary": {"kind": "money"}, "plan": {"kind": "text", "values": ["basic", "premium"]},
    "promise": {"kind": "flag", "valid_days": 30},
}}  # fmt: skip


def test_facts_by_month_over_a_crash():
    """The highest (as_of, event id) of a month, however late; three months in a row give the tier."""
    text = written({"metric": "salary", "months": 3, "mode": "each", "minimum": "5.00"}, **OWN)
    sent = [("2024-01-05", 1, 400), ("2024-01-20", 2, 500), ("2024-02-07", 3, 600), ("2024-03-30", 4, 500)]
    facts = [fact("C1", n, value, day(on), "salary") for on, n, value in sent]
    steps = [
        customer("C1"),
        facts[1],
        facts[0],
        day("2024-01-31"),
        facts[2],
        day("2024-02-29"),
        facts[3],
        day("2024-03-31"),
    ]
    for crash in (False, True):
        partition = ran(*steps, text=text, crash=crash)
        assert tiers(partition) == [(day("2024-04-01"), "high")]
        [change] = partition.of("tier-changes")
        assert [(m["name"], m["value_minor"]) for m in change["metrics"]] == [
            ("salary[2]", 500),
            ("salary[1]", 600),
            ("salary[0]", 500),
        ]


def test_a_year_adds_up():
    """From January to the latest ended month, and begins anew."""
    text = written({"metric": "salary", "accumulate": "year", "minimum": "10.00"}, **OWN)
    facts = [fact("C1", n, 500, day(on), "salary") for n, on in enumerate(("2023-12-05", "2024-01-05", "2024-02-05"))]
    steps = [customer("C1"), *facts, day("2024-01-31"), day("2024-02-29"), day("2024-12-31"), day("2025-01-31")]
    assert tiers(ran(*steps, text=text)) == [(day("2024-03-01"), "high"), (day("2025-02-01"), "low")]


def test_texts():
    """One of the values counts and is told as it is; any other is a dead letter, and so is a number in its place."""
    text = written({"metric": "plan", "is": "premium"}, **OWN)
    sent = [
        fact("C1", n, 0, day("2024-01-05") + n, "plan") | {"text": plan}
        for n, plan in enumerate(("premium", "gold", None))
    ]
    for crash in (False, True):
        partition = ran(customer("C1"), *sent, day("2024-01-31"), day("2024-02-29"), text=text, crash=crash)
        letters = [(r["field"], r["reason"]) for r in partition.of("dead-letters")]
        assert letters == [
            ("text", "a text that is none of the fact's values"),
            ("text", "no text for a fact that is one"),
        ]
        [change] = partition.of("tier-changes")
        assert (change["metrics"][0]["text"], change["thresholds"][0]["text"]) == ("premium", "premium")


def test_a_fact_lapses():
    """Through its day and thirty more; an older one does not come back."""
    text = written({"metric": "promise", "is": True}, **OWN)
    facts = [fact("C1", n, 1, day(on), "promise") for n, on in ((1, "2023-12-20"), (2, "2024-01-30"))]
    steps = [customer("C1"), *facts, day("2024-01-31"), day("2024-02-29"), day("2024-03-31")]
    assert tiers(ran(*steps, text=text)) == [(day("2024-02-01"), "high"), (day("2024-04-01"), "low")]
    older = fact("C1", 3, 1, day("2024-01-29"), "promise")
    assert tiers(ran(*steps[:-1], older, steps[-1], text=text))[-1] == (day("2024-04-01"), "low")


def test_a_currency_of_its_own():
    """By the rate of the close's day, told beside the limit; without one the tier is held."""
    text = written({"metric": "aum", "scope": "all", "minimum": "10.00", "currency": "USD"})
    steps = [customer("C1"), posting(1, 7_000, "2024-01-10"), day("2024-01-31"), rate("USD", 7_000_000, "2024-02-10"),
             day("2024-02-29"), rate("USD", 7_000_001, "2024-03-31"), day("2024-03-31")]  # fmt: skip
    partition = ran(*steps, text=text)
    assert tiers(partition) == [(day("2024-03-01"), "high"), (day("2024-04-01"), "low")]
    limits = [r["thresholds"][0] for r in partition.of("tier-changes")]
    assert [(one["currency"], one["rate_micro"], one["minimum_minor"]) for one in limits] == [
        ("USD", 7_000_000, 7_000), ("USD", 7_000_001, 7_000),
    ]  # fmt: skip
    first = next(r for r in partition.of("standings") if r["as_of"] == day("2024-01-31"))
    assert first["tier"] == "low"


def test_measures_are_told():
    """The exact number beside its parts, with the places that its digits stand for."""
    points = {
        "points": {
            "sum": [{"metric": "month_avg[0]", "scope": "all", "weight": "0.01"}, {"metric": "growing", "weight": "2"}]
        }
    }
    text = written({"metric": "points", "minimum": "1"}, measures=points)
    partition = ran(customer("C1"), posting(1, 31_000, "2024-01-21"), day("2024-01-31"), text=text)
    [change] = partition.of("tier-changes")
    assert [m["name"] for m in change["metrics"]] == ["month_avg[0]", "growing", "points"]
    measure, [limit] = change["metrics"][2], change["thresholds"]
    assert (measure["value_minor"], measure["scale"], measure["exact_numerator"]) == (1_100_000, 6, "1100000")
    assert (limit["minimum_minor"], limit["scale"]) == (1_000_000, 6)
    assert json.loads(text)["classes"]["personal"]["tiers"][1]["name"] == NAME


@pytest.mark.parametrize(("start", "expected"), [("day_start", []), ("day_end", [(day("2024-02-01"), "high")])])
def test_balances_at_days_starts(start, expected):
    """What comes on the last day is in its end, and not in its beginning."""
    text = written({"metric": "aum", "scope": "all", "minimum": "100.00", "balance_at": start})
    assert tiers(ran(customer("C1"), posting(1, 10_000, "2024-01-31"), day("2024-01-31"), text=text)) == expected
