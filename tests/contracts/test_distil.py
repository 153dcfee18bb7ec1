"""A student's run: what it takes from its teacher, what it keeps for itself, and what it refuses."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from safetensors.torch import load_file

from morphogen.cli import cli
from morphogen.generation.generate import generate
from morphogen.images.folders import write_images
from morphogen.images.image_set import Pictures
from morphogen.methods.method import SampleRequest, method_class, method_settings
from morphogen.problems import Problem
from morphogen.training.distil import distil
from morphogen.training.run import Run
from morphogen.training.train import train
from small_sets import CONDITIONS, SMALL, batches, random_set, small_task, small_teacher

SIZE = (16, 24)


def taught(folder, teacher=None, images=None, **options):
    settings = {"batch_size": 4, "learning_rate": 5e-3} | options.pop("settings", {})
    options = {"images_seen": 8, "cpu": True, "steps": 2} | options
    return distil(teacher or small_teacher(), images or random_set(), folder, settings=settings, **options)


def weights(run):
    return load_file(run.folder / "weights.safetensors")


def test_the_record_names_the_teacher_and_has_its_scales(tmp_path):
    images = random_set()
    brighter = Pictures(replace(p, pixels=p.pixels // 2) for p in images)
    teacher = small_teacher()
    run = taught(tmp_path / "student", images=brighter)
    record = Run(run.folder).record
    assert record.teacher == teacher.as_teacher
    assert len(record.teacher.weights) == 64
    assert record.intensity == teacher.record.intensity  # not that of the darker images
    assert record.settings["teacher_settings"] == teacher.record.settings
    # The file of the student has the student's weights once, and none of the teacher beside them.
    assert {key.removeprefix("student.") for key in weights(run)} == weights(teacher).keys()
    assert all(key.startswith("student.") for key in weights(run))


def test_it_draws_what_it_is_asked_for_as_any_run(tmp_path):
    images = random_set(4)
    options = {"images_seen": 8, "size": SIZE, "settings": SMALL["ddpm"], "cpu": True, "conditions": CONDITIONS}
    teacher = train("ddpm", images, tmp_path / "teacher", **options)
    # Images that vary less, so that ranges of their own would scale the conditions otherwise.
    run = taught(tmp_path / "student", teacher, Pictures(images[k] for k in range(3)), settings={"guidance": 2.0})
    assert run.record.conditions == teacher.record.conditions
    drawn = generate(run, count=3, asked={"brightness": 0.5, "kind": "odd"}, cpu=True)
    assert drawn[0].labels["asked kind"] == "odd"
    assert drawn[0].labels["method"] == "distilled"
    other = generate(run, count=3, asked={"brightness": 0.8, "kind": "even"}, cpu=True)
    assert any((a.pixels != b.pixels).any() for a, b in zip(drawn, other, strict=True))
    unlabelled = Pictures(replace(p, labels={}) for p in images)
    with pytest.raises(Problem, match="has no label 'brightness', on which the run is conditioned"):
        taught(tmp_path / "other", teacher, unlabelled)
    strange = Pictures(replace(p, labels={**p.labels, "kind": "strange"}) for p in images)
    with pytest.raises(Problem, match="training never saw kind 'strange'"):
        taught(tmp_path / "other", teacher, strange)
    assert not (tmp_path / "other").exists()


def test_guidance_is_learnt_and_changes_what_is_learnt(tmp_path):
    """The goal of the student is the guided estimate of its teacher, where guidance is asked."""
    torch.manual_seed(0)
    task = small_task("ddpm", 1, *SIZE, conditioned=True)
    teacher = method_class("ddpm")(method_settings("ddpm", SMALL["ddpm"]), task)
    with torch.no_grad():
        for parameter in teacher.parameters():  # a network that has begun says nothing yet
            parameter.add_(0.05 * torch.randn_like(parameter))
    batch, goals = batches("ddpm", conditioned=True)(0, 2), []
    for guidance in (1.0, 3.0):
        settings = method_settings("distilled", SMALL["distilled"] | {"guidance": guidance})
        student = method_class("distilled")(settings, task)
        student.learn_from(teacher)
        asked = SampleRequest(condition=batch.condition, guidance=guidance)
        sigma, x = torch.full((2,), 2.0), 2 * torch.randn(2, 1, *SIZE, generator=torch.Generator().manual_seed(1))
        with torch.no_grad():
            goals.append(student.goal(teacher.denoiser(asked), x, sigma, torch.full((2,), 0.4)))
            unguided = student.denoiser(asked)(x, sigma)
            torch.testing.assert_close(unguided, student.student.denoiser(replace(asked, guidance=1.0))(x, sigma))
    assert (goals[0] - goals[1]).abs().max() > 1e-4


def test_only_the_network_of_a_latent_method_moves(tmp_path):
    settings = {**SMALL["latent_diffusion"], "perceptual": "none"}
    teacher = train("latent_diffusion", random_set(), tmp_path / "t", images_seen=16, size=SIZE, settings=settings)
    run = taught(tmp_path / "student", teacher)
    before, after = weights(teacher), weights(run)
    moved = {key for key, value in before.items() if not torch.equal(value, after[f"student.{key}"])}
    assert moved
    assert all(key.startswith("network.") for key in moved)
    assert run.record.parameters == sum(p.numel() for p in teacher.new_method().network.parameters())
    assert generate(run, count=1, cpu=True)[0].size == SIZE


def test_jumps_start_at_boundaries_or_well_above_the_next_one():
    student = method_class("distilled")(method_settings("distilled", {"steps": 4}), small_task("ddpm", 1, 32, 32))
    boundaries = student.sampling_levels(4)
    u = torch.rand(4000, 2, generator=torch.Generator().manual_seed(0))
    sigma, following = student.jumps(u)
    ends = [*boundaries[1:].tolist(), 0.0]
    shares = []
    for start, end in zip(boundaries.tolist(), ends, strict=True):
        here = following == torch.tensor(end, dtype=torch.float64).float()
        shares.append(float(here.float().mean()))
        at, low = sigma[here].double(), max(end, student.student.settings.lowest_noise)
        assert float((at >= start * (1 - 1e-6)).double().mean()) == pytest.approx(0.5, abs=0.06)
        assert at.max() <= start * (1 + 1e-6)
        # The ratio stays away from 1, by a quarter of the segment.
        assert (low / at).max() <= (low / start) ** 0.25 * (1 + 1e-5)
    assert shares == pytest.approx([0.25] * 4, abs=0.03)


def test_larger_images_are_drawn_through_windows(tmp_path):
    run = taught(tmp_path / "student")
    assert generate(run, count=1, size=(24, 40), cpu=True)[0].size == (24, 40)


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"steps": 1}, "has learnt to draw in 2 steps, and in no other number: leave the 1 steps out"),
        ({"steps": 3}, "has learnt to draw in 2 steps"),
        ({"solver": "heun"}, "a student jumps and has no solver: leave heun out"),
        ({"guidance": 2.0}, "guidance"),
    ],
)
def test_a_student_refuses_what_it_has_not_learnt(tmp_path, asked, message):
    run = taught(tmp_path / "student")
    with pytest.raises(Problem, match=message):
        generate(run, count=1, cpu=True, folder=tmp_path / "out", **asked)
    assert not (tmp_path / "out").exists()
    assert len(generate(run, count=1, cpu=True, steps=2)) == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"images": random_set(dtype="uint16")}, "the teacher was trained with pixels of uint8, and here is uint16"),
        ({"images": random_set(channels=3)}, "trained with channels: 1, and here is 3"),
        ({"images": random_set(size=(12, 12))}, "smaller than the crop 16 x 24"),
        ({"steps": 5}, "'steps' is 5: it should be less than or equal to 4"),
        ({"settings": {"guidance": 2.0}}, "was trained without conditions, and guidance has nothing to follow"),
        ({"settings": {"teacher": "dit"}}, "setting teacher is given twice"),
        ({"context": random_set()}, "the teacher is told no other images"),
    ],
)
def test_a_refused_student_leaves_no_folder(tmp_path, change, message):
    with pytest.raises(Problem, match=message):
        taught(tmp_path / "student", **change)
    assert not (tmp_path / "student").exists()


def test_what_cannot_teach_is_refused(tmp_path):
    vae = train("vae", random_set(), tmp_path / "vae", images_seen=4, size=SIZE, settings=SMALL["vae"], cpu=True)
    with pytest.raises(Problem, match="is a run of vae, which denoises nothing: name a run of a diffusion method"):
        taught(tmp_path / "student", vae)
    student = taught(tmp_path / "first")
    with pytest.raises(Problem, match="learnt from another run itself"):
        taught(tmp_path / "student", student)
    with pytest.raises(Problem, match="vae learns from images alone: leave the teacher out"):
        train("vae", random_set(), tmp_path / "student", images_seen=4, size=SIZE, teacher=small_teacher())
    with pytest.raises(Problem, match=r"distilled learns from a trained run: .*morphogen distil RUN IMAGES"):
        train("distilled", random_set(), tmp_path / "student", images_seen=4, size=SIZE)
    with pytest.raises(Problem, match="it should be a teacher that denoises, and vae does not"):
        method_settings("distilled", {"teacher": "vae"})
    assert not (tmp_path / "student").exists()


def test_going_on_needs_the_same_teacher(tmp_path):
    taught(tmp_path / "student", seed=3)
    other = train("ddpm", random_set(), tmp_path / "other", images_seen=12, size=SIZE, settings=SMALL["ddpm"], cpu=True)
    with pytest.raises(Problem, match=r"student has not learnt from the weights in .*other: give the run"):
        taught(tmp_path / "student", other, seed=3, go_on=True, images_seen=16)
    with pytest.raises(Problem, match="was started with setting steps = 2, not 3"):
        taught(tmp_path / "student", seed=3, go_on=True, images_seen=16, steps=3)
    assert taught(tmp_path / "student", seed=3, go_on=True, images_seen=16).counters["images_seen"] == 16


def test_the_command_line(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_images(random_set(), tmp_path / "set")
    teacher = str(small_teacher().folder)

    def said(*words):
        return CliRunner().invoke(cli, [*words, "--cpu"], catch_exceptions=True)

    done = said("distil", teacher, "set", "-o", "student", "--steps", "1", "--images-seen", "8", "-p", "batch_size=4")
    assert done.exit_code == 0, done.output
    assert "to 1 step on 8 images" in done.output
    done = said("generate", "student", "-o", "made", "--count", "2", "--size", "24", "40", "--overlap", "8")
    assert "2 images of 24 x 40 in made" in done.output
    done = said("generate", teacher, "-o", "more", "--count", "2", "--solver", "heun", "--steps", "2")
    assert "2 images of 16 x 24 in more" in done.output
    for words, problem in (
        (("generate", teacher, "-o", "no", "--solver", "hein"), "there is no solver 'hein'"),
        (("generate", teacher, "-o", "no", "--guidance", "2"), "guidance has nothing to follow"),
        (("generate", teacher, "-o", "no", "--guidance-interval", "2", "1"), "no noise level lies between 2 and 1"),
        (("generate", teacher, "-o", "no", "--overlap", "4"), "an overlap of windows is given"),
        (("generate", teacher, "-o", "no", "--sources", "set", "--solver", "heun"), "--solver says nothing of them"),
        (("distil", teacher, "set", "-o", "no", "--seconds", "5", "--images-seen", "5"), "two budgets"),
        (("distil", teacher, "set", "-o", "no", "-p", "stepps=2"), "'stepps' is not a known key"),
        (("train", "ddpm", "set", "-o", "no", "--text-encoder", "set"), "caption is no condition"),
    ):
        done = said(*words)
        assert isinstance(done.exception, Problem), (words, done.output)
        assert problem in str(done.exception)
    assert not (tmp_path / "no").exists()


def test_masks_that_are_told_are_told_to_the_student_too(tmp_path):
    images = Pictures(replace(p, mask=p.grey > 0.5 * p.grey.max()) for p in random_set())
    options = {"images_seen": 8, "size": SIZE, "settings": SMALL["ddpm"], "cpu": True}
    teacher = train("ddpm", images, tmp_path / "teacher", context="masks", **options)
    run = taught(tmp_path / "student", teacher, images)
    assert json.loads((run.folder / "run.json").read_text())["context"]["kind"] == "masks"
    drawn = generate(run, count=2, context=images, cpu=True)
    np.testing.assert_array_equal(drawn[0].mask.shape, SIZE)
    with pytest.raises(Problem, match="has no mask"):
        taught(tmp_path / "other", teacher, random_set())
