"""Which postings of a labelled world took a leaver's money out, in base minor units at the day's rate."""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple

from connectors.formats.events import Event
from connectors.labelled.labels import LEAVER, Label
from streams.calendar import business_day, zone_table
from streams.money import exponent
from streams.vocabulary.terms import EXTERNAL

LEAST_PART: Final = 100  # a debit of less than so manieth of the amount is daily life, not leaving
SAME_MOVE_MS: Final = 3_600_000  # legs of unknown nature that are no further apart belong together
MICRO: Final = 1_000_000
_UNKNOWN: Final = "unknown"


class Debit(NamedTuple):
    """Money that left: when it was booked (ms), how much (base minor units), and the posting's id."""

    at: int
    amount: int
    event_id: str


class Episode(NamedTuple):
    """A label of a leaver with the debits of its days, in the order of booking."""

    label: Label
    debits: tuple[Debit, ...]


class RateBook:
    """RateBook of a world's events: of the last day on or before, in its highest version."""

    def __init__(self, events: Iterable[Event], base: str) -> None:
        self.base, known = base, dict[tuple[str, int], tuple[int, int]]()
        for event in events:
            if event.topic == "fx-rates":
                rate = event.record
                place = (rate["currency"], rate["rate_date"])
                known[place] = max(known.get(place, (0, 0)), (rate["version"], rate["rate_micro"]))
        self._days: defaultdict[str, list[int]] = defaultdict(list)
        self._micro: defaultdict[str, list[int]] = defaultdict(list)
        for (currency, day), (_, micro) in sorted(known.items()):
            self._days[currency].append(day)
            self._micro[currency].append(micro)

    def worth(self, minor: int, currency: str, day: int) -> int:
        """Base minor units, rounded down; 0 while there is no rate."""
        if currency == self.base:
            return minor
        place = bisect_right(self._days[currency], day)
        if not place:
            return 0
        micro: int = self._micro[currency][place - 1]
        return int(minor * micro * 10 ** exponent(self.base) // (MICRO * 10 ** exponent(currency)))


def episodes(labels: Iterable[Label], events: list[Event], base: str, zone: str) -> list[Episode]:
    """Every episode of leaving with what took the money out.

    A debit counts that leaves the bank, is not reversed and is at least a hundredth of the amount. One of unknown nature leaves
    the bank unless another account of the customer got as much within the hour.
    """
    wanted = [label for label in labels if label.counts_as == LEAVER]
    postings: dict[str, dict[str, Any]] = {}
    customers = {label.customer_id for label in wanted}
    for event in events:
        if event.topic == "transactions" and event.record["customer_id"] in customers:
            postings[event.record["event_id"]] = event.record
    rates, starts = RateBook(events, base), zone_table(zone)
    reversed_ids = {posting["reverses"] for posting in postings.values() if posting["reverses"]}
    came = _credits(postings)
    found: defaultdict[str, list[tuple[int, Debit]]] = defaultdict(list)
    for event_id, posting in postings.items():
        if posting["amount_minor"] < 0 and event_id not in reversed_ids and _leaves(posting, came):
            day = int(business_day(posting["booked_at"], *starts))
            amount = rates.worth(-posting["amount_minor"], posting["currency"], day)
            found[posting["customer_id"]].append((day, Debit(posting["booked_at"], amount, event_id)))
    return [Episode(label, _of(label, found[label.customer_id])) for label in wanted]


def _of(label: Label, debits: list[tuple[int, Debit]]) -> tuple[Debit, ...]:
    first, last, amount = label.first_day or 0, label.last_day or 0, label.amount_minor or 0
    mine = (debit for day, debit in debits if first <= day <= last and debit.amount * LEAST_PART >= amount)
    return tuple(sorted(mine))


def _leaves(posting: Mapping[str, Any], came: Mapping[tuple[Any, ...], list[tuple[int, str]]]) -> bool:
    if posting["reverses"]:
        return False
    if posting["nature"] != _UNKNOWN:
        return bool(posting["nature"] == EXTERNAL)
    other = came.get((posting["customer_id"], posting["currency"], -posting["amount_minor"]), ())
    return bool(posting["counterparty_bank"]) or not any(
        account != posting["account_id"] and abs(at - posting["booked_at"]) <= SAME_MOVE_MS for at, account in other
    )


def _credits(postings: Mapping[str, Mapping[str, Any]]) -> dict[tuple[Any, ...], list[tuple[int, str]]]:
    """(instant, account) of the credits of unknown nature, by customer, currency and amount."""
    found: defaultdict[tuple[Any, ...], list[tuple[int, str]]] = defaultdict(list)
    for posting in postings.values():
        if posting["amount_minor"] > 0 and posting["nature"] == _UNKNOWN:
            place = (posting["customer_id"], posting["currency"], posting["amount_minor"])
            found[place].append((posting["booked_at"], posting["account_id"]))
    return dict(found)
