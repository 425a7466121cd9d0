"""Rows of a table of rule cases as the events of a bank: postings, profiles, facts and acts that make the facts true.

Every row is a customer of its own. His balances stand still and change at the starts of months only, so that averages
come out to the fen. Nothing here asks the product what a pack says.
"""

from __future__ import annotations

import csv
import datetime as dt
import json
import re
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

from policies import load_pack, parse_pack
from tests.twins.events import instant, posting

Event = dict[str, Any]
MID_MONTH = 15  # days before the deciding close when another day is closed
MONTHS_BACK = 13  # the history of a customer begins so many months before the deciding close
CARDS = {
    "three-month-card": ("gold", "platinum", "diamond"),
    "prior-month-aum": ("gold", "platinum", "diamond", "private"),
    "green-channel": ("green-channel",),
}
MEDALS = {"none": 0, "bronze": 100_000, "silver": 500_000, "gold": 1_000_000}  # the bank's own table in the tests
# Asset types of the rules, and the classes in which the bank keeps them.
CLASSES = {
    "deposits": "deposit_demand", "fx_deposits_in_cny": "deposit_time", "treasury_bonds": "bond",
    "wealth_products": "wealth", "own_wealth_products": "wealth", "trust_plans": "trust", "am_plans": "am_plan",
    "funds": "fund", "insurance": "insurance", "loan_balance": "credit",
}  # fmt: skip
FACTS = {
    "loan_balance": 100, "card_spend_12m": 100, "loan_overdue": 1, "bad_record": 1, "good_record": 1, "fixed_income": 1,
    "stable_wealth": 1,
}  # fmt: skip
NOW = {"assets": "deposit_demand", "balance": "deposit_demand"}
SPANS = {  # months that a constant balance has to stand for the average to be it, and the account's class
    "daily_avg_deposit": (1, "deposit_demand"), "prev_month_avg": (1, "deposit_demand"),
    "quarter_avg": (3, "deposit_demand"), "savings_12m_avg": (12, "savings"), "deposit_12m_avg": (12, "deposit_demand"),
}  # fmt: skip


@dataclass(frozen=True)
class Case:
    """A row of the table."""

    case_id: str
    scheme: str
    customer_class: str
    facts: dict[str, Any]
    expected: str


@dataclass
class Life:
    """The events of a customer: what is there before the deciding close, and what people do before and after it."""

    case: Case
    history: list[Event] = field(default_factory=list)
    before: list[Event] = field(default_factory=list)
    after: list[Event] = field(default_factory=list)


def read_cases(path: Path) -> list[Case]:
    """The rows of a table of cases, amounts exact."""
    with path.open(encoding="utf-8", newline="") as lines:
        return [
            Case(r["case_id"], r["scheme_id"], r["customer_class"],
                 json.loads(r["facts"], parse_float=Decimal, parse_int=Decimal), r["expected_tier"])
            for r in csv.DictReader(lines)
        ]  # fmt: skip


def number(text: str) -> int:
    """The day number of an ISO date."""
    return (dt.date.fromisoformat(text) - dt.date(1970, 1, 1)).days


