"""Random projections of pretrained features, for discriminators. Sauer et al. 2021 (arXiv:2111.01007), section 3.

A discriminator on frozen pretrained features P converges far faster on small sets; without mixing it would look at few
of their channels only. With the maps f_1 (fine) to f_L (coarse) of L layers,

    m_l = M_l f_l / s_l                          cross-channel mixing: a random 1 x 1 convolution (section 3.2)
    z_L = m_L,  z_l = (m_l + K_l up(z_l+1)) / sqrt 2   cross-scale mixing: random 3 x 3, top-down, bilinear

and one discriminator looks at each z_l. M and K are drawn once by Kaiming's rule (variance 1 / fan-in, since no
rectifier follows) and never trained; s_l is the root mean square of the map on micrographs of rock, fibers and roots.
They are kept in the run; the pretrained kernels are not, they are read again from their package.

Deviations. The networks are AlexNet and VGG16, whose weights are at hand, in place of EfficientNet. Each layer has
half the size of the one before. AlexNet divides by 16 and would leave three pixels of a 64 x 64 image, so images are
enlarged (bilinearly, by a whole factor) until their shorter side has at least ``AT_LEAST`` pixels. What that is worth:
share of pairs of a measured and a damaged 64 x 64 field of carbonate that small discriminators on the maps (3 x 3
convolution, hinge loss, 80 steps of 16 fields) put in the right order, on unseen fields; in brackets each map alone,
fine to coarse:

                        AlexNet                  AlexNet, enlarged by 2   VGG16, six times as slow
    blur 0.4 px         0.69 (0.71 0.67 0.66)    0.80 (0.90 0.82 0.65)    0.70 (0.81 0.63 0.60 0.59)
    noise 0.05          0.83 (0.82 0.85 0.73)    0.94 (0.97 0.95 0.81)    0.89 (0.96 0.86 0.72 0.63)
    random phases       0.98 (0.98 0.98 0.97)    0.99 (0.98 0.98 0.99)    0.99 (0.95 0.98 0.98 0.96)
    shuffled blocks     0.97 (0.95 0.98 0.95)    0.98 (0.97 0.98 0.97)    0.94 (0.93 0.94 0.92 0.93)
    pores thinned       0.94 (0.95 0.93 0.91)    0.99 (1.00 0.99 0.95)    0.99 (1.00 0.99 0.94 0.88)

(AlexNet's relu5 entered the totals; alone it was behind relu3, of which it has the size, in every line, and is left out
with the two convolutions that it costs.) Colour is seen as colour, one grey channel as grey, and any further channel,
such as a mask, as a grey image of its own through the same network; M_l then mixes the maps of all of them, so that the
discriminator sees at each place whether image and mask are in register.
"""

import math
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from morphogen.mathematics.randomness import numpy_generator
from morphogen.pretrained.alexnet import alexnet
from morphogen.pretrained.convolution_stack import ConvolutionStack
from morphogen.pretrained.vgg16 import vgg16
from morphogen.problems import Problem

Features = Literal["alexnet", "vgg16"]

SMALLEST_PX = 32
"""Shortest side of an image that can be discriminated."""

AT_LEAST: dict[Features, int] = {"alexnet": 128, "vgg16": 32}
"""Shorter side, in pixels, up to which images are enlarged in front of a network."""

# Layers with the root mean square of their maps, over 64 x 64 micrographs enlarged as above.
_SCALES: dict[Features, dict[str, float]] = {
    "alexnet": {"relu1": 0.76, "relu2": 1.3, "relu3": 1.5},
    "vgg16": {"relu2_2": 1.8, "relu3_3": 2.4, "relu4_3": 1.2, "relu5_3": 0.48},
}

_MIXING = 1  # purpose of the random stream of the projections


