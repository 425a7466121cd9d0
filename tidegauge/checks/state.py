"""Checks of the log and the state: whose log it is, closes set aside, what a worker of this version does with the state."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from tidegauge.checks import CheckLine, Grade, grade_of, listed

if TYPE_CHECKING:
    from agents.engine.changelog import Fence
    from deploy.settings import Settings

AHEAD_DAYS: Final = 60  # in which somebody has to know which days are holidays


def identity(settings: Settings) -> Iterator[CheckLine]:
    """Whether the log is the one that these settings are meant for."""
    from streams.calendar import shown_day
    from tidegauge.checks.sight import not_seen
    from tidegauge.world.changes import compared

    entry, problems = compared(settings)
    if problems:  # a topic that is hidden looks as if it were gone
        hidden = [f"topic {name}" for name in not_seen(settings, "identity")]
        problems = [problem for problem in problems if problem.what not in hidden]
    if problems:
        yield CheckLine("identity", Grade.WRONG, "; ".join(map(str, problems)), problems[0].remedy)
        return
    if entry is None:
        yield CheckLine("identity", Grade.GOOD, "the log has none yet: the first worker gives it one")
        return
    found = f"epoch {entry.epoch}, group {entry.identity.group} owns the outputs"
    if days := ", ".join(shown_day(run.asked) for run in entry.closes_left_out):
        found += f"; closes asked for on {days} are left out"
    if any(topic.topic_id is None for topic in entry.identity.topics):
        found += "; the brokers give no topic ids, so that a topic that is made anew goes unnoticed"
    yield CheckLine("identity", Grade.GOOD, found)


def closes_aside(settings: Settings) -> Iterator[CheckLine]:
    """Whether the workers have set a run of closes aside, and nobody has confirmed it or taken it back."""
    from deploy import topics
    from schemas.topics import CLOSES
    from streams.calendar import shown_day
    from tidegauge.knowledge import closes_of

    if not any(entry.partitions for entry in topics.inspect(settings, wait_s=3.0) if entry.topic.name == CLOSES):
        yield CheckLine("closes", Grade.GOOD, "none: there is no topic yet")
        return
    found = closes_of(settings)
    if not found.aside:
        yield CheckLine("closes", Grade.GOOD, f"up to {shown_day(found.last)}" if found.applied else "none yet")
        return
    days = ", ".join(map(shown_day, found.aside))
    hint = f"`tidegauge close {shown_day(found.aside[0])} --force --reason TEXT` confirms it, `--retract` takes it back"
    yield CheckLine(
        "closes", Grade.WRONG, f"set aside, as it asked for a day too far ahead: the run up to {days}", hint
    )


def marks_aside(settings: Settings) -> Iterator[CheckLine]:
    """Whether the workers have set a source's mark of completeness aside; as of their last flush."""
    from deploy.topics import survey
    from streams.calendar import shown_day
    from tidegauge.knowledge import known_by_workers
    from tidegauge.world.check import WorldError, counted

    with suppress(WorldError):  # the topics' own line says so
        settings = counted(settings, survey(settings))
    aside = sorted(known_by_workers(settings).aside.items())
    if not aside:
        yield CheckLine("marks", Grade.GOOD, "of no source is set aside")
        return
    source, day = aside[0]
    command = f"`tidegauge complete {source} {shown_day(day)}"
    hint = f"{command} --force --reason TEXT` confirms it, {command} --retract` takes it back"
    said = listed([f"{name} up to {shown_day(on)}" for name, on in aside])
    yield CheckLine("marks", Grade.WRONG, f"set aside, of a day too far ahead: {said}", hint)


def calendar_ahead(settings: Settings) -> Iterator[CheckLine]:
    """Whether somebody knows the holidays of the days to come: without them nothing is due then."""
    from datetime import datetime, timedelta

    from deploy.topics import survey
    from services.clock.bank_calendar import BankCalendar
    from tidegauge.knowledge import known_by_workers
    from tidegauge.world.check import WorldError, counted

    with suppress(WorldError):  # the topics' own line says so
        settings = counted(settings, survey(settings))
    today = datetime.now(settings.tz).date()
    years = {today.year, (today + timedelta(days=AHEAD_DAYS)).year}
    yield calendar_finding(BankCalendar(known_by_workers(settings).calendar).unknown(years), years)


