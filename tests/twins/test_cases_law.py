"""Alert cases of the standing job against the slow twin, and the law: open cases follow from the events alone."""

from collections import defaultdict, deque
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, Phase, given, note, settings
from hypothesis import strategies as st

from agents.standing.job import StandingJob
from tests.examples.cases import JobCases, conf_of, plain
from tests.standing.partition import Partition, Topics
from tests.standing.test_recovery import Crashing
from tests.streams.fast import differences, state
from tests.twins.case_terms import HELD_DAYS, SlowRule, SlowScheme
from tests.twins.cases import SlowCases
from tests.twins.events import posting, rate, snapshot
from tests.twins.strategies import Account, Bank, feeds

TIERS = ("ordinary", "gold", "platinum", "diamond", "private")
FIRST = 19_800
CLOCKS = ("09:00:00", "09:10:00", "15:00:00", "23:50:00", "00:05:00")
NATURES = ("external", "external", "unknown", "unknown", "own_transfer", "product_purchase", "interest")
BANKS = (None, None, "OUT", "OWN", "GROUP")


def everyone(value: int) -> dict[str, int]:
    """One value for all tiers, so that it makes no difference which is in force."""
    return dict.fromkeys(TIERS, value)


RULES = (
    SlowRule("single", 0, "high", absolute=everyone(60_000)),
    SlowRule("day", 1, "low", "gross", share_bp=everyone(3_000), floor=20_000),
    SlowRule("week", 7, "medium", absolute=everyone(80_000), share_bp=everyone(2_500), floor=20_000, cool_down=7),
    SlowRule("quarter", 90, "medium", share_bp=everyone(2_000), floor=20_000, cool_down=30),
    SlowRule("drip", 30, "low", absolute=everyone(20_000), debits=3, each_max=20_000, cool_down=10),
    SlowRule("bank", 20, "low", absolute=everyone(50_000), one_bank=True, cool_down=5),
)
BY_TIER = dict(zip(TIERS, (20_000, 40_000, 80_000, 120_000, 200_000), strict=True))
RULES_BY_TIER = tuple(replace(rule, absolute=BY_TIER) if rule.id == "week" else rule for rule in RULES)
MINIMUMS = ("500.00", "1500.00", "3000.00", "5000.00")  # of what is held: near what the banks below have


@st.composite
def schemes(draw, rules=RULES):
    """Some of the rules, and terms."""
    rules = draw(st.lists(st.sampled_from(rules), min_size=1, unique_by=lambda rule: rule.id))
    return SlowScheme(
        tuple(sorted(rules, key=lambda rule: rule.id)), return_days=draw(st.sampled_from((0, 4, 15))),
        settle_days=draw(st.sampled_from((0, 1, 3, 7))), settle_minutes=30, own_banks=frozenset({"OWN"}),
        internal_banks=frozenset({"GROUP"}),
    )  # fmt: skip


