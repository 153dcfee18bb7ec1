"""Edits of phantoms: what is asked moves as far as it should, and nothing else moves."""

import numpy as np
import pytest
from scipy.ndimage import binary_dilation

from morphogen.evaluation.section import Section
from morphogen.instructions.triples import known_triples, reading_of
from morphogen.mathematics.randomness import NamedStreams
from morphogen.phantoms import fibers, grains, roots
from morphogen.phantoms.edits import CHANGES, changes_of, sentences, triple
from morphogen.phantoms.phantom import phantom
from morphogen.problems import Problem

IN_PLACE = (
    *("porosity higher", "porosity lower"),
    *("fibers thicker", "fibers thinner", "fibers added", "fibers taken away", "fibers straightened", "fibers tilted"),
    *("roots thicker", "roots thinner", "laterals added", "laterals taken away"),
)


@pytest.mark.parametrize(("kind", "change"), [(kind, c) for kind in CHANGES for c in CHANGES[kind]],
                         ids=lambda value: getattr(value, "name", value))  # fmt: skip
def test_the_named_reading_moves_as_told_and_the_rest_stays_in_place(kind, change):
    found = [triple(kind, seed=2, number=k, names=(change.name,)) for k in range(3)]
    ratios, moved = [], []
    for t in found:
        before, after = (
            reading_of(Section(p.picture, p.labels.astype(bool)), change).value for p in (t.before, t.after)
        )
        moved.append(change.direction * (after - before) > 0.03 * abs(before))
        if change.power is not None:
            ratios.append(after / before / t.factor**change.power)
        if change.name in IN_PLACE:
            # Beyond the reach of the camera's blur, the photographs are the same to the bit. But not where a grain that
            # has gone had lain on another, or where an edge has moved by less than a pixel.
            far = ~binary_dilation(t.changed, structure=np.ones((3, 3)), iterations=5)
            apart = np.abs(t.before.picture.grey - t.after.picture.grey)[far]
            assert far.mean() > 0.02
            assert (apart > 1).mean() < (0.2 if kind == "rock" else 0.04)
    # A window has few grains, so that one in a hundred does not show a small amount; ``known_triples`` draws another.
    assert sum(moved) == 3 or (kind == "rock" and sum(moved) == 2)
    if ratios:
        assert np.mean(ratios) == pytest.approx(1, abs=0.15 if kind == "rock" else 0.04)


def test_another_porosity_adds_grains_and_leaves_the_others():
    few, many = (grains.throw_grains(grains.Settings(porosity=p), (96, 96), 5.0, NamedStreams(1)) for p in (0.35, 0.15))
    assert len(few[0]) < len(many[0])
    np.testing.assert_array_equal(few[0], many[0][: len(few[0])])
    assert not (many[1] & ~few[1]).any()
    one_stream = [
        grains.throw_grains(grains.Settings(porosity=p), (96, 96), 5.0, np.random.default_rng(1)) for p in (0.35, 0.15)
    ]
    assert not np.array_equal(one_stream[0][0], one_stream[1][0][: len(one_stream[0][0])])


@pytest.mark.parametrize("factor", [0.75, 1.5])
def test_cement_changes_the_mean_chord_of_pores_as_the_boolean_model_says(factor):
    def mean_chord(cement_um):
        settings = grains.Settings(porosity=0.3, grain_radius_um=9.0, exact=False, cement_um=cement_um)
        _, pores = grains.throw_grains(settings, (700, 700), 1.0, NamedStreams(5))
        return pores.sum() / (np.diff(pores.astype(int), axis=1) == 1).sum()

    assert mean_chord(9.0 * (1 / factor - 1)) / mean_chord(0.0) == pytest.approx(factor, rel=0.06)


def test_what_is_taken_from_packed_fibers_leaves_the_rest_where_it_is():
    full = phantom("fiber", seed=3, size=(128, 128), coupled=True)
    for parameters in ({"left_out": 0.4}, {"thinned": 0.2}, {"straightened": 1.0}):
        less = phantom("fiber", seed=3, size=(128, 128), coupled=True, parameters=parameters)
        assert not (less.labels & ~full.labels & 1).any()
        assert less.labels.sum() < full.labels.sum()
    thinner = phantom("fiber", seed=3, size=(128, 128), coupled=True, thinned=0.2)
    assert thinner.parameters["fiber_diameter_um"] == pytest.approx(0.8 * full.parameters["fiber_diameter_um"])
    assert thinner.parameters["fibers"] == full.parameters["fibers"]
    assert f"diameter {thinner.parameters['fiber_diameter_um']:.1f} um" in thinner.caption


