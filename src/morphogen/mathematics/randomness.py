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


def uniforms(key: tuple[int, ...], first: int, count: int, each: int) -> NDArray[np.float64]:
    """The first numbers from U[0, 1) of many streams at once, ``(count, each)``: of ``(*key, first)`` and those behind.

    Row i is ``numpy_generator(*key, first + i).random(each)``, bit for bit, in far less time: to make a generator takes
    longer than to draw a few numbers from it. What NumPy does is written out here for all rows together:
    SeedSequence (O'Neill, "Developing a seed_seq alternative", 2015), and PCG64 with its output XSL-RR (O'Neill,
    HMC-CS-2014-0905), whose state and increment have 128 bits, here as two halves of 64. A double is the upper 53 bits.
    """
    if first < 0 or first + count > 2**32:  # an index of two words, of which nobody draws
        return np.stack([numpy_generator(*key, first + i).random(each) for i in range(count)])
    with np.errstate(over="ignore"):
        high, low, *odd = _seeded([len(key) + 1, *(word for number in key for word in _words(number))], first, count)
        odd_high, odd_low = (odd[0] << _1) | (odd[1] >> _63), (odd[1] << _1) | _1
        # State 0, a step, the seed added, and a step.
        high, low = _sum(odd_high, odd_low, high, low)
        high, low = _step(high, low, odd_high, odd_low)
        drawn = np.empty((count, each))
        for column in range(each):
            high, low = _step(high, low, odd_high, odd_low)
            turn = high >> _58
            folded = high ^ low
            turned = (folded >> turn) | (folded << ((_64 - turn) & _63))
            drawn[:, column] = (turned >> _11) * 2.0**-53
    return drawn


_1, _11, _32, _58, _63, _64 = (np.uint64(n) for n in (1, 11, 32, 58, 63, 64))
_LOWER = np.uint64(2**32 - 1)
_FACTOR_HIGH, _FACTOR_LOW = np.uint64(2549297995355413924), np.uint64(4865540595714422341)
"""The two halves of PCG64's multiplier."""
_POOL = 4  # words of 32 bits that SeedSequence mixes a key into

Words = NDArray[np.uint64]


def _words(number: int) -> list[int]:
    """A non-negative integer in words of 32 bits, the lowest first."""
    words = [number & 0xFFFFFFFF]
    while number := number >> 32:
        words.append(number & 0xFFFFFFFF)
    return words


def _seeded(words: list[int], first: int, count: int) -> list[Words]:
    """The four words of 64 bits that SeedSequence makes of a key, for all last numbers of the key together."""
    last = np.arange(first, first + count, dtype=np.uint32)
    key = [np.full(count, word, np.uint32) for word in words] + [last]
    factor = 0x43B0D7E5

    def hashed(value: NDArray[np.uint32]) -> NDArray[np.uint32]:
        nonlocal factor
        value = value ^ np.uint32(factor)
        factor = factor * 0x931E8875 & 0xFFFFFFFF
        found: NDArray[np.uint32] = value * np.uint32(factor)
        return found ^ (found >> np.uint32(16))

    def mixed(one: NDArray[np.uint32], other: NDArray[np.uint32]) -> NDArray[np.uint32]:
        found: NDArray[np.uint32] = np.uint32(0xCA01F9DD) * one - np.uint32(0x4973F715) * other
        return found ^ (found >> np.uint32(16))

    pool = [hashed(key[i] if i < len(key) else np.zeros(count, np.uint32)) for i in range(_POOL)]
    for source in range(_POOL):
        for place in range(_POOL):
            if source != place:
                pool[place] = mixed(pool[place], hashed(pool[source]))
    for word in key[_POOL:]:
        for place in range(_POOL):
            pool[place] = mixed(pool[place], hashed(word))
    factor = 0x8B51F9DD
    halves = []
    for i in range(2 * _POOL):
        value = pool[i % _POOL] ^ np.uint32(factor)
        factor = factor * 0x58F38DED & 0xFFFFFFFF
        value = value * np.uint32(factor)
        halves.append((value ^ (value >> np.uint32(16))).astype(np.uint64))
    return [halves[i] | (halves[i + 1] << _32) for i in range(0, 2 * _POOL, 2)]


def _sum(high: Words, low: Words, other_high: Words, other_low: Words) -> tuple[Words, Words]:
    """The sum of two numbers of 128 bits."""
    found = low + other_low
    return high + other_high + (found < low), found


def _step(high: Words, low: Words, odd_high: Words, odd_low: Words) -> tuple[Words, Words]:
    """The next state: times the multiplier, plus the increment."""
    a, b = low >> _32, low & _LOWER
    c, d = _FACTOR_LOW >> _32, _FACTOR_LOW & _LOWER
    bottom, cross = b * d, a * d
    middle = b * c + (bottom >> _32) + (cross & _LOWER)
    carried = a * c + (cross >> _32) + (middle >> _32)
    upper = carried + high * _FACTOR_LOW + low * _FACTOR_HIGH
    return _sum(upper, low * _FACTOR_LOW, odd_high, odd_low)


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
