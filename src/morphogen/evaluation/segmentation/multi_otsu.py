"""Multi-level Otsu thresholds ("multi_otsu"): for images with more than two kinds of matter.

Otsu (1979) for several classes, found by the fast search of Liao, Chen and Chung, J. Inf. Sci. Eng. 17 (2001) 713,
through scikit-image: the thresholds of greatest variance between the classes, over the pooled histogram of the
measured images in 256 bins (for 8 bit grey, one a grey level).

"multi_otsu=4:2" makes four classes and takes two of them for the phase, counted from its end of the grey scale: the two
darkest where the phase is dark. Without an argument it is 3:1, as for pores beside clay and grains. As with "otsu", the
threshold stands in the middle of a gap without pixels.
"""

import numpy as np
from skimage.filters import threshold_multiotsu

from morphogen.evaluation.segmentation.segmentation import PhaseIs
from morphogen.evaluation.segmentation.threshold import Threshold
from morphogen.images.image_set import ImageSet
from morphogen.problems import Problem

BINS = 256
MOST_CLASSES = 5  # the search over 256 bins takes seconds for five, minutes for six


def fit(measured: ImageSet, phase_is: PhaseIs, argument: str) -> Threshold:
    """See ``fit_segmentation``; the argument is "CLASSES:TAKEN", or "CLASSES" for one taken.

    Raises:
        Problem: another argument, pixels that are not numbers, or fewer grey levels than classes.
    """
    classes, taken = _parsed(argument or "3:1")
    ends = np.array([(picture.grey.min(), picture.grey.max()) for picture in measured])
    lowest, highest = float(ends.min()), float(ends.max())
    if not np.isfinite(ends).all():
        raise Problem("some pixels are not numbers", do="leave those images out or mend them")
    first = measured[0]
    one_bin_a_level = first.channels < 3 and first.pixels.dtype == np.uint8
    edges = np.arange(lowest, highest + 2) - 0.5 if one_bin_a_level else np.linspace(lowest, highest, BINS + 1)
    counts = np.sum([np.histogram(picture.grey, edges)[0] for picture in measured], axis=0)
    centres = (edges[:-1] + edges[1:]) / 2
    if highest == lowest or np.count_nonzero(counts) < classes:
        raise Problem(
            f"the measured images have fewer than {classes} grey levels, one for each class",
            do="choose fewer classes, or 'otsu'",
        )
    thresholds = threshold_multiotsu(classes=classes, hist=(counts, centres))
    darker = centres <= thresholds[taken - 1 if phase_is == "dark" else -taken]
    value = (centres[darker & (counts > 0)].max() + centres[~darker & (counts > 0)].min()) / 2
    which = f"the {'darkest' if phase_is == 'dark' else 'brightest'} {taken} of {classes} classes"
    return Threshold(float(value), phase_is, f" (multi-level Otsu, {which})")


def _parsed(argument: str) -> tuple[int, int]:
    first, colon, second = argument.partition(":")
    try:
        classes, taken = int(first), int(second) if colon else 1
    except ValueError:
        classes, taken = 0, 0
    if not (2 <= classes <= MOST_CLASSES and 1 <= taken < classes):
        raise Problem(
            f"'multi_otsu={argument}' names no classes",
            do=f"give 2 to {MOST_CLASSES} classes and how many of them are the phase, as 'multi_otsu=3:1'",
        )
    return classes, taken
