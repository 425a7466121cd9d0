"""Whether two kinds of answers can be told from each other by their times."""

from __future__ import annotations

from typing import Final

import numpy as np

from bench.measure.report import Table, warn

_SHUFFLINGS: Final = 2000


def told_apart(title: str, kinds: tuple[str, str], first: list[float], second: list[float]) -> Table:
    """Both beside each other, in milliseconds, with how often chance alone would set their medians so far apart."""
    table = Table(
        f"{title} By chance: in how many of {_SHUFFLINGS:,} shufflings the medians are as far apart or further.",
        ("what is asked for", "p50", "p90", "by chance"),
    )
    both, rng = np.array(first + second), np.random.default_rng(1)

    def apart(values: np.ndarray) -> float:
        return abs(float(np.median(values[: len(first)]) - np.median(values[len(first) :])))

    found = apart(both)
    chance = float(np.mean([apart(rng.permutation(both)) >= found for _ in range(_SHUFFLINGS)]))
    for name, values, share in ((kinds[0], first, ""), (kinds[1], second, f"{chance:.0%}")):
        table.rows.append((name, f"{np.percentile(values, 50):.2f}", f"{np.percentile(values, 90):.2f}", share))
        warn("  " + "  ".join(table.rows[-1]))
    return table
