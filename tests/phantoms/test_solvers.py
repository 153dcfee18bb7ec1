"""Every solver against answers that are known: Gaussians, mixtures and small sets, whose best denoiser is a formula."""

import math

import numpy as np
import pytest
import torch

from morphogen.mathematics.exact_denoisers import DataSet, GaussianMixture
from morphogen.mathematics.noise_levels import geometric_steps, karras_steps
from morphogen.mathematics.randomness import Randomness
from morphogen.mathematics.solvers import annealed_langevin, ddim, heun, predictor_corrector
from morphogen.mathematics.solvers.solver import solver, solver_names
from morphogen.problems import Problem

HIGH, LOW = 30.0, 0.02
ORDERS = {"ddim": 1, "heun": 2, "dpm_solver": 2}  # of the deterministic ones


def numbers(*values):
    return torch.tensor(values, dtype=torch.float64)


GAUSSIAN = GaussianMixture(numbers(1.0), numbers(0.7).view(1, 1), numbers(0.3**2).view(1, 1))
MIXTURE = GaussianMixture(
    numbers(0.3, 0.5, 0.2),
    numbers(-1.3, 0.4, 0.6, 0.9, 0.5, -1.4).view(3, 2),
    numbers(0.04, 0.09, 0.1, 0.02, 0.16, 0.05).view(3, 2),
)


def slope(counts, errors):
    """Minus the exponent with which errors fall."""
    return -np.polyfit(np.log(counts), np.log(errors), 1)[0]


def normal(count, *shape, seed=0):
    """One source of noise of float64 images."""
    stream = Randomness.of_images(seed, 0, 1)
    return lambda: stream.normal(count, *shape)[0].double()


def test_the_files_are_the_registry():
    assert solver_names() == [
        "ancestral", "annealed_langevin", "ddim", "dpm_solver", "heun", "predictor_corrector", "sde_dpm_solver",
    ]  # fmt: skip
    with pytest.raises(Problem, match=r"no solver 'euler': choose one of ancestral"):
        solver("euler")


@pytest.mark.parametrize("name", solver_names())
@pytest.mark.parametrize("steps", [1, 2, 7])
def test_a_solver_asks_as_often_as_it_says_and_stays_within_the_levels(name, steps):
    asked = []

    def denoise(x, sigma):
        assert sigma.shape == (3,)
        asked.append(sigma.unique().item())
        return GAUSSIAN.denoise(x, sigma)

    found = solver(name)
    sigmas = karras_steps(steps, LOW, HIGH)
    draw = normal(3, 1)
    images = found.solve(denoise, HIGH * draw(), sigmas, draw)
    assert images.shape == (3, 1)
    assert len(asked) == found.evaluations(steps)
    assert set(asked) <= set(sigmas.tolist())
    assert found.TITLE


@pytest.mark.parametrize("name", solver_names())
def test_what_cannot_be_solved_is_refused(name):
    x = torch.ones(2, 1)
    for wrong in ([], [1.0, 2.0], [2.0, 2.0], [1.0, 0.0]):
        with pytest.raises(ValueError, match="fall and are positive"):
            solver(name).solve(GAUSSIAN.denoise, x, torch.tensor(wrong), normal(2, 1))
    if solver(name).STOCHASTIC:
        with pytest.raises(ValueError, match="needs a source of noise"):
            solver(name).solve(GAUSSIAN.denoise, x, torch.tensor([2.0, 1.0]))
    else:
        solver(name).solve(GAUSSIAN.denoise, x, torch.tensor([2.0, 1.0]))


@pytest.mark.parametrize("name", ORDERS)
def test_a_gaussian_is_solved_with_the_known_order(name):
    """The probability flow of a Gaussian keeps every image at its number of standard deviations."""
    x = HIGH * numbers(-1.5, -0.2, 0.4, 1.1).view(4, 1)
    arrived = 0.7 + (x - 0.7) * math.sqrt((0.09 + LOW**2) / (0.09 + HIGH**2))
    exact = GAUSSIAN.denoise(arrived, torch.full((4,), LOW, dtype=torch.float64))
    counts = [60, 120, 240]
    errors = [
        (solver(name).solve(GAUSSIAN.denoise, x, geometric_steps(n, LOW, HIGH)) - exact).abs().max() for n in counts
    ]
    assert slope(counts, errors) == pytest.approx(ORDERS[name], abs=0.15)
    assert errors[-1] < (0.02 if ORDERS[name] == 1 else 5e-4)


@pytest.mark.parametrize("name", ORDERS)
def test_a_mixture_is_solved_with_the_known_order(name):
    x = HIGH * normal(40, 2)()
    exact = heun.solve(MIXTURE.denoise, x, geometric_steps(3000, LOW, HIGH))
    counts = [100, 200, 400]
    errors = [
        (solver(name).solve(MIXTURE.denoise, x, geometric_steps(n, LOW, HIGH)) - exact).square().mean().sqrt()
        for n in counts
    ]
    assert slope(counts, errors) == pytest.approx(ORDERS[name], abs=0.25)


