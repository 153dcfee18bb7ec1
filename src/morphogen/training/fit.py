"""The only training loop. It knows phases and losses; it does not know what a VAE, a GAN, a DDPM or a U-Net is.

Device, precision and processes are accelerate's. Every process takes its share of one global batch, whose
crops and noise depend on the running number of the image alone; gradients are averaged over processes
in one message a phase. So two processes train the weights that one would, and a resumed run continues bit
for bit where the stopped one would have gone.
"""

import math
import time
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from accelerate import Accelerator
from pydantic import BaseModel, ConfigDict, Field, model_validator
from torch import Tensor, nn

from morphogen.mathematics.randomness import Randomness
from morphogen.methods.method import Phase, Trainable
from morphogen.training.ahead import Ahead, Batches
from morphogen.training.weight_averaging import AveragedWeights

_NOISE = 1000  # streams of phase i have purpose _NOISE + i: kept apart from crops and from samples


class Plan(BaseModel):
    """How long and how to train; recorded with the run. Exactly one budget is given.

    Attributes:
        seconds: budget in seconds of training, kept over stops and resumptions.
        images: budget in images seen.
        seed: of weights, crops and noise.
        clip_norm: gradients of a phase that clips are scaled down to this norm.
        precision: "fp32", or "bf16" on a GPU or a CPU that has instructions for it.
        compile: sub-modules were compiled with torch.compile; on a GPU only.
        save_every_seconds: time between checkpoints.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    seconds: float | None = Field(default=None, gt=0)
    images: int | None = Field(default=None, ge=1)
    seed: int = Field(default=0, ge=0)
    clip_norm: float = Field(default=1.0, gt=0)
    precision: str = Field(default="fp32", pattern="^(fp32|bf16)$")
    compile: bool = False
    save_every_seconds: float = Field(default=60.0, gt=0)

    @model_validator(mode="after")
    def _one_budget(self) -> "Plan":
        if (self.seconds is None) == (self.images is None):
            raise ValueError("a budget in seconds or in images, one of the two")
        return self

    def fraction(self, seconds: float, images_seen: int) -> float:
        """Share of the budget that is used up, 0 to 1."""
        if self.seconds is not None:
            return min(1.0, seconds / self.seconds)
        assert self.images is not None
        return min(1.0, images_seen / self.images)


@dataclass(slots=True)
class TrainingState:
    """Everything that changes while training."""

    optimisers: dict[tuple[str, ...], torch.optim.Adam]
    averaged: AveragedWeights
    step: int = 0
    images_seen: int = 0
    seconds: float = 0.0
    finished: bool = False


@dataclass(frozen=True, slots=True)
class StepReport:
    """What one step did: counters after it, parts of the losses, and norms of the gradients."""

    step: int
    images_seen: int
    seconds: float
    fraction: float
    losses: dict[str, float]
    gradient_norms: dict[str, float] = field(default_factory=dict)
    waited: float = 0.0
    """Seconds of this step in which it waited for its images."""


class NotFiniteError(Exception):
    """A loss or a gradient is not a finite number; no weight was changed by it."""

    def __init__(self, phase: str, step: int) -> None:
        self.phase, self.step = phase, step
        super().__init__(f"phase {phase}, step {step}")


def new_state(method: Trainable) -> TrainingState:
    """Fresh optimisers and averages for a method."""
    optimisers: dict[tuple[str, ...], torch.optim.Adam] = {}
    for phase in method.phases:
        if phase.trains not in optimisers:
            optimisers[phase.trains] = torch.optim.Adam(
                parameters_of(method, phase), lr=phase.learning_rate, betas=phase.betas, fused=True
            )
    return TrainingState(optimisers, AveragedWeights(method, method.averaged, method.averaging_half_life))


def parameters_of(method: nn.Module, phase: Phase) -> list[nn.Parameter]:
    """The parameters that a phase moves, in a fixed order."""
    return [p for name in phase.trains for p in method.get_submodule(name).parameters()]


def learning_rate(phase: Phase, fraction: float, images_learnt: int) -> float:
    """Learning rate of a phase: a linear rise over its first images, then flat or a falling half cosine."""
    rise = min(1.0, (images_learnt + 1) / phase.warm_up_images) if phase.warm_up_images else 1.0
    begins, ends = phase.during
    share = min(max((fraction - begins) / (ends - begins), 0.0), 1.0)
    fall = 0.5 * (1 + math.cos(math.pi * share)) if phase.falls else 1.0
    return phase.learning_rate * rise * fall


def _images_learnt(optimiser: torch.optim.Adam, batch_size: int) -> int:
    """Images that an optimiser has learnt from: Adam counts its steps, also over a resumption."""
    counts = (state.get("step", 0) for state in optimiser.state.values())
    return int(next(counts, 0)) * batch_size


def fit(
    method: Trainable,
    batches: Batches,
    plan: Plan,
    state: TrainingState,
    accelerator: Accelerator,
) -> Generator[StepReport, None, None]:
    """Train until the budget is used up; the caller owns logging, saving and stopping.

    A generator: a report after every step, and nothing that changes anything is in flight between two steps, so that
    leaving the iteration anywhere leaves ``method`` and ``state`` whole. What is in flight is the next batch
    (``ahead``).

    Args:
        method: on the accelerator's device; changed in place.
        batches: (first, count) to images, and what goes with them, by running number.
        plan: budget and seed.
        state: from ``new_state`` or a checkpoint; changed in place.
        accelerator: device, precision and processes.

    Raises:
        NotFiniteError: a loss or gradient became NaN or infinite.
    """
    with Ahead(batches, method.settings.batch_size) as ahead:
        yield from _steps(method, batches, ahead, plan, state, accelerator)


def _steps(
    method: Trainable,
    batches: Batches,
    ahead: Ahead,
    plan: Plan,
    state: TrainingState,
    accelerator: Accelerator,
) -> Generator[StepReport, None, None]:
    count = method.settings.batch_size // accelerator.num_processes
    started = time.perf_counter() - state.seconds
    begun: set[str] = set()
    method.train()
    while not state.finished:
        first = state.images_seen + accelerator.process_index * count
        waited_before = ahead.waited
        last = plan.images is not None and state.images_seen + method.settings.batch_size >= plan.images
        batch = ahead(first, count, last=last).to(accelerator.device)
        torch.manual_seed(_seed_of_step(plan.seed, state.images_seen))  # for dropout and its like
        fraction = plan.fraction(state.seconds, state.images_seen)
        losses: dict[str, Tensor] = {}
        norms: dict[str, Tensor] = {}
        for index, phase in enumerate(method.phases):
            if state.step % phase.every or not phase.runs(fraction):
                continue
            if phase.name not in begun:
                begun.add(phase.name)
                method.begin(phase.name, batches)
            parameters = parameters_of(method, phase)
            _only_these_learn(method, parameters)
            randomness = Randomness.of_images(
                plan.seed, first, count, purpose=_NOISE + index, device=accelerator.device
            )
            with accelerator.autocast():
                found = method.loss(phase.name, batch, randomness)
            accelerator.backward(found.total)
            parts = _average_over_processes(parameters, found.total, found.parts, accelerator)
            norms[phase.name] = torch.nn.utils.clip_grad_norm_(parameters, plan.clip_norm if phase.clips else math.inf)
            if not torch.isfinite(norms[phase.name] + parts["total"]):
                method.zero_grad(set_to_none=True)
                raise NotFiniteError(phase.name, state.step + 1)
            optimiser = state.optimisers[phase.trains]
            for group in optimiser.param_groups:
                group["lr"] = learning_rate(phase, fraction, _images_learnt(optimiser, method.settings.batch_size))
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)
            del parts["total"]
            with torch.no_grad():
                method.observe(parts, _gathered(found.kept, accelerator))
            losses |= parts
        state.step += 1
        state.images_seen += method.settings.batch_size
        state.averaged.update(method, state.images_seen, method.settings.batch_size)
        state.seconds = _agreed_seconds(time.perf_counter() - started, accelerator)
        fraction = plan.fraction(state.seconds, state.images_seen)
        state.finished = fraction >= 1.0
        yield StepReport(
            state.step,
            state.images_seen,
            state.seconds,
            fraction,
            {name: float(value) for name, value in losses.items()},
            {name: float(value) for name, value in norms.items()},
            ahead.waited - waited_before,
        )


def _only_these_learn(method: nn.Module, parameters: Sequence[nn.Parameter]) -> None:
    """Gradients for these parameters alone, which saves the backward pass through the others."""
    method.requires_grad_(False)
    for parameter in parameters:
        parameter.requires_grad_(True)


def _average_over_processes(
    parameters: Sequence[nn.Parameter],
    total: Tensor,
    parts: Mapping[str, Tensor],
    accelerator: Accelerator,
) -> dict[str, Tensor]:
    """Average gradients and loss parts over processes, in one message."""
    named = {"total": total, **parts}
    values = {name: value.detach().float() for name, value in named.items()}
    if accelerator.num_processes == 1:
        return values
    # What a loss does not reach has no gradient, on every process alike; with zeros instead, Adam would count a step.
    pieces = [p.grad for p in parameters if p.grad is not None]
    sizes = [piece.numel() for piece in pieces]
    message = torch.cat([piece.float().flatten() for piece in pieces] + [v.view(1) for v in values.values()])
    message = accelerator.reduce(message, reduction="mean")
    for piece, mean in zip(pieces, message[: sum(sizes)].split(sizes), strict=True):
        piece.copy_(mean.view_as(piece))
    return dict(zip(values, message[sum(sizes) :], strict=True))


def _gathered(kept: Mapping[str, Tensor], accelerator: Accelerator) -> dict[str, Tensor]:
    """Rows of all images of the global batch, in their order."""
    rows = {name: value.detach().float() for name, value in kept.items()}
    if accelerator.num_processes == 1:
        return rows
    return {name: accelerator.gather(value.contiguous()) for name, value in rows.items()}


def _agreed_seconds(seconds: float, accelerator: Accelerator) -> float:
    """The main process' clock, so that all processes stop after the same step."""
    if accelerator.num_processes == 1:
        return seconds
    clock = torch.tensor([seconds if accelerator.is_main_process else 0.0], device=accelerator.device)
    return float(accelerator.reduce(clock, reduction="sum"))


def _seed_of_step(seed: int, images_seen: int) -> int:
    return (seed * 0x9E3779B97F4A7C15 + images_seen) & 0x7FFF_FFFF_FFFF_FFFF
