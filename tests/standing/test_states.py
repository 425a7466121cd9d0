"""Alerts of states that last: each kind raised, deepened and closed by the closes, acted on, and the same after a crash."""

import copy
import json
from dataclasses import replace

import pytest

from agents.standing.job import StandingJob
from agents.standing.model import StandingConf
from policies import PackError, parse_pack
from schemas.registry import file_registry
from streams.alerts.kinds import INFLOW_DAYS, KIND_TABLE
from streams.vocabulary.terms import STATE_KINDS
from tests.standing.partition import Partition, Topics, customer
from tests.standing.settings import BASE
from tests.standing.test_lifecycle import action, fact
from tests.standing.test_recovery import Crashing
from tests.twins.events import day, instant, posting, snapshot

NAME = {"zh": "名", "en": "Name"}


def rule(kind: str, **settings) -> dict:
    """A rule of the kind's own name."""
    return {"id": kind.replace("_", "-"), "name": NAME, "severity": "low", "kind": kind, **settings}


RULES = [
    rule("card_expiry"), rule("review_due"), rule("break", at_least="50.00"),
    rule("large_inflow", at_least="300.00", basis_points=2_000),
    rule("product_maturing", fact="matures", days_ahead=10),
]  # fmt: skip


def pack_of(*rules: dict, **parts):
    """A pack with cards for two months, a review every two, and rules."""
    body = copy.deepcopy(BASE)
    personal = body["classes"]["personal"]
    body["facts"] = {"matures": {"kind": "count"}}
    personal["cards"] = {"valid_months": 2, "reminder_days": 30, "issue": {"mode": "teller", "needs_standard": False}}
    personal["review"] = {"months": 2, "reminder_days": 20}
    personal["alerts"] = [*rules]
    personal.update(parts)
    return parse_pack(json.dumps(body))


CONF = StandingConf("CNY", "Asia/Shanghai", pack_of(*RULES), b"a key of the tests", file_registry(contracts=2))


def run(*steps) -> Partition:
    """A job that has met them."""
    return Partition(Topics().tell(steps), StandingJob(CONF)).run()


def told(found: Partition, kind: str) -> list[tuple]:
    """(status, cause, due day, amount) of a kind's records."""
    return [
        (r["status"], r["caused_by"], r["due_day"], r["amount_minor"]) for r in found.of("rm-alerts") if r["kind"] == kind
    ]  # fmt: skip


def closes(first: str, last: str) -> list[int]:
    """Every day's close."""
    return list(range(day(first), day(last) + 1))


def on(text: str) -> str:
    """The cause of a close."""
    return f"close/{text}"


def test_every_kind_is_in_the_pack():
    """The rules of this test are all kinds that closes look at, with the settings of the table."""
    assert [one["kind"] for one in RULES] == list(STATE_KINDS)
    for one in RULES:
        assert {*one} - {"id", "name", "severity", "kind"} == {*KIND_TABLE[one["kind"]].settings}


def test_a_product_that_matures():
    """Told ten days ahead; over when it is paid out, or another day is named."""
    found = run(
        posting(1, 100_000, "2024-01-01"), fact("C1", 1, day("2024-02-20"), day("2024-01-05"), "matures"),
        *closes("2024-01-31", "2024-02-21"),
    )  # fmt: skip
    due = day("2024-02-20")
    assert told(found, "product_maturing") == [
        ("raised", on("2024-02-10"), due, None), ("closed", on("2024-02-21"), due, None),
    ]  # fmt: skip
    again = run(
        posting(1, 100_000, "2024-01-01"), fact("C1", 1, day("2024-02-20"), day("2024-01-05"), "matures"),
        *closes("2024-02-11", "2024-02-12"), fact("C1", 2, day("2024-02-22"), day("2024-02-12"), "matures"),
        *closes("2024-02-13", "2024-02-13"),
    )  # fmt: skip
    assert [status for status, *_ in told(again, "product_maturing")] == ["raised", "closed", "raised"]


