"""Fiber phantoms: no overlap, the asked fraction, and ellipses as tilted cylinders are cut."""

import math

import numpy as np
import pytest
from numpy.typing import NDArray
from skimage.measure import label, regionprops

from morphogen.mathematics.randomness import numpy_generator
from morphogen.phantoms.fibers import Fibers, Settings, pack, scene


def deepest_intrusion(fibers: Fibers) -> float:
    """Least value, over all pairs, of the elliptic radius of one fiber at 720 points of another's edge.

    Below 1 means overlap. Independent of the contact function that the packing uses.
    """
    window = np.asarray(fibers.window)
    angle = np.linspace(0, 2 * math.pi, 720, endpoint=False)
    sine, cosine = np.sin(fibers.azimuths), np.cos(fibers.azimuths)
    long, short = fibers.long_axes / 2, fibers.diameters / 2
    along, across = long[:, None] * np.cos(angle), short[:, None] * np.sin(angle)
    edges = np.stack(
        [
            along * sine[:, None] + across * cosine[:, None],
            along * cosine[:, None] - across * sine[:, None],
        ],
        -1,
    )
    least = math.inf
    for i in range(len(long)):
        apart = fibers.centres - fibers.centres[i]
        apart -= window * np.rint(apart / window)
        near = np.hypot(*apart.T) < long[i] + long
        near[i] = False
        points = apart[near][:, None] + edges[near]
        u = (points[..., 1] * cosine[i] + points[..., 0] * sine[i]) / long[i]
        v = (points[..., 0] * cosine[i] - points[..., 1] * sine[i]) / short[i]
        least = min(least, float(np.hypot(u, v).min(initial=math.inf)))
    return least


PACKINGS = [
    Settings(),
    Settings(fiber_volume_fraction=0.65, diameter_spread=0.0, tilt_spread_deg=0.0),
    Settings(fiber_volume_fraction=0.65, diameter_spread=0.2, tilt_spread_deg=25.0),
    Settings(fiber_volume_fraction=0.70, tilt_spread_deg=30.0),
    Settings(fiber_volume_fraction=0.2, diameter_spread=0.3),
]


@pytest.mark.parametrize("settings", PACKINGS, ids=lambda s: f"{s.fiber_volume_fraction}-{s.tilt_spread_deg}")
def test_no_two_fibers_overlap(settings: Settings) -> None:
    fibers = pack(settings, (120.0, 150.0), numpy_generator(1))
    assert deepest_intrusion(fibers) >= 1.0
    assert fibers.area_fraction == pytest.approx(settings.fiber_volume_fraction, rel=1e-12)


def test_the_overlap_check_sees_an_overlap() -> None:
    fibers = pack(PACKINGS[2], (120.0, 150.0), numpy_generator(1))
    swollen = Fibers(fibers.centres, 1.05 * fibers.diameters, fibers.tilts, fibers.azimuths, fibers.window)
    assert deepest_intrusion(swollen) < 1.0


@pytest.mark.parametrize("fraction", [0.1, 0.3, 0.5, 0.6, 0.65])
def test_labels_fill_the_asked_volume_fraction(fraction: float) -> None:
    drawn = scene(Settings(fiber_volume_fraction=fraction), (256, 256), 0.65, numpy_generator(4))
    assert drawn.labels.mean() == pytest.approx(fraction, abs=0.003)  # discretisation of the edges only


def test_diameters_have_the_asked_mean_and_spread() -> None:
    fibers = pack(Settings(fiber_volume_fraction=0.4, diameter_spread=0.15), (500.0, 500.0), numpy_generator(2))
    count = len(fibers.diameters)
    assert count > 2000
    assert fibers.diameters.mean() == pytest.approx(7.0, abs=4 * 0.15 * 7 / math.sqrt(count))
    assert fibers.diameters.std() / fibers.diameters.mean() == pytest.approx(0.15, abs=0.01)


def test_tilts_have_the_asked_spread_in_every_direction() -> None:
    fibers = pack(Settings(fiber_volume_fraction=0.4, tilt_spread_deg=12.0), (500.0, 500.0), numpy_generator(2))
    count = len(fibers.tilts)
    for slope in (
        np.tan(fibers.tilts) * np.cos(fibers.azimuths),
        np.tan(fibers.tilts) * np.sin(fibers.azimuths),
    ):
        spread = math.tan(math.radians(12.0))
        assert slope.std() == pytest.approx(spread, abs=4 * spread / math.sqrt(2 * count))
        assert abs(slope.mean()) < 4 * spread / math.sqrt(count)
    straight = pack(Settings(tilt_spread_deg=0.0), (100.0, 100.0), numpy_generator(2))
    np.testing.assert_array_equal(straight.long_axes, straight.diameters)


def test_labelled_ellipses_have_the_aspect_and_direction_of_their_tilt() -> None:
    settings = Settings(fiber_volume_fraction=0.25, tilt_spread_deg=28.0)
    spacing = 0.15  # 47 pixels a diameter
    fibers = pack(settings, (600 * spacing, 600 * spacing), numpy_generator(3))
    labels: NDArray[np.uint8] = scene(settings, (600, 600), spacing, numpy_generator(3)).labels
    regions = [
        region
        for region in regionprops(label(labels))
        if min(region.bbox) > 0 and max(region.bbox) < 600  # not cut by the edge of the image
    ]
    compared = 0
    for index, centre in enumerate(fibers.centres / spacing):
        found = [r for r in regions if np.hypot(*(np.array(r.centroid) + 0.5 - centre)) < 0.5]
        if not found:
            continue
        long, short = found[0].axis_major_length, found[0].axis_minor_length
        assert long / short == pytest.approx(1 / math.cos(fibers.tilts[index]), rel=0.01)
        assert short * spacing == pytest.approx(fibers.diameters[index], rel=0.01)
        if long > 1.25 * short:  # the direction of a rounder one is lost in its pixels
            from_rows = math.pi / 2 - found[0].orientation  # skimage: from the row axis towards columns
            turn = (from_rows - fibers.azimuths[index] + math.pi / 2) % math.pi - math.pi / 2
            assert abs(turn) < 0.05
        compared += 1
    assert compared > 20
    assert np.degrees(fibers.tilts).max() > 30


def test_fibers_are_cut_by_one_edge_and_go_on_at_the_opposite_one() -> None:
    labels = scene(Settings(), (128, 200), 0.65, numpy_generator(6)).labels
    for wrapped in (np.roll(labels, 64, axis=0), np.roll(labels, 100, axis=1)):
        solidity = [region.solidity for region in regionprops(label(wrapped)) if region.area < 150]
        assert min(solidity) > 0.6  # no cut halves in the middle
    top, bottom = labels[0].astype(bool), labels[-1].astype(bool)
    assert (top == bottom).mean() > 0.85
