"""The parts of the whole run: no test is left out, and none runs twice."""

from itertools import product

import pytest

from tests.__main__ import BESIDE, worst
from tests.parts import MARKS, PARTS, holds, may_hold

COMBINATIONS = [{m for m, has in zip(MARKS, held, strict=True) if has} for held in product([False, True], repeat=3)]


@pytest.mark.parametrize("marks", COMBINATIONS, ids=lambda marks: " ".join(sorted(marks)) or "none")
def test_every_test_is_in_exactly_one_part(marks: set[str]) -> None:
    """Whatever marks it has; and a module that names them, or more, is looked into for that part."""
    parts = [part for part in PARTS.values() if holds(part, marks)]
    assert len(parts) == 1
    assert all(may_hold(parts[0], named) for named in COMBINATIONS if marks <= named)


def test_a_module_without_the_marks_is_passed_over() -> None:
    """The parts with servers, and the slow one, look into some modules only; the quick one into all."""
    without = {name: [named for named in COMBINATIONS if not may_hold(part, named)] for name, part in PARTS.items()}
    assert without == {
        "slow without servers": [named for named in COMBINATIONS if "slow" not in named],
        "with servers": [named for named in COMBINATIONS if "integration" not in named],
        "of the system": [named for named in COMBINATIONS if not {"integration", "system"} <= named],
        "quick without servers": [],
    }


def test_every_part_is_in_exactly_one_lane() -> None:
    """The first part is a lane by itself."""
    assert sorted([next(iter(PARTS)), *(part for lane in BESIDE for part in lane)]) == sorted(PARTS)


@pytest.mark.parametrize(
    ("codes", "code"), [([0, 0, 0], 0), ([0, 5, 0], 0), ([5, 5, 5], 5), ([0, 1, 5], 1), ([0, 0, -9], 9)]
)
def test_the_worst_run_counts(codes: list[int], code: int) -> None:
    """A run without tests is good beside others; one that was killed is not."""
    assert worst(codes) == code
