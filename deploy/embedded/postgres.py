"""The embedded PostgreSQL: binaries from Maven, each pinned by its SHA-256, with a folder and a port of its own.

PostgreSQL refuses to run as root. For root it runs as an unprivileged user, in a place that this user gets to; the data
folder is closed to him, like everything above it may be.
"""

import os
import platform
import pwd
import secrets
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from deploy.connections.database import SUPER_ROLE, role_password
from deploy.embedded import jars, processes
from deploy.embedded.processes import User, as_user
from deploy.errors import StackError
from deploy.private import FOLDER_MODE, UMASK, private_folder, write_private
from deploy.record import Running
from deploy.security.authority import SecureFolder
from schemas import bounds
from schemas.bounded import read_bounded

POSTGRES_LOCK: Final = Path(__file__).with_name("postgres.lock")
VERSION: Final = "18.1.0"
ARTIFACT: Final = "embedded-postgres-binaries-{system}-{machine}"
PROCESSORS: Final = {"x86_64": "amd64", "AMD64": "amd64", "aarch64": "arm64v8", "arm64": "arm64v8"}
POSTGRES_READY_WAIT_S: Final = 120.0
INIT_WAIT_S: Final = 120.0
CONNECTIONS_MAX: Final = 64
DATABASE: Final = "tidegauge"
OF_ROOT: Final = Path("/var/lib/tidegauge")
"""Where the servers that root starts have their programs and their data."""

UNPRIVILEGED: Final = ("postgres", "nobody")
INSTEAD: Final = "or TIDEGAUGE_DATABASE_URL to a PostgreSQL server that runs already"


def binaries(mirror: str | None, say: Callable[[str], None] | None = None) -> Path:
    """The folder with the programs; fetched and unpacked where they are not. StackError."""
    machine = PROCESSORS.get(platform.machine())
    if machine is None:
        raise StackError(
            f"there is no embedded PostgreSQL for {platform.machine()}", f"set {INSTEAD.removeprefix('or ')}"
        )
    name = ARTIFACT.format(system=sys.platform, machine=machine)
    (jar,) = jars.fetched(POSTGRES_LOCK, mirror, say, only=name, instead=INSTEAD)
    above = OF_ROOT if os.geteuid() == 0 else jar.parent
    place = above / f"{name}-{VERSION}"
    if not (place / "bin" / "postgres").exists():
        above.mkdir(mode=0o755, parents=True, exist_ok=True)
        with jars.one_at_a_time(above):
            if not place.exists():
                _unpack(jar, place)
    return place / "bin"


def _unpack(jar: Path, place: Path) -> None:
    """All of it or nothing; readable by everybody, writable by whoever unpacks."""
    draft = place.with_name(f"{place.name}.{secrets.token_hex(4)}")
    try:
        with zipfile.ZipFile(jar) as outer:
            packed = next(name for name in outer.namelist() if name.endswith(".txz"))
            with outer.open(packed) as stream, tarfile.open(fileobj=stream, mode="r|xz") as archive:
                archive.extractall(draft, filter="data")
        for path in (draft, *draft.rglob("*")):
            if not path.is_symlink():
                path.chmod(path.stat().st_mode & 0o755 | (0o755 if path.is_dir() else 0o444))
        draft.rename(place)
    except (OSError, StopIteration, tarfile.TarError, zipfile.BadZipFile) as problem:
        shutil.rmtree(draft, ignore_errors=True)
        raise StackError(f"{jar.name} cannot be unpacked: {problem}", f"folder: {place.parent}") from problem


def unprivileged() -> User | None:
    """As whom the server runs for root; None for everybody else, who runs it himself."""
    if os.geteuid() != 0:
        return None
    for name in UNPRIVILEGED:
        try:
            found = pwd.getpwnam(name)
        except KeyError:
            continue
        return User(found.pw_uid, found.pw_gid)
    raise StackError(
        f"PostgreSQL refuses root, and there is no user {' or '.join(UNPRIVILEGED)}", "run it as another user"
    )


