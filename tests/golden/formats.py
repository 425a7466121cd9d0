"""The formats of changelog rows: every kind, its key and its value, fields in order. This table is frozen.

A changelog outlives the program that wrote it. So a row that is written in another form than the one here needs another
`state_format`, an upgrade in the job, a table that says so, and a recording of its own (README.md).

A form is a type; a tuple (a list of exactly these); a list (any number of these); a mapping (an object with these names in
this order, `?` behind one that may be missing); Each (an object with names of its own); Or (one of some forms).
"""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from typing import Any, NamedTuple


class Each(NamedTuple):
    """An object with names of its own."""

    form: Any


class Or(NamedTuple):
    """One of two forms."""

    one: Any
    other: Any


def maybe(form: Any) -> Or:
    """A form, or nothing."""
    return Or(form, None)


ID = str  # of a customer, an account, a branch, a person, a pack's tier or rule, an event
DAY = int  # days since 1970-01-01
MONTH = int  # months since the year 0

CARD = (ID, DAY, maybe(DAY), str)  # card, issued, last day, issued / held / lost
REQUEST = (ID, ID, str, maybe(ID))  # card, by, role, approved by
GRANT = (maybe(ID), str, ID, maybe(ID), maybe(DAY))  # tier, kind, requested by, approved by, last day
BESIDE = (maybe(ID), [ID], maybe(DAY))  # card that the profile names, events seen, last closed day when one came
STATE = {
    "official": ID, "measured": ID, "records": [str], "card?": CARD, "request?": REQUEST, "grant?": GRANT, "below?": int,
    "reviewed_on?": DAY, "pinned_version?": int, "deferred?": DAY, "standing?": str, "staff_card?": bool,
    "renewal_said?": DAY, "review_said?": DAY, "beside": BESIDE,
}  # fmt: skip
# Layers in force from (newest first), the one that the criteria give, closes below it, a state as above.
LAYER_STATE = {"official": ID, "measured": ID, "records": [str], "below?": int, "deferred?": DAY, "beside": BESIDE}
LAYER = ([(ID, DAY)], maybe(ID), int, maybe(LAYER_STATE))
NEVER = {
    "y.3.records.*", "y.3.beside.0", "y.3.beside.1.*", "y.3.beside.2",  # no act and no card moves a layer
    # The recording's records have no append time.
    "@fence.1.for_closer.booked", "@fence.1.for_closer.calendar",
    "@fence.1.for_closer.calendar.*", "@fence.1.for_closer.sources.*",
}  # fmt: skip
# Its bank never changes the reference key.
NEVER |= {"@fence.1.alert_key", "r.key", "r.previous", "r.retired", "r.after", "r.done"}
OUTLOOK_ALERT = (DAY, DAY, ID, int, int)  # raised, tier lost, tier, shift, 1 stands or 2 over
OUTFLOW_ALERT = (ID, str, DAY, int)  # rule, alert, raised, outflow in minor units
# Tiers in force from (newest first), class 0 or 1, queue class published + 1, branch, manager, card, alerts.
PROFILE = ([(ID, DAY)], int, int, maybe(ID), maybe(ID), maybe(ID), maybe({"a": [OUTFLOW_ALERT]}))
# State, opening day, start, net, peak, its day, net as told, severity, reference, rules as bits, gross, end of the last
# case, number; rules.
CASE = (*((int,) * 13), [ID])
CASES = {"a": CASE, "t": CASE, "id": ID}  # as of the last settled day, as told, its id
# Id, kind, step told last, its day, gross, attention, end of a snooze, owner by hand-over, level.
CARE = (ID, str, ID, DAY, int, str, maybe(DAY), maybe(ID), int)
CASE_DESK = {"open": [CARE], "ended": [ID], "seen": [ID], "resolved": [DAY]}
# By rule: raised, day that comes, amount, whether open. By account and instant: day, amount.
STATE_ALERTS = {"alerts": Each((DAY, DAY, int, bool)), "breaks": Each((DAY, int))}
OUTLOOK = (DAY, int, int, int)  # tier lost, tiers that cannot be reached as bits, shift, 1 while a rate is missing
DELTA = 2  # the kind of an adjusting entry
# kind | nature << 3, booked, amount, day, print, extra, flags. Of flow (kind 7) nature 1 has two days: what moved on `day` is
# `amount`, on `extra` `booked`, below 0 out. Nature 0, which is read, has one: what went out is `amount`, what came in `booked`.
ENTRY = (int, int, int, int, int, int, int)
ACCOUNT = {
    "customer": ID, "asset_class": int, "currency": int, "snapshots_and_partial": int, "base": int, "posted": int,
    "journal_source": int, "journal_high": int, "journal_width": int, "rolled": MONTH, "first_day": DAY, "touched": DAY,
    "folded": DAY, "sums": (int,) * 16, "entries": [ENTRY],
}  # fmt: skip
FENCE = (
    {"format": int, "offsets": Each(int)},
    {"reference_key": str, "alert_key?": str, "base_currency": str, "zone": str, "pack": str, "layers": maybe(str), "closed": DAY,
     "rates": [(int, DAY, int, int, ID)],  # currency, day, millionths, version, event
     "for_closer?": {"booked": DAY, "calendar": Each(bool), "sources": [str]}},  # once a posting's day is known
)  # fmt: skip


