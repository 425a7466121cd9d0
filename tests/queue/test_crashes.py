"""What is acknowledged is kept: each step is synced; servers die, files end midway, answers get lost, clicks come twice."""

from __future__ import annotations

import asyncio
import random
import re
import shutil
import subprocess
from collections import Counter
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import redis.asyncio

from deploy.embedded import processes
from deploy.embedded.redis import REDIS_READY_WAIT_S, TICKET_SERVER, Server
from deploy.ping import answers
from deploy.record import Running
from services.queue.behind.relay import ticket_record
from services.queue.behind.replay import logged_branch, queue_differences, restored
from services.queue.tickets import store
from services.queue.tickets.store import StepRefusedError, StoreDownError, TicketStore
from tests.queue.stored import Stored, stored

pytestmark = [pytest.mark.integration, pytest.mark.slow]
COUNTERS, KIOSKS, TICKETS_ISSUED = 64, 8, 400
SYNCS = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>
static void count(void) {
  int file = open(getenv("SYNCS"), O_WRONLY | O_APPEND | O_CREAT, 0600);
  if (write(file, "s", 1) != 1) abort();
  close(file);
}
int fsync(int f) { count(); return ((int (*)(int))dlsym(RTLD_NEXT, "fsync"))(f); }
int fdatasync(int f) { count(); return ((int (*)(int))dlsym(RTLD_NEXT, "fdatasync"))(f); }
"""


class Machine:
    """A server for tickets that can be killed, and started again on its data."""

    def __init__(self, folder: Path) -> None:
        self.server = Server(folder, processes.free_row(1), tether=True, name=TICKET_SERVER)
        self.running: Running | None = None

    def start(self) -> None:
        self.running = self.server.start()
        processes.wait_until(
            lambda: answers(self.server.url), [self.running], self.server.log, TICKET_SERVER, REDIS_READY_WAIT_S
        )

    def kill(self) -> None:
        assert self.running is not None
        processes.kill(self.running)

    @property
    def log_file(self) -> Path:
        """What the server appends to."""
        (found,) = (self.server.data_dir / TICKET_SERVER / "appendonlydir").glob("*.incr.aof")
        return found


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    found = Machine(tmp_path)
    found.start()
    yield found
    found.kill()


def test_every_step_is_synced_before_its_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The server's syncs are counted by a library that stands before the system's; reading costs none."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    assert compiler is not None, "a C compiler counts the syncs"
    source, library, syncs = tmp_path / "syncs.c", tmp_path / "syncs.so", tmp_path / "syncs"
    source.write_text(SYNCS)
    subprocess.run([compiler, "-shared", "-fPIC", "-o", library, source, "-ldl"], check=True)
    monkeypatch.setenv("LD_PRELOAD", str(library))
    monkeypatch.setenv("SYNCS", str(syncs))
    found = Machine(tmp_path / "data")
    (tmp_path / "data").mkdir()
    found.start()
    monkeypatch.delenv("LD_PRELOAD")
    try:
        with stored(found.server.url) as one:
            wants = {
                "class": "gold",
                "amount": "100",
                "currency": "CNY",
                "wanted": "2026-03-02",
                "last_day": "2026-03-02",
            }
            steps: list[tuple[str, dict[str, Any]]] = [
                ("issue", {"class": "gold", "service": "cash", "prefix": "A"}), ("call", {"counter": "1"}),
                ("recall", {"counter": "1", "place": 1}),
                ("transfer", {"counter": "1", "place": 1, "service": "x", "keep": True}),
                ("call", {"counter": "1"}), ("no_show", {"counter": "1", "place": 1}), ("back", {"place": 1}),
                ("rerank", {"ref": "r", "class": "gold", "vip": True}), ("pause", {"counter": "2"}), ("leave", {"place": 1}),
                ("resume", {"counter": "2"}), ("equip", {"counter": "2", "classes": ["gold"]}),
                ("issue", {"class": "gold", "service": "cash", "prefix": "A"}), ("call", {"counter": "2"}),
                ("check", {"counter": "2", "place": 2, "refs": ["r"]}), ("complete", {"counter": "2", "place": 2}),
                ("cash_ask", {**wants, "degraded": True}), ("cash_known", {"number": 1, "class": "gold"}),
                ("cash_meet", {"number": 1}),
                ("cash_ask", wants), ("cash_refuse", {"number": 2, "reason": "no cash"}), ("cash_ask", wants),
                ("cash_withdraw", {"number": 3}), ("close", {"reason": "evening"}), ("open", {}),
            ]  # fmt: skip
            named = set(re.findall(r"^function steps\.(\w+)", one.store._text, re.MULTILINE))
            assert named == {step for step, _ in steps} | {*store._READING, "restore"}, (
                "a step whose syncs nobody counts"
            )

            def synced(step: str, branch: str = "B1", **given: Any) -> bool:
                before = syncs.stat().st_size
                one.run(step, branch, **given)
                return syncs.stat().st_size > before

            for step, given in steps:
                assert synced(step, **given), step
            looks = {"place": 2, "number": 3, "wanted": "2026-03-02", "skip": 0, "limit": 9}
            for step in store._READING:
                assert not synced(step, **looks), step
            logged = logged_branch(ticket_record(step) for step in one.outbox())
            assert synced("restore", "B2", **restored(logged))
            one.day = date(2026, 3, 3)
            assert synced("call", counter="1"), "the step that begins a day, though it calls nobody"
    finally:
        found.kill()


def test_a_log_file_that_ends_anywhere_behind_the_last_answer(machine: Machine) -> None:
    """All acknowledged steps are there; the one behind them is there as a whole, or not at all."""
    with stored(machine.server.url) as one:
        for number in range(6):
            one.issue(("gold", "ordinary")[number % 2])
        one.run("call", counter="1")
        kept, before = machine.log_file.stat().st_size, one.run("live")
        one.run("call", counter="2")  # whoever asked never hears of it
        whole = machine.log_file.read_bytes()
        behind = one.run("live")
        assert len(whole) > kept
        seen = set()
        for cut in sorted(
            {kept, kept + 1, len(whole) - 1, len(whole), *random.Random(7).sample(range(kept, len(whole)), 5)}
        ):
            machine.kill()
            machine.log_file.write_bytes(whole[:cut])
            machine.start()
            one.runner.run(one.store.client.connection_pool.disconnect())
            found = one.run("live")
            assert found in (before, behind), cut
            seen.add(found == behind)
            steps = [ticket_record(step) for step in one.outbox()]
            tickets = {ticket["place"]: ticket for ticket in found["tickets"]}
            assert queue_differences(logged_branch(steps), found, tickets) == []
        assert seen == {False, True}


def test_64_counters_and_a_server_that_dies(machine: Machine) -> None:
    """Retries, lost answers, clicks twice, two kills: no ticket at two counters, none lost, none called that never was issued."""
    with stored(machine.server.url, now_s=None) as one:
        history = one.runner.run(_bustle(one, machine))
        steps = one.outbox()
        records = logged_branch(ticket_record(step) for step in steps)
        assert not records.holes and not records.disputed
        issued = {step["place"] for step in steps if step["action"] == "issued"}
        called = Counter(step["place"] for step in steps if step["action"] == "called")
        assert history.issued <= issued, "acknowledged tickets that are lost"
        assert set(called.values()) == {1}, "a ticket at two counters"
        at = {step["place"]: step["counter"] for step in steps if step["action"] == "called"}
        assert all(at[place] == counter for place, counter in history.called.items())
        done = {step["place"] for step in steps if step["action"] == "completed"}
        assert history.completed <= done
        assert issued == set(called) == done, "everybody was served, once"
        by_request = Counter(step["request"] for step in steps)
        assert set(by_request.values()) == {1}, "a request that was done twice"
        assert history.others == 0 and history.lost > COUNTERS and history.down > 0 and history.busy > 0, vars(history)


class History:
    """Kiosks and counters at once, and what those who asked have heard; whoever hears nothing asks again with the same id."""

    def __init__(self, store: TicketStore) -> None:
        self.store, self.dice, self.over = store, random.Random(11), asyncio.Event()
        self.issued: set[int] = set()
        self.called: dict[int, str] = {}
        self.completed: set[int] = set()
        self.kiosks_done = self.lost = self.down = self.busy = self.others = 0

    async def heard(self, step: str, request: str, **given: Any) -> Any:
        """The answer, however often it takes; now and then an answer is lost on its way."""
        while True:
            try:
                found = await self.store.run(step, "B1", request, **given)
            except StoreDownError:
                self.down += 1
                await asyncio.sleep(0.05)
                continue
            if self.dice.random() < 0.2:
                self.lost += 1
                continue
            return found

    async def kiosk(self, name: int) -> None:
        for number in range(TICKETS_ISSUED // KIOSKS):
            given = {"class": self.dice.choice(["gold", "ordinary"]), "service": "cash", "prefix": "A"}
            self.issued.add((await self.heard("issue", f"k{name}-{number}", **given))["ticket"]["place"])
        self.kiosks_done += 1
        if self.kiosks_done == KIOSKS:
            self.over.set()

    async def click(self, name: str, request: str) -> Any:
        try:
            return await self.heard("call", request, counter=name)
        except StepRefusedError as refused:
            self.busy += refused.code == "counter-busy"
            self.others += refused.code != "counter-busy"
            return None

    async def counter(self, name: str) -> None:
        number = 0
        while True:
            number += 1
            fingers = range(1 + (number % 3 == 0))
            twice = await asyncio.gather(*(self.click(name, f"{name}-{number}-{finger}") for finger in fingers))
            mine = {found["ticket"]["place"] for found in twice if found}
            assert len(mine) <= 1, "two tickets at one counter"
            if not mine:
                if self.over.is_set():
                    return
                await asyncio.sleep(0.01)
                continue
            (place,) = mine
            self.called[place] = name
            await self.heard("complete", f"{name}-{number}-done", counter=name, place=place, served=[])
            self.completed.add(place)


async def _bustle(one: Stored, machine: Machine) -> History:
    """All of it, while the server dies twice."""
    pool = redis.asyncio.BlockingConnectionPool.from_url(machine.server.url, max_connections=100, timeout=5)
    one.store.client = redis.asyncio.Redis(connection_pool=pool)
    history = History(one.store)

    async def kills() -> None:
        for _ in range(2):
            await asyncio.sleep(0.3)
            await asyncio.to_thread(machine.kill)
            await asyncio.to_thread(machine.start)

    async with asyncio.timeout(60):
        kiosks, counters = range(KIOSKS), range(COUNTERS)
        await asyncio.gather(*map(history.kiosk, kiosks), *(history.counter(f"c{n}") for n in counters), kills())
    await pool.disconnect()
    one.store.client = redis.asyncio.Redis.from_url(machine.server.url)
    return history
