"""How much has ever been written to topics, by their offsets."""

from collections.abc import Iterable

from confluent_kafka import Consumer, KafkaException, TopicPartition

from connectors.loading.publisher import PublishError
from deploy.connections.clients import librdkafka
from deploy.settings import Settings

ANSWER_S = 10.0


def ever_written(settings: Settings, topics: Iterable[str]) -> int:
    """Records, marks and the ends of transactions that topics have had in all partitions; a topic that is not there has none.

    PublishError where Kafka does not answer.
    """
    consumer = Consumer({**librdkafka(settings.kafka), "group.id": f"{settings.topic_prefix}tidegauge-offsets"})
    count = 0
    try:
        there = consumer.list_topics(timeout=ANSWER_S).topics
        for name in map(settings.topic, topics):
            for partition in there[name].partitions if name in there else ():
                count += consumer.get_watermark_offsets(TopicPartition(name, partition), timeout=ANSWER_S)[1]
    except KafkaException as problem:
        raise PublishError(f"no Kafka answers at {settings.kafka}: {problem.args[0].str()}") from problem
    finally:
        consumer.close()
    return count
