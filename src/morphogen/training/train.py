"""Train a method on an image set: everything around the loop that a person would want done."""

import json
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any, TextIO

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from pydantic import ValidationError
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from morphogen.images.cropping import RandomCrops, independent_fields, require_masks, require_room
from morphogen.images.image_set import ImageSet
from morphogen.images.intensity import IntensityMap
from morphogen.images.picture import stored_spacing
from morphogen.methods.method import ImageShape, MethodSettings, method_class, method_settings
from morphogen.problems import Problem, as_problem
from morphogen.progress import console
from morphogen.training.fit import NotFiniteError, Plan, StepReport, fit, new_state
from morphogen.training.run import Lineage, Run, RunRecord, TrainingImages
from morphogen.whole_files import new_folder, require_space, write_text_whole

REPORT_EVERY_SECONDS = 0.5
PREPARATION_CROPS = 256
"""Crops from which a method measures what it must know of the data."""
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
    precision: str | None = None,
    compiled: bool = False,
    go_on: bool = False,
    save_every_seconds: float = 60.0,
    cpu: bool = False,
    on_report: Callable[[StepReport], None] | None = None,
) -> Run:
    """Train a method on random crops of an image set.

    Under ``torchrun`` every process calls this with the same arguments, and the batch is shared among them.

    Args:
        method: name of a file in methods/, such as "ddpm".
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
        precision: "fp32" or "bf16"; by default bf16 where a GPU has it, fp32 elsewhere.
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
    if seconds is None and images_seen is None:
        seconds = 600.0
    on_gpu = uses_gpu(cpu)
    precision = precision or ("bf16" if on_gpu and torch.cuda.is_bf16_supported() else "fp32")
    if precision == "bf16" and not on_gpu:
        raise Problem("bf16 is slower than fp32 on a CPU", do="leave the precision out")
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
    wanted = method_class(method).suited(method_settings(method, settings), on_gpu=on_gpu)
    if wanted.batch_size % accelerator.num_processes:
        raise Problem(
            f"a batch of {wanted.batch_size} cannot be shared by {accelerator.num_processes} processes",
            do="choose a batch size that is a multiple of the number of processes",
        )
    with accelerator.main_process_first():
        if go_on:
            run = _resumed(folder, method, images, plan, size, wanted, symmetries, with_masks)
        elif accelerator.is_main_process:
            run = _started(folder, method, images, plan, size, wanted, symmetries, clip_percent, with_masks)
        else:
            run = Run(folder)
    crops = RandomCrops(
        images,
        (run.shape.height, run.shape.width),
        run.record.intensity,
        frozenset(run.record.images.symmetries),
        run.record.plan.seed,
        run.record.with_masks,
    )
    model = run.new_method().to(accelerator.device)
    if go_on and run.has_state:
        state = run.load_state(model)
    else:
        model.prepare(crops(0, PREPARATION_CROPS).to(accelerator.device))
        state = new_state(model)
    if go_on:
        state.finished = plan.fraction(state.seconds, state.images_seen) >= 1.0
    if compiled:
        for name in model.compiled:
            model.get_submodule(name).compile()
    last_saved = state.seconds
    problem: DivergedError | None = None
    with _Journal(run, plan, accelerator, state.images_seen) as journal, _stop_between_steps() as stop:
        try:
            for report in fit(model, crops, plan, state, accelerator):
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


def uses_gpu(cpu: bool) -> bool:
    """Whether work goes to a GPU: where CUDA has one, unless the CPU is asked for. Others are not tested."""
    return torch.cuda.is_available() and not cpu


def _started(
    folder: Path,
    method: str,
    images: ImageSet,
    plan: Plan,
    size: tuple[int, int],
    settings: MethodSettings,
    symmetries: frozenset[str],
    clip_percent: float,
    with_masks: bool,
) -> Run:
    """Check everything, then make the folder: a refused run leaves nothing behind."""
    kind = method_class(method)
    shape = ImageShape(images[0].channels + with_masks, *size)
    kind.sizes(settings).check(method, shape)
    require_room(images, size)
    if with_masks:
        require_masks(images)
    intensity = IntensityMap.of(images, clip_percent)
    with torch.device("meta"):  # to be counted, not to be used
        method_to_count = kind(settings, shape)
    parameters = sum(p.numel() for p in method_to_count.parameters())
    require_space(folder, STATE_PER_WEIGHT * 4 * parameters, f"a run of {method}")
    spacing = {picture.spacing_um for picture in images}
    only = spacing.pop() if len(spacing) == 1 else (float("nan"), float("nan"))
    record = RunRecord(
        method=method,
        settings=settings.model_dump(mode="json"),
        plan=plan,
        shape=(shape.channels, shape.height, shape.width),
        with_masks=with_masks,
        intensity=intensity,
        images=TrainingImages(
            fingerprint=images.fingerprint,
            pictures=len(images),
            specimens=tuple(dict.fromkeys(p.origin.specimen for p in images)),
            independent_fields=independent_fields(images, size),
            symmetries=tuple(sorted(symmetries)),
            spacing_um=stored_spacing(only),
        ),
        parameters=parameters,
        lineage=Lineage.now(),
    )
    return Run.create(new_folder(folder, "the run"), record)


def _resumed(
    folder: Path,
    method: str,
    images: ImageSet,
    plan: Plan,
    size: tuple[int, int],
    settings: MethodSettings,
    symmetries: frozenset[str],
    with_masks: bool,
) -> Run:
    """The run in a folder, if it is the one that is asked for: only the budget may differ."""
    run = Run(folder)
    if run.record.method != method:
        raise Problem(f"{folder} is a run of {run.record.method}, not of {method}", do="name the method of the run")
    if run.record.images.fingerprint != images.fingerprint:
        raise Problem(
            f"{folder} was trained on other images (fingerprint {run.record.images.fingerprint}, these have"
            f" {images.fingerprint})",
            do="give the images that it was started with",
        )
    if run.record.plan.seed != plan.seed:
        raise Problem(f"{folder} was started with seed {run.record.plan.seed}, not {plan.seed}", do="give that seed")
    for what, started, wanted in (
        ("crops of", (run.shape.height, run.shape.width), size),
        ("masks:", run.record.with_masks, with_masks),
        ("symmetries", run.record.images.symmetries, tuple(sorted(symmetries))),
        *(
            (f"setting {name} =", run.record.settings.get(name), value)
            for name, value in settings.model_dump(mode="json").items()
        ),
    ):
        if started != wanted:
            raise Problem(
                f"{folder} was started with {what} {started}, not {wanted}",
                do="give what it was started with, or start a new run",
            )
    return run


class _Journal:
    """Progress on the terminal, in progress.jsonl and for TensorBoard; on the main process only."""

    def __init__(self, run: Run, plan: Plan, accelerator: Accelerator, images_seen: int) -> None:
        self.run, self.plan = run, plan
        self.main = accelerator.is_main_process
        self.images_seen = images_seen
        self.last_written = -REPORT_EVERY_SECONDS
        self.sums: dict[str, tuple[float, int]] = {}

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
        for name, value in report.losses.items():
            total, count = self.sums.get(name, (0.0, 0))
            self.sums[name] = (total + value, count + 1)
        if report.seconds - self.last_written < REPORT_EVERY_SECONDS and report.fraction < 1:
            return
        self.last_written = report.seconds
        losses = {name: total / count for name, (total, count) in self.sums.items()}
        self.sums = {}
        line = {
            "step": report.step,
            "images_seen": report.images_seen,
            "seconds": round(report.seconds, 3),
            "losses": {name: round(value, 6) for name, value in losses.items()},
            "gradient_norms": {name: round(value, 6) for name, value in report.gradient_norms.items()},
        }
        self.file.write(json.dumps(line) + "\n")
        self.file.flush()
        for name, value in losses.items():
            self.tensorboard.add_scalar(f"loss/{name}", value, report.images_seen)
        shown = "  ".join(f"{name} {value:.3g}" for name, value in losses.items())
        self.bar.update(self.task, completed=report.fraction, losses=shown)

    def __exit__(self, *_: object) -> None:
        if self.main:
            self.bar.stop()
            self.file.close()
            self.tensorboard.close()


@contextmanager
def _stop_between_steps() -> Iterator[threading.Event]:
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
