"""The rule cases through Kafka: one bank goes from scheme to scheme while its worker runs, and a layer scheme beside it."""

import asyncio
import json
import os
from pathlib import Path

import pytest
from confluent_kafka import Producer

from connectors.formats.events import Event
from connectors.loading.closer import Closer
from connectors.loading.packs import send
from connectors.loading.publisher import EventPublisher
from deploy.connections.clients import librdkafka
from schemas.codec.records import encode
from schemas.partitioner import partition_of
from schemas.registry import CONTRACTS, file_registry
from streams.calendar import date_of
from tests.conftest import IN_CI, ROOT
from tests.integration.live import doubled
from tests.policies.end_to_end import medal_pack, month_start, number, read_cases, steps, whole_script, write
from tests.policies.test_end_to_end import BOTH, LAYERS, PERSONAL
from tidegauge.explanation import HOLDS, explain

pytestmark = [pytest.mark.integration, pytest.mark.system, pytest.mark.slow]
CLOSE = number("2023-03-31")
CASES = 104
BROKEN = "no pack at all"


@pytest.fixture(scope="module")
def cases():
    """All rows of the table beside the repository, or in TIDEGAUGE_RULES_DIR."""
    table = Path(os.environ.get("TIDEGAUGE_RULES_DIR", ROOT.parent / "shared")) / "rules-cases.csv"
    if not table.exists():
        message = f"no rules-cases.csv in {table.parent}: set TIDEGAUGE_RULES_DIR to the folder that holds it"
        pytest.fail(message) if IN_CI else pytest.skip(message)
    return read_cases(table)


def tell(live, told):
    """Events, packs and closes into the topics, in order."""
    publisher, closer = EventPublisher(live.settings, encode), Closer(live.settings, encode)
    try:
        for step in told:
            if isinstance(step, int):
                publisher.flush()
                closer.close(step, reason="a script of months")
                continue
            record = {name: value for name, value in step.items() if name != "topic"}
            if step["topic"] == "policies":
                publisher.flush()
                send(live.settings, encode, record)
            else:
                publisher.send(Event(0, step["topic"], record))
    finally:
        publisher.close()
        closer.shut()


def right(cases):
    """The tiers that the table expects."""
    return {f"c-{case.case_id}": case.expected for case in cases}


@pytest.fixture(scope="module")
def lived(make_live, cases, tmp_path_factory):
    """The bank after all schemes, and its script."""
    pack = tmp_path_factory.mktemp("medals") / "medals.yaml"
    pack.write_text(medal_pack(1, month_start(CLOSE, -24)), encoding="utf-8")
    live, told = make_live(pack=str(pack)), whole_script([c for c in cases if c.scheme != LAYERS], PERSONAL, BOTH)
    live.start()
    tell(live, told.steps)
    live.wait_closed()
    return live, told


def test_every_case_by_a_pack_that_is_switched_live(lived, cases):
    """R-002, R-250: each row's events give the expected tier under its scheme, schemes following one another live."""
    live, told = lived
    found = {}
    for record in sorted(live.outputs("standings"), key=lambda record: record["as_of"]):
        day, pack = told.read[record["customer_id"].removeprefix("c-")]
        if record["as_of"] <= day and record["pack_id"] == pack:
            found[record["customer_id"]] = record["tier"]
    assert found == right(case for case in cases if case.scheme != LAYERS)
    changes = live.outputs("tier-changes")
    assert {"close", "card", "policy", "review", "override"} <= {record["reason"] for record in changes}
    assert not doubled(changes)
    assert not live.outputs("dead-letters")


def test_what_another_version_would_have_done(lived, tmp_path):
    """The history of the topics, packs switched live included, gives what was published; nothing is written."""
    live, told = lived
    ends, day = live.log_ends(), date_of(told.last).isoformat()
    said = live.command("policy", "whatif", "--pack", str(_third(tmp_path)), "--from", day, "--json")
    found, _ = json.JSONDecoder().raw_decode(said[said.index("{") :])
    assert live.log_ends() == ends
    assert found["running"] == "green-channel version 2"
    published = {}
    for record in sorted(live.outputs("tier-changes"), key=lambda record: record["effective_date"]):
        published[record["customer_id"]] = record["to_tier"]
    assert found["moves"]
    assert {(move["before"], move["after"]) for move in found["moves"]} == {("vip", "ordinary")}
    assert {published[move["customer_id"]] for move in found["moves"]} == {"vip"}


