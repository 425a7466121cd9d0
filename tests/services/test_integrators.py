"""docs/integrators.md shows what is: answers, keys and bounds are the code's. Its programs run in tests/clients."""

import base64
import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from standardwebhooks import Webhook

from deploy.settings import Settings
from deploy.topics import CATALOGUE, TOPIC_NAMES
from schemas.registry import file_registry, written_version
from services.notices import webhook
from services.notices.notifier import Notice
from services.queue import lookup, server
from services.queue.priority import Priority
from services.views import projections
from services.views.keys import Keys

PAGE = (Path(__file__).parents[2] / "docs" / "integrators.md").read_text()


def test_examples_of_answers() -> None:
    """The look-up's answer and the webhook's body have the fields of the code."""
    answer, notice = (
        json.loads(re.findall(rf"```json {name}\n(.*?)```", PAGE, re.DOTALL)[0]) for name in ("priority", "notice")
    )
    assert set(Priority.model_validate(answer).model_dump()) == set(answer)
    assert set(notice) == set(Notice.__dataclass_fields__)


def test_keys_and_bounds() -> None:
    """Every key that the code uses is described, and the page's numbers are the code's."""
    keys = Keys.of("")
    used = [
        keys.priority("{customer_ref}"), keys.standings + "{digest}", keys.alert("{alert_id}"), keys.next, keys.meta,
        *(keys.alerts_of(by) + "{digest}" for by in ("customer", "rm", "branch")), keys.fresh("{topic}"), keys.writer,
        keys.notice("{notice_id}"), keys.holds, keys.sweep, keys.given_up("{notice_id}"), keys.waiting,
    ]  # fmt: skip
    assert [key for key in used if f"`{key}`" not in PAGE] == []
    bounds = (projections.ALERTS_PER_CUSTOMER_MAX, projections.ALERTS_PER_RM_MAX, projections.ALERTS_PER_BRANCH_MAX)
    assert f"newest {bounds[0]}, {bounds[1]:,} and {bounds[2]:,}" in PAGE
    assert f"after {round(lookup.BUDGET_S * 1000)} ms" in PAGE
    assert f"({lookup.STALE_S:.0f} s)" in PAGE
    assert f"after {webhook.ATTEMPT_S:.0f} s and a delivery after {webhook.DELIVERY_S:.0f} s" in PAGE
    assert f"at most {webhook.ANSWER_BYTES_MAX >> 10} KB" in PAGE
    fields = Settings.model_fields
    connections = fields["lookup_connections"].default
    assert (
        f"a request has {server.REQUEST_S:.0f} s" in PAGE
        and f"{server.REQUEST_BYTES_MAX >> 10} KB; there are {connections}" in PAGE
    )
    assert f"{connections // server.ADDRESS_SHARE} of them for one address" in PAGE
    assert f"ask {fields['lookup_rate'].default} times a second" in PAGE
    assert all(str(status) in PAGE for status in webhook.AGAIN)


def test_signature_by_hand_is_the_library_s() -> None:
    """The page's few lines give the signature that goes out."""
    (code,) = re.findall(r"```python signature\n(.*?)```", PAGE, re.DOTALL)
    page: dict[str, Any] = {}
    exec(code, page)
    secret, at, body = "whsec_" + base64.b64encode(bytes(range(40))).decode(), datetime(2026, 3, 2, tzinfo=UTC), "{“}"
    expected = Webhook(secret).sign("c0ffee", at, body)
    assert page["signed"](secret, "c0ffee", str(int(at.timestamp())), body.encode()) == expected
    vector = re.search(r"the secret `(.+?)`, id `(.+?)`, timestamp `(.+?)` and body\s+`(.+?)`\s+give `(.+?)`", PAGE)
    assert vector
    assert page["signed"](*vector.groups()[:3], vector[4].encode()) == vector[5]
    at = datetime.fromtimestamp(int(vector[3]), UTC)
    assert Webhook(vector[1]).sign(vector[2], at, vector[4]) == vector[5]


def test_the_id_that_a_producer_is_called_with() -> None:
    """That of the contract in the files."""
    [(version, number)] = re.findall(r"versions/transactions-(\d+)\.avsc (\d+) ", PAGE)
    assert (int(version), int(number)) == (written_version("transactions", 1), file_registry().id_of("transactions"))


def test_keys_of_topics_are_the_catalogue_s() -> None:
    """Every topic that somebody else writes or reads has its key, and customers' topics have the customer's."""
    rows = re.findall(r"^  \| (`[^|]+) \| ([^|]+) \| `[^|]+` \|$", PAGE, re.MULTILINE)
    keys = {name: key for names, key in rows for name in re.findall(r"`([\w-]+)`", names) if "itself" not in names}
    own = {
        "business-days",
        "policies",
        "tasks",
        "queue-tickets",
        "audit-log",
        "world",
        "account-owners",
    }  # ours alone, or nobody's yet
    assert keys.keys() == set(TOPIC_NAMES) - own
    for topic in CATALOGUE:
        if topic.key in ("customer_id", "customer_ref") and topic.name in keys:
            assert keys[topic.name] == f"`{topic.key}`"
