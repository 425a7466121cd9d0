"""Order, ranks and manifests: what files leave unsaid is settled the same way each time."""

import json
import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.formats.events import DayEnd, Event, InputError
from connectors.formats.ranks import number_postings
from connectors.formats.sources import read_source
from connectors.loading.arrival import GAP_DAYS_MAX, days, disturb, in_order
from schemas.partitioner import murmur2, partition_of

ZONE = "Asia/Shanghai"


def posting(day: int, event_id: str, account: str = "a", seq: int | None = None, at: int | None = None) -> Event:
    record = {
        "event_id": event_id,
        "source": "s",
        "account_id": account,
        "journal_seq": seq,
        "booked_at": at or day * 10,
    }
    return Event(day, "transactions", record)


def refused() -> tuple[list[InputError], object]:
    bad: list[InputError] = []
    return bad, bad.append


@given(st.lists(st.tuples(st.integers(1, 5), st.integers(0, 50)), unique=True), st.randoms(use_true_random=False))
def test_ranks_follow_booking_not_the_file(found, rng: random.Random):
    """The rank of a posting is its place by booking and id within the account, however the file is ordered."""
    events = [posting(day, str(event_id)) for day, event_id in found]
    if len({event_id for _, event_id in found}) < len(found):
        return
    rng.shuffle(events)
    bad, report = refused()
    ranked = {event.record["event_id"]: event.record["journal_seq"] for event in number_postings(events, "f", report)}
    expected = [str(event_id) for _, event_id in sorted(found)]
    assert ranked == {event_id: rank for rank, event_id in enumerate(expected, 1)}
    assert not bad


def test_a_repeated_line_gets_one_rank():
    """The same posting twice in a file is one posting; another payload under its id is refused."""
    bad, report = refused()
    events = [posting(1, "x"), posting(1, "x"), posting(2, "y"), posting(3, "y")]
    assert [event.record["journal_seq"] for event in number_postings(events, "f", report)] == [1, 2]
    assert [problem.field for problem in bad] == ["event_id"]


def test_an_account_with_some_numbers_is_refused():
    """Ranks beside real numbers would collide with them, so those postings are refused; other accounts are taken."""
    bad, report = refused()
    found = number_postings([posting(1, "x", seq=7), posting(2, "y"), posting(2, "z", account="b")], "f", report)
    assert [(event.record["account_id"], event.record["journal_seq"]) for event in found] == [("a", 7), ("b", 1)]
    assert "lack the journal_seq" in bad[0].reason


def test_every_calendar_day_ends():
    """A day without events ends too, as averages count all days; a profile without a day comes first."""
    events = in_order([posting(14, "b"), Event(0, "customers", {}), posting(11, "a")])
    found = list(days(events, "f"))
    assert [item.day for item in found if isinstance(item, DayEnd)] == [11, 12, 13, 14]
    assert found[0] == Event(11, "customers", {})
    assert [item.day for item in found if isinstance(item, Event)] == [11, 11, 14]
    assert list(days([], "f")) == []


def test_a_gap_too_wide_is_a_typing_error():
    """One wrong date must not close years of days: that could not be taken back."""
    events = [posting(100, "a"), posting(101 + GAP_DAYS_MAX, "b")]
    with pytest.raises(InputError, match="is that date right"):
        list(days(events, "f"))


@given(st.integers(0, 2**32), st.integers(0, 100), st.integers(0, 10))
def test_disturbing_keeps_the_set(seed, percent, late):
    """Shuffled, late and doubled events are the same set, none arrives early, and profiles keep their place."""
    events = in_order(
        [posting(1 + i % 9, str(i)) for i in range(40)] + [Event(5, "customers", {"n": i}) for i in range(5)]
    )
    found = disturb(events, seed, shuffle=True, duplicate_percent=percent, late_days_max=late)
    copies = Counter(event.record["event_id"] for event in found if event.topic == "transactions")
    assert set(copies) == {str(i) for i in range(40)}
    assert set(copies.values()) <= {1, 2}
    assert [event.record["n"] for event in found if event.topic == "customers"] == [0, 1, 2, 3, 4]
    own = {event.record["event_id"]: event.day for event in events if event.topic == "transactions"}
    for event in found:
        if event.topic == "transactions":
            assert own[event.record["event_id"]] <= event.day <= min(9, own[event.record["event_id"]] + late)
    assert [event.day for event in found] == sorted(event.day for event in found)


