"""The grammar of what decides: criteria, tiers, evaluation, queue and alert rules."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from itertools import pairwise

from policies.language.criteria import CRITERION
from policies.language.escalation import ESCALATION
from policies.language.grammar import (
    NAME,
    Amount,
    ByTier,
    Choice,
    Flag,
    Identifier,
    Many,
    RecordKind,
    Schema,
    Text,
    Whole,
    described,
)
from policies.language.reader import Item
from policies.language.states import BASIS_POINTS_MAX, FORESEEN, LASTING
from policies.model.pack import (
    QUEUE_BASES,
    AlertRule,
    Band,
    CaseTerms,
    Drip,
    OutlookRule,
    Queue,
    QueueClass,
    Share,
    StateRule,
    Tier,
)
from policies.model.terms import Limit
from streams.queue.discipline import QUEUE_ORDERS
from streams.vocabulary.terms import (
    ASSET_CLASSES,
    OUTLOOK_KINDS,
    SEVERITIES,
    STATE_KINDS,
)

WINDOW_DAYS = (0, 1, 7, 30)  # of outflow alerts that are no cases
CASE_WINDOW_DAYS_MAX, HELD_WINDOW_DAYS_MAX = 90, 30  # of cases; of those that look at postings one by one
SETTLE_DAYS_MAX, SETTLE_MINUTES_MAX = 7, 24 * 60
BANKS_MAX = 256
TIERS_MAX = 16
RULES_MAX = 32

BAND = RecordKind(
    "band", Band, {"id": Identifier(), "name": NAME, "when": CRITERION}, doc="A part of a tier that decides nothing."
)
TIER = RecordKind(
    "tier",
    Tier,
    {"id": Identifier(), "name": NAME},
    {
        "card": Identifier("The card that belongs to the tier."),
        "when": CRITERION,
        "unset": Flag("Nobody reaches it until the bank gives it a condition."),
        "same_rank_as": Identifier("The tier before it, when the two are not ranked (C-42)."),
        "permanent": Flag("Who has had it by the standard never has a lower one."),
        "bands": Many(BAND, "The first that is met counts.", 8, "id"),
    },
    "One tier. The lowest comes first and has no condition; all others have one, or are unset.",
)


@dataclass(frozen=True)
class TiersKind:
    """The tiers, lowest first: the first has no condition, all others have one."""

    def read(self, item: Item) -> tuple[Tier, ...]:
        """See Kind."""
        tiers: list[Tier] = []
        for i, member in enumerate(item.items()):
            tier = TIER.read(member)
            keys = {key for key, _ in member.entries()} if member.is_mapping() else set()
            if i == 0 and keys & {"when", "unset", "same_rank_as"}:
                member.fail("the lowest tier comes first and has no condition")
            if i > 0 and len(keys & {"when", "unset"}) != 1:
                member.fail("field when is missing: only the lowest tier and an unset one have no condition")
            if tier is not None and any(tier.id == other.id for other in tiers):
                member.fail(f"tier {tier.id} is given twice")
            elif tier is not None:
                _check_rises(member, tiers, tier)
                tiers.append(tier)
        if len(tiers) > TIERS_MAX:
            item.fail(f"more than {TIERS_MAX} tiers")
        return tuple(tiers)

    def schema(self, defs: Schema) -> Schema:
        """See Kind."""
        items = TIER.schema(defs)
        return {"type": "array", "minItems": 1, "maxItems": TIERS_MAX, "items": items, "description": "Lowest first."}


def _check_rises(item: Item, lower: list[Tier], tier: Tier) -> None:
    """Minimums of one metric must rise with the tier, or the higher tier would hide the lower one."""
    if tier.same_rank_as is not None and (not lower or tier.same_rank_as != lower[-1].id):
        item.fail(f"{tier.same_rank_as} is not the tier before {tier.id}")
    below, this = lower[-1].when if lower else None, tier.when
    if not isinstance(below, Limit) or not isinstance(this, Limit) or this.value is None or below.value is None:
        return
    same = all(getattr(below, of) == getattr(this, of) for of in ("metric", "scope", "operator", "currency"))
    if same and this.operator == "minimum" and this.value <= below.value:
        item.fail(f"minimum {this.value} of {tier.id} is not above {below.value} of {lower[-1].id}")


QUEUE_CLASS = RecordKind(
    "queue_class",
    QueueClass,
    {
        "id": Identifier(),
        "name": NAME,
        "head_start_minutes": Whole(0, 24 * 60, "A ticket's place is its arrival less this."),
    },
    {
        "cards": Many(Identifier(of="cards")),
        "tiers": Many(Identifier(of="tiers")),
        "calls_a_round": Whole(1, 99, "Under the order ratio: calls of a counter before it calls the next class."),
    },
    "A class of waiting customers.",
)


def _check_share(item: Item, share: Share) -> None:
    floor = dict(item.entries()).get("floor")
    for tier, member in floor.entries() if floor is not None and floor.is_mapping() else ():
        if tier not in share.basis_points:
            member.note_idle("basis_points do not name the tier")


def _check_queue(item: Item, queue: Queue) -> None:
    classes = queue.classes
    for kind, members in (
        ("class", [c.id for c in classes]),
        ("card", [card for c in classes for card in c.cards]),
        ("tier", [tier for c in classes for tier in c.tiers]),
    ):
        for member in sorted({m for m in members if members.count(m) > 1}):
            item.fail(f"{kind} {member} is in more than one place")
    for higher, lower in pairwise(classes):
        if higher.head_start_minutes < lower.head_start_minutes:
            item.fail(f"{lower.id} comes after {higher.id} but has the longer head start")


QUEUE = RecordKind(
    "queue",
    Queue,
    {"basis": Choice(QUEUE_BASES), "classes": Many(QUEUE_CLASS, "Called first comes first.", 16, "id")},
    {
        "order": Choice(QUEUE_ORDERS, "Which waiting ticket is called next."),
        "vip_area_from": Identifier("The lowest tier that is led to the VIP area.", "tiers"),
        "overtakers_max": Whole(0, 9999, "A ticket that so many have overtaken is next. Without it there is no cap."),
    },
    "Who is called before whom. Every tier must lead to one class, by name or by card.",
    _check_queue,
)


def check_queue_covers(item: Item, queue: Queue, tiers: tuple[Tier, ...]) -> None:
    """Every tier must find a class, by its own name or by its card."""
    cards = {card for c in queue.classes for card in c.cards}
    named = {tier for c in queue.classes for tier in c.tiers}
    for tier in tiers:
        if tier.id not in named and tier.card not in cards:
            item.fail(f"tier {tier.id} has no queue class, neither by name nor by card")


def _share(basis_points: dict[str, int], floor: dict[str, Decimal] | None = None) -> Share:
    return Share(basis_points, {tier: (floor or {}).get(tier, Decimal(0)) for tier in basis_points})


def _check_alert(item: Item, rule: AlertRule) -> None:
    if not rule.absolute and rule.share is None:
        item.fail("give absolute, share or both")
    if rule.drip is not None and rule.window_days == 0:
        item.fail("a drip needs a window of days")
    given = dict(item.entries())
    if not item.found.known.get("cases"):
        if rule.window_days not in WINDOW_DAYS:
            words = f"must be one of {', '.join(map(str, WINDOW_DAYS))}; other windows need the section cases"
            given["window_days"].fail(words)
        for name in {"measure", "to_one_bank"} & given.keys():
            given[name].fail("needs the section cases")
        return
    one_by_one = rule.drip is not None or rule.to_one_bank
    if one_by_one and not 1 <= rule.window_days <= HELD_WINDOW_DAYS_MAX:
        given["window_days"].fail(f"a drip, or what goes to one bank, needs 1 to {HELD_WINDOW_DAYS_MAX} days")
    if rule.to_one_bank and "measure" in given:
        given["measure"].fail("what goes to one bank is gross")


SHARE = RecordKind(
    "share",
    _share,
    {"basis_points": ByTier(Whole(1, BASIS_POINTS_MAX), "By tier or one for all.")},
    {"floor": ByTier(Amount(), "A smaller outflow is no share.")},
    "A fall relative to the AUM at the window's start.",
    _check_share,
)
DRIP = RecordKind(
    "drip", Drip, {"count": Whole(2, 1000), "each_at_most": Amount()}, doc="Only many small postings count."
)
ALERT = RecordKind(
    "alert",
    AlertRule,
    {
        "id": Identifier(),
        "name": NAME,
        "window_days": Whole(0, CASE_WINDOW_DAYS_MAX, "0: a single posting; 1, 7 or 30 days, with cases any."),
        "severity": Choice(SEVERITIES),
    },
    {
        "cool_down_days": Whole(0, 366),
        "absolute": ByTier(Amount(), "The outflow that fires, by tier or one for all."),
        "share": SHARE,
        "drip": DRIP,
        "measure": Choice(("net", "gross"), "net: less what comes in. Of cases."),
        "to_one_bank": Flag("What goes to the one bank that gets most, gross. Of cases."),
    },
    "An outflow rule: fires on the absolute amount or on the share, whichever is given for the customer's tier. "
    "Tiers that are not listed are not watched.",
    _check_alert,
)
CASES = RecordKind(
    "cases",
    CaseTerms,
    {},
    {
        "return_days": Whole(0, 90, "After its peak, money that comes is money that returns for so many days."),
        "settle_days": Whole(0, SETTLE_DAYS_MAX, "Closes after which a day is settled."),
        "settle_minutes": Whole(0, SETTLE_MINUTES_MAX, "Between two legs of unknown nature."),
        "own_banks": Many(Text(), "Codes of counterparties that are the bank itself.", BANKS_MAX),
        "internal_banks": Many(Text(), "Codes of counterparties whose money stays within the group.", BANKS_MAX),
        "escalation": ESCALATION,
    },
    "One case a customer whose money leaves, settled by the day closes; the outflow rules are those of its cases.",
)


@dataclass(frozen=True)
class AlertKind:
    """An outflow rule, one on the outlook (`outlook` says which), or one that each close looks at (`kind`)."""

    def read(self, item: Item) -> AlertRule | OutlookRule | StateRule | None:
        """See Kind."""
        given = dict(item.entries()) if item.is_mapping() else {}
        if (word := given.get("kind")) is not None:
            state = word.choice(STATE_KINDS)
            return None if state is None else LASTING[state].read(item)
        if (word := given.get("outlook")) is None:
            return ALERT.read(item)
        named = word.choice(OUTLOOK_KINDS)
        return None if named is None else FORESEEN[named].read(item)

    def schema(self, defs: Schema) -> Schema:
        """See Kind."""
        return {"anyOf": [kind.schema(defs) for kind in (ALERT, *FORESEEN.values(), *LASTING.values())]}


ALERTS = Many(AlertKind(), most=RULES_MAX, key="id")


@dataclass(frozen=True)
class ScopesKind:
    """Named sets of asset classes."""

    def read(self, item: Item) -> dict[str, frozenset[str]]:
        """See Kind."""
        members = Many(Choice(ASSET_CLASSES))
        scopes = {name: frozenset(members.read(member) or ()) for name, member in item.entries()}
        if not scopes and item.is_mapping():
            item.fail("must not be empty")
        return scopes

    def schema(self, defs: Schema) -> Schema:
        """See Kind."""
        return described(
            {
                "type": "object",
                "minProperties": 1,
                "additionalProperties": Many(Choice(ASSET_CLASSES)).schema(defs),
            },
            "Named sets of asset classes that metrics add up.",
        )
