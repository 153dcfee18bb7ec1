"""Whether a conditioned method gives what it is asked for: the same reading, asked and measured in the image.

    R2 = 1 - sum (given - asked)^2 / sum (asked - mean asked)^2

about the identity line given = asked. It is 1 where every image is what was asked for, 0 where the errors are as large
as if every image were the mean of what was asked, and below 0 where they are larger. It is not the squared correlation,
which a method that always gives half of what it is asked for would pass with 1.

What is asked stands in the labels of a generated picture, under the name of the reading (an underscore is a space).
What is given is read from its pixels by the descriptor that evaluation uses, through a segmentation that is fitted
once, to measured images. Images that were asked for something outside the range that training saw are kept apart and
enter no score.
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from morphogen.evaluation.descriptors.descriptor import Descriptor, Scalar, fitted_descriptor
from morphogen.evaluation.descriptors.phase_fraction import DESCRIPTOR as PHASE_FRACTION
from morphogen.evaluation.fields import fields
from morphogen.evaluation.intervals import Replicates, mean_replicates, resampling_weights
from morphogen.evaluation.random_streams import Use
from morphogen.evaluation.records import Estimate, Record
from morphogen.evaluation.section import Section
from morphogen.evaluation.segmentation.segmentation import Segmentation, fit_segmentation
from morphogen.images.conditions import ASKED, OUTSIDE, known_as, listed
from morphogen.images.image_set import ImageSet, common_size
from morphogen.images.picture import Picture
from morphogen.problems import Problem
from morphogen.specimens.specimen import Specimen
from morphogen.specimens.specimen import specimen as kind_of_specimen

FEWEST = 8
"""Fewer images have no interval that could be trusted."""


class AskedAndGiven(Record):
    """One condition: what was asked for, and what the images show.

    Attributes:
        name: of the condition and the reading, "porosity".
        unit: of both, "" for a pure number.
        specimen: kind of specimen.
        fingerprint: of the generated images.
        measured_fingerprint: of the measured images to which the segmentation was fitted.
        segmentation: how the phase was told, in words.
        n: images that enter the scores.
        r2: about the identity line, see above; None where all were asked for the same.
        mean_absolute_error: in the unit.
        bias: mean of given minus asked, in the unit.
        asked: what was asked of each of the ``n`` images.
        given: what each of them shows.
        seen: lowest and highest value that training saw, where that is known.
        measured_range: lowest and highest value of measured fields of the same size.
        outside_asked: what was asked of images beyond the range that training saw.
        outside_given: what they show.
        n_invalid: images that do not have the reading.
        invalid: the commonest reason of these.
    """

    name: str
    unit: str
    specimen: str
    fingerprint: str
    measured_fingerprint: str
    segmentation: str
    n: int
    r2: Estimate | None
    mean_absolute_error: Estimate
    bias: Estimate
    asked: tuple[float, ...]
    given: tuple[float, ...]
    seen: tuple[float, float] | None = None
    measured_range: tuple[float, float] | None
    outside_asked: tuple[float, ...] = ()
    outside_given: tuple[float, ...] = ()
    n_invalid: int = 0
    invalid: str = ""


def asked_and_given(
    images: ImageSet,
    *,
    specimen: str | Specimen = "rock",
    measured: ImageSet,
    segmentation: str | Segmentation | None = None,
    seen: Mapping[str, tuple[float, float]] = MappingProxyType({}),
    fields_at_most: int = 256,
    seed: int = 0,
    resamples: int = 1000,
) -> tuple[AskedAndGiven, ...]:
    """Hold what was asked of generated images against what they show, for every condition that is a reading.

    Args:
        images: generated images of one size, with labels "asked NAME" (``generate`` writes them).
        specimen: kind of specimen, whose descriptors give the readings.
        measured: measured images, at least as large, to which the segmentation is fitted.
        segmentation: how the phase is told, "otsu", "masks", ..., or one that was fitted already; by default as the
            kind says.
        seen: lowest and highest value of a condition that training saw, where that is known, under the name of the
            condition (an underscore is a space); images that were asked for more are kept apart, as are those that
            carry a warning.
        fields_at_most: so many measured fields at most.
        seed: of fields and bootstrap.
        resamples: replicates of the bootstrap.

    Raises:
        Problem: nothing was asked of the images, or nothing that is a reading of the kind; too few images.
    """
    kind = kind_of_specimen(specimen) if isinstance(specimen, str) else specimen
    names = _asked_numbers(images)
    reference = fields(measured, common_size(images, "the generated set"), fields_at_most, seed)
    if segmentation is None or isinstance(segmentation, str):
        segmentation = fit_segmentation(segmentation or kind.segmentation, reference, kind.phase_is)
    sections = [Section.of(picture, segmentation) for picture in reference]
    describing = _descriptors_of(names, kind, sections)
    generated = [Section.of(picture, segmentation) for picture in images]
    return tuple(
        _held_together(
            name, images, _readings(name, generated, describe, kind), _readings(name, sections, describe, kind),
            measured, kind, segmentation.words, _of_name(name, seen), seed, resamples,
        )
        for name, describe in describing.items()
    )  # fmt: skip


def asked_names(images: ImageSet) -> list[str]:
    """The names of what was asked of the first image of a set; none where nothing was."""
    return [label.removeprefix(ASKED) for label in images[0].labels if label.startswith(ASKED)]


def _asked_numbers(images: ImageSet) -> list[str]:
    """The names of the numbers that were asked of all images.

    Raises:
        Problem: there are none.
    """
    names = asked_names(images)
    if not names:
        raise Problem(
            "the images don't say what was asked of them",
            do="give images that 'morphogen generate' drew from a conditioned run, with their manifest.json",
        )
    for name in names:
        for picture in images:
            if ASKED + name not in picture.labels:
                raise Problem(
                    f"nothing says which {name} was asked of {picture.origin.source or picture.origin.specimen}",
                    do="give images of one kind",
                )
    numbers = [name for name in names if not any(isinstance(p.labels[ASKED + name], str) for p in images)]
    if not numbers:
        raise Problem(f"{listed(names)}: a class was asked for, which is no reading of an image", do="ask for a number")
    return numbers


def _descriptors_of(names: Sequence[str], kind: Specimen, sections: Sequence[Section]) -> dict[str, Descriptor]:
    """The descriptor that gives each reading, tried on one measured section.

    Raises:
        Problem: none of the names is a reading.
    """
    found: dict[str, Descriptor] = {}
    known: list[str] = []
    for file in kind.descriptors:
        describe = fitted_descriptor(file, sections)
        here = [_called(reading, kind) for reading in describe(sections[0]).scalars]
        known += here
        found |= {name: describe for name in names if known_as(name, here) is not None}
        if len(found) == len(names):
            return found
    if not found:
        raise Problem(f"{listed(names)} is no reading of {kind.name} images", do=f"ask for one of {listed(known)}")
    return found


def _called(reading: str, kind: Specimen) -> str:
    return kind.fraction if reading == PHASE_FRACTION.name else reading


def _readings(name: str, sections: Sequence[Section], describe: Descriptor, kind: Specimen) -> list[Scalar]:
    found = []
    for section in sections:
        of = {_called(reading, kind): scalar for reading, scalar in describe(section).scalars.items()}
        spelt = known_as(name, of)
        assert spelt is not None  # seen to by ``_descriptors_of``
        found.append(of[spelt])
    return found


def _of_name(name: str, seen: Mapping[str, tuple[float, float]]) -> tuple[float, float] | None:
    known = known_as(name, seen)
    return seen[known] if known is not None else None


def _held_together(
    name: str,
    images: ImageSet,
    read: Sequence[Scalar],
    of_measured: Sequence[Scalar],
    measured: ImageSet,
    kind: Specimen,
    words: str,
    seen: tuple[float, float] | None,
    seed: int,
    resamples: int,
) -> AskedAndGiven:
    inside, outside, invalid = [], [], []
    for picture, reading in zip(images, read, strict=True):
        wish = float(picture.labels[ASKED + name])
        if reading.value is None:
            invalid.append(reading.invalid)
        elif _outside(name, wish, picture, seen):
            outside.append((wish, reading.value, picture.origin.specimen))
        else:
            inside.append((wish, reading.value, picture.origin.specimen))
    if len(inside) < FEWEST:
        raise Problem(
            f"{len(inside)} images were asked for a {name} that training saw and have that reading",
            do=f"give at least {FEWEST}",
        )
    asked_of, given_of, groups = (list(column) for column in zip(*inside, strict=True))
    asked, given = np.array(asked_of, dtype=np.float64), np.array(given_of, dtype=np.float64)
    known = [s.value for s in of_measured if s.value is not None]
    key = (seed, Use.WEIGHTS_OF_ASKED)

    def mean(values: NDArray[np.float64], low: float = -math.inf) -> Estimate:
        draws = mean_replicates(values, groups, resamples, *key)
        return Replicates(float(values.mean()), draws, len(of_measured), len(inside), (low, math.inf)).estimate

    return AskedAndGiven(
        name=name,
        unit=read[0].unit,
        specimen=kind.name,
        fingerprint=images.fingerprint,
        measured_fingerprint=measured.fingerprint,
        segmentation=words,
        n=len(inside),
        r2=_determination(asked, given, groups, len(of_measured), resamples, key),
        mean_absolute_error=mean(np.abs(given - asked), low=0.0),
        bias=mean(given - asked),
        asked=tuple(asked.tolist()),
        given=tuple(given.tolist()),
        seen=seen,
        measured_range=(min(known), max(known)) if known else None,
        outside_asked=tuple(a for a, _, _ in outside),
        outside_given=tuple(g for _, g, _ in outside),
        n_invalid=len(invalid),
        invalid=Counter(invalid).most_common(1)[0][0] if invalid else "",
    )


def _outside(name: str, asked: float, picture: Picture, seen: tuple[float, float] | None) -> bool:
    if seen is not None:
        little = 1e-6 * (seen[1] - seen[0])  # what rounding may do
        return not seen[0] - little <= asked <= seen[1] + little
    return f"{name} " in str(picture.labels.get(OUTSIDE, ""))


def _determination(
    asked: NDArray[np.float64],
    given: NDArray[np.float64],
    groups: Sequence[str],
    n_measured: int,
    resamples: int,
    key: tuple[int, ...],
) -> Estimate | None:
    """R2 about the identity line with its interval; None where all were asked for the same."""

    def of(weights: NDArray[np.float64]) -> NDArray[np.float64]:
        """``(k, n)`` weights to ``(k,)`` values; NaN where a replicate holds one asked value alone."""
        shares = weights / weights.sum(axis=1, keepdims=True)
        spread = shares @ asked**2 - (shares @ asked) ** 2
        misses = shares @ (given - asked) ** 2
        enough = spread > 1e-12 * np.ptp(asked) ** 2
        found: NDArray[np.float64] = 1 - np.divide(misses, spread, out=np.full_like(misses, np.nan), where=enough)
        return found

    if np.ptp(asked) <= 1e-9 * np.abs(asked).max():
        return None
    draws = of(resampling_weights(groups, resamples, *key))
    value = float(of(np.ones((1, len(asked))))[0])
    # Its replicates are skewed, far below 1 for few images: they are not shifted about the value.
    low, high = np.quantile(draws[np.isfinite(draws)], (0.025, 0.975))
    return Estimate(
        value=value, low=min(float(low), value), high=max(float(high), value), n_measured=n_measured,
        n_generated=len(asked),
    )  # fmt: skip
