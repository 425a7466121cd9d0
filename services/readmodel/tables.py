"""The tables of the read model, each written once: statements, staging and reading follow from here.

Every table has the customer whose row it is. Who reads sees the rows of customers of his units alone: row-level security
says so a second time, behind services.access.decision. Amounts are minor units.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

from deploy.security.principals import READER_ROLE
from services.access.decision import HEAD_OFFICE

SCHEMA: Final = "readmodel"
NEXT_SCHEMA: Final = "readmodel_next"
OLD_SCHEMA: Final = "readmodel_old"
FORMAT: Final = 3
"""Of the tables; another one means that they are built anew."""

CASES_CHANNEL: Final = "tidegauge_cases"
"""Where it is said (NOTIFY) that cases have changed: their units, one a line; nothing: of any unit."""

UNITS_SETTING: Final = "tidegauge.units"
"""The units of a transaction that reads, one a line."""

OPEN_CASE: Final = "coalesce(attention <> 'ended', status NOT IN ('retracted', 'expired', 'resolved', 'closed'))"
"""Of a case: whether it is open; records of before TIDEGAUGE_CONTRACTS=2 don't say who answers it."""

AUM_ORDER: Final = "coalesce(aum_minor, -9223372036854775807)"
"""By which a book is in order: what is not known comes last."""

_ID, _WORD, _DAY, _MONEY, _MONEYS = "text NOT NULL", "text", "date", "bigint", "bigint[] NOT NULL"


class ReadTable(NamedTuple):
    """A table: its key, its columns with their types, and the columns or expressions by which it is looked through."""

    name: str
    key: str
    columns: Mapping[str, str]
    indexes: tuple[str, ...] = ()


CUSTOMERS_TABLE: Final = ReadTable(
    "customers", "customer_id",
    {"customer_id": _ID, "unit": _ID, "rm_id": _WORD, "customer_class": _ID, "relationship_since": _DAY},
    ("(unit)", "(rm_id)"),
)  # fmt: skip
STANDINGS_TABLE: Final = ReadTable(
    "standings", "customer_id",
    {
        "customer_id": _ID, "customer_ref": _ID, "as_of": _DAY, "tier": _ID, "tier_effective": _DAY, "aum_minor": _MONEY,
        "month_avgs_minor": _MONEYS, "quarter_avg_minor": _MONEY, "month_to_date_avg_minor": _MONEY, "currency": _ID,
        "held_reason": _WORD, "layer": _WORD, "flags": "text[] NOT NULL", "pack_id": _ID, "pack_version": "bigint NOT NULL",
    },
    ("(customer_ref)", f"(({AUM_ORDER}) DESC, customer_ref)"),
)  # fmt: skip
OUTLOOKS_TABLE: Final = ReadTable(
    "outlooks", "customer_id",
    {
        "customer_id": _ID, "as_of": _DAY, "tier": _ID, "next_close": _DAY, "projected_tier": _WORD, "direction": _WORD,
        "metric": _ID, "projected_minor": _MONEY, "tiers": "text[] NOT NULL", "thresholds_minor": _MONEYS,
        "to_hold_minor": _MONEYS, "lost_close": _DAY, "lost_from": _DAY, "currency": _ID, "held_reason": _WORD,
    },
)  # fmt: skip
TIER_CHANGES_TABLE: Final = ReadTable(
    "tier_changes", "event_id",
    {
        "event_id": _ID, "customer_id": _ID, "from_tier": _ID, "to_tier": _ID, "direction": _ID, "effective_date": _DAY,
        "reason": _ID, "business_day": _DAY, "evidence": "jsonb NOT NULL", "pack_id": _ID, "pack_version": "bigint NOT NULL",
        "caused_by": _WORD, "corrects": _WORD, "position": "bigint NOT NULL",
    },
    ("(customer_id)", "(effective_date)"),
)  # fmt: skip
RESTATEMENTS_TABLE: Final = ReadTable(
    "restatements", "event_id",
    {
        "event_id": _ID, "customer_id": _ID, "kind": _ID, "account_id": _WORD, "restated_day": _DAY, "business_day": _DAY,
        "metric": _WORD, "previous_minor": _MONEY, "current_minor": _MONEY, "previous_tier": _WORD, "current_tier": _WORD,
        "amount_minor": _MONEY, "currency": _WORD, "position": "bigint NOT NULL",
    },
    ("(customer_id)",),
)  # fmt: skip
CASES_TABLE: Final = ReadTable(
    "cases", "case_id",
    {
        "case_id": _ID, "customer_id": _ID, "kind": _ID, "rule": _ID, "rules": "text[] NOT NULL", "severity": _ID,
        "status": _ID, "attention": _WORD, "told_step": _WORD, "raised_day": _DAY, "provisional": "boolean NOT NULL",
        "window_days": "integer", "outflow_minor": _MONEY, "gross_minor": _MONEY, "reference_aum_minor": _MONEY,
        "share_bp": _MONEY, "tier": _ID, "rm_id": _WORD, "counterparties": "jsonb NOT NULL", "next_close": _DAY,
        "projected_tier": _WORD, "next_tier": _WORD, "to_hold_minor": _MONEY, "lost_close": _DAY, "lost_from": _DAY,
        "snoozed_until": _DAY, "level": "integer", "outcome": _WORD, "due_day": _DAY, "amount_minor": _MONEY,
        "position": "bigint NOT NULL",
    },
    ("(customer_id)", f"(customer_id) WHERE {OPEN_CASE}"),
)  # fmt: skip
CASE_STEPS_TABLE: Final = ReadTable(
    "case_steps", "event_id",
    {
        "event_id": _ID, "case_id": _ID, "customer_id": _ID, "status": _ID, "provisional": "boolean NOT NULL",
        "severity": _ID, "outflow_minor": _MONEY, "caused_by": _ID, "acted_by": _WORD, "outcome": _WORD, "note": _WORD,
        "snoozed_until": _DAY, "position": "bigint NOT NULL",
    },
    ("(case_id, position)",),
)  # fmt: skip
COMMAND_RESULTS_TABLE: Final = ReadTable(
    "command_results", "command_id",
    {
        "command_id": _ID, "customer_id": _ID, "action": _ID, "outcome": _ID, "reason": _WORD, "day": _DAY,
        "position": "bigint NOT NULL",
    },
    ("(customer_id)",),
)  # fmt: skip
READ_TABLES: Final = {
    table.name: table
    for table in (
        CUSTOMERS_TABLE, STANDINGS_TABLE, OUTLOOKS_TABLE, TIER_CHANGES_TABLE, RESTATEMENTS_TABLE, CASES_TABLE,
        CASE_STEPS_TABLE, COMMAND_RESULTS_TABLE,
    )
}  # fmt: skip

