"""Every command that reads, and every process, with every setting wrong in turn: refused, or the same answer."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from multiprocessing import get_context
from typing import Any
from unittest import mock

from confluent_kafka import Producer
from fastapi.testclient import TestClient
from redis import Redis

from agents.engine.reader import LogReader
from deploy.connections.clients import librdkafka
from deploy.settings import SettingKind, Settings
from schemas.partitioner import partition_of
from services.queue.tickets.setup import Behind
from services.views.keys import Keys
from streams.calendar import date_of
from tests.chaos.given import Given
from tests.chaos.site.bank import GOOD, Bank
from tests.chaos.system import Result
from tests.cli.calling import Called, call
from tests.queue.test_service import application, new_lookup
from tests.world.wrong_settings import (
    AS_PROCESS,
    ELSEWHERE,
    NO_REGISTRY,
    PROCESSES,
    READING,
    REFUSED_S,
    VALUES,
    fault,
    of_kind,
    refusal,
)
from tidegauge.branch.log import read_branch
from tidegauge.demo.processes import environment

SIDE_BY_SIDE = 2  # processes at a time
ANSWERED = (0, 1)  # 1: a check that has found something
BRANCH = "B1"


@contextmanager
def settings_read() -> Iterator[set[str]]:
    """The settings that anybody reads meanwhile."""
    names, found = frozenset(Settings.model_fields), set[str]()

    def read(settings: Settings, name: str) -> Any:
        if name in names:
            found.add(name)
        return object.__getattribute__(settings, name)

    with mock.patch.object(Settings, "__getattribute__", read):
        yield found


class Pairs:
    """A bank with a view, dead letters and tickets, its right answers, and the settings that each command reads for them."""

    def __init__(self, bank: Bank, ticket: tuple[str, str]) -> None:
        self.bank, self.other = bank, bank.folder / "other"
        self.other.mkdir()
        alert, day = bank.outputs("rm-alerts")[0], date_of(bank.last)
        self.names = {
            "day": day, "next": day + timedelta(1), "customer": alert["customer_id"], "rm": alert["rm_id"],
            "letter": _letter(bank), "today": ticket[0], "ticket": ticket[1],
        }  # fmt: skip
        self.seconds = Counter[str]()  # that each command took, and each setting
        self.right, self.reads = dict[str, Called](), dict[str, set[str]]()
        for command in READING:
            with settings_read() as self.reads[command]:
                done = self.right[command] = bank.tell(*self.words(command))
            good = (done.code in ANSWERED and done.out) or (command == NO_REGISTRY and not refusal(done, 0.0, command))
            bank.expect(f"{command} as it should be", good, done)
        unread = set(VALUES).difference(*self.reads.values())
        bank.expect("settings that no command reads", unread <= set(ELSEWHERE), sorted(unread ^ set(ELSEWHERE)))

    def check_of(self, name: str) -> str:
        """The command by which a setting is tried where it is tried by one: the first that reads it."""
        mine = AS_PROCESS.get(name) or next((command for command, read in self.reads.items() if name in read), "")
        return mine or next(iter(READING))

    def words(self, command: str) -> list[str]:
        """The command's words."""
        return READING[command].words.format(**self.names).split()

    def value(self, name: str) -> str:
        """A wrong value."""
        return VALUES[name].format(other=self.other)

    def all_commands(self, hands: Executor) -> Iterator[tuple[str, list[str]]]:
        """Each setting, and what is wrong with the commands under its wrong value."""
        pairs = [(name, command) for name in VALUES for command in READING]
        env, limit_s = environment(self.bank.settings), self.bank.patience(REFUSED_S)
        envs = [env | {f"TIDEGAUGE_{name.upper()}": self.value(name)} for name, _ in pairs]
        wrong: list[str] = []
        answers = hands.map(timed, [self.words(command) for _, command in pairs], envs)
        for (name, command), (done, seconds) in zip(pairs, answers, strict=True):
            self.seconds.update({command: seconds, name: seconds})
            wrong += filter(None, [fault(name, command, done, self.right[command], seconds, limit_s)])
            if command == list(READING)[-1]:
                yield name, wrong
                wrong = []

    def in_process(self, name: str, command: str, limit_s: float) -> str:
        """What is wrong with a pair that is called here."""
        env = environment(self.bank.settings) | {f"TIDEGAUGE_{name.upper()}": self.value(name)}
        done, seconds = timed(self.words(command), env)
        return fault(name, command, done, self.right[command], seconds, limit_s)

    def as_process(self, name: str, command: str, limit_s: float) -> str:
        """What is wrong with a pair as a process of its own."""
        done, seconds = self.bank.child(self.words(command), 6 * limit_s, **{name: self.value(name)})
        return fault(name, command, done, self.right[command], seconds, limit_s)

    def one_each(self, processes: Collection[str] = VALUES) -> list[str]:
        """Every setting with its one command, these as processes of their own and the others here; what is wrong."""
        limit_s = self.bank.patience(REFUSED_S)
        with ThreadPoolExecutor(SIDE_BY_SIDE) as hands:
            said = list(hands.map(lambda name: self.as_process(name, self.check_of(name), limit_s), processes))
        said += [self.in_process(name, self.check_of(name), limit_s) for name in VALUES if name not in processes]
        return [wrong for wrong in said if wrong]

    def must_not_begin(self, some: int | None = None) -> list[str]:
        """What is wrong with the processes, each with some of the settings that it must refuse."""
        jobs = [(command, name) for command, names in PROCESSES.items() for name in list(names)[:some]]
        with ThreadPoolExecutor(SIDE_BY_SIDE) as hands:
            return [said for said in hands.map(lambda job: self.refused(*job), jobs) if said]

    def refused(self, command: str, name: str) -> str:
        """What is wrong with a process that must not begin."""
        limit_s = self.bank.patience(REFUSED_S)
        done, seconds = self.bank.child(command.split(), 6 * limit_s, **{name: self.value(name)})
        wrong = refusal(Called(done.code, "", done.out + done.err), seconds, command, limit_s)
        return f"TIDEGAUGE_{name.upper()}, {command}: {wrong}" if wrong else ""


