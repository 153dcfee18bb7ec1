"""Train a method on an image set: everything around the loop that a person would want done."""

import json
import signal
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import FrameType
from typing import Any, TextIO

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from pydantic import ValidationError
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from morphogen.images.conditions import CAPTION, TEXTS, Conditions, TextCondition, known_as, listed
from morphogen.images.context import Context, FromImages
from morphogen.images.cropping import (
    SOURCE_PLACES,
    Batches,
    RandomCrops,
    has_square_pixels,
    independent_fields,
    require_masks,
    require_room,
)
from morphogen.images.image_set import ImageSet
from morphogen.images.intensity import IntensityMap
from morphogen.images.picture import stored_spacing
from morphogen.methods.denoising import DenoisingSettings
from morphogen.methods.method import (
    ImageLearner,
    ImageShape,
    MethodSettings,
    Task,
    method_class,
    method_names,
)
from morphogen.problems import Problem, as_problem
from morphogen.progress import console, tell_reader
from morphogen.specimens.specimen import augmentations as allowed_augmentations
from morphogen.training.captions import captioned, encoder_of, require_readable, staying_true, text_condition
from morphogen.training.fit import NotFiniteError, Plan, StepReport, TrainingState, fit, new_state
from morphogen.training.image_vectors import ImageVectors, clip_of, copy_clip, image_vector_of, require_vectors
from morphogen.training.run import Lineage, Run, RunRecord, TrainingImages
from morphogen.understanding.learners import learner_class, learner_settings
from morphogen.whole_files import new_folder, require_space, write_text_whole

REPORT_EVERY_SECONDS = 0.5
SAVE_EVERY_SECONDS = 60.0
"""Time between checkpoints, unless another is asked for."""
WAITING_TO_TELL = 0.05
"""Share of the time from which on it is said on the terminal that steps wait for their images."""
PREPARATION_CROPS = 256
"""Crops from which a method measures what it must know of the data."""
SEEN_CONDITIONS = 512
"""Crops whose conditions are kept with a run: their range, and what is drawn where nothing is asked."""
SAME_SCALE = 0.01
"""Share by which the pixel sizes of two sets may differ that are translated into each other: what is 100 pixels long is
then off by one pixel, which no network of that reach sees."""
STATE_PER_WEIGHT = 6
"""Numbers on disk for one weight: weight, average and two moments in the state, one to sample from, and
room for a file while it replaces its predecessor."""


class DivergedError(Problem):
    """Training was stopped because a number became NaN or infinite; the last good state is kept."""


