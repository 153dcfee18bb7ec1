"""How likely measured images are under a denoising run, in bits a dimension. Song et al. 2021 (arXiv:2011.13456).

What is measured. A pixel of an integer type that reads g is given a place in its cell, y = g + u - 1/2 with u from U[0,
1) (uniform dequantisation, Theis, van den Oord, Bethge 2016, arXiv:1511.01844), and brought to the model's units by the
intensity map and the standardisation of the run, x = (2 (y - low) / (high - low) - 1 - mean) / deviation, without
clipping. Then

    bits a dimension = -log2 p(x; lowest) / d + log2(deviation (high - low) / 2)

with p(x; lowest) the density at the run's lowest noise level that its probability flow gives
(``mathematics.likelihood``), d the number of pixels times channels, and the second term the change of variables: it is
the density of y, in units of grey levels. Cells are one grey level wide, so for integers this is, on average over u, an
upper bound on the bits that coding the images takes (without u, infinitely many would do). For 8 bit images it is the
number of the literature, where 8 is that of white noise; cells lie about their grey level here, for the intensity map
puts it there, and above it in most papers, which trained with u. Images of float type are taken as they are; their
number says how dense they lie per unit of grey, and may be negative: compare it on the same images only.

p is the density of crops of the run's size, each by itself, told what training would have told of it: its labels, the
area fraction of its mask, the mask itself, the vector that a CLIP has of it. Estimates are not held within the grey
range as in drawing, where the flow would have an edge. No guidance, for a guided flow has a density that no training
fitted. The prior at the highest level is a Gaussian about the denoiser's own estimate there, for what it is told.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict
from torch import Tensor

from morphogen.generation.generate import told
from morphogen.generation.reconstruct import Crop, crops_of, require_alike
from morphogen.images.image_set import ImageSet
from morphogen.mathematics.likelihood import bits_a_dimension, log_likelihood, rademacher
from morphogen.mathematics.noise_levels import decisive_steps, level_of_batch
from morphogen.mathematics.randomness import Randomness
from morphogen.methods.denoising import DenoisingMethod, Given
from morphogen.methods.method import SampleRequest
from morphogen.pretrained.text_encoder import TextEncoder
from morphogen.problems import Problem
from morphogen.progress import track
from morphogen.training.captions import encoder_of
from morphogen.training.image_vectors import ImageVectors, clip_of
from morphogen.training.run import Run
from morphogen.training.train import require_labels, uses_gpu
from morphogen.understanding.learners import learner_class

_PLACES_IN_CELLS, _PROBES = 110, 111
"""Purposes of the random streams."""
EVALUATIONS_A_STEP = 4
"""Of the Runge-Kutta method."""
MOST_FIELDS = 64
"""Fields by default: an image costs as much as drawing dozens."""


class FieldLikelihood(BaseModel):
    """One field.

    Attributes:
        image: file that it is from, or its specimen where it is from no file.
        specimen: of the image.
        slice: index in a volume, or None.
        region: top, left, height and width in that file, in pixels.
        bits_a_dimension: of the continuous image, in units of grey levels; lower is likelier.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    image: str
    specimen: str
    slice: int | None
    region: tuple[int, int, int, int] | None
    bits_a_dimension: float


@dataclass(frozen=True, slots=True)
class Likelihoods:
    """The fields, and how they were measured.

    Attributes:
        fields: of all images.
        dequantised: whether pixels were given a place in the cell of their grey level.
        lowest_noise: the level at which the density is taken, in grey levels.
        evaluations: of the network, an image.
    """

    fields: tuple[FieldLikelihood, ...]
    dequantised: bool
    lowest_noise: float
    evaluations: int

    @property
    def mean(self) -> float:
        """Over the fields."""
        return float(np.mean([field.bits_a_dimension for field in self.fields]))


