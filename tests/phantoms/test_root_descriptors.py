"""Descriptors of roots on drawings and phantoms whose length, width, tips, branches and angles are known."""

import math
from itertools import pairwise

import numpy as np
import pytest
from skimage.draw import line

from morphogen.evaluation.descriptors.descriptor import Readings, descriptor
from morphogen.evaluation.descriptors.fractal_dimension import box_dimension
from morphogen.evaluation.descriptors.hull_area import hull_area
from morphogen.evaluation.section import Section
from morphogen.images.picture import Origin, Picture
from morphogen.mathematics.randomness import numpy_generator
from morphogen.phantoms.roots import Settings, grow, scene

NAMES = ("root_length", "root_diameters", "root_topology", "root_orientation", "fractal_dimension", "hull_area")
SIDE = 200.0


def section(phase, spacing=(1.0, 1.0)) -> Section:
    phase = np.asarray(phase, dtype=bool)
    return Section(Picture(phase[None].astype(np.uint8), spacing, Origin("s"), mask=phase), phase)


def read(name, phase, spacing=(1.0, 1.0)) -> dict[str, float | None]:
    return {key: scalar.value for key, scalar in descriptor(name)(section(phase, spacing)).scalars.items()}


def length_of(phase, spacing=(1.0, 1.0)) -> float:
    return read("root_length", phase, spacing)["root length density"] * phase.size * math.prod(spacing)


def strokes(*ends, width=5.0, spacing=(1.0, 1.0), side=SIDE):
    """Straight roots with round tips from (y, x) to (y, x), in a square of that side; pixels by their centres."""
    y, x = (np.arange(round(side / s)) * s + s / 2 for s in spacing)
    phase = np.zeros((len(y), len(x)), dtype=bool)
    for (y0, x0), (y1, x1) in ends:
        vy, vx = y1 - y0, x1 - x0
        share = np.clip(((y[:, None] - y0) * vy + (x - x0) * vx) / (vy**2 + vx**2), 0, 1)
        phase |= np.hypot(y[:, None] - y0 - share * vy, x - x0 - share * vx) <= width / 2
    return phase


def stroke(angle, length=150.0, centre=(100.3, 99.8), **more):
    """One root at an angle from the vertical, leaning to the right."""
    dy, dx = (length / 2 * f(math.radians(angle)) for f in (math.cos, math.sin))
    return strokes(((centre[0] - dy, centre[1] - dx), (centre[0] + dy, centre[1] + dx)), **more)


def ring(radius, width=4.0):
    y, x = np.indices((int(SIDE), int(SIDE)))
    return np.abs(np.hypot(y - 100.2, x - 99.7) - radius) <= width / 2


def of_phantom(seed, **parameters):
    """The exact mask of a root phantom of 256 x 256 pixels of 100 µm, its parameters and its axes."""
    settings = Settings(**parameters)
    drawn = scene(settings, (256, 256), 100.0, numpy_generator(seed))
    axes = grow(settings, drawn.parameters["total_length_mm_asked"], (25.6, 25.6), numpy_generator(seed))
    return drawn.labels > 0, drawn.parameters, axes


ANGLES = (0, 3, 9, 18.4, 26.6, 33, 44, 45, 46, 57, 71, 85, 90)


@pytest.mark.parametrize("width", [1.6, 3.0, 4.0, 9.0])
@pytest.mark.parametrize("spacing", [(1.0, 1.0), (1.0, 1.5)], ids=["square", "oblong"])
def test_length_of_straight_roots_at_any_angle(width, spacing) -> None:
    # 2 % is also what one pixel too many or too few at each tip amounts to; an oblong pixel is half longer.
    for angle in ANGLES:
        if width < max(spacing) * 1.42:
            continue  # thinner than the diagonal of a pixel it falls to pieces
        assert length_of(stroke(angle, width=width, spacing=spacing), spacing) == pytest.approx(
            150, rel=0.02 * max(spacing) ** 2
        ), angle


def test_length_of_circles() -> None:
    for radius, tolerance in ((12, 0.025), (20, 0.012), (40, 0.005)):  # smoothing takes about 2 / radius^2
        assert length_of(ring(radius)) == pytest.approx(2 * math.pi * radius, rel=tolerance)


@pytest.mark.parametrize("angle", [0, 20, 45, 70, 90])
def test_roots_that_leave_the_field_count_up_to_its_edge_and_have_no_tips(angle) -> None:
    phase = stroke(angle, length=400, width=9)
    inside = SIDE / max(math.cos(math.radians(angle)), math.sin(math.radians(angle)))
    # A root that is cut obliquely ends in a wedge, along which the centre line bends by up to its half width.
    assert length_of(phase) == pytest.approx(inside, rel=0.03)
    assert read("root_topology", phase)["tips per area"] == 0


