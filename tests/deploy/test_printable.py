"""What comes from outside steers no terminal and no spreadsheet, wherever it is shown."""

import csv
import io
import json
import re
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from rich.table import Table

from deploy.printable import printable, spreadsheet_row
from services.notices.channels import ConsoleChannel
from tests.services.contract_notices import NOTICE
from tidegauge.cli import output
from tidegauge.cli.output import PlainConsole

STEERING = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")
ANYTHING = st.text(max_size=60) | st.text("[]/x\x1b\x07\x9b=b:'\\", max_size=12)


@given(ANYTHING)
@example("[/x]")
@example("[red]x[/red] :100: \x1b]0;title\x07\x1b[2J")
@example("\u202e6000")
@example("\t0")
def test_console_shows_what_it_was_given(value: str) -> None:
    """A printed value, alone, in a table or as an error, is shown whole and as it is, but for what steers."""
    out = PlainConsole(file=io.StringIO(), width=2000, _environ={})
    one_line = " ".join(printable(value).split())
    out.print(value, soft_wrap=True)
    table = Table("a", box=None)
    table.add_row(value)
    out.print(table)
    shown = out.file.getvalue()  # type: ignore[attr-defined]
    assert not STEERING.search(shown)
    assert " ".join(shown.split()).count(one_line) >= 2 or not one_line


def test_error_shows_markup_as_text(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """The line that names a bad value of a file neither ends in an exception nor in colours of the file's choice."""
    monkeypatch.setattr(output, "notes", PlainConsole(stderr=True, _environ={}))
    output.error("f.csv:2: branch: '[/x] \x1b[31m' [bold]", "[/]")
    assert capsys.readouterr().err == "error: f.csv:2: branch: '[/x] \\u001b[31m' [bold]\n  [/]\n"


@given(st.text())
def test_printable(text: str) -> None:
    """Safe, the same where nothing steers, settled after once, and a JSON document stays the same document."""
    safe = printable(text)
    assert not STEERING.search(safe) and printable(safe) == safe
    assert STEERING.search(text) or "\\u" in safe or safe == text
    document = json.dumps({"a": text}, ensure_ascii=False)
    assert json.loads(printable(document)) == {"a": text}


async def test_notices_on_the_console() -> None:
    """A branch or a manager with an escape in the name changes no operator's screen."""
    out: list[str] = []
    await ConsoleChannel(out.append).send(
        NOTICE.__class__(**{**_fields(), "recipient": "rm\x1b[2J", "body": "x\x9b2J"})
    )
    assert out == ["[2026-03-02] → rm\\u001b[2J: 【高】客户 ****0042\n    x\\u009b2J"]


def _fields() -> dict[str, Any]:
    return {name: getattr(NOTICE, name) for name in NOTICE.__dataclass_fields__}


@pytest.mark.parametrize(
    ("cell", "written"),
    [
        ("=HYPERLINK(1)", "'=HYPERLINK(1)"), ("@SUM(A1)", "'@SUM(A1)"), ("+1+1", "'+1+1"), ("-2+3", "'-2+3"),
        ("＝1", "'＝1"), ("\tx", "'\tx"), ("-12.34", "-12.34"), ("+5", "+5"), (-7, -7), (None, None), ("C1", "C1"),
        ("客户", "客户"), ("", ""), ("a=b", "a=b"), ("=1\x1b", "'=1\\u001b"),
    ],
)  # fmt: skip
def test_spreadsheet_computes_nothing(cell: object, written: object) -> None:
    """Text that begins like a formula is text; numbers stay numbers."""
    assert spreadsheet_row([cell]) == [written]


@given(st.lists(st.text(max_size=8) | st.text("=+-@\t\r\n\"',;", max_size=5), min_size=1, max_size=3))
def test_no_cell_of_a_file_begins_a_formula(row: list[str]) -> None:
    """Read back as a spreadsheet does, no cell begins with what begins a formula, unless it is a number."""
    file = io.StringIO(newline="")
    csv.writer(file).writerow(spreadsheet_row(row))
    (cells,) = csv.reader(io.StringIO(file.getvalue(), newline=""))
    for cell in cells:
        assert not re.match("[=+\\-@\t\r\n]", cell) or re.fullmatch(r"[+-]?\d+(\.\d+)?", cell)
