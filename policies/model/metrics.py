"""The metrics a pack may name, with the kind of value each has; the rolling ones are numbered for the kernels.

`months_mean[n]` is the mean of the n latest monthly averages, exact; it is derived from them and has no number.
"""

from __future__ import annotations

import re
from typing import Final

MONTHS_BACK_MAX = 12
TRAILING_DAYS = (7, 30, 90)

# The number of a metric in compiled packs. Append only: compiled arrays and stored evidence refer to it.
ROLLING: Final[tuple[str, ...]] = (
    "aum",
    *(f"month_avg[{k}]" for k in range(MONTHS_BACK_MAX + 1)),
    "quarter_avg",
    "year_avg",
    "months_mean_12",
    *(f"trailing_avg[{days}]" for days in TRAILING_DAYS),
    "month_to_date_avg",
)
METRIC_INDEX: Final[dict[str, int]] = {name: i for i, name in enumerate(ROLLING)}

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
# What stands in where no fact was sent: nothing is owed, spent or known against the customer (C-40).
_ABSENT: Final[dict[str, int]] = {"good_record": 1}
_COUNTED = re.compile(r"txn_count\[([1-9]|1[0-2])\]")
_MEANS = re.compile(r"months_mean\[(?:[2-9]|1[0-2])\]")
MONTH_AVGS: Final = "month_avgs"  # each of the last months, or their mean; read as month_avg[k] or months_mean[n]

# The names the bank rules use for the same numbers.
ALIASES: Final[dict[str, str]] = {
    "assets": "aum",
    "balance": "aum",
    "prev_month_avg": "month_avg[0]",
    "daily_avg_deposit": "month_avg[0]",
    "savings_12m_avg": "months_mean_12",
    "deposit_12m_avg": "year_avg",
    "tx_3m": "txn_count[3]",
}

ASSET_CLASSES: Final[tuple[str, ...]] = (
    "deposit_demand", "deposit_time", "savings", "wealth", "fund", "insurance", "bond", "trust", "am_plan",
    "in_transit", "credit",
)  # fmt: skip


def kind(metric: str) -> str | None:
    """`rolling` (money over a scope), `money`, `flag` or `count`; None for an unknown name."""
    if metric in METRIC_INDEX or _MEANS.fullmatch(metric):
        return "rolling"
    if _COUNTED.fullmatch(metric):
        return "count"
    return _FACTS.get(metric)


def facts() -> tuple[str, ...]:
    """The facts and profile values that every pack may name."""
    return tuple(_FACTS)


def absent(metric: str) -> int:
    """The value of a fact that was never sent."""
    return _ABSENT.get(metric, 0)


def months_of_mean(metric: str) -> int | None:
    """How many monthly averages a mean is taken over; None for any other metric."""
    if metric == "months_mean_12":
        return 12
    return int(metric[len("months_mean[") : -1]) if _MEANS.fullmatch(metric) else None


def counted_months(metric: str) -> int | None:
    """Over how many months postings are counted; None for any other metric."""
    found = _COUNTED.fullmatch(metric)
    return None if found is None else int(found[1])
