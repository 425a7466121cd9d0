"""The whole demo with few customers, and `explain` on what it leaves."""

import asyncio
import json
import os
from io import StringIO

import pytest
from rich.console import Console

from deploy.connections.caller import OPERATOR, act_as
from deploy.settings import Settings
from schemas.codec.records import decode_one
from services.access.audit import AUDIT_FILE, AUDIT_LOG
from tests.chaos.check import read
from tests.cli.invocation import call
from tidegauge import explanation
from tidegauge.cli.output import CommandError
from tidegauge.demo.processes import environment, fresh_folder
from tidegauge.demo.run import Demo, Options

WAIT_S = 420


def command(settings, *arguments):
    """A `tidegauge` command with the settings of a demo, in this process."""
    done = call(*arguments, env=environment(settings))
    act_as(OPERATOR)
    return done


@pytest.mark.integration
@pytest.mark.system
@pytest.mark.slow
@pytest.mark.timeout(WAIT_S * 2)
def test_demo_and_explain(kafka, redis_server, tmp_path):
    """Five months with a killed worker: all seven stories are told and every figure is right; explain finds that a
    customer's decisions hold, has a standing for one without any, and does not know a stranger."""
    around = Settings(bootstrap_servers=kafka.bootstrap_servers, redis_url=redis_server, data_dir=tmp_path)
    out = StringIO()
    demo = Demo(around, Options(customers=50, seed=7, month_s=0.0), Console(file=out, width=200))
    assert demo.run(), out.getvalue()
    text = out.getvalue()
    assert "kill -9" in text
    assert all(f"Story {number} of 7" in text for number in range(1, 8))
    assert text.count("good  ") == 10 and "WRONG" not in text

    found = asyncio.run(explanation.explain(demo.settings, demo.stories["upgrade"].customer_id))
    assert found.holds and found.standing
    assert [verdict.told.record["to_tier"] for verdict in found.of("tier-changes")] == ["gold", "platinum", "diamond"]
    told = command(demo.settings, "explain", demo.stories["late_posting"].customer_id)
    assert told.code == 0, told.err
    assert "late_posting" in told.out and "it holds" in told.out
    quiet = json.loads(command(demo.settings, "explain", demo.stories["broken_balance"].customer_id, "--json").out)
    assert quiet["standing"]["as_of"] == "2026-05-31" and quiet["decisions"] == [] and quiet["holds"]
    assert [found["state"] for found in quiet["restatements"]] == ["holds", "holds"]
    assert not quiet["gaps"]
    change = found.of("tier-changes")[0].told.name
    one = command(demo.settings, "explain", change, "--lang", "zh-CN")
    assert one.code == 0 and "按日志重新计算：成立" in one.out and one.out.count("日终决定") == 1
    strangers = [
        command(demo.settings, "explain", name, "--as", "rm:nowhere").err.replace(name, "X")
        for name in (demo.stories["upgrade"].customer_id, "nobody")
    ]
    assert strangers[0] == strangers[1] and "no customer X is known" in strangers[0]
    assert command(demo.settings, "explain", "nobody").code == 2
    assert command(demo.settings, "explain", f"{change}-x").code == 2
    logs = (read(demo.settings.kafka, demo.settings.topic(AUDIT_LOG), p) for p in range(demo.settings.partitions))
    written = [decode_one(value or b"", name=AUDIT_LOG) for log in logs for _, _, value in log]
    entries = [entry for entry in written if not entry["chain"].startswith("tickets/")]
    assert all(entry["details"]["request_id"] for entry in entries)
    assert not (demo.settings.data_dir / AUDIT_FILE).exists(), "there is a broker"
    assert [entry["outcome"] for entry in entries] == ["allowed"] * 3 + ["denied"] * 4
    assert (entries[-1]["resource"], entries[-1]["reason"]) == (f"decisions of {change}-x", "other_unit")


def test_only_a_demos_folder_is_wiped(tmp_path):
    """A folder with something else in it is refused and left alone."""
    (tmp_path / "mine.txt").write_text("precious")
    with pytest.raises(CommandError, match="was not made by a demo"):
        fresh_folder(Settings(data_dir=tmp_path))
    assert (tmp_path / "mine.txt").read_text() == "precious"
    fresh_folder(Settings(data_dir=tmp_path / "new"))
    assert (tmp_path / "new").is_dir()


def test_environment_has_the_settings_and_no_others(monkeypatch, tmp_path):
    """What a child is told is what the demo decided, whatever stands in the environment around it."""
    monkeypatch.setenv("TIDEGAUGE_BASE_CURRENCY", "JPY")
    settings = Settings(
        data_dir=tmp_path, base_currency="CNY", reference_key="a reference key for tests, 32 bytes long"
    )
    child = environment(settings)
    assert child["TIDEGAUGE_BASE_CURRENCY"] == "CNY"
    assert child["TIDEGAUGE_REFERENCE_KEY"] == "a reference key for tests, 32 bytes long"
    assert "TIDEGAUGE_BOOTSTRAP_SERVERS" not in child
    assert child["PATH"] == os.environ["PATH"]
