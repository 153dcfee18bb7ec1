"""A card for an image set: what is there, and how much of it is really independent."""

import math
from collections import Counter

import numpy as np
from rich.console import Console
from rich.table import Table

from morphogen.evaluation.descriptors.descriptor import descriptor
from morphogen.evaluation.fields import fields
from morphogen.evaluation.records import Record
from morphogen.evaluation.section import Section
from morphogen.evaluation.segmentation.segmentation import fit_segmentation
from morphogen.images.cropping import independent_fields, require_room
from morphogen.images.image_set import ImageSet, grey_levels
from morphogen.images.splitting import split
from morphogen.problems import Problem
from morphogen.specimens.specimen import Specimen
from morphogen.specimens.specimen import specimen as kind_of_specimen

BLOCKS = " ▁▂▃▄▅▆▇█"
HISTOGRAM_BINS = 48


class Fact(Record):
    """One descriptor over the fields of a set: mean and standard deviation between fields, with its unit."""

    name: str
    unit: str
    mean: float
    spread: float
    fields: int


class Card(Record):
    """What is in an image set.

    Attributes:
        name: what the set is called.
        fingerprint: hash of its contents.
        images: number of images.
        specimens: number of specimens.
        sizes: "height x width" to how many images have it.
        channels: 1 for grey, 3 for RGB.
        pixel_type: type of a pixel.
        spacing_um: pixel sizes (height, width) that occur; NaN where unknown.
        grey: smallest and largest grey level, and those that 0.1 and 99.9 % of the pixels stay below.
        saturated: share of pixels at the smallest or the largest value of an integer type.
        histogram: counts in equal bins from the smallest to the largest grey level.
        crop_px: height and width of a field.
        independent_fields: fields of view that the set has room for, overlaps counted once.
        segmentation: how the phase of interest is told.
        phase: name of the phase of interest.
        facts: descriptors with their spread between fields.
        split: how the set would be split into training and held-out images.
    """

    name: str
    fingerprint: str
    images: int
    specimens: int
    sizes: dict[str, int]
    channels: int
    pixel_type: str
    spacing_um: tuple[tuple[float, float], ...]
    grey: tuple[float, float, float, float]
    saturated: float
    histogram: tuple[int, ...]
    crop_px: tuple[int, int]
    independent_fields: float
    segmentation: str
    phase: str
    facts: tuple[Fact, ...]
    split: str


def describe(
    images: ImageSet,
    *,
    specimen: str = "rock",
    crop: tuple[int, int] = (64, 64),
    segmentation: str | None = None,
    fields_at_most: int = 256,
) -> Card:
    """Describe an image set.

    Args:
        images: the set.
        specimen: kind of specimen; says which phase is of interest and which descriptors matter.
        crop: height and width of a field in pixels.
        segmentation: how the phase is told; by default as the kind says.
        fields_at_most: descriptors are computed on at most so many fields.

    Raises:
        Problem: an unknown kind, or images smaller than a field.
    """
    kind = kind_of_specimen(specimen)
    require_room(images, crop)
    grey = grey_levels(images)
    low, high = float(grey.min()), float(grey.max())
    first = images[0]
    limits = {"uint8": (0, 255), "uint16": (0, 65535)}.get(first.pixels.dtype.name)
    ends = 0.0 if limits is None else float(np.mean((grey <= limits[0]) | (grey >= limits[1])))
    percentiles = np.percentile(grey, (0.1, 99.9))
    cut = fields(images, crop, fields_at_most)
    fitted = fit_segmentation(segmentation or kind.segmentation, cut, kind.phase_is)
    readings: dict[tuple[str, str], list[float]] = {}
    for section in (Section.of(picture, fitted) for picture in cut):
        for name in kind.descriptors:
            for reading, scalar in descriptor(name)(section).scalars.items():
                if scalar.value is not None:
                    readings.setdefault((_named(reading, kind), scalar.unit), []).append(scalar.value)
    try:
        how = split(images, crop=crop).how
    except Problem as problem:
        how = f"not possible: {problem}"
    return Card(
        name=getattr(images, "name", "images"),
        fingerprint=images.fingerprint,
        images=len(images),
        specimens=len({picture.origin.specimen for picture in images}),
        sizes=dict(Counter(f"{p.size[0]} x {p.size[1]}" for p in images)),
        channels=first.channels,
        pixel_type=first.pixels.dtype.name,
        spacing_um=tuple(dict.fromkeys(_comparable(picture.spacing_um) for picture in images)),
        grey=(low, high, float(percentiles[0]), float(percentiles[1])),
        saturated=ends,
        histogram=tuple(int(n) for n in np.histogram(grey, HISTOGRAM_BINS, (low, max(high, low + 1e-9)))[0]),
        crop_px=crop,
        independent_fields=independent_fields(images, crop),
        segmentation=fitted.words,
        phase=kind.phase,
        facts=tuple(
            Fact(
                name=name,
                unit=unit,
                mean=float(np.mean(v)),
                spread=float(np.std(v, ddof=1)) if len(v) > 1 else math.nan,
                fields=len(v),
            )
            for (name, unit), v in readings.items()
        ),
        split=how,
    )


