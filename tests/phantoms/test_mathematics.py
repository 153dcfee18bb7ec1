"""Formulas against closed forms."""

import math

import pytest
import torch

from morphogen.mathematics.adversarial_losses import (
    non_saturating_discriminator_loss,
    non_saturating_generator_loss,
)
from morphogen.mathematics.gaussians import divergence_from_standard_normal, negative_log_likelihood
from morphogen.mathematics.gradient_penalties import squared_slope
from morphogen.mathematics.noise_levels import add_noise, cosine_signal, evenly_spaced_steps, linear_signal
from morphogen.mathematics.prediction_targets import clean_image, implied_noise, target
from morphogen.mathematics.randomness import Randomness, numpy_generator
from morphogen.mathematics.resize_convolution import resize_convolution
from morphogen.mathematics.solvers import ddim


def test_divergence_equals_that_of_torch():
    mean, log_variance = torch.randn(5, 3), torch.randn(5, 3)
    q = torch.distributions.Normal(mean, (0.5 * log_variance).exp())
    expected = torch.distributions.kl_divergence(q, torch.distributions.Normal(0.0, 1.0)).sum(1)
    torch.testing.assert_close(divergence_from_standard_normal(mean, log_variance), expected)


def test_likelihood_equals_that_of_torch_and_is_highest_at_the_root_mean_square_error():
    x, mean = torch.randn(4, 1, 6, 6), torch.randn(4, 1, 6, 6)
    log_sigma = torch.tensor(-0.3, requires_grad=True)
    expected = -torch.distributions.Normal(mean, log_sigma.exp()).log_prob(x).flatten(1).sum(1)
    torch.testing.assert_close(negative_log_likelihood(x, mean, log_sigma), expected)
    best = (x - mean).square().mean().sqrt().log().requires_grad_()
    (slope,) = torch.autograd.grad(negative_log_likelihood(x, mean, best).mean(), best)
    assert abs(slope) < 1e-3


def test_adversarial_losses_where_the_answer_is_known():
    undecided = torch.zeros(7)
    assert non_saturating_discriminator_loss(undecided, undecided).item() == pytest.approx(2 * math.log(2))
    assert non_saturating_generator_loss(undecided).item() == pytest.approx(math.log(2))
    # D(x) = 0.9 and D(G(z)) = 0.2
    measured, generated = torch.tensor([math.log(9.0)]), torch.tensor([math.log(0.25)])
    expected = -math.log(0.9) - math.log(0.8)
    assert non_saturating_discriminator_loss(measured, generated).item() == pytest.approx(expected, rel=1e-5)
    assert non_saturating_generator_loss(generated).item() == pytest.approx(-math.log(0.2), rel=1e-5)


def test_slope_of_a_plane_and_of_a_bowl():
    images = torch.randn(3, 1, 2, 2, requires_grad=True)
    weights = torch.tensor([1.0, -2.0, 0.5, 3.0])
    plane = squared_slope(images, images.flatten(1) @ weights)
    torch.testing.assert_close(plane, weights.square().sum().expand(3))
    bowl = squared_slope(images, images.square().flatten(1).sum(1))
    torch.testing.assert_close(bowl, 4 * images.square().flatten(1).sum(1))


@pytest.mark.parametrize("signal", [linear_signal, cosine_signal])
def test_noise_grows_from_nearly_nothing_to_nearly_everything(signal):
    a = signal(1000)
    assert (a.diff() < 0).all()
    assert a[0] > 0.999
    assert a[-1] < 1e-3 if signal is cosine_signal else a[-1] < 1e-4


@pytest.mark.parametrize("kind", ["epsilon", "v"])
def test_a_prediction_leads_back_to_the_image_and_to_the_noise(kind):
    x0, eps = torch.randn(6, 1, 4, 4, dtype=torch.float64), torch.randn(6, 1, 4, 4, dtype=torch.float64)
    a = torch.linspace(0.02, 0.98, 6, dtype=torch.float64)
    xt = add_noise(x0, eps, a)
    said = target(kind, x0, eps, a)
    torch.testing.assert_close(clean_image(kind, said, xt, a), x0)
    torch.testing.assert_close(implied_noise(x0, xt, a), eps)


def test_sampling_visits_the_noisiest_and_the_cleanest_step():
    assert evenly_spaced_steps(1000, 3) == [999, 500, 0]
    assert evenly_spaced_steps(1000, 1) == [999]
    assert evenly_spaced_steps(4, 4) == [3, 2, 1, 0]


