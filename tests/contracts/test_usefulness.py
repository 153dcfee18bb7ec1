"""What the measure of usefulness refuses, and what it promises whatever it is given."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.spatial import distance
from torch import nn

from morphogen.images.cropping import RandomCrops
from morphogen.images.image_set import Pictures
from morphogen.images.intensity import IntensityMap
from morphogen.images.picture import TRAINED_ON, Origin, Picture
from morphogen.mathematics.randomness import Randomness
from morphogen.methods.method import Batch
from morphogen.problems import Problem
from morphogen.usefulness import usefulness as module
from morphogen.usefulness.segmentation_network import SegmentationNetwork, Settings
from morphogen.usefulness.usefulness import usefulness

TINY = Settings(channels=(8, 8, 8), batch_size=4)


def striped(names: str, seed: int = 0, size: tuple[int, int] = (24, 24), scale: float = 1.0) -> Pictures:
    """One noisy picture a letter, with a bright stripe that its mask knows; the letter names the specimen."""
    random = np.random.default_rng(seed)
    pictures = []
    for number, name in enumerate(names):
        mask = np.zeros(size, dtype=bool)
        mask[:, 4 + number % 3 : 12] = True
        pixels = (scale * (60 + 50 * mask + random.normal(0, 25, size))).clip(0, 255).astype(np.uint8)
        pictures.append(Picture(pixels[None], (2.0, 2.0), Origin(name, f"{name}{number}.png"), mask=mask))
    return Pictures(pictures)


def found(**changes):
    given = {
        "training": striped("abc"),
        "generated": {"gan": striped("xy", seed=1)},
        "test": striped("deed", seed=2),
        "crop": (16, 20),
        "images_seen": 24,
        "seeds": 2,
        "settings": TINY,
        "resamples": 200,
        "cpu": True,
    }
    return usefulness(**given | changes)


def changed(images: Pictures, number: int, **changes) -> Pictures:
    pictures = list(images)
    pictures[number] = replace(pictures[number], **changes)
    return Pictures(pictures)


@pytest.mark.parametrize("role", ["training", "generated", "test"])
def test_an_image_without_mask_is_refused_by_its_name(role):
    with pytest.raises(Problem, match=r"e1\.png has no mask"):
        found(**{role: changed(striped("fe"), 1, mask=None)})


def test_a_specimen_that_was_trained_on_is_no_test():
    with pytest.raises(Problem, match="c is both in the training and in the test images: split by specimen"):
        found(test=striped("dc"))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"generated": striped("x", size=(24, 18))}, r"x0.png is 24 x 18, smaller than the crop 16 x 20"),
        ({"crop": (8, 8)}, "crop of 8 x 8 is too small"),
        ({"generated": changed(striped("x"), 0, spacing_um=(3.0, 3.0))}, "pixel sizes differ"),
        (
            {"test": Pictures([replace(p, pixels=p.pixels.repeat(3, 0)) for p in striped("d")])},
            "number of channels of d0",
        ),
        ({"test": Pictures([replace(p, pixels=p.pixels.astype("uint16")) for p in striped("d")])}, "pixel type of d0"),
        ({"test": changed(striped("d"), 0, mask=np.zeros((24, 24), bool))}, "test images show one phase only"),
        ({"images_seen": 0}, "the plan: 'images' is 0: it should be"),
        ({"seeds": 1}, "cannot be told from one seed"),
        ({"generated": {"measured": striped("x")}}, "'measured' is the name of another row"),
        ({"generated": {"gan": striped("abc")}}, "'gan' holds the measured training images"),
        (
            {"generated": changed(striped("x"), 0, labels={TRAINED_ON: striped("deed", seed=2).fingerprint})},
            "method of 'generated' has been trained on the test images",
        ),
    ],
)
def test_what_would_mislead_is_refused(wrong, message):
    with pytest.raises(Problem, match=message):
        found(**wrong)


def test_the_same_seed_gives_the_same_figures_and_another_seed_others():
    first = found()
    torch.manual_seed(99)
    assert found() == first
    other = found(seed=10)
    assert [row.dice for row in other.rows[1:]] != [row.dice for row in first.rows[1:]]
    assert other.rows[0].dice.value == first.rows[0].dice.value  # nothing is trained there


def test_the_grey_range_is_that_of_the_measured_images_and_no_row_depends_on_another():
    plain, bright = found(), found(generated={"gan": striped("xy", seed=1, scale=1.5)})
    measured = IntensityMap.of(striped("abc"), clip_percent=0.5)
    assert bright.grey_range == (measured.low, measured.high)
    assert bright.rows[:2] == plain.rows[:2]
    assert bright.rows[2].dice != plain.rows[2].dice


def test_rows_start_alike_and_both_means_every_other_crop(monkeypatch):
    """Same weights and same number of crops for all; measured crops in the order that the row "measured" has."""
    starts = []

    def no_fit(network, crops, plan, state, accelerator):
        starts.append((network.unet.logit.weight.detach().clone(), crops(2, 6).images, plan))
        return iter(())

    monkeypatch.setattr(module, "fit", no_fit)
    found(symmetries=frozenset({"flip_horizontal"}))
    (weights, measured, plan), (_, generated, _), (_, both, _) = starts[:6:2]
    for other, _, with_plan in starts[:6:2]:
        assert torch.equal(other, weights)
        assert with_plan == plan
    assert not torch.equal(starts[1][0], weights)
    intensity = IntensityMap.of(striped("abc"), clip_percent=0.5)
    sources = [
        RandomCrops(images, (16, 20), intensity, frozenset({"flip_horizontal"}), 0, with_masks=True)
        for images in (striped("abc"), striped("xy", seed=1))
    ]

    def of(source, *numbers):  # every crop shows the phase, so the first of eight tries is taken
        return torch.cat([source(8 * number, 1) for number in numbers])

    assert torch.equal(measured, of(sources[0], 2, 3, 4, 5, 6, 7))
    assert torch.equal(generated, of(sources[1], 2, 3, 4, 5, 6, 7))
    assert torch.equal(both[0::2], of(sources[0], 1, 2, 3))
    assert torch.equal(both[1::2], of(sources[1], 1, 2, 3))


def test_every_other_crop_shows_a_rare_phase(monkeypatch):
    """12 of 41 places show it, 29 %, and one of eight tries does in 94 %; 100 crops each, within 3 deviations."""
    seen = []
    monkeypatch.setattr(module, "fit", lambda network, crops, *_: iter(seen.append(crops(0, 200).images) or ()))
    found(training=striped("abc", size=(16, 60)), generated={})
    shows = (seen[0][:, -1] > 0).flatten(1).any(1)
    assert 0.15 < shows[0::2].float().mean() < 0.43
    assert shows[1::2].float().mean() > 0.86


def test_dice_and_iou_are_those_of_scipy_over_all_pixels_of_a_specimen():
    shown: dict[str, Pictures] = {}
    result = found(on_predictions=lambda name, images: shown.update({name: images}))
    assert [row.trained_on for row in result.rows] == list(shown) == ["nothing", "measured", "gan", "measured + gan"]
    test = striped("deed", seed=2)
    truths, guesses = (
        [np.concatenate([p.mask.ravel() for p in images if p.origin.specimen == s]) for s in "de"]
        for images in (test, shown["nothing"])
    )
    for name, dissimilarity in (("dice", distance.dice), ("iou", distance.jaccard)):
        expected = np.mean([1 - dissimilarity(t, g) for t, g in zip(truths, guesses, strict=True)])
        assert getattr(result.rows[0], name).value == pytest.approx(expected, abs=1e-12)
    for row in result.rows:
        assert (row.dice.n_seeds, row.dice.n_specimens) == (0 if row.trained_on == "nothing" else 2, 2)
        assert row.dice.low <= row.dice.value <= row.dice.high
        assert row.iou.value <= row.dice.value
    assert [(row.n_measured, row.n_generated) for row in result.rows] == [(3, 0), (3, 0), (0, 2), (3, 2)]


def test_a_test_specimen_without_the_phase_is_left_out_with_a_note():
    test = changed(striped("dfe", seed=2), 1, mask=np.zeros((24, 24), bool))
    result = found(test=test, generated={})
    assert result.rows[1].dice.n_specimens == 2
    assert result.notes == ("Left out, since the phase is absent there: f.",)


def test_the_interval_of_a_mean_is_that_of_student_where_only_specimens_differ():
    """To 10 %: the bootstrap of 16 values is a little skewed where they are, which Student's interval is not."""
    values = np.random.default_rng(0).normal(0.8, 0.02, 16)[None]
    overlap = module._Bootstrap(2, 16, 20_000, 0).mean(values)
    half = 2.131 * values.std(ddof=1) / 4
    assert overlap.low == pytest.approx(values.mean() - half, abs=0.1 * half)
    assert overlap.high == pytest.approx(values.mean() + half, abs=0.1 * half)


class Seeing(nn.Module):
    """In place of the U-Net: the logit is the grey level."""

    def forward(self, x):
        return x[:, :1]


@pytest.mark.parametrize("size", [(16, 20), (17, 41), (50, 23)])
def test_windows_cover_a_picture_of_any_size_in_register(size):
    network = SegmentationNetwork(TINY, channels=2)
    network.unet = Seeing()
    image = torch.randn(2, *size, generator=torch.Generator().manual_seed(0))
    assert torch.equal(network.segment(image, (16, 20)), image[0] > 0)


def test_the_network_takes_odd_sizes_and_ignores_what_is_padded():
    network = SegmentationNetwork(TINY, channels=1)
    images = torch.rand(4, 2, 17, 22, generator=torch.Generator().manual_seed(0)) * 2 - 1
    padded = nn.functional.pad(images[:, :1], (0, 2, 0, 3), mode="reflect")
    torch.testing.assert_close(network.unet(images[:, :1]), network.unet(padded)[:, :, :17, :22])
    whole, first, second = (
        network.loss("segmentation", Batch(batch), Randomness.of_images(0, 0, len(batch))).total
        for batch in (images, images[:2], images[2:])
    )
    torch.testing.assert_close(whole, (first + second) / 2)
