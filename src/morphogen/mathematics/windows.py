"""Images larger than a denoiser's window. MultiDiffusion: Bar-Tal et al. 2023 (arXiv:2302.08113), equation 5.

The denoiser looks through windows that overlap, and its estimates are averaged with weights W_i:

    D(x) = sum_i W_i D_i(x) / sum_j W_j

The average of estimates is what is nearest to all of them, so a solver that follows D follows no window in particular.

Weights rise as sin^2 over an overlap and add up to one with those of the neighbour, so that nothing jumps at a window's
border; only at the border of the image do they stay 1. An estimate near a window's border lacks what lies beyond:
``margin`` leaves out that many pixels there. A denoiser that reaches no farther than the margin is then the same
through windows as without.

Deviation: windows move from call to call, by the plastic-number sequence, which leaves no place for long without a
visit, so that no place is always a border. They move by a counter, alike for all images, and without chance.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor

_PLASTIC = 1.3247179572447460
"""Root of p^3 = p + 1: multiples of (1 / p, 1 / p^2) fill the unit square evenly."""


def windowed(
    denoise: Callable[..., Tensor],
    window: tuple[int, int],
    overlap: int,
    shift: bool = True,
    margin: int = 0,
    beside: Tensor | None = None,
) -> "Windowed":
    """A denoiser for images of any size from the window's up.

    The counter belongs to what is returned: make a new one for each batch, and an image is the same in any batch.

    Args:
        denoise: a denoiser for images ``(B, C, *window)``. It is asked one window at a time for all images, so that
            what it is told of each image, a condition, keeps its place in the batch.
        window: height and width.
        overlap: pixels that neighbouring windows share at least.
        shift: whether windows move from call to call.
        margin: pixels at the window's borders, inside the image, whose estimates are not used.
        beside: images in register ``(B, channels, H, W)``; the denoiser gets their same window as a third argument.

    Raises:
        ValueError: the overlap is as large as the window, or smaller than two margins.
    """
    if not 0 <= 2 * margin <= overlap < min(window):
        raise ValueError(f"windows of {window} cannot overlap by {overlap} pixels with margins of {margin}")
    return Windowed(denoise, window, overlap, shift, margin, beside)


@dataclass
class Windowed:
    """What ``windowed`` makes; its attributes are those arguments, and how often it was asked."""

    denoise: Callable[..., Tensor]
    window: tuple[int, int]
    overlap: int
    shift: bool
    margin: int
    beside: Tensor | None = None
    calls: int = field(default=0, init=False)

    def __call__(self, x: Tensor, sigma: Tensor) -> Tensor:
        """Estimate of x_0 for images ``(B, C, H, W)`` at sigma ``(B,)``.

        Raises:
            ValueError: the images are smaller than the window.
        """
        rows, columns = self.places((x.shape[2], x.shape[3]))
        self.calls += 1
        total = torch.zeros_like(x)
        for top, down in rows:
            for left, across in columns:
                place = (..., slice(top, top + self.window[0]), slice(left, left + self.window[1]))
                weight = (down[:, None] * across[None, :]).to(x)  # (h, w)
                seen = () if self.beside is None else (self.beside[place].contiguous(),)
                total[place] += weight * self.denoise(x[place].contiguous(), sigma, *seen)
        return total

    def places(self, size: tuple[int, int]) -> tuple[list[tuple[int, Tensor]], list[tuple[int, Tensor]]]:
        """Where windows start at this call, downwards and across, each with its weights along that axis.

        The weights of one axis add up to one at every pixel, so products of two do over the image.
        """
        if size[0] < self.window[0] or size[1] < self.window[1]:
            raise ValueError(f"images of {size} are smaller than the window of {self.window}")
        shares = [self.calls * _PLASTIC**-power % 1 if self.shift else 0.0 for power in (1, 2)]
        rows, columns = (self._axis(axis, size[axis], shares[axis]) for axis in (0, 1))
        return rows, columns

    def _axis(self, axis: int, size: int, share: float) -> list[tuple[int, Tensor]]:
        length = self.window[axis]
        stride = length - self.overlap
        last = size - length
        first = -math.floor(share * stride)
        starts = sorted({min(max(start, 0), last) for start in range(first, last + stride, stride)})
        weights = [self._weights(length, at_start=start == 0, at_end=start == last) for start in starts]
        total = torch.zeros(size, dtype=torch.float64)
        for start, weight in zip(starts, weights, strict=True):
            total[start : start + length] += weight
        return [(start, weight / total[start : start + length]) for start, weight in zip(starts, weights, strict=True)]

    def _weights(self, length: int, *, at_start: bool, at_end: bool) -> Tensor:
        """0 in the margin, 1 inside, sin^2 between, but 1 up to a border that is the image's own."""
        ramp = self.overlap - 2 * self.margin
        inwards = torch.arange(length, dtype=torch.float64) - self.margin  # pixels from the margin inwards
        rising = ((inwards + 0.5) / ramp).clamp(0, 1) if ramp else (inwards >= 0).double()
        rising = torch.sin(rising * math.pi / 2).square()
        weight = torch.ones(length, dtype=torch.float64)
        if not at_start:
            weight = weight * rising
        if not at_end:
            weight = weight * rising.flip(0)
        return weight
