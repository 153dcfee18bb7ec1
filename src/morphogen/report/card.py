"""What ``describe`` says of an image set, as records."""

from typing import Literal

from pydantic import Field

from morphogen.evaluation.records import Record


class Fact(Record):
    """One descriptor over the fields of a set: mean and standard deviation between fields, with its unit.

    ``values`` are those of the fields; ``invalid`` says why the other ``n_invalid`` have none.
    """

    name: str
    unit: str
    mean: float
    spread: float
    fields: int
    values: tuple[float, ...] = ()
    n_invalid: int = 0
    invalid: str = ""


class Histogram(Record):
    """Pixels of one channel in equal bins between two grey levels."""

    channel: str
    low: float
    high: float
    counts: tuple[int, ...]


class LabelFact(Record):
    """A label of the images: how many have each of its values, or the range of its numbers."""

    name: str
    images: int
    classes: dict[str, int] = Field(default_factory=dict)
    low: float | None = None
    high: float | None = None


class CorrelationFact(Record):
    """How far something is alike within an image; lags in pixels (the smaller side of one).

    Attributes:
        of: "grey levels", or the phase.
        length_px: where the mean autocovariance is down to 1/e; None where it reaches further than the windows.
        integral_range_px2: its integral over the plane, in square pixels; None where it is further out.
        pixel_um: the smaller side of a pixel in micrometres; None where unknown.
        windows: how many images it was read from, in windows of ``window_px``.
        lags: of the curve, in pixels.
        mean: the curve.
        low: of single images, 10 % quantile.
        high: of single images, 90 % quantile.
    """

    of: str
    length_px: float | None
    integral_range_px2: float | None
    pixel_um: float | None
    windows: int
    window_px: tuple[int, int]
    lags: tuple[float, ...]
    mean: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]


class SlicesFact(Record):
    """How alike neighbouring slices are.

    Attributes:
        volumes: stacks of slices.
        slices: slices in all of them.
        as_files: whether they are files that look like slices of one volume, and count as specimens of their own.
        apart: distances that were looked at.
        correlation: mean correlation at each.
        alike: how many slices stand for one.
    """

    volumes: int
    slices: int
    as_files: bool
    apart: tuple[int, ...]
    correlation: tuple[float, ...]
    alike: float


class Flagged(Record):
    """An image with something to look at: its number, its name, and how much of it."""

    image: int
    name: str
    value: float = 0.0


class PairFact(Record):
    """Two images that overlap; see ``evaluation.duplicates.NearPair``. ``residual`` is at full resolution."""

    first: int
    second: int
    names: tuple[str, str]
    likeness: float
    overlap: float
    down: int
    right: int
    turns: int
    mirrored: bool
    residual: float | None = None


class ArtefactFact(Record):
    """A row, column or ring of one image; see ``mathematics.stripes_and_rings.Line``."""

    image: int
    name: str
    kind: Literal["row", "column", "ring"]
    place: float
    width: int
    excess: float
    score: float


class Leaks(Record):
    """What two sets have in common that should have nothing; see ``evaluation.leaks``.

    Attributes:
        other: name of the other set.
        other_images: its size.
        specimens: names of specimens in both, whose images are not known to lie apart.
        overlapping: images whose regions of one source overlap.
        neighbouring: slices of one volume next to each other.
        smallest_gap_px: between regions of one source.
        identical: the same image in both, by their names.
        near: images that overlap by what they show.
    """

    other: str
    other_images: int
    specimens: tuple[str, ...]
    overlapping: int
    neighbouring: int
    smallest_gap_px: int | None
    identical: tuple[tuple[str, str], ...]
    near: tuple[PairFact, ...]

    @property
    def any(self) -> bool:
        """Whether there is a leak at all."""
        return bool(self.specimens or self.overlapping or self.neighbouring or self.identical or self.near)


class Advice(Record):
    """What is sensible with this set: about what, in words, and by which rule of docs/describe.md."""

    about: str
    words: str
    rule: int
    warning: bool = False


class Card(Record):
    """What is in an image set.

    Attributes:
        name: what the set is called.
        fingerprint: hash of its contents.
        images: number of images.
        looked_at: how many of them had their pixels looked at, and by what rule.
        specimens: number of specimens.
        sizes: "height x width" to how many images have it.
        file_types: ending of the file names to how many images have it.
        channels: 1 for grey, 3 for RGB.
        pixel_type: type of a pixel.
        spacing_um: pixel sizes (height, width) that occur; NaN where unknown.
        masks: images with a mask.
        mask_shares: smallest, mean and largest share of a mask in its image; None where there are none.
        captions: images with a caption.
        caption_examples: a few of them.
        labels: other labels.
        grey: smallest and largest grey level, and those that 0.1 and 99.9 % of the pixels stay below.
        levels: how many different grey levels occur; None for floats.
        saturated: share of pixels at the smallest or the largest value of an integer type.
        clipped: images with much of themselves at the smallest or largest grey level of the set.
        constant: images that show nothing.
        histogram: counts in equal bins from the smallest to the largest grey level.
        histograms: of each channel.
        crop_px: height and width of a field.
        independent_fields: fields of view that the set has room for, overlaps counted once.
        correlations: how far grey levels and the phase are alike.
        slices: how alike neighbouring slices are, where there are any.
        really_independent: fields of view, with slices that are alike counted once.
        pieces: independent pieces that the images hold: their area over the integral range.
        kind: kind of specimen, or empty.
        segmentation: how the phase of interest is told; empty without a kind.
        phase: name of the phase of interest; empty without a kind.
        facts: descriptors with their spread between fields.
        identical: groups of images with the same pixels, by name.
        near: pairs of images that overlap.
        near_looked_at: images among which overlaps were sought.
        artefacts: rows, columns and rings that stand out.
        artefacts_looked_at: images in which they were sought.
        split: how the set would be split into training and held-out images.
        leaks: what it has in common with another set, where one was given.
        advice: what is sensible.
    """

    name: str
    fingerprint: str
    images: int
    looked_at: int
    specimens: int
    sizes: dict[str, int]
    file_types: dict[str, int]
    channels: int
    pixel_type: str
    spacing_um: tuple[tuple[float, float], ...]
    masks: int
    mask_shares: tuple[float, float, float] | None
    captions: int
    caption_examples: tuple[str, ...]
    labels: tuple[LabelFact, ...]
    grey: tuple[float, float, float, float]
    levels: int | None
    saturated: float
    clipped: tuple[Flagged, ...]
    constant: tuple[Flagged, ...]
    histogram: tuple[int, ...]
    histograms: tuple[Histogram, ...]
    crop_px: tuple[int, int]
    independent_fields: float
    correlations: tuple[CorrelationFact, ...]
    slices: SlicesFact | None
    really_independent: float
    pieces: float | None
    kind: str
    segmentation: str
    phase: str
    facts: tuple[Fact, ...]
    identical: tuple[tuple[str, ...], ...]
    near: tuple[PairFact, ...]
    near_looked_at: int
    artefacts: tuple[ArtefactFact, ...]
    artefacts_looked_at: int
    split: str
    leaks: Leaks | None
    advice: tuple[Advice, ...] = ()
