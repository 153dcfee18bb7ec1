"""What a CLIP of ours is worth, measured against truth (`python benchmarks/clip.py --real FOLDER -o FOLDER`).

phantoms  Phantoms of the three kinds, each seen by an instrument of its own (blur, noise, uneven light, offset and gain
          are drawn), with the captions that they carry: kind, and two numbers. Held-out ones are dealt to groups of 64
          with different captions; it is counted how often the right one comes first. By chance that is 1.6 %.
          Parameters are drawn from wider ranges than those of `morphogen phantom`, within which sizes differ by less
          than an image of this size shows.

real      Fields of real images of the three kinds, put to RIVALS, the words by which specimen files call them. The
          specimens are dealt to two halves: a CLIP learns from phantoms and from fields of one half, and is tested on
          the other half. Each half is tested once a run. Another row is tested on all, by a CLIP that has seen phantoms
          alone. Beside those above, phantoms are of every variant that there is (VARIANTS), with what an image just
          resolves of crystals and of fibers in a tow; each is seen by SIGHTS rougher instruments, with blur, fringes
          of phase contrast and noise that a filter has correlated. Real fields are cut at several scales; one half is
          left as it is, the other is seen by such an instrument, too. A segmented volume is no image: its fields get
          grains and grey levels first. Roots, which are photographed by light, get no fringes. All have the captions
          that specimen files write of what is measured in them (`morphogen caption`), shortened at random.

The folder given by --real holds rock/carbonate_s*.png, rock/berea_segmented_400.tif, fiber/cfrp_*.jpg,
fiber/weave_150.tif, fiber/fiberform_100.tif and root/images with root/masks (tube, window and date in their names).
Fields are SIDE pixels wide. All trainings see --images-seen images: twelve milliseconds each on one core, or three and
a half in bf16.
"""

import argparse
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import count as count_up
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from scipy.ndimage import gaussian_filter
from skimage.transform import resize

from morphogen.evaluation.captioning import caption
from morphogen.evaluation.fields import fields
from morphogen.evaluation.retrieval import caption_retrieval
from morphogen.evaluation.zero_shot import classify
from morphogen.images.conditions import CAPTION
from morphogen.images.folders import read_images
from morphogen.images.image_set import Pictures
from morphogen.images.labels import CLASS
from morphogen.images.picture import Origin, Picture
from morphogen.mathematics.randomness import numpy_generator
from morphogen.phantoms.instruments.camera import Camera
from morphogen.phantoms.phantom import phantom
from morphogen.phantoms.volumes import volume
from morphogen.problems import Problem
from morphogen.report.confusion_figure import write_confusion
from morphogen.report.figures import write_contact_sheet
from morphogen.training.image_text import ClipRun
from morphogen.training.train import train

SIDE = 96
KINDS = ("rock", "fiber", "root")
RIVALS = ("microCT of rock", "microCT of fiber composite", "scan of plant roots in soil")
RANGES = {
    "rock": {"porosity": (0.08, 0.5), "grain_radius_um": (15.0, 60.0)},
    "fiber": {"fiber_volume_fraction": (0.12, 0.6), "fiber_diameter_um": (4.0, 12.0)},
    "root": {"length_density_per_mm": (0.12, 0.7), "root_diameter_mm": (0.25, 0.8)},
}
"""Fractions are drawn evenly, lengths evenly in their logarithm."""


@dataclass(frozen=True)
class Variant:
    """Phantoms of one sort: their kind, and the ranges of its parameters, evenly in the logarithm from above 1 up."""

    kind: str
    ranges: dict[str, tuple[float, float]]
    slices: int = 1  # of one volume, where drawing one is dear
    grain: float = 0.0  # at most, of the grey range: what an image just resolves of fibers in a tow, or of crystals