def _exact_denoiser(mean, variance, a):
    """E[x_0 | x_t] for x_0 ~ N(mean, variance)."""

    def denoise(xt, t):
        gain = a[t].sqrt() * variance / (a[t] * variance + 1 - a[t])
        return mean + gain * (xt - a[t].sqrt() * mean)

    return denoise


@pytest.mark.parametrize("eta", [0.0, 1.0])
def test_ddim_with_the_exact_denoiser_draws_from_the_gaussian(eta):
    """No training: for Gaussian data the best denoiser is known, and what comes out must be that Gaussian."""
    torch.manual_seed(0)
    a = cosine_signal(1000)
    mean, variance = 0.7, 0.3**2
    noise = torch.randn(20_000, dtype=torch.float64)
    drawn = ddim(
        _exact_denoiser(mean, variance, a),
        noise,
        a,
        evenly_spaced_steps(1000, 200),
        eta=eta,
        normal=lambda: torch.randn(20_000, dtype=torch.float64),
    )
    # 20 000 draws leave 0.0021 of chance in the mean and 0.0015 in the deviation; 200 steps leave 0.01.
    assert drawn.mean().item() == pytest.approx(mean, abs=0.01)
    assert drawn.std().item() == pytest.approx(0.3, abs=0.012)


def test_ddim_with_the_exact_denoiser_of_a_small_set_gives_back_its_members():
    """With the exact denoiser of a finite set every path must end at one of its members."""
    torch.manual_seed(0)
    a = cosine_signal(1000)
    members = torch.randn(5, 8, dtype=torch.float64)

    def denoise(xt, t):
        misfit = (xt[:, None] - a[t].sqrt() * members).square().sum(-1) / (2 * (1 - a[t]))
        return torch.softmax(-misfit, dim=1) @ members

    drawn = ddim(denoise, torch.randn(64, 8, dtype=torch.float64), a, evenly_spaced_steps(1000, 100))
    distance = (drawn[:, None] - members).norm(dim=-1)
    assert distance.min(dim=1).values.max() < 0.05
    assert len(distance.argmin(dim=1).unique()) == 5


def test_a_stream_belongs_to_its_image_and_not_to_its_batch():
    together = Randomness.of_images(3, 0, 4)
    apart = Randomness.of_images(3, 2, 2)
    torch.testing.assert_close(together.normal(2, 2)[2:], apart.normal(2, 2), rtol=0, atol=0)
    torch.testing.assert_close(together.integers(1000)[2:], apart.integers(1000), rtol=0, atol=0)
    other = Randomness.of_images(3, 2, 2, purpose=1)
    assert not torch.equal(other.normal(2, 2), Randomness.of_images(3, 2, 2).normal(2, 2))
    assert not torch.equal(Randomness.of_images(4, 2, 2).normal(3), Randomness.of_images(3, 2, 2).normal(3))


@pytest.mark.parametrize(("one", "other"), [((3,), (3, 0)), ((3, 0), (3, 0, 0)), ((12345,), (12345 + 7 * 2**32,))])
def test_keys_that_look_alike_have_streams_of_their_own(one, other):
    assert numpy_generator(*one).random() != numpy_generator(*other).random()
    assert not torch.equal(Randomness([one]).normal(4), Randomness([other]).normal(4))


def test_draws_have_the_moments_that_they_should():
    streams = Randomness.of_images(1, 0, 200)
    normal, uniform, whole = streams.normal(500), streams.uniform(500), streams.integers(10, 500)
    assert abs(normal.mean()) < 0.015
    assert abs(normal.std() - 1) < 0.015
    assert abs(uniform.mean() - 0.5) < 0.005
    assert uniform.min() >= 0
    assert uniform.max() < 1
    assert set(whole.unique().tolist()) == set(range(10))


def test_the_resize_convolution_is_upsampling_and_then_a_convolution():
    x = torch.randn(2, 3, 5, 6, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(4, 3, 3, 3, dtype=torch.float64, requires_grad=True)
    two_steps = torch.nn.functional.conv2d(
        torch.nn.functional.interpolate(x, scale_factor=2, mode="nearest"), weight, padding=1
    )
    one_step = resize_convolution(x, weight)
    torch.testing.assert_close(one_step, two_steps)
    probe = torch.randn_like(one_step)
    for ours, theirs in zip(
        torch.autograd.grad(one_step, (x, weight), probe),
        torch.autograd.grad(two_steps, (x, weight), probe),
        strict=True,
    ):
        torch.testing.assert_close(ours, theirs)
