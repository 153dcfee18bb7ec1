"""A LoRA of a tiny pipeline: it learns, is saved as others open it, and is used by what draws and edits."""

import json
import shutil
import signal
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from morphogen.editing.editor import Instruction, editor_class, editor_settings
from morphogen.generation.text_to_image import text_to_image
from morphogen.images.cropping import Batch, RandomCrops
from morphogen.images.image_set import Pictures
from morphogen.images.intensity import IntensityMap
from morphogen.images.picture import TRAINED_ON
from morphogen.mathematics.randomness import Randomness
from morphogen.pretrained.pipeline import LORA_WEIGHTS, Pipeline, read_lora_record
from morphogen.problems import Problem
from morphogen.training.lora import CHECKPOINT, CaptionedCrops, LoraSettings, LowRankChanges, lora
from small_sets import random_set

CAPTION = "grains"


def images():
    return random_set(2, (24, 40), dtype="uint16")


@pytest.fixture(scope="module")
def taught(pipelines, tmp_path_factory):
    folder = tmp_path_factory.mktemp("lora") / "grains"
    losses = []
    record = lora(
        pipelines["text"], images(), folder, rank=4, caption=CAPTION, images_seen=320, size=(16, 24), batch_size=8,
        learning_rate=3e-2, cpu=True, on_report=lambda report: losses.append(report.losses["denoising"]),
    )  # fmt: skip
    return folder, record, losses


def held_out_loss(pipelines, folder):
    """The pipeline's own loss on crops and noise that training did not see."""
    opened = Pipeline(pipelines["text"])
    model = LowRankChanges(LoraSettings(rank=4, caption_dropout=0), opened, [CAPTION], seed=0)
    if folder is not None:
        wanted = load_file(folder / LORA_WEIGHTS)
        assert set(wanted) == set(model.weights())
        opened.diffusers.unet.delete_adapters("lora")
        opened.diffusers.unet.load_lora_adapter(str(folder), weight_name=LORA_WEIGHTS, prefix="unet")
    pictures = images()
    crops = CaptionedCrops(RandomCrops(pictures, (16, 24), IntensityMap.of(pictures), seed=77), [CAPTION], CAPTION)
    with torch.no_grad():
        return float(model.loss("denoising", crops(0, 32), Randomness.of_images(8, 0, 32)).total)


def test_it_learns_and_changes_nothing_but_itself(pipelines, taught):
    folder, record, losses = taught
    assert held_out_loss(pipelines, folder) < 0.97 * held_out_loss(pipelines, None)
    assert len(losses) == 40
    assert record.images_seen == 320
    weights = load_file(folder / LORA_WEIGHTS)
    assert all(name.startswith("unet.") and ".lora_" in name for name in weights)
    assert {min(w.shape) for w in weights.values()} == {4}
    assert sorted(p.name for p in folder.iterdir()) == [CHECKPOINT, "lora.json", "progress.jsonl", LORA_WEIGHTS]
    assert json.loads((folder / "progress.jsonl").read_text().splitlines()[-1])["images_seen"] == 320


def test_it_is_no_change_before_it_learns(pipelines):
    opened = Pipeline(pipelines["text"])
    x, t = torch.randn(1, 4, 8, 8), torch.tensor([3])
    states = torch.randn(1, 16, 16)
    before = opened.diffusers.unet(x, t, states).sample
    model = LowRankChanges(LoraSettings(), opened, [CAPTION], seed=0)
    torch.testing.assert_close(opened.diffusers.unet(x, t, states).sample, before)
    assert 0 < sum(p.numel() for p in model.parameters()) < sum(p.numel() for p in opened.diffusers.unet.parameters())


