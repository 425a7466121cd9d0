"""The check of a running process: twice a minute, whether the log is still the one that it began with."""

from __future__ import annotations

import logging
import os
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from tidegauge.cli.failures import last_line
from tidegauge.cli.output import error
from tidegauge.world.check import World, WorldError, check_world, refused
from tidegauge.world.found import USES_SHADOW
from tidegauge.world.identity import Identity, mismatches
from tidegauge.world.shadow import AWAY, overtaken

log = logging.getLogger(__name__)

EVERY_S: Final = 30.0
AGAIN_S: Final = 5.0  # a cluster that is just starting is no other one: what differs, differs twice


@dataclass(slots=True)
class Watch:
    """Looks at the log beside a process, whose settings stay as it began with. All workers have USES_SHADOW.

    A worker's own topics are looked at by its rounds (agents.engine.watch).
    """

    world: World
    uses: frozenset[str]
    shadow: bool = False
    tell: Callable[[World], object] = lambda _: None  # hears of the world at every look that finds it good

    def look(self) -> WorldError | None:
        """What is no longer as this process found it; None where all is, or where nobody can be asked."""
        try:
            begun = self.world.found
            now = check_world(self.world.settings, self.uses, begun)
            identity = now.found
            place = Identity(cluster_id=begun.cluster_id, topic_prefix=begun.topic_prefix, topics=begun.topics)
            if problems := mismatches(place, identity):
                return refused(problems)
            if self.uses >= USES_SHADOW and (gone := overtaken(self.world, now.entry, shadow=self.shadow)) is not None:
                return gone
            if self.world.entry is not None and now.entry is None:
                return WorldError("the log has lost its identity", "start this again: a worker gives it one")
            self.tell(now)
            return None
        except WorldError as problem:
            return problem
        except AWAY as problem:  # other checks' business
            log.warning("the log's identity can't be looked at: %s", problem)
            return None

    def keep_looking(self, changed: Callable[[WorldError], object], stopped: threading.Event) -> None:
        """Look until `stopped`; what differs twice is told to `changed`, and the looking ends."""
        while not stopped.wait(EVERY_S):
            if self.look() is not None and not stopped.wait(AGAIN_S) and (problem := self.look()) is not None:
                changed(problem)
                return

    def start(self, changed: Callable[[WorldError], object]) -> threading.Event:
        """Look in a thread of its own; setting what is returned ends it."""
        stopped = threading.Event()
        threading.Thread(target=self.keep_looking, args=(changed, stopped), name="world", daemon=True).start()
        return stopped


def end_process(problem: WorldError) -> None:
    """End this process at once, with one line.

    Nothing is finished or committed: what is open belongs to a log that is no more. Kafka ends the transaction itself.
    """
    line = last_line(problem)
    error(str(line))
    sys.stderr.flush()
    os._exit(line.code)
