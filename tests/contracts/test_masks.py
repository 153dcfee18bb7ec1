"""Images and their masks stay together: on disk, in crops, in training, in generation."""

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from morphogen.evaluation.controls import noise
from morphogen.evaluation.segmentation.segmentation import fit_segmentation
from morphogen.generation.generate import generate
from morphogen.images.cropping import RandomCrops
from morphogen.images.folders import read_images, write_images
from morphogen.images.image_set import Pictures
from morphogen.images.intensity import IntensityMap
from morphogen.images.mask_channel import channel_of_mask, mask_of_channel
from morphogen.images.picture import Origin, Picture
from morphogen.methods.method import method_names
from morphogen.phantoms.phantom import image_set, phantoms
from morphogen.problems import Problem
from morphogen.training.train import train
from small_sets import SMALL, draw, needs, random_set, small_teacher

EVERY_TURN = frozenset({"flip_horizontal", "flip_vertical", "quarter_turn"})


def masked_set(count=2, size=(40, 48), dtype="uint8", **more):
    """Pictures whose mask is where they are brighter than the middle of their type."""
    images = random_set(count, size, dtype=dtype, **more)
    return Pictures(replace(p, mask=p.grey > np.median(p.grey)) for p in images)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_masks_come_back_as_they_were_written(tmp_path, dtype):
    images = masked_set(dtype=dtype)
    write_images(images, tmp_path / "set")
    back = read_images(tmp_path / "set")
    for here, there in zip(back, images, strict=True):
        np.testing.assert_array_equal(here.mask, there.mask)
    assert back.fingerprint == images.fingerprint
    # A set without masks in the same folder leaves none of the former ones behind.
    write_images(Pictures(replace(p, mask=None) for p in images), tmp_path / "set")
    assert all(p.mask is None for p in read_images(tmp_path / "set"))


def test_soft_edges_of_jpeg_masks_are_cut_in_the_middle(tmp_path):
    (tmp_path / "images").mkdir()
    (tmp_path / "masks").mkdir()
    disc = np.hypot(*np.mgrid[-32:32, -32:32]) < 20
    Image.fromarray((disc * 90 + 60).astype("uint8")).save(tmp_path / "images" / "a.png")
    Image.fromarray((disc * 255).astype("uint8")).save(tmp_path / "masks" / "a.jpg", quality=60)
    mask = read_images(tmp_path)[0].mask
    assert (mask == disc).mean() > 0.995
    shrunk = read_images(tmp_path, shrink=2)[0]
    assert shrunk.mask.shape == (32, 32)
    assert shrunk.mask.mean() == pytest.approx(disc.mean(), abs=0.02)


def test_a_mask_of_another_size_is_refused(tmp_path):
    images = masked_set(1)
    write_images(images, tmp_path / "set")
    Image.fromarray(np.zeros((8, 8), "uint8")).save(tmp_path / "set" / "masks" / "0000.png")
    with pytest.raises(Problem, match="does not fit"):
        read_images(tmp_path / "set")


def test_a_half_masked_set_is_not_written(tmp_path):
    images = masked_set(2)
    with pytest.raises(Problem, match="1 of 2 images have a mask"):
        write_images(Pictures([images[0], replace(images[1], mask=None)]), tmp_path / "set")
    assert not (tmp_path / "set").exists()
    # Nor does it harm a set that stands there.
    write_images(images, tmp_path / "set")
    others = masked_set(2, seed=5)
    with pytest.raises(Problem, match="1 of 2 images have a mask"):
        write_images(Pictures([others[0], replace(others[1], mask=None)]), tmp_path / "set")
    assert read_images(tmp_path / "set").fingerprint == images.fingerprint


def test_a_crop_keeps_its_part_of_the_mask():
    picture = masked_set(1)[0].crop(3, 7, 20, 16)
    np.testing.assert_array_equal(picture.mask, masked_set(1)[0].mask[3:23, 7:23])
    with pytest.raises(ValueError, match="does not fit"):
        replace(picture, mask=picture.mask[1:])


