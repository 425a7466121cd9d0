"""What was recorded comes out again: from the beginning, and from a recovery at several points."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.golden.engine import MARK_KEY, Log, Worker, decode_one, encode, every_row, upgraded
from tests.golden.formats import KINDS, NEVER, kind_of, misfits, parts
from tests.golden.recording import FILE, FILES, REVERSALS, Recording
from tests.golden.replay import Lived, from_empty, meant, of_today, onwards, unlike

RECORDED, TAKEN_BACK = Recording.read(FILE), Recording.read(REVERSALS)
TODAY = {"plain": RECORDED, "reversals": TAKEN_BACK}
CUTS = [(name, cut) for name, found in TODAY.items() for cut in sorted(found.states)]
OLDER = [number for number in FILES if number < max(FILES)]
UPGRADE_BYTES = 2000  # of a transaction of an upgrade: some dozens of them
# Written by no event: the ledger's rows, which are as old as the last flush, and the fence's meta.
LAZY = (b"a", b"n", b"@")


@pytest.fixture(scope="module")
def lived() -> Lived:
    """Today's program over the whole input."""
    return from_empty(RECORDED)


@pytest.mark.slow
def test_from_the_beginning(lived: Lived) -> None:
    """Every output and every changelog row, byte for byte and in order."""
    assert lived.differences == []


@pytest.mark.slow
def test_reversals_from_the_beginning() -> None:
    """The same of the other recording."""
    assert from_empty(TAKEN_BACK).differences == []


@pytest.mark.slow
def test_formats_of_rows(lived: Lived) -> None:
    """Rows recorded and rows written now are those of the table, and there is no part of it that none has."""
    recorded = [row for rows in RECORDED.changelog(len(RECORDED.steps)) for row in rows]
    for rows in (recorded, lived.rows):
        seen, wrong = set[str](), list[str]()
        for key, value in rows:
            name, kind = kind_of(key), KINDS[kind_of(key)]
            assert bool(key[len(name) :]) == bool(kind.key), f"{key!r} is no key of {kind.key or 'one row alone'}"
            wrong += misfits(kind.read(value or b""), kind.form, name.decode(), seen)
        assert wrong[:5] == []
        known = {place for name, kind in KINDS.items() for place in parts(kind.form, name.decode())}
        assert sorted(known - seen) == sorted(NEVER)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "cut"), CUTS)
def test_recovered(name: str, cut: int) -> None:
    """The engine's own recovery from the rows up to a cut: the same state as rows, and the same from there on."""
    found = TODAY[name]
    log, changelog, state = Log(found.inputs), found.changelog(cut), found.states[cut]
    worker, other = (Worker.recovered(found.settings, log, changelog) for _ in range(2))
    assert unlike("state", meant(every_row(other.job)), meant(state)) == []
    assert worker.positions() == found.steps[cut].positions
    assert onwards(found, cut, worker) == []


def counting(job: Any) -> dict[bytes, Any]:
    """The rows of a job; of each day's rates that which counts, since fences of before told no other."""
    return with_counting_rates(meant(every_row(job)))


def with_counting_rates(rows: dict[bytes, Any]) -> dict[bytes, Any]:
    """Rows whose fence tells of each currency and day the highest version alone."""
    meta = json.loads(rows[b"@fence"])
    highest = {(rate[0], rate[1]): rate for rate in sorted(meta["rates"], key=lambda rate: (rate[3], rate[4]))}
    return {**rows, b"@fence": json.dumps(meta | {"rates": sorted(highest.values())})}


def with_known_acts(found: Recording) -> Recording:
    """Acts of a kind that nobody knows as notes: a worker of that time refused them and did not remember that it had."""
    records = [(key, decode_one(value)) for key, value in found.inputs["crm-actions"] if key != MARK_KEY]
    acts = iter(
        [(key, encode("crm-actions", act | {"action": act["action"].replace("dance", "note")})) for key, act in records]
    )
    found.inputs["crm-actions"] = [pair if pair[0] == MARK_KEY else next(acts) for pair in found.inputs["crm-actions"]]
    return found


@pytest.mark.slow
@pytest.mark.parametrize("number", OLDER)
def test_upgraded(number: int) -> None:
    """From an older format: the state of a job that has lived it all, the same from there on, and again from what was written.

    The upgrade is cut short in its middle, and what was written after the mark alone is enough in the end.
    """
    older = with_known_acts(Recording.read(FILES[number]))
    log, settings, cuts = Log(older.inputs), older.settings, sorted(older.states)[::5]
    wanted = of_today(older, cuts)
    for cut in cuts:
        changelog, state = older.changelog(cut), with_counting_rates(meant(wanted.states[cut]))
        assert unlike("state", counting(Worker.recovered(settings, log, changelog).job), state) == []
        whole = upgraded(settings, log, changelog, UPGRADE_BYTES)
        torn = [*changelog, *whole[: len(whole) // 2]]
        assert unlike("torn", counting(Worker.recovered(settings, log, torn).job), state) == []
        rest = upgraded(settings, log, torn, UPGRADE_BYTES)
        assert len(whole) > len(rest) + 1 > 2
        alone = [*whole[: len(whole) // 2], *rest]
        assert alone[0][0] == (b"@format-3", b"3")
        worker, other = (Worker.recovered(settings, log, alone) for _ in range(2))
        assert unlike("alone", counting(other.job), state) == []
        assert worker.positions() == older.steps[cut].positions
        assert onwards(wanted, cut, worker) == []


@pytest.mark.parametrize("cut", sorted(RECORDED.states))
def test_the_state_is_what_the_changelog_says(cut: int) -> None:
    """Each row that stands in the changelog is in the state as it stands there.

    But for a state that says nothing: the tier alone moves with the customer's row, and the state's row stays as it was.
    """
    state = RECORDED.states[cut]
    rows = {key: value for key, value in RECORDED.compacted(cut).items() if key[:1] not in LAZY}
    rows = {key: value for key, value in rows.items() if key[:1] != b"l" or not trivial(json.loads(value))}
    assert {key[:1] for key in rows} >= {b"c", b"d", b"f", b"l", b"o", b"p", b"t", b"w", b"y"}
    assert unlike("row", {key: state.get(key) for key in rows}, rows) == []


def trivial(state: dict[str, Any]) -> bool:
    """Whether a state is that of the tier alone."""
    return state["official"] == state["measured"] and state.keys() == {"official", "measured", "records", "beside"}
