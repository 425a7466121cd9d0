"""The test vector of references: documented, computed apart from our code, and every known mistake told by name."""

import base64
import hashlib
import hmac
import json
from pathlib import Path

import pytest

from streams.reference import customer_ref
from tests.cli.invocation import call
from tidegauge.cli.queue.command import MISTAKES
from tidegauge.sources.reference import VECTOR_CUSTOMER, VECTOR_KEY, VECTOR_REFERENCE, _ways, how_made

KEY, NAME = VECTOR_KEY.encode(), VECTOR_CUSTOMER.encode()
DIGEST = hmac.new(KEY, NAME, hashlib.sha256).digest()


def test_the_vector_is_documented() -> None:
    """docs/integrators.md has all three parts, and they are what its recipe gives."""
    text = (Path(__file__).resolve().parents[2] / "docs" / "integrators.md").read_text()
    assert all(f"`{part}`" in text for part in (VECTOR_KEY, VECTOR_CUSTOMER, VECTOR_REFERENCE))
    assert base64.b32encode(DIGEST).decode()[:26].lower() == VECTOR_REFERENCE == customer_ref(KEY, VECTOR_CUSTOMER)


@pytest.mark.parametrize(
    ("code", "made"),
    [("", VECTOR_REFERENCE),
     ("upper_case", VECTOR_REFERENCE.upper()),
     ("not_cut", base64.b32encode(DIGEST).decode()),
     ("key_from_hex", base64.b32encode(hmac.digest(bytes.fromhex(VECTOR_KEY), NAME, "sha256")).decode()[:26].lower()),
     ("newline", base64.b32encode(hmac.digest(KEY + b"\n", NAME, "sha256")).decode()[:26].lower()),
     ("hex", DIGEST.hex()),
     ("base64", base64.b64encode(DIGEST).decode()),
     (None, "abcdefghijklmnopqrstuvwxyz")],
)  # fmt: skip
def test_mistakes_are_told(code: str | None, made: str) -> None:
    """As a kiosk's programmer makes them."""
    assert how_made(made) == code


def test_every_way_is_another_and_has_words() -> None:
    """No mistake gives what another one gives."""
    made = dict[str, str]()
    for code, text in _ways():
        assert made.setdefault(text, code) == code
    assert set(made.values()) == {"", *MISTAKES}


def test_the_command() -> None:
    """The same: 0. Another: 1, and why. None: the vector."""
    shown, same = call("queue", "check-reference"), call("queue", "check-reference", VECTOR_REFERENCE)
    assert (shown.code, same.code, VECTOR_REFERENCE in shown.out) == (0, 0, True)
    other = call("queue", "check-reference", DIGEST.hex(), "--json")
    assert (other.code, json.loads(other.out)["why"]) == (1, MISTAKES["hex"])