def train(
    method: str,
    images: ImageSet,
    folder: Path | str,
    *,
    seconds: float | None = None,
    images_seen: int | None = None,
    size: tuple[int, int] = (64, 64),
    settings: Mapping[str, Any] | None = None,
    symmetries: frozenset[str] = frozenset(),
    seed: int = 0,
    clip_percent: float = 0.0,
    with_masks: bool = False,
    conditions: Sequence[str] = (),
    fraction: str | None = None,
    text_encoder: Path | str | None = None,
    context: ImageSet | FromImages | None = None,
    sources: ImageSet | None = None,
    teacher: Run | None = None,
    image_vector: Run | Path | str | None = None,
    augmentations: frozenset[str] | None = None,
    precision: str | None = None,
    compiled: bool = False,
    go_on: bool = False,
    save_every_seconds: float = SAVE_EVERY_SECONDS,
    cpu: bool = False,
    on_report: Callable[[StepReport], None] | None = None,
) -> Run:
    """Train a method on random crops of an image set.

    Under ``torchrun`` every process calls this with the same arguments, and the batch is shared among them.

    Args:
        method: name of a file in methods/, such as "ddpm", or of one in understanding/, such as "clip".
        images: measured images, all at least as large as a crop.
        folder: the run folder, new or empty unless ``go_on``.
        seconds: budget in seconds; 600 where no budget is given.
        images_seen: budget in images seen, instead of seconds.
        size: height and width of the crops and so of the images to generate.
        settings: settings of the method that differ from its defaults.
        symmetries: flips and turns that the specimen allows ("flip_horizontal", "flip_vertical",
            "quarter_turn").
        seed: of weights, crops and noise. The same seed gives the same run.
        clip_percent: see ``IntensityMap.of``.
        with_masks: train on image and mask together, as one more channel, and so generate both in register.
        conditions: names of what the images are conditioned on: labels of the pictures, words or numbers, or the
            area fraction of their masks, which is measured in each crop.
        fraction: what that fraction is called, "porosity".
        text_encoder: folder of the encoder that reads captions, where "caption" is a condition and the method reads
            texts; by default MiniLM, from its package.
        context: what a denoising method is told of each image beside conditions: its mask ("masks"), its edges
            ("edges"), or another image of the same place, of the same name and size. It makes images for such masks,
            edges or images, then.
        sources: for a method that translates: the set that it makes such images from.
        teacher: for a method that learns from another: the trained run; see ``training.distil`` and
            ``training.control``, which call this with all that has to be as it was there.
        image_vector: a run of CLIP, trained on such crops. A denoising method is told the vector that it has of each
            crop, and can then draw for the vector of a measured image; "clip_prior" learns to draw such vectors for
            captions. The run keeps a copy of it; to go on with a run it need not be given.
        augmentations: what a discriminator may see done to images; by default what the symmetries allow, see
            ``specimens.specimen.augmentations``.
        precision: "fp32" or "bf16"; by default bf16 where a GPU has it, fp32 elsewhere. A CPU must have
            instructions for bf16 (AVX512-BF16 or AMX).
        compiled: compile the sub-modules that the method names, with torch.compile, on a GPU.
        go_on: continue the run in ``folder`` to the (new) budget instead of starting one.
        save_every_seconds: time between checkpoints; one is always written at the end and on Ctrl-C.
        cpu: stay on the CPU even where there is a GPU.
        on_report: called after every step.

    Returns:
        The finished run.

    Raises:
        Problem: anything that a person can put right, before training starts.
        DivergedError: a loss became NaN or infinite.
        KeyboardInterrupt: Ctrl-C, after the state was saved.
    """
    folder = Path(folder)
    require_teacher(method, teacher)
    clip = _clip_asked(image_vector, teacher, Run(folder) if go_on else None)
    if teacher is not None:
        record = teacher.record
        settings = {**(settings or {}), "teacher": record.method, "teacher_settings": record.settings}
    if learner_class(method).learns_captions:
        images, symmetries = _with_captions(method, images, conditions, symmetries, with_masks=with_masks)
        conditions = (CAPTION,)
    elif learner_class(method).reads_text:
        told = (str(p.labels[name]) for p in images for name in TEXTS if name in conditions and name in p.labels)
        symmetries = staying_true(told, symmetries)
    if seconds is None and images_seen is None:
        seconds = 600.0
    on_gpu = uses_gpu(cpu)
    precision = precision or ("bf16" if on_gpu and torch.cuda.is_bf16_supported() else "fp32")
    if precision == "bf16" and not on_gpu and not computes_in_bf16():
        raise Problem("this CPU has no instructions for bf16: it would be slower than fp32", do="leave it out")
    if compiled and not on_gpu:
        raise Problem("compiling takes longer than it saves on a CPU", do="leave it out")
    try:
        plan = Plan(
            seconds=seconds,
            images=images_seen,
            seed=seed,
            precision=precision,
            compile=compiled,
            save_every_seconds=save_every_seconds,
        )
    except ValidationError as error:
        raise as_problem(error, "the plan", Plan) from None
    AcceleratorState._reset_state()  # an earlier run of this process may have had another precision
    accelerator = Accelerator(cpu=not on_gpu, mixed_precision="bf16" if precision == "bf16" else "no")
    wanted = learner_class(method).suited(learner_settings(method, settings), on_gpu=on_gpu)
    if wanted.batch_size % accelerator.num_processes:
        raise Problem(
            f"a batch of {wanted.batch_size} cannot be shared by {accelerator.num_processes} processes",
            do="choose a batch size that is a multiple of the number of processes",
        )
    if text_encoder is None and (go_on or learner_class(method).learns_image_vectors):
        reader = Run(folder) if go_on else clip
        kept = None if reader is None else reader.record.conditions.text
        text_encoder = None if kept is None else kept.folder
    asked = _Asked(
        method, images, plan, size, wanted, symmetries, clip_percent, with_masks, tuple(conditions), fraction,
        text_condition(method, conditions, text_encoder), context, sources, teacher, clip,
        _where_pixels_are_square(allowed_augmentations(symmetries) if augmentations is None else augmentations, images),
    )  # fmt: skip
    with accelerator.main_process_first():
        if go_on:
            run = _resumed(folder, asked)
        elif accelerator.is_main_process:
            run = _started(folder, asked)
        else:
            run = Run(folder)
    crops = asked.crops(run.record.intensity, run.record.context)
    conditions_of_run = run.record.conditions
    encoder = encoder_of(conditions_of_run, text_encoder if conditions_of_run.text is not None else None)
    seen_by = None
    if run.record.image_vector is not None:
        captions = learner_class(method).learns_image_vectors
        seen_by = ImageVectors(clip_of(run), captions=captions, device=accelerator.device)
    batches = Batches(crops, conditions_of_run, asked.source_crops(run.record.source_intensity), encoder, seen_by)
    model = run.new_learner().to(accelerator.device)
    if teacher is not None:
        model.learn_from(teacher.trained_method().to(accelerator.device))
    if go_on and run.has_state:
        state = run.load_state(model)
    else:
        model.prepare(crops(0, PREPARATION_CROPS).to(accelerator.device))
        state = new_state(model)
    if go_on:
        _require_no_way_back(model, state, plan, folder)
        state.finished = plan.fraction(state.seconds, state.images_seen) >= 1.0
    if compiled:
        for name in model.compiled:
            model.get_submodule(name).compile()
    last_saved = state.seconds
    problem: DivergedError | None = None
    with _Journal(run, plan, accelerator, state.images_seen, state.seconds) as journal, stop_between_steps() as stop:
        try:
            with closing(fit(model, batches, plan, state, accelerator)) as steps:
                for report in steps:
                    journal.write(report)
                    if on_report is not None:
                        on_report(report)
                    due = state.seconds - last_saved >= plan.save_every_seconds
                    if accelerator.is_main_process and (due or stop.is_set()) and not state.finished:
                        run.save_state(model, state)
                        last_saved = state.seconds
                    if _any_process(stop.is_set(), accelerator):
                        break
        except NotFiniteError as error:
            # No weight has taken in the bad number, so what is in memory will do where no checkpoint was written.
            if accelerator.is_main_process and not run.has_state:
                run.save_state(model, state)
            problem = DivergedError(
                f"{run.record.method}: the loss of phase '{error.phase}' is no longer finite at step {error.step};"
                f" the last good state is kept in {run.folder}",
                do="choose a smaller learning rate",
            )
    if problem is not None:
        raise problem
    if accelerator.is_main_process:
        run.save_state(model, state)
    accelerator.wait_for_everyone()
    if stop.is_set():
        raise KeyboardInterrupt
    return run


