"""What is asked against what is given: phantoms of known porosity, with labels that are wrong by known amounts."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from morphogen.evaluation.asked import AskedAndGiven, asked_and_given
from morphogen.generation.generate import generate
from morphogen.images.conditions import ASKED
from morphogen.images.image_set import Pictures
from morphogen.mathematics.randomness import Randomness
from morphogen.methods.method import SampleRequest
from morphogen.phantoms.phantom import image_set, phantom, phantoms
from morphogen.problems import Problem
from morphogen.report.asked_figure import asked_figure, write_asked_figures
from morphogen.training.train import train

POROSITIES = np.linspace(0.12, 0.45, 24)


@pytest.fixture(scope="module")
def measured():
    return image_set(phantoms("rock", count=8, size=(64, 64), seed=5))


@pytest.fixture(scope="module")
def made():
    """Phantoms over a range of porosities, which stand for generated images."""
    return [phantom("rock", size=(64, 64), seed=3, specimen=k, porosity=p).picture for k, p in enumerate(POROSITIES)]


def exact(picture):
    return float(picture.mask.mean())


def labelled(pictures, asked, **more):
    return Pictures(
        replace(p, labels={**p.labels, ASKED + "porosity": a, **more}) for p, a in zip(pictures, asked, strict=True)
    )


def with_errors(made, errors):
    return labelled(made, [exact(p) - e for p, e in zip(made, errors, strict=True)])


def held(images, measured, **more) -> AskedAndGiven:
    (found,) = asked_and_given(images, measured=measured, **{"segmentation": "masks"} | more)
    return found


def test_known_errors_come_out_as_computed_by_hand(measured, made):
    errors = np.where(np.arange(24) % 3 == 0, 0.03, -0.01)  # 8 of 0.03 and 16 of -0.01
    found = held(with_errors(made, errors), measured)
    assert found.name == "porosity"
    assert found.unit == ""
    assert found.n == 24
    assert found.mean_absolute_error.value == pytest.approx((8 * 0.03 + 16 * 0.01) / 24)
    assert found.bias.value == pytest.approx((8 * 0.03 - 16 * 0.01) / 24)
    asked = np.array([exact(p) for p in made]) - errors
    missed = 8 * 0.03**2 + 16 * 0.01**2
    assert found.r2.value == pytest.approx(1 - missed / ((asked - asked.mean()) ** 2).sum())
    for estimate in (found.r2, found.mean_absolute_error, found.bias):
        assert estimate.low < estimate.value < estimate.high
    assert found.given == pytest.approx([exact(p) for p in made])


def test_perfect_obedience_is_one_and_zero(measured, made):
    found = held(with_errors(made, np.zeros(24)), measured)
    assert found.r2.value == pytest.approx(1)
    assert found.r2.high <= 1 + 1e-12
    assert found.mean_absolute_error.value == pytest.approx(0, abs=1e-12)


def test_a_set_that_ignores_what_is_asked_scores_nothing(measured, made):
    found = held(labelled(made[::-1], POROSITIES), measured)  # the opposite of what is asked
    assert found.r2.value < -1
    deaf = [made[12]] * 24  # always the same image
    assert held(labelled(deaf, POROSITIES), measured).r2.value == pytest.approx(0, abs=0.02)
    shuffled = [made[k] for k in np.random.default_rng(0).permutation(24)]
    assert held(labelled(shuffled, POROSITIES), measured).r2.value < 0.3


def test_it_is_no_correlation(measured, made):
    """Images of half the porosity that is asked for agree perfectly in rank and in line, and are all wrong."""
    found = held(labelled(made, [2 * exact(p) for p in made]), measured)
    assert np.corrcoef(found.asked, found.given)[0, 1] == pytest.approx(1)
    assert found.r2.value < 0


def test_the_grey_levels_say_nearly_what_the_masks_say(measured, made):
    found = held(with_errors(made, np.zeros(24)), measured, segmentation=None)
    assert "Otsu" in found.segmentation
    assert found.r2.value > 0.99
    assert 0 < found.mean_absolute_error.value < 0.008
    # The segmentation is that of the measured images: a set whose contrast is wrong is not told by its own threshold.
    dark = Pictures(replace(p, pixels=(p.pixels * 0.5).astype(np.uint8)) for p in with_errors(made, np.zeros(24)))
    assert held(dark, measured, segmentation=None).mean_absolute_error.value > 0.3


def test_what_training_never_saw_is_kept_apart(measured, made):
    errors = np.zeros(24)
    errors[-4:] = 0.2
    images = with_errors(made, errors)
    warned = Pictures(
        replace(p, labels={**p.labels, "warning": "porosity 0.1 is asked, and training saw 0.2 to 0.3"})
        if k > 19
        else p
        for k, p in enumerate(images)
    )
    found = held(warned, measured)
    assert (found.n, len(found.outside_asked)) == (20, 4)
    assert found.mean_absolute_error.value == pytest.approx(0, abs=1e-9)
    assert np.subtract(found.outside_given, found.outside_asked) == pytest.approx(0.2)
    told = held(images, measured, seen={"porosity": (0.2, 0.5)})
    assert told.seen == (0.2, 0.5)
    assert all(0.2 <= a <= 0.5 for a in told.asked)
    assert told.outside_asked


def test_another_reading_can_be_asked_for(measured, made):
    asked = [60.0 + k for k in range(24)]
    images = Pictures(replace(p, labels={ASKED + "mean chord length": a}) for p, a in zip(made, asked, strict=True))
    found = held(images, measured)
    assert found.unit == "µm"
    assert 20 < np.mean(found.given) < 200
    assert found.measured_range[0] < found.measured_range[1]


def test_a_reading_may_be_asked_for_with_underscores(made):
    """The label of a phantom and the reading of the same name are spelt in two ways."""
    shown = [exact(p) for p in made]
    fibers = image_set(phantoms("fiber", count=8, size=(64, 64), seed=5))
    seen = {"fiber volume_fraction": (min(shown), max(shown))}
    for name in ("fiber_volume_fraction", "fiber volume fraction"):
        images = Pictures(replace(p, labels={ASKED + name: a}) for p, a in zip(made, shown, strict=True))
        found = held(images, fibers, specimen="fiber", seen=seen)
        assert found.seen == (min(shown), max(shown))
        assert found.given == pytest.approx(shown)


def test_one_asked_value_has_an_error_and_no_determination(measured, made):
    found = held(labelled(made[8:20], [0.3] * 12), measured)
    assert found.r2 is None
    assert found.mean_absolute_error.value == pytest.approx(np.mean([abs(exact(p) - 0.3) for p in made[8:20]]))


def test_intervals_hold_what_more_images_say(measured, made):
    """Of twenty sets with errors of 0.02 the intervals miss the truth about once."""
    random = np.random.default_rng(1)
    missed = 0
    for _ in range(20):
        found = held(with_errors(made, random.normal(0, 0.02, 24)), measured, resamples=400)
        truth = 0.02 * np.sqrt(2 / np.pi)
        missed += not found.mean_absolute_error.low <= truth <= found.mean_absolute_error.high
    assert missed <= 4


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda made: Pictures(made), "don't say what was asked of them: give images"),
        (lambda made: labelled(made, ["much"] * 24), "porosity: a class was asked for, .*: ask for a number"),
        (lambda made: Pictures([*labelled(made[:9], POROSITIES[:9]), made[9]]), "nothing says which porosity"),
        (lambda made: labelled(made[:5], POROSITIES[:5]), "5 images were asked .*: give at least 8"),
        (
            lambda made: Pictures(replace(p, labels={ASKED + "charm": 1.0}) for p in made),
            r"charm is no reading of rock images: ask for one of porosity, ([^,]+, ){6}[^,]+ and \d+ more$",
        ),
        (lambda made: labelled([replace(p, mask=None) for p in made], POROSITIES), "has no mask"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(measured, made, change, message):
    with pytest.raises(Problem, match=message) as problem:
        asked_and_given(change(made), measured=measured, segmentation="masks")
    assert "\n" not in str(problem.value)


def test_the_figure_shows_every_image_and_the_scores(tmp_path, measured, made):
    found = held(with_errors(made, np.full(24, 0.02)), measured)
    drawn = asked_figure(found)
    assert drawn.count("<use") >= 24 + 4  # a mark for each image, and ticks
    assert "mean error 0.02" in drawn
    assert "R² = 0.9" in drawn
    assert "#fe" not in drawn
    for ending, start in ((".png", b"\x89PNG"), (".svg", b"<?xml")):
        (file,) = write_asked_figures([found], tmp_path / f"asked{ending}")
        data = file.read_bytes()
        assert data.startswith(start)
        assert b"#fe0" not in data
    with pytest.raises(Problem, match="end its name in"):
        write_asked_figures([found], tmp_path / "asked.docx")


def test_the_figure_explains_all_that_it_shows_and_keeps_off_its_edges(tmp_path, measured, made):
    inside = held(with_errors(made, np.full(24, 0.02)), measured)
    both = held(with_errors(made, np.full(24, 0.02)), measured, seen={"porosity": (0.2, 0.35)})
    always, beyond = ("mean error to either side", "given = asked", "95 % intervals"), "beyond what training saw"
    for found, seen in ((inside, False), (both, True)):
        drawn = asked_figure(found)
        assert all(words in drawn for words in always)
        assert (beyond in drawn) == ("range that training saw" in drawn) == seen
    long = both.model_copy(update={"name": "specific surface of the pores as a name that goes on and on", "unit": "µm"})
    for found in (inside, both, long):
        (file,) = write_asked_figures([found], tmp_path / "asked.png")
        pixels = np.asarray(Image.open(file).convert("RGBA"))
        assert (pixels[..., 3] == 255).all()  # on white, wherever it is shown
        margin = 4 * 300 // 72
        for edge in (pixels[:margin], pixels[-margin:], pixels[:, :margin], pixels[:, -margin:]):
            assert (edge == 255).all()


@pytest.fixture(scope="module")
def obedient(tmp_path_factory):
    """A conditional GAN after a few seconds with small crops of rock."""
    rocks = image_set(phantoms("rock", count=8, size=(64, 64), seed=5))
    return train(
        "conditional_gan", rocks, tmp_path_factory.mktemp("run") / "run", images_seen=2048, size=(16, 16), cpu=True,
        settings={"channels": [8, 16], "latent_dimensions": 8, "batch_size": 8, "learning_rate": 2e-3},
        conditions=["porosity"], fraction="porosity",
    )  # fmt: skip


def test_a_conditional_gan_gives_what_it_is_asked_for(measured, obedient):
    low, high = obedient.record.conditions.numbers[0].low, obedient.record.conditions.numbers[0].high
    images = generate(obedient, count=120, asked={"porosity": (low, high)}, cpu=True)
    found = held(images, measured, segmentation=None)
    assert found.r2.value > 0.85
    assert found.mean_absolute_error.value < 0.08
    # For one condition there are many images, and not one.
    alike = generate(obedient, count=12, asked={"porosity": 0.3}, cpu=True)
    pixels = np.stack([p.grey.ravel() for p in alike])
    between = np.corrcoef(pixels)[np.triu_indices(12, 1)]
    assert between.mean() < 0.5


def test_corrections_bring_an_image_nearer_to_what_was_asked(obedient):
    method = obedient.trained_method()
    wanted = torch.linspace(-0.8, 0.8, 64)[:, None]

    def missed(corrections):
        method.settings = method.settings.model_copy(update={"corrections": corrections})
        images = method.sample(SampleRequest(condition=wanted), Randomness.of_images(0, 0, 64))
        return float((method.reader(images) - wanted).abs().mean())

    assert missed(3) < 0.5 * missed(0)
