"""What takes the room of a customer's state: rows of one kind each, in memory and in the changelog.

`python -m bench.cases.state`. A world goes through the standing job from memory, as in bench.parts.profile, with a close
behind every day. It is looked at three times: with every posting held one by one, after a month of closes without one, and
when only sums of days are left; each time beside the same bank with a pack without cases.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np

from agents.engine.record_batches import Packed
from agents.standing.model import ROW_KEYS, RowKey
from bench.cases.close import without_cases
from bench.measure.arena import Arena
from bench.measure.report import Report, Table, warn
from bench.measure.timers import Stages
from bench.parts import profile
from bench.world.data import ACCOUNT_WIDTH, CLOSED, FIRST, World
from bench.world.sizes import Sizes
from policies import load_pack
from policies.model.pack import Pack
from streams.accounts.store import (
    BREAK,
    DELTA,
    FLOW,
    JOURNAL,
    LATE,
    POSTING,
    SIZE_CLASSES,
    SNAPSHOT,
    piece,
)

CUSTOMERS, EACH = 10_000, 40  # postings of a customer with two accounts
LATER_DAYS = 60  # of closes without a posting
ENTRY_KINDS = {
    POSTING: "postings", DELTA: "days of value", SNAPSHOT: "snapshots", LATE: "late values", JOURNAL: "holes of journals",
    BREAK: "breaks", FLOW: "days of flow",
}  # fmt: skip
_KEY_NAMES = {key: name for name, key in ROW_KEYS.items()}


class StateBench(profile.Bench):
    """The job of a profile, whose rows are counted as a compacted changelog would keep them."""

    def __init__(self, world: World, pack: Pack) -> None:
        super().__init__(world, Stages(), pack)
        self.kept: dict[bytes, int] = {}  # bytes of the last row of each key, with the key

    def note(self, rows: Any) -> None:
        """Remembers how long rows are, later ones over earlier ones."""
        for item in rows:
            for key, value in item.pairs() if isinstance(item, Packed) else [item]:
                self.kept[key] = len(key) + len(value or b"")

    def by_kind(self) -> Counter[str]:
        """Bytes of rows, by what they hold; those of accounts as if all were written now, after a flush."""
        found = Counter[str]()
        for key, size in self.kept.items():
            found[_KEY_NAMES[key[:1]]] += size
        found[_KEY_NAMES[RowKey.ACCOUNT]] = 0
        for job in self.jobs:
            slots = np.arange(job.ledger.columns.account_count)
            found[_KEY_NAMES[RowKey.ACCOUNT]] += len(job.ledger.encode(slots)[0]) + len(slots) * (1 + ACCOUNT_WIDTH)
        return found


def in_memory(jobs: list[Any]) -> Counter[str]:
    """Bytes of the columns in use by what they hold, the hash tables whole."""
    found = Counter[str]()
    for job in jobs:
        store, columns = job.ledger.store, job.ledger.columns
        accounts = store.accounts[: columns.account_count]
        found["accounts"] += accounts.nbytes
        found["customers"] += columns.customer_count * store.customers.itemsize
        size = store.entries.itemsize
        for kind, count in entries_by_kind(store, accounts).items():
            found[f"entries: {ENTRY_KINDS[kind]}"] += count * size
        room = sum(piece(int(size_class)) for size_class in accounts["size_class"] if size_class >= 0)
        free = sum(count * piece(size_class) for size_class, count in enumerate(free_pieces(store)))
        found["entries: room in pieces"] += (room - int(accounts["count"].sum())) * size
        found["entries: free pieces"] += free * size
        assert room + free == int(store.heap[0]), "pieces that nobody has"
        for ids in (store.account_ids, store.customer_ids):
            found["ids"] += int(ids.meta[0]) * ids.ref.itemsize + int(ids.meta[1])
            found["hash tables"] += ids.table.nbytes + ids.tag.nbytes
        found["whose cases want a look"] += job.ledger.watch.nbytes
        found["cases"] += job.decider.cases.nbytes
    return found


def entries_by_kind(store: Any, accounts: Any) -> Counter[int]:
    """How many entries there are of each kind."""
    found = Counter[int]()
    for account in accounts[accounts["count"] > 0]:
        kinds, counts = np.unique(
            store.entries["kind"][account["head"] : account["head"] + account["count"]], return_counts=True
        )
        found.update(dict(zip(kinds.tolist(), counts.tolist(), strict=True)))
    return found


def free_pieces(store: Any) -> Iterator[int]:
    """How many pieces of each size are free."""
    for size_class in range(SIZE_CLASSES):
        count, at = 0, int(store.heap[1 + size_class])
        while at >= 0:
            count, at = count + 1, int(store.entries["booked"][at])
        yield count


def looked_at(customers: int, pack: Pack) -> Iterator[tuple[str, Counter[str], Counter[str]]]:
    """(when, bytes in memory, bytes of rows) of the whole world, at each of the three times."""
    world = World(customers, customers * EACH)
    bench = StateBench(world, pack)
    starts = [0] * world.partitions
    for fetch in profile.fetches(world, world.prelude(), starts):
        bench.feed(fetch)
    bench.flush()
    bench.close(CLOSED)
    starts = [start + 1 for start in starts]
    day = CLOSED
    for fetch in profile.fetches(world, world.postings(), starts, True):
        if fetch.count:
            bench.feed(fetch)
        else:
            bench.close(day := fetch.at)
    bench.flush()
    yield "all held", in_memory(bench.jobs), bench.by_kind()
    for until in (FIRST + 2 * world.days, FIRST + 2 * world.days + LATER_DAYS):
        while day < until:
            day += 1
            bench.close(day)
        bench.flush()
        yield f"{until - FIRST - world.days + 1} days on", in_memory(bench.jobs), bench.by_kind()


def tables(customers: int, pack: Pack) -> list[Table]:
    """Bytes a customer, one table for memory and one for rows, of a pack and of the same without cases."""
    found, before = list(looked_at(customers, pack)), list(looked_at(customers, without_cases(pack)))
    out = []
    for title, at in (("in memory", 1), ("in rows of the changelog, keys and all", 2)):
        whens = [head for when, *_ in found for head in (when, "without cases")]
        table = Table(
            f"State of a customer with two accounts and {EACH} postings, bytes {title}, of {customers:,}:",
            ("what", *whens),
        )
        columns: list[Counter[str]] = [one[at] for two in zip(found, before, strict=True) for one in two]  # type: ignore[misc]
        for name in sorted({name for column in columns for name in column}, key=lambda name: -columns[0][name]):
            table.rows.append((name, *(f"{column[name] / customers:,.0f}" for column in columns)))
        table.rows.append(("all", *(f"{column.total() / customers:,.0f}" for column in columns)))
        out.append(table)
    return out


def part(_arena: Arena, sizes: Sizes, report: Report) -> None:
    """Both tables."""
    report.tables += tables(min(sizes.customers, CUSTOMERS), load_pack("rolling-quarter-aum"))


def main() -> None:
    """`python -m bench.cases.state --customers 10000`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--customers", type=int, default=CUSTOMERS)
    parser.add_argument("--pack", default="rolling-quarter-aum", help="a pack that ships, or a YAML file")
    options = parser.parse_args()
    for table in tables(options.customers, load_pack(options.pack)):
        warn(table.title)
        for row in [table.header, *table.rows]:
            print(f"{row[0]:32}" + "".join(f"{cell:>16}" for cell in row[1:]), flush=True)


if __name__ == "__main__":
    main()
