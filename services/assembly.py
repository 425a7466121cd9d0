"""Puts the services together from the settings: what the command line and the tests start."""

import asyncio
import ssl
import threading
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any

import httpx2
import redis.asyncio
from confluent_kafka import KafkaException
from redis import Redis, RedisError
from redis.backoff import NoBackoff
from redis.retry import Retry

from deploy.errors import KeyLostError
from deploy.record import read_record
from policies.language.loader import load_pack
from schemas import bounds
from schemas.bounded import check_size
from schemas.codec.records import encode
from schemas.registry import RegistryError, registry_for
from services.access.writer import DurableWriter
from services.notices.addressees import Addressee, Addressees, to_manager
from services.notices.arrivals import ARRIVAL_TOPICS, VipArrivals
from services.notices.bank_texts import bank_texts
from services.notices.channels import ConsoleChannel, RedisLedger
from services.notices.days import BankDays
from services.notices.mail import MailChannel
from services.notices.notice_ids import ToldNotices
from services.notices.notifier import Channel, Notifier
from services.notices.pace.holds import Holds
from services.notices.pace.hours import Hours
from services.notices.webhook import WebhookChannel
from services.queue.lookup import BUDGET_S, Lookup, RedisPriorityView
from services.staff.responsibility import duties_of
from services.staff.roster import Roster, read_roster
from services.views.decoder import Decoder
from services.views.kafka_source import DeadLetters, KafkaSource, NewReader
from services.views.keys import Keys
from services.views.projections import PROJECTIONS
from services.views.rows import InColumns
from services.views.store import RedisViewStore
from services.views.sweep.guard import RowGuard
from services.views.sweep.sweeper import Sweeper
from services.views.writer import ViewWriter
from streams.closing import NOTHING_LEFT_OUT, Run
from streams.reference import key_fingerprint

if TYPE_CHECKING:
    from fastapi import FastAPI

    from deploy.settings import Settings

REDIS_TIMEOUT_S = 5.0
"""A server that gives no answer for so long is taken for dead by the writer."""

LEDGER_TIMEOUT_S = 1.0
LOOKUP_CONNECTIONS_MAX = 64

FAILURES = (RedisError, KafkaException, RegistryError, OSError)
"""What a view writer outlives."""


def redis_client(settings: "Settings") -> "Redis":
    """A blocking client with bounded waits."""
    return Redis.from_url(settings.redis, socket_timeout=REDIS_TIMEOUT_S, socket_connect_timeout=REDIS_TIMEOUT_S)


def view_writer(settings: "Settings", new_reader: NewReader) -> ViewWriter:
    """A view writer on the settings' servers; raises KafkaException when a topic is missing."""
    keys = Keys.of(settings.topic_prefix)
    registry = registry_for(settings)
    letter = partial(encode, "dead-letters", registry=registry)
    rejects = DeadLetters(settings.kafka, settings.topic("dead-letters"), letter)
    source = view_source(settings, new_reader)
    store = RedisViewStore(redis_client(settings), keys)
    return ViewWriter(source, store, keys, Decoder(registry), rejects, uuid.uuid4().hex, in_columns=InColumns(registry))


def view_sweeper(settings: "Settings", writer: ViewWriter, new_reader: NewReader) -> Sweeper:
    """What watches the rows that a writer keeps, with connections of its own; raises as `view_writer`."""
    keys = Keys.of(settings.topic_prefix)
    source = view_source(settings, new_reader)
    guard = RowGuard(redis_client(settings), keys, writer.token)
    return Sweeper(source, guard, keys, Decoder(registry_for(settings)), writer.doubt)


def view_source(settings: "Settings", new_reader: NewReader) -> KafkaSource:
    """The topics that views show; raises KafkaException when one is missing."""
    return KafkaSource(settings.kafka, PROJECTIONS, new_reader, settings.topic_prefix)


def tell_lookups(client: "Redis", keys: Keys, reference_key: str | None, zone: str | None, epoch: int) -> None:
    """Leave what readers of the view, which have no Kafka, have to agree with; None: not known.

    reference_key: its fingerprint. zone: where the bank's days begin.
    """
    client.hset(keys.world, mapping={"reference_key": reference_key or "", "zone": zone or "", "epoch": epoch})


def priority_client(url: str) -> "redis.asyncio.Redis":
    """A client that gives up early and never tries twice: the lookup's breaker does that."""
    return redis.asyncio.Redis.from_url(
        url,
        socket_timeout=BUDGET_S,
        socket_connect_timeout=BUDGET_S,
        retry=Retry(NoBackoff(), 0),
        max_connections=LOOKUP_CONNECTIONS_MAX,
    )


def _lookup(settings: "Settings", client: "redis.asyncio.Redis") -> Lookup:
    view = RedisPriorityView(client, Keys.of(settings.topic_prefix))
    try:
        own = key_fingerprint(settings.secret())
    except KeyLostError:  # a kiosk that gets references needs no key
        own = None
    today = lambda: datetime.now(settings.tz).date()  # noqa: E731
    return Lookup(view, settings.queue_default_class, today, reference_key=own, zone=settings.zone)


def new_lookup(settings: "Settings") -> Lookup:
    """A look-up with a client of the calling thread's own."""
    return _lookup(settings, priority_client(settings.redis))


def priority_app(settings: "Settings") -> "FastAPI":
    """The look-up's web application on the settings' view, and on the keys in the database; psycopg.Error without that."""
    from services.queue.priority import create_app  # here, as most processes serve nothing on the web

    keys = None
    if not settings.lookup_open:
        from services.access.setup import key_book  # and have no database

        keys = key_book(settings)
    return create_app(new_lookup(settings), settings.lookup_rate, keys)


