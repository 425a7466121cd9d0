"""The commands that show personal data ask who is asking, before they look anything up."""

import pytest
from typer.testing import CliRunner

from deploy.settings import Settings
from services.access.decision import Action, DataKind, Role
from tidegauge.cli.actor import actor_of, asked, sees, unknown
from tidegauge.cli.main import app
from tidegauge.cli.output import BAD_INPUT, CommandError

# Nothing answers there: a command that looked first would fail otherwise.
NOWHERE = {"TIDEGAUGE_BOOTSTRAP_SERVERS": "127.0.0.1:1", "TIDEGAUGE_REDIS_URL": "redis://127.0.0.1:1/0"}
READERS = [
    ("standings", "--as-of", "2026-01-31"), ("explain", "C1"), ("outlook", "C1"), ("alerts", "--customer", "C1"),
    ("alerts", "--branch", "0102"), ("alerts", "--rm", "rm-1"), ("queue", "lookup", "C1"),
    ("policy", "whatif", "--pack", "abc-bands", "--from", "2026-01-01"),
]  # fmt: skip


@pytest.fixture(autouse=True)
def _own_folder(monkeypatch, tmp_path):
    """What is decided is recorded there."""
    monkeypatch.setenv("TIDEGAUGE_DATA_DIR", str(tmp_path))


def run(words, **env):
    """A command in this process: the CommandError with which it ends."""
    done = CliRunner().invoke(app, list(words), env=NOWHERE | env)
    assert isinstance(done.exception, CommandError), done.output
    return done.exception


@pytest.mark.parametrize("words", READERS, ids=" ".join)
def test_refused_before_anything_is_looked_up(words):
    """A lobby display's or a till's role sees no files; a kiosk asks for classes alone. No server has been asked."""
    role = Role.KIOSK if words[0] != "queue" else "nobody"
    for env, more in (({"TIDEGAUGE_ACTOR": f"{role}:0102"}, ()), ({}, ("--as", f"{role}:0102"))):
        problem = run((*words, *more), **env)
        assert problem.code == BAD_INPUT
        assert "may not" in str(problem) or "is no actor" in str(problem)


def test_alerts_of_another_branch():
    """docs/cli.md#who-asks: refused by the branch that is asked for, whether it exists or not."""
    problem = run(("alerts", "--branch", "0103", "--as", "rm:east/0102"))
    assert "rm of hq/east/0102 may not read alerts of branch 0103" in str(problem)
    assert problem.code == BAD_INPUT


@pytest.mark.parametrize("text", ["boss:hq", "rm", "rm:", "rm:/", "rm:east//0102", ":hq"])
def test_no_actor(text):
    """A role that nobody has, or a unit with a hole, is bad usage."""
    with pytest.raises(CommandError, match="is no actor"):
        actor_of(Settings(), text)


def test_who_sees_whom():
    """The operator everything; others what lies below their unit; exports are the head's."""
    operator = asked(Settings(), "", Action.EXPORT, DataKind.BALANCES)
    assert operator.role is Role.OPERATOR
    assert all(sees(operator, Action.READ, DataKind.DECISIONS, branch) for branch in (None, "B1", "east/0102"))
    rm = asked(Settings(), "rm:east/0102", Action.READ, DataKind.DECISIONS)
    assert [sees(rm, Action.READ, DataKind.DECISIONS, b) for b in ("east/0102", "0102", "east", None)] == [
        True,
        *[False] * 3,
    ]
    east = asked(Settings(), "president:east", Action.EXPORT, DataKind.TIER)
    assert [sees(east, Action.EXPORT, DataKind.TIER, b) for b in ("east/0102", "west/0201")] == [True, False]
    with pytest.raises(CommandError, match="may not export balances"):
        asked(Settings(), "rm:east/0102", Action.EXPORT, DataKind.BALANCES)
    assert "C1" in str(unknown("C1", rm))
