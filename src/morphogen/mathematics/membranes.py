"""Membranes: the smoothest values that meet those which are known at a border.

    e(p) given where p is known,    sum over neighbours q of p  (e(q) - e(p)) = 0  elsewhere

This is Laplace's equation on the grid of pixels, with the given values as its border (Pérez, Gangnet and Blake 2003,
"Poisson image editing", equation 2). At the edge of the image a pixel has fewer neighbours, so that nothing flows
across. A source plus the membrane of (target - source) is their seamless cloning: it has the source's details, and no
step where it meets the target.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csc_array, diags_array
from scipy.sparse.linalg import splu

_HELD = 1e-9  # pulls what touches nothing known to zero, and moves nothing else by more than this share


def membrane(values: NDArray[np.floating], known: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Known values, and the membrane that they span.

    Args:
        values: ``(channels, height, width)``; what is not known is not read.
        known: ``(height, width)``.

    Returns:
        ``(channels, height, width)``; zero where nothing known can be reached.
    """
    found = np.where(known, values, 0.0).astype(np.float64)
    count = int((~known).sum())
    if count == 0 or not known.any():
        return found
    number = np.full(known.shape, -1)
    number[~known] = np.arange(count)
    neighbours = np.zeros(count)
    pulled = np.zeros((count, len(values)))
    rows, columns = [], []
    for axis in (0, 1):
        ahead, behind = [slice(None)] * 2, [slice(None)] * 2
        ahead[axis], behind[axis] = slice(1, None), slice(None, -1)
        for here, there in ((ahead, behind), (behind, ahead)):
            p, q = number[tuple(here)], number[tuple(there)]
            inside, border = (p >= 0) & (q >= 0), (p >= 0) & (q < 0)
            np.add.at(neighbours, p[p >= 0], 1)
            np.add.at(pulled, p[border], found[:, *there][:, border].T)
            rows.append(p[inside])
            columns.append(q[inside])
    row, column = np.concatenate(rows), np.concatenate(columns)
    joined = csc_array((np.ones(len(row)), (row, column)), shape=(count, count))
    equations = diags_array(neighbours * (1 + _HELD)).tocsc() - joined
    found[:, ~known] = splu(equations).solve(pulled).T
    return found
