"""Every variant of the phantoms with depth, and brine: a figure of sections and of volumes, or how long volumes take.

    python benchmarks/phantoms.py -o docs/figures/phantoms.png
    python benchmarks/phantoms.py --volumes 128

The second prints, for each variant, seconds of one thread and peak memory of a process that draws one volume of so many
voxels a side, and nothing else but its imports.
"""

import argparse
import io
import os
import resource
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from morphogen.phantoms.phantom import module_of, phantom
from morphogen.phantoms.volumes import volume

Variant = tuple[str, str, dict[str, float]]
SIDE = 176

SECTIONS: list[Variant] = [
    ("overlapping spheres", "grain_pack", {}),
    ("packed spheres", "grain_pack", {"overlapping": 0, "porosity": 0.42}),
    ("random close packing", "grain_pack", {"overlapping": 0, "porosity": 0.36, "radius_spread": 0}),
    ("flat grains, dipping", "grain_pack", {"aspect_ratio": 0.35, "alignment": 30, "dip_deg": 20}),
    ("packed long grains", "grain_pack", {"overlapping": 0, "porosity": 0.45, "aspect_ratio": 2, "alignment": 20}),
    ("vugs", "grain_pack", {"vug_fraction": 0.1, "vug_radius_um": 120, "porosity": 0.3}),
    ("beds, by porosity", "grain_pack", {"bed_thickness_um": 200, "bed_contrast": 0.25, "dip_deg": 15, "porosity": 0.3,
                                         "grain_radius_um": 22}),
    ("beds, by grain size", "grain_pack", {"bed_thickness_um": 240, "bed_grain_ratio": 2, "overlapping": 0,
                                           "porosity": 0.42, "dip_deg": -20, "grain_radius_um": 25}),
    ("minerals, by grain", "grain_pack", {"second_mineral": 0.3, "third_mineral": 0.1, "overlapping": 0,
                                          "porosity": 0.4}),
    ("minerals, by place", "grain_pack", {"second_mineral": 0.3, "third_mineral": 0.1, "mineral_length_um": 100}),
    ("Gaussian, nu = 2.5", "gaussian_rock", {}),
    ("Gaussian, nu = 0.5", "gaussian_rock", {"smoothness": 0.5}),
    ("stretched 4 times", "gaussian_rock", {"stretch": 4, "dip_deg": 15, "correlation_length_um": 20}),
    ("beds", "gaussian_rock", {"bed_thickness_um": 200, "bed_contrast": 0.3, "dip_deg": 15, "porosity": 0.3}),
    ("vugs, three minerals", "gaussian_rock", {"second_mineral": 0.25, "third_mineral": 0.1, "vug_fraction": 0.08,
                                               "porosity": 0.3}),
    ("brine in pores", "rock", {"porosity": 0.35, "brine_saturation": 0.5}),
    ("parallel fibers", "fiber_bundle", {}),
    ("misaligned, along", "fiber_bundle", {"alignment": 200, "inclination_deg": 90, "fiber_volume_fraction": 0.35}),
    ("short, random", "fiber_bundle", {"fiber_length_um": 60, "alignment": 0, "fiber_volume_fraction": 0.2}),
    ("voids", "fiber_bundle", {"void_fraction": 0.05, "void_diameter_um": 8}),
    ("crack between fibers", "fiber_bundle", {"cracks": 1, "crack_aperture_um": 2, "crack_length_um": 80}),
    ("cracks through fibers", "fiber_bundle", {"cracks": 2, "crack_aperture_um": 2.5, "crack_length_um": 80,
                                               "crack_through": 1, "crack_direction_deg": 30}),
    ("plain weave", "weave", {}),
    ("weave with voids", "weave", {"void_fraction": 0.03}),
    ("strands", "strands", {}),
]  # fmt: skip
VOLUMES: list[Variant] = [
    ("packed spheres", "grain_pack", {"overlapping": 0, "porosity": 0.42, "second_mineral": 0.25}),
    ("Gaussian beds", "gaussian_rock", {"bed_thickness_um": 120, "bed_contrast": 0.3, "dip_deg": 20, "porosity": 0.35}),
    ("misaligned fibers", "fiber_bundle", {"alignment": 300, "fiber_volume_fraction": 0.35}),
    ("plain weave", "weave", {"tow_spacing_um": 500, "tow_width_um": 400, "tow_thickness_um": 130}),
    ("strands", "strands", {"bundle_width_um": 200, "bundle_length_um": 1200}),
]
TIMED: list[Variant] = [
    ("overlapping spheres", "grain_pack", {}),
    ("packed spheres, porosity 0.40", "grain_pack", {"overlapping": 0, "porosity": 0.4}),
    ("equal spheres at random close packing", "grain_pack", {"overlapping": 0, "porosity": 0.36, "radius_spread": 0}),
    ("packed long grains, porosity 0.45", "grain_pack", {"overlapping": 0, "porosity": 0.45, "aspect_ratio": 2}),
    ("Gaussian rock", "gaussian_rock", {}),
    ("parallel fibers", "fiber_bundle", {}),
    ("misaligned fibers, kappa 300, fraction 0.35", "fiber_bundle", {"alignment": 300, "fiber_volume_fraction": 0.35}),
    ("parallel fibers, voids and cracks", "fiber_bundle", {"void_fraction": 0.03, "cracks": 2, "crack_aperture_um": 2}),
    ("plain weave", "weave", {}),
    ("strands", "strands", {}),
]


