"""What the full job must give, computed the plain way: sums over all events of a customer, no state, no order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.world.data import ACCOUNTS_EACH, Chunk, World
from streams.averages.metrics import periods
from streams.vocabulary.metrics import COLUMNS, INDEX

Array = NDArray[Any]
COMPARED = [
    INDEX[name] for name in ("aum", "month_avg[0]", "quarter_avg", "year_avg", "trailing_avg[7]", "trailing_avg[30]")
]


def half_even(total: Array, days: int) -> Array:
    """total / days, rounded half to even, exact in int64."""
    quotient, rest = total // days, total % days
    up = (2 * rest > days) | ((2 * rest == days) & (quotient % 2 == 1))
    return np.asarray(quotient + up)


def standings_by_numpy(world: World, chunks: Sequence[Chunk], as_of: int) -> dict[str, Array]:
    """Each customer's daily averages as of a day, fen: {metric: int64[customers]}. A credit counts from its value date."""
    out = {}
    for metric in COMPARED:
        first, last = periods(as_of)[metric].tolist()
        total = np.zeros(world.customers, np.int64)
        for chunk in chunks:
            counted = np.clip(last - np.maximum(chunk.value_day, first) + 1, 0, None)
            np.add.at(total, chunk.account // ACCOUNTS_EACH, chunk.amount * counted)
        out[COLUMNS[metric]] = half_even(total, last - first + 1)
    return out
