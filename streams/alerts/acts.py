"""What people, and the notifier's clock, do about an open case: applied, or refused with a code (docs/alerts.md#acts)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Final

ACKNOWLEDGE, SNOOZE, HAND_OVER, RESOLVE, COMMENT = "acknowledge", "snooze", "hand_over", "resolve", "comment"
ESCALATE, WAKE = "escalate", "wake"  # the notifier's clock
STEPS_OF_ACTS: Final = {
    ACKNOWLEDGE: "acknowledged", SNOOZE: "snoozed", HAND_OVER: "handed_over", RESOLVE: "resolved",
    COMMENT: "commented", ESCALATE: "escalated", WAKE: "woken",
}  # fmt: skip
"""The step on rm-alerts that each act makes."""
CASE_OUTCOMES: Final = ("kept", "partly_kept", "left", "no_loss", "wrong_alert")
WAITING, ACKNOWLEDGED, SNOOZED, ENDED = "waiting", "acknowledged", "snoozed", "ended"  # whether somebody has answered
CLOCK_LOOKS_AT: Final = (WAITING, SNOOZED)
"""Of a case that stands so the clock has something to do."""
SNOOZE_DAYS_MAX: Final = 90
LEVEL_MAX: Final = 9
CLOCK_ROLE: Final = "service"
MANAGER_ROLE: Final = "rm"
ABOVE_OWNERS: Final = ("section_head", "branch_manager", "president", "wealth_office")
_OF_CLOCK: Final = (ESCALATE, WAKE)


class ActRefusedError(Exception):
    """The act is not applied; its text is a code of policies.texts."""


@dataclass(frozen=True, slots=True)
class CaseCare:
    """What people make of an open case.

    step: event id of what was told last, which acts name. day: the latest day that its steps speak of. gross: minor units.
    until: the last day of a snooze. owner: to whom it was handed over.
    """

    case_id: str
    kind: str
    step: str
    day: int
    gross: int
    attention: str = WAITING
    until: int | None = None
    owner: str | None = None
    level: int = 0

    def told_again(self, step: str, day: int, gross: int) -> CaseCare:
        """It was raised or has deepened: everybody has to look again; the owner stays."""
        return CaseCare(self.case_id, self.kind, step, day, gross, owner=self.owner)

    def awake(self) -> CaseCare:
        """A snooze is over."""
        return replace(self, attention=WAITING, until=None)


@dataclass(frozen=True, slots=True)
class CaseAct:
    """A record of crm-actions about a case. day: of its instant; until: its `expires_on`."""

    action: str
    day: int
    by: str
    until: int | None
    details: Mapping[str, str]
    event_id: str

    def said(self, name: str) -> str:
        """A parameter, empty where it was not given."""
        return self.details.get(name, "")


def answer(care: CaseCare, act: CaseAct, manager: str | None, reach: int) -> CaseCare:
    """The case after an act; that of a resolution ends by the fold. ActRefusedError.

    manager: the customer's. reach: the last day that can be folded before the next close.
    """
    if act.said("step") != care.step:
        raise ActRefusedError("stale_step")
    role, owner = act.said("role"), care.owner or manager
    _need((role == CLOCK_ROLE) == (act.action in _OF_CLOCK), "other_role")
    _need(role in (CLOCK_ROLE, MANAGER_ROLE, *ABOVE_OWNERS), "other_role")
    _need(role != MANAGER_ROLE or act.action == COMMENT or owner in (None, act.by), "other_owner")
    return _APPLY[act.action](care, act, reach)


def _need(condition: bool, code: str) -> None:
    if not condition:
        raise ActRefusedError(code)


def _acknowledge(care: CaseCare, _act: CaseAct, _reach: int) -> CaseCare:
    _need(care.attention != ACKNOWLEDGED, "already_acknowledged")
    return replace(care, attention=ACKNOWLEDGED, until=None)


def _snooze(care: CaseCare, act: CaseAct, _reach: int) -> CaseCare:
    if act.until is None or not 0 <= act.until - act.day <= SNOOZE_DAYS_MAX:
        raise ActRefusedError("bad_until")
    return replace(care, attention=SNOOZED, until=act.until)


def _hand_over(care: CaseCare, act: CaseAct, _reach: int) -> CaseCare:
    _need(act.said("to") not in ("", care.owner), "no_new_owner")
    return replace(care, attention=WAITING, until=None, owner=act.said("to"))


def _resolve(care: CaseCare, act: CaseAct, reach: int) -> CaseCare:
    _need(act.said("outcome") in CASE_OUTCOMES, "unknown_outcome")
    _need(act.day <= reach, "too_far_ahead")
    return _comment(care, act, reach)


def _comment(care: CaseCare, act: CaseAct, _reach: int) -> CaseCare:
    _need(bool(act.said("reason")), "no_reason")
    return care


def _escalate(care: CaseCare, act: CaseAct, _reach: int) -> CaseCare:
    _need(care.attention == WAITING, "answered")
    _need(act.said("level") in map(str, range(care.level + 1, LEVEL_MAX + 1)), "no_higher_level")
    return replace(care, level=int(act.said("level")))


def _wake(care: CaseCare, act: CaseAct, _reach: int) -> CaseCare:
    if care.until is None:
        raise ActRefusedError("not_snoozed")
    _need(act.day > care.until, "too_early")
    return care.awake()


_APPLY: Final[dict[str, Callable[[CaseCare, CaseAct, int], CaseCare]]] = {
    ACKNOWLEDGE: _acknowledge, SNOOZE: _snooze, HAND_OVER: _hand_over, RESOLVE: _resolve, COMMENT: _comment,
    ESCALATE: _escalate, WAKE: _wake,
}  # fmt: skip
