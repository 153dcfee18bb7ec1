"""A comparison ranks sets as a scientist would, and refuses those that cannot be compared."""

import math
import re
import sys
from collections import defaultdict
from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage

import morphogen.evaluation.compare as compare_module
import morphogen.evaluation.fields as fields_module
from morphogen.evaluation import controls, intervals
from morphogen.evaluation.compare import compare, random_pairs, require_comparable
from morphogen.evaluation.controls import noise
from morphogen.evaluation.descriptors.vector import DescriptorVector
from morphogen.evaluation.fields import fields, halves
from morphogen.evaluation.paired import PairedScore, paired_summary
from morphogen.evaluation.segmentation.threshold import Threshold
from morphogen.images.image_set import Pictures
from morphogen.images.intensity import IntensityMap
from morphogen.images.picture import Origin, Picture
from morphogen.mathematics.randomness import numpy_generator
from morphogen.problems import Problem
from morphogen.report import figures
from morphogen.report.figures import chosen
from morphogen.specimens.specimen import Specimen

ROCK = Specimen(
    name="rock",
    phase="pore",
    phase_is="dark",
    fraction="porosity",
    symmetries=frozenset(),
    descriptors=("phase_fraction", "two_point_correlation", "grey_levels"),
)


def rocks(count, seed, porosity=0.35, grain=2.5, size=(48, 48), specimens=1, spacing=(2.0, 2.0), dtype="uint8"):
    """Smoothed noise cut at a level: dark pores of a chosen share and size in a bright solid."""
    generator = np.random.default_rng(seed)
    pictures = []
    for i in range(count):
        smooth = ndimage.gaussian_filter(generator.normal(size=size), grain, mode="wrap")
        pores = smooth / smooth.std() < math.sqrt(2) * _inverse_erf(2 * porosity - 1)
        grey = np.where(pores, 60, 180) + generator.normal(0, 8, size)
        origin = Origin(f"{seed}-{i % specimens}", f"volume {seed}", slice=i)
        pictures.append(Picture(np.clip(grey, 0, 255).astype(dtype)[None], spacing, origin))
    return Pictures(pictures, f"rocks {seed}")


def _inverse_erf(value):
    from scipy.special import erfinv

    return float(erfinv(value))


class MeanDifference:
    """A stand-in for LPIPS: mean absolute difference of the two images of a pair."""

    name = "mean difference"
    higher_is_more_diverse = True

    def __call__(self, images, intensity, pairs):
        units = [intensity.to_unit(picture.pixels) for picture in images]
        return np.array([np.abs(units[i] - units[j]).mean() for i, j in pairs])


@pytest.fixture(scope="module")
def sets():
    return {
        "measured": rocks(40, 1),
        "floor": rocks(36, 2),
        "generated": {
            "good": rocks(50, 3),
            "porous": rocks(36, 4, porosity=0.5),
            "coarse": rocks(20, 5, grain=5.0),
            "one kind": Pictures(_repeated(rocks(1, 6)[0], 36)),
        },
        "another": {"sandstone": rocks(36, 7, porosity=0.15, grain=4.0)},
    }


def _repeated(picture, count):
    """The same image again and again, with a little noise: a collapsed generator."""
    generator = np.random.default_rng(0)
    for i in range(count):
        grey = picture.pixels + generator.normal(0, 3, picture.pixels.shape)
        yield Picture(np.clip(grey, 0, 255).astype("uint8"), picture.spacing_um, Origin("generated", str(i)))


@pytest.fixture(scope="module")
def comparison(sets):
    extract = DescriptorVector(Threshold.otsu(sets["measured"], "dark"))
    return compare(**sets, specimen=ROCK, extractors=[extract], diversity=[MeanDifference()])


def scores(comparison, metric):
    return {s.compared: s for s in comparison.scores if s.metric == metric}


def readings(comparison, descriptor):
    return {r.compared: r for r in comparison.readings if r.descriptor == descriptor}


@pytest.mark.parametrize("metric", ["Frechet distance", "kernel distance"])
def test_a_good_set_is_at_the_floor_and_noise_is_far(comparison, metric):
    found = scores(comparison, metric)
    assert abs(found["good"].ratio_to_floor) < 2.5
    assert abs(found["floor"].ratio_to_floor) <= 1
    for name in ("porous", "coarse", "one kind", "sandstone"):
        assert found[name].ratio_to_floor > max(2.0, 1.5 * abs(found["good"].ratio_to_floor)), name
    assert found["noise"].ratio_to_floor > 20
    assert found["noise"].ratio_to_floor > 3 * found["porous"].ratio_to_floor


