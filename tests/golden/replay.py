"""A job led through the recording, and everything in which it differs from it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from tests.golden.engine import MARKS, Log, Worker, account_rows, every_row
from tests.golden.formats import order_free
from tests.golden.recording import Recording, Step

DIFFERENCES_MAX = 5


class Lived(NamedTuple):
    """Where a job differs from the recording, and every changelog row that it would have written."""

    differences: list[str]
    rows: list[tuple[bytes, bytes | None]]


def from_empty(found: Recording) -> Lived:
    """The whole input from the beginning: outputs and rows exactly as recorded, in their order."""
    worker, out = Worker.fresh(found.settings, Log(found.inputs)), list[str]()
    written: list[tuple[bytes, bytes | None]] = [(key.encode(), value.encode()) for key, value in MARKS]
    for number, step in enumerate(found.steps):
        worker.feed(step.fed)
        outputs, rows = worker.work()
        out += unlike(f"step {number}: outputs", outputs, step.outputs)
        out += unlike(f"step {number}: rows", rows, step.rows)
        out += beside(number, step, worker)
        fences = [] if step.fence is None else [(b"@fence", worker.fence())]
        written += [
            *rows,
            *account_rows(worker.job, dict(step.flushed)).items(),
            *fences,
            (b"@commit", worker.positions()),
        ]
    return Lived(out[:DIFFERENCES_MAX], written)


def of_today(found: Recording, cuts: Iterable[int]) -> Recording:
    """The same input and steps, with what today's program says and writes, and its state behind some steps."""
    worker, again = Worker.fresh(found.settings, Log(found.inputs)), Recording(found.settings, found.inputs)
    for step in found.steps:
        worker.feed(step.fed)
        outputs, rows = worker.work()
        flushed = [*account_rows(worker.job, dict(step.flushed)).items()] if step.flushed else []
        fence = None if step.fence is None else worker.fence()
        positions = None if step.positions is None else worker.positions()
        again.steps.append(Step(step.fed, outputs, rows, [*flushed], fence, step.fenced, positions))
    for cut in cuts:
        worker = Worker.fresh(found.settings, Log(found.inputs))
        for step in found.steps[: cut + 1]:
            worker.feed(step.fed)
            worker.work()
        again.states[cut] = every_row(worker.job)
    return again


def onwards(found: Recording, cut: int, worker: Worker) -> list[str]:
    """The input behind a cut, in a job that was recovered there.

    Slots are given anew by a recovery, so records of different keys may come in another order; those of a key may not.
    """
    out = list[str]()
    reached: dict[str, int] = {}
    for step in found.steps[: cut + 1]:
        reached |= step.fed
    worker.feed(reached)  # read by then, but held back by a mark
    for number, step in enumerate(found.steps[cut + 1 :], cut + 1):
        worker.feed(step.fed)
        outputs, rows = worker.work()
        wanted = by_key((topic, key, value) for topic, key, value in step.outputs)
        out += unlike(f"step {number}: outputs", by_key(outputs), wanted)
        out += unlike(
            f"step {number}: rows", by_key(("", *row) for row in rows), by_key(("", *row) for row in step.rows)
        )
        out += beside(number, step, worker, recovered=True)
        if len(out) >= DIFFERENCES_MAX:
            break
    return out


def beside(number: int, step: Step, worker: Worker, *, recovered: bool = False) -> list[str]:
    """Positions, the fence of a flush that began here, and the account rows of its part."""
    out = [] if step.positions is None else unlike(f"step {number}: positions", worker.positions(), step.positions)
    if step.fence is not None:
        out += unlike(f"step {number}: fence", worker.fence(), step.fence)
    if step.flushed:
        mine, wanted = account_rows(worker.job, dict(step.flushed)), dict(step.flushed)
        out += unlike(f"step {number}: account rows", *(map(meant, (mine, wanted)) if recovered else (mine, wanted)))
    return out


def meant(rows: Mapping[bytes, bytes | None]) -> dict[bytes, Any]:
    """Rows as they are, those of accounts as far as they do not depend on which topic was read first."""
    return {key: order_free(value or b"") if key.startswith(b"a") else value for key, value in rows.items()}


def by_key(records: Iterable[tuple[str, bytes, bytes | None]]) -> dict[tuple[str, bytes], list[bytes | None]]:
    """Values in order, by topic and key."""
    found: dict[tuple[str, bytes], list[bytes | None]] = defaultdict(list)
    for topic, key, value in records:
        found[topic, key].append(value)
    return dict(found)


def unlike(what: str, mine: Any, wanted: Any) -> list[str]:
    """Where two of the same kind first differ; nothing if they don't."""
    if mine == wanted:
        return []
    if isinstance(mine, dict):
        keys = [key for key in [*wanted, *mine] if mine.get(key) != wanted.get(key)]
        return [f"{what}, {keys[0]!r}: {mine.get(keys[0])!r}, recorded is {wanted.get(keys[0])!r}"]
    if isinstance(mine, list):
        at = next((i for i, pair in enumerate(zip(mine, wanted, strict=False)) if pair[0] != pair[1]), None)
        if at is None:
            return [f"{what}: {len(mine)} of them, recorded are {len(wanted)}"]
        return [f"{what}, number {at}: {mine[at]!r}, recorded is {wanted[at]!r}"]
    return [f"{what}: {mine!r}, recorded is {wanted!r}"]
