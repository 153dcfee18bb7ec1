"""Usefulness: does a network that was trained on generated images work on measured ones?

A small U-Net learns to tell the phase of interest (``segmentation_network``) on measured images only, on generated
images only, and on both, and is tested on measured images of specimens that nobody has trained on. What a generated
set lacks, a network trained on it does not know; what it invents, the network believes.

**Alike for all rows**: the number of crops seen (with both, every other crop is a measured one), for each seed the
weights to start from and the measured crops in their order, and the grey range, which is that of the measured training
images. So "both" cannot win because it trained for longer. The row "nothing" has no network: Otsu's threshold,
found on the measured training images, on the side that agrees better with their masks.

Where the phase is rare, as roots in soil are, most crops lack it and a network learns to say "nowhere". So every other
crop is the first of up to eight random ones that shows the phase (as in Isensee et al. 2021, doi
10.1038/s41592-020-01008-z), which changes nothing where all crops show it.

For each seed s and each test specimen p, over all its pixels together,

    Dice = 2 TP / (2 TP + FP + FN),      IoU = TP / (TP + FP + FN)

with true positives TP, false positives FP and false negatives FN (Dice 1945; Jaccard 1912). A row has their mean over
seeds and specimens. A test specimen without the phase has no Dice and is left out, with a note.

**Interval**: seeds and specimens are crossed, so both are drawn with replacement, independently (Owen 2007, "The
pigeonhole bootstrap", doi 10.1214/07-AOAS122):

    mean* = sum_sp a_s b_p M_sp / (S P),      a = 1 + (Multinomial(S, 1/S) - 1) c(S),  b alike with P
    c(n) = sqrt(n/(n - 1)) t(0.975; n - 1) / 1.96

c is the expansion for few units of Hesterberg 2015 (doi 10.1080/00031305.2015.1089789); without it 3 seeds gave
intervals that held the true mean in 79 to 93 % of cases, with it in 95 to 99 % (simulated, normal effects of seed
and specimen of several sizes, 3 to 5 seeds, 4 to 16 specimens). All rows are resampled alike, so differences between
rows have their own, narrower interval. It contains the chance of training and of the choice of test
specimens, not that of the choice of training specimens, nor of another sample from the generator.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import replace
from itertools import chain

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from numpy.typing import NDArray
from pydantic import ValidationError
from scipy import stats
from torch import Tensor

from morphogen.evaluation.intervals import interval
from morphogen.evaluation.records import Overlap, Usefulness, UsefulnessRow
from morphogen.evaluation.segmentation.threshold import Threshold
from morphogen.images.cropping import Batch, RandomCrops, require_masks, require_room
from morphogen.images.image_set import ImageSet, Pictures
from morphogen.images.intensity import IntensityMap
from morphogen.images.picture import TRAINED_ON
from morphogen.mathematics.randomness import numpy_generator
from morphogen.problems import Problem, as_problem
from morphogen.training.fit import Plan, fit, new_state
from morphogen.training.train import uses_gpu
from morphogen.usefulness.segmentation_network import SegmentationNetwork, Settings

NOTHING, MEASURED = "nothing", "measured"
"""Names of the two rows that every table has."""

_RESAMPLED_SEEDS, _RESAMPLED_SPECIMENS = 200, 201  # streams of the bootstrap, apart from those of training
_CLIP_PERCENT = 0.5
_SMALLEST_CROP = 16
_TRIES = 8  # random crops among which one with the phase is looked for

Counts = NDArray[np.int64]
"""``(seeds, specimens, 3)``: true positives, false positives and false negatives."""


def usefulness(
    *,
    training: ImageSet,
    generated: Mapping[str, ImageSet] | ImageSet,
    test: ImageSet,
    crop: tuple[int, int],
    symmetries: frozenset[str] = frozenset(),
    intensity: IntensityMap | None = None,
    images_seen: int = 4000,
    seeds: int = 3,
    seed: int = 0,
    settings: Settings | None = None,
    resamples: int = 1000,
    cpu: bool = False,
    progress: Callable[[str], None] | None = None,
    on_predictions: Callable[[str, Pictures], None] | None = None,
) -> Usefulness:
    """Train a segmentation network on measured, on generated and on both; test it on measured images.

    Args:
        training: measured images with masks.
        generated: generated images with masks, by the name of their method, or one set, then called "generated".
        test: measured images with masks, of other specimens than ``training``.
        crop: height and width of the training crops in pixels, at least 16.
        symmetries: flips and turns that the specimen allows.
        intensity: grey range of the network; by default that of ``training`` less 0.5 % of the pixels at each end,
            since a few glints would leave little contrast to the rest; never that of generated images.
        images_seen: budget of each training, in crops. A crop of 64 x 64 takes about 10 ms on one core.
        seeds: trainings of each row, at least two.
        seed: of the first training; the others follow it: ``seed + 1``, ...
        settings: of the network.
        resamples: replicates of the bootstrap.
        cpu: stay on the CPU even where there is a GPU. On a CPU the same seed gives the same figures, bit for bit.
        progress: told in a few words what is being done.
        on_predictions: told, for each row by its name, the test images with the masks that were found for them, with
            networks those of the first seed; for pictures, or to write to disk.

    Raises:
        Problem: an image without mask, a specimen both trained and tested on, images of different kinds or smaller
            than a crop, masks that show one phase only, fewer than two seeds, a name that is taken, or no
            budget.
    """
    named = generated if isinstance(generated, Mapping) else {"generated": generated}
    tell = progress or (lambda _: None)
    show = on_predictions or (lambda _, __: None)
    require_trainable(training, named, test, crop, seeds)
    try:
        plans = [Plan(images=images_seen, seed=seed + number) for number in range(seeds)]
    except ValidationError as error:
        raise as_problem(error, "the plan", Plan) from None
    intensity = intensity or IntensityMap.of(training, _CLIP_PERCENT)
    tell("Otsu's threshold")
    threshold = _threshold(training)
    thresholded = _with_masks(test, [threshold.phase(picture) for picture in test])
    show(NOTHING, thresholded)
    counts: dict[str, Counts] = {NOTHING: _counts(thresholded, test)[None]}
    trained_on = _rows(training, named)
    settings = settings or Settings()
    for name, sets in trained_on.items():
        of_seeds = []
        for number, plan in enumerate(plans):
            tell(f"segmentation network trained on {name}, {number + 1} of {seeds}")
            network = _trained(sets, crop, intensity, symmetries, plan, settings, cpu)
            found = _segmented(network, test, crop, intensity)
            of_seeds.append(_counts(found, test))
            if number == 0:
                show(name, found)
        counts[name] = np.stack(of_seeds)
    asked = counts[NOTHING][0][:, [0, 2]].sum(axis=1) > 0  # specimens that have any of the phase
    means = {name: _overlaps(c[:, asked]) for name, c in counts.items()}
    spread = _Bootstrap(seeds, int(asked.sum()), resamples, seed)
    rows = []
    for name, (dice, iou) in means.items():
        sets = trained_on.get(name, (training,))
        n_measured = len(training) if sets[0] is training else 0
        rows.append(
            UsefulnessRow(
                trained_on=name,
                n_measured=n_measured,
                n_generated=sum(map(len, sets)) - n_measured,
                dice=spread.mean(dice),
                iou=spread.mean(iou),
                dice_above_measured=None if name == MEASURED else spread.difference(dice, means[MEASURED][0]),
            )
        )
    return Usefulness(
        training_fingerprint=training.fingerprint,
        test_fingerprint=test.fingerprint,
        fingerprints={name: images.fingerprint for name, images in named.items()},
        network=f"U-Net, {'-'.join(map(str, settings.channels))} channels",
        crop_px=crop,
        images_seen=images_seen,
        seeds=tuple(plan.seed for plan in plans),
        threshold=threshold.words,
        grey_range=(intensity.low, intensity.high),
        rows=tuple(rows),
        notes=tuple(_notes(training, named, test, asked)),
    )


def _rows(training: ImageSet, generated: Mapping[str, ImageSet]) -> dict[str, tuple[ImageSet, ...]]:
    """What the network of each row is trained on."""
    rows: dict[str, tuple[ImageSet, ...]] = {MEASURED: (training,)}
    for name, images in generated.items():
        rows |= {name: (images,), f"{MEASURED} + {name}": (training, images)}
    return rows


def _trained(
    sets: tuple[ImageSet, ...],
    crop: tuple[int, int],
    intensity: IntensityMap,
    symmetries: frozenset[str],
    plan: Plan,
    settings: Settings,
    cpu: bool,
) -> SegmentationNetwork:
    """A network trained on crops of the sets in turn, so that all have the same share of the crops."""
    crops = [RandomCrops(images, crop, intensity, symmetries, plan.seed, with_masks=True) for images in sets]

    def in_turn(first: int, count: int) -> Batch:
        return Batch(torch.cat([_crop(crops[k % len(crops)], k // len(crops)) for k in range(first, first + count)]))

    AcceleratorState._reset_state()  # an earlier run of this process may have had another precision
    accelerator = Accelerator(cpu=not uses_gpu(cpu), mixed_precision="no")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(plan.seed)
        network = SegmentationNetwork(settings, sets[0][0].channels).to(accelerator.device)
        for _ in fit(network, in_turn, plan, new_state(network), accelerator):
            pass
    return network


def _crop(crops: RandomCrops, number: int) -> Tensor:
    """Crop ``(1, channels + 1, height, width)`` of that number; an odd one shows the phase, if tries find it."""
    first = _TRIES * number
    for k in range(first, first + (_TRIES if number % 2 else 1)):
        crop = crops(k, 1)
        if (crop[:, -1] > 0).any():
            break
    return crop


def _segmented(
    network: SegmentationNetwork, images: ImageSet, crop: tuple[int, int], intensity: IntensityMap
) -> Pictures:
    """The images with the masks that the network finds in them."""
    device = next(network.parameters()).device
    inputs = (torch.from_numpy(intensity.to_unit(picture.pixels)).to(device) for picture in images)
    return _with_masks(images, [network.segment(image, crop).cpu().numpy() for image in inputs])


def _with_masks(images: ImageSet, masks: list[NDArray[np.bool_]]) -> Pictures:
    return Pictures(replace(picture, mask=mask) for picture, mask in zip(images, masks, strict=True))


def _threshold(training: ImageSet) -> Threshold:
    """Otsu's threshold with the phase on the side that agrees better with the masks."""
    bright, dark = (Threshold.otsu(training, side) for side in ("bright", "dark"))
    above, below = (
        _overlaps(_counts(_with_masks(training, [t.phase(p) for p in training]), training).sum(axis=0)[None])[0]
        for t in (bright, dark)
    )
    return bright if above >= below else dark


