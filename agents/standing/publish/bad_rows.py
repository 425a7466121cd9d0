"""Dead letters about the bad rows of a block: one each, or one for many (schemas.letters)."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np

from agents.standing.intake.facts import FACT_REASONS, UNKNOWN_FACT, unknown_fact
from agents.standing.intake.lanes import Lane
from agents.standing.model import Tally
from agents.standing.publish.publisher import OutputPublisher
from policies.model.pack import Pack
from schemas.codec.blocks import Columns
from schemas.codec.status import Status
from schemas.partitioner import MISPLACED
from schemas.validation.columns import WORDS_OF
from streams.accounts.store import Array

_REASONS = WORDS_OF | FACT_REASONS | MISPLACED


class BadRows:
    """Tells of a partition's bad rows, and counts each; `packs`: those that are known now."""

    def __init__(self, publisher: OutputPublisher, counts: Tally, packs: Callable[[], Iterable[Pack]]) -> None:
        self.publisher, self.counts, self.packs = publisher, counts, packs

    def tell(self, lane: Lane, columns: Columns, first: int, last: int) -> None:
        """Those among rows [first, last) of a lane."""
        bad = np.flatnonzero(columns.status[first:last] >= Status.BAD_MAGIC) + first
        if not len(bad):
            return
        status = columns.status[bad]
        self.counts.add("dead_letters", len(bad))
        self.counts.add("misplaced", int(np.count_nonzero(np.isin(status, list(MISPLACED)))))
        own, shared = np.ones(len(bad), bool), list[tuple[str, Array]]()
        for one in np.unique(status).tolist():
            reason, mine = _REASONS.get(one, "bad"), np.flatnonzero(status == one)
            # The first one that has no letter of its own begins the one of all others.
            over = mine[self.publisher.letters.room(self._subject(lane, reason)) + 1 :]
            own[over] = False
            if len(over):
                shared.append((reason, bad[over]))
        for i in bad[own].tolist():
            self._one(lane, columns, i)
        for reason, rows in shared:
            at = int(rows[-1])
            to = columns.original(at).last
            end = int(columns.offset[at]) if to is None else to
            self.publisher.letters.more(self._subject(lane, reason), len(rows), end)

    def _subject(self, lane: Lane, reason: str) -> tuple[str, int, str]:
        return lane.topic, self.publisher.partition, reason

    def _one(self, lane: Lane, columns: Columns, i: int) -> None:
        status, at, fields = int(columns.status[i]), int(columns.field[i]), lane.reader.fields
        self.publisher.dead_letter(
            lane.topic, int(columns.offset[i]), _REASONS.get(status, "bad"), columns.original(i),
            fields[at] if at >= 0 else None,
            self._about_fact(columns, i, at) if status == UNKNOWN_FACT else lane.detail(columns, i),
        )  # fmt: skip

    def _about_fact(self, columns: Columns, i: int, at: int) -> str:
        return unknown_fact(columns.text_at(int(columns.data[i, at])) or "", self.packs())
