"""A customer's log through the worker's own job once more: every record that it gives, at the cut of every close."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from agents.packing import flat
from agents.standing import INPUTS, StandingConf, StandingJob
from policies import available_packs, load_pack
from policies.model import Pack
from policies.reader import PackError
from schemas.records import decode_one
from tidegauge.explaining.log import OUTPUTS, Log, Record, Told

if TYPE_CHECKING:
    from schemas.registry import Registry

# Between two closes the order of topics is not in the log: profiles before acts, or behind them.
ORDERS: Final = (INPUTS, ("crm-actions", *(topic for topic in INPUTS if topic != "crm-actions")))


class Replayed:
    """The job at the end of the log, and what it has published on the way."""

    def __init__(self, conf: StandingConf, log: Log, order: Sequence[str] = INPUTS) -> None:
        self.job = StandingJob(conf)
        self.job.lanes = {topic: self.job.lanes[topic] for topic in order}
        self.job.begin(log.partition, dict(log.first))
        self.records: dict[str, Record] = {}
        for blocks in log.inputs.values():
            for block in blocks:
                self.job.feed(block)
        more = True
        while more:
            outcome = self.job.work(live=True)
            more = outcome.more
            for topic, pairs in outcome.outputs:
                for _, value in flat(pairs) if topic in OUTPUTS else ():
                    record = decode_one(value or b"", conf.registry, name=topic)
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


def sent(log: Log, registry: Registry | None) -> list[Pack]:
    """The packs on the topic `policies` that can be read, oldest first."""
    found = []
    for _, key, value in log.records("policies"):
        if key[:1] != b"@" and value:
            record = decode_one(value, registry, name="policies")
            try:
                found.append(_parsed(record))
            except PackError:
                continue
    return found


def _parsed(record: Record) -> Pack:
    from policies import parse_pack

    return parse_pack(record["body"], record["pack_id"] or "pack")


def shipped(pack_id: str, version: int) -> Pack | None:
    """A pack that comes with Tidegauge, in this version."""
    if pack_id not in available_packs():
        return None
    pack = load_pack(pack_id)
    return pack if pack.version == version else None
