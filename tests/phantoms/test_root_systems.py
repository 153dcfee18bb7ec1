"""Root systems: every root as long and as old as the growth law says, where its parent bore it; soil as asked."""

import math
from itertools import pairwise

import numpy as np
import pytest
from scipy.ndimage import distance_transform_edt

from morphogen.evaluation.section import Section
from morphogen.evaluation.skeleton_graph import skeleton_graph
from morphogen.images.picture import Origin, Picture
from morphogen.mathematics.randomness import NamedStreams, numpy_generator
from morphogen.phantoms.instruments.tomograph import Tomograph
from morphogen.phantoms.phantom import phantom
from morphogen.phantoms.root_systems import (
    MATERIALS,
    ROOT,
    ZONES,
    GrownRoot,
    Settings,
    age_at,
    grow,
    grown_length,
    scene,
    solid,
)
from morphogen.problems import Problem

WINDOWS = [(30.0, 20.0), (30.0, 20.0, 20.0)]
SIDES = ["flat", "deep"]


def parents(roots: list[GrownRoot]) -> list[tuple[GrownRoot, GrownRoot]]:
    """Laterals with their parents."""
    known = {root.path: root for root in roots}
    return [(root, known[root.path[:-1]]) for root in roots if root.order]


def angle_between(a: np.ndarray, b: np.ndarray) -> float:
    return math.degrees(math.acos(np.clip(a @ b / np.linalg.norm(a) / np.linalg.norm(b), -1, 1)))


@pytest.mark.parametrize("window", WINDOWS, ids=SIDES)
def test_every_root_has_the_length_of_the_growth_law(window: tuple[float, ...]) -> None:
    roots = grow(Settings(age_days=12), window, numpy_generator(1))
    assert {root.order for root in roots} == {0, 1, 2}
    for root in roots:
        length = np.linalg.norm(np.diff(root.points, axis=0), axis=1).sum()
        expected = root.longest * (1 - math.exp(-root.rate * root.age / root.longest))
        assert length == pytest.approx(expected, rel=1e-6)
        assert length < root.longest


@pytest.mark.parametrize("window", WINDOWS, ids=SIDES)
def test_a_lateral_emerges_when_the_tip_of_its_parent_has_left_it_behind(window: tuple[float, ...]) -> None:
    settings = Settings(age_days=12)
    found = parents(grow(settings, window, numpy_generator(2)))
    assert len(found) > 30
    for lateral, parent in found:
        at = parent.branches[lateral.path[-1]]
        then = grown_length(parent.age - lateral.age, parent.rate, parent.longest)
        assert then == pytest.approx(at + parent.apical, rel=1e-6)
        along = np.concatenate([[0], np.linalg.norm(np.diff(parent.points, axis=0), axis=1).cumsum()])
        node = int(np.argmin(np.abs(along - at)))
        assert along[node] == pytest.approx(at, abs=1e-5)
        np.testing.assert_array_equal(parent.points[node], lateral.points[0])
        angle = angle_between(parent.points[node + 1] - parent.points[node], lateral.points[1] - lateral.points[0])
        assert angle == pytest.approx(settings.lateral_angle_deg, abs=12.1)  # two of its six degrees


def test_without_spread_the_architecture_is_known_by_counting() -> None:
    settings = Settings(plants=1, spread=0, orders=1, age_days=10)
    roots = grow(settings, (40.0, 40.0), numpy_generator(3))
    tap = 80 * (1 - math.exp(-3 * 10 / 80))
    places = 1.0 + 1.4 * np.arange(1000)
    emerged = places[places + 4 < tap]
    assert len(roots) == 1 + len(emerged)
    ages = [10 + 80 / 3 * math.log(1 - (place + 4) / 80) for place in emerged]
    lengths = [7 * (1 - math.exp(-1.3 * age / 7)) for age in ages]
    assert sum(root.length for root in roots) == pytest.approx(tap + sum(lengths), rel=1e-9)
    assert [root.radii[0] for root in roots] == pytest.approx([0.275] + [0.165] * len(emerged))
    assert roots[0].radii[-1] == pytest.approx(0.275 * 0.65)
    two = grow(settings.model_copy(update={"orders": 2}), (40.0, 40.0), numpy_generator(3))
    of_second = [root for root in two if root.order == 2]
    assert of_second
    assert all(root.longest == pytest.approx(7 * 0.35) for root in of_second)
    first = next(root for root in two if root.order == 1)
    assert first.apical == pytest.approx(4 * ZONES)
    assert np.diff(first.branches) == pytest.approx(1.4 * ZONES)