VARIANTS = {
    "rock": (
        Variant("rock", {"porosity": (0.05, 0.5), "grain_radius_um": (15.0, 100.0), "brine_saturation": (0.0, 1.0)},
                grain=0.3),
        Variant("grain_pack", {"porosity": (0.05, 0.45), "grain_radius_um": (15.0, 100.0), "radius_spread": (0.1, 0.5),
                               "aspect_ratio": (0.5, 1.0), "second_mineral": (0.0, 0.5)}, grain=0.3),
        Variant("gaussian_rock", {"porosity": (0.03, 0.45), "correlation_length_um": (12.0, 100.0),
                                  "smoothness": (0.6, 4.0), "stretch": (0.6, 2.0), "second_mineral": (0.0, 0.5)},
                grain=0.4),
        Variant("gaussian_rock", {"porosity": (0.005, 0.15), "correlation_length_um": (12.0, 60.0),
                                  "smoothness": (0.6, 2.0), "second_mineral": (0.0, 0.5)}, grain=0.4),
        Variant("gaussian_rock", {"porosity": (0.1, 0.5), "correlation_length_um": (60.0, 300.0),
                                  "smoothness": (0.3, 1.2), "second_mineral": (0.0, 0.3)}, grain=0.25),
        Variant("gaussian_rock", {"porosity": (0.2, 0.45), "vug_fraction": (0.03, 0.19), "vug_radius_um": (40.0, 150.0),
                                  "correlation_length_um": (5.0, 30.0), "smoothness": (0.6, 2.0)}, grain=0.4),
    ),
    "fiber": (
        Variant("fiber", {"fiber_volume_fraction": (0.12, 0.6), "fiber_diameter_um": (4.0, 12.0),
                          "tilt_spread_deg": (2.0, 20.0)}),
        Variant("fiber_bundle", {"fiber_volume_fraction": (0.04, 0.14), "fiber_diameter_um": (4.0, 12.0),
                                 "fiber_length_um": (30.0, 100.0), "alignment": (0.0, 1.0)}, slices=6),
        Variant("fiber_bundle", {"fiber_volume_fraction": (0.1, 0.4), "fiber_diameter_um": (3.0, 12.0),
                                 "inclination_deg": (50.0, 90.0), "alignment": (200.0, 2000.0)}, slices=6),
        Variant("weave", {"fiber_volume_fraction": (0.1, 0.3), "tow_spacing_um": (300.0, 700.0),
                          "tow_width_um": (200.0, 240.0), "tow_thickness_um": (60.0, 120.0)}, slices=2, grain=0.3),
        Variant("weave", {"fiber_volume_fraction": (0.3, 0.5), "tow_spacing_um": (950.0, 1300.0),
                          "tow_width_um": (700.0, 850.0), "tow_thickness_um": (150.0, 300.0)}, slices=2, grain=0.4),
        Variant("weave", {"fiber_volume_fraction": (0.55, 0.72), "tow_spacing_um": (700.0, 1000.0),
                          "tow_width_um": (650.0, 950.0), "tow_thickness_um": (120.0, 300.0)}, slices=2, grain=0.4),
        Variant("strands", {"fiber_volume_fraction": (0.1, 0.5), "bundle_width_um": (100.0, 400.0),
                            "direction_deg": (-90.0, 90.0), "roughness": (0.1, 0.4)}, slices=6, grain=0.15),
        Variant("strands", {"fiber_volume_fraction": (0.05, 0.3), "bundle_width_um": (120.0, 500.0),
                            "bundle_flatness": (1.0, 2.0), "direction_deg": (-90.0, 90.0), "alignment": (0.5, 8.0),
                            "roughness": (0.1, 0.3), "strands": (0.0, 0.0), "loose_strands": (0.0, 0.0)}, slices=6),
        Variant("strands", {"fiber_volume_fraction": (0.1, 0.4), "bundle_width_um": (300.0, 900.0),
                            "bundle_flatness": (1.0, 2.0), "direction_deg": (-90.0, 90.0), "alignment": (0.5, 8.0),
                            "roughness": (0.1, 0.3), "strands": (0.0, 0.0), "loose_strands": (0.0, 0.0)}, slices=6),
    ),
    "root": (
        Variant("root", {"length_density_per_mm": (0.05, 0.7), "root_diameter_mm": (0.2, 0.9)}),
        Variant("root_system", {"age_days": (4.0, 9.0), "tap_diameter_mm": (0.1, 0.6), "plants": (1.0, 2.9),
                                "crack_fraction": (0.0, 0.3), "sand_fraction": (0.0, 0.3)}),
    ),
}  # fmt: skip
HALVES = (("carbonate", "cfrp C1", "weave", "tubes 1"), ("berea", "cfrp F3", "fiberform", "tubes 2"))
REAL_FIELDS = 120  # of each group of specimens
SIGHTS = 3  # of every phantom of a variant: drawing one takes longer than seeing it
SCALES = (64, 96, 144, 192)  # pixels across what a field of SIDE shows
_DRAWN, _SEEN, _SEEN_AGAIN, _VARIED, _ROUGH, _SHORTENED, _GRAIN = range(900, 907)  # purposes of the random streams


