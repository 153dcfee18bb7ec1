"""Is a set equivalent to the measured one in a descriptor, different from it, or can these images not tell?

That no difference was found is no evidence that there is none: with few fields nothing is ever found. So the question
is put the other way round, as for generic drugs. A margin says up to which difference of two means a scientist
would call them the same (``specimens/specimen.py``), and two one-sided tests at 5 % (Schuirmann, J. Pharmacokinetics
and Biopharmaceutics 15, 657, 1987), which are one 90 % interval, have to place the difference within it:

    equivalent   the 90 % interval of the difference of means lies within +-margin
    different    its 95 % interval lies wholly beyond the margin, on one side; with fields as units, from the floor too
    undecided    neither: these fields cannot tell

The difference. Mean over the compared fields minus mean over the measured ones. Units are specimens where a set has
``intervals.SPECIMENS_NEEDED`` of them, else fields. With u units of n_k fields and means x_k, the variance of the
mean of all n fields is

    v = u/(u - 1) sum_k (n_k (x_k - mean)/n)^2,

which for single fields is s^2/n; the interval is Welch's (Biometrika 34, 28, 1947), +-t sqrt(v + w), with the degrees
of freedom of Satterthwaite. For half a dozen specimens Student's t holds its level where the quantiles of a bootstrap
over them are too narrow. The margin counts as known, though one in units of the spread is measured on the same fields.

The distribution. Wasserstein-1 distance between the distributions over fields, the mean distance by which readings
would have to be moved to turn one into the other, in the reading's unit: the area between the distribution functions,

    W = integral |F(z) - G(z)| dz.

It sees what the mean does not: readings that vary too little, or too much. Its interval is the weighted bootstrap of
``intervals``.

The natural spread is what W is between two measured sets. W is never 0 in finite samples, so only measured sets of the
same sizes can be its yardstick. All measured fields, those of the reference and of the floor, are split at random into
two parts of the sizes of reference and compared set, many times over, and W averaged. They are split by whole
specimens where there are enough. Then the differences between specimens are in it, and the floor set itself,
which is one such split, has the ratio 1 on average. With fewer specimens, fields are split, and what specimens
or regions differ by would be missing; so the spread is then that average or W between reference and floor, whichever
is larger: a lucky draw cannot make it small, and an unlucky one makes the ratio smaller than it should be, never
larger. ``distribution_differs`` asks for more than a ratio above 1: W must exceed the 97.5 % quantile of these splits,
and the lower end of its interval their mean. The interval of the ratio takes the natural spread as known. Where
fewer than ``FEWEST`` floor fields have the reading there is no natural spread.

Fields without the reading (no pores, no branches) are left out and counted. A generator all of whose fields lack pores,
save a few, must not be judged by those few: where the share without the reading differs from that in the reference and
from that in the floor alike (Fisher's exact test at 1 % each, fields as units), the verdict is "different" whatever the
means say. Fewer than ``FEWEST`` fields with the reading make it invalid.

How many fields would decide. Half-widths shrink as one over the root of the number of units, at the same number of
fields a specimen. The number given makes the verdict with a probability of 80 % if the true difference is the one
found; for a difference within the margin that is

    Phi((margin - difference)/se - t) + Phi((margin + difference)/se - t) - 1 = 0.8.

It is rounded up to two digits. Above ``FIELDS_CAP`` nothing is said: the difference found is then as good as on the
margin.

Verdicts on sixty readings are not all right: about one in twenty on the very margin is called equivalent.
"""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, stats

from morphogen.evaluation.descriptors.descriptor import Scalar
from morphogen.evaluation.intervals import SPECIMENS_NEEDED, Replicates, resampling_weights, units
from morphogen.evaluation.intervals import unit as interval_unit
from morphogen.evaluation.random_streams import Use
from morphogen.evaluation.records import Equivalence, EquivalenceVerdict, Estimate, Role
from morphogen.mathematics.randomness import numpy_generator
from morphogen.specimens.specimen import Margin

FEWEST = 8
"""Fields with a reading in a set below which nothing is said about it."""

FIELDS_CAP = 10_000
"""More fields than this are not offered as a remedy."""

LEVEL_OF_SHARES = 0.01
"""Of the exact test on the shares of fields without a reading."""

POWER = 0.8
"""Probability with which the offered number of fields decides."""


