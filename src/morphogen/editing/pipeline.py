"""Edits by a pipeline that others trained, from its folder: what it does is what the folder was made for.

One file for all of them, since the folder says which it is (``pretrained.pipeline``), and to say it again would be a
chance to be wrong:

    Stable Diffusion    a caption: the image is taken part of the way to noise and back, as what the caption says
                        (SDEdit, Meng et al. 2021, arXiv:2108.01073); with a mask, only the hole is painted
    inpainting          a caption and a mask (Rombach et al. 2022, arXiv:2112.10752, section 4.5)
    InstructPix2Pix     an instruction (Brooks et al. 2022, arXiv:2211.09800), with two guidances
    ControlNet          a caption: a new image on the edges, the mask, or the grey values of the source (Zhang et al.
                        2023, arXiv:2302.05543)
    Stable unCLIP       a variation of the image, along a caption where one is given (Ramesh et al. 2022,
                        arXiv:2204.06125)

Where there is a mask, pixels outside of it are the source's to the bit, whatever the pipeline made of them: an
autoencoder gives no image back as it was. A text longer than the pipeline reads is refused, not cut off in silence.

unCLIP sees images through CLIP's window, a square: it is filled up by reflection, where CLIP's own preparation would
cut the ends of a rectangle off.
"""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field, model_validator
from torch import Tensor
from torch.nn.functional import interpolate

from morphogen.editing.editor import Edit, EditingMethod, EditorSettings, Instruction
from morphogen.images.picture import TRAINED_ON, Picture
from morphogen.pretrained.pipeline import (
    Frame,
    Pipeline,
    batch_of,
    declared_intensity,
    from_rgb,
    generators,
    marked,
    to_rgb,
)
from morphogen.problems import Problem
from morphogen.training.train import uses_gpu

_EDITS = 161  # purpose of the random streams
_CLIP = ((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711))  # mean and deviation of its images

_OF_TEXT = {False: "StableDiffusionImg2ImgPipeline", True: "StableDiffusionInpaintPipeline"}  # with a mask?
_STRENGTH = 0.6  # of image-to-image, where none is asked: most of the layout stays


class Settings(EditorSettings):
    """Settings of a pipeline; each kind reads those that mean something to it."""

    steps: int = Field(default=30, ge=1, description="noise levels that it goes through, from pure noise")
    guidance: float = Field(default=7.5, ge=1, description="weight of the text")
    image_guidance: float = Field(default=1.5, ge=1, description="of InstructPix2Pix: weight of the source")
    strength: float | None = Field(
        default=None,
        gt=0,
        le=1,
        description="how far towards noise the source is taken; by default 0.6 for Stable Diffusion, 1 for the rest",
    )
    control: Literal["edges", "mask", "image"] = Field(
        default="edges", description="of ControlNet: what of the source it is told"
    )
    control_weight: float = Field(default=1.0, ge=0, description="of ControlNet: weight of what it is told")
    edge_width: float = Field(default=1.0, gt=0, description="of edges: deviation of the smoothing, in pixels")
    noise: int = Field(default=0, ge=0, description="of unCLIP: noise step of the embedding, more for more variety")
    avoid: str = Field(default="", description="what the image is not to show")
    lora: Path | None = Field(default=None, description="folder of a LoRA that is added to the network")
    lora_weight: float = Field(default=1.0, description="how much of it; 1 as trained")
    black: float | None = Field(default=None, description="grey value that is black; by default as the source says")
    white: float | None = Field(default=None, description="grey value that is white; by default as the source says")

    @model_validator(mode="after")
    def _there_is_a_step(self) -> "Settings":
        if self.strength is not None and int(self.steps * self.strength) < 1:
            raise ValueError("larger, or with more steps: the two together leave none")
        return self

    def strength_of(self, default: float) -> float:
        """What is asked, or a default that leaves a step."""
        return max(default, 1 / self.steps) if self.strength is None else self.strength