def _clip_asked(given: Run | Path | str | None, teacher: Run | None, resumed: Run | None) -> Run | None:
    """The run of CLIP that is named, or else that which a teacher or the run to go on with has kept."""
    if given is not None:
        return given if isinstance(given, Run) else Run(given)
    keeper = teacher if teacher is not None else resumed
    return None if keeper is None or keeper.record.image_vector is None else clip_of(keeper)


def _with_captions(
    method: str, images: ImageSet, conditions: Sequence[str], symmetries: frozenset[str], *, with_masks: bool
) -> tuple[ImageSet, frozenset[str]]:
    """The images with a caption each, and what may be done to them so that these stay true.

    Raises:
        Problem: no captions, one for all, or something else that the method is to be told.
    """
    if with_masks or set(conditions) - {CAPTION}:
        raise Problem(f"{method} learns from images and their captions alone", do="leave masks and conditions out")
    found = captioned(images)
    return found, staying_true((str(picture.labels[CAPTION]) for picture in found), symmetries)


def uses_gpu(cpu: bool) -> bool:
    """Whether work goes to a GPU: where CUDA has one, unless the CPU is asked for. Others are not tested."""
    return torch.cuda.is_available() and not cpu


def computes_in_bf16() -> bool:
    """Whether this CPU multiplies in bf16 by itself (AVX512-BF16 or AMX); elsewhere bf16 is slower than fp32."""
    capabilities = torch.cpu.get_capabilities()
    return any(bool(capabilities.get(name)) for name in ("avx512_bf16", "amx_bf16"))


