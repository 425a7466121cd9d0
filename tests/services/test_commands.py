"""The door of commands: decided, on record, stamped, written once, answered; whatever is away, nothing is done by half."""

from __future__ import annotations

import json
from collections.abc import Mapping
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import httpx2
import pytest
import schemathesis
from hypothesis import settings
from redis import ConnectionError as RedisAwayError
from schemathesis.specs.openapi.checks import positive_data_acceptance

from policies.lifecycle.acts import HANDLERS
from schemas.codec.records import decode_one, encode
from schemas.registry import file_registry
from services.access.audit import AuditTopic
from services.access.callers import RequestCallers
from services.access.decision import GRANTS, Actor, Role
from services.access.writer import NotWrittenError
from services.commands.app import create_commands_app
from services.commands.definitions import COMMANDS_TAKEN, body_of
from services.commands.description import description, printed
from services.commands.door import CommandDoor
from services.commands.store import CommandEntry, OtherBodyError
from streams.alerts.acts import STEPS_OF_ACTS

COMMITTED = Path(__file__).resolve().parents[2] / "docs" / "commands.json"
RM, BOSS, FAR = ("rm-1", Role.RM, "east"), ("bm-1", Role.BRANCH_MANAGER, "east"), ("rm-9", Role.RM, "west")
WHO = {name: Actor(name, role, ("hq", unit)) for name, role, unit in (RM, BOSS, FAR)}
WHO["kiosk"] = Actor("kiosk", Role.KIOSK, ("hq", "east"))
WHO["both"] = Actor("both", Role.TELLER, ("hq", "west"), ((Role.RM, ("hq", "east")),))
NOW = 1_771_400_000_000
CASE = {"customer_id": "C1", "branch": "east", "told_step": "a/raised/1", "alert_id": "a"}


class MemoryCommands:
    """A store in memory."""

    def __init__(self) -> None:
        self.bodies: dict[str, str] = {}
        self.entries: dict[str, CommandEntry] = {}
        self.results: dict[str, dict[str, Any]] = {}

    def claim(self, key: str, body: str, command_id: str, record: Mapping[str, Any], by: str) -> CommandEntry:
        if self.bodies.setdefault(key, body) != body:
            raise OtherBodyError
        return self.entries.setdefault(command_id, CommandEntry(dict(record), by, sent=False))

    def entry(self, command_id: str) -> CommandEntry | None:
        return self.entries.get(command_id)

    def note_sent(self, command_id: str) -> None:
        self.entries[command_id] = self.entries[command_id]._replace(sent=True)

    def result(self, command_id: str) -> dict[str, Any] | None:
        return self.results.get(command_id)


class Bank:
    """A log with two customers, a worker that answers at once if `answers` says what, and everything on record."""

    def __init__(self, answers: str | None = "") -> None:
        self.store, self.answers = MemoryCommands(), answers
        self.branches = {"C1": "east", "C2": "west"}
        self.written: list[dict[str, Any]] = []
        self.records: list[dict[str, Any]] = []
        self.waiting: dict[str, Future[dict[str, Any]]] = {}
        self.failure: Exception | None = None
        self.unrecorded: Exception | None = None
        trail = AuditTopic(self._keep, lambda: NOW)
        store: Any = self.store
        self.door = CommandDoor(store, self, {"a": CASE}.get, self.write, trail, lambda: NOW, "Asia/Shanghai")
        self.app = create_commands_app(self.door, RequestCallers(lambda _: None, keys=self), wait_s=0.05)

    def _keep(self, chain: str, entry: dict[str, Any]) -> None:
        if self.unrecorded is not None:
            raise self.unrecorded
        self.records.append(decode_one(encode("audit-log", entry), name="audit-log"))

    def actor(self, text: str) -> Actor | None:
        """Whose key it is: as short as a name, in these tests."""
        return WHO.get(text)

    def branch(self, customer_id: str) -> str | None:
        return self.branches.get(customer_id)

    def result_of(self, command_id: str) -> Future[dict[str, Any]]:
        return self.waiting.setdefault(command_id, Future())

    def forget(self, command_id: str, waiter: Future[dict[str, Any]]) -> None:
        self.waiting.pop(command_id, None)

    def write(self, record: Mapping[str, Any]) -> None:
        if self.failure is not None:
            raise self.failure
        self.written.append(decode_one(encode("crm-actions", dict(record), file_registry(2)), name="crm-actions"))
        if self.answers is not None:
            self.answer(record["event_id"])

    def answer(self, command_id: str) -> None:
        """What a worker says."""
        result = {"command_id": command_id, "outcome": "refused" if self.answers else "applied", "reason": self.answers or None,
                  "day": "2026-02-18"}  # fmt: skip
        self.store.results[command_id] = result
        if command_id in self.waiting:
            self.waiting[command_id].set_result(result)

    async def post(self, name: str, who: str = "rm-1", key: str | None = "k1", **body: Any) -> httpx2.Response:
        headers = {"Authorization": f"ApiKey {who}"} | ({"Idempotency-Key": key} if key else {})
        async with self.client() as client:
            return await client.post(f"/v1/commands/{name}", json=body, headers=headers)

    async def get(self, command_id: str, who: str = "rm-1") -> httpx2.Response:
        async with self.client() as client:
            return await client.get(f"/v1/commands/{command_id}", headers={"Authorization": f"ApiKey {who}"})

    def client(self) -> httpx2.AsyncClient:
        transport = httpx2.ASGITransport(self.app, raise_app_exceptions=False)
        return httpx2.AsyncClient(transport=transport, base_url="http://t")


