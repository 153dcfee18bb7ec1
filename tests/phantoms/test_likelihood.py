"""Likelihoods by the probability flow against the density of a mixture, which is known; and the exact denoisers."""

import math

import pytest
import torch

from morphogen.mathematics.exact_denoisers import DataSet, GaussianMixture
from morphogen.mathematics.likelihood import bits_a_dimension, log_likelihood, rademacher
from morphogen.mathematics.noise_levels import decisive_steps, geometric_steps
from morphogen.mathematics.randomness import Randomness

HIGH, LOW = 80.0, 0.002


def numbers(*values):
    return torch.tensor(values, dtype=torch.float64)


MIXTURE = GaussianMixture(
    numbers(0.3, 0.5, 0.2),
    numbers(-1.0, 0.5, 0.6, 1.0, 0.3, -1.3).view(3, 2),
    numbers(0.04, 0.09, 0.1, 0.01, 0.2, 0.05).view(3, 2),
)
MEAN = (MIXTURE.weights[:, None] * MIXTURE.means).sum(0)


def drawn(mixture, count, seed=0):
    generator = torch.Generator().manual_seed(seed)
    chosen = torch.multinomial(mixture.weights, count, replacement=True, generator=generator)
    noise = torch.randn(count, *mixture.means.shape[1:], generator=generator, dtype=torch.float64)
    return mixture.means[chosen] + mixture.variances[chosen].sqrt() * noise


def low_level(x, sigma=LOW):
    return torch.full((len(x),), sigma, dtype=x.dtype)


@pytest.mark.parametrize("sigma", [0.05, 0.6, 20.0])
def test_the_denoiser_is_the_slope_of_the_density(sigma):
    """Tweedie: E[x_0 | x] = x + sigma^2 grad log p(x; sigma), so a denoiser and a density cannot both be wrong."""
    for data in (MIXTURE, DataSet(drawn(MIXTURE, 7))):
        x = (sigma * torch.randn(30, 2, dtype=torch.float64)).requires_grad_()
        density = data.log_density(x, low_level(x, sigma))
        (slope,) = torch.autograd.grad(density.sum(), x)
        torch.testing.assert_close(data.denoise(x, low_level(x, sigma)), x + sigma**2 * slope)


def test_the_density_is_that_of_torch_and_a_data_set_is_a_mixture_without_variance():
    x = torch.randn(20, 2, 3, dtype=torch.float64)
    sigma = torch.linspace(0.1, 3, 20, dtype=torch.float64)
    means, variances = torch.randn(4, 2, 3, dtype=torch.float64), torch.rand(4, 2, 3, dtype=torch.float64)
    weights = numbers(0.1, 0.2, 0.3, 0.4)
    for k in range(20):
        scale = (variances + sigma[k] ** 2).sqrt()
        normal = torch.distributions.Independent(torch.distributions.Normal(means, scale), 2)
        theirs = torch.distributions.MixtureSameFamily(torch.distributions.Categorical(weights), normal)
        ours = GaussianMixture(weights, means, variances).log_density(x[k : k + 1], sigma[k : k + 1])
        torch.testing.assert_close(ours, theirs.log_prob(x[k : k + 1]))
    as_mixture = GaussianMixture(torch.full((4,), 0.25).double(), means, torch.zeros_like(means))
    torch.testing.assert_close(DataSet(means).denoise(x, sigma), as_mixture.denoise(x, sigma))
    torch.testing.assert_close(DataSet(means).log_density(x, sigma), as_mixture.log_density(x, sigma))


