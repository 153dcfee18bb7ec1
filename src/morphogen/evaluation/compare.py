"""Compare generated images with measured ones, beside the controls that tell what a score is worth.

Every table has the same control rows. The *floor* holds other measured fields against the measured ones: no
generated set can be expected to be nearer. *Identity* is the measured set itself: what a perfect copy
would score, and a warning where copying wins. *Noise* has the grey levels without the structure.
*Another* specimen, where there is one, shows what a visibly wrong material scores.

Only image sets come in. Nothing here knows how they were made.
"""

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from morphogen.evaluation import controls
from morphogen.evaluation.compared_set import ComparedSet
from morphogen.evaluation.distances.set_distance import SetDistance, distance_names, set_distance
from morphogen.evaluation.feature_likelihood import feature_likelihood
from morphogen.evaluation.feature_table import FeatureExtractor, FeatureTable
from morphogen.evaluation.intervals import (
    SPECIMENS_NEEDED,
    Replicates,
    ratio_to_floor,
    resampling_weights,
    unit,
)
from morphogen.evaluation.physics import equivalences, mean_curves, mean_readings, physics
from morphogen.evaluation.random_streams import Use
from morphogen.evaluation.records import Comparison, Curve, Diversity, Likelihood, Reading, Role, Score
from morphogen.evaluation.segmentation.segmentation import Segmentation, fit_segmentation
from morphogen.images.image_set import ImageSet, Pictures, common_size
from morphogen.images.intensity import IntensityMap
from morphogen.images.picture import Picture
from morphogen.mathematics.randomness import numpy_generator
from morphogen.problems import Problem
from morphogen.specimens.specimen import Specimen

FEWEST = 8
"""Fields in a set below which no interval means anything."""

PAIRS = 500
"""Pairs of fields at most over which the diversity of a set is measured."""


class DiversityMeasure(Protocol):
    """How alike, or how different, the images of pairs are."""

    @property
    def name(self) -> str:
        """Name and conventions, such as "LPIPS (AlexNet)"."""

    @property
    def higher_is_more_diverse(self) -> bool:
        """True for a distance, false for a similarity."""

    def __call__(self, images: ImageSet, intensity: IntensityMap, pairs: list[tuple[int, int]]) -> NDArray[np.floating]:
        """One number a pair of indices, ``(len(pairs),)``."""


