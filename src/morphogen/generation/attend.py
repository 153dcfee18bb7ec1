"""Where the words of a caption act: cross-attention maps of a diffusion run. Hertz et al. 2022 (arXiv:2208.01626).

The map of a word is the share of a place's attention that goes to the word's tokens, a mean over noise levels, layers
and heads (their section 3.1; Tang et al. 2022, arXiv:2210.04885). It is looked at while images are drawn, or while
measured images are denoised once at each level that a solver would visit, with noise of their own. With guidance, it is
the attention of the half that is told the caption.

Shares of all tokens add up to 1 at each place, and some of these are no words: marks that begin and end a text, commas,
and tokens of the network's own. So the maps say how words compare from place to place, and not how much they mean.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from morphogen.generation.captioned import CaptionedRun
from morphogen.generation.generate import (
    NUMBER,
    SAMPLES,
    SEED,
    Asked,
    asked_values,
    picture_of,
    require_able,
    tell_of_outside,
    told,
)
from morphogen.generation.prior import untold_vectors
from morphogen.generation.reconstruct import crops_of, require_alike
from morphogen.images.conditions import ASKED, CAPTION
from morphogen.images.folders import require_format, write_images
from morphogen.images.image_set import ImageSet, Pictures
from morphogen.images.picture import Label, Origin, Picture
from morphogen.mathematics.noise_levels import level_of_batch
from morphogen.mathematics.randomness import Randomness
from morphogen.methods.method import SampleRequest
from morphogen.networks.attention_control import Watch, controlled
from morphogen.pretrained.text_encoder import Word
from morphogen.problems import Problem
from morphogen.progress import track
from morphogen.training.run import Run
from morphogen.whole_files import require_free_folder

WORD = "word"
"""Label of a map: the word that it is of."""

_NOISE = 152
"""Purpose of the random stream of the noise that measured images are looked at through."""


@dataclass(frozen=True, slots=True)
class Attended:
    """Images, and where each word acted in them.

    Attributes:
        images: drawn, or the measured ones that were looked at.
        words: of the caption, in their order.
        maps: ``(images, words, height, width)`` in [0, 1].
    """

    images: Pictures
    words: tuple[str, ...]
    maps: NDArray[np.float32]


def attend(
    run: Run | Path | str,
    caption: str,
    *,
    images: ImageSet | None = None,
    count: int = 4,
    seed: int = 0,
    steps: int | None = None,
    asked: Asked | None = None,
    solver: str | None = None,
    guidance: float | None = None,
    text_encoder: Path | str | None = None,
    batch_size: int = 16,
    folder: Path | str | None = None,
    extension: str | None = None,
    cpu: bool = False,
) -> Attended:
    """Draw images for a caption, or look at measured ones, and see where each of its words acts.

    Args:
        run: of a diffusion method that reads captions by attention across, or its folder.
        caption: what the images are to show, or show.
        images: measured images to look at, in crops of the run's size; drawn ones where left out.
        count: images, or crops at most.
        seed: drawn images are those that ``generate`` draws from this seed for this caption, up to rounding.
        steps: noise levels.
        asked: of other conditions, as for ``generate``; of measured images their labels say it.
        solver: as for ``generate``.
        guidance: as for ``generate``.
        text_encoder: folder of the run's text encoder, where that is no longer where it was.
        batch_size: images at a time; memory, not content.
        folder: where to write images and, in its folder maps/, one image a map and in it grey values from 0 to 1, in
            32 bit; not written if left out.
        extension: of the images, as ".tif" or ".nrrd"; by default PNG for 8 bit and TIFF for the rest.
        cpu: stay on the CPU even where there is a GPU.

    Raises:
        Problem: the run reads no captions, or not by attention; a caption that it cannot read; no room to write.
    """
    if min(count, batch_size) < 1 or (steps is not None and steps < 1):
        raise Problem(f"{min(count, batch_size)} images cannot be looked at", do="give a number from 1 up")
    target = require_free_folder(Path(folder), "the maps") if folder is not None else None
    captioned = CaptionedRun(run, text_encoder=text_encoder, cpu=cpu, across=True)
    record = captioned.run.record
    if extension is not None:
        require_format(extension, record.intensity.dtype)
    if record.context is not None:
        raise Problem(
            f"{captioned.run.folder} is told {record.context.kind}, which are not read here", do="name a run without"
        )
    words = captioned.words(caption)
    wish = SampleRequest(steps, solver=solver, guidance=guidance)
    require_able(record.method, captioned.method, wish)
    parts = (
        _drawn(captioned, caption, words, wish, count, seed, asked or {}, batch_size)
        if images is None
        else _looked_at(captioned, caption, words, wish, images, count, seed, batch_size)
    )
    pictures = Pictures([p for here, _ in parts for p in here], f"images of {captioned.run.folder.name}")
    found = Attended(pictures, titles(words), np.concatenate([maps for _, maps in parts]))
    if target is not None:
        write_images(found.images, target, extension=extension)
        write_images(Pictures(_pictures_of_maps(found), "maps"), target / "maps")
    return found


def titles(words: Sequence[Word]) -> tuple[str, ...]:
    """Words by which maps can be told apart: the second "large" is "large (2)"."""
    texts = [word.text for word in words]
    return tuple(
        text if texts.index(text) == k else f"{text} ({texts[: k + 1].count(text)})" for k, text in enumerate(texts)
    )


_Part = tuple[list[Picture], NDArray[np.float32]]


def _drawn(
    captioned: CaptionedRun, caption: str, words: Sequence[Word], wish: SampleRequest, count: int, seed: int,
    asked: Asked, batch_size: int,
) -> list[_Part]:  # fmt: skip
    run, method, device = captioned.run, captioned.method, captioned.device
    conditions = run.record.conditions
    values = asked_values(run, {**conditions.named(asked), CAPTION: caption}, count, seed)
    tell_of_outside(run, values, strict=False)
    parts: list[_Part] = []
    for first in track(range(0, count, batch_size), f"Drawing {count} images"):
        here = range(first, min(count, first + batch_size))
        request = replace(wish, **told([values[k] for k in here], conditions, captioned.encoder, device),
                          image_vector=untold_vectors(method, len(here)))  # fmt: skip
        assert request.tokens is not None
        watch = Watch(len(here))
        streams = Randomness.of_images(seed, first, len(here), purpose=SAMPLES, device=device)
        with torch.inference_mode(), controlled(method.network, watch):
            drawn = method.sample(request, streams).float().cpu().numpy()
        pictures = []
        for k, channels in zip(here, drawn, strict=True):
            picture = picture_of(run, channels, f"{run.folder.name}-{seed}-{k}", method.learnt_through)
            labels: dict[str, Label] = {**picture.labels, SEED: float(seed), NUMBER: float(k)}
            labels |= {ASKED + name: value for name, value in values[k].items()}
            pictures.append(replace(picture, labels=labels))
        selection = captioned.selection([[w.tokens for w in words]] * len(here), request.tokens.shape[1])
        shares = watch.shares((method.inside[1], method.inside[2]))
        parts.append((pictures, _pixels(captioned, torch.einsum("bmhw,bkm->bkhw", shares, selection))))
    return parts


def _looked_at(
    captioned: CaptionedRun, caption: str, words: Sequence[Word], wish: SampleRequest, images: ImageSet, count: int,
    seed: int, batch_size: int,
) -> list[_Part]:  # fmt: skip
    method, shape = captioned.method, captioned.method.shape
    require_alike(captioned.run, images)
    crops = [crop.picture for crop in crops_of(images, (shape.height, shape.width), count)]
    captioned.check(crops[0], guidance=wish.guidance)
    levels = method.sampling_levels(wish.steps or method.settings.sample_steps)
    parts: list[_Part] = []
    for first in track(range(0, len(crops), batch_size), f"Looking at {len(crops)} images"):
        here = crops[first : first + batch_size]
        x0 = captioned.inside(here)
        given = captioned.given(here, [caption] * len(here), [captioned.known_of(picture) for picture in here])
        assert given.tokens is not None
        selection = captioned.selection([[w.tokens for w in words]] * len(here), given.tokens.shape[1])
        mapped = captioned.mapped(given, (shape.height, shape.width), selection)
        streams = Randomness.of_images(seed, first, len(here), purpose=_NOISE, device=captioned.device)
        with torch.inference_mode():
            each = [
                mapped(x0 + sigma * streams.normal(*x0.shape[1:]), level_of_batch(sigma, x0))[1]
                for sigma in levels.tolist()
            ]
        parts.append((here, _pixels(captioned, torch.stack(each).mean(0))))
    return parts


def _pixels(captioned: CaptionedRun, maps: torch.Tensor) -> NDArray[np.float32]:
    """Maps ``(B, K, h, w)`` on the pixels of the images."""
    return captioned.pixels(maps.flatten(0, 1)).reshape(*maps.shape[:2], *captioned.pixels(maps[:1, 0]).shape[1:])


def _pictures_of_maps(found: Attended) -> list[Picture]:
    """One picture a map, in the order of the images and, for each, of the words."""
    return [
        Picture(
            one[None],
            picture.spacing_um,
            Origin(picture.origin.specimen, picture.origin.source, picture.origin.slice, picture.origin.region),
            {WORD: word, "image": float(k)},
        )
        for k, (picture, maps) in enumerate(zip(found.images, found.maps, strict=True))
        for word, one in zip(found.words, maps, strict=True)
    ]