def test_every_act_is_a_command() -> None:
    """Of the policy language and of cases; and somebody may send each."""
    assert set(COMMANDS_TAKEN) == {*HANDLERS, *STEPS_OF_ACTS, "note"}
    for one in COMMANDS_TAKEN.values():
        assert any((one.kind, one.action) in grants for grants in GRANTS.values()), one.name
        assert "customer_id" in body_of(one.name).model_fields or one.on_case


async def test_applied_and_stamped() -> None:
    """The record says who, in which role, of which unit, when and by which request; the act's own fields are the body's."""
    bank = Bank()
    answer = await bank.post("snooze", case="a", until="2026-03-01", reason="on holiday")
    assert answer.status_code == 200 and answer.json()["state"] == "applied"
    (act,) = bank.written
    assert act["event_id"] == answer.json()["command_id"]
    assert act["details"] == {"case": "a", "step": "a/raised/1", "reason": "on holiday"} and act["expires_on"] == 20_513
    stamp = ("stamped_by", "stamped_role", "stamped_unit", "stamped_at", "requested_by", "approved_by", "customer_id")
    assert [act[name] for name in stamp] == ["rm-1", "rm", "hq/east", NOW, "rm-1", None, "C1"]
    (record,) = bank.records
    assert (record["actor"], record["outcome"], record["seq"], record["hash"]) == ("rm-1", "allowed", 0, "")
    assert record["details"]["request_id"] == act["request_id"]


@pytest.mark.slow
@pytest.mark.parametrize(("branch", "status"), [("east", 200), ("west", 404), (None, 200)])
async def test_a_case_goes_with_its_customer(branch: str | None, status: int) -> None:
    """Who has had him acts on his case no more; where his branch isn't known, the case's newest step says it."""
    bank = Bank()
    bank.branches = {} if branch is None else {"C1": branch}
    answer = await bank.post("snooze", case="a", until="2026-03-01", reason="on holiday")
    assert (answer.status_code, len(bank.written)) == (status, status == 200)


async def test_the_capacity_that_allows_it_is_stamped() -> None:
    """Who stands in for somebody acts in that role and unit."""
    bank = Bank()
    assert (await bank.post("override_tier", "both", customer_id="C1", tier="gold")).status_code == 200
    assert (bank.written[0]["stamped_role"], bank.written[0]["stamped_unit"]) == ("rm", "hq/east")


async def test_refused_says_why() -> None:
    """A problem with the worker's code."""
    bank = Bank("same_person")
    answer = await bank.post("approve_exception", "bm-1", customer_id="C1")
    assert answer.status_code == 409 and answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["reason"] == "same_person" and "same person" in answer.json()["detail"]


async def test_pending_until_a_worker_answers() -> None:
    """202 with an address to ask; another one learns nothing there."""
    bank = Bank(None)
    answer = await bank.post("note", customer_id="C1", text="called")
    assert answer.status_code == 202 and answer.json()["state"] == "pending"
    command_id = answer.json()["command_id"]
    assert answer.headers["location"] == f"/v1/commands/{command_id}"
    assert (await bank.get(command_id)).status_code == 202
    assert (await bank.get(command_id, "bm-1")).json() == (await bank.get("command-" + "0" * 32)).json()
    bank.answers = ""
    bank.answer(command_id)
    assert (await bank.get(command_id)).json()["state"] == "applied"


async def test_the_same_key() -> None:
    """Again is the same command, with another body it is refused; another actor's key is another."""
    bank = Bank(None)
    first = await bank.post("note", customer_id="C1", text="called")
    again = await bank.post("note", customer_id="C1", text="called")
    assert first.json() == again.json() and len(bank.written) == 1
    other = await bank.post("note", customer_id="C1", text="written")
    assert (other.status_code, len(bank.written)) == (422, 1)
    assert (await bank.post("apply_card", customer_id="C1", card="gold")).status_code == 422
    assert (await bank.post("note", "bm-1", customer_id="C1", text="called")).json() != first.json()


