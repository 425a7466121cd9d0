"""Rows that vanish from the view, and notices in a plain locale and months late: noticed, said, and mended without hands."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

from services.assembly import redis_client
from services.views.keys import Keys
from tests.chaos.given import Given
from tests.chaos.site.bank import Bank
from tests.chaos.system import Result
from tests.integration.live import free_port

if TYPE_CHECKING:
    from redis import Redis

DELETED = 15  # rows deleted by hand
MENDED_S = 90.0
QUIET_S = 2.0  # without another row: all that was published has been read
DAYS = 100  # by then the simulated bank has alerts
LATE = ("late: ", "(补发)")


def kept(given: Given) -> Result:
    """Redis evicts rows, somebody deletes some; notices start months late in an ASCII locale. All of it is told, and mended."""
    with given.redis() as url, given.bank("kept", redis_url=url) as bank:
        bank.start()
        port = free_port()
        views = bank.begin("views", "--metrics-port", str(port))
        bank.load(DAYS)
        with redis_client(bank.settings) as client:
            _filled(bank, client)
            _mended(bank, "the view, before anything", port)
            rows = held(client, bank)
            _evicted(bank, client, port)
            same(bank, client, rows)
            _deleted(bank, client, port)
            same(bank, client, rows)
        bank.expect("the view writer runs", views.poll() is None, views.poll())
        _notices(bank)
        bank.judge()
        return bank.result()


def held(client: Redis, bank: Bank) -> dict[bytes, dict[bytes, bytes]]:
    """Every row of queue classes and standings."""
    keys = Keys.of(bank.settings.topic_prefix)
    patterns = (keys.priority("*"), keys.standings + "*")
    return {key: client.hgetall(key) for pattern in patterns for key in client.scan_iter(pattern, count=1000)}


def _filled(bank: Bank, client: Redis) -> None:
    """The view has what the worker has published: it may be a moment behind, and says nothing of what it has not read."""
    keys, customers = Keys.of(bank.settings.topic_prefix), len(bank.standings())

    def whole() -> bool:
        rows = held(client, bank)
        time.sleep(QUIET_S)
        return sum(key.startswith(keys.standings.encode()) for key in rows) == customers and rows == held(client, bank)

    seconds = bank.until(whole, MENDED_S)
    bank.expect("the view is filled", seconds < MENDED_S, f"{customers} customers, after {seconds:.0f} s")


def same(bank: Bank, client: Redis, rows: dict[bytes, dict[bytes, bytes]]) -> None:
    """The rows are as they were."""
    now = held(client, bank)
    wrong = [key for key in rows.keys() | now.keys() if rows.get(key) != now.get(key)]
    bank.expect("rows as they were", rows and not wrong, f"{len(rows) - len(wrong)} of {len(rows)} {wrong[:3]}")


def _degraded(bank: Bank) -> bool:
    return bool(json.loads(bank.tell("queue", "lookup", "C000001", "--json").out)["degraded"])


def _mended(bank: Bank, what: str, port: int) -> None:
    """The view is whole again by itself: look-ups, doctor and metrics say so."""
    seconds = bank.until(lambda: not _degraded(bank) and bank.doctor()["view"]["good"], MENDED_S)
    bank.expect(f"{what}: look-ups good again", seconds < MENDED_S, f"after {seconds:.0f} s; {bank.doctor()['view']}")
    bank.port, worker = port, bank.port
    whole = bank.metric("tidegauge_view_whole", topic="queue-priority")
    bank.port = worker
    bank.expect(f"{what}: tidegauge_view_whole", whole == 1, whole)


def _evicted(bank: Bank, client: Redis, port: int) -> None:
    """A limit that the rows pass, under a policy that forgets; then both are set back, and nothing else is done."""
    bank.fault("Redis under allkeys-lru, and full")
    client.config_set("maxmemory-policy", "allkeys-lru")
    seconds = bank.until(lambda: _degraded(bank), 30)
    bank.expect(f"degraded at once, after {seconds:.1f} s", seconds < 10, seconds)
    client.config_set("maxmemory", str(client.info("memory")["used_memory"] - 60_000))
    seconds = bank.until(lambda: client.info("stats")["evicted_keys"] > 0, 30)
    evicted = client.info("stats")["evicted_keys"]
    bank.expect("rows are evicted", evicted > 0, f"{evicted} keys after {seconds:.1f} s")
    line = bank.doctor()["redis memory"]
    bank.expect("doctor: redis memory", not line["good"] and "evicted" in line["found"], line)
    client.config_set("maxmemory", "0")
    client.config_set("maxmemory-policy", "noeviction")
    _mended(bank, "evicted rows", port)


def _deleted(bank: Bank, client: Redis, port: int) -> None:
    """Rows that somebody deletes: VIPs would look ordinary."""
    bank.fault(f"{DELETED} rows deleted by hand")
    keys = Keys.of(bank.settings.topic_prefix)
    gone = sorted(client.scan_iter(keys.priority("*"), count=1000))[:DELETED]
    bank.port, worker = port, bank.port
    before = bank.metric("tidegauge_view_wrong_rows_total")
    client.delete(*gone)
    seconds = bank.until(lambda: all(client.exists(key) for key in gone), MENDED_S)
    bank.expect(f"rows are back after {seconds:.0f} s", seconds < 60, seconds)
    found = bank.metric("tidegauge_view_wrong_rows_total") - before
    bank.port = worker
    bank.expect("tidegauge_view_wrong_rows_total", found >= len(gone), found)
    _mended(bank, "deleted rows", port)


def _notices(bank: Bank) -> None:
    """Alerts of months ago are told as late ones, in a locale that has no Chinese either; none fails."""
    bank.fault("notices started months late, in an ASCII locale")
    bank.extra = {"LC_ALL": "C", "LANG": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    notifier = bank.begin("notices")
    bank.extra = {}
    alerts = {record["event_id"] for record in bank.outputs("rm-alerts") if record["status"] == "raised"}
    bank.until(lambda: alerts <= {record["caused_by"] for record in bank.outputs("notices")})
    told = bank.outputs("notices")
    bank.expect("every alert is told", alerts and alerts <= {record["caused_by"] for record in told}, len(alerts))
    status = sorted({record["status"] for record in told})
    bank.expect("none fails", status == ["sent"], status)
    late = sum(any(word in record["subject"] for word in LATE) for record in told)
    bank.expect("the old ones are said to be late", late > 0, f"{late} of {len(told)}")
    bank.expect("the notifier runs", notifier.poll() is None, bank.lines()[-1:])
