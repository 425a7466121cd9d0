"""docs/topics.md shows what is on the topics: every one, with records that really were there."""

import json
import re

import pytest

from deploy.topics import CATALOGUE, Topic
from schemas.registry import contract
from tests.docs import samples

TEXT = samples.PAGE.read_text()


def section(name: str) -> str:
    """A topic's part of the page, on one line."""
    return " ".join(TEXT.split(f"\n## {name}\n")[1].split("\n## ")[0].split())


@pytest.mark.parametrize("topic", CATALOGUE, ids=lambda topic: topic.name)
def test_catalogue(topic: Topic) -> None:
    """Key, writer and time of keeping are the catalogue's."""
    kept = f"{topic.kept_days} days" if topic.kept_days > 0 else "last record" if topic.compact else "for ever"
    text = section(topic.name)
    assert kept in text
    assert f"Written by: {topic.written_by}." in text
    assert ("One copy in every partition." if topic.key == "broadcast" else f"Key: {topic.key}.") in text


@pytest.mark.parametrize("topic", CATALOGUE, ids=lambda topic: topic.name)
def test_fields_are_the_contract_s(topic: Topic) -> None:
    """A sample has the contract's fields, in its order."""
    found = re.search(r"```json (.*?) ```", section(topic.name))
    assert found
    assert list(json.loads(found[1])) == [field["name"] for field in contract(topic.name)["fields"]]


@pytest.mark.slow
def test_samples_are_real() -> None:
    """The page's samples are the records of the simulated bank, made anew. If not: python -m tests.docs.samples."""
    assert samples.with_samples(TEXT) == TEXT
