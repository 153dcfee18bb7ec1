"""Crops of one size at random places, and how many independent fields of view they really are."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields, replace
from threading import Lock
from typing import Any, Protocol, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from morphogen.images.conditions import Conditions
from morphogen.images.image_set import ImageSet
from morphogen.images.intensity import IntensityMap
from morphogen.images.mask_channel import MASK_MARGIN_PX, channel_of_mask
from morphogen.images.picture import Picture
from morphogen.images.stored_pixels import stored, stored_mask
from morphogen.mathematics.randomness import uniforms
from morphogen.problems import Problem

T = TypeVar("T", bound=np.generic)
_PLACES = 1  # keeps the stream of crop places apart from other streams under the same seed
_DRAWN_TOGETHER = 2048  # crops whose places are drawn at once
_WORTH_SHARING = 8  # crops of a batch from which on several threads read it
_ONE_READS = Lock()  # texts, whoever prepares a batch: tokenizers bear no two threads
_ALL, _BACKWARDS = slice(None), slice(None, None, -1)
SOURCE_PLACES = 2
"""Purpose of the stream of places in the set that is to be translated."""


@dataclass(frozen=True, slots=True)
class Batch:
    """What a step of training sees.

    Attributes:
        images: training images ``(B, channels, height, width)`` in [-1, 1].
        condition: vectors ``(B, width)`` of what each image is conditioned on, where that is anything.
        text: what a text says of each image as one vector, ``(B, text width)``, where they are conditioned on one.
        tokens: the same as a state a token, ``(B, T, text width + 1)``; the last entry is 1 for a token and 0 beyond
            the end of the text.
        sources: images of the set that is to be translated, ``(B, channels, height, width)``, unpaired, where there
            is one.
        context: an image in register with each, ``(B, context channels, height, width)``, where one is told.
        image_vector: unit vectors ``(B, d)`` that a CLIP has of the images, where these are told or learnt.
        caption_vector: those that it has of the texts, where they are.
    """

    images: Tensor
    condition: Tensor | None = None
    sources: Tensor | None = None
    text: Tensor | None = None
    tokens: Tensor | None = None
    context: Tensor | None = None
    image_vector: Tensor | None = None
    caption_vector: Tensor | None = None

    def to(self, device: torch.device) -> "Batch":
        """On a device."""
        return replace(self, **_moved(self, device))


def _moved(batch: Batch, device: torch.device) -> dict[str, Any]:
    named = {f.name: getattr(batch, f.name) for f in fields(batch)}
    return {name: tensor.to(device, non_blocking=True) for name, tensor in named.items() if tensor is not None}


class EncodedText(Protocol):
    """What an encoder makes of a text: ``pooled`` ``(width,)``, and ``states`` ``(tokens, width)``."""

    @property
    def pooled(self) -> NDArray[np.float32]:
        """One vector for the whole text."""

    @property
    def states(self) -> NDArray[np.float32]:
        """One vector a token."""


Encoder = Callable[[str], EncodedText]
"""Reads a text; see ``pretrained.text_encoder``."""

_TOKENS_TOGETHER = 8
"""Texts of a batch are filled up to a multiple of so many tokens, so that few shapes occur."""


def text_tensors(texts: Sequence[str], encoder: Encoder) -> tuple[Tensor, Tensor]:
    """The ``text`` and ``tokens`` of a batch, for one text an image."""
    encoded = [encoder(text) for text in texts]
    longest = -(-max(len(e.states) for e in encoded) // _TOKENS_TOGETHER) * _TOKENS_TOGETHER
    tokens = np.zeros((len(encoded), longest, encoded[0].states.shape[1] + 1), np.float32)
    for row, one in zip(tokens, encoded, strict=True):
        row[: len(one.states), :-1] = one.states
        row[: len(one.states), -1] = 1
    return torch.from_numpy(np.stack([e.pooled for e in encoded])), torch.from_numpy(tokens)


class RandomCrops:
    """An endless sequence of crops: crop k depends on the seed and on k alone.

    Every place that a crop can take in the set is equally likely. A symmetry is applied only if the
    specimen allows it.

    Args:
        images: where to crop.
        size: height and width of a crop in pixels.
        intensity: map to [-1, 1].
        symmetries: some of "flip_horizontal", "flip_vertical", "quarter_turn".
        seed: of the places and turns.
        with_masks: append the mask as a last channel, in register; see ``mask_channel``.
        purpose: number of the random stream; sets that are cropped side by side need different ones.
        context: what is told of each image, ``(channels, height, width)`` of the image's size, cropped with it.

    Raises:
        Problem: an image is smaller than the crop, or lacks a mask that is asked for.
    """

    def __init__(
        self,
        images: ImageSet,
        size: tuple[int, int],
        intensity: IntensityMap,
        symmetries: frozenset[str] = frozenset(),
        seed: int = 0,
        with_masks: bool = False,
        purpose: int = _PLACES,
        context: Sequence[NDArray[np.float32]] = (),
    ) -> None:
        self._pictures = list(images)
        self._context = context
        require_room(self._pictures, size)
        if with_masks:
            require_masks(self._pictures)
        self.with_masks, self.purpose = with_masks, purpose
        # Of whole pictures, for a crop does not know the border beyond its edge; in steps of 1/100, as bytes.
        self._mask_channels = [
            _in_hundredths(p.mask) if with_masks and p.mask is not None and stored_mask(p.mask) is None else None
            for p in self._pictures
        ]
        self.size, self.intensity, self.symmetries, self.seed = size, intensity, symmetries, seed
        places = np.array([_room(picture, size) for picture in self._pictures], dtype=np.float64)
        self._cumulative = np.cumsum(places) / places.sum()
        self._sizes = np.array([picture.size for picture in self._pictures])
        self._square = np.array([has_square_pixels(picture) for picture in self._pictures])
        self._drawn: tuple[int, NDArray[np.float64]] = (-1, np.empty((0, 6)))
        self._readers = max(
            (s.file.threads[s.axis] for p in self._pictures if (s := stored(p.pixels)) is not None), default=1
        )

    def __call__(self, first: int, count: int) -> Tensor:
        """Crops from ``first`` on: ``(count, channels, height, width)`` in [-1, 1]; with masks one channel more."""
        return torch.from_numpy(self._channels(self._places(first, count)))

    def batch(self, first: int, count: int, conditions: Conditions, encoder: Encoder | None = None) -> Batch:
        """The same with the condition of each crop; ``encoder`` reads their texts."""
        places = self._places(first, count)
        images = torch.from_numpy(self._channels(places))
        context = None
        if self._context:
            context = torch.from_numpy(np.stack([place.of(self._context[place.picture]) for place in places]))
        if not conditions:
            return Batch(images, context=context)
        labels = [self._pictures[place.picture].labels for place in places]
        masks = [self._mask(place) for place in places]
        values = [conditions.values_of(*of_crop) for of_crop in zip(labels, masks, strict=True)]
        vectors = torch.from_numpy(np.stack([conditions.encode(v) for v in values]))
        if conditions.text is None:
            return Batch(images, vectors, context=context)
        assert encoder is not None
        with _ONE_READS:
            text, tokens = text_tensors([conditions.text_of(v) for v in values], encoder)
        return Batch(images, vectors, text=text, tokens=tokens, context=context)

    def crop(self, index: int) -> Picture:
        """Crop ``index`` as it was measured, flipped and turned."""
        (place,) = self._places(index, 1)
        picture = self._pictures[place.picture]
        return replace(picture, pixels=place.of(picture.pixels), mask=self._mask(place))

    def _mask(self, place: "_Place") -> NDArray[np.bool_] | None:
        mask = self._pictures[place.picture].mask
        return None if mask is None else place.turned(mask[place.rectangle[1:]][None])[0]

    def _channels(self, places: "Sequence[_Place]") -> NDArray[np.float32]:
        first = self._pictures[0]
        grey = np.empty((len(places), first.channels, *self.size), first.pixels.dtype)

        def read(start: int, step: int) -> None:
            for number in range(start, len(places), step):
                place = places[number]
                grey[number] = place.of(self._pictures[place.picture].pixels)

        if self._readers > 1 and len(places) >= _WORTH_SHARING:
            with ThreadPoolExecutor(self._readers) as readers:
                list(readers.map(read, range(self._readers), [self._readers] * self._readers))
        else:
            read(0, 1)
        unit = self.intensity.to_unit(grey)
        if not self.with_masks:
            return unit
        return np.concatenate([unit, np.stack([self._mask_channel(place) for place in places])], axis=1)

    def _mask_channel(self, place: "_Place") -> NDArray[np.float32]:
        known = self._mask_channels[place.picture]
        if known is not None:
            return (place.of(known) / np.float32(100)).astype(np.float32, copy=False)
        mask = self._pictures[place.picture].mask
        assert mask is not None
        # What lies further from the border than the channel is cut off at does not change it.
        rows, columns = (slice(max(r.start - MASK_MARGIN_PX, 0), r.stop + MASK_MARGIN_PX) for r in place.rectangle[1:])
        wanted = zip(place.rectangle[1:], (rows, columns), strict=True)
        inner = (_ALL, *(slice(r.start - o.start, r.stop - o.start) for r, o in wanted))
        hundredths = place.turned(_in_hundredths(mask[rows, columns])[inner])
        return (hundredths / np.float32(100)).astype(np.float32, copy=False)

    def _places(self, first: int, count: int) -> "list[_Place]":
        """Where crops lie and how they are turned: a function of the seed and the running number of each alone."""
        which, down, right, *coins = self._uniforms(first, count).T
        numbers = np.searchsorted(self._cumulative, which, side="right")
        rows, columns = self._sizes[numbers].T
        height, width = self.size
        # Turns by 90 and 270 degrees need room for the turned crop, and square pixels.
        turns = (coins[0] * 4).astype(np.int64) if "quarter_turn" in self.symmetries else np.zeros(count, np.int64)
        upright = (rows < width) | (columns < height) | ~self._square[numbers]
        turns -= (turns % 2 == 1) & upright
        heights, widths = np.where(turns % 2, width, height), np.where(turns % 2, height, width)
        tops = (down * (rows - heights + 1)).astype(np.int64)
        lefts = (right * (columns - widths + 1)).astype(np.int64)
        upside = (coins[2] < 0.5) if "flip_vertical" in self.symmetries else np.zeros(count, bool)
        mirrored = (coins[1] < 0.5) if "flip_horizontal" in self.symmetries else np.zeros(count, bool)
        columns_of_places = (numbers, tops, lefts, heights, widths, turns, upside, mirrored)
        return [_Place.at(*values) for values in zip(*(c.tolist() for c in columns_of_places), strict=True)]

    def _uniforms(self, first: int, count: int) -> NDArray[np.float64]:
        """Six numbers for each crop, ``(count, 6)``; drawn for many crops at once, since they come in order."""
        parts = []
        while count > 0:
            block, offset = divmod(first, _DRAWN_TOGETHER)
            known = self._drawn  # one read: another thread may put its block there
            if known[0] != block:
                start = block * _DRAWN_TOGETHER
                known = (block, uniforms((self.seed, self.purpose), start, _DRAWN_TOGETHER, 6))
                self._drawn = known
            parts.append(known[1][offset : offset + count])
            first, count = first + len(parts[-1]), count - len(parts[-1])
        return np.concatenate(parts)


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a crop lies and how it is turned."""

    picture: int
    rectangle: tuple[slice, slice, slice]
    turns: int
    flips: tuple[slice, slice, slice]

    @classmethod
    def at(
        cls, picture: int, top: int, left: int, height: int, width: int, turns: int, upside: bool, mirrored: bool
    ) -> "_Place":
        rectangle = (_ALL, slice(top, top + height), slice(left, left + width))
        return cls(picture, rectangle, turns, (_ALL, _BACKWARDS if upside else _ALL, _BACKWARDS if mirrored else _ALL))

    def of(self, channels: NDArray[T]) -> NDArray[T]:
        """The crop out of the channels of its picture."""
        return self.turned(channels[self.rectangle])

    def turned(self, crop: NDArray[T]) -> NDArray[T]:
        """A crop that was cut out already, flipped and turned."""
        return (np.rot90(crop, self.turns, axes=(1, 2)) if self.turns else crop)[self.flips]


