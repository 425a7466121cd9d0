"""Long runs by hand: python -m tests.chaos NAME SEED [SECONDS], with TIDEGAUGE_BOOTSTRAP_SERVERS set.

`broker` also needs CHAOS_BROKER_RESTART, a command that kills the broker with -9 and starts it again.
"""

import os
import subprocess
import sys

from tests.chaos.faults import FAULTS
from tests.chaos.run import Run


def main(name: str, seed: str = "1", seconds: str = "") -> None:
    """Run one fault; an AssertionError says what differs."""
    print(name, "seed", seed, flush=True)
    more = {"seconds": float(seconds)} if seconds else {}
    if name == "broker":
        command = os.environ["CHAOS_BROKER_RESTART"]
        more["restart"] = lambda: subprocess.run(command, shell=True, check=True)
    with Run(
        os.environ["TIDEGAUGE_BOOTSTRAP_SERVERS"], name, int(seed), say=lambda *text: print(*text, flush=True)
    ) as run:
        FAULTS[name](run, **more)


if __name__ == "__main__":
    main(*sys.argv[1:])
