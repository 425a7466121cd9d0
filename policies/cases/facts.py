"""Facts about one customer as JSON: the keys of the rule cases, turned into metric values and happenings in one place.

Amounts are whole units of the base currency, as decimals. Keys that say what people did (`filed`, `card_held`, `approved`,
…) become the acts that the lifecycle knows; everything else becomes a value of a metric. docs/policies.md lists the keys.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Final

from policies.lifecycle.leaving import first_day, goal, stepped
from policies.lifecycle.state import (
    Act,
    Card,
    Pending,
    State,
    card_tier,
    day_date,
    day_number,
    last_valid_day,
    months_after,
    months_later,
)
from policies.model import metrics
from policies.model.criteria import OWN_STANDARD
from policies.model.figures import AT_DAY_START, Key, Series, form, metric_kind, months_of_year, series
from policies.model.terms import limits, rate_key
from streams.vocabulary.metrics import months_of_mean
from streams.vocabulary.terms import asset_class

if TYPE_CHECKING:
    from policies.model.pack import ClassPolicy, Pack
    from policies.model.terms import Criterion

NUMBER_CHARS_MAX: Final = 40
Value = Fraction | int | str | None
ACTION_KEYS: Final = frozenset(
    "filed notable approved approved_tier card_held upgrade_applied downgrade_applied card_approved card_holder current "
    "months_since_review pinned_standard application agreement consent verification own_standard months_below applied_tier "
    "highest_reached".split()
)
DAY_KEYS: Final = frozenset("current_since notice_since relationship_since".split())
SERIES_KEYS: Final = frozenset(
    "month_avgs month_days month_avgs_12 accounts components days_in_month funded_days balance_on_funded_days "
    "current_balance rates".split()
)


class FactError(ValueError):
    """Facts that cannot be used; the text names the key."""


def parse_facts(text: str) -> dict[str, Any]:
    """The facts in a JSON object, numbers exact."""
    try:
        facts = json.loads(text, parse_float=_number, parse_int=_number, parse_constant=_no_number)
    except RecursionError:
        raise FactError("facts are nested too deeply: flatten them") from None
    except FactError:
        raise
    except ValueError as problem:
        raise FactError(f"facts are not JSON: {problem}") from problem
    if not isinstance(facts, dict):
        raise FactError("facts are not a JSON object")
    return facts


def _number(text: str) -> Decimal:
    """Exact; what it stands for is as short as its text: `1e999999999` would be a gigabyte of digits."""
    if len(text) <= NUMBER_CHARS_MAX:
        with suppress(ArithmeticError):
            value = Decimal(text)
            if value.is_finite() and abs(value.adjusted()) <= NUMBER_CHARS_MAX:
                return value
    raise FactError(f"{text[:NUMBER_CHARS_MAX]} is no number of at most {NUMBER_CHARS_MAX} digits")


def _no_number(word: str) -> None:
    raise FactError(f"{word} is not a number")


def exact(value: Any, key: str) -> Fraction:
    """A number or flag as a fraction."""
    if isinstance(value, bool):
        return Fraction(int(value))
    if isinstance(value, Decimal | int | Fraction):
        return Fraction(value)
    raise FactError(f"{key}: {value!r} is not a number")


def _series(values: Any, key: str) -> list[Fraction]:
    if not isinstance(values, list) or not values:
        raise FactError(f"{key}: a list of numbers is needed")
    return [exact(value, key) for value in values]


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of a customer, and the pack that gives scopes and facts their meaning."""

    pack: Pack
    given: Mapping[str, Any]
    day: int = 0  # of the close: it says how many months a year has

    def check(self) -> None:
        """FactError for a key that means nothing: a misspelt fact would pass for an absent one."""
        known = {
            *ACTION_KEYS,
            *DAY_KEYS,
            *SERIES_KEYS,
            *metrics.ALIASES,
            *metrics.ROLLING,
            *metrics.facts(),
            *self.pack.facts,
        }
        for key in self.given:
            if key not in known and key not in self.pack.flows and metric_kind(self.pack, key) is None:
                raise FactError(f"{key}: no such fact")
        self._check_shapes()

    def _check_shapes(self) -> None:
        """FactError where a key of more than one part is not what it must be."""
        given = self.given
        if not isinstance(given.get("rates", {}), dict):
            raise FactError("rates: an object of rates by currency is needed")
        if not isinstance(given.get("components", {}), dict):
            raise FactError("components: an object of amounts by asset type is needed")
        accounts = given.get("accounts", [{}])
        members = list(accounts.values()) if isinstance(accounts, dict) else accounts
        if not isinstance(members, list) or not members or not all(isinstance(one, dict) for one in members):
            raise FactError("accounts: a list of objects is needed")
        funded = ("days_in_month", "funded_days", "balance_on_funded_days")
        if 0 < sum(key in given for key in funded) < len(funded):
            raise FactError(f"{', '.join(funded)} belong together")
        if "days_in_month" in given and not 28 <= exact(given["days_in_month"], "days_in_month") <= 31:
            raise FactError("days_in_month: must be from 28 to 31")
        days = _series(given["month_days"], "month_days") if "month_days" in given else [Fraction(1)]
        if any(one <= 0 for one in days):
            raise FactError("month_days: must be above 0")
        if not 0 <= exact(given.get("months_since_review", 0), "months_since_review") <= 480:
            raise FactError("months_since_review: must be from 0 to 480")
        if not 0 <= exact(given.get("months_below", 0), "months_below") <= 480:
            raise FactError("months_below: must be from 0 to 480")
        for key in DAY_KEYS & given.keys():
            day_given(given, key)

    def _check_tiers(self, policy: ClassPolicy) -> None:
        """FactError where a tier is named that the class does not have."""
        tiers = {tier.id for tier in policy.tiers}
        for key in ("current", "pinned_standard", "approved_tier", "highest_reached", "applied_tier"):
            if key in self.given and not (isinstance(self.given[key], str) and self.given[key] in tiers):
                raise FactError(f"{key}: {self.given[key]!r} is not a tier")

    def values(self, policy: ClassPolicy) -> dict[Key, Value]:
        """Every value that the tiers and the veto ask for."""
        self._check_tiers(policy)
        found: dict[Key, Value] = {OWN_STANDARD: self._own_standard(policy)}
        conditions = [policy.veto, *(tier.when for tier in policy.tiers)]
        found.update(self.needed([c for c in conditions if c is not None]))
        for tier in policy.tiers:
            found.update(self.needed([band.when for band in tier.bands]))
        return found

    def needed(self, conditions: list[Criterion]) -> dict[Key, Value]:
        """The values of every limit in some conditions. FactError where one is neither given nor has a stand-in."""
        leaves = [leaf for condition in conditions for leaf in limits(condition) if not leaf.is_open]
        rates = [rate_key(leaf.currency) for leaf in leaves if leaf.currency is not None]
        return {key: self.value(*key) for key in (*((leaf.metric, leaf.scope) for leaf in leaves), *rates)}

    def _own_standard(self, policy: ClassPolicy) -> int:
        tier = self.given.get("own_standard", "none")
        if tier == "none":
            return 0
        try:
            return policy.rank(tier)
        except KeyError:
            raise FactError(f"own_standard: {tier!r} is not a tier") from None

    def value(self, metric: str, scope: str | None) -> Value:
        """The value of a metric over a scope; None: it is not known."""
        if metric.startswith("rate["):
            return self._rate(metric[len("rate[") : -1])
        by_month = None if metric in self.given else series(metric)
        if by_month is not None and by_month.mode is None:
            return self._month(by_month)
        for key, value in self.given.items():
            if metrics.ALIASES.get(key, key) == metric:
                return self._text(key, value) if metric_kind(self.pack, metric) == "text" else exact(value, key)
        made = form(self.pack, metric, scope)
        if made is not None and (metric in self.pack.measures or by_month is not None):
            parts = [(self.value(*key), weight) for key, weight in made.items()]
            return None if any(part is None for part, _ in parts) else sum(
                (Fraction(part) * weight for part, weight in parts if part is not None), Fraction(0)
            )  # fmt: skip
        if scope is None:
            own = self.pack.facts.get(metric)
            if own is not None and own.kind == "text":
                return own.absent_text
            return metrics.absent(metric) if own is None else own.stand_in(0)
        if metric.endswith(AT_DAY_START):  # of facts the day's start is not told apart from its end
            return self.value(metric.removesuffix(AT_DAY_START), scope)
        if "components" in self.given:
            return self._components(scope)
        found = self._rolling(metric)
        if found is None and (self.given.get("notable") or self._without_money()):
            return 0  # an exception asks for no assets, so none need be stated; who has facts alone has none
        if found is None:
            raise FactError(f"{metric}: not given, and no other fact says it")
        return found

    def _text(self, key: str, value: Any) -> str:
        values = self.pack.facts[key].values
        if value not in values:
            raise FactError(f"{key}: {value!r} is none of {', '.join(values)}")
        return str(value)

    def _rate(self, currency: str) -> Fraction:
        rates = self.given.get("rates", {})
        if currency not in rates:
            raise FactError(f'rates: the rate of {currency} is needed: "rates": {{"{currency}": 7.1}}')
        return exact(rates[currency], f"rates.{currency}")

    def _month(self, wanted: Series) -> Fraction | int | None:
        """A fact or flow of a month, or of the year so far, out of the list of its months, oldest first."""
        name, flow = wanted.of, wanted.of in self.pack.flows
        own = self.pack.facts.get(name)
        absent = None if flow else (metrics.absent(name) or 0) if own is None else own.stand_in(0)
        if name not in self.given:
            if flow:
                raise FactError(f"{name}: not given: a list of months is needed, oldest first")
            return (absent or 0) * (months_of_year(self.day) if wanted.year else 1)
        newest = [*reversed(_series(self.given[name], f"{name}, oldest month first"))]
        if wanted.year:
            of_year = [newest[k] if k < len(newest) else Fraction(absent or 0) for k in range(months_of_year(self.day))]
            return sum(of_year, Fraction(0))
        assert wanted.month is not None
        return newest[wanted.month] if wanted.month < len(newest) else absent

    def _without_money(self) -> bool:
        """Whether facts are told of the customer, and nothing of what he holds: the worker takes it as nothing, too."""
        names = {metrics.ALIASES.get(key, key) for key in self.given}
        told = names & {*metrics.facts(), *self.pack.facts, *self.pack.flows}
        return bool(told) and not names & SERIES_KEYS and all(metrics.kind(name) != "rolling" for name in names)

    def _components(self, scope: str) -> Fraction:
        """The asset types of the scope added up; no others count."""
        total = Fraction(0)
        for name, value in self.given["components"].items():
            if (held_in := asset_class(name)) is None:
                raise FactError(f"components.{name}: no such asset type")
            if held_in in self.pack.scopes[scope]:
                total += exact(value, f"components.{name}")
        return total

    def months(self) -> list[Fraction] | None:
        """Monthly averages, oldest first, of all accounts of the person together (R-122)."""
        given = self.given
        if "accounts" in given:
            accounts = given["accounts"]
            members = accounts.values() if isinstance(accounts, dict) else accounts
            series = [_series(account.get("month_avgs"), "accounts.month_avgs") for account in members]
            longest = max(len(one) for one in series)
            padded = [[Fraction(0)] * (longest - len(one)) + one for one in series]
            return [sum(month, Fraction(0)) for month in zip(*padded, strict=True)]
        for key in ("month_avgs", "month_avgs_12"):
            if key in given:
                return _series(given[key], key)
        if "days_in_month" in given:
            days, funded, balance = (
                exact(given[key], key) for key in ("days_in_month", "funded_days", "balance_on_funded_days")
            )
            return [funded * balance / days]
        return None

    def _rolling(self, metric: str) -> Fraction | None:
        """A rolling metric from monthly averages: months without any count as 0 (C-12)."""
        if metric == "aum" and "current_balance" in self.given:
            return exact(self.given["current_balance"], "current_balance")
        months = self.months()
        if months is None:
            return None
        newest = [*reversed(months), *[Fraction(0)] * 12]
        if metric.startswith("month_avg["):
            return newest[int(metric[len("month_avg[") : -1])]
        if (count := months_of_mean(metric)) is not None:
            return sum(newest[:count], Fraction(0)) / count
        if metric == "quarter_avg" and "month_days" in self.given:
            days = _series(self.given["month_days"], "month_days")[-3:]
            weighted = [average * n for average, n in zip(newest, reversed(days), strict=False)]
            return sum(weighted, Fraction(0)) / sum(days)
        return None