def print_card(card: Card, console: Console | None = None) -> None:
    """Print a card on the terminal."""
    console = console or Console()
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    table.add_column(style="bold", no_wrap=True)
    table.add_column()
    sizes = ", ".join(f"{count} of {size}" for size, count in sorted(card.sizes.items())[:4])
    more = "" if len(card.sizes) <= 4 else f" and {len(card.sizes) - 4} more sizes"
    colour = {1: "grey", 3: "RGB"}.get(card.channels, f"{card.channels} channels")
    table.add_row(card.name, f"fingerprint {card.fingerprint}")
    table.add_row("images", f"{card.images}, {sizes}{more}; {colour}, {card.pixel_type}")
    table.add_row("specimens", str(card.specimens))
    table.add_row("pixel size", "; ".join(_spacing_words(s) for s in card.spacing_um[:3]))
    low, high, first, last = card.grey
    saturated = f"; {card.saturated:.2%} of the pixels at the ends of the type" if card.saturated > 1e-4 else ""
    table.add_row("grey levels", f"{low:g} to {high:g}, 99.8 % within {first:g} to {last:g}{saturated}")
    table.add_row("", _sparkline(card.histogram))
    height, width = card.crop_px
    table.add_row("fields", f"room for {card.independent_fields:.0f} independent fields of {height} x {width} pixels")
    table.add_row("split", card.split)
    table.add_row("segmentation", f"{card.phase}: pixels {card.segmentation}")
    console.print(table)
    facts = Table(title=f"Descriptors over fields of {height} x {width}", title_justify="left", box=None)
    for column in ("descriptor", "mean", "spread between fields", "unit", "fields"):
        facts.add_column(column, justify="left" if column in ("descriptor", "unit") else "right")
    for fact in card.facts:
        facts.add_row(fact.name, f"{fact.mean:.4g}", f"{fact.spread:.3g}", fact.unit, str(fact.fields))
    console.print(facts)


def _named(reading: str, kind: Specimen) -> str:
    return kind.fraction if reading == "phase fraction" else reading


def _sparkline(histogram: tuple[int, ...]) -> str:
    tallest = max(histogram) or 1
    return "".join(BLOCKS[math.ceil(n / tallest * (len(BLOCKS) - 1))] for n in histogram)


def _spacing_words(spacing: tuple[float, float]) -> str:
    height, width = spacing
    if not (math.isfinite(height) and math.isfinite(width)):
        return "unknown (give it with --pixel-size)"
    return f"{height:g} um" if height == width else f"{height:g} x {width:g} um (height x width)"


def _comparable(spacing: tuple[float, float]) -> tuple[float, float]:
    """NaN is not equal to NaN; one and the same NaN is the same key."""
    return (
        spacing[0] if math.isfinite(spacing[0]) else math.nan,
        spacing[1] if math.isfinite(spacing[1]) else math.nan,
    )
