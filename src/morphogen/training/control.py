"""Control a diffusion run: train what steers it by edges or masks, while the run itself stays as it is."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from morphogen.images.context import FromImages
from morphogen.images.image_set import ImageSet
from morphogen.methods.denoising import DenoisingMethod
from morphogen.networks.conditioned_unet import ConditionedUNet
from morphogen.problems import Problem
from morphogen.training.fit import StepReport
from morphogen.training.run import Run
from morphogen.training.train import train
from morphogen.understanding.learners import learner_class

CONTROL = "controlled"
"""The method that a control is trained by."""


def control(
    run: Run | Path | str,
    images: ImageSet,
    folder: Path | str,
    *,
    by: FromImages = "edges",
    seconds: float | None = None,
    images_seen: int | None = None,
    settings: Mapping[str, Any] | None = None,
    text_encoder: Path | str | None = None,
    seed: int = 0,
    precision: str | None = None,
    go_on: bool = False,
    save_every_seconds: float = 60.0,
    cpu: bool = False,
    on_report: Callable[[StepReport], None] | None = None,
) -> Run:
    """Train what steers a run of a denoising method, on crops of images like those that it was trained on.

    Crops, grey scale, conditions, flips and turns are those of the run. What comes out is a run that is told edges or
    masks: ``generate`` draws for them.

    Args:
        run: the run, or its folder.
        images: the images that it was trained on, best; others of that kind, of as many channels, pixel type and
            labels.
        folder: the control's run folder, new or empty unless ``go_on``.
        by: "edges", found in the images, or "masks", which the images need then.
        seconds: budget in seconds; 600 where no budget is given.
        images_seen: budget in images seen, instead of seconds.
        settings: of the control, ``methods.controlled.Settings``.
        text_encoder: of a run that reads captions: folder of its encoder, where that is no longer where it was.
        seed: of crops and noise. The same seed gives the same control.
        precision: see ``train``.
        go_on: continue the control in ``folder`` to the (new) budget.
        save_every_seconds: time between checkpoints.
        cpu: stay on the CPU even where there is a GPU.
        on_report: called after every step.

    Returns:
        The control's run.

    Raises:
        Problem: anything that a person can put right, before training starts.
    """
    run = run if isinstance(run, Run) else Run(run)
    settings = dict(settings or {})
    _require_steerable(run, settings)
    record = run.record
    return train(
        CONTROL, images, folder, teacher=run, seconds=seconds, images_seen=images_seen,
        size=(run.shape.height, run.shape.width), settings=settings, symmetries=frozenset(record.images.symmetries),
        augmentations=frozenset(record.augmentations), seed=seed, with_masks=record.with_masks,
        conditions=record.conditions.names,
        text_encoder=text_encoder or (None if record.conditions.text is None else record.conditions.text.folder),
        context=by,
        precision=precision, go_on=go_on, save_every_seconds=save_every_seconds, cpu=cpu, on_report=on_report,
    )  # fmt: skip


def _require_steerable(run: Run, settings: Mapping[str, Any]) -> None:
    name, kind = run.record.method, learner_class(run.record.method)
    if kind.learns_from or not issubclass(kind, DenoisingMethod):
        raise Problem(
            f"{run.folder} is a run of {name}, which cannot be steered", do="name a run of a diffusion method"
        )
    if run.record.context is not None:
        raise Problem(
            f"{run.folder} is told {run.record.context.kind} already", do="name a run that is told no image in register"
        )
    for setting in ("teacher", "teacher_settings"):
        if setting in settings:
            raise Problem(f"setting {setting} is given twice", do="leave it to the run")
    method = run.trained_method()
    assert isinstance(method, DenoisingMethod)
    if not isinstance(method.network, ConditionedUNet):
        raise Problem(f"{name} has no UNet, whose encoder a control is a copy of", do="name a run that has one")
    if not method.begun:
        raise Problem(f"{run.folder} was stopped before its denoiser began to learn", do="go on with its training")