def test_length_and_age_are_each_other_s_inverse() -> None:
    for length in (0.01, 3.0, 6.9):
        assert grown_length(age_at(length, 1.3, 7.0), 1.3, 7.0) == pytest.approx(length)
    assert age_at(7.0, 1.3, 7.0) == math.inf
    assert grown_length(1e-3, 1.3, 7.0) == pytest.approx(1.3e-3, rel=1e-3)  # the rate at the start
    assert grown_length(1e3, 1.3, 7.0) == pytest.approx(7.0)


@pytest.mark.parametrize("window", WINDOWS, ids=SIDES)
def test_tropism_turns_roots_down_and_turns_are_as_wide_as_asked(window: tuple[float, ...]) -> None:
    def steepness(gravitropism: float) -> float:
        settings = Settings(gravitropism=gravitropism, orders=0, plants=6, age_days=10, tap_rate_mm_day=5)
        steps = np.concatenate([np.diff(root.points, axis=0) for root in grow(settings, window, numpy_generator(4))])
        return float(steps[:, 0].sum() / np.linalg.norm(steps, axis=1).sum())

    assert steepness(3.0) > 0.95 > 0.85 > steepness(0.0)
    free = Settings(gravitropism=0, orders=0, plants=12, age_days=10, wander_deg=20)
    turns = []
    for root in grow(free, window, numpy_generator(5)):
        steps = np.diff(root.points, axis=0)
        turns += [angle_between(a, b) ** 2 for a, b in pairwise(steps[:-1])]
    assert math.sqrt(np.mean(turns)) == pytest.approx(20 * math.sqrt(0.2), rel=0.05)


def test_recorded_parameters_are_those_of_the_geometry() -> None:
    drawn = scene(Settings(), (192, 256), 50.0, numpy_generator(6))
    roots = grow(Settings(), (9.6, 12.8), numpy_generator(6))
    by_order = [0.0, 0.0, 0.0]
    for root in roots:
        start, end = root.points[:-1, None], root.points[1:, None]
        places = start + ((np.arange(50) + 0.5) / 50)[None, :, None] * (end - start)
        inside = ((places >= 0) & (places <= (9.6, 12.8))).all(-1).mean(1)
        by_order[root.order] += float((np.linalg.norm(root.points[1:] - root.points[:-1], axis=1) * inside).sum())
    for order in range(3):
        assert drawn.parameters[f"length_of_order_{order}_mm"] == pytest.approx(by_order[order], rel=2e-3)
    assert drawn.parameters["total_length_mm"] == pytest.approx(sum(by_order), rel=2e-3)
    tips = [root.points[-1] for root in roots]
    assert drawn.parameters["tips"] == sum(bool((p >= 0).all() and (p <= (9.6, 12.8)).all()) for p in tips) > 5
    bases = [root.points[0] for root in roots if root.order]
    assert drawn.parameters["branches"] == sum(bool((p >= 0).all() and (p <= (9.6, 12.8)).all()) for p in bases) > 5
    assert 0.2 < drawn.parameters["root_diameter_mm"] < 0.55


def test_soil_has_the_shares_that_were_asked_for_and_hairs_their_length() -> None:
    settings = Settings(crack_fraction=0.2, sand_fraction=0.1, hair_length_mm=0.5, age_days=5)
    drawn = scene(settings, (160, 160), 50.0, numpy_generator(7))
    assert drawn.parameters["crack_fraction"] == pytest.approx(0.2, abs=1e-4)
    assert drawn.parameters["sand_fraction"] == pytest.approx(0.1, abs=1e-4)
    assert drawn.materials is not None
    assert set(np.unique(drawn.materials)) == {0, 1, 2, 3}
    np.testing.assert_array_equal(drawn.materials == ROOT, drawn.labels == 1)
    bare = scene(settings.model_copy(update={"hair_length_mm": 0.0}), (160, 160), 50.0, NamedStreams(7))
    hairy = scene(settings, (160, 160), 50.0, NamedStreams(7))
    assert bare.parameters["hairs"] == bare.parameters["total_hair_length_mm"] == 0
    assert hairy.parameters["total_hair_length_mm"] / hairy.parameters["hairs"] == pytest.approx(0.5, rel=0.1)
    np.testing.assert_array_equal(bare.labels, hairy.labels)  # hairs belong to no mask
    changed = hairy.reflectance - bare.reflectance
    y, x = np.nonzero(np.abs(changed) > 0.02)
    assert len(y) > 200
    away = distance_transform_edt(bare.labels == 0)[y, x]
    inner = (np.minimum(y, x) > 20) & (np.maximum(y, x) < 140)  # of a root beside the window only hairs may be seen
    assert away[inner].max() < 0.75 / 0.05 + 2  # a fringe as wide as hairs are long


