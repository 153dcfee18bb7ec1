"""A set whose method was trained to please some features is not judged by them."""

import io
import re
from dataclasses import replace

import numpy as np
import pytest
from rich.console import Console
from scipy import ndimage

from morphogen.evaluation import evaluate as evaluate_module
from morphogen.evaluation.evaluate import evaluate
from morphogen.evaluation.feature_table import FeatureTable
from morphogen.evaluation.records import Comparison, Diversity, Estimate, Score
from morphogen.images.image_set import ImageSet, Pictures
from morphogen.images.picture import TRAINED_THROUGH, Origin, Picture
from morphogen.problems import Problem
from morphogen.report.evaluation_page import write_evaluation_page
from morphogen.report.terminal import print_comparison
from morphogen.report.verdict import verdict
from morphogen.specimens.specimen import specimen

ROCK = replace(specimen("rock"), descriptors=("phase_fraction",))  # the others take time and change nothing here
MARK = "trained through these features"


def rocks(seed: int, grain: float = 2.0, through: str = "", count: int = 8) -> Pictures:
    random = np.random.default_rng(seed)
    pictures = []
    for i in range(count):
        smooth = ndimage.gaussian_filter(random.normal(size=(32, 32)), grain, mode="wrap")
        grey = np.where(smooth < 0, 60, 180) + random.normal(0, 8, smooth.shape)
        labels = {TRAINED_THROUGH: through} if through else {}
        pixels = np.clip(grey, 0, 255).astype(np.uint8)[None]
        pictures.append(Picture(pixels, (1.0, 1.0), Origin(f"{seed}-{i}"), labels))
    return Pictures(pictures, f"rocks {seed}")


class Moments:
    """In place of a network: means of an image and of its neighbours' differences, under the network's name."""

    def __init__(self, name: str) -> None:
        self.name, self.identity = f"{name} relu5 mean, no resize", name

    def __call__(self, images: ImageSet, intensity: object) -> FeatureTable:
        x = np.stack([picture.grey for picture in images]) / 255
        rows = np.stack([x.mean((1, 2)), x.std((1, 2)), np.abs(np.diff(x)).mean((1, 2))], axis=1)
        groups = tuple(picture.origin.specimen for picture in images)
        return FeatureTable(self.name, self.identity, images.fingerprint, rows, groups)


