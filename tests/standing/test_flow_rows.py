"""Rows of flows: what is written fits the room that is made for it, whatever months lie between, and is read back."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from agents.standing.intake.figures.flow_kernels import FLOW_VALUE_BYTES_MAX, decode_flows, encode_flows

HEADS = st.tuples(st.sampled_from([0, 63]), st.sampled_from([0, 40]), st.integers(1990 * 12, 2100 * 12))


@given(
    st.dictionaries(HEADS, st.integers(-(2**62), 2**62) | st.just(0), min_size=1, max_size=24), st.integers(0, 2**62)
)
def test_rows_of_any_months(values, mark):
    """Months a century apart too, as they may lie before any day is closed."""
    heads = sorted(values)
    columns = np.array([[values[head]] for head in heads], np.int64)
    room = (len(heads) + 1) * FLOW_VALUE_BYTES_MAX
    buffer, ends = np.zeros(room + 100_000, np.uint8), np.zeros(1, np.int64)
    order, slots = np.arange(len(heads)), np.zeros(1, np.int64)
    size = encode_flows(columns, order, np.array(heads, np.int64), slots, mark, buffer, ends)
    assert size == ends[0] <= room
    out, marks = np.empty((size, 5), np.int64), np.zeros(1, np.int64)
    found = out[: decode_flows(buffer, np.zeros(1, np.int64), ends, marks, out)].tolist()
    assert marks.tolist() == [mark]
    assert {(flow, currency, month): value for _, flow, currency, month, value in found} == {
        head: value for head, value in values.items() if value
    }
