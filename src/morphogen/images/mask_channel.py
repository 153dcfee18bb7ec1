"""A mask as a channel that a network can learn: the distance from its border, cut off.

    channel = clip(d / w, -1, 1),   d > 0 inside, in pixels from the border between two pixels,   w = 2

Above zero is inside, so the mask comes back exactly. A mask of hard steps would tell a discriminator measured images
from generated ones by its two values alone, and teach the generator nothing but steps (docs/results.md has both).
"""

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt

WIDTH_PX = 2.0
"""Distance from the border at which the channel is as sure as it gets."""

MASK_MARGIN_PX = 3
"""What lies beyond so many pixels around a crop does not change the channel in it."""


def channel_of_mask(mask: NDArray[np.bool_]) -> NDArray[np.float32]:
    """A mask ``(height, width)`` as a channel ``(1, height, width)`` in [-1, 1]; positive where the mask is true."""
    if mask.all() or not mask.any():
        return np.where(mask[None], np.float32(1), np.float32(-1))
    inside, outside = distance_transform_edt(mask), distance_transform_edt(~mask)
    # The border lies half a pixel from the centres on either side.
    signed = np.where(mask, inside - 0.5, 0.5 - outside)
    channel: NDArray[np.float32] = np.clip(signed / WIDTH_PX, -1, 1).astype(np.float32)[None]
    return channel


def mask_of_channel(channel: NDArray[np.floating]) -> NDArray[np.bool_]:
    """The mask that a channel ``(height, width)`` stands for."""
    return channel > 0