_BESIDE: Final = (
    "CREATE TABLE {schema}.build (format integer NOT NULL, world jsonb NOT NULL, built_at timestamptz NOT NULL DEFAULT now())",
    "CREATE TABLE {schema}.positions (source text PRIMARY KEY, next_offset bigint NOT NULL)",
    "CREATE TABLE {schema}.units (unit text PRIMARY KEY)",
    "CREATE TABLE {schema}.freshness (topic text PRIMARY KEY, behind bigint NOT NULL, current_at timestamptz)",
)
# The units that are meant are found once a statement; then an index finds whom they have, however many the bank has.
_UNITS: Final = f"string_to_array(current_setting('{UNITS_SETTING}', true), E'\\n')"
_IN_UNITS: Final = (
    f"unit = ANY (ARRAY(SELECT u.unit FROM {{schema}}.units AS u, unnest({_UNITS}) AS own"
    " WHERE u.unit = own OR starts_with(u.unit, own || '/')))"
)
_OF_CUSTOMER: Final = (
    f"'{HEAD_OFFICE}' = ANY ({_UNITS})"
    " OR EXISTS (SELECT FROM {schema}.customers AS c WHERE c.customer_id = {table}.customer_id)"
)


def statements(schema: str) -> list[str]:
    """What makes the tables in a schema that is there: with forced row-level security, and what readers may."""
    made = [one.format(schema=schema) for one in _BESIDE]
    for table in READ_TABLES.values():
        name = f"{schema}.{table.name}"
        columns = ", ".join(f"{column} {kind}" for column, kind in table.columns.items())
        made.append(f"CREATE TABLE {name} ({columns}, PRIMARY KEY ({table.key}))")
        made += [f"CREATE INDEX ON {name} {index}" for index in table.indexes]
        seen = (_IN_UNITS if table is CUSTOMERS_TABLE else _OF_CUSTOMER).format(schema=schema, table=table.name)
        made += [
            f"ALTER TABLE {name} ENABLE ROW LEVEL SECURITY",
            f"ALTER TABLE {name} FORCE ROW LEVEL SECURITY",
            f"CREATE POLICY projected ON {name} TO CURRENT_USER USING (true) WITH CHECK (true)",
            f"CREATE POLICY own_units ON {name} FOR SELECT TO {READER_ROLE} USING ({seen})",
        ]
    made.append(f"GRANT USAGE ON SCHEMA {schema} TO {READER_ROLE}")
    made.append(f"GRANT SELECT ON ALL TABLES IN SCHEMA {schema} TO {READER_ROLE}")
    return made
