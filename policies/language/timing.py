"""The grammar of when tiers are decided and taken: evaluation, and the veto."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from policies.language.criteria import CRITERION
from policies.language.grammar import Choice, RecordKind, Schema, Table, Whole, described
from policies.language.reader import Item
from policies.language.sections import TIERS_MAX
from policies.model.pack import (
    AT_CLOSE,
    CHANGE_CLOSES,
    EVALUATION_CLOSES,
    ON_REQUEST,
    RESTATEMENTS,
    VETO_TIMES,
    Evaluation,
)
from policies.model.terms import Criterion

EITHER_WAY: Final = ("upgrades", "downgrades")


def _evaluation(close: str, upgrades: str = "", downgrades: str = "", **others: Any) -> Evaluation:
    return Evaluation(close, upgrades or close, downgrades or close, **others)


@dataclass(frozen=True)
class EachWay:
    """One value for upgrades and downgrades, or one for each that is named."""

    kind: Whole
    doc: str = ""

    def read(self, item: Item) -> dict[str, int] | None:
        """See Kind."""
        if item.is_mapping():
            item.found.known["ways"] = EITHER_WAY
            return Table(self.kind, of="ways").read(item)
        value = self.kind.read(item)
        return None if value is None else dict.fromkeys(EITHER_WAY, value)

    def schema(self, defs: Schema) -> Schema:
        """See Kind."""
        one = self.kind.schema(defs)
        ways = {
            "type": "object",
            "additionalProperties": False,
            "minProperties": 1,
            "properties": dict.fromkeys(EITHER_WAY, one),
        }
        return described({"anyOf": [one, ways]}, self.doc)


VETO_AT = Choice(VETO_TIMES, "close: at the next close of downgrades; once: at the next day close.")


@dataclass(frozen=True)
class VetoKind:
    """Who has the lowest tier whatever else holds: a criterion, or one with the close at which it takes the tier."""

    def read(self, item: Item) -> tuple[Criterion, str] | None:
        """See Kind."""
        if not item.is_mapping() or "when" not in {key for key, _ in item.entries()}:
            found = CRITERION.read(item)
            return None if found is None else (found, AT_CLOSE)
        fields = item.fields(("when",), ("at",))
        when = fields.members.get("when")
        at = fields.members["at"].choice(VETO_TIMES) if "at" in fields.members else AT_CLOSE
        found = None if when is None else CRITERION.read(when)
        return None if found is None or at is None else (found, at)

    def schema(self, defs: Schema) -> Schema:
        """See Kind."""
        timed = RecordKind("veto", dict, {"when": CRITERION}, {"at": VETO_AT}, "A veto, and when it takes the tier.")
        return {"anyOf": [CRITERION.schema(defs), timed.schema(defs)]}


WHEN = Choice(
    (*CHANGE_CLOSES, *ON_REQUEST), "A close (the same unless given), on application, or when the review is due."
)
EVALUATION = RecordKind(
    "evaluation",
    _evaluation,
    {
        "close": Choice(
            EVALUATION_CLOSES,
            "The close that decides, in force from the next day; continuous: events decide too, at once.",
        )
    },
    {
        "upgrades": WHEN,
        "downgrades": WHEN,
        "grace_months": Whole(0, 36, "Month closes below the standard that change nothing (N-02)."),
        "restatement": Choice(RESTATEMENTS, "What a restated close does to the tier."),
        "keep_months": Whole(1, 120, "Months from a rise in which no standard takes the tier."),
        "steps": Whole(1, TIERS_MAX, "Ranks that one close takes at most."),
        "exempt_months": Whole(1, 120, "Months from the begin of the relation in which no standard takes a tier."),
        "fall_notice_days": Whole(1, 366, "Days between the close that decides a fall, which is told, and the fall."),
        "effective_business_days": EachWay(
            Whole(1, 60), "A change holds from this business day after its close; one for all, or by direction."
        ),
    },
    "When tiers are decided and take effect.",
)
