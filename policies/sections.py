"""Turn the sections of a pack into values: scopes, criteria, tiers, queue and alert rules, noting every problem."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from itertools import pairwise
from typing import TYPE_CHECKING, TypeVar

from policies import metrics
from policies.model import (
    CLOSES,
    QUEUE_BASES,
    QUEUE_ORDERS,
    RESTATEMENTS,
    SEVERITIES,
    AlertRule,
    AllOf,
    AnyOf,
    Criterion,
    Drip,
    Evaluation,
    Limit,
    Name,
    Queue,
    QueueClass,
    Share,
    Tier,
)
from policies.reader import Item

if TYPE_CHECKING:
    from collections.abc import Callable

V = TypeVar("V")

OPERATORS = ("minimum", "above", "below", "at_most")
WINDOW_DAYS = (0, 1, 7, 30)
BASIS_POINTS_MAX = 10_000
TIERS_MAX = 16
RULES_MAX = 32


@dataclass(frozen=True, slots=True)
class Known:
    """What the sections below may refer to."""

    scopes: frozenset[str]
    tiers: tuple[str, ...] = ()
    cards: frozenset[str] = frozenset()


def read_name(item: Item) -> Name | None:
    """A name in Chinese and English; both must be given."""
    fields = item.fields(("zh", "en"))
    zh, en = fields.read("zh", Item.text, ""), fields.read("en", Item.text, "")
    return Name(zh, en) if zh and en else None


def read_list(item: Item, reader: Callable[[Item], V | None]) -> tuple[V, ...]:
    """The good members of a list; one that comes twice is a problem."""
    members: list[V] = []
    for member in item.items():
        value = reader(member)
        if value is not None and value in members:
            member.fail(f"{value} is listed twice")
        elif value is not None:
            members.append(value)
    return tuple(members)


def read_scopes(item: Item) -> dict[str, frozenset[str]]:
    """Named sets of asset classes."""
    scopes: dict[str, frozenset[str]] = {}
    for name, member in item.entries():
        scopes[name] = frozenset(read_list(member, lambda m: m.choice(metrics.ASSET_CLASSES)))
    if not scopes and item.is_mapping():
        item.fail("must not be empty")
    return scopes


def read_criterion(item: Item, known: Known) -> Criterion | None:
    """A tree of `any` / `all` over limits."""
    if not item.is_mapping():
        item.fail("expected a criterion: any, all, or metric with a limit")
        return None
    keys = {key for key, _ in item.entries()}
    for word, build in (("any", AnyOf), ("all", AllOf)):
        if word in keys:
            branch = item.fields((word,)).get(word)
            parts = [] if branch is None else [read_criterion(part, known) for part in branch.items()]
            good = tuple(part for part in parts if part is not None)
            return build(good) if good else None
    return _read_limit(item, keys, known)


def _read_limit(item: Item, keys: set[str], known: Known) -> Limit | None:
    fields = item.fields(("metric",), ("scope", *OPERATORS))
    named = fields.read("metric", Item.text, "")
    metric = metrics.ALIASES.get(named, named)
    kind = metrics.kind(metric)
    if named and kind is None:
        fields.members["metric"].fail(f"unknown metric {named!r}")
    scope = fields.read("scope", lambda s: s.choice(known.scopes), "") or None
    if kind == "rolling" and "scope" not in keys:
        item.fail("field scope is missing")
    if kind not in ("rolling", None) and "scope" in keys:
        fields.members["scope"].fail(f"{metric} has no scope")
    operators = [word for word in OPERATORS if word in keys]
    if len(operators) != 1:
        item.fail(f"give exactly one of {', '.join(OPERATORS)}")
        return None
    value = fields.read(operators[0], Item.decimal, Decimal(-1))
    return Limit(metric, scope, operators[0], value) if kind and value >= 0 else None


def read_tier(item: Item, known: Known) -> Tier | None:
    """One tier; None when it has no usable id."""
    fields = item.fields(("id", "name"), ("card", "when"))
    tier_id = fields.read("id", Item.identifier, "")
    name = fields.read("name", read_name, Name("", ""))
    card = fields.read("card", Item.identifier, "") or None
    condition = fields.get("when")
    when = None if condition is None else read_criterion(condition, known)
    return Tier(tier_id, name, card, when) if tier_id else None


def read_tiers(item: Item, known: Known) -> tuple[Tier, ...]:
    """The tiers, lowest first: the first has no condition, all others have one."""
    tiers: list[Tier] = []
    for i, member in enumerate(item.items()):
        tier = read_tier(member, known)
        conditional = member.is_mapping() and any(key == "when" for key, _ in member.entries())
        if i == 0 and conditional:
            member.fail("the lowest tier comes first and has no condition")
        if i > 0 and not conditional:
            member.fail("field when is missing: only the lowest tier has no condition")
        if tier is not None and any(tier.id == other.id for other in tiers):
            member.fail(f"tier {tier.id} is given twice")
        elif tier is not None:
            _check_rises(member, tiers, tier)
            tiers.append(tier)
    if len(tiers) > TIERS_MAX:
        item.fail(f"more than {TIERS_MAX} tiers")
    return tuple(tiers)


def _check_rises(item: Item, lower: list[Tier], tier: Tier) -> None:
    """Minimums of one metric must rise with the tier, or the higher tier would hide the lower one."""
    below = lower[-1].when if lower else None
    this = tier.when
    if not isinstance(below, Limit) or not isinstance(this, Limit):
        return
    same = (below.metric, below.scope, below.operator) == (this.metric, this.scope, this.operator)
    if same and this.operator == "minimum" and this.value <= below.value:
        item.fail(f"minimum {this.value} of {tier.id} is not above {below.value} of {lower[-1].id}")


def read_evaluation(item: Item) -> Evaluation | None:
    """The closes that decide; upgrades and downgrades default to the same close."""
    fields = item.fields(("close",), ("upgrades", "downgrades", "grace_months", "restatement"))
    close = fields.read("close", lambda m: m.choice(CLOSES), "")
    upgrades = fields.read("upgrades", lambda m: m.choice(CLOSES), close)
    downgrades = fields.read("downgrades", lambda m: m.choice(CLOSES), close)
    grace = fields.read("grace_months", lambda m: m.integer(0, 36), 0)
    restatement = fields.read("restatement", lambda m: m.choice(RESTATEMENTS), "record_only")
    return Evaluation(close, upgrades, downgrades, grace, restatement) if close else None


def read_queue(item: Item, known: Known) -> Queue | None:
    """The queue classes; every card and tier leads to exactly one of them."""
    fields = item.fields(("basis", "classes"), ("order", "vip_area_from"))
    basis = fields.read("basis", lambda m: m.choice(QUEUE_BASES), "")
    order = fields.read("order", lambda m: m.choice(QUEUE_ORDERS), "head_start")
    area = fields.read("vip_area_from", lambda m: m.choice(known.tiers), "") or None
    listed = fields.get("classes")
    found = [] if listed is None else [_read_queue_class(member, known) for member in listed.items()]
    classes = tuple(c for c in found if c is not None)
    if listed is not None and len(classes) == len(found):
        _check_queue(listed, classes)
    return Queue(basis, order, area, classes) if basis and classes else None


def _read_queue_class(item: Item, known: Known) -> QueueClass | None:
    fields = item.fields(("id", "name", "head_start_minutes"), ("cards", "tiers"))
    class_id = fields.read("id", Item.identifier, "")
    name = fields.read("name", read_name, Name("", ""))
    cards: tuple[str, ...] = fields.read("cards", lambda m: read_list(m, lambda c: c.choice(known.cards)), ())
    tiers: tuple[str, ...] = fields.read("tiers", lambda m: read_list(m, lambda t: t.choice(known.tiers)), ())
    minutes = fields.read("head_start_minutes", lambda m: m.integer(0, 24 * 60), -1)
    return QueueClass(class_id, name, cards, tiers, minutes) if class_id and minutes >= 0 else None


def _check_queue(item: Item, classes: tuple[QueueClass, ...]) -> None:
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


def check_queue_covers(item: Item, queue: Queue, tiers: tuple[Tier, ...]) -> None:
    """Every tier must find a class, by its own name or by its card."""
    cards = {card for c in queue.classes for card in c.cards}
    named = {tier for c in queue.classes for tier in c.tiers}
    for tier in tiers:
        if tier.id not in named and tier.card not in cards:
            item.fail(f"tier {tier.id} has no queue class, neither by name nor by card")


def _by_tier(item: Item, known: Known, reader: Callable[[Item], V | None]) -> dict[str, V]:
    """A value per tier, or one value for every tier."""
    if not item.is_mapping():
        value = reader(item)
        return {} if value is None else dict.fromkeys(known.tiers, value)
    values: dict[str, V] = {}
    for tier, member in item.entries():
        if tier not in known.tiers:
            member.fail(f"{tier!r} is not a tier of this class")
            continue
        value = reader(member)
        if value is not None:
            values[tier] = value
    return values


def _read_share(item: Item, known: Known) -> Share:
    fields = item.fields(("basis_points",), ("floor",))
    points: dict[str, int] = fields.read(
        "basis_points", lambda m: _by_tier(m, known, lambda v: v.integer(1, BASIS_POINTS_MAX)), {}
    )
    floor: dict[str, Decimal] = fields.read("floor", lambda m: _by_tier(m, known, Item.decimal), {})
    return Share(points, {tier: floor.get(tier, Decimal(0)) for tier in points})


def _read_drip(item: Item) -> Drip | None:
    fields = item.fields(("count", "each_at_most"))
    count = fields.read("count", lambda m: m.integer(2, 1000), 0)
    each = fields.read("each_at_most", Item.decimal, Decimal(0))
    return Drip(count, each) if count and each else None


def _read_window(item: Item) -> int | None:
    days = item.integer(0, max(WINDOW_DAYS))
    if days is not None and days not in WINDOW_DAYS:
        item.fail(f"must be one of {', '.join(map(str, WINDOW_DAYS))} (0: a single posting)")
        return None
    return days


def read_alert(item: Item, known: Known) -> AlertRule | None:
    """One outflow rule; None when it has no usable id."""
    fields = item.fields(("id", "name", "window_days", "severity"), ("cool_down_days", "absolute", "share", "drip"))
    rule_id = fields.read("id", Item.identifier, "")
    name = fields.read("name", read_name, Name("", ""))
    window = fields.read("window_days", _read_window, -1)
    severity = fields.read("severity", lambda m: m.choice(SEVERITIES), "")
    cool_down = fields.read("cool_down_days", lambda m: m.integer(0, 366), 0)
    absolute: dict[str, Decimal] = fields.read("absolute", lambda m: _by_tier(m, known, Item.decimal), {})
    share_item, drip_item = fields.get("share"), fields.get("drip")
    share = None if share_item is None else _read_share(share_item, known)
    drip = None if drip_item is None else _read_drip(drip_item)
    if "absolute" not in fields.members and share_item is None:
        item.fail("give absolute, share or both")
    if drip_item is not None and window == 0:
        drip_item.fail("a drip needs a window of days")
    return AlertRule(rule_id, name, window, severity, cool_down, absolute, share, drip) if rule_id else None


def read_alerts(item: Item, known: Known) -> tuple[AlertRule, ...]:
    """The outflow rules, each id once."""
    rules: list[AlertRule] = []
    for member in item.items():
        rule = read_alert(member, known)
        if rule is not None and any(rule.id == other.id for other in rules):
            member.fail(f"rule {rule.id} is given twice")
        elif rule is not None:
            rules.append(rule)
    if len(rules) > RULES_MAX:
        item.fail(f"more than {RULES_MAX} rules")
    return tuple(rules)
