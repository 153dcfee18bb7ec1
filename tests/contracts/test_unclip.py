"""Decoders and priors: trained with a CLIP whose copy they keep, resumed, refused where it does not fit."""

import shutil
import signal
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from morphogen.editing.edit import edit
from morphogen.evaluation.caption_scores import caption_scores
from morphogen.evaluation.compared_set import ComparedSet
from morphogen.generation.decoder import interpolate_images
from morphogen.generation.export import export
from morphogen.generation.generate import generate
from morphogen.generation.likelihood import likelihood
from morphogen.generation.prior import Prior
from morphogen.images.cropping import Batches, RandomCrops
from morphogen.images.image_set import Pictures
from morphogen.images.intensity import IntensityMap
from morphogen.methods.method import SampleRequest
from morphogen.problems import Problem
from morphogen.training.control import control
from morphogen.training.distil import distil
from morphogen.training.image_text import ClipRun
from morphogen.training.image_vectors import ImageVectors, clip_of
from morphogen.training.run import Run
from morphogen.training.train import train
from small_sets import SMALL, random_set, small_teacher
from small_unclip import CLIP, DECODER, PRIOR, SAID, SIZE, clip_run, decoder_run, encoder, prior_run, waves

FEW = {"ddpm": DECODER | {"batch_size": 4}, "clip_prior": PRIOR | {"batch_size": 4}, "clip": CLIP}


def trained(method, folder, clip, images_seen=24, **options):
    settings = FEW.get(method) or SMALL[method]
    options = {"images": waves(4), "size": SIZE, "settings": settings, "image_vector": clip, "cpu": True} | options
    return train(method, options.pop("images"), folder, images_seen=images_seen, **options)


@pytest.fixture(scope="module")
def another_clip(tmp_path_factory):
    return clip_run(tmp_path_factory.mktemp("another") / "clip", 16, seed=1)


def test_the_vector_is_that_of_the_very_crop_that_is_learnt():
    images = Pictures(replace(p, mask=p.grey > 128) for p in waves(3))
    turns = frozenset({"flip_horizontal", "flip_vertical", "quarter_turn"})
    crops = RandomCrops(images, SIZE, IntensityMap.of(images), turns, seed=4, with_masks=True)
    clip = clip_of(decoder_run())
    batch = Batches(crops, seen_by=ImageVectors(clip))(3, 5)
    assert batch.images.shape[1] == 2
    alone = ClipRun(clip).images(Pictures(crops.crop(k) for k in range(3, 8)))
    np.testing.assert_allclose(batch.image_vector.numpy(), alone, atol=1e-4)


def test_what_is_not_told_is_what_was_left_out_in_training():
    method = decoder_run().trained_method()
    vectors = method.seen_vectors.vectors[:3].clone()
    vectors[1] = float("nan")
    given = method.given(SampleRequest(image_vector=vectors))
    assert given.told.flatten().tolist() == [1, 0, 1]
    x, sigma = torch.randn(3, 1, *SIZE, generator=torch.Generator().manual_seed(0)), torch.ones(3)
    said, untold = method.denoise(x, sigma, given), method.denoise(x, sigma, given.untold())
    torch.testing.assert_close(said[1], untold[1])
    assert (said - untold)[[0, 2]].abs().amax((1, 2, 3)).min() > 0.01


@pytest.mark.parametrize("method", ["ddpm", "clip_prior"])
def test_a_resumed_run_is_the_uninterrupted_one_without_the_clip_that_it_was_started_with(tmp_path, method):
    clip = clip_of(decoder_run())
    whole = trained(method, tmp_path / "whole", clip)
    with pytest.raises(KeyboardInterrupt):
        trained(method, tmp_path / "parts", clip, on_report=_stop_at(3))
    parts = trained(method, tmp_path / "parts", None, go_on=True)
    assert parts.counters["step"] == 6
    one, other = (load_file(run.folder / "weights.safetensors") for run in (whole, parts))
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert parts.record.image_vector == whole.record.image_vector
    assert (
        load_file(parts.folder / "clip" / "weights.safetensors").keys()
        == load_file(clip.folder / "weights.safetensors").keys()
    )


