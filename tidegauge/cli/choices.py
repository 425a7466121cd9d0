"""What options and arguments take: choices as enums, which help, completion and refusals list, and days."""

from __future__ import annotations

import re
from datetime import date
from enum import StrEnum

import typer

SILENCE = typer.Option(
    120, "--silence-days", min=1, help="More days than these without an event are refused: is a date wrong?"
)
BERKA_CURRENCY = "CZK"  # of all accounts in files of that format
_ISO = re.compile(r"\d{4}-\d{2}-\d{2}")
_ISO_MONTH = re.compile(r"\d{4}-\d{2}")


class SourceFormat(StrEnum):
    """Formats of files that are read (connectors.formats.sources.FORMATS)."""

    BERKA = "berka"
    NDJSON = "ndjson"
    CSV = "csv"
    PARQUET = "parquet"


class FileFormat(StrEnum):
    """Formats of files that are written (connectors.formats.files_out.FORMATS)."""

    NDJSON = "ndjson"
    CSV = "csv"
    PARQUET = "parquet"


class SourceTopic(StrEnum):
    """Topics that sources write to (schemas.topics.INPUTS)."""

    TRANSACTIONS = "transactions"
    BALANCES = "balances"
    CUSTOMERS = "customers"
    FACTS = "facts"
    FX_RATES = "fx-rates"


class LetterTopic(StrEnum):
    """What dead letters are about: topics that are read (schemas.topics.INPUTS, services.views.projections), lines of files."""

    TRANSACTIONS = "transactions"
    BALANCES = "balances"
    CUSTOMERS = "customers"
    FACTS = "facts"
    FX_RATES = "fx-rates"
    POLICIES = "policies"
    CRM_ACTIONS = "crm-actions"
    BUSINESS_DAYS = "business-days"
    STANDINGS = "standings"
    QUEUE_PRIORITY = "queue-priority"
    RM_ALERTS = "rm-alerts"
    FILE = "file"


class KindOfPack(StrEnum):
    """What a new pack's tiers rest on (policies/beginnings)."""

    AVERAGES = "averages"
    POINTS = "points"
    MEMBERSHIP = "membership"
    REVIEW = "review"


class QueueOrder(StrEnum):
    """Orders of a queue (streams.queue.discipline.QUEUE_ORDERS)."""

    HEAD_START = "head_start"
    STRICT = "strict"
    RATIO = "ratio"
    FIRST_COME = "first_come"


class OutcomeOfCase(StrEnum):
    """How a case ended (streams.alerts.acts.CASE_OUTCOMES)."""

    KEPT = "kept"
    PARTLY_KEPT = "partly_kept"
    LEFT = "left"
    NO_LOSS = "no_loss"
    WRONG_ALERT = "wrong_alert"


class KindOfNotice(StrEnum):
    """What a notice tells of: the kinds of alerts (streams.vocabulary.terms.ALERT_KINDS), and a customer who has come."""

    OUTFLOW = "outflow"
    UPGRADE_NEAR = "upgrade_near"
    DOWNGRADE_RISK = "downgrade_risk"
    CARD_EXPIRY = "card_expiry"
    REVIEW_DUE = "review_due"
    BREAK = "break"
    LARGE_INFLOW = "large_inflow"
    PRODUCT_MATURING = "product_maturing"
    ARRIVED = "arrived"


class Lang(StrEnum):
    """Languages of what is printed."""

    EN = "en"
    ZH_CN = "zh-CN"


class LogLevel(StrEnum):
    """Levels of the log."""

    DEBUG = "DEBUG"
    INFO = "INFO"
    WARNING = "WARNING"
    ERROR = "ERROR"
    CRITICAL = "CRITICAL"


class ClassOfCustomers(StrEnum):
    """Classes of customers that packs decide."""

    PERSONAL = "personal"
    CORPORATE = "corporate"


def iso_date(text: str) -> date:
    """The date of an option or argument; BadParameter for what is none."""
    try:
        if _ISO.fullmatch(text):
            return date.fromisoformat(text)
    except ValueError:
        pass
    raise typer.BadParameter(f"{text!r} is no date such as 2026-01-31")


def iso_month(text: str) -> date:
    """The first day of the month of an option; BadParameter for what is none."""
    try:
        if _ISO_MONTH.fullmatch(text):
            return date.fromisoformat(f"{text}-01")
    except ValueError:
        pass
    raise typer.BadParameter(f"{text!r} is no month such as 2026-01")


def closable_date(text: str) -> date:
    """The same of a business day; BadParameter for one that workers put aside, too."""
    from streams.calendar import DAY_MAX, DAY_MIN, date_of, day_of  # here, as it brings the compiler with it

    day = iso_date(text)
    if not DAY_MIN <= day_of(day) < DAY_MAX:
        raise typer.BadParameter(
            f"{text} is no business day: days from {date_of(DAY_MIN)} to {date_of(DAY_MAX - 1)} are taken"
        )
    return day
