"""What people and the card system do to a customer's standing: applications, approvals, cards, records, exceptions.

An act that the pack does not allow is refused: one decision of kind `refused` with its code, and the state as it was.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from policies.lifecycle.leaving import dropped, exempt_until, goal, taken
from policies.lifecycle.state import (
    HELD,
    ISSUED,
    LOST,
    Act,
    Card,
    Decision,
    Grant,
    Request,
    State,
    Step,
    card_tier,
    day_number,
    granted,
    last_valid_day,
    ready,
)
from policies.lifecycle.transitions import settled
from policies.model.provisions import RECORDS

if TYPE_CHECKING:
    from policies.model.pack import ClassPolicy
    from policies.model.provisions import Exceptions


PLAYED_BY: Final[dict[str, tuple[str, ...]]] = {
    "customer": ("kiosk", "counter", "teller", "lobby_manager", "rm", "service"),  # they hand in what he wants
    "relationship-manager": ("rm",),
    "wealth-manager": ("rm", "product_manager"),
    "branch-head": ("branch_manager", "president"),
    "leader-in-charge": ("branch_manager", "president"),
    "tier-2-branch": ("branch_manager", "president"),
    "tier-1-branch": ("president", "wealth_office"),
    "head-office": ("wealth_office", "head_office"),
    "head-office-personal-banking": ("wealth_office",),
}
"""Roles as the shipped packs name them, and the roles of stamps that are those. A pack may name the latter themselves."""
FROM_NEXT_DAY: Final = frozenset({"apply_tier"})  # acts that give a tier from the next day on
VERSION: Final = re.compile(r"[0-9]{1,9}")


class Refusal(Exception):
    """The act is not allowed; its text is a code of texts.py."""


def act(policy: ClassPolicy, state: State, what: Act) -> Step:
    """One record of crm-actions. Unknown actions are notes and change nothing."""
    handler = HANDLERS.get(what.action)
    if handler is None:
        return state, ()
    try:
        after, reason, kind = handler(policy, state, what)
    except Refusal as refused:
        code = str(refused)
        said = Decision("refused", code, what.day, what.day, caused_by=what.event_id, evidence=_about(state, what))
        return state, (said,)
    first = what.day + (what.action in FROM_NEXT_DAY)
    said = Decision(kind, reason, what.day, first, caused_by=what.event_id, evidence=_about(state, what))
    done = replace(said, before=state.card.card if state.card else None, after=after.card.card if after.card else None)
    if policy.status.basis == "card":
        after = replace(after, official=card_tier(policy, after.card))
    told = [done if kind == "card" else said]
    if after.pending is None:
        dropped(state, what.day, reason, told)
    return settled(policy, state, after, told, said)


Handled = tuple[State, str, str]


def _about(state: State, what: Act) -> dict[str, str]:
    """What an act is about; of an application for a tier the tier too, and what the last close's standard gives."""
    about = {"action": what.action}
    if what.action not in FROM_NEXT_DAY:
        return about
    return about | {"tier": what.details.get("tier", ""), "measured": state.measured}


def _need(condition: bool, code: str) -> None:
    if not condition:
        raise Refusal(code)


def _acts_as(what: Act, wanted: str | None, name: str = "role", default: str = "") -> bool:
    """Whether he who acts has a role of the pack: by his stamp, or else as the act says of itself."""
    if what.role is None:
        return what.details.get(name, default) == wanted
    return what.role == wanted or what.role in PLAYED_BY.get(wanted or "", ())


# -- cards, as the pack issues them


def _wanted(policy: ClassPolicy, what: Act) -> str:
    card = what.details.get("card", "")
    _need(any(tier.card == card for tier in policy.tiers), "unknown_card")
    return card


def _standard_met(policy: ClassPolicy, state: State, card: str) -> bool:
    """Whether the card is the one of the tier that the standard, or an approved exception, gives."""
    tiers = {tier.id: tier.card for tier in policy.tiers}
    given = granted(state)
    return tiers[state.measured] == card or (given is not None and tiers[given] == card)


def _ask_card(policy: ClassPolicy, state: State, what: Act) -> Handled:
    """An application of the customer, or a request of staff."""
    card, issue = _wanted(policy, what), policy.cards.issue
    role = what.details.get("role", "customer") if what.role is None else what.role
    _need(issue.mode != "request" or _acts_as(what, issue.by, default="customer"), "request_by_other_role")
    _need(not issue.needs_standard or _standard_met(policy, state, card), "below_standard")
    return replace(state, request=Request(card, what.requested_by, role)), "card", "card"


def _approve_card(policy: ClassPolicy, state: State, what: Act) -> Handled:
    request, issue = state.request, policy.cards.issue
    if request is None:
        raise Refusal("nothing_requested")
    approver = what.approved_by or what.requested_by
    _need(approver != request.by, "same_person")
    _need(_acts_as(what, issue.by), "approval_by_other_role")
    return replace(state, request=replace(request, approved_by=approver)), "card", "card"


