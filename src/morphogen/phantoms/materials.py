"""What phantoms are made of: how each material weakens X-rays, what colour it has, and how electrons see it.

A name that a kind gives to a phase ("fiber", "soil") stands for a material with a formula and a density; from these
follow the attenuation at every energy (``mathematics.attenuation``) and the backscattered electrons. Colours are
diffuse reflectances of red, green and blue light, typical ones, without claim to a specimen.

Backscattering is the share of electrons that a flat face of a pure element sends back, Reuter (1972) as cited by
Goldstein et al., Scanning Electron Microscopy and X-Ray Microanalysis (2003), their equation 3.6,

    eta(Z) = -0.0254 + 0.016 Z - 1.86e-4 Z^2 + 8.3e-7 Z^3,

and the mean over the elements by mass for a compound (Castaing). It holds from Z = 6 up, and is zero for hydrogen.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from morphogen.mathematics.attenuation import ATOMIC_NUMBER, attenuation, mass_shares
from morphogen.problems import Problem


@dataclass(frozen=True, slots=True)
class Material:
    """What something is made of.

    Attributes:
        formula: atoms of each element.
        density: grams a cubic centimetre.
        colour: diffuse reflectance of red, green and blue light, from 0 to 1.
        hardness: how far it stands out of a polished face, from 0 (softest) to 1.
    """

    formula: Mapping[str, float]
    density: float
    colour: tuple[float, float, float]
    hardness: float

    def attenuation_per_cm(self, kev: NDArray[np.float64]) -> NDArray[np.float64]:
        """Linear attenuation coefficient at photon energies from 10 to 150 keV."""
        return attenuation(self.formula, self.density, kev)

    @property
    def backscattered(self) -> float:
        """Share of the electrons of a beam that a flat face sends back."""
        return sum(share * _of_element(element) for element, share in mass_shares(self.formula).items())


def _of_element(element: str) -> float:
    z = ATOMIC_NUMBER[element]
    return max(0.0, -0.0254 + 0.016 * z - 1.86e-4 * z**2 + 8.3e-7 * z**3)


QUARTZ = Material({"Si": 1, "O": 2}, 2.65, (0.72, 0.68, 0.60), 1.0)
FELDSPAR = Material({"K": 1, "Al": 1, "Si": 3, "O": 8}, 2.56, (0.74, 0.58, 0.48), 0.9)
CALCITE = Material({"Ca": 1, "C": 1, "O": 3}, 2.71, (0.78, 0.74, 0.66), 0.5)
DOLOMITE = Material({"Ca": 1, "Mg": 1, "C": 2, "O": 6}, 2.87, (0.70, 0.66, 0.58), 0.6)
CLAY = Material({"Al": 2, "Si": 2, "O": 9, "H": 4}, 2.0, (0.52, 0.42, 0.32), 0.3)
IRON_OXIDE = Material({"Fe": 2, "O": 3}, 5.2, (0.32, 0.12, 0.08), 0.9)
CARBON = Material({"C": 1}, 1.80, (0.10, 0.10, 0.11), 0.7)
GLASS = Material({"Si": 1, "O": 2}, 2.55, (0.62, 0.66, 0.62), 0.9)
EPOXY = Material({"C": 21, "H": 25, "O": 5}, 1.17, (0.40, 0.34, 0.22), 0.3)
POLYAMIDE = Material({"C": 6, "H": 11, "N": 1, "O": 1}, 1.14, (0.62, 0.60, 0.54), 0.3)
WATER = Material({"H": 2, "O": 1}, 1.0, (0.06, 0.06, 0.07), 0.0)
ROOT = Material({"C": 1, "H": 12, "O": 6}, 1.02, (0.74, 0.66, 0.50), 0.2)  # nine tenths of it water
SOIL = Material(
    {"Si": 3, "Al": 1, "O": 10, "H": 5, "C": 1}, 1.45, (0.14, 0.088, 0.055), 0.4
)  # moist, with its fine pores

MATERIALS: Mapping[str, Material] = {
    "quartz": QUARTZ,
    "grain": QUARTZ,
    "sand": QUARTZ,
    "mineral": QUARTZ,
    "feldspar": FELDSPAR,
    "calcite": CALCITE,
    "cement": CALCITE,
    "dolomite": DOLOMITE,
    "clay": CLAY,
    "iron oxide": IRON_OXIDE,
    "dense mineral": IRON_OXIDE,
    "carbon": CARBON,
    "fiber": CARBON,
    "warp": CARBON,
    "weft": CARBON,
    "glass": GLASS,
    "epoxy": EPOXY,
    "matrix": EPOXY,
    "resin": EPOXY,
    "polyamide": POLYAMIDE,
    "water": WATER,
    "root": ROOT,
    "soil": SOIL,
}
"""By the names that kinds give to their phases."""


def material(name: str) -> Material:
    """The material of that name.

    Raises:
        Problem: it is unknown.
    """
    if name not in MATERIALS:
        raise Problem(f"nothing is known of a material '{name}'", do=f"choose among {', '.join(sorted(MATERIALS))}")
    return MATERIALS[name]
