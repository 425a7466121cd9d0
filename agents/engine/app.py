"""Builds the worker: a Faust app with one agent per input topic, each handing its blocks to the partition units.

It is started here and not by Faust's command line, which would open a web server that serves tables without a login.
"""

import gc
import os
import sys
from collections.abc import Callable, Iterable
from typing import Any, cast

import faust
from yarl import URL

from agents.engine import hooks, recovery
from agents.engine.job import STATE_ANEW, Block, FatalError, Job
from agents.engine.metrics import Health, WorkerMetrics, serve_metrics
from agents.engine.recovery import EngineSettings
from agents.engine.table import UnitTable
from agents.engine.unit import OWN_OUTPUTS, Conf, Outlet
from agents.engine.watch.quiet import set_up_log
from agents.engine.watch.rounds import ROUND_S, Rounds
from deploy.connections.clients import faust_credentials

WORKER_SESSION_S, HEARTBEAT_S = 6, 2  # a failover takes seconds, not the default minute
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
    outputs: Iterable[str] = (),
    outlet: Outlet = OWN_OUTPUTS,
) -> BlockApp:
    """The worker's app, not started.

    Args:
        settings: where Kafka is, the group, the number of partitions, the flush interval, the topics' names.
        job_factory: makes a fresh job; called once here, to warm up, and for every partition assigned.
        name: goes into the changelog's name and the transactional ids.
        rows_max: dirty rows a transaction, where an idempotent job's flushes are to be spread; None: all at once.
        compression: of everything written; None, gzip, snappy, lz4 or zstd.
        replication: of the changelog, when it has to be created; -1: the brokers' default, as of every other topic.
        outputs: the topics (catalogue names) that it cannot be without, beside the inputs and the changelog.
        outlet: where they are, and whether they may be written.
    """
    inputs = job_factory().inputs  # also warms what the job compiles, before the group is joined
    conf = Conf(settings, inputs, name, rows_max, compression, outlet=outlet)
    recovery.install_blocks(settings, inputs, conf.changelog)
    servers = [URL(f"aiokafka://{server}") for server in settings.kafka.split(",")]
    app = BlockApp(
        settings.group,
        broker=servers,
        broker_credentials=faust_credentials(settings.kafka),
        store="memory://",
        topic_partitions=settings.partitions,
        topic_disable_leader=True,
        table_standby_replicas=0,  # else a third worker gets nothing of four partitions
        web_enabled=False,
        stream_wait_empty=False,
        broker_session_timeout=WORKER_SESSION_S,
        broker_heartbeat_interval=HEARTBEAT_S,
        consumer_max_fetch_size=FETCH_BYTES_MAX,
        consumer_auto_offset_reset="earliest",
        recovery_consistency_check=False,  # of Faust's own stores; it would speak of RocksDB files that nobody has
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
    keep_watch(app, Rounds(settings, units.movement, wanted_topics(conf, outputs)))
    return app


def keep_watch(app: BlockApp, rounds: Rounds) -> None:
    """Look at the units once a second, and ask the brokers now and then."""

    @app.timer(interval=LOOK_S, name="look")  # type: ignore[untyped-decorator]  # Faust says only that it is callable
    async def look() -> None:
        app.units.look()

    @app.timer(interval=ROUND_S, name="rounds")  # type: ignore[untyped-decorator]
    async def ask() -> None:
        if wrong := await rounds.go():
            await app.units.give_up(FatalError(wrong))


def wanted_topics(conf: Conf, outputs: Iterable[str]) -> dict[str, str]:
    """The topics that a worker cannot be without, by Kafka's name, with what to do when one is gone."""
    again = "`tidegauge topics --create`, restore its records from their source, and start the worker"
    out = "`tidegauge topics --create`, then start the worker; what was published there comes from a backup only"
    named = dict.fromkeys(map(conf.output, outputs), out)
    named |= dict.fromkeys(map(conf.settings.topic, conf.inputs), again)
    return named | {conf.changelog: f"the state is lost; {STATE_ANEW}"}


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


def run_worker(
    app: BlockApp, *, metrics_port: int = 0, metrics_host: str = "127.0.0.1", loglevel: str = "WARNING"
) -> str:
    """Run the worker in this process until SIGTERM, SIGHUP or SIGINT; then how it left its partitions, in a line.

    Raises what stopped the worker, if it was not a signal. metrics_port 0 serves no metrics.
    """
    set_up_log(loglevel)
    sys.setswitchinterval(SWITCH_S)
    gc.collect()
    gc.freeze()  # else a full collection walks everything imported and compiled, which holds up the loop for 0.2 s
    worker = hooks.EngineWorker(app, loglevel=loglevel)

    def about() -> dict[str, object]:
        state = "left" if worker.left else "stopping" if worker.should_stop else "working"
        units = app.units
        return {
            "pid": os.getpid(), "group": app.conf.id, "member": app.units.member_id(), "state": state,
            "partitions": sorted(units.left or units.units), "unflushed": [p for p, good in units.left.items() if not good],
        }  # fmt: skip

    server = serve_metrics(app.metrics, app.health, metrics_port, metrics_host, about) if metrics_port else None
    try:
        cause = worker.run()
    finally:
        if server is not None:
            server.shutdown()
    if cause is not None:
        raise app.health.cause or cause
    return app.units.farewell()