def calendar_finding(unknown: list[int], years: set[int]) -> CheckLine:
    """What is to be said of years, some of which nobody knows."""
    if not unknown:
        return CheckLine("calendar", Grade.GOOD, f"the holidays of {listed(list(map(str, sorted(years))))} are known")
    hint = "`tidegauge holidays FILE` tells them; cases are not escalated on days that nobody knows"
    return CheckLine("calendar", Grade.WARN, f"the holidays of {listed(list(map(str, unknown)))} are not known", hint)


def state_found(settings: Settings) -> Iterator[CheckLine]:
    """What a worker of this version does with the state that it finds."""
    import asyncio

    from agents.engine import recovery
    from agents.engine.job import RecoveryError, Rejoin
    from deploy.topics import survey
    from policies.language.reader import PackError
    from tidegauge.bootstrap import STANDING
    from tidegauge.world.check import WorldError, counted

    try:
        with suppress(WorldError):  # the topics' own line says so
            settings = counted(settings, survey(settings))
        fences = asyncio.run(recovery.fences(settings, settings.partitions, STANDING))
        if not any(fences):
            yield CheckLine("state", Grade.GOOD, f"none in group {settings.group}: a worker begins with the log")
            return
        said = [_worker_on(settings, partition, fence) for partition, fence in enumerate(fences)]
    except (PackError, Rejoin, RecoveryError) as problem:
        yield CheckLine("state", Grade.WRONG, f"cannot be read: {problem}", "see the other lines")
        return
    texts = Counter(text for _, text in said)
    found = "; ".join(f"{number} of {len(said)} partitions: a worker {text}" for text, number in texts.items())
    hint = "workers stop at such a partition: see Upgrades in docs/operators.md"
    yield CheckLine("state", grade_of(not all(good for good, _ in said)), found, hint)


def _worker_on(settings: Settings, partition: int, fence: Fence | None) -> tuple[bool, str]:
    """(whether it is good, what a worker of this version does with a partition)."""
    from agents.engine.changelog import Changelog, verdict
    from agents.engine.job import RecoveryError
    from agents.engine.recovery import check_meaning
    from tidegauge.bootstrap import standing_jobs

    if fence is None:
        return True, "begins with the log"
    job = standing_jobs(settings)()
    good, text = verdict(job, fence)
    if good and (usable := Changelog(job, f"partition {partition}", fence).usable_fence()) is not None:
        try:
            check_meaning(job, partition, usable)
        except RecoveryError as problem:
            return False, f"refuses: {problem}"
    return good, text


def references(settings: Settings) -> Iterator[CheckLine]:
    """How far a rotation of references is."""
    import asyncio

    from agents.engine import recovery
    from agents.standing.model import RowKey
    from agents.standing.publish.rotation import Moves, said
    from streams.reference import key_fingerprint
    from tidegauge.bootstrap import STANDING

    if settings.previous_secret() is None:
        grade = grade_of(settings.reference_key_retire)
        hint = "TIDEGAUGE_REFERENCE_KEY_RETIRE is for a rotation: remove it"
        yield CheckLine("references", grade, "do not move to another key", hint)
        return
    values = asyncio.run(recovery.last_values(settings, settings.partitions, STANDING, RowKey.REFERENCES))
    mine = key_fingerprint(settings.secret())
    found = [None if value is None else Moves.of(value) for value in values]
    texts = Counter(said(at if at is not None and at.key == mine else None) for at in found)
    yield CheckLine(
        "references", Grade.GOOD, "; ".join(f"{n} of {len(found)} partitions: {text}" for text, n in texts.items())
    )


def handover(settings: Settings) -> Iterator[CheckLine]:
    """How far a takeover is, where there was one."""
    import asyncio

    from agents.engine import recovery
    from agents.standing.publish.handover import Course, course_said
    from tidegauge.bootstrap import STANDING

    fences = asyncio.run(recovery.fences(settings, settings.partitions, STANDING))
    courses = [None if fence is None else Course.of_fence(fence.meta) for fence in fences]
    if any(courses):
        texts = Counter(map(course_said, courses))
        found = "; ".join(f"{number} of {len(courses)} partitions {text}" for text, number in texts.items())
        yield CheckLine("handover", Grade.GOOD, found)


def ticket_log(settings: Settings) -> Iterator[CheckLine]:
    """Whether the steps of tickets go to their own log; nothing where there is no server for tickets, or it gives no answer."""
    from tidegauge.world.tickets import other_log

    other = other_log(settings, claim=False) if settings.has_tickets else None
    if other:
        yield CheckLine(
            "ticket log", Grade.WRONG, f"steps wait in the outbox, as this is not the tickets' log: {other}"
        )
    elif other is not None:
        yield CheckLine("ticket log", Grade.GOOD, "tickets' steps go to their own log")
