"""`explain` makes every step of a case again from the log."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.standing.job import StandingJob
from tests.examples.cases import act_record, conf_of
from tests.explaining.memory import Stamped, altered, log_of
from tests.standing.partition import Partition
from tests.twins.case_terms import SlowAct
from tests.twins.events import day, posting
from tests.twins.test_case_acts import Intent, acted, made
from tests.twins.test_cases_law import FIRST, few
from tests.twins.test_slow_cases import SCHEME
from tidegauge.cli.explain.text import lines
from tidegauge.explanation import DIFFERS, HOLDS, explained


def of_customer(partition: Partition, customer: str) -> tuple[list[str], list[str]]:
    """Ids of the cases that were told, and of the steps that acts may name."""
    told = [record for record in partition.of("rm-alerts") if record["customer_id"] == customer]
    cases = [record["alert_id"] for record in told if record["status"] == "raised"]
    return cases, [record["event_id"] for record in told if record["status"] in ("raised", "deepened")]


def lived(scheme, feed, ends) -> Partition:
    """A partition that has met the feed, with a transaction's end behind the steps of `ends`.

    Without snapshots, and with all rates at the beginning: in which transaction those were read the log does not say.
    """
    feed = [step for step in feed if not isinstance(step, dict) or step["topic"] == "transactions" or _is_early(step)]
    partition = Partition(Stamped(), StandingJob(conf_of(scheme)))
    for at, step in enumerate(feed):
        if isinstance(step, Intent):
            cases, steps = of_customer(partition, step.customer)
            closed = partition.job.ledger.closed
            step = act_record(made(step, len(cases), len(steps), closed if closed > 0 else None, at), cases, steps)
        partition.log.tell([step])
        if at in ends or at + 1 == len(feed):
            partition.run()
    return partition


def ends_of(feed, choice, together: float) -> set[int]:
    """Where transactions end: behind each step, but for some by chance; acts are in one of their own."""
    return {
        at for at, step in enumerate(feed)
        if isinstance(step, Intent) or (feed[at + 1 :] and isinstance(feed[at + 1], Intent)) or choice.random() >= together
    }  # fmt: skip


def test_what_came_behind_a_debit_in_its_transaction():
    """400,000.00 leave and 100,000.00 come back in one transaction: the step knew both, and names the second."""
    feed = [posting(1, 100_000_000, "2024-01-01"), *range(day("2024-04-01"), day("2024-04-09")),
            posting(2, -40_000_000, "2024-04-09", clock="10:00:00"),
            posting(3, 10_000_000, "2024-04-09", clock="10:00:01"),
            posting(2, -40_000_000, "2024-04-09", clock="10:00:00")]  # fmt: skip
    partition = lived(SCHEME, feed, set(range(len(feed) - 3)))
    (raised,) = partition.of("rm-alerts")
    assert (raised["status"], raised["outflow_minor"], raised["caused_by"]) == ("raised", 30_000_000, "C1-A1-core-3")
    found = explained(conf_of(SCHEME), log_of(partition, "C1"))
    assert [verdict.state for verdict in found.of("rm-alerts")] == [HOLDS]


def _is_early(step) -> bool:
    return step["topic"] == "fx-rates" and step["rate_date"] < FIRST


@pytest.mark.slow
@settings(few, max_examples=12)
@given(acted(), st.randoms(use_true_random=False), st.sampled_from((0.0, 0.3, 0.7)))
def test_every_step_holds(scheme_feed, choice, together):
    """Of postings, acts and closes, several of them in a transaction: a step names the last posting that it knew."""
    scheme, feed = scheme_feed
    partition = lived(scheme, feed, ends_of(feed, choice, together))
    for customer in ("C1", "C2"):
        found = explained(conf_of(scheme), log_of(partition, customer))
        assert [(v.told.name, v.state, v.problems) for v in found.of("rm-alerts") if v.state != HOLDS] == []
        assert found.unpublished == []
        assert all(isinstance(line, str) for lang in ("en", "zh-CN") for line in lines(found, lang))


def test_the_life_of_a_case_in_words():
    """Raised, acknowledged, refused, resolved: each line says what happened; a step that says otherwise does not hold."""
    first = [posting(1, 100_000_000, "2024-01-01"), *range(day("2024-04-01"), day("2024-04-09"))]
    partition = lived(SCHEME, [*first, posting(2, -30_000_000, "2024-04-09", clock="10:00:00")], {0})
    acts = (
        SlowAct("C1", "acknowledge", 0, 0, day("2024-04-09"), details={"reason": "called"}, event_id="a1"),
        SlowAct("C1", "acknowledge", 0, 0, day("2024-04-09"), by="rm-2", event_id="a2"),
        SlowAct(
            "C1", "resolve", 0, 0, day("2024-04-09"), details={"outcome": "kept", "reason": "stays"}, event_id="a3"
        ),
    )
    for act in acts:
        partition.log.tell([act_record(act, *of_customer(partition, "C1"))])
        partition.run()
    log = log_of(partition, "C1")
    found = explained(conf_of(SCHEME), log)
    text = "\n".join(lines(found, "en"))
    assert "case single acknowledged by rm-1: called; a1" in text
    assert "case single resolved by rm-1, outcome kept: stays; a3" in text
    assert "; acknowledge of case " in text
    at = next(i for i, told in enumerate(log.told) if told.record.get("status") == "acknowledged")
    (wrong,) = [v for v in explained(conf_of(SCHEME), altered(log, at, note="slept")).verdicts if v.state != HOLDS]
    assert wrong.told.record["note"] == "slept"
    assert wrong.state != DIFFERS or wrong.problems
