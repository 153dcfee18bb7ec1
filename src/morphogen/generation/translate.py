"""Translate images with a run that learnt to: labels into micrographs, one instrument into another, and back."""

import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import pad

from morphogen.generation.generate import SAMPLES, Generation, picture_of
from morphogen.images.cropping import require_masks
from morphogen.images.image_set import ImageSet, Pictures, of_equal_size
from morphogen.images.likeness import storing
from morphogen.images.mask_channel import channel_of_mask
from morphogen.images.picture import Picture
from morphogen.mathematics.randomness import Randomness
from morphogen.methods.method import GenerativeMethod, SampleRequest, method_settings
from morphogen.problems import Problem
from morphogen.progress import track
from morphogen.training.run import Run
from morphogen.training.train import uses_gpu
from morphogen.understanding.learners import learner_class
from morphogen.whole_files import require_free_folder

TRANSLATED = "translated from"
"""Label of a translated picture: the specimen of the picture that it was made from."""


def translate(
    run: Run | Path | str,
    sources: ImageSet,
    *,
    reverse: bool = False,
    seed: int = 0,
    batch_size: int = 16,
    folder: Path | str | None = None,
    extension: str | None = None,
    like: Path | str | None = None,
    as_stack: bool = False,
    cpu: bool = False,
) -> Pictures:
    """Translate every picture of a set, in its order, at its own size and pixel size.

    A picture keeps its mask: what was drawn on the source holds for the translation, as far as that keeps the shapes.

    Args:
        run: of a method that translates, or its folder.
        sources: images like those that the run was given as sources; like its training images if ``reverse``.
        reverse: make images like the sources instead.
        seed: of what the sources don't say, such as noise; picture k depends on the seed and on k alone.
        batch_size: images at a time, where their sizes are equal; changes memory and not content.
        folder: where to write them; not written if left out.
        extension: an ending, as ".tif" or ".nrrd"; by default PNG for 8 bit and TIFF for the rest.
        like: a measured file, in whose format and type of number they are written instead.
        as_stack: write them as the slices of one file.
        cpu: stay on the CPU even where there is a GPU.

    Raises:
        Problem: the run translates nothing, channels or pixel types that it does not know, or no room to write.
    """
    run = run if isinstance(run, Run) else Run(run)
    target = require_free_folder(Path(folder), "the images") if folder is not None else None
    intensity = run.record.source_intensity if reverse else run.record.intensity
    pixel_type = (intensity or run.record.intensity).dtype
    how = storing(pixel_type, extension=extension, like=like, as_stack=as_stack)
    if target is not None:
        require_all_masks_or_none(sources)
    images = timed_translation(run, sources, reverse=reverse, seed=seed, batch_size=batch_size, cpu=cpu).images
    if target is not None:
        how.write(images, target)
    return images


def timed_translation(
    run: Run | Path | str,
    sources: ImageSet,
    *,
    reverse: bool = False,
    seed: int = 0,
    batch_size: int = 16,
    cpu: bool = False,
) -> Generation:
    """As ``translate``, with the time an image took."""
    run = run if isinstance(run, Run) else Run(run)
    _require_translatable(run, sources, reverse)
    device = torch.device("cuda" if uses_gpu(cpu) else "cpu")
    method = run.trained_method().to(device)
    started = time.perf_counter()
    pictures: list[Picture] = []
    for group in track(list(of_equal_size(sources, batch_size)), f"Translating {len(sources)} images"):
        units = torch.from_numpy(np.stack([_unit(run, picture, reverse) for picture in group])).to(device)
        randomness = Randomness.of_images(seed, len(pictures), len(group), purpose=SAMPLES, device=device)
        with torch.inference_mode():
            drawn = _translated(method, run, units, reverse, randomness).float().cpu().numpy()
        for source, channels in zip(group, drawn, strict=True):
            name = f"{run.folder.name}-{source.origin.specimen}"
            picture = picture_of(run, channels, name, method.learnt_through, reverse=reverse)
            pictures.append(
                replace(
                    picture,
                    spacing_um=source.spacing_um,
                    origin=replace(source.origin, source=f"{run.record.method} {run.folder.name}"),
                    labels={**picture.labels, TRANSLATED: source.origin.specimen},
                    mask=source.mask if picture.mask is None else picture.mask,
                )
            )
    return Generation(Pictures(pictures, f"translations of {run.folder.name}"), _each(started, len(pictures)))


def require_all_masks_or_none(sources: ImageSet) -> None:
    """Refuse sources of which some have a mask and some have none: their translations could not be written as a set.

    Raises:
        Problem: that is so.
    """
    masked = sum(picture.mask is not None for picture in sources)
    if 0 < masked < len(sources):
        raise Problem(f"only {masked} of {len(sources)} sources have a mask", do="give all of them one, or none")


def _each(started: float, count: int) -> float:
    return (time.perf_counter() - started) / count


def _require_translatable(run: Run, sources: ImageSet, reverse: bool) -> None:
    if not learner_class(run.record.method).translates:
        raise Problem(f"{run.record.method} translates nothing", do="leave the sources out")
    channels = run.shape.channels - run.record.with_masks
    if sources[0].channels != channels:
        raise Problem(
            f"the images to translate have {sources[0].channels} channels, and the run knows {channels}",
            do="give images like those that it was trained on, colour images by their luminance",
        )
    if run.record.with_masks:
        require_masks(sources)
    assert run.record.source_intensity is not None
    known = (run.record.intensity if reverse else run.record.source_intensity).dtype
    if sources[0].pixels.dtype.name != known:
        raise Problem(
            f"the images to translate are {sources[0].pixels.dtype.name}, and the run knows {known}",
            do="give images of that pixel type, on the same grey scale",
        )


def _unit(run: Run, picture: Picture, reverse: bool) -> NDArray[np.float32]:
    intensity = run.record.intensity if reverse else run.record.source_intensity
    assert intensity is not None
    unit = intensity.to_unit(picture.pixels)
    if not run.record.with_masks or picture.mask is None:
        return unit
    return np.concatenate([unit, channel_of_mask(picture.mask)])


def _translated(method: GenerativeMethod, run: Run, units: Tensor, reverse: bool, randomness: Randomness) -> Tensor:
    """Through the network, filled up by reflection to a size that it can take."""
    settings = method_settings(run.record.method, run.record.settings)
    sizes = type(method).sizes(settings)
    height, width = units.shape[-2:]
    down, right = (-n % sizes.multiple_of + max(0, sizes.at_least - n) for n in (height, width))
    down, right = (extra + (-(n + extra) % sizes.multiple_of) for n, extra in ((height, down), (width, right)))
    if down >= height or right >= width:
        raise Problem(f"images of {height} x {width} are too small to be translated", do="give larger ones")
    filled = pad(units, (0, right, 0, down), mode="reflect")
    drawn = method.sample(SampleRequest(sources=filled, reverse=reverse), randomness)
    return drawn[..., :height, :width]
