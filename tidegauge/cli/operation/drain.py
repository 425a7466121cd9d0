"""`tidegauge drain`: ends a worker of this machine for a planned stop, and says when it is safe to go on.

The worker tells at its port for metrics which process it is; the signal is what asks for a right, as everywhere on the
machine.
"""

from __future__ import annotations

import os
import signal
import time
from typing import Any, Final

import typer

from deploy import topics
from deploy.settings import Settings
from tidegauge.cli.output import FAILED_CHECK, JSON, CommandError, console, emit, notes
from tidegauge.worker_probe import worker_at

_BROKERS_S: Final = 5.0
LOOK_EVERY_S: Final = 0.2
MEMBER_S_MAX: Final = 20.0  # until a member that did not leave is out of the group

app = typer.Typer()


@app.command("drain")
def drain(
    metrics_port: int | None = typer.Option(
        None, "--metrics-port", min=1, max=65535, help="The worker's port of metrics and health."
    ),
    wait: float = typer.Option(60.0, "--wait", min=1, max=3600, help="Seconds until it must have ended."),
    as_json: bool = JSON,
) -> None:
    """End a worker of this machine: it finishes what it holds, flushes, and leaves the group. Exit code 0 when it is safe."""
    settings = Settings()
    port = metrics_port or settings.metrics_port
    topics.inspect(settings, _BROKERS_S)  # they say at the end whether the worker has left
    worker = worker_at(settings, port)
    if worker is None:
        hint = "is it the worker's --metrics-port? one that serves none is ended by SIGTERM"
        raise CommandError(f"no worker answers at port {port} of this machine", hint, FAILED_CHECK)
    try:
        os.kill(worker["pid"], signal.SIGTERM)
    except ProcessLookupError as problem:
        hint = "call it where the worker runs: on its machine, in its container"
        raise CommandError(f"there is no process {worker['pid']} here", hint, FAILED_CHECK) from problem
    if not as_json:
        held = len(worker["partitions"])
        notes.print(f"process {worker['pid']} of group {worker['group']} ends; it holds {held} partitions")
    worker = _until_left(settings, port, worker, time.monotonic() + wait)
    if worker["state"] != "left":
        hint = "call it again to wait on; what it has committed is safe whatever happens"
        raise CommandError(f"process {worker['pid']} has not left the group after {wait:.0f} s", hint, FAILED_CHECK)
    if as_json:
        emit(worker)
        return
    late = f", not flushed: {', '.join(map(str, worker['unflushed']))} (replayed by who takes them over)"
    rest = late if worker["unflushed"] else " and flushed"
    console.print(f"drained: everything is committed{rest}, the group is left; it is safe to go on", soft_wrap=True)


def _until_left(settings: Settings, port: int, worker: dict[str, Any], until: float) -> dict[str, Any]:
    """The worker as it was last heard of; its state is `left` when the group no longer knows it."""
    while time.monotonic() < until:
        heard = worker_at(settings, port)
        if heard is None or heard["pid"] != worker["pid"]:
            break
        worker = {**heard, "member": heard["member"] or worker["member"]}
        if worker["state"] == "left":
            break
        time.sleep(LOOK_EVERY_S)
    else:
        return worker
    until = max(until, time.monotonic() + MEMBER_S_MAX)
    while _is_member(settings, worker):
        if time.monotonic() >= until:
            return {**worker, "state": "stopping"}
        time.sleep(LOOK_EVERY_S)
    return {**worker, "state": "left"}


def _is_member(settings: Settings, worker: dict[str, Any]) -> bool:
    """Whether the brokers still count it in."""
    from deploy import admin

    client = admin.client(settings.kafka)  # must outlive its answers
    asked = client.describe_consumer_groups([worker["group"]], request_timeout=5.0)
    found = asked[worker["group"]].result(10)
    return any(member.member_id == worker["member"] for member in found.members)
