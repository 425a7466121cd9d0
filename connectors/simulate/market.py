"""Exchange rates of the simulated bank: published on weekdays, one of them corrected later by a second version."""

import random
from collections.abc import Iterator
from typing import Final

from connectors.formats.events import Event, Record
from connectors.simulate.people import BASE_CURRENCY
from streams.money import exponent

OPENING_MICRO: Final = {"USD": 7_120_000, "EUR": 7_810_000, "JPY": 48_150}  # CNY for one unit, millionths
MICRO: Final = 1_000_000
HISTORY_DAYS: Final = 140  # rates from before the first day, to value what was held then
STEP_MAX: Final = 40  # a day's move in ten-thousandths
WEEK: Final = 7
MONDAY_SHIFT: Final = 3  # 1970-01-01 was a Thursday


def is_weekday(day: int) -> bool:
    """Monday to Friday."""
    return (day + MONDAY_SHIFT) % WEEK < 5


def _minor_units(currency: str) -> int:
    """Minor units of one unit."""
    units: int = 10 ** exponent(currency)
    return units


class Market:
    """Today's rates. Seeded; the same calls give the same rates."""

    def __init__(self, rng: random.Random, start: int) -> None:
        self._rng = rng
        self._start = start
        self._micro = dict(OPENING_MICRO)
        self._published: dict[tuple[str, int], int] = {}

    def open(self) -> Iterator[Event]:
        """The rates of the days before the first one; all of them arrive on the first."""
        for day in range(self._start - HISTORY_DAYS, self._start):
            yield from (event._replace(day=self._start) for event in self.publish(day))

    def publish(self, day: int) -> Iterator[Event]:
        """A day's rates; none on a weekend."""
        if not is_weekday(day):
            return
        for currency in self._micro:
            step = self._micro[currency] * self._rng.randint(-STEP_MAX, STEP_MAX) // 10_000
            self._micro[currency] += step
            self._published[currency, day] = self._micro[currency]
            yield Event(day, "fx-rates", self._record(currency, day, self._micro[currency], 1))

    def correct(self, currency: str, day: int, arrives: int) -> Event:
        """A second version of a rate: the first was a third of a per cent too low."""
        micro = self._published[currency, day] * 1003 // 1000
        return Event(arrives, "fx-rates", self._record(currency, day, micro, 2))

    def _record(self, currency: str, day: int, micro: int, version: int) -> Record:
        return {
            "event_id": f"fx-{currency}-{day}-{version}",
            "currency": currency,
            "base": BASE_CURRENCY,
            "rate_micro": micro,
            "rate_date": day,
            "version": version,
            "source": "treasury",
        }

    def bought(self, base_minor: int, currency: str) -> int:
        """Minor units of a currency for base minor units at today's rate, rounded down."""
        return base_minor * MICRO * _minor_units(currency) // (self._micro[currency] * _minor_units(BASE_CURRENCY))

    def worth(self, minor: int, currency: str) -> int:
        """Base minor units for minor units of a currency at today's rate, rounded down."""
        if currency == BASE_CURRENCY:
            return minor
        return minor * self._micro[currency] * _minor_units(BASE_CURRENCY) // (MICRO * _minor_units(currency))
