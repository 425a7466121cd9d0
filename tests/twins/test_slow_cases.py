"""The slow twin of alert cases on stories worked out by hand (docs/alerts.md#examples)."""

import pytest

from tests.examples.cases import JobCases, plain
from tests.twins.case_terms import SlowRule, SlowScheme, SlowStep
from tests.twins.cases import SlowCases
from tests.twins.definitions import date_of
from tests.twins.events import day, posting, rate, snapshot

TIERS = ("ordinary", "gold", "platinum", "diamond", "private")
SINGLE = SlowRule("single", 0, "high", absolute=dict.fromkeys(TIERS, 10_000_000))
WEEK = SlowRule("week", 7, "medium", share_bp=dict.fromkeys(TIERS, 2_500), floor=5_000_000, cool_down=7)
QUARTER = SlowRule("quarter", 90, "medium", share_bp=dict.fromkeys(TIERS, 2_000), floor=5_000_000, cool_down=30)
SCHEME = SlowScheme((SINGLE, WEEK, QUARTER))


def told(steps: list[SlowStep]) -> list[tuple[str, str, int]]:
    """(step, day, net) of each."""
    return [(s.kind, _iso(s.day), s.net) for s in steps]


def _iso(number: int) -> str:
    return date_of(number).isoformat()


def bank(*steps, scheme=SCHEME, holding=100_000_000, minimums=()) -> SlowCases:
    """After an opening balance of 1,000,000.00 on 1 January 2024, events and closes up to ISO dates.

    The standing job tells the same as the twin, which takes the tiers that the job publishes where there are `minimums`.
    """
    feed, last = [posting(1, holding, "2024-01-01")], day("2024-01-01")
    for step in steps:
        if isinstance(step, str):
            feed += range(last, day(step) + 1)
            last = day(step) + 1
        else:
            feed.append(step)
    job = JobCases(scheme, minimums)
    cases = SlowCases(scheme, tier=job.highest_tier) if minimums else SlowCases(scheme)
    for step in feed:
        cases.feed([step])
        job.feed([step])
    assert [plain(step) for step in job.steps] == [plain(step) for step in cases.steps]
    return cases


def test_in_on_friday_and_out_on_tuesday_is_no_loss():
    """300,000.00 come on Friday 12 April and leave on Tuesday 16 April: nothing is told."""
    cases = bank(
        "2024-04-11", posting(2, 30_000_000, "2024-04-12"), "2024-04-15", posting(3, -30_000_000, "2024-04-16"),
        "2024-04-20",
    )  # fmt: skip
    assert cases.steps == []


@pytest.mark.slow
def test_a_window_that_begins_between_the_two_sees_no_loss():
    """The week of Saturday the 20th begins behind the Friday on which the money came; from before it, 60,000.00 leave."""
    steps = (
        "2024-04-11", posting(2, 30_000_000, "2024-04-12"), "2024-04-15", posting(3, -30_000_000, "2024-04-16"),
        "2024-04-19", posting(4, -6_000_000, "2024-04-20"), "2024-04-20",
    )  # fmt: skip
    assert bank(*steps).steps == []
    came_too_early = ("2024-04-10", posting(2, 30_000_000, "2024-04-11"), *steps[2:])
    week = SlowScheme((WEEK,))
    assert bank(*came_too_early, scheme=week).steps == []  # on the 20th the week may count from the 9th
    later = (*came_too_early[:-2], "2024-04-21", posting(4, -6_000_000, "2024-04-22"), "2024-04-22")
    assert told(bank(*later, scheme=week).steps) == [
        ("raised", "2024-04-22", 36_000_000)
    ]  # from the 11th at the earliest


def test_no_window_reaches_behind_the_end_of_a_case():
    """What came in on the day on which the last case was resolved doesn't excuse what leaves a week later."""
    cases = bank("2024-04-08", posting(2, -30_000_000, "2024-04-09"), "2024-04-09", scheme=SlowScheme((WEEK,)))
    cases.resolve("C1", day("2024-04-10"))
    cases.feed([posting(3, 5_000_000, "2024-04-10"), *range(day("2024-04-10"), day("2024-04-17"))])
    cases.add(posting(4, -20_000_000, "2024-04-17"))
    assert told(cases.steps)[2:] == [("raised", "2024-04-17", 20_000_000)]


