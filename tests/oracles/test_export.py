"""Runs that were exported, as diffusers opens them: its parts and scheduler against our denoiser, level by level."""

import shutil
from dataclasses import replace

import diffusers
import numpy as np
import pytest
import torch
from diffusers.utils import dynamic_modules_utils

from morphogen.generation.export import export
from morphogen.generation.generate import told
from morphogen.images.image_set import Pictures
from morphogen.mathematics.noise_levels import level_of_batch
from morphogen.mathematics.prediction_targets import clean_image
from morphogen.mathematics.randomness import Randomness
from morphogen.mathematics.solvers.solver import solver
from morphogen.methods.denoising import Given, on_the_circle
from morphogen.methods.method import SampleRequest
from morphogen.problems import Problem
from morphogen.training.captions import encoder_of
from morphogen.training.train import train
from small_encoder import tiny_encoder
from small_sets import SMALL, random_set

RUNS = {
    "ddpm": {},
    "score_sde": {"predicts": "flow", "levels": "flow", "patch": 1, "solver": "dpm_solver", "steps_of": "karras"},
    "score_langevin": {"solver": "dpm_solver"},
    "latent_diffusion": {"predicts": "x0", "perceptual": "none"},
}
"""All that differs between runs that can be exported: target, levels, space-to-depth, autoencoder."""


def trained(method, folder, **options):
    settings = SMALL[method] | RUNS.get(method, {})
    return train(method, random_set(dtype="uint16"), folder, images_seen=24, size=(16, 24), settings=settings, cpu=True,
                 **options)  # fmt: skip


@pytest.fixture
def opened(tmp_path, monkeypatch):
    """Opens a folder as anyone would; the copy that diffusers keeps of its code goes to a place of the test's own."""
    monkeypatch.setattr(dynamic_modules_utils, "HF_MODULES_CACHE", str(tmp_path / "modules"))
    monkeypatch.syspath_prepend(str(tmp_path / "modules"))

    def open_(folder):
        pipeline = diffusers.DiffusionPipeline.from_pretrained(folder, trust_remote_code=True, local_files_only=True)
        pipeline.set_progress_bar_config(disable=True)
        return pipeline

    return open_


@pytest.mark.parametrize("method", RUNS)
def test_an_exported_run_is_the_run(method, tmp_path, opened):
    run = trained(method, tmp_path / "run")
    pipeline = opened(export(run, tmp_path / "exported"))
    ours = run.trained_method()
    noise = Randomness.of_images(0, 0, 3).normal(*ours.inside)
    for sigma in (80.0, 5.0, 1.0, 0.3, 0.011):
        x = sigma * noise + 0.5
        wanted = ours.hold(ours.denoise(x, level_of_batch(sigma, x), Given()))
        torch.testing.assert_close(pipeline.denoise(x, torch.tensor(sigma)), wanted, rtol=1e-4, atol=2e-5)
        if sigma == 1:
            silent = ours.hold(clean_image(ours.settings.predicts, torch.zeros_like(x), x / 2**0.5, on_the_circle(
                torch.ones(3))))  # fmt: skip
            assert (wanted - silent).abs().max() > 1e-3  # the network has a say

    steps = 6
    drawn = pipeline(latents=noise, num_inference_steps=steps, output_type="grey").images
    sigmas = (
        super(type(ours), ours).sampling_levels(steps) if method == "score_langevin" else ours.sampling_levels(steps)
    )
    x0 = solver("dpm_solver").solve(ours.denoiser(SampleRequest()), float(sigmas[0]) * noise, sigmas, None)
    measured = run.record.intensity.to_grey(ours.decode(x0).detach().numpy())
    assert drawn.dtype == np.uint16
    assert np.abs(drawn.astype(int) - measured.astype(int)).max() <= 65535 * 2e-4


