"""One person is accountable: never one who is away or outside the line, whatever the lists say (docs/alerts.md#owners)."""

import datetime as dt
from itertools import product
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies import available_packs, load_pack
from services.access.decision import HEAD_OFFICE, PEOPLE, Role
from services.staff.gaps import owners_of
from services.staff.responsibility import (
    LINE,
    LINE_ROLES,
    Accountable,
    Charge,
    accountable,
    duties_of,
    responsible_line,
)
from services.staff.roster import Roster, new_roster

DAY = dt.date(2026, 3, 2)
UNITS = ("hq", "hq/east", "hq/east/0102", "hq/east/0103", "hq/west")
STAFF = (
    ("r7", "rm", "hq/east/0102"), ("r8", "rm", "hq/east/0102"), ("s1", "section_head", "hq/east/0102"),
    ("b1", "branch_manager", "hq/east/0102"), ("p1", "president", "hq/east"), ("r9", "rm", "hq/east/0103"),
    ("c1", "compliance", "hq"),
)  # fmt: skip
BRANCH = "east/0102"


def roster(*away: tuple[str, str | None], units: Any = UNITS, staff: Any = STAFF) -> Roster:
    return new_roster(DAY, units, staff, [(name, DAY, DAY, substitute) for name, substitute in away])


def person(charge: Charge, known: Roster) -> tuple[str, str, str | None]:
    found = accountable(charge, known)
    assert found is not None
    return found.staff_id, found.reason, found.instead_of


@pytest.mark.parametrize(
    ("charge", "away", "wanted"),
    [
        (Charge(BRANCH, "r7"), (), ("r7", "manager", None)),
        (Charge(BRANCH, "r7"), [("r7", "r8")], ("r8", "manager", "r7")),
        (Charge(BRANCH, "r7"), [("r7", "r8"), ("r8", "r9")], ("s1", "section_head", None)),
        (Charge(BRANCH, "r7"), [("r7", None), ("s1", None)], ("b1", "branch_manager", None)),
        (Charge(BRANCH, "r7"), [("r7", None), ("s1", None), ("b1", None)], ("p1", "president", None)),
        (Charge(BRANCH, None), (), ("s1", "section_head", None)),
        (Charge(BRANCH, "gone"), (), ("s1", "section_head", None)),
        (Charge(BRANCH, "c1"), (), ("s1", "section_head", None)),
        (Charge(BRANCH, "r9"), (), ("s1", "section_head", None)),
        (Charge(BRANCH, "r7", "section-head"), (), ("s1", "section_head", None)),
        (Charge(BRANCH, "r7", "branch-president"), (), ("p1", "president", None)),
        (Charge(BRANCH, "r7", "outlet-head"), (), ("b1", "branch_manager", None)),
        (Charge(BRANCH, "r7", None, "r8"), (), ("r8", "handed_over", None)),
        (Charge(BRANCH, "r7", None, "r8"), [("r8", None)], ("s1", "section_head", None)),
        (Charge(BRANCH, "r7", None, "r9"), (), ("r7", "manager", None)),
        (Charge(BRANCH, "r7", "section-head", "r7"), (), ("r7", "handed_over", None)),
        (Charge("east/0199", None), (), ("p1", "president", None)),
    ],
)
def test_who_it_is(charge: Charge, away: Any, wanted: Any) -> None:
    """Manager, substitute, the nearest leader who is there; whoever left, or works elsewhere, is passed over."""
    assert person(charge, roster(*away)) == wanted


def test_a_closed_branch_belongs_to_the_unit_above() -> None:
    """Nobody acts for a unit that has ended, though its people are still listed."""
    known = roster(units=("hq", "hq/east"))
    assert person(Charge(BRANCH, "r7"), known) == ("p1", "president", None)
    found = accountable(Charge(BRANCH, "r7"), known)
    assert found is not None
    assert ("r7", "unit_closed") in found.passed


def test_levels() -> None:
    """Each level is told one person further up, each person once; beyond the line its last one."""
    charge = Charge(BRANCH, "r7")
    found: list[Any] = [accountable(charge, roster(), level) for level in range(6)]
    assert [one.staff_id for one in found] == ["r7", "s1", "b1", "p1", "p1", "p1"]
    line, _ = responsible_line(charge, roster(("r7", "s1")))
    assert [one.staff_id for one in line] == ["s1", "b1", "p1"]


def test_nobody() -> None:
    """Where the line ends nowhere, that is said, and nobody is made up."""
    known = roster(staff=(("c1", "compliance", "hq"),))
    assert accountable(Charge(BRANCH, "r7"), known) is None
    assert [str(one.why) for one in responsible_line(Charge(BRANCH, None), known)[1]] == ["no_manager", *["nobody"] * 3]


def test_roles_of_the_packs() -> None:
    """Every role that a shipped pack makes accountable is one of the line."""
    named = {role for name in available_packs() for role in duties_of(load_pack(name)).values()}
    assert named <= LINE_ROLES.keys()
    assert duties_of(load_pack("rolling-quarter-aum"))["personal", "diamond"] == "wealth-manager"