def _refuse_card(policy: ClassPolicy, state: State, what: Act) -> Handled:
    _need(state.request is not None, "nothing_requested")
    return replace(state, request=None), "card", "card"


def _check_issue(policy: ClassPolicy, state: State, what: Act, card: str) -> None:
    """What must be there before a card leaves the counter."""
    issue, request = policy.cards.issue, state.request
    level = what.details.get("branch_level", "")
    _need(not issue.branches or level in issue.branches, "branch_may_not_issue")
    _need(not issue.needs_wealth_manager or what.details.get("wealth_manager") == "true", "no_wealth_manager")
    _need(not issue.needs_standard or _standard_met(policy, state, card), "below_standard")
    _need(issue.mode != "filing" or "filing" in state.records, "not_filed")
    if issue.mode in ("application", "approval", "request"):
        if request is None or request.card != card:
            raise Refusal("nothing_requested")
        approved = issue.mode == "request" or issue.by is None or request.approved_by is not None
        _need(approved, "not_approved")
    again, old = policy.cards.contract_again_from, state.card
    if again is not None and old is not None and old.issued < day_number(again) <= what.day:
        _need(what.details.get("contract_signed") == "true", "contract_not_signed")
    digits = what.details.get("digits")
    _need(digits is None or not policy.cards.digits or digits in map(str, policy.cards.digits), "bad_card_number")


def _issue_card(policy: ClassPolicy, state: State, what: Act) -> Handled:
    card, rules = _wanted(policy, what), policy.cards
    needed = set(policy.status.requires) - {"application"}
    _need(state.records >= needed, "record_missing")
    _check_issue(policy, state, what, card)
    last = None if rules.valid_months is None else last_valid_day(what.day, rules.valid_months)
    begun = HELD if rules.issue.start == "issue" else ISSUED
    return replace(state, card=Card(card, what.day, last, begun), request=None), "card", "card"


def _held(state: State, *states: str) -> Card:
    if state.card is None or state.card.state not in states:
        raise Refusal("no_such_card")
    return state.card


def _collect_card(policy: ClassPolicy, state: State, what: Act) -> Handled:
    return replace(state, card=replace(_held(state, ISSUED), state=HELD)), "card", "card"


def _lose_card(policy: ClassPolicy, state: State, what: Act) -> Handled:
    return replace(state, card=replace(_held(state, HELD), state=LOST)), "card", "card"


def _replace_card(policy: ClassPolicy, state: State, what: Act) -> Handled:
    """A lost card comes again at its own level and with its own end (R-241)."""
    return replace(state, card=replace(_held(state, LOST), state=HELD)), "card", "card"


def _renew_card(policy: ClassPolicy, state: State, what: Act) -> Handled:
    """The same card for another term, under the rules of an issue."""
    card = _held(state, HELD)
    _check_issue(policy, state, what, card.card)
    months = policy.cards.valid_months
    if months is None or card.last_day is None:
        raise Refusal("card_has_no_end")
    renewed = replace(card, issued=what.day, last_day=last_valid_day(card.last_day + 1, months))
    return replace(state, card=renewed, request=None), "card", "card"


def _return_card(policy: ClassPolicy, state: State, what: Act) -> Handled:
    _held(state, ISSUED, HELD, LOST)
    return replace(state, card=None), "card", "card"


def _staff_card(policy: ClassPolicy, state: State, what: Act) -> Handled:
    """A card for an employee: it never proves a tier (C-13)."""
    staff = policy.cards.staff
    _need(staff is not None and what.details.get("role", "") in staff.roles, "not_for_this_role")
    return replace(state, staff_card=True), "card", "record"


# -- tiers, without a card


def _apply_tier(policy: ClassPolicy, state: State, what: Act) -> Handled:
    """An application: granted where the last close's standard gives the tier, or in the first months without it."""
    tier = what.details.get("tier", "")
    _need(any(tier == known.id for known in policy.tiers), "unknown_tier")
    _need(policy.status.basis != "card", "apply_for_card")
    needed = set(policy.status.requires)
    _need(state.records >= needed - {"application"}, "record_missing")
    rises = policy.level(tier) >= policy.level(state.official)
    asked = policy.evaluation.upgrades if rises else policy.evaluation.downgrades
    _need(
        tier != state.official and (asked == "application" or "application" in needed - state.records), "no_application"
    )
    by_standard = policy.level(goal(policy, state)) >= policy.level(tier)
    exempt = what.day < exempt_until(policy, what.joined)
    _need(not state.vetoed and (by_standard or exempt), "below_standard")
    after = replace(state, records=state.records | (needed & {"application"}))
    return taken(policy, after, tier, what.day + 1, by_standard=by_standard), "application", "record"


# -- records


