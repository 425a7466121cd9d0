"""`explain` of changes to come, vetoes and services: made again from the log, and said in both languages."""

import pytest

from tests.explaining.memory import log_of
from tests.standing.settings import PERSONAL
from tests.standing.test_leaving import EVALUATION, HELD, LEFT, bank
from tests.standing.test_lifecycle import fact
from tests.twins.events import day
from tidegauge.cli.explain.text import lines
from tidegauge.explanation import HOLDS, explained

FEE = {"id": "fee", "name": {"zh": "费", "en": "Fee"}, "tiers": ["mid"], "free_months": 2}
RULES = {
    EVALUATION + ".fall_notice_days": 40, PERSONAL + "services": [FEE],
    PERSONAL + "veto": {"when": {"metric": "bad_record", "is": True}, "at": "once"},
}  # fmt: skip


@pytest.mark.parametrize(
    ("lang", "words"),
    [
        ("en", ("averted by a close of downgrades up to 2024-03-31 that gives aum(all) ≥ 100.00", "decided by C1/notice/",
                "the day of an earlier decision has come", "service not -> free", "aum(all) = 5000")),
        ("zh-CN", ("在 2024-03-31 或之前", "由 C1/notice/", "原决定到期生效", "服务收费 not -> free", "降级预告")),
    ],
)  # fmt: skip
def test_a_fall_that_was_told(lang, words):
    """The notice with what averts it, the fall that names it, and the fee."""
    partition = bank(RULES, *HELD, LEFT, day("2024-02-29"), day("2024-04-09"), crash=False)
    found = explained(partition.job.conf, log_of(partition, "C1"))
    assert {verdict.state for verdict in found.verdicts} == {HOLDS} and not found.unpublished
    text = "\n".join(lines(found, lang))
    assert [word for word in words if word not in text] == [], text


def test_a_veto_that_acts_at_once():
    """It is judged by its own values: the veto is met, whatever holds the tier."""
    steps = (*HELD, fact("C1", 1, 1, day("2024-02-05"), "bad_record"), day("2024-02-06"))
    partition = bank(RULES | {EVALUATION + ".keep_months": 12}, *steps, crash=False)
    found = explained(partition.job.conf, log_of(partition, "C1"))
    [_, veto] = found.of("tier-changes")
    assert (veto.state, veto.told.record["reason"], veto.judged.measured, veto.judged.veto.met) == (
        HOLDS,
        "veto",
        "low",
        True,
    )
