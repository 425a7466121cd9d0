"""`tidegauge notices list`, `show` and `preview`: each notice has one state, and nothing that is shown is a customer's number."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given

from deploy.settings import Settings
from schemas.codec.records import decode_one
from services.notices.notifier import masked
from tests.cli.invocation import call
from tests.contracts.drawn import REGISTRY, any_value
from tests.services.fakes import MemoryChannel, MemoryLedger
from tests.services.test_notices import ALERT, NOTICE_RECORD
from tidegauge.cli.notices import command
from tidegauge.cli.notices import resend as resending
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
    monkeypatch.setattr(command, "notice_servers", lambda: (None, None, None))
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


class Bank:
    """Topics in memory, on which `resend` writes; the channels are the console and a webhook."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.ledger, self.hook = MemoryLedger(), MemoryChannel()
        self.hook.name = "webhook"  # type: ignore[misc]
        self.records = list[dict[str, Any]]()
        for name, status, attempts in (("n1", "sent", 1), ("n2", "failed", 4), ("n3", "suppressed", 9)):
            told = record(name, status, len(self.records)) | {
                "attempts": attempts,
                "channel": "webhook",
                "caused_by": "event-1",
            }
            self.records.append(told | {"subject": f"as {name} said", "recipient": "rm-9"})

        @asynccontextmanager
        async def told_by(_: Any) -> AsyncIterator[Any]:
            yield [self.hook], self.ledger

        settings = Settings()
        monkeypatch.setattr(resending, "permitted", lambda *_: None)
        monkeypatch.setattr(resending, "notice_servers", lambda: (settings, None, None))
        monkeypatch.setattr(resending, "waiting_notices", lambda *_: {"n9": "webhook → rm-7: HTTP 503"})
        monkeypatch.setattr(resending, "written_states", lambda _: [written_state(one) for one in self.records])
        monkeypatch.setattr(resending, "alerts_by_event", lambda *_: {"event-1": ALERT})
        monkeypatch.setattr(resending, "told_by", told_by)
        monkeypatch.setattr(resending, "DurableWriter", lambda _: self)

    def write(self, topic: str, key: str, value: bytes) -> None:
        told = decode_one(value, REGISTRY, name=topic)
        assert key == told["customer_id"]
        self.records.append(told)

    def close(self) -> None:
        """Nothing is held."""

    def ids(self) -> list[str]:
        """Under which ids the webhook was handed notices."""
        return [one.notice_id for one in self.hook.sent]


@pytest.fixture
def repeating(monkeypatch: pytest.MonkeyPatch) -> Bank:
    return Bank(monkeypatch)


def test_once_more_it_is_the_same_notice(repeating: Bank) -> None:
    """Same words, recipient and id; its record counts on, has an id of its own, and is the notice's state from then on."""
    done = call("notices", "resend", "n2", "n3", "--reason", "the hook is back", "--json")
    assert [(one["status"], one["attempts"]) for one in json.loads(done.out)] == [("sent", 5), ("sent", 10)]
    assert repeating.ids() == ["n2", "n3"] and repeating.ledger.ids == {"n2", "n3"}
    assert [(one.subject, one.recipient, one.alert_id) for one in repeating.hook.sent] == [
        (f"as {name} said", "rm-9", "alert-1") for name in ("n2", "n3")
    ]
    assert {one["error"] for one in repeating.records[3:]} == {"resent: the hook is back"}
    assert len({one["event_id"] for one in repeating.records}) == 3  # those of before bear one id in this test
    states = [written_state(one) for one in repeating.records]
    assert {one.notice_id: one.state for one in newest_states(states, {}, 9)} == dict.fromkeys(
        ("n1", "n2", "n3"), "sent"
    )
    assert newest_states(states, {}, 9, "failed") == [] and newest_states(states, {}, 9, "given_up") == []


def test_anew_it_is_another_notice_once(repeating: Bank) -> None:
    """Its id follows from how often it stands on the topic: what was handed over and not written bears the same again."""
    kept = list(repeating.records)
    for _ in range(2):
        repeating.records = list(kept)
        assert call("notices", "resend", "n1", "--reason", "lost there", "--anew").code == 0
    assert call("notices", "resend", "n1", "--reason", "lost again", "--anew").code == 0
    first, again, second = repeating.ids()
    assert first == again != second and "n1" not in (first, second)
    assert {one["notice_id"] for one in repeating.records[3:]} == {"n1"}


def test_what_is_not_taken_is_on_record(repeating: Bank) -> None:
    """With both reasons, and an exit code."""
    repeating.hook.broken = True
    done = call("notices", "resend", "n1", "--reason", "lost there")
    assert (done.code, "not taken: n1" in done.err) == (1, True)
    last = repeating.records[-1]
    assert (last["status"], last["attempts"], last["error"]) == ("failed", 4, "broken; resent: lost there")
    assert repeating.ledger.ids == set()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("n9", "n9 waits for its channel"),
        ("n8", "no notice n8 is known"),
        ("n7", "the alert of n7 is not on rm-alerts"),
    ],
)
def test_what_cannot_be_sent_again(repeating: Bank, words: str, said: str) -> None:
    """Is refused before anything goes out, all of it."""
    repeating.records.append(record("n7", "sent", 1) | {"caused_by": "a ticket"})
    done = call("notices", "resend", "n1", words, "--reason", "x")
    assert (done.code, said in done.err, repeating.ids(), len(repeating.records)) == (2, True, [], 4), done


def test_a_dry_run_sends_nothing(repeating: Bank) -> None:
    """It says what would go, and under which id."""
    done = call("notices", "resend", "n1", "n1", "--reason", "x", "--dry-run", "--json")
    assert json.loads(done.out) == {
        "dry_run": True, "resend": [{"notice_id": "n1", "channel": "webhook", "bears": "n1"}], "unusual": [],
    }  # fmt: skip
    assert repeating.ids() == [] and len(repeating.records) == 3
