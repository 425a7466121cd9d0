"""`tidegauge doctor`: looks at everything that can be wrong around Tidegauge, and says what to do.

Tidegauge's own packages are imported only when it is known that they are Tidegauge's.
"""

from __future__ import annotations

import importlib.metadata
import platform
import shutil
import sys
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import typer
from rich.markup import escape

from tidegauge.cli import packages
from tidegauge.cli.failures import line_for
from tidegauge.cli.output import FAILED_CHECK, JSON, console, emit

if TYPE_CHECKING:
    from agents.engine.changelog import Fence
    from deploy.settings import Settings

app = typer.Typer()

PACKAGES = (
    "faust-streaming",
    "aiokafka",
    "confluent-kafka",
    "fastavro",
    "numba",
    "numpy",
    "redis",
    "prometheus-client",
)
GLIBC_MIN = (2, 28)


class Check(NamedTuple):
    """The result of one look. `hint` says what to do when it is not good."""

    name: str
    good: bool
    found: str
    hint: str = ""


@app.command("doctor")
def doctor(
    data: Path | None = typer.Option(None, "--data", help="Data folder of the embedded stack."),
    as_json: bool = JSON,
) -> None:
    """Check this machine, the servers and the topics. Exit code 1 if anything is not good."""
    results: list[Check] = []

    def note(result: Check) -> None:
        results.append(result)
        if not as_json:
            _show(result)

    for look in (_python, _libc, _packages, _own_packages):
        note(look())
    if results[-1].good:
        from deploy.settings import Settings

        settings = Settings() if data is None else Settings(data_dir=data)
        for look_at in (_disk, _jars, _kafka, _redis, _topics, _identity, _registry, _records, _closes, state_found):
            note(_careful(look_at, settings))
    if as_json:
        emit([result._asdict() for result in results])
    if not all(result.good for result in results):
        raise typer.Exit(FAILED_CHECK)


def _show(result: Check) -> None:
    mark = "[green]good[/green]" if result.good else "[red]bad [/red]"
    console.print(f"{mark} {result.name}: {escape(result.found)}", soft_wrap=True, markup=True)
    if result.hint and not result.good:
        console.print(f"       {result.hint}", soft_wrap=True)


def _careful(look: Callable[[Settings], Check], settings: Settings) -> Check:
    """A look whose failure is its result."""
    try:
        return look(settings)
    except Exception as problem:
        line = line_for(problem)
        if line is None:
            raise
        return Check(look.__name__.removeprefix("_").partition("_")[0], False, str(line), line.hint)


def _python() -> Check:
    version = ".".join(str(part) for part in sys.version_info[:3])
    return Check(
        "python", (3, 11) <= sys.version_info < (3, 15), f"{version} on {platform.machine()}", "use 3.11 to 3.14"
    )


def _libc() -> Check:
    name, version = platform.libc_ver()
    if name != "glibc":
        return Check("libc", sys.platform == "darwin", name or platform.system(), "there are no numba wheels for it")
    parts = tuple(int(part) for part in version.split(".")[:2])
    return Check("libc", parts >= GLIBC_MIN, f"glibc {version}", "glibc 2.28 or newer is needed")


def _packages() -> Check:
    found, missing = [], []
    for name in PACKAGES:
        try:
            found.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            missing.append(name)
    text = f"missing: {', '.join(missing)}" if missing else ", ".join(found)
    return Check("packages", not missing, text, "run `make install`")


def _own_packages() -> Check:
    found = packages.foreign()
    text = "; ".join(str(one) for one in found) or f"all {len(packages.TOP_LEVEL)} in {packages.ROOT}"
    return Check("own packages", not found, text, packages.way_out(found) if found else "")


def _disk(settings: Settings) -> Check:
    from deploy.settings import DISK_FREE_MIN_BYTES

    folder = settings.data_dir.absolute()
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    return Check(
        "disk", free >= DISK_FREE_MIN_BYTES, f"{free >> 30} GB free at {folder}", "use a folder on another disk"
    )


def _jars(settings: Settings) -> Check:
    if settings.external:
        return Check("kafka jars", True, "not needed: TIDEGAUGE_BOOTSTRAP_SERVERS is set")
    if lack := packages.lacking("embedded"):
        return Check("kafka jars", False, f"the embedded Kafka {lack}", "or set TIDEGAUGE_BOOTSTRAP_SERVERS to yours")
    from deploy.embedded import jars

    paths = jars.class_path(settings.home(), settings.maven_mirror)
    return Check(
        "kafka jars", True, f"{len(paths)} jars, as pinned" if not settings.home() else f"of {settings.home()}"
    )


def _kafka(settings: Settings) -> Check:
    from deploy import record, topics

    found = topics.inspect(settings, wait_s=3.0)
    ours = () if settings.external or packages.lacking("embedded") else record.processes(settings.data_dir)
    mine = "external" if settings.external else f"{sum(entry.alive() for entry in ours)} processes of ours"
    return Check("kafka", bool(found), f"answers at {settings.kafka} ({mine})")


