"""Defects do what their names say, on phantoms and drawn shapes whose answer is known, and leave no brush marks."""

import io
import math

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from morphogen.audit.defect import (
    FieldDefect,
    Material,
    SetDefect,
    defect,
    defect_names,
    defects_for,
    degraded,
)
from morphogen.audit.defects.connections_cut import necks
from morphogen.audit.defects.repainting import noise_level, repaint
from morphogen.audit.defects.root_tips_removed import terminal_parts
from morphogen.evaluation.descriptors.fiber_sections import fiber_sections
from morphogen.evaluation.section import Section
from morphogen.evaluation.segmentation.segmentation import fit_segmentation
from morphogen.evaluation.segmentation.threshold import Threshold
from morphogen.evaluation.skeleton_graph import skeleton_graph
from morphogen.images.image_set import Pictures
from morphogen.images.intensity import IntensityMap
from morphogen.images.picture import Origin, Picture
from morphogen.phantoms.phantom import image_set, phantoms
from morphogen.problems import Problem
from morphogen.specimens.specimen import specimen

EIGHT = np.ones((3, 3))


def material_of(kind: str, images: Pictures) -> Material:
    of = specimen(kind)
    return Material(of, fit_segmentation("otsu", images, of.phase_is), IntensityMap.of(images))


@pytest.fixture(scope="module")
def rock() -> Pictures:
    return image_set(phantoms("rock", count=12, size=(128, 128), seed=5))


@pytest.fixture(scope="module")
def fiber() -> Pictures:
    return image_set(phantoms("fiber", count=8, size=(128, 128), seed=5, fiber_volume_fraction=0.35))


@pytest.fixture(scope="module")
def root() -> Pictures:
    return image_set(phantoms("root", count=16, size=(128, 128), seed=5))


@pytest.fixture
def kinds(rock: Pictures, fiber: Pictures, root: Pictures) -> dict[str, Pictures]:
    return {"rock": rock, "fiber": fiber, "root": root}


def damage(name: str, severity: float, images: Pictures, kind: str) -> tuple[list[Section], list[Section]]:
    """Clean and damaged sections, told apart by the same threshold."""
    material = material_of(kind, images)
    after = degraded(defect(name), severity, images, material, seed=1)
    return [material.section(p) for p in images], [material.section(p) for p in after]


def total(sections: list[Section]) -> float:
    return float(np.mean([s.fraction for s in sections]))


def parts(section: Section) -> int:
    return int(ndimage.label(section.phase, EIGHT)[1])


def drawn(
    phase: np.ndarray, dark: float = 60.0, bright: float = 180.0, grain: float = 6.0, blur: float = 0.8
) -> Picture:
    """A photograph of two even materials, the phase dark, with white noise."""
    signal = ndimage.gaussian_filter(np.where(phase, dark, bright).astype(float), blur)
    noise = np.random.default_rng(0).normal(0, grain, phase.shape)
    return Picture(np.rint(signal + noise).clip(0, 255).astype(np.uint8)[None], (2.0, 2.0), Origin("drawn"))


def rock_like(threshold: float = 120.0) -> Material:
    return Material(specimen("rock"), Threshold(threshold, "dark"), IntensityMap(low=0.0, high=255.0, dtype="uint8"))


@pytest.mark.parametrize("name", defect_names())
def test_a_defect_keeps_what_an_image_is_and_zero_touches_nothing(name: str, kinds: dict[str, Pictures]) -> None:
    found = defect(name)
    suited = [kind for kind in kinds if found.suits(specimen(kind))]
    assert suited
    for kind in suited:
        clean = Pictures(list(kinds[kind])[:4])
        material = material_of(kind, clean)
        after = degraded(found, found.severities[-1], clean, material, training=kinds[kind], seed=1)
        assert degraded(found, 0, clean, material, training=kinds[kind]).fingerprint == clean.fingerprint
        assert after.fingerprint != clean.fingerprint
        again = degraded(found, found.severities[-1], clean, material, training=kinds[kind], seed=1)
        assert again.fingerprint == after.fingerprint
        for before, now in zip(clean, after, strict=True):
            assert (now.size, now.pixels.dtype, now.spacing_um) == (before.size, before.pixels.dtype, before.spacing_um)
            assert now.mask is not None


