"""What must hold whatever happens: the service dies, the disk is full, clients are slow, large, many, or make no sense."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import httpx2
import psutil
import pytest
import redis.asyncio
import schemathesis
from hypothesis import settings
from redis import Redis
from schemathesis.specs.openapi.checks import positive_data_acceptance, unsupported_method

from deploy.embedded import processes
from deploy.settings import Settings
from services.queue.tickets.store import StoreDownError
from services.views.keys import Keys
from tests.queue import description
from tests.queue.stored import Stored, stored
from tests.queue.test_crashes import Machine
from tests.queue.test_service import serving

pytestmark = [pytest.mark.integration, pytest.mark.slow]
REQUESTS: Final = 120
TRIES_MAX = 50
UNKNOWN: Final = 10_000
MORE_MB: Final = 16
FULL: Final = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
ssize_t write(int f, const void *from, size_t size) {
  struct stat found;
  if (access(getenv("FULL"), F_OK) == 0 && fstat(f, &found) == 0 && S_ISREG(found.st_mode)) { errno = ENOSPC; return -1; }
  return ((ssize_t (*)(int, const void *, size_t))dlsym(RTLD_NEXT, "write"))(f, from, size);
}
"""


@pytest.fixture(scope="module")
def address(tickets_server: str) -> Iterator[str]:
    """Of the interface, with keys tgk_kiosk, tgk_counter and tgk_lobby."""
    with serving(Settings(tickets_url=tickets_server, topic_prefix=f"t{uuid.uuid4().hex[:10]}.")) as found:
        yield found