@dataclass(frozen=True, slots=True, eq=False)
class FieldReadings:
    """One reading over the fields of one set.

    Attributes:
        values: ``(n,)`` of the fields that have it, finite.
        groups: specimen of each of these, ``n`` names.
        without: how many fields do not have it.
        reason: why not, for most of them; empty where all have it.

    Raises:
        ValueError: the lengths disagree or a value is not finite.
    """

    values: NDArray[np.float64]
    groups: tuple[str, ...]
    without: int = 0
    reason: str = ""

    def __post_init__(self) -> None:
        if self.values.shape != (len(self.groups),) or not np.isfinite(self.values).all():
            raise ValueError(f"values {self.values.shape} do not fit {len(self.groups)} groups, or are not finite")

    def first(self, count: int) -> "FieldReadings":
        """The first so many of the fields that have it; fields are in an order of which any part is spread evenly."""
        return replace(self, values=self.values[:count], groups=self.groups[:count])

    @classmethod
    def of(cls, scalars: Sequence[Scalar], groups: Sequence[str]) -> "FieldReadings":
        """The readings of all fields of a set, valid or not, with the specimen of each."""
        valid = [(s.value, group) for s, group in zip(scalars, groups, strict=True) if s.value is not None]
        reasons = Counter(s.invalid for s in scalars if s.value is None)
        return cls(
            values=np.array([value for value, _ in valid], dtype=np.float64),
            groups=tuple(group for _, group in valid),
            without=reasons.total(),
            reason=reasons.most_common(1)[0][0] if reasons else "",
        )

    def __len__(self) -> int:
        return len(self.groups)

    @property
    def share_without(self) -> float:
        """Share of all fields that do not have the reading; 0 of an empty set."""
        return self.without / max(len(self) + self.without, 1)


@dataclass(frozen=True, slots=True)
class Difference:
    """Difference of two means with what its intervals need.

    Attributes:
        value: mean of the compared fields minus mean of the measured ones.
        variances: of the two means, measured and compared.
        numbers: of fields, measured and compared.
        freedom: degrees of freedom of Student's t.
    """

    value: float
    variances: tuple[float, float]
    numbers: tuple[int, int]
    freedom: float

    @classmethod
    def of(cls, measured: FieldReadings, compared: FieldReadings) -> "Difference":
        """From two sets of at least two units each."""
        (mean, v, u), (other_mean, w, other_u) = map(_mean_and_variance, (measured, compared))
        total = v + w
        freedom = total**2 / (v**2 / (u - 1) + w**2 / (other_u - 1)) if total > 0 else float(u + other_u - 2)
        return cls(other_mean - mean, (v, w), (len(measured), len(compared)), freedom)

    def interval(self, level: float) -> tuple[float, float]:
        """Welch's interval that holds the true difference in this share of cases."""
        half = self._t(level, self.freedom) * math.sqrt(sum(self.variances))
        return self.value - half, self.value + half

    def fields_needed(self, margin: float) -> int | None:
        """Fields in each set that would decide, if this is the true difference; see the module."""
        size, gap = abs(self.value), abs(abs(self.value) - margin)
        of_one_field = sum(v * n for v, n in zip(self.variances, self.numbers, strict=True))
        if gap == 0 or of_one_field == 0:
            return None
        z = float(stats.norm.ppf(POWER))
        freedom, needed = self.freedom, 0.0
        for _ in range(8):  # more fields also mean more degrees of freedom
            if size > margin:
                steepness = (self._t(0.95, freedom) + z) / gap
            else:
                t = self._t(0.90, freedom)
                steepness = optimize.brentq(
                    lambda x, t=t: (
                        stats.norm.cdf((margin - size) * x - t) + stats.norm.cdf((margin + size) * x - t) - (1 + POWER)
                    ),
                    0.999 * (t + z) / gap,
                    1.001 * (t + float(stats.norm.ppf((1 + POWER) / 2))) / gap,
                )
            needed = of_one_field * float(steepness) ** 2
            freedom = max(self.freedom * needed * sum(self.variances) / of_one_field, 1.0)
        if needed > FIELDS_CAP:
            return None
        digit = 10 ** max(math.floor(math.log10(needed)) - 1, 0)
        return int(max(math.ceil(needed / digit) * digit, FEWEST))

    @staticmethod
    def _t(level: float, freedom: float) -> float:
        return float(stats.t.ppf((1 + level) / 2, freedom))


