"""docs/add_a_specimen.md is true: its file, in a folder of one's own, serves whatever takes a kind of specimen."""

import re
from pathlib import Path

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from morphogen.evaluation.captioning import caption
from morphogen.evaluation.evaluate import evaluate
from morphogen.evaluation.fields import fields
from morphogen.evaluation.segment import segment
from morphogen.images.image_set import Pictures
from morphogen.images.picture import Origin, Picture
from morphogen.problems import Problem
from morphogen.report.describe import describe
from morphogen.specimens.specimen import OWN_KINDS, specimen, specimen_names

PAGE = Path(__file__).parents[2] / "docs" / "add_a_specimen.md"
FRACTION = 0.25


def steel_like(count, seed, size=(96, 96)):
    """Islands of a known share, elongated along x, in bright ferrite; with blur, noise and another lamp each time."""
    pictures = []
    for k in range(count):
        random = np.random.default_rng((seed, k))
        field = gaussian_filter(random.standard_normal(size), (2.0, 4.5), mode="wrap")
        islands = field > np.quantile(field, 1 - FRACTION)
        grey = gaussian_filter(np.where(islands, 70.0, 180.0), 0.8) * random.uniform(0.9, 1.1)
        pixels = np.clip(grey + random.normal(0, 5, size), 0, 255).astype(np.uint8)
        pictures.append(Picture(pixels[None], (0.5, 0.5), Origin(f"{seed}-{k}", f"{seed}-{k}.png")))
    return Pictures(pictures, "steel")


@pytest.fixture
def steel(tmp_path, monkeypatch):
    (code,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), flags=re.DOTALL)
    (tmp_path / "steel.py").write_text(code, encoding="utf-8")
    monkeypatch.setenv(OWN_KINDS, str(tmp_path))
    return tmp_path


def test_the_kind_of_the_page_segments_describes_captions_and_evaluates(steel):
    assert "steel" in specimen_names()
    measured, others = steel_like(6, seed=1), steel_like(6, seed=2)
    masked, _ = segment(measured, specimen="steel")
    assert np.mean([p.mask.mean() for p in masked]) == pytest.approx(FRACTION, abs=0.02)
    card = describe(measured, specimen="steel", crop=(48, 48), fields_at_most=12)
    facts = {fact.name: fact for fact in card.facts}
    assert facts["martensite fraction"].mean == pytest.approx(FRACTION, abs=0.03)
    assert facts["mean chord length along x"].mean > 1.3 * facts["mean chord length along y"].mean
    assert facts["mean chord length"].unit == "µm"
    assert card.correlations[-1].of == "martensite"
    said, _ = caption(measured, specimen="steel")
    assert all("banded along the rolling direction" in p.labels["caption"] for p in said)
    assert all(p.labels["caption"].startswith("optical micrograph of dual-phase steel, martensite 0.2") for p in said)
    comparison = evaluate(
        measured=measured, generated={"made": fields(others, (48, 48), 16)}, specimen="steel",
        features=("descriptors",), resamples=50,
    ).comparison  # fmt: skip
    (of_fraction,) = [
        e for e in comparison.equivalences if e.descriptor == "martensite fraction" and e.compared == "made"
    ]
    assert of_fraction.margin == 0.02


def test_what_is_wrong_with_a_file_is_one_line(steel, monkeypatch):
    with pytest.raises(Problem, match="there is no kind of specimen 'stel': choose one of fiber, rock, root, steel"):
        specimen("stel")
    (steel / "bad.py").write_text("SPECIMEN = 1\n")
    with pytest.raises(Problem, match="does not say SPECIMEN = Specimen"):
        specimen("bad")
    (steel / "bad.py").write_text("\nSPECIMEN = nothing\n")
    with pytest.raises(Problem, match=r"bad.py cannot be read, line 2: NameError"):
        specimen("bad")
    (steel / "bad.py").write_text("SPECIMEN = (\n")
    with pytest.raises(Problem, match=r"bad.py cannot be read, line 1: "):
        specimen("bad")
    page = (steel / "steel.py").read_text()
    (steel / "steel.py").write_text(
        page.replace('"mean chord length along y",\n            ),', '"chord",\n            ),')
    )
    with pytest.raises(
        Problem, match="a caption speaks of 'chord', which the descriptor 'chord_lengths' does not read"
    ):
        caption(steel_like(1, seed=3), specimen="steel")
    (steel / "rock.py").write_text(page)
    with pytest.raises(Problem, match=r"rock.py has the name of morphogen.specimens.rock: call it otherwise"):
        specimen_names()
    monkeypatch.setenv(OWN_KINDS, str(steel / "none"))
    with pytest.raises(Problem, match="which is no folder"):
        specimen_names()