def test_sixteen_bit_pixels_stay_so() -> None:
    clean = image_set(phantoms("rock", count=2, size=(64, 64), seed=1, dtype="uint16"))
    material = material_of("rock", clean)
    for found in defects_for(specimen("rock")):
        if isinstance(found, FieldDefect):
            after = degraded(found, found.severities[0], clean, material)[0].pixels
            assert after.dtype == np.uint16
            assert len(np.unique(after)) > 500  # not squeezed through 8 bits


@pytest.mark.parametrize("name", ["pores_closed", "grains_grown"])
@pytest.mark.parametrize("severity", [2.0, 5.0, 10.0])
def test_porosity_falls_by_the_share_of_itself(name: str, severity: float, rock: Pictures) -> None:
    before, after = damage(name, severity, rock, "rock")
    assert 100 * (1 - total(after) / total(before)) == pytest.approx(severity, abs=0.5)


def test_closing_takes_pores_and_growing_grains_does_not(rock: Pictures) -> None:
    before, closed = damage("pores_closed", 5.0, rock, "rock")
    _, grown = damage("grains_grown", 5.0, rock, "rock")
    count = sum(map(parts, before))
    assert sum(map(parts, closed)) < 0.5 * count
    assert sum(map(parts, grown)) > 0.8 * count


def test_graver_closing_contains_the_lighter(rock: Pictures) -> None:
    material = material_of("rock", rock)
    light, grave = (degraded(defect("pores_closed"), s, rock, material, seed=1) for s in (2.0, 10.0))
    for little, much in zip(light, grave, strict=True):
        assert little.mask is not None
        assert much.mask is not None
        assert not (much.mask & ~little.mask).any()


def chains() -> np.ndarray:
    """Three rows of four round pores, joined by channels three pixels wide: nine necks."""
    y, x = np.mgrid[:96, :128]
    phase = np.zeros((96, 128), dtype=bool)
    for row in (16, 48, 80):
        for column in (16, 48, 80, 112):
            phase |= (y - row) ** 2 + (x - column) ** 2 <= 100
        phase |= (abs(y - row) <= 1) & (x >= 16) & (x <= 112)
    return phase


@pytest.mark.parametrize(("severity", "cut"), [(100 / 3, 3), (200 / 3, 6)])
def test_each_cut_neck_parts_a_pore(severity: float, cut: int) -> None:
    picture = drawn(chains(), grain=3.0)
    section = rock_like().section(picture)
    assert len(necks(section.phase)) == 9
    after = degraded(defect("connections_cut"), severity + 1e-6, Pictures([picture]), rock_like(), seed=1)[0]
    assert parts(rock_like().section(after)) == 3 + cut


def test_the_brush_leaves_no_mark() -> None:
    y, x = np.mgrid[:96, :96]
    discs = np.zeros((96, 96), dtype=bool)
    for row in (16, 48, 80):
        for column in (16, 48, 80):
            discs |= (y - row) ** 2 + (x - column) ** 2 <= 36
    material = rock_like()
    section = material.section(drawn(discs))
    kept = section.phase & (x > 64)
    painted = repaint(section, kept, np.random.default_rng(1), material).pixels[0].astype(float)
    filled = section.phase & ~kept
    # 226 painted pixels: the mean of white noise of deviation 6 errs by 0.4, its deviation by 5 %.
    assert painted[filled].mean() == pytest.approx(180, abs=1.5)
    assert painted[filled].std() == pytest.approx(6.0, rel=0.2)
    rim = ndimage.binary_dilation(filled, iterations=3) & ~filled
    assert painted[rim].mean() == pytest.approx(180, abs=1.5)  # no halo where the edge was
    far = ndimage.distance_transform_edt(~filled) > 6
    assert np.array_equal(painted[far], section.picture.pixels[0][far])


def test_a_moved_edge_brings_no_noise(fiber: Pictures) -> None:
    before, after = damage("fibers_thickened", 10.0, fiber, "fiber")
    for clean, damaged in zip(before, after, strict=True):
        ratio = noise_level(damaged.picture.grey) / noise_level(clean.picture.grey)
        assert ratio == pytest.approx(1.0, abs=0.05)


