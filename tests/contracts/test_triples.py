"""Triples on disk, and a method that learns from them."""

import csv
import json

import numpy as np
import pytest
from click.testing import CliRunner

from morphogen.cli import cli
from morphogen.images.folders import read_images
from morphogen.images.triples import is_triples, read_triples
from morphogen.instructions.triples import known_triples, pictures_of, write_triples
from morphogen.phantoms.phantom import phantom
from morphogen.problems import Problem
from morphogen.training.run import Run
from small_sets import SMALL, tiny_text_encoder


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("made") / "triples"
    arguments = ["triples", "rock", "--count", "4", "--size", "64", "64", "--seed", "3", "--bits", "16"]
    found = CliRunner().invoke(cli, [*arguments, "--out", str(place)], catch_exceptions=False)
    assert found.exit_code == 0
    assert "4 triples" in found.output
    return place


def test_what_is_written_is_what_was_drawn(folder):
    assert is_triples(folder)
    drawn = known_triples("rock", count=4, seed=3, size=(64, 64), dtype="uint16")
    read = read_triples(folder)
    made_pairs = pictures_of(drawn)
    for written, made in ((read.before, made_pairs.before), (read.after, made_pairs.after)):
        assert written.fingerprint == made.fingerprint  # pixels, exact masks, spacing
        assert written[0].pixels.dtype == np.uint16
    with open(folder / "labels.csv", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    parameters = json.loads((folder / "parameters.json").read_text())
    changed = read_images(folder / "changed")
    for k, known in enumerate(drawn):
        t, row, after = known.triple, rows[k], read.after[k]
        assert row["file"] == after.labels["file"] == parameters[k]["file"]
        assert row["instruction"] == after.labels["instruction"] == t.instruction
        assert (row["caption before"], row["caption"]) == (t.before.caption, t.after.caption)
        assert float(row["reading before"]) == pytest.approx(known.before.value, rel=1e-4)
        assert float(row["reading after"]) == pytest.approx(known.after.value, rel=1e-4)
        assert t.change.direction * (known.after.value - known.before.value) > 0
        np.testing.assert_array_equal(changed[k].pixels[0] > 0, read.before[k].mask != after.mask)
        # The parameters make the same image again.
        told = {name: parameters[k][name] for name in ("seed", "specimen")}
        again = phantom("rock", **told, size=(64, 64), dtype="uint16", coupled=True, parameters=parameters[k]["after"])
        np.testing.assert_array_equal(again.picture.pixels, after.pixels)


def test_a_folder_that_is_none_is_refused(folder, tmp_path):
    with pytest.raises(Problem, match="holds no triples: give a folder with before/ and after/"):
        read_triples(tmp_path)
    with pytest.raises(Problem, match="exists and is not empty"):
        write_triples(known_triples("rock", count=1, seed=0), folder)
    images = read_images(folder / "before")
    from morphogen.images.folders import write_images

    for part in ("before", "after"):
        write_images(images, tmp_path / "t" / part)
    with pytest.raises(Problem, match=r"0000.tif in .*after says no instruction"):
        read_triples(tmp_path / "t")


def test_edits_are_listed():
    found = CliRunner().invoke(cli, ["triples", "fiber", "--list"], catch_exceptions=False)
    assert found.exit_code == 0
    assert any(
        line.startswith("fibers thicker ") and "fiber diameter rises" in line for line in found.output.splitlines()
    )


def test_a_method_learns_from_the_folder(folder, tmp_path):
    words = ["make", "the", "pores", "grains", "larger", "smaller", "porosity", "raise", "lower"]
    encoder = tiny_text_encoder(tmp_path / "encoder", words)
    arguments = ["train", "instruct_pix2pix", str(folder), "--crop", "16", "16", "--images-seen", "4", "--cpu"]
    arguments += [f"--set={name}={value}" for name, value in SMALL["instruct_pix2pix"].items()]
    arguments += ["--text-encoder", str(encoder), "--out", str(tmp_path / "run")]
    found = CliRunner().invoke(cli, arguments, catch_exceptions=False)
    assert found.exit_code == 0, found.output
    record, read = Run(tmp_path / "run").record, read_triples(folder)
    assert record.images.fingerprint == read.after.fingerprint
    assert (record.context.kind, record.context.fingerprint) == ("images", read.before.fingerprint)
    assert record.conditions.text.name == "instruction"
    assert set(record.conditions.seen_texts) == {str(p.labels["instruction"]) for p in read.after}
