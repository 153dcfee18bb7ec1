"""Projections and reconstructions against scikit-image's."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from skimage.transform import iradon, radon

from morphogen.mathematics.parallel_beam import ParallelBeam
from morphogen.mathematics.randomness import numpy_generator

SIZE, ANGLES = 65, 90


@pytest.fixture(scope="module")
def image() -> np.ndarray:
    y, x = np.indices((SIZE, SIZE)) - SIZE // 2
    grains = gaussian_filter((numpy_generator(0).uniform(size=(SIZE, SIZE)) > 0.7).astype(float), 1.5)
    return np.where(np.hypot(y, x) < 30, grains, 0.0)


def test_projections_are_those_of_radon(image: np.ndarray) -> None:
    theirs = radon(image[::-1], theta=np.arange(ANGLES) * 180 / ANGLES, circle=True).T  # y points up there
    ours = ParallelBeam((SIZE, SIZE), ANGLES, SIZE).project(image[None])[0]
    assert np.sqrt(((ours - theirs) ** 2).mean()) < 0.002 * np.sqrt((theirs**2).mean())  # they interpolate


def test_reconstructions_are_those_of_iradon(image: np.ndarray) -> None:
    beam = ParallelBeam((SIZE, SIZE), ANGLES, SIZE)
    sinogram = beam.project(image[None])
    y, x = np.indices((SIZE, SIZE)) - SIZE // 2
    for smoothing, name in ((0.0, "ramp"), (1.0, "hann")):
        theirs = iradon(sinogram[0].T.astype(float), theta=np.arange(ANGLES) * 180 / ANGLES, filter_name=name)[::-1]
        ours = beam.reconstruct(sinogram, smoothing)[0]
        within = np.hypot(y, x) < 28
        assert np.abs(ours - theirs)[within].max() < 0.01 * image.max()
