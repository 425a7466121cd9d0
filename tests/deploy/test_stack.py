"""The embedded stack: starts, answers, keeps its data, stops, and says what is wrong."""

import json
import shutil
import socket
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import ConfigResource

from deploy import admin, ping, record, topics
from deploy.connections.clients import librdkafka
from deploy.embedded import jars, kafka, processes
from deploy.embedded.stack import Stack
from deploy.errors import StackError
from deploy.settings import Settings

HEAP_MB = 384


def test_a_cluster_id_is_no_option(monkeypatch: pytest.MonkeyPatch) -> None:
    """Kafka's storage tool takes a word with a dash for an option."""
    ids = iter([b"\xfb" + bytes(15), bytes(16)])
    monkeypatch.setattr(kafka.uuid, "uuid4", lambda: SimpleNamespace(bytes=next(ids)))
    assert kafka.new_cluster_id() == "A" * 22


def produce(bootstrap_servers: str, topic: str, value: bytes) -> None:
    """Write one record and wait until it is acknowledged by all replicas."""
    problems = []
    producer = Producer({**librdkafka(bootstrap_servers), "acks": "all"})
    producer.produce(topic, value, partition=0, on_delivery=lambda problem, _: problems.append(problem))
    assert producer.flush(30) == 0
    assert problems == [None]


def read_all(bootstrap_servers: str, topic: str) -> list[bytes]:
    """The values of a topic's partition 0."""
    consumer = Consumer({**librdkafka(bootstrap_servers), "group.id": "reader", "enable.auto.commit": False})
    with closing(consumer):
        partition = TopicPartition(topic, 0, 0)
        _, end = consumer.get_watermark_offsets(partition, timeout=30)
        consumer.assign([partition])
        values = []
        while len(values) < end:
            message = consumer.poll(30)
            assert message is not None and message.error() is None
            values.append(message.value())
        return values


@pytest.mark.integration
def test_stack_survives_restart(tmp_path: Path) -> None:
    """Up, down and up again: the same ports, the data still there, and after down no process of ours is left."""
    said: list[str] = []
    stack = Stack(tmp_path / "data", Settings(kafka_heap_mb=HEAP_MB), any_ports=True, tether=True, say=said.append)
    with stack:
        first = (stack.bootstrap_servers, stack.redis_url)
        assert any("topics created" in line for line in said)
        produce(stack.bootstrap_servers, "audit-log", b"kept")
        pids = [entry.pid for entry in stack.running()]
        stack.start()
        assert [entry.pid for entry in stack.running()] == pids, "a second start starts nothing"
    assert not any(psutil.pid_exists(pid) for pid in pids)
    again = Stack(tmp_path / "data", Settings(kafka_heap_mb=HEAP_MB), any_ports=True, tether=True)
    with again:
        assert (again.bootstrap_servers, again.redis_url) == first
        assert read_all(again.bootstrap_servers, "audit-log") == [b"kept"]
        assert topics.create(again.settings) == [], "no topic is created twice"
        again.kill_broker()
        again.start_broker()
        assert read_all(again.bootstrap_servers, "audit-log") == [b"kept"], "what was acknowledged outlives kill -9"
    assert again.running() == []


@pytest.mark.integration
def test_three_brokers_survive_the_loss_of_one(tmp_path: Path) -> None:
    """With three brokers, one can be killed: what was acknowledged is still read, and more can be written."""
    stack = Stack(
        tmp_path / "data",
        Settings(kafka_heap_mb=HEAP_MB, brokers=3, partitions=1),
        with_redis=False,
        with_topics=False,
        any_ports=True,
        tether=True,
    )
    with stack:
        assert len(stack.bootstrap_servers.split(",")) == 3
        topics.create(stack.settings, ["audit-log"])
        described = admin.client(stack.bootstrap_servers).list_topics("audit-log", timeout=10).topics["audit-log"]
        assert len(described.partitions[0].replicas) == 3
        produce(stack.bootstrap_servers, "audit-log", b"before")
        stack.kill_broker(1)
        produce(stack.bootstrap_servers, "audit-log", b"after")
        assert read_all(stack.bootstrap_servers, "audit-log") == [b"before", b"after"]
    assert stack.running() == []


