"""The variance of a statistic of answers that share their raters and their images.

Answers of one rater hang together, for he is good or poor at it; answers on one image do, for it is easy or hard. With
u_ri the influence of the answer of rater r on image i (``signal_detection``), the variance of the statistic is

    V = sum_r (sum_i u_ri)^2 + sum_i (sum_r u_ri)^2 - sum_ri u_ri^2

A. C. Cameron, J. B. Gelbach and D. L. Miller, Journal of Business and Economic Statistics 29, 238 (2011); for readers
and cases in radiology, B. D. Gallas, Academic Radiology 13, 353 (2006). Each sum is multiplied by G / (G - 1), with G
the number of its terms. So an interval holds for other raters and other images, and not for these alone. Answers of a
rater to one image that was shown again count as one term, and so as no new evidence.

The degrees of freedom are those of Satterthwaite, from the first two sums. V may come out too small by chance; it is
never taken to be less than the third sum, that of independent answers, nor in what follows less than a given one.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats


@dataclass(frozen=True, slots=True)
class Spread:
    """A variance and how well it is known.

    Attributes:
        variance: of the statistic.
        freedom: degrees of freedom of Student's t.
        independent: what the variance would be if all answers were independent.
    """

    variance: float
    freedom: float
    independent: float

    def interval(self, value: float, level: float = 0.95) -> tuple[float, float]:
        """Ends of the interval about a value."""
        reach = float(stats.t.ppf((1 + level) / 2, self.freedom)) * math.sqrt(self.variance)
        return value - reach, value + reach


def crossed_spread(
    influence: NDArray[np.float64], raters: NDArray[np.intp], images: NDArray[np.intp], at_least: float = 0.0
) -> Spread:
    """Variance of a statistic over raters and images.

    Args:
        influence: ``(n,)``, of each answer.
        raters: ``(n,)``, running number of who gave it. With one rater it is the variance for that rater alone.
        images: ``(n,)``, running number of what was shown.
        at_least: a variance below which it cannot be.
    """
    of_raters, n_raters = _summed(influence, raters)
    of_images, n_images = _summed(influence, images)
    cells, n_cells = _summed(influence, raters * (int(images.max()) + 1) + images)
    total, weakest = 0.0, 0.0
    for part, count in ((of_raters, n_raters), (of_images, n_images)):
        if count > 1:
            total += part
            weakest += part**2 / (count - 1)
    if n_raters > 1 and n_images > 1:
        total -= cells
    variance = max(total, cells, at_least)
    freedom = variance**2 / weakest if weakest > 0 else max(n_cells - 1.0, 1.0)
    return Spread(variance, max(freedom, 1.0), max(cells, at_least))


def crossed_covariance(
    scores: NDArray[np.float64], raters: NDArray[np.intp], images: NDArray[np.intp]
) -> NDArray[np.float64]:
    """The same of several statistics at once, ``(m, m)``, from influences ``(n, m)``; may have negative eigenvalues."""
    total = np.zeros((scores.shape[1], scores.shape[1]))
    for sign, groups in ((1, raters), (1, images), (-1, raters * (int(images.max()) + 1) + images)):
        numbers = np.unique(groups, return_inverse=True)[1]
        sums = np.zeros((int(numbers.max()) + 1, scores.shape[1]))
        np.add.at(sums, numbers, scores)
        if len(sums) > 1:
            total += sign * len(sums) / (len(sums) - 1) * sums.T @ sums
    return total


def _summed(influence: NDArray[np.float64], groups: NDArray[np.intp]) -> tuple[float, int]:
    """Sum of squares over groups, corrected for their number, and that number."""
    numbers = np.unique(groups, return_inverse=True)[1]
    sums = np.bincount(numbers, influence)
    count = len(sums)
    return float(sums @ sums) * count / max(count - 1, 1), count
