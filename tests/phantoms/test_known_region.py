"""Filling in what is unknown, against conditionals in closed form: Gaussians, and a small data set."""

import pytest
import torch

from morphogen.mathematics.known_region import filled, told_known
from morphogen.mathematics.noise_levels import geometric_steps, per_image
from morphogen.mathematics.randomness import Randomness
from morphogen.mathematics.solvers.solver import solver, solver_names

LOW, HIGH = 0.005, 80.0


class Gaussian:
    """A denoiser of a Gaussian of any covariance, and its conditionals."""

    def __init__(self, mean, covariance):
        self.mean, self.covariance = mean, covariance
        self.values, self.vectors = torch.linalg.eigh(covariance)

    def denoise(self, x, sigma):
        offset = (x.flatten(1) - self.mean) @ self.vectors
        shrunk = offset * (self.values / (self.values + per_image(sigma, offset).square()))
        return (self.mean + shrunk @ self.vectors.T).view_as(x)

    def given(self, known, where):
        """Mean and covariance of the rest."""
        K, U = where.nonzero()[:, 0], (~where).nonzero()[:, 0]
        gain = torch.linalg.solve(self.covariance[K][:, K], self.covariance[K][:, U]).T
        mean = self.mean[U] + gain @ (known[K] - self.mean[K])
        return mean, self.covariance[U][:, U] - gain @ self.covariance[K][:, U]


def line(count=12, length=3.0, white=0.05):
    """A stationary process on a line: exponential correlation, and white noise as of a camera."""
    place = torch.arange(count, dtype=torch.float64)
    covariance = (1 - white) * torch.exp(-(place[:, None] - place[None]).abs() / length) + white * torch.eye(count)
    return Gaussian(torch.linspace(-0.3, 0.3, count, dtype=torch.float64), covariance)


def draws_of(denoise, known, where, count, *, name="dpm_solver", passes, steps=40, seed=0, **options):
    """Many fillings of one known part, ``(count, pixels)``."""
    stream = Randomness.of_images(seed, 0, count)
    shape = (1, 1, len(known))
    y = known.view(1, *shape).expand(count, *shape)
    sigmas = geometric_steps(steps, LOW, HIGH)

    def normal():
        return stream.normal(*shape).double()

    conditional = told_known(denoise, y, where.view(1, *shape), passes)
    x = where.view(1, *shape) * y + float(sigmas[0]) * normal()
    return filled(solver(name), conditional, x, sigmas, normal, **options).flatten(1)


def apart(draws, mean, covariance):
    """How far mean and covariance of draws are from those that they should have, in their standard errors, rms."""
    count = len(draws)
    found = draws.T.cov()
    error_of_mean = (draws.mean(0) - mean) / (covariance.diag() / count).sqrt()
    spread = ((covariance.square() + covariance.diag()[:, None] * covariance.diag()[None]) / count).sqrt()
    return error_of_mean.square().mean().sqrt().item(), ((found - covariance) / spread).square().mean().sqrt().item()


KNOWN = torch.tensor([True] * 4 + [False] * 5 + [True] * 3)
"""A hole of five."""


@pytest.fixture(scope="module")
def example():
    gaussian = line()
    root, normal = torch.linalg.cholesky(gaussian.covariance), Randomness.of_images(5, 0, 1).normal(12)[0].double()
    known = gaussian.mean + root @ normal
    return gaussian, known, *gaussian.given(known, KNOWN)


STEPS = {
    "dpm_solver": 60,
    "heun": 60,
    "ddim": 300,
    "ancestral": 300,
    "predictor_corrector": 150,
    "annealed_langevin": 150,
}
BIASED = {"ancestral", "predictor_corrector", "annealed_langevin"}
"""Solvers whose covariance is off by a number of the first order in their steps, whatever they are told."""


@pytest.mark.parametrize("name", solver_names())
def test_what_is_filled_in_has_the_mean_and_covariance_of_the_exact_conditional(example, name):
    gaussian, known, mean, covariance = example
    count = 500 if name in BIASED else 4000
    draws = draws_of(gaussian.denoise, known, KNOWN, count, name=name, passes=7, steps=STEPS[name])
    assert torch.equal(draws[:, KNOWN], known[KNOWN].expand(count, -1))
    of_mean, of_covariance = apart(draws[:, ~KNOWN], mean, covariance)
    assert of_mean < 2
    assert of_covariance < (3 if name in BIASED else 1.6)  # 1 is chance


def test_replacement_alone_is_wrong_and_a_few_passes_are_nearly_right(example):
    gaussian, known, mean, covariance = example
    (mean_0, covariance_0), (mean_1, _), few = (
        apart(draws_of(gaussian.denoise, known, KNOWN, 4000, passes=passes)[:, ~KNOWN], mean, covariance)
        for passes in (0, 1, 3)
    )
    assert max(few) < 2
    assert mean_0 > 20
    assert covariance_0 > 10
    assert few[0] < mean_1 < mean_0 / 2


def test_restarts_leave_an_exact_answer_and_mend_a_wrong_one(example):
    gaussian, known, mean, covariance = example
    exact = draws_of(gaussian.denoise, known, KNOWN, 4000, passes=7, restarts=2)
    assert max(apart(exact[:, ~KNOWN], mean, covariance)) < 2
    once, often = (
        apart(
            draws_of(gaussian.denoise, known, KNOWN, 4000, passes=0, restarts=n, restart_from=0.5)[:, ~KNOWN],
            mean,
            covariance,
        )
        for n in (0, 6)
    )
    assert often[0] < 0.7 * once[0]
