"""Whole pipelines that others trained: a folder of diffusers, opened from its path.

Stable Diffusion (Rombach et al. 2022, arXiv:2112.10752) and what was made of it: image-to-image (SDEdit, Meng et al.
2021, arXiv:2108.01073), inpainting, InstructPix2Pix (Brooks et al. 2022, arXiv:2211.09800), ControlNet (Zhang et al.
2023, arXiv:2302.05543), Stable unCLIP (Ramesh et al. 2022, arXiv:2204.06125). What a folder can do stands in its
``model_index.json``; nobody has to say it again. Beside it there may be a LoRA (Hu et al. 2021, arXiv:2106.09685).

Nothing is looked for on the network, no code that lies in a folder is run, and a folder with a pickle in it is refused
even where it has safetensors too: whoever opens it with another program would run it. Weights are used in float32.

These networks know colour images of 8 bit in [0, 1]. A grey image goes in three times and comes back as one luminance,
whose weights add up to 1, so grey stays grey (``images.picture``). Grey values go through an ``IntensityMap`` of the
source and back through the same one. A rectangle is filled up by reflection to the pipeline's multiple and cut back.
"""

import hashlib
import importlib.util
import json
import math
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, ValidationError
from safetensors import SafetensorError
from torch import Tensor, nn

from morphogen.images.intensity import IntensityMap
from morphogen.images.picture import TRAINED_THROUGH, Label, Picture
from morphogen.mathematics.randomness import numpy_generator
from morphogen.problems import Problem

Kind = Literal["text", "inpaint", "instruct", "control", "unclip"]
"""What a pipeline was trained to be told beside a noisy image: a text alone, or a text and an image with a hole, an
image to be changed, an image in register, the embedding of an image."""

KINDS: dict[str, Kind] = {
    "StableDiffusionPipeline": "text",
    "StableDiffusionImg2ImgPipeline": "text",
    "StableDiffusionInpaintPipeline": "inpaint",
    "StableDiffusionInstructPix2PixPipeline": "instruct",
    "StableDiffusionControlNetPipeline": "control",
    "StableDiffusionControlNetImg2ImgPipeline": "control",
    "StableDiffusionControlNetInpaintPipeline": "control",
    "StableUnCLIPImg2ImgPipeline": "unclip",
}
"""Classes of pipelines that are understood."""

PICKLES = frozenset({".bin", ".ckpt", ".pt", ".pth", ".pkl", ".pickle"})
"""Endings of files that may hold a pickle, and so a program."""

LORA_WEIGHTS = "pytorch_lora_weights.safetensors"
"""Name of the file of a LoRA, as diffusers has it."""

LORA_RECORD = "lora.json"
"""What a LoRA learnt from, beside its weights, where 'morphogen lora' made it."""

_LIBRARIES = frozenset({"diffusers", "transformers", "stable_diffusion"})  # that parts of a pipeline may come from
_LUMINANCE = np.array([0.299, 0.587, 0.114])  # as ``Picture.grey`` has it
_BROKEN = (OSError, ValueError, KeyError, TypeError, AttributeError, RuntimeError, ImportError, SafetensorError)


