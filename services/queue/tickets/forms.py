"""What comes in and goes out of the ticket interface. Nothing of it names a customer but the opaque reference that comes in."""

from __future__ import annotations

import re
from datetime import date, datetime
from typing import Annotated, Any, Final

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints

from schemas import bounds
from streams.money import AMOUNT_MAX, CURRENCIES

Word = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,39}$")]
ReferenceText = Annotated[str, Field(max_length=64, description="Opaque reference of the customer.")]
RefusableInstant = Annotated[datetime, Field(description="An instant with its zone.")]

OWN_NUMBER: Final = "^[A-Z][0-9]{3,}$"
"""The numbers that the service gives itself."""


def _of_a_block(number: str) -> str:
    """A number that the service never gives. ValueError."""
    if re.fullmatch(OWN_NUMBER, number):
        raise ValueError("a number of the service's own")
    return number


BlockNumber = Annotated[
    Word,
    AfterValidator(_of_a_block),
    Field(
        json_schema_extra={"not": {"pattern": OWN_NUMBER}},
        description="Of the kiosk's reserved block: no other kiosk prints it, nor has it the form of the service's own.",
        examples=["K1-007"],
    ),
]


def _day_text(text: object) -> object:
    """A day as it is written; numbers are none. ValueError."""
    if not isinstance(text, str) or not re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", text):
        raise ValueError("no day")
    return text


def _taken(currency: str) -> str:
    """A currency that is taken. ValueError."""
    if currency not in CURRENCIES:
        raise ValueError("no such currency")
    return currency


CashDay = Annotated[date, BeforeValidator(_day_text)]
CashAmount = Annotated[int, Field(strict=True, ge=1, le=AMOUNT_MAX, description="Minor units of the currency.")]
CashCurrency = Annotated[
    str, AfterValidator(_taken), Field(json_schema_extra={"enum": list(CURRENCIES)}, description="ISO 4217 code.")
]
StaffReason = Annotated[str, Field(min_length=3, max_length=200, description="Why; nothing personal. On record.")]


class _Form(BaseModel):
    model_config = ConfigDict(extra="forbid")


class TicketRequest(_Form):
    """Somebody wants a ticket. Without a reference he is a walk-in."""

    service: Word = Field("general", description="What he wants.")
    customer_ref: ReferenceText | None = None
    previous_ref: ReferenceText | None = Field(
        None, description="By the key before, while references move to another key."
    )
    queue_class: Word | None = Field(None, description="A class that goes by neither card nor tier, such as elderly.")
    appointment: RefusableInstant | None = Field(None, description="The booked time: not called before.")


class CourtesyRequest(_Form):
    """Staff give somebody a ticket of a class that he does not have. It is on record."""

    queue_class: Word
    reason: str = Field(min_length=3, max_length=200, description="Why; nothing personal.")
    service: Word = "general"


class PrintedTicket(_Form):
    """A ticket that a kiosk printed from its reserved block, while it could not reach the service."""

    number: BlockNumber
    printed_at: RefusableInstant
    service: Word = "general"
    customer_ref: ReferenceText | None = None
    queue_class: Word | None = None


class PrintedTickets(_Form):
    """In any order: they are taken in that of printing. A number counts once a day, and for one ticket."""

    tickets: list[PrintedTicket] = Field(min_length=1, max_length=bounds.OFFLINE_TICKETS_MAX)


class CounterRequest(_Form):
    """A step of the counter that has the ticket."""

    counter: Word


class TransferRequest(CounterRequest):
    """To wait for another service, or the same one again."""

    service: Word
    keep_place: bool = Field(True, description="False: as if he came now.")


class CompleteRequest(CounterRequest):
    """The customer has been served."""

    served: list[Word] = Field(default_factory=list, max_length=16, description="With what.")


class HolderRequest(CounterRequest):
    """Whose identity the counter has checked: the references of that person, by both keys while they rotate."""

    customer_ref: ReferenceText
    previous_ref: ReferenceText | None = None


class EquipRequest(_Form):
    """What a counter takes; without a list, all."""

    classes: list[Word] | None = Field(None, min_length=1, max_length=16)
    services: list[Word] | None = Field(None, min_length=1, max_length=16)


class CloseRequest(_Form):
    """The branch closes. What waits expires with the reason, or stays (TIDEGAUGE_QUEUE_STAYS)."""

    reason: str = Field(min_length=3, max_length=200)


