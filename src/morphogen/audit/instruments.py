"""What is audited: metrics that read every image once, and then score many draws of sets from what they read.

An ``Instrument`` reads an image set into an array with one row an image, and scores three such arrays: rows of the
reference, of the training images, and of the compared set. Several metrics over the same features are one instrument.
A metric of one's own joins the audit as one more instrument.

The paired similarities are scored as the review's papers used them: the i-th reference image against the i-th
compared one, in an order that means nothing, ``PAIRS`` of them at most. ``morphogen evaluate`` refuses this; here it
stands beside the rest so that one can see what it is worth.
"""

from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.stats import wasserstein_distance

from morphogen.audit.defect import Material
from morphogen.audit.records import Family, MetricRecord
from morphogen.evaluation.caption_scores import caption_cosines
from morphogen.evaluation.descriptors.descriptor import Scalar, fitted_descriptor
from morphogen.evaluation.descriptors.phase_fraction import DESCRIPTOR as PHASE_FRACTION
from morphogen.evaluation.distances.set_distance import SetDistance
from morphogen.evaluation.feature_table import FeatureExtractor, FeatureTable, comparable
from morphogen.evaluation.image_text import ImageText
from morphogen.evaluation.section import Section
from morphogen.evaluation.similarities import lpips
from morphogen.evaluation.similarities.ssim import SIGMA, WINDOW, of_moments
from morphogen.images.image_set import ImageSet, Pictures
from morphogen.problems import Problem

PAIRS = 64
"""Pairs of images over which a similarity is averaged, at most."""

VALID = 0.5
"""A reading that exists in a smaller share of the clean fields is left out."""

COPY = 0.2
"""Largest distance of a copy to the nearest training image, over that to the nearest reference image."""

_NEIGHBOURS: Mapping[str, Family] = {"share of copies": "memorisation", "share of repeats": "diversity"}

Rows = NDArray[np.floating]


class Instrument(Protocol):
    """Reads images once and scores sets of them.

    Attributes:
        metrics: what it scores, in order; names unique over all instruments.
        most: it looks at so many rows of a set at most; None for all.
    """

    @property
    def metrics(self) -> tuple[MetricRecord, ...]:
        """What it scores."""

    @property
    def most(self) -> int | None:
        """Rows of a set that it looks at."""

    def read(self, images: Pictures) -> Rows:
        """One row an image, ``(len(images), ...)``."""

    def scores(self, *, measured: Rows, training: Rows, compared: Rows) -> Sequence[float] | NDArray[np.float64]:
        """One finite number a metric.

        Args:
            measured: rows of the reference, ``(n, ...)``.
            training: rows of what a generator would have been trained on, ``(n, ...)``.
            compared: rows of the compared set, ``(n, ...)``.
        """


class Similarities:
    """SSIM of unpaired pairs, and of pairs within the compared set (diversity).

    As ``morphogen.evaluation.similarities.ssim``, arranged for an image that meets many others: its own local moments
    are computed once, in float32 and in units of the grey range, and a pair costs one covariance.
    """

    most: int | None = PAIRS + 1

    def __init__(self, material: Material, size: tuple[int, int]) -> None:
        self._range, self._offset = material.grey_range, material.intensity.low
        self._windows = _windows(size[0]), _windows(size[1]).T
        self.metrics = _similarity_records("SSIM", "pixels", higher_is_more_similar=True)

    def read(self, images: Pictures) -> Rows:
        """Pixels, local means and local variances, ``(len(images), channels, 3, height, width)``."""
        x = np.stack([picture.pixels for picture in images]).astype(np.float32)
        x = (x - self._offset) / self._range
        mean = self._local(x)
        found = np.zeros((*x.shape[:2], 3, *x.shape[2:]), np.float32)
        height, width = mean.shape[2:]
        found[:, :, 0] = x
        found[:, :, 1, :height, :width] = mean
        found[:, :, 2, :height, :width] = self._local(x * x) - mean**2
        return found

    def scores(self, *, measured: Rows, training: Rows, compared: Rows) -> list[float]:
        """Mean SSIM of the i-th with the i-th, and of neighbours in the compared set."""
        return [self._mean(measured[:PAIRS], compared[:PAIRS]), self._mean(*_neighbours(compared))]

    def _local(self, x: Rows) -> Rows:
        """Means under the Gaussian window, where it lies wholly inside."""
        local: Rows = self._windows[0] @ x @ self._windows[1]
        return local

    def _mean(self, x: Rows, y: Rows) -> float:
        covariance = self._local(x[:, :, 0] * y[:, :, 0])
        inside = np.s_[:, :, :, : covariance.shape[2], : covariance.shape[3]]
        (_, mean_x, var_x), (_, mean_y, var_y) = (np.moveaxis(rows[inside], 2, 0) for rows in (x, y))
        covariance -= mean_x * mean_y
        mu_x, mu_y = (mean + self._offset / self._range for mean in (mean_x, mean_y))
        luminance, structure = of_moments((mu_x, var_x), (mu_y, var_y), covariance, 1.0)
        return float((luminance * structure).mean())


