"""What the door takes of the log: any record that may stand there, and results that reach who waits."""

from __future__ import annotations

from datetime import date
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from deploy.settings import Settings
from schemas.codec.records import encode
from schemas.registry import file_registry
from schemas.validation.profiles import PROFILES_TOPIC
from services.commands.follower import COMMAND_RESULTS, Follower
from streams.calendar import day_of
from tests.standing.partition import customer

RESULT = {
    "event_id": "C1/result/c", "customer_id": "C1", "command_id": "c", "request_id": "r", "action": "note",
    "outcome": "applied", "reason": None, "day": 20_513,
}  # fmt: skip


class Records:
    """Keeps what a follower puts into the store."""

    def __init__(self) -> None:
        self.results: list[dict[str, Any]] = []
        self.next: dict[int, int] = {}

    def put_results(self, results: list[dict[str, Any]], offsets: dict[int, int]) -> None:
        self.results += results
        self.next |= offsets


class Sent:
    """A message of a topic."""

    def __init__(self, topic: str, offset: int, key: bytes | None, value: bytes | None) -> None:
        self._parts = topic, offset, key, value

    def topic(self) -> str:
        return self._parts[0]

    def partition(self) -> int:
        return 0

    def offset(self) -> int:
        return self._parts[1]

    def key(self) -> bytes | None:
        return self._parts[2]

    def value(self) -> bytes | None:
        return self._parts[3]

    def error(self) -> None:
        return None


def follower() -> tuple[Follower, Records]:
    """One that reads nothing by itself."""
    kept = Records()
    return Follower(Settings(), file_registry(), kept), kept  # type: ignore[arg-type]


@given(
    st.lists(
        st.tuples(st.sampled_from((PROFILES_TOPIC, COMMAND_RESULTS)), st.none() | st.binary(max_size=40)), max_size=10
    )
)
def test_any_record_is_taken_or_passed_over(found: list[tuple[str, bytes | None]]) -> None:
    """Nothing ends it, and a result behind what can't be read is still told."""
    one, kept = follower()
    waiter = one.result_of("c")
    messages = [Sent(topic, place, b"C1", value) for place, (topic, value) in enumerate(found)]
    good = Sent(COMMAND_RESULTS, len(found), b"C1", encode(COMMAND_RESULTS, RESULT))
    one._take([*messages, good])  # type: ignore[list-item]
    assert waiter.result(0)["outcome"] == "applied" and kept.results[-1]["day"] == "2026-03-01"
    assert kept.next == {0: len(found) + 1}


def test_branches_follow_the_profiles() -> None:
    """The newest profile's; none after a deletion."""
    one, _ = follower()
    for place, branch in enumerate(("east", "west")):
        profile = {name: value for name, value in customer("C1", branch=branch).items() if name != "topic"}
        one._take([Sent(PROFILES_TOPIC, place, b"C1", encode(PROFILES_TOPIC, profile))])  # type: ignore[list-item]
        assert one.branch("C1") == branch
    one._take([Sent(PROFILES_TOPIC, 2, b"C1", None)])  # type: ignore[list-item]
    assert one.branch("C1") is None


def test_what_the_workers_refuse_moves_nobody() -> None:
    """Under another key, without one, or with a branch that is no text of a branch: the branch stays what it was."""
    one, _ = follower()

    def told(place: int, key: bytes | None, **other: Any) -> None:
        profile = {name: value for name, value in customer("C1", **other).items() if name != "topic"}
        one._take([Sent(PROFILES_TOPIC, place, key, encode(PROFILES_TOPIC, profile))])  # type: ignore[list-item]
        assert one.branch("C1") == "east"

    told(0, b"C1", branch="east")
    told(1, b"C2", branch="west")
    told(2, None, branch="west")
    told(3, b"C1", branch=" west")
    told(4, b"C1", branch="west", birth_date=day_of(date(9999, 1, 1)))
    one._take([Sent(PROFILES_TOPIC, 5, b"\xff", None)])  # type: ignore[list-item]


def test_nobody_is_told_who_has_gone() -> None:
    """Who stops waiting is forgotten; others of the same command are told."""
    one, _ = follower()
    gone, here = one.result_of("c"), one.result_of("c")
    one.forget("c", gone)
    one._take([Sent(COMMAND_RESULTS, 0, b"C1", encode(COMMAND_RESULTS, RESULT))])  # type: ignore[list-item]
    assert here.done() and not gone.done()
