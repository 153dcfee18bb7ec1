"""Whether a generator hands back its training images.

**Distance of a field.** The field is sought in all training images, at every pixel shift, under all eight flips and
quarter turns (``nearest_training``). Let r_1 <= r_2 <= ... be the residuals of its nearest training crops at places
that differ. Some fields are easy to match (one straight edge) and others are not (noise), copied or not. So the nearest
crop is measured by the next ones, as Lowe (IJCV 60, 91, 2004) does to match key points, and Carlini et al. (USENIX
Security 2023) to extract training images from diffusion models. The *relative distance* is

    d = r_1 / mean(r_2, ..., r_9):   near 1 where one training crop is as good as another, near 0 for a copy.

In features it is the same ratio of Euclidean distances between rows, without a search over places.

**Threshold.** Held-out measured fields cannot be copies. A field counts as a copy where d lies below what 1 % of them
reach. One hundredth of a hundred fields is one field, so the quantile is read from a fit to the lower tail of
x = log d, exponential below u (peaks over threshold: Pickands, Annals of Statistics 3, 119, 1975, with shape 0). With
m of n values below u, m the larger of n/5 and 8,

    P(X < x) = (m / n) exp(-(u - x) / b),   b = (1 + 1/sqrt(m)) mean(u - x_i);   log threshold = u - b log(100 m / n).

The scale b is taken one standard error larger than found, since copies are far away and false alarms are not. On
average this gives 0.7 to 1.0 % false alarms among fields of new phantoms (three kinds, thresholds from 30 to 240
fields) and 0 to 0.9 % over normal, Gumbel, t (4 degrees of freedom) and contaminated normal distributions, n = 16 to
256; a normal fit by median and MAD gives up to 7.7 %.

**What is reported.** The share of copies among the generated fields. The share of false alarms by cross-validation:
each half of the held-out fields is judged by the threshold of the other; halves are whole specimens where there are
enough. The share of planted copies that is caught, which says what a share of no copies is worth: crops of the training
images at any place, turned at random, with 2 to 5 % of the grey range as noise and up to 10 % more or less contrast.
All three have exact intervals (Clopper and Pearson, Biometrika 26, 404, 1934). And the median d of generated fields
over that of held-out ones, which lies below 1 where fields lean on training images without repeating them.

Valid where the held-out fields are measured as the training images are and are as like them as new fields of the same
specimens would be; those of another material are further away and set the threshold too high. Fields smoother than
measured ones are a little easier to match: a Gaussian blur of 1.5 pixels lowers the median d of held-out phantoms by
0.2 to 2 %. Not seen: a copy that is scaled, sheared or inverted; a noisy copy of a place that the training images hold
more than about five times. Its twins make the mean in the denominator small; that mean counts as ``SAME_PLACE`` at
least, so that an exact copy is always seen.

Fields whose standard deviation is below ``FEATURELESS`` of the grey range of the training images show nothing to be
recognised by. They are counted and left out.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import cdist
from scipy.stats import beta, fisher_exact

from morphogen.evaluation.feature_table import FeatureTable, comparable
from morphogen.evaluation.intervals import Replicates, resampling_weights, units
from morphogen.evaluation.nearest_training import (
    Match,
    grey_range,
    nearest_training,
    turned,
)
from morphogen.evaluation.random_streams import Use
from morphogen.evaluation.records import ClosestPair, Copying, Estimate, Memorisation, Share
from morphogen.images.cropping import require_room
from morphogen.images.image_set import ImageSet, Pictures, common_size
from morphogen.images.picture import Picture
from morphogen.images.stored_pixels import stored
from morphogen.mathematics.randomness import numpy_generator
from morphogen.problems import Problem

FALSE_ALARMS = 0.01
"""Share of held-out fields that may be taken for copies."""

NEIGHBOURS = 8
"""Next nearest crops that the nearest one is measured by."""

FEATURELESS = 0.01
"""Standard deviation, as a share of the grey range of the training images, below which a field shows nothing."""

FEWEST = 16
"""Held-out fields below which no threshold can be set."""

SAME_PIXELS = 0.01
"""A held-out field with a smaller residual is taken from the training images themselves."""

SAME_PLACE = 0.05
"""Smallest mean residual that a nearest crop is measured by: what is nearer everywhere is everywhere a copy."""

LEAST = 1e-6
"""Relative distance of an exact copy, so that it has a logarithm."""

MORE_THAN_CHANCE = 0.005
"""Fisher's exact test calls copies more frequent than false alarms below this probability, a strict one."""

