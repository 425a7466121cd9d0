"""Services that are due, free or not, looked at by the closes of months (docs/policies.md#services-contacts-responsibility)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from policies.lifecycle.state import Decision, State, Step, day_number, months_after

if TYPE_CHECKING:
    from policies.model.pack import ClassPolicy
    from policies.model.provisions import Service

DUE, FREE, NOT = SERVICE_STATES = ("due", "free", "not")


def service_state(service: Service, tier: str, since: int | None, day: int, *, met: bool) -> str:
    """What a service is for a customer after the close of `day`, by the tier that he has from the next day on.

    since: the first day of that tier; met: whether the service's condition is.
    """
    launched = service.launch is None or day + 1 >= day_number(service.launch)
    if tier not in service.tiers or not launched or not met:
        return NOT
    free = since is not None and service.free_months and day + 1 < months_after(since, service.free_months)
    return FREE if free else DUE


def bill(policy: ClassPolicy, state: State, day: int, tier: str, since: int | None, met: Mapping[str, bool]) -> Step:
    """The services of a customer at the close of a month; each that has become another is told. Nothing is charged.

    met: by service, whether its condition is met; one that is not there cannot be said, and stays as it was.
    """
    known, said = dict(state.services), list[Decision]()
    now = dict(known)
    for service in policy.charged:
        if service.id not in met:
            continue
        found, before = service_state(service, tier, since, day, met=met[service.id]), known.get(service.id, NOT)
        if found != before:
            said.append(Decision("service", "close", day, day + 1, before, found, evidence={"service": service.id}))
        now[service.id] = found
    kept = tuple(sorted((name, found) for name, found in now.items() if found != NOT))
    return replace(state, services=kept), tuple(said)


def carried(policy: ClassPolicy, state: State, day: int, said: list[Decision]) -> tuple[tuple[str, str], ...]:
    """What of a customer's services goes over to another pack, from `day` on; the end of the others is told."""
    known = {service.id for service in policy.charged}
    for name, found in state.services:
        if name not in known:
            said.append(Decision("service", "policy", day, day, found, NOT, evidence={"service": name}))
    return tuple((name, found) for name, found in state.services if name in known)