class Editor(EditingMethod):
    """A pipeline of diffusers."""

    title = "pipeline"
    takes = frozenset({"caption", "words", "mask"})
    model = "a pipeline that diffusers saved"
    settings: Settings

    def __init__(self, settings: Settings, folder: Path | None, *, cpu: bool = False) -> None:
        super().__init__(settings, folder, cpu=cpu)
        if folder is None:
            raise Problem("a pipeline is in a folder", do=f"name {self.model}")
        self.device = torch.device("cuda" if uses_gpu(cpu) else "cpu")
        self.pipeline = Pipeline(folder, lora=settings.lora, lora_weight=settings.lora_weight, device=self.device)

    def check(self, source: Picture, instruction: Instruction) -> None:
        """Refuse what the pipeline of this folder cannot follow, and images that it cannot see."""
        kind, where, settings = self.pipeline.kind, self.folder, self.settings
        if kind == "instruct":
            if instruction.caption:
                raise Problem(
                    f"{where} follows an instruction, not a caption", do="say what is to be done, as an order"
                )
            if not instruction.words:
                raise Problem(
                    f"{where} follows an instruction", do="say what is to be done, as 'make the pores larger'"
                )
        else:
            if instruction.words:
                raise Problem(f"{where} follows no instruction", do="give a caption of what the image is to show")
            if not instruction.caption and kind != "unclip":
                raise Problem(f"{where} needs a caption", do="say what the image is to show")
        if kind == "inpaint" and instruction.mask is None:
            raise Problem(f"{where} paints holes", do="give a mask of what may change")
        if kind == "control" and settings.control == "mask" and source.mask is None:
            what = source.origin.source or source.origin.specimen
            raise Problem(f"{what} has no mask to be told", do="give images with masks, or control=edges")
        for text in (instruction.caption, instruction.words, settings.avoid):
            self.pipeline.require_readable(text)
        to_rgb(source, declared_intensity(source, settings.black, settings.white))

    def edit(
        self, sources: Sequence[Picture], instructions: Sequence[Instruction], *, seed: int, first: int
    ) -> list[Edit]:
        """Edit a batch of pictures of one size."""
        settings = self.settings
        for source, instruction in zip(sources, instructions, strict=True):
            self.check(source, instruction)
        # Those with a mask and those without are seen by different pipelines.
        edits: dict[int, Edit] = {}
        for masked in (False, True):
            numbers = [k for k, asked in enumerate(instructions) if (asked.mask is not None) == masked]
            if not numbers:
                continue
            here, asked = [sources[k] for k in numbers], [instructions[k] for k in numbers]
            scales = [declared_intensity(picture, settings.black, settings.white) for picture in here]
            frame = Frame.of(here[0].size, self.pipeline.multiple)
            images = batch_of([frame.fill(to_rgb(p, scale)) for p, scale in zip(here, scales, strict=True)])
            masks = batch_of([frame.fill(a.mask[None].astype(np.float32)) for a in asked if a.mask is not None] or
                             [np.ones((1, *frame.outer), np.float32)])  # fmt: skip
            random = generators(seed, _EDITS, [first + k for k in numbers])
            drawn = self._drawn(here, asked, images, masks if masked else None, frame, random)
            for k, picture, one, scale, rgb in zip(numbers, here, asked, scales, drawn, strict=True):
                made = from_rgb(frame.cut(rgb), picture.channels, scale)
                region = np.ones(picture.size, np.bool_) if one.mask is None else one.mask
                pixels = np.where(region, made, picture.pixels)
                labels = marked(picture.labels)
                if self.pipeline.lora is not None:
                    labels[TRAINED_ON] = self.pipeline.lora.trained_on
                # A mask of the source says nothing of what the pipeline painted.
                edits[k] = Edit(picture, replace(picture, pixels=pixels, labels=labels, mask=None), region)
        return [edits[k] for k in range(len(sources))]

    def _drawn(
        self,
        sources: Sequence[Picture],
        instructions: Sequence[Instruction],
        images: Tensor,
        masks: Tensor | None,
        frame: Frame,
        random: list[torch.Generator],
    ) -> NDArray[np.float32]:
        """What the pipeline makes of images ``(B, 3, H, W)`` in [0, 1]: the same shape and range."""
        settings, kind = self.settings, self.pipeline.kind
        height, width = frame.outer
        told: dict[str, Any] = {
            "prompt": [asked.words if kind == "instruct" else asked.caption for asked in instructions],
            "negative_prompt": [settings.avoid] * len(sources),
            "num_inference_steps": settings.steps,
            "guidance_scale": settings.guidance,
            "generator": random,
            "output_type": "pt",
        }
        images = images.to(self.device)
        if kind == "unclip":
            name = "StableUnCLIPImg2ImgPipeline"
            told |= {"image": self._seen_by_clip(sources), "height": height, "width": width,
                     "noise_level": settings.noise}  # fmt: skip
        elif kind == "instruct":
            name = "StableDiffusionInstructPix2PixPipeline"
            told |= {"image": images, "image_guidance_scale": settings.image_guidance}
        elif kind == "control":
            name = self._control(told, sources, images, masks, frame)
        else:
            name = _OF_TEXT[masks is not None]
            told |= {"image": images, "strength": settings.strength_of(_STRENGTH if masks is None else 1.0)}
            if masks is not None:
                told |= {"mask_image": masks, "height": height, "width": width}
        with torch.inference_mode():
            drawn: Tensor = self.pipeline.as_class(name)(**told).images
        return drawn.float().cpu().numpy()

    def _control(
        self, told: dict[str, Any], sources: Sequence[Picture], images: Tensor, masks: Tensor | None, frame: Frame
    ) -> str:
        """Fill in what a ControlNet is told; the name of the pipeline that takes it."""
        settings = self.settings
        control = images
        if settings.control == "edges":
            grey = images.mean(1).double().cpu().numpy()
            control = batch_of([np.repeat(edges(one, settings.edge_width)[None], 3, axis=0) for one in grey])
        elif settings.control == "mask":
            # Where there is none, ``check`` has refused.
            seen = [frame.fill(p.mask[None].astype(np.float32)) for p in sources if p.mask is not None]
            control = batch_of([np.repeat(one, 3, axis=0) for one in seen])
        control = control.to(self.device)
        told |= {"controlnet_conditioning_scale": settings.control_weight,
                 "height": frame.outer[0], "width": frame.outer[1]}  # fmt: skip
        if masks is not None:
            told |= {"image": images, "mask_image": masks, "control_image": control,
                     "strength": settings.strength_of(1.0)}  # fmt: skip
            return "StableDiffusionControlNetInpaintPipeline"
        if settings.strength is not None and settings.strength < 1:
            told |= {"image": images, "control_image": control, "strength": settings.strength}
            return "StableDiffusionControlNetImg2ImgPipeline"
        told |= {"image": control}
        return "StableDiffusionControlNetPipeline"

    def _seen_by_clip(self, sources: Sequence[Picture]) -> Tensor:
        """The sources as CLIP sees images: squares ``(B, 3, side, side)``, of CLIP's mean and deviation."""
        settings = self.settings
        rgb = [to_rgb(p, declared_intensity(p, settings.black, settings.white)) for p in sources]
        square = Frame.of(sources[0].size, max(sources[0].size))
        side = int(self.pipeline.diffusers.image_encoder.config.image_size)
        seen = interpolate(batch_of([square.fill(one) for one in rgb]), (side, side), mode="bicubic", antialias=True)
        mean, deviation = (torch.tensor(numbers)[:, None, None] for numbers in self._statistics())
        return ((seen.clamp(0, 1) - mean) / deviation).to(self.device)

    def _statistics(self) -> tuple[Sequence[float], Sequence[float]]:
        """Mean and deviation of the images that its CLIP learnt from."""
        assert self.folder is not None
        path = self.folder / "feature_extractor" / "preprocessor_config.json"
        if not path.exists():
            return _CLIP
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
            return found.get("image_mean", _CLIP[0]), found.get("image_std", _CLIP[1])
        except (ValueError, AttributeError):
            raise Problem(f"{path} is damaged", do="restore it") from None


def edges(grey: NDArray[np.float64], width: float) -> NDArray[np.float32]:
    """Edges of an image ``(height, width)`` in [0, 1], 1 where there is one.

    Canny 1986 (doi 10.1109/TPAMI.1986.4767851), with thresholds at quantiles of the gradient, so that faint images have
    edges too: a ControlNet of edges learnt from images that have some.

    Args:
        grey: the image.
        width: deviation of the smoothing, in pixels.
    """
    from skimage.feature import canny

    found: NDArray[np.float32] = canny(
        grey, width, low_threshold=0.7, high_threshold=0.9, use_quantiles=True, mode="reflect"
    ).astype(np.float32)
    return found
