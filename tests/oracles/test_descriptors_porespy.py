"""Independent libraries agree on the descriptors.

porespy's two-point correlation is not used: its averages and bins changed between versions. Ours is
compared with a direct correlation by SciPy instead, and with every pair counted (tests/phantoms).
"""

import math

import numpy as np
import pytest
from scipy import signal, stats

from morphogen.evaluation.descriptors.descriptor import descriptor
from morphogen.evaluation.descriptors.two_point_correlation import ALONG_X, ALONG_Y, two_point_correlation
from morphogen.evaluation.section import Section
from morphogen.evaluation.segmentation.threshold import Threshold
from morphogen.images.image_set import Pictures
from morphogen.images.picture import Origin, Picture


@pytest.fixture(scope="module")
def porespy():
    return pytest.importorskip("porespy")


@pytest.mark.parametrize("porosity", [0.2, 0.45, 0.7])
def test_porosity_is_porespys(porespy, porosity):
    pores = porespy.generators.blobs(shape=[120, 150], porosity=porosity, blobiness=1.5, seed=1)
    grey = np.where(pores, 40, 200).astype(np.uint8)
    found = descriptor("phase_fraction")(
        Section.of(Picture(grey[None], (1.0, 1.0), Origin("blobs")), Threshold(120, "dark"))
    )
    assert found.scalars["phase fraction"].value == pytest.approx(porespy.metrics.porosity(pores), abs=1e-12)


def test_correlation_is_that_of_a_direct_correlation():
    phase = np.random.default_rng(0).random((30, 44)) < 0.35
    sums = signal.correlate2d(phase.astype(int), phase.astype(int))
    pairs = signal.correlate2d(np.ones_like(phase, int), np.ones_like(phase, int))
    S2 = sums / pairs
    found = two_point_correlation(phase)
    np.testing.assert_array_equal(found[ALONG_X].values, S2[29, 43 : 43 + 16])
    np.testing.assert_array_equal(found[ALONG_Y].values, S2[29 : 29 + 16, 43])


def test_grey_moments_are_scipys():
    grey = np.random.default_rng(1).gamma(2.0, 30.0, (50, 60)).astype(np.uint16)
    picture = Picture(grey[None], (1.0, 1.0), Origin("gamma"))
    found = descriptor("grey_levels")(Section.of(picture, Threshold(0, "dark"))).scalars
    assert found["grey level skewness"].value == pytest.approx(stats.skew(grey, axis=None))
    assert found["grey level kurtosis"].value == pytest.approx(stats.kurtosis(grey, axis=None, fisher=False))


def test_threshold_is_scikit_images_for_one_image():
    from skimage.filters import threshold_otsu

    generator = np.random.default_rng(2)
    grey = np.clip(np.where(generator.random((80, 80)) < 0.3, 70, 160) + generator.normal(0, 20, (80, 80)), 0, 255)
    grey = grey.astype(np.uint8)
    threshold = Threshold.otsu(Pictures([Picture(grey[None], (1.0, 1.0), Origin("s"))]), "dark")
    assert math.floor(threshold.value) == threshold_otsu(grey)  # the same pixels are bright