@pytest.mark.slow
def test_wages_a_week_after_the_money_count_as_loss():
    """400,000.00 come on 5 April and leave on the 12th: a single posting; on the 17th the week sees it leave too."""
    money = ("2024-04-04", posting(2, 40_000_000, "2024-04-05"))
    cases = bank(*money, "2024-04-11", posting(3, -40_000_000, "2024-04-12"), "2024-04-12")
    assert told(cases.steps) == [("raised", "2024-04-12", 40_000_000)]
    assert (cases.steps[0].rules, cases.steps[0].reference) == (("single",), 140_000_000)
    cases = bank(*money, "2024-04-16", posting(3, -40_000_000, "2024-04-17"), "2024-04-17")
    assert told(cases.steps) == [("raised", "2024-04-17", 40_000_000)]
    assert (cases.steps[0].rules, cases.steps[0].reference) == (("single", "week"), 140_000_000)


def test_reversed_after_twenty_minutes():
    """Told at 10:00 with the posting, taken back at 10:20, nothing open and nothing at the close."""
    cases = bank(
        "2024-04-11",
        posting(2, -30_000_000, "2024-04-12", clock="10:00:00"),
        posting(3, 30_000_000, "2024-04-12", clock="10:20:00", reverses="C1-A1-core-2"),
        "2024-04-13",
    )
    assert told(cases.steps) == [("raised", "2024-04-12", 30_000_000), ("retracted", "2024-04-12", 0)]
    assert cases.steps[0].provisional
    assert cases.open_cases() == {}


def test_reversed_after_three_days_beside_another_outflow():
    """300,000.00 and 200,000.00 leave on the 9th, the first comes back on the 12th: a loss of 200,000.00 stays."""
    cases = bank(
        "2024-04-08", posting(2, -30_000_000, "2024-04-09"), posting(3, -20_000_000, "2024-04-09"), "2024-04-11",
        posting(4, 30_000_000, "2024-04-09", "2024-04-12", reverses="C1-A1-core-2"), "2024-04-12",
    )  # fmt: skip
    assert told(cases.steps) == [
        ("raised", "2024-04-09", 30_000_000), ("deepened", "2024-04-09", 50_000_000),
        ("corrected", "2024-04-12", 20_000_000),
    ]  # fmt: skip
    assert cases.open_cases()["C1"].net == 20_000_000


def test_back_after_five_days():
    """300,000.00 leave and 280,000.00 come back five days later: less than a quarter is out, it is taken back."""
    cases = bank(
        "2024-04-08", posting(2, -30_000_000, "2024-04-09"), "2024-04-13", posting(3, 28_000_000, "2024-04-14"),
        "2024-04-14",
    )  # fmt: skip
    assert told(cases.steps) == [("raised", "2024-04-09", 30_000_000), ("retracted", "2024-04-14", 2_000_000)]


@pytest.mark.slow
@pytest.mark.parametrize(("settle_days", "days"), [(3, 32), (0, 35), (7, 28)])
def test_reversed_after_weeks(settle_days: int, days: int):
    """Up to 35 days less those of settling: both are held until the day is settled. A day later the case stays."""
    scheme = SlowScheme((SINGLE,), settle_days=settle_days)
    debit = posting(2, -30_000_000, "2024-04-09")
    for after, left in ((days, []), (days + 1, ["C1"])):
        on = day("2024-04-09") + after
        back = posting(3, 30_000_000, "2024-04-09", on, reverses="C1-A1-core-2")
        cases = bank("2024-04-08", debit, _iso(on - 1), back, _iso(on + settle_days), scheme=scheme)
        assert list(cases.open_cases()) == left
    assert told(cases.steps) == [("raised", "2024-04-09", 30_000_000)]


def test_money_that_comes_after_the_days_of_return_takes_nothing_back():
    """On the 16th day after the peak it is other money."""
    cases = bank(
        "2024-04-08", posting(2, -30_000_000, "2024-04-09"), "2024-04-24", posting(3, 30_000_000, "2024-04-25"),
        "2024-04-26",
    )  # fmt: skip
    assert told(cases.steps) == [("raised", "2024-04-09", 30_000_000)]


def test_a_slow_leaver_with_a_salary():
    """Every 12 days 80,000.00 leave and 10,000.00 of salary come: found when 210,000.00 net are out of 1,000,000.00."""
    steps, seq, at = ["2024-04-01"], 2, day("2024-04-02")
    for _ in range(4):
        steps += [posting(seq, -8_000_000, at), posting(seq + 1, 1_000_000, at + 3), _iso(at + 11)]
        seq, at = seq + 2, at + 12
    cases = bank(*steps)
    assert told(cases.steps)[0] == ("raised", "2024-04-26", 22_000_000)
    assert cases.steps[0].rules == ("quarter",)
    assert cases.open_cases()["C1"].net > 22_000_000


