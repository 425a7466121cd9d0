"""Reversals: what they take back, what they leave to be watched, and what is told of those without a partner."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.standing.publish.publisher import REVERSAL_UNMATCHED
from streams.accounts.reversals import SETTLE_DAYS
from streams.alerts.lifecycle import RAISED
from tests.standing.partition import Partition, Topics
from tests.standing.test_alerts import GOLD, MAY, out, partition, said
from tests.streams.fast import RULES, unshrunk
from tests.twins.events import day, posting
from tests.twins.ledger import SlowLedger
from tests.twins.strategies import banks, feeds

DAY = day("2024-03-01")


def unmatched(found: Partition) -> list[dict[str, Any]]:
    """What restatements say of reversals."""
    return [record for record in found.of("restatements") if record["kind"] == REVERSAL_UNMATCHED]


def test_a_debit_that_takes_nothing_back_is_watched():
    """Whatever `reverses` says: an amount, a value date or an account that fits nothing is an ordinary movement."""
    for change in ({}, {"amount_minor": 29_000_001}, {"value_date": MAY - 1}, {"account_id": "A9"}):
        original = posting(7, 29_000_000, MAY) | change
        steps = [original] if change else []
        found = partition(GOLD, *steps, out(8, 29_000_000, reverses="C1-A1-core-7"))
        assert [status for rule, status, _ in said(found) if rule == "outflow-1d"] == [RAISED], change


def test_pay_return_and_pay_again():
    """1,600,000 out, and as much by counterparty."""
    more = {"counterparty_bank": "Harbour", "value": MAY}
    paid, again = posting(1, -160_000_000, clock="09:00:00", **more), posting(3, -160_000_000, clock="11:00:00", **more)
    back = posting(2, 160_000_000, clock="10:00:00", reverses="C1-A1-core-1", **more)
    found = partition(GOLD, paid, back, again)
    last = found.of("rm-alerts")[-1]
    assert last["outflow_minor"] == 160_000_000
    assert last["counterparties"] == [{"bank": "Harbour", "amount_minor": 160_000_000}]


def test_of_the_same_instant_the_bank_decides():
    """Not which of two arrived first: the alert names the same bank, whatever the order."""
    paid = [posting(k, -16_000_000, MAY, clock="10:00:00", counterparty_bank=bank) for k, bank in ((1, "A"), (2, "B"))]
    back = posting(3, 16_000_000, MAY, clock="11:00:00", reverses="?")
    last = posting(4, -16_000_000, MAY, clock="12:00:00")
    told = [partition(GOLD, *order, back, last).of("rm-alerts")[-1] for order in (paid, paid[::-1])]
    assert told[0]["counterparties"] == told[1]["counterparties"]
    assert [(len(r["counterparties"]), r["outflow_minor"]) for r in told] == [(1, 32_000_000)] * 2


def test_one_without_a_partner_is_told_once():
    """At the first close three days after its booking; one that comes later at the next; two alike are two."""
    back = [posting(n, -500, DAY, reverses="?") for n in (1, 2)]
    log = Topics().tell([posting(9, 10**6, DAY - 1), *back, DAY, DAY + 1, DAY + 2])
    assert unmatched(Partition(log).run()) == []
    found = Partition(log.tell([DAY + 3, DAY + 4, posting(3, 70, DAY, reverses="x"), DAY + 5, DAY + 6])).run()
    told = unmatched(found)
    assert [(r["business_day"], r["amount_minor"], r["restated_day"]) for r in told] == [
        (DAY + 3, -500, DAY), (DAY + 3, -500, DAY), (DAY + 5, 70, DAY),
    ]  # fmt: skip
    assert {(r["account_id"], r["currency"], r["customer_id"]) for r in told} == {("A1", "CNY", "C1")}
    assert len({r["event_id"] for r in told}) == 3
    assert found.of("standings")[-1]["aum_minor"] == 10**6 - 1000 + 70  # its money counts
    assert found.of("dead-letters") == []


def test_one_with_a_partner_is_not_told():
    """Nor where the partner comes after it, up to the close that asks."""
    log = Topics().tell([posting(2, 500, DAY, reverses="later"), DAY, DAY + 2, posting(1, -500, DAY), DAY + 3, DAY + 9])
    assert unmatched(Partition(log).run()) == []


def test_a_posting_under_the_wrong_customer():
    """Reversed under him, sent anew under the right one: both are right, and nothing is told."""
    wrong, right = posting(1, 700, DAY, customer="C1"), posting(1, 700, DAY, customer="C2")
    back = posting(2, -700, DAY, customer="C1", reverses=wrong["event_id"])
    found = Partition(Topics().tell([wrong, back, right, DAY, DAY + 3])).run()
    assert unmatched(found) == found.of("dead-letters") == []
    last = {r["customer_id"]: r["aum_minor"] for r in found.of("standings")}
    assert last == {"C1": 0, "C2": 700}


@pytest.mark.slow
@settings(unshrunk, max_examples=25)
@given(st.data())
def test_told_as_the_twin_finds_them(data):
    """Any set of postings, late ones too, in any order: each reversal once, at the first close that finds it alone."""
    bank = data.draw(banks(days=30, customers=2))
    slow, wanted, asked = SlowLedger(RULES), Counter[tuple[Any, ...]](), set[int]()
    steps = data.draw(feeds(bank, late_days=20))
    for step in steps:
        if not isinstance(step, int):
            slow.add(step)
            continue
        for name, account_id, account in _accounts(slow):
            alone = {id(back) for back in slow.alone(account)}
            for back in account.postings:
                due = back["reverses"] is not None and slow.booking_day(back["booked_at"]) + SETTLE_DAYS <= step
                if due and id(back) not in asked:
                    asked.add(id(back))
                    wanted[name, account_id, back["amount_minor"], back["value_date"], step] += id(back) in alone
        slow.close(step)
    found = Partition(Topics().tell(steps)).run()
    told = Counter(
        (r["customer_id"], r["account_id"], r["amount_minor"], r["restated_day"], r["business_day"])
        for r in unmatched(found)
    )
    assert told == +wanted


@pytest.mark.slow
@settings(unshrunk, max_examples=15)
@given(st.data())
def test_the_order_of_arrival_leaves_no_trace(data):
    """Two logs with the same events, each read before the third close after its booking: the same is told, ids and all."""
    bank = data.draw(banks(days=30, customers=2))
    told = []
    for _ in range(2):
        found = Partition(Topics().tell(data.draw(feeds(bank, late_days=SETTLE_DAYS)))).run()
        told.append(sorted(unmatched(found), key=lambda record: record["event_id"]))
    assert told[0] == told[1]


def _accounts(slow: SlowLedger) -> list[tuple[str, str, Any]]:
    return [(name, number, one) for name, accounts in slow._accounts.items() for number, one in accounts.items()]
