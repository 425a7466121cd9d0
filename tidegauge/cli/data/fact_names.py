"""Facts of a bank's files that no pack knows: refused before they are sent, as the worker would refuse them."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import TYPE_CHECKING

from connectors.formats.events import Event, InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from deploy.settings import Settings
    from policies.model.pack import Pack


def known_facts_only(
    settings: Settings, path: Path, events: list[Event], refuse: Callable[[InputError], None]
) -> list[Event]:
    """The events without such facts; `refuse` is told of each. Kafka is asked for the packs that were sent."""
    from agents.standing.intake.facts import BANK_OPEN, fact_kinds, unknown_fact
    from agents.standing.intake.marks import COMPLETE

    named = {event.record["name"] for event in events if event.topic == "facts"} - {COMPLETE, BANK_OPEN}
    if not named - fact_kinds(()).keys():
        return events
    packs = [*_packs_sent(settings), *_read(event.record["body"] for event in events if event.topic == "policies")]
    unknown, kept = named - fact_kinds(packs).keys(), []
    for event in events:
        if event.topic == "facts" and event.record["name"] in unknown:
            who = f"event_id {event.record['event_id']}, customer_id {event.record['customer_id']}"
            original = json.dumps(event.record, ensure_ascii=False).encode()
            reason = unknown_fact(event.record["name"], packs).removeprefix("name: ")
            refuse(InputError(str(path), 0, "name", f"{reason} ({who})", original))
        else:
            kept.append(event)
    return kept


def _packs_sent(settings: Settings) -> list[Pack]:
    """The packs of the settings, and those on the topic `policies`, in force or not yet."""
    from connectors.loading import packs
    from schemas.codec.records import RecordError, decode_one
    from schemas.registry import registry_for
    from tidegauge.bootstrap import schemes
    from tidegauge.cli.servers import need_world

    settings = need_world(settings)
    tiers, layers = schemes(settings.pack)
    registry, texts = registry_for(settings), []
    for value in packs.sent(settings):
        with suppress(RecordError):  # the workers leave it out too
            texts.append(decode_one(value, registry, name="policies")["body"])
    return [*tiers, *([] if layers is None else [layers]), *_read(texts)]


def _read(texts: Iterable[str]) -> list[Pack]:
    """The packs that can be read."""
    from policies import PackError, parse_pack

    found = []
    for text in texts:
        with suppress(PackError):
            found.append(parse_pack(text))
    return found
