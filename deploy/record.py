"""The note that a running embedded stack leaves in its data folder: which processes, on which ports.

A process is ours only if its id, its start time and its command line all fit: ids are reused. And the note is this folder's
only if it names it: a copy of a folder has a note of the original's servers.
"""

import contextlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deploy.private import write_private
from schemas import bounds
from schemas.bounded import read_bounded

if TYPE_CHECKING:
    import psutil

RECORD_FILE = "stack.json"
# Of servers, not of data. Where root's PostgreSQL has its data: no copy of a folder has it.
RUNNING = (
    "processes", "bootstrap_servers", "redis_url", "tickets_url", "database_url", "kafka_port", "redis_port", "tickets_port",
    "postgres_port", "postgres_home",
)  # fmt: skip
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
    """The record of data_dir; empty when nothing was ever started there. Of a copied folder, without what runs."""
    try:
        record = json.loads(
            read_bounded(data_dir / RECORD_FILE, bounds.SMALL_FILE_BYTES_MAX, "move it away: `tidegauge up` writes it")
        )
    except (FileNotFoundError, NotADirectoryError, ValueError):  # ValueError: no JSON, or no text
        return {}
    if not isinstance(record, dict):
        return {}
    if _is_copy(data_dir, record):
        return {name: value for name, value in record.items() if name not in RUNNING}
    return record


def write_record(data_dir: Path, record: dict[str, Any]) -> None:
    """Replace the record, whole or not at all."""
    write_private(data_dir / RECORD_FILE, json.dumps({**record, "folder": _identity(data_dir)}, indent=2) + "\n")


def _identity(data_dir: Path) -> str:
    """What a folder keeps when it is moved or mounted elsewhere, and a copy does not have."""
    found = data_dir.stat()
    return f"{found.st_dev}:{found.st_ino}"


def _is_copy(data_dir: Path, record: dict[str, Any]) -> bool:
    """Whether the record was written in another folder; one from before there was `folder` is known by its processes."""
    if "folder" in record:
        return bool(record["folder"] != _identity(data_dir))
    tokens = [entry.get("token", "") for entry in record.get("processes", []) if isinstance(entry, dict)]
    here = data_dir.resolve()
    return any(Path(token).is_absolute() and not Path(token).resolve().is_relative_to(here) for token in tokens)


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
