"""The embedded stack: Apache Kafka, a Redis-protocol server and PostgreSQL on this machine, without Docker or root.

`Stack(...).start()` starts what the settings don't point elsewhere, waits until it answers and creates the topics;
what was started is recorded in the data folder, so that another process can stop it.
"""

import contextlib
import fcntl
import os
import resource
import shutil
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from deploy import admin, record, topics
from deploy.connections.caller import OPERATOR
from deploy.connections.settings import opened_url
from deploy.connections.wire import SASL_TLS, Brokers, Certificates, Wire
from deploy.embedded import jars, kafka, processes, redis
from deploy.embedded.database import Database
from deploy.embedded.kafka import SUPER_USER
from deploy.errors import StackError
from deploy.ping import answers
from deploy.printable import printable
from deploy.private import FILE_MODE, private_folder
from deploy.record import Running
from deploy.security import users
from deploy.security.authority import SecureFolder
from deploy.security.principals import PRINCIPALS
from deploy.security.users import redis_users
from deploy.settings import DISK_FREE_MIN_BYTES, REFERENCE_KEY_FILE, Settings

LOCK_FILE = "stack.lock"
PATH_BYTES_MAX = 3000  # of a data folder: the servers' files below it have names too, of 4096 in all
OPEN_FILES_MIN = 1024  # of a broker: three files a partition and segment, beside its jars
OURS = (record.RECORD_FILE, REFERENCE_KEY_FILE)  # a folder with one of them was made by us

Say = Callable[[str], None]


def allow_files() -> None:
    """Raise this process's limit of open files, which servers inherit; StackError where they would not get enough."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    enough = OPEN_FILES_MIN if hard == resource.RLIM_INFINITY else min(OPEN_FILES_MIN, hard)
    if enough < OPEN_FILES_MIN:
        raise StackError(
            f"this shell allows {hard} open files, Kafka needs {OPEN_FILES_MIN}",
            f"raise the limit: ulimit -n {4 * OPEN_FILES_MIN}",
        )
    if soft != resource.RLIM_INFINITY and soft < enough:
        resource.setrlimit(resource.RLIMIT_NOFILE, (enough, hard))


def unusable(data_dir: Path) -> str:
    """Why the servers can't work in a folder of this name; empty if they can."""
    try:
        size = len(str(data_dir).encode())
    except UnicodeEncodeError:
        return "its path is no UTF-8"
    if "," in str(data_dir):
        return "its path has a comma, which Kafka takes for the end of a path"
    if printable(str(data_dir)) != str(data_dir) or "\n" in str(data_dir):
        return "its path has control characters"
    return "" if size <= PATH_BYTES_MAX else f"its path has {size} bytes, more than {PATH_BYTES_MAX}"