def instrument(seed: int, number: int) -> Camera:
    """A tomograph or camera, drawn at random: from clean to barely usable."""
    draw = numpy_generator(seed, _SEEN, number)
    offset = float(draw.uniform(0.0, 0.4))
    return Camera(
        blur_px=float(draw.uniform(0.2, 1.5)),
        read_noise=float(draw.uniform(0.0, 0.08)),
        shot_noise=float(draw.uniform(0.0, 0.08)),
        shading=float(draw.uniform(0.0, 0.3)),
        offset=offset,
        gain=float(draw.uniform(0.4, 1.0 - offset)),
    )


def rough_instrument(seed: int, number: int) -> Camera:
    """One that may also be out of focus, smoothed until no noise is left, or show the fringes of phase contrast."""
    draw = numpy_generator(seed, _ROUGH, number)

    def between(low: float, high: float) -> float:
        return float(np.exp(draw.uniform(np.log(low), np.log(high))))

    return instrument(seed, number).model_copy(
        update={
            "blur_px": between(0.2, 3.0),
            "read_noise": between(0.002, 0.08),
            "shot_noise": between(0.002, 0.08),
            "fringes": float(max(draw.uniform(-1.5, 2.0), 0.0)),
            "fringe_px": float(draw.uniform(1.5, 5.0)),
        }
    )


