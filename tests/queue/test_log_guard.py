"""Whether the log is the tickets' own: until that is known nothing goes there, and once it is an outage changes nothing."""

from __future__ import annotations

import logging

import pytest

from services.queue.behind.guard import ASK_AGAIN_S, ASK_EVERY_S, LogGuard

OTHER = "the tickets are of cluster A"


def test_a_log_is_asked_after_again_and_again(caplog: pytest.LogCaptureFixture) -> None:
    """Each row: the time, what would be said then, whether it is the own log, and how many lines were written so far."""
    rows = [
        (0.0, None, False, 0),  # nobody could be asked
        (ASK_AGAIN_S / 2, "", False, 0),  # it is not time yet
        (ASK_AGAIN_S, OTHER, False, 1),
        (ASK_AGAIN_S + ASK_EVERY_S / 2, "", False, 1),
        (ASK_AGAIN_S + ASK_EVERY_S, OTHER, False, 1),  # said once
        (ASK_AGAIN_S + 2 * ASK_EVERY_S, "", True, 1),
        (ASK_AGAIN_S + 3 * ASK_EVERY_S, None, True, 1),
        (2 * ASK_AGAIN_S + 3 * ASK_EVERY_S, OTHER, False, 2),
    ]
    at, said = [0.0], [""]
    guard = LogGuard(lambda: said[0], "steps wait in the outbox", lambda: at[0])
    with caplog.at_level(logging.ERROR):
        for at[0], said[0], own, lines in rows:
            assert (guard.own(), len(caplog.records)) == (own, lines), at
    assert caplog.messages[0] == f"steps wait in the outbox, as this is not the tickets' log: {OTHER}"
