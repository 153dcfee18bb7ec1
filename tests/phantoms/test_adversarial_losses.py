"""Adversarial losses and slope penalties against closed forms and quadrature."""

import math

import numpy as np
import pytest
import torch
from scipy import integrate, stats

from morphogen.mathematics.adversarial_losses import (
    hinge_discriminator_loss,
    hinge_generator_loss,
    minimax_generator_loss,
    non_saturating_discriminator_loss,
    non_saturating_generator_loss,
    relativistic_discriminator_loss,
    relativistic_generator_loss,
    wasserstein_discriminator_loss,
    wasserstein_generator_loss,
)
from morphogen.mathematics.gradient_penalties import between, slope_off_one, squared_slope
from morphogen.mathematics.randomness import Randomness

MEASURED, GENERATED = stats.norm(0.0, 1.0), stats.norm(1.2, 0.7)


def _draws(count=20_000):
    """The mid-quantiles of both Gaussians: means over them are integrals over the densities."""
    at = (np.arange(count) + 0.5) / count
    return torch.from_numpy(MEASURED.ppf(at)), torch.from_numpy(GENERATED.ppf(at))


def _best_logit(x):
    """log p(x) - log q(x): the logit of the best discriminator (Goodfellow et al. 2014, proposition 1)."""
    return torch.from_numpy(MEASURED.logpdf(x.numpy()) - GENERATED.logpdf(x.numpy()))


def _divergence_from_mixture(one, other):
    def integrand(x):
        p, q = one.pdf(x), other.pdf(x)
        return p * math.log(2 * p / (p + q))

    return integrate.quad(integrand, -9, 9, points=[0, 1.2], epsabs=1e-10, limit=200)[0]


def test_the_best_discriminator_scores_the_jensen_shannon_divergence():
    x, y = _draws()
    divergence = (_divergence_from_mixture(MEASURED, GENERATED) + _divergence_from_mixture(GENERATED, MEASURED)) / 2
    assert 0.1 < divergence < math.log(2)
    loss = non_saturating_discriminator_loss(_best_logit(x), _best_logit(y)).item()
    assert loss == pytest.approx(2 * math.log(2) - 2 * divergence, abs=2e-4)
    # No other discriminator does better: neither a bolder, nor a meeker, nor a shifted one.
    for changed in (lambda t: 1.2 * t, lambda t: 0.8 * t, lambda t: t + 0.2):
        assert non_saturating_discriminator_loss(changed(_best_logit(x)), changed(_best_logit(y))).item() > loss + 1e-4


def test_minimax_and_non_saturating_generators_want_the_same_with_different_force():
    """Goodfellow et al. 2014, section 3: where D is sure, log(1 - D) has no slope and -log D has slope one."""
    logit = torch.tensor([-9.0, 0.0], dtype=torch.float64, requires_grad=True)
    (patient,) = torch.autograd.grad(2 * minimax_generator_loss(logit), logit)
    (urgent,) = torch.autograd.grad(2 * non_saturating_generator_loss(logit), logit)
    p = torch.sigmoid(logit.detach())  # D(G(z))
    torch.testing.assert_close(patient, -p)
    torch.testing.assert_close(urgent, p - 1)
    assert minimax_generator_loss(torch.tensor([math.log(4.0)])).item() == pytest.approx(math.log(0.2), rel=1e-6)


def test_hinge_at_known_logits():
    measured, generated = torch.tensor([2.0, 0.5, -1.0]), torch.tensor([-3.0, -0.25, 1.0])
    # max(0, 1 - D): 0, 0.5, 2; max(0, 1 + D): 0, 0.75, 2
    assert hinge_discriminator_loss(measured, generated).item() == pytest.approx((2.5 + 2.75) / 3)
    assert hinge_generator_loss(generated).item() == pytest.approx(0.75)
    logits = measured.clone().requires_grad_()
    (pull,) = torch.autograd.grad(hinge_discriminator_loss(logits, generated), logits)
    torch.testing.assert_close(pull, torch.tensor([0.0, -1 / 3, -1 / 3]))  # a sure answer is left alone


def test_the_best_hinge_discriminator_scores_the_total_variation():
    """Its answer is the sign of p - q, and then L_D = 2 - 2 TV (Lim and Ye 2017, section 3)."""
    x, y = _draws()
    variation = 0.5 * integrate.quad(lambda t: abs(MEASURED.pdf(t) - GENERATED.pdf(t)), -9, 9, limit=400)[0]
    loss = hinge_discriminator_loss(_best_logit(x).sign(), _best_logit(y).sign()).item()
    assert loss == pytest.approx(2 - 2 * variation, abs=1e-3)


