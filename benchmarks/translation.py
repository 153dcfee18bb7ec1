"""What the CycleGAN's translations are worth, measured against truth (`python benchmarks/translation.py -o FOLDER`).

pairs   Fiber phantoms, photographed by a clean camera A, become photographs by a noisy, blurred, brighter and flatter
        camera B, and back. It learns from different specimens under either camera (unpaired); held-out specimens were
        photographed by both, so that each translation has its true counterpart. "Nothing done" is the photograph by A
        itself; "one offset and gain" its grey levels brought to the mean and spread of B's; "B again" a second
        photograph by B with other noise: what a perfect translation would score.

labels  Fiber phantoms drawn as clean labels become micrographs like the measured ones given by --measured, and back.
        The micrographs are segmented by Otsu's rule, fitted to the measured images, and held against the labels.
        The measured composite shows long bundles, some eight times as long as wide, in about one direction an image.
        No parameter of the phantom gives that: its fibers lean by 30 degrees at most, which makes them twice as long
        as wide, in all directions. So its section is cut obliquely (see ``oblique``). What still does not match:
        measured bundles bend, split and fray, some are swirls, and in grey they fade into the matrix; the drawn ones
        are straight ellipses apart from each other, black and white.

Both are trained for --seconds on crops of 64 x 64, with the random numbers of --seed; tables go to the terminal, panels
to FOLDER.
"""

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image
from rich.console import Console
from rich.table import Table

from morphogen.evaluation.descriptors.noise_and_sharpness import noise_level
from morphogen.evaluation.segmentation.segmentation import fit_segmentation
from morphogen.evaluation.similarities.similarity import similarity
from morphogen.generation.translate import translate
from morphogen.images.folders import read_images
from morphogen.images.image_set import Pictures
from morphogen.images.intensity import IntensityMap
from morphogen.images.picture import Picture
from morphogen.phantoms.instruments.camera import Camera
from morphogen.phantoms.phantom import Phantom, image_set, phantoms
from morphogen.specimens.specimen import specimen
from morphogen.training.train import train

CAMERA_A = Camera(blur_px=0.5, read_noise=0.01, shot_noise=0.02, shading=0.0)
CAMERA_B = Camera(blur_px=1.2, read_noise=0.06, shot_noise=0.06, shading=0.0, offset=0.25, gain=0.5)
LEARNT, HELD_OUT = 8, 8
LABELS = {"fiber_volume_fraction": 0.15, "fiber_diameter_um": 7.0, "diameter_spread": 0.4, "tilt_spread_deg": 5.0}
"""The measured composite is of bundles, not of single fibers: about a seventh of the section, some seven pixels wide,
of very different widths, nearly parallel."""
LENGTH, LARGEST_ANGLE = 8.0, 30.0  # of the bundles over their width; degrees from the horizontal in the measured images


def photographs(camera: Camera, *, seed: int, count: int) -> list[Phantom]:
    """Fiber phantoms under a camera; the same seed gives the same specimens."""
    return phantoms("fiber", count=count, size=(128, 128), seed=seed, spacing_um=0.65, camera=camera)


def exposure(seed: int, other: int) -> Pictures:
    """The held-out specimens once more by camera B: the same geometry, other noise."""
    found = []
    for k, scene in enumerate(photographs(Camera(blur_px=0, read_noise=0, shot_noise=0, shading=0, offset=0, gain=1),
                                          seed=seed, count=HELD_OUT)):  # fmt: skip
        reflectance = scene.picture.grey / 255.0
        pixels = CAMERA_B.photograph(reflectance, "uint8", np.random.default_rng((other, k)))
        found.append(replace(scene.picture, pixels=pixels[None]))
    return Pictures(found, "camera B again")


