"""What two packs tell on the same history, case by case and by volume. Pure."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from typing import Final, NamedTuple

from streams.alerts.lifecycle import RAISED
from tidegauge.evaluation.steps import LINES, ScoredStep

SAME_DAYS: Final = 30  # cases of a customer that open further apart are about different things
_DAY_MS: Final = 86_400_000
_MINUTE_MS: Final = 60_000


class CaseChange(NamedTuple):
    """A case under the running pack, under the other one, or both: their first steps."""

    before: ScoredStep | None
    after: ScoredStep | None

    @property
    def told(self) -> ScoredStep:
        """Either of them."""
        found = self.before or self.after
        assert found is not None
        return found

    @property
    def minutes(self) -> int | None:
        """How many minutes later the other pack tells, negative for earlier; None where one doesn't tell."""
        if self.before is None or self.after is None:
            return None
        return (self.after.at - self.before.at) // _MINUTE_MS


def changes(before: Iterable[ScoredStep], after: Iterable[ScoredStep]) -> list[CaseChange]:
    """Every case of either side, paired by customer, kind and order of opening, within 30 days; by customer and time."""
    mine, theirs = _opened(before), _opened(after)
    found = []
    for place in sorted(mine.keys() | theirs.keys()):
        left = theirs.get(place, [])
        for step in mine.get(place, []):
            near = next((one for one in left if abs(one.at - step.at) <= SAME_DAYS * _DAY_MS), None)
            if near is not None:
                left = [one for one in left if one is not near]
            found.append(CaseChange(step, near))
        found += [CaseChange(None, step) for step in left]
    return sorted(found, key=lambda one: (one.told.customer_id, one.told.at))


def _opened(steps: Iterable[ScoredStep]) -> dict[tuple[str, str], list[ScoredStep]]:
    found: defaultdict[tuple[str, str], list[ScoredStep]] = defaultdict(list)
    for step in steps:
        if step.step == RAISED:
            found[step.customer_id, step.kind].append(step)
    return {place: sorted(listed, key=lambda step: step.at) for place, listed in found.items()}


def volume(
    before: Iterable[ScoredStep], after: Iterable[ScoredStep], by: Callable[[ScoredStep], str]
) -> list[tuple[str, int, int]]:
    """(name, told lines before, after), most first."""
    old, new = (Counter(by(step) for step in steps if step.step in LINES) for steps in (before, after))
    return sorted(((name, old[name], new[name]) for name in old | new), key=lambda row: (-row[1] - row[2], row[0]))
