"""Attenuation of X-rays: compounds as tabulated for themselves, and beams that harden."""

import numpy as np
import pytest

from morphogen.mathematics.attenuation import Spectrum, attenuation, mass_shares
from morphogen.phantoms.materials import MATERIALS, material
from morphogen.problems import Problem


@pytest.mark.parametrize(
    ("formula", "kev", "tabulated"),
    [  # NISTIR 5632, table 4: of compounds, square centimetres a gram
        ({"H": 2, "O": 1}, [20.0, 40, 60, 100], [0.8096, 0.2683, 0.2059, 0.1707]),
        ({"C": 1, "H": 2}, [20.0, 60, 100], [0.4315, 0.1970, 0.1719]),
        ({"C": 5, "H": 8, "O": 2}, [20.0, 60, 100], [0.5714, 0.1924, 0.1641]),
    ],
    ids=["water", "polyethylene", "polymethyl methacrylate"],
)
def test_compounds_attenuate_as_tabulated(formula: dict[str, float], kev: list[float], tabulated: list[float]) -> None:
    np.testing.assert_allclose(attenuation(formula, 1.0, np.array(kev)), tabulated, rtol=2e-3)


def test_attenuation_falls_with_energy_and_goes_with_density() -> None:
    kev = np.linspace(10, 150, 60)
    for name in MATERIALS:
        assert (np.diff(material(name).attenuation_per_cm(kev)) < 0).all()
    np.testing.assert_allclose(attenuation({"C": 1}, 1.8, kev), 1.8 * attenuation({"C": 1}, 1.0, kev))
    assert sum(mass_shares({"Si": 1, "O": 2}).values()) == pytest.approx(1)
    assert mass_shares({"Si": 1, "O": 2})["Si"] == pytest.approx(0.4674, abs=1e-4)


def test_a_beam_of_many_energies_hardens_and_one_of_a_single_energy_does_not() -> None:
    tube = Spectrum.of_tube(80, 0.5)
    lengths = np.concatenate([[0, 0.001], np.linspace(0.1, 3, 30)])[None]
    for beam, hardens in ((tube, True), (tube.of_mean_energy(), False)):
        mu = attenuation({"Si": 1, "O": 2}, 2.65, beam.kev)
        depth = -np.log(beam.transmitted(mu[None], lengths).astype(np.float64))
        slope = np.diff(depth) / np.diff(lengths[0])
        assert slope[0] == pytest.approx(mu @ beam.shares, rel=0.01)
        if hardens:
            assert slope[-1] < 0.6 * slope[0]
            assert (np.diff(slope) < 0).all()
        else:
            np.testing.assert_allclose(slope, slope[0], rtol=1e-3)


def test_a_filter_takes_the_soft_photons_away() -> None:
    energies = [Spectrum.of_tube(80, filter_mm).mean_kev for filter_mm in (0.0, 0.5, 2.0)]
    assert energies == sorted(energies)
    assert 10 < energies[0] < energies[-1] < 80
    assert Spectrum.of_tube(80, 1.0).shares.sum() == pytest.approx(1)


def test_paths_through_several_materials_add_up() -> None:
    beam = Spectrum(np.array([30.0]), np.array([1.0]))
    found = beam.transmitted(np.array([[2.0], [0.5]]), np.array([[0.3, 0.0], [1.0, 2.0]]))
    np.testing.assert_allclose(found, np.exp([-1.1, -1.0]), rtol=1e-6)


def test_heavy_atoms_send_back_more_electrons() -> None:
    eta = {name: material(name).backscattered for name in ("carbon", "quartz", "calcite", "iron oxide")}
    assert list(eta.values()) == sorted(eta.values())
    assert eta["carbon"] == pytest.approx(0.0641, abs=5e-4)  # Reuter's polynomial at Z = 6
    assert eta["quartz"] == pytest.approx(0.125, abs=0.006)  # 0.467 of silicon's 0.165, 0.533 of oxygen's 0.091
    with pytest.raises(Problem, match="nothing is known of a material 'unobtainium'"):
        material("unobtainium")
