"""A study refuses before the first training what it could not finish, and tells what went wrong on its page."""

import copy
import json
from dataclasses import replace

import numpy as np
import pytest
import yaml

from morphogen.images.folders import read_images, write_images
from morphogen.images.image_set import Pictures
from morphogen.phantoms.phantom import image_set, phantoms
from morphogen.problems import Problem
from morphogen.studies.recipe import EMBEDDED, as_recipe, read_recipe
from morphogen.studies.study import _prepare, study
from morphogen.training.run import Run
from small_sets import SMALL, random_set

RECIPE = {
    "title": "Small",
    "budget": {"images": 16},
    "methods": {"vae": SMALL["vae"]},
    "specimens": {
        "rock": {"kind": "rock", "phantom": {"kind": "rock", "count": 4, "size": [96, 96]}, "crop": [32, 32]}
    },
    "evaluation": {"fields": 8, "features": ["descriptors"], "resamples": 50},
}


def changed(path: str, value):
    recipe = copy.deepcopy(RECIPE)
    *above, last = path.split(".")
    part = recipe
    for key in above:
        part = part[key]
    part[last] = value
    return recipe


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("budget", {"images": 5, "seconds": 5}, "either seconds or images"),
        ("budget", {}, "either seconds or images"),
        ("methods", {"vaee": {}}, "there is no method 'vaee'"),
        ("methods.vae", {"latnt_dimensions": 3}, "did you mean 'latent_dimensions'"),
        ("specimens.rock.crop", [33, 32], "vae cannot take images of 33 x 32"),
        ("specimens.rock.crop", [128, 128], "smaller than the crop 128 x 128"),
        ("specimens.rock.kind", "stone", "there is no kind of specimen 'stone'"),
        ("specimens.rock.croop", [32, 32], "'specimens.rock.croop' is not a known key: did you mean 'crop'"),
        ("specimens.rock.phantom.count", 2, "give at least"),
        ("specimens.rock.phantom.parameters", {"porosty": 0.3}, "did you mean 'porosity'"),
        ("specimens.rock.images", {"path": "x"}, "either with a phantom or with images"),
        (
            "specimens.rock.another_phantom",
            {"kind": "fiber", "count": 4, "size": [96, 96]},
            "pixel sizes differ",
        ),
        ("evaluation.features", ["vgg"], "among descriptors"),
        ("evaluation.features", ["inception"], "the Inception features need weights"),
        ("evaluation.fields", 2, "'evaluation.fields' is 2"),
        ("methods", {"other": {"method": "vaee"}}, "there is no method 'vaee'"),
        ("methods.vae", {"seed": -1}, "a seed of vae that is a whole number"),
        ("methods", {"a/b": {"method": "vae"}}, "made of names of letters"),
        ("methods", {"conditional_gan": {}}, "needs something to be conditioned on"),
        ("methods", {"cyclegan": {}}, "translates one set of images into another"),
        ("specimens.rock.conditions", ["colour"], "has no label 'colour'"),
    ],
)
def test_what_cannot_be_finished_is_not_started(tmp_path, path, value, message):
    recipe = changed(path, value)
    if path == "specimens.rock.phantom.count":
        recipe["specimens"]["rock"]["phantom"]["size"] = [40, 40]
    with pytest.raises(Problem, match=message):
        study(recipe, folder=tmp_path / "study", cpu=True)
    assert not (tmp_path / "study").exists()


def test_a_study_with_masks_says_what_its_images_are_worth(tmp_path):
    recipe = copy.deepcopy(RECIPE)
    recipe["specimens"]["rock"] |= {"with_masks": True, "segmentation": "masks"}
    recipe["evaluation"]["usefulness"] = {"images": 16, "seeds": 2}
    page = study(recipe, folder=tmp_path / "study", cpu=True)
    (record,) = json.loads((page.parent / "study.json").read_text())["specimens"]
    rows = [row["trained_on"] for row in record["usefulness"]["rows"]]
    assert rows == ["nothing", "measured", "vae", "measured + vae"]
    assert record["comparison"]["segmentation"] == "of the masks that came with the images"
    assert "What the images are worth" in page.read_text(encoding="utf-8")
    assert (page.parent / "generated" / "rock-vae" / "masks" / "0000.png").exists()


