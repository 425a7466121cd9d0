"""Crash at any point: rows and a fence, the silent replay of [F, C), and then the same records as without the crash."""

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.engine.job import RecoveryError
from agents.engine.record_batches import flat
from agents.standing.decide.lifecycle.decider import LifecycleDecider
from agents.standing.decide.state_rows import Remembered
from agents.standing.job import StandingJob
from agents.standing.model import StandingConf
from schemas.topics import CLOSES, INPUTS
from streams.accounts.entries import HORIZON_DAYS
from streams.reference import key_fingerprint
from tests.examples.cases import conf_of
from tests.standing.partition import Partition, Topics, customer, layered
from tests.streams.fast import differences, state, unshrunk
from tests.twins.case_terms import SlowRule, SlowScheme
from tests.twins.events import day, posting
from tests.twins.strategies import banks, feeds

TIERS = ("ordinary", "gold", "platinum", "diamond", "private")
ORDER_SENSITIVE = ("tier", "tier_day", "customer_class", "published")


class Crashing(Partition):
    """A partition that writes rows and fences as the engine does: rows in order, the fence's offsets and its meta."""

    fence: tuple[dict[str, int], bytes]
    cycle: tuple[dict[str, int], bytes] | None = None
    conf: StandingConf = layered()

    def flush(self, rows_max: int | None) -> None:
        """A part of a flush: the fence says what was when the flush began, and counts when all of it is out."""
        self.cycle = self.cycle or (self.job.positions(), self.job.fence())
        pairs, complete = self.job.take_dirty(rows_max)
        self.rows |= flat(pairs)
        if complete:
            self.fence, self.cycle = self.cycle, None

    def live(self, data, flushes: tuple[int | None, ...] = (None,)) -> None:
        """Some blocks of any topics, each in a transaction, with flushes in between; where closes alone are left, one by one."""
        closes_left = data.draw(st.booleans(), label="closes left")
        for topic in INPUTS if closes_left else ():
            self.feed(topic, None if topic != CLOSES else self.fed[CLOSES] + 1)
        for _ in range(data.draw(st.integers(0, 12))):
            topic = CLOSES if closes_left else data.draw(st.sampled_from(INPUTS))
            self.feed(topic, self.fed[topic] + data.draw(st.sampled_from((1, 2, 15, 60, 500))))
            self.work()
            if data.draw(st.booleans()):
                self.flush(data.draw(st.sampled_from(flushes)))

    def recovered(self, data) -> "Crashing":
        """A new job from rows and fence after a silent replay up to what was committed, topics in any order."""
        committed, (start, meta) = self.job.positions(), self.fence
        job = StandingJob(self.conf)
        job.load(self.rows.items())
        job.load_fence(meta)
        again = Crashing(self.log, job, start)
        again.conf = self.conf
        while any(again.fed[t] < committed[t] for t in INPUTS):
            topic = data.draw(st.sampled_from([t for t in INPUTS if again.fed[t] < committed[t]]), label="replayed")
            end = data.draw(st.integers(again.fed[topic] + 1, again.log.ends[topic]))
            again.job.feed(again.log.block(topic, again.fed[topic], end), committed[topic])
            again.fed[topic] = min(end, committed[topic])
            if data.draw(st.booleans()):
                assert again.work(live=False) == []
        assert again.work(live=False) == []
        again.rows, again.published = dict(self.rows), self.published
        again.fence = self.fence
        return again


def profiles(job: StandingJob) -> dict:
    """The order-sensitive part of the state, by customer."""
    c, found = job.ledger.store.customers, {}
    for slot in range(job.ledger.columns.customer_count):
        row = {name: c[name][slot].tolist() for name in ORDER_SENSITIVE}
        row["layers"] = [job.decider.layers.held()[name][slot].tolist() for name in ("tier", "tier_day")]
        row["pending"] = [pending(one, slot) for one in (job.decider.lifecycle, job.decider.layers.lifecycle)]
        kept = (
            job.profiles.branch(slot),
            job.profiles.rm(slot),
            job.profiles.card(slot),
            job.profiles.alerts.get(slot),
            job.decider.lifecycle.columns.remembered(slot) or Remembered(),
        )
        found[job.ledger.customer_id(slot)] = (row, kept)
    return found


