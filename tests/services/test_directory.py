"""Lists become the directory: all of a list or nothing of it, again is harmless, and substitutes have what the absent have."""

import datetime as dt
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from deploy.connections.database import connected
from services.access.decision import Role
from services.database.migrations import migrate
from services.staff.directory import Taken, take
from services.staff.lists import RefusedListError, read_list
from services.staff.responsibility import Charge, accountable
from services.staff.roster import read_roster
from tests.cli.invocation import call

pytestmark = pytest.mark.integration

UNITS = "unit,name\nhq,总行\nhq/east,华东\nhq/east/0102,静安\n"
STAFF = "staff_id,login,name,role,unit\nr7,li,Li,rm,hq/east/0102\nb1,zhao,Zhao,branch_manager,hq/east/0102\n"
Take = Callable[..., Taken]


@pytest.fixture
def take_list(database: str, tmp_path: Path) -> Take:
    """Takes a list in a transaction; `as_of` makes it a full one."""
    with connected(database) as connection:
        migrate(connection)

    def run(text: str, as_of: str = "") -> Taken:
        path, manifest = tmp_path / "list.csv", tmp_path / "list.manifest.json"
        path.write_text(text)
        manifest.unlink(missing_ok=True)
        if as_of:
            kind = "units" if text.startswith("unit,") else "absences" if "last_day" in text else "staff"
            said = {"full_list": True, "list": kind, "as_of": as_of, "rows": text.count("\n") - 1}
            manifest.write_text(json.dumps(said))
        with connected(database, autocommit=True) as connection, connection.transaction():
            return take(connection, read_list(path), "tester")

    return run


def rows(database: str, query: str) -> list[tuple[Any, ...]]:
    with connected(database) as connection:
        return connection.execute(query).fetchall()


def counts(taken: Taken) -> tuple[int, int, int, int]:
    return taken.added, taken.changed, taken.ended, taken.unchanged


def everything(database: str) -> list[list[tuple[Any, ...]]]:
    """All that lists have written, but when."""
    return [
        rows(database, f"SELECT to_jsonb(t) - 'changed_at' FROM {table} AS t ORDER BY 1::text")
        for table in ("access.units", "access.staff", "access.absences", "access.grants", "access.imports")
    ]


def test_full_lists(take_list: Take, database: str) -> None:
    """What a full list lacks has ended, and stays as that; the same again changes nothing; who comes back is active."""
    assert counts(take_list(UNITS, "2026-01-01")) == (3, 0, 0, 0)
    assert counts(take_list(STAFF, "2026-01-01")) == (2, 0, 0, 0)
    assert counts(take_list(STAFF, "2026-01-01")) == (0, 0, 0, 2)
    fewer = STAFF.replace("b1,zhao,Zhao,branch_manager,hq/east/0102\n", "").replace("rm,", "section_head,")
    assert counts(take_list(fewer, "2026-01-02")) == (0, 1, 1, 0)
    assert rows(database, "SELECT staff_id, role, active FROM access.staff ORDER BY 1") == [
        ("b1", "branch_manager", False), ("r7", "section_head", True),
    ]  # fmt: skip
    assert counts(take_list(STAFF, "2026-01-03")) == (0, 2, 0, 0)
    with pytest.raises(RefusedListError, match="as_of: is 2026-01-02; the full list of 2026-01-03"):
        take_list(fewer, "2026-01-02")
    query = "SELECT list, full_list, rows, changed, actor FROM access.imports ORDER BY import_id DESC LIMIT 1"
    assert rows(database, query) == [("staff", True, 2, 2, "tester")]


def test_changes(take_list: Take, database: str) -> None:
    """Only what a list of changes names is touched; two may exchange their logins at once."""
    take_list(UNITS, "2026-01-01")
    take_list(STAFF, "2026-01-01")
    swap = (
        "staff_id,login,name,role,unit,change\nr7,zhao,Li,rm,hq/east,set\nb1,li,Zhao,branch_manager,hq/east/0102,set\n"
    )
    assert counts(take_list(swap)) == (0, 2, 0, 0)
    assert counts(take_list("staff_id,login,name,role,unit,change\nr7,,,,,end\n")) == (0, 0, 1, 0)
    assert rows(database, "SELECT staff_id FROM access.staff WHERE active") == [("b1",)]


WRONG = [
    ("unit,name,change\nhq/west/0201,x,set\n", "list.csv:2: unit: hq/west/0201 lies below hq/west, which is not known"),
    ("unit,name,change\nhq/east,,end\n", "unit: hq/east/0102 lies below hq/east, which has ended"),
    ("unit,name,change\nhq/north,,end\n", "list.csv:2: unit: hq/north is to end, and is not known"),
    ("staff_id,login,name,role,unit,change\nr8,wu,Wu,rm,hq/west,set\n", "list.csv:2: unit: hq/west is no unit of the bank"),
    ("staff_id,login,name,role,unit,change\nr8,li,Wu,rm,hq,set\n", "list.csv:2: login: li is r7's"),
    ("staff_id,first_day,last_day,substitute,change\nr9,2026-02-01,2026-02-02,r7,set\n", "list.csv:2: staff_id: r9 works"),
    ("staff_id,first_day,last_day,substitute,change\nr7,2026-02-01,2026-02-02,r9,set\n", "list.csv:2: substitute: r9 works"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "said"), WRONG)
