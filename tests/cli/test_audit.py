"""Who asks is on record: every command that shows what is a customer's leaves a line, allowed or denied, or shows nothing."""

import json
from pathlib import Path
from typing import Any

import pytest

from services.access.audit import AUDIT_FILE
from tests.cli.calling import NOWHERE, Called, call, commands, options
from tidegauge.world import check

SHOWS = {
    "standings": "standings --as-of 2026-01-31",
    "explain": "explain C1",
    "outlook": "outlook C1",
    "alerts": "alerts --customer C1",
    "check-source": "check-source --topic facts",
    "dead-letters list": "dead-letters list",
    "dead-letters count": "dead-letters count",
    "dead-letters show": "dead-letters show transactions/0/1",
    "dead-letters redrive": "dead-letters redrive transactions/0/1",
    "alerts acknowledge": "alerts acknowledge c1",
    "alerts snooze": "alerts snooze c1 --until 2026-01-31",
    "alerts hand-over": "alerts hand-over c1 --to rm-2",
    "alerts resolve": "alerts resolve c1 --outcome kept --reason x",
    "alerts comment": "alerts comment c1 x",
    "alerts escalate": "alerts escalate c1 --level 1",
    "alerts wake": "alerts wake c1",
    "alerts whatif": "alerts whatif --pack abc-bands --from 2026-01-31",
    "policy whatif": "policy whatif --pack abc-bands --from 2026-01-31",
}
NOT_RECORDED = {
    "queue lookup": "a queue class is seen bank-wide",
    "world adopt": "shows nothing of customers; the log's identity says who did it",
    "world takeover": "shows nothing of customers; the log's identity says who did it",
    "world rebuild": "shows nothing of customers; the log's identity says who did it",
}
ACTS = {name for name, words in SHOWS.items() if words.split()[2:3] == ["c1"]}
ONE_CUSTOMER = {"explain", "outlook"} | ACTS  # what is decided about him is recorded when he has been found


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(check, "BROKERS_WAIT_S", 0.2)


def asked(folder: Path, words: str) -> tuple[Called, list[dict[str, Any]]]:
    """What came of a call without servers, and what was recorded."""
    found = call(*words.split(), env=NOWHERE | {"TIDEGAUGE_DATA_DIR": str(folder), "TIDEGAUGE_REFERENCE_KEY": "k" * 32})
    path = folder / AUDIT_FILE
    return found, [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def test_every_command_that_asks_who_is_known_here() -> None:
    """One that takes --as is in one of the tables."""
    assert {name for name, command in commands() if "--as" in options(command)} == SHOWS.keys() | NOT_RECORDED.keys()


@pytest.mark.parametrize("name", SHOWS)
def test_what_is_denied_is_on_record(tmp_path: Path, name: str) -> None:
    """Role, unit, kind and reason, and nothing was looked up: no server answers here."""
    found, (entry, *_) = asked(tmp_path, f"{SHOWS[name]} --as teller:east")
    assert (found.code, "may not" in found.err) == (2, True)
    assert (entry["outcome"], entry["reason"]) == ("denied", "not_granted")
    assert entry["details"] == {"role": "teller", "unit": "hq/east"}
    assert entry["action"] in ("read", "export", "acknowledge")
    assert " of " in entry["resource"]


@pytest.mark.parametrize("name", SHOWS.keys() - ONE_CUSTOMER)
def test_what_is_allowed_is_on_record_first(tmp_path: Path, name: str) -> None:
    """Before a server is asked; the file is its owner's alone."""
    found, entries = asked(tmp_path, SHOWS[name])
    assert (found.code, [entry["outcome"] for entry in entries]) == (1, ["allowed"])
    assert (tmp_path / AUDIT_FILE).stat().st_mode & 0o777 == 0o600


def test_a_letter_as_a_whole_says_so(tmp_path: Path) -> None:
    """Which letter, and that its bytes were asked for; denied for a unit that is not the head office."""
    _, (entry,) = asked(tmp_path, "dead-letters show transactions/0/1 --whole")
    assert entry["resource"] == "transactions of dead letters: transactions/0/1, as a whole"
    _, (_, entry) = asked(tmp_path, "dead-letters show transactions/0/1 --whole --as rm:east")
    assert (entry["outcome"], entry["reason"]) == ("denied", "other_unit")


def test_without_a_record_nothing_is_shown(tmp_path: Path) -> None:
    """A folder that can't be made is an error of its own, and no server is asked."""
    (tmp_path / "file").touch()
    found, _ = asked(tmp_path / "file" / "below", "dead-letters list")
    assert (found.code, "127.0.0.1:1" in found.err) == (2, False)
    assert "file" in found.err