def test_fibers_lean_where_they_are_told_to():
    settings = fibers.Settings(fiber_volume_fraction=0.3, lean_deg=40.0, lean_direction_deg=90.0, tilt_spread_deg=3.0)
    packed = fibers.pack(settings, (200.0, 200.0), NamedStreams(1))
    assert np.degrees(packed.tilts).mean() == pytest.approx(40, abs=1)
    assert np.degrees(packed.azimuths).mean() == pytest.approx(90, abs=2)


def test_a_lateral_that_is_left_out_takes_what_grows_on_it_and_nothing_else():
    settings = roots.Settings(lateral_spacing_mm=1.0, laterals_kept=0.5)
    grown = roots.grow(settings, 300.0, (25.0, 25.0), NamedStreams(4))
    kept = roots._as_drawn(grown, settings, NamedStreams(4))
    paths = {root.path for root in kept}
    assert len(paths) < len(grown)
    assert {root.path for root in grown if root.order == 0} <= paths
    assert all(path[:-1] in paths for path in paths if len(path) > 1)
    share = np.mean([root.path in paths for root in grown if root.order == 1])
    assert share == pytest.approx(0.5, abs=0.2)
    fewer = roots._as_drawn(grown, settings.model_copy(update={"laterals_kept": 0.2}), NamedStreams(4))
    assert {root.path for root in fewer} < paths


def test_a_lateral_that_turns_leaves_the_growth_of_the_main_roots_alone():
    one, other = (
        roots.grow(roots.Settings(lateral_angle_deg=angle), 200.0, (25.0, 25.0), NamedStreams(4)) for angle in (30, 80)
    )
    assert len(one) > 10
    mains = [{root.path: root.points for root in grown if root.order == 0} for grown in (one, other)]
    for path, points in mains[0].items():
        common = min(len(points), len(mains[1][path]))
        np.testing.assert_array_equal(points[: common - 1], mains[1][path][: common - 1])


def test_orders_are_sentences_and_say_their_amount():
    for kind, changes in CHANGES.items():
        for change in changes:
            told = dict(sentences(change))
            assert len(told) >= 3, change.name
            for words in told:
                assert "  " not in words, kind
                assert words == words.strip()
                assert not set("{}") & set(words)
    told = dict(sentences(changes_of("fiber", ("fibers thicker",))[0]))
    assert told["thicken the fibers by a fifth"] == told["make the fibers thicker by a fifth"] == 1.2
    assert told["make the fibers twice as thick"] == 2
    assert "make the fibers a little thicker" in told
    rock = dict(sentences(changes_of("rock", ("porosity higher",))[0]))
    assert "make the rock more porous" in rock
    assert "make the rock more porous by a fifth" not in rock  # the amount has no place there
    assert rock["make the rock much more porous"] == 1.5


def test_a_triple_depends_on_its_number_alone_and_tells_targets_that_are_true():
    all_of_them = known_triples("rock", count=12, seed=5)
    (one,) = known_triples("rock", count=1, seed=5, first=7)
    for a, b in zip(one.pictures, all_of_them[7].pictures, strict=True):
        np.testing.assert_array_equal(a.pixels, b.pixels)
        assert a.labels == b.labels
    assert len({t.triple.change.name for t in all_of_them}) >= 4
    lowered = known_triples("rock", count=12, seed=5, names=("porosity lower",))
    targets = [t for t in lowered if any(c.isdigit() for c in t.triple.instruction)]
    assert targets
    for t in targets:
        assert float(t.triple.instruction.split()[-1]) == pytest.approx(t.triple.after.labels.mean(), abs=0.006)


def test_an_edit_that_there_is_not_is_refused():
    with pytest.raises(Problem, match="no edits of 'rok': choose one of fiber, rock, root"):
        known_triples("rok", count=1, seed=0)
    with pytest.raises(Problem, match="no edit 'pores greener' of rock: choose among porosity higher"):
        known_triples("rock", count=1, seed=0, names=("pores greener",))
