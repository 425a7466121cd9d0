"""Decides customers as of the day being lived, the one after the last closed day, where their class is decided continuously."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np

from agents.standing.decide.lifecycle.decider import LifecycleDecider, continuous
from agents.standing.model import Chosen, DayClose, Evidence
from policies.compiled.classes import ClassTable
from policies.compiled.program import Plain, look_plain
from streams.accounts.store import Array
from streams.calendar import NO_DAY

_CHUNK: Final = 1 << 14  # customers looked at together
_Cause = Callable[[int], str]


def decide_lived_day(lifecycle: LifecycleDecider, slots: Array, cause: _Cause, close: DayClose | None) -> None:
    """Decides those customers, ascending; `cause` gives the event of each, `close` is the one that has begun the day, if any."""
    day = lifecycle.ledger.closed + 1
    if lifecycle.ledger.closed == NO_DAY:
        return
    lifecycle.columns.reserve()
    for table, rows in lifecycle.rules.parts(lifecycle.ledger.customers, slots):
        mine = slots[rows]
        # While a source is stale, what it puts off waits for a close.
        if continuous(table) and not lifecycle.measures.stale(table.pack, day - 1):
            for at in range(0, len(mine), _CHUNK):
                _decide_class(lifecycle, table, mine[at : at + _CHUNK], day, cause, close)


def _decide_class(
    lifecycle: LifecycleDecider, table: ClassTable, slots: Array, day: int, cause: _Cause, close: DayClose | None
) -> None:  # fmt: skip
    ledger, policy, scopes = lifecycle.ledger, table.policy, table.pack.scopes
    official, known = lifecycle.columns.tiers(table, slots)
    scope = next((scopes[name] for _, name in table.program.needs if name is not None), next(iter(scopes.values())))
    mask = ledger.scope_of(sorted(scope))
    found = Chosen(scope, ledger.metrics(mask, day, slots), np.arange(len(slots)))
    columns = lifecycle.measures.of(table, slots, day, found)
    measured, held = table.program.evaluate(columns) if columns else (known, np.ones(len(slots), np.bool_))
    own = lifecycle.columns.own_state(slots)
    due = (measured != known) | (own & lifecycle.columns.awaits_close(slots))
    if policy.status.basis == "metric":
        ready = np.full(len(slots), not policy.status.requires)
        now = look_plain(policy, Plain(official, lifecycle.columns.below(slots).astype(np.int64), ready), measured)
        due |= ~own & (now.official != official)
    for i in np.flatnonzero(due & ~held).tolist():
        slot = int(slots[i])
        lifecycle.look(table, day, slot, int(measured[i]), cause(slot), Evidence(columns, i, day), close)
