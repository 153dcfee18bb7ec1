"""X-ray tomograph: counts of photons behind the specimen at many angles, and the slice that is reconstructed from them.

    T(theta, s) = sum_E w(E) exp(- sum_m mu_m(E) t_m(theta, s))    Beer and Lambert; t_m the path through material m
    counts      ~ Poisson(N (1 + g_s) (G_b * T))                   N photons, G_b blur of b elements, g_s error of the
                                                                   gain ~ Normal(0, 1 / (N flats) + ring^2)
    p           = - log(counts / N)
    attenuation = filtered back-projection of p

with a spectrum that hardens (``mathematics.attenuation``) and projections of the pixels that are exact to rounding
(``mathematics.parallel_beam``). A gain error of an element is the same at all angles, so that it draws a ring, half of
one in half a turn; the least that is left of it is the noise of the images without a specimen by which gains were
measured. Grey is an affine map of attenuation that is recorded with the image, equal for all phantoms of one size made
of the same materials:

    attenuation = attenuation_of_grey_0_per_cm + attenuation_a_grey_level_per_cm * grey.

The field is a part of a round core: it goes on beyond its border as in a mirror, up to the circle through its corners,
and the axis of rotation is in its middle. Without ``core`` it is a square rod in air.

Exposure. Left alone, the tomograph takes the lowest of ``VOLTAGES`` at which a seventh of the photons gets through the
middle of the core, were it full of its materials in equal parts; and as many photons as it takes for the noise in the
middle to be 7 % of the contrast, from the closed form of ``ParallelBeam.noise_variance``. Contrast is twice the
standard deviation of the attenuation over the field: what two materials in equal parts differ by. Both are recorded. It
may be more than a laboratory has: absorption hardly tells carbon fibers from epoxy. No phase contrast, no scattered
photons and no lines of the anode are modelled.

Of a solid every slice across the depth is reconstructed for itself; blur acts on both axes of the detector.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Annotated, ClassVar, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from scipy.ndimage import gaussian_filter1d

from morphogen.images.picture import Label
from morphogen.mathematics.attenuation import Spectrum
from morphogen.mathematics.parallel_beam import ParallelBeam
from morphogen.phantoms.instruments.instrument import (
    Instrument,
    PixelType,
    Seen,
    Subject,
    require_materials,
    to_grey,
)
from morphogen.phantoms.materials import material
from morphogen.phantoms.solid import Solid

TOGETHER, PIXELS = 64, 2**22
"""Images that share the matrices of a projection, at most, and pixels of all of them."""

VOLTAGES = (40.0, 50.0, 60.0, 80.0, 100.0, 120.0, 150.0)
ENOUGH = 1 / 7
"""Share of the photons that should get through."""

DARKEST, BRIGHTEST = -0.3, 1.7
"""Ends of the grey scale, over the largest attenuation of a material: room for noise, and for denser grains."""

ORE = 4.0
"""Grams a cubic centimetre; what is heavier may saturate, or the rest would be left with a few levels of grey."""

_FLOAT = NDArray[np.float32]
_Kind = TypeVar("_Kind", bound=np.generic)


class Tomograph(Instrument):
    """An X-ray tomograph with a parallel beam."""

    takes: ClassVar[str] = "microCT slice"

    photons: Annotated[
        float | None,
        Field(
            ge=1,
            le=1e15,
            description="photons an element counts at each angle without a specimen; by default as noise says",
        ),
    ] = None
    noise: Annotated[
        float,
        Field(
            ge=0, le=10, description="where photons are not given: noise in the middle over the contrast; 0 for none"
        ),
    ] = 0.07
    angles: Annotated[int, Field(ge=2, le=100_000, description="projections over half a turn")] = 360
    kilovolt: Annotated[
        float | None, Field(ge=15, le=150, description="voltage of the tube; by default to suit size and materials")
    ] = None
    filter_mm: Annotated[float, Field(ge=0, le=20, description="aluminium in front of the tube, millimetres")] = 0.5
    hardening: Annotated[
        bool, Field(description="1: all energies of the tube; 0: photons of the mean energy alone")
    ] = True
    blur_px: Annotated[float, Field(ge=0, le=20, description="standard deviation of the detector's blur, pixels")] = 0.5
    flats: Annotated[
        float, Field(ge=0, le=1e6, description="images without a specimen that measure the gains; 0: gains are known")
    ] = 20.0
    ring: Annotated[
        float, Field(ge=0, le=0.5, description="standard deviation of further errors of the gains, of their mean")
    ] = 0.0
    smoothing: Annotated[
        float, Field(ge=0, le=1, description="window on the ramp filter: 0 for none, 0.92 Hamming's, 1 Hann's")
    ] = 0.5
    core: Annotated[bool, Field(description="1: the field is inside a round core; 0: a square rod in air")] = True
    darkest_per_cm: Annotated[
        float | None, Field(ge=-1e6, le=1e6, description="attenuation of grey 0; by default to suit the materials")
    ] = None
    brightest_per_cm: Annotated[
        float | None, Field(ge=-1e6, le=1e6, description="attenuation of the brightest grey; likewise")
    ] = None

    def see(
        self, subjects: Sequence[Subject], dtype: PixelType, generators: Sequence[np.random.Generator]
    ) -> list[Seen]:
        """Reconstructed slices, one channel each."""
        require_materials(subjects, "tomograph")
        seen: list[Seen] = []
        for group in _alike(subjects):
            first = group[0]
            scan = _Scan(self._spectrum_for(first.materials, first.labels.shape, first.spacing_um), first.materials,
                         first.spacing_um)  # fmt: skip
            chance = generators[len(seen) : len(seen) + len(group)]
            labels = np.stack([subject.labels for subject in group])
            through = self._transmitted(labels, np.stack([s.relative_density for s in group]), scan)
            photons = [self._photons(one, field, scan) for one, field in zip(through, labels, strict=True)]
            counted = [self._counted(*of_one) for of_one in zip(through, photons, chance, strict=True)]
            found = self._reconstructed(np.stack(counted), labels.shape[1:], scan)
            for slice_, one, exposure in zip(found, through, photons, strict=True):
                seen.append(self._as_grey(slice_[None], dtype, exposure, one, scan))
        return seen

    def scan(self, solid: Solid, dtype: PixelType, generator: np.random.Generator) -> Seen:
        """The reconstructed volume of a solid; its axis of rotation is the first.

        Returns:
            Pixels ``(depth, height, width)``, on one grey scale.
        """
        size = solid.labels.shape[1:]
        scan = _Scan(self._spectrum_for(solid.materials, size, solid.spacing_um), solid.materials, solid.spacing_um)
        through = np.concatenate([self._transmitted(part, np.ones(part.shape), scan) for part in _parts(solid.labels)])
        if self.blur_px:
            through = gaussian_filter1d(through, self.blur_px, axis=0, mode="nearest")
        middle = through[len(through) // 2]
        photons = self._photons(middle, solid.labels, scan)
        counted = self._counted(through, photons, generator)
        found = np.concatenate([self._reconstructed(part, size, scan) for part in _parts(counted)])
        return self._as_grey(found, dtype, photons, middle, scan)

    def spectrum(self, kilovolt: float) -> Spectrum:
        """The photons that it counts by, at a voltage."""
        beam = Spectrum.of_tube(kilovolt, self.filter_mm)
        return beam if self.hardening else beam.of_mean_energy()

    def _spectrum_for(self, materials: Sequence[str], size: tuple[int, ...], spacing_um: float) -> "_Beam":
        """The beam that is set, or the softest one that gets through."""
        thickness = np.array([math.hypot(*size) * spacing_um * 1e-4], np.float32)
        for kilovolt in VOLTAGES if self.kilovolt is None else (self.kilovolt,):
            beam = _Beam(kilovolt, self.spectrum(kilovolt))
            mean = np.mean([material(name).attenuation_per_cm(beam.spectrum.kev) for name in materials], axis=0)
            if beam.spectrum.transmitted(mean[None], thickness[None])[0] >= ENOUGH:
                break
        return beam

    def _transmitted(self, labels: NDArray[np.uint8], density: NDArray[np.float64], scan: "_Scan") -> _FLOAT:
        """Share of the photons that gets through, ``(n, angles, elements)``, with the detector's blur."""
        beam = self._beam(labels.shape[1:])
        materials = range(1, len(scan.materials) + 1)
        lengths = np.stack(
            [beam.project(self._surrounded(np.where(labels == k, density, 0.0))) for k in materials]
        )  # (materials, n, angles, elements)
        lengths *= np.float32(scan.pixel_cm)
        through = scan.beam.spectrum.transmitted(scan.coefficients, lengths)
        if self.blur_px:
            through = gaussian_filter1d(through, self.blur_px, axis=-1, mode="nearest")
        return through

    def _beam(self, size: tuple[int, ...]) -> ParallelBeam:
        height, width = size
        if not self.core:
            return ParallelBeam.around((height, width), self.angles)
        beyond = _beyond(height, width)
        radius = np.hypot(height, width) / 2
        return ParallelBeam((height + 2 * beyond[0], width + 2 * beyond[1]), self.angles, int(2 * radius) + 4)

    def _surrounded(self, fields: NDArray[np.float64]) -> NDArray[np.float64]:
        """Fields with what is around them in the core."""
        if not self.core:
            return fields
        height, width = fields.shape[1:]
        above, before = _beyond(height, width)
        wide = np.pad(fields, ((0, 0), (above, above), (before, before)), mode="symmetric")
        y = np.arange(wide.shape[1])[:, None] - (wide.shape[1] - 1) / 2
        x = np.arange(wide.shape[2])[None] - (wide.shape[2] - 1) / 2
        return np.where(np.hypot(y, x) <= np.hypot(height, width) / 2, wide, 0.0)

    def _photons(self, through: _FLOAT, labels: NDArray[np.uint8], scan: "_Scan") -> float | None:
        """Photons at each angle; None for no noise."""
        contrast = 2 * float(np.concatenate([[0.0], scan.levels])[labels].std()) or float(scan.levels.max())
        if self.photons is not None or not self.noise:
            return self.photons
        return float((self._deviation(through, 1.0, scan) / (self.noise * contrast)) ** 2)

    def _deviation(self, through: _FLOAT, photons: float, scan: "_Scan") -> float:
        """Standard deviation of the noise in the middle, per centimetre."""
        elements = through.shape[-1]
        middle = through[:, elements // 2 - 1 : elements // 2 + 1].mean(-1)  # (angles,)
        beam = ParallelBeam((1, 1), self.angles, elements)
        variance = beam.noise_variance(1 / (photons * middle.astype(np.float64)), self.smoothing)
        return float(np.sqrt(variance)) / scan.pixel_cm

    def _counted(self, through: _FLOAT, photons: float | None, generator: np.random.Generator) -> _FLOAT:
        """Line integrals of the attenuation as counts tell them, ``(..., angles, elements)``."""
        gain_shape = (*through.shape[:-2], 1, through.shape[-1])
        unknown = 1 / (photons * self.flats) if photons is not None and self.flats else 0.0
        errors = np.sqrt(unknown + self.ring**2) * generator.standard_normal(gain_shape)
        gains = np.maximum(1 + errors, 0.01)
        expected = through * gains
        if photons is not None:
            # No photon at all would be an infinite path: half a photon is what is told of it.
            expected = np.maximum(generator.poisson(expected * photons), 0.5) / photons
        counted: _FLOAT = -np.log(np.maximum(expected, 1e-30)).astype(np.float32)
        return counted

    def _reconstructed(self, counted: _FLOAT, size: tuple[int, ...], scan: "_Scan") -> _FLOAT:
        """Attenuation per centimetre of the fields, ``(n, height, width)``."""
        height, width = size
        beam = ParallelBeam((height, width), self.angles, counted.shape[-1])
        return beam.reconstruct(counted, self.smoothing) / np.float32(scan.pixel_cm)

    def _as_grey(self, found: _FLOAT, dtype: PixelType, photons: float | None, through: _FLOAT, scan: "_Scan") -> Seen:
        light = [
            level for name, level in zip(scan.materials, scan.levels, strict=True) if material(name).density <= ORE
        ]
        densest = float(max(light or scan.levels))
        low = DARKEST * densest if self.darkest_per_cm is None else self.darkest_per_cm
        high = BRIGHTEST * densest if self.brightest_per_cm is None else self.brightest_per_cm
        recorded: dict[str, Label] = {
            "instrument": "tomograph",
            "attenuation_of_grey_0_per_cm": low,
            "attenuation_a_grey_level_per_cm": (high - low) / np.iinfo(dtype).max,
            "kilovolt": scan.beam.kilovolt,
        }
        for name, level in zip(scan.materials, scan.levels, strict=True):
            recorded[f"attenuation_of_{name.replace(' ', '_')}_per_cm"] = float(level)
        if photons is not None:
            recorded["photons"] = photons
            recorded["noise_per_cm"] = self._deviation(through, photons, scan)
        return Seen(to_grey((found.astype(np.float64) - low) / (high - low), dtype), recorded)


@dataclass(frozen=True, slots=True, eq=False)
class _Beam:
    """A spectrum, and the voltage that makes it."""

    kilovolt: float
    spectrum: Spectrum


@dataclass(frozen=True, slots=True, eq=False)
class _Scan:
    """What the images of one scan have in common."""

    beam: _Beam
    materials: tuple[str, ...]
    spacing_um: float

    @property
    def pixel_cm(self) -> float:
        return self.spacing_um * 1e-4

    @property
    def coefficients(self) -> NDArray[np.float64]:
        """Attenuation per centimetre, ``(materials, energies)``."""
        return np.array([material(name).attenuation_per_cm(self.beam.spectrum.kev) for name in self.materials])

    @property
    def levels(self) -> NDArray[np.float64]:
        """Attenuation of thin layers under this beam, ``(materials,)``."""
        return self.coefficients @ self.beam.spectrum.shares


def _beyond(height: int, width: int) -> tuple[int, int]:
    """Pixels that are added above and below, left and right, to hold the circle through the corners."""
    reach = float(np.hypot(height, width))
    return int((reach - height) / 2) + 2, int((reach - width) / 2) + 2


def _parts(stack: NDArray[_Kind]) -> Iterator[NDArray[_Kind]]:
    """A stack in parts that are worked on together."""
    count = _together(stack[0].size)
    for first in range(0, len(stack), count):
        yield stack[first : first + count]


def _together(pixels: int) -> int:
    """How many images of that size are worked on together."""
    return max(1, min(TOGETHER, PIXELS // pixels))


def _alike(subjects: Sequence[Subject]) -> Iterator[list[Subject]]:
    """Neighbours that can be projected together."""
    for _, group in groupby(subjects, key=lambda s: (s.labels.shape, s.spacing_um, s.materials)):
        members = list(group)
        count = _together(members[0].labels.size)
        for first in range(0, len(members), count):
            yield members[first : first + count]


INSTRUMENT = Tomograph