@pytest.mark.parametrize("severity", [5.0, 10.0])
def test_fibers_get_thicker_by_the_share_of_their_diameter(severity: float, fiber: Pictures) -> None:
    before, after = damage("fibers_thickened", severity, fiber, "fiber")

    def diameter(sections: list[Section]) -> float:
        return float(np.mean(np.concatenate([fiber_sections(s).diameters[fiber_sections(s).whole] for s in sections])))

    # Eleven pixels across, edges moved by a quarter of a pixel and read by a threshold: one per cent.
    assert 100 * (diameter(after) / diameter(before) - 1) == pytest.approx(severity, abs=1.0)


@pytest.mark.parametrize("severity", [30.0, 45.0])
def test_turned_fibers_are_cut_in_ellipses(severity: float) -> None:
    straight = image_set(
        phantoms("fiber", count=4, size=(128, 128), seed=2, fiber_volume_fraction=0.3, tilt_spread_deg=0.0)
    )
    _, after = damage("fibers_turned", severity, straight, "fiber")
    ratios = np.concatenate([fiber_sections(s).aspect_ratios[fiber_sections(s).whole] for s in after])
    assert ratios.mean() == pytest.approx(1 / math.cos(math.radians(severity)), rel=0.04)


def test_clustering_moves_fibers_and_loses_none(fiber: Pictures) -> None:
    before, after = damage("fibers_clustered", 50.0, fiber, "fiber")
    assert total(after) == pytest.approx(total(before), rel=0.03)

    def crowding(sections: list[Section]) -> float:
        """Variance of the local fraction over its mean square: how unevenly the fibers lie."""
        local = [ndimage.gaussian_filter(s.phase.astype(float), 12.0) for s in sections]
        return float(np.mean([f.std() / f.mean() for f in local]))

    mild = damage("fibers_clustered", 10.0, fiber, "fiber")[1]
    assert crowding(before) < crowding(mild) < crowding(after)
    assert crowding(after) > 1.3 * crowding(before)


def tips(section: Section) -> int:
    graph = skeleton_graph(section)
    return int(((graph.degrees == 1) & ~graph.at_edge).sum())


def test_the_share_of_tips_goes(root: Pictures) -> None:
    before, after = damage("root_tips_removed", 50.0, root, "root")
    gone = 1 - sum(map(tips, after)) / sum(map(tips, before))
    # A cut branch may leave a stub that counts, or end the next root: a tenth of about a hundred tips.
    assert gone == pytest.approx(0.5, abs=0.12)
    removed = sum(int((clean.phase & ~damaged.phase).sum()) for clean, damaged in zip(before, after, strict=True))
    of_tips = sum(len(rows) for s in before for rows, _ in terminal_parts(s))
    assert removed == pytest.approx(0.5 * of_tips, rel=0.2)


@pytest.mark.parametrize("severity", [5.0, 10.0, 20.0])
def test_roots_get_thinner_and_not_shorter(severity: float, root: Pictures) -> None:
    before, after = damage("roots_thinned", severity, root, "root")
    assert 100 * (1 - total(after) / total(before)) == pytest.approx(severity, abs=0.5)
    lengths = [sum(skeleton_graph(s).length for s in sections) for sections in (before, after)]
    assert lengths[1] == pytest.approx(lengths[0], rel=0.04)


@pytest.mark.parametrize("severity", [5.0, 15.0, 45.0])
def test_turning_turns_by_the_angle(severity: float) -> None:
    y, x = np.mgrid[:96, :96]
    upright = drawn((abs(x - 47.5) <= 4) & (abs(y - 47.5) <= 30), dark=180, bright=60)
    material = Material(specimen("root"), Threshold(120.0, "bright"), IntensityMap(low=0.0, high=255.0, dtype="uint8"))
    phase = material.section(degraded(defect("turned"), severity, Pictures([upright]), material, seed=1)[0]).phase
    rows, columns = np.nonzero(phase)
    covariance = np.cov(rows, columns)
    angle = 0.5 * math.degrees(math.atan2(2 * covariance[0, 1], covariance[0, 0] - covariance[1, 1]))
    assert abs(angle) == pytest.approx(severity, abs=0.5)


def test_interpolation_gives_its_noise_back(root: Pictures) -> None:
    before, after = damage("turned", 15.0, root, "root")
    ratios = [noise_level(b.picture.grey) / noise_level(a.picture.grey) for a, b in zip(before, after, strict=True)]
    assert np.mean(ratios) == pytest.approx(1.0, abs=0.03)