def compare(
    *,
    measured: ImageSet,
    floor: ImageSet,
    generated: Mapping[str, ImageSet],
    another: Mapping[str, ImageSet] = MappingProxyType({}),
    specimen: Specimen,
    extractors: Sequence[FeatureExtractor],
    intensity: IntensityMap | None = None,
    segmentation: Segmentation | None = None,
    diversity: Sequence[DiversityMeasure] = (),
    training: ImageSet | None = None,
    seed: int = 0,
    resamples: int = 200,
    progress: Callable[[str], None] | None = None,
) -> Comparison:
    """Score sets of fields against measured fields, with every distance over every extractor.

    A generated set and the floor enter a score with the same number of fields: the first
    min(n_floor, n_generated) of each.

    Args:
        measured: the reference fields.
        floor: other measured fields, disjoint from ``measured`` (``fields.halves``).
        generated: fields of the generated sets, by name.
        another: measured fields of other specimens, by name.
        specimen: what kind it is: which phase, and which descriptors matter.
        extractors: what the distances are computed over.
        intensity: declared grey range for the networks; by default that of measured and floor.
        segmentation: what separates the phases, the same for all sets; by default that of the kind of specimen,
            fitted to ``measured``.
        diversity: similarities or distances of pairs within one set.
        training: fields that the methods were trained on, for the feature likelihood; they may be those of the floor.
        seed: of the noise, the pairs and the bootstrap.
        resamples: replicates of the bootstrap.
        progress: told in a few words what is being done.

    Returns:
        Scores, readings, curves and diversities of all sets and controls, each with a 95 % interval.

    Raises:
        Problem: sets that cannot be compared: other field size, pixel type, channels or pixel size, fewer
            than ``FEWEST`` fields, pixels that are not numbers, the same set given twice, a name that is
            taken.
    """
    tell = progress or (lambda _: None)
    given = _with_roles(measured, floor, generated, another)
    _require_comparable(given)
    sets = _prepared(given, seed)
    reference, other = sets[:2]
    intensity = intensity or IntensityMap.of([*reference.images, *other.images])
    segmentation = segmentation or fit_segmentation(specimen.segmentation, reference.images, specimen.phase_is)
    notes = _reservations(sets, intensity)

    scores: list[Score] = []
    likelihoods: list[Likelihood] = []
    enough = training is not None and len(training) >= 2 * FEWEST  # halves of it are held against each other
    for extractor in extractors:
        tables = _tables(extractor, sets, intensity, tell)
        if training is not None and enough:
            tell(f"{extractor.name}: feature likelihood")
            known = training.fingerprint == floor.fingerprint
            learned = tables["floor"] if known else extractor(training, intensity)
            likelihoods += _likelihoods(learned, sets, tables, seed, resamples)
        for name in distance_names():
            tell(f"{extractor.name}: {name.replace('_', ' ')} distances")
            scores += _scores(set_distance(name), sets, tables, seed, resamples)

    readings: list[Reading] = []
    curves: list[Curve] = []
    diversities: list[Diversity] = []
    of_sets = physics(sets, specimen, segmentation, tell)
    tell("descriptors: means and equivalence")
    for found in of_sets:
        readings += mean_readings(found, seed, resamples)
        curves += mean_curves(found, seed, resamples)
    for measure in diversity:
        found_for: dict[str, Diversity] = {}  # identity is the measured set once more
        for s in sets:
            if s.images.fingerprint not in found_for:
                tell(f"{measure.name} between the images of {s.name}")
                found_for[s.images.fingerprint] = _diversity(measure, s, intensity, seed, resamples)
            same = found_for[s.images.fingerprint]
            diversities.append(same.model_copy(update={"compared": s.name, "role": s.role}))

    first = reference.images[0]
    return Comparison(
        specimen=specimen.name,
        measured_fingerprint=measured.fingerprint,
        fingerprints={
            "floor": floor.fingerprint,
            **{name: images.fingerprint for name, images in {**generated, **another}.items()},
            "identity": measured.fingerprint,
            "noise": sets[-1].images.fingerprint,
        },
        field_px=first.size,
        spacing_um=first.spacing_um,
        segmentation=segmentation.words,
        phase=f"{specimen.phase} ({specimen.phase_is})",
        interval_unit=unit(reference.groups),
        scores=tuple(scores),
        readings=tuple(readings),
        equivalences=tuple(equivalences(of_sets, specimen, seed, resamples)),
        likelihoods=tuple(likelihoods),
        curves=tuple(curves),
        diversities=tuple(diversities),
        notes=tuple(notes),
    )


def require_comparable(
    *, measured: ImageSet, floor: ImageSet, another: Mapping[str, ImageSet] = MappingProxyType({})
) -> None:
    """Refuse fields that ``compare`` would refuse, before there is a generated set: before a long training.

    Args:
        measured: the reference fields.
        floor: other measured fields.
        another: measured fields of other specimens, by name.

    Raises:
        Problem: fewer than ``FEWEST`` fields, another field size, pixel type, number of channels or pixel size,
            pixels that are not numbers, the same set given twice, a name that is taken.
    """
    _require_comparable(_with_roles(measured, floor, {}, another))


_Given = tuple[str, Role | Literal["measured"], ImageSet]


def _with_roles(
    measured: ImageSet, floor: ImageSet, generated: Mapping[str, ImageSet], another: Mapping[str, ImageSet]
) -> list[_Given]:
    """All sets with their names and roles, measured first."""
    return [
        ("measured", "measured", measured),
        ("floor", "floor", floor),
        *((name, "generated", images) for name, images in generated.items()),
        *((name, "another", images) for name, images in another.items()),
    ]


def _require_comparable(given: Sequence[_Given]) -> None:
    names = Counter([name for name, _, _ in given] + ["identity", "noise"])
    if repeated := [name for name, count in names.items() if count > 1]:
        raise Problem(f"two sets are called '{repeated[0]}'", do="give each set a name of its own")
    seen: dict[str, str] = {}
    for name, _, images in given:
        if images.fingerprint in seen:
            raise Problem(
                f"'{name}' and '{seen[images.fingerprint]}' are the same images",
                do="check which set was meant",
            )
        seen[images.fingerprint] = name
    kinds = [_kind(name, images) for name, _, images in given]
    for (name, _, _), kind in zip(given, kinds, strict=True):
        for what, here, there in zip(("field size", "pixel type", "channels"), kind, kinds[0], strict=True):
            if here != there:
                raise Problem(
                    f"{what} of '{name}' is {here}, but {there} in the measured set",
                    do="cut or convert them to one kind first",
                )
    known = [s for s in _spacings(given) if np.isfinite(s).all()]
    if any(not np.allclose(s, known[0], rtol=1e-3) for s in known):
        raise Problem(f"pixel sizes differ, {known[:3]} um", do="resample the images to one pixel size first")


