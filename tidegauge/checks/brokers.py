"""Checks of the brokers: whether they answer, and settings of theirs under which Tidegauge can't work."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Final

from tidegauge.checks import CheckLine, Grade, grade_of, listed
from tidegauge.cli import packages

if TYPE_CHECKING:
    from deploy.settings import Settings

ADMIN_WAIT_S: Final = 5.0


def reachable(settings: Settings) -> Iterator[CheckLine]:
    """Whether they answer."""
    from deploy import record, topics

    found = topics.inspect(settings, wait_s=3.0)
    ours = () if settings.external or packages.lacking("embedded") else record.processes(settings.data_dir)
    mine = "external" if settings.external else f"{sum(entry.alive() for entry in ours)} processes of ours"
    yield CheckLine("kafka", grade_of(not found), f"answers at {settings.kafka} ({mine})")


def configs(settings: Settings, kind: str, names: list[str]) -> dict[str, dict[str, str | None]]:
    """Settings of brokers or topics, by name; KafkaException, also where this user may not see them.

    kind: "BROKER" or "TOPIC".
    """
    from confluent_kafka.admin import ConfigResource

    from deploy import admin

    resources = [ConfigResource(ConfigResource.Type[kind], name) for name in names]
    client = admin.client(settings.kafka)  # must outlive its answers
    asked = client.describe_configs(resources, request_timeout=ADMIN_WAIT_S)
    answers = {resource.name: answer.result(2 * ADMIN_WAIT_S) for resource, answer in asked.items()}
    return {name: {key: entry.value for key, entry in answer.items()} for name, answer in answers.items()}


def broker_settings(settings: Settings) -> Iterator[CheckLine]:
    """Of every broker."""
    from deploy import admin

    brokers = admin.client(settings.kafka).list_topics(timeout=ADMIN_WAIT_S).brokers
    found = configs(settings, "BROKER", [str(number) for number in brokers])
    wrong, odd = broker_faults(found)
    if wrong:
        yield CheckLine("brokers", Grade.WRONG, listed(wrong), "correct them in server.properties, or by kafka-configs")
    if odd:
        yield CheckLine("brokers", Grade.WARN, listed(odd), "set auto.create.topics.enable=false")
    if not wrong and not odd:
        yield CheckLine("brokers", Grade.GOOD, f"{len(found)}, and their settings fit")


def broker_faults(found: Mapping[str, Mapping[str, str | None]]) -> tuple[list[str], list[str]]:
    """(what no worker can work with, what is no good) of brokers' settings."""
    from agents.engine.app import WORKER_SESSION_S
    from agents.engine.unit import TRANSACTION_S_MAX

    transaction_ms, session_ms = int(TRANSACTION_S_MAX * 1000), int(WORKER_SESSION_S * 1000)
    bounds: tuple[tuple[str, Callable[[int], bool], str], ...] = (
        ("transaction.max.timeout.ms", lambda ms: ms >= transaction_ms, f"workers need {transaction_ms} or more"),
        ("group.min.session.timeout.ms", lambda ms: ms <= session_ms, f"workers need {session_ms} or less"),
        ("group.max.session.timeout.ms", lambda ms: ms >= session_ms, f"workers need {session_ms} or more"),
    )
    wrong = [
        f"broker {broker}: {name} is {values[name]}, {need}"
        for broker, values in found.items()
        for name, fits, need in bounds
        if values.get(name) is not None and not fits(int(values[name] or 0))
    ]
    odd = [
        f"broker {broker} creates a topic for whoever misspells one (auto.create.topics.enable)"
        for broker, values in found.items()
        if values.get("auto.create.topics.enable") == "true"
    ]
    return wrong, odd
