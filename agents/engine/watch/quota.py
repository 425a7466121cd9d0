"""Whether the brokers hold this worker back by a quota: their answers say for how long they have let a request wait."""

import logging
from collections import deque
from collections.abc import Callable
from typing import Any, Final

LOOKS: Final = 60  # seconds that are looked back on
HELD_S_MIN: Final = 1.0  # of them, from which on it is told
AGAIN_S: Final = 60.0

log = logging.getLogger(__name__)


class Quota:
    """Listens to the answers of clients; `count` is given the seconds of each that was held back. From any thread."""

    def __init__(self, count: Callable[[float], object]) -> None:
        self._count = count
        self.held_s = 0.0  # altogether
        self._looks: deque[float] = deque([0.0], maxlen=LOOKS)
        self._said_at = -AGAIN_S

    def listen(self, client: Any) -> None:
        """Hear the answers to what a client of aiokafka asks from now on; once is enough."""
        if getattr(client.send, "heard", False):
            return
        ask = client.send

        async def send(*args: Any, **more: Any) -> Any:
            answer = await ask(*args, **more)
            if held_ms := getattr(answer, "throttle_time_ms", 0):
                self.held_s += held_ms / 1000
                self._count(held_ms / 1000)
            return answer

        send.heard = True  # type: ignore[attr-defined]  # functions take attributes
        client.send = send

    def look(self, now: float) -> None:
        """Once a second; the log says now and then that it goes on."""
        self._looks.append(self.held_s)
        if (said := self.said()) and now >= self._said_at + AGAIN_S:
            self._said_at = now
            log.warning("%s", said)

    def said(self) -> str:
        """What it did lately, and what to do; empty where it did nothing worth a word."""
        held_s = self.held_s - self._looks[0]
        if held_s < HELD_S_MIN:
            return ""
        return (
            f"a quota of the brokers holds this worker's requests back, by {held_s:.0f} s within the last minute: "
            "kafka-configs --describe --entity-type clients, and users, shows it; raise it"
        )
