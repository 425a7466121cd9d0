"""Who asks is on record: every command that shows what is a customer's leaves a line, allowed or denied, or shows nothing."""

import json
from pathlib import Path
from typing import Any

import pytest

from services.access.audit import AUDIT_FILE
from tests.cli import wrong_files
from tests.cli.invocation import NOWHERE, Called, call, commands, options
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
    "notices list": "notices list",
    "notices show": "notices show n1",
    "alerts acknowledge": "alerts acknowledge c1",
    "alerts snooze": "alerts snooze c1 --until 2026-01-31",
    "alerts hand-over": "alerts hand-over c1 --to rm-2",
    "alerts resolve": "alerts resolve c1 --outcome kept --reason x",
    "alerts comment": "alerts comment c1 x",
    "alerts escalate": "alerts escalate c1 --level 1",
    "alerts wake": "alerts wake c1",
    "alerts owners": "alerts owners",
    "alerts report": "alerts report --month 2026-01",
    "alerts whatif": "alerts whatif --pack abc-bands --from 2026-01-31",
    "policy whatif": "policy whatif --pack abc-bands --from 2026-01-31",
    "keys list": "keys list",
}
# What changes something of the installation: the call, and the kind that it writes.
CHANGES = {
    "staff import": ("staff import {at}/staff.csv", "staff"),
    "keys issue": ("keys issue kiosk hq/east/0102", "keys"),
    "keys revoke": ("keys revoke 0011223344556677", "keys"),
    "close": ("close 2026-01-31", "closes"),
    "complete": ("complete core 2026-01-31", "marks"),
    "holidays": ("holidays {at}/holidays-good.csv", "marks"),
    "import": ("import {at}/good --format ndjson", "inputs"),
    "simulate": ("simulate --into-kafka --customers 1 --months 1", "inputs"),
    "rebuild": ("rebuild", "views"),
    "readmodel rebuild": ("readmodel rebuild", "views"),
    "policy activate": ("policy activate abc-bands --from 2026-03-01", "packs"),
    "policy retract": ("policy retract abc-bands 1", "packs"),
    "dead-letters redrive": ("dead-letters redrive transactions/0/1", "letters"),
    "notices give-up": ("notices give-up n1 --reason x", "notices"),
    "notices resend": ("notices resend n1 --reason x", "notices"),
    "queue restore": ("queue restore B1", "world"),
    "world adopt": ("world adopt --reason x", "world"),
    "world rebuild": ("world rebuild --reason x", "world"),
    "world takeover": ("world takeover second --reason x", "world"),
}
NOT_RECORDED = {"queue lookup": "a queue class is seen bank-wide"}
# Commands that ask nobody who he is, and why.
NOBODY_ASKS = {
    **dict.fromkeys(
        ("up", "down", "doctor", "demo", "drain"), "this machine's own processes: who may run them may stop them"
    ),
    **dict.fromkeys(
        (
            "worker",
            "views",
            "notices",
            "readmodel follow",
            "queue serve",
            "queue pages",
            "commands serve",
            "commands clock",
            "desk serve",
            "desk try",
        ),
        "processes, each with the rights of its principal",
    ),
    **dict.fromkeys(("login", "logout", "whoami"), "they say who asks"),
    **dict.fromkeys(("config show", "security acls", "topics", "world show", "schemas check"), "nothing of a customer"),
    **dict.fromkeys(("schemas register", "database migrate"), "by the rights of the user that the settings name"),
    **dict.fromkeys(("replay", "alerts evaluate", "alerts calibrate"), "of files that the caller has"),
    **{
        f"policy {name}": "of packs" for name in ("list", "show", "check", "decide", "cases", "describe", "diff", "new")
    },
    **{
        f"queue {name}": "of files, or numbers of tickets alone"
        for name in ("bound", "simulate", "explain", "day", "estimates", "check-reference")
    },
    "queue compare": "numbers and states of tickets alone",
    "notices waiting": "ids and times alone",
    "notices preview": "of texts, on a sample of nobody's",
    "commands send": "each command of the file is decided by itself, and put on record",
}
ACTS = {name for name, words in SHOWS.items() if words.split()[2:3] == ["c1"]}
ONE_CUSTOMER = {"explain", "outlook"} | ACTS  # what is decided about him is recorded when he has been found


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(check, "BROKERS_WAIT_S", 0.2)


def asked(folder: Path, words: str, **env: str) -> tuple[Called, list[dict[str, Any]]]:
    """What came of a call without servers, and what was recorded; `{at}` is where good files are."""
    if "{at}" in words:
        (files := folder / f"files-{len(list(folder.iterdir()))}").mkdir()
        wrong_files.make(files)
        words = words.replace("{at}", str(files))
    found = call(
        *words.split(), env=NOWHERE | {"TIDEGAUGE_DATA_DIR": str(folder), "TIDEGAUGE_REFERENCE_KEY": "k" * 32} | env
    )
    path = folder / AUDIT_FILE
    return found, [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def test_every_command_is_known_here() -> None:
    """It asks who calls it, or there is a reason why not; one that takes --as asks."""
    tables = (SHOWS, CHANGES, NOT_RECORDED, NOBODY_ASKS)
    assert sorted(name for table in tables for name in table) == sorted(name for name, _ in commands())
    asks = {name for name, command in commands() if "--as" in options(command)} - {"login", "commands send"}
    assert not asks & NOBODY_ASKS.keys()


@pytest.mark.slow
@pytest.mark.parametrize("name", CHANGES)
def test_who_may_change(tmp_path: Path, name: str) -> None:
    """Denied for a role without it and for a unit that is not the head office, allowed for the operator; all on record."""
    words, kind = CHANGES[name]
    for who, reason in (
        ("teller:hq", "not_granted"),
        ("operator:hq/east", "other_unit"),
        ("operator:hq", "own_unit_or_below"),
    ):
        found, entries = asked(tmp_path, words, TIDEGAUGE_ACTOR=who)
        allowed = reason == "own_unit_or_below"
        assert ("may not write" in found.err) == (not allowed), found
        assert found.code == (1 if allowed else 2), found
        assert (entries[-1]["outcome"], entries[-1]["reason"]) == ("allowed" if allowed else "denied", reason)
        assert (entries[-1]["action"], entries[-1]["resource"].partition(" of ")[0]) == ("write", kind)
    assert len(entries) == 3 == len({entry["details"]["request_id"] for entry in entries})


@pytest.mark.parametrize("name", SHOWS)
def test_what_is_denied_is_on_record(tmp_path: Path, name: str) -> None:
    """Role, unit, kind and reason, and nothing was looked up: no server answers here."""
    found, (entry, *_) = asked(tmp_path, f"{SHOWS[name]} --as teller:east")
    assert (found.code, "may not" in found.err) == (2, True)
    assert (entry["outcome"], entry["reason"]) == ("denied", "not_granted")
    assert entry["details"] == {"role": "teller", "unit": "hq/east", "request_id": entry["details"]["request_id"]}
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
