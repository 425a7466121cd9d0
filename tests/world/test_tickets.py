"""Whose log tickets' steps go to: compared with its identity, and with what stands beside the outbox."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import pytest
from redis import Redis

from deploy.settings import Settings
from schemas.topics import INPUTS
from services.queue.tickets.keys import TicketKeys
from tests.world.test_log import made_anew
from tidegauge.checks.state import ticket_log
from tidegauge.world.changes import adoption, make_change
from tidegauge.world.check import begin_world
from tidegauge.world.tickets import OF_TICKETS, other_log

pytestmark = pytest.mark.integration


def told(settings: Settings) -> list[str]:
    """What doctor finds wrong with tickets' log."""
    return [line.found for line in ticket_log(settings) if not line.good]


def test_steps_go_to_their_own_log_alone(make_topics: Callable[..., Settings], tickets_server: str) -> None:
    """Topics of the inputs may be made anew; those of tickets not, and the server must be of this log's cluster."""
    settings = make_topics(*INPUTS, *OF_TICKETS).model_copy(update={"tickets_url": tickets_server})
    assert other_log(settings, claim=False) == ""
    world = begin_world(settings)
    key = TicketKeys.of(settings.topic_prefix).log
    with Redis.from_url(tickets_server) as store:
        assert other_log(settings, claim=False) == "" and not store.exists(key), "who only looks writes nothing"
        assert other_log(settings) == "" and store.get(key) == world.found.cluster_id.encode()
        made_anew(settings, "facts")
        assert other_log(settings) == "" and told(settings) == []
        store.set(key, "another cluster's")
        said = other_log(settings)
        assert said and "are of cluster another cluster's" in said and "TIDEGAUGE_TICKETS_URL" in said and key in said
        assert len(told(settings)) == 1
        store.delete(key)
    made_anew(settings, "queue-tickets")
    said = other_log(settings)
    assert said and settings.topic("queue-tickets") in said
    assert len(told(settings)) == 1
    change = adoption(settings)
    assert change is not None
    make_change(change, "they were lost", "operator:hq")
    assert other_log(settings) == "" == other_log(settings)
    away = settings.model_copy(update={"tickets_url": "redis://127.0.0.1:1/0"})
    assert other_log(away) is None


def test_a_log_that_was_adopted_in_another_cluster_is_the_same(
    make_topics: Callable[..., Settings], tickets_server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its identity names the cluster in which it has been: that one's tickets are its own."""
    settings = make_topics(*INPUTS, *OF_TICKETS).model_copy(update={"tickets_url": tickets_server})
    entry = begin_world(settings).entry
    assert entry is not None
    key = TicketKeys.of(settings.topic_prefix).log
    before = [dataclasses.replace(entry, identity=dataclasses.replace(entry.identity, cluster_id="A"))]
    monkeypatch.setattr("tidegauge.world.tickets.read_entries", lambda _: [*before, entry])
    monkeypatch.setattr("tidegauge.world.tickets.entry_in_force", lambda entries: entries[-1])
    with Redis.from_url(tickets_server) as store:
        store.set(key, "A")
        assert other_log(settings) == "" and store.get(key) == entry.identity.cluster_id.encode()