def day_given(given: Mapping[str, Any], key: str) -> int | None:
    """A day as a day number; None where it is not given."""
    if key not in given:
        return None
    try:
        return day_number(date.fromisoformat(given[key]))
    except (TypeError, ValueError):
        raise FactError(f"{key}: a date such as 2026-01-31 is needed") from None


def relation_begun(given: Mapping[str, Any], day: int) -> int | None:
    """The begin of the relation: its date, or so many full months before the day; None where neither is given."""
    if "relationship_since" not in given and "tenure_months" in given:
        return months_after(day, -int(exact(given["tenure_months"], "tenure_months")))
    return day_given(given, "relationship_since")


def _with_history(policy: ClassPolicy, facts: Mapping[str, Any], state: State, measured: str) -> State:
    """How long he has had the tier, how often he was below it, what he has reached, and the fall that he was told of."""
    state = replace(state, since=day_given(facts, "current_since"), reached=facts.get("highest_reached"))
    state = replace(state, below=int(exact(facts.get("months_below", 0), "months_below")))
    told = day_given(facts, "notice_since")
    if told is None or not policy.evaluation.fall_notice_days or policy.level(state.official) == 0:
        return state
    wanted = goal(policy, replace(state, measured=measured))
    if policy.level(wanted) >= policy.level(state.official):
        wanted = policy.tiers[policy.level(state.official) - 1].id
    to = stepped(policy, state.official, wanted)
    holds = max(first_day(policy, told, {}, rises=False), told + policy.evaluation.fall_notice_days + 1)
    return replace(state, pending=Pending(to, holds, told, "notice/close"))


