"""Randomness as a value: one stream of numbers for each image.

A draw for image k depends on the seed and on k, never on the batch it happens to sit in, the number of processes
or the device. So the same seed gives the same picture at any batch size, and two processes that share a batch
train the weights that one would.

The streams are NumPy's PCG64, seeded through SeedSequence with all bits of the key; torch's own CPU generator
keeps 32 bits of a seed, among which a hundred thousand images would find two alike.
"""

import zlib
from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
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
        self._streams = [numpy_generator(*key) for key in keys]

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
        """Standard normal numbers, ``(len(self), *shape)`` float32."""
        return self._drawn(lambda stream: stream.standard_normal(shape, dtype=np.float32))

    def uniform(self, *shape: int) -> Tensor:
        """Numbers from U[0, 1), ``(len(self), *shape)`` float32."""
        return self._drawn(lambda stream: stream.random(shape, dtype=np.float32))

    def integers(self, below: int, *shape: int) -> Tensor:
        """Integers from 0 to ``below - 1``, ``(len(self), *shape)`` int64."""
        return self._drawn(lambda stream: np.asarray(stream.integers(below, size=shape, dtype=np.int64)))

    def _drawn(self, draw: Callable[[np.random.Generator], NDArray[np.generic]]) -> Tensor:
        draws = np.stack([draw(stream) for stream in self._streams])
        return torch.from_numpy(draws).to(self.device, non_blocking=True)


def numpy_generator(*key: int) -> np.random.Generator:
    """A NumPy generator for a key of non-negative integers.

    Equal keys give equal streams; different keys, also those that differ only by zeros at their end, give
    independent ones.
    """
    # SeedSequence fills a key up with zeros, so its length goes in front.
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence((len(key), *key))))


class NamedStreams:
    """Independent streams under one key, one for each name; a name's stream goes on where it was left.

    What is drawn under one name does not depend on how much is drawn under another. So two geometries of which one has
    more parts share the numbers of those parts that both have.

    Args:
        key: non-negative integers.
    """

    def __init__(self, *key: int) -> None:
        self._key = key
        self._streams: dict[str, np.random.Generator] = {}

    def __getitem__(self, name: str) -> np.random.Generator:
        if name not in self._streams:
            self._streams[name] = numpy_generator(*self._key, zlib.crc32(name.encode()))
        return self._streams[name]


Source = np.random.Generator | NamedStreams
"""Where random numbers come from: one stream for all of them, or one for each name."""


def stream(source: Source, name: str) -> np.random.Generator:
    """The stream of that name; of a source that is one stream, that stream."""
    return source[name] if isinstance(source, NamedStreams) else source