def months_on(day: int, months: int) -> int:
    """The same day of the month so many months later or, below 0, earlier; days past a month's end are its last."""
    start = dt.date(1970, 1, 1) + dt.timedelta(day)
    count = start.year * 12 + start.month - 1 + months
    first = dt.date(count // 12, count % 12 + 1, 1)
    following = dt.date((count + 1) // 12, (count + 1) % 12 + 1, 1)
    last = (following - first).days
    return number(first.replace(day=min(start.day, last)).isoformat())


def month_start(day: int, months: int = 0) -> int:
    """The first day of a month, so many months from the one of `day`."""
    start = dt.date(1970, 1, 1) + dt.timedelta(day)
    return months_on(number(start.replace(day=1).isoformat()), months)


def month_days(case: Case) -> int:
    """Days of the last month before the deciding close, where the row asks for a number; else of March."""
    return int(case.facts.get("days_in_month", 31))


class Writer:
    """Writes the events of one customer. `close` is the last day of the month whose close decides."""

    def __init__(self, case: Case, close: int) -> None:
        self.case, self.close, self.customer_id = case, close, f"c-{case.case_id}"
        self.life = Life(case)
        self.balances: dict[str, Decimal] = {}
        self.postings: dict[str, int] = {}
        self.acts = 0

    def hold(self, account: str, kind: str, amount: Decimal, day: int, branch: str = "B1") -> None:
        """The account's balance is `amount` from `day` on."""
        delta = amount - self.balances.get(account, Decimal(0))
        self.balances[account] = amount
        if delta:
            self.post(account, kind, delta, day, branch)

    def post(self, account: str, kind: str, amount: Decimal, day: int, branch: str = "B1", **other: Any) -> None:
        """One posting, of the bank's own doing unless said otherwise."""
        self.postings[account] = seq = self.postings.get(account, 0) + 1
        own = {"asset_class": kind, "customer_initiated": False, "nature": "own_transfer", "branch": branch, **other}
        name = f"{self.customer_id}-{account}"
        self.life.history.append(posting(seq, int(amount * 100), day, customer=self.customer_id, account=name, **own))

    def fact(self, name: str, value: int, day: int) -> None:
        """A figure of another system."""
        self.life.history.append(
            {"topic": "facts", "event_id": f"{self.customer_id}-{name}-{day}", "customer_id": self.customer_id,
             "name": name, "value": value, "as_of": day, "source": "systems"}
        )  # fmt: skip

    def profile(self, **other: Any) -> Event:
        """The customer's profile."""
        return {
            "topic": "customers", "event_id": f"{self.customer_id}-profile", "customer_id": self.customer_id,
            "customer_class": self.case.customer_class, "branch": "B1", "rm_id": "rm-1", "relationship_since": None,
            "birth_date": None, "card_held": None, **other,
        }  # fmt: skip

    def act(self, action: str, day: int, by: str = "customer", **details: str) -> Event:
        """Something that somebody did."""
        self.acts += 1
        return {
            "topic": "crm-actions", "event_id": f"{self.customer_id}-act-{self.acts}", "customer_id": self.customer_id,
            "action": action, "requested_by": by, "approved_by": None, "at": instant(day, "10:00:00"),
            "expires_on": None, "details": details,
        }  # fmt: skip


def write(case: Case, close: int) -> Life:
    """The events of a row whose deciding close is the month end `close`."""
    writer, facts = Writer(case, close), case.facts
    dates: dict[str, Any] = {}
    if "tenure_months" in facts:
        dates["relationship_since"] = months_on(close, -int(facts["tenure_months"]))
    if "age" in facts:
        dates["birth_date"] = months_on(close, -12 * int(facts["age"]))
    writer.life.history.append(writer.profile(**dates))
    for name, factor in FACTS.items():
        if name in facts:
            writer.fact(name, int(facts[name] * factor), month_start(close, -MONTHS_BACK))
    _series(writer)
    _amounts(writer)
    if case.scheme == "medal-annual":
        _medal(writer)
    _people(writer)
    if not writer.postings:  # a customer with an account, and nothing in it
        writer.hold("empty", "deposit_demand", Decimal(1), month_start(close, -2))
        writer.hold("empty", "deposit_demand", Decimal(0), month_start(close, -2))
    return writer.life


def _series(writer: Writer) -> None:
    """Monthly averages: a constant balance a month."""
    facts, close = writer.case.facts, writer.close
    several = {"deposit_demand": facts.get("month_avgs"), "savings": facts.get("month_avgs_12")}
    for kind, values in several.items():
        for place, value in enumerate(values or []):
            writer.hold(kind, kind, value, month_start(close, place + 1 - len(values)))
    for name, account in _accounts(facts).items():
        values = account["month_avgs"]
        for place, value in enumerate(values):
            writer.hold(name, "deposit_demand", value, month_start(close, place + 1 - len(values)), branch=name)
    if "days_in_month" in facts:
        first, funded = month_start(close), int(facts["funded_days"])
        assert close - first + 1 == month_days(writer.case)
        writer.hold("funded", "deposit_demand", facts["balance_on_funded_days"], first)
        writer.hold("funded", "deposit_demand", Decimal(0), first + funded)


def _accounts(facts: dict[str, Any]) -> dict[str, Any]:
    given = facts.get("accounts", [])
    return given if isinstance(given, dict) else {f"B{i + 1}": account for i, account in enumerate(given)}


def _amounts(writer: Writer) -> None:
    """Averages and balances of one number, and the parts of a portfolio."""
    facts, close = writer.case.facts, writer.close
    for name, (months, kind) in SPANS.items():
        if name in facts:
            writer.hold(name, kind, facts[name], month_start(close, 1 - months))
    for name, value in facts.get("components", {}).items():
        writer.hold(name, CLASSES[name], value, month_start(close, -2))
    for name, kind in NOW.items():
        if name in facts:
            writer.hold(name, kind, facts[name], close)
    if "tx_3m" in facts:
        count = int(facts["tx_3m"])
        for i in range(count):
            writer.post("moves", "deposit_demand", Decimal(1 if i % 2 else -1), close - i, customer_initiated=True)
        if count % 2:
            writer.post("moves", "deposit_demand", Decimal(1), close)
        writer.post("moves", "deposit_demand", Decimal(1), months_on(close, -4), customer_initiated=True)  # too old
        writer.post("moves", "deposit_demand", Decimal(-1), months_on(close, -4), customer_initiated=True)
    if "current_balance" in facts:  # after the close: it must not count
        held = sum(writer.balances.values(), Decimal(0))
        late, writer.life.history = writer.life.history, []
        writer.post("later", "deposit_demand", facts["current_balance"] - held, close + 1)
        writer.life.after, writer.life.history = writer.life.history, late


def _medal(writer: Writer) -> None:
    """Medals: an application, a review that gave the current medal, and the bank's own table now.

    The older version of the pack looks at deposits, the newer one at wealth products.
    """
    facts, close = writer.case.facts, writer.close
    own = Decimal(MEDALS[facts.get("own_standard", "none")])
    if "current" not in facts:
        writer.life.before.append(writer.act("record", close, record="application"))
        writer.hold("wealth", "wealth", own, close)
        return
    reviewed = month_start(close, -int(facts["months_since_review"]))
    writer.life.history.append(writer.act("record", reviewed, record="application"))
    writer.hold("deposits", "deposit_demand", Decimal(MEDALS[facts["current"]]), reviewed)
    if "pinned_standard" not in facts:
        writer.life.history.append(writer.act("unpin_policy", medal_second(close), "branch"))
    pinned = Decimal(MEDALS[facts.get("pinned_standard", "none")])
    writer.hold("deposits", "deposit_demand", pinned, month_start(reviewed, 1))
    writer.hold("wealth", "wealth", own, month_start(reviewed, 1))


def medal_second(close: int) -> int:
    """The first day of the second version of the medals."""
    return month_start(close, -2)


def medal_pack(version: int, first_day: int) -> str:
    """The medals with the bank's own table filled in: over deposits in version 1, over wealth products in version 2."""
    body = pack_text("medal-annual", version, first_day)
    body = re.sub(r"^  aum: .*$", f"  aum: [{('deposit_demand', 'wealth')[version - 1]}]", body, flags=re.MULTILINE)
    for medal in ("bronze", "silver", "gold"):
        body = body.replace("minimum: open", f'minimum: "{MEDALS[medal]}.00"', 1)
    return body


def pack_text(scheme: str, version: int, first_day: int) -> str:
    """A shipped pack as a version that takes effect on a day."""
    body = load_pack(scheme).body
    for name, value in (("version", version), ("effective_from", dt.date(1970, 1, 1) + dt.timedelta(first_day))):
        body = re.sub(rf"^{name}: [^#\n]*", f"{name}: {value} ", body, count=1, flags=re.MULTILINE)
    return body


def activation(text: str) -> Event:
    """The record that puts a pack into force."""
    pack = parse_pack(text)
    return {
        "topic": "policies", "pack_id": pack.id, "version": pack.version,
        "effective_from": number(pack.effective_from.isoformat()), "body": text, "customer_class": "personal",
    }  # fmt: skip


def _people(writer: Writer) -> None:
    """Records, exceptions and cards."""
    facts, close, life = writer.case.facts, writer.close, writer.life
    if facts.get("filed"):
        life.before.append(writer.act("record", close, "branch", record="filing"))
    if facts.get("card_holder") == "staff":
        life.before.append(writer.act("issue_staff_card", close, "branch", role="lobby-manager"))
    if facts.get("notable"):
        by, approver = _exception_roles(writer.case.scheme)
        life.before.append(writer.act("request_exception", close, "rm-1", kind="notable", role=by))
        if facts.get("approved"):
            named = {"tier": facts["approved_tier"]} if "approved_tier" in facts else {}
            life.before.append(writer.act("approve_exception", close, "head-1", approver_role=approver, **named))
    held = facts.get("card_held", "none")
    if held != "none":
        life.before.append(writer.profile(event_id=f"{writer.customer_id}-card", card_held=held))
    cards = CARDS.get(writer.case.scheme, ())
    above = cards[cards.index(held) + 1 :] if held in cards else cards
    if facts.get("downgrade_applied"):
        above = cards[: cards.index(held)]
    asked = "card_held" not in facts or facts.get("upgrade_applied") or facts.get("downgrade_applied")
    if asked and not facts.get("notable"):
        for card in reversed(above):
            life.after.extend(_card(writer, card, close + 1, approved=bool(facts.get("card_approved", True))))
        if facts.get("downgrade_applied") and writer.case.expected not in cards:
            life.after.append(writer.act("return_card", close + 1))


def _exception_roles(scheme: str) -> tuple[str, str]:
    if scheme == "hq-level":
        return "tier-2-branch", "tier-1-branch"
    return "relationship-manager", "head-office-personal-banking"


def _card(writer: Writer, card: str, day: int, *, approved: bool) -> list[Event]:
    """A customer tries for a card all the way; whatever the bank's rules do not allow, the product has to refuse."""
    role = {"three-month-card": "head-office-personal-banking", "green-channel": "leader-in-charge"}
    steps = [writer.act("apply_card", day, card=card)]
    if approved and writer.case.scheme in role:
        steps.append(writer.act("approve_card", day, "head-1", role=role[writer.case.scheme]))
    return [*steps, writer.act("issue_card", day, "teller-1", card=card), writer.act("collect_card", day, "teller-1")]


def day_of(event: Event) -> int:
    """The day on which an event reaches the bank's topics."""
    if event["topic"] == "transactions":
        return int(event["value_date"])
    return int(event["at"] // 86_400_000 if event["topic"] == "crm-actions" else event.get("as_of", 0))


def month_ends(first: int, last: int) -> list[int]:
    """The last days of the months from the one of `first` to the one of `last`."""
    found, at = [], month_start(first, 1)
    while at - 1 <= month_start(last, 1) - 1:
        found.append(at - 1)
        at = month_start(at, 1)
    return found


def steps(lives: list[Life], close: int) -> list[Event | int]:
    """The events of customers with the same deciding close in their order, and the closes of the months (day numbers)."""
    told = sorted((event for life in lives for event in life.history), key=day_of)
    out: list[Event | int] = []
    at = 0
    for end in month_ends(month_start(close, -MONTHS_BACK), close):
        while at < len(told) and day_of(told[at]) <= end:
            out.append(told[at])
            at += 1
        if end == close:
            out.extend(event for life in lives for event in life.before)
        if end == medal_second(close) - 1 and any(life.case.scheme == "medal-annual" for life in lives):
            out.append(activation(medal_pack(2, end + 1)))
        out.append(end)
    assert at == len(told), told[at]
    out.extend(event for life in lives for event in life.after)
    return [*out, close + 1]


@dataclass(frozen=True)
class Phase:
    """Schemes that follow one another in the days after a month end, with the cases that it decides."""

    close: int
    schemes: tuple[str, ...]
    lives: tuple[Life, ...]
    version: int


class Script:
    """What reaches the topics of a bank that goes from scheme to scheme: events, packs and closes (day numbers) in order.

    `read` says after which close, and under which pack, each case's tier is to be looked at. The bank begins with medals.
    """

    def __init__(self, phases: list[Phase]) -> None:
        self.steps: list[Event | int] = []
        self.read: dict[str, tuple[int, str]] = {}
        self.last = month_start(phases[0].close, -MONTHS_BACK) - 1
        lives = [life for phase in phases for life in phase.lives]
        self._told = sorted((event for life in lives for event in life.history), key=day_of, reverse=True)
        second = medal_second(phases[0].close)
        for phase in phases:
            self._send(phase.schemes[:1], phase, phase.close + 2)  # well ahead: postings count from then on
            for end in sorted((phase.close - MID_MONTH, *month_ends(self.last + 1, phase.close))):
                if end == phase.close:
                    medals = [life for life in phase.lives if life.case.scheme == "medal-annual"]
                    self.steps += [event for life in medals for event in life.before]
                    self.read |= {life.case.case_id: (end, "medal-annual") for life in medals}
                if end == second - 1:
                    self.steps.append(activation(medal_pack(2, second)))
                self.close(end)
            for place, scheme in enumerate(phase.schemes):
                self._send(phase.schemes[place : place + 1] if place else (), phase, self.last + 2)
                self._scheme(scheme, phase)

    def _send(self, schemes: tuple[str, ...], phase: Phase, first_day: int) -> None:
        self.steps += [activation(pack_text(scheme, phase.version, first_day)) for scheme in schemes]

    def close(self, day: int) -> None:
        """Tells what happens up to a day, and closes it."""
        while self._told and day_of(self._told[-1]) <= day:
            self.steps.append(self._told.pop())
        self.steps.append(day)
        self.last = day

    def _scheme(self, scheme: str, phase: Phase) -> None:
        """A pack takes effect; people act on it, up to two more days are closed, and the tiers of its cases can be read."""
        mine = [life for life in phase.lives if life.case.scheme == scheme]
        self.close(self.last + 1)
        for acts in ([life.before for life in mine], [life.after for life in mine]):
            if told := [_moved(event, self.last + 1) for events in acts for event in events]:
                self.steps += told
                self.close(self.last + 1)
        self.read |= {life.case.case_id: (self.last, scheme) for life in mine}


def _moved(event: Event, day: int) -> Event:
    """An act of the day; other events stay."""
    return event | {"at": instant(day, "10:00:00")} if event["topic"] == "crm-actions" else event


def whole_script(cases: list[Case], personal: tuple[str, ...], both: tuple[str, ...]) -> Script:
    """All cases but those of layers: schemes of personal customers first, then those of both classes.

    A row that asks for a month of 30 days is decided after such a month.
    """
    phases = []
    ends = ("2023-03-31", "2023-04-30", "2023-05-31", "2023-06-30")
    kinds = [(schemes, days) for schemes in (personal, both) for days in (31, 30)]
    for (schemes, days), end in zip(kinds, ends, strict=True):
        first = ("medal-annual",) if not phases else ()
        chosen = [case for case in cases if case.scheme in (*schemes, *first) and month_days(case) == days]
        needed = tuple(name for name in schemes if any(case.scheme == name for case in chosen))
        lives = tuple(write(case, number(end)) for case in chosen)
        phases.append(Phase(number(end), needed, lives, version=32 - days))
    return Script(phases)
