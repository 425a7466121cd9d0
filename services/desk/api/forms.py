"""What the desk's interface is asked and answers. Amounts are whole minor units, days ISO; what is not known is null."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from services.desk.api.cursors import CURSOR_CHARS_MAX
from services.desk.queries import PAGE_ROWS
from streams.alerts.kinds import KIND_TABLE

PART_ROWS_MAX: Final = 100
_WORD: Final = r"^[A-Za-z0-9_.-]{1,64}$"
_INT64: Final = 1 << 63


def _kind(given: str) -> str:
    if given not in KIND_TABLE:
        raise ValueError("no kind of case")
    return given


CaseKindName = Annotated[str, AfterValidator(_kind), Field(json_schema_extra={"enum": list(KIND_TABLE)})]
CaseSeverity = Literal["info", "low", "medium", "high", "critical"]
CaseStatusName = Literal[
    "raised", "deepened", "closed", "retracted", "expired", "resolved", "corrected", "acknowledged", "snoozed", "handed_over",
    "commented", "escalated", "woken",
]  # fmt: skip
_Tier = Annotated[str | None, Field(pattern=_WORD, description="The tier, by its name in the pack.")]
_Whose = Annotated[Literal["all", "mine"], Field(description="mine: those of the caller as their manager.")]
_Minor = Annotated[int | None, Field(ge=-_INT64, lt=_INT64, description="Minor units of the base currency.")]
_Amount = Annotated[int | None, Field(description="Minor units.")]
_Reference = Annotated[str, Field(description="Opaque, for addresses.")]


class PartQuery(BaseModel):
    """How much of a list, and where it goes on."""

    model_config = ConfigDict(extra="forbid")

    limit: int = Field(PAGE_ROWS, ge=1, le=PART_ROWS_MAX, description="So many at most.")
    cursor: str = Field(
        "", max_length=CURSOR_CHARS_MAX, pattern=r"^[A-Za-z0-9_-]*$",
        description="`next` of the part before, with the same filters; `limit` may be another one.",
    )  # fmt: skip


class CustomerQuery(PartQuery):
    """Which customers."""

    whose: _Whose = "all"
    tier: _Tier = None
    outlook: Literal["up", "down", "lost"] | None = Field(
        None, description="What the next close gives; lost: the tier is lost at one that is to come."
    )
    open_case: bool | None = Field(None, description="With an open case, or without one.")
    aum_from_minor: _Minor = None
    aum_to_minor: _Minor = None


class CaseQuery(PartQuery):
    """Which cases."""

    whose: _Whose = "all"
    severity: CaseSeverity | None = None
    status: CaseStatusName | None = Field(None, description="Of its last step.")
    kind: CaseKindName | None = None
    open: bool | None = Field(None, description="Open ones, or ended ones.")


class StandingQuery(PartQuery):
    """Which standings."""

    tier: _Tier = None
    as_of: date | None = Field(None, description="Of this day or before it: what held on the day.")


class DeskOutlook(BaseModel):
    """What the next close gives if balances stay."""

    next_close: date
    projected_tier: str | None
    direction: str | None
    lost_from: date | None = Field(description="The day from which the tier is lost.")


class DeskCustomer(BaseModel):
    """A customer in a list."""

    customer_ref: _Reference
    customer_id: str
    unit: str
    rm_id: str | None
    tier: str
    aum_minor: _Amount
    currency: str
    as_of: date
    held_reason: str | None = Field(description="Why there is no newer figure.")
    pack_id: str
    open_cases: int
    outlook: DeskOutlook | None


class DeskCounterparty(BaseModel):
    """Where money has gone."""

    bank: str
    amount_minor: int


class DeskCaseStep(BaseModel):
    """A step in a case's life."""

    event_id: str
    status: str
    severity: str
    provisional: bool
    outflow_minor: _Amount
    acted_by: str | None
    outcome: str | None
    note: str | None
    snoozed_until: date | None


class DeskCase(BaseModel):
    """A case, with its newest steps, the oldest of them first. `told_step` is what an act answers."""

    case_id: str
    customer_ref: str | None
    customer_id: str
    unit: str
    rm_id: str | None
    kind: str
    rule: str
    rules: list[str]
    severity: str
    status: str
    open: bool
    attention: str
    told_step: str | None
    raised_day: date
    provisional: bool
    tier: str
    currency: str | None
    window_days: int | None
    outflow_minor: _Amount
    gross_minor: _Amount
    reference_aum_minor: _Amount
    share_bp: int | None
    counterparties: list[DeskCounterparty]
    next_close: date | None
    projected_tier: str | None
    next_tier: str | None
    to_hold_minor: _Amount
    lost_close: date | None
    lost_from: date | None
    due_day: date | None
    amount_minor: _Amount
    snoozed_until: date | None
    level: int | None
    outcome: str | None
    steps: list[DeskCaseStep]


class DeskStanding(BaseModel):
    """What a customer's last close has given."""

    customer_ref: _Reference
    customer_id: str
    unit: str
    rm_id: str | None
    as_of: date
    tier: str
    tier_effective: date | None = Field(description="The day from which the tier is in force.")
    aum_minor: _Amount
    month_avgs_minor: list[int | None] = Field(description="Daily averages of months, the newest first.")
    quarter_avg_minor: _Amount
    month_to_date_avg_minor: _Amount
    currency: str
    held_reason: str | None
    layer: str | None
    flags: list[str]
    pack_id: str
    pack_version: int


class DeskTierChange(BaseModel):
    """A change of tier, with the figures it was decided on."""

    event_id: str
    from_tier: str
    to_tier: str
    direction: str
    effective_date: date
    reason: str
    business_day: date
    evidence: dict[str, Any]
    pack_id: str
    pack_version: int
    corrects: str | None


class DeskWholeOutlook(DeskOutlook):
    """An outlook with what has to be held for each tier."""

    as_of: date
    metric: str
    projected_minor: _Amount
    tiers: list[str]
    thresholds_minor: list[int | None]
    to_hold_minor: list[int | None]
    lost_close: date | None
    currency: str


class DeskCustomerRecord(BaseModel):
    """Everything about a customer."""

    customer_class: str
    relationship_since: date | None
    standing: DeskStanding
    outlook: DeskWholeOutlook | None
    tier_changes: list[DeskTierChange] = Field(description="The newest first.")
    cases: list[DeskCase] = Field(description="Open ones first.")


_NEXT: Final = Field(description="Where it goes on; null: that was all.")


class CustomerPart(BaseModel):
    """A part of a list."""

    customers: list[DeskCustomer]
    next: str | None = _NEXT


class CasePart(BaseModel):
    """A part of a list."""

    cases: list[DeskCase]
    next: str | None = _NEXT


class StandingPart(BaseModel):
    """A part of a list. complete: nobody is left out because his standing is of a later day than `as_of`."""

    standings: list[DeskStanding]
    complete: bool
    next: str | None = _NEXT
