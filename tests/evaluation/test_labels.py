"""labels.csv: what is read is what was written, and each line that cannot be taken says where and why."""

from pathlib import Path

import pytest

from connectors.formats.canonical import LABELS_FILE, data_files
from connectors.formats.events import InputError
from connectors.labelled import Label, read_labels, write_labels
from connectors.labelled.labels import COUNTS_QUIET, CUSTOMER_BYTES_MAX, LABEL_COLUMNS, LEAVER
from streams.accounts.store import ID_BYTES_MAX

HEADER = ",".join(LABEL_COLUMNS)
GOOD = "C1,slowly,2026-02-03,2026-05-04,1000,2026-04-20,leaver"
STAYS = "C2,plain,,,,,quiet"


def file(folder: Path, *lines: str) -> Path:
    path = folder / LABELS_FILE
    path.write_text("\n".join(lines) + "\n")
    return path


def test_written_and_read(tmp_path: Path) -> None:
    """A name with a comma, several episodes, ways without an amount."""
    labels = [
        Label("C1", "slowly, and more", 20_500, 20_520, 7, 20_510, LEAVER),
        Label("C1", "again", 20_530, 20_530, 1, 20_530, LEAVER),
        Label("C2", "plain", None, None, None, None, COUNTS_QUIET),
        Label("C3", "house", 20_500, 20_500, 9, None, "either"),
    ]
    path = tmp_path / LABELS_FILE
    write_labels(path, labels)
    assert path.read_text().splitlines()[1] == 'C1,"slowly, and more",2026-02-16,2026-03-08,7,2026-02-26,leaver'
    assert read_labels(path) == labels


def test_columns_may_stand_in_any_order(tmp_path: Path) -> None:
    """By name; a file from a spreadsheet may begin with a mark and end lines with CRLF."""
    names, cells = HEADER.split(",")[::-1], GOOD.split(",")[::-1]
    path = tmp_path / LABELS_FILE
    path.write_bytes(b"\xef\xbb\xbf" + f"{','.join(names)}\r\n{','.join(cells)}\r\n".encode())
    assert read_labels(path) == [Label("C1", "slowly", 20_487, 20_577, 1000, 20_563, LEAVER)]


@pytest.mark.parametrize(
    ("lines", "place"),
    [
        ((), ":1: customer_id: is missing in the header"),
        ((HEADER,), ": holds no label"),
        ((HEADER.replace(",kind", ""), GOOD), ":1: kind: is missing in the header"),
        ((f"{HEADER},kind", GOOD), ":1: kind: stands twice"),
        ((f"{HEADER},more", GOOD), ":1: more: is no column of labels"),
        ((HEADER, STAYS, "C1,slowly"), ":3: 2 cells, the header has 7"),
        ((HEADER, STAYS, GOOD.replace("leaver", "gone")), ":3: counts_as"),
        ((HEADER, GOOD.replace("C1", "")), ":2: customer_id: is missing"),
        ((HEADER, GOOD.replace("2026-02-03", "")), ":2: first_day: is missing: a leaver has all columns"),
        ((HEADER, GOOD.replace("1000", "0")), ":2: amount_minor: is missing"),
        ((HEADER, GOOD.replace("1000", "-5")), ":2: amount_minor: -5"),
        ((HEADER, GOOD.replace("1000", "10.5")), ":2: amount_minor"),
        ((HEADER, GOOD.replace("2026-05-04", "2026-02-30")), ":2: last_day"),
        ((HEADER, GOOD.replace("2026-05-04", "2026-01-01")), ":2: last_day: 2026-01-01 is before first_day 2026-02-03"),
        ((HEADER, GOOD.replace("2026-04-20", "2026-06-01")), ":2: day_80: 2026-06-01 is not from"),
        ((HEADER, GOOD.replace("slowly", "s" * 65)), ":2: kind: 65 characters, at most 64"),
        ((HEADER, GOOD.replace("C1", "客" * 300)), ":2: customer_id: more than"),
        ((HEADER, GOOD, STAYS.replace("C2", "C1")), "customer C1 is quiet in one line and leaver in another"),
        ((HEADER, GOOD, GOOD), "two episodes of customer C1 overlap"),
        ((HEADER, 'C1,"slowly'), "broken quotes"),
    ],
)
def test_what_is_wrong_is_said(tmp_path: Path, lines: tuple[str, ...], place: str) -> None:
    """File, line and column, and the reason."""
    with pytest.raises(InputError) as problem:
        read_labels(file(tmp_path, *lines))
    assert place in str(problem.value)
    assert str(problem.value).startswith(str(tmp_path / LABELS_FILE))


def test_customers_are_as_long_as_elsewhere() -> None:
    """The bound of ids."""
    assert CUSTOMER_BYTES_MAX == ID_BYTES_MAX


def test_other_characters_are_refused(tmp_path: Path) -> None:
    """Not guessed at."""
    path = tmp_path / LABELS_FILE
    path.write_bytes(f"{HEADER}\n".encode() + "C1,缓慢,,,,,quiet\n".encode("gbk"))
    with pytest.raises(InputError, match="no UTF-8 at byte"):
        read_labels(path)


def test_labels_are_no_events(tmp_path: Path) -> None:
    """They stand beside CSV files of events, and whoever reads those passes over them."""
    file(tmp_path, HEADER, GOOD)
    (tmp_path / "transactions.csv").write_text("")
    assert data_files(tmp_path, "csv") == [tmp_path / "transactions.csv"]
