"""A grey level that a person gives ("level=112"), in the units of the pixels."""

import math

from morphogen.evaluation.segmentation.segmentation import PhaseIs
from morphogen.evaluation.segmentation.threshold import Threshold
from morphogen.images.image_set import ImageSet
from morphogen.problems import Problem


def fit(measured: ImageSet, phase_is: PhaseIs, argument: str) -> Threshold:
    """See ``fit_segmentation``; the argument is the grey level.

    Raises:
        Problem: no number, or a grey level outside those of the measured images.
    """
    try:
        level = float(argument)
    except ValueError:
        raise Problem(f"'level={argument}' names no grey level", do="give a number, as 'level=112'") from None
    lowest = min(float(picture.grey.min()) for picture in measured)
    highest = max(float(picture.grey.max()) for picture in measured)
    if not (math.isfinite(level) and lowest <= level < highest):
        raise Problem(
            f"the grey level {level:g} separates nothing: the measured images go from {lowest:g} to {highest:g}",
            do="choose one between",
        )
    return Threshold(level, phase_is, " (given)")