class ProjectedFeatures(nn.Module):
    """Images to maps of mixed pretrained features, frozen and differentiable with respect to the images.

    Args:
        features: the pretrained network, "alexnet" or "vgg16". AlexNet is some six times as fast, and tells more.
        channels: of the images.
        height: of the images in pixels.
        width: of the images in pixels.
        width_of_projection: channels of every map.
        seed: of the random mixing.

    Attributes:
        maps: channels, height and width of each map, from fine to coarse.

    Raises:
        Problem: the images are too small, or the weights are missing or not the known ones.
    """

    def __init__(
        self, features: Features, channels: int, height: int, width: int, width_of_projection: int, seed: int
    ) -> None:
        super().__init__()
        if min(height, width) < SMALLEST_PX:
            raise Problem(
                f"pretrained features see nothing in images of {height} x {width} pixels",
                do=f"choose images of at least {SMALLEST_PX} x {SMALLEST_PX} pixels, or a discriminator without them",
            )
        self._stack: ConvolutionStack = {"alexnet": alexnet, "vgg16": vgg16}[features]()
        self._taps = tuple(_SCALES[features])
        self._constants = len(self._stack.constants)
        for i, constant in enumerate(self._stack.constants):  # of all layers; the unused ones are small
            self.register_buffer(f"pretrained_{i}", constant, persistent=False)
        self.enlargement = -(-AT_LEAST[features] // min(height, width))
        self.looks = channels - 2 if channels >= 3 else channels
        random = numpy_generator(seed, _MIXING)
        sides = dict(zip(self._stack.taps, self._sides(height, width), strict=True))
        self.maps = [(width_of_projection, *sides[name]) for name in self._taps]
        for i, (name, scale) in enumerate(_SCALES[features].items()):
            seen = self.looks * self._stack.channels(name)
            self.register_buffer(f"mixing_{i}", _kaiming(random, width_of_projection, seen, 1) / scale)
            if i + 1 < len(self._taps):
                self.register_buffer(f"joining_{i}", _kaiming(random, width_of_projection, width_of_projection, 3))

    def forward(self, images: Tensor) -> list[Tensor]:
        """Images ``(B, C, H, W)`` in [-1, 1] to maps ``(B, width_of_projection, h, w)``, from fine to coarse."""
        if self.enlargement > 1:
            images = functional.interpolate(
                images, scale_factor=float(self.enlargement), mode="bilinear", align_corners=False
            )
        constants = [self.get_buffer(f"pretrained_{i}") for i in range(self._constants)]
        maps = self._stack.maps(self._as_colours(images), constants, last=self._taps[-1])
        seen = dict(zip(self._stack.taps, maps, strict=False))  # those after the last are not computed
        mixed: list[Tensor] = []  # from coarse to fine
        for i, name in reversed(list(enumerate(self._taps))):
            together = torch.cat(seen[name].chunk(self.looks), dim=1)  # (B, looks C, h, w)
            z = functional.conv2d(together, self.get_buffer(f"mixing_{i}"))
            if mixed:
                above = mixed[-1]
                if above.shape[2:] != z.shape[2:]:
                    above = functional.interpolate(above, size=z.shape[2:], mode="bilinear", align_corners=False)
                z = (z + functional.conv2d(above, self.get_buffer(f"joining_{i}"), padding=1)) * math.sqrt(0.5)
            mixed.append(z)
        return mixed[::-1]

    def _as_colours(self, images: Tensor) -> Tensor:
        """Each look at an image, its colours or one channel as grey: ``(looks B, 3, H, W)``, look by look."""
        colours = 3 if images.shape[1] >= 3 else 1
        looks = [images[:, :colours], *(images[:, c : c + 1] for c in range(colours, images.shape[1]))]
        return torch.cat([look.expand(-1, 3, -1, -1) for look in looks])

    def _sides(self, height: int, width: int) -> list[tuple[int, int]]:
        larger = (height * self.enlargement, width * self.enlargement)
        return list(zip(*(self._stack.sides(side) for side in larger), strict=True))


def _kaiming(random: np.random.Generator, channels_out: int, channels_in: int, side: int) -> Tensor:
    numbers = random.standard_normal((channels_out, channels_in, side, side), dtype=np.float32)
    return torch.from_numpy(numbers / np.float32(math.sqrt(channels_in * side**2)))
