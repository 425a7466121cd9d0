"""What every engine of the bench prints.

`python -m bench.measure.stamp MODULE ARGUMENTS` makes a worker of ours print it too.

FIRST, seconds since 1970, CPU seconds of the process until then: the first event. Seen from outside it would be late by as
long as the machine is busy, which at full speed is a good part of a run. LAST and the seconds: the last event is worked
on, though perhaps not committed. SUM: of balances, integrals and months in the state, when the engine ends.
"""

from __future__ import annotations

import re
import runpy
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

FIRST = re.compile(r"FIRST (\d+\.\d+) (\d+\.\d+)\r?\n")
LAST = re.compile(r"LAST (\d+\.\d+)\r?\n")
SUM = re.compile(r"SUM (-?\d+) (-?\d+) (-?\d+)\r?\n")


@dataclass(frozen=True, slots=True)
class Stamp:
    """The first event an engine has seen."""

    at_s: float  # since 1970
    cpu_s: float  # of the process, start-up included


def line() -> str:
    """The stamp of this moment and process."""
    return f"FIRST {time.time():.6f} {time.process_time():.6f}"


def sums(balance: int, integral: int, months: int) -> str:
    """The line of the state."""
    return f"SUM {balance} {integral} {months}"


def read(log: str) -> Stamp | None:
    """The first stamp in an engine's log; None as long as there is none."""
    found = FIRST.search(log)
    return Stamp(float(found[1]), float(found[2])) if found else None


def read_last(log: str) -> float | None:
    """When the last event was worked on, if the engine says so."""
    found = LAST.search(log)
    return float(found[1]) if found else None


def read_sums(logs: list[str]) -> tuple[int, ...]:
    """Sums over the processes of an engine; ValueError where one has not told its own."""
    found = [SUM.search(log) for log in logs]
    if not all(found):
        raise ValueError("an engine has not told the sums of its state:\n" + "\n".join(log[-3000:] for log in logs))
    return tuple(sum(int(match[i]) for match in found if match) for i in (1, 2, 3))


def stamped(put: Callable[[Any, Any], None], undo: Callable[[], None]) -> Callable[[Any, Any], None]:
    """A PartitionUnit.put that prints the stamp when a unit takes its first block, and is then undone."""

    def first(unit: Any, block: Any) -> None:
        now = line()
        put(unit, block)
        if unit.fifo:  # else it was refused, as during recovery
            print(now, flush=True)
            undo()

    return first


def main() -> None:
    """See the module."""
    from agents.engine.unit import PartitionUnit

    put = PartitionUnit.put

    def undo() -> None:
        PartitionUnit.put = put  # type: ignore[method-assign]

    PartitionUnit.put = stamped(put, undo)  # type: ignore[method-assign]
    sys.argv = sys.argv[1:]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
