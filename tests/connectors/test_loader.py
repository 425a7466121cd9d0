"""The import into a real Kafka: right partition, closes behind their days, and no change when it runs again."""

import json
from collections import defaultdict
from collections.abc import Iterator
from datetime import date
from hashlib import sha256

import pytest
from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition
from typer.testing import CliRunner

from connectors.formats import files_out
from connectors.formats.events import DayEnd, Event, InputError
from connectors.loading import packs
from connectors.loading.closer import Closer, UnusualError, history
from connectors.loading.loader import load_events
from connectors.loading.publisher import EventPublisher, PublishError, publish_errors
from connectors.simulate import simulate
from deploy.connections.clients import librdkafka
from deploy.settings import Settings
from policies import load_pack
from schemas.codec.records import decode_one, encode
from schemas.partitioner import partition_of
from schemas.topics import BROADCAST, CLOSES, KEYED, MARK_KEY, MARKED
from streams.calendar import day_of
from tidegauge.cli.main import app

pytestmark = pytest.mark.integration


class Log:
    """What read_committed consumers see: for each topic and partition the (offset, key, record) in order."""

    def __init__(self, settings: Settings, topics: tuple[str, ...]) -> None:
        consumer = Consumer(
            {
                **librdkafka(settings.kafka),
                "group.id": "log",
                "isolation.level": "read_committed",
                "enable.auto.commit": False,
                "enable.partition.eof": True,
            }
        )
        places = [TopicPartition(settings.topic(t), p, 0) for t in topics for p in range(settings.partitions)]
        self.found: dict[tuple[str, int], list[tuple[int, bytes, dict]]] = {(t.topic, t.partition): [] for t in places}
        self.ends = {(t.topic, t.partition): consumer.get_watermark_offsets(t, timeout=20)[1] for t in places}
        consumer.assign(places)
        open_ = len(places)
        while open_:
            message = consumer.poll(30)
            assert message is not None, "no answer from Kafka"
            if message.error():
                assert message.error().code() == KafkaError._PARTITION_EOF, message.error()
                open_ -= 1
            else:
                place = message.topic(), message.partition()
                self.found[place].append((message.offset(), message.key(), decode_one(message.value())))
        consumer.close()

    def of(self, settings: Settings, topic: str, partition: int) -> list[tuple[int, bytes, dict]]:
        return self.found[settings.topic(topic), partition]


@pytest.fixture
def all_topics(make_topics) -> Settings:
    return make_topics()


def bank(days: int = 8) -> list[Event | DayEnd]:
    """The first days of a small bank."""
    out, ends = [], 0
    for item in simulate(4, customers=30, months=1):
        out.append(item)
        ends += isinstance(item, DayEnd)
        if ends == days:
            break
    return out


def run(settings: Settings, stream, mark="bank", **more):
    return load_events(iter(stream), EventPublisher(settings, encode), Closer(settings, encode), mark, **more)


def homes(settings: Settings, event: Event) -> list[int]:
    """The partitions that an event belongs to."""
    if event.topic in KEYED:
        return [partition_of(event.record["customer_id"].encode(), settings.partitions)]
    return list(range(settings.partitions))


def assert_loaded(settings: Settings, stream: list[Event | DayEnd], log: Log, *, exactly: bool) -> None:
    """Each event is in its partition before its day's mark, and every close names the marks' offsets."""
    ends = [item.day for item in stream if isinstance(item, DayEnd)]
    cuts: dict[int, list[dict]] = {}
    for partition in range(settings.partitions):
        found = [record for _, _, record in log.of(settings, CLOSES, partition)]
        assert [record["business_day"] for record in found] == ends
        for record in found:
            assert cuts.setdefault(record["business_day"], record["cut"]) == record["cut"]
    sent = defaultdict(list)
    for item in stream:
        if isinstance(item, Event):
            for partition in homes(settings, item):
                sent[item.topic, partition, item.day].append(item.record)
    for topic in MARKED:
        for partition in range(settings.partitions):
            day, since = iter(ends), 0
            records = log.of(settings, topic, partition)
            marks = [(offset, record["business_day"]) for offset, key, record in records if key == MARK_KEY]
            assert [business_day for _, business_day in marks] == ends
            for offset, business_day in marks:
                cut = {(c["topic"], c["partition"]): c["offset"] for c in cuts[business_day]}
                assert cut[topic, partition] == offset
                got = [record for at, key, record in records if since <= at < offset and key != MARK_KEY]
                want = sent[topic, partition, next(day)]
                if exactly:
                    assert got == want
                else:
                    assert {r["event_id"] for r in want} <= {r["event_id"] for r in got}
                since = offset


