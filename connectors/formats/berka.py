"""The Berka files (a Czech bank, 1993 to 1998; the PKDD'99 challenge): `;`-separated, dates YYMMDD of the 1900s.

A customer is the OWNER of an account, his branch the account's district. The bank's `balance` column is rounded and is
not used. A posting has a date only, so it is booked at the day's end in the bank's zone. If trans.asc breaks off in
the middle of a line, its last date is incomplete and is dropped.
"""

import csv
import os
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Final, NamedTuple

from connectors.formats import fields
from connectors.formats.canonical import raw_lines
from connectors.formats.events import Event, InputError, Record, Report, held, refuse
from connectors.formats.fields import FieldError
from connectors.formats.ranks import number_postings
from connectors.loading.file_validation import ReadLine, judged
from schemas import bounds
from schemas.bounded import open_bounded
from streams.calendar import day_end_ms, day_of

SOURCE: Final = "berka"
CURRENCY: Final = "CZK"
CENTURY: Final = 1900
CUT: Final = "trans.asc"  # may break off anywhere
TAIL_BYTES: Final = 4096  # its last two lines are in there
FILES: Final = ("account.asc", "card.asc", "client.asc", "disp.asc", "trans.asc")
HEADERS: Final = {
    "account.asc": "account_id district_id frequency date",
    "card.asc": "card_id disp_id type issued",
    "client.asc": "client_id birth_number district_id",
    "disp.asc": "disp_id client_id account_id type",
    "trans.asc": "trans_id account_id date type operation amount balance k_symbol bank account",
}
_SIGNS: Final = {"PRIJEM": 1, "VYDAJ": -1, "VYBER": -1}
_NATURES: Final = {"UROK": "interest", "SANKC. UROK": "interest", "SLUZBY": "fee"}  # by k_symbol; the rest is external
# operation: how it reached the bank, and whether the customer set it off
OPERATIONS: Final = {
    "VKLAD": ("counter", True),
    "VYBER": ("counter", True),
    "VYBER KARTOU": ("card", True),
    "PREVOD NA UCET": ("transfer", True),
    "PREVOD Z UCTU": ("transfer", False),
    "": (None, False),
}


class _Account(NamedTuple):
    """An account as the other files describe it. Days are day numbers."""

    customer: str
    branch: str
    opened: int
    born: int | None
    card: tuple[str, str, int] | None  # card id, type, day of issue


_Row = tuple[int, list[str], bytes]  # line, cells, the line as it stood


def folder_files(folder: Path) -> list[Path]:
    """The files that an import reads; InputError if one is missing."""
    found = [folder / name for name in FILES]
    for file in found:
        if not file.is_file():
            raise InputError(str(file), 0, None, "is missing from the Berka folder")
    return found


def read_folder(folder: Path, zone: str, report: Report = refuse) -> list[Event]:
    """Profiles and postings of a Berka folder, unordered, with journal_seq = rank by date and trans_id in the account.

    `zone` is the bank's zone in which the worker counts days.
    """
    folder_files(folder)
    accounts = _accounts(folder, report)
    trans = folder / CUT
    read = judged(str(trans), zone, lambda told: _postings(trans, accounts, zone, told), report)
    postings = list(held(read, folder))
    last = max((posting.day for posting in postings), default=0)
    found = (ReadLine(0, event, {}, b"") for account in accounts.values() for event in _profiles(account))
    profiles = (event for event in judged(str(folder), zone, lambda _: found, report) if event.day <= last)
    return number_postings([*held(profiles, folder, len(postings)), *postings], str(trans), report)


def _postings(path: Path, accounts: dict[str, _Account], zone: str, report: Report) -> Iterator[ReadLine]:
    dropped = _cut_date(path)
    for line, cells, original in _rows(path, report):
        if cells[2] == dropped:
            continue
        try:
            yield ReadLine(line, _posting(cells, accounts, zone), {}, original)
        except FieldError as problem:
            report(InputError(str(path), line, problem.field, problem.reason, original))


def _posting(cells: list[str], accounts: dict[str, _Account], zone: str) -> Event:
    trans_id, account_id, yymmdd, kind, operation, amount, _, symbol, bank, partner = cells
    account = accounts.get(account_id)
    if account is None:
        raise FieldError("account_id", f"account {account_id!r} has no owner in disp.asc")
    if kind not in _SIGNS:
        raise FieldError("type", f"{kind!r} is none of {', '.join(_SIGNS)}")
    if operation not in OPERATIONS:
        raise FieldError("operation", f"{operation!r} is unknown")
    nature = _NATURES.get(symbol.strip(), "external")
    channel, initiated = OPERATIONS[operation]
    day = _day("date", yymmdd)
    record: Record = {
        "event_id": str(fields.count("trans_id", trans_id)),
        "source": SOURCE,
        "journal_seq": None,
        "customer_id": account.customer,
        "account_id": account_id,
        "asset_class": "deposit_demand",
        "currency": CURRENCY,
        "amount_minor": _SIGNS[kind] * _magnitude(amount),
        "value_date": day,
        "booked_at": day_end_ms(day, zone),
        "nature": nature,
        "customer_initiated": initiated and nature == "external",
        "branch": account.branch,
        "channel": channel,
        "counterparty_bank": bank or None,
        "counterparty_ref": partner if partner.strip("0") else None,
        "reverses": None,
    }
    return Event(day, "transactions", record)


