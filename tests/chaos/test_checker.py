"""The checker is checked: a good history passes, and one damaged on purpose is found out, whatever the damage."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from tests.chaos.history import (
    DIFFERENT,
    DOUBLED,
    LOST,
    REORDERED,
    TORN,
    UNCOMMITTED,
    History,
    Output,
    check,
)

SEEDS = range(1, 11)
PARTITIONS = 3
TOPICS = ("tier-changes", "rm-alerts", "standings", "queue-priority")


def good(seed: int) -> History:
    """A history of transactions with outputs in several topics, some of them aborted, all as it should be."""
    rng, history = random.Random(seed), History()
    for partition in range(PARTITIONS):
        offsets = dict.fromkeys((*TOPICS, "dead-letters"), 0)
        consumed = 0
        for number in range(30):
            aborted = rng.random() < 0.2
            for n in range(rng.randrange(2, 5)):
                topic = TOPICS[n % len(TOPICS)]
                key = b"C%d-%d" % (partition, rng.randrange(5))  # a key has one partition
                name = f"{topic}/{partition}/{number}/{n}" if topic in TOPICS[:2] else ""
                output = Output(topic, partition, key, rng.getrandbits(32), name, f"E{rng.randrange(99)}", number)
                output = output._replace(offset=offsets[topic], transaction=number)
                for again in range(1 + aborted):
                    put = output._replace(offset=offsets[topic])
                    offsets[topic] += 1
                    history.uncommitted.append(put)
                    if again == aborted:
                        history.committed.append(put)
                        history.live.append(put)
                        history.wanted.append(output._replace(offset=-1))
            for _ in range(rng.randrange(1, 5)):
                history.sent.setdefault(("transactions", partition), {})[consumed] = rng.getrandbits(32)
                consumed += 1
        name = f"transactions/{partition}/0"
        letter = Output("dead-letters", partition, b"x", 7, name, offset=0, transaction=0)
        history.poison.add(("transactions", partition, 0))
        for outputs in (history.wanted, history.committed, history.uncommitted, history.live):
            outputs.append(letter)
        history.ends["transactions", partition] = consumed
        history.changelog[partition] = {"transactions": consumed}
        history.group[partition] = {"transactions": consumed}
    history.log = {place: dict(sent) for place, sent in history.sent.items()}
    history.withdrawn = {"X1", "X2"}
    return history


def pick(rng: random.Random, history: History, *topics: str) -> int:
    """Index of a committed output."""
    return rng.choice([i for i, o in enumerate(history.committed) if not topics or o.topic in topics])


def lose_input(rng: random.Random, history: History) -> None:
    place = rng.choice(list(history.log))
    del history.log[place][rng.choice(list(history.log[place]))]


def stop_short(rng: random.Random, history: History) -> None:
    history.changelog[0]["transactions"] -= 1
    history.group[0]["transactions"] -= 1


def lose_transaction(rng: random.Random, history: History) -> None:
    target = history.committed[pick(rng, history, *TOPICS)]
    gone = {(o.topic, o.key, o.crc) for o in history.wanted if o[1] == target.partition and o[-1] == target.transaction}
    history.committed = [
        o for o in history.committed if (o.topic, o.key, o.crc) not in gone or o.partition != target.partition
    ]
    history.live = list(history.committed)


def lose_customer(rng: random.Random, history: History) -> None:
    history.customers.append("C1 aum: 1 instead of 2")


def lose_dead_letter(rng: random.Random, history: History) -> None:
    history.poison.add(("transactions", 1, 999))


def double_record(rng: random.Random, history: History) -> None:
    output = history.committed[pick(rng, history)]
    history.committed.append(output._replace(offset=10_000))


def double_name(rng: random.Random, history: History) -> None:
    """The same id in another partition, as if two workers had decided it."""
    output = history.committed[pick(rng, history, *TOPICS[:2])]
    moved = output._replace(partition=(output.partition + 1) % PARTITIONS, offset=10_000)
    history.committed.append(moved)
    history.wanted.append(moved)


def swap(rng: random.Random, history: History) -> None:
    """Two records of a key change places."""
    while True:
        at = pick(rng, history, "standings")
        first = history.committed[at]
        later = [
            i for i, o in enumerate(history.committed) if i > at and o[:3] == first[:3] and o.version > first.version
        ]
        if later:
            history.committed[at], history.committed[later[0]] = history.committed[later[0]], first
            return


def go_back(rng: random.Random, history: History) -> None:
    """A version that goes back, though the workers themselves meant it so."""
    place = history.committed[pick(rng, history, "queue-priority")]
    back = place._replace(version=-1, offset=10_000, crc=1)
    history.committed.append(back)
    history.wanted.append(back)


def see_aborted(rng: random.Random, history: History) -> None:
    """A committed reader saw a record that was aborted later."""
    final = {(o.topic, o.partition, o.offset) for o in history.committed}
    aborted = [o for o in history.uncommitted if (o.topic, o.partition, o.offset) not in final]
    history.live.append(rng.choice(aborted))


def consume_withdrawn(rng: random.Random, history: History) -> None:
    """An alert because of an event whose transaction was aborted."""
    at = pick(rng, history, "rm-alerts")
    history.committed[at] = history.committed[at]._replace(cause="X1")


def tear(rng: random.Random, history: History) -> None:
    """Half of a transaction's outputs are there."""
    at = pick(rng, history, *TOPICS[:2])
    del history.committed[at]
    history.live = list(history.committed)


def no_offsets(rng: random.Random, history: History) -> None:
    """Outputs whose offsets were never committed."""
    output = history.committed[pick(rng, history, *TOPICS[:2])]
    history.committed.append(output._replace(crc=output.crc ^ 1, name="another", offset=10_000))


def offsets_apart(rng: random.Random, history: History) -> None:
    """The group's offset and the rows are of different transactions."""
    history.group[rng.randrange(PARTITIONS)]["transactions"] -= 1


def alter(rng: random.Random, history: History) -> None:
    """The same id with another content."""
    at = pick(rng, history, *TOPICS[:2])
    history.committed[at] = history.committed[at]._replace(crc=history.committed[at].crc ^ 1)
    history.live = list(history.committed)


DAMAGES = [
    (lose_input, LOST), (stop_short, LOST), (lose_transaction, LOST), (lose_dead_letter, LOST), (double_record, DOUBLED),
    (double_name, DOUBLED), (swap, REORDERED), (go_back, REORDERED), (see_aborted, UNCOMMITTED),
    (consume_withdrawn, UNCOMMITTED), (tear, TORN), (no_offsets, TORN), (offsets_apart, TORN), (alter, DIFFERENT),
    (lose_customer, DIFFERENT),
]  # fmt: skip


@pytest.mark.parametrize("seed", SEEDS)
def test_a_good_history_passes(seed: int) -> None:
    """Nothing is found, aborted outputs included."""
    history = good(seed)
    assert not check(history)
    assert history.hidden > 0


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(("damage", "kind"), DAMAGES, ids=lambda x: x if isinstance(x, str) else x.__name__)
def test_damage_is_found(damage: Callable[[random.Random, History], None], kind: str, seed: int) -> None:
    """Each damage is found as what it is."""
    history = good(seed)
    damage(random.Random(seed), history)
    assert kind in check(history)