@st.composite
def leaving_banks(draw, days: int = 30):
    """One or two customers with money that moves between few accounts in few amounts, so that pairs and ties are met."""
    events = [rate("USD", 7_000_000, FIRST - 100), rate("USD", 7_300_001, FIRST + 9)]
    for customer in ("C1", "C2")[: draw(st.integers(1, 2))]:
        moved = []
        chosen = [
            Account(customer, f"{customer}-A{k}", *draw(st.sampled_from((
                ("deposit_demand", "CNY"), ("savings", "CNY"), ("deposit_demand", "USD"), ("credit", "CNY"),
            ))))
            for k in range(1, draw(st.integers(1, 3)) + 1)
        ]  # fmt: skip
        for account in chosen:
            bank = draw(st.sampled_from(BANKS))  # one an account: among postings of one instant it makes no difference
            mine = [posting(1, draw(st.sampled_from((100_000, 300_000))), FIRST - 60, **account.fields)]
            for seq in range(2, 2 + draw(st.integers(0, 10))):
                booked = FIRST + draw(st.integers(0, days - 1))
                back = draw(st.sampled_from(mine)) if draw(st.integers(0, 4)) == 0 else None
                if back is not None:
                    event = posting(
                        seq, -back["amount_minor"], back["value_date"], max(booked, FIRST), clock=draw(st.sampled_from(CLOCKS)),
                        nature=back["nature"], reverses=back["event_id"], counterparty_bank=bank, **account.fields,
                    )  # fmt: skip
                else:
                    amount = draw(st.sampled_from((-10_000, -20_000, -30_000, -70_000, 10_000, 20_000, 30_000, 70_000)))
                    event = posting(
                        seq, amount, booked - draw(st.sampled_from((0, 0, 0, 2))), booked,
                        clock=draw(st.sampled_from(CLOCKS)), nature=draw(st.sampled_from(NATURES)),
                        counterparty_bank=bank, **account.fields,
                    )  # fmt: skip
                mine.append(event)
            moved += mine
            if draw(st.integers(0, 3)) == 0:
                day = FIRST + draw(st.integers(0, days - 1))
                events.append(
                    snapshot(draw(st.sampled_from((50_000, 400_000))), day, opened=FIRST - 60, **account.fields)
                )
        events += moved
    return Bank(FIRST, FIRST + days - 1, tuple(events))


class Feed(list):
    """A feed that prints short."""

    def __repr__(self) -> str:
        return f"<{len(self)} steps>"


@st.composite
def fed(draw, late_days: int, rules=RULES):
    """A scheme, a bank and a feed of it."""
    scheme, bank = draw(schemes(rules)), draw(leaving_banks())
    early = [e for e in bank.events if e.get("rate_date", FIRST) < FIRST or e.get("value_date") == FIRST - 60]
    rest = replace(bank, events=tuple(e for e in bank.events if e not in early))
    return scheme, bank, Feed([*early, *draw(feeds(rest, late_days=late_days))])


