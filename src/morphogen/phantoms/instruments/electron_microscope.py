"""Scanning electron microscope: electrons from a polished face, line after line.

    yield  = (1 - s) eta / eta_q + s      eta   share that the material scatters back (``materials``), eta_q of quartz
                                          s     share of secondary electrons, which do not tell materials apart
    signal = yield tone (1 + e (1 / cos(a) - 1)) (1 - k dh/dd cos(a))

Relief. The face has the height h: each material stands out by its hardness, an open pore is ``relief_px`` deep, and
edges are rounded by ``rounding_px``. Where the face is inclined by a, secondary electrons leave in larger numbers, as
1 / cos(a): edges are bright, by e. A detector in the direction d sees faces that fall towards it brighter, and those
that turn away in shadow, by k. What comes from the bottom of a pore is mostly lost in it.

Charging. Insulators keep charge that is led away slowly. Behind what is bright the beam leaves a dark tail along its
line, c(x) = a c(x - 1) + (1 - a) (signal - mean) with a length of ``tail_px``; and some lines jump, from a random
place on, brighter or darker than the rest.

The signal is blurred by the beam; line y is shifted by d(y) pixels along the scan, a random walk whose largest
excursion is ``drift_px``, and counted (Poisson, ``electrons`` of a flat face of quartz). The shift is all by which the
image can be out of register with its mask; it is recorded.

After Goldstein et al., Scanning Electron Microscopy and X-Ray Microanalysis (2003), chapters 3 to 5. The relief and the
charging are models of ours: enough for what they do to an image, and not simulations of electrons.
"""

import math
from collections.abc import Sequence
from typing import Annotated, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from scipy.ndimage import gaussian_filter
from scipy.signal import lfilter

from morphogen.images.picture import Label
from morphogen.phantoms.instruments.instrument import (
    Instrument,
    PixelType,
    Seen,
    Subject,
    require_materials,
    to_grey,
)
from morphogen.phantoms.materials import QUARTZ, material

PIT = 0.12
"""Share of the electrons from the bottom of an open pore that get out of it."""


