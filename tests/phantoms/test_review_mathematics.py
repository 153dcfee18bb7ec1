"""What is computed from answers: closed forms, and published examples."""

import math

import numpy as np
import pytest
from scipy import stats

from morphogen.mathematics.agreement import krippendorff_alpha
from morphogen.mathematics.binomial_intervals import clopper_pearson
from morphogen.mathematics.bradley_terry import abilities
from morphogen.mathematics.crossed_variance import crossed_spread
from morphogen.mathematics.label_permutation import flipped_signs, permuted_labels, permuted_order
from morphogen.mathematics.signal_detection import area_under_curve, detection

_ = math.nan
OBSERVERS = [  # K. Krippendorff, Computing Krippendorff's alpha-reliability (2011), section D
    [1, 2, 3, 3, 2, 1, 4, 1, 2, _, _, _],
    [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, _, 3],
    [_, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, _],
    [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, _],
]


def answers(hits, signals, alarms, noises):
    said = np.array([1] * hits + [0] * (signals - hits) + [1] * alarms + [0] * (noises - alarms), dtype=bool)
    return said, np.arange(signals + noises) < signals


@pytest.mark.parametrize(("hits", "count"), [(0, 7), (3, 10), (50, 50), (421, 1000)])
def test_the_exact_interval_is_that_of_scipy_and_of_no_hits_the_closed_form(hits, count):
    exact = stats.binomtest(hits, count).proportion_ci(0.95, method="exact")
    assert clopper_pearson(hits, count) == pytest.approx((exact.low, exact.high), abs=1e-10)
    assert clopper_pearson(0, count)[1] == pytest.approx(1 - 0.025 ** (1 / count))
    assert clopper_pearson(0, 0) == (0.0, 1.0)


def test_sensitivity_and_criterion_are_those_of_the_observer():
    # H = Phi(1.2), F = Phi(-0.3) up to rounding over many answers.
    n = 100_000
    said, signal = answers(round(n * stats.norm.cdf(1.2)), n, round(n * stats.norm.cdf(-0.3)), n)
    one = detection(said, signal)
    assert one.d_prime == pytest.approx(1.5, abs=1e-4)
    assert one.criterion == pytest.approx(-0.45, abs=1e-4)
    assert detection(said, signal, two_at_a_time=True).d_prime == pytest.approx(1.5 / math.sqrt(2), abs=1e-4)
    # A bias moves both rates, and not d'.
    said, signal = answers(round(n * stats.norm.cdf(0.2)), n, round(n * stats.norm.cdf(-1.3)), n)
    biased = detection(said, signal)
    assert (biased.d_prime, biased.criterion) == (pytest.approx(1.5, abs=1e-4), pytest.approx(0.55, abs=1e-4))


def test_perfect_answers_give_a_finite_sensitivity_by_the_log_linear_rule():
    said, signal = answers(9, 9, 0, 9)
    assert detection(said, signal).d_prime == pytest.approx(2 * stats.norm.ppf(9.5 / 10))


def test_the_variance_of_sensitivity_is_that_of_gourevitch_and_galanter():
    signals, noises, hits, alarms = 4000, 2000, 3000, 500
    said, signal = answers(hits, signals, alarms, noises)
    found = detection(said, signal)
    h, f = hits / signals, alarms / noises
    z = stats.norm
    expected = h * (1 - h) / signals / z.pdf(z.ppf(h)) ** 2 + f * (1 - f) / noises / z.pdf(z.ppf(f)) ** 2
    assert found.on_d_prime @ found.on_d_prime == pytest.approx(expected, rel=2e-3)
    assert found.on_criterion @ found.on_criterion == pytest.approx(expected / 4, rel=2e-3)
    assert found.independent == pytest.approx((expected, expected / 4), rel=2e-3)
    assert detection(said, signal, two_at_a_time=True).independent[0] == pytest.approx(expected / 2, rel=2e-3)
    # All right says little where answers are few.
    perfect = detection(*answers(9, 9, 0, 9))
    assert perfect.independent[0] ** 0.5 > 0.9 > 3 * (perfect.on_d_prime @ perfect.on_d_prime) ** 0.5


def test_the_area_is_the_probability_of_a_higher_grade():
    random = np.random.default_rng(0)
    signal = random.random(300) < 0.4
    grades = np.clip(np.rint(random.normal(2.5 + signal, 1.2)), 0, 5)
    area, influence = area_under_curve(grades, signal)
    u = stats.mannwhitneyu(grades[signal], grades[~signal]).statistic
    assert area == pytest.approx(u / signal.sum() / (~signal).sum())
    assert influence.sum() == pytest.approx(0, abs=1e-12)
    # The variance from influences is that of DeLong et al., Biometrics 44, 837 (1988), up to n / (n - 1).
    above = (grades[signal][:, None] > grades[~signal]) + 0.5 * (grades[signal][:, None] == grades[~signal])
    delong = above.mean(axis=1).var() / signal.sum() + above.mean(axis=0).var() / (~signal).sum()
    assert influence @ influence == pytest.approx(delong)


