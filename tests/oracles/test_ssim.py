"""SSIM and MS-SSIM against scikit-image and torchmetrics."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from skimage.metrics import structural_similarity

from morphogen.evaluation.similarities.ms_ssim import ms_ssim
from morphogen.evaluation.similarities.ssim import ssim


def pair(
    height: int, width: int, channels: int, grey: float, noise: float = 0.05
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Smooth random images on a range of ``grey`` levels, and noisy copies."""
    rng = np.random.default_rng(0)
    smooth = gaussian_filter(rng.normal(size=(3, channels, height, width)), (0, 0, 2, 2))
    x = 0.5 * grey + 0.2 * grey * smooth / smooth.std()
    return x, x + noise * grey * rng.normal(size=x.shape)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("grey", [1.0, 255.0, 65535.0])
def test_ssim_agrees_with_scikit_image(channels: int, grey: float) -> None:
    x, y = pair(48, 37, channels, grey)
    expected = [
        structural_similarity(
            a,
            b,
            data_range=grey,
            channel_axis=0,
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
        )
        for a, b in zip(x, y, strict=True)
    ]
    assert 0.2 < min(expected) < max(expected) < 0.95
    np.testing.assert_allclose(ssim(x, y, grey), expected, rtol=1e-9)


def test_ssim_agrees_with_torchmetrics_inside_the_border() -> None:
    """Its mean counts windows that hang over the mirrored border; its map agrees where they do not."""
    image = pytest.importorskip("torchmetrics.functional.image")
    x, y = pair(64, 50, 1, 255.0)
    _, maps = image.structural_similarity_index_measure(
        torch.from_numpy(x), torch.from_numpy(y), data_range=255.0, reduction="none", return_full_image=True
    )
    expected = maps[..., 5:-5, 5:-5].mean(dim=(1, 2, 3)).numpy()
    np.testing.assert_allclose(ssim(x, y, 255.0), expected, rtol=1e-6)


@pytest.mark.parametrize("width", [256, 245])  # an odd width loses a column in halving
def test_ms_ssim_agrees_with_torchmetrics_at_five_scales(width: int) -> None:
    """Up to the windows over the border, which torchmetrics counts at the coarsest scale."""
    image = pytest.importorskip("torchmetrics.functional.image")
    x, y = pair(256, width, 1, 255.0, noise=0.2)
    expected = image.multiscale_structural_similarity_index_measure(
        torch.from_numpy(x), torch.from_numpy(y), data_range=255.0, reduction="none"
    ).numpy()
    assert 0.5 < expected.min() < expected.max() < 0.95
    np.testing.assert_allclose(ms_ssim(x, y, 255.0, scales=5), expected, rtol=0.005)


@pytest.mark.parametrize(("height", "width", "scales"), [(128, 100, 4), (64, 64, 3), (45, 64, 2)])
def test_ms_ssim_with_fewer_scales_is_the_product_of_torchmetrics_parts(height: int, width: int, scales: int) -> None:
    image = pytest.importorskip("torchmetrics.functional.image")
    x, y = pair(height, width, 1, 255.0, noise=0.2)
    a, b = torch.from_numpy(x), torch.from_numpy(y)
    options = {"data_range": 255.0, "reduction": "none"}
    *weights, last = (0.0448, 0.2856, 0.3001, 0.2363)[:scales]
    expected, total = 1.0, sum(weights) + last
    for weight in weights:
        _, cs = image.structural_similarity_index_measure(a, b, return_contrast_sensitivity=True, **options)
        expected = expected * cs ** (weight / total)
        a, b = (torch.nn.functional.avg_pool2d(t, 2) for t in (a, b))
    _, maps = image.structural_similarity_index_measure(a, b, return_full_image=True, **options)
    expected = expected * maps[..., 5:-5, 5:-5].mean(dim=(1, 2, 3)) ** (last / total)
    np.testing.assert_allclose(ms_ssim(x, y, 255.0, scales), expected.numpy(), rtol=1e-6)


def test_ms_ssim_with_one_scale_is_ssim() -> None:
    x, y = pair(20, 30, 3, 255.0)
    np.testing.assert_allclose(ms_ssim(x, y, 255.0, scales=1), ssim_of_channels(x, y), rtol=1e-12)


def test_ms_ssim_of_unrelated_images_is_a_number() -> None:
    """A negative mean of cs would give NaN under a power; it counts as 0."""
    x, _ = pair(64, 64, 1, 255.0)
    values = ms_ssim(x, 255.0 - x, 255.0, scales=3)
    np.testing.assert_array_equal(values, 0.0)


def ssim_of_channels(x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
    each = [ssim(x[:, c : c + 1], y[:, c : c + 1], 255.0) for c in range(x.shape[1])]
    return np.mean(each, axis=0)
