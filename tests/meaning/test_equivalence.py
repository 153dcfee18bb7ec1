"""The verdicts mean what they say: simulated specimens whose truth is known."""

import numpy as np
import pytest

from morphogen.evaluation.descriptors.descriptor import Scalar
from morphogen.evaluation.equivalence import (
    FIELDS_CAP,
    Difference,
    FieldReadings,
    equivalence,
    natural_spread,
)
from morphogen.specimens.specimen import Margin

HALF = Margin(0.5, "value")


def normal(generator, n, shift=0.0, deviation=1.0, **more):
    """Fields of one specimen."""
    return FieldReadings(shift + deviation * generator.normal(size=n), ("s",) * n, **more)


def specimens(generator, count, name, each=8, shift=0.0):
    """Fields of specimens that differ by 1, within which fields differ by 0.3."""
    values = np.repeat(generator.normal(size=count), each) + 0.3 * generator.normal(size=count * each)
    return FieldReadings(values + shift, tuple(f"{name}{i // each}" for i in range(count * each)))


def judged(measured, floor, compared, margin=HALF, **more):
    return equivalence(
        measured=measured, floor=floor, compared=compared, margin=margin, **more,
        descriptor="porosity", unit="", name="vae", role="generated",
    )  # fmt: skip


@pytest.mark.parametrize("count", [6, 10])
def test_difference_is_covered_only_when_specimens_are_the_units(count):
    """95 % are promised; 400 trials scatter by 1.1 %. Fields as units would promise the same and hold about half."""
    generator = np.random.default_rng(count)
    over_specimens, over_fields = [], []
    for _ in range(400):
        one, other = specimens(generator, count, "m"), specimens(generator, count, "c")
        blind = [FieldReadings(s.values, ("s",) * len(s)) for s in (one, other)]
        for pair, covered in (((one, other), over_specimens), (blind, over_fields)):
            low, high = Difference.of(*pair).interval(0.95)
            covered.append(low <= 0 <= high)
    assert 0.91 < np.mean(over_specimens) < 0.985
    assert np.mean(over_fields) < 0.65


@pytest.mark.parametrize("draw", [normal, specimens])
def test_measured_sets_have_a_ratio_of_about_one(draw):
    """Over 100 draws of the same kind; the ratio of one draw scatters by half of it, their mean by 0.05."""
    generator = np.random.default_rng(1)
    ratios, flags, at_floor = [], [], []
    for seed in range(100):
        sets = [normal(generator, 60) if draw is normal else specimens(generator, 8, name) for name in "mfc"]
        found = judged(*sets, seed=seed, resamples=100)
        ratios.append(found.ratio.value)
        flags.append(found.distribution_differs)
        at_floor.append(judged(sets[0], sets[1], sets[1], seed=seed, resamples=100).ratio.value)
    assert 0.8 < np.mean(ratios) < 1.2
    assert 0.75 < np.mean(at_floor) < 1.15  # where fields are split, a large floor raises the spread by itself
    assert np.mean(flags) <= 0.05


def test_specimens_that_differ_widen_the_natural_spread():
    """Were the fields split instead, the spread would know nothing of the differences between specimens."""
    generator = np.random.default_rng(2)
    measured, floor = specimens(generator, 6, "m"), specimens(generator, 6, "f")
    blind = [FieldReadings(s.values, ("s",) * len(s)) for s in (measured, floor)]
    spread = natural_spread(measured=measured, floor=floor, n_compared=48).mean()
    same = FieldReadings(blind[0].values[generator.permutation(48)], ("s",) * 48)
    assert spread > 2 * natural_spread(measured=blind[0], floor=same, n_compared=48).mean()


def test_regions_that_differ_widen_the_natural_spread_of_a_single_specimen():
    generator = np.random.default_rng(3)
    measured, floor = normal(generator, 60), normal(generator, 60, shift=1.0)
    assert natural_spread(measured=measured, floor=floor, n_compared=60).mean() > 0.7
    found = judged(measured, floor, floor)
    assert found.ratio.value == pytest.approx(1)
    assert not found.distribution_differs


def test_enough_fields_show_equivalence_and_few_do_not():
    generator = np.random.default_rng(4)
    verdicts = {
        n: [judged(*(normal(generator, n) for _ in range(3)), resamples=2) for _ in range(50)] for n in (12, 200)
    }
    assert np.mean([v.verdict == "equivalent" for v in verdicts[200]]) > 0.95
    assert np.mean([v.verdict == "undecided" for v in verdicts[12]]) > 0.9