def test_products_redeemed_before_the_exit():
    """The cash leg of a redemption states no nature, its product leg is a snapshot: it is no funding, the exit a loss."""
    product = {"account": "W", "asset_class": "wealth"}
    cases = bank(
        snapshot(50_000_000, "2024-03-01", opened="2024-01-01", **product), "2024-04-08",
        posting(2, 50_000_000, "2024-04-09", nature="unknown"), snapshot(0, "2024-04-09", **product), "2024-04-09",
        posting(3, -90_000_000, "2024-04-10"), "2024-04-10", holding=50_000_000,
    )  # fmt: skip
    assert told(cases.steps) == [("raised", "2024-04-10", 90_000_000)]
    assert cases.steps[0].reference == 100_000_000


def test_a_late_debit_booked_yesterday():
    """The close of the 9th has gone by; told with the posting, opened on the 9th, and so settled."""
    cases = bank("2024-04-09", posting(2, -30_000_000, "2024-04-09"), "2024-04-10")
    assert told(cases.steps) == [("raised", "2024-04-09", 30_000_000)]
    assert cases.open_cases()["C1"].opened == day("2024-04-09")


def test_a_debit_later_than_the_bound_counts_from_the_close_it_arrives_in():
    """Booked on the 1st, read after the close of the 9th: as if it were of the 10th."""
    cases = bank("2024-04-09", posting(2, -30_000_000, "2024-04-01"), "2024-04-10")
    assert told(cases.steps) == [("raised", "2024-04-10", 30_000_000)]


def own_transfer(first: int, second: int | None, clocks=("10:00:00", "10:20:00")):
    """A debit and its credit on another account, neither with a nature; in which order they are read."""
    debit = posting(2, -30_000_000, "2024-04-09", clock=clocks[0], nature="unknown")
    credit = posting(1, 30_000_000, "2024-04-09", clock=clocks[1], nature="unknown", account="A2")
    return [(debit, credit)[i] for i in (first, second) if i is not None]


@pytest.mark.slow
def test_an_own_transfer_of_unknown_nature_whose_second_leg_is_first_late_or_never():
    """First: nothing is told. Late: told and taken back. Never, or after 30 minutes: told."""
    assert bank("2024-04-08", *own_transfer(1, 0), "2024-04-09").steps == []
    late = bank("2024-04-08", *own_transfer(0, 1), "2024-04-09")
    assert told(late.steps) == [("raised", "2024-04-09", 30_000_000), ("retracted", "2024-04-09", 0)]
    assert late.open_cases() == {}
    never = bank("2024-04-08", *own_transfer(0, None), "2024-04-09")
    assert told(never.steps) == [("raised", "2024-04-09", 30_000_000)]
    too_long = bank("2024-04-08", *own_transfer(0, 1, ("10:00:00", "10:31:00")), "2024-04-09")
    assert told(too_long.steps) == [("raised", "2024-04-09", 30_000_000)]


@pytest.mark.slow
def test_who_moves_his_own_money_is_not_told_of_before_the_second_leg_can_come():
    """A debit that may be a leg waits 30 minutes, for a credit or a close, where postings have come on another account."""
    savings = posting(1, 10_000_000, "2024-01-01", account="A2")
    unknown = {"nature": "unknown", "clock": "10:00:00"}
    debit = posting(2, -25_000_000, "2024-04-12", **unknown)
    credit = posting(2, 25_000_000, "2024-04-12", **unknown | {"clock": "10:25:00"}, account="A2")
    assert bank(savings, "2024-04-11", debit, credit, "2024-04-12").steps == []
    never = bank(savings, "2024-04-11", debit, "2024-04-12")
    assert [(step.kind, step.provisional) for step in never.steps] == [("raised", False)]
    later = bank(savings, "2024-04-11", debit, posting(3, -100, "2024-04-12", clock="10:31:00"), "2024-04-12")
    assert [(step.kind, step.provisional, step.net) for step in later.steps[:1]] == [("raised", True, 25_000_100)]


