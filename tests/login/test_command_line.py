"""`tidegauge login`: the commands behind it come from whoever logged in, and from nobody else."""

import json
import re
import threading
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import httpx2
import pytest

from deploy.settings import Settings
from services.access.issuer import Issuer
from services.access.oidc import LoginClient, TokensGiven
from services.access.tokens import TokenRefusedError
from tests.cli.invocation import NOWHERE, Called, call
from tests.login.conftest import Forger, said_yes
from tidegauge.cli.access import kept, login

ADDRESS: Final = re.compile(r"http://localhost:\d+/oauth2/authorize\?\S+")


class Machine:
    """A machine on which a person works: its data folder and settings."""

    def __init__(self, folder: Path, **env: str) -> None:
        self.folder, self.env = folder, {"TIDEGAUGE_DATA_DIR": str(folder), **env}

    def __call__(self, *words: str, **env: str) -> Called:
        return call(*words, env=self.env | env)

    def who(self, **env: str) -> Any:
        done = self("whoami", "--json", **env)
        assert done.code == 0, done
        return json.loads(done.out)


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    """One with the servers of its own and no issuer."""
    return Machine(tmp_path / "data")


@pytest.mark.parametrize("name", ["TIDEGAUGE_BOOTSTRAP_SERVERS", "TIDEGAUGE_REDIS_URL", "TIDEGAUGE_DATABASE_URL"])
def test_with_servers_elsewhere_nobody_is_believed(machine: Machine, name: str) -> None:
    """Neither --as nor the setting nor the default; the line says what to set. For trying out a setting says so."""
    place = {"BOOTSTRAP": "kafka.bank:9092", "REDIS_URL": "redis://redis.bank/0", "DATABASE": "postgresql://db.bank/t"}
    env = {name: next(url for word, url in place.items() if word in name)}
    for words, more in (
        (("whoami",), {}),
        (("keys", "list", "--as", "operator:hq"), {}),
        (("whoami",), {"TIDEGAUGE_ACTOR": "operator:hq"}),
        (("login", "--as", "operator:hq"), {}),
    ):
        done = machine(*words, **env, **more)
        assert (done.code, "set TIDEGAUGE_TOKEN_ISSUER and run `tidegauge login`" in done.err) == (2, True), done
    assert machine.who(**env, TIDEGAUGE_DEVELOPMENT="true")["role"] == "operator"
    near = {**NOWHERE, "TIDEGAUGE_BOOTSTRAP_SERVERS": "127.0.0.1:1,localhost:2,[::1]:3"}
    assert machine.who(**near)["role"] == "operator"
    mixed = machine("whoami", TIDEGAUGE_BOOTSTRAP_SERVERS="127.0.0.1:1,kafka.bank:9092")
    assert mixed.code == 2


