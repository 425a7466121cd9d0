"""Where responsibility ends nowhere: customers and units for whom nobody of the line is there (docs/alerts.md#owners)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from services.access.decision import owner_of
from services.staff.responsibility import LINE_ROLES, Charge, responsible_line
from services.staff.roster import Roster, Unit

_LEADERS: Final = "section-head"
"""A role with which a line begins above the managers."""


class CustomerGap(NamedTuple):
    """A customer for whom nobody is accountable, and the last reason why."""

    customer_id: str
    unit: Unit
    why: str


@dataclass(slots=True)
class Owners:
    """What a look at customers and units has found. by: reason -> how many customers are looked after for it."""

    by: Counter[str] = field(default_factory=Counter)
    substituted: int = 0
    roles_unknown: set[str] = field(default_factory=set)
    customers: list[CustomerGap] = field(default_factory=list)
    units: list[Unit] = field(default_factory=list)

    @property
    def complete(self) -> bool:
        """Whether everything ends with somebody."""
        return not (self.customers or self.units or self.roles_unknown)


def owners_of(customers: Iterable[tuple[str, Charge]], units: Iterable[Unit], roster: Roster) -> Owners:
    """Who is accountable, over (customer id, charge); and which of the open units have nobody above a manager.

    One line is walked for all customers of the same branch, manager and role.
    """
    found = Owners()
    known: dict[Charge, tuple[str, bool, str]] = {}  # reason, whether somebody stands in, why not
    for customer_id, charge in customers:
        if charge not in known:
            line, passed = responsible_line(charge, roster)
            first = line[0] if line else None
            known[charge] = (
                "" if first is None else first.reason, first is not None and first.instead_of is not None,
                passed[-1].why if passed else "",
            )  # fmt: skip
        reason, stands_in, why = known[charge]
        if charge.role is not None and charge.role not in LINE_ROLES:
            found.roles_unknown.add(charge.role)
        if not reason:
            found.customers.append(CustomerGap(customer_id, owner_of(charge.branch), why))
            continue
        found.by[reason] += 1
        found.substituted += stands_in
    found.customers.sort()
    found.units = [
        unit for unit in sorted(units) if not responsible_line(Charge("/".join(unit), None, _LEADERS), roster)[0]
    ]
    return found
