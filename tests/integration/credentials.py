"""What a credential opens on the brokers: as they say it themselves of each thing, and as it is when somebody tries."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicCollection, TopicPartition

from deploy import admin
from deploy.connections.clients import librdkafka
from deploy.connections.wire import Brokers

ANSWER_S: Final = 60.0
MESSAGE_MS: Final = 60_000
REFUSALS: Final = {
    KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaError.GROUP_AUTHORIZATION_FAILED,
    KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
}  # fmt: skip


class Credential:
    """A user of the brokers, and what it may do there. Operations are named as ACLs name them; nothing: not even seen."""

    def __init__(self, kafka: Brokers) -> None:
        self._config = {**librdkafka(kafka), "logger": admin.nowhere}
        self._admin = admin.client(kafka)

    def topics(self, names: Iterable[str]) -> dict[str, set[str]]:
        """What it may do with each topic."""
        asked = self._admin.describe_topics(
            TopicCollection(list(names)), include_authorized_operations=True, request_timeout=ANSWER_S
        )
        return {name: _operations(answer.result) for name, answer in asked.items()}

    def groups(self, names: Iterable[str]) -> dict[str, set[str]]:
        """What it may do with each group."""
        asked = self._admin.describe_consumer_groups(
            list(names), include_authorized_operations=True, request_timeout=ANSWER_S
        )
        return {name: _operations(answer.result) for name, answer in asked.items()}

    def cluster(self) -> set[str]:
        """What it may do with the cluster as a whole."""
        asked = self._admin.describe_cluster(include_authorized_operations=True, request_timeout=ANSWER_S)
        return _operations(asked.result)

    def takes(self, transactional_id: str) -> bool:
        """Whether it may write transactions under this id, and so fence off whoever does. It begins with it."""
        try:
            self._transactional(transactional_id)
        except KafkaException as problem:
            _check_refusal(problem.args[0])
            return False
        return True

    def writes_and_withdraws(self, transactional_id: str, topics: Iterable[str]) -> None:
        """A record on each topic, in a transaction that is given up. KafkaException where one is refused."""
        failed: list[KafkaError] = []
        producer = self._transactional(transactional_id)
        producer.begin_transaction()
        for topic in topics:
            producer.produce(topic, b"x", b"x", 0, lambda problem, _: failed.extend([problem] if problem else []))
        unsent = producer.flush(ANSWER_S)
        producer.abort_transaction(ANSWER_S)
        assert unsent == 0
        if failed:
            raise KafkaException(failed[0])

    def writes(self, topic: str) -> bool:
        """Whether a record without a transaction is taken."""
        failed: list[KafkaError] = []
        producer = Producer({**self._config, "message.timeout.ms": MESSAGE_MS})
        producer.produce(topic, b"x", b"x", 0, lambda problem, _: failed.extend([problem] if problem else []))
        assert producer.flush(2 * ANSWER_S) == 0
        for problem in failed:
            _check_refusal(problem)
        return not failed

    def reads(self, topic: str) -> bool:
        """Whether it is given the topic's first partition: a record, or that there is none."""
        places = [TopicPartition(topic, 0, 0)]
        return self._told(
            lambda consumer: consumer.assign(places), "nobody", KafkaError.TOPIC_AUTHORIZATION_FAILED
        )  # fmt: skip

    def joins(self, group: str, topic: str) -> bool:
        """Whether it may be a member of the group, which then has the topic for a moment."""
        return self._told(lambda consumer: consumer.subscribe([topic]), group, KafkaError.GROUP_AUTHORIZATION_FAILED)

    def _told(self, begin: Callable[[Consumer], object], group: str, refusal: int) -> bool:
        consumer = Consumer(
            {
                **self._config, "group.id": group, "enable.auto.commit": False, "enable.partition.eof": True,
                "auto.offset.reset": "earliest",
            }
        )  # fmt: skip
        try:
            begin(consumer)
            while True:
                message = consumer.poll(ANSWER_S)
                assert message is not None, "nothing is said"
                problem = message.error()
                if problem is None or problem.code() == KafkaError._PARTITION_EOF:
                    return True
                _check_refusal(problem)
                if problem.code() == refusal:  # a reader hears of its group too, which it does not need
                    return False
        finally:
            consumer.close()

    def _transactional(self, transactional_id: str) -> Producer:
        producer = Producer({**self._config, "transactional.id": transactional_id})
        producer.init_transactions(ANSWER_S)
        return producer


def _operations(answer: Callable[[float], Any]) -> set[str]:
    """What is allowed; nothing where the thing is not even to be seen."""
    try:
        found = answer(2 * ANSWER_S).authorized_operations
    except KafkaException as problem:
        _check_refusal(problem.args[0])
        return set()
    return {operation.name.title().replace("_", "") for operation in found or ()}


def _check_refusal(problem: KafkaError) -> None:
    """KafkaException where it is something else than a missing right."""
    if problem.code() not in REFUSALS:
        raise KafkaException(problem)
