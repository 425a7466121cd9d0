"""The samples of docs/topics.md: encoded records of a small simulated bank that went through the standing job, decoded.

`python -m tests.docs.samples` writes them into the page anew; tests/docs/test_topics.py says whether they are still right.
"""

from __future__ import annotations

import asyncio
import base64
import json
import re
from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any, Final

from agents.offline.replay import Arrival, replay_arrivals
from agents.standing.model import StandingConf
from connectors.formats.events import DayEnd
from connectors.simulate import simulate, stories
from policies import load_pack
from schemas.codec.records import decode_one, encode
from schemas.registry import contract, file_registry
from services.notices.notifier import Notifier
from streams.calendar import day_of
from tests.services.fakes import MemoryChannel, MemoryLedger, MemoryTold

PAGE: Final = Path(__file__).resolve().parents[2] / "docs" / "topics.md"
SEED, CUSTOMERS, AS_OF = 1, 12, day_of(date(2026, 5, 31))
DAMAGED: Final = "damaged-1"  # event_id of the posting that arrives cut in half
KEY: Final = b"the reference key of the samples"
EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
NOTICED_AT: Final = 1_772_000_000_000

# What no part of Tidegauge writes yet, or the worker around the job: by hand, through the same codec.
BY_HAND: Final[dict[str, dict[str, Any]]] = {
    "crm-actions": {
        "event_id": "command-3f0c5d7a91b24e68a0f1c2d3e4b5a697", "customer_id": "C901330", "action": "override_tier",
        "requested_by": "RM-3", "approved_by": None, "at": 1_771_400_000_000, "expires_on": 20_800,
        "details": {"tier": "diamond"}, "stamped_by": "RM-3", "stamped_role": "rm", "stamped_unit": "hq/B01",
        "stamped_at": 1_771_400_000_000, "request_id": "0d9b6c1e5f7a4b3c8d2e1f0a9b8c7d6e",
    },
    "account-owners": {"account_id": "A901330-1", "customer_id": "C901330", "first_day": 20_454},
    "tasks": {
        "event_id": "task-1-open", "task_id": "task-1", "customer_id": "C901330", "kind": "call",
        "title": "Call within two days", "assignee": "RM-3", "branch": "B01", "status": "open", "due_on": 20_504,
        "at": 1_771_400_000_000, "caused_by": "alert-1/raised",
    },
    "queue-tickets": {
        "event_id": "east/0102/2026-02-18/41", "ticket_id": "east/0102-17", "branch": "east/0102",
        "customer_ref": "mfrggzdfmztwq2lknnwg23tpob", "queue_class": "diamond", "vip_area": True, "action": "called",
        "counter": "3", "request_id": "key 0011223344556677/c3-0001", "degraded": False, "at": 1_771_400_000_000,
        "sequence": 41, "day": 20_502, "place": 17, "number": "A003", "service": "cash", "arrival": 1_771_399_900_000,
        "passed": 0, "capped": False, "overtaken": ["east/0102-14", "east/0102-15"], "served": [],
        "actor": "key 0011223344556677", "reason": None, "state": "called", "previous_ref": None, "printed": False,
        "wanted_day": None, "amount_minor": None, "currency": None,
    },
    "audit-log": {
        "event_id": "audit-12", "chain": "desk-0", "seq": 12, "previous_hash": "0" * 64, "hash": "f" * 64,
        "at": 1_771_400_000_000, "actor": "RM-3", "action": "read", "resource": "balances of C901330",
        "outcome": "allowed", "reason": "own branch", "details": {},
    },
    "world": {
        "event_id": "52-4f1c0a55e1d84b1d9e0a6f0f0c9a7b21", "follows": None, "kind": "created", "epoch": 52,
        "cluster_id": "MkU3OEVBNTcwNTJENDM2Qk", "topic_prefix": "",
        "topics": [{"name": "transactions", "topic_id": "9f2c1a60b1e94c0c8d5b7a3f4e6d2c10", "partitions": 4}],
        "base_currency": "CNY", "zone": "Asia/Shanghai", "cut_off": "24:00",
        "limits": [
            {"name": "arrival_horizon_days", "value": 35}, {"name": "closed_months", "value": 15},
            {"name": "close_gap_days", "value": 31},
        ],
        "group": "tidegauge",
        "packs": [{"pack_id": "rolling-quarter-aum", "version": 1, "digest": "0f6b2d8a91c4e7d3"}],
        "reference_key": "3a5d90c1f2b7e864", "alert_key": "3a5d90c1f2b7e864", "reason": None, "written_by": "worker",
        "at": 1_771_724_400_000, "closes_left_out": [],
    },
}  # fmt: skip