def likelihood(
    run: Run | Path | str,
    images: ImageSet,
    *,
    steps: int = 96,
    probes: int = 1,
    most: int = MOST_FIELDS,
    seed: int = 0,
    batch_size: int = 16,
    text_encoder: Path | str | None = None,
    cpu: bool = False,
) -> Likelihoods:
    """Bits a dimension of measured images under a run; the module says of what exactly.

    Args:
        run: of a denoising method on pixels, or its folder.
        images: measured images of the pixel type and channels that the run knows; best those that were held out.
        steps: evaluations of the network an image, a multiple of 4; more are more exact.
        probes: random directions in which the divergence is measured; more are less noisy and cost as much more.
        most: fields at most, crops of the run's size side by side, spread evenly over the images.
        seed: of places in cells and of probes; field k depends on the seed and on k alone.
        batch_size: fields at a time; changes memory and not content.
        text_encoder: of a run that reads captions: folder of its encoder, where that is no longer where it was.
        cpu: stay on the CPU even where there is a GPU.

    Raises:
        Problem: the run has no density of images, or images that it does not know.
    """
    run = run if isinstance(run, Run) else Run(run)
    _require_density(run)
    if steps < EVALUATIONS_A_STEP or steps % EVALUATIONS_A_STEP or min(probes, most, batch_size) < 1:
        raise Problem(
            f"{steps} steps, {probes} probes, {most} fields and batches of {batch_size} measure nothing",
            do=f"give steps in multiples of {EVALUATIONS_A_STEP}, and 1 or more of the others",
        )
    require_alike(run, images)
    require_labels(run.record.conditions, images)
    encoder = encoder_of(run.record.conditions, text_encoder)
    context = run.record.context
    beside = [] if context is None else context.all_channels("masks", images)
    crops = crops_of(images, (run.shape.height, run.shape.width), most)
    device = torch.device("cuda" if uses_gpu(cpu) else "cpu")
    method = run.trained_method().to(device)
    assert isinstance(method, DenoisingMethod)
    intensity, settings = run.record.intensity, method.settings
    # Grey levels to a unit of the model, the geometric mean over channels: logarithms of densities add up.
    grey = float(method.deviation.log().mean().exp()) * (intensity.high - intensity.low) / 2
    levels = decisive_steps(steps // EVALUATIONS_A_STEP + 1, settings.lowest_noise, settings.highest_noise)
    dequantised = np.issubdtype(np.dtype(intensity.dtype), np.integer)
    dimensions, found = math.prod(method.inside), []
    looks = None if run.record.image_vector is None else ImageVectors(clip_of(run), device=device)
    for first in track(range(0, len(crops), batch_size), f"Measuring {len(crops)} fields"):
        here = crops[first : first + batch_size]
        x = torch.from_numpy(np.stack([crop.picture.pixels.astype(np.float64) for crop in here]))
        if dequantised:
            cells = Randomness.of_images(seed, first, len(here), purpose=_PLACES_IN_CELLS)
            x = x + cells.uniform(*x.shape[1:]).double() - 0.5
        unit = 2 * (x - intensity.low) / (intensity.high - intensity.low) - 1
        streams = Randomness.of_images(seed, first, len(here), purpose=_PROBES, device=device)
        x0 = method.encode(unit.float().to(device), streams)
        known: dict[str, Any] = _told(run, here, encoder, device)
        if beside:
            channels = [crop.of(beside[crop.number], (run.shape.height, run.shape.width)) for crop in here]
            known["context"] = torch.from_numpy(np.stack(channels)).to(device)
        if looks is not None:
            known["image_vector"] = looks.of_images(unit.float()).to(device)
        given = method.given(SampleRequest(**known))

        def denoise(x: Tensor, sigma: Tensor, given: Given = given) -> Tensor:
            return method.denoise(x, sigma, given)

        with torch.no_grad():
            expected = denoise(torch.zeros_like(x0), level_of_batch(settings.highest_noise, x0))
        log_p = log_likelihood(denoise, x0, levels, probes=rademacher(streams, probes, *x0.shape[1:]), mean=expected)
        found += _records(here, bits_a_dimension(log_p, dimensions, grey))
    return Likelihoods(tuple(found), bool(dequantised), settings.lowest_noise * grey, steps)


def _require_density(run: Run) -> None:
    kind, name = learner_class(run.record.method), run.record.method
    if not issubclass(kind, DenoisingMethod):
        raise Problem(
            f"{run.folder} is a run of {name}, which has no probability flow", do="name a run of a diffusion method"
        )
    if kind.learns_from:
        raise Problem(
            f"{run.folder} is a run of {name}, which learnt from another run and has no density of its own",
            do="name the run that it learnt from",
        )
    if kind.encode is not DenoisingMethod.encode:
        raise Problem(
            f"{run.folder} is a run of {name}, and a latent has no density of the image",
            do="name a run that denoises pixels",
        )
    if run.record.with_masks:
        raise Problem(
            f"{run.folder} makes masks too, and a mask has no density in grey levels",
            do="name a run that was trained without masks",
        )
    if run.record.context is not None and run.record.context.kind == "images":
        raise Problem(
            f"{run.folder} is told another image of each place, which is not read here",
            do="name a run without, or one that is told masks",
        )


def _told(run: Run, crops: Sequence[Crop], encoder: TextEncoder | None, device: torch.device) -> dict[str, Tensor]:
    conditions = run.record.conditions
    values = [conditions.values_of(crop.picture.labels, crop.picture.mask) for crop in crops]
    return told(values, conditions, encoder, device)


def _records(crops: Sequence[Crop], bits: Tensor) -> list[FieldLikelihood]:
    return [
        FieldLikelihood(
            image=str(origin.source or origin.specimen),
            specimen=origin.specimen,
            slice=origin.slice,
            region=origin.region,
            bits_a_dimension=float(value),
        )
        for origin, value in zip((crop.picture.origin for crop in crops), bits, strict=True)
    ]
