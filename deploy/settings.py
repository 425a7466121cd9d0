"""Every setting of Tidegauge, in one class; read from the environment (TIDEGAUGE_*). docs/settings.md lists them all.

Anything that agents, services and connectors need to know about their surroundings comes from here and nowhere else.
"""

import base64
import contextlib
import datetime as dt
import os
import re
import secrets
from collections.abc import Mapping
from dataclasses import replace
from difflib import get_close_matches
from functools import cached_property
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import SettingsConfigDict

from deploy.connections.caller import acting
from deploy.connections.database import OWNER_ROLE, SCHEMES, opened_database, role_password
from deploy.connections.mail import MailSettings
from deploy.connections.notices import NoticeSettings
from deploy.connections.settings import WireSettings, opened_url
from deploy.connections.wire import PLAIN, SASL_TLS, Brokers, Certificates, Wire, loopback
from deploy.errors import KeyLostError
from deploy.kinds import OfIdentity, OfPlace, OfTaste, SettingKind
from deploy.private import made_once
from deploy.sources import PREFIX, SECRET_ENDS, secret_names
from schemas import bounds
from schemas.bounded import TooLargeError, read_bounded

REFERENCE_KEY_FILE = "reference.key"
BESIDE = ("debug", "berka_dir", "rules_dir")  # variables that are no settings: the command line's, and the tests'
ALERT_KEY_FILE = "alert.key"
KEY_BYTES_MIN = 32
PARTITIONS_MAX = 1024
PORT_MAX = 65535
DISK_FREE_MIN_BYTES = 1 << 30  # of the data folder


