"""The card says what is in a set, what is there twice, what is wrong with it, and what is sensible."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from morphogen.evaluation.duplicates import content_key, factor_for, near_duplicates, residual_of, small
from morphogen.evaluation.grey_correlation import alike_slices, grey_correlation
from morphogen.evaluation.leaks import Seen, shared_origin
from morphogen.evaluation.memorisation import planted_copies
from morphogen.evaluation.nearest_training import SYMMETRIES, turned
from morphogen.images.folders import write_images
from morphogen.images.image_set import Pictures
from morphogen.images.picture import Origin, Picture
from morphogen.images.splitting import split
from morphogen.phantoms.phantom import image_set, phantoms
from morphogen.report.advice import advice
from morphogen.report.card_page import write_card_page
from morphogen.report.describe import describe, runs, spread


def smooth(seed, size, length):
    """A Gaussian field whose autocovariance is exp(-r^2 / (4 s^2)), with 1/e at ``length``; mean 0, variance 1."""
    field = gaussian_filter(np.random.default_rng(seed).standard_normal(size), length / 2, mode="wrap")
    return (field - field.mean()) / field.std()


def picture(grey, name="a", **origin):
    return Picture(grey.astype(np.float32)[None], (2.0, 2.0), Origin(name, f"{name}.tif", **origin))


@pytest.mark.parametrize("noise", [0.0, 0.5])
def test_the_correlation_length_is_that_of_the_field_whatever_the_noise(noise):
    random = np.random.default_rng(3)
    chis = [
        grey_correlation(smooth(seed, (256, 256), 9.0) + noise * random.standard_normal((256, 256)))
        for seed in range(6)
    ]
    assert np.mean([c.length for c in chis]) == pytest.approx(9.0, rel=0.05)
    # The integral of exp(-r^2 / l^2) over the plane is pi l^2.
    assert np.mean([c.integral_range for c in chis]) == pytest.approx(np.pi * 81, rel=0.2)
    assert grey_correlation(random.standard_normal((64, 64))) is None


def test_slices_that_are_alike_stand_for_one():
    # rho = q^k: 1 + 2 q / (1 - q), cut off where it is below a tenth.
    apart = list(range(1, 40))
    assert alike_slices(apart, [0.5**k for k in apart]) == pytest.approx(1 + 2 * (0.5 + 0.25 + 0.125))
    assert alike_slices(apart, [0.0] * 39) == 1


def test_flipped_and_turned_images_have_one_key_and_others_do_not():
    random = np.random.default_rng(0)
    for dtype in ("uint8", "uint16", "float32"):
        pixels = (random.random((1, 12, 17)) * 255).astype(dtype)
        p = Picture(pixels, (1.0, 1.0), Origin("a"))
        assert len({content_key(replace(p, pixels=turned(pixels, *s))) for s in SYMMETRIES}) == 1
        swapped = pixels.copy()
        swapped[0, 3, 4], swapped[0, 5, 9] = pixels[0, 5, 9], pixels[0, 3, 4]
        assert content_key(replace(p, pixels=swapped)) != content_key(p)


@pytest.mark.parametrize("kind", ["rock", "fiber", "root"])
def test_overlaps_are_found_shifted_turned_and_noisy_and_nothing_else(kind):
    whole = list(image_set(phantoms(kind, count=6, size=(176, 176), seed=5)))
    first = [p.crop(8, 12, 128, 128) for p in whole]
    random = np.random.default_rng(1)
    again = []
    for p in whole[:4]:
        crop = p.crop(8 + int(random.integers(-8, 40)), 12 + int(random.integers(-12, 36)), 128, 128)
        (copy,) = planted_copies(Pictures([crop]), (128, 128), 1, seed=int(random.integers(99)))
        again.append(copy)
    smalls = [small(p, factor_for(128)) for p in [*first, *again]]
    assert near_duplicates(smalls[:6]) == []
    pairs = near_duplicates(smalls)
    assert {(p.first, p.second) for p in pairs} == {(k, 6 + k) for k in range(4)}
    assert all(residual_of(first[p.first], again[p.second - 6], p) < 0.5 for p in pairs)
    # Between two sets only, the second from number 7 on.
    assert {(p.first, p.second) for p in near_duplicates(smalls, between=7)} == {(k, 6 + k) for k in range(1, 4)}


def test_what_two_sets_share():
    def seen(specimen, region=None, slice=None):
        return Seen(Origin(specimen, f"{specimen}.tif", slice, region), (64, 64))

    a, b = (0, 0, 40, 64), (56, 0, 40, 64)
    apart = shared_origin([seen("rock", a)], [seen("rock", b)])
    assert (apart.specimens, apart.smallest_gap) == ((), 16)
    over = shared_origin([seen("rock", a)], [seen("rock", (30, 0, 40, 64))])
    assert (over.specimens, over.overlapping, over.smallest_gap) == (("rock",), ((0, 0),), None)
    assert shared_origin([seen("rock", slice=4)], [seen("rock", slice=6)], alike=3.0).neighbouring == ((0, 0),)
    assert shared_origin([seen("rock", slice=4)], [seen("rock", slice=9)], alike=3.0).specimens == ()
    other_file = Seen(Origin("rock", "second.tif"), (64, 64))
    assert shared_origin([seen("rock")], [other_file]).specimens == ("rock",)
    assert shared_origin([seen("0001")], [seen("0001")]).specimens == ()


@pytest.fixture(scope="module")
def spoilt():
    """Eight specimens; one is there again shifted, one again mirrored, one is empty, one clipped, one has a stripe."""
    whole = [smooth(seed, (180, 180), 6.0) for seed in range(8)]
    grey = [np.clip(128 + 40 * g, 1, 254) for g in whole]
    images = [g[10:138, 10:138] for g in grey]
    images[5] = np.where(np.arange(128)[:, None] < 20, 255, images[5])
    images[6] = images[6].copy()
    images[6][:, 70] += 20
    images += [grey[0][30:158, 25:153], images[1][:, ::-1], np.full((128, 128), 128.0)]
    return Pictures(
        [
            Picture(np.rint(g).astype(np.uint8)[None], (2.0, 2.0), Origin(f"s{k}", f"s{k}.png"), {"site": "ab"[k % 2]})
            for k, g in enumerate(images)
        ],
        "spoilt",
    )


def test_the_card_tells_what_is_wrong(spoilt, tmp_path):
    card = describe(spoilt, fields_at_most=16)
    assert [c.length_px for c in card.correlations] == [pytest.approx(6.0, rel=0.1)]
    assert [f.name for f in card.constant] == ["s10.png"]
    assert card.clipped[0].name == "s5.png"
    assert card.identical == (("s1.png", "s9.png"),)
    assert [(p.names, p.down, p.right) for p in card.near] == [
        (("s0.png", "s8.png"), pytest.approx(20, abs=2), pytest.approx(15, abs=2))
    ]
    assert {(a.name, a.kind, round(a.place)) for a in card.artefacts if a.name != "s5.png"} == {
        ("s6.png", "column", 70)
    }
    assert card.labels[0].classes == {"a": 6, "b": 5}
    # The field of 11 images, of which one is a copy and another shows less than 0.7 of its area anew.
    assert card.independent_fields == 44
    assert 44 * (9 / 11) < card.really_independent < 44 * (9.7 / 11)
    about = {a.about: a for a in card.advice}
    assert {"duplicates", "overlaps", "empty images", "clipping", "artefacts"} <= {
        a.about for a in card.advice if a.warning
    }
    assert about["crop"].words.startswith("64 x 64 pixels: the correlation length of the grey levels is 1")
    assert "--condition site" in about["can be asked for"].words
    assert about["first command"].words.startswith("morphogen train stylegan2")
    page = write_card_page(card, spoilt, tmp_path / "page").read_text(encoding="utf-8")
    assert "s6.png" in page
    assert "http" not in page.replace("http://www.w3.org", "")  # asks no network for anything
    assert (tmp_path / "page" / "card.json").exists()


def test_advice_follows_the_card(spoilt):
    clean = describe(Pictures(list(spoilt)[2:5]), fields_at_most=4)
    (fine,) = clean.correlations

    def advised(length, independent, least=256):
        card = clean.model_copy(
            update={
                "correlations": (fine.model_copy(update={"length_px": length}),),
                "really_independent": independent,
                "sizes": {f"{least} x {least + 40}": 3},
            }
        )
        return {a.about: a for a in advice(card, None)}

    many = advised(5.0, 1000.0)
    assert many["crop"].words.startswith("64 x 64 pixels: the")
    assert many["first command"].words.startswith("morphogen train ddpm")
    assert not many["method"].warning
    few = advised(5.0, 100.0)
    assert few["first command"].words.startswith("morphogen train stylegan2 -p discriminator=projected")
    assert few["method"].words.startswith("Begin with")
    fewest = advised(5.0, 40.0)
    assert fewest["method"].warning
    assert fewest["how much there is"].warning  # fewer than 16 would be held out
    coarse = advised(40.0, 1000.0, least=1024)
    assert "96 x 96 pixels after --shrink 4" in coarse["crop"].words  # 8 x 40 / 4 px, in whole 32s
    # Four times as long on a side, so a sixteenth of the fields and more than twice the time.
    assert "room for 28 independent" in coarse["how much there is"].words
    assert "22 min 30 s" in coarse["training"].words
    cramped = advised(40.0, 1000.0, least=100)
    assert cramped["crop"].warning


def test_a_split_leaks_nothing_and_a_random_one_does():
    specimens = [smooth(seed, (120, 96), 6.0) for seed in range(6)]
    images = Pictures([picture(g, f"s{k}") for k, g in enumerate(specimens)])
    parts = split(images, crop=(32, 32), seed=1)
    assert not describe(parts.training, against=parts.held_out, fields_at_most=4).leaks.any
    crops = [p.crop(10 * k, 0, 96, 96) for k in (0, 1, 2) for p in images]
    mixed = describe(Pictures(crops[:9]), against=Pictures(crops[9:]), fields_at_most=4).leaks
    assert mixed.overlapping >= 9
    # And where nobody kept a manifest, from the pixels alone.
    bare = [replace(p, origin=Origin(f"{k:04d}", f"{k:04d}.png")) for k, p in enumerate(crops)]
    card = describe(Pictures(bare[:9]), against=Pictures(bare[9:]), fields_at_most=4)
    assert card.leaks.specimens == ()
    assert len(card.leaks.near) >= 9
    assert card.advice[0].about == "leak"
    assert card.advice[0].warning


def test_slices_of_a_volume_count_as_few():
    volume = gaussian_filter(np.random.default_rng(0).standard_normal((24, 64, 64)), 2)
    stack = Pictures([picture(g, "core", slice=k) for k, g in enumerate(volume)])
    card = describe(stack, fields_at_most=4)
    # exp(-k^2 / 16) summed over all k: 4 sqrt(pi) = 7.1, less what is cut off below a tenth.
    assert card.slices.alike == pytest.approx(6.9, rel=0.15)
    assert card.really_independent == pytest.approx(card.independent_fields / card.slices.alike)
    files = Pictures([replace(p, origin=Origin(f"scan{k:03d}", f"scan{k:03d}.tif")) for k, p in enumerate(stack)])
    told = describe(files, fields_at_most=4)
    assert told.slices.as_files
    assert any(a.about == "specimens" and a.warning for a in told.advice)


def test_what_is_looked_at_is_spread_evenly():
    assert spread(5, 8) == [0, 1, 2, 3, 4]
    assert spread(1000, 5) == [0, 250, 500, 749, 999]
    assert runs(1000, 12) == [0, 1, 2, 3, 498, 499, 500, 501, 996, 997, 998, 999]


def test_colour_masks_and_captions_are_told(tmp_path):
    made = phantoms("root", count=3, size=(96, 96), seed=2)
    images = image_set(made)
    colour = Pictures(
        [replace(p, pixels=np.repeat(p.pixels, 3, axis=0), labels={**p.labels, "caption": "roots"}) for p in images]
    )
    card = describe(colour, specimen="root", fields_at_most=3)
    assert [h.channel for h in card.histograms] == ["red", "green", "blue"]
    assert (card.masks, card.captions) == (3, 3)
    assert "masks" in card.segmentation
    exact = np.mean([p.mask.mean() for p in images])
    assert card.mask_shares[1] == pytest.approx(exact)
    assert write_card_page(card, write_then_read(colour, tmp_path), tmp_path / "page").exists()


def write_then_read(images, folder):
    from morphogen.images.folders import read_images

    write_images(images, folder / "set")
    return read_images(folder / "set")
