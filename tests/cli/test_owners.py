"""`tidegauge alerts owners`: what it says of a bank's customers and lists, and to whom; a gap is a failed check."""

import json
from pathlib import Path

import pytest

from deploy.connections.database import connected
from services.database.migrations import migrate
from services.staff.directory import take
from services.staff.lists import read_list
from services.staff.responsibility import Charge
from tests.cli.invocation import Called, call
from tidegauge.cli.alerts import owners

pytestmark = pytest.mark.integration

LISTS = {
    "units": "unit,name\nhq,Head office\nhq/east,East\nhq/west,West\n",
    "staff": "staff_id,login,name,role,unit\nr7,li,Li,rm,hq/east\ns1,sun,Sun,section_head,hq/east\n",
    "absences": "staff_id,first_day,last_day,substitute\nr7,2026-03-02,2026-03-06,s1\n",
}
CHARGES = {"C1": Charge("east", "r7"), "C2": Charge("west", None), "C3": Charge("east", None, "butler")}


@pytest.fixture
def bank(database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A database with lists, and customers without a log."""
    with connected(database) as connection:
        migrate(connection)
    for name, text in LISTS.items():
        path = tmp_path / f"{name}.csv"
        path.write_text(text)
        said = {"full_list": True, "list": name, "as_of": "2026-01-01", "rows": text.count("\n") - 1}
        path.with_name(f"{name}.manifest.json").write_text(json.dumps(said))
        with connected(database, autocommit=True) as connection, connection.transaction():
            take(connection, read_list(path), "tester")
    monkeypatch.setattr(owners, "need_world", lambda settings, _uses: settings)
    monkeypatch.setattr(owners, "live_jobs", lambda _settings: [CHARGES])
    kept = lambda job, _day: ((name, one.branch, one.manager, one.role) for name, one in job.items())  # noqa: E731
    monkeypatch.setattr(owners, "kept_of", kept)
    return database


def called(bank: str, tmp_path: Path, *words: str) -> Called:
    env = {
        "TIDEGAUGE_DATABASE_URL": bank,
        "TIDEGAUGE_DATA_DIR": str(tmp_path),
        "TIDEGAUGE_BOOTSTRAP_SERVERS": "127.0.0.1:1",
    }
    return call("alerts", "owners", *words, env=env)


def test_gaps_are_named(bank: str, tmp_path: Path) -> None:
    """Who is away is represented; nobody is there for the west; head office sees all, a branch its own."""
    done = called(bank, tmp_path, "--day", "2026-03-02", "--json", "--as", "head_office:hq")
    assert done.code == 1, done.err
    assert json.loads(done.out) == {
        "day": "2026-03-02", "looked_after": {"manager": 1, "section_head": 1}, "substituted": 1, "customer_gaps": 1,
        "unit_gaps": 2, "customers": [{"customer_id": "C2", "unit": "hq/west", "why": "nobody"}], "units": ["hq", "hq/west"],
        "roles_unknown": ["butler"],
    }  # fmt: skip
    west = called(bank, tmp_path, "--lang", "zh-CN", "--as", "branch_manager:hq/west")
    assert (west.code, "C2" in west.out, "hq/west 没有" in west.out, "C1" in west.out) == (1, True, True, False)
    text = called(bank, tmp_path, "--limit", "1", "--lang", "en", "--as", "head_office:hq")
    assert "nobody is accountable for customer C2 of hq/west: nobody has the role there" in text.out
    assert "and 1 more: --limit shows them" in text.out
