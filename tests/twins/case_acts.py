"""What people do about cases, in the slow twin: docs/alerts.md#acts written down."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace

from streams.vocabulary.terms import SEVERITIES
from tests.twins.case_terms import (
    ABOVE_MANAGERS,
    OUTCOMES,
    SNOOZE_DAYS_MAX,
    SlowAct,
    SlowCare,
    SlowCase,
    SlowStep,
)

DONE = {
    "acknowledge": "acknowledged", "snooze": "snoozed", "hand_over": "handed_over", "comment": "commented",
    "escalate": "escalated", "wake": "woken",
}  # fmt: skip


class SlowDesk:
    """Acts on the cases that were told; SlowCases folds them."""

    def __init__(self) -> None:
        self.steps: list[SlowStep] = []
        self.published: dict[str, SlowCase] = {}
        self.care: dict[str, SlowCare] = {}  # of the open cases
        self.cases: dict[str, int] = defaultdict(int)  # that were told
        self.said: dict[str, int] = defaultdict(int)  # steps that were told
        self.taken: set[str] = set()  # acts

    def resolve(self, customer: str, day: int, cause: str = "act") -> list[SlowStep]:
        """See SlowCases."""
        raise NotImplementedError

    def in_reach(self, day: int) -> bool:
        """Whether a live fold looks at a day; see SlowCases."""
        raise NotImplementedError

    def wake_at(self, day: int) -> None:
        """The close of the last day of a snooze ends it."""
        for customer, care in sorted(self.care.items()):
            if care.until is not None and care.until <= day:
                self._say(customer, replace(care, attention="waiting", until=None), "woken", f"close/{day}")

    def act(self, act: SlowAct, manager: str | None = "rm-1") -> str:
        """What somebody did: "" where it was applied, "again" for one taken before, else why it was refused."""
        if act.event_id in self.taken:
            return "again"
        self.taken.add(act.event_id)
        care = self.care.get(act.customer)
        if care is None or care.case != act.case:
            return "case_closed" if 0 <= act.case < self.cases[act.customer] else "unknown_case"
        if act.step != care.step:
            return "stale_step"
        if (refused := self._may(care, act, manager)) or (
            refused := self._fits(care, act, in_reach=self.in_reach(act.day))
        ):
            return refused
        if act.action == "resolve":
            self.resolve(act.customer, max(act.day, care.day), act.event_id)
            return ""
        after = {
            "acknowledge": lambda: replace(care, attention="acknowledged", until=None),
            "snooze": lambda: replace(care, attention="snoozed", until=act.until),
            "hand_over": lambda: replace(care, attention="waiting", until=None, owner=act.details["to"]),
            "comment": lambda: care,
            "escalate": lambda: replace(care, level=int(act.details["level"])),
            "wake": lambda: replace(care, attention="waiting", until=None),
        }[act.action]()
        self._say(act.customer, after, DONE[act.action], act.event_id)
        return ""

    @staticmethod
    def _may(care: SlowCare, act: SlowAct, manager: str | None) -> str:
        """Why this person may not, or ""."""
        if (act.role == "service") != (act.action in ("escalate", "wake")):
            return "other_role"
        if act.role not in ("service", "rm", *ABOVE_MANAGERS):
            return "other_role"
        owner = care.owner or manager
        return "other_owner" if act.role == "rm" and act.action != "comment" and owner not in (None, act.by) else ""

    @staticmethod
    def _fits(care: SlowCare, act: SlowAct, *, in_reach: bool) -> str:
        """Why the case is not one for this act, or ""."""
        text, level = act.details.get("reason", ""), act.details.get("level", "")
        if act.action == "acknowledge" and care.attention == "acknowledged":
            return "already_acknowledged"
        if act.action == "snooze" and not (act.until and 0 <= act.until - act.day <= SNOOZE_DAYS_MAX):
            return "bad_until"
        if act.action == "hand_over" and act.details.get("to", "") in ("", care.owner):
            return "no_new_owner"
        if act.action == "resolve" and act.details.get("outcome") not in OUTCOMES:
            return "unknown_outcome"
        if act.action == "resolve" and not in_reach:
            return "too_far_ahead"
        if act.action in ("resolve", "comment") and not text:
            return "no_reason"
        if act.action == "escalate":
            if care.attention != "waiting":
                return "answered"
            return "" if level in map(str, range(care.level + 1, 10)) else "no_higher_level"
        if act.action == "wake":
            if care.until is None:
                return "not_snoozed"
            return "" if act.day > care.until else "too_early"
        return ""

    def _say(self, customer: str, care: SlowCare, kind: str, cause: str) -> None:
        """A step that people have made; its figures are those that were told last."""
        self.care[customer], case = care, self.published[customer]
        self.steps.append(
            SlowStep(
                customer, kind, False, care.day, case.opened, SEVERITIES[case.severity], case.net, care.gross,
                case.reference, case.rules, cause, care.attention, care.owner,
            )
        )  # fmt: skip

    def _cared(self, customer: str, kind: str, day: int, gross: int) -> tuple[str, str | None]:
        """(attention, owner) of a step; people have to look again at what is told anew."""
        care = self.care.get(customer)
        if kind in ("raised", "deepened"):
            owner = care.owner if care is not None and kind == "deepened" else None
            if kind == "raised":
                self.cases[customer] += 1
            care = SlowCare(self.cases[customer] - 1, self.said[customer], day, gross, owner=owner)
            self.said[customer] += 1
        elif kind != "corrected":
            return "ended", self.care.pop(customer).owner
        assert care is not None
        self.care[customer] = replace(care, day=day, gross=gross)
        return care.attention, care.owner
