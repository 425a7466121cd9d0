"""The bench of a state's room counts every byte once, and that of a close with cases compares the same bank."""

from collections import Counter

import numpy as np
import pytest

from bench.cases import close, state
from bench.parts import profile
from bench.parts.full import held
from bench.world.data import CLOSED, World
from policies import load_pack
from policies.model.pack import Pack
from streams.accounts.store import FLOW, POSTING

SMALL = World(customers=40, events=1600)


def opened(pack: Pack) -> state.StateBench:
    """A small bank with postings, behind its first month close and all of the next."""
    bench = state.StateBench(SMALL, pack)
    starts = [0] * SMALL.partitions
    for fetch in profile.fetches(SMALL, SMALL.prelude(), starts):
        bench.feed(fetch)
    bench.close(CLOSED)
    starts = [start + 1 for start in starts]
    for fetch in profile.fetches(SMALL, SMALL.postings(), starts, True):
        bench.feed(fetch) if fetch.count else bench.close(fetch.at)
    bench.flush()
    return bench


@pytest.mark.slow
def test_every_byte_in_memory_has_one_name() -> None:
    """The names add up to what the bench of the full job says; postings are counted one by one."""
    bench = opened(load_pack("rolling-quarter-aum"))
    found = state.in_memory(bench.jobs)
    assert found.total() == held(bench.jobs)
    assert found["entries: postings"] == SMALL.events * bench.jobs[0].ledger.store.entries.itemsize
    assert found["entries: room in pieces"] > 0
    kinds = Counter[int]()
    for job in bench.jobs:
        store = job.ledger.store
        kinds += state.entries_by_kind(store, store.accounts[: job.ledger.columns.account_count])
    assert kinds[POSTING] == SMALL.events
    assert kinds[FLOW] == 0


@pytest.mark.slow
def test_cases_take_at_most_a_fifth_more() -> None:
    """While postings are held one by one, of what grows with customers: the hash tables of so few are as large either way."""
    pack = load_pack("rolling-quarter-aum")
    found = [state.in_memory(opened(one).jobs) for one in (pack, close.without_cases(pack))]
    with_cases, without = (one.total() - one["hash tables"] for one in found)
    assert found[1]["cases"] < found[0]["cases"]
    assert without < with_cases <= without * 6 // 5


@pytest.mark.slow
def test_rows_are_counted_as_a_compacted_changelog_has_them() -> None:
    """One row a key, the last one."""
    bench = opened(load_pack("rolling-quarter-aum"))
    accounts = [key for key in bench.kept if key[:1] == b"a"]
    assert len(accounts) == SMALL.accounts
    assert bench.by_kind()["account"] == sum(bench.kept[key] for key in accounts)
    assert bench.by_kind()["customer"] == sum(size for key, size in bench.kept.items() if key[:1] == b"c")


@pytest.mark.slow
def test_a_close_is_compared_with_the_same_bank_without_cases() -> None:
    """Both packs decide the same tiers; each close is timed once at either."""
    pack = load_pack("rolling-quarter-aum")
    before = close.without_cases(pack)
    assert all(policy.cases is None for policy in before.classes.values())
    assert all(policy.cases is not None for policy in pack.classes.values())
    found, with_cases, without = close.run(SMALL, "rolling-quarter-aum")
    days = np.array([one.day for one in found])
    assert (np.diff(days) == 1).all()
    assert days[0] == CLOSED + 1
    assert with_cases.calls["cases"] == without.calls["cases"] == len(found) * SMALL.partitions