@cache
def encoded() -> dict[str, bytes]:
    """One encoded record a topic: those of the planted stories where there is one."""
    written: dict[str, list[bytes]] = defaultdict(list)

    def write(topic: str, record: dict[str, Any]) -> bytes:
        value = encode(topic, record, file_registry(2) if topic == "crm-actions" else None)
        if record.get("event_id") == DAMAGED:
            return value[: len(value) // 2]
        written[topic].append(value)
        return value

    conf = StandingConf("CNY", "Asia/Shanghai", load_pack("rolling-quarter-aum"), KEY, layers=load_pack("layered-care"))
    replay_arrivals(
        conf, _arrivals(), write, AS_OF, output=lambda topic, _key, value: written[topic].append(value or b"")
    )
    for topic, record in BY_HAND.items():
        write(topic, record)
    pack = conf.pack
    policy = {
        "pack_id": pack.id, "version": pack.version, "effective_from": day_of(pack.effective_from),
        "body": pack.body, "customer_class": "personal",
    }  # fmt: skip
    written["policies"].append(encode("policies", policy))
    found = {topic: _choose(topic, values) for topic, values in written.items()}
    alert = decode_one(found["rm-alerts"])
    notifier = Notifier((MemoryChannel(),), MemoryLedger(), MemoryTold(), KEY, lambda: NOTICED_AT, "en")
    found["notices"] = encode("notices", asyncio.run(notifier.notify(alert))[0] | {"channel": "console"})
    return found


def _arrivals() -> Iterator[Arrival]:
    damaged = False
    for event in simulate(SEED, CUSTOMERS):
        if isinstance(event, DayEnd):
            yield Arrival(event.day, "", None)
            continue
        yield Arrival(*event)
        if event.topic == "transactions" and not damaged:
            damaged = True
            yield Arrival(event.day, event.topic, event.record | {"event_id": DAMAGED})
    yield Arrival(AS_OF, "crm-actions", BY_HAND["crm-actions"])  # the pack knows no exceptions: it is refused


def _choose(topic: str, values: list[bytes]) -> bytes:
    """The record of the story that the topic can tell: the large outflow, the upgrade, the late posting."""
    told = stories(SEED)
    for value in values:
        record = decode_one(value)
        customer = record.get("customer_id")
        match topic:
            case "transactions":
                story = told["outflow"]
                good = customer == story.customer_id and record["amount_minor"] == story.amount_minor
            case "balances" | "customers":
                good = customer == told["outflow"].customer_id
            case "rm-alerts":
                good = customer == told["outflow"].customer_id and record["rule"] == "outflow-single"
            case "tier-changes":
                good = customer == told["upgrade"].customer_id and record["to_tier"] == "platinum"
            case "standings":
                close = told["upgrade"].expects["effective_date"] - 1
                good = customer == told["upgrade"].customer_id and record["as_of"] == close
            case "decisions":
                good = record["kind"] == "refused"
            case "outlooks":
                good = customer == told["upgrade"].customer_id and record["direction"] == "up"
            case "restatements":
                good = customer == told["late_posting"].customer_id
            case _:
                good = True
        if good:
            return value
    if topic in ("balances", "customers"):
        return values[0]
    raise LookupError(f"no record of {topic} tells its story")


def plain(value: Any, schema: Any) -> Any:
    """A value for people: dates and instants as ISO text, bytes as base64, a pack's body cut short."""
    if isinstance(schema, list):
        return None if value is None else plain(value, next(branch for branch in schema if branch != "null"))
    kind = schema if isinstance(schema, str) else schema.get("logicalType", schema["type"])
    match kind:
        case "date":
            return (EPOCH + timedelta(days=value)).date().isoformat()
        case "timestamp-millis":
            return (EPOCH + timedelta(milliseconds=value)).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        case "bytes":
            return base64.b64encode(value).decode()
        case "array":
            return [plain(item, schema["items"]) for item in value]
        case "record":
            return {field["name"]: plain(value[field["name"]], field["type"]) for field in schema["fields"]}
    return value[:60] + "…" if isinstance(value, str) and "\n" in value else value


def sample(topic: str) -> str:
    """A topic's sample as the page shows it."""
    text = json.dumps(plain(decode_one(encoded()[topic], name=topic), contract(topic)), ensure_ascii=False, indent=2)
    text = re.sub(r"\[\s+([-\d,\s]+?)\s+\]", lambda found: f"[{' '.join(found[1].split())}]", text)  # numbers: one line
    return re.sub(r"\{\s+([^{}]+?)\s+\}(?=[,\s]*[\]\s])", _one_line, text) if "[" in text else text


def _one_line(found: re.Match[str]) -> str:
    """An object inside an array on a line of its own."""
    return "{" + " ".join(found[1].split()) + "}" if found.start() else found[0]


def with_samples(page: str) -> str:
    """The page with every topic's sample written anew."""

    def section(found: re.Match[str]) -> str:
        return f"{found[1]}```json\n{sample(found[2])}\n```"

    return re.sub(r"(^## ([a-z-]+)\n(?:(?!^## ).*\n)*?)```json\n[^`]*?\n```", section, page, flags=re.MULTILINE)


if __name__ == "__main__":
    PAGE.write_text(with_samples(PAGE.read_text()))
