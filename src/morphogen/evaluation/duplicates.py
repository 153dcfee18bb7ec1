"""Images of a set that show the same thing: identical ones, and those that overlap, shifted, flipped or turned.

**Identical** are images with the same pixels, also flipped or turned by a quarter. They have the same sums of grey
levels, plain and with weights that those symmetries leave alone (a hash of the squared distances from either middle
line), in whole numbers; others agree in both by chance once in 2^40 or so.

**Near duplicates** share a part of their field of view: two photographs of one place, crops of one image, an augmented
copy with other brightness, noise or compression. All images are made smaller by one factor (a Gaussian against
aliasing, so that a shift by a part of a small pixel changes little), freed of what varies slowly (lighting) and
divided by their local contrast. Small images f and g of N pixels, laid over each other with a shift s, have on their
overlap of a(s) pixels

    r(s) = sum f(x) g(x + s) / (a(s) sd_f sd_g),

for all shifts at once from one product of Fourier transforms, for each of the eight symmetries of the square. Images
that show different places have r ~ 0 with about

    n(s) = a(s) / A_2,    A_2 = sum over lags of rho_f rho_g

independent pieces in the overlap (rho: the autocorrelation of small images, averaged over the set; and where a pair
comes into question, of the two overlaps themselves, since a long straight seam is one piece and not many), so the
probability that chance gives r or more is that of Student's t = r sqrt((n - 2) / (1 - r^2)) with n - 2 degrees of
freedom. A pair is reported where this probability, times all shifts, symmetries and pairs that were tried, is below
``FALSE_ALARMS``: fewer than one set in a hundred without near duplicates gets one reported. And where r is at least
``LIKE``, since images can be alike beyond chance without showing one place; and where, of three by three parts of the
overlap, the middle one by likeness has ``LIKE_IN_PARTS``: a bright seam or a frame makes a few parts alike, and one
place makes all.

Overlaps below ``LEAST_OVERLAP`` of the smaller image are not looked at. Images that are scaled against each other are
not found, and neither are slices of one volume compared (``grey_correlation`` says how alike those are). What is
found is then sought at full resolution by ``nearest_training``, as copies of training images are.
"""

import math
from collections import defaultdict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import fft, stats
from scipy.ndimage import gaussian_filter

from morphogen.evaluation.nearest_training import FLAT, SYMMETRIES, nearest_training, turned
from morphogen.images.image_set import Pictures
from morphogen.images.picture import Picture

SMALL_SIDE = 64
"""Pixels along the longer side of the largest image, as it is compared."""

LEAST_OVERLAP = 0.25
"""Share of the smaller of two images that they must have in common."""

FALSE_ALARMS = 0.01
"""Expected number of pairs that chance adds to a set."""

LIKE = 0.6
"""Least correlation on the overlap."""

LIKE_IN_PARTS = 0.4
"""Least median correlation over the parts of the overlap."""

SMOOTH = 4.0
"""Small pixels: what varies over more than this is taken for lighting."""

SMALLEST = 16
"""Small pixels along the shorter side of an image that can be compared."""


@dataclass(frozen=True, slots=True, eq=False)
class Small:
    """An image as it is compared.

    Attributes:
        grey: ``(height, width)``, mean 0 and about 1 in standard deviation everywhere; none where it shows nothing.
        factor: how many pixels of the image one of these stands for, along each side.
        group: two images of one group are not compared, "" for none.
    """

    grey: NDArray[np.float32] | None
    factor: int
    group: str = ""


@dataclass(frozen=True, slots=True)
class NearPair:
    """Two images that overlap.

    Attributes:
        first: number of one image.
        second: number of the other, larger than the first.
        likeness: correlation on the overlap, from ``LIKE`` to 1.
        overlap: the overlap as a share of the smaller image.
        down: rows by which the second, laid as the first lies, is shifted against it.
        right: columns.
        turns: quarter turns counter-clockwise that lay the second as the first lies.
        mirrored: whether it is mirrored, left for right, after that.
        chance: how many such pairs chance would give in this set.
    """

    first: int
    second: int
    likeness: float
    overlap: float
    down: int
    right: int
    turns: int
    mirrored: bool
    chance: float


def content_key(picture: Picture) -> tuple[int | str, ...]:
    """What is the same for pictures with the same pixels, however they are flipped and turned by quarters."""
    height, width = picture.size
    a = (2 * np.arange(height) - (height - 1)) ** 2
    b = (2 * np.arange(width) - (width - 1)) ** 2
    both, product = (a[:, None] + b).astype(np.uint64), (a[:, None] * b).astype(np.uint64)
    weight = (both * np.uint64(2654435761)) ^ (product * np.uint64(0x9E3779B97F4A7C15))
    weight = (weight ^ (weight >> np.uint64(29))) & np.uint64(0xFFFFF)
    pixels = np.ascontiguousarray(picture.pixels)
    whole = (pixels.view(np.uint32) if pixels.dtype == np.float32 else pixels).astype(np.uint64)
    sums = [int(n) for channel in whole for n in (channel.sum(), (channel * weight).sum())]  # modulo 2^64
    return (min(height, width), max(height, width), pixels.dtype.name, *sums)