@pytest.mark.parametrize("predicts", ["epsilon", "v_prediction"])
def test_its_loss_is_the_one_of_the_pipeline_as_diffusers_has_it(pipelines, predicts):
    opened = Pipeline(pipelines["text"])
    parts = opened.diffusers
    parts.scheduler.register_to_config(prediction_type=predicts)
    model = LowRankChanges(LoraSettings(caption_dropout=0.5), opened, ["grains", "pores"], seed=0)
    pictures = random_set(1, (16, 24), channels=1)
    crops = RandomCrops(pictures, (16, 24), IntensityMap.of(pictures))(0, 6)
    batch = Batch(crops, torch.tensor([0.0, 1, 0, 1, 0, 1])[:, None])
    with torch.no_grad():
        found = float(model.loss("denoising", batch, Randomness.of_images(5, 0, 6)).total)

    random = Randomness.of_images(5, 0, 6)
    seen = parts.vae.encode(crops.repeat(1, 3, 1, 1)).latent_dist
    latent = (seen.mean + seen.std * random.normal(4, 8, 12)) * parts.vae.config.scaling_factor
    step, noise, left_out = random.integers(100), random.normal(4, 8, 12), random.uniform() < 0.5
    assert 0 < left_out.sum() < 6
    texts = ["" if out else word for out, word in zip(left_out, ["grains", "pores"] * 3, strict=True)]
    states = parts.encode_prompt(texts, "cpu", 1, False)[0]
    said = parts.unet(parts.scheduler.add_noise(latent, noise, step), step, states).sample
    wanted = noise if predicts == "epsilon" else parts.scheduler.get_velocity(latent, noise, step)
    assert found == pytest.approx((said - wanted).square().mean().item(), rel=1e-4)


def test_images_drawn_with_it_are_of_the_kind_it_learnt(pipelines, taught):
    folder, record, _ = taught
    options = {"count": 1, "steps": 2, "guidance": 1.0, "cpu": True, "seed": 4}
    with_it = text_to_image(pipelines["text"], CAPTION, lora=folder, **options)[0]
    assert (with_it.pixels.dtype, with_it.channels) == (np.uint16, 1)
    assert with_it.spacing_um == images()[0].spacing_um
    assert with_it.labels[TRAINED_ON] == images().fingerprint
    lowest, highest = (f(p.pixels) for f, p in ((np.min, images()[0]), (np.max, images()[0])))
    assert record.intensity.low <= lowest < highest <= record.intensity.high
    none_of_it = text_to_image(pipelines["text"], CAPTION, lora=folder, lora_weight=0.0, **options)[0]
    without = text_to_image(pipelines["text"], CAPTION, grey=True, **options)[0]
    scale = record.intensity
    np.testing.assert_allclose(scale.to_unit(none_of_it.pixels), without.pixels / 127.5 - 1, atol=0.01)
    assert np.abs(scale.to_unit(with_it.pixels) - scale.to_unit(none_of_it.pixels)).max() > 0.02


def test_editors_use_it(pipelines, taught):
    source = images()[0].crop(0, 0, 16, 24)
    asked = Instruction(caption=CAPTION)
    made = []
    for settings in ({}, {"lora": str(taught[0])}, {"lora": str(taught[0]), "lora_weight": 0}):
        chosen = editor_settings("pipeline", {"steps": 3, "guidance": 1.0, "strength": 1.0} | settings)
        editor = editor_class("pipeline")(chosen, pipelines["text"], cpu=True)
        made.append(editor.edit([source], [asked], seed=0, first=0)[0].picture.pixels)
    np.testing.assert_allclose(made[0].astype(float), made[2].astype(float), atol=30)
    assert np.abs(made[0].astype(int) - made[1].astype(int)).max() > 300


def test_the_same_seed_gives_the_same_lora(pipelines, tmp_path):
    found = []
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        lora(pipelines["text"], images(), tmp_path / name, caption=CAPTION, images_seen=8, size=(16, 16), seed=seed,
             cpu=True)  # fmt: skip
        found.append(load_file(tmp_path / name / LORA_WEIGHTS))
    assert all(torch.equal(found[0][name], found[1][name]) for name in found[0])
    assert any(not torch.equal(found[0][name], found[2][name]) for name in found[0])


