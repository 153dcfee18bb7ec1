"""Raters of known sensitivity: intervals hold the truth as often as they say, and chance is called chance."""

from typing import Any

import numpy as np
import pytest
from scipy import stats

from morphogen.mathematics.crossed_variance import Spread
from morphogen.review.records import Answer, Question
from morphogen.review.results import Look, _needed, rank_correlation, telling

SPREAD_OF_IMAGES, SPREAD_OF_RATERS, SPREAD_OF_CRITERIA = 0.5, 0.3, 0.3


def looks(kind: str, d_prime: float, raters: int, images: int, random: np.random.Generator) -> list[Look]:
    """First looks of raters who see evidence N(d', 1) of generated images, with strengths of raters and of images."""
    of_images = random.normal(0, SPREAD_OF_IMAGES, (images, 2))
    found = []
    for r in range(raters):
        own = d_prime + random.normal(0, SPREAD_OF_RATERS) * (d_prime > 0)
        criterion = d_prime / 2 + random.normal(0, SPREAD_OF_CRITERIA)
        for i in range(images):
            left, right = own + random.normal() + of_images[i, 0], random.normal() + of_images[i, 1]
            if kind == "one":
                generated = i % 2 == 0
                apart = (left if generated else right) - criterion
                sets = ("painter",) if generated else ("measured",)
            else:
                swapped = (r + i) % 2 == 0
                apart = right - left if swapped else left - right
                sets = ("measured", "painter") if swapped else ("painter", "measured")
            choice = int(np.clip(np.floor(3 + 1.5 * apart), 0, 5))
            names = (f"i{i}",) if kind == "one" else (f"i{i}a", f"i{i}b")
            answer = Answer.model_construct(rater=f"r{r}", position=i, choice=choice, ratings=())
            found.append(Look(answer, Question.model_construct(kind=kind, images=names, right=None), sets))
    return found


def told(kind: str, d_prime: float, studies: int, raters: int = 6, images: int = 40, deals: int = 199) -> list[Any]:
    random = np.random.default_rng(5)
    return [
        telling(kind, "painter", looks(kind, d_prime, raters, images, random), 0.1, random, deals)
        for _ in range(studies)
    ]


def truth(kind: str, d_prime: float) -> tuple[float, float]:
    """Accuracy and d' of the answers of all raters to all images, in closed form."""
    noise = 1 + SPREAD_OF_IMAGES**2
    strength = SPREAD_OF_RATERS**2 * (d_prime > 0)
    if kind == "two":
        right = stats.norm.cdf(d_prime / np.sqrt(2 * noise + strength))
        return right, np.sqrt(2) * stats.norm.ppf(right)
    hit = stats.norm.cdf(d_prime / 2 / np.sqrt(noise + strength + SPREAD_OF_CRITERIA**2))
    rejection = stats.norm.cdf(d_prime / 2 / np.sqrt(noise + SPREAD_OF_CRITERIA**2))
    return (hit + rejection) / 2, stats.norm.ppf(hit) + stats.norm.ppf(rejection)


def true_criterion_and_area(kind: str, d_prime: float, raters: int = 6) -> tuple[float, float]:
    """The criterion of all answers, and the area under the curve of their six steps, by quadrature.

    Two answers share their rater in one of ``raters`` pairs, and with him his criterion or, of ``two``, his strength.
    """
    z, weights = np.polynomial.hermite_e.hermegauss(31)
    weights = weights / weights.sum()
    strength, noise = SPREAD_OF_RATERS * (d_prime > 0), 1 + SPREAD_OF_IMAGES**2
    if kind == "one":
        shared = SPREAD_OF_CRITERIA * z
        means, deviations = (
            (d_prime / 2 - shared, -d_prime / 2 - shared),
            (np.sqrt(noise + strength**2), np.sqrt(noise)),
        )
    else:
        shared = strength * z
        means, deviations = (d_prime + shared, -d_prime - shared), (np.sqrt(2 * noise),) * 2
    edges = np.concatenate([[-np.inf], np.arange(-2, 3) / 1.5, [np.inf]])
    signal, other = (np.diff(stats.norm.cdf((edges - mean[:, None]) / deviation), axis=1)
                     for mean, deviation in zip(means, deviations, strict=True))  # fmt: skip

    def area(p: np.ndarray, q: np.ndarray) -> np.ndarray:
        return (p * (np.cumsum(q, axis=-1) - q / 2)).sum(axis=-1)

    over_all = weights @ signal, weights @ other
    hits, alarms = (float(p[3:].sum()) for p in over_all)
    criterion = -(stats.norm.ppf(hits) + stats.norm.ppf(alarms)) / 2
    of_one = float(weights @ area(signal, other))
    return criterion, of_one / raters + (1 - 1 / raters) * float(area(*over_all))


