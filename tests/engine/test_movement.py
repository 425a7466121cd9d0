"""Movement of inputs with a made clock: what waits, since when, and when a worker is not ready."""

from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.engine.watch.movement import MARKS_MAX, REASONS_MAX, STUCK_S, InputSeen, Movement

POSTINGS, BALANCES = "transactions", "balances"


@dataclass
class Clock:
    """A worker's looks, a second apart, at inputs of which only what is said changes."""

    now: float = 1000.0
    answers: int = 0
    movement: Movement = field(default_factory=Movement)
    seen: dict[str, InputSeen] = field(default_factory=dict)

    def look(
        self, seconds: int = 1, *, working: bool = False, silent: bool = False, **inputs: tuple[int, int, int, int]
    ) -> str:
        """So many looks; inputs: position, read, high, stable. Gives what is wrong at the last."""
        for _ in range(seconds):
            self.now += 1
            self.answers += not silent
            self.seen |= {name: InputSeen(*given, self.answers) for name, given in inputs.items()}
            self.seen = {name: seen._replace(answered=self.answers) for name, seen in self.seen.items()}
            self.movement.look(self.now, 0, self.seen, working=working)
        return self.movement.trouble(self.now)

    def report(self, topic: str = POSTINGS):
        """How an input stands."""
        return next(report for name, _, report in self.movement.reports(self.now) if name == topic)


def test_nothing_waits() -> None:
    """A worker that has read everything is ready, however long nothing comes."""
    clock = Clock()
    assert clock.look(1000, transactions=(7, 7, 7, 7)) == ""
    assert clock.report() == (0, 0.0, 0.0, None, 0.0)


def test_an_open_transaction_is_named() -> None:
    """Everything up to the last stable offset is read, and still something waits: its place, its offset, how long."""
    clock = Clock()
    clock.look(1, transactions=(7, 7, 7, 7))
    clock.look(1, transactions=(7, 7, 10, 7))
    assert clock.look(int(STUCK_S) - 1) == ""
    assert clock.look(1) == (
        "transactions/0: a producer has left a transaction open at offset 7, "
        "nothing behind it can be read; 3 offsets have waited for 30 s"
    )
    assert clock.report() == (3, 30.0, 30.0, 7, 30.0)
    assert clock.look(1, transactions=(10, 10, 10, 10)) == ""
    assert clock.report() == (0, 0.0, 0.0, None, 0.0)


def test_the_cause_is_said_first() -> None:
    """An open transaction holds up the close, and with it every other input: the reason stands first."""
    clock, others = Clock(), ("balances", "business-days", "crm-actions", "customers", "facts")
    assert len(others) > REASONS_MAX
    clock.look(1, transactions=(7, 7, 7, 7), **dict.fromkeys(others, (7, 7, 7, 7)))
    said = clock.look(int(STUCK_S) + 1, transactions=(7, 7, 10, 7), **dict.fromkeys(others, (7, 9, 9, 9)))
    assert said.startswith("transactions/0: a producer has left a transaction open at offset 7")
    assert "and 3 more inputs" in said


def test_producers_that_commit_are_no_trouble() -> None:
    """At every look a transaction is open, and never the same one."""
    clock = Clock()
    for at in range(100):
        assert clock.look(1, transactions=(at, at, at + 5, at)) == ""
        assert clock.report().open_s == 0.0


def test_one_input_stands_while_others_move() -> None:
    """Postings that nobody can read are not made good by balances that go on."""
    clock = Clock()
    for at in range(29):
        assert clock.look(1, transactions=(7, 7, 10, 7), balances=(at, at, at + 1, at + 1)) == ""
    assert "transactions/0" in clock.look(2, balances=(40, 40, 41, 41))
    assert "balances" not in clock.look(1, balances=(41, 41, 42, 42))


def test_a_close_mark_holds_an_input_for_the_others() -> None:
    """What the job holds back is in turn as long as another input moves; when none does, it is stuck."""
    clock = Clock()
    for at in range(100):
        assert clock.look(1, transactions=(7, 20, 20, 20), balances=(at, at + 1, 300, 300)) == ""
    said = clock.look(30)
    assert "transactions/0: 13 offsets wait, and nothing has moved for 30 s" in said
    assert "balances/0: 201 offsets wait" in said


