"""Who is accountable for a customer: one person, by the pack's responsibility and the bank's lists (docs/alerts.md#owners).

The line goes from the customer's manager over the section head and the branch manager to the president. Whoever is away is
represented by his substitute, or else passed over. Pure: the same question has the same answer.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Final, NamedTuple

from services.access.decision import Role, owner_of
from services.staff.roster import Roster, Unit

if TYPE_CHECKING:
    from policies.model.pack import Pack

LINE: Final = (Role.RM, Role.SECTION_HEAD, Role.BRANCH_MANAGER, Role.PRESIDENT)
"""Who may be accountable, from the customer upwards."""

LINE_ROLES: Final[Mapping[str, Role]] = {
    "relationship-manager": Role.RM, "wealth-manager": Role.RM, "outlet-wealth-manager": Role.RM, "teller": Role.RM,
    "section-head": Role.SECTION_HEAD,
    "outlet-manager": Role.BRANCH_MANAGER, "outlet-head": Role.BRANCH_MANAGER, "branch-manager": Role.BRANCH_MANAGER,
    "branch-president": Role.PRESIDENT, "vice-president": Role.PRESIDENT, "president": Role.PRESIDENT,
}  # fmt: skip
"""Roles as packs name them under `accountable`, each with where its line begins. Nobody is accountable for customers of a
teller by himself: their line begins with the manager of the profile, where they have one."""

HANDED_OVER, MANAGER = "handed_over", "manager"
# Why somebody is passed over.
NO_MANAGER, NOT_LISTED, OTHER_ROLE, OTHER_UNIT = "no_manager", "not_listed", "other_role", "other_unit"
UNIT_CLOSED, IS_AWAY, NOBODY, ROLE_UNKNOWN = "unit_closed", "away", "nobody", "role_unknown"


class Charge(NamedTuple):
    """Whose customer is to be looked after. branch, manager: of his profile. role: the pack's; handed_to: by an act."""

    branch: str | None
    manager: str | None
    role: str | None = None
    handed_to: str | None = None


class PassedOver(NamedTuple):
    """Somebody, or a role that nobody has, and why he is not the one."""

    who: str
    why: str


class Accountable(NamedTuple):
    """A person with the role and the unit in which he acts; `instead_of`: for whom he stands in.

    reason: MANAGER, HANDED_OVER, or the role as which he was found. passed: whom the line has passed over before him.
    """

    staff_id: str
    role: Role
    unit: Unit
    reason: str
    instead_of: str | None
    passed: tuple[PassedOver, ...]


def duties_of(pack: Pack) -> dict[tuple[str, str], str]:
    """(class of customers, tier) -> the role that the pack makes accountable."""
    return {
        (policy.customer_class, tier): duty.accountable
        for policy in pack.classes.values()
        for duty in policy.responsibility
        for tier in duty.tiers
    }


def accountable(charge: Charge, roster: Roster, level: int = 0) -> Accountable | None:
    """The one person to whom a case belongs; with a level, to whom it is escalated. None where the line ends nowhere.

    A level beyond the line is that of its last person.
    """
    line, _ = responsible_line(charge, roster)
    return line[min(level, len(line) - 1)] if line else None


def responsible_line(charge: Charge, roster: Roster) -> tuple[list[Accountable], list[PassedOver]]:
    """Everybody of the line, each once, the accountable one first; and all who are passed over."""
    search = _Search(charge, roster)
    return search.line, search.passed


class _Search:
    """One walk up the line."""

    def __init__(self, charge: Charge, roster: Roster) -> None:
        self.roster, self.unit = roster, owner_of(charge.branch)
        self.line: list[Accountable] = []
        self.passed: list[PassedOver] = []
        if self.unit not in roster.units:
            self.passed.append(PassedOver("/".join(self.unit), UNIT_CLOSED))
        start = LINE_ROLES.get(charge.role or "", Role.RM)
        if charge.role is not None and charge.role not in LINE_ROLES:
            self.passed.append(PassedOver(charge.role, ROLE_UNKNOWN))
        above = self._named(charge, start)
        for role in above:
            self._leader(role)

    def _named(self, charge: Charge, start: Role) -> tuple[Role, ...]:
        """Takes whom an act or the profile names; the roles of the line that are left behind him."""
        named: list[tuple[str | None, str]] = [(charge.handed_to, HANDED_OVER)] if charge.handed_to else []
        if start is Role.RM:
            named.append((charge.manager, MANAGER))
        for staff_id, reason in named:
            if (role := self._may_have(staff_id)) is not None:
                assert staff_id is not None
                self._take((staff_id,), reason)
                return LINE[LINE.index(role) + 1 :]
        return LINE[1:] if start is Role.RM else LINE[LINE.index(start) :]

    def _may_have(self, staff_id: str | None) -> Role | None:
        """The role of whom a profile or an act names, if he can have the customer at all."""
        if not staff_id:
            self.passed.append(PassedOver(Role.RM, NO_MANAGER))
            return None
        found, why = self.roster.staff.get(staff_id), ""
        if found is None:
            why = NOT_LISTED
        elif found.role not in LINE:
            why = OTHER_ROLE
        elif found.unit not in self.roster.units:
            why = UNIT_CLOSED
        elif self.unit[: len(found.unit)] != found.unit:
            why = OTHER_UNIT
        if why or found is None:
            self.passed.append(PassedOver(staff_id, why))
            return None
        return found.role

    def _leader(self, role: Role) -> None:
        """Takes one person of a role: of the nearest unit that has one, who is there, or is represented."""
        for depth in range(len(self.unit), 0, -1):
            names = self.roster.by_role.get((role, self.unit[:depth]), ())
            if names and self._take(names, str(role)):
                return
        if not any((role, self.unit[:depth]) in self.roster.by_role for depth in range(1, len(self.unit) + 1)):
            self.passed.append(PassedOver(role, NOBODY))

    def _take(self, names: Iterable[str], reason: str) -> bool:
        """Puts the first who is there into the line, else the first who is represented; False where all are away."""
        absent = []
        for name in names:
            if self.roster.is_there(name):
                self._put(name, name, reason)
                return True
            absent.append(name)
        for name in absent:
            for substitute in self._substitutes(name):
                self._put(substitute, name, reason)
                return True
        self.passed += [PassedOver(name, IS_AWAY) for name in absent]
        return False

    def _substitutes(self, absent: str) -> Iterator[str]:
        """Those of his substitutes who are there. A substitute's own one has no right to what he stands in for."""
        return (name for name in self.roster.away[absent] if self.roster.is_there(name))

    def _put(self, staff_id: str, capacity_of: str, reason: str) -> None:
        if any(one.staff_id == staff_id for one in self.line):
            return  # he is asked already
        own = self.roster.staff[capacity_of]
        instead = None if staff_id == capacity_of else capacity_of
        self.line.append(Accountable(staff_id, own.role, own.unit, reason, instead, tuple(self.passed)))
