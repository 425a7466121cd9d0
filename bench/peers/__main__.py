"""`python -m bench.peers NAME`: one peer once, on a broker and a topic of its own, its result checked.

The same as `python -m bench --only j1 --engine NAME --runs 1` without our engine beside it.
"""

from __future__ import annotations

import argparse

from bench.measure import j1_run
from bench.measure.arena import Arena
from bench.measure.report import Engine
from bench.peers.peer import PEERS
from bench.world.sizes import MILLION


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(prog="python -m bench.peers", description=__doc__)
    parser.add_argument("name", choices=PEERS)
    parser.add_argument("--events", type=int, default=MILLION)
    options = parser.parse_args()
    peer = PEERS[options.name]
    with Arena() as arena:
        timing = j1_run.other(arena, j1_run.load(arena, options.events), peer, options.name)
    Engine("J1", peer.title).note_run(timing)


if __name__ == "__main__":
    main()
