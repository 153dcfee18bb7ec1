"""The physics of sets of fields: every descriptor of every field, as means, curves and equivalence tests.

A field is segmented once, and every descriptor reads the same section. Descriptors that need something in common
for all sets (a grid of grey levels) are fitted to the measured reference first.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import compress

import numpy as np

from morphogen.evaluation.compared_set import ComparedSet
from morphogen.evaluation.descriptors.descriptor import CurveReading, Descriptor, Readings, Scalar, fitted_descriptor
from morphogen.evaluation.descriptors.phase_fraction import DESCRIPTOR as PHASE_FRACTION
from morphogen.evaluation.equivalence import FEWEST, FieldReadings, equivalence
from morphogen.evaluation.intervals import interval, mean_replicates
from morphogen.evaluation.random_streams import Use
from morphogen.evaluation.records import Curve, Equivalence, Reading
from morphogen.evaluation.section import Section
from morphogen.evaluation.segmentation.segmentation import Segmentation
from morphogen.specimens.specimen import Specimen

FEWEST_VALUES = FEWEST
"""A mean of fewer fields has no interval that could be trusted, and is not given."""


@dataclass(frozen=True, slots=True, eq=False)
class SetPhysics:
    """All readings of the fields of one set.

    Attributes:
        of: the set.
        scalars: by the name of the reading, one a field.
        curves: by the name of the curve, one a field.
    """

    of: ComparedSet
    scalars: Mapping[str, Sequence[Scalar]]
    curves: Mapping[str, Sequence[CurveReading]]


def physics(
    sets: Sequence[ComparedSet],
    specimen: Specimen,
    segmentation: Segmentation,
    tell: Callable[[str], None] = lambda _: None,
) -> list[SetPhysics]:
    """The readings of all sets; of equal sets once.

    Args:
        sets: the measured reference first.
        specimen: which descriptors matter.
        segmentation: fitted to the reference.
        tell: told what is being done.
    """
    reference = [Section.of(picture, segmentation) for picture in sets[0].images]
    descriptors = [fitted_descriptor(name, reference) for name in specimen.descriptors]
    first = sets[0].images.fingerprint
    found: dict[str, list[Readings]] = {}

    for s in sets:
        if s.images.fingerprint not in found:
            tell(f"descriptors of {s.name}")
            same = s.images.fingerprint == first
            sections = reference if same else (Section.of(picture, segmentation) for picture in s.images)
            of_set = [_readings_of_field(descriptors, section, specimen) for section in sections]
            found[s.images.fingerprint] = of_set
    return [_gathered(s, found[s.images.fingerprint]) for s in sets]


def _readings_of_field(descriptors: Sequence[Descriptor], section: Section, specimen: Specimen) -> Readings:
    scalars: dict[str, Scalar] = {}
    curves: dict[str, CurveReading] = {}
    for describe in descriptors:
        readings = describe(section)
        scalars |= {specimen.fraction if n == PHASE_FRACTION.name else n: s for n, s in readings.scalars.items()}
        curves |= readings.curves
    return Readings(scalars, curves)


def _gathered(s: ComparedSet, fields: Sequence[Readings]) -> SetPhysics:
    return SetPhysics(
        s,
        {name: [readings.scalars[name] for readings in fields] for name in fields[0].scalars},
        {name: [readings.curves[name] for readings in fields] for name in fields[0].curves},
    )


def mean_readings(found: SetPhysics, seed: int, resamples: int) -> list[Reading]:
    """Mean of every reading over the fields of a set, with its interval."""
    return [_reading(name, found.of, scalars, seed, resamples) for name, scalars in found.scalars.items()]


def mean_curves(found: SetPhysics, seed: int, resamples: int) -> list[Curve]:
    """Mean of every curve over the fields of a set that have it, with its band; none where too few have."""
    curves = []
    for name, of_fields in found.curves.items():
        valid = [curve.y is not None for curve in of_fields]
        if sum(valid) < FEWEST_VALUES:
            continue
        first = of_fields[valid.index(True)]
        y = np.stack([curve.y for curve in of_fields if curve.y is not None])  # (n, k)
        draws = mean_replicates(y, list(compress(found.of.groups, valid)), resamples, seed, Use.WEIGHTS_OF_READINGS)
        low, high = interval(y.mean(axis=0), draws)
        curves.append(
            Curve(
                descriptor=name,
                x_name=first.x_name,
                x_unit=first.x_unit,
                y_unit=first.unit,
                compared=found.of.name,
                role=found.of.role,
                x=tuple(first.x.tolist()),
                mean=tuple(y.mean(axis=0).tolist()),
                low=tuple(low.tolist()),
                high=tuple(high.tolist()),
                n=len(y),
            )
        )
    return curves


def equivalences(found: Sequence[SetPhysics], specimen: Specimen, seed: int, resamples: int) -> list[Equivalence]:
    """Every reading of every set held against the measured one.

    Args:
        found: of the measured reference, of the floor, and of the sets in question.
        specimen: states the margins.
        seed: of the bootstrap.
        resamples: its replicates.
    """
    measured, floor = found[:2]
    tests = []
    for name, scalars in measured.scalars.items():
        reference, other = (FieldReadings.of(s.scalars[name], s.of.groups) for s in (measured, floor))
        for s in found[1:]:
            if s.of.role == "identity":
                continue
            assert s.of.role != "measured"
            tests.append(
                equivalence(
                    measured=reference,
                    floor=other,
                    compared=FieldReadings.of(s.scalars[name], s.of.groups),
                    descriptor=name,
                    unit=scalars[0].unit,
                    name=s.of.name,
                    role=s.of.role,
                    margin=specimen.margin(name),
                    seed=seed,
                    resamples=resamples,
                )
            )
    return tests


def _reading(name: str, s: ComparedSet, scalars: Sequence[Scalar], seed: int, resamples: int) -> Reading:
    valid = [scalar.value is not None for scalar in scalars]
    values = np.array([scalar.value for scalar in scalars if scalar.value is not None])
    reasons = Counter(scalar.invalid for scalar in scalars if scalar.value is None).most_common(1)
    mean = low = high = spread = None
    if len(values) >= FEWEST_VALUES:
        draws = mean_replicates(values, list(compress(s.groups, valid)), resamples, seed, Use.WEIGHTS_OF_READINGS)
        mean, spread = float(values.mean()), float(values.std(ddof=1))
        low, high = (float(end) for end in interval(mean, draws))
    return Reading(
        descriptor=name,
        unit=scalars[0].unit,
        compared=s.name,
        role=s.role,
        mean=mean,
        low=low,
        high=high,
        spread=spread,
        n=len(values),
        n_invalid=len(scalars) - len(values),
        invalid=reasons[0][0] if reasons else "",
    )
