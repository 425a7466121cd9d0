"""The check of a process at its start: is this the log that it is meant for, and are its settings the log's?"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Final, NamedTuple

from deploy import topics
from deploy.errors import KeyLostError, StackError
from deploy.settings import REFERENCE_KEY_FILE
from deploy.topics import WORLD
from schemas.topics import INPUTS, OWNERS
from streams.closing import Run
from tidegauge.world.epochs import next_epoch, published_epoch
from tidegauge.world.found import USES_ALL, USES_PLACE, found_identity
from tidegauge.world.identity import (
    CREATED,
    EXTENDED,
    Difference,
    Identity,
    WorldEntry,
    entry_in_force,
    extended,
    mismatches,
)
from tidegauge.world.log import read_entries, write_entry

if TYPE_CHECKING:
    from deploy.settings import Settings
    from deploy.topics import Surveyed

BROKERS_WAIT_S: Final = 5.0  # for brokers that are just starting
TRIES_MAX: Final = 3  # of writing: another worker may be first
_BY_WORKER: Final = "worker"
_PUT_BACK: Final = (
    f"put that one back: TIDEGAUGE_REFERENCE_KEY, or {REFERENCE_KEY_FILE} in the data folder, from your backup"
)
_MADE: Final = (WORLD, OWNERS)
"""Of workers alone, and in no log of a release before they came: the first worker of one that has them makes them."""


class WorldError(StackError):
    """This process and the log's identity do not agree. `of_setting`: mended by a setting of this process."""

    def __init__(self, message: str, hint: str, *, of_setting: bool = False) -> None:
        super().__init__(message, hint)
        self.of_setting = of_setting


class World(NamedTuple):
    """A log that was found good: settings with the partitions that the topics have, and its identity, if it has one."""

    settings: Settings
    entry: WorldEntry | None
    found: Identity

    @property
    def epoch(self) -> int:
        """Of the identity, as it goes into versions of records."""
        return 0 if self.entry is None else self.entry.epoch

    @property
    def left_out(self) -> frozenset[Run]:
        """Closes that don't count."""
        return frozenset() if self.entry is None else frozenset(self.entry.closes_left_out)


def refused(problems: Sequence[Difference]) -> WorldError:
    """The error of differences: the first one with its remedy, and how many more there are."""
    first, *rest = problems
    more = f"; {len(rest)} more: `tidegauge world show`" if rest else ""
    return WorldError(f"{first}{more}", first.remedy, of_setting=first.of_setting)


def check_world(settings: Settings, uses: frozenset[str] = USES_PLACE, own: Identity | None = None) -> World:
    """Compare with the log's identity what this process uses of it. A log without one is taken as it is.

    own: what a running process has found before; what its settings say is not worked out again.

    StackError where no broker answers or there are no topics, WorldError where something differs, KeyLostError where a key
    is used and missing.
    """
    surveyed = topics.survey(settings, BROKERS_WAIT_S)
    settings = counted(settings, surveyed)
    entry = current(settings, surveyed)
    found = _found(settings, surveyed, uses, entry, own)
    if entry is not None and (problems := mismatches(entry.identity, found)):
        raise refused(problems)
    return World(settings, entry, found)


def begin_world(settings: Settings) -> World:
    """The check of a worker: it gives the log an identity where it has none, and adds what a newer release knows more.

    Errors as `check_world`; WorldError too where the group's state was kept with other settings.
    """
    surveyed = topics.survey(settings, BROKERS_WAIT_S)
    settings = counted(settings, surveyed)
    if missing := [one.topic.name for one in surveyed.topics if one.topic.name in _MADE and not one.partitions]:
        topics.create(settings, missing)
    published = published_epoch(settings, surveyed)
    for _ in range(TRIES_MAX):
        entry = entry_in_force(read_entries(settings))
        if entry is None and not has_state(settings, surveyed):
            settings.make_keys()
        found = _found(settings, surveyed, USES_ALL, entry)
        wanted = found if entry is None else extended(entry.identity, found)
        if problems := mismatches(wanted, found):
            raise refused(problems)
        if entry is not None and published > entry.epoch:
            raise WorldError(behind(entry, published), "`tidegauge world adopt` gives the log a higher one")
        if entry is not None and wanted == entry.identity:
            settings.make_keys()  # the file of the alert key, where only that is missing
            return World(settings, entry, found)
        if entry is None:
            check_fences(settings)
        kind, epoch = (CREATED, next_epoch(published, today())) if entry is None else (EXTENDED, entry.epoch)
        write_entry(settings, entry, kind, epoch, wanted, None, _BY_WORKER)
    raise WorldError(f"the identity on {settings.topic(WORLD)} changes all the time", "look at `tidegauge world show`")