LONE = {
    "plants": 1, "lateral_distance_mm": 4.0, "orders": 1, "hair_length_mm": 0, "wander_deg": 8, "gravitropism": 1.0,
    "tap_diameter_mm": 0.4, "age_days": 6.0,
}  # fmt: skip
"""A plant whose roots hardly meet again."""


def test_the_skeleton_of_the_mask_has_the_recorded_length() -> None:
    ratios, tips = [], []
    for seed in range(3):
        drawn = phantom("root_system", size=(320, 320), seed=seed, parameters=LONE)
        section = Section(Picture(drawn.labels[None], (0.05, 0.05), Origin("r")), drawn.labels == 1)
        graph = skeleton_graph(section)
        length = sum(float(branch.along[-1]) for branch in graph.branches)
        ratios.append(length / drawn.parameters["total_length_mm"])
        tips.append((drawn.parameters["tips"], int(((graph.degrees == 1) & ~graph.at_edge).sum())))
    # A lateral is counted from the middle of its parent, and a tip ends a radius before its skeleton does.
    assert np.mean(ratios) == pytest.approx(1.0, abs=0.06), ratios
    assert all(abs(true - found) <= 2 for true, found in tips), tips


def test_the_mask_is_as_long_as_skan_reads_it() -> None:
    skan = pytest.importorskip("skan", reason="skan is not installed")
    from skimage.morphology import skeletonize

    for seed in range(2):
        drawn = phantom("root_system", size=(320, 320), seed=seed, parameters=LONE)
        length = 0.05 * skan.Skeleton(skeletonize(drawn.labels > 0)).path_lengths().sum()
        # Steps of pixels are up to 8 % too long (Dorst and Smeulders 1987), ends a radius too short.
        assert 0.95 < length / drawn.parameters["total_length_mm"] < 1.10


def test_a_solid_has_the_roots_where_they_grew_and_is_seen_by_the_tomograph() -> None:
    settings = Settings(plants=1, tap_diameter_mm=1.0, age_days=5, orders=1)
    made = solid(settings, (24, 28, 28), 300.0, numpy_generator(8))
    roots = grow(settings, (7.2, 8.4, 8.4), numpy_generator(8))
    centres = (np.stack(np.indices(made.labels.shape), -1) + 0.5) * 0.3
    brute = np.zeros(made.labels.shape, bool)
    for root in roots:
        for (a, b), (r0, r1) in zip(pairwise(root.points), pairwise(root.radii), strict=True):
            share = np.clip(((centres - a) @ (b - a)) / ((b - a) @ (b - a)), 0, 1)
            away = np.linalg.norm(centres - a - share[..., None] * (b - a), axis=-1)
            brute |= away <= r0 + share * (r1 - r0)
    np.testing.assert_array_equal(made.labels == ROOT, brute)
    assert made.materials == MATERIALS
    assert made.parameters["root_volume_fraction"] == brute.mean() > 0.005
    assert len(made.geometry["points"]) == made.geometry["points of each root"].sum() == len(made.geometry["radii"])
    volume = Tomograph(angles=40).scan(made, "uint16", numpy_generator(0))
    assert volume.pixels.shape == made.labels.shape
    grey = {label: volume.pixels[made.labels == label].mean() for label in (1, 2, ROOT)}
    assert grey[ROOT] < grey[1] < grey[2]  # water, soil, quartz


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"tap_diameter_mm": 0.02}, "do not fit"),
        ({"lateral_distance_mm": 0.05, "tap_length_mm": 9000}, "too many to draw"),
    ],
)
def test_what_cannot_be_drawn_is_refused(parameters: dict[str, float], words: str) -> None:
    with pytest.raises(Problem, match=words):
        phantom("root_system", seed=0, parameters=parameters)
