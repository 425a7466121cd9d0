"""The bank of the recording, from a fixed seed: what reaches its topics in order. Used only when it is written anew.

Half a year of twenty persons and eight firms, built so that everything a changelog can hold comes up.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.twins.events import day, instant, posting, rate, snapshot

SEED = 20_240_101
FIRST, LAST = day("2024-01-01"), day("2024-06-20")
PACKS = Path(__file__).parent / "packs"
PERSONS = [*(f"P{n:02}" for n in range(1, 20)), "客户"]
FIRMS = [f"F{n:02}" for n in range(1, 9)]
BRANCHES = ("B1", "B2", "B3")
RICHES = (300_000, 1_500_000, 5_000_000, 8_000_000, 21_000_000, 24_000_000, 40_000_000, 105_000_000)  # fen
ACTS = (
    "apply_card", "approve_card", "issue_card", "collect_card", "report_lost", "replace_card", "renew_card",
    "return_card", "refuse_card", "record", "record", "withdraw_record", "override_tier", "request_exception",
    "approve_exception", "revoke_exception", "issue_staff_card", "pin_policy", "unpin_policy", "note", "dance",
)  # fmt: skip
TIERS = {"personal": ("silver", "gold", "black"), "corporate": ("key", "prime")}
CARDS = {"personal": ("silver", "gold", "black"), "corporate": ("firm-gold", "firm-black")}
HOLIDAYS = {day(text) for text in ("2024-01-01", "2024-02-12", "2024-02-13", "2024-02-14", "2024-05-01", "2024-05-02")}
WORKED = day("2024-02-18")  # a Sunday on which the bank is open
# While a source is silent, closes of these days put changes off.
SILENT = [(day("2024-02-27"), day("2024-03-05")), (day("2024-04-29"), day("2024-05-03"))]
TWO_DEBITS, BROKEN = day("2024-02-06"), day("2024-03-12")
# One becomes a firm for some weeks, another for good.
CLASS_CHANGES = {
    ("P05", day("2024-03-01")): "corporate", ("P05", day("2024-05-02")): "personal", ("P06", day("2024-05-21")): "corporate",
}  # fmt: skip
MAY_SET = re.compile(r"^branches:\n(?:  .*\n)+\n", re.MULTILINE)

Event = dict[str, Any]


def pack_text(name: str, **head: Any) -> str:
    """A pack's text, with other values in its first lines."""
    text = (PACKS / f"{name}.yaml").read_text()
    for key, value in head.items():
        text = re.sub(rf"^{key}: .*$", f"{key}: {value}", text, count=1, flags=re.MULTILINE)
    return text


def supplement(base: str, since: str, silver: str, version: int) -> str:
    """Branch B2's own numbers on top of a version of the first pack."""
    head = "supplement: {base: harbour, branch: B2, filed_on: 2024-01-02}\n\n"
    text = MAY_SET.sub(head, base).replace('"50000.00"', f'"{silver}"', 1)
    text = re.sub(r"^pack: .*$", "pack: harbour-b2", text, count=1, flags=re.MULTILINE)
    text = re.sub(r"^version: .*$", f"version: {version}", text, count=1, flags=re.MULTILINE)
    return re.sub(r"^effective_from: .*$", f"effective_from: {since}", text, count=1, flags=re.MULTILINE)


