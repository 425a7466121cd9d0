"""What `tidegauge queue bound`, `explain`, `day` print, and that docs/queue.md shows it as it is."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path

import pytest

from policies import load_pack
from streams.queue.discipline import QUEUE_ORDERS
from streams.queue.overtaking import OVERTAKING_CAUSES
from tests.cli.invocation import call
from tests.test_docs import DOCS
from tidegauge.cli.choices import QueueOrder
from tidegauge.cli.queue.words import QUEUE_WORDS

PAGE = (DOCS / "queue.md").read_text()
BLOCKS = dict(re.findall(r"^`(\w+\.csv)`.*?```csv\n(.*?)```", PAGE, re.MULTILINE | re.DOTALL))


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The page's files, in the folder that the commands run in."""
    monkeypatch.chdir(tmp_path)
    for name in ("tickets.csv", "counters.csv"):
        Path(name).write_text(BLOCKS[name])
    return tmp_path


def test_the_page_s_example(files: Path) -> None:
    """The commands give what the page shows."""
    for line in re.findall(r"^\$ tidegauge (.*)$", PAGE, re.MULTILINE):
        done = call(*line.split())
        assert done.code == 0, done.err
        if "explain" in line:
            assert squeezed(done.out) in squeezed(PAGE)
    assert Path("calls.csv").read_text() == BLOCKS["calls.csv"]


def squeezed(text: str) -> str:
    """Without what only fills columns."""
    return "\n".join(re.sub(r"[ ━─]+", " ", line).strip() for line in text.splitlines()).strip()


def test_the_page_s_table_of_bounds() -> None:
    """As `queue bound` prints it."""
    done = call("queue", "bound", "rolling-quarter-aum")
    table = done.out.split("The classes")[0]
    assert squeezed(table) in squeezed(PAGE)


def test_bound_as_json() -> None:
    """Minutes by the class that waits and the one that overtakes; null: no limit; what never overtakes is left out (R-248)."""

    def found(*words: str) -> dict:
        return json.loads(call("queue", "bound", "rolling-quarter-aum", "--json", *words).out)

    assert found()["overtaken_by_minutes"]["ordinary"] == {"diamond": 30, "platinum": 20, "gold": 10}
    assert found()["overtaken_by_minutes"]["diamond"] == {}
    assert found("--order", "strict")["overtaken_by_minutes"]["gold"] == {"diamond": None, "platinum": None}
    assert set(found("--order", "ratio")["overtaken_by_minutes"]["diamond"]) == {"platinum", "gold", "ordinary"}
    assert not any(found("--order", "first_come")["overtaken_by_minutes"].values())


def test_bound_names_the_cap(tmp_path: Path) -> None:
    """A pack's cap is printed, in both languages."""
    pack = tmp_path / "capped.yaml"
    pack.write_text(
        load_pack("rolling-quarter-aum").body.replace(
            "order: head_start ", "overtakers_max: 7\n      order: head_start "
        )
    )
    assert "once 7 have overtaken" in call("queue", "bound", str(pack)).out
    assert "7 人超过" in call("queue", "bound", str(pack), "--lang", "zh-CN").out
    assert json.loads(call("queue", "bound", str(pack), "--json").out)["overtakers_max"] == 7


def test_a_cause_for_each_way(tmp_path: Path) -> None:
    """By its class, raised meanwhile, the other one's lowered, its turn in the round."""
    (tmp_path / "t.csv").write_text(
        "ticket,arrives_at,class,service_seconds,changes\nx,0,gold,100,\nw,1,gold,9,50:ordinary\n"
        "d,2,diamond,9,\nr,3,ordinary,9,60:platinum\nf,4,gold,9,\n"
    )
    (tmp_path / "c.csv").write_text("counter,opens_at,closes_at,classes\n1,0,900,\n")
    words = ("--tickets", str(tmp_path / "t.csv"), "--counters", str(tmp_path / "c.csv"))
    found = json.loads(call("queue", "explain", "w", *words, "--json").out)
    assert [(one["ticket"], one["cause"], one["came_after_s"]) for one in found["overtaken_by"]] == [
        ("d", "class", 1), ("r", "rise", 2), ("f", "fall", 3),
    ]  # fmt: skip
    assert (found["called_s"], found["counter"], found["queue_class"]) == (127, "1", "ordinary")
    ratio = json.loads(call("queue", "explain", "w", *words, "--order", "ratio", "--json").out)
    assert {one["cause"] for one in ratio["overtaken_by"]} == {"round"}
    assert "nobody" in call("queue", "explain", "x", *words).out


def test_a_day_under_every_order(tmp_path: Path) -> None:
    """Waits by class as JSON, CSV and picture; the cost is the last class's mean wait over first_come's (R-142, R-149, R-287)."""
    table, picture = tmp_path / "waits.csv", tmp_path / "waits.svg"
    done = call(
        "queue",
        "day",
        "--profile",
        "branch-day",
        "--seed",
        "3",
        "--csv",
        str(table),
        "--picture",
        str(picture),
        "--json",
    )
    found = json.loads(done.out)
    assert tuple(found["orders"]) == QUEUE_ORDERS
    means = {order: {row["queue_class"]: row["mean_s"] for row in rows} for order, rows in found["orders"].items()}
    assert found["cost_s"] == means["head_start"]["ordinary"] - means["first_come"]["ordinary"] > 0
    assert means["strict"]["diamond"] <= means["head_start"]["diamond"] < means["first_come"]["diamond"]
    with table.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["order"] for row in rows if row["queue_class"] == ""] == list(QUEUE_ORDERS)
    assert {row["overtakers_most"] for row in rows if row["order"] == "first_come"} == {"0"}
    assert picture.read_text().startswith("<svg")
    assert "url(" not in picture.read_text().replace("url(#", "")
    assert "提前量" in call("queue", "day", "--profile", "branch-day", "--lang", "zh-CN").out


def test_words() -> None:
    """Both languages say the same things, of every order and cause."""
    assert QUEUE_WORDS["en"].keys() == QUEUE_WORDS["zh-CN"].keys()
    assert tuple(QueueOrder) == QUEUE_ORDERS
    assert {f"order.{order}" for order in QUEUE_ORDERS} <= QUEUE_WORDS["en"].keys()
    assert {f"cause.{cause}" for cause in OVERTAKING_CAUSES} <= QUEUE_WORDS["en"].keys()
