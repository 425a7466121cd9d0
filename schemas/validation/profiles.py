"""Which records of `customers` count: readers that go by profiles take those that the workers take, and no others.

To which branch a customer belongs, and so who may see him, follows from his profile. One that a worker refuses, since it is
wrong or lies wrong, must not say so to anybody else.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from schemas.partitioner import misplacement
from schemas.validation.columns import InputCheck

PROFILES_TOPIC: Final = "customers"
_ZONE: Final = "UTC"  # profiles have days, and no instants


class SentProfile(NamedTuple):
    """A record of the topic: its key, its partition, what was decoded; None: a deletion."""

    key: bytes | None
    partition: int
    record: Mapping[str, Any] | None


class ProfileCheck:
    """Judges profiles by themselves and by where they lie, in a topic of so many partitions."""

    def __init__(self, partitions: int) -> None:
        self._partitions, self._check = partitions, InputCheck(PROFILES_TOPIC, _ZONE)

    def taken(self, sent: Sequence[SentProfile]) -> list[bool]:
        """Of each, whether it counts."""
        wrong = iter(self._check.verdicts([one.record for one in sent if one.record is not None]))
        return [(one.record is None or next(wrong) is None) and self._lies_right(one) for one in sent]

    def _lies_right(self, one: SentProfile) -> bool:
        customer_id = None if one.record is None else one.record["customer_id"]
        return not misplacement(one.key, customer_id, one.partition, self._partitions)