def _record(policy: ClassPolicy, state: State, what: Act) -> Handled:
    """Filing, agreement, consent, verification or an application is on record; an eligible customer is admitted."""
    name = what.details.get("record", "")
    _need(name in RECORDS, "unknown_record")
    after = replace(state, records=state.records | {name})
    admitted = ready(policy, after) and not ready(policy, state) and policy.status.basis == "metric"
    if admitted:
        after = taken(policy, after, goal(policy, state), what.day)
        if policy.review is not None and policy.level(state.measured) > 0:
            after = replace(after, reviewed_on=what.day)
    return after, "record", "record"


def _withdraw(policy: ClassPolicy, state: State, what: Act) -> Handled:
    """A record is no longer there, such as a consent taken back: what rests on it ends at once."""
    name = what.details.get("record", "")
    _need(name in state.records, "unknown_record")
    after = replace(state, records=state.records - {name})
    if not ready(policy, after):
        after = replace(after, official=policy.tiers[0].id, card=None, request=None, pending=None, since=None)
    return after, "record", "record"


# -- exceptions


def _rules(policy: ClassPolicy, kind: str) -> Exceptions:
    """The rules of a notable of that kind, or else of overrides."""
    notables = policy.notables
    found = notables if notables is not None and (kind in notables.kinds or kind == "notable") else policy.overrides
    if found is None:
        raise Refusal("no_exceptions")
    return found


def _last_day(rules: Exceptions, what: Act) -> int | None:
    """The earlier of what was asked for and what the pack allows."""
    allowed = None if rules.valid_months is None else last_valid_day(what.day, rules.valid_months)
    days = [day for day in (allowed, what.expires_on) if day is not None]
    return min(days) if days else None


def _named_tier(policy: ClassPolicy, rules: Exceptions, what: Act) -> str | None:
    tier = rules.tier or what.details.get("tier")
    _need(tier is None or any(tier == known.id for known in policy.tiers), "unknown_tier")
    return tier


def _ask_exception(policy: ClassPolicy, state: State, what: Act) -> Handled:
    kind = what.details.get("kind", "override")
    rules = _rules(policy, kind)
    _need(_acts_as(what, rules.request_by, default=rules.request_by or ""), "request_by_other_role")
    tier = _named_tier(policy, rules, what)
    after = replace(state, grant=Grant(tier, kind, what.requested_by))
    return (_approved(policy, after, what) if what.approved_by is not None else after), "override", "record"


def _approved(policy: ClassPolicy, state: State, what: Act) -> State:
    grant = state.grant
    if grant is None or grant.approved_by is not None:
        raise Refusal("nothing_requested")
    rules = _rules(policy, grant.kind)
    approver = what.approved_by or what.requested_by
    _need(approver != grant.requested_by, "same_person")
    _need(_acts_as(what, rules.approve_by, "approver_role", rules.approve_by or ""), "approval_by_other_role")
    tier = _named_tier(policy, rules, what) or grant.tier
    _need(tier is not None, "approver_names_the_tier")
    return replace(state, grant=replace(grant, tier=tier, approved_by=approver, last_day=_last_day(rules, what)))


def _approve_exception(policy: ClassPolicy, state: State, what: Act) -> Handled:
    return _approved(policy, state, what), "override", "record"


def _revoke_exception(policy: ClassPolicy, state: State, what: Act) -> Handled:
    _need(state.grant is not None, "nothing_requested")
    return replace(state, grant=None), "override", "record"


def _pin(policy: ClassPolicy, state: State, what: Act) -> Handled:
    """A customer of former days stays on an older version (R-117)."""
    version = what.details.get("version", "")
    # Not isdigit(): that takes "²", of which int() makes nothing.
    _need(policy.pinning is not None and VERSION.fullmatch(version) is not None, "no_pinning")
    return replace(state, pinned_version=int(version)), "policy", "record"


def _unpin(policy: ClassPolicy, state: State, what: Act) -> Handled:
    _need(state.pinned_version is not None, "no_pinning")
    return replace(state, pinned_version=None), "policy", "record"


HANDLERS: dict[str, Callable[[ClassPolicy, State, Act], Handled]] = {
    "apply_tier": _apply_tier,
    "apply_card": _ask_card,
    "request_card": _ask_card,
    "approve_card": _approve_card,
    "refuse_card": _refuse_card,
    "issue_card": _issue_card,
    "collect_card": _collect_card,
    "report_lost": _lose_card,
    "replace_card": _replace_card,
    "renew_card": _renew_card,
    "return_card": _return_card,
    "issue_staff_card": _staff_card,
    "record": _record,
    "withdraw_record": _withdraw,
    "override_tier": _ask_exception,
    "request_exception": _ask_exception,
    "approve_exception": _approve_exception,
    "revoke_exception": _revoke_exception,
    "pin_policy": _pin,
    "unpin_policy": _unpin,
}
