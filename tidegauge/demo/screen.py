"""What the demo shows: a live table in a terminal, plain lines where there is none; stories as they happen."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from rich.console import Console, Group
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from tidegauge.demo.texts import Words, day_text

if TYPE_CHECKING:
    from tidegauge.demo.checks import Finding

SHOWN_MAX: Final = 20  # differences of one check
LINE_EVERY_S: Final = 5.0
TIER_STYLES: Final = {"ordinary": "dim", "gold": "yellow", "platinum": "white", "diamond": "cyan", "private": "magenta"}


@dataclass(slots=True)
class DemoState:
    """What there is to show at a moment."""

    day: int | None = None  # last day closed at the bank
    events: int = 0
    rate: int = 0
    lag: int = 0
    tiers: dict[str, int] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)  # alerts, changes, restatements, notices
    up: bool = True


class Screen:
    """Prints to a console; in a terminal with a live table below what is said."""

    def __init__(self, console: Console, words: Words) -> None:
        self.console, self.words = console, words
        self._live: Live | None = None
        self._lined_at = time.monotonic()
        self._lined: tuple[int, ...] = ()

    def say(self, text: str) -> None:
        """A line of text; the table stays below it."""
        self.console.print(text, soft_wrap=not self.console.is_terminal, markup=True, highlight=False)

    def __enter__(self) -> Screen:
        if self.console.is_terminal:
            self._live = Live(Text(), console=self.console, refresh_per_second=8, transient=True)
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None

    def show(self, state: DemoState) -> None:
        """The state as it is now; without a terminal a line every few seconds."""
        if self._live is not None:
            self._live.update(self._panel(state))
        elif time.monotonic() - self._lined_at >= LINE_EVERY_S and state.day is not None:
            if (now := (state.events, state.lag, *state.counts.values())) == self._lined:
                return
            self._lined_at, self._lined = time.monotonic(), now
            tiers = ", ".join(f"{self.words.tier(tier)} {count:,}" for tier, count in state.tiers.items())
            texts = {name: count for name, count in state.counts.items() if name != "notices"}
            day, counts = day_text(state.day), {"events": state.events, "rate": state.rate, "lag": state.lag}
            self.say(self.words("progress", day=day, tiers=tiers, **counts, **texts))

    def _panel(self, state: DemoState) -> Panel:
        left, right = Table.grid(padding=(0, 2)), Table.grid(padding=(0, 2))
        day = "" if state.day is None else day_text(state.day)
        left.add_row(self.words("day"), Text(day, style="bold"))
        left.add_row(self.words("events"), f"{state.events:,}")
        left.add_row(self.words("rate"), f"{state.rate:,}")
        left.add_row(self.words("lag"), f"{state.lag:,}")
        up = Text(self.words("state.up"), style="green") if state.up else Text(self.words("state.down"), style="red")
        left.add_row(self.words("state"), up)
        for name, count in state.counts.items():
            right.add_row(self.words(name), f"{count:,}")
        both = Table.grid(padding=(0, 6))
        both.add_row(left, right)
        return Panel(
            Group(both, Text(), self._bars(state.tiers)), title="Tidegauge", width=min(100, self.console.width)
        )

    def _bars(self, tiers: dict[str, int]) -> Table:
        """Customers by tier; a bar's length grows with the logarithm, so that the few rich are seen."""
        table = Table.grid(padding=(0, 2))
        for tier, count in tiers.items():
            bar = Text("█" * (3 * count.bit_length()), style=TIER_STYLES.get(tier, ""))
            table.add_row(self.words.tier(tier), Text(f"{count:,}", justify="right"), bar)
        return table

    def finding(self, found: Finding) -> None:
        """A check's result, and its differences."""
        good = not found.differences
        mark = f"[green]{self.words('good')}[/green]" if good else f"[red]{self.words('bad')}[/red]"
        self.say(f"  {mark}  {self.words(found.text, wrong=len(found.differences), **found.values)}")
        for difference in found.differences[:SHOWN_MAX]:
            self.console.print(f"      {difference}", markup=False, highlight=False, soft_wrap=True)
        if (more := len(found.differences) - SHOWN_MAX) > 0:
            self.say(f"      {self.words('more', n=more)}")