def _prepared(given: Sequence[_Given], seed: int) -> list[ComparedSet]:
    """Sets that can be compared, measured first, and the controls that are made from it."""
    in_pixels = not np.isfinite(_spacings(given)).all()
    prepared = [
        ComparedSet(name, role, Pictures(_without_spacing(images) if in_pixels else images, name))
        for name, role, images in given
    ]
    reference = prepared[0].images
    return [
        *prepared,
        ComparedSet("identity", "identity", controls.identity(reference)),
        ComparedSet("noise", "noise", controls.noise(reference, seed)),
    ]


def _spacings(given: Sequence[_Given]) -> list[tuple[float, float]]:
    """The pixel sizes that occur."""
    return list(dict.fromkeys(picture.spacing_um for _, _, images in given for picture in images))


def _kind(name: str, images: ImageSet) -> tuple[tuple[int, int], str, int]:
    if len(images) < FEWEST:
        raise Problem(f"'{name}' has only {len(images)} fields", do=f"give at least {FEWEST}")
    if not all(np.isfinite(picture.pixels).all() for picture in images):
        raise Problem(f"some pixels of '{name}' are not numbers", do="leave those images out or mend them")
    return common_size(images, name), images[0].pixels.dtype.name, images[0].channels


def _without_spacing(images: ImageSet) -> list[Picture]:
    return [replace(picture, spacing_um=(math.nan, math.nan)) for picture in images]


def _tables(
    extractor: FeatureExtractor,
    sets: Sequence[ComparedSet],
    intensity: IntensityMap,
    tell: Callable[[str], None],
) -> dict[str, FeatureTable]:
    """Features of each set by its name; equal sets are extracted once."""
    by_fingerprint: dict[str, FeatureTable] = {}
    for s in sets:
        if s.images.fingerprint not in by_fingerprint:
            tell(f"{extractor.name}: {s.name}")
            table = extractor(s.images, intensity)
            if len(table) != len(s.images) or table.images != s.images.fingerprint:
                raise ValueError(f"{extractor.name} did not return the features of '{s.name}'")
            by_fingerprint[s.images.fingerprint] = table
    return {s.name: by_fingerprint[s.images.fingerprint] for s in sets}


def _scores(
    distance: SetDistance,
    sets: Sequence[ComparedSet],
    tables: Mapping[str, FeatureTable],
    seed: int,
    resamples: int,
) -> list[Score]:
    """All scores of one distance over one extractor."""
    measured, floor = tables["measured"], tables["floor"]

    def to_measured(table: FeatureTable) -> tuple[Replicates, ...]:
        return distance(measured=measured, generated=table, seed=seed, resamples=resamples)

    floors: dict[int, tuple[Replicates, ...]] = {}
    scores = []
    for s in sets[1:]:
        n = min(len(floor), len(s.images))
        if n not in floors:
            floors[n] = to_measured(floor.first(n))
        if s.role == "floor":
            found = floors[n]
        else:
            # A part of the measured set would be no perfect copy of it, so identity keeps all its fields.
            found = to_measured(tables[s.name] if s.role == "identity" else tables[s.name].first(n))
        for metric, result, of_floor in zip(distance.metrics, found, floors[n], strict=True):
            scores.append(
                Score(
                    metric=measured.metric_names.get(metric.name, metric.name),
                    features=measured.features,
                    extractor=measured.extractor,
                    higher_is_better=metric.higher_is_better,
                    compared=s.name,
                    role=_role(s),
                    estimate=result.estimate,
                    floor=of_floor.estimate,
                    ratio_to_floor=ratio_to_floor(result.value, of_floor, higher_is_better=metric.higher_is_better),
                )
            )
    return scores


