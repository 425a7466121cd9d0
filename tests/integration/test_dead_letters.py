"""`tidegauge dead-letters` on a real broker: listed, counted, shown without personal data, sent again from the source."""

import json
import time
from collections.abc import Callable
from typing import Any

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from typer.testing import CliRunner

from deploy import admin
from deploy.connections.clients import librdkafka
from deploy.settings import Settings
from schemas.codec.records import encode
from schemas.letters import Original, dead_letter
from schemas.partitioner import MISPLACED
from tests.chaos.check import read
from tests.schemas.helpers import posting, posting_value
from tidegauge.cli.main import app
from tidegauge.cli.operation import dead_letters
from tidegauge.demo.processes import environment
from tidegauge.letters import LAST_COUNTS, Letter
from tidegauge.letters import _obstacle as obstacle_of

pytestmark = pytest.mark.integration
GOOD, GONE = posting_value(7, customer_id="C0000077"), posting_value(8)
HEADERS = [("trace", b"\0\xff"), ("trace", b""), ("nothing", None), ("long", bytes(100_000))]
RUBBISH = b"\1 no record of ours"
MANY = "transactions/2/0"  # the letter stands for what lies there and the two behind it
LAY_WRONG = {f"facts/0/{at}" for at in range(len(MISPLACED))}