def _registry(settings: Settings) -> Check:
    from schemas.registry import RegistryError, UnregisteredError, names, registry_for

    if not settings.schema_registry_url:
        return Check("schema registry", True, "none is set: ids come from the files")
    where = f"{settings.schema_registry_url.rpartition('@')[2]}"
    try:
        found = [registry_for(settings).id_of(name) for name in names()]
    except UnregisteredError as problem:
        return Check("schema registry", False, str(problem), "run `tidegauge schemas register`")
    except RegistryError as problem:
        hint = "correct TIDEGAUGE_SCHEMA_REGISTRY_URL, or bring it back: workers wait at records with an id they have not met"
        return Check("schema registry", False, str(problem), hint)
    return Check("schema registry", True, f"has all {len(found)} contracts at {where}")


def _redis(settings: Settings) -> Check:
    from deploy import ping

    hint = "start the embedded one with `tidegauge up`, or correct TIDEGAUGE_REDIS_URL"
    if not ping.answers(settings.redis):
        return Check("redis", False, f"no answer at {settings.redis_shown}", hint)
    return Check("redis", True, f"answers at {settings.redis_shown}")


def _topics(settings: Settings) -> Check:
    from deploy import topics

    found = topics.inspect(settings, wait_s=3.0)
    missing = [entry.full_name for entry in found if not entry.partitions]
    counts = {entry.full_name: entry.partitions for entry in found if not entry.topic.one_partition}
    usual = max(counts.values(), key=list(counts.values()).count)
    odd = [f"{name} {count}" for name, count in counts.items() if count != usual]
    if missing:
        return Check("topics", False, f"missing: {', '.join(missing)}", "run `tidegauge topics --create`")
    if odd:
        hint = "all must have the same number: docs/operators.md#world"
        return Check("topics", False, f"{usual} partitions, but {', '.join(odd)}", hint)
    return Check("topics", True, f"all {len(found)}, {usual} partitions each")


def _identity(settings: Settings) -> Check:
    """Whether the log is the one that these settings are meant for."""
    from tidegauge.world.changes import compared

    entry, problems = compared(settings)
    if problems:
        return Check("identity", False, "; ".join(map(str, problems)), problems[0].remedy)
    if entry is None:
        return Check("identity", True, "the log has none yet: the first worker gives it one")
    found = f"epoch {entry.epoch}, group {entry.identity.group} owns the outputs"
    if any(topic.topic_id is None for topic in entry.identity.topics):
        found += "; the brokers give no topic ids, so that a topic that is made anew goes unnoticed"
    return Check("identity", True, found)


def _records(settings: Settings) -> Check:
    """Whether producers have put records lately where they do not belong."""
    from tidegauge.cli.operation import misplaced

    found = misplaced.lately(settings)
    text = "; ".join(f"{topic}: {count} × {reason}" for (topic, reason), count in sorted(found.items()))
    hint = "its producer needs customer_id as the key and murmur2 as the partitioner: docs/integrators.md#topics"
    return Check("records", not found, f"lay wrong since yesterday: {text}" if found else "none lay wrong lately", hint)


def _closes(settings: Settings) -> Check:
    """Whether the workers have set a run of closes aside, and nobody has confirmed it or taken it back."""
    from connectors.loading.closer import history
    from deploy import topics
    from schemas.topics import CLOSES
    from streams.calendar import shown_day

    if not any(entry.partitions for entry in topics.inspect(settings, wait_s=3.0) if entry.topic.name == CLOSES):
        return Check("closes", True, "none: there is no topic yet")
    found = history(settings)
    if not found.aside:
        return Check("closes", True, f"up to {shown_day(found.last)}" if found.applied else "none yet")
    days = ", ".join(map(shown_day, found.aside))
    hint = f"`tidegauge close {shown_day(found.aside[0])} --force --reason TEXT` confirms it, `--retract` takes it back"
    return Check("closes", False, f"set aside, as it asked for a day too far ahead: the run up to {days}", hint)


def state_found(settings: Settings) -> Check:
    """What a worker of this version does with the state that it finds."""
    import asyncio

    from aiokafka.errors import KafkaError

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
            return Check("state", True, f"none in group {settings.group}: a worker begins with the log")
        said = [_worker_on(settings, partition, fence) for partition, fence in enumerate(fences)]
    except (PackError, KafkaError, Rejoin, RecoveryError) as problem:
        return Check("state", False, f"cannot be read: {problem}", "see the other lines")
    texts = Counter(text for _, text in said)
    found = "; ".join(f"{number} of {len(said)} partitions: a worker {text}" for text, number in texts.items())
    return Check(
        "state",
        all(good for good, _ in said),
        found,
        "workers stop at such a partition: see Upgrades in docs/operators.md",
    )


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
