"""Days drawn from a profile: arrivals of each class by the hour, Poisson, and services around their mean. A seed gives a day."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from streams.queue.simulation import HallTicket
from tidegauge.branch.files import ProfileRow

HOUR_S: Final = 3600
PROFILES: Final = Path(__file__).parent / "profiles"
SHIPPED_PROFILE: Final = "branch-day"


def profile_files(name: str) -> tuple[Path, Path | None]:
    """The files of a profile and of its counters: of one that ships, by its name, or a file, which has none."""
    shipped = PROFILES / f"{name}.csv"
    if "/" not in name and shipped.is_file():
        return shipped, shipped.with_name(f"{name}-counters.csv")
    return Path(name), None


def drawn_tickets(rows: Sequence[ProfileRow], seed: int, most: int) -> dict[str, HallTicket]:
    """The tickets of a day, named in the order of issue. ValueError where they are more than `most`.

    Each hour of a class draws by itself: another figure in one row leaves the tickets of the others as they are.
    """
    found: list[HallTicket] = []
    for row in rows:
        for ticket in _of_row(row, random.Random(f"hall-{seed}-{row.hour}-{row.queue_class}")):  # noqa: S311 (no secret)
            found.append(ticket)
            if len(found) > most:
                raise ValueError(f"more than {most:,} tickets: lower the arrivals")
    ordered = sorted(found, key=lambda ticket: (ticket.arrives_s, ticket.queue_class, ticket.service_s))
    return {f"T{number:04d}": ticket for number, ticket in enumerate(ordered, 1)}


def _of_row(row: ProfileRow, rng: random.Random) -> Iterator[HallTicket]:
    """Arrivals at exponential distances; a service is the sum of two exponential halves (Erlang)."""
    if not row.arrivals_hundredths:
        return
    mean_s = HOUR_S * 100 / row.arrivals_hundredths
    passed_s = rng.expovariate(1) * mean_s
    while passed_s < HOUR_S:
        service_s = (rng.expovariate(1) + rng.expovariate(1)) * row.service_s / 2
        yield HallTicket(row.hour * HOUR_S + int(passed_s), row.queue_class, max(1, round(service_s)))
        passed_s += rng.expovariate(1) * mean_s
