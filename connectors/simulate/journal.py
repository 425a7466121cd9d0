"""The simulated bank's journal: books and numbers postings, takes snapshots, holds back what is late."""

from collections import defaultdict
from datetime import date
from typing import Any, Final

from connectors.formats.events import Event, Record
from connectors.simulate.people import Account
from streams.calendar import EPOCH, date_of, day_start_ms

CUTOFF_HOUR: Final = 22  # the nightly balances are those of 22:00; who shops later is in tomorrow's
HOUR_MS: Final = 3_600_000
DAY_OPENS_MS: Final = 8 * HOUR_MS
DAY_SHUTS_MS: Final = 23 * HOUR_MS + 30 * 60_000


class Journal:
    """Postings and snapshots of one bank day after another. Amounts in minor units of the account's currency."""

    def __init__(self, zone: str, last_day: int) -> None:
        self._zone = zone
        self._last_day = last_day
        self._arrivals: defaultdict[int, list[Event]] = defaultdict(list)
        self.day = 0
        self._start_ms = 0

    def begin(self, day: int) -> None:
        """Turn to a day."""
        self.day, self._start_ms = day, day_start_ms(day, self._zone)

    def instant(self, after_ms: int) -> int:
        """So long into today, ms since the epoch."""
        return self._start_ms + after_ms

    @property
    def cutoff_ms(self) -> int:
        """Today's cut-off of the nightly balances."""
        return self._start_ms + CUTOFF_HOUR * HOUR_MS

    def post(
        self,
        account: Account,
        amount_minor: int,
        after_ms: int,
        nature: str,
        *,
        value_date: int | None = None,
        late_days: int = 0,
        **more: Any,
    ) -> Record:
        """Book a posting `after_ms` into today; it reaches the topics `late_days` later. Returns the record."""
        account.journal_seq += 1
        account.balance_minor += amount_minor
        booked_at = self.instant(after_ms)
        if booked_at > self.cutoff_ms:
            account.after_cutoff_minor += amount_minor
        record: Record = {
            "event_id": f"{account.source}-{account.account_id}-{account.journal_seq}",
            "source": account.source,
            "journal_seq": account.journal_seq,
            "customer_id": account.customer_id,
            "account_id": account.account_id,
            "asset_class": account.asset_class,
            "currency": account.currency,
            "amount_minor": amount_minor,
            "value_date": self.day if value_date is None else value_date,
            "booked_at": booked_at,
            "nature": nature,
            "customer_initiated": False,
            "branch": account.branch,
            "channel": None,
            "counterparty_bank": None,
            "counterparty_ref": None,
            "reverses": None,
        } | more
        self.arrive(self.day + late_days, "transactions", record)
        return record

    def snapshot(self, account: Account, *, version: int = 1, off_minor: int = 0, late_days: int = 0) -> Record:
        """Today's balance of an account at the cut-off. `off_minor`: what the file has too much or too little."""
        record: Record = {
            "event_id": f"eod-{account.account_id}-{self.day}-{version}",
            "source": account.source,
            "customer_id": account.customer_id,
            "account_id": account.account_id,
            "asset_class": account.asset_class,
            "currency": account.currency,
            "balance_minor": account.balance_minor - account.after_cutoff_minor + off_minor,
            "cutoff_at": self.cutoff_ms,
            "business_day": self.day,
            "version": version,
            "opened_on": account.opened_on,
            "branch": account.branch,
        }
        self.arrive(self.day + late_days, "balances", record)
        return record

    def arrive(self, day: int, topic: str, record: Record) -> None:
        """Let a record reach its topic on a day: not before today, and on the last day whatever is left."""
        day = min(max(day, self.day), self._last_day)
        self._arrivals[day].append(Event(day, topic, record))

    def arrivals(self) -> list[Event]:
        """What reaches the topics today."""
        return self._arrivals.pop(self.day, [])


def month_days(start: int, months: int) -> list[list[int]]:
    """The days of each of some months in a row, from the month that begins on `start`."""
    first = date_of(start)
    if first.day != 1:
        raise ValueError(f"{first} is not the first of a month")
    found = []
    for month in range(months):
        year, index = divmod(first.year * 12 + first.month - 1 + month, 12)
        after, later = divmod(year * 12 + index + 1, 12)
        found.append(list(range((date(year, index + 1, 1) - EPOCH).days, (date(after, later + 1, 1) - EPOCH).days)))
    return found