def identical(keys: Sequence[Hashable]) -> list[tuple[int, ...]]:
    """Groups of two or more images with one key, by their numbers."""
    groups = defaultdict(list)
    for number, key in enumerate(keys):
        groups[key].append(number)
    return [tuple(numbers) for numbers in groups.values() if len(numbers) > 1]


def small(picture: Picture, factor: int, group: str = "") -> Small:
    """A picture as it is compared.

    Args:
        picture: of any size.
        factor: by which all pictures of the set are made smaller.
        group: see ``Small``.
    """
    grey = picture.grey.astype(np.float32)
    if factor > 1:
        grey = gaussian_filter(grey, 0.6 * factor)[factor // 2 :: factor, factor // 2 :: factor]
    if min(grey.shape) < SMALLEST:
        return Small(None, factor, group)
    detail = grey - gaussian_filter(grey, SMOOTH)
    spread = float(detail.std())
    if spread <= FLAT * max(float(np.ptp(grey)), 1e-12) or spread == 0:
        return Small(None, factor, group)
    local = np.sqrt(gaussian_filter(detail**2, SMOOTH) + (0.3 * spread) ** 2)
    even = detail / local
    even -= even.mean()
    return Small((even / even.std()).astype(np.float32), factor, group)


def factor_for(longest: int) -> int:
    """By which factor a set is made smaller whose largest image has that many pixels along its longer side."""
    return max(1, math.ceil(longest / SMALL_SIDE))


def near_duplicates(images: Sequence[Small], *, between: int | None = None) -> list[NearPair]:
    """Pairs that overlap, the most alike first.

    Args:
        images: all made smaller by one factor.
        between: only pairs of an image before this number with one from it on; all pairs where None.
    """
    shown = [i for i, one in enumerate(images) if one.grey is not None]
    pairs = [
        (i, j)
        for k, i in enumerate(shown)
        for j in shown[k + 1 :]
        if (between is None or i < between <= j) and not (images[i].group and images[i].group == images[j].group)
    ]
    if not pairs:
        return []
    side = fft.next_fast_len(2 * max(max(g.shape) for g in (_grey(images[i]) for i in shown)), real=True)
    spectra = {i: fft.rfft2(_grey(images[i]), (side, side)) for i in shown}
    ways = {i: np.stack([fft.rfft2(turned(_grey(images[i]), *s), (side, side)) for s in SYMMETRIES]) for i in shown}
    pieces = _pieces(spectra, images, side)
    tried = 0.0
    found = []
    for i, j in pairs:
        sums = fft.irfft2(spectra[i] * ways[j].conj(), (side, side))  # (8, side, side): at the shift of j against i
        for k, symmetry in enumerate(SYMMETRIES):
            best, overlap, count = _best(sums[k], _grey(images[i]).shape, turned(_grey(images[j]), *symmetry).shape)
            tried += count
            if best is not None and best[0] >= LIKE and _in_parts(images[i], images[j], symmetry, *best[1:]):
                found.append((i, j, symmetry, *best, overlap))
    kept: dict[tuple[int, int], NearPair] = {}
    for i, j, (turns, mirrored), likeness, down, right, overlap in found:
        f, g = _overlap(images[i], images[j], (turns, mirrored), down, right)
        n = max(min(f.size / pieces, _independent(f, g)), 3.0)
        t = likeness * math.sqrt((n - 2) / max(1 - likeness**2, 1e-12))
        chance = float(stats.t.sf(t, n - 2)) * tried / pieces  # shifts within a piece are one try
        pair = NearPair(
            i,
            j,
            min(1.0, likeness),
            overlap,
            down * images[i].factor,
            right * images[i].factor,
            turns,
            mirrored,
            chance,
        )
        if chance < FALSE_ALARMS and ((i, j) not in kept or kept[i, j].likeness < pair.likeness):
            kept[i, j] = pair
    return sorted(kept.values(), key=lambda pair: -pair.likeness)


def residual_of(first: Picture, second: Picture, pair: NearPair) -> float | None:
    """What brightness and contrast cannot explain, at full resolution: 0 for an exact copy, 1 for nothing in common.

    Of the middle of the overlap, in the first picture, sought in the second; see ``nearest_training``. None where the
    overlap is too narrow or shows nothing.
    """
    height, width = first.size
    rows, columns = second.size if pair.turns % 2 == 0 else second.size[::-1]
    top, bottom = max(0, pair.down), min(height, pair.down + rows)
    left, right = max(0, pair.right), min(width, pair.right + columns)
    side = min(128, (bottom - top) * 3 // 4, (right - left) * 3 // 4, *second.size)
    if side < 16:
        return None
    field = first.grey[(top + bottom - side) // 2 :, (left + right - side) // 2 :][:side, :side]
    if float(field.std()) <= FLAT * max(float(np.ptp(first.grey)), 1e-12) or float(np.ptp(second.grey)) == 0:
        return None
    matches = nearest_training(Pictures([second]), field[None], places=1)[0]
    return matches[0].residual if matches else None


def _grey(one: Small) -> NDArray[np.float32]:
    assert one.grey is not None
    return one.grey


def _overlap(
    one: Small, other: Small, symmetry: tuple[int, bool], down: int, right: int
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """What two small images have in common, as either has it."""
    f, g = _grey(one), turned(_grey(other), *symmetry)
    top, left = max(0, down), max(0, right)
    bottom, end = min(f.shape[0], down + g.shape[0]), min(f.shape[1], right + g.shape[1])
    return f[top:bottom, left:end], g[top - down : bottom - down, left - right : end - right]


def _independent(f: NDArray[np.float32], g: NDArray[np.float32]) -> float:
    """N of two overlaps, from their own autocorrelations: a^2 C_f(0) C_g(0) / sum over lags of pairs C_f C_g."""
    height, width = f.shape
    size = (2 * height, 2 * width)
    sums = [fft.irfft2(np.abs(fft.rfft2(p - p.mean(), size)) ** 2, size) for p in (f, g)]
    down, right = (np.minimum(np.arange(2 * n), 2 * n - np.arange(2 * n)) for n in (height, width))
    pairs = np.maximum((height - down)[:, None] * (width - right), 1)
    total = float(np.sum(sums[0] * sums[1] / pairs))
    return float(sums[0][0, 0] * sums[1][0, 0]) / total if total > 0 else 0.0


def _in_parts(one: Small, other: Small, symmetry: tuple[int, bool], down: int, right: int) -> bool:
    """Whether the overlap is alike all over."""
    f, g = _overlap(one, other, symmetry, down, right)
    found = []
    for rows in np.array_split(np.arange(f.shape[0]), 3):
        for columns in np.array_split(np.arange(f.shape[1]), 3):
            a, b = f[np.ix_(rows, columns)], g[np.ix_(rows, columns)]
            norm = math.sqrt(float((a**2).sum()) * float((b**2).sum()))
            found.append(float((a * b).sum()) / norm if norm > 0 else 0.0)
    return float(np.median(found)) >= LIKE_IN_PARTS


def _pieces(spectra: dict[int, NDArray[np.complex64]], images: Sequence[Small], side: int) -> float:
    """A_2 in small pixels: the sum over lags of the squared mean autocorrelation."""
    total = np.zeros((side, side))
    for i, spectrum in spectra.items():
        total += fft.irfft2(np.abs(spectrum) ** 2, (side, side)) / _grey(images[i]).size
    rho = total / total[0, 0]
    reach = int(4 * SMOOTH)  # nothing is left beyond what was taken for lighting
    near = np.r_[0 : reach + 1, side - reach : side]
    return max(1.0, float(np.sum(rho[np.ix_(near, near)] ** 2)))


def _best(
    sums: NDArray[np.float32], one: tuple[int, ...], other: tuple[int, ...]
) -> tuple[tuple[float, int, int] | None, float, int]:
    """The shift with the most significant likeness, its overlap, and how many shifts were looked at."""
    side = sums.shape[0]
    down, right = (np.r_[0:n, -(m - 1) : 0] for n, m in zip(one, other, strict=True))
    rows = np.minimum(one[0], down + other[0]) - np.maximum(0, down)
    columns = np.minimum(one[1], right + other[1]) - np.maximum(0, right)
    area = rows[:, None] * columns[None, :]
    allowed = area >= LEAST_OVERLAP * min(math.prod(one), math.prod(other))
    if not allowed.any():
        return None, 0.0, 0
    at = sums[np.ix_(down % side, right % side)]
    score = np.where(allowed, at / np.sqrt(np.maximum(area, 1)), -np.inf)
    y, x = np.unravel_index(int(score.argmax()), score.shape)
    likeness = float(at[y, x] / area[y, x])
    share = float(area[y, x]) / min(math.prod(one), math.prod(other))
    return (likeness, int(down[y]), int(right[x])), share, int(allowed.sum())


def symmetry_in_words(turns: int, mirrored: bool) -> str:
    """How the second of a pair lies to the first: "mirrored", "turned by 90°", "" for neither."""
    parts = [f"turned by {90 * turns}°"] * (turns > 0) + ["mirrored"] * mirrored
    return " and ".join(parts)
