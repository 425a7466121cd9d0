"""The customer reference: opaque, stable, keyed."""

import re

import pytest

from streams.reference import customer_ref


def test_reference_is_pinned() -> None:
    """A reference never changes between releases: queue systems keep it."""
    assert customer_ref(b"key", "C1") == "ftsosnjvvbjsguavve3hosgnkd"


def test_reference_has_26_plain_characters() -> None:
    """A reference fits a URL, a bar code and a Kafka key unescaped."""
    assert re.fullmatch(r"[a-z2-7]{26}", customer_ref(b"another key", "客户-1"))


def test_reference_depends_on_key_and_customer() -> None:
    """Without the key nobody can name a customer's reference."""
    assert len({customer_ref(key, name) for key in (b"a", b"b") for name in ("C1", "C2")}) == 4


def test_empty_key_is_refused() -> None:
    """An empty key would be a plain hash of a guessable number."""
    with pytest.raises(ValueError, match="key"):
        customer_ref(b"", "C1")
