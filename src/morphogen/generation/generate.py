"""Draw images from a run: the same seed gives the same pictures at any batch size."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from morphogen.images.conditions import ASKED, OUTSIDE
from morphogen.images.folders import require_format, write_images
from morphogen.images.image_set import Pictures
from morphogen.images.mask_channel import mask_of_channel
from morphogen.images.picture import TRAINED_ON, TRAINED_THROUGH, Label, Origin, Picture, spacing_from_stored
from morphogen.mathematics.randomness import Randomness, numpy_generator
from morphogen.methods.method import SampleRequest, StyleBased
from morphogen.problems import Problem
from morphogen.progress import console, track
from morphogen.training.run import Run
from morphogen.training.train import uses_gpu
from morphogen.whole_files import require_free_folder

SAMPLES, _CONDITIONS = 100, 101
"""Purposes of the random streams of samples and of what is asked of them, apart from those of training."""

Asked = Mapping[str, Label | tuple[float, float]]
"""What is asked: for each condition a word, a number, or the two ends of a range to go through evenly."""


@dataclass(frozen=True, slots=True)
class Generation:
    """Drawn images and what drawing them cost."""

    images: Pictures
    seconds_per_image: float


def generate(
    run: Run | Path | str,
    *,
    count: int = 16,
    seed: int = 0,
    steps: int | None = None,
    asked: Asked | None = None,
    strict: bool = False,
    truncation: float | None = None,
    batch_size: int = 16,
    folder: Path | str | None = None,
    extension: str | None = None,
    cpu: bool = False,
) -> Pictures:
    """Draw images from a run, with the pixel type, intensity scale and pixel size of its training set.

    A run that was trained with masks gives each image its mask. What was asked of each image is in its labels.

    Args:
        run: a run or its folder.
        count: how many images.
        seed: image k depends on the seed and on k alone (and on what is asked of it).
        steps: solver steps, where the method has a solver.
        asked: for a conditioned run, ``{"porosity": 0.2}``, or ``{"porosity": (0.1, 0.3)}`` to go through a range
            evenly. Conditions that are left out are drawn as training saw them.
        strict: refuse what lies outside the range that training saw, instead of warning.
        truncation: for a style-based method, how far styles may be from their mean: 1 as trained, 0 the mean alone.
        batch_size: images drawn at a time; changes the memory that is needed, not the images.
        folder: where to write them; not written if left out.
        extension: ".png" or ".tif"; by default PNG for 8 bit and TIFF for the rest.
        cpu: stay on the CPU even where there is a GPU.

    Raises:
        Problem: no such run, nothing trained in it, a condition that it cannot take, or no room to write.
    """
    run = run if isinstance(run, Run) else Run(run)
    target = require_free_folder(Path(folder), "the images") if folder is not None else None
    if extension is not None:
        require_format(extension, run.record.intensity.dtype)
    images = timed_generation(
        run, count=count, seed=seed, steps=steps, asked=asked, strict=strict, truncation=truncation,
        batch_size=batch_size, cpu=cpu,
    ).images  # fmt: skip
    if target is not None:
        write_images(images, target, extension=extension)
    return images


def timed_generation(
    run: Run | Path | str,
    *,
    count: int,
    seed: int = 0,
    steps: int | None = None,
    asked: Asked | None = None,
    strict: bool = False,
    truncation: float | None = None,
    batch_size: int = 16,
    cpu: bool = False,
) -> Generation:
    """As ``generate``, with the time an image took."""
    if count < 1 or batch_size < 1:
        raise Problem(f"{min(count, batch_size)} images cannot be drawn", do="give a number from 1 up")
    run = run if isinstance(run, Run) else Run(run)
    values = asked_values(run, asked or {}, count, seed)
    tell_of_outside(run, values, strict=strict)
    device = torch.device("cuda" if uses_gpu(cpu) else "cpu")
    method = run.trained_method().to(device)
    if method.translates:
        raise Problem(f"{run.record.method} translates images", do="give those to translate, as its sources")
    if truncation is not None and not isinstance(method, StyleBased):
        raise Problem(f"{run.record.method} has no styles to truncate", do="leave the truncation out")
    conditions = run.record.conditions
    started = time.perf_counter()
    pictures: list[Picture] = []
    for first in track(range(0, count, batch_size), f"Drawing {count} images"):
        here = range(first, min(count, first + batch_size))
        randomness = Randomness.of_images(seed, first, len(here), purpose=SAMPLES, device=device)
        vectors = np.stack([conditions.encode(values[k]) for k in here]) if conditions else None
        request = SampleRequest(
            steps,
            condition=None if vectors is None else torch.from_numpy(vectors).to(device),
            truncation=truncation,
        )
        with torch.inference_mode():
            drawn = method.sample(request, randomness).float().cpu().numpy()
        for k, channels in zip(here, drawn, strict=True):
            picture = picture_of(run, channels, f"{run.folder.name}-{seed}-{k}", method.learnt_through)
            labels: dict[str, Label] = {**picture.labels, "seed": float(seed), "number": float(k)}
            labels |= {ASKED + name: value for name, value in values[k].items()}
            outside = conditions.outside(values[k])
            if outside:
                labels[OUTSIDE] = "; ".join(outside)
            pictures.append(replace(picture, labels=labels))
    seconds = (time.perf_counter() - started) / count
    return Generation(Pictures(pictures, f"images of {run.folder.name}"), seconds)


def picture_of(
    run: Run, channels: NDArray[np.floating], name: str, learnt_through: str, *, reverse: bool = False
) -> Picture:
    """A picture from what a network gave.

    Args:
        run: whose network.
        channels: ``(channels, height, width)`` in [-1, 1]; the last is the mask where the run was trained with masks.
        name: of the picture. Each image is a draw of its own: the specimen of a generated image is the image.
        learnt_through: see ``GenerativeMethod``.
        reverse: it is like the sources of a method that translates.
    """
    record = run.record
    intensity, images = (record.source_intensity, record.sources) if reverse else (record.intensity, record.images)
    assert intensity is not None
    assert images is not None
    unit, mask = (channels[:-1], mask_of_channel(channels[-1])) if run.record.with_masks else (channels, None)
    labels: dict[str, Label] = {"method": run.record.method, TRAINED_ON: images.fingerprint}
    if learnt_through:
        labels[TRAINED_THROUGH] = learnt_through
    return Picture(
        intensity.to_grey(unit),
        spacing_from_stored(images.spacing_um),
        Origin(name, f"{run.record.method} {run.folder.name}"),
        labels,
        mask,
    )


def asked_of(asked: Asked, k: int, count: int) -> dict[str, Label]:
    """What is asked of number ``k`` among ``count``, which go evenly through a range; one alone has its middle."""
    share = k / (count - 1) if count > 1 else 0.5
    return {n: w[0] + share * (w[1] - w[0]) if isinstance(w, tuple) else w for n, w in asked.items()}


def asked_values(run: Run, asked: Asked, count: int, seed: int) -> list[dict[str, Label]]:
    """The condition of each image: what is asked, and for the rest what one crop of the training set had.

    Raises:
        Problem: a condition that the run does not know, or a class that training never saw.
    """
    conditions = run.record.conditions
    asked = conditions.named(asked)
    numbers = {number.name for number in conditions.numbers}
    values: list[dict[str, Label]] = []
    for k in range(count):
        drawn: dict[str, Label] = {}
        if conditions:
            row = int(numpy_generator(seed, _CONDITIONS, k).integers(len(conditions.seen)))
            drawn = conditions.decode(conditions.seen[row])
        drawn |= asked_of(asked, k, count)
        if conditions or drawn:
            conditions.encode(drawn)  # refuses now what it would refuse later
        values.append({name: float(value) if name in numbers else value for name, value in drawn.items()})
    return values


def tell_of_outside(run: Run, values: Sequence[Mapping[str, Label]], *, strict: bool) -> None:
    """Warn, once for all images, where what is asked of them lies outside of the range that training saw.

    Raises:
        Problem: it does, if ``strict``.
    """
    outside = list(dict.fromkeys(words for value in values for words in run.record.conditions.outside(value)))
    if outside and strict:
        raise Problem(outside[0], do="ask within that range, or allow what is outside of it")
    if outside:
        more = f" (and {len(outside) - 1} more)" if len(outside) > 1 else ""
        console().print(f"Warning: {outside[0]}{more}", highlight=False)