class Kind(NamedTuple):
    """A kind of row: what its key has behind the first byte, how its value is read, its form."""

    key: str
    read: Callable[[bytes], Any]
    form: Any


def varint(raw: bytes, at: int) -> tuple[int, int]:
    """A zigzag varint: (number, next position)."""
    number = shift = 0
    while True:
        byte, at = raw[at], at + 1
        number |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            return (number >> 1) ^ -(number & 1), at


def account(raw: bytes) -> dict[str, Any]:
    """An account row: varints, each entry's instant and day as the difference to the one before."""
    size, at = varint(raw, 0)
    row: dict[str, Any] = {"customer": raw[at : at + size].decode()}
    at += size
    numbers = []
    while at < len(raw):
        number, at = varint(raw, at)
        numbers.append(number)
    assert at == len(raw)
    names = list(ACCOUNT)[1:13]
    row |= dict(zip(names, numbers[:12], strict=True))
    row["sums"], count, entries = numbers[12:28], numbers[28], numbers[29:]
    assert len(entries) == 7 * count
    row["entries"] = [entries[i : i + 7] for i in range(0, len(entries), 7)]
    return row


def order_free(raw: bytes) -> dict[str, Any]:
    """What an account row means. Entries may stand in the order of another interleaving of the topics: a recovery reads one
    topic after the other. Then a snapshot may have needed an adjusting entry for a moment, of which 0 is left.
    """
    row, entries, booked, day = account(raw), list[tuple[int, ...]](), 0, 0
    for what, since, amount, days, *rest in row["entries"]:
        booked, day = booked + since, day + days
        entries.append((what, booked, amount, day, *rest))
    row["entries"] = sorted(entry for entry in entries if (entry[0], entry[2], *entry[4:]) != (DELTA, 0, 0, 0, 0))
    return row


def profile(raw: bytes) -> list[Any]:
    """A customer's row: varints and texts as length + 1 and bytes, 0 for none; behind them JSON or nothing."""
    at = 0

    def number() -> int:
        nonlocal at
        found, at = varint(raw, at)
        return found

    def text() -> str | None:
        nonlocal at
        size = number()
        found = None if size == 0 else raw[at : at + size - 1].decode()
        at += max(size - 1, 0)
        return found

    tiers = [[text(), number()] for _ in range(number())]
    row: list[Any] = [tiers, number(), number(), text(), text(), text()]
    return [*row, json.loads(raw[at:]) if at < len(raw) else None]


def state(raw: bytes) -> Any:
    """A state. No records stand in front of `beside`: at their place they are where there are some."""
    row = json.loads(raw)
    if row["records"] == []:
        names = list(row)
        assert names.index("records") == names.index("beside") - 1
        row = {name: row[name] for name in sorted(row, key=lambda name: ORDER[name])}
    return row


ORDER = {name.rstrip("?"): place for place, name in enumerate(STATE)}


def layer(raw: bytes) -> Any:
    """A layer's row: the state within it is text."""
    *row, own = json.loads(raw)
    return [*row, None if own is None else state(own.encode())]


def fact(raw: bytes) -> list[Any]:
    """Value, day and event; of a source the day alone, of a day of the calendar 0 or 1."""
    number, *rest = raw.decode().split(" ", 2)
    return [int(number)] if not rest else [int(number), int(rest[0]), rest[1]]


def fence(raw: bytes) -> list[Any]:
    """Two lines of JSON."""
    return [json.loads(line) for line in raw.split(b"\n")]


