"""Start and stop background processes, and find free ports: what the embedded servers have in common."""

import contextlib
import ctypes
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

import psutil

from deploy.errors import StackError
from deploy.private import FILE_MODE, UMASK, private_folder
from deploy.record import Running

STOP_WAIT_S = 20.0
_POLL_S = 0.05
LOG_TAIL_LINES = 15
LOG_TAIL_BYTES = 64 << 10
FREE_PORTS = range(20_000, 30_000)
PR_SET_PDEATHSIG = 1  # linux/prctl.h

# PostgreSQL takes SIGTERM for a wish to wait until every client has left.
STOP_SIGNALS = {"postgres": signal.SIGINT}


class User(NamedTuple):
    """As whom a process runs."""

    uid: int
    gid: int


_children: dict[int, subprocess.Popen[bytes]] = {}  # what this process started and has not reaped


def start(
    name: str, command: list[str], log: Path, token: str, *, tether: bool, env: dict[str, str] | None = None,
    user: User | None = None,
) -> Running:  # fmt: skip
    """Start `command` in a session of its own, output into `log`; `env` replaces the environment, `user` ours.

    `tether` makes the kernel kill it when the caller dies (Linux): for tests. Raises StackError if it cannot be run.
    """
    private_folder(log.parent)
    log.touch(mode=FILE_MODE)
    with log.open("ab") as out:
        try:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                env=env,
                umask=UMASK,
                **as_user(user),
                preexec_fn=_die_with_parent if tether and sys.platform == "linux" else None,  # noqa: PLW1509
            )
        except OSError as problem:
            raise StackError(f"{name} cannot be started: {problem}", f"command: {command[0]}") from problem
    _children[process.pid] = process
    try:
        started = psutil.Process(process.pid).create_time()
    except psutil.NoSuchProcess as problem:
        raise StackError(f"{name} ended at once", f"see {log}") from problem
    return Running(name, process.pid, started, token)


def as_user(user: User | None) -> dict[str, Any]:
    """How a process is started as somebody else: for root alone."""
    return {} if user is None else {"user": user.uid, "group": user.gid, "extra_groups": []}


def _die_with_parent() -> None:
    """Ask Linux to kill this process when the thread that started it ends."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def stop(running: Iterable[Running], wait_s: float = STOP_WAIT_S) -> list[str]:
    """End the processes, all at once; by force those that have not ended in time. Returns the names of the forced."""
    live = [(entry, process) for entry in running if (process := entry.process()) is not None]
    for entry, process in live:
        _signal(process, STOP_SIGNALS.get(entry.name, signal.SIGTERM))
    _, late = psutil.wait_procs([process for _, process in live], timeout=wait_s)
    for process in late:
        _signal(process, signal.SIGKILL)
    psutil.wait_procs(late, timeout=wait_s)
    for _, process in live:
        reap(process.pid)
    late_pids = {process.pid for process in late}
    return [entry.name for entry, _ in live if entry.pid in late_pids]


def kill(running: Running) -> None:
    """End a process with SIGKILL, as a power cut would, and wait until it is gone."""
    process = running.process()
    if process is not None:
        _signal(process, signal.SIGKILL)
        psutil.wait_procs([process], timeout=STOP_WAIT_S)
        reap(running.pid)


def _signal(process: psutil.Process, number: int) -> None:
    with contextlib.suppress(psutil.NoSuchProcess):  # ended by itself meanwhile: as was wanted
        process.send_signal(number)


def reap(pid: int) -> None:
    """Take a child's exit status, so that no zombie stays; nothing happens if it is not a child of ours."""
    if child := _children.pop(pid, None):
        child.wait()


def wait_until(ready: Callable[[], bool], running: Iterable[Running], log: Path, what: str, wait_s: float) -> None:
    """Wait until `ready()`; raises StackError with the log's end when a process ends first or the time is over."""
    until = time.monotonic() + wait_s
    while not ready():
        for entry in running:
            if not entry.alive():
                raise StackError(f"{what} ended while it started:\n{tail(log)}", f"the whole log: {log}")
        if time.monotonic() > until:
            raise StackError(f"{what} was not ready within {wait_s:.0f} s:\n{tail(log)}", f"the whole log: {log}")
        time.sleep(_POLL_S)


def tail(log: Path, lines: int = LOG_TAIL_LINES) -> str:
    """The last lines of a log file, indented."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - LOG_TAIL_BYTES))
            text = file.read(LOG_TAIL_BYTES).decode(errors="replace").splitlines()[-lines:]
    except FileNotFoundError:
        return "    (no log)"
    return "\n".join(f"    {line}" for line in text)


def is_free(port: int) -> bool:
    """True if nothing listens on a local port."""
    return _bind_problem(port) == ""


def _bind_problem(port: int) -> str:
    """Why a local port cannot be taken; empty if it can."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except (OSError, OverflowError) as problem:
            return str(problem)
    return ""


def check_port_free(port: int, what: str, option: str) -> None:
    """Raise StackError if a local port cannot be taken."""
    if problem := _bind_problem(port):
        raise StackError(
            f"port {port} for {what} is taken ({problem})",
            f"choose another one with {option}, or stop what listens there",
        )


def free_row(count: int) -> int:
    """First of `count` local ports in a row that nobody listens on now, below the range the system hands out itself."""
    start = FREE_PORTS.start + os.getpid() * 16 % len(
        FREE_PORTS
    )  # processes that look at once look in different places
    for step in range(0, len(FREE_PORTS), count):
        first = FREE_PORTS.start + (start - FREE_PORTS.start + step) % (len(FREE_PORTS) - count)
        if all(is_free(first + offset) for offset in range(count)):
            return first
    raise StackError(f"no {count} free ports in a row from {FREE_PORTS.start} to {FREE_PORTS.stop}")
