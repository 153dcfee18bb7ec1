"""The convolution part of a classification network, and what it sees of an image.

An image goes in as it is measured: its grey values through the declared intensity map to [-1, 1] (values
outside the declared range are clipped to it), grey repeated to three channels, and then the shift and
scale of LPIPS, which are the mean and standard deviation of ImageNet's colours for that range. There is
no resize: a texture that is scaled is another texture.
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from morphogen.evaluation.feature_table import FeatureTable
from morphogen.evaluation.features.lpips_weights import LpipsWeights
from morphogen.images.image_set import ImageSet
from morphogen.images.intensity import IntensityMap
from morphogen.images.picture import Picture
from morphogen.problems import Problem

_SHIFT = (-0.030, -0.088, -0.188)
_SCALE = (0.458, 0.448, 0.450)

PREPROCESSING = f"declared range to [-1, 1], clipped; grey to RGB; shift {_SHIFT}, scale {_SCALE}; resize none"
"""What is done to an image before the network, for the identity of whatever is computed from it."""


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
    """A chain of convolutions, float32, without gradients.

    Args:
        name: of the network, "VGG16".
        layers: the convolutions in order.
        taps: names of the layers that LPIPS reads, in order.
        weights: of these layers.
        batch: how many images are best computed together.
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
        self._parameters = [
            (torch.from_numpy(kernel), torch.from_numpy(bias))
            for kernel, bias in zip(weights.kernels, weights.biases, strict=True)
        ]
        self._shift = torch.tensor(_SHIFT)[:, None, None]
        self._scale = torch.tensor(_SCALE)[:, None, None]

    @property
    def minimum_px(self) -> int:
        """The smallest side of an image for which every layer has an output."""
        side = 1
        for layer in reversed(self.layers):
            side = max(1, (side - 1) * layer.stride + layer.kernel - 2 * layer.padding)
            if layer.pool:
                side = (side - 1) * 2 + layer.pool
        return side

    @torch.no_grad()
    def __call__(self, unit: Tensor) -> list[Tensor]:
        """The maps of the tapped layers.

        Args:
            unit: images in [-1, 1], ``(n, 3, height, width)``, float32.

        Returns:
            One map ``(n, channels, height, width)`` for each of ``taps``.
        """
        x = (unit - self._shift) / self._scale
        maps = []
        for layer, (kernel, bias) in zip(self.layers, self._parameters, strict=True):
            if layer.pool:
                x = functional.max_pool2d(x, layer.pool, stride=2)
            x = functional.conv2d(x, kernel, bias, layer.stride, layer.padding).relu_()
            if layer.name in self.taps:
                # Nothing writes into a tapped map: what follows a convolution makes a new tensor.
                maps.append(x)
        return maps

    def batches(
        self, images: ImageSet, intensity: IntensityMap, *, indices: Sequence[int], size: int
    ) -> Iterator[tuple[list[int], Tensor]]:
        """Images as this network takes them, in batches of equal height and width.

        Args:
            images: the set.
            intensity: the declared grey range.
            indices: which images.
            size: how many images a batch has at most.

        Yields:
            The indices of a batch, and its images ``(n, 3, height, width)`` in [-1, 1].

        Raises:
            Problem: an image is too small, or neither grey nor RGB.
        """
        waiting: dict[tuple[int, int], list[int]] = {}
        ready: dict[tuple[int, int], list[NDArray[np.float32]]] = {}
        for index in indices:
            picture = images[index]
            ready.setdefault(picture.size, []).append(self._three_channels(picture, intensity))
            waiting.setdefault(picture.size, []).append(index)
            if len(waiting[picture.size]) == size:
                yield waiting.pop(picture.size), torch.from_numpy(np.stack(ready.pop(picture.size)))
        for key, rest in waiting.items():
            yield rest, torch.from_numpy(np.stack(ready[key]))

    def _three_channels(self, picture: Picture, intensity: IntensityMap) -> NDArray[np.float32]:
        if min(picture.size) < self.minimum_px:
            height, width = picture.size
            raise Problem(
                f"{self.name} cannot take an image of {height} x {width} pixels"
                f" ({picture.origin.source or 'made here'})",
                do=f"give images of at least {self.minimum_px} x {self.minimum_px} pixels",
            )
        if picture.channels not in (1, 3):
            raise Problem(
                f"{self.name} cannot take an image of {picture.channels} channels"
                f" ({picture.origin.source or 'made here'})",
                do="give grey or RGB images",
            )
        return np.repeat(intensity.to_unit(picture.pixels), 3 // picture.channels, axis=0)


class MeanFeatures:
    """Spatial means of layers of a stack, one row an image.

    Args:
        stack: the network.
        layers: names of the layers, all among the stack's taps.
        batch: images computed together, None for what is fastest. It changes the time, and the features
            only by rounding (1e-6).

    Raises:
        Problem: the network has no such layer.
    """

    def __init__(self, stack: ConvolutionStack, layers: Sequence[str], batch: int | None = None) -> None:
        for layer in layers:
            if layer not in stack.taps:
                raise Problem(f"{stack.name} has no layer '{layer}'", do=f"choose among {', '.join(stack.taps)}")
        self._stack = stack
        self._picked = [stack.taps.index(layer) for layer in layers]
        self._batch = batch or stack.batch
        self.name = f"{stack.name} {'+'.join(layers)} mean, no resize"
        self.identity = hashlib.sha256(
            f"{stack.weights_sha256} {' '.join(layers)} spatial mean; {PREPROCESSING}".encode()
        ).hexdigest()[:16]

    def __call__(self, images: ImageSet, intensity: IntensityMap) -> FeatureTable:
        """The features of a set.

        Args:
            images: grey or RGB images, each at least ``minimum_px`` of the network on a side.
            intensity: the declared grey range, that of the measured images.

        Raises:
            Problem: an image is too small, or neither grey nor RGB.
        """
        rows: dict[int, NDArray[np.float64]] = {}
        batches = self._stack.batches(images, intensity, indices=range(len(images)), size=self._batch)
        for indices, unit in batches:
            maps = self._stack(unit)
            means = torch.cat([maps[i].mean(dim=(2, 3), dtype=torch.float64) for i in self._picked], dim=1)
            rows.update(zip(indices, means.numpy(), strict=True))
        return FeatureTable(
            features=self.name,
            extractor=self.identity,
            images=images.fingerprint,
            values=np.stack([rows[i] for i in range(len(images))]),
            groups=tuple(picture.origin.specimen for picture in images),
        )
