"""Where settings come from: a variable, and for secrets a file or a command; what is wrong with one is said without it."""

import shlex
import sys
from pathlib import Path

import pytest

from deploy.errors import KeyLostError
from deploy.settings import Settings, strangers
from deploy.sources import secret_names
from tests.cli.invocation import call

WORD = "a password that nobody else has"
NAME = "TIDEGAUGE_KAFKA_PASSWORD"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "password"
    path.write_text(f"{WORD}\n")
    return path


def python(program: str) -> str:
    return f"{shlex.quote(sys.executable)} -c {shlex.quote(program)}"


def test_a_file_and_a_command_give_it(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As the variable itself does; a line end behind it doesn't count, and a command is run once."""
    found = []
    counted = file.with_name("counted")
    for end, value in (
        ("", WORD),
        ("_FILE", str(file)),
        ("_COMMAND", python(f"open({str(counted)!r}, 'a').write('x'); print({WORD!r})")),
    ):
        with monkeypatch.context() as patch:
            patch.setenv(NAME + end, value)
            for _ in range(2):
                password = Settings().kafka_password
                found.append(password and password.get_secret_value())
    assert found == [WORD] * 6
    assert counted.read_text() == "x"


def test_a_url_with_a_password_is_a_secret(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So it may come from a file."""
    file.write_text("redis://:word@127.0.0.1:1/0\n")
    monkeypatch.setenv("TIDEGAUGE_REDIS_URL_FILE", str(file))
    assert Settings().redis == "redis://:word@127.0.0.1:1/0"


def test_every_secret_has_the_ways() -> None:
    """Those of the class, and no other setting."""
    assert set(secret_names(Settings.model_fields)) == {
        "schema_registry_password", "schema_registry_client_secret", "reference_key", "reference_key_previous", "alert_key",
        "webhook_secret", "mail_password", "login_client_secret", "kafka_key_password", "kafka_password", "kafka_client_secret",
        "redis_url", "redis_password", "tickets_url", "tickets_password", "database_url", "database_password", "token",
    }  # fmt: skip
    assert strangers({f"{NAME}_FILE": "x", f"{NAME}_COMMAND": "x", "TIDEGAUGE_ZONE": "x"}) == {}
    assert strangers({"TIDEGAUGE_ZONE_FILE": "x"}) != {}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"": WORD, "_FILE": "x"}, f"{NAME} and {NAME}_FILE are both set"),
        ({"_FILE": "/nowhere/word"}, "/nowhere/word: No such file"),
        ({"_FILE": "/dev/null"}, "is empty"),
        ({"_COMMAND": "/nowhere/vault"}, "cannot be run: No such file"),
        ({"_COMMAND": "'"}, "cannot be run"),
        ({"_COMMAND": " "}, "cannot be run"),
        ({"_COMMAND": python(f"print({WORD!r}); raise SystemExit(3)")}, "ended with 3"),
        ({"_COMMAND": python("")}, "gave 0 bytes"),
    ],
)
def test_what_is_wrong_is_said(given: dict[str, str], said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a line, with the variable's name and without the secret."""
    for end, value in given.items():
        monkeypatch.setenv(NAME + end, value)
    with pytest.raises(KeyLostError) as problem:
        Settings()
    assert NAME in problem.value.message and said in problem.value.message
    assert WORD not in str(problem.value)
    done = call("topics", env={NAME + end: value for end, value in given.items()})
    assert (done.code, WORD in done.err, "Traceback" in done.err) == (2, False, False)
    assert 0 < len(done.err.splitlines()) <= 3


def test_a_command_that_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is ended, and that is said."""
    monkeypatch.setattr("deploy.sources.COMMAND_S_MAX", 0.2)
    monkeypatch.setenv(f"{NAME}_COMMAND", python("import time; time.sleep(60)"))
    with pytest.raises(KeyLostError, match="no answer within"):
        Settings()
