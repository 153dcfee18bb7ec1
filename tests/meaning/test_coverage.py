"""Density and coverage withstand what misleads precision and recall; the likelihood divergence sees copying."""

import numpy as np
import pytest

from morphogen.evaluation.distances.density_coverage import density_and_coverage
from morphogen.evaluation.distances.frechet import frechet_distance
from morphogen.evaluation.distances.precision_recall import precision_and_recall
from morphogen.evaluation.feature_likelihood import feature_likelihood
from morphogen.evaluation.feature_table import FeatureTable
from morphogen.evaluation.intervals import clopper_pearson_of_none
from morphogen.problems import Problem


def table(values, groups=None, extractor="e"):
    values = np.asarray(values, dtype=np.float64)
    return FeatureTable("numbers", extractor, "i", values, tuple(groups or ["s"] * len(values)))


def two_kinds(n, generator, share=0.5, d=5):
    first = generator.random(n) < share
    return generator.normal(size=(n, d)) + np.where(first[:, None], -6.0, 6.0)


def test_mode_collapse_lowers_coverage_and_wrong_rows_lower_density():
    generator = np.random.default_rng(0)
    measured = table(two_kinds(300, generator))
    density, coverage = density_and_coverage(measured=measured, generated=table(two_kinds(300, generator, share=0.0)))
    assert coverage.value < 0.6
    assert density.value > 0.8
    wrong = np.concatenate([two_kinds(150, generator), generator.normal(size=(150, 5)) + 40])
    density, coverage = density_and_coverage(measured=measured, generated=table(wrong))
    assert density.value < 0.65
    assert coverage.value > 0.75
    fair = density_and_coverage(measured=measured, generated=table(two_kinds(300, generator)))
    assert fair[0].value == pytest.approx(1, abs=0.15)
    assert fair[1].value == pytest.approx(1 - 2**-5, abs=0.04)


def test_outliers_mislead_precision_and_recall_and_not_density_and_coverage():
    generator = np.random.default_rng(1)
    outliers = 12 * generator.normal(size=(15, 4))
    measured = np.concatenate([generator.normal(size=(285, 4)), outliers])
    wide = table(4 * generator.normal(size=(300, 4)))  # mostly where no measured row is, save the outliers' large balls
    precision, recall = precision_and_recall(measured=table(measured), generated=wide)
    density, coverage = density_and_coverage(measured=table(measured), generated=wide)
    assert precision.value > 0.7
    assert recall.value > 0.9
    assert density.value < 0.65
    assert coverage.value < 0.5


def test_intervals_where_nothing_or_everything_is_covered():
    generator = np.random.default_rng(2)
    measured = table(generator.normal(size=(60, 3)))
    missed = clopper_pearson_of_none(60)
    density, coverage = density_and_coverage(measured=measured, generated=table(generator.normal(size=(60, 3)) + 90))
    assert (density.value, density.low, density.high) == (0, 0, missed)
    assert (coverage.value, coverage.low, coverage.high) == (0, 0, missed)
    density, coverage = density_and_coverage(measured=measured, generated=measured)
    assert (coverage.value, coverage.low, coverage.high) == (1, 1 - missed, 1)
    assert density.value == pytest.approx(6 / 5)  # k others in each ball, and the row itself


def test_blank_fields_are_covered_by_blank_fields():
    """Many equal rows make balls of radius 0; rounding must not put their twins outside."""
    generator = np.random.default_rng(3)
    for _ in range(20):
        d, m = 512, int(generator.integers(15, 45))
        blank = 5 * generator.normal(size=(1, d))
        measured = table(np.concatenate([generator.normal(size=(60, d)), blank.repeat(20, 0)]))
        generated = table(np.concatenate([generator.normal(size=(m, d)) + 50, blank.repeat(9, 0)]))
        density, coverage = density_and_coverage(measured=measured, generated=generated)
        assert coverage.value == 20 / 80
        assert density.value >= 20 * 9 / (5 * (9 + m))


# Rows near a surface of eight dimensions in a space of 64, as images of one material lie among features.
SURFACE = np.random.default_rng(99).normal(size=(8, 64)) / 3