def starting_state(policy: ClassPolicy, facts: Mapping[str, Any], state: State, day: int, measured: str) -> State:
    """What was so before: the tier in force, the last review, the card held, the version pinned.

    measured: what the standard gives now; a fall that he was told of leads there.
    """
    if "current" in facts:
        state = replace(state, official=facts["current"], records=frozenset(policy.status.requires))
        state = _with_history(policy, facts, state, measured)
    if "months_since_review" in facts:
        months = int(exact(facts["months_since_review"], "months_since_review"))
        first = day - day_date(day).day + 1
        state = replace(state, reviewed_on=months_later(first, -months))
    held = facts.get("card_held", "none")
    if held != "none":
        card = next((tier.card for tier in policy.tiers if held in (tier.id, tier.card) and tier.card), None)
        if card is None:
            raise FactError(f"card_held: {held!r} is not a card")
        issued = months_later(day, -1)
        months_valid = policy.cards.valid_months
        last = None if months_valid is None else last_valid_day(issued, months_valid)
        state = replace(state, card=Card(card, issued, last))
        if policy.status.basis == "card":
            state = replace(state, official=card_tier(policy, state.card))
    if "pinned_standard" in facts:
        state = replace(state, pinned_version=1)
    return state


def acts_before(policy: ClassPolicy, facts: Mapping[str, Any], day: int) -> list[Act]:
    """What people did before the close: records, exceptions, staff cards. Deciding on facts is deciding an application."""
    asked = "application" in policy.status.requires and facts.get("application", True)
    acts = [Act("record", day, details={"record": "application"})] if asked else []
    if facts.get("filed"):
        acts.append(Act("record", day, details={"record": "filing"}))
    there = [name for name in ("agreement", "consent", "verification") if facts.get(name)]
    acts.extend(Act("record", day, details={"record": name}) for name in there)
    if facts.get("notable"):
        acts.append(Act("request_exception", day, "rm", details={"kind": "notable"}))
        if facts.get("approved"):
            named = {"tier": facts["approved_tier"]} if "approved_tier" in facts else {}
            acts.append(Act("approve_exception", day, "approver", details=named))
    staff = policy.cards.staff
    if facts.get("card_holder") == "staff" and staff is not None:
        acts.append(Act("issue_staff_card", day, details={"role": staff.roles[0]}))
    return acts


