"""What stands still, or will lose something, though every process runs: readyz, metrics and doctor say so, by name."""

from __future__ import annotations

from collections.abc import Mapping

from confluent_kafka import Producer
from confluent_kafka.admin import AlterConfigOpType, ConfigEntry, ConfigResource, NewPartitions

from agents.engine.recovery import changelog_topic
from deploy import admin
from deploy.connections.clients import librdkafka
from tests.chaos.given import Given
from tests.chaos.site.bank import GOOD, Bank
from tests.chaos.system import Result
from tidegauge.bootstrap import STANDING

OPEN_MS = 600_000  # until the brokers would abort the transaction themselves
UNREADY = 503


def health(given: Given) -> Result:
    """A foreign transaction left open, settings of topics changed, a size refused, partitions raised: said by name."""
    with given.bank("health") as bank:
        bank.start()
        bank.load(12)
        bank.expect("readyz", bank.readyz().code == GOOD, bank.readyz())
        _open_transaction(bank)
        _settings_of_topics(bank)
        _too_few_copies(bank)
        _size_refused(bank)
        bank.judge()
        _partitions_raised(bank)
        return bank.result()


def _open_transaction(bank: Bank) -> None:
    """Nothing behind it can be read; once it is aborted everything counts, without hands."""
    bank.fault("a foreign transaction left open")
    producer = Producer(
        {
            **librdkafka(bank.settings.kafka),
            "transactional.id": f"{bank.name} foreign",
            "transaction.timeout.ms": OPEN_MS,
        }
    )
    producer.init_transactions(20)
    producer.begin_transaction()
    for partition in range(bank.settings.partitions):
        producer.produce(bank.settings.topic("transactions"), b"never committed", partition=partition)
    producer.flush(20)
    bank.send(bank.last + 1, bank.last + 3)
    seconds = bank.until(lambda: "has left a transaction open at offset" in bank.readyz().text)
    said = bank.readyz()
    bank.expect(f"readyz after {seconds:.0f} s", said.code == UNREADY and "transactions/" in said.text, said)
    bank.expect("livez", bank.livez().code == GOOD, bank.livez())
    for name in ("tidegauge_open_transaction_seconds", "tidegauge_oldest_waiting_seconds", "tidegauge_lag_offsets"):
        bank.expect(name, bank.metric(name, topic="transactions") > 0, bank.metric(name, topic="transactions"))
    line = bank.doctor()["open transactions"]
    bank.expect("doctor: open transactions", not line["good"] and "kafka-transactions.sh" in line["hint"], line)
    producer.abort_transaction(20)
    bank.wait_closed()
    bank.expect("readyz once it is aborted", bank.until(lambda: bank.readyz().code == GOOD) < 30, bank.readyz())
    line = bank.doctor()["open transactions"]
    bank.expect("doctor: open transactions afterwards", line["good"], line)


def _settings_of_topics(bank: Bank) -> None:
    """A log that forgets, and a state that does: doctor names topic, setting and both values."""
    log, state = bank.settings.topic("transactions"), changelog_topic(bank.settings, STANDING)
    bank.fault("transactions kept for an hour, the changelog deleted by age")
    configure(bank, log, {"retention.ms": "3600000"})
    configure(bank, state, {"cleanup.policy": "delete"})
    found = bank.doctor()
    for name, words in (("topic settings", "retention.ms is 3600000"), ("changelog", "cleanup.policy is delete")):
        bank.expect(f"doctor: {name}", not found[name]["good"] and words in found[name]["found"], found[name])
    configure(bank, log, {"retention.ms": str(62 * 86_400_000)})
    configure(bank, state, {"cleanup.policy": "compact"})
    found = bank.doctor()
    for name in ("topic settings", "changelog"):
        bank.expect(f"doctor: {name} afterwards", found[name]["good"], found[name])


def _too_few_copies(bank: Bank) -> None:
    """An output that wants more copies in sync than it has takes nothing: doctor names it before anything comes there."""
    name = bank.settings.topic("decisions")
    bank.fault("more copies in sync asked for than there are")
    configure(bank, name, {"min.insync.replicas": "2"})
    line = bank.doctor()["copies"]
    good = not line["good"] and f"{name}/0: 1 of 1 copies in sync, min.insync.replicas is 2" in line["found"]
    bank.expect("doctor: copies", good, line)
    configure(bank, name, {"min.insync.replicas": "1"})
    line = bank.doctor()["copies"]
    bank.expect("doctor: copies afterwards", line["good"], line)


def _size_refused(bank: Bank) -> None:
    """An output topic that takes no batch: the last line names topic and setting; with it set back all goes on."""
    name = bank.settings.topic("standings")
    bank.fault("an output topic that refuses the size")
    configure(bank, name, {"max.message.bytes": "200"})
    bank.send(bank.last + 1, bank.last + 2)
    code, lines = bank.ended()
    bank.expect("the last line", code in (1, 2) and f"topic {name} refuses a batch of" in lines[-1], (code, lines[-1:]))
    bank.expect("no traceback", not any("Traceback" in line for line in lines), len(lines))
    line = bank.doctor()["topic settings"]
    bank.expect("doctor: topic settings", not line["good"] and "max.message.bytes is 200" in line["found"], line)
    configure(bank, name, {"max.message.bytes": str(4 << 20)})
    bank.start()
    bank.wait_closed()


def _partitions_raised(bank: Bank) -> None:
    """Customers would change their partition: the worker ends within a minute, and can't be started until it is mended."""
    name = bank.settings.topic("transactions")
    bank.fault("partitions raised under the worker")
    more = bank.settings.partitions + 1
    client = admin.client(bank.settings.kafka)  # must outlive its answers
    for done in client.create_partitions([NewPartitions(name, more)]).values():
        done.result(20)
    code, lines = bank.ended()
    bank.expect("the last line", code in (1, 2) and "partitions" in lines[-1] and name in lines[-1], (code, lines[-1:]))
    line = bank.doctor()["topics"]
    bank.expect("doctor: topics", not line["good"] and "transactions" in line["found"], line)
    done, seconds = bank.child(["worker", "--metrics-port", "0"])
    bank.expect(
        f"a new worker, after {seconds:.0f} s", done.code in (1, 2) and "partitions" in done.out + done.err, done
    )


def configure(bank: Bank, topic: str, values: Mapping[str, str]) -> None:
    """Set settings of a topic."""
    resource = ConfigResource(ConfigResource.Type.TOPIC, topic)
    for name, value in values.items():
        resource.add_incremental_config(ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET))
    client = admin.client(bank.settings.kafka)  # must outlive its answers
    for done in client.incremental_alter_configs([resource]).values():
        done.result(20)
