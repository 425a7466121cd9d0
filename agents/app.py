"""Builds the worker: a Faust app with one agent per input topic, each handing its blocks to the partition units.

It is started here and not by Faust's command line, which would open a web server that serves tables without a login.
"""

import logging
import os
import tempfile
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import faust
from yarl import URL

from agents import hooks, recovery
from agents.job import Block, Job
from agents.metrics import Health, serve
from agents.recovery import EngineSettings
from agents.table import UnitTable
from agents.unit import Conf

SESSION_S, HEARTBEAT_S = 6, 2  # a failover takes seconds, not the default minute
FETCH_BYTES_MAX = 2 << 20  # per partition
LOOK_S = 1.0


class BlockSchema(faust.Schema):
    """Hands the block through: jobs decode."""

    def loads_key(self, app: Any, message: Any, **kwargs: Any) -> None:
        """Blocks have no key."""
        return None

    def loads_value(self, app: Any, message: Any, **kwargs: Any) -> Block:
        """The block as fetched."""
        return message.value


def build_app(
    settings: EngineSettings,
    job_factory: Callable[[], Job],
    *,
    name: str = "standing",
    rows_max: int | None = None,
    compression: str | None = "lz4",
    replication: int = 1,
) -> faust.App:
    """The worker's app, not started. `app.table` has the units, `app.health` and `app.table.unit_conf.metrics` its health.

    `name` goes into the changelog's name and the transactional ids. `rows_max` spreads the flushes of an idempotent job.
    """
    inputs = job_factory().inputs  # also warms what the job compiles, before the group is joined
    conf = Conf(settings, inputs, name, rows_max, compression)
    recovery.install(settings, inputs, conf.changelog)
    servers = [URL(f"aiokafka://{server}") for server in settings.kafka.split(",")]
    app = faust.App(
        settings.group, broker=servers, store="memory://", topic_partitions=settings.partitions, topic_disable_leader=True,
        topic_replication_factor=replication, table_standby_replicas=0, web_enabled=False, stream_wait_empty=False,
        broker_session_timeout=SESSION_S, broker_heartbeat_interval=HEARTBEAT_S, consumer_max_fetch_size=FETCH_BYTES_MAX,
        consumer_auto_offset_reset="earliest", Table=UnitTable,
        datadir=Path(tempfile.gettempdir()) / f"tidegauge-{os.getuid()}-{settings.group}",  # Faust makes it, nothing uses it
    )  # fmt: skip
    app.transport = hooks.Transport(servers, app, app.loop)
    table = app.Table(name, partitions=settings.partitions)
    app.table, app.health = table, Health()
    table.prepare(conf, job_factory, app.health)
    app.transport.busy, app.transport.on_corrupt = table.busy, table.on_corrupt
    app.on_partitions_revoked.connect(table.on_revoked)

    async def receive(stream: AsyncIterator[Block]) -> None:
        async for block in stream:
            table.put(block)

    for topic in inputs:
        schema = BlockSchema(key_type=bytes, value_type=bytes)
        app.agent(app.topic(settings.topic(topic), schema=schema), name=f"blocks.{topic}")(receive)

    @app.timer(interval=LOOK_S, name="look")
    async def look() -> None:
        table.look()

    return app


class OncePer(logging.Filter):
    """Lets a message pass once in some seconds; aiokafka tells of a broker that is away a hundred times a second."""

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self.seconds, self.passed_at = seconds, dict[object, float]()

    def filter(self, record: logging.LogRecord) -> bool:
        """True for the first of its kind."""
        if record.created < self.passed_at.get(record.msg, 0.0) + self.seconds:
            return False
        self.passed_at[record.msg] = record.created
        return True


def thin_out(package: str, seconds: float = 5.0) -> None:
    """Let each logger of a package say a thing at most once in some seconds; warnings are about retries, left out."""
    logging.getLogger(package).setLevel(logging.ERROR)
    for name in list(logging.root.manager.loggerDict):
        if name.split(".")[0] == package:
            logging.getLogger(name).addFilter(OncePer(seconds))


def run(app: faust.App, *, metrics_port: int = 0, metrics_host: str = "127.0.0.1", loglevel: str = "WARNING") -> None:
    """Run the worker in this process until SIGTERM or SIGINT; leaves by SystemExit, or by the exception that stopped it.

    metrics_port 0 serves no metrics.
    """
    thin_out("aiokafka")
    server = serve(app.table.unit_conf.metrics, app.health, metrics_port, metrics_host) if metrics_port else None
    try:
        faust.Worker(app, loglevel=loglevel, redirect_stdouts=False).execute_from_commandline()
    finally:
        if server is not None:
            server.shutdown()
