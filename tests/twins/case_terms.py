"""What the slow twin of alert cases is told and what it answers: rules, terms, postings, cases and steps."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from streams.vocabulary.terms import NATURES, SEVERITIES
from tests.twins.definitions import Event

NET, GROSS = "net", "gross"
HELD_DAYS = 35  # postings are held one by one for so long before the last closed day
OLD_DAYS = 28  # what is booked longer before the last closed day counts in sums of days only
EXPIRE_DAYS = 90
OWN_PART = 50  # of its amount a rule needs from the day itself: a window that only slides on fires nothing
WINDOW_DAYS_MAX = 90
SINGLE_WORKDAYS = 3
EDGE_DAYS = 4  # by which the start of a window of net flow may move back: money in on a Friday, out on a Tuesday
LARGE_THIRDS = 2  # a debit of so many thirds of the AUM doesn't wait for what may be its other leg ...
EMPTYING_FIFTHS = 4  # ... nor one of so many fifths of what its account held
FOLD_DAYS_MAX = 60  # folded at once: after a pause of closes that is longer, the days before are left out
LIVE_DAYS_MAX = 31  # after the last close: what is booked later waits for its close
UNKNOWN = "unknown"
SNOOZE_DAYS_MAX = 90
ABOVE_MANAGERS = ("section_head", "branch_manager", "president", "wealth_office")
OUTCOMES = ("kept", "partly_kept", "left", "no_loss", "wrong_alert")
MOVING = ("own_transfer", "product_purchase", "product_redemption")  # stated natures that are a leg within the bank


@dataclass(frozen=True)
class SlowRule:
    """A rule, by tier name: absolute amounts, shares of the reference in basis points with a floor. Base minor units."""

    id: str
    window: int  # days; 0: the single posting
    severity: str = "medium"
    measure: str = NET
    absolute: Mapping[str, int] = field(default_factory=dict)
    share_bp: Mapping[str, int] = field(default_factory=dict)
    floor: int = 0
    debits: int = 0  # drip: so many debits ...
    each_max: int | None = None  # ... of at most so much
    one_bank: bool = False
    cool_down: int = 0

    @property
    def is_gross(self) -> bool:
        """Whether credits are no part of it."""
        return self.measure == GROSS or self.one_bank


@dataclass(frozen=True)
class SlowScheme:
    """What a pack says of cases. Tiers lowest first; codes of counterparty banks that are not outside."""

    rules: tuple[SlowRule, ...]
    tiers: tuple[str, ...] = ("ordinary", "gold", "platinum", "diamond", "private")
    return_days: int = 15
    settle_days: int = 3
    settle_minutes: int = 30
    internal_banks: frozenset[str] = frozenset()  # money that stays within the group: no flow
    own_banks: frozenset[str] = frozenset()  # our own name: as if none was named

    def in_time(self, one: Posting, other: Posting) -> bool:
        """Whether a pair is complete so early that the day of it is settled while both are held."""
        return max(one.day, other.day) + self.settle_days - min(one.booked, other.booked) <= HELD_DAYS


@dataclass
class Posting:
    """An accepted posting, and what is known of it beside the event."""

    event: Event
    booked: int  # business day
    day: int  # on which it counts
    old: bool  # came so late that it counts in windows and nets only
    partner: Posting | None = None  # in a pair that is settled for good

    @property
    def amount(self) -> int:
        """Signed, minor units of its currency."""
        return int(self.event["amount_minor"])


@dataclass(frozen=True)
class Met:
    """A rule that is met on a day."""

    rule: SlowRule
    start: int  # s: days after it count
    flow: int
    reference: int


@dataclass(frozen=True)
class SlowCase:
    """A customer's outflow case as folded up to a day; `open` False: what is left of the last one, if there was one."""

    open: bool = False
    opened: int = 0
    start: int = 0
    net: int = 0
    peak: int = 0
    peak_day: int = 0
    told_net: int = 0
    severity: int = 0
    reference: int = 0
    rules: tuple[str, ...] = ()
    gross: bool = False
    ended: int | None = None  # `told`: the day the last case ended
    end: str = ""  # how
    number: int = 0  # of cases so far

    def figures(self) -> tuple[object, ...]:
        """What a correction would change."""
        return self.opened, self.severity, self.net, self.reference, self.rules


@dataclass(frozen=True)
class SlowStep:
    """A step of a case. `opened` names the case for a customer together with `number`."""

    customer: str
    kind: str  # raised, deepened, retracted, expired, resolved, corrected
    provisional: bool
    day: int
    opened: int
    severity: str
    net: int
    gross: int
    reference: int
    rules: tuple[str, ...]
    caused_by: str
    attention: str = ""
    owner: str | None = None


@dataclass(frozen=True)
class SlowAct:
    """What somebody did about a case of a customer; `case` counts his cases, `step` those that were told, from 0."""

    customer: str
    action: str
    case: int
    step: int
    day: int  # business day of its instant
    by: str = "rm-1"
    role: str = "rm"
    until: int | None = None
    details: Mapping[str, str] = field(default_factory=dict)
    event_id: str = "act"


@dataclass(frozen=True)
class SlowCare:
    """What people make of a case that is open. `step` counts the steps that were told: raised and deepened ones."""

    case: int
    step: int
    day: int  # the latest that its steps speak of
    gross: int
    attention: str = "waiting"
    until: int | None = None
    owner: str | None = None  # to whom it was handed over
    level: int = 0


def pairing_place(p: Posting) -> tuple[int, str, int, int]:
    """The order in which partners are looked for: booking, account, nature (unknown is first), number."""
    return p.event["booked_at"], p.event["account_id"], NATURES.index(p.event["nature"]), p.event["journal_seq"]


def workdays_before(day: int, is_open: Callable[[int], bool]) -> int:
    """The day before the last three working days that end with `day` or before it."""
    seen, at = 0, day
    while True:
        seen += is_open(at)
        if seen == SINGLE_WORKDAYS:
            return at - 1
        at -= 1


def may_open(case: SlowCase, m: Met, day: int) -> bool:
    """Within the cool-down of its rule only a higher severity, or the ended case's net again."""
    if case.ended is None or day - case.ended >= m.rule.cool_down:
        return True
    return SEVERITIES.index(m.rule.severity) > case.severity or m.flow >= case.peak