def packs() -> dict[int, list[Event]]:
    """The packs that are announced, by the day: versions, a supplement of a branch, layers, a scheme by cards."""
    first = pack_text("harbour")
    second = pack_text("harbour", version=2, effective_from="2024-03-16").replace('"200000.00"', '"220000.00"', 1)
    second = second.replace("valid_months: 2", "valid_months: 3", 1)  # which ends the supplement
    firms = pack_text("firms", version=2, effective_from="2024-04-11").replace('"300000.00"', '"250000.00"', 1)
    firms = firms.replace("    vip_from: key\n", "    vip_from: key\n    pinning: {before_version: 2}\n")
    care = pack_text("care", version=2, effective_from="2024-04-06").replace('"300000.00"', '"200000.00"', 1)
    # From April on nobody is decided every day: a close looks at whom something has come for, or waits.
    firms = firms.replace("close: continuous, upgrades: continuous", "close: month, upgrades: month", 1)
    care = care.replace("close: day, upgrades: day", "close: month, upgrades: month", 1)
    announced = {
        "2024-01-20": (supplement(first, "2024-02-10", "30000.00", 1), "personal"),
        "2024-02-20": (second, "personal"),
        "2024-02-21": (second.replace("close: month", "close: moon"), "personal"),
        "2024-03-20": (supplement(second, "2024-03-25", "40000.00", 2), "personal"),
        "2024-03-28": (care, "personal"),
        "2024-04-02": (firms, "corporate"),
        "2024-04-20": (pack_text("harbour-cards"), "personal"),
        "2024-06-10": (pack_text("harbour-cards", version=2, effective_from="2024-07-01"), "personal"),
    }
    return {day(on): [activation(*what)] for on, what in announced.items()}


def activation(text: str, customer_class: str) -> Event:
    """The record of a pack."""
    head = dict(re.findall(r"^(pack|version|effective_from): (\S+)$", text, flags=re.MULTILINE))
    return {
        "topic": "policies", "pack_id": head["pack"], "version": int(head["version"]),
        "effective_from": day(head["effective_from"]), "body": text, "customer_class": customer_class,
    }  # fmt: skip


