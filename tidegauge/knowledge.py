"""What the workers know and commands measure by: booked days, the bank's calendar, sources; read from their last fences."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING

from agents.engine import recovery
from agents.standing.decide.packs import Packs
from agents.standing.model import ForCloser
from connectors.loading.closer import history
from connectors.loading.closing_run import Known
from connectors.loading.packs import sent
from deploy.topics import survey
from policies import PackError, parse_pack
from schemas.codec.records import RecordError, decode_one
from schemas.registry import registry_for
from streams.calendar import NO_DAY
from streams.money import exponent
from tidegauge.bootstrap import STANDING, schemes, standing_conf
from tidegauge.world.check import current

if TYPE_CHECKING:
    from connectors.loading.closing_run import History
    from deploy.settings import Settings
    from streams.closing import Run


def known_by_workers(settings: Settings) -> Known:
    """What all partitions know, as of their last flush; nothing where no worker has run. Closes left out are the identity's.

    RecoveryError, Rejoin or KafkaError where the changelog cannot be read.
    """
    fences = asyncio.run(recovery.fences(settings, settings.partitions, STANDING))
    told = [ForCloser.of_fence(fence.meta) for fence in fences if fence is not None]
    booked = max((one.booked for one in told), default=NO_DAY)
    calendar = {day: is_open for one in told for day, is_open in one.calendar.items()}
    sources = frozenset(source for one in told for source in one.sources)
    aside = {source: on for one in told for source, on in one.aside.items()}
    return Known(None if booked == NO_DAY else booked, calendar, sources, aside, left_out(settings))


def left_out(settings: Settings) -> frozenset[Run]:
    """The closes that don't count by the log's identity. KafkaException, RegistryError where it can't be read."""
    entry = current(settings, survey(settings))
    return frozenset() if entry is None else frozenset(entry.closes_left_out)


def closes_of(settings: Settings) -> History:
    """What the closes in the log have come to. Errors as of `connectors.loading.closer.all_closes` and `left_out`."""
    return history(settings, left_out(settings))


def sources_named(settings: Settings) -> frozenset[str]:
    """The sources that packs name: those of the settings, and those on the topic `policies`."""
    tiers, layers = schemes(settings.pack)
    found = [*tiers, *([] if layers is None else [layers])]
    for value in sent(settings):
        with suppress(RecordError, PackError):
            record = decode_one(value, registry_for(settings), name="policies")
            if not record["retracted"]:
                found.append(parse_pack(record["body"], record["pack_id"], taken=True))
    return frozenset(name for pack in found for name in pack.sources)


def packs_of(settings: Settings) -> Packs:
    """A book as the workers have it: the packs of the settings, and those on the topic `policies`. PackError, PublishError."""
    conf, registry = standing_conf(settings, keyless=True), registry_for(settings)
    known = Packs((conf.pack, *conf.others), conf.layers, exponent(conf.base_currency), conf.follow)
    for value in sent(settings):
        with suppress(RecordError):  # the workers leave it out too
            known.take(decode_one(value, registry, name="policies"), NO_DAY)
    return known
