"""Many customers at once give what one at a time gives: the program against the plain tree, closes against the lifecycle."""

from dataclasses import replace
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies import PackError, available_packs, decide, load_pack, parse_pack
from policies.compiled.program import Column, Plain, close_plain, compile_program, look_plain, months_mean, plain_flags
from policies.lifecycle.state import Close, State, bits, flags, tier_of
from policies.lifecycle.transitions import close, look
from policies.model import metrics
from policies.model.criteria import meets
from policies.model.metrics import FROM_PROFILE
from policies.model.pack import Evaluation
from policies.model.terms import limits
from streams.vocabulary.metrics import months_of_mean

FILLED = {
    (pack.id, kind): pack
    for pack in map(load_pack, available_packs())
    if not pack.open_numbers()
    for kind in pack.classes
}
MEAN = load_pack("three-month-card").body.replace("mode: each", "mode: mean")
FILLED["mean", "personal"] = parse_pack(MEAN)
FILLED["veto", "personal"] = parse_pack(
    load_pack("hq-level").body.replace("    # C-36, the alternative: `veto: {metric: bad_record, is: true}` bars the whole tier.",
                                       "    veto: {metric: bad_record, is: true}")
)  # fmt: skip


@st.composite
def populations(draw):
    """A pack, and columns with values near the ends of its limits."""
    pack_id, kind = draw(st.sampled_from(sorted(FILLED)))
    pack = FILLED[pack_id, kind]
    program = compile_program(pack, 2, kind)
    n, columns = draw(st.integers(1, 4)), {}
    potential = pack.classes[kind].potential
    extra = [(leaf.metric, leaf.scope) for leaf in limits(potential.when if potential else None)]
    for metric, scope in dict.fromkeys([*program.needs, *extra]):
        rolling = metrics.kind(metric) == "rolling"
        days = draw(st.sampled_from([1, 28, 30, 31, 92, 366])) if rolling else 1
        near = [m * days for leaf, m in program.minor.items() if leaf.metric == metric] or [0]
        if not set(near) - {0}:
            near = [m * days for m in program.minor.values()]
        values = st.sampled_from(near).flatmap(lambda v: st.integers(v - 2, v + 2)) | st.integers(-5, 10**15)
        units = np.array(draw(st.lists(values, min_size=n, max_size=n)), np.int64)
        nano = np.array(draw(st.lists(st.sampled_from([0, 0, 1, 999_999_999]), min_size=n, max_size=n)), np.int64)
        held = np.array(draw(st.lists(st.booleans(), min_size=n, max_size=n))) if rolling else None
        unknown = np.array(draw(st.lists(st.booleans(), min_size=n, max_size=n))) if metric in FROM_PROFILE else None
        columns[metric, scope] = Column(units, nano if rolling else None, days, held, unknown)
    return pack, kind, program, columns


def exact(pack, key, columns, i):
    """The value of a customer in whole units; None: it is not known."""
    metric, scope = key
    count = months_of_mean(metric)
    if count is not None:
        return sum(exact(pack, (f"month_avg[{k}]", scope), columns, i) for k in range(count)) / Fraction(count)
    column = columns[key]
    if column.unknown is not None and column.unknown[i]:
        return None
    nano = 0 if column.nano is None else int(column.nano[i])
    value = (int(column.units[i]) + Fraction(nano, 10**9)) / column.divisor
    own = pack.facts.get(metric)
    money = metrics.kind(metric) in ("rolling", "money") or (own is not None and own.kind == "money")
    return value / 100 if money else value


@given(populations())
def test_program_decides_as_the_tree(population):
    """Every pack, exact to a billionth of a fen on every end: the columns give the tier that the plain walk gives."""
    pack, kind, program, columns = population
    policy = pack.classes[kind]
    tiers, held = program.evaluate(columns) if columns else (np.zeros(0, np.int64), np.zeros(0, bool))
    flagged = program.potential(columns) if columns else np.zeros(0, bool)
    conditions = [
        policy.veto,
        *(tier.when for tier in policy.tiers),
        policy.potential.when if policy.potential else None,
    ]
    keys = {(leaf.metric, leaf.scope) for condition in conditions for leaf in limits(condition)}
    for i in range(len(tiers)):
        values = {key: exact(pack, key, columns, i) for key in keys}
        assert program.tier_ids[tiers[i]] == decide(policy, values)
        if policy.potential is not None and policy.potential.when is not None:
            assert flagged[i] == meets(policy.potential.when, values)
        missing = [columns[key].held for key in program.needs if columns[key].held is not None]
        assert held[i] == any(bool(one[i]) for one in missing)


