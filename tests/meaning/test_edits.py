"""Edits are worth what they did of what was asked: the truth succeeds, doing nothing does not, whatever papers say."""

from dataclasses import replace

import numpy as np
import pytest

from morphogen.evaluation.edits import (
    Asked,
    Edited,
    EditedSet,
    PaperMeasures,
    Reader,
    compare_edits,
    moving_along,
    overlap,
    photographs_differ,
    places,
    truly_changed,
)
from morphogen.evaluation.similarities.similarity import similarity
from morphogen.instructions.triples import known_triples, neighbour, photographed_again
from morphogen.phantoms.edits import triple
from morphogen.phantoms.instruments.camera import Camera
from morphogen.problems import Problem
from morphogen.report.editing_page import doing_nothing, headline
from morphogen.report.editing_record import EditedSetRecord
from morphogen.specimens.specimen import specimen

SIZE = (64, 64)
EVERYWHERE = np.ones(SIZE, np.bool_)
DESCRIPTORS = ("phase_fraction", "fiber_sections", "specific_surface", "grey_levels")


@pytest.fixture(scope="module")
def asked():
    found = []
    for known in known_triples("fiber", count=8, seed=4, names=("fibers thicker",), size=SIZE, factor=1.3):
        before, truth = known.pictures
        found.append(Asked("thicker", "make circles larger", before, neighbour(known), "fiber diameter", truth=truth,
                           again=photographed_again(known), changed=known.triple.changed))  # fmt: skip
    noise = photographs_differ(found)
    return [replace(a, changed=truly_changed(a.source, a.truth, a.changed, noise)) for a in found]


@pytest.fixture(scope="module")
def reader(asked):
    return Reader(specimen("fiber"), [a.source for a in asked], descriptors=DESCRIPTORS)


@pytest.fixture(scope="module")
def comparison(asked, reader):
    def row(name, pictures, role="editor", regions=None):
        regions = regions or [EVERYWHERE] * len(asked)
        return EditedSet(name, name, role, tuple(Edited(p, r) for p, r in zip(pictures, regions, strict=True)))

    def harsher(picture):
        return replace(picture, pixels=np.clip(130 + 1.6 * (picture.pixels - 130.0), 0, 255).astype(np.uint8))

    sets = [
        row("does it", [a.again for a in asked], regions=[a.changed for a in asked]),
        row("does it harshly", [harsher(a.again) for a in asked]),
        row("identity", [a.source for a in asked], "identity", [~EVERYWHERE] * len(asked)),
        row("another", [a.neighbour for a in asked], "another"),
        EditedSet("broken", "broken", "editor", (), note="the run diverged"),
    ]
    papers = PaperMeasures([similarity("ssim", size=SIZE)])
    return compare_edits(asked, sets, kind=specimen("fiber"), reader=reader, papers=papers, resamples=200)


def test_who_does_what_was_asked_is_first_and_who_does_nothing_last(comparison):
    rows = {row.row: row for row in comparison.rows}
    assert rows["does it"].succeeded.value == 1.0
    assert rows["does it"].succeeded.low == pytest.approx(1 - (1 - 0.025 ** (1 / 8)))  # Clopper-Pearson of eight hits
    assert rows["does it"].of_wanted.value == pytest.approx(1, abs=0.05)
    assert rows["identity"].succeeded.value == rows["identity"].right.value == rows["identity"].of_wanted.value == 0
    assert rows["identity"].obeyed.value == 0
    assert rows["another"].succeeded.value < 0.5
    ssim = {name: row.papers[0].estimate.value for name, row in rows.items() if row.papers}
    assert max(ssim, key=ssim.get) == "identity"
    assert rows["broken"].succeeded is None
    assert rows["broken"].note
    record = EditedSetRecord(name="fibers", kind="fiber", about="", images="phantom", size_px=SIZE,
                             spacing_um=(0.65, 0.65), comparison=comparison, runs=())  # fmt: skip
    papers, last, _ = doing_nothing(record)
    assert papers == ["SSIM"]
    assert last
    assert "The best editor is does it: 100 %" in headline(record)


