"""The reader of topics beside the workers, without brokers."""

from __future__ import annotations

import asyncio
import gc
from typing import Any

import pytest
from aiokafka.errors import KafkaConnectionError
from confluent_kafka import KafkaException

from agents.engine import reader
from deploy.settings import Settings


class Away:
    """A client that can't end well, as its brokers are away."""

    def __init__(self) -> None:
        self.task = asyncio.get_running_loop().create_task(asyncio.sleep(1000))

    async def stop(self) -> None:
        """It breaks off half-way."""
        raise KafkaConnectionError


def test_nothing_of_a_client_outlives_its_reader(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else asyncio says "Task was destroyed but it is pending!" behind whatever the process said last."""
    made = list[Away]()

    async def opened(*_: Any) -> Away:
        made.append(Away())
        return made[0]

    monkeypatch.setattr(reader, "_open", opened)
    reader.LogReader(Settings().kafka, ["transactions"]).close()
    assert made[0].task.cancelled()


async def test_a_reader_is_closed_where_another_loop_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Services close theirs from coroutines; what its client has left ends all the same."""
    made = list[Away]()

    async def opened(*_: Any) -> Away:
        made.append(Away())
        return made[0]

    monkeypatch.setattr(reader, "_open", opened)
    found = await asyncio.to_thread(reader.LogReader, Settings().kafka, ["transactions"])
    found.close()
    assert made[0].task.cancelled()


@pytest.mark.slow
@pytest.mark.filterwarnings("error")
def test_a_closed_reader_begins_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A thread that reads on while its process ends is refused, and leaves no coroutine that asyncio would tell of."""

    async def opened(*_: Any) -> Away:
        return Away()

    monkeypatch.setattr(reader, "_open", opened)
    found = reader.LogReader(Settings().kafka, ["transactions"])
    found.close()
    with pytest.raises(KafkaException, match="closed"):
        found.fetch(0.1)
    gc.collect()  # what was never awaited is told of then
    found.close()
