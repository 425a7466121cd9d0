"""Runs the demo: stack, programs, the bank's five months, a kill in the middle, the stories, and the checks."""

from __future__ import annotations

import time
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from rich.console import Console

from connectors import simulate as bank
from deploy.embedded.stack import Stack
from deploy.errors import StackError
from deploy.settings import Settings
from policies import load_pack
from schemas.registry import registry_for
from streams.calendar import date_of
from tidegauge.demo import checks
from tidegauge.demo.feed import Feed
from tidegauge.demo.hall import DemoHall
from tidegauge.demo.narration import Narrator, story_problems
from tidegauge.demo.processes import (
    DEMO_PACK,
    NOTICES,
    VIEWS,
    WORKER,
    Programs,
    demo_settings,
    fresh_folder,
)
from tidegauge.demo.screen import DemoState, Screen
from tidegauge.demo.tables import Sent
from tidegauge.demo.texts import Words, day_text
from tidegauge.demo.watch import Progress, TopicWatch

if TYPE_CHECKING:
    from collections.abc import Iterator

    import duckdb

    from tidegauge.demo.checks import Finding, Scheme

DAYS_A_MONTH: Final = 30
KILL_AFTER_DAYS: Final = 78  # in the third month: behind three stories, before the others
MID_MONTH: Final = 15
STALL_S_MAX: Final = 120.0
VIEW_WAIT_S: Final = 30.0
OUTFLOW_MANAGER: Final = "RM-B01-0"  # of the stories' customers


@dataclass(frozen=True, slots=True)
class Options:
    """What can be chosen about a demo. `month_s`: seconds that a month takes at least."""

    customers: int = 1000
    seed: int = 1
    month_s: float = 10.0
    language: str = "en"
    keep: bool = False  # leave Kafka and Redis running
    secure: bool = False  # TLS, users and the least rights


