"""Policy packs: a bank's rule book as data.

Read with `load_pack`, decided with `decide` or from facts with `deciding.decide_facts`, compiled for the kernels with
`Pack.compile`, or for columns of any criteria with `columns.compile_program`. `lifecycle` and `acts` are the state machine.
"""

from policies.compiled import NEVER, CompiledAlerts, CompiledPack, CriteriaTooGeneralError
from policies.criteria import decide, limits, meets
from policies.loader import available_packs, check, load_pack, parse_pack
from policies.metrics import METRIC_INDEX, ROLLING
from policies.model import (
    AlertRule,
    AllOf,
    AnyOf,
    ClassPolicy,
    Criterion,
    Drip,
    Evaluation,
    Limit,
    Name,
    Pack,
    Queue,
    QueueClass,
    Share,
    Tier,
)
from policies.reader import PackError, Problem

__all__ = [
    "METRIC_INDEX",
    "NEVER",
    "ROLLING",
    "AlertRule",
    "AllOf",
    "AnyOf",
    "ClassPolicy",
    "CompiledAlerts",
    "CompiledPack",
    "CriteriaTooGeneralError",
    "Criterion",
    "Drip",
    "Evaluation",
    "Limit",
    "Name",
    "Pack",
    "PackError",
    "Problem",
    "Queue",
    "QueueClass",
    "Share",
    "Tier",
    "available_packs",
    "check",
    "decide",
    "limits",
    "load_pack",
    "meets",
    "parse_pack",
]
