"""The app as it is built: what it would ask of the brokers."""

from agents.engine.app import build_app
from agents.engine.recovery import changelog_topic
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