@pytest.mark.integration
def test_a_copied_folder_is_another_stack(tmp_path: Path) -> None:
    """A copy of a running folder neither stops the original's servers nor uses them; any path will do for both."""
    folder, copy = tmp_path / '客户 "数据" it\'s=1 \\ 💰', tmp_path / "Kopie für später"
    stack = Stack(folder, Settings(kafka_heap_mb=HEAP_MB, partitions=1), any_ports=True, tether=True)
    with stack:
        found = [path.name for path in tmp_path.iterdir()]
        assert found == [folder.name], "nothing is written beside the folder"
        assert (folder / "kafka-0" / "data" / "meta.properties").exists()
        assert list((folder / "redis").glob("appendonlydir/*"))
        shutil.copytree(folder, copy)
        pids = [entry.pid for entry in stack.running()]
        second = Stack(copy, Settings(redis_port=processes.free_row(1)), with_kafka=False, tether=True)
        assert (second.running(), second.stop()) == ([], [])
        assert (second.settings.kafka, second.settings.data_dir) == ("127.0.0.1:9092", copy)
        with second:
            assert second.redis_url != stack.redis_url
            assert len(second.running()) == 1
        assert [entry.pid for entry in stack.running()] == pids
        folder.rename(tmp_path / "moved")  # what moves stays itself
        assert Stack(tmp_path / "moved").stop() == ["kafka-0", "redis"]
    assert not any(psutil.pid_exists(pid) for pid in pids)


@pytest.mark.parametrize(
    ("name", "why"),
    [("a,b", "comma"), ("a\udcffb", "no UTF-8"), ("a\nb", "control characters"), ("/".join(["x" * 200] * 16), "bytes")],
)
def test_a_path_that_servers_cannot_take(tmp_path: Path, name: str, why: str) -> None:
    """It is refused before anything is made."""
    with pytest.raises(StackError, match=why):
        Stack(tmp_path / name).start()
    assert list(tmp_path.iterdir()) == []


def test_a_note_of_before(tmp_path: Path) -> None:
    """A note that does not name its folder is a copy's if its processes have their files elsewhere."""
    here, there = tmp_path / "here", tmp_path / "there"
    for folder in (here, there):
        folder.mkdir()
        entry = record.Running("redis", 1, 0.0, str(here / "redis" / "server.conf"))
        note = {"processes": record.as_entries([entry]), "redis_url": "redis://x/0", "brokers": 1}
        (folder / record.RECORD_FILE).write_text(json.dumps(note))
    assert record.processes(here) == [entry]
    assert record.read_record(there) == {"brokers": 1}


def test_taken_port_is_said(tmp_path: Path) -> None:
    """A port that somebody else listens on is named, with the option to choose another one; nothing stays running."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        stack = Stack(tmp_path, Settings(redis_port=port), with_kafka=False)
        with pytest.raises(StackError, match=rf"port {port} .* taken.*\n.*--redis-port"):
            stack.start()
    assert stack.running() == []


def test_full_disk_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk with too little room is refused before anything starts."""
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("usage", (), {"free": 10 << 20})())
    with pytest.raises(StackError, match="only 10 MB free"):
        Stack(tmp_path).start()


def test_unreachable_repository_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the jars cannot be fetched, the message names the three ways out."""
    monkeypatch.setenv("M2_REPO", str(tmp_path / "empty"))
    dead = f"http://127.0.0.1:{processes.free_row(1)}/maven2"
    with pytest.raises(StackError) as problem:
        jars.class_path(None, dead)
    for way in ("TIDEGAUGE_MAVEN_MIRROR", "KAFKA_HOME", "TIDEGAUGE_BOOTSTRAP_SERVERS"):
        assert way in problem.value.hint


def test_damaged_jar_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A jar whose bytes are not the pinned ones is not run, wherever it came from."""
    monkeypatch.setattr("jgo.maven.Artifact.resolve", lambda self: _damaged(tmp_path / self.filename))
    monkeypatch.setenv("M2_REPO", str(tmp_path))
    with pytest.raises(StackError, match=r"is not what kafka-jars\.lock pins"):
        jars.class_path(None, None)


