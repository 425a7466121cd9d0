"""What another pack would have done to a real bank: the Berka data under two versions, every tier against SQL."""

import json

from typer.testing import CliRunner

from connectors.arrange import days
from connectors.sources import read_source
from tests.integration.expect import Berka, low_pack
from tidegauge.cli.policy import app

RUN = CliRunner()
FROM = "1994-01-01"
LOWER = {'"40000.00"': '"30000.00"', '"60000.00"': '"75000.00"'}


def test_moves_are_those_of_sql(berka_dir, tmp_path, monkeypatch):
    """Before and after of everybody at the last close, the counts a tier and a branch, table and picture."""
    old, new, picture = low_pack(tmp_path), tmp_path / "second.yaml", tmp_path / "moves.svg"
    text = old.read_text(encoding="utf-8").replace("version: 1", "version: 2")
    for was, now in LOWER.items():
        text = text.replace(was, now)
    new.write_text(text, encoding="utf-8")
    monkeypatch.setenv("TIDEGAUGE_PACK", str(old))
    monkeypatch.setenv("TIDEGAUGE_REFERENCE_KEY", "test key")
    words = ("whatif", "--pack", str(new), "--from", FROM, "--files", str(berka_dir))
    done = RUN.invoke(app, [*words, "--json", "--picture", str(picture)])
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    last = list(days(read_source("berka", berka_dir, "Asia/Shanghai"), "berka"))[-1].day
    before, after = (Berka(berka_dir, pack, last) for pack in (old, new))
    first = max(before.tiers)
    was, now = before.tiers[first], after.tiers[first]
    expected = {(customer, was[customer], now[customer]) for customer in was if was[customer] != now[customer]}
    assert {(move["customer_id"], move["before"], move["after"]) for move in found["moves"]} == expected
    assert expected
    assert found["moved"] == len(expected)
    assert sum(row["up"] + row["down"] for row in found["branches"]) == len(expected)
    for row in found["tiers"]:
        newcomers = found["customers"] - len(was) if row["tier"] == "ordinary" else 0  # of the open month
        assert row["before"] == list(was.values()).count(row["tier"]) + newcomers
        assert row["after"] == list(now.values()).count(row["tier"]) + newcomers
    drawn = picture.read_text(encoding="utf-8")
    assert drawn.startswith("<svg")
    assert "@font-face" not in drawn


def test_what_cannot_be_tried(berka_dir, tmp_path, monkeypatch):
    """A template is refused as an activation would be; a day behind the history is bad usage."""
    monkeypatch.setenv("TIDEGAUGE_REFERENCE_KEY", "test key")
    words = ("--files", str(berka_dir), "--from", FROM)
    assert RUN.invoke(app, ["whatif", "--pack", "three-card", *words]).exit_code == 1
    assert RUN.invoke(app, ["whatif", "--pack", "no-such", *words]).exit_code == 1