NOISE = (0.02, 0.05)  # of planted copies, as a share of the grey range
GAIN = (0.9, 1.1)


@dataclass(frozen=True, slots=True, eq=False)
class _Distances:
    """Relative distances of the fields of a set, ``values`` (n,), and the specimens that they come from."""

    values: NDArray[np.float64]
    groups: tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)
class _Sought:
    """A set of fields and what was found for those with contrast.

    Attributes:
        images: all fields.
        shown: index of each field with contrast.
        matches: nearest training crops of each of these.
    """

    images: ImageSet
    shown: list[int]
    matches: list[list[Match]]

    @property
    def distances(self) -> _Distances:
        """Of the fields with contrast."""
        residuals = [[match.residual for match in found] for found in self.matches]
        others = [max(float(np.mean(r[1:] or [1.0])), SAME_PLACE) for r in residuals]
        values = np.array([r[0] / other for r, other in zip(residuals, others, strict=True)])
        return _Distances(np.maximum(values, LEAST), tuple(self.images[i].origin.specimen for i in self.shown))


def memorisation(
    *,
    training: ImageSet,
    held_out: ImageSet,
    generated: ImageSet,
    training_features: FeatureTable | None = None,
    held_out_features: FeatureTable | None = None,
    generated_features: FeatureTable | None = None,
    compared: str = "generated",
    planted: int = 64,
    pairs: int = 12,
    seed: int = 0,
    resamples: int = 200,
    progress: Callable[[str], None] | None = None,
) -> Memorisation:
    """Look for the generated fields in the training images, as for held-out measured fields, which are not there.

    Args:
        training: the images that the method was trained on, of any sizes from that of a field up.
        held_out: measured fields that it never saw, at least ``FEWEST``.
        generated: its fields, of the same size.
        training_features: features of crops of the training images, turned in the ways the method saw; at least
            ``NEIGHBOURS`` + 1 rows. With the next two, or none of the three.
        held_out_features: features of ``held_out``.
        generated_features: features of ``generated``.
        compared: name of the generated set.
        planted: how many copies of training crops are made to see whether they are caught; may be 0.
        pairs: how many of the closest pairs are kept, of generated and of held-out fields each.
        seed: of halves, planted copies and the bootstrap.
        resamples: replicates of the bootstrap.
        progress: told what is being done.

    Raises:
        Problem: fields of different sizes, sets of different pixel types or channels, too few held-out fields,
            training images that are too small or without contrast, or that hold the held-out fields.
    """
    return memorisations(
        training=training,
        held_out=held_out,
        generated={compared: generated},
        training_features=training_features,
        held_out_features=held_out_features,
        generated_features=None if generated_features is None else {compared: generated_features},
        planted=planted,
        pairs=pairs,
        seed=seed,
        resamples=resamples,
        progress=progress,
    )[0]


def memorisations(
    *,
    training: ImageSet,
    held_out: ImageSet,
    generated: Mapping[str, ImageSet],
    training_features: FeatureTable | None = None,
    held_out_features: FeatureTable | None = None,
    generated_features: Mapping[str, FeatureTable] | None = None,
    planted: int = 64,
    pairs: int = 12,
    seed: int = 0,
    resamples: int = 200,
    progress: Callable[[str], None] | None = None,
) -> tuple[Memorisation, ...]:
    """``memorisation`` of several sets by their names; held-out fields and planted copies are sought only once."""
    size = _checked(training, held_out, generated)
    tables = (training_features, held_out_features, generated_features)
    if any(t is None for t in tables) and any(t is not None for t in tables):
        raise Problem("features are given for some of the sets only", do="give them for all of them, or for none")
    asked = [held_out, *generated.values()]
    if planted:
        asked.append(planted_copies(training, size, planted, seed))
    of_held_out, *of_generated = _sought(training, asked, progress)
    of_copies = of_generated.pop().distances.values if planted else None
    seen = _reservations("held-out", of_held_out)
    leaked = _leaked(of_held_out)

    records = []
    for (name, images), found in zip(generated.items(), of_generated, strict=True):
        pixels, features, invalid = None, None, ""
        if not found.matches:
            invalid = f"no field of '{name}' has contrast"
        elif len(of_held_out.matches) < FEWEST:
            invalid = f"only {len(of_held_out.matches)} held-out fields have contrast, and {FEWEST} are needed"
        else:
            pixels = _copying("pixels", found.distances, of_held_out.distances, of_copies, seed, resamples)
        if training_features is not None and held_out_features is not None and generated_features is not None:
            features = _copying(
                training_features.features,
                _in_features(training_features, generated_features[name], images, at_least=1),
                _in_features(training_features, held_out_features, held_out, at_least=FEWEST),
                None,
                seed,
                resamples,
            )
        records.append(
            Memorisation(
                compared=name,
                training_fingerprint=training.fingerprint,
                held_out_fingerprint=held_out.fingerprint,
                generated_fingerprint=images.fingerprint,
                field_px=size,
                pixels=pixels,
                invalid=invalid,
                features=features,
                pairs=_closest(found, pairs),
                held_out_pairs=_closest(of_held_out, pairs),
                notes=(*leaked, *seen, *_reservations("generated", found)),
            )
        )
    return tuple(records)


