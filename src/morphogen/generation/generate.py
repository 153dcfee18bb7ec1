"""Draw images from a run: the same seed gives the same pictures at any batch size."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from morphogen.generation.prior import Prior, untold_vectors, vectors_as_seen
from morphogen.images.conditions import ASKED, CAPTION, OUTSIDE, Conditions, known_as
from morphogen.images.context import middle, name_of
from morphogen.images.cropping import Encoder, text_tensors
from morphogen.images.image_set import ImageSet, Pictures
from morphogen.images.likeness import storing
from morphogen.images.mask_channel import mask_of_channel
from morphogen.images.picture import (
    TOLD_BY,
    TRAINED_ON,
    TRAINED_THROUGH,
    Label,
    Origin,
    Picture,
    spacing_from_stored,
)
from morphogen.mathematics.randomness import Randomness, numpy_generator
from morphogen.mathematics.solvers.solver import solver as find_solver
from morphogen.methods.denoising import DenoisingMethod
from morphogen.methods.method import GenerativeMethod, SampleRequest, StyleBased
from morphogen.problems import Problem
from morphogen.progress import console, track
from morphogen.training.captions import encoder_of
from morphogen.training.run import Run
from morphogen.training.train import uses_gpu
from morphogen.whole_files import require_free_folder

SAMPLES, _CONDITIONS = 100, 101
"""Purposes of the random streams of samples and of what is asked of them, apart from those of training."""

SEED, NUMBER = "seed", "number"
"""Labels of a generated picture: what its noise was drawn from, so that it can be drawn again and edited from there."""

DRAWN_WITH = ("steps", "solver", "guidance")
"""Labels of a generated picture: how it was drawn, where that was asked."""

DRAWN_FOR = "drawn for"
"""Label of a generated picture: the mask or image that it was drawn for."""

PRIOR = "prior"
"""Label of a generated picture: the run, and the hash of its weights, that drew the vector it was drawn for."""

Asked = Mapping[str, Label | tuple[float, float]]
"""What is asked: for each condition a word, a number, or the two ends of a range to go through evenly."""


@dataclass(frozen=True, slots=True)
class Generation:
    """Drawn images and what drawing them cost."""

    images: Pictures
    seconds_per_image: float


def generate(
    run: Run | Path | str,
    *,
    count: int = 16,
    seed: int = 0,
    steps: int | None = None,
    asked: Asked | None = None,
    strict: bool = False,
    truncation: float | None = None,
    solver: str | None = None,
    guidance: float | None = None,
    image_guidance: float | None = None,
    guidance_interval: tuple[float, float] | None = None,
    size: tuple[int, int] | None = None,
    overlap: int | None = None,
    context: ImageSet | None = None,
    prior: Run | Path | str | None = None,
    prior_guidance: float | None = None,
    text_encoder: Path | str | None = None,
    batch_size: int = 16,
    folder: Path | str | None = None,
    extension: str | None = None,
    like: Path | str | None = None,
    as_stack: bool = False,
    cpu: bool = False,
) -> Pictures:
    """Draw images from a run, with the pixel type, intensity scale and pixel size of its training set.

    A run that was trained with masks gives each image its mask. What was asked of each image is in its labels.

    Args:
        run: a run or its folder.
        count: how many images.
        seed: image k depends on the seed and on k alone (and on what is asked of it).
        steps: solver steps, where the method has a solver.
        asked: for a conditioned run, ``{"porosity": 0.2}``, or ``{"porosity": (0.1, 0.3)}`` to go through a range
            evenly. Conditions that are left out are drawn as training saw them.
        strict: refuse what lies outside the range that training saw, instead of warning.
        truncation: for a style-based method, how far styles may be from their mean: 1 as trained, 0 the mean alone.
        solver: for a denoising method, a file of ``mathematics.solvers``; by default as the run's settings say.
        guidance: for a conditioned denoising method, the weight of the condition: 1 as trained, more to follow it
            more closely than training images do, at the price of variety.
        image_guidance: for a run that follows instructions, the weight of the image before; ``guidance`` is then that
            of the instruction.
        guidance_interval: lowest and highest noise level at which it is guided.
        size: for a denoising method, height and width of larger images than those of training, seen through
            overlapping windows.
        overlap: pixels that these windows share at least; half a window by default.
        context: for a run that is told masks, edges or other images: images with masks, images whose edges are found
            (or drawings of edges, in two grey levels), or those images, at least as large as what is drawn. Image k is
            drawn for the middle of number k; when they are used up, again from the first on.
        prior: for a run that is told vectors of images: a run of "clip_prior" with the same CLIP, which draws one for
            the caption that is asked. Without it each image gets the vector of a training crop, or none where something
            is asked that might not fit it.
        prior_guidance: weight of the caption in drawing vectors; ``guidance`` is then that of the vector.
        text_encoder: for a run that reads captions, or a prior: folder of its encoder, where that is no longer where it
            was.
        batch_size: images drawn at a time; changes the memory that is needed, not the images.
        folder: where to write them; not written if left out.
        extension: an ending, as ".tif" or ".nrrd"; by default PNG for 8 bit and TIFF for the rest.
        like: a measured file, in whose format and type of number they are written instead.
        as_stack: write them as the slices of one file.
        cpu: stay on the CPU even where there is a GPU.

    Raises:
        Problem: no such run, nothing trained in it, a condition that it cannot take, or no room to write.
    """
    run = run if isinstance(run, Run) else Run(run)
    target = require_free_folder(Path(folder), "the images") if folder is not None else None
    how = storing(run.record.intensity.dtype, extension=extension, like=like, as_stack=as_stack)
    images = timed_generation(
        run, count=count, seed=seed, steps=steps, asked=asked, strict=strict, truncation=truncation, solver=solver,
        guidance=guidance, image_guidance=image_guidance, guidance_interval=guidance_interval, size=size,
        overlap=overlap, context=context, prior=prior, prior_guidance=prior_guidance,
        text_encoder=text_encoder, batch_size=batch_size, cpu=cpu,
    ).images  # fmt: skip
    if target is not None:
        how.write(images, target)
    return images


def timed_generation(
    run: Run | Path | str,
    *,
    count: int,
    seed: int = 0,
    steps: int | None = None,
    asked: Asked | None = None,
    strict: bool = False,
    truncation: float | None = None,
    solver: str | None = None,
    guidance: float | None = None,
    image_guidance: float | None = None,
    guidance_interval: tuple[float, float] | None = None,
    size: tuple[int, int] | None = None,
    overlap: int | None = None,
    context: ImageSet | None = None,
    prior: Run | Path | str | None = None,
    prior_guidance: float | None = None,
    text_encoder: Path | str | None = None,
    batch_size: int = 16,
    cpu: bool = False,
) -> Generation:
    """As ``generate``, with the time an image took."""
    if count < 1 or batch_size < 1:
        raise Problem(f"{min(count, batch_size)} images cannot be drawn", do="give a number from 1 up")
    run = run if isinstance(run, Run) else Run(run)
    device = torch.device("cuda" if uses_gpu(cpu) else "cpu")
    own, teller = _vectors_asked(run, dict(asked or {}), prior, prior_guidance, text_encoder, device)
    values = asked_values(run, own, count, seed)
    method = run.trained_method().to(device)
    if method.translates:
        raise Problem(f"{run.record.method} translates images", do="give those to translate, as its sources")
    asked_for = SampleRequest(
        steps, truncation=truncation, solver=solver, guidance=guidance, image_guidance=image_guidance,
        guidance_interval=guidance_interval, size=size, overlap=overlap,
    )  # fmt: skip
    require_able(run.record.method, method, asked_for)
    conditions = run.record.conditions
    encoder = encoder_of(conditions, None if teller is not None and conditions.text is None else text_encoder)
    told_images = context_of(run, context, size or (method.shape.height, method.shape.width))
    _read_off_masks(values, conditions, told_images, conditions.named(own))
    tell_of_outside(run, values, strict=strict)
    fitting = not own and not told_images  # nothing is told that another crop's vector might contradict
    started = time.perf_counter()
    pictures: list[Picture] = []
    for first in track(range(0, count, batch_size), f"Drawing {count} images"):
        here = range(first, min(count, first + batch_size))
        randomness = Randomness.of_images(seed, first, len(here), purpose=SAMPLES, device=device)
        request = replace(asked_for, **told([values[k] for k in here], conditions, encoder, device))
        if isinstance(method, DenoisingMethod) and method.task.image_vector:
            vectors = teller(here, seed) if teller is not None else _vectors_unasked(method, here, seed, fitting)
            request = replace(request, image_vector=vectors.to(device))
        if told_images:
            beside = np.stack([told_images[k % len(told_images)].channels for k in here])
            request = replace(request, context=torch.from_numpy(beside).to(device))
        with torch.inference_mode():
            drawn = method.sample(request, randomness).float().cpu().numpy()
        for k, channels in zip(here, drawn, strict=True):
            picture = picture_of(run, channels, f"{run.folder.name}-{seed}-{k}", method.learnt_through)
            labels: dict[str, Label] = {**picture.labels, SEED: float(seed), NUMBER: float(k)}
            labels |= {name: wish for name in DRAWN_WITH if (wish := getattr(asked_for, name)) is not None}
            labels |= {ASKED + name: value for name, value in values[k].items()}
            if teller is not None:
                labels |= {ASKED + CAPTION: teller.caption, PRIOR: teller.name}
            outside = conditions.outside(values[k])
            if outside:
                labels[OUTSIDE] = "; ".join(outside)
            mask = picture.mask
            if told_images:
                beside_it = told_images[k % len(told_images)]
                mask = mask if beside_it.mask is None else beside_it.mask
                labels[DRAWN_FOR] = beside_it.name
            pictures.append(replace(picture, labels=labels, mask=mask))
    seconds = (time.perf_counter() - started) / count
    return Generation(Pictures(pictures, f"images of {run.folder.name}"), seconds)


@dataclass(frozen=True, slots=True)
class _Teller:
    """Draws the vectors that are told of images, for one caption."""

    prior: Prior
    caption: str
    guidance: float | None

    @property
    def name(self) -> str:
        return f"{self.prior.run.folder.name} {self.prior.run.as_teacher.weights[:16]}"

    def __call__(self, numbers: range, seed: int) -> torch.Tensor:
        return self.prior([self.caption] * len(numbers), seed=seed, first=numbers.start, guidance=self.guidance)


def _vectors_asked(
    run: Run, asked: dict[str, Label | tuple[float, float]], prior: Run | Path | str | None, guidance: float | None,
    text_encoder: Path | str | None, device: torch.device,
) -> tuple[dict[str, Label | tuple[float, float]], _Teller | None]:  # fmt: skip
    """What is asked of the run itself, and what draws the vectors that it is told for the caption, if a prior does.

    Raises:
        Problem: a prior that does not fit or lacks a caption, or a caption that lacks a prior.
    """
    caption, conditions = known_as(CAPTION, asked), run.record.conditions
    if prior is None:
        if guidance is not None:
            raise Problem("a guidance of the prior is given, and no prior", do="name the prior, or leave it out")
        if caption is not None and run.record.image_vector is not None and CAPTION not in conditions.names:
            raise Problem(
                "the run is told vectors of images, and a caption is none", do="name a prior, which makes it one"
            )
        return asked, None
    opened = prior if isinstance(prior, Run) else Run(prior)
    found = Prior(opened, text_encoder=text_encoder, device=device)
    found.require_same_clip(run)
    if caption is None:
        raise Problem("a prior draws vectors for a caption", do="ask for one, or leave the prior out")
    words = str(asked[caption])
    if not words.strip():
        raise Problem("the caption is empty", do="say what the images are to show")
    found.require_able([words], guidance)
    own = {name: value for name, value in asked.items() if name != caption or CAPTION in conditions.names}
    return own, _Teller(found, words, guidance)


def _vectors_unasked(method: DenoisingMethod, numbers: range, seed: int, fitting: bool) -> torch.Tensor:
    """Those of training crops; or none, where something is told that may not fit them."""
    if fitting:
        return vectors_as_seen(method, numbers, seed, _CONDITIONS)
    none = untold_vectors(method, len(numbers))
    assert none is not None
    return none


def picture_of(
    run: Run, channels: NDArray[np.floating], name: str, learnt_through: str, *, reverse: bool = False
) -> Picture:
    """A picture from what a network gave.

    Args:
        run: whose network.
        channels: ``(channels, height, width)`` in [-1, 1]; the last is the mask where the run was trained with masks.
        name: of the picture. Each image is a draw of its own: the specimen of a generated image is the image.
        learnt_through: see ``GenerativeMethod``.
        reverse: it is like the sources of a method that translates.
    """
    record = run.record
    intensity, images = (record.source_intensity, record.sources) if reverse else (record.intensity, record.images)
    assert intensity is not None
    assert images is not None
    unit, mask = (channels[:-1], mask_of_channel(channels[-1])) if run.record.with_masks else (channels, None)
    labels: dict[str, Label] = {"method": run.record.method, TRAINED_ON: images.fingerprint}
    if learnt_through:
        labels[TRAINED_THROUGH] = learnt_through
    if record.image_vector is not None:
        labels[TOLD_BY] = record.image_vector.identity
    return Picture(
        intensity.to_grey(unit),
        spacing_from_stored(images.spacing_um),
        Origin(name, f"{run.record.method} {run.folder.name}"),
        labels,
        mask,
    )


@dataclass(frozen=True, slots=True)
class _Told:
    """An image in register that an image is drawn for.

    Attributes:
        channels: ``(channels, height, width)`` in [-1, 1].
        mask: where a mask is told, the mask itself: that of the image that is drawn for it.
        name: of its file.
    """

    channels: NDArray[np.float32]
    mask: NDArray[np.bool_] | None
    name: str


def context_of(run: Run, given: ImageSet | None, size: tuple[int, int]) -> list[_Told]:
    """The middles of the masks or images that a run is told.

    Raises:
        Problem: they are missing, too small, or nothing is to be told.
    """
    kind = run.record.context
    if kind is None:
        if given is not None:
            raise Problem("the run was told no masks or images in training", do="leave the context out")
        return []
    if given is None:
        what = {"masks": "masks", "edges": "edges"}.get(kind.kind, "images")
        raise Problem(f"the run draws images for {what} that it is told", do=f"give the {what}, as its context")
    found = []
    for picture in given:
        channels = middle(kind.channels_of(picture), size)
        mask = None if kind.kind != "masks" or picture.mask is None else middle(picture.mask[None], size)[0]
        found.append(_Told(channels, mask, name_of(picture)))
    return found


def _read_off_masks(
    values: Sequence[dict[str, Label]], conditions: Conditions, told_images: Sequence[_Told], asked: Asked
) -> None:
    """Area fractions of masks that are told are theirs, and nothing to be asked or drawn."""
    for number in conditions.numbers:
        if not number.of_mask or not told_images or told_images[0].mask is None:
            continue
        if number.name in asked:
            raise Problem(f"{number.name} is asked, and masks are told that have their own", do="leave one of them out")
        for k, of_image in enumerate(values):
            mask = told_images[k % len(told_images)].mask
            assert mask is not None
            of_image[number.name] = float(mask.mean())


def require_able(name: str, method: GenerativeMethod, request: SampleRequest) -> None:
    """Refuse wishes that a method cannot fulfil.

    Raises:
        Problem: what is wrong, and what to do.
    """
    if request.truncation is not None and not isinstance(method, StyleBased):
        raise Problem(f"{name} has no styles to truncate", do="leave the truncation out")
    if not isinstance(method, DenoisingMethod):
        for wish, what in (
            (request.solver, "no solver"),
            (request.guidance, "no guidance"),
            (request.image_guidance, "no guidance"),
            (request.guidance_interval, "no guidance"),
            (request.size, "no images larger than those of training"),
            (request.overlap, "no windows"),
            (request.steps, "no steps"),
        ):
            if wish is not None:
                raise Problem(f"{name} is no denoiser and has {what}", do="leave it out")
        return
    if not method.begun:
        raise Problem("the run was stopped before its denoiser began to learn", do="go on with its training")
    interval = request.guidance_interval
    if interval is not None and not 0 <= interval[0] < interval[1]:
        raise Problem(f"no noise level lies between {interval[0]:g} and {interval[1]:g}", do="give the lower one first")
    if request.guidance is not None and request.guidance < 0:
        raise Problem(f"a guidance of {request.guidance:g} leads away from the condition", do="give 0 or more")
    if request.image_guidance is not None:
        if "image_guidance" not in type(method.settings).model_fields:
            raise Problem(f"{name} has one guidance", do="leave that of the image out")
        if request.image_guidance < 0:
            raise Problem(f"a guidance of {request.image_guidance:g} leads away from the image", do="give 0 or more")
    if request.solver is not None:
        find_solver(request.solver)
    if not method.task.tells and (request.guidance is not None or interval is not None):
        raise Problem("the run was trained without conditions, and guidance has nothing to follow", do="leave it out")
    guidance = method.settings.guidance if request.guidance is None and not method.learns_from else request.guidance
    of_image = request.image_guidance
    if of_image is None:
        of_image = getattr(method.settings, "image_guidance", 1)
    if interval is not None and guidance == 1 and of_image == 1:
        raise Problem("an interval of guidance is given, and no guidance", do="give its weight too, more than 1")
    taught = method.learns_from  # by a teacher with its guidance; it says so itself
    if (
        (request.guidance not in (None, 1) or request.image_guidance not in (None, 1))
        and not taught
        and not method.settings.condition_dropout
    ):
        raise Problem(
            "the run was always told its conditions, and guidance needs one that was at times not",
            do="leave it out, or train with condition_dropout",
        )
    _require_size(name, method, request)


def _require_size(name: str, method: DenoisingMethod, request: SampleRequest) -> None:
    height, width = method.shape.height, method.shape.width
    if request.size is None:
        if request.overlap is not None:
            raise Problem("an overlap of windows is given for images of one window", do="say how large they are to be")
        return
    if request.size[0] < height or request.size[1] < width:
        raise Problem(
            f"images of {request.size[0]} x {request.size[1]} are smaller than the {height} x {width} that the network"
            " looks through",
            do="choose at least that, or train on smaller crops",
        )
    unit = method.pixels_inside
    if request.size[0] % unit or request.size[1] % unit:
        raise Problem(
            f"{name} cannot draw images of {request.size[0]} x {request.size[1]}",
            do=f"choose multiples of {unit} from {height} x {width} on",
        )
    most = min(height, width) - unit
    if request.overlap is not None and not 0 <= request.overlap <= most:
        raise Problem(
            f"windows of {height} x {width} cannot overlap by {request.overlap} pixels", do=f"choose 0 to {most}"
        )


def told(
    values: Sequence[Mapping[str, Label]], conditions: Conditions, encoder: Encoder | None, device: torch.device
) -> dict[str, Any]:
    """What a method is told of images that these values are asked of: fields of a request."""
    if not conditions:
        return {}
    found = {"condition": torch.from_numpy(np.stack([conditions.encode(v) for v in values]))}
    if encoder is not None:
        found["text"], found["tokens"] = text_tensors([conditions.text_of(v) for v in values], encoder)
    return {name: tensor.to(device) for name, tensor in found.items()}


def asked_of(asked: Asked, k: int, count: int) -> dict[str, Label]:
    """What is asked of number ``k`` among ``count``, which go evenly through a range; one alone has its middle."""
    share = k / (count - 1) if count > 1 else 0.5
    return {n: w[0] + share * (w[1] - w[0]) if isinstance(w, tuple) else w for n, w in asked.items()}


def asked_values(run: Run, asked: Asked, count: int, seed: int, first: int = 0) -> list[dict[str, Label]]:
    """The condition of each image from number ``first`` on: what is asked, else what one crop of the training set had.

    Raises:
        Problem: a condition that the run does not know, or a class that training never saw.
    """
    conditions = run.record.conditions
    asked = conditions.named(asked)
    numbers = {number.name for number in conditions.numbers}
    values: list[dict[str, Label]] = []
    for k in range(count):
        drawn: dict[str, Label] = {}
        if conditions:
            row = int(numpy_generator(seed, _CONDITIONS, first + k).integers(len(conditions.seen)))
            drawn = conditions.decode(conditions.seen[row])
            if conditions.text is not None:
                drawn[conditions.text.name] = conditions.seen_texts[row]
        drawn |= asked_of(asked, k, count)
        if conditions or drawn:
            conditions.encode(drawn)  # refuses now what it would refuse later
        values.append({name: float(value) if name in numbers else value for name, value in drawn.items()})
    return values


def tell_of_outside(run: Run, values: Sequence[Mapping[str, Label]], *, strict: bool) -> None:
    """Warn, once for all images, where what is asked of them lies outside of the range that training saw.

    Raises:
        Problem: it does, if ``strict``.
    """
    outside = list(dict.fromkeys(words for value in values for words in run.record.conditions.outside(value)))
    if outside and strict:
        raise Problem(outside[0], do="ask within that range, or allow what is outside of it")
    if outside:
        more = f" (and {len(outside) - 1} more)" if len(outside) > 1 else ""
        console().print(f"Warning: {outside[0]}{more}", highlight=False)
