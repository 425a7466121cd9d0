"""The kinds of alerts, a row each: everything that lists them derives from here (docs/alerts.md#kinds).

Another one is a row here, its rule in the grammar, what meets it (agents.standing.decide.cases.states for those that closes look at), its
notices, and a label in the worlds.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from streams.vocabulary import terms

POSTINGS, OUTLOOK, CLOSES = "postings", "outlook", "closes"  # what raises it
INFLOW_DAYS: Final = 7


class AlertKindRow(NamedTuple):
    """A kind. settings: of its rules, beside id, name and severity. holds: when it is raised; it is over when that is so no more."""

    raised_by: str
    zh: str
    en: str
    settings: tuple[str, ...]
    holds: str


KIND_TABLE: Final = {
    terms.OUTFLOW: AlertKindRow(
        POSTINGS, "资金流出", "money that leaves",
        ("window_days", "absolute", "share", "drip", "measure", "to_one_bank", "cool_down_days"),
        "a rule on the customer's debits is met",
    ),
    terms.UPGRADE_NEAR: AlertKindRow(
        OUTLOOK, "接近上一等级", "next tier within reach", ("at_most", "basis_points", "cool_down_days"),
        "so little more to hold gives the next tier at the next close",
    ),
    terms.DOWNGRADE_RISK: AlertKindRow(
        OUTLOOK, "有降级风险", "tier at risk", ("within_days", "cool_down_days"),
        "the next close takes the tier, or one within so many days",
    ),
    terms.CARD_EXPIRY: AlertKindRow(
        CLOSES, "卡片即将到期", "card ends soon", (), "the card ends within `cards.reminder_days`"
    ),
    terms.REVIEW_DUE: AlertKindRow(
        CLOSES, "即将复审", "review is near", (), "the review comes within `review.reminder_days`, or is late"
    ),
    terms.BREAK: AlertKindRow(
        CLOSES, "账务差异", "balance does not agree", ("at_least",),
        "the postings leave a snapshot of the last 35 days unexplained by so much",
    ),
    terms.LARGE_INFLOW: AlertKindRow(
        CLOSES, "大额资金流入", "large inflow", ("at_least", "basis_points"),
        f"the net inflow of {INFLOW_DAYS} days is so much, and such a share of the AUM at the close",
    ),
    terms.PRODUCT_MATURING: AlertKindRow(
        CLOSES, "产品即将到期", "product matures soon", ("fact", "days_ahead"),
        "the day that a fact names is at most so many days ahead",
    ),
}  # fmt: skip
assert tuple(KIND_TABLE) == terms.ALERT_KINDS