class PerceptualDistances:
    """LPIPS (AlexNet) of unpaired pairs, and of pairs within the compared set (diversity)."""

    most: int | None = PAIRS + 1

    def __init__(self, material: Material, size: tuple[int, int]) -> None:
        self._measure = lpips.Measure(size)
        self._intensity = material.intensity
        self.metrics = _similarity_records(self._measure.name, "AlexNet, five layers", higher_is_more_similar=False)

    def read(self, images: Pictures) -> Rows:
        """The vectors whose squared distances are LPIPS, ``(len(images), d)`` float32."""
        vectors = self._measure.vectors(images, self._intensity, range(len(images)))
        return np.stack([vectors[i] for i in range(len(images))])

    def scores(self, *, measured: Rows, training: Rows, compared: Rows) -> list[float]:
        """Mean LPIPS of the i-th with the i-th, and of neighbours in the compared set."""

        def mean(x: Rows, y: Rows) -> float:
            difference = x - y
            return float(np.einsum("nd,nd->n", difference, difference).mean())

        return [mean(measured[:PAIRS], compared[:PAIRS]), mean(*_neighbours(compared))]


class OverFeatures:
    """Set distances over the features of one extractor, without their bootstrap, and the shares of copies and repeats.

    An image counts as a copy where its nearest training image is nearer than ``COPY`` times its nearest reference
    image, and as a repeat where the nearest other image of its own set is: a fresh one is about as far from each of
    the three, of which there are equally many. Over descriptors a flipped or turned copy is one too.

    Args:
        extractor: what makes the features.
        distances: which.
        material: for its grey range.
        standard: whether papers report them.
        copies: whether to count copies and repeats.
    """

    most: int | None = None

    def __init__(
        self,
        extractor: FeatureExtractor,
        distances: Sequence[SetDistance],
        material: Material,
        *,
        standard: bool,
        copies: bool = False,
    ) -> None:
        self._copies = copies
        over = extractor.name.removesuffix(", no resize")
        self._extractor, self._distances, self._intensity = extractor, tuple(distances), material.intensity
        self._form: FeatureTable | None = None
        self.metrics = tuple(
            MetricRecord(
                name=f"{metric.name} over {over}",
                family="set distance",
                features=extractor.name,
                standard=standard,
                higher_is_better=metric.higher_is_better,
                two_sided=metric.higher_is_better,
            )
            for distance in self._distances
            for metric in distance.metrics
        )
        for name, family in _NEIGHBOURS.items() if copies else ():
            self.metrics += (
                MetricRecord(
                    name=f"{name} over {over}",
                    family=family,
                    features=extractor.name,
                    standard=False,
                    higher_is_better=False,
                    two_sided=False,
                ),
            )

    def read(self, images: Pictures) -> Rows:
        """Features ``(len(images), d)``."""
        table = self._extractor(images, self._intensity)
        self._form = table
        return table.values

    def scores(self, *, measured: Rows, training: Rows, compared: Rows) -> list[float]:
        """All metrics of all distances, and the shares of copies and repeats."""
        X, Y = self._table(measured), self._table(compared)
        found = [
            result.value for distance in self._distances for result in distance(measured=X, generated=Y, resamples=2)
        ]
        if self._copies:
            X_rows, Y_rows = comparable(measured=X, generated=Y)
            _, T_rows = comparable(measured=X, generated=self._table(training))
            near = COPY * _nearest(Y_rows, X_rows)
            found.append(float((_nearest(Y_rows, T_rows) < near).mean()))
            found.append(float((_nearest(Y_rows, Y_rows, others=True) < near).mean()))
        return found

    def _table(self, values: Rows) -> FeatureTable:
        assert self._form is not None
        form = self._form
        return FeatureTable(
            features=form.features,
            extractor=form.extractor,
            images="",
            values=values.astype(np.float64, copy=False),
            groups=tuple(map(str, range(len(values)))),  # every field by itself: the audit draws fields
            units_differ=form.units_differ,
        )