few = settings(
    max_examples=40,
    deadline=None,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


@pytest.mark.slow
@few
@given(fed(late_days=36, rules=RULES_BY_TIER))
def test_the_job_tells_what_the_twin_tells(fed_bank):
    """Step by step, live and at closes, late events of any age included, over tiers that each close decides anew."""
    scheme, _, feed = fed_bank
    job, seen = JobCases(scheme, MINIMUMS), 0
    slow = SlowCases(scheme, tier=job.highest_tier)
    for at, step in enumerate(feed):
        slow.feed([step])
        job.feed([step])
        expected, found = [plain(s) for s in slow.steps[seen:]], [plain(s) for s in job.steps[seen:]]
        seen += len(expected)
        if expected != found:
            note(f"step {at}: {step}; the twin {expected[-2:]}; the job {found[-2:]}; {feed[: at + 1]}")
            pytest.fail("another step")
    left = {c: (x.opened, x.net, x.reference, x.rules) for c, x in slow.open_cases().items()}
    assert {c: (x["opened"], x["net"], x["reference"], x["rules"]) for c, x in job.open_cases().items()} == left


@st.composite
def told_twice(draw):
    """A scheme, and two feeds of one bank in which each event of day b comes before close(b + settle_days); cuts; choices."""
    scheme, bank = draw(schemes()), draw(leaving_banks())
    early = [e for e in bank.events if e.get("rate_date", FIRST) < FIRST or e.get("value_date") == FIRST - 60]
    rest = replace(bank, events=tuple(e for e in bank.events if e not in early))
    one, other = (Feed([*early, *draw(feeds(rest, late_days=scheme.settle_days))]) for _ in range(2))
    cuts = draw(st.lists(st.integers(1, max(len(other), 1)), max_size=12))
    return scheme, one, other, sorted(set(cuts)), draw(st.randoms(use_true_random=False))


def in_blocks(job: JobCases, feed, cuts, choice) -> JobCases:
    """The feed cut into blocks, those of different topics in any order, and transactions in between by chance."""
    waiting: dict[str, deque] = defaultdict(deque)
    for at, step in enumerate(feed, start=1):
        job.tell(step)
        if at in cuts or at == len(feed):
            for block in job.log.blocks():
                waiting[block.tp.topic].append(block)
    while any(waiting.values()):
        job.job.feed(waiting[choice.choice(sorted(topic for topic, blocks in waiting.items() if blocks))].popleft())
        if choice.random() < 0.5 or not any(waiting.values()):
            job.take(job.job.work(live=True).outputs)
    return job


@pytest.mark.slow
@few
@given(told_twice())
def test_open_cases_follow_from_the_events(told):
    """The law: any order, duplication, interleaving and split into blocks leaves the same open cases."""
    scheme, one, other, cuts, choice = told
    expected = JobCases(scheme).feed(one).open_cases()
    assert in_blocks(JobCases(scheme), other, cuts, choice).open_cases() == expected


@st.composite
def given_back(draw):
    """A scheme of net rules, and a feed of a bank in which all that leaves is taken back, each debit in one of two ways.

    By a reversal up to so many days later that both are held until it is settled, or by money that comes within
    `return_days` of the customer's first debit.
    """
    scheme = draw(schemes(tuple(rule for rule in RULES if not rule.is_gross)))
    within = HELD_DAYS - scheme.settle_days
    events = [posting(1, draw(st.sampled_from((100_000, 300_000))), FIRST - 60, nature="interest")]
    days = sorted(draw(st.lists(st.integers(FIRST, FIRST + 25), min_size=1, max_size=6)))
    for at, booked in enumerate(days):
        amount = draw(st.sampled_from((10_000, 20_000, 30_000, 70_000)))
        debit = posting(2 * at + 2, -amount, booked, clock=draw(st.sampled_from(CLOCKS)))
        back = {"seq": 2 * at + 3, "amount_minor": amount}
        if booked <= days[0] + scheme.return_days and draw(st.booleans()):
            credit = posting(**back, value=draw(st.integers(booked, days[0] + scheme.return_days)))
        else:
            after = draw(st.sampled_from((0, 1, 3, within - 1, within)))
            credit = posting(**back, value=booked, booked=booked + after, reverses=debit["event_id"])
        events += [debit, credit]
    bank = Bank(FIRST, FIRST + 25, tuple(events[1:]))
    return scheme, Feed([events[0], *draw(feeds(bank, late_days=scheme.settle_days))])


@pytest.mark.slow
@few
@given(given_back())
def test_nothing_is_open_where_all_is_back(told):
    """Whatever was told meanwhile: reversed, or returned in time, no case is open once the last day is settled."""
    scheme, feed = told
    job = JobCases(scheme).feed(feed)
    assert job.open_cases() == {}


@pytest.mark.slow
@settings(few, max_examples=20)
@given(told_twice(), st.data())
def test_a_crash_loses_no_case_and_doubles_none(told, data):
    """Rows, fence and replay leave the same cases and state; ids of steps are all different."""
    scheme, feed, *_ = told
    conf = conf_of(scheme)
    log = Topics().tell(feed)
    crashing = Crashing(log, StandingJob(conf))
    crashing.conf = conf
    crashing.fence = (crashing.job.positions(), crashing.job.fence())
    for _ in range(data.draw(st.integers(1, 3), label="crashes")):
        crashing.live(data)
        before = crashing.job
        crashing = crashing.recovered(data)
        assert crashing.job.decider.cases.open_cases() == before.decider.cases.open_cases()
        assert differences(state(crashing.job.ledger), state(before.ledger)) == []
    crashing.run()
    calm = Partition(log, StandingJob(conf)).run()
    assert crashing.job.decider.cases.open_cases() == calm.job.decider.cases.open_cases()
    steps = [record["event_id"] for record in crashing.of("rm-alerts")]
    assert len(set(steps)) == len(steps)
