"""docs/integrators.md shows what is: every topic's sample fits its contract, every bound and key is the code's."""

import base64
import json
import re
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
from standardwebhooks import Webhook

from deploy.settings import Settings
from deploy.topics import CATALOGUE, TOPIC_NAMES, Topic
from schemas.codec.records import decode_one, encode
from schemas.registry import CONTRACTS, contract, file_registry
from services.notices import webhook
from services.notices.notifier import Notice
from services.queue import lookup, server
from services.queue.priority import Priority
from services.views import projections
from services.views.keys import Keys

PAGE = (Path(__file__).parents[2] / "docs" / "integrators.md").read_text()


def sample(name: str) -> Any:
    """The sample of a topic."""
    found = re.search(rf"^### {re.escape(name)}\n.*?^```json\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    assert found, f"{name} has no sample"
    return json.loads(found[1])


def plain(value: Any, schema: Any) -> Any:
    """A sample's value as it is on the wire: ISO text as numbers, base64 as bytes."""
    if isinstance(schema, list):
        return None if value is None else plain(value, next(branch for branch in schema if branch != "null"))
    kind = schema if isinstance(schema, str) else schema.get("logicalType", schema["type"])
    match kind:
        case "date":
            return (date.fromisoformat(value) - date(1970, 1, 1)).days
        case "timestamp-millis":
            return round((datetime.fromisoformat(value) - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds() * 1000)
        case "bytes":
            return base64.b64decode(value)
        case "array":
            return [plain(item, schema["items"]) for item in value]
        case "record":
            assert [field["name"] for field in schema["fields"]] == list(value)
            return {field["name"]: plain(value[field["name"]], field["type"]) for field in schema["fields"]}
    return value


@pytest.mark.parametrize("name", TOPIC_NAMES)
def test_sample_fits_the_contract(name: str) -> None:
    """Every topic has a sample with exactly the contract's fields, which survives the wire."""
    record = plain(sample(name), contract(name))
    assert decode_one(encode(name, record, file_registry(CONTRACTS[-1])), name=name) == record


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
        keys.priority("{customer_ref}"), keys.standing("{customer_id}"), keys.alert("{alert_id}"), keys.next, keys.meta,
        *(keys.alerts(by, "{id}") for by in ("customer", "rm", "branch")), keys.fresh("{topic}"), keys.writer,
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


@pytest.mark.parametrize("topic", CATALOGUE, ids=lambda topic: topic.name)
def test_retention_is_the_catalogue_s(topic: Topic) -> None:
    """The page says how long a topic is kept."""
    section = PAGE.split(f"\n### {topic.name}\n")[1].split("```")[0]
    days = f"{topic.kept_days} days" if topic.kept_days > 0 else "last record" if topic.compact else "for ever"
    assert days in section
    assert f"Written by: {topic.written_by}" in section
