"""What each command asks for, written down a second time: every role sends every command, from its own unit and from others."""

from __future__ import annotations

from typing import Any, Final

import pytest

from services.access.decision import Action, Actor, DataKind, Resource, Role, decide_access, owner_of
from services.commands.definitions import COMMANDS_TAKEN, body_of
from tests.services.test_commands import Bank

RIGHTS: Final[dict[tuple[DataKind, Action], str]] = {
    (DataKind.CARDS, Action.REQUEST): "apply_card request_card apply_tier",
    (DataKind.CARDS, Action.APPROVE): "approve_card refuse_card",
    (DataKind.CARDS, Action.WRITE): (
        "issue_card collect_card report_lost replace_card renew_card return_card issue_staff_card"
    ),
    (DataKind.RECORDS, Action.WRITE): "record withdraw_record",
    (DataKind.OVERRIDES, Action.REQUEST): "override_tier request_exception",
    (DataKind.OVERRIDES, Action.APPROVE): "approve_exception",
    (DataKind.OVERRIDES, Action.WRITE): "revoke_exception pin_policy unpin_policy",
    (DataKind.NOTES, Action.WRITE): "note",
    (DataKind.ALERTS, Action.ACKNOWLEDGE): "acknowledge snooze hand_over resolve comment escalate wake",
}
ASKS: Final = {name: right for right, names in RIGHTS.items() for name in names.split()}
UNITS: Final = {"own": ("hq", "east"), "above": ("hq",), "other": ("hq", "west"), "below": ("hq", "east", "0102")}
GIVEN: Final[dict[str, Any]] = {
    "customer_id": "C1", "case": "a", "card": "gold", "tier": "gold", "role": "clerk", "version": 1, "text": "called",
    "until": "2026-03-01", "to": "rm-2", "outcome": "kept", "reason": "on holiday", "level": 1, "record": "application",
}  # fmt: skip
"""What a body must have."""


class Anybody(Bank):
    """A bank where the name of a role and of a unit are the key of one who has them."""

    def actor(self, text: str) -> Actor | None:
        """Whose key it is."""
        role, _, unit = text.partition("@")
        return Actor(text, Role(role), UNITS[unit])


def test_every_command_has_its_right() -> None:
    """A new one without a row fails."""
    assert COMMANDS_TAKEN.keys() == ASKS.keys()


@pytest.mark.slow
@pytest.mark.parametrize("name", COMMANDS_TAKEN)
async def test_who_may_send_it(name: str) -> None:
    """Just those to whom the matrix gives the right, of the customer's unit or one above; all others are told of nobody."""
    kind, action = ASKS[name]
    body = {field: GIVEN[field] for field, one in body_of(name).model_fields.items() if one.is_required()}
    bank, allowed = Anybody(), set()
    for role in Role:
        for unit, path in UNITS.items():
            who = f"{role}@{unit}"
            may = decide_access(
                Actor(who, role, path), action, Resource(kind, owner_of("east"), "somebody else")
            ).allowed
            answer = await bank.post(name, who, **body)
            assert answer.status_code == (200 if may else 404), (who, answer.text)
            allowed |= {who} if may else set()
    assert {one["stamped_by"] for one in bank.written} == allowed and not {one for one in allowed if "other" in one}
    assert len(bank.records) == len(Role) * len(UNITS), "each is on record"
