"""What editors driven by two captions are worth on phantoms (`python benchmarks/two_captions.py -o FOLDER`).

A diffusion run learns rock phantoms of 64 x 64 pixels, each told by its caption: "microCT slice of a rock phantom,
porosity 0.24, grain radius 36 um". Then

asked     Images are drawn for captions of porosities that go evenly through the range that was learnt. What is asked
          against what Otsu's threshold, fitted to the phantoms, finds: R2 about given = asked, mean absolute error.
edited    Held-out phantoms in pairs, of one seed. Of "grains" the asked porosity differs, so that grains are taken away
          or added: which ones, no caption says. Of "cement" all grains grow or shrink by a layer, where they are. Of
          "brine" the pores are dry, or hold doped brine, so that image and captions say where it is, but for the
          widest pores, of which a part may stay dry.
          The editors are given the first one and both captions. Truly changed is where grey levels of the pair differ
          by more than the camera's noise may. Of each editor: IoU of the region that it names with that, IoU of the
          pixels that it changed by as much, the error of the share of empty pores, and PSNR of the result to the true
          one inside and outside of the changed region. The identity editor's scores stand beside.

The budget is --images-seen; smaller numbers try it out. Writes the run, the attention to each word, and a picture of
pairs and edits to FOLDER.
"""

import argparse
import json
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from skimage.filters import threshold_multiotsu

from morphogen.editing.editor import Edit, Instruction, editor_class, editor_settings, require_sound
from morphogen.evaluation.asked import asked_and_given
from morphogen.generation.attend import attend
from morphogen.generation.generate import generate
from morphogen.images.conditions import ASKED, CAPTION
from morphogen.images.image_set import Pictures
from morphogen.images.picture import Picture
from morphogen.mathematics.randomness import numpy_generator
from morphogen.phantoms.phantom import phantom
from morphogen.report.attention_figure import write_attention
from morphogen.report.figures import contact_sheet, png_bytes
from morphogen.specimens.specimen import specimen
from morphogen.training.run import Run
from morphogen.training.train import train

SIZE = (64, 64)
POROSITY, RADIUS = (0.1, 0.5), (25.0, 50.0)
STEP = (0.1, 0.2)  # by how much the porosity of a pair differs where grains come or go
CEMENT = (4.0, 10.0)  # micrometres of the layer, where there is one
SATURATION = (0.6, 1.0)  # of the pores of a pair that hold brine; those learnt from hold any share, every second none
KINDS = ("grains", "cement", "brine")
NOTICED = 0.1  # of the grey range: more than twice the standard deviation of a difference of two noises of the camera
_LEARNT, _PAIRS = 61, 62  # purposes of random streams
ALL = np.ones(SIZE, np.bool_)


def rocks(count: int, seed: int) -> Pictures:
    """Phantoms whose porosity and grain radius go through their ranges, half of them with brine in their pores."""
    found = []
    for k in range(count):
        random = numpy_generator(seed, _LEARNT, k)
        parameters = {"porosity": random.uniform(*POROSITY), "grain_radius_um": random.uniform(*RADIUS)}
        if k % 2:
            parameters["brine_saturation"] = random.uniform(0.05, 1.0)
        found.append(phantom("rock", size=SIZE, seed=seed, specimen=k, parameters=parameters).picture)
    return Pictures(found, "rocks")


def pairs(kind: str, count: int, seed: int) -> list[tuple[Picture, Picture]]:
    """Phantoms before and after a change of one parameter, up and down in turn."""
    found = []
    for k in range(count):
        random = numpy_generator(seed, _PAIRS, k)
        step, layer = random.uniform(*STEP), random.uniform(*CEMENT)
        low = random.uniform(POROSITY[0], POROSITY[1] - step)
        one = {"porosity": low, "grain_radius_um": random.uniform(*RADIUS)}
        if kind == "grains":
            other = {**one, "porosity": low + step}
        elif kind == "brine":
            one = {**one, "porosity": low + step}
            other = {**one, "brine_saturation": random.uniform(*SATURATION)}
        else:
            one = {**one, "porosity": low + step}
            other = {**one, "cement_um": layer}
        both = [
            phantom("rock", size=SIZE, seed=seed, specimen=k, coupled=True, parameters=parameters).picture
            for parameters in (one, other)
        ]
        found.append((both[k % 2], both[1 - k % 2]))
    return found


def dry(images: Pictures) -> Pictures:
    """Those without brine."""
    return Pictures([p for p in images if not p.labels["brine_saturation_asked"]], "dry rocks")


