"""Outflow cases on the Berka bank: every account-day on which half of the money leaves, against SQL."""

from __future__ import annotations

from functools import partial

import duckdb
import pytest
import yaml

from agents.offline.replay import Arrival, replay_arrivals
from agents.standing.model import StandingConf
from connectors.formats.events import DayEnd
from connectors.formats.sources import read_source
from connectors.loading.arrival import days
from policies import load_pack
from policies.language.loader import parse_pack
from schemas.codec.records import decode_one, encode
from schemas.registry import file_registry
from streams.calendar import date_of, day_of
from tests.oracle import berka

pytestmark = pytest.mark.slow
ZONE, LEAST, HALF_BP = "Asia/Shanghai", 2_000_000, 5_000
INSIDE = ("UROK", "SANKC. UROK", "SLUZBY")  # interest, penalty interest, the bank's own fees
RULE = {
    "id": "half", "name": {"zh": "一半", "en": "Half"}, "window_days": 1, "measure": "gross", "severity": "high",
    "share": {"basis_points": HALF_BP, "floor": "20000.00"},
}  # fmt: skip


def pack():
    """rolling-quarter-aum with that rule alone. No credit takes a case back, so that only time ends it."""
    body = yaml.safe_load(load_pack("rolling-quarter-aum").body)
    body["classes"]["personal"] |= {"alerts": [RULE], "cases": {"return_days": 0}}
    return parse_pack(yaml.safe_dump(body, allow_unicode=True))


def by_sql(folder) -> set[tuple[str, int]]:
    """(customer, day) of account-days with 20,000 CZK and half of the close before in external debits. One account each."""
    with duckdb.connect(config={"threads": 1}) as con:
        berka.load(con, folder, ZONE)
        rows = con.execute(
            """
            WITH natures AS (SELECT f[1]::BIGINT AS trans_id, trim(f[8]) AS symbol FROM trans_raw WHERE len(f) = 10),
            moves AS (
                SELECT customer_id, day, CASE WHEN type = 'PRIJEM' THEN amount_minor ELSE -amount_minor END AS amount,
                       type <> 'PRIJEM' AND NOT list_contains($inside, symbol) AS leaves
                FROM trans JOIN owner USING (account_id) JOIN natures USING (trans_id)),
            account_days AS (
                SELECT customer_id, day, sum(amount) AS moved, sum(-amount) FILTER (leaves) AS gone
                FROM moves GROUP BY customer_id, day),
            known AS (
                SELECT *, coalesce(sum(moved) OVER (PARTITION BY customer_id ORDER BY day
                    ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0) AS held FROM account_days)
            SELECT customer_id, day FROM known
            WHERE gone >= $least AND held > 0 AND gone * 10000 >= $half * held""",
            {"inside": list(INSIDE), "least": LEAST, "half": HALF_BP},
        ).fetchall()
    return {(customer, day_of(day)) for customer, day in rows}


def test_every_account_day_on_which_half_leaves(berka_dir):
    """Each opens a case or falls into one that is open; no case opens on another day."""
    conf = StandingConf("CZK", ZONE, pack(), b"a key of the tests", file_registry(contracts=2))
    items = list(days(read_source("berka", berka_dir, ZONE), "berka"))
    arrivals = [Arrival(item.day, "", None) if isinstance(item, DayEnd) else Arrival(*item) for item in items]
    steps: list[dict] = []
    replay_arrivals(
        conf, arrivals, partial(encode, registry=conf.registry), items[-1].day, None,
        lambda _topic, _key, value: steps.append(decode_one(value, conf.registry, name="rm-alerts")), ("rm-alerts",),
    )  # fmt: skip
    opened: dict[str, list[list[int]]] = {}
    for step in steps:
        mine = opened.setdefault(step["customer_id"], [])
        if step["status"] == "raised":
            mine.append([step["raised_day"], items[-1].day])
        elif step["status"] == "expired":
            mine[-1][1] = day_of_close(step["caused_by"])
    expected = by_sql(berka_dir)
    raised = {(customer, first) for customer, spans in opened.items() for first, _ in spans}
    assert len(expected) == 301
    assert raised <= expected
    missed = [
        (customer, str(date_of(day))) for customer, day in sorted(expected)
        if not any(first <= day <= last for first, last in opened.get(customer, ()))
    ]  # fmt: skip
    assert missed == []


def day_of_close(cause: str) -> int:
    """Of `close/1994-03-31`."""
    import datetime as dt

    return day_of(dt.date.fromisoformat(cause.removeprefix("close/")))