class Settings(WireSettings, MailSettings, NoticeSettings):
    """Settings with their defaults; raises pydantic.ValidationError when a value is out of bounds."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="ignore", hide_input_in_errors=True)

    # Where the servers are. Empty: those that `tidegauge up` started in data_dir.
    bootstrap_servers: OfPlace[str] = Field("", description="Kafka brokers, host:port separated by commas.")
    redis_url: OfPlace[str] = Field("", description="A Redis-protocol server, redis://host:port/db.")
    tickets_url: OfPlace[str] = Field("", description="A Redis-protocol server for tickets, which syncs every write.")
    tickets_user: OfPlace[str] = Field("", description="ACL user of that server.")
    tickets_password: OfPlace[SecretStr | None] = Field(None, description="Password of that user.")
    database_url: OfPlace[str] = Field("", description="A PostgreSQL database, postgresql://host:port/name.")
    contracts: OfTaste[int] = Field(1, ge=1, le=2, description="Versions written; 2: null for unknown.")
    schema_registry_url: OfPlace[str | None] = Field(None, description="A Confluent-compatible schema registry.")
    schema_registry_user: OfPlace[str] = Field("", description="User of the registry (basic authentication).")
    schema_registry_password: OfPlace[SecretStr | None] = Field(None, description="Password of that user.")
    schema_registry_token_url: OfPlace[str] = Field("", description="Where tokens for the registry come from (OAuth).")
    schema_registry_client_id: OfPlace[str] = Field("", description="Client that gets the tokens.")
    schema_registry_client_secret: OfPlace[SecretStr | None] = Field(None, description="Secret of that client.")
    schema_registry_scope: OfPlace[str] = Field("", description="Scope of the tokens.")
    schema_registry_ca: OfPlace[Path | None] = Field(None, description="CA file (PEM) for the registry and its tokens.")
    data_dir: OfPlace[Path] = Field(Path(".data"), description="Folder of the embedded stack and of generated secrets.")

    # The embedded stack.
    kafka_port: OfPlace[int] = Field(9092, ge=1, le=65535, description="First port of the embedded Kafka.")
    redis_port: OfPlace[int] = Field(6379, ge=1, le=65535, description="Port of the embedded Redis-protocol server.")
    tickets_port: OfPlace[int] = Field(6380, ge=1, le=65535, description="Port of the embedded server for tickets.")
    postgres_port: OfPlace[int] = Field(5432, ge=1, le=65535, description="Port of the embedded PostgreSQL.")
    brokers: OfPlace[int] = Field(1, ge=1, le=5, description="Number of embedded brokers.")
    kafka_heap_mb: OfTaste[int] = Field(1024, ge=256, le=65536, description="Java heap of one embedded broker, MB.")
    kafka_home: OfTaste[Path | None] = Field(None, description="An unpacked Kafka distribution to use.")
    maven_mirror: OfTaste[str | None] = Field(None, description="Maven repository to fetch the Kafka jars from.")

    # Topics and workers.
    topic_prefix: OfIdentity[str] = Field("", pattern=r"^[a-zA-Z0-9._-]*$", description="Before every topic's name.")
    partitions: OfTaste[int] = Field(4, ge=1, le=PARTITIONS_MAX, description="Partitions of every topic.")
    group: OfIdentity[str] = Field("tidegauge", min_length=1, description="Consumer group of the workers.")
    metrics_port: OfTaste[int] = Field(9464, ge=0, le=65535, description="Port of a worker's metrics; 0: none.")
    metrics_host: OfTaste[str] = Field("127.0.0.1", min_length=1, description="Address of metrics and health.")
    flush_interval_s: OfTaste[float] = Field(1.0, gt=0, le=60, description="Seconds between flushes of dirty rows.")

    # The bank.
    base_currency: OfIdentity[str] = Field("CNY", pattern=r"^[A-Z]{3}$", description="Currency of AUM and of packs.")
    zone: OfIdentity[str] = Field("Asia/Shanghai", description="Time zone of business days.")
    pack: OfIdentity[str] = Field("rolling-quarter-aum", min_length=1, description="Policy pack in force.")
    reference_key: OfIdentity[SecretStr | None] = Field(None, description="Secret of the opaque customer references.")
    reference_key_previous: OfTaste[SecretStr | None] = Field(None, description="The reference key before.")
    reference_key_retire: OfTaste[bool] = Field(False, description="Take the references of the previous key back.")
    alert_key: OfIdentity[SecretStr | None] = Field(None, description="Secret of the ids of alerts; it never changes.")

    # Who asks, and in which language.
    actor: OfTaste[str] = Field("operator:hq", min_length=1, description="Who runs commands that show personal data.")
    token_issuer: OfPlace[str] = Field("", description="Issuer of the tokens that say who asks; none: actor counts.")
    token_audience: OfPlace[str] = Field("tidegauge", min_length=1, description="For whom such a token is made.")
    token_keys: OfPlace[Path | None] = Field(None, description="File with the issuer's public keys; none: by URL.")
    token_ca: OfPlace[Path | None] = Field(None, description="PEM file of authorities for the issuer.")
    token_login_claim: OfPlace[str] = Field("preferred_username", min_length=1, description="Claim with a login.")
    token: OfPlace[SecretStr | None] = Field(None, description="Token of who runs commands.")
    stamped_from: OfTaste[dt.date | None] = Field(None, description="First day of which acts need a verified actor.")
    login_url: OfPlace[str] = Field("", description="Where people's browsers reach the pages, https://desk.bank.")
    login_client: OfPlace[str] = Field("tidegauge-pages", min_length=1, description="Client of the pages' logins.")
    login_client_secret: OfPlace[SecretStr | None] = Field(None, description="Secret of that client; none: public.")
    session_idle_minutes: OfTaste[int] = Field(30, ge=1, le=720, description="A session ends, unused, after so long.")
    session_hours: OfTaste[int] = Field(10, ge=1, le=24, description="And in any case after so long.")
    development: OfPlace[bool] = Field(False, description="Servers elsewhere, to try things out: nobody has to log in.")
    lang: OfTaste[Literal["en", "zh-CN"]] = Field("en", description="Language of what commands print.")

    # What leaves the system.
    webhook_url: OfPlace[str | None] = Field(None, description="Where notices are posted; none: the console only.")
    webhook_secret: OfPlace[SecretStr | None] = Field(None, description="Signs what is posted: whsec_ and base64.")
    webhook_ca: OfPlace[Path | None] = Field(None, description="PEM file of authorities for the webhook.")
    queue_default_class: OfTaste[str] = Field("ordinary", min_length=1, description="Class of whoever has no other.")
    queue_stays: OfTaste[bool] = Field(
        False, description="Tickets that wait when a branch closes, or its day ends, stay."
    )
    queue_key_rate: OfTaste[int] = Field(
        50, ge=0, le=10**6, description="Ticket requests a second of a key; 0: no limit."
    )
    lookup_port: OfTaste[int] = Field(8080, ge=0, le=65535, description="Port of the queue class look-up.")
    commands_port: OfTaste[int] = Field(8082, ge=0, le=65535, description="Port of the service of commands.")
    pages_port: OfTaste[int] = Field(8083, ge=0, le=65535, description="Port of the pages of a branch's queue.")
    desk_port: OfTaste[int] = Field(8084, ge=0, le=65535, description="Port of the desk.")
    lookup_metrics_port: OfTaste[int] = Field(9467, ge=0, le=65535, description="Port of its metrics; 0: none.")
    lookup_connections: OfTaste[int] = Field(512, ge=4, le=65536, description="Connections it takes at once.")
    lookup_open: OfTaste[bool] = Field(False, description="It asks for no key; for trying it out.")
    lookup_rate: OfTaste[int] = Field(100, ge=0, le=10**6, description="Requests a second of one address; 0: no limit.")

    @field_validator("zone")
    @classmethod
    def known_zone(cls, zone: str) -> str:
        """Refuse a zone that this machine's time zone data doesn't have."""
        try:
            ZoneInfo(zone)
        except (KeyError, ValueError, OSError) as problem:
            raise ValueError(f"unknown time zone {zone!r}") from problem
        return zone

    @field_validator("redis_url", "tickets_url")
    @classmethod
    def usable_url(cls, url: str) -> str:
        """Refuse what no Redis client takes."""
        try:
            parts = urlsplit(url)
            good = not url or parts.scheme == "unix" or (parts.scheme in ("redis", "rediss") and bool(parts.hostname))
            _ = parts.port  # ValueError beyond 65535
        except ValueError:
            good = False
        if not good:
            raise ValueError("no URL of a Redis server, such as redis://127.0.0.1:6379/0")
        return url

    @field_validator("database_url")
    @classmethod
    def usable_database(cls, url: str) -> str:
        """Refuse what is no URL of a database."""
        try:
            parts = urlsplit(url)
            good = not url or (parts.scheme in SCHEMES and bool(parts.hostname) and bool(parts.path.strip("/")))
            _ = parts.port  # ValueError beyond 65535
        except ValueError:
            good = False
        if not good:
            raise ValueError("no URL of a PostgreSQL database, such as postgresql://db.bank:5432/tidegauge")
        return url

    @field_validator("bootstrap_servers")
    @classmethod
    def usable_servers(cls, servers: str) -> str:
        """Refuse what is no list of brokers."""
        for server in servers.split(",") if servers else ():
            port = server.rpartition(":")[2]
            if not re.fullmatch(r"\s*\S+:[0-9]{1,5}\s*", server) or not 0 < int(port) <= PORT_MAX:
                raise ValueError(f"{server!r} is no host:port; brokers stand separated by commas")
        return servers

    @field_validator("reference_key", "reference_key_previous", "alert_key")
    @classmethod
    def long_key(cls, key: SecretStr | None) -> SecretStr | None:
        """Refuse a key that could be guessed, or that another process would read differently."""
        if key is not None:
            checked_key(key.get_secret_value())
        return key

    @field_validator("webhook_url")
    @classmethod
    def safe_webhook(cls, url: str | None) -> str | None:
        """Refuse what is no URL, or sends notices unencrypted over a network."""
        if not url:
            return None
        import httpx2  # here, as only notices go by it

        try:
            parsed = httpx2.URL(url)
        except httpx2.InvalidURL as problem:
            raise ValueError(f"no URL: {problem}") from problem
        if not 0 < (parsed.port or 443) < 65536:
            raise ValueError(f"no URL: there is no port {parsed.port}")
        if not parsed.host or not (parsed.scheme == "https" or (parsed.scheme == "http" and loopback(parsed.host))):
            raise ValueError("notices leave by https://host/… only; http:// is for this machine itself (127.0.0.1)")
        return url

    @field_validator("token_issuer", "login_url")
    @classmethod
    def protected_address(cls, url: str) -> str:
        """Refuse what is no address of people's logins, or sends them unencrypted over a network."""
        try:
            parts = urlsplit(url)
            host, _ = parts.hostname or "", parts.port
        except ValueError:
            host = ""
        good = bool(host) and (parts.scheme == "https" or (parts.scheme == "http" and loopback(host)))
        if url and (not good or parts.query or parts.fragment or parts.username):
            raise ValueError("no https:// address; http:// is for this machine itself (127.0.0.1)")
        return url

    @field_validator("webhook_secret")
    @classmethod
    def strong_webhook_secret(cls, secret: SecretStr | None) -> SecretStr | None:
        """Refuse a secret that is none of Standard Webhooks."""
        if secret is None:
            return None
        prefix, key = secret.get_secret_value()[:6], secret.get_secret_value()[6:]
        with contextlib.suppress(ValueError):
            if prefix == "whsec_" and 24 <= len(base64.b64decode(key, validate=True)) <= 64:
                return secret
        raise ValueError("not `whsec_` and base64 of 24 to 64 bytes, such as from `openssl rand -base64 32`")

    def topic(self, name: str) -> str:
        """Kafka's name of a catalogue topic: with the prefix."""
        return self.topic_prefix + name

    @cached_property
    def tz(self) -> ZoneInfo:
        """The bank's zone."""
        return ZoneInfo(self.zone)

    @property
    def external(self) -> bool:
        """True when Kafka is somebody else's, not the embedded one."""
        return bool(self.bootstrap_servers)

    @property
    def own_machine(self) -> bool:
        """True when whoever calls is believed: all servers are this machine's own, as the embedded ones, or for development.

        Where there is an issuer of tokens nobody is.
        """
        if self.token_issuer:
            return False
        brokers = [server.strip().rpartition(":")[0] for server in self.bootstrap_servers.split(",") if server]
        urls = [urlsplit(url) for url in (self.redis_url, self.database_url) if url]
        hosts = [*brokers, *(url.hostname or "" for url in urls if url.scheme != "unix")]
        return self.development or all(loopback(host) for host in hosts)

    @property
    def kafka(self) -> Brokers:
        """Brokers, and what opens them: of the settings, else those that `up` recorded in data_dir, else the default port."""
        if self.bootstrap_servers:
            return Brokers(self.bootstrap_servers, self.kafka_wire())
        servers = _recorded(self.data_dir, "bootstrap_servers") or f"127.0.0.1:{self.kafka_port}"
        return Brokers(servers, self._embedded_wire() if self.secured else PLAIN)

    @property
    def secured(self) -> bool:
        """True when the servers are the embedded ones, and `up --secure` made them."""
        return not self.bootstrap_servers and bool(_recorded(self.data_dir, "secure"))

    def _embedded_wire(self) -> Wire:
        """What opens the brokers of a secured stack: as the principal of this process, where no user is set."""
        from deploy.security.authority import SecureFolder  # here, as nobody else needs certificates

        folder, wire = SecureFolder(self.data_dir), self.kafka_wire()
        user = self.kafka_user or acting()
        return replace(
            wire, protocol=SASL_TLS, user=user, password=wire.password or folder.password(user),
            certificates=replace(wire.certificates, ca=self.kafka_ca or folder.ca),
        )  # fmt: skip

    @property
    def redis(self) -> str:
        """URL of the Redis server with all that opens it: of the settings, else that `up` recorded, else the default port."""
        if self.redis_url:
            return self.opened_redis(self.redis_url)
        url = _recorded(self.data_dir, "redis_url") or f"redis://127.0.0.1:{self.redis_port}/0"
        return self._embedded_redis(url) if _recorded(self.data_dir, "secure") else url

    def _embedded_redis(self, url: str) -> str:
        from deploy.security.authority import SecureFolder

        user = self.redis_user or acting()
        given = self.redis_password.get_secret_value() if self.redis_password else ""
        return opened_url(
            url, user, given or SecureFolder(self.data_dir).password(user), Certificates("TIDEGAUGE_REDIS")
        )

    @property
    def tickets(self) -> str:
        """URL of the server for tickets with all that opens it: as `redis`, whose certificates count for it too."""
        if self.tickets_url:
            word = self.tickets_password.get_secret_value() if self.tickets_password else ""
            return opened_url(self.tickets_url, self.tickets_user, word, self.redis_certificates())
        url = _recorded(self.data_dir, "tickets_url") or f"redis://127.0.0.1:{self.tickets_port}/0"
        return self._embedded_redis(url) if _recorded(self.data_dir, "secure") else url

    @property
    def has_tickets(self) -> bool:
        """Whether there is a server for tickets: one is set, or `up` has ever started one in data_dir."""
        return bool(self.tickets_url or _recorded(self.data_dir, "tickets_port"))

    @property
    def database(self) -> str:
        """URL of the PostgreSQL database with all that opens it: as `redis`."""
        if self.database_url:
            return self.database_opened(self.database_url)
        user = self.database_user or (acting() if _recorded(self.data_dir, "secure") else OWNER_ROLE)
        return self._embedded_database(user)

    @property
    def database_of_owner(self) -> str:
        """The same as who owns the tables: whoever the settings name, and the owner of an embedded database."""
        return self.database if self.database_url else self._embedded_database(OWNER_ROLE)

    def _embedded_database(self, user: str) -> str:
        from deploy.security.authority import SecureFolder

        url = _recorded(self.data_dir, "database_url") or f"postgresql://127.0.0.1:{self.postgres_port}/tidegauge"
        folder, secure = SecureFolder(self.data_dir), bool(_recorded(self.data_dir, "secure"))
        given = self.database_password.get_secret_value() if self.database_password else ""
        word = given or (
            folder.password(user) if secure and user != OWNER_ROLE else role_password(self.data_dir, OWNER_ROLE)
        )
        return opened_database(url, user, word, Certificates("TIDEGAUGE_DATABASE", folder.ca if secure else None))

    @property
    def redis_shown(self) -> str:
        """The Redis URL without its password and the rest of what opens it, for messages."""
        return _shown(self.redis)

    @property
    def tickets_shown(self) -> str:
        """The URL of the server for tickets, as `redis_shown`."""
        return _shown(self.tickets)

    def home(self) -> Path | None:
        """An unpacked Kafka distribution to use: the setting, else KAFKA_HOME as other tools have it."""
        known = os.environ.get("KAFKA_HOME")
        return self.kafka_home or (Path(known) if known else None)

    def secret(self) -> bytes:
        """The reference key: the setting, else the file in data_dir. KeyLostError where there is none, or the file holds none."""
        if self.reference_key is not None:
            return self.reference_key.get_secret_value().encode()
        path = self.data_dir / REFERENCE_KEY_FILE
        if not path.exists():
            if self.external:
                hint = (
                    "set TIDEGAUGE_REFERENCE_KEY to the one that all processes have; "
                    "for a new log `openssl rand -hex 32` makes one"
                )
                raise KeyLostError("there is no reference key", hint)
            raise KeyLostError(
                f"there is no reference key in {self.data_dir}",
                f"put {REFERENCE_KEY_FILE} back from your backup; for a new log the first `tidegauge worker` makes one",
            )
        return _key_of(path)

    def previous_secret(self) -> bytes | None:
        """The reference key before, while references move from it to the new one; None for no rotation.

        KeyLostError where ids of alerts would change with it: an alert key of their own has to be there first.
        """
        if self.reference_key_previous is None:
            return None
        if self.alert_key is None and not (self.data_dir / ALERT_KEY_FILE).exists():
            hint = "set TIDEGAUGE_ALERT_KEY to the previous reference key, for all processes, for good"
            raise KeyLostError("references cannot move to another key: ids of alerts have no key of their own", hint)
        return self.reference_key_previous.get_secret_value().encode()

    def alert_secret(self) -> bytes:
        """The key of alert ids. It stays when the reference key changes: an open alert keeps its id.

        It is the setting, else the file in data_dir, without either the reference key itself. KeyLostError as in `secret`.
        """
        if self.alert_key is not None:
            return self.alert_key.get_secret_value().encode()
        path = self.data_dir / ALERT_KEY_FILE
        return _key_of(path) if path.exists() else self.secret()

    def make_keys(self) -> None:
        """Make the keys that are missing, for an embedded Kafka whose log has none yet; of alerts, a copy of the other's.

        With Kafka elsewhere nothing is made up: other machines need the same keys.
        """
        if self.external:
            return
        if self.reference_key is None:
            made_once(self.data_dir / REFERENCE_KEY_FILE, lambda: secrets.token_hex(32))
        if self.alert_key is None:
            made_once(self.data_dir / ALERT_KEY_FILE, self.secret().decode)


