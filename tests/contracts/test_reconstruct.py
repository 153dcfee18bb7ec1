"""What an autoencoder gives back: on the measured scale, beside what went in, with paired differences."""

from dataclasses import replace

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image
from scipy import ndimage

from morphogen.cli import cli
from morphogen.generation.reconstruct import crops_of, reconstruct
from morphogen.images.folders import read_images, write_images
from morphogen.images.image_set import Pictures
from morphogen.images.intensity import IntensityMap
from morphogen.methods.method import Reconstructs, method_class, method_names
from morphogen.phantoms.phantom import image_set, phantoms
from morphogen.problems import Problem
from morphogen.report.reconstruction_figure import measure_losses, write_reconstructions
from morphogen.training.train import train
from small_sets import NUMBERS, SMALL, random_set, small_teacher

AUTOENCODERS = [name for name in method_names() if issubclass(method_class(name), Reconstructs)]
SIZE = (16, 24)


def trained(folder, method, images, **options):
    settings = SMALL[method] | ({"perceptual": "none"} if method == "latent_diffusion" else {})
    return train(
        method, images, folder, **{"images_seen": 12, "size": SIZE, "settings": settings, "cpu": True} | options
    )


def test_there_are_autoencoders():
    assert set(AUTOENCODERS) >= {"latent_diffusion", "vae"}


@pytest.mark.parametrize("dtype", NUMBERS)
@pytest.mark.parametrize("method", AUTOENCODERS)
def test_fields_and_reconstructions_are_written_in_register(tmp_path, method, dtype):
    images = random_set(2, (40, 50), dtype=dtype)
    run = trained(tmp_path / "run", method, images)
    found = reconstruct(run, images, folder=tmp_path / "out", batch_size=3, cpu=True)
    assert len(found.measured) == len(found.pictures) == 2 * 2 * 2
    for before, after in zip(found.measured, found.pictures, strict=True):
        assert after.pixels.dtype == dtype
        assert after.size == before.size == SIZE
        assert after.origin.region == before.origin.region
        assert after.spacing_um == before.spacing_um
        top, left, *_ = before.origin.region
        whole = next(p for p in images if p.origin.specimen == before.origin.specimen)
        np.testing.assert_array_equal(before.pixels, whole.pixels[:, top : top + 16, left : left + 24])
    assert len(read_images(tmp_path / "out")) == len(read_images(tmp_path / "out" / "measured")) == 8
    again = reconstruct(run, images, batch_size=8, most=3, cpu=True)
    for one, other in zip(found.pictures, again.pictures, strict=False):  # without chance, and not of the batch
        np.testing.assert_allclose(one.pixels.astype(float), other.pixels.astype(float), atol=NUMBERS[dtype] * 1e-4 + 1)


def test_a_vae_gives_back_what_it_has_learnt(tmp_path):
    """Two ramps, one rising and one falling: after a short training each comes back as itself, not as their mean."""
    ramp = np.linspace(40, 200, 24).astype(np.uint8)
    ramps = [
        replace(p, pixels=np.broadcast_to(r, (1, 16, 24)).copy())
        for p, r in zip(random_set(2), (ramp, ramp[::-1]), strict=True)
    ]
    run = trained(tmp_path / "run", "vae", Pictures(ramps), images_seen=2000)
    found = reconstruct(run, Pictures(ramps), most=2, cpu=True)
    for before, after in zip(found.measured, found.pictures, strict=True):
        assert np.corrcoef(before.grey.ravel(), after.grey.ravel())[0, 1] > 0.8


def test_masks_go_through_with_their_images(tmp_path):
    images = Pictures(replace(p, mask=p.grey > 0.5 * p.grey.max()) for p in random_set())
    run = trained(tmp_path / "run", "vae", images, with_masks=True)
    found = reconstruct(run, images, most=2, cpu=True)
    assert found.pictures[0].channels == 1
    assert found.pictures[0].mask.shape == SIZE
    with pytest.raises(Problem, match="has no mask"):
        reconstruct(run, random_set(), cpu=True)


def test_crops_lie_side_by_side_and_come_from_each_picture_in_turn():
    crops = crops_of(random_set(3, (37, 50)), (16, 24), most=100)
    assert len(crops) == 3 * 2 * 2
    assert [c.number for c in crops[:6]] == [0, 1, 2, 0, 1, 2]
    seen = np.zeros((37, 50), int)
    for crop in crops[::3]:
        seen[crop.top : crop.top + 16, crop.left : crop.left + 24] += 1
    assert seen.max() == 1
    assert seen.sum() == 4 * 16 * 24


def _fields(blurred=0.0, count=12):
    rocks = image_set(phantoms("rock", count=count, size=(64, 64), seed=2))
    if not blurred:
        return Pictures(rocks)
    return Pictures(replace(p, pixels=ndimage.gaussian_filter(p.pixels[0], blurred)[None]) for p in rocks)


