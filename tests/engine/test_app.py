"""The app as it is built: what it would ask of the brokers."""

from pathlib import Path

import pytest
from confluent_kafka.admin import NewTopic

from agents.engine import recovery
from agents.engine.app import build_app
from agents.engine.job import RecoveryError
from agents.engine.recovery import changelog_topic
from agents.notifier.app import build_notifier
from deploy.settings import Settings
from schemas.registry import file_registry
from tests.engine.counter_job import CounterJob
from tests.engine.worker import EngineTestSettings


def test_the_changelog_has_as_many_copies_as_every_other_topic() -> None:
    """One copy, Faust's default, would stop the partition with its broker, and lose the state with its disk."""
    settings = EngineTestSettings("127.0.0.1:1", "copies", 3)
    topic = build_app(settings, CounterJob).units.changelog_topic
    assert topic.get_topic_name() == changelog_topic(settings, "standing")
    assert (topic.replicas, topic.partitions, topic.compacting, topic.deleting) == (-1, 3, True, False)


def test_the_clock_of_a_worker_is_no_matter_to_the_changelog() -> None:
    """A broker refuses records of its own kind of time that are an hour ahead of it: it puts its own on them."""
    settings = EngineTestSettings("127.0.0.1:1", "clocks", 3)
    topic = build_app(settings, CounterJob).units.changelog_topic
    assert topic.config["message.timestamp.type"] == "LogAppendTime"


def test_rows_that_somebody_may_still_read_are_not_compacted_away() -> None:
    """A reader beside a worker has an end of its own; newer rows behind that end must not take the older ones at once."""
    settings = EngineTestSettings("127.0.0.1:1", "lag", 3)
    topic = build_app(settings, CounterJob).units.changelog_topic
    assert topic.config["min.compaction.lag.ms"] == "300000"


class _Asked:
    """An administration client that knows some topics."""

    def __init__(self, *topics: str) -> None:
        self.topics = dict.fromkeys(topics)

    def list_topics(self, timeout: float) -> "_Asked":
        return self


@pytest.mark.parametrize(
    ("there", "expected"),
    [
        ((), "east.tidegauge-standing"),
        (("west.tidegauge-standing-changelog",), "east.tidegauge-standing"),
        (("tidegauge-standing-changelog",), "tidegauge-standing"),
        (("tidegauge-standing-changelog", "east.tidegauge-standing-changelog"), "east.tidegauge-standing"),
    ],
    ids=["new", "beside another", "from before", "both"],
)
def test_installations_share_no_changelog(
    there: tuple[str, ...], expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a topic prefix, changelog and transactional ids have it too; a changelog from before is gone on with."""
    monkeypatch.setattr(recovery.admin, "client", lambda _: _Asked(*there))
    recovery._prefixed.cache_clear()
    settings = Settings(bootstrap_servers="one:9092", topic_prefix="east.")
    assert recovery.state_name(settings) == expected
    assert changelog_topic(settings) == f"{expected}-changelog"
    recovery._prefixed.cache_clear()


def test_without_a_prefix_nobody_is_asked() -> None:
    """Names without a prefix are what they always were."""
    assert changelog_topic(Settings(bootstrap_servers="127.0.0.1:1")) == "tidegauge-standing-changelog"


def test_kafka_that_is_away_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Which changelog it is can't be guessed: no answer is an error in a line."""
    monkeypatch.setattr(recovery, "ASK_S", 0.2)
    with pytest.raises(RecoveryError, match="no answer from Kafka at"):
        changelog_topic(Settings(bootstrap_servers="127.0.0.1:1", topic_prefix="away."))


def test_no_folder_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing in the temporary directory or here can stop a worker: it makes no folder."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    apps = (
        build_app(EngineTestSettings("127.0.0.1:1", "lag", 3), CounterJob),
        build_notifier(Settings(bootstrap_servers="127.0.0.1:1"), None, file_registry()),
    )
    for app in apps:
        app._create_directories()
        app.finalize()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.integration
def test_changelog_from_before_is_found_on_kafka(settings: Settings) -> None:
    """The real broker is asked: a group with a changelog without prefix keeps it, another one begins with its own."""
    old = f"{settings.group}-standing-changelog"
    admin = recovery.admin.client(settings.kafka)
    admin.create_topics([NewTopic(old, 1, 1)])[old].result(20)
    assert changelog_topic(settings) == old
    other = settings.model_copy(update={"group": "other"})
    assert changelog_topic(other) == f"{settings.topic_prefix}other-standing-changelog"