def test_length_of_phantoms() -> None:
    for seed in range(4):
        phase, parameters, _ = of_phantom(seed, branching_orders=0, main_spacing_mm=9.0, length_density_per_mm=0.1)
        assert length_of(phase, (100.0, 100.0)) / 1000 == pytest.approx(parameters["total_length_mm"], rel=0.03)
    for seed in range(4):  # dense and branched, roots run over each other, and what is hidden cannot be seen
        phase, parameters, _ = of_phantom(seed)
        assert 0.85 < length_of(phase, (100.0, 100.0)) / 1000 / parameters["total_length_mm"] < 1.0


@pytest.mark.parametrize("spacing", [(1.0, 1.0), (1.0, 1.5)], ids=["square", "oblong"])
@pytest.mark.parametrize("width", [2.0, 3.0, 4.0, 6.5, 12.0])
def test_diameters_of_straight_roots(width, spacing) -> None:
    if width < max(spacing) * 1.42:
        pytest.skip("thinner than the diagonal of a pixel")
    found = [
        read("root_diameters", stroke(a, width=width, spacing=spacing), spacing)["root diameter mean"] for a in ANGLES
    ]
    # Along the grid the drawing itself is up to a pixel wider or narrower.
    assert max(abs(d - width) for d in found) < 0.9 * max(spacing)
    assert np.mean(found) == pytest.approx(width, abs=0.3 * max(spacing))


def test_diameters_weigh_with_length() -> None:
    phase = strokes(((20, 20), (180, 20)), width=4) | strokes(((20, 100.5), (100, 100.5)), width=11)
    readings = descriptor("root_diameters")(section(phase))
    # The ends of a root, a radius long, are left out.
    thin, thick = 160 - 2 * 2, 80 - 2 * 5.5
    mean = (4 * thin + 11 * thick) / (thin + thick)
    assert readings.scalars["root diameter mean"].value == pytest.approx(mean, abs=0.3)
    assert readings.scalars["root diameter median"].value == pytest.approx(4, abs=0.4)
    spread = 7 * math.sqrt(thin * thick) / (thin + thick)
    assert readings.scalars["root diameter spread"].value == pytest.approx(spread, abs=0.2)
    curve = readings.curves["root diameter distribution"]
    assert np.interp([3, 7, 13], curve.x, curve.y) == pytest.approx([0, thin / (thin + thick), 1], abs=0.02)


def test_diameters_of_phantoms() -> None:
    for seed in range(4):
        phase, _, axes = of_phantom(seed, branching_orders=0, main_spacing_mm=9.0, length_density_per_mm=0.1)
        steps, widths = [], []
        for axis in axes:
            middle = (axis.points[1:] + axis.points[:-1]) / 2
            inside = ((middle > 0) & (middle < 25.6)).all(1)
            steps.append(np.hypot(*np.diff(axis.points, axis=0).T)[inside])
            widths.append((axis.radii[1:] + axis.radii[:-1])[inside])
        exact = np.average(np.concatenate(widths), weights=np.concatenate(steps)) * 1000
        found = read("root_diameters", phase, (100.0, 100.0))["root diameter mean"]
        assert found == pytest.approx(exact, abs=40)  # 0.4 of a pixel


def tree(angle, laterals=4, width=5.0, spacing=(1.0, 1.0)):
    """A vertical root with laterals of 40 to either side at an angle, from a base at the upper edge."""
    ends = [((-20.0, 100.0), (180.0, 100.0))]
    for k in range(laterals):
        y, side = 25 + 32 * k, (-1) ** k
        reach = 40 * math.cos(math.radians(angle)), side * 40 * math.sin(math.radians(angle))
        ends.append(((y, 100.0), (y + reach[0], 100.0 + reach[1])))
    return strokes(*ends, width=width, spacing=spacing)


@pytest.mark.parametrize("angle", [35, 50, 65, 85])
@pytest.mark.parametrize("spacing", [(1.0, 1.0), (1.0, 1.5)], ids=["square", "oblong"])
def test_tips_branch_points_and_angles_of_drawn_trees(angle, spacing) -> None:
    for laterals in (1, 2, 4):
        found = read("root_topology", tree(angle, laterals, spacing=spacing), spacing)
        assert found["tips per area"] * SIDE**2 == pytest.approx(laterals + 1, rel=0.01)
        assert found["branch points per area"] * SIDE**2 == pytest.approx(laterals, rel=0.01)
        assert found["crossings per area"] == 0
        # Over 5 to 7 pixels a staircase turns a direction by a few degrees.
        assert found["branching angle"] == pytest.approx(angle, abs=5)


