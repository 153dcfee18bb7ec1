"""Ways of segmentation on phantoms whose mask is exact, and on grey levels whose classes are known."""

from dataclasses import replace

import numpy as np
import pytest

from morphogen.evaluation.segmentation.ridge import ridge_response
from morphogen.evaluation.segmentation.segmentation import fit_segmentation
from morphogen.images.image_set import Pictures
from morphogen.images.picture import Origin, Picture
from morphogen.mathematics.randomness import numpy_generator
from morphogen.phantoms.phantom import image_set, phantoms

PHASE_IS = {"rock": "dark", "root": "bright", "fiber": "bright"}


def disturbed(kind, noise=0.0, gradient=0.0):
    """Three phantoms with added noise, and light that grows by ``gradient`` grey levels from left to right."""
    numbers = numpy_generator(7)

    def spoilt(picture):
        grey = picture.grey + noise * numbers.standard_normal(picture.size) + np.linspace(0, gradient, picture.size[1])
        return replace(picture, pixels=grey.astype(np.float32)[None])

    return Pictures(spoilt(picture) for picture in image_set(phantoms(kind, count=3, size=(160, 160), seed=3)))


def dice(called, images, phase_is):
    """Of all pixels of the set together."""
    segmentation = fit_segmentation(called, images, phase_is)
    found = np.stack([segmentation.phase(picture) for picture in images])
    exact = np.stack([picture.mask for picture in images])
    return 2 * (found & exact).sum() / (found.sum() + exact.sum())


@pytest.mark.parametrize("kind", ["rock", "root", "fiber"])
def test_random_walker_bears_noise(kind) -> None:
    images = disturbed(kind, noise=50.0)
    otsu, walker = (dice(called, images, PHASE_IS[kind]) for called in ("otsu", "random_walker"))
    assert walker > otsu + 0.05
    assert dice("random_walker=0.9", disturbed(kind, noise=5.0), PHASE_IS[kind]) > 0.93


def test_random_walker_weighs_grey_alike_in_every_image() -> None:
    """The same patch beside something else is segmented alike: no scale is taken from the image itself."""
    images = disturbed("rock", noise=30.0)
    walker = fit_segmentation("random_walker", images, "dark")
    patch = images[0]
    wall = np.full((1, 160, 40), walker.bright_seeds + 1, dtype=np.float32)  # seeds, far brighter on the right
    beside = np.concatenate([patch.pixels, wall, wall * 20], axis=2)
    alone = np.concatenate([patch.pixels, wall], axis=2)
    found = [walker.phase(Picture(pixels, (1.0, 1.0), Origin("s")))[:, :160] for pixels in (alone, beside)]
    assert (found[0] != found[1]).mean() < 1e-3  # the accuracy of the solver


def test_random_walker_cuts_at_the_threshold_where_there_are_no_seeds() -> None:
    walker = fit_segmentation("random_walker=0.2", disturbed("rock"), "dark")
    dark = np.full((1, 16, 16), walker.dark, dtype=np.float32)  # dark, and brighter than any seed
    dark[0, 3, 4] = walker.bright
    found = walker.phase(Picture(dark, (1.0, 1.0), Origin("s")))
    assert found.sum() == 255
    assert not found[3, 4]


def test_ridges_bear_an_uneven_background() -> None:
    uneven = disturbed("root", noise=3.0, gradient=150.0)
    otsu, ridge = (dice(called, uneven, "bright") for called in ("otsu", "ridge"))
    assert ridge > otsu + 0.2
    assert ridge > 0.82
    assert ridge == pytest.approx(dice("ridge", disturbed("root", noise=3.0), "bright"), abs=0.01)


def test_ridges_answer_most_at_the_scale_of_their_width() -> None:
    grey = np.zeros((1, 64, 64), dtype=np.float32)
    grey[0, :, 30:36] = 100  # 6 wide
    for pixels, phase_is, other in ((grey, "bright", "dark"), (100 - grey, "dark", "bright")):
        picture = Picture(pixels, (1.0, 1.0), Origin("s"))
        middle = {width: ridge_response(picture, (width, width), phase_is)[32, 32] for width in (2, 4, 6, 9, 14)}
        assert max(middle, key=lambda width: middle[width]) == 6
        assert ridge_response(picture, (3.0, 12.0), phase_is)[32, 32] >= middle[6]
        assert ridge_response(picture, (6.0, 6.0), other)[32, 32] == 0
    slope = Picture(np.tile(np.arange(64, dtype=np.float32), (64, 1))[None], (1.0, 1.0), Origin("s"))
    assert ridge_response(slope, (2.0, 8.0), "bright")[16:48, 16:48].max() < 0.01  # away from the edges


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_multi_otsu_takes_the_asked_classes(dtype) -> None:
    scale = {"uint8": 1, "uint16": 200, "float32": 0.01}[dtype]
    centres, shares = np.array([30, 90, 150, 220]), np.array([0.2, 0.3, 0.3, 0.2])
    numbers = numpy_generator(1)
    classes = numbers.choice(4, size=(2, 80, 90), p=shares)
    pixels = ((centres[classes] + np.clip(4 * numbers.standard_normal(classes.shape), -15, 15)) * scale).astype(dtype)
    images = Pictures(Picture(image[None], (1.0, 1.0), Origin("s")) for image in pixels)
    for taken in (1, 2, 3):
        dark = fit_segmentation(f"multi_otsu=4:{taken}", images, "dark")
        bright = fit_segmentation(f"multi_otsu=4:{taken}", images, "bright")
        for k, picture in enumerate(images):
            np.testing.assert_array_equal(dark.phase(picture), classes[k] < taken)
            np.testing.assert_array_equal(bright.phase(picture), classes[k] >= 4 - taken)


def test_two_classes_are_those_of_otsu() -> None:
    images = image_set(phantoms("rock", count=2, size=(96, 96), seed=5))  # 8 bit: the same histogram
    two, otsu = (fit_segmentation(called, images, "dark") for called in ("multi_otsu=2:1", "otsu"))
    assert two.value == pytest.approx(otsu.value, abs=1)
