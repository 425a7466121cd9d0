"""Versions of records that take each other's place: the epoch of the log's identity, and what rises within it.

`version` of queue classes and `source_seq` of standings and outlooks are epoch × 2^40 + a number that rises within the epoch. The
epoch comes from the identity (tidegauge.world) and rises whenever that number may begin anew: so no version goes back.
"""

from __future__ import annotations

from typing import Final

from agents.engine.job import FatalError

LOW_BITS: Final = 40
EPOCHS: Final = 1 << 13  # so every version is below 2^53, up to which JavaScript's numbers are exact


def versioned(epoch: int, low: int) -> int:
    """The version of a number of an epoch. FatalError for a number that has no room below the epoch."""
    if not 0 <= low < 1 << LOW_BITS:
        raise FatalError(
            f"a version's number is {low}, and 2^{LOW_BITS} is its limit: the offsets of a partition sum up to too much; "
            "copy the topics into new ones, under another TIDEGAUGE_TOPIC_PREFIX"
        )
    return epoch << LOW_BITS | low


def epoch_of(version: int) -> int:
    """The epoch in a version; 0 in those from before there were epochs."""
    return version >> LOW_BITS


def number_of(version: int) -> int:
    """What rises within the epoch of a version."""
    return version & (1 << LOW_BITS) - 1
