"""How far raters agree beyond chance: K. Krippendorff, Content Analysis (2004), chapter 11.

    alpha = 1 - D_o / D_e

D_o is the mean squared difference between two raters' values of one unit, D_e that between any two values of all. It is
1 where all agree, about 0 where values are dealt at random, below 0 where raters systematically disagree. Missing
values are left out, and so are units that one rater alone valued. With n_c how often value c was given, the squared
difference of two values c < k is

    nominal   1
    ordinal   (n_c / 2 + sum of n_g over c < g < k, + n_k / 2)^2
    interval  (c - k)^2
"""

from typing import Literal

import numpy as np
from numpy.typing import NDArray

Scale = Literal["nominal", "ordinal", "interval"]


def krippendorff_alpha(values: NDArray[np.float64], scale: Scale) -> float | None:
    """Alpha of ``(raters, units)`` values, NaN where a rater gave none; None where it says nothing.

    That is where no unit was valued twice, or where all values are the same, so that agreement could not be told from
    the habit of saying one thing.
    """
    values = values[:, (~np.isnan(values)).sum(axis=0) > 1]
    levels = np.unique(values[~np.isnan(values)])
    if len(levels) < 2:
        return None
    given = (values[..., None] == levels).sum(axis=0).astype(np.float64)  # units x levels
    raters = given.sum(axis=1)
    coincidences = (given.T / (raters - 1)) @ given - np.diag((given / (raters - 1)[:, None]).sum(axis=0))
    totals = coincidences.sum(axis=0)
    squared = _squared_differences(levels, totals, scale)
    observed = float((coincidences * squared).sum())
    expected = float((np.outer(totals, totals) * squared).sum()) / (totals.sum() - 1)
    return float(1 - observed / expected)


def _squared_differences(levels: NDArray[np.float64], totals: NDArray[np.float64], scale: Scale) -> NDArray[np.float64]:
    if scale == "nominal":
        return 1.0 - np.eye(len(levels))
    place = levels if scale == "interval" else np.cumsum(totals) - totals / 2
    squared: NDArray[np.float64] = (place[:, None] - place) ** 2
    return squared
