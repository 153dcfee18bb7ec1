"""The contract of a similarity between two images. Each file beside this one holds one ``Measure``.

A similarity needs two images that show the same thing. Between the i-th measured and the i-th generated
image of an unconditional model it means nothing, so there are two uses: between the images of one set,
where it says how diverse they are, and between images that are paired by what they are, such as an edit
and its source (``morphogen.evaluation.paired``).
"""

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from morphogen.catalogue import Catalogue
from morphogen.images.image_set import ImageSet
from morphogen.images.intensity import IntensityMap
from morphogen.images.picture import Picture
from morphogen.problems import Problem

Values = NDArray[np.float64]

Score = Callable[[Values, Values, float], Values]
"""From two stacks ``(n, channels, height, width)`` in grey values and the declared range to ``(n,)``."""

_PIXELS_AT_ONCE = 2**19  # half a million pixels: eight float64 arrays of them stay near 32 MB


class Similarity(Protocol):
    """Compares images two by two.

    Attributes:
        name: with everything that changes the number, "MS-SSIM (3 scales)".
        higher_is_more_similar: true for SSIM, false for a distance such as LPIPS.
        higher_is_more_diverse: the opposite.
    """

    @property
    def name(self) -> str:
        """What it is called."""

    @property
    def higher_is_more_similar(self) -> bool:
        """Direction as a similarity."""

    @property
    def higher_is_more_diverse(self) -> bool:
        """Direction as a diversity within a set."""

    def __call__(self, images: ImageSet, intensity: IntensityMap, pairs: Sequence[tuple[int, int]]) -> Values:
        """Similarity of images of one set.

        Args:
            images: the set.
            intensity: the declared grey range, that of the measured images.
            pairs: indices of the two images of each pair.

        Returns:
            ``(len(pairs),)``.

        Raises:
            Problem: an image does not have the declared size.
        """

    def between(self, *, measured: ImageSet, generated: ImageSet, intensity: IntensityMap) -> Values:
        """Similarity of the i-th measured to the i-th generated image, which the caller has paired.

        Returns:
            ``(len(measured),)``.

        Raises:
            Problem: the sets are not of one length, or sizes differ.
        """


SIMILARITIES = Catalogue("morphogen.evaluation.similarities", "similarity", frozenset({"similarity"}))


def similarity_names() -> list[str]:
    """The similarities that are known: the files of this folder."""
    return SIMILARITIES.names()


def similarity(name: str, *, size: tuple[int, int], **options: Any) -> Similarity:
    """The similarity of that name for images of one size.

    Args:
        name: one of ``similarity_names()``.
        size: height and width of the images, in pixels; a name may depend on it (scales of MS-SSIM).
        options: as its class takes them.

    Raises:
        Problem: there is none of that name, or it cannot take images of that size.
    """
    built: Similarity = SIMILARITIES.module(name).Measure(size, **options)
    return built


def refuse_smaller(size: tuple[int, int], minimum_px: int, name: str) -> None:
    """Refuse images that a similarity cannot take.

    Raises:
        Problem: a side is shorter than ``minimum_px``.
    """
    if min(size) < minimum_px:
        raise Problem(
            f"{name} cannot take images of {size[0]} x {size[1]} pixels",
            do=f"give images of at least {minimum_px} x {minimum_px} pixels",
        )


def refuse_another_size(picture: Picture, size: tuple[int, int], name: str) -> None:
    """Refuse an image that is not of the declared size.

    Raises:
        Problem: it is not.
    """
    if picture.size != size:
        raise Problem(
            f"{name}: {picture.origin.source or 'an image'} has"
            f" {picture.size[0]} x {picture.size[1]} pixels, not {size[0]} x {size[1]}",
            do="cut the images to fields of one size first",
        )


def partners(measured: ImageSet, generated: ImageSet) -> list[tuple[int, int]]:
    """The i-th with the i-th.

    Raises:
        Problem: the sets are not of one length.
    """
    if len(measured) != len(generated):
        raise Problem(
            f"{len(measured)} measured and {len(generated)} generated images cannot be pairs",
            do="give each image exactly one partner",
        )
    return [(i, i) for i in range(len(measured))]


def score_pixels(
    score: Score,
    first: ImageSet,
    second: ImageSet,
    pairs: Sequence[tuple[int, int]],
    *,
    intensity: IntensityMap,
    size: tuple[int, int],
    name: str,
) -> Values:
    """A score of pixel values for pairs of images, in steps that fit into memory.

    Args:
        score: what to compute.
        first: where the first image of a pair comes from.
        second: where the second one comes from; may be the same set.
        pairs: the indices.
        intensity: its range is the score's declared range; pixels keep their values.
        size: what every image must measure.
        name: of the similarity, for messages.

    Returns:
        ``(len(pairs),)``.

    Raises:
        Problem: an image has another size, or two partners differ in channels.
    """
    step = max(1, _PIXELS_AT_ONCE // (size[0] * size[1]))
    values = np.empty(len(pairs))
    for start in range(0, len(pairs), step):
        chunk = [(first[i], second[j]) for i, j in pairs[start : start + step]]
        for one, other in chunk:
            refuse_another_size(one, size, name)
            refuse_another_size(other, size, name)
            if one.channels != other.channels:
                raise Problem(
                    f"{name}: {one.channels} channels cannot be compared with {other.channels}",
                    do="give two grey or two RGB images",
                )
        x, y = (np.stack([pair[side].pixels for pair in chunk]).astype(np.float64) for side in (0, 1))
        values[start : start + step] = score(x, y, intensity.high - intensity.low)
    return values
