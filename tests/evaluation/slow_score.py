"""The score once more, by definition: every question asked of all steps again, with nothing kept in between."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise

from connectors.labelled.labels import COUNTS_QUIET, LEAVER
from tidegauge.evaluation.score import LabelledWorld
from tidegauge.evaluation.steps import ScoredStep

DAY_MS, ZONE_MS, HALF_HOUR_MS = 86_400_000, 8 * 3_600_000, 1_800_000
OVER = ("retracted", "expired", "resolved", "closed")


def day(ms: int) -> int:
    return (ms + ZONE_MS) // DAY_MS


def life(steps: list[ScoredStep], case_id: str) -> list[ScoredStep]:
    return [step for step in steps if step.case_id == case_id]


def opened(steps: list[ScoredStep], customer: str) -> list[list[ScoredStep]]:
    """The outflow cases of a customer, each as its steps from the telling on."""
    ids = dict.fromkeys(s.case_id for s in steps if s.customer_id == customer and s.kind == "outflow")
    lives = [life(steps, one) for one in ids]
    return [
        one[next(i for i, s in enumerate(one) if s.step == "raised") :]
        for one in lives
        if any(s.step == "raised" for s in one)
    ]


def ends(case: list[ScoredStep]) -> int | None:
    """When a case ended for good."""
    found = None
    for step in case:
        if step.step in OVER:
            found = step.at
        elif step.step in ("raised", "deepened"):
            found = None
    return found


def false_and_blinks(world: LabelledWorld, steps: list[ScoredStep]) -> tuple[int, int]:
    false = blinks = 0
    for customer in {label.customer_id for label in world.labels if label.counts_as == COUNTS_QUIET}:
        for case in opened(steps, customer):
            end = ends(case)
            if end is not None and end <= case[0].at + HALF_HOUR_MS:
                blinks += 1
            else:
                false += 1
    return false, blinks


def in_time(world: LabelledWorld, steps: list[ScoredStep]) -> list[tuple[str, int | None, bool, bool, int]]:
    """(customer, instant, by half, before most, cases) of each episode."""
    out = []
    for episode in world.episodes:
        label, debits = episode.label, episode.debits
        later = [e.debits[0].at for e in world.episodes
                 if e.label.customer_id == label.customer_id and e.debits and e.debits[0].at > debits[0].at]  # fmt: skip
        told = [s.at for case in opened(steps, label.customer_id) for s in case
                if s.step in ("raised", "deepened") and s.at >= debits[0].at and all(s.at < at for at in later)]  # fmt: skip
        cases = sum(
            label.first_day <= day(case[0].at) <= label.last_day + 7 for case in opened(steps, label.customer_id)
        )
        if not told:
            out.append((label.customer_id, None, False, False, cases))
            continue
        first, whole = min(told), label.amount_minor
        gone = [debit for debit in debits if debit.at <= first]
        before = Fraction(sum(debit.amount for debit in gone[:-1]), whole)
        now = Fraction(sum(debit.amount for debit in gone), whole)
        alone = Fraction(debits[0].amount, whole) >= Fraction(8, 10) and len(gone) == 1
        out.append((label.customer_id, first, before < Fraction(1, 2), now < Fraction(8, 10) or alone, cases))
    return out


def lines(world: LabelledWorld, steps: list[ScoredStep], desks: list[list[str]]) -> list[int]:
    """Told lines of every desk and day, in order of size."""
    days = range(world.days[0], world.days[-1] + 2)
    return sorted(
        sum(
            s.customer_id in desk and s.step in ("raised", "deepened", "retracted")
            and day(s.at) + (0 if s.provisional else 1) == d
            for s in steps
        )
        for desk in desks for d in days
    )  # fmt: skip


def leavers(world: LabelledWorld) -> int:
    return sum(label.counts_as == LEAVER for label in world.labels)


def apart(instants: list[int]) -> bool:
    return all(a <= b for a, b in pairwise(instants))