class Batches:
    """Crops with their conditions, beside crops of the set to be translated: what the loop asks for.

    Args:
        crops: of the training images.
        conditions: what they are conditioned on.
        sources: of the set that is to be translated into such images, where there is one.
        encoder: of the text that they are conditioned on, where there is one.
        seen_by: adds the vectors that a CLIP has of the images, where these are told or learnt.
    """

    def __init__(
        self,
        crops: RandomCrops,
        conditions: Conditions | None = None,
        sources: RandomCrops | None = None,
        encoder: Encoder | None = None,
        seen_by: Callable[[Batch], Batch] | None = None,
    ) -> None:
        self.crops, self.conditions, self.sources = crops, conditions or Conditions(), sources
        self.encoder, self.seen_by = encoder, seen_by

    def __call__(self, first: int, count: int) -> Batch:
        """Images ``first`` to ``first + count - 1`` by running number."""
        batch = self.crops.batch(first, count, self.conditions, self.encoder)
        if self.seen_by is not None:
            batch = self.seen_by(batch)
        return batch if self.sources is None else replace(batch, sources=self.sources(first, count))


def require_room(images: Iterable[Picture], size: tuple[int, int]) -> None:
    """Refuse crops that don't fit.

    Raises:
        Problem: an image is smaller than the crop, or the crop has no area.
    """
    height, width = size
    if height < 1 or width < 1:
        raise Problem(f"a crop of {height} x {width} has no area", do="give a height and a width in pixels")
    for picture in images:
        rows, columns = picture.size
        if rows < height or columns < width:
            raise Problem(
                f"{picture.origin.source or 'an image'} is {rows} x {columns}, smaller than the crop"
                f" {height} x {width}",
                do="choose a smaller crop or leave that image out",
            )