def test_identity_is_perfect(comparison):
    assert scores(comparison, "Frechet distance")["identity"].estimate.value == pytest.approx(0, abs=1e-8)
    assert scores(comparison, "precision")["identity"].estimate.value == 1
    assert scores(comparison, "recall")["identity"].estimate.value == 1


def test_collapse_shows_in_recall_and_diversity(comparison):
    assert scores(comparison, "recall")["one kind"].ratio_to_floor < 0.3
    assert scores(comparison, "precision")["one kind"].ratio_to_floor > 0.7
    diversity = {d.compared: d.estimate for d in comparison.diversities}
    assert diversity["one kind"].high < 0.3 * diversity["measured"].low
    assert diversity["good"].low < diversity["measured"].value < diversity["good"].high


def test_every_set_has_a_floor_of_its_own_size(comparison, sets):
    for score in comparison.scores:
        assert score.estimate.n_measured == score.floor.n_measured == 40
        if score.role != "identity":
            assert score.estimate.n_generated == score.floor.n_generated
    sizes = {s.compared: s.estimate.n_generated for s in comparison.scores}
    assert sizes == {
        "floor": 36, "good": 36, "porous": 36, "coarse": 20, "one kind": 36, "sandstone": 36,
        "identity": 40, "noise": 36,
    }  # fmt: skip
    notes = " ".join(comparison.notes)
    assert "good: distances use the first 36 of 50 fields" in notes
    assert "coarse: only 20 fields; its floor uses the first 20 of 36" in notes
    roles = {s.compared: s.role for s in comparison.scores}
    assert roles["sandstone"] == "another"
    assert roles["good"] == "generated"


def test_more_pores_raise_the_porosity(comparison):
    porosity = readings(comparison, "porosity")
    assert porosity["measured"].low < 0.35 < porosity["measured"].high
    assert porosity["porous"].low > porosity["measured"].high
    assert porosity["porous"].mean == pytest.approx(0.5, abs=0.04)
    assert porosity["sandstone"].mean == pytest.approx(0.15, abs=0.04)
    assert porosity["identity"].mean == porosity["measured"].mean
    assert porosity["measured"].unit == ""


def test_coarser_grains_raise_the_correlation_length_in_micrometres(comparison):
    """Noise smoothed with sigma has the autocovariance of the cut of exp(-r^2 / 4 sigma^2)."""
    length = readings(comparison, "correlation length")
    assert length["measured"].unit == "µm"
    # chi of a Gaussian field cut near its median is about (2/pi) asin(rho): 1/e at rho = sin(pi/(2e)).
    sigma_um = 2.5 * 2.0
    expected = 2 * sigma_um * math.sqrt(-math.log(math.sin(math.pi / (2 * math.e))))
    assert length["measured"].mean == pytest.approx(expected, rel=0.08)
    assert length["coarse"].low > 1.4 * length["measured"].high
    assert length["noise"].mean < 0.5 * length["measured"].mean


def test_curves_start_at_the_porosity_and_their_band_holds_the_mean(comparison):
    porosity = readings(comparison, "porosity")
    curves = {c.compared: c for c in comparison.curves if c.descriptor == "two-point correlation"}
    assert set(curves) == set(porosity)
    for name, curve in curves.items():
        assert curve.mean[0] == pytest.approx(porosity[name].mean)
        assert curve.x[0] == 0
        assert curve.x_unit == "µm"
        assert all(low <= mean <= high for low, mean, high in zip(curve.low, curve.mean, curve.high, strict=True))
    assert len(comparison.curves) == 3 * len(porosity)  # radial, along x, along y


def test_noise_keeps_the_histogram_and_nothing_else(sets, comparison):
    grey = readings(comparison, "grey level mean")
    assert grey["noise"].mean == pytest.approx(grey["measured"].mean, abs=1)
    made = noise(sets["measured"], seed=3)
    assert made[0].pixels.dtype == np.uint8
    measured_levels = np.unique(np.concatenate([p.pixels.ravel() for p in sets["measured"]]))
    assert np.isin(np.concatenate([p.pixels.ravel() for p in made]), measured_levels).all()
    neighbours = np.corrcoef(made[0].grey[:, :-1].ravel(), made[0].grey[:, 1:].ravel())[0, 1]
    assert abs(neighbours) < 0.1
    assert noise(sets["measured"], seed=3).fingerprint == made.fingerprint != noise(sets["measured"], 4).fingerprint