def _where_pixels_are_square(augmentations: frozenset[str], images: ImageSet) -> frozenset[str]:
    """Without turns where a pixel is not as high as it is wide: a turned image would be another specimen's."""
    if all(has_square_pixels(picture) for picture in images):
        return augmentations
    return augmentations - {"quarter_turn", "rotation"}


@dataclass(frozen=True)
class _Asked:
    """What ``train`` was asked for."""

    method: str
    images: ImageSet
    plan: Plan
    size: tuple[int, int]
    settings: MethodSettings
    symmetries: frozenset[str]
    clip_percent: float
    with_masks: bool
    conditions: tuple[str, ...]
    fraction: str | None
    text: TextCondition | None
    told: ImageSet | FromImages | None
    sources: ImageSet | None
    teacher: Run | None
    clip: Run | None
    augmentations: frozenset[str]

    @property
    def kind(self) -> type[ImageLearner]:
        return learner_class(self.method)

    @property
    def shape(self) -> ImageShape:
        return ImageShape(self.images[0].channels + self.with_masks, *self.size)

    def task(self, conditions: Conditions) -> Task:
        context = self.context
        told = 0 if context is None else context.channels
        length = 0 if self.clip is None else image_vector_of(self.clip).length
        return Task(self.shape, conditions, self.augmentations, int(self.with_masks), told, length)

    @cached_property
    def context(self) -> Context | None:
        """The image in register that is told with each image."""
        if self.told is None:
            return None
        found = Context.of(self.told, self.images)
        known = None if self.teacher is None else self.teacher.record.context
        return found if known is None else found.model_copy(update={"intensity": known.intensity})

    @property
    def intensity(self) -> IntensityMap:
        """The map of the training images, or that which a teacher knows."""
        if self.teacher is not None:
            return self.teacher.record.intensity
        return IntensityMap.of(self.images, self.clip_percent)

    def crops(self, intensity: IntensityMap, context: Context | None = None) -> RandomCrops:
        told = () if context is None or self.told is None else context.all_channels(self.told, self.images)
        return RandomCrops(
            self.images, self.size, intensity, self.symmetries, self.plan.seed, self.with_masks, context=told
        )

    def source_crops(self, intensity: IntensityMap | None) -> RandomCrops | None:
        if self.sources is None or intensity is None:
            return None
        return RandomCrops(
            self.sources, self.size, intensity, self.symmetries, self.plan.seed, self.with_masks, SOURCE_PLACES
        )

    def seen_conditions(self, intensity: IntensityMap) -> Conditions:
        """The conditions with their ranges in the crops that training will see."""
        if self.teacher is not None:  # which reads them on the scales of its own training
            known = self.teacher.record.conditions
            if known.text is not None and self.text is not None:  # by the encoder where it is now
                here = known.text.model_copy(update={"folder": self.text.folder})
                known = known.model_copy(update={"text": here})
            require_readable(known, self.images)
            return known
        declared = Conditions.of(self.conditions, list(self.images), self.fraction, self.text)
        if not declared:
            return declared
        require_readable(declared, self.images)
        crops = (self.crops(intensity).crop(k) for k in range(SEEN_CONDITIONS))
        return declared.with_seen([declared.values_of(crop.labels, crop.mask) for crop in crops])

    def check(self) -> None:
        """Refuse what cannot be trained.

        Raises:
            Problem: what is wrong, and what to do.
        """
        require_conditions(self.method, self.conditions)
        require_sources(self.method, self.images, self.sources, size=self.size, with_masks=self.with_masks)
        self.kind.sizes(self.settings).check(self.method, self.shape)
        if self.plan.compile and not self.kind.compiled:
            raise Problem(f"nothing of {self.method} can be compiled", do="leave it out")
        require_room(self.images, self.size)
        if self.with_masks:
            require_masks(self.images)
        require_context(self.method, self.images, self.told, with_masks=self.with_masks)
        require_vectors(self.method, self.clip, self.images, self.size)
        if self.clip is not None and self.kind.learns_image_vectors:
            self._check_reader(self.clip.record.conditions.text)
        guided = isinstance(self.settings, DenoisingSettings) and self.settings.guidance != 1
        if guided and not self.conditions and self.told is None and self.clip is None:
            raise Problem("guidance has nothing to follow without conditions", do="leave it out, or name conditions")
        if self.teacher is not None:
            self._check_against(self.teacher.record)

    def _check_reader(self, known: TextCondition | None) -> None:
        """Refuse captions that another encoder reads than the CLIP's, whose tower makes vectors of what is read."""
        if known is not None and self.text is not None and known.encoder != self.text.encoder:
            raise Problem(
                f"the text encoder is not the one that {self.clip and self.clip.folder} learnt from", do="leave it out"
            )

    def _check_against(self, known: RunRecord) -> None:
        """Refuse a student of other images than its teacher's, or of other conditions."""
        names, dtype = known.conditions.names, self.images[0].pixels.dtype.name
        # What steers a run is told to it from outside: the run itself has seen none of it.
        told = None if self.context is None or self.kind.needs_context else (self.context.kind, self.context.channels)
        for what, taught, wanted in (
            ("crops of", known.shape[1:], self.size),
            ("masks:", known.with_masks, self.with_masks),
            ("channels:", known.shape[0] - known.with_masks, self.images[0].channels),
            ("pixels of", known.intensity.dtype, dtype),
            ("conditions", sorted(names), sorted({known_as(name, names) or name for name in self.conditions})),
            ("context", None if known.context is None else (known.context.kind, known.context.channels), told),
            ("image vectors of CLIP", *_hashes(known, self.clip)),
        ):
            if taught != wanted:
                raise Problem(
                    f"the teacher was trained with {what} {taught}, and here is {wanted}",
                    do="give images like those that it was trained on, and leave the rest as it was there",
                )
        require_labels(known.conditions, self.images)


