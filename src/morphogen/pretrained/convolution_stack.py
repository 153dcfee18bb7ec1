"""The convolution part of a classification network: images in [-1, 1] to maps of features.

Grey is repeated to three channels by whoever calls; here come the shift and scale of LPIPS, which are the mean and
standard deviation of ImageNet's colours for that range. There is no resize: a texture that is scaled is another
texture.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from morphogen.pretrained.lpips_weights import LpipsWeights

SHIFT = (-0.030, -0.088, -0.188)
"""What is subtracted from red, green and blue in [-1, 1]."""

SCALE = (0.458, 0.448, 0.450)
"""What they are then divided by."""


@dataclass(frozen=True, slots=True)
class Convolution:
    """One convolution with its ReLU.

    Attributes:
        name: of its output, "relu5_3".
        kernel: side of the kernel in pixels.
        padding: zeros on each side.
        stride: step in pixels.
        pool: window of the max pooling in front of it, of stride 2; 0 for none.
    """

    name: str
    kernel: int
    padding: int
    stride: int = 1
    pool: int = 0


class ConvolutionStack:
    """A chain of convolutions with frozen weights, float32, on the CPU.

    Args:
        name: of the network, "VGG16".
        layers: the convolutions in order.
        taps: names of the layers that LPIPS reads, in order.
        weights: of these layers.
        batch: how many images are best computed together.

    Attributes:
        constants: all tensors that ``maps`` needs: shift, scale, and kernel and bias of each layer.
    """

    def __init__(
        self,
        name: str,
        layers: Sequence[Convolution],
        taps: Sequence[str],
        weights: LpipsWeights,
        batch: int,
    ) -> None:
        self.name = name
        self.batch = batch
        self.layers = tuple(layers)
        self.taps = tuple(taps)
        self.weights_sha256 = weights.sha256
        self.linear = tuple(torch.from_numpy(w) for w in weights.linear)
        # From NumPy throughout, which pays no heed to torch's default device: a stack is shared, and whoever builds a
        # model on "meta" to count its weights must not leave an empty one behind.
        shift, scale = (torch.from_numpy(np.array(c, np.float32)[:, None, None]) for c in (SHIFT, SCALE))
        parameters = [
            torch.from_numpy(array) for pair in zip(weights.kernels, weights.biases, strict=True) for array in pair
        ]
        self.constants: tuple[Tensor, ...] = (shift, scale, *parameters)

    @property
    def minimum_px(self) -> int:
        """The smallest side of an image for which every layer has an output."""
        side = 1
        for layer in reversed(self.layers):
            side = max(1, (side - 1) * layer.stride + layer.kernel - 2 * layer.padding)
            if layer.pool:
                side = (side - 1) * 2 + layer.pool
        return side

    def sides(self, side: int) -> list[int]:
        """Sides of the tapped maps of an image with that side, in pixels."""
        found = []
        for layer in self.layers:
            if layer.pool:
                side = (side - layer.pool) // 2 + 1
            side = (side + 2 * layer.padding - layer.kernel) // layer.stride + 1
            if layer.name in self.taps:
                found.append(side)
        return found

    def channels(self, tap: str) -> int:
        """Channels of a tapped map."""
        return len(self.linear[self.taps.index(tap)])

    @torch.no_grad()
    def __call__(self, unit: Tensor) -> list[Tensor]:
        """The maps of the tapped layers, without gradients.

        Args:
            unit: images in [-1, 1], ``(n, 3, height, width)``, float32.

        Returns:
            One map ``(n, channels, height, width)`` for each of ``taps``.
        """
        return self.maps(unit, self.constants)

    def maps(self, unit: Tensor, constants: Sequence[Tensor], last: str = "") -> list[Tensor]:
        """The same, differentiable with respect to the images.

        Args:
            unit: images in [-1, 1], ``(n, 3, height, width)``.
            constants: ``constants`` or a copy of them, on the device and of the type of the images.
            last: tap at which to stop; by default the deepest.
        """
        shift, scale, *parameters = constants
        x = (unit - shift) / scale
        maps = []
        for layer, kernel, bias in zip(self.layers, parameters[::2], parameters[1::2], strict=True):
            if layer.pool:
                x = functional.max_pool2d(x, layer.pool, stride=2)
            # In place: a convolution's gradient has no need of its output, and a ReLU's none of its input.
            x = functional.conv2d(x, kernel, bias, layer.stride, layer.padding).relu_()
            if layer.name in self.taps:
                # Nothing writes into a tapped map: what follows a convolution makes a new tensor.
                maps.append(x)
            if layer.name == last:
                break
        return maps