LINE = {
    "source": "agency", "customer_id": "c", "currency": "CNY", "branch": "B", "asset_class": "insurance",
    "cutoff_at": "2026-01-05T22:00:00", "business_day": "2026-01-05",
}  # fmt: skip


def full_list(folder, day: str, accounts: dict[str, str], rows: int | None = None, **more) -> None:
    when = {"business_day": day, "cutoff_at": f"{day}T22:00:00"}
    lines = [LINE | when | {"event_id": f"{a}-{day}", "account_id": a, "balance": b} for a, b in accounts.items()]
    (folder / f"balances-{day}.ndjson").write_text("".join(json.dumps(line) + "\n" for line in lines))
    stated = {"full_list": True, "source": "agency", "rows": len(lines) if rows is None else rows} | when | more
    (folder / f"balances-{day}.manifest.json").write_text(json.dumps(stated))


def balances(folder, report) -> list[tuple[int, str, int]]:
    found = read_source("ndjson", folder, ZONE, report)
    return [(event.day, event.record["account_id"], event.record["balance_minor"]) for event in found]


def test_absent_from_a_full_list_is_zero(tmp_path):
    """An account that a full list no longer has gets one zero snapshot, at the list's own cut-off."""
    full_list(tmp_path, "2026-01-05", {"a": "10", "b": "20"})
    full_list(tmp_path, "2026-01-06", {"b": "21"})
    full_list(tmp_path, "2026-01-07", {"b": "22"})
    bad, report = refused()
    assert balances(tmp_path, report) == [
        (20458, "a", 1000), (20458, "b", 2000), (20459, "b", 2100), (20459, "a", 0), (20460, "b", 2200),
    ]  # fmt: skip
    assert not bad


@pytest.mark.parametrize("trouble", ["short", "bad line", "other day"])
def test_a_damaged_list_zeroes_nothing(tmp_path, trouble):
    """A list that is cut, has a bad line, or holds another day's lines says nothing about who is absent."""
    full_list(tmp_path, "2026-01-05", {"a": "10", "b": "20"})
    rows = 2 if trouble == "short" else None
    full_list(tmp_path, "2026-01-06", {"b": "21"} | ({"x": "NaN"} if trouble == "bad line" else {}), rows)
    if trouble == "other day":
        (tmp_path / "balances-2026-01-06.ndjson").write_text(
            json.dumps(LINE | {"event_id": "z", "account_id": "b", "balance": "1"}) + "\n"
        )
    full_list(tmp_path, "2026-01-07", {"b": "22"})
    bad, report = refused()
    found = balances(tmp_path, report)
    assert (20459, "a", 0) not in found
    assert (20460, "a", 0) in found  # the next whole list says it
    assert any("absent accounts are left" in problem.reason for problem in bad)


def test_the_list_before_may_be_imported_already(tmp_path):
    """A manifest may name the list before, which is read for its accounts only."""
    full_list(tmp_path, "2026-01-05", {"a": "10", "b": "20"})
    full_list(tmp_path, "2026-01-06", {"b": "21"}, previous="balances-2026-01-05.ndjson")
    bad, report = refused()
    found = read_source("ndjson", tmp_path / "balances-2026-01-06.ndjson", ZONE, report)
    assert [(event.record["account_id"], event.record["balance_minor"]) for event in found] == [("b", 2100), ("a", 0)]
    assert not bad


@pytest.mark.parametrize("text", ["{", "[]", '{"full_list": false}', '{"full_list": true, "rows": -1}'])
def test_a_bad_manifest_stops_the_import(tmp_path, text):
    """A manifest that cannot be read is bad input: whether a list is full is no guess."""
    full_list(tmp_path, "2026-01-05", {"a": "10"})
    (tmp_path / "balances-2026-01-05.manifest.json").write_text(text)
    with pytest.raises(InputError):
        read_source("ndjson", tmp_path, ZONE)


@pytest.mark.parametrize(
    ("key", "hashed"),
    [(b"21", -973932308), (b"foobar", -790332482), (b"a-little-bit-long-string", -985981536),
     (b"a-little-bit-longer-string", -1486304829), (b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971),
     (b"abc", 479470107)],
)  # fmt: skip
def test_murmur2_is_kafkas(key, hashed):
    """The hash agrees with the vectors of Kafka's own tests, so all producers choose the same partition."""
    assert murmur2(key) == hashed & 0xFFFFFFFF
    assert partition_of(key, 7) == (hashed & 0x7FFFFFFF) % 7
