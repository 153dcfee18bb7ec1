"""What every way of segmentation promises, discovered from its folder."""

from dataclasses import replace

import numpy as np
import pytest

from morphogen.evaluation.segmentation.segmentation import fit_segmentation, segmentation_names
from morphogen.images.image_set import Pictures
from morphogen.images.picture import Origin, Picture
from morphogen.phantoms.phantom import image_set, phantoms
from morphogen.problems import Problem

NEEDED = {"level": "level=112"}  # what has no default


def called(name):
    return NEEDED.get(name, name)


@pytest.fixture(scope="module")
def measured():
    return image_set(phantoms("root", count=2, size=(64, 64), seed=2))


@pytest.fixture(scope="module")
def others():
    """Darker, flatter, and of other sizes."""
    drawn = image_set(phantoms("rock", count=2, size=(48, 80), seed=4))
    return Pictures(replace(picture, pixels=picture.pixels // 2 + 20) for picture in drawn)


@pytest.mark.parametrize("name", segmentation_names())
@pytest.mark.parametrize("phase_is", ["dark", "bright"])
def test_masks_fit_pictures_of_any_size_and_never_change(name, phase_is, measured, others) -> None:
    segmentation = fit_segmentation(called(name), measured, phase_is)
    fitted = repr(segmentation)
    small = measured[0].crop(8, 8, 16, 16), measured[0].crop(3, 5, 20, 57)
    first = [segmentation.phase(picture) for picture in (*measured, *small)]
    for picture in others:
        mask = segmentation.phase(picture)
        assert mask.shape == picture.size
        assert mask.dtype == np.bool_
    for picture, mask in zip((*measured, *small), first, strict=True):
        assert mask.shape == picture.size
        assert mask.dtype == np.bool_
        np.testing.assert_array_equal(segmentation.phase(picture), mask)
    assert repr(segmentation) == fitted
    assert 0 < first[0].mean() < 1


@pytest.mark.parametrize("name", segmentation_names())
def test_equal_images_give_an_equal_value_and_its_text_tells_all(name, measured, others) -> None:
    fitted = fit_segmentation(called(name), measured, "bright")
    again = fit_segmentation(called(name), image_set(phantoms("root", count=2, size=(64, 64), seed=2)), "bright")
    assert fitted == again
    assert repr(fitted) == repr(again)
    assert " object at " not in repr(fitted)
    assert fitted.words
    assert fitted.words == fitted.words.strip(" .")
    if name not in ("masks", "level"):  # these take nothing from the images
        assert repr(fit_segmentation(called(name), others, "bright")) != repr(fitted)


@pytest.mark.parametrize("name", segmentation_names())
@pytest.mark.parametrize("argument", ["nonsense", "-3", "1:2:3", "nan"])
def test_a_nonsense_argument_is_refused_in_one_line(name, argument, measured) -> None:
    with pytest.raises(Problem) as refused:
        fit_segmentation(f"{name}={argument}", measured, "bright")
    assert argument in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("argument", ["multi_otsu=3:3", "multi_otsu=9", "random_walker=1", "ridge=8-2", "ridge=0-4"])
def test_arguments_out_of_range_are_refused(argument, measured) -> None:
    with pytest.raises(Problem):
        fit_segmentation(argument, measured, "bright")


@pytest.mark.parametrize("name", [name for name in segmentation_names() if name != "masks"])
@pytest.mark.parametrize("level", [7.0, np.nan])
def test_images_that_show_no_phases_are_refused(name, level) -> None:
    flat = Pictures([Picture(np.full((1, 20, 20), level, dtype=np.float32), (1.0, 1.0), Origin("s"))])
    with pytest.raises(Problem):
        fit_segmentation(called(name), flat, "bright")


@pytest.mark.parametrize("name", segmentation_names())
def test_colour_is_read_as_luminance(name, measured) -> None:
    grey = Pictures(replace(picture, pixels=picture.grey.astype(np.float32)[None]) for picture in measured)
    colour = Pictures(replace(picture, pixels=np.repeat(picture.pixels, 3, axis=0)) for picture in grey)
    in_grey, in_colour = (fit_segmentation(called(name), images, "bright") for images in (grey, colour))
    for one, other in zip(grey, colour, strict=True):
        assert (in_grey.phase(one) != in_colour.phase(other)).mean() < 0.002  # rounding of the luminance
