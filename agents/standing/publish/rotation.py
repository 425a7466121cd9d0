"""The rotation of references: what `queue-priority` says of a customer is moved from one key's reference to another's.

A worker with a new key and the previous one first publishes everybody under the new reference too: both are kept up to date
then, so that whoever makes references can change in between. Told to, it takes the previous ones back. Each transaction moves
so many customers, in order of their ids, and says in its row how far it has come: a crash repeats nothing and leaves nothing out.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from typing import Any, Final, NamedTuple

import numpy as np

from agents.engine.job import Pair, RecoveryError
from agents.standing.model import Keyring, RowKey, Tally
from streams.accounts.ledger import Ledger
from streams.accounts.store import Array
from streams.reference import key_fingerprint

MOVED_MAX: Final = 1 << 13  # customers in a transaction
log = logging.getLogger(__name__)


class Moves(NamedTuple):
    """A row. key, previous: fingerprints; retired: the previous references are being taken back; after: the last customer."""

    key: str
    previous: str
    retired: bool
    after: str
    done: bool

    @classmethod
    def of(cls, value: bytes) -> Moves:
        """A row back."""
        return cls(**json.loads(value))

    @property
    def over(self) -> bool:
        """Whether no previous reference is left."""
        return self.retired and self.done


class Rotation:
    """`show` publishes customers under the new reference, `retire` takes their previous ones back."""

    def __init__(
        self, keys: Keyring, ledger: Ledger, show: Callable[[Array, int], object], retire: Callable[[Array], object],
        counts: Tally,
    ) -> None:  # fmt: skip
        self._keys, self._ledger, self._show, self._retire, self._counts = keys, ledger, show, retire, counts
        self.key = key_fingerprint(keys.references)
        self.previous = None if keys.previous is None else key_fingerprint(keys.previous)
        self.at: Moves | None = None
        self._left: list[int] | None = None  # slots, in order of the ids; None: not looked at yet
        self._changed = False

    @property
    def both(self) -> bool:
        """Whether changes are published under the previous reference too."""
        return self.previous is not None and self.at is not None and not self.at.retired

    def begin(self, kept: str | None) -> None:
        """Everything is loaded; `kept`: the fingerprint that the state was kept with. RecoveryError for a wrong key."""
        at = self.at
        if at is not None and not at.over and (at.key, at.previous) != (self.key, self.previous):
            raise RecoveryError(
                f"references are moving from key (fingerprint) {at.previous} to {at.key}: "
                "set TIDEGAUGE_REFERENCE_KEY and TIDEGAUGE_REFERENCE_KEY_PREVIOUS to these until it is finished"
            )
        if self.previous is not None and kept == self.previous and (at is None or at.key != self.key):
            self._to(Moves(self.key, self.previous, retired=False, after="", done=False))

    def comes_from(self, kept: str | None) -> bool:
        """Whether a state that was kept with this key goes on with the new one. A fence may be older than the last move."""
        at = self.at
        finished = at is not None and at.over and (at.key, at.previous) == (self.key, kept)
        return kept is not None and (kept == self.previous or finished)

    @property
    def pending(self) -> bool:
        """Whether there is anything left to move."""
        at = self.at
        if at is None or self.previous is None or at.over or at.key != self.key:
            return False
        return not at.done or self._keys.retire

    def step(self, version: int) -> bool:
        """Moves the next customers; whether more are left. `version` as of agents.standing.publish.publisher."""
        at = self.at
        if at is None or not self.pending:
            return False
        if at.done:
            at = self._to(at._replace(retired=True, after="", done=False))
        left = self._slots(at)
        slots, self._left = np.array(left[:MOVED_MAX], np.int64), left[MOVED_MAX:]
        if len(slots):
            if at.retired:
                self._retire(slots)
            else:
                self._show(slots, version)
            self._counts.add("references_retired" if at.retired else "references_shown", len(slots))
            at = at._replace(after=self._ledger.customer_id(int(slots[-1])))
        self._to(at._replace(done=not self._left))
        return self.pending

    def _slots(self, at: Moves) -> list[int]:
        if self._left is None:
            customers = self._ledger.customers
            published = np.flatnonzero(customers.queue_classes(np.arange(customers.count)) >= 0).tolist()
            named = sorted((customers.id(slot), slot) for slot in published)
            self._left = [slot for name, slot in named if name > at.after]
        return self._left

    def _to(self, at: Moves) -> Moves:
        before, self.at, self._changed = self.at, at, True
        if before is None or (before.retired, before.done) != (at.retired, at.done) or before.key != at.key:
            self._left = None if not at.done else []
            log.info("references of key %s beside those of %s: %s", at.key, at.previous, said(at))
        return at

    # -- rows

    def take_rows(self) -> list[Pair]:
        """The row, if it has changed since the last call."""
        changed, self._changed = self._changed, False
        at: dict[str, Any] = {} if self.at is None else self.at._asdict()
        return [(RowKey.REFERENCES, json.dumps(at).encode())] if changed else []

    def load(self, value: bytes) -> None:
        """The row back."""
        self.at = Moves.of(value)


def said(at: Moves | None) -> str:
    """How far a rotation is, in words, and what is to be done next."""
    if at is None:
        return "a worker with this key begins to publish the new references"
    if at.over:
        return (
            "finished, the previous references are taken back: remove TIDEGAUGE_REFERENCE_KEY_PREVIOUS "
            "and TIDEGAUGE_REFERENCE_KEY_RETIRE"
        )
    if at.retired:
        return "the previous references are being taken back"
    if at.done:
        return (
            "both are published: give the new key to whoever makes references, "
            "then set TIDEGAUGE_REFERENCE_KEY_RETIRE=true"
        )
    return "the new references are being published"
