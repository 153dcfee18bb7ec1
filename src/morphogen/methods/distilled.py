"""A student that makes in one to four steps what a denoising run makes in many. ``morphogen distil`` trains it.

The noise levels of sampling are cut into as many segments as the student has steps, sigma_0 > ... > sigma_{n-1} > 0. A
training image x_0 gets noise of a level in one of them, x = x_0 + sigma n. From there the teacher follows its
probability flow down to the end of the segment, sigma' (for the last one: to its lowest level, and its estimate there),
and the student, which starts as the teacher, is to make that way at once, by a step of DDIM:

    x' = D + r (x - D),   r = sigma' / sigma,   so that the D which it has to find is (x' - r x) / (1 - r)

    L = E (1 + 1 / sigma^2) || D_student(x, sigma) - (x' - r x) / (1 - r) ||^2

with the weight of Karras et al. 2022 (arXiv:2206.00364), which makes it the plain squared error of v. It samples by
n steps of DDIM from boundary to boundary. Nothing else is sound: the student knows where to jump from a boundary
to the next, so that fewer steps than it has learnt, or more, are refused.

What D has to be is a mean of the teacher's own estimates on the way: dx/dsigma = (x - D) / sigma gives

    (x' - r x) / (1 - r) = integral of D d(1/sigma) / integral of d(1/sigma)     from sigma to sigma'

and is computed as that (``mean_estimate``). So no large x is taken from a large x'. The teacher is asked at a few
levels between; D is the polynomial through its estimates, in q = asinh(log sigma + 1), the coordinate of
``noise_levels.decisive_steps``, and the integral is exact. Each level is reached by the same integral over the levels
before it (an exponential Runge-Kutta method, and, as the last level is the end of the segment, corrected by it like
UniPC, Zhao et al. 2023, arXiv:2302.04867). Root mean square error of D for four segments from 80 to 0.01 of crops of a
rock (a mixture of 24 Gaussians around them), 4 evaluations:

    segment                                        1        2        3        4
    DDIM                                       0.186    0.030    0.024    0.011
    DPM-Solver++(2M)                           0.092    0.008    0.005    0.004
    Heun, 2 steps                              0.611    0.034    0.010    0.001
    Runge-Kutta 4 in log sigma, 1 step         0.187    0.024    0.002    0.004
    this, evenly in log sigma                  0.075    0.011    0.002    0.006
    this, as described                         0.064    0.011    0.001    0.002

Boundaries are even in q too. Evenly in log sigma, one of four segments would go to levels at which no image is decided.

Half of the images start at a boundary, from which sampling starts; the others in the upper three quarters of log sigma
of their segment, so that the student knows the neighbourhood of what it is asked. Near the lower end, where r is near
1, there is nothing to learn: D is the teacher's own, nobody asks for it, and 1 / (1 - r) magnifies what the solver does
wrong.

Compared with others. Luhman, Luhman 2021 (arXiv:2101.02388) have one segment, and draw a whole image of noise with all
steps of the teacher for each training example; here the way is a few evaluations long, and begins at measured images.
Salimans, Ho 2022 (arXiv:2202.00512) halve the number of steps again and again, each student the teacher of the next, so
that errors add up; here all is learnt from the first teacher, in one training. Multistep consistency models (Heek,
Hoogeboom, Salimans 2024, arXiv:2403.06807) have the same segments, but learn the jump from the student's own jump a
little farther down: cheaper a step, with a schedule of those little steps to choose and errors that feed on themselves.
The price here is the teacher's evaluations in each step. Like all of them, it follows the teacher and cannot be better.
"""

import copy
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
import torch
from pydantic import Field, model_validator
from torch import Tensor

from morphogen.mathematics.noise_levels import Denoiser, decisive_steps, per_image
from morphogen.mathematics.preconditioning import edm_weight
from morphogen.mathematics.randomness import Randomness
from morphogen.methods.denoising import DenoisingMethod, Given
from morphogen.methods.method import (
    Batch,
    GenerativeMethod,
    Loss,
    MethodSettings,
    Phase,
    SampleRequest,
    Sizes,
    Task,
    method_class,
    method_settings,
)
from morphogen.networks.seen_vectors import SeenVectors
from morphogen.problems import Problem

