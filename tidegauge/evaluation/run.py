"""A labelled world through the standing job itself, under a pack and under the same pack with scaled thresholds."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Final, NamedTuple

from agents.engine.job import Block
from agents.offline.memory_log import MemoryLog
from agents.offline.replay import LETTERS, Output, work
from agents.standing.job import StandingJob
from agents.standing.model import StandingConf
from connectors.formats import canonical
from connectors.formats.events import DayEnd, Event, InputError, Report
from connectors.formats.sources import read_source
from connectors.labelled.labels import read_labels
from connectors.loading.arrival import days, in_order
from policies.model.pack import AlertRule, Pack, Share
from schemas.codec.records import decode_one, encode
from schemas.registry import CONTRACTS, FileRegistry, file_registry
from schemas.topics import INPUTS
from tidegauge.evaluation.episodes import episodes
from tidegauge.evaluation.score import LabelledWorld
from tidegauge.evaluation.steps import ScoredStep, scored_step

ALERTS_TOPIC: Final = "rm-alerts"
ONE_BP: Final = 10_000


class WorldFiles(NamedTuple):
    """A labelled world with its events in the order of arrival, and when each posting was booked (ms)."""

    world: LabelledWorld
    events: list[Event]
    booked: dict[str, int]


def read_world(folder: Path, zone: str, base: str, report: Report) -> WorldFiles:
    """A folder of canonical files and labels. Bad lines of events go to `report`; InputError for the labels and the folder."""
    labels = read_labels(folder / canonical.LABELS_FILE)
    events: list[Event] = []
    for form, suffixes in canonical.FILE_SUFFIXES.items():
        if any(file.suffix in suffixes and file.name != canonical.LABELS_FILE for file in folder.glob("*")):
            events += read_source(form, folder, zone, report)
    dated = [event.day for event in events if event.day]
    if not dated:
        raise InputError(str(folder), 0, None, "holds no good row beside its labels: is it the right folder?")
    events = in_order(events)
    managers = {
        event.record["customer_id"]: event.record["rm_id"]
        for event in events
        if event.topic == "customers" and event.record["rm_id"]
    }
    booked = {e.record["event_id"]: e.record["booked_at"] for e in events if e.topic == "transactions"}
    span = range(min(dated), max(dated) + 1)
    return WorldFiles(LabelledWorld(labels, episodes(labels, events, base, zone), span, managers, zone), events, booked)


def steps_under(
    confs: list[StandingConf], files: WorldFiles, silence_days: int, letters: Output | None = None
) -> list[list[ScoredStep]]:
    """The steps of all cases under each configuration, by one pass over the events. `letters` gets the first's dead letters.

    The configurations differ in packs alone. No two postings of a customer come in one block: each is answered by itself, as
    in the live system. Steps are written with all fields of the newest contract.
    """
    confs = [_outspoken(conf.alone()) for conf in confs]
    jobs, found = [StandingJob(conf) for conf in confs], [list[ScoredStep]() for _ in confs]
    for job in jobs:
        job.begin(0, dict.fromkeys(INPUTS, 0))
    takers = [_Taker(steps, conf, files) for steps, conf in zip(found, confs, strict=True)]
    first, topics = takers[0], (ALERTS_TOPIC, *LETTERS)
    first.letters = letters
    for blocks in _blocks(confs[0], days(files.events, "the world", silence_days=silence_days)):
        for job, taker in zip(jobs, takers, strict=True):
            work(job, blocks, taker, topics)
    return found


def _outspoken(conf: StandingConf) -> StandingConf:
    own = conf.registry is None or isinstance(conf.registry, FileRegistry)
    return replace(conf, registry=file_registry(CONTRACTS[-1])) if own else conf


class _Taker:
    """Takes what a job publishes."""

    def __init__(self, steps: list[ScoredStep], conf: StandingConf, files: WorldFiles) -> None:
        self.steps, self.registry, self.zone, self.booked = steps, conf.registry, conf.zone, files.booked
        self.letters: Output | None = None

    def __call__(self, topic: str, key: bytes | None, value: bytes | None) -> None:
        if topic == ALERTS_TOPIC and value is not None:
            self.steps.append(scored_step(decode_one(value, self.registry, name=topic), self.booked, self.zone))
        elif self.letters is not None:
            self.letters(topic, key, value)


def _blocks(conf: StandingConf, stream: Iterable[Event | DayEnd]) -> Iterator[list[Block]]:
    """A day's events in waves: the first posting of every customer, then every second one, and so on; then its close.

    Only the order of a customer's own events counts, and that of what concerns all.
    """
    log = MemoryLog(lambda topic, record: encode(topic, record, conf.registry))
    waves: list[list[Event]] = []
    places: dict[str, int] = {}

    def told(kept: int) -> Iterator[list[Block]]:
        for place, wave in enumerate(waves):
            for event in wave:
                log.record(event.topic, event.record)
            if place < len(waves) - kept:
                yield log.blocks()
        waves.clear()
        places.clear()

    for item in stream:
        if isinstance(item, DayEnd):
            yield from told(kept=1)  # the last wave goes with the close
            log.close(item.day)
            yield log.blocks()
            continue
        customer = item.record.get("customer_id")
        if customer is None:
            yield from told(kept=0)
            log.record(item.topic, item.record)
            continue
        place = places.get(customer, 0)
        if place == len(waves):
            waves.append([])
        waves[place].append(item)
        if item.topic == "transactions":
            places[customer] = place + 1
    yield from told(kept=0)
    yield log.blocks()


def scaled_pack(pack: Pack, by: Fraction) -> Pack:
    """The pack with every threshold of its outflow rules so many times as high; counts and windows stay."""
    classes = {
        name: replace(
            policy, alerts=tuple(_rule(rule, by) if isinstance(rule, AlertRule) else rule for rule in policy.alerts)
        )
        for name, policy in pack.classes.items()
    }
    return replace(pack, classes=classes)


def _rule(rule: AlertRule, by: Fraction) -> AlertRule:
    def amounts(values: dict[str, Decimal]) -> dict[str, Decimal]:
        return {tier: Decimal(int(value * by.numerator) // by.denominator) for tier, value in values.items()}

    share = rule.share and Share(
        {tier: min(ONE_BP, max(1, int(bp * by))) for tier, bp in rule.share.basis_points.items()},
        amounts(rule.share.floor),
    )
    return replace(rule, absolute=amounts(rule.absolute), share=share)


def conf_with(conf: StandingConf, by: Fraction) -> StandingConf:
    """The configuration with scaled thresholds."""
    return replace(conf, pack=scaled_pack(conf.pack, by), others=tuple(scaled_pack(pack, by) for pack in conf.others))
