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

    ``role`` is "measured" for the measured set itself. Where ``invalid`` is not empty the numbers are
    None and it says why.
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
    threshold: float
    phase: str
    interval_unit: str
    scores: tuple[Score, ...]
    readings: tuple[Reading, ...]
    curves: tuple[Curve, ...]
    diversities: tuple[Diversity, ...]
    notes: tuple[str, ...] = ()
