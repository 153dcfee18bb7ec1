"""Inversions of sampling, on denoisers and paths that are known in closed form."""

import math
from itertools import pairwise

import pytest
import torch

from morphogen.mathematics.exact_denoisers import DataSet, GaussianMixture
from morphogen.mathematics.guidance import guided
from morphogen.mathematics.inversion import ddim_inversion, edit_friendly_inversion, sampled_again
from morphogen.mathematics.noise_levels import karras_steps
from morphogen.mathematics.solvers import ddim

LOW, HIGH = 0.01, 80.0


def numbers(*values):
    return torch.tensor(values, dtype=torch.float64)


MIXTURE = GaussianMixture(
    numbers(0.3, 0.5, 0.2),
    numbers(-1.0, 0.5, 0.6, 1.0, 0.3, -1.3).view(3, 2),
    numbers(0.04, 0.09, 0.1, 0.01, 0.2, 0.05).view(3, 2),
)
DEVIATION = 0.8
GAUSSIAN = GaussianMixture(numbers(1.0), numbers(0.0).view(1, 1), numbers(DEVIATION**2).view(1, 1))


def drawn(mixture, count, seed=0):
    generator = torch.Generator().manual_seed(seed)
    chosen = torch.multinomial(mixture.weights, count, replacement=True, generator=generator)
    noise = torch.randn(count, *mixture.means.shape[1:], generator=generator, dtype=torch.float64)
    return mixture.means[chosen] + mixture.variances[chosen].sqrt() * noise


def normal(*shape, seed=1):
    generator = torch.Generator().manual_seed(seed)
    return lambda: torch.randn(*shape, generator=generator, dtype=torch.float64)


def test_what_is_inverted_comes_back_to_a_ten_thousandth_where_song_et_al_lose_it():
    """At ten levels over four decades a step is anything but small."""
    x0, sigmas = drawn(MIXTURE, 200), karras_steps(10, LOW, HIGH)
    inversion = ddim_inversion(MIXTURE.denoise, x0, sigmas, iterations=15)
    again = ddim.solve(MIXTURE.denoise, inversion.path[0], sigmas)  # by the solver itself, with nothing kept but noise
    assert (again - x0).abs().max() < 1e-4
    assert inversion.rest.abs().max() < 1e-4
    plain = ddim_inversion(MIXTURE.denoise, x0, sigmas)
    assert (sampled_again(MIXTURE.denoise, plain) - x0).abs().max() > 0.5


def test_the_path_of_a_gaussian_is_the_known_one():
    """Each step multiplies by s/t + (1 - s/t) v / (v + t^2), so its inverse divides by it."""
    x0, sigmas = drawn(GAUSSIAN, 8), karras_steps(12, LOW, HIGH)
    path = ddim_inversion(GAUSSIAN.denoise, x0, sigmas, iterations=20).path
    x, below = x0, 0.0
    for sigma, found in zip(reversed(sigmas.tolist()), reversed(path), strict=True):
        shrink = DEVIATION**2 / (DEVIATION**2 + sigma**2)
        x = x / (below / sigma + (1 - below / sigma) * shrink)
        torch.testing.assert_close(found, x, rtol=1e-4, atol=1e-5)
        below = sigma


def test_the_noise_of_images_is_standard_normal_where_steps_are_small():
    x0 = drawn(MIXTURE, 4000)
    noise = ddim_inversion(MIXTURE.denoise, x0, karras_steps(100, LOW, HIGH), iterations=2).path[0] / HIGH
    assert noise.mean(0).abs().max() < 0.06
    assert (noise.var(0) - 1).abs().max() < 0.1
    for share in (0.1, 0.25, 0.75, 0.9):  # and not only its moments
        wanted = math.sqrt(2) * torch.erfinv(numbers(2 * share - 1))
        assert (noise.quantile(share, dim=0) - wanted).abs().max() < 0.12


def test_images_of_a_small_data_set_come_back():
    """Its estimate is flat nearly everywhere, and jumps: what the lowest level cannot say is kept as the rest."""
    images = drawn(MIXTURE, 50)
    data, sigmas = DataSet(images), karras_steps(20, LOW, HIGH)
    again = ddim.solve(data.denoise, ddim_inversion(data.denoise, images, sigmas, iterations=5).path[0], sigmas)
    assert (again - images).abs().max() < 1e-4
    x0 = images + 0.05  # no image of the set
    by_noise = edit_friendly_inversion(data.denoise, x0, sigmas, normal(50, 2))
    assert by_noise.rest.abs().max() > 0.02
    assert (sampled_again(data.denoise, by_noise) - x0).abs().max() < 1e-9
    only = DataSet(images[:1])
    inversion = ddim_inversion(only.denoise, x0[:1], sigmas, iterations=2)
    torch.testing.assert_close(inversion.rest, torch.full((1, 2), 0.05, dtype=torch.float64))
    assert (sampled_again(only.denoise, inversion) - x0[:1]).abs().max() < 1e-9


