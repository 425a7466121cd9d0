"""What `tidegauge doctor` looks at: a table of checks, each a function of the settings that gives findings.

To add one: write `def NAME(settings: Settings) -> Iterator[CheckLine]` in a module of this folder and add its line to
CHECKS. What it raises is its finding: refused by the brokers or by Redis is `unseen`, everything else `wrong`. The topics
that it looks at go into `sight`: where the brokers hide one of them, nothing it says is `good`.

Tidegauge's own packages are imported inside the functions, as another distribution's may stand in their place.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from tidegauge.cli.failures import fault, line_for

if TYPE_CHECKING:
    from deploy.settings import Settings

SHOWN_MAX: Final = 3  # of things that are wrong alike, in a line


class Grade(StrEnum):
    """What is to be thought of a finding."""

    GOOD = "good"
    WARN = "warn"  # it works, and may one day not
    WRONG = "wrong"
    UNSEEN = "unseen"  # this user may not see it


class CheckLine(NamedTuple):
    """The result of one look. `hint` says what to do when it is not good."""

    name: str
    grade: Grade
    found: str
    hint: str = ""

    @property
    def good(self) -> bool:
        """Whether there is nothing to do."""
        return self.grade is Grade.GOOD


REACHABLE: Final = "kafka"

# (name in the output, module in this folder, function), in the order in which they are looked at.
CHECKS: Final[tuple[tuple[str, str, str], ...]] = (
    ("disk", "machine", "disk"),
    ("kafka jars", "machine", "kafka_jars"),
    (REACHABLE, "brokers", "reachable"),
    ("brokers", "brokers", "broker_settings"),
    ("topics", "topics", "existence"),
    ("identity", "state", "identity"),
    ("topic settings", "topics", "topic_settings"),
    ("copies", "topics", "copies"),
    ("changelog", "topics", "changelog_settings"),
    ("open transactions", "flow", "open_transactions"),
    ("waiting", "flow", "waiting"),
    ("records", "flow", "lying_wrong"),
    ("accounts", "accounts", "shared_accounts"),
    ("closes", "state", "closes_aside"),
    ("marks", "state", "marks_aside"),
    ("calendar", "state", "calendar_ahead"),
    ("deletions", "deletions", "nothing_deleted"),
    ("state", "state", "state_found"),
    ("references", "state", "references"),
    ("handover", "state", "handover"),
    ("ticket log", "state", "ticket_log"),
    ("schema registry", "servers", "contracts"),
    ("worker", "workers", "worker_readiness"),
    ("redis", "servers", "redis_answers"),
    ("redis memory", "servers", "redis_memory"),
    ("tickets", "servers", "tickets_kept"),
    ("postgresql", "servers", "database_state"),
    ("view", "servers", "view_rows"),
    ("queue classes", "servers", "queue_classes"),
)

NEED_KAFKA: Final = ("brokers", "topics", "flow", "accounts", "state", "deletions")
"""Modules whose checks are left out when no broker answers, which is one finding and not ten."""

_ALLOW: Final = "docs/operators.md#rights lists what to allow"
_NOT_ALLOWED: Final = ("AUTHORIZATION_FAILED", "AuthorizationFailed", "NoPermissionError", "NOPERM")


def grade_of(wrong: object, otherwise: Grade = Grade.GOOD) -> Grade:
    """WRONG where there is something wrong."""
    return Grade.WRONG if wrong else otherwise


def listed(things: list[str]) -> str:
    """The first few of them, and how many more there are."""
    rest = len(things) - SHOWN_MAX
    return "; ".join(things[:SHOWN_MAX]) + (f"; and {rest} more" if rest > 0 else "")


def findings(settings: Settings) -> Iterator[CheckLine]:
    """Everything that needs settings, one check after the other."""
    away = False
    for name, module, function in CHECKS:
        if away and module in NEED_KAFKA:
            continue
        for finding in one(settings, name, module, function):
            away = away or (name == REACHABLE and finding.grade is Grade.WRONG)
            yield finding


def one(settings: Settings, name: str, module: str, function: str) -> Iterator[CheckLine]:
    """A check, whose failure is its finding."""
    try:
        told = False
        for line in getattr(import_module(f"tidegauge.checks.{module}"), function)(settings):
            told = True
            yield line if line.grade is Grade.WRONG else _unseen(settings, name) or line
        if not told and (unseen := _unseen(settings, name)):
            yield unseen
    except Exception as problem:  # noqa: BLE001 - it is what was found
        if not_allowed(problem):
            yield CheckLine(name, Grade.UNSEEN, f"not allowed to see: {problem}", _ALLOW)
            return
        line = line_for(problem) or fault(problem)
        yield CheckLine(name, Grade.WRONG, str(line), line.hint)


def _unseen(settings: Settings, name: str) -> CheckLine | None:
    """What a check says that could not see all of its topics, and found nothing wrong in the others."""
    hidden = import_module("tidegauge.checks.sight").not_seen(settings, name)
    return CheckLine(name, Grade.UNSEEN, f"not allowed to see: {listed(hidden)}", _ALLOW) if hidden else None


def not_allowed(problem: BaseException) -> bool:
    """Whether a server has refused to show something to this user."""
    cause: Any = problem.args[0] if problem.args else None
    code = cause.name() if hasattr(cause, "name") and hasattr(cause, "code") else ""
    text = f"{code} {type(problem).__name__} {problem}"
    return any(sign in text for sign in _NOT_ALLOWED)
