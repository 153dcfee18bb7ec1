"""A control steers a run that stays as it is, by edges that are where they should be."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from morphogen.cli import cli
from morphogen.generation.generate import generate
from morphogen.images.context import Context, edges
from morphogen.images.folders import write_images
from morphogen.images.image_set import Pictures
from morphogen.images.picture import Origin, Picture
from morphogen.mathematics.randomness import Randomness
from morphogen.methods.method import SampleRequest
from morphogen.networks.conditioned_unet import ConditionedUNet
from morphogen.networks.steered_unet import Control, SteeredUNet
from morphogen.problems import Problem
from morphogen.training.control import control
from morphogen.training.train import train
from small_sets import SMALL, random_set, small_teacher

SETTINGS = {"batch_size": 4, "learning_rate": 2e-2}


@pytest.fixture(scope="module")
def steered(tmp_path_factory):
    return control(
        small_teacher(), random_set(), tmp_path_factory.mktemp("c") / "run", settings=SETTINGS, images_seen=24, cpu=True
    )


def test_the_run_stays_as_it_is_and_the_control_starts_as_its_encoder(steered):
    teacher, method = small_teacher().trained_method(), steered.trained_method()
    held = method.run.network.frozen.state_dict()
    for name, value in teacher.network.state_dict().items():
        assert torch.equal(held[name], value), name
    assert torch.equal(method.run.mean, teacher.mean)
    fresh = steered.new_method()
    fresh.learn_from(teacher)
    for name, value in fresh.control.down_blocks.state_dict().items():
        assert torch.equal(value, held[f"unet.down_blocks.{name}"]), name
    moved = [k for k, v in fresh.control.state_dict().items() if not torch.equal(v, method.control.state_dict()[k])]
    assert {"enter.2.weight", "leave.0.weight", "leave_middle.weight"} <= set(moved)


def test_before_training_and_untold_the_answer_is_the_run_s_own(steered):
    teacher, trained, fresh = small_teacher().trained_method(), steered.trained_method(), steered.new_method()
    fresh.learn_from(teacher)
    for leave in (*trained.control.leave, trained.control.leave_middle):  # as after a longer training
        torch.nn.init.normal_(leave.weight)
    x, level = torch.randn(2, 1, 16, 24), torch.tensor([30.0, -100.0])
    hint, yes = torch.randn(2, 1, 16, 24), torch.ones(2, 1, 16, 24)
    with torch.no_grad():
        own = teacher.network(x, level)
        start = fresh.run.network(torch.cat([x, hint, yes], 1), level)
        told = trained.run.network(torch.cat([x, hint, yes], 1), level)
        yes[1] = 0
        half = trained.run.network(torch.cat([x, yes * hint, yes], 1), level)
    torch.testing.assert_close(start, own)
    assert (told - own).abs().max() > 0.1 * own.abs().max()
    torch.testing.assert_close(half, torch.stack([told[0], own[1]]))


@pytest.mark.parametrize("text", [0, 16])
def test_what_is_added_to_the_skip_connections_is_what_diffusers_adds(text):
    """Held against hooks on the decoder of the frozen network, which know nothing of the walk that is tested."""
    torch.manual_seed(0)
    frozen = ConditionedUNet(1, (16, 32), patch=2, conditions=(1, text) if text else (1,), text=text).eval()
    torch.nn.init.normal_(frozen.unet.conv_out.weight)
    steering = Control(frozen, 1).eval()
    for leave in (*steering.leave, steering.leave_middle, steering.enter[2]):
        torch.nn.init.normal_(leave.weight, std=0.1)
    x, hint, level = torch.randn(2, 1, 16, 16), torch.randn(2, 1, 16, 16), torch.tensor([3.0, 90.0])
    vector, told = torch.randn(2, 1 + text), torch.ones(2, 1 + bool(text))
    tokens = (
        torch.cat([torch.randn(2, 3, text), torch.tensor([[1.0, 1, 0], [1, 0, 0]])[..., None]], 2) if text else None
    )
    added = []

    def catch(_, __, found):
        added.append(found)

    steering.register_forward_hook(catch)
    with torch.no_grad():
        said = SteeredUNet(frozen, steering, 1)(
            torch.cat([x, hint, torch.ones_like(x)], 1), level, vector, told, tokens
        )
        skips, middle = added[0]
        skips = list(skips)

        def to_the_decoder(block, args, given):
            key = "res_hidden_states_tuple"
            args = list(args)
            held = given[key] if key in given else args[1]
            mine = [skips.pop() for _ in held][::-1]
            both = tuple(a + b for a, b in zip(held, mine, strict=True))
            if key in given:
                return tuple(args), {**given, key: both}
            args[1] = both
            return tuple(args), given

        for block in frozen.unet.up_blocks:
            block.register_forward_pre_hook(to_the_decoder, with_kwargs=True)
        frozen.unet.mid_block.register_forward_hook(lambda _, __, found: found + middle)
        torch.testing.assert_close(frozen(x, level, vector, told, tokens), said)
        assert not skips


def test_images_are_drawn_for_edges_of_images_or_for_drawings(steered):
    images = random_set(3, (20, 30), seed=4)
    drawn = generate(steered, count=3, context=images, cpu=True)
    assert [p.labels["drawn for"] for p in drawn] == ["0", "1", "2"]
    drawings = Pictures(replace(p, pixels=255 * edges(p)[None].astype(np.uint8)) for p in images)
    of_drawings = generate(steered, count=3, context=drawings, cpu=True)
    for one, other in zip(drawn, of_drawings, strict=True):
        np.testing.assert_array_equal(one.pixels, other.pixels)
    method = steered.trained_method()
    with torch.inference_mode():
        one, other = (
            method.sample(SampleRequest(context=torch.full((1, 1, 16, 24), told)), Randomness.of_images(0, 0, 1))
            for told in (-1.0, 1.0)
        )
    assert not torch.equal(one, other)
    with pytest.raises(Problem, match="draws images for edges that it is told: give the edges, as its context"):
        generate(steered, count=1, cpu=True)


def test_the_edge_of_a_disc_is_its_circle_whatever_the_exposure():
    y, x = np.mgrid[:80, :80] - 39.5
    distance = np.hypot(y, x) - 25
    disc = np.clip(0.5 - distance, 0, 1) + 0.05 * np.random.default_rng(0).standard_normal((80, 80))
    found = []
    for gain, offset in ((100, 80), (20, 150)):
        pixels = (offset + gain * disc).clip(0, 255).astype(np.float32)
        found.append(edges(Picture(pixels[None], (1.0, 1.0), Origin("disc"))))
    np.testing.assert_array_equal(*found)
    assert np.abs(distance[found[0]]).max() < 1.5
    assert 0.8 * 2 * np.pi * 25 < found[0].sum() < 1.2 * 2 * np.pi * 25
    channel = Context(kind="edges").channels_of(Picture(pixels[None], (1.0, 1.0), Origin("disc")))
    assert set(np.unique(channel)) == {-1.0, 1.0}


def test_what_cannot_be_steered_is_refused(steered, tmp_path):
    images = random_set()
    vae = train("vae", images, tmp_path / "vae", images_seen=4, size=(16, 24), settings=SMALL["vae"], cpu=True)
    with pytest.raises(Problem, match="is a run of vae, which cannot be steered"):
        control(vae, images, tmp_path / "x", images_seen=4)
    with pytest.raises(Problem, match="is a run of controlled, which cannot be steered"):
        control(steered, images, tmp_path / "x", images_seen=4)
    with pytest.raises(Problem, match="has no mask"):
        control(small_teacher(), images, tmp_path / "x", images_seen=4, by="masks")
    with pytest.raises(Problem, match="setting teacher is given twice"):
        control(small_teacher(), images, tmp_path / "x", images_seen=4, settings={"teacher": "ddpm"})
    dit = train("dit", images, tmp_path / "dit", images_seen=4, size=(16, 24), settings=SMALL["dit"], cpu=True)
    with pytest.raises(Problem, match="dit has no UNet, whose encoder a control is a copy of"):
        control(dit, images, tmp_path / "x", images_seen=4)
    assert not (tmp_path / "x").exists()


def test_the_command_controls_by_masks(tmp_path):
    images = Pictures(replace(p, mask=p.grey > 100) for p in random_set())
    write_images(images, tmp_path / "set")
    arguments = ["control", str(small_teacher().folder), str(tmp_path / "set"), "--by", "masks", "--images-seen", "4"]
    found = CliRunner().invoke(
        cli, [*arguments, "--set", "batch_size=4", "--cpu", "-o", str(tmp_path / "run")], catch_exceptions=False
    )
    assert found.exit_code == 0, found.output
    assert "Trained a control of" in found.output
    drawn = generate(tmp_path / "run", count=2, context=images, cpu=True)
    assert drawn[0].mask is not None
