"""A prefetch is only a hint."""

import numba as nb
import numpy as np

from streams.kernels.prefetch import prefetch


@nb.njit
def total(array, ahead):
    """Sum of the rows, each asked for `ahead` rows before."""
    out = 0
    for i in range(len(array)):
        prefetch(array, i + ahead, 7)
        out += array[i].x
    return out


def test_nothing_changes_wherever_it_points():
    """Rows before, in and far behind the array can be asked for."""
    array = np.zeros(100, [("x", np.int64), ("y", np.int32, 5)])
    array["x"] = np.arange(100)
    for ahead in (-1000, 0, 3, 1 << 40):
        assert total(array, ahead) == 4950
    assert (array["y"] == 0).all()
