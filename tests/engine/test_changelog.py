"""State formats of a changelog: any history of versions, upgrades cut short and compactions in between, and no row is misread."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.engine.changelog import FENCE, UPGRADE_MARK, Changelog, Fence, format_mark, rewriting, verdict
from agents.engine.job import RecoveryError, Rows, Upgrade

Row = tuple[bytes, bytes | None]
NEWEST = 4


UPGRADES = {
    1: Upgrade({}, lambda meta: meta + b"2"),
    2: Upgrade({b"n": lambda value: value + b"!"}, lambda meta: meta + b"3"),
    3: Upgrade({b"s": lambda value: value[::-1]}, lambda meta: meta + b"4"),
}


def told(state_format: int, name: int, value: int) -> list[Row]:
    """The rows of one thing that has changed, as a version writes them."""
    text = b"%03d" % value
    return [
        (b"n%d" % name, text + (b"!" if state_format > 2 else b"")),
        (b"s%d" % name, text[::-1] if state_format > 3 else text),
        (b"x%d" % name, text),
    ]


class Version:
    """What the changelog asks of a job; its state is its rows."""

    unmarked_format = 1

    def __init__(self, state_format: int, oldest: int = 1) -> None:
        self.state_format, self.state = state_format, dict[bytes, bytes | None]()
        self.upgrades = {n: one for n, one in UPGRADES.items() if oldest <= n < state_format}

    def load(self, rows: Rows) -> None:
        """Later rows over earlier ones."""
        self.state |= dict(rows)


def read(log: list[Row], version: Version, parts: int = 3) -> Changelog:
    """The whole log, in some blocks."""
    found = Changelog(version, "partition 0: topic t")  # type: ignore[arg-type]
    size = len(log) // parts + 1
    for at in range(0, len(log), size):
        found.take(Rows.of(log[at : at + size]))
    return found


def compacted(log: list[Row]) -> list[Row]:
    """The last row of each key, in its place."""
    last = {key: i for i, (key, _) in enumerate(log)}
    return [row for i, row in enumerate(log) if last[row[0]] == i]


class Partition:
    """A log that versions write to one after the other, and what must stand in it."""

    def __init__(self) -> None:
        self.log: list[Row] = []
        self.values: dict[int, int] = {}
        self.written = 0  # the newest format so far

    def start(self, version: int, transactions: int | None) -> None:
        """Recovery and, where there is something older, the rewriting: all of it or some transactions."""
        job = Version(version)
        found = read(self.log, job)
        if version < self.written:
            pytest.fail("an older version has read what a newer one wrote")
        fence = found.usable_fence()
        assert {key: value for key, value in job.state.items() if value is not None} == self.wanted(version)
        if fence is None:
            self.log.append(format_mark(version))
        elif fence.oldest is not None:
            assert fence.meta == b"meta" + b"".join(b"%d" % n for n in range(2, version + 1))
            every = list(rewriting(found, fence, {}, 0))
            for rows in every[:transactions]:
                self.log += rows
                self.written = version
            if transactions is not None and transactions < len(every):
                return
        else:
            assert found.marked
        self.written = version

    def write(self, changes: dict[int, int]) -> None:
        """A transaction of the version that wrote last, with a fence."""
        self.values |= changes
        for name, value in changes.items():
            self.log += told(self.written, name, value)
        meta = b"meta" + b"".join(b"%d" % n for n in range(2, self.written + 1))
        self.log.append((FENCE, Fence(self.written, {}, meta).encode()))

    def wanted(self, version: int) -> dict[bytes, bytes | None]:
        """The state as a version has it."""
        return dict(row for name, value in self.values.items() for row in told(version, name, value))


changes = st.dictionaries(st.integers(0, 9), st.integers(0, 999), max_size=5)


@pytest.mark.slow
@given(st.data())
def test_no_row_is_misread(data: st.DataObject) -> None:
    """Versions rise; each finds the state of before, however far an earlier upgrade came and whatever was compacted."""
    partition, version = Partition(), data.draw(st.integers(1, NEWEST))
    for _ in range(data.draw(st.integers(1, 8))):
        version = data.draw(st.integers(version, NEWEST))
        cut = data.draw(st.none() | st.integers(0, 4), label="transactions before a crash")
        partition.start(version, cut)
        if cut is None:
            partition.write(data.draw(changes))
        elif data.draw(st.booleans()):
            partition.start(version, None)
        if data.draw(st.booleans()):
            partition.log = compacted(partition.log)
        version = max(version, partition.written)
    partition.start(version, None)
    if partition.written == NEWEST:  # nothing old is left that counts: who no longer reads it finds everything
        if not partition.log or all(key != FENCE for key, _ in partition.log):
            return
        alone = Version(NEWEST, oldest=NEWEST)
        fence = read(partition.log, alone).usable_fence()
        assert fence is not None
        assert fence.oldest is None
        assert alone.state == partition.wanted(NEWEST)


@pytest.mark.parametrize("cut", [1, 2, None])
def test_an_older_version_refuses_from_the_first_transaction_of_an_upgrade_on(cut: int | None) -> None:
    """Also where the upgrade was cut short, and before it reads any newer row."""
    partition = Partition()
    partition.start(2, None)
    partition.write({1: 10, 2: 20, 3: 30})
    partition.start(3, cut)
    with pytest.raises(
        RecoveryError, match=r"^partition 0: topic t was written by a newer version \(state format 3, .* 1 and 2\)"
    ):
        read(partition.log, Version(2))
    released = [row for row in partition.log if not row[0].startswith(UPGRADE_MARK)]  # a version that knows of no marks
    with pytest.raises(RecoveryError, match="newer version"):
        read(released, Version(2)).usable_fence()


def test_what_is_no_longer_read_is_refused() -> None:
    """With what to do."""
    partition = Partition()
    partition.start(1, None)
    partition.write({1: 10})
    with pytest.raises(
        RecoveryError, match="has state format 1, and this version reads 3 and 4: start a version in between"
    ):
        read(partition.log, Version(4, oldest=3)).usable_fence()


def test_verdicts() -> None:
    """What `tidegauge doctor` says."""

    def of(fence: Fence, version: int) -> tuple[bool, str]:
        return verdict(Version(version, oldest=2), fence)  # type: ignore[arg-type]

    assert of(Fence(3, {}, b""), 3) == (True, "reads state format 3 as it is")
    assert of(Fence(2, {}, b""), 3) == (True, "upgrades state format 2 to 3 at the start")
    assert of(Fence(3, {}, b"", oldest=2), 3) == (True, "upgrades state format 2 to 3 at the start")
    assert of(Fence(4, {}, b""), 3)[0] is of(Fence(1, {}, b""), 3)[0] is False


def test_a_fence_of_an_upgrade_survives_its_encoding() -> None:
    """With the oldest format and without."""
    for fence in (Fence(3, {"a": 1}, b"m\nn", oldest=2), Fence(3, {}, b"")):
        assert Fence.decode(fence.encode()) == fence