def test_import_and_again(all_topics):
    """Events lie in order in their customer's partition, their day's cut behind them; a second run changes nothing."""
    stream = bank()
    loaded = run(all_topics, stream)
    topics = (*MARKED, CLOSES)
    log = Log(all_topics, topics)
    assert_loaded(all_topics, stream, log, exactly=True)
    assert loaded.closed == 8
    assert sum(loaded.sent.values()) == sum(isinstance(item, Event) for item in stream)
    assert "fx-rates" in BROADCAST and log.of(all_topics, "fx-rates", 0)
    again = run(all_topics, stream)
    assert (again.sent, again.closed) == ({}, 0)
    assert again.skipped == sum(loaded.sent.values())
    assert Log(all_topics, topics).ends == log.ends


def test_interrupted_and_run_again(all_topics):
    """An import that breaks off in the middle of a day goes on with that day; no day is closed twice or early."""
    stream = bank()
    middle = [i for i, item in enumerate(stream) if isinstance(item, DayEnd)][3] + 5

    def breaking() -> Iterator[Event | DayEnd]:
        yield from stream[:middle]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(all_topics, breaking())
    assert [closed.day for closed in history(all_topics).applied] == [stream[0].day + i for i in range(4)]
    loaded = run(all_topics, stream)
    assert loaded.closed == 4
    assert_loaded(all_topics, stream, Log(all_topics, (*MARKED, CLOSES)), exactly=False)


def test_another_import_of_closed_days_is_sent(all_topics):
    """Late events from another file are sent though their days are closed; the days are not closed again."""
    stream = bank(3)
    run(all_topics, stream)
    other = run(all_topics, stream, mark="another file")
    assert other.closed == 0
    assert sum(other.sent.values()) == sum(isinstance(item, Event) for item in stream)
    assert len(history(all_topics).applied) == 3


def test_a_second_closer_fences_the_first(all_topics):
    """Of two closers the later one closes; the earlier one is told, and leaves nothing behind."""
    first = Closer(all_topics, encode)
    assert first.close(20_100) is not None
    second = Closer(all_topics, encode)
    assert second.last == 20_100
    assert second.close(20_100) is None
    assert second.close(20_099) is None
    with pytest.raises(PublishError, match="cannot close") as refused:
        first.close(20_101)
    assert "run one at a time" in refused.value.hint
    first.shut()
    assert second.close(20_101) is not None
    assert [closed.day for closed in history(all_topics).applied] == [20_100, 20_101]


def test_the_days_between_are_closed_with_it(all_topics):
    """One mark in each input, closes in order with its cut; too far ahead is refused before anything is written."""
    closer = Closer(all_topics, encode, clock_ms=lambda: 7)
    assert closer.close(20_100).days == range(20_100, 20_101)
    with pytest.raises(UnusualError, match="business days past the last close") as refused:
        closer.close(20_120)
    assert "--force" in refused.value.hint
    run = closer.close(20_105)
    assert run.days == range(20_101, 20_106)
    assert closer.close(20_140, reason="shut for renovation").days == range(20_106, 20_141)
    closer.shut()
    log = Log(all_topics, (*MARKED, CLOSES))
    for partition in range(all_topics.partitions):
        found = [record for _, _, record in log.of(all_topics, CLOSES, partition)]
        assert [record["business_day"] for record in found] == [20_100, *range(20_101, 20_141)]
        assert {(r["asked"], r["last_closed"], r["force_reason"]) for r in found} == {
            (20_100, None, None), (20_105, 20_100, None), (20_140, 20_105, "shut for renovation"),
        }  # fmt: skip
        assert all(record["cut"] == run.cut for record in found[1:6])
        marks = [record["business_day"] for _, _, record in log.of(all_topics, "balances", partition)]
        assert marks == [20_100, 20_105, 20_140]
    assert history(all_topics).last == 20_140


