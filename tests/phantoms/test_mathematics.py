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
from morphogen.mathematics.guidance import guided
from morphogen.mathematics.noise_levels import (
    PROCESSES,
    Cosine,
    Flow,
    Level,
    SubVariancePreserving,
    VarianceExploding,
    VariancePreserving,
    add_noise,
    cosine_signal,
    decisive_steps,
    evenly_spaced_steps,
    geometric_steps,
    karras_steps,
    linear_signal,
    log_uniform,
    lognormal,
    nearest_step,
    process_steps,
    resolution_shift,
    signal_level,
    signal_steps,
    uniform_in_time,
)
from morphogen.mathematics.preconditioning import (
    edm_weight,
    min_snr_weight,
    plain_weight,
    preconditioned,
    preconditioning,
)
from morphogen.mathematics.prediction_targets import (
    TARGETS,
    clean_image,
    coefficients,
    denoised,
    determinant,
    implied_noise,
    target,
)
from morphogen.mathematics.randomness import Randomness, numpy_generator
from morphogen.mathematics.resize_convolution import resize_convolution


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


def doubles(*values):
    return torch.tensor(values, dtype=torch.float64)


ALL_PROCESSES = [*(kind() for kind in PROCESSES.values()), Flow(shift=3.0), Cosine(offset=0.0)]


@pytest.mark.parametrize("process", ALL_PROCESSES)
def test_time_and_noise_level_are_inverse_and_grow_together(process):
    t = torch.linspace(1e-3, 0.999, 500, dtype=torch.float64)
    sigma = process.sigma(t)
    assert (sigma.diff() > 0).all()
    torch.testing.assert_close(process.time(sigma), t, rtol=1e-9, atol=1e-12)
    level = process.level_at(sigma)
    torch.testing.assert_close(level.sigma, sigma, rtol=1e-9, atol=0)
    assert process.sigma(t.float()).dtype == torch.float64  # a few numbers, and the inverse is steep


def test_processes_keep_what_they_are_named_for():
    t = torch.linspace(0, 1, 101, dtype=torch.float64)
    for process in (Cosine(), VariancePreserving()):
        a, b = process.level(t)
        torch.testing.assert_close(a**2 + b**2, torch.ones_like(t))
    a, b = SubVariancePreserving().level(t)
    torch.testing.assert_close(b, 1 - a**2)
    torch.testing.assert_close(a, VariancePreserving().level(t).signal)
    a, b = VarianceExploding(0.1, 10.0).level(t)
    torch.testing.assert_close(a, torch.ones_like(t))
    torch.testing.assert_close(b[[0, 50, 100]], doubles(0.1, 1.0, 10.0))
    torch.testing.assert_close(sum(Flow().level(t)), torch.ones_like(t))
    a, b = Cosine(offset=0.0).level(t)
    torch.testing.assert_close(b, torch.sin(math.pi / 2 * t))


def test_small_levels_keep_their_digits():
    """Where 1 - a^2 would cancel: near t = 0 the noise is known by its series."""
    t = doubles(1e-12)
    torch.testing.assert_close(VariancePreserving().sigma(t), (0.1 * t).sqrt(), rtol=1e-6, atol=0)
    torch.testing.assert_close(SubVariancePreserving().sigma(t), 0.1 * t, rtol=1e-6, atol=0)
    slope = math.pi * math.tan(0.008 / 1.008 * math.pi / 2) / 1.008  # of 1 - alpha_bar
    torch.testing.assert_close(Cosine().sigma(t), (slope * t).sqrt(), rtol=1e-4, atol=0)


def test_the_shift_multiplies_the_noise_level():
    t = torch.linspace(0.01, 0.99, 50, dtype=torch.float64)
    torch.testing.assert_close(Flow(3.0).sigma(t), 3 * Flow().sigma(t))
    shifted = 3 * t / (1 + 2 * t)
    torch.testing.assert_close(Flow(3.0).level(t).noise, shifted)
    torch.testing.assert_close(Flow(3.0).level(t).signal, 1 - shifted)
    assert resolution_shift(4 * 64**2, 64**2) == 2


@pytest.mark.parametrize("process", [VariancePreserving(), Cosine()])
def test_many_discrete_levels_are_those_of_continuous_time(process):
    """A thousand betas of 0.0001 to 0.02 become ten thousand of a tenth."""
    signal = cosine_signal(10_000) if isinstance(process, Cosine) else linear_signal(10_000, 1e-5, 2e-3)
    steps = torch.tensor([500, 3000, 6000, 9000])
    times = (steps + 1).double() / 10_000
    torch.testing.assert_close(signal_level(signal[steps]).sigma, process.sigma(times), rtol=5e-3, atol=0)


