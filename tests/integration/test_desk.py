"""The desk through the whole system: what a worker tells is seen on its pages, and what people do there reaches the worker.

What fills its tables is killed on the way.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final
from zoneinfo import ZoneInfo

import httpx2
import pytest

from deploy.connections.database import connected
from services.database.migrations import migrate
from services.readmodel.tables import CASE_STEPS_TABLE, COMMAND_RESULTS_TABLE, STANDINGS_TABLE
from services.staff.directory import take
from services.staff.lists import read_list
from tests.integration.live import Live, doubled, free_port
from tests.integration.test_takeover import closed, told
from tests.standing.partition import customer
from tests.twins.events import posting
from tidegauge.cli.desk.trial import trial_staff

pytestmark = [pytest.mark.integration, pytest.mark.slow]

MANAGER: Final = "RM-1"
CUSTOMERS: Final = ("C1", "C2", "C3")
IN_MINOR, OUT_MINOR = 9_000_000_000, -7_900_000_000
TODAY: Final = datetime.now(
    ZoneInfo("Asia/Shanghai")
).date()  # an act bears today's day, and may not lie far ahead of the closes
BOOKED, CLOSED, LEAVES = ((TODAY - timedelta(days)).isoformat() for days in (150, 2, 1))
MONTH_END: Final = ((TODAY - timedelta(1)).replace(day=1) - timedelta(1)).isoformat()  # at which tiers are decided
CSRF: Final = re.compile(r'name="csrf" value="([^"]+)"')
STEP: Final = re.compile(r'action="/case/([^/"]+)/acknowledge".*?name="step" value="([^"]+)"', re.DOTALL)
AGAIN: Final = re.compile(r'hx-get="(/case/[^"]+)"')
TOPIC_TABLES: Final = {
    "standings": STANDINGS_TABLE, "rm-alerts": CASE_STEPS_TABLE,
    "command-results": COMMAND_RESULTS_TABLE,
}  # fmt: skip
"""Of the topics that this test fills, where each record (or the last of each key) is a row."""


class ManagerBrowser:
    """Somebody who is logged in, without the scripts of a browser."""

    def __init__(self, address: str, login: str) -> None:
        own = {"Origin": address, "Accept-Language": "en"}
        self.client = httpx2.Client(base_url=address, headers=own, timeout=30, trust_env=False)
        cookie = self.client.post("/login", data={"login": login}).headers["set-cookie"].partition(";")[0]
        self.client.cookies.clear()
        self.client.headers["Cookie"] = cookie  # a browser takes localhost for safe, a client does not

    def page(self, path: str) -> str:
        answer = self.client.get(path)
        assert answer.status_code == 200, (path, answer.status_code)
        return answer.text

    def act(self, case: str, step: str, act: str, request_id: str, **fields: str) -> str:
        """The case as it is shown behind an act."""
        token = CSRF.findall(self.page("/"))[0]
        data = {"csrf": token, "request_id": request_id, "step": step, **fields}
        answer = self.client.post(f"/case/{case}/{act}", data=data, headers={"HX-Request": "true"})
        assert answer.status_code == 200, (act, answer.status_code)
        return answer.text

    def told(self, shown: str) -> str:
        """What the page says once it has asked for what became of an act, as its script would."""
        until = time.monotonic() + 60
        while (again := AGAIN.findall(shown)) and time.monotonic() < until:
            time.sleep(1)
            shown = self.page(again[0].replace("&amp;", "&"))
        return shown


def _staff(database: str, folder: Path) -> None:
    with connected(database) as connection:
        migrate(connection)
        for lines in trial_staff([("hq/B01", MANAGER)]):
            (folder / "list.csv").write_text("\n".join(lines) + "\n")
            take(connection, read_list(folder / "list.csv"), "tester")


def _answers(address: str) -> bool:
    try:
        return httpx2.get(f"{address}/login", trust_env=False).status_code == 200
    except httpx2.TransportError:
        return False


def _rows(database: str, statement: str) -> list[tuple[object, ...]]:
    with connected(database) as connection:
        return connection.execute(statement.encode()).fetchall()


def _followed(live: Live, database: str) -> None:
    """Wait until the tables hold what the topics hold: each record once, none lost."""

    def wanted() -> dict[str, set[object]]:
        return {
            topic: {record[table.key] for record in live.outputs(topic)} for topic, table in TOPIC_TABLES.items()
        }  # fmt: skip

    def found() -> dict[str, set[object]]:
        return {
            topic: {row[0] for row in _rows(database, f"SELECT {table.key} FROM readmodel.{table.name}")}
            for topic, table in TOPIC_TABLES.items()
        }

    live.wait(lambda: found() == wanted(), "tables that hold what the topics hold", 120)


def test_a_case_is_acted_on(
    make_live: Callable[..., Live], redis_server: str, new_database: Callable[[], str], tmp_path: Path
) -> None:
    """An outflow is taken on: pending until the worker has answered, applied or refused in words; no row doubled or lost."""
    database, port = new_database(), free_port()
    live, address = make_live(redis_url=redis_server, database_url=database), f"http://localhost:{port}"
    _staff(database, tmp_path)
    told(live, [
        *(customer(name, branch="B01", rm_id=MANAGER) for name in CUSTOMERS),
        *(posting(n, IN_MINOR, BOOKED, customer=name, account=f"A-{name}") for n, name in enumerate(CUSTOMERS, 1)),
    ])  # fmt: skip
    for day in dict.fromkeys((MONTH_END, CLOSED)):
        closed(live, day)
    live.start()
    follower = live.begin("readmodel", "follow")
    told(live, [posting(10, OUT_MINOR, LEAVES, customer="C1", account="A-C1")])
    live.wait(lambda: any(one["status"] == "raised" for one in live.outputs("rm-alerts")), "an alert")
    _followed(live, database)
    live.begin("desk", "serve", "--port", str(port))
    live.wait(lambda: _answers(address), "the desk")
    manager = ManagerBrowser(address, MANAGER)
    ((case, step),) = STEP.findall(manager.page("/"))

    follower.kill()
    follower.wait(240)
    shown = manager.act(case, step, "acknowledge", "the-first-one")
    assert "Sent, not applied yet" in shown or "it will be seen here in a moment" in shown
    live.wait(lambda: len(live.outputs("command-results")) == 1, "the worker's answer")
    assert "it will be seen here in a moment" in manager.page(AGAIN.findall(shown)[0].replace("&amp;", "&"))
    follower = live.begin("readmodel", "follow")
    shown = manager.told(shown)
    assert "Done." in shown and "Somebody looks after it" in shown
    refused = manager.told(manager.act(case, step, "acknowledge", "the-second-one"))
    assert "Refused: it is acknowledged already." in refused
    for number, name in enumerate(("C2", "C3", "C2")):
        told(live, [posting(20 + number, OUT_MINOR // 2, LEAVES, customer=name, account=f"A-{name}")])
        follower.kill()
        follower.wait(240)
        follower = live.begin("readmodel", "follow")
    assert f"/case/{case}/comment" in manager.page("/")
    done = manager.told(manager.act(case, step, "resolve", "the-third-one", outcome="kept", reason="he stays"))
    assert "Done." in done and f"/case/{case}/comment" not in done
    assert f"/case/{case}/comment" not in manager.page("/")
    manager.client.close()
    live.wait(lambda: len(live.outputs("command-results")) == 3, "the worker's answers")
    _followed(live, database)
    assert not doubled(live.outputs("rm-alerts"))
    for topic in ("rm-alerts", "command-results"):
        ((count,),) = _rows(database, f"SELECT count(*) FROM readmodel.{TOPIC_TABLES[topic].name}")
        assert count == len(live.outputs(topic)), topic
    _rebuilt(live, database)


def _rebuilt(live: Live, database: str) -> None:
    """A dry run makes no table; the rebuild gives what was there."""
    made = "SELECT table_schema, table_name FROM information_schema.tables ORDER BY 1, 2"
    before = _rows(database, made)
    shown = json.loads(live.command("readmodel", "rebuild", "--dry-run", "--json"))
    assert shown["dry_run"] and _rows(database, made) == before
    live.command("readmodel", "rebuild")
    _followed(live, database)
