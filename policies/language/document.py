"""The grammar of a whole pack: its head, its classes, and what they promise and ask for (provisions.py)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from policies.compiled.pack import foreseen
from policies.language.consistency import check_class, check_layer
from policies.language.criteria import CRITERION
from policies.language.figures import FACT_TABLE, FLOW_TABLE, MEASURE_TABLE, read_figures
from policies.language.grammar import (
    NAME,
    Amount,
    Choice,
    Day,
    Flag,
    Identifier,
    Kind,
    Many,
    RecordKind,
    Schema,
    Table,
    Text,
    Whole,
    described,
)
from policies.language.reader import Item
from policies.language.sections import (
    ALERTS,
    CASES,
    QUEUE,
    ScopesKind,
    TiersKind,
    check_queue_covers,
)
from policies.language.timing import EVALUATION, VetoKind
from policies.model import metrics, provisions
from policies.model.pack import KINDS, LAYERS, ClassPolicy, Pack, Queue
from streams.vocabulary.terms import ASSET_CLASSES, CUSTOMER_CLASSES

TIER = Identifier(of="tiers")
TIERS = Many(TIER, "The tiers it is for.")
ROLE = Identifier("A role of the bank.")
ROLES = Many(ROLE)
RECORD_KINDS = Many(Choice(provisions.RECORDS))
NO_QUEUE = Queue("tier", ())
NO_OUTLOOK = (
    "there is an outlook only where tiers of personal customers are rising minimums of one average, and no more"
)

STATUS = RecordKind(
    "status",
    provisions.StatusRule,
    optional={
        "basis": Choice(provisions.BASES, "The tier follows the standard, or is that of the card held (C-07)."),
        "requires": Many(Choice(provisions.RECORDS), "Records that must be there; until then `eligible`."),
    },
    doc="What makes a tier official beside the standard.",
)
ISSUE = RecordKind(
    "issue",
    provisions.Issue,
    {"mode": Choice(provisions.ISSUE_MODES, "How a card comes to a customer (C-29).")},
    {
        "by": Identifier("The role that approves, requests or files."),
        "needs_standard": Flag("Only to a customer who meets the standard."),
        "start": Choice(provisions.STARTS, "Service starts with the issue, or with the collection of the card."),
        "branches": Many(Choice(provisions.BRANCH_LEVELS), "Levels that may issue; all unless given."),
        "needs_wealth_manager": Flag("Only where a wealth manager works."),
    },
)
STAFF_CARD = RecordKind(
    "staff_card",
    provisions.StaffCard,
    {"card": Identifier(), "roles": ROLES},
    doc="A card that employees carry; it never proves a tier (C-13).",
)
CARDS = RecordKind(
    "cards",
    provisions.Cards,
    optional={
        "issue": ISSUE,
        "valid_months": Whole(1, 240, "Valid through the day before so many months have passed (C-38)."),
        "digits": Many(Whole(8, 19), "Lengths of a card number."),
        "reminder_days": Whole(0, 366, "Days before the end on which renewal is due; 0: nobody is told."),
        "contract_again_from": Day("Cards issued before it: the contract is signed again at the next change."),
        "staff": STAFF_CARD,
    },
)
REVIEW = RecordKind(
    "review",
    provisions.Review,
    {"months": Whole(1, 60, "From one review of a customer to the next.")},
    {"reminder_days": Whole(0, 366, "Days before a review on which it is due; 0: nobody is told.")},
)
EXCEPTIONS = RecordKind(
    "exceptions",
    provisions.Exceptions,
    {"request_by": ROLE, "approve_by": ROLE},
    {
        "kinds": Many(Identifier(), "What may be given as the reason."),
        "tier": Identifier("The tier given; without it the approver names one (C-39).", "tiers"),
        "valid_months": Whole(1, 240, "How long it holds; without it, until it is withdrawn."),
    },
    "Admission without the standard: asked for by one person, approved by another.",
)
PINNING = RecordKind(
    "pinning",
    provisions.Pinning,
    {"before_version": Whole(1, doc="Customers served under an older version stay on it (C-16).")},
)
POTENTIAL = RecordKind(
    "potential",
    provisions.Potential,
    optional={"when": CRITERION, "groups": Many(Identifier(), "Groups that the bank tags.")},
    doc="Who is flagged potential_customer.",
)
SERVICE = RecordKind(
    "service",
    provisions.Service,
    {"id": Identifier(), "name": NAME, "tiers": TIERS},
    {
        "family": Identifier("priority, preferential, value-added, …"),
        "launch": Day("Before it, neither shown nor promised (C-32)."),
        "price": Amount("What one use costs the customer."),
        "cost": Amount("What one use costs the bank."),
        "requires": RECORD_KINDS,
        "when": CRITERION,
        "free_months": Whole(1, 120, "Months from the first day of the tier in which it is free."),
    },
)
CONTACT = RecordKind(
    "contact",
    provisions.Contact,
    {
        "id": Identifier(),
        "name": NAME,
        "tiers": TIERS,
        "count": Whole(1, 366),
        "per": Choice(provisions.PERIODS),
    },
    {"channels": Many(Identifier())},
    "At least so many in each period.",
)
RESPONSIBILITY = RecordKind(
    "responsibility",
    provisions.Responsibility,
    {"tiers": TIERS, "accountable": ROLE},
    {"may_act": ROLES},
    "One accountable role, and those that may carry out the contact (C-08).",
)
SOURCE = RecordKind(
    "source",
    provisions.Source,
    {"supplies": Many(Identifier(), "Asset classes and facts.")},
    {"freshness_business_days": Whole(0, 30), "required": Flag("While it is older, tier changes are deferred.")},
)
BRANCHES = RecordKind(
    "branches",
    provisions.Branches,
    {"may_set": Many(Text(), "Dotted paths; everything else is locked."), "file_with": ROLE},
    {"approval_by": ROLE},
)
SUPPLEMENT = RecordKind(
    "supplement",
    provisions.Supplement,
    {"base": Identifier("The pack it adds to."), "branch": Text()},
    {"filed_on": Day(), "approved_by": Text()},
)

CLASS_REQUIRED: dict[str, Kind] = {"evaluation": EVALUATION, "tiers": TiersKind()}
CLASS_OPTIONAL: dict[str, Kind] = {
    "vip_from": Identifier("The lowest tier that makes a VIP.", "tiers"),
    "status": STATUS,
    "cards": CARDS,
    "queue": QUEUE,
    "alerts": ALERTS,
    "cases": CASES,
    "veto": VetoKind(),
    "review": REVIEW,
    "notables": EXCEPTIONS,
    "overrides": EXCEPTIONS,
    "pinning": PINNING,
    "potential": POTENTIAL,
    "services": Many(SERVICE, most=256, key="id"),
    "contacts": Many(CONTACT, key="id"),
    "responsibility": Many(RESPONSIBILITY),
    "portfolio": Table(Whole(1, 10_000), "Customers at least, by role."),
}


@dataclass(frozen=True)
class ClassKind:
    """The rules for one class of customers: tiers first, since everything else refers to them."""

    def read(self, item: Item) -> ClassPolicy | None:
        """See Kind; the class's name is set by the caller."""
        fields = item.fields(tuple(CLASS_REQUIRED), tuple(CLASS_OPTIONAL))
        kinds = {**CLASS_REQUIRED, **CLASS_OPTIONAL}
        known = item.found.known
        tiers = kinds["tiers"].read(fields.members["tiers"]) if "tiers" in fields.members else ()
        known["tiers"] = tuple(tier.id for tier in tiers)
        known["cases"] = frozenset(name for name in fields.members if name == "cases")
        known["cards"] = frozenset(tier.card for tier in tiers if tier.card)
        values = {name: kinds[name].read(member) for name, member in fields.members.items() if name != "tiers"}
        good = {name: value for name, value in values.items() if value is not None}
        if (queue := good.get("queue")) is not None and tiers:
            check_queue_covers(fields.members["queue"], queue, tiers)
        if not tiers or "evaluation" not in good:
            return None
        if "veto" in good:
            good["veto"], good["veto_at"] = good["veto"]
        policy = ClassPolicy(
            "", tiers=tiers,
            **{"status": provisions.StatusRule(), "cards": provisions.Cards(), "queue": NO_QUEUE, **good},
        )  # fmt: skip
        check_class(item, policy)
        return policy

    def schema(self, defs: Schema) -> Schema:
        """See Kind."""
        return RecordKind(
            "class", dict, CLASS_REQUIRED, CLASS_OPTIONAL, "The rules for one class of customers."
        ).schema(defs)


