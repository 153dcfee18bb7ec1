"""What an edit is worth: did what was asked to change change, by as much, and did everything else stay?

An edit is asked to move one reading of an image, the wanted move w. Of phantoms the answer is known, and w is the move
of the true image after, read by the same rule; of measured images it follows from the size that the order means. The
edit moves the reading by m. It has

    gone the right way      m w > 0
    done what was asked     1/2 <= m / w <= 2
    held the rest           so large a share of the other readings lies no farther from where it should be than two
                            measured neighbours lie apart on average: other windows of the same specimens, before
    succeeded               done what was asked and held the rest

Where a reading should be is the true image's where there is one, else where it was. Some readings cannot but move with
the one that is asked for (thicker fibers fill more of the image): without a true image these are named by the caller
and count neither way. A reading that an edit has lost counts as not held.

Editors stand in the order of their share of edits that succeeded. The scores that papers report stand beside them,
taken as papers take them, against the image before (``similarities``): there whoever does nothing comes first.

Where the true image is known, errors are told inside and outside of the region that truly changed, root mean squares in
units of how much two photographs of one scene differ. Changed is where the phase is another one, or grey levels differ
by more than three such units. Regions are held against it by intersection over union: the one that an editor names, and
the pixels that it changed by as much.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from morphogen.evaluation.caption_scores import caption_cosines
from morphogen.evaluation.descriptors.descriptor import Descriptor, fitted_descriptor
from morphogen.evaluation.descriptors.phase_fraction import DESCRIPTOR as PHASE_FRACTION
from morphogen.evaluation.distances.frechet import frechet_distance
from morphogen.evaluation.feature_table import FeatureExtractor
from morphogen.evaluation.image_text import ImageText, share
from morphogen.evaluation.intervals import Replicates, mean_replicates, resampling_weights
from morphogen.evaluation.random_streams import Use
from morphogen.evaluation.records import Estimate, Record
from morphogen.evaluation.section import Section
from morphogen.evaluation.segmentation.segmentation import Segmentation, fit_segmentation
from morphogen.evaluation.similarities.similarity import Similarity
from morphogen.images.conditions import ASKED, CAPTION
from morphogen.images.image_set import Pictures
from morphogen.images.intensity import IntensityMap
from morphogen.images.picture import Picture
from morphogen.problems import Problem
from morphogen.specimens.specimen import Specimen

Part = NDArray[np.bool_]
Values = NDArray[np.float64]
Read = dict[str, float]
"""A number for each reading of an image; NaN where it does not have it."""

LEAST, MOST = 0.5, 2.0
"""Of the wanted move, for an edit that did what was asked."""

SEEN = 3.0
"""Differences of so many photographs' noises are changes."""

RowRole = Literal["editor", "identity", "noise", "another", "truth"]
"""What a row is: an editor, or one of the controls.

identity  the images before: what doing nothing scores
noise     their pixels in random order
another   another measured image of the kind
truth     the true image after, photographed once more: what can be reached where the rule reads through noise
"""


@dataclass(frozen=True, slots=True, eq=False)
class Asked:
    """What was asked of one image, and what is known of the answer.

    Attributes:
        prompt: what it is called; all images of one prompt were asked for one thing.
        words: as it was said.
        source: the image before.
        neighbour: another measured image of its specimen, as large.
        reading: that has to move.
        factor: it is to become so many times what it is, where there is no true image.
        truth: the true image after.
        again: the same scene, photographed once more.
        changed: ``(height, width)``, where the scene changed, see ``truly_changed``.
        along: readings that move with it and count neither way.
        caption: what the image is to show, for scores that hold it against one; "" for none.
    """

    prompt: str
    words: str
    source: Picture
    neighbour: Picture
    reading: str
    factor: float | None = None
    truth: Picture | None = None
    again: Picture | None = None
    changed: Part | None = None
    along: frozenset[str] = frozenset()
    caption: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class Edited:
    """What became of one image: the picture, and where the editor set out to change it ``(height, width)``."""

    picture: Picture
    region: Part


