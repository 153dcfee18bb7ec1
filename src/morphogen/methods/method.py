"""The contract of a generative method: one file, one paper.

A method says which of its sub-modules are trained by which optimiser and how often (its phases), what
the loss of each phase is, and how images are drawn. The loop, devices, checkpoints, averaging and
logging are not its business. To add one, see docs/add_a_method.md.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from torch import Tensor, nn

from morphogen.catalogue import Catalogue
from morphogen.mathematics.randomness import Randomness
from morphogen.problems import Problem, as_problem


class MethodSettings(BaseModel):
    """What every method can be told. A method's ``Settings`` adds its own."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    batch_size: int = Field(default=32, ge=1, description="images a step, over all processes together")


@dataclass(frozen=True, slots=True)
class ImageShape:
    """Shape of the images that a method makes."""

    channels: int
    height: int
    width: int


@dataclass(frozen=True, slots=True)
class Sizes:
    """Which heights and widths a method can take: multiples of a number, from a least one up."""

    multiple_of: int
    at_least: int

    def check(self, method: str, shape: ImageShape) -> None:
        """Refuse a shape before anything is trained.

        Raises:
            Problem: it does not fit; the message says which sizes do.
        """
        fits = all(n % self.multiple_of == 0 and n >= self.at_least for n in (shape.height, shape.width))
        if not fits:
            least = -(-self.at_least // self.multiple_of) * self.multiple_of
            examples = ", ".join(str(least + i * self.multiple_of) for i in range(4))
            raise Problem(
                f"{method} cannot take images of {shape.height} x {shape.width}",
                do=f"choose height and width among {examples}, ... (multiples of {self.multiple_of})",
            )


@dataclass(frozen=True, slots=True)
class Phase:
    """One kind of step: what it trains (by Adam), how often, how fast.

    Phases that train the same sub-modules share one optimiser, and must agree on its settings: with
    moments of its own, Adam would scale a lazy penalty to full size whatever its weight.

    Attributes:
        name: given to ``loss``.
        trains: sub-modules whose parameters it moves.
        every: runs in every so many steps only.
        learning_rate: at its highest.
        betas: decay of Adam's two moments.
        falls: whether the learning rate falls to zero as a half cosine over the budget.
        warm_up_images: images over which the learning rate rises from zero.
    """

    name: str
    trains: tuple[str, ...]
    every: int = 1
    learning_rate: float = 2e-4
    betas: tuple[float, float] = (0.9, 0.999)
    falls: bool = False
    warm_up_images: int = 0


@dataclass(frozen=True, slots=True)
class Batch:
    """Training images ``(B, channels, height, width)`` in [-1, 1]."""

    images: Tensor


@dataclass(frozen=True, slots=True)
class Loss:
    """The scalar to descend, and the parts of it that a person may want to watch."""

    total: Tensor
    parts: Mapping[str, Tensor]


@dataclass(frozen=True, slots=True)
class SampleRequest:
    """What to draw. ``steps`` is the number of solver steps, where a method has a solver."""

    steps: int | None = None


class Trainable(nn.Module, ABC):
    """What the loop needs to know of a network to train it; it need not be able to draw images.

    Class attributes:
        averaged: sub-modules that are used with weights averaged over training.
        averaging_half_life: images over which an averaged weight forgets half of its past.

    Attributes:
        phases: the kinds of step, in their order.
        settings: what it was built from; the loop reads the batch size.
    """

    averaged: ClassVar[tuple[str, ...]] = ()
    averaging_half_life: ClassVar[int] = 10_000
    phases: tuple[Phase, ...]

    def __init__(self, settings: MethodSettings) -> None:
        super().__init__()
        self.settings = settings

    @abstractmethod
    def loss(self, phase: str, batch: Batch, randomness: Randomness) -> Loss:
        """Loss of one phase, a mean over images, so that two half batches average to the whole one.

        Args:
            phase: name of the phase.
            batch: training images.
            randomness: one stream an image; the only source of chance.
        """


class GenerativeMethod(Trainable):
    """Base of all methods.

    Class attributes:
        title: how the field calls it.
        compiled: sub-modules that gain from torch.compile. None that a penalty differentiates twice, which
            compiled modules don't allow.

    Attributes:
        shape: of the images that it makes.
    """

    title: ClassVar[str]
    compiled: ClassVar[tuple[str, ...]] = ()

    def __init__(self, settings: MethodSettings, shape: ImageShape) -> None:
        super().__init__(settings)
        self.shape = shape

    @classmethod
    def suited(cls, settings: Any, *, on_gpu: bool) -> Any:
        """The settings with what was left open chosen for the device; what is returned goes on record."""
        return settings

    @classmethod
    @abstractmethod
    def sizes(cls, settings: Any) -> Sizes:
        """Image sizes that can be taken under these settings."""

    def prepare(self, images: Tensor) -> None:
        """Measure what must be known of the data, once, before training starts; by default nothing.

        What is measured belongs into a buffer, so that it is saved with the weights.

        Args:
            images: a sample of training images ``(n, channels, height, width)`` in [-1, 1].
        """

    @abstractmethod
    def sample(self, request: SampleRequest, randomness: Randomness) -> Tensor:
        """Images in [-1, 1], one a stream: ``(len(randomness), channels, height, width)``."""


METHODS = Catalogue("morphogen.methods", "method", frozenset({"method"}))


def method_names() -> list[str]:
    """The methods there are: the files of this folder."""
    return METHODS.names()


def method_class(name: str) -> type[GenerativeMethod]:
    """The class of a method by its file name.

    Raises:
        Problem: there is no such method.
    """
    return METHODS.module(name).Method  # type: ignore[no-any-return]


def method_settings(name: str, given: Mapping[str, Any] | None = None) -> MethodSettings:
    """A method's settings: its defaults, changed by what is given.

    Raises:
        Problem: no such method or setting, or a value that it cannot take.
    """
    try:
        return METHODS.module(name).Settings.model_validate(dict(given or {}))  # type: ignore[no-any-return]
    except ValidationError as error:
        raise as_problem(error, f"settings of {name}", METHODS.module(name).Settings) from None
