"""A student makes in few steps what its teacher makes in many, and what it is told to make is right."""

from itertools import pairwise

import pytest
import torch

from morphogen.mathematics.exact_denoisers import GaussianMixture
from morphogen.mathematics.noise_levels import decisive_steps, level_of_batch, per_image
from morphogen.mathematics.randomness import Randomness
from morphogen.mathematics.solvers import ddim, dpm_solver
from morphogen.methods.distilled import mean_estimate
from morphogen.methods.method import SampleRequest
from morphogen.phantoms.phantom import image_set, phantoms
from morphogen.training.distil import distil
from morphogen.training.train import train

STUDENTS_STEPS = 4


@pytest.fixture(scope="module")
def rocks():
    return image_set(phantoms("rock", count=4, size=(64, 64), seed=1))


@pytest.fixture(scope="module")
def teacher(tmp_path_factory, rocks):
    return train(
        "ddpm", rocks, tmp_path_factory.mktemp("teacher") / "run", images_seen=4000, size=(16, 16), seed=1, cpu=True,
        settings={"channels": [16, 32], "patch": 2, "attention": False, "learning_rate": 5e-3, "batch_size": 32,
                  "level_mean": -0.5, "level_deviation": 1.2},
    )  # fmt: skip


def drawn(method, **asked):
    with torch.no_grad():
        return method.sample(SampleRequest(**asked), Randomness.of_images(5, 0, 64))


def test_four_jumps_of_a_student_are_nearer_to_fifty_steps_than_four_steps_of_its_teacher(tmp_path, rocks, teacher):
    student = distil(
        teacher, rocks, tmp_path / "student", steps=STUDENTS_STEPS, images_seen=2400, seed=2, cpu=True,
        settings={"learning_rate": 3e-3, "batch_size": 32},
    ).trained_method()  # fmt: skip
    method = teacher.trained_method()
    aim = drawn(method, steps=50)

    def off(images):
        return float((images - aim).square().mean().sqrt())

    first_order = off(drawn(method, steps=STUDENTS_STEPS, solver="ddim"))
    second_order = off(drawn(method, steps=STUDENTS_STEPS, solver="dpm_solver"))
    assert off(drawn(student)) < 0.5 * first_order
    assert off(drawn(student)) < 0.75 * second_order


def test_a_student_that_has_learnt_nothing_jumps_as_its_teacher_does(tmp_path, rocks, teacher):
    """It starts as the teacher's averaged weights, and is no nearer before it has learnt."""
    run = distil(
        teacher, rocks, tmp_path / "student", images_seen=16, cpu=True, settings={"learning_rate": 1e-12}, steps=2
    )
    student, method = run.trained_method(), teacher.trained_method()
    normal = Randomness.of_images(5, 0, 64).normal(1, 16, 16)
    levels = student.sampling_levels(2)
    with torch.no_grad():
        wanted = ddim.solve(method.denoiser(SampleRequest()), float(levels[0]) * normal, levels)
    torch.testing.assert_close(drawn(student), method.decode(wanted), rtol=1e-4, atol=1e-4)


def test_the_goal_is_where_the_flow_of_a_gaussian_leads():
    """For one Gaussian of mean m and variance v the flow keeps (x - m) / sqrt(v + sigma^2)."""
    mean, variance = 0.4, 0.3
    gauss = GaussianMixture(torch.ones(1), torch.full((1, 5), mean), torch.full((1, 5), variance))
    sigma, following = torch.tensor([80.0, 2.0, 0.5, 0.1]).double(), torch.tensor([2.0, 0.4, 0.1, 0.01]).double()
    x = mean + per_image((variance + sigma.square()).sqrt(), torch.empty(4, 5).double()) * torch.randn(4, 5).double()
    there = mean + per_image(((variance + following.square()) / (variance + sigma.square())).sqrt(), x) * (x - mean)
    ratio = per_image(following / sigma, x)
    wanted = (there - ratio * x) / (1 - ratio)
    errors = {
        n: float((mean_estimate(gauss.denoise, x, sigma, following, n)[0] - wanted).abs().max()) for n in (1, 2, 4, 6)
    }
    assert errors[4] < 0.01 < 0.1 < errors[1]
    assert errors[6] < errors[4] < errors[2] < errors[1]


def test_four_evaluations_follow_a_mixture_better_than_other_solvers_with_four():
    torch.manual_seed(0)
    means = torch.randn(24, 64, dtype=torch.float64)
    mixture = GaussianMixture(torch.full((24,), 1 / 24).double(), means, torch.full_like(means, 0.15))
    boundaries = [*decisive_steps(5, 0.01, 80.0).tolist()]
    squares = dict.fromkeys(("ours", "ddim", "dpm_solver"), 0.0)
    for sigma, following in pairwise(boundaries):
        x0 = means[torch.randint(24, (48,))] + 0.15**0.5 * torch.randn(48, 64).double()
        x = x0 + sigma * torch.randn_like(x0)
        start, end = level_of_batch(sigma, x), level_of_batch(following, x)
        ratio = following / sigma
        fine = _by_levels(dpm_solver, mixture, x, decisive_steps(400, following, sigma))
        wanted = (fine - ratio * x) / (1 - ratio)
        found = {"ours": mean_estimate(mixture.denoise, x, start, end, 4)[0]}
        for name, solver in (("ddim", ddim), ("dpm_solver", dpm_solver)):
            there = _by_levels(solver, mixture, x, decisive_steps(5, following, sigma))
            found[name] = (there - ratio * x) / (1 - ratio)
        for name, estimate in found.items():
            squares[name] += float((estimate - wanted).square().mean())
    assert squares["ours"] < 0.8 * squares["dpm_solver"] < 0.8 * squares["ddim"]


def _by_levels(solver, mixture, x, levels):
    """Where a solver stands at the last level: it ends with the estimate there, which is left out."""
    seen = []

    def noting(at, sigma):
        seen.append(at)
        return mixture.denoise(at, sigma)

    solver.solve(noting, x, levels)
    return seen[-1]
