"""What goes on behind the interface, in a process of its own: so its work takes no turn from the requests'."""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import threading
from typing import TYPE_CHECKING, Final

from services.queue.tickets.setup import APART, BEHIND_STOP_S, RETRY_AFTER_S, Behind

if TYPE_CHECKING:
    from collections.abc import Callable
    from multiprocessing.connection import Connection

    from deploy.settings import Settings
    from services.queue.lookup import Lookup
    from services.views.kafka_source import NewReader

log = logging.getLogger(__name__)
BEHIND_NICE: Final = 5
"""Relay and changes of class give way to requests; both have what comes in a tenth of a second."""


class BehindProcess:
    """Keeps a process with a Behind running until `stop`. Everything given is taken along to it.

    set_up: what the process does first, such as its log. new_lookup: a look-up for the calling thread. other_log: as of Behind.
    """

    def __init__(
        self,
        settings: Settings,
        new_lookup: Callable[[], Lookup],
        new_reader: NewReader,
        set_up: Callable[[], None],
        other_log: Callable[[], str | None],
    ) -> None:
        self._given = (settings, new_lookup, new_reader, set_up, other_log)
        self._over = threading.Event()
        self._keeper = threading.Thread(target=self._keep, name="tickets-behind", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._keeper.start()

    def stop(self) -> None:
        """End; what is not relayed stays in the outbox."""
        self._over.set()
        self._keeper.join(2 * BEHIND_STOP_S)

    def _keep(self) -> None:
        context = multiprocessing.get_context("spawn")
        while not self._over.is_set():
            told, tell = context.Pipe(duplex=False)  # its end is the word to end, also when this process dies
            process = context.Process(target=work_behind, args=(told, *self._given), name="tickets-behind", daemon=True)
            process.start()
            told.close()
            while process.is_alive() and not self._over.wait(RETRY_AFTER_S):
                pass
            tell.close()
            process.join(BEHIND_STOP_S)
            if process.is_alive():
                process.kill()
                process.join()
            elif not self._over.is_set():
                log.warning("what goes on behind tickets has ended with %s, and begins again", process.exitcode)


def work_behind(
    told: Connection,
    settings: Settings,
    new_lookup: Callable[[], Lookup],
    new_reader: NewReader,
    set_up: Callable[[], None],
    other_log: Callable[[], str | None],
) -> None:
    """The process: it works until the other end of the pipe is closed."""
    for number in (
        signal.SIGINT,
        signal.SIGHUP,
        signal.SIGTERM,
    ):  # sent to all of a terminal or a unit: the parent says
        signal.signal(number, signal.SIG_IGN)
    os.nice(BEHIND_NICE)
    set_up()
    behind = Behind(settings, None, new_lookup, new_reader, APART, other_log)
    behind.start()
    told.poll(None)
    behind.stop()
