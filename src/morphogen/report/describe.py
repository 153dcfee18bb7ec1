"""A card for an image set: what is there, how much of it is really independent, and what is wrong with it.

Every image is counted. Pixels are looked at image by image, and of large sets by these rules: grey levels and identical
images in ``LOOKED_AT`` images, evenly spread; overlaps in ``NEAR`` images, in runs of four neighbours, as those are
most often alike; stripes and rings in at most ``ARTEFACTS`` images and ``ARTEFACT_PIXELS`` pixels; correlation in
windows of at most ``WINDOW_PX`` of ``WINDOWS`` images; descriptors in fields of ``FIELD_IMAGES`` images. The card
says how many.
"""

import math
import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from morphogen.evaluation.descriptors.descriptor import fitted_descriptor
from morphogen.evaluation.descriptors.two_point_correlation import Correlation, two_point_correlation
from morphogen.evaluation.duplicates import (
    NearPair,
    Small,
    content_key,
    factor_for,
    identical,
    near_duplicates,
    residual_of,
    small,
)
from morphogen.evaluation.fields import fields
from morphogen.evaluation.grey_correlation import (
    SMALLEST_WINDOW,
    GreyCorrelation,
    alike_slices,
    correlation_of_slices,
    grey_correlation,
    mean_correlation,
)
from morphogen.evaluation.leaks import Seen, shared_origin
from morphogen.evaluation.memorisation import FEATURELESS
from morphogen.evaluation.section import Section
from morphogen.evaluation.segmentation.segmentation import Segmentation, fit_segmentation
from morphogen.images.conditions import CAPTION, FREE_TEXT, MOST_CLASSES
from morphogen.images.cropping import independent_fields, require_room
from morphogen.images.image_set import ImageSet, Pictures
from morphogen.images.picture import Picture
from morphogen.images.splitting import looks_like_slices, split
from morphogen.mathematics.stripes_and_rings import stripes_and_rings
from morphogen.problems import Problem
from morphogen.progress import track
from morphogen.report.advice import advice
from morphogen.report.card import (
    ArtefactFact,
    Card,
    CorrelationFact,
    Fact,
    Flagged,
    Histogram,
    LabelFact,
    Leaks,
    PairFact,
    SlicesFact,
)
from morphogen.specimens.specimen import TEXTURE, Specimen
from morphogen.specimens.specimen import specimen as kind_of_specimen

LOOKED_AT = 256
NEAR = 96
ARTEFACTS = 24
ARTEFACT_PIXELS = 12_000_000
WINDOWS = 24
WINDOW_PX = 512
FIELD_IMAGES = 64
SLICE_STARTS = 12
SLICE_PX = 192

HISTOGRAM_BINS = 96
DEFAULT_CROP = 64
LEVELS_A_PICTURE = 4096
"""Grey levels of a picture of floats that go into the histogram, evenly spread; all of those of whole numbers do."""

CLIPPED = 0.01
"""Share of an image at one end of the grey levels of the set above which it is said to be clipped there."""

FEWEST_LEVELS = 8
"""With fewer grey levels a set is a segmentation, and no image is clipped."""

PAIRS_TOLD = 24

FULL = {"uint8": (0, 255), "uint16": (0, 65535)}
"""Smallest and largest value of the types of whole numbers."""


