"""What was recorded comes out again: from the beginning, and from a recovery at several points."""

from __future__ import annotations

import pytest

from tests.golden.engine import Log, Worker, every_row
from tests.golden.recording import Recording
from tests.golden.replaying import from_empty, onwards, unlike

RECORDED = Recording.read()
# Written by no event: the ledger's rows, which are as old as the last flush, and the fence's meta.
LAZY = (b"a", b"n", b"@")


def test_from_the_beginning() -> None:
    """Every output and every changelog row, byte for byte and in order."""
    assert from_empty(RECORDED) == []


@pytest.mark.parametrize("cut", sorted(RECORDED.states))
def test_recovered(cut: int) -> None:
    """The engine's own recovery from the rows up to a cut: the same state as rows, and the same from there on."""
    log, changelog = Log(RECORDED.inputs), RECORDED.changelog(cut)
    state = RECORDED.states[cut]
    worker, other = (Worker.recovered(RECORDED.settings, log, changelog) for _ in range(2))
    assert unlike("state", every_row(other.job), state) == []
    assert worker.positions() == RECORDED.steps[cut].positions
    assert onwards(RECORDED, cut, worker) == []


@pytest.mark.parametrize("cut", sorted(RECORDED.states))
def test_the_state_is_what_the_changelog_says(cut: int) -> None:
    """Each row that stands in the changelog is in the state as it stands there."""
    state = RECORDED.states[cut]
    rows = {key: value for key, value in RECORDED.compacted(cut).items() if key[:1] not in LAZY}
    assert len(rows) > 50
    assert unlike("row", {key: state.get(key) for key in rows}, rows) == []
