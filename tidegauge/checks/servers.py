"""Checks of the schema registry, of the Redis-protocol server and of PostgreSQL."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from streams.validity import INSTANT_MAX
from tidegauge.checks import CheckLine, Grade, grade_of

if TYPE_CHECKING:
    from deploy.settings import Settings

REDIS_S: Final = 2.0
OUTBOX_WAITING_MAX: Final = 1_000  # steps that are on their way, in a burst


def contracts(settings: Settings) -> Iterator[CheckLine]:
    """Whether the registry has them all."""
    from schemas.registry import RegistryError, UnregisteredError, names, registry_for

    name = "schema registry"
    if not settings.schema_registry_url:
        yield CheckLine(name, Grade.GOOD, "none is set: ids come from the files")
        return
    where = f"{settings.schema_registry_url.rpartition('@')[2]}"
    try:
        found = [registry_for(settings).id_of(contract) for contract in names()]
    except UnregisteredError as problem:
        yield CheckLine(name, Grade.WRONG, str(problem), "run `tidegauge schemas register`")
    except RegistryError as problem:
        hint = "correct TIDEGAUGE_SCHEMA_REGISTRY_URL, or bring it back: workers wait at records with an id they have not met"
        yield CheckLine(name, Grade.WRONG, str(problem), hint)
    else:
        yield CheckLine(name, Grade.GOOD, f"has all {len(found)} contracts at {where}")


def redis_answers(settings: Settings) -> Iterator[CheckLine]:
    """Whether there is one."""
    from deploy import ping

    hint = "start the embedded one with `tidegauge up`, or correct TIDEGAUGE_REDIS_URL"
    if ping.answers(settings.redis):
        yield CheckLine("redis", Grade.GOOD, f"answers at {settings.redis_shown}")
    else:
        yield CheckLine("redis", Grade.WRONG, f"no answer at {settings.redis_shown}", hint)


def redis_memory(settings: Settings) -> Iterator[CheckLine]:
    """Whether rows of the view stay: the policy, and what it has removed. By INFO, as CONFIG is forbidden on many servers."""
    import redis

    from deploy import ping

    if not ping.answers(settings.redis):
        return  # said already
    with redis.Redis.from_url(settings.redis, socket_timeout=REDIS_S) as client:
        info: dict[str, Any] = {**client.info("memory"), **client.info("stats")}
    yield memory_finding(info)


def memory_finding(info: dict[str, Any]) -> CheckLine:
    """What INFO says of memory and evictions."""
    name = "redis memory"
    policy, limit, evicted = (info.get(key) for key in ("maxmemory_policy", "maxmemory", "evicted_keys"))
    if policy is None or evicted is None:
        return CheckLine(
            name, Grade.UNSEEN, "not allowed to see: INFO has no maxmemory_policy or evicted_keys", "allow INFO"
        )
    if evicted:
        hint = "set maxmemory-policy noeviction, give it more memory, then `tidegauge rebuild`"
        return CheckLine(
            name, Grade.WRONG, f"{evicted} keys were evicted under {policy}: rows of the view are gone", hint
        )
    if policy != "noeviction" and limit:
        hint = "set maxmemory-policy noeviction: a full server must refuse, not forget"
        return CheckLine(name, Grade.WRONG, f"{policy} with maxmemory {limit}: rows of the view would go", hint)
    if policy != "noeviction":
        hint = "set maxmemory-policy noeviction before somebody sets a limit"
        return CheckLine(name, Grade.WARN, f"{policy}, and no maxmemory yet", hint)
    room = f"maxmemory {limit}" if limit else "no maxmemory"
    return CheckLine(name, Grade.GOOD, f"noeviction, {room}, nothing evicted")


def tickets_kept(settings: Settings) -> Iterator[CheckLine]:
    """Whether the server for tickets answers and syncs every write, and its outbox runs empty; nothing where there is none."""
    import redis

    from services.queue.tickets.keys import TicketKeys

    name = "tickets"
    if not settings.has_tickets:
        yield CheckLine(name, Grade.GOOD, "no server for them: `tidegauge up` starts one")
        return
    where, hint = settings.tickets_shown, "start the embedded one with `tidegauge up`, or correct TIDEGAUGE_TICKETS_URL"
    try:
        with redis.Redis.from_url(settings.tickets, socket_timeout=REDIS_S, socket_connect_timeout=REDIS_S) as client:
            info: dict[str, Any] = client.info("persistence")
            synced, waiting = _synced(client), client.xlen(TicketKeys.of(settings.topic_prefix).outbox)
    except redis.exceptions.NoPermissionError:
        raise
    except (redis.RedisError, OSError):
        yield CheckLine(name, Grade.WRONG, f"no answer at {where}", hint)
        return
    yield tickets_finding(where, bool(info.get("aof_enabled")), synced, int(waiting))


def _synced(client: Any) -> str | None:
    """The server's `appendfsync`; None where one may not ask."""
    import redis

    try:
        return str(client.config_get("appendfsync").get("appendfsync", ""))
    except redis.RedisError:
        return None


