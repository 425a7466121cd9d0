"""Which claims are of further owners, against a plain model; whatever lies on the topic beside them is passed over."""

from collections.abc import Sequence
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from agents.engine.job import TP, Block
from agents.offline.memory_log import _batch as batch
from agents.owners.agent import owner_breaks
from agents.owners.compare import Claim, OwnersSeen, Shared, claims_of, paired
from schemas.codec.blocks import Reader
from schemas.codec.records import encode
from schemas.registry import file_registry
from schemas.topics import OWNERS

CLAIMS = st.builds(
    Claim,
    st.sampled_from(["A", "B", "", "A" * 128, "账"]),
    st.sampled_from(["C1", "C2", "C3", "客"]),
    st.integers(0, 9),
)
OTHER = st.binary(max_size=8)


def block(start: int, items: Sequence[Claim | bytes | None]) -> Block:
    """Records from an offset on."""
    found = [
        (b"key", encode(OWNERS, one._asdict()) if isinstance(one, Claim) else one) for one in items
    ]  # whatever the key is
    return Block(TP(OWNERS, 0), start, start + len(items), [batch(start, found)] if found else [], 1)


@given(st.lists(st.lists(CLAIMS | OTHER | st.none(), max_size=20), max_size=6))
@settings(max_examples=100, deadline=None)
def test_further_owners_are_met_once(blocks: list[list[Any]]) -> None:
    """Each customer of an account but its first, when he is met for the first time, in any division into blocks."""
    seen, at, owners, wanted, found = OwnersSeen(file_registry()), 0, dict[str, list[str]](), [], []
    for items in blocks:
        for item in items:
            if isinstance(item, Claim):
                mine = owners.setdefault(item.account_id, [])
                if mine and item.customer_id not in mine:
                    wanted.append(item)
                if item.customer_id not in mine:
                    mine.append(item.customer_id)
        found += [further.claim for further in seen.take(block(at, items))]
        at += len(items)
    assert found == wanted
    assert seen.shared == {account for account, customers in owners.items() if len(customers) > 1}


@given(st.lists(CLAIMS, max_size=30), st.integers(0, 30))
@settings(max_examples=50, deadline=None)
def test_what_was_read_before_is_not_met_again(claims: list[Claim], told: int) -> None:
    """Behind a start, claims ahead of what is told are known and give nothing."""
    whole, part = OwnersSeen(file_registry()), OwnersSeen(file_registry())
    all_, rest = whole.take(block(0, claims)), part.take(block(0, claims), told)
    ahead = OwnersSeen(file_registry()).take(block(0, claims[:told]))
    assert ahead + rest == all_


@given(st.lists(CLAIMS, max_size=30))
@settings(max_examples=50, deadline=None)
def test_both_are_told(claims: list[Claim]) -> None:
    """The account's first customer and the further one, under ids that are each one's own and the same every time."""
    further = [one.claim for one in OwnersSeen(file_registry()).take(block(0, claims))]
    reader = Reader(OWNERS, file_registry())
    again = claims_of(block(0, claims), reader, {claim.account_id.encode() for claim in further})
    found = paired(further, again)
    assert [(one.account_id, one.second, one.day) for one in found] == [tuple(claim) for claim in further]
    assert all(one.first != one.second for one in found)
    told = [record for one in found for record in owner_breaks(one, b"a key of the tests, 32 bytes long.")]
    assert len({record["event_id"] for record in told}) == len(told)
    for one in found:
        back = Shared(one.account_id, one.second, one.first, one.day)
        assert owner_breaks(one, b"k" * 32) == owner_breaks(back, b"k" * 32)
        for record in owner_breaks(one, b"k" * 32):
            assert len(encode("restatements", record)) > 0
            other = one.first if record["customer_id"] == one.second else one.second
            assert other not in record["event_id"].removeprefix(one.account_id)
