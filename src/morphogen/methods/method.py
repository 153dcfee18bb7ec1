"""The contract of a generative method: one file, one paper.

A method says which of its sub-modules are trained by which optimiser and how often (its phases), what
the loss of each phase is, and how images are drawn. The loop, devices, checkpoints, averaging and
logging are not its business. To add one, see docs/add_a_method.md.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Literal, Protocol, runtime_checkable

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from torch import Tensor, nn

from morphogen.catalogue import Catalogue
from morphogen.images.conditions import Conditions
from morphogen.images.cropping import Batch
from morphogen.mathematics.randomness import Randomness
from morphogen.problems import Problem, as_problem

__all__ = [
    "METHODS",
    "Batch",
    "GenerativeMethod",
    "ImageLearner",
    "ImageShape",
    "Loss",
    "MethodSettings",
    "Phase",
    "Reconstructs",
    "SampleRequest",
    "Sizes",
    "StyleBased",
    "Task",
    "Trainable",
    "method_class",
    "method_names",
    "method_settings",
    "with_lazy_penalty",
]


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
class Task:
    """What a method is to learn.

    Attributes:
        shape: of the images.
        conditions: what they are conditioned on; empty for nothing.
        augmentations: what may be done to an image in front of a discriminator so that it still is one of this kind,
            some of ``specimens.specimen.AUGMENTATIONS``.
        mask_channels: how many of the last channels are masks.
        context_channels: channels of the image in register that is told with each image; 0 for none.
        image_vector: length of the vector of a CLIP that is told of each image, or that is learnt; 0 for none.
    """

    shape: ImageShape
    conditions: Conditions = field(default_factory=Conditions)
    augmentations: frozenset[str] = frozenset()
    mask_channels: int = 0
    context_channels: int = 0
    image_vector: int = 0

    @property
    def widths(self) -> tuple[int, ...]:
        """Length of each part of the vector that is told of an image: its own vector, its conditions, a text's last."""
        return (*((self.image_vector,) if self.image_vector else ()), *self.conditions.widths)

    @property
    def tells(self) -> bool:
        """Whether anything is told of an image."""
        return bool(self.conditions or self.context_channels or self.image_vector)


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
        warm_up_images: images, of those that its optimiser learnt from, over which the learning rate rises from zero.
        during: the share of the budget at which it begins, and at which it ends. Over this part its rate falls.
        clips: whether a gradient longer than the plan's limit is shortened. Not where phases share an optimiser and
            the weight of a penalty is to count: shortened one by one, their gradients lose their ratio.
    """

    name: str
    trains: tuple[str, ...]
    every: int = 1
    learning_rate: float = 2e-4
    betas: tuple[float, float] = (0.9, 0.999)
    falls: bool = False
    warm_up_images: int = 0
    clips: bool = True
    during: tuple[float, float] = (0.0, 1.0)

    def runs(self, fraction: float) -> bool:
        """Whether it runs at a share of the budget; what ends with the budget also runs in a last step beyond it."""
        return self.during[0] <= fraction and (fraction < self.during[1] or self.during[1] >= 1)


def with_lazy_penalty(phase: Phase, penalty: str, every: int) -> tuple[Phase, ...]:
    """A phase and a penalty on what it trains that comes in every so many steps only.

    Both share an optimiser, so its rate and memory are shortened by the share of steps without the penalty, as if there
    were none (Karras et al. 2020, arXiv:1912.04958, appendix B: c = k / (k + 1)).

    Args:
        phase: as it would be without the penalty.
        penalty: name of the penalty's phase.
        every: steps between two penalties; 0 for none.
    """
    if not every:
        return (phase,)
    share = every / (every + 1)
    first, second = phase.betas
    main = replace(phase, learning_rate=phase.learning_rate * share, betas=(first**share, second**share))
    return main, replace(main, name=penalty, every=every)


@dataclass(frozen=True, slots=True)
class Loss:
    """What a phase finds.

    Attributes:
        total: the scalar to descend.
        parts: scalars that a person may want to watch; means over images, like the total.
        kept: tensors with one row an image, which ``observe`` gets back from all processes.
    """

    total: Tensor
    parts: Mapping[str, Tensor]
    kept: Mapping[str, Tensor] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SampleRequest:
    """What to draw.

    Attributes:
        steps: solver steps, where a method has a solver.
        condition: vectors ``(n, width)``, where the method is conditioned; it must be given then.
        text: vectors of texts ``(n, text width)``, where the method was trained with texts.
        tokens: their states a token, as in ``Batch``.
        context: images in register ``(n, context channels, height, width)``, where the method was trained with them;
            of the size of the images to be drawn.
        image_vector: vectors of a CLIP ``(n, d)`` that the images are to have, where the method was trained with such
            vectors; it must be given then. A row of NaN is not told.
        sources: images ``(n, channels, height, width)`` in [-1, 1] to translate, where the method translates; of
            any size that the method's ``sizes`` allow.
        reverse: translate the other way, from images like the training images to images like the sources.
        truncation: how far styles may be from their mean, 0 to 1, where the method is style-based; None for its
            own choice.
        solver: name of a file of ``mathematics.solvers``, where the method is a denoiser; None for its own choice.
        guidance: weight of the condition, where the method is a conditioned denoiser; None for its own choice.
        image_guidance: weight of the image in register, where the method has two guidances; None for its own choice.
        guidance_interval: lowest and highest noise level that is guided; None for its own choice.
        size: height and width of the images, where the method is a denoiser and they are larger than those of training.
        overlap: pixels that the windows share at least through which such images are seen; None for its own choice.
    """

    steps: int | None = None
    condition: Tensor | None = None
    text: Tensor | None = None
    tokens: Tensor | None = None
    context: Tensor | None = None
    image_vector: Tensor | None = None
    sources: Tensor | None = None
    reverse: bool = False
    truncation: float | None = None
    solver: str | None = None
    guidance: float | None = None
    image_guidance: float | None = None
    guidance_interval: tuple[float, float] | None = None
    size: tuple[int, int] | None = None
    overlap: int | None = None


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

        A loss that holds each image against all others of the batch gathers their rows first; the means over the
        images of each process then average to the whole one too (``networks.gathered_rows``).

        Args:
            phase: name of the phase.
            batch: training images.
            randomness: one stream an image; the only source of chance.
        """

    def begin(self, phase: str, batches: Callable[[int, int], Batch]) -> None:
        """Get ready for a phase, before its first step and again where a run is resumed within it; by default nothing.

        The place for what needs networks that an earlier phase has trained. What cannot be computed again to the bit
        belongs into buffers.

        Args:
            phase: its name.
            batches: (first, count) to training images by running number, the same on all processes.
        """

    def observe(self, parts: Mapping[str, Tensor], kept: Mapping[str, Tensor]) -> None:
        """Take in what a phase found, after its step; by default nothing.

        The place for whatever adapts itself: all processes are given the same. What is remembered belongs into
        buffers, so that it is saved with the weights.

        Args:
            parts: of the loss, averaged over processes.
            kept: of the loss, rows of all images of the global batch in their order.
        """


