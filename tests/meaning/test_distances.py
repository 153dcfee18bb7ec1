"""Distances and intervals say what their names promise."""

import math

import numpy as np
import pytest

from morphogen.evaluation.distances.frechet import DISTANCE as FRECHET
from morphogen.evaluation.distances.frechet import frechet_distance
from morphogen.evaluation.distances.kernel import DISTANCE as KERNEL
from morphogen.evaluation.distances.kernel import kernel_distance
from morphogen.evaluation.distances.precision_recall import precision_and_recall
from morphogen.evaluation.distances.set_distance import distance_names, set_distance
from morphogen.evaluation.feature_table import FeatureTable
from morphogen.evaluation.intervals import (
    Replicates,
    mean_replicates,
    ratio_to_floor,
    resampling_weights,
    unit,
)
from morphogen.problems import Problem


def table(values, groups=None, extractor="e", **more):
    values = np.asarray(values, dtype=np.float64)
    return FeatureTable("numbers", extractor, "i", values, tuple(groups or ["s"] * len(values)), **more)


def two_kinds(n, generator, share=0.5, d=5):
    """Rows about two centres, as images of two kinds would lie."""
    first = generator.random(n) < share
    return generator.normal(size=(n, d)) + np.where(first[:, None], -6.0, 6.0)


@pytest.mark.parametrize("count", [6, 8, 12])
def test_the_interval_of_a_mean_holds_it_with_few_units_too(count):
    """95 % are promised; 800 trials scatter by 0.8 %, and quantiles without Student's t would hold 86 to 92 %."""
    generator = np.random.default_rng(count)
    held = []
    for trial in range(800):
        values = generator.normal(size=count)
        low, high = np.quantile(mean_replicates(values, ["s"] * count, 200, trial), (0.025, 0.975))
        held.append(low <= 0 <= high)
    assert 0.925 < np.mean(held) < 0.985


def test_mode_collapse_lowers_recall_and_not_precision():
    generator = np.random.default_rng(0)
    measured = table(two_kinds(300, generator))
    precision, recall = precision_and_recall(measured=measured, generated=table(two_kinds(300, generator, share=0.0)))
    assert precision.value > 0.8
    assert recall.value < 0.55
    fair = precision_and_recall(measured=measured, generated=table(two_kinds(300, generator)))
    assert min(e.value for e in fair) > 0.8


def test_wrong_samples_lower_precision_and_not_recall():
    generator = np.random.default_rng(1)
    measured = table(two_kinds(300, generator))
    wrong = np.concatenate([two_kinds(300, generator), generator.normal(size=(300, 5)) * 0.5 + [40, 0, 0, 0, 0]])
    precision, recall = precision_and_recall(measured=measured, generated=table(wrong))
    assert precision.value < 0.55
    assert recall.value > 0.8


def test_identical_sets():
    generator = np.random.default_rng(2)
    same = table(generator.normal(size=(80, 20)))
    assert frechet_distance(measured=same, generated=same).value == pytest.approx(0, abs=1e-9)
    assert [e.value for e in precision_and_recall(measured=same, generated=same)] == [1, 1]
    blank = table(np.concatenate([same.values, np.full((20, 20), 7.1)]))  # with many equal, blank fields
    assert [e.value for e in precision_and_recall(measured=blank, generated=blank)] == [1, 1]
    twins = kernel_distance(measured=same, generated=same)
    assert -0.2 < twins.value < 0  # the unbiased form; each image has its twin in the other set


def test_blank_fields_in_both_sets_are_realistic_and_covered():
    """Many equal rows make balls of radius 0; rounding must not put their twins outside."""
    generator = np.random.default_rng(0)
    for _ in range(40):  # which of them rounding would get wrong depends on the machine
        d, n, m = 512, 60, int(generator.integers(15, 45))
        blank = 5 * generator.normal(size=(1, d))
        measured = table(np.concatenate([generator.normal(size=(n, d)), blank.repeat(20, 0)]))
        generated = table(np.concatenate([generator.normal(size=(m, d)) + 50, blank.repeat(9, 0)]))
        precision, recall = precision_and_recall(measured=measured, generated=generated)
        assert precision.value == 9 / (9 + m)
        assert recall.value == 20 / (20 + n)


@pytest.mark.parametrize("name", ["frechet", "kernel"])
def test_distances_grow_with_the_shift(name):
    generator = np.random.default_rng(3)
    measured = table(generator.normal(size=(200, 10)))
    values = [
        set_distance(name)(measured=measured, generated=table(generator.normal(size=(200, 10)) + shift))[0].value
        for shift in (0.0, 0.2, 0.4, 0.8)
    ]
    assert values == sorted(values)
    assert values[-1] > 5 * abs(values[0])