def test_usefulness_that_could_not_be_tested_is_refused_before_the_first_training(tmp_path):
    write_images(random_set(6, size=(96, 200), specimens=1), tmp_path / "scans")
    recipe = changed("specimens", {"scans": {"kind": "rock", "images": {"path": "scans"}, "crop": [32, 32]}})
    recipe["specimens"]["scans"]["with_masks"] = True
    with pytest.raises(Problem, match="has no mask"):
        study(recipe, images=tmp_path, folder=tmp_path / "study", cpu=True)
    images = (replace(p, mask=p.grey > 127) for p in random_set(6, size=(96, 200), specimens=1))
    write_images(Pictures(images), tmp_path / "scans")
    recipe["evaluation"]["usefulness"] = {"images": 16, "seeds": 2}
    with pytest.raises(Problem, match="s0"):
        study(recipe, images=tmp_path, folder=tmp_path / "study", cpu=True)
    assert not (tmp_path / "study").exists()


def test_images_on_disk_are_found_from_the_folder_that_is_given(tmp_path):
    write_images(random_set(6, size=(96, 96)), tmp_path / "data" / "scans")
    recipe = changed("specimens", {"scans": {"kind": "rock", "images": {"path": "scans"}, "crop": [32, 32]}})
    page = study(recipe, images=tmp_path / "data", folder=tmp_path / "study", cpu=True)
    record = json.loads((page.parent / "study.json").read_text())["specimens"][0]
    assert record["images"] == "scans"
    assert record["spacing_um"] == [2.5, 2.5]
    with pytest.raises(Problem, match="there is no file or folder"):
        study(recipe, images=tmp_path / "elsewhere", folder=tmp_path / "other", cpu=True)


def test_a_method_that_diverges_is_noted_and_the_others_go_on(tmp_path, monkeypatch):
    from morphogen.methods import vae

    honest = vae.Method.loss
    calls = []

    def breaks(self, phase, batch, randomness):
        calls.append(phase)
        loss = honest(self, phase, batch, randomness)
        return vae.Loss(loss.total * float("nan"), loss.parts) if len(calls) == 3 else loss

    monkeypatch.setattr(vae.Method, "loss", breaks)
    recipe = changed("methods", {"vae": SMALL["vae"], "dcgan": SMALL["dcgan"]})
    page = study(recipe, folder=tmp_path / "study", cpu=True)
    broken, fine = json.loads((page.parent / "study.json").read_text())["specimens"][0]["methods"]
    assert "no longer finite at step 3" in broken["note"]
    assert broken["steps"] == 2
    assert (fine["note"], fine["steps"]) == ("", 4)
    assert "no longer finite at step 3" in page.read_text(encoding="utf-8")


def test_a_stopped_study_goes_on_and_only_with_its_own_recipe(tmp_path, monkeypatch):
    from morphogen.studies import study as module

    honest = module.train
    started = []

    def stops_at_the_second(method, *args, **options):
        started.append(method)
        if len(started) == 2:
            raise KeyboardInterrupt
        return honest(method, *args, **options)

    monkeypatch.setattr(module, "train", stops_at_the_second)
    recipe = changed("methods", {"vae": SMALL["vae"], "dcgan": SMALL["dcgan"]})
    with pytest.raises(KeyboardInterrupt):
        study(recipe, folder=tmp_path / "study", cpu=True)
    assert not (tmp_path / "study" / "index.html").exists()
    with pytest.raises(Problem, match="was started with another recipe"):
        study(RECIPE, folder=tmp_path / "study", go_on=True, cpu=True)
    page = study(recipe, folder=tmp_path / "study", go_on=True, cpu=True)
    assert page.exists()
    assert started == ["vae", "dcgan", "dcgan"]
    with pytest.raises(Problem, match="exists and is not empty"):
        study(recipe, folder=tmp_path / "study", cpu=True)


@pytest.mark.parametrize("recipe", ["review.yaml", "gans.yaml"])
def test_the_recipes_in_the_repository_are_readable(request, recipe):
    for path in (EMBEDDED, request.config.rootpath / "recipes" / recipe):
        assert len(read_recipe(path).methods) >= 3


def test_a_method_can_have_several_rows_with_seeds_of_their_own(tmp_path):
    recipe = changed(
        "methods",
        {"vae": SMALL["vae"], "vae-again": SMALL["vae"] | {"method": "vae"},
         "vae-2": SMALL["vae"] | {"method": "vae", "seed": 2}},
    )  # fmt: skip
    page = study(recipe, folder=tmp_path / "study", cpu=True)
    first, again, other = ((tmp_path / "study/generated" / f"rock-{row}" / "images" / "0000.png").read_bytes()
                           for row in recipe["methods"])  # fmt: skip
    assert first == again != other
    assert "vae-again" in page.read_text(encoding="utf-8")


