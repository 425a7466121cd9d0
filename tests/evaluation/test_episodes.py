"""Which postings take a leaver's money out, each case worked out by hand."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import pytest

from connectors.formats.events import Event
from connectors.labelled import Label
from connectors.labelled.labels import LEAVER
from tests.evaluation.test_score import at
from tidegauge.cli.alerts.scores import CHART_COLUMNS, CHART_ROWS, chart
from tidegauge.evaluation.episodes import RateBook, episodes
from tidegauge.evaluation.steps import scored_step

ZONE, DAY = "Asia/Shanghai", 20_454


def posting(event_id: str, when: int, amount: int, **more: Any) -> Event:
    record = {
        "event_id": event_id, "customer_id": "L", "account_id": "A", "currency": "CNY", "amount_minor": amount, "booked_at": when,
        "nature": "external", "counterparty_bank": None, "reverses": None,
    } | more  # fmt: skip
    return Event(DAY, "transactions", record)


def rate(day: int, micro: int, version: int = 1) -> Event:
    return Event(day, "fx-rates", {"currency": "USD", "rate_date": day, "rate_micro": micro, "version": version})


@pytest.mark.parametrize(
    ("events", "found"),
    [
        ([posting("a", at(1), -500)], ["a"]),
        ([posting("a", at(1), 500), posting("b", at(1), -500, nature="own_transfer")], []),
        ([posting("a", at(1), -500), posting("b", at(2), 500, reverses="a")], []),
        ([posting("a", at(1), -9), posting("b", at(2), -10)], ["b"]),  # a hundredth of the amount at least
        ([posting("a", at(0) - 1, -500), posting("b", at(5), -500)], []),  # outside of its days
        ([posting("a", at(1), -500, nature="unknown")], ["a"]),
        ([posting("a", at(1), -500, nature="unknown"), posting("b", at(1, 60), 500, nature="unknown", account_id="B")], []),
        ([posting("a", at(1), -500, nature="unknown"), posting("b", at(1, 61), 500, nature="unknown", account_id="B")], ["a"]),
        ([posting("a", at(1), -500, nature="unknown", counterparty_bank="X"),
          posting("b", at(1), 500, nature="unknown", account_id="B")], ["a"]),
        ([rate(DAY, 7_100_000), posting("a", at(1), -100, currency="USD")], ["a"]),
    ],
)  # fmt: skip
def test_what_leaves(events: list[Event], found: list[str]) -> None:
    """By nature, reversal, size, days and the other leg."""
    label = Label("L", "steps", DAY, DAY + 4, 1000, DAY + 4, LEAVER)
    (episode,) = episodes([label], events, "CNY", ZONE)
    assert [debit.event_id for debit in episode.debits] == found


def test_rates_are_those_of_the_last_day_in_the_highest_version() -> None:
    """On a weekend the one before; before the first there is none."""
    rates = RateBook([rate(10, 7_000_000), rate(10, 7_100_000, 2), rate(13, 7_200_000)], "CNY")
    assert [rates.worth(1_001, "USD", day) for day in (9, 10, 12, 13, 99)] == [0, 7_107, 7_107, 7_207, 7_207]
    assert rates.worth(1_001, "CNY", 1) == 1_001


def test_a_curve_is_drawn_from_zero() -> None:
    """The best point stands at the top left; points that fall together are one star."""
    lines = chart([Fraction(0), Fraction(10), Fraction(10)], [Fraction(1), Fraction(1, 2), Fraction(1, 2)])
    assert lines[0] == f"{'100.0 %':>8} │a{' ' * CHART_COLUMNS}"
    assert lines[CHART_ROWS // 2][-1] == "*"
    assert lines[-1].endswith("10.00")


def test_steps_are_read_out_of_alerts() -> None:
    """A posting's at its booking, a close's at the end of its day."""
    alert = {
        "alert_id": "x", "customer_id": "L", "kind": "outflow", "status": "raised", "severity": "high", "raised_day": DAY,
        "outflow_minor": 5, "reference_aum_minor": 9, "rule": "r", "rm_id": None, "caused_by": "p1",
    }  # fmt: skip
    assert scored_step(alert, {"p1": 77}, ZONE).at == 77
    by_close = scored_step(alert | {"kind": "upgrade_near", "caused_by": "close/2026-01-01"}, {}, ZONE)
    assert (by_close.at, by_close.day, by_close.provisional) == (at(1) - 1, DAY, False)
    case = alert | {"provisional": True, "gross_minor": 8}
    live = scored_step(case, {"p1": at(2) + 7}, ZONE)
    assert (live.day, live.provisional, live.gross_out_minor, live.net_out_minor) == (DAY + 2, True, 8, 5)
    settled = scored_step(
        case | {"provisional": False, "caused_by": "close/2026-01-01/2", "status": "corrected"}, {}, ZONE
    )
    assert (settled.at, settled.day, settled.provisional, settled.step) == (at(1) - 1, DAY, False, "corrected")
    act = scored_step(case | {"caused_by": "an act"}, {}, ZONE)
    assert (act.at, act.day) == (at(1) - 1, DAY)