def require_teacher(method: str, teacher: Run | None) -> None:
    """Refuse a method without the run that it has to learn from, and a run that it cannot learn from.

    Raises:
        Problem: what is wrong, and what to do.
    """
    learns = learner_class(method).learns_from
    if teacher is None and learns:
        raise Problem(
            f"{method} learns from a trained run", do="name one: morphogen distil RUN IMAGES, or morphogen control"
        )
    if teacher is not None and not learns:
        raise Problem(f"{method} learns from images alone", do="leave the teacher out")
    if teacher is not None:
        teacher.as_teacher  # noqa: B018  # refuses a run that has no weights yet


def require_labels(conditions: Conditions, images: ImageSet) -> None:
    """Refuse images of which these conditions are not known, or of a class that they don't know.

    Raises:
        Problem: what is missing.
    """
    masked = any(number.of_mask for number in conditions.numbers)
    labelled = [name for name in conditions.names if name not in {n.name for n in conditions.numbers if n.of_mask}]
    if masked:
        require_masks(images)
    for picture in images:
        for name in labelled:
            if known_as(name, picture.labels) is None:
                raise Problem(
                    f"{picture.origin.source or picture.origin.specimen} has no label '{name}', on which the run is"
                    " conditioned",
                    do="give images with the labels of those that it was trained on",
                )
        if conditions:
            conditions.encode(conditions.values_of(picture.labels, picture.mask))


def require_conditions(method: str, conditions: Sequence[str]) -> None:
    """Refuse conditions that a method cannot take, and their lack where it needs them.

    Raises:
        Problem: what is wrong, and what to do.
    """
    takes = learner_class(method).conditional
    if conditions and takes == "no":
        able = ", ".join(name for name in method_names() if method_class(name).conditional != "no")
        raise Problem(f"{method} takes no condition", do=f"leave it out, or choose among {able}")
    if not conditions and takes == "must":
        raise Problem(
            f"{method} needs something to be conditioned on",
            do="name a label of the images, or the area fraction of their masks",
        )


