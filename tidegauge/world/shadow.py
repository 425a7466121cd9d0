"""A shadow: a second group of workers that reads the log and publishes to topics of its own, until it takes the outputs over."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from confluent_kafka import KafkaException

from agents.engine.job import FatalError, Rejoin
from connectors.loading.closer import all_closes
from deploy import topics
from deploy.errors import StackError
from deploy.topics import WRITTEN_BY_WORKERS
from schemas.registry import RegistryError
from streams.calendar import shown_day
from tidegauge.world.check import World, WorldError, check_world
from tidegauge.world.found import USES_SHADOW
from tidegauge.world.identity import entry_in_force
from tidegauge.world.log import read_entries

if TYPE_CHECKING:
    from collections.abc import Iterable

    from deploy.settings import Settings
    from streams.closing import Run
    from tidegauge.world.identity import WorldEntry

GROUP_CHARS_MAX: Final = 100
DAYS_SHOWN: Final = 5
GROUP_PATTERN: Final = re.compile(rf"[A-Za-z0-9._-]{{1,{GROUP_CHARS_MAX}}}")
AWAY: Final = (StackError, KafkaException, RegistryError, OSError)
"""Servers that are away, or that don't answer."""


def shadow_prefix(settings: Settings) -> str:
    """What stands before the names of a shadow's outputs; the settings' group is the shadow's."""
    return f"{settings.topic_prefix}shadow-{settings.group}-"


def begin_shadow(settings: Settings) -> World:
    """The check of a shadow's worker; the settings' group is the shadow's. It makes the topics of its outputs.

    Errors as of `tidegauge.world.check.check_world`; WorldError too where the group owns the outputs, or nobody does yet.
    """
    if not GROUP_PATTERN.fullmatch(settings.group):
        raise WorldError(
            f"{settings.group!r} is no name of a group", "letters, digits, `.`, `_` and `-`: topics are named after it"
        )
    world = check_world(settings, USES_SHADOW)
    if world.entry is None:
        raise WorldError("the log has no identity yet", "start its own workers first: a shadow runs beside them")
    if (problem := overtaken(world, world.entry, shadow=True)) is not None:
        raise problem
    topics.create(world.settings.model_copy(update={"topic_prefix": shadow_prefix(world.settings)}), WRITTEN_BY_WORKERS)
    return world


def named_runs(settings: Settings, days: Iterable[int]) -> frozenset[Run]:
    """The runs of closes that asked for these days. WorldError for a day that none asked for; PublishError as `all_closes`."""
    wanted, runs = set(days), {one.run for one in all_closes(settings) if one.retracts is None}
    found = frozenset(run for run in runs if run.asked in wanted)
    if missing := sorted(wanted - {run.asked for run in found}):
        near = ", ".join(shown_day(day) for day in sorted({run.asked for run in runs})[-DAYS_SHOWN:]) or "none"
        raise WorldError(
            f"no run of closes asked for {shown_day(missing[0])}", f"the last days that were asked for: {near}"
        )
    return found


def overtaken(begun: World, now: WorldEntry | None, *, shadow: bool) -> WorldError | None:
    """Why a worker has to end by the identity that is in force now; None where it may go on."""
    mine = begun.settings.group
    if now is None or now.identity.group is None:
        return None
    if shadow:
        if now.identity.group != mine:
            return None
        return WorldError(f"group {mine} owns the outputs of this log", "start its workers without --shadow")
    if now.identity.group != mine:
        return WorldError(
            f"group {now.identity.group} owns the outputs now, and no longer {mine}",
            f"its workers go on in place of these; `tidegauge worker --shadow {mine}` runs beside them",
        )
    if now.epoch != begun.epoch:
        return WorldError(f"the log's epoch is {now.epoch} now, this worker began with {begun.epoch}", "start it again")
    return None


def may_publish(begun: World, *, shadow: bool) -> None:
    """Whether a worker may still publish. FatalError where others own the outputs, Rejoin where that can't be read now.

    Asked after its producer has fenced others, so that whoever takes over fences it for good: a takeover first writes the
    identity and then fences, and whoever comes behind that reads it.
    """
    try:
        problem = overtaken(begun, entry_in_force(read_entries(begun.settings)), shadow=shadow)
    except AWAY as away:
        raise Rejoin(f"the log's identity can't be read: {away}") from away
    if problem is not None:
        raise FatalError(f"{problem.message}: {problem.hint}") from problem
