"""Fibers in cross-section: how thick they are, how oblique, and how many to the area.

**Told apart.** Sections that touch are cut along the watershed of the distance to the outside (Beucher and Lantuejoul
1979; scikit-image's flooding, 8 neighbours, every pixel of the phase goes to one section). Each section grows from one
marker: a maximum of the distance d that stands above the neck to any higher one by more than

    h = max(half a pixel, d / 10)

(the extended maxima of Soille, Morphological Image Analysis, 2003, with a height that grows with the section). Half a
pixel is what the grid does to the distance, a tenth is how rough an outline may be; two discs that touch have a neck
far below both. Sections of fewer than ``SMALLEST_SECTION`` pixels are taken for noise.

**Measured.** A cylinder of diameter D cut obliquely shows an ellipse whose short axis is D. With the pixel count A of a
section and the eigenvalues l1 >= l2 of the covariance of its pixel centres,

    aspect ratio q = sqrt(l1 / l2),     diameter D = sqrt(4 A / (pi q)),

the short axis of the ellipse that has the area and the aspect ratio of the section. Area instead of 4 sqrt(l2), because
the area of a section cut off its neighbour errs less than its moments. A pixel that is in the phase when its centre is
gives sums over a lattice, which are unbiased for the integrals, so the moment of a square pixel, 1/12, is not added to
the eigenvalues (as for a shape that is made of squares; it would make small sections rounder). The outline on the
grid makes the section of a straight fiber a little oblique: q of packed discs is about 1.03 at 11 pixels across, 1.01
at 22 and 1.12 at 5; diameters are 1.6, 0.3 and 5 % too small there.

**Counted without bias.** A section that touches the edge of the field is cut off, and a large one touches it more often
than a small one. Only whole sections are measured, each weighed by the inverse of its chance to lie inside (Miles 1974;
Lantuejoul 1980), with its extents h and w in pixels in a field of H x W,

    1 / ((H - h - 1) (W - w - 1));

the sum of the weights over the area of a pixel is the number density, and means are weighted means. The spread is the
weighted standard deviation between fibers times sqrt(n / (n - 1)).

Valid for bundles seen end on. In a section along the fibers "diameters" are those of what the watershed makes of them.
"""

import math
from dataclasses import dataclass
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.morphology import local_maxima, reconstruction
from skimage.segmentation import watershed

from morphogen.evaluation.descriptors.descriptor import CurveReading, Readings, Scalar
from morphogen.evaluation.section import Section

ROUGHNESS = 0.1
"""Share of its distance to the outside by which a marker stands above the neck to the next."""

SMALLEST_SECTION = 5
"""Pixels; fewer are noise and have no aspect ratio to speak of."""

GRID_RATIO = 1.05
"""From one diameter of the curve to the next."""

EIGHT_NEIGHBOURS = np.ones((3, 3), dtype=np.bool_)

TOO_FEW = "fewer than two whole sections lie in the field"
NONE_WHOLE = "no section lies wholly in the field"


@dataclass(frozen=True, slots=True, eq=False)
class FiberSections:
    """The sections of fibers in one field, told apart; lengths in the unit of the field.

    Attributes:
        labels: ``(height, width)``, number of the section of each pixel from 1, 0 outside.
        centres: ``(n, 2)``, y and x of the centroids from the corner of the field; of what can be seen, where cut off.
        diameters: ``(n,)``, short axes.
        aspect_ratios: ``(n,)``, long over short axis.
        whole: ``(n,)``, whether the section keeps clear of the edge of the field.
        weights: ``(n,)``, whole sections for each position that they could have, so the sum is the number per pixel;
            0 where cut off.
    """

    labels: NDArray[np.int32]
    centres: NDArray[np.float64]
    diameters: NDArray[np.float64]
    aspect_ratios: NDArray[np.float64]
    whole: NDArray[np.bool_]
    weights: NDArray[np.float64]

    @property
    def long_axes(self) -> NDArray[np.float64]:
        """``(n,)``."""
        return self.diameters * self.aspect_ratios


def fiber_sections(section: Section) -> FiberSections:
    """The sections of fibers in a field; found once for each ``Section``.

    Args:
        section: a field whose phase is the fibers.
    """
    if section not in _FOUND:
        _FOUND[section] = _measured(_told_apart(section), section.pixel)
    return _FOUND[section]


