"""How a process that runs on ends: whatever it is, one last line says it."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final

from tidegauge.cli.failures import DEBUG, last_line

if TYPE_CHECKING:
    from uvicorn import Server

STDERR: Final = 2  # as a stream it may be in the middle of a line
STOPS: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


@contextmanager
def one_last_line() -> Iterator[None]:
    """Whatever ends a process that was to run on is said in one line."""
    try:
        yield
    except Exception as problem:
        if os.environ.get(DEBUG):
            raise
        raise last_line(problem) from problem
    finally:
        if not os.environ.get(DEBUG):  # what a thread meets that is left behind would be said after the last line
            threading.excepthook = lambda _: None


def until_told() -> threading.Event:
    """An event that a signal to stop sets."""
    told = threading.Event()
    for number in STOPS:
        signal.signal(number, lambda *_: told.set())
    return told


def ends_early(said: str) -> None:
    """Until the frameworks take the signals: end well, with these words.

    At once, and not by an exception: that may come in the middle of a finaliser, where Python passes over it, and the
    process would go on. Whatever it had begun is left as `kill -9` would leave it.
    """

    def end(*_: object) -> None:
        with suppress(OSError):
            os.write(STDERR, f"{said}\n".encode())
        os._exit(0)

    for number in STOPS:
        signal.signal(number, end)


def ended_by_stops(serving: Server) -> None:
    """A signal to stop ends a web server, which takes two of them while it runs, and raises them again behind its end."""
    for number in STOPS:
        signal.signal(number, lambda *_: setattr(serving, "should_exit", True))
