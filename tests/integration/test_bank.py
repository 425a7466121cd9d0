"""The simulated bank through Kafka and two workers that are killed again and again: all figures by SQL, all outputs once.

Beside a schema registry that others make, whose ids are not those of the files: whoever took those would reject everything.
Currencies with corrected rates, nightly snapshots, late and reversed postings, duplicates; shuffled within each day.
"""

import json
import random
from datetime import datetime

import duckdb
import httpx2
import pytest

from agents.engine.reader import LogReader
from agents.offline.standings import all_standings
from connectors.formats.events import Event
from connectors.loading.arrival import days, disturb
from connectors.simulate import START, simulate
from deploy.embedded import processes
from schemas.compatibility import level_of
from schemas.confluent import subject_of
from schemas.nulls import with_nulls
from schemas.registry import CONTRACTS, file_registry, names, registry_for
from services.assembly import redis_client, view_writer
from services.notices.notifier import compose
from services.views.keys import Keys
from services.views.projections import plain_day
from services.views.queries import standing_of
from streams.calendar import date_of, day_of
from tests.chaos.check import read
from tests.integration.expect import SHIPPED, by_id, published
from tests.integration.live import doubled
from tidegauge.cli.data.standings import live_jobs
from tidegauge.demo import checks
from tidegauge.demo.feed import Feed
from tidegauge.demo.tables import Sent

pytestmark = [pytest.mark.integration, pytest.mark.slow]
SEED, CUSTOMERS, MONTHS, KILLS, DUPLICATES_PERCENT = 5, 150, 4, 5, 10
CLOSE_RECORDS = 64  # that a close adds to the inputs of four partitions, transaction markers included
FAR = 1 << 30  # the feed waits for no close
BROADCAST = 3  # records more of what goes to every partition


@pytest.fixture(scope="module")
def stream():
    """Events and day ends in the order in which they reach the topics."""
    told = [item for item in simulate(SEED, CUSTOMERS, MONTHS) if isinstance(item, Event)]
    return list(days(disturb(told, SEED, shuffle=True, duplicate_percent=DUPLICATES_PERCENT), "bank"))


@pytest.fixture(scope="module")
def lived(make_live, redis_server, apicurio, stream):
    """The live system after the bank's months and the kills, and what was sent."""
    live, sent, rng = make_live(redis_url=redis_server, schema_registry_url=apicurio), Sent(), random.Random(SEED)
    live.command("schemas", "register")
    live.contracts = CONTRACTS  # one worker writes the versions with null and the other doesn't
    live.start()
    live.start()
    feed = Feed(live.settings, registry_for(live.settings), iter(stream), sent, 0.0, -1, lambda: FAR)
    feed.start()
    try:
        copied = sum(BROADCAST for item in stream if isinstance(item, Event) and item.topic == "fx-rates")
        closes = stream[-1].day - START + 1
        live.kill_on_the_way(rng, KILLS, len(stream) + copied + closes * CLOSE_RECORDS)
        live.wait(lambda: feed.finished or feed.failed is not None, "the feed")
        assert feed.failed is None
    finally:
        feed.halt()
    live.wait_closed()
    live.stop()
    assert live.kills == KILLS
    return live, sent


@pytest.fixture(scope="module")
def answers(lived, stream):
    """SQL over everything that was sent, and the tiers that it decides."""
    with duckdb.connect(config={"threads": 2}) as con:
        lived[1].load(con)
        answers, scheme = checks.Answers(con), checks.Scheme.read(SHIPPED.read_text())
        last = stream[-1].day
        yield answers, checks.decide_tiers(answers, checks.month_closes(START, last), scheme), scheme, last


def test_standings_by_sql(lived, answers, stream):
    """Every metric and tier of every customer equals SQL, at the last day and in the middle of the last month."""
    right, decided, scheme, last = answers
    jobs = live_jobs(lived[0].settings)
    for day in (last, last - 14):
        found = checks.compare_standings(right, day, last, map(tuple, all_standings(jobs, day)), decided, scheme)
        assert not found.differences, (date_of(day), found.differences[:5])
        assert found.values["n"] >= CUSTOMERS


def test_outputs_once_and_right(lived, answers, stream):
    """No event_id comes twice; tier changes and restatements are those of a replay, tier changes those of SQL too."""
    live, (_, decided, _, last) = lived[0], answers
    expected, _ = published(live.settings, stream, last)
    for topic in ("tier-changes", "rm-alerts", "restatements"):
        records = live.outputs(topic)
        assert records, topic
        assert not doubled(records), topic
        if topic != "rm-alerts":  # which bookings alerts name depends on the order in which topics were read
            assert by_id(records) == by_id(expected[topic]), topic
    assert not checks.compare_changes(decided, live.outputs("tier-changes")).differences
    assert not live.outputs("dead-letters")