def every_phantom(count: int, seed: int) -> Pictures:
    """Phantoms of every variant, as many of each of the three kinds, captioned by what is measured in their masks.

    There are SIGHTS times as many images: each is seen by as many instruments.
    """
    told: list[tuple[str, Picture]] = []
    for specimen, variants in VARIANTS.items():
        made: list[Picture] = []
        for number, variant in enumerate(variants):
            wanted = (count // len(KINDS) * (number + 1)) // len(variants)
            for drawn in count_up():
                if len(made) >= wanted:
                    break
                made += sections(variant, seed, 10_000 * number + drawn)[: wanted - len(made)]
        found, _ = caption(Pictures(made, specimen), specimen=specimen, segmentation="masks")
        told += [(specimen, replace(picture, mask=None)) for picture in found]
    seen = [rephotographed(picture, seed, k, specimen) for k, (specimen, picture) in enumerate(told * SIGHTS)]
    return Pictures([shortened(picture, seed, k) for k, picture in enumerate(seen)], "phantoms of every variant")


def shortened(picture: Picture, seed: int, number: int) -> Picture:
    """With all of its caption, with what it is and one thing more, or with what it is alone: in turn by chance."""
    draw = numpy_generator(seed, _SHORTENED, number)
    subject, *phrases = str(picture.labels[CAPTION]).split(", ")
    told = (phrases, [phrases[draw.integers(len(phrases))]] if phrases else [], [])[draw.integers(3)]
    return replace(picture, labels={**picture.labels, CAPTION: ", ".join([subject, *told])})


def sections(variant: Variant, seed: int, specimen: int) -> list[Picture]:
    """Clean ones of a specimen whose parameters are drawn."""
    draw = numpy_generator(seed, _VARIED, specimen)
    chosen = {
        name: float(np.exp(draw.uniform(np.log(low), np.log(high))) if low > 1 else draw.uniform(low, high))
        for name, (low, high) in variant.ranges.items()
    }
    chosen = {name: float(int(value)) if name == "plants" else value for name, value in chosen.items()}
    size = (SIDE, SIDE)
    clean = Camera(blur_px=0.3, read_noise=0, shot_noise=0, shading=0)
    given: dict[str, Any] = {"seed": seed, "specimen": specimen, "camera": clean, "parameters": chosen}
    depth = variant.slices * SIDE // 4
    try:
        if variant.slices == 1:
            found = phantom(variant.kind, size=size, **given).picture
            assert found.mask is not None
            return [grained(found, found.mask ^ variant.kind.endswith(("rock", "pack")), variant.grain, draw)]
        solid = volume(variant.kind, shape=(depth, *size), **given)
    except Problem:  # what cannot be packed
        return []
    spacing = (solid.solid.spacing_um, solid.solid.spacing_um)
    made = []
    for z in range(SIDE // 8, depth, SIDE // 4):
        mask = solid.mask[z]
        clear = Picture(solid.pixels[None, z], spacing, Origin(solid.specimen, slice=z), mask=mask)
        warp = solid.solid.mask(("warp",))[z]  # of other kinds there is none
        made.append(grained(grained(clear, mask & ~warp, variant.grain, draw), warp, variant.grain, draw, stretch=5.0))
    return made


def grained(
    picture: Picture, within: NDArray[np.bool_], most: float, draw: np.random.Generator, stretch: float = 1.0
) -> Picture:
    """With grains of a pixel or two in some places; so many times longer where fibers lie in the section."""
    if not most or not within.any():
        return picture
    width = draw.uniform(0.5, 1.2)
    grain = gaussian_filter(draw.standard_normal(picture.size), (width, stretch * width))
    grey = picture.grey + 255 * draw.uniform(0, most) * grain / grain.std() * within
    return replace(picture, pixels=grey.round().clip(0, 255).astype("uint8")[None])


def seen_phantoms(count: int, seed: int) -> Pictures:
    """Phantoms of the three kinds in turn, each by its own instrument."""
    made = []
    for k in range(count):
        kind = KINDS[k % 3]
        draw = numpy_generator(seed, _DRAWN, k)
        (fraction, (least, most)), (length, (low, high)) = RANGES[kind].items()
        drawn = {
            fraction: float(draw.uniform(least, most)),
            length: float(np.exp(draw.uniform(np.log(low), np.log(high)))),
        }
        if kind == "fiber":  # from bundles seen end on to obliquely cut ones, of which the caption says nothing
            drawn["tilt_spread_deg"] = float(draw.uniform(2.0, 20.0))
        made.append(
            phantom(
                kind, size=(SIDE, SIDE), seed=seed, specimen=k, camera=instrument(seed, k), parameters=drawn
            ).picture
        )
    return Pictures([replace(picture, mask=None) for picture in made], "phantoms")


@dataclass(frozen=True)
class Group:
    """Real images of some specimens of one kind, grey and of 8 bit."""

    kind: str
    images: Pictures
    segmentation: str | None = None
    segmented: bool = False  # two grey levels: the geometry of a specimen, and no image of it

    def tested(self) -> Pictures:
        """Fields as they are, without overlap."""
        return self._told(fields(self.images, (SIDE, SIDE), REAL_FIELDS))

    def learnt(self, count: int, seed: int) -> Pictures:
        """Fields with captions of what is measured in them, at several scales, half of them by another instrument."""
        laid: list[Picture] = []
        least = min(min(picture.size) for picture in self.images)
        scales = [across for across in SCALES if across <= least]
        while len(laid) < count:
            # Every second batch at the scale of the tests; all of them as they are or by another instrument, in turn.
            across = scales[len(laid) // 20 // 2 % len(scales)] if len(laid) // 20 % 2 else SIDE
            cut = fields(self.images, (across, across), min(20, count - len(laid)), seed=1 + len(laid))
            laid += list(self._told(Pictures(map(scaled, cut))))
        seen = (p if number % 2 else self._again(p, seed, number) for number, p in enumerate(laid))
        return Pictures(shortened(picture, seed, number) for number, picture in enumerate(seen))

    def _again(self, picture: Picture, seed: int, number: int) -> Picture:
        if self.segmented:  # seen for the first time, as phantoms are
            draw = numpy_generator(seed, _GRAIN, number)
            dark, bright = sorted(draw.uniform(0, 255, 2))
            scene = (dark + (bright - dark) * picture.grey / 255).astype("uint8")
            picture = grained(replace(picture, pixels=scene[None]), picture.grey > 127, 0.4, draw)
        return rephotographed(picture, seed, number, self.kind)

    def _told(self, cut: Pictures) -> Pictures:
        found, _ = caption(cut, specimen=self.kind, segmentation=self.segmentation)
        return Pictures(replace(picture, labels={**picture.labels, CLASS: self.kind}, mask=None) for picture in found)


def scaled(picture: Picture) -> Picture:
    """A square picture at SIDE pixels across."""
    size = (SIDE, SIDE)
    if picture.size == size:
        return picture
    pixels = resize(picture.grey, size, order=1, anti_aliasing=True).round().astype("uint8")
    mask = None if picture.mask is None else resize(picture.mask.astype(float), size, order=1) > 0.5
    return replace(picture, pixels=pixels[None], mask=mask)


def rephotographed(picture: Picture, seed: int, number: int, kind: str) -> Picture:
    """An image, seen once more by an instrument as the phantoms are; roots by light, which draws no fringes."""
    draw = numpy_generator(seed, _SEEN_AGAIN, number)
    camera = rough_instrument(seed, number)
    if kind == "root":
        camera = camera.model_copy(update={"fringes": 0.0})
    width = max(draw.uniform(-0.8, 0.8), 0.0)  # over which the noise of every second one is correlated
    if width:
        noisier = 2 * np.sqrt(np.pi) * width + 1  # so that about as much is left
        camera = camera.model_copy(
            update={"read_noise": camera.read_noise * noisier, "shot_noise": camera.shot_noise * noisier}
        )
    pixels = camera.photograph(picture.grey / 255, "uint16", draw).astype(float) / 257
    return replace(picture, pixels=gaussian_filter(pixels, width).round().astype("uint8")[None])


def real_groups(folder: Path) -> dict[str, Group]:
    """Real images by group of specimens."""
    rock, fiber = folder / "rock", folder / "fiber"
    groups = {
        "carbonate": Group("rock", read_images(rock, files="carbonate_s?.png")),
        "berea": Group("rock", slices(read_images(rock / "berea_segmented_400.tif"), 20), segmented=True),
        "cfrp C1": Group("fiber", read_images(fiber, files="cfrp_C1_*.jpg", grey=True)),
        "cfrp F3": Group("fiber", read_images(fiber, files="cfrp_F3_*.jpg", grey=True)),
        "weave": Group("fiber", slices(read_images(fiber / "weave_150.tif"), 5)),
        "fiberform": Group("fiber", slices(read_images(fiber / "fiberform_100.tif"), 5)),
    }
    roots = read_images(folder / "root", grey=True, shrink=2, specimen_pattern=r"^(T\d+)")
    tubes = sorted({picture.origin.specimen for picture in roots})
    for half in (0, 1):
        of_half = [picture for picture in roots if picture.origin.specimen in tubes[half::2]]
        groups[f"tubes {half + 1}"] = Group("root", Pictures(of_half), "masks")
    return groups


def slices(volume: Pictures, every: int) -> Pictures:
    """Some slices of a volume: neighbours show the same."""
    return Pictures(list(volume)[::every])


def named(name: str, images: Pictures) -> Pictures:
    """The images with the name of their group before that of their specimen."""
    return Pictures(
        replace(p, spacing_um=(np.nan, np.nan), origin=replace(p.origin, specimen=f"{name}/{p.origin.specimen}"))
        for p in images
    )


def together(sets: Iterable[Pictures]) -> Pictures:
    """All pictures of several sets."""
    return Pictures([picture for images in sets for picture in images], "phantoms and real images")


def trained(
    name: str, images: Pictures, folder: Path, images_seen: int, seed: int, settings: dict[str, object],
    precision: str | None,
) -> ClipRun:  # fmt: skip
    """A CLIP that has learnt from these."""
    run = train("clip", images, folder / name, images_seen=images_seen, size=(SIDE, SIDE), seed=seed, settings=settings,
                precision=precision, symmetries=frozenset({"flip_horizontal", "flip_vertical"}), cpu=True)  # fmt: skip
    return ClipRun(run)


def percent(value: float, low: float, high: float) -> str:
    """A share with its interval."""
    return f"{100 * value:.1f} % [{100 * low:.1f}, {100 * high:.1f}]"


def report(name: str, clip: ClipRun, held_out: Pictures, groups: dict[str, Pictures], tested: Sequence[str],
           folder: Path, console: Console) -> None:  # fmt: skip
    """Print what one CLIP can do."""
    found = caption_retrieval(clip, held_out, of=64)
    one = found.first
    console.print(
        f"\n{name}: {int(clip.run.counters['images_seen']):,} images seen in {clip.run.counters['seconds']:.0f} s.\n"
        f"Held-out phantoms, right one of 64 captions first: {percent(one.value, one.low, one.high)}, among five"
        f" {100 * found.among_five.value:.1f} % ({one.n_generated} phantoms)"
    )
    for kind in KINDS:
        alone = Pictures(p for p in held_out if p.origin.specimen.startswith(f"{kind}-"))
        told = caption_retrieval(clip, alone, of=21).first
        console.print(f"  {kind}, right one of 21 of its kind first: {percent(told.value, told.low, told.high)}")
    if not tested:
        return
    put_to = classify(clip, together(groups[group] for group in tested), RIVALS, label=CLASS)
    assert put_to.accuracy is not None
    write_confusion(put_to, folder / f"{name}.png")
    table = Table("specimens", "fields", *(re.sub("^(microCT|scan) of ", "", text) for text in RIVALS))
    for group in tested:
        put = [
            k for k, image in zip(put_to.found, put_to.images, strict=True) if image.specimen.startswith(f"{group}/")
        ]
        table.add_row(group, str(len(put)), *(str(put.count(k)) for k in range(len(RIVALS))))
    console.print(table)
    shares = [row[k] / sum(row) for k, row in enumerate(put_to.confusion or ())]
    console.print(
        f"Real images, zero-shot: {percent(put_to.accuracy.value, put_to.accuracy.low, put_to.accuracy.high)} of"
        f" {put_to.accuracy.n_generated} fields; mean over the kinds {100 * np.mean(shares):.1f} %"
    )


def main() -> None:
    """Run what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--out", type=Path, required=True, help="new folder")
    parser.add_argument("--real", type=Path, help="folder with real images, for the second experiment")
    parser.add_argument("--images-seen", type=int, default=24_000, help="budget of each training")
    parser.add_argument("--phantoms", type=int, default=6000, help="to learn from")
    parser.add_argument("--real-fields", type=int, default=600, help="of each kind, to learn from")
    parser.add_argument("--varied", type=int, default=2400, help="phantoms of every variant, for the second experiment")
    parser.add_argument("--held-out", type=int, default=512, help="phantoms to test on")
    parser.add_argument("--precision", choices=["fp32", "bf16"], help="of the trainings; bf16 where the CPU has it")
    parser.add_argument("--seed", type=int, default=0, help="of weights and crops")
    parser.add_argument(
        "--only", choices=["phantoms", "1", "2", "real"], help="one of the three trainings, or both with real images"
    )
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="a setting of CLIP")
    given = parser.parse_args()
    import yaml

    settings = {name: yaml.safe_load(value) for name, _, value in (item.partition("=") for item in given.set)}
    given.out.mkdir(parents=True, exist_ok=True)
    console = Console(width=140)
    learnt, held_out = seen_phantoms(given.phantoms, seed=1), seen_phantoms(given.held_out, seed=2)
    write_contact_sheet(list(held_out)[:24], given.out / "phantoms_seen.png")
    real = real_groups(given.real) if given.real is not None else {}
    groups = {name: named(name, group.tested()) for name, group in real.items()}
    for name, images in groups.items():
        console.print(f"{name}: {len(images)} fields, the first: {images[0].labels['caption']}")
    varied = every_phantom(given.varied, seed=3) if groups else learnt
    write_contact_sheet(list(varied)[:: max(1, len(varied) // 120)], given.out / "phantoms_of_every_variant.png")
    if given.only in (None, "phantoms"):
        clip = trained("phantoms", learnt, given.out, given.images_seen, given.seed, settings, given.precision)
        report("phantoms alone", clip, held_out, groups, list(groups), given.out, console)
    for number, held_in in enumerate(HALVES if groups else (), start=1):
        if given.only in (None, "real", str(number)):
            share = Counter(real[name].kind for name in held_in)
            seen = {name: real[name].learnt(given.real_fields // share[real[name].kind], seed=1) for name in held_in}
            write_contact_sheet([p for s in seen.values() for p in list(s)[:8]], given.out / f"held_in_{number}.png")
            known = together([learnt, varied, *(named(name, images) for name, images in seen.items())])
            clip = trained(f"half_{number}", known, given.out, given.images_seen, given.seed, settings, given.precision)
            others = [name for name in groups if name not in held_in]
            report(f"phantoms and {', '.join(held_in)}", clip, held_out, groups, others, given.out, console)


if __name__ == "__main__":
    main()
