"""Acts on cases: the twin on stories worked out by hand, the standing job against it, and the law with resolutions."""

from dataclasses import dataclass, replace

import pytest
from hypothesis import assume, given, note, settings
from hypothesis import strategies as st

from agents.standing.job import StandingJob
from streams.alerts.acts import CASE_OUTCOMES, STEPS_OF_ACTS
from tests.examples.cases import JobCases, act_record, conf_of, plain
from tests.standing.partition import Partition, Topics
from tests.standing.test_recovery import Crashing
from tests.twins.case_acts import DONE
from tests.twins.case_terms import OUTCOMES, SlowAct
from tests.twins.cases import SlowCases
from tests.twins.events import day, posting
from tests.twins.test_cases_law import FIRST, Feed, fed, few, told_twice
from tests.twins.test_slow_cases import SCHEME, told

OPENED = [posting(1, 100_000_000, "2024-01-01"), *range(day("2024-01-01"), day("2024-04-09"))]
OUT = posting(2, -30_000_000, "2024-04-09", clock="10:00:00")


class Both:
    """The twin and the job, fed alike; they must answer alike."""

    def __init__(self, scheme=SCHEME) -> None:
        self.slow, self.job, self.acts, self.seen = SlowCases(scheme), JobCases(scheme), 0, 0

    def feed(self, *steps) -> "Both":
        """Events and closed days, in order."""
        self.slow.feed(steps)
        self.job.feed(steps)
        return self.same()

    def act(self, action: str, on: str | int, **more) -> str:
        """An act on the case that was told last; why it is refused, or ""."""
        self.acts += 1
        customer = more.pop("customer", "C1")
        case, step = self.slow.cases[customer] - 1, self.slow.said[customer] - 1
        named = {name: more.pop(name) for name in ("case", "step", "by", "role", "until", "event_id") if name in more}
        act = SlowAct(
            customer,
            action,
            case,
            step,
            day(on) if isinstance(on, str) else on,
            details=more,
            event_id=f"act-{self.acts}",
        )
        return self.take(replace(act, **named))

    def take(self, act: SlowAct) -> str:
        """An act."""
        answer, found = self.slow.act(act, manager=None), self.job.act(act)
        assert found == (answer if answer != "again" else "")
        self.same()
        return answer

    def same(self) -> "Both":
        """Step by step."""
        expected, found = ([plain(step) for step in one.steps[self.seen :]] for one in (self.slow, self.job))
        self.seen += len(expected)
        if expected != found:
            note(f"the twin {expected[-2:]}; the job {found[-2:]}")
            pytest.fail("another step")
        return self

    def last(self) -> tuple[str, str]:
        """Step and attention of the last one."""
        return self.slow.steps[-1].kind, self.slow.steps[-1].attention


def raised() -> Both:
    """300,000.00 of 1,000,000.00 leave on 9 April 2024 at 10:00."""
    both = Both().feed(*OPENED, OUT)
    assert both.last() == ("raised", "waiting")
    return both


def test_words_of_acts_stand_once():
    """Acts, their steps and outcomes are those of the definitions."""
    assert DONE | {"resolve": "resolved"} == STEPS_OF_ACTS
    assert OUTCOMES == CASE_OUTCOMES


def test_acknowledged_and_then_more():
    """An acknowledged case that deepens waits again, and the older step can no longer be answered."""
    both = raised()
    assert both.act("acknowledge", "2024-04-09") == ""
    assert both.last() == ("acknowledged", "acknowledged")
    assert both.act("acknowledge", "2024-04-09") == "already_acknowledged"
    both.feed(posting(3, -20_000_000, "2024-04-09", clock="15:00:00"))
    assert both.last() == ("deepened", "waiting")
    assert both.act("acknowledge", "2024-04-09", step=0) == "stale_step"
    assert both.act("acknowledge", "2024-04-09") == ""


def test_a_snooze_ends_at_the_close_of_its_last_day_or_when_more_leaves():
    """Snoozed up to the 11th: the close of that day wakes it; the notifier's clock may do so from the 12th on."""
    both = raised()
    assert both.act("snooze", "2024-04-09", until=day("2024-04-11")) == ""
    assert both.act("wake", "2024-04-11", role="service") == "too_early"
    both.feed(day("2024-04-09"), day("2024-04-10"))
    assert both.last() == ("snoozed", "snoozed")
    both.feed(day("2024-04-11"))
    assert both.last() == ("woken", "waiting")
    assert both.act("snooze", "2024-04-12", until=day("2024-04-20")) == ""
    both.feed(posting(3, -20_000_000, "2024-04-12"))
    assert both.last() == ("deepened", "waiting")
    assert both.act("wake", "2024-04-21", role="service") == "not_snoozed"
    assert both.act("snooze", "2024-04-12", until=day("2024-04-12")) == ""
    assert both.act("wake", "2024-04-13", role="service") == ""
    assert both.last() == ("woken", "waiting")


