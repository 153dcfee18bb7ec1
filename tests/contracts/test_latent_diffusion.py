"""Latent diffusion: first an autoencoder, then a denoiser of what it says."""

from dataclasses import replace

import pytest
import torch
from accelerate import Accelerator

from morphogen.generation.generate import generate
from morphogen.images.cropping import Batch
from morphogen.mathematics.randomness import Randomness
from morphogen.methods.latent_diffusion import Method, Settings
from morphogen.methods.method import ImageShape, Task, method_settings
from morphogen.problems import Problem
from morphogen.training.fit import Plan, fit, new_state
from morphogen.training.run import Run
from morphogen.training.train import train
from small_sets import SMALL, batches, random_set, small_task

SMALL_SETTINGS = SMALL["latent_diffusion"] | {"perceptual": "none"}


def build(**changes) -> Method:
    torch.manual_seed(0)
    return Method(Settings(**SMALL_SETTINGS | changes), small_task("latent_diffusion", 1, 16, 24))


def stripes(first: int, count: int) -> Batch:
    """Images of one wave each, of random phase and height: three numbers say all."""
    phase, height = Randomness.of_images(1, first, count).uniform(2).unbind(1)
    across = torch.linspace(0, 6, 24)
    return Batch((height[:, None] * torch.sin(across + 6.28 * phase[:, None]))[:, None, None].expand(-1, 1, 16, -1))


def test_the_autoencoder_comes_first_and_then_stands_still():
    method = build(autoencoder_share=0.5)
    kept: list[dict[str, torch.Tensor]] = []
    state, seen = new_state(method), []
    for report in fit(method, batches("latent_diffusion"), Plan(images=80), state, Accelerator(cpu=True)):
        seen.append("denoising" in report.losses)
        kept.append({name: value.clone() for name, value in method.state_dict().items()})
    assert seen == [False] * 10 + [True] * 10
    first, half, last = kept[0], kept[9], kept[-1]
    networks = {part: [name for name in first if name.startswith(part)] for part in ("autoencoder", "network")}
    for name in networks["network"]:
        assert torch.equal(first[name], half[name]), name
    for name in networks["autoencoder"]:
        assert torch.equal(half[name], last[name]), name
    assert any(not torch.equal(first[name], half[name]) for name in networks["autoencoder"])
    assert any(not torch.equal(half[name], last[name]) for name in networks["network"])


def test_the_denoiser_sees_latents_of_mean_0_and_variance_1_with_their_spread():
    method = build()
    source = batches("latent_diffusion")
    method.begin("denoising", source)
    means, spreads = method._latents
    assert len(means) == SMALL_SETTINGS["encoded_crops"]
    drawn = means + spreads * torch.randn(means.shape, generator=torch.Generator().manual_seed(0))
    x0 = (drawn - method.mean) / method.deviation
    assert float(x0.mean()) == pytest.approx(0, abs=0.05)
    assert float(x0.std()) == pytest.approx(1, abs=0.05)


def test_a_latent_is_drawn_anew_at_each_step_and_not_kept():
    """From its mean and spread: two steps that see the same crop and the same noise see different latents."""
    method = build(encoded_crops=1)
    method.begin("denoising", batches("latent_diffusion"))
    seen: list[torch.Tensor] = []
    method.denoising_loss = lambda x0, given, randomness: (seen.append(x0), x0.mean())[1]
    for first in (0, 4):
        method.loss("denoising", Batch(torch.zeros(4, 1, 16, 24)), Randomness.of_images(0, first, 4))
    assert not torch.allclose(seen[0], seen[1])
    method._latents = (method._latents[0], torch.zeros_like(method._latents[1]))
    method.loss("denoising", Batch(torch.zeros(4, 1, 16, 24)), Randomness.of_images(0, 8, 4))
    assert torch.allclose(seen[2], seen[2][:1].expand_as(seen[2]))