def test_a_critic_of_slope_one_scores_the_wasserstein_distance():
    """Shifted copies are as far apart as the shift, and the critic that sees it is -x."""
    x = torch.from_numpy(MEASURED.ppf((np.arange(5000) + 0.5) / 5000))
    y = x + 1.7
    assert wasserstein_discriminator_loss(-x, -y).item() == pytest.approx(-1.7)
    assert wasserstein_discriminator_loss(-x, -y).item() == pytest.approx(
        -stats.wasserstein_distance(x.numpy(), y.numpy())
    )
    assert wasserstein_generator_loss(-y).item() == pytest.approx(1.7)  # E y, which it lowers


def test_relativistic_losses_see_differences_alone():
    measured, generated = torch.randn(50, dtype=torch.float64), torch.randn(50, dtype=torch.float64)
    difference = (measured - generated).numpy()
    loss = relativistic_discriminator_loss(measured, generated)
    assert loss.item() == pytest.approx(np.log1p(np.exp(-difference)).mean())
    assert relativistic_generator_loss(measured, generated).item() == pytest.approx(np.log1p(np.exp(difference)).mean())
    torch.testing.assert_close(relativistic_discriminator_loss(measured + 5, generated + 5), loss)
    assert relativistic_discriminator_loss(measured, measured).item() == pytest.approx(math.log(2))


LOSSES = (
    non_saturating_discriminator_loss,
    hinge_discriminator_loss,
    wasserstein_discriminator_loss,
    relativistic_discriminator_loss,
    relativistic_generator_loss,
)


@pytest.mark.parametrize("loss", LOSSES)
def test_a_loss_is_the_mean_of_its_halves(loss):
    """Without this, two processes would not train what one does; the relativistic average would fail here."""
    measured, generated = torch.randn(8, dtype=torch.float64), torch.randn(8, dtype=torch.float64)
    halves = loss(measured[:4], generated[:4]) + loss(measured[4:], generated[4:])
    torch.testing.assert_close(loss(measured, generated), halves / 2)


def test_slope_of_a_linear_critic():
    images = torch.randn(3, 2, 2, 2, dtype=torch.float64, requires_grad=True)
    w = torch.randn(8, dtype=torch.float64)
    penalty = slope_off_one(images, images.flatten(1) @ w)
    torch.testing.assert_close(penalty, ((w.norm() - 1) ** 2).expand(3))
    # E ||grad D||^2 is the same wherever it is taken: R1 is R2.
    torch.testing.assert_close(squared_slope(images, images.flatten(1) @ w), w.square().sum().expand(3))


def test_slope_of_a_bowl_on_measured_and_on_generated_images():
    for scale in (1.0, 3.0):  # R1, and R2 of images elsewhere
        images = (scale * torch.randn(4, 1, 3, 3, dtype=torch.float64)).requires_grad_()
        bowl = images.square().flatten(1).sum(1)
        torch.testing.assert_close(squared_slope(images, bowl), 4 * bowl.detach())
        torch.testing.assert_close(slope_off_one(images, bowl), (2 * bowl.detach().sqrt() - 1) ** 2)


def test_the_penalty_trains_a_critic_to_slope_one_and_stands_a_flat_one():
    w = torch.zeros(4, dtype=torch.float64, requires_grad=True)
    images = torch.randn(5, 4, dtype=torch.float64, requires_grad=True)
    (of_flat,) = torch.autograd.grad(slope_off_one(images, images @ w).mean(), w)
    assert torch.isfinite(of_flat).all()
    w = torch.tensor([0.3, -0.2, 0.1, 0.0], dtype=torch.float64, requires_grad=True)
    for _ in range(200):
        (slope,) = torch.autograd.grad(slope_off_one(images, images @ w).mean(), w)
        w = (w - 0.1 * slope).detach().requires_grad_()
    assert w.norm().item() == pytest.approx(1.0, abs=1e-6)


def test_images_between_two_lie_where_the_one_number_of_an_image_says():
    measured, generated = torch.randn(6, 2, 3, 3), torch.randn(6, 2, 3, 3)
    share = Randomness.of_images(0, 0, 6).uniform()
    mixed = between(measured, generated, share)
    assert mixed.requires_grad
    assert mixed.is_leaf
    of_pixels = (mixed.detach() - generated) / (measured - generated)  # every pixel tells the share
    torch.testing.assert_close(of_pixels, share.view(6, 1, 1, 1).expand(6, 2, 3, 3), rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(between(measured, generated, torch.ones(6)).detach(), measured)
    torch.testing.assert_close(between(measured, generated, torch.zeros(6)).detach(), generated)
