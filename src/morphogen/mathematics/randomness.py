"""Randomness as a value: one stream of numbers for each image.

A draw for image k depends on the seed and on k, never on the batch it happens to sit in, the number of
processes or the device. So the same seed gives the same picture at any batch size, and two processes
that share a batch train the weights that one would.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor


class Randomness:
    """Independent random streams, one for each image of a batch.

    Args:
        keys: one tuple of non-negative integers an image; equal keys give equal streams.
        device: where the drawn tensors go. The numbers themselves are always drawn on the CPU, so that
            they do not depend on the device.
    """

    def __init__(self, keys: Sequence[tuple[int, ...]], device: torch.device | str = "cpu") -> None:
        self.device = torch.device(device)
        self._streams = [_stream(key) for key in keys]

    @classmethod
    def of_images(
        cls,
        seed: int,
        first: int,
        count: int,
        *,
        purpose: int = 0,
        device: torch.device | str = "cpu",
    ) -> "Randomness":
        """Streams of the images ``first`` to ``first + count - 1`` under one seed.

        Args:
            seed: the run's or the request's seed.
            first: running number of the first image.
            count: how many images.
            purpose: keeps apart streams that must not repeat each other for the same image, such as
                the noise of one training phase and that of another.
            device: where drawn tensors go.
        """
        return cls([(seed, purpose, first + i) for i in range(count)], device)

    def __len__(self) -> int:
        return len(self._streams)

    def normal(self, *shape: int) -> Tensor:
        """Standard normal numbers, ``(len(self), *shape)``."""
        return self._stack([torch.randn(shape, generator=stream) for stream in self._streams])

    def uniform(self, *shape: int) -> Tensor:
        """Numbers from U[0, 1), ``(len(self), *shape)``."""
        return self._stack([torch.rand(shape, generator=stream) for stream in self._streams])

    def integers(self, below: int, *shape: int) -> Tensor:
        """Integers from 0 to ``below - 1``, ``(len(self), *shape)``, int64."""
        return self._stack([torch.randint(below, shape, generator=stream) for stream in self._streams])

    def _stack(self, draws: list[Tensor]) -> Tensor:
        return torch.stack(draws).to(self.device, non_blocking=True)


def numpy_generator(*key: int) -> np.random.Generator:
    """A NumPy generator for a key of non-negative integers; equal keys give equal streams."""
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(key)))


def _stream(key: tuple[int, ...]) -> torch.Generator:
    state = np.random.SeedSequence(key).generate_state(1, np.uint64)
    generator = torch.Generator()
    generator.manual_seed(int(state[0]) & 0x7FFF_FFFF_FFFF_FFFF)
    return generator
