"""`tidegauge notices list`, `show` and `preview`: each notice has one state, and nothing that is shown is a customer's number."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given

from schemas.codec.records import decode_one
from services.notices.notifier import masked
from tests.cli.invocation import call
from tests.contracts.drawn import REGISTRY, any_value
from tests.services.test_notices import NOTICE_RECORD
from tidegauge.cli.notices import command
from tidegauge.notices import STATES, newest_states, notice_state, state_of, waiting_states, written_state

CUSTOMER = "6230001234560042"


def record(notice_id: str, status: str, at: int) -> dict[str, Any]:
    """A record of the topic."""
    return NOTICE_RECORD | {"notice_id": notice_id, "customer_id": CUSTOMER, "status": status, "at": at}


WRITTEN = [record("n1", "sent", 1), record("n2", "failed", 3), record("n3", "suppressed", 2), record("n1", "sent", 4)]
HELD = {"n9": "mail → branch:0102: SMTP 451 4.3.0", "n2": "webhook → rm-7: HTTP 503"}


def test_every_notice_has_one_state() -> None:
    """What stands on the topic counts, the last record of it; what waits comes first; a limit is a limit."""
    written = [written_state(one) for one in WRITTEN]
    found = newest_states(written, HELD, 20)
    assert [(one.notice_id, one.state) for one in found] == [
        ("n9", "waiting"), ("n1", "sent"), ("n2", "failed"), ("n3", "given_up"),
    ]  # fmt: skip
    assert [one.notice_id for one in newest_states(written, HELD, 2)] == ["n9", "n1"]
    for state in ("waiting", *STATES.values()):
        assert {one.state for one in newest_states(written, HELD, 20, state)} == {state}
    assert [(one.channel, one.error) for one in waiting_states(HELD)] == [
        ("webhook", "HTTP 503"), ("mail", "SMTP 451 4.3.0"),
    ]  # fmt: skip


@pytest.mark.parametrize(("notice_id", "state"), [("n1", "sent"), ("n2", "failed"), ("n9", "waiting"), ("n8", None)])
def test_state_of_one(notice_id: str, state: str | None) -> None:
    """A notice that stands on the topic waits no more, whatever the ledger says."""
    found = state_of(notice_id, map(written_state, WRITTEN), HELD)
    assert (None if found is None else found.state) == state


@given(any_value("notices"))
def test_any_record(value: bytes) -> None:
    """Whatever stands on the topic: what is a notice is shown, without its number in clear, and nothing else is."""
    found = notice_state(value, REGISTRY)
    try:
        customer = decode_one(value, REGISTRY, name="notices")["customer_id"]
    except ValueError:
        assert found is None
    else:
        assert found is not None and found.shown()["customer"] == masked(customer)


@pytest.fixture
def bank(monkeypatch: pytest.MonkeyPatch) -> None:
    """A topic and a ledger in memory; whoever asks may."""
    monkeypatch.setattr(command, "permitted", lambda *_: None)
    monkeypatch.setattr(command, "_places", lambda: (None, None, None))
    monkeypatch.setattr(command, "written_states", lambda _: map(written_state, WRITTEN))
    monkeypatch.setattr(command, "waiting_notices", lambda *_: HELD)


@pytest.mark.parametrize("words", ["notices list", "notices list --json", "notices show n1", "notices show n1 --json"])
@pytest.mark.usefixtures("bank")
def test_no_number_in_clear(words: str) -> None:
    """Neither for people nor for machines."""
    done = call(*words.split())
    assert done.code == 0 and "n1" in done.out and CUSTOMER not in done.out
    if words == "notices show n1 --json":
        shown = json.loads(done.out)
        assert (shown["state"], shown["customer"], shown["at"]) == ("sent", "****0042", 4)
    if words == "notices list --json":
        assert json.loads(done.out)[1].keys() == {"notice_id", "state", "channel", "at", "attempts", "error"}


@pytest.mark.usefixtures("bank")
def test_one_that_nobody_knows() -> None:
    """It is said in one line."""
    done = call("notices", "show", "n8")
    assert (done.code, "no notice n8" in done.err) == (2, True)


def test_texts_are_seen_before_they_are_sent(tmp_path: Path) -> None:
    """Those of a file, and all others, in the language that is asked for; of one kind where one is."""
    (tmp_path / "own.yaml").write_text("en:\n  bodies:\n    break: '{branch}: look at {alert}'\n")
    done = call(
        "notices", "preview", "--texts", str(tmp_path / "own.yaml"), "--lang", "en", "--kind", "break", "--json"
    )
    found = json.loads(done.out)
    assert [(one["step"], one["late"]) for one in found] == [
        (step, late) for step in ("raised", "deepened", "escalated") for late in (False, True)
    ]
    assert {one["body"] for one in found if not one["late"]} == {"0102: look at 3f6f2b9c1d"}
    env = {"TIDEGAUGE_NOTICE_TEXTS": str(tmp_path / "own.yaml"), "TIDEGAUGE_NOTICE_LOCALE": "en"}
    assert "    0102: look at 3f6f2b9c1d\n" in call("notices", "preview", env=env).out
    arrived = call("notices", "preview", "--kind", "arrived").out
    assert arrived.startswith("arrived, arrived\n    贵宾到店") and CUSTOMER not in arrived
