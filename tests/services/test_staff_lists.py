"""Lists of units, staff and absences: what is a list, and which line of it is refused, with its field."""

import contextlib
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas import bounds
from schemas.bounded import TooLargeError
from services.access.decision import MACHINES, PEOPLE, Role
from services.staff.lists import RefusedListError, read_list

STAFF = "staff_id,login,name,role,unit"
SAID_CHARS_MAX = 400


def a_list(folder: Path, text: str, **manifest: Any) -> Path:
    """A list, of changes if there is no manifest."""
    path = folder / "list.csv"
    path.write_text(text)
    if manifest:
        (folder / "list.manifest.json").write_text(json.dumps({"full_list": True, **manifest}))
    return path


def refusals(path: Path) -> list[str]:
    """What is said of a list, without the file's name."""
    with pytest.raises(RefusedListError) as refused:
        read_list(path)
    return [str(problem).removeprefix(str(path.parent)).lstrip("/") for problem in refused.value.problems]


def test_a_full_list(tmp_path: Path) -> None:
    """With its manifest; columns in any order, and a byte order mark does no harm."""
    text = "\ufeffunit,staff_id,login,role,name\nhq/east/0102,r7,li.wei,rm,李伟\n\nhq,b1,zhao,president,赵\n"
    found = read_list(a_list(tmp_path, text, list="staff", as_of="2026-01-31", rows=2))
    assert (found.kind.name, found.full, str(found.as_of)) == ("staff", True, "2026-01-31")
    assert [(row.line, row.values) for row in found.rows] == [
        (2, ("r7", "li.wei", "李伟", "rm", "hq/east/0102")), (4, ("b1", "zhao", "赵", "president", "hq")),
    ]  # fmt: skip


def test_changes(tmp_path: Path) -> None:
    """What ends needs its key alone."""
    found = read_list(a_list(tmp_path, f"{STAFF},change\nr7,li,Li,rm,hq/0102,set\nr8,,,,,end\n"))
    assert (found.full, [row.ends for row in found.rows]) == (False, [False, True])
    absences = "staff_id,first_day,last_day,substitute,change\nr7,2026-02-01,2026-02-09,,set\n"
    assert read_list(a_list(tmp_path, absences)).rows[0].values[3] is None


WRONG = [
    (f"{STAFF},change\nr7,li,Li,boss,hq,set\n", "list.csv:2: role: 'boss' is no role of a person"),
    (f"{STAFF},change\nr7,li,Li,kiosk,hq,set\n", "list.csv:2: role: 'kiosk' is no role of a person"),
    (f"{STAFF},change\nr7,li,,rm,hq,set\n", "list.csv:2: name: is empty"),
    (f"{STAFF},change\nr7,li,{'x' * 129},rm,hq,set\n", "list.csv:2: name: has 129 bytes"),
    (f"{STAFF},change\nr7,li,a\x1bb,rm,hq,set\n", "list.csv:2: name: has control characters"),
    (f"{STAFF},change\nr7,li,Li,rm,east/0102,set\n", "list.csv:2: unit: 'east/0102' is no path"),
    (f"{STAFF},change\nr7,li,Li,rm,hq//0102,set\n", "list.csv:2: unit: 'hq//0102' is no path"),
    (f"{STAFF},change\nr7,li,Li,rm,{'/'.join(['hq'] * 9)},set\n", "list.csv:2: unit: has 9 levels"),
    (f"{STAFF},change\nr7,li,Li,rm,hq,{'x' * 3000}\n", "list.csv:2: change: 'xxx"),
    (f"{STAFF},change\nr7,li,Li,{'x' * 3000},hq,set\n", "list.csv:2: role: 'xxx"),
    (f"{STAFF},change\nr7,li,Li,rm,hq,delete\n", "list.csv:2: change: 'delete' is neither set nor end"),
    (f"{STAFF},change\nr7,li,Li,rm,hq\n", "list.csv:2: 5 cells, the header has 6"),
    (f"{STAFF},change\nr7,li,Li,rm,hq,set\nr7,lo,Lo,rm,hq,set\n", "list.csv:3: staff_id: r7 stands in line 2 already"),
    (f'{STAFF},change\nr7,li,"a\nb",rm,hq,set\nr8,,,,,set\n', "list.csv:3: name: has control characters"),
    ("staff_id,first_day,last_day,substitute,change\nr7,2026-02-09,2026-02-01,,set\n", "list.csv:2: last_day: 2026-02-01 is"),
    ("staff_id,first_day,last_day,substitute,change\nr7,2026-2-9,2026-02-10,,set\n", "list.csv:2: first_day: '2026-2-9' is"),
    ("staff_id,first_day,last_day,substitute,change\nr7,2026-02-01,2026-02-01,r7,set\n", "list.csv:2: substitute: r7 stands"),
    (f"{STAFF}\nr7,li,Li,rm,hq\n", "list.csv: a full list needs a manifest, list.manifest.json"),
    (f"{STAFF},change\n", "list.csv: it has no line"),
    ("a,b\n1,2\n", "list.csv:1: the columns are those of no list (units: unit,name;"),
    ("unit,unit,name\nhq,hq,x\n", "list.csv:1: the columns are those of no list"),
    ("", "list.csv:1: the columns are those of no list"),
    ('unit,name,change\nhq,"x,set\n', "list.csv: no CSV"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "said"), WRONG)