def test_large_inflow():
    """400.00 within a week are more than 300.00 and a fifth of all; 700.00 is one and a half times as much; then it is old."""
    found = run(
        posting(1, 10_000, "2024-01-01"), *closes("2024-02-01", "2024-02-01"),
        posting(2, 40_000, "2024-02-05"), *closes("2024-02-05", "2024-02-06"),
        posting(3, 30_000, "2024-02-07"), *closes("2024-02-07", "2024-02-14"),
    )  # fmt: skip
    assert INFLOW_DAYS == 7
    assert told(found, "large_inflow") == [
        ("raised", on("2024-02-05"), None, 40_000), ("deepened", on("2024-02-07"), None, 70_000),
        ("closed", on("2024-02-14"), None, 70_000),
    ]  # fmt: skip
    went = run(
        posting(1, 10_000, "2024-01-01"), *closes("2024-02-01", "2024-02-01"),
        posting(2, 40_000, "2024-02-05"), posting(3, -35_000, "2024-02-05"), *closes("2024-02-05", "2024-02-06"),
    )  # fmt: skip
    assert told(went, "large_inflow") == []


def test_an_inflow_that_another_tier_makes_large():
    """400.00 are little for the lowest tier and much for the one that the month's close gives, without another event."""
    amounts = {"low": "1000.00", "mid": "500.00", "high": "300.00"}
    conf = replace(CONF, pack=pack_of(rule("large_inflow", at_least=amounts, basis_points=2_000)))
    steps = [customer("C1"), posting(1, 5_000, "2024-01-01"), *closes("2024-01-28", "2024-01-28"),
             posting(2, 40_000, "2024-01-29"), *closes("2024-01-29", "2024-02-05")]  # fmt: skip
    found = Partition(Topics().tell(steps), StandingJob(conf)).run()
    assert told(found, "large_inflow") == [
        ("raised", on("2024-01-31"), None, 40_000), ("closed", on("2024-02-05"), None, 40_000),
    ]  # fmt: skip


def test_a_break():
    """60.00 that no posting explains; resolved by a late one; one that nothing explains is over after 35 days."""
    begun = (posting(1, 100_000, "2024-01-01"), snapshot(100_000, "2024-02-01"), *closes("2024-02-01", "2024-02-01"))
    broken = (*begun, snapshot(94_000, "2024-02-02"), *closes("2024-02-02", "2024-02-02"))
    found = run(*broken, posting(2, -6_000, "2024-02-02", clock="09:00:00"), *closes("2024-02-03", "2024-02-03"))
    assert told(found, "break") == [
        ("raised", on("2024-02-02"), None, 6_000), ("closed", on("2024-02-03"), None, 6_000),
    ]  # fmt: skip
    left = run(*broken, *closes("2024-02-03", "2024-03-10"))
    assert told(left, "break")[-1][:2] == ("closed", on("2024-03-09"))


def test_a_card_and_a_review():
    """Told from the pack's reminders on; a card that is renewed is over, and another one comes in its time."""
    issue = action("C1", 1, "issue_card", day("2024-01-10"), "gold")
    found = run(customer("C1"), posting(1, 15_000, "2024-01-01"), issue, *closes("2024-01-31", "2024-03-31"))
    cards, reviews = told(found, "card_expiry"), told(found, "review_due")
    assert cards[0] == ("raised", on("2024-02-09"), day("2024-03-09"), None)
    assert [status for status, *_ in cards] == ["raised", "closed"]
    held = day("2024-03-31")  # two months after the close that gave the tier
    assert reviews[:2] == [("raised", on("2024-03-12"), held, None), ("closed", on("2024-03-31"), held, None)]


