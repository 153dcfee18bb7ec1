"""What an autoencoder loses: its reconstructions beside the measured fields, in numbers and in a picture.

Everything is paired: a field is held against its own reconstruction, so that what fields differ by among themselves
cancels, and a small loss shows. The segmentation is fitted to the measured fields and applied to both. Intervals are at
95 %, by the bootstrap over specimens where there are enough of them, else over fields (``evaluation.intervals``). Of a
curve the place is told at which the two differ most clearly, in units of the standard error; its interval is made of
the largest such deviation of each replicate, and so holds for all places at once.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from morphogen.evaluation.compared_set import ComparedSet
from morphogen.evaluation.intervals import Replicates, mean_replicates
from morphogen.evaluation.physics import SetPhysics, physics
from morphogen.evaluation.random_streams import Use
from morphogen.evaluation.segmentation.segmentation import fit_segmentation
from morphogen.evaluation.similarities.lpips import Measure
from morphogen.images.image_set import Pictures
from morphogen.images.intensity import IntensityMap
from morphogen.images.picture import Picture
from morphogen.problems import Problem
from morphogen.report.figures import grey_scale, png_bytes, specimen_figure
from morphogen.report.notation import number, rounded
from morphogen.specimens.specimen import specimen as kind_of_specimen
from morphogen.whole_files import write_whole

FEWEST_FIELDS = 2
"""One field has no interval."""
SHOWN = 8
"""Fields in the picture; the first ones, which are spread over the images."""
_RESAMPLES = 1000
_SEEN_PERCENT = 99.5  # of differences within the scale of the picture: a few pixels must not hide all others
_TILE_PX = 128
_NAME = 24  # columns of a table, in characters
_SMALLEST_ERROR = 1e-9  # of a curve's height: where all fields agree, rounding alone would be the clearest difference


@dataclass(frozen=True, slots=True)
class PairedReading:
    """One reading of the fields and of their reconstructions.

    Attributes:
        name: of the reading; of a curve with the place where the two differ most.
        unit: its unit.
        measured: mean over the fields that have it, before and after.
        reconstructed: mean over the same.
        difference: mean of reconstructed less measured, and the ends of its 95 % interval.
        margin: up to which users of the specimen would call the two the same; None where none is stated.
        n: fields that have it before and after.
        lost: fields that have it before only.
        gained: fields that have it after only.
    """

    name: str
    unit: str
    measured: float
    reconstructed: float
    difference: tuple[float, float, float]
    margin: float | None
    n: int
    lost: int = 0
    gained: int = 0

    @property
    def verdict(self) -> str:
        """Whether it lies within the margin (=), beyond it (≠) or neither for certain (?); "" without a margin."""
        _, low, high = self.difference
        if self.margin is None:
            return ""
        if -self.margin <= low and high <= self.margin:
            return "="
        return "≠" if low > self.margin or high < -self.margin else "?"


@dataclass(frozen=True, slots=True)
class Losses:
    """What was measured.

    Attributes:
        likeness: PSNR and LPIPS by their names: value and ends of the interval.
        readings: of the specimen.
        fields: how many.
        notes: what could not be measured, and why.
    """

    likeness: dict[str, tuple[float, float, float]]
    readings: tuple[PairedReading, ...]
    fields: int
    notes: tuple[str, ...]


def measure_losses(
    measured: Pictures,
    reconstructed: Pictures,
    *,
    specimen: str,
    intensity: IntensityMap,
    learnt_through: str = "",
    seed: int = 0,
) -> Losses:
    """PSNR, LPIPS and the descriptors of a kind of specimen, measured against reconstructed.

    Args:
        measured: fields of one size.
        reconstructed: their reconstructions, in the same order.
        specimen: kind of specimen, "rock".
        intensity: range of grey levels of PSNR and LPIPS, that of the run.
        learnt_through: the network whose sight the autoencoder was trained to please; LPIPS looks through the other
            one.
        seed: of the bootstrap.

    Raises:
        Problem: an unknown kind, fewer than two fields, or images that it cannot tell phases in.
    """
    kind = kind_of_specimen(specimen)
    if len(measured) < FEWEST_FIELDS:
        raise Problem("one field gives no interval", do="give more images, or larger ones")
    groups = tuple(p.origin.specimen for p in measured)
    likeness: dict[str, tuple[float, float, float]] = {}
    notes: list[str] = []
    psnr = _psnr(measured, reconstructed, intensity)
    if np.isfinite(psnr).all():
        likeness["PSNR (dB)"] = _estimate(psnr, groups, seed)
    else:
        notes.append("PSNR: some reconstructions are exact")
    try:
        lpips = Measure(measured[0].size, "vgg16" if learnt_through == "alexnet" else "alexnet")
        values = lpips.between(measured=measured, generated=reconstructed, intensity=intensity)
        likeness[lpips.name] = _estimate(values, groups, seed)
    except Problem as problem:
        notes.append(str(problem))
    segmentation = fit_segmentation(kind.segmentation, measured, kind.phase_is)
    notes.append(f"Pixels {segmentation.words}, in both sets alike.")
    before, after = physics(
        [ComparedSet("measured", "measured", measured), ComparedSet("reconstructed", "generated", reconstructed)],
        kind, segmentation,
    )  # fmt: skip
    readings = []
    for name, scalars in before.scalars.items():
        one, other = (
            np.array([math.nan if s.value is None else s.value for s in found.scalars[name]])
            for found in (before, after)
        )
        both = np.isfinite(one) & np.isfinite(other)
        if both.sum() < FEWEST_FIELDS:
            notes.append(f"{name}: {next((s.invalid for s in scalars if s.invalid), 'lost in the reconstructions')}")
            continue
        x, y = one[both], other[both]
        readings.append(
            PairedReading(
                name=name,
                unit=scalars[0].unit,
                measured=float(x.mean()),
                reconstructed=float(y.mean()),
                difference=_estimate(y - x, [g for g, kept in zip(groups, both, strict=True) if kept], seed),
                margin=kind.margin(name).absolute(float(x.mean()), float(x.std(ddof=1))),
                n=int(both.sum()),
                lost=int((np.isfinite(one) & ~np.isfinite(other)).sum()),
                gained=int((~np.isfinite(one) & np.isfinite(other)).sum()),
            )
        )
    curves = [_curve(name, before, after, groups, seed) for name in before.curves]
    readings += [curve for curve in curves if curve is not None]
    if None in curves:
        notes.append(f"{curves.count(None)} of {len(curves)} curves differ nowhere for certain, and are not listed.")
    return Losses(likeness, tuple(readings), len(measured), tuple(notes))


def print_losses(losses: Losses, console: Console) -> None:
    """Print what was measured: likeness, then a line a reading."""
    for name, estimate in losses.likeness.items():
        console.print(Text(f"{name}: {rounded(*estimate)} over {losses.fields} fields"))
    title = Text("\nReconstructed less measured, on the same fields", style="bold not italic")
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False,
                  padding=(0, 1, 0, 0))  # fmt: skip
    table.add_column("descriptor", min_width=_NAME, overflow="fold")
    for column in ("before", "after", "difference [95 %]", "margin", "fields"):
        table.add_column(column, overflow="fold")
    for r in losses.readings:
        style = {"=": "green", "≠": "red", "?": "yellow"}.get(r.verdict, "")
        counts = f"{r.n}" + (f", {r.lost} lost" if r.lost else "") + (f", {r.gained} gained" if r.gained else "")
        table.add_row(
            Text(f"{r.name} ({r.unit})" if r.unit else r.name),
            number(r.measured),
            number(r.reconstructed),
            Text(f"{r.verdict} {rounded(*r.difference)}".strip(), style=style),
            "" if r.margin is None else number(r.margin),
            counts,
        )
    console.print(table)
    console.print(Text("= within the margin of the specimen; ≠ beyond it; ? these fields cannot decide.", style="dim"))
    for note in losses.notes:
        console.print(Text(note, style="dim"))


def write_reconstructions(measured: Pictures, reconstructed: Pictures, path: Path) -> float:
    """Draw the first fields: measured, reconstructed, and their difference about mid grey.

    Returns:
        The difference in grey levels that is drawn white; its negative is drawn black.

    Raises:
        Problem: the file cannot be written.
    """
    count = min(SHOWN, len(measured))
    truth, made = ([pictures[k] for k in range(count)] for pictures in (measured, reconstructed))
    grey = grey_scale(truth)
    differences = [other.grey - one.grey for one, other in zip(truth, made, strict=True)]
    end = float(np.percentile(np.abs(np.stack(differences)), _SEEN_PERCENT))
    end = float(f"{end:.2g}") if end > 0 else 1.0
    middle, half = (grey.low + grey.high) / 2, (grey.high - grey.low) / 2
    drawn = [_as_picture(p, middle + d / end * half) for p, d in zip(truth, differences, strict=True)]
    rows = {"measured": truth, "reconstructed": made, f"difference ±{end:g}": drawn}
    figure = specimen_figure(rows, grey, truth[0].spacing_um[1], _TILE_PX)
    write_whole(path, lambda temporary: temporary.write_bytes(png_bytes(figure)))
    return end


def _as_picture(like: Picture, grey: NDArray[np.float64]) -> Picture:
    return replace(like, pixels=grey[None].astype(np.float32), mask=None)


def _psnr(measured: Pictures, reconstructed: Pictures, intensity: IntensityMap) -> NDArray[np.float64]:
    found = []
    for one, other in zip(measured, reconstructed, strict=True):
        rms = float(np.sqrt(np.mean((other.pixels.astype(np.float64) - one.pixels.astype(np.float64)) ** 2)))
        found.append(20 * math.log10((intensity.high - intensity.low) / rms) if rms else math.inf)
    return np.array(found)


def _estimate(values: NDArray[np.float64], groups: Sequence[str], seed: int) -> tuple[float, float, float]:
    """Mean and the ends of its 95 % interval."""
    draws = mean_replicates(values, groups, _RESAMPLES, seed, Use.WEIGHTS_OF_PAIRED)
    found = Replicates.around(float(values.mean()), draws, len(values), len(values)).estimate
    return found.value, found.low, found.high


def _curve(name: str, before: SetPhysics, after: SetPhysics, groups: Sequence[str], seed: int) -> PairedReading | None:
    """Where mean curves of the fields that have both differ most clearly; None where they nowhere do for certain."""
    both = list(zip(before.curves[name], after.curves[name], groups, strict=True))
    pairs = [(one.y, other.y, group) for one, other, group in both if one.y is not None and other.y is not None]
    if len(pairs) < FEWEST_FIELDS:
        return None
    x, y = np.stack([one for one, _, _ in pairs]), np.stack([other for _, other, _ in pairs])
    mean = (y - x).mean(axis=0)
    draws = mean_replicates(y - x, [group for _, _, group in pairs], _RESAMPLES, seed, Use.WEIGHTS_OF_PAIRED) - mean
    error = draws.std(axis=0)
    error = np.where(error > _SMALLEST_ERROR * max(float(np.abs(x).max()), float(error.max())), error, np.inf)
    wide = float(np.quantile((np.abs(draws) / error).max(axis=1), 0.95))
    place, first = int((np.abs(mean) / error).argmax()), both[0][0]
    half = wide * float(error[place])
    if not half < abs(mean[place]) or not math.isfinite(half):
        return None
    return PairedReading(
        name=f"{name}, clearest at {first.x_name} {number(float(first.x[place]))} {first.x_unit}".rstrip(),
        unit=first.unit,
        measured=float(x[:, place].mean()),
        reconstructed=float(y[:, place].mean()),
        difference=(float(mean[place]), float(mean[place]) - half, float(mean[place]) + half),
        margin=None,
        n=len(pairs),
        lost=sum(one.y is not None and other.y is None for one, other, _ in both),
        gained=sum(one.y is None and other.y is not None for one, other, _ in both),
    )
