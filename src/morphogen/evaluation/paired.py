"""Scores of pictures that belong together two by two: an edit and its source, a translation and its truth.

Pictures are paired by what they are, never by their position: SSIM between the i-th measured and the i-th
generated picture of an unconditional model means nothing, and such sets are refused. So are gaps: a
picture without a partner is an error, not a missing value.
"""

from collections import Counter
from collections.abc import Sequence
from pathlib import PurePath

import numpy as np

from morphogen.evaluation.intervals import Replicates, mean_replicates
from morphogen.evaluation.random_streams import Use
from morphogen.evaluation.records import Estimate, Record
from morphogen.evaluation.similarities.similarity import Similarity
from morphogen.images.image_set import ImageSet, Pictures
from morphogen.images.intensity import IntensityMap
from morphogen.images.picture import Origin, Picture
from morphogen.problems import Problem


class PairedScore(Record):
    """One pair of pictures under one metric.

    Attributes:
        pair: what the two share: the name of their files without the ending, then slice and region where
            several pictures come from one file.
        specimen: of the measured picture.
        metric: name of the similarity, "LPIPS (AlexNet)".
        higher_is_more_similar: direction of the metric.
        value: the score.
    """

    pair: str
    specimen: str
    metric: str
    higher_is_more_similar: bool
    value: float


class PairedSummary(Record):
    """Mean of one metric over all pairs, with its interval over specimens or pairs."""

    metric: str
    higher_is_more_similar: bool
    estimate: Estimate


def pair_up(*, measured: ImageSet, generated: ImageSet) -> tuple[Pictures, Pictures]:
    """The two sets with partners at equal positions.

    Partners come from files of one name (endings and folders do not count). The file is the one that a picture was
    read from, its label "file"; for a picture that was not read from a file of its own, it is the source that it
    tells. Where one file holds several pictures, partners have one slice and one region too.

    Args:
        measured: the reference pictures; their order is kept.
        generated: their partners, in any order.

    Returns:
        The measured and the generated pictures, of equal length.

    Raises:
        Problem: a picture without a name, a name that two pictures of one set share, a picture without a
            partner, or partners of different slices, regions, sizes, channels or pixel types.
    """
    one, other = _by_name(measured, "measured"), _by_name(generated, "generated")
    for here, there, where in ((one, other, "generated"), (other, one, "measured")):
        if alone := [name for name in here if name not in there]:
            raise Problem(
                f"{len(alone)} of {len(here)} pictures have no partner among the {where} ones, such as {alone[0]}",
                do="give paired pictures one file name, or compare the sets by distances instead",
            )
    for name, picture in one.items():
        partner = other[name]
        if not _may_be_one_place(picture.origin, partner.origin):
            raise Problem(
                f"the two pictures {name} show different slices or regions of what they were cut from",
                do="check which folders were meant",
            )
        for what, x, y in (
            ("sizes", picture.size, partner.size),
            ("channels", picture.channels, partner.channels),
            ("pixel types", picture.pixels.dtype, partner.pixels.dtype),
        ):
            if x != y:
                raise Problem(
                    f"the two pictures {name} have different {what}, {x} measured and {y} generated",
                    do="write the generated picture as the measured one is",
                )
    return Pictures(one.values(), "measured"), Pictures([other[name] for name in one], "generated")


def paired_scores(
    *,
    measured: ImageSet,
    generated: ImageSet,
    measures: Sequence[Similarity],
    intensity: IntensityMap,
) -> list[PairedScore]:
    """Every pair under every measure.

    Args:
        measured: the reference pictures.
        generated: their partners, in any order; see ``pair_up``.
        measures: the similarities, made for the size of the pictures.
        intensity: the declared grey range, that of the measured pictures.

    Returns:
        One record a measure and pair, all pairs of the first measure first.

    Raises:
        Problem: the sets are not paired.
    """
    measured, generated = pair_up(measured=measured, generated=generated)
    return [
        PairedScore(
            pair=name,
            specimen=picture.origin.specimen,
            metric=measure.name,
            higher_is_more_similar=measure.higher_is_more_similar,
            value=float(value),
        )
        for measure in measures
        for name, picture, value in zip(
            _names(measured),
            measured,
            measure.between(measured=measured, generated=generated, intensity=intensity),
            strict=True,
        )
    ]


def paired_summary(scores: Sequence[PairedScore], *, seed: int = 0, resamples: int = 1000) -> list[PairedSummary]:
    """The mean of each metric with its 95 % bootstrap interval.

    Resampled are specimens where there are enough of them, else pairs (``morphogen.evaluation.intervals``).

    Args:
        scores: from ``paired_scores``.
        seed: of the bootstrap.
        resamples: replicates of the bootstrap.

    Raises:
        Problem: a single pair, of which no interval can be given.
    """
    summaries = []
    for metric in dict.fromkeys(score.metric for score in scores):
        own = [score for score in scores if score.metric == metric]
        if len(own) < 2:
            raise Problem(f"one pair gives no interval for {metric}", do="give at least two pairs")
        values = np.array([score.value for score in own])
        draws = mean_replicates(values, [score.specimen for score in own], resamples, seed, Use.WEIGHTS_OF_PAIRED)
        replicates = Replicates.around(
            float(values.mean()), draws, len(own), len(own), limits=(values.min(), values.max())
        )
        summaries.append(
            PairedSummary(
                metric=metric,
                higher_is_more_similar=own[0].higher_is_more_similar,
                estimate=replicates.estimate,
            )
        )
    return summaries


def _may_be_one_place(one: Origin, other: Origin) -> bool:
    """A program that edits files keeps their names, and mostly nothing else of where they come from."""
    slices, regions = {one.slice, other.slice} - {None}, {one.region, other.region} - {None}
    return len(slices) < 2 and len(regions) < 2


def _names(images: ImageSet) -> list[str]:
    """What each picture is called; slice and region only tell apart what comes from one file."""
    files = [str(picture.labels.get("file") or picture.origin.source) for picture in images]
    held = Counter(files)
    return [
        _name(file, picture.origin, held[file] > 1) if file else "" for file, picture in zip(files, images, strict=True)
    ]


def _name(file: str, origin: Origin, one_of_several: bool) -> str:
    parts = [PurePath(file).stem]
    if one_of_several and origin.slice is not None:
        parts.append(f"slice {origin.slice}")
    if one_of_several and origin.region is not None:
        parts.append(f"region {origin.region}")
    return ", ".join(parts)


def _by_name(images: ImageSet, which: str) -> dict[str, Picture]:
    named: dict[str, Picture] = {}
    for name, picture in zip(_names(images), images, strict=True):
        if not name:
            raise Problem(
                f"a {which} picture has no file name to be paired by",
                do="read both sets from folders in which partners share a file name",
            )
        if name in named:
            raise Problem(f"two {which} pictures are called {name}", do="give each its own file name")
        named[name] = picture
    return named
