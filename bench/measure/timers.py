"""Exclusive CPU times of nested calls: each stage counts what its own code takes, without the stages it calls.

Processor time of the thread, not the clock on the wall: other work on the machine then hardly matters.
"""

from __future__ import annotations

import functools
import time
from collections import Counter
from typing import Any


class Stages:
    """Wraps functions where they are looked up; seconds[stage] and calls[stage] grow with every call."""

    def __init__(self) -> None:
        self.seconds: Counter[str] = Counter()
        self.calls: Counter[str] = Counter()
        self._inner: list[float] = [0.0]
        self._undo: list[tuple[Any, str, Any]] = []

    def call(self, stage: str, function: Any, *args: Any, **kwargs: Any) -> Any:
        """Calls a function on the account of a stage."""
        began = time.thread_time()
        self._inner.append(0.0)
        try:
            return function(*args, **kwargs)
        finally:
            took = time.thread_time() - began
            self.seconds[stage] += took - self._inner.pop()
            self._inner[-1] += took
            self.calls[stage] += 1

    def wrap(self, owner: Any, name: str, stage: str) -> None:
        """Replaces owner.name by a timed one until `restore`."""
        function = getattr(owner, name)
        self._undo.append((owner, name, owner.__dict__.get(name, function)))
        setattr(
            owner, name, functools.wraps(function)(lambda *args, **kwargs: self.call(stage, function, *args, **kwargs))
        )

    def restore(self) -> None:
        """Puts the functions back."""
        while self._undo:
            owner, name, function = self._undo.pop()
            setattr(owner, name, function)

    def clear(self) -> None:
        """From zero again."""
        self.seconds.clear()
        self.calls.clear()
