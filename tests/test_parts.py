"""The parts of the whole run: no test is left out, and none runs twice."""

from itertools import product

import pytest
from _pytest.mark.expression import Expression

from tests.__main__ import PARTS, worst

MARKS = ("integration", "system", "slow")


@pytest.mark.parametrize("held", list(product([False, True], repeat=len(MARKS))))
def test_every_test_is_in_exactly_one_part(held: tuple[bool, ...]) -> None:
    """Whatever marks it has."""
    marks = dict(zip(MARKS, held, strict=True))
    parts = [name for name, said in PARTS.items() if Expression.compile(said).evaluate(lambda mark, **_: marks[mark])]
    assert len(parts) == 1


@pytest.mark.parametrize(
    ("codes", "code"), [([0, 0, 0], 0), ([0, 5, 0], 0), ([5, 5, 5], 5), ([0, 1, 5], 1), ([0, 0, -9], 9)]
)
def test_the_worst_run_counts(codes: list[int], code: int) -> None:
    """A run without tests is good beside others; one that was killed is not."""
    assert worst(codes) == code