def test_a_crossing_is_no_branch_point() -> None:
    found = read("root_topology", stroke(30, width=6) | stroke(-50, width=6))
    assert [round(found[f"{what} per area"] * SIDE**2) for what in ("tips", "branch points", "crossings")] == [4, 0, 1]
    assert found["branching angle"] is None


def test_bumps_of_the_outline_grains_and_rings_are_no_tips() -> None:
    bumpy = strokes(((30, 100), (170, 100)), width=9)
    for k in range(8):
        bumpy |= strokes(((38 + 16 * k, 100), (38 + 16 * k, 100 + (-1) ** k * 5.5)), width=3)
    found = read("root_topology", bumpy)
    assert [round(found[f"{what} per area"] * SIDE**2) for what in ("tips", "branch points")] == [2, 0]
    grains = strokes(*(((20 * k, 30), (20 * k + 2, 31)) for k in range(1, 9)), width=7)
    for phase in (grains, ring(30)):
        assert [read("root_topology", phase)[f"{what} per area"] for what in ("tips", "branch points")] == [0, 0]
    assert length_of(grains) == 0


def test_tips_and_branches_of_sparse_phantoms() -> None:
    """Some laterals lie over other roots or have just emerged; nine in twelve tips can be seen at least."""
    seen, exact = np.zeros(2), np.zeros(2)
    for seed in range(6):
        phase, parameters, _ = of_phantom(
            seed,
            branching_orders=1,
            main_spacing_mm=9.0,
            lateral_spacing_mm=4.0,
            length_density_per_mm=0.12,
            root_diameter_mm=0.35,
        )
        found = read("root_topology", phase)
        seen += [found["tips per area"] * phase.size, found["branch points per area"] * phase.size]
        exact += [parameters["tips"], parameters["branches"]]
    assert (seen / exact > 0.75).all()
    assert (seen / exact < 1.2).all()


@pytest.mark.parametrize("angle", ANGLES)
def test_angle_from_vertical(angle) -> None:
    for lean in (angle, -angle):  # left and right alike
        found = read("root_orientation", stroke(lean))
        assert found["root angle from vertical"] == pytest.approx(angle, abs=2)
        assert found["root angle spread"] < 5
    oblong = read("root_orientation", stroke(angle, spacing=(1.5, 1.0), width=6), (1.5, 1.0))
    assert oblong["root angle from vertical"] == pytest.approx(angle, abs=2.5)


def test_angles_of_a_circle_are_uniform() -> None:
    readings = descriptor("root_orientation")(section(ring(60)))
    assert readings.scalars["root angle from vertical"].value == pytest.approx(45, abs=1)
    assert readings.scalars["root angle spread"].value == pytest.approx(90 / math.sqrt(12), abs=1)
    assert readings.curves["root angle distribution"].y == pytest.approx(np.full(9, 1 / 9), abs=0.03)


def test_gravitropism_makes_phantoms_more_vertical() -> None:
    angles = [
        np.mean(
            [
                read("root_orientation", of_phantom(seed, branching_orders=0, gravitropism_per_mm=pull)[0])[
                    "root angle from vertical"
                ]
                for seed in range(2)
            ]
        )
        for pull in (0.0, 0.3, 2.0)
    ]
    assert angles[0] > angles[1] + 2 > angles[2] + 4


def koch(order, side):
    points = np.array([0, 1], dtype=complex)
    for _ in range(order):
        third = np.diff(points) / 3
        corners = (
            points[:-1],
            points[:-1] + third,
            points[:-1] + third * (1 + np.exp(1j * np.pi / 3)),
            points[1:] - third,
        )
        points = np.append(np.stack(corners, axis=1).ravel(), 1)
    points = np.rint(points * (side - 10) + 5 + 1j * side / 2)
    phase = np.zeros((side, side), dtype=bool)
    for a, b in pairwise(points):
        phase[line(int(a.imag), int(a.real), int(b.imag), int(b.real))] = True
    return phase


def carpet(order):
    phase = np.ones((1, 1), dtype=bool)
    for _ in range(order):
        phase = np.block([[phase] * 3, [phase, np.zeros_like(phase), phase], [phase] * 3])
    return phase


