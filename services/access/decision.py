"""Who may do what to which customer's data: one pure function that every service asks before anything is revealed.

Reading C-28: identity, tier and queue class are seen bank-wide; balances, transactions, notes and what shows them
(alerts, notices, decisions with their figures) belong to the branch that owns the customer and to the units above it.
What is the installation's (closes, packs, the view, staff lists) is the head office's. docs/security.md has the matrix.
"""

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

UNIT_DEPTH_MAX: Final = 8
"""Levels of units a bank may have; a longer path is a mistake, and denied."""


class Role(StrEnum):
    """What an actor is employed as; it says which kinds he needs, his unit says whose."""

    KIOSK = "kiosk"
    TELLER = "teller"
    LOBBY = "lobby_manager"
    RM = "rm"
    PRODUCT_MANAGER = "product_manager"
    SECTION_HEAD = "section_head"
    BRANCH_MANAGER = "branch_manager"
    PRESIDENT = "president"
    WEALTH_OFFICE = "wealth_office"
    OFFICE_INSPECTOR = "office_inspector"
    HEAD_OFFICE = "head_office"
    AUDITOR = "auditor"
    COMPLIANCE = "compliance"
    ADMINISTRATOR = "administrator"
    COUNTER = "counter"
    SERVICE = "service"
    OPERATOR = "operator"


MACHINES: Final = frozenset({Role.KIOSK, Role.COUNTER, Role.SERVICE})
"""Roles that no person has: they come with keys and tokens, not with a login."""

PEOPLE: Final = frozenset(Role) - MACHINES


class DataKind(StrEnum):
    """Kinds of data; each has one scope (bank-wide, or the owning branch and those above)."""

    IDENTITY = "identity"
    TIER = "tier"
    QUEUE_CLASS = "queue_class"
    # Of a branch's hall: numbers and classes, nothing of customers. What a counter does with tickets; how the hall is run.
    TICKETS = "tickets"
    CALLS = "calls"
    HALLS = "halls"
    BALANCES = "balances"
    TRANSACTIONS = "transactions"
    NOTES = "notes"
    ALERTS = "alerts"
    NOTICES = "notices"
    DECISIONS = "decisions"
    OVERRIDES = "overrides"
    # A branch as a whole: its tiers, its month, what its people have not answered.
    BRANCHES = "branches"
    CARDS = "cards"
    RECORDS = "records"
    AUDIT = "audit"
    # The installation's; its unit is the head office.
    INPUTS = "inputs"
    MARKS = "marks"
    CLOSES = "closes"
    PACKS = "packs"
    VIEWS = "views"
    LETTERS = "letters"
    WORLD = "world"
    STAFF = "staff"
    KEYS = "keys"


class Action(StrEnum):
    """What an actor asks to do."""

    READ = "read"
    WRITE = "write"
    ACKNOWLEDGE = "acknowledge"
    EXPORT = "export"
    REQUEST = "request"
    APPROVE = "approve"


@dataclass(frozen=True, slots=True)
class Actor:
    """Who asks: `unit` is the path from the head office down to his unit, e.g. ("hq", "east", "0102").

    `stands_in`: roles and units that he has beside his own for now, such as those of somebody who is away.
    """

    actor_id: str
    role: Role
    unit: tuple[str, ...]
    stands_in: tuple[tuple[Role, tuple[str, ...]], ...] = ()


@dataclass(frozen=True, slots=True)
class Resource:
    """What is asked for: `unit` is the path of the owning branch; None = no such customer, or no owner known.

    `requested_by` is set for an override that waits for its approval.
    """

    kind: DataKind
    unit: tuple[str, ...] | None
    requested_by: str | None = None


@dataclass(frozen=True, slots=True)
class AccessDecision:
    """The answer. `audit`: an entry of the audit log is due. `conceal`: answer as if the thing did not exist."""

    allowed: bool
    reason: str
    audit: bool
    conceal: bool


