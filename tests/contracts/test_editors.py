"""What every editor promises; a new file in editing/ is tested without a line here (but see small_editors.py)."""

import json
from dataclasses import replace

import numpy as np
import pytest

from morphogen.cli import cli
from morphogen.editing.edit import SOURCE, edit
from morphogen.editing.editor import PARTS, Instruction, editor_class, editor_names, editor_settings, require_sound
from morphogen.images.folders import read_images, write_images
from morphogen.images.image_set import Pictures
from morphogen.images.picture import EDITED_BY, Picture
from morphogen.problems import Problem
from small_editors import SMALL_EDITORS, diffusion_run, hole
from small_sets import random_set


@pytest.fixture(params=editor_names())
def name(request) -> str:
    return request.param


def edited(name, images=None, **options):
    small = SMALL_EDITORS[name]
    images = small.images() if images is None else images
    settings = small.settings | options.pop("settings", {})
    asked = [small.asks(picture) for picture in images]
    return edit(name, images, asked, model=small.model(), settings=settings, cpu=True, **options)


def test_what_is_edited_is_on_record_and_the_rest_is_the_source_to_the_bit(name, tmp_path):
    small, images = SMALL_EDITORS[name], SMALL_EDITORS[name].images()
    before = [picture.pixels.copy() for picture in images]
    found = edited(name, images, folder=tmp_path / "out", seed=3)
    assert len(found.each) == len(images)
    for source, pixels, one in zip(images, before, found.each, strict=True):
        assert np.array_equal(source.pixels, pixels)  # the source is not touched
        picture, region = one.picture, one.region
        assert (picture.pixels.dtype, picture.channels) == (source.pixels.dtype, source.channels)
        assert picture.spacing_um == source.spacing_um
        assert picture.labels[EDITED_BY] == name
        assert not set(source.labels) & set(picture.labels)
        assert all(picture.labels[SOURCE + label] == value for label, value in source.labels.items())
        if small.grows:
            assert np.array_equal(picture.pixels[:, ~region].ravel(), pixels.ravel())
            continue
        assert picture.size == source.size
        assert picture.origin == source.origin
        assert np.array_equal(picture.pixels[:, ~region], pixels[:, ~region])
        mask = small.asks(source).mask
        assert mask is None or not (region & ~mask).any()
        assert name == "identity" or region.any()
        assert name == "identity" or not np.array_equal(picture.pixels, pixels)
    lines = [json.loads(line) for line in (tmp_path / "out" / "edits.jsonl").read_text().splitlines()]
    back, regions = read_images(tmp_path / "out"), read_images(tmp_path / "out" / "regions")
    for line, one, read, region in zip(lines, found.each, back, regions, strict=True):
        assert (line["editor"], line["seed"]) == (name, 3)
        assert bool(line["model_fingerprint"]) == bool(editor_class(name).model)
        assert np.array_equal(read.pixels, one.picture.pixels)
        assert np.array_equal(region.pixels[0] == 255, one.region)
        assert set(line["maps"]) == set(one.maps)
        for title, shown in one.maps.items():
            stored = read_images(tmp_path / "out" / "maps" / line["maps"][title]["file"])[0].pixels[0] / 65535
            low, high = line["maps"][title]["black"], line["maps"][title]["white"]
            np.testing.assert_allclose(low + stored * (high - low), shown, atol=1e-4 * max(high - low, 1e-6))


def test_the_same_seed_gives_the_same_edit_at_any_batch_size(name):
    small = SMALL_EDITORS[name]
    together, apart = edited(name, batch_size=3), edited(name, batch_size=1)
    for one, other in zip(together.each, apart.each, strict=True):
        assert np.array_equal(one.region, other.region)
        apart_by = np.abs(one.picture.pixels.astype(float) - other.picture.pixels.astype(float))
        assert apart_by.max() <= small.slack
        assert (apart_by > 0).mean() < 0.02
    (other,) = edited(name, Pictures([small.images()[0]]), seed=1).each
    assert np.array_equal(other.picture.pixels, together.each[0].picture.pixels) != small.by_chance


def test_grey_values_that_the_model_never_saw_are_told_of_once(name, capsys):
    small = SMALL_EDITORS[name]
    sees = editor_class(name)(editor_settings(name, small.settings), small.model(), cpu=True).sees
    if sees is None:
        pytest.skip("no range of grey values limits it")
    within, beyond = [], []
    for number, picture in enumerate(small.images()):
        inside = picture.pixels.clip(sees.low, sees.high).astype(sees.dtype)
        outside = inside.copy()
        outside[:, 0] = np.iinfo(sees.dtype).max if sees.high < np.iinfo(sees.dtype).max else 0
        assert sees.share_beyond(outside) == pytest.approx(1 / picture.size[0])
        within.append(replace(picture, pixels=inside))
        beyond.append(replace(picture, pixels=outside if number == 0 else inside))
    edited(name, Pictures(within))
    assert "grey values beyond" not in capsys.readouterr().err
    edited(name, Pictures(beyond))
    assert capsys.readouterr().err.count(f"Warning: 1 of {len(beyond)} images have grey values beyond") == 1