def text_of(raw: bytes) -> str:
    """A pack's YAML."""
    return raw.decode()


KINDS = {
    b"a": Kind("account", account, ACCOUNT),
    b"c": Kind("customer", profile, PROFILE),
    b"d": Kind("customer", lambda raw: [int(part) for part in raw.split()], (DAY, DAY)),  # since, born; -2**31: unknown
    b"f": Kind("name/customer, source_complete/source, bank_open/day", fact, Or((int, DAY, ID), (int,))),
    b"k": Kind("place in the book of packs, six digits", text_of, str),
    b"l": Kind("customer", state, STATE),
    b"n": Kind("", json.loads, {"classes": [str], "sources": [str], "banks": [str]}),
    b"o": Kind("customer", lambda raw: list(struct.unpack("<iIbB", raw)), OUTLOOK),
    b"p": Kind("", json.loads, {"closed": DAY, "first_month": Each(MONTH)}),  # by class, or class@branch
    b"q": Kind("customer", json.loads, CASES),
    b"r": Kind("", json.loads, {"key": str, "previous": str, "retired": bool, "after": ID, "done": bool}),
    b"t": Kind("customer", json.loads, [(DAY, int)]),
    b"u": Kind("customer", json.loads, CASE_DESK),
    b"v": Kind("customer", json.loads, STATE_ALERTS),
    b"w": Kind("customer", json.loads, Each(OUTLOOK_ALERT)),
    b"y": Kind("customer", layer, LAYER),
    b"@fence": Kind("", fence, FENCE),
    b"@format-3": Kind("", lambda raw: int(raw.decode()), int),  # ahead of all rows of the format; format 2 had none
    b"@commit": Kind("", json.loads, Each(int)),
}


def kind_of(key: bytes) -> bytes:
    """The key of KINDS of a row."""
    return key if key.startswith(b"@") else key[:1]


def misfits(value: Any, form: Any, place: str, seen: set[str]) -> list[str]:
    """Where a value does not have the form. `seen` gathers the parts that were there."""
    if isinstance(form, Or):
        mine: set[str] = set()
        if form.other is not None and not misfits(value, form.other, place, mine):
            seen |= mine
            return []
        return [] if value is form.other is None else misfits(value, form.one, place, seen)
    if form is None or isinstance(form, type):
        right = value is None if form is None else type(value) is form
        seen.add(place)
        return [] if right else [f"{place}: {value!r} is no {form}"]
    if isinstance(form, Each):
        seen.add(place)
        return [one for part in value.values() for one in misfits(part, form.form, f"{place}.*", seen)]
    if isinstance(form, dict):
        names = [name.rstrip("?") for name in form if not name.endswith("?") or name.rstrip("?") in value]
        if type(value) is not dict or list(value) != names:
            return [f"{place}: {value!r} has not the names {names}"]
        return [
            one for name, part in form.items() if name.rstrip("?") in value
            for one in misfits(value[name.rstrip("?")], part, f"{place}.{name.rstrip('?')}", seen)
        ]  # fmt: skip
    many = form if isinstance(form, tuple) else form * len(value)
    if type(value) is not list or len(value) != len(many):
        return [f"{place}: {value!r} has not {len(many)} parts"]
    marks = range(len(many)) if isinstance(form, tuple) else ["*"] * len(many)
    return [
        one for part, part_form, mark in zip(value, many, marks, strict=True)
        for one in misfits(part, part_form, f"{place}.{mark}", seen)
    ]  # fmt: skip


def parts(form: Any, place: str) -> set[str]:
    """All places of a form that a row may have."""
    if isinstance(form, Or):
        return parts(form.one, place) | (set() if form.other is None else parts(form.other, place))
    if form is None or isinstance(form, type):
        return {place}
    if isinstance(form, Each):
        return {place} | parts(form.form, f"{place}.*")
    if isinstance(form, dict):
        return {one for name, part in form.items() for one in parts(part, f"{place}.{name.rstrip('?')}")}
    marks = range(len(form)) if isinstance(form, tuple) else ["*"]
    return {one for part, mark in zip(form, marks, strict=True) for one in parts(part, f"{place}.{mark}")}


# The recording's packs have neither cases nor rules that closes look at: tests/standing/test_row_formats.py has such rows.
NEVER |= {place for key in (b"q", b"u", b"v") for place in parts(KINDS[key].form, key.decode())}
