"""What is written in bulk equals its slow twin: references, digits, customer rows."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.engine.job import Rows
from agents.engine.record_batches import Packed, few, flat, joined
from agents.standing.publish.standings import References
from agents.standing.publish.tier_changes import evidence, exact_digits
from policies import load_pack
from policies.compiled.pack import compile_pack
from schemas.codec.primitives import read_long
from streams.accounts.ledger import Ledger
from streams.alerts.lifecycle import Alert
from streams.money import NANO
from streams.reference import customer_ref
from streams.tiers import put_in_force
from tests.examples.plain_alerts import plain_conf

PAIRS = st.tuples(st.binary(max_size=9), st.one_of(st.none(), st.binary(max_size=9)))


@given(st.lists(st.one_of(PAIRS, st.lists(st.tuples(st.binary(max_size=9), st.binary(max_size=9)), max_size=4))))
def test_joined_records_are_the_same_in_the_same_order(items):
    """Whatever is packed, and whatever is deleted in between; between deletions nothing packed has a neighbour."""
    given_items = [item if isinstance(item, tuple) else packed(item) for item in items]
    out = joined(given_items)
    assert list(flat(out)) == list(flat(given_items))
    for one, other in pairwise(out):
        pairs = [item for item in (one, other) if not isinstance(item, Packed)]
        assert len(pairs) == 2 or any(None in pair for pair in pairs)


def packed(pairs):
    """Pairs as a packed run of records."""
    keys, values = (b"".join(side) for side in (zip(*pairs, strict=True) if pairs else ((), ())))
    ends = [np.cumsum([len(pair[i]) for pair in pairs], dtype=np.int64) for i in (0, 1)]
    return Packed(np.frombuffer(keys, np.uint8), ends[0], np.frombuffer(values, np.uint8), ends[1])


IDS = st.lists(st.text(min_size=1, max_size=30), min_size=1, max_size=8, unique=True)
UNITS = st.integers(-(2**62), 2**62)


@given(IDS, st.binary(min_size=1, max_size=200))
def test_references_are_those_of_one_by_one(names, key):
    """The bulk HMAC and base32 give customer_ref of each id, whatever the key's length, also as customers are added."""
    ledger = Ledger("CNY", "Asia/Shanghai")
    references = References(key, ledger)
    for name in names:
        slot = ledger.customer(name)
        assert bytes(references.of(np.array([slot]))[0]).decode() == customer_ref(key, name)
    slots = np.arange(len(names))[::-1]
    assert [bytes(row).decode() for row in references.of(slots)] == [customer_ref(key, name) for name in names[::-1]]


PARTS = st.one_of(st.just(0), st.integers(0, NANO - 1))


@given(st.lists(st.tuples(UNITS, PARTS, UNITS, st.booleans()), min_size=1, max_size=5))
def test_evidence_has_the_exact_digits(rows):
    """Between head and foot stand the value and the exact numerator, as Python's integers spell it, or that it is unknown."""
    units, nano, value = (np.array(column, np.int64) for column in list(zip(*rows, strict=True))[:3])
    unknown = np.array([row[3] for row in rows])
    head, foot = np.frombuffer(b"<", np.uint8), np.frombuffer(b">>", np.uint8)
    out, ends = np.empty(100 * len(rows), np.uint8), np.empty(len(rows), np.int64)
    size = evidence(head, value, units, nano, unknown, foot, out, ends)
    assert size == ends[-1]
    parts = [out[a:b].tobytes() for a, b in zip([0, *ends.tolist()], ends.tolist(), strict=False)]
    told = exact_digits(units.tolist(), nano.tolist())
    told = ["unknown" if row[3] else digits for row, digits in zip(rows, told, strict=True)]
    for part, number, digits in zip(parts, value.tolist(), told, strict=True):
        raw = np.frombuffer(part, np.uint8)
        found, at = read_long.py_func(raw, 1, len(raw))
        length, at = read_long.py_func(raw, int(at), len(raw))
        assert (part[:1], int(found), part[int(at) :], int(length)) == (
            b"<",
            number,
            digits.encode() + b">>",
            len(digits),
        )


TIERS = compile_pack(load_pack("rolling-quarter-aum"), 2).tier_ids
PEOPLE = st.lists(
    st.tuples(
        st.lists(st.tuples(st.integers(0, len(TIERS) - 1), st.integers(1, 30_000)), max_size=4),
        st.integers(0, 1), st.integers(-1, 9), *(st.none() | st.text(min_size=1, max_size=9) for _ in range(3)), st.booleans(),
    ),
    min_size=1, max_size=5,
)  # fmt: skip


@pytest.mark.slow
@given(PEOPLE)
def test_customer_rows_come_back(people):
    """A customer's row read back is the customer; few rows leave as pairs, many packed, the same bytes."""
    from agents.standing.job import StandingJob

    one, other = StandingJob(plain_conf()), StandingJob(plain_conf())
    for i, (tiers, kind, published, branch, rm, card, alert) in enumerate(people):
        slot = np.array([one.ledger.customer(f"C{i}")])
        for tier, day in tiers:
            put_in_force(one.ledger.store.customers, slot, np.array([tier]), day)
        c = one.ledger.store.customers[slot[0]]
        c["customer_class"] = kind
        for name, names, text in (("branch", one.profiles.branches, branch), ("rm", one.profiles.people, rm)):
            c[name] = -1 if text is None else names.code(text)
        c["card"] = -1 if card is None else one.profiles.cards.code(card)
        one.profiles.published(slot, np.array([published]))
        if alert:
            one.profiles.set_alert(int(slot[0]), "drip", Alert(f"a{i}", i, 7))
    rows = one.profiles.take_rows()
    other.load(list(flat(rows)))
    assert one.profiles.take_rows() == []
    for i in range(len(people)):
        a, b = one.ledger.customer(f"C{i}"), other.ledger.customer(f"C{i}")
        for name in ("tier", "tier_day", "customer_class", "published"):
            assert one.ledger.store.customers[name][a].tolist() == other.ledger.store.customers[name][b].tolist()
        for shown in ("branch", "rm", "card"):
            assert getattr(one.profiles, shown)(a) == getattr(other.profiles, shown)(b)
        assert one.profiles.alerts.get(a) == other.profiles.alerts.get(b)


def test_few_records_are_pairs():
    """A handful shares a batch with others, many have one of their own."""
    packed = Packed(np.zeros(100, np.uint8), np.arange(1, 101), np.zeros(0, np.uint8), np.zeros(100, np.int64))
    assert few(packed) == [packed]
    assert few(Packed(packed.keys, packed.key_ends[:2], packed.values, packed.value_ends[:2])) == [(b"\0", b"")] * 2


@given(st.lists(st.tuples(st.binary(max_size=5), st.none() | st.binary(max_size=5)), max_size=6))
def test_rows_are_their_pairs(pairs):
    """Rows made of pairs give the pairs back, whole and in part."""
    rows = Rows.of(pairs)
    assert list(rows) == pairs
    assert list(rows.take(np.arange(0, len(pairs), 2))) == pairs[::2]