@dataclass(frozen=True, slots=True)
class FiberDiameters:
    """Diameters, their spread and distribution, aspect ratios, and the number density."""

    name: str = "fiber sections"
    unit: str = "µm"
    definition: str = (
        "Short axes of the ellipses with the area and the second moments of the fibers' sections, of whole sections"
        " weighed by the inverse of their chance to lie inside the field."
    )

    def __call__(self, section: Section) -> Readings:
        """See ``Descriptor``."""
        unit, per_area = section.unit, f"1/{section.unit}²"
        sections = fiber_sections(section)
        whole = int(sections.whole.sum())
        grid = diameter_grid(section.phase.shape, section.pixel)
        cumulative = CurveReading("diameter", unit, "", grid, None, TOO_FEW)
        diameter = spread = Scalar(unit, None, TOO_FEW)
        aspect_ratio = Scalar("", None, TOO_FEW)
        if whole >= 2:
            share = sections.weights / sections.weights.sum()
            mean = float(share @ sections.diameters)
            variance = float(share @ (sections.diameters - mean) ** 2) * whole / (whole - 1)
            diameter, spread = Scalar(unit, mean), Scalar(unit, math.sqrt(variance))
            aspect_ratio = Scalar("", float(share @ sections.aspect_ratios))
            in_order = np.argsort(sections.diameters)
            up_to = np.concatenate([[0.0], np.cumsum(share[in_order])])
            y = up_to[np.searchsorted(sections.diameters[in_order], grid, side="right")]
            cumulative = CurveReading("diameter", unit, "", grid, y)
        # No fiber at all is a density of 0; fibers of which none fits inside have a density that cannot be seen.
        density = Scalar(per_area, float(sections.weights.sum()) / math.prod(section.pixel))
        if whole == 0 and len(sections.whole) > 0:
            density = Scalar(per_area, None, NONE_WHOLE)
        return Readings(
            {
                "fiber diameter": diameter,
                "fiber diameter spread": spread,
                "fiber aspect ratio": aspect_ratio,
                "fiber number density": density,
            },
            {"fiber diameters up to": cumulative},
        )


DESCRIPTOR = FiberDiameters()


def diameter_grid(size: tuple[int, ...], pixel: tuple[float, float]) -> NDArray[np.float64]:
    """Diameters in equal ratios, from two pixels (the smaller side) to half of the shorter side of the field.

    Args:
        size: height and width in pixels.
        pixel: height and width of a pixel; the diameters come in the same unit.
    """
    least, most = 2 * min(pixel), min(size[0] * pixel[0], size[1] * pixel[1]) / 2
    steps = math.floor(math.log(max(most / least, 1.0)) / math.log(GRID_RATIO) + 1e-9)
    grid: NDArray[np.float64] = least * GRID_RATIO ** np.arange(steps + 1, dtype=np.float64)
    return grid


_FOUND: WeakKeyDictionary[Section, FiberSections] = WeakKeyDictionary()


def _told_apart(section: Section) -> NDArray[np.int32]:
    """Number of the section of each pixel, 0 outside and in noise."""
    if not section.has_both_phases:
        # There is no outside to measure a distance to: all of the field, or nothing, is one section.
        return section.phase.astype(np.int32)
    d = section.distance
    lowered = np.maximum(d - np.maximum(min(section.pixel) / 2, ROUGHNESS * d), 0.0)
    tops = local_maxima(reconstruction(lowered, d, footprint=EIGHT_NEIGHBOURS), connectivity=2) & section.phase
    markers, _ = ndimage.label(tops, structure=EIGHT_NEIGHBOURS)
    labels = watershed(-d, markers, mask=section.phase, connectivity=2)
    area = np.bincount(labels.ravel())
    kept = area >= SMALLEST_SECTION
    kept[0] = False
    number = (np.cumsum(kept) * kept).astype(np.int32)
    found: NDArray[np.int32] = number[labels]
    return found


def _measured(labels: NDArray[np.int32], pixel: tuple[float, float]) -> FiberSections:
    rows, columns = np.nonzero(labels)
    of = labels[rows, columns] - 1
    count = int(of.max()) + 1 if len(of) else 0
    pixels = np.bincount(of, minlength=count)
    y, x = (rows + 0.5) * pixel[0], (columns + 0.5) * pixel[1]

    def mean(values: NDArray[np.floating]) -> NDArray[np.float64]:
        return np.bincount(of, weights=values, minlength=count) / pixels

    cy, cx = mean(y), mean(x)
    dy, dx = y - cy[of], x - cx[of]
    yy, xx, yx = mean(dy * dy), mean(dx * dx), mean(dy * dx)
    half_trace, half_gap = (yy + xx) / 2, np.hypot((yy - xx) / 2, yx)
    # A line one pixel wide has no short axis; it is given that of a pixel.
    least = min(pixel) ** 2 / 12
    q = np.sqrt(np.maximum(half_trace + half_gap, least) / np.maximum(half_trace - half_gap, least))

    extents = np.array([[s.start, s.stop] for box in ndimage.find_objects(labels) for s in box]).reshape(count, 2, 2)
    size = np.array(labels.shape)
    clear = (extents[:, :, 0] > 0) & (extents[:, :, 1] < size)
    whole: NDArray[np.bool_] = np.logical_and.reduce(clear, axis=1)
    positions = np.prod(size - (extents[:, :, 1] - extents[:, :, 0]) - 1, axis=1)
    return FiberSections(
        labels=labels,
        centres=np.stack([cy, cx], axis=1),
        diameters=np.sqrt(4 * pixels * math.prod(pixel) / (math.pi * q)),
        aspect_ratios=q,
        whole=whole,
        weights=np.where(whole, 1 / np.maximum(positions, 1), 0.0),
    )
