"""A test vector of customer references, and how a reference that differs from it was made."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Iterator
from typing import Final

from streams.reference import REFERENCE_CHARS, customer_ref

VECTOR_KEY: Final = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"  # of nobody
VECTOR_CUSTOMER: Final = "6230001234560042"
VECTOR_REFERENCE: Final = "jmp5dxcxax2ew6mt3udylnogfn"


def how_made(reference: str) -> str | None:
    """How somebody else's reference of the vector was made: "" rightly, a code of a mistake, None for nothing known."""
    return next((code for code, made in _ways() if made == reference), None)


def _ways() -> Iterator[tuple[str, str]]:
    key, name = VECTOR_KEY.encode(), VECTOR_CUSTOMER.encode()
    digest = hmac.digest(key, name, "sha256")
    yield "", VECTOR_REFERENCE
    yield "upper_case", VECTOR_REFERENCE.upper()
    for text in (_base32(digest), _base32(digest).rstrip("=")):
        yield "not_cut", text
        yield "not_cut", text.upper()
    others = {
        "key_from_hex": hmac.digest(bytes.fromhex(VECTOR_KEY), name, "sha256"),
        "newline": hmac.digest(key + b"\n", name, "sha256"),
        "swapped": hmac.digest(name, key, "sha256"),
        "other_hash": hmac.digest(key, name, "sha1"),
        "no_hmac": hashlib.sha256(key + name).digest(),
        "hex_in_base32": digest.hex().encode(),
    }
    for code, made in others.items():
        yield code, _base32(made)[:REFERENCE_CHARS]
    yield "newline", customer_ref(key, VECTOR_CUSTOMER + "\n")
    for text in (digest.hex(), digest.hex()[:REFERENCE_CHARS]):
        yield "hex", text
    for text in (base64.b64encode(digest).decode(), base64.urlsafe_b64encode(digest).decode()):
        yield "base64", text
        yield "base64", text[:REFERENCE_CHARS]
    hexed = base64.b32hexencode(digest).decode().lower()
    yield "base32hex", hexed[:REFERENCE_CHARS]


def _base32(made: bytes) -> str:
    return base64.b32encode(made).decode().lower()
