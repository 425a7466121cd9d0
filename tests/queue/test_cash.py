"""Cash that wants notice: higher classes are met first, on a real server; over HTTP, in the log, and after a restore from it."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Iterator
from datetime import date, timedelta
from typing import Any

import pytest
from fastapi.testclient import TestClient
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from deploy.settings import Settings
from policies import load_pack
from policies.compiled.queue import compile_queue
from schemas import bounds
from schemas.codec.records import decode_one, encode
from services.queue.behind.relay import step_audit, ticket_record
from services.queue.behind.replay import LoggedBranch, logged_branch, queue_differences, restored
from services.queue.tickets.store import StepRefusedError
from streams.money import AMOUNT_MAX
from tests.queue.slow import SlowCash, SlowCashRequest
from tests.queue.stored import PACK, Stored, stored
from tests.queue.test_service import PAGE, serving
from tests.queue.test_tickets import DAY, GONE, NEW, VIP, Desk

pytestmark = pytest.mark.integration
BRANCH = "B1"
PATH = "/v1/cash-requests"
CLASSES = [*compile_queue(load_pack(PACK)).ids, "of another pack"]
DAYS_AHEAD = 2


def ask(one: Stored, queue_class: str = "ordinary", days: int = 1, request: str | None = None, **more: Any) -> Any:
    """A request for so many days ahead."""
    last = one.day + timedelta(days=bounds.CASH_NOTICE_DAYS_MAX)
    given = {"class": queue_class, "amount": "5000000", "currency": "CNY", "last_day": last.isoformat(), **more}
    return one.run("cash_ask", BRANCH, request, wanted=(one.day + timedelta(days=days)).isoformat(), **given)


def listed(one: Stored, day: date) -> list[tuple[int, int]]:
    """Number and position of what is open for a day, read in pages of two."""
    found: list[tuple[int, int]] = []
    while True:
        page = one.run("cash_day", BRANCH, wanted=day.isoformat(), skip=len(found), limit=2)
        found += [(int(row["number"]), row["position"]) for row in page["requests"] or ()]
        if len(found) == page["total"]:
            return found


def log_of(one: Stored) -> LoggedBranch:
    """What its outbox gives on `queue-tickets`, through the contract."""
    values = [encode("queue-tickets", ticket_record(step)) for step in one.outbox()]
    return logged_branch(decode_one(value, name="queue-tickets") for value in values)


class CashBranch(RuleBasedStateMachine):
    """A branch at which anything happens to cash requests; the store and its twin say the same."""

    url = ""

    @initialize()
    def begin(self) -> None:
        self.stored, self.slow = Stored(self.url), SlowCash()

    def teardown(self) -> None:
        if hasattr(self, "stored"):
            self.the_rule_was_kept()
            self.the_log_brings_it_back()
            self.stored.close()

    @rule(gap=st.sampled_from([0, 0, 1, 60]))
    def time_goes_on(self, gap: int) -> None:
        self.stored.now_s = (self.stored.now_s or 0) + gap

    @rule(days=st.integers(1, 2))
    def days_pass(self, days: int) -> None:
        self.stored.day += timedelta(days=days)
        today = self.stored.day.isoformat()
        self.slow.requests = [one for one in self.slow.requests if one.day >= today]

    @rule(
        queue_class=st.integers(0, len(CLASSES) - 1),
        days=st.integers(0, DAYS_AHEAD),
        currency=st.sampled_from(["CNY", "USD"]),
        references=st.lists(st.sampled_from(["r0", "r1", "r2"]), max_size=2, unique=True),
        amount=st.sampled_from([1, 10_000_001, AMOUNT_MAX]),
    )
    def is_asked(self, queue_class: int, days: int, currency: str, references: list[str], amount: int) -> None:
        refs = dict(zip(("ref", "ref2"), references, strict=False))
        found = ask(self.stored, CLASSES[queue_class], days, currency=currency, amount=str(amount), **refs)
        own = found["cash"]
        day = (self.stored.day + timedelta(days=days)).isoformat()
        kept = SlowCashRequest(
            int(own["number"]), day, currency, amount, queue_class, self.stored.now_s or 0, tuple(references)
        )
        self.slow.requests.append(kept)
        assert (own["wanted"], own["amount"], own["state"]) == (day, str(amount), "open")
        assert found["ahead"] == len(self.slow.before(kept))

    @rule(reference=st.sampled_from(["r0", "r1", "r2"]), queue_class=st.integers(0, len(CLASSES) - 1))
    def class_changes(self, reference: str, queue_class: int) -> None:
        given = {"class": CLASSES[queue_class], "vip": False, "reason": "queue-priority"}
        moved = self.stored.run("rerank", BRANCH, ref=reference, **given)["moved"] or ()
        own = [one for one in self.slow.requests if reference in one.references and one.queue_class != queue_class]
        assert sorted(int(one["number"]) for one in moved) == [one.number for one in own]
        for one in own:
            one.queue_class = queue_class

    @precondition(lambda self: self.slow.requests)
    @rule(data=st.data(), insists=st.booleans())
    def is_met(self, data: Any, insists: bool) -> None:
        one = data.draw(st.sampled_from(self.slow.requests))
        why = {"reason": "a funeral"} if insists else {}
        if self.slow.waits_for_higher(one) and not insists:
            with pytest.raises(StepRefusedError, match="higher-class-waits"):
                self.stored.run("cash_meet", BRANCH, number=one.number)
            return
        found = self.stored.run("cash_meet", BRANCH, number=one.number, **why)["cash"]
        assert (found["state"], found["amount"]) == ("met", str(one.amount_minor))
        self.slow.requests.remove(one)

    @precondition(lambda self: self.slow.requests)
    @rule(data=st.data(), step=st.sampled_from(["cash_refuse", "cash_withdraw"]))
    def ends(self, data: Any, step: str) -> None:
        one = data.draw(st.sampled_from(self.slow.requests))
        self.stored.run(step, BRANCH, number=one.number, reason="no cash")
        self.slow.requests.remove(one)
        for again in ("cash_meet", "cash_refuse", "cash_withdraw"):
            with pytest.raises(StepRefusedError, match="no-such-cash-request"):
                self.stored.run(again, BRANCH, number=one.number, reason="again")

    @invariant()
    def is_listed_as_by_the_twin(self) -> None:
        for days in range(-1, DAYS_AHEAD + 1):
            day = self.stored.day + timedelta(days=days)
            assert listed(self.stored, day) == self.slow.day(day.isoformat())

    def the_rule_was_kept(self) -> None:
        """By the outbox alone: nobody was met, without a reason on record, while a higher class was open."""
        opened: dict[str, dict[str, Any]] = {}
        for step in self.stored.outbox():
            name = step["id"]
            if step["action"] == "cash_met" and "reason" not in step:
                rivals = [one for one in opened.values() if one["wanted"] == step["wanted"]]
                rivals = [one for one in rivals if one["currency"] == step["currency"]]
                assert all(CLASSES.index(one["class"]) >= CLASSES.index(step["class"]) for one in rivals)
            opened.pop(name, None)
            if step["state"] == "open":
                opened[name] = step

    def the_log_brings_it_back(self) -> None:
        """A store that has lost all has the same open requests again, and goes on with the same numbers."""
        found = log_of(self.stored)
        if not found.steps:
            return
        with stored(self.url) as other:
            other.day, other.now_s = self.stored.day, self.stored.now_s
            other.run("restore", BRANCH, **restored(found))
            assert queue_differences(found, other.run("live", BRANCH), {}) == []
            for days in range(DAYS_AHEAD + 1):
                day = self.stored.day + timedelta(days=days)
                assert listed(other, day) == listed(self.stored, day)
            for number in range(3):
                given = {"class": "diamond", "vip": True}
                moved = [
                    side.run("rerank", BRANCH, ref=f"r{number}", **given)["moved"] for side in (self.stored, other)
                ]
                assert moved[0] == moved[1]
            assert ask(other)["cash"]["number"] == ask(self.stored)["cash"]["number"]


@pytest.mark.slow
def test_the_store_meets_requests_as_the_twin_does(redis_server: str) -> None:
    """Higher classes first, whatever happens meanwhile; what is met out of turn has its reason on record (R-087)."""

    class Driven(CashBranch):
        url = redis_server

    run_state_machine_as_test(Driven, settings=settings(max_examples=40, stateful_step_count=25, deadline=None))


def test_a_request_is_made_once(redis_server: str) -> None:
    """However often it comes: the same answer, position too, one request, one step; so its end."""
    with stored(redis_server) as one:
        first = ask(one, request="c1")
        ask(one, "diamond")
        assert [ask(one, request="c1") for _ in range(2)] == [first] * 2
        with pytest.raises(StepRefusedError, match="request-id-reused"):
            ask(one, request="c1", amount="5000001")
        ended = one.run("cash_withdraw", BRANCH, "c2", number=1)
        assert one.run("cash_withdraw", BRANCH, "c2", number=1) == ended
        assert [step["action"] for step in one.outbox()] == ["cash_asked", "cash_asked", "cash_withdrawn"]
        assert one.runner.run(one.store.client.hlen(one.store.keys.references)) == 0


def test_tickets_and_cash_requests_go_their_own_ways(redis_server: str) -> None:
    """Of one reference: a ticket is none of its cash requests, and a change of class moves both."""
    with stored(redis_server) as one:
        ask(one, ref="r")
        ticket = one.issue(ref="r")
        assert (ticket["place"], ticket["number"]) == (1, "A001")
        moved = one.run("rerank", ref="r", **{"class": "gold"}, vip=False)["moved"]
        assert sorted((row["id"], row["class"]) for row in moved) == [("B1-1", "gold"), ("B1-cash-1", "gold")]
        one.run("leave", place=1)
        assert one.runner.run(one.store.holders("r")) == ["B1"]
        found = log_of(one)
        assert list(found.tickets()) == [1], "no cash request is a ticket of the log"
        one.run("cash_meet", number=1)
        assert one.runner.run(one.store.holders("r")) == []


def test_a_day_that_passes_ends_requests(redis_server: str) -> None:
    """With the branch's next step, on record; those of later days stay, numbers go on."""
    with stored(redis_server) as one:
        ask(one, days=0, ref="r"), ask(one, days=1)
        one.day += timedelta(days=1)
        assert listed(one, one.day - timedelta(days=1)) == [], "at once for who looks"
        assert ask(one, days=0)["cash"]["number"] == "3"
        ended = [(step["id"], step["reason"], step["day"]) for step in one.outbox() if step["state"] == "expired"]
        assert ended == [("B1-cash-1", "day_ended", "2026-03-02")]
        assert listed(one, one.day) == [(2, 1), (3, 2)]
        assert one.runner.run(one.store.holders("r")) == []