def _likelihoods(
    training: FeatureTable, sets: Sequence[ComparedSet], tables: Mapping[str, FeatureTable], seed: int, resamples: int
) -> list[Likelihood]:
    """The feature likelihood of everything that is not a measured set of this kind."""
    found = []
    for s in sets:
        if s.role not in ("generated", "another", "noise"):
            continue
        of_set = feature_likelihood(
            training=training, measured=tables["measured"], generated=tables[s.name], seed=seed, resamples=resamples
        )
        found.append(
            Likelihood(
                features=training.features,
                extractor=training.extractor,
                compared=s.name,
                role=_role(s),
                divergence=of_set.divergence.estimate,
                gap=of_set.gap.estimate,
                gap_of_measured=of_set.gap_of_measured,
            )
        )
    return found


def _diversity(
    measure: DiversityMeasure, s: ComparedSet, intensity: IntensityMap, seed: int, resamples: int
) -> Diversity:
    """Mean over pairs of fields of one set. A replicate weighs a pair by the product of its two weights."""
    groups = s.groups
    pairs = random_pairs(len(groups), PAIRS, seed)
    found = np.asarray(measure(s.images, intensity, [(int(i), int(j)) for i, j in pairs]), dtype=np.float64)
    if found.shape != (len(pairs),) or not np.isfinite(found).all():
        raise ValueError(f"{measure.name} did not give one finite number for each pair of '{s.name}'")
    weights = resampling_weights(groups, resamples, seed, Use.WEIGHTS_OF_DIVERSITY)
    of_pairs = weights[:, pairs[:, 0]] * weights[:, pairs[:, 1]]  # (resamples, pairs)
    of_pairs = of_pairs[of_pairs.sum(axis=1) > 0]
    draws = of_pairs @ found / of_pairs.sum(axis=1)
    return Diversity(
        metric=measure.name,
        compared=s.name,
        role=s.role,
        higher_is_more_diverse=measure.higher_is_more_diverse,
        estimate=Replicates.around(found.mean(), draws, len(groups), len(groups)).estimate,
    )


def random_pairs(count: int, most: int, seed: int) -> NDArray[np.intp]:
    """Different pairs i < j of ``count`` things, ``(p, 2)``: all, or ``most`` of them drawn at random."""
    total = count * (count - 1) // 2
    number = np.arange(total)
    if total > most:
        number = np.sort(numpy_generator(seed, Use.PAIRS).choice(total, size=most, replace=False))
    # Pair number k in the order (0, 1), (0, 2), (1, 2), (0, 3), ... has j (j - 1)/2 <= k < j (j + 1)/2.
    j = np.floor((1 + np.sqrt(1 + 8 * number)) / 2).astype(np.intp)
    return np.stack([number - j * (j - 1) // 2, j], axis=1)


def _role(s: ComparedSet) -> Role:
    assert s.role != "measured"
    return s.role


def _reservations(sets: Sequence[ComparedSet], intensity: IntensityMap) -> list[str]:
    """What a reader has to know about these sets, in plain sentences."""
    measured, floor = sets[:2]
    notes = []
    if not np.isfinite(measured.images[0].spacing_um).all():
        notes.append("Lengths are in pixels, because the size of a pixel is not known for every set.")
    specimens = len(set(measured.groups))
    if specimens < SPECIMENS_NEEDED:
        notes.append(
            f"The measured set has {specimens} specimen{'s' * (specimens > 1)}, fewer than"
            f" {SPECIMENS_NEEDED}: its intervals resample fields and do not contain the differences between"
            " specimens."
        )
    if set(measured.groups) & set(floor.groups):
        notes.append(
            "Measured and floor have specimens of the same name: if they are the same, the differences between"
            " specimens are not in the floor."
        )
    for s in sets[1:]:
        n, n_floor = len(s.images), len(floor.images)
        if s.role == "identity" and n > n_floor:
            notes.append(f"identity: scored with all {n} fields, while its floor has {min(n, n_floor)}.")
        elif n > n_floor:
            notes.append(f"{s.name}: distances use the first {n_floor} of {n} fields, as many as the floor has.")
        elif n < n_floor:
            notes.append(f"{s.name}: only {n} fields; its floor uses the first {n} of {n_floor}.")
        outside = np.mean([_share_outside(picture, intensity) for picture in s.images])
        if outside > 0:
            notes.append(
                f"{s.name}: {100 * outside:.2g} % of the pixels lie outside the grey range"
                f" {intensity.low:g} to {intensity.high:g} and are clipped before a network sees them."
            )
    return notes


def _share_outside(picture: Picture, intensity: IntensityMap) -> float:
    grey = picture.pixels.astype(np.float64)
    return float(((grey < intensity.low) | (grey > intensity.high)).mean())
