"""`python -m bench`: every measurement on one broker, tables with ratios first, and docs/benchmarks.md, part by part.

`--quick` (`make bench-quick`) takes some minutes and writes nothing.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import replace

from bench import tickets
from bench.cases import close, state
from bench.measure import commands_run, flows_run, j1_run, secured
from bench.measure.arena import Arena
from bench.measure.report import Report, warn, write
from bench.parts import full, latency, life, long_run, pack_switch, profile, raw, scale
from bench.peers.peer import PEERS
from bench.world.sizes import QUICK, Sizes

Part = Callable[[Arena, Sizes, Report], None]
# Each measures something and adds what it found to the report; in this order.
PARTS: dict[str, Part] = {
    "j1": j1_run.part,
    "full": full.part,
    "flows": flows_run.part,
    "raw": raw.part,
    "profile": profile.part,
    "state": state.part,
    "case_close": close.part,
    "latency": latency.part,
    "commands": commands_run.part,
    "secure": secured.part,
    "scale": scale.part,
    "life": life.part,
    "switch": pack_switch.part,
    "queue": tickets.part,
    "stress": tickets.stress,
    "memory": long_run.part,
}


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small sizes, nothing written")
    parser.add_argument("--only", choices=PARTS, action="append", help="leave out the others")
    parser.add_argument("--engine", choices=PEERS, action="append", help="of J1's peers, leave out the others")
    parser.add_argument("--events", type=int, help="events of J1 and of the full job")
    parser.add_argument("--customers", type=int, help="customers of the full job")
    parser.add_argument("--write", action="store_true", help="write to docs/benchmarks.md even so")
    parser.add_argument("--runs", type=int, help="repetitions")
    options = parser.parse_args()
    sizes, found, failed = chosen(options), {}, []
    with Arena() as arena:
        for name in (name for name in PARTS if name in (options.only or PARTS)):
            warn(f"{name} …")
            try:
                found[name] = measured(arena, name, sizes, again(options, name))
            except Exception:  # noqa: BLE001 - whatever it is, the other parts are of use without this one
                traceback.print_exc()
                failed.append(name)
                continue
            print(f"## {name}\n\n{found[name].markdown()}", flush=True)
            if options.write or not (options.quick or options.only):
                write(found, PARTS)
    print(f"{sum(report.seconds for report in found.values()):,.0f} s")
    if failed:
        sys.exit(f"failed: {', '.join(failed)}")


def again(options: argparse.Namespace, part: str) -> str:
    """The command that measures one part of a run again, in the same way."""
    words = [f"--only {part}", *(["--quick"] if options.quick else [])]
    words += [f"--{name} {value}" for name in ("events", "customers", "runs") if (value := getattr(options, name))]
    words += [f"--engine {name}" for name in options.engine or ()]
    return f'make bench ARGS="{" ".join(words)}"'


def measured(arena: Arena, name: str, sizes: Sizes, command: str) -> Report:
    """One part."""
    report = Report(command)
    began = time.monotonic()
    PARTS[name](arena, sizes, report)
    report.seconds, report.load = time.monotonic() - began, os.getloadavg()[0]
    return report


def chosen(options: argparse.Namespace) -> Sizes:
    """The sizes with what the command line changes."""
    sizes = QUICK if options.quick else Sizes()
    if options.events:
        sizes = replace(sizes, j1_events=(options.events,), full_events=options.events)
    if options.customers:
        sizes = replace(sizes, lives=(options.customers,))
    if options.engine:
        sizes = replace(sizes, engines=tuple(options.engine))
    given = {name: value for name in ("customers", "runs") if (value := getattr(options, name))}
    return replace(sizes, **given)


if __name__ == "__main__":
    main()
