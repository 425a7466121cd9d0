"""What each check has to see of the brokers, and what of it this user may not: where one could not look nothing is good."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from deploy.settings import Settings


def needed(settings: Settings) -> dict[str, list[str]]:
    """By the name of a check the topics that it looks at, as Kafka names them. `topics` names by itself what it may not see."""
    from agents.engine.recovery import changelog_topic
    from deploy.topics import TOPIC_NAMES, WORLD
    from schemas.topics import BROADCAST, CLOSES, INPUTS, KEYED
    from tidegauge.bootstrap import STANDING
    from tidegauge.letters import LETTERS_TOPIC
    from tidegauge.world.tickets import OF_TICKETS

    whole, inputs = [[settings.topic(name) for name in names] for names in (TOPIC_NAMES, INPUTS)]
    state, world = changelog_topic(settings, STANDING), settings.topic(WORLD)
    return {
        "identity": whole,
        "topic settings": whole,
        "copies": whole,
        "changelog": [state, *inputs],
        "open transactions": inputs,
        "waiting": inputs,
        "records": [settings.topic(LETTERS_TOPIC)],
        "accounts": [settings.topic(name) for name in KEYED[:2]],
        "closes": [settings.topic(CLOSES), world],
        "marks": [state, world, *inputs],
        "calendar": [state, world, *inputs],
        "deletions": [settings.topic(name) for name in (CLOSES, *BROADCAST)],
        "state": [state, *inputs],
        "references": [] if settings.previous_secret() is None else [state],
        "handover": [state],
        "ticket log": [settings.topic(name) for name in OF_TICKETS] if settings.has_tickets else [],
    }


def not_seen(settings: Settings, check: str) -> list[str]:
    """The topics of a check that this user may not see. KafkaException."""
    from agents.engine.watch.brokers import topics_found

    names = needed(settings).get(check, [])
    found = topics_found(settings.kafka, names) if names else {}
    return [name for name in names if name not in found]