def darkest(images: Pictures, classes: int) -> float:
    """Below which grey level a pore is empty, by Otsu: of two classes, or of three where brine is one."""
    return float(threshold_multiotsu(np.concatenate([p.grey.ravel() for p in list(images)[:400]]), classes)[0])


def grey_range(images: Pictures) -> float:
    """From the lowest to the highest grey level."""
    return float(max(p.pixels.max() for p in images)) - float(min(p.pixels.min() for p in images))


def changed(one: Picture, other: Picture, span: float) -> NDArray[np.bool_]:
    """Where two pictures differ by more than noise."""
    return np.abs(one.grey - other.grey) > NOTICED * span


def overlap(one: NDArray[np.bool_], other: NDArray[np.bool_]) -> float:
    """Intersection over union; 0 where one of them is empty and the other is not."""
    union = (one | other).sum()
    return float((one & other).sum() / union) if union else 1.0


def asked(run: Run, learnt: Pictures, count: int, guidance: float, seed: int, console: Console) -> None:
    """Porosity asked by caption, against measured."""
    images = []
    for k in range(count):
        porosity = POROSITY[0] + (POROSITY[1] - POROSITY[0]) * k / max(1, count - 1)
        radius = numpy_generator(seed, _LEARNT, k).uniform(*RADIUS)
        caption = f"microCT slice of a rock phantom, porosity {porosity:.2f}, grain radius {radius:.0f} um"
        images.append((caption, porosity))
    drawn = []
    for first in range(0, count, 16):
        for k, (caption, porosity) in enumerate(images[first : first + 16]):
            (one,) = generate(run, count=1, seed=1000 * seed + first + k, asked={CAPTION: caption}, guidance=guidance,
                              cpu=True)  # fmt: skip
            drawn.append(replace(one, labels={ASKED + "porosity": round(porosity, 2)}))
    (found,) = asked_and_given(Pictures(drawn, "drawn"), specimen="rock", measured=dry(learnt))
    r2, error, bias = found.r2, found.mean_absolute_error, found.bias
    assert r2 is not None
    console.print(
        f"porosity by caption, {found.n} images, guidance {guidance:g}:"
        f" R2 {r2.value:.3f} [{r2.low:.3f}, {r2.high:.3f}],"
        f" mean absolute error {error.value:.4f} [{error.low:.4f}, {error.high:.4f}], bias {bias.value:+.4f}",
        highlight=False,
    )


def edits_of(
    name: str, settings: dict[str, Any], run: Run, sources: Sequence[Picture], wishes: Sequence[Instruction]
) -> list[Edit]:
    """Edits of all sources by one editor."""
    editor = editor_class(name)(editor_settings(name, settings), run.folder, cpu=True)
    for source, wish in zip(sources, wishes, strict=True):
        require_sound(name, source, wish)
        editor.check(source, wish)
    found: list[Edit] = []
    for first in range(0, len(sources), 16):
        here = slice(first, first + 16)
        found += editor.edit(sources[here], wishes[here], seed=0, first=first)
    return found


def scores(edits: Sequence[Edit], truths: Sequence[Picture], span: float, dark: float) -> list[tuple[float, ...]]:
    """Of each edit: the scores of the module's text, in the order of the table."""
    rows = []
    for edit, truth in zip(edits, truths, strict=True):
        region = changed(edit.source, truth, span)
        error = np.square(edit.picture.grey - truth.grey) / span**2
        psnr = [10 * np.log10(1 / max(float(error[where].mean()), 1e-9)) for where in (region, ~region)]
        empty = [float((picture.grey < dark).mean()) for picture in (edit.picture, truth, edit.source)]
        rows.append((
            overlap(edit.region, region), overlap(changed(edit.source, edit.picture, span), region),
            abs(empty[0] - empty[1]), float((empty[0] - empty[2]) * (empty[1] - empty[2]) > 0), *psnr,
        ))  # fmt: skip
    return rows


