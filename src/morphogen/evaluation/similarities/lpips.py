"""LPIPS, a learned perceptual distance between two aligned images: 0 for equal ones.

The formula is in ``morphogen.pretrained.lpips``. The network was trained on photographs; on micrographs LPIPS is a
distance like another, not what a person sees.

Preprocessing as in ``morphogen.evaluation.features.mean_features``: declared range, no resize.
"""

from collections.abc import Sequence
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from morphogen.evaluation.features.mean_features import batches
from morphogen.evaluation.similarities.similarity import (
    Values,
    partners,
    refuse_another_size,
    refuse_smaller,
)
from morphogen.images.image_set import ImageSet
from morphogen.images.intensity import IntensityMap
from morphogen.pretrained.alexnet import alexnet
from morphogen.pretrained.lpips import lpips_vectors
from morphogen.pretrained.lpips_weights import Network
from morphogen.pretrained.vgg16 import vgg16


class Measure:
    """LPIPS for images of one size.

    Args:
        size: height and width in pixels, at least 31 for AlexNet and 16 for VGG16.
        network: "alexnet", which the authors recommend for comparing, or "vgg16".

    Raises:
        Problem: the size is smaller, or the weights are missing or not the known ones.
    """

    higher_is_more_similar = False
    higher_is_more_diverse = True

    def __init__(self, size: tuple[int, int], network: Network = "alexnet") -> None:
        self._stack = {"alexnet": alexnet, "vgg16": vgg16}[network]()
        self._size = size
        self.name = f"LPIPS ({self._stack.name})"
        refuse_smaller(size, self._stack.minimum_px, self.name)

    def __call__(self, images: ImageSet, intensity: IntensityMap, pairs: Sequence[tuple[int, int]]) -> Values:
        """LPIPS of images of one set; see ``Similarity``.

        Holds the vectors of all images that occur in a pair: for an image of 64 x 64 pixels 0.1 MB with
        AlexNet and 2 MB with VGG16.
        """
        used = sorted(set(chain.from_iterable(pairs)))
        vectors = self.vectors(images, intensity, used)
        return np.array([_squared_distance(vectors[i], vectors[j]) for i, j in pairs])

    def between(self, *, measured: ImageSet, generated: ImageSet, intensity: IntensityMap) -> Values:
        """LPIPS of paired images; see ``Similarity``."""
        pairs = partners(measured, generated)
        values = np.empty(len(pairs))
        for start in range(0, len(pairs), self._stack.batch):
            indices = range(start, min(start + self._stack.batch, len(pairs)))
            one = self.vectors(measured, intensity, indices)
            other = self.vectors(generated, intensity, indices)
            for i in indices:
                values[i] = _squared_distance(one[i], other[i])
        return values

    def vectors(
        self, images: ImageSet, intensity: IntensityMap, indices: Sequence[int]
    ) -> dict[int, NDArray[np.float32]]:
        """For each index the vector of its image; squared distances between them are LPIPS."""
        vectors: dict[int, NDArray[np.float32]] = {}
        for batch, unit in batches(self._stack, images, intensity, indices=indices, size=self._stack.batch):
            if tuple(unit.shape[2:]) != self._size:
                refuse_another_size(images[batch[0]], self._size, self.name)
            found = lpips_vectors(self._stack(unit), self._stack.linear)
            vectors.update(zip(batch, found.numpy(), strict=True))
        return vectors


def _squared_distance(a: NDArray[np.float32], b: NDArray[np.float32]) -> float:
    difference = a - b
    # NumPy sums a float32 product pairwise or by BLAS; both keep six digits over half a million terms.
    return float(np.dot(difference, difference))