def test_a_close_may_take_its_time() -> None:
    """While the job computes nothing moves; afterwards it has its thirty seconds."""
    clock = Clock()
    assert clock.look(600, working=True, transactions=(7, 20, 20, 20)) == ""
    assert clock.look(29) == ""
    assert clock.look(1) != ""


def test_brokers_that_do_not_answer() -> None:
    """Nothing is known to wait, as nobody says; but an input that is full is not asked for."""
    clock = Clock()
    clock.look(1, transactions=(7, 7, 7, 7))
    assert clock.look(29, silent=True) == ""
    assert clock.look(1, silent=True) == "transactions/0: the brokers have answered no fetch for 30 s"
    assert clock.look(1) == ""
    full = Clock()
    for at in range(100):
        assert full.look(1, silent=True, transactions=(at, 900, 1000, 1000)) == ""


def test_a_rebalance_makes_nothing_forgotten() -> None:
    """The client forgets the watermarks with every assignment; what waited goes on waiting."""
    clock = Clock()
    clock.look(1, transactions=(7, 7, 7, 7))
    clock.look(20, transactions=(7, 7, 10, 7))
    clock.seen[POSTINGS] = InputSeen(7, 7, None, None, None)
    clock.look(5)
    assert clock.report().waiting == 3
    assert "offset 7" in clock.look(6)


def test_another_worker_has_it_now() -> None:
    """A partition that went is no longer told of."""
    clock = Clock()
    clock.look(40, transactions=(7, 7, 10, 7))
    assert clock.movement.trouble(clock.now)
    clock.movement.forget(0)
    assert clock.movement.trouble(clock.now) == ""
    assert list(clock.movement.reports(clock.now)) == []


def test_the_age_of_a_backlog_is_asked_for() -> None:
    """What was there before the worker looked is as old as the brokers say; what came later as long as it was seen."""
    clock = Clock()
    clock.look(1, transactions=(7, 7, 10, 7))
    assert clock.movement.unknown_ages() == [(POSTINGS, 0, 7)]
    clock.movement.told(clock.now, POSTINGS, 0, 3600.0)
    clock.look(10)
    assert clock.report().oldest_s == 3610.0
    clock.look(1, transactions=(7, 7, 20, 7))
    clock.look(5, transactions=(10, 10, 20, 10))
    assert clock.movement.unknown_ages() == []
    assert clock.report().oldest_s == 5.0


def test_many_are_counted() -> None:
    """The line stays short, whatever the number of partitions."""
    movement = Movement()
    for partition in range(10):
        for now in (0.0, 40.0):
            movement.look(now, partition, {POSTINGS: InputSeen(1, 1, 5, 5, int(now))}, working=False)
    said = movement.trouble(40.0)
    assert said.count("offsets wait") == REASONS_MAX
    assert said.endswith("and 7 more inputs")


@given(
    st.lists(
        st.tuples(st.integers(0, 3), st.integers(0, 3), st.integers(0, 2), st.booleans()), min_size=1, max_size=200
    )
)
def test_against_a_plain_history(steps: list[tuple[int, int, int, bool]]) -> None:
    """The same as a list of all looks says: not ready after 30 s in which something waited and the position stood."""
    clock, position, high, told = Clock(), 0, 0, []
    for more, counted, slow, working in steps:
        high += more
        position = min(high, position + (0 if slow else counted))
        clock.now += 6  # fewer looks for the same time
        clock.answers += 1
        clock.movement.look(
            clock.now, 0, {POSTINGS: InputSeen(position, position, high, high, clock.answers)}, working=working
        )
        told.append((clock.now, position, high, working))
        stood = next(
            (
                at
                for (at, now_at, _, worked), (_, was_at, top, _) in zip(told[:0:-1], told[-2::-1], strict=True)
                if worked or now_at != was_at or top <= was_at
            ),
            told[0][0],
        )
        assert bool(clock.movement.trouble(clock.now)) == (high > position and clock.now - stood >= STUCK_S)
        report = clock.report()
        assert report.waiting == high - position
        came = next((at for at, _, top, _ in told if top > position), clock.now)
        if report.waiting and told[0][2] <= position:  # no backlog
            assert report.oldest_s <= clock.now - came + 1e-9
            if len({top for _, _, top, _ in told}) <= MARKS_MAX:
                assert report.oldest_s == pytest.approx(clock.now - came)