def timed(words: Sequence[str], env: Mapping[str, str]) -> tuple[Called, float]:
    """A command called in this process, and the seconds that it took."""
    began = time.monotonic()
    return call(*words, env=env), time.monotonic() - began


def prepared(bank: Bank) -> Pairs:
    """A bank of some months whose view is built, with a dead letter and a branch's tickets. It needs a server for each."""
    bank.key_in_folder()
    bank.start()
    views = bank.begin("views")
    bank.load(100)
    bank.wait(lambda: '"degraded": false' in bank.tell("queue", "lookup", "C000001", "--json").out, "a view")
    # Whose the view is, is told at the writer's look at the log's identity, which may be behind its rows: the worker writes it.
    with Redis.from_url(bank.settings.redis) as client:
        world = Keys.of(bank.settings.topic_prefix).world
        bank.wait(lambda: client.hexists(world, "zone") and client.hexists(world, "reference_key"), "whose view it is")
    assert views.poll() is None, bank.said()
    return Pairs(bank, _tickets(bank))


def _letter(bank: Bank) -> str:
    """The place of a dead letter: about a record of somebody else's, where a customer's belong."""
    producer, key = Producer(librdkafka(bank.settings.kafka)), b"C000001"
    place = partition_of(key, bank.settings.partitions)
    producer.produce(bank.settings.topic("transactions"), b"foreign", key, place)
    assert producer.flush(20) == 0

    def letters() -> list[dict[str, Any]]:
        return list(json.loads(bank.tell("dead-letters", "list", "--json").out))

    bank.wait(lambda: letters() != [], "a letter")
    return str(letters()[0]["place"])


def _tickets(bank: Bank) -> tuple[str, str]:
    """The day of a branch, and one of its tickets, once all its steps are in the log."""
    app = application(bank.settings)
    behind = Behind(bank.settings, app.state.ticketing, new_lookup, LogReader, ("relay",))
    with TestClient(app) as client:

        def ask(who: str, path: str) -> None:
            head = {"Authorization": f"Bearer tgk_{who}", "Idempotency-Key": f"{who}{path}{time.monotonic_ns()}"}
            assert client.post(path, headers=head, json={}).is_success

        for who, path in (("kiosk", "/v1/tickets"), ("kiosk", "/v1/tickets"), ("counter", "/v1/counters/1/next")):
            ask(who, path)
        behind.start()
        try:
            bank.wait(lambda: len(read_branch(bank.settings, BRANCH).steps) == 3, "the tickets' steps")
        finally:
            behind.stop()
    step = read_branch(bank.settings, BRANCH).steps[0]
    return str(date_of(step["day"])), step["ticket_id"]


def settings_pairs(given: Given) -> Result:
    """Every setting wrong in turn, with every command that reads and every process."""
    with given.servers() as urls, given.bank("settings", **urls) as bank:
        pairs = prepared(bank)
        bank.fault(f"{len(VALUES)} settings wrong, {len(READING)} commands and {len(PROCESSES)} processes")
        # Some 0.6 s each, most of it processor time: in processes that have imported everything, one for each core.
        with ProcessPoolExecutor(SIDE_BY_SIDE, get_context("spawn")) as begun:
            for name, wrong in pairs.all_commands(begun):
                bank.expect(f"TIDEGAUGE_{name.upper()} wrong", not wrong, wrong or "refused, or the same answer")
        bank.say(f"slowest: {', '.join(f'{what} {took:.0f} s' for what, took in pairs.seconds.most_common(20))}")
        wrong, jobs = pairs.must_not_begin(), sum(map(len, PROCESSES.values()))
        bank.expect(f"{jobs} processes that must not begin", not wrong, wrong or "refused")
        wrong = pairs.one_each()
        bank.expect(f"{len(VALUES)} commands as processes", not wrong, wrong or "refused, or the same answer")
        _taste(bank, pairs)
        return bank.result()


def _taste(bank: Bank, pairs: Pairs) -> None:
    """A worker that has all of its taste otherwise counts as the others do."""
    bank.stop()
    ports = ("metrics_port", "metrics_host", "lookup_port", "lookup_metrics_port", "kafka_home")
    rotation = ("reference_key_previous", "reference_key_retire")
    others = {name: pairs.value(name) for name in of_kind(SettingKind.TASTE) if name not in (*ports, *rotation)}
    bank.extra = {f"TIDEGAUGE_{name.upper()}": value for name, value in others.items()}
    bank.start()
    bank.extra = {}  # the worker's alone: another actor may import nothing
    bank.wait_ready()
    bank.load(3)
    bank.expect("a worker of another taste", bank.readyz().code == GOOD, f"{len(others)} settings")
    bank.judge()
