"""Fiber composites in depth: no overlap, exact fractions and orientation tensors, crimp, voids and cracks."""

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from morphogen.mathematics.directions import fisher_second_moment, orientation_tensor
from morphogen.mathematics.randomness import numpy_generator
from morphogen.phantoms import fiber_bundles, strands, weaves
from morphogen.phantoms.solid import Solid
from morphogen.problems import Problem


def bundle(shape: tuple[int, int, int] = (20, 42, 42), seed: int = 1, **settings: float | None) -> Solid:
    asked = fiber_bundles.Settings(**({"fiber_diameter_um": 7.0} | settings))
    return fiber_bundles.solid(asked, shape, 1.0, numpy_generator(seed))


def nearest_axis(solid: Solid) -> NDArray[np.float64]:
    """At each voxel the least distance from a segment over its radius, computed in another way than the drawing."""
    z, y, x = np.indices(solid.labels.shape) + 0.5
    voxels = np.stack([z.ravel(), y.ravel(), x.ravel()], axis=1)
    least = np.full(len(voxels), np.inf)
    for middle, half, radius in zip(*(solid.geometry[n] for n in ("middles", "halves", "radii")), strict=True):
        start = middle - half
        share = np.clip((voxels - start) @ (2 * half) / (4 * half @ half), 0, 1)
        least = np.minimum(least, np.linalg.norm(voxels - start - share[:, None] * 2 * half, axis=1) / radius)
    return least.reshape(solid.labels.shape)


BUNDLES = [
    {"fiber_volume_fraction": 0.6},
    {"fiber_volume_fraction": 0.35, "alignment": 300.0},
    {"fiber_volume_fraction": 0.15, "alignment": 0.0, "fiber_length_um": 12.0},
    {"fiber_volume_fraction": 0.4, "inclination_deg": 60.0},
]


@pytest.mark.parametrize("settings", BUNDLES, ids=str)
def test_fibers_do_not_overlap_and_labels_are_the_voxels_in_them(settings: dict[str, float]) -> None:
    solid = bundle(**settings)
    middles, halves, radii = (solid.geometry[name] for name in ("middles", "halves", "radii"))
    along = np.linspace(-1, 1, 161)[:, None]
    least = math.inf
    for i in range(len(radii)):  # points of one axis against the segments of all others
        points = middles[i] + along * halves[i]
        for j in range(i):
            share = np.clip((points - middles[j]) @ halves[j] / (halves[j] @ halves[j]), -1, 1)
            apart = np.linalg.norm(points - middles[j] - share[:, None] * halves[j], axis=1).min()
            least = min(least, float(apart) / (radii[i] + radii[j]))
    assert 1 - 1e-9 <= least < 1.1
    away = nearest_axis(solid)
    clear = np.abs(away - 1) > 1e-4  # of rounding in single precision
    assert clear.mean() > 0.99
    np.testing.assert_array_equal((away < 1)[clear], (solid.labels == 2)[clear])
    # Parallel fibers are exact to a voxel of their section, others as near as a window on them comes.
    tolerance = 1.01 / 42**2 if len(settings) == 1 else 0.02
    assert solid.parameters["fiber_volume_fraction"] == pytest.approx(settings["fiber_volume_fraction"], abs=tolerance)


def test_what_cannot_be_packed_is_refused() -> None:
    with pytest.raises(Problem, match="could not be packed"):
        bundle(fiber_volume_fraction=0.7, alignment=300.0)
    with pytest.raises(Problem, match="ask for 30 or more"):
        bundle(alignment=5.0)


def test_the_orientation_tensor_is_that_of_the_drawn_axes_and_fishers() -> None:
    solid = bundle((20, 48, 48), diameter_spread=0.0, fiber_volume_fraction=0.15, alignment=4.0, fiber_length_um=10.0,
                   inclination_deg=30.0)  # fmt: skip
    axes = solid.geometry["axes of all fibers"]
    A = orientation_tensor(axes)
    named = {"zz": (0, 0), "yy": (1, 1), "xx": (2, 2), "zy": (0, 1), "zx": (0, 2), "yx": (1, 2)}
    for name, place in named.items():
        assert solid.parameters[f"orientation_{name}"] == pytest.approx(A[place], abs=1e-12)
    mean = np.array([math.cos(math.radians(30)), 0, math.sin(math.radians(30))])
    assert mean @ A @ mean == pytest.approx(fisher_second_moment(4.0), abs=4 * 0.3 / math.sqrt(len(axes)))
    parallel = bundle(inclination_deg=30.0)
    assert parallel.parameters["orientation_xx"] == pytest.approx(0.25)
    assert parallel.parameters["orientation_zz"] == pytest.approx(0.75)


