"""The demo's pieces: its checks find what is wrong, its words are complete, its screen needs no terminal."""

import datetime as dt
import string
from contextlib import ExitStack
from io import StringIO
from types import SimpleNamespace

import duckdb
import pytest
from rich.console import Console

from agents.standing.publish.standings import STANDING_FIELDS, STANDING_LISTS
from connectors.formats.events import DayEnd, Event
from connectors.simulate import START, simulate, stories
from deploy.settings import Settings
from streams.calendar import date_of, day_of
from streams.vocabulary.metrics import COLUMNS
from tidegauge.demo import checks, oracle
from tidegauge.demo.narration import RESOLVED, Narrator, story_problems, untold
from tidegauge.demo.run import Demo, Options
from tidegauge.demo.screen import DemoState, Screen
from tidegauge.demo.tables import Sent, known
from tidegauge.demo.texts import TEXTS, TIERS, Words, money_text
from tidegauge.demo.watch import Seen

LAST = day_of(dt.date(2026, 2, 28))
MIDDLE = day_of(dt.date(2026, 2, 15))
SCHEME = Demo._scheme()


@pytest.fixture(scope="module")
def bank():
    """Two months of twenty customers in the oracle's database, and its answers."""
    sent = Sent()
    for item in simulate(3, customers=20, months=2):
        if isinstance(item, Event):
            sent.add(item)
    with duckdb.connect() as con:
        sent.load(con)
        yield checks.Answers(con)


@pytest.fixture(scope="module")
def decided(bank):
    return checks.decide_tiers(bank, checks.month_closes(START, LAST), SCHEME)


def rows(bank, decided, day):
    """What a perfect system would say."""
    return [(*row, decided.in_force(row[0], day, "ordinary")) for row in bank.metrics(day, LAST)]


def test_scheme_is_the_packs():
    """The pack's numbers, read without the product's loader, are those that its loader gives."""
    from policies import load_pack
    from policies.compiled.pack import compile_pack

    pack = compile_pack(load_pack("rolling-quarter-aum"), 2)
    assert SCHEME.tiers == pack.tier_ids
    assert list(SCHEME.minimums) == pack.thresholds_minor.tolist()
    rules = pack.cases.rules
    single = rules.ids.index("outflow-single")
    assert [SCHEME.single.get(tier) for tier in SCHEME.tiers[1:]] == rules.floor_minor[single].tolist()[1:]
    assert [SCHEME.single_bp.get(tier) for tier in SCHEME.tiers[1:]] == rules.share_bp[single].tolist()[1:]
    assert SCHEME.tier(9_999_999 * 92 + 91, 92) == "ordinary"
    assert SCHEME.tier(10_000_000 * 92, 92) == "gold"


def test_right_standings_pass_and_each_wrong_figure_is_named(bank, decided):
    """Equal figures give no difference; a fen, a tier, a missing or an invented customer gives one each."""
    right = rows(bank, decided, MIDDLE)
    assert {row[-1] for row in right} > {"ordinary", "platinum"}
    assert checks.compare_standings(bank, MIDDLE, LAST, right, decided, SCHEME).differences == []
    fen, tier = list(right[0]), list(right[1])
    fen[3] += 1
    tier[-1] = "private"
    wrong = [tuple(fen), tuple(tier), *right[3:], ("X", *right[2][1:])]
    found = checks.compare_standings(bank, MIDDLE, LAST, wrong, decided, SCHEME)
    assert len(found.differences) == 4
    assert found.differences[0] == f"{fen[0]}: month_avg_1 is {fen[3]}, by SQL {fen[3] - 1}"


