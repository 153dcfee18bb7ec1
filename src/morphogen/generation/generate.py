"""Draw images from a run: the same seed gives the same pictures at any batch size."""

import time
from dataclasses import dataclass
from pathlib import Path

import torch

from morphogen.images.folders import require_format, write_images
from morphogen.images.image_set import Pictures
from morphogen.images.picture import TRAINED_ON, Origin, Picture, spacing_from_stored
from morphogen.mathematics.randomness import Randomness
from morphogen.methods.method import SampleRequest
from morphogen.problems import Problem
from morphogen.progress import track
from morphogen.training.run import Run
from morphogen.training.train import uses_gpu
from morphogen.whole_files import require_free_folder

_SAMPLES = 100  # keeps the streams of samples apart from those of training


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
    batch_size: int = 16,
    folder: Path | str | None = None,
    extension: str | None = None,
    cpu: bool = False,
) -> Pictures:
    """Draw images from a run, with the pixel type, intensity scale and pixel size of its training set.

    A run that was trained with masks gives each image its mask.

    Args:
        run: a run or its folder.
        count: how many images.
        seed: image k depends on the seed and on k alone.
        steps: solver steps, where the method has a solver.
        batch_size: images drawn at a time; changes the memory that is needed, not the images.
        folder: where to write them; not written if left out.
        extension: ".png" or ".tif"; by default PNG for 8 bit and TIFF for the rest.
        cpu: stay on the CPU even where there is a GPU.

    Raises:
        Problem: no such run, nothing trained in it, or no room to write.
    """
    run = run if isinstance(run, Run) else Run(run)
    target = require_free_folder(Path(folder), "the images") if folder is not None else None
    if extension is not None:
        require_format(extension, run.record.intensity.dtype)
    images = timed_generation(run, count=count, seed=seed, steps=steps, batch_size=batch_size, cpu=cpu).images
    if target is not None:
        write_images(images, target, extension=extension)
    return images


def timed_generation(
    run: Run | Path | str,
    *,
    count: int,
    seed: int = 0,
    steps: int | None = None,
    batch_size: int = 16,
    cpu: bool = False,
) -> Generation:
    """As ``generate``, with the time an image took."""
    if count < 1 or batch_size < 1:
        raise Problem(f"{min(count, batch_size)} images cannot be drawn", do="give a number from 1 up")
    run = run if isinstance(run, Run) else Run(run)
    device = torch.device("cuda" if uses_gpu(cpu) else "cpu")
    method = run.trained_method().to(device)
    spacing = spacing_from_stored(run.record.images.spacing_um)
    started = time.perf_counter()
    pictures: list[Picture] = []
    for first in track(range(0, count, batch_size), f"Drawing {count} images"):
        randomness = Randomness.of_images(seed, first, min(batch_size, count - first), purpose=_SAMPLES, device=device)
        with torch.inference_mode():
            drawn = method.sample(SampleRequest(steps), randomness).float().cpu().numpy()
        for offset, channels in enumerate(drawn):
            unit, mask = (channels[:-1], channels[-1] > 0) if run.record.with_masks else (channels, None)
            pictures.append(
                Picture(
                    run.record.intensity.to_grey(unit),
                    spacing,
                    # Each image is a draw of its own: the specimen of a generated image is the image.
                    Origin(
                        f"{run.folder.name}-{seed}-{first + offset}",
                        f"{run.record.method} {run.folder.name}",
                    ),
                    {
                        "method": run.record.method,
                        "seed": float(seed),
                        "number": float(first + offset),
                        TRAINED_ON: run.record.images.fingerprint,
                    },
                    mask,
                )
            )
    seconds = (time.perf_counter() - started) / count
    return Generation(Pictures(pictures, f"images of {run.folder.name}"), seconds)
