"""Classes of customers and of assets, natures of postings, kinds of alerts and their severities.

The order counts where codes are places: of customer classes, natures and severities. Append only.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

PERSONAL, CORPORATE = "personal", "corporate"
CUSTOMER_CLASSES: Final = (PERSONAL, CORPORATE)

EXTERNAL: Final = "external"
NATURES: Final = (
    "unknown", EXTERNAL, "own_transfer", "product_purchase", "product_redemption", "interest", "fee", "fx_revaluation",
)  # fmt: skip
MOVING: Final = ("own_transfer", "product_purchase", "product_redemption")  # natures of a leg within the bank

OUTFLOW, UPGRADE_NEAR, DOWNGRADE_RISK = "outflow", "upgrade_near", "downgrade_risk"
OUTLOOK_KINDS: Final = (UPGRADE_NEAR, DOWNGRADE_RISK)  # raised by what the closes ahead will give, not by postings
CARD_EXPIRY, REVIEW_DUE, BREAK, LARGE_INFLOW = "card_expiry", "review_due", "break", "large_inflow"
PRODUCT_MATURING: Final = "product_maturing"
STATE_KINDS: Final = (CARD_EXPIRY, REVIEW_DUE, BREAK, LARGE_INFLOW, PRODUCT_MATURING)  # looked at by each close
ALERT_KINDS: Final = (OUTFLOW, *OUTLOOK_KINDS, *STATE_KINDS)
SEVERITIES: Final = ("info", "low", "medium", "high", "critical")

# Each class of assets with the other names that bank papers have for what is held in it.
ASSETS: Final[Mapping[str, tuple[str, ...]]] = {
    "deposit_demand": ("deposits", "demand_deposits"),
    "deposit_time": ("time_deposits", "fx_deposits"),
    "savings": ("savings_deposits",),
    "wealth": ("wealth_products",),
    "fund": ("funds",),
    "insurance": ("insurance_policies",),
    "bond": ("bonds", "treasury_bonds", "government_bonds"),
    "trust": ("trusts", "trust_plans"),
    "am_plan": ("am_plans", "asset_management_plans"),
    "in_transit": (),
    "credit": ("loan_balance", "loans", "credit_line", "card_debt", "card_spend", "card_spend_12m"),
}
ASSET_CLASSES: Final = tuple(ASSETS)
# Said of an asset without making another of it: issued by the bank or sold as an agent, held in foreign currency.
PREFIXES: Final = ("own_", "agency_", "fx_")
SUFFIXES: Final = ("_in_cny",)
_CLASS_OF: Final = {name: known for known, others in ASSETS.items() for name in (known, *others)}


def asset_class(name: str) -> str | None:
    """The class of an asset by any of its names, `agency_treasury_bonds` or `fx_savings_in_cny` too; None: not known."""
    known = _CLASS_OF.get(name)
    shorter = [name.removesuffix(end) for end in SUFFIXES] + [name.removeprefix(start) for start in PREFIXES]
    return known or next((found for part in shorter if part != name and (found := asset_class(part))), None)