_AT_A_BOUNDARY = 0.5  # share of the images
_FARTHEST = 0.75  # of a segment's log sigma, from its upper end, where others start
_EARLY = 1.3  # power of even shares: levels are closer where the flow leaves what it does not know yet
_PLACES, _WEIGHTS = np.polynomial.legendre.leggauss(24)
_WARM_UP_STEPS = 40  # of Adam's second moment


class Settings(MethodSettings):
    """Settings of a student."""

    batch_size: int = Field(default=16, ge=1, description="images a step, over all processes together")
    learning_rate: float = Field(default=1e-3, gt=0, description="at its highest; it falls as a cosine")
    teacher: str = Field(default="ddpm", description="method of the run that is distilled, which says it")
    teacher_settings: dict[str, Any] = Field(default={}, description="settings of that run, which says them")
    steps: int = Field(default=4, ge=1, le=4, description="steps in which an image is drawn")
    teacher_evaluations: int = Field(
        default=4, ge=2, le=6, description="how often the teacher is asked on its way through a segment"
    )
    guidance: float | None = Field(
        default=None, ge=0, description="weight of the condition that is learnt; by default as the teacher draws"
    )

    @model_validator(mode="after")
    def _teacher_is_a_denoiser(self) -> "Settings":
        kind = method_class(self.teacher)
        if not issubclass(kind, DenoisingMethod) or kind.learns_from:
            raise ValueError(f"a teacher that denoises, and {self.teacher} does not")
        method_settings(self.teacher, self.teacher_settings)
        return self

    @property
    def condition_dropout(self) -> float:
        """A student is always told its conditions: guidance is learnt, and cannot be asked for afterwards."""
        return 0.0


