"""The keys of machines in memory, so that asking with a key costs no look into the database, and a guess costs nothing."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

from services.access.decision import Actor

KEYS_READ_EVERY_S: Final = 15.0
"""So late a key that was made counts, and one that was revoked counts no more."""

KEYS_TRUSTED: Final = timedelta(hours=1)
"""Without the database the keys of the last look count so long; then nobody's does."""

KnownKeys = dict[bytes, tuple[Actor, datetime]]


class KeyRing:
    """Who comes with a key. `load` reads them all: by digest, with whom they are of and when they end."""

    def __init__(self, load: Callable[[], KnownKeys]) -> None:
        self.load = load
        self.known: KnownKeys = {}
        self.read_at: datetime | None = None

    def read(self, now: datetime) -> None:
        """Look again; raises what `load` raises, and keeps what is known."""
        self.known, self.read_at = self.load(), now

    def trusted(self, now: datetime) -> bool:
        """Whether the last look is not too long ago."""
        return self.read_at is not None and now - self.read_at <= KEYS_TRUSTED

    def actor(self, text: str, now: datetime) -> Actor | None:
        """Whose key it is; None for what is no key that counts."""
        found = self.known.get(hashlib.sha256(text.encode(errors="replace")).digest())
        return found[0] if found is not None and now < found[1] else None
