"""What a topic may hold: records that a contract allows in any of its versions, edges of its numbers and days, and damage.

Texts, numbers and days that the program looks for are drawn often, so that records get past the first check.
"""

from __future__ import annotations

import json
from functools import cache
from typing import Any

from hypothesis import strategies as st

from policies import load_pack
from policies.lifecycle.acts import HANDLERS
from schemas.codec.records import encode, plain
from schemas.registry import CONTRACTS, IDS, file_registry
from schemas.topics import INPUTS, KEYED, MARK, MARK_KEY
from streams.accounts.store import ID_BYTES_MAX
from streams.calendar import DAY_MAX, DAY_MIN, DAY_MS
from streams.money import AMOUNT_MAX
from tests.schemas.helpers import values

REGISTRY = file_registry(CONTRACTS[-1])
RELEASED: dict[str, list[int]] = {}  # name of a contract -> ids of its versions
for _one in json.loads(IDS.read_text()):
    RELEASED.setdefault(_one["name"], []).append(_one["id"])
DAY, INSTANT = "date", "timestamp-millis"
LIVED = 19_800  # a day of the spring of 2024, about which tests let things happen
DAYS = [-(2**31), -719_163, -719_162, 0, DAY_MIN, LIVED - 400, LIVED, LIVED + 1, LIVED + 30, DAY_MAX - 1, DAY_MAX,
        2_932_896, 2_932_897, 2**31 - 1]  # fmt: skip
LONGS = [-(2**63), -(2**63) + 1, -(2**53), -AMOUNT_MAX, -1, 0, 1, 2, AMOUNT_MAX, 2**53 + 1, 2**62, 2**63 - 1]
INTS = [-(2**31), -1, 0, 1, 3, 2**31 - 1]
INSTANTS = [*LONGS, LIVED * DAY_MS, LIVED * DAY_MS + 1, (LIVED + 1) * DAY_MS]
TEXTS = [
    "",
    "x",
    "客户",
    "\0",
    "a/b",
    "@close",
    "x" * ID_BYTES_MAX,
    "x" * (ID_BYTES_MAX + 1),
    "\x01" * 700,
    "9" * 700,
]
# Field -> what is looked for in it. Of a contract that has a field of this name, whatever else it is.
KNOWN: dict[str, list[Any]] = {
    "customer_id": ["C1", "C2", "C3"], "account_id": ["A1", "A2"], "source": ["core", "cards"],
    "event_id": ["e1", "e2", "e3"], "asset_class": ["savings", "wealth", "credit"], "currency": ["CNY", "USD", "JPY", "KWD"],
    "base": ["CNY"], "branch": ["B1"], "kind": ["outflow", "upgrade_near", "downgrade_risk"],
    "status": ["raised", "deepened"], "name": ["loan_balance", "loan_overdue", "source_complete", "bank_open"],
    "action": [*HANDLERS, "note"],
    "details": [{}, {"card": "gold", "role": "manager"}, {"tier": "gold"}, {"record": "consent"}, {"version": "²"}],
    "pack_id": ["rolling-quarter-aum"], "retracted": [False], "version": [1, 2, 3], "journal_seq": [1, 2, 3],
    "amount_minor": [-5, 100, 10**10], "balance_minor": [0, 10**11], "rate_micro": [1, 7_000_000, 10**12],
    "value": [0, 1, 10**9], "topic": [*INPUTS], "offset": [0, 7], "retracts": [None], "force_reason": [None],
}  # fmt: skip


@cache
def bodies() -> tuple[str, ...]:
    """Texts of packs: good ones, one of another day and version, and what is none."""
    good = load_pack("rolling-quarter-aum").body
    later = good.replace("version: 1", "version: 2", 1)
    return (
        good,
        later,
        load_pack("layered-care").body,
        "",
        "[",
        "a: &a [*a]",
        "id: 7",
        "- " * 3000,
        "{" * 3000,
        "version: 1e999999999",
    )


