"""A layer scheme beside the tier scheme: what standings and decisions say of it, and how it comes, changes and stays."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from fractions import Fraction
from typing import Any

import pytest

from agents.engine.job import RecoveryError
from agents.offline.replay import Trial, standings_of
from agents.offline.standings import kept_customers, standings_at
from agents.standing.job import StandingJob
from policies import PackError, decide, load_pack, parse_pack
from policies.lifecycle.state import day_number
from tests.standing.partition import Partition, Topics, conf, customer
from tests.standing.test_changeover import activation, pack_of
from tests.standing.test_lifecycle import LAYERS, crashed, fact
from tests.twins.events import day, posting

CARE = load_pack("layered-care")
RICH, POOR, FIRM = ({"customer": name, "account": name} for name in ("rich", "poor", "firm"))
HOLDINGS = (
    customer("firm", customer_class="corporate"),
    posting(1, 150_000_000, "2024-01-10", **RICH), posting(1, 3_000_000, "2024-01-10", **POOR),
    posting(1, 150_000_000, "2024-01-10", **FIRM),
)  # fmt: skip
JANUARY, FEBRUARY = day("2024-01-31"), day("2024-02-29")


def started(*steps: Any, layers: Any = CARE) -> Partition:
    """A partition under the rolling-quarter scheme, and beside it a layer scheme."""
    return Partition(Topics().tell(steps), StandingJob(replace(conf(), layers=layers))).run()


def told(partition: Partition, *steps: Any) -> Partition:
    """More of it."""
    partition.log.tell(steps)
    return partition.run()


def moves(partition: Partition) -> list[tuple[Any, ...]]:
    """Changes of layers in short."""
    return [
        (r["customer_id"], r["before"], r["after"], r["reason"], r["effective_date"], r["pack_id"], r["pack_version"])
        for r in partition.of("decisions") if r["kind"] == "layer"
    ]  # fmt: skip


def last(partition: Partition, *fields: str) -> dict[str, tuple[Any, ...]]:
    """Fields of every customer's last standing."""
    return {r["customer_id"]: tuple(r[name] for name in fields) for r in partition.of("standings")}


@pytest.mark.parametrize("crash", [False, True])
def test_a_standing_carries_both(crash: bool) -> None:
    """docs/tiers.md#schemes: tier and layer, each with its pack; a class without layers has none, and its tier stays."""
    found, alone = started(*HOLDINGS, JANUARY - 1, JANUARY), started(*HOLDINGS, JANUARY - 1, JANUARY, layers=None)
    if crash:
        found = crashed(found, found.job.conf)
    told(found, posting(2, -60_000_000, "2024-02-10", **RICH), FEBRUARY - 1, FEBRUARY)
    told(alone, posting(2, -60_000_000, "2024-02-10", **RICH), FEBRUARY - 1, FEBRUARY)
    assert moves(found) == [
        ("rich", "layer-none", "layer-section", "close", JANUARY + 1, "layered-care", 1),
        ("rich", "layer-section", "layer-outlet", "close", FEBRUARY + 1, "layered-care", 1),
    ]
    care = ("layered-care", 1)
    assert last(found, "layer", "layer_effective", "layer_pack_id", "layer_pack_version") == {
        "rich": ("layer-outlet", FEBRUARY + 1, *care), "poor": ("layer-none", None, *care), "firm": (None,) * 4,
    }  # fmt: skip
    assert found.published["tier-changes"] == alone.published["tier-changes"]
    tiers = ("tier", "tier_effective", "pack_id", "aum_minor")
    assert last(found, *tiers) == last(alone, *tiers)
    assert {r["layer"] for r in alone.of("standings")} == {None}


def test_a_layer_can_be_decided_again_from_its_record() -> None:
    """The evidence has every value that was looked at, exact; the pack's criteria give the same layer."""
    layered = parse_pack(LAYERS.format(close="month", up="month", down="month", grace=0), "layered.yaml")
    steps = [customer("C1"), posting(1, 10_001, "2024-01-10"), fact("C1", 1, 20_000, JANUARY), JANUARY]
    found = started(*steps, layers=layered)
    [record] = found.of("decisions")
    values = {}
    for name, text in record["evidence"].items():
        if name not in ("measured", "closes"):
            metric, _, scope = name.partition("(")
            values[metric, scope.rstrip(")") or None] = Fraction(text) / 100
    assert values == {
        ("aum", "all"): Fraction("100.01"), ("month_avg[0]", "wide"): Fraction("100.01") * 22 / 31,
        ("loan_balance", None): 200,
    }  # fmt: skip
    assert decide(layered.classes["personal"], values) == record["after"] == record["evidence"]["measured"]
    assert record["evidence"]["closes"] == "day month"


def test_a_change_that_waits_for_a_source_is_kept() -> None:
    """Deferred for the layer as for a tier: said once, over a crash, and applied with its own date."""
    body = CARE.body.replace("scopes:", "sources: {core: {supplies: [deposit_demand]}}\nscopes:")
    mark = fact("@source", 1, 1, JANUARY - 10, name="source_complete") | {"source": "core"}
    found = started(mark, *HOLDINGS, JANUARY, layers=parse_pack(body))
    [deferred] = [r for r in found.of("decisions") if r["pack_id"] == "layered-care"]
    assert (deferred["kind"], deferred["after"]) == ("deferred", "layer-section")
    found = crashed(found, found.job.conf)
    told(found, mark | {"event_id": "f2", "as_of": JANUARY + 1}, JANUARY + 2)
    assert moves(found) == [("rich", "layer-none", "layer-section", "close", JANUARY + 1, "layered-care", 1)]


