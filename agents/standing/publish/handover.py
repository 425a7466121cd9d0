"""The handover of the outputs: who has run as a shadow publishes every customer anew once its group owns them.

A shadow's records went to topics of its own, so its state says in a row that it is one. A worker that owns the outputs and finds
that row publishes standing, outlook and queue class of all customers under its epoch. Each transaction takes so many, in order of
their ids, and says in the row how far it has come: a crash leaves nothing out.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Final, NamedTuple

import numpy as np

from agents.engine.job import Pair
from agents.standing.model import RowKey, Tally
from agents.standing.publish.rotation import MOVED_MAX
from streams.accounts.ledger import Ledger
from streams.accounts.store import Array

_HANDOVER: Final = "handover"


class Course(NamedTuple):
    """A row. shadow: the outputs go to a shadow's topics; after: the last customer who was published anew; done: all were."""

    shadow: bool
    after: str = ""
    done: bool = False

    @classmethod
    def of(cls, value: bytes) -> Course:
        """A row back."""
        return cls(**json.loads(value))

    @classmethod
    def of_fence(cls, meta: bytes) -> Course | None:
        """How far it was at a fence, by its meta; None where the outputs have always been the owner's."""
        saved = json.loads(meta).get(_HANDOVER)
        return None if saved is None else cls(**saved)


class Handover:
    """`show` publishes customers under a version of queue classes; `shadow`: this worker is one."""

    def __init__(self, ledger: Ledger, show: Callable[[Array, int], object], counts: Tally, *, shadow: bool) -> None:
        self._ledger, self._show, self._counts, self.shadow = ledger, show, counts, shadow
        self.at: Course | None = None  # None: the outputs of this state have always been the owner's
        self._left: list[int] | None = None  # slots, in order of the ids; None: not looked at yet
        self._changed = False
        self.untold = False  # what fences say of a handover is not what it is: the next one is due though nothing comes

    def begin(self) -> None:
        """Everything is loaded."""
        if self.shadow != (self.at is not None and self.at.shadow):
            self._to(Course(self.shadow))

    @property
    def pending(self) -> bool:
        """Whether customers are left to be published anew."""
        return self.at is not None and not self.at.shadow and not self.at.done

    @property
    def has_work(self) -> bool:
        """Whether there is something to write though no event comes. A state that holds nothing yet waits for its first."""
        return self.pending or (self._changed and self._ledger.customers.count > 0)

    def step(self, version: int) -> bool:
        """Publishes the next customers; whether more are left. `version` as of agents.standing.publish.publisher."""
        if self.at is None or not self.pending:
            return False
        left = self._slots(self.at)
        slots, self._left = np.array(left[:MOVED_MAX], np.int64), left[MOVED_MAX:]
        if len(slots):
            self._show(slots, version)
            self._counts.add("published_anew", len(slots))
            self.at = self.at._replace(after=self._ledger.customer_id(int(slots[-1])))
        self._to(self.at._replace(done=not self._left))
        return self.pending

    def _slots(self, at: Course) -> list[int]:
        if self._left is None:
            customers = self._ledger.customers
            named = sorted((customers.id(slot), slot) for slot in range(customers.count))
            self._left = [slot for name, slot in named if name > at.after]
        return self._left

    def _to(self, at: Course) -> None:
        self.at, self._changed, self.untold = at, True, not at.shadow

    def entry(self) -> dict[str, Any]:
        """As an entry of a fence's meta that is made now, for those who ask: a row may be anywhere in the changelog."""
        self.untold = False
        return {} if self.at is None else {_HANDOVER: self.at._asdict()}

    # -- rows

    def take_rows(self) -> list[Pair]:
        """The row, if it has changed since the last call."""
        changed, self._changed = self._changed, False
        return [(RowKey.HANDOVER, json.dumps(self.at._asdict()).encode())] if changed and self.at is not None else []

    def load(self, value: bytes) -> None:
        """The row back."""
        self.at = Course.of(value)


def course_said(at: Course | None) -> str:
    """How far a handover is, in words."""
    if at is None:
        return "own the outputs"
    if at.shadow:
        return "are a shadow's"
    return "own the outputs, every customer was published anew" if at.done else "publish every customer anew"
