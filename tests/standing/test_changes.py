"""Tier changes of many customers at once are the records that each of them would have had alone."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.engine.record_batches import flat
from agents.standing.decide import state_rows
from agents.standing.decide.state_rows import Remembered
from agents.standing.job import StandingJob
from agents.standing.model import CloseStep, DayClose, Evidence, RowKey, Switched
from policies import load_pack
from policies.compiled.program import Column
from policies.lifecycle.state import Act, Decision
from schemas.codec.records import decode_one
from streams.money import NANO
from tests.standing.partition import conf

DAY = 19_800
PACKS = ("asset-frequency-tenure", "hq-level", "rolling-quarter-aum", "deposit-or-loan")
AMOUNTS = st.integers(-(10**15), 10**15)
SHARES = st.one_of(st.none(), st.integers(0, NANO - 1))


def told(job, topic):
    """What a job has collected for a topic, decoded, in order."""
    return [decode_one(value) for name, pairs in job.publisher.take() if name == topic for _, value in flat(pairs)]


@cache
def standing(name):
    """A job under a pack; what the examples do to it is what they look at."""
    return StandingJob(replace(conf(), pack=load_pack(name)))


@st.composite
def columns_of(draw, needs, n):
    """Any values of the metrics that a program needs."""
    out = {}
    for key in needs:
        nano = draw(SHARES)
        units = np.array(draw(st.lists(AMOUNTS, min_size=n, max_size=n)), np.int64)
        out[key] = Column(units, None if nano is None else np.full(n, nano), draw(st.sampled_from((1, 29, 366))))
    return out


@pytest.mark.slow
@pytest.mark.parametrize("name", PACKS)
@pytest.mark.parametrize("kind", [0, 1])
@settings(max_examples=25)
@given(data=st.data())
def test_changes_in_bulk(name, kind, data):
    """Any columns, any tiers: one record each, the same in every field."""
    job = standing(name)
    table = job.decider.classes.tables[kind]
    if table is None:
        return
    n, tiers = data.draw(st.integers(1, 5)), len(table.program.tier_ids)
    slots = np.array([job.ledger.customer(f"c{i * 7919}") for i in range(n)])
    columns = data.draw(columns_of(table.program.needs, n))
    ranks = st.lists(st.integers(0, tiers - 1), min_size=n, max_size=n).map(lambda found: np.array(found, np.int64))
    before, after = data.draw(ranks), data.draw(ranks)
    moved = np.flatnonzero(before != after)
    step = CloseStep(
        DayClose(DAY, {"transactions": 7, "facts": 0}, 0), frozenset({"day"}), None, columns, before, before, after, ()
    )
    sink, ids = job.decider.decisions, table.program.tier_ids
    sink.many(table, slots, moved, after, step)
    bulk = told(job, "tier-changes")
    for i in moved.tolist():
        said = Decision("tier", "close", DAY, DAY + 1, ids[before[i]], ids[after[i]])
        sink.one(int(slots[i]), table, (said,), Evidence(columns, i), step.at)
    assert bulk == told(job, "tier-changes")
    names = tuple(f"old-{tier}" for tier in ids)
    sink.switched(table, slots, moved, after, step, Switched(names, after >= 0))
    bulk = told(job, "tier-changes")
    for i in moved.tolist():
        said = Decision("tier", "policy", DAY + 1, DAY + 1, names[before[i]], ids[after[i]])
        sink.one(int(slots[i]), table, (said,), Evidence(columns, i), step.at)
    assert bulk == told(job, "tier-changes")


@pytest.mark.slow
@settings(max_examples=25)
@given(data=st.data())
def test_rows_in_bulk(data):
    """Rows of customers who share them are those that each would have had alone."""
    job = StandingJob(replace(conf(), pack=load_pack("green-channel")))
    life, customers = job.decider.lifecycle, job.ledger.store.customers
    n = data.draw(st.integers(1, 12))
    slots = [job.ledger.customer(f"c{i * 7919}") for i in range(n)]
    life.columns.reserve()
    for slot in slots:
        customers["customer_class"][slot], customers["tier"][slot, 0] = (
            data.draw(st.integers(0, 1)),
            data.draw(st.integers(0, 1)),
        )
        life.columns.restore(slot, data.draw(st.integers(-1, 1)), data.draw(st.sampled_from((0, 1, 300))))
        if data.draw(st.booleans()):
            life.act(slot, Act("file_record", DAY, "rm", "head", event_id=f"e{slot}"))
    job.publisher.take()
    changed = data.draw(st.sets(st.sampled_from(slots))) | set(life.columns.take_changed().tolist())
    life.columns.mark_changed(changed)
    alone = {
        RowKey.LIFECYCLE + job.ledger.customer_id(slot).encode(): state_rows.encode_state(
            life.columns.state(slot, life.table(slot)), life.columns.remembered(slot) or Remembered()
        )
        for slot in changed
    }
    assert dict(flat(life.columns.take_rows(life.rules))) == alone
    assert life.columns.take_rows(life.rules) == []