def matched_crop(training: ImageSet, pair: ClosestPair, size: tuple[int, int]) -> Picture:
    """The training crop of a pair, turned to lie as its field does.

    Args:
        training: the training images.
        pair: one of the closest pairs.
        size: height and width of the field.
    """
    height, width = size if pair.turns % 2 == 0 else size[::-1]
    return _turned(training[pair.image].crop(pair.top, pair.left, height, width), pair.turns, pair.mirrored)


def planted_copies(training: ImageSet, size: tuple[int, int], count: int, seed: int = 0) -> Pictures:
    """Slightly altered copies of training crops, as a test of any measure that should see copying.

    Each is a crop at a random place, turned by one of the eight symmetries, with ``GAIN`` times its contrast and
    white noise of a standard deviation of ``NOISE`` times the grey range of the training images.

    Args:
        training: the training images, each at least as large as a field.
        size: height and width of a field.
        count: how many copies, at least 1.
        seed: of places, turns, gains and noise.
    """
    low, high = grey_range(training)
    room = np.array([(p.size[0] - size[0] + 1) * (p.size[1] - size[1] + 1) for p in training], dtype=np.float64)
    made = []
    for index in range(count):
        random = numpy_generator(seed, Use.PLANTED_COPIES, index)
        for _ in range(100):  # a place with contrast
            picture = training[int(random.choice(len(room), p=room / room.sum()))]
            (rows, columns), turns, mirrored = picture.size, int(random.integers(4)), bool(random.integers(2))
            height, width = size if turns % 2 == 0 else size[::-1]
            if rows < height or columns < width:
                turns, height, width = turns - 1, *size
            crop = picture.crop(
                int(random.integers(rows - height + 1)), int(random.integers(columns - width + 1)), height, width
            )
            if crop.grey.std() >= FEATURELESS * (high - low):
                break
        pixels = crop.pixels.astype(np.float64)
        mean = pixels.mean()
        noise = random.uniform(*NOISE) * (high - low) * random.standard_normal(pixels.shape[1:])
        pixels = mean + random.uniform(*GAIN) * (pixels - mean) + noise
        dtype = picture.pixels.dtype
        if dtype.kind == "u":
            pixels = np.clip(np.rint(pixels), 0, 2 ** (8 * dtype.itemsize) - 1)
        made.append(_turned(replace(crop, pixels=pixels.astype(dtype)), turns, mirrored))
    return Pictures(made, "planted copies")