def _shown(url: str) -> str:
    before, at, after = url.partition("?")[0].rpartition("@")
    return f"{before.partition('://')[0]}://…@{after}" if at else after


def _key_of(path: Path) -> bytes:
    """The key in a file; KeyLostError if it holds none."""
    try:
        return checked_key(read_bounded(path, bounds.KEY_FILE_BYTES_MAX).decode().strip()).encode()
    except UnicodeDecodeError:
        reason = "is no text"
    except TooLargeError as problem:
        reason = problem.reason
    except (ValueError, OSError) as problem:
        reason = str(getattr(problem, "strerror", None) or problem)
    raise KeyLostError(f"{path}: {reason}", "put the key back from your backup: another one gives other references")


def kind_of(name: str) -> SettingKind:
    """What a wrong value of a setting does. KeyError for one that doesn't say; a test sees that every one does."""
    for mark in Settings.model_fields[name].metadata:
        if isinstance(mark, SettingKind):
            return mark
    raise KeyError(name)


def checked_key(key: str) -> str:
    """A key as it is; ValueError if it can't be one."""
    try:
        size = len(key.encode())
    except UnicodeEncodeError as problem:
        raise ValueError("is no text") from problem
    if size < KEY_BYTES_MIN:
        raise ValueError(f"a key has at least {KEY_BYTES_MIN} bytes, not {size}; `openssl rand -hex 32` makes one")
    if key != key.strip():
        raise ValueError("has spaces or line ends around it")
    return key


def strangers(environment: Mapping[str, str]) -> dict[str, str]:
    """Variables that begin like a setting and are none, each with the setting that it may have been meant for, or "".

    A mistyped name would otherwise be a default that nobody asked for.
    """
    known = {name.upper() for name in (*Settings.model_fields, *BESIDE)}
    known |= {name.upper() + end for name in secret_names(Settings.model_fields) for end in SECRET_ENDS}
    found = {name: name.upper().removeprefix(PREFIX) for name in sorted(environment) if name.upper().startswith(PREFIX)}
    near = {name: get_close_matches(word, known, 1) for name, word in found.items() if word not in known}
    return {name: PREFIX + words[0] if words else "" for name, words in near.items()}


def _recorded(data_dir: Path, name: str) -> str:
    """A value of the file that a running embedded stack leaves in data_dir; empty when there is none."""
    from deploy.record import read_record  # here, as record is of no use to a process with servers of its own

    return str(read_record(data_dir).get(name, ""))
