"""Instructions are followed: a method that has learnt from triples does what it is told, and holds on to the image."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.ndimage import zoom

from morphogen.editing.editor import Instruction, editor_class, editor_settings, require_sound
from morphogen.generation.generate import generate
from morphogen.images.folders import write_images
from morphogen.images.image_set import Pictures
from morphogen.images.picture import Origin, Picture
from morphogen.mathematics.randomness import Randomness
from morphogen.methods.denoising import Given
from morphogen.problems import Problem
from morphogen.training.train import train
from small_sets import random_set, tiny_text_encoder

ORDERS = {"make it brighter": 50, "make it darker": -50}
SETTINGS = {"channels": [16], "attention": False, "patch": 1, "batch_size": 16, "learning_rate": 1e-2}
SETTINGS |= {"sample_steps": 6, "level_mean": 1.0}


def changed(images, step):
    return [replace(p, pixels=(p.pixels.astype(int) + step).clip(0, 255).astype(np.uint8)) for p in images]


def plain(count, size=(8, 8), seed=0):
    """Smooth images between 80 and 175 grey levels."""
    random = np.random.default_rng(seed)
    pictures = []
    for k in range(count):
        coarse = random.random((2, 2))
        grey = 80 + 95 * zoom(coarse, (size[0] / 2, size[1] / 2), order=1, mode="nearest", grid_mode=True)
        name = f"{seed}-{k}"
        pictures.append(Picture(grey[None].astype(np.uint8), (2.0, 2.0), Origin(name, f"{name}.png")))
    return pictures


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    place = tmp_path_factory.mktemp("run")
    befores, afters = [], []
    for order, step in ORDERS.items():
        here = [replace(p, origin=replace(p.origin, source=f"{order}-{k}")) for k, p in enumerate(plain(60))]
        befores += here
        afters += [replace(p, labels={**p.labels, "instruction": order}) for p in changed(here, step)]
    encoder = tiny_text_encoder(place / "encoder", ["make", "it", "brighter", "darker"])
    return train(
        "instruct_pix2pix", Pictures(afters), place / "run", context=Pictures(befores), conditions=["instruction"],
        text_encoder=encoder, settings=SETTINGS, size=(8, 8), images_seen=2400, cpu=True,
    )  # fmt: skip


def edited(run, images, words, **settings):
    editor = editor_class("instruct_pix2pix")(editor_settings("instruct_pix2pix", settings), run.folder, cpu=True)
    told = [Instruction(words=words) for _ in images]
    for image, instruction in zip(images, told, strict=True):
        require_sound("instruct_pix2pix", image, instruction)
        editor.check(image, instruction)
    return editor.edit(images, told, seed=1, first=0)


def step_of(edits):
    return np.mean([e.picture.grey.mean() - e.source.grey.mean() for e in edits])


def test_what_is_ordered_happens_to_the_image_that_is_given(run):
    images = plain(6, seed=5)
    for order, step in ORDERS.items():
        found = edited(run, images, order)
        assert step_of(found) * np.sign(step) > 20
        of_itself = [np.corrcoef(e.source.grey.ravel(), e.picture.grey.ravel())[0, 1] for e in found]
        assert np.mean(of_itself) > 0.5


def test_each_guidance_makes_more_of_what_it_weighs(run):
    images = plain(6, seed=5)
    weak, strong = (step_of(edited(run, images, "make it brighter", guidance=w)) for w in (0.0, 1.5))
    assert weak + 10 < strong
    free, held = (edited(run, images, "make it brighter", image_guidance=w) for w in (0.0, 1.0))
    alike = [
        np.mean([np.corrcoef(e.source.grey.ravel(), e.picture.grey.ravel())[0, 1] for e in s]) for s in (free, held)
    ]
    assert alike[0] + 0.1 < alike[1]


def test_larger_images_masks_and_batches(run):
    images = plain(2, (13, 21), seed=7)
    together = edited(run, images, "make it darker")
    assert together[0].picture.size == (13, 21)
    assert together[0].picture.pixels.dtype == np.uint8
    assert step_of(together) < -20
    (alone,) = editor_class("instruct_pix2pix")(
        editor_settings("instruct_pix2pix"), run.folder, cpu=True
    ).edit(images[1:], [Instruction(words="make it darker")], seed=1, first=1)  # fmt: skip
    np.testing.assert_allclose(alone.picture.grey, together[1].picture.grey, atol=1)
    mask = np.zeros((13, 21), bool)
    mask[5:10, 5:15] = True
    editor = editor_class("instruct_pix2pix")(editor_settings("instruct_pix2pix"), run.folder, cpu=True)
    (edit,) = editor.edit(images[:1], [Instruction(words="make it darker", mask=mask)], seed=1, first=0)
    assert np.array_equal(edit.picture.pixels[:, ~mask], images[0].pixels[:, ~mask])
    assert not np.array_equal(edit.picture.pixels, images[0].pixels)


def test_generate_draws_for_an_image_before(run, tmp_path):
    images = Pictures(plain(3, seed=9))
    write_images(images, tmp_path / "before")
    drawn = generate(
        run, count=3, asked={"instruction": "make it darker"}, context=images, image_guidance=1.2, cpu=True
    )
    assert np.mean([d.grey.mean() - p.grey.mean() for d, p in zip(drawn, images, strict=True)]) < -20


@pytest.mark.parametrize(
    ("words", "size", "message"),
    [
        ("", (8, 8), "needs an instruction"),
        ("make it darker", (6, 20), "smaller than the 8 x 8 that the run looks through"),
    ],
)
def test_what_cannot_be_followed_is_refused(run, words, size, message):
    with pytest.raises(Problem, match=message):
        edited(run, plain(1, size), words)


def test_other_runs_and_images_are_refused(run, tmp_path):
    with pytest.raises(Problem, match="pixels of uint16, and the run was told images of uint8"):
        edited(run, list(random_set(1, (8, 8), dtype="uint16")), "make it darker")
    with pytest.raises(Problem, match="needs an image in register with each image: give triples"):
        train("instruct_pix2pix", random_set(size=(64, 64)), tmp_path / "x", conditions=["kind"], cpu=True)


def test_image_instruction_and_both_are_left_out_as_often_as_told(run):
    method = run.new_method()
    given = Given(
        vector=torch.zeros(6000, 16), told=torch.ones(6000, 1), tokens=torch.ones(6000, 2, 17),
        context=torch.ones(6000, 2, 4, 4),
    )  # fmt: skip
    left = method._told_some(given, Randomness.of_images(0, 0, 6000))
    words, image = left.told[:, 0], left.context[:, -1, 0, 0]
    for shares in ((0, 1), (1, 0), (0, 0)):
        found = float(((words == shares[0]) & (image == shares[1])).float().mean())
        assert found == pytest.approx(0.05, abs=0.01)
    assert torch.equal(left.tokens[:, 0, -1], words)
