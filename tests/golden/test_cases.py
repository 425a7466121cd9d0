"""Outflow cases over what older programs wrote: a pack with cases takes effect behind a recovery from recorded rows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from streams.accounts.entries import HORIZON_DAYS
from streams.vocabulary.terms import OUTFLOW
from tests.golden.bank import activation, pack_text
from tests.golden.engine import CLOSES, Log, Worker, decode_one, encode
from tests.golden.recording import FILES, Recording
from tests.golden.writer import OF_THEN, close
from tests.twins.definitions import date_of
from tests.twins.events import posting

WINDOW_DAYS, EDGE_DAYS = 90, 4  # of the rule below, and how far a window may begin earlier
AMOUNT = 3_000_000_000  # far more than anybody of the bank has moved
CASES = """    cases: {return_days: 15, settle_days: 3, settle_minutes: 30}
    alerts:
      - id: quarter
        name: {zh: 季度流出, en: Outflow of a quarter}
        window_days: 90
        severity: high
        cool_down_days: 30
        absolute: {plain: "25000000.00", silver: "25000000.00", gold: "25000000.00", black: "25000000.00"}
"""


class Onwards:
    """A worker recovered at a recording's first cut, whose input goes on with days of its own."""

    def __init__(self, found: Recording) -> None:
        cut, reached = min(found.states), dict[str, int]()
        for step in found.steps[: cut + 1]:
            reached |= step.fed
        for at, (_, value) in enumerate(found.inputs[CLOSES]):
            closed = decode_one(value)
            ends = {one["topic"]: one["offset"] + 1 for one in closed["cut"]} | {CLOSES: at + 1}
            if all(ends[topic] >= end for topic, end in reached.items()):
                break
        self.day = closed["business_day"]  # the last closed one
        inputs = {topic: records[: ends[topic]] for topic, records in found.inputs.items()}
        self.found = Recording(found.settings, inputs)
        changelog = found.changelog(cut)
        self.worker = Worker.recovered(found.settings, Log(inputs), changelog, contracts=2)

    def lives(self, until: int, *events: dict[str, Any]) -> Iterator[dict[str, Any]]:
        """Events of the next day, then closes up to one; the outflow alerts that they raise."""
        for event in events:
            topic = event["topic"]
            value = encode(OF_THEN.get(topic, topic), {name: part for name, part in event.items() if name != "topic"})
            self.found.inputs[topic].append((str(event.get("customer_id", "")).encode(), value))
        while self.day < until:
            self.day += 1
            close(self.found, self.day)
            self.worker.feed({topic: len(records) for topic, records in self.found.inputs.items()})
            for topic, _, value in self.worker.work()[0]:
                alert = decode_one(value or b"") if topic == "rm-alerts" else {}
                if alert.get("kind") == OUTFLOW and alert["status"] == "raised":
                    yield alert


def leaves(customer: str, on: int) -> list[dict[str, Any]]:
    """Money that comes to a new account of somebody known from another one, and leaves on the same day."""
    mine = {"customer": customer, "account": f"{customer}-new", "value": on}
    return [posting(1, AMOUNT, nature="own_transfer", **mine), posting(2, -AMOUNT, **mine)]


@pytest.mark.slow
@pytest.mark.parametrize("number", sorted(FILES))
def test_cases_say_since_when_flow_is_known(number: int) -> None:
    """Of the 35 days held when the pack took effect; a window that begins later says nothing of it."""
    bank = Onwards(Recording.read(FILES[number]))
    since = bank.day + 2
    text = pack_text("harbour", version=2, effective_from=date_of(since)).replace("    alerts:\n", CASES, 1)
    list(bank.lives(bank.day + 1, activation(text, "personal")))
    known_from = bank.day - HORIZON_DAYS
    [early] = bank.lives(since, *leaves("P01", since))
    assert (early["rule"], early["customer_id"], early["flow_since"]) == ("quarter", "P01", known_from)
    young = known_from + WINDOW_DAYS + EDGE_DAYS
    list(bank.lives(young - 1))
    [late] = bank.lives(young, *leaves("P02", young))
    assert (late["customer_id"], late["flow_since"]) == ("P02", None)
