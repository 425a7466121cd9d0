"""Connections to PostgreSQL: how its URL is opened, and the one place that connects. Every wait has an end.

tests/deploy/test_connections.py sees that nobody else makes one.
"""

import secrets
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

from deploy.connections.caller import acting
from deploy.connections.wire import AccessError, Certificates
from deploy.private import made_once
from schemas import bounds
from schemas.bounded import read_bounded

if TYPE_CHECKING:
    from psycopg import Connection
    from psycopg_pool import ConnectionPool

SCHEMES: Final = ("postgresql", "postgres")
SUPER_ROLE: Final = "postgres"
OWNER_ROLE: Final = "tidegauge"
PASSWORD_FILES: Final = {SUPER_ROLE: "postgres.password", OWNER_ROLE: "database.password"}
DATABASE_CA: Final = "TIDEGAUGE_DATABASE_CA"
LOOPBACK: Final = ("127.0.0.1", "::1", "localhost")
CONNECT_S: Final = 5
STATEMENT_S_MAX: Final = 60
LOCK_S_MAX: Final = 20
IDLE_S_MAX: Final = 120
SILENCE_S_MAX: Final = 20
WAITING_FACTOR: Final = 8
"""So many wait for each connection of a pool; others are told at once that there is none."""


def connected(url: str, *, autocommit: bool = False) -> "Connection[Any]":
    """A connection to the database of the settings. psycopg.OperationalError where it can't be had.

    A statement, the wait for a lock and an open transaction that does nothing end by themselves.
    """
    import psycopg  # here: most processes have no database

    return psycopg.connect(url, autocommit=autocommit, **_bounded())


def pooled(url: str, most: int) -> "ConnectionPool[Connection[Any]]":
    """A pool of such connections, opened as they are needed. psycopg_pool.PoolTimeout where none is free in time."""
    import psycopg_pool  # here, as above

    return psycopg_pool.ConnectionPool(
        url, min_size=0, max_size=most, open=True, timeout=CONNECT_S, max_waiting=WAITING_FACTOR * most,
        max_idle=IDLE_S_MAX, reconnect_timeout=CONNECT_S, kwargs=_bounded(), name="readers",
    )  # fmt: skip


def _bounded() -> dict[str, Any]:
    """What every connection has: an end to each wait, and a name."""
    limits = {
        "statement_timeout": STATEMENT_S_MAX, "lock_timeout": LOCK_S_MAX,
        "idle_in_transaction_session_timeout": IDLE_S_MAX,
    }  # fmt: skip
    return {
        "connect_timeout": CONNECT_S, "application_name": f"tidegauge {acting()}",
        "keepalives_idle": SILENCE_S_MAX, "tcp_user_timeout": 1000 * SILENCE_S_MAX, "client_encoding": "utf8",
        "options": " ".join(f"-c {name}={1000 * seconds}" for name, seconds in limits.items()),
    }  # fmt: skip


def database_answers(url: str) -> bool:
    """True if a PostgreSQL server lets one in at the URL."""
    import psycopg

    try:
        connected(url).close()
    except psycopg.OperationalError:
        return False
    return True


def opened_database(url: str, user: str, password: str, certificates: Certificates) -> str:
    """A URL of a PostgreSQL server with what opens it. What the URL says itself counts first. AccessError.

    A server elsewhere is spoken to by TLS, and has to prove its name, unless the URL says otherwise (`sslmode`).
    """
    parts = urlsplit(url)
    if (user or password) and "@" not in parts.netloc:
        parts = parts._replace(netloc=f"{quote(user, safe='')}:{quote(password, safe='')}@{parts.netloc}")
    given = dict(parse_qsl(parts.query))
    files: dict[str, Any] = {
        "sslrootcert": certificates.ca, "sslcert": certificates.certificate, "sslkey": certificates.key,
    }  # fmt: skip
    if any(files.values()):
        if given.get("sslmode") == "disable":
            hint = f"take sslmode=disable out of TIDEGAUGE_DATABASE_URL, or unset {DATABASE_CA}"
            raise AccessError("certificates for a PostgreSQL server that is not spoken to by TLS", hint)
        certificates.context()  # says which file is none
    checked = "verify-full" if certificates.check_host else "verify-ca"
    if certificates.ca is not None:
        given.setdefault("sslmode", checked)
    elif parts.hostname not in LOOPBACK and "sslmode" not in given:
        given["sslmode"] = checked
        given.setdefault("sslrootcert", usual_authorities())
    given |= {name: str(path) for name, path in files.items() if path is not None and name not in given}
    return parts._replace(query=urlencode(given)).geturl()


def usual_authorities() -> str:
    """The file of the authorities that this machine trusts; `system` where OpenSSL has to find them itself."""
    import ssl

    return ssl.get_default_verify_paths().cafile or "system"


def role_password(data_dir: Path, role: str) -> str:
    """The password of a role of the embedded server. It is made with the folder, and stands in a file of the owner's alone."""
    path = data_dir / PASSWORD_FILES[role]
    made_once(path, lambda: secrets.token_hex(32))
    return read_bounded(path, bounds.KEY_FILE_BYTES_MAX).decode().strip()


def shown_database(url: str) -> str:
    """A URL for messages: without user, password and the rest of what opens it."""
    parts = urlsplit(url)
    before, at, place = parts.netloc.rpartition("@")
    return f"{parts.scheme}://{'…@' * bool(at and before)}{place}{parts.path}"
