"""What reads images and captions alike: unit vectors of both, which are near where a caption fits an image."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from morphogen.evaluation.intervals import Replicates, clopper_pearson_of_none, mean_replicates, units
from morphogen.evaluation.random_streams import Use
from morphogen.evaluation.records import Estimate
from morphogen.images.image_set import ImageSet
from morphogen.images.picture import Picture

Vectors = NDArray[np.float64]

_RESAMPLES = 1000


class ImageText(Protocol):
    """A CLIP: one that was trained here, or another's.

    Attributes:
        name: whose it is, with all that is done to an image before it is seen.
        identity: hash of the weights and of that.
    """

    @property
    def name(self) -> str:
        """What it is called."""

    @property
    def identity(self) -> str:
        """Hash of weights and preprocessing."""

    def images(self, images: ImageSet) -> Vectors:
        """Unit vectors of images, ``(len(images), d)``."""

    def captions(self, texts: Sequence[str]) -> Vectors:
        """Unit vectors of captions, ``(len(texts), d)``."""


def name_of(picture: Picture) -> str:
    """How an image is called in tables: by its file, and by its slice or region where it is a part of one."""
    origin = picture.origin
    name = origin.source or str(picture.labels.get("file", "")) or origin.specimen
    name += f", slice {origin.slice}" if origin.slice is not None else ""
    return name + (f", at {origin.region[0]}, {origin.region[1]}" if origin.region is not None else "")


def share(hits: Sequence[bool], groups: Sequence[str], seed: int) -> Estimate:
    """The share of hits with its 95 % interval over specimens, or over images where there are too few.

    Where all or none is a hit, the interval reaches as far as the exact binomial one.

    Args:
        hits: one an image.
        groups: specimen of each image.
        seed: of the bootstrap.
    """
    values = np.array(hits, dtype=np.float64)
    value, count = float(values.mean()), int(units(groups).max()) + 1
    if value in (0.0, 1.0):
        missed = clopper_pearson_of_none(count)
        low, high = (0.0, missed) if value == 0 else (1 - missed, 1.0)
        return Estimate(value=value, low=low, high=high, n_measured=len(values), n_generated=len(values))
    if count < 2:  # one specimen, some of whose images are hits: nothing is known of others
        return Estimate(value=value, low=0.0, high=1.0, n_measured=len(values), n_generated=len(values))
    draws = mean_replicates(values, groups, _RESAMPLES, seed, Use.WEIGHTS_OF_HITS)
    return Replicates.around(value, draws, len(values), len(values), (0.0, 1.0)).estimate