def test_an_import_far_behind_the_last_close(all_topics):
    """The step to its first day is measured before anything is sent, its own days are not; with a reason it is taken."""
    closer = Closer(all_topics, encode)
    closer.close(day_of(date(2025, 12, 1)))
    closer.shut()
    stream, sent = bank(2), Log(all_topics, MARKED).ends
    with pytest.raises(UnusualError, match="2026-01-01 is 23 business days past the last close, 2025-12-01"):
        run(all_topics, stream)
    assert Log(all_topics, MARKED).ends == sent
    loaded = run(all_topics, stream, reason="the bank moved")
    assert loaded.closed == 32
    assert [one.force_reason for one in history(all_topics).applied[-3:]] == ["the bank moved"] * 2 + [None]


def test_bad_lines_go_to_dead_letters_once(all_topics):
    """A bad line is in dead-letters with file, line, field, reason and bytes; running again does not repeat it."""
    bad = [InputError("x.csv", 7, "amount", "'NaN' is no decimal number", b"raw,\xff,NaN")]
    for _ in range(2):
        run(all_topics, bank(1), bad=bad)
    log = Log(all_topics, ("dead-letters",))
    found = [record for place in log.found.values() for _, _, record in place]
    assert found == [
        {
            "topic": "file:x.csv", "partition": -1, "offset": 7, "reason": "bad_input", "field": "amount",
            "detail": "x.csv:7: amount: 'NaN' is no decimal number", "original": b"raw,\xff,NaN", "original_key": None,
            "original_bytes": 9, "original_sha256": sha256(b"raw,\xff,NaN").hexdigest(), "last_offset": None,
        }
    ]  # fmt: skip


def test_topics_that_are_not_there(settings, make_topics):
    """Without the topics, or with differing partitions, the import refuses and says what to do."""
    make_topics("transactions")
    with pytest.raises(PublishError, match="there is no topic") as found:
        EventPublisher(settings, encode)
    assert "topics --create" in found.value.hint


def test_command_line(all_topics, tmp_path, monkeypatch):
    """`import` loads the good lines, names the bad one and exits with 2; `close` closes a day once."""
    stream = [item for item in bank(3) if isinstance(item, Event)]
    files_out.write_files(stream, tmp_path, "ndjson")
    path = tmp_path / "transactions.ndjson"
    path.write_text(path.read_text() + json.dumps({"event_id": "x"}) + "\n")
    lines = path.read_text().count("\n")
    for name in ("bootstrap_servers", "topic_prefix"):
        monkeypatch.setenv(f"TIDEGAUGE_{name.upper()}", getattr(all_topics, name))
    runner = CliRunner()
    done = runner.invoke(app, ["import", "--format", "ndjson", str(tmp_path)])
    assert done.exit_code == 2, done.output
    assert f"{path}:{lines}: source: is missing" in " ".join(done.output.split())
    assert "closed 3 days up to 2026-01-03" in done.output
    again = runner.invoke(app, ["import", "--format", "ndjson", str(tmp_path)])
    assert "sent nothing" in again.output
    idle = runner.invoke(app, ["import", "--format", "ndjson", str(tmp_path), "--until", "2026-01-05", "--json"])
    assert {"closed": 2, "last_day": "2026-01-05", "refused": 1}.items() <= json.loads(idle.stdout).items()
    assert "closed 2026-01-06" in runner.invoke(app, ["close", "2026-01-06"]).output
    assert "is closed already" in runner.invoke(app, ["close", "2026-01-06"]).output
    told = json.loads(runner.invoke(app, ["close", "2026-01-05", "--json"]).stdout)
    assert told == {"day": "2026-01-05", "closed": False, "last_closed": "2026-01-06", "left_out": False}
    assert runner.invoke(app, ["close", "tomorrow"]).exit_code != 0