@pytest.mark.parametrize(("kind", "d_prime"), [("one", 1.0), ("two", 0.7), ("one", 0.0)])
def test_intervals_hold_the_truth(kind, d_prime):
    found = told(kind, d_prime, 120)
    accuracy, sensitivity = truth(kind, d_prime)
    criterion, area = true_criterion_and_area(kind, d_prime)
    for name, expected, near in (("accuracy", accuracy, 0.02), ("d_prime", sensitivity, 0.08),
                                 ("criterion", criterion, 0.06), ("area", area, 0.02)):  # fmt: skip
        values = [getattr(entry, name) for entry in found]
        assert np.mean([v.value for v in values]) == pytest.approx(expected, abs=near)
        held = np.mean([v.low <= expected <= v.high for v in values])
        assert 0.90 <= held <= 0.995, (name, held)


def test_who_cannot_tell_is_said_to_tell_in_one_of_twenty_studies():
    for kind in ("one", "two"):
        p = np.array([entry.p for entry in told(kind, 0.0, 150, raters=4, images=24, deals=999)])
        for level in (
            0.05,
            0.2,
            0.5,
        ):  # p is exact up to the ties of a small study: never too often, and not hardly ever
            share = np.mean(p <= level)
            assert share <= level + 3 * np.sqrt(level * (1 - level) / len(p))
            assert share > level / 4


def test_verdicts_are_those_of_the_numbers():
    strong = told("one", 2.5, 5)
    assert {entry.verdict for entry in strong} == {"told apart"}
    mistaken = told("two", -1.5, 5)  # generated images look more measured than measured ones
    assert {entry.verdict for entry in mistaken} == {"taken for measured"}
    none = told("two", 0.0, 5, raters=12, images=160)
    assert [entry.verdict for entry in none].count("not told apart") >= 4
    few = told("two", 0.2, 12, raters=2, images=12)
    undecided = [entry for entry in few if entry.verdict == "undecided"]
    assert len(undecided) >= 6
    assert all(entry.answers_needed is None or entry.answers_needed > entry.answers for entry in undecided)


def test_as_many_answers_as_are_said_to_be_needed_decide_four_times_in_five():
    share, pilot = 0.62, 40
    spread_of_one = share * (1 - share)
    needed = _needed(share - 0.5, _spread(spread_of_one / pilot), pilot, margin=0.1)
    assert needed == pytest.approx(spread_of_one * ((1.96 + 0.8416) / (share - 0.5)) ** 2, rel=0.08)
    random = np.random.default_rng(0)
    hits, times = np.unique(random.binomial(needed, share, 4000), return_counts=True)
    found = np.array([stats.binomtest(int(k), needed).pvalue < 0.05 for k in hits])
    assert found @ times / 4000 == pytest.approx(0.8, abs=0.05)
    # At chance it is equivalence that needs them; half-way to the margin both need many.
    assert _needed(0.0, _spread(0.25 / pilot), pilot, 0.1) == pytest.approx(0.25 * (2.926 / 0.1) ** 2, rel=0.08)
    assert _needed(0.05, _spread(0.25 / pilot), pilot, 0.1) > 700


def _spread(variance):
    return Spread(variance, 30.0, variance)


def test_orders_of_methods_have_their_exact_p():
    assert rank_correlation([1, 2, 3, 4], [10, 20, 30, 40]) == (1.0, pytest.approx(2 / 24))
    assert rank_correlation([1, 2, 3], [3, 1, 2])[1] == pytest.approx(1.0)
    assert rank_correlation([1, 2], [1, 2]) == (None, None)
    random = np.random.default_rng(0)
    a, b = random.normal(size=9).tolist(), random.normal(size=9).tolist()
    assert rank_correlation(a, b) == pytest.approx(tuple(stats.spearmanr(a, b)))
