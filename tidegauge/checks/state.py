"""Check of the state: what a worker of this version does with it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING

from tidegauge.checks import CheckLine, Grade, grade_of

if TYPE_CHECKING:
    from agents.engine.changelog import Fence
    from deploy.settings import Settings


def state_found(settings: Settings) -> Iterator[CheckLine]:
    """What a worker of this version does with the state that it finds."""
    import asyncio

    from agents.engine import recovery
    from agents.engine.job import RecoveryError, Rejoin
    from policies.language.reader import PackError
    from tidegauge.bootstrap import STANDING

    try:
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