def behind(entry: WorldEntry, published: int) -> str:
    """That the outputs are ahead of the identity, such as after an older one was put back."""
    return f"epoch: the log's identity says {entry.epoch}, its outputs have {published}, and versions would go back"


def today() -> date:
    """The day by this machine's clock, for epochs alone."""
    return datetime.now(UTC).date()


def counted(settings: Settings, surveyed: Surveyed, needed: Sequence[str] = INPUTS) -> Settings:
    """The settings with the number of partitions that the topics have. WorldError where they differ, or one is missing."""
    counts = {found.full_name: found.partitions for found in surveyed.topics if not found.topic.one_partition}
    there = {name: count for name, count in counts.items() if count}
    missing = [settings.topic(name) for name in needed if settings.topic(name) not in there]
    if not there:
        raise WorldError(
            f"there are no topics {settings.topic('*')} at {settings.kafka}",
            "correct TIDEGAUGE_TOPIC_PREFIX or TIDEGAUGE_BOOTSTRAP_SERVERS, or make them with `tidegauge topics --create`",
        )
    if missing:
        raise WorldError(f"there is no topic {missing[0]}", "make the topics with `tidegauge topics --create`")
    if len(set(there.values())) > 1:
        usual = max(there.values(), key=list(there.values()).count)
        odd = next(name for name, count in there.items() if count != usual)
        raise WorldError(
            f"topic {odd} has {there[odd]} partitions, the others {usual}",
            "all must have the same number: see docs/operators.md#world",
        )
    return settings.model_copy(update={"partitions": next(iter(there.values()))})


def current(settings: Settings, surveyed: Surveyed) -> WorldEntry | None:
    """The identity in force; None where the log has none yet."""
    return entry_in_force(read_entries(settings)) if _has_topic(surveyed) else None


def _has_topic(surveyed: Surveyed) -> bool:
    return any(found.topic.name == WORLD and found.partitions for found in surveyed.topics)


def _found(
    settings: Settings,
    surveyed: Surveyed,
    uses: frozenset[str],
    entry: WorldEntry | None,
    own: Identity | None = None,
) -> Identity:
    try:
        return found_identity(settings, surveyed, uses, own)
    except KeyLostError as lost:
        if entry is None:
            raise
        mark = f"the log's identity names one with fingerprint {entry.identity.reference_key}"
        raise KeyLostError(f"{lost.message}, and {mark}", _PUT_BACK) from lost


def has_state(settings: Settings, surveyed: Surveyed) -> bool:
    """Whether workers of the group have ever run on this log."""
    from agents.engine.recovery import changelog_topic
    from tidegauge.bootstrap import STANDING

    return changelog_topic(settings, STANDING) in surveyed.names


def check_fences(settings: Settings) -> None:
    """WorldError where the state of a partition was kept with other settings than these."""
    from agents.engine.changelog import Changelog
    from agents.engine.job import RecoveryError
    from agents.engine.recovery import check_meaning, fences
    from tidegauge.bootstrap import STANDING, standing_jobs

    for partition, fence in enumerate(asyncio.run(fences(settings, settings.partitions, STANDING))):
        if fence is None:
            continue
        job = standing_jobs(settings)()
        try:
            usable = Changelog(job, f"partition {partition}", fence).usable_fence()
            if usable is not None:
                check_meaning(job, partition, usable)
        except RecoveryError as problem:
            raise WorldError(str(problem), "docs/operators.md has what to do", of_setting=True) from problem
