"""`tidegauge policy whatif`: who would stand where if another pack had been in force from a day on."""

import datetime as dt
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer
from rich.console import Group
from rich.table import Table
from rich.text import Text

from deploy.settings import Settings
from services.access.decision import Action, DataKind
from tidegauge.cli.actor import AS, asked, sees
from tidegauge.cli.choices import SILENCE, Lang, SourceFormat, iso_date
from tidegauge.cli.data.refused import Refused
from tidegauge.cli.data.trials import trial_of_files, trials_of_topics
from tidegauge.cli.language import LANG, language, speaker
from tidegauge.cli.output import (
    BAD_INPUT,
    JSON,
    CommandError,
    check_folder,
    console,
    emit,
    notes,
)
from tidegauge.cli.picture import save_picture
from tidegauge.cli.policy.activate import pack_from
from tidegauge.cli.policy.words import POLICY_WORDS

if TYPE_CHECKING:
    from agents.offline.lost import NoLongerHeld
    from agents.offline.replay import Standing, Trial
    from policies import Pack

BAR_CHARS = 40
BRANCHES_SHOWN, MOVES_SHOWN = 15, 10
_NONE = "none"
Say = Callable[..., str]


@dataclass(frozen=True)
class Move:
    """A customer who would be in another tier."""

    customer_id: str
    customer_class: str
    branch: str
    before: str
    after: str
    direction: str  # by rank, counted from the lowest tier of either pack


@dataclass(frozen=True)
class PackEffect:
    """What came out. `tiers`: for each class and tier, lowest first, customers under the running pack and the new one."""

    pack: "Pack"
    running: tuple[tuple[str, int], ...]  # (id, version) of the packs it takes the place of
    first_day: str
    last_day: str
    customers: int
    tiers: dict[str, dict[str, tuple[int, int]]]
    moves: list[Move]
    lost: tuple["NoLongerHeld", ...] = ()  # what the log no longer holds

    def branches(self) -> list[tuple[str, int, int]]:
        """(branch, customers who move up, customers who move down), most moves first."""
        counts = Counter((move.branch, move.direction) for move in self.moves)
        names = {move.branch for move in self.moves}
        rows = [(name, counts[name, "up"], counts[name, "down"]) for name in names]
        return sorted(rows, key=lambda row: (-row[1] - row[2], row[0]))


def whatif(
    pack: str = typer.Option(..., "--pack", help="A pack that ships, or a YAML file."),
    since: dt.date = typer.Option(
        ..., "--from", parser=iso_date, help="The day from which it would have been in force."
    ),
    path: Path | None = typer.Option(None, "--files", help="Files instead of the live system's topics."),
    form: SourceFormat = typer.Option(SourceFormat.BERKA, "--format", help="Of the files (docs/formats.md)."),
    picture: Path | None = typer.Option(None, "--picture", help="An SVG file for the tables and bars."),
    silence_days: int = SILENCE,
    as_json: bool = JSON,
    actor: str = AS,
    lang: Lang | None = LANG,
) -> None:
    """Replay the real history under another pack or version, and list who would be in another tier at the last close.

    Reads topics or files and computes here; the live system is not touched. An export: an actor of a unit gets the customers of
    that unit and of those below it.
    """
    settings = Settings()
    say = speaker(POLICY_WORDS, language(lang, settings))
    who = asked(settings, actor, Action.EXPORT, DataKind.TIER, about="all customers")
    new = pack_from(pack, since)
    check_folder(picture)
    refused = Refused(settings)
    trials = (
        trials_of_topics(settings, new)
        if path is None
        else [trial_of_files(settings, new, path, form, silence_days, refused)]
    )
    found = _compare(trials, new, lambda branch: sees(who, Action.EXPORT, DataKind.TIER, branch))
    if as_json:
        emit(_machine(found))
    else:
        console.print(_shown(found, say))
    if picture is not None:
        save_picture(_shown(found, say), f"tidegauge policy whatif --pack {new.id} --from {found.first_day}", picture)
        notes.print(say("picture", file=picture))
    refused.end("what is printed is computed from the good ones")


def _compare(trials: "list[Trial]", new: "Pack", seen: Callable[[str | None], bool]) -> PackEffect:
    """Both ends of the history, of every customer of a branch that is seen."""
    from agents.offline.lost import no_longer_held
    from agents.offline.replay import standings_of
    from policies.lifecycle.state import day_number
    from streams.calendar import date_of

    closed = max(trial.other.ledger.closed for trial in trials)
    if closed < day_number(new.effective_from) - 1:
        last = f"the last closed day is {date_of(closed)}" if closed >= 0 else "no day is closed"
        raise CommandError(f"--from {new.effective_from} is behind the history: {last}", code=BAD_INPUT)
    before: dict[str, Standing] = {}
    after: dict[str, Standing] = {}
    for trial in trials:
        old = standings_of(trial.running, new.kind)
        before |= {name: one for name, one in old.items() if seen(_branch(one))}
        after |= {name: now for name, now in standings_of(trial.other, new.kind).items() if name in before}
    moves = [
        Move(name, old.customer_class, old.branch, old.tier or _NONE, after[name].tier or _NONE,
             "up" if after[name].rank >= old.rank else "down")
        for name, old in sorted(before.items()) if _moved(old, after[name])
    ]  # fmt: skip
    packs = trials[0].running.decider.packs
    layers = {} if packs.layers is None else dict.fromkeys(packs.layers.classes, packs.layers)
    running = packs.running if new.kind == "tiers" else layers
    instead = dict.fromkeys((pack.id, pack.version) for name, pack in running.items() if name in new.classes)
    tiers = {
        name: _counts([old.tier for old in before.values() if old.customer_class == name],
                      [now.tier for now in after.values() if now.customer_class == name],
                      _ids(running.get(name), name), _ids(new if name in new.classes else running.get(name), name))
        for name in sorted({old.customer_class for old in before.values()}, reverse=True)
    }  # fmt: skip
    return PackEffect(
        new,
        tuple(instead),
        str(new.effective_from),
        str(date_of(closed)),
        len(before),
        tiers,
        moves,
        no_longer_held(new, _held(trials)),
    )