def _stop_at(step):
    return lambda report: signal.raise_signal(signal.SIGINT) if report.step == step else None


@pytest.mark.parametrize("method", ["dit", "latent_diffusion"])
def test_other_denoisers_are_told_vectors_beside_conditions(tmp_path, method):
    run = trained(method, tmp_path / "run", clip_of(decoder_run()), 16, conditions=["caption"], text_encoder=encoder())
    learnt = run.trained_method()
    given = learnt.given(learnt_request(learnt))
    assert given.kinds == 2
    assert given.vector.shape[1] == 8 + 16
    drawn = generate(run, count=2, prior=prior_run(), asked={"caption": SAID["down"]}, cpu=True)
    (alone,) = generate(run, count=1, prior=prior_run(), asked={"caption": SAID["down"]}, batch_size=1, cpu=True)
    assert np.abs(drawn[0].pixels.astype(int) - alone.pixels).max() <= 1
    found = edit("variations", waves(1, 2, size=SIZE), model=run.folder, settings={"steps": 2}, cpu=True)
    assert found.each[0].region.all()


def learnt_request(method):
    text = method.task.conditions.text.width
    return SampleRequest(
        image_vector=method.seen_vectors.vectors[:2], condition=torch.zeros(2, 0), text=torch.ones(2, text)
    )


def test_students_and_controls_are_told_what_their_run_is_told(tmp_path):
    settings = {"batch_size": 4, "learning_rate": 1e-2}
    student = distil(decoder_run(), waves(4), tmp_path / "s", steps=1, settings=settings, images_seen=8, cpu=True)
    steered = control(decoder_run(), waves(4), tmp_path / "c", settings=settings, images_seen=8, cpu=True)
    for run, options in ((student, {}), (steered, {"context": waves(2)})):
        assert run.record.image_vector.weights == decoder_run().record.image_vector.weights
        drawn = [
            generate(run, count=1, prior=prior_run(), asked={"caption": said}, cpu=True, **options)[0]
            for said in SAID.values()
        ]
        assert not np.array_equal(drawn[0].pixels, drawn[1].pixels)


def test_likelihood_is_told_the_vector_of_each_crop(monkeypatch):
    seen, given = [], type(decoder_run().trained_method()).given
    monkeypatch.setattr("morphogen.methods.ddpm.Method.given", lambda self, r: seen.append(r) or given(self, r))
    likelihood(decoder_run(), waves(2, 7, size=SIZE), steps=4, cpu=True)
    alone = ClipRun(clip_of(decoder_run())).images(waves(2, 7, size=SIZE))
    np.testing.assert_allclose(seen[0].image_vector.numpy(), alone, atol=0.02)  # pixels have a place in their cell


def test_a_clip_that_does_not_fit_is_refused_before_training(tmp_path):
    clip = clip_of(decoder_run())
    for method, options, message in (
        ("ddpm", {"image_vector": small_teacher()}, "is a run of ddpm, not of CLIP: name one that 'train clip' made"),
        ("ddpm", {"image_vector": tmp_path / "none"}, "there is no folder"),
        ("ddpm", {"size": (16, 20)}, "has learnt from crops of 16 x 16, and here is 16 x 20"),
        ("ddpm", {"images": random_set(channels=3)}, "has learnt from channels 1, and here is 3"),
        ("dcgan", {}, "dcgan can be told no vector of an image: leave the CLIP out, or choose among ddpm, dit"),
        ("clip", {"text_encoder": encoder()}, "clip can be told no vector"),
        ("clip_prior", {"image_vector": None}, "clip_prior learns the vectors that a CLIP has of images"),
        ("clip_prior", {"images": random_set()}, "has no caption"),
    ):
        with pytest.raises(Problem, match=message):
            trained(method, tmp_path / "run", options.pop("image_vector", clip), **options)
    assert not (tmp_path / "run").exists()


