"""Every command that reads, and every process, with every setting wrong in turn: refused, or the same answer."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from datetime import timedelta
from multiprocessing import get_context

from redis import Redis

from deploy.settings import SettingKind
from services.views.keys import Keys
from streams.calendar import date_of
from tests.chaos.given import Given
from tests.chaos.site.bank import GOOD, Bank
from tests.chaos.system import Result
from tests.cli.invocation import Called, call
from tests.world.wrong_settings import AS_PROCESS, READING, REFUSED_S, VALUES, fault, of_kind, refusal
from tidegauge.demo.processes import environment

IDENTITY, PLACES = of_kind(SettingKind.IDENTITY), ("bootstrap_servers", "redis_url")
SIDE_BY_SIDE = 2  # processes at a time
ANSWERED = (0, 1)  # 1: a check that has found something

# What runs on, how it says that it does, and the settings of which a wrong value must be refused.
PROCESSES = {
    "worker --metrics-port 0": [*IDENTITY, "bootstrap_servers", "data_dir"],
    "views": ["bootstrap_servers", "topic_prefix", "redis_url"],
    "notices": ["bootstrap_servers", "topic_prefix", "redis_url", "group"],
}


class Pairs:
    """A bank with a view, and its right answers."""

    def __init__(self, bank: Bank) -> None:
        self.bank, self.other = bank, bank.folder / "other"
        self.other.mkdir()
        day = date_of(bank.last)
        self.names = {"day": day, "next": day + timedelta(1), "customer": self._alerted()}
        self.seconds = Counter[str]()  # that each command took, and each setting
        self.right = {command: bank.tell(*self.words(command)) for command in READING}
        for command, done in self.right.items():
            bank.expect(f"{command} as it should be", done.code in ANSWERED and done.out, done)

    def _alerted(self) -> str:
        return str(self.bank.outputs("rm-alerts")[0]["customer_id"])

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
        """Every setting with one command, these as processes of their own and the others here; what is wrong."""
        first, limit_s = next(iter(READING)), self.bank.patience(REFUSED_S)
        with ThreadPoolExecutor(SIDE_BY_SIDE) as hands:
            said = list(hands.map(lambda name: self.as_process(name, AS_PROCESS.get(name, first), limit_s), processes))
        said += [self.in_process(name, first, limit_s) for name in VALUES if name not in processes]
        return [wrong for wrong in said if wrong]

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
    """A bank of a month whose view is built."""
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
    return Pairs(bank)


def settings_pairs(given: Given) -> Result:
    """Every setting wrong in turn, with every command that reads and every process."""
    with given.redis() as url, given.bank("settings", redis_url=url) as bank:
        pairs = prepared(bank)
        bank.fault(f"{len(VALUES)} settings wrong, {len(READING)} commands and {len(PROCESSES)} processes")
        # Some 0.6 s each, most of it processor time: in processes that have imported everything, one for each core.
        with ProcessPoolExecutor(SIDE_BY_SIDE, get_context("spawn")) as begun:
            for name, wrong in pairs.all_commands(begun):
                bank.expect(f"TIDEGAUGE_{name.upper()} wrong", not wrong, wrong or "refused, or the same answer")
        bank.say(f"slowest: {', '.join(f'{what} {took:.0f} s' for what, took in pairs.seconds.most_common(20))}")
        jobs = [(command, name) for command, names in PROCESSES.items() for name in names]
        with ThreadPoolExecutor(SIDE_BY_SIDE) as hands:
            wrong = [said for said in hands.map(lambda job: pairs.refused(*job), jobs) if said]
        bank.expect(f"{len(jobs)} processes that must not begin", not wrong, wrong or "refused")
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
    bank.wait_ready()
    bank.load(3)
    bank.extra = {}
    bank.expect("a worker of another taste", bank.readyz().code == GOOD, f"{len(others)} settings")
    bank.judge()
