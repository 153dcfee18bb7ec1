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
    together, so colours are real ones. Sizes, pixel type and spacing are those of the reference.
    """
    pool = np.concatenate([p.pixels.reshape(p.channels, -1) for p in reference], axis=1)  # (c, all pixels)
    drawn = []
    for index, picture in enumerate(reference):
        places = numpy_generator(seed, Use.NOISE, index).integers(pool.shape[1], size=picture.size)
        origin = Origin(specimen="noise", source=f"noise {index}")
        drawn.append(replace(picture, pixels=pool[:, places], origin=origin, labels={}))
    return Pictures(drawn, "noise")
