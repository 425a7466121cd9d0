"""A quota of the brokers is told from their answers, and for as long as it lasts."""

import asyncio
import inspect
from types import SimpleNamespace

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.client import AIOKafkaClient
from aiokafka.protocol import fetch, produce

from agents.engine.watch.quota import AGAIN_S, LOOKS, Quota

OLDEST = {"FetchResponse_v0", "ProduceResponse_v0"}  # of Kafka 0.8


class Client:
    """Answers with these throttle times, in ms; None: an answer of a version that has none."""

    def __init__(self, *times: int | None) -> None:
        self.times = list(times)

    async def send(self, node_id: int, request: object, *, group: int = 0) -> object:
        held = self.times.pop(0)
        return SimpleNamespace() if held is None else SimpleNamespace(throttle_time_ms=held)


def test_answers_have_it_where_it_is_looked_for() -> None:
    """In aiokafka's answers to fetches and to what is written, and what is patched is what its clients ask by."""
    answers = [kind for module in (fetch, produce) for name, kind in vars(module).items() if "Response_v" in name]
    assert len(answers) > 10
    assert {kind.__name__ for kind in answers if "throttle_time_ms" not in kind.SCHEMA.names} <= OLDEST
    assert asyncio.iscoroutinefunction(AIOKafkaClient.send)
    assert "self.client = AIOKafkaClient(" in inspect.getsource(AIOKafkaProducer.__init__)


def test_what_is_held_back_is_counted_once(caplog: pytest.LogCaptureFixture) -> None:
    """However often it is told to listen; the log says it now and then, and it is over a minute later."""
    counted: list[float] = []
    quota, client = Quota(counted.append), Client(0, None, 400, 1100)
    quota.listen(client)
    quota.listen(client)
    for _ in range(4):
        asyncio.run(client.send(0, "request", group=1))
    assert counted == [0.4, 1.1]
    for second in range(LOOKS - 1):
        quota.look(second)
        assert "by 2 s within the last minute" in quota.said()
    assert len(caplog.records) == 1
    quota.look(AGAIN_S)
    assert quota.said() == ""


def test_a_little_is_not_worth_a_word() -> None:
    """Brokers hold back by some milliseconds now and then."""
    quota, client = Quota(lambda _: None), Client(300, 300)
    quota.listen(client)
    asyncio.run(client.send(0, "request"))
    assert quota.said() == ""