@dataclass(frozen=True, slots=True, eq=False)
class EditedSet:
    """What one editor, or one control, made of all images.

    Attributes:
        name: of the row.
        title: how the field calls it.
        role: what it is.
        edits: one an image; none where it could not be run.
        note: what a reader must know.
        seconds_per_image: what an edit took.
        told_where: whether it was told the region that truly changes.
    """

    name: str
    title: str
    role: RowRole
    edits: tuple[Edited, ...]
    note: str = ""
    seconds_per_image: float = math.nan
    told_where: bool = False


class EditScore(Record):
    """One edit.

    Attributes:
        row: whose.
        prompt: what it was asked for.
        image: number of the image among all.
        specimen: of the image.
        before: the reading that had to move, before.
        wanted: by how much it had to move.
        moved: by how much it moved; None where the edited image does not have it.
        right: moved the right way.
        obeyed: moved by between a half and twice of what was wanted.
        held_share: share of the other readings that are where they should be, to what neighbours differ by.
        held: that share is large enough.
        succeeded: obeyed and held.
        inside: error inside of the region that truly changed, in noises of a photograph.
        outside: error outside of it.
        region_iou: of the region that the editor names with the one that truly changed.
        changed_iou: of the pixels that it changed with the region that truly changed.
        region_share: share of the image that the editor names.
        beyond: largest change outside of the region that the editor names, in grey levels.
    """

    row: str
    prompt: str
    image: int
    specimen: str
    before: float
    wanted: float
    moved: float | None
    right: bool
    obeyed: bool
    held_share: float
    held: bool
    succeeded: bool
    inside: float | None = None
    outside: float | None = None
    region_iou: float | None = None
    changed_iou: float | None = None
    region_share: float
    beyond: float


class PaperScore(Record):
    """A score that papers report of editors, against the image before or the caption.

    Attributes:
        metric: "SSIM", "LPIPS (AlexNet)", ...
        higher_is_better: as papers read it.
        against: what an edit is held against.
        estimate: mean over the edits, or the distance of both sets.
    """

    metric: str
    higher_is_better: bool
    against: str
    estimate: Estimate


class EditRow(Record):
    """One row: an editor or a control, over all prompts or one.

    Attributes:
        row: name.
        title: how the field calls it.
        role: what it is.
        prompt: "" for all.
        note: what a reader must know.
        told_where: whether it was told the region that truly changes.
        seconds_per_image: what an edit took.
        succeeded: share of edits that did what was asked and held the rest.
        obeyed: share that did what was asked.
        right: share that went the right way.
        held: share that held the rest.
        held_share: mean share of the other readings that were held.
        of_wanted: slope of the moves on the wanted ones, through the origin; 1 is all of it, 0 nothing.
        inside: mean error inside of the region that truly changed, in noises of a photograph.
        outside: mean error outside of it.
        region_iou: mean overlap of the region that it names.
        changed_iou: mean overlap of what it changed.
        region_share: mean share of the image that it names.
        beyond: largest change outside of the region that it names, in grey levels.
        papers: the scores that papers report.
    """

    row: str
    title: str
    role: RowRole
    prompt: str = ""
    note: str = ""
    told_where: bool = False
    seconds_per_image: float
    succeeded: Estimate | None = None
    obeyed: Estimate | None = None
    right: Estimate | None = None
    held: Estimate | None = None
    held_share: Estimate | None = None
    of_wanted: Estimate | None = None
    inside: Estimate | None = None
    outside: Estimate | None = None
    region_iou: Estimate | None = None
    changed_iou: Estimate | None = None
    region_share: Estimate | None = None
    beyond: float | None = None
    papers: tuple[PaperScore, ...] = ()


class PromptRecord(Record):
    """What was asked for.

    Attributes:
        prompt: its name.
        words: how it was said, of the first image.
        caption: what the first image was to show.
        reading: what had to move.
        unit: of the reading.
        rises: whether it had to rise.
        n: images.
        changed_share: mean share of the image that truly changes.
        along: readings that move with it, and count neither way.
    """

    prompt: str
    words: str
    caption: str
    reading: str
    unit: str
    rises: bool
    n: int
    changed_share: float | None
    along: tuple[str, ...]