def pending(lifecycle: LifecycleDecider | None, slot: int) -> tuple | None:
    """What waits for a customer beside the tier in force; of a class without a scheme what he keeps."""
    if lifecycle is None:
        return None
    columns, at = lifecycle.columns, np.array([slot])
    columns.reserve()
    if (table := lifecycle.table(slot)) is not None:
        return (columns.state(slot, table),)
    return columns.measured(at).tolist(), columns.below(at).tolist(), columns.own(slot)


def in_runs(data, steps: list) -> list:
    """Closes that follow each other are those of one run, or of two: all of a run have the same marks."""
    told: list = []
    for step in steps:
        if isinstance(step, int) and told and isinstance(told[-1], tuple) and data.draw(st.integers(0, 3), label="run"):
            told[-1] += (step,)
        else:
            told.append((step,) if isinstance(step, int) else step)
    return told


@pytest.mark.slow
@settings(unshrunk, max_examples=15)
@given(st.data())
def test_a_crash_leaves_no_trace(data):
    """State after the replay, and everything published from then on, are those of a run without the crash."""
    bank = data.draw(banks(days=45, customers=2))
    steps = [customer("C1", card_held="gold"), customer("C2"), *data.draw(feeds(bank))]
    log = Topics().tell(in_runs(data, steps))
    calm = Partition(log, StandingJob(layered())).run()
    crashing = Crashing(log, StandingJob(layered()))
    crashing.fence = (crashing.job.positions(), crashing.job.fence())
    for _ in range(data.draw(st.integers(1, 4), label="crashes")):
        crashing.live(data, (1, 2, None))
        before = crashing.job
        crashing = crashing.recovered(data)
        assert crashing.job.positions() == before.positions()
        assert differences(state(crashing.job.ledger), state(before.ledger)) == []
        assert profiles(crashing.job) == profiles(before)
    crashing.run()
    assert crashing.closes() == calm.closes()
    assert sorted(crashing.published["decisions"]) == sorted(calm.published["decisions"])
    alerts = [c["event_id"] for c in crashing.of("rm-alerts")]  # which ones may depend on the interleaving
    assert len(set(alerts)) == len(alerts)
    assert differences(state(crashing.job.ledger), state(calm.job.ledger)) == []


QUARTER = SlowRule("quarter", 90, "medium", share_bp=dict.fromkeys(TIERS, 2_000), floor=100, cool_down=30)
MOVING = ("unknown", "own_transfer")
FIRST, DAYS = day("2024-02-05"), 44


@st.composite
def legs(draw) -> list:
    """A customer's movements between two accounts, some reversed, some late, and closes until they leave what is held."""
    told, accounts = list[dict](), st.permutations(("A1", "A2"))
    for _ in range(draw(st.integers(1, 4))):
        amount, booked, natures = draw(st.sampled_from((300, 500))), FIRST + draw(st.integers(0, 4)), MOVING
        for account, sign in zip(draw(accounts), (-1, 1)[: draw(st.integers(1, 2))], strict=False):
            told.append(
                posting(
                    len(told) + 2, sign * amount, booked, account=account, clock=draw(st.sampled_from(("09:00:00", "09:01:00"))),
                    nature=draw(st.sampled_from(natures)), reverses=draw(st.sampled_from((None, None, None, "x"))),
                )
            )  # fmt: skip
    later = [
        posting(len(told) + n + 2, 7, FIRST + draw(st.integers(HORIZON_DAYS, DAYS - 2)), account=draw(accounts)[0])
        for n in range(draw(st.integers(0, 2)))
    ]
    steps = [customer("C1"), posting(1, 1_000_000, FIRST - 1, account="A9")]
    for today in range(FIRST, FIRST + DAYS):
        steps += [one for one in told if one["value_date"] + (0, 0, 0, 1, 20, 31)[one["journal_seq"] % 6] == today]
        steps += [one for one in later if one["value_date"] == today]
        if today in (FIRST, FIRST + DAYS - 1) or draw(st.booleans()):
            steps.append(today)
    return steps