class Method(DenoisingMethod):
    """A student of a denoising method.

    It holds one whole method of the teacher's kind, of which it learns the network; everything else in it is the
    teacher's, held as buffers. The teacher itself is no part of it, and of no checkpoint.
    """

    title = "distilled diffusion"
    averaged = ("student",)
    compiled = ("student.network",)
    learns_from: ClassVar[bool] = True
    settings: Settings  # type: ignore[assignment]  # levels, targets and solver are those of the student inside

    def __init__(self, settings: Settings, task: Task) -> None:
        # Past the initialisation of DenoisingMethod: mean, deviation and network are those of the student inside.
        GenerativeMethod.__init__(self, settings, task)
        student = method_class(settings.teacher)(method_settings(settings.teacher, settings.teacher_settings), task)
        assert isinstance(student, DenoisingMethod)
        _hold_still_all_but(student.network, student)
        self.student = student
        self.learnt_through = student.learnt_through
        self._teacher: tuple[DenoisingMethod, ...] = ()  # a tuple, and so no sub-module
        self.phases = (
            Phase(
                "distillation",
                trains=("student",),
                learning_rate=settings.learning_rate,
                betas=(0.9, 0.99),
                falls=True,
                warm_up_images=_WARM_UP_STEPS * settings.batch_size,
            ),
        )

    @classmethod
    def sizes(cls, settings: Settings) -> Sizes:
        """Those of the teacher."""
        return method_class(settings.teacher).sizes(method_settings(settings.teacher, settings.teacher_settings))

    @property
    def inside(self) -> tuple[int, ...]:
        """Shape of one image where noise is added."""
        return self.student.inside

    @property
    def begun(self) -> bool:
        """Whether there is anything to draw from."""
        return self.student.begun

    def learn_from(self, teacher: GenerativeMethod) -> None:
        """Start as the teacher, and be taught by it. A student without a teacher is taught by what it was at first."""
        assert isinstance(teacher, DenoisingMethod)
        self.student.load_state_dict(teacher.state_dict())
        self._teacher = (teacher.eval().requires_grad_(False),)

    def prepare(self, images: Tensor) -> None:
        """Nothing: the teacher has measured the images."""

    def begin(self, phase: str, batches: Callable[[int, int], Batch]) -> None:
        """Nothing: what the teacher has kept of training crops, the student has from it."""

    @property
    def seen_vectors(self) -> SeenVectors | None:
        """Those of the teacher."""
        return self.student.seen_vectors

    def loss(self, phase: str, batch: Batch, randomness: Randomness) -> Loss:
        """Squared error of the jump, weighted as that of v."""
        if not self._teacher:
            self.learn_from(copy.deepcopy(self.student))
        (teacher,) = self._teacher
        with torch.no_grad():
            x0 = self.student.encode(batch.images, randomness)
            teacher.to(x0.device)
            sigma, following = self.jumps(randomness.uniform(2))
            x = x0 + per_image(sigma, x0) * randomness.normal(*x0.shape[1:])
            wanted = self.goal(teacher.denoiser(self._asked_of_teacher(batch)), x, sigma, following)
        said = self.student.denoise(x, sigma, self.student.given(batch))
        error = edm_weight(sigma) * (said - wanted).square().flatten(1).mean(1)  # (B,)
        return Loss(error.mean(), {"distillation": error.mean()})

    def jumps(self, u: Tensor) -> tuple[Tensor, Tensor]:
        """Where jumps start in training, and where they end: ``(B,)`` each; 0 at the end of the last segment.

        Args:
            u: from U[0, 1), ``(B, 2)``.
        """
        boundaries = self.sampling_levels(self.settings.steps).to(u.device)
        ends = torch.cat([boundaries[1:], boundaries.new_zeros(1)])
        segment = (u[:, 0].double() * self.settings.steps).long()
        upper, lower = boundaries[segment], ends[segment].clamp(min=self.student.settings.lowest_noise)
        share = _FARTHEST * (u[:, 1].double() - _AT_A_BOUNDARY).clamp(min=0) / (1 - _AT_A_BOUNDARY)
        return (upper * (lower / upper) ** share).to(u.dtype), ends[segment].to(u.dtype)

    def goal(self, denoise: Denoiser, x: Tensor, sigma: Tensor, following: Tensor) -> Tensor:
        """What the student's estimate has to be, ``(B, ...)``.

        Args:
            denoise: of the teacher.
            x: noisy images.
            sigma: their noise levels, ``(B,)``.
            following: where the jumps end, ``(B,)``; at 0, the teacher's estimate at its lowest level is wanted.
        """
        low = torch.full_like(following, self.student.settings.lowest_noise)
        way, last = mean_estimate(denoise, x, sigma, torch.maximum(following, low), self.settings.teacher_evaluations)
        return torch.where(per_image(following, x) > 0, way, last)

    def predict(self, x: Tensor, level: Tensor, given: Given) -> Tensor:
        """What the student's network says."""
        return self.student.predict(x, level, given)

    def decode(self, x0: Tensor) -> Tensor:
        """As the teacher does."""
        return self.student.decode(x0)

    def denoiser(self, request: SampleRequest, given: Given | None = None) -> Denoiser:
        """The student's estimates, without guidance, which it has learnt; through windows where they are asked."""
        return self.student.denoiser(replace(request, guidance=1.0, image_guidance=1.0), given)

    def sampling_levels(self, steps: int) -> Tensor:
        """The boundaries of the segments: ``(steps,)`` falling float64."""
        inner = self.student.settings
        return decisive_steps(steps + 1, inner.lowest_noise, inner.highest_noise)[:-1]

    def sample(self, request: SampleRequest, randomness: Randomness) -> Tensor:
        """Jump from noise to images.

        Raises:
            Problem: another number of steps than it has learnt, a solver, or guidance.
        """
        steps = self.settings.steps
        if request.steps not in (None, steps):
            raise Problem(
                f"this student has learnt to draw in {steps} step{'s' * (steps > 1)}, and in no other number",
                do=f"leave the {request.steps} steps out, or distil another student",
            )
        if request.solver not in (None, "ddim"):
            raise Problem("a student jumps and has no solver", do=f"leave {request.solver} out")
        if request.guidance is not None or request.guidance_interval is not None:
            raise Problem("a student has learnt its guidance", do="leave it out, or distil with another")
        return super().sample(replace(request, steps=steps, solver="ddim"), randomness)

    def _asked_of_teacher(self, batch: Batch) -> SampleRequest:
        return SampleRequest(
            condition=batch.condition, text=batch.text, tokens=batch.tokens, context=batch.context,
            image_vector=batch.image_vector,
            guidance=self.settings.guidance,
        )  # fmt: skip


