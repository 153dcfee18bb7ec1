"""InstructPix2Pix: an image changed by an order in words. Brooks, Holynski, Efros 2023 (arXiv:2211.09800).

A run of ``methods.instruct_pix2pix`` draws the image after from noise, told the image before and the instruction, each
with a guidance of its own. An image larger than the crops that the run has learnt from is seen through windows that
overlap (``mathematics.windows``), one instruction for all of them; its sides are filled up to what the network takes by
reflection, which is cut off again. Where a mask is given, what lies outside of it is put back: the run itself sees no
mask.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from pydantic import Field

from morphogen.editing.editor import Edit, EditingMethod, EditorSettings, Instruction
from morphogen.generation.generate import asked_values, picture_of, require_able, told
from morphogen.images.context import name_of
from morphogen.images.mask_channel import mask_of_channel
from morphogen.images.picture import Picture
from morphogen.mathematics.randomness import Randomness
from morphogen.methods.denoising import DenoisingMethod
from morphogen.methods.method import SampleRequest
from morphogen.problems import Problem
from morphogen.training.captions import encoder_of
from morphogen.training.run import Run
from morphogen.training.train import uses_gpu

METHOD = "instruct_pix2pix"
"""The method whose runs follow instructions."""

_NOISE = 140
"""Purpose of the random streams of edits, apart from those of samples."""


class Settings(EditorSettings):
    """How an instruction is followed."""

    guidance: float | None = Field(
        default=None, ge=0, description="weight of the instruction; 1 as trained; by default as the run has it"
    )
    image_guidance: float | None = Field(
        default=None, ge=0, description="weight of the image before; 1 as trained; by default as the run has it"
    )
    guidance_interval: tuple[float, float] | None = Field(
        default=None, description="lowest and highest noise level that is guided; by default as the run has it"
    )
    steps: int | None = Field(default=None, ge=1, description="of the solver; by default as the run has it")
    solver: str | None = Field(default=None, description="by default as the run has it")
    overlap: int | None = Field(
        default=None, ge=0, description="pixels that windows share at least; by default half a window"
    )
    text_encoder: str | None = Field(
        default=None, description="folder of the run's text encoder, where that is no longer where it was"
    )


class Editor(EditingMethod):
    """Follows an instruction with a run that has learnt from triples."""

    title = "InstructPix2Pix"
    takes = frozenset({"words", "mask"})
    needs = frozenset({"words"})
    model = "a run of instruct_pix2pix"
    settings: Settings

    def __init__(self, settings: Settings, folder: Path | None, *, cpu: bool = False) -> None:
        super().__init__(settings, folder, cpu=cpu)
        assert folder is not None
        self.run = Run(folder)
        record = self.run.record
        if record.method != METHOD or record.context is None or record.context.kind != "images":
            raise Problem(f"{folder} does not follow instructions", do=f"train {METHOD} on triples")
        self.sees = record.context.intensity
        if record.conditions.text is None:
            raise Problem(f"{folder} was told no instructions", do="train one that is conditioned on instruction")
        self.device = torch.device("cuda" if uses_gpu(cpu) else "cpu")
        method = self.run.trained_method().to(self.device)
        assert isinstance(method, DenoisingMethod)
        self.method, self.encoder = method, encoder_of(record.conditions, settings.text_encoder)
        self.request = SampleRequest(
            settings.steps, solver=settings.solver, guidance=settings.guidance, image_guidance=settings.image_guidance,
            guidance_interval=settings.guidance_interval,
        )  # fmt: skip
        require_able(METHOD, method, self.request)

    def check(self, source: Picture, instruction: Instruction) -> None:
        """The image must be of the kind that the run has learnt from, and as large as its crops at least."""
        context = self.run.record.context
        assert context is not None
        context.channels_of(source)
        height, width = self.method.shape.height, self.method.shape.width
        if source.size[0] < height or source.size[1] < width:
            raise Problem(
                f"{name_of(source)} is {source.size[0]} x {source.size[1]}, smaller than the {height} x {width} that"
                " the run looks through",
                do="give larger images, or train on smaller crops",
            )
        require_able(
            METHOD, self.method, replace(self.request, size=self._filled(source), overlap=self._overlap(source))
        )
        if self.encoder is not None:
            self.encoder(instruction.words)

    def edit(
        self, sources: Sequence[Picture], instructions: Sequence[Instruction], *, seed: int, first: int
    ) -> list[Edit]:
        """Draw each image after, for its image before and its instruction."""
        record, count = self.run.record, len(sources)
        context, text = record.context, record.conditions.text
        assert context is not None
        assert text is not None
        height, width = sources[0].size
        size = self._filled(sources[0])
        fill = ((0, 0), (0, size[0] - height), (0, size[1] - width))
        beside = np.stack([np.pad(context.channels_of(picture), fill, mode="reflect") for picture in sources])
        values = [asked_values(self.run, {text.name: instruction.words}, 1, seed)[0] for instruction in instructions]
        request = replace(
            self.request,
            context=torch.from_numpy(beside).to(self.device),
            size=size,
            overlap=self._overlap(sources[0]),
            **told(values, record.conditions, self.encoder, self.device),
        )
        randomness = Randomness.of_images(seed, first, count, purpose=_NOISE, device=self.device)
        with torch.inference_mode():
            drawn = self.method.sample(request, randomness).float().cpu().numpy()[:, :, :height, :width]
        return [self._edit(*parts) for parts in zip(sources, instructions, drawn, strict=True)]

    def _edit(
        self, source: Picture, instruction: Instruction, channels: "np.ndarray[tuple[int, ...], np.dtype[np.float32]]"
    ) -> Edit:
        made = picture_of(self.run, channels, source.origin.specimen, self.method.learnt_through)
        region = np.ones(source.size, np.bool_) if instruction.mask is None else instruction.mask
        pixels = np.where(region, made.pixels, source.pixels)
        # The mask of the phase is no longer true where the image has changed, unless the run draws it too.
        mask = None
        if self.run.record.with_masks and source.mask is not None:
            mask = np.where(region, mask_of_channel(channels[-1]), source.mask)
        labels = {**source.labels, **made.labels}
        return Edit(source, replace(source, pixels=pixels, mask=mask, labels=labels), region)

    def _filled(self, source: Picture) -> tuple[int, int]:
        """The next larger size that the network takes."""
        unit = self.method.pixels_inside
        height, width = (-(-side // unit) * unit for side in source.size)
        return height, width

    def _overlap(self, source: Picture) -> int | None:
        """Windows that overlap, where there is more than one."""
        one = self._filled(source) == (self.method.shape.height, self.method.shape.width)
        return None if one else self.settings.overlap
