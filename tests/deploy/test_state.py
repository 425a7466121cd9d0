"""What `tidegauge doctor` says of the state that it finds."""

import json

import pytest
from confluent_kafka.admin import AdminClient, NewTopic
from pydantic import SecretStr

from deploy.connections.clients import librdkafka
from deploy.settings import Settings
from streams.reference import key_fingerprint
from tests.conftest import Kafka
from tests.engine.world import write_rows
from tidegauge.checks import Grade
from tidegauge.checks.state import calendar_finding, state_found

MINE, OTHER = "k" * 32, "l" * 32
STATES = [  # a fence's head, the key that the state was kept with, what is said
    ({"format": 2}, None, "upgrades state format 2 to 3 at the start"),
    ({"format": 3, "oldest": 2}, MINE, "upgrades state format 2 to 3 at the start"),
    ({"format": 3}, MINE, "reads state format 3 as it is"),
    ({"format": 3}, OTHER,
     "refuses: partition 0: the state was kept with reference_key (fingerprint) " + key_fingerprint(OTHER.encode())
     + f", the setting is {key_fingerprint(MINE.encode())}: set it back; a log of its own "
     "(TIDEGAUGE_TOPIC_PREFIX) takes other settings"),
    ({"format": 9}, MINE,
     "refuses: the changelog was written by a newer version (state format 9, this one reads 2 and 3): run the newer version"),
]  # fmt: skip


def test_holidays_ahead() -> None:
    """A year that nobody knows is a warning that names the command; the others are good."""
    assert calendar_finding([], {2026}).good
    found = calendar_finding([2027], {2026, 2027})
    assert (found.grade, found.found) == (
        Grade.WARN,
        "the holidays of 2027 are not known",
    ) and "tidegauge holidays" in found.hint


@pytest.mark.integration
def test_what_a_worker_will_do(kafka: Kafka, topic_prefix: str) -> None:
    """Of the last fence, which is looked for behind many rows; nothing is said of a state that is not there."""
    settings = Settings(
        bootstrap_servers=kafka.bootstrap_servers, group=f"{topic_prefix}state", partitions=1,
        reference_key=SecretStr(MINE),
    )  # fmt: skip
    (found,) = state_found(settings)
    assert (found.good, found.found) == (True, f"none in group {settings.group}: a worker begins with the log")
    changelog = f"{settings.group}-standing-changelog"
    admin = AdminClient(librdkafka(kafka.bootstrap_servers))
    admin.create_topics([NewTopic(changelog, 1, 1)])[changelog].result(20)
    for head, key, said in STATES:
        meta: dict[str, object] = {"reference_key": key_fingerprint(key.encode())} if key else {}
        meta |= {"base_currency": "CNY", "zone": "Asia/Shanghai", "pack": "rolling-quarter-aum", "layers": None}
        value = json.dumps({**head, "offsets": {}}) + "\n" + json.dumps({**meta, "closed": -1, "rates": []})
        write_rows(kafka.bootstrap_servers, changelog, [(b"@fence", value), *[(b"@commit", "{}")] * 5000])
        (found,) = state_found(settings)
        assert (found.good, found.found) == (not said.startswith("refuses"), f"1 of 1 partitions: a worker {said}")