def pairs(budget: dict[str, float], folder: Path, console: Console, settings: dict[str, object], seed: int) -> None:
    """Camera A to camera B and back, against the true counterparts."""
    a, b = (Pictures([p.picture for p in photographs(camera, seed=seed, count=LEARNT)], name)
            for camera, seed, name in ((CAMERA_A, 1, "camera A"), (CAMERA_B, 2, "camera B")))  # fmt: skip
    test_a, test_b = (Pictures([p.picture for p in photographs(camera, seed=3, count=HELD_OUT)], "held out")
                      for camera in (CAMERA_A, CAMERA_B))  # fmt: skip
    run = train("cyclegan", b, folder / "pairs", sources=a, **budget, settings=settings, seed=seed, cpu=True,
                symmetries=specimen("fiber").symmetries)  # fmt: skip
    to_b, to_a = translate(run, test_a, cpu=True), translate(run, test_b, reverse=True, cpu=True)
    back = translate(run, to_b, reverse=True, cpu=True)
    rows = {
        "A as B, nothing done": (test_b, test_a),
        "A as B, one offset and gain": (test_b, matched(test_a, b)),
        "A to B, translated": (test_b, to_b),
        "B again, other noise": (test_b, exposure(3, 7)),
        "B as A, nothing done": (test_a, test_b),
        "B as A, one offset and gain": (test_a, matched(test_b, a)),
        "B to A, translated": (test_a, to_a),
        "A to B and back": (test_a, back),
    }
    table = Table("held-out specimens", "SSIM", "PSNR, dB", "LPIPS", "mean grey", "noise level", "of the truth")
    for name, (truth, given) in rows.items():
        table.add_row(name, *scores(truth, given))
    console.print(table)
    panel(folder / "pairs.png", [test_a, to_b, test_b, back, to_a])
    console.print(f"{folder / 'pairs.png'}: A, A to B, the true B, A to B and back, B to A")


def matched(images: Pictures, like: Pictures) -> Pictures:
    """Grey levels brought to the mean and standard deviation of another set."""
    have, want = (np.concatenate([p.pixels.ravel() for p in s]).astype(float) for s in (images, like))
    gain = want.std() / have.std()
    return Pictures(
        replace(p, pixels=np.clip(np.rint((p.pixels - have.mean()) * gain + want.mean()), 0, 255).astype("uint8"))
        for p in images
    )


def scores(truth: Pictures, given: Pictures) -> list[str]:
    """Mean scores of pairs at equal positions, as text."""
    intensity = IntensityMap(low=0, high=255, dtype="uint8")
    ssim, lpips = (
        similarity(name, size=truth[0].size).between(measured=truth, generated=given, intensity=intensity).mean()
        for name in ("ssim", "lpips")
    )
    error = np.mean([np.square(t.pixels.astype(float) - g.pixels).mean() for t, g in zip(truth, given, strict=True)])
    psnr = 10 * np.log10(255**2 / error) if error else np.inf
    mean = np.mean([p.pixels.mean() for p in given])
    return [f"{ssim:.3f}", f"{psnr:.1f}", f"{lpips:.3f}", f"{mean:.0f}", f"{noise(given):.1f}", f"{noise(truth):.1f}"]


def noise(images: Pictures) -> float:
    """Mean noise level in grey levels."""
    return float(np.mean([noise_level(p.grey.astype(float)) for p in images]))


def drawings(seed: int, count: int = 16) -> Pictures:
    """Labels that look like the measured composite."""
    sections = image_set(
        phantoms("fiber", count=count, size=(768, 256), seed=seed, spacing_um=0.5, vary=False, parameters=LABELS),
        labels=True,
    )
    angles = np.random.default_rng(seed).uniform(-LARGEST_ANGLE, LARGEST_ANGLE, count)
    return Pictures([oblique(p, float(angle)) for p, angle in zip(sections, angles, strict=True)], "drawn")


def oblique(section: Picture, angle: float, size: int = 256) -> Picture:
    """The exact mask of the same fibers in a plane that they cross at a small angle, in pixels of 1 um.

    Fibers all normal to a section show up longer by 1 / cos in a plane that is turned from it, and as wide as before.
    A section repeats itself beyond its edges.

    Args:
        section: labels of fibers that stand upright, in pixels of 0.5 um.
        angle: of the fibers with the horizontal, in degrees.
        size: side of the image.
    """
    assert section.mask is not None
    y, x = np.mgrid[:size, :size] - (size - 1) / 2
    cosine, sine = np.cos(np.radians(angle)), np.sin(np.radians(angle))
    places = ((y * cosine - x * sine) / 0.5, (x * cosine + y * sine) / (0.5 * LENGTH))
    rows, columns = (np.floor(p).astype(int) % side for p, side in zip(places, section.mask.shape, strict=True))
    mask = section.mask[rows, columns]
    return replace(section, pixels=(255 * mask).astype("uint8")[None], mask=mask, spacing_um=(1.0, 1.0))