class Readings:
    """Every scalar reading of a kind's descriptors: Wasserstein distance between its values over two sets of fields.

    For two samples of one size W1 is the mean absolute difference of the sorted values; else SciPy's. Fields where a
    reading does not exist are left out of it. A set with fewer than two values scores 0: it tells nothing.

    Args:
        material: whose specimen names the descriptors.
        clean: fields to which descriptors are fitted, and of which at least ``VALID`` must have a reading.
    """

    most: int | None = None

    def __init__(self, material: Material, clean: ImageSet) -> None:
        self._material = material
        sections = [material.section(picture) for picture in clean]
        self._descriptors = [fitted_descriptor(name, sections) for name in material.specimen.descriptors]
        read = [self._scalars(section) for section in sections]
        self._names = [
            name for name in read[0] if np.mean([scalars[name].value is not None for scalars in read]) >= VALID
        ]
        self.left_out = tuple(name for name in read[0] if name not in self._names)
        self.metrics = tuple(
            MetricRecord(
                name=material.specimen.fraction if name == PHASE_FRACTION.name else name,
                family="descriptor",
                features=read[0][name].unit,
                standard=False,
                higher_is_better=False,
                two_sided=False,
            )
            for name in self._names
        )

    def read(self, images: Pictures) -> Rows:
        """Readings ``(len(images), metrics)``; NaN, which stays in here, where one does not exist."""

        def row(picture_number: int) -> list[float]:
            scalars = self._scalars(self._material.section(images[picture_number]))
            return [np.nan if (value := scalars[name].value) is None else value for name in self._names]

        return np.array([row(number) for number in range(len(images))])

    def scores(self, *, measured: Rows, training: Rows, compared: Rows) -> NDArray[np.float64]:
        """W1 of every reading, in its own unit."""
        x, y = np.sort(measured, axis=0), np.sort(compared, axis=0)  # NaN last
        found = np.abs(x - y).mean(axis=0) if len(x) == len(y) else np.full(x.shape[1], np.nan)
        for k in np.flatnonzero(np.isnan(found)):
            u, v = x[~np.isnan(x[:, k]), k], y[~np.isnan(y[:, k]), k]
            found[k] = wasserstein_distance(u, v) if min(len(u), len(v)) >= 2 else 0.0
        return found

    def _scalars(self, section: Section) -> dict[str, Scalar]:
        found: dict[str, Scalar] = {}
        for describe in self._descriptors:
            found |= describe(section).scalars
        return found


class CaptionScores:
    """CLIPScore: how well images fit their captions under a CLIP.

    An image is held against its own caption, which damage leaves as it is, or against one caption for all. The scales
    of the score (``evaluation.caption_scores``) see the same, so one stands for all, the cosine; the row says so.

    Args:
        model: the CLIP.
        caption: one for all images, instead of their own.

    Raises:
        Problem: an image without a caption, when it is read.
    """

    most: int | None = None

    def __init__(self, model: ImageText, caption: str | None = None) -> None:
        self._model, self._caption = model, caption
        self.metrics = (
            MetricRecord(
                name=f"CLIPScore (cosine) by {model.name.partition(' (')[0]}",
                family="caption score",
                features=f"{model.name}; cosine of each image and"
                f" {'its own caption' if caption is None else repr(caption)}",
                standard=True,
                higher_is_better=True,
                two_sided=True,
            ),
        )

    def read(self, images: Pictures) -> Rows:
        """Cosines ``(len(images), 1)``."""
        cosines = caption_cosines(self._model, images, self._caption)
        if cosines is None:
            raise Problem(
                "not every image has a caption", do="give one for all, or write some with 'morphogen caption'"
            )
        return cosines[:, None]

    def scores(self, *, measured: Rows, training: Rows, compared: Rows) -> list[float]:
        """The mean over the compared set."""
        return [float(compared.mean())]


def _similarity_records(name: str, features: str, *, higher_is_more_similar: bool) -> tuple[MetricRecord, ...]:
    return (
        MetricRecord(
            name=f"{name} of random pairs",
            family="paired similarity",
            features=features,
            standard=True,
            higher_is_better=higher_is_more_similar,
            two_sided=True,
        ),
        MetricRecord(
            name=f"diversity by {name}",
            family="diversity",
            features=features,
            standard=True,
            higher_is_better=None,
            two_sided=True,
        ),
    )


def _windows(side: int) -> NDArray[np.float32]:
    """SSIM's Gaussian window at every place where it lies inside, ``(side - 10, side)``."""
    away = np.arange(side) - np.arange(side - WINDOW + 1)[:, None] - WINDOW // 2
    weights = np.exp(-0.5 * (away / SIGMA) ** 2) * (np.abs(away) <= WINDOW // 2)
    normed: NDArray[np.float32] = (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)
    return normed


def _neighbours(rows: Rows) -> tuple[Rows, Rows]:
    """Pairs within one set, whose order is random: each with the next."""
    count = min(len(rows) - 1, PAIRS)
    return rows[:count], rows[1 : count + 1]


def _nearest(rows: Rows, to: Rows, *, others: bool = False) -> NDArray[np.float64]:
    """Distance of each row to the nearest one of another set, or to the nearest *other* one of its own."""
    centre = to.mean(axis=0)
    x, y = rows - centre, to - centre  # small distances lose fewer digits
    squared = (x**2).sum(axis=1)[:, None] + (y**2).sum(axis=1) - 2 * (x @ y.T)
    if others:
        np.fill_diagonal(squared, np.inf)
    nearest: NDArray[np.float64] = np.sqrt(np.maximum(squared.min(axis=1), 0.0))
    return nearest
