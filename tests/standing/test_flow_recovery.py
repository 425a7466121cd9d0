"""Flows over a crash: rows that leave with those of accounts, and the replay that counts again what came since."""

import json
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.standing.intake.figures import flows as module
from agents.standing.job import StandingJob
from agents.standing.model import RowKey
from policies import parse_pack
from schemas.registry import file_registry
from tests.policies.test_figures import written
from tests.standing.partition import Topics, conf, customer
from tests.standing.test_changeover import activation
from tests.standing.test_flows import FLOWS, PAID, TEXT
from tests.standing.test_recovery import Crashing, recovered_at_once
from tests.streams.fast import unshrunk
from tests.twins.events import day, posting, rate

FIRST, DAYS = day("2024-01-10"), 90
LATER = {"spent": {"direction": "out", "channels": ["mobile"]}, "moves": {"direction": "in", "value": "count"}}
SENT = written(PAID, flows=FLOWS | LATER, version=2, effective_from="2024-04-01")


def begun(limits: pytest.MonkeyPatch | None = None) -> Crashing:
    """A partition under the pack; `limits`: with as few months held as may be, so that they are left behind."""
    if limits is not None:
        limits.setattr(module, "_BEFORE_MAX", 2)
        limits.setattr(module, "FLOW_MONTHS_MAX", 1)
    mine = replace(conf(), pack=parse_pack(TEXT), registry=file_registry(2))
    one = Crashing(Topics(), StandingJob(mine))
    one.conf, one.fence = mine, (one.job.positions(), one.job.fence())
    return one


def held(job: StandingJob) -> dict:
    """Everything that is known of flows, by names in place of slots and columns."""
    series, ledger = job.decider.flows, job.ledger
    known = {"series": [*series._codes], "since": series._since, "begun": series._begun, "early": series._early}
    series._make_room()
    for slot in range(ledger.customers.count):
        values = {
            (head.flow, ledger.currencies.text(head.currency), head.month): int(series._values[slot, at])
            for head, at in series._places.items()
        }
        name = ledger.customer_id(slot)
        known[name] = {head: value for head, value in values.items() if value}, series.reversals._held.get(slot, [])
    return {name: what for name, what in known.items() if what != ({}, [])}


def recovered(one: Crashing) -> Crashing:
    """Recovery in one go, as far as was committed."""
    again = recovered_at_once(one)
    assert again.job.positions() == one.job.positions()
    return again


@st.composite
def lives(draw) -> list:
    """Postings as they arrive, some late or of other months, some reversed before or after they come; closes; perhaps a pack."""
    arriving = list[tuple[int, dict]]()
    for seq in range(1, draw(st.integers(3, 14))):
        on = FIRST + draw(st.integers(0, DAYS - 30))
        account, currency = draw(st.sampled_from([("A1", "CNY"), ("A2", "USD")]))
        other = {
            "customer": draw(st.sampled_from(["C1", "C2"])), "account": account, "currency": currency,
            "channel": draw(st.sampled_from(["payroll", "mobile", None])),
            "nature": draw(st.sampled_from(["external", "own_transfer", "unknown"])),
            "counterparty_bank": draw(st.sampled_from(["X", None])),
        }  # fmt: skip
        amount, late = draw(st.sampled_from([-500, -200, 200, 500])), st.sampled_from((-40, 0, 0, 1, 3, 20))
        arriving.append((on + draw(late), posting(2 * seq, amount, on, on, **other)))
        if draw(st.booleans()):
            back = on + draw(st.integers(0, 10))
            other |= {"nature": draw(st.sampled_from([other["nature"], "unknown"])), "reverses": "it"}
            arriving.append((back + draw(late), posting(2 * seq + 1, -amount, on, back, **other)))
    if draw(st.booleans(), label="a pack comes"):
        arriving.append((FIRST + draw(st.integers(0, 60)), activation(SENT)))
    opens = FIRST + draw(st.integers(0, DAYS - 20), label="first close")
    ends = {day("2024-01-31"), day("2024-02-29"), day("2024-03-31"), FIRST + DAYS, opens}
    closed = sorted(one for one in ends | draw(st.sets(st.integers(opens, FIRST + DAYS), max_size=6)) if one >= opens)
    steps = [customer("C1"), customer("C2"), rate("USD", 7_123_456, "2024-01-05")]
    told = sorted([*((on, 0, n, event) for n, (on, event) in enumerate(arriving)), *((on, 1, 0, on) for on in closed)],
                  key=lambda one: one[:3])  # fmt: skip
    return steps + [step for *_, step in told]