def require_context(method: str, images: ImageSet, told: ImageSet | FromImages | None, *, with_masks: bool) -> None:
    """Refuse images in register that a method cannot be told.

    Raises:
        Problem: what is wrong, and what to do.
    """
    if told is None and learner_class(method).needs_context:
        raise Problem(
            f"{method} needs an image in register with each image",
            do="give triples, or the other images, masks or edges as the context",
        )
    if told is None:
        return
    if not learner_class(method).takes_context:
        able = listed(n for n in method_names() if method_class(n).takes_context and not method_class(n).learns_from)
        raise Problem(f"{method} can be told no mask and no other image", do=f"leave it out, or choose among {able}")
    if isinstance(told, str) and told == "masks" and with_masks:
        raise Problem("masks are both to be told and to be made", do="choose one of the two")
    Context.of(told, images)


def require_sources(
    method: str, images: ImageSet, sources: ImageSet | None, *, size: tuple[int, int], with_masks: bool = False
) -> None:
    """Refuse a set to translate that a method cannot use, and its lack where it needs one.

    Args:
        method: name of the method.
        images: what it is trained on.
        sources: what it is to translate.
        size: height and width of a crop of either.
        with_masks: whether it learns masks too, and so needs them of both.

    Raises:
        Problem: what is wrong, and what to do.
    """
    translates = learner_class(method).translates
    if sources is not None and not translates:
        raise Problem(f"{method} translates nothing", do="leave the sources out")
    if sources is None:
        if translates:
            raise Problem(
                f"{method} translates one set of images into another", do="name those to start from, as its sources"
            )
        return
    if sources[0].channels != images[0].channels:
        raise Problem(
            f"the images have {images[0].channels} channels and the sources have {sources[0].channels}",
            do="bring both to the same number, colour images by their luminance",
        )
    here, there = (_known_pixel_sizes(given) for given in (images, sources))
    if here and there and (_without_match(here, there) or _without_match(there, here)):
        raise Problem(
            f"pixels are {_in_words(here)} in the images and {_in_words(there)} in the sources",
            do="shrink the finer set to the scale of the other, or give sets of one scale",
        )
    require_room(sources, size)
    if with_masks:
        require_masks(sources)


def _known_pixel_sizes(images: ImageSet) -> list[tuple[float, float]]:
    return [size for size in dict.fromkeys(picture.spacing_um for picture in images) if np.isfinite(size).all()]


def _without_match(these: Sequence[tuple[float, float]], those: Sequence[tuple[float, float]]) -> bool:
    """Whether one of these pixel sizes is none of those."""
    return any(not any(np.allclose(one, other, rtol=SAME_SCALE, atol=0) for other in those) for one in these)


def _in_words(pixel_sizes: Sequence[tuple[float, float]]) -> str:
    height, width = pixel_sizes[0]
    return f"{height:g} x {width:g} um" + (" and others" if len(pixel_sizes) > 1 else "")


def _started(folder: Path, asked: _Asked) -> Run:
    """Check everything, then make the folder: a refused run leaves nothing behind."""
    asked.check()
    intensity = asked.intensity
    conditions = asked.seen_conditions(intensity)
    with torch.device("meta"):  # to be counted, not to be used
        method_to_count = asked.kind(asked.settings, asked.task(conditions))
    parameters = sum(p.numel() for p in method_to_count.parameters())
    require_space(folder, STATE_PER_WEIGHT * 4 * parameters, f"a run of {asked.method}")
    shape = asked.shape
    record = RunRecord(
        method=asked.method,
        settings=asked.settings.model_dump(mode="json"),
        plan=asked.plan,
        shape=(shape.channels, shape.height, shape.width),
        with_masks=asked.with_masks,
        intensity=intensity,
        images=_training_images(asked.images, asked),
        conditions=conditions,
        context=asked.context,
        augmentations=tuple(sorted(asked.augmentations)),
        sources=None if asked.sources is None else _training_images(asked.sources, asked),
        source_intensity=None if asked.sources is None else IntensityMap.of(asked.sources, asked.clip_percent),
        teacher=None if asked.teacher is None else asked.teacher.as_teacher,
        image_vector=None if asked.clip is None else image_vector_of(asked.clip),
        parameters=parameters,
        lineage=Lineage.now(),
    )
    new_folder(folder, "the run")
    if asked.clip is not None:
        copy_clip(asked.clip, folder)
    return Run.create(folder, record)


