"""The labelled bank: the same from the same seed, sound in its books, and its labels say what its postings do."""

from collections import Counter, defaultdict
from datetime import date

import pytest

from connectors.formats.events import DayEnd, Event
from connectors.labelled import WAYS, Label, LabelledBank
from connectors.labelled.labels import COUNTS_AS, COUNTS_QUIET, EITHER, LEAVER
from connectors.simulate.market import is_weekday
from schemas.codec.records import encode
from streams.calendar import day_of
from tidegauge.evaluation.episodes import episodes

ZONE, START, MONTHS, CUSTOMERS = "Asia/Shanghai", day_of(date(2026, 1, 1)), 8, 2 * len(WAYS)


def bank(seed: int, customers: int = CUSTOMERS, months: int = MONTHS) -> tuple[list[Event | DayEnd], list[Label]]:
    made = LabelledBank(seed, customers, months, START, ZONE)
    return list(made.days()), made.labels()


@pytest.fixture(scope="module")
def made() -> tuple[list[Event | DayEnd], list[Label]]:
    """Two customers a way."""
    return bank(5)


@pytest.fixture(scope="module")
def events(made) -> list[Event]:
    return [item for item in made[0] if isinstance(item, Event)]


def test_same_seed_same_bank():
    """A seed gives the same events and labels; another seed gives others."""
    one, two, other = (bank(seed, customers=len(WAYS), months=6) for seed in (1, 1, 2))
    assert one == two
    assert one != other


def test_there_are_ways_of_every_sort(made):
    """A bank of as many customers as ways has each of them."""
    assert Counter(way.counts_as for way in WAYS) == {LEAVER: 15, COUNTS_QUIET: 24, EITHER: 5}
    assert len({way.kind for way in WAYS}) == len(WAYS)
    assert {label.kind for label in made[1]} == {way.kind for way in WAYS}
    assert {label.counts_as for label in made[1]} == set(COUNTS_AS)


def test_every_day_ends(made):
    """Events come under their day, and nothing before it was booked."""
    assert [item.day for item in made[0] if isinstance(item, DayEnd)] == list(range(START, day_of(date(2026, 9, 1))))
    at = START
    for item in made[0]:
        assert item.day == at
        at += isinstance(item, DayEnd)
        if isinstance(item, Event) and item.topic == "transactions":
            assert item.record["booked_at"] < (at + 1) * 86_400_000 - 8 * 3_600_000


def test_records_fit_the_contracts(events):
    """Every record is one of its topic's contract, and numbers have no hole."""
    numbers = defaultdict(set)
    for event in events:
        encode(event.topic, event.record)
        if event.topic == "transactions":
            numbers[event.record["account_id"]].add(event.record["journal_seq"])
    assert all(found == set(range(1, len(found) + 1)) for found in numbers.values())


def test_labels_say_what_postings_do(made, events):
    """The debits of an episode, found in the events alone, are the amount, its days, and the day on which 80 % is out."""
    found = episodes(made[1], events, "CNY", ZONE)
    assert len(found) == sum(label.counts_as == LEAVER for label in made[1])
    for label, debits in found:
        days = [(debit.at + 8 * 3_600_000) // 86_400_000 for debit in debits]
        amount = sum(debit.amount for debit in debits)
        assert (days[0], days[-1]) == (label.first_day, label.last_day), label
        assert abs(amount - label.amount_minor) * 50 <= label.amount_minor, (
            label
        )  # a large purchase of the time may be in it
        out = 0
        for day, debit in zip(days, debits, strict=True):
            out += debit.amount
            if out * 10 >= amount * 8:
                assert abs(day - label.day_80) <= 1, label
                break


def test_no_account_is_overdrawn(events):
    """Whatever a way does, it has the money for it."""
    balances: Counter[str] = Counter()
    for record in {
        event.record["event_id"]: event.record for event in events if event.topic == "transactions"
    }.values():
        balances[record["account_id"]] += record["amount_minor"]
    assert min(balances.values()) >= 0


def test_money_comes_in_on_friday_and_goes_out_after_the_weekend(made, events):
    """Such a customer's large postings."""
    who = {label.customer_id for label in made[1] if label.kind == "over_the_weekend"}
    seen = Counter()
    once = {event.record["event_id"]: event for event in events if event.topic == "transactions"}  # some come twice
    for event in once.values():
        if event.record["customer_id"] in who and event.record["channel"] == "transfer":
            day = (event.record["booked_at"] + 8 * 3_600_000) // 86_400_000
            if event.record["counterparty_bank"]:
                assert (day + 3) % 7 == 4
                seen["in"] += 1
            elif event.record["amount_minor"] < 0:
                assert (day + 3) % 7 in (0, 1)
                assert is_weekday(day)
                seen["out"] += 1
    assert seen["in"] >= seen["out"] > 5


@pytest.mark.parametrize(("customers", "months"), [(0, 8), (10, 5), (100_001, 8)])
def test_what_makes_no_bank_is_refused(customers, months):
    """Too few months for the slow ones, and absurd numbers."""
    with pytest.raises(ValueError, match="a labelled bank takes"):
        LabelledBank(1, customers, months, START, ZONE)
