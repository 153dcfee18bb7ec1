"""The vectors that a run of CLIP has of crops and captions, for what is told them or learns them in training.

A run that is told image vectors, or learns them, keeps a copy of the run of CLIP in its folder: all that is needed to
draw variations of an image or images for a caption, and to go on with the training, when that run is gone.
"""

import hashlib
import shutil
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from morphogen.images.conditions import listed
from morphogen.images.cropping import Batch
from morphogen.images.image_set import ImageSet
from morphogen.methods.method import method_class, method_names
from morphogen.problems import Problem
from morphogen.training.run import CLIP_COPY, ImageVector, Run
from morphogen.understanding.clip import Method as Clip
from morphogen.understanding.learners import learner_class
from morphogen.whole_files import write_folder_whole

CLIP = "clip"
"""The method whose runs have such vectors."""


class ImageVectors:
    """A frozen CLIP that looks at crops of the size that it has learnt.

    Args:
        run: of CLIP.
        captions: whether the vectors of captions are wanted, too.
        device: where it works.

    Raises:
        Problem: it is no run of CLIP, or nothing is trained yet.
    """

    def __init__(self, run: Run, *, captions: bool = False, device: torch.device | str = "cpu") -> None:
        require_clip(run)
        learner = run.trained_learner()
        assert isinstance(learner, Clip)
        self._clip, self._captions, self._device = learner.to(device), captions, device
        self._channels = run.shape.channels

    def __call__(self, batch: Batch) -> Batch:
        """The batch with the vectors of its images, and of its captions where they are wanted."""
        found = replace(batch, image_vector=self.of_images(batch.images))
        if not self._captions:
            return found
        assert batch.tokens is not None
        return replace(found, caption_vector=self.of_captions(batch.tokens))

    @torch.no_grad()
    def of_images(self, images: Tensor) -> Tensor:
        """Unit vectors ``(B, d)`` of crops ``(B, channels, height, width)``; a mask after their channels is not seen.

        Grey levels are on any scale: the tower brings each image to mean 0 and variance 1.
        """
        found: Tensor = self._clip.image_tower(images[:, : self._channels].to(self._device))
        return found.to(images.device)

    @torch.no_grad()
    def of_captions(self, tokens: Tensor) -> Tensor:
        """Unit vectors ``(B, d)`` of captions, from their tokens as in ``Batch``."""
        found: Tensor = self._clip.caption_tower(tokens.to(self._device))
        return found.to(tokens.device)


def require_clip(run: Run) -> None:
    """Refuse a run of anything else.

    Raises:
        Problem: it is one.
    """
    if run.record.method != CLIP:
        raise Problem(
            f"{run.folder} is a run of {run.record.method}, not of CLIP", do="name one that 'train clip' made"
        )


def require_vectors(method: str, clip: Run | None, images: ImageSet, size: tuple[int, int]) -> None:
    """Refuse a CLIP that a method cannot be told of, or that sees other crops, and its lack where it is needed.

    Raises:
        Problem: what is wrong, and what to do.
    """
    kind = learner_class(method)
    if clip is None:
        if kind.learns_image_vectors:
            raise Problem(f"{method} learns the vectors that a CLIP has of images", do="name a run of 'train clip'")
        return
    if not (kind.takes_image_vector or kind.learns_image_vectors):
        able = listed(
            n for n in method_names() if method_class(n).takes_image_vector and not method_class(n).learns_from
        )
        raise Problem(f"{method} can be told no vector of an image", do=f"leave the CLIP out, or choose among {able}")
    require_clip(clip)
    clip.as_teacher  # noqa: B018  # refuses a run that has no weights yet
    shape = clip.shape
    for what, known, wanted in (
        ("channels", shape.channels, images[0].channels),
        ("crops of", (shape.height, shape.width), size),
    ):
        if known != wanted:
            raise Problem(
                f"{clip.folder} has learnt from {what} {_in_words(known)}, and here is {_in_words(wanted)}",
                do="train a CLIP on crops like these, or take crops like those",
            )


def image_vector_of(clip: Run) -> ImageVector:
    """What is recorded with a run that is told the vectors of this CLIP, or learns them."""
    teacher = clip.as_teacher
    length = int(clip.record.settings["embedding"])
    return ImageVector(folder=teacher.folder, weights=teacher.weights, length=length)


def copy_clip(clip: Run, folder: Path) -> None:
    """Put a copy of a run of CLIP into a run folder: what it is, and the weights to be used."""
    write_folder_whole(folder / CLIP_COPY, partial(_copy, clip.folder))


def _copy(source: Path, target: Path) -> None:
    for name in ("run.json", "weights.safetensors"):
        shutil.copyfile(source / name, target / name)


def clip_of(run: Run) -> Run:
    """The copy of the CLIP that a run keeps in its folder.

    Raises:
        Problem: it keeps none, or another one.
    """
    kept = run.record.image_vector
    if kept is None:
        raise Problem(
            f"{run.folder} was told no vectors of images",
            do="name a run of a diffusion method that was told the vectors of a CLIP",
        )
    copy = run.folder / CLIP_COPY
    path = copy / "weights.safetensors"
    if not path.is_file() or hashlib.sha256(path.read_bytes()).hexdigest() != kept.weights:
        what = "is not the one that the run was trained with" if path.is_file() else "is missing"
        raise Problem(
            f"the CLIP in {copy} {what}",
            do=f"copy run.json and weights.safetensors of {kept.folder} there, if that is still what it was",
        )
    return Run(copy)


def _in_words(found: int | tuple[int, int]) -> str:
    return f"{found[0]} x {found[1]}" if isinstance(found, tuple) else str(found)