def test_resolved_on_the_day_it_was_raised():
    """It ends with that day: what else leaves on it is part of it, what leaves the day after is not."""
    both = raised()
    assert both.act("resolve", "2024-04-09", outcome="kept", reason="stays") == ""
    assert both.last() == ("resolved", "ended")
    both.feed(posting(3, -20_000_000, "2024-04-09", clock="15:00:00"), day("2024-04-09"))
    assert told(both.slow.steps)[1:] == [("resolved", "2024-04-09", 30_000_000)]
    assert both.act("comment", "2024-04-10", reason="called") == "case_closed"
    both.feed(posting(4, -20_000_000, "2024-04-10"))
    assert told(both.slow.steps)[2:] == [("raised", "2024-04-10", 20_000_000)]
    record = both.job.records[1]
    assert (record["outcome"], record["note"], record["acted_by"]) == ("kept", "stays", "rm-1")


def test_handed_over():
    """The new owner answers; nobody else but those above, and everybody may comment."""
    both = raised()
    assert both.act("hand_over", "2024-04-09", to="rm-2") == ""
    assert both.job.records[-1]["rm_id"] == "rm-2"
    assert both.act("resolve", "2024-04-09", outcome="left", reason="gone") == "other_owner"
    assert both.act("comment", "2024-04-09", reason="my customer of old") == ""
    assert both.act("acknowledge", "2024-04-09", by="head-1", role="section_head") == ""
    assert both.act("hand_over", "2024-04-09", by="rm-2", to="rm-2") == "no_new_owner"
    both.feed(posting(3, -20_000_000, "2024-04-09", clock="15:00:00"))
    assert both.job.records[-1]["rm_id"] == "rm-2"  # who has it keeps it


def test_escalated_by_the_clock_alone_and_only_while_nobody_has_answered():
    """Levels rise; an answer ends it, and what is told anew begins again."""
    both = raised()
    assert both.act("escalate", "2024-04-09", level="1") == "other_role"
    clock = {"role": "service", "by": "notifier"}
    assert both.act("escalate", "2024-04-09", level="1", **clock) == ""
    assert both.job.records[-1]["level"] == 1
    assert both.act("escalate", "2024-04-09", level="1", **clock) == "no_higher_level"
    assert both.act("acknowledge", "2024-04-09", **clock) == "other_role"
    assert both.act("acknowledge", "2024-04-09") == ""
    assert both.act("escalate", "2024-04-09", level="2", **clock) == "answered"
    both.feed(posting(3, -20_000_000, "2024-04-09", clock="15:00:00"))
    assert both.act("escalate", "2024-04-09", level="1", **clock) == ""


def test_what_does_not_fit_is_refused():
    """With the code of what is missing; the case stays as it is."""
    both = raised()
    for action, more, code in (
        ("acknowledge", {"case": 5}, "unknown_case"), ("acknowledge", {"role": "teller"}, "other_role"),
        ("resolve", {"outcome": "fine", "reason": "x"}, "unknown_outcome"), ("resolve", {"outcome": "kept"}, "no_reason"),
        ("comment", {}, "no_reason"), ("snooze", {}, "bad_until"), ("snooze", {"until": day("2024-04-08")}, "bad_until"),
        ("snooze", {"until": day("2024-07-09")}, "bad_until"), ("hand_over", {}, "no_new_owner"),
        ("acknowledge", {"customer": "C9"}, "unknown_case"),
    ):  # fmt: skip
        assert both.act(action, "2024-04-09", **more) == code, action
    assert both.act("resolve", "2024-05-12", outcome="kept", reason="x") == "too_far_ahead"
    assert [step.kind for step in both.slow.steps] == ["raised"]
    assert both.act("comment", "2024-04-09", reason="x", event_id="one") == ""
    assert both.act("comment", "2024-04-09", reason="x", event_id="one") == "again"


@dataclass(frozen=True)
class Intent:
    """An act to be made of what will have been told by then."""

    action: str
    customer: str
    case: int
    step: int
    days: int
    by: str
    role: str
    until: int
    details: dict


def made(intent: Intent, cases: int, steps: int, closed: int | None, number: int) -> SlowAct:
    """The act."""
    on = (FIRST if closed is None else closed) + intent.days
    return SlowAct(
        intent.customer, intent.action, cases - 1 - intent.case, steps - 1 - intent.step, on, intent.by, intent.role,
        on + intent.until, intent.details, f"act-{number}",
    )  # fmt: skip


few_wrong = (0, 0, 0, 0, 0, 1)
intents = st.builds(
    Intent, st.sampled_from((*DONE, "resolve", "resolve")), st.sampled_from(("C1", "C1", "C2")),
    st.sampled_from(few_wrong), st.sampled_from(few_wrong), st.sampled_from((-4, -1, 0, 1, 1, 1, 2, 3, 9, 40)),
    st.sampled_from(("rm-1", "rm-2")), st.sampled_from(("rm", "rm", "branch_manager", "service")),
    st.sampled_from((-1, 0, 2, 5, 99)),
    st.fixed_dictionaries({
        "outcome": st.sampled_from(OUTCOMES), "reason": st.just("why"), "to": st.sampled_from(("rm-1", "rm-2")),
        "level": st.sampled_from("123"),
    }),
)  # fmt: skip