def exact_moments(solve, sigmas, **options):
    """Mean and variance of a linear sampler of the Gaussian, without chance.

    The denoiser is linear, so the outcome is a sum of contributions of the start and of each draw of noise. Image 0 has
    none of them, image 1 the start alone, image k + 2 the k-th draw alone.
    """
    draws = []

    def counting():
        draws.append(0)
        return torch.zeros(1, 1, dtype=torch.float64)

    solve(GAUSSIAN.denoise, torch.zeros(1, 1, dtype=torch.float64), sigmas, counting, **options)
    rows = len(draws) + 2
    unit = iter(torch.eye(rows, dtype=torch.float64)[2:, :, None])
    # The true start: the data's mean, and its variance with that of the noise.
    start = torch.full((rows, 1), 0.7, dtype=torch.float64)
    start[1] += math.sqrt(0.09 + float(sigmas[0]) ** 2)
    result = solve(GAUSSIAN.denoise, start, sigmas, lambda: next(unit), **options).squeeze(1)
    return result[0].item(), (result[1:] - result[0]).square().sum().item()


STOCHASTIC = {
    "ancestral": (1, {}),
    "ddim": (1, {"eta": 0.5}),
    "predictor_corrector": (1, {"corrections": 0}),
    "sde_dpm_solver": (2, {}),
}


@pytest.mark.parametrize("name", STOCHASTIC)
def test_the_variance_of_a_stochastic_solver_has_the_known_order(name):
    order, options = STOCHASTIC[name]
    exact = 0.09**2 / (0.09 + LOW**2)  # of the estimates at the lowest level
    counts, errors = [50, 100, 200, 400], []
    for n in counts:
        mean, variance = exact_moments(solver(name).solve, geometric_steps(n, LOW, HIGH), **options)
        assert mean == pytest.approx(0.7, abs=1e-12)
        errors.append(abs(variance - exact))
    assert slope(counts, errors) == pytest.approx(order, abs=0.2)
    assert errors[-1] < (0.05 if order == 1 else 0.001) * exact


def test_churn_keeps_the_variance_and_draws_noise_where_it_should():
    exact = 0.09**2 / (0.09 + LOW**2)
    for churn in (10.0, 40.0):
        _, variance = exact_moments(heun.solve, geometric_steps(200, LOW, HIGH), churn=churn)
        assert variance == pytest.approx(exact, rel=0.01)
    _, more = exact_moments(heun.solve, geometric_steps(200, LOW, HIGH), churn=40.0, noise_scale=1.05)
    assert more > 1.02 * exact
    draws = []

    def counting():
        draws.append(0)
        return torch.zeros(1, 1)

    sigmas = geometric_steps(20, LOW, HIGH)
    heun.solve(GAUSSIAN.denoise, torch.zeros(1, 1), sigmas, counting, churn=1.0, lowest=0.1, highest=5.0)
    assert len(draws) == int(((sigmas >= 0.1) & (sigmas <= 5.0)).sum()) > 5


def test_langevin_steps_rest_where_their_closed_form_says():
    """Steps of r on N(m, v + s^2) rest at a variance of (v + s^2) / (1 - r k / 2), k = s^2 / (v + s^2)."""
    sigma, r = 0.4, 0.2
    shrinks = 0.09 / (0.09 + sigma**2)  # what the last estimate makes of a deviation
    k = 1 - shrinks
    _, variance = exact_moments(annealed_langevin.solve, numbers(sigma), moves=200, step=r)
    assert variance == pytest.approx(shrinks**2 * (0.09 + sigma**2) / (1 - r * k / 2), rel=1e-6)


def test_the_chosen_langevin_step_leaves_the_noise_that_it_should():
    for ratio in (1.02, 1.1, 1.5):
        for moves in (1, 5, 20):
            r = annealed_langevin.step_size(ratio, moves)
            reached = annealed_langevin.noise_after(numbers(r), ratio, moves).item()
            for other in (0.8 * r, min(1.25 * r, 0.999)):
                assert abs(annealed_langevin.noise_after(numbers(other), ratio, moves).item() - 1) >= abs(reached - 1)
    # With no variance in the data, f is the variance after the moves, from the level before.
    point = DataSet(numbers(0.0).view(1, 1))
    draw = normal(200_000, 1)
    x = 1.5 * 0.3 * draw()
    seen = []

    def denoise(x, sigma):
        seen.append(x.var().item())
        return point.denoise(x, sigma)

    annealed_langevin.solve(denoise, x, numbers(0.3), draw, moves=3, step=0.15)
    predicted = annealed_langevin.noise_after(numbers(0.15), 1.5, 3).item()
    assert seen[-1] / 0.3**2 == pytest.approx(predicted, rel=0.015)  # chance: 0.3 %