def test_a_lora_that_was_stopped_goes_on_bit_for_bit(pipelines, tmp_path):
    def teach(folder, **options):
        given = {"caption": CAPTION, "size": (16, 16), "rank": 2, "images_seen": 20, "cpu": True} | options
        return lora(pipelines["text"], images(), tmp_path / folder, **given)

    def stop_at(step):
        return lambda report: signal.raise_signal(signal.SIGINT) if report.step == step else None

    teach("whole")
    with pytest.raises(KeyboardInterrupt):
        teach("halves", on_report=stop_at(2))
    assert read_lora_record(tmp_path / "halves").images_seen == 8
    before = {p.name: p.read_bytes() for p in (tmp_path / "halves").iterdir()}
    for changes, message in (
        ({"seed": 1}, "seed 0, not 1"),
        ({"rank": 4}, "rank = 2, not 4"),
        ({"caption": "pores"}, "captions grains, not pores"),
        ({"size": (16, 24)}, r"crops of \(16, 16\)"),
        ({"symmetries": frozenset({"flip_horizontal"})}, "symmetries"),
        ({"clip_percent": 5.0}, "grey values from"),
    ):
        with pytest.raises(Problem, match=f"was started with .*{message}"):
            teach("halves", go_on=True, **changes)
    with pytest.raises(Problem, match="no LoRA to go on with"):
        teach("none", go_on=True)
    assert {p.name: p.read_bytes() for p in (tmp_path / "halves").iterdir()} == before
    steps = []
    record = teach("halves", go_on=True, on_report=lambda report: steps.append(report.step))
    assert steps == [3, 4, 5]
    assert record.images_seen == 20
    whole, halves = (load_file(tmp_path / name / LORA_WEIGHTS) for name in ("whole", "halves"))
    assert all(torch.equal(whole[name], halves[name]) for name in whole)
    assert any(bool(w.any()) for name, w in whole.items() if "lora_B" in name)
    assert teach("halves", go_on=True).images_seen == 20  # the budget is used up
    teach("halves", go_on=True, images_seen=24)
    assert any(not torch.equal(whole[name], w) for name, w in load_file(tmp_path / "halves" / LORA_WEIGHTS).items())
    # Others that are given the folder find the weights in it, and not the checkpoint.
    opened = Pipeline(pipelines["text"]).diffusers
    opened.load_lora_weights(str(tmp_path / "halves"), local_files_only=True)
    assert any("lora" in name for name, _ in opened.unet.named_parameters())


def test_each_image_has_its_own_caption():
    pictures = Pictures([replace(p, labels={"caption": text}) for p, text in zip(images(), "ab", strict=True)])
    crops = RandomCrops(pictures, (16, 16), IntensityMap.of(pictures))
    numbers = CaptionedCrops(crops, ["a", "b"], None)(0, 20).condition[:, 0].tolist()
    assert numbers == [float("ab".index(crops.crop(k).labels["caption"])) for k in range(20)]
    assert set(numbers) == {0.0, 1.0}


def test_what_cannot_be_taught_is_refused_and_leaves_nothing(pipelines, taught, tmp_path):
    def refused(message, pipeline="text", **options):
        given = {"caption": CAPTION, "images_seen": 4, "size": (16, 16), "cpu": True} | options
        with pytest.raises(Problem, match=message):
            lora(pipelines.get(pipeline, pipeline), images(), tmp_path / "none", **given)
        assert not (tmp_path / "none").exists()

    flow = shutil.copytree(pipelines["text"], tmp_path / "flow")
    index = (flow / "model_index.json").read_text().replace("DDIMScheduler", "FlowMatchEulerDiscreteScheduler")
    (flow / "model_index.json").write_text(index)
    refused("whose noise is not that of Stable Diffusion", pipeline=flow)
    refused("no caption", caption=None)
    refused("tokens", caption="a long description of grains")
    refused("told more than a text", pipeline="instruct")
    refused("cannot take images of 20 x 16", size=(20, 16))
    refused("smaller than the crop", size=(32, 16))
    refused("no model_index.json", pipeline=taught[0])

    foreign = tmp_path / "foreign"
    foreign.mkdir()
    save_file(
        {name: w[..., :1].contiguous() for name, w in load_file(taught[0] / LORA_WEIGHTS).items()},
        foreign / LORA_WEIGHTS,
    )
    nothing = tmp_path / "nothing"
    nothing.mkdir()
    save_file({"elsewhere.lora_A.weight": torch.zeros(2, 2)}, nothing / LORA_WEIGHTS)
    pickled = tmp_path / "pickled"
    shutil.copytree(taught[0], pickled)
    (pickled / "optimizer.pt").write_bytes(b"")
    for folder, message in (
        (foreign, "does not fit"),
        (nothing, "changes nothing|does not fit"),
        (pickled, "pickled weights"),
        (tmp_path / "missing", "no LoRA"),
    ):
        with pytest.raises(Problem, match=message):
            Pipeline(pipelines["text"], lora=folder)
    assert read_lora_record(foreign) is None