class Service:
    """The interface in a process of its own, which can be killed."""

    def __init__(self, url: str, prefix: str) -> None:
        self.port = processes.free_row(1)
        self.env = {**os.environ, "TIDEGAUGE_TICKETS_URL": url, "TIDEGAUGE_TOPIC_PREFIX": prefix}
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self.process = subprocess.Popen([sys.executable, "-m", "tests.queue.served", str(self.port)], env=self.env)
        until = time.monotonic() + 60
        while time.monotonic() < until:
            with socket.socket() as asked:
                if asked.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.05)
        raise AssertionError("the service does not begin")

    def memory_mb(self) -> float:
        """What it has in memory."""
        assert self.process is not None
        return float(psutil.Process(self.process.pid).memory_info().rss) / 1e6

    def kill(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()


def test_a_service_that_dies_loses_nothing(tickets_server: str, topic_prefix: str) -> None:
    """Killed twice while kiosks and counters ask: who asks again with the same id has each step once, also those he heard of."""
    service = Service(tickets_server, topic_prefix)
    service.start()
    try:
        heard = asyncio.run(_asked_through_kills(service))
    finally:
        service.kill()
    issued = [one["ticket"] for one in heard["issued"]]
    called = [one["ticket"]["ticket"] for one in heard["called"] if one["ticket"] is not None]
    assert len(set(issued)) == REQUESTS, "a request had two tickets, or none"
    assert sorted(called) == sorted(issued), "a ticket at two counters, or at none"
    with Redis.from_url(tickets_server) as client:
        outbox: Any = client.xrange(f"tidegauge@{topic_prefix}:queues:outbox")
    assert len(outbox) == 3 * REQUESTS, "each step was made once"
    assert heard["lost"], "nobody asked while it was dead"


async def _asked_through_kills(service: Service) -> dict[str, list[Any]]:
    heard: dict[str, list[Any]] = {"issued": [], "called": [], "lost": []}

    async def ask(client: httpx2.AsyncClient, who: str, path: str, request: str, **body: Any) -> Any:
        headers = {"Authorization": f"Bearer tgk_{who}", "Idempotency-Key": request}
        until = time.monotonic() + 60
        while time.monotonic() < until:
            try:
                answer = await client.post(path, json=body, headers=headers, timeout=2)
            except httpx2.TransportError:
                heard["lost"].append(request)
                await asyncio.sleep(0.1)
                continue
            if answer.status_code < 300:
                return answer.json()
            assert answer.status_code == 503, answer.text
            await asyncio.sleep(0.02)
        raise AssertionError("no answer")

    async def visit(client: httpx2.AsyncClient, number: int, limit: asyncio.Semaphore) -> None:
        async with limit:
            heard["issued"].append(await ask(client, "kiosk", "/v1/tickets", f"i{number}"))
            called = await ask(client, "counter", f"/v1/counters/c{number}/next", f"c{number}")
            heard["called"].append(called)
            place = called["ticket"]["ticket"]
            await ask(client, "counter", f"/v1/tickets/{place}/complete", f"d{number}", counter=f"c{number}")

    async def kills() -> None:
        for _ in range(2):
            await asyncio.sleep(0.5)
            service.kill()
            await asyncio.to_thread(service.start)

    limit = asyncio.Semaphore(8)
    async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{service.port}") as client:
        await asyncio.gather(kills(), *(visit(client, number, limit) for number in range(REQUESTS)))
    return heard


def test_a_full_disk_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No step is acknowledged that the disk has not; when there is room again, all that were are there."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    assert compiler is not None, "a C compiler makes the disk full"
    source, library, full = tmp_path / "full.c", tmp_path / "full.so", tmp_path / "full"
    source.write_text(FULL)
    subprocess.run([compiler, "-shared", "-fPIC", "-o", library, source, "-ldl"], check=True)
    monkeypatch.setenv("LD_PRELOAD", str(library))
    monkeypatch.setenv("FULL", str(full))
    (tmp_path / "data").mkdir()
    machine = Machine(tmp_path / "data")
    machine.start()
    try:
        with stored(machine.server.url, now_s=None) as one:
            numbers = [one.issue(request=f"r{number}")["number"] for number in range(20)]
            full.touch()
            for number in range(20, 23):
                with pytest.raises(StoreDownError):
                    one.issue(request=f"r{number}")
            machine.kill()
            full.unlink()
            machine.start()
            _connect_again(one, machine)
            kept = [ticket["number"] for ticket in one.run("live")["tickets"]]
            assert sorted(kept)[:20] == numbers, "an acknowledged ticket is lost"
            again = [one.issue(request=f"r{number}")["number"] for number in range(23)]
            assert again == [f"A{number:03d}" for number in range(1, 24)], "asked again, each has one number"
    finally:
        machine.kill()


def _connect_again(one: Stored, machine: Machine) -> None:
    one.runner.run(one.store.client.aclose())
    one.store.client = redis.asyncio.Redis.from_url(machine.server.url)


schema = schemathesis.openapi.from_dict(json.loads(description.FILE.read_text()))


@schema.parametrize()
@settings(max_examples=8)
def test_any_request(case: schemathesis.Case, address: str) -> None:
    """Whatever comes, by the description or against it: an answer that the description has, and never a fault.

    Not asked is that all it allows is taken, nor that a method is unknown where another path begins alike.
    """
    headers = {"Authorization": "Bearer tgk_lobby"}
    case.call_and_validate(
        base_url=address, headers=headers, excluded_checks=[positive_data_acceptance, unsupported_method]
    )


def _sent_too_much(address: str) -> None:
    """A body of 10 MB, which is refused; or the connection is cut while it is still sent."""
    headers = {"Authorization": "Bearer tgk_kiosk", "Idempotency-Key": "large"}
    with contextlib.suppress(httpx2.TransportError):
        answer = httpx2.post(f"{address}/v1/tickets", content=b"x" * 10_000_000, headers=headers, timeout=10)
        assert answer.status_code == 413


def test_large_and_slow_clients_hold_nothing(address: str) -> None:
    """A body of 10 MB is refused at its beginning; who sends a byte a second is cut; the others have their answers meanwhile."""
    host, port = address.removeprefix("http://").split(":")
    _sent_too_much(address)
    slow = [socket.create_connection((host, int(port))) for _ in range(10)]
    began = time.monotonic()
    for one in slow:
        one.sendall(b"POST /v1/tickets HTTP/1.1\r\n")
    while time.monotonic() - began < 6:
        answer = httpx2.get(f"{address}/livez", timeout=20)
        assert answer.status_code == 200
        for one in slow:
            try:
                one.sendall(b"X")
            except OSError:
                continue
        time.sleep(0.5)
    for one in slow:
        one.settimeout(1)
        with contextlib.suppress(ConnectionError):
            assert one.recv(100) == b"", "a slow client is still there"
        one.close()


def test_references_cannot_be_tried_out(tickets_server: str, redis_server: str, topic_prefix: str) -> None:
    """Ten thousand unknown ones have the answer of an ordinary customer, in turn with such; memory stays."""
    view = Keys.of(topic_prefix)
    with Redis.from_url(redis_server) as client:
        client.hset(view.fresh("queue-priority"), "queue-priority:0", str(1000 * int(time.time() + 3600)))
        row = {"version": "1", "queue_class": "ordinary", "vip_area": "0", "valid_until": ""}
        client.hset(view.priority("o" * 26), mapping=row)
        client.hset(view.priority("v" * 26), mapping={**row, "queue_class": "diamond", "vip_area": "1"})
    service = Service(tickets_server, topic_prefix)
    service.env["TIDEGAUGE_REDIS_URL"] = redis_server
    service.start()
    try:
        asked = http.client.HTTPConnection("127.0.0.1", service.port, timeout=10)

        def looked(reference: str) -> tuple[int, bytes]:
            for _ in range(TRIES_MAX):  # a store that this machine lets wait is away for the look-up
                asked.request("GET", f"/v1/priority/{reference}")
                answer = asked.getresponse()
                found = answer.status, answer.read()
                if b'"degraded":true' not in found[1]:
                    break
                time.sleep(0.1)
            return found

        assert json.loads(looked("v" * 26)[1])["queue_class"] == "diamond"
        ordinary, before = looked("o" * 26), 0
        assert ordinary[0] == 200 and not json.loads(ordinary[1])["degraded"]
        for number in range(UNKNOWN):
            reference = f"{number:026b}".translate({ord("0"): "a", ord("1"): "b"})
            assert looked(reference) == ordinary
            if number % 10 == 0:
                assert looked("o" * 26) == ordinary
            if number == UNKNOWN // 10:
                before = service.memory_mb()
        for _ in range(3):
            _sent_too_much(f"http://127.0.0.1:{service.port}")
            assert looked("o" * 26) == ordinary, "the next one has his answer"
        assert service.memory_mb() < before + MORE_MB
    finally:
        service.kill()
