"""The canonical files' fields, topic by topic, and how a row of them becomes a record. docs/formats.md explains them.

A row is a dict of what the file gave: names as in the Avro contracts, except that money may stand as a decimal `amount`
(`balance`, `rate`) instead of minor units, and that `arrives` may say on which business day the line arrived.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final, NamedTuple

from connectors.formats import fields
from connectors.formats.events import Event, Record
from connectors.formats.fields import FieldError
from connectors.formats.json_text import read_json
from streams.calendar import date_of
from streams.vocabulary.terms import CUSTOMER_CLASSES, NATURES, PERSONAL

ARRIVES: Final = "arrives"
REQUIRED: Final = object()

Parser = Callable[[str, Any], Any]


class FileField(NamedTuple):
    """A field of a topic: its name, its parser, and what stands for it when the file leaves it out."""

    name: str
    parse: Parser
    default: Any = REQUIRED


class Money(NamedTuple):
    """A number that a file gives either scaled (`minor`) or as decimal text (`decimal`), never both."""

    minor: str
    decimal: str


def details(field: str, value: object) -> dict[str, str]:
    """A map of text to text; in CSV as JSON."""
    if isinstance(value, str):
        try:
            value = read_json(value)
        except ValueError as problem:
            raise FieldError(field, f"is no JSON object: {problem}") from None
    if not isinstance(value, dict):
        raise FieldError(field, "is no object of texts")
    return {fields.text(field, name): fields.text(field, word) for name, word in value.items()}


nature = partial(fields.one_of, allowed=NATURES)
customer_class = partial(fields.one_of, allowed=CUSTOMER_CLASSES)

_ACCOUNT = (
    FileField("source", fields.text),
    FileField("customer_id", fields.text),
    FileField("account_id", fields.text),
    FileField("asset_class", fields.text, "deposit_demand"),
    FileField("currency", fields.text),
    FileField("branch", fields.text),
)
# What stands in `Money` and `instants` is read after these, as it needs the currency or the zone.
FIELDS: Final[dict[str, tuple[FileField, ...]]] = {
    "transactions": (
        FileField("event_id", fields.text),
        *_ACCOUNT,
        FileField("journal_seq", fields.integer, None),
        FileField("value_date", fields.calendar_date),
        FileField("nature", nature, "unknown"),
        FileField("customer_initiated", fields.boolean, False),
        FileField("channel", fields.text, None),
        FileField("counterparty_bank", fields.text, None),
        FileField("counterparty_ref", fields.text, None),
        FileField("reverses", fields.text, None),
    ),
    "balances": (
        FileField("event_id", fields.text),
        *_ACCOUNT,
        FileField("business_day", fields.calendar_date),
        FileField("version", fields.integer, 1),
        FileField("opened_on", fields.calendar_date, None),
    ),
    "customers": (
        FileField("event_id", fields.text),
        FileField("customer_id", fields.text),
        FileField("customer_class", customer_class, PERSONAL),
        FileField("branch", fields.text),
        FileField("rm_id", fields.text, None),
        FileField("relationship_since", fields.calendar_date, None),
        FileField("birth_date", fields.calendar_date, None),
        FileField("card_held", fields.text, None),
    ),
    "facts": (
        FileField("event_id", fields.text),
        FileField("customer_id", fields.text),
        FileField("name", fields.text),
        FileField("value", fields.integer),
        FileField("as_of", fields.calendar_date),
        FileField("source", fields.text),
        FileField("text", fields.text, None),
    ),
    "fx-rates": (
        FileField("event_id", fields.text),
        FileField("currency", fields.text),
        FileField("base", fields.text),
        FileField("rate_date", fields.calendar_date),
        FileField("version", fields.integer, 1),
        FileField("source", fields.text),
    ),
    "policies": (
        FileField("pack_id", fields.text),
        FileField("version", fields.integer),
        FileField("effective_from", fields.calendar_date),
        FileField("body", fields.text),
        FileField("customer_class", fields.text, PERSONAL),
        FileField("retracted", fields.boolean, False),
    ),
    "crm-actions": (
        FileField("event_id", fields.text),
        FileField("customer_id", fields.text),
        FileField("action", fields.text),
        FileField("requested_by", fields.text),
        FileField("approved_by", fields.text, None),
        FileField("expires_on", fields.calendar_date, None),
        FileField("details", details, {}),
    ),
}
MONEY: Final = {
    "transactions": Money("amount_minor", "amount"),
    "balances": Money("balance_minor", "balance"),
    "fx-rates": Money("rate_micro", "rate"),
}
INSTANTS: Final = {"transactions": "booked_at", "balances": "cutoff_at", "crm-actions": "at"}
ARRIVAL_DAY: Final = {
    "balances": "business_day",
    "facts": "as_of",
    "fx-rates": "rate_date",
    "policies": "effective_from",
}


def name_in_row(topic: str, name: str, row: Mapping[str, Any]) -> str:
    """A field of the contract by the name that the row has for it."""
    money = MONEY.get(topic)
    return money.decimal if money is not None and name == money.minor and row.get(name) is None else name


def row_fields(topic: str) -> frozenset[str]:
    """Every field name that a row of the topic may have."""
    found = {field.name for field in FIELDS[topic]} | {ARRIVES}
    return frozenset(found | set(MONEY.get(topic, ())) | ({INSTANTS[topic]} if topic in INSTANTS else set()))


_NAMES: Final = {topic: row_fields(topic) for topic in FIELDS}


def event(topic: str, row: Mapping[str, Any], zone: str) -> Event:
    """The event of a row, or FieldError. Absent and null are the same; a name that the topic doesn't have is refused.

    A posting without `journal_seq` gets None for it: `ranks` fills it in. The day of a profile without `arrives` is 0,
    so that it arrives before everything else.
    """
    if not _NAMES[topic].issuperset(row):
        unknown = min(set(row) - _NAMES[topic])
        raise FieldError(unknown, f"is no field of {topic}")
    record: Record = {}
    for name, parse, default in FIELDS[topic]:
        value = row.get(name)
        if value is not None:
            record[name] = parse(name, value)
        elif default is REQUIRED:
            raise FieldError(name, "is missing")
        else:
            record[name] = default
    if record.get("text", "") is None:  # of a fact that is a number: versions of the contract before have no such field
        del record["text"]
    if topic in INSTANTS:
        record[INSTANTS[topic]] = fields.instant(INSTANTS[topic], _required(row, INSTANTS[topic]), zone)
    if topic in MONEY:
        record[MONEY[topic].minor] = _scaled(topic, row, record)
    return Event(_arrival(topic, row, record, zone), topic, record)


def _required(row: Mapping[str, Any], name: str) -> Any:
    value = row.get(name)
    if value is None:
        raise FieldError(name, "is missing")
    return value


def _scaled(topic: str, row: Mapping[str, Any], record: Record) -> int:
    """The number of the row in minor units (rates: millionths), from whichever of the two fields it has."""
    minor, decimal = MONEY[topic]
    given = row.get(minor)
    if given is None:
        text = _required(row, decimal)
        return (
            fields.rate_decimal(decimal, text)
            if topic == "fx-rates"
            else fields.money(decimal, text, record["currency"])
        )
    if row.get(decimal) is not None:
        raise FieldError(decimal, f"stands beside {minor}: give one of them")
    return fields.integer(minor, given)


def _arrival(topic: str, row: Mapping[str, Any], record: Record, zone: str) -> int:
    """The business day on which the event arrives; never before its own day."""
    if topic in ARRIVAL_DAY:
        own = int(record[ARRIVAL_DAY[topic]])
    elif topic in INSTANTS:
        own = fields.day_at(record[INSTANTS[topic]], zone)
    else:
        own = 0
    given = row.get(ARRIVES)
    if given is None:
        return own
    arrives = fields.business_date(ARRIVES, given)
    if arrives < own and topic in INSTANTS:
        raise FieldError(ARRIVES, f"{date_of(arrives)} is before the event's own day {date_of(own)}")
    return arrives
