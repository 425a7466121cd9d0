"""The Berka format: small files made here for its rules, and the real ones for its figures."""

from collections import Counter
from datetime import date

import pytest

from connectors.formats import berka
from connectors.formats.events import DayEnd, InputError
from connectors.formats.sources import read_source
from connectors.loading.arrival import days
from schemas.codec.records import decode_one, encode
from streams.calendar import day_of

ZONE = "Europe/Prague"
FILES = {
    "account.asc": ['1;55;"POPLATEK MESICNE";930101', '2;7;"POPLATEK TYDNE";930215', '3;9;"X";950101'],
    "card.asc": ['9;11;"gold";930220 00:00:00'],
    "client.asc": ['5;"706213";18', '6;"450204";1', '7;"450204";1'],
    "disp.asc": ['11;5;1;"OWNER"', '12;6;2;"OWNER"', '13;7;2;"DISPONENT"', '14;7;3;"OWNER"'],
    "trans.asc": [
        '30;1;930102;"VYDAJ";"VYBER";50.10;1;"";;',
        '20;1;930102;"PRIJEM";"VKLAD";700.00;700.00;"";;',
        '10;1;930105;"VYBER";"VYBER";1.00;1;"";;',
        '40;2;930216;"VYDAJ";"PREVOD NA UCET";2452.00;1;"SIPO";"YZ";87144583',
        '41;2;930228;"PRIJEM";"";12.30;1;"UROK";;',
        '42;2;930228;"VYDAJ";"VYBER";14.60;1;"SLUZBY";;',
        '43;2;930228;"VYDAJ";"VYBER";3.70;1;"SANKC. UROK";;',
    ],
}


def folder(path, **changes: list[str]):
    for name, rows in FILES.items():
        header = ";".join(f'"{cell}"' for cell in berka.HEADERS[name].split())
        found = [header, *changes.get(name.removesuffix(".asc"), rows)]
        (path / name).write_bytes(b"".join(row.encode() + b"\r\n" for row in found))
    return path


def postings(path, report=None):
    found = read_source("berka", path, ZONE, *([report] if report else []))
    return [event.record for event in found if event.topic == "transactions"]


def test_signs_natures_and_ranks(tmp_path):
    """PRIJEM is credit, VYDAJ and VYBER debit; interest and fees are internal; ranks go by date and trans_id."""
    found = postings(folder(tmp_path))
    rows = [(r["account_id"], r["journal_seq"], r["event_id"], r["amount_minor"], r["nature"]) for r in found]
    assert sorted(rows) == [
        ("1", 1, "20", 70000, "external"),
        ("1", 2, "30", -5010, "external"),
        ("1", 3, "10", -100, "external"),
        ("2", 1, "40", -245200, "external"),
        ("2", 2, "41", 1230, "interest"),
        ("2", 3, "42", -1460, "fee"),
        ("2", 4, "43", -370, "interest"),
    ]
    transfer = next(record for record in found if record["event_id"] == "40")
    assert (transfer["counterparty_bank"], transfer["counterparty_ref"], transfer["customer_initiated"]) == (
        "YZ",
        "87144583",
        True,
    )
    assert {record["customer_initiated"] for record in found if record["nature"] != "external"} == {False}


def test_owner_branch_and_profile(tmp_path):
    """The customer is the owner, the branch the account's district; accounts and cards come when they are issued."""
    found = read_source("berka", folder(tmp_path), ZONE)
    assert {(event.record["customer_id"], event.record["branch"]) for event in found} == {("5", "55"), ("6", "7")}
    profiles = [event for event in found if event.topic == "customers"]
    assert [(event.day, event.record["card_held"]) for event in profiles if event.record["customer_id"] == "5"] == [
        (day_of(date(1993, 1, 1)), None),
        (day_of(date(1993, 2, 20)), "gold"),
    ]
    assert profiles[0].record["birth_date"] == day_of(date(1970, 12, 13))  # a woman's month has 50 added
    assert decode_one(encode("customers", profiles[0].record)) == profiles[0].record


def test_cut_file_drops_its_last_date(tmp_path):
    """A file that breaks off in a line has lost some of its last date: all of that date is dropped, nothing else."""
    folder(tmp_path)
    path = tmp_path / "trans.asc"
    whole = path.read_bytes()
    path.write_bytes(whole + b'44;2;930228;"PRI')
    assert [record["event_id"] for record in postings(tmp_path)] == ["20", "30", "10", "40"]
    path.write_bytes(whole + b'44;2;930301;"PRI')  # the first line of another date: the date before is whole
    assert len(postings(tmp_path)) == 7


@pytest.mark.parametrize(
    ("line", "field"),
    [
        ('50;1;930132;"PRIJEM";"VKLAD";1.00;1;"";;', "date"),
        ('50;1;93011;"PRIJEM";"VKLAD";1.00;1;"";;', "date"),
        ('50;1;930103;"KREDIT";"VKLAD";1.00;1;"";;', "type"),
        ('50;1;930103;"PRIJEM";"GIFT";1.00;1;"";;', "operation"),
        ('50;1;930103;"PRIJEM";"VKLAD";NaN;1;"";;', "amount"),
        ('50;1;930103;"PRIJEM";"VKLAD";1.001;1;"";;', "amount"),
        ('50;1;930103;"PRIJEM";"VKLAD";-1.00;1;"";;', "amount"),
        ('-50;1;930103;"PRIJEM";"VKLAD";1.00;1;"";;', "trans_id"),
        ('50;77;930103;"PRIJEM";"VKLAD";1.00;1;"";;', "account_id"),
        ('50;1;930103;"PRIJEM"', None),
        ('50;1;930103;"PRIJ\xe9M";"VKLAD";1.00;1;"";;', None),
    ],
)
def test_bad_lines(tmp_path, line, field):
    """A bad line is named by file, line and field; the others are taken."""
    bad: list[InputError] = []
    found = postings(folder(tmp_path, trans=[*FILES["trans.asc"][:3], line, *FILES["trans.asc"][3:]]), bad.append)
    assert len(found) == 7
    assert [(problem.file, problem.line, problem.field) for problem in bad] == [(str(tmp_path / "trans.asc"), 5, field)]


def test_not_a_berka_folder(tmp_path):
    """A folder that lacks a file, or has another header, is refused as a whole."""
    folder(tmp_path)
    (tmp_path / "disp.asc").write_text("a;b\n")
    with pytest.raises(InputError, match="header"):
        read_source("berka", tmp_path, ZONE)
    (tmp_path / "disp.asc").unlink()
    with pytest.raises(InputError, match="missing"):
        read_source("berka", tmp_path, ZONE)


@pytest.mark.slow
def test_the_real_files(berka_dir):
    """46,997 postings of 1993-01-01 to 1994-03-30; 1,197 customers have one by the end of February 1994."""
    bad: list[InputError] = []
    found = read_source("berka", berka_dir, ZONE, bad.append)
    assert not bad
    assert Counter(event.topic for event in found) == {"transactions": 46_997, "customers": 1_235}
    ends = [item.day for item in days(found, "berka") if isinstance(item, DayEnd)]
    assert (ends[0], ends[-1], len(ends)) == (day_of(date(1993, 1, 1)), day_of(date(1994, 3, 30)), 454)
    february = day_of(date(1994, 2, 28))
    assert len({event.record["customer_id"] for event in found if event.day <= february}) == 1_197
    records = [event.record for event in found if event.topic == "transactions"]
    by_account = Counter(record["account_id"] for record in records)
    assert sum(record["journal_seq"] for record in records) == sum(n * (n + 1) // 2 for n in by_account.values())
