"""Filling in what is unknown, against conditionals in closed form: Gaussians, and a small data set."""

import pytest
import torch

from morphogen.mathematics.exact_denoisers import DataSet
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
    "sde_dpm_solver": 150,
}
BIASED = {"ancestral", "predictor_corrector", "annealed_langevin", "sde_dpm_solver"}
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


def test_of_a_small_data_set_those_images_come_that_have_the_known_part():
    """Two of thirty share it, and each comes as often as the other."""
    images = Randomness.of_images(8, 0, 30).normal(12).double()
    images[1, KNOWN] = images[0, KNOWN]
    draws = draws_of(DataSet(images).denoise, images[0], KNOWN, 600, passes=3, restarts=1)
    nearest = torch.cdist(draws, images).argmin(1)
    assert torch.allclose(draws, images[nearest], atol=0.02)
    first, second = ((nearest == k).double().mean().item() for k in (0, 1))
    assert first + second > 0.99
    assert first == pytest.approx(0.5, abs=4 * 0.5 / 600**0.5)


SIDE, WHITE = 32, 0.1


def field():
    """A denoiser of a periodic Gaussian field, and its correlation over lags across: Lorentzian spectrum, white noise.

    Its estimates are the Wiener filter S / (S + sigma^2), exact for it.
    """
    frequency = torch.fft.fftfreq(SIDE, dtype=torch.float64)
    squared = frequency[:, None] ** 2 + frequency[None] ** 2
    smooth = (1 + squared * (2 * torch.pi * 4.0) ** 2) ** -1.5  # of an exponential correlation of 4 pixels
    spectrum = (1 - WHITE) * smooth / smooth.mean() + WHITE

    def denoise(x, sigma):
        level = per_image(sigma, x).square()
        return torch.fft.ifft2(torch.fft.fft2(x) * (spectrum / (spectrum + level))).real

    return denoise, spectrum, torch.fft.ifft2(spectrum).real[0]


@pytest.mark.parametrize(("passes", "seen"), [(4, False), (0, True)])
def test_the_two_point_correlation_across_the_border_is_that_inside(passes, seen):
    """Of a field filled in a disc, over all pairs of pixels of which one is known; replacement alone leaves a seam."""
    denoise, spectrum, correlation = field()
    count, stream = 150, Randomness.of_images(3, 0, 150)

    def normal():
        return stream.normal(1, SIDE, SIDE).double()

    known = torch.fft.ifft2(torch.fft.fft2(normal()) * spectrum.sqrt()).real
    y, x = torch.meshgrid(torch.arange(SIDE), torch.arange(SIDE), indexing="ij")
    where = (y - 15.0) ** 2 + (x - 17.0) ** 2 > 9.0**2
    sigmas = geometric_steps(25, LOW, HIGH)
    conditional = told_known(denoise, known, where, passes)
    found = filled(solver("dpm_solver"), conditional, where * known + HIGH * normal(), sigmas, normal)
    assert torch.equal(found[..., where], known[..., where])
    apart = []
    for lag in (1, 2, 3, 5, 8):
        across = where != where.roll(-lag, dims=1)  # one of the two is known, the other is not
        each = (found * found.roll(-lag, dims=-1))[..., across].flatten(1).mean(1)  # (count,)
        apart.append(((each.mean() - correlation[lag]) / (each.std() / count**0.5)).item())
    inside = found[..., ~where]
    apart.append(((inside.square().mean() - 1) / (inside.square().flatten(1).mean(1).std() / count**0.5)).item())
    assert (max(map(abs, apart)) > 4) == seen
