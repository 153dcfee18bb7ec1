"""Copies of training images are caught, and held-out measured images are not taken for copies."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter, shift
from scipy.stats import binom

from morphogen.evaluation.feature_table import FeatureTable
from morphogen.evaluation.fields import fields
from morphogen.evaluation.memorisation import (
    matched_crop,
    memorisation,
    memorisations,
    planted_copies,
    tail_threshold,
)
from morphogen.evaluation.nearest_training import nearest_training, turned
from morphogen.images.image_set import Pictures
from morphogen.images.picture import Origin, Picture
from morphogen.phantoms.phantom import image_set, phantoms
from morphogen.problems import Problem

SIZE = (64, 64)


@cache
def specimens(kind, count, size, seed, **more):
    return image_set(phantoms(kind, count=count, size=(size, size), seed=seed, **more))


def training_images(kind, count=10):
    return Pictures(list(specimens(kind, 10, 128, seed=1))[:count])


def held_out_fields(kind, count, size=SIZE):
    return fields(specimens(kind, 10, 256, seed=2), size, count)


def fresh_fields(kind, count, size=SIZE):
    return fields(specimens(kind, 5, 256, seed=3), size, count)


def copies(training, count, seed, alter=lambda grey, random: grey, size=SIZE, whole=True):
    """Crops of the training images at any place, turned in any way, then altered; 8 bit again if they were."""
    random = np.random.default_rng(seed)
    made = []
    for k in range(count):
        picture = training[k % len(training)]
        (rows, columns), (height, width) = picture.size, size
        pixels = picture.pixels
        if not whole:  # between the pixels, by linear interpolation
            pixels = shift(pixels.astype(np.float64), (0, 0.5, 0.5), order=1, mode="nearest")
        top, left = random.integers(rows - height + 1), random.integers(columns - width + 1)
        crop = turned(pixels[:, top : top + height, left : left + width], random.integers(4), bool(random.integers(2)))
        altered = np.clip(np.rint(alter(crop.astype(np.float64), random)), 0, 255).astype(picture.pixels.dtype)
        made.append(replace(picture, pixels=altered, mask=None))
    return Pictures(made, "copies")


def noisy(grey, random):
    return grey + random.normal(scale=255 * random.uniform(0.02, 0.05), size=grey.shape)


def brighter(grey, random):
    return random.uniform(0.85, 1.15) * grey + random.uniform(-15, 15)


@pytest.mark.parametrize("kind", ["rock", "fiber", "root"])
def test_planted_copies_are_caught_and_held_out_fields_are_not(kind):
    training = training_images(kind, 10)
    held_out = held_out_fields(kind, 120)
    exact = copies(training, 20, 0)
    found = memorisations(
        training=training,
        held_out=held_out,
        generated={
            "exact": exact,
            "noisy": copies(training, 20, 1, noisy),
            "brighter": copies(training, 20, 2, brighter),
            "half a pixel": copies(training, 20, 3, whole=False),
            "fresh": fresh_fields(kind, 60),
        },
        planted=20,
        pairs=20,
    )
    *of_copies, fresh = (of_set.pixels for of_set in found)
    for of_set in of_copies:
        assert of_set.copies.value == 1.0
        assert of_set.more_than_chance
        assert of_set.caught.value == 1.0
        assert of_set.median_ratio.high < 0.6
    # More than so many would be found 1 time in 1000, were the rate the 1 % that is asked for.
    assert fresh.false_alarms.hits <= binom.ppf(0.999, 120, 0.01)
    assert fresh.copies.hits <= binom.ppf(0.999, 60, 0.01)
    assert not fresh.more_than_chance
    assert 0.97 < fresh.median_ratio.value < 1.03
    # An exact copy is found at its very place, or at another that shows the same.
    for pair in found[0].pairs:
        assert (matched_crop(training, pair, SIZE).pixels == exact[pair.field].pixels).all()
        assert pair.residual < 1e-5


def test_a_share_of_copies_is_measured():
    """A generator that copies now and then: the interval of the share holds the truth, and its pairs lead the list."""
    training = training_images("rock", 6)
    fresh, stolen = fresh_fields("rock", 90, (48, 48)), copies(training, 10, 0, noisy, (48, 48))
    mixed = [*fresh, *stolen]  # the last 10 of 100
    order = np.random.default_rng(0).permutation(100)
    found = memorisation(
        training=training,
        held_out=held_out_fields("rock", 120, (48, 48)),
        generated=Pictures(mixed[k] for k in order),
        pairs=10,
        planted=10,
    )
    assert found.pixels.copies.low < 0.1 < found.pixels.copies.high
    assert 10 <= found.pixels.copies.hits <= 12
    assert found.pixels.more_than_chance
    assert {order[pair.field] for pair in found.pairs} == set(range(90, 100))
    assert all(pair.relative_distance > 0.6 for pair in found.held_out_pairs)


def test_leaning_on_training_images_and_smoothness():
    """Half a training crop, half something new, is nearer than measured fields; smooth fields are not copies."""
    training = training_images("fiber", 8)
    fresh, other = fresh_fields("fiber", 60), copies(training, 60, 0)
    mean = [replace(f, pixels=(f.pixels // 2 + c.pixels // 2)) for f, c in zip(fresh, other, strict=True)]
    smooth = [replace(f, pixels=gaussian_filter(f.pixels, (0, 1.5, 1.5))) for f in fresh]
    leaning, blurred = memorisations(
        training=training,
        held_out=held_out_fields("fiber", 100),
        generated={"leaning": Pictures(mean), "smooth": Pictures(smooth)},
        planted=0,
    )
    assert leaning.pixels.median_ratio.high < 0.9
    assert blurred.pixels.copies.value <= 0.05
    assert blurred.pixels.median_ratio.low > 0.95
    assert leaning.pixels.caught is None


@pytest.mark.parametrize("kind", ["rock", "root"])
@pytest.mark.parametrize(("binning", "size"), [(2, (64, 64)), (4, (64, 64)), (2, (40, 56))])
def test_search_at_a_coarser_resolution_loses_no_copy(kind, binning, size):
    training = training_images(kind, 4)
    planted = np.stack([p.grey for p in planted_copies(training, size, 24, seed=5)])
    full, coarse = (nearest_training(training, planted, places=3, binning=b) for b in (1, binning))
    assert [matches[0].crop for matches in coarse] == [matches[0].crop for matches in full]
    assert max(matches[0].residual for matches in coarse) < 0.7


def test_search_at_a_coarser_resolution_finds_noise_between_its_pixels():
    """The hardest case: of white noise, averages over other squares share a quarter at worst."""
    random = np.random.default_rng(0)
    training = Pictures([Picture(random.integers(0, 256, (1, 300, 300), np.uint8), (1.0, 1.0), Origin("s"))])
    crops = [training[0].crop(int(t), int(x), 64, 64) for t, x in 2 * random.integers(0, 118, (16, 2)) + 1]
    found = nearest_training(training, np.stack([crop.grey for crop in crops]), places=2, binning=2)
    assert [matches[0].crop[1:3] for matches in found] == [crop.origin.region[:2] for crop in crops]
    assert max(matches[0].residual for matches in found) < 1e-5


@pytest.mark.parametrize("times", [3, 12])
def test_copies_of_training_images_that_are_there_several_times(times):
    once = training_images("rock", 2)
    found = memorisation(
        training=Pictures(list(once) * times),
        held_out=held_out_fields("rock", 40),
        generated=copies(once, 20, 0),
        planted=0,
    )
    assert found.pixels.copies.value == 1.0


@pytest.mark.parametrize(("dtype", "channels"), [("uint16", 1), ("float32", 1), ("uint8", 3)])
def test_all_kinds_of_pixels(dtype, channels):
    def converted(images):
        for picture in images:
            pixels = picture.pixels.repeat(channels, axis=0).astype(np.float64)
            if channels == 3:
                pixels *= np.array([0.9, 0.7, 0.4])[:, None, None]
            scale = {"uint8": 1, "uint16": 200, "float32": 1e-3}[dtype]
            yield replace(picture, pixels=(pixels * scale).astype(dtype), mask=None)

    training = Pictures(converted(training_images("root", 6)))
    found = memorisation(
        training=training,
        held_out=Pictures(converted(held_out_fields("root", 60))),
        generated=planted_copies(training, SIZE, 30, seed=7),
        planted=0,
    )
    assert found.pixels.copies.value == 1.0
    assert found.pixels.false_alarms.hits <= binom.ppf(0.999, 60, 0.01)


def test_fields_without_contrast_are_left_out_and_counted():
    training = training_images("rock", 4)
    held_out = held_out_fields("rock", 40)
    blank = replace(held_out[0], pixels=np.full_like(held_out[0].pixels, 90), mask=None)
    mixed, nothing = memorisations(
        training=training,
        held_out=held_out,
        generated={"mixed": Pictures([blank, blank, *copies(training, 6, 0)]), "nothing": Pictures([blank] * 8)},
        planted=0,
    )
    assert (mixed.pixels.copies.hits, mixed.pixels.copies.n) == (6, 6)
    assert {pair.field for pair in mixed.pairs} == set(range(2, 8))
    assert "2 of 8 generated fields" in mixed.notes[0]
    assert nothing.pixels is None
    assert nothing.invalid == "no field of 'nothing' has contrast"
    assert nothing.pairs == ()


def test_copies_in_a_space_of_features():
    random = np.random.default_rng(0)
    training = training_images("rock", 1)
    held_out = held_out_fields("rock", 100, (32, 32))
    generated = fresh_fields("rock", 100, (32, 32))

    def table(values, images, seen="numbers"):
        return FeatureTable(seen, seen, images.fingerprint, values, ("s",) * len(values))

    seen = random.normal(size=(400, 20))
    learned_by_heart = seen[:100] + 0.05 * random.normal(size=(100, 20))
    for values, least, most in ((learned_by_heart, 0.99, 1.0), (random.normal(size=(100, 20)), 0.0, 0.05)):
        found = memorisation(
            training=training,
            held_out=held_out,
            generated=generated,
            training_features=table(seen, training),
            held_out_features=table(random.normal(size=(100, 20)), held_out),
            generated_features=table(values, generated),
            planted=0,
        )
        assert least <= found.features.copies.value <= most
        assert found.features.false_alarms.value <= 0.05
        assert found.features.more_than_chance == (least > 0)
    with pytest.raises(Problem, match="features are given for some of the sets only"):
        memorisation(training=training, held_out=held_out, generated=generated, training_features=table(seen, training))


@pytest.mark.parametrize("count", [16, 64, 256])
def test_threshold_keeps_its_rate_of_false_alarms(count):
    """At most 1 % on average over samples of any of these shapes, and not by never raising an alarm."""
    random = np.random.default_rng(count)
    shapes = {
        "normal": lambda n: random.normal(size=n),
        "skewed to the left": lambda n: -random.gumbel(size=n),
        "skewed to the right": lambda n: random.gumbel(size=n),
        "heavy": lambda n: random.standard_t(4, size=n),
        "two kinds": lambda n: random.normal(size=n) - 3 * (random.random(n) < 0.05),
    }
    for draw in shapes.values():
        population = np.sort(draw(100_000))
        thresholds = [tail_threshold(draw(count)) for _ in range(400)]
        rate = np.searchsorted(population, thresholds).mean() / 100_000
        assert (0.001 if count > 16 else 0.0) < rate < 0.011  # a standard error of the mean of 400 is below 0.001


def test_same_seed_same_record():
    training = training_images("rock", 3)
    sets = {
        "training": training,
        "held_out": held_out_fields("rock", 20),
        "generated": fresh_fields("rock", 10),
    }
    first, second, other = (memorisation(**sets, planted=8, seed=seed) for seed in (1, 1, 2))
    assert first == second
    assert type(first).model_validate_json(first.model_dump_json()) == first
    assert other.pixels.median_ratio != first.pixels.median_ratio
    assert other.pixels.generated == first.pixels.generated


def test_bad_input():
    training = training_images("rock", 3)
    held_out = held_out_fields("rock", 20)

    def refused(says, **changed):
        given = {"training": training, "held_out": held_out, "generated": held_out, **changed}
        with pytest.raises(Problem, match=says) as caught:
            memorisation(**given, planted=0)
        assert "\n" not in str(caught.value)

    refused("smaller than the crop", training=specimens("rock", 9, 48, seed=1))
    refused("only 3 places for fields", training=specimens("rock", 3, 64, seed=1))
    refused("12 held-out fields are too few", held_out=Pictures(list(held_out)[:12]))
    refused(r"'generated' fields are not \(64, 64\)", generated=fields(held_out, (32, 32), 20))
    refused("uint16 with 1 channels", generated=specimens("rock", 2, 64, seed=3, dtype="uint16"))
    refused("20 of 20 held-out fields are in the training images", training=Pictures(held_out))
    one_level = replace(training[0], pixels=np.zeros((1, 300, 300), np.uint8), mask=None)
    refused("have one grey level", training=Pictures([one_level]))
