"""docs/rules-coverage.md says of every rule of these parts which test shows it, or why none does."""

import re

from tests.policies import coverage


def test_every_rule_has_a_test_or_a_reason():
    """From the page alone: no rule has neither, and no test is named that is not there."""
    text = coverage.PAGE.read_text(encoding="utf-8")
    assert "**nothing**" not in text
    assert len(re.findall(r"^\| R-\d{3} ", text, re.MULTILINE)) == 305
    known = {place for places in coverage.shown().values() for place in places}
    for place in re.findall(r"`(tests/[^`]+)`", text):
        assert place in known, place


def test_page_is_up_to_date():
    """The page is what the command writes from the table and the tests as they are."""
    table = coverage.rules(coverage.RULES.read_text(encoding="utf-8"))
    assert len(table) == 305
    unshown = [r.id for r in table if r.here and not coverage.shown().get(r.id) and r.id not in coverage.REASONS]
    assert unshown == []
    assert coverage.page(table) == coverage.PAGE.read_text(encoding="utf-8"), "run python -m tests.policies.coverage"


def test_reasons_are_needed():
    """A rule that a test shows needs no reason."""
    assert not [rule for rule in coverage.REASONS if coverage.shown().get(rule)]


def test_ids_and_ranges():
    """Ranges are written out."""
    assert coverage.named("R-231 to R-233, R-240; C-01") == {"R-231", "R-232", "R-233", "R-240"}
