"""A VIP who arrives: his manager is told who it is, once, in time; nobody else is."""

from __future__ import annotations

import asyncio
from typing import Any

from schemas.codec.records import encode
from services.notices.arrivals import NEWS_S, VipArrivals
from services.views.projections import TopicRecord
from streams.reference import customer_ref
from tests.contracts.drawn import REGISTRY
from tests.services.fakes import MemoryChannel, MemoryLedger, MemorySource

KEY, OLD_KEY, AT = b"k" * 32, b"o" * 32, 1_772_438_400_000
PROFILE: dict[str, Any] = {
    "event_id": "1", "customer_id": "C901330", "customer_class": "personal", "branch": "east/0102", "rm_id": "RM-3",
    "relationship_since": None, "birth_date": None, "card_held": None,
}  # fmt: skip


def ticket(number: str, reference: str | None, vip_area: bool = True, **more: Any) -> bytes:
    step = {
        "event_id": f"B1/2026-03-02/{number}", "ticket_id": f"B1-{number}", "branch": "B1", "customer_ref": reference,
        "queue_class": "diamond", "vip_area": vip_area, "action": "issued", "counter": None, "request_id": "r",
        "degraded": False, "at": AT, "number": f"A{number}",
    }  # fmt: skip
    return encode("queue-tickets", step | more)


class Bank:
    """A log of profiles and tickets, and what was told."""

    def __init__(self, *profiles: dict[str, Any]) -> None:
        self.logs: dict[str, list[TopicRecord]] = {"customers:0": [], "queue-tickets:0": []}
        for profile in profiles:
            self.send("customers", profile["customer_id"].encode(), encode("customers", profile))
        self.send("queue-tickets", b"B1", ticket("000", customer_ref(KEY, "C901330")))  # before anybody followed
        self.channel, self.ledger, self.records = MemoryChannel(), MemoryLedger(), list[dict[str, Any]]()
        self.now = AT

    def send(self, topic: str, key: bytes, value: bytes | None) -> None:
        log = self.logs[f"{topic}:0"]
        log.append(TopicRecord(topic, 0, log[-1].offset + 2 if log else 0, key, value))

    def told(self, *tickets: bytes) -> list[dict[str, Any]]:
        """The records of what is told of these tickets."""

        async def write(record: dict[str, Any]) -> None:
            self.records.append(record)

        found = VipArrivals(
            MemorySource(self.logs), REGISTRY, [KEY, OLD_KEY], b"i" * 32, [self.channel], self.ledger, write,
            now_ms=lambda: self.now, locale="en",
        )  # fmt: skip
        found.begin()
        for value in tickets:
            self.send("queue-tickets", b"B1", value)

        async def follow() -> None:
            for _ in range(5 + len(tickets)):
                await found.follow()

        asyncio.run(follow())
        return self.records


def test_his_manager_is_told_who_it_is() -> None:
    """By either key's reference; the text shows the end of the number alone, the record inside the bank has it."""
    (record,) = Bank(PROFILE).told(ticket("001", customer_ref(OLD_KEY, "C901330")))
    assert (record["customer_id"], record["recipient"], record["status"]) == ("C901330", "RM-3", "sent")
    assert "****330" in record["body"] and "A001" in record["body"] and "C901330" not in record["body"]
    (record,) = Bank(PROFILE | {"rm_id": None}).told(ticket("001", "x" * 26, previous_ref=customer_ref(KEY, "C901330")))
    assert record["recipient"] == "branch:east/0102"


def test_nobody_is_told_of_others() -> None:
    """Whoever is not led there, walks in, is called, or is no customer."""
    own = customer_ref(KEY, "C901330")
    tickets = (
        ticket("001", own, vip_area=False), ticket("002", None), ticket("003", own, action="called"), ticket("004", "x" * 26),
    )  # fmt: skip
    assert Bank(PROFILE).told(*tickets) == []


def test_he_is_told_once_and_in_time() -> None:
    """A step that was carried twice, and one that nobody followed for too long."""
    bank, own = Bank(PROFILE), customer_ref(KEY, "C901330")
    assert len(bank.told(ticket("001", own), ticket("001", own))) == 1
    bank.now += 1000 * NEWS_S + 1
    assert len(bank.told(ticket("002", own))) == 1


def test_a_profile_that_is_gone_is_nobodys() -> None:
    """A tombstone takes both references away."""
    bank = Bank(PROFILE)
    bank.send("customers", b"C901330", None)
    assert bank.told(ticket("001", customer_ref(KEY, "C901330"))) == []
