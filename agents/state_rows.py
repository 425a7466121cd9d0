"""A customer's lifecycle as a changelog row: JSON, tiers and cards by their names, days as numbers."""

from __future__ import annotations

import json
from dataclasses import astuple, dataclass
from typing import Any

from policies.model import ClassPolicy
from policies.state import Card, Grant, Request, State

FRESH = State("", "")  # what it says too is left out


@dataclass(slots=True)
class Beside:
    """What belongs to a customer beside his state.

    profile_card: the card that the profile named when it was last looked at; seen: event ids of the latest acts;
    touched: the last closed day when one of them came.
    """

    profile_card: str | None = None
    seen: tuple[str, ...] = ()
    touched: int | None = None


def encode(state: State, beside: Beside) -> bytes:
    """The row of a state."""
    row: dict[str, Any] = {
        name: value for name in State.__slots__ if (value := getattr(state, name)) != getattr(FRESH, name)
    }
    row["records"] = sorted(state.records)
    for name in ("card", "request", "grant"):
        if name in row:
            row[name] = astuple(row[name])
    row["beside"] = astuple(beside)
    return json.dumps(row, ensure_ascii=False, separators=(",", ":")).encode()


def decode(value: bytes) -> tuple[State, Beside]:
    """A row back."""
    row: dict[str, Any] = json.loads(value)
    profile_card, seen, touched = row.pop("beside")
    row["records"] = frozenset(row["records"])
    for name, kind in (("card", Card), ("request", Request), ("grant", Grant)):
        if name in row:
            row[name] = kind(*row[name])
    return State(**row), Beside(profile_card, tuple(seen), touched)


def plain_state(policy: ClassPolicy, official: int, measured: int, below: int) -> State:
    """The state of a customer with nothing of his own: tiers as indices."""
    ids = [tier.id for tier in policy.tiers]
    return State(ids[official], ids[measured], below=below)


def is_plain(policy: ClassPolicy, state: State) -> bool:
    """Whether official tier, measured tier and months below say everything."""
    return state == plain_state(policy, policy.rank(state.official), policy.rank(state.measured), state.below)
