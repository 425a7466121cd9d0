"""How long the texts of inputs may be. The decoder holds each to it where it looks for UTF-8 anyway.

A text is not empty, has no control characters, and no spaces around it: it is refused, never trimmed, since another system
would take it for another id. An optional one may be null.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from schemas import bounds
from schemas.avro_types import Type
from schemas.topics import MARKED
from streams.accounts.store import ID_BYTES_MAX
from streams.validity import FIELD_BYTES_MAX

_IDS: Final = (
    "customer_id", "account_id", "source", "branch", "rm_id", "card_held", "requested_by", "approved_by",
    "stamped_by",
)  # fmt: skip
"""They are kept with the state, so they are shorter than others."""


class TextLimit(NamedTuple):
    """Of a field's text. lines: it has several, and the pack's reader says what is wrong with them."""

    bytes_max: int
    lines: bool = False


def text_limits(topic: str, contract: Type) -> dict[str, TextLimit]:
    """Of each field of text of an input; none of other topics, which are ours. Closes are no texts of neighbours either."""
    if topic not in MARKED:
        return {}
    names = [f.name for f in contract.fields if (f.type.nullable or f.type).kind == "string"]
    found = {name: TextLimit(ID_BYTES_MAX if name in _IDS else FIELD_BYTES_MAX) for name in names}
    return found | ({"body": TextLimit(bounds.PACK_BYTES_MAX, lines=True)} if "body" in found else {})
