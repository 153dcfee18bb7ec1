"""Chord lengths: how long the straight pieces are that lines cut out of the phase.

Torquato, Random Heterogeneous Materials (2002), sections 2.4 and 6.1; Serra, Image Analysis and Mathematical
Morphology (1982), ch. X. A chord is a run of pixels of the phase on a row (along x) or column (along y), with a
pixel of the other phase at both ends; its length is its number of pixels times their side.

Chords that touch the edge are cut off, and long chords are more often cut than short ones: the mean over whole
chords is too short. Two unbiased counts avoid this, with the lines of W pixels:

    N(n) = (whole chords of n pixels) / (lines (W - n - 1))     chords of n pixels per pixel of line,
    N    = (changes of phase between neighbours) / (2 lines (W - 1))     all chords per pixel of line.

The first is the weighting of Miles (1974) and Lantuejoul: each chord counts inversely to the number of places
in which one of its length would have been seen whole. A chord across the whole field is never seen whole: these
weights alone lose it, and their mean is too short. The second count does not need whole chords: every chord has two
ends, and an end is seen wherever it is. So

    mean chord length = phi / N,     density p(n) = N(n) / (N side),

each the ratio of two unbiased estimates; p is not scaled to an integral of one, and what is missing is the share of
chords longer than the curve. We prefer this to Kaplan and Meier's estimate, whose mean does not exist where the
longest chord is cut. It agrees with the lineal path function: p is its second derivative, p(z) = L''(z) / N.

The mean over both directions divides phi by the mean number of chords per length along x and along y; so does the
density. For an isotropic phase it is pi phi / S_A, with S_A the boundary length per area. In the space between
overlapping discs of radius R chords are exponential, p(l) = exp(-l / m) / m, with mean

    m = pi R / (2 ln(1 / phi)),

since L(z) = phi exp(-2 rho R z) and phi = exp(-rho pi R^2).

Pixels: a chord shorter than a pixel may fall between two centres and be missed. Exponential chords of mean m therefore
have a mean of 1 / (1 - exp(-1/m)) = m + 1/2 + 1/(12 m) pixels; where all are longer than a pixel nothing is added.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from morphogen.evaluation.descriptors.descriptor import CurveReading, Readings, Scalar
from morphogen.evaluation.descriptors.lineal_path import Runs
from morphogen.evaluation.descriptors.two_point_correlation import DIRECTIONS, too_small
from morphogen.evaluation.section import ONE_PHASE, Section

MEAN, DENSITY = "mean chord length", "chord length density"
_DIRECTIONS = DIRECTIONS[:3]


@dataclass(frozen=True, slots=True, eq=False)
class Chords:
    """Chords of one direction, or of the mean of two.

    Attributes:
        number: chords per length of line.
        mean: mean length, or None where no chord ends inside the field.
        lengths: ``(k,)``, those that the density is given at.
        number_density: ``(k,)``, chords per length of line and per chord length.
    """

    number: float
    mean: float | None
    lengths: NDArray[np.float64]
    number_density: NDArray[np.float64]

    @property
    def density(self) -> NDArray[np.float64] | None:
        """Probability density of the length, or None where no chord ends inside the field."""
        return self.number_density / self.number if self.number > 0 else None


def chord_lengths(phase: NDArray[np.bool_], pixel: tuple[float, float] = (1.0, 1.0)) -> Mapping[str, Chords]:
    """Chords of the phase.

    Args:
        phase: ``(height, width)``, at least 4 x 4.
        pixel: height and width of a pixel, in any unit; lengths come in the same.

    Returns:
        "" for both directions together, " along x" and " along y".
    """
    farthest = min(n * side for n, side in zip(phase.shape, pixel, strict=True)) / 2
    along_x, along_y = _along(phase, pixel[1], farthest), _along(phase.T, pixel[0], farthest)
    number = (along_x.number + along_y.number) / 2
    lengths = min(along_x, along_y, key=lambda chords: chords.lengths[0]).lengths
    lengths = lengths[lengths <= min(along_x.lengths[-1], along_y.lengths[-1])]
    at_x, at_y = (np.interp(lengths, chords.lengths, chords.number_density) for chords in (along_x, along_y))
    both = Chords(number, float(phase.mean()) / number if number > 0 else None, lengths, (at_x + at_y) / 2)
    return dict(zip(_DIRECTIONS, (both, along_x, along_y), strict=True))


@dataclass(frozen=True, slots=True)
class ChordLengths:
    """Mean chord lengths, and densities of the length as curves."""

    name: str = "chord lengths"
    unit: str = "µm"
    definition: str = "Length of the straight pieces that lines along x and along y cut out of the phase."

    def __call__(self, section: Section) -> Readings:
        """See ``Descriptor``."""
        unit, per_length = section.unit, f"1/{section.unit}"
        reason = too_small(section.phase.shape)
        if not reason and not section.has_both_phases:
            reason = ONE_PHASE
        if reason:
            nothing = CurveReading("chord length", unit, per_length, np.empty(0), None, reason)
            return Readings(
                {f"{MEAN}{end}": Scalar(unit, None, reason) for end in _DIRECTIONS},
                {f"{DENSITY}{end}": nothing for end in _DIRECTIONS},
            )
        found = chord_lengths(section.phase, section.pixel)
        scalars, curves = {}, {}
        for end, chords in found.items():
            reason = "" if chords.number > 0 else f"no chord{end} ends inside the field"
            scalars[f"{MEAN}{end}"] = Scalar(unit, chords.mean, reason)
            curves[f"{DENSITY}{end}"] = CurveReading(
                "chord length", unit, per_length, chords.lengths, chords.density, reason
            )
        return Readings(scalars, curves)


DESCRIPTOR = ChordLengths()


def _along(phase: NDArray[np.bool_], side: float, farthest: float) -> Chords:
    lines, width = phase.shape
    runs = Runs.of(phase)
    starts, stops = runs.start > 0, runs.stop < width  # whether that end is seen
    ends = np.count_nonzero(starts) + np.count_nonzero(stops)
    number = ends / (2 * lines * (width - 1) * side)
    n = np.arange(1, max(1, min(width - 2, math.floor(farthest / side + 1e-9))) + 1)
    whole = np.bincount(runs.length[starts & stops], minlength=width + 1)[n]
    return Chords(
        number=number,
        mean=float(phase.mean()) / number if number > 0 else None,
        lengths=n * side,
        number_density=whole / (lines * (width - n - 1) * side**2),
    )
