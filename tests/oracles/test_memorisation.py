"""The search agrees with scikit-image's template matching, and shares with SciPy's exact binomial test."""

import numpy as np
import pytest
from scipy.stats import binomtest
from skimage.feature import match_template

from morphogen.evaluation.memorisation import exact_share
from morphogen.evaluation.nearest_training import SYMMETRIES, nearest_training, turned_back
from morphogen.images.image_set import Pictures
from morphogen.images.picture import Origin, Picture
from morphogen.phantoms.phantom import phantom


@pytest.mark.parametrize(
    ("size", "dtype"), [((32, 32), "uint8"), ((24, 40), "uint16"), ((48, 17), "uint8"), ((96, 96), "uint8")]
)
def test_best_place_is_that_of_template_matching(size, dtype):
    """Images of several sizes, of which one has no room for a turned field, or none at all."""
    training = Pictures(
        phantom("rock", size=shape, seed=1, specimen=k, dtype=dtype).picture
        for k, shape in enumerate([(150, 141), (97, 200), (41, 50), (30, 30)])
    )
    others = [phantom("rock", size=(96, 96), seed=2, specimen=k, dtype=dtype).picture for k in range(5)]
    fields = np.stack([other.crop(0, 0, *size).grey for other in others])
    found = nearest_training(training, fields, places=1)
    for field, matches in zip(fields, found, strict=True):
        best = {}
        for image, picture in enumerate(training):
            for turns, mirrored in SYMMETRIES:
                template = turned_back(field, turns, mirrored)
                if all(a >= b for a, b in zip(picture.size, template.shape, strict=True)):
                    ncc = match_template(picture.grey, template)
                    top, left = np.unravel_index(ncc.argmax(), ncc.shape)
                    best[image, int(top), int(left), turns, mirrored] = float(ncc.max())
        assert tuple(matches[0].crop) == max(best, key=best.__getitem__)
        assert matches[0].ncc == pytest.approx(max(best.values()), abs=1e-6)  # its greys are in single precision


def test_an_offset_does_not_drown_the_structure():
    """Float images far from zero, as CT numbers may be: sums of squares would lose what is sought."""
    random = np.random.default_rng(0)
    image = 1e4 + random.standard_normal((200, 200)).cumsum(axis=0).cumsum(axis=1) / 50
    training = Pictures([Picture(image[None].astype(np.float32), (1.0, 1.0), Origin("s"))])
    crop = training[0].crop(101, 37, 48, 48)
    ((match, *_),) = nearest_training(training, crop.grey[None], places=2)
    assert tuple(match.crop) == (0, 101, 37, 0, False)
    assert match.residual < 1e-4


@pytest.mark.parametrize(("hits", "n"), [(0, 60), (1, 60), (30, 60), (59, 60), (60, 60), (0, 1), (3, 256)])
def test_exact_share(hits, n):
    share = exact_share(np.arange(n) < hits)
    interval = binomtest(hits, n).proportion_ci(0.95, "exact")
    assert (share.value, share.hits, share.n) == (hits / n, hits, n)
    assert (share.low, share.high) == pytest.approx((interval.low, interval.high), abs=1e-9)