class LoraRecord(BaseModel):
    """What a LoRA learnt from: enough to draw images like those.

    Attributes:
        pipeline: folder of the pipeline that it changes.
        weights: SHA-256 of the weights of that pipeline's UNet.
        rank: of the changes.
        captions: that it learnt images by.
        size: height and width of the crops.
        channels: of the images.
        intensity: their map to [-1, 1].
        spacing_um: height and width of a pixel in micrometres; None where unknown.
        trained_on: fingerprint of the images.
        seed: of crops, noise and first weights.
        settings: how it was trained.
        symmetries: flips and turns that it saw crops by.
        images_seen: crops that it learnt from.
        seconds: that this took.
        morphogen: version.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal[1] = 1
    pipeline: str
    weights: str
    rank: int
    captions: tuple[str, ...]
    size: tuple[int, int]
    channels: int
    intensity: IntensityMap
    spacing_um: tuple[float | None, float | None]
    trained_on: str
    seed: int
    settings: dict[str, Any]
    symmetries: tuple[str, ...] = ()
    images_seen: int
    seconds: float
    morphogen: str


@dataclass(frozen=True, slots=True)
class PipelineIndex:
    """What the index of a pipeline folder says.

    Attributes:
        folder: where it is.
        name: of its class.
        kind: what it is told.
    """

    folder: Path
    name: str
    kind: Kind

    @classmethod
    def read(cls, folder: Path | str) -> "PipelineIndex":
        """Read the index and look at the files, without opening a network.

        Raises:
            Problem: there is no such folder or index, it holds a pickle or code of its own, or a pipeline of a class
                that is not understood.
        """
        folder = Path(folder)
        if not folder.is_dir():
            raise Problem(f"there is no folder {folder}", do="give the path of a pipeline that diffusers saved")
        path = folder / "model_index.json"
        if not path.exists():
            raise Problem(
                f"{folder} holds no pipeline: it has no model_index.json", do="give a folder that diffusers saved"
            )
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
            name = found["_class_name"]
            parts = [part for key, part in found.items() if isinstance(part, list) and not key.startswith("_")]
        except (ValueError, KeyError, AttributeError, OSError):
            raise Problem(f"{path} is damaged", do="restore it, or save the pipeline again") from None
        require_no_pickles(folder)
        if not isinstance(name, str) or any(part[0] not in _LIBRARIES | {None} for part in parts if part):
            raise Problem(f"{folder} brings code of its own, which is not run", do="give a pipeline of diffusers")
        if name not in KINDS:
            raise Problem(f"{folder} is a {name}, which is not understood", do=f"give one of {', '.join(KINDS)}")
        return cls(folder, name, KINDS[name])


class Pipeline:
    """A pipeline, opened.

    Args:
        folder: as diffusers saves one.
        lora: folder of a LoRA that is added to its UNet.
        lora_weight: how much of it is added; 1 as trained.
        device: where it works.

    Attributes:
        index: what its folder says.
        diffusers: the pipeline itself.
        kind: what it is told; an inpainting pipeline whose UNet sees no hole is one that is told a text.
        lora: what the LoRA learnt from, where that is known.

    Raises:
        Problem: the folder holds no pipeline that is understood, or the LoRA does not fit.
    """

    def __init__(
        self,
        folder: Path | str,
        *,
        lora: Path | str | None = None,
        lora_weight: float = 1.0,
        device: torch.device | str = "cpu",
    ) -> None:
        self.index = PipelineIndex.read(folder)
        if importlib.util.find_spec("transformers") is None:
            raise Problem("pipelines need the package transformers", do="pip install transformers")
        if lora is not None:
            require_peft()
        self.diffusers = _opened(self.index)
        self.lora = None if lora is None else self._with_lora(Path(lora), lora_weight)
        channels = int(self.diffusers.unet.config.in_channels), int(self.diffusers.vae.config.latent_channels)
        self.kind: Kind = "text" if self.index.kind == "inpaint" and channels[0] == channels[1] else self.index.kind
        self.diffusers.to(torch.device(device))
        self.diffusers.set_progress_bar_config(disable=True)

    @property
    def multiple(self) -> int:
        """Height and width of what it sees are multiples of this, so that every halving comes out whole.

        And of 8, on which diffusers insists whatever the autoencoder.
        """
        halvings = len(self.diffusers.unet.config.block_out_channels) - 1
        return math.lcm(8, int(self.diffusers.vae_scale_factor) * 2**halvings)

    @property
    def size(self) -> int:
        """Side of the images that it was trained on."""
        return int(self.diffusers.unet.config.sample_size) * int(self.diffusers.vae_scale_factor)

    @cached_property
    def unet_sha256(self) -> str:
        """Hash of the files of the UNet's weights."""
        digest = hashlib.sha256()
        for path in sorted((self.index.folder / "unet").glob("*.safetensors")):
            with open(path, "rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
        return digest.hexdigest()

    def require_readable(self, text: str) -> None:
        """Refuse a text that the pipeline would cut off in silence.

        Raises:
            Problem: it is longer than the text encoder reads.
        """
        tokenizer = self.diffusers.tokenizer
        most = int(tokenizer.model_max_length)
        # What is far too long need not be read to the end.
        count = len(tokenizer(text[: 20 * most], verbose=False).input_ids)
        if count > most:
            more = "more than " if len(text) > 20 * most else ""
            raise Problem(
                f"a text has {more}{count:,} tokens, '{text[:30]}...', and the pipeline reads {most}",
                do="say it in fewer words",
            )

    def as_class(self, name: str) -> Any:
        """The same networks at work in another pipeline of diffusers, as ``StableDiffusionImg2ImgPipeline``."""
        import diffusers

        here = self.diffusers
        if type(here).__name__ == name:
            return here
        kind = getattr(diffusers, name)
        parts = {key: part for key, part in here.components.items() if key in kind._get_signature_keys(kind)[0]}
        other = kind(**parts, requires_safety_checker=False)
        other.set_progress_bar_config(disable=True)
        return other

    def _with_lora(self, folder: Path, weight: float) -> LoraRecord | None:
        path = lora_file(folder)
        try:
            self.diffusers.load_lora_weights(
                str(path.parent), weight_name=path.name, adapter_name="lora", local_files_only=True
            )
            fits = "lora" in getattr(self.diffusers.unet, "peft_config", {})
            if fits:
                self.diffusers.set_adapters("lora", weight)
        except _BROKEN as error:
            raise Problem(f"the LoRA {path} does not fit {self.index.folder} ({_first_line(error)})",
                          do="give the one that was trained on this pipeline") from None  # fmt: skip
        if not fits:
            raise Problem(f"the LoRA {path} changes nothing in {self.index.folder}", do="give another one")
        return read_lora_record(folder)


def lora_file(folder: Path) -> Path:
    """The weights of a LoRA: the file itself, or the one of its folder.

    Raises:
        Problem: there is none, or only a pickle.
    """
    if folder.is_file():
        if folder.suffix != ".safetensors":
            raise Problem(f"{folder} is no file of safetensors", do="give one that is; others may hold a program")
        return folder
    if not folder.is_dir():
        raise Problem(f"there is no LoRA {folder}", do="give the folder that 'morphogen lora' made")
    require_no_pickles(folder)
    found = [folder / LORA_WEIGHTS] if (folder / LORA_WEIGHTS).exists() else sorted(folder.glob("*.safetensors"))
    if len(found) != 1:
        raise Problem(f"{folder} holds {len(found) or 'no'} files of safetensors", do=f"name one {LORA_WEIGHTS}")
    return found[0]


def read_lora_record(folder: Path) -> LoraRecord | None:
    """What a LoRA learnt from; None where another program made it.

    Raises:
        Problem: the record is damaged.
    """
    path = (folder.parent if folder.is_file() else folder) / LORA_RECORD
    if not path.exists():
        return None
    try:
        return LoraRecord.model_validate_json(path.read_text(encoding="utf-8"))
    except (ValidationError, ValueError):
        raise Problem(f"{path} is damaged", do="restore it, or delete it and lose what it says") from None


def require_no_pickles(folder: Path) -> None:
    """Refuse a folder with files that may hold a program.

    Raises:
        Problem: there is one.
    """
    pickles = sorted(path for path in folder.rglob("*") if path.suffix.lower() in PICKLES and path.is_file())
    if pickles:
        raise Problem(
            f"{folder} has pickled weights, {pickles[0].relative_to(folder)}, which can hold a program",
            do="delete them, or have them saved as safetensors",
        )


def require_peft() -> None:
    """Refuse a LoRA where the package that knows them is missing.

    Raises:
        Problem: it is.
    """
    if importlib.util.find_spec("peft") is None:
        raise Problem("LoRA needs the package peft", do="pip install 'morphogen[lora]'")


def generators(seed: int, purpose: int, numbers: Iterable[int]) -> list[torch.Generator]:
    """One generator an image, for pipelines take no other streams: image k depends on the seed and on k alone.

    torch's generator on a CPU keeps 32 bits of its seed; among 10 000 images two are alike by chance once in a hundred
    sets.
    """
    return [torch.Generator("cpu").manual_seed(int(numpy_generator(seed, purpose, k).integers(2**63))) for k in numbers]


@dataclass(frozen=True, slots=True)
class Frame:
    """How an image lies in a larger one that a network can take: filled up by reflection on all sides.

    Attributes:
        size: height and width of the image.
        outer: those of the larger one.
    """

    size: tuple[int, int]
    outer: tuple[int, int]

    @classmethod
    def of(cls, size: tuple[int, int], multiple: int) -> "Frame":
        """The least one whose sides are multiples of a number."""
        height, width = (-(-side // multiple) * multiple for side in size)
        return cls(size, (height, width))

    @property
    def _before(self) -> tuple[int, int]:
        (height, width), (rows, columns) = self.size, self.outer
        return (rows - height) // 2, (columns - width) // 2

    def fill(self, channels: NDArray[Any]) -> NDArray[Any]:
        """Images ``(..., height, width)`` to the larger size."""
        (top, left), (height, width), (rows, columns) = self._before, self.size, self.outer
        around = [(0, 0)] * (channels.ndim - 2) + [(top, rows - height - top), (left, columns - width - left)]
        return np.pad(channels, around, mode="reflect" if min(self.size) > 1 else "edge")

    def cut(self, channels: NDArray[Any]) -> NDArray[Any]:
        """The way back."""
        (top, left), (height, width) = self._before, self.size
        return channels[..., top : top + height, left : left + width]


def declared_intensity(picture: Picture, low: float | None = None, high: float | None = None) -> IntensityMap:
    """The grey values that are black and white to a network: those given, else what the source itself says.

    That is 0 to 255 for 8 bit, and the darkest and the brightest value of the source for 16 bit and floats, whose type
    says nothing of where its values lie. What the network answers has no say.

    Raises:
        Problem: there is no range between the two.
    """
    eight = picture.pixels.dtype == np.uint8
    low = float(0 if eight else picture.pixels.min()) if low is None else low
    high = float(255 if eight else picture.pixels.max()) if high is None else high
    if not high > low:
        what = picture.origin.source or picture.origin.specimen
        raise Problem(f"no grey value of {what} lies between {low:g} and {high:g}", do="say which are black and white")
    return IntensityMap(low=low, high=high, dtype=picture.pixels.dtype.name)


def to_rgb(picture: Picture, intensity: IntensityMap) -> NDArray[np.float32]:
    """A grey or colour picture as a network of photographs sees it: ``(3, height, width)`` in [0, 1].

    Raises:
        Problem: it has two or four channels.
    """
    if picture.channels not in (1, 3):
        raise Problem(
            f"an image has {picture.channels} channels, and pipelines see grey or RGB", do="give one or three"
        )
    unit = (intensity.to_unit(picture.pixels) + np.float32(1)) / np.float32(2)
    return np.repeat(unit, 3, axis=0) if picture.channels == 1 else unit


def from_rgb(rgb: NDArray[np.floating[Any]], channels: int, intensity: IntensityMap) -> NDArray[np.generic]:
    """The way back, ``(channels, height, width)`` in the source's pixel type: grey is the luminance."""
    unit = rgb.astype(np.float64)
    if channels == 1:
        unit = np.tensordot(_LUMINANCE, unit, axes=1)[None]
    return intensity.to_grey(2 * unit - 1)


def marked(labels: Mapping[str, Label]) -> dict[str, Label]:
    """Labels of a picture that a pipeline made.

    The autoencoders of these pipelines descend from one that was trained to please VGG16 (Rombach et al. 2022, appendix
    G), so that a distance over its features is no evidence for them.
    """
    return {**labels, TRAINED_THROUGH: "vgg16"}


def batch_of(arrays: Sequence[NDArray[np.float32]]) -> Tensor:
    """Images ``(B, ..., height, width)`` as a pipeline takes them."""
    return torch.from_numpy(np.ascontiguousarray(np.stack(arrays), dtype=np.float32))


def _opened(index: PipelineIndex) -> Any:
    os.environ.setdefault("HF_HUB_OFFLINE", "1")  # a name that is no folder would be asked for on the network
    import diffusers
    from diffusers.utils import logging
    from transformers.utils import logging as of_transformers

    logging.disable_progress_bar()
    of_transformers.disable_progress_bar()  # type: ignore[no-untyped-call]
    verbosity = of_transformers.get_verbosity()
    of_transformers.set_verbosity_error()  # type: ignore[no-untyped-call]  # torchvision is missed, and not needed
    kind = getattr(diffusers, index.name)
    of_transformers.set_verbosity(verbosity)
    expected, optional = kind._get_signature_keys(kind)
    # None judges or prepares images: what an image is fed as is said here, and one of them needs torchvision.
    left_out: dict[str, Any] = {
        name: None for name in ("safety_checker", "feature_extractor", "image_processor") if name in expected
    }
    if "requires_safety_checker" in optional:
        left_out["requires_safety_checker"] = False
    weights = list((index.folder / "unet").glob("*.safetensors"))
    only_half = bool(weights) and all(".fp16" in path.name for path in weights)
    try:
        opened: Any = kind.from_pretrained(
            str(index.folder), local_files_only=True, use_safetensors=True,
            variant="fp16" if only_half else None, **left_out,
        )  # fmt: skip
    except _BROKEN as error:
        raise Problem(
            f"{index.folder} cannot be opened as a {index.name} ({_first_line(error)})",
            do="restore it, or save the pipeline again",
        ) from None
    for part in opened.components.values():
        if isinstance(part, nn.Module) and any(p.dtype != torch.float32 for p in part.parameters()):
            part.float()  # weights that were saved at half precision
    return opened


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:120]
