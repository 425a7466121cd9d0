"""Every command that reads, and every process, with every setting wrong in turn: refused, or the same answer."""

from __future__ import annotations

import time
from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

from deploy.settings import SettingKind
from streams.calendar import date_of
from tests.chaos.given import Given
from tests.chaos.site.bank import GOOD, Bank
from tests.chaos.system import Result
from tests.cli.calling import Called
from tests.world.wrong_settings import AS_PROCESS, READING, REFUSED_S, VALUES, fault, of_kind, refusal

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

    def in_process(self, name: str, command: str, limit_s: float = REFUSED_S) -> str:
        """What is wrong with a pair that is called here."""
        began = time.monotonic()
        done = self.bank.tell(*self.words(command), **{name: self.value(name)})
        return fault(name, command, done, self.right[command], time.monotonic() - began, limit_s)

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


def prepared(bank: Bank) -> Pairs:
    """A bank of a month whose view is built."""
    bank.key_in_folder()
    bank.start()
    views = bank.begin("views")
    bank.load(100)
    bank.until(lambda: '"degraded": false' in bank.tell("queue", "lookup", "C000001", "--json").out)
    assert views.poll() is None, bank.said()
    return Pairs(bank)


def settings_pairs(given: Given) -> Result:
    """Every setting wrong in turn, with every command that reads and every process."""
    with given.redis() as url, given.bank("settings", redis_url=url) as bank:
        pairs = prepared(bank)
        bank.fault(f"{len(VALUES)} settings wrong, {len(READING)} commands and {len(PROCESSES)} processes")
        for name in VALUES:
            wrong = [said for command in READING if (said := pairs.in_process(name, command))]
            bank.expect(f"TIDEGAUGE_{name.upper()} wrong", not wrong, wrong or "refused, or the same answer")
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
