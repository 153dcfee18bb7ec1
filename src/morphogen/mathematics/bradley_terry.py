"""A scale from comparisons of two: R. A. Bradley and M. E. Terry, Biometrika 39, 324 (1952).

    P(i is preferred to j) = 1 / (1 + exp(b_j - b_i))

The abilities b have the sum zero; a difference of 1 is preferred in 73 % of comparisons. They maximise the likelihood,
to which half a win of each over each that it was compared with is added: where one always wins there would be no
maximum (L. R. Ford, American Mathematical Monthly 64, 28, 1957), and the half wins bound it, as Jeffreys' prior does
for two (D. Firth, Biometrika 80, 27, 1993). Newton's method; the likelihood is concave.

Variances are those of the sandwich H^-1 M H^-1, where M is the variance of the scores over raters and images
(``crossed_variance``), so that the intervals hold for other raters; never less than those of independent comparisons,
H^-1.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from morphogen.mathematics.crossed_variance import crossed_covariance


@dataclass(frozen=True, slots=True, eq=False)
class Abilities:
    """A scale.

    Attributes:
        values: ``(m,)``, with the sum zero.
        variances: ``(m,)``.
        freedom: degrees of freedom of the intervals.
    """

    values: NDArray[np.float64]
    variances: NDArray[np.float64]
    freedom: float

    def interval(self, i: int) -> tuple[float, float]:
        """Ends of the 95 % interval of an ability."""
        reach = float(stats.t.ppf(0.975, self.freedom) * np.sqrt(self.variances[i]))
        return float(self.values[i]) - reach, float(self.values[i]) + reach


def abilities(
    winners: NDArray[np.intp], losers: NDArray[np.intp], count: int, raters: NDArray[np.intp], images: NDArray[np.intp]
) -> Abilities:
    """The scale of ``count`` things.

    Args:
        winners: ``(n,)``, which was preferred in each comparison.
        losers: ``(n,)``, to which.
        count: how many things there are; chains of comparisons must lead from each to each.
        raters: ``(n,)``, running number of who compared.
        images: ``(n,)``, running number of the pair that was shown.

    Raises:
        ValueError: there is a thing to which no chain of comparisons leads.
    """
    wins = np.zeros((count, count))
    np.add.at(wins, (winners, losers), 1.0)
    compared = (wins + wins.T) > 0
    reached = np.linalg.matrix_power(np.eye(count) + compared, max(count - 1, 1)) > 0
    if not reached.all():
        raise ValueError("not all of them are compared, not even through others")
    wins += 0.5 * compared
    games = wins + wins.T
    b = np.zeros(count)
    for _ in range(100):
        p = 1 / (1 + np.exp(b[None] - b[:, None]))  # p[i, j]: i is preferred to j
        gradient = (wins - games * p).sum(axis=1)
        step = np.linalg.pinv(_information(games, p)) @ gradient
        step *= min(1.0, 2.0 / max(float(np.abs(step).max()), 1e-12))
        b += step
        if np.abs(step).max() < 1e-10:
            break
    b -= b.mean()
    p = 1 / (1 + np.exp(b[None] - b[:, None]))
    inverse = np.linalg.pinv(_information(games, p))
    scores = np.zeros((len(winners), count))
    rows = np.arange(len(winners))
    surprise = 1 - p[winners, losers]
    scores[rows, winners] += surprise
    scores[rows, losers] -= surprise
    sandwich = inverse @ crossed_covariance(scores, raters, images) @ inverse
    groups = [len(np.unique(raters)), len(np.unique(images))]
    fewest = min((g for g in groups if g > 1), default=2)
    return Abilities(b, np.maximum(np.diag(sandwich), np.diag(inverse)), float(max(fewest - 1, 1)))


def _information(games: NDArray[np.float64], p: NDArray[np.float64]) -> NDArray[np.float64]:
    """Minus the second derivative of the log likelihood."""
    weight = games * p * (1 - p)
    found: NDArray[np.float64] = np.diag(weight.sum(axis=1)) - weight
    return found
