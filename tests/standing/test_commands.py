"""Commands in the worker: answered once whatever happens, four eyes by who is stamped, nothing unstamped from a day on."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.standing.job import StandingJob
from agents.standing.model import StandingConf
from policies import parse_pack
from policies.lifecycle.acts import HANDLERS
from schemas.codec.records import encode
from schemas.registry import file_registry
from streams.alerts.acts import STEPS_OF_ACTS
from tests.standing.partition import Partition, Topics, customer
from tests.standing.test_lifecycle import PACK
from tests.standing.test_recovery import Crashing
from tests.streams.fast import unshrunk
from tests.twins.events import day, instant, posting

BODY = PACK.format(close="day", up="day", down="day", grace=0, extra="").replace("by: head", "by: head-office")
FIRST = day("2024-01-01")
ACTIONS = (*HANDLERS, *STEPS_OF_ACTS, "note", "dance")


def conf() -> StandingConf:
    """Overrides are requested by `rm` and approved by the head office."""
    return StandingConf(
        "CNY", "Asia/Shanghai", parse_pack(BODY, "tested.yaml"), b"a key of the tests", stamped_from=None
    )


def log_of(steps: list[Any]) -> Topics:
    """A log of the contracts that have stamps."""
    log = Topics()
    log.encode = lambda topic, record: encode(topic, dict(record), file_registry(2))
    return log.tell(steps)


def command(
    number: int, action: str, on: int, by: str | None = "rm-1", role: str = "rm", **more: Any
) -> dict[str, Any]:
    """A stamped act, or without `by` one that says of itself who acts."""
    details = {"kind": "override", "tier": "high", **more.pop("details", {})}
    stamp = {} if by is None else {
        "stamped_by": by, "stamped_role": role, "stamped_unit": "hq/east", "stamped_at": instant(on, "10:00:00"),
        "request_id": f"request-{number}",
    }  # fmt: skip
    return {
        "topic": "crm-actions", "event_id": f"command-{number}", "customer_id": "C1", "action": action,
        "requested_by": "claimed", "approved_by": None, "at": instant(on, "10:00:00"), "expires_on": None,
        "details": details, **stamp, **more,
    }  # fmt: skip


def run(*steps: Any, **setting: Any) -> Partition:
    """All of them, and the close of the first day before."""
    steps = (customer("C1"), posting(1, 5_000, FIRST), FIRST, *steps)
    return Partition(log_of(list(steps)), StandingJob(replace(conf(), **setting))).run()


def results(found: Partition) -> list[tuple[str, str, str | None]]:
    """(command, outcome, reason) in their order."""
    return [(r["command_id"], r["outcome"], r["reason"]) for r in found.of("command-results")]


NEXT = FIRST + 1
REFUSED = [
    # the acts, and what becomes of the last of them
    ([command(1, "request_exception", NEXT), command(2, "approve_exception", NEXT, "rm-1", "wealth_office")], "same_person"),
    ([command(1, "request_exception", NEXT), command(2, "approve_exception", NEXT, "bm-1", "branch_manager")],
     "approval_by_other_role"),
    ([command(1, "request_exception", NEXT), command(2, "approve_exception", NEXT, "wo-1", "wealth_office")], None),
    ([command(1, "request_exception", NEXT),
      command(2, "approve_exception", NEXT, "bm-1", "branch_manager", details={"approver_role": "head-office"})],
     "approval_by_other_role"),
    ([command(1, "override_tier", NEXT, approved_by="wo-1")], "approves_himself"),
    ([command(1, "override_tier", NEXT, "t-1", "teller", details={"role": "rm"})], "request_by_other_role"),
    ([command(1, "approve_exception", NEXT, "wo-1", "wealth_office")], "nothing_requested"),
    ([command(1, "dance", NEXT)], "unknown_action"),
    ([command(1, "note", NEXT)], None),
    ([command(1, "acknowledge", NEXT, details={"case": "c", "step": "s"})], "unknown_case"),
]  # fmt: skip


@pytest.mark.parametrize(("acts", "reason"), REFUSED)
def test_who_is_stamped_counts(acts: list[dict[str, Any]], reason: str | None):
    """Neither `requested_by` nor a role that the act claims; nobody approves for another, nor what he has asked for himself."""
    last = results(run(*acts))[-1]
    assert last == (acts[-1]["event_id"], "applied" if reason is None else "refused", reason)


def test_four_eyes_over_the_move():
    """Whoever asked without a stamp may not approve with one."""
    asked = command(1, "request_exception", NEXT, None, requested_by="wo-1", details={"role": "rm"})
    assert results(run(asked, command(2, "approve_exception", NEXT, "wo-1", "wealth_office"))) == [
        ("command-2", "refused", "same_person")
    ]


def test_nobody_is_answered_who_did_not_ask():
    """An act without a request id is told of on `decisions` alone, as ever."""
    found = run(command(1, "dance", NEXT, None))
    assert results(found) == [] and [r["reason"] for r in found.of("decisions") if r["kind"] == "refused"] == [
        "unknown_action"
    ]


@pytest.mark.parametrize(("since", "refused"), [(NEXT - 1, True), (NEXT, True), (NEXT + 1, False), (None, False)])
def test_once_the_bank_has_moved_over(since: int | None, refused: bool):
    """From the close before that day on an act needs a stamp, whatever day it says it is of."""
    early = command(1, "override_tier", FIRST - 20, None, approved_by="head-1", details={"role": "rm"})
    found = run(early, command(2, "override_tier", NEXT), stamped_from=since)
    said = [r["reason"] for r in found.of("decisions") if r["kind"] == "refused"]
    assert said == (["not_stamped"] if refused else []) and results(found) == [("command-2", "applied", None)]


@pytest.mark.slow
@settings(unshrunk, max_examples=12)
@given(st.data())
def test_each_command_is_answered_once(data: st.DataObject):
    """Over crashes, recoveries and commands that come twice: one result each, the same as without any of that."""
    steps: list[Any] = [customer("C1"), posting(1, 5_000, FIRST), FIRST]
    for number in range(data.draw(st.integers(1, 10))):
        action = data.draw(st.sampled_from(ACTIONS))
        by = data.draw(st.sampled_from((("rm-1", "rm"), ("wo-1", "wealth_office"), ("k", "kiosk"), ("s", "service"))))
        steps += [command(number, action, NEXT + number, *by, details={"card": "gold", "record": "filing"})]
        steps += [steps[-1]] * data.draw(st.integers(0, 1)) + [NEXT + number] * data.draw(st.integers(0, 1))
    log = log_of(steps)
    calm = Partition(log, StandingJob(conf())).run()
    crashing = Crashing(log, StandingJob(conf()))
    crashing.conf = conf()
    crashing.fence = (crashing.job.positions(), crashing.job.fence())
    for _ in range(data.draw(st.integers(1, 3), label="crashes")):
        crashing.live(data)
        crashing = crashing.recovered(data)
    crashing.run()
    sent = [step["event_id"] for step in steps if isinstance(step, dict) and step["topic"] == "crm-actions"]
    assert [command_id for command_id, *_ in results(calm)] == list(dict.fromkeys(sent))
    assert sorted(crashing.published["command-results"]) == sorted(calm.published["command-results"])