def describe(
    images: ImageSet,
    *,
    specimen: str | None = None,
    crop: tuple[int, int] | None = None,
    segmentation: str | None = None,
    fields_at_most: int = 256,
    against: ImageSet | None = None,
) -> Card:
    """Describe an image set.

    Args:
        images: the set.
        specimen: kind of specimen; says which phase is of interest and which descriptors matter. Without one, those of
            the texture are read.
        crop: height and width of a field in pixels; by default ``DEFAULT_CROP``, or as much as the images have room
            for.
        segmentation: how the phase is told; by default from the masks, if all images have one, or as the kind says.
        fields_at_most: descriptors are computed on at most so many fields.
        against: another set, of which nothing should be in this one: held-out images.

    Raises:
        Problem: an unknown kind, or images smaller than a field that was asked for.
    """
    kind = kind_of_specimen(specimen) if specimen is not None else None
    if segmentation is not None and kind is None:
        raise Problem("a segmentation tells a phase, and no kind says which", do="give a kind of specimen too")
    told = _Told()
    for picture in images:
        told.add(picture)
    if crop is None:
        side = min(DEFAULT_CROP, *(n for size in told.sizes for n in size))
        crop = (side, side)
    else:
        require_room(images, crop)
    plan = _Plan.of(told)
    seen = _Pixels(told, plan, crop, max(1, math.ceil(fields_at_most / max(1, len(plan.fields)))))
    for number in track(plan.union, "Looking at the images"):
        seen.look(number, images[number])
    levels = seen.levels
    slices = _slices(images, told)
    alike = slices.alike if slices is not None else 1.0
    phase = _Phase.of(kind, segmentation, seen, told) if kind is not None else None
    correlations = [c for c in (seen.correlation(told), phase.correlation(seen, told) if phase else None) if c]
    room = independent_fields(images, crop)
    shortest = next((c.integral_range_px2 for c in reversed(correlations) if c.integral_range_px2), None)
    same = identical(seen.keys)
    near = _near(near_duplicates(seen.small), plan, images, told.names, same)
    # Of what was looked at, the share that is there for the first time.
    once = 1 - min(0.99, sum(len(g) - 1 for g in same) / len(plan.levels) + _seen_again(near) / len(plan.near))
    try:
        how = split(images, crop=crop).how
    except Problem as problem:
        how = f"not possible: {problem}"
    card = Card(
        name=getattr(images, "name", "images"),
        fingerprint=images.fingerprint,
        images=len(told.origins),
        looked_at=len(plan.levels),
        specimens=len({seen_.origin.specimen for seen_ in told.origins}),
        sizes=dict(Counter(f"{h} x {w}" for h, w in told.sizes)),
        file_types=dict(Counter(told.endings)),
        channels=told.channels,
        pixel_type=told.pixel_type,
        spacing_um=tuple(dict.fromkeys(told.spacings)),
        masks=len(told.masks),
        mask_shares=seen.mask_shares,
        captions=len(told.captions),
        caption_examples=tuple(dict.fromkeys(told.captions))[:3],
        labels=told.label_facts(),
        grey=levels.grey,
        levels=levels.count,
        saturated=levels.at_ends(FULL.get(told.pixel_type)),
        clipped=seen.clipped(),
        constant=seen.constant(),
        histogram=levels.histograms[0].counts,
        histograms=tuple(levels.histograms),
        crop_px=crop,
        independent_fields=room,
        correlations=tuple(correlations),
        slices=slices,
        really_independent=room * once / alike,
        pieces=room * once * crop[0] * crop[1] / alike / shortest if shortest else None,
        kind=kind.name if kind else "",
        segmentation=phase.segmentation.words if phase else "",
        phase=kind.phase if kind else "",
        facts=_facts(seen.fields, kind, phase),
        identical=tuple(tuple(told.names[plan.levels[i]] for i in g) for g in same),
        near=near,
        near_looked_at=len(plan.near),
        artefacts=tuple(seen.artefacts),
        artefacts_looked_at=len(plan.artefacts),
        split=how,
        leaks=_leaks(images, told, against, alike) if against is not None else None,
    )
    return card.model_copy(update={"advice": advice(card, kind)})