@pytest.fixture
def networks(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The networks that were asked for, none of which needs weights."""
    asked: list[str] = []

    def stand_in(name: str, **_: object) -> Moments:
        asked.append(name)
        return Moments({"vgg16": "VGG16", "alexnet": "AlexNet"}[name])

    monkeypatch.setattr(evaluate_module, "extractor", stand_in)
    monkeypatch.setattr(evaluate_module, "diversity_measures", lambda features, size: [])
    monkeypatch.setattr(evaluate_module, "kind_of_specimen", lambda name: ROCK)
    return asked


def found(features: tuple[str, ...], **generated: ImageSet) -> Comparison:
    return evaluate(measured=rocks(1), floor=rocks(2), generated=generated, features=features, resamples=30).comparison


@pytest.mark.parametrize("features", [("vgg16",), ("vgg16", "vgg16")])
def test_its_own_features_alone_are_refused_before_anything_is_computed(networks, features):
    with pytest.raises(Problem) as caught:
        found(features, dcgan=rocks(3), projected=rocks(4, through="vgg16"))
    assert "'projected' was trained through vgg16" in caught.value.what
    assert "'descriptors'" in caught.value.do
    assert not networks


def test_one_picture_that_says_so_is_enough(networks):
    marked = rocks(4, through="vgg16", count=1)[0]
    some = Pictures([*rocks(4, count=7), replace(marked, origin=Origin("x"), pixels=marked.pixels[:, ::-1])], "some")
    with pytest.raises(Problem, match="trained through vgg16"):
        found(("vgg16",), projected=some)


def test_the_set_is_marked_over_these_features_and_nowhere_else(networks):
    c = found(("vgg16", "alexnet", "descriptors"), dcgan=rocks(3), projected=rocks(4, through="vgg16"))
    marked = {(s.compared, s.features.split()[0]) for s in c.scores if s.trained_through}
    assert marked == {("projected", "VGG16")}
    assert all(s.trained_through for s in c.scores if s.compared == "projected" and s.features.startswith("VGG16"))
    (note,) = (n for n in c.notes if "photographs" in n)
    assert note.startswith("projected: ")
    assert "alexnet learnt from the same photographs" in note
    plain = found(("vgg16",), dcgan=rocks(3))
    assert not any(s.trained_through for s in plain.scores)
    assert not any("photographs" in n for n in plain.notes)


def test_nothing_else_changes_by_the_label(networks):
    features = ("vgg16", "descriptors")
    plain = found(features, dcgan=rocks(3), projected=rocks(4))
    marked = found(features, dcgan=rocks(3), projected=rocks(4, through="vgg16"))
    for a, b in zip(plain.scores, marked.scores, strict=True):
        assert a == b.model_copy(update={"trained_through": False})


def test_the_terminal_and_the_page_say_so(networks, tmp_path):
    sets = {"dcgan": rocks(3), "projected": rocks(4, through="vgg16")}
    measured = rocks(1)
    evaluation = evaluate(
        measured=measured, floor=rocks(2), generated=sets, features=("vgg16", "descriptors"), resamples=30
    )
    written = io.StringIO()
    print_comparison(evaluation.comparison, Console(file=written, width=100))
    scores = written.getvalue().split("Descriptors: difference")[0]
    tables = re.split(r"\n(?=.* over (?:VGG16|descriptors))", scores)
    vgg = [t for t in tables if " over VGG16" in t]
    descriptors = [t for t in tables if " over descriptors" in t]
    assert vgg
    assert descriptors
    for table in vgg:
        assert "projected †" in table
        assert "dcgan †" not in table
        assert MARK in table
    for table in descriptors:
        assert "†" not in table
    page = write_evaluation_page(
        evaluation, tmp_path, kind="rock", measured=measured, generated=sets, another={}, training=None,
        arguments={}, command="morphogen evaluate", seconds=1.0,
    ).read_text()  # fmt: skip
    rows = re.findall(r"<tr><th scope=\"row\">.*?</tr>", page, re.DOTALL)
    marked = [row for row in rows if MARK in row]
    assert len(marked) == sum(s.trained_through for s in evaluation.comparison.scores)
    assert all("projected" in row for row in marked)
    assert any("†" in plot and "projected" in plot for plot in re.findall(r"<svg.*?</svg>", page, re.DOTALL))
    assert "the verdict leaves it out" in page


# ---- the verdict ---------------------------------------------------------------------------------------


def score(compared, value, half=0.5, *, features="VGG16 relu5_3", role="generated", through=False):
    def estimate(v, low, high):
        return Estimate(value=v, low=low, high=high, n_measured=64, n_generated=64)

    return Score(
        metric="kernel distance", features=features, extractor="hash", higher_is_better=False, compared=compared,
        role=role, estimate=estimate(value, value - half, value + half), floor=estimate(0.3, -1.0, 1.6),
        ratio_to_floor=value, trained_through=through,
    )  # fmt: skip


def diversity(compared, value, *, role="generated", through=False):
    estimate = Estimate(value=value, low=value - 0.01, high=value + 0.01, n_measured=64, n_generated=64)
    return Diversity(
        metric="LPIPS (AlexNet)", compared=compared, role=role, higher_is_more_diverse=True, estimate=estimate,
        trained_through=through,
    )  # fmt: skip


def comparison(*scores, diversities=()):
    return Comparison(
        specimen="rock", measured_fingerprint="a", fingerprints={}, field_px=(64, 64), spacing_um=(1.0, 1.0),
        segmentation="masks", phase="pore (dark)", interval_unit="field", scores=scores, readings=(), curves=(),
        diversities=diversities,
    )  # fmt: skip


def rows(through):
    return (
        score("projected", 2.0, through=through), score("dcgan", 9.0), score("noise", 200.0, role="noise"),
        score("projected", 30.0, features="descriptors"), score("dcgan", 12.0, features="descriptors"),
        score("noise", 300.0, role="noise", features="descriptors"),
    )  # fmt: skip


def test_the_verdict_rests_on_other_features():
    before = verdict(comparison(*rows(through=False)))
    assert (before.leaders, before.measure) == (("projected",), "VGG16 kernel distance")
    v = verdict(comparison(*rows(through=True)))
    assert (v.leaders, v.measure) == (("dcgan",), "kernel distance of descriptors")
    assert not v.contradicted
    judged = [s.text for s in v.sentences if s.about != "caution"]
    assert not any("VGG16" in text for text in judged)
    assert any("What projected scores over VGG16 relu5_3 is no evidence" in t for t in v.about("caution"))


def test_where_nothing_else_can_say_nobody_is_called_closest():
    v = verdict(comparison(*rows(through=True)[:3]))
    assert v.leaders == ()
    assert "trained through" in v.headline


def test_variety_is_not_praised_by_the_features_that_it_was_trained_to_show():
    measured = diversity("measured", 0.4, role="measured")
    for through in (False, True):
        v = verdict(
            comparison(
                *rows(through=False), diversities=(measured, diversity("projected", 0.5, through=through),
                                                   diversity("dcgan", 0.2)),
            )
        )  # fmt: skip
        said = " ".join(v.about("variety"))
        assert ("projected" in said) is not through
        assert "dcgan" in said