def test_requests_have_bounds(redis_server: str) -> None:
    """So many are open, so long before, and none while the outbox is full; nothing is half done."""
    with stored(redis_server) as one:
        one.store._limits |= {"cash_max": 2, "outbox_max": 3}
        for days in (-1, bounds.CASH_NOTICE_DAYS_MAX + 1):
            with pytest.raises(StepRefusedError, match="not-a-coming-day"):
                ask(one, days=days)
        ask(one, days=0), ask(one, days=bounds.CASH_NOTICE_DAYS_MAX)
        with pytest.raises(StepRefusedError, match="too-many-cash-requests"):
            ask(one)
        one.run("cash_refuse", number=1, reason="no cash")
        with pytest.raises(StepRefusedError, match="queue-unavailable"):
            ask(one)
        assert [step["action"] for step in one.outbox()] == ["cash_asked", "cash_asked", "cash_refused"]
        one.day -= timedelta(days=1)
        with pytest.raises(StepRefusedError, match="not-a-coming-day"):
            ask(one, days=0)


def test_the_log_says_what_a_request_is(redis_server: str) -> None:
    """All of it on `queue-tickets`, money as money; who made the step on `audit-log`, without amount and reference."""
    with stored(redis_server) as one:
        ask(one, "gold", ref="old", ref2="new", amount=str(AMOUNT_MAX), actor="key 7")
        ask(one, "diamond", actor="key 7")
        one.run("cash_meet", number=1, reason="a funeral", actor="li")
        one.run("cash_meet", number=2, reason="nobody is passed", actor="li")
        first, _, met, other = log_of(one).steps
        assert (first["amount_minor"], first["currency"], first["wanted_day"] - first["day"]) == (AMOUNT_MAX, "CNY", 1)
        assert (first["customer_ref"], first["previous_ref"], first["place"]) == ("old", "new", 0)
        assert (met["action"], met["state"], met["reason"], met["actor"]) == ("cash_met", "met", "a funeral", "li")
        assert other["reason"] is None, "who passes nobody needs no reason"
        entries = [step_audit(step) for step in one.outbox()]
        assert [entry["action"] for entry in entries] == ["cash_asked", "cash_asked", "cash_met", "cash_met"]
        assert (entries[2]["resource"], entries[2]["reason"]) == ("tickets of B1-cash-1", "a funeral")
        said = json.dumps(entries)
        assert str(AMOUNT_MAX) not in said and "5000000" not in said and '"old"' not in said


