"""Settings that don't go together are refused: what would come about at other times, and what only flags can be."""

import pytest

from policies import PackError, parse_pack
from tests.policies.test_language import BANDS

MONTHLY = "    evaluation: {close: month}\n"


def timed(evaluation: str, *beside: str) -> str:
    """A pack of balances under an evaluation, with lines beside it."""
    assert MONTHLY in BANDS
    return BANDS.replace(MONTHLY, "".join(f"    {line}\n" for line in (f"evaluation: {{{evaluation}}}", *beside)))


CLOSES = ("continuous", "day", "month", "quarter", "year")
CHANGES = (*CLOSES[:4], "half_year", "year")
HALF_YEARLY = "review: {months: 6}"
TIMED = [  # (evaluation, lines beside it, words of the refusal)
    ("close: year", [HALF_YEARLY], "review.months: 6 is no multiple of 12, and with `close: year`"),
    ("close: quarter", ["review: {months: 4}"], "review.months: 4 is no multiple of 3"),
    *(
        (f"close: month, grace_months: 2, downgrades: {word}", [HALF_YEARLY], f"`downgrades: {word}` comes at others")
        for word in ("quarter", "year", "review")
    ),
    ("close: quarter, downgrades: quarter, grace_months: 2", [], "evaluation.grace_months: grace counts month closes"),
    ("close: quarter, grace_months: 2", [], "evaluation.grace_months: grace counts month closes"),
    *(
        (f"close: {close}, {name}: {asked}", [], f"evaluation.{name}: {asked} is finer than `close: {close}`")
        for close in CLOSES
        for asked in CHANGES[: CHANGES.index(close)]
        for name in ("upgrades", "downgrades")
    ),
]


@pytest.mark.parametrize(("evaluation", "beside", "words"), TIMED)
def test_what_would_come_about_at_other_times_is_refused(evaluation, beside, words):
    """The check names the settings that don't go together; a pack that an earlier version took stays readable."""
    with pytest.raises(PackError) as caught:
        parse_pack(timed(evaluation, *beside))
    [problem] = caught.value.problems
    assert words in problem.message and problem.field == "classes.personal"
    assert parse_pack(timed(evaluation, *beside), taken=True).classes["personal"].tiers


AS_WRITTEN = [
    *(
        (f"close: {close}, upgrades: {asked}, downgrades: {asked}", [])
        for close in CLOSES
        for asked in CHANGES[CHANGES.index(close) :]
    ),
    *((f"close: {close}, grace_months: 2", []) for close in ("continuous", "day", "month")),
    ("close: month, upgrades: review, downgrades: review", [HALF_YEARLY]),
    ("close: quarter, upgrades: review", [HALF_YEARLY]),
    ("close: month, upgrades: application, downgrades: application", []),
]


@pytest.mark.parametrize(("evaluation", "beside"), AS_WRITTEN)
def test_what_comes_about_as_written_is_taken(evaluation, beside):
    """Changes at any close that is no finer than the deciding one, with grace where month closes count."""
    assert parse_pack(timed(evaluation, *beside)).classes["personal"].tiers


FACTS = "facts: {sum: {kind: money}, number: {kind: count}, sign: {kind: flag}}\n"


@pytest.mark.parametrize(
    "metric", ["sum", "number", "loan_balance", "age", "tenure_months", "product_families", "tx_3m"]
)
@pytest.mark.parametrize("word", ["true", "false"])
def test_only_flags_are_or_are_not(metric, word):
    """`is` on an amount or a count would mean at least one fen, or one."""
    text = BANDS.replace("scopes:", f"{FACTS}scopes:", 1)
    limit = 'when: {metric: balance, scope: deposits, minimum: "200000.00"}'
    assert limit in text
    with pytest.raises(PackError) as caught:
        parse_pack(text.replace(limit, f"when: {{metric: {metric}, is: {word}}}"))
    [problem] = caught.value.problems
    assert "is no flag" in problem.message and problem.field.endswith("tiers[2].when.is")
    for flag in ("sign", "growing"):
        assert parse_pack(text.replace(limit, f"when: {{metric: {flag}, is: {word}}}"))


def test_a_flag_that_was_not_sent_is_there_or_not():
    """`absent` of a flag is 0 or 1."""
    text = BANDS.replace("scopes:", "facts: {sign: {kind: flag, absent: 2}}\nscopes:", 1)
    with pytest.raises(PackError, match="absent: 2 is neither 0 nor 1"):
        parse_pack(text)
    assert parse_pack(text.replace("absent: 2", "absent: 1"))