def test_the_area_of_an_observer_with_equal_variances_follows_from_his_sensitivity():
    n = 2000
    z = stats.norm.ppf((np.arange(n) + 0.5) / n)
    area, _on = area_under_curve(np.concatenate([z + 1.3, z]), np.arange(2 * n) < n)
    assert area == pytest.approx(stats.norm.cdf(1.3 / math.sqrt(2)), abs=1e-3)


@pytest.mark.parametrize(("scale", "alpha"), [("nominal", 0.743), ("ordinal", 0.815), ("interval", 0.849)])
def test_alpha_of_the_published_example(scale, alpha):
    assert krippendorff_alpha(np.array(OBSERVERS), scale) == pytest.approx(alpha, abs=5e-4)


def test_alpha_is_one_for_agreement_and_nothing_where_nothing_varies():
    same = np.tile([1.0, 2.0, 2.0, 5.0], (3, 1))
    assert krippendorff_alpha(same, "ordinal") == pytest.approx(1)
    assert krippendorff_alpha(np.ones((3, 4)), "nominal") is None
    assert krippendorff_alpha(np.array([[1.0, _], [_, 2.0]]), "nominal") is None
    assert krippendorff_alpha(np.array([[1.0, 2.0] * 9, [2.0, 1.0] * 9]), "nominal") < -0.9


def test_two_are_apart_by_the_log_odds_and_their_variance_is_fishers():
    winners = np.array([0] * 30 + [1] * 10)
    n = len(winners)
    found = abilities(winners, 1 - winners, 2, np.arange(n), np.arange(n))
    assert found.values[0] - found.values[1] == pytest.approx(math.log(30.5 / 10.5))
    assert found.values.sum() == pytest.approx(0)
    p = 30.5 / 41
    assert found.variances[0] == pytest.approx(1 / (41 * p * (1 - p)) / 4, rel=0.12)  # of half the difference


def test_a_scale_is_found_again_from_what_it_expects():
    b = np.array([0.9, 0.1, -0.3, -0.7])
    winners, losers = [], []
    for i in range(4):
        for j in range(4):
            if i != j:
                wins = round(4000 / (1 + math.exp(b[j] - b[i])))
                winners += [i] * wins
                losers += [j] * wins
    n = len(winners)
    found = abilities(np.array(winners), np.array(losers), 4, np.arange(n), np.arange(n))
    assert found.values == pytest.approx(b, abs=2e-3)


def test_who_always_wins_has_a_finite_ability_and_who_was_never_compared_is_refused():
    winners, losers = np.array([0] * 10), np.array([1] * 10)
    found = abilities(winners, losers, 2, np.arange(10) % 2, np.arange(10))
    assert found.values[0] == pytest.approx(math.log(10.5 / 0.5) / 2)
    assert found.interval(0)[1] - found.values[0] > 1
    with pytest.raises(ValueError, match="not all"):
        abilities(winners, losers, 3, np.arange(10), np.arange(10))


def test_raters_and_images_both_widen_the_variance_as_they_should():
    # x_ri = a_r + b_i + e_ri: the variance of the mean is A / R + B / N + E / (R N).
    random = np.random.default_rng(1)
    R, N, A, B, E = 12, 30, 0.3, 0.5, 8.0
    raters, images = np.repeat(np.arange(R), N), np.tile(np.arange(N), R)
    found, means = [], []
    for _turn in range(300):
        x = random.normal(0, A**0.5, R)[raters] + random.normal(0, B**0.5, N)[images] + random.normal(0, E**0.5, R * N)
        means.append(x.mean())
        found.append(crossed_spread((x - x.mean()) / len(x), raters, images).variance)
    expected = A / R + B / N + E / (R * N)
    assert np.mean(found) == pytest.approx(expected, rel=0.08)
    assert np.var(means) == pytest.approx(expected, rel=0.3)
    # A repeat that says the same again is no news.
    twice = crossed_spread(np.tile((x - x.mean()) / (2 * len(x)), 2), np.tile(raters, 2), np.tile(images, 2))
    assert twice.variance == pytest.approx(found[-1])


def test_small_tests_against_chance_have_their_exact_p():
    random = np.random.default_rng(0)
    assert flipped_signs(np.array([3.0, 3, 3, 3, 3, 3]), random) == pytest.approx(2 / 64, abs=0.006)
    # Six images, three of each, all told apart: 2 of the 20 deals are as good (the right one and its opposite).
    signal = np.array([1, 1, 1, 0, 0, 0], dtype=bool)
    assert permuted_labels(4.0 * signal, 4.0 * ~signal, signal, random) == pytest.approx(0.1, abs=0.01)
    # Who calls everything a signal tells nothing apart.
    assert permuted_labels(np.full(6, 4.0), np.zeros(6), signal, random) == 1
    # 0 0 1 1 has the steepest trend of the 6 orders, and its opposite.
    found = permuted_order([np.array([0.0, 0, 1, 1])], [np.arange(4.0)], random)
    assert found == pytest.approx(2 / 6, abs=0.02)