def acts_after(policy: ClassPolicy, facts: Mapping[str, Any], state: State, day: int) -> list[Act]:
    """What is applied for on the strength of the close: a tier, a first card, or a change that the holder applied for."""
    if "applied_tier" in facts:
        return [Act("apply_tier", day, details={"tier": facts["applied_tier"]}, joined=relation_begun(facts, day - 1))]
    tiers = {tier.id: tier.card for tier in policy.tiers}
    step = policy.level(state.measured) - policy.level(state.official)
    if policy.status.basis == "card" and "card_held" not in facts and state.card is None:
        wanted, approved = tiers[state.measured] if step > 0 else None, True
    elif facts.get("upgrade_applied"):
        above = policy.tiers[min(policy.rank(state.official) + 1, len(policy.tiers) - 1)].id
        wanted, approved = tiers[state.measured if step > 0 else above], True
    elif facts.get("downgrade_applied"):
        if step < 0 and tiers[state.measured] is None:
            return [Act("return_card", day)]  # no card is left to change into
        wanted, approved = tiers[state.measured] if step < 0 else None, True
    elif "card_approved" in facts:
        wanted, approved = tiers[state.measured], bool(facts["card_approved"])
    else:
        return []
    if wanted is None:
        return []
    issue = policy.cards.issue
    asked_by = issue.by if issue.mode == "request" and issue.by else "customer"
    acts = [Act("apply_card", day, asked_by, details={"card": wanted, "role": asked_by})]
    if approved and issue.by is not None:
        acts.append(Act("approve_card", day, "approver", details={"role": issue.by}))
    if approved:
        where = {"branch_level": issue.branches[0]} if issue.branches else {}
        acts.append(Act("issue_card", day, "teller", details={"card": wanted, "wealth_manager": "true", **where}))
    if approved and issue.start == "collection":
        acts.append(Act("collect_card", day))
    return acts
