"""Pipelines of diffusers from a folder: what they are fed, what comes back, and what is refused."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch

from morphogen.editing.editor import Instruction, editor_class, editor_settings
from morphogen.editing.pipeline import edges
from morphogen.generation.text_to_image import text_to_image
from morphogen.images.folders import read_images
from morphogen.images.image_set import Pictures
from morphogen.images.picture import TRAINED_THROUGH
from morphogen.pretrained.pipeline import Frame, Pipeline, PipelineIndex, declared_intensity, from_rgb, to_rgb
from morphogen.problems import Problem
from small_sets import random_set

ASKED = {
    "text": Instruction(caption="large grains"),
    "inpaint": Instruction(caption="large grains"),
    "instruct": Instruction(words="more pores"),
    "control": Instruction(caption="large grains"),
    "unclip": Instruction(),
}
SIZE = (18, 30)  # of no pipeline's multiple


def hole(size=SIZE):
    mask = np.zeros(size, bool)
    mask[5:12, 7:20] = True
    return mask


@pytest.fixture(scope="module")
def editors(pipelines):
    """Each kind of pipeline opened once, with few steps."""
    settings = editor_settings("pipeline", {"steps": 2, "guidance": 2.0, "strength": 0.99})
    return {kind: editor_class("pipeline")(settings, folder, cpu=True) for kind, folder in pipelines.items()}


def edited(editor, sources, asked, *, seed=3, first=0):
    return editor.edit(list(sources), [asked] * len(sources), seed=seed, first=first)


@pytest.mark.parametrize("kind", ASKED)
def test_every_pipeline_keeps_type_grey_and_what_is_outside_of_the_mask(editors, kind):
    masked = replace(ASKED[kind], mask=hole())
    if kind == "unclip":
        masked = replace(masked, caption="large grains")
    dtype, channels = ("float32", 1) if kind == "control" else ("uint16", 3 if kind == "instruct" else 1)
    [source] = random_set(1, SIZE, channels, dtype)
    [edit] = edited(editors[kind], [source], masked)
    made = edit.picture
    assert (made.pixels.shape, made.pixels.dtype) == (source.pixels.shape, source.pixels.dtype)
    assert made.spacing_um == source.spacing_um
    np.testing.assert_array_equal(edit.region, hole())
    np.testing.assert_array_equal(made.pixels[:, ~hole()], source.pixels[:, ~hole()])
    assert np.mean(made.pixels[:, hole()] != source.pixels[:, hole()]) > 0.5
    # On the source's own scale, and not stretched to it.
    assert source.pixels.min() <= made.pixels.min()
    assert made.pixels.max() <= source.pixels.max()
    assert made.labels[TRAINED_THROUGH] == "vgg16"


@pytest.mark.parametrize("kind", ["text", "instruct", "control", "unclip"])
def test_an_edit_depends_on_the_number_of_the_picture_and_not_on_its_batch(editors, kind):
    sources = list(random_set(2, SIZE))
    together = edited(editors[kind], sources, ASKED[kind], first=4)
    alone = edited(editors[kind], sources[1:], ASKED[kind], first=5)[0]
    there, here = (e.picture.pixels.astype(int) for e in (together[1], alone))
    assert np.abs(there - here).max() <= 1
    [other] = edited(editors[kind], sources[1:], ASKED[kind], first=6)
    assert np.abs(other.picture.pixels.astype(int) - here).max() > 1
    assert together[0].region.all()


def test_pictures_with_and_without_a_mask_may_be_in_one_batch(editors):
    sources = list(random_set(3, SIZE))
    asked = [ASKED["text"], replace(ASKED["text"], mask=hole()), ASKED["text"]]
    together = editors["text"].edit(sources, asked, seed=0, first=0)
    for k, edit in enumerate(together):
        [alone] = editors["text"].edit([sources[k]], [asked[k]], seed=0, first=k)
        assert np.abs(edit.picture.pixels.astype(int) - alone.picture.pixels.astype(int)).max() <= 1
        assert edit.source is sources[k]


def test_little_strength_changes_less_than_much(pipelines):
    [source] = random_set(1, (16, 16), channels=3)
    moved = []
    for strength in (0.1, 1.0):
        settings = editor_settings("pipeline", {"steps": 10, "guidance": 1.0, "strength": strength})
        editor = editor_class("pipeline")(settings, pipelines["text"], cpu=True)
        latents = [edited(editor, [source], ASKED["text"], seed=seed)[0].picture.pixels for seed in (1, 2)]
        moved.append(np.abs(latents[0].astype(int) - latents[1].astype(int)).mean())
    assert moved[0] < 0.8 * moved[1]  # how far two seeds lie apart


@pytest.mark.parametrize(("strength", "masked"), [(None, False), (0.9, False), (None, True)])
def test_a_controlnet_sees_what_it_is_told(pipelines, strength, masked):
    [source] = random_set(1, (16, 16))
    source = replace(source, mask=hole((16, 16)))
    asked = replace(ASKED["control"], mask=source.mask) if masked else ASKED["control"]
    found = {}
    editor = editor_class("pipeline")(editor_settings("pipeline"), pipelines["control"], cpu=True)
    for control, weight in (("edges", 1.0), ("mask", 1.0), ("image", 1.0), ("image", 0.0), ("mask", 0.0)):
        settings = {"steps": 2, "guidance": 1.0, "control": control, "control_weight": weight, "strength": strength}
        editor.settings = editor_settings("pipeline", settings)
        found[control, weight] = edited(editor, [source], asked)[0].picture.pixels.tobytes()
    assert found["image", 0.0] == found["mask", 0.0]
    assert len(set(found.values())) == 4


def test_edges_are_where_grey_values_step():
    step = np.zeros((20, 30))
    step[:, 13:] = 1
    found = edges(step, 1.0)
    assert (found[3:-3, 12:14].sum(axis=1) >= 1).all()
    assert found[:, :11].sum() + found[:, 15:].sum() == 0


def test_grey_goes_to_a_network_and_back_without_loss_or_tint():
    [source] = random_set(1, (7, 9), dtype="uint16")
    scale = declared_intensity(source)
    there = to_rgb(source, scale)
    assert there.min() == 0
    assert there.max() == 1
    np.testing.assert_array_equal(there[0], there[2])
    np.testing.assert_array_equal(from_rgb(there, 1, scale), source.pixels)
    tinted = np.stack([np.full((7, 9), v, np.float32) for v in (0.8, 0.2, 0.4)])
    wanted = 0.299 * 0.8 + 0.587 * 0.2 + 0.114 * 0.4
    lowest, highest = source.pixels.min(), source.pixels.max()
    grey = from_rgb(tinted, 1, scale)
    assert grey.shape == (1, 7, 9)
    assert grey[0, 0, 0] == round(float(lowest) + wanted * (float(highest) - float(lowest)))
    # An image of 8 bit says where black and white are, whatever it shows.
    [dark] = random_set(1, (7, 9))
    dark = replace(dark, pixels=dark.pixels // 4)
    assert to_rgb(dark, declared_intensity(dark)).max() < 0.26
    assert declared_intensity(source, 0, 65535).high == 65535


@pytest.mark.parametrize("size", [(18, 30), (1, 5), (16, 32)])
def test_a_rectangle_is_filled_up_and_cut_back(size):
    image = np.random.default_rng(0).random((3, *size))
    frame = Frame.of(size, 8)
    outer = frame.fill(image)
    assert all(side % 8 == 0 and side - 8 < wanted for side, wanted in zip(outer.shape[1:], size, strict=True))
    np.testing.assert_array_equal(frame.cut(outer), image)
    if size == (18, 30):  # three rows more above, and a pixel beside: mirrored at the outermost row
        np.testing.assert_array_equal(outer[:, 2, 1:-1], image[:, 1])
        np.testing.assert_array_equal(outer[:, 3:-3, 0], image[:, :, 1])


def test_text_to_image(pipelines, tmp_path):
    options = {"steps": 2, "guidance": 2.0, "cpu": True}
    all_three = text_to_image(pipelines["text"], "large grains", count=3, seed=1, batch_size=3, **options)
    again = text_to_image(
        pipelines["text"], "large grains", count=3, seed=1, batch_size=2, folder=tmp_path / "made", **options
    )
    assert all_three[0].pixels.shape == (3, 16, 16)  # what the tiny pipeline learnt from
    for one, other in zip(all_three, again, strict=True):
        assert np.abs(one.pixels.astype(int) - other.pixels.astype(int)).max() <= 1
    assert read_images(tmp_path / "made").fingerprint == again.fingerprint
    assert again[2].labels["caption"] == "large grains"
    grey = text_to_image(pipelines["text"], "large grains", count=1, seed=1, grey=True, **options)
    np.testing.assert_allclose(grey[0].pixels[0], all_three[0].grey, atol=1)
    wide = text_to_image(pipelines["text"], "large grains", count=1, size=(18, 30), **options)
    assert wide[0].size == (18, 30)
    other = text_to_image(pipelines["text"], "small pores", count=1, seed=1, **options)
    assert np.abs(other[0].pixels.astype(int) - all_three[0].pixels.astype(int)).max() > 1
    with pytest.raises(Problem, match="changes images and draws none"):
        text_to_image(pipelines["instruct"], "large grains", **options)


def test_what_a_pipeline_cannot_follow_is_refused_before_it_works(editors):
    [source] = random_set(1, SIZE)
    for kind, asked, message in (
        ("text", Instruction(), "needs a caption"),
        ("text", Instruction(words="more pores"), "follows no instruction"),
        ("instruct", Instruction(caption="pores"), "follows an instruction"),
        ("instruct", Instruction(), "follows an instruction"),
        ("inpaint", Instruction(caption="pores"), "paints holes"),
        ("text", Instruction(caption="many pores and many grains"), "24 tokens.*reads 16"),
        ("text", Instruction(caption="a" * 10_000), "more than 322 tokens.*reads 16"),
    ):
        with pytest.raises(Problem, match=message):
            editors[kind].check(source, asked)
    [four] = random_set(1, SIZE, channels=4)
    with pytest.raises(Problem, match="4 channels"):
        editors["text"].check(four, ASKED["text"])
    with pytest.raises(Problem, match="leave none"):
        editor_settings("pipeline", {"steps": 2, "strength": 0.1})


def test_folders_that_are_no_pipelines_are_refused(pipelines, tmp_path):
    def copy(name, **changes):
        folder = tmp_path / name
        shutil.copytree(pipelines["text"], folder)
        index = json.loads((folder / "model_index.json").read_text())
        (folder / "model_index.json").write_text(json.dumps(index | changes))
        return folder

    pickled = copy("pickled")
    (pickled / "unet" / "diffusion_pytorch_model.bin").write_bytes(b"\x80\x04.")
    empty = copy("empty")
    (empty / "model_index.json").unlink()
    damaged = copy("damaged")
    (damaged / "model_index.json").write_text("{")
    cut = copy("cut")
    (cut / "unet" / "diffusion_pytorch_model.safetensors").write_bytes(b"\x10")
    for folder, message in (
        (tmp_path / "none", "no folder"),
        (pickled, r"pickled weights, unet/diffusion_pytorch_model\.bin"),
        (empty, "no model_index.json"),
        (damaged, "damaged"),
        (copy("unknown", _class_name="FluxPipeline"), "FluxPipeline, which is not understood"),
        (copy("code", _class_name=["own", "OwnPipeline"]), "code of its own"),
        (copy("part", unet=["own", "OwnUNet"]), "code of its own"),
        (cut, "cannot be opened as a StableDiffusionPipeline"),
    ):
        with pytest.raises(Problem, match=message) as refused:
            Pipeline(folder)
        assert "\n" not in str(refused.value)
    assert PipelineIndex.read(pipelines["unclip"]).kind == "unclip"


def test_weights_of_half_precision_are_used_at_full(pipelines, tmp_path):
    for variant in (None, "fp16"):
        folder = tmp_path / str(variant)
        half = Pipeline(pipelines["text"]).diffusers.to(torch.float16)
        half.save_pretrained(folder, variant=variant, safe_serialization=True)
        opened = Pipeline(folder).diffusers
        parts = (opened.unet, opened.vae, opened.text_encoder)
        assert {p.dtype for part in parts for p in part.parameters()} == {torch.float32}


def test_sets_of_edits_are_one_kind_of_image(editors):
    """What an editor gives can be put into a set, and so be written and evaluated."""
    edits = edited(editors["text"], random_set(2, SIZE, dtype="uint16"), ASKED["text"])
    assert len(Pictures(edit.picture for edit in edits)) == 2
