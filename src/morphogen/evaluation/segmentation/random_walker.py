"""Random walker ("random_walker"): for noisy images of two phases.

Grady, IEEE Trans. PAMI 28 (2006) 1768, through scikit-image. Pixels whose grey level leaves no doubt are seeds. A
walker starts at each of the others and steps to one of four neighbours with a chance in proportion to

    w = exp(-B (g - g')^2),

g the grey level on a scale where the two phases' means are 0 and 1; the pixel belongs to the phase of the seed that he
more probably meets first. So a doubtful pixel goes with those that it hangs together with, and noise is put right.

All is fitted once, on the measured images: Otsu's threshold, the mean m and standard deviation s of either class,

    seeds: the darkest share p of the pixels of the dark class, the brightest p of the bright one (the argument,
           "random_walker=0.5"; 0.5 where none is given: those beyond the median of their class),
    B = 1 / (4 r^2),   r = mean s / difference of the m, at least 0.05,

so that two neighbours that differ by noise alone are linked with the weight exp(-1/2) on the mean. A lone seed is a
seed by noise as likely as not: one without another of its phase among its eight neighbours is let go.

scikit-image divides its beta by the standard deviation of each image; that is undone here, so that equal differences of
grey weigh alike in every image. A picture without seeds of both phases is cut at Otsu's threshold.
"""

import warnings
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.segmentation import random_walker

from morphogen.evaluation.segmentation.segmentation import PhaseIs
from morphogen.evaluation.segmentation.threshold import Threshold
from morphogen.images.image_set import ImageSet
from morphogen.images.picture import Picture
from morphogen.problems import Problem

SEEDED = 0.5
LEAST_NOISE = 0.05  # below, weights across an edge would vanish and cut the image into islands
TOLERANCE = 1e-4  # of the probabilities, which are compared with one half: about two pixels in ten thousand change


@dataclass(frozen=True, slots=True)
class RandomWalker:
    """Seeds by grey level, the rest by random walks.

    Attributes:
        threshold: Otsu's, for pictures without seeds of both phases.
        dark: mean grey level of the dark class.
        bright: mean grey level of the bright class.
        dark_seeds: grey level up to which pixels are seeds of the dark class.
        bright_seeds: grey level from which they are seeds of the bright one.
        stiffness: B, for grey levels in units of ``bright - dark``.
    """

    threshold: Threshold
    dark: float
    bright: float
    dark_seeds: float
    bright_seeds: float
    stiffness: float

    @property
    def words(self) -> str:
        """See ``Segmentation``."""
        return (
            f"reached by random walks from the {self.threshold.phase_is} seeds (dark up to the grey level"
            f" {self.dark_seeds:.6g}, bright from {self.bright_seeds:.6g}, stiffness {self.stiffness:.3g})"
        )

    def phase(self, picture: Picture) -> NDArray[np.bool_]:
        """True where the phase of interest is, ``(height, width)``."""
        grey = picture.grey
        seeds = np.zeros(grey.shape, dtype=np.int8)
        for label, chosen in ((1, grey <= self.dark_seeds), (2, grey >= self.bright_seeds)):
            around = ndimage.convolve(chosen.astype(np.int8), np.ones((3, 3), np.int8), mode="constant")
            seeds[chosen & (around > 1)] = label
        if not ((seeds == 1).any() and (seeds == 2).any()):
            return self.threshold.phase(picture)
        if seeds.all():
            labels = seeds
        else:
            scaled = (grey - self.dark) / (self.bright - self.dark)
            beta = self.stiffness * 10 * float(scaled.std())
            for tolerance in (TOLERANCE, TOLERANCE / 100):
                with warnings.catch_warnings(record=True) as warned:
                    warnings.simplefilter("always")
                    labels = random_walker(scaled, seeds, beta=beta, mode="cg_j", tol=tolerance, prob_tol=0.1)
                if not warned:  # else some probability is far from [0, 1]: the solver stopped too early
                    break
        bright: NDArray[np.bool_] = labels == 2
        return bright if self.threshold.phase_is == "bright" else ~bright


def fit(measured: ImageSet, phase_is: PhaseIs, argument: str) -> RandomWalker:
    """See ``fit_segmentation``; the argument is the share of pixels that are seeds.

    Raises:
        Problem: a share that is none, or images of one grey level.
    """
    try:
        share = float(argument or SEEDED)
    except ValueError:
        share = 0.0
    if not 0 < share < 1:
        raise Problem(
            f"'random_walker={argument}' is no share of pixels", do="give one between 0 and 1, as 'random_walker=0.5'"
        )
    threshold = Threshold.otsu(measured, phase_is)
    grey = np.concatenate([picture.grey.ravel() for picture in measured])
    above = grey > threshold.value
    dark, bright = grey[~above], grey[above]
    contrast = float(bright.mean() - dark.mean())
    noise = max((float(dark.std()) + float(bright.std())) / 2 / contrast, LEAST_NOISE)
    return RandomWalker(
        threshold=threshold,
        dark=float(dark.mean()),
        bright=float(bright.mean()),
        dark_seeds=float(np.quantile(dark, share)),
        bright_seeds=float(np.quantile(bright, 1 - share)),
        stiffness=1 / (4 * noise**2),
    )
