"""Noise levels, targets and solvers against diffusers' schedulers, which were written by others, step by step.

Both sides ask the same made-up denoiser. Their tables are turned to float64, so that nothing but the formulas differs;
what they see in another scale is divided by its signal.
"""

import diffusers
import pytest
import torch
from diffusers.schedulers import scheduling_sde_ve

from morphogen.mathematics.noise_levels import (
    Cosine,
    Flow,
    add_noise,
    cosine_signal,
    geometric_steps,
    karras_steps,
    linear_signal,
    process_steps,
    signal_level,
    signal_steps,
)
from morphogen.mathematics.preconditioning import preconditioned, preconditioning
from morphogen.mathematics.prediction_targets import clean_image, target
from morphogen.mathematics.solvers.solver import solver

SCHEDULES = {"linear": (linear_signal, "linear"), "cosine": (cosine_signal, "squaredcos_cap_v2")}
PREDICTIONS = {"epsilon": "epsilon", "v": "v_prediction", "x0": "sample"}
SHAPE = (3, 1, 8, 8)


def denoise(x, sigma):
    """Not linear, and different at every level."""
    scale = (1 + sigma.view(-1, 1, 1, 1) ** 2).sqrt()
    return 0.8 * torch.tanh(1.3 * x / scale) + 0.1 * torch.sin(x / scale)


class Recorded:
    """A denoiser that remembers what it was asked."""

    def __init__(self):
        self.images, self.levels = [], []

    def __call__(self, x, sigma):
        self.images.append(x)
        self.levels.append(sigma[0].item())
        return denoise(x, sigma)


def follow(name, start, sigmas, normal=None, **options):
    """What our solver asks, step by step, and what it ends with."""
    asked = Recorded()
    end = solver(name).solve(asked, start, sigmas, normal, **options)
    return [*asked.images, end]


def agree(ours, theirs, **tolerance):
    assert len(ours) == len(theirs)
    for here, there in zip(ours, theirs, strict=True):
        torch.testing.assert_close(here, there.double(), **(tolerance or {"rtol": 1e-8, "atol": 1e-8}))


def scheduler(kind, levels="linear", predicts="epsilon", **options):
    theirs = kind(
        num_train_timesteps=1000,
        beta_schedule=SCHEDULES[levels][1],
        prediction_type=PREDICTIONS[predicts],
        **options,
    )
    theirs.alphas_cumprod = theirs.alphas_cumprod.double()
    return theirs


def as_predicted(predicts, x, sigma, level):
    """What a network would have said to mean our denoiser's estimate."""
    estimate = denoise(x, sigma)
    return target(predicts, estimate, (x - estimate) / sigma.view(-1, 1, 1, 1), level)


@pytest.mark.parametrize("levels", SCHEDULES)
def test_noise_levels(levels):
    theirs = scheduler(diffusers.DDIMScheduler, levels).alphas_cumprod
    torch.testing.assert_close(SCHEDULES[levels][0](1000), theirs, rtol=2e-4, atol=1e-7)


