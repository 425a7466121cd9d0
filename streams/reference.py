"""The customer reference: an opaque name for a customer that says nothing without the bank's key."""

import base64
import hmac

REFERENCE_CHARS = 26
"""Length of a reference: 26 base32 characters are 130 bits, so two customers do not meet."""


def customer_ref(key: bytes, customer_id: str) -> str:
    """Return the reference of `customer_id` under `key`: 26 characters of `a-z2-7`.

    It is base32(HMAC-SHA256(key, UTF-8 of customer_id)), cut to 26 characters, in lower case. An empty key would let
    anybody who knows a customer number name his reference, so it raises ValueError.
    """
    if not key:
        raise ValueError("a customer reference needs a key: an empty one would make it a plain hash")
    digest = hmac.digest(key, customer_id.encode(), "sha256")
    return base64.b32encode(digest)[:REFERENCE_CHARS].decode().lower()


def key_fingerprint(key: bytes) -> str:
    """Return 16 hexadecimal digits that tell keys apart: 8 bytes of an HMAC-SHA256 under the key, of a text that is no id.

    They say nothing of a key that cannot be guessed, and are no reference of a customer: an id has no NUL.
    """
    return hmac.digest(key, b"\0tidegauge fingerprint", "sha256")[:8].hex()