def test_what_is_told_stays_with_its_crop():
    method = Method(Settings(**SMALL_SETTINGS), small_task("latent_diffusion", 1, 16, 24, conditioned=True))
    source = batches("latent_diffusion", conditioned=True)
    method.begin("denoising", source)
    told: list[torch.Tensor] = []
    method.denoising_loss = lambda x0, given, randomness: (told.append(given.vector), x0.mean())[1]
    randomness = Randomness.of_images(5, 0, 8)
    method.loss("denoising", source(0, 8), randomness)
    chosen = Randomness.of_images(5, 0, 8).integers(SMALL_SETTINGS["encoded_crops"])
    truth = source(0, SMALL_SETTINGS["encoded_crops"]).condition[chosen]
    torch.testing.assert_close(told[0], truth)


def test_it_learns_to_reconstruct():
    method = build(autoencoder_learning_rate=3e-3, autoencoder_share=0.9)
    images = stripes(10_000, 16).images
    list(fit(method, stripes, Plan(images=1200), new_state(method), Accelerator(cpu=True)))
    with torch.no_grad():
        error = (method.reconstruct(images) - images).abs().mean()
    assert error < 0.5 * images.abs().mean()  # what grey alone would be off by


def test_the_divergence_weighs_a_number_of_the_latent_and_the_error_a_pixel():
    """Both are means, so that neither grows with the size of the images."""
    parts = {}
    for side in (16, 32):
        torch.manual_seed(0)
        method = Method(Settings(**SMALL_SETTINGS), Task(ImageShape(1, side, side)))
        images = torch.zeros(2, 1, side, side)
        parts[side] = method.loss("autoencoder", Batch(images), Randomness.of_images(0, 0, 2)).parts
    for name in ("error", "divergence"):
        assert float(parts[32][name]) == pytest.approx(float(parts[16][name]), rel=0.5), name


def test_the_perceptual_term_is_named_as_what_it_was_trained_to_please():
    assert build(perceptual="alexnet").learnt_through == "alexnet"
    assert build(perceptual="alexnet", perceptual_weight=0.0).learnt_through == ""
    assert [phase.name for phase in build().phases] == ["autoencoder", "denoising"]


def test_a_latent_that_does_not_divide_is_refused():
    settings = method_settings("latent_diffusion", SMALL_SETTINGS)
    assert settings.factor == 4
    with pytest.raises(
        Problem, match="latent_diffusion cannot take images of 20 x 24: choose height and width among 16"
    ):
        Method.sizes(settings).check("latent_diffusion", ImageShape(1, 20, 24))


def test_a_phase_runs_in_its_part_of_the_budget_only():
    denoising = build(autoencoder_share=0.4).phases[-1]
    assert [denoising.runs(f) for f in (0.0, 0.39, 0.4, 0.99, 1.0)] == [False, False, True, True, True]
    first = replace(denoising, during=(0.0, 0.4))
    assert [first.runs(f) for f in (0.0, 0.39, 0.4, 1.0)] == [True, True, False, False]


def early(tmp_path, images: int, **options):
    return train("latent_diffusion", random_set(), tmp_path / "run", images_seen=images, size=(16, 24),
                 settings=SMALL_SETTINGS | {"autoencoder_share": 0.5}, cpu=True, **options)  # fmt: skip


def test_a_run_that_was_stopped_before_its_denoiser_began_draws_nothing(tmp_path):
    def stop(report):
        if report.step == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        early(tmp_path, 40, on_report=stop, save_every_seconds=1e-9)
    with pytest.raises(Problem, match="stopped before its denoiser began to learn"):
        generate(Run(tmp_path / "run"), count=1, cpu=True)


def test_a_larger_budget_does_not_lead_back_to_the_autoencoder(tmp_path):
    early(tmp_path, 40)
    with pytest.raises(
        Problem, match="begun with its phase 'denoising', which has the budget from 50% on: go on to 80"
    ):
        early(tmp_path, 400, go_on=True)
    assert early(tmp_path, 80, go_on=True).counters["images_seen"] == 80
