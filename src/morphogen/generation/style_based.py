"""What is done with a style-based run: opened, its styles drawn from seeds, and made into images."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from morphogen.generation.generate import SAMPLES
from morphogen.images.folders import require_format
from morphogen.images.picture import Label, Picture
from morphogen.mathematics.randomness import Randomness
from morphogen.methods.method import GenerativeMethod, StyleBased
from morphogen.problems import Problem
from morphogen.training.run import Run
from morphogen.training.train import uses_gpu
from morphogen.whole_files import require_free_folder

if TYPE_CHECKING:

    class StyleMethod(GenerativeMethod, StyleBased):
        """A generative method that is style-based."""


def opened(
    run: Run | Path | str, folder: Path | str | None, extension: str | None, cpu: bool
) -> tuple[Run, "StyleMethod", Path | None]:
    """The run, its method on the device, and where to write, all refused here if they have to be."""
    run = run if isinstance(run, Run) else Run(run)
    target = require_free_folder(Path(folder), "the images") if folder is not None else None
    if extension is not None:
        require_format(extension, run.record.intensity.dtype)
    method = run.trained_method()
    if not isinstance(method, StyleBased):
        raise Problem(
            f"{run.folder} is a run of {run.record.method}, which has no styles", do="give a run of stylegan2"
        )
    return run, cast("StyleMethod", method.to("cuda" if uses_gpu(cpu) else "cpu")), target


def device_of(method: nn.Module) -> torch.device:
    """Where a method is."""
    return next(method.parameters()).device


def styles_of(method: "StyleMethod", z: Tensor, condition: Tensor | None, truncation: float | None) -> Tensor:
    """Styles ``(B, layers, dimensions)`` of latent vectors ``(B, latent_dimensions)``."""
    with torch.no_grad():
        return method.styles(z, condition) if truncation is None else method.styles(z, condition, truncation)


def after_latents(method: "StyleMethod", seeds: Sequence[int]) -> tuple[Randomness, Tensor]:
    """The streams of image 0 of each seed where ``sample`` has drawn z from them, and z."""
    randomness = Randomness([(seed, SAMPLES, 0) for seed in seeds], device_of(method))
    z = randomness.normal(method.latent_dimensions)
    return randomness, z


def synthesised(
    method: "StyleMethod", styles: Tensor, seeds: Sequence[int] | None, batch_size: int
) -> NDArray[np.float32]:
    """Images ``(n, channels, height, width)`` of styles, under the noise of image 0 of each seed, or none."""
    drawn = []
    for first in range(0, len(styles), batch_size):
        here = slice(first, first + batch_size)
        randomness = None if seeds is None else after_latents(method, seeds[here])[0]
        with torch.no_grad():
            drawn.append(method.synthesise(styles[here], randomness).float().cpu().numpy())
    return np.concatenate(drawn)


def labelled(picture: Picture, labels: Mapping[str, Label]) -> Picture:
    """A picture with labels more."""
    return replace(picture, labels={**picture.labels, **labels})
