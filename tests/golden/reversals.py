"""The bank of the second recording: the first weeks of the other one, in which postings are taken back.

Between the other's events, so that it meets snapshots, late postings, currencies, closes and recoveries.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from tests.golden.bank import Bank, Event
from tests.twins.events import day

LAST: Final = day("2024-02-29")
# Recoveries are tried after these closes: while reversals wait to be asked about, and after they were.
CLOSED: Final = ("2024-01-19", "2024-02-13")
BACK_DAYS: Final = 12  # what is taken back is no older
PAID: Final = day("2024-02-20")  # and returned and paid again: alerts look at it


class BankOfReversals(Bank):
    """Takes back on the day, later, before the posting itself comes, twice, and what fits nothing."""

    last = LAST

    def __init__(self) -> None:
        super().__init__()
        self.to_come: list[Event] = []  # postings whose reversals came before them
        self.taken: list[Event] = []

    def planted(self, at: int) -> Iterator[Event]:
        """Beside what the other bank has planted."""
        yield from super().planted(at)
        yield from self.to_come
        self.to_come = []
        pick = self.random.randrange
        recent = [one for one in self.sent if at - BACK_DAYS <= one["value_date"] <= at]
        if recent and pick(3):
            yield self.back(recent[pick(len(recent))], at)
        if self.taken and pick(9) == 0:  # once more than there is something to take back
            yield self.back(self.taken[-1], at)
        if pick(8) == 0:
            one = f"P{1 + pick(19):02}"
            yield self.post(one, f"{one}-main", -7_000 - pick(900), at - pick(3), at, reverses="of another system")
        if pick(4) == 0:
            yield from self.early(at)
        if at == PAID:
            yield from self.paid_again(at)

    def back(self, one: Event, at: int) -> Event:
        """What takes a posting back."""
        self.taken.append(one)
        return self.again(one, at, amount_minor=-one["amount_minor"], reverses=one["event_id"])

    def again(self, one: Event, at: int, **other: Any) -> Event:
        """A posting like another, with the next number."""
        names = ("currency", "asset_class", "nature", "customer_initiated", "branch", "counterparty_bank")
        kept = {name: one[name] for name in names}
        amount, reverses = other.get("amount_minor", one["amount_minor"]), other.get("reverses")
        found = self.post(
            one["customer_id"], one["account_id"], amount, one["value_date"], at, reverses=reverses, **kept
        )
        return {**found, "booked_at": max(found["booked_at"], one["booked_at"])}

    def early(self, at: int) -> Iterator[Event]:
        """A posting of today that comes tomorrow or the day after, behind its reversal."""
        one = f"P{1 + self.random.randrange(19):02}"
        posting = self.post(one, f"{one}-main", -40_000, at, at)
        yield self.back(posting, at)
        self.to_come.append(posting)

    def paid_again(self, at: int) -> Iterator[Event]:
        """Paid, returned, paid once more; and a debit that says that it takes something back, and does not."""
        paid = self.post("P16", "P16-main", -31_000_000, at, at, counterparty_bank="Delta Bank")
        yield from (paid, self.back(paid, at), self.again(paid, at))
        yield self.post("P08", "P08-main", -26_000_000, at, at, reverses="nothing")