def equivalence(
    *,
    measured: FieldReadings,
    floor: FieldReadings,
    compared: FieldReadings,
    descriptor: str,
    unit: str,
    name: str,
    role: Role,
    margin: Margin,
    seed: int = 0,
    resamples: int = 200,
) -> Equivalence:
    """Hold one reading of one set against the measured one.

    Args:
        measured: the reference fields.
        floor: other measured fields; also where the compared set is the floor.
        compared: the fields in question.
        descriptor: name of the reading.
        unit: its unit, "" for a pure number.
        name: of the compared set.
        role: what the compared set is.
        margin: up to which difference of means the two count as the same; its mean and spread are those of
            ``measured``.
        seed: of the bootstrap and the splits.
        resamples: replicates of the bootstrap, and splits of the measured fields.
    """
    finding = partial(
        Equivalence,
        descriptor=descriptor,
        unit=unit,
        compared=name,
        role=role,
        n_measured=len(measured),
        n_compared=len(compared),
        without_measured=measured.share_without,
        without_compared=compared.share_without,
        interval_unit=interval_unit(measured.groups),
    )
    other_share = _other_share(measured, floor, compared)
    if few := _too_few(measured, "measured") or _too_few(compared, "compared"):
        return finding(verdict="different" if other_share else "invalid", reason=other_share or few)

    difference = Difference.of(measured, compared)
    allowed = margin.absolute(float(measured.values.mean()), float(measured.values.std(ddof=1)))
    verdict, reason = _verdict(difference, allowed)
    if verdict == "different" and interval_unit(measured.groups) == "field" and len(floor) >= 2:
        # Few specimens: a difference from one half of the measured fields must be one from the other half too.
        from_floor, _ = _verdict(Difference.of(floor, compared), allowed)
        same_side = (compared.values.mean() - floor.values.mean()) * difference.value > 0
        verdict = "different" if from_floor == "different" and same_side else "undecided"
    if other_share:
        verdict, reason = "different", other_share

    # Of the floor's number of fields, as distances are: with more, W would be smaller than any natural spread.
    as_many = compared.first(len(floor)) if len(floor) >= FEWEST else compared
    wasserstein = _wasserstein(measured, as_many, seed, resamples).estimate
    spread = high = ratio = None
    if len(floor) >= FEWEST:
        splits = natural_spread(measured=measured, floor=floor, n_compared=len(as_many), seed=seed, splits=resamples)
        spread, high = float(splits.mean()), float(np.quantile(splits, 0.975))
    if spread:
        ends = {end: getattr(wasserstein, end) / spread for end in ("value", "low", "high")}
        ratio = wasserstein.model_copy(update=ends)
    return finding(
        verdict=verdict,
        reason=reason,
        distribution_differs=_beyond(wasserstein, spread, high),
        margin=allowed,
        difference=difference.value,
        difference_90=difference.interval(0.90),
        difference_95=difference.interval(0.95),
        wasserstein=wasserstein,
        natural_spread=spread,
        natural_spread_high=high,
        ratio=ratio,
        fields_needed=difference.fields_needed(allowed) if verdict == "undecided" else None,
    )


