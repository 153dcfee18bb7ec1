"""Triples made by prompts: what the filter keeps, and what is written of it."""

from dataclasses import replace

import numpy as np
import pytest

from morphogen.editing.editor import Edit, EditingMethod, EditorSettings
from morphogen.images.image_set import Pictures
from morphogen.images.triples import read_triples
from morphogen.instructions import prompted_triples as module
from morphogen.instructions.prompted_triples import CaptionPair, Filter, Similarities, caption_pairs, prompted_triples
from morphogen.instructions.triples import write_triples
from morphogen.problems import Problem
from morphogen.training.train import train
from small_sets import SMALL, random_set, tiny_text_encoder


def test_the_filter_keeps_the_best_that_pass_every_threshold():
    seen = Similarities(
        directional=np.array([0.5, 0.1, 0.9, 0.6, 0.7, 0.3]),
        alike=np.array([0.8, 0.9, 0.7, 0.8, 0.9, 0.8]),
        of_caption=np.array([0.3, 0.3, 0.3, 0.1, 0.3, 0.3]),
    )
    assert Filter().kept(seen).tolist() == [4, 0, 5]
    assert Filter(most=2).kept(seen).tolist() == [4, 0]
    assert Filter(directional=0.8).kept(seen).tolist() == []


class Brighter(EditingMethod):
    """Stands for the editor: even tries become brighter as they should, odd ones darker."""

    title = "stub"
    takes = frozenset({"caption", "before"})
    needs = frozenset({"caption"})

    def edit(self, sources, instructions, *, seed, first):
        assert (instructions[0].before, instructions[0].caption) == ("dark rock", "bright rock")
        step = 60 if first % 2 == 0 else -60
        pixels = (sources[0].pixels.astype(int) + step).clip(0, 255).astype(np.uint8)
        return [Edit(sources[0], replace(sources[0], pixels=pixels), np.ones(sources[0].size, bool))]


class Grey:
    """Stands for CLIP: an angle that follows the mean grey level, and bright captions that have a larger one."""

    def images(self, images):
        angles = np.array([0.3 + p.grey.mean() / 255 for p in images])
        return np.stack([np.cos(angles), np.sin(angles)], 1)

    def captions(self, texts):
        angles = np.array([1.2 if "bright" in t else 0.3 for t in texts])
        return np.stack([np.cos(angles), np.sin(angles)], 1)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    place = tmp_path_factory.mktemp("prompted")
    images = random_set(4)
    captioned = [replace(p, labels={"caption": f"{'dark' if k % 2 else 'bright'} rock"}) for k, p in enumerate(images)]
    return train(
        "ddpm", Pictures(captioned), place / "run", conditions=["caption"], images_seen=4, size=(16, 24), cpu=True,
        settings=SMALL["ddpm"], text_encoder=tiny_text_encoder(place / "encoder", ["dark", "bright", "rock"]),
    )  # fmt: skip


def test_pairs_that_go_the_way_of_their_captions_are_kept_and_written(run, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "editor_class", lambda name: Brighter)
    monkeypatch.setattr(module, "editor_settings", lambda name, given: EditorSettings(**given))
    pair = CaptionPair("dark rock", "make it brighter", "bright rock", "brighter")
    found = prompted_triples(run, Grey(), [pair], tries=6, variants=({},), filter=Filter(most=2), seed=3, cpu=True)
    assert len(found.after) == 2
    for before, after in zip(found.before, found.after, strict=True):
        assert after.grey.mean() > before.grey.mean()
        assert after.labels["directional similarity"] > 0.9
        assert (before.labels["caption"], after.labels["caption"]) == ("dark rock", "bright rock")
    write_triples(found, tmp_path / "triples")
    back = read_triples(tmp_path / "triples")
    assert back.after.fingerprint == found.after.fingerprint
    assert back.after[0].labels["instruction"] == "make it brighter"
    assert (tmp_path / "triples" / "labels.csv").read_text().splitlines()[0].endswith("caption similarity")
    with pytest.raises(Problem, match="of 6 pairs none passes the filter"):
        prompted_triples(run, Grey(), [pair], tries=6, variants=({},), filter=Filter(alike=1.01), seed=3, cpu=True)


def test_pairs_of_captions_come_from_the_grammar():
    pairs = caption_pairs("rock", 3, 0, ("porosity higher",))
    for pair in pairs:
        before, after = (float(words.split("porosity ")[1][:4]) for words in (pair.before, pair.after))
        assert before < after
        assert "poro" in pair.instruction
    assert module.EDITOR == "prompt_to_prompt"
