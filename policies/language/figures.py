"""The grammar of the figures that a pack declares: facts of the bank's own, flows out of postings, and measures."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from policies.language.criteria import TermKind
from policies.language.grammar import IDENTIFIER, NAME, Choice, Many, RecordKind, Schema, Table, Text, Whole
from policies.language.reader import Fields, Item
from policies.model import metrics
from policies.model.figures import DIRECTIONS, FLOW_VALUES, FLOWS_MAX, Figures, Flow, PackMeasure
from policies.model.provisions import OwnFact
from streams.vocabulary.terms import NATURES

FACT_KINDS = ("money", "count", "flag", "text")
TEXTS_MAX, TERMS_MAX, MEASURES_MAX = 32, 16, 16
NAME_CHARS_MAX = 60
LISTED_MAX = 16  # natures, channels or counterparties of a flow
ABSENT_DOC = "Stands in where none was sent: whole units of money, a count, 0 and 1 of a flag, or one of the texts."


@dataclass(frozen=True)
class AbsentKind:
    """A whole number, or a text where the fact is one; the fact's check says which."""

    def read(self, item: Item) -> int | str | None:
        """See Kind."""
        written = item.text()
        if written is None or not written.isdecimal():
            return written
        return item.integer()

    def schema(self, defs: Schema) -> Schema:
        """See Kind."""
        return {"anyOf": [Whole().schema(defs), {"type": "string", "minLength": 1}], "description": ABSENT_DOC}


def _check_fact(item: Item, fact: OwnFact) -> None:
    """A flag is there or not, a text is one of some, and only what is of a day lapses."""
    given = dict(item.entries())
    if fact.kind == "text":
        if not fact.values:
            item.fail("a text needs its values: values: [basic, premium]")
        elif "absent" in given and str(fact.absent) not in fact.values:
            given["absent"].fail(f"{fact.absent} is none of its values")
        return
    if fact.values:
        given["values"].fail(f"only a text has values, and the fact is a {fact.kind}")
    if isinstance(fact.absent, str):
        given["absent"].fail(f"expected a plain whole number, not {fact.absent!r}")
    elif fact.kind == "flag" and fact.absent > 1:
        item.fail_if_new(f"absent: {fact.absent} is neither 0 nor 1, as a flag is")


def _own_fact(kind: str, absent: int | str | None = None, **others: Any) -> OwnFact:
    """A text has no stand-in unless one is given, and then it is a text."""
    if kind == "text":
        return OwnFact(kind, 0 if absent is None else str(absent), **others)
    return OwnFact(kind, 0 if absent is None else absent, **others)


OWN_FACT = RecordKind(
    "fact",
    _own_fact,
    {"kind": Choice(FACT_KINDS)},
    {
        "absent": AbsentKind(),
        "name": NAME,
        "values": Many(Text(), "Of a text: all that it can be; any other goes to the dead letters.", TEXTS_MAX),
        "valid_days": Whole(1, 3660, "Days after its own through which it counts; then it is as if none was sent."),
    },
    "A figure that the bank's systems send.",
    _check_fact,
)
OWN_FLOW = RecordKind(
    "flow",
    Flow,
    {"direction": Choice(DIRECTIONS, "in: amounts above 0; out: below 0, as a positive sum.")},
    {
        "value": Choice(FLOW_VALUES, "The sum of the amounts, or how many postings."),
        "natures": Many(Choice(NATURES), "Any unless given.", LISTED_MAX),
        "channels": Many(Text(), "Any unless given.", LISTED_MAX),
        "counterparties": Many(Text(), "Their bank or reference; any unless given.", LISTED_MAX),
        "name": NAME,
    },
    "What comes in or goes out by month of booking.",
)
MEASURE = RecordKind(
    "measure",
    lambda **given: PackMeasure(given["sum"], given.get("name")),
    {"sum": Many(TermKind(), "Its parts, each a metric times a weight.", TERMS_MAX)},
    {"name": NAME},
    "A weighted sum: a plain number, in which money counts in whole units.",
)


FACT_TABLE = Table(OWN_FACT, "Figures of the bank's own that criteria may name.")
FLOW_TABLE = Table(OWN_FLOW, "Monthly series out of postings.", most=FLOWS_MAX)
MEASURE_TABLE = Table(MEASURE, "Weighted sums that criteria may name like a metric.", most=MEASURES_MAX)


def read_figures(fields: Fields, values: dict[str, Any]) -> None:
    """Reads the measures into `values`, once what they are made of is known, and checks the names of all figures."""
    item = fields.get("measures")
    names = [name for name, _ in item.entries()] if item is not None and item.is_mapping() else []
    facts, flows = values.get("facts") or {}, values.get("flows") or {}
    root = next(iter(fields.members.values()))
    root.found.figures = Figures(facts, flows, {name: PackMeasure(()) for name in names})
    if item is not None:
        values["measures"] = found = MEASURE_TABLE.read(item) or {}
        _check_cycles(item, found)
    for kind, others, taken in (("facts", (), facts), ("flows", facts, flows), ("measures", {**facts, **flows}, names)):
        for name in taken:
            if metrics.kind(name) is not None or name in (*metrics.ALIASES, metrics.MONTH_AVGS):
                fields.members[kind].fail(f"{name} is a metric already")
            elif name in others:
                fields.members[kind].fail(f"{name} is given twice")
            elif kind != "facts" and (len(name) > NAME_CHARS_MAX or not re.fullmatch(IDENTIFIER, name)):
                fields.members[kind].fail(f"{name!r} is no lower-case name of at most {NAME_CHARS_MAX} characters")


def _check_cycles(item: Item, measures: Mapping[str, PackMeasure]) -> None:
    """A measure is not made of itself."""
    members = dict(item.entries())

    def reaches(name: str, seen: tuple[str, ...]) -> tuple[str, ...] | None:
        if name in seen:
            return (*seen[seen.index(name) :], name)
        below = measures[name].terms if name in measures else ()
        found = (reaches(term.metric, (*seen, name)) for term in below if term.metric in measures)
        return next((way for way in found if way is not None), None)

    for name in measures:
        way = reaches(name, ())
        if way is not None and way[0] == name:
            members[name].fail(f"is made of itself: {' → '.join(way)}")
