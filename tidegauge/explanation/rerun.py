"""A customer's log through the worker's own job once more: every record that it gives, at the cut of every close."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from agents.engine.record_batches import flat
from agents.standing.job import StandingJob
from agents.standing.model import StandingConf
from connectors.formats.events import Record
from policies import available_packs, load_pack
from policies.language.reader import PackError
from policies.model.pack import Pack
from schemas.codec.records import decode_one
from schemas.nulls import with_nulls
from tidegauge.explanation.log import OUTPUTS, Log, Told
from tidegauge.explanation.orders import ORDERS

if TYPE_CHECKING:
    from schemas.registry import Registry


class Replayed:
    """The job at the end of the log, and what it has published on the way. `attempt`: the order, of ORDERS."""

    def __init__(self, conf: StandingConf, log: Log, attempt: int = 0) -> None:
        self.job, self.registry = StandingJob(conf), conf.registry
        blocks, order = ORDERS[attempt]
        self.job.lanes = {topic: self.job.lanes[topic] for topic in order}
        self.job.begin(log.partition, dict(log.first))
        self.records: dict[str, Record] = {}
        for some in blocks(log, order):
            for block in some:
                self.job.feed(block)
            self._work()

    def _work(self) -> None:
        more = True
        while more:
            outcome = self.job.work(live=True)
            more = outcome.more
            for topic, pairs in outcome.outputs:
                for _, value in flat(pairs) if topic in OUTPUTS else ():
                    record = with_nulls(topic, decode_one(value or b"", self.registry))
                    self.records[Told(topic, record, record).name] = record


def first_conf(conf: StandingConf, log: Log, known: Sequence[Pack]) -> StandingConf:
    """The pack that was in force first: the setting's, unless the first decision names a shipped one that nobody sent."""
    first = next((told.record for told in log.told if "pack_id" in told.record), None)
    if first is None or any((pack.id, pack.version) == (first["pack_id"], first["pack_version"]) for pack in known):
        return conf
    found = shipped(first["pack_id"], first["pack_version"])
    if found is None:
        return conf
    if found.kind == "layers":
        return replace(conf, layers=found)
    others = tuple(pack for pack in conf.others if not pack.classes.keys() & found.classes.keys())
    return replace(conf, pack=found, others=others)


def sent_packs(log: Log, registry: Registry | None) -> list[Pack]:
    """The packs on the topic `policies` that can be read, oldest first."""
    found = []
    for record in log.decoded("policies", registry):
        if record["retracted"]:
            continue
        with suppress(PackError):
            found.append(_parsed(record))
    return found


def _parsed(record: Record) -> Pack:
    from policies import parse_pack

    return parse_pack(record["body"], record["pack_id"] or "pack", taken=True)


def shipped(pack_id: str, version: int) -> Pack | None:
    """A pack that comes with Tidegauge, in this version."""
    if pack_id not in available_packs():
        return None
    pack = load_pack(pack_id)
    return pack if pack.version == version else None