def _training_images(images: ImageSet, asked: _Asked) -> TrainingImages:
    spacing = {picture.spacing_um for picture in images}
    only = spacing.pop() if len(spacing) == 1 else (float("nan"), float("nan"))
    return TrainingImages(
        fingerprint=images.fingerprint,
        pictures=len(images),
        specimens=tuple(dict.fromkeys(p.origin.specimen for p in images)),
        independent_fields=independent_fields(images, asked.size),
        symmetries=tuple(sorted(asked.symmetries)),
        spacing_um=stored_spacing(only),
    )


def _resumed(folder: Path, asked: _Asked) -> Run:
    """The run in a folder, if it is the one that is asked for: only the budget may differ."""
    run = Run(folder)
    if run.record.method != asked.method:
        raise Problem(
            f"{folder} is a run of {run.record.method}, not of {asked.method}", do="name the method of the run"
        )
    for images, kept in ((asked.images, run.record.images), (asked.sources, run.record.sources)):
        if (images.fingerprint if images is not None else None) != (kept.fingerprint if kept is not None else None):
            raise Problem(
                f"{folder} was trained on other images (fingerprint {kept.fingerprint if kept else 'none'}, these have"
                f" {images.fingerprint if images is not None else 'none'})",
                do="give the images that it was started with",
            )
    if run.record.plan.seed != asked.plan.seed:
        raise Problem(
            f"{folder} was started with seed {run.record.plan.seed}, not {asked.plan.seed}", do="give that seed"
        )
    taught = None if run.record.teacher is None else run.record.teacher.weights
    if asked.teacher is not None and asked.teacher.as_teacher.weights != taught:
        raise Problem(
            f"{folder} has not learnt from the weights in {asked.teacher.folder}", do="give the run that it learnt from"
        )
    names = run.record.conditions.names
    for what, started, wanted in (
        ("crops of", (run.shape.height, run.shape.width), asked.size),
        ("masks:", run.record.with_masks, asked.with_masks),
        ("precision", run.record.plan.precision, asked.plan.precision),
        ("compiling:", run.record.plan.compile, asked.plan.compile),
        ("conditions", sorted(names), sorted({known_as(name, names) or name for name in asked.conditions})),
        ("context", _words_of(run.record.context), _words_of(asked.context)),
        ("image vectors of CLIP", *_hashes(run.record, asked.clip)),
        ("text encoder", *(c and c.encoder[:12] for c in (run.record.conditions.text, asked.text))),
        ("symmetries", run.record.images.symmetries, tuple(sorted(asked.symmetries))),
        ("augmentations", run.record.augmentations, tuple(sorted(asked.augmentations))),
        *(
            (f"setting {name} =", run.record.settings.get(name), value)
            for name, value in asked.settings.model_dump(mode="json").items()
        ),
    ):
        if started != wanted:
            raise Problem(
                f"{folder} was started with {what} {started}, not {wanted}",
                do="give what it was started with, or start a new run",
            )
    return run


def _hashes(known: RunRecord, clip: Run | None) -> tuple[str, str]:
    """Which CLIP a run was told of, and which one is given."""
    kept = None if known.image_vector is None else known.image_vector.weights
    given = None if clip is None else clip.as_teacher.weights
    return (kept or "none")[:12], (given or "none")[:12]


def _words_of(context: Context | None) -> str:
    return "none" if context is None else f"{context.kind} {context.fingerprint}".strip()


def _require_no_way_back(model: ImageLearner, state: TrainingState, plan: Plan, folder: Path) -> None:
    """Refuse a budget under which a part of the training that is over would begin again.

    What came after it has learnt from its end, and would be told otherwise while it stands still.

    Raises:
        Problem: the budget is too large.
    """
    fraction = plan.fraction(state.seconds, state.images_seen)
    for phase in model.phases:
        begins = phase.during[0]
        if begins > fraction and state.optimisers[phase.trains].state:
            spent, unit = (state.seconds, "seconds") if plan.seconds is not None else (state.images_seen, "images")
            raise Problem(
                f"{folder} has begun with its phase '{phase.name}', which has the budget from {begins:.0%} on",
                do=f"go on to {int(spent / begins):,} {unit} at most, or start a new run",
            )