def tail_threshold(values: NDArray[np.float64], share: float = FALSE_ALARMS) -> float:
    """The value below which that share of such values lies at most, from an exponential fit to their lower tail.

    Args:
        values: ``(n,)``, at least 2.
        share: small, at most 1/5.
    """
    ordered = np.sort(values)
    lowest = min(max(8, len(values) // 5), len(values) - 1)
    scale = (1 + 1 / math.sqrt(lowest)) * float((ordered[lowest] - ordered[:lowest]).mean())
    return float(ordered[lowest]) - scale * math.log(lowest / (share * len(values)))


def exact_share(hits: NDArray[np.bool_]) -> Share:
    """The share of hits among independent draws, ``(n,)``, with the exact 95 % interval of Clopper and Pearson."""
    n, k = len(hits), int(hits.sum())
    return Share(
        value=k / n,
        low=float(beta.ppf(0.025, k, n - k + 1)) if k > 0 else 0.0,
        high=float(beta.ppf(0.975, k + 1, n - k)) if k < n else 1.0,
        hits=k,
        n=n,
    )


def _checked(training: ImageSet, held_out: ImageSet, generated: Mapping[str, ImageSet]) -> tuple[int, int]:
    """Size of the fields, after the checks that these sets can be compared."""
    if len(held_out) < FEWEST:
        raise Problem(
            f"{len(held_out)} held-out fields are too few to tell copies from chance", do=f"give at least {FEWEST}"
        )
    if any(stored(picture.pixels) is not None for picture in training):
        raise Problem(
            "the training images are larger than what is searched whole, and stay on disk",
            do="give a part of them as the training images",
        )
    size = common_size(held_out, "held-out fields")
    kind = training[0].pixels.dtype.name, training[0].channels
    for name, images in {"held-out": held_out, **generated, "training": training}.items():
        if images is not training and common_size(images, name) != size:
            raise Problem(f"'{name}' fields are not {size}, as the held-out ones are", do="cut them to one size first")
        here = images[0].pixels.dtype.name, images[0].channels
        if here != kind:
            raise Problem(
                f"'{name}' images are {here[0]} with {here[1]} channels, training images {kind[0]} with {kind[1]}",
                do="convert them to one kind first",
            )
        if not all(np.isfinite(picture.pixels).all() for picture in images):
            raise Problem(f"some pixels of the '{name}' images are not numbers", do="leave those images out")
    require_room(training, size)
    low, high = grey_range(training)
    if low == high:
        raise Problem("all training images have one grey level", do="give the images that the method was trained on")
    places = sum(math.prod(2 * (p.size[k] - size[k]) // size[k] + 1 for k in (0, 1)) for p in training)
    if places <= NEIGHBOURS:
        raise Problem(
            f"the training images have only {places} places for fields of {size[0]} x {size[1]} that overlap by half"
            " at most",
            do=f"give fields that have {NEIGHBOURS + 1} places",
        )
    return size


def _turned(picture: Picture, turns: int, mirrored: bool) -> Picture:
    """A picture under a symmetry, with its mask and its pixel size."""
    return replace(
        picture,
        pixels=np.ascontiguousarray(turned(picture.pixels, turns, mirrored)),
        mask=None if picture.mask is None else np.ascontiguousarray(turned(picture.mask, turns, mirrored)),
        spacing_um=picture.spacing_um[::-1] if turns % 2 else picture.spacing_um,
    )


def _sought(training: ImageSet, sets: Sequence[ImageSet], progress: Callable[[str], None] | None) -> list[_Sought]:
    """Look for the fields of all sets at once, so that the training images are transformed only once."""
    low, high = grey_range(training)
    greys = [[picture.grey for picture in images] for images in sets]
    shown = [[i for i, grey in enumerate(of_set) if grey.std() >= FEATURELESS * (high - low)] for of_set in greys]
    fields = [of_set[i] for of_set, kept in zip(greys, shown, strict=True) for i in kept]

    def done(count: int) -> None:
        if progress:
            progress(f"nearest training crops: {count} of {len(fields)} fields")

    found = nearest_training(training, np.stack(fields), places=NEIGHBOURS + 1, progress=done) if fields else []
    matches = iter(found)
    return [_Sought(images, kept, list(islice(matches, len(kept)))) for images, kept in zip(sets, shown, strict=True)]


def _closest(sought: _Sought, count: int) -> tuple[ClosestPair, ...]:
    distances = sought.distances.values
    pairs = []
    for k in np.argsort(distances, kind="stable")[:count]:
        best = sought.matches[k][0]
        pairs.append(
            ClosestPair(
                field=sought.shown[k],
                **best.crop._asdict(),
                residual=best.residual,
                relative_distance=float(distances[k]),
            )
        )
    return tuple(pairs)


def _copying(
    space: str,
    generated: _Distances,
    held_out: _Distances,
    planted: NDArray[np.float64] | None,
    seed: int,
    resamples: int,
) -> Copying:
    """What the relative distances of the two sets say."""
    logs = np.log(held_out.values)
    threshold = math.exp(tail_threshold(logs))
    copies = exact_share(generated.values < threshold)
    alarms = np.zeros(len(logs), dtype=bool)
    first = _first_half(held_out.groups, seed)
    for judged in (first, ~first):
        alarms[judged] = logs[judged] < tail_threshold(logs[~judged])
    false_alarms = exact_share(alarms)
    # How likely so many copies or more would be if they were false alarms.
    chance = fisher_exact([[s.hits, s.n - s.hits] for s in (copies, false_alarms)], alternative="greater").pvalue
    return Copying(
        space=space,
        copies=copies,
        false_alarms=false_alarms,
        caught=None if planted is None or not len(planted) else exact_share(planted < threshold),
        threshold=threshold,
        more_than_chance=bool(chance < MORE_THAN_CHANCE),
        median_ratio=_median_ratio(generated, held_out, seed, resamples),
        generated=tuple(generated.values.tolist()),
        held_out=tuple(held_out.values.tolist()),
    )


def _first_half(groups: Sequence[str], seed: int) -> NDArray[np.bool_]:
    """Which fields are in the first half, ``(n,)``: whole specimens where there are enough of them."""
    unit_of_field = units(groups)
    order = numpy_generator(seed, Use.HALVES_OF_HELD_OUT).permutation(int(unit_of_field.max()) + 1)
    sizes = np.bincount(unit_of_field)[order].cumsum()[:-1]
    first: NDArray[np.bool_] = np.isin(unit_of_field, order[: int(np.abs(sizes - len(groups) / 2).argmin()) + 1])
    if min(first.sum(), (~first).sum()) < FEWEST // 2:  # most fields are of one specimen
        first = np.arange(len(groups)) % 2 == 0
    return first


def _median_ratio(generated: _Distances, held_out: _Distances, seed: int, resamples: int) -> Estimate:
    """Median relative distance of the generated fields over that of held-out ones."""
    value = float(np.median(generated.values) / np.median(held_out.values))
    if len(generated.values) < 2:
        draws = np.full(resamples, float(np.median(generated.values)))
    else:
        draws = _medians(generated, resamples, seed, Use.WEIGHTS_OF_NEAREST, 0)
    draws = draws / _medians(held_out, resamples, seed, Use.WEIGHTS_OF_NEAREST, 1)
    limits = (0.0, math.inf)
    return Replicates.around(value, draws, len(held_out.values), len(generated.values), limits).estimate


def _medians(distances: _Distances, resamples: int, *key: int) -> NDArray[np.float64]:
    """Bootstrap replicates of the median, ``(resamples,)``."""
    order = np.argsort(distances.values)
    counts = resampling_weights(distances.groups, resamples, *key)[:, order].cumsum(axis=1)
    draws: NDArray[np.float64] = distances.values[order][(counts < counts[:, -1:] / 2).sum(axis=1)]
    return draws


def _in_features(training: FeatureTable, table: FeatureTable, images: ImageSet, *, at_least: int) -> _Distances:
    """The same in a space of features, to the rows of the training crops."""
    if table.images != images.fingerprint:
        raise ValueError(f"the {table.features} are not of the images given with them")
    if len(training) <= NEIGHBOURS:
        raise Problem(
            f"{len(training)} training crops are too few for nearest neighbours over '{training.features}'",
            do=f"give at least {NEIGHBOURS + 1}",
        )
    T, Y = comparable(measured=training, generated=table, at_least=at_least)
    nearest = np.sort(np.partition(cdist(Y, T), NEIGHBOURS, axis=1)[:, : NEIGHBOURS + 1], axis=1)
    # Where the field and all of its neighbours have one row, as blank fields do, one is as good as another.
    equal = nearest[:, -1] == 0
    others = np.where(equal, 1.0, nearest[:, 1:].mean(axis=1))
    return _Distances(np.maximum(np.where(equal, 1.0, nearest[:, 0] / others), LEAST), table.groups)


def _leaked(held_out: _Sought) -> list[str]:
    """A reservation where held-out fields lie in the training images.

    Raises:
        Problem: more than a twentieth of them do.
    """
    nearest = zip(held_out.shown, held_out.matches, strict=True)
    inside = [(i, found[0].crop) for i, found in nearest if found[0].residual < SAME_PIXELS]
    if not inside:
        return []
    field, crop = inside[0]
    what = (
        f"{len(inside)} of {len(held_out.images)} held-out fields are in the training images, such as field {field} in"
        f" image {crop.image} at row {crop.top} and column {crop.left}"
    )
    if len(inside) > len(held_out.images) / 20:
        raise Problem(what, do="hold out other specimens, or regions with a gap between")
    return [f"{what}: the threshold is too low."]


def _reservations(name: str, sought: _Sought) -> list[str]:
    """What a reader has to know about a set, in a plain sentence."""
    count, shown = len(sought.images), len(sought.shown)
    if shown == count:
        return []
    return [
        f"{count - shown} of {count} {name} fields have a standard deviation below {FEATURELESS:.0%} of the grey range"
        " and show nothing to be recognised by; they are left out."
    ]