def mean_estimate(
    denoise: Denoiser, x: Tensor, sigma: Tensor, following: Tensor, evaluations: int
) -> tuple[Tensor, Tensor]:
    """The mean of D along the probability flow, over 1 / sigma, and the last estimate: ``(B, ...)`` each.

    Args:
        denoise: the denoiser whose flow is followed.
        x: where it starts, ``(B, ...)``.
        sigma: noise levels there, ``(B,)``.
        following: lower and positive levels where it ends, ``(B,)``.
        evaluations: how often the denoiser is asked; at the start, and, from two on, at the end.
    """
    shares = [(j / (evaluations - 1)) ** _EARLY for j in range(evaluations)] if evaluations > 1 else [0.0]
    start, end = (-torch.asinh(level.double().log() + 1) for level in (sigma, following))  # rising
    estimates: list[Tensor] = []
    at, level = x, sigma
    for j, share in enumerate(shares):
        if j:
            mean = _combined(estimates, _quadrature(start, end, shares[:j], share))
            level = torch.exp(torch.sinh(-(start + (end - start) * share)) - 1).to(sigma.dtype)
            ratio = per_image(level / sigma, x)
            at = ratio * x + (1 - ratio) * mean
        estimates.append(denoise(at, level))
    return _combined(estimates, _quadrature(start, end, shares, 1.0)), estimates[-1]


def _quadrature(start: Tensor, end: Tensor, nodes: Sequence[float], share: float) -> list[Tensor]:
    """Weights ``(B,)`` of estimates at the nodes in the mean, over 1 / sigma, of the polynomial through them.

    Args:
        start: -asinh(log sigma + 1) of the upper level.
        end: that of the lower one.
        nodes: where on the way, 0 to 1, the estimates are.
        share: how far the mean goes.
    """
    places, weights = (torch.from_numpy(v).to(start) for v in ((_PLACES + 1) / 2 * share, _WEIGHTS))
    q = start[:, None] + (end - start)[:, None] * places  # (B, places)
    # d(1 / sigma) = cosh(q) / sigma dq, with sigma over that of the last place, to keep exp within its range.
    logarithm = 1 - torch.sinh(-q)
    measure = weights * torch.cosh(q) * torch.exp(logarithm - logarithm[:, -1:])
    measure = measure / measure.sum(1, keepdim=True)
    found = []
    for j, node in enumerate(nodes):
        others = [other for k, other in enumerate(nodes) if k != j]
        lagrange = torch.ones_like(places)
        for other in others:
            lagrange = lagrange * (places - other) / (node - other)
        found.append((measure * lagrange).sum(1))
    return found


def _combined(estimates: Sequence[Tensor], weights: Sequence[Tensor]) -> Tensor:
    total = torch.zeros_like(estimates[0])
    for estimate, weight in zip(estimates, weights, strict=True):
        total = total + per_image(weight, estimate) * estimate
    return total


def _hold_still_all_but(learning: torch.nn.Module, whole: torch.nn.Module) -> None:
    """Turn the parameters of all other parts into buffers, which a phase that trains the whole does not move."""
    learnt = {id(parameter) for parameter in learning.parameters()}
    for module in whole.modules():
        for name, parameter in list(module.named_parameters(recurse=False)):
            if id(parameter) not in learnt:
                delattr(module, name)
                module.register_buffer(name, parameter.detach())
