"""Records that lay wrong lately, as their dead letters tell: for `tidegauge doctor`."""

import time
from collections import Counter
from typing import Final

from confluent_kafka import KafkaException, TopicPartition
from confluent_kafka.admin import OffsetSpec

from deploy import admin
from deploy.errors import StackError
from deploy.settings import Settings
from schemas.partitioner import MISPLACED
from tidegauge.letters import LETTERS_TOPIC, letters_from

_LETTERS_MAX: Final = 1000  # looked at in a partition
_AGE_MS: Final = 24 * 60 * 60 * 1000
_WAIT_S: Final = 5.0


def lately(settings: Settings) -> Counter[tuple[str, str]]:
    """How many of the last day's dead letters lay wrong, by topic and reason. StackError when Kafka does not answer.

    Of a partition its last 1,000 letters are looked at. Where there is no topic of dead letters there are none.
    """
    try:
        first = _first(settings)
        found = letters_from(settings, first) if first else ()
        return Counter(
            (letter.record["topic"], letter.record["reason"])
            for letter in found
            if letter.record["reason"] in MISPLACED.values()
        )
    except KafkaException as problem:
        raise StackError(f"{settings.topic(LETTERS_TOPIC)} cannot be read: {problem.args[0].str()}") from problem


def _first(settings: Settings) -> dict[int, int]:
    """Where to begin in each partition: at the first letter of the last day, or behind all."""
    name, client = settings.topic(LETTERS_TOPIC), admin.client(settings.kafka)
    topic = client.list_topics(timeout=_WAIT_S).topics.get(name)  # of all: to ask for one could create it
    partitions = topic.partitions if topic else ()
    places = [TopicPartition(name, partition) for partition in partitions]
    since = OffsetSpec.for_timestamp(int(time.time() * 1000) - _AGE_MS)

    def asked(spec: OffsetSpec) -> dict[int, int]:
        answers = client.list_offsets(dict.fromkeys(places, spec), request_timeout=_WAIT_S) if places else {}
        return {place.partition: answer.result().offset for place, answer in answers.items()}

    ends, recent = asked(OffsetSpec.latest()), asked(since)
    return {p: end if recent[p] < 0 else max(recent[p], end - _LETTERS_MAX) for p, end in ends.items()}
