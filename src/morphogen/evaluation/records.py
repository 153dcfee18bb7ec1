"""What a comparison says, as records that become JSON, a table or a page.

A bare number is never returned: an estimate has its interval and both sample sizes, a reading has its
unit.
"""

from typing import Literal

from pydantic import BaseModel, ConfigDict

Role = Literal["generated", "floor", "identity", "noise", "another"]
"""What a compared set is: a generated one, or one of the four controls.

floor     other measured fields of the same kind (other specimens or regions)
identity  the measured fields themselves: what a perfect copy would score
noise     white noise with the measured histogram: what an image without structure would score
another   measured fields of another specimen: what a wrong specimen would score
"""


class Record(BaseModel):
    """A frozen record that refuses unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="strings")


class Estimate(Record):
    """A value with its 95 % interval and both sample sizes."""

    value: float
    low: float
    high: float
    n_measured: int
    n_generated: int


class Score(Record):
    """One set against the measured one, under one metric.

    Attributes:
        metric: "Frechet distance", "kernel distance", "precision", "recall", ...; "FID" and "KID" over the
            features of the standard Inception network, and over no others.
        features: what it is computed over, "VGG16 relu5_3", "descriptors", ...
        extractor: hash of weights and preprocessing of the extractor, resize included.
        higher_is_better: direction of the metric.
        compared: name of the compared set, such as "ddpm" or "noise".
        role: what the compared set is.
        estimate: the score.
        floor: the same metric between measured and measured, at the same two sample sizes.
        ratio_to_floor: estimate divided by the size of the floor (docs/metrics_definitions.md).
    """

    metric: str
    features: str
    extractor: str
    higher_is_better: bool
    compared: str
    role: Role
    estimate: Estimate
    floor: Estimate
    ratio_to_floor: float


class Reading(Record):
    """Mean of one descriptor over the fields of one set, in physical units.

    ``role`` is "measured" for the measured set itself. The mean is over the ``n`` fields that have a value; it and
    its interval are None where fewer than two have. ``invalid`` is the commonest reason of the other ``n_invalid``.
    """

    descriptor: str
    unit: str
    compared: str
    role: Role | Literal["measured"]
    mean: float | None
    low: float | None
    high: float | None
    spread: float | None
    n: int
    n_invalid: int = 0
    invalid: str = ""


class Diversity(Record):
    """Mean similarity between the images of one set: how much they differ among themselves."""

    metric: str
    compared: str
    role: Role | Literal["measured"]
    higher_is_more_diverse: bool
    estimate: Estimate


class Curve(Record):
    """A descriptor that is a function, such as S2(r): mean over fields with a 95 % band."""

    descriptor: str
    x_name: str
    x_unit: str
    y_unit: str
    compared: str
    role: Role | Literal["measured"]
    x: tuple[float, ...]
    mean: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]
    n: int


class Comparison(Record):
    """Everything that was found when sets were compared with one measured set."""

    specimen: str
    measured_fingerprint: str
    fingerprints: dict[str, str]
    field_px: tuple[int, int]
    spacing_um: tuple[float, float]
    segmentation: str
    phase: str
    interval_unit: str
    scores: tuple[Score, ...]
    readings: tuple[Reading, ...]
    curves: tuple[Curve, ...]
    diversities: tuple[Diversity, ...]
    notes: tuple[str, ...] = ()


EquivalenceVerdict = Literal["equivalent", "different", "undecided", "invalid"]
"""Whether the means of two sets agree within a margin; see ``evaluation/equivalence.py``."""


class Equivalence(Record):
    """One descriptor of one set against the measured one: how far, and whether that is near enough.

    Attributes:
        descriptor: name of the reading.
        unit: its unit, "" for a pure number; that of all lengths below but the ratio.
        compared: name of the compared set.
        role: what the compared set is.
        verdict: on the means of the fields that have the reading, or on how many have it.
        reason: why it is invalid, or why different although the means do not say so; else empty.
        distribution_differs: the distributions over fields are further apart than measured ones ever are, whatever
            the verdict on the means.
        margin: up to which difference of means two sets count as the same.
        difference: mean of the compared set minus that of the measured one.
        difference_90: its 90 % interval, which decides on equivalence at 5 %.
        difference_95: its 95 % interval, which decides on difference.
        wasserstein: Wasserstein-1 distance between the two distributions over fields.
        natural_spread: the same distance between two measured sets of these sizes, on average.
        natural_spread_high: the largest that 97.5 % of such pairs of measured sets have.
        ratio: ``wasserstein`` in units of the natural spread, about 1 for measured images; None where that is 0.
        fields_needed: so many fields in each set would decide an undecided verdict with a probability of 80 %, if the
            true difference is the one found; None where it would be more than is worth saying.
        n_measured: measured fields that have the reading.
        n_compared: compared fields that have it.
        without_measured: share of the measured fields that do not have the reading.
        without_compared: share of the compared fields that do not.
        interval_unit: what counted as independent in the measured set, "specimen" or "field".
    """

    descriptor: str
    unit: str
    compared: str
    role: Role
    verdict: EquivalenceVerdict
    reason: str = ""
    distribution_differs: bool = False
    margin: float | None = None
    difference: float | None = None
    difference_90: tuple[float, float] | None = None
    difference_95: tuple[float, float] | None = None
    wasserstein: Estimate | None = None
    natural_spread: float | None = None
    natural_spread_high: float | None = None
    ratio: Estimate | None = None
    fields_needed: int | None = None
    n_measured: int
    n_compared: int
    without_measured: float
    without_compared: float
    interval_unit: str
