"""The embedded stack with what chaos needs besides: a second listener behind a proxy, and brokers without room."""

from __future__ import annotations

import resource
import subprocess
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import psutil

from deploy.embedded import kafka, processes
from deploy.embedded.stack import Stack
from deploy.settings import Settings

PROXIED = "PROXIED"


@dataclass(frozen=True)
class ProxiedCluster(kafka.Cluster):
    """A cluster whose first node listens on one port more, and tells clients of that listener to come by another."""

    behind: int = 0  # port of the listener
    front: int = 0  # port that it advertises: the proxy's
    more: str = ""  # further lines of server.properties

    def properties(self, node: int) -> str:
        """server.properties of a node."""
        text = kafka.Cluster.properties(self, node) + self.more
        if node or not self.front or self.secure is not None:
            return text
        out = []
        for line in text.splitlines():
            name, _, value = line.partition("=")
            if name == "listeners":
                value += f",{PROXIED}://127.0.0.1:{self.behind}"
            elif name == "advertised.listeners":
                value += f",{PROXIED}://127.0.0.1:{self.front}"
            elif name == "listener.security.protocol.map":
                value += f",{PROXIED}:PLAINTEXT"
            out.append(f"{name}={value}\n")
        return "".join([*out, "security.inter.broker.protocol=PLAINTEXT\n"])


class ChaosStack(Stack):
    """Brokers that die with the caller, on free ports."""

    def __init__(self, folder: Path, brokers: int = 1, heap_mb: int = 512, **more: Any) -> None:
        settings = Settings(bootstrap_servers="", redis_url="", brokers=brokers, kafka_heap_mb=heap_mb)
        super().__init__(folder, settings, with_redis=False, with_topics=False, any_ports=True, tether=True, **more)
        self.behind = self.front = 0
        self.more: dict[str, str] = {}  # settings of the brokers besides, from the next start on

    @property
    def proxied_servers(self) -> str:
        """Where clients begin that are to go through the proxy."""
        return f"127.0.0.1:{self.front}"

    def _cluster(self, *, keep_ports: bool = True) -> kafka.Cluster:
        made = super()._cluster(keep_ports=keep_ports)
        more = "".join(f"{name}={value}\n" for name, value in self.more.items())
        if isinstance(made, ProxiedCluster) and made.more == more:
            return made
        if not self.front:
            first = made.port + 2 * made.brokers  # the brokers' own ports are not taken yet
            while not (processes.is_free(first) and processes.is_free(first + 1)):
                first += 2
            self.behind, self.front = first, first + 1
        values = {field.name: getattr(made, field.name) for field in fields(kafka.Cluster)}
        self.cluster = ProxiedCluster(**values, behind=self.behind, front=self.front, more=more)
        return self.cluster

    def pid(self, node: int = 0) -> int:
        """Process id of a broker."""
        return next(entry.pid for entry in self.running() if entry.name == f"kafka-{node}")

    def fill(self, node: int = 0, room_bytes: int = 64 << 10) -> None:
        """From now on no file of a broker can grow by more than `room_bytes` beyond its largest: writes fail."""
        folder = self.cluster.folder(node) if self.cluster else self.data_dir
        largest = max((path.stat().st_size for path in folder.rglob("*.log")), default=0)
        _, hard = resource.prlimit(self.pid(node), resource.RLIMIT_FSIZE)
        resource.prlimit(self.pid(node), resource.RLIMIT_FSIZE, (largest + room_bytes, hard))

    def quota(self, bytes_s: int | None) -> None:
        """What every client may write and read a second; None: as much as it likes."""
        assert self.cluster is not None
        names = ("producer_byte_rate", "consumer_byte_rate")
        change = (
            ["--delete-config", ",".join(names)]
            if bytes_s is None
            else ["--add-config", ",".join(f"{name}={bytes_s}" for name in names)]
        )
        subprocess.run(
            [*self.cluster._java(128, quick=True), "kafka.admin.ConfigCommand", "--bootstrap-server",
             self.bootstrap_servers, "--alter", "--entity-type", "clients", "--entity-default", *change],
            check=True, capture_output=True, timeout=60,
        )  # fmt: skip

    def wait_gone(self, node: int = 0, wait_s: float = 60.0) -> bool:
        """Whether a broker ends by itself in time."""
        pids = [entry.process() for entry in self.running() if entry.name == f"kafka-{node}"]
        _, left = psutil.wait_procs([process for process in pids if process], timeout=wait_s)
        return not left