def test_the_nearest_step_is_the_one_that_was_meant():
    for signal in (linear_signal(1000), cosine_signal(1000), linear_signal(1)):
        steps = torch.arange(len(signal))
        sigma = signal_level(signal).sigma
        assert torch.equal(nearest_step(signal, sigma.float()), steps)
        assert torch.equal(nearest_step(signal, sigma * 1.0002), steps)
    assert nearest_step(linear_signal(1000), doubles(1e-9, 1e9)).tolist() == [0, 999]


def test_levels_are_drawn_as_they_should_be():
    u = (torch.arange(100_000, dtype=torch.float64) + 0.5) / 100_000
    drawn = lognormal(u, -0.5, 0.8).log()
    assert drawn.mean().item() == pytest.approx(-0.5, abs=1e-6)
    assert drawn.std().item() == pytest.approx(0.8, abs=1e-3)
    octaves = torch.log2(log_uniform(u, 0.25, 16.0))
    assert torch.histc(octaves, 6, -2, 4).tolist() == pytest.approx([100_000 / 6] * 6, abs=2)
    times = VariancePreserving().time(uniform_in_time(u, VariancePreserving(), 0.02, 50.0))
    assert times.diff().std() < 1e-9
    assert times[0].item() == pytest.approx(VariancePreserving().time(doubles(0.02)).item(), abs=1e-4)
    # Times of a flow that are logit-normal are levels that are lognormal.
    logits = torch.logit(Flow().time(lognormal(u, 0.0, 1.0)))
    assert logits.std().item() == pytest.approx(1, abs=1e-3)
    for draw in (lognormal, lambda u: log_uniform(u, 0.1, 10.0), lambda u: uniform_in_time(u, Flow(), 0.1, 10.0)):
        ends = draw(torch.tensor([0.0, 1 - 2.0**-24]))
        assert ends.dtype == torch.float32
        assert ends.isfinite().all()
        assert (ends > 0).all()


@pytest.mark.parametrize(
    "steps",
    [karras_steps, geometric_steps, decisive_steps, lambda n, low, high: process_steps(Cosine(), n, low, high)],
)
def test_steps_fall_from_the_highest_to_the_lowest_level(steps):
    found = steps(18, 0.002, 80.0)
    assert found.shape == (18,)
    assert found.dtype == torch.float64
    assert (found.diff() < 0).all()
    torch.testing.assert_close(found[[0, -1]], doubles(80.0, 0.002), rtol=1e-8, atol=0)
    torch.testing.assert_close(steps(1, 0.002, 80.0), doubles(80.0), rtol=1e-8, atol=0)
    for count, low, high in ((0, 0.1, 1.0), (5, 0.0, 1.0), (5, 2.0, 1.0)):
        with pytest.raises(ValueError, match="positive and falling"):
            steps(count, low, high)


def test_steps_are_spaced_as_they_are_named():
    constant = torch.zeros(17, dtype=torch.float64)
    for even in (
        karras_steps(18, 0.002, 80.0, rho=5.0) ** (1 / 5),
        geometric_steps(18, 0.002, 80.0).log(),
        Flow().time(process_steps(Flow(), 18, 0.002, 80.0)),
        torch.asinh(decisive_steps(18, 0.002, 80.0).log() + 1),
    ):
        torch.testing.assert_close(even.diff() - even.diff().mean(), constant, rtol=0, atol=1e-9)
    a = linear_signal(1000)
    torch.testing.assert_close(signal_steps(a, 3), ((1 - a) / a).sqrt()[[999, 500, 0]])