def test_what_differs_is_said(redis_server: str) -> None:
    """A request that one side lacks, and one that both have otherwise."""
    with stored(redis_server) as one:
        ask(one), ask(one)
        found, state = log_of(one), one.run("live")
        assert queue_differences(found, state, {}) == []
        changed = [row | {"amount": "1"} for row in state["cash"] if row["number"] == "2"]
        assert queue_differences(found, {**state, "cash": [*changed, changed[0] | {"number": "3"}]}, {}) == [
            "cash request 1 is open in the log, and not in the store",
            "cash request 2: amount is 5000000 in the log and 1 in the store",
            "cash request 3 is open in the store, and not in the log",
        ]


@pytest.fixture
def desk(redis_server: str, topic_prefix: str) -> Iterator[Desk]:
    found = Desk(redis_server, topic_prefix)
    with TestClient(found.app) as found.client:
        yield found


def wanted(reference: str | None = None, days: int = 3, **more: Any) -> dict[str, Any]:
    """The body of a request."""
    given = {"day": (DAY + timedelta(days=days)).isoformat(), "amount_minor": 20_000_000, "currency": "CNY", **more}
    return given if reference is None else {**given, "customer_ref": reference}


def problem(answer: Any) -> tuple[int, str]:
    return answer.status_code, answer.json()["type"].removeprefix("urn:tidegauge:problem:")


