"""The changelog's row keys: one byte each, none twice, none of the engine's, and the docs have them all."""

import re
from pathlib import Path

from agents.standing.model import ROW_KEYS

DOCS = Path(__file__).parents[2] / "docs" / "architecture.md"


def test_row_keys_are_distinct():
    """One byte says what a row holds; `@` is the engine's."""
    assert len(set(ROW_KEYS.values())) == len(ROW_KEYS)
    assert all(len(key) == 1 and key != b"@" for key in ROW_KEYS.values())


def test_docs_have_every_row_key():
    """The table of rows names each key, and no other."""
    assert set(re.findall(r"^\| .* \| `([a-z])`", DOCS.read_text(), re.MULTILINE)) == {
        key.decode() for key in ROW_KEYS.values()
    }
