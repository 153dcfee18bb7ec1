"""What is done to an image in front of a discriminator is known exactly."""

import math

import numpy as np
import pytest
import torch
from scipy.stats import binom
from torch import Tensor

from morphogen.mathematics.augmentation import BRIGHTNESS, CONTRAST, SHIFT, TRANSFORMS, augment
from morphogen.mathematics.randomness import Randomness
from morphogen.specimens.specimen import AUGMENTATIONS

EVERYTHING = frozenset(TRANSFORMS)


def streams(count: int, seed: int = 0, first: int = 0) -> Randomness:
    return Randomness.of_images(seed, first, count)


def numbered(count: int, channels: int = 1, size: tuple[int, int] = (16, 16)) -> Tensor:
    """Images in which every pixel has a value of its own, which says where it came from."""
    pixels = torch.arange(float(channels * size[0] * size[1])).view(1, channels, *size)
    return pixels.expand(count, -1, -1, -1).contiguous()


def test_the_transforms_are_those_that_a_specimen_can_allow():
    assert TRANSFORMS == AUGMENTATIONS
    with pytest.raises(ValueError, match="no augmentation colour"):
        augment(numbered(1), streams(1), 0.5, frozenset({"colour"}))
    with pytest.raises(ValueError, match="2 streams for 3 images"):
        augment(numbered(3), streams(2), 0.5, EVERYTHING)


@pytest.mark.parametrize("size", [(16, 16), (12, 20)])
def test_nothing_happens_with_probability_zero_or_where_nothing_is_allowed(size):
    x = torch.randn(32, 2, *size)
    assert torch.equal(augment(x, streams(32), 0.0, EVERYTHING), x)
    assert torch.equal(augment(x, streams(32), 1.0, frozenset()), x)


def test_what_is_drawn_afterwards_does_not_depend_on_what_happened():
    following = []
    for probability, allowed in ((0.0, EVERYTHING), (1.0, EVERYTHING), (0.5, {"rotation"}), (0.7, frozenset())):
        randomness = streams(4)
        augment(numbered(4), randomness, probability, frozenset(allowed))
        following.append(randomness.normal(3))
    assert all(torch.equal(following[0], other) for other in following[1:])


def test_a_transform_does_not_depend_on_what_else_is_allowed():
    x = numbered(64)
    alone = augment(x, streams(64), 0.6, frozenset({"flip_horizontal"}))
    with_light = augment(x, streams(64), 0.6, frozenset({"flip_horizontal", "brightness"}))
    light = (with_light - alone).flatten(1)
    torch.testing.assert_close(light, light[:, :1].expand_as(light), atol=1e-4, rtol=0)  # one number an image
    assert not torch.equal(alone, x)
    assert light.any()


def _alternatives(name: str, x: Tensor) -> list[Tensor]:
    """Everything that a transform without interpolation can make of an image ``(C, H, W)``, the image first."""
    if name == "flip_horizontal":
        return [x, x.flip(2)]
    if name == "flip_vertical":
        return [x, x.flip(1)]
    return [x.rot90(k, (1, 2)) for k in range(0, 4, 1 if x.shape[1] == x.shape[2] else 2)]


@pytest.mark.parametrize("size", [(16, 16), (12, 20)])
@pytest.mark.parametrize("name", ["flip_horizontal", "flip_vertical", "quarter_turn"])
@pytest.mark.parametrize("probability", [0.35, 1.0])
def test_symmetries_are_exact_and_as_frequent_as_asked(name, size, probability):
    n = 2000
    found = augment(numbered(n, 2, size), streams(n), probability, frozenset({name}))
    alternatives = _alternatives(name, numbered(1, 2, size)[0])
    counts = [int((found == a).flatten(1).all(1).sum()) for a in alternatives]
    assert sum(counts) == n  # each image is one of them, pixel for pixel
    for other in counts[1:]:
        share = probability / len(alternatives)
        assert binom.ppf(1e-4, n, share) <= other <= binom.ppf(1 - 1e-4, n, share)


def test_symmetries_together_are_the_one_after_the_other():
    both = frozenset({"flip_horizontal", "flip_vertical", "quarter_turn"})
    x, n = numbered(1)[0], 400
    found = augment(numbered(n), streams(n), 0.8, both)
    alone = [augment(numbered(n), streams(n), 0.8, frozenset({name})) for name in TRANSFORMS[:3]]
    for k in range(n):
        expected = x.flip(2) if not torch.equal(alone[0][k], x) else x
        expected = expected.flip(1) if not torch.equal(alone[1][k], x) else expected
        turns = next(t for t in range(4) if torch.equal(alone[2][k], x.rot90(t, (1, 2))))
        assert torch.equal(found[k], expected.rot90(turns, (1, 2)))


@pytest.mark.parametrize("size", [(16, 16), (16, 40)])
def test_shifts_are_whole_pixels_with_reflected_borders(size):
    n, x = 600, numbered(1, 1, size)[0, 0].numpy()
    found = augment(numbered(n, 1, size), streams(n), 1.0, frozenset({"shift"}))[:, 0].numpy()
    most = [round(SHIFT * side) for side in size]
    padded = np.pad(x, [(m, m) for m in most], mode="symmetric")
    seen = {}
    for image in found:
        match = [
            (dy, dx)
            for dy in range(2 * most[0] + 1)
            for dx in range(2 * most[1] + 1)
            if np.array_equal(image, padded[dy : dy + size[0], dx : dx + size[1]])
        ]
        assert len(match) == 1
        seen[match[0]] = seen.get(match[0], 0) + 1
    assert len(seen) == np.prod([2 * m + 1 for m in most])  # all shifts occur
    assert set(np.unique(found)) <= set(np.unique(x))


