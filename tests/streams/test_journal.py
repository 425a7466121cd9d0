"""Journal numbers as intervals: exact de-duplication against a plain set, and the holes in it."""

from hypothesis import given, settings
from hypothesis import strategies as st

from streams.accounts.day_close import missing_numbers
from streams.accounts.entries import JOURNAL_INTERVALS_MAX
from streams.fields import DUPLICATE, OK, TOO_FRAGMENTED
from tests.streams.fast import Fast, _journal
from tests.twins.events import posting

arrivals = st.lists(st.tuples(st.sampled_from(("core", "core", "core", "cards")), st.integers(1, 15)), max_size=40)


def intervals(numbers: set[int]) -> list[tuple[int, int]]:
    """A set as its intervals."""
    starts = sorted(n for n in numbers if n - 1 not in numbers)
    ends = sorted(n for n in numbers if n + 1 not in numbers)
    return list(zip(starts, ends, strict=True))


@settings(max_examples=150)
@given(arrivals)
def test_intervals_are_the_set(numbers):
    """Whatever the order, a number counts once, and the intervals are those of the set of numbers."""
    fast, seen = Fast(), set()
    for source, number in numbers:
        [status] = fast.add([posting(number, 100 + number, "2024-03-01", source=source)])
        assert status == (DUPLICATE if (source, number) in seen else OK)
        seen.add((source, number))
    expected = [
        (source, *pair) for source in ("cards", "core") for pair in intervals({n for s, n in seen if s == source})
    ]
    if numbers:
        assert sorted(_journal(fast.ledger, 0)) == expected


@settings(max_examples=60)
@given(st.lists(st.integers(1, 31), max_size=20, unique=True))
def test_missing_numbers_are_the_holes(numbers):
    """Numbers between the lowest and the highest that never came are counted as missing."""
    fast = Fast()
    fast.add([posting(n, 1, "2024-03-01") for n in numbers])
    holes = max(numbers) - min(numbers) + 1 - len(numbers) if numbers else 0
    assert missing_numbers(fast.ledger.store) == holes


def test_a_journal_in_splinters_is_refused():
    """A source without a journal in order ends in dead letters, not in endless state."""
    fast, most = Fast(), JOURNAL_INTERVALS_MAX + 1
    statuses = fast.add([posting(2 * n, 1, "2024-03-01") for n in range(1, most + 4)])
    assert statuses == [OK] * most + [TOO_FRAGMENTED] * 3
    closing = [posting(3, 1, "2024-03-01"), posting(2 * most + 1, 1, "2024-03-01")]  # no new interval
    assert fast.add(closing) == [OK, OK]
