"""How X-rays of a tube are weakened by matter: Beer and Lambert's law over a spectrum.

Mass attenuation coefficients of elements are those of Hubbell and Seltzer, NISTIR 5632 (1995), interpolated in log-log
between 10 and 150 keV, where none of these elements has an edge. A compound has the mean over its elements by mass,
times its density: mu(E) = rho sum_i w_i (mu / rho)_i(E).

A tube of E_0 kV sends bremsstrahlung (Kramers, Phil. Mag. 46 (1923) 836), N(E) ~ (E_0 - E) / E photons, through a
filter of aluminium; characteristic lines are left out. What arrives behind paths of lengths t_m through materials m is

    T = sum_E w(E) exp(- sum_m mu_m(E) t_m),    sum_E w(E) = 1,

counted photon by photon by a detector that sees all energies alike. -log T is linear in t for one energy; for several
it bends down, as the soft rays are lost first: the beam hardens.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

ENERGIES = np.array([10.0, 15, 20, 30, 40, 50, 60, 80, 100, 150])
"""Of the table, keV."""

PER_MASS: Mapping[str, NDArray[np.float64]] = {
    "H": np.array([0.3854, 0.3764, 0.3695, 0.3570, 0.3458, 0.3355, 0.3260, 0.3091, 0.2944, 0.2651]),
    "C": np.array([2.373, 0.8071, 0.4420, 0.2562, 0.2076, 0.1871, 0.1753, 0.1610, 0.1514, 0.1347]),
    "N": np.array([3.879, 1.236, 0.6178, 0.3066, 0.2288, 0.1980, 0.1817, 0.1639, 0.1529, 0.1353]),
    "O": np.array([5.952, 1.836, 0.8651, 0.3779, 0.2585, 0.2132, 0.1907, 0.1678, 0.1551, 0.1361]),
    "Na": np.array([15.57, 4.694, 2.057, 0.7197, 0.3969, 0.2804, 0.2268, 0.1796, 0.1585, 0.1335]),
    "Mg": np.array([21.05, 6.358, 2.763, 0.9306, 0.4881, 0.3292, 0.2570, 0.1951, 0.1686, 0.1394]),
    "Al": np.array([26.23, 7.955, 3.441, 1.128, 0.5685, 0.3681, 0.2778, 0.2018, 0.1704, 0.1378]),
    "Si": np.array([33.89, 10.34, 4.464, 1.436, 0.7012, 0.4385, 0.3207, 0.2228, 0.1835, 0.1448]),
    "K": np.array([79.07, 25.03, 10.93, 3.413, 1.541, 0.8679, 0.5678, 0.3251, 0.2345, 0.1582]),
    "Ca": np.array([93.41, 29.79, 13.06, 4.080, 1.830, 1.019, 0.6578, 0.3656, 0.2571, 0.1674]),
    "Fe": np.array([170.6, 57.08, 25.68, 8.176, 3.629, 1.958, 1.205, 0.5952, 0.3717, 0.1964]),
}
"""Mass attenuation coefficients of elements at these energies, square centimetres a gram."""

ATOMIC_NUMBER = {"H": 1, "C": 6, "N": 7, "O": 8, "Na": 11, "Mg": 12, "Al": 13, "Si": 14, "K": 19, "Ca": 20, "Fe": 26}
ATOMIC_MASS = {
    "H": 1.008, "C": 12.011, "N": 14.007, "O": 15.999, "Na": 22.990, "Mg": 24.305, "Al": 26.982, "Si": 28.085,
    "K": 39.098, "Ca": 40.078, "Fe": 55.845,
}  # fmt: skip

ALUMINIUM_DENSITY = 2.699
STEPS = 12
"""Energies that stand for a spectrum."""


def mass_shares(formula: Mapping[str, float]) -> Mapping[str, float]:
    """Shares by mass of the elements of a formula, {"Si": 1, "O": 2}."""
    masses = {element: count * ATOMIC_MASS[element] for element, count in formula.items()}
    return {element: mass / sum(masses.values()) for element, mass in masses.items()}


def attenuation(formula: Mapping[str, float], density: float, kev: NDArray[np.float64]) -> NDArray[np.float64]:
    """Linear attenuation coefficient of a compound, per centimetre.

    Args:
        formula: atoms of each element.
        density: grams a cubic centimetre.
        kev: photon energies from 10 to 150.
    """
    logarithm = np.log(kev)
    total = np.zeros_like(kev, dtype=np.float64)
    for element, share in mass_shares(formula).items():
        total += share * np.exp(np.interp(logarithm, np.log(ENERGIES), np.log(PER_MASS[element])))
    return density * total


@dataclass(frozen=True, slots=True, eq=False)
class Spectrum:
    """Photons of a beam.

    Attributes:
        kev: their energies.
        shares: how many of each, adding up to 1.
    """

    kev: NDArray[np.float64]
    shares: NDArray[np.float64]

    @classmethod
    def of_tube(cls, kilovolt: float, filter_mm: float) -> "Spectrum":
        """The beam of a tube, from 10 keV up.

        Args:
            kilovolt: its voltage, above 10 and at most 150.
            filter_mm: thickness of the aluminium in front of it.
        """
        edges = np.linspace(10.0, kilovolt, STEPS + 1)
        kev = (edges[1:] + edges[:-1]) / 2
        left = np.exp(-attenuation({"Al": 1}, ALUMINIUM_DENSITY, kev) * filter_mm / 10)
        photons = (kilovolt - kev) / kev * left
        return cls(kev, photons / photons.sum())

    @property
    def mean_kev(self) -> float:
        """Mean energy of a photon."""
        return float(self.kev @ self.shares)

    def of_mean_energy(self) -> "Spectrum":
        """A beam of one energy, the mean of this one: it does not harden."""
        return Spectrum(np.array([self.mean_kev]), np.array([1.0]))

    def transmitted(self, coefficients: NDArray[np.float64], lengths: NDArray[np.floating]) -> NDArray[np.float32]:
        """Share of the photons that gets through.

        Args:
            coefficients: ``(materials, energies)`` attenuation per centimetre.
            lengths: ``(materials, ...)`` paths in centimetres.
        """
        through = np.zeros(lengths.shape[1:], np.float32)
        for share, of_materials in zip(self.shares, coefficients.T, strict=True):
            depth = np.zeros(lengths.shape[1:], np.float32)
            for coefficient, length in zip(of_materials, lengths, strict=True):
                depth -= np.float32(coefficient) * length.astype(np.float32, copy=False)
            through += np.float32(share) * np.exp(depth, out=depth)
        return through
