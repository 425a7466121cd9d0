"""Whose rows of a block are: the last row of each of several customers, against a plain search."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from streams.accounts.owners import last_rows
from streams.accounts.store import REF_BITS

# Ids that end, begin and collide alike.
NAMES = st.text(alphabet="01A", min_size=1, max_size=6)


def packed(names: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """All names one behind the other, and references into them."""
    at, refs = 0, []
    for name in names:
        refs.append(at << REF_BITS | len(name))
        at += len(name)
    return np.frombuffer("".join(names).encode(), np.uint8).copy(), np.array(refs, np.int64)


@given(
    rows=st.lists(st.tuples(NAMES, st.booleans()), max_size=40),
    wanted=st.lists(st.tuples(NAMES, st.booleans()), max_size=12, unique_by=lambda one: one[0]),
)
def test_last_rows_are_those_of_a_plain_search(rows: list[tuple[str, bool]], wanted: list[tuple[str, bool]]) -> None:
    raw, refs = packed([name for name, _ in rows])
    ids, names = packed([name for name, _ in wanted])
    known = np.array([99 if is_known else -1 for _, is_known in wanted], np.int64)
    found, data = known.copy(), np.full((len(rows), 3), -7, np.int64)
    data[:, 1] = refs
    last_rows(raw, data[:, 1], np.array([good for _, good in rows], np.bool_), ids, names, found)
    for k, (name, is_known) in enumerate(wanted):
        plain = max((i for i, (other, good) in enumerate(rows) if good and other == name), default=-1)
        assert found[k] == (99 if is_known else plain)
