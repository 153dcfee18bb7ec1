"""What a format gives whose storage allows blocks to be read without loading the whole."""

from typing import Protocol

import numpy as np
from numpy.typing import NDArray


class Volume(Protocol):
    """An open volume, or an image as a volume of depth 1.

    Attributes:
        shape: depth, height and width in pixels.
        channels: 1 for grey, 3 for RGB.
        dtype: type of what ``read`` gives: uint8, uint16 or float32.
        spacing_um: size of a pixel in micrometres, z, y and x; NaN where unknown.
    """

    @property
    def shape(self) -> tuple[int, int, int]: ...  # noqa: D102

    @property
    def channels(self) -> int: ...  # noqa: D102

    @property
    def dtype(self) -> np.dtype[np.generic]: ...  # noqa: D102

    @property
    def spacing_um(self) -> tuple[float, float, float]: ...  # noqa: D102

    def read(self, block: tuple[slice, slice, slice]) -> NDArray[np.generic]:
        """The pixels of a block, ``(channels, d, h, w)``, in type ``dtype``.

        Args:
            block: ranges along z, y and x, with steps of one.
        """

    def close(self) -> None:
        """Let go of the file."""
