"""Exact intervals of a share: C. J. Clopper and E. S. Pearson, Biometrika 26, 404 (1934).

Of n independent draws k were hits. The ends are the shares under which so many hits or more, and so few or fewer, have
a probability of alpha / 2; they are quantiles of beta distributions:

    low = B(alpha/2; k, n - k + 1)        high = B(1 - alpha/2; k + 1, n - k)

They hold at least what they promise at every n, unlike those of a normal approximation, and are wider for it.
"""

import math

from scipy import stats


def clopper_pearson(hits: int, count: int, level: float = 0.95) -> tuple[float, float]:
    """Ends of the exact interval of a share.

    Args:
        hits: how many of the draws were hits.
        count: how many independent draws there were; of none nothing is known.
        level: how often the interval is to hold the true share, at least.

    Raises:
        ValueError: more hits than draws, or fewer than none.
    """
    if not 0 <= hits <= count:
        raise ValueError(f"{hits} hits of {count} draws")
    alpha = 1 - level
    low = float(stats.beta.ppf(alpha / 2, hits, count - hits + 1)) if hits > 0 else 0.0
    high = float(stats.beta.ppf(1 - alpha / 2, hits + 1, count - hits)) if hits < count else 1.0
    return (0.0, 1.0) if math.isnan(low + high) else (low, high)
