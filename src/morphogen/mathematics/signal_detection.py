"""How well an observer tells two kinds apart, and how biased he is.

N. A. Macmillan and C. D. Creelman, Detection Theory (2005); D. M. Green and J. A. Swets, Signal Detection Theory and
Psychophysics (1966).

What the observer sees of an image is a number, from N(d', 1) for signals and from N(0, 1) for noise; he says "signal"
beyond a criterion. With hit rate H, false alarm rate F, and z the inverse of the normal distribution Phi,

    d' = z(H) - z(F)          c = -(z(H) + z(F)) / 2          one image at a time
    d' = (z(H) - z(F)) / sqrt 2                               two at a time, one of each; H and F of saying "left"

The second is larger in the same images, since both images tell something. Taking H and F apart also takes out that an
observer prefers one side. c above zero says that "noise" is said more often than not.

Rates of 0 and 1 would give infinite values: H = (hits + 1/2) / (signals + 1), the log-linear rule (M. J. Hautus,
Behavior Research Methods 27, 46, 1995). It pulls d' towards zero by a little where answers are few.

From graded answers, the area under the receiver's curve is the probability that a signal is graded higher than a noise,
ties counted half (D. Bamber, Journal of Mathematical Psychology 12, 387, 1975). It asks no distribution; the observer
above has A = Phi(d' / sqrt 2).

Each function also gives the influence of every answer on the statistic: what it adds to its deviation, to first order.
The variance of a sum of influences is the statistic's own, however the answers hang together
(``crossed_variance``). With independent answers that of d' is the variance of V. Gourevitch and E. Galanter
(Psychometrika 32, 25, 1967).
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

Answers = NDArray[np.bool_]
Influence = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Detection:
    """Sensitivity and criterion of an observer.

    Attributes:
        d_prime: d', 0 for who cannot tell.
        criterion: c, 0 for who says both equally often.
        on_d_prime: ``(n,)``, influence of each answer on d'.
        on_criterion: ``(n,)``, influence of each answer on c.
        independent: variances of d' and of c if all answers were independent. Unlike the sums of squares of influences
            they are not small where all answers are right, as the log-linear rates are not 0 and 1.
    """

    d_prime: float
    criterion: float
    on_d_prime: Influence
    on_criterion: Influence
    independent: tuple[float, float]


def detection(said: Answers, signal: Answers, *, two_at_a_time: bool = False) -> Detection:
    """Sensitivity and criterion from yes or no.

    Args:
        said: ``(n,)``, true where "signal" was said; of two images, where "left" was said.
        signal: ``(n,)``, true where it was a signal; of two images, where the signal was at the left.
        two_at_a_time: whether each answer is on two images, one of each kind.

    Raises:
        ValueError: there is no signal or no noise.
    """
    signals, noises = int(signal.sum()), int((~signal).sum())
    if not (signals and noises):
        raise ValueError("detection needs answers to signals and to noise")
    hit, alarm = (said[signal].sum() + 0.5) / (signals + 1), (said[~signal].sum() + 0.5) / (noises + 1)
    z_hit, z_alarm = stats.norm.ppf((hit, alarm))
    scale = math.sqrt(2) if two_at_a_time else 1.0
    of_hits = np.where(signal, said - hit, 0.0) / (signals * stats.norm.pdf(z_hit))
    of_alarms = np.where(~signal, said - alarm, 0.0) / (noises * stats.norm.pdf(z_alarm))
    variance = sum(
        rate * (1 - rate) / (count * stats.norm.pdf(z) ** 2)
        for rate, z, count in ((hit, z_hit, signals), (alarm, z_alarm, noises))
    )
    return Detection(
        d_prime=float(z_hit - z_alarm) / scale,
        criterion=-float(z_hit + z_alarm) / 2,
        on_d_prime=(of_hits - of_alarms) / scale,
        on_criterion=-(of_hits + of_alarms) / 2,
        independent=(float(variance) / scale**2, float(variance) / 4),
    )


def area_under_curve(grades: NDArray[np.float64], signal: Answers) -> tuple[float, Influence]:
    """Probability that a signal is graded higher than a noise, ties counted half, and each answer's influence on it.

    Args:
        grades: ``(n,)``, higher for "more surely a signal".
        signal: ``(n,)``, true where it was one.

    Raises:
        ValueError: there is no signal or no noise.
    """
    of_signals, of_noises = grades[signal], grades[~signal]
    if not (len(of_signals) and len(of_noises)):
        raise ValueError("a curve needs answers to signals and to noise")
    above = (of_signals[:, None] > of_noises) + 0.5 * (of_signals[:, None] == of_noises)  # signals x noises
    area = float(above.mean())
    influence = np.empty(len(grades))
    influence[signal] = (above.mean(axis=1) - area) / len(of_signals)
    influence[~signal] = (above.mean(axis=0) - area) / len(of_noises)
    return area, influence