class _Journal:
    """Progress on the terminal, in progress.jsonl and for TensorBoard; on the main process only."""

    def __init__(self, run: Run, plan: Plan, accelerator: Accelerator, images_seen: int, seconds: float) -> None:
        self.run, self.plan = run, plan
        self.main = accelerator.is_main_process
        self.images_seen = images_seen
        self.last_written = -REPORT_EVERY_SECONDS
        self.sums: dict[str, tuple[float, int]] = {}
        self.waited, self.told_until = 0.0, seconds  # of which steps waited for their images since the last line

    def __enter__(self) -> "_Journal":
        if not self.main:
            return self
        from torch.utils.tensorboard import SummaryWriter

        path = self.run.folder / "progress.jsonl"
        # Lines beyond the checkpoint that we go on from would be told twice.
        kept = [line for line in self.run.progress() if line["images_seen"] <= self.images_seen]
        write_text_whole(path, "".join(json.dumps(line) + "\n" for line in kept))
        self.file: TextIO = open(path, "a", encoding="utf-8")
        self.tensorboard = SummaryWriter(str(self.run.folder / "tensorboard"))
        where = console()
        self.bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            TextColumn("{task.percentage:>3.0f} %"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[losses]}"),
            console=where,
            transient=True,
            disable=not where.is_terminal,
        )
        self.bar.start()
        self.task: TaskID = self.bar.add_task(f"Training {self.run.record.method}", total=1.0, losses="")
        return self

    def write(self, report: StepReport) -> None:
        """Take in a report; what is written is the mean since the last line."""
        if not self.main:
            return
        self.waited += report.waited
        for name, value in report.losses.items():
            total, count = self.sums.get(name, (0.0, 0))
            self.sums[name] = (total + value, count + 1)
        if report.seconds - self.last_written < REPORT_EVERY_SECONDS and report.fraction < 1:
            return
        waiting = self.waited / max(report.seconds - self.told_until, 1e-9)
        self.last_written = self.told_until = report.seconds
        self.waited = 0.0
        losses = {name: total / count for name, (total, count) in self.sums.items()}
        self.sums = {}
        line = {
            "step": report.step,
            "images_seen": report.images_seen,
            "seconds": round(report.seconds, 3),
            "losses": {name: round(value, 6) for name, value in losses.items()},
            "gradient_norms": {name: round(value, 6) for name, value in report.gradient_norms.items()},
            "waiting": round(waiting, 4),
        }
        self.file.write(json.dumps(line) + "\n")
        self.file.flush()
        for name, value in losses.items():
            self.tensorboard.add_scalar(f"loss/{name}", value, report.images_seen)
        shown = "  ".join(f"{name} {value:.3g}" for name, value in losses.items())
        if waiting >= WAITING_TO_TELL:
            shown += f"  waiting for images {waiting:.0%}"
        self.bar.update(self.task, completed=report.fraction, losses=shown)
        tell_reader(f"Training {self.run.record.method}", report.fraction, 1.0)

    def __exit__(self, *_: object) -> None:
        if self.main:
            self.bar.stop()
            self.file.close()
            self.tensorboard.close()


@contextmanager
def stop_between_steps() -> Iterator[threading.Event]:
    """Turn the first Ctrl-C into a wish to stop after the step; a second one stops at once."""
    wish = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield wish
        return
    previous = signal.getsignal(signal.SIGINT)

    def on_signal(number: int, frame: FrameType | None) -> None:
        wish.set()
        signal.signal(signal.SIGINT, previous)

    signal.signal(signal.SIGINT, on_signal)
    try:
        yield wish
    finally:
        signal.signal(signal.SIGINT, previous)


def _any_process(wish: bool, accelerator: Accelerator) -> bool:
    if accelerator.num_processes == 1:
        return wish
    votes = accelerator.reduce(torch.tensor([float(wish)], device=accelerator.device), reduction="sum")
    return bool(votes.item() > 0)