def test_a_run_goes_on_with_its_own_clip_alone(tmp_path, another_clip):
    trained("ddpm", tmp_path / "run", another_clip, 8)
    for clip, message in (
        (clip_of(decoder_run()), r"was started with image vectors of CLIP \w+, not \w+"),
        (another_clip, None),
    ):
        if message is None:
            trained("ddpm", tmp_path / "run", clip, 12, go_on=True)
            continue
        with pytest.raises(Problem, match=message):
            trained("ddpm", tmp_path / "run", clip, 12, go_on=True)
    plain = trained("ddpm", tmp_path / "plain", None, 8)
    with pytest.raises(Problem, match=r"was started with image vectors of CLIP none, not \w+"):
        trained("ddpm", tmp_path / "plain", another_clip, 12, go_on=True)
    with pytest.raises(Problem, match=r"plain was told no vectors of images: name a run"):
        edit("variations", waves(1, size=SIZE), model=plain.folder, cpu=True)
    (tmp_path / "run" / "clip" / "weights.safetensors").unlink()
    with pytest.raises(Problem, match=r"the CLIP in .*clip is missing: copy run\.json"):
        edit("variations", waves(1, size=SIZE), model=tmp_path / "run", cpu=True)
    shutil.copy(decoder_run().folder / "clip" / "weights.safetensors", tmp_path / "run" / "clip")
    with pytest.raises(Problem, match="is not the one that the run was trained with"):
        edit("variations", waves(1, size=SIZE), model=tmp_path / "run", cpu=True)


