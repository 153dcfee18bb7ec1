"""A diffusion run, opened for what is done to images: noised, denoised level by level, and brought back.

An image of the size of the run's crops, or larger, becomes what the denoiser works on, of variance 1, and the other way
round.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import adaptive_max_pool2d

from morphogen.generation.generate import require_able
from morphogen.images.mask_channel import channel_of_mask, mask_of_channel
from morphogen.images.picture import TOLD_BY, TRAINED_ON, TRAINED_THROUGH, Label, Picture
from morphogen.mathematics.randomness import Randomness
from morphogen.methods.denoising import DenoisingMethod
from morphogen.methods.method import SampleRequest
from morphogen.problems import Problem
from morphogen.training.run import Run
from morphogen.training.train import uses_gpu
from morphogen.understanding.learners import learner_class


class DenoisingRun:
    """A run of a denoising method that can be followed level by level, and is told no other image of each place.

    Args:
        folder: of the run.
        cpu: stay on the CPU even where there is a GPU.

    Attributes:
        run: the run.
        method: with the weights to sample from.
        device: where the method is.

    Raises:
        Problem: it is no such run.
    """

    def __init__(self, folder: Run | Path | str, *, cpu: bool = False) -> None:
        self.run = run = folder if isinstance(folder, Run) else Run(folder)
        name, kind = run.record.method, learner_class(run.record.method)
        if not issubclass(kind, DenoisingMethod):
            raise Problem(
                f"{run.folder} is a run of {name}, which is no denoiser", do="name a run of a diffusion method"
            )
        self.require_fit()
        if kind.needs_context:
            raise Problem(
                f"{run.folder} is told an image of each place, which is not read here", do="name a run without"
            )
        if kind.learns_from:
            raise Problem(
                f"{run.folder} is a student, whose jumps cannot be followed level by level",
                do="name the run that it learnt from",
            )
        if run.record.context is not None and run.record.context.kind == "images":
            raise Problem(
                f"{run.folder} is told another image of each place, which is not read here", do="name a run without"
            )
        self.device = torch.device("cuda" if uses_gpu(cpu) else "cpu")
        method = run.trained_method().to(self.device)
        assert isinstance(method, DenoisingMethod)
        self.method: DenoisingMethod = method
        require_able(name, method, SampleRequest())

    def require_fit(self) -> None:
        """Refuse a run that was not trained for what is to be done with it; by default none.

        Raises:
            Problem: it was not.
        """

    def inside(self, pictures: Sequence[Picture]) -> Tensor:
        """Pictures of one size as the denoiser sees them: ``(B, C, h, w)`` of variance 1."""
        units = []
        for picture in pictures:
            unit = self.run.record.intensity.to_unit(picture.pixels)
            if self.run.record.with_masks:
                assert picture.mask is not None  # seen to by ``check``
                unit = np.concatenate([unit, channel_of_mask(picture.mask)])
            units.append(unit)
        images = torch.from_numpy(np.stack(units)).to(self.device)
        return self.method.encode(images, Randomness.of_images(0, 0, len(units), device=self.device))

    def places(self, regions: Sequence[NDArray[np.bool_]]) -> Tensor:
        """Regions ``(height, width)`` where noise is added, ``(B, 1, h, w)``: true if a pixel of the place is in it."""
        masks = torch.from_numpy(np.stack(regions)).float()[:, None]
        unit = self.method.pixels_inside
        size = (masks.shape[2] // unit, masks.shape[3] // unit)
        return (adaptive_max_pool2d(masks, size) > 0).to(self.device)

    def pixels(self, places: Tensor) -> NDArray[np.float32]:
        """Values at the places where noise is added ``(B, h, w)`` as those of pixels, ``(B, height, width)``."""
        unit = self.method.pixels_inside
        whole = places.float().repeat_interleave(unit, dim=1).repeat_interleave(unit, dim=2)
        return np.asarray(whole.cpu().numpy(), dtype=np.float32)

    def pictures(
        self,
        x0: Tensor,
        sources: Sequence[Picture],
        regions: Sequence[NDArray[np.bool_]],
        labels: Sequence[Mapping[str, Label]],
    ) -> list[Picture]:
        """What the denoiser made of pictures, and outside of the regions what was there, to the bit.

        Args:
            x0: ``(B, C, h, w)``.
            sources: the pictures as they were.
            regions: ``(height, width)`` each, true where they may have changed.
            labels: what is known of each of the new ones. What was known of the old ones may no longer be true.
        """
        record = self.run.record
        about: dict[str, Label] = {TRAINED_ON: record.images.fingerprint}
        if self.method.learnt_through:
            about[TRAINED_THROUGH] = self.method.learnt_through
        if record.image_vector is not None:
            about[TOLD_BY] = record.image_vector.identity
        found = []
        channels = self.method.decode(x0).float().cpu().numpy()
        for made, source, region, own in zip(channels, sources, regions, labels, strict=True):
            # It was redrawn for its mask: a copy, so that nobody takes it for a stale one.
            told = record.context is not None and record.context.kind == "masks"
            mask = source.mask.copy() if told and source.mask is not None else None
            if record.with_masks:
                assert source.mask is not None
                made, mask = made[:-1], np.where(region, mask_of_channel(made[-1]), source.mask)
            pixels = np.where(region, record.intensity.to_grey(made), source.pixels)
            found.append(replace(source, pixels=pixels, mask=mask, labels={**about, **own}))
        return found

    def size_asked(self, size: tuple[int, int]) -> tuple[int, int] | None:
        """A size as a request has it: None for that of the crops that the run was trained on."""
        shape = self.method.shape
        return None if size == (shape.height, shape.width) else size