def test_gaps() -> None:
    """Customers and units for whom nobody is there, the roles that nobody knows, and how many are looked after as what."""
    known = roster(("r7", "r8"))
    charges = [
        ("C3", Charge("west", None)), ("C1", Charge(BRANCH, "r7")), ("C2", Charge(BRANCH, "r8", "butler")),
        ("C4", Charge(BRANCH, None)),
    ]  # fmt: skip
    found = owners_of(charges, known.units, known)
    assert found.by == {"manager": 2, "section_head": 1} and found.substituted == 1
    assert [(one.customer_id, one.unit, one.why) for one in found.customers] == [("C3", ("hq", "west"), "nobody")]
    assert found.units == [("hq",), ("hq", "west")] and found.roles_unknown == {"butler"}
    assert not found.complete


# -- the twin: every way to name somebody, and the first of those that are possible


def candidates(charge: Charge, known: Roster) -> list[tuple[Any, ...]]:
    """Every (place, staff id, capacity) in which somebody could be asked, without a look at who is there."""
    path = [HEAD_OFFICE, *(charge.branch or "").split("/")] if charge.branch else [HEAD_OFFICE]
    first = LINE.index(LINE_ROLES.get(charge.role or "", Role.RM))
    out = []
    for name, one in known.staff.items():
        covers = list(one.unit) == path[: len(one.unit)] and one.unit in known.units and one.role in LINE
        if covers and name == charge.handed_to:
            out.append((0, 0, 0, name))
        if covers and name == charge.manager and first == 0:
            out.append((1, 0, 0, name))
        if covers and one.role is not Role.RM:
            out.append((2 + LINE.index(one.role), -len(one.unit), 0, name))
    named = [place for place in out if place[0] < 2]
    if named:  # whom an act or the profile names, and the roles above his own, wherever the pack's line begins
        start = min(named)
        above = LINE.index(known.staff[start[3]].role)
        return [start, *(place for place in out if place[0] > 2 + above)]
    return [place for place in out if place[0] >= 2 + first]


def slow_line(charge: Charge, known: Roster) -> list[tuple[str, str]]:
    """(who, as whom) of the line: of each step of the line the best that is possible."""
    ways = []
    for step, unit, _, name in candidates(charge, known):
        there = name not in known.away
        if there:
            ways.append((step, unit, 0, name, 0, name))
        for number, other in enumerate(known.away.get(name, ())):
            if other in known.staff and other not in known.away:
                ways.append((step, unit, 1, name, number, other))
    line: list[tuple[str, str]] = []
    for step in sorted({way[0] for way in ways}):
        best = min(way for way in ways if way[0] == step)
        if best[5] not in [who for who, _ in line]:
            line.append((best[5], best[3]))
    return line


NAMES = [f"n{i}" for i in range(6)]
SOME_UNITS = st.sets(st.sampled_from(UNITS)).map(lambda found: tuple(sorted(found)))
PEOPLE_OF_A_BANK = st.lists(
    st.tuples(st.sampled_from([*LINE, *LINE, *sorted(PEOPLE)]), st.sampled_from(UNITS)), min_size=0, max_size=6
)
ABSENCES = st.lists(
    st.tuples(st.sampled_from(NAMES), st.sampled_from([-3, -1, 0]), st.sampled_from([0, 1, -1]),
              st.none() | st.sampled_from(NAMES)), max_size=5,
)  # fmt: skip
CHARGES = st.builds(
    Charge, st.none() | st.sampled_from(["east", "east/0102", "east/0103", "west", "north"]),
    st.none() | st.sampled_from([*NAMES, "gone"]), st.none() | st.sampled_from([*LINE_ROLES, "butler"]),
    st.none() | st.sampled_from([*NAMES, "gone"]),
)  # fmt: skip


@given(CHARGES, SOME_UNITS, PEOPLE_OF_A_BANK, ABSENCES)
def test_exactly_one(charge: Charge, units: Any, people: Any, absences: Any) -> None:
    """Of any bank: at most one a step, there, in a capacity of the line that covers the customer; and as the twin says."""
    staff = [(name, role, unit) for name, (role, unit) in zip(NAMES, people, strict=False)]
    days = [(name, DAY + dt.timedelta(first), DAY + dt.timedelta(last), other) for name, first, last, other in absences]
    known = new_roster(DAY, units, staff, days)
    line, passed = responsible_line(charge, known)
    own = (HEAD_OFFICE, *(charge.branch or "").split("/")) if charge.branch else (HEAD_OFFICE,)
    for one in line:
        assert one.staff_id in known.staff and one.staff_id not in known.away
        assert one.role in LINE and one.unit in known.units and own[: len(one.unit)] == one.unit
        assert one.instead_of is None or (one.instead_of in known.away and one.instead_of != one.staff_id)
    assert len({one.staff_id for one in line}) == len(line)
    assert [(one.staff_id, one.instead_of or one.staff_id) for one in line] == slow_line(charge, known)
    assert line or passed, "where nobody is found, somebody says why"
    for level in range(5):
        found: Accountable | None = accountable(charge, known, level)
        assert found == (line[min(level, len(line) - 1)] if line else None)


def test_order_of_the_lists_is_nothing() -> None:
    """The same lists in another order name the same person."""
    charge = Charge(BRANCH, "r7")
    for staff, units in product((STAFF, STAFF[::-1]), (UNITS, UNITS[::-1])):
        assert person(charge, roster(("r7", None), staff=staff, units=units)) == ("s1", "section_head", None)