def test_moving_what_was_not_asked_for_costs_the_success(comparison):
    rows = {row.row: row for row in comparison.rows}
    assert rows["does it harshly"].obeyed.value == rows["does it"].obeyed.value == 1.0  # of the phase nothing changed
    assert rows["does it harshly"].held_share.value < 0.9 < rows["does it"].held_share.value


def test_errors_are_told_in_noises_of_a_photograph_inside_and_outside(comparison):
    rows = {row.row: row for row in comparison.rows}
    assert rows["does it"].inside.value == pytest.approx(1, rel=0.3)
    assert rows["does it"].outside.value == pytest.approx(1, rel=0.3)
    assert rows["identity"].outside.value == pytest.approx(1, rel=0.3)  # what changes less than photographs differ
    assert rows["identity"].inside.value > 3
    assert rows["does it"].region_iou.value == 1.0
    assert rows["identity"].region_iou.value == 0.0
    assert rows["does it"].changed_iou.value > 0.5 > rows["another"].changed_iou.value
    whole = np.mean([e.region_share for e in comparison.edits if e.row == "another"])
    assert whole == 1.0


def test_of_measured_images_the_wanted_move_follows_from_a_factor(asked, reader):
    unknown = [replace(a, truth=None, again=None, changed=None, factor=1.3) for a in asked]
    sets = [EditedSet("does it", "", "editor", tuple(Edited(a.truth, EVERYWHERE) for a in asked))]
    read = [[reader(p) for p in part] for part in zip(*((a.source, a.truth, a.neighbour) for a in asked), strict=True)]
    along = moving_along(*read)
    assert "fiber volume fraction" in along
    assert "fiber diameter" in along
    held = compare_edits([replace(a, along=along - {a.reading}) for a in unknown], sets, kind=specimen("fiber"),
                         reader=reader, resamples=50)  # fmt: skip
    strict = compare_edits(unknown, sets, kind=specimen("fiber"), reader=reader, resamples=50)
    assert held.rows[0].obeyed.value == 1.0
    assert held.noise is None
    assert held.rows[0].held_share.value > strict.rows[0].held_share.value
    assert held.rows[0].inside is None
    assert held.rows[0].region_iou is None
    with pytest.raises(Problem, match="nothing says by how much 'thicker' is to move fiber diameter"):
        compare_edits([replace(a, factor=None) for a in unknown], sets, kind=specimen("fiber"), reader=reader)


def test_places_are_shared_by_equals_and_overlap_is_that_of_parts():
    assert places([0.5, None, 0.9, 0.5, 0.1], higher_is_better=True) == [2, None, 1, 2, 4]
    assert places([0.5, 0.9, 0.1], higher_is_better=False) == [2, 3, 1]
    one, other = np.zeros((4, 4), np.bool_), np.zeros((4, 4), np.bool_)
    one[:2], other[1:] = True, True
    assert overlap(one, other) == pytest.approx(4 / 16)
    assert overlap(~one & one, one & ~one) == 1.0


def test_a_neighbour_is_of_the_same_specimen_and_a_second_photograph_of_the_same_scene():
    (known,) = known_triples("rock", count=1, seed=3, names=("grains larger",), size=SIZE, factor=1.3)
    before, truth = known.pictures
    again, other = photographed_again(known), neighbour(known)
    assert known.triple.factor == 1.3
    assert again.spacing_um == other.spacing_um == before.spacing_um
    difference = again.grey - truth.grey
    camera = Camera()
    expected = np.sqrt(2 * (camera.read_noise**2 + camera.shot_noise**2 * 0.5)) * camera.gain * 255
    assert difference.std() == pytest.approx(expected, rel=0.25)
    assert abs(np.corrcoef(other.grey.ravel(), before.grey.ravel())[0, 1]) < 0.3
    with pytest.raises(Problem, match="'grains larger' never has the factor 7: choose one of"):
        triple("rock", seed=0, names=("grains larger",), factor=7.0)
