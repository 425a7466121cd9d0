"""`tidegauge queue simulate` against a day that is gone through second by second; over any tickets, changes and counters."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.cli.invocation import call
from tests.queue.slow import slow_day

CLASSES = ["diamond", "platinum", "gold", "ordinary"]
HEAD_STARTS = [1800, 1200, 600, 0]
TICKETS = ("ticket", "arrives_at", "class", "service_seconds", "changes")
COUNTERS = ("counter", "opens_at", "closes_at", "classes")
# Few different seconds, so that much happens at one of them; some far from the rest, for the head starts.
SECONDS = st.sampled_from([0, 1, 2, 3, 4, 10, 11, 500, 599, 600, 601, 1100, 1200, 1201, 1790, 1800, 1801])
CHANGES = st.lists(st.tuples(SECONDS, st.sampled_from(CLASSES)), max_size=3)


@st.composite
def days(draw: Any) -> tuple[list[dict[str, str]], list[dict[str, str]]]:
    """The rows of both files."""
    tickets = [
        {
            "ticket": f"t{number}", "arrives_at": str(draw(SECONDS)), "class": draw(st.sampled_from(CLASSES)),
            "service_seconds": str(draw(st.sampled_from([1, 2, 3, 90, 600, 1200]))),
            "changes": ";".join(f"{at}:{name}" for at, name in draw(CHANGES)),
        }
        for number in range(draw(st.integers(1, 14)))
    ]  # fmt: skip
    counters = []
    for number in range(draw(st.integers(1, 4))):
        opens, closes = sorted((draw(SECONDS), draw(st.sampled_from([2, 600, 1801, 2500]))))
        listed = draw(st.sets(st.sampled_from(CLASSES)))
        counters.append({
            "counter": f"c{number}", "opens_at": str(opens), "closes_at": str(closes), "classes": ";".join(listed),
        })  # fmt: skip
    return tickets, counters


def written(folder: Path, name: str, columns: tuple[str, ...], rows: list[dict[str, str]]) -> Path:
    """A file of rows."""
    with io.StringIO(newline="") as text:
        writer = csv.DictWriter(text, columns)
        writer.writeheader()
        writer.writerows(rows)
        path = folder / name
        path.write_text(text.getvalue(), newline="")
    return path


def simulated(
    folder: Path, tickets: list[Any], counters: list[Any], order: str, pack: str = "rolling-quarter-aum"
) -> Any:
    """What the command writes."""
    done = call(
        "queue", "simulate", "--tickets", str(written(folder, "tickets.csv", TICKETS, tickets)), "--pack", pack,
        "--counters", str(written(folder, "counters.csv", COUNTERS, counters)), "--order", order,
        "--out", str(folder / "out.csv"),
    )  # fmt: skip
    assert done.code == 0, done.err
    with (folder / "out.csv").open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.slow
@pytest.mark.parametrize("order", ["head_start", "strict", "first_come"])
def test_simulation_is_the_slow_one(order: str, tmp_path: Path) -> None:
    """When each ticket is called, where, and after whom, is what going through the seconds gives."""

    @settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(days())
    def holds(day: Any) -> None:
        assert simulated(tmp_path, *day, order) == slow_day(*day, CLASSES, HEAD_STARTS, order)

    holds()


def day_of(*rows: str) -> list[dict[str, str]]:
    return [dict(zip(TICKETS, row.split(","), strict=True)) for row in rows]


def test_one_instant(tmp_path: Path) -> None:
    """Changes come first, then arrivals, then each counter calls once in the file's order; who closes calls no more."""
    tickets = day_of(
        "a,10,ordinary,5,10:gold",
        "b,10,ordinary,5,",
        "c,10,gold,5,",
        "d,10,ordinary,5,",
        "e,15,ordinary,1,",
        "f,20,gold,1,",
    )
    counters = [
        {"counter": "one", "opens_at": "10", "closes_at": "20", "classes": ""},
        {"counter": "two", "opens_at": "0", "closes_at": "100", "classes": "ordinary"},
    ]
    found = [tuple(row.values()) for row in simulated(tmp_path, tickets, counters, "head_start")]
    assert found == [
        ("a", "10", "one", ""),  # of the classes that changes and arrivals of that second have made: before c by issue
        ("b", "10", "two", ""),
        ("c", "15", "one", ""),
        ("d", "15", "two", ""),
        ("e", "20", "two", ""),
        ("f", "", "", ""),  # one is closed, two may not
    ]


def test_overtakers(tmp_path: Path) -> None:
    """Named are those that came later and were called while it waited, by a counter that could have called it, in their order."""
    tickets = day_of(
        "x,0,ordinary,100,",
        "o,1,ordinary,9,",
        "g,2,gold,9,",
        "v,3,diamond,50,",
        "p,4,platinum,9,150:ordinary",
        "l,5,gold,9,",
    )
    counters = [
        {"counter": "all", "opens_at": "0", "closes_at": "9999", "classes": ""},
        {"counter": "vip", "opens_at": "0", "closes_at": "9999", "classes": "diamond"},
    ]
    found = {row["ticket"]: row for row in simulated(tmp_path, tickets, counters, "head_start")}
    assert found["v"]["counter"] == "vip", "called at once, by a counter that may not call o"
    assert found["o"]["overtaken_by"] == "p;g;l"
    assert found["g"]["overtaken_by"] == "p"
    assert found["p"]["overtaken_by"] == ""


def test_drawn_days_are_the_same_again(tmp_path: Path) -> None:
    """A seed gives a day, and another seed another one."""
    outs = []
    for name, seed in (("a", "7"), ("b", "7"), ("c", "8")):
        done = call("queue", "simulate", "--profile", "branch-day", "--seed", seed, "--out", str(tmp_path / name))
        assert done.code == 0
        outs.append((tmp_path / name).read_bytes())
    assert outs[0] == outs[1] != outs[2]