@pytest.mark.parametrize("levels", SCHEDULES)
def test_noising_and_velocity(levels):
    x0, eps, t = torch.randn(4, 1, 8, 8), torch.randn(4, 1, 8, 8), torch.tensor([0, 300, 700, 998])
    level = signal_level(SCHEDULES[levels][0](1000)[t])
    theirs = scheduler(diffusers.DDIMScheduler, levels)
    torch.testing.assert_close(add_noise(x0, eps, level), theirs.add_noise(x0, eps, t), rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(target("v", x0, eps, level), theirs.get_velocity(x0, eps, t), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("levels", SCHEDULES)
@pytest.mark.parametrize("predicts", PREDICTIONS)
@pytest.mark.parametrize(("name", "eta"), [("ddim", 0.0), ("ddim", 0.7), ("ancestral", None)])
def test_ddim_and_ancestral_sampling(levels, predicts, name, eta):
    kind = diffusers.DDPMScheduler if name == "ancestral" else diffusers.DDIMScheduler
    theirs = scheduler(kind, levels, predicts, clip_sample=False, timestep_spacing="leading")
    theirs.set_timesteps(10)
    level = signal_level(theirs.alphas_cumprod)
    steps = [int(t) for t in theirs.timesteps]
    start = level.sigma[steps[0]] * torch.randn(SHAPE, dtype=torch.float64)
    ours_draws, their_draws = torch.Generator().manual_seed(1), torch.Generator().manual_seed(1)
    ours = follow(
        name,
        start,
        level.sigma[steps],
        lambda: torch.randn(SHAPE, generator=ours_draws, dtype=torch.float64),
        **({} if eta is None else {"eta": eta}),
    )
    xt, seen = start * level.signal[steps[0]], []
    for t in steps:
        at = type(level)(level.signal[t].expand(3), level.noise[t].expand(3))
        x = xt / level.signal[t]
        seen.append(x)
        said = as_predicted(predicts, x, at.sigma, at)
        torch.testing.assert_close(clean_image(predicts, said, xt, at), denoise(x, at.sigma))
        more = {} if eta is None else {"eta": eta}
        xt = theirs.step(said, t, xt, generator=their_draws, **more).prev_sample
    # The cosine's last level is 1e5: what is left of 16 digits, divided by it, is some 1e-10 of that.
    agree(ours, [*seen, xt], rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("karras", [True, False])
def test_heun(karras):
    theirs = scheduler(diffusers.HeunDiscreteScheduler, use_karras_sigmas=karras)
    theirs.set_timesteps(9)
    theirs.sigmas = theirs.sigmas.double()
    sigmas = theirs.sigmas[:-1].unique().flip(0)
    if karras:
        expected = karras_steps(9, sigmas[-1].item(), sigmas[0].item())
        torch.testing.assert_close(expected, sigmas, rtol=1e-5, atol=0)
    start = sigmas[0] * torch.randn(SHAPE, dtype=torch.float64)
    x, seen = start, []
    for k, t in enumerate(theirs.timesteps):
        sigma = theirs.sigmas[k + k % 2].expand(3)  # the second half of a step asks at the next level
        seen.append(x)
        x = theirs.step((x - denoise(x, sigma)) / sigma.view(-1, 1, 1, 1), t, x).prev_sample
    agree(follow("heun", start, sigmas), [*seen, x])


@pytest.mark.parametrize("levels", SCHEDULES)
@pytest.mark.parametrize("steps", [2, 8, 25])
@pytest.mark.parametrize("name", ["dpm_solver", "sde_dpm_solver"])
def test_dpm_solver(levels, steps, name):
    kind = {"dpm_solver": "dpmsolver++", "sde_dpm_solver": "sde-dpmsolver++"}[name]
    theirs = scheduler(diffusers.DPMSolverMultistepScheduler, levels, algorithm_type=kind, final_sigmas_type="zero")
    theirs.set_timesteps(steps)
    theirs.sigmas = theirs.sigmas.double()
    sigmas = theirs.sigmas[:-1]
    start = sigmas[0] * torch.randn(SHAPE, dtype=torch.float64)
    draws = torch.randn((steps, *SHAPE), dtype=torch.float64)
    x, seen = start, []
    for k, t in enumerate(theirs.timesteps):
        signal = (1 + theirs.sigmas[k : k + 2] ** 2).rsqrt()
        sigma = sigmas[k].expand(3)
        seen.append(x)
        noise = (x - denoise(x, sigma)) / sigmas[k]
        x = theirs.step(noise, t, x * signal[0], variance_noise=draws[k]).prev_sample / signal[1]
    drawn = iter(draws)
    # They draw noise in single precision.
    close = {"dpm_solver": 1e-6, "sde_dpm_solver": 1e-5}[name]
    agree(follow(name, start, sigmas, lambda: next(drawn)), [*seen, x], rtol=close, atol=close)


@pytest.mark.parametrize(
    ("name", "kind"),
    [("ddim", diffusers.EDMEulerScheduler), ("dpm_solver", diffusers.EDMDPMSolverMultistepScheduler)],
)
@pytest.mark.parametrize("levels", ["karras", "exponential"])
def test_edm(name, kind, levels):
    theirs = kind(sigma_min=0.01, sigma_max=40.0, sigma_data=0.5, sigma_schedule=levels)
    theirs.set_timesteps(12)
    steps = karras_steps if levels == "karras" else geometric_steps
    torch.testing.assert_close(steps(12, 0.01, 40.0).float(), theirs.sigmas[:-1], rtol=1e-5, atol=0)
    sigmas = theirs.sigmas[:-1].double()
    start = sigmas[0] * torch.randn(SHAPE, dtype=torch.float64)
    x, seen = start.float(), []
    for k, t in enumerate(theirs.timesteps):
        c = preconditioning(sigmas[k], 0.5)
        seen.append(x)
        torch.testing.assert_close(theirs.scale_model_input(x, t), x * c.input.float())
        torch.testing.assert_close(t, c.noise.float())
        said = (denoise(x, sigmas[k].float().expand(3)) - c.skip * x) / c.out
        through = preconditioned(lambda *_, said=said: said, x, sigmas[k].float().expand(3), 0.5)
        torch.testing.assert_close(theirs.precondition_outputs(x, said, theirs.sigmas[k]), through)
        x = theirs.step(said, t, x).prev_sample
    agree(follow(name, start, sigmas), [*seen, x], rtol=1e-4, atol=1e-4)  # their steps are in single precision


def test_predictor_and_corrector(monkeypatch):
    """With one image and noise of norm sqrt(d), for their norms are means over the batch, of the noise itself."""
    steps = 10
    theirs = diffusers.ScoreSdeVeScheduler(num_train_timesteps=steps, sigma_min=0.01, sigma_max=40.0, snr=0.15)
    theirs.set_timesteps(steps)
    theirs.set_sigmas(steps)
    theirs.discrete_sigmas = theirs.discrete_sigmas.double()
    sigmas = theirs.discrete_sigmas.flip(0)
    torch.testing.assert_close(geometric_steps(steps, 0.01, 40.0), sigmas, rtol=1e-5, atol=0)
    noises = torch.randn(30, 1, 1, 8, 8, dtype=torch.float64)
    noises *= 8 / noises.flatten(1).norm(dim=1).view(-1, 1, 1, 1, 1)
    start = sigmas[0] * torch.randn(1, 1, 8, 8, dtype=torch.float64)
    queue = iter(noises)
    ours = follow("predictor_corrector", start, sigmas, lambda: next(queue), corrections=2, snr=0.15)
    queue = iter(noises)
    monkeypatch.setattr(scheduling_sde_ve, "randn_tensor", lambda *_, **__: next(queue))
    x, seen = start, []

    def score(x, sigma):
        seen.append(x)
        return (denoise(x, sigma.expand(1)) - x) / sigma**2

    for k, t in enumerate(theirs.timesteps):
        predicted = theirs.step_pred(score(x, sigmas[k]), t, x)
        x = predicted.prev_sample
        if k < steps - 1:
            for _ in range(2):
                x = theirs.step_correct(score(x, sigmas[k + 1]), x).prev_sample
    agree(ours, [*seen, predicted.prev_sample_mean], rtol=1e-5, atol=1e-5)  # their step size is in single precision


@pytest.mark.parametrize("shift", [1.0, 3.0])
def test_a_straight_flow_is_ddim_in_another_scale(shift):
    """Euler steps of the velocity n - x_0 in a = 1 - t, b = t, which is how flow matching is sampled."""
    theirs = diffusers.FlowMatchEulerDiscreteScheduler(shift=shift)
    wanted = torch.linspace(0.95, 0.05, 8, dtype=torch.float64)  # not 1, where sigma would be infinite
    theirs.set_timesteps(sigmas=wanted.tolist())
    times = theirs.sigmas.double()  # shifted, with a final 0
    sigmas = times[:-1] / (1 - times[:-1])
    flow = Flow(shift)
    torch.testing.assert_close(flow.sigma(wanted), sigmas, rtol=1e-5, atol=0)
    through_time = process_steps(flow, 8, flow.sigma(wanted)[-1].item(), flow.sigma(wanted)[0].item())
    torch.testing.assert_close(through_time, sigmas, rtol=1e-5, atol=0)
    start = sigmas[0] * torch.randn(SHAPE, dtype=torch.float64)
    xt, seen = (start * (1 - times[0])).float(), []
    for k, t in enumerate(theirs.timesteps):
        level = Flow().level(times[k].expand(3))
        x = xt / (1 - times[k])
        seen.append(x)
        xt = theirs.step(as_predicted("flow", x, sigmas[k].expand(3), level).float(), t, xt).prev_sample
    agree(follow("ddim", start, sigmas), [*seen, xt], rtol=1e-4, atol=1e-4)


def test_the_cosine_in_continuous_time_is_theirs():
    times = torch.linspace(0.05, 0.95, 10, dtype=torch.float64)
    steps = (1000 * times).round().long() - 1  # alpha_bar of step k is that of time (k + 1) / T
    theirs = signal_level(scheduler(diffusers.DDIMScheduler, "cosine").alphas_cumprod).sigma[steps]
    torch.testing.assert_close(Cosine().sigma(times), theirs, rtol=1e-3, atol=0)


def test_the_levels_of_evenly_spaced_steps():
    theirs = scheduler(diffusers.HeunDiscreteScheduler, beta_start=1e-4, beta_end=0.02, timestep_spacing="linspace")
    theirs.set_timesteps(10)
    ours = signal_steps(linear_signal(1000), 10)
    torch.testing.assert_close(ours, theirs.sigmas[:-1].unique().flip(0).double(), rtol=5e-3, atol=0)
