"""Everybody at once is everybody one by one: columns and single states against the state machine alone."""

from dataclasses import replace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from policies import available_packs, load_pack
from policies.acts import act
from policies.lifecycle import close, switch
from policies.model import Evaluation
from policies.population import Population
from policies.state import Act, Close, begin, tier_of
from tests.policies.test_lifecycle import MONTH_END, YEAR_END, histories

CLASSES = [policy for name in available_packs() for policy in load_pack(name).classes.values()]
CUSTOMERS = 4


def told(policy, moves):
    """(slot, from, to, first day) of every tier change, whichever way it was decided."""
    columns = zip(moves.slots, moves.before, moves.after, moves.effective, strict=True)
    fast = [(int(s), policy.tiers[b].id, policy.tiers[a].id, int(e)) for s, b, a, e in columns]
    return sorted(fast + [(s, d.before, d.after, d.effective) for s, d in moves.said if d.kind == "tier"])


@settings(max_examples=150)
@given(histories(), st.data())
def test_all_at_once_is_one_by_one(history, data):
    """Acts on single customers and closes of all, held and stale ones included: the same states and tier changes."""
    policy, state, steps = history
    if data.draw(st.booleans()):
        policy = replace(policy, evaluation=Evaluation("month", "month", "month", data.draw(st.integers(0, 2))))
    population, alone = Population.fresh(policy, 1), [begin(policy) for _ in range(CUSTOMERS)]
    population.grow(CUSTOMERS)
    population.put(0, state)
    alone[0] = state
    index = st.integers(0, len(policy.tiers) - 1)
    for step in steps:
        if isinstance(step, Act):
            slot = data.draw(st.integers(0, CUSTOMERS - 1))
            alone[slot], said = act(policy, alone[slot], step)
            assert population.act(slot, step) == said
            continue
        measured = np.array(data.draw(st.lists(index, min_size=CUSTOMERS, max_size=CUSTOMERS)), np.int64)
        held = np.array(
            data.draw(st.lists(st.sampled_from([False, False, True]), min_size=CUSTOMERS, max_size=CUSTOMERS))
        )
        pinned = {slot: step.pinned for slot in range(CUSTOMERS) if step.pinned is not None}
        moves = population.close(step.day, step.ends, measured, held, step.stale, pinned)
        wanted, offers = [], []
        for slot in range(CUSTOMERS):
            if held[slot]:
                continue
            at = Close(step.day, step.ends, policy.tiers[measured[slot]].id, step.pinned, step.stale)
            alone[slot], said = close(policy, alone[slot], at)
            wanted += [(slot, d.before, d.after, d.effective) for d in said if d.kind == "tier"]
            offers += [slot for d in said if d.kind == "offer"]
        assert told(policy, moves) == sorted(wanted)
        assert sorted([*moves.offers.tolist(), *(s for s, d in moves.said if d.kind == "offer")]) == offers
        assert [population.state(slot) for slot in range(CUSTOMERS)] == alone
        assert [policy.tiers[t].id for t in population.tiers()] == [tier_of(policy, one) for one in alone]


@settings(max_examples=150)
@given(st.sampled_from(CLASSES), st.none() | st.sampled_from(CLASSES), st.data())
def test_switching_all_is_switching_each(old, other, data):
    """R-254, C-16: going over to another pack moves the same customers, and leaves the population of before alone."""
    new = other or old
    alone, population = [begin(old) for _ in range(CUSTOMERS)], Population.fresh(old, CUSTOMERS)
    before = data.draw(st.lists(st.integers(0, len(old.tiers) - 1), min_size=CUSTOMERS, max_size=CUSTOMERS))
    after = data.draw(st.lists(st.integers(0, len(new.tiers) - 1), min_size=CUSTOMERS, max_size=CUSTOMERS))
    for slot in range(CUSTOMERS):
        alone[slot], _ = close(old, alone[slot], Close(1, data.draw(st.sampled_from([MONTH_END, YEAR_END])),
                                                       old.tiers[before[slot]].id))  # fmt: skip
        population.put(slot, alone[slot])
    kept, older = population.tiers().tolist(), 1 if new is old else None
    moved, moves = population.switch(new, 50, np.array(after, np.int64), older)
    wanted = []
    for slot in range(CUSTOMERS):
        state, said = switch(new, old, alone[slot], 50, new.tiers[after[slot]].id, older)
        wanted += [(slot, d.before, d.after, d.effective) for d in said if d.kind == "tier"]
        assert moved.state(slot) == state
    columns = zip(moves.slots, moves.before, moves.after, moves.effective, strict=True)
    fast = [(int(s), old.tiers[b].id, new.tiers[a].id, int(e)) for s, b, a, e in columns]
    slow = [(s, d.before, d.after, d.effective) for s, d in moves.said if d.kind == "tier"]
    assert sorted(fast + slow) == sorted(wanted)
    assert population.tiers().tolist() == kept
