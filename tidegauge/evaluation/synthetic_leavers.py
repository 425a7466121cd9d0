"""Leavers planted into a bank's own history, so that its thresholds can be judged by who would be found."""

from __future__ import annotations

import random
from collections import defaultdict
from typing import Any, Final

from connectors.formats.events import Event
from connectors.labelled.labels import COUNTS_QUIET, LEAVER, Label
from connectors.loading.arrival import in_order
from schemas.validation.columns import InputCheck
from streams.calendar import day_end_ms
from tidegauge.evaluation.episodes import episodes
from tidegauge.evaluation.run import WorldFiles
from tidegauge.evaluation.score import LabelledWorld

PLANTED_IN: Final = 20  # one customer of so many leaves, at most PLANTED_MAX
PLANTED_MAX: Final = 200
STEPS, GAP_DAYS = (1, 8), (2, 14)
SETTLED_DAYS: Final = 100  # of history before anybody leaves, so that windows and averages are whole
LEAVES_PER_CENT: Final = 90
NOON_MS: Final = 12 * 3_600_000
_OUTSIDE: Final = "planted"


def planted(events: list[Event], seed: int, base: str, zone: str) -> WorldFiles:
    """The history with some customers leaving in one to eight steps; who leaves loses 90 % of an account's money.

    The others count as quiet, whatever they did. Chosen are accounts in the base currency that only postings move. A history
    of less than 130 days has no room for anybody.
    """
    rng = random.Random(f"planted-{seed}")  # noqa: S311 (a choice, nothing secret)
    days = [event.day for event in events if event.day]
    span = range(min(days), max(days) + 1)
    accounts = _accounts(events, base)
    customers = sorted(
        {event.record["customer_id"] for event in events if event.topic in ("transactions", "customers")}
    )
    chosen = rng.sample(sorted(accounts), min(len(accounts), PLANTED_MAX, max(1, len(customers) // PLANTED_IN)))
    more, labels = [], []
    for account in chosen:
        made = _leaving(rng, accounts[account], span, zone)
        if made:
            more += made
            labels.append(_label(made))
    gone = {label.customer_id for label in labels}
    labels += [Label(one, "as it was", None, None, None, None, COUNTS_QUIET) for one in customers if one not in gone]
    whole = in_order([*events, *more])
    found = episodes(labels, more, base, zone)
    managers = {
        e.record["customer_id"]: e.record["rm_id"] for e in events if e.topic == "customers" and e.record["rm_id"]
    }
    booked = {e.record["event_id"]: e.record["booked_at"] for e in whole if e.topic == "transactions"}
    return WorldFiles(LabelledWorld(labels, found, span, managers, zone), whole, booked)


def _accounts(events: list[Event], base: str) -> dict[str, list[Event]]:
    """One account a customer, with its postings: the one that holds most at the end, of those without snapshots."""
    postings: defaultdict[str, dict[str, Event]] = defaultdict(dict)
    told = {event.record["account_id"] for event in events if event.topic == "balances"}
    for event in events:
        if event.topic == "transactions" and event.record["currency"] == base:
            postings[event.record["account_id"]].setdefault(event.record["event_id"], event)
    best: dict[str, tuple[int, str]] = {}
    for account, found in postings.items():
        if account not in told:
            customer = next(iter(found.values())).record["customer_id"]
            held = sum(event.record["amount_minor"] for event in found.values())
            if held > 0:
                best[customer] = max(best.get(customer, (0, "")), (held, account))
    return {account: list(postings[account].values()) for _, account in best.values()}


def _leaving(rng: random.Random, postings: list[Event], span: range, zone: str) -> list[Event]:
    """Debits of an account from some day on. No more than what is always there from then on."""
    count = rng.randint(*STEPS)
    gaps = [rng.randint(*GAP_DAYS) for _ in range(count - 1)]
    latest = len(span) - sum(gaps) - 2
    if latest <= SETTLED_DAYS:
        return []
    at, made = span[rng.randrange(SETTLED_DAYS, latest)], []
    held = _least_from(postings, at) * LEAVES_PER_CENT // 100
    number = max(event.record["journal_seq"] for event in postings)
    for step, gap in enumerate([0, *gaps]):
        at += gap
        amount = held // count
        if amount > 0:
            made.append(_debit(postings[-1].record, number + step + 1, amount, at, zone))
    if made and any(InputCheck("transactions", zone).verdicts([event.record for event in made])):
        return []  # beside the largest numbers and the longest names that are taken
    return made


def _least_from(postings: list[Event], day: int) -> int:
    held: int = sum(event.record["amount_minor"] for event in postings if event.day < day)
    least = held
    for event in postings:
        if event.day >= day:
            held += event.record["amount_minor"]
            least = min(least, held)
    return least


def _debit(like: dict[str, Any], number: int, amount: int, day: int, zone: str) -> Event:
    at = day_end_ms(day, zone) - NOON_MS
    changed = {
        "event_id": f"planted-{like['account_id']}-{number}", "journal_seq": number, "amount_minor": -amount, "value_date": day,
        "booked_at": at, "nature": "external", "customer_initiated": True, "counterparty_bank": _OUTSIDE, "reverses": None,
    }  # fmt: skip
    return Event(day, "transactions", like | changed)


def _label(made: list[Event]) -> Label:
    whole, out = sum(-event.record["amount_minor"] for event in made), 0
    for event in made:
        out -= event.record["amount_minor"]
        if out * 10 >= whole * 8:
            break
    return Label(made[0].record["customer_id"], "planted", made[0].day, made[-1].day, whole, event.day, LEAVER)