def test_two_margins_away_is_different_in_either_direction():
    generator = np.random.default_rng(5)
    for shift in (-1.0, 1.0):
        found = judged(normal(generator, 150), normal(generator, 150), normal(generator, 150, shift))
        assert found.verdict == "different"
        assert found.difference_95[0] < shift < found.difference_95[1]
        assert found.ratio.low > 2
        assert found.distribution_differs


def test_a_difference_on_the_margin_is_called_equivalent_in_one_case_of_twenty():
    """The promise of the test; 600 trials scatter by 0.9 %."""
    generator = np.random.default_rng(6)
    called = [
        judged(normal(generator, 60), FieldReadings(np.empty(0), ()), normal(generator, 60, 0.5), resamples=2).verdict
        for _ in range(600)
    ]
    assert 0.02 < called.count("equivalent") / 600 < 0.08
    assert called.count("different") / 600 < 0.05


@pytest.mark.parametrize("shift", [0.0, 0.3, 1.1])
def test_so_many_fields_do_decide(shift):
    """With the number offered for a set with exactly this difference, about 80 % of new sets are decided."""
    generator = np.random.default_rng(7)
    measured, compared = normal(generator, 16), normal(generator, 16)
    for fields, to in ((measured, 0.0), (compared, shift)):
        fields.values[:] = (fields.values - fields.values.mean()) / fields.values.std(ddof=1) + to
    n = judged(measured, measured, compared).fields_needed
    assert n > 16
    empty = FieldReadings(np.empty(0), ())
    decided = [
        judged(normal(generator, n), empty, normal(generator, n, shift), resamples=2).verdict != "undecided"
        for _ in range(300)
    ]
    assert 0.72 < np.mean(decided) < 0.9  # rounded up to two digits; 300 trials scatter by 2.3 %


def test_specimens_needed_are_counted_in_fields():
    """Eight fields of a specimen are worth little more than one: many more fields are needed than of one specimen."""
    generator = np.random.default_rng(8)
    measured, compared = specimens(generator, 8, "m"), specimens(generator, 8, "c")
    compared.values[:] += measured.values.mean() - compared.values.mean()
    blind = [FieldReadings(s.values, ("s",) * len(s)) for s in (measured, compared)]
    few = Difference.of(*blind).fields_needed(0.4)
    many = Difference.of(measured, compared).fields_needed(0.4)
    assert many > 3 * few


def test_a_difference_as_good_as_on_the_margin_promises_nothing():
    generator = np.random.default_rng(9)
    measured, compared = normal(generator, 40), normal(generator, 40)
    compared.values[:] += measured.values.mean() - compared.values.mean() + 0.4999
    found = judged(measured, normal(generator, 40), compared)
    assert found.verdict == "undecided"
    assert found.fields_needed is None
    assert 100 < Difference.of(measured, compared).fields_needed(0.7) < FIELDS_CAP


def test_collapsed_variance_is_seen_behind_an_equivalent_mean():
    generator = np.random.default_rng(10)
    found = judged(normal(generator, 200), normal(generator, 200), normal(generator, 200, deviation=0.3))
    assert found.verdict == "equivalent"
    assert found.distribution_differs
    assert found.ratio.low > 2
    # |z| (1 - 0.3) on average
    assert found.wasserstein.value == pytest.approx(0.7 * np.sqrt(2 / np.pi), rel=0.15)


def test_a_generator_without_pores_is_not_judged_by_its_few_fields_with_pores():
    generator = np.random.default_rng(11)
    measured, floor = normal(generator, 62, without=2, reason="no pores"), normal(generator, 64)
    poor = normal(generator, 20, without=44, reason="no pores")
    poor.values[:] += measured.values.mean() - poor.values.mean()
    found = judged(measured, floor, poor, margin=Margin(2, "spread"))
    assert found.verdict == "different"
    assert found.reason == "missing in 44 of 64 fields, in 2 of 64 measured ones (no pores)"
    assert found.without_compared == 44 / 64
    assert abs(found.difference) < 1e-9
    none = judged(measured, floor, FieldReadings(np.empty(0), (), 64, "no pores"))
    assert none.verdict == "different"
    assert none.difference is None
    # The other way round: a generator that has them where measured images do not.
    rich = judged(FieldReadings(np.empty(0), (), 64, "no pores"), FieldReadings(np.empty(0), (), 64, "no pores"), floor)
    assert rich.verdict == "different"
    assert rich.reason == "missing in 0 of 64 fields, in 64 of 64 measured ones (no pores)"