@pytest.fixture
def lettered(make_topics: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Partition 1 of the postings, from which the first is gone; a letter about each, and three of other kinds."""
    settings = make_topics()
    for name, value in environment(settings).items():
        if name.startswith("TIDEGAUGE_"):
            monkeypatch.setenv(name, value)
    producer = Producer({**librdkafka(settings.kafka), "message.max.bytes": 4 << 20})
    postings = settings.topic("transactions")
    for value in (GONE, GOOD, RUBBISH, bytes(2 << 20)):
        producer.produce(postings, value, b"C0000077", 1, headers=HEADERS)
    for value in (GOOD, RUBBISH, GOOD, GONE):
        producer.produce(postings, value, b"C0000077", 2, headers=HEADERS)
    about = [
        dead_letter("transactions", 1, 0, "unknown schema id", Original.of(GONE, b"C0000077")),
        dead_letter("transactions", 1, 1, "unknown schema id", Original.of(GOOD, b"C0000077")),
        dead_letter("transactions", 1, 2, "wrong magic byte", Original.of(RUBBISH, b"C0000077")),
        dead_letter("transactions", 1, 3, "damaged batch", Original.of(b"x", None, 9)),
        *(
            dead_letter("facts", 0, at, reason, Original.of(GOOD, b"other"))
            for at, reason in enumerate(MISPLACED.values())
        ),
        dead_letter("transactions", 2, 0, "unknown schema id", Original.of(GOOD, b"C0000077", 2)),
        dead_letter("file:a.csv", -1, 17, "bad_input", Original.of(b"[/x],=1"), field="amount", detail="[/x]"),
        dead_letter("rm-alerts", 0, 4, "unreadable", Original.of(b"")),
    ]
    for letter in about:
        producer.produce(settings.topic("dead-letters"), encode("dead-letters", letter), b"k", letter["offset"] % 4)
        producer.flush(10)
    place, client = TopicPartition(postings, 1, 1), admin.client(settings.kafka)
    client.delete_records([place])[place].result(20)
    return settings


def called(*arguments: str) -> Any:
    """A command's end."""
    return CliRunner().invoke(app, ["dead-letters", *arguments])


def headers_of(settings: Settings, offset: int) -> list[tuple[str, bytes | None]] | None:
    """Of a posting of partition 1."""
    consumer = Consumer({**librdkafka(settings.kafka), "group.id": "headers"})
    try:
        consumer.assign([TopicPartition(settings.topic("transactions"), 1, offset)])
        message = consumer.poll(20)
        assert message is not None and message.error() is None and message.offset() == offset
        return message.headers()
    finally:
        consumer.close()


def rows(*arguments: str) -> list[dict[str, Any]]:
    """What a command prints as JSON."""
    done = called(*arguments, "--json")
    assert done.exit_code in (0, 1), done.output
    found = json.loads(done.stdout)
    return found if isinstance(found, list) else [found]


def test_list_count_show(lettered: Settings) -> None:
    """Newest first, by topic and by reason; nothing personal without --whole, which is for the head office."""
    places = [row["place"] for row in rows("list")]
    assert [place for place in places if place.startswith("transactions")] == [
        MANY,
        *(f"transactions/1/{offset}" for offset in (3, 2, 1, 0)),
    ]
    assert {*places} - {MANY, *(f"transactions/1/{offset}" for offset in range(4))} == {
        "rm-alerts/0/4", "file:a.csv/-1/17", *LAY_WRONG,
    }  # fmt: skip
    assert [row["last_offset"] for row in rows("list", "--reason", "damaged batch")] == [9]
    assert len(rows("list", "--topic", "transactions", "--limit", "2")) == 2
    assert {"topic": "transactions", "reason": "unknown schema id", "letters": 3} in rows("count")
    shown = called("show", "transactions/1/1", "--as", "rm:east")
    assert shown.exit_code == 0
    assert "C0000077" not in shown.output
    assert str(posting(7)["amount_minor"]) not in shown.output
    [masked] = rows("show", "transactions/1/1")
    assert masked["original"]["customer_id"] == "8 characters"
    assert rows("show", "transactions/1/2")[0]["original"] == {"unreadable": f"{len(RUBBISH)} bytes"}
    assert rows("show", "transactions/1/1", "--whole")[0]["original"] == GOOD.hex()
    assert "[/x]" in called("list").output + called("show", "file:a.csv/-1/17").output
    for refused in (["--whole", "--as", "rm:hq/east"], ["--as", "teller:hq"]):
        done = called("show", "transactions/1/1", *refused)
        assert (done.exit_code, GOOD.hex() in done.output) == (1, False)  # CommandError: `main` makes it one line
    assert called("show", "transactions/1/77").exit_code == 1


@pytest.mark.parametrize("topic", ["customers", "business-days"])
def test_of_some_the_last_record_counts(topic: str) -> None:
    """An older profile or close would stand behind a newer one: neither is sent again, whatever was wrong with it."""
    letter = Letter(0, dead_letter(topic, 0, 3, "unknown schema id", Original.of(GOOD, b"C1")))
    assert obstacle_of(Settings(), letter) == LAST_COUNTS[topic]


def test_any_time_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the brokers take a producer's word for when a letter was written, that may be any number."""
    record = dead_letter("facts", 0, 3, "unreadable", Original.of(GOOD, b"C1"))
    found = [Letter(at, record) for at in (-(1 << 63), -1, 0, (1 << 63) - 1)]
    monkeypatch.setattr(dead_letters, "opened", lambda *_: Settings())
    monkeypatch.setattr(dead_letters, "letters", lambda *_: found)
    done = called("list")
    assert done.exit_code == 0, done.output
    assert done.output.count("facts/0/3") == len(found)


def test_no_more_are_chosen_than_can_be_held(monkeypatch: pytest.MonkeyPatch) -> None:
    """At the bound they are counted, with all that a letter stands for; above it they are to be chosen more narrowly."""
    found = [Letter(0, dead_letter("facts", 0, at, "truncated", Original.of(GOOD, b"C1", at + 4))) for at in range(3)]
    monkeypatch.setattr(dead_letters, "opened", lambda *_, **__: Settings())
    monkeypatch.setattr(dead_letters, "letters", lambda *_: iter([*found, *found]))
    monkeypatch.setattr(dead_letters, "LETTERS_CHOSEN_MAX", 3)
    assert rows("redrive", "--topic", "facts", "--dry-run")[0]["records"] == {"facts": 15}
    monkeypatch.setattr(dead_letters, "LETTERS_CHOSEN_MAX", 2)
    refused = called("redrive", "--topic", "facts", "--dry-run")
    assert (refused.exit_code, "more than 2 letters" in str(refused.exception)) == (1, True)


def test_packs_between_two_offsets_are_not_sent_again() -> None:
    """One of them may have been retracted since."""
    letter = Letter(0, dead_letter("policies", 0, 3, "truncated", Original.of(GOOD, b"p/1", 9)))
    assert "retracted" in obstacle_of(Settings(), letter)
    assert obstacle_of(Settings(), Letter(0, {**letter.record, "last_offset": None})) == ""


def test_redrive(lettered: Settings) -> None:
    """What is still in its topic is written anew with key and headers, into its partition; of all else it says why not."""
    intended = rows("redrive", "--topic", "transactions", "--dry-run")
    assert intended[0]["records"] == {"transactions": 13}
    done = {row["place"]: row["problem"] for row in rows("redrive", "--topic", "transactions")}
    assert done["transactions/1/1"] is None
    assert done["transactions/1/2"] is None
    assert "gone from transactions, which holds offsets 1 to" in done["transactions/1/0"]
    assert "can't be told apart" in done["transactions/1/3"]
    until, log = time.monotonic() + 20, []
    while len(log) < 5 and time.monotonic() < until:  # a reader from 0 on is first told that 0 is gone
        log = read(lettered.kafka, lettered.topic("transactions"), 1)
    assert [(key, value) for _, key, value in log[-2:]] == [(b"C0000077", GOOD), (b"C0000077", RUBBISH)]
    assert headers_of(lettered, log[-2][0]) == headers_of(lettered, log[-1][0]) == HEADERS
    assert done[MANY] is None
    anew = read(lettered.kafka, lettered.topic("transactions"), 2)[4:]
    assert [value for _, _, value in anew] == [GOOD, RUBBISH, GOOD]
    others = {row["place"]: row["problem"] for row in rows("redrive", "file:a.csv/-1/17", "rm-alerts/0/4")}
    assert "line of a file" in others["file:a.csv/-1/17"]
    assert "no input" in others["rm-alerts/0/4"]
    wrong_places = {row["place"]: row["problem"] for row in rows("redrive", "--topic", "facts")}
    assert wrong_places.keys() == LAY_WRONG
    assert all("would lie wrong again" in problem for problem in wrong_places.values())
    assert read(lettered.kafka, lettered.topic("facts"), 0) == []
    for wrong in ([], ["transactions/1/1", "--topic", "transactions"], ["transactions/1/1", "--as", "rm:hq/east"]):
        assert called("redrive", *wrong).exit_code == 1
