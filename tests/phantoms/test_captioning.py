"""Captions from measured descriptors, on phantoms whose answer is known."""

import math
import re
from dataclasses import replace

import numpy as np
import pytest

from morphogen.evaluation.captioning import caption
from morphogen.images.image_set import Pictures
from morphogen.images.picture import Origin, Picture
from morphogen.phantoms.phantom import image_set, phantoms
from morphogen.specimens.specimen import Phrase, specimen, specimen_names


def told(kind: str, masks: bool = True, crop=None, **parameters):
    made = phantoms(kind, count=2, size=(128, 128), seed=3, vary=False, parameters=parameters)
    found, _ = caption(image_set(made), specimen=kind, segmentation="masks" if masks else None, crop=crop)
    return made, [str(p.labels["caption"]) for p in found]


@pytest.mark.parametrize(
    ("parameters", "word", "pores"),
    [
        ({"porosity": 0.08, "grain_radius_um": 20.0}, "low", "narrow pores"),
        ({"porosity": 0.4, "grain_radius_um": 100.0}, "high", "wide pores"),
    ],
)
def test_a_rock_is_told_by_its_porosity_and_pores(parameters, word, pores):
    made, texts = told("rock", **parameters)
    for phantom, text in zip(made, texts, strict=True):
        assert text.startswith(f"microCT of rock, {word} porosity {phantom.parameters['porosity']:.2f}, {pores} of ")
        assert text.endswith(" um")


def test_a_segmentation_reads_what_the_masks_say():
    _, exact = told("rock")
    _, seen = told("rock", masks=False)
    for one, other in zip(exact, seen, strict=True):
        numbers = [float(re.search(r"porosity ([\d.]+)", text)[1]) for text in (one, other)]
        assert numbers[0] == pytest.approx(numbers[1], abs=0.03)


def test_fibers_and_roots_are_told_by_theirs():
    made, texts = told("fiber", fiber_volume_fraction=0.5, fiber_diameter_um=6.5)
    number = re.search(r"dense fibers ([\d.]+), fibers of ([\d.]+) um", texts[0])
    assert float(number[1]) == pytest.approx(made[0].parameters["fiber_volume_fraction"], abs=0.01)
    assert float(number[2]) == pytest.approx(made[0].parameters["fiber_diameter_um"], rel=0.05)
    _, texts = told("root", gravitropism_per_mm=1.0, branching_orders=0.0)
    assert re.fullmatch(
        r"scan of plant roots in soil, .* roots [\d.]+, .*roots of [\d.]+ um, growing steeply", texts[0]
    )


def test_the_direction_turns_with_the_image():
    rows = np.tile((np.arange(64) // 8 % 2 * 200).astype("uint8")[:, None], (1, 64))
    rows[:, ::32] = 0  # so that chords end
    images = Pictures(Picture(p[None], (1.0, 1.0), Origin(n)) for n, p in (("lying", rows), ("standing", rows.T)))
    found, _ = caption(images, specimen="rock")
    assert [str(p.labels["caption"]).rpartition("elongated ")[2] for p in found] == ["horizontally", "vertically"]


def test_fields_have_captions_of_their_own_and_what_is_not_there_is_not_spoken_of():
    made, texts = told("rock", crop=(32, 32))
    assert len(set(texts)) > 8
    picture = replace(made[0].picture, mask=np.zeros((128, 128), dtype=bool))
    found, _ = caption(Pictures([picture]), specimen="rock", segmentation="masks")
    assert found[0].labels["caption"] == "microCT of rock, low porosity 0.00"
    unknown = Pictures(replace(p.picture, spacing_um=(math.nan, math.nan)) for p in made)
    found, _ = caption(unknown, specimen="rock", segmentation="masks")
    assert str(found[0].labels["caption"]).endswith(" px")


def test_every_kind_says_what_it_is_and_limits_part_the_phrases():
    subjects = {specimen(name).wording.subject for name in specimen_names()}
    assert len(subjects) == len(specimen_names())
    phrase = Phrase("phase_fraction", "x", ("low {value:.1f}", "", "high {value:.0f} {unit}"), (1.0, 4.0))
    assert [phrase.of(v, "µm", 2.0) for v in (1.9, 2.0, 8.0)] == ["low 1.9", "", "high 8 um"]
    with pytest.raises(ValueError, match="2 phrases do not fit"):
        Phrase("phase_fraction", "x", ("low", "high"), (4.0, 1.0))
