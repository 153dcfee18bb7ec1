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
        trained_through: the set's method was trained to please these very features, so that the score is no evidence.
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
    trained_through: bool = False


class Reading(Record):
    """Mean of one descriptor over the fields of one set, in physical units.

    ``role`` is "measured" for the measured set itself. The mean is over the ``n`` fields that have a value; it and
    its interval are None where too few have (``evaluation/physics.py``). ``invalid`` is the commonest reason of the
    other ``n_invalid``.
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
    """Mean similarity between the images of one set: how much they differ among themselves.

    ``trained_through`` is true where it is read off features that the set's method was trained to please.
    """

    metric: str
    compared: str
    role: Role | Literal["measured"]
    higher_is_more_diverse: bool
    estimate: Estimate
    trained_through: bool = False


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


class Likelihood(Record):
    """Feature likelihood divergence of one set (``evaluation/feature_likelihood.py``): sees copies, unlike a distance.

    Attributes:
        features: what it is computed over.
        extractor: hash of weights and preprocessing.
        compared: name of the compared set.
        role: what it is.
        divergence: in hundredths of a nat for each dimension; about 0 for fresh measured images, lower is better.
        gap: generalisation gap in the same unit; more negative where training images were learned by heart.
        gap_of_measured: the gap of fresh measured images.
        trained_through: the set's method was trained to please these very features.
    """

    features: str
    extractor: str
    compared: str
    role: Role
    divergence: Estimate
    gap: Estimate
    gap_of_measured: float
    trained_through: bool = False


class Overlap(Record):
    """Mean of an overlap of two masks over trainings and test specimens, with its 95 % interval.

    ``n_seeds`` is 0 where nothing was trained.
    """

    value: float
    low: float
    high: float
    n_seeds: int
    n_specimens: int


class UsefulnessRow(Record):
    """How well the phase is told in measured images of unseen specimens, after training on one kind of images.

    Attributes:
        trained_on: "nothing" (a threshold), "measured", the name of a generated set, or "measured + NAME".
        n_measured: measured images trained on.
        n_generated: generated images trained on.
        dice: 2 TP / (2 TP + FP + FN) of each specimen, 0 to 1.
        iou: TP / (TP + FP + FN) of each specimen, 0 to 1.
        dice_above_measured: Dice less that of the row "measured", seed by seed and specimen by specimen; None there.
    """

    trained_on: str
    n_measured: int
    n_generated: int
    dice: Overlap
    iou: Overlap
    dice_above_measured: Overlap | None


class Usefulness(Record):
    """What generated images are worth for training a segmentation network; see ``usefulness/usefulness.py``."""

    training_fingerprint: str
    test_fingerprint: str
    fingerprints: dict[str, str]
    network: str
    crop_px: tuple[int, int]
    images_seen: int
    seeds: tuple[int, ...]
    threshold: str
    grey_range: tuple[float, float]
    rows: tuple[UsefulnessRow, ...]
    notes: tuple[str, ...] = ()


class Share(Record):
    """A share of independent things with its exact 95 % interval (Clopper and Pearson 1934)."""

    value: float
    low: float
    high: float
    hits: int
    n: int


class ClosestPair(Record):
    """A field and the training crop that is nearest to it.

    Attributes:
        field: index of the field in its set.
        image: index of the training image.
        top: first row of the crop there.
        left: first column.
        turns: quarter turns counter-clockwise that lay the crop as the field lies, ...
        mirrored: ... and whether it is then mirrored, left for right.
        residual: what is left of the field's contrast once brightness and contrast of the crop are fitted, as a
            share of it: 0 for a copy, 1 for nothing in common.
        relative_distance: that residual over the mean of those of the next nearest crops elsewhere.
    """

    field: int
    image: int
    top: int
    left: int
    turns: int
    mirrored: bool
    residual: float
    relative_distance: float


class Copying(Record):
    """How near a set comes to training images in one space, against held-out measured fields.

    Attributes:
        space: "pixels", or what the features are.
        copies: share of the generated fields that are nearer than ``threshold``.
        false_alarms: share of the held-out fields that a threshold from other held-out fields takes for copies.
        caught: share of the planted copies that are caught; None where none were planted.
        threshold: relative distance that 1 % of held-out fields stay below.
        more_than_chance: copies are more frequent than false alarms (Fisher's exact test, one-sided, 0.5 %).
        median_ratio: median relative distance of generated over that of held-out fields; below 1 where the set leans
            on its training images.
        generated: relative distance of each generated field with contrast.
        held_out: relative distance of each held-out field with contrast.
    """

    space: str
    copies: Share
    false_alarms: Share
    caught: Share | None
    threshold: float
    more_than_chance: bool
    median_ratio: Estimate
    generated: tuple[float, ...]
    held_out: tuple[float, ...]


class Memorisation(Record):
    """Whether a set hands back training images.

    Attributes:
        compared: name of the set.
        training_fingerprint: of the training images that were searched.
        held_out_fingerprint: of the measured fields that cannot be copies.
        generated_fingerprint: of the set.
        field_px: height and width of a field.
        pixels: copies by the best match of the pixels; None where ``invalid`` says why.
        invalid: why there is none.
        features: copies by nearest neighbours in a space of features; None where no features were given.
        pairs: generated fields that are nearest to training images, the nearest first.
        held_out_pairs: the same for held-out fields, to see what chance finds.
        notes: reservations.
    """

    compared: str
    training_fingerprint: str
    held_out_fingerprint: str
    generated_fingerprint: str
    field_px: tuple[int, int]
    pixels: Copying | None
    invalid: str = ""
    features: Copying | None
    pairs: tuple[ClosestPair, ...]
    held_out_pairs: tuple[ClosestPair, ...]
    notes: tuple[str, ...] = ()


class CaptionScore(Record):
    """How well the images of one set fit what is said of them (CLIPScore; ``evaluation/caption_scores.py``).

    Attributes:
        convention: "cosine", "100 x cosine" or "2.5 max(0, cosine)": one measure has three scales in papers.
        model: whose vectors, and how an image becomes what it takes.
        extractor: hash of the weights and of that.
        caption: what all images were held against; "" where each has its own.
        compared: name of the set.
        role: what it is.
        estimate: mean over its images.
    """

    convention: str
    model: str
    extractor: str
    caption: str
    compared: str
    role: Role | Literal["measured"]
    estimate: Estimate


class Likeness(Record):
    """Cosines of one image with captions; ``specimen`` and ``image`` say which it is."""

    image: str
    specimen: str
    cosines: tuple[float, ...]


class Classification(Record):
    """Images put to the caption that is most like them, without training on any class (``evaluation/zero_shot.py``).

    Attributes:
        model: whose vectors, and how an image becomes what it takes.
        extractor: hash of the weights and of that.
        captions: the classes in words.
        images: each with its cosines.
        found: index of the caption that each was put to.
        true: index of the right one; None where that is not known.
        accuracy: share of the images whose class is known that were put to it; None where it is known of none.
        confusion: how many of each true class (row) were put to each caption (column); None as above.
    """

    model: str
    extractor: str
    captions: tuple[str, ...]
    images: tuple[Likeness, ...]
    found: tuple[int, ...]
    true: tuple[int | None, ...]
    accuracy: Estimate | None
    confusion: tuple[tuple[int, ...], ...] | None


class CaptionRetrieval(Record):
    """How often the right caption of so many is the one that is most like an image (``evaluation/retrieval.py``).

    Attributes:
        model: whose vectors, and how an image becomes what it takes.
        extractor: hash of the weights and of that.
        of: captions, all different, that were put to the choice.
        first: share of the images whose own caption came first.
        among_five: share of the images whose own caption was among the first five.
        image_first: share of the captions whose own image came first among as many images.
    """

    model: str
    extractor: str
    of: int
    first: Estimate
    among_five: Estimate
    image_first: Estimate


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
    equivalences: tuple[Equivalence, ...] = ()
    likelihoods: tuple[Likelihood, ...] = ()
    memorisations: tuple[Memorisation, ...] = ()
    curves: tuple[Curve, ...]
    diversities: tuple[Diversity, ...]
    caption_scores: tuple[CaptionScore, ...] = ()
    notes: tuple[str, ...] = ()