def test_an_image_is_inverted_alike_in_any_batch_and_in_single_precision():
    x0, sigmas = drawn(MIXTURE, 6), karras_steps(10, LOW, HIGH)
    together = ddim_inversion(MIXTURE.denoise, x0, sigmas, iterations=10).path[0]
    alone = ddim_inversion(MIXTURE.denoise, x0[2:3], sigmas, iterations=10).path[0]
    torch.testing.assert_close(alone, together[2:3], rtol=0, atol=1e-9)
    single = ddim_inversion(MIXTURE.denoise, x0.float(), sigmas, iterations=10)
    assert (sampled_again(MIXTURE.denoise, single) - x0).abs().max() < 1e-3


@pytest.mark.parametrize("weight", [1.0, 6.0])
def test_noise_of_steps_gives_the_image_back_under_any_guidance(weight):
    x0, sigmas = drawn(MIXTURE, 20), karras_steps(8, LOW, HIGH)
    told = GaussianMixture(numbers(1.0), MIXTURE.means[:1], MIXTURE.variances[:1])

    def both(x, sigma):
        half = len(x) // 2
        return torch.cat([told.denoise(x[:half], sigma[:half]), MIXTURE.denoise(x[half:], sigma[half:])])

    denoise = guided(both, told.denoise, weight)
    inversion = edit_friendly_inversion(denoise, x0, sigmas, normal(20, 2))
    assert (sampled_again(denoise, inversion) - x0).abs().max() < 1e-9
    assert (sampled_again(MIXTURE.denoise, inversion) - x0).abs().max() > 0.1
    doubled = sampled_again(denoise, inversion.times(2))
    torch.testing.assert_close(doubled, torch.cat([x0, x0]))


def test_noise_of_steps_has_the_known_variance_and_correlation():
    """With x_t = x_0 + t n, mu = a x_t and c z = (1 - a) x_0 + s n_s - a t n_t, for a Gaussian of variance v."""
    x0, sigmas = drawn(GAUSSIAN, 100_000), karras_steps(6, 0.1, 10.0)
    z = edit_friendly_inversion(GAUSSIAN.denoise, x0, sigmas, normal(100_000, 1)).noises
    v, levels = DEVIATION**2, sigmas.tolist()
    shares, scales = [], []
    for t, s in pairwise(levels):
        shares.append(s**2 / t**2 + (1 - s**2 / t**2) * v / (v + t**2))
        scales.append(s * math.sqrt(1 - s**2 / t**2))
    for k, (a, c) in enumerate(zip(shares, scales, strict=True)):
        t, s = levels[k : k + 2]
        variance = ((1 - a) ** 2 * v + s**2 + a**2 * t**2) / c**2
        assert z[k].var().item() == pytest.approx(variance, rel=0.03)
        assert variance > 1  # larger than the noise of sampling
        if k:
            before, scale = shares[k - 1], scales[k - 1]
            covariance = ((1 - before) * (1 - a) * v - a * t**2) / (scale * c)
            assert (z[k - 1] * z[k]).mean().item() == pytest.approx(covariance, rel=0.03)
            assert covariance < 0


def test_between_the_levels_an_image_may_be_led():
    x0, sigmas = drawn(MIXTURE, 3), karras_steps(5, LOW, HIGH)
    inversion = edit_friendly_inversion(MIXTURE.denoise, x0, sigmas, normal(3, 2))
    other = GaussianMixture(numbers(1.0), numbers(3.0, 3.0).view(1, 2), numbers(0.1, 0.1).view(1, 2))
    inside = torch.tensor([True, False])
    led = sampled_again(other.denoise, inversion, lambda x, k: torch.where(inside, x, inversion.path[k]))
    free = sampled_again(other.denoise, inversion)
    assert (led - free)[:, 1].abs().min() > 0.05
    torch.testing.assert_close(led[:, 0], free[:, 0])  # its dimensions don't know of each other


def test_steps_without_noise_have_none_to_be_found():
    with pytest.raises(ValueError, match="without noise"):
        edit_friendly_inversion(GAUSSIAN.denoise, numbers(1.0).view(1, 1), numbers(1.0), normal(1, 1), eta=0)
