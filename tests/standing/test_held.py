"""What is not known is null and has its reason, with the versions that have a null; those before say the same in numbers."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.offline.standings import STANDING_COLUMNS, all_standings
from agents.standing.job import StandingJob
from agents.standing.publish.standings import COLUMN_FIELDS, standing_figures
from schemas.codec.records import decode_one
from schemas.nulls import HELD_TEXT_CHARS_MAX, with_nulls
from schemas.registry import file_registry
from streams.vocabulary.metrics import COLUMNS
from tests.standing.partition import Partition, Topics, conf
from tests.twins.events import day, posting, rate

FIRST, LAST = day("2024-01-20"), day("2024-04-10")
FIELDS = dict(zip(COLUMN_FIELDS, COLUMNS, strict=True))
NEVER = LAST + 1

FOREIGN = st.sampled_from(["USD", "JPY", "CNY"])
MOVES = st.lists(
    st.tuples(st.integers(1, 3), FOREIGN, st.integers(-(10**7), 10**9), st.integers(FIRST, LAST)),
    min_size=1,
    max_size=8,
)
RATES = st.fixed_dictionaries({"USD": st.integers(FIRST - 5, NEVER), "JPY": st.integers(FIRST - 5, NEVER)})


def lived(moves: list[tuple[int, str, int, int]], since: dict[str, int], contracts: int) -> Partition:
    """A bank whose rates begin on some day, or never."""
    steps: list[Any] = [rate(currency, 70_000, at) for currency, at in since.items() if at < NEVER]
    steps += [
        posting(seq, amount, at, customer=f"C{owner}", account=f"A{owner}-{currency}-{seq}", currency=currency)
        for seq, (owner, currency, amount, at) in enumerate(moves, 1)
    ]
    log = Topics().tell([*steps, day("2024-01-31"), day("2024-02-29"), day("2024-03-15"), day("2024-03-31"), LAST])
    return Partition(log, StandingJob(replace(conf(), registry=file_registry(contracts)))).run()


def figures(record: dict[str, Any]) -> dict[str, int | None]:
    """Every figure of a record of standings by its field in the contract."""
    found = standing_figures(record)
    return {field: found[column] for field, column in FIELDS.items()}


@pytest.mark.slow
@settings(max_examples=25)
@given(MOVES, RATES)
def test_held_null_and_told(moves: list[tuple[int, str, int, int]], since: dict[str, int]) -> None:
    """A figure is null exactly where `held` names it, with currencies of his that lack a rate; nobody sees another one."""
    partition = lived(moves, since, 2)
    standings = partition.of("standings")
    for record in standings:
        nulls = {field for field, value in figures(record).items() if value is None}
        told = {entry["field"]: entry["reason"] for entry in record["held"]}
        assert set(told) == nulls
        assert len(told) == len(record["held"])
        assert (record["held_reason"] is not None) == bool(nulls)
        assert {reason.partition(":")[0] for reason in told.values()} <= {"no_rate"}
        mine = {currency for owner, currency, _, _ in moves if record["customer_id"] == f"C{owner}"} - {"CNY"}
        for reason in told.values():
            lacking = reason.partition(":")[2].split(",")
            assert lacking == sorted(lacking)
            assert set(lacking) <= {currency for currency in mine if since[currency] > FIRST}
    for record in partition.of("outlooks"):
        told = {entry["field"]: entry["reason"] for entry in record["held"]}
        amounts = {f"to_hold_minor[{i}]": amount for i, amount in enumerate(record["to_hold_minor"])}
        assert {field for field in told if field in amounts} == {field for field, x in amounts.items() if x is None}
        if record["held_reason"] is None:
            assert set(told.values()) <= {"unreachable"}
            assert record["aum_minor"] is not None
        else:
            assert all(reason.startswith("no_rate:") and len(reason) > len("no_rate:") for reason in told.values())
            assert all(record[field] is None for field in told if field not in amounts)
            assert {"projected_tier", "direction", "projected_minor", "aum_minor", "lost_close", "lost_from"} <= set(
                told
            )


@pytest.mark.slow
@settings(max_examples=10)
@given(MOVES, RATES)
def test_both_versions_say_the_same(moves: list[tuple[int, str, int, int]], since: dict[str, int]) -> None:
    """Byte for byte but for the topics that changed; these, read by today's readers, field for field but for `held`.

    Of the version before more is null where its words are cut off: what they would have named is not known.
    """
    before, after = lived(moves, since, 1), lived(moves, since, 2)
    assert before.rows == after.rows
    assert before.published.keys() == after.published.keys()
    for topic, pairs in before.published.items():
        for (key, old), (other, new) in zip(pairs, after.published[topic], strict=True):
            was, now = (with_nulls(topic, decode_one(value, name=topic)) for value in (old, new))
            assert key == other
            assert now == decode_one(new, name=topic)
            if topic == "standings" and len(was["held_reason"] or "") == HELD_TEXT_CHARS_MAX:
                seen, told = figures(was), figures(now)
                assert all(seen[field] in (None, told[field]) for field in seen)
                assert all(seen[field] is None for field in seen if told[field] is None)
            else:
                assert was | {"held": 0} == now | {"held": 0}


@settings(max_examples=10)
@given(MOVES, RATES)
def test_the_topic_and_the_command_agree(moves: list[tuple[int, str, int, int]], since: dict[str, int]) -> None:
    """`standings` and `replay` show of the last close what is on the topic, empty for null."""
    partition = lived(moves, since, 2)
    last = {r["customer_id"]: standing_figures(r) for r in partition.of("standings") if r["as_of"] == LAST}
    for row in all_standings([partition.job], LAST):
        shown = dict(zip(STANDING_COLUMNS, row, strict=False))
        if (found := last.get(str(shown["customer_id"]))) is not None:
            assert {column: shown[column] for column in found if column in shown} == {
                column: value for column, value in found.items() if column in shown
            }


def test_a_rate_that_comes_late() -> None:
    """Of two currencies each figure names those that it lacks: the quarter what any of its months lacks."""
    moves = [(1, "USD", 100, day("2024-02-10")), (1, "JPY", 100, day("2024-03-10")), (2, "CNY", 5, FIRST)]
    partition = lived(moves, {"USD": day("2024-03-01"), "JPY": NEVER}, 2)
    [record] = (r for r in partition.of("standings") if r["customer_id"] == "C1" and r["as_of"] == day("2024-03-31"))
    told = {entry["field"]: entry["reason"] for entry in record["held"]}
    assert told["aum_minor"] == told["month_avgs_minor[0]"] == "no_rate:JPY"
    assert told["month_avgs_minor[1]"] == "no_rate:USD"
    assert "month_avgs_minor[2]" not in told
    assert told["quarter_avg_minor"] == told["year_avg_minor"] == told["trailing_avg_90_minor"] == "no_rate:JPY,USD"
    [other] = (r for r in partition.of("standings") if r["customer_id"] == "C2" and r["as_of"] == day("2024-03-31"))
    assert (other["held"], other["aum_minor"]) == ([], 5)


def test_nobody_without_tier_or_account_has_a_day() -> None:
    """No tier was decided before the first month's close: null, where the version before has the first of 1970."""
    log = Topics().tell([posting(1, 100, "2024-03-11"), day("2024-03-15")])
    for contracts, none in ((1, 0), (2, None)):
        job = StandingJob(replace(conf(), registry=file_registry(contracts)))
        [record] = Partition(log, job).run().of("standings")
        assert (record["tier_effective"], record["first_day"]) == (none, day("2024-03-11"))
