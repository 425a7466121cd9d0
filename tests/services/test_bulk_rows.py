"""The view's bulk decoding gives what the record path gives, and a damaged value touches no neighbour."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from schemas.codec.records import RecordError, decode_one, encode
from schemas.registry import file_registry
from services.views.decoder import NEEDED, Decoder

DECODER = Decoder(file_registry())

rows = st.fixed_dictionaries(
    {
        "customer_ref": st.text(max_size=30), "queue_class": st.text(max_size=12), "vip_area": st.booleans(),
        "valid_until": st.none() | st.integers(-(2**31), 2**31 - 1), "as_of": st.integers(0, 40000),
        "version": st.integers(-(2**63) + 1, 2**63 - 1),
    }
)  # fmt: skip
damage = st.binary(max_size=40)


@given(st.lists(rows.map(lambda row: encode("queue-priority", row)) | damage, min_size=1, max_size=30))
def test_bulk_is_the_record_path(values: list[bytes]) -> None:
    """Each value gives the same fields as decoded alone, or an error where that gives one."""
    found = DECODER("queue-priority", values)
    assert len(found) == len(values)
    for value, fields in zip(values, found, strict=True):
        alone = alone_of(value)
        if isinstance(fields, RecordError):
            assert alone is None
        else:
            assert alone is not None
            assert fields == {name: alone[name] for name in NEEDED["queue-priority"]}


def alone_of(value: bytes) -> dict[str, Any] | None:
    try:
        return decode_one(value, name="queue-priority")
    except RecordError:
        return None