def _damaged(path: Path) -> Path:
    path.write_bytes(b"not a jar")
    return path


def test_kafka_home_is_used(tmp_path: Path) -> None:
    """With an unpacked distribution nothing is fetched; a folder without one is refused."""
    with pytest.raises(StackError, match="holds no Kafka"):
        jars.class_path(tmp_path, None)
    (tmp_path / "libs").mkdir()
    (tmp_path / "libs" / "kafka_2.13-4.1.1.jar").touch()
    assert jars.class_path(tmp_path, None) == [tmp_path / "libs" / "kafka_2.13-4.1.1.jar"]


def test_number_of_brokers_is_kept(tmp_path: Path) -> None:
    """A folder that holds one broker's data is not started with three."""
    record.write_record(tmp_path, {"brokers": 1})
    with pytest.raises(StackError, match=r"cluster of 1 broker\(s\), not 3"):
        Stack(tmp_path, Settings(brokers=3)).start()


def test_stranger_with_our_pid_is_left_alone(tmp_path: Path) -> None:
    """`down` ends a process only if id, start time and command line fit what was recorded: ids are reused."""
    command = [sys.executable, "-c", "print(flush=True); input()"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as stranger:
        assert stranger.stdout and stranger.stdout.readline()  # until it runs, its command line is still ours
        started = psutil.Process(stranger.pid).create_time()
        entries = [
            record.Running("other-command", stranger.pid, started, "server.properties"),
            record.Running("other-start", stranger.pid, started - 60, "input"),
            record.Running("ours", stranger.pid, started, "input"),
        ]
        assert [entry.alive() for entry in entries] == [False, False, True]
        record.write_record(tmp_path, {"processes": record.as_entries(entries[:2])})
        assert Stack(tmp_path).stop() == []
        assert stranger.poll() is None
        stranger.communicate(b"\n")
    assert not entries[2].alive()


def test_own_servers_are_not_started(tmp_path: Path) -> None:
    """Where the settings point at existing servers, the stack starts none."""
    settings = Settings(bootstrap_servers="kafka.example:9092", redis_url="redis://redis.example/0")
    stack = Stack(tmp_path, settings)
    assert (stack.with_kafka, stack.with_redis) == (False, False)
    assert stack.bootstrap_servers == "kafka.example:9092"


@pytest.mark.integration
def test_topics_have_the_catalogues_settings(make_topics) -> None:
    """A created topic has the catalogue's clean-up and retention; another number of partitions is refused."""
    settings = make_topics("transactions", "standings")
    names = [settings.topic(name) for name in ("transactions", "standings")]
    admin_client = admin.client(settings.kafka)
    resources = [ConfigResource(ConfigResource.Type.TOPIC, name) for name in names]
    found = [done.result(30) for done in admin_client.describe_configs(resources).values()]
    assert [values["cleanup.policy"].value for values in found] == ["delete", "compact"]
    assert found[0]["retention.ms"].value == str(62 * topics._DAY_MS)
    assert found[0]["message.timestamp.type"].value == "LogAppendTime"
    with pytest.raises(StackError, match="has 4 partitions, not 5"):
        topics.create(settings.model_copy(update={"partitions": 5}), ["transactions"])
    with pytest.raises(StackError, match="not in the catalogue: nonsense"):
        topics.create(settings, ["nonsense"])


@pytest.mark.integration
def test_redis_answers(redis_server: str) -> None:
    """The embedded Redis server answers, and a port without one does not."""
    assert ping.answers(redis_server)
    assert not ping.answers(f"redis://127.0.0.1:{processes.free_row(1)}/0")
