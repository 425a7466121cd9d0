"""The example programmes: their cases and worlds, worked by hand, and that nothing in them is idle."""

import csv
from pathlib import Path

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

FOLDER = Path(policies.__path__[0]) / "examples"
EXAMPLES = sorted(path.parent.name for path in FOLDER.glob("*/pack.yaml"))


@pytest.mark.parametrize("name", EXAMPLES)
def test_cases_worked_by_hand(name):
    """Limits to the fen, month by month."""
    with (FOLDER / name / "cases.csv").open(encoding="utf-8", newline="") as lines:
        results = list(run_cases(lines, folder=FOLDER / name))
    assert len(results) >= 3
    assert [(one.case_id, one.tier, one.problem) for one in results if not one.good] == []


@pytest.mark.parametrize("name", EXAMPLES)
def test_worlds_worked_by_hand(name):
    """The events of some customers, and the tier that each close gives them from the next day on."""
    pack = load_pack(FOLDER / name / "pack.yaml")
    assert pack.id == name
    assert idle_settings(pack.body) == ()
    with (FOLDER / name / "tiers.csv").open(encoding="utf-8", newline="") as lines:
        rows = list(csv.DictReader(lines))
    said: list[dict[str, object]] = []

    def keep(topic: str, _key: bytes | None, value: bytes | None) -> None:
        said.append({"topic": topic} | decode_one(value or b"", file_registry(2)))

    last = max(day(row["as_of"]) for row in rows)
    found = arrivals(Settings(), FOLDER / name / "world", "csv", Refused(Settings()), last, 400)
    conf = StandingConf("CNY", "Asia/Shanghai", pack, b"a key of the tests", file_registry(2))
    replay_arrivals(
        conf,
        found,
        lambda topic, record: encode(topic, record, file_registry(2)),
        last,
        None,
        keep,
        ("tier-changes", "dead-letters"),
    )
    assert not [one for one in said if one["topic"] == "dead-letters"]
    for row in rows:
        at = day(row["as_of"])
        changes = [c for c in said if c["customer_id"] == row["customer_id"] and c["effective_date"] <= at + 1]
        tier = (
            max(changes, key=lambda c: c["effective_date"])["to_tier"]
            if changes
            else pack.classes["personal"].tiers[0].id
        )
        assert tier == row["tier"], (row, [m for c in changes for m in c["metrics"]])


def test_the_command_runs_them_all():
    """`policy cases` takes the folder."""
    done = CliRunner().invoke(app, ["cases", str(FOLDER)])
    assert done.exit_code == 0, done.output