@pytest.mark.slow
@settings(unshrunk, max_examples=60)
@given(lives(), st.booleans(), st.data())
def test_a_crash_leaves_no_trace_in_flows(steps, few, data):
    """Values, series and reversals after the replay are those of the job that has not crashed, wherever the flush was."""
    with pytest.MonkeyPatch.context() as limits:
        one = begun(limits if few else None)
        for step in steps:
            one.log.tell([step])
            if not data.draw(st.integers(0, 3), label="goes on"):
                continue  # several in one transaction
            one.run()
            if (rows := data.draw(st.sampled_from((0, 0, 1, 1, None)), label="flush")) != 0:
                one.flush(rows)
            if data.draw(st.integers(0, 2), label="crash"):
                again = one.recovered(data)
                assert held(again.job) == held(one.job)
                one = again if data.draw(st.booleans(), label="stays") else one
        one.run()
        assert held(recovered(one).job) == held(one.job)


def test_rows_leave_with_accounts():
    """Not with the posting: in the flush, and what came since is counted again."""
    one = begun()
    one.log.tell([customer("C1"), day("2024-01-10")])
    one.run()
    for n in range(1, 4):
        one.log.tell([posting(n, 100, "2024-01-11", channel="payroll")])
        one.run()
        assert (RowKey.FLOWS + b"C1" in one.rows) == (n > 1)
        assert held(recovered(one).job) == held(one.job)
        if n < 3:
            one.flush(None)


def test_a_row_newer_than_the_fence():
    """A flush that is not complete: of one customer the row has what the replay meets, of the other it has not."""
    one = begun()
    one.log.tell([customer("C1"), customer("C2"), day("2024-01-10")])
    one.run().flush(None)
    for seq, who in enumerate(("C1", "C2", "C1"), 1):
        one.log.tell([posting(seq, 100, "2024-01-11", customer=who, channel="payroll")])
    one.run().flush(1)
    assert one.cycle is not None
    assert len({RowKey.FLOWS + b"C1", RowKey.FLOWS + b"C2"} & one.rows.keys()) == 1
    one.log.tell([posting(4, 100, "2024-01-12", channel="payroll")])
    one.run()
    assert held(recovered(one).job) == held(one.job)


def test_what_a_close_moves_leaves_with_it():
    """The row leaves ahead of the accounts', which have no flush before the crash: its postings are not counted twice."""
    one = begun()
    one.log.tell([
        customer("C1"), day("2024-01-10"), posting(1, 900, "2024-01-30", channel="payroll"),
        posting(2, -900, "2024-01-30", "2024-02-01", channel="payroll", reverses="it"), day("2024-02-01"),
        posting(3, 50, "2024-02-02", channel="payroll"),
    ])  # fmt: skip
    one.run()
    assert RowKey.FLOWS + b"C1" in one.rows
    assert held(recovered(one).job) == held(one.job)


def test_a_series_that_comes_by_the_log():
    """What came ahead of its pack is not counted again, though the replay meets it."""
    one = begun()
    one.log.tell([customer("C1"), day("2024-01-10")])
    one.run().flush(None)
    one.log.tell([posting(1, -100, "2024-03-11", "2024-03-11", channel="mobile")])
    one.run()
    one.log.tell([activation(SENT)])
    one.run()
    one.log.tell([posting(2, -30, "2024-03-12", "2024-03-12", channel="mobile"), day("2024-01-11")])
    one.run()
    assert {value for (flow, *_), value in held(one.job)["C1"][0].items() if flow == len(FLOWS)} == {30}
    assert held(recovered(one).job) == held(one.job)