def _edges(logical: str | None, kind: Any) -> st.SearchStrategy[Any] | None:
    if logical == DAY:
        return st.sampled_from(DAYS)
    if logical == INSTANT:
        return st.sampled_from(INSTANTS)
    return {"long": st.sampled_from(LONGS), "int": st.sampled_from(INTS), "string": st.sampled_from(TEXTS)}.get(kind)


def field_values(field: dict[str, Any], schema: Any) -> st.SearchStrategy[Any]:
    """Values of a field: any, those at the edges of its type, those that are looked for."""
    own = next((b for b in schema if b != "null"), "null") if isinstance(schema, list) else schema
    logical, kind = (own.get("logicalType"), own["type"]) if isinstance(own, dict) else (None, own)
    anything = [values(plain(schema))]
    if (edges := _edges(logical, kind)) is not None:
        anything.append(edges)
    known = st.sampled_from(bodies() if field["name"] == "body" else KNOWN.get(field["name"], [None]))
    if field["name"] not in (*KNOWN, "body") or not _fits(kind, field["name"]):
        return st.one_of(anything)
    return st.one_of(known, known, known, *anything)


def _fits(kind: Any, name: str) -> bool:
    sample = bodies()[0] if name == "body" else KNOWN[name][0]
    return sample is None or {"string": str, "long": int, "boolean": bool, "map": dict}.get(kind) is type(sample)


@cache
def shape(schema_id: int) -> st.SearchStrategy[dict[str, Any]]:
    """Records of one version of a contract."""
    schema = REGISTRY.schema(schema_id)
    assert schema is not None
    return st.fixed_dictionaries({field["name"]: field_values(field, field["type"]) for field in schema["fields"]})


def records(topic: str) -> st.SearchStrategy[dict[str, Any]]:
    """Records of the newest version of a contract."""
    return shape(REGISTRY.id_of(topic))


def of_version(schema_id: int) -> st.SearchStrategy[bytes]:
    """Records of one version of a contract as bytes."""
    return shape(schema_id).map(lambda record: encode(schema_id, record, REGISTRY))


def whole(topic: str) -> st.SearchStrategy[bytes]:
    """A record of any version, as bytes."""
    return st.sampled_from(RELEASED[topic]).flatmap(of_version)


def foreign() -> st.SearchStrategy[bytes]:
    """A record of any contract, whatever the topic."""
    return st.sampled_from(sorted(RELEASED)).flatmap(whole)


@st.composite
def mutated(draw: st.DrawFn, topic: str) -> bytes:
    """A record's bytes with some of them changed, cut or doubled."""
    value = bytearray(draw(whole(topic)))
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(value)))
        kind = draw(st.sampled_from(["set", "cut", "more"]))
        if kind == "set" and at < len(value):
            value[at] = draw(st.integers(0, 255))
        elif kind == "cut":
            del value[at:]
        else:
            value[at:at] = draw(st.binary(max_size=4))
    return bytes(value)


def any_value(topic: str) -> st.SearchStrategy[bytes]:
    """Good ones and bad ones, those of other topics, and what is no record at all."""
    return whole(topic) | whole(topic) | mutated(topic) | foreign() | st.binary(max_size=40)


def keys(topic: str) -> st.SearchStrategy[bytes | None]:
    """Keys of a topic's records."""
    usual = [b"C1", b"C2", b"C3"] if topic in KEYED else [b"USD", b"x"]
    return st.sampled_from([*usual, *usual, None, b"", b"\xff", b"@source", MARK_KEY])


def entries(topic: str, most: int = 5) -> st.SearchStrategy[list[tuple[bytes | None, bytes | None]]]:
    """(key, value) of some records of a topic, deletions among them; keys that fit their values more often than not."""
    value = st.none() | any_value(topic) | any_value(topic)
    if topic in INPUTS:
        value |= whole(MARK)
    return st.lists(st.tuples(keys(topic), value).map(_keyed), max_size=most)


def _keyed(entry: tuple[bytes | None, bytes | None]) -> tuple[bytes | None, bytes | None]:
    """Under a usual key the customer of the value, where one of the usual ones is in it."""
    key, value = entry
    if key in (b"C1", b"C2", b"C3") and value is not None:
        return next((name for name in (b"C1", b"C2", b"C3") if name in value), key), value
    return key, value
