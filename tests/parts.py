"""The parts of the whole run, by marks: every test is in exactly one (tests/test_parts.py)."""

from itertools import product
from typing import Final

from _pytest.mark.expression import Expression

MARKS: Final = ("integration", "system", "slow")
PARTS: Final = {
    "slow without servers": "not integration and slow",
    "with servers": "integration and not system",
    "of the system": "integration and system",
    "quick without servers": "not integration and not slow",
}


def holds(part: str, marks: set[str]) -> bool:
    """Whether a test with these marks, and no others of MARKS, is in the part."""
    return Expression.compile(part).evaluate(lambda name, **_: name in marks)


def may_hold(part: str, named: set[str]) -> bool:
    """Whether a test that has some of these marks, or none, can be in the part."""
    choices = product(*((mark, "") if mark in named else ("",) for mark in MARKS))
    return any(holds(part, set(chosen)) for chosen in choices)