@st.composite
def acted(draw):
    """A scheme and a feed, with acts in between."""
    scheme, _, feed = draw(fed(late_days=36))
    places = draw(st.lists(st.tuples(st.integers(0, len(feed)), intents), max_size=25))
    steps: list = list(feed)
    for place, intent in sorted(places, key=lambda one: -one[0]):
        steps.insert(place, intent)
    return scheme, Feed(steps)


@pytest.mark.slow
@settings(few, max_examples=25)
@given(acted())
def test_the_job_answers_acts_as_the_twin_does(scheme_feed):
    """Step by step and refusal by refusal, between postings and closes of any order."""
    scheme, feed = scheme_feed
    both = Both(scheme)
    for number, step in enumerate(feed):
        if not isinstance(step, Intent):
            both.feed(step)
            continue
        customer = step.customer
        both.take(made(step, both.slow.cases[customer], both.slow.said[customer], both.slow.book.closed, number))
    left = {c: (x.opened, x.net, x.reference, x.rules) for c, x in both.slow.open_cases().items()}
    told_so = both.job.open_cases().items()
    assert {c: (x["opened"], x["net"], x["reference"], x["rules"]) for c, x in told_so if c in left} == left


def resolving(job: JobCases, feed, days: dict[str, set[int]], settle_days: int) -> set[tuple[str, int]]:
    """Feeds a job; of each customer a case is resolved on each of `days`, as soon as one is open. The days on which one was."""
    done, closed = set(), None
    for number, step in enumerate(feed):
        job.feed([step])
        closed = step if isinstance(step, int) else closed
        for customer, wanted in days.items():
            for on in sorted(wanted):
                last = job.records[-1] if job.records else None
                in_time = closed is None or on > closed - settle_days
                if (customer, on) in done or not in_time or last is None:
                    continue
                case = job.open_cases().get(customer)
                if case is None or case["opened"] > on or job.job.decider.case_desk.state()[customer].open == {}:
                    continue
                (care,) = job.job.decider.case_desk.state()[customer].open.values()
                if care.day > on:
                    continue
                act = SlowAct(
                    customer, "resolve", len(job.cases[customer]) - 1, len(job.told[customer]) - 1, on,
                    details={"outcome": "kept", "reason": "x"}, event_id=f"{customer}-{on}-{number}",
                )  # fmt: skip
                if job.act(act) == "":
                    done.add((customer, on))
    return done


@pytest.mark.slow
@settings(few, max_examples=25)
@given(
    told_twice(), st.dictionaries(st.sampled_from(("C1", "C2")), st.sets(st.integers(FIRST, FIRST + 29), max_size=2))
)
def test_open_cases_follow_from_the_events_and_resolutions(told_bank, days):
    """The law with acts: two logs in which the same days were resolved leave the same open cases."""
    scheme, one, other, *_ = told_bank
    jobs = [JobCases(scheme), JobCases(scheme)]
    done = [resolving(job, feed, days, scheme.settle_days) for job, feed in zip(jobs, (one, other), strict=True)]
    assume(done[0] == done[1])
    assert jobs[0].open_cases() == jobs[1].open_cases()


@pytest.mark.slow
@settings(few, max_examples=8)
@given(acted(), st.data())
def test_a_crash_loses_no_act_and_applies_none_twice(scheme_feed, data):
    """Acts are made on a calm run, and the log with them is read again with crashes: the same cases, and the same care."""
    scheme, feed = scheme_feed
    calm, log = JobCases(scheme), Topics()
    for number, step in enumerate(feed):
        if isinstance(step, Intent):
            cases, steps = calm.cases[step.customer], calm.told[step.customer]
            closed = calm.job.ledger.closed if calm.job.ledger.closed > 0 else None
            step = act_record(made(step, len(cases), len(steps), closed, number), cases, steps)
        calm.feed([step])
        log.tell([step])
    conf = conf_of(scheme)
    crashing = Crashing(log, StandingJob(conf))
    crashing.conf = conf
    crashing.fence = (crashing.job.positions(), crashing.job.fence())
    for _ in range(data.draw(st.integers(1, 3), label="crashes")):
        crashing.live(data)
        before = crashing.job.decider
        crashing = crashing.recovered(data)
        after = crashing.job.decider
        assert after.cases.open_cases() == before.cases.open_cases()
        assert after.case_desk.state() == before.case_desk.state()
    crashing.run()
    steps = [record["event_id"] for record in crashing.of("rm-alerts")]
    assert len(set(steps)) == len(steps)
    refused = [record["event_id"] for record in crashing.of("decisions") if record["kind"] == "refused"]
    assert len(set(refused)) == len(refused)
    assert Partition(log, StandingJob(conf)).run().job.ledger.closed == crashing.job.ledger.closed