def test_noise_keeps_colours_together():
    pixels = np.zeros((3, 8, 8), dtype=np.uint16)
    pixels[0, :4] = 900
    pixels[2, 4:] = 70
    made = noise(Pictures([Picture(pixels, (1.0, 1.0), Origin("s"))]))[0].pixels
    assert {tuple(c) for c in made.reshape(3, -1).T.tolist()} == {(900, 0, 0), (0, 0, 70)}


def test_the_record_says_what_was_compared(comparison, sets):
    assert comparison.measured_fingerprint == sets["measured"].fingerprint
    assert comparison.fingerprints["good"] == sets["generated"]["good"].fingerprint
    assert comparison.fingerprints["identity"] == comparison.measured_fingerprint
    level = re.fullmatch(r"up to the grey level ([0-9.]+) \(Otsu\)", comparison.segmentation)
    assert 100 < float(level.group(1)) < 140
    assert comparison.field_px == (48, 48)
    assert comparison.interval_unit == "field"
    assert any("fewer than 6" in note for note in comparison.notes)


def quick(**changes):
    """A small comparison with something changed."""
    given = {
        "measured": rocks(8, 11),
        "floor": rocks(8, 12),
        "generated": {"model": rocks(8, 13)},
        "specimen": ROCK,
        "extractors": [],
        "resamples": 20,
    }
    return compare(**(given | changes))


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"generated": {"model": rocks(8, 13, size=(32, 48))}}, "field size of 'model'"),
        ({"generated": {"model": rocks(8, 13, dtype="uint16")}}, "pixel type of 'model'"),
        ({"generated": {"model": rocks(8, 13, spacing=(4.0, 4.0))}}, "pixel sizes differ"),
        ({"generated": {"model": rocks(8, 11)}}, "are the same images"),
        ({"floor": rocks(8, 11)}, "are the same images"),
        ({"generated": {"noise": rocks(8, 13)}}, "two sets are called 'noise'"),
        ({"generated": {"model": rocks(7, 13)}}, "only 7 fields"),
        ({"another": {"model": rocks(8, 14)}}, "two sets are called 'model'"),
    ],
)
def test_sets_that_cannot_be_compared_are_refused(changes, says):
    with pytest.raises(Problem, match=says):
        quick(**changes)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"floor": rocks(8, 12, size=(32, 48))}, "field size of 'floor'"),
        ({"floor": rocks(8, 12, dtype="uint16")}, "pixel type of 'floor'"),
        ({"another": {"sandstone": rocks(8, 14, spacing=(4.0, 4.0))}}, "pixel sizes differ"),
        ({"floor": rocks(8, 11)}, "'floor' and 'measured' are the same images"),
        ({"another": {"sandstone": rocks(8, 12)}}, "'sandstone' and 'floor' are the same images"),
        ({"measured": rocks(7, 11)}, "'measured' has only 7 fields"),
        ({"another": {"floor": rocks(8, 14)}}, "two sets are called 'floor'"),
    ],
)
def test_measured_sets_that_cannot_be_compared_are_refused_before_there_is_a_generated_one(changes, says):
    given = {"measured": rocks(8, 11), "floor": rocks(8, 12)}
    require_comparable(**given, another={"sandstone": rocks(8, 14)})
    with pytest.raises(Problem, match=says):
        require_comparable(**(given | changes))
    with pytest.raises(Problem, match=says):
        quick(**changes)


def test_a_metric_has_the_name_that_the_field_gives_it_over_these_features():
    inner = DescriptorVector(Threshold(120, "dark"))

    class Inception:
        name, identity = inner.name, inner.identity

        def __call__(self, images, intensity):
            return replace(inner(images, intensity), metric_names={"Frechet distance": "FID"})

    found = quick(extractors=[Inception()])
    rest = {"kernel distance", "precision", "recall", "density", "coverage"}
    assert {s.metric for s in found.scores} == {"FID"} | rest
    plain = quick(extractors=[inner])
    assert {s.metric for s in plain.scores} == {"Frechet distance"} | rest


def test_pixels_that_are_not_numbers_are_refused():
    broken = list(rocks(8, 13, dtype="float32"))
    pixels = broken[3].pixels.copy()
    pixels[0, 0, 0] = np.nan
    broken[3] = Picture(pixels, broken[3].spacing_um, broken[3].origin)
    floats = {"measured": rocks(8, 11, dtype="float32"), "floor": rocks(8, 12, dtype="float32")}
    with pytest.raises(Problem, match="not numbers"):
        quick(**floats, generated={"model": Pictures(broken)})


