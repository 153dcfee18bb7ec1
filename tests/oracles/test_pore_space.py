"""Independent libraries agree on the descriptors of the pore space."""

import math

import networkx as nx
import numpy as np
import pytest
from scipy import ndimage
from skimage import measure

from morphogen.evaluation.descriptors.descriptor import descriptor
from morphogen.evaluation.descriptors.minkowski_functionals import minkowski_functionals
from morphogen.evaluation.descriptors.transport import effective_diffusivity
from morphogen.evaluation.section import Section
from morphogen.images.picture import Origin, Picture
from morphogen.mathematics.local_thickness import local_thickness


def smooth_noise(size, smooth, seed):
    noise = np.random.default_rng(seed).standard_normal(size)
    return ndimage.gaussian_filter(noise, smooth) if smooth else noise


@pytest.mark.parametrize("smooth", [0, 1, 3])
def test_boundary_and_euler_number_are_scikit_images_at_every_threshold(smooth):
    """Inside a rim of the other phase a field has whole objects only, which scikit-image counts."""
    grey = np.pad(smooth_noise((60, 75), smooth, 0), 1, constant_values=np.inf)
    levels = np.quantile(grey[1:-1, 1:-1], np.linspace(0.02, 0.98, 9))
    found = minkowski_functionals(np.searchsorted(levels, grey).astype(np.uint8), len(levels))
    cells = (grey.shape[0] - 1) * (grey.shape[1] - 1)
    for k, level in enumerate(levels):
        phase = grey <= level
        assert found.euler[k] * cells == pytest.approx(measure.euler_number(phase, connectivity=2), abs=1e-6)
        assert found.boundary[k] * cells == pytest.approx(measure.perimeter_crofton(phase, directions=4), rel=1e-9)


@pytest.fixture(scope="module")
def porespy():
    return pytest.importorskip("porespy")


@pytest.mark.parametrize(("smooth", "share"), [(1.0, 0.5), (3.0, 0.3), (3.0, 0.7)])
def test_local_thickness_is_porespys(porespy, smooth, share):
    """porespy 3.0.4 cuts the radius of a disc, though not its value, down to whole pixels.

    So it is right where radii are whole: there both agree to the last pixel. On true distances its discs are up to a
    pixel too small, so that it is never above ours.
    """
    noise = smooth_noise((90, 110), smooth, 1)
    phase = noise < np.quantile(noise, share)
    distance = ndimage.distance_transform_edt(phase)
    whole = np.floor(distance)
    np.testing.assert_array_equal(
        local_thickness(whole), 2 * porespy.filters.local_thickness(phase, dt=whole, method="bf")
    )
    below = local_thickness(distance) - 2 * porespy.filters.local_thickness(phase, dt=distance, method="bf")
    assert below.min() == 0
    assert 0 < below[phase].mean() < 0.5


def test_clusters_are_scikit_images():
    phase = smooth_noise((70, 90), 2, 2) < 0
    found = descriptor("connectivity")(Section(Picture(phase[None].astype(np.uint8), (1.0, 1.0), Origin("s")), phase))
    labels, count = measure.label(phase, connectivity=2, return_num=True)
    sizes = [region.area for region in measure.regionprops(labels)]
    across = [
        region.area
        for region in measure.regionprops(labels)
        if region.bbox[1] == 0 and region.bbox[3] == phase.shape[1]
    ]
    assert found.scalars["connected fraction"].value == pytest.approx(max(sizes) / sum(sizes))
    assert found.scalars["percolating fraction along x"].value == pytest.approx(sum(across) / sum(sizes))
    assert found.scalars["cluster density"].value == pytest.approx(count / phase.size)


def test_percolation_is_porespys(porespy):
    agreed = set()
    for seed in range(12):
        phase = smooth_noise((40, 40), 2, seed) < 0.02
        found = descriptor("connectivity")(
            Section(Picture(phase[None].astype(np.uint8), (math.nan, math.nan), Origin("s")), phase)
        )
        for axis, name in enumerate(("y", "x")):
            joins = porespy.metrics.is_percolating(phase, axis=axis, conn="max")
            assert (found.scalars[f"percolating fraction along {name}"].value > 0) == joins
            agreed.add(bool(joins))
    assert agreed == {True, False}


@pytest.mark.parametrize("pixel", [(1.0, 1.0), (1.0, 2.5)])
def test_conductance_is_that_of_the_network_of_pixels(pixel):
    """networkx finds the resistance between two nodes from the pseudo-inverse of the graph's Laplacian."""
    dy, dx = pixel
    phase = np.random.default_rng(3).random((14, 18)) < 0.75
    network = nx.Graph()
    for row, column in np.argwhere(phase).tolist():
        if column == 0:
            network.add_edge("in", (row, column), conductance=2 * dy / dx)
        if column == 17:
            network.add_edge((row, column), "out", conductance=2 * dy / dx)
        if column < 17 and phase[row, column + 1]:
            network.add_edge((row, column), (row, column + 1), conductance=dy / dx)
        if row < 13 and phase[row + 1, column]:
            network.add_edge((row, column), (row + 1, column), conductance=dx / dy)
    network = network.subgraph(nx.node_connected_component(network, "in"))
    resistance = nx.resistance_distance(network, "in", "out", weight="conductance", invert_weight=False)
    assert effective_diffusivity(phase, pixel) == pytest.approx(18 * dx / (14 * dy * resistance), rel=1e-9)