def test_higher_classes_are_met_first(desk: Desk) -> None:
    """Cash needs of VIPs come first (R-087): who asked before them waits, or is met for a reason that is on record."""
    first = desk.made("counter", PATH, **wanted(GONE))
    assert (first["cash_request"], first["queue_class"], first["state"], first["position"]) == (
        1,
        "ordinary",
        "open",
        1,
    )
    vip = desk.made("lobby", PATH, **wanted(VIP, amount_minor=30_000_000))
    assert (vip["cash_request"], vip["queue_class"], vip["position"]) == (2, "diamond", 1)
    desk.made("counter", PATH, **wanted(VIP, days=4))
    desk.made("counter", PATH, **wanted(currency="USD"))
    day = wanted()["day"]
    answer = desk.ask("counter", "GET", f"{PATH}?day={day}")
    rows = [(row["cash_request"], row["position"], row["currency"]) for row in answer.json()["requests"]]
    assert (rows, answer.json()["total"]) == ([(2, 1, "CNY"), (1, 2, "CNY"), (4, 1, "USD")], 3)
    assert VIP not in answer.text and GONE not in answer.text and "ref" not in answer.text
    page = desk.ask("lobby", "GET", f"{PATH}?day={day}&skip=1&limit=1").json()
    assert ([row["cash_request"] for row in page["requests"]], page["total"]) == ([1], 3)
    assert problem(desk.ask("counter", "POST", f"{PATH}/1/meet")) == (409, "higher-class-waits")
    assert desk.made("counter", f"{PATH}/4/meet")["state"] == "met", "of another currency"
    assert desk.made("counter", f"{PATH}/1/meet", insist="a funeral")["state"] == "met"
    met = desk.made("counter", f"{PATH}/2/meet", "m2")
    assert (met["state"], met["position"], met["amount_minor"]) == ("met", None, 30_000_000)
    assert desk.made("counter", f"{PATH}/2/meet", "m2") == met
    assert problem(desk.ask("counter", "POST", f"{PATH}/2/meet")) == (404, "no-such-cash-request")
    assert desk.made("lobby", f"{PATH}/3/refuse", reason="no cash")["state"] == "refused"
    other = desk.made("counter", PATH, **wanted())
    assert desk.made("counter", f"{PATH}/{other['cash_request']}/withdraw")["state"] == "withdrawn"
    store = desk.ticketing.store
    steps = [json.loads(fields[b"e"]) for _, fields in desk.client.portal.call(store.client.xrange, store.keys.outbox)]
    assert [(step["id"], step.get("reason")) for step in steps if step["action"] == "cash_met"] == [
        ("east/0102-cash-4", None), ("east/0102-cash-1", "a funeral"), ("east/0102-cash-2", None),
    ]  # fmt: skip


def test_a_kiosk_sees_no_amounts(desk: Desk) -> None:
    """It neither takes requests nor lists them."""
    assert problem(desk.ask("kiosk", "POST", PATH, **wanted())) == (403, "not-allowed")
    assert problem(desk.ask("kiosk", "GET", f"{PATH}?day={wanted()['day']}")) == (403, "not-allowed")