def test_a_denoiser_leaves_less_error_than_any_other():
    """E[x_0 | x] is the best: moved by a little in any direction it errs more."""
    x0 = drawn(MIXTURE, 100_000)
    sigma = low_level(x0, 0.5)
    x = x0 + 0.5 * torch.randn(x0.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    best = MIXTURE.denoise(x, sigma)
    error = (best - x0).square().mean()
    for other in (best + 0.05, best - 0.05, 1.05 * best, 0.95 * best + 0.05 * x):
        assert (other - x0).square().mean() > error


def test_the_likelihood_of_a_mixture_is_exact_to_a_thousandth_of_a_bit():
    x = drawn(MIXTURE, 64)
    found = log_likelihood(MIXTURE.denoise, x, decisive_steps(25, LOW, HIGH), mean=MEAN)
    exact = MIXTURE.log_density(x, low_level(x))
    assert found.dtype == torch.float64
    assert (bits_a_dimension(found, 2) - bits_a_dimension(exact, 2)).abs().max() < 1e-3


def test_without_the_mean_the_prior_is_off_by_what_the_module_says():
    x = drawn(MIXTURE, 64)
    exact = bits_a_dimension(MIXTURE.log_density(x, low_level(x)), 2)
    errors = [
        (bits_a_dimension(log_likelihood(MIXTURE.denoise, x, decisive_steps(31, LOW, high)), 2) - exact).abs().max()
        for high in (20.0, 80.0)
    ]
    assert errors[1] < 0.012
    assert errors[0] / errors[1] == pytest.approx(4, rel=0.25)


def test_the_variance_of_the_images_belongs_to_the_prior():
    """Data of unit variance: exact at any highest level, which a prior of variance high^2 alone would not be."""
    data = GaussianMixture(numbers(1.0), torch.zeros(1, 3).double(), torch.ones(1, 3).double())
    x = drawn(data, 16)
    for high in (2.0, 80.0):
        found = log_likelihood(data.denoise, x, geometric_steps(3, 0.01, high))
        torch.testing.assert_close(found, data.log_density(x, low_level(x, 0.01)), rtol=0, atol=1e-12)


def test_the_error_falls_with_the_fourth_power_of_the_steps():
    x = drawn(MIXTURE, 32)
    fine = log_likelihood(MIXTURE.denoise, x, decisive_steps(241, LOW, HIGH))
    errors = [
        (log_likelihood(MIXTURE.denoise, x, decisive_steps(n + 1, LOW, HIGH)) - fine).square().mean().sqrt().item()
        for n in (30, 60)
    ]
    assert math.log2(errors[0] / errors[1]) == pytest.approx(4, abs=0.7)


def test_the_estimated_trace_has_no_bias_and_is_exact_for_a_diagonal_one():
    x = drawn(MIXTURE, 6)
    sigmas = decisive_steps(20, LOW, HIGH)
    exact = log_likelihood(MIXTURE.denoise, x, sigmas)
    # In two dimensions there are four probes, and their mean is the exact trace at every step.
    every = torch.tensor([[1, 1], [1, -1], [-1, 1], [-1, -1]])[:, None].expand(4, 6, 2)
    torch.testing.assert_close(log_likelihood(MIXTURE.denoise, x, sigmas, probes=every), exact)
    one = log_likelihood(MIXTURE.denoise, x, sigmas, probes=every[:1])
    assert (one - exact).abs().max() > 0.05  # so the mean above was needed
    gaussian = GaussianMixture(numbers(1.0), torch.zeros(1, 5).double(), numbers(0.2, 0.5, 1, 1.5, 2)[None])
    y = drawn(gaussian, 6)
    probes = rademacher(Randomness.of_images(0, 0, 6), 1, 5)
    torch.testing.assert_close(
        log_likelihood(gaussian.denoise, y, sigmas, probes=probes), log_likelihood(gaussian.denoise, y, sigmas)
    )


def test_probes_are_signs_of_their_own_image():
    together = rademacher(Randomness.of_images(3, 0, 5), 4, 1, 6, 6)
    assert together.shape == (4, 5, 1, 6, 6)
    assert set(together.unique().tolist()) == {-1, 1}
    assert abs(together.double().mean()) < 0.12  # 720 signs leave 0.037 of chance
    torch.testing.assert_close(rademacher(Randomness.of_images(3, 2, 2), 4, 1, 6, 6), together[:, 2:4])


def test_an_image_is_as_likely_in_any_batch_and_in_single_precision():
    x = drawn(MIXTURE, 8)
    sigmas = decisive_steps(20, LOW, HIGH)
    together = log_likelihood(MIXTURE.denoise, x, sigmas)
    torch.testing.assert_close(log_likelihood(MIXTURE.denoise, x[3:5], sigmas), together[3:5], rtol=0, atol=1e-9)
    with torch.no_grad():  # as where images are generated
        single = log_likelihood(MIXTURE.denoise, x.float(), sigmas)
    torch.testing.assert_close(single, together, rtol=0, atol=2e-3)


def test_a_likelihood_needs_two_levels_and_units_move_it():
    with pytest.raises(ValueError, match="two noise levels"):
        log_likelihood(MIXTURE.denoise, torch.zeros(1, 2), numbers(1.0))
    # A uniform density over 256 grey levels, of which 127.5 make a unit, is 8 bits.
    log_p = torch.tensor([6 * math.log(127.5 / 256)])
    assert bits_a_dimension(log_p, 6, scale=127.5).item() == pytest.approx(8, abs=1e-5)
