"""Sets whose difference is known are translated right, although no image of the one has its partner in the other."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from morphogen.generation.translate import translate
from morphogen.images.image_set import Pictures
from morphogen.phantoms.phantom import image_set, phantoms
from morphogen.training.train import train

SMALL = {"channels": [8, 16], "blocks": 1, "discriminator_channels": [16, 32], "batch_size": 4, "learning_rate": 2e-3}
Change = Callable[[NDArray[np.int64]], NDArray[np.int64]]


def fibers(seed: int, change: Change, count: int = 4) -> Pictures:
    """A seventh of the image is fiber, so that the inverse of one cannot be taken for another one."""
    made = phantoms(
        "fiber", count=count, size=(96, 96), seed=seed, spacing_um=1.0, fiber_volume_fraction=0.15, fiber_diameter_um=8
    )
    return Pictures(replace(p, pixels=change(p.pixels.astype(int)).astype("uint8")) for p in image_set(made))


def error(one: Pictures, other: Pictures) -> float:
    return float(np.mean([np.abs(a.grey.astype(float) - b.grey).mean() for a, b in zip(one, other, strict=True)]))


def correlation(one: Pictures, other: Pictures) -> float:
    pairs = zip(one, other, strict=True)
    return float(np.mean([np.corrcoef(a.grey.ravel(), b.grey.ravel())[0, 1] for a, b in pairs]))


@pytest.mark.parametrize(
    ("change", "more", "images_seen"),
    [
        # Dark becomes bright: nothing may ask the networks to leave what they see as it is, and there is one answer.
        (
            lambda g: 255 - g,
            {"from_identity": False, "identity_weight": 0.0, "measured_cycle": 1.0, "noise_channels": 0},
            1200,
        ),
        (lambda g: g // 2 + 100, {}, 600),
    ],
    ids=["inverted", "brighter and flatter"],
)
def test_a_known_change_of_grey_is_found_from_unpaired_images(tmp_path, change, more, images_seen):
    """The specimens of the two sets differ; those of the test were in neither."""
    same: Change = lambda g: g  # noqa: E731
    run = train("cyclegan", fibers(1, change), tmp_path / "run", sources=fibers(2, same), images_seen=images_seen,
                size=(32, 32), settings=SMALL | more, cpu=True)  # fmt: skip
    sources, truth = fibers(3, same), fibers(3, change)
    there, back = translate(run, sources, cpu=True), translate(run, truth, reverse=True, cpu=True)
    untouched = error(sources, truth)
    for translation, right in ((there, truth), (back, sources)):
        assert correlation(translation, right) > 0.6
        assert error(translation, right) < untouched / 3
