"""journal_seq for postings whose file has none: the stable rank by booking and source id within the account.

The rank is right only if the files hold the account's whole history: the same posting must get the same rank when the
file is exported again, longer, as the number is what the engine recognises a duplicate by.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any

from connectors.formats.events import Event, InputError, Record, Report

_Account = tuple[str, str]  # source, account_id


def order(record: Record) -> tuple[Any, ...]:
    """Sort key of postings within an account. Ids of digits sort as numbers: shorter first, then by their text."""
    return record["booked_at"], len(record["event_id"]), record["event_id"]


def number_postings(events: Iterable[Event], file: str, report: Report) -> list[Event]:
    """Fill in the missing journal_seq, from 1; a line that repeats another is left out, a conflict is reported.

    An account with numbers on some of its postings only is refused as a whole: ranks would collide with them.
    """
    kept: list[Event] = []
    bare: defaultdict[_Account, dict[str, Event]] = defaultdict(dict)
    numbered: set[_Account] = set()
    for event in events:
        record = event.record
        if event.topic != "transactions":
            kept.append(event)
            continue
        account = record["source"], record["account_id"]
        if record["journal_seq"] is not None:
            numbered.add(account)
            kept.append(event)
        elif (first := bare[account].setdefault(record["event_id"], event)) is not event and first.record != record:
            reason = f"event_id {record['event_id']!r} stands for two different postings"
            report(InputError(file, 0, "event_id", reason, repr(record).encode()))
    _rank(bare, numbered, kept.append, file, report)
    return kept


def _rank(
    bare: dict[_Account, dict[str, Event]],
    numbered: set[_Account],
    keep: Callable[[Event], None],
    file: str,
    report: Report,
) -> None:
    for account, found in bare.items():
        if account in numbered:
            reason = f"account {account[1]!r}: {len(found)} postings lack the journal_seq that others have"
            report(InputError(file, 0, "journal_seq", reason))
            continue
        for rank, event in enumerate(sorted(found.values(), key=lambda event: order(event.record)), 1):
            event.record["journal_seq"] = rank
            keep(event)
