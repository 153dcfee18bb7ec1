"""Captions: what an image is conditioned on in words, read by one encoder that goes on record."""

import importlib.util
import shutil
from dataclasses import replace

import numpy as np
import pytest

from morphogen.generation.generate import generate
from morphogen.generation.likelihood import likelihood
from morphogen.images.conditions import Conditions
from morphogen.images.image_set import Pictures
from morphogen.pretrained import text_encoder as module
from morphogen.pretrained.text_encoder import PACKAGE, TextEncoder, text_encoder
from morphogen.problems import Problem
from morphogen.training.distil import distil
from morphogen.training.train import train
from small_editors import diffusion_run
from small_encoder import tiny_encoder
from small_sets import SMALL, random_set

TWO = {"rock with dark pores", "bright grains of rock"}


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    return tiny_encoder(tmp_path_factory.mktemp("encoder"))


def test_a_text_is_one_vector_and_a_state_a_token(encoder):
    read = TextEncoder(encoder)
    said = read("a rock with dark pores")
    assert said.states.shape == (7, 16)  # five words between two marks
    assert said.pooled.shape == (16,)
    assert np.square(said.pooled).mean() == pytest.approx(1)
    assert read("a rock with dark pores") is said
    assert not np.allclose(said.pooled, read("a root").pooled)


@pytest.mark.parametrize(
    ("text", "message"),
    [(" ", "a caption is empty"), ("rock " * 80, "has 82 tokens"), ("a" * 10_000, "has 10,000 characters, 'aaaa")],
)
def test_texts_that_say_nothing_or_too_much_are_refused(encoder, text, message):
    with pytest.raises(Problem, match=message):
        TextEncoder(encoder)(text)


def test_a_folder_without_an_encoder_is_named(tmp_path):
    with pytest.raises(Problem, match="holds no text encoder"):
        TextEncoder(tmp_path)
    (tmp_path / "config.json").write_text('{"model_type": "bert"}', encoding="utf-8")
    (tmp_path / "model.safetensors").write_bytes(b"nothing")
    with pytest.raises(Problem, match="holds no text encoder"):
        TextEncoder(tmp_path)


def test_where_no_encoder_is_installed_it_is_said_before_training(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "PACKAGE", "no_such_package")
    module._opened.cache_clear()
    with pytest.raises(Problem, match="no text encoder for captions can be found"):
        train("dit", captioned(), tmp_path / "run", images_seen=8, size=(16, 24), conditions=["caption"],
              settings=SMALL["dit"], cpu=True)  # fmt: skip
    assert not (tmp_path / "run").exists()
    module._opened.cache_clear()


def captioned():
    images = random_set(4)
    texts = sorted(TWO)
    return type(images)(
        type(p)(p.pixels, p.spacing_um, p.origin, {**p.labels, "caption": texts[k % 2]}) for k, p in enumerate(images)
    )


@pytest.fixture(scope="module", params=["ddpm", "dit", "latent_diffusion"])
def run(request, encoder, tmp_path_factory):
    settings = SMALL[request.param] | ({"conditioning": "cross_attention"} if request.param == "dit" else {})
    return train(
        request.param, captioned(), tmp_path_factory.mktemp("captions") / "run", images_seen=48, size=(16, 24),
        settings=settings | {"learning_rate": 0.02}, conditions=["caption", "brightness"], text_encoder=encoder,
        cpu=True,
    )  # fmt: skip


def test_the_run_remembers_encoder_and_texts(run, encoder):
    conditions = run.record.conditions
    assert conditions.text.encoder == TextEncoder(encoder).sha256
    assert set(conditions.seen_texts) == TWO
    assert conditions.names == ("brightness", "caption")
    assert conditions.widths == (1, 16)


def test_a_caption_that_is_asked_changes_the_image(run):
    one, other = (generate(run, count=1, asked={"caption": c, "brightness": 0.5}, cpu=True)[0] for c in sorted(TWO))
    assert one.labels["asked caption"] == "bright grains of rock"
    assert not np.array_equal(one.pixels, other.pixels)
    new = generate(run, count=1, asked={"caption": "a dark root", "brightness": 0.5}, cpu=True)[0]  # any words will do
    assert not np.array_equal(new.pixels, one.pixels)


def test_captions_that_are_not_asked_are_drawn_as_training_saw_them(run):
    made = generate(run, count=12, cpu=True)
    assert {p.labels["asked caption"] for p in made} == TWO


def test_an_empty_caption_is_refused(run):
    with pytest.raises(Problem, match="condition 'caption' is missing"):
        generate(run, count=1, asked={"caption": " "}, cpu=True)
    with pytest.raises(Problem, match="has 10,000 characters"):
        generate(run, count=1, asked={"caption": "a" * 10_000}, cpu=True)


def test_a_caption_for_a_run_without_text_is_refused():
    with pytest.raises(Problem, match="'caption' is no condition of this run: choose among none"):
        generate(diffusion_run(), count=1, asked={"caption": "a rock"}, cpu=True)


