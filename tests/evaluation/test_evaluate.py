"""`tidegauge alerts evaluate` and `simulate --labelled`, as they are called."""

import csv
import json
from datetime import datetime
from pathlib import Path

import pytest

from tests.cli.invocation import call
from tidegauge.cli.alerts import evaluate


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A world of a customer a way, in CSV, where labels stand beside files of events."""
    path = tmp_path_factory.mktemp("world")
    made = call("simulate", "--labelled", "--customers", "43", "--months", "6", "--format", "csv", "--out", str(path))
    assert made.code == 0, made.err
    assert "43 labels" in made.out
    return path


@pytest.mark.slow
def test_a_world_is_scored(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The machine's figures, every step as CSV, and a picture; of the seven scales three."""
    monkeypatch.setattr(evaluate, "SCALES", evaluate.SCALES[::3])
    steps, picture = tmp_path / "steps.csv", tmp_path / "curve.svg"
    found = call("alerts", "evaluate", "--world", str(folder), "--pack", "rolling-quarter-aum", "--json", "--cases", str(steps),
                 "--picture", str(picture))  # fmt: skip
    assert found.code == 0, found.err
    told = json.loads(found.out)
    assert (told["pack"], told["leavers"]["episodes"], told["quiet"]["customers"]) == ("rolling-quarter-aum", 14, 24)
    assert told["leavers"]["found"] > 0.5
    assert [one["scale"] for one in told["curve"]] == [0.4, 1, 2]
    noise = [one["quiet"]["cases"] for one in told["curve"]]
    assert noise[0] > noise[-1], "lower thresholds tell of more"
    assert told["other_kinds"]["break"] == {"labelled": 1, "found": 0, "of_others": 0}, "the pack has no rule of it"
    assert "matures_on" in found.err
    assert picture.read_text().startswith("<svg")
    with steps.open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert list(rows[0]) == [
        "case_id", "customer_id", "kind", "step", "provisional", "severity", "at", "day", "gross_out_minor", "net_out_minor",
        "reference_minor", "rule", "owner", "caused_by",
    ]  # fmt: skip
    assert {row["step"] for row in rows} >= {"raised", "deepened"}
    assert all(datetime.fromisoformat(row["at"]).utcoffset() is not None for row in rows)
    assert {row["owner"] for row in rows} == {"RM-001"}


@pytest.mark.slow
@pytest.mark.parametrize(("lang", "words"), [("en", "all who leave"), ("zh-CN", "全部流失")])
def test_a_score_is_read_in_both_languages(folder: Path, lang: str, words: str) -> None:
    """Tables by way, and what a manager reads."""
    found = call("alerts", "evaluate", "--world", str(folder), "--lang", lang)
    assert (found.code, words in found.out, "in_one_go" in found.out) == (0, True, True)
