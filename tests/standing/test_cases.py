"""Outflow cases in the standing job: taking over a state without them, changing packs, evidence of a step."""

from agents.standing.job import StandingJob
from streams.accounts.entries import HORIZON_DAYS
from tests.examples.cases import JobCases, conf_of
from tests.examples.plain_alerts import plain_conf
from tests.standing.partition import Partition, Topics
from tests.standing.test_recovery import Crashing
from tests.twins.case_terms import SlowRule, SlowScheme
from tests.twins.events import day, posting

TIERS = ("ordinary", "gold", "platinum", "diamond", "private")
QUARTER = SlowRule("quarter", 90, "medium", share_bp=dict.fromkeys(TIERS, 2_000), floor=5_000_000, cool_down=30)
SCHEME = SlowScheme((QUARTER,))


def steps(partition: Partition) -> list[dict]:
    """What was told of cases."""
    return [record for record in partition.of("rm-alerts") if record.get("start_day") is not None]


def test_a_state_without_cases_is_taken_over():
    """Rows of a job without cases go on under a pack with them: flow is known of the 35 days held, and steps say so."""
    history = [posting(1, 100_000_000, "2024-01-01"), posting(2, -15_000_000, "2024-02-20")]
    closes = range(day("2024-01-01"), day("2024-04-11"))
    log = Topics().tell([*history, *closes])
    before = Crashing(log, StandingJob(plain_conf()))
    before.fence = (before.job.positions(), before.job.fence())
    before.run()
    before.flush(None)
    job = StandingJob(conf_of(SCHEME))
    job.load(before.rows.items())
    job.load_fence(before.fence[1])
    after = Partition(log, job, before.fence[0])
    log.tell([posting(3, -22_000_000, "2024-04-11"), day("2024-04-11")])
    after.run()
    (step,) = steps(after)
    assert step["status"] == "raised"
    assert step["outflow_minor"] == 22_000_000  # what left in February is known no more
    assert step["flow_since"] == day("2024-04-10") - HORIZON_DAYS or str(step["flow_since"]) == "2024-03-06"
    assert job.take_dirty(None)[1]


def test_flow_older_than_the_postings_held_counts():
    """15,000,000 left 52 days before, 8,000,000 today: together more than a fifth, since days of flow are kept."""
    job = JobCases(SCHEME).feed(
        [posting(1, 100_000_000, "2024-01-01"), posting(2, -15_000_000, "2024-02-20"),
         *range(day("2024-02-01"), day("2024-04-11")), posting(3, -8_000_000, "2024-04-11")]
    )  # fmt: skip
    (step,) = job.records
    assert (step["status"], step["provisional"], step["outflow_minor"]) == ("raised", True, 23_000_000)
    assert step["flow_since"] is None
    assert step["gross_minor"] == 23_000_000


def test_counterparties_of_a_step():
    """The outside banks that got most since the case's start; what came back is none of it."""
    job = JobCases(SCHEME).feed(
        [posting(1, 100_000_000, "2024-01-01"), posting(2, -15_000_000, "2024-04-09", counterparty_bank="X"),
         posting(3, -5_000_000, "2024-04-10", counterparty_bank="Y"),
         posting(4, 5_000_000, "2024-04-10", reverses="C1-A1-core-3"),
         posting(5, -9_000_000, "2024-04-11", nature="unknown", counterparty_bank="Z")]
    )  # fmt: skip
    assert job.records[-1]["counterparties"] == [
        {"bank": "X", "amount_minor": 15_000_000}, {"bank": "Z", "amount_minor": 9_000_000},
    ]  # fmt: skip


def test_an_end_names_the_case_that_was_told():
    """All steps of a case have its id; their own ids are all different and follow from their causes."""
    job = JobCases(SCHEME).feed(
        [posting(1, 100_000_000, "2024-01-01"), posting(2, -30_000_000, "2024-04-09"), day("2024-04-09"),
         posting(3, 30_000_000, "2024-04-10"), day("2024-04-10")]
    )  # fmt: skip
    assert [record["status"] for record in job.records] == ["raised", "retracted"]
    assert len({record["alert_id"] for record in job.records}) == 1
    assert [record["event_id"].split("/", 1)[1] for record in job.records] == [
        "raised/C1-A1-core-2", "retracted/C1-A1-core-3",
    ]  # fmt: skip