def require_masks(images: Iterable[Picture]) -> None:
    """Refuse images without masks.

    Raises:
        Problem: an image has none.
    """
    for picture in images:
        if picture.mask is None:
            raise Problem(
                f"{picture.origin.source or picture.origin.specimen} has no mask",
                do="put one of its name into a folder masks/ beside images/",
            )


def independent_fields(pictures: Iterable[Picture], size: tuple[int, int]) -> float:
    """How many fields of a size the pictures really show, overlaps counted once.

    The area that the pictures cover in their sources, as a union, over the area of a field. A thousand
    random crops of one slice are no more fields of view than the slice has room for. Neighbouring slices
    of a volume are counted apart here, although they look alike.

    Args:
        pictures: pictures or crops; their ``origin.region`` says where in the source they lie.
        size: height and width of a field in pixels.
    """
    regions = defaultdict(list)
    for picture in pictures:
        region = picture.origin.region or (0, 0, *picture.size)
        regions[picture.origin.specimen, picture.origin.source, picture.origin.slice].append(region)
    covered = sum(_union_area(np.array(boxes)) for boxes in regions.values())
    return covered / (size[0] * size[1])


def _union_area(boxes: NDArray[np.int64]) -> int:
    """Area of the union of boxes (top, left, height, width), by coordinate compression."""
    top, left, height, width = boxes.T
    rows = np.unique(np.concatenate([top, top + height]))
    columns = np.unique(np.concatenate([left, left + width]))
    covered = np.zeros((len(rows), len(columns)), dtype=bool)
    for t, x, h, w in boxes:
        covered[np.searchsorted(rows, t) : np.searchsorted(rows, t + h),
                np.searchsorted(columns, x) : np.searchsorted(columns, x + w)] = True  # fmt: skip
    return int(np.diff(rows) @ covered[:-1, :-1] @ np.diff(columns))


def _in_hundredths(mask: NDArray[np.bool_]) -> NDArray[np.int8]:
    return np.rint(100 * channel_of_mask(mask)).astype(np.int8)


def _room(picture: Picture, size: tuple[int, int]) -> int:
    return (picture.size[0] - size[0] + 1) * (picture.size[1] - size[1] + 1)


def has_square_pixels(picture: Picture) -> bool:
    """Whether a pixel is as high as it is wide, as far as that is known."""
    height, width = picture.spacing_um
    return not np.isfinite((height, width)).all() or bool(np.isclose(height, width, rtol=1e-3))