def test_published_standings(bank):
    """A standing of an older close, a missing one and a wrong figure are found."""
    records = {}
    for row in bank.metrics(LAST, LAST):
        given = dict(zip(oracle.ORACLE_COLUMNS, row, strict=True)) | {"month_to_date_avg": 0}
        values = {
            name: [given[COLUMNS[at + k]] for k in range(STANDING_LISTS.get(name, 1))]
            for name, at in STANDING_FIELDS.items()
        }
        fields = {name: several if name in STANDING_LISTS else several[0] for name, several in values.items()}
        records[row[0]] = {"customer_id": row[0], "as_of": LAST, **fields}
    assert checks.compare_published(bank, LAST, records).differences == []
    first, second, third = list(records)[:3]
    records[first] = records[first] | {"as_of": LAST - 1}
    records[second] = records[second] | {"year_avg_minor": -1}
    del records[third]
    assert len(checks.compare_published(bank, LAST, records).differences) == 3


def test_tier_changes(bank, decided):
    """Every change that SQL finds has to be there once; a change too many, missing or doubled is named."""
    records = [
        {"customer_id": customer, "from_tier": before, "to_tier": after, "effective_date": day}
        for customer, before, after, day in sorted(decided.changes)
    ]
    assert len(records) >= 5
    assert checks.compare_changes(decided, records).differences == []
    assert len(checks.compare_changes(decided, records[1:]).differences) == 1
    assert len(checks.compare_changes(decided, [*records, records[0]]).differences) == 1
    moved = [*records[1:], records[0] | {"effective_date": LAST + 2}]
    assert len(checks.compare_changes(decided, moved).differences) == 2


def test_decisions_know_only_what_had_arrived(bank):
    """What arrives after a close is no part of what SQL says that close should decide."""
    known(bank.con, START + 10)
    first = bank.con.execute("SELECT count(*) FROM raw_postings").fetchone()
    known(bank.con, LAST)
    assert bank.con.execute("SELECT count(*) FROM raw_postings").fetchone() > first
    assert checks.month_closes(START, LAST) == [day_of(dt.date(2026, 1, 31)), LAST]


def watched(**records):
    """A Watch that has seen these records."""
    names = ("tier-changes", "rm-alerts", "restatements", "queue-priority", "dead-letters")
    by_topic = {name: records.get(name.replace("-", "_"), []) for name in names}
    return SimpleNamespace(records=by_topic, times_published=checks.Counter(), standings={}, closed_everywhere=LAST)


def test_alerts_are_checked_against_raw_events(bank, decided):
    """A large debit without a case, and a case that tells of more than has left, are found."""
    story = stories(3)["outflow"]
    alert = {
        "rule": "outflow-single", "status": "raised", "customer_id": story.customer_id, "raised_day": story.day,
        "event_id": "a", "outflow_minor": -story.amount_minor, "kind": "outflow",
    }  # fmt: skip
    said = f"{story.customer_id} on {date_of(story.day)}: no case"
    others = watched(rm_alerts=[alert | {"kind": "downgrade_risk", "outflow_minor": 0}])
    assert said in checks.compare_singles(bank.con, decided, SCHEME, others).differences
    assert said not in checks.compare_singles(bank.con, decided, SCHEME, watched(rm_alerts=[alert])).differences
    assert said in checks.compare_singles(bank.con, decided, SCHEME, watched()).differences
    late = watched(rm_alerts=[alert | {"raised_day": story.day + 1}])
    assert said in checks.compare_singles(bank.con, decided, SCHEME, late).differences
    assert checks.internal_moves(bank.con, watched(rm_alerts=[alert])).differences == []
    for wrong in ({"outflow_minor": 1 - story.amount_minor}, {"customer_id": "nobody"}, {"raised_day": story.day - 40}):
        assert len(checks.internal_moves(bank.con, watched(rm_alerts=[alert | wrong])).differences) == 1, wrong


def test_doubled_outputs_are_found():
    """An id that comes twice is named, and so is a second standing of a day."""
    watch = watched(tier_changes=[{"event_id": "a"}, {"event_id": "a"}], restatements=[{"event_id": "a"}])
    watch.times_published.update({("C1", LAST): 2, ("C2", LAST): 1})
    assert len(checks.doubled(watch).differences) == 2


