"""The grammar of when a case that nobody has answered is told one level further up."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from policies.language.grammar import RecordKind, Schema, Whole, described
from policies.language.reader import Item
from policies.model.pack import Escalation
from streams.vocabulary.terms import SEVERITIES

ESCALATION_HOURS_MAX: Final = 240  # a month's working hours, and more
_CLOCK: Final = "([01][0-9]|2[0-3]):[0-5][0-9]|24:00"


@dataclass(frozen=True)
class ClockTime:
    """A time of a day as 09:00, up to 24:00; minutes since midnight."""

    doc: str = ""

    def read(self, item: Item) -> int | None:
        """See Kind."""
        text = item.text()
        if text is not None and re.fullmatch(_CLOCK, text) is None:
            item.fail(f"expected a time of a day such as 09:00, not {text!r}")
            return None
        return None if text is None else int(text[:2]) * 60 + int(text[3:])

    def schema(self, defs: Schema) -> Schema:
        """See Kind."""
        return described({"type": "string", "pattern": f"^({_CLOCK})$"}, self.doc)


ESCALATION = RecordKind(
    "escalation",
    Escalation,
    {
        "hours": RecordKind(
            "escalation_hours",
            dict,
            {},
            {name: Whole(1, ESCALATION_HOURS_MAX, "Working hours.") for name in SEVERITIES},
            "Working hours until the next level is told, by severity; a severity that is not named is told to nobody else.",
        ),
    },
    {"opens": ClockTime("The begin of working time, 09:00."), "closes": ClockTime("Its end, 17:00.")},
    "A case that nobody has answered is told one level further up.",
)
