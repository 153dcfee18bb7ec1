"""Painting with a diffusion run: what was not to change comes back to the bit, from file to file, in every format."""

from dataclasses import replace
from functools import cache

import imagecodecs
import numpy as np
import pytest
import tifffile
import torch
from PIL import Image

from morphogen.editing.diffusion_run import place_around
from morphogen.editing.edit import edit
from morphogen.editing.editor import Instruction
from morphogen.images.folders import read_images, write_images
from morphogen.images.image_set import Pictures
from morphogen.images.picture import Picture
from morphogen.methods.latent_diffusion import Method as LatentDiffusion
from morphogen.problems import Problem
from morphogen.training.run import Run
from morphogen.training.train import train
from small_editors import diffusion_run, folder_for_models, hole
from small_sets import SMALL, random_set

QUICK = {"passes": 1, "restarts": 0}


@cache
def run_of(channels: int = 1, dtype: str = "uint8", method: str = "ddpm", masked: bool = False, conditions=()):
    images = random_set(2, channels=channels, dtype=dtype)
    if masked:
        images = Pictures(replace(p, mask=p.grey > 0.4 * p.grey.max()) for p in images)
    place = folder_for_models() / f"{method}-{channels}-{dtype}-{masked}-{'-'.join(conditions)}"
    options = {"settings": SMALL[method], "with_masks": masked, "conditions": conditions}
    train(method, images, place, images_seen=160 if conditions else 8, size=(16, 24), cpu=True, **options)
    return place


def raw(file):
    """The pixels of a file as another program reads them, channels first."""
    if file.suffix == ".tif":
        pixels = tifffile.imread(file)
    elif file.suffix == ".png":
        pixels = imagecodecs.png_decode(file.read_bytes())
    else:
        pixels = np.asarray(Image.open(file))
    return pixels[None] if pixels.ndim == 2 else np.moveaxis(pixels, -1, 0)


KINDS = [(".png", "uint8"), (".png", "uint16"), (".tif", "uint8"), (".tif", "uint16"), (".tif", "float32")]
KINDS += [(".jpg", "uint8")]  # which is read, and never written


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(("extension", "dtype"), KINDS)
def test_every_pixel_but_those_of_the_mask_comes_back_to_the_bit(tmp_path, extension, dtype, channels):
    images = random_set(2, (16, 24), channels, dtype, seed=4)
    if dtype == "float32":  # on another scale than the run's, and with digits that no grey level has
        images = Pictures(replace(p, pixels=p.pixels * np.float32(0.7) + np.float32(1e-5)) for p in images)
    if extension == ".jpg":
        (tmp_path / "in" / "images").mkdir(parents=True)
        for k, picture in enumerate(images):
            shown = picture.pixels[0] if channels == 1 else np.moveaxis(picture.pixels, 0, -1)
            Image.fromarray(shown).save(tmp_path / "in" / "images" / f"000{k}.jpg")
    else:
        write_images(images, tmp_path / "in", extension=extension)
    mask = hole(images[0])
    before = read_images(tmp_path / "in")
    edit("inpaint", before, Instruction(mask=mask), model=run_of(channels, dtype), settings=QUICK, cpu=True,
         folder=tmp_path / "out")  # fmt: skip
    for k, picture in enumerate(before):
        source = tmp_path / "in" / "images" / f"000{k}{extension}"
        made = tmp_path / "out" / "images" / f"000{k}{'.png' if extension == '.jpg' else extension}"
        was, now = raw(source), raw(made)
        assert (now.dtype, now.shape) == (np.dtype(dtype), was.shape)
        assert np.array_equal(was[:, ~mask], now[:, ~mask])
        assert (was[:, mask] != now[:, mask]).mean() > 0.5
        again = read_images(made)[0]
        assert np.array_equal(again.pixels, now)
        np.testing.assert_array_equal(again.spacing_um, picture.spacing_um)