def test_a_study_conditions_and_translates_what_can_be(tmp_path):
    recipe = changed("methods", {name: SMALL[name] for name in ("vae", "conditional_gan", "cyclegan")})
    recipe["specimens"]["rock"] |= {
        "conditions": ["porosity"],
        "source_phantom": {"kind": "rock", "count": 3, "size": [96, 96], "parameters": {"porosity": 0.4}},
    }
    page = study(recipe, folder=tmp_path / "study", cpu=True)
    runs = {name: Run(tmp_path / "study" / "runs" / f"rock-{name}").record for name in recipe["methods"]}
    assert runs["conditional_gan"].conditions.names == ("porosity",)
    assert not runs["vae"].conditions
    assert runs["cyclegan"].sources is not None
    drawn = read_images(tmp_path / "study" / "generated" / "rock-cyclegan")
    assert all(picture.size == (32, 32) for picture in drawn)
    assert page.exists()


def test_the_fraction_of_the_phase_is_segmented_however_it_is_spelt(tmp_path):
    fibers = image_set(phantoms("fiber", count=4, size=(96, 96), seed=1))
    write_images(Pictures(replace(p, mask=None) for p in fibers), tmp_path / "fibers")
    for name in ("fiber_volume_fraction", "fiber volume fraction"):
        scans = {"kind": "fiber", "images": {"path": "fibers"}, "crop": [32, 32], "conditions": [name]}
        recipe = as_recipe(changed("specimens", {"scans": scans}), "the recipe")
        prepared = _prepare("scans", recipe.specimens["scans"], recipe, tmp_path, cpu=True)
        assert all(picture.mask is not None for picture in prepared.split.training)


@pytest.mark.parametrize(
    ("source", "more", "message"),
    [
        ({"source_images": {"path": "bare"}}, {"with_masks": True}, "has no mask"),
        ({"source_images": {"path": "colour"}}, {}, "1 channels and the sources have 3"),
        ({"source_images": {"path": "flat"}}, {}, "have the value 7"),
        ({"source_phantom": {"spacing_um": 10.0}}, {}, "5 x 5 um in the images and 10 x 10 um in the sources"),
        ({"source_phantom": {"spacing_um": 5.03}}, {}, "pixel sizes differ"),  # which the comparison would say
        ({"source_phantom": {"size": [40, 40]}}, {}, "'the sources' has only 3 fields"),
        ({"source_images": {"path": "some"}}, {}, "only 3 of 4 sources have a mask"),
    ],
)
def test_what_is_to_be_translated_is_checked_before_the_first_training(tmp_path, source, more, message):
    bare = random_set(4, size=(96, 96), spacing_um=5.0)
    write_images(bare, tmp_path / "bare")
    write_images(random_set(4, size=(96, 96), channels=3, spacing_um=5.0), tmp_path / "colour")
    write_images(Pictures(replace(p, pixels=np.full_like(p.pixels, 7)) for p in bare), tmp_path / "flat")
    write_images(Pictures(replace(p, mask=p.grey > 127) for p in bare), tmp_path / "some")
    (tmp_path / "some" / "masks" / "0001.png").unlink()
    recipe = changed("methods", {name: SMALL[name] for name in ("vae", "cyclegan")})
    if "source_phantom" in source:
        source = {"source_phantom": {"kind": "rock", "count": 3, "size": [96, 96]} | source["source_phantom"]}
    recipe["specimens"]["rock"] |= source | more
    with pytest.raises(Problem, match=message) as problem:
        study(recipe, images=tmp_path, folder=tmp_path / "study", cpu=True)
    assert "--" not in str(problem.value)
    assert not (tmp_path / "study").exists()


def test_recipes_that_are_none_say_so(tmp_path):
    for text, message in (
        ("", "is empty or not a recipe"),
        ("- a\n- b", "is empty or not a recipe"),
        ("title: [", "is not YAML in line"),
        (yaml.safe_dump({"title": "x"}), "'budget' is missing"),
    ):
        (tmp_path / "r.yaml").write_text(text)
        with pytest.raises(Problem, match=message):
            read_recipe(tmp_path / "r.yaml")