async def test_a_write_that_failed_is_tried_again_as_it_was_stamped() -> None:
    """503, then the same record with the same id: whichever of the two arrives counts once."""
    bank = Bank()
    bank.failure = NotWrittenError("no answer")
    assert (await bank.post("note", customer_id="C1", text="called")).status_code == 503
    (command_id,) = bank.store.entries
    assert (await bank.get(command_id)).json()["state"] == "not_sent"
    bank.failure = None
    answer = await bank.post("note", customer_id="C1", text="called")
    assert answer.json() == {"command_id": command_id, "state": "applied", "reason": None, "day": "2026-02-18"}
    assert bank.written[0]["request_id"] == bank.store.entries[command_id].record["request_id"]


@pytest.mark.parametrize(("who", "customer"), [("rm-1", "C2"), ("rm-1", "C3"), ("kiosk", "C1"), ("rm-9", "C1")])
async def test_forbidden_and_absent_are_alike(who: str, customer: str) -> None:
    """One answer, and a record of the refusal each time."""
    bank = Bank()
    answer = await bank.post("note", who, customer_id=customer, text="x")
    assert (answer.status_code, answer.json()["title"]) == (404, "Nothing of that id is known") and bank.written == []
    assert [record["outcome"] for record in bank.records] == ["denied"]
    assert (await bank.post("acknowledge", "rm-9", case="a")).json() == (
        await bank.post("acknowledge", "rm-9", case="b")
    ).json()


async def test_nobody() -> None:
    """401, before anything is looked up or recorded."""
    bank = Bank()
    answer = await bank.post("note", "stranger", customer_id="C1", text="x")
    assert answer.status_code == 401 and "bearer" in answer.headers["www-authenticate"].lower()
    assert bank.records == [] == bank.written


@pytest.mark.parametrize(
    ("key", "name", "body", "status"),
    [
        (None, "note", {"customer_id": "C1", "text": "x"}, 400),
        ("k\x00", "note", {"customer_id": "C1", "text": "x"}, 400),
        ("k", "note", {"customer_id": "C1"}, 422),
        ("k", "note", {"customer_id": "C1", "text": "x", "approved_by": "bm-1"}, 422),
        ("k", "note", {"customer_id": "C1 ", "text": "x"}, 422),
        ("k", "note", {"customer_id": "C1", "text": " "}, 422),
        ("k", "note", {"customer_id": "C1", "text": "x" * 1001}, 422),
        ("k", "resolve", {"case": "a", "outcome": "fine", "reason": "x"}, 422),
        ("k", "record", {"customer_id": "C1", "record": "will"}, 422),
        ("k", "snooze", {"case": "a", "until": "9999-01-01"}, 422),
        ("k", "dance", {"customer_id": "C1"}, 404),
    ],
)  # fmt: skip
async def test_wrong_uses(key: str | None, name: str, body: dict[str, Any], status: int) -> None:
    """A problem that names the field and repeats no value; nothing is written."""
    bank = Bank()
    answer = await bank.post(name, key=key, **body)
    assert answer.status_code == status and bank.written == []
    assert answer.headers["content-type"] == "application/problem+json"
    assert "C1" not in answer.text


@pytest.mark.parametrize("place", ["unrecorded", "failure", "store"])
async def test_a_server_that_is_away(place: str) -> None:
    """503 and nothing done: above all, what can't be put on record is not done."""
    bank = Bank()
    if place == "store":
        bank.store.claim = _away  # type: ignore[method-assign]
    else:
        setattr(bank, place, NotWrittenError("no answer"))
    answer = await bank.post("note", customer_id="C1", text="x")
    assert answer.status_code == 503 and answer.headers["retry-after"] == "1" and bank.written == []


def _away(*_: Any) -> Any:
    raise RedisAwayError("no answer")


def test_the_description_is_the_committed_one() -> None:
    """docs/commands.json. If not: python -m services.commands.description > docs/commands.json."""
    assert COMMITTED.read_text() == printed()


schema = schemathesis.openapi.from_dict(description())
schema.app = Bank().app


@pytest.mark.slow
@schema.parametrize()
@settings(max_examples=5)
def test_any_request(case: schemathesis.Case) -> None:
    """Whatever comes, by the description or against it: an answer that the description has, and never a fault.

    That all it allows is taken is not asked: it can't say which days a calendar has.
    """
    headers = {"Authorization": "ApiKey rm-1"}
    case.call_and_validate(headers=headers, excluded_checks=[positive_data_acceptance])


def test_nothing_of_a_value_is_in_a_problem() -> None:
    """The description has no example out of a bank either."""
    assert "C1" not in json.dumps(description())
