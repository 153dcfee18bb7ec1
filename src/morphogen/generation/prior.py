"""Vectors of images for captions: the prior of unCLIP (``understanding.clip_prior``), opened; and none of either."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from morphogen.images.cropping import Batch, text_tensors
from morphogen.mathematics.randomness import Randomness, numpy_generator
from morphogen.methods.denoising import DenoisingMethod
from morphogen.problems import Problem
from morphogen.training.captions import encoder_of
from morphogen.training.image_vectors import ImageVectors, clip_of
from morphogen.training.run import Run
from morphogen.understanding.clip_prior import Method

_VECTORS = 103
"""Purpose of the random streams of vectors."""


class Prior:
    """A run of the prior.

    Args:
        run: of clip_prior, or its folder.
        text_encoder: folder of the encoder of its captions, where that is no longer where it was.
        device: where it works.

    Attributes:
        run: the run.

    Raises:
        Problem: it is no such run, nothing is trained yet, or its text encoder or its CLIP cannot be found.
    """

    def __init__(
        self, run: Run | Path | str, *, text_encoder: Path | str | None = None, device: torch.device | str = "cpu"
    ) -> None:
        self.run = run = run if isinstance(run, Run) else Run(run)
        if run.record.method != "clip_prior":
            raise Problem(
                f"{run.folder} is a run of {run.record.method}, not of clip_prior",
                do="name one that 'train clip_prior' made",
            )
        learner = run.trained_learner()
        assert isinstance(learner, Method)
        encoder = encoder_of(run.record.conditions, text_encoder)
        assert encoder is not None
        self.device = torch.device(device)
        self._learner, self._encoder = learner.to(self.device), encoder
        self._clip = ImageVectors(clip_of(run), captions=True, device=self.device)

    def require_same_clip(self, decoder: Run) -> None:
        """Refuse a decoder that is told vectors of another CLIP.

        Raises:
            Problem: it is, or is told none.
        """
        mine, its = self.run.record.image_vector, decoder.record.image_vector
        if mine is None or its is None:
            raise Problem(f"{decoder.folder} was told no vectors of images", do="leave the prior out")
        if mine.weights != its.weights:
            raise Problem(
                f"{self.run.folder} draws vectors of the CLIP {mine.weights[:12]}, and {decoder.folder} is told those"
                f" of {its.weights[:12]}",
                do="train both with the same run of CLIP",
            )

    def require_able(self, captions: Sequence[str], guidance: float | None) -> None:
        """Refuse captions that cannot be read, and guidance that was not learnt.

        Raises:
            Problem: what is wrong.
        """
        for caption in dict.fromkeys(captions):
            self._encoder(caption)
        if guidance is not None and guidance < 0:
            raise Problem(f"a guidance of {guidance:g} leads away from the caption", do="give 0 or more")
        if guidance not in (None, 1) and not self._learner.settings.condition_dropout:
            raise Problem(
                "the prior was always told its captions, and guidance needs one that was at times not",
                do="leave it out, or train with condition_dropout",
            )

    def __call__(self, captions: Sequence[str], *, seed: int, first: int = 0, guidance: float | None = None) -> Tensor:
        """Unit vectors ``(len(captions), d)`` that images of the captions could have.

        Args:
            captions: one a vector.
            seed: vector k depends on the seed, its running number and its caption alone.
            first: running number of the first.
            guidance: weight of the caption; by default as the run's settings say.
        """
        text, tokens = text_tensors(captions, self._encoder)
        batch = Batch(torch.empty(0), text=text, tokens=tokens.to(self.device))
        streams = Randomness.of_images(seed, first, len(captions), purpose=_VECTORS, device=self.device)
        with torch.inference_mode():
            batch = replace(batch, caption_vector=self._clip.of_captions(tokens.to(self.device)))
            return self._learner.draw(batch, streams, guidance=guidance)


def untold_vectors(method: DenoisingMethod, count: int) -> Tensor | None:
    """Rows that tell no vector, ``(count, d)``; None for a method that takes none.

    Raises:
        Problem: the method was told a vector every time.
    """
    length = method.task.image_vector
    if not length:
        return None
    if not method.settings.condition_dropout:
        raise Problem(
            "the run was always told the vector of an image, and here is none",
            do="train with condition_dropout, or draw for a caption with a prior",
        )
    return torch.full((count, length), float("nan"), device=next(method.parameters()).device)


def vectors_as_seen(method: DenoisingMethod, numbers: Sequence[int], seed: int, purpose: int) -> Tensor:
    """Vectors of training crops, ``(len(numbers), d)``, the same crops whose conditions ``asked_values`` draws.

    Args:
        method: that is told such vectors.
        numbers: running number of each image.
        seed: image k gets that of the same crop under one seed.
        purpose: of the random stream that conditions are drawn by.
    """
    seen = method.seen_vectors
    assert seen is not None
    rows = [int(numpy_generator(seed, purpose, k).integers(len(seen.vectors))) for k in numbers]
    return seen.vectors[rows]
