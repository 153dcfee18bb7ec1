"""The audit finds what is known of its metrics: who sees blur, copying and collapse, and who is misled by them."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import spearmanr, wasserstein_distance

from morphogen.audit.audit import _at_size, _rank_correlations, audit
from morphogen.audit.defect import Material
from morphogen.audit.instruments import Readings, Rows, Similarities
from morphogen.audit.records import Audit, MetricRecord
from morphogen.evaluation.segmentation.threshold import Threshold
from morphogen.evaluation.similarities.ssim import ssim
from morphogen.images.image_set import Pictures
from morphogen.images.intensity import IntensityMap
from morphogen.phantoms.phantom import image_set, phantoms
from morphogen.problems import Problem
from morphogen.specimens.specimen import specimen


class Fourth:
    """A metric of one's own: the difference of the mean fourth powers, which nothing else here reads."""

    most: int | None = None
    metrics = (
        MetricRecord(
            name="fourth", family="descriptor", features="", standard=False, higher_is_better=False, two_sided=False
        ),
    )

    def read(self, images: Pictures) -> Rows:
        return np.array([(picture.pixels.astype(float) ** 4).mean() for picture in images])

    def scores(self, *, measured: Rows, training: Rows, compared: Rows) -> Sequence[float]:
        assert len(measured) == len(compared) == len(training) == 16
        return [abs(float(measured.mean() - compared.mean()))]


@pytest.fixture(scope="module")
def found() -> Audit:
    return audit(
        kind="rock",
        size=(48, 48),
        n=(16,),
        defects=("blur", "copying", "mode_collapse", "flips"),
        instruments=lambda _: [Fourth()],
        draws=40,
        seed=2,
    ).audit


def power(found: Audit, metric: str, defect: str) -> tuple[float, ...]:
    return found.cell(metric, defect).at_size(16).power


def test_blur_is_seen_by_the_spectrum_and_rewarded_by_ssim(found: Audit) -> None:
    high = found.cell("high-frequency power", "blur").at_size(16)
    assert high.rank_correlation == pytest.approx(1.0, abs=0.02)
    assert high.smallest_seen == 0.5
    # Between images that have nothing to do with each other, blur removes what differs: SSIM climbs.
    unpaired = found.cell("SSIM of random pairs", "blur").at_size(16)
    assert unpaired.rank_correlation > 0.95
    assert unpaired.power[-1] > 0.8
    spot = next(spot for spot in found.who_sees() if spot.defect == "blur")
    assert "SSIM of random pairs" in spot.rewarded_by
    assert "high-frequency power" in spot.seen_by


def test_copying_is_seen_only_by_what_knows_the_training_images(found: Audit) -> None:
    for over in ("VGG16 relu5_3 mean", "descriptors"):
        assert min(power(found, f"share of copies over {over}", "copying")[1:]) == 1.0
        copies = found.cell(f"share of copies over {over}", "copying").at_size(16).scores
        # 10, 50 and 100 % of 16 images are 2, 8 and 16.
        assert np.array(copies[1:]) == pytest.approx([2 / 16, 0.5, 1.0], abs=0.07)
    assert max(power(found, "Frechet distance over VGG16 relu5_3 mean", "copying")) < 0.5


def test_collapse_is_seen_among_neighbours(found: Audit) -> None:
    assert power(found, "share of repeats over descriptors", "mode collapse")[-1] > 0.9
    assert power(found, "recall over VGG16 relu5_3 mean", "mode collapse")[-1] > 0.5
    assert power(found, "precision over VGG16 relu5_3 mean", "mode collapse")[-1] < 0.5


def test_flips_change_no_isotropic_descriptor(found: Audit) -> None:
    for name in ("porosity", "correlation length", "specific surface"):
        at = found.cell(name, "flipped").at_size(16)
        assert at.scores[1] == pytest.approx(at.scores[0], rel=1e-9)
        assert at.power[1] == at.power[0]


def test_undamaged_sets_raise_few_alarms(found: Audit) -> None:
    alarms = [found.cell(m.name, "blur").at_size(16).power[0] for m in found.metrics]
    # Nominal 2.5 % or 5 %; 40 draws and a quantile of 200 give single metrics up to a few times that.
    assert np.mean(alarms) < 0.08
    assert max(alarms) < 0.25
    for m in found.metrics:
        assert found.quiet(m.name, "flipped", 16) == (power(found, m.name, "flipped")[1] <= 0.1)


def test_every_metric_meets_every_defect_and_survives_json(found: Audit, tmp_path: Path) -> None:
    assert len(found.cells) == len(found.metrics) * len(found.defects)
    assert {(c.metric, c.defect) for c in found.cells} == {
        (m.name, d.name) for m in found.metrics for d in found.defects
    }
    assert {m.family for m in found.metrics} == {
        "paired similarity", "set distance", "diversity", "descriptor", "memorisation"
    }  # fmt: skip
    assert found.cell("fourth", "blur").at_size(16).n == 16
    found.save(tmp_path / "audit.json")
    assert Audit.load(tmp_path / "audit.json") == found


