"""Interpolation, style mixing and projection, for every style-based method: what is fixed stays, what moves moves."""

import io
import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors import safe_open
from safetensors.numpy import load_file
from safetensors.torch import load_file as load_weights
from safetensors.torch import save_file

from morphogen.generation.generate import SAMPLES, generate
from morphogen.generation.latent_space import interpolate, layers_named, mix
from morphogen.generation.projection import _Likeness, project
from morphogen.images.folders import read_images
from morphogen.images.image_set import Pictures
from morphogen.mathematics.randomness import Randomness
from morphogen.methods.method import method_class, method_names
from morphogen.problems import Problem
from morphogen.report.figures import grey_scale, shades
from morphogen.report.latent_figures import matrix_png, projections_png, strips_png
from morphogen.training.train import train
from small_sets import CONDITIONS, NUMBERS, SMALL, random_set

STYLE_BASED = [name for name in method_names() if hasattr(method_class(name), "synthesise")]
SIZE = (16, 24)


@pytest.fixture(scope="module", params=STYLE_BASED)
def run(request, tmp_path_factory):
    """A run whose noise inputs matter, which a few steps of training don't see to."""
    made = start(tmp_path_factory.mktemp("run") / "r", request.param)
    file = made.folder / "weights.safetensors"
    with safe_open(file, framework="pt") as opened:
        metadata = opened.metadata()
    weights = load_weights(file)
    for name in weights:
        if name.endswith("strength"):
            weights[name] += 0.5
    save_file(weights, file, metadata=metadata)
    assert np.abs(expected(made, 3, 3).astype(float) - expected(made, 3, 7)).mean() > 3
    return made


def start(folder, method=STYLE_BASED[0], images=None, **options):
    options = {"images_seen": 24, "size": SIZE, "settings": SMALL[method], "seed": 3, "cpu": True} | options
    return train(method, images or random_set(), folder, **options)


def expected(run, style_seed, noise_seed, truncation=1.0):
    """The image of one seed's style under another seed's noise, straight from the method."""
    method = run.trained_method()
    z = Randomness([(style_seed, SAMPLES, 0)]).normal(method.latent_dimensions)
    noise = Randomness([(noise_seed, SAMPLES, 0)])
    noise.normal(method.latent_dimensions)
    with torch.no_grad():
        image = method.synthesise(method.styles(z, None, truncation), noise)[0].numpy()
    return run.record.intensity.to_grey(image[:1])


def assert_equal(picture, pixels):
    # The last digit of a float may depend on the batch, and turn over the rounding of a grey level.
    assert np.abs(picture.pixels.astype(float) - pixels.astype(float)).max() <= 1


@pytest.mark.parametrize("space", ["w", "z"])
def test_a_line_starts_at_the_image_of_its_seed_and_only_the_style_moves(run, space):
    line = interpolate(run, [3, 7, 11], steps=4, space=space, cpu=True)
    assert len(line) == 8
    for k, seed in ((0, 3), (4, 7)):
        assert_equal(line[k], generate(run, count=1, seed=seed, cpu=True)[0].pixels)
    assert_equal(line[3], expected(run, 7, 3))
    assert_equal(line[7], expected(run, 11, 7))
    assert [p.labels["share"] for p in line][:4] == pytest.approx([0, 1 / 3, 2 / 3, 1], abs=1e-5)
    assert (line[5].labels["from seed"], line[5].labels["to seed"]) == (7, 11)
    # It does not jump: no step is as far as the whole way.
    ends = np.abs(line[3].pixels.astype(float) - line[0].pixels).mean()
    assert 0 < np.abs(line[1].pixels.astype(float) - line[0].pixels).mean() < ends


@pytest.mark.parametrize("space", ["w", "z"])
def test_truncated_lines_shrink_to_the_mean_style(run, space):
    line = interpolate(run, [3, 7], steps=3, space=space, truncation=0.0, cpu=True)
    assert_equal(line[2], line[0].pixels)
    half = interpolate(run, [3, 7], steps=3, space=space, truncation=0.5, cpu=True)
    assert_equal(half[0], generate(run, count=1, seed=3, truncation=0.5, cpu=True)[0].pixels)
    assert_equal(half[2], expected(run, 7, 3, 0.5))