@pytest.mark.parametrize("process", ALL_PROCESSES)
@pytest.mark.parametrize("kind", TARGETS)
def test_a_prediction_leads_back_to_the_image_and_to_the_noise(kind, process):
    x0, noise = torch.randn(6, 1, 4, 4, dtype=torch.float64), torch.randn(6, 1, 4, 4, dtype=torch.float64)
    level = process.level(torch.linspace(0.02, 0.98, 6, dtype=torch.float64))
    xt = add_noise(x0, noise, level)
    said = target(kind, x0, noise, level)
    torch.testing.assert_close(clean_image(kind, said, xt, level), x0, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(implied_noise(kind, said, xt, level), noise, rtol=1e-6, atol=1e-6)
    # The two equations that the module solves.
    p, q = coefficients(kind, level)
    torch.testing.assert_close(determinant(kind, level), q * level.signal - level.noise * p)


def test_targets_are_what_they_are_named_for():
    """v and flow are derivatives along their processes, and the score is that of p(x_t | x_0)."""
    x0, noise = torch.randn(5, 3, dtype=torch.float64), torch.randn(5, 3, dtype=torch.float64)
    t = torch.linspace(0.1, 0.9, 5, dtype=torch.float64)

    def derivative(process, by):
        moved = [add_noise(x0, noise, process.level(t + step)) for step in (1e-6, -1e-6)]
        return (moved[0] - moved[1]) / (2e-6 * by)

    circle, line = Cosine(offset=0.0), Flow()
    torch.testing.assert_close(
        target("v", x0, noise, circle.level(t)), derivative(circle, math.pi / 2), rtol=1e-6, atol=1e-6
    )
    torch.testing.assert_close(target("flow", x0, noise, line.level(t)), derivative(line, 1), rtol=1e-6, atol=1e-6)
    level = SubVariancePreserving().level(t)
    xt = add_noise(x0, noise, level).requires_grad_()
    density = torch.distributions.Normal(level.signal[:, None] * x0, level.noise[:, None]).log_prob(xt)
    (slope,) = torch.autograd.grad(density.sum(), xt)
    torch.testing.assert_close(target("score", x0, noise, level), slope)


def test_what_can_be_said_at_pure_noise_and_at_none():
    """v and flow give image and noise everywhere; the others where their module says so."""
    x0, noise = torch.randn(2, 3), torch.randn(2, 3)
    ends = Level(torch.tensor([0.0, 1.0]), torch.tensor([1.0, 0.0]))
    xt = add_noise(x0, noise, ends)
    for kind in ("v", "flow"):
        said = target(kind, x0, noise, ends)
        torch.testing.assert_close(clean_image(kind, said, xt, ends), x0)
        torch.testing.assert_close(implied_noise(kind, said, xt, ends), noise)
    torch.testing.assert_close(clean_image("x0", x0, xt, ends), x0)
    torch.testing.assert_close(implied_noise("epsilon", noise, xt, ends), noise)
    assert clean_image("epsilon", noise, xt, ends).isfinite().all(1).tolist() == [False, True]
    assert clean_image("score", noise, xt, ends).isfinite().all(1).tolist() == [False, False]
    assert implied_noise("x0", x0, xt, ends).isfinite().all(1).tolist() == [True, False]


@pytest.mark.parametrize("kind", TARGETS)
@pytest.mark.parametrize("process", ALL_PROCESSES)
def test_a_network_in_any_scale_is_a_denoiser(kind, process):
    """A network that knows the image says so at x_t and t, and the denoiser gives it back at x and sigma."""
    x0, noise = torch.randn(4, 1, 3, 3, dtype=torch.float64), torch.randn(4, 1, 3, 3, dtype=torch.float64)
    sigma = doubles(0.05, 0.4, 1.5, 9.0)

    def network(xt, t):
        level = process.level(t)
        torch.testing.assert_close(xt, add_noise(x0, noise, level), rtol=1e-6, atol=1e-6)
        return target(kind, x0, noise, level)

    x = x0 + sigma.view(-1, 1, 1, 1) * noise
    torch.testing.assert_close(denoised(network, kind, process, x, sigma), x0, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("sigma_data", [0.5, 1.0])
def test_preconditioning_gives_the_network_unit_variance_in_and_out(sigma_data):
    torch.manual_seed(0)
    x0 = sigma_data * torch.randn(4, 50_000, dtype=torch.float64)
    sigma = doubles(0.02, 0.3, 1.5, 40.0)
    x = x0 + sigma[:, None] * torch.randn_like(x0)
    c = preconditioning(sigma, sigma_data)
    torch.testing.assert_close((c.input[:, None] * x).var(1), torch.ones(4).double(), rtol=0.02, atol=0)
    asked = (x0 - c.skip[:, None] * x) / c.out[:, None]  # of F, by equation 8
    torch.testing.assert_close(asked.var(1), torch.ones(4).double(), rtol=0.02, atol=0)
    torch.testing.assert_close(edm_weight(sigma, sigma_data), 1 / c.out**2)
    torch.testing.assert_close(c.noise, sigma.log() / 4)

    def network(seen, told):
        torch.testing.assert_close(seen, c.input[:, None] * x)
        torch.testing.assert_close(told, c.noise)
        return asked

    torch.testing.assert_close(preconditioned(network, x, sigma, sigma_data), x0)
    # c_skip is what makes the network's part of the answer smallest; at 40 it is next to nothing, and so left out.
    for other in (0.8 * c.skip, 1.2 * c.skip):
        assert ((x0 - other[:, None] * x).var(1) > (x0 - c.skip[:, None] * x).var(1))[:3].all()


def test_preconditioning_with_unit_variance_is_minus_v():
    x0, noise = torch.randn(5, 3, dtype=torch.float64), torch.randn(5, 3, dtype=torch.float64)
    level = VariancePreserving().level(torch.linspace(0.1, 0.9, 5, dtype=torch.float64))
    x = x0 + level.sigma[:, None] * noise
    through = preconditioned(lambda *_: -target("v", x0, noise, level), x, level.sigma, 1.0)
    torch.testing.assert_close(through, x0)


@pytest.mark.parametrize("kind", TARGETS)
def test_a_plain_error_of_a_target_weighs_the_error_of_the_image_as_it_says(kind):
    level = Flow().level(torch.linspace(0.1, 0.9, 6, dtype=torch.float64))
    xt, said = torch.randn(6, 4, dtype=torch.float64), torch.randn(6, 4, dtype=torch.float64)
    other = said + torch.randn(6, 4, dtype=torch.float64)
    of_image = (clean_image(kind, said, xt, level) - clean_image(kind, other, xt, level)).square().sum(1)
    torch.testing.assert_close(plain_weight(kind, level) * of_image, (said - other).square().sum(1))


def test_weights_have_their_closed_forms():
    level = VariancePreserving().level(torch.linspace(0.05, 0.95, 7, dtype=torch.float64))
    snr = 1 / level.sigma**2
    torch.testing.assert_close(plain_weight("epsilon", level), snr)
    torch.testing.assert_close(plain_weight("v", level), snr + 1)
    torch.testing.assert_close(plain_weight("v", level), edm_weight(level.sigma, 1.0))
    torch.testing.assert_close(min_snr_weight(level.sigma, 5.0), torch.minimum(snr, torch.full_like(snr, 5.0)))
    assert snr.max() > 5 > snr.min()


def test_guidance_moves_away_from_what_is_said_without_a_condition():
    asked = []

    def told(x, sigma):
        asked.append(len(x))
        return x + 1

    def both(x, sigma):
        asked.append(len(x))
        torch.testing.assert_close(*sigma.chunk(2))
        return torch.cat([x[: len(x) // 2] + 1, x[len(x) // 2 :] - 2])

    x, sigma = torch.randn(3, 1, 2, 2), torch.full((3,), 0.5)
    torch.testing.assert_close(guided(both, told, 0.0)(x, sigma), x - 2)
    torch.testing.assert_close(guided(both, told, 2.5)(x, sigma), x - 2 + 2.5 * 3)
    assert asked == [6, 6]
    asked.clear()
    torch.testing.assert_close(guided(both, told, 1.0)(x, sigma), x + 1)
    within = guided(both, told, 2.5, low=0.4, high=2.0)
    for level, expected in ((0.39, x + 1), (0.4, x + 5.5), (2.0, x + 5.5), (2.1, x + 1)):
        torch.testing.assert_close(within(x, torch.full((3,), level)), expected)
    assert asked == [3, 3, 6, 6, 3]
    mixed = within(x, torch.tensor([0.1, 1.0, 9.0]))
    torch.testing.assert_close(mixed, torch.stack([x[0] + 1, x[1] + 5.5, x[2] + 1]))


def test_sampling_visits_the_noisiest_and_the_cleanest_step():
    assert evenly_spaced_steps(1000, 3) == [999, 500, 0]
    assert evenly_spaced_steps(1000, 1) == [999]
    assert evenly_spaced_steps(4, 4) == [3, 2, 1, 0]


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


@pytest.mark.parametrize(("around", "mode"), [("zeros", "constant"), ("edge", "replicate")])
def test_the_resize_convolution_is_upsampling_and_then_a_convolution(around, mode):
    x = torch.randn(2, 3, 5, 6, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(4, 3, 3, 3, dtype=torch.float64, requires_grad=True)
    larger = torch.nn.functional.interpolate(x, scale_factor=2, mode="nearest")
    two_steps = torch.nn.functional.conv2d(torch.nn.functional.pad(larger, (1, 1, 1, 1), mode), weight)
    one_step = resize_convolution(x, weight, around)
    torch.testing.assert_close(one_step, two_steps)
    probe = torch.randn_like(one_step)
    for ours, theirs in zip(
        torch.autograd.grad(one_step, (x, weight), probe),
        torch.autograd.grad(two_steps, (x, weight), probe),
        strict=True,
    ):
        torch.testing.assert_close(ours, theirs)
