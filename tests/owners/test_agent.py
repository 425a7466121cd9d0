"""What the account agent tells, against a stand-in for Kafka: each further owner once, in parts, and nothing otherwise."""

from __future__ import annotations

from typing import Any

import pytest

from agents.engine.job import FatalError, Rejoin
from agents.engine.metrics import WorkerMetrics
from agents.owners import agent as agents_owner
from agents.owners.agent import AccountAgent
from agents.owners.compare import Claim, Further, OwnersSeen, Shared
from deploy.settings import Settings
from schemas.codec.records import decode_one
from schemas.registry import file_registry

KEY = b"a key of the tests, 32 bytes long."
FURTHER = [Further(10 * n, Claim(f"A{n}", "C2", 20_000)) for n in range(1, 6)]
END = 100


class Kafka:
    """What is committed of transactions, and by whom they were begun."""

    def __init__(self) -> None:
        self.offset, self.told, self.producers = -1001, list[str](), 0  # -1001: none

    def committed(self, places: list[Any], _s: float) -> list[Any]:
        """Of the one partition."""
        places[0].offset = self.offset
        return places

    def consumer_group_metadata(self) -> None:
        """Nobody asks what it is."""


class Transactional:
    """A producer whose records count when they are committed."""

    kafka: Kafka

    def __init__(self, _conf: Any, logger: Any) -> None:
        self.kafka.producers += 1
        self.open: list[str] = []

    def init_transactions(self, _s: float) -> None:
        """Nothing is open."""

    def begin_transaction(self) -> None:
        """Begun."""

    def produce(self, _topic: str, value: bytes, _key: bytes, _partition: int) -> None:
        """A break."""
        self.open.append(decode_one(value, name="restatements")["event_id"])

    def send_offsets_to_transaction(self, offsets: list[Any], _group: Any, _s: float) -> None:
        """How far."""
        self.offset = offsets[0].offset

    def commit_transaction(self, _s: float) -> None:
        """Both at once."""
        self.kafka.told += self.open
        self.kafka.offset, self.open = self.offset, []


@pytest.fixture
def kafka(monkeypatch: pytest.MonkeyPatch) -> Kafka:
    """The stand-in; C1 had every account first."""
    Transactional.kafka = Kafka()
    monkeypatch.setattr(agents_owner, "Producer", Transactional)
    monkeypatch.setattr(
        AccountAgent, "_pairs", lambda _, __, now: [Shared(one.account_id, "C1", "C2", one.first_day) for one in now]
    )
    return Transactional.kafka


def agent(may: Any = None) -> AccountAgent:
    """Of a worker that holds partition 0."""
    return AccountAgent(Settings(), "standing", file_registry(), KEY, lambda: {0}, WorkerMetrics(), may)


def held(kafka: Kafka, *further: Further) -> agents_owner._Held:
    """A partition that was read to its end."""
    return agents_owner._Held(OwnersSeen(file_registry()), max(0, kafka.offset), 0.0, at=END, further=list(further))


def test_each_is_told_once_in_parts(kafka: Kafka, monkeypatch: pytest.MonkeyPatch) -> None:
    """How far it is committed is never beyond what was told, and behind the last part it is the end."""
    monkeypatch.setattr(agents_owner, "TOLD_AT_ONCE_MAX", 2)
    one, its, offsets = agent(), held(kafka, *FURTHER), []
    while its.further:
        one._tell(0, its, kafka)  # type: ignore[arg-type]
        offsets.append(kafka.offset)
    assert offsets == [FURTHER[2].offset, FURTHER[4].offset, END]
    assert len(set(kafka.told)) == len(kafka.told) == 2 * len(FURTHER)
    assert kafka.producers == 1


def test_what_others_have_told_meanwhile_is_not_told(kafka: Kafka) -> None:
    """It had read how far that was before it fenced them."""
    its = held(kafka, *FURTHER)
    kafka.offset = END
    with pytest.raises(Rejoin):
        agent()._tell(0, its, kafka)  # type: ignore[arg-type]
    assert not kafka.told and its.producer is None


def test_whoever_no_longer_owns_the_outputs_tells_nothing(kafka: Kafka) -> None:
    """That is asked behind the fencing: a takeover writes the identity first, and fences then."""
    asked = list[int]()

    def may() -> None:
        asked.append(kafka.producers)
        raise FatalError("group second owns the outputs now")

    with pytest.raises(FatalError):
        agent(may)._tell(0, held(kafka, *FURTHER), kafka)  # type: ignore[arg-type]
    assert asked == [1] and not kafka.told