def test_mixing_all_layers_gives_the_columns_style_and_none_but_the_rows_noise(run):
    layers = run.trained_method().style_layers
    mixed = mix(run, [1, 2], [4, 5, 6], layers=range(layers), cpu=True)
    assert (len(mixed.rows), len(mixed.columns), len(mixed.images)) == (2, 3, 6)
    for k, picture in enumerate(mixed.images):
        row, column = ([1, 2][k // 3], [4, 5, 6][k % 3])
        assert (picture.labels["row seed"], picture.labels["column seed"]) == (row, column)
        assert_equal(picture, expected(run, column, row))
    for source, seed in zip([*mixed.rows, *mixed.columns], [1, 2, 4, 5, 6], strict=True):
        assert_equal(source, generate(run, count=1, seed=seed, cpu=True)[0].pixels)


def test_layers_that_are_not_the_columns_stay_the_rows(run):
    method = run.trained_method()
    noise = Randomness([(1, SAMPLES, 0)])
    with torch.no_grad():
        one = method.styles(noise.normal(method.latent_dimensions))
        other = method.styles(Randomness([(4, SAMPLES, 0)]).normal(method.latent_dimensions))
        image = method.synthesise(torch.cat([other[:, :2], one[:, 2:]], dim=1), noise)[0].numpy()
    found = mix(run, [1], [4], layers="0-1", cpu=True)
    assert found.layers == (0, 1)
    assert found.words == "layers 0-1"
    assert_equal(found.images[0], run.record.intensity.to_grey(image))
    for whole in (expected(run, 1, 1), expected(run, 4, 1)):  # and it is neither
        assert np.abs(found.images[0].pixels.astype(float) - whole).mean() > 1


def test_layers_by_name_and_number():
    assert [layers_named(band, 10) for band in ("coarse", "middle", "fine")] == [(0, 1, 2), (3, 4, 5), (6, 7, 8, 9)]
    assert layers_named("0-2,7, 4", 10) == (0, 1, 2, 4, 7)
    assert layers_named([3, 1, 3], 10) == (1, 3)
    for wrong in ("0-10", "-1", "2-1", "bright", "", "3-", [10], []):
        with pytest.raises(Problem, match="layers"):
            layers_named(wrong, 10)


@pytest.mark.parametrize("dtype", NUMBERS)
def test_what_is_written_has_the_type_and_pixel_size_of_the_training_images(tmp_path, dtype):
    images = random_set(dtype=dtype)
    made = start(tmp_path / "run", images=images)
    interpolate(made, [1, 2], steps=2, folder=tmp_path / "line", cpu=True)
    mixed = mix(made, [1], [2], folder=tmp_path / "mix", cpu=True)
    projected = project(made, images, steps=2, folder=tmp_path / "found", cpu=True)
    for folder in ("line", "mix", "mix/rows", "mix/columns", "found", "found/measured"):
        back = read_images(tmp_path / folder)
        assert back[0].pixels.dtype == dtype
        assert back[0].size == SIZE
        assert back[0].spacing_um == pytest.approx((2.5, 2.5))
    assert read_images(tmp_path / "mix").fingerprint == mixed.images.fingerprint
    assert read_images(tmp_path / "found/measured").fingerprint == projected.measured.fingerprint
    labels = read_images(tmp_path / "found")[1].labels
    assert labels["projected from"] == "s1"
    assert labels["correlation"] == projected.records[1].correlation
    assert labels["loss"] == projected.records[1].loss
    np.testing.assert_array_equal(load_file(tmp_path / "found" / "styles.safetensors")["styles"], projected.styles)
    told = json.loads((tmp_path / "found" / "projections.json").read_text())
    assert [one["rms_error"] for one in told["projections"]] == [one.rms_error for one in projected.records]


def test_a_projection_depends_on_its_image_and_not_on_what_else_is_projected(run):
    images = Pictures(p.crop(5, 6, *SIZE) for p in random_set(3, seed=4))
    together = project(run, images, steps=20, cpu=True)
    apart = project(run, images, steps=20, batch_size=2, cpu=True)
    alone = project(run, Pictures([images[2]]), steps=20, cpu=True)
    for styles in (apart.styles[2], alone.styles[0]):
        np.testing.assert_allclose(styles, together.styles[2], atol=2e-3)
    assert np.abs(together.styles[0] - together.styles[2]).max() > 0.05
    assert np.ptp(together.styles, axis=1).max() == 0  # one style for all layers
    other = project(run, Pictures([images[2]]), steps=20, seed=1, cpu=True)
    assert np.abs(other.styles[0] - alone.styles[0]).max() > 1e-2  # other noise, another way
    extended = project(run, images, steps=20, extended=True, cpu=True)
    assert np.ptp(extended.styles, axis=1).max() > 0.05


def test_beyond_black_and_white_nothing_is_compared():
    measured = torch.cat([torch.full((1, 1, 16, 16), 1.0), torch.full((1, 1, 16, 16), -1.0), torch.zeros(1, 1, 16, 16)])
    likeness = _Likeness(measured, 1, None)
    assert likeness(1.5 * measured).tolist() == [0, 0, 0]
    assert (likeness(0.5 * measured)[:2] > 0).all()
    assert (likeness(-1.5 * measured)[:2] > 0).all()
    assert float(likeness(measured + 0.1)[2]) > 0


def test_larger_images_give_their_middle_or_the_crop_that_is_asked_for(run, capsys):
    images = random_set(2, (40, 48))
    middle = project(run, images, steps=1, cpu=True)
    assert "middle 16 x 24 of 2 larger images" in capsys.readouterr().err
    np.testing.assert_array_equal(middle.measured[0].pixels, images[0].pixels[:, 12:28, 12:36])
    asked = project(run, images, steps=1, crop_at=(3, 7), cpu=True)
    np.testing.assert_array_equal(asked.measured[1].pixels, images[1].pixels[:, 3:19, 7:31])
    assert asked.records[1].region == (3, 7, 16, 24)
    assert asked.pictures[1].origin.region == (3, 7, 16, 24)


def test_a_run_with_masks_projects_images_with_and_without(tmp_path):
    images = Pictures(replace(p, mask=p.grey > 128) for p in random_set())
    made = start(tmp_path / "run", images=images, with_masks=True)
    bare = Pictures(replace(p, mask=None) for p in images)
    for some in (images, bare):
        found = project(made, some, steps=2, cpu=True)
        assert found.pictures.channels == 1
        assert all(p.mask is not None for p in found.pictures)
    # The mask counts where there is one: all else equal, an inverted mask leads to another style.
    inverted = Pictures(replace(p, mask=~p.mask) for p in images)
    one, other = (project(made, some, steps=10, cpu=True).styles for some in (images, inverted))
    assert np.abs(one - other).max() > 1e-2
    with pytest.raises(Problem, match="only 1 of 2 images have a mask"):
        project(made, Pictures([images[0], bare[1]]), steps=2, cpu=True)


def test_what_is_asked_goes_through_the_seeds(tmp_path, capsys):
    made = start(tmp_path / "run", conditions=CONDITIONS)
    low, high = made.record.conditions.numbers[0].low, made.record.conditions.numbers[0].high
    asked = {"brightness": (low, high), "kind": "odd"}
    line = interpolate(made, [1, 2, 3], steps=3, space="z", asked=asked, cpu=True)
    brightness = [p.labels["asked brightness"] for p in line]
    assert brightness == pytest.approx(np.interp([0, 1, 2, 2, 3, 4], [0, 4], [low, high]), abs=1e-6)
    assert {p.labels["asked kind"] for p in line} == {"odd"}
    straight = interpolate(made, [1, 2, 3], steps=3, asked=asked, cpu=True)
    assert "asked brightness" not in straight[1].labels  # between two styles nothing was asked
    assert straight[2].labels["asked brightness"] == pytest.approx((low + high) / 2)
    assert_equal(line[2], straight[2].pixels)  # both ways end at the style of the second seed under its condition
    same = generate(made, count=1, seed=1, asked={"brightness": low, "kind": "odd"}, cpu=True)[0]
    assert_equal(line[0], same.pixels)
    with pytest.raises(Problem, match="training never saw kind 'blue'"):
        mix(made, [1], [2], asked={"kind": "blue"}, cpu=True)
    with pytest.raises(Problem, match="brightness 99 is asked"):
        interpolate(made, [1, 2], asked={"brightness": 99.0}, strict=True, cpu=True)
    # What lies outside is told once, and not for each seed.

    for asked, said in (({"brightness": 99.0}, "99 is asked"), ({"brightness": (low, 99.0)}, "and 1 more")):
        capsys.readouterr()
        interpolate(made, [1, 2, 3], steps=2, asked=asked, cpu=True)
        mix(made, [1], [2, 3], asked=asked, cpu=True)
        told = " ".join(capsys.readouterr().err.split())
        assert told.count("Warning: brightness") == 2
        assert said in told


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda run: interpolate(run, [3]), "give two seeds or more"),
        (lambda run: interpolate(run, [3, 4], steps=1), "give 2 steps or more"),
        (lambda run: mix(run, [], [4]), "give at least one row and one column"),
        (lambda run: mix(run, [3], [4], layers="7-99"), "there are no layers '7-99' in this run"),
        (lambda run: project(run, random_set(channels=3)), "have 3 channels, and the run makes 1"),
        (lambda run: project(run, random_set(dtype="uint16")), "are uint16, and the run makes uint8"),
        (lambda run: project(run, random_set(size=(12, 48))), "smaller than the crop 16 x 24"),
        (lambda run: project(run, random_set(), crop_at=(30, 0)), "a crop of 16 x 24 at 30, 0 leaves"),
        (lambda run: project(run, random_set(), steps=0), "give a number from 1 up"),
        (lambda run: project(run, random_set(), perceptual=True), "AlexNet needs 31 pixels a side"),
    ],
)
def test_what_cannot_be_done_is_one_line(run, call, message):
    with pytest.raises(Problem, match=message):
        call(run)