def edited(kind: str, run: Run, learnt: Pictures, count: int, guidance: float, diffedit: dict[str, Any],
           folder: Path, console: Console) -> None:  # fmt: skip
    """The editors on pairs whose truth is known."""
    found = pairs(kind, count, seed=9)
    span = grey_range(learnt)
    dark = darkest(learnt if kind == "brine" else dry(learnt), 3 if kind == "brine" else 2)
    sources, truths = [one for one, _ in found], [other for _, other in found]
    wishes = [Instruction(caption=str(other.labels[CAPTION]), before=str(one.labels[CAPTION])) for one, other in found]
    concepts = [replace(wish, before="") for wish in wishes]
    unknown = [replace(source, labels={}) for source in sources]
    columns = ("IoU region", "IoU changed", "empty pores off", "right way", "PSNR inside, dB", "PSNR outside, dB")
    table = Table(f"editor ({kind})", *columns, "s an image")
    shown = {"source": sources, "truth": truths}
    empty = np.zeros(SIZE, np.bool_)
    by = {
        "identity": [Edit(source, source, empty) for source in sources],
        "everything": [Edit(source, source, ALL) for source in sources],
    }
    took = dict.fromkeys(by, 0.0)
    for title, name, settings, asks, given in (
        ("DiffEdit", "diffedit", {"guidance": guidance, **diffedit}, wishes, sources),
        ("prompt-to-prompt", "prompt_to_prompt", {"guidance": guidance}, wishes, sources),
        ("LEDITS++", "ledits", {"scale": guidance}, concepts, unknown),
    ):
        started = time.perf_counter()
        by[title] = edits_of(name, settings, run, given, asks)
        took[title] = (time.perf_counter() - started) / count
        shown[title] = [edit.picture for edit in by[title]]
    for title, edits in by.items():
        mean = np.mean(scores(edits, truths, span, dark), axis=0)
        cells = [
            f"{mean[0]:.3f}",
            f"{mean[1]:.3f}",
            f"{mean[2]:.4f}",
            f"{mean[3]:.0%}",
            f"{mean[4]:.1f}",
            f"{mean[5]:.1f}",
        ]
        table.add_row(title, *cells, f"{took[title]:.1f}")
    console.print(table)
    share = np.mean([changed(one, other, span).mean() for one, other in found])
    console.print(f"{count} pairs; truly changed is {share:.1%} of an image", highlight=False)
    most = min(8, count)
    rows = [replace(p, labels={}, mask=None) for name in shown for p in shown[name][:most]]
    path = folder / f"edits-{kind}.png"
    path.write_bytes(png_bytes(contact_sheet(rows, most, 2)))
    console.print(f"{path}: {', '.join(shown)}, a row each")


def chosen(items: Sequence[str]) -> dict[str, Any]:
    """Settings as they are written, NAME=VALUE."""
    pairs_of = (item.partition("=") for item in items)
    return {name: json.loads(value) if value[:1] in "[0123456789" else value for name, _, value in pairs_of}


def main() -> None:
    """Train, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--out", type=Path, required=True, help="folder for run and pictures")
    parser.add_argument("--images-seen", type=int, default=60_000, help="budget of the training")
    parser.add_argument("--phantoms", type=int, default=1500, help="that it learns from")
    parser.add_argument("--count", type=int, default=64, help="images drawn, and pairs edited")
    parser.add_argument("--guidance", type=float, default=2.0, help="weight of the caption")
    parser.add_argument("--kind", choices=KINDS, action="append", help="of edits; all if left out")
    parser.add_argument("--edit", action="append", default=[], metavar="NAME=VALUE", help="setting of DiffEdit")
    parser.add_argument("--method", default="ddpm", help="ddpm, or dit (with attention across)")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="setting of the method")
    parser.add_argument("--precision", choices=["fp32", "bf16"], help="of the training; bf16 where the CPU has it")
    parser.add_argument("--seed", type=int, default=1, help="of the training")
    given = parser.parse_args()
    console = Console(width=140)
    learnt = rocks(given.phantoms, seed=1)
    settings = chosen(given.set)
    if given.method == "dit":
        settings = {"conditioning": "cross_attention", **settings}
    folder = given.out / "run"
    if (folder / "weights.safetensors").exists():
        run = Run(folder)
    else:
        run = train(given.method, learnt, folder, images_seen=given.images_seen, size=SIZE, conditions=[CAPTION],
                    settings=settings, symmetries=specimen("rock").symmetries, seed=given.seed,
                    precision=given.precision, cpu=True)  # fmt: skip
    seconds = run.counters["seconds"]
    console.print(f"{given.method}: {run.counters['images_seen']:,.0f} images seen, {seconds:.0f} s", highlight=False)
    asked(run, learnt, given.count, given.guidance, 5, console)
    caption = str(learnt[0].labels[CAPTION])
    found = attend(run, caption, count=4, seed=3, guidance=given.guidance, cpu=True)
    console.print(f"{write_attention(list(found.images), found.words, found.maps, given.out / 'attention.png')}")
    for kind in given.kind or KINDS:
        edited(kind, run, learnt, given.count, given.guidance, chosen(given.edit), given.out, console)


if __name__ == "__main__":
    main()
