"""Records that a reader passes over, said in one line however many they are."""

import logging
from dataclasses import dataclass


@dataclass(slots=True)
class Omissions:
    """How many they are, and the first of them: its offset and why."""

    number: int = 0
    first: str = ""

    def add(self, offset: int | None, why: object) -> None:
        """One more."""
        self.first = self.first or f"offset {offset} ({why})"
        self.number += 1

    def tell(self, log: logging.Logger, topic: str, what: str) -> None:
        """Say it, if there is any."""
        if self.number:
            more = f" and {self.number - 1} more are" if self.number > 1 else " is"
            log.warning("%s: %s%s %s, and passed over: who else writes there?", topic, self.first, more, what)
