"""Distil a diffusion run: train a student that draws in one to four steps what the run draws in many."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from morphogen.images.image_set import ImageSet
from morphogen.methods.denoising import DenoisingMethod
from morphogen.problems import Problem
from morphogen.progress import console
from morphogen.training.fit import StepReport
from morphogen.training.run import Run
from morphogen.training.train import train
from morphogen.understanding.learners import learner_class

STUDENT = "distilled"
"""The method that a student is trained by."""


def distil(
    teacher: Run | Path | str,
    images: ImageSet,
    folder: Path | str,
    *,
    steps: int = 4,
    context: ImageSet | None = None,
    seconds: float | None = None,
    images_seen: int | None = None,
    settings: Mapping[str, Any] | None = None,
    text_encoder: Path | str | None = None,
    seed: int = 0,
    precision: str | None = None,
    compiled: bool = False,
    go_on: bool = False,
    save_every_seconds: float = 60.0,
    cpu: bool = False,
    on_report: Callable[[StepReport], None] | None = None,
) -> Run:
    """Train a student of a run of a denoising method, on crops of images like those that the run was trained on.

    Crops, grey scale, conditions, masks, flips and turns are those of the run. What the student draws is that of any
    run: ``generate`` and whatever follows take it.

    Args:
        teacher: the run, or its folder.
        images: the images that it was trained on, best; others of that kind, of as many channels, pixel type and
            labels.
        folder: the student's run folder, new or empty unless ``go_on``.
        steps: in how many steps the student draws, 1 to 4.
        context: for a run that is told other images of the same places: those images. Masks come with the images.
        seconds: budget in seconds; 600 where no budget is given.
        images_seen: budget in images seen, instead of seconds.
        settings: of the student, ``methods.distilled.Settings``: "guidance", "teacher_evaluations", "learning_rate".
        text_encoder: of a run that reads captions: folder of its encoder, where that is no longer where it was.
        seed: of crops and noise. The same seed gives the same student.
        precision: see ``train``.
        compiled: see ``train``.
        go_on: continue the student in ``folder`` to the (new) budget.
        save_every_seconds: time between checkpoints.
        cpu: stay on the CPU even where there is a GPU.
        on_report: called after every step.

    Returns:
        The student's run.

    Raises:
        Problem: anything that a person can put right, before training starts.
    """
    teacher = teacher if isinstance(teacher, Run) else Run(teacher)
    settings = dict(settings or {})
    _require_teachable(teacher, settings)
    method = teacher.trained_method()
    if isinstance(method, DenoisingMethod) and not method.begun:
        raise Problem(f"{teacher.folder} was stopped before its denoiser began to learn", do="go on with its training")
    record = teacher.record
    told = record.context
    if context is not None and (told is None or told.kind != "images"):
        raise Problem("the teacher is told no other images", do="leave them out")
    if told is not None and told.kind == "images" and context is None:
        raise Problem("the teacher is told another image of each place", do="name the folder of those images")
    if images.fingerprint != record.images.fingerprint:
        console().print(
            f"Warning: {teacher.folder} was trained on other images than these; what the student knows comes from both",
            highlight=False,
        )
    return train(
        STUDENT, images, folder, teacher=teacher, seconds=seconds, images_seen=images_seen,
        size=(teacher.shape.height, teacher.shape.width), settings={**settings, "steps": steps},
        symmetries=frozenset(record.images.symmetries), augmentations=frozenset(record.augmentations), seed=seed,
        with_masks=record.with_masks, conditions=record.conditions.names,
        text_encoder=text_encoder or (None if record.conditions.text is None else record.conditions.text.folder),
        context=told.kind if told is not None and told.kind != "images" else context, precision=precision,
        compiled=compiled, go_on=go_on, save_every_seconds=save_every_seconds, cpu=cpu, on_report=on_report,
    )  # fmt: skip


def _require_teachable(teacher: Run, settings: Mapping[str, Any]) -> None:
    kind = learner_class(teacher.record.method)
    if kind.learns_from:
        raise Problem(
            f"{teacher.folder} is a run of {teacher.record.method}, which learnt from another run itself",
            do="distil the run that it learnt from",
        )
    if not issubclass(kind, DenoisingMethod):
        raise Problem(
            f"{teacher.folder} is a run of {teacher.record.method}, which denoises nothing",
            do="name a run of a diffusion method",
        )
    for name in ("teacher", "teacher_settings", "steps"):
        if name in settings:
            raise Problem(
                f"setting {name} is given twice", do="leave it to the run and the number of steps that are asked"
            )
    if settings.get("guidance") not in (None, 1, 1.0):
        dropout = teacher.record.settings.get("condition_dropout")
        if not teacher.record.conditions and teacher.record.context is None:
            raise Problem(
                "the teacher was trained without conditions, and guidance has nothing to follow", do="leave it out"
            )
        if not dropout:
            raise Problem(
                "the teacher was always told its conditions, and guidance needs one that was at times not",
                do="leave it out, or distil a run that was trained with condition_dropout",
            )