def test_blur_is_seen_where_it_happens():
    """Fine structure goes, and is told with its sign; the mean grey level stays, and is told to stay."""
    measured, intensity = _fields(), IntensityMap.of(_fields())
    losses = measure_losses(measured, _fields(2.0), specimen="rock", intensity=intensity)
    found = {r.name: r for r in losses.readings}
    surface = found["specific surface"]
    assert surface.difference[2] < 0  # for certain
    assert surface.reconstructed < surface.measured
    assert found["edge width"].verdict == "≠"
    assert found["grey level mean"].verdict == "="
    assert found["porosity"].n == 12
    assert any(name.startswith("power spectrum, clearest at") for name in found)
    less = measure_losses(measured, _fields(0.7), specimen="rock", intensity=intensity)
    assert less.likeness["PSNR (dB)"][0] > losses.likeness["PSNR (dB)"][0] + 3


def test_pairs_are_narrower_than_sets():
    """A loss that is far smaller than what fields differ by is found, since each is held against itself."""
    measured = _fields()
    darker = Pictures(replace(p, pixels=p.pixels - np.minimum(p.pixels, 1)) for p in measured)
    losses = measure_losses(measured, darker, specimen="rock", intensity=IntensityMap.of(measured))
    mean = next(r for r in losses.readings if r.name == "grey level mean")
    value, low, high = mean.difference
    assert value == pytest.approx(-1, abs=0.02)
    assert high - low < 0.05
    assert np.std([p.grey.mean() for p in measured]) > 1


def test_equal_images_lose_nothing():
    measured = _fields(count=4)
    losses = measure_losses(measured, measured, specimen="rock", intensity=IntensityMap.of(measured))
    assert all(r.difference == (0, 0, 0) for r in losses.readings)
    assert all(r.verdict == "=" for r in losses.readings)
    assert "PSNR (dB)" not in losses.likeness
    assert any("exact" in note for note in losses.notes)


def test_the_picture_shows_the_difference_about_mid_grey(tmp_path):
    measured = _fields(count=3)
    brighter = Pictures(replace(p, pixels=np.minimum(p.pixels, 235) + np.uint8(20)) for p in measured)
    end = write_reconstructions(measured, brighter, tmp_path / "pairs.png")
    assert end == pytest.approx(20, abs=1)
    drawn = np.asarray(Image.open(tmp_path / "pairs.png").convert("L"))
    rows = [k * (128 + 4) + 64 for k in range(3)]  # middles of the three rows of tiles
    assert np.median(drawn[rows[2] - 40 : rows[2] + 40, -300:-200]) > 240  # white is as much brighter as ``end``
    same = write_reconstructions(measured, measured, tmp_path / "same.png")
    assert same == 1
    drawn = np.asarray(Image.open(tmp_path / "same.png").convert("L"))
    assert np.median(drawn[rows[2] - 40 : rows[2] + 40, -300:-200]) == pytest.approx(127.5, abs=2)


def test_runs_and_images_that_cannot_be_reconstructed_are_refused(tmp_path):
    with pytest.raises(Problem, match=r"is a run of ddpm, which has no autoencoder: name a run of .*vae"):
        reconstruct(small_teacher(), random_set(), folder=tmp_path / "out")
    run = trained(tmp_path / "run", "vae", random_set())
    for images, message in (
        (random_set(dtype="uint16"), "is uint16, and the run knows uint8"),
        (random_set(channels=3), "has 3 channels, and the run knows 1"),
        (random_set(size=(8, 30)), "smaller than the crop 16 x 24"),
    ):
        with pytest.raises(Problem, match=message):
            reconstruct(run, images, folder=tmp_path / "out", cpu=True)
    assert not (tmp_path / "out").exists()


def test_the_command_line(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rocks = _fields(count=3)
    write_images(rocks, tmp_path / "set")
    trained(tmp_path / "run", "vae", rocks, size=(32, 32))
    done = CliRunner().invoke(cli, ["reconstruct", "run", "set", "-o", "back", "--cpu"])
    assert done.exit_code == 0, done.output
    assert "12 images of 32 x 32 in back" in done.output
    assert "PSNR (dB)" in done.output
    assert "porosity" in done.output
    assert Image.open(tmp_path / "back" / "reconstructions.png").width > 300
    done = CliRunner().invoke(cli, ["reconstruct", "run", "set", "-o", "more", "--specimen", "rok", "--cpu"])
    assert isinstance(done.exception, Problem)
    write_images(Pictures([rocks[0].crop(0, 0, 40, 40)]), tmp_path / "one")
    done = CliRunner().invoke(cli, ["reconstruct", "run", "one", "-o", "more", "--cpu"])
    assert "one field gives no interval" in str(done.exception)
    assert not (tmp_path / "more").exists()