class CashRequest(_Form):
    """Somebody wants cash on a coming day, and says so before."""

    day: CashDay = Field(description="When he wants it: today, or a day of the coming month.")
    amount_minor: CashAmount
    currency: CashCurrency
    customer_ref: ReferenceText | None = None
    previous_ref: ReferenceText | None = Field(
        None, description="By the key before, while references move to another key."
    )


class MeetRequest(_Form):
    """The cash is set aside for a request."""

    insist: StaffReason | None = Field(
        None, description="Why this one is met while somebody of a higher class waits for the same day and currency."
    )


class RefuseRequest(_Form):
    """A request is not met."""

    reason: StaffReason


class WaitEstimate(BaseModel):
    """How long it may still take. The interval holds eight waits of ten, of days like those it has learnt from."""

    seconds: int
    low_s: int
    high_s: int


class AheadCause(BaseModel):
    """Why tickets stand before this one that did not when it began to wait."""

    cause: str = Field(
        description="class, appointment, reranked, transferred, returned, offline, courtesy, restored or cap."
    )
    queue_class: str
    tickets: int


class OwnMove(BaseModel):
    """What this ticket's own place comes from, where it moved since it was issued."""

    cause: str = Field(description="reranked, transferred or returned.")
    at: datetime


class OvertakingBound(BaseModel):
    """Of which class nobody overtakes who came so many minutes later, or more; null: there is no limit."""

    queue_class: str
    minutes: int | None


class TicketAnswer(BaseModel):
    """A ticket."""

    ticket: int = Field(description="Its place in the branch's order of issue.")
    ticket_id: str
    number: str = Field(description="As it is printed and called.", examples=["D017"])
    queue_class: str
    vip_area: bool = Field(description="Led to the VIP area or not.")
    service: str
    state: str = Field(description="waiting, called, no_show, completed, left or expired.")
    arrival: datetime = Field(description="The arrival that counts.")
    counter: str | None = None
    degraded: bool = Field(description="The class is the default, as the view was down or stale.")
    overtaken_by: int = Field(description="How many have overtaken it.")
    position: int | None = Field(None, description="1: the next of its service. Null where it does not wait.")
    ahead_since: list[AheadCause] = Field(
        default_factory=list, description="Since it began to wait, or since it `moved`."
    )
    moved: OwnMove | None = Field(None, description="Null: it waits where it was issued, or does not wait.")
    wait: WaitEstimate | None = None
    overtaken_by_less_than: list[OvertakingBound] = Field(default_factory=list)
    identity_check: bool = Field(True, description="Always: a ticket stands for nobody's identity.")


class CalledAnswer(BaseModel):
    """Whom a counter has called; null: nobody waits whom it may call. `sequence`: halls announce each once."""

    ticket: TicketAnswer | None
    sequence: int | None = None


class HolderAnswer(BaseModel):
    """Whether the person at the counter is the one whose reference the ticket has: same, other, or unknown (a walk-in)."""

    holder: str
    identity_check: bool = True


class ShownCall(BaseModel):
    """A call as a hall shows it."""

    sequence: int
    number: str
    counter: str


class CounterState(BaseModel):
    """A counter."""

    counter: str
    paused: bool
    number: str | None
    classes: list[str] | None
    services: list[str] | None


class ClassWaiting(BaseModel):
    """Who waits of a class."""

    queue_class: str
    waiting: int
    longest_s: int


class BranchAnswer(BaseModel):
    """A branch."""

    branch: str
    day: str
    closed: str | None = Field(description="Why it is closed; null: it is open.")
    sequence: int = Field(description="Of its last step.")
    waiting: list[ClassWaiting]
    counters: list[CounterState]
    calls: list[ShownCall] = Field(description="The last ones, newest first.")


class StepAnswer(BaseModel):
    """It is done."""

    done: bool = True
    expired: int = 0


class CashRequestAnswer(BaseModel):
    """A cash request. It says whom it is of nowhere."""

    cash_request: int = Field(description="Its number at the branch.")
    day: date
    amount_minor: int
    currency: str
    queue_class: str
    degraded: bool = Field(description="The class is the default, as the view was down or stale.")
    state: str = Field(description="open, met, refused or withdrawn.")
    asked_at: datetime
    position: int | None = Field(None, description="1: the next of its day and currency. Null where it is not open.")


class CashDayAnswer(BaseModel):
    """The open cash requests of a day, a page of them, in the order in which they are met."""

    day: date
    total: int
    requests: list[CashRequestAnswer]


AnyTicket = dict[str, Any]