def test_the_corrector_brings_a_wrong_image_back():
    """At one level, Langevin steps lead from a wrong distribution to that of the level."""
    dimensions = 800
    draw = normal(50, dimensions)
    data = GaussianMixture(numbers(1.0), torch.zeros(1, dimensions).double(), torch.ones(1, dimensions).double())
    wrong = 2.0 * draw()  # the variance should be 1 + 0.5^2
    sigmas = numbers(0.5 + 1e-9, 0.5)
    right = predictor_corrector.solve(data.denoise, wrong, sigmas, draw, corrections=150)
    # E[x_0 | x] is k x, k = 1 / 1.25. Steps of e rest at V = 1 / (k (1 - e k / 2)); with ||g||^2 = d k^2 V, the
    # corrector has e = 2 snr^2 / (k^2 V), so V = (1 + snr^2) / k.
    assert right.var().item() == pytest.approx((1 + 0.16**2) / 1.25, rel=0.01)
    left = predictor_corrector.solve(data.denoise, wrong, sigmas, draw, corrections=0)
    assert left.var().item() > 2


OPTIONS = {
    "ancestral": (karras_steps(150, LOW, HIGH), {}),
    "annealed_langevin": (geometric_steps(250, LOW, HIGH), {"moves": 10}),
    "ddim": (karras_steps(100, LOW, HIGH), {"eta": 0.0}),
    "dpm_solver": (karras_steps(40, LOW, HIGH), {}),
    "heun": (karras_steps(40, LOW, HIGH), {"churn": 10.0}),
    "predictor_corrector": (geometric_steps(150, LOW, HIGH), {}),
    "sde_dpm_solver": (karras_steps(80, LOW, HIGH), {}),
}


WIDE = GaussianMixture(MIXTURE.weights, MIXTURE.means.repeat(1, 20) / math.sqrt(20), MIXTURE.variances.repeat(1, 20))


@pytest.mark.parametrize("name", solver_names())
def test_what_is_drawn_has_the_moments_of_the_mixture(name):
    # The corrector's step depends on the norm of the score, which must not vary: it is no sampler for two dimensions.
    data = WIDE if name == "predictor_corrector" else MIXTURE
    count, dimensions = 2500, data.means.shape[1]
    draw = normal(count, dimensions, seed=3)
    sigmas, options = OPTIONS[name]
    drawn = solver(name).solve(data.denoise, HIGH * draw(), sigmas, draw, **options)
    misfit = (drawn[:, None] - data.means).square() / data.variances + data.variances.log()
    nearest = misfit.sum(2).argmin(1)
    mean = (data.weights[:, None] * data.means).sum(0)
    variance = (data.weights[:, None] * (data.variances + data.means**2)).sum(0) - mean**2
    # 2500 draws leave 0.01 of chance in a share, 0.02 in a mean and 3 % in a variance; the levels leave some more.
    shares = torch.bincount(nearest, minlength=3) / count
    torch.testing.assert_close(shares.double(), data.weights, rtol=0, atol=0.03)
    assert (drawn.mean(0) - mean).square().mean().sqrt() < 0.03
    assert (drawn.var(0) / variance - 1).square().mean().sqrt() < 0.06
    for k in range(3):
        assert (drawn[nearest == k].var(0) / data.variances[k]).mean().item() == pytest.approx(1, abs=0.12)


@pytest.mark.parametrize("name", solver_names())
def test_the_denoiser_of_a_small_set_gives_back_its_members(name):
    members = normal(5, 8, seed=1)()
    draw = normal(64, 8)
    sigmas, options = OPTIONS[name]
    drawn = solver(name).solve(DataSet(members).denoise, HIGH * draw(), sigmas, draw, **options)
    distance = (drawn[:, None] - members).norm(dim=-1)
    assert distance.min(dim=1).values.max() < 1e-6
    assert len(distance.argmin(dim=1).unique()) == 5


@pytest.mark.parametrize("name", solver_names())
def test_an_image_depends_on_its_own_stream_only(name):
    sigmas, options = OPTIONS[name]
    options = options | ({"eta": 0.7} if name == "ddim" else {})

    def images(first, count):
        streams = Randomness.of_images(5, first, count)
        return solver(name).solve(
            MIXTURE.denoise, HIGH * streams.normal(2).double(), sigmas, lambda: streams.normal(2).double(), **options
        )

    torch.testing.assert_close(images(2, 3), images(0, 9)[2:5], rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("eta", [0.0, 1.0])
def test_single_precision_is_enough(eta):
    draw = normal(50, 2)
    x, noises = HIGH * draw(), [draw() for _ in range(60)]
    sigmas = karras_steps(60, 0.002, HIGH)
    results = []
    for kind in (torch.float64, torch.float32):
        queue = iter(noises)
        results.append(ddim.solve(MIXTURE.denoise, x.to(kind), sigmas, lambda q=queue, k=kind: next(q).to(k), eta=eta))
    assert results[1].dtype == torch.float32
    torch.testing.assert_close(results[1].double(), results[0], rtol=0, atol=1e-3)