class ImageLearner(Trainable):
    """What ``training.train`` can train on crops of an image set, whether or not it can draw images.

    Class attributes:
        title: how the field calls it.
        compiled: sub-modules that gain from torch.compile. None that a penalty differentiates twice, which
            compiled modules don't allow.
        conditional: whether it cannot, may or must be conditioned on something.
        reads_text: whether one of its conditions may be a free text.
        takes_context: whether it can be told an image in register, as a mask.
        needs_context: whether it must be told one.
        translates: whether it makes its images from those of another set.
        learns_from: whether it needs a trained method to learn from.
        learns_captions: whether it learns which captions belong to which images, and is told nothing else.
        takes_image_vector: whether it can be told the vector that a CLIP has of an image.
        learns_image_vectors: whether it learns such vectors, and so needs a CLIP.

    Attributes:
        task: what it is to learn.
        shape: of the images that it learns from.
    """

    title: ClassVar[str]
    compiled: ClassVar[tuple[str, ...]] = ()
    conditional: ClassVar[Literal["no", "may", "must"]] = "no"
    reads_text: ClassVar[bool] = False
    takes_context: ClassVar[bool] = False
    needs_context: ClassVar[bool] = False
    translates: ClassVar[bool] = False
    learns_from: ClassVar[bool] = False
    learns_captions: ClassVar[bool] = False
    takes_image_vector: ClassVar[bool] = False
    learns_image_vectors: ClassVar[bool] = False

    def __init__(self, settings: MethodSettings, task: Task) -> None:
        super().__init__(settings)
        self.task, self.shape = task, task.shape

    @classmethod
    def suited(cls, settings: Any, *, on_gpu: bool) -> Any:
        """The settings with what was left open chosen for the device; what is returned goes on record."""
        return settings

    @classmethod
    @abstractmethod
    def sizes(cls, settings: Any) -> Sizes:
        """Image sizes that can be taken under these settings."""

    def learn_from(self, teacher: "GenerativeMethod") -> None:
        """Be taught by a trained method, before training starts and again where it is resumed, if ``learns_from``.

        Raises:
            TypeError: it learns from images alone.
        """
        raise TypeError(f"{self.title} learns from images alone")

    def prepare(self, images: Tensor) -> None:
        """Measure what must be known of the data, once, before training starts; by default nothing.

        What is measured belongs into a buffer, so that it is saved with the weights.

        Args:
            images: a sample of training images ``(n, channels, height, width)`` in [-1, 1].
        """


class GenerativeMethod(ImageLearner):
    """Base of all methods that draw images.

    Attributes:
        learnt_through: name of the pretrained features (a file of ``pretrained``) whose sight of images it was
            trained to please, so that nobody takes a distance over these features for evidence; "" for none.
    """

    learnt_through: str = ""

    @abstractmethod
    def sample(self, request: SampleRequest, randomness: Randomness) -> Tensor:
        """Images in [-1, 1], one a stream: ``(len(randomness), channels, height, width)``."""


@runtime_checkable
class StyleBased(Protocol):
    """A method whose images are made from styles, which can be blended, mixed, and found for a measured image.

    ``sample`` draws z first, as ``randomness.normal(latent_dimensions)``, and gives the same randomness to
    ``synthesise``; where no truncation is asked, it uses the default of ``styles``.

    Attributes:
        style_layers: number of layers that have a style each.
        latent_dimensions: length of z.
    """

    style_layers: int
    latent_dimensions: int

    def mean_style(self) -> Tensor:
        """The average style ``(style_dimensions,)``."""

    def styles(self, z: Tensor, condition: Tensor | None = None, truncation: float = 1.0) -> Tensor:
        """Latent vectors ``(B, latent_dimensions)`` to styles ``(B, style_layers, style_dimensions)``."""

    def synthesise(self, styles: Tensor, randomness: Randomness | None = None) -> Tensor:
        """Images ``(B, channels, height, width)`` of styles; without randomness the noise inputs are zero."""


@runtime_checkable
class Reconstructs(Protocol):
    """A method that contains an autoencoder, whose loss of detail its images cannot be without."""

    def reconstruct(self, images: Tensor) -> Tensor:
        """Images ``(B, channels, height, width)`` in [-1, 1] as the autoencoder gives them back, without chance."""


METHODS = Catalogue("morphogen.methods", "method", frozenset({"method", "denoising"}))


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
