"""Every command: its parameters, by which its body is judged, and what one has to be allowed for it.

A command is an act of the policy language (policies.lifecycle.acts), of the alert cases (streams.alerts.acts), or a note.
What the pack and the case make of it the worker says; a test sees that every act has its row here.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from functools import cache
from typing import Annotated, Any, Final, Literal, NamedTuple

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StrictBool,
    StrictInt,
    StringConstraints,
    create_model,
)

from policies.model.provisions import RECORDS
from services.access.decision import Action, DataKind
from streams.alerts.acts import CASE_OUTCOMES, LEVEL_MAX
from streams.calendar import day_of
from streams.validity import FIELD_BYTES_MAX

_TEXT_CHARS_MAX: Final = 512
WORD_CHARS_MAX: Final = 128
KEY_CHARS_MAX: Final = 128
_DAY_FIRST, _DAY_LAST = dt.date(1970, 1, 2), dt.date(2199, 12, 31)


def _short(text: str) -> str:
    """A text that is no longer in bytes than a field may be."""
    if len(text.encode(errors="replace")) > FIELD_BYTES_MAX:
        raise ValueError(f"has more than {FIELD_BYTES_MAX} bytes")
    return text


def _iso(given: object) -> dt.date:
    """A day as 2026-03-31, and in no other form."""
    if not isinstance(given, str) or len(given) != len("2026-03-31"):
        raise ValueError("is no day such as 2026-03-31")
    return dt.date.fromisoformat(given)


IdWord = Annotated[str, StringConstraints(min_length=1, max_length=WORD_CHARS_MAX, pattern=r"^[!-~\u4e00-\u9fff]+$")]
FreeText = Annotated[
    str, StringConstraints(min_length=1, max_length=_TEXT_CHARS_MAX, pattern=r"\S"), AfterValidator(_short)
]
IsoDay = Annotated[
    dt.date,
    BeforeValidator(_iso, json_schema_input_type=dt.date),
    Field(ge=_DAY_FIRST, le=_DAY_LAST),
]

_Fields = dict[str, Any]  # of create_model
_UNTIL: Final = "expires_on"  # in a body: a column of the record, not one of its details


class CommandBody(BaseModel):
    """What every body has in common: nothing but its own fields."""

    model_config = ConfigDict(extra="forbid")


class CommandDefinition(NamedTuple):
    """on_case: about a case, else about a customer; fields: beside that in its body; until: names the last day."""

    name: str
    says: str
    action: Action
    kind: DataKind
    fields: _Fields
    on_case: bool = False
    until: str = _UNTIL

    def details(self, body: CommandBody) -> dict[str, str]:
        """Parameters as crm-actions has them: texts, without what was not given."""
        given = body.model_dump(include=set(self.fields) - {self.until, "step"}, exclude_none=True)
        return {name: _plain(value) for name, value in given.items()}

    def last_day(self, body: CommandBody) -> int | None:
        """The last day that the body names, as a day number."""
        day = getattr(body, self.until, None)
        return None if day is None else day_of(day)


def _plain(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _given(kind: Any, says: str) -> Any:
    return kind, Field(description=says)


def _maybe(kind: Any, says: str) -> Any:
    return kind | None, Field(None, description=says)


_CARD = {"card": _given(IdWord, "Card, by its name in the pack.")}
_ISSUE = {
    "branch_level": _maybe(IdWord, "Level of the branch that hands it out, where the pack asks."),
    "wealth_manager": _maybe(StrictBool, "Whether the branch has a wealth manager."),
    "contract_signed": _maybe(StrictBool, "Whether the contract was signed again."),
    "digits": _maybe(Annotated[StrictInt, Field(ge=1, le=99)], "Digits of the card's number."),
}
_EXCEPTION = {
    "kind": _maybe(IdWord, "Kind of the exception, by the pack; `override` without it."),
    "tier": _maybe(IdWord, "Tier that is to be given."),
    _UNTIL: _maybe(IsoDay, "Last day it holds."),
}
_TIER = {"tier": _given(IdWord, "Tier, by its name in the pack.")}
_RECORD = {"record": _given(Literal[tuple(RECORDS)], "What is on record.")}
_STEP = {"step": _maybe(IdWord, "event_id of the step that is answered; the one told last without it.")}
_WHY = {"reason": _maybe(FreeText, "Why.")}
_CASE_WHY = _STEP | _WHY


def _cards(name: str, says: str, action: Action, fields: Mapping[str, Any] = {}) -> CommandDefinition:
    return CommandDefinition(name, says, action, DataKind.CARDS, dict(fields))


def _overrides(name: str, says: str, action: Action, fields: Mapping[str, Any] = {}) -> CommandDefinition:
    return CommandDefinition(name, says, action, DataKind.OVERRIDES, dict(fields))


def _case(name: str, says: str, fields: Mapping[str, Any], until: str = _UNTIL) -> CommandDefinition:
    return CommandDefinition(name, says, Action.ACKNOWLEDGE, DataKind.ALERTS, dict(fields), on_case=True, until=until)


_ALL: Final = (
    _cards("apply_card", "The customer applies for a card", Action.REQUEST, _CARD),
    _cards("request_card", "Staff request a card", Action.REQUEST, _CARD),
    _cards("approve_card", "Approve what somebody else has requested", Action.APPROVE),
    _cards("refuse_card", "Refuse what was requested", Action.APPROVE),
    _cards("issue_card", "A card is issued", Action.WRITE, _CARD | _ISSUE),
    _cards("collect_card", "The customer has collected it", Action.WRITE),
    _cards("report_lost", "It is lost", Action.WRITE),
    _cards("replace_card", "A lost one is replaced", Action.WRITE),
    _cards("renew_card", "It is issued for another term", Action.WRITE, _ISSUE),
    _cards("return_card", "It is given back", Action.WRITE),
    _cards("issue_staff_card", "An employee gets one", Action.WRITE, {"role": _given(IdWord, "Employed as, by the pack.")}),
    _cards("apply_tier", "The customer applies for a tier", Action.REQUEST, _TIER),
    CommandDefinition("record", "Something is on record", Action.WRITE, DataKind.RECORDS, _RECORD),
    CommandDefinition("withdraw_record", "It is no longer", Action.WRITE, DataKind.RECORDS, _RECORD),
    _overrides("override_tier", "Request a tier without its standard", Action.REQUEST, _EXCEPTION),
    _overrides("request_exception", "Request an exception of the pack", Action.REQUEST, _EXCEPTION),
    _overrides("approve_exception", "Approve what somebody else has requested", Action.APPROVE,
               {"tier": _EXCEPTION["tier"], _UNTIL: _EXCEPTION[_UNTIL]}),
    _overrides("revoke_exception", "End an exception", Action.WRITE),
    _overrides("pin_policy", "Keep the customer on an older version", Action.WRITE,
               {"version": _given(Annotated[StrictInt, Field(ge=1, le=999_999_999)], "Of the pack.")}),
    _overrides("unpin_policy", "Let him go by the present one", Action.WRITE),
    CommandDefinition("note", "Keep a note", Action.WRITE, DataKind.NOTES, {"text": _given(FreeText, "What is to be kept.")}),
    _case("acknowledge", "Somebody looks after a case", _CASE_WHY),
    _case("snooze", "Let a case rest", _CASE_WHY | {"until": _given(IsoDay, "Its last day of rest.")}, "until"),
    _case("hand_over", "Give a case to another manager", _CASE_WHY | {"to": _given(IdWord, "Staff id of the new owner.")}),
    _case("resolve", "End a case", _STEP | {
        "outcome": _given(Literal[CASE_OUTCOMES], "How it ended."), "reason": _given(FreeText, "Why."),
    }),
    _case("comment", "Add a comment to a case", _STEP | {"reason": _given(FreeText, "What is to be kept.")}),
    _case("escalate", "Tell the next level of a case that nobody has answered", _STEP | {
        "level": _given(Annotated[StrictInt, Field(ge=1, le=LEVEL_MAX)], "Above the present one."),
    }),
    _case("wake", "End a snooze whose last day is over", _STEP),
)  # fmt: skip
COMMANDS_TAKEN: Final[dict[str, CommandDefinition]] = {one.name: one for one in _ALL}


@cache
def body_of(name: str) -> type[CommandBody]:
    """The model of a command's body."""
    one = COMMANDS_TAKEN[name]
    about = {"case": _given(IdWord, "The case.")} if one.on_case else {"customer_id": _given(IdWord, "The customer.")}
    title = "".join(part.capitalize() for part in name.split("_"))
    made: type[CommandBody] = create_model(title, __base__=CommandBody, **about, **one.fields)
    return made