BANK_WIDE: Final = frozenset({DataKind.IDENTITY, DataKind.TIER, DataKind.QUEUE_CLASS})

_UNRECORDED: Final = BANK_WIDE | {DataKind.TICKETS}
"""A look at these is not recorded."""

_ISSUE: Final = {(DataKind.TICKETS, Action.READ), (DataKind.TICKETS, Action.WRITE)}
_SERVE: Final = {(DataKind.TICKETS, Action.READ), (DataKind.CALLS, Action.WRITE)}
_HALL: Final = _ISSUE | _SERVE | {(DataKind.HALLS, Action.WRITE)}
_LOOK: Final = {(kind, Action.READ) for kind in (DataKind.IDENTITY, DataKind.TIER, DataKind.QUEUE_CLASS)}
_FILE: Final = _LOOK | {
    (kind, Action.READ)
    for kind in (
        DataKind.BALANCES,
        DataKind.TRANSACTIONS,
        DataKind.NOTES,
        DataKind.ALERTS,
        DataKind.NOTICES,
        DataKind.DECISIONS,
    )
}
_HAND_IN: Final = {(DataKind.CARDS, Action.REQUEST)}
_AT_COUNTERS: Final = _HAND_IN | {(DataKind.CARDS, Action.WRITE), (DataKind.RECORDS, Action.WRITE)}
_CARE: Final = (
    _FILE
    | _HAND_IN
    | {
        (DataKind.NOTES, Action.WRITE),
        (DataKind.ALERTS, Action.ACKNOWLEDGE),
        (DataKind.OVERRIDES, Action.REQUEST),
        (DataKind.RECORDS, Action.WRITE),
    }
)
_LEAD: Final = _CARE | {
    (DataKind.OVERRIDES, Action.APPROVE),
    (DataKind.OVERRIDES, Action.READ),
    (DataKind.OVERRIDES, Action.WRITE),
    (DataKind.BRANCHES, Action.READ),
    (DataKind.CARDS, Action.APPROVE),
}
_EXPORT: Final = {
    (kind, Action.EXPORT) for kind in (DataKind.TIER, DataKind.BALANCES, DataKind.ALERTS, DataKind.DECISIONS)
}

_INSTALLATION: Final = {
    (kind, Action.WRITE)
    for kind in (
        DataKind.INPUTS,
        DataKind.MARKS,
        DataKind.CLOSES,
        DataKind.PACKS,
        DataKind.VIEWS,
        DataKind.LETTERS,
        DataKind.WORLD,
        DataKind.NOTICES,
    )
}
_PEOPLE: Final = {(kind, action) for kind in (DataKind.STAFF, DataKind.KEYS) for action in (Action.READ, Action.WRITE)}
_INSPECT: Final = _FILE | {(DataKind.OVERRIDES, Action.READ), (DataKind.BRANCHES, Action.READ)}

GRANTS: Final[dict[Role, frozenset[tuple[DataKind, Action]]]] = {
    Role.KIOSK: frozenset(_ISSUE | _HAND_IN | {(DataKind.QUEUE_CLASS, Action.READ)}),
    Role.COUNTER: frozenset(_SERVE | _AT_COUNTERS | {(DataKind.QUEUE_CLASS, Action.READ)}),
    Role.TELLER: frozenset(_LOOK | _SERVE | _AT_COUNTERS),
    Role.LOBBY: frozenset(_LOOK | _HALL | _HAND_IN | {(DataKind.NOTES, Action.WRITE)}),
    Role.RM: frozenset(_CARE),
    Role.PRODUCT_MANAGER: frozenset(_FILE | {(DataKind.NOTES, Action.WRITE)}),
    Role.SECTION_HEAD: frozenset(_CARE),
    Role.BRANCH_MANAGER: frozenset(_LEAD | _HALL),
    Role.PRESIDENT: frozenset(_LEAD | _EXPORT),
    Role.WEALTH_OFFICE: frozenset(_LEAD | _EXPORT | {(DataKind.PACKS, Action.WRITE)}),
    Role.OFFICE_INSPECTOR: frozenset(_INSPECT),
    Role.HEAD_OFFICE: frozenset(_FILE | _EXPORT | {(DataKind.BRANCHES, Action.READ)}),
    Role.AUDITOR: frozenset(_INSPECT | {(DataKind.AUDIT, Action.READ), (DataKind.STAFF, Action.READ)}),
    Role.COMPLIANCE: frozenset(_INSPECT | {(DataKind.AUDIT, Action.READ), (DataKind.DECISIONS, Action.EXPORT)}),
    Role.ADMINISTRATOR: frozenset(_PEOPLE),
    # Its clock escalates and wakes cases; the card system says what has become of cards.
    Role.SERVICE: frozenset(_FILE | _AT_COUNTERS | {(DataKind.ALERTS, Action.ACKNOWLEDGE)}),
    # Runs the machine, and holds the servers' credentials anyway.
    Role.OPERATOR: frozenset(_FILE | _EXPORT | _INSTALLATION | _PEOPLE | {(DataKind.TICKETS, Action.READ)}),
}
"""What each role needs for its work. What is not here is denied."""

