"""What the pages' templates say of rows: amounts, tiers, kinds, reasons, in the visitor's language."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final

from policies.texts import DECISION_REASONS, FLAG_NAMES, REFUSALS
from streams.alerts.kinds import KIND_TABLE
from streams.money import exponent, format_minor

if TYPE_CHECKING:
    from policies.model.pack import Pack
    from policies.model.terms import Name

CHINESE: Final = "zh-CN"
UNKNOWN: Final = "–"
_FORMULAS: Final = frozenset("=+-@\t\r")
_CSV_TEXTS: Final = (
    "customer_id", "unit", "rm_id", "tier", "as_of", "currency", "projected_tier", "direction", "next_close", "lost_from",
)  # fmt: skip
_REPORT_TEXTS: Final = ("customer_id", "unit", "rm_id", "tier_before", "tier_end", "currency")


def money_words(minor: int | None, currency: str | None) -> str:
    """An amount with its currency and groups of three digits; a dash for one that is not known."""
    if minor is None:
        return UNKNOWN
    decimals = exponent(currency) if currency else 2
    whole, dot, cents = format_minor(abs(minor), decimals).partition(".")
    sign = "-" if minor < 0 else ""
    return f"{sign}{int(whole):,}{dot}{cents} {currency or ''}".strip()


def share_words(basis_points: int | None) -> str:
    """A share in percent; a dash for one that is not known."""
    return UNKNOWN if basis_points is None else f"{format_minor(basis_points, 2)} %"


class RowWords:
    """Words of rows in one language. packs: those that name tiers."""

    def __init__(self, language: str, tiers: Mapping[tuple[str, str], Name]) -> None:
        self.language, self._tiers = language, tiers

    def tier(self, pack_id: str | None, tier: str | None) -> str:
        """A tier by its name in the pack; by its id where the pack is not known here."""
        if tier is None:
            return UNKNOWN
        return self._of(self._tiers.get((pack_id or "", tier)), tier)

    def any_tier(self, tier: str) -> str:
        """A tier by its name in whichever pack has it."""
        return self._of(next((name for (_, known), name in self._tiers.items() if known == tier), None), tier)

    def kind(self, kind: str) -> str:
        """A kind of case."""
        row = KIND_TABLE.get(kind)
        return kind if row is None else row.zh if self.language == CHINESE else row.en

    def reason(self, code: str) -> str:
        """Why a tier has changed."""
        return self._of(DECISION_REASONS.get(code), code)

    def refusal(self, code: str) -> str:
        """Why an act was refused."""
        return self._of(REFUSALS.get(code), code)

    def flag(self, code: str) -> str:
        """A flag of a standing."""
        return self._of(FLAG_NAMES.get(code), code)

    def share(self, basis_points: int | None) -> str:
        """A share in percent."""
        return share_words(basis_points)

    def _of(self, name: Name | None, code: str) -> str:
        return code if name is None else name.zh if self.language == CHINESE else name.en


def tier_names(packs: Iterable[Pack]) -> dict[tuple[str, str], Name]:
    """Names of tiers by pack and tier."""
    policies = ((pack.id, policy) for pack in packs for policy in pack.classes.values())
    return {(name, tier.id): tier.name for name, policy in policies for tier in policy.tiers}


def branch_name(unit: str) -> str:
    """A unit without the head office."""
    return unit.partition("/")[2] or unit


def plain_cell(given: Any) -> str:
    """A cell that no spreadsheet takes for a formula (OWASP, CSV injection)."""
    text = "" if given is None else str(given)
    return f"'{text}" if text[:1] in _FORMULAS else text


def csv_of(rows: list[dict[str, Any]]) -> str:
    """Rows of a book as CSV (UTF-8 with a mark, as spreadsheets want it): amounts are numbers, all else is text."""
    return _csv(rows, _CSV_TEXTS, {"aum": "aum_minor"})


def report_csv(rows: list[dict[str, Any]]) -> str:
    """Rows of a report on VIPs as CSV, as `csv_of`."""
    return _csv(rows, _REPORT_TEXTS, {"average_before": "before_minor", "average": "after_minor"})


def _csv(rows: list[dict[str, Any]], texts: tuple[str, ...], amounts: Mapping[str, str]) -> str:
    """amounts: names of columns, with those of the rows."""
    out = io.StringIO()
    out.write("\ufeff")
    writer = csv.writer(out)
    writer.writerow([*texts, *amounts, "open_cases"])
    for row in rows:
        decimals = exponent(row["currency"])
        found = ("" if (minor := row[name]) is None else format_minor(minor, decimals) for name in amounts.values())
        writer.writerow([*(plain_cell(row[name]) for name in texts), *found, row["open_cases"]])
    return out.getvalue()
