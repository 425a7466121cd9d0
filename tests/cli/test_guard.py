"""The frame of guarded commands: shown first, refused beyond the ordinary, taken with a reason that is kept."""

import json
import logging

import pytest

from tidegauge.cli.guard import REASON_CHARS_MAX, Intent, goes_on, reason_given
from tidegauge.cli.output import CommandError

PLAIN = Intent("close", ["close 2026-05-31"], {"day": "2026-05-31"})
ODD = PLAIN._replace(unusual=["it is far ahead"])


def test_what_is_ordinary_goes_on_without_a_word(capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing is printed, and a reason that is not needed is none to be logged."""
    assert goes_on(PLAIN, "", dry_run=False, as_json=False)
    assert goes_on(PLAIN, "why not", dry_run=False, as_json=False)
    assert capsys.readouterr() == ("", "")


def test_beyond_the_ordinary(caplog: pytest.LogCaptureFixture) -> None:
    """Refused with exit code 1 and how to insist; with a reason it goes on, and the log has why."""
    with pytest.raises(CommandError, match="it is far ahead") as refused:
        goes_on(ODD, "", dry_run=False, as_json=False)
    assert (refused.value.code, "--force --reason" in refused.value.hint) == (1, True)
    with caplog.at_level(logging.WARNING):
        assert goes_on(ODD, "renovation", dry_run=False, as_json=False)
    assert caplog.messages == ["close forced (it is far ahead): renovation"]


@pytest.mark.parametrize("reason", ["", "renovation"])
def test_a_dry_run_does_nothing(reason: str, capsys: pytest.CaptureFixture[str]) -> None:
    """With force or without: it shows what it would do and what is beyond the ordinary, for people or machines."""
    assert not goes_on(ODD, reason, dry_run=True, as_json=False)
    assert capsys.readouterr().out.splitlines() == ["would close 2026-05-31", "needs --force: it is far ahead"]
    assert not goes_on(ODD, reason, dry_run=True, as_json=True)
    shown = {"dry_run": True, "day": "2026-05-31", "unusual": ["it is far ahead"]}
    assert json.loads(capsys.readouterr().out) == shown


@pytest.mark.parametrize(
    ("reason", "force", "says"),
    [
        ("", True, "needs"),
        ("  ", True, "needs"),
        ("why", False, "goes with"),
        ("x" * (REASON_CHARS_MAX + 1), True, "201"),
    ],
)
def test_force_and_reason_go_together(reason: str, force: bool, says: str) -> None:
    """One without the other is bad usage, and so is a reason longer than is kept."""
    with pytest.raises(CommandError, match=says) as refused:
        reason_given(reason, force=force)
    assert refused.value.code == 2


def test_a_reason_is_one_line() -> None:
    """Line breaks and runs of blanks are none of it."""
    assert reason_given(" the bank\n  moved ", force=True) == "the bank moved"
