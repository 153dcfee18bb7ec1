"""Independent libraries agree on the correlation functions.

SciPy: direct correlations, labels and erosions. porespy: single runs and linear distances, which are right. Its
two-point correlation is not used: it wraps round. Its chord lengths trim or cut the chords at the edge, and its
lineal path divides by all pixels; both are too short by that, which the tests undo.
"""

import numpy as np
import pytest
from scipy import ndimage, signal

from morphogen.evaluation.descriptors.lineal_path import Runs, lineal_path
from morphogen.evaluation.descriptors.two_point_cluster import two_point_cluster
from morphogen.evaluation.descriptors.two_point_correlation import ALONG_X, ALONG_Y, ALONG_Z, two_point_correlation


@pytest.fixture(scope="module")
def porespy():
    return pytest.importorskip("porespy")


@pytest.fixture(scope="module")
def blobs(porespy):
    return porespy.generators.blobs(shape=[90, 110], porosity=0.45, blobiness=2, seed=3)


def test_correlation_of_a_volume_is_that_of_a_direct_correlation():
    volume = np.random.default_rng(0).random((8, 12, 10)) < 0.35
    sums = signal.correlate(volume.astype(int), volume.astype(int), method="direct")
    S2 = sums / signal.correlate(np.ones(volume.shape, int), np.ones(volume.shape, int), method="direct")
    found = two_point_correlation(volume)
    np.testing.assert_array_equal(found[ALONG_Z].values, S2[7:12, 11, 9])
    np.testing.assert_array_equal(found[ALONG_Y].values, S2[7, 11:16, 9])
    np.testing.assert_array_equal(found[ALONG_X].values, S2[7, 11, 9:14])


def test_cluster_function_is_the_sum_of_direct_correlations_of_the_clusters(blobs):
    labels, count = ndimage.label(blobs, np.ones((3, 3)))
    assert count > 10
    ones = np.ones(blobs.shape)
    pairs = signal.correlate(ones, ones)
    sums = sum(signal.correlate(*((labels == k).astype(float),) * 2) for k in range(1, count + 1))
    C2 = np.rint(sums) / np.rint(pairs)
    found = two_point_cluster(labels, count)
    np.testing.assert_array_equal(found["two-point cluster function along x"].values, C2[89, 109 : 109 + 46])
    np.testing.assert_array_equal(found["two-point cluster function along y"].values, C2[89 : 89 + 46, 109])


def test_lineal_path_is_porespys_share_of_linear_distances(porespy, blobs):
    """A pixel whose way ahead is longer than k starts a segment; porespy divides by those without room for it too."""
    found = lineal_path(blobs)
    for name, axis in (("lineal path along x", 1), ("lineal path along y", 0)):
        ahead = porespy.filters.distance_transform_lin(blobs, axis=axis, mode="forward")
        length = blobs.shape[axis]
        expected = [(ahead > k).mean() * length / (length - k) for k in range(46)]
        np.testing.assert_allclose(found[name].values, expected, rtol=1e-12)


def test_lineal_path_is_scipys_erosion_by_segments(blobs):
    found = lineal_path(blobs)["lineal path along x"].values
    for k in (1, 4, 15):
        placed = ndimage.binary_erosion(blobs, np.ones((1, k + 1))).sum()
        assert found[k] == pytest.approx(placed / (blobs.shape[0] * (blobs.shape[1] - k)), rel=1e-12)


@pytest.mark.parametrize("axis", [0, 1])
def test_runs_are_porespys_chords(porespy, blobs, axis):
    """On every other line: on neighbouring ones porespy's counting joins the chords again."""
    chords = porespy.filters.apply_chords(blobs, spacing=1, axis=axis, trim_edges=False)
    runs = Runs.of(blobs[::2] if axis == 1 else blobs[:, ::2].T)
    assert sorted(runs.length) == sorted(porespy.metrics.chord_counts(chords))
