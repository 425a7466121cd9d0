"""Who used the processors while something was measured: this process and what it has started, by what each is."""

from __future__ import annotations

import os
from collections import defaultdict
from dataclasses import dataclass, field
from typing import Final

import psutil

# A part of the command, and what the process is called; the first that fits counts.
NAMES: Final = (
    ("tickets/server.conf", "the server of tickets"), ("redis/server.conf", "the server of views"),
    ("kafka", "the broker"), ("postgres", "PostgreSQL"), ("queue serve", "the service"), ("cli.main worker", "the worker"),
)  # fmt: skip
OTHERS: Final = "everything else on this machine"
LOAD: Final = "the load"
HELPERS: Final = "what the service and the load have started"


@dataclass(slots=True)
class Shares:
    """CPU seconds from the making of this on."""

    _began: dict[str, float] = field(default_factory=lambda: used())
    _busy: float = field(default_factory=lambda: busy())

    def seconds(self) -> list[tuple[str, float]]:
        """By name, the most first; what is left of the machine's is others'."""
        found = used()
        own = {name: max(0.0, seconds - self._began.get(name, 0.0)) for name, seconds in found.items()}
        left = busy() - self._busy - sum(own.values())
        return [*sorted(own.items(), key=lambda one: -one[1]), (OTHERS, max(0.0, left))]


def used() -> dict[str, float]:
    """CPU seconds of this process and all below it, by name."""
    own = psutil.Process()
    found: dict[str, float] = defaultdict(float)
    for process in (own, *own.children(recursive=True)):
        try:
            command, times = " ".join(process.cmdline()), process.cpu_times()
        except psutil.Error:  # it has ended meanwhile
            continue
        name = LOAD if process.pid == os.getpid() else next((name for part, name in NAMES if part in command), HELPERS)
        found[name] += times.user + times.system
    return found


def busy() -> float:
    """CPU seconds of the whole machine that were not idle."""
    times = psutil.cpu_times()
    return float(sum(times) - times.idle - getattr(times, "iowait", 0.0) - getattr(times, "guest", 0.0))