def test_a_run_without_styles_is_refused_and_leaves_no_folder(tmp_path):
    made = train("vae", random_set(), tmp_path / "run", images_seen=4, size=SIZE, settings=SMALL["vae"], cpu=True)
    for call in (
        lambda: interpolate(made, [1, 2], folder=tmp_path / "out"),
        lambda: mix(made, [1], [2], folder=tmp_path / "out"),
        lambda: project(made, random_set(), folder=tmp_path / "out"),
    ):
        with pytest.raises(Problem, match="is a run of vae, which has no styles"):
            call()
    assert not (tmp_path / "out").exists()


def found_at(sheet, tile):
    """Top and left of a tile in a sheet, pixel for pixel; None where it is not."""
    height, width = tile.shape[:2]
    corners = np.argwhere((sheet[: 1 - height or None, : 1 - width or None] == tile[0, 0]).all(axis=-1))
    return next((tuple(c) for c in corners if (sheet[c[0] :, c[1] :][:height, :width] == tile).all()), None)


def decoded(png):
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))


def drawn(picture, grey, factor=5):
    tile = shades(picture, grey).repeat(factor, axis=0).repeat(factor, axis=1)
    return np.repeat(tile[..., None], 3, axis=2)


def test_strips_and_matrices_show_every_image_pixel_for_pixel_in_its_place():
    made = [p.crop(0, 0, *SIZE) for p in random_set(8, seed=2)]
    grey = grey_scale(made)
    sheet = decoded(strips_png([made[:4], made[4:]], [("seed 1", "seed 2"), ("seed 2", "seed 3")]))
    places = [found_at(sheet, drawn(p, grey)) for p in made]
    assert places == sorted(places)  # row after row, from left to right
    sheet = decoded(strips_png([made[1:4]], [("a", "b")], [(made[0], made[4])]))
    places = [found_at(sheet, drawn(p, grey_scale(made[:5]))) for p in made[:5]]
    assert places == sorted(places)  # measured ones beyond the ends of their line
    rows, columns, images = made[:1], made[1:3], made[3:5]
    grey = grey_scale([*rows, *columns, *images])
    sheet = decoded(matrix_png(
        Pictures(rows), Pictures(columns), Pictures(images), row_names=["a"], column_names=["b", "c"], corner="layer 0"
    ))  # fmt: skip
    (row,), (first, second), (left, right) = (
        [found_at(sheet, drawn(p, grey)) for p in some] for some in (rows, columns, images)
    )
    assert row[0] == left[0] == right[0] > first[0] == second[0]
    assert row[1] < left[1] == first[1] < right[1] == second[1]


def test_differences_are_red_where_the_projection_is_brighter_and_white_where_it_is_equal():
    dark = random_set(1, SIZE)[0]
    dark = replace(dark, pixels=(dark.pixels // 2))
    bright, equal = replace(dark, pixels=dark.pixels + 60), dark
    sheet = decoded(projections_png(Pictures([dark, dark]), Pictures([bright, equal]), ["one", "two"])).astype(int)
    grey = grey_scale([dark, dark])
    top, left = found_at(sheet, drawn(dark, grey))
    step = 24 * 5 + 6
    difference = sheet[top : top + 80, left + 2 * step : left + 2 * step + 120]
    below = sheet[top + 86 : top + 166, left + 2 * step : left + 2 * step + 120]
    assert (difference[..., 0] > difference[..., 2] + 50).all()
    assert np.ptp(below.reshape(-1, 3), axis=0).max() == 0
    assert below.min() > 240