def test_the_old_image_stands_in_the_larger_one_and_any_size_can_be_reached():
    image = Pictures([random_set(1, (17, 26))[0]])
    settings = QUICK | {"up": 3, "left": 21, "right": 2}
    (one,) = edit("outpaint", image, model=diffusion_run(), settings=settings, cpu=True).each
    assert one.picture.size == (20, 49)
    assert np.array_equal(one.picture.pixels[:, 3:, 21:47], image[0].pixels)
    assert np.array_equal(~one.region, np.pad(np.ones((17, 26), bool), ((3, 0), (21, 2))))
    assert one.picture.pixels[:, :, :21].std() > 0
    small = Pictures([random_set(1, (12, 20))[0]])
    assert edit("outpaint", small, model=diffusion_run(), settings=QUICK | {"down": 4, "right": 4}, cpu=True)
    with pytest.raises(Problem, match="0 is 15 x 24, smaller than the 16 x 24"):
        edit("outpaint", small, model=diffusion_run(), settings=QUICK | {"down": 3, "right": 4}, cpu=True)
    with pytest.raises(Problem, match="how far the image goes on"):
        edit("outpaint", small, model=diffusion_run(), cpu=True)


def test_the_strength_of_sdedit_goes_from_the_source_to_another_image():
    images = random_set(2, (16, 24))
    apart = []
    for strength in (0.0, 0.05, 0.5, 1.0):
        found = edit("sdedit", images, model=diffusion_run(), settings={"strength": strength}, cpu=True)
        apart.append(np.mean([np.abs(e.picture.grey - e.source.grey).mean() for e in found.each]))
        assert all(e.region.all() == (strength > 0) for e in found.each)
    assert apart[0] == 0
    assert apart[1] < apart[2] < apart[3]


@pytest.mark.parametrize("method", ["latent_diffusion", "dit", "score_sde", "score_langevin"])
def test_every_diffusion_method_paints(method):
    images = random_set(1, (26, 30))
    mask = hole(images[0])
    (one,) = edit("inpaint", images, Instruction(mask=mask), model=run_of(method=method), settings=QUICK, cpu=True).each
    assert np.array_equal(one.picture.pixels[:, ~mask], images[0].pixels[:, ~mask])
    assert one.picture.pixels[:, mask].std() > 0
    assert one.picture.labels["method"] == method


def test_what_a_decoder_gets_wrong_makes_no_step_at_the_border(monkeypatch):
    # A flat image, and a decoder that gives all images too bright, more so to the right: the right answer is flat.
    images = Pictures([replace(random_set(1, (16, 24))[0], pixels=np.full((1, 16, 24), 90, np.uint8))])
    mask, run = hole(images[0]), run_of(method="latent_diffusion")
    intensity = Run(run).record.intensity
    flat = float(intensity.to_unit(np.array([90], np.uint8))[0])
    monkeypatch.setattr(LatentDiffusion, "decode", lambda self, x0: x0.new_full((len(x0), 1, 16, 24), flat)
                        + torch.linspace(0.1, 0.4, 24))  # fmt: skip
    wrong, mended = (
        edit("inpaint", images, Instruction(mask=mask), model=run, settings=QUICK | more, cpu=True).pictures[0].pixels
        for more in ({"membrane": False}, {})
    )
    assert np.abs(wrong[:, mask].astype(int) - 90).min() > 5
    assert np.abs(mended.astype(int) - 90).max() <= 1
    assert np.array_equal(mended[:, ~mask], images[0].pixels[:, ~mask])


def test_a_run_that_was_trained_with_masks_paints_image_and_mask():
    images = random_set(2, (16, 24))
    drawn = [p.grey > 0.4 * p.grey.max() for p in images]
    masked = Pictures(Picture(p.pixels, p.spacing_um, p.origin, {}, m) for p, m in zip(images, drawn, strict=True))
    asked = Instruction(mask=hole(images[0]))
    run = run_of(masked=True)
    for one, mask in zip(edit("inpaint", masked, asked, model=run, settings=QUICK, cpu=True).each, drawn, strict=True):
        assert np.array_equal(one.picture.mask[~one.region], mask[~one.region])
    bare = edit("inpaint", images, asked, model=run, settings=QUICK, cpu=True)
    assert all(one.picture.mask is not None for one in bare.each)