@dataclass
class _Told:
    """What is known of all images without looking at their pixels."""

    sizes: list[tuple[int, int]] = field(default_factory=list)
    origins: list[Seen] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    spacings: list[tuple[float, float]] = field(default_factory=list)
    endings: list[str] = field(default_factory=list)
    captions: list[str] = field(default_factory=list)
    masks: list[int] = field(default_factory=list)
    labels: dict[str, list[str | float]] = field(default_factory=lambda: defaultdict(list))
    channels: int = 0
    pixel_type: str = ""

    def add(self, picture: Picture) -> None:
        number = len(self.sizes)
        self.channels, self.pixel_type = picture.channels, picture.pixels.dtype.name
        self.sizes.append(picture.size)
        self.origins.append(Seen(picture.origin, picture.size))
        self.names.append(picture_name(picture, number))
        self.spacings.append(_comparable(picture.spacing_um))
        file = str(picture.labels.get("file", picture.origin.source))
        if ending := re.search(r"\.[A-Za-z0-9]{1,5}$", file):
            self.endings.append(ending.group().lower())
        if picture.mask is not None:
            self.masks.append(number)
        for name, value in picture.labels.items():
            if name == CAPTION:
                self.captions.append(str(value))
            elif name not in FREE_TEXT:
                self.labels[name].append(value)

    def label_facts(self) -> tuple[LabelFact, ...]:
        found = []
        for name, values in self.labels.items():
            numbers = [v for v in values if isinstance(v, int | float)]
            if len(numbers) == len(values):
                found.append(LabelFact(name=name, images=len(values), low=min(numbers), high=max(numbers)))
                continue
            counts = Counter(map(str, values))
            classes = dict(sorted(counts.items())) if len(counts) <= MOST_CLASSES else {}
            found.append(LabelFact(name=name, images=len(values), classes=classes))
        return tuple(found)

    @property
    def pixel(self) -> tuple[float, float]:
        """Height and width of a pixel over the smaller of both; 1 where sizes are unknown or differ."""
        height, width = self.spacings[0]
        known = len(set(self.spacings)) == 1 and math.isfinite(height) and math.isfinite(width)
        return (height / min(height, width), width / min(height, width)) if known else (1.0, 1.0)

    @property
    def pixel_um(self) -> float | None:
        """The smaller side of a pixel, where it is known and the same for all."""
        height, width = self.spacings[0]
        known = len(set(self.spacings)) == 1 and math.isfinite(height) and math.isfinite(width)
        return min(height, width) if known else None


