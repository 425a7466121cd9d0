"""Make events as dicts with the field names of the Avro schemas, for twins, examples and random tests."""

from __future__ import annotations

import datetime as dt
from typing import Any
from zoneinfo import ZoneInfo

from tests.twins.definitions import date_of, day_of

ZONE = ZoneInfo("Asia/Shanghai")


def day(text: str) -> int:
    """The day number of an ISO date."""
    return day_of(dt.date.fromisoformat(text))


def instant(day_number: int, clock: str | None = None) -> int:
    """Milliseconds of a time of day in the bank's zone; without one, the last millisecond of the day."""
    if clock is None:
        return instant(day_number + 1, "00:00:00") - 1
    moment = dt.datetime.combine(date_of(day_number), dt.time.fromisoformat(clock), tzinfo=ZONE)
    return int(moment.timestamp()) * 1000


def posting(
    seq: int,
    amount_minor: int,
    value: str | int,
    booked: str | int | None = None,
    *,
    customer: str = "C1",
    account: str = "A1",
    clock: str | None = None,
    **other: Any,
) -> dict[str, Any]:
    """A posting; booked at the end of its value date unless said otherwise."""
    value_day = day(value) if isinstance(value, str) else value
    booked_day = value_day if booked is None else day(booked) if isinstance(booked, str) else booked
    return {
        "topic": "transactions",
        "event_id": f"{customer}-{account}-{other.get('source', 'core')}-{seq}",
        "source": "core",
        "journal_seq": seq,
        "customer_id": customer,
        "account_id": account,
        "asset_class": "deposit_demand",
        "currency": "CNY",
        "amount_minor": amount_minor,
        "value_date": value_day,
        "booked_at": instant(booked_day, clock),
        "nature": "external",
        "customer_initiated": True,
        "branch": "B1",
        "channel": None,
        "counterparty_bank": None,
        "counterparty_ref": None,
        "reverses": None,
        **other,
    }


def snapshot(
    balance_minor: int,
    cutoff: str | int,
    *,
    customer: str = "C1",
    account: str = "A1",
    clock: str | None = None,
    version: int = 1,
    opened: str | int | None = None,
    **other: Any,
) -> dict[str, Any]:
    """A balance snapshot, cut off at the end of its business day unless said otherwise."""
    cutoff_day = day(cutoff) if isinstance(cutoff, str) else cutoff
    cutoff_at = instant(cutoff_day, clock)
    return {
        "topic": "balances",
        "event_id": f"{customer}-{account}-{cutoff_at}-v{version}",
        "source": "nightly",
        "customer_id": customer,
        "account_id": account,
        "asset_class": "deposit_demand",
        "currency": "CNY",
        "balance_minor": balance_minor,
        "cutoff_at": cutoff_at,
        "business_day": cutoff_day,
        "version": version,
        "opened_on": day(opened) if isinstance(opened, str) else opened,
        "branch": "B1",
        **other,
    }


def rate(currency: str, rate_micro: int, date: str | int, version: int = 1, base: str = "CNY") -> dict[str, Any]:
    """An exchange rate: base units per unit of the currency, times 1e6."""
    number = day(date) if isinstance(date, str) else date
    return {
        "topic": "fx-rates",
        "event_id": f"{currency}-{number}-v{version}",
        "currency": currency,
        "base": base,
        "rate_micro": rate_micro,
        "rate_date": number,
        "version": version,
        "source": "treasury",
    }
