"""The audit: which metrics see which damage, and which cry wolf.

Clean fields are drawn or cut once. In every draw n of them are the reference, n others the compared set, and n of a
third part, which is never damaged, are what a generator would have been trained on. The compared set is then damaged:
all severities of all defects have the same draws, so that severity is the only difference.

    floor       scores of undamaged compared sets over ``FLOOR_DRAWS`` draws;
    told apart  a draw whose score lies above the 97.5 % quantile of the floor (distances), or outside of its 2.5 % and
                97.5 % quantiles (values: shares, similarities, diversities);
    power       share of ``draws`` further draws that are told apart;
    seen        a power of 0.8 or more, at this severity and at all graver ones;
    rank        Spearman's correlation of score and severity, 0 included, in each draw; its mean is given.

Draws are random parts of one pool of 2 n_max fields (and of up to 2 n_max training fields) and overlap. At n = n_max
each is a partition of the whole pool: the floor is then the permutation distribution of the score, and power is that
for these fields.

Every metric reads an image once; what costs is the number of images: 2 n_max for each severity of each defect.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from zlib import crc32

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from morphogen.audit.defect import AnyDefect, FieldDefect, Material, SetDefect, damaged, defects_for, repeats
from morphogen.audit.instruments import Instrument, OverFeatures, PerceptualDistances, Readings, Rows, Similarities
from morphogen.audit.records import SEEN, AtSize, Audit, Cell, DefectRecord
from morphogen.evaluation.descriptors.vector import DescriptorVector
from morphogen.evaluation.distances.set_distance import distance_names, set_distance
from morphogen.evaluation.features.extractor import extractor
from morphogen.evaluation.fields import fields
from morphogen.evaluation.random_streams import Use
from morphogen.evaluation.section import Section
from morphogen.evaluation.segmentation.segmentation import fit_segmentation
from morphogen.images.image_set import ImageSet, Pictures
from morphogen.images.intensity import IntensityMap
from morphogen.images.picture import Picture, stored_spacing
from morphogen.mathematics.randomness import numpy_generator
from morphogen.phantoms.phantom import image_set, phantoms
from morphogen.problems import Problem
from morphogen.specimens.specimen import specimen as kind_of_specimen

SIZES = (64, 256)
"""Numbers of images at which metrics are scored by default."""

FEWEST = 8
"""Images of a set below which distances between sets mean nothing."""

DRAWS, FLOOR_DRAWS = 100, 200

SMALLEST_PX = 32
"""Side of a field that all networks take."""

EXAMPLES_FROM = 8
"""Fields among which an example is chosen."""

MOST_UNITS = 1000.0
"""Where a departure from the floor, in its standard deviations, is cut off."""

Floats = NDArray[np.float64]
Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True, eq=False)
class Audited:
    """An audit, and what its damage looks like.

    Attributes:
        audit: the records.
        examples: for each defect of single images, by its name: one field, clean and at every severity.
    """

    audit: Audit
    examples: Mapping[str, tuple[Picture, ...]]


@dataclass(frozen=True, slots=True, eq=False)
class _Draw:
    """Indices of the reference and of the compared fields in the pool, and of training fields in theirs; ``(n,)``."""

    number: int
    reference: NDArray[np.intp]
    compared: NDArray[np.intp]
    training: NDArray[np.intp]


_RowsOf = Callable[[int, _Draw], Rows]
"""From the number of an instrument and a draw to the rows of the compared set."""


@dataclass(frozen=True, slots=True, eq=False)
class _Floor:
    """Scores of clean sets: ``scores`` is ``(floor draws, metrics)``, ``clean`` is ``(draws, metrics)``."""

    draws: tuple[_Draw, ...]
    scores: Floats
    clean: Floats


def audit(
    *,
    kind: str,
    measured: ImageSet | None = None,
    size: tuple[int, int] = (64, 64),
    n: Sequence[int] = SIZES,
    defects: Sequence[str] | None = None,
    segmentation: str | None = None,
    instruments: Callable[[Material], Sequence[Instrument]] | None = None,
    draws: int = DRAWS,
    seed: int = 0,
    progress: Tell | None = None,
) -> Audited:
    """Damage clean images in known ways, score every metric by whether it sees it, and keep examples of the damage.

    Args:
        kind: of specimen: "rock", "fiber", "root".
        measured: clean measured images; phantoms of this kind, each field a specimen of its own, where None. Three
            times the largest ``n`` of fields without overlap must fit.
        size: height and width of a field in pixels, at least ``SMALLEST_PX``.
        n: numbers of images at which metrics are scored.
        defects: file names of those wanted (``defect_names``); all that suit the kind by default.
        segmentation: how the phase is told; by default as the kind says.
        instruments: further metrics, made once the material is known.
        draws: how many draws of sets each power is measured over.
        seed: of phantoms, fields, damage and draws.
        progress: told in a few words what is being done.

    Raises:
        Problem: an unknown kind or defect, too few or too small fields, a segmentation that finds nothing.
    """
    tell = progress or (lambda _: None)
    sizes = tuple(sorted(set(n)))
    if not sizes or sizes[0] < FEWEST:
        raise Problem(f"sets of {min(n, default=0)} images tell nothing", do=f"ask for at least {FEWEST}")
    if min(size) < SMALLEST_PX:
        raise Problem(
            f"fields of {size[0]} x {size[1]} pixels are too small for the networks under audit",
            do=f"choose at least {SMALLEST_PX} x {SMALLEST_PX}",
        )
    kind_of = kind_of_specimen(kind)
    wanted = defects_for(kind_of, defects)
    pool, training, source = _clean(kind, measured, size, sizes[-1], seed, tell)
    material = Material(
        kind_of,
        fit_segmentation(segmentation or kind_of.segmentation, pool, kind_of.phase_is),
        IntensityMap.of([*pool, *training]),
    )
    tell("reading the clean images")
    readings = Readings(material, pool)
    used: list[Instrument] = [*_standard(material, size), readings, *(instruments(material) if instruments else ())]
    metrics = tuple(metric for instrument in used for metric in instrument.metrics)
    if len({metric.name for metric in metrics}) < len(metrics):
        raise ValueError("two metrics have one name")
    clean = [instrument.read(pool) for instrument in used]
    trained = [instrument.read(training) for instrument in used]
    sections = [material.section(picture) for picture in pool]

    def scored(number_of_draws: Sequence[_Draw], rows: _RowsOf) -> Floats:
        """``(draws, metrics)``; ``rows`` gives those of the compared set, from the number of the instrument."""

        def of_draw(draw: _Draw) -> list[float]:
            found: list[float] = []
            for k, instrument in enumerate(used):
                most = slice(instrument.most)
                found.extend(
                    instrument.scores(
                        measured=clean[k][draw.reference[most]],
                        training=trained[k][draw.training[most]],
                        compared=rows(k, draw),
                    )
                )
            return found

        return np.array([of_draw(draw) for draw in number_of_draws])

    untouched = _taken(used, clean)
    floors = {}
    for count in sizes:
        tell(f"the floor at n = {count}")
        drawn = _draws(seed, Use.AUDIT_DRAWS, count, draws, len(pool), len(training))
        floors[count] = _Floor(
            drawn,
            scored(_draws(seed, Use.AUDIT_FLOOR, count, FLOOR_DRAWS, len(pool), len(training)), untouched),
            scored(drawn, untouched),
        )
    two_sided = np.array([metric.two_sided for metric in metrics])
    cells: list[Cell] = []
    for defect in wanted:
        tell(defect.name)
        of_defect = {count: [floors[count].clean] for count in sizes}  # severity 0
        for rows in _damage(defect, used, clean, trained, sections, material, seed):
            for count in sizes:
                of_defect[count].append(scored(floors[count].draws, rows))
        at = {
            count: _at_size(count, floors[count].scores, np.array(of_defect[count]), defect.severities, two_sided)
            for count in sizes
        }
        cells += [
            Cell(metric=metric.name, defect=defect.name, at=tuple(at[count][m] for count in sizes))
            for m, metric in enumerate(metrics)
        ]
    record = Audit(
        kind=kind,
        source=source,
        fingerprint=Pictures([*pool, *training]).fingerprint,
        field_px=size,
        spacing_um=stored_spacing(pool[0].spacing_um),
        segmentation=material.segmentation.words,
        fields=len(pool) + len(training),
        sizes=sizes,
        draws=draws,
        floor_draws=FLOOR_DRAWS,
        seed=seed,
        metrics=metrics,
        defects=tuple(
            DefectRecord(
                name=d.name, unit=d.unit, severities=d.severities, definition=d.definition, harmless=d.harmless
            )
            for d in wanted
        ),
        cells=tuple(cells),
        notes=tuple(
            f"{name} exists in fewer than half of the clean fields and is left out." for name in readings.left_out
        ),
    )
    examples = {d.name: _example(d, sections, material, seed) for d in wanted if isinstance(d, FieldDefect)}
    return Audited(record, examples)


def _example(defect: FieldDefect, sections: Sequence[Section], material: Material, seed: int) -> tuple[Picture, ...]:
    """The field, of the first few, that the gravest damage changes most: clean, then at every severity."""
    few = sections[:EXAMPLES_FROM]
    steps = [damaged(defect, severity, few, material, seed) for severity in (0, *defect.severities)]
    changed = [
        float(np.abs(after.grey - before.grey).mean()) for before, after in zip(steps[0], steps[-1], strict=True)
    ]
    return tuple(step[int(np.argmax(changed))] for step in steps)


def _clean(
    kind: str, measured: ImageSet | None, size: tuple[int, int], most: int, seed: int, tell: Tell
) -> tuple[Pictures, Pictures, str]:
    """Fields that are drawn from, training fields, and where they come from."""
    # Twice as many training fields as are drawn from them, so that draws differ; measured images may have fewer.
    needed, wanted = 3 * most, 4 * most
    if measured is None:
        tell(f"drawing {wanted} {kind} phantoms")
        found = list(image_set(phantoms(kind, count=wanted, size=size, seed=seed)))
        source = f"{kind} phantoms, each field a specimen of its own"
    else:
        cut = fields(measured, size, wanted, seed)
        if len(cut) < needed:
            raise Problem(
                f"only {len(cut)} fields of {size[0]} x {size[1]} pixels fit, and sets of {most} need {needed}",
                do=f"ask for sets of at most {len(cut) // 3}, or for smaller fields",
            )
        # In random order, so that training fields are as like the others as these are among themselves.
        found = [cut[i] for i in numpy_generator(seed, Use.AUDIT_DRAWS).permutation(len(cut))]
        specimens = len({picture.origin.specimen for picture in found})
        source = f"measured images of {specimens} specimen{'s' * (specimens > 1)}"
    return Pictures(found[: 2 * most], "clean"), Pictures(found[2 * most :], "training"), source


def _standard(material: Material, size: tuple[int, int]) -> list[Instrument]:
    """What papers report, and what can be had from neighbours and from the descriptors as one vector."""
    every = [set_distance(name) for name in distance_names()]
    return [
        Similarities(material, size),
        PerceptualDistances(material, size),
        OverFeatures(extractor("vgg16"), every, material, standard=True, copies=True),
        OverFeatures(
            DescriptorVector(material.segmentation),
            [d for d in every if any(metric.name == "kernel distance" for metric in d.metrics)],
            material,
            standard=False,
            copies=True,
        ),
    ]


def _draws(seed: int, use: Use, count: int, draws: int, pool: int, training: int) -> tuple[_Draw, ...]:
    drawn = []
    for number in range(draws):
        generator = numpy_generator(seed, use, count, number)
        order = generator.permutation(pool)
        drawn.append(_Draw(number, order[:count], order[count : 2 * count], generator.permutation(training)[:count]))
    return tuple(drawn)


def _damage(
    defect: AnyDefect,
    used: Sequence[Instrument],
    clean: Sequence[Rows],
    trained: Sequence[Rows],
    sections: Sequence[Section],
    material: Material,
    seed: int,
) -> Iterator[_RowsOf]:
    """For each severity in turn, what gives the rows of a damaged compared set."""
    if isinstance(defect, FieldDefect):
        for severity in defect.severities:
            damage = damaged(defect, severity, sections, material, seed)
            yield _taken(used, [instrument.read(damage) for instrument in used])
        return
    sets = repeats(defect, sections, material, seed)
    versions = [[rows, *(instrument.read(s) for s in sets)] for instrument, rows in zip(used, clean, strict=True)]

    for severity in defect.severities:
        yield _rearranged(defect, severity, used, versions, trained, seed)


def _taken(used: Sequence[Instrument], read: Sequence[Rows]) -> _RowsOf:
    """The compared rows of a draw as they are."""
    return lambda k, draw: read[k][draw.compared[: used[k].most]]


def _rearranged(
    defect: SetDefect,
    severity: float,
    used: Sequence[Instrument],
    versions: Sequence[Sequence[Rows]],
    trained: Sequence[Rows],
    seed: int,
) -> _RowsOf:
    """The compared rows of a draw, some replaced by repeats or training rows."""

    def rows_of(k: int, draw: _Draw) -> Rows:
        count = len(draw.compared)
        # One stream for all severities of a draw: the graver damage contains the lighter one.
        generator = numpy_generator(seed, Use.AUDIT_PLACES, crc32(defect.name.encode()), count, draw.number)
        places = defect.places(count, len(draw.training), severity, generator)
        image, version = places.image[: used[k].most], places.version[: used[k].most]
        rows = np.empty((len(image), *versions[k][0].shape[1:]), versions[k][0].dtype)
        for v in np.unique(version):
            here = version == v
            if v < 0:
                rows[here] = trained[k][draw.training[image[here]]]
            else:
                rows[here] = versions[k][v][draw.compared[image[here]]]
        return rows

    return rows_of


def _at_size(
    count: int, floor: Floats, scores: Floats, severities: Sequence[float], two_sided: NDArray[np.bool_]
) -> list[AtSize]:
    """The results of every metric, from scores ``(severities with 0, draws, metrics)``."""
    if not np.isfinite(scores).all():
        raise ValueError("a metric gave a score that is not finite")
    low, high = np.quantile(floor, (0.025, 0.975), axis=0)
    mean, deviation = floor.mean(axis=0), floor.std(axis=0, ddof=1)
    beyond = (scores > high) | ((scores < low) & two_sided)
    power = beyond.mean(axis=1)  # (severities with 0, metrics)
    means = scores.mean(axis=1)
    shift = means - mean
    units = np.clip(shift / np.where(deviation > 0, deviation, 1.0), -MOST_UNITS, MOST_UNITS)
    units = np.where(deviation > 0, units, np.sign(shift) * MOST_UNITS)
    ranks = _rank_correlations(scores)
    found = []
    for m in range(scores.shape[2]):
        smallest = None
        for severity, share in zip(reversed(severities), reversed(power[1:, m]), strict=True):
            if share < SEEN:
                break
            smallest = severity
        found.append(
            AtSize(
                n=count,
                floor_mean=mean[m],
                floor_deviation=deviation[m],
                floor_low=low[m] if two_sided[m] else None,
                floor_high=high[m],
                scores=tuple(means[:, m]),
                in_floor_units=tuple(units[:, m]),
                power=tuple(power[:, m]),
                rank_correlation=ranks[m],
                smallest_seen=smallest,
            )
        )
    return found


def _rank_correlations(scores: Floats) -> Floats:
    """Spearman's correlation with the order along the first axis; mean over the second; ``(metrics,)``."""
    ranks = rankdata(scores, axis=0)
    ranks -= ranks.mean(axis=0)
    order = np.arange(len(scores)) - (len(scores) - 1) / 2
    covariance = np.tensordot(order, ranks, axes=1)
    size = np.sqrt((order**2).sum() * (ranks**2).sum(axis=0))
    correlations: Floats = np.divide(covariance, size, out=np.zeros_like(covariance), where=size > 0).mean(axis=0)
    return correlations