def test_blur_noise_and_contrast_change_a_noise_image_as_they_must() -> None:
    white = np.random.default_rng(3).normal(128, 20, (1, 256, 256)).astype(np.float32)
    material = Material(specimen("rock"), Threshold(128.0, "dark"), IntensityMap(low=0.0, high=200.0, dtype="float32"))
    images = Pictures([Picture(white, (1.0, 1.0), Origin("white"))])

    def after(name: str, severity: float) -> np.ndarray:
        return degraded(defect(name), severity, images, material)[0].pixels.astype(float)

    # White noise under a Gaussian of deviation s has its variance divided by 4 pi s^2; 65536 pixels tell it to 3 %.
    assert after("blur", 2.0).std() == pytest.approx(20 / math.sqrt(4 * math.pi * 4), rel=0.03)
    assert after("noise", 10.0).std() == pytest.approx(math.hypot(20, 20), rel=0.01)
    assert after("contrast", 20.0).std() == pytest.approx(0.8 * white.std(), rel=1e-5)
    assert after("contrast", 20.0).mean() == pytest.approx(white.mean(), abs=1e-3)
    assert after("grey_shift", 2.0).mean() == pytest.approx(white.mean() + 4.0, abs=1e-3)


def test_jpeg_is_pillows_and_gets_worse(rock: Pictures) -> None:
    material = material_of("rock", rock)
    one = Pictures([rock[0]])
    errors = []
    for severity in defect("jpeg").severities:
        found = degraded(defect("jpeg"), severity, one, material)[0].pixels[0]
        file = io.BytesIO()
        Image.fromarray(rock[0].pixels[0]).save(file, "JPEG", quality=100 - round(severity))
        assert np.array_equal(found, np.asarray(Image.open(file)))
        errors.append(np.abs(found.astype(float) - rock[0].pixels[0]).mean())
    assert errors == sorted(errors)


def test_collapse_leaves_few_images_and_copying_takes_training_images() -> None:
    clean = image_set(phantoms("rock", count=20, size=(64, 64), seed=1))
    training = image_set(phantoms("rock", count=20, size=(64, 64), seed=2))
    material = material_of("rock", clean)
    originals = {p.pixels.tobytes() for p in clean}

    collapse = defect("mode_collapse")
    assert isinstance(collapse, SetDefect)
    for severity, kept in ((25.0, 15), (50.0, 10), (90.0, 3)):  # three modes stay whatever is asked
        after = degraded(collapse, severity, clean, material, seed=1)
        assert sum(p.pixels.tobytes() in originals for p in after) == max(kept, 3)
        # Porosity does not change under a flip: repeats have those of the few.
        fractions = {round(material.section(p).fraction, 2) for p in after if p.pixels.tobytes() not in originals}
        assert len(fractions) <= 6

    taken = {p.pixels.tobytes() for p in training}
    for severity, copies in ((10.0, 2), (50.0, 10), (100.0, 20)):
        after = degraded(defect("copying"), severity, clean, material, training=training, seed=1)
        assert len({p.pixels.tobytes() for p in after} & taken) == copies
    with pytest.raises(Problem, match="training images"):
        degraded(defect("copying"), 100.0, clean, material, training=Pictures([training[0]]))


def test_kinds_have_the_defects_that_mean_something() -> None:
    def names(kind: str) -> set[str]:
        return {d.name for d in defects_for(specimen(kind))}

    assert {"pores closed", "connections cut", "grains grown"} <= names("rock")
    assert {"fibers thickened", "fibers turned", "fibers clustered"} <= names("fiber")
    assert {"root tips removed", "roots thinned", "turned"} <= names("root")
    # A rock section has no direction to lose.
    assert "turned" not in names("rock") | names("fiber")
    assert [d.harmless for d in defects_for(specimen("root"))] == sorted(
        d.harmless for d in defects_for(specimen("root"))
    )
    with pytest.raises(Problem, match="'pores closed' means nothing for root"):
        defects_for(specimen("root"), ["pores_closed"])
    with pytest.raises(Problem, match="there is no defect 'rust'"):
        defects_for(specimen("root"), ["rust"])


def test_a_field_of_one_phase_stays_as_it_is() -> None:
    even = drawn(np.zeros((48, 48), dtype=bool))
    for name in ("pores_closed", "connections_cut", "grains_grown"):
        assert degraded(defect(name), 10.0, Pictures([even]), rock_like())[0] is even