@dataclass(frozen=True)
class ClassesKind:
    """personal, corporate, or both side by side."""

    def read(self, item: Item) -> dict[str, ClassPolicy]:
        """See Kind."""
        classes: dict[str, ClassPolicy] = {}
        for name, member in item.entries():
            if name not in CUSTOMER_CLASSES:
                member.fail(f"{name!r} is not one of {', '.join(CUSTOMER_CLASSES)}")
                continue
            policy = ClassKind().read(member)
            if policy is not None:
                classes[name] = replace(policy, customer_class=name)
                if policy.outlook_rules and not foreseen(classes[name]):
                    member.fail(f"alerts.{policy.outlook_rules[0].id}: {NO_OUTLOOK}")
        if not classes and item.is_mapping() and not item.found.problems:
            item.fail("must not be empty")
        return classes

    def schema(self, defs: Schema) -> Schema:
        """See Kind."""
        body: Schema = {"type": "object", "minProperties": 1, "additionalProperties": False}
        body["properties"] = {name: ClassKind().schema(defs) for name in CUSTOMER_CLASSES}
        return described(body, "What holds for each class of customers.")


HEAD_REQUIRED: dict[str, Kind] = {
    "pack": Identifier("The scheme's id; the file is named after it."),
    "version": Whole(1, doc="Rises with every change; every tier event names it."),
    "effective_from": Day("The first day on which this version decides."),
    "name": NAME,
    "scopes": ScopesKind(),
}
HEAD_OPTIONAL: dict[str, Kind] = {
    "kind": Choice(KINDS, "A tier scheme, or a layer scheme that stands beside one."),
    "basis": Text("The rules and readings it is written from."),
    "readings": Many(Text(), "Readings of unclear rules that its settings follow."),
    "owner": Identifier("The department that is responsible."),
    "edited_by": Choice(provisions.BRANCH_LEVELS, "Who may change it."),
    "applies_to": Choice(("all-branches", "branch"), "Where it holds."),
    "supersedes": Many(Text(), "What it repeals."),
    "file_owner": Choice(("outlet", "wealth-centre"), "Who keeps the customers' files (C-30)."),
    "principles": Many(Identifier()),
    "notice_days": Whole(0, 366, "An alert that is told more days after its own is told as late."),
    "sources": Table(SOURCE, "Systems of record."),
    "facts": FACT_TABLE,
    "flows": FLOW_TABLE,
    "measures": MEASURE_TABLE,
    "branches": BRANCHES,
    "supplement": SUPPLEMENT,
    "rollout": Many(RecordKind("step", provisions.RolloutStep, {"month": Whole(1, 60), "name": NAME})),
}


