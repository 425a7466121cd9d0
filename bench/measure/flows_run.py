"""J2 under a pack with eight flows against the same pack without any, in turn on one broker: CPU an event, and bytes of state."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, median
from typing import Any

from bench.measure.arena import Arena
from bench.measure.report import OURS, Engine, Report, Table
from bench.measure.timing import Timing
from bench.pairs import bound
from bench.parts import full
from bench.world.data import World
from bench.world.sizes import Sizes
from policies import load_pack, parse_pack
from policies.model.figures import FLOWS_MAX

PAIRS_MIN = 2  # below that there is no bound
BESIDE = "rolling-quarter-aum"
EIGHT_FLOWS = tuple(
    f"{{direction: {direction}, value: {value}, {which}}}"
    for direction in ("in", "out") for value in ("sum", "count") for which in ("channels: [mobile]", "natures: [external]")
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class FlowState:
    """What flows take in a state after a run: months that are held, and bytes of a customer, flow and currency in memory."""

    months: int
    bytes_each: float


def with_flows() -> str:
    """The pack with as many flows as one may have; a service looks at them, so the tiers and outlooks are the same."""
    names = [f"flow-{i}" for i in range(FLOWS_MAX)]
    declared = "".join(f"  {name}: {flow}\n" for name, flow in zip(names, EIGHT_FLOWS, strict=True))
    looked_at = ", ".join(f'{{metric: {name}, months: 3, mode: sum, minimum: "1"}}' for name in names)
    fee = f"      - {{id: fee, name: {{zh: 费, en: Fee}}, tiers: [private], when: {{any: [{looked_at}]}}}}\n"
    body = load_pack(BESIDE).body
    body = body.replace("\nscopes:\n", f"\nflows:\n{declared}\nscopes:\n", 1)
    body = body.replace("      - {id: fee-relief", fee + "      - {id: fee-relief", 1)
    return parse_pack(body).body


def state_of(jobs: list[Any]) -> FlowState:
    """Of recovered states: the columns in use, eight bytes a customer each."""
    series = [job.decider.flows for job in jobs]
    months = max(one.months_held for one in series)
    held = sum(8 * one.columns_held * job.ledger.customers.count for one, job in zip(series, jobs, strict=True))
    customers = sum(job.ledger.customers.count for job in jobs)
    return FlowState(months, held / customers / FLOWS_MAX)  # of one currency: all postings of the bench are in it


def part(arena: Arena, sizes: Sizes, report: Report) -> None:
    """Pairs of runs, the order within a pair alternating."""
    folder = Path(arena.folder)
    packs = {"without": folder / "without.yaml", "eight flows": folder / "eight.yaml"}
    packs["without"].write_text(load_pack(BESIDE).body, encoding="utf-8")
    packs["eight flows"].write_text(with_flows(), encoding="utf-8")
    found: dict[str, list[Timing]] = {name: [] for name in packs}
    state, changelog = None, dict[str, list[float]]((name, []) for name in packs)
    for pair in range(max(sizes.runs, PAIRS_MIN)):
        for name in sorted(packs, reverse=pair % 2 == 0):
            world = World(sizes.customers, sizes.full_events, arena.stack.settings.partitions)
            result = full.run(arena, world, packs[name])
            found[name].append(result.timing)
            changelog[name].append(result.changelog_a_event)
            state = state_of(result.jobs) if name != "without" else state
            result.jobs.clear()
    for name, timings in found.items():
        engine = Engine("J2 with eight flows", f"{OURS}, {name}", "every customer compared with numpy")
        for timing in timings:
            engine.note_run(timing)
        report.engines.append(engine)
    ratios = [b.cpu_us / a.cpu_us for a, b in zip(*found.values(), strict=True)]
    assert state is not None
    report.figures += [
        ("CPU an event, eight flows to none: pairs", " ".join(f"{ratio:.3f}" for ratio in ratios)),
        ("geometric mean", f"{math.exp(mean(map(math.log, ratios))):.3f}"),
        ("upper 95 % bound", f"{bound(ratios):.3f}"),
        (f"memory a customer, flow and currency with {state.months} months held, bytes", f"{state.bytes_each:.1f}"),
        *((f"changelog an event, {name}, bytes on disk", f"{median(all_):,.1f}") for name, all_ in changelog.items()),
    ]
    report.tables.append(Table("The flows:", ("flow",), [(f"`{flow}`",) for flow in EIGHT_FLOWS]))