def test_one_set_without_a_pixel_size_puts_all_lengths_in_pixels():
    unknown = rocks(8, 13, spacing=(math.nan, math.nan))
    found = quick(generated={"model": unknown})
    assert {c.x_unit for c in found.curves} == {"px"}
    assert any("in pixels" in note for note in found.notes)
    assert found.fingerprints["model"] == unknown.fingerprint


def test_the_threshold_of_the_measured_set_is_applied_to_all():
    """A set that is 70 grey levels brighter has fewer dark pixels, not a threshold of its own."""
    bright = Pictures(
        Picture(np.clip(p.pixels + 70.0, 0, 255).astype("uint8"), p.spacing_um, p.origin) for p in rocks(8, 13)
    )
    found = quick(generated={"model": bright})
    assert readings(found, "porosity")["model"].mean < 0.1
    assert readings(found, "porosity")["measured"].mean == pytest.approx(0.35, abs=0.06)


def test_an_empty_set_has_no_correlation_length_and_says_so():
    generator = np.random.default_rng(0)
    solid = Pictures(
        Picture(generator.integers(170, 190, (1, 48, 48)).astype("uint8"), (2.0, 2.0), Origin("m", str(i)))
        for i in range(8)
    )
    found = quick(generated={"model": solid})
    length = readings(found, "correlation length")["model"]
    assert length.mean is None
    assert length.invalid == "only one phase is present"
    assert readings(found, "porosity")["model"].mean == 0
    assert (length.n, length.n_invalid) == (0, 8)


def test_many_specimens_are_the_resampling_unit():
    found = quick(measured=rocks(12, 11, specimens=6), floor=rocks(12, 12, specimens=6))
    assert found.interval_unit == "specimen"


def test_features_are_extracted_once_for_each_set():
    inner = DescriptorVector(Threshold(120, "dark"))
    calls = []

    class Counting:
        name, identity = inner.name, inner.identity

        def __call__(self, images, intensity):
            calls.append(images.fingerprint)
            return inner(images, intensity)

    quick(extractors=[Counting()])
    assert len(calls) == len(set(calls)) == 4  # measured (and so identity), floor, model, noise


def test_a_generated_range_never_decides_the_intensity():
    seen = []

    class Watching(MeanDifference):
        def __call__(self, images, intensity, pairs):
            seen.append((intensity.low, intensity.high))
            return super().__call__(images, intensity, pairs)

    measured, floor = rocks(8, 11), rocks(8, 12)
    saturated = Pictures(
        Picture(np.where(p.pixels > 120, 255, 0).astype("uint8"), p.spacing_um, p.origin) for p in rocks(8, 13)
    )
    found = quick(measured=measured, floor=floor, generated={"model": saturated}, diversity=[Watching()])
    declared = IntensityMap.of([*measured, *floor])
    assert set(seen) == {(declared.low, declared.high)}
    assert any(note.startswith("model: 1e+02 % of the pixels lie outside") for note in found.notes)


def test_no_two_uses_of_randomness_share_a_stream(monkeypatch):
    """Every stream is recorded with the line that asked for it; SeedSequence fills a key up with zeros."""
    asked = defaultdict(set)

    def recorded(*key):
        caller = sys._getframe(1)
        here = caller.f_code.co_filename
        asked[here if here.endswith("intervals.py") else (here, caller.f_lineno)].add((*key, 0, 0, 0)[:4])
        return numpy_generator(*key)

    for module in (fields_module, controls, compare_module, intervals, figures):
        monkeypatch.setattr(module, "numpy_generator", recorded)
    single = rocks(1, 27, size=(48, 160))
    fields(rocks(6, 28), (16, 16), 40)
    halves(single, (16, 16))
    chosen(rocks(6, 28), 3, 0, (99, 99))
    random_pairs(50, 20, seed=0)
    quick(extractors=[DescriptorVector(Threshold(120, "dark"))], diversity=[MeanDifference()])
    paired_summary(
        [PairedScore(pair=str(i), specimen="s", metric="m", higher_is_more_similar=True, value=i) for i in range(3)]
    )
    assert len(asked) == 7
    every = [key for keys in asked.values() for key in keys]
    assert len(every) == len(set(every))
    weights = next(keys for place, keys in asked.items() if isinstance(place, str))
    assert len(weights) == 5  # measured rows, compared rows, readings, diversity, pairs


