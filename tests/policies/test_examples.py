"""The example programmes: their cases and worlds, worked by hand, and that nothing in them is idle."""

import csv
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import policies
from agents.offline.replay import replay_arrivals
from agents.standing.model import StandingConf
from deploy.settings import Settings
from policies import load_pack
from policies.cases.decision import run_cases
from policies.language.loader import idle_settings
from schemas.codec.records import decode_one, encode
from schemas.registry import file_registry
from tests.twins.events import day
from tidegauge.cli.data.refused import Refused, arrivals
from tidegauge.cli.policy.command import app

TOLD = ("pending", "notice", "withdrawn", "service", "refused")  # of these a table names every one
FOLDER = Path(policies.__path__[0]) / "examples"
EXAMPLES = sorted(path.parent.name for path in FOLDER.glob("*/pack.yaml"))


@pytest.mark.parametrize("name", EXAMPLES)
def test_cases_worked_by_hand(name):
    """Limits to the fen, month by month."""
    with (FOLDER / name / "cases.csv").open(encoding="utf-8", newline="") as lines:
        results = list(run_cases(lines, folder=FOLDER / name))
    assert len(results) >= 3
    assert [(one.case_id, one.tier, one.problem) for one in results if not one.good] == []


@pytest.mark.slow
@pytest.mark.parametrize("name", EXAMPLES)
def test_worlds_worked_by_hand(name):
    """The events of some customers, and the tier that each close gives them from the next day on."""
    pack = load_pack(FOLDER / name / "pack.yaml")
    assert pack.id == name
    assert idle_settings(pack.body) == ()
    with (FOLDER / name / "tiers.csv").open(encoding="utf-8", newline="") as lines:
        rows = list(csv.DictReader(lines))
    last = max(day(row["as_of"]) for row in rows)
    said = lived(name, pack, last)
    assert not [one for one in said if one["topic"] == "dead-letters"]
    for row in rows:
        at = day(row["as_of"])
        mine = [c for c in said if c["topic"] == "tier-changes" and c["customer_id"] == row["customer_id"]]
        changes = [c for c in mine if c["effective_date"] <= at + 1]
        tier = (
            max(changes, key=lambda c: c["effective_date"])["to_tier"]
            if changes
            else pack.classes["personal"].tiers[0].id
        )
        assert tier == row["tier"], (row, [m for c in changes for m in c["metrics"]])
    wanted = decisions(name)
    found = {one for one in map(decision, said) if one[2] in TOLD or one in wanted}
    assert found == wanted


def lived(name, pack, last):
    """What is published while the world of an example goes by."""
    said: list[dict[str, Any]] = []

    def keep(topic: str, _key: bytes | None, value: bytes | None) -> None:
        said.append({"topic": topic} | decode_one(value or b"", file_registry(2)))

    found = arrivals(Settings(), FOLDER / name / "world", "csv", Refused(Settings()), last, 400)
    conf = StandingConf("CNY", "Asia/Shanghai", pack, b"a key of the tests", file_registry(2))
    replay_arrivals(
        conf,
        found,
        lambda topic, record: encode(topic, record, file_registry(2)),
        last,
        None,
        keep,
        ("tier-changes", "decisions", "dead-letters"),
    )
    return said


def decision(record):
    """Customer, day, kind, reason, before, after and first day of what was decided."""
    if record["topic"] == "tier-changes":
        first = record["effective_date"]
        return record["customer_id"], first - 1, "tier", record["reason"], record["from_tier"], record["to_tier"], first
    names = ("customer_id", "day", "kind", "reason", "before", "after", "effective_date")
    return tuple(record[name] for name in names)


def decisions(name):
    """Those that the table of an example names."""
    path = FOLDER / name / "said.csv"
    if not path.exists():
        return set()
    with path.open(encoding="utf-8", newline="") as lines:
        return {
            (row["customer_id"], day(row["day"]), row["kind"], row["reason"], row["before"] or None,
             row["after"] or None, day(row["effective_date"]))
            for row in csv.DictReader(lines)
        }  # fmt: skip


def test_the_command_runs_them_all():
    """`policy cases` takes the folder."""
    done = CliRunner().invoke(app, ["cases", str(FOLDER)])
    assert done.exit_code == 0, done.output
