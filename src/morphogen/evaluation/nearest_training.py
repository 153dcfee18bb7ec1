"""Where in the training images a field is found best: at any place, under any flip and quarter turn.

A method that trains on random crops of large images may hand back any crop of them, turned or mirrored. So each field
is compared with every crop of its size: at each pixel shift of each training image, under all eight symmetries of the
square, whichever of them the training used. (A copy that was turned stays a copy, and held-out fields, which set the
threshold, are searched in the same way.)

The likeness of a field f and a crop g of N pixels is their normalised cross-correlation (Lewis, Fast normalized
cross-correlation, Vision Interface 1995)

    ncc = sum (f - mean f)(g - mean g) / (N s_f s_g),

with means and standard deviations s over the N pixels. If brightness and contrast of g are fitted to f by least
squares, the distance that is left, as a share of the contrast of f, is the *residual*

    r = sqrt(1 - ncc^2) = min_{a > 0, b} |f - a g - b| / |f - mean f|:   0 for a copy, 1 for nothing in common.

An inverted crop (ncc < 0) is no copy. Colour is read as luminance.

The sums at all shifts come from products of Fourier transforms over tiles of the training images (overlap-save), the
contrast of all crops from running sums in double precision. Only where images are so many that this would take long
are fields and images averaged over b x b pixels for the search, b = 2, 4 or 8; what it finds is then refined over the
shifts around it at full resolution. What is returned is always computed there, in double precision.

A field without contrast fits everywhere and nowhere: give none to the search. A crop whose contrast s_g is below
``FLAT`` of the grey range of the training images fits nothing, its ncc is zero.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.fft import next_fast_len
from scipy.signal import fftconvolve
from torch import Tensor

from morphogen.images.image_set import ImageSet

Grey = NDArray[np.float64]
Symmetry = tuple[int, bool]

SYMMETRIES: tuple[Symmetry, ...] = tuple((turns, mirrored) for mirrored in (False, True) for turns in range(4))
"""All symmetries of the square: quarter turns counter-clockwise, then perhaps a mirror image, left for right."""

FLAT = 1e-3
"""Crops with a standard deviation below this share of the grey range have nothing to be recognised by."""

CANDIDATES = 64  # best places of a field that are computed at full resolution
AT_A_TIME = 4  # fields whose products stay in the cache of a processor
WORK = 6e9  # fields x symmetries x places: about a minute of one core; what is more is searched at a coarser resolution
SMALLEST = 16  # a field is never averaged to fewer pixels a side


class Crop(NamedTuple):
    """A crop of a training image, and how it is turned to lie as the field does."""

    image: int
    top: int
    left: int
    turns: int
    mirrored: bool


@dataclass(frozen=True, slots=True)
class Match:
    """A crop, and how well it fits.

    Attributes:
        crop: where.
        ncc: normalised cross-correlation with the field, above 0 up to 1.
    """

    crop: Crop
    ncc: float

    @property
    def residual(self) -> float:
        """What brightness and contrast cannot explain, from 0 (a copy) to 1 (nothing in common)."""
        return math.sqrt(max(0.0, 1 - self.ncc**2))


def turned(pixels: NDArray[Any], turns: int, mirrored: bool) -> NDArray[Any]:
    """A crop ``(..., h, w)`` laid as its field lies: quarter turns counter-clockwise, then left for right."""
    found = np.rot90(pixels, turns, axes=(-2, -1))
    return found[..., ::-1] if mirrored else found


def turned_back(pixels: NDArray[Any], turns: int, mirrored: bool) -> NDArray[Any]:
    """The inverse of ``turned``."""
    return np.rot90(pixels[..., ::-1] if mirrored else pixels, -turns, axes=(-2, -1))


def grey_range(images: ImageSet) -> tuple[float, float]:
    """From the 0.1 % to the 99.9 % quantile of the grey levels (of every k-th pixel, where there are millions).

    Where these are equal, as in images with few bright points, it is the smallest and the largest level.
    """
    step = 1 + sum(picture.size[0] * picture.size[1] for picture in images) // 1_000_000
    levels = np.concatenate([picture.grey.ravel()[::step] for picture in images])
    low, high = np.quantile(levels, (0.001, 0.999))
    if low == high:
        low, high = min(picture.grey.min() for picture in images), max(picture.grey.max() for picture in images)
    return float(low), float(high)


def nearest_training(
    training: ImageSet,
    fields: Grey,
    *,
    places: int,
    binning: int | None = None,
    progress: Callable[[int], None] | None = None,
) -> list[list[Match]]:
    """The training crops that are most like each field, the best first, at places that differ.

    Args:
        training: images with contrast, of any sizes; one without room for a field, turned or not, is passed over.
        fields: grey levels ``(n, h, w)``, each with contrast.
        places: how many matches at most for a field. Two crops that overlap by more than half along both sides are
            one place, in whatever way they are turned.
        binning: pixels a side that are averaged for the search; chosen by the size of the work where None.
        progress: told after each few fields how many are done.

    Returns:
        For each field its matches: at least one, if a training image has room for it.
    """
    low, high = grey_range(training)
    images = [((p.grey - (low + high) / 2) / (high - low)).astype(np.float32) for p in training]
    size = (fields.shape[1], fields.shape[2])
    binning = binning or _binning(images, len(fields), size)
    searches = [_Search(images, shape, symmetries, binning) for shape, symmetries in _by_shape(size)]
    found = []
    for first in range(0, len(fields), AT_A_TIME):
        batch = fields[first : first + AT_A_TIME]
        candidates = np.concatenate([search(batch) for search in searches], axis=1)  # (n, c, 6)
        for field, of_field in zip(batch, candidates, strict=True):
            best = of_field[np.argsort(-of_field[:, 0])[:CANDIDATES], 1:].astype(int)
            crops = [Crop(i, top, left, turns, bool(mirrored)) for i, top, left, turns, mirrored in best.tolist()]
            matches = [_refined(images[crop.image], field, crop, binning) for crop in crops]
            found.append(_apart(matches, places, size))
        if progress:
            progress(len(found))
    return found


def _binning(images: Sequence[NDArray[np.float32]], count: int, size: tuple[int, int]) -> int:
    """1, or the smallest power of two that brings the work below the limit, as far as the fields allow."""
    work = count * len(SYMMETRIES) * sum(image.size for image in images)
    binning = 1
    while work / binning**2 > WORK and binning < 8 and min(size) // (2 * binning) >= SMALLEST:
        binning *= 2
    return binning


def _by_shape(size: tuple[int, int]) -> list[tuple[tuple[int, int], list[Symmetry]]]:
    """Shapes that a field takes in the training images, and the symmetries under which it does."""
    if size[0] == size[1]:
        return [(size, list(SYMMETRIES))]
    return [
        (size, [(turns, mirrored) for turns, mirrored in SYMMETRIES if turns % 2 == 0]),
        (size[::-1], [(turns, mirrored) for turns, mirrored in SYMMETRIES if turns % 2 == 1]),
    ]


def _binned(grey: NDArray[Any], binning: int) -> Grey:
    """Means over squares of ``binning`` pixels a side; what is left at the far ends falls away."""
    rows, columns = grey.shape[0] // binning, grey.shape[1] // binning
    squares = grey[: rows * binning, : columns * binning].reshape(rows, binning, columns, binning)
    means: Grey = squares.mean(axis=(1, 3), dtype=np.float64)
    return means


class _Tile(NamedTuple):
    image: int
    top: int
    left: int
    spectrum: Tensor  # (n, n // 2 + 1)
    weight: Tensor  # (v, v') one over the contrast of the crop at each place; zero where there is none


class _Search:
    """Correlates fields of one shape with all training images. The spectra of these are computed once."""

    def __init__(
        self,
        images: Sequence[NDArray[np.float32]],
        shape: tuple[int, int],
        symmetries: Sequence[Symmetry],
        binning: int,
    ) -> None:
        self.symmetries, self.binning = symmetries, binning
        self.size = height, width = shape[0] // binning, shape[1] // binning
        fitting = [i for i, g in enumerate(images) if g.shape[0] >= shape[0] and g.shape[1] >= shape[1]]
        # Tiles of four fields waste little on their borders; no image needs more than its own size.
        most = max((max(images[i].shape) // binning for i in fitting), default=1)
        self.side = next_fast_len(min(4 * max(self.size), most), real=True)
        self.valid = self.side - height + 1, self.side - width + 1
        self.tiles = [tile for i in fitting for tile in self._tiles(i, _binned(images[i], binning))]

    def _tiles(self, image: int, grey: Grey) -> Iterator[_Tile]:
        contrast = _contrast(grey, self.size)
        flat = contrast < FLAT * math.sqrt(self.size[0] * self.size[1])
        weights = np.where(flat, 0.0, 1 / np.where(flat, 1.0, contrast))
        for top in range(0, weights.shape[0], self.valid[0]):
            for left in range(0, weights.shape[1], self.valid[1]):
                tile = torch.from_numpy(grey[top : top + self.side, left : left + self.side]).float()
                weight = np.zeros(self.valid, dtype=np.float32)
                part = weights[top : top + self.valid[0], left : left + self.valid[1]]
                weight[: part.shape[0], : part.shape[1]] = part
                spectrum = torch.fft.rfft2(tile, s=(self.side, self.side))
                yield _Tile(image, top, left, spectrum, torch.from_numpy(weight))

    def __call__(self, fields: Grey) -> NDArray[np.float64]:
        """Where each field fits best in each window of its size: ``(n, c, 6)`` ncc, image, top, left and symmetry."""
        if not self.tiles:
            return np.empty((len(fields), 0, 6))
        turned = [_binned(turned_back(field, *s), self.binning) for field in fields for s in self.symmetries]
        templates = torch.from_numpy(np.stack([_normalised(template) for template in turned])).float()
        spectra = torch.fft.rfft2(templates, s=(self.side, self.side)).conj()
        return np.concatenate([self._best(tile, spectra, len(fields)) for tile in self.tiles], axis=1)

    def _best(self, tile: _Tile, spectra: Tensor, count: int) -> NDArray[np.float64]:
        products = torch.fft.irfft2(spectra * tile.spectrum, s=(self.side, self.side))
        ncc = products[:, : self.valid[0], : self.valid[1]] * tile.weight
        # A window has room for about one copy of the field, so its best place is enough.
        window = (min(self.size[0], self.valid[0]), min(self.size[1], self.valid[1]))
        best, place = torch.nn.functional.max_pool2d(ncc[:, None], window, ceil_mode=True, return_indices=True)
        best, place = best.reshape(count, -1), place.reshape(count, -1)
        rows = np.empty((*best.shape, 6))
        rows[..., 0] = best.numpy()
        rows[..., 1] = tile.image
        rows[..., 2] = self.binning * (tile.top + (place // self.valid[1]).numpy())
        rows[..., 3] = self.binning * (tile.left + (place % self.valid[1]).numpy())
        rows[..., 4:] = np.repeat(np.array(self.symmetries), best.shape[1] // len(self.symmetries), axis=0)
        return rows


def _contrast(grey: Grey, size: tuple[int, int]) -> Grey:
    """|g - mean g| of the crop at each place, from running sums."""
    height, width = size

    def sums(values: Grey) -> Grey:
        running = np.zeros((values.shape[0] + 1, values.shape[1] + 1))
        running[1:, 1:] = values.cumsum(axis=0).cumsum(axis=1)
        found: Grey = (
            running[height:, width:]
            - running[:-height, width:]
            - running[height:, :-width]
            + running[:-height, :-width]
        )
        return found

    squares = sums(grey**2) - sums(grey) ** 2 / (height * width)
    found: Grey = np.sqrt(np.maximum(squares, 0.0))
    return found


def _normalised(field: Grey) -> Grey:
    """Mean 0 and length 1."""
    centred = field - field.mean()
    found: Grey = centred / max(float(np.sqrt((centred**2).sum())), 1e-300)
    return found


def _refined(image: NDArray[np.float32], field: Grey, found: Crop, binning: int) -> Match:
    """The place of the crop to the pixel, and its ncc in double precision."""
    template = _normalised(turned_back(field, found.turns, found.mirrored))
    height, width = template.shape
    top, left = min(found.top, image.shape[0] - height), min(found.left, image.shape[1] - width)
    if binning > 1:
        above, before = max(0, top - binning), max(0, left - binning)
        region = image[above : top + binning + height, before : left + binning + width].astype(np.float64)
        products = fftconvolve(region - region.mean(), template[::-1, ::-1], mode="valid")
        fit = products / np.maximum(_contrast(region, (height, width)), FLAT)
        down, right = np.unravel_index(int(fit.argmax()), fit.shape)
        top, left = above + int(down), before + int(right)
    crop = image[top : top + height, left : left + width].astype(np.float64)
    ncc = float((template * _normalised(crop)).sum()) if crop.std() >= FLAT else 0.0
    return Match(found._replace(top=top, left=left), min(1.0, ncc))


def _apart(matches: list[Match], places: int, size: tuple[int, int]) -> list[Match]:
    """The best matches at places that differ."""
    kept: list[Match] = []
    for match in sorted(matches, key=lambda m: -m.ncc):
        if len(kept) == places:
            break
        if not any(
            match.crop.image == other.crop.image
            and abs(match.crop.top - other.crop.top) < size[0] / 2
            and abs(match.crop.left - other.crop.left) < size[1] / 2
            for other in kept
        ):
            kept.append(match)
    return kept