def test_stories_are_told_once_and_missing_ones_are_named():
    """A story's record makes its words, a second one makes none; a purchase that raised an alert is a problem."""
    told = stories(3)
    teller, watch = Narrator(told, Words("en")), watched()
    broken = told["broken_balance"]
    record = {
        "customer_id": broken.customer_id, "kind": "break_opened", "restated_day": broken.day,
        "amount_minor": broken.amount_minor, "business_day": broken.day,
    }  # fmt: skip
    (text,) = teller.hear(Seen("restatements", 0, record), watch)
    assert "12,345.67" in text and broken.customer_id in text and date_of(broken.day).isoformat() in text
    assert teller.hear(Seen("restatements", 0, record), watch) == []
    assert teller.hear(Seen("restatements", 0, record | {"customer_id": "C1"}), watch) == []
    assert "broken_balance" not in untold(teller) and RESOLVED in untold(teller)
    purchase = told["purchase"]
    held = {purchase.customer_id: 300_000_000}
    near = {"customer_id": purchase.customer_id, "event_id": "e", "kind": "upgrade_near"}
    watch.records["rm-alerts"].append(near)
    assert len(list(story_problems(teller, watch, held))) == len(untold(teller)), "of outflow alone"
    watch.records["rm-alerts"].append(near | {"kind": "outflow"})
    problems = list(story_problems(teller, watch, held))
    assert len(problems) == len(untold(teller)) + 1


def places(text):
    return {name for _, name, _, _ in string.Formatter().parse(text) if name is not None}


def test_both_languages_say_the_same():
    """English and Chinese have the same texts with the same places, and every tier has a name."""
    assert TEXTS["en"].keys() == TEXTS["zh-CN"].keys()
    for name, text in TEXTS["en"].items():
        assert places(text) == places(TEXTS["zh-CN"][name]), name
    assert TIERS["en"].keys() == TIERS["zh-CN"].keys() == set(SCHEME.tiers)
    assert money_text(-123_456_789) == "-1,234,567.89"
    assert money_text(5) == "0.05"


@pytest.mark.parametrize("terminal", [True, False])
def test_screen(terminal, monkeypatch):
    """A terminal gets a live table, a pipe gets plain lines without any control character."""
    monkeypatch.setattr("tidegauge.demo.screen.LINE_EVERY_S", 0.0)
    out = StringIO()
    console = Console(file=out, force_terminal=terminal, width=100)
    counts = {"alerts": 1, "changes": 2, "restatements": 3, "notices": 4}
    with Screen(console, Words("en")) as screen:
        screen.show(DemoState(START, 5_000, 100, 7, {"ordinary": 9, "gold": 1}, counts))
        screen.say("a story")
        screen.finding(checks.Finding("dead", {"n": 30}, [f"letter {i}" for i in range(30)]))
    text = out.getvalue()
    assert "2026-01-01" in text and "5,000" in text and "a story" in text and "and 10 more" in text
    assert ("\x1b" in text) == terminal


def test_day_ends_are_not_kept():
    """Only events are raw data."""
    sent = Sent()
    for item in simulate(3, customers=1, months=1):
        if not isinstance(item, DayEnd):
            sent.add(item)
    assert set(sent.counts()) == {"transactions", "balances", "fx-rates", "customers"}
    assert sent.counts()["customers"] == 8
    assert oracle.ORACLE_COLUMNS[0] == "customer_id"


def test_what_needs_keys_begins_behind_the_worker() -> None:
    """The first worker of a log makes its keys: a notifier that begins with it may be faster, and end the demo."""
    begun: list[str] = []

    class Programs:
        def start(self, name: str) -> None:
            begun.append(name)
            if name == "notices":
                raise InterruptedError

        def wait_ready(self, meanwhile: object) -> float:
            begun.append("ready")
            return 0.0

    demo = Demo(Settings(), Options(), Console(file=StringIO()))
    with pytest.raises(InterruptedError):
        demo._live_through(Programs(), ExitStack())
    assert begun == ["worker", "ready", "views", "notices"]