@pytest.mark.slow
def test_most_of_all_money_is_told_at_once_unless_the_account_has_sent_such_legs_before():
    """733,333.34 of 1,100,000.00 at once, or in two debits; after a leg of that account it waits, whatever it is."""
    savings = posting(1, 10_000_000, "2024-01-01", account="A2")
    unknown = {"nature": "unknown", "clock": "10:00:00"}
    most = bank(savings, "2024-04-11", posting(2, -73_333_334, "2024-04-12", **unknown))
    assert told(most.steps) == [("raised", "2024-04-12", 73_333_334)]
    less = bank(savings, "2024-04-11", posting(2, -73_333_333, "2024-04-12", **unknown))
    assert less.steps == []
    more = less.add(posting(3, -1, "2024-04-12", **unknown))
    assert told(more) == [("raised", "2024-04-12", 73_333_334)]
    moved = {"nature": "unknown", "value": "2024-04-09"}
    sent = posting(2, -20_000_000, **moved), posting(2, 20_000_000, account="A2", **moved)
    before = bank(savings, "2024-04-08", *sent, "2024-04-11", posting(3, -75_000_000, "2024-04-12", **unknown))
    assert before.steps == []
    assert told(before.close(day("2024-04-12"))) == [("raised", "2024-04-12", 75_000_000)]
    got = posting(2, 5_000_000, **moved), posting(2, -5_000_000, account="A2", **moved)
    other = bank(savings, "2024-04-08", *got, "2024-04-11", posting(3, -75_000_000, "2024-04-12", **unknown))
    assert told(other.steps) == [("raised", "2024-04-12", 75_000_000)]


@pytest.mark.slow
def test_who_empties_an_account_is_told_of_at_once():
    """800,000.00 of the 1,000,000.00 of his account, in one debit or two, though as much again lies in a product."""
    product = posting(1, 100_000_000, "2024-01-01", account="W", asset_class="wealth", nature="own_transfer")
    unknown = {"nature": "unknown", "clock": "10:00:00"}
    most = bank(product, "2024-04-11", posting(2, -80_000_000, "2024-04-12", **unknown))
    assert told(most.steps) == [("raised", "2024-04-12", 80_000_000)]
    less = bank(product, "2024-04-11", posting(2, -79_999_999, "2024-04-12", **unknown))
    assert less.steps == []
    assert told(less.add(posting(3, -1, "2024-04-12", **unknown))) == [("raised", "2024-04-12", 80_000_000)]
    before = posting(2, 1, "2024-04-12", clock="09:59:00")
    came = bank(product, "2024-04-11", before, posting(3, -80_000_000, "2024-04-12", **unknown))
    assert told(came.steps) == [("raised", "2024-04-12", 79_999_999)], "what it held on the day before counts"


@pytest.mark.slow
def test_legs_across_midnight_stay_a_pair_when_one_is_folded():
    """At 23:50 and 00:05: a loss for a day, none from the next one on, and none when only its second leg is still held."""
    legs = (
        posting(2, -30_000_000, "2024-04-09", clock="23:50:00", nature="unknown"), "2024-04-09",
        posting(1, 30_000_000, "2024-04-10", clock="00:05:00", nature="unknown", account="A2"),
    )  # fmt: skip
    cases = bank("2024-04-08", *legs, "2024-04-11")
    assert told(cases.steps) == [("raised", "2024-04-09", 30_000_000), ("retracted", "2024-04-10", 0)]
    # After close(05-15) the first leg has left the 35 days that are held, the second has not.
    for last in ("2024-05-14", "2024-05-15", "2024-05-16", "2024-05-25"):
        later = bank("2024-04-08", *legs, last, posting(3, -17_000_000, day(last) + 1), scheme=SlowScheme((QUARTER,)))
        assert told(later.steps)[2:] == [], last
        more = bank("2024-04-08", *legs, last, posting(3, -21_000_000, day(last) + 1), scheme=SlowScheme((QUARTER,)))
        assert told(more.steps)[2:] == [("raised", _iso(day(last) + 1), 21_000_000)], last


@pytest.mark.slow
def test_a_named_outside_bank_and_codes_that_a_pack_maps():
    """Unknown and to an outside bank is external; to our own name it may be a leg; to the group's it is no flow."""
    scheme = SlowScheme((SINGLE,), internal_banks=frozenset({"GROUP"}), own_banks=frozenset({"OWN"}))
    out = {"value": "2024-04-09", "nature": "unknown"}
    outside = bank("2024-04-08", posting(2, -30_000_000, counterparty_bank="OTHER", **out), scheme=scheme)
    assert told(outside.steps) == [("raised", "2024-04-09", 30_000_000)]
    group = bank("2024-04-08", posting(2, -30_000_000, counterparty_bank="GROUP", **out), scheme=scheme)
    assert group.steps == []
    own = bank("2024-04-08", posting(2, -30_000_000, counterparty_bank="OWN", **out), scheme=scheme)
    assert told(own.steps) == [("raised", "2024-04-09", 30_000_000)]


