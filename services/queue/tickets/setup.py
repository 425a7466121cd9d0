"""Puts tickets together from the settings: the interface beside the look-up, and what goes on behind it."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Sequence
from datetime import date, datetime
from functools import partial
from typing import TYPE_CHECKING, Final

import redis.asyncio
from confluent_kafka import KafkaException
from redis import Redis, RedisError
from redis.backoff import NoBackoff
from redis.retry import Retry

from policies.compiled.queue import compile_queue
from policies.language.loader import load_pack
from schemas.codec.records import encode
from schemas.registry import RegistryError, registry_for
from services.access.writer import DecisionTrail
from services.queue.behind.following import ClassFollower
from services.queue.behind.relay import RELAY_WAIT_MS, KafkaSteps, TicketRelay
from services.queue.tickets.keys import TicketKeys
from services.queue.tickets.problems import TicketProblemError
from services.queue.tickets.rights import TicketRights
from services.queue.tickets.store import STORE_BUDGET_S, TicketStore
from services.queue.tickets.ticketing import Ticketing
from services.views.kafka_source import KafkaSource, NewReader

if TYPE_CHECKING:
    from deploy.settings import Settings
    from services.access.callers import RequestCallers
    from services.queue.lookup import Lookup

log = logging.getLogger(__name__)
STORE_CONNECTIONS_MAX: Final = 64
LEARN_EVERY_S: Final = 60.0
RETRY_AFTER_S: Final = 1.0
BEHIND_STOP_S: Final = 5.0
RELAY_PAUSE_S: Final = 0.1
"""Between two turns of the relay, so that it takes what has come meanwhile at once."""

APART: Final = ("relay", "classes")
WORKS: Final = (*APART, "waits")
"""What goes on behind the interface; what is apart from requests, and works hard, has a process of its own (`beside`)."""

OUTLIVED: Final = (RedisError, KafkaException, RegistryError, TicketProblemError, OSError)


def today_of(settings: Settings) -> Callable[[], date]:
    """The bank's day by this machine's clock."""
    return lambda: datetime.now(settings.tz).date()


def ticket_client(url: str) -> redis.asyncio.Redis:
    """A client that gives up early and never tries twice: whoever asks does, with the same request id."""
    pool = redis.asyncio.BlockingConnectionPool.from_url(
        url, max_connections=STORE_CONNECTIONS_MAX, timeout=STORE_BUDGET_S, socket_timeout=STORE_BUDGET_S,
        socket_connect_timeout=STORE_BUDGET_S, retry=Retry(NoBackoff(), 0),
    )  # fmt: skip
    return redis.asyncio.Redis(connection_pool=pool)


def ticketing_of(settings: Settings, lookup: Lookup) -> Ticketing:
    """Tickets on the settings' store, with clients of the calling thread's own. PackError."""
    packs = [load_pack(name.strip()) for name in settings.pack.split(",")]
    store = TicketStore(
        ticket_client(settings.tickets), TicketKeys.of(settings.topic_prefix), compile_queue(packs[0]), today_of(settings),
        stays=settings.queue_stays,
    )  # fmt: skip
    return Ticketing(store, lookup, settings.queue_default_class, zone=settings.tz)


def rights_of(settings: Settings, callers: RequestCallers) -> TicketRights:
    """Who may ask for tickets, and where refusals are on record."""
    return TicketRights(callers, DecisionTrail(settings))


def relay_of(settings: Settings) -> TicketRelay:
    """The relay of the settings' outbox."""
    wait_s = 2 * RELAY_WAIT_MS / 1000
    client = Redis.from_url(settings.tickets, socket_timeout=wait_s, socket_connect_timeout=wait_s)
    sender = KafkaSteps(settings.kafka, settings.topic)
    return TicketRelay(
        client, TicketKeys.of(settings.topic_prefix), sender, partial(encode, registry=registry_for(settings))
    )


class Behind:
    """What goes on behind the interface, each in a thread of its own: relay, changes of class, past waits.

    ticketing: what is told of past waits. new_lookup: a look-up for the calling thread. works: which of it.
    """

    def __init__(
        self,
        settings: Settings,
        ticketing: Ticketing | None,
        new_lookup: Callable[[], Lookup],
        new_reader: NewReader,
        works: Sequence[str] = WORKS,
    ) -> None:
        self.settings, self.ticketing, self.works = settings, ticketing, works
        self.new_lookup, self.new_reader = new_lookup, new_reader
        self.over = threading.Event()
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        """Begin."""
        all_works = {"relay": self._relay, "classes": self._follow, "waits": self._learn}
        for name, work in all_works.items():
            if name not in self.works:
                continue
            self._threads.append(
                threading.Thread(target=self._again, args=(name, work), name=f"tickets-{name}", daemon=True)
            )
            self._threads[-1].start()

    def stop(self) -> None:
        """End, as far as that comes within BEHIND_STOP_S; what is not relayed stays in the outbox."""
        self.over.set()
        until = time.monotonic() + BEHIND_STOP_S
        for thread in self._threads:
            thread.join(max(until - time.monotonic(), 0))

    def _again(self, name: str, work: Callable[[], None]) -> None:
        while not self.over.is_set():
            self._outlive(name, work)
            self.over.wait(RETRY_AFTER_S)

    def _outlive(self, name: str, work: Callable[[], None]) -> None:
        try:
            work()
        except OUTLIVED as problem:
            log.warning("tickets, %s: %s", name, problem)
        except Exception:
            log.exception("tickets, %s", name)

    def _relay(self) -> None:
        relay = relay_of(self.settings)
        while not self.over.is_set():
            relay.relay()
            self.over.wait(RELAY_PAUSE_S)

    def _follow(self) -> None:
        with asyncio.Runner() as runner:
            runner.run(self._following())

    async def _following(self) -> None:
        ticketing = ticketing_of(self.settings, self.new_lookup())
        names = ("queue-priority",)
        source = await asyncio.to_thread(
            KafkaSource, self.settings.kafka, names, self.new_reader, self.settings.topic_prefix
        )
        try:
            registry, client = registry_for(self.settings), ticketing.store.client
            follower = ClassFollower(source, ticketing, registry, client, today_of(self.settings))
            await follower.begin()
            while not self.over.is_set():
                await follower.follow()
        finally:
            await asyncio.to_thread(source.close)
            await ticketing.store.client.aclose()

    def _learn(self) -> None:
        with asyncio.Runner() as runner:
            runner.run(self._learning())

    async def _learning(self) -> None:
        assert self.ticketing is not None
        own = ticketing_of(self.settings, self.new_lookup())
        try:
            until = time.monotonic()
            while not self.over.is_set():
                if time.monotonic() >= until:
                    await own.learn()
                    self.ticketing.learnt = own.learnt
                    until = time.monotonic() + LEARN_EVERY_S
                await asyncio.sleep(RETRY_AFTER_S)
        finally:
            await own.store.client.aclose()
