"""What a log no longer holds, so that whoever replays it says of which months it knows nothing (docs/policies.md#what-if)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from agents.standing.intake.figures.flows import first_whole_month
from policies.lifecycle.state import day_number
from policies.model.figures import figure_period, series
from policies.model.pack import Pack
from streams.calendar import month_start

LOST_FLOW, LOST_FACT, LOST_BALANCE = LOST_KINDS = ("flow", "fact", "balance")


class NoLongerHeld(NamedTuple):
    """A figure that a pack looks at further back than the log goes: it is known from a day on.

    Of a flow the months before are unknown; of a fact by month they count as not sent; of balances what was posted before
    is missing in all figures.
    """

    kind: str
    name: str
    since: int


def held_since(closes: Iterable[Mapping[str, Any]], first: Mapping[str, int], partition: int) -> dict[str, int]:
    """By topic whose beginning is gone: the first day from which everything that came is held.

    closes: records of the closes that are held; first: by topic, the first offset that is held. What a close's cut has behind
    it came after its day. Without such a close nothing is known to be held: the day is behind the last close.
    """
    found: dict[str, int] = {}
    behind = -1
    for close in closes:
        if close["retracts"] is not None:
            continue
        day, behind = int(close["business_day"]), max(behind, int(close["business_day"]))
        for item in close["cut"]:
            topic, offset = item["topic"], first.get(item["topic"], 0)
            if item["partition"] == partition and 0 < offset <= item["offset"]:
                found[topic] = min(found.get(topic, day + 1), day + 1)
    return {topic: found.get(topic, behind + 1) for topic, offset in first.items() if offset > 0}


def no_longer_held(pack: Pack, held: Mapping[str, int]) -> tuple[NoLongerHeld, ...]:
    """The figures of a pack that its closes, from the first one on, look at before the log begins; each once."""
    first_close = day_number(pack.effective_from) - 1
    found = dict.fromkeys(_all(pack, held, first_close))
    return tuple(sorted(found))


def _all(pack: Pack, held: Mapping[str, int], close: int) -> Iterator[NoLongerHeld]:
    for metric, scope in pack.asked():
        by_month, period = series(metric), figure_period(metric, close)
        if by_month is not None and period is not None:
            kind, topic = (LOST_FLOW, "transactions") if by_month.of in pack.flows else (LOST_FACT, "facts")
            since = held.get(topic)
            if since is not None and period[0] < int(month_start(first_whole_month(since))):
                yield NoLongerHeld(kind, by_month.of, int(month_start(first_whole_month(since))))
        elif scope is not None and (since := held.get("transactions")) is not None:
            yield NoLongerHeld(LOST_BALANCE, scope, since)
