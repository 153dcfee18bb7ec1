"""Stripes and rings that were planted are found where they are, and hardly any where there are none."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from morphogen.mathematics.stripes_and_rings import SHARE, stripes_and_rings


def structured(seed, size=(160, 176)):
    """Two phases with blurred edges and noise, correlation length about 6 pixels."""
    random = np.random.default_rng(seed)
    phase = gaussian_filter(random.standard_normal(size), 5, mode="wrap")
    return gaussian_filter(100.0 + 80 * (phase > 0), 1.0) + random.normal(0, 6, size)


@pytest.fixture(scope="module")
def clean():
    return [structured(seed) for seed in range(24)]


def test_images_without_artefacts_have_none(clean):
    # Binomial: with one in a hundred, three or more of 24 come up once in 600 times.
    assert sum(bool(stripes_and_rings(grey)) for grey in clean) <= 24 * SHARE + 2


@pytest.mark.parametrize(("kind", "sign"), [("row", 1), ("column", -1), ("ring", 1)])
def test_planted_lines_are_found_where_they_are(clean, kind, sign):
    found, false = 0, 0
    for seed, grey in enumerate(clean[:10]):
        place = int(np.random.default_rng(seed).integers(24, 70))
        y, x = np.mgrid[: grey.shape[0], : grey.shape[1]]
        radius = np.hypot(y - (grey.shape[0] - 1) / 2, x - (grey.shape[1] - 1) / 2)
        line = {"row": y == place, "column": x == place, "ring": np.abs(radius - place) < 0.5}[kind]
        # A third of the contrast of the image.
        for one in stripes_and_rings(grey + sign * grey.std() / 3 * line):
            if one.kind == kind and abs(one.place - place) <= 1:
                found += 1
                assert np.sign(one.excess) == sign
                assert 0.3 < abs(one.excess) / (grey.std() / 3) < 2
            else:
                false += 1
    assert found >= 9
    assert false <= 1


def test_an_edge_along_a_row_is_no_stripe():
    random = np.random.default_rng(0)
    grey = random.normal(100, 5, (128, 128))
    grey[:, :40] -= 60
    assert not [line for line in stripes_and_rings(grey) if line.kind == "column"]
    grey[:, 90] += 6
    assert [round(line.place) for line in stripes_and_rings(grey)] == [90]


def test_rings_lie_about_the_centre_that_is_given():
    random = np.random.default_rng(1)
    grey = random.normal(100, 5, (128, 160))
    y, x = np.mgrid[:128, :160]
    grey += 6 * (np.abs(np.hypot(y - 60, x - 100) - 40) < 0.5)
    assert [round(line.place) for line in stripes_and_rings(grey, centre=(60, 100))] == [40]
    assert not stripes_and_rings(np.full((128, 128), 7.0))