class Stack:
    """The servers of one data folder.

    Args:
        data_dir: where they keep their data; it is made if missing.
        settings: where other servers are used, ports, sizes; the environment's by default.
        with_kafka, with_redis: leave one out.
        with_tickets: start the server for tickets too, and with_postgres PostgreSQL; most of Tidegauge needs neither.
        any_ports: take free ports instead of the settings' (those of the last run, if they are still free).
        tether: the servers die with the calling process (Linux), and start faster where they don't encrypt; for tests.
        secure: TLS, a user for each kind of process, and rights; a folder keeps what it began with.
        say: told in words what happens.
    """

    def __init__(
        self,
        data_dir: Path,
        settings: Settings | None = None,
        *,
        with_kafka: bool = True,
        with_redis: bool = True,
        with_tickets: bool = False,
        with_postgres: bool = False,
        with_topics: bool = True,
        any_ports: bool = False,
        tether: bool = False,
        secure: bool = False,
        say: Say | None = None,
    ) -> None:
        self.data_dir = Path(data_dir).absolute()
        self.settings = (settings or Settings()).model_copy(update={"data_dir": self.data_dir})
        self.with_kafka = with_kafka and not self.settings.bootstrap_servers
        self.with_redis = with_redis and not self.settings.redis_url
        self.with_tickets = with_tickets and not self.settings.tickets_url
        self.with_postgres = with_postgres and not self.settings.database_url
        self.with_topics = with_topics and with_kafka
        self.any_ports = any_ports
        self.tether = tether
        self.secure = secure or bool(record.read_record(self.data_dir).get("secure"))
        # The JVM's first compiler does without the processor's instructions for AES: each byte costs brokers far more.
        self.quick = tether and not self.secure
        self.say = say or (lambda _: None)
        self.cluster: kafka.Cluster | None = None

    @property
    def bootstrap_servers(self) -> str:
        """Brokers to connect to."""
        return str(self.settings.kafka)

    @property
    def redis_url(self) -> str:
        """Redis server to connect to."""
        return self.settings.redis

    def running(self) -> list[Running]:
        """The processes of this stack that are alive."""
        return [entry for entry in record.processes(self.data_dir) if entry.alive()]

    def start(self) -> None:
        """Start what is not running, wait until it answers, create the topics. Again is harmless.

        Raises StackError, and stops what it has started, when a port is taken, the disk is full, or a server fails.
        """
        self._make_folder()
        if self.with_kafka:
            allow_files()
        with self._locked():
            alive = {entry.name for entry in self.running()}
            if self.secure:
                self._secure()
            started: list[Running] = []
            database = Database(self) if self.with_postgres and "postgres" not in alive else None
            try:
                if database is not None:
                    database.prepare()  # before the others: making its storage takes a second, beside theirs
                if self.with_kafka:
                    self._start_kafka(alive, started)
                if self.with_redis and redis.VIEW_SERVER not in alive:
                    self._start_redis(redis.VIEW_SERVER, self.settings.redis_port, started)
                if self.with_tickets and redis.TICKET_SERVER not in alive:
                    self._start_redis(redis.TICKET_SERVER, self.settings.tickets_port, started)
                if database is not None:
                    database.start(started)
                if self.with_topics and (made := topics.create(self.settings, kafka=self._as_super())):
                    self.say(f"{len(made)} topics created, {self.settings.partitions} partitions each")
            except BaseException:
                processes.stop(started)
                if database is not None:
                    database.give_up()
                raise

    def stop(self) -> list[str]:
        """Stop every process of the record; returns their names, forced ones marked. The data stays."""
        if not self.data_dir.is_dir():
            return []
        with self._locked():
            live = self.running()
            forced = set(processes.stop(live))
            left = record.read_record(self.data_dir)
            for name in ("processes", "bootstrap_servers", "redis_url", "tickets_url", "database_url"):
                left.pop(name, None)
            if left or live:
                record.write_record(self.data_dir, left)
        return [f"{entry.name} (by force)" if entry.name in forced else entry.name for entry in live]

    def kill_broker(self, node: int = 0) -> None:
        """Kill a broker as a power cut would."""
        for entry in self.running():
            if entry.name == f"kafka-{node}":
                processes.kill(entry)
                return
        raise StackError(f"broker {node} does not run")

    def start_broker(self, node: int = 0, *, wait: bool = True) -> None:
        """Start a broker again after `kill_broker`, on its old port; with `wait`, until all brokers answer."""
        self.start() if wait else self._start_nodes(self._cluster(), [node], [])

    def __enter__(self) -> "Stack":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    # -- folders and ports

    def _make_folder(self) -> None:
        """Make the data folder; refuse a full disk, and a path that the servers can't take."""
        if reason := unusable(self.data_dir):
            raise StackError(f"data folder {self.data_dir!s:.200}: {reason}", "choose another one with --data")
        try:
            private_folder(self.data_dir, ours=any((self.data_dir / name).exists() for name in OURS))
            free = shutil.disk_usage(self.data_dir).free
        except OSError as problem:
            raise StackError(
                f"data folder {self.data_dir}: {problem.strerror}", "choose another one with --data"
            ) from problem
        if not os.access(self.data_dir, os.W_OK):
            raise StackError(f"data folder {self.data_dir} cannot be written to", "choose another one with --data")
        if free < DISK_FREE_MIN_BYTES:
            raise StackError(
                f"only {free >> 20} MB free on the disk of {self.data_dir}; {DISK_FREE_MIN_BYTES >> 20} MB are needed",
                "make room, or choose a folder on another disk with --data",
            )

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        """One start or stop at a time in a data folder."""
        path = self.data_dir / LOCK_FILE
        path.touch(mode=FILE_MODE)
        with path.open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                self.say("another process is starting or stopping this stack: waiting for it")
                fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def remember(self, **values: Any) -> None:
        """Put values into the record."""
        record.write_record(self.data_dir, {**record.read_record(self.data_dir), **values})

    def note_started(self, entry: Running, started: list[Running]) -> None:
        """Record a process at once, so that it can be stopped even if we die in the next moment."""
        started.append(entry)
        others = [known for known in self.running() if known.name != entry.name]
        self.remember(processes=record.as_entries([*others, entry]))

    def base_port(self, name: str, wanted: int, count: int) -> int:
        """First of `count` ports in a row: the settings', or with `any_ports` the last run's if free, else free ones."""
        if not self.any_ports:
            return wanted
        last = record.read_record(self.data_dir).get(name)
        if isinstance(last, int) and all(processes.is_free(last + step) for step in range(count)):
            return last
        return processes.free_row(count)

    # -- Kafka

    def _start_kafka(self, alive: set[str], started: list[Running]) -> None:
        names = [f"kafka-{node}" for node in range(self._brokers())]
        missing = [node for node, name in enumerate(names) if name not in alive]
        cluster = self._cluster(keep_ports=len(missing) < len(names))
        if missing:
            self.say(f"starting Apache Kafka, {cluster.brokers} broker{'s' if cluster.brokers > 1 else ''}")
            self._start_nodes(cluster, missing, started)
        administrator = admin.client(self._as_super(cluster.bootstrap_servers))
        processes.wait_until(
            lambda: admin.serves(administrator, cluster.brokers),
            started,
            cluster.log(missing[0] if missing else 0),
            "Kafka",
            kafka.KAFKA_READY_WAIT_S,
        )
        answering = admin.cluster_id(administrator)
        if answering != cluster.cluster_id:
            raise StackError(
                f"at {cluster.bootstrap_servers} another Kafka answers, cluster {answering}, not {cluster.cluster_id}",
                "choose another port with --kafka-port, or stop what listens there",
            )
        self.remember(bootstrap_servers=cluster.bootstrap_servers)
        self.say(f"Kafka answers at {cluster.bootstrap_servers}")
        if self.secure:
            users.apply(administrator, SecureFolder(self.data_dir), self.settings.topic_prefix, self.settings.group)
            self.say(f"{len(PRINCIPALS)} users have their passwords, and the least rights")

    def _brokers(self) -> int:
        """Number of brokers: a folder keeps the number it began with."""
        known = record.read_record(self.data_dir).get("brokers")
        if known is not None and known != self.settings.brokers:
            raise StackError(
                f"{self.data_dir} holds a cluster of {known} broker(s), not {self.settings.brokers}",
                f"use --brokers {known}, or another folder with --data",
            )
        return self.settings.brokers

    def _cluster(self, *, keep_ports: bool = True) -> kafka.Cluster:
        """The cluster of the folder; the jars are fetched when it is asked for the first time."""
        known = record.read_record(self.data_dir)
        if self.cluster is not None and keep_ports:
            return self.cluster
        brokers = self._brokers()
        port = known.get("kafka_port") if keep_ports else None
        if port is None:
            port = self.base_port("kafka_port", self.settings.kafka_port, 2 * brokers)
        cluster_id = known.get("cluster_id") or kafka.new_cluster_id()
        self.cluster = kafka.Cluster(
            data_dir=self.data_dir,
            cluster_id=cluster_id,
            port=port,
            brokers=brokers,
            partitions=self.settings.partitions,
            heap_mb=self.settings.kafka_heap_mb,
            class_path=tuple(jars.class_path(self.settings.home(), self.settings.maven_mirror, self.say)),
            tether=self.tether,
            quick=self.quick,
            secure=SecureFolder(self.data_dir) if self.secure else None,
        )
        self.remember(cluster_id=cluster_id, kafka_port=port, brokers=brokers)
        return self.cluster

    def _start_nodes(self, cluster: kafka.Cluster, nodes: list[int], started: list[Running]) -> None:
        for node in nodes:
            for port in cluster.ports(node):
                processes.check_port_free(port, "Kafka", "--kafka-port")
        for node in nodes:
            cluster.prepare(node)
            self.note_started(cluster.start_node(node), started)

    def _as_super(self, servers: str = "") -> Brokers:
        """The brokers as who may do everything, where they are secured; `up` alone does."""
        kafka, folder = self.settings.kafka, SecureFolder(self.data_dir)
        if not self.secure or not self.with_kafka:
            return Brokers(servers or str(kafka), kafka.wire)
        wire = Wire(
            SASL_TLS, Certificates("TIDEGAUGE_KAFKA", folder.ca), user=SUPER_USER, password=folder.password(SUPER_USER)
        )
        return Brokers(servers or str(kafka), wire)

    def _secure(self) -> None:
        """Make the authority and the certificate; StackError for a folder that began in plaintext."""
        known = record.read_record(self.data_dir)
        if not known.get("secure") and ("cluster_id" in known or "redis_port" in known or "postgres_port" in known):
            raise StackError(
                f"{self.data_dir} holds servers that began in plaintext, and a folder keeps what it began with",
                "choose another folder with --data",
            )
        SecureFolder(self.data_dir).prepare(datetime.now(UTC))
        self.remember(secure=True)

    # -- Redis

    def _redis_users(self, name: str) -> tuple[str, ...]:
        """The users of a secured server: those of the principals, and nobody else."""
        if not self.secure:
            return ()
        self.say(f"server {name} has no TLS: on this machine's own interface it asks for users and passwords only")
        return redis_users(SecureFolder(self.data_dir), self.settings.topic_prefix, tickets=name == redis.TICKET_SERVER)

    def _redis_probe(self, url: str) -> str:
        if not self.secure:
            return url
        word = SecureFolder(self.data_dir).password(OPERATOR)
        return opened_url(url, OPERATOR, word, Certificates("TIDEGAUGE_REDIS"))

    def _start_redis(self, name: str, wanted: int, started: list[Running]) -> None:
        """Start one of the Redis-protocol servers: of the views, or of tickets."""
        port = self.base_port(f"{name}_port", wanted, 1)
        server = redis.Server(self.data_dir, port, self.tether, self._redis_users(name), name)
        what = "the Redis server" if name == redis.VIEW_SERVER else "the server for tickets"
        processes.check_port_free(server.port, what, f"--{name}-port")
        self.note_started(server.start(), started)
        processes.wait_until(
            lambda: answers(self._redis_probe(server.url)), started[-1:], server.log, what, redis.REDIS_READY_WAIT_S
        )
        self.remember(**{f"{name}_port": server.port, f"{name}_url": server.url})
        if name == redis.VIEW_SERVER:
            self.say(f"Redis answers at {self.settings.redis_shown}")
        else:
            self.say(f"tickets are kept at {self.settings.tickets_shown}")
