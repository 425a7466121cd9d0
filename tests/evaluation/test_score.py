"""The score on steps worked out by hand, and against its definition on steps of any kind."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.labelled import Label
from connectors.labelled.labels import COUNTS_QUIET, EITHER, LEAVER
from tests.evaluation import slow_score
from tidegauge.evaluation.episodes import Debit, Episode
from tidegauge.evaluation.score import LabelledWorld, OccasionScore, quantile, score
from tidegauge.evaluation.steps import ScoredStep

ZONE, FIRST, DAYS = "Asia/Shanghai", 20_454, 59  # January and February 2026
MINUTE, DAY = 60_000, 86_400_000


def at(day: int, minute: int = 0) -> int:
    """An instant: minutes after the beginning of a day, counted from the first."""
    return (FIRST + day) * DAY - 8 * 3_600_000 + minute * MINUTE


def step(
    case: str, what: str, when: int, customer: str = "L", kind: str = "outflow", by_close: bool = False
) -> ScoredStep:
    day = slow_score.day(when)
    return ScoredStep(case, customer, kind, what, not by_close, "high", when, day, 1, 1, 1, "r", None, "cause")


def leaver(*debits: tuple[int, int], customer: str = "L") -> Episode:
    """An episode of (instant, amount) that sum up to its amount."""
    whole, days = sum(amount for _, amount in debits), [slow_score.day(when) for when, _ in debits]
    label = Label(customer, "steps", days[0], days[-1], whole, days[-1], LEAVER)
    return Episode(label, tuple(Debit(when, amount, f"{when}") for when, amount in debits))


def world(*episodes: Episode, quiet: int = 0, either: int = 0) -> LabelledWorld:
    stay = [Label(f"Q{n}", "quiet way", None, None, None, None, COUNTS_QUIET) for n in range(quiet)]
    stay += [Label(f"E{n}", "either way", None, None, None, None, EITHER) for n in range(either)]
    labels = [*(episode.label for episode in episodes), *stay]
    return LabelledWorld(labels, list(episodes), range(FIRST, FIRST + DAYS), {}, ZONE)


FOUR = leaver((at(5, 600), 20), (at(9, 600), 25), (at(12, 600), 30), (at(20, 600), 25))


@pytest.mark.parametrize(
    ("told", "share", "half", "most"),
    [
        (at(5, 600), 2_000, True, True),  # with the first posting
        (at(9, 600), 4_500, True, True),
        (at(12, 600), 7_500, True, True),  # with the step that crosses 50 %
        (at(15), 7_500, True, True),  # before the next one
        (at(20, 600), 10_000, False, False),
        (at(40), 10_000, False, False),  # late is found, but not in time
    ],
)
def test_when_a_leaver_is_found(told: int, share: int, half: bool, most: bool) -> None:
    """By what was out with the posting that is told of, and before it."""
    (found,) = score(world(FOUR), [step("a", "raised", told)]).leavers.findings
    assert (found.told, found.told_bp, found.before_half, found.before_most) == (told, share, half, most)
    assert (found.in_one_go, found.first_bp, found.steps) == (False, 2_000, 4)


def test_who_was_told_of_before_he_left_is_not_found_by_that() -> None:
    """A telling before the first posting is another matter; a case that deepens afterwards finds him."""
    early = [step("a", "raised", at(2))]
    assert score(world(FOUR), early).leavers.findings[0].told is None
    deeper = [*early, step("a", "deepened", at(9, 600))]
    assert score(world(FOUR), deeper).leavers.findings[0].told == at(9, 600)


def test_in_one_go_is_told_with_the_posting_or_not_in_time() -> None:
    """80 % or more with the first posting: nothing before it can be asked for."""
    gone = leaver((at(5, 600), 90), (at(6), 10))
    (with_it,) = score(world(gone), [step("a", "raised", at(5, 600))]).leavers.findings
    (after,) = score(world(gone), [step("a", "raised", at(6))]).leavers.findings
    assert (with_it.in_one_go, with_it.before_half, with_it.before_most) == (True, True, True)
    assert (after.before_half, after.before_most) == (False, False)


def test_cases_of_an_episode() -> None:
    """Those that open from its first day to a week behind its last; each telling of one case is one case."""
    steps = [step("a", "raised", at(5, 600)), step("a", "deepened", at(9, 600)), step("b", "raised", at(27)),
             step("c", "raised", at(28)), step("d", "raised", at(4))]  # fmt: skip
    assert score(world(FOUR), steps).leavers.findings[0].cases == 2


def test_two_episodes_are_found_each_by_itself() -> None:
    """A telling counts for the episode that has begun last."""
    second = leaver((at(30), 50), (at(31), 50))
    found = score(world(FOUR, second), [step("a", "raised", at(31))]).leavers.findings
    assert [one.told for one in found] == [None, at(31)]


@pytest.mark.parametrize(
    ("steps", "false", "blinks", "still"),
    [
        ([], 0, 0, 0),
        ([("raised", 0)], 1, 0, 1),
        ([("raised", 0), ("retracted", 30)], 0, 1, 0),
        ([("raised", 0), ("retracted", 31)], 1, 0, 0),
        ([("raised", 0), ("corrected", 5)], 1, 0, 1),
        ([("raised", 0), ("resolved", 10)], 0, 1, 0),
        ([("corrected", 0)], 0, 0, 0),  # never told
    ],
)
def test_what_is_false(steps: list[tuple[str, int]], false: int, blinks: int, still: int) -> None:
    """A quiet customer's case that was told and is open 30 booked minutes later."""
    found = score(world(quiet=2), [step("a", what, at(9, 600 + minute), "Q0") for what, minute in steps])
    assert (found.quiet.false, found.quiet.blinks, found.quiet.open_at_end) == (false, blinks, still)
    assert found.a_month(found.quiet.false, 2) == Fraction(false * 1000, 2) / Fraction(DAYS * 48, 1461)