@given(st.lists(st.tuples(st.integers(-(10**15), 10**15), st.sampled_from([0, 1, 10**9 - 1]),
                          st.sampled_from([28, 29, 30, 31])), min_size=2, max_size=12))  # fmt: skip
def test_mean_of_months_is_exact(months):
    """C-03, C-05: months of different length, sums up to the largest that is taken: no rounding, no overflow."""
    columns = [Column(np.array([u], np.int64), np.array([n], np.int64), days) for u, n, days in months]
    mean = months_mean(columns)
    wanted = sum(Fraction(u * 10**9 + n, 10**9 * days) for u, n, days in months)
    assert int(mean.units[0]) == wanted.numerator // wanted.denominator
    assert bool(mean.nano[0]) == (wanted.denominator != 1)
    assert mean.divisor == len(months)


PLAIN = [
    (pack, kind)
    for (pack, kind), found in FILLED.items()
    if found.classes[kind].status.basis == "metric" and found.classes[kind].review is None
]


@given(st.sampled_from(PLAIN), st.data())
def test_plain_closes_as_the_lifecycle(key, data):
    """For customers without a card, grant or pin of their own, the columns close as the state machine does."""
    from dataclasses import replace

    from policies.model.pack import Evaluation

    words = st.sampled_from(["continuous", "day", "month", "year", "application"])
    evaluation = Evaluation("month", data.draw(words), data.draw(words), data.draw(st.integers(0, 3)))
    policy = replace(FILLED[key].classes[key[1]], evaluation=evaluation)
    index = st.integers(0, len(policy.tiers) - 1)
    official, measured, below = data.draw(index), data.draw(index), data.draw(st.integers(0, 4))
    is_ready = data.draw(st.booleans())
    ends = data.draw(
        st.sampled_from([frozenset({"day"}), frozenset({"day", "month"}), frozenset({"day", "month", "year"})])
    )
    at = Plain(np.array([official]), np.array([below]), np.array([is_ready]))
    fast = close_plain(policy, ends, at, np.array([measured]))
    records = frozenset(policy.status.requires) if is_ready else frozenset()
    is_ready = is_ready or not policy.status.requires
    if not at.is_ready[0] and is_ready:
        return  # nothing is asked for: such a customer is always ready
    ids = [tier.id for tier in policy.tiers]
    state = State(ids[official], ids[measured], records, below=below)
    slow, _ = close(policy, state, Close(10, ends, ids[measured]))
    assert tier_of(policy, slow) == ids[fast.official[0]]
    assert slow.below == fast.below[0]
    fast, (slow, _) = look_plain(policy, at, np.array([measured])), look(policy, state, 10, ids[measured], "e1")
    assert (tier_of(policy, slow), slow.below) == (ids[fast.official[0]], fast.below[0])


def test_templates_and_fine_amounts_are_refused():
    """R-001: a template has no program; neither has an amount that is not whole in minor units."""
    with pytest.raises(PackError, match="still open"):
        compile_program(load_pack("three-card"), 2, "personal")
    body = load_pack("abc-bands").body.replace('"10000.00"', '"10000.005"')
    with pytest.raises(PackError, match="not whole in minor units"):
        compile_program(parse_pack(body), 2, "personal")
    assert Decimal("10000.005") == parse_pack(body).classes["personal"].tiers[1].when.value


@given(st.data())
def test_plain_flags_are_those_of_the_state(data):
    """Of customers without anything of their own: every pack, any tier, any months below it."""
    policy = FILLED[data.draw(st.sampled_from(sorted(FILLED)))].classes
    policy = policy[data.draw(st.sampled_from(sorted(policy)))]
    when = st.sampled_from(["month", "year", "application"])
    policy = replace(
        policy, evaluation=Evaluation("month", data.draw(when), data.draw(when), data.draw(st.integers(0, 2)))
    )
    tiers, n = st.integers(0, len(policy.tiers) - 1), data.draw(st.integers(1, 5))
    official, given, below = (
        np.array(data.draw(st.lists(kind, min_size=n, max_size=n)), np.int64)
        for kind in (tiers, tiers, st.integers(0, 2))
    )
    found = plain_flags(policy, Plain(official, below, np.ones(n, bool)), given).tolist()
    ids = [tier.id for tier in policy.tiers]
    for i, (a, b, months) in enumerate(zip(official.tolist(), given.tolist(), below.tolist(), strict=True)):
        assert found[i] == bits(flags(policy, State(ids[a], ids[b], below=months)))