class EditComparison(Record):
    """All editors on one set of images.

    Attributes:
        specimen: kind.
        segmentation: how the phase was told, in words.
        truth_known: whether the true images after are known.
        noise: how much two photographs of one scene differ, root mean square, in grey levels.
        least_held: share of the other readings that has to be held.
        readings: names of all.
        prompts: what was asked for.
        rows: over all prompts, in the order of the editors as they were given.
        by_prompt: the same of each prompt.
        edits: every edit.
        notes: what else a reader must know.
    """

    specimen: str
    segmentation: str
    truth_known: bool
    noise: float | None
    least_held: float
    readings: tuple[str, ...]
    prompts: tuple[PromptRecord, ...]
    rows: tuple[EditRow, ...]
    by_prompt: tuple[EditRow, ...]
    edits: tuple[EditScore, ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PaperMeasures:
    """What the scores that papers report are taken with.

    Attributes:
        similarities: of an edit to the image before.
        extractor: of the features for a Frechet distance to the images before, as in FID; None for none.
        clip: for the cosine of an edit with what it is to show; None for none.
    """

    similarities: Sequence[Similarity] = ()
    extractor: FeatureExtractor | None = None
    clip: ImageText | None = None


class Reader:
    """Reads images of a kind, by one segmentation and one set of descriptors for all.

    Args:
        kind: of specimen.
        measured: images to which segmentation and descriptors are fitted.
        segmentation: how the phase is told; by default as the kind says.
        descriptors: files of ``evaluation.descriptors``; by default those of the kind.

    Attributes:
        segmentation: how the phase is told.
        words: the same in words.
        units: of each reading that was read so far.
    """

    def __init__(
        self,
        kind: Specimen,
        measured: Sequence[Picture],
        segmentation: str | Segmentation | None = None,
        descriptors: Sequence[str] = (),
    ) -> None:
        self._kind = kind
        if segmentation is None or isinstance(segmentation, str):
            segmentation = fit_segmentation(segmentation or kind.segmentation, Pictures(measured), kind.phase_is)
        self.segmentation = segmentation
        sections = [Section.of(picture, segmentation) for picture in measured]
        self._descriptors: list[Descriptor] = [
            fitted_descriptor(name, sections) for name in descriptors or kind.descriptors
        ]
        self.words = segmentation.words
        self._known: dict[int, tuple[Picture, Read]] = {}
        self.units: dict[str, str] = {}

    def __call__(self, picture: Picture) -> Read:
        """The readings of one image; the fraction of the phase is called as the kind calls it."""
        key = id(picture)
        if key not in self._known:  # kept with its picture, so that the id stays its own
            self._known[key] = (picture, self._read(picture))
        return self._known[key][1]

    def _read(self, picture: Picture) -> Read:
        section, found = Section.of(picture, self.segmentation), Read()
        for describe in self._descriptors:
            for name, scalar in describe(section).scalars.items():
                called = self._kind.fraction if name == PHASE_FRACTION.name else name
                found[called] = math.nan if scalar.value is None else scalar.value
                self.units[called] = scalar.unit
        return found


def compare_edits(
    asked: Sequence[Asked],
    sets: Sequence[EditedSet],
    *,
    kind: Specimen,
    reader: Reader,
    papers: PaperMeasures = PaperMeasures(),  # it is frozen
    least_held: float = 0.75,
    seed: int = 0,
    resamples: int = 1000,
    progress: Callable[[str], None] | None = None,
) -> EditComparison:
    """Score what editors made of images.

    Args:
        asked: what was asked of each image.
        sets: the rows, each with an edit an image or with none.
        kind: of specimen.
        reader: of the kind, fitted to measured images.
        papers: what the scores that papers report are taken with.
        least_held: share of the other readings that has to be held.
        seed: of the bootstrap.
        resamples: replicates of the bootstrap.
        progress: told in a few words what is being done.

    Raises:
        Problem: a reading that the kind does not have, an image that does not have the one that is to move, or fewer
            than two images.
    """
    tell = progress or (lambda _: None)
    if len(asked) < 2:
        raise Problem("one edit gives no interval", do="ask for two or more images")
    tell("reading the images before")
    before = [reader(a.source) for a in asked]
    truths = [None if a.truth is None else reader(a.truth) for a in asked]
    scale = _apart(before, [reader(a.neighbour) for a in asked])
    for a, read in zip(asked, before, strict=True):
        if a.reading not in read:
            raise Problem(f"'{a.reading}' is no reading of {kind.name}", do=f"choose one of {', '.join(read)}")
    noise = photographs_differ(asked)
    scores: list[EditScore] = []
    for s in sets:
        tell(f"reading what {s.name} made")
        for k, edited in enumerate(s.edits):
            scores.append(_score(k, s.name, asked[k], edited, before[k], truths[k], reader, scale, least_held, noise))
    prompts = list(dict.fromkeys(a.prompt for a in asked))
    sources = Pictures((a.source for a in asked), "sources")
    intensity = IntensityMap.of(sources)
    rows, by_prompt, notes = [], [], list[str]()
    for s in sets:
        tell(f"scores of papers for {s.name}")
        own = [score for score in scores if score.row == s.name]
        found = _papers(s, asked, sources, intensity, papers, seed, resamples, notes) if s.edits else ()
        rows.append(_row(s, own, "", found, seed, resamples))
        if len(prompts) > 1:
            by_prompt += [
                _row(s, [e for e in own if e.prompt == prompt], prompt, (), seed, resamples) for prompt in prompts
            ]
    return EditComparison(
        specimen=kind.name,
        segmentation=reader.words,
        truth_known=all(a.truth is not None for a in asked),
        noise=noise,
        least_held=least_held,
        readings=tuple(before[0]),
        prompts=tuple(_prompt(name, asked, before, truths, reader) for name in prompts),
        rows=tuple(rows),
        by_prompt=tuple(by_prompt),
        edits=tuple(scores),
        notes=tuple(dict.fromkeys(notes)),
    )


def places(values: Sequence[float | None], *, higher_is_better: bool) -> list[int | None]:
    """The place of each value, 1 for the best; equal ones share the better place. None has none."""
    known = [v for v in values if v is not None and math.isfinite(v)]
    sign = 1 if higher_is_better else -1
    return [
        None if v is None or not math.isfinite(v) else 1 + sum(sign * (other - v) > 0 for other in known)
        for v in values
    ]  # fmt: skip


def moving_along(before: Sequence[Read], truths: Sequence[Read], neighbours: Sequence[Read]) -> frozenset[str]:
    """Readings that a true change moves by more than two measured neighbours differ by, on average."""
    scale = _apart(before, neighbours)
    moved = _apart(before, truths)
    return frozenset(name for name in scale if scale[name] > 0 and moved[name] > scale[name])


def _apart(one: Sequence[Read], other: Sequence[Read]) -> dict[str, float]:
    """How far two images lie apart in each reading, the mean over pairs; 0 where no pair has it."""
    found = {}
    for name in one[0]:
        apart = np.array([abs(a[name] - b[name]) for a, b in zip(one, other, strict=True)])
        found[name] = float(np.nanmean(apart)) if np.isfinite(apart).any() else 0.0
    return found


def photographs_differ(asked: Sequence[Asked]) -> float | None:
    """Root mean square of the difference of two photographs of one scene, in grey levels; None without any."""
    pairs = [(a.truth, a.again) for a in asked if a.truth is not None and a.again is not None]
    if not pairs:
        return None
    return float(np.sqrt(np.mean([np.square(one.grey - other.grey).mean() for one, other in pairs])))


def _score(
    number: int, row: str, asked: Asked, edited: Edited, before: Read, truth: Read | None, reader: Reader,
    scale: Mapping[str, float], least_held: float, noise: float | None,
) -> EditScore:  # fmt: skip
    after, name = reader(edited.picture), asked.reading
    target = before if truth is None else truth
    if truth is not None:
        wanted = truth[name] - before[name]
    elif asked.factor is not None:
        wanted = before[name] * (asked.factor - 1)
    else:
        raise Problem(f"nothing says by how much '{asked.prompt}' is to move {name}", do="give a factor")
    if not math.isfinite(wanted) or wanted == 0:
        raise Problem(
            f"{asked.source.origin.specimen} does not show '{asked.prompt}': its {name} cannot move",
            do="leave that image out",
        )
    moved = after[name] - before[name]
    ratio = moved / wanted if math.isfinite(moved) else -math.inf
    others = [n for n in target if n != name and n not in asked.along and scale[n] > 0 and math.isfinite(target[n])]
    near = [abs(after[n] - target[n]) <= scale[n] for n in others]  # NaN is not near
    held_share = float(np.mean(near)) if near else 1.0
    obeyed, held = LEAST <= ratio <= MOST, held_share >= least_held
    change = np.abs(edited.picture.grey - asked.source.grey)
    outside_own = change[~edited.region]
    return EditScore(
        row=row,
        prompt=asked.prompt,
        image=number,
        specimen=asked.source.origin.specimen,
        before=before[name],
        wanted=wanted,
        moved=moved if math.isfinite(moved) else None,
        right=ratio > 0,
        obeyed=obeyed,
        held_share=held_share,
        held=held,
        succeeded=obeyed and held,
        region_share=float(edited.region.mean()),
        beyond=float(outside_own.max()) if outside_own.size else 0.0,
        **_against_truth(asked, edited, change, noise),
    )


def _against_truth(asked: Asked, edited: Edited, change: Values, noise: float | None) -> dict[str, float | None]:
    if asked.truth is None or asked.changed is None or noise is None:
        return {}
    error = np.square(edited.picture.grey - asked.truth.grey)
    parts = {"inside": asked.changed, "outside": ~asked.changed}
    found: dict[str, float | None] = {
        part: float(np.sqrt(error[where].mean())) / noise if where.any() else None for part, where in parts.items()
    }
    found["region_iou"] = overlap(edited.region, asked.changed)
    found["changed_iou"] = overlap(change > SEEN * noise, asked.changed)
    return found


def truly_changed(before: Picture, truth: Picture, phase: Part, noise: float) -> Part:
    """Where a scene changed: its phase, or its grey levels by more than ``SEEN`` noises of a photograph.

    Args:
        before: the image before.
        truth: the true one after, with the same noise of the camera.
        phase: where the phase changed, ``(height, width)``.
        noise: see ``photographs_differ``.
    """
    return np.asarray(phase | (np.abs(truth.grey - before.grey) > SEEN * noise))


def overlap(one: Part, other: Part) -> float:
    """Intersection over union of two parts of an image; 1 where both are empty."""
    union = int((one | other).sum())
    return int((one & other).sum()) / union if union else 1.0


def _papers(
    s: EditedSet, asked: Sequence[Asked], sources: Pictures, intensity: IntensityMap, papers: PaperMeasures, seed: int,
    resamples: int, notes: list[str],
) -> tuple[PaperScore, ...]:  # fmt: skip
    edited = Pictures((e.picture for e in s.edits), s.name)
    groups = [picture.origin.specimen for picture in sources]
    against, found = "the image before", []
    for measure in papers.similarities:
        values = measure.between(measured=sources, generated=edited, intensity=intensity)
        estimate = _mean(values, groups, seed, resamples)
        found.append(PaperScore(metric=measure.name, higher_is_better=measure.higher_is_more_similar,
                                against=against, estimate=estimate))  # fmt: skip
    if papers.extractor is not None:
        measured, generated = (papers.extractor(images, intensity) for images in (sources, edited))
        distance = frechet_distance(measured=measured, generated=generated, seed=seed, resamples=resamples)
        found.append(PaperScore(metric=f"Frechet distance over {papers.extractor.name}", higher_is_better=False,
                                against="the images before", estimate=distance))  # fmt: skip
    if papers.clip is not None and all(a.caption for a in asked):
        told = Pictures((_told(e.picture, a.caption) for e, a in zip(s.edits, asked, strict=True)), s.name)
        cosines = caption_cosines(papers.clip, told)
        if cosines is None:
            notes.append(f"{s.name} has no CLIPScore: not every image has a caption.")
        else:
            found.append(PaperScore(metric="CLIP cosine", higher_is_better=True, against="what it is to show",
                                    estimate=_mean(cosines, groups, seed, resamples)))  # fmt: skip
    return tuple(found)


def _told(picture: Picture, caption: str) -> Picture:
    return replace(picture, labels={ASKED + CAPTION: caption})


def _mean(values: Values, groups: Sequence[str], seed: int, resamples: int) -> Estimate:
    draws = mean_replicates(values, groups, resamples, seed, Use.WEIGHTS_OF_EDITS)
    limits = (float(values.min()), float(values.max()))
    return Replicates.around(float(values.mean()), draws, len(values), len(values), limits).estimate


def _row(
    s: EditedSet, scores: Sequence[EditScore], prompt: str, papers: tuple[PaperScore, ...], seed: int, resamples: int
) -> EditRow:
    plain = EditRow(row=s.name, title=s.title, role=s.role, prompt=prompt, note=s.note, told_where=s.told_where,
                    seconds_per_image=s.seconds_per_image)  # fmt: skip
    if not scores:
        return plain
    groups = [score.specimen for score in scores]

    def of(name: str) -> Estimate | None:
        """Mean of a number over the edits that have it."""
        pairs = [(v, g) for score, g in zip(scores, groups, strict=True) if (v := getattr(score, name)) is not None]
        if len(pairs) < 2:
            return None
        return _mean(np.array([v for v, _ in pairs], np.float64), [g for _, g in pairs], seed, resamples)

    shares = {name: share([getattr(score, name) for score in scores], groups, seed)
              for name in ("succeeded", "obeyed", "right", "held")}  # fmt: skip
    means = {name: of(name) for name in ("held_share", "inside", "outside", "region_iou", "changed_iou",
                                         "region_share")}  # fmt: skip
    return plain.model_copy(update={
        **shares, **means, "of_wanted": _slope(scores, seed, resamples), "papers": papers,
        "beyond": max(score.beyond for score in scores),
    })  # fmt: skip


def _slope(scores: Sequence[EditScore], seed: int, resamples: int) -> Estimate | None:
    """Of the moves on the wanted ones, through the origin, both in shares of the reading before."""
    known = [s for s in scores if s.moved is not None and s.before]
    if len(known) < 2:
        return None
    moved = np.array([s.moved / abs(s.before) for s in known if s.moved is not None])
    wanted = np.array([s.wanted / abs(s.before) for s in known])
    weights = resampling_weights([s.specimen for s in known], resamples, seed, Use.WEIGHTS_OF_EDITS)
    draws = (weights @ (moved * wanted)) / (weights @ wanted**2)
    value = float(moved @ wanted / (wanted @ wanted))
    found = Replicates.around(value, draws, len(known), len(known)).estimate
    if found.high - found.low < 1e-9 * abs(value):  # what rounding leaves of an interval where all moves are alike
        return found.model_copy(update={"low": value, "high": value})
    return found


def _prompt(
    name: str, asked: Sequence[Asked], before: Sequence[Read], truths: Sequence[Read | None], reader: Reader
) -> PromptRecord:
    here = [k for k, a in enumerate(asked) if a.prompt == name]
    first = asked[here[0]]
    true, was = truths[here[0]], before[here[0]]
    rises = true[first.reading] > was[first.reading] if true is not None else (first.factor or 1.0) > 1
    shares = [float(mask.mean()) for k in here if (mask := asked[k].changed) is not None]
    return PromptRecord(
        prompt=name, words=first.words, caption=first.caption, reading=first.reading,
        unit=reader.units.get(first.reading, ""), rises=rises, n=len(here),
        changed_share=float(np.mean(shares)) if shares else None, along=tuple(sorted(first.along)),
    )  # fmt: skip