def _counts(found: ImageSet, truth: ImageSet) -> NDArray[np.int64]:
    """True positives, false positives and false negatives of each specimen, ``(specimens, 3)``."""
    counts: dict[str, NDArray[np.int64]] = defaultdict(lambda: np.zeros(3, dtype=np.int64))
    for prediction, picture in zip(found, truth, strict=True):
        m, t = prediction.mask, picture.mask
        assert m is not None
        assert t is not None  # checked at the start
        counts[picture.origin.specimen] += [(m & t).sum(), (m & ~t).sum(), (~m & t).sum()]
    return np.stack(list(counts.values()))


def _overlaps(counts: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Dice and IoU of counts ``(..., 3)`` of specimens that have the phase."""
    both, only_found, only_true = np.moveaxis(counts, -1, 0)
    wrong = only_found + only_true
    return 2 * both / (2 * both + wrong), both / (both + wrong)


class _Bootstrap:
    """Replicates of means over seeds and specimens, the same draws for all rows; see the top of the file."""

    def __init__(self, seeds: int, specimens: int, resamples: int, seed: int) -> None:
        self._of_seeds = _weights(seeds, resamples, seed, _RESAMPLED_SEEDS)
        self._of_specimens = _weights(specimens, resamples, seed, _RESAMPLED_SPECIMENS)

    def mean(self, values: NDArray[np.float64]) -> Overlap:
        """Mean of ``(seeds or 1, specimens)``, from 0 to 1."""
        return self._overlap(values, lowest=0.0)

    def difference(self, values: NDArray[np.float64], others: NDArray[np.float64]) -> Overlap:
        """Mean difference of two rows, seed by seed and specimen by specimen."""
        return self._overlap(values - others, lowest=-1.0)

    def _overlap(self, values: NDArray[np.float64], lowest: float) -> Overlap:
        seeds, specimens = values.shape
        of_seeds = self._of_seeds if seeds > 1 else np.ones((len(self._of_seeds), 1))
        draws = ((of_seeds @ values) * self._of_specimens).sum(axis=1) / values.size
        mean = float(values.mean())
        low, high = np.clip(interval(mean, draws - draws.mean() + mean), lowest, 1.0)
        return Overlap(
            value=mean, low=float(low), high=float(high), n_seeds=seeds if seeds > 1 else 0, n_specimens=specimens
        )


def _weights(count: int, resamples: int, *key: int) -> NDArray[np.float64]:
    """Weights ``(resamples, count)`` of mean 1, expanded for a small count; all 1 where there is nothing to draw."""
    if count == 1:
        return np.ones((resamples, 1))
    drawn = numpy_generator(*key).multinomial(count, np.full(count, 1 / count), size=resamples)
    expansion = np.sqrt(count / (count - 1)) * stats.t.ppf(0.975, count - 1) / stats.norm.ppf(0.975)
    weights: NDArray[np.float64] = 1 + (drawn - 1) * expansion
    return weights


def require_trainable(
    training: ImageSet, generated: Mapping[str, ImageSet], test: ImageSet, crop: tuple[int, int], seeds: int
) -> None:
    """Refuse what ``usefulness`` would refuse; with no generated set, before there is one.

    Raises:
        Problem: see ``usefulness``.
    """
    if seeds < 2:
        raise Problem("the chance of training cannot be told from one seed", do="take two seeds or more, better three")
    if min(crop) < _SMALLEST_CROP:
        raise Problem(
            f"a crop of {crop[0]} x {crop[1]} is too small for the network", do=f"give {_SMALLEST_CROP} or more"
        )
    for name in generated:
        if name in (NOTHING, MEASURED) or name.startswith(f"{MEASURED} + "):
            raise Problem(f"'{name}' is the name of another row", do="call the generated set otherwise")
    for images in (training, *generated.values(), test):
        require_masks(images)
        require_room(images, crop)
        for what, here, there in (
            ("the pixel type", images[0].pixels.dtype, training[0].pixels.dtype),
            ("the number of channels", images[0].channels, training[0].channels),
        ):
            if here != there:
                name = images[0].origin.source or images[0].origin.specimen
                raise Problem(
                    f"{what} of {name} is {here}, but {there} in the measured training images",
                    do="convert them to one kind first",
                )
    spacings = dict.fromkeys(picture.spacing_um for picture in chain(training, *generated.values(), test))
    known = [spacing for spacing in spacings if np.isfinite(spacing).all()]
    if any(not np.allclose(spacing, known[0], rtol=1e-3) for spacing in known):
        raise Problem(f"pixel sizes differ, {known[:3]} um", do="resample the images to one pixel size first")
    for what, images in (("training", training), ("test", test)):
        shares = [picture.mask.mean() for picture in images if picture.mask is not None]
        if max(shares) == 0 or min(shares) == 1:
            raise Problem(f"the masks of the {what} images show one phase only", do="check the masks")
    _check_that_it_is_a_test(training, generated, test)


def _check_that_it_is_a_test(training: ImageSet, generated: Mapping[str, ImageSet], test: ImageSet) -> None:
    """Refuse to test on what has been seen."""
    shared = sorted({p.origin.specimen for p in training} & {p.origin.specimen for p in test})
    if shared:
        others = f" and {len(shared) - 1} other specimens are" if len(shared) > 1 else " is"
        raise Problem(
            f"{shared[0]}{others} both in the training and in the test images",
            do="split by specimen, or tell specimens apart by a specimen pattern",
        )
    for name, images in generated.items():
        for what, measured in (("training", training), ("test", test)):
            if images.fingerprint == measured.fingerprint:
                raise Problem(f"'{name}' holds the measured {what} images", do="check which set was meant")
        if any(picture.labels.get(TRAINED_ON) == test.fingerprint for picture in images):
            raise Problem(f"the method of '{name}' has been trained on the test images", do="test on others")


def _notes(
    training: ImageSet, generated: Mapping[str, ImageSet], test: ImageSet, asked: NDArray[np.bool_]
) -> list[str]:
    """What a reader has to know, in plain sentences."""
    notes = []
    without = [name for name, has in zip(dict.fromkeys(p.origin.specimen for p in test), asked, strict=True) if not has]
    if without:
        notes.append(f"Left out, since the phase is absent there: {', '.join(without)}.")
    if asked.sum() == 1:
        notes.append("There is one test specimen: the intervals do not contain the differences between specimens.")
    for name, images in generated.items():
        seen = {picture.labels[TRAINED_ON] for picture in images if TRAINED_ON in picture.labels}
        if seen - {training.fingerprint}:
            notes.append(
                f"{name}: its method was trained on other images than the measured training images here; whether the"
                " test specimens are among them is not known."
            )
    return notes