def _magnitude(amount: str) -> int:
    minor = fields.money("amount", amount, CURRENCY)
    if minor < 0:
        raise FieldError("amount", f"{amount} is negative: the sign comes from the type")
    return minor


def _profiles(account: _Account) -> Iterator[Event]:
    """The customer's profile when the account is opened, and again when a card is issued."""
    record: Record = {
        "event_id": f"client-{account.customer}",
        "customer_id": account.customer,
        "customer_class": "personal",
        "branch": account.branch,
        "rm_id": None,
        "relationship_since": account.opened,
        "birth_date": account.born,
        "card_held": None,
    }
    yield Event(account.opened, "customers", record)
    if account.card is not None:
        card_id, kind, issued = account.card
        yield Event(issued, "customers", record | {"event_id": f"card-{card_id}", "card_held": kind})


def _accounts(folder: Path, report: Report) -> dict[str, _Account]:
    """Accounts by id, of those that have an owner."""
    owners: dict[str, tuple[str, str]] = {}
    for _, (disp_id, client_id, account_id, kind), _ in _rows(folder / "disp.asc", report):
        if kind == "OWNER":
            owners[account_id] = client_id, disp_id
    births = _births(folder / "client.asc", report)
    cards = _cards(folder / "card.asc", report)
    accounts: dict[str, _Account] = {}
    path = folder / "account.asc"
    for line, (account_id, district_id, _, opened), original in _rows(path, report):
        try:
            day = _day("date", opened)
        except FieldError as problem:
            report(InputError(str(path), line, problem.field, problem.reason, original))
            continue
        if account_id in owners:
            client_id, disp_id = owners[account_id]
            accounts[account_id] = _Account(client_id, district_id, day, births.get(client_id), cards.get(disp_id))
    return accounts


def _births(path: Path, report: Report) -> dict[str, int]:
    """Birth days by client. A woman's birth number has 50 added to the month."""
    found = {}
    for line, (client_id, number_, _), original in _rows(path, report):
        try:
            month = fields.count("birth_number", number_[2:4])
            found[client_id] = _day("birth_number", f"{number_[:2]}{month % 50:02}{number_[4:]}")
        except FieldError as problem:
            report(InputError(str(path), line, problem.field, problem.reason, original))
    return found


def _cards(path: Path, report: Report) -> dict[str, tuple[str, str, int]]:
    """(card id, type, day of issue) by disposition."""
    found = {}
    for line, (card_id, disp_id, kind, issued), original in _rows(path, report):
        try:
            found[disp_id] = card_id, kind, _day("issued", issued[:6])
        except FieldError as problem:
            report(InputError(str(path), line, problem.field, problem.reason, original))
    return found


def _day(field: str, yymmdd: str) -> int:
    """Day number of YYMMDD in the 1900s."""
    if len(yymmdd) != 6 or not yymmdd.isascii() or not yymmdd.isdigit():
        raise FieldError(field, f"{fields.show(yymmdd)} is no date such as 931231")
    try:
        return day_of(date(CENTURY + int(yymmdd[:2]), int(yymmdd[2:4]), int(yymmdd[4:])))
    except ValueError:
        raise FieldError(field, f"{fields.show(yymmdd)} is not in the calendar") from None


def _rows(path: Path, report: Report) -> Iterator[_Row]:
    """The data rows of a file. A last line without its end is left out in trans.asc: the file was cut there."""
    names = HEADERS[path.name].split()
    with open_bounded(path, bounds.FILE_BYTES_MAX) as stream:
        for line, raw in raw_lines(stream, path, report):
            if path.name == CUT and not raw.endswith(b"\n"):
                return
            original = raw.rstrip(b"\r\n")
            try:
                cells = next(csv.reader((original.decode("ascii"),), delimiter=";", strict=True), [])
            except (UnicodeDecodeError, csv.Error) as problem:
                report(InputError(str(path), line, None, str(problem), original))
                continue
            if line == 1:
                if cells != names:
                    raise InputError(str(path), 1, None, f"the header is not {';'.join(names)}")
            elif len(cells) == len(names):
                yield line, cells, original
            elif original.strip():
                report(InputError(str(path), line, None, f"{len(cells)} cells instead of {len(names)}", original))


def _cut_date(path: Path) -> str | None:
    """The date that trans.asc breaks off in, None if its last line is whole."""
    with open_bounded(path, bounds.FILE_BYTES_MAX) as stream:
        stream.seek(max(0, stream.seek(0, os.SEEK_END) - TAIL_BYTES))
        tail = stream.read()
    whole, _, rest = tail.rpartition(b"\n")
    if not rest:
        return None
    broken, complete = rest.split(b";"), whole.rpartition(b"\n")[2].split(b";")
    cells = broken if len(broken) > 3 else complete
    return cells[2].decode("ascii", errors="replace") if len(cells) > 3 else None
