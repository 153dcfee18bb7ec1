"""Sets whose score says what a score is worth: the measured set itself, and noise with its histogram."""

from dataclasses import replace

import numpy as np

from morphogen.evaluation.random_streams import Use
from morphogen.images.image_set import ImageSet, Pictures
from morphogen.images.picture import Origin
from morphogen.mathematics.randomness import numpy_generator


def identity(reference: ImageSet) -> Pictures:
    """The reference itself: what a perfect copy would score."""
    return Pictures(reference, "identity")


def noise(reference: ImageSet, seed: int = 0) -> Pictures:
    """White noise with the pooled histogram of the reference: its grey levels without any structure.

    Each pixel is drawn, with replacement, from all pixels of all pictures; the channels of a pixel stay
    together, so colours are real ones, and so does the mask. Sizes, pixel type and spacing are those of the reference.
    """
    pool = np.concatenate([p.pixels.reshape(p.channels, -1) for p in reference], axis=1)  # (c, all pixels)
    masks = [p.mask.ravel() for p in reference if p.mask is not None]
    masked = np.concatenate(masks) if len(masks) == len(reference) else None
    drawn = []
    for index, picture in enumerate(reference):
        places = numpy_generator(seed, Use.NOISE, index).integers(pool.shape[1], size=picture.size)
        origin = Origin(specimen="noise", source=f"noise {index}")
        mask = None if masked is None else masked[places]
        drawn.append(replace(picture, pixels=pool[:, places], origin=origin, labels={}, mask=mask))
    return Pictures(drawn, "noise")
