"""The note that a running embedded stack leaves in its data folder: which processes, on which ports.

A process is ours only if its id, its start time and its command line all fit: ids are reused.
"""

import contextlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deploy.private import write_private

if TYPE_CHECKING:
    import psutil

RECORD_FILE = "stack.json"
START_TOLERANCE_S = 2.0  # a clock that is set moves the start time that the kernel reports


@dataclass(frozen=True, slots=True)
class Running:
    """A process that was started: its start time in seconds since the epoch, and a part of its command line."""

    name: str
    pid: int
    started: float
    token: str

    def alive(self) -> bool:
        """True if the process still runs and is the one that was started."""
        return self.process() is not None

    def process(self) -> "psutil.Process | None":
        """The live process; None when it has ended or the id now belongs to another one."""
        import psutil  # here, as the settings read the record without it

        try:
            process = psutil.Process(self.pid)
            same = abs(process.create_time() - self.started) <= START_TOLERANCE_S
            if not same or process.status() == psutil.STATUS_ZOMBIE:
                return None
            return process if any(self.token in argument for argument in process.cmdline()) else None
        except psutil.Error:
            return None


def read_record(data_dir: Path) -> dict[str, Any]:
    """The record of data_dir; empty when nothing was ever started there."""
    try:
        record = json.loads((data_dir / RECORD_FILE).read_text())
    except (FileNotFoundError, NotADirectoryError, json.JSONDecodeError):
        return {}
    return record if isinstance(record, dict) else {}


def write_record(data_dir: Path, record: dict[str, Any]) -> None:
    """Replace the record, whole or not at all."""
    write_private(data_dir / RECORD_FILE, json.dumps(record, indent=2) + "\n")


def processes(data_dir: Path) -> list[Running]:
    """The recorded processes, dead ones included."""
    found = []
    for entry in read_record(data_dir).get("processes", []):
        with contextlib.suppress(TypeError):
            found.append(Running(**entry))
    return found


def as_entries(running: list[Running]) -> list[dict[str, Any]]:
    """The processes as the record holds them."""
    return [asdict(process) for process in running]