def test_facts_that_no_pack_knows_are_refused(all_topics, tmp_path, monkeypatch):
    """They are named and in the dead letters; a pack on the topic, in force or not yet, makes its facts known."""
    for name in ("bootstrap_servers", "topic_prefix"):
        monkeypatch.setenv(f"TIDEGAUGE_{name.upper()}", getattr(all_topics, name))
    told = {"customer_id": "C1", "value": 7, "as_of": "2026-01-05", "source": "loans"}
    lines = [{"event_id": name, "name": name, **told} for name in ("loan_balance", "home_points")]
    (tmp_path / "facts.ndjson").write_text("".join(json.dumps(line) + "\n" for line in lines))
    runner, command = CliRunner(), ["import", "--format", "ndjson", str(tmp_path), "--no-close-days"]
    done = runner.invoke(app, command)
    assert done.exit_code == 2, done.output
    assert "sent 1 facts" in done.output
    assert "no pack knows the fact home_points; packs: rolling-quarter-aum (event_id home_points" in " ".join(
        done.output.split()
    )
    letters = Log(all_topics, ("dead-letters",)).found.values()
    [letter] = [record for place in letters for _, _, record in place]
    assert (letter["field"], json.loads(letter["original"])["name"]) == ("name", "home_points")
    body = load_pack("rolling-quarter-aum").body.replace("scopes:", "facts: {home_points: {kind: count}}\nscopes:", 1)
    pack = {"pack_id": "p", "version": 9, "effective_from": 30_000, "body": body, "customer_class": "personal"}
    packs.send(all_topics, encode, pack)
    again = runner.invoke(app, command)
    assert again.exit_code == 0, again.output
    assert "sent 2 facts" in again.output


def test_marks_and_calendar_reach_every_partition(all_topics, monkeypatch, tmp_path):
    """Marks of an import stand before the day's close; a broken calendar sends nothing and names the line."""
    (tmp_path / "bank").mkdir()
    files_out.write_files([item for item in bank(2) if isinstance(item, Event)], tmp_path / "bank", "ndjson")
    for name in ("bootstrap_servers", "topic_prefix"):
        monkeypatch.setenv(f"TIDEGAUGE_{name.upper()}", getattr(all_topics, name))
    calendar, runner = tmp_path / "calendar.csv", CliRunner()
    calendar.write_text("date,bank\n2026-01-01,closed\n2026-01-10,maybe\n")
    assert f"{calendar}:3: bank: 'maybe'" in str(runner.invoke(app, ["holidays", str(calendar)]).exception)
    calendar.write_text("date,bank\n2026-01-01,closed\n2026-01-10,open\n")
    assert runner.invoke(app, ["holidays", str(calendar), "--lang", "zh-CN"]).output == "已告知 2 天\n"
    done = runner.invoke(app, ["import", "--complete", "--format", "ndjson", str(tmp_path / "bank")])
    assert done.exit_code == 0, done.output
    refused = runner.invoke(app, ["complete", "core", "2026-02-05", "--lang", "en"])
    assert "business days past the last close, 2026-01-02" in str(refused.exception)
    done = runner.invoke(app, ["complete", "core", "2026-01-05", "--lang", "en"])
    assert done.output == "core is complete up to 2026-01-05\n"
    assert runner.invoke(app, ["complete", "core", "soon"]).exit_code != 0
    log, first = Log(all_topics, ("facts",)), day_of(date(2026, 1, 1))
    for partition in range(all_topics.partitions):
        found = log.of(all_topics, "facts", partition)
        told = [(r["as_of"], r["value"]) for _, key, r in found if key == b"@calendar"]
        assert told == [(first, 0), (first + 9, 1)]
        marks = [(at, r["source"], r["as_of"]) for at, key, r in found if key == b"@source"]
        assert marks[-1][1:] == ("core", first + 4)
        assert {("core", first), ("core", first + 1)} <= {mark[1:] for mark in marks}
        assert marks[0][0] < next(at for at, key, _ in found if key == MARK_KEY)


def test_a_fatal_error_under_a_callback_is_said():
    """librdkafka sets a fatal error while delivery callbacks run; Python reports it as the callback's SystemError."""
    problem = SystemError("returned a result with an exception set")
    problem.__cause__ = KafkaException(KafkaError(KafkaError._FENCED))
    with pytest.raises(PublishError, match="cannot close") as refused, publish_errors("cannot close"):
        raise problem
    assert "run one at a time" in refused.value.hint
    with pytest.raises(PublishError, match="failed for good") as refused, publish_errors("cannot close"):
        raise SystemError("<method 'flush' of 'cimpl.Producer' objects> returned NULL without setting an exception")
    assert "run one at a time" in refused.value.hint
    with pytest.raises(SystemError), publish_errors("cannot close"):
        raise SystemError("of another kind")