def test_either_is_counted_apart() -> None:
    """Of whom nobody can know: neither found nor false; and other kinds of cases are no noise of outflow."""
    steps = [step("a", "raised", at(9), "E0"), step("b", "raised", at(9), "Q0", kind="upgrade_near"),
             step("c", "raised", at(9), "stranger")]  # fmt: skip
    found = score(world(quiet=1, either=1), steps)
    assert (found.quiet.told, found.leavers.findings) == (0, [])
    assert found.occasions == {"upgrade_near": OccasionScore(0, 0, 1)}
    assert [(one.kind, one.told) for one in found.kinds] == [("quiet way", 0), ("either way", 1)]


def test_other_kinds_are_found_on_the_days_of_their_labels() -> None:
    """From the first to the last day of a label, or to the end of the world; and not by an alert of another kind."""
    labels = [
        Label(f"Q{n}", "break", FIRST + 9, last, None, None, COUNTS_QUIET) for n, last in enumerate([FIRST + 10] * 4)
    ]
    labels.append(Label("Q4", "card_expiry", FIRST + 9, None, None, None, COUNTS_QUIET))
    steps = [step("a", "raised", at(9), "Q0", kind="break"), step("b", "raised", at(11), "Q1", kind="break"),
             step("c", "raised", at(10), "Q2", kind="card_expiry"),
             step("d", "raised", at(50), "Q4", kind="card_expiry")]  # fmt: skip
    found = score(LabelledWorld(labels, [], range(FIRST, FIRST + DAYS), {}, ZONE), steps)
    assert found.occasions == {"card_expiry": OccasionScore(1, 1, 1), "break": OccasionScore(4, 1, 0)}


def test_lines_of_a_day() -> None:
    """Raised, deepened and the all-clear; what a close tells is read the next morning; corrections are read by nobody."""
    steps = [step("a", "raised", at(9), "Q0"), step("a", "deepened", at(9, 5), "Q0"), step("a", "corrected", at(9, 6), "Q0"),
             step("a", "retracted", at(9, 8), "Q0"), step("b", "raised", at(31) - 1, "Q0", "upgrade_near", by_close=True),
             step("c", "raised", at(31), "Q0")]  # fmt: skip
    lines = score(world(quiet=1), steps).lines
    assert (lines.median, lines.most, lines.after_close) == (0, 3, 2)


def test_managers_have_400_customers() -> None:
    """1,000 customers are those of two managers (400 each is 2.5); the busy half tells how they are cut."""
    steps = [step(f"c{n}", "raised", at(9), f"Q{n:04}") for n in range(500)]
    labels = [Label(f"Q{n:04}", "q", None, None, None, None, COUNTS_QUIET) for n in range(1000)]
    one = LabelledWorld(labels, [], range(FIRST, FIRST + DAYS), {}, ZONE)
    assert score(one, steps).lines.most == 500
    by_manager = one._replace(managers={f"Q{n:04}": f"R{n % 2}" for n in range(1000)})
    assert score(by_manager, steps).lines.most == 250


def test_quantiles() -> None:
    """The least value that so many per cent are not above."""
    assert [quantile([1, 2, 3, 4], q) for q in (25, 50, 51, 95, 100)] == [1, 2, 3, 4, 4]
    assert quantile([], 50) == 0


_INSTANTS = st.integers(0, DAYS * 24 * 4 - 1).map(lambda quarter: at(0, quarter * 15))
_STEPS = st.lists(
    st.tuples(
        st.sampled_from(["L", "M", "Q0", "Q1"]), st.integers(0, 2),
        st.sampled_from(["raised", "raised", "deepened", "retracted", "corrected", "expired"]), _INSTANTS, st.booleans(),
    ),
    max_size=25,
)  # fmt: skip
_DEBITS = st.lists(st.tuples(_INSTANTS, st.integers(1, 50)), min_size=1, max_size=5, unique_by=lambda one: one[0])


@given(_STEPS, _DEBITS, _DEBITS)
@settings(max_examples=200, deadline=None)
def test_score_is_its_definition(drawn: list, one: list, other: list) -> None:
    """On any steps and episodes."""
    steps = [
        step(f"{who}{n}", what, when, who, by_close=by) for who, n, what, when, by in sorted(drawn, key=lambda d: d[3])
    ]
    there = world(leaver(*sorted(one)), leaver(*sorted(other), customer="M"), quiet=2)
    found = score(there, steps)
    assert (found.quiet.false, found.quiet.blinks) == slow_score.false_and_blinks(there, steps)
    assert [
        (f.label.customer_id, f.told, f.before_half, f.before_most, f.cases) for f in found.leavers.findings
    ] == slow_score.in_time(there, steps)
    every = slow_score.lines(there, steps, [["L", "M", "Q0", "Q1"]])
    assert (found.lines.most, found.lines.median, found.lines.p95) == (every[-1], every[29], every[57 - 1])