@dataclass(frozen=True)
class _Plan:
    """Which images are looked at for what, by their numbers."""

    levels: list[int]
    near: list[int]
    artefacts: list[int]
    windows: list[int]
    fields: list[int]

    @classmethod
    def of(cls, told: _Told) -> "_Plan":
        count = len(told.sizes)
        most = max(3, ARTEFACT_PIXELS // max(h * w for h, w in told.sizes))
        return cls(
            levels=spread(count, LOOKED_AT),
            near=runs(count, NEAR),
            artefacts=spread(count, min(ARTEFACTS, most)),
            windows=spread(count, WINDOWS),
            fields=spread(count, FIELD_IMAGES),
        )

    @property
    def union(self) -> list[int]:
        return sorted({*self.levels, *self.near, *self.artefacts, *self.windows, *self.fields})


class _Levels:
    """Grey levels of all images that were looked at, by counting."""

    def __init__(self, channels: int, pixel_type: str) -> None:
        self.pixel_type = pixel_type
        self.names = {1: ["grey"], 3: ["red", "green", "blue"]}.get(
            channels, [f"channel {c + 1}" for c in range(channels)]
        )
        whole = pixel_type in FULL
        self._counts = [np.zeros(FULL[pixel_type][1] + 1, np.int64) for _ in self.names] if whole else []
        self._samples: list[list[NDArray[np.float64]]] = [[] for _ in self.names]
        self._ends = [math.inf, -math.inf]

    def add(self, picture: Picture) -> None:
        for c, channel in enumerate(picture.pixels):
            self._ends = [min(self._ends[0], float(channel.min())), max(self._ends[1], float(channel.max()))]
            if self._counts:
                self._counts[c] += np.bincount(channel.ravel(), minlength=len(self._counts[c]))
            else:
                step = max(1, channel.size // LEVELS_A_PICTURE)
                self._samples[c].append(channel.ravel()[::step].astype(np.float64))

    @property
    def grey(self) -> tuple[float, float, float, float]:
        low, high = self._ends
        if self._counts:
            share = np.cumsum(sum(self._counts)) / sum(int(c.sum()) for c in self._counts)
            first, last = (float(np.searchsorted(share, q)) for q in (0.001, 0.999))
        else:
            values = np.concatenate([v for of in self._samples for v in of])
            first, last = (float(q) for q in np.quantile(values, (0.001, 0.999)))
        return low, high, first, last

    @property
    def count(self) -> int | None:
        return int(np.count_nonzero(sum(self._counts))) if self._counts else None

    def at_ends(self, limits: tuple[int, int] | None) -> float:
        if limits is None:
            return 0.0
        total = np.sum(self._counts, axis=0)
        return float((total[limits[0]] + total[limits[1]]) / total.sum())

    @property
    def histograms(self) -> list[Histogram]:
        low, high = self._ends
        found = []
        for c, name in enumerate(self.names):
            if self._counts:
                # Whole numbers go whole into bins of equal width, or the histogram would have teeth.
                width = max(1, math.ceil((high - low + 1) / HISTOGRAM_BINS))
                bins = math.ceil((high - low + 1) / width)
                counts = np.zeros(bins * width, np.int64)
                part = self._counts[c][int(low) : int(high) + 1]
                counts[: len(part)] = part
                edges = (low, low + bins * width)
                binned = counts.reshape(bins, width).sum(axis=1)
            else:
                edges = (low, high if high > low else low + 1)
                binned = np.histogram(np.concatenate(self._samples[c]), HISTOGRAM_BINS, edges)[0]
            found.append(Histogram(channel=name, low=edges[0], high=edges[1], counts=tuple(int(n) for n in binned)))
        return found


class _Pixels:
    """What is seen of the images one by one; only small things are kept."""

    def __init__(self, told: _Told, plan: _Plan, crop: tuple[int, int], fields_each: int) -> None:
        self.told, self.plan, self.crop, self.fields_each = told, plan, crop, fields_each
        self.levels = _Levels(told.channels, told.pixel_type)
        self.keys: list[tuple[int | str, ...]] = []
        self.ends: list[tuple[int, float, float, float, float, float]] = []
        self.small: list[Small] = []
        self.windows: list[Picture] = []
        self.fields: list[Picture] = []
        self.artefacts: list[ArtefactFact] = []
        self._chi: list[GreyCorrelation] = []
        self._shares: list[float] = []
        sizes = [told.sizes[i] for i in plan.windows]
        self.window = (min(WINDOW_PX, *(h for h, _ in sizes)), min(WINDOW_PX, *(w for _, w in sizes)))
        self.factor = factor_for(max(max(told.sizes[i]) for i in plan.near))
        self._wanted = {name: set(getattr(plan, name)) for name in ("levels", "near", "artefacts", "windows", "fields")}

    def look(self, number: int, picture: Picture) -> None:
        name, wanted = self.told.names[number], self._wanted
        if number in wanted["levels"]:
            self.levels.add(picture)
            self.keys.append(content_key(picture))
            grey = picture.grey
            low, high = float(grey.min()), float(grey.max())
            self.ends.append(
                (number, low, high, float(grey.std()), float(np.mean(grey <= low)), float(np.mean(grey >= high)))
            )
            if picture.mask is not None:
                self._shares.append(float(picture.mask.mean()))
        if number in wanted["near"]:
            origin = picture.origin
            group = f"{origin.specimen}/{origin.source}" if origin.slice is not None else ""
            self.small.append(small(picture, self.factor, group))
        if number in wanted["artefacts"]:
            for line in stripes_and_rings(picture.grey):
                self.artefacts.append(
                    ArtefactFact(
                        image=number, name=name, kind=line.kind, place=line.place, width=line.width, excess=line.excess,
                        score=line.score,
                    )
                )  # fmt: skip
        if number in wanted["windows"] and min(self.window) >= SMALLEST_WINDOW:
            window = _middle(picture, self.window)
            self.windows.append(window)
            chi = grey_correlation(window.grey, self.told.pixel)
            if chi is not None:
                self._chi.append(chi)
        if number in wanted["fields"] and all(n >= m for n, m in zip(picture.size, self.crop, strict=True)):
            self.fields += [_copied(p) for p in fields(Pictures([picture]), self.crop, self.fields_each, seed=number)]

    @property
    def mask_shares(self) -> tuple[float, float, float] | None:
        if not self._shares:
            return None
        return min(self._shares), float(np.mean(self._shares)), max(self._shares)

    def clipped(self) -> tuple[Flagged, ...]:
        """Images of which much lies at one of the ends of the set."""
        low, high, _, _ = self.levels.grey
        if (self.levels.count or FEWEST_LEVELS) < FEWEST_LEVELS:
            return ()
        shares = [
            (number, (at_low if least <= low else 0.0) + (at_high if most >= high else 0.0), spread_)
            for number, least, most, spread_, at_low, at_high in self.ends
        ]
        found = [
            Flagged(image=number, name=self.told.names[number], value=share)
            for number, share, spread_ in shares
            if share > CLIPPED and spread_ > 0
        ]
        return tuple(sorted(found, key=lambda f: -f.value))

    def constant(self) -> tuple[Flagged, ...]:
        """Images that show nothing."""
        _, _, first, last = self.levels.grey
        least = FEATURELESS * (last - first)
        return tuple(
            Flagged(image=number, name=self.told.names[number], value=spread_)
            for number, _, _, spread_, _, _ in self.ends
            if spread_ <= least
        )

    def correlation(self, told: _Told) -> CorrelationFact | None:
        return _correlation_fact("grey levels", self._chi, told, self.window)


@dataclass(frozen=True)
class _Phase:
    """The phase of interest of a kind, and how it is told."""

    kind: Specimen
    segmentation: Segmentation

    @classmethod
    def of(cls, kind: Specimen, called: str | None, seen: _Pixels, told: _Told) -> "_Phase":
        masked = len(told.masks) == len(told.sizes)
        name = called or ("masks" if masked else kind.segmentation)
        return cls(kind, fit_segmentation(name, Pictures(seen.fields), kind.phase_is))

    def correlation(self, seen: _Pixels, told: _Told) -> CorrelationFact | None:
        found = []
        for window in seen.windows:
            phase = self.segmentation.phase(window)
            if 0 < phase.mean() < 1:
                found.append(next(iter(two_point_correlation(phase, told.pixel).values())))
        return _correlation_fact(self.kind.phase, found, told, seen.window)


def _correlation_fact(
    of: str, found: Sequence[Correlation], told: _Told, window: tuple[int, int]
) -> CorrelationFact | None:
    if not found:
        return None
    mean = mean_correlation(found)
    low, high = np.quantile([c.autocovariance for c in found], (0.1, 0.9), axis=0)
    return CorrelationFact(
        of=of,
        length_px=mean.length,
        integral_range_px2=mean.integral_range,
        pixel_um=told.pixel_um,
        windows=len(found),
        window_px=window,
        lags=tuple(mean.lags.tolist()),
        mean=tuple(mean.values.tolist()),
        low=tuple(low.tolist()),
        high=tuple(high.tolist()),
    )


def _facts(cut: Sequence[Picture], kind: Specimen | None, phase: _Phase | None) -> tuple[Fact, ...]:
    if not cut:
        return ()
    if phase is not None:
        sections = [Section.of(picture, phase.segmentation) for picture in cut]
    else:
        sections = [Section(picture, np.zeros(picture.size, bool)) for picture in cut]
    values: dict[tuple[str, str], list[float]] = defaultdict(list)
    reasons: dict[tuple[str, str], list[str]] = defaultdict(list)
    names = kind.descriptors if kind is not None else TEXTURE
    descriptors = [fitted_descriptor(name, sections) for name in names]
    for section in track(sections, "Descriptors"):
        for read in descriptors:
            for reading, scalar in read(section).scalars.items():
                key = (kind.fraction if kind and reading == "phase fraction" else reading, scalar.unit)
                if scalar.value is not None:
                    values[key].append(scalar.value)
                else:
                    reasons[key].append(scalar.invalid)
    found = []
    for name, unit in dict.fromkeys([*values, *reasons]):
        v, why = values[name, unit], reasons[name, unit]
        found.append(
            Fact(
                name=name,
                unit=unit,
                mean=float(np.mean(v)) if v else math.nan,
                spread=float(np.std(v, ddof=1)) if len(v) > 1 else math.nan,
                fields=len(v),
                values=tuple(v),
                n_invalid=len(why),
                invalid=Counter(why).most_common(1)[0][0] if why else "",
            )
        )
    return tuple(found)


def _slices(images: ImageSet, told: _Told) -> SlicesFact | None:
    """How alike neighbouring slices of the volumes are, or files that look like slices."""
    stacks: dict[tuple[str, str], list[int]] = defaultdict(list)
    for number, seen in enumerate(told.origins):
        if seen.origin.slice is not None:
            stacks[seen.origin.specimen, seen.origin.source].append(number)
    found = [sorted(s, key=lambda i: told.origins[i].origin.slice or 0) for s in stacks.values() if len(s) >= 4]
    as_files = not found and looks_like_slices(images)
    if as_files:
        found = [list(range(len(told.sizes)))]
    if not found:
        return None
    longest = min(len(s) for s in found)
    apart = [k for k in (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64) if k < longest]
    rho: dict[int, list[float]] = defaultdict(list)
    for stack in found[:3]:
        for start in spread(len(stack) - 1, SLICE_STARTS):
            first = _middle(images[stack[start]], (SLICE_PX, SLICE_PX)).grey
            for k in apart:
                # Towards the end of the stack, backwards.
                other = start + k if start + k < len(stack) else start - k
                second = _middle(images[stack[other]], (SLICE_PX, SLICE_PX)).grey
                if min(first.shape) < SMALLEST_WINDOW or first.shape != second.shape:
                    continue
                value = correlation_of_slices(first, second)
                if value is not None:
                    rho[k].append(value)
    if not rho:
        return None
    distances = [k for k in apart if rho[k]]
    means = [float(np.mean(rho[k])) for k in distances]
    alike = alike_slices(distances, means)
    if as_files and means[0] < 0.5:  # numbered, but not alike: no slices of one volume
        return None
    return SlicesFact(
        volumes=len(found),
        slices=sum(map(len, found)),
        as_files=as_files,
        apart=tuple(distances),
        correlation=tuple(means),
        alike=min(alike, float(longest)),
    )


def _near(
    pairs: Sequence[NearPair], plan: _Plan, images: ImageSet, names: Sequence[str], same: Sequence[Sequence[int]]
) -> tuple[PairFact, ...]:
    """Pairs by the numbers of the set, without identical ones; some with what is left at full resolution."""
    groups = [{plan.levels[i] for i in group} for group in same]
    found: list[PairFact] = []
    for pair in pairs:
        i, j = plan.near[pair.first], plan.near[pair.second]
        if any(i in group and j in group for group in groups):
            continue
        residual = residual_of(images[i], images[j], pair) if len(found) < PAIRS_TOLD else None
        found.append(_pair_fact(pair, i, j, (names[i], names[j]), residual))
    return tuple(found)


def _seen_again(near: Sequence[PairFact]) -> float:
    """How many images' worth of area is there again: of each image the largest share that an earlier one has."""
    share: dict[int, float] = {}
    for pair in near:
        share[pair.second] = max(share.get(pair.second, 0.0), pair.overlap)
    return sum(share.values())


def _pair_fact(pair: NearPair, first: int, second: int, names: tuple[str, str], residual: float | None) -> PairFact:
    return PairFact(
        first=first, second=second, names=names, likeness=pair.likeness, overlap=pair.overlap, down=pair.down,
        right=pair.right, turns=pair.turns, mirrored=pair.mirrored, residual=residual,
    )  # fmt: skip


def _leaks(images: ImageSet, told: _Told, against: ImageSet, alike: float) -> Leaks:
    """What another set has in common with this one."""
    other = _Told()
    for picture in against:
        other.add(picture)
    origin = shared_origin(told.origins, other.origins, alike=alike)
    here, there = spread(len(told.sizes), LOOKED_AT), spread(len(other.sizes), LOOKED_AT)
    keys = defaultdict(list)
    for i in here:
        keys[content_key(images[i])].append(i)
    same = [(told.names[i], other.names[j]) for j in there for i in keys.get(content_key(against[j]), ())]
    factor = factor_for(max(max(s) for s in [*told.sizes, *other.sizes]))
    near_here, near_there = runs(len(told.sizes), NEAR), runs(len(other.sizes), NEAR)
    smalls = [small(images[i], factor) for i in near_here] + [small(against[j], factor) for j in near_there]
    near: list[PairFact] = []
    for pair in near_duplicates(smalls, between=len(near_here)):
        i, j = near_here[pair.first], near_there[pair.second - len(near_here)]
        residual = residual_of(images[i], against[j], pair) if len(near) < PAIRS_TOLD else None
        near.append(_pair_fact(pair, i, j, (told.names[i], other.names[j]), residual))
    return Leaks(
        other=getattr(against, "name", "the other set"),
        other_images=len(against),
        specimens=origin.specimens,
        overlapping=len(origin.overlapping),
        neighbouring=len(origin.neighbouring),
        smallest_gap_px=origin.smallest_gap,
        identical=tuple(same),
        near=tuple(near),
    )


def spread(count: int, at_most: int) -> list[int]:
    """Numbers below ``count``, evenly spread from the first to the last, at most so many."""
    if count <= at_most:
        return list(range(count))
    return sorted({round(i * (count - 1) / max(1, at_most - 1)) for i in range(at_most)})


def runs(count: int, at_most: int, length: int = 4) -> list[int]:
    """Numbers below ``count`` in runs of neighbours that are evenly spread, at most so many."""
    if count <= at_most:
        return list(range(count))
    starts = spread(count - length + 1, at_most // length)
    return sorted({start + k for start in starts for k in range(length)})


def picture_name(picture: Picture, number: int) -> str:
    """What a picture is called: its file, with the slice of a volume."""
    origin = picture.origin
    name = str(picture.labels.get("file", "")) or origin.source or f"image {number}"
    if origin.slice is not None:
        name = f"{name}, slice {origin.slice}"
    return name


def _middle(picture: Picture, size: tuple[int, int]) -> Picture:
    """The middle of a picture, copied, at most that large."""
    height, width = (min(n, m) for n, m in zip(picture.size, size, strict=True))
    top, left = (picture.size[0] - height) // 2, (picture.size[1] - width) // 2
    return _copied(picture.crop(top, left, height, width))


def _copied(picture: Picture) -> Picture:
    """With pixels of its own, so that the whole image may go."""
    return replace(picture, pixels=picture.pixels.copy(), mask=None if picture.mask is None else picture.mask.copy())


def _comparable(spacing: tuple[float, float]) -> tuple[float, float]:
    """NaN is not equal to NaN; one and the same NaN is the same key."""
    return (
        spacing[0] if math.isfinite(spacing[0]) else math.nan,
        spacing[1] if math.isfinite(spacing[1]) else math.nan,
    )
