"""Policy packs: a bank's rule book as data.

Read with `load_pack` and decided with `decide`, or from facts with `cases.decision.decide_facts`. Compiled for the kernels
with `compiled.pack.compile_pack`, and for columns of any criteria with `compiled.program.compile_program`. `lifecycle` is
the state machine of a standing.
"""

from policies.compiled.pack import UNREACHED, CompiledAlerts, CompiledPack, CriteriaTooGeneralError
from policies.language.loader import available_packs, check, idle_settings, load_pack, parse_pack
from policies.language.reader import PackError, Problem
from policies.model.criteria import decide, meets
from policies.model.metrics import ROLLING
from policies.model.pack import AlertRule, ClassPolicy, Drip, Evaluation, Pack, Queue, QueueClass, Share, Tier
from policies.model.terms import AllOf, AnyOf, Criterion, Limit, Name, limits

__all__ = [
    "ROLLING",
    "UNREACHED",
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
    "idle_settings",
    "limits",
    "load_pack",
    "meets",
    "parse_pack",
]