def test_a_crack_through_fibers_is_open_as_was_asked() -> None:
    crack = {"cracks": 1, "crack_length_um": 30.0, "crack_aperture_um": 4.0, "crack_through": True}
    whole, cracked = bundle((16, 84, 84)), bundle((16, 84, 84), **crack)
    opened = (cracked.labels == 0) & (whole.labels > 0)
    np.testing.assert_array_equal(opened, cracked.labels == 0)
    np.testing.assert_array_equal(cracked.labels[~opened], whole.labels[~opened])
    assert opened.sum() / 16 == pytest.approx(math.pi / 4 * 30 * 4, rel=0.05)  # an ellipse, all through the depth
    assert (whole.labels[opened] == 2).any()
    widths = opened[8].sum(0)  # horizontal, so that columns cut it
    middle = np.flatnonzero(widths).mean()
    s = np.arange(84) - middle
    expected = 4 * np.sqrt(np.maximum(1 - (s / 15) ** 2, 0))
    assert np.abs(widths - expected).max() <= 1.0
    assert cracked.parameters["crack_length_um"] == pytest.approx(30)
    assert cracked.parameters["fiber_volume_fraction"] < whole.parameters["fiber_volume_fraction"]
    with pytest.raises(Problem, match=r"thinner than 1\.5 voxels"):
        bundle(cracks=1, crack_aperture_um=1.0)


def test_a_crack_between_fibers_opens_the_matrix_alone_and_has_its_length() -> None:
    crack = {"cracks": 1, "crack_length_um": 40.0, "crack_aperture_um": 2.0}
    whole = bundle((16, 80, 80), fiber_volume_fraction=0.4)
    cracked = bundle((16, 80, 80), fiber_volume_fraction=0.4, **crack)
    np.testing.assert_array_equal(cracked.labels == 2, whole.labels == 2)
    trace = cracked.geometry["crack 0"]
    length = float(np.linalg.norm(np.diff(trace, axis=0), axis=1).sum())
    assert length == pytest.approx(cracked.parameters["crack_length_um"])
    assert length == pytest.approx(40, rel=0.03)
    down, right = np.floor(trace).astype(int).T
    assert (cracked.labels[8, down, right] == 2).mean() < 0.15  # it squeezes between fibers that touch
    assert 0.3 * 40 * 2 < (cracked.labels[8] == 0).sum() < 1.05 * math.pi / 4 * 40 * 2


def test_voids_have_the_asked_share_and_leave_the_fibers_alone() -> None:
    whole, holed = bundle(), bundle(void_fraction=0.05, void_diameter_um=6.0)
    np.testing.assert_array_equal(holed.labels == 2, whole.labels == 2)
    assert holed.parameters["void_fraction"] == pytest.approx(0.05, abs=1.01 / holed.labels.size)
    inside = np.zeros(holed.labels.shape, dtype=bool)
    z, y, x = np.indices(holed.labels.shape) + 0.5
    for centre, half in zip(holed.geometry["void centres"], holed.geometry["void half axes"], strict=True):
        assert half[0] == pytest.approx(3 * half[1])
        inside |= ((z - centre[0]) / half[0]) ** 2 + ((y - centre[1]) ** 2 + (x - centre[2]) ** 2) / half[1] ** 2 < 1
    assert (((holed.labels == 0) != (inside & (whole.labels == 1))).sum()) <= 5  # rounding of single precision


def test_a_weave_touches_and_does_not_overlap() -> None:
    for width in (0.5, 0.75, 0.95):  # of the spacing, near a crossing in a plane
        amplitude = weaves.touching_amplitude(width, 0.2, 1.0)
        x, y = np.meshgrid(*2 * (np.linspace(-width / 2, width / 2, 801),), indexing="ij")

        def gap(amplitude: float, x: NDArray[np.float64] = x, y: NDArray[np.float64] = y, w: float = width) -> float:
            apart = amplitude * (np.cos(math.pi * x) + np.cos(math.pi * y))
            return float((apart - 0.1 * (np.sqrt(1 - (2 * x / w) ** 2) + np.sqrt(1 - (2 * y / w) ** 2))).min())

        assert gap(amplitude) == pytest.approx(0, abs=1e-5)
        assert gap(0.99 * amplitude) < -5e-4
    assert weaves.touching_amplitude(0.5, 0.2, 1.0) == pytest.approx(0.1)  # below 2 / pi of the spacing