@pytest.mark.parametrize("names", [("brightness", "kind"), ("kind", "caption")])
def test_an_exported_run_is_told_what_the_run_is_told(names, tmp_path, opened):
    pictures = random_set(dtype="uint16")
    texts = ("a rock with dark pores", "bright grains of rock and a root")
    pictures = Pictures(
        replace(p, labels={**p.labels, "caption": text}) for p, text in zip(pictures, texts, strict=True)
    )
    reads = tiny_encoder(tmp_path / "encoder") if "caption" in names else None
    run = train("ddpm", pictures, tmp_path / "run", images_seen=24, size=(16, 24), settings=SMALL["ddpm"], cpu=True,
                conditions=names, text_encoder=reads)  # fmt: skip
    pipeline = opened(export(run, tmp_path / "exported"))
    if reads is not None:
        shutil.rmtree(reads)  # the folder has all that is needed
    ours, conditions = run.trained_method(), run.record.conditions
    values = [{name: p.labels[name] for name in names} for p in pictures]
    made_up = [dict(zip(names, row, strict=True)) for row in ((0.3, "odd"), (0.9, "even"))]
    asked = values if "caption" in names else made_up
    request = SampleRequest(**told(asked, conditions, encoder_of(conditions), torch.device("cpu")), guidance=2.5)
    noise = Randomness.of_images(0, 0, 2).normal(*ours.inside)
    denoise = ours.denoiser(request)
    sigmas = ours.sampling_levels(4)
    x0 = solver("dpm_solver").solve(denoise, float(sigmas[0]) * noise, sigmas, None)
    measured = run.record.intensity.to_grey(ours.decode(x0).detach().numpy())
    drawn = pipeline(latents=noise, asked=asked, guidance_scale=2.5, num_inference_steps=4, output_type="grey").images
    assert np.abs(drawn.astype(int) - measured.astype(int)).max() <= 65535 * 2e-4
    x, half = noise + 0.5, torch.tensor(0.5)
    with torch.no_grad():
        each = [pipeline.denoise(x, half, pipeline.told(wish)) for wish in (asked, asked[::-1], [{}, {}])]
        untold = ours.denoise(x, level_of_batch(0.5, x), ours.given(request).untold())
    assert (each[0] - each[1]).abs().max() > 1e-4
    torch.testing.assert_close(each[2], ours.hold(untold), rtol=1e-4, atol=2e-5)
    with pytest.raises(ValueError, match="no condition; there are"):
        pipeline(asked={"colour": 1})


def test_parts_open_by_themselves_and_draw_by_seed(tmp_path, opened):
    folder = export(trained("ddpm", tmp_path / "run"), tmp_path / "exported")
    unet = diffusers.UNet2DModel.from_pretrained(folder / "unet")
    assert unet.config.in_channels == SMALL["ddpm"]["patch"] ** 2
    scheduler = diffusers.EDMDPMSolverMultistepScheduler.from_pretrained(folder / "scheduler")
    assert scheduler.config.sigma_max == 80
    assert "import morphogen" not in (folder / "morphogen_pipeline.py").read_text()
    assert "from morphogen" not in (folder / "morphogen_pipeline.py").read_text()
    pipeline = opened(folder)
    seeds = [torch.Generator().manual_seed(seed) for seed in (1, 2)]
    both = pipeline(batch_size=2, generator=seeds, output_type="np").images
    alone = pipeline(generator=[torch.Generator().manual_seed(2)], output_type="np").images
    np.testing.assert_allclose(both[1], alone[0], atol=1e-4)
    assert both.shape == (2, 16, 24, 1)
    assert np.abs(both[0] - both[1]).max() > 0.01
    assert pipeline().images[0].size == (24, 16)
    pipeline.register_to_config(dtype="uint8", low=10.0, high=20.0)  # pictures are on the grey scale of training
    drawn = np.asarray(pipeline().images[0])
    assert 10 <= drawn.min() < drawn.max() <= 20


def test_runs_that_diffusers_has_no_place_for_are_refused(tmp_path):
    for method, options, message in (
        ("vae", {}, "a run of vae is no pipeline"),
        ("ddpm", {"context": random_set(dtype="uint16", seed=5)}, "is told the images that it draws for"),
    ):
        run = trained(method, tmp_path / message[:5], **options)
        with pytest.raises(Problem, match=message):
            export(run, tmp_path / "exported")
        assert not (tmp_path / "exported").exists()
