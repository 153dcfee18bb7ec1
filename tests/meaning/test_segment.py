"""Images without masks get those that their grey levels tell."""

from dataclasses import replace

import numpy as np
import pytest

from morphogen.evaluation.segment import segment
from morphogen.images.image_set import Pictures
from morphogen.phantoms.phantom import image_set, phantoms
from morphogen.problems import Problem


@pytest.mark.parametrize("kind", ["rock", "fiber"])
def test_masks_of_clean_phantoms_are_found_from_their_grey_levels(kind):
    truth = image_set(phantoms(kind, count=3, size=(128, 128), seed=2))
    masked, found = segment(Pictures(replace(p, mask=None) for p in truth), specimen=kind)
    for picture, exact in zip(masked, truth, strict=True):
        np.testing.assert_array_equal(picture.pixels, exact.pixels)
        overlap = 2 * (picture.mask & exact.mask).sum() / (picture.mask.sum() + exact.mask.sum())
        assert overlap > 0.9
    assert "grey level" in found.words


def test_a_segmentation_that_finds_nothing_or_all_is_refused():
    images = image_set(phantoms("rock", count=2, size=(96, 96), seed=2))
    for empty, word in ((True, "every"), (False, "no")):
        drawn = Pictures(replace(p, mask=np.full(p.size, empty)) for p in images)
        with pytest.raises(Problem, match=f"that is {word} pixel: choose another segmentation"):
            segment(drawn, specimen="rock", segmentation="masks")
