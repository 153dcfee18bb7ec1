"""Otsu's threshold over the pooled histogram of the measured images ("otsu"): the default for two clear phases."""

from morphogen.evaluation.segmentation.segmentation import PhaseIs
from morphogen.evaluation.segmentation.threshold import Threshold
from morphogen.images.image_set import ImageSet
from morphogen.problems import Problem


def fit(measured: ImageSet, phase_is: PhaseIs, argument: str) -> Threshold:
    """See ``fit_segmentation``; takes no argument."""
    if argument:
        raise Problem(f"'otsu={argument}': Otsu's threshold takes no argument", do="say 'otsu', or 'level=112'")
    return Threshold.otsu(measured, phase_is)
