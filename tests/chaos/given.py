"""What a scenario is given: brokers, a seed, how much, and how long."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from deploy.embedded.stack import Stack
from deploy.record import read_record
from deploy.settings import Settings
from services.database.setup import make_ready
from tests.chaos.brokers import ChaosStack
from tests.chaos.load import Load
from tests.chaos.site.bank import Bank
from tests.chaos.system import System

Say = Callable[[str], None]
CUSTOMERS_WITH_SNAPSHOTS_MAX = 4000  # beyond it, expectations are plain sums over postings


@dataclass(frozen=True)
class Given:
    """What a scenario gets: brokers, a seed, how much, and how long."""

    stack: ChaosStack
    seed: int
    customers: int = 0  # 0: the scenario's own number
    short: bool = False  # the version of `make test`
    say: Say = print

    def load(self, **more: object) -> Load:
        """The load, smaller in the short version."""
        own = Load(seed=self.seed, **more)
        if self.short:
            own = replace(
                own, customers=600, events=min(own.events, 12_000), days=min(own.days, 45), rate=min(own.rate, 1500)
            )
        if self.customers:
            own = replace(own, customers=self.customers)
        return replace(own, snapshots=0) if own.customers > CUSTOMERS_WITH_SNAPSHOTS_MAX else own

    @contextmanager
    def redis(self) -> Iterator[str]:
        """The URL of a Redis-protocol server of one's own."""
        own = Settings(bootstrap_servers="", redis_url="")
        with tempfile.TemporaryDirectory(prefix="tidegauge-redis-") as folder, Stack(
            Path(folder), own, with_kafka=False, any_ports=True, tether=True
        ) as store:  # fmt: skip
            yield store.redis_url

    @contextmanager
    def servers(self) -> Iterator[dict[str, str]]:
        """The settings of a view, of tickets and of an empty database, each on a server of one's own."""
        own = Settings(bootstrap_servers="", redis_url="", tickets_url="", database_url="")
        with tempfile.TemporaryDirectory(prefix="tidegauge-servers-") as folder:
            with Stack(
                Path(folder), own, with_kafka=False, with_tickets=True, with_postgres=True, any_ports=True, tether=True
            ) as store:  # fmt: skip
                home = Path(read_record(Path(folder))["postgres_home"])
                make_ready(store.settings)
                yield {
                    "redis_url": store.redis_url, "tickets_url": store.settings.tickets,
                    "database_url": store.settings.database,
                }  # fmt: skip
            shutil.rmtree(home, ignore_errors=True)  # of root it lies elsewhere

    def bank(self, name: str, **more: object) -> Bank:
        """A bank as its operator sees it, on the stack."""
        return Bank(self.stack.bootstrap_servers, name, self.seed, self.say, **more)

    def system(self, name: str, load: Load, **more: object) -> System:
        """A system on the stack."""
        return System(self.stack, name, self.seed, load, self.say, **more)