def wasserstein_distances(
    values: NDArray[np.float64], u: NDArray[np.float64], v: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Wasserstein-1 distance between two weighted distributions over the same values, for many weightings at once.

    Args:
        values: ``(n,)``, those of both samples.
        u: ``(r, n)``, weights in the first sample, 0 where a value belongs to the second only; sums above 0.
        v: ``(r, n)``, weights in the second.

    Returns:
        ``(r,)``, in the unit of the values.
    """
    order = np.argsort(values)
    of_both = u[:, order] / u.sum(axis=1, keepdims=True) - v[:, order] / v.sum(axis=1, keepdims=True)
    steps: NDArray[np.float64] = np.abs(np.cumsum(of_both, axis=1)[:, :-1])
    found: NDArray[np.float64] = steps @ np.diff(values[order])
    return found


def natural_spread(
    *, measured: FieldReadings, floor: FieldReadings, n_compared: int, seed: int = 0, splits: int = 200
) -> NDArray[np.float64]:
    """Wasserstein-1 distances between two measured sets, one for each random split of all measured fields.

    Args:
        measured: the reference fields.
        floor: other measured fields.
        n_compared: fields of the compared set; the second part of a split has as many, or all that are left.
        seed: of the splits.
        splits: how many.

    Returns:
        ``(splits,)``. Splits by whole specimens where there are enough of them; else by fields, none below the
        distance between reference and floor where that is above their mean.
    """
    values = np.concatenate([measured.values, floor.values])
    one, two = _splits(measured.groups, floor.groups, n_compared, splits, seed)
    found = wasserstein_distances(values, one, two)
    if not _by_specimens(measured.groups, floor.groups):
        is_floor = np.zeros((1, len(values)))
        is_floor[:, len(measured) :] = 1
        between = float(wasserstein_distances(values, 1 - is_floor, is_floor)[0])
        # Regions or specimens that differ move all splits up, to where these two are on average.
        found = found + max(between - found.mean(), 0.0)
    return found


def _by_specimens(measured: tuple[str, ...], floor: tuple[str, ...]) -> bool:
    return len({*measured, *floor}) >= SPECIMENS_NEEDED


@lru_cache(maxsize=16)  # most readings of a set exist in all of its fields
def _splits(
    measured: tuple[str, ...], floor: tuple[str, ...], n_compared: int, splits: int, seed: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Which measured fields are in the first and in the second part of each split, ``(splits, n)`` of 0 and 1."""
    generator = numpy_generator(seed, Use.PARTITIONS_OF_MEASURED)
    order = generator.random((splits, len(measured) + len(floor)))
    if _by_specimens(measured, floor):
        specimens = sorted({*measured, *floor})
        # As many specimens in the first part as the reference has; half of them where both parts share all.
        share = len(set(measured)) / (len(set(measured)) + len(set(floor)))
        count = min(max(round(share * len(specimens)), 1), len(specimens) - 1)
        chosen = _rank(generator.random((splits, len(specimens)))) < count
        first = chosen[:, np.searchsorted(specimens, measured + floor)]
    else:
        first = _rank(order) < len(measured)
    # What is more than the wanted number of fields stays out, in random order.
    one = first & (_rank(np.where(first, order, np.inf)) < len(measured))
    two = ~first & (_rank(np.where(first, np.inf, order)) < n_compared)
    return one.astype(np.float64), two.astype(np.float64)


@lru_cache(maxsize=16)
def _bootstrap(groups: tuple[str, ...], resamples: int, *key: int) -> NDArray[np.float64]:
    return resampling_weights(groups, resamples, *key)


def _rank(keys: NDArray[np.float64]) -> NDArray[np.intp]:
    """Rank of each key within its row, from 0."""
    ranks = np.empty(keys.shape, dtype=np.intp)
    np.put_along_axis(ranks, np.argsort(keys, axis=1), np.arange(keys.shape[1])[None], axis=1)
    return ranks


def _wasserstein(measured: FieldReadings, compared: FieldReadings, seed: int, resamples: int) -> Replicates:
    """The distance with its bootstrap replicates."""
    n, m = len(measured), len(compared)
    u, v = np.zeros((resamples + 1, n + m)), np.zeros((resamples + 1, n + m))
    u[0, :n], v[0, n:] = 1, 1  # the first row is the sample itself, the others are its replicates
    u[1:, :n] = _bootstrap(measured.groups, resamples, seed, Use.WEIGHTS_OF_MEASURED)
    v[1:, n:] = _bootstrap(compared.groups, resamples, seed, Use.WEIGHTS_OF_COMPARED)
    found = wasserstein_distances(np.concatenate([measured.values, compared.values]), u, v)
    return Replicates.around(found[0], found[1:], n, m, limits=(0.0, math.inf))


def _mean_and_variance(fields: FieldReadings) -> tuple[float, float, int]:
    """Mean over fields, the variance of this mean, and the number of units."""
    unit_of_field = units(fields.groups)
    mean = float(fields.values.mean())
    sums = np.bincount(unit_of_field, weights=fields.values - mean)
    count = len(sums)
    return mean, count / (count - 1) * float(np.sum((sums / len(fields)) ** 2)), count


def _beyond(wasserstein: Estimate, spread: float | None, high: float | None) -> bool:
    """Whether two distributions are further apart than measured ones are."""
    return spread is not None and high is not None and wasserstein.low > spread and wasserstein.value > high


def _verdict(difference: Difference, margin: float) -> tuple[EquivalenceVerdict, str]:
    """On the means alone, and why it is invalid where it is."""
    low, high = difference.interval(0.95)
    if low > margin or high < -margin:
        return "different", ""
    if margin == 0:
        return "invalid", "the measured fields give a margin of 0"
    low, high = difference.interval(0.90)
    return ("equivalent" if -margin <= low and high <= margin else "undecided"), ""


def _too_few(fields: FieldReadings, whose: str) -> str:
    """In words that a set has too few fields with the reading; empty where it has enough."""
    if len(fields) >= FEWEST:
        return ""
    because = f" ({fields.reason})" if fields.reason else ""
    return f"only {len(fields)} of {len(fields) + fields.without} {whose} fields have it{because}"


def _other_share(measured: FieldReadings, floor: FieldReadings, compared: FieldReadings) -> str:
    """In words that the reading is missing in another share of fields than in measured sets; empty where not."""

    def differs(other: FieldReadings) -> bool:
        table = [[len(compared), compared.without], [len(other), other.without]]
        return bool(stats.fisher_exact(table).pvalue < LEVEL_OF_SHARES)

    if measured.without == compared.without == 0 or not (differs(measured) and differs(floor)):
        return ""
    reason = compared.reason if compared.share_without > measured.share_without else measured.reason
    return (
        f"missing in {compared.without} of {len(compared) + compared.without} fields,"
        f" in {measured.without} of {len(measured) + measured.without} measured ones ({reason})"
    )
