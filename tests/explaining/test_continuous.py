"""Tiers that moved between closes, or by a branch's supplement, hold; a false one is found by its evidence."""

from dataclasses import replace

from policies import parse_pack
from tests.explaining.memory import altered, log_of
from tests.standing.partition import conf
from tests.standing.test_changeover import activation
from tests.standing.test_continuous import AT_ONCE, TODAY, started, told
from tests.standing.test_supplements import BASE, OURS
from tests.standing.test_supplements import started as begun
from tests.twins.events import day, posting
from tidegauge.explanation import BY_EVIDENCE, DIFFERS, HOLDS, explained


def test_what_moved_between_closes_holds():
    """What shared a transaction is not in the log: where another grouping gives another thing, the evidence speaks."""
    found = started(AT_ONCE, posting(1, 10_000, TODAY))
    told(found, posting(2, 20_000, TODAY), TODAY)
    log, settings = log_of(found, "C1"), replace(conf(), pack=AT_ONCE)
    verdicts = explained(settings, log).of("tier-changes")
    assert [v.told.record["to_tier"] for v in verdicts] == ["mid", "high"]
    assert {v.state for v in verdicts} <= {HOLDS, BY_EVIDENCE}
    at = next(i for i, one in enumerate(log.told) if one.topic == "tier-changes")
    [first, *_] = explained(settings, altered(log, at, direction="down")).of("tier-changes")
    assert (first.state, [p.code for p in first.problems]) == (DIFFERS, ["direction"])


def test_what_a_supplement_decided_holds():
    """R-131: by the supplement's own standard, which the log has."""
    found = begun(activation(OURS), day("2024-02-09"), day("2024-02-29"))
    settings = replace(conf(), pack=parse_pack(BASE, "tested.yaml"))
    verdicts = explained(settings, log_of(found, "C2")).of("tier-changes")
    assert [(v.told.record["to_tier"], v.state) for v in verdicts] == [("mid", HOLDS)]
