"""What alert cases add to a close: the same bank with a pack that has cases and as it was before, in one run.

`python -m bench.cases.close`. Two jobs of each partition take the same postings; each day's close is timed at both, in
turns of who is first. The pack before has the same rules as postings alone met them, within 30 days.
"""

from __future__ import annotations

import argparse
import itertools
import time
from collections.abc import Callable
from dataclasses import replace
from statistics import median
from typing import NamedTuple

from bench.measure.arena import Arena
from bench.measure.report import Report, Table, warn
from bench.measure.timers import Stages
from bench.parts import profile
from bench.world.data import CLOSED, FIRST, World
from bench.world.sizes import Sizes
from policies import load_pack
from policies.model.pack import AlertRule, Pack

CUSTOMERS, EACH = 10_000, 40  # postings of a customer with two accounts, within a month
LATER_DAYS = 45  # of closes behind the month: postings leave the days held one by one
WINDOW_DAYS_MAX = 30  # of rules without cases
STAGES = {
    "cases": "cases: who wants a look, folds, steps",
    "flow": "what leaves the horizon, into days of flow",
    "bounds": "bounds of what may have left",
    "rest": "all other work of a close",
}


class CloseTimes(NamedTuple):
    """CPU nanoseconds of one day's close of all partitions, with cases and before."""

    day: int
    with_cases: int
    before: int


def without_cases(pack: Pack) -> Pack:
    """The pack with its outflow rules as packs without cases have them."""
    classes = {
        name: replace(
            policy,
            cases=None,
            alerts=tuple(
                replace(rule, window_days=min(rule.window_days, WINDOW_DAYS_MAX))
                if isinstance(rule, AlertRule)
                else rule
                for rule in policy.alerts
            ),
        )
        for name, policy in pack.classes.items()
    }
    return replace(pack, classes=classes)


def opened(world: World, pack: str, rules: Callable[[Pack], Pack]) -> profile.Bench:
    """A bank behind its first month close."""
    bench = profile.Bench(world, Stages(), rules(load_pack(pack)))
    starts = [0] * world.partitions
    for fetch in profile.fetches(world, world.prelude(), starts):
        bench.feed(fetch)
    bench.close(CLOSED)
    return bench


def time_stages(bench: profile.Bench) -> None:
    """Wraps what is told apart of the closes with cases."""
    for job in bench.jobs:
        bench.stages.wrap(job.decider.cases, "close", "cases")
        bench.stages.wrap(job.ledger, "_fold", "flow")
        bench.stages.wrap(job.ledger, "refresh", "bounds")


def timed(bench: profile.Bench, day: int) -> int:
    """CPU nanoseconds of a close."""
    began = time.thread_time_ns()
    bench.close(day)
    return time.thread_time_ns() - began


def run(world: World, pack: str) -> tuple[list[CloseTimes], Stages, Stages]:
    """Every close of a month of postings and of the days behind it; the stages with cases, and before."""
    benches = opened(world, pack, lambda one: one), opened(world, pack, without_cases)
    for bench in benches:
        time_stages(bench)
        bench.stages.clear()
    out, turn = list[CloseTimes](), itertools.cycle((benches, benches[::-1]))

    def close(day: int) -> None:
        took = {id(bench): timed(bench, day) for bench in next(turn)}
        out.append(CloseTimes(day, took[id(benches[0])], took[id(benches[1])]))

    starts = [int((world.partition == p).sum()) * 2 + 1 for p in range(world.partitions)]
    day = CLOSED
    for fetch in profile.fetches(world, world.postings(), starts, True):
        if fetch.count:
            for bench in benches:
                bench.feed(fetch)
        else:
            close(day := fetch.at)
    while day < FIRST + world.days + LATER_DAYS:
        close(day := day + 1)
    for bench in benches:
        bench.stages.restore()
    return out, benches[0].stages, benches[1].stages


def told(stages: Stages) -> float:
    """Seconds of the stages that are told apart."""
    return sum(stages.seconds[stage] for stage in STAGES)


def table(world: World, pack: str) -> Table:
    """Microseconds a customer and close, by days."""
    found, mine, before = run(world, pack)
    out = Table(
        f"A close of {world.customers:,} customers with two accounts and {EACH} postings a month, CPU µs a customer; "
        "medians over the days, with cases and before in turn:",
        ("closes", "with cases", "before", "ratio"),
    )
    month = FIRST + world.days
    for name, days in (
        ("of the month of postings", [one for one in found if one.day < month]),
        ("of the days behind it, without postings", [one for one in found if one.day >= month]),
    ):
        ratio = median(one.with_cases / one.before for one in days)
        us = (median(getattr(one, side) for one in days) / 1e3 / world.customers for side in ("with_cases", "before"))
        out.rows.append((name, *(f"{one:.2f}" for one in us), f"{ratio:.2f}"))
    closes = len(found) * world.customers
    whole = [sum(one.with_cases for one in found) / 1e9, sum(one.before for one in found) / 1e9]
    for stage, name in STAGES.items():
        parts = [float(stages.seconds[stage]) for stages in (mine, before)]
        if stage == "rest":
            parts = [all_ - told(stages) for all_, stages in zip(whole, (mine, before), strict=True)]
        out.rows.append((f"mean of all days: {name}", *(f"{1e6 * one / closes:.2f}" for one in parts), ""))
    return out


def part(_arena: Arena, sizes: Sizes, report: Report) -> None:
    """The table."""
    table(World(200, 8_000), "rolling-quarter-aum")  # compiles
    customers = min(sizes.customers, CUSTOMERS)
    report.tables.append(table(World(customers, customers * EACH), "rolling-quarter-aum"))


def main() -> None:
    """`python -m bench.cases.close --customers 10000`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--customers", type=int, default=CUSTOMERS)
    parser.add_argument("--pack", default="rolling-quarter-aum", help="a pack that ships, or a YAML file")
    options = parser.parse_args()
    table(World(200, 200 * EACH), options.pack)
    found = table(World(options.customers, options.customers * EACH), options.pack)
    warn(found.title)
    for row in [found.header, *found.rows]:
        print(f"{row[0]:72}" + "".join(f"{cell:>12}" for cell in row[1:]), flush=True)


if __name__ == "__main__":
    main()
