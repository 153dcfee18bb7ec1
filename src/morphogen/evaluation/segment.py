"""Give images their masks: the phase of interest as a classical segmentation finds it."""

from dataclasses import replace

from morphogen.evaluation.segmentation.segmentation import Segmentation, fit_segmentation
from morphogen.images.image_set import Pictures
from morphogen.problems import Problem
from morphogen.progress import track
from morphogen.specimens.specimen import specimen as kind_of_specimen


def segment(images: Pictures, *, specimen: str, segmentation: str | None = None) -> tuple[Pictures, Segmentation]:
    """The images with masks, true in the phase of interest, and how they were told.

    So that a method can learn image and mask together, or be conditioned on the phase's area fraction, where nobody
    drew masks. The segmentation is fitted once, to all images together.

    Args:
        images: measured images; masks that they have are replaced.
        specimen: kind of specimen, "rock".
        segmentation: "otsu", "level=112", ...; by default as the kind says.

    Raises:
        Problem: an unknown kind or segmentation, or images that it cannot tell phases in.
    """
    kind = kind_of_specimen(specimen)
    found = fit_segmentation(segmentation or kind.segmentation, images, kind.phase_is)
    masked = [replace(p, mask=found.phase(p)) for p in track(list(images), "Segmenting")]
    share = sum(float(p.mask.mean()) for p in masked if p.mask is not None) / len(masked)
    if share in (0.0, 1.0):
        raise Problem(f"{found.words}: that is {'every' if share else 'no'} pixel", do="choose another segmentation")
    return Pictures(masked, images.name), found