def test_shares_that_measured_sets_have_too_are_no_difference():
    generator = np.random.default_rng(12)
    measured = normal(generator, 100)
    floor = normal(generator, 80, without=20, reason="one phase")
    assert judged(measured, floor, floor, margin=Margin(2, "spread")).verdict == "equivalent"
    fair = normal(generator, 85, without=15, reason="one phase")
    assert judged(measured, floor, fair, margin=Margin(2, "spread")).verdict == "equivalent"


def test_too_few_fields_are_invalid_with_the_reason():
    generator = np.random.default_rng(13)
    few = normal(generator, 5, without=3, reason="only one phase is present")
    found = judged(few, few, few)
    assert found.verdict == "invalid"
    assert found.reason == "only 5 of 8 measured fields have it (only one phase is present)"
    assert found.wasserstein is found.ratio is found.difference is found.fields_needed is None


def test_a_reading_that_never_varies():
    """Every pore connected in every measured field: no margin follows, but what differs is told."""
    ones = FieldReadings(np.ones(20), ("s",) * 20)
    same = judged(ones, ones, ones, margin=Margin(0.5, "spread"))
    assert (same.verdict, same.ratio) == ("invalid", None)
    other = judged(ones, ones, FieldReadings(np.full(20, 0.5), ("s",) * 20), margin=Margin(0.5, "spread"))
    assert other.verdict == "different"
    assert other.distribution_differs
    assert judged(ones, ones, ones, margin=Margin(0.1, "mean")).verdict == "equivalent"


def test_margins_are_taken_from_the_measured_fields():
    generator = np.random.default_rng(14)
    measured, other = normal(generator, 50, shift=4.0), normal(generator, 50, shift=9.0, deviation=3)
    expected = {"value": 0.2, "mean": 0.2 * measured.values.mean(), "spread": 0.2 * measured.values.std(ddof=1)}
    for of, margin in expected.items():
        assert judged(measured, other, other, margin=Margin(0.2, of)).margin == pytest.approx(margin)


def test_scalars_of_fields_are_counted_by_validity():
    readings = [(1.0, ""), (None, "a"), (3.0, ""), (None, "b"), (None, "b")]
    found = FieldReadings.of([Scalar("µm", *reading) for reading in readings], ["p", "q", "r", "s", "t"])
    assert (found.values.tolist(), found.groups, found.without, found.reason) == ([1, 3], ("p", "r"), 3, "b")


def test_the_same_seed_gives_the_same_record():
    generator = np.random.default_rng(15)
    sets = [normal(generator, 60) for _ in range(3)]
    one, two = (judged(*sets, seed=3) for _ in range(2))
    assert one == two
    assert one != judged(*sets, seed=4)


def test_few_specimens_do_not_make_a_false_difference():
    """Three specimens a set, from one distribution: fields as units would call a third of the sets different."""
    generator = np.random.default_rng(16)
    found = []
    for _ in range(200):
        sets = [specimens(generator, 3, name, each=12) for name in "mfc"]
        found.append(judged(*sets, margin=Margin(0.01, "value"), resamples=50).verdict)
    assert found.count("different") < 0.45 * len(found)
    plain = 0
    for _ in range(200):
        one, other = specimens(generator, 3, "m", each=12), specimens(generator, 3, "c", each=12)
        low, high = Difference.of(one, other).interval(0.95)
        plain += not low <= 0 <= high
    assert plain > 1.5 * found.count("different")  # what the second look at the floor saves


def test_more_generated_than_floor_fields_do_not_shrink_the_distance():
    """A fair set has a ratio of about 1 however many images were generated."""
    generator = np.random.default_rng(17)
    ratios = []
    for _ in range(60):
        measured, floor, compared = (normal(generator, n) for n in (128, 20, 256))
        ratios.append(judged(measured, floor, compared, resamples=100).ratio.value)
    assert 0.8 < np.mean(ratios) < 1.2
