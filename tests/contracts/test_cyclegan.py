"""The CycleGAN: its losses, its buffer, what it refuses, and what becomes of the pictures that it translates."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from morphogen.generation.generate import generate
from morphogen.generation.translate import TRANSLATED, translate
from morphogen.images.image_set import Pictures
from morphogen.images.picture import Picture
from morphogen.mathematics.least_squares_losses import (
    least_squares_discriminator_loss,
    least_squares_generator_loss,
)
from morphogen.mathematics.randomness import Randomness
from morphogen.methods.cyclegan import Generator
from morphogen.methods.method import Batch, ImageShape, SampleRequest, Task, method_class, method_settings
from morphogen.phantoms.phantom import image_set, phantoms
from morphogen.problems import Problem
from morphogen.training.train import require_sources, train
from small_sets import SMALL, random_set

SIZE = (16, 24)


def build(channels: int = 1, **changes):
    torch.manual_seed(0)
    settings = method_settings("cyclegan", SMALL["cyclegan"] | changes)
    return method_class("cyclegan")(settings, Task(ImageShape(channels, *SIZE)))


def batch(count: int, channels: int = 1, seed: int = 0) -> Batch:
    generator = torch.Generator().manual_seed(seed)
    y, x = torch.rand(2, count, channels, *SIZE, generator=generator) * 1.8 - 0.9
    return Batch(y, sources=x)


def start(folder, images=None, sources=None, **options):
    options = {"images_seen": 16, "size": SIZE, "settings": SMALL["cyclegan"], "cpu": True} | options
    return train("cyclegan", images or random_set(), folder, sources=sources or random_set(seed=9), **options)


def test_least_squares_losses_are_those_of_the_paper():
    measured, generated = torch.tensor([1.0, 0.0, 3.0]), torch.tensor([0.0, 1.0, -2.0])
    assert float(least_squares_discriminator_loss(measured, generated)) == pytest.approx((0 + 1 + 4 + 0 + 1 + 4) / 6)
    assert float(least_squares_generator_loss(generated)) == pytest.approx((1 + 0 + 9) / 6)


def test_the_best_discriminator_has_the_share_of_the_measured_ones():
    """Mao et al. 2017, equation 5 at a = 0, b = 1: of images that look alike, one in three is measured."""
    score = torch.zeros((), requires_grad=True)
    for _ in range(200):
        loss = least_squares_discriminator_loss(score.view(1), score.view(1)) + 0.5 * score.square()
        (slope,) = torch.autograd.grad(loss, score)
        score = (score - 0.1 * slope).detach().requires_grad_()
    assert float(score.detach()) == pytest.approx(1 / 3, abs=1e-4)
    half = torch.tensor([0.5])
    assert float(least_squares_discriminator_loss(half, half)) == 0.25


class Plus(nn.Module):
    """Adds a number."""

    def __init__(self, number: float) -> None:
        super().__init__()
        self.number = nn.Parameter(torch.tensor(number))

    def forward(self, x, noise=None):
        return x + self.number


def test_identity_networks_close_their_cycles():
    method = build(disturbance=0.0)
    method.to_measured, method.to_sources = Plus(0.0), Plus(0.0)
    with torch.no_grad():
        parts = method.loss("translation", batch(2), Randomness.of_images(0, 0, 2)).parts
    assert float(parts["cycle of sources"]) == float(parts["cycle of measured"]) == float(parts["identity"]) == 0


def test_noise_lies_between_there_and_back():
    """Of a normal e, the mean of |e| is sqrt(2 / pi) times its standard deviation; 0.1 of it is smoothed away."""
    method = build(disturbance=1.0)
    method.to_measured, method.to_sources = Plus(0.0), Plus(0.0)
    with torch.no_grad():
        parts = method.loss("translation", batch(16), Randomness.of_images(0, 0, 16)).parts
    for cycle in ("cycle of sources", "cycle of measured"):
        assert float(parts[cycle]) == pytest.approx((2 / np.pi) ** 0.5 - 0.1, abs=0.03)
    assert float(parts["identity"]) == 0


def test_cycles_and_identity_are_what_they_are_called():
    """Plus 0.9 one way and minus 0.5 the other: 0.4 is left of a cycle, and the identities are 0.9 and 0.5 off, all
    less the 0.1 that smoothing takes from what is not small."""
    method = build(disturbance=0.0, cycle_weight=3.0, measured_cycle=0.5, identity_weight=2.0)
    method.to_measured, method.to_sources = Plus(0.9), Plus(-0.5)
    loss = method.loss("translation", batch(2), Randomness.of_images(0, 0, 2))
    parts = {name: float(value.detach()) for name, value in loss.parts.items()}
    assert parts["cycle of sources"] == pytest.approx(0.3, abs=1e-5)
    assert parts["cycle of measured"] == pytest.approx(0.3, abs=1e-5)
    assert parts["identity"] == pytest.approx(0.8 + 0.4, abs=1e-5)
    assert float(loss.total.detach()) == pytest.approx(parts["fooling"] + 3 * (0.3 + 0.5 * 0.3) + 2 * 1.2, abs=1e-4)


def test_each_cycle_is_told_and_weighed_as_its_own():
    """0.9 more one way and half the other, of flat images: the cycles leave 0.35 and 1.1, less the 0.1 of smoothing."""

    class Half(nn.Module):
        def forward(self, x):
            return 0.5 * x

    method = build(disturbance=0.0, cycle_weight=3.0, measured_cycle=0.5, identity_weight=0.0)
    method.to_measured, method.to_sources = Plus(0.9), Half()
    y, x = torch.full((1, 1, *SIZE), -0.4), torch.full((1, 1, *SIZE), 0.2)
    loss = method.loss("translation", Batch(y, sources=x), Randomness.of_images(0, 0, 1))
    parts = {name: float(value.detach()) for name, value in loss.parts.items()}
    assert parts["cycle of sources"] == pytest.approx(0.25, abs=1e-5)
    assert parts["cycle of measured"] == pytest.approx(1.0, abs=1e-5)
    assert float(loss.total.detach()) == pytest.approx(parts["fooling"] + 3 * (0.25 + 0.5 * 1.0), abs=1e-4)


def test_a_generator_starts_near_the_identity_and_need_not():
    x = batch(2).sources
    near, far = build(), build(from_identity=False)
    for method, least, most in ((near, 0.0, 0.15), (far, 0.3, 2.0)):
        for reverse in (False, True):
            made = method.sample(SampleRequest(sources=x, reverse=reverse), Randomness.of_images(0, 0, 2))
            assert least < float((made - x).abs().mean().detach()) < most


def test_each_discriminator_tells_its_own_set():
    """Scores that are the mean grey level show which images went where."""
    method = build()
    method.to_measured, method.to_sources = Plus(0.3), Plus(-0.2)

    class Mean(nn.Module):
        def __init__(self, times: float) -> None:
            super().__init__()
            self.times = times

        def forward(self, x):
            return self.times * x.mean((1, 2, 3), keepdim=True)

    method.of_measured, method.of_sources = Mean(1.0), Mean(2.0)
    y, x = torch.full((1, 1, *SIZE), 0.5), torch.full((1, 1, *SIZE), -0.1)
    found = method.loss("discriminator", Batch(y, sources=x), Randomness.of_images(0, 0, 1))
    # 0.5 is measured and 0.2 made of -0.1; -0.1 is a source, with score -0.2, and 0.3 made of 0.5, with score 0.6.
    expected = ((0.5 - 1) ** 2 + 0.2**2) / 2 + ((-0.2 - 1) ** 2 + 0.6**2) / 2
    assert float(found.total) == pytest.approx(expected, abs=1e-5)
    fooling = method.loss("translation", Batch(y, sources=x), Randomness.of_images(0, 0, 1)).parts["fooling"]
    assert float(fooling.detach()) == pytest.approx(((0.2 - 1) ** 2 + (0.6 - 1) ** 2) / 2, abs=1e-5)


def test_the_buffer_holds_what_was_made():
    """Each image is filled with its own number; six places."""
    method = build()

    def kept(first, count):
        made = torch.arange(first, first + count).view(-1, 1, 1, 1).expand(-1, 1, *SIZE).float()
        return {"measured": made, "sources": -made}

    method.observe({}, kept(0, 4))
    assert method.past_measured[:, 0, 0, 0].tolist() == [0, 1, 2, 3, 0, 0]
    assert int(method.taken) == 4
    ages = []
    for first in range(4, 604, 4):
        method.observe({}, kept(first, 4))
        ages.append(float((first + 4 - method.past_measured[:, 0, 0, 0]).mean()))
    held = method.past_measured[:, 0, 0, 0]
    assert torch.equal(held, -method.past_sources[:, 0, 0, 0])
    assert len(set(held.tolist())) == 6
    # A place is taken by every twelfth image, so that what it holds is some twelve images old, in the mean of many.
    assert 604 - 80 < held.min() < held.max() < 604
    assert np.mean(ages[10:]) == pytest.approx(12, abs=3)
    method.observe({"discriminator": torch.zeros(())}, {})
    assert int(method.taken) == 604


def test_the_buffer_fills_alike_however_the_images_come():
    """As it must for processes whose shares are gathered, and for a resumed run."""
    made = {name: torch.randn(40, 1, *SIZE) for name in ("measured", "sources")}
    one, other = build(), build()
    for first in range(0, 40, 4):
        one.observe({}, {name: rows[first : first + 4] for name, rows in made.items()})
    for first in range(0, 40, 20):
        other.observe({}, {name: rows[first : first + 20] for name, rows in made.items()})
    assert torch.equal(one.past_measured, other.past_measured)
    assert torch.equal(one.past_sources, other.past_sources)


def test_half_of_what_a_discriminator_sees_is_from_the_buffer():
    method, count = build(), 2000
    new = torch.zeros(count, 1, 1, 1)
    past = torch.arange(1.0, 7.0).view(6, 1, 1, 1)
    method.taken.fill_(0)
    assert (method._or_earlier(new, past, Randomness.of_images(0, 0, count)) == 0).all()
    method.taken.fill_(3)  # the other three places are still empty
    seen = method._or_earlier(new, past, Randomness.of_images(0, 0, count)).flatten()
    assert set(seen.tolist()) == {0, 1, 2, 3}
    method.taken.fill_(100)
    seen = method._or_earlier(new, past, Randomness.of_images(0, 0, count)).flatten().long()
    shares = torch.bincount(seen, minlength=7) / count
    assert float(shares[0]) == pytest.approx(0.5, abs=0.05)
    np.testing.assert_allclose(shares[1:], 1 / 12, atol=0.025)


def test_the_discriminators_loss_uses_the_buffer_and_keeps_what_is_new():
    method = build()
    method.to_measured, method.to_sources = Plus(0.0), Plus(0.0)
    given = batch(4)
    fresh = method.loss("discriminator", given, Randomness.of_images(0, 0, 4))
    torch.testing.assert_close(fresh.kept["measured"], given.sources)
    torch.testing.assert_close(fresh.kept["sources"], given.images)
    method.taken.fill_(6)
    method.past_measured.fill_(0.9)
    method.past_sources.fill_(0.9)
    assert float(method.loss("discriminator", given, Randomness.of_images(0, 0, 4)).total.detach()) != float(
        fresh.total.detach()
    )


def test_noise_changes_the_way_to_measured_images_and_not_the_way_back():
    method = build()
    x = batch(1).sources
    one, other = (Randomness.of_images(seed, 0, 1) for seed in (0, 1))
    assert not torch.equal(*(method.sample(SampleRequest(sources=x), r) for r in (one, other)))
    assert torch.equal(*(method.sample(SampleRequest(sources=x, reverse=True), r) for r in (one, other)))
    still = build(noise_channels=0)
    assert torch.equal(*(still.sample(SampleRequest(sources=x), r) for r in (one, other)))


def test_phantoms_drawn_as_labels_are_their_exact_masks():
    made = phantoms("fiber", count=2, size=(48, 64), seed=3, dtype="uint16")
    for drawn, picture in zip(made, image_set(made, labels=True), strict=True):
        assert picture.pixels.dtype == "uint8"
        np.testing.assert_array_equal(picture.grey, 255 * drawn.labels)
        np.testing.assert_array_equal(picture.mask, drawn.labels == 1)
        assert picture.spacing_um == drawn.picture.spacing_um
        assert picture.labels == drawn.picture.labels
    np.testing.assert_array_equal(image_set(made)[0].pixels, made[0].picture.pixels)


@pytest.mark.parametrize(
    ("method", "sources", "message"),
    [
        ("cyclegan", random_set(channels=3), r"the images have 1 channels and the sources have 3: .*luminance"),
        ("cyclegan", None, r"cyclegan translates one set of images into another: name those"),
        ("vae", random_set(seed=9), "vae translates nothing: leave the sources out"),
        ("cyclegan", random_set(size=(8, 8)), r"0.tif is 8 x 8, smaller than the crop 16 x 24"),
        (
            "cyclegan",
            random_set(seed=9, spacing_um=5.0),
            r"pixels are 2.5 x 2.5 um in the images and 5 x 5 um in the sources: shrink the finer set",
        ),
    ],
)
def test_sets_that_cannot_be_translated_are_refused_in_one_line_with_nothing_left_behind(
    tmp_path, method, sources, message
):
    with pytest.raises(Problem, match=message) as told:
        train(method, random_set(), tmp_path / "run", images_seen=8, size=SIZE, settings=SMALL[method],
              sources=sources, cpu=True)  # fmt: skip
    assert "\n" not in str(told.value)
    assert "--" not in str(told.value)  # a study and Python have no options
    assert not (tmp_path / "run").exists()


def test_pixel_sizes_are_compared_where_both_are_known():
    def refused(*of_sources: float, images: float = 2.5) -> bool:
        sources = Pictures(random_set(1, seed=k, spacing_um=um)[0] for k, um in enumerate(of_sources, 9))
        try:
            require_sources("cyclegan", random_set(spacing_um=images), sources, size=SIZE)
        except Problem:
            return True
        return False

    assert not refused(2.52)
    assert refused(2.53)
    assert refused(2.47)
    assert refused(2.5, 5.0)
    assert not refused(2.5, np.nan)
    assert not refused(np.nan)
    assert not refused(5.0, images=np.nan)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """8 bit images from 16 bit sources."""
    folder = tmp_path_factory.mktemp("translations")
    return start(folder / "run", random_set(), random_set(dtype="uint16", seed=9))


def mixed(dtype: str = "uint16") -> Pictures:
    """Three sizes, none of which the networks take as it is, each with its pixel size, mask and labels."""
    made: list[Picture] = []
    for k, size in enumerate([(17, 30), (17, 30), (23, 19), (41, 26), (17, 30)]):
        picture = random_set(1, size, dtype=dtype, seed=k, spacing_um=1.0 + k)[0]
        mask = picture.grey > np.median(picture.grey)
        made.append(
            replace(picture, mask=mask, origin=replace(picture.origin, specimen=f"p{k}"), labels={"number": float(k)})
        )
    return Pictures(made)


@pytest.fixture
def untouched(monkeypatch):
    """A network that gives back what it is given, so that it shows what came where."""
    monkeypatch.setattr(method_class("cyclegan"), "sample", lambda self, request, randomness: request.sources)


@pytest.mark.usefixtures("untouched")
def test_a_translation_keeps_order_size_pixel_size_and_mask_and_has_the_pixels_of_the_measured_set(run):
    sources = mixed()
    ends = {name: (float(m.low), float(m.high)) for name, m in
            (("from", run.record.source_intensity), ("to", run.record.intensity))}  # fmt: skip
    made = translate(run, sources, batch_size=2, cpu=True)
    assert len(made) == 5
    for source, picture in zip(sources, made, strict=True):
        assert picture.size == source.size
        assert picture.spacing_um == source.spacing_um
        assert picture.labels[TRANSLATED] == source.origin.specimen
        assert picture.labels["method"] == "cyclegan"
        assert picture.pixels.dtype == "uint8"
        np.testing.assert_array_equal(picture.mask, source.mask)
        expected = np.interp(source.grey, ends["from"], ends["to"])
        assert np.abs(picture.grey - expected).max() <= 0.51
    alone = translate(run, Pictures([sources[3]]), cpu=True)[0]
    assert alone.size == (41, 26)


@pytest.mark.usefixtures("untouched")
def test_the_other_way_gives_pixels_of_the_sources(run):
    back = translate(run, mixed("uint8"), reverse=True, cpu=True)
    assert all(picture.pixels.dtype == "uint16" for picture in back)
    assert max(int(picture.pixels.max()) for picture in back) > 30_000
    with pytest.raises(Problem, match="the images to translate are uint16, and the run knows uint8"):
        translate(run, mixed(), reverse=True, cpu=True)


def test_written_translations_keep_the_names_of_what_they_were_made_from(run, tmp_path):
    from morphogen.images.folders import read_images

    translate(run, mixed(), folder=tmp_path / "out", cpu=True)
    read = read_images(tmp_path / "out")
    assert [picture.labels[TRANSLATED] for picture in read] == ["p0", "p1", "p2", "p3", "p4"]
    assert [picture.size for picture in read] == [picture.size for picture in mixed()]


def test_a_seed_changes_a_translation_and_the_batch_size_does_not(run):
    once, again, other = (
        translate(run, mixed(), seed=seed, batch_size=size, cpu=True) for seed, size in ((0, 16), (0, 1), (1, 16))
    )
    for a, b in zip(once, again, strict=True):
        assert np.abs(a.pixels.astype(int) - b.pixels.astype(int)).max() <= 1
    assert any(np.abs(a.pixels.astype(int) - b.pixels.astype(int)).max() > 1 for a, b in zip(once, other, strict=True))


def test_what_cannot_be_translated_is_refused(run, tmp_path):
    with pytest.raises(Problem, match=r"have 3 channels, and the run knows 1: .* by their luminance"):
        translate(run, random_set(channels=3, dtype="uint16"), folder=tmp_path / "out", cpu=True)
    half = Pictures([mixed()[0], replace(mixed()[1], mask=None)])
    with pytest.raises(Problem, match="only 1 of 2 sources have a mask"):
        translate(run, half, folder=tmp_path / "out", cpu=True)
    assert len(translate(run, half, cpu=True)) == 2  # which is no problem where nothing is written
    with pytest.raises(Problem, match="images of 3 x 40 are too small to be translated"):
        translate(run, random_set(size=(3, 40), dtype="uint16"), cpu=True)
    with pytest.raises(Problem, match=r"cyclegan translates images: give those to translate, as its sources$"):
        generate(run, count=1, cpu=True)
    vae = train("vae", random_set(), tmp_path / "vae", images_seen=8, size=SIZE, settings=SMALL["vae"], cpu=True)
    with pytest.raises(Problem, match="vae translates nothing"):
        translate(vae, random_set(), cpu=True)
    assert not (tmp_path / "out").exists()


@pytest.mark.usefixtures("untouched")
def test_masks_are_translated_with_their_images(tmp_path):
    def masked(**more):
        return Pictures(replace(p, mask=p.grey > np.median(p.grey)) for p in random_set(**more))

    trained = start(tmp_path / "run", masked(), masked(seed=9), with_masks=True)
    sources = masked(size=(18, 21), seed=4)
    assert translate(trained, sources, cpu=True)[0].size == (18, 21)
    for source, picture in zip(sources, translate(trained, sources, cpu=True), strict=True):
        assert picture.channels == 1
        assert picture.mask.shape == (18, 21)
        np.testing.assert_array_equal(picture.mask, source.mask)
    with pytest.raises(Problem, match="has no mask"):
        translate(trained, random_set(seed=4), cpu=True)


def test_the_grain_of_a_fresh_generator_has_no_pattern():
    """A random kernel would draw its own, such as a checkerboard, and hardly move in a short training."""
    for seed in range(4):
        torch.manual_seed(seed)
        generator = Generator(1, (8, 16), blocks=1, noise_channels=1, from_identity=True)
        flat = torch.zeros(32, 1, 32, 32)
        with torch.no_grad():
            grain = generator(flat, torch.randn(32, 1, 32, 32)) - generator(flat, torch.zeros(32, 1, 32, 32))
        power = torch.fft.fft2(grain[:, 0] - grain.mean()).abs().square().mean(0)
        assert power[14:19, 14:19].mean() < 2 * power.mean()


def test_nothing_frames_a_translation():
    """What is the same everywhere is translated into what is the same everywhere, up to the border."""
    torch.manual_seed(0)
    generator = Generator(1, (8, 16, 16), blocks=2, noise_channels=1, from_identity=False)
    with torch.no_grad():
        for parameter in generator.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
        plain = generator(torch.full((1, 1, 32, 32), 0.3), torch.full((1, 1, 32, 32), 0.7))
    # Two columns, and two rows, are of another phase of the upsampling: the pattern may repeat, but not end.
    torch.testing.assert_close(plain[..., :16, :16], plain[..., 8:24, 8:24], rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(plain[..., 16:, 16:], plain[..., 8:24, 8:24], rtol=1e-4, atol=1e-4)