def test_a_weave_has_its_fraction_its_centre_lines_its_crimp_and_its_orientation() -> None:
    p, w, t, f = 40.0, 30.0, 10.0, 0.5
    height = math.pi * w * t / (2 * p * f)
    settings = weaves.Settings(fiber_volume_fraction=f, tow_spacing_um=p, tow_width_um=w, tow_thickness_um=t)
    spacing = height / 24  # a cell of 24 voxels through the thickness
    cells = round(2 * p / spacing)
    settings = settings.model_copy(update={"tow_spacing_um": cells * spacing / 2})
    ply = math.pi * w * t / (2 * settings.tow_spacing_um * f)
    settings = settings.model_copy(update={"fiber_volume_fraction": f * ply / height})
    weave = weaves.solid(settings, (cells, 48, cells), spacing, numpy_generator(2))  # two whole plies of one cell
    assert weave.parameters["fiber_volume_fraction"] == pytest.approx(settings.fiber_volume_fraction, abs=0.004)
    fractions = weave.fractions()
    assert fractions["warp"] == pytest.approx(fractions["weft"], abs=0.004)
    lines, of = weave.geometry["centre lines"], weave.geometry["direction and ply"]
    for label in (2, 3):
        points = lines[of[:, 0] == label - 2].reshape(-1, 3) / spacing
        inside = ((points > 0.5) & (points < np.array(weave.labels.shape) - 0.5)).all(1)
        assert inside.sum() > 400
        assert (weave.labels[tuple(np.floor(points[inside]).astype(int).T)] == label).all()
    a = math.pi * weave.parameters["amplitude_um"] / settings.tow_spacing_um
    s = np.linspace(0, 2 * math.pi, 20_001)
    slope = a * np.cos(s)
    assert weave.parameters["crimp"] == pytest.approx(np.trapezoid(np.hypot(1, slope), s) / (2 * math.pi) - 1, rel=1e-6)
    steep = np.trapezoid(slope**2 / (1 + slope**2), s) / (2 * math.pi)
    assert weave.parameters["orientation_yy"] == pytest.approx(steep, rel=1e-6)
    assert sum(weave.parameters[f"orientation_{k}{k}"] for k in "zyx") == pytest.approx(1)
    with pytest.raises(Problem, match="at most"):
        weaves.solid(settings.model_copy(update={"fiber_volume_fraction": 0.7}), (32, 64, 64), 1.0, numpy_generator(2))


def test_strands_have_the_asked_share_about_their_centre_lines() -> None:
    asked = strands.Settings(fiber_volume_fraction=0.2)
    rough = strands.solid(asked, (12, 96, 96), 20.0, numpy_generator(3))
    even = strands.solid(asked.model_copy(update={"roughness": 0.0, "strands": 0, "loose_strands": 0, "bend_deg": 0.0}),
                         (12, 96, 96), 20.0, numpy_generator(3))  # fmt: skip
    for solid in (rough, even):
        assert solid.parameters["fiber_volume_fraction"] == pytest.approx(0.2, abs=1.01 / solid.labels.size)
        points = solid.geometry["centre lines"] / 20.0
        seen = np.minimum(solid.geometry["half widths"], solid.geometry["half thicknesses"]) > 20.0
        inside = ((points > 0) & (points < np.array(solid.labels.shape))).all(1) & seen
        assert inside.sum() > 30
        assert (solid.labels[tuple(np.floor(points[inside]).astype(int).T)] == 2).mean() > 0.97
    edges = [np.abs(np.diff(solid.labels[6].astype(int), axis=0)).sum() for solid in (rough, even)]
    assert edges[0] > 1.15 * edges[1]  # frays and rough outlines have more of an edge for the same area
    lengths = even.geometry["points of each line"].astype(int)
    first = even.geometry["centre lines"][: lengths[0]]
    u = np.diff(first, axis=0)
    u /= np.linalg.norm(u, axis=1, keepdims=True)
    np.testing.assert_allclose(u, u[:1].repeat(len(u), 0), atol=1e-9)  # without a bend it is straight
    assert sum(rough.parameters[f"orientation_{k}{k}"] for k in "zyx") == pytest.approx(1)
