"""Chaos on the real stack: python -m tests.chaos [SCENARIO [SEED]] [--customers N] [--short] [--secure] [--write].

Without a scenario all of them run, each with its seed, and a table is printed; `--write` puts it into
docs/guarantees.md. Ends with 1 when anything was found. `engine-NAME` runs a fault of tests/chaos/faults.py: the engine
alone, under the small job of its own tests. `--secure`: with TLS, a user and the least rights for each process.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
import traceback
from pathlib import Path

from tests.chaos import table
from tests.chaos.brokers import ChaosStack
from tests.chaos.faults import FAULTS
from tests.chaos.given import Given
from tests.chaos.history import TORN, Findings
from tests.chaos.run import Run
from tests.chaos.scenarios import SCENARIOS
from tests.chaos.system import Result

SECURED = ("plain", "kill", "zombie", "scale", "broker-kill", "poison", "duplicates", "late")
ENGINE = {f"engine-{name}": fault for name, fault in FAULTS.items()}


def main(arguments: list[str] | None = None) -> int:
    """Run what was asked for; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("scenario", nargs="?", choices=["all", *SCENARIOS, *ENGINE], default="all")
    parser.add_argument("seed", nargs="?", type=int, default=1)
    parser.add_argument("--customers", type=int, default=0, help="instead of the scenario's own number")
    parser.add_argument("--short", action="store_true", help="as in make test")
    parser.add_argument("--secure", action="store_true", help=f"on a secured stack: {', '.join(SECURED)}")
    parser.add_argument("--write", action="store_true", help="its lines of the table into docs/guarantees.md")
    parser.add_argument("--quiet", action="store_true", help="the table only")
    asked = parser.parse_args(arguments)
    names = list(SECURED if asked.secure else SCENARIOS) if asked.scenario == "all" else [asked.scenario]
    if asked.secure and not set(names) <= set(SECURED):
        parser.error(f"--secure is for {', '.join(SECURED)}")
    results, began = [], time.monotonic()
    with (
        tempfile.TemporaryDirectory(prefix="tidegauge-chaos-") as folder,
        ChaosStack(Path(folder), secure=asked.secure) as stack,
    ):
        for name in names:
            say = (lambda _: None) if asked.quiet else (lambda text: print("   ", text, flush=True))
            print(f"{name} {asked.seed}: {(SCENARIOS | ENGINE)[name].__doc__}", flush=True)
            results.append(run(name, Given(stack, asked.seed, asked.customers, asked.short, say)))
            if asked.secure:
                results[-1].scenario += table.SECURE
            if asked.write and name in SCENARIOS:
                table.write(results[-1:])
            print(f"    {'as it should be' if results[-1].good else results[-1].findings}", flush=True)
    print("\n" + table.text(results, time.monotonic() - began))
    return 0 if all(result.good for result in results) else 1


def run(name: str, given: Given) -> Result:
    """One scenario; whatever goes wrong is a finding."""
    try:
        return engine(name, given) if name in ENGINE else SCENARIOS[name](given)
    except Exception as problem:
        traceback.print_exc()
        found = Findings()
        found.note(TORN, f"the run itself failed: {problem!r}"[:600])
        return Result(name, given.seed, findings=found)


def engine(name: str, given: Given) -> Result:
    """A fault on the engine alone; raises AssertionError when anything differs."""
    stack, more = given.stack, {}
    if name == "engine-broker":
        more["restart"] = lambda: (stack.kill_broker(), stack.start_broker())
    with Run(stack.bootstrap_servers, name, given.seed, say=lambda *text: given.say(" ".join(map(str, text)))) as run:
        ENGINE[name](run, **more)
        return Result(name, given.seed, events=run.fed)


if __name__ == "__main__":
    sys.exit(main())