def test_a_class_that_could_not_be_known(desk: Desk) -> None:
    """Of the default class, and said so; it is looked up again before another one is met, and moves when it changes."""
    desk.view.down = True
    lost = desk.made("counter", PATH, **wanted(VIP))
    plain = desk.made("counter", PATH, **wanted(GONE, previous_ref=NEW))
    assert [(row["queue_class"], row["degraded"], row["position"]) for row in (lost, plain)] == [
        ("ordinary", True, 1), ("ordinary", True, 2),
    ]  # fmt: skip
    walk_in = desk.made("counter", PATH, **wanted())
    assert (walk_in["degraded"], walk_in["position"]) == (False, 3)
    desk.view.down = False
    assert problem(desk.ask("counter", "POST", f"{PATH}/3/meet")) == (409, "higher-class-waits")
    rows = desk.ask("counter", "GET", f"{PATH}?day={wanted()['day']}").json()["requests"]
    assert [(row["cash_request"], row["queue_class"], row["degraded"]) for row in rows] == [
        (1, "diamond", False), (2, "ordinary", False), (3, "ordinary", False),
    ]  # fmt: skip
    assert desk.client.portal.call(desk.ticketing.rerank, NEW, "diamond", True, "queue-priority") == 1
    desk.made("counter", f"{PATH}/1/meet")
    assert problem(desk.ask("counter", "POST", f"{PATH}/3/meet")) == (409, "higher-class-waits")
    desk.made("counter", f"{PATH}/2/meet")
    desk.made("counter", f"{PATH}/3/meet")


def test_requests_that_are_none(desk: Desk) -> None:
    """Days, amounts and currencies that can't be: a problem that repeats nothing."""
    for days in (-1, bounds.CASH_NOTICE_DAYS_MAX + 1):
        assert problem(desk.ask("counter", "POST", PATH, **wanted(days=days))) == (422, "not-a-coming-day")
    for days in (0, bounds.CASH_NOTICE_DAYS_MAX):
        desk.made("counter", PATH, **wanted(days=days))
    assert desk.made("counter", PATH, **wanted(amount_minor=AMOUNT_MAX))["amount_minor"] == AMOUNT_MAX
    for more in (
        {"day": "2026-02-30"}, {"day": "tomorrow"}, {"day": 1_772_000_000}, {"day": "1772000000"}, {"amount_minor": 0},
        {"amount_minor": AMOUNT_MAX + 1}, {"amount_minor": 1.0}, {"amount_minor": "100"}, {"currency": "XXX"},
        {"currency": "cny"}, {"customer_ref": "x" * 65}, {"name": "Li"},
    ):  # fmt: skip
        answer = desk.ask("counter", "POST", PATH, **(wanted() | more))
        assert (problem(answer), set(answer.json())) == ((422, "not-understood"), {"type", "title", "status"}), more
    for query in ("", "?day=soon", f"?day={DAY}&limit=0", f"?day={DAY}&limit=201", f"?day={DAY}&skip=-1"):
        assert problem(desk.ask("counter", "GET", PATH + query)) == (422, "not-understood"), query
    assert problem(desk.ask("counter", "POST", f"{PATH}/1/refuse")) == (422, "not-understood"), "without a reason"
    assert problem(desk.ask("counter", "POST", f"{PATH}/0/meet")) == (422, "not-understood")


@pytest.mark.slow
def test_the_pages_example_works(tickets_server: str, topic_prefix: str) -> None:
    """By curl, as docs/queue.md has it."""
    text = PAGE.read_text().partition("\n## Cash that wants notice\n")[2].partition("\n## ")[0]
    (shell,) = re.findall("```sh\n(.*?)```", text, re.DOTALL)
    with serving(Settings(tickets_url=tickets_server, topic_prefix=topic_prefix)) as address:
        day = (date.today() + timedelta(days=3)).isoformat()
        env = {**os.environ, "TICKETS": address, "COUNTER_KEY": "tgk_counter", "DAY": day}
        done = subprocess.run(["sh", "-ec", shell], env=env, capture_output=True, text=True, timeout=20, check=False)
    assert done.returncode == 0, done.stderr + done.stdout
    states = re.findall(r'"state":"(\w+)"', done.stdout)
    assert (states, f'"day":"{day}"' in done.stdout) == (["open", "open", "met"], True)
