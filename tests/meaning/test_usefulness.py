"""A set is useful if and only if its images and masks belong together as measured ones do."""

from dataclasses import replace

import pytest

from morphogen.images.image_set import Pictures
from morphogen.phantoms.instruments.camera import Camera
from morphogen.phantoms.phantom import image_set, phantoms
from morphogen.usefulness.usefulness import usefulness

CAMERA = Camera(blur_px=1.0, read_noise=0.15)
"""So noisy that no single pixel tells its phase, and a threshold fails."""


def roots(count: int, seed: int) -> Pictures:
    drawn = image_set(phantoms("root", count=count, size=(64, 64), seed=seed, camera=CAMERA))
    return Pictures(replace(p, origin=replace(p.origin, specimen=f"{p.origin.specimen} of {seed}")) for p in drawn)


@pytest.fixture(scope="module")
def rows():
    more = roots(12, seed=3)
    wrong = Pictures(replace(p, mask=more[k - 1].mask) for k, p in enumerate(more))
    found = usefulness(
        training=roots(12, seed=1),
        generated={"more phantoms": more, "wrong masks": wrong},
        test=roots(6, seed=2),
        crop=(32, 32),
        symmetries=frozenset({"flip_horizontal"}),
        images_seen=400,
        seeds=2,
        cpu=True,
    )
    return {row.trained_on: row for row in found.rows}


def test_the_network_beats_the_threshold(rows):
    assert rows["measured"].dice.value > 0.8
    assert rows["nothing"].dice_above_measured.high < -0.1


def test_generated_images_that_are_as_good_as_measured_ones_are_as_useful(rows):
    """Other phantoms of the same kind and camera: within 0.03, three times what seeds make of such short trainings."""
    for name in ("more phantoms", "measured + more phantoms"):
        assert abs(rows[name].dice_above_measured.value) < 0.03


def test_images_whose_masks_are_not_theirs_are_useless(rows):
    assert rows["wrong masks"].dice_above_measured.high < -0.3
    assert rows["wrong masks"].iou.value < rows["measured"].iou.value - 0.3
