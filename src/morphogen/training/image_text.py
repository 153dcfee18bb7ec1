"""A CLIP, opened by its folder: a run that was trained here, or another's model; see ``evaluation.image_text``."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import normalize

from morphogen.images.cropping import text_tensors
from morphogen.images.image_set import ImageSet
from morphogen.images.picture import Picture
from morphogen.pretrained.clip import PretrainedClip
from morphogen.problems import Problem
from morphogen.training.captions import encoder_of
from morphogen.training.image_vectors import require_clip
from morphogen.training.run import Run
from morphogen.understanding.clip import Method

_WINDOWS = 64
"""Windows of one image that are looked at, at most, spread evenly over it."""
_AT_ONCE = 64


class ClipRun:
    """A run of CLIP that reads images and captions.

    An image that is larger than the crops that the run has learnt from is seen through windows of their size, which
    cover it evenly; its vector is the mean of theirs, at unit length. Grey levels need no map: each window is brought
    to mean 0 and variance 1.

    Args:
        run: a run of CLIP, or its folder.
        text_encoder: folder of its text encoder, where that is no longer where it was.
        reads: whether captions are to be read; where not, no text encoder is looked for.

    Attributes:
        name: which, and what is done to an image.
        identity: hash of the weights.

    Raises:
        Problem: it is no run of CLIP, nothing is trained yet, or its text encoder cannot be found.
    """

    def __init__(self, run: Run | Path | str, text_encoder: Path | str | None = None, *, reads: bool = True) -> None:
        run = run if isinstance(run, Run) else Run(run)
        require_clip(run)
        learner = run.trained_learner()
        assert isinstance(learner, Method)
        self.run, self._clip = run, learner
        self._encoder = encoder_of(run.record.conditions, text_encoder) if reads else None
        shape = run.shape
        seen = f"{int(run.counters['images_seen']):,}"
        self.name = (
            f"{run.folder.name} (own CLIP, {seen} images seen), windows of {shape.height} x {shape.width} at mean 0 and"
            " variance 1, no resize"
        )
        self.identity = run.as_teacher.identity

    @torch.inference_mode()
    def images(self, images: ImageSet) -> NDArray[np.float64]:
        """Unit vectors ``(len(images), d)``.

        Raises:
            Problem: an image is smaller than the crops of training, or has channels that the run cannot take.
        """
        waiting: list[Tensor] = []
        owners: list[int] = []
        total = torch.zeros(len(images), self._clip.settings.embedding, dtype=torch.float64)

        def look() -> None:
            vectors = self._clip.image_tower(torch.stack(waiting)).double()
            total.index_add_(0, torch.tensor(owners), vectors)
            waiting.clear()
            owners.clear()

        for index in range(len(images)):
            for window in self._windows(images[index]):
                waiting.append(window)
                owners.append(index)
                if len(waiting) == _AT_ONCE:
                    look()
        if waiting:
            look()
        found: NDArray[np.float64] = normalize(total, dim=1).numpy()
        return found

    @torch.inference_mode()
    def captions(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """Unit vectors ``(len(texts), d)``.

        Raises:
            Problem: a text is empty or too long.
        """
        assert self._encoder is not None
        rows = []
        for first in range(0, len(texts), _AT_ONCE):
            _, tokens = text_tensors(texts[first : first + _AT_ONCE], self._encoder)
            rows.append(self._clip.caption_tower(tokens))
        found: NDArray[np.float64] = normalize(torch.cat(rows).double(), dim=1).numpy()
        return found

    def _windows(self, picture: Picture) -> list[Tensor]:
        """Windows ``(channels, height, width)`` of an image."""
        channels, (height, width) = self.run.shape.channels, (self.run.shape.height, self.run.shape.width)
        if picture.channels == channels:
            pixels = picture.pixels.astype(np.float32)
        elif channels == 1:
            pixels = picture.grey[None].astype(np.float32)
        elif picture.channels == 1:
            pixels = np.repeat(picture.pixels.astype(np.float32), channels, axis=0)
        else:
            raise Problem(
                f"{picture.origin.source or 'an image'} has {picture.channels} channels, and the run has learnt from"
                f" {channels}",
                do="give images of that kind",
            )
        if picture.size[0] < height or picture.size[1] < width:
            raise Problem(
                f"{picture.origin.source or 'an image'} is {picture.size[0]} x {picture.size[1]}, smaller than the"
                f" {height} x {width} that the run has learnt from",
                do="leave it out, or train on smaller crops",
            )
        levels = torch.from_numpy((pixels - pixels.mean()) / (pixels.std() + np.float32(1e-6)))
        corners = [(top, left) for top in _starts(picture.size[0], height) for left in _starts(picture.size[1], width)]
        if len(corners) > _WINDOWS:
            corners = [corners[round(k * (len(corners) - 1) / (_WINDOWS - 1))] for k in range(_WINDOWS)]
        return [levels[:, top : top + height, left : left + width] for top, left in corners]


def open_image_text(folder: Path | str, text_encoder: Path | str | None = None) -> ClipRun | PretrainedClip:
    """The CLIP in a folder.

    Args:
        folder: a run of CLIP, or a folder with a CLIPModel as transformers saves it.
        text_encoder: of a run, folder of its text encoder, where that is no longer where it was.

    Raises:
        Problem: it is neither.
    """
    folder = Path(folder)
    if (folder / "run.json").exists():
        return ClipRun(folder, text_encoder)
    if not folder.is_dir():
        raise Problem(f"there is no folder {folder}", do="check the path")
    if not (folder / "config.json").exists():
        raise Problem(
            f"{folder} holds neither a run nor a pretrained CLIP",
            do="name a run that 'train clip' made, or a folder with config.json and model.safetensors",
        )
    if text_encoder is not None:
        raise Problem("a pretrained CLIP has its own text encoder", do="leave the other out")
    return PretrainedClip(folder)


def _starts(length: int, window: int) -> list[int]:
    """Where windows start along a side: evenly, the last one at the end, overlapping by as little as can be."""
    count = -(-length // window)
    return [round(k * (length - window) / max(1, count - 1)) for k in range(count)]
