"""What a ledger finds while it folds and closes, for whoever publishes it."""

from __future__ import annotations

from typing import NamedTuple

from streams.accounts.store import Array


class Candidate(NamedTuple):
    """An outflow rule met by row `row` of a block; amounts in base minor units."""

    row: int
    customer: int
    rule: int
    outflow: int
    reference: int


class Break(NamedTuple):
    """A snapshot's adjusting entry that differs from what was reported; minor units of the account's currency."""

    account: int
    day: int
    instant: int
    before: int
    now: int


class UnmatchedReversal(NamedTuple):
    """A reversal that takes back no posting held; minor units of the account's currency.

    `twin`: how many just like it, by booking, amount and value date, there were before.
    """

    account: int
    booked: int
    amount: int
    day: int
    twin: int


class Restated(NamedTuple):
    """Customers' sums over a period of closed months: now, and as the last close had them; units and nano each."""

    now: tuple[Array, Array]
    before: tuple[Array, Array]
    held: Array  # bool[n]: a rate is missing