_AUDITED_ACTIONS: Final = frozenset(Action) - {Action.READ}


HEAD_OFFICE: Final = "hq"


def unit_of(text: str) -> tuple[str, ...]:
    """The path of a unit or a branch as it is written: `hq/east/0102`; the head office may be left out."""
    parts = tuple(text.strip().split("/")) if text.strip() else ()
    return parts if parts[:1] == (HEAD_OFFICE,) or not parts else (HEAD_OFFICE, *parts)


def owner_of(branch: str | None) -> tuple[str, ...]:
    """The unit that owns a known customer; the head office where no branch is known."""
    return unit_of(branch or "") or (HEAD_OFFICE,)


def decide_access(actor: Actor, action: Action, resource: Resource) -> AccessDecision:
    """Say whether `actor` may do `action` to `resource`. Pure: the same question has the same answer.

    Everything not granted is denied. A customer that does not exist and one of another branch get the same answer, so
    nobody learns from a refusal that a customer is there. Who stands in for somebody may what either may; that he is
    another person than the one who asked for something is his own affair.
    """
    own = _decide_as(actor.actor_id, actor.role, actor.unit, action, resource)
    if own.allowed:
        return own
    for role, unit in actor.stands_in:
        found = _decide_as(actor.actor_id, role, unit, action, resource)
        if found.allowed:
            return replace(found, reason=f"stands_in:{role}:{'/'.join(unit)}")
    return own


def _decide_as(actor_id: str, role: Role, unit: tuple[str, ...], action: Action, resource: Resource) -> AccessDecision:
    """The answer to somebody in one of his capacities."""
    audit = action in _AUDITED_ACTIONS or (action is Action.READ and resource.kind not in _UNRECORDED)
    if not _plausible(unit):
        return AccessDecision(False, "no_unit", audit, conceal=True)
    if (resource.kind, action) not in GRANTS[role]:
        return AccessDecision(False, "not_granted", audit, conceal=True)
    if resource.kind in BANK_WIDE and action is Action.READ:
        return AccessDecision(True, "bank_wide", audit, conceal=False)
    if resource.unit is None or not _owns(unit, resource.unit):
        return AccessDecision(False, "other_unit", audit, conceal=True)
    if action is Action.APPROVE and resource.requested_by in (None, actor_id):
        return AccessDecision(False, "second_person_needed", audit, conceal=False)
    return AccessDecision(True, "own_unit_or_below", audit, conceal=False)


def _plausible(unit: tuple[str, ...]) -> bool:
    """A path names every level: an empty one would stand above the whole bank."""
    return 0 < len(unit) <= UNIT_DEPTH_MAX and all(unit)


def _owns(above: tuple[str, ...], unit: tuple[str, ...]) -> bool:
    """True where `above` is `unit` itself or one of the units over it."""
    return _plausible(unit) and unit[: len(above)] == above
