"""Rows, columns and rings that are brighter or darker than their neighbours all along: traces of an instrument.

A detector pixel with a gain of its own leaves a stripe in a scan, and a ring about the axis of rotation in a slice of a
tomogram (Sijbers and Postnov, Phys. Med. Biol. 49, N247, 2004; Muench et al., Optics Express 17, 8567, 2009). The
specimen has lines too, but does not keep one excess over the whole length of a row, column or circle. With g averaged
over w lines across, the pixel at place t along line i stands out from its neighbours by

    D_t(i) = g_t(i) - (g_t(i - w) + g_t(i + w)) / 2.

Most pixels lie where the specimen is even, and few on its edges; so D is cut off at ``REACH`` of its own standard
deviations (from its median, so that edges don't set it) and averaged over each of K bands: parts of a row or column,
sectors of a circle. Of these means d_k(i)

    m = mean_k d_k,    V = var_k d_k,    z = m / max(sqrt(V f / K), s),

    f = 1 + 2 max(0, c_1 / V + 1 / K),   c_1 = mean_k (d_k - m)(d_(k+1) - m),   s = 1.4826 median_i |m_i|.

f widens the error where neighbouring bands are alike, since structures reach over both (1/K is what taking m away does
to c_1); s does where lines differ everywhere, as in a texture that runs along them. V is the larger of that of the line
and the mean of it over ``NEIGHBOURHOOD`` lines. In all bands but one at most d has the sign of m. And the line stands
out to either side, since an edge (of the specimen, of a frame) does so to one side alone: over the band means of g, the
excess over each neighbour is at least a quarter of m, of its sign. Such a line is found where Student's t of (K - 1)
``POOLED`` degrees of freedom is beyond z with a probability below

    share / (3 kinds x lines x widths),

so that of images without artefacts at most ``share`` have any (Bonferroni). That is so where bands are independent or
as alike as their neighbours are: ``benchmarks/artefacts.py`` counts it. A straight thing in the specimen that runs
exactly along a row or a column from edge to edge is not told from a stripe. Rings are sought about one centre: crops of
a slice have their axis elsewhere. Circles are read off the image by linear interpolation.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import stats
from scipy.ndimage import map_coordinates, uniform_filter1d

Kind = Literal["row", "column", "ring"]

SHARE = 0.01
"""Share of images without artefacts in which one is found, at most."""

WIDTHS = (1, 2, 4)
"""Widths of lines that are sought, in pixels."""

BANDS = 8
"""Parts of a row or a column."""

SECTORS = 12
"""Parts of a circle."""

SMALLEST_SIDE = 64
"""Pixels along the shorter side, below which nothing can be told."""

FIRST_RADIUS = 16
"""Pixels: a sector of a smaller circle is too short."""

REACH = 1.5
"""Standard deviations at which what one pixel says is cut off."""

NEIGHBOURHOOD = 33
"""Lines over which the variance between bands is averaged."""

POOLED = 6
"""Degrees of freedom that the neighbourhood gives for each that a line has: fewer than its lines, which are alike."""


@dataclass(frozen=True, slots=True)
class Line:
    """A line that stands out.

    Attributes:
        kind: what it is.
        place: row, column or radius in pixels, of its middle.
        width: of the search in which it stands out most, in pixels.
        excess: its grey level less that of its neighbours, in the mean along it.
        score: how far it stands out, in standard errors, with the sign of the excess.
    """

    kind: Kind
    place: float
    width: int
    excess: float
    score: float


def stripes_and_rings(
    grey: NDArray[np.floating], *, centre: tuple[float, float] | None = None, share: float = SHARE
) -> list[Line]:
    """Rows, columns and rings that stand out, the most striking of each first.

    Args:
        grey: ``(height, width)``.
        centre: row and column of the centre of rings; the middle of the image by default.
        share: of images without artefacts in which anything is found, at most.

    Returns:
        The lines; none where the image is smaller than ``SMALLEST_SIDE`` or constant.
    """
    if min(grey.shape) < SMALLEST_SIDE or float(np.ptp(grey)) == 0:
        return []
    shown = grey.astype(np.float32)
    return [
        *_standing_out("row", shown.T, BANDS, share),
        *_standing_out("column", shown, BANDS, share),
        *_standing_out("ring", _circles(shown, centre), SECTORS, share, first=FIRST_RADIUS),
    ]


def _circles(grey: NDArray[np.float32], centre: tuple[float, float] | None) -> NDArray[np.float32]:
    """The image along circles, ``(places, radii)``, from ``FIRST_RADIUS`` to the last circle that lies inside."""
    height, width = grey.shape
    row, column = centre or ((height - 1) / 2, (width - 1) / 2)
    last = math.floor(min(row, height - 1 - row, column, width - 1 - column))
    radii = np.arange(FIRST_RADIUS, last + 1, dtype=np.float32)
    # As many places as the middle circle has pixels, the same number in each sector.
    places = SECTORS * max(1, round(math.pi * (FIRST_RADIUS + last) / SECTORS))
    angles = (np.arange(places, dtype=np.float32) + 0.5) * (2 * math.pi / places)
    at = [row + np.sin(angles)[:, None] * radii, column + np.cos(angles)[:, None] * radii]
    found: NDArray[np.float32] = map_coordinates(grey, at, order=1, output=np.float32)
    return found


def _standing_out(kind: Kind, lines: NDArray[np.float32], bands: int, share: float, *, first: int = 0) -> list[Line]:
    """Lines of ``lines`` (places along, lines) that stand out."""
    count = lines.shape[1]
    if count < NEIGHBOURHOOD:
        return []
    # Twice, for either sign.
    beyond = float(stats.t.isf(share / (3 * count * len(WIDTHS)) / 2, (bands - 1) * POOLED))
    found = []
    for width in WIDTHS:
        score, excess = _scores(lines, width, bands, cyclic=kind == "ring")
        for i in np.flatnonzero(np.abs(score) > beyond):
            middle = first + float(i) + (width - 1) / 2
            found.append(Line(kind, middle, width, float(excess[i]), float(score[i])))
    return _apart(found)


def _scores(
    lines: NDArray[np.float32], width: int, bands: int, *, cyclic: bool
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Score and excess of the line that begins at each place, 0 where it has no neighbour on a side: ``(lines,)``."""
    g = lines if width == 1 else uniform_filter1d(lines, width, axis=1, origin=-(width // 2))
    g = g[:, : lines.shape[1] - width + 1]  # g[:, i] is the mean of i, ..., i + width - 1
    inner, before, behind = g[:, width:-width], g[:, : -2 * width], g[:, 2 * width :]
    D = inner - (before + behind) / 2
    reach = REACH * 1.4826 * float(np.median(np.abs(D)))
    edges = np.linspace(0, len(lines), bands + 1).round().astype(int)
    cut = np.clip(D, -reach, reach) if reach > 0 else D
    d = np.stack([cut[a:b].mean(axis=0, dtype=np.float64) for a, b in pairwise(edges)])
    z, m = _tested(d, cyclic=cyclic)
    # What is cut off takes away from a shift of all pixels, too: of the rest, its share of pixels is told.
    m = m / max(float(np.mean(np.abs(D) < reach)), 0.25) if reach > 0 else m
    means = g.mean(axis=0, dtype=np.float64)
    sides = np.minimum(
        np.sign(m) * (means[width:-width] - means[: -2 * width]),
        np.sign(m) * (means[width:-width] - means[2 * width :]),
    )
    score, excess = np.zeros(lines.shape[1]), np.zeros(lines.shape[1])
    score[width : width + len(z)] = np.where(sides >= np.abs(m) / 4, z, 0.0)
    excess[width : width + len(z)] = m
    return score, excess


def _tested(d: NDArray[np.float64], *, cyclic: bool) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Z and m of ``d`` (K, n)."""
    K = len(d)
    m = d.mean(axis=0)
    e = d - m
    own = (e**2).sum(axis=0) / (K - 1)
    products = e * np.roll(e, -1, axis=0)
    c_1 = (products if cyclic else products[:-1]).mean(axis=0)
    V = uniform_filter1d(own, NEIGHBOURHOOD, mode="nearest")
    c_1 = uniform_filter1d(c_1, NEIGHBOURHOOD, mode="nearest")
    tiny = 1e-12 * (float(np.abs(d).max()) ** 2 + 1e-300)
    f = 1 + 2 * np.maximum(0.0, c_1 / np.maximum(V, tiny) + 1 / K)
    s = 1.4826 * float(np.median(np.abs(m)))
    z = m / np.maximum(np.sqrt(np.maximum(np.maximum(V, own), tiny) * f / K), s)
    steady = (np.sign(d) == np.sign(m)).sum(axis=0) >= K - 1
    return np.where(steady, z, 0.0), m


def _apart(lines: Sequence[Line]) -> list[Line]:
    """The most striking lines; what lies beside one within its width is its flank."""
    kept: list[Line] = []
    for line in sorted(lines, key=lambda found: -abs(found.score)):
        if all(abs(line.place - other.place) > max(line.width, other.width) + 1 for other in kept):
            kept.append(line)
    return kept