def test_random_pairs_are_different_pairs():
    every = random_pairs(20, 1000, seed=0)
    assert len({tuple(p) for p in every.tolist()}) == 190
    some = random_pairs(3000, 400, seed=0)
    assert len({tuple(p) for p in some.tolist()}) == 400
    assert (some[:, 0] < some[:, 1]).all()
    assert some.min() >= 0
    assert some.max() < 3000
    assert some[:, 0].mean() == pytest.approx(1000, rel=0.15)  # uniform over i < j


def test_the_interval_of_a_diversity_knows_that_pairs_share_images():
    """For a sum of one number of each image the standard error is 2 sd / sqrt(n), whatever the pairs."""

    class Sum(MeanDifference):
        def __call__(self, images, intensity, pairs):
            brightness = np.array([picture.pixels.mean() for picture in images])
            return np.array([brightness[i] + brightness[j] for i, j in pairs])

    measured = rocks(24, 11)
    found = quick(measured=measured, diversity=[Sum()], resamples=1000)
    estimate = next(d.estimate for d in found.diversities if d.compared == "measured")
    brightness = np.array([picture.pixels.mean() for picture in measured])
    assert estimate.value == pytest.approx(2 * brightness.mean())
    error = 2 * brightness.std(ddof=1) / math.sqrt(len(measured))
    assert estimate.high - estimate.low == pytest.approx(2 * 1.96 * error, rel=0.12)


def areas(images):
    """Every pixel of every source as (specimen, slice, row, column)."""
    taken = []
    for p in images:
        top, left, height, width = p.origin.region or (0, 0, *p.size)
        rows, columns = np.mgrid[top : top + height, left : left + width]
        taken += [(p.origin.specimen, p.origin.slice, y, x) for y, x in zip(rows.flat, columns.flat, strict=True)]
    return taken


def test_fields_do_not_overlap_and_are_spread_evenly():
    volume = [*rocks(6, 21, size=(40, 61)), *rocks(2, 22, size=(70, 50))]
    cut = fields(Pictures(volume), (16, 20), 40, seed=1)
    assert {p.size for p in cut} == {(16, 20)}
    taken = areas(cut)
    assert len(taken) == len(set(taken))
    few = fields(Pictures(volume), (16, 20), 8, seed=1)
    of_specimen = [p.origin.specimen for p in few]
    assert of_specimen.count("21-0") == of_specimen.count("22-0") == 4
    assert len({p.origin.slice for p in few if p.origin.specimen == "21-0"}) == 4  # not twice from one slice
    assert [p.origin.region for p in few] == [p.origin.region for p in list(cut)[:8]]
    assert len(cut) == 6 * 2 * 3 + 2 * 4 * 2 - 12  # asked for 40 of the 52 that there are
    assert len(fields(Pictures(volume), (16, 20), 999, seed=1)) == 52
    assert fields(Pictures(volume), (16, 20), 8, seed=2).fingerprint != few.fingerprint
    with pytest.raises(Problem, match="smaller than a field"):
        fields(Pictures(volume), (48, 48), 8)


def test_fields_keep_the_pixels_of_their_region():
    source = rocks(1, 23, size=(50, 70))
    for cut in fields(source, (16, 16), 12, seed=5):
        top, left, height, width = cut.origin.region
        np.testing.assert_array_equal(cut.pixels, source[0].pixels[:, top : top + height, left : left + width])


def test_halves_share_no_specimen_where_there_are_two():
    volume = rocks(30, 24, specimens=5)
    reference, floor = halves(volume, (16, 16), seed=3)
    assert not set(reference.specimens) & set(floor.specimens)
    assert len(reference) + len(floor) == 30
    assert abs(len(reference) - len(floor)) <= 6  # one specimen


@pytest.mark.parametrize("size", [(48, 90), (90, 48)])
def test_halves_of_one_specimen_have_a_field_between_them(size):
    field = (16, 20)
    reference, floor = halves(rocks(3, 25, size=size), field, seed=4)
    taken, other = areas(reference), areas(floor)
    assert not set(taken) & set(other)
    axis = 2 if size[0] > size[1] else 3
    gap = max(
        min(t[axis] for t in other) - max(t[axis] for t in taken),
        min(t[axis] for t in taken) - max(t[axis] for t in other),
    )
    assert gap > field[axis - 2]
    assert len(fields(reference, field, 99)) >= 3
    with pytest.raises(Problem, match="too short"):
        halves(rocks(1, 26), (20, 20))