def _held(trials: "list[Trial]") -> dict[str, int]:
    """From which day on every partition holds a topic whose beginning is gone."""
    topics = {topic for trial in trials for topic in trial.held}
    return {topic: max(trial.held.get(topic, 0) for trial in trials) for topic in topics}


def _branch(standing: "Standing") -> str | None:
    return None if standing.branch == "-" else standing.branch


def _moved(old: "Standing", now: "Standing") -> bool:
    """From the lowest tier to the lowest is no move, whatever it is called."""
    return old.tier != now.tier and (old.rank > 0 or now.rank > 0)


def _ids(pack: "Pack | None", customer_class: str) -> list[str]:
    known = {} if pack is None else pack.classes
    return [tier.id for tier in known[customer_class].tiers] if customer_class in known else [_NONE]


def _counts(before: list[Any], after: list[Any], old: list[str], new: list[str]) -> dict[str, tuple[int, int]]:
    was, now = (Counter(tier or _NONE for tier in tiers) for tiers in (before, after))
    return {tier: (was[tier], now[tier]) for tier in dict.fromkeys((*new, *old))}


def _machine(found: PackEffect) -> dict[str, Any]:
    from streams.calendar import date_of

    running = ", ".join(f"{pack_id} version {version}" for pack_id, version in found.running) or _NONE
    return {
        "pack": found.pack.id, "version": found.pack.version, "running": running, "from": found.first_day,
        "last_close": found.last_day, "customers": found.customers, "moved": len(found.moves),
        "tiers": [{"customer_class": kind, "tier": tier, "before": was, "after": now}
                  for kind, rows in found.tiers.items() for tier, (was, now) in rows.items()],
        "branches": [{"branch": name, "up": up, "down": down} for name, up, down in found.branches()],
        "moves": [vars(move) for move in found.moves],
        "no_longer_held": [{"kind": one.kind, "name": one.name, "known_from": str(date_of(one.since))} for one in found.lost],
    }  # fmt: skip


def _shown(found: PackEffect, say: Say) -> Group:
    """Tables and bars."""
    running = ", ".join(say("running", pack=pack_id, version=version) for pack_id, version in found.running)
    head = say(
        "head", pack=found.pack.id, version=found.pack.version, first=found.first_day, last=found.last_day,
        running=running or say("no_pack"), moved=len(found.moves), customers=found.customers,
    )  # fmt: skip
    parts: list[Any] = [Text(head), *(Text(_lost(one, say)) for one in found.lost), Text()]
    parts += [_tier_table(kind, rows, say) for kind, rows in found.tiers.items() if set(rows) != {_NONE}]
    if found.moves:
        parts += [_move_table(found, say), _branch_table(found, say), _who(found, say)]
    return Group(*parts)


def _lost(one: "NoLongerHeld", say: Say) -> str:
    from streams.calendar import date_of

    return say(f"lost.{one.kind}", name=one.name, since=str(date_of(one.since)))


def _tier_table(kind: str, rows: dict[str, tuple[int, int]], say: Say) -> Table:
    """A tier a row, highest first, with bars before (░) and after (█)."""
    title, most = say("customers_a_tier", kind=say(kind)), max(map(max, rows.values()))
    table = _table(say, title, "tier", "now", "then", "change", "")
    for tier, (was, now) in reversed(rows.items()):
        bars = "\n".join(sign * round(BAR_CHARS * count / max(most, 1)) for sign, count in (("░", was), ("█", now)))
        table.add_row(tier, str(was), str(now), f"{now - was:+d}", bars)
    return table


def _move_table(found: PackEffect, say: Say) -> Table:
    table = _table(say, say("moves"), "class", "from", "to", "customers", "direction")
    counts = Counter((move.customer_class, move.before, move.after, move.direction) for move in found.moves)
    for (kind, before, after, direction), count in sorted(counts.items(), key=lambda item: (-item[1], item[0])):
        table.add_row(say(kind), before, after, str(count), say(f"c.{direction}"))
    return table


def _branch_table(found: PackEffect, say: Say) -> Table:
    table, rows = _table(say, say("branches"), "branch", "up", "down"), found.branches()
    for name, up, down in rows[:BRANCHES_SHOWN]:
        table.add_row(name, str(up), str(down))
    if rest := rows[BRANCHES_SHOWN:]:
        table.add_row(say("others", n=len(rest)), str(sum(row[1] for row in rest)), str(sum(row[2] for row in rest)))
    return table


def _who(found: PackEffect, say: Say) -> Table:
    table = _table(say, say("customers"), "customer", "branch", "from", "to")
    for move in found.moves[:MOVES_SHOWN]:
        table.add_row(move.customer_id, move.branch, move.before, move.after)
    if len(found.moves) > MOVES_SHOWN:
        table.add_row(say("others", n=len(found.moves) - MOVES_SHOWN), "", "", say("all"))
    return table


def _table(say: Say, title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left")
    for column in columns:
        is_number = column in ("now", "then", "change", "customers", "up", "down")
        table.add_column(say(f"c.{column}") if column else "", justify="right" if is_number else "left", no_wrap=True)
    return table
