"""Noise levels, targets and DDIM against diffusers' schedulers, which were written by others."""

import pytest
import torch
from diffusers import DDIMScheduler

from morphogen.mathematics.noise_levels import add_noise, cosine_signal, linear_signal
from morphogen.mathematics.prediction_targets import clean_image, target
from morphogen.mathematics.solvers import ddim

SCHEDULES = {"linear": (linear_signal, "linear"), "cosine": (cosine_signal, "squaredcos_cap_v2")}
PREDICTIONS = {"epsilon": "epsilon", "v": "v_prediction"}


def scheduler(levels, predicts="epsilon", **options):
    return DDIMScheduler(
        num_train_timesteps=1000,
        beta_schedule=SCHEDULES[levels][1],
        prediction_type=PREDICTIONS[predicts],
        clip_sample=False,
        **options,
    )


@pytest.mark.parametrize("levels", SCHEDULES)
def test_noise_levels(levels):
    theirs = scheduler(levels).alphas_cumprod.double()
    torch.testing.assert_close(SCHEDULES[levels][0](1000), theirs, rtol=2e-4, atol=1e-7)


@pytest.mark.parametrize("levels", SCHEDULES)
def test_noising_and_velocity(levels):
    x0, eps, t = torch.randn(4, 1, 8, 8), torch.randn(4, 1, 8, 8), torch.tensor([0, 300, 700, 998])
    a = SCHEDULES[levels][0](1000)[t]
    theirs = scheduler(levels)
    torch.testing.assert_close(add_noise(x0, eps, a), theirs.add_noise(x0, eps, t), rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(target("v", x0, eps, a), theirs.get_velocity(x0, eps, t), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("levels", SCHEDULES)
@pytest.mark.parametrize("predicts", PREDICTIONS)
@pytest.mark.parametrize("eta", [0.0, 0.7])
def test_whole_ddim_trajectories(levels, predicts, eta):
    """Both solvers follow the same made-up network over ten steps, with the same noise."""
    theirs = scheduler(levels, predicts, timestep_spacing="leading", steps_offset=0)
    theirs.set_timesteps(10)
    steps = [int(t) for t in theirs.timesteps]
    a = SCHEDULES[levels][0](1000)
    start = torch.randn(3, 1, 8, 8, dtype=torch.float64)
    noises = [torch.randn(3, 1, 8, 8, dtype=torch.float64) for _ in steps]

    def network(xt, t):
        return torch.tanh(xt) * 0.5 + 1e-4 * t

    drawn = list(noises)
    ours = ddim(
        lambda xt, t: clean_image(predicts, network(xt, t), xt, a[t].expand(3)),
        start,
        a,
        steps,
        eta=eta,
        normal=lambda: drawn.pop(0),
    )
    x = start
    for noise, t in zip(noises, theirs.timesteps, strict=True):
        step = theirs.step(network(x, int(t)), int(t), x, eta=eta, variance_noise=noise)
        last, x = step.pred_original_sample, step.prev_sample
    # diffusers' last step goes on to time "-1"; ours ends with the estimate of the image itself.
    torch.testing.assert_close(ours, last, rtol=5e-3, atol=5e-3)
