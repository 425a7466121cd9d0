"""Where a decision is recorded: on the topic where there is a broker, and in the file of a machine that has none."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import pytest

from deploy.settings import Settings
from services.access import writer
from services.access.audit import AUDIT_FILE
from services.access.decision import Action, Actor, DataKind, Resource, Role, decide_access
from services.access.writer import DecisionTrail, NotWrittenError, has_broker
from tests.cli.invocation import NOWHERE, call

ACTOR = Actor("a", Role.ADMINISTRATOR, ("hq",))
KEYS = Resource(DataKind.KEYS, ("hq",))


def record(settings: Settings) -> None:
    """A decision about keys."""
    decision = decide_access(ACTOR, Action.WRITE, KEYS)
    DecisionTrail(settings).record(ACTOR, Action.WRITE, KEYS, decision, "one", "request-1")


def test_which_counts(tmp_path: Path) -> None:
    """A broker elsewhere counts whether it answers or not; one of this machine only while it answers."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        here = f"127.0.0.1:{listening.getsockname()[1]}"
        assert has_broker(Settings(bootstrap_servers=f"127.0.0.1:1,{here}", data_dir=tmp_path))
    assert not has_broker(Settings(bootstrap_servers="127.0.0.1:1", data_dir=tmp_path))
    assert has_broker(Settings(bootstrap_servers="kafka.invalid:9092", data_dir=tmp_path))
    assert has_broker(Settings(bootstrap_servers="127.0.0.1:1", token_issuer="https://login.bank", data_dir=tmp_path))


def test_in_the_file(tmp_path: Path) -> None:
    """With the same fields, and the request's id."""
    record(Settings(bootstrap_servers="127.0.0.1:1", data_dir=tmp_path))
    (line,) = (tmp_path / AUDIT_FILE).read_text().splitlines()
    assert json.loads(line)["details"] == {"role": "administrator", "unit": "hq", "request_id": "request-1"}


def test_a_broker_that_does_not_take_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """There is no way round it: nothing goes into the file, and the command does nothing."""
    monkeypatch.setattr(writer, "_METADATA_WAIT_S", 0.2)
    settings = Settings(bootstrap_servers="127.0.0.1:1", token_issuer="https://login.bank", data_dir=tmp_path)
    with pytest.raises(NotWrittenError, match="can't be recorded, so nothing is done"):
        record(settings)
    assert not (tmp_path / AUDIT_FILE).exists()
    monkeypatch.setattr(writer, "has_broker", lambda _: True)
    env = NOWHERE | {"TIDEGAUGE_DATA_DIR": str(tmp_path), "TIDEGAUGE_ACTOR": "administrator:hq"}
    done = call("keys", "issue", "kiosk", "hq", env=env)
    assert done.code == 1 and "the decision can't be recorded, so nothing is done" in done.err, done
