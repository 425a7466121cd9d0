"""docs/contracts.md says what contracts and code say."""

import pytest

from policies.texts import DECISION_REASONS
from schemas.codec.records import decode_one
from schemas.registry import names
from tests.docs.contract_tables import PAGE, VALUES, fields, with_tables
from tests.golden.recording import Recording


def test_tables_are_those_of_today() -> None:
    """If not: python -m tests.docs.contract_tables."""
    assert with_tables(PAGE.read_text()) == PAGE.read_text()


@pytest.mark.parametrize("field", VALUES)
def test_a_listed_field_exists(field: str) -> None:
    """In its contract, or in more than one."""
    name, _, path = field.partition(".")
    found = [one for one in names() if name in ("*", one) and path in dict(fields(one))]
    assert len(found) > (name == "*")


def test_tier_reasons_are_reasons() -> None:
    """No reason of a tier change is unknown to those who put it into words."""
    assert set(VALUES["tier-changes.reason"]) <= set(DECISION_REASONS)


@pytest.mark.slow
def test_what_was_published_is_listed() -> None:
    """Of the golden recording, which has a record of nearly every kind."""
    wrong = set()
    for step in Recording.read().steps:
        for topic, _, value in step.outputs:
            record = decode_one(value) if value else {}
            for name, said in record.items():
                known = VALUES.get(f"{topic}.{name}") or (VALUES.get(f"*.{name}") if name in record else None)
                if known is not None and said is not None:
                    wrong |= {(topic, name, one) for one in (said if isinstance(said, list) else [said])} - {
                        (topic, name, one) for one in known
                    }
    assert not {entry for entry in wrong if entry[1] != "held"}