@asynccontextmanager
async def priority_lookup(settings: "Settings") -> AsyncIterator[Lookup]:
    """The look-up without the web."""
    async with priority_client(settings.redis) as client:
        yield _lookup(settings, client)


def webhook_trust(settings: "Settings") -> ssl.SSLContext:
    """Whom the webhook's certificate must come from: the usual authorities, or those of `webhook_ca` alone.

    OSError if that file is missing or holds no certificate (ssl.SSLError is one), TooLargeError.
    """
    trust = httpx2.create_ssl_context()
    if settings.webhook_ca is not None:
        check_size(settings.webhook_ca, bounds.SMALL_FILE_BYTES_MAX)
        trust = ssl.create_default_context(cafile=settings.webhook_ca)
        if not trust.get_ca_certs():
            raise ssl.SSLError(f"{settings.webhook_ca} holds no certificate of an authority")
    return trust


def bank_days(settings: "Settings", new_reader: NewReader, left_out: frozenset[Run] = NOTHING_LEFT_OUT) -> BankDays:
    """The bank's days as of the log, and the packs: those of the settings, and those put into force.

    left_out: closes that don't count.
    """
    packs = [load_pack(name.strip()) for name in settings.pack.split(",")]
    source = KafkaSource(settings.kafka, ("business-days", "policies"), new_reader, settings.topic_prefix)
    days = {(pack.id, pack.version): pack.notice_days for pack in packs}
    duties = {(pack.id, pack.version): duties_of(pack) for pack in packs}
    return BankDays(source, registry_for(settings), days, left_out=left_out, duties=duties)


def _addressee(settings: "Settings", days: BankDays) -> Addressee:
    """To whom notices go: by the bank's lists where there is a database."""
    if not settings.database_url and "postgres_port" not in read_record(settings.data_dir):
        return to_manager

    def read() -> Roster:
        import psycopg  # here, as most processes have no database

        from deploy.connections.database import connected

        try:
            with connected(settings.database, autocommit=True) as connection:
                return read_roster(connection, datetime.now(settings.tz).date())
        except psycopg.Error as problem:
            raise OSError(str(problem)) from problem

    return Addressees(read, days.role_of)


@asynccontextmanager
async def told_by(settings: "Settings") -> AsyncIterator[tuple[list[Channel], RedisLedger]]:
    """The channels of the settings, and what remembers which notices went out."""
    client = httpx2.AsyncClient(verify=webhook_trust(settings), follow_redirects=False)
    ledger_client = redis.asyncio.Redis.from_url(
        settings.redis, socket_timeout=LEDGER_TIMEOUT_S, socket_connect_timeout=LEDGER_TIMEOUT_S
    )
    channels: list[Channel] = [ConsoleChannel()]
    if settings.webhook_url:
        secret = settings.webhook_secret.get_secret_value() if settings.webhook_secret else None
        channels.append(WebhookChannel(client, settings.webhook_url, secret))
    if settings.mail_url:
        domain = settings.mail_domain or settings.mail_from.rpartition("@")[2]
        channels.append(MailChannel(settings.mail_server(), settings.mail_from, domain))
    async with client, ledger_client:
        yield channels, RedisLedger(ledger_client, Keys.of(settings.topic_prefix))


async def follow_arrivals(settings: "Settings", new_reader: NewReader, over: threading.Event) -> None:
    """Tell managers of VIPs that arrive, until `over`. KeyLostError, KafkaException, RegistryError, OSError."""
    previous = settings.previous_secret()
    keys = [settings.secret(), *([] if previous is None else [previous])]
    registry = registry_for(settings)
    source = await asyncio.to_thread(KafkaSource, settings.kafka, ARRIVAL_TOPICS, new_reader, settings.topic_prefix)
    writer = DurableWriter(settings)

    async def write(record: dict[str, Any]) -> None:
        value = encode("notices", record, registry)
        await asyncio.to_thread(writer.write, "notices", record["customer_id"], value)

    try:
        async with told_by(settings) as (channels, ledger):
            arrivals = VipArrivals(
                source, registry, keys, settings.alert_secret(), channels, ledger, write, locale=settings.notice_locale,
                words=bank_texts(settings.notice_texts),
            )  # fmt: skip
            await asyncio.to_thread(arrivals.begin)
            while not over.is_set():
                await arrivals.follow()
    finally:
        source.close()
        writer.close()


@asynccontextmanager
async def notifier(
    settings: "Settings", new_reader: NewReader, left_out: frozenset[Run] = NOTHING_LEFT_OUT
) -> AsyncIterator[Notifier]:
    """The notifier on the settings' channels: the console, and the webhook and mail where they are set."""
    async with told_by(settings) as (channels, ledger):
        days = bank_days(settings, new_reader, left_out)
        now_ms = lambda: time.time_ns() // 1_000_000  # noqa: E731
        source = KafkaSource(settings.kafka, ("notices",), new_reader, settings.topic_prefix)
        told = ToldNotices(source, registry_for(settings))
        yield Notifier(
            channels, ledger, told, settings.alert_secret(), now_ms, settings.notice_locale, late=days.late,
            addressee=_addressee(settings, days), words=bank_texts(settings.notice_texts),
            holds=Holds(settings.notice_hold_minutes, settings.notice_hold_below, now_ms),
            hours=Hours(settings.notice_quiet, settings.tz, settings.notice_cap),
        )  # fmt: skip