def labels(
    budget: dict[str, float],
    measured: Pictures,
    folder: Path,
    console: Console,
    settings: dict[str, object],
    seed: int,
) -> None:
    """Labels to micrographs and back."""
    drawn, test = drawings(1), drawings(2)
    real = even(measured)
    run = train("cyclegan", real, folder / "labels", sources=drawn, **budget, settings=settings, seed=seed, cpu=True,
                symmetries=specimen("fiber").symmetries)  # fmt: skip
    made, back_from_real = translate(run, test, cpu=True), translate(run, real, reverse=True, cpu=True)
    back = translate(run, made, reverse=True, cpu=True)
    rule = fit_segmentation("otsu", real, "bright")
    table = Table("of labels", "Dice")
    table.add_row("to micrographs, segmented as the measured ones", f"{dice(test, [rule.phase(p) for p in made]):.3f}")
    table.add_row("another specimen's labels", f"{dice(test, [p.mask for p in (*test, test[0])[1:]]):.3f}")
    table.add_row("to micrographs and back", f"{dice(test, [p.grey > 127 for p in back]):.3f}")
    console.print(table)
    table = Table("", "grey mean", "spread", "noise level", "bright share")
    for name, images in (("measured", real), ("from labels", made)):
        grey = np.concatenate([p.pixels.ravel() for p in images])
        share = np.mean([rule.phase(p).mean() for p in images])
        table.add_row(name, f"{grey.mean():.0f}", f"{grey.std():.1f}", f"{noise(images):.1f}", f"{share:.3f}")
    console.print(table)
    share = np.mean([np.mean((p.grey > 32) & (p.grey < 223)) for p in back_from_real])
    fibers = np.mean([np.mean(p.grey > 127) for p in back_from_real])
    held = np.mean([dice_of(rule.phase(p), q.grey > 127) for p, q in zip(real, back_from_real, strict=True)])
    console.print(
        f"measured to labels: {fibers:.3f} fiber, {share:.3f} of the pixels neither black nor white,"
        f" Dice {held:.3f} with the segmentation"
    )
    four = range(min(4, len(real)))
    panel(folder / "labels.png", [Pictures([s[k] for k in four]) for s in (test, made, back, real, back_from_real)])
    console.print(f"{folder / 'labels.png'}: labels, to micrographs, and back, measured, measured to labels")


def even(images: Pictures) -> Pictures:
    """Each image brought to one median and one quartile range: the files were stretched differently."""
    changed = []
    for picture in images:
        low, middle, high = np.percentile(picture.pixels, (25, 50, 75))
        grey = 110 + 24 * (picture.pixels - middle) / (high - low)
        changed.append(replace(picture, pixels=np.clip(np.rint(grey), 0, 255).astype("uint8")))
    return Pictures(changed, "measured")


def dice(truth: Pictures, found: Sequence[np.ndarray | None]) -> float:
    """Mean Dice coefficient with the masks of pictures."""
    return float(np.mean([dice_of(p.mask, f) for p, f in zip(truth, found, strict=True)]))


def dice_of(one: np.ndarray | None, other: np.ndarray | None) -> float:
    """Dice coefficient of two masks."""
    assert one is not None
    assert other is not None
    return float(2 * (one & other).sum() / max(1, one.sum() + other.sum()))


def panel(file: Path, sets: Sequence[Pictures], columns: int = 4) -> None:
    """Rows of sets, columns of specimens, two pixels for one, grey levels as they are."""
    rows = [np.concatenate([np.pad(p.grey, 2, constant_values=255) for p in list(s)[:columns]], axis=1) for s in sets]
    sheet = np.concatenate(rows).astype("uint8").repeat(2, axis=0).repeat(2, axis=1)
    Image.fromarray(sheet).save(file)


def main() -> None:
    """Run what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--out", type=Path, required=True, help="new folder")
    parser.add_argument("--seconds", type=float, default=600, help="budget of each of the two trainings")
    parser.add_argument("--seed", type=int, default=0, help="of weights, crops and noise of both trainings")
    parser.add_argument("--images-seen", type=int, help="budget of each in images, instead")
    parser.add_argument("--measured", type=Path, help="micrographs of a fiber composite, for the second experiment")
    parser.add_argument("--only", choices=["pairs", "labels"])
    parser.add_argument("--set", action="append", default=[], metavar="NAME=NUMBER", help="a setting of the CycleGAN")
    given = parser.parse_args()
    settings = {name: float(value) for name, _, value in (item.partition("=") for item in given.set)}
    whole = {name: int(value) if value.is_integer() else value for name, value in settings.items()}
    budget = {"seconds": given.seconds} if given.images_seen is None else {"images_seen": given.images_seen}
    given.out.mkdir(parents=True, exist_ok=True)
    console = Console(width=140)
    if given.only != "labels":
        pairs(budget, given.out, console, whole, given.seed)
    if given.only != "pairs" and given.measured is not None:
        measured = Pictures(read_images(given.measured, files="cfrp_*", grey=True))
        labels(budget, measured, given.out, console, whole, given.seed)


if __name__ == "__main__":
    main()
