"""Bits a dimension of measured images under a run: in units of grey levels, whatever the pixel type, and refusals."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from morphogen.cli import cli
from morphogen.generation.likelihood import _PLACES_IN_CELLS, likelihood
from morphogen.images.folders import write_images
from morphogen.images.image_set import Pictures
from morphogen.mathematics.randomness import Randomness
from morphogen.problems import Problem
from morphogen.training.train import train
from small_sets import CONDITIONS, SMALL, random_set, small_teacher

SIZE = (16, 16)
STANDING = {"learning_rate": 1e-12}
"""A network that begins by saying nothing (v = 0), and so stays the denoiser of a Gaussian of mean 0 and variance 1."""


def trained(folder, images, method="ddpm", **options):
    options = {"images_seen": 4, "size": SIZE, "settings": SMALL[method] | STANDING, "cpu": True} | options
    return train(method, images, folder, **options)


def middling(dtype="uint8", times=1, count=2):
    """Pictures that stay away from the ends of the grey range, where estimates are held, but for two pixels."""
    random, pictures = np.random.default_rng(0), []
    for picture in random_set(count, (32, 48)):
        pixels = np.clip(random.normal(120, 12, (1, 32, 48)), 70, 170)
        pixels[0, -1, -2:] = 0, 250
        pictures.append(
            replace(picture, pixels=np.rint(pixels).astype(np.uint8).astype(dtype) * np.dtype(dtype).type(times))
        )
    return Pictures(pictures)


def test_it_is_the_density_of_a_gaussian_where_the_denoiser_is_that_of_a_gaussian(tmp_path):
    images = middling()
    run = trained(tmp_path / "run", images)
    found = likelihood(run, images, most=4, steps=96, probes=1, seed=3, cpu=True)
    method, intensity = run.trained_method(), run.record.intensity
    assert (intensity.low, intensity.high) == (0, 250)
    # By hand: y lies about its grey level, and is normal about the mean with the variance of the run and its noise.
    deviation = float(method.deviation) * 125
    mean = (float(method.mean) + 1) * 125
    spread = deviation * math.sqrt(1 + run.record.settings["lowest_noise"] ** 2)
    u = Randomness.of_images(3, 0, 4, purpose=_PLACES_IN_CELLS).uniform(1, *SIZE).numpy()
    for k, field in enumerate(found.fields):
        top, left, height, width = field.region
        of = next(p for p in images if p.origin.specimen == field.specimen)
        y = of.pixels[:, top : top + height, left : left + width] + u[k] - 0.5
        nats = 0.5 * ((y - mean) / spread) ** 2 + math.log(spread * math.sqrt(2 * math.pi))
        assert field.bits_a_dimension == pytest.approx(float(nats.mean()) / math.log(2), abs=2e-3)
    assert found.dequantised
    assert found.lowest_noise == pytest.approx(0.01 * deviation)
    assert found.mean == pytest.approx(np.mean([f.bits_a_dimension for f in found.fields]))


def test_the_unit_is_a_grey_level_of_the_pixel_type(tmp_path):
    """The same images in steps 257 times as fine take log2 257 bits more, and as floats of either scale too."""
    found = {}
    for dtype, times in (("uint8", 1), ("uint16", 257), ("float32", 1), ("float32", 257)):
        images = middling(dtype, times)
        run = trained(tmp_path / f"{dtype}{times}", images)
        found[dtype, times] = likelihood(run, images, most=4, steps=48, cpu=True)
    assert found["uint8", 1].dequantised
    assert not found["float32", 1].dequantised
    fine = found["float32", 257].mean - found["float32", 1].mean
    assert fine == pytest.approx(math.log2(257), abs=1e-3)
    # Dequantisation adds a variance of 1 / 12 to that of a Gaussian that the cells of 16 bit hardly widen.
    assert found["uint16", 257].mean - found["uint8", 1].mean == pytest.approx(math.log2(257), abs=0.01)


def test_it_does_not_depend_on_the_batch(tmp_path):
    images = random_set(3, (32, 48))
    run = trained(tmp_path / "run", images, settings=SMALL["ddpm"], images_seen=40)
    one, other = (likelihood(run, images, most=5, steps=16, batch_size=n, cpu=True).fields for n in (5, 2))
    for a, b in zip(one, other, strict=True):
        assert a.region == b.region
        assert a.bits_a_dimension == pytest.approx(b.bits_a_dimension, abs=1e-3)
    assert len({f.specimen for f in one[:3]}) == 3  # one of each picture in turn


def test_it_is_told_the_conditions_of_each_crop(tmp_path):
    images = random_set(4, (32, 48))
    run = trained(tmp_path / "run", images, conditions=CONDITIONS, settings=SMALL["ddpm"], images_seen=80)
    right = likelihood(run, images, most=4, steps=16, cpu=True)
    swapped = Pictures(
        replace(p, labels={**p.labels, "kind": "odd" if p.labels["kind"] == "even" else "even"}) for p in images
    )
    wrong = likelihood(run, swapped, most=4, steps=16, cpu=True)
    assert [f.bits_a_dimension for f in right.fields] != [f.bits_a_dimension for f in wrong.fields]
    with pytest.raises(Problem, match="has no label 'brightness', on which the run is conditioned"):
        likelihood(run, Pictures(replace(p, labels={}) for p in images), most=2, cpu=True)


def test_what_training_saw_is_likelier_than_what_it_did_not(tmp_path):
    images = middling()
    run = trained(tmp_path / "run", images)
    torch.manual_seed(0)
    noise = Pictures(
        replace(p, pixels=np.random.default_rng(k).integers(0, 251, p.pixels.shape).astype(np.uint8))
        for k, p in enumerate(images)
    )
    assert (
        likelihood(run, images, most=2, steps=32, cpu=True).mean
        < likelihood(run, noise, most=2, steps=32, cpu=True).mean
    )


def test_runs_without_a_density_are_refused(tmp_path):
    images = random_set()
    masked = Pictures(replace(p, mask=p.grey > 0.5 * p.grey.max()) for p in images)
    with_masks = trained(tmp_path / "masks", masked, with_masks=True)
    vae = trained(tmp_path / "vae", images, "vae")
    latent = trained(
        tmp_path / "latent", images, "latent_diffusion", settings=SMALL["latent_diffusion"] | {"perceptual": "none"}
    )
    student = trained(
        tmp_path / "student", images, "distilled", teacher=small_teacher(), size=(16, 24), settings=SMALL["distilled"]
    )
    for run, message in (
        (vae, "is a run of vae, which has no probability flow"),
        (latent, "is a run of latent_diffusion, and a latent has no density of the image"),
        (student, "learnt from another run and has no density of its own"),
        (with_masks, "makes masks too"),
    ):
        with pytest.raises(Problem, match=message):
            likelihood(run, masked, cpu=True)
    run = trained(tmp_path / "run", images)
    for change, message in (
        ({"images": random_set(dtype="uint16")}, "is uint16, and the run knows uint8"),
        ({"images": random_set(channels=3)}, "has 3 channels, and the run knows 1"),
        ({"images": random_set(size=(8, 20))}, "smaller than the crop 16 x 16"),
        ({"steps": 10}, "give steps in multiples of 4"),
        ({"probes": 0}, "measure nothing"),
    ):
        with pytest.raises(Problem, match=message):
            likelihood(run, **{"images": images, "cpu": True, **change})


def test_the_command_line_gives_the_mean_with_its_interval(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    images = random_set(3, (32, 48))
    write_images(images, tmp_path / "set")
    trained(tmp_path / "run", images)
    words = ["likelihood", "run", "set", "--steps", "8", "--fields", "6", "--json", "found.json", "--cpu"]
    done = CliRunner().invoke(cli, words)
    assert done.exit_code == 0, done.output
    record = json.loads((tmp_path / "found.json").read_text())
    assert record["low"] < record["mean"] < record["high"]
    assert record["mean"] == pytest.approx(np.mean([f["bits_a_dimension"] for f in record["fields"]]))
    first = f"{record['mean']:.3f} [{record['low']:.3f}, {record['high']:.3f}] bits a dimension over 6 fields"
    assert done.output.splitlines()[0] == first
    assert "uniform dequantisation" in done.output
    single = CliRunner().invoke(cli, ["likelihood", "run", "set", "--steps", "8", "--fields", "1", "--cpu"])
    assert "bits a dimension over 1 field\n" in single.output
    assert "[" not in single.output