def test_what_contradicts_is_refused(take_list: Take, database: str, text: str, said: str) -> None:
    """With line and field, and of the good lines beside it nothing is kept either."""
    take_list(UNITS, "2026-01-01")
    take_list(STAFF, "2026-01-01")
    before = everything(database)
    for good in (
        "",
        {"u": "hq/south,South,set\n", "s": "r5,ma,Ma,rm,hq,set\n"}.get(text[0] * ("last_day" not in text), ""),
    ):
        with pytest.raises(RefusedListError) as refused:
            take_list(text + good)
        assert said in str(refused.value)
        assert everything(database) == before


def test_a_substitute(take_list: Take, database: str) -> None:
    """Has role and unit of the absent for the days of the absence: they follow changes of either, and end with either."""
    take_list(UNITS, "2026-01-01")
    take_list(STAFF, "2026-01-01")
    away = "staff_id,first_day,last_day,substitute,change\n"
    take_list(away + "b1,2026-02-01,2026-02-09,r7,set\n")
    live = "SELECT staff_id, role, unit, last_day, given_by FROM access.grants WHERE ended_at IS NULL"
    until = dt.date(2026, 2, 9)
    assert rows(database, live) == [("r7", "branch_manager", "hq/east/0102", until, "tester")]
    take_list(STAFF.replace("branch_manager,hq/east/0102", "president,hq/east"), "2026-01-02")
    assert rows(database, live) == [("r7", "president", "hq/east", until, "tester")]
    before = everything(database)[3]
    take_list(away + "b1,2026-02-01,2026-02-09,r7,set\n")
    assert everything(database)[3] == before, "the same again writes no grant"
    take_list(away + "b1,2026-02-01,,,end\n")
    assert rows(database, live) == []
    take_list(away + "b1,2026-02-01,2026-02-05,r7,set\n")
    assert len(rows(database, live)) == 1
    take_list("staff_id,login,name,role,unit,change\nr7,,,,,end\n")
    assert rows(database, live) == []


def test_the_command(database: str, tmp_path: Path) -> None:
    """Refuses a database without tables, shows first what it would do, and asks for a reason where many would end."""
    env = {"TIDEGAUGE_DATABASE_URL": database, "TIDEGAUGE_DATA_DIR": str(tmp_path / "data")}
    units, staff = tmp_path / "units.csv", tmp_path / "staff.csv"
    units.write_text(UNITS)
    (tmp_path / "units.manifest.json").write_text(
        '{"full_list": true, "list": "units", "as_of": "2026-01-01", "rows": 3}'
    )
    words = ("staff", "import", str(units))
    done = call(*words, env=env)
    assert (done.code, "tidegauge database migrate" in done.err) == (1, True), done
    assert '"number": 1' in call("database", "migrate", "--dry-run", "--json", env=env).out
    assert "took migration 1, staff" in call("database", "migrate", env=env).out
    assert "has every migration" in call("database", "migrate", env=env).out
    assert "would add 3, change 0, end 0 units" in call(*words, "--dry-run", env=env).out
    assert json.loads(call(*words, "--json", env=env).out)["added"] == 3, "a dry run had done nothing"
    lines = "".join(f"s{number},l{number},N,rm,hq,set\n" for number in range(20))
    staff.write_text("staff_id,login,name,role,unit,change\n" + lines)
    assert "staff: 20 added" in call("staff", "import", str(staff), env=env).out
    staff.write_text("staff_id,login,name,role,unit,change\n" + "".join(f"s{number},,,,,end\n" for number in range(6)))
    done = call("staff", "import", str(staff), env=env)
    assert (done.code, "6 of 20 staff would end" in done.err) == (1, True), done
    done = call("staff", "import", str(staff), "--force", "--reason", "the branch has closed", env=env)
    assert (done.code, done.out) == (0, "staff: 0 added, 0 changed, 6 ended, 0 unchanged\n"), done
    staff.write_text("staff_id,login,name,role,unit,change\nx,l,N,rm,hq/nowhere,set\n")
    done = call("staff", "import", str(staff), env=env)
    assert (done.code, len(done.err.splitlines())) == (2, 3), done
    assert "staff.csv:2: unit: hq/nowhere is no unit" in done.err and "nothing was imported" in done.err


@pytest.mark.slow
def test_a_hundred_thousand(take_list: Take) -> None:
    """A list of a large bank takes seconds."""
    take_list(UNITS, "2026-01-01")
    lines = "".join(f"s{number},l{number},Name {number},rm,hq/east/0102\n" for number in range(100_000))
    assert take_list("staff_id,login,name,role,unit\n" + lines, "2026-01-01").added == 100_000


def test_roster_of_a_day(take_list: Take, database: str) -> None:
    """Who works where as of a day: what has ended is not in it, and an absence counts on its days alone."""
    take_list(UNITS, "2026-01-01")
    take_list(STAFF + "r8,sun,Sun,rm,hq/east/0102\n", "2026-01-01")
    take_list("staff_id,first_day,last_day,substitute\nr7,2026-03-02,2026-03-06,r8\n", "2026-01-01")
    charge = Charge("east/0102", "r7")

    def owner(day: int) -> tuple[str, str | None] | None:
        with connected(database, autocommit=True) as connection:
            found = accountable(charge, read_roster(connection, dt.date(2026, 3, day)))
        return None if found is None else (found.staff_id, found.instead_of)

    assert [owner(1), owner(2), owner(6), owner(7)] == [("r7", None), ("r8", "r7"), ("r8", "r7"), ("r7", None)]
    take_list("staff_id,login,name,role,unit,change\nr7,,,,,end\n")
    assert owner(1) == ("b1", None)
    with connected(database, autocommit=True) as connection:
        found = read_roster(connection, dt.date(2026, 3, 1))
    assert found.by_role[Role.BRANCH_MANAGER, ("hq", "east", "0102")] == ("b1",) and "r7" not in found.staff