def test_kernel_distance_is_unbiased_and_its_replicates_too():
    """Over many pairs of small samples of one distribution it scatters about zero, unlike Frechet's."""
    generator = np.random.default_rng(4)
    values, means = [], []
    for _ in range(150):
        X, Y = table(generator.normal(size=(24, 6))), table(generator.normal(size=(30, 6)))
        (result,) = KERNEL(measured=X, generated=Y, resamples=100)
        values.append(result.value)
        # The raw replicates are shifted to the estimate; the shift must have been small.
        means.append(_raw_mean_of_kernel_replicates(X, Y) - result.value)
    error = np.std(values) / math.sqrt(len(values))
    assert abs(np.mean(values)) < 3.5 * error
    assert abs(np.mean(means)) < 0.3 * np.std(values)


def test_a_few_far_fields_do_not_decide_over_descriptors():
    """Heavy tails as descriptors have them: a collapsed set is told from a fresh one, each with its interval."""
    generator = np.random.default_rng(3)

    def fields(count, spread=1.0):
        return table(spread * generator.standard_t(3, size=(count, 13)), units_differ=True)

    measured = fields(224)
    fresh, collapsed = (kernel_distance(measured=measured, generated=fields(400, s)) for s in (1.0, 0.4))
    assert collapsed.low > 3 * max(abs(fresh.low), fresh.high)
    far = table(np.concatenate([measured.values, np.full((2, 13), 40.0)]), units_differ=True)
    assert kernel_distance(measured=measured, generated=far).value < 0.1 * collapsed.value


def _raw_mean_of_kernel_replicates(X, Y):
    from morphogen.evaluation.distances import kernel
    from morphogen.evaluation.intervals import units

    w, v = resampling_weights(X.groups, 100, 0), resampling_weights(Y.groups, 100, 1)
    within = (kernel._mean_within(t.values, units(t.groups), u, kernel.cubic_kernel) for t, u in ((X, w), (Y, v)))
    draws = sum(within)
    return float((draws - 2 * kernel._mean_between(X.values, Y.values, w, v, kernel.cubic_kernel)).mean())


@pytest.mark.parametrize(("distance", "d", "n"), [(FRECHET, 4, 60), (FRECHET, 80, 40), (KERNEL, 6, 50)])
@pytest.mark.parametrize("shift", [0.0, 0.6])
def test_intervals_are_as_wide_as_the_distance_scatters(distance, d, n, shift):
    """Never narrower than 0.8 of the true scatter, and, at a floor (shift 0), at most 2.2 times as wide."""
    generator = np.random.default_rng(5)
    values, spreads = [], []
    for _ in range(120):
        X, Y = table(generator.normal(size=(n, d))), table(generator.normal(size=(n, d)) + shift)
        (result,) = distance(measured=X, generated=Y, resamples=100)
        values.append(result.value)
        spreads.append(result.draws.std())
    assert 0.8 < np.mean(spreads) / np.std(values) < 2.2


def test_the_mean_of_fields_is_covered_in_95_of_100_cases():
    generator = np.random.default_rng(6)
    covered = []
    for k in range(600):
        values = generator.exponential(size=40)
        low, high = np.quantile(mean_replicates(values, ["s"] * 40, 400, k), (0.025, 0.975))
        covered.append(low <= 1.0 <= high)
    assert 0.90 <= np.mean(covered) <= 0.975


def test_the_mean_over_specimens_is_covered_only_when_specimens_are_resampled():
    """Ten fields each of eight specimens that differ: fields alone would give a quarter of the width."""
    generator = np.random.default_rng(7)
    of_specimens, of_fields = [], []
    for k in range(300):
        values = np.repeat(generator.normal(size=8), 10) + 0.3 * generator.normal(size=80)
        groups = [f"s{i // 10}" for i in range(80)]
        for names, covered in ((groups, of_specimens), (["s"] * 80, of_fields)):
            low, high = np.quantile(mean_replicates(values, names, 300, k), (0.025, 0.975))
            covered.append(low <= 0.0 <= high)
    assert np.mean(of_specimens) > 0.86
    assert np.mean(of_fields) < 0.6


def test_specimens_are_resampled_whole_from_six_on():
    assert unit([f"s{i}" for i in range(5)] * 3) == "field"
    groups = [f"s{i}" for i in range(6)] * 3
    assert unit(groups) == "specimen"
    weights = resampling_weights(groups, 50, 0)
    np.testing.assert_array_equal(weights[:, :6], weights[:, 6:12])
    np.testing.assert_array_equal(weights[:, :6].sum(axis=1), 6)
    by_field = resampling_weights(["s"] * 18, 50, 0)
    assert (by_field[:, :6] != by_field[:, 6:12]).any()
    np.testing.assert_array_equal(by_field.sum(axis=1), 18)


