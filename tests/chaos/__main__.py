"""Long runs by hand: python -m tests.chaos NAME SEED [SECONDS]; prints the seed, and fails when anything differs.

Starts a broker of its own; with TIDEGAUGE_BOOTSTRAP_SERVERS it uses that one, and can't run `broker`, which kills it.
"""

import os
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

from deploy.settings import Settings
from deploy.stack import Stack
from tests.chaos.faults import FAULTS
from tests.chaos.run import Run


def main(name: str, seed: str = "1", seconds: str = "") -> None:
    """Run one fault."""
    print(name, "seed", seed, flush=True)
    more: dict[str, object] = {"seconds": float(seconds)} if seconds else {}
    with ExitStack() as ends:
        servers = os.environ.get("TIDEGAUGE_BOOTSTRAP_SERVERS", "") if name != "broker" else ""
        if not servers:
            folder = Path(ends.enter_context(tempfile.TemporaryDirectory()))
            settings = Settings(kafka_heap_mb=512, bootstrap_servers="")
            stack = Stack(folder, settings, with_redis=False, with_topics=False, any_ports=True, tether=True)
            servers = ends.enter_context(stack).bootstrap_servers
            if name == "broker":
                more["restart"] = lambda: (stack.kill_broker(), stack.start_broker())
        run = ends.enter_context(Run(servers, name, int(seed), say=lambda *text: print(*text, flush=True)))
        FAULTS[name](run, **more)


if __name__ == "__main__":
    main(*sys.argv[1:])