def test_frequency_of_shift_rotation_and_lighting():
    n, probability = 1500, 0.3
    for name, share in (("shift", 1 - 1 / 17**2), ("rotation", 1.0), ("brightness", 1.0), ("contrast", 1.0)):
        x = torch.randn(1, 1, 64, 64).expand(n, -1, -1, -1)
        changed = int((augment(x, streams(n), probability, frozenset({name})) != x).flatten(1).any(1).sum())
        # A shift by 0 pixels changes nothing; half a pixel at either end of U(-8, 8) rounds to 8.
        tolerance = 0.01 if name == "shift" else 0.0
        assert binom.ppf(1e-4, n, probability * (share - tolerance)) <= changed <= binom.ppf(1 - 1e-4, n, probability)


def test_a_rotated_wave_is_the_wave_at_rotated_places():
    size, n = 64, 24
    across = torch.linspace(-1, 1, size + 1)[:-1] + 1 / size  # centres of the pixels
    row, column = torch.meshgrid(across, across, indexing="ij")

    def wave(u: Tensor, v: Tensor) -> Tensor:
        return torch.sin(5 * u + 1) * torch.cos(3 * v) + 0.5 * u

    x = wave(column, row)[None, None].expand(n, -1, -1, -1)
    found = augment(x, streams(n), 1.0, frozenset({"rotation"}))[:, 0]
    inside = row.square() + column.square() < 0.95**2
    angles = torch.linspace(-math.pi, math.pi, 1441)
    turned = torch.stack([wave(a.cos() * column - a.sin() * row, a.sin() * column + a.cos() * row) for a in angles])[
        :, inside
    ]  # counter-clockwise with rows downwards
    best = []
    for image in found:
        worst = (turned - image[inside]).abs().amax(1)
        best.append(int(worst.argmin()))
        assert worst.min() < 0.015  # the slope is at most 5.4, and the angles are a quarter degree apart
    assert np.ptp(angles[best].numpy()) > math.pi  # and they are not all one angle


def test_a_rotation_of_a_rectangle_keeps_lengths():
    rows, columns = 48, 80
    row, column = torch.meshgrid(torch.arange(rows) - 23.5, torch.arange(columns) - 39.5, indexing="ij")
    disc = 1 - (row.square() + column.square()) / 100  # the same whichever way it is turned
    x = disc[None, None].expand(16, -1, -1, -1)
    found = augment(x, streams(16), 1.0, frozenset({"rotation"}))
    near = row.square() + column.square() < 13**2
    assert (found - x)[:, 0, near].abs().max() < 0.03  # a tenth of a pixel on the slope, by the interpolation alone
    assert not torch.equal(found, x)


def test_light_changes_as_the_paper_says_and_leaves_the_mask_alone():
    n = 4000
    x = torch.tensor([0.5, -0.25, 1.0]).view(1, 3, 1, 1).expand(n, -1, 2, 2)
    bright = augment(x, streams(n), 1.0, frozenset({"brightness"}), mask_channels=1)
    added = (bright - x)[:, :2]
    torch.testing.assert_close(added, added[:, :1, :1, :1].expand_as(added))  # all channels and pixels alike
    assert added[:, 0, 0, 0].std().item() == pytest.approx(BRIGHTNESS, rel=0.06)
    contrast = augment(x, streams(n), 1.0, frozenset({"contrast"}), mask_channels=1)
    factor = (contrast / x)[:, :2]
    torch.testing.assert_close(factor, factor[:, :1, :1, :1].expand_as(factor))
    assert factor[:, 0, 0, 0].log2().std().item() == pytest.approx(CONTRAST, rel=0.06)
    assert factor[:, 0, 0, 0].log2().mean().abs() < 0.03
    for changed in (bright, contrast):
        assert torch.equal(changed[:, 2], x[:, 2])
    both = augment(x, streams(n), 1.0, frozenset({"brightness", "contrast"}))
    torch.testing.assert_close(both[:, 0], (bright * factor[:, :1])[:, 0])  # brightness comes first
    assert not torch.equal(both[:, 2], x[:, 2])


def test_a_mask_moves_with_its_image():
    image = torch.randn(32, 1, 24, 24)
    found = augment(torch.cat([image, image], dim=1), streams(32), 0.8, EVERYTHING - {"brightness", "contrast"}, 1)
    assert torch.equal(found[:, 0], found[:, 1])


def test_what_happens_to_an_image_does_not_depend_on_its_batch():
    x = torch.randn(12, 2, 20, 20)
    together = augment(x, streams(12), torch.tensor(0.7), EVERYTHING, 1)
    for k in range(12):
        assert torch.equal(augment(x[k : k + 1], streams(1, first=k), 0.7, EVERYTHING, 1)[0], together[k])


@pytest.mark.parametrize("size", [(6, 6), (5, 8)])
def test_gradients_are_those_of_finite_differences(size):
    x = torch.randn(3, 2, *size, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda y: augment(y, streams(3, seed=4), 0.9, EVERYTHING, 1), x)


def test_images_at_the_grey_levels_stay_at_them_unless_they_are_interpolated_or_lit():
    x = torch.randint(0, 5, (64, 1, 16, 16)).float()
    exact = EVERYTHING - {"rotation", "brightness", "contrast"}
    assert set(augment(x, streams(64), 0.9, exact).unique().tolist()) <= set(range(5))
    symmetries = augment(x, streams(64), 0.9, exact - {"shift"})
    assert torch.equal(symmetries.flatten(1).sort(1).values, x.flatten(1).sort(1).values)