@pytest.mark.parametrize("crash", [False, True])
def test_a_layer_scheme_comes_and_is_replaced_live(crash: bool) -> None:
    """R-250: it starts beside the tier scheme on its day, and another takes its place; tiers go on as they were."""
    found = started(*HOLDINGS, JANUARY, activation(pack_of(CARE.body, effective_from="2024-02-11")), day("2024-02-09"),
                    layers=None)  # fmt: skip
    assert moves(found) == []
    found = crashed(found, found.job.conf) if crash else found
    told(found, day("2024-02-10"))
    start = ("rich", "layer-none", "layer-section", "policy", day("2024-02-11"), "layered-care", 1)
    assert moves(found) == [start]
    found = crashed(found, found.job.conf) if crash else found
    other = LAYERS.format(close="day", up="day", down="day", grace=0).replace("2020-01-01", "2024-02-21")
    told(found, activation(other), day("2024-02-12"), day("2024-02-19"))
    assert moves(found) == [start]
    told(found, day("2024-02-20"))
    found = crashed(found, found.job.conf) if crash else found
    told(found, posting(2, -3_000_000, "2024-02-22", **POOR), day("2024-02-22"))
    assert moves(found)[1:] == [
        ("rich", "layer-section", "head", "policy", day("2024-02-21"), "layered", 1),
        ("poor", "layer-none", "head", "policy", day("2024-02-21"), "layered", 1),
        ("poor", "head", "teller", "close", day("2024-02-23"), "layered", 1),
    ]  # fmt: skip
    assert last(found, "layer", "layer_pack_id") == {
        "rich": ("head", "layered"), "poor": ("teller", "layered"), "firm": (None, None)
    }  # fmt: skip
    alone = started(*HOLDINGS, JANUARY, layers=None)
    assert found.published["tier-changes"] == alone.published["tier-changes"]
    assert not found.of("dead-letters")
    ids = [r["event_id"] for r in found.of("decisions")]
    assert len(set(ids)) == len(ids)


def test_a_layer_scheme_can_be_tried_on_the_history() -> None:
    """Who would be in which layer, with or without a layer scheme that runs; and the layers of a day that has passed."""
    steps = [*HOLDINGS, JANUARY, posting(2, -60_000_000, "2024-02-10", **RICH), FEBRUARY]
    stricter = pack_of(CARE.body, version=2, effective_from="2024-02-21").replace('"1000000.00"', '"800000.00"')
    found = started(*steps)
    for layers, was in ((CARE, "layer-outlet"), (None, None)):
        trial = Trial(replace(conf(), layers=layers), parse_pack(stricter))
        trial.feed([found.log.block(topic, 0, end) for topic, end in found.log.ends.items()])
        before, after = (standings_of(job, "layers") for job in (trial.running, trial.other))
        assert (before["rich"].tier, after["rich"].tier) == (was, "layer-section")
        assert (before["firm"].tier, after["firm"].tier) == (None, None)
        assert standings_of(trial.running) == standings_of(trial.other)
    rows = standings_at(found.job, JANUARY + 1)
    assert {row[0]: row[-1] for row in rows} == {"rich": "layer-section", "poor": "layer-none", "firm": None}
    rows = standings_at(found.job, FEBRUARY + 1)
    assert {row[0]: row[-1] for row in rows} == {"rich": "layer-outlet", "poor": "layer-none", "firm": None}
    kept = {one.customer_id: one.role for one in kept_customers(found.job, FEBRUARY + 1)}
    assert kept == {"rich": "outlet-wealth-manager", "poor": None, "firm": None}
    kept = {one.customer_id: one.role for one in kept_customers(found.job, JANUARY + 1)}
    assert kept["rich"] == "section-head", "the layer's role, before the tier's"


BROKEN = [
    (pack_of(CARE.body, effective_from="2024-01-31"), "closed already"),
    (pack_of(CARE.body, effective_from="2024-03-01"), "version 1 is not above 1"),
    (pack_of(CARE.body, pack="other", effective_from="2024-03-01").replace(
        "{close: month}", "{close: month, restatement: both}"), "layers rest on criteria"),
    (pack_of(CARE.body, pack="other", effective_from="2024-03-01").replace("  personal:", "  corporate:"), "left out"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "words"), BROKEN, ids=[words for _, words in BROKEN])
def test_a_layer_scheme_that_cannot_be_followed_is_refused(text: str, words: str) -> None:
    """R-254: to dead letters, and the one that runs goes on."""
    record = activation(text.replace(", restatement: both", "")) | {"body": text}
    found = started(*HOLDINGS, JANUARY, record, day("2024-02-10"), FEBRUARY, day("2024-03-01"))
    [letter] = found.of("dead-letters")
    assert words in letter["detail"]
    assert {r["layer_pack_id"] for r in found.of("standings")} == {"layered-care", None}


def test_what_stands_beside_what() -> None:
    """A layer scheme alone is refused; so is a state that was kept with another one."""
    with pytest.raises(PackError, match="stands beside a tier scheme"):
        replace(conf(), pack=CARE).compiled()
    found = started(*HOLDINGS, JANUARY)
    with pytest.raises(RecoveryError, match="layers layered-care"):
        crashed(found, conf())
    assert day_number(date(2024, 1, 31)) == JANUARY
