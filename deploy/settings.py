"""Every setting of Tidegauge, in one class; read from the environment (TIDEGAUGE_*). docs/settings.md lists them all.

Anything that agents, services and connectors need to know about their surroundings comes from here and nowhere else.
"""

import contextlib
import os
import re
import secrets
from collections.abc import Mapping
from difflib import get_close_matches
from functools import cached_property
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

REFERENCE_KEY_FILE = "reference.key"
PREFIX = "TIDEGAUGE_"
BESIDE = ("debug", "berka_dir", "rules_dir")  # variables that are no settings: the command line's, and the tests'
PARTITIONS_MAX = 1024
PORT_MAX = 65535
DISK_FREE_MIN_BYTES = 1 << 30  # of the data folder


class Settings(BaseSettings):
    """Settings with their defaults; raises pydantic.ValidationError when a value is out of bounds."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="ignore")

    # Where the servers are. Empty: those that `tidegauge up` started in data_dir.
    bootstrap_servers: str = Field("", description="Kafka brokers, host:port separated by commas.")
    redis_url: str = Field("", description="A Redis-protocol server, redis://host:port/db.")
    schema_registry_url: str | None = Field(None, description="A Confluent-compatible schema registry.")
    schema_dir: Path | None = Field(None, description="Folder of the Avro contracts, if not the packaged ones.")
    data_dir: Path = Field(Path(".data"), description="Folder of the embedded stack and of generated secrets.")

    # The embedded stack.
    kafka_port: int = Field(9092, ge=1, le=65535, description="First port of the embedded Kafka.")
    redis_port: int = Field(6379, ge=1, le=65535, description="Port of the embedded Redis-protocol server.")
    brokers: int = Field(1, ge=1, le=5, description="Number of embedded brokers.")
    kafka_heap_mb: int = Field(1024, ge=256, le=65536, description="Java heap of one embedded broker, MB.")
    kafka_home: Path | None = Field(None, description="An unpacked Kafka distribution to use.")
    maven_mirror: str | None = Field(None, description="Maven repository to fetch the Kafka jars from.")

    # Topics and workers.
    topic_prefix: str = Field("", pattern=r"^[a-zA-Z0-9._-]*$", description="Put before every topic's name.")
    partitions: int = Field(4, ge=1, le=PARTITIONS_MAX, description="Partitions of every topic.")
    group: str = Field("tidegauge", min_length=1, description="Consumer group of the workers.")
    metrics_port: int = Field(9464, ge=0, le=65535, description="Port of metrics and health of a worker; 0: none.")
    flush_interval_s: float = Field(1.0, gt=0, le=60, description="Seconds between flushes of dirty rows.")

    # The bank.
    base_currency: str = Field("CNY", pattern=r"^[A-Z]{3}$", description="Currency of AUM and of the pack's numbers.")
    zone: str = Field("Asia/Shanghai", description="Time zone of business days.")
    pack: str = Field("rolling-quarter-aum", min_length=1, description="Policy pack in force.")
    reference_key: SecretStr | None = Field(None, description="Secret of the opaque customer references.")

    # Who asks, and in which language.
    actor: str = Field("operator:hq", min_length=1, description="Who runs commands that show personal data.")
    lang: Literal["en", "zh-CN"] = Field("en", description="Language of what commands print.")

    # What leaves the system.
    webhook_url: str | None = Field(None, description="Where notices are posted; none: the console only.")
    webhook_secret: SecretStr | None = Field(None, description="Signs what is posted to the webhook.")
    notice_locale: Literal["zh-CN", "en"] = Field("zh-CN", description="Language of notices.")
    queue_default_class: str = Field("ordinary", min_length=1, description="Queue class of whoever has no other.")
    lookup_port: int = Field(8080, ge=0, le=65535, description="Port of the queue class look-up.")

    @field_validator("zone")
    @classmethod
    def known_zone(cls, zone: str) -> str:
        """Refuse a zone that this machine's time zone data doesn't have."""
        try:
            ZoneInfo(zone)
        except (KeyError, ValueError, OSError) as problem:
            raise ValueError(f"unknown time zone {zone!r}") from problem
        return zone

    @field_validator("redis_url")
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

    @field_validator("bootstrap_servers")
    @classmethod
    def usable_servers(cls, servers: str) -> str:
        """Refuse what is no list of brokers."""
        for server in servers.split(",") if servers else ():
            port = server.rpartition(":")[2]
            if not re.fullmatch(r"\s*\S+:[0-9]{1,5}\s*", server) or not 0 < int(port) <= PORT_MAX:
                raise ValueError(f"{server!r} is no host:port; brokers stand separated by commas")
        return servers

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
    def kafka(self) -> str:
        """Brokers to connect to: the setting, else those that `up` recorded in data_dir, else the default port."""
        return self.bootstrap_servers or _recorded(self.data_dir, "bootstrap_servers") or f"127.0.0.1:{self.kafka_port}"

    @property
    def redis(self) -> str:
        """Redis URL to connect to: the setting, else the one that `up` recorded, else the default port."""
        return self.redis_url or _recorded(self.data_dir, "redis_url") or f"redis://127.0.0.1:{self.redis_port}/0"

    @property
    def redis_shown(self) -> str:
        """The Redis URL without its password, for messages."""
        before, at, after = self.redis.rpartition("@")
        return f"{before.partition('://')[0]}://…@{after}" if at else after

    def home(self) -> Path | None:
        """An unpacked Kafka distribution to use: the setting, else KAFKA_HOME as other tools have it."""
        known = os.environ.get("KAFKA_HOME")
        return self.kafka_home or (Path(known) if known else None)

    def secret(self) -> bytes:
        """The reference key; without the setting one is made in data_dir, once, readable by its owner only."""
        if self.reference_key is not None:
            return self.reference_key.get_secret_value().encode()
        path = self.data_dir / REFERENCE_KEY_FILE
        if not path.exists():
            self.data_dir.mkdir(parents=True, exist_ok=True)
            draft = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
            draft.touch(mode=0o600)
            draft.write_text(secrets.token_hex(32))
            with contextlib.suppress(FileExistsError):  # another process was first: its key counts
                path.hardlink_to(draft)
            draft.unlink()
        return path.read_text().strip().encode()


def strangers(environment: Mapping[str, str]) -> dict[str, str]:
    """Variables that begin like a setting and are none, each with the setting that it may have been meant for, or "".

    A mistyped name would otherwise be a default that nobody asked for.
    """
    known = {name.upper() for name in (*Settings.model_fields, *BESIDE)}
    found = {name: name.upper().removeprefix(PREFIX) for name in sorted(environment) if name.upper().startswith(PREFIX)}
    near = {name: get_close_matches(word, known, 1) for name, word in found.items() if word not in known}
    return {name: PREFIX + words[0] if words else "" for name, words in near.items()}


def _recorded(data_dir: Path, name: str) -> str:
    """A value of the file that a running embedded stack leaves in data_dir; empty when there is none."""
    from deploy.record import read_record  # here, as record is of no use to a process with servers of its own

    return str(read_record(data_dir).get(name, ""))
