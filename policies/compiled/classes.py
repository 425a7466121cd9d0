"""Classes of customers side by side, by one pack or two: every tier of any class under one code, and each class's program.

Codes count the personal tiers first, lowest first, then what corporate tiers add. Where there are only personal tiers
that rise with one metric, the code of a tier is its index and the compiled pack is what `compile_pack` gives.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from policies.compiled.pack import (
    CompiledPack,
    CriteriaTooGeneralError,
    Minor,
    compile_alerts,
    compile_cases,
    compile_foresight,
    compile_pack,
    compile_states,
    foreseen,
)
from policies.compiled.program import compile_program
from policies.language.reader import PackError, Problem
from policies.model.terms import limits
from streams.vocabulary.metrics import INDEX, months_of_mean
from streams.vocabulary.terms import CUSTOMER_CLASSES, PERSONAL

if TYPE_CHECKING:
    from collections.abc import Mapping

    from policies.compiled.program import Bools, Ints, Program
    from policies.model.pack import ClassPolicy, Pack, QueueClass


AT = "@"  # between a class of customers and a branch


@dataclass(frozen=True, slots=True)
class ClassTable:
    """One class of customers: the pack that decides it, how, and its tiers among all codes."""

    pack: Pack
    policy: ClassPolicy
    program: Program
    levels: Ints  # [T] rank of a tier index, where tiers of the same rank share one
    codes: Ints  # [T] code of a tier index
    index: Ints  # [codes] tier index of a code; 0, the lowest, for a tier of another class
    queue_class: Ints  # [codes] when no card is known
    queue_class_of_card: dict[str, int]
    vip_area: Bools  # [codes]


@dataclass(frozen=True, slots=True)
class CompiledClasses:
    """`shown` is what alerts and queues go by; tables by customer class, None: no pack names it.

    `branches` has tables by class for the branches whose supplements are in force.
    `standard`: the personal class alone, where its tiers are rising minimums of one metric; a tier's code is its index.
    """

    shown: CompiledPack
    tables: tuple[ClassTable | None, ...]
    standard: CompiledPack | None
    branches: Mapping[str, tuple[ClassTable | None, ...]] = field(default_factory=dict)

    @property
    def personal(self) -> CompiledPack:
        """The thresholds of personal customers, if they have any."""
        return self.shown if self.standard is None else self.standard

    @property
    def foreseen(self) -> ClassPolicy | None:
        """How personal customers are decided, where their next tier follows from balances alone; else None."""
        table = self.tables[CUSTOMER_CLASSES.index("personal")]
        known = table is not None and self.standard is not None and foreseen(table.policy)
        return table.policy if table is not None and known else None


def by_class(*packs: Pack) -> dict[str, Pack]:
    """The pack of each class of customers. PackError where two name the same one."""
    found: dict[str, Pack] = {}
    for pack in packs:
        for name in pack.classes:
            if name in found:
                message = f"{name} customers have the tiers of {found[name].id} already"
                raise PackError([Problem(pack.id, 1, "classes", message)])
            found[name] = pack
    return found


def in_branch(customer_class: str, branch: str) -> str:
    """The key of a supplement among packs by class: the customers of this class in this branch."""
    return f"{customer_class}{AT}{branch}"


def compile_classes(packs: Mapping[str, Pack], base_exponent: int) -> CompiledClasses:
    """Classes of customers, each by its pack, for a base currency. PackError for a template, or an amount that is not whole.

    Supplements have keys as in_branch gives them, and the tiers and queue classes of their base.
    """
    policies = [packs[name].classes[name] for name in CUSTOMER_CLASSES if name in packs]
    ids = tuple(dict.fromkeys(tier.id for policy in policies for tier in policy.tiers))
    queues = tuple({c.id: c for policy in policies for c in policy.queue.classes}.values())
    tables = tuple(
        _table(packs[name], base_exponent, name, ids, queues) if name in packs else None for name in CUSTOMER_CLASSES
    )
    first = next(table for table in tables if table is not None)
    standard = _standard(packs, base_exponent) if queues else None
    if standard is None and any(policy.outlook_rules for policy in policies):
        message = "rules on the outlook need tiers of one metric"
        raise PackError([Problem(first.pack.id, 1, "alerts", message)])
    branches: dict[str, tuple[ClassTable | None, ...]] = {}
    for key in packs:
        name, _, branch = key.partition(AT)
        if branch:
            own = _table(packs[key], base_exponent, name, ids, queues)
            none: tuple[ClassTable | None, ...] = (None,) * len(CUSTOMER_CLASSES)
            known = zip(CUSTOMER_CLASSES, branches.get(branch, none), strict=True)
            branches[branch] = tuple(own if kind == name else before for kind, before in known)
    if standard is not None and (standard.tier_ids, standard.queue_class_ids) == (ids, tuple(c.id for c in queues)):
        return CompiledClasses(standard, tables, standard, branches)
    return CompiledClasses(_shown(first.pack, base_exponent, ids, queues, first), tables, standard, branches)


def _standard(packs: Mapping[str, Pack], base_exponent: int) -> CompiledPack | None:
    if PERSONAL not in packs or packs[PERSONAL].classes[PERSONAL].veto is not None:
        return None
    try:
        return compile_pack(packs[PERSONAL], base_exponent)
    except CriteriaTooGeneralError:
        return None


def _table(
    pack: Pack, base_exponent: int, name: str, ids: tuple[str, ...], queues: tuple[QueueClass, ...]
) -> ClassTable:
    policy, places = pack.classes[name], {c.id: i for i, c in enumerate(queues)}
    own = [tier.id for tier in policy.tiers]
    index = np.array([own.index(tier) if tier in own else 0 for tier in ids], np.int64)
    queue = [places[policy.queue_class(tier).id] for tier in own] if policy.queue.classes else [0] * len(own)
    area = np.array([policy.led_to_vip_area(tier) for tier in own], np.bool_)
    return ClassTable(
        pack,
        policy,
        compile_program(pack, base_exponent, name),
        np.array([policy.level(tier) for tier in own], np.int64),
        np.array([ids.index(tier) for tier in own], np.int64),
        index,
        np.array(queue, np.int64)[index],
        {card: places[c.id] for c in policy.queue.classes for card in c.cards},
        area[index],
    )


def _shown(
    pack: Pack, base_exponent: int, ids: tuple[str, ...], queues: tuple[QueueClass, ...], table: ClassTable
) -> CompiledPack:
    """A pack that is more than rising minimums, without thresholds; standings show the metrics of its first scope."""
    policy = table.policy
    leaves = [leaf for tier in policy.tiers for leaf in limits(tier.when) if leaf.scope is not None]
    known = [leaf.metric for leaf in leaves if leaf.metric in INDEX]
    means = ["month_avg[0]" for leaf in leaves if months_of_mean(leaf.metric) is not None]
    metric = (*known, *means, "aum")[0]
    scope = leaves[0].scope if leaves and leaves[0].scope else next(iter(pack.scopes))
    tables = [policy.rank(tier) if any(tier == known.id for known in policy.tiers) else -1 for tier in ids]
    vip = 0 if policy.vip_from is None else policy.rank(policy.vip_from)
    above = [code for code, rank in enumerate(tables) if policy.vip_from is not None and rank >= vip]
    return CompiledPack(
        pack.id, pack.version, policy.customer_class, base_exponent, ids, metric, scope,
        pack.scopes[scope], np.zeros(0, np.int64), min(above, default=len(ids)), tuple(c.id for c in queues),
        table.queue_class, table.queue_class_of_card, policy.queue.basis, table.vip_area,
        compile_alerts(() if policy.cases else policy.outflow_rules, ids, Minor(pack.id, base_exponent)),
        compile_foresight((), ids, Minor(pack.id, base_exponent)),
        compile_states(policy.state_rules, ids, Minor(pack.id, base_exponent)),
        compile_cases(policy, ids, Minor(pack.id, base_exponent)),
    )  # fmt: skip