def test_a_replicate_always_holds_two_units():
    assert ((resampling_weights(["a", "b"], 500, 0) > 0).sum(axis=1) == 2).all()


def test_ratio_to_floor_is_about_one_at_the_floor_and_large_far_away():
    generator = np.random.default_rng(8)
    near, far = [], []
    for _ in range(30):
        measured, floor, fair = (table(generator.normal(size=(60, 8))) for _ in range(3))
        wrong = table(generator.normal(size=(60, 8)) + 1.5)
        for distance in (FRECHET, KERNEL):
            (of_floor,) = distance(measured=measured, generated=floor)
            for compared, ratios in ((fair, near), (wrong, far)):
                (result,) = distance(measured=measured, generated=compared)
                ratios.append(ratio_to_floor(result.value, of_floor, higher_is_better=False))
    assert abs(np.median(near)) < 1.3
    assert np.max(np.abs(near)) < 4
    assert np.min(far) > 8


def test_ratio_to_floor_by_hand():
    resolved = Replicates.around(2.0, np.array([1.9, 2.0, 2.1]), 9, 9)
    assert ratio_to_floor(6.0, resolved, higher_is_better=False) == pytest.approx(3.0, rel=0.01)
    noise = Replicates.around(-0.1, np.array([-1.1, -0.1, 0.9]), 9, 9)  # an unbiased floor below zero
    assert ratio_to_floor(3.0, noise, higher_is_better=False) == pytest.approx(3 / math.sqrt(2.03 / 3))
    share = Replicates.around(0.8, np.array([0.7, 0.8, 0.9]), 9, 9, limits=(0, 1))
    assert ratio_to_floor(0.4, share, higher_is_better=True) == pytest.approx(0.5)
    nothing = Replicates.around(0.0, np.zeros(3), 9, 9, limits=(0, 1))
    assert math.isnan(ratio_to_floor(0.4, nothing, higher_is_better=True))


def test_intervals_stay_among_possible_values():
    generator = np.random.default_rng(9)
    for _ in range(10):
        X, Y = table(generator.normal(size=(20, 2))), table(generator.normal(size=(20, 2)))
        distance = frechet_distance(measured=X, generated=Y)
        assert 0 <= distance.low <= distance.value <= distance.high
        for share in precision_and_recall(measured=X, generated=Y):
            assert 0 <= share.low <= share.value <= share.high <= 1


def test_columns_of_different_units_are_weighed_by_the_measured_set():
    """A grey level in thousands must not drown a fraction; and the compared set has no say in the scale."""
    generator = np.random.default_rng(10)
    scale = np.array([1e4, 1e-3])

    def rows(shift):
        return (generator.normal(size=(200, 2)) + shift) * scale

    measured, low_fraction = rows(0), rows([0, -3])
    blind = frechet_distance(measured=table(measured), generated=table(low_fraction))
    seeing = frechet_distance(
        measured=table(measured, units_differ=True), generated=table(low_fraction, units_differ=True)
    )
    assert blind.value < 0.05 * scale[0] ** 2
    assert seeing.value == pytest.approx(9, rel=0.2)
    wide = frechet_distance(
        measured=table(measured, units_differ=True), generated=table(rows(0) * 3, units_differ=True)
    )
    assert wide.value == pytest.approx(8, rel=0.3)  # twice (3 - 1)^2: its own scale is not divided out


@pytest.mark.parametrize("name", distance_names())
def test_features_of_two_extractors_are_refused(name):
    values = np.random.default_rng(11).normal(size=(10, 3))
    with pytest.raises(Problem, match="cannot be compared"):
        set_distance(name)(measured=table(values), generated=table(values, extractor="resized"))
    with pytest.raises(Problem, match="too few"):
        set_distance(name)(measured=table(values), generated=table(values[:1]))


@pytest.mark.parametrize("name", distance_names())
def test_measured_and_generated_cannot_be_mixed_up(name):
    values = table(np.random.default_rng(12).normal(size=(10, 3)))
    with pytest.raises(TypeError):
        set_distance(name)(values, values)
    distance = set_distance(name)
    one, two = (distance(measured=values, generated=values, seed=5) for _ in range(2))
    assert [r.estimate for r in one] == [r.estimate for r in two]  # the same seed, the same interval
    assert len(one) == len(distance.metrics)