def test_what_is_refused(tmp_path: Path, text: str, said: str) -> None:
    """Line and field are named, and what it is."""
    found = refusals(a_list(tmp_path, text))[0]
    assert found.startswith(said)
    assert len(found) < SAID_CHARS_MAX


def test_every_wrong_line_is_named(tmp_path: Path) -> None:
    """Not the first alone; a good one between them counts for nothing."""
    text = f"{STAFF},change\n,li,Li,boss,hq,set\nr8,lo,Lo,rm,hq,set\nr9,lu,,rm,hq,set\n"
    assert [line.split(": ")[0:2] for line in refusals(a_list(tmp_path, text))] == [
        ["list.csv:2", "staff_id"], ["list.csv:2", "role"], ["list.csv:4", "name"],
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"rows": 2}, "list.manifest.json: rows: is 2, and of the list it is 1"),
        ({"rows": True}, "list.manifest.json: rows: is True"),
        ({"list": "units"}, "list.manifest.json: list: is 'units'"),
        ({"full_list": False}, "list.manifest.json: full_list: is False"),
        ({"sha256": "0" * 64}, "list.manifest.json: sha256: is '000"),
        ({"list": "x" * 60_000}, "list.manifest.json: list: is 'xxx"),
        ({"as_of": "9" * 60_000}, "list.manifest.json: as_of: '999"),
        ({"as_of": "soon"}, "list.manifest.json: as_of: 'soon' is no date"),
        ({"rowz": 1}, "list.manifest.json: the fields of a manifest are"),
    ],
)
def test_a_manifest_that_is_of_another_list(tmp_path: Path, more: dict[str, Any], said: str) -> None:
    """A list that was cut off, or is another one, ends nobody."""
    manifest = {"list": "staff", "as_of": "2026-01-31", "rows": 1} | more
    found = refusals(a_list(tmp_path, f"{STAFF}\nr7,li,Li,rm,hq\n", **manifest))
    assert found[0].startswith(said)
    assert len(found[0]) < SAID_CHARS_MAX
    found = refusals(a_list(tmp_path, f"{STAFF},change\nr7,li,Li,rm,hq,set\n", **manifest))
    assert "is in a list of changes" in found[0]


def test_bounds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A line, the lines and the file have a most; at it they are taken."""
    row = f"r7,li,{'x' * 100},rm,hq,set"
    text = f"{STAFF},change\n{row}\n"
    monkeypatch.setattr(bounds, "STAFF_LINE_BYTES_MAX", len(row))
    monkeypatch.setattr(bounds, "STAFF_LINES_MAX", 2)
    monkeypatch.setattr(bounds, "STAFF_FILE_BYTES_MAX", len(text))
    assert len(read_list(a_list(tmp_path, text)).rows) == 1
    monkeypatch.setattr(bounds, "STAFF_LINE_BYTES_MAX", len(row) - 1)
    assert "list.csv:2: has more than" in refusals(a_list(tmp_path, text))[0]
    monkeypatch.setattr(bounds, "STAFF_LINES_MAX", 1)
    assert "2 lines, at most 1" in refusals(a_list(tmp_path, text))[0]
    monkeypatch.setattr(bounds, "STAFF_FILE_BYTES_MAX", len(text) - 1)
    with pytest.raises(TooLargeError):
        read_list(a_list(tmp_path, text))


@given(st.binary(max_size=300))
def test_any_bytes(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    """Are a list, or are refused as one."""
    path = tmp_path_factory.mktemp("any") / "list.csv"
    path.write_bytes(f"{STAFF},change\n".encode() + data)
    with contextlib.suppress(RefusedListError):
        assert read_list(path).rows


def test_roles() -> None:
    """Every role is a person's or a machine's."""
    assert set(Role) == PEOPLE | MACHINES
    assert not PEOPLE & MACHINES
