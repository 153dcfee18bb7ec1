"""A CLIP that others trained (Radford et al. 2021, arXiv:2103.00020), from a folder as transformers saves one.

    vector of an image      visual projection of the pooled state of the vision tower, at unit length
    vector of a caption     text projection of the state of the end token, at unit length

Images go in as the model's authors took them, written here since transformers' own processor needs torchvision: the
grey or colour value over the full range of its type to [0, 1], grey repeated to three channels, the shorter side
resized to the model's by an antialiased bicubic filter (Parmar, Zhang, Zhu 2022, arXiv:2104.11222, say what it is
worth), the middle cut out, then the mean and deviation of its training set. All of this is part of the name. A
rectangle loses its ends.

Weights are read from safetensors and nothing else. Nothing is looked up on any network.
"""

import hashlib
import importlib.util
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from torch.nn.functional import interpolate, normalize

from morphogen.images.image_set import ImageSet
from morphogen.problems import Problem

MEAN, DEVIATION = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
"""Of the training set of the published models, where the folder names no other."""

_AT_ONCE = 16


class PretrainedClip:
    """A frozen CLIP from a folder.

    Args:
        folder: with ``config.json``, ``model.safetensors`` and the tokenizer's files.

    Attributes:
        name: which, and what is done to an image.
        identity: hash of the weights and of that.

    Raises:
        Problem: transformers is missing, or the folder holds no CLIP.
    """

    def __init__(self, folder: Path | str) -> None:
        self.folder = Path(folder)
        if importlib.util.find_spec("transformers") is None:
            raise Problem("a pretrained CLIP needs the package transformers", do="pip install transformers")
        if not (self.folder / "model.safetensors").is_file():
            raise Problem(
                f"{self.folder} holds no CLIP: there is no model.safetensors", do="save it with safetensors first"
            )
        os.environ.setdefault("HF_HUB_OFFLINE", "1")  # a name that is no folder would be asked for on the network
        self._model, self._tokenizer = self._opened()
        self._side = int(self._model.config.vision_config.image_size)
        said = self._preprocessing()
        self._mean, self._deviation = (
            torch.tensor(said.get(key) or default).view(3, 1, 1)
            for key, default in (("image_mean", MEAN), ("image_std", DEVIATION))
        )
        digest = hashlib.sha256((self.folder / "model.safetensors").read_bytes()).hexdigest()
        resize = f"shorter side to {self._side} px bicubic antialiased, middle"
        self.name = f"{self.folder.name} (CLIP, weights {digest[:8]}), full range of the pixel type, {resize}"
        told = [round(float(x), 6) for x in (*self._mean.flatten(), *self._deviation.flatten())]
        self.identity = hashlib.sha256(f"{digest} {resize} {told}".encode()).hexdigest()[:16]

    def _opened(self) -> tuple[Any, Any]:
        from transformers import AutoTokenizer, CLIPModel
        from transformers.utils import logging

        logging.disable_progress_bar()  # type: ignore[no-untyped-call]
        try:
            kind = json.loads((self.folder / "config.json").read_text(encoding="utf-8")).get("model_type", "")
            if kind != "clip":
                raise ValueError(f"it is a {kind or 'model of no known kind'}")
            model = CLIPModel.from_pretrained(self.folder, local_files_only=True, use_safetensors=True)
            tokenizer = AutoTokenizer.from_pretrained(self.folder, local_files_only=True)
        except (OSError, ValueError, KeyError, AttributeError, SafetensorError) as error:
            what = str(error).splitlines()[0][:100]
            raise Problem(f"{self.folder} holds no CLIP ({what})", do="give another folder") from None
        return model.requires_grad_(False).eval(), tokenizer  # type: ignore[no-untyped-call]

    def _preprocessing(self) -> dict[str, Any]:
        file = self.folder / "preprocessor_config.json"
        try:
            said = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
        except ValueError:
            raise Problem(f"{file} is damaged", do="restore it") from None
        return said if isinstance(said, dict) else {}

    @torch.inference_mode()
    def images(self, images: ImageSet) -> NDArray[np.float64]:
        """Unit vectors ``(len(images), d)``.

        Raises:
            Problem: an image is neither grey nor RGB, or its pixels are floats, which have no full range.
        """
        rows = []
        for first in range(0, len(images), _AT_ONCE):
            seen = torch.stack([self._seen(images, k) for k in range(first, min(first + _AT_ONCE, len(images)))])
            rows.append(self._model.visual_projection(self._model.vision_model(pixel_values=seen).pooler_output))
        found: NDArray[np.float64] = normalize(torch.cat(rows).double(), dim=1).numpy()
        return found

    @torch.inference_mode()
    def captions(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """Unit vectors ``(len(texts), d)``.

        Raises:
            Problem: a text is empty or too long.
        """
        most = int(self._model.config.text_config.max_position_embeddings)
        rows = []
        for text in texts:
            if not text.strip():
                raise Problem("a caption is empty", do="say what the image shows")
            tokens = self._tokenizer(text, return_tensors="pt")
            count = int(tokens["input_ids"].shape[1])
            if count > most:
                raise Problem(f"a caption has {count} tokens, '{text[:40]}...'", do=f"say it in at most {most}")
            said = self._model.text_model(input_ids=tokens["input_ids"], attention_mask=tokens["attention_mask"])
            rows.append(self._model.text_projection(said.pooler_output)[0])
        found: NDArray[np.float64] = normalize(torch.stack(rows).double(), dim=1).numpy()
        return found

    def _seen(self, images: ImageSet, index: int) -> torch.Tensor:
        """An image as the model takes it, ``(3, side, side)``."""
        picture = images[index]
        if picture.channels not in (1, 3):
            raise Problem(f"a CLIP cannot take an image of {picture.channels} channels", do="give grey or RGB images")
        if picture.pixels.dtype.kind != "u":
            raise Problem("float images have no full range that a CLIP could take", do="give 8 or 16 bit images")
        full = float(2 ** (8 * picture.pixels.dtype.itemsize) - 1)
        pixels = torch.from_numpy(picture.pixels.astype(np.float32) / full).expand(3, -1, -1)[None]
        height, width = picture.size
        shorter = min(height, width)
        size = tuple(max(self._side, round(n * self._side / shorter)) for n in (height, width))
        resized = interpolate(pixels, size, mode="bicubic", antialias=True)[0].clamp(0, 1)
        top, left = ((n - self._side) // 2 for n in size)
        return (resized[:, top : top + self._side, left : left + self._side] - self._mean) / self._deviation
