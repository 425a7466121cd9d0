"""The days of reviews; cards that end and reviews that come are said once, so long before as the pack says."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.lifecycle.state import Card, Close, begin, flags, next_review, review_day
from policies.lifecycle.transitions import close, review_due
from policies.model.provisions import Review
from streams.calendar import month_start
from tests.policies.test_lifecycle import CLASSES, MONTH_END, day, does, lived


def reminded(said):
    """(kind, day, first day without it) of reminders."""
    return [(one.kind, one.day, one.effective) for one in said if one.kind in ("renewal-due", "review-due")]


def test_a_card_that_ends_soon_is_said_once():
    """R-180: on the first close of its last thirty days, and again only for the card that takes its place."""
    policy = CLASSES["wealth-card", "personal"]
    policy = replace(policy, cards=replace(policy.cards, reminder_days=30))
    held = replace(begin(policy), official="vip", measured="vip", card=Card("wealth", 0, day("2026-02-28")))
    steps = [("2026-01-29", "vip"), ("2026-01-30", "vip"), ("2026-02-15", "vip")]
    state, said = lived(policy, *steps, state=held)
    assert reminded(said) == [("renewal-due", day("2026-01-30"), day("2026-03-01"))]
    assert next(one.evidence["last_day"] for one in said if one.kind == "renewal-due") == "2026-02-28"
    assert "renewal-due" in flags(policy, state, day("2026-02-15"))
    assert "renewal-due" not in flags(policy, state, day("2026-01-29"))
    renewed = replace(state, card=Card("wealth", day("2026-02-16"), day("2028-02-15")))
    assert reminded(lived(policy, ("2026-02-28", "vip"), ("2028-01-31", "vip"), state=renewed)[1]) == [
        ("renewal-due", day("2028-01-31"), day("2028-02-16"))
    ]
    silent = replace(policy, cards=replace(policy.cards, reminder_days=0))
    assert reminded(lived(silent, *steps, state=held)[1]) == []


def test_a_review_that_is_near_is_said_once():
    """R-110: within thirty days before the next review, though a source is stale; the review itself says the rest."""
    policy = CLASSES["medal-annual", "personal"]
    state, said = lived(policy, does("record", "2026-01-15", record="application"), ("2026-01-31", "silver"))
    assert reminded(said) == []
    stale = Close(day("2027-01-02"), MONTH_END, "silver", stale=("core",))
    near, said = close(policy, lived(policy, ("2026-12-31", "silver"), state=state)[0], stale)
    assert reminded(said) == [("review-due", day("2027-01-02"), day("2027-01-31"))]
    assert "review-due" in flags(policy, near, day("2027-01-02"))
    after, said = lived(policy, ("2027-01-03", "silver"), ("2027-01-31", "silver"), state=near)
    assert reminded(said) == [] and [one.kind for one in said] == ["review"]
    assert "review-due" not in flags(policy, after, day("2027-01-31"))
    assert reminded(lived(policy, ("2027-01-31", "silver"), state=state)[1]) == []  # no close came before: it is made


REVIEWS = [
    ("2025-03-31", 6, "2025-09-30"), ("2025-09-30", 6, "2026-03-31"), ("2024-02-29", 12, "2025-02-28"),
    ("2025-02-28", 12, "2026-02-28"), ("2023-02-28", 12, "2024-02-29"), ("2026-01-31", 1, "2026-02-28"),
    ("2026-01-30", 1, "2026-02-28"), ("2026-01-15", 12, "2027-01-15"), ("2025-11-30", 3, "2026-02-28"),
]  # fmt: skip


@pytest.mark.parametrize(("reviewed", "months", "coming"), REVIEWS)
def test_the_day_of_a_review(reviewed, months, coming):
    """By the same day, else the month's last; from month end to month end (cards go by C-38, counts by C-40)."""
    assert review_day(day(reviewed), months) == day(coming)


@given(st.integers(2000 * 12, 2099 * 12), st.integers(1, 60))
def test_reviews_go_from_month_end_to_month_end(month, months):
    """Decided at a month's close, a customer is reviewed at the close so many months later, and at none before."""
    policy = replace(CLASSES["medal-annual", "personal"], review=Review(months))
    ends = [int(month_start(month + k + 1)) - 1 for k in range(months + 1)]
    state = replace(begin(policy), records=frozenset(policy.status.requires))
    state, _ = close(policy, state, Close(ends[0], MONTH_END, "silver"))
    assert state.reviewed_on == ends[0]
    assert [review_due(policy, state, end) for end in ends] == [False] * months + [True]
    assert next_review(policy, state) == ends[-1]
