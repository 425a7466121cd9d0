"""Who may see what: the table of reading C-28, row by row, and what holds for every question."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.access.decision import GRANTS, Action, Actor, DataKind, Resource, Role, decide_access, owner_of, unit_of

HQ, EAST, OUTLET, OTHER = ("hq",), ("hq", "east"), ("hq", "east", "0102"), ("hq", "east", "0103")

TABLE = [
    # role, his unit, action, kind, owner's unit, allowed, reason
    (Role.RM, OUTLET, Action.READ, DataKind.BALANCES, OUTLET, True, "own_unit_or_below"),
    (Role.RM, OUTLET, Action.READ, DataKind.BALANCES, OTHER, False, "other_unit"),
    (Role.RM, OUTLET, Action.READ, DataKind.TIER, OTHER, True, "bank_wide"),
    (Role.RM, OUTLET, Action.READ, DataKind.IDENTITY, OTHER, True, "bank_wide"),
    (Role.RM, OUTLET, Action.READ, DataKind.QUEUE_CLASS, OTHER, True, "bank_wide"),
    (Role.RM, OUTLET, Action.READ, DataKind.TRANSACTIONS, OTHER, False, "other_unit"),
    (Role.RM, OUTLET, Action.WRITE, DataKind.NOTES, OUTLET, True, "own_unit_or_below"),
    (Role.RM, OUTLET, Action.WRITE, DataKind.NOTES, OTHER, False, "other_unit"),
    (Role.RM, OUTLET, Action.ACKNOWLEDGE, DataKind.ALERTS, OUTLET, True, "own_unit_or_below"),
    (Role.RM, OUTLET, Action.EXPORT, DataKind.BALANCES, OUTLET, False, "not_granted"),
    (Role.RM, OUTLET, Action.APPROVE, DataKind.OVERRIDES, OUTLET, False, "not_granted"),
    (Role.PRESIDENT, EAST, Action.READ, DataKind.BALANCES, OUTLET, True, "own_unit_or_below"),
    (Role.PRESIDENT, EAST, Action.READ, DataKind.BALANCES, ("hq", "west", "0201"), False, "other_unit"),
    (Role.PRESIDENT, EAST, Action.EXPORT, DataKind.BALANCES, OUTLET, True, "own_unit_or_below"),
    (Role.WEALTH_OFFICE, HQ, Action.READ, DataKind.BALANCES, OTHER, True, "own_unit_or_below"),
    (Role.TELLER, OUTLET, Action.READ, DataKind.TIER, OTHER, True, "bank_wide"),
    (Role.TELLER, OUTLET, Action.READ, DataKind.BALANCES, OUTLET, False, "not_granted"),
    (Role.KIOSK, OUTLET, Action.READ, DataKind.QUEUE_CLASS, None, True, "bank_wide"),
    (Role.KIOSK, OUTLET, Action.READ, DataKind.TIER, OUTLET, False, "not_granted"),
    (Role.AUDITOR, HQ, Action.READ, DataKind.AUDIT, HQ, True, "own_unit_or_below"),
    (Role.AUDITOR, HQ, Action.WRITE, DataKind.NOTES, OUTLET, False, "not_granted"),
    (Role.OPERATOR, HQ, Action.EXPORT, DataKind.BALANCES, OUTLET, True, "own_unit_or_below"),
    (Role.OPERATOR, HQ, Action.WRITE, DataKind.NOTES, OUTLET, False, "not_granted"),
    (Role.RM, (), Action.READ, DataKind.BALANCES, OUTLET, False, "no_unit"),
    (Role.RM, OUTLET, Action.READ, DataKind.BALANCES, None, False, "other_unit"),
    (Role.RM, ("hq", "east", "01"), Action.READ, DataKind.BALANCES, OUTLET, False, "other_unit"),
]


@pytest.mark.parametrize(("role", "unit", "action", "kind", "owner", "allowed", "reason"), TABLE)
def test_table(
    role: Role, unit: tuple, action: Action, kind: DataKind, owner: tuple, allowed: bool, reason: str
) -> None:
    """Identity, tier and queue class are bank-wide; the rest belongs to the owning branch and those above (C-28)."""
    decision = decide_access(Actor("s1", role, unit), action, Resource(kind, owner))
    assert (decision.allowed, decision.reason) == (allowed, reason)


def test_override_needs_a_second_person() -> None:
    """Nobody approves what he has asked for himself, and nothing unasked is approved."""
    boss = Actor("boss", Role.BRANCH_MANAGER, OUTLET)

    def approve(requested_by: str | None) -> bool:
        return decide_access(boss, Action.APPROVE, Resource(DataKind.OVERRIDES, OUTLET, requested_by)).allowed

    assert [approve("rm-7"), approve("boss"), approve(None)] == [True, False, False]


UNITS = st.lists(st.sampled_from(["hq", "east", "west", "0102", "0103"]), max_size=4).map(tuple)
ACTORS = st.builds(Actor, st.sampled_from(["a", "b"]), st.sampled_from(Role), UNITS)


@given(ACTORS, st.sampled_from(Action), st.sampled_from(DataKind))
def test_absent_and_foreign_look_alike(actor: Actor, action: Action, kind: DataKind) -> None:
    """A refusal does not tell whether the customer exists."""
    absent = decide_access(actor, action, Resource(kind, None))
    foreign = decide_access(actor, action, Resource(kind, ("elsewhere",)))
    assert absent == foreign


@given(ACTORS, st.sampled_from(Action), st.sampled_from(DataKind), UNITS)
def test_nothing_ungranted_is_allowed(actor: Actor, action: Action, kind: DataKind, owner: tuple) -> None:
    """What no line of the grants names is denied, and every look at personal figures is audited."""
    decision = decide_access(actor, action, Resource(kind, owner, requested_by="c"))
    if decision.allowed:
        assert (kind, action) in GRANTS[actor.role]
        assert (
            decision.audit
            or kind in (DataKind.IDENTITY, DataKind.TIER, DataKind.QUEUE_CLASS, DataKind.TICKETS)
            or action is not Action.READ
        )
        assert not decision.conceal


def test_every_role_has_grants() -> None:
    """A new role without a line would fail with KeyError instead of a refusal."""
    assert set(GRANTS) == set(Role)


def test_units_as_they_are_written() -> None:
    """The head office may be left out, a branch without more lies right below it, and nobody's customer is the head office's."""
    assert unit_of("hq/east/0102") == unit_of("east/0102") == OUTLET
    assert unit_of("hq") == HQ
    assert owner_of("B1") == ("hq", "B1")
    assert owner_of(None) == owner_of("") == HQ
    assert unit_of("") == ()