def test_box_dimension_of_known_shapes() -> None:
    assert box_dimension(np.ones((256, 256))) == pytest.approx(2, abs=1e-9)
    assert box_dimension(np.ones((256, 128)), (1.0, 2.0)) == pytest.approx(2, abs=1e-9)
    for end in (0, 40, 120, 255):
        across = np.zeros((256, 256), dtype=bool)
        across[line(0, 0, 255, end)] = True
        assert box_dimension(across) == pytest.approx(1, abs=0.05)
    for k in range(1, 5):  # diagonals that start between the boxes of every size
        beside = np.zeros((256, 256), dtype=bool)
        beside[line(0, k, 255 - k, 255)] = True
        assert box_dimension(beside) == pytest.approx(1, abs=0.05)
    assert box_dimension(koch(6, 512)) == pytest.approx(math.log(4) / math.log(3), abs=0.05)
    assert box_dimension(carpet(5)) == pytest.approx(math.log(8) / math.log(3), abs=0.05)


def test_fractal_dimension_ignores_thickness_and_rises_with_density() -> None:
    thin, thick = (read("fractal_dimension", stroke(20, 400, width=w))["fractal dimension"] for w in (2, 10))
    assert thin == pytest.approx(1, abs=0.06)
    assert thick == pytest.approx(thin, abs=0.04)
    found = [
        read("fractal_dimension", of_phantom(1, length_density_per_mm=density)[0])["fractal dimension"]
        for density in (0.05, 0.2, 0.5)
    ]
    assert found[0] + 0.05 < found[1] < found[2] - 0.05


def test_hull_of_known_shapes() -> None:
    box = np.zeros((60, 80), dtype=bool)
    box[10, 20] = box[29, 20] = box[10, 59] = box[29, 59] = True
    found = read("hull_area", box, (2.0, 3.0))
    assert found["convex hull area"] == pytest.approx(20 * 40 * 6)
    assert found["convex hull share"] == pytest.approx(20 * 40 / 4800)
    assert found["root solidity"] == pytest.approx(4 / 800)
    y, x = np.indices((100, 100))
    assert hull_area(x <= y) == pytest.approx(100**2 - 99**2 / 2)  # the corners of the stairs belong to it
    assert hull_area(np.hypot(y - 50, x - 50) <= 40) == pytest.approx(math.pi * 40**2, rel=0.03)
    assert read("hull_area", ~np.zeros((16, 20), dtype=bool))["root solidity"] == pytest.approx(1)


def test_what_does_not_exist_is_invalid_and_names_never_change() -> None:
    empty, full = np.zeros((32, 40), dtype=bool), np.ones((32, 40), dtype=bool)
    lone, tiny = empty.copy(), np.eye(16, dtype=bool)
    lone[5, 7] = True
    known: dict[str, Readings] = {}
    for phase in (empty, full, lone, tiny, strokes(((2, 2), (30, 20)), side=64.0)):
        for name in NAMES:
            readings = descriptor(name)(section(phase))
            known.setdefault(name, readings)
            assert readings.scalars.keys() == known[name].scalars.keys()
            assert readings.curves.keys() == known[name].curves.keys()
            for reading in (*readings.scalars.values(), *readings.curves.values()):
                number = reading.value if hasattr(reading, "value") else reading.y
                assert (number is None) == bool(reading.invalid)
                assert number is None or np.isfinite(number).all()
    assert read("root_length", empty) == {"root length density": 0}
    assert read("root_topology", empty)["tips per area"] == 0
    for name in ("root_diameters", "root_orientation", "fractal_dimension"):
        assert set(read(name, empty).values()) == {None} == set(read(name, full).values())
    assert read("root_length", full)["root length density"] is None
    assert read("root_topology", full)["tips per area"] is None
    assert read("fractal_dimension", tiny)["fractal dimension"] is None
    assert length_of(tiny) == pytest.approx(15 * math.sqrt(2), abs=1.5)


def test_units_follow_the_picture() -> None:
    phase = tree(60)
    in_um, in_px = (section(phase, spacing) for spacing in ((4.0, 4.0), (math.nan, math.nan)))
    for name in NAMES:
        here, there = descriptor(name)(in_um).scalars, descriptor(name)(in_px).scalars
        for key, scalar in here.items():
            assert scalar.unit.replace("µm", "px") == there[key].unit
            power = {"µm": 1, "µm²": 2, "1/µm": -1, "1/µm²": -2}.get(scalar.unit, 0)
            assert scalar.value == pytest.approx(there[key].value * 4.0**power)
