"""The notifier: an ordinary Faust agent that turns every record of `rm-alerts` into notices.

It is a worker of its own, with Faust's record path: alerts are few, and a slow webhook must not hold up the ledger. An alert
whose channel fails waits aside (turns.py), and those of other cases go on.
An event is acknowledged when its notices are delivered, or given up, and written to `notices`: at least once, with ids
that come from the alert's record, so a notice that is written twice is the same notice.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, Protocol

import faust
from mode import CrashingSupervisor
from yarl import URL

from agents.engine import fetches, hooks
from agents.engine.app import AsFetched
from agents.engine.watch.quiet import set_up_log
from agents.notifier.turns import Passes, Turns
from deploy.connections.clients import faust_credentials
from deploy.connections.wire import Brokers
from schemas.codec.batches import Lost
from schemas.codec.records import RecordError, decode_one, encode
from schemas.codec.status import REASONS
from schemas.letters import Original, dead_letter
from schemas.registry import Registry

log = logging.getLogger(__name__)

SESSION_S, HEARTBEAT_S = 10, 3
WAITING_S_MAX = 7 * 24 * 3600.0
"""A notice may wait so long for its channel before another worker is given the partition."""

Notify = Callable[[dict[str, Any], Passes, int | None], Awaitable[list[dict[str, Any]]]]
"""Delivers an alert's notices and gives their records; calls the second argument when it begins to wait.

The third is when the log took the alert, in milliseconds since epoch, UTC. It fails only where nobody can be told that it
failed.
"""

Read = Callable[[dict[str, Any]], None]
"""Is told of every alert that has been read, in the order of the log: before its turn."""


class AlertSettings(Protocol):
    """What this worker needs to know (a part of deploy.settings.Settings)."""

    @property
    def group(self) -> str:
        """Consumer group of the workers; the notifier's is named after it."""

    @property
    def partitions(self) -> int:
        """Partitions of every topic."""

    @property
    def kafka(self) -> Brokers:
        """Brokers, and what opens them."""

    def topic(self, name: str) -> str:
        """Kafka's name of a catalogue topic."""


def build_notifier(
    settings: AlertSettings, notify: Notify, registry: Registry, read: Read = lambda _alert: None
) -> faust.App:  # fmt: skip
    """The worker's app, not started."""
    group = f"{settings.group}-alerts"
    servers = [URL(f"aiokafka://{server}") for server in settings.kafka.split(",")]
    app = hooks.FolderlessApp(
        group, broker=servers, broker_credentials=faust_credentials(settings.kafka), store="memory://",
        topic_partitions=settings.partitions, topic_disable_leader=True,
        topic_allow_declare=False, web_enabled=False, broker_session_timeout=SESSION_S,
        broker_heartbeat_interval=HEARTBEAT_S, broker_max_poll_interval=WAITING_S_MAX,
        consumer_auto_offset_reset="earliest", stream_wait_empty=False,
    )  # fmt: skip
    app.transport = hooks.RecordTransport(servers, app, app.loop)
    raw = partial(app.topic, key_type=bytes, value_type=bytes, key_serializer="raw", value_serializer="raw")
    notices, letters = (raw(settings.topic(name)) for name in ("notices", "dead-letters"))
    source = settings.topic("rm-alerts")
    fetches.install({}, one_by_one=[source])
    alerts = app.topic(source, schema=AsFetched(key_type=bytes, value_type=bytes))

    @app.agent(alerts, name="alerts", supervisor_strategy=CrashingSupervisor)
    async def tell(stream: faust.StreamT[bytes]) -> None:
        # Acknowledged by hand: after an exception Faust would go on behind the event, as if it were done.
        assert isinstance(stream, faust.Stream)  # as Faust gives it; its declared type leaves out `noack`
        turns = Turns(partial(_crash, app))
        try:
            async for event in stream.noack().events():
                alert = _alert(event, registry)
                if not isinstance(alert, ValueError):
                    read(alert)
                case = str(event.message.offset) if isinstance(alert, ValueError) else alert["alert_id"]
                work = partial(told, event, alert)
                await turns.take(event.message.partition, case, work, partial(stream.ack, event))
        finally:
            await turns.shut()

    async def told(event: faust.EventT[Any], alert: dict[str, Any] | ValueError, waits: Passes) -> None:
        """An alert's notices, or its dead letter: no record of ours, or one of which no notice can be made."""
        try:
            if isinstance(alert, ValueError):
                raise alert
            at_s = event.message.timestamp
            records = await notify(alert, waits, None if at_s is None else round(1000 * at_s))
        except ValueError as problem:
            await written(letters, f"rm-alerts:{event.message.partition}", letter(event, problem, registry))
            return
        for record in records:
            await written(notices, record["customer_id"], encode("notices", record, registry))

    return app


def _crash(app: faust.App, problem: BaseException) -> None:
    """End the worker, as an exception of the agent does."""
    asyncio.ensure_future(app.crash(problem))  # noqa: RUF006 - the app lives longer


def _alert(event: faust.EventT[Any], registry: Registry) -> dict[str, Any] | ValueError:
    try:
        return decode_one(_value(event), registry, name="rm-alerts")
    except ValueError as problem:
        return problem


async def written(topic: faust.TopicT, key: str, value: bytes) -> None:
    """Return when the brokers have it; raises what the producer raises, which ends the worker."""
    await (await topic.send(key=key.encode(), value=value))


def _value(event: faust.EventT[Any]) -> bytes:
    """A record's value; ValueError for what is beyond the bounds."""
    if isinstance(event.value, Lost):
        raise RecordError(REASONS[event.value.status])
    return event.value or b""


def letter(event: faust.EventT[Any], problem: ValueError, registry: Registry) -> bytes:
    """The dead letter of a record that can't be used."""
    message, offset, detail = event.message, event.message.offset, str(problem)
    if isinstance(lost := event.value, Lost):
        offset, original, reason, detail = lost.offset, lost.original, REASONS[lost.status], ""
    else:
        original, reason = Original.of(message.value, message.key), "unreadable"
    record = dead_letter("rm-alerts", message.partition, offset, reason, original, detail=detail)
    return encode("dead-letters", record, registry)


def run_notifier(app: faust.App, *, loglevel: str = "WARNING") -> None:
    """Run the worker until SIGTERM, SIGHUP or SIGINT; raises what stopped it, if it was something else."""
    set_up_log(loglevel)
    if (cause := hooks.EngineWorker(app, loglevel=loglevel).run()) is not None:
        raise cause