def test_a_caption_that_is_too_long_is_refused_before_training(encoder, tmp_path):
    images = captioned()
    last = images[3]
    long = type(last)(last.pixels, last.spacing_um, last.origin, {**last.labels, "caption": "rock " * 80})
    with pytest.raises(Problem, match="has 82 tokens"):
        train("dit", type(images)([*list(images)[:3], long]), tmp_path / "run", images_seen=8, size=(16, 24),
              settings=SMALL["dit"], conditions=["caption"], text_encoder=encoder, cpu=True)  # fmt: skip
    assert not (tmp_path / "run").exists()


def test_a_run_goes_on_with_its_own_encoder_and_draws_with_one_that_has_moved(encoder, tmp_path):
    def trained(images, **options):
        return train("dit", captioned(), tmp_path / "run", images_seen=images, size=(16, 24), settings=SMALL["dit"],
                     conditions=["caption"], cpu=True, **options)  # fmt: skip

    folder = tmp_path / "encoder"
    shutil.copytree(encoder, folder)
    trained(8, text_encoder=folder)
    assert trained(12, go_on=True).counters["images_seen"] == 12
    with pytest.raises(Problem, match="was started with text encoder"):
        trained(16, go_on=True, text_encoder=tiny_encoder(tmp_path / "another", seed=3))
    folder.rename(tmp_path / "elsewhere")
    module._opened.cache_clear()
    with pytest.raises(Problem, match="holds no text encoder"):
        generate(tmp_path / "run", count=1, cpu=True)
    moved = {"text_encoder": tmp_path / "elsewhere", "cpu": True}
    assert len(generate(tmp_path / "run", count=1, **moved)) == 1
    assert likelihood(tmp_path / "run", captioned(), steps=4, most=1, **moved).fields
    student = distil(tmp_path / "run", captioned(), tmp_path / "student", steps=1, images_seen=4,
                     settings={"batch_size": 4}, **moved)  # fmt: skip
    assert student.record.conditions.text.folder == str(tmp_path / "elsewhere")
    assert student.record.conditions.seen_texts


def test_a_run_is_read_by_no_other_encoder(encoder, tmp_path):
    folder = tiny_encoder(tmp_path / "own")
    run = train("dit", captioned(), tmp_path / "run", images_seen=8, size=(16, 24), settings=SMALL["dit"],
                conditions=["caption"], text_encoder=folder, cpu=True)  # fmt: skip
    module._opened.cache_clear()
    tiny_encoder(folder, seed=1)
    with pytest.raises(Problem, match="is not the one that the run learnt from"):
        generate(run, count=1, cpu=True)
    module._opened.cache_clear()


@pytest.mark.parametrize(
    ("method", "conditions", "message"),
    [("dcgan", [], "caption is no condition"), ("stylegan2", ["caption"], "stylegan2 reads no captions")],
)
def test_an_encoder_without_anything_to_read_is_refused(tmp_path, encoder, method, conditions, message):
    with pytest.raises(Problem, match=message):
        train(method, captioned(), tmp_path / "run", images_seen=8, size=(16, 24), settings=SMALL[method],
              conditions=conditions, text_encoder=encoder, cpu=True)  # fmt: skip


def test_a_text_is_no_part_of_the_vector():
    from morphogen.images.conditions import TextCondition

    text = TextCondition(name="caption", encoder="x", width=16)
    found = Conditions.of(["brightness", "caption"], list(captioned()), text=text)
    assert found.width == 1
    values = found.values_of(captioned()[0].labels, None)
    assert found.encode(values).shape == (1,)
    assert found.text_of(values) in TWO


@pytest.mark.skipif(importlib.util.find_spec(PACKAGE) is None, reason="the package with MiniLM is not installed")
def test_minilm_knows_what_is_alike():
    pytest.importorskip("transformers", reason="captions need transformers")
    read = text_encoder()
    porous, open_, root = (read(t).pooled for t in ("a very porous rock", "a rock with many pores", "roots in soil"))
    assert read.width == 384
    assert porous @ open_ > 1.5 * (porous @ root)


def test_what_names_a_direction_is_not_turned(tmp_path):
    """A picture turned by a quarter would contradict its caption."""
    for number, (words, left) in enumerate([("rock with dark pores", True), ("pores running vertically", False)]):
        images = random_set()
        told = Pictures(replace(p, labels={"caption": (words, "rock")[k % 2]}) for k, p in enumerate(images))
        run = train("ddpm", told, tmp_path / str(number), images_seen=4, size=(16, 16), settings=SMALL["ddpm"],
                    symmetries=frozenset({"quarter_turn", "flip_horizontal"}), conditions=["caption"],
                    text_encoder=tiny_encoder(tmp_path / f"encoder {number}"), cpu=True)  # fmt: skip
        assert ("quarter_turn" in run.record.images.symmetries) == left
        assert "flip_horizontal" in run.record.images.symmetries
