"""Whether the log is the one that tickets' steps belong to: who carries them there asks first, as he takes them off a list.

Beside the outbox stands the id of the cluster whose log it is, written when it was first asked.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from confluent_kafka import KafkaException
from redis import Redis, RedisError

from deploy import topics
from deploy.errors import StackError
from deploy.topics import WORLD
from schemas.registry import RegistryError
from services.queue.tickets.keys import TicketKeys
from tidegauge.world.check import BROKERS_WAIT_S
from tidegauge.world.found import USES_PLACE, found_identity
from tidegauge.world.identity import entry_in_force, mismatches
from tidegauge.world.log import read_entries

if TYPE_CHECKING:
    from collections.abc import Iterable

    from deploy.settings import Settings
    from tidegauge.world.identity import Identity

OF_TICKETS: Final = ("queue-tickets", "queue-priority")  # where steps go, and where classes come from
_STORE_S: Final = 2.0


def other_log(settings: Settings, *, claim: bool = True) -> str | None:
    """Why this is not the tickets' log, and what to do; empty where it is, None where nobody could be asked.

    claim: write the cluster's id beside the outbox where none stands yet.
    """
    try:
        surveyed = topics.survey(settings, BROKERS_WAIT_S)
        there = {found.topic.name for found in surveyed.topics if found.partitions}
        if missing := [settings.topic(name) for name in OF_TICKETS if name not in there]:
            return f"there is no topic {missing[0]}: make it with `tidegauge topics --create`"
        entries = read_entries(settings) if WORLD in there else []
        if (entry := entry_in_force(entries)) is not None:
            found = found_identity(settings, surveyed, USES_PLACE)
            if problems := mismatches(_of_tickets(entry.identity), _of_tickets(found)):
                return f"{problems[0]}; {problems[0].remedy}"
        before = [one.identity.cluster_id for one in entries]
        return _other_outbox(settings, surveyed.cluster_id, before, claim=claim)
    except (StackError, KafkaException, RegistryError, RedisError, OSError):  # other checks' business
        return None


def _of_tickets(identity: Identity) -> Identity:
    """What of an identity tickets depend on."""
    return replace(identity, topics=tuple(topic for topic in identity.topics if topic.name in OF_TICKETS))


def _other_outbox(settings: Settings, cluster_id: str, before: Iterable[str], *, claim: bool) -> str:
    """Whether the outbox is of another log. before: the clusters in which the log has been, such as the one of its mirror."""
    key = TicketKeys.of(settings.topic_prefix).log
    with Redis.from_url(settings.tickets, socket_timeout=_STORE_S, socket_connect_timeout=_STORE_S) as client:
        if claim:
            client.set(key, cluster_id, nx=True)
        value: Any = client.get(key)
        kept = cluster_id if value is None else value.decode(errors="replace")
        if kept != cluster_id and kept in before:
            kept = cluster_id
            if claim:
                client.set(key, cluster_id)
    if kept == cluster_id:
        return ""
    return (
        f"the tickets at {settings.tickets_shown} are of cluster {kept}, the log is in {cluster_id}; correct "
        f"TIDEGAUGE_TICKETS_URL or TIDEGAUGE_BOOTSTRAP_SERVERS, or DEL {key} there if this log has come in that one's place"
    )