class ElectronMicroscope(Instrument):
    """A scanning electron microscope."""

    takes: ClassVar[str] = "electron micrograph"

    secondary: Annotated[
        float,
        Field(ge=0, le=1, description="share of secondary electrons in the signal of quartz, which see no material"),
    ] = 0.35
    edge: Annotated[
        float, Field(ge=0, le=10, description="strength of bright edges; 1 as 1 / cos of the inclination")
    ] = 1.5
    shadow: Annotated[
        float, Field(ge=0, le=1, description="strength of light and shadow of a detector on one side")
    ] = 0.25
    detector_deg: Annotated[
        float, Field(ge=-360, le=360, description="where that detector is, from right towards down, degrees")
    ] = -90.0
    relief_px: Annotated[
        float, Field(ge=0, le=100, description="height of the hardest material above a pore, pixels")
    ] = 4.0
    rounding_px: Annotated[
        float, Field(ge=0.3, le=50, description="standard deviation of the rounded edges, pixels")
    ] = 1.2
    charging: Annotated[
        float, Field(ge=0, le=1, description="strength of the tails behind what is bright, of the signal")
    ] = 0.12
    tail_px: Annotated[float, Field(ge=0.5, le=1e4, description="length of the tails along the line, pixels")] = 25.0
    charged_lines: Annotated[float, Field(ge=0, le=1, description="share of the lines that jump")] = 0.03
    jump: Annotated[
        float, Field(ge=0, le=1, description="standard deviation of the jumps, of the signal of quartz")
    ] = 0.08
    beam_px: Annotated[float, Field(ge=0, le=20, description="standard deviation of the beam, pixels")] = 0.6
    electrons: Annotated[
        float, Field(ge=1, le=1e12, description="electrons counted of a flat face of quartz in a pixel")
    ] = 600.0
    drift_px: Annotated[float, Field(ge=0, le=20, description="largest shift of a line along the scan, pixels")] = 0.3
    offset: Annotated[float, Field(ge=0, le=1, description="grey value of no signal, of full scale")] = 0.05
    gain: Annotated[float, Field(gt=0, le=4, description="signal of a flat face of quartz, of full scale")] = 0.45

    def see(
        self, subjects: Sequence[Subject], dtype: PixelType, generators: Sequence[np.random.Generator]
    ) -> list[Seen]:
        """Micrographs, one channel each."""
        require_materials(subjects, "electron microscope")
        return [self._see(subject, dtype, chance) for subject, chance in zip(subjects, generators, strict=True)]

    def _see(self, subject: Subject, dtype: PixelType, generator: np.random.Generator) -> Seen:
        signal = gaussian_filter(self._signal(subject), self.beam_px, mode="reflect")
        signal = np.clip(signal + self._charge(signal, generator), 0, None)
        walk = self._drift(len(signal), generator)
        counted = generator.poisson(_shifted(signal, walk) * self.electrons) / self.electrons
        recorded: dict[str, Label] = {
            "instrument": "electron_microscope",
            "largest_shift_px": float(np.abs(walk).max()),
        }
        return Seen(to_grey(self.offset + self.gain * counted, dtype)[None], recorded)

    def yields(self, materials: Sequence[str]) -> NDArray[np.float64]:
        """Signal of flat faces of materials over that of quartz, ``(materials,)``.

        Raises:
            Problem: nothing is known of a material.
        """
        eta = np.array([material(name).backscattered for name in materials])
        return (1 - self.secondary) * eta / QUARTZ.backscattered + self.secondary

    def _signal(self, subject: Subject) -> NDArray[np.float64]:
        """What a steady beam would give, over a flat face of quartz."""
        flat = np.array([PIT, *self.yields(subject.materials)])
        tone = np.where(subject.labels > 0, subject.tone, 1.0)
        height = np.array([0.0, *(material(name).hardness for name in subject.materials)])
        h = gaussian_filter(self.relief_px * height[subject.labels], self.rounding_px, mode="reflect")
        down, right = np.gradient(h)
        secant = np.sqrt(1 + down**2 + right**2)
        direction = math.radians(self.detector_deg)
        # A face that falls towards the detector is turned towards it.
        towards = -(down * math.sin(direction) + right * math.cos(direction)) / secant
        signal: NDArray[np.float64] = (
            flat[subject.labels] * tone * (1 + self.edge * (secant - 1)) * (1 + self.shadow * towards)
        )
        return signal

    def _charge(self, signal: NDArray[np.float64], generator: np.random.Generator) -> NDArray[np.float64]:
        """What charging adds, along the lines."""
        kept = math.exp(-1 / self.tail_px)
        # Before the first pixel of a line the beam has seen the mean.
        tail = lfilter([0.0, 1 - kept], [1.0, -kept], signal - signal.mean(), axis=1)
        lines, width = signal.shape
        jumps = generator.uniform(size=(lines,)) < self.charged_lines
        start = generator.uniform(0, width, (lines,))
        heights = np.where(jumps, self.jump * generator.standard_normal(size=(lines,)), 0.0)
        jumped = heights[:, None] * (np.arange(width)[None] >= start[:, None])
        charge: NDArray[np.float64] = jumped - self.charging * tail
        return charge

    def _drift(self, lines: int, generator: np.random.Generator) -> NDArray[np.float64]:
        """Shift of each line to the right in pixels: a random walk about zero."""
        walk: NDArray[np.float64] = np.cumsum(generator.standard_normal(lines))
        walk = walk - walk.mean()
        shift: NDArray[np.float64] = walk * (self.drift_px / max(float(np.abs(walk).max()), 1e-12))
        return shift


def _shifted(signal: NDArray[np.float64], shift: NDArray[np.float64]) -> NDArray[np.float64]:
    """Lines moved to the right by a part of a pixel each; the border is repeated."""
    x = np.arange(signal.shape[1], dtype=np.float64)
    return np.stack([np.interp(x - by, x, line) for by, line in zip(shift, signal, strict=True)])


INSTRUMENT = ElectronMicroscope
