"""Tests against chance that hold whatever raters and images are like: the labels of images are exchanged.

If nobody can tell measured from generated images, the answers would have been the same had the images carried other
labels. So labels are dealt out anew among the images, all answers on an image moving with it, and p is the share of
deals under which as many or more answers would have been right (two-sided: as far from what chance gives). That all
raters saw the same images, that a rater prefers one answer, and that an image was shown again, changes nothing: it is
the images that are dealt to. R. A. Fisher, The Design of Experiments (1935); E. S. Edgington and P. Onghena,
Randomization Tests (2007). The deal that happened counts as one of them, so that p is never zero.
"""

import numpy as np
from numpy.typing import NDArray

DEALS = 9999


def permuted_labels(
    said_signal: NDArray[np.float64], said_noise: NDArray[np.float64], signal: NDArray[np.bool_],
    generator: np.random.Generator, deals: int = DEALS,
) -> float:  # fmt: skip
    """P of one image at a time: each image keeps its answers, and the labels are dealt out anew.

    Args:
        said_signal: ``(images,)``, how many answers on each image said "signal".
        said_noise: ``(images,)``, how many said "noise".
        signal: ``(images,)``, true where it is one.
        generator: of the deals.
        deals: how many.
    """
    of_signal = said_signal - said_noise  # right answers are sum of said_noise plus this over the signals
    expected = of_signal.mean() * signal.sum()
    found = of_signal[signal].sum()
    order = generator.permuted(np.tile(np.arange(len(signal)), (deals, 1)), axis=1)
    dealt = of_signal[order[:, : int(signal.sum())]].sum(axis=1)
    return _share(np.abs(dealt - expected), abs(found - expected))


def flipped_signs(difference: NDArray[np.float64], generator: np.random.Generator, deals: int = DEALS) -> float:
    """P of two at a time: which of a pair is the signal is dealt out anew, for all raters at once.

    Args:
        difference: ``(pairs,)``, right answers less wrong ones, or any score that a change of labels turns round.
        generator: of the deals.
        deals: how many.
    """
    signs = generator.integers(0, 2, (deals, len(difference))) * 2.0 - 1.0
    return _share(np.abs(signs @ difference), abs(float(difference.sum())))


def permuted_order(
    values: list[NDArray[np.float64]], positions: list[NDArray[np.float64]], generator: np.random.Generator,
    deals: int = DEALS,
) -> float:  # fmt: skip
    """P of a trend over a session: for each rater, the order of the answers is dealt out anew.

    Args:
        values: of each rater ``(answers,)``, such as 1 where right.
        positions: of each rater ``(answers,)``, when they were given.
        generator: of the deals.
        deals: how many.
    """
    found, dealt = 0.0, np.zeros(deals)
    for value, position in zip(values, positions, strict=True):
        centred = position - position.mean()
        found += float(value @ centred)
        dealt += generator.permuted(np.tile(value, (deals, 1)), axis=1) @ centred
    return _share(np.abs(dealt), abs(found))


def _share(dealt: NDArray[np.float64], found: float) -> float:
    return float((1 + np.count_nonzero(dealt >= found - 1e-9)) / (1 + len(dealt)))