def test_activate_by_command(lived, tmp_path):
    """A template, a broken pack and one that comes too late are refused; the next one takes effect, and past events stay."""
    live, _ = lived
    before = sorted(record["event_id"] for record in live.outputs("tier-changes"))
    broken = tmp_path / "broken.yaml"
    broken.write_text(BROKEN, encoding="utf-8")
    for words in (("three-card",), (str(broken),), ("green-channel", "--from", "2023-07-01"), ("rolling-quarter-aum",)):
        process = live.begin("policy", "activate", *words)
        assert process.wait(240) == 1, live.said()
    late = "2024-01-31"
    assert "in force from 2024-01-31 on" in live.command("policy", "activate", str(_third(tmp_path)), "--from", late)
    tell(live, [number("2024-01-30")])
    live.wait_closed()
    after = live.outputs("tier-changes")
    assert set(before) <= {record["event_id"] for record in after}
    new = [record for record in after if record["event_id"] not in set(before)]
    assert {record["pack_version"] for record in new if record["reason"] == "policy"} == {3}
    rest = [record for record in new if record["reason"] != "policy"]  # of the month ends in between
    assert {(record["reason"], record["pack_version"]) for record in rest} <= {("close", 2)}
    assert not live.outputs("dead-letters")


def _third(folder):
    """A third version of the green channel, for the wealthy alone."""
    from policies import load_pack

    path = folder / "third.yaml"
    body = load_pack("green-channel").body.replace("version: 2", "version: 3").replace('"200000.00"', '"900000.00"')
    path.write_text(body, encoding="utf-8")
    return path


def test_a_broken_record_goes_to_dead_letters(lived):
    """R-254: what somebody writes to the topic by himself is refused in every partition, and the running pack goes on."""
    live, _ = lived
    record = {"pack_id": "mine", "version": 1, "effective_from": number("2024-06-01"), "body": BROKEN}
    tell(live, [{"topic": "policies", **record, "customer_class": "personal"}, number("2024-02-29")])
    live.wait_closed()
    letters = live.outputs("dead-letters")
    assert [letter["topic"] for letter in letters] == ["policies"] * live.settings.partitions
    assert {letter["field"] for letter in letters} == {"body"}


def test_explain(lived, cases):
    """R-250: whatever was decided under packs switched live is made again from the topics; what somebody alters is found."""
    live, _ = lived
    by_scheme = {case.scheme: f"c-{case.case_id}" for case in cases if case.scheme != LAYERS}
    found = [asyncio.run(explain(live.settings, name)) for name in by_scheme.values()]
    assert [(v.told.name, v.problems) for one in found for v in one.verdicts if v.state != HOLDS] == []
    changes = [verdict for one in found for verdict in one.of("tier-changes")]
    assert len({verdict.pack.id for verdict in changes}) > 1
    told = changes[0].told
    producer = Producer(librdkafka(live.settings.kafka))
    place = partition_of(told.record["customer_id"].encode(), live.settings.partitions)
    value = encode("tier-changes", told.record | {"to_tier": "nobody's"}, file_registry(CONTRACTS[-1]))
    producer.produce(live.settings.topic("tier-changes"), value, told.record["customer_id"].encode(), place)
    assert producer.flush(30) == 0
    for words, code in ((told.name, 1), (told.record["customer_id"], 1), (f"{told.name}-x", 2), ("nobody", 2)):
        process = live.begin("explain", words)
        assert process.wait(240) == code, live.said()


def test_layers(make_live, cases):
    """R-205 to R-210: the layers beside the tiers of another pack."""
    live, mine = (
        make_live(pack=f"rolling-quarter-aum,{LAYERS}", partitions=1),
        [case for case in cases if case.scheme == LAYERS],
    )
    live.start()
    tell(live, steps([write(case, CLOSE) for case in mine], CLOSE))
    live.wait_closed()
    found = {record["customer_id"]: record["layer"] for record in live.outputs("standings")}
    assert found == right(mine)
    assert len(cases) == CASES