def tickets_finding(where: str, appends: bool, synced: str | None, waiting: int) -> CheckLine:
    """What the server says of itself. synced: its `appendfsync`; None: it may not be asked."""
    name = "tickets"
    if not appends or synced not in (None, "always"):
        why = f"appendfsync {synced}" if appends else "no append-only file"
        found = f"at {where} a number may leave before it is kept: {why}"
        return CheckLine(name, Grade.WRONG, found, "set appendonly yes and appendfsync always")
    if waiting > OUTBOX_WAITING_MAX:
        hint = "does `tidegauge queue serve` run, and do the brokers answer? Tickets go on meanwhile"
        return CheckLine(name, Grade.WARN, f"kept at {where}; {waiting:,} steps are not on queue-tickets yet", hint)
    how = "every write is synced" if synced else "not allowed to see whether every write is synced"
    return CheckLine(name, Grade.GOOD, f"kept at {where}, {how}; {waiting:,} steps on their way to Kafka")


def database_state(settings: Settings) -> Iterator[CheckLine]:
    """Whether PostgreSQL lets us in, and has every migration; nothing where none was ever started."""
    from deploy.connections.database import connected, shown_database
    from deploy.record import read_record
    from services.database.migrations import migrations, pending

    name = "postgresql"
    if not settings.database_url and "postgres_port" not in read_record(settings.data_dir):
        yield CheckLine(name, Grade.GOOD, "none is used: `tidegauge up` starts one, lists of staff need it")
        return
    with connected(settings.database) as connection:
        missing = pending(connection)
    where = f"answers at {shown_database(settings.database)}"
    if missing:
        found = f"{where}, and lacks {len(missing)} of {len(migrations())} migrations"
        yield CheckLine(name, Grade.WRONG, found, "run `tidegauge database migrate`")
    else:
        yield CheckLine(name, Grade.GOOD, f"{where}, and has every migration")


def view_rows(settings: Settings) -> Iterator[CheckLine]:
    """Whether the view has every row that the log gives it, and how long it takes to look; nothing where none was built."""
    from deploy import ping
    from services.assembly import redis_client
    from services.views.keys import Keys
    from services.views.sweep.completeness import completeness

    name = "view"
    if not ping.answers(settings.redis):
        yield CheckLine(name, Grade.GOOD, "not looked at: no answer from Redis")
        return
    client, keys = redis_client(settings), Keys.of(settings.topic_prefix)
    if not client.exists(keys.meta):
        yield CheckLine(name, Grade.GOOD, "none is built: `tidegauge views` keeps one for look-ups and alerts")
        return
    found = completeness(client, keys)
    yield CheckLine(name, grade_of(not found.good), found.found, found.hint)


def queue_classes(settings: Settings) -> Iterator[CheckLine]:
    """Whether the view could read every queue class."""
    from deploy import ping
    from services.assembly import redis_client
    from services.views.keys import Keys, as_bytes, held_until

    name = "queue classes"
    if not ping.answers(settings.redis):
        yield CheckLine(name, Grade.GOOD, "not looked at: no answer from Redis")
        return
    keys, client = Keys.of(settings.topic_prefix), redis_client(settings)
    places = [keys.lacking(f"queue-priority:{partition}") for partition in range(settings.partitions)]
    members = [as_bytes(member).decode() for place in places for member in client.zrange(place, 0, -1)]
    holds = [until for member in members if (until := held_until(member)) is not None]
    if count := len(members) - len(holds):
        found = f"of {count} customers can't be read: kiosks give them the default class, `degraded`"
        hint = "see `tidegauge dead-letters`; write a good record or a tombstone for each key"
        yield CheckLine(name, Grade.WRONG, found, hint)
    if holds:
        found = f"{len(holds)} stretches of records can't be read, nor whose they are"
        held = max(holds) > 1000 * time.time()
        if held:
            found += f": kiosks say `degraded` until {datetime.fromtimestamp(min(max(holds), INSTANT_MAX) / 1000, UTC):%H:%M} UTC"
        hint = "see `tidegauge dead-letters`; a customer's next record counts, `tidegauge world rebuild` publishes all again"
        yield CheckLine(name, Grade.WRONG if held else Grade.WARN, found, hint)
    if not members:
        yield CheckLine(name, Grade.GOOD, "can be read")