def test_a_development_login(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stands for --as until it ends; what a call or the environment says counts before it. With an issuer it counts nothing."""
    assert machine.who() | {"actor": ""} == {
        "actor": "",
        "role": "operator",
        "unit": "hq",
        "stands_in": [],
        "by": "default",
    }
    done = machine("login", "--as", "boss", **NOWHERE)
    assert (done.code, "PostgreSQL" in done.err) == (1, True), "on no list that could be asked"
    assert machine.who()["by"] == "default"
    assert (done := machine("login")).code == 2 and "as whom?" in done.err
    assert (done := machine("login", "--as", "boss:hq")).code == 2 and "is no actor" in done.err
    assert machine("login", "--as", "rm:east/0102").code == 0
    assert (machine.folder / "login.json").stat().st_mode & 0o777 == 0o600
    found = machine.who()
    assert (found["role"], found["unit"], found["by"]) == ("rm", "hq/east/0102", "development login")
    assert machine.who(TIDEGAUGE_ACTOR="auditor:hq")["role"] == "auditor"
    done = machine("keys", "list")
    assert (done.code, "rm of hq/east/0102 may not read keys" in done.err) == (2, True)
    issuer = {"TIDEGAUGE_TOKEN_ISSUER": "https://login.bank"}
    assert (done := machine("whoami", **issuer)).code == 2 and "no login" in done.err
    assert (done := machine("login", "--as", "rm:hq", **issuer)).code == 2 and "--as counts only" in done.err
    monkeypatch.setattr("time.time", lambda now=time.time: now() + 13 * 3600)
    assert machine.who()["by"] == "default"
    monkeypatch.undo()
    assert machine("logout").out == "logged out\n" and machine("logout").out == "nobody was logged in\n"
    assert machine.who()["by"] == "default"


@pytest.mark.parametrize("text", ["", "[]", "{", '{"development": 7}', "\x00", "[" * 60_000])
def test_a_file_that_holds_no_login(machine: Machine, text: str) -> None:
    """Is said, or is no login; one that others may read counts never."""
    machine.folder.mkdir()
    path = machine.folder / "login.json"
    path.write_text(text)
    assert (done := machine("whoami")).code == 2 and "is open to others" in done.err
    path.chmod(0o600)
    done = machine("whoami")
    assert "unexpected" not in done.err and (done.code == 2 or "by: default" in done.out)


@pytest.fixture
def person(bank: str, provider: str, tmp_path: Path) -> Machine:
    """A machine of the bank, where people have to log in."""
    return Machine(
        tmp_path / "data", TIDEGAUGE_TOKEN_ISSUER=provider, TIDEGAUGE_DATABASE_URL=bank, TIDEGAUGE_ACTOR="operator:hq"
    )


@pytest.fixture
def browser(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A person at a browser who logs in as the one that stands here; before him comes somebody with another answer."""
    logins: list[str] = []

    def opened(address: str) -> bool:
        def act() -> None:
            back = httpx2.URL(said_yes(address, logins[0]))
            for wrong in (back.copy_set_param("state", "x"), back.copy_with(path="/favicon.ico")):
                assert httpx2.get(wrong, trust_env=False).status_code == 404
            assert httpx2.get(back, trust_env=False).status_code == 200

        threading.Thread(target=act).start()
        return True

    # The provider of the tests knows no public clients; a real Keycloak does (test_keycloak.py).
    for module in (kept, login):
        monkeypatch.setattr(module, "command_line_client", lambda s, at="": LoginClient(s.token_audience, "any", at))
    monkeypatch.setattr(login.webbrowser, "open", opened)
    return logins


@pytest.mark.integration
def test_a_person_logs_in(person: Machine, browser: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """In his browser; from then on he is who calls, whatever the setting says, until he logs out."""
    assert (done := person("keys", "list")).code == 2 and "run `tidegauge login`" in done.err
    browser.append("administrator-hq")
    done = person("login")
    assert done.code == 0 and ADDRESS.search(done.err) and "id-administrator-hq" in done.out
    assert (person.folder / "login.json").stat().st_mode & 0o777 == 0o600
    assert person("keys", "list").code == 0
    assert (done := person("keys", "list", "--as", "operator:hq")).code == 2 and "--as counts only" in done.err
    assert person.who()["by"] == "login"
    browser[0] = "rm-0102"
    assert person("login").code == 0
    assert person.who()["stands_in"] == ["branch_manager:hq/east"]
    log = [json.loads(line)["actor"] for line in (person.folder / "audit.ndjson").read_text().splitlines()]
    assert log == ["id-administrator-hq"]
    before = json.loads((person.folder / "login.json").read_text())
    (person.folder / "login.json").write_text(json.dumps(before | {"ends_at": int(time.time()) + 5}))
    # This issuer's renewals have no ID token, and its access tokens count for nobody else: log in again.
    assert (done := person("whoami")).code == 2 and "the login has ended" in done.err
    (person.folder / "login.json").write_text(json.dumps(before | {"ends_at": 5, "refresh_token": "no longer"}))
    assert (done := person("whoami")).code == 2 and "the login has ended" in done.err
    assert person("logout").code == 0 and person("whoami").code == 2


@pytest.mark.integration
def test_who_may_not_come(person: Machine, browser: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody who is on no list is nobody; nobody is waited for for ever; a token that is set is not hidden by a login."""
    browser.append("stranger")
    assert (done := person("login")).code == 2 and "on no list of staff" in done.err
    assert (done := person("login", TIDEGAUGE_TOKEN="x")).code == 2 and "says who asks already" in done.err
    monkeypatch.setattr(login.webbrowser, "open", lambda _: True)
    monkeypatch.setattr(login, "_WAIT_S", 0.2)
    assert (done := person("login")).code == 1 and "nobody logged in" in done.err
    assert (done := person("whoami", TIDEGAUGE_TOKEN_ISSUER="http://127.0.0.1:1")).code == 2 and "no login" in done.err
    done = person("login", TIDEGAUGE_TOKEN_ISSUER="http://127.0.0.1:1")
    assert (done.code, "gives no answer" in done.err) == (1, True)


def test_which_token_is_kept(machine: Machine, forger: Forger) -> None:
    """The access token where it counts by itself, else the ID token; neither is no login."""
    settings = Settings(data_dir=machine.folder, token_issuer=forger.url)
    issuer, now = Issuer(forger.url), datetime.now(UTC)
    for access, identity, subject in (
        (forger.token(sub="access"), forger.token(sub="id"), "access"),
        ("opaque", forger.token(sub="id"), "id"),
        (forger.token(aud="account"), forger.token(sub="id"), "id"),
    ):
        assert kept.keep_login(settings, issuer, TokensGiven({}, identity, access, ""), now)["sub"] == subject
        assert kept.kept_token(settings, issuer, now) == (access if subject == "access" else identity)
    again = TokensGiven({}, "", forger.token(sub="again"), "")  # a renewal without an ID token
    assert kept.keep_login(settings, issuer, again, now)["sub"] == "again"
    with pytest.raises(TokenRefusedError):
        kept.keep_login(settings, issuer, TokensGiven({}, forger.token(aud="pages"), "opaque", ""), now)