def test_the_same_seed_gives_the_same_audit() -> None:
    def again() -> Audit:
        return audit(kind="root", size=(48, 48), n=(8,), defects=("mode_collapse",), draws=2, seed=3).audit

    assert again() == again()


def test_measured_images_are_audited_as_they_are() -> None:
    images = image_set(phantoms("fiber", count=2, size=(192, 256), seed=4))
    both = audit(kind="fiber", measured=images, size=(48, 48), n=(8,), defects=("noise",), draws=10, seed=3)
    found = both.audit
    clean, *noisy = (picture.grey for picture in both.examples["noise"])
    assert [(grey - clean).std() for grey in noisy] == sorted((grey - clean).std() for grey in noisy)
    assert len(noisy) == 3
    assert found.source == "measured images of 2 specimens"
    assert found.cell("noise level", "noise").at_size(8).smallest_seen == 2.0
    with pytest.raises(Problem, match="ask for sets of at most 13"):
        audit(kind="fiber", measured=images, size=(48, 48), n=(16,))


def test_what_cannot_be_audited_is_refused() -> None:
    with pytest.raises(Problem, match="sets of 4 images"):
        audit(kind="rock", n=(4, 64))
    with pytest.raises(Problem, match="16 x 64 pixels are too small"):
        audit(kind="rock", size=(16, 64))
    with pytest.raises(Problem, match="no kind of specimen 'bone'"):
        audit(kind="bone")
    with pytest.raises(Problem, match="means nothing for rock"):
        audit(kind="rock", defects=("roots_thinned",))


def test_ssim_is_that_of_the_similarities() -> None:
    images = image_set(phantoms("rock", count=9, size=(48, 40), seed=1, dtype="uint16", grain_radius_um=30.0))
    material = Material(specimen("rock"), Threshold(2e4, "dark"), IntensityMap.of(images))
    instrument = Similarities(material, (48, 40))
    rows = instrument.read(images)
    x = np.stack([picture.pixels for picture in images]).astype(float)
    paired, diversity = instrument.scores(measured=rows[::-1], training=rows, compared=rows)
    # float32 against float64.
    assert paired == pytest.approx(ssim(x[::-1], x, material.grey_range).mean(), abs=2e-6)
    assert diversity == pytest.approx(ssim(x[:-1], x[1:], material.grey_range).mean(), abs=2e-6)


def test_wasserstein_distances_are_scipys_also_with_missing_readings() -> None:
    generator = np.random.default_rng(0)
    x, y = generator.normal(size=(20, 3)), generator.normal(size=(20, 3))
    y[:5, 1] = np.nan
    x[3:, 2] = np.nan
    x[:2, 2] = np.nan
    found = Readings.scores(object.__new__(Readings), measured=x, training=x, compared=y)
    expected = [
        wasserstein_distance(x[:, 0], y[:, 0]),
        wasserstein_distance(x[:, 1], y[5:, 1]),
        0.0,  # one value tells nothing
    ]
    assert found == pytest.approx(expected, rel=1e-12)


def test_rank_correlation_is_spearmans() -> None:
    scores = np.random.default_rng(1).normal(size=(4, 6, 5)).round(0)  # with ties
    scores[:, :, 4] = 1.0
    expected = [
        np.mean([spearmanr(range(4), s).statistic if np.ptp(s) > 0 else 0.0 for s in scores[:, :, m].T])
        for m in range(5)
    ]
    assert _rank_correlations(scores) == pytest.approx(expected, abs=1e-12)


def test_a_severity_counts_as_seen_only_if_all_graver_ones_are() -> None:
    floor = np.linspace(0, 1, 201)[:, None] * np.ones(2)
    # Scores of severities 0, 1, 2, 3 in ten draws; beyond the floor is above 0.975, or, two-sided, below 0.025.
    scores = np.array([[0.5, 0.5], [2.0, -1.0], [0.5, -1.0], [2.0, -1.0]])[:, None] * np.ones((1, 10, 1))
    one_sided, two_sided = _at_size(8, floor, scores, (1.0, 2.0, 3.0), np.array([False, True]))
    assert one_sided.power == (0.0, 1.0, 0.0, 1.0)
    assert one_sided.smallest_seen == 3.0
    assert one_sided.floor_low is None
    assert two_sided.power == (0.0, 1.0, 1.0, 1.0)
    assert two_sided.smallest_seen == 1.0
    assert two_sided.in_floor_units[1] == pytest.approx(-1.5 / floor[:, 0].std(ddof=1))
