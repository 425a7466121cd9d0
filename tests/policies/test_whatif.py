"""What another pack would have done to a real bank: the Berka data under two versions, every tier against SQL."""

import datetime as dt
import io
import json
import os
import re
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner

from agents.offline.replay import Trial
from connectors.formats.sources import read_source
from connectors.loading.arrival import days
from deploy.settings import Settings
from policies import load_pack, parse_pack
from services.access.decision import Action, DataKind
from tests.integration.expect import Berka, low_pack
from tests.standing.partition import Topics, conf, customer
from tests.twins.events import day, posting
from tidegauge.cli.actor import asked, sees
from tidegauge.cli.language import speaker
from tidegauge.cli.policy import whatif
from tidegauge.cli.policy.command import app
from tidegauge.cli.policy.words import POLICY_WORDS

RUN = CliRunner()
DOCS = Path(__file__).resolve().parents[2] / "docs"
FROM = "1994-01-01"
LOWER = {'"40000.00"': '"30000.00"', '"60000.00"': '"75000.00"'}


@pytest.mark.parametrize("lang", ["en", "zh-CN"])
@pytest.mark.parametrize("running", [(), (("one", 1), ("two", 2))])
def test_whatever_it_takes_the_place_of_is_named(lang, running):
    """A layer scheme may be the first one, and a pack may take the place of a pack for each class of customers."""
    found = whatif.PackEffect(load_pack("layered-care"), running, FROM, FROM, 1, {}, [])
    out = Console(file=io.StringIO(), width=300)
    out.print(whatif._shown(found, speaker(POLICY_WORDS, lang)))
    names = [pack_id for pack_id, _ in running] or [POLICY_WORDS[lang]["no_pack"]]
    assert all(name in out.file.getvalue() for name in names)


@pytest.mark.slow
def test_moves_are_those_of_sql(berka_dir, tmp_path, monkeypatch):
    """Before and after of everybody at the last close, the counts a tier and a branch, table and picture."""
    old, new, picture = low_pack(tmp_path), tmp_path / "second.yaml", tmp_path / "moves.svg"
    text = old.read_text(encoding="utf-8").replace("version: 2", "version: 3")
    for was, now in LOWER.items():
        text = text.replace(was, now)
    new.write_text(text, encoding="utf-8")
    monkeypatch.setenv("TIDEGAUGE_PACK", str(old))
    monkeypatch.setenv("TIDEGAUGE_REFERENCE_KEY", "a reference key for tests, 32 bytes long")
    words = ("whatif", "--pack", str(new), "--from", FROM, "--files", str(berka_dir))
    done = RUN.invoke(app, [*words, "--json", "--picture", str(picture)])
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    last = list(days(read_source("berka", berka_dir, "Asia/Shanghai"), "berka"))[-1].day
    before, after = (Berka(berka_dir, pack, last, last - 31) for pack in (old, new))  # of the last month's end alone
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


@pytest.mark.slow
def test_what_cannot_be_tried(berka_dir, tmp_path, monkeypatch):
    """A template is refused as an activation would be; a day behind the history is bad usage."""
    monkeypatch.setenv("TIDEGAUGE_REFERENCE_KEY", "a reference key for tests, 32 bytes long")
    words = ("--files", str(berka_dir), "--from", FROM)
    assert RUN.invoke(app, ["whatif", "--pack", "three-card", *words]).exit_code == 1
    assert RUN.invoke(app, ["whatif", "--pack", "no-such", *words]).exit_code == 1


@pytest.mark.slow
def test_the_worked_example(berka_dir, tmp_path, monkeypatch):
    """R-250: docs/policies.md as written: its two packs, the table that is printed and the picture that is drawn."""
    page = (DOCS / "policies.md").read_text(encoding="utf-8").split("\n## What if\n")[1].split("\n## ")[0]
    show, *edits = re.findall(r"^```sh\n(.*?)^```", page, re.MULTILINE | re.DOTALL)[0].splitlines()
    monkeypatch.chdir(tmp_path)
    body = RUN.invoke(app, show.split(" > ")[0].removeprefix("tidegauge policy ").split()).stdout
    Path("czech.yaml").write_text(body, encoding="utf-8")
    for edit in edits:
        subprocess.run(edit, shell=True, check=True, env={"PATH": os.environ["PATH"]})
    for name, value in (
        ("PACK", "czech.yaml"),
        ("BASE_CURRENCY", "CZK"),
        ("REFERENCE_KEY", "a reference key for tests, 32 bytes long"),
    ):
        monkeypatch.setenv(f"TIDEGAUGE_{name}", value)
    command, _, expected = re.findall(r"^```console\n(.*?)^```", page, re.MULTILINE | re.DOTALL)[0].partition("\n")
    words = command.removeprefix("$ tidegauge policy ").split()
    done = RUN.invoke(app, [*words, "--files", str(berka_dir)])
    assert done.exit_code == 0, done.output
    assert [line.rstrip() for line in done.stdout.splitlines()] == expected.splitlines()
    assert Path("whatif.svg").read_text(encoding="utf-8") == (DOCS / "whatif.svg").read_text(encoding="utf-8")


def test_an_actor_sees_his_own_unit():
    """docs/cli.md#who-asks: who may export for a unit gets its customers alone; others are refused before anything is read."""
    second = parse_pack(conf().pack.body.replace("version: 2", "version: 3").replace('"100000.00"', '"10000.00"'))
    second = replace(second, effective_from=dt.date(2024, 2, 1))
    trial = Trial(conf(), second)
    log = Topics()
    for name, branch in (("C1", "east/1"), ("C2", "west/2"), ("C3", "")):
        log.tell([customer(name, branch=branch), posting(1, 8_000_000, "2023-11-01", customer=name, account=name)])
    log.tell([day("2024-01-31"), day("2024-02-29")])
    trial.feed([log.block(topic, 0, end) for topic, end in log.ends.items() if end])
    for actor, expected in (("operator:hq", {"C1", "C2", "C3"}), ("president:east", {"C1"}), ("president:2", set())):
        who = asked(Settings(), actor, Action.EXPORT, DataKind.TIER)
        found = whatif._compare(
            [trial], second, lambda branch, who=who: sees(who, Action.EXPORT, DataKind.TIER, branch)
        )
        assert {move.customer_id for move in found.moves} == expected
        assert found.customers == len(expected)
    refused = RUN.invoke(app, ["whatif", "--pack", "no-such", "--from", FROM, "--as", "rm:74"])
    assert "rm may not export tier" in str(refused.exception)