def test_crops_turn_their_masks_with_them():
    """The mask says where the image is bright, before and after every flip and turn."""
    images = Pictures(replace(p, mask=p.pixels[0] > 127) for p in random_set(3, (40, 48)))
    crops = RandomCrops(images, (16, 24), IntensityMap(low=0, high=255, dtype="uint8"), EVERY_TURN, 1, with_masks=True)
    drawn = crops(0, 64).numpy()
    assert drawn.shape == (64, 2, 16, 24)
    np.testing.assert_array_equal(drawn[:, 1] > 0, drawn[:, 0] > 0)
    assert np.abs(drawn[:, 1]).max() <= 1
    assert np.abs(drawn[:, 1]).min() >= 0.25 - 0.01  # half a pixel from the border
    # The image is the one that is drawn without masks.
    bare = RandomCrops(images, (16, 24), IntensityMap(low=0, high=255, dtype="uint8"), EVERY_TURN, 1)
    np.testing.assert_array_equal(bare(0, 64).numpy(), drawn[:, :1])


def test_the_mask_is_part_of_the_fingerprint():
    images = masked_set(1)
    other = Pictures([replace(images[0], mask=~images[0].mask)])
    assert len({images.fingerprint, other.fingerprint, random_set(1).fingerprint}) == 3


def test_given_masks_are_a_segmentation():
    made = phantoms("rock", count=2, size=(48, 48), seed=1)
    found = fit_segmentation("masks", image_set(made), "dark")
    np.testing.assert_array_equal(found.phase(made[1].picture), made[1].labels == 1)
    with pytest.raises(Problem, match="has no mask"):
        fit_segmentation("masks", random_set(), "dark")
    # Noise keeps the share of the phase, and each pixel its mask.
    control = noise(image_set(made))
    share = np.mean([p.mask.mean() for p in control])
    assert share == pytest.approx(np.mean([m.labels.mean() for m in made]), abs=0.03)


def test_the_mask_channel_is_the_distance_from_a_straight_border_and_gives_the_mask_back():
    mask = np.zeros((12, 16), bool)
    mask[:, 7:] = True
    np.testing.assert_allclose(channel_of_mask(mask)[0, 3, 3:11], [-1, -1, -0.75, -0.25, 0.25, 0.75, 1, 1])
    for any_mask in (masked_set(1)[0].mask, mask, np.ones((4, 4), bool), np.zeros((4, 4), bool)):
        np.testing.assert_array_equal(mask_of_channel(channel_of_mask(any_mask)[0]), any_mask)


@pytest.mark.parametrize("name", method_names())
def test_every_method_makes_images_with_masks(tmp_path, name):
    images = masked_set(4, (32, 32))
    given = needs(name)
    if "sources" in given:
        given["sources"] = masked_set(4, (32, 32), seed=9)
    if "teacher" in given:
        given["teacher"] = small_teacher((16, 16), with_masks=True)
    options = {"size": (16, 16), "settings": SMALL[name], **given}
    run = train(name, images, tmp_path / "run", images_seen=8, with_masks=True, **options)
    drawn = draw(run, count=3, folder=tmp_path / "out")
    assert drawn.channels == images.channels
    back = read_images(tmp_path / "out")
    for here, there in zip(back, drawn, strict=True):
        np.testing.assert_array_equal(here.mask, there.mask)
    with pytest.raises(Problem, match="masks: True"):
        train(name, images, tmp_path / "run", images_seen=16, go_on=True, **options)


def test_a_vae_learns_where_the_mask_is(tmp_path):
    """Bright discs at random places, masked: after a short training mask and brightness agree in new images."""
    generator = np.random.default_rng(0)
    y, x = np.mgrid[:16, :16]
    pictures = []
    for k in range(40):
        row, column = generator.integers(4, 12, 2)
        disc = np.hypot(y - row, x - column) < 4
        pictures.append(
            Picture((60 + 120 * disc[None]).astype("uint8"), (1.0, 1.0), Origin(f"d{k}", f"{k}.png"), mask=disc)
        )
    run = train(
        "vae", Pictures(pictures), tmp_path / "run", images_seen=6000, size=(16, 16), with_masks=True,
        settings={"channels": [16, 32], "latent_dimensions": 8, "batch_size": 32},
    )  # fmt: skip
    drawn = generate(run, count=32)
    agree = np.mean([(p.mask == (p.grey > 120)).mean() for p in drawn])
    assert agree > 0.95
    assert 0.05 < np.mean([p.mask.mean() for p in drawn]) < 0.5  # so that agreement is not emptiness


def test_training_with_masks_needs_masks(tmp_path):
    with pytest.raises(Problem, match="has no mask"):
        train("vae", random_set(), tmp_path / "run", images_seen=4, size=(16, 16), with_masks=True)
    assert not (tmp_path / "run").exists()