def test_what_is_asked_counts_and_the_rest_is_drawn_as_training_saw_it():
    images, run = random_set(2, (16, 24)), run_of(conditions=("brightness", "kind"))

    def filled(asked):
        wish = Instruction(mask=hole(images[0]), asked=asked)
        return edit("inpaint", images, wish, model=run, settings=QUICK, cpu=True).pictures

    even, odd = filled({"kind": "even"}), filled({"kind": "odd"})
    assert not np.array_equal(even[0].pixels, odd[0].pixels)
    assert even[0].labels["asked kind"] == "even"
    brightness = {p.labels["brightness"] for p in random_set(2)}
    assert any(abs(even[1].labels["asked brightness"] - b) < 1e-3 for b in brightness)
    with pytest.raises(Problem, match="'porosity' is no condition of this run"):
        filled({"porosity": 0.3})
    with pytest.raises(Problem, match="training never saw kind 'round'"):
        filled({"kind": "round"})


def test_only_the_surroundings_of_a_small_hole_are_looked_at():
    region = np.zeros((100, 130), bool)
    region[50:60, 120:128] = True
    place = place_around(region, (16, 24), 1)
    assert (place.height, place.width) == (26, 24)  # half a window above and below; one window across
    assert (place.top, place.left) == (42, 106)
    far = np.zeros((100, 130), bool)
    far[3:5, 4:6] = True
    assert (place_around(far, (16, 24), 1).top, place_around(far, (16, 24), 1).left) == (0, 0)
    assert place_around(np.ones((101, 30), bool), (16, 24), 4).height == 104
    # What is far from the hole has no say.
    images = random_set(1, (60, 80))
    mask = np.zeros((60, 80), bool)
    mask[10:16, 10:18] = True
    other = images[0].pixels.copy()
    other[:, 40:, 50:] = 255 - other[:, 40:, 50:]
    found = [
        edit("inpaint", Pictures([Picture(pixels, (1.0, 1.0), images[0].origin)]), Instruction(mask=mask),
             model=diffusion_run(), settings=QUICK, cpu=True).pictures[0].pixels
        for pixels in (images[0].pixels, other)
    ]  # fmt: skip
    assert np.array_equal(found[0][:, mask], found[1][:, mask])


def test_what_a_run_cannot_take_is_refused_before_work(tmp_path):
    hollow = Instruction(mask=hole(random_set(1, (16, 24))[0]))
    (tmp_path / "empty").mkdir()
    wrong = [
        (random_set(1, (16, 24)), hollow, tmp_path / "nowhere", "there is no folder"),
        (random_set(1, (16, 24)), hollow, tmp_path / "empty", "is not a run folder"),
        (random_set(1, (16, 24)), hollow, run_of(method="vae"), "is a run of vae, no diffusion method: name a run of"),
        (random_set(1, (16, 24), 3), hollow, diffusion_run(), "0 has 3 channels, and the run knows 1"),
        (random_set(1, (16, 24), dtype="uint16"), hollow, diffusion_run(), "0 is uint16, and the run knows uint8"),
        (random_set(1, (12, 24)), Instruction(mask=hole(random_set(1, (12, 24))[0])), diffusion_run(), "0 is 12 x 24"),
        (random_set(1, (16, 24)), Instruction(mask=hollow.mask, caption="a rock"), diffusion_run(), "without text"),
    ]  # fmt: skip
    for images, asked, model, message in wrong:
        with pytest.raises(Problem, match=message):
            edit("inpaint", images, asked, model=model, folder=tmp_path / "out", cpu=True)
        assert not (tmp_path / "out").exists()
    with pytest.raises(Problem, match="'solver' is 'euler': it should be one of ancestral"):
        edit("inpaint", random_set(1, (16, 24)), hollow, model=diffusion_run(), settings={"solver": "euler"})
    with pytest.raises(Problem, match="exists and is not empty"):
        edit("inpaint", random_set(1, (16, 24)), hollow, model=diffusion_run(), folder=diffusion_run())