class Demo:
    """One demo. `run` gives True when every check is good."""

    def __init__(self, around: Settings, options: Options, console: Console) -> None:
        self.options = options
        self.settings = demo_settings(around, bank.ZONE)
        self.words = Words(options.language)
        self.screen = Screen(console, self.words)
        self.registry = registry_for(self.settings)
        self.stories = bank.stories(options.seed)
        self.teller = Narrator(self.stories, self.words)
        self.sent, self.state = Sent(), DemoState()
        self.began = time.monotonic()

    def run(self) -> bool:
        """Everything, from the first server to the last check. StackError, PublishError where something fails."""
        say, words = self.screen.say, self.words
        fresh_folder(self.settings)
        customers = self.options.customers + len(self.stories)
        say(f"[bold]{words('title', customers=customers, seed=str(self.options.seed))}[/bold]")
        say(words("stack", folder=self.settings.data_dir))
        with ExitStack() as around:
            programs = Programs(self.settings, tether=True)
            around.callback(programs.stop)
            compiling = programs.compile()
            around.callback(compiling.kill)
            stack = Stack(
                self.settings.data_dir, self.settings, any_ports=True, tether=not self.options.keep,
                secure=self.options.secure, say=self._note, with_tickets=True,
            )  # fmt: skip
            if not self.options.keep:
                around.callback(stack.stop)
            stack.start()
            say(words("worker"))
            compiling.wait()
            self._live_through(programs, around)
            good = self._check()
        seconds = round(time.monotonic() - self.began)
        say(f"[bold {'green' if good else 'red'}]{words('all_good' if good else 'not_good', seconds=seconds)}[/]")
        self._look()
        return good

    def _note(self, text: str) -> None:
        self.screen.say(f"[dim]{text}[/dim]")

    # -- five months

    def _live_through(self, programs: Programs, around: ExitStack) -> None:
        programs.start(WORKER)
        seconds = programs.wait_ready(lambda: None)
        for name in (VIEWS, NOTICES):  # they need the keys that the first worker of a log makes
            programs.start(name)
        self.screen.say(self.words("worker_up", seconds=f"{seconds:.0f}", first=day_text(bank.START)))
        self.watch = TopicWatch(self.settings, self.registry)
        around.callback(self.watch.close)
        self.hall = DemoHall(self.settings, self.stories["upgrade"].customer_id, self.words)
        around.callback(self.hall.close)
        self.hall.begin()
        progress = Progress(self.settings)
        progress.start()
        around.callback(progress.halt)
        stream = bank.simulate(self.options.seed, self.options.customers, zone=self.settings.zone)
        feed = Feed(
            self.settings, self.registry, stream, self.sent, self.options.month_s / DAYS_A_MONTH,
            bank.START + KILL_AFTER_DAYS, lambda: self.watch.closed_everywhere,
        )  # fmt: skip
        around.callback(feed.halt)
        began = time.monotonic()
        feed.start()
        with self.screen:
            self._follow(programs, feed, progress)
        self.last = feed.day or 0
        self.screen.say(
            self.words(
                "ended", days=self.last - bank.START + 1, events=feed.events, seconds=round(time.monotonic() - began)
            )
        )

    def _follow(self, programs: Programs, feed: Feed, progress: Progress) -> None:
        """Until every close has come out everywhere; kills the worker once."""
        killed_at: float | None = None
        killed, moved, waiting = False, _StallWatch(), list[str]()
        while not (feed.finished and feed.day is not None and self.watch.closed_everywhere >= feed.day):
            for seen in self.watch.poll(0.1):
                waiting += self.teller.hear(seen, self.watch)
                self.hall.hear(seen)
            waiting += self.hall.texts()
            if killed_at is None:
                self._tell(waiting)
            if feed.failed is not None:
                raise feed.failed
            if feed.disturbed.is_set() and not killed:
                killed, killed_at = True, time.monotonic()
                self.screen.say(self.words("killed", day=day_text(feed.disturb_on)))
                programs.kill(WORKER)
                programs.start(WORKER)
            if killed_at is not None and programs.ready():
                self._recovered(killed_at)
                killed_at = None
            programs.check()
            self._show(feed, progress, up=killed_at is None)
            moved.look((feed.events, self.watch.closed_everywhere, killed_at))
        if killed_at is not None:
            programs.wait_ready(lambda: None)
            self._recovered(killed_at)
        for seen in self.watch.drain():
            waiting += self.teller.hear(seen, self.watch)
        self._tell(waiting)

    def _recovered(self, killed_at: float) -> None:
        self.screen.say(self.words("recovered", seconds=f"{time.monotonic() - killed_at:.0f}"))

    def _tell(self, texts: list[str]) -> None:
        for text in texts:
            self.screen.say(text)
        texts.clear()

    def _show(self, feed: Feed, progress: Progress, *, up: bool) -> None:
        state, records, tiers = self.state, self.watch.records, self.watch.tiers
        state.day, state.events, state.up = feed.day, feed.events, up
        state.rate, state.lag = progress.rate, progress.lag
        state.tiers = {tier: tiers[tier] for tier in ("ordinary", "gold", "platinum", "diamond", "private")}
        state.counts = {
            "alerts": sum(record["status"] == "raised" for record in records["rm-alerts"]),
            "changes": len(records["tier-changes"]),
            "restatements": len(records["restatements"]),
            "notices": len(records["notices"]),
        }
        self.screen.show(state)

    # -- the checks

    def _check(self) -> bool:
        import duckdb

        self.screen.say(f"[bold]{self.words('check', events=sum(self.sent.counts().values()))}[/bold]")
        good = True
        with duckdb.connect(config={"threads": 2}) as con:
            self.sent.load(con, self.settings.zone)
            for found in self._findings(con):
                self.screen.finding(found)
                good = good and not found.differences
        return good

    def _findings(self, con: duckdb.DuckDBPyConnection) -> Iterator[Finding]:
        from agents.offline.standings import all_standings
        from tidegauge.cli.data.standings import live_jobs

        scheme, last = self._scheme(), self.last
        answers = checks.Answers(con)
        decided = checks.decide_tiers(answers, checks.month_closes(bank.START, last), scheme)
        jobs = live_jobs(self.settings)
        middle = last - date_of(last).day + MID_MONTH
        for day in (last, middle):
            yield checks.compare_standings(answers, day, last, map(tuple, all_standings(jobs, day)), decided, scheme)
        yield checks.compare_published(answers, last, self.watch.standings)
        yield checks.compare_changes(decided, self.watch.records["tier-changes"])
        yield checks.compare_singles(con, decided, scheme, self.watch)
        yield checks.internal_moves(con, self.watch)
        yield checks.doubled(self.watch)
        yield checks.dead_letters(self.watch)
        yield self._view()
        held = {customer: record["aum_minor"] for customer, record in self.watch.standings.items()}
        problems = [*story_problems(self.teller, self.watch, held), *self.hall.problems()]
        yield checks.Finding("stories", {}, problems)

    @staticmethod
    def _scheme() -> Scheme:
        return checks.Scheme.read(load_pack(DEMO_PACK).body)

    def _view(self) -> Finding:
        """The Redis view has each customer's last standing, once it has caught up."""
        from services.assembly import redis_client
        from services.views.keys import Keys
        from services.views.queries import standing_of

        client, keys = redis_client(self.settings), Keys.of(self.settings.topic_prefix)
        until = time.monotonic() + VIEW_WAIT_S
        left = dict(self.watch.standings)
        while left and time.monotonic() < until:
            left = {
                customer: record
                for customer, record in left.items()
                if standing_of(client, keys, self.registry, customer) != record
            }
        return checks.Finding(
            "view", {"n": len(self.watch.standings)}, [f"{customer}: not as published" for customer in left]
        )

    # -- where to look

    def _look(self) -> None:
        say, words, told = self.screen.say, self.words, self.stories
        middle = date_of(self.last - date_of(self.last).day + MID_MONTH)
        say(f"[bold]{words('look')}[/bold]")
        commands = [
            (f"export TIDEGAUGE_DATA_DIR={self.settings.data_dir}", ""),
            *((f"export TIDEGAUGE_{name.upper()}={getattr(self.settings, name)}", "") for name in self._names()),
            ("tidegauge up", words("kept") if self.options.keep else words("look.up")),
            (f"tidegauge explain {told['upgrade'].customer_id}", words("look.explain")),
            (f"tidegauge standings --as-of {middle} --out standings.csv", words("look.standings")),
            (f"tidegauge alerts --customer {told['outflow'].customer_id}", words("look.alerts")),
            (f"tidegauge queue lookup {told['outflow'].customer_id}", words("look.queue")),
            *self._desk(),
            ("tidegauge down", words("look.down")),
        ]
        for command, text in commands:
            say(f"  {command}" + (f"   [dim]# {text}[/dim]" if text else ""))

    def _desk(self) -> list[tuple[str, str]]:
        """The desk, where one command runs all of it."""
        said = self.words("look.desk", port=str(self.settings.desk_port), rm=OUTFLOW_MANAGER)
        return [] if self.options.secure else [("tidegauge desk try", said)]

    def _names(self) -> tuple[str, ...]:
        """Settings that a command needs beside the folder, on servers that are not the demo's own."""
        return ("topic_prefix", "group") if self.settings.topic_prefix else ()


class _StallWatch:
    """Raises StackError when nothing has changed for too long."""

    def __init__(self) -> None:
        self._last: object = None
        self._at = time.monotonic()

    def look(self, now: object) -> None:
        """Compare with the last time."""
        if now != self._last:
            self._last, self._at = now, time.monotonic()
        elif time.monotonic() - self._at > STALL_S_MAX:
            raise StackError(f"nothing has moved for {STALL_S_MAX:.0f} s: {now}", "see worker.log in the demo's folder")