def test_until_a_day_is_closed():
    """Which months are held follows from what has come: rows leave with every transaction, of the first close's too."""
    with pytest.MonkeyPatch.context() as limits:
        one = begun(limits)
        one.log.tell([customer("C1"), customer("C2")])
        one.run().flush(None)
        for seq, (who, on) in enumerate((("C1", "2024-02-05"), ("C1", "2024-03-05"), ("C2", "2024-01-06")), 1):
            one.log.tell([posting(seq, 100, on, customer=who, channel="payroll")])
            one.run()
        assert {key for key in one.rows if key[:1] == RowKey.FLOWS} == {RowKey.FLOWS + b"C1"}  # of two months at most
        one.log.tell([posting(4, 100, "2024-02-06", channel="payroll"), day("2024-02-07"),
                      posting(5, 100, "2024-03-05", "2024-02-08", channel="payroll")])  # fmt: skip
        one.run()
        assert held(recovered(one).job) == held(one.job)


def test_a_later_row_counts_though_rows_come_in_parts():
    """A value that has become nought is not in the later row, and comes back from none before it."""
    one = begun()
    one.log.tell([customer("C1"), day("2024-01-10"), posting(1, 900, "2024-01-30", channel="payroll")])
    one.run().flush(None)
    before = dict(one.rows)
    one.log.tell([posting(2, -900, "2024-01-30", channel="payroll", reverses="it")])
    one.run().flush(None)
    job = StandingJob(one.conf)
    for rows in (before, one.rows):
        job.load(rows.items())
    job.load_fence(one.fence[1])
    job.begin(0, one.fence[0])
    assert held(job) == held(one.job)


def test_a_series_of_the_settings_that_no_row_names():
    """It begins behind the replay; its row says so, and another crash finds it there."""
    one = begun()
    one.log.tell([customer("C1"), day("2024-01-10")])
    one.run().flush(None)
    one.log.tell([posting(1, -100, "2024-01-11", channel="mobile")])
    one.run()
    one.conf = replace(one.conf, pack=parse_pack(written(PAID, flows=FLOWS | LATER)))
    other = recovered(one)
    other.log.tell([posting(2, -30, "2024-01-12", channel="mobile")])
    other.run()
    assert held(other.job)["begun"][-2:] == [2, 2]
    assert {value for (flow, *_), value in held(other.job)["C1"][0].items() if flow == len(FLOWS)} == {30}
    assert json.loads(other.rows[RowKey.FLOW_SERIES])["series"][-1][-1] == 2
    assert held(recovered(other).job) == held(other.job)


def test_rows_of_before_have_no_marks():
    """They left with their transactions: the first replay counts nothing, and the next one what has come since."""
    one = begun()
    one.log.tell([customer("C1"), day("2024-01-10")])
    one.run().flush(None)
    one.log.tell([posting(1, 100, "2024-01-11", channel="payroll")])
    one.run()
    fence, before = one.fence, dict(one.rows)
    one.flush(None)
    row, series = one.rows[RowKey.FLOWS + b"C1"], json.loads(one.rows[RowKey.FLOW_SERIES])["series"]
    before |= {RowKey.FLOWS + b"C1": row[2:], RowKey.FLOW_SERIES: json.dumps([told[:-1] for told in series]).encode()}
    wanted, one.fence, one.rows = held(one.job)["C1"], fence, before
    other = recovered(one)
    assert held(other.job)["C1"] == wanted
    other.log.tell([posting(2, 30, "2024-01-12", channel="payroll")])
    other.run()
    assert held(recovered(other).job) == held(other.job)
