"""The simulated bank: the same from the same seed, sound in its books, and with the shape and stories it promises."""

from collections import Counter, defaultdict
from datetime import date

import pytest

from connectors.formats.events import DayEnd, Event
from connectors.simulate import START, STORY_KINDS, simulate, stories
from connectors.simulate.journal import month_days
from connectors.simulate.people import BANDS, band_sizes, wealth_minor
from schemas.codec.records import encode
from schemas.topics import MARKED
from streams.calendar import date_of, day_of

ZONE = "Asia/Shanghai"


@pytest.fixture(scope="module")
def bank() -> list[Event | DayEnd]:
    """Five months of a hundred customers."""
    return list(simulate(11, customers=100))


@pytest.fixture(scope="module")
def events(bank) -> list[Event]:
    return [item for item in bank if isinstance(item, Event)]


def once(events: list[Event], topic: str) -> list[dict]:
    """The topic's distinct records."""
    return list({event.record["event_id"]: event.record for event in events if event.topic == topic}.values())


def test_same_seed_same_bank():
    """A seed gives the same events in the same order; another seed gives others, and other story customers."""
    one, two, other = (list(simulate(seed, customers=20, months=1)) for seed in (1, 1, 2))
    assert one == two
    assert one != other
    assert stories(1) == stories(1)
    assert {story.customer_id for story in stories(1).values()} != {story.customer_id for story in stories(2).values()}


def test_every_day_ends_and_nothing_comes_early(bank):
    """Events come under their day, each calendar day ends once, and no event arrives before it was booked."""
    ends = [item.day for item in bank if isinstance(item, DayEnd)]
    assert ends == list(range(START, day_of(date(2026, 6, 1))))
    day = ends[0]
    for item in bank:
        assert item.day == day
        if isinstance(item, DayEnd):
            day += 1
        elif item.topic == "transactions":
            assert item.record["booked_at"] < (day + 1) * 86_400_000 - 8 * 3_600_000


def test_records_fit_the_contracts(events):
    """Every record is one of an input topic's contract."""
    assert {event.topic for event in events} == set(MARKED) - {"policies", "crm-actions"}
    for event in events:
        encode(event.topic, event.record)


def test_journals_have_no_holes(events):
    """Per source and account the sequence runs from 1 without holes, and a repeated event is the same event."""
    seen: dict[str, dict] = {}
    for event in events:
        assert seen.setdefault(f"{event.topic}/{event.record['event_id']}", event.record) == event.record
    sequences = defaultdict(set)
    for record in once(events, "transactions"):
        sequences[record["source"], record["account_id"]].add(record["journal_seq"])
    assert all(found == set(range(1, len(found) + 1)) for found in sequences.values())


def test_snapshots_agree_with_postings(events):
    """A nightly balance is what the postings up to the cut-off make of it, so a break is a posting still to come."""
    postings, checked = defaultdict(list), 0
    for record in once(events, "transactions"):
        postings[record["account_id"]].append((record["booked_at"], record["amount_minor"]))
    openings = {}
    for record in sorted(once(events, "balances"), key=lambda record: record["cutoff_at"]):
        account = record["account_id"]
        if record["source"] == "agency":
            assert account not in postings
            continue
        booked = sum(amount for at, amount in postings[account] if at <= record["cutoff_at"])
        assert openings.setdefault(account, record["balance_minor"] - booked) == record["balance_minor"] - booked
        checked += 1
    assert checked > 1000
    assert any(openings.values()) and not all(openings.values())


def test_two_legs_stay_inside(events):
    """Own transfers and product moves have two legs at one instant that sum to nothing within a currency."""
    legs = defaultdict(list)
    for record in once(events, "transactions"):
        if record["nature"].startswith("product") or (record["nature"] == "own_transfer" and record["channel"]):
            legs[record["customer_id"], record["booked_at"], record["nature"]].append(record)
    assert legs
    for found in legs.values():
        assert len(found) % 2 == 0
        if len({record["currency"] for record in found}) == 1:
            assert sum(record["amount_minor"] for record in found) == 0


def test_what_goes_wrong_goes_wrong(events):
    """Duplicates, late arrivals, back values into closed months, reversals, corrected files and a corrected rate."""
    copies = Counter((event.topic, event.record["event_id"]) for event in events)
    loose = sum(1 for topic, _ in copies if topic in ("transactions", "balances"))
    repeats = sum(copies.values()) - len(copies)
    assert 0.01 < repeats / loose < 0.03
    postings = {record["event_id"]: record for record in once(events, "transactions")}
    late = [
        e for e in events if e.topic == "transactions" and e.day * 86_400_000 - e.record["booked_at"] > 12 * 3_600_000
    ]
    assert late
    backs = [
        r for r in postings.values() if r["journal_seq"] > 1 and START <= r["value_date"] < r["booked_at"] // 86_400_000
    ]
    assert any(date_of(r["value_date"]).month < date_of(r["booked_at"] // 86_400_000).month for r in backs)
    reversals = [record for record in postings.values() if record["reverses"]]
    assert reversals
    for record in reversals:
        original = postings[record["reverses"]]
        assert (record["amount_minor"], record["value_date"]) == (-original["amount_minor"], original["value_date"])
    assert [record["currency"] for record in once(events, "fx-rates") if record["version"] == 2] == ["USD"]
    assert {record["currency"] for record in postings.values()} == {"CNY", "USD", "EUR", "JPY"}
    assert any(record["version"] == 2 for record in once(events, "balances"))
    assert any(record["balance_minor"] == 0 and record["source"] == "agency" for record in once(events, "balances"))


def test_population_has_the_shape_of_the_bands():
    """Customers per band and mean balance within a band are those of rules 1.3.19, within a tenth."""
    import random

    assert band_sizes(100_000) == [87_639, 10_408, 1_838, 111, 4]
    assert band_sizes(50) == [42, 5, 1, 1, 1]
    rng = random.Random(5)
    means = [495, 18_981, 74_456, 292_045, 2_086_886]
    for band, mean in enumerate(means):
        drawn = [wealth_minor(rng, band) for _ in range(20_000)]
        assert abs(sum(drawn) / len(drawn) / 100 - mean) < mean * 0.1
        assert min(drawn) >= BANDS[band][1][0][1] * 100


def test_stories_happen(events):
    """Each story's customer has the postings that its words promise, and nothing else."""
    told = stories(11)
    assert tuple(told) == STORY_KINDS
    months = month_days(START, 5)
    for kind, story in told.items():
        moves = [
            r for r in once(events, "transactions") if r["customer_id"] == story.customer_id and r["journal_seq"] > 1
        ]
        moves = [r for r in moves if r["account_id"] == story.account_id]
        amount = -story.amount_minor if kind == "purchase" else story.amount_minor
        assert {record["amount_minor"] for record in moves} == {amount, -amount if kind == "taken_back" else amount}
        assert len(moves) == {"drip": 9, "taken_back": 2}.get(kind, 1)
    late = told["late_posting"]
    record = next(
        r for r in once(events, "transactions") if r["customer_id"] == late.customer_id and r["journal_seq"] == 2
    )
    assert record["value_date"] == months[1][0]
    broken = told["broken_balance"]
    arrival = min(
        e.day for e in events if e.record.get("account_id") == broken.account_id and e.record.get("journal_seq") == 2
    )
    assert arrival == broken.day + 6


def test_no_such_bank():
    """Arguments that make no bank are refused."""
    for arguments in ({"customers": 0}, {"months": 0}, {"start": START + 1}):
        with pytest.raises(ValueError):
            simulate(1, **arguments)