class Bank:
    """Lives day by day."""

    last = LAST

    def __init__(self) -> None:
        self.random = random.Random(SEED)
        self.numbers: dict[str, int] = {}  # of the accounts' journals
        self.balances: dict[str, int] = {}
        self.count = 0
        self.packs = packs()
        self.sent: list[Event] = []

    def days(self) -> Iterator[tuple[int, list[Event]]]:
        """(day, what arrives before its close) of every day."""
        for at in range(FIRST, self.last + 1):
            events = [*(self.opening() if at == FIRST else ()), *self.market(at), *self.packs.get(at, ())]
            lived = [event for one in (*PERSONS, *FIRMS) for event in self.life(one, at)]
            self.random.shuffle(lived)
            yield at, [*events, *lived, *self.planted(at), *self.known_day(at)]

    def number(self) -> int:
        """The next number of an event."""
        self.count += 1
        return self.count

    def kind(self, one: str) -> str:
        """A customer's class at the start."""
        return "corporate" if one in FIRMS else "personal"

    # -- what is sent

    def opening(self) -> Iterator[Event]:
        """Profiles and balances that are older than the log."""
        for place, one in enumerate((*PERSONS, *FIRMS)):
            yield self.profile(one, BRANCHES[place % 3])
            amount = RICHES[place % len(RICHES)] * (4 if one in FIRMS else 1)
            yield self.post(one, f"{one}-main", amount, FIRST - 100, FIRST)
            if place % 3 == 0:
                yield self.post(
                    one, f"{one}-usd", amount // 20, FIRST - 90, FIRST, currency="USD", asset_class="wealth"
                )
            if place % 5 == 0:
                yield self.post(
                    one, f"{one}-jpy", amount // 30, FIRST - 80, FIRST, currency="JPY", asset_class="savings"
                )
            if place % 4 == 0:
                opened = FIRST - 300 if place % 8 else None
                yield self.shot(
                    f"{one}-fund", one, amount // 2, FIRST, asset_class="fund", source="agency", opened=opened
                )
        yield {**self.post("P01", "P01-main", 1, FIRST, FIRST), "currency": "XXX"}

    def profile(self, one: str, branch: str, **other: Any) -> Event:
        """A profile."""
        number = self.number()
        return {
            "topic": "customers", "event_id": f"cif-{number}", "customer_id": one, "customer_class": self.kind(one),
            "branch": branch, "rm_id": f"rm-{number % 5}" if number % 4 else None,
            "relationship_since": FIRST - 200 * (number % 4) if number % 6 else None,
            "birth_date": FIRST - 15_000 if number % 3 == 0 else None,
            "card_held": "silver" if number % 9 == 0 and one in PERSONS else None, **other,
        }  # fmt: skip

    def post(self, one: str, account: str, amount: int, value: int, booked: int, **other: Any) -> Event:
        """A posting; now and then a number of the journal is left out."""
        self.numbers[account] = self.numbers.get(account, 0) + (2 if self.random.randrange(40) == 0 else 1)
        self.balances[account] = self.balances.get(account, 0) + amount
        clock = f"{self.random.randrange(8, 22):02}:{self.random.randrange(60):02}:00"
        return posting(
            self.numbers[account], amount, value, booked, customer=one, account=account, clock=clock, **other
        )

    def shot(self, account: str, one: str, balance: int, at: int, **other: Any) -> Event:
        """A balance of the evening."""
        return snapshot(balance, at, customer=one, account=account, clock="23:00:00", **other)

    def market(self, at: int) -> Iterator[Event]:
        """Rates of the day, one of them corrected later; the bank's calendar."""
        for place, (currency, micro) in enumerate((("USD", 7_100_000), ("JPY", 49_000))):
            yield rate(
                currency, micro + micro * ((at * (place + 7)) % 31 - 15) // 1_000, at - (100 if at == FIRST else 0)
            )
            if at == FIRST:
                yield rate(currency, micro, at)
        if at == day("2024-02-15"):
            yield rate("USD", 7_190_000, at - 6, version=2)
        if at in (FIRST, day("2024-04-25")):
            for holiday in sorted(HOLIDAYS):
                if 0 <= holiday - at < 100:
                    yield self.fact("@bank", "bank_open", 0, holiday, "calendar")
            yield self.fact("@bank", "bank_open", 1, WORKED, "calendar")

    def known_day(self, at: int) -> Iterator[Event]:
        """What a source says of itself when the day is over."""
        if not any(first <= at <= last for first, last in SILENT):
            yield self.fact("@core", "source_complete", 1, at, "core")
        if at % 7 == 0:
            yield self.fact("@agency", "source_complete", 1, at - 1, "agency")

    def fact(self, one: str, name: str, value: int, as_of: int, source: str = "loans") -> Event:
        """A fact."""
        return {
            "topic": "facts", "event_id": f"fact-{self.number()}", "customer_id": one, "name": name, "value": value,
            "as_of": as_of, "source": source,
        }  # fmt: skip

    def planted(self, at: int) -> Iterator[Event]:
        """Two large outflows in a row, a break that is explained in two steps, cards under the scheme by cards."""
        if at in (TWO_DEBITS, TWO_DEBITS + 1):
            yield self.post("P08", "P08-main", -25_000_000, at, at)
        if at == BROKEN:
            yield self.shot("P17-main", "P17", self.balances["P17-main"] + 9_000, at)
        if at in (BROKEN + 1, BROKEN + 2):
            yield self.post("P17", "P17-main", 3_000 * (at - BROKEN), BROKEN, BROKEN)

        for place, one in enumerate(PERSONS[:8:2]):
            if at == day("2024-05-22") + place:
                yield self.act(one, at, "issue_card", card=("gold", "black")[place % 2])

    # -- how they live

    def life(self, one: str, at: int) -> Iterator[Event]:
        """A customer's day."""
        pick, main = self.random.randrange, f"{one}-main"
        if pick(5) == 0:
            yield self.moves(one, main, at)
        if pick(40) == 0:
            late = at - pick(1, 45)
            yield self.post(one, main, pick(-400_000, 2_500_000), max(late, FIRST), at)
        if pick(45) == 0:
            yield self.post(one, f"{one}-usd", pick(-90_000, 160_000), at, at, currency="USD", asset_class="wealth")
        if pick(30) == 0 and main in self.balances:
            off = pick(3) == 0 and pick(-70_000, 70_000)
            yield self.shot(main, one, self.balances[main] + off, at, version=1 + pick(2))
        if f"{one}-fund" in self.balances or (one in PERSONS and pick(60) == 0):
            yield from self.fund(one, at)
        if pick(45) == 0:
            name, value = (("loan_balance", 4_000_000 * pick(4)), ("referrals", pick(5)), ("growing", pick(2)))[pick(3)]
            value = value * (40 if one in FIRMS and name == "loan_balance" else 1)
            yield self.fact(one, name, value, at - pick(4))
        if pick(70) == 0 or (one, at) in CLASS_CHANGES:
            kinds = [kind for (who, on), kind in CLASS_CHANGES.items() if who == one and on <= at]
            yield self.profile(one, BRANCHES[pick(3)], customer_class=[self.kind(one), *kinds][-1])
        if self.sent and pick(80) == 0:
            yield self.sent[pick(len(self.sent))]  # comes again
        yield from self.acts(one, at)

    def moves(self, one: str, main: str, at: int) -> Event:
        """Money in or out, now and then most of it."""
        pick, held = self.random.randrange, max(self.balances.get(main, 0), 100_000)
        share = (-700, -450, -60, -30, -25, -20, 30, 60, 200, 900)[pick(10)]
        event = self.post(
            one, main, held * share // 1_000, at, at, branch=BRANCHES[pick(3)],
            counterparty_bank=(None, "Delta Bank", "江南银行")[pick(3)],
            nature="external" if pick(8) else "own_transfer", customer_initiated=pick(3) > 0,
        )  # fmt: skip
        self.sent.append(event)
        return event

    def fund(self, one: str, at: int) -> Iterator[Event]:
        """Balances of a source that sends no postings."""
        account = f"{one}-fund"
        self.balances[account] = self.balances.get(account, 500_000) + self.random.randrange(-20_000, 25_000)
        if at % 5 == 0:
            yield self.shot(account, one, self.balances[account], at, asset_class="fund", source="agency")

    def acts(self, one: str, at: int) -> Iterator[Event]:
        """What people do about him: at any time anything, and for some the whole way of a card or an exception."""
        pick, kind = self.random.randrange, self.kind(one)
        if one in FIRMS and at == FIRST + 2 + FIRMS.index(one) * 3 and one != "F08":
            yield self.act(one, at, "record", record="agreement")
        if one in PERSONS and at in (day("2024-05-10"), day("2024-05-20")) and PERSONS.index(one) % 2 == 0:
            yield self.act(one, at, "record", record="consent")
        if pick(22) == 0:
            yield self.act(one, at, ACTS[pick(len(ACTS))])
        if pick(50) == 0:
            card = CARDS[kind][pick(len(CARDS[kind]))]
            role = "branch-head" if kind == "personal" else "desk"
            yield self.act(one, at, "apply_card", card=card, role="customer")
            yield self.act(one, at, "approve_card", card=card, role=role)
            if pick(2):
                yield self.act(one, at, "issue_card", card=card)
                yield self.act(one, at, "collect_card", card=card)

    def act(self, one: str, at: int, name: str, **details: str) -> Event:
        """A record of something that was done, with parameters for any action."""
        pick, kind, number = self.random.randrange, self.kind(one), self.number()
        given = {
            "card": CARDS[kind][pick(len(CARDS[kind]))], "tier": TIERS[kind][pick(len(TIERS[kind]))], "version": "1",
            "record": ("filing", "consent", "agreement")[pick(3)], **details,
        }  # fmt: skip
        if name in ("approve_card", "issue_staff_card"):
            given = {"role": "teller" if name == "issue_staff_card" else "branch-head"} | given
        return {
            "topic": "crm-actions", "event_id": f"act-{number}", "customer_id": one, "action": name,
            "requested_by": f"p{number % 7}", "approved_by": "boss" if pick(3) == 0 else None,
            "at": instant(at, f"{pick(8, 20):02}:30:00"), "expires_on": at + 25 if pick(6) == 0 else None,
            "details": given,
        }  # fmt: skip
