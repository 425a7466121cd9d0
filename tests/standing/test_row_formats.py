"""Rows of cases, of what people make of them, and of alerts that closes look at are those of the frozen table."""

from agents.standing.job import StandingJob
from agents.standing.model import RowKey
from tests.examples.cases import act_record, conf_of
from tests.golden.formats import KINDS, misfits, parts
from tests.standing.partition import Partition, Topics
from tests.standing.test_states import CONF, closes, fact, posting, snapshot
from tests.twins.case_terms import SlowAct
from tests.twins.events import day
from tests.twins.test_slow_cases import SCHEME


def test_rows_fit_the_table():
    """Every part of the three formats is there, and nothing else."""
    cased = Partition(Topics(), StandingJob(conf_of(SCHEME)))
    cased.log.tell([posting(1, 100_000_000, "2024-01-01"), day("2024-04-08"), posting(2, -30_000_000, "2024-04-09")])
    cased.run()

    def act(number: int, action: str, by: str = "rm-1", until: int | None = None, **details: str) -> None:
        told = cased.of("rm-alerts")
        cases = [record["alert_id"] for record in told if record["status"] == "raised"]
        steps = [record["event_id"] for record in told if record["status"] in ("raised", "deepened")]
        one = SlowAct("C1", action, len(cases) - 1, len(steps) - 1, day("2024-04-09") + number, by, until=until,
                      details=details, event_id=f"a{number}")  # fmt: skip
        cased.log.tell([act_record(one, cases, steps)])
        cased.run()

    seen, rows = set[str](), list(cased.rows.items())
    act(0, "resolve", outcome="kept", reason="x")
    cased.log.tell([posting(3, -40_000_000, "2024-04-10")])
    cased.run()
    act(1, "hand_over", to="rm-2")
    act(2, "snooze", by="rm-2", until=day("2024-04-20"))
    rows += cased.rows.items()
    cased.log.tell(range(day("2024-04-09"), day("2024-04-15")))
    cased.run()
    rows += cased.rows.items()
    lasting = Partition(Topics().tell([
        posting(1, 100_000, "2024-01-01"), snapshot(100_000, "2024-02-01"), *closes("2024-02-01", "2024-02-01"),
        snapshot(94_000, "2024-02-02"), fact("C1", 1, day("2024-02-10"), day("2024-01-05"), "matures"),
        *closes("2024-02-02", "2024-02-02"),
    ]), StandingJob(CONF)).run()  # fmt: skip
    rows += lasting.rows.items()
    mine = (RowKey.CASES, RowKey.CASE_DESK, RowKey.STATE_ALERTS)
    for key, value in rows:
        if key[:1] in mine:
            assert misfits(KINDS[key[:1]].read(value), KINDS[key[:1]].form, key[:1].decode(), seen) == []
    assert {place for key in mine for place in parts(KINDS[key].form, key.decode())} - seen == set()
