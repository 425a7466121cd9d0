"""Commands, open loop: requests leave on a timetable whatever the service does; when is each answered as applied?

Counted from the time on the timetable to the answer, so a stall counts for every command that it delays. One service, one worker,
one Redis server; each command is decided, on record, stamped, written and applied before its answer.

Beside it: whether the time of a refusal tells if the customer is there. Forbidden and absent ones are asked for in turn.
"""

from __future__ import annotations

import asyncio
import json
import socket
import sys
import time
from collections import Counter

import httpx2
import numpy as np
from joserfc import jwt
from joserfc.jwk import KeySet, RSAKey

from bench.apart import told_apart
from bench.measure.arena import Arena
from bench.measure.report import Report, Table, warn
from bench.parts import full
from bench.world.sizes import Sizes
from connectors.formats.events import Event
from connectors.loading.publisher import EventPublisher
from deploy.embedded.stack import Stack
from schemas.codec.records import encode

RATE, WARM_S, BOUND_MS = 100, 5.0, 150
ASKED = 400  # for a forbidden customer, and for one who is not there
CUSTOMERS = 1000
ISSUER = "https://login.bench"
BEGIN_S = full.COMPILE_S_MAX
# The service closes a connection that was idle for 5 s; one that the client is just about to use must not be such a one.
KEPT = httpx2.Limits(max_connections=100, max_keepalive_connections=100, keepalive_expiry=2)


def part(arena: Arena, sizes: Sizes, report: Report) -> None:
    """So many seconds at the rate, behind some that are not counted."""
    settings = arena.settings("commands")
    arena.topics(settings)
    publisher = EventPublisher(settings, lambda topic, record: encode(topic, record))
    for number in range(CUSTOMERS):
        publisher.send(Event(0, "customers", _profile(f"C{number}")))
    publisher.flush()
    publisher.close()
    key, folder = RSAKey.generate_key(2048, {"kid": "bench"}), arena.folder / "commands"
    folder.mkdir()
    (folder / "keys.json").write_text(json.dumps(KeySet([key]).as_dict(private=False)))
    with Stack(folder / "redis", with_kafka=False, any_ports=True, tether=True) as redis, socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = int(free.getsockname()[1])
        free.close()
        more = {
            "TIDEGAUGE_REDIS_URL": redis.redis_url, "TIDEGAUGE_TOKEN_ISSUER": ISSUER,
            "TIDEGAUGE_TOKEN_KEYS": str(folder / "keys.json"),
        }  # fmt: skip
        worker = arena.start(full.WORKER, settings, more)
        words = ("-m", "tidegauge.cli.main", "commands", "serve", "--port", str(port))
        service = arena.start(words, settings, more, sys.executable)
        try:
            took = asyncio.run(_send(f"http://127.0.0.1:{port}", _token(key), sizes.latency_s))
            refused = asyncio.run(_refused(f"http://127.0.0.1:{port}", _token(key, "hq/B2")))
        finally:
            arena.stop(service)
            arena.stop(worker)
    p50, p99, most = (float(np.percentile(took, percent)) for percent in (50, 99, 100))
    table = Table(
        f"Open loop, {RATE} commands/s: from the timetable to `applied`, in milliseconds (p99 of {BOUND_MS} is the bound):",
        ("commands", "p50", "p99", "longest", "p99 in the bound"),
    )
    within = "yes" if p99 <= BOUND_MS else "no"
    table.rows.append((f"{len(took):,}", f"{p50:.1f}", f"{p99:.1f}", f"{most:.1f}", within))
    warn("  " + "  ".join(table.rows[-1]))
    title = f"Refusals in milliseconds, {ASKED} of each: the time must not tell who is there."
    report.tables += [table, told_apart(title, ("another unit's", "nobody's"), *refused)]


def _profile(customer_id: str) -> dict[str, object]:
    return {
        "event_id": f"{customer_id}-profile", "customer_id": customer_id, "customer_class": "personal", "branch": "B1",
        "rm_id": None, "relationship_since": None, "birth_date": None, "card_held": None,
    }  # fmt: skip


def _token(key: RSAKey, unit: str = "hq") -> str:
    now = int(time.time())
    claims = {
        "iss": ISSUER, "aud": "tidegauge", "sub": "cards", "iat": now, "exp": now + 3600, "tidegauge_role": "service",
        "tidegauge_unit": unit,
    }  # fmt: skip
    return jwt.encode({"alg": "RS256", "kid": "bench"}, claims, key)


def _client(address: str, token: str) -> httpx2.AsyncClient:
    return httpx2.AsyncClient(
        base_url=address, headers={"Authorization": f"Bearer {token}"}, timeout=30, limits=KEPT
    )  # fmt: skip


async def _send(address: str, token: str, seconds: float) -> list[float]:
    """Milliseconds of each command that counts. RuntimeError where one is not applied."""
    answers: Counter[int] = Counter()
    async with _client(address, token) as client:

        async def one(number: int, due: float) -> float:
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            body = {"customer_id": f"C{number % CUSTOMERS}", "record": "filing"}
            answer = await client.post("/v1/commands/record", json=body, headers={"Idempotency-Key": f"b{number}"})
            answers[answer.status_code] += 1
            return (time.monotonic() - due) * 1000

        await _until_served(client)
        begin, total = time.monotonic() + 0.1, int(RATE * (seconds + WARM_S))
        took = await asyncio.gather(*(one(number, begin + number / RATE) for number in range(total)))
    if set(answers) != {200}:
        raise RuntimeError(f"answers by status: {dict(answers)}")
    return list(took[int(RATE * WARM_S) :])


async def _refused(address: str, token: str) -> tuple[list[float], list[float]]:
    """Milliseconds of refusals for customers of another unit, and for customers who are not there; in turn, one at a time."""
    took: tuple[list[float], list[float]] = [], []
    async with _client(address, token) as client:
        for number in range(2 * ASKED):
            kind = (number + number // 2) % 2  # now the one first, now the other
            body = {"customer_id": f"{'CX'[kind]}{number % CUSTOMERS}", "record": "filing"}
            began = time.monotonic()
            answer = await client.post("/v1/commands/record", json=body, headers={"Idempotency-Key": f"r{number}"})
            took[kind].append((time.monotonic() - began) * 1000)
            if answer.status_code != 404:
                raise RuntimeError(f"not refused: {answer.status_code}")
    return took


async def _until_served(client: httpx2.AsyncClient) -> None:
    """Until the service answers and a worker applies."""
    until = time.monotonic() + BEGIN_S
    while time.monotonic() < until:
        try:
            answer = await client.post(
                "/v1/commands/record",
                json={"customer_id": "C0", "record": "consent"},
                headers={"Idempotency-Key": "first"},
            )
            if answer.status_code == 200:
                return
        except httpx2.TransportError:
            pass
        await asyncio.sleep(0.2)
    raise RuntimeError("no command was applied")
