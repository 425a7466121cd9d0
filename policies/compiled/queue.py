"""The queue of a pack for the discipline: its queue classes of all customers in one order, and what orders their tickets."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Final

from policies.language.reader import PackError, Problem
from streams.queue.discipline import Discipline

if TYPE_CHECKING:
    from policies.model.pack import Pack, QueueClass

MINUTE_S: Final = 60


@dataclass(frozen=True)
class CompiledQueue:
    """`classes`: first called first; a class's place is its code in the discipline."""

    classes: tuple[QueueClass, ...]
    discipline: Discipline

    @cached_property
    def ids(self) -> tuple[str, ...]:
        """Ids of the classes, by code."""
        return tuple(one.id for one in self.classes)

    @cached_property
    def codes(self) -> dict[str, int]:
        """Codes of the classes, by id."""
        return {name: code for code, name in enumerate(self.ids)}


def compile_queue(pack: Pack, order: str | None = None) -> CompiledQueue:
    """The queue of a pack, in another order if one is given.

    A branch has one queue for personal and corporate customers: their classes are merged by head start, and one that both have
    must be the same in both. PackError where it is not, and for a pack without queue classes.
    """
    queues = [policy.queue for policy in pack.classes.values() if policy.queue.classes]
    if not queues:
        raise _problem(pack, "it has no queue classes")
    first = queues[0]
    known: dict[str, QueueClass] = {}
    for queue in queues:
        if (queue.order, queue.overtakers_max) != (first.order, first.overtakers_max):
            raise _problem(pack, "order and overtakers_max must be the same for all classes of customers")
        for one in queue.classes:
            same = known.setdefault(one.id, one)
            if (same.head_start_minutes, same.calls_a_round) != (one.head_start_minutes, one.calls_a_round):
                raise _problem(pack, f"class {one.id} must be the same for all classes of customers")
    classes = tuple(sorted(known.values(), key=lambda one: -one.head_start_minutes))
    rule = Discipline(
        order or first.order,
        tuple(one.head_start_minutes * MINUTE_S for one in classes),
        tuple(one.calls_a_round or len(classes) - place for place, one in enumerate(classes)),
        first.overtakers_max,
    )
    return CompiledQueue(classes, rule)


def _problem(pack: Pack, message: str) -> PackError:
    return PackError([Problem(pack.id, 1, "queue", message)])
