"""Checks of the worker that runs on this machine."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from tidegauge.checks import CheckLine, Grade

if TYPE_CHECKING:
    from deploy.settings import Settings

_SAID_CHARS_MAX: Final = 300  # of what it says of itself
_REGISTRY: Final = "waits for the schema registry"  # agents.engine.unit


def worker_readiness(settings: Settings) -> Iterator[CheckLine]:
    """What it is waiting for, in its own words; nothing where none answers."""
    from deploy.printable import printable
    from tidegauge.worker_probe import probe_answer, worker_at

    name, port = "worker", settings.metrics_port
    worker = worker_at(settings, port) if port else None
    answer = None if worker is None else probe_answer(settings, port, "/readyz")
    if worker is None or answer is None:
        yield CheckLine(name, Grade.GOOD, f"not looked at: none answers at port {port} of this machine")
        return
    who = f"process {worker['pid']} of group {printable(worker['group'])}"
    if answer.is_success:
        yield CheckLine(name, Grade.GOOD, f"{who} is ready")
        return
    said = printable(answer.text.strip())[:_SAID_CHARS_MAX]
    hint = (
        "bring the schema registry back: the worker then goes on by itself"
        if _REGISTRY in said
        else "see its log, and docs/operators.md#when-something-breaks"
    )
    yield CheckLine(name, Grade.WARN if said == "not yet" else Grade.WRONG, f"{who} is not ready: {said}", hint)