@dataclass(frozen=True, slots=True)
class DatabaseServer:
    """A server on this machine. `home`: where its data is, in a folder that is nobody else's."""

    data_dir: Path
    home: Path
    port: int
    programs: Path
    user: User | None
    tether: bool = False  # it dies with the calling process, and what it holds is not synced: for tests
    secure: SecureFolder | None = None  # with it: TLS

    @property
    def log(self) -> Path:
        """The server's log file."""
        return self.data_dir / "logs" / "postgres.log"

    @property
    def data(self) -> Path:
        """PostgreSQL's own folder."""
        return self.home / "data"

    @property
    def url(self) -> str:
        """Where to connect to, without user and password."""
        return f"postgresql://127.0.0.1:{self.port}/{DATABASE}"

    def prepare(self) -> subprocess.Popen[bytes] | None:
        """Begin to make the storage, if it is new; `start` waits for it. StackError."""
        self._own_folder()
        if self.data.exists():
            return None
        shutil.rmtree(self._draft, ignore_errors=True)
        self._write("init.password", role_password(self.data_dir, SUPER_ROLE))
        self.log.parent.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
        command = [
            str(self.programs / "initdb"), "--pgdata", str(self._draft), "--username", SUPER_ROLE, "--auth", "scram-sha-256",
            "--pwfile", str(self.home / "init.password"), "--encoding", "UTF8", "--no-locale",
            *(["--no-sync"] if self.tether else []),
        ]  # fmt: skip
        try:
            with self.log.open("ab") as out:
                return subprocess.Popen(
                    command, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT, cwd=self.home, umask=UMASK,
                    env=_environment(), **as_user(self.user),
                )  # fmt: skip
        except OSError as problem:
            raise StackError(f"initdb cannot be started: {problem}", f"command: {command[0]}") from problem

    def start(self, making: subprocess.Popen[bytes] | None) -> Running:
        """Start the server, once its storage is made; it is ready when it answers. StackError."""
        if making is not None:
            self._made(making)
        self._forget_another()
        for name, text in self._configuration().items():
            self._write(name, text)
        command = [
            str(self.programs / "postgres"),
            "-D",
            str(self.data),
            "-c",
            f"config_file={self.home / 'server.conf'}",
        ]
        return processes.start(
            "postgres", command, self.log, str(self.data), tether=self.tether, env=_environment(), user=self.user
        )

    @property
    def _draft(self) -> Path:
        return self.home / "data.new"

    def _made(self, making: subprocess.Popen[bytes]) -> None:
        try:
            code = making.wait(INIT_WAIT_S)
        except subprocess.TimeoutExpired:
            making.kill()
            code = making.wait()
        (self.home / "init.password").unlink(missing_ok=True)
        if code != 0:
            said = processes.tail(self.log)
            raise StackError(f"PostgreSQL's storage cannot be made:\n{said}", f"the whole log: {self.log}")
        self._draft.rename(self.data)

    def _own_folder(self) -> None:
        try:
            if self.user is None:
                private_folder(self.home)
                return
            self.home.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
            self.home.mkdir(mode=FOLDER_MODE, exist_ok=True)
            os.chown(self.home, self.user.uid, self.user.gid)
        except OSError as problem:
            raise StackError(
                f"PostgreSQL's folder {self.home}: {problem.strerror}", INSTEAD.removeprefix("or ")
            ) from problem

    def _forget_another(self) -> None:
        """Of a copied folder: the note of the server that runs on the original would be taken for one of ours."""
        note = self.data / "postmaster.pid"
        if note.exists():
            lines = read_bounded(note, bounds.SMALL_FILE_BYTES_MAX).decode(errors="replace").splitlines()
            if len(lines) > 1 and Path(lines[1]) != self.data:
                note.unlink()

    def _write(self, name: str, text: str) -> None:
        """A file of the server's user alone."""
        path = self.home / name
        write_private(path, text)
        if self.user is not None:
            os.chown(path, self.user.uid, self.user.gid)

    def _configuration(self) -> dict[str, str]:
        """The server's files: name -> text."""
        certificate = self.home / "server.pem"
        values = {
            "listen_addresses": "127.0.0.1", "port": str(self.port), "unix_socket_directories": "",
            "hba_file": str(self.home / "hba.conf"), "max_connections": str(CONNECTIONS_MAX),
            "shared_buffers": "64MB", "password_encryption": "scram-sha-256",
            "timezone": "UTC", "log_timezone": "UTC", "fsync": "off" if self.tether else "on",
            # What a failed statement holds is somebody's data, and no business of a log.
            "log_error_verbosity": "terse", "log_min_error_statement": "panic",
        }  # fmt: skip
        files = {"hba.conf": f"host{'ssl' if self.secure else ''} all all 127.0.0.1/32 scram-sha-256\n"}
        if self.secure is not None:
            values |= {"ssl": "on", "ssl_cert_file": str(certificate), "ssl_key_file": str(certificate)}
            files["server.pem"] = read_bounded(self.secure.server, bounds.SMALL_FILE_BYTES_MAX).decode()
        return files | {"server.conf": "".join(f"{name} = {_quoted(value)}\n" for name, value in values.items())}


def new_home(data_dir: Path) -> Path:
    """Where the data of a folder's server will be: in the folder, or for root in a place of its own."""
    return OF_ROOT / f"postgres-{secrets.token_hex(8)}" if os.geteuid() == 0 else data_dir / "postgres"


def _quoted(value: str) -> str:
    """A value of the configuration."""
    return "'" + value.replace("\\", "\\\\").replace("'", "''") + "'"


def _environment() -> dict[str, str]:
    """Nothing of ours: variables such as PGOPTIONS would count for the server too."""
    return {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C.UTF-8"}


if __name__ == "__main__":  # after a change of version: `python -m deploy.embedded.postgres`
    jars.write_lock(
        POSTGRES_LOCK,
        [
            f"io.zonky.test.postgres:{ARTIFACT.format(system=system, machine=machine)}:{VERSION}"
            for system in ("linux", "darwin")
            for machine in ("amd64", "arm64v8")
        ],
        "deploy.embedded.postgres",
    )
