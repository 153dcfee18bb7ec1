"""Conditions: from labels and masks to vectors and back, through training, generation and resumption."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from morphogen.cli import cli
from morphogen.generation.generate import generate
from morphogen.images.conditions import (
    ASKED,
    MOST_CLASSES,
    OUTSIDE,
    ClassCondition,
    Conditions,
    NumberCondition,
    known_as,
    listed,
)
from morphogen.images.cropping import Batches, RandomCrops
from morphogen.images.folders import read_images
from morphogen.images.image_set import Pictures
from morphogen.images.intensity import IntensityMap
from morphogen.methods.method import method_class, method_names
from morphogen.phantoms.phantom import image_set, phantoms
from morphogen.problems import Problem
from morphogen.training.run import Run
from morphogen.training.train import train
from small_sets import SMALL, random_set

EVERY_TURN = frozenset({"flip_horizontal", "flip_vertical", "quarter_turn"})
METHOD = "conditional_gan"


@pytest.fixture(scope="module")
def rocks():
    return image_set(phantoms("rock", count=4, size=(48, 64), seed=2))


def conditioned(folder, images=None, method=METHOD, conditions=("brightness", "kind"), **more):
    return train(
        method, images or random_set(4), folder, cpu=True, conditions=conditions,
        **{"images_seen": 16, "size": (16, 24), "settings": SMALL[method], "seed": 3} | more,
    )  # fmt: skip


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return conditioned(tmp_path_factory.mktemp("conditions") / "run")


def with_labels(*labels):
    return [replace(p, labels=found) for p, found in zip(random_set(len(labels)), labels, strict=True)]


# Vectors


def test_values_come_back_from_their_vector():
    conditions = Conditions(
        numbers=(NumberCondition(name="porosity", low=0.1, high=0.5), NumberCondition(name="depth", low=-20, high=300)),
        classes=(ClassCondition(name="site", values=("a", "b", "c")), ClassCondition(name="dye", values=("no", "yes"))),
    )
    values = {"porosity": 0.2, "depth": 300.0, "site": "b", "dye": "yes"}
    vector = conditions.encode(values)
    np.testing.assert_allclose(vector, [-0.5, 1, 0, 1, 0, 0, 1], rtol=1e-6)
    back = conditions.decode(vector.tolist())
    assert back.keys() == values.keys()
    assert (back["site"], back["dye"]) == ("b", "yes")
    assert back["porosity"] == pytest.approx(0.2)
    assert back["depth"] == pytest.approx(300)
    assert conditions.width == len(vector)
    assert conditions.names == ("porosity", "depth", "site", "dye")


def test_the_range_of_a_label_is_minus_one_to_one():
    found = Conditions.of(["depth"], with_labels({"depth": 5.0}, {"depth": 25.0}, {"depth": 10.0}))
    assert [found.encode({"depth": d}).item() for d in (5.0, 25.0, 10.0)] == pytest.approx([-1, 1, -0.5])
    assert found.outside({"depth": 25.0}) == []
    assert found.outside({"depth": 26.0}) == ["depth 26 is asked, and training saw 5 to 25"]


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (({"site": "a"}, {"depth": 3.0}), "has no label 'site': choose among depth"),
        (({"site": "a"}, {}), "has no label 'site': add a labels.csv"),
        (({"site": "a"}, {"site": 3.0}), "label 'site' is a number here and a word there"),
        (({"site": "a"}, {"site": "a"}), "label 'site' is 'a' in every image: leave it out"),
        (({"site": 2.0}, {"site": 2.0}), "label 'site' is 2.0 in every image: leave it out"),
        (({"site": 2.0}, {"site": float("nan")}), "label 'site' is not a finite number everywhere"),
    ],
)
def test_labels_that_are_no_condition_are_refused(labels, message):
    with pytest.raises(Problem, match=message) as problem:
        Conditions.of(["site"], with_labels(*labels))
    assert "\n" not in str(problem.value)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"site": "a"}, "condition 'depth' is missing: give depth=VALUE"),
        ({"site": "a", "depth": 7.0, "dye": 1.0}, "'dye' is no condition of this run: choose among depth, site"),
        ({"site": "c", "depth": 7.0}, "training never saw site 'c': choose among a, b"),
        ({"site": "a", "depth": "deep"}, "condition depth is 'deep': give a number"),
        ({"site": "a", "depth": float("inf")}, "condition depth is 'inf': give a number"),
    ],
)
def test_values_that_cannot_be_asked_for_are_refused(values, message):
    conditions = Conditions.of(["depth", "site"], with_labels({"site": "a", "depth": 5.0}, {"site": "b", "depth": 9.0}))
    with pytest.raises(Problem, match=message):
        conditions.encode(values)


# Crops


def test_the_fraction_of_the_mask_is_that_of_the_crop_whichever_way_it_is_turned(rocks):
    crops = RandomCrops(rocks, (16, 24), IntensityMap.of(rocks), EVERY_TURN, 1, with_masks=True)
    declared = Conditions.of(["porosity"], list(rocks), "porosity")
    assert declared.numbers[0].of_mask
    batch = Batches(crops, declared)(0, 48)
    of_masks = (batch.images[:, 1] > 0).float().mean((1, 2))  # the channel that lies on the image
    torch.testing.assert_close(batch.condition[:, 0], 2 * of_masks - 1)
    assert of_masks.std() > 0.05
    # The pores are dark: the fraction belongs to this image and to no other.
    dark = (batch.images[:, 0] < -0.3).float().mean((1, 2))
    assert np.corrcoef(dark, of_masks)[0, 1] > 0.97
    seen = declared.with_seen([declared.values_of(c.labels, c.mask) for c in map(crops.crop, range(48))])
    ranged = Batches(crops, seen)(0, 48).condition
    assert (ranged.min().item(), ranged.max().item()) == pytest.approx((-1, 1), abs=1e-5)


def test_without_masks_the_fraction_is_a_label(rocks):
    bare = Pictures(replace(p, mask=None) for p in rocks)
    found = Conditions.of(["porosity"], list(bare), "porosity")
    assert not found.numbers[0].of_mask
    assert found.numbers[0].low == min(p.labels["porosity"] for p in rocks)


# Methods


def test_a_method_that_takes_no_condition_refuses_one(tmp_path):
    with pytest.raises(Problem, match=f"vae takes no condition: leave it out, or choose among .*{METHOD}"):
        conditioned(tmp_path / "run", method="vae")
    assert not (tmp_path / "run").exists()
    plain = train("vae", random_set(), tmp_path / "plain", images_seen=8, size=(16, 24), settings=SMALL["vae"])
    with pytest.raises(Problem, match="'porosity' is no condition of this run: choose among none"):
        generate(plain, count=2, asked={"porosity": 0.2})


@pytest.mark.parametrize("method", [m for m in method_names() if method_class(m).conditional == "must"])
def test_a_method_that_must_be_conditioned_refuses_to_be_without(tmp_path, method):
    with pytest.raises(Problem, match=f"{method} needs something to be conditioned on: name a label") as problem:
        conditioned(tmp_path / "run", method=method, conditions=())
    assert "--" not in str(problem.value)  # a study and Python have no options
    assert not (tmp_path / "run").exists()


def test_a_label_that_an_image_lacks_stops_before_training(tmp_path):
    with pytest.raises(Problem, match="has no label 'depth': choose among brightness, kind"):
        conditioned(tmp_path / "run", conditions=("depth",))
    assert not (tmp_path / "run").exists()


def test_what_was_asked_is_in_the_labels_on_disk(tmp_path, run):
    low, high = run.record.conditions.numbers[0].low, run.record.conditions.numbers[0].high
    generate(run, count=5, asked={"brightness": (low, high), "kind": "odd"}, folder=tmp_path / "made", cpu=True)
    made = read_images(tmp_path / "made")
    assert [p.labels[ASKED + "brightness"] for p in made] == pytest.approx(list(np.linspace(low, high, 5)))
    assert {p.labels[ASKED + "kind"] for p in made} == {"odd"}
    assert not any(OUTSIDE in p.labels for p in made)


def test_what_is_not_asked_for_is_drawn_as_training_saw_it(run):
    made = generate(run, count=40, cpu=True)
    seen = {round(float(run.record.conditions.decode(v)["brightness"]), 4) for v in run.record.conditions.seen}
    drawn = {round(float(p.labels[ASKED + "brightness"]), 4) for p in made}
    assert len(drawn) > 1
    assert drawn <= seen
    assert {p.labels[ASKED + "kind"] for p in made} == {"even", "odd"}


def test_outside_of_what_training_saw_there_is_a_warning_and_with_strict_a_refusal(tmp_path, run):
    high = run.record.conditions.numbers[0].high
    made = generate(run, count=3, asked={"brightness": (high - 0.1, high + 0.1)}, folder=tmp_path / "made", cpu=True)
    assert [OUTSIDE in p.labels for p in made] == [False, False, True]
    assert "brightness" in read_images(tmp_path / "made")[2].labels[OUTSIDE]
    with pytest.raises(Problem, match=r"brightness .* is asked, and training saw .*: ask within that range, or allow"):
        generate(run, count=3, asked={"brightness": high + 0.1}, strict=True, folder=tmp_path / "strict", cpu=True)
    assert not (tmp_path / "strict").exists()


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"kind": "prime"}, "training never saw kind 'prime': choose among even, odd"),
        ({"brightness": "high"}, "condition brightness is 'high': give a number"),
        ({"colour": 1.0}, "'colour' is no condition of this run"),
        ({"kind": (0.0, 1.0)}, "kind"),
    ],
)
def test_what_cannot_be_asked_for_is_refused_before_anything_is_drawn(tmp_path, run, asked, message):
    with pytest.raises(Problem, match=message) as problem:
        generate(run, count=3, asked=asked, folder=tmp_path / "made", cpu=True)
    assert "\n" not in str(problem.value)
    assert not (tmp_path / "made").exists()


def test_an_image_depends_on_what_is_asked_and_on_its_number_alone(run):
    once = generate(run, count=4, asked={"brightness": 0.6, "kind": "odd"}, batch_size=4, cpu=True)
    again = generate(run, count=2, asked={"brightness": 0.6, "kind": "odd"}, batch_size=1, cpu=True)
    for a, b in zip(again, once, strict=False):
        assert np.abs(a.pixels.astype(int) - b.pixels.astype(int)).max() <= 1
    other = generate(run, count=2, asked={"brightness": 0.6, "kind": "even"}, cpu=True)
    assert any((a.pixels != b.pixels).any() for a, b in zip(once, other, strict=False))


def test_a_run_is_resumed_with_its_conditions_and_no_others(tmp_path):
    conditioned(tmp_path / "run")
    for others in (("brightness",), ("kind",)):
        with pytest.raises(Problem, match=r"was started with conditions .*'brightness', 'kind'.*, not"):
            conditioned(tmp_path / "run", conditions=others, images_seen=24, go_on=True)
    more = conditioned(tmp_path / "run", conditions=("kind", "brightness"), images_seen=24, go_on=True)
    assert more.counters["images_seen"] == 24
    assert Run(tmp_path / "run").record.conditions.names == ("brightness", "kind")


def test_masks_that_some_images_lack_or_that_never_vary_are_refused(tmp_path):
    images = image_set(phantoms("rock", count=3, size=(96, 96), seed=1))
    some = Pictures([replace(images[0], mask=None), *list(images)[1:]])
    with pytest.raises(Problem, match="only 2 of 3 images have a mask"):
        Conditions.of(["porosity"], list(some), "porosity")
    full = Pictures(replace(p, mask=np.ones(p.size, bool)) for p in images)
    options = {"size": (16, 16), "settings": SMALL["conditional_gan"], "conditions": ["porosity"], "images_seen": 8}
    with pytest.raises(Problem, match="porosity is 1 in every crop"):
        train("conditional_gan", full, tmp_path / "run", fraction="porosity", **options)
    assert not (tmp_path / "run").exists()
    bare = Pictures(replace(p, labels={}) for p in images)
    with pytest.raises(Problem, match="say with the kind of specimen"):
        train("conditional_gan", bare, tmp_path / "run", **options)


# Names


def test_an_underscore_is_a_space_in_names():
    assert known_as("fiber_volume fraction", ["depth", "fiber volume_fraction"]) == "fiber volume_fraction"
    assert known_as("a_b", ["a b", "a_b"]) == "a_b"
    assert known_as("a-b", ["a b", "a_b"]) is None


def test_the_fraction_of_the_mask_may_be_spelt_as_the_label_is(tmp_path):
    fibers = image_set(phantoms("fiber", count=3, size=(48, 48), seed=2))
    found = {}
    for name in ("fiber_volume_fraction", "fiber volume fraction"):
        run = conditioned(tmp_path / name, fibers, conditions=(name,), fraction="fiber volume fraction")
        (found[name],) = run.record.conditions.numbers
        assert found[name].of_mask
        # It is resumed with either spelling.
        more = {"fraction": "fiber volume fraction", "images_seen": 20, "go_on": True}
        for seen, spelling in ((20, "fiber volume fraction"), (24, "fiber_volume_fraction")):
            resumed = conditioned(tmp_path / name, fibers, conditions=(spelling,), **more | {"images_seen": seen})
            assert resumed.counters["images_seen"] == seen
            assert resumed.record.conditions.names == (name,)
        with pytest.raises(Problem, match="was started with conditions"):
            conditioned(tmp_path / name, fibers, conditions=("fiber diameter um",), **more)
    one, other = found.values()
    assert (one.low, one.high) == (other.low, other.high)
    bare = [replace(p, mask=None) for p in fibers]
    of_labels = Conditions.of(["fiber volume fraction"], bare, "fiber volume fraction")
    assert of_labels.numbers[0].high == max(p.labels["fiber_volume_fraction"] for p in fibers)
    drawn = of_labels.values_of(bare[0].labels, None)
    assert drawn == {"fiber volume fraction": bare[0].labels["fiber_volume_fraction"]}
    with pytest.raises(Problem, match="'fiber_volume_fraction' is given twice"):
        Conditions.of(["fiber volume fraction", "fiber_volume_fraction"], bare)


def test_what_is_asked_for_may_be_spelt_either_way(tmp_path):
    images = Pictures(replace(p, labels={"mean depth": float(k)}) for k, p in enumerate(random_set(3)))
    conditioned(tmp_path / "run", images, conditions=("mean_depth",))
    for number, name in enumerate(("mean depth", "mean_depth")):
        out = tmp_path / f"made{number}"
        words = ["generate", tmp_path / "run", "-o", out, "-n", "2", "--cpu", "--ask", f"{name}=0.5"]
        cli.main([str(word) for word in words], standalone_mode=False)
        for picture in read_images(out):
            asked = {label: value for label, value in picture.labels.items() if label.startswith(ASKED)}
            assert asked == {ASKED + "mean_depth": 0.5}
    made = generate(Run(tmp_path / "run"), count=1, asked={"mean depth": 0.5}, cpu=True)
    assert made[0].labels[ASKED + "mean_depth"] == 0.5
    with pytest.raises(Problem, match="'mean_depth' is given twice"):
        Run(tmp_path / "run").record.conditions.named({"mean depth": 1.0, "mean_depth": 2.0})


# What tells no classes


def test_a_label_that_describes_each_image_is_no_condition():
    images = [replace(p, labels={"file": f"{k}.png", "caption": f"rock {k}"}) for k, p in enumerate(random_set(3))]
    for name in ("caption", "file"):
        with pytest.raises(Problem, match=f"'{name}' is another text for each of the 3 images") as problem:
            Conditions.of([name], images)
        assert "\n" not in str(problem.value)
        # Nor does it tell classes where several pictures are regions of one image.
        with pytest.raises(Problem, match=f"'{name}' is another text"):
            Conditions.of([name], [*images, images[0].crop(0, 0, 20, 20)])
    shared = [*images, replace(images[0], origin=replace(images[0].origin, specimen="s9"))]
    assert Conditions.of(["caption"], shared).width == 3


def test_more_classes_than_can_be_learnt_are_refused():
    for count in (MOST_CLASSES, MOST_CLASSES + 1):
        images = with_labels(*({"note": f"word {k}"} for k in range(count)))
        if count == MOST_CLASSES:
            assert Conditions.of(["note"], images).width == count
            continue
        with pytest.raises(Problem, match=r"'note' has 65 classes, too many .*: choose a label of at most 64"):
            Conditions.of(["note"], images)


def test_long_lists_are_cut(tmp_path):
    assert listed("abcdefgh") == "a, b, c, d, e, f, g, h"
    assert listed("abcdefghij") == "a, b, c, d, e, f, g, h and 2 more"
    many = with_labels(*({"site": f"s{k:02}"} | {f"l{n}": 1.0 for n in range(20)} for k in range(30)))
    with pytest.raises(Problem, match=r"has no label 'depth': choose among site, l0, .*, l6 and 13 more$"):
        Conditions.of(["depth"], many)
    found = Conditions.of(["site"], many)
    with pytest.raises(Problem, match=r"never saw site 'x': choose among s00, .*, s07 and 22 more$"):
        found.encode({"site": "x"})