@pytest.mark.slow
@settings(unshrunk, max_examples=25)
@given(st.data())
def test_pairs_on_two_accounts_survive_a_flush_in_parts(data):
    """What is no flow because of a posting on another account stays so when only one of the two rows has been written."""
    conf = conf_of(SlowScheme((QUARTER,)))
    log, one = Topics(), Crashing(Topics(), StandingJob(conf))
    one.log, one.conf, one.fence, leaving = log, conf, (one.job.positions(), one.job.fence()), False
    for step in data.draw(legs()):
        log.tell([step])
        one.run()
        leaving = leaving or (isinstance(step, int) and step >= FIRST + HORIZON_DAYS - 2)
        if not leaving:
            one.flush(None)
            continue
        if (rows := data.draw(st.sampled_from((0, 1, 1, None)))) != 0:
            one.flush(rows)
        again = one.recovered(data)
        assert differences(state(again.job.ledger), state(one.job.ledger)) == []
        one = again if data.draw(st.booleans()) else one


def test_a_crash_between_the_closes_of_a_run():
    """All closes of a run have the same marks: the replay gets as far as was committed, though no mark has been consumed."""
    log = Topics().tell(
        [posting(1, 90_000_000, "2024-01-01"), tuple(map(day, ("2024-01-02", "2024-01-03", "2024-01-04")))]
    )
    one = Crashing(log, StandingJob(layered()))
    one.fence = (one.job.positions(), one.job.fence())
    for topic in INPUTS:
        one.feed(topic, 2 if topic == CLOSES else None)
    one.work()
    assert one.job.ledger.closed == day("2024-01-03")
    other = recovered_at_once(one)
    assert other.job.positions() == one.job.positions()
    other.run()
    assert other.job.ledger.closed == day("2024-01-04")


def test_late_changes_are_restated_once():
    """A row from before a close that had late changes: after the recovery they are not restated again."""
    steps = [posting(1, 90_000_000, "2024-01-01"), day("2024-03-31"), posting(2, 5_000_000, "2024-02-01", "2024-04-01")]
    log = Topics()
    one = Crashing(log, StandingJob(layered()))
    one.log.tell(steps)
    one.run()
    one.flush(None)  # the row has the late change in it
    log.tell([day("2024-04-01")])
    one.run()
    assert len([r for r in one.of("restatements") if r["kind"] == "late_posting"]) == 1
    one.flush(None)  # no account has changed: the fence moves on, the row stays
    other = recovered_at_once(one)
    log.tell([day("2024-04-02"), day("2024-04-30")])
    other.run()
    assert len([r for r in other.of("restatements") if r["kind"] == "late_posting"]) == 1


def test_late_changes_survive_a_replay_of_older_closes():
    """A row newer than the fence keeps late changes that the closes of the replay have behind them."""
    log = Topics().tell([posting(1, 90_000_000, "2024-01-01"), day("2024-03-31")])
    one = Crashing(log, StandingJob(layered())).run()
    one.flush(None)
    log.tell([day("2024-04-01"), posting(2, 5_000_000, "2024-02-01", "2024-04-01")])
    one.run()
    one.cycle = None
    one.rows |= flat(one.job.take_dirty(None)[0])  # the flush has begun, its fence is not written
    other = recovered_at_once(one)
    log.tell([day("2024-04-02")])
    other.run()
    assert len([r for r in other.of("restatements") if r["kind"] == "late_posting"]) == 1


def recovered_at_once(one: Crashing) -> Crashing:
    """Recovery in one go."""
    committed, (start, meta) = one.job.positions(), one.fence
    job = StandingJob(one.conf)
    job.load(one.rows.items())
    job.load_fence(meta)
    again = Crashing(one.log, job, start)
    for topic in INPUTS:
        again.feed(topic, committed[topic])
    again.work(live=False)
    again.conf, again.rows, again.published, again.fence = one.conf, one.rows, one.published, one.fence
    return again


def test_another_reference_key_is_refused():
    """By its fingerprint, which says nothing of the key; a fence of format 2 has none and takes the key it is given."""
    conf = layered()
    job, other = StandingJob(conf), StandingJob(replace(conf, reference_key=b"another key"))
    meta = job.fence()
    found, wanted = (key_fingerprint(key) for key in (b"another key", conf.reference_key))
    with pytest.raises(
        RecoveryError, match=rf"kept with reference_key \(fingerprint\) {wanted}, the setting is {found}: set it"
    ):
        other.load_fence(meta)
    assert conf.reference_key not in meta
    older = json.dumps({name: value for name, value in json.loads(meta).items() if name != "reference_key"}).encode()
    assert other.upgrades[2].meta(older) == other.fence()
    other.load_fence(other.upgrades[2].meta(older))
