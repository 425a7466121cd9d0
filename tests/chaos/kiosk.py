"""A kiosk that asks for queue classes without pause while the view's store goes through its faults."""

from __future__ import annotations

import asyncio
import random
import threading
import time
from dataclasses import dataclass, field

from deploy.settings import Settings
from services.assembly import priority_lookup
from services.queue.lookup import Answer
from streams.reference import customer_ref

PAUSE_S = 0.02
SETTLE_S = 0.5  # an answer that was on its way when a fault began


@dataclass
class Kiosk(threading.Thread):
    """Answers with their times; `down` are the spans in which the store could not be asked."""

    settings: Settings
    customers: list[str]
    seed: int
    answers: list[tuple[float, float, Answer]] = field(default_factory=list)  # asked at, seconds, answer
    errors: list[str] = field(default_factory=list)
    down: list[tuple[float, float]] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__(daemon=True, name="kiosk")
        self.ended = threading.Event()

    __hash__ = threading.Thread.__hash__

    def run(self) -> None:
        """Until told to end."""
        asyncio.run(self._ask())

    async def _ask(self) -> None:
        rng, key = random.Random(self.seed), self.settings.secret()
        async with priority_lookup(self.settings) as lookup:
            while not self.ended.is_set():
                began = time.monotonic()
                try:
                    answer = await lookup.answer(customer_ref(key, rng.choice(self.customers)))
                    self.answers.append((began, time.monotonic() - began, answer))
                except Exception as problem:
                    self.errors.append(repr(problem))
                await asyncio.sleep(PAUSE_S)

    def end(self) -> list[str]:
        """Stop; what was wrong: an error, or an answer from a store that was not there."""
        self.ended.set()
        self.join(10)
        wrong = [f"the kiosk met {problem}" for problem in self.errors]
        for began, took, answer in self.answers:
            gone = any(first + SETTLE_S < began and began + took < last for first, last in self.down)
            if gone and (not answer.degraded or answer.queue_class != self.settings.queue_default_class):
                wrong.append(f"without a store the kiosk was told {answer}")
        return wrong

    @property
    def degraded(self) -> int:
        """Answers that were the default because nothing better was known."""
        return sum(answer.degraded for _, _, answer in self.answers)

    @property
    def slowest_s(self) -> float:
        """The longest wait."""
        return max((took for _, took, _ in self.answers), default=0.0)
