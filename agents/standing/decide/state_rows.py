"""A customer's lifecycle as a changelog row: JSON, tiers and cards by their names, days as numbers."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import astuple, dataclass
from typing import Any, NamedTuple

import numpy as np

from agents.engine.record_batches import texts
from policies.lifecycle import transitions
from policies.lifecycle.state import (
    Card,
    Grant,
    Pending,
    Request,
    State,
    bits,
    card_tier,
    flags,
    ready,
    renewal_from,
    review_from,
    tier_of,
    unsaid,
)
from policies.model.pack import ClassPolicy
from streams.accounts.store import REF_BITS, Array

NEVER_DUE = (1 << 31) - 1
# Flags of a State that do not go by the day, and the first days on which a renewal and a review are due.
STATE_MARK = np.dtype([("flags", "<i4"), ("renewal", "<i4"), ("review", "<i4")])
_FRESH = State("", "")  # fields with its values are left out of rows


@dataclass(slots=True)
class Remembered:
    """What is remembered of a customer beside his state.

    profile_card: the card that the profile named when it was last looked at; seen: event ids of the latest acts;
    touched: the last closed day when the latest act came.
    """

    profile_card: str | None = None
    seen: tuple[str, ...] = ()
    touched: int | None = None


def encode_state(state: State, remembered: Remembered) -> bytes:
    """The row of a state."""
    row: dict[str, Any] = {
        name: value for name in State.__slots__ if (value := getattr(state, name)) != getattr(_FRESH, name)
    }
    row["records"] = sorted(state.records)
    for name in ("card", "request", "grant", "pending"):
        if name in row:
            row[name] = astuple(row[name])
    row["beside"] = astuple(remembered)
    return json.dumps(row, ensure_ascii=False, separators=(",", ":")).encode()


def decode_state(value: bytes) -> tuple[State, Remembered]:
    """A row back."""
    row: dict[str, Any] = json.loads(value)
    profile_card, seen, touched = row.pop("beside")
    row["records"] = frozenset(row["records"])
    if "services" in row:
        row["services"] = tuple(map(tuple, row["services"]))
    for name, kind in (("card", Card), ("request", Request), ("grant", Grant), ("pending", Pending)):
        if name in row:
            row[name] = kind(*row[name])
    return State(**row), Remembered(profile_card, tuple(seen), touched)


def shared(parts: Sequence[Array], row: Callable[[int], bytes]) -> tuple[Array, Array]:
    """(buffer, ends) of n rows: row(i) for each i, made once for all of them whose parts (of 16 bits each) are the same."""
    packed = np.zeros(len(parts[0]), np.int64)
    for part in parts:
        packed = packed << 16 | (part.astype(np.int64) & 0xFFFF)
    _, first, which = np.unique(packed, return_index=True, return_inverse=True)
    rows = [row(i) for i in first.tolist()]
    sizes = np.fromiter(map(len, rows), np.int64, len(rows))
    return texts(np.frombuffer(b"".join(rows), np.uint8), ((np.cumsum(sizes) - sizes) << REF_BITS | sizes)[which])


def plain_state(policy: ClassPolicy, official: int, measured: int, below: int) -> State:
    """The state of a customer without a State of his own; tiers as indices."""
    ids = [tier.id for tier in policy.tiers]
    return State(ids[official], ids[measured], below=below)


def is_plain(policy: ClassPolicy, state: State) -> bool:
    """Whether official tier, measured tier and months below say everything."""
    return state == plain_state(policy, policy.rank(state.official), policy.rank(state.measured), state.below)


def mark(policy: ClassPolicy, state: State) -> tuple[int, int, int]:
    """A state's flags as STATE_MARK has them."""
    renewal, review = (
        NEVER_DUE if day is None else day for day in (renewal_from(policy, state), review_from(policy, state))
    )
    return bits(flags(policy, state)), renewal, review


class StateColumns(NamedTuple):
    """What the columns hold of a state."""

    own: bool
    measured: int
    awaits_close: bool
    due: int
    mark: tuple[int, int, int]  # as STATE_MARK


def columns_of_state(policy: ClassPolicy, state: State) -> StateColumns:
    """What the columns hold of a state under a policy."""
    own = not is_plain(policy, state) or tier_of(policy, state) != state.official
    # Of a state of its own the tier in force says nothing: a grant may stand above the official one.
    trivial = not own and state.measured == state.official and state.below == 0
    by_card = policy.status.basis == "card"
    settled = (
        state.measured == state.official or transitions.offered(policy, state) is not None or not ready(policy, state)
    )
    awaits_close = (
        (not by_card and policy.level(state.measured) < policy.level(state.official))
        or state.below > 0  # if the standard has come back between closes, a close starts the count again
        or policy.review is not None
        or state.pinned_version is not None
        or state.pending is not None
        or state.vetoed
        or not (settled or by_card)
    )
    ended = [part.last_day for part in (state.card, state.grant) if part is not None and part.last_day is not None]
    adopted = by_card and ready(policy, state) and state.official != card_tier(policy, state.card)
    ended += [day for day in unsaid(policy, state) if day is not None]
    ended += [state.pending.day - 1] if state.pending is not None else []
    due = 0 if adopted or state.deferred is not None else min(ended, default=NEVER_DUE)
    return StateColumns(own, -1 if trivial else policy.rank(state.measured), awaits_close, due, mark(policy, state))