def test_the_present_pack_tells_every_case_again(lived):
    """What-if on the topics: each case that the workers have published, kills or not; nothing is written."""
    live, _ = lived
    ends, since = live.log_ends(), date_of(START).isoformat()
    said = live.command("alerts", "whatif", "--pack", live.settings.pack, "--from", since, "--json")
    found, _ = json.JSONDecoder().raw_decode(said[said.index("{") :])
    cases = {record["alert_id"] for record in live.outputs("rm-alerts") if record["status"] == "raised"}
    assert live.log_ends() == ends
    assert (found["published"], found["made_again"]) == (len(cases), len(cases))
    assert cases


def test_ids_are_those_of_the_registry(lived):
    """No record of any topic has an id of the files, so that nothing above holds by chance."""
    settings = lived[0].settings
    registry = registry_for(settings)
    assert all(file_registry().schema(registry.id_of(name)) is None for name in names())
    for name in ("standings", "transactions"):
        config = httpx2.get(f"{settings.schema_registry_url}/config/{subject_of(name)}").json()
        assert level_of(name) in config.values()
    for topic in ("transactions", "standings", "queue-priority", "business-days", "close-mark"):
        wanted = {one.id_of(topic).to_bytes(4, "big") for one in both(settings)}
        where = "transactions" if topic == "close-mark" else topic
        values = [value for _, _, value in read(settings.kafka, settings.topic(where), 0) if value]
        assert any(value[1:5] in wanted for value in values), topic


def both(settings):
    """The registry as the workers of either version have it."""
    return [registry_for(settings.model_copy(update={"contracts": contracts})) for contracts in CONTRACTS]


def test_standings_are_of_either_version(lived):
    """What the workers wrote side by side, and no other version; which of them closed most days is a matter of chance."""
    settings = lived[0].settings
    wanted = {one.id_of("standings") for one in both(settings)}
    assert len(wanted) == len(CONTRACTS)
    for partition in range(settings.partitions):
        values = [value for _, _, value in read(settings.kafka, settings.topic("standings"), partition) if value]
        assert {int.from_bytes(value[1:5], "big") for value in values} <= wanted


def test_rebuild_gives_the_same_view(lived):
    """The Redis view built step by step and the one that `rebuild` makes anew are the same, and as published."""
    live, _ = lived
    settings = live.settings
    client, keys = redis_client(settings), Keys.of(settings.topic_prefix)
    writer = view_writer(settings, LogReader)
    ends = {name: end for name, (_, end) in writer.source.ends().items()}
    assert writer.settle()
    while not writer.caught_up(ends):
        writer.step()
    assert writer.counts.records
    assert not writer.counts.rejected
    writer.source.close()
    client.delete(keys.writer)  # as if its lease had run out
    before = view(client, keys)
    live.command("rebuild")
    assert view(client, keys) == before
    last = {record["customer_id"]: record for record in live.outputs("standings")}
    assert len(last) >= CUSTOMERS
    assert all(
        standing_of(client, keys, registry_for(settings), customer) == with_nulls("standings", record)
        for customer, record in last.items()
    )
    client.close()


def test_look_up_and_notices_read_it_too(lived):
    """Beside the same registry a kiosk gets every customer's class, and every alert that is told gives its notice."""
    live, _ = lived
    settings, port = live.settings, processes.free_row(1)
    serve = ("queue", "serve", "--port", str(port), "--metrics-port", "0")
    running = [live.begin(*command) for command in (("views",), ("notices",), serve)]
    last = {record["customer_ref"]: record for record in live.outputs("queue-priority")}
    today, default = day_of(datetime.now(settings.tz).date()), settings.queue_default_class
    over = {ref for ref, record in last.items() if (until := record["valid_until"]) and plain_day(until) < today}
    wanted = {ref: default if ref in over else record["queue_class"] for ref, record in last.items()}
    assert len({*wanted.values()} - {default}) > 1
    with httpx2.Client(base_url=f"http://127.0.0.1:{port}/v1/priority/", trust_env=False) as kiosk:

        def answer(ref):
            try:
                return kiosk.get(ref).json()
            except httpx2.ConnectError:
                return {"degraded": True}

        live.wait(lambda: not answer(next(iter(wanted)))["degraded"], "a look-up that is not degraded")
        answers = {ref: answer(ref) for ref in wanted}
    assert {ref: found["queue_class"] for ref, found in answers.items()} == wanted
    assert not any(found["degraded"] for found in answers.values())

    found = (
        compose(settings.alert_secret(), one, "console", settings.notice_locale) for one in live.outputs("rm-alerts")
    )
    told = {notice.notice_id for notice in found if notice is not None}
    assert told
    live.wait(lambda: {notice["notice_id"] for notice in live.outputs("notices")} >= told, "the notices")
    assert {notice["notice_id"] for notice in live.outputs("notices")} == told
    for process in running:
        process.terminate()
        process.wait(240)
    assert not live.outputs("dead-letters")


def view(client, keys):
    """Everything in the view but its bookkeeping."""
    found = {}
    for key in client.scan_iter(f"{keys.prefix}*", 1000):
        if key.startswith((f"{keys.prefix}view:".encode(), f"{keys.prefix}fresh:".encode())):
            continue
        found[key] = client.hgetall(key) if client.type(key) == b"hash" else client.zrange(key, 0, -1, withscores=True)
    return found