def test_captions_and_priors_that_do_not_fit_are_refused(tmp_path, another_clip):
    decoder, prior = decoder_run(), prior_run()
    stranger = trained("clip_prior", tmp_path / "stranger", another_clip, 8)
    told_always = trained("ddpm", tmp_path / "always", clip_of(decoder), 8, conditions=["caption"],
                          text_encoder=encoder(), settings=FEW["ddpm"] | {"condition_dropout": 0.0})  # fmt: skip
    for run, options, message in (
        (decoder, {"asked": {"caption": "dark pores"}}, "a caption is none: name a prior"),
        (decoder, {"prior": prior}, "a prior draws vectors for a caption"),
        (decoder, {"prior": prior, "asked": {"caption": "  "}}, "the caption is empty"),
        (decoder, {"prior": prior, "asked": {"caption": "rock " * 80}}, "has 82 tokens"),
        (decoder, {"prior": decoder, "asked": {"caption": "rock"}}, "is a run of ddpm, not of clip_prior"),
        (decoder, {"prior": stranger, "asked": {"caption": "rock"}}, r"draws vectors of the CLIP \w+, and .* of \w+"),
        (decoder, {"prior_guidance": 2.0}, "a guidance of the prior is given, and no prior"),
        (small_teacher(), {"prior": prior, "asked": {"caption": "rock"}}, "was told no vectors of images: leave the"),
        (prior, {}, "is a run of clip_prior, which draws no images"),
        (told_always, {"asked": {"caption": "rock"}}, "was always told the vector of an image, and here is none"),
    ):
        with pytest.raises(Problem, match=message):
            generate(run, count=1, cpu=True, folder=tmp_path / "out", **options)
    ends = waves(2, size=SIZE)
    for images, message in (
        (Pictures([ends[0]]), "one image is no line"),
        (Pictures([ends[0], waves(1, size=(20, 20))[0]]), "0 is 20 x 20, and 0 is 16 x 16: give images of one size"),
        (random_set(2, (8, 8)), "smaller than the 16 x 16"),
        (random_set(2, (16, 16), dtype="uint16"), "is uint16, and the run knows uint8"),
    ):
        with pytest.raises(Problem, match=message):
            interpolate_images(decoder, images, folder=tmp_path / "out", cpu=True)
    with pytest.raises(Problem, match="told a vector alone"):
        edit("variations", ends, model=told_always.folder, cpu=True)
    with pytest.raises(Problem, match="is told vectors of images, which an exported pipeline is not"):
        export(decoder, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_clip_that_told_what_to_draw_is_no_judge_of_it(another_clip):
    drawn = generate(decoder_run(), count=2, prior=prior_run(), asked={"caption": "dark pores"}, cpu=True)
    sets = [ComparedSet("drawn", "generated", drawn), ComparedSet("measured", "measured", waves(2))]
    own, other = ClipRun(clip_of(decoder_run())), ClipRun(another_clip)
    scores, notes = caption_scores(sets, [own, other], resamples=10)
    assert notes == [f"drawn was drawn for vectors of {own.name}, whose CLIPScore of it is no evidence."]
    assert {s.compared for s in scores} == {"drawn", "measured"}
    varied = edit("variations", waves(1, size=SIZE), model=decoder_run().folder, settings={"steps": 1}, cpu=True)
    assert varied.pictures[0].labels["told by"] == own.identity


def test_a_vector_depends_on_the_seed_its_number_and_its_caption_alone():
    prior = Prior(prior_run())
    together = prior(["dark pores", "bright grains", "dark pores of a rock"], seed=5)
    (second,) = prior(["bright grains"], seed=5, first=1)
    torch.testing.assert_close(together[1], second, rtol=1e-4, atol=1e-4)
    assert not torch.allclose(prior(["bright grains"], seed=6, first=1)[0], second, atol=1e-2)


def test_a_clip_reads_by_an_encoder_that_has_moved(tmp_path, another_clip):
    from morphogen.commands.options import open_clips

    shutil.copytree(another_clip.folder, tmp_path / "clip")
    written = (tmp_path / "clip" / "run.json").read_text().replace(str(encoder()), str(tmp_path / "gone"))
    (tmp_path / "clip" / "run.json").write_text(written)
    with pytest.raises(Problem, match="holds no text encoder"):
        open_clips([tmp_path / "clip"], None)
    assert open_clips([tmp_path / "clip"], encoder())[0].captions(["rock"]).shape == (1, 8)
    with pytest.raises(Problem, match="no run of 'train clip' that reads by it"):
        open_clips([], encoder())


def test_the_whole_way_on_the_command_line(tmp_path, monkeypatch, capsys):
    import json

    from morphogen.cli import cli
    from morphogen.images.folders import read_images, write_images

    def ask(*words):
        cli.main([str(word) for word in words], standalone_mode=False)
        return capsys.readouterr().out

    monkeypatch.chdir(tmp_path)
    write_images(waves(4, size=SIZE), tmp_path / "set")
    clip = clip_of(decoder_run()).folder
    small = [f"--set={name}={json.dumps(value)}" for name, value in FEW["ddpm"].items()]
    words = ("set", "--crop", *SIZE, "--images-seen", 8, "--image-vector", clip, "--cpu")
    assert "Trained ddpm on 8 images" in ask("train", "ddpm", *words, "-o", "told", *small)
    small = [f"--set={name}={json.dumps(value)}" for name, value in FEW["clip_prior"].items()]
    assert "Trained clip_prior on 8 images" in ask("train", "clip_prior", *words, "-o", "prior", *small)
    words = ("--prior", "prior", "--caption", "dark pores", "--prior-guidance", 2, "-n", 2, "--cpu")
    assert "2 images of 16 x 16" in ask("generate", "told", "-o", "made", *words)
    assert read_images(tmp_path / "made")[0].labels["asked caption"] == "dark pores"
    said = ask("interpolate", "told", "-o", "line", "--images", "set", "--steps", 3, "--through", "--cpu")
    assert "9 images of 16 x 16" in said
    assert (tmp_path / "line" / "strips.png").read_bytes().startswith(b"\x89PNG")
    ask("edit", "variations", "set", "--model", "told", "-o", "varied", "--cpu")
    assert Run(tmp_path / "told").record.image_vector.length == 8
    for words, message in (
        (("--seeds", "1", "2", "--images", "set"), "give --seeds or --images"),
        ((), "give --seeds or --images"),
        (("--images", "set", "--ask", "x=1"), "--ask says nothing of a line between measured images"),
        (("--seeds", "1", "2", "--through"), "--through says nothing of a line between seeds"),
    ):
        with pytest.raises(Problem, match=message):
            ask("interpolate", "told", "-o", "out", *words)
