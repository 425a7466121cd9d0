"""Days through the discipline against what is known of queues: Cobham's formula, and another simulator on the same inputs."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from fractions import Fraction
from itertools import pairwise
from statistics import fmean, stdev
from typing import Any

import ciw
import pytest

from schemas import bounds
from streams.queue.discipline import FIRST_COME, HEAD_START, STRICT, Discipline
from streams.queue.simulation import HallCounter, HallTicket, simulate_day

SERVICE_S = 6000  # a mean service; whole seconds are small against it
FOREVER_S = 10**12
BATCHES = 20
ERRORS_MAX = 3.5  # standard errors between a mean of the simulation and the formula


def waits(tickets: Sequence[HallTicket], servers: int, rule: Discipline) -> list[int]:
    """The wait of each ticket at counters that take all."""
    counters = [HallCounter(0, FOREVER_S, tuple(range(len(rule.head_starts_s))))] * servers
    found = simulate_day(tickets, counters, rule, bounds.HALL_OVERTAKINGS_MAX).by_ticket()
    assert len(found) == len(tickets)
    return [found[number].at_s - ticket.arrives_s for number, ticket in enumerate(tickets)]


def cobham(shares: Sequence[Fraction], load: Fraction, servers: int) -> list[float]:
    """Mean waits by class, in mean services, of M/M/c with priorities that interrupt nobody (Cobham, 1954)."""
    offered = load * servers
    terms = [offered**k / Fraction(math.factorial(k)) for k in range(servers)]
    last = offered**servers / math.factorial(servers) / (1 - load)
    waiting = last / (sum(terms) + last)  # Erlang's C: the chance to find all counters busy
    sums = [load * sum(shares[:k], Fraction(0)) for k in range(len(shares) + 1)]
    return [float(waiting / servers / ((1 - sums[k]) * (1 - sums[k + 1]))) for k in range(len(shares))]


def markov(seed: int, count: int, shares: Sequence[Fraction], load: Fraction, servers: int) -> list[HallTicket]:
    """Poisson arrivals and exponential services."""
    rng, at, found = random.Random(seed), 0.0, []
    for _ in range(count):
        at += rng.expovariate(1) * SERVICE_S / float(load * servers)
        code = rng.choices(range(len(shares)), [float(share) for share in shares])[0]
        found.append(HallTicket(round(at), code, max(1, round(rng.expovariate(1) * SERVICE_S))))
    return found


def error_of(found: Sequence[int], expected_s: float) -> float:
    """How many standard errors the mean is away, by means of batches."""
    size = len(found) // BATCHES
    means = [fmean(found[at * size : (at + 1) * size]) for at in range(BATCHES)]
    assert stdev(means) / BATCHES**0.5 < 0.1 * expected_s, "the run is long enough to tell"
    return abs(fmean(means) - expected_s) / (stdev(means) / BATCHES**0.5)


@pytest.mark.slow
@pytest.mark.parametrize("servers", [1, 3])
def test_cobham(servers: int) -> None:
    """Mean waits under strict are Cobham's for each class; under first_come everybody has the one of Erlang's C."""
    shares, load = [Fraction(1, 5), Fraction(3, 10), Fraction(1, 2)], Fraction(3, 4)
    tickets = markov(7, 50_000, shares, load, servers)
    rule = Discipline(STRICT, (0, 0, 0), (1, 1, 1))
    found, formula = waits(tickets, servers, rule), cobham(shares, load, servers)
    for code, expected in enumerate(formula):
        own = [wait for wait, ticket in zip(found, tickets, strict=True) if ticket.queue_class == code]
        assert error_of(own, expected * SERVICE_S) < ERRORS_MAX, code
    whole = float(sum(share * Fraction(wait) for share, wait in zip(shares, formula, strict=True)))
    plain = waits(tickets, servers, Discipline(FIRST_COME, (0, 0, 0), (1, 1, 1)))
    assert error_of(plain, cobham([Fraction(1)], load, servers)[0] * SERVICE_S) < ERRORS_MAX
    assert whole == pytest.approx(cobham([Fraction(1)], load, servers)[0]), "the order moves no mean of all"


def apart(seed: int, count: int, classes: int) -> list[HallTicket]:
    """Tickets of which no two things happen at one second: arrivals have different remainders, services none."""
    rng = random.Random(seed)
    remainders = rng.sample(range(1000), count)
    arrivals = sorted(1000 * rng.randrange(6 * count // 10) + rest for rest in remainders)
    return [HallTicket(at, rng.randrange(classes), 1000 * rng.choice((1, 1, 2, 5))) for at in arrivals]


def of_ciw(tickets: Sequence[HallTicket], servers: int, rule: Discipline) -> list[int]:
    """The waits of the same tickets in ciw: priorities are its own, head starts a discipline that is given to it."""
    classes = range(len(rule.head_starts_s))
    by_class = {f"{code}": [ticket for ticket in tickets if ticket.queue_class == code] for code in classes}

    def soonest(individuals: list[Any], _: float) -> Any:
        return min(
            individuals,
            key=lambda one: (one.arrival_date - rule.head_starts_s[int(one.customer_class)], one.arrival_date),
        )

    def gaps(own: Sequence[HallTicket]) -> list[float]:
        at = [0, *(ticket.arrives_s for ticket in own)]
        return [float(late - soon) for soon, late in pairwise(at)] + [math.inf]

    network = ciw.create_network(
        arrival_distributions={name: [ciw.dists.Sequential(gaps(own))] for name, own in by_class.items()},
        service_distributions={
            name: [ciw.dists.Sequential([float(ticket.service_s) for ticket in own])] for name, own in by_class.items()
        },
        number_of_servers=[servers],
        priority_classes={f"{code}": code if rule.order == STRICT else 0 for code in classes},
        service_disciplines=[soonest if rule.order == HEAD_START else ciw.disciplines.FIFO],
    )
    simulation = ciw.Simulation(network)
    simulation.simulate_until_max_customers(len(tickets), method="Finish")
    records = simulation.get_all_records()
    assert len(records) == len(tickets)
    return [
        round(one.service_start_date - one.arrival_date) for one in sorted(records, key=lambda one: one.arrival_date)
    ]


@pytest.mark.parametrize("order", [HEAD_START, STRICT, FIRST_COME])
@pytest.mark.parametrize("servers", [1, 4])
def test_ciw_has_the_same_waits(order: str, servers: int) -> None:
    """To the second, ticket by ticket."""
    rule = Discipline(order, (9000, 4000, 0), (1, 1, 1))
    tickets = apart(11, 250 * servers if servers == 1 else 900, 3)
    found = waits(tickets, servers, rule)
    assert found == of_ciw(tickets, servers, rule)
    assert sum(wait > 0 for wait in found) > len(tickets) // 3
