"""The history of a chaos run, and the checker that looks for what must not be in it. No I/O: tests damage histories.

`wanted` is what each committed transaction had to publish, made again one transaction at a time from the log itself.
`committed` and `uncommitted` are what two independent readers found afterwards, `live` what one saw on the way.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

LOST, DOUBLED, REORDERED, UNCOMMITTED, TORN, DIFFERENT = (
    "lost", "doubled", "reordered", "read uncommitted", "torn", "different",
)  # fmt: skip
KINDS = (LOST, DOUBLED, REORDERED, UNCOMMITTED, TORN, DIFFERENT)
EXAMPLES_MAX = 5
STOPPED = "stopped too long"  # noted by a run, not by the checker
Place = tuple[str, int]  # topic, partition


class Output(NamedTuple):
    """A record of an output topic. `crc` is that of its value; `name` its event id, or "" where it has none."""

    topic: str
    partition: int
    key: bytes
    crc: int
    name: str = ""
    cause: str = ""  # the event that it names as its cause
    version: int = 0  # what must not go back within a key
    offset: int = -1
    transaction: int = -1  # of `wanted`: number within the partition


@dataclass
class History:
    """Everything that was recorded."""

    sent: dict[Place, dict[int, int]] = field(default_factory=dict)  # acknowledged: offset -> crc
    log: dict[Place, dict[int, int]] = field(default_factory=dict)  # the inputs as a committed reader has them
    withdrawn: set[str] = field(default_factory=set)  # events of source transactions that were aborted
    poison: set[tuple[str, int, int]] = field(default_factory=set)  # topic, partition, offset of damaged records
    wanted: list[Output] = field(default_factory=list)
    committed: list[Output] = field(default_factory=list)
    uncommitted: list[Output] = field(default_factory=list)
    live: list[Output] = field(default_factory=list)
    changelog: dict[int, dict[str, int]] = field(default_factory=dict)  # partition -> positions committed with the rows
    group: dict[int, dict[str, int]] = field(default_factory=dict)  # partition -> offsets committed for the group
    ends: dict[Place, int] = field(default_factory=dict)  # offset behind the last record of each input
    customers: list[str] = field(default_factory=list)  # differences from the oracle
    oddities: list[str] = field(default_factory=list)  # what the collection itself stumbled over

    @property
    def hidden(self) -> int:
        """Outputs of transactions that were aborted."""
        return len(self.uncommitted) - len(self.committed)


class Findings(dict[str, list[str]]):
    """Findings by kind."""

    def note(self, kind: str, text: str) -> None:
        """One more."""
        self.setdefault(kind, []).append(text)

    def __str__(self) -> str:
        parts = [f"{kind}: {len(found)}, e.g. {'; '.join(found[:EXAMPLES_MAX])}" for kind, found in self.items()]
        return " | ".join(parts) or "nothing"


def check(history: History) -> Findings:
    """Everything that is wrong with a history; empty: nothing."""
    found = Findings()
    _inputs(history, found)
    _positions(history, found)
    _outputs(history, found)
    _names(history, found)
    _versions(history, found)
    _visibility(history, found)
    _dead_letters(history, found)
    for text in history.customers:
        found.note(DIFFERENT, text)
    for text in history.oddities:
        found.note(TORN, text)
    return found


def _inputs(history: History, found: Findings) -> None:
    """Every acknowledged event is in the log where the broker said, as it was sent."""
    for place, sent in history.sent.items():
        log = history.log.get(place, {})
        for offset, crc in sent.items():
            if log.get(offset) != crc:
                text = "is gone" if offset not in log else "is another one"
                found.note(LOST, f"event acknowledged at {place[0]}/{place[1]}/{offset} {text}")


def _positions(history: History, found: Findings) -> None:
    """Offsets of group and changelog agree, and lie behind the last record."""
    for partition in history.changelog.keys() | history.group.keys():
        changelog, group = history.changelog.get(partition, {}), history.group.get(partition, {})
        for topic in changelog.keys() | group.keys():
            if changelog.get(topic) != group.get(topic):
                found.note(
                    TORN,
                    f"partition {partition}, {topic}: rows are of {changelog.get(topic)}, group offset {group.get(topic)}",
                )
    for (topic, partition), end in history.ends.items():
        if history.changelog.get(partition, {}).get(topic, 0) < end:
            reached = history.changelog.get(partition, {}).get(topic, 0)
            found.note(LOST, f"{topic}/{partition} was read up to {reached}, and has records up to {end}")


def _by_place(outputs: Iterable[Output]) -> dict[Place, list[Output]]:
    places: dict[Place, list[Output]] = defaultdict(list)
    for output in outputs:
        places[output.topic, output.partition].append(output)
    return places


def _outputs(history: History, found: Findings) -> None:
    """What is there is what each committed transaction had to give, once, and in order within each key."""
    wanted, got = _by_place(history.wanted), _by_place(history.committed)
    gone: dict[tuple[int, int], list[Output]] = defaultdict(list)
    there: Counter[tuple[int, int]] = Counter()
    for place in wanted.keys() | got.keys():
        want, have = wanted.get(place, []), got.get(place, [])
        counts = Counter((o.key, o.crc) for o in have)
        missing: list[Output] = []
        for output in want:
            if counts[output.key, output.crc] > 0:
                counts[output.key, output.crc] -= 1
                there[output.partition, output.transaction] += 1
            else:
                missing.append(output)
        _extra(place, want, have, counts, missing, found)
        for output in missing:
            gone[output.partition, output.transaction].append(output)
        if not missing and not +counts:
            _order(place, want, have, found)
    for (partition, number), outputs in gone.items():
        kind = TORN if there[partition, number] else LOST
        what = ", ".join(f"{o.topic} {o.name or o.key.decode(errors='replace')}" for o in outputs[:2])
        found.note(kind, f"transaction {number} of partition {partition} lacks {len(outputs)} outputs: {what}")


def _extra(
    place: Place, want: list[Output], have: list[Output], counts: Counter[tuple[bytes, int]], missing: list[Output],
    found: Findings,
) -> None:  # fmt: skip
    """Records that nobody asked for: a second time, with another content, or of no committed transaction at all."""
    if not +counts:
        return
    known, names = {(o.key, o.crc) for o in want}, {o.name: o for o in missing if o.name}
    left = +counts
    for output in reversed(have):
        if left[output.key, output.crc] <= 0:
            continue
        left[output.key, output.crc] -= 1
        text = f"{place[0]}/{place[1]}/{output.offset} {output.name or output.key.decode(errors='replace')}"
        if (output.key, output.crc) in known:
            found.note(DOUBLED, text)
        elif output.name and output.name in names:
            found.note(DIFFERENT, f"{text} has another content")
            missing.remove(names.pop(output.name))
        else:
            found.note(TORN, f"{text} stands in no transaction whose offsets are committed")


def _order(place: Place, want: list[Output], have: list[Output], found: Findings) -> None:
    """Within a key the records stand in the order of their causes."""
    orders = []
    for outputs in (want, have):
        by_key: dict[bytes, list[int]] = defaultdict(list)
        for output in outputs:
            by_key[output.key].append(output.crc)
        orders.append(by_key)
    for key, crcs in orders[0].items():
        if orders[1][key] != crcs:
            found.note(REORDERED, f"{place[0]}/{place[1]} key {key.decode(errors='replace')}")


def _names(history: History, found: Findings) -> None:
    """No event id twice, across all partitions."""
    counts = Counter((o.topic, o.name) for o in history.committed if o.name)
    for (topic, name), times in counts.items():
        if times > 1:
            found.note(DOUBLED, f"{topic} {name} is there {times} times")


def _versions(history: History, found: Findings) -> None:
    """Versions of a key never go back."""
    last: dict[tuple[str, bytes], int] = {}
    for output in history.committed:
        before = last.get((output.topic, output.key), output.version)
        if output.version < before:
            found.note(
                REORDERED,
                f"{output.topic} {output.key.decode(errors='replace')}: {output.version} comes after {before}",
            )
        last[output.topic, output.key] = output.version


def _visibility(history: History, found: Findings) -> None:
    """What a committed reader saw stays, and nothing was made of events that were withdrawn."""
    final = {(o.topic, o.partition, o.offset, o.crc) for o in history.committed}
    for output in history.live:
        if (output.topic, output.partition, output.offset, output.crc) not in final:
            found.note(UNCOMMITTED, f"{output.topic}/{output.partition}/{output.offset} was seen, and is not there now")
    for output in history.committed:
        if output.cause in history.withdrawn:
            found.note(UNCOMMITTED, f"{output.topic} {output.name} was caused by {output.cause}, which was withdrawn")


def _dead_letters(history: History, found: Findings) -> None:
    """Every damaged record is in dead-letters, and nothing else is."""
    names = {o.name for o in history.committed if o.topic == "dead-letters"}
    poison = {f"{topic}/{partition}/{offset}" for topic, partition, offset in history.poison}
    for name in poison - names:
        found.note(LOST, f"damaged record {name} is not in dead-letters")
    for name in names - poison:
        found.note(DIFFERENT, f"{name} is in dead-letters, and was not damaged")
