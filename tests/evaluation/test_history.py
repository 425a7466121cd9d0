"""`alerts whatif` and `alerts calibrate` on a history in files."""

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from connectors.formats.sources import read_source
from policies import load_pack
from schemas.validation.columns import InputCheck
from streams.accounts.store import ID_BYTES_MAX
from streams.validity import JOURNAL_END
from tests.cli.invocation import call
from tidegauge.cli.alerts import calibrate
from tidegauge.evaluation import run
from tidegauge.evaluation.compare import changes, volume
from tidegauge.evaluation.steps import ScoredStep
from tidegauge.evaluation.synthetic_leavers import planted

ZONE = "Asia/Shanghai"
KEY = {"TIDEGAUGE_REFERENCE_KEY": "k" * 32}


def step(case: str, what: str, minute: int, customer: str = "C", kind: str = "outflow", rule: str = "r") -> ScoredStep:
    return ScoredStep(case, customer, kind, what, True, "high", minute * 60_000, 0, 1, 1, 1, rule, None, "cause")


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Seven months of forty customers."""
    path = tmp_path_factory.mktemp("history")
    made = call("simulate", "--labelled", "--customers", "40", "--months", "7", "--out", str(path))
    assert made.code == 0, made.err
    for facts in path.glob(
        "facts.*"
    ):  # of other kinds' rules, which the packs here do not have: a bank's own files have none
        facts.unlink()
    return path


def test_cases_are_paired_in_the_order_of_opening() -> None:
    """By customer and kind, within thirty days; what remains is told no more, or anew."""
    before = [step("a", "raised", 10), step("a", "deepened", 20), step("b", "raised", 60), step("c", "raised", 5, "D")]
    after = [step("x", "raised", 4), step("y", "raised", 60 + 31 * 1440), step("z", "raised", 5, "D", kind="break")]
    found = [(one.told.customer_id, one.before and one.before.case_id, one.after and one.after.case_id, one.minutes)
             for one in changes(before, after)]  # fmt: skip
    assert found == [("C", "a", "x", -6), ("C", "b", None, None), ("C", None, "y", None), ("D", None, "z", None),
                     ("D", "c", None, None)]  # fmt: skip


def test_volume_counts_lines() -> None:
    """Raised, deepened and the all-clear; a correction is read by nobody."""
    before = [
        step("a", "raised", 1),
        step("a", "corrected", 2),
        step("a", "retracted", 3),
        step("b", "raised", 1, rule="s"),
    ]
    assert volume(before, before[:1], lambda one: one.rule) == [("r", 2, 1), ("s", 1, 0)]


@pytest.mark.slow
def test_the_present_pack_changes_nothing(history: Path, tmp_path: Path) -> None:
    """Every case is found again, at the same minute, where the day is one on which tiers are decided anyway."""
    out = tmp_path / "cases.csv"
    found = call("alerts", "whatif", "--pack", "rolling-quarter-aum", "--from", "2026-02-01", "--files", str(history), "--json",
                 "--out", str(out), env=KEY)  # fmt: skip
    assert found.code == 0, found.err
    told = json.loads(found.out)
    assert told["cases_before"] == told["cases_after"] > 10
    assert [told[name] for name in ("no_more", "anew", "earlier", "later")] == [0, 0, 0, 0]
    assert all(row["before"] == row["after"] for rows in told["lines"].values() for row in rows)
    with out.open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == told["cases_before"]
    assert {row["minutes"] for row in rows} == {"0"}


@pytest.mark.slow
def test_a_pack_without_a_rule_tells_less(history: Path, tmp_path: Path) -> None:
    """Cases of the rule are told no more, in both languages, and in a picture."""
    pack, picture = tmp_path / "quieter.yaml", tmp_path / "whatif.svg"
    body = load_pack("rolling-quarter-aum").body
    pack.write_text(body[: body.index("      - id: outflow-7d")], encoding="utf-8")
    words = ("alerts", "whatif", "--pack", str(pack), "--from", "2026-03-01", "--files", str(history))
    told = json.loads(call(*words, "--json", env=KEY).out)
    rows = {row["rule"]: (row["before"], row["after"]) for row in told["lines"]["rule"]}
    assert rows["outflow-90d"][0] > 0 == rows["outflow-90d"][1]
    assert told["cases_after"] < told["cases_before"]
    assert min(one["before"] or one["after"] for one in told["cases"]) >= "2026-03-01"
    shown = call(*words, "--lang", "zh-CN", "--picture", str(picture), env=KEY)
    assert (shown.code, "不再提示" in shown.out, picture.read_text().startswith("<svg")) == (0, True, True)


def test_planted_leavers_are_what_their_labels_say(history: Path) -> None:
    """Their debits come on top of the history, on the days and of the amounts of the labels; the same seed, the same choice."""
    events = read_source("ndjson", history, ZONE)
    files = planted(events, 3, "CNY", ZONE)
    assert files.world == planted(events, 3, "CNY", ZONE).world
    assert len(files.events) - len(events) == sum(len(episode.debits) for episode in files.world.episodes) > 0
    assert {label.counts_as for label in files.world.labels} == {"leaver", "quiet"}
    for label, debits in files.world.episodes:
        assert sum(debit.amount for debit in debits) == label.amount_minor
        assert label.first_day <= label.day_80 <= label.last_day


@pytest.mark.parametrize("of", [{"journal_seq": JOURNAL_END - 1}, {"account_id": "A" * ID_BYTES_MAX}])
def test_whatever_is_planted_is_taken(history: Path, of: dict[str, Any]) -> None:
    """Of accounts with the largest numbers and the longest names too."""
    events = [
        event._replace(record=event.record | of) if event.topic == "transactions" else event
        for event in read_source("ndjson", history, ZONE)
    ]
    files = planted(events, 3, "CNY", ZONE)
    records = [event.record for event in files.events if event.topic == "transactions"]
    assert not any(InputCheck("transactions", ZONE).verdicts(records))


@pytest.mark.slow
def test_thresholds_for_a_wished_number_of_lines(history: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The lowest scale whose lines are few enough, with its thresholds; fewer lines cost recall or nothing."""
    replay, replayed = run.steps_under, list[Any]()
    # Three of the seven scales; and what two wishes have in common, the replay, is done once.
    monkeypatch.setattr(calibrate, "SCALES", calibrate.SCALES[::3])
    monkeypatch.setattr(run, "steps_under", lambda *given: replayed or replayed.extend(replay(*given)) or replayed)
    words = ("alerts", "calibrate", "--files", str(history), "--pack", "rolling-quarter-aum", "--lines")
    found = call(*words, "2", "--json")
    assert found.code == 0, found.err
    told = json.loads(found.out)
    fitting = [row["scale"] for row in told["scales"] if row["lines_p95"] <= 2]
    assert len(told["scales"]) == 3
    assert told["chosen"] == (fitting[0] if fitting else None)
    assert all(row["planted"] > 0 for row in told["scales"])
    if fitting:
        assert {row["rule"] for row in told["rules"]} >= {"outflow-single", "outflow-90d"}
    shown = call(*words, "1000", "--lang", "en")
    assert (shown.code, "0.40 times as high" in shown.out) == (0, True)