def cube(pixels: NDArray[np.generic], side: int) -> Image.Image:
    """Three faces of a volume, seen from above."""
    half, rise, n = side // 2, side // 4, pixels.shape[0]
    canvas = Image.new("L", (side, side), 255)
    front, right, top = pixels[0], pixels[:, :, -1].T, pixels[:, 0][::-1]
    k, m = n / half, n / (2 * rise)
    faces = (  # (face, light, coefficients from the canvas back to the face)
        (front, 0.9, (k, 0, 0, -k * rise / half, k, -k * rise)),
        (right, 0.75, (k, 0, -n, k * rise / half, k, -3 * k * rise)),
        (top, 1.0, (k / 2, m, -n / 2, -k / 2, m, n / 2)),
    )
    for face, light, back in faces:
        lit = Image.fromarray((face.astype(np.float64) * light).astype(np.uint8))
        mask = Image.new("L", lit.size, 255)
        shown = lit.transform((side, side), Image.Transform.AFFINE, back, Image.Resampling.BILINEAR)
        canvas.paste(shown, (0, 0), mask.transform((side, side), Image.Transform.AFFINE, back))
    return canvas


def figure(path: Path) -> None:
    """Draw the figure."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    columns = 5
    rows = -(-len(SECTIONS) // columns) + 1
    drawn, axes = plt.subplots(rows, columns, figsize=(9.2, 1.98 * rows), dpi=110)
    for axis in axes.flat:
        axis.set_axis_off()
    for axis, (title, kind, parameters) in zip(axes.flat, SECTIONS, strict=False):
        one = phantom(kind, size=(SIDE, SIDE), seed=3, parameters=parameters)
        axis.imshow(one.picture.pixels[0], cmap="gray", vmin=0, vmax=255, interpolation="nearest")
        axis.set_title(title, fontsize=8, pad=3)
        um = one.picture.spacing_um[0]
        bar = float(f"{SIDE * um / 5:.0e}")
        axis.plot([8, 8 + bar / um], [SIDE - 8] * 2, color="white", lw=4, solid_capstyle="butt")
        axis.plot([8, 8 + bar / um], [SIDE - 8] * 2, color="black", lw=2, solid_capstyle="butt")
        axis.text(12 + bar / um, SIDE - 8, f"{bar:g} µm", fontsize=7, va="center", color="white",
                  bbox={"facecolor": "black", "edgecolor": "none", "pad": 1})  # fmt: skip
    for axis, (title, kind, parameters) in zip(axes[-1], VOLUMES, strict=True):
        pixels = volume(kind, shape=(96, 96, 96), seed=3, parameters=parameters).pixels
        axis.imshow(cube(pixels, 2 * 96), cmap="gray", vmin=0, vmax=255, interpolation="nearest")
        axis.set_title(f"{title}, 96³", fontsize=8, pad=3)
    drawn.subplots_adjust(left=0.01, right=0.99, top=0.975, bottom=0.005, wspace=0.05, hspace=0.14)
    buffer = io.BytesIO()
    drawn.savefig(buffer, format="png")
    buffer.seek(0)
    Image.open(buffer).convert("L").quantize(24).save(path, optimize=True)  # a third of the bytes, and looks the same


def one_volume(index: int, side: int) -> None:
    """Draw one volume and print what it took."""
    title, kind, parameters = TIMED[index]
    module_of(kind)
    before = time.process_time()
    volume(kind, shape=(side, side, side), seed=0, parameters=parameters)
    seconds = time.process_time() - before
    print(f"| {title} | {seconds:.1f} | {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} |")


def main() -> None:
    """Read what was typed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("-o", "--out", type=Path, help="write the figure to this PNG file")
    parser.add_argument("--volumes", type=int, metavar="SIDE", help="time volumes of so many voxels a side")
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.one is not None:
        one_volume(asked.one, asked.volumes)
        return
    if asked.out:
        figure(asked.out)
    if asked.volumes:
        print("| volume | CPU seconds | peak memory, MiB |\n|---|---|---|", flush=True)
        for index in range(len(TIMED)):
            command = [sys.executable, __file__, "--volumes", str(asked.volumes), "--one", str(index)]
            subprocess.run(command, check=True, env={**os.environ, "OMP_NUM_THREADS": "1"})


if __name__ == "__main__":
    main()