def images(generator, n=200, shift=0.0):
    return generator.normal(size=(n, 8)) @ SURFACE + 0.1 * generator.normal(size=(n, 64)) + shift


def sets(seed):
    generator = np.random.default_rng(seed)
    training, held_out = images(generator), images(generator)

    def found(generated):
        return feature_likelihood(training=table(training), measured=table(held_out), generated=table(generated))

    return generator, training, held_out, found


def test_fresh_images_have_no_divergence_and_shifted_or_few_kinds_have():
    generator, _, _, found = sets(0)
    fresh = [found(images(generator)).divergence.value for _ in range(6)]
    assert abs(np.mean(fresh)) < 3
    shifted = [found(images(generator, shift=s)).divergence.value for s in (0.3, 0.6, 1.2)]
    assert max(fresh) < shifted[0] < shifted[1] < shifted[2]
    four = np.repeat(images(generator, 4), 50, axis=0) + 0.05 * generator.normal(size=(200, 64))
    assert found(four).divergence.value > max(fresh) + 10


def test_copies_are_worse_than_fresh_images_and_the_frechet_distance_does_not_see_it():
    generator, training, held_out, found = sets(1)
    fresh = images(generator)
    likelihood, of_copies = found(fresh), found(training)
    assert of_copies.divergence.estimate.low > likelihood.divergence.estimate.high + 3
    assert of_copies.gap.estimate.high < min(likelihood.gap.estimate.low, likelihood.gap_of_measured) - 20
    assert likelihood.gap.estimate.low < likelihood.gap_of_measured < likelihood.gap.estimate.high
    frechet = [frechet_distance(measured=table(held_out), generated=table(rows)) for rows in (fresh, training)]
    assert frechet[1].value < frechet[0].high
    nearest = frechet_distance(measured=table(training), generated=table(training))
    assert nearest.value == pytest.approx(0, abs=1e-9)  # and against the training images copies are perfect


def test_divergence_and_gap_tell_how_many_are_copies():
    generator, training, _, found = sets(2)
    fresh = images(generator)
    results = []
    for share in (0.0, 0.25, 0.5, 1.0):
        mixed = np.concatenate([training[: int(200 * share)], fresh[int(200 * share) :]])[generator.permutation(200)]
        results.append(found(mixed + 0.02 * generator.normal(size=mixed.shape)))  # slightly noisy copies
    gaps = [r.gap.value for r in results]
    assert gaps == sorted(gaps, reverse=True)
    assert gaps[1] < gaps[0] - 20
    values = [r.divergence.value for r in results]
    assert values == sorted(values)


def test_training_rows_are_halved_by_whole_specimens():
    """Ten near twins of each of four specimens: in random halves each row would have a copy in the other half."""
    generator = np.random.default_rng(4)

    def grouped():
        return np.repeat(images(generator, 4), 10, axis=0) + 0.02 * generator.normal(size=(40, 64))

    training, held_out, fresh = grouped(), grouped(), grouped()
    whole, blind = (
        feature_likelihood(training=table(training, names), measured=table(held_out), generated=table(fresh))
        for names in ([f"s{i // 10}" for i in range(40)], None)
    )
    assert abs(whole.divergence.value) < 100
    assert blind.divergence.value < -1000
    assert abs(whole.gap_of_measured) < 100
    assert blind.gap_of_measured < -1000


def test_likelihood_of_what_cannot_be_compared_is_refused():
    generator = np.random.default_rng(5)
    rows = table(images(generator, 20))
    with pytest.raises(Problem, match="cannot be compared"):
        feature_likelihood(training=rows, measured=rows, generated=table(rows.values, extractor="resized"))
    with pytest.raises(Problem, match="too few"):
        feature_likelihood(training=rows.first(12), measured=rows, generated=rows)
    with pytest.raises(Problem, match="too few"):
        feature_likelihood(training=rows, measured=rows.first(7), generated=rows)
    with pytest.raises(Problem, match="too few"):
        feature_likelihood(training=rows, measured=rows, generated=rows.first(7))
