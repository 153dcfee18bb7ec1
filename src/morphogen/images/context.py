"""What a method is told beside conditions: an image in register with each image, its mask or another one of the place.

A mask is told as the distance from its border, as it is learnt (``mask_channel``); another image by the intensity map
of its own set; edges as lines one pixel wide, 1 on a line and -1 elsewhere.

Edges are found in the image itself: Canny, IEEE PAMI 8 (1986) 679, as scikit-image has it, on grey levels over their
standard deviation, so that the same lines are found under another exposure. An image of two grey levels is a drawing of
the edges, and is told as it is.
"""

from pathlib import Path
from typing import Literal, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict
from skimage.feature import canny

from morphogen.images.cropping import require_masks
from morphogen.images.image_set import ImageSet, Pictures
from morphogen.images.intensity import IntensityMap
from morphogen.images.mask_channel import channel_of_mask
from morphogen.images.picture import Picture
from morphogen.images.stored_pixels import stored
from morphogen.problems import Problem

T = TypeVar("T", bound=np.generic)

FromImages = Literal["masks", "edges"]
"""What is told of an image from itself: its mask, or its edges."""

EDGE_BLUR_PX, LOW_EDGE, HIGH_EDGE = 1.5, 0.8, 1.6
"""Of Canny's method: the Gaussian, and the slopes (Sobel, which is eight grey levels a pixel for one) at which a line
goes on and at which it starts, in standard deviations of the grey levels. A step between the phases of a two-phase
image has
about 4, and noise of a tenth of the contrast about 0.2."""


class Context(BaseModel):
    """What the images in register are.

    Attributes:
        kind: masks of the images, their edges, or images of another set.
        channels: of each.
        intensity: map of the grey levels of images.
        fingerprint: of the images.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["masks", "edges", "images"]
    channels: int = 1
    intensity: IntensityMap | None = None
    fingerprint: str = ""

    @classmethod
    def of(cls, given: ImageSet | FromImages, images: ImageSet) -> "Context":
        """The context that goes with these training images.

        Args:
            given: "masks", "edges", or the other images, each called as the image that it goes with.
            images: training images.

        Raises:
            Problem: a mask or an image is missing, or is of another size.
        """
        if isinstance(given, str):
            if given == "masks":
                require_masks(images)
            return cls(kind=given)
        others = partners(images, given)
        return cls(
            kind="images",
            channels=others[0].channels,
            intensity=IntensityMap.of(others),
            fingerprint=others.fingerprint,
        )

    def channels_of(self, picture: Picture) -> NDArray[np.float32]:
        """The context ``(channels, height, width)`` in [-1, 1], from the image itself or from the other image.

        Raises:
            Problem: it has no mask, or another number of channels than in training.
        """
        if self.kind == "masks":
            require_masks([picture])
            assert picture.mask is not None
            return channel_of_mask(picture.mask)
        if self.kind == "edges":
            return np.where(edges(picture), np.float32(1), np.float32(-1))[None]
        assert self.intensity is not None
        if picture.channels != self.channels:
            raise Problem(
                f"{name_of(picture)} has {picture.channels} channels, and the run was told images of {self.channels}",
                do="give images like those of training",
            )
        if picture.pixels.dtype.name != self.intensity.dtype:
            raise Problem(
                f"{name_of(picture)} has pixels of {picture.pixels.dtype.name}, and the run was told images of"
                f" {self.intensity.dtype}",
                do="give images like those of training",
            )
        return self.intensity.to_unit(picture.pixels)

    def all_channels(self, given: ImageSet | FromImages, images: ImageSet) -> list[NDArray[np.float32]]:
        """The context of each training image, in memory.

        Raises:
            Problem: the images are so large that they stay on disk.
        """
        if any(stored(picture.pixels) is not None for picture in images):
            raise Problem(
                "masks, edges and images that are told have to fit into memory, and these images stay on disk",
                do="cut out a part of them",
            )
        return [self.channels_of(p) for p in (images if isinstance(given, str) else partners(images, given))]


def edges(picture: Picture) -> NDArray[np.bool_]:
    """The edges of an image, true on a line, ``(height, width)``; of a drawing in two grey levels the brighter one."""
    grey = picture.grey
    if len(np.unique(grey)) <= 2:
        return np.asarray(grey > grey.min())
    found: NDArray[np.bool_] = canny(
        grey / grey.std(), sigma=EDGE_BLUR_PX, low_threshold=LOW_EDGE, high_threshold=HIGH_EDGE
    )
    return found


def partners(images: ImageSet, others: ImageSet) -> Pictures:
    """The other image that goes with each image: the one of the same name, without folder and ending.

    Raises:
        Problem: one is missing, there are two of a name, or it is of another size.
    """
    by_name: dict[str, Picture] = {}
    for other in others:
        if name_of(other) in by_name:
            raise Problem(f"two of the other images are called {name_of(other)}", do="give one for each image")
        by_name[name_of(other)] = other
    found = []
    for picture in images:
        if name_of(picture) not in by_name:
            raise Problem(f"no other image is called {name_of(picture)}", do="call both images of a place alike")
        other = by_name[name_of(picture)]
        if other.size != picture.size:
            height, width = other.size
            raise Problem(
                f"{name_of(picture)} is {picture.size[0]} x {picture.size[1]}, and the other image of that name is"
                f" {height} x {width}",
                do="bring both to one size, in register",
            )
        found.append(other)
    return Pictures(found, "context")


def name_of(picture: Picture) -> str:
    """What an image is called: its file's name without the ending, and which slice of a volume it is."""
    stem = Path(picture.origin.source or picture.origin.specimen).stem
    return stem if picture.origin.slice is None else f"{stem}, slice {picture.origin.slice}"


def middle(channels: NDArray[T], size: tuple[int, int]) -> NDArray[T]:
    """The middle of a context ``(channels, height, width)``, of a size.

    Raises:
        Problem: it is smaller.
    """
    height, width = size
    rows, columns = channels.shape[1:]
    if rows < height or columns < width:
        raise Problem(
            f"a mask or image to be told is {rows} x {columns}, smaller than the {height} x {width} to be drawn",
            do="give larger ones, or draw smaller images",
        )
    top, left = (rows - height) // 2, (columns - width) // 2
    return channels[:, top : top + height, left : left + width]
