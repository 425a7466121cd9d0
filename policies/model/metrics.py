"""The metrics a pack may name, with the kind of value each has; those of balances are in streams.vocabulary.metrics."""

from __future__ import annotations

import re
from typing import Final

from streams.vocabulary.metrics import MEAN_OF_YEAR, NAMES, months_of_mean

ROLLING: Final[tuple[str, ...]] = (*NAMES, MEAN_OF_YEAR)  # over a scope; what can be foreseen is one of them

# Facts and profile values carry no scope: the bank's systems say what they hold.
_FACTS: Final[dict[str, str]] = {
    "loan_balance": "money",
    "card_spend_12m": "money",
    "loan_overdue": "flag",
    "bad_record": "flag",
    "good_record": "flag",
    "tenure_months": "count",
    "age": "count",
    "fixed_income": "flag",
    "stable_wealth": "flag",
    "public_figure": "flag",
    "company_head": "flag",
    "growing": "flag",
    "product_families": "count",
    "payroll_link": "flag",
    "tax_link": "flag",
    "merchant_member": "flag",
}
FROM_PROFILE: Final = ("tenure_months", "age")  # by the dates of the profile: unknown where it has none
NOT_KNOWN: Final = "unknown"  # in evidence, in place of such a value
# What stands in where no fact was sent: nothing is owed, spent or known against the customer (C-40).
_ABSENT: Final[dict[str, int]] = {"good_record": 1}
COUNTS_PATTERN: Final = r"txn_count\[([1-9]|1[0-2])\]"
_COUNTED = re.compile(COUNTS_PATTERN)
MONTH_AVGS: Final = "month_avgs"  # each of the last months, or their mean; read as month_avg[k] or months_mean[n]

# The names the bank rules use for the same numbers.
ALIASES: Final[dict[str, str]] = {
    "assets": "aum",
    "balance": "aum",
    "prev_month_avg": "month_avg[0]",
    "daily_avg_deposit": "month_avg[0]",
    "savings_12m_avg": MEAN_OF_YEAR,
    "deposit_12m_avg": "year_avg",
    "tx_3m": "txn_count[3]",
}


def kind(metric: str) -> str | None:
    """`rolling` (money over a scope), `money`, `flag` or `count`; None for an unknown name."""
    if metric in ROLLING or months_of_mean(metric) is not None:
        return "rolling"
    if _COUNTED.fullmatch(metric):
        return "count"
    return _FACTS.get(metric)


def facts() -> tuple[str, ...]:
    """The facts and profile values that every pack may name."""
    return tuple(_FACTS)


def absent(metric: str) -> int | None:
    """The value of a fact that was never sent; None: it is unknown, and meets nothing."""
    return None if metric in FROM_PROFILE else _ABSENT.get(metric, 0)


def counted_months(metric: str) -> int | None:
    """Over how many months postings are counted; None for any other metric."""
    found = _COUNTED.fullmatch(metric)
    return None if found is None else int(found[1])
