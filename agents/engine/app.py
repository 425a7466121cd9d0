"""Builds the worker: a Faust app with one agent per input topic, each handing its blocks to the partition units.

It is started here and not by Faust's command line, which would open a web server that serves tables without a login.
"""

import gc
import logging
import sys
from collections.abc import Callable
from typing import Any, cast

import faust
from yarl import URL

from agents.engine import hooks, recovery
from agents.engine.job import Block, Job
from agents.engine.metrics import Health, WorkerMetrics, serve_metrics
from agents.engine.recovery import EngineSettings
from agents.engine.table import UnitTable
from agents.engine.unit import Conf

SESSION_S, HEARTBEAT_S = 6, 2  # a failover takes seconds, not the default minute
FETCH_BYTES_MAX = 2 << 20  # per partition
LOOK_S = 1.0
# Kafka compacts no segment that it still writes to: with its own 1 GB a recovery would read rows by the ten million.
# With the workers' own time on its records brokers would refuse a worker whose clock is an hour ahead.
# Who reads beside a running worker has an end of its own: rows must not go for the sake of newer ones behind that end.
READ_S = 300
CHANGELOG = {
    "segment.bytes": str(32 << 20), "message.timestamp.type": "LogAppendTime",
    "min.compaction.lag.ms": str(READ_S * 1000),
}  # fmt: skip
SWITCH_S = 0.001  # after which the event loop gets its turn while a thread works in Python; 5 ms by default


class AsFetched(faust.Schema[None, Any]):
    """Hands the value through, such as a block: jobs decode."""

    def loads_key(self, app: Any, message: Any, **kwargs: Any) -> None:
        """Blocks have no key."""

    def loads_value(self, app: Any, message: Any, **kwargs: Any) -> Any:
        """The value as fetched."""
        return message.value


class BlockApp(hooks.FolderlessApp):
    """A Faust app whose only table holds the partition units."""

    units: UnitTable

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.health = Health()

    @property
    def metrics(self) -> WorkerMetrics:
        """The worker's collectors."""
        return self.units.unit_conf.metrics


def build_app(
    settings: EngineSettings,
    job_factory: Callable[[], Job],
    *,
    name: str = "standing",
    rows_max: int | None = None,
    compression: str | None = "lz4",
    replication: int = -1,
) -> BlockApp:
    """The worker's app, not started.

    Args:
        settings: where Kafka is, the group, the number of partitions, the flush interval, the topics' names.
        job_factory: makes a fresh job; called once here, to warm up, and for every partition assigned.
        name: goes into the changelog's name and the transactional ids.
        rows_max: dirty rows a transaction, where an idempotent job's flushes are to be spread; None: all at once.
        compression: of everything written; None, gzip, snappy, lz4 or zstd.
        replication: of the changelog, when it has to be created; -1: the brokers' default, as of every other topic.
    """
    inputs = job_factory().inputs  # also warms what the job compiles, before the group is joined
    conf = Conf(settings, inputs, name, rows_max, compression)
    recovery.install_blocks(settings, inputs, conf.changelog)
    servers = [URL(f"aiokafka://{server}") for server in settings.kafka.split(",")]
    app = BlockApp(
        settings.group,
        broker=servers,
        store="memory://",
        topic_partitions=settings.partitions,
        topic_disable_leader=True,
        table_standby_replicas=0,  # else a third worker gets nothing of four partitions
        web_enabled=False,
        stream_wait_empty=False,
        broker_session_timeout=SESSION_S,
        broker_heartbeat_interval=HEARTBEAT_S,
        consumer_max_fetch_size=FETCH_BYTES_MAX,
        consumer_auto_offset_reset="earliest",
        Table=UnitTable,
    )
    transport = app.transport = hooks.Transport(servers, app, app.loop)
    table = app.Table(name, partitions=settings.partitions, changelog_topic=changelog(app, conf, replication))
    units = app.units = cast("UnitTable", table)  # as `Table=` says above
    units.prepare(conf, job_factory, app.health)
    transport.busy, transport.on_corrupt = units.busy, units.on_corrupt
    app.on_partitions_revoked.connect(units.on_revoked)

    async def receive(stream: faust.StreamT[Block]) -> None:
        async for block in stream:
            units.put(block)

    for topic in inputs:
        schema = AsFetched(key_type=bytes, value_type=bytes)
        app.agent(app.topic(settings.topic(topic), schema=schema), name=f"blocks.{topic}")(receive)

    @app.timer(interval=LOOK_S, name="look")  # type: ignore[untyped-decorator]  # Faust says only that it is callable
    async def look() -> None:
        units.look()

    return app


def changelog(app: BlockApp, conf: Conf, replication: int) -> faust.TopicT:
    """The table's changelog as it is created; Faust's own would have one copy, and the clocks of the workers."""
    return app.topic(
        conf.changelog,
        partitions=conf.settings.partitions,
        replicas=replication,
        compacting=True,
        deleting=False,
        acks=False,
        internal=True,
        config=CHANGELOG,
    )


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


def run_worker(
    app: BlockApp, *, metrics_port: int = 0, metrics_host: str = "127.0.0.1", loglevel: str = "WARNING"
) -> None:
    """Run the worker in this process until SIGTERM or SIGINT.

    Leaves by SystemExit, or by the exception that stopped the worker.
    metrics_port 0 serves no metrics.
    """
    thin_out("aiokafka")
    sys.setswitchinterval(SWITCH_S)
    gc.collect()
    gc.freeze()  # else a full collection walks everything imported and compiled, which holds up the loop for 0.2 s
    server = serve_metrics(app.metrics, app.health, metrics_port, metrics_host) if metrics_port else None
    try:
        faust.Worker(app, loglevel=loglevel, redirect_stdouts=False, quiet=True).execute_from_commandline()
    finally:
        if server is not None:
            server.shutdown()