def test_resolved_and_armed_again():
    """Resolved on the 10th; what leaves after that is looked at alone, and opens another case when it is enough."""
    cases = bank("2024-04-08", posting(2, -30_000_000, "2024-04-09"), "2024-04-09")
    cases.resolve("C1", day("2024-04-10"))
    cases.close(day("2024-04-10"))
    cases.add(posting(3, -9_000_000, "2024-04-11"))
    cases.close(day("2024-04-11"))
    assert told(cases.steps) == [("raised", "2024-04-09", 30_000_000), ("resolved", "2024-04-10", 30_000_000)]
    cases.add(posting(4, -11_000_000, "2024-04-12"))
    assert told(cases.steps)[2:] == [("raised", "2024-04-12", 20_000_000)]


def test_fallen_a_tier_while_leaving():
    """Private until 10 April, when a fund falls, gold from the 11th: thresholds are those of private while the window sees it."""
    rule = SlowRule("week", 7, absolute={"private": 5_000_000, "gold": 50_000_000})
    fund = {"account": "F", "asset_class": "fund"}
    asked = {"scheme": SlowScheme((rule,)), "minimums": ("500000.00", "1200000.00", "1300000.00", "1500000.00")}
    fallen = (
        snapshot(100_000_000, "2024-03-01", opened="2024-01-01", **fund), "2024-04-09", snapshot(0, "2024-04-10", **fund),
    )  # fmt: skip
    for left, expected in (("2024-04-12", [("raised", "2024-04-12", 5_000_000)]), ("2024-04-19", [])):
        cases = bank(*fallen, _iso(day(left) - 1), posting(2, -5_000_000, left), left, **asked)
        assert told(cases.steps) == expected


def test_foreign_currency_on_a_day_of_a_moving_rate():
    """20,000.00 dollars at 7.10 on the 9th and as many at 7.20 on the 10th are 286,000.00; the first stays at 7.10."""
    usd = {"account": "USD", "currency": "USD"}
    cases = bank(
        rate("USD", 7_000_000, "2024-01-01"), posting(1, 10_000_000, "2024-01-01", **usd),
        "2024-04-08", rate("USD", 7_100_000, "2024-04-09"), posting(2, -2_000_000, "2024-04-09", **usd), "2024-04-09",
        rate("USD", 7_200_000, "2024-04-10"), posting(3, -2_000_000, "2024-04-10", **usd), "2024-04-10",
    )  # fmt: skip
    assert told(cases.steps) == [("raised", "2024-04-09", 14_200_000), ("deepened", "2024-04-10", 28_600_000)]


@pytest.mark.slow
def test_drip_and_one_bank():
    """Eight debits of at most 5,000.00 in thirty days; and 60,000.00 to one bank, whatever came in."""
    drip = SlowRule("drip", 30, absolute=dict.fromkeys(TIERS, 3_000_000), debits=8, each_max=500_000)
    many = bank("2024-04-08", *(posting(k, -400_000, "2024-04-09") for k in range(2, 10)), scheme=SlowScheme((drip,)))
    assert told(many.steps) == [("raised", "2024-04-09", 3_200_000)]
    bank_rule = SlowRule("one-bank", 30, absolute=dict.fromkeys(TIERS, 6_000_000), one_bank=True)
    one = bank(
        "2024-04-08", posting(2, -3_000_000, "2024-04-09", counterparty_bank="X"),
        posting(3, 9_000_000, "2024-04-09"), posting(4, -3_000_000, "2024-04-10", counterparty_bank="X"),
        posting(5, -3_000_000, "2024-04-10", counterparty_bank="Y"), scheme=SlowScheme((bank_rule,)),
    )  # fmt: skip
    assert told(one.steps) == [("raised", "2024-04-10", 6_000_000), ("deepened", "2024-04-10", 9_000_000)]


def test_a_case_expires():
    """No new peak for 90 days."""
    cases = bank("2024-04-08", posting(2, -30_000_000, "2024-04-09"), "2024-07-09")
    assert told(cases.steps) == [("raised", "2024-04-09", 30_000_000), ("expired", "2024-07-08", 30_000_000)]