def read_pack(root: Item, body: str) -> Pack | None:
    """The pack that a document says, None after a problem."""
    fields = root.fields((*HEAD_REQUIRED, "classes"), tuple(HEAD_OPTIONAL))
    kinds = {**HEAD_REQUIRED, **HEAD_OPTIONAL}
    order = [name for name in (*HEAD_REQUIRED, *HEAD_OPTIONAL) if name in fields.members]
    values: dict[str, Any] = {}
    for name in order:
        if name != "measures":
            values[name] = kinds[name].read(fields.members[name])
    root.found.known["scopes"] = tuple(values.get("scopes") or ())
    root.found.known["kind"] = (values.get("kind") or KINDS[0],)
    own = values.get("facts") or {}
    root.found.known["facts"] = tuple(own)
    for kind in ("flag", "count"):
        root.found.known[f"{kind}s"] = frozenset(name for name, fact in own.items() if fact.kind == kind)
    if fields.members:
        read_figures(fields, values)
    known = {*ASSET_CLASSES, *metrics.facts(), *own}
    for name, source in (values.get("sources") or {}).items():
        for supplied in set(source.supplies) - known:
            fields.members["sources"].fail(f"{name}: {supplied} is neither an asset class nor a fact")
    classes = ClassesKind().read(fields.members["classes"]) if "classes" in fields.members else {}
    good = {name: value for name, value in values.items() if value is not None}
    for name, item in fields.members["classes"].entries() if classes and good.get("kind") == LAYERS else ():
        if name in classes:
            check_layer(item, classes[name])
    if any(name not in good for name in HEAD_REQUIRED) or not classes:
        return None
    for name, item in fields.members["classes"].entries() if good.get("kind", KINDS[0]) == KINDS[0] else ():
        if name in classes and classes[name].queue is NO_QUEUE:
            item.fail("field queue is missing")
    return Pack(id=good.pop("pack"), classes=classes, body=body, **good)


def schema() -> Schema:
    """The JSON Schema that is published as pack.schema.json."""
    defs: Schema = {}
    properties = {name: kind.schema(defs) for name, kind in {**HEAD_REQUIRED, **HEAD_OPTIONAL}.items()}
    properties["classes"] = ClassesKind().schema(defs)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Tidegauge policy pack",
        "description": "One version of one bank's scheme. Amounts are exact decimals in whole units of the base currency, "
        "written as text. The loader finds more than a schema can say: names that refer to nothing, minimums that "
        "don't rise.",
        "type": "object",
        "additionalProperties": False,
        "required": [*HEAD_REQUIRED, "classes"],
        "properties": properties,
        "$defs": defs,
    }