def act(number: int, name: str, on_day: str, record: dict, **details) -> dict:
    """An act on the case of a record."""
    return {
        "topic": "crm-actions", "event_id": f"act-{number}", "customer_id": "C1", "action": name, "requested_by": "rm-1",
        "approved_by": None, "at": instant(day(on_day), "10:00:00"), "expires_on": None,
        "details": {"case": record["alert_id"], "step": record["told_step"], "role": "rm", **details},
    }  # fmt: skip


def test_acts_on_them():
    """Acknowledged, then resolved: nothing is told until it is over, and raised again when it comes back."""
    steps = [
        customer("C1"), posting(1, 10_000, "2024-01-01"), *closes("2024-02-01", "2024-02-01"),
        posting(2, 40_000, "2024-02-05"), *closes("2024-02-05", "2024-02-05"),
    ]  # fmt: skip
    found = run(*steps)
    (raised,) = [r for r in found.of("rm-alerts") if r["kind"] == "large_inflow"]
    assert (raised["attention"], raised["told_step"]) == ("waiting", raised["event_id"])
    found.log.tell([
        act(1, "acknowledge", "2024-02-06", raised), act(2, "resolve", "2024-02-06", raised, outcome="no_loss", reason="salary"),
        act(3, "comment", "2024-02-06", raised, reason="x"), posting(3, 60_000, "2024-02-06"),
        *closes("2024-02-06", "2024-02-13"),
        posting(4, 90_000, "2024-02-20"), *closes("2024-02-14", "2024-02-20"),
    ])  # fmt: skip
    found.run()
    assert [status for status, *_ in told(found, "large_inflow")] == ["raised", "acknowledged", "resolved", "raised"]
    assert [r["reason"] for r in found.of("decisions") if r["kind"] == "refused"] == ["case_closed"]


def recovered(one: Crashing) -> Crashing:
    """A new job from rows and fence."""
    job = StandingJob(CONF)
    job.load(one.rows.items())
    job.load_fence(one.fence[1])
    again = Crashing(one.log, job, one.fence[0])
    for topic, offset in one.job.positions().items():
        again.feed(topic, offset)
    again.work(live=False)
    again.rows, again.published, again.fence, again.conf = one.rows, one.published, one.fence, CONF
    return again


@pytest.mark.parametrize("crash_at", [3, 6, 9])
def test_the_same_after_a_crash(crash_at):
    """Rows give back what stands; nothing is told twice and nothing is lost."""
    steps = [
        posting(1, 10_000, "2024-01-01"), snapshot(10_000, "2024-02-01"), *closes("2024-02-01", "2024-02-01"),
        posting(2, 40_000, "2024-02-05"), snapshot(40_000, "2024-02-05"),
        fact("C1", 1, day("2024-02-14"), day("2024-01-05"), "matures"), *closes("2024-02-05", "2024-02-20"),
    ]  # fmt: skip
    log = Topics().tell(steps)
    calm = Partition(log, StandingJob(CONF)).run()
    crashing = Crashing(log, StandingJob(CONF))
    crashing.conf = CONF
    crashing.fence = (crashing.job.positions(), crashing.job.fence())
    for topic, end in log.ends.items():
        crashing.feed(topic, end * crash_at // 10)
    crashing.work()
    crashing.flush(None)
    crashing = recovered(crashing)
    crashing.run()
    key = lambda r: r["event_id"]  # noqa: E731
    assert sorted(crashing.of("rm-alerts"), key=key) == sorted(calm.of("rm-alerts"), key=key)
    assert len(calm.of("rm-alerts")) > 3


@pytest.mark.parametrize(
    ("broken", "says"),
    [
        (rule("card_expiry"), "no card ends"),
        (rule("product_maturing", fact="nothing", days_ahead=3), "no fact of kind count"),
        (rule("large_inflow", at_least="1.00"), "basis_points"),
    ],
)
def test_rules_that_mean_nothing(broken, says):
    """Refused with the reason."""
    with pytest.raises(PackError) as problem:
        pack_of(broken, cards={})
    assert says in str(problem.value)