def test_what_it_says_of_itself_is_true(name):
    kind, small = editor_class(name), SMALL_EDITORS[name]
    assert kind.title
    assert kind.needs <= kind.takes <= PARTS
    picture = small.images()[0]
    asked = small.asks(picture)
    require_sound(name, picture, asked)
    assert kind.needs <= asked.given
    everything = {"caption": "a rock", "before": "a rock", "words": "more pores", "mask": hole(picture),
                  "emphasis": {"rock": 2.0}, "asked": {"porosity": 0.3}}  # fmt: skip
    for part in PARTS - kind.takes:
        with pytest.raises(Problem, match="makes nothing of"):
            require_sound(name, picture, Instruction(**{n: everything[n] for n in kind.needs | {part}}))
    for part in kind.needs:
        with pytest.raises(Problem, match=f"{name} needs"):
            require_sound(name, picture, Instruction(**{n: everything[n] for n in kind.needs - {part}}))
    if kind.model:
        with pytest.raises(Problem, match=f"{name} works with .*: name the folder"):
            edit(name, small.images(), asked, settings=small.settings)
    with pytest.raises(Problem, match="'stength' is not a known key"):
        editor_settings(name, small.settings | {"stength": 1})


def test_masks_are_those_of_the_pictures_or_called_as_they_are():
    images = random_set(3, (16, 20))
    masks = [p.grey > 0.5 * p.grey.max() for p in images]
    pairs = reversed(list(zip(images, masks, strict=True)))
    drawn = Pictures(Picture(255 * mask[None].astype(np.uint8), p.spacing_um, p.origin) for p, mask in pairs)
    found = edit("noise", images, masks=drawn)
    assert all(np.array_equal(one.region, mask) for one, mask in zip(found.each, masks, strict=True))
    one_for_all = edit("noise", images, masks=Pictures([drawn[0]]))
    assert all(np.array_equal(one.region, masks[2]) for one in one_for_all.each)
    with pytest.raises(Problem, match="no mask is called 0"):
        edit("noise", images, masks=Pictures([drawn[0], drawn[1]]))
    with pytest.raises(Problem, match=r"have a mask|no mask"):
        edit("noise", images, masks="masks")


@pytest.mark.parametrize(
    ("instruction", "message"),
    [
        (Instruction(caption="  "), "a text is empty"),
        (Instruction(words="x" * 10_000), "a text has 10,000 characters, 'xxxx"),
        (Instruction(mask=np.ones((9, 9), bool)), "a mask of 9 x 9 does not fit an image of 16 x 20"),
        (Instruction(mask=np.ones((16, 20), bool)), "the mask lets all of the image change"),
        (Instruction(mask=np.zeros((16, 20), bool)), "the mask lets nothing of the image change"),
    ],
)
def test_instructions_that_cannot_be_followed_are_refused(tmp_path, instruction, message):
    with pytest.raises(Problem, match=message):
        edit("identity", random_set(2, (16, 20)), instruction, folder=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_another_image_is_of_another_specimen_where_there_is_one():
    images = random_set(3, (40, 48))
    found = edited("another", images)
    assert all(not np.array_equal(one.picture.pixels, one.source.pixels) for one in found.each)
    with pytest.raises(Problem, match="no other image than 0 is as large as its 50 x 48"):
        edited("another", random_set(1, (50, 48)))
    with pytest.raises(Problem, match="0 has channels 3, and the other images have 1"):
        edited("another", random_set(1, (40, 48), 3))


def test_the_command_writes_edits_and_a_picture_of_them(tmp_path, capsys):
    def ask(*words):
        cli.main([str(word) for word in words], standalone_mode=False)

    write_images(random_set(2, (24, 36)), tmp_path / "in", extension=".tif")
    given = (
        "edit",
        "outpaint",
        tmp_path / "in",
        "--model",
        diffusion_run(),
        "-p",
        "right=10",
        "-p",
        "passes=0",
        "--cpu",
    )
    with pytest.raises(Problem, match="--caption is empty"):
        ask(*given, "-o", tmp_path / "out", "--caption", " ")
    with pytest.raises(Problem, match="'ritgh' is not a known key: did you mean 'right'"):
        ask(*given, "-p", "ritgh=2", "-o", tmp_path / "out")
    assert not (tmp_path / "out").exists()
    ask(*given, "-o", tmp_path / "out")
    assert sorted(f.name for f in (tmp_path / "out" / "images").glob("*.tif")) == ["0000.tif", "0001.tif"]
    picture = read_images(tmp_path / "out" / "edits.png")[0]
    assert picture.channels == 3  # its own colours, though the images are grey
    assert picture.size[0] > 4 * 24
    ask("editors")
    ask("editors", "outpaint")
    said = capsys.readouterr().out
    assert "2 images of 24 x 46" in said
    assert "-p right=..." in said
    assert set(editor_names()) <= set(said.split())
