"""What a pretrained network sees of an image set: means over the field of what its layers answer.

An image goes in as it is measured: its grey values through the declared intensity map to [-1, 1] (values
outside the declared range are clipped to it), grey repeated to three channels, and then the shift and
scale of the network (``morphogen.pretrained.convolution_stack``). There is no resize: a texture that is scaled is
another texture.
"""

import hashlib
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from morphogen.evaluation.feature_table import FeatureTable
from morphogen.images.image_set import ImageSet
from morphogen.images.intensity import IntensityMap
from morphogen.images.picture import Picture
from morphogen.pretrained.convolution_stack import SCALE, SHIFT, ConvolutionStack
from morphogen.problems import Problem

PREPROCESSING = f"declared range to [-1, 1], clipped; grey to RGB; shift {SHIFT}, scale {SCALE}; resize none"
"""What is done to an image before the network, for the identity of whatever is computed from it."""


def batches(
    stack: ConvolutionStack, images: ImageSet, intensity: IntensityMap, *, indices: Sequence[int], size: int
) -> Iterator[tuple[list[int], Tensor]]:
    """Images as a network takes them, in batches of equal height and width.

    Args:
        stack: the network.
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
        ready.setdefault(picture.size, []).append(_three_channels(stack, picture, intensity))
        waiting.setdefault(picture.size, []).append(index)
        if len(waiting[picture.size]) == size:
            yield waiting.pop(picture.size), torch.from_numpy(np.stack(ready.pop(picture.size)))
    for key, rest in waiting.items():
        yield rest, torch.from_numpy(np.stack(ready[key]))


def _three_channels(stack: ConvolutionStack, picture: Picture, intensity: IntensityMap) -> NDArray[np.float32]:
    if min(picture.size) < stack.minimum_px:
        height, width = picture.size
        raise Problem(
            f"{stack.name} cannot take an image of {height} x {width} pixels ({picture.origin.source or 'made here'})",
            do=f"give images of at least {stack.minimum_px} x {stack.minimum_px} pixels",
        )
    if picture.channels not in (1, 3):
        raise Problem(
            f"{stack.name} cannot take an image of {picture.channels} channels"
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
        everything = range(len(images))
        for indices, unit in batches(self._stack, images, intensity, indices=everything, size=self._batch):
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
