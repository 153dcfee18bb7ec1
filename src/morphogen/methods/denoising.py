"""What all diffusion methods have in common: a denoiser, whose only coordinate is the noise level.

An image at noise level sigma is x = x_0 + sigma n, for images x_0 brought to mean 0 and variance 1 (see
``mathematics.noise_levels``). A method says at which levels it trains, what its network predicts, and how its network
looks; the rest is here, once: the loss, the estimate D(x, sigma) of x_0, conditions that are left out at random so that
guidance has something to stand on, and sampling, by any solver at any number of steps.

The network sees x / sqrt(1 + sigma^2), of variance 1, and 100 log sigma. On that circle, a = 1 / sqrt(1 + sigma^2) and
b = sigma a, predicting v is the preconditioning of Karras et al. 2022 (arXiv:2206.00364), table 1, up to its sign:
D = a (a x) - b v. Its plain squared error is their loss, with their weighting. Their levels of training, log sigma of
mean -0.5 and deviation 1.2 for images of variance 1, lie too low for textures: where pores go is decided at several
times the images' spread, and with 1.0 and 1.5 a carbonate came out nearer at equal training (docs/results.md). The
levels are weighed by an error that is learnt for each (``networks.level_uncertainty``), which was nearer again.

    L = E w(sigma) || network(a x, 100 log sigma) - (p x_0 + q n) ||^2    (p, q: ``mathematics.prediction_targets``)
"""

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import ClassVar, Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from morphogen.mathematics.guidance import guided
from morphogen.mathematics.noise_levels import (
    PROCESSES,
    Denoiser,
    Flow,
    Level,
    Process,
    add_noise,
    karras_steps,
    log_uniform,
    lognormal,
    per_image,
    uniform_in_time,
)
from morphogen.mathematics.preconditioning import min_snr_weight, plain_weight
from morphogen.mathematics.prediction_targets import Target, clean_image, target
from morphogen.mathematics.randomness import Randomness
from morphogen.mathematics.solvers.solver import solver, solver_names
from morphogen.mathematics.windows import windowed
from morphogen.methods.method import (
    Batch,
    GenerativeMethod,
    Loss,
    MethodSettings,
    Phase,
    SampleRequest,
    Sizes,
    Task,
)
from morphogen.networks.conditioned_unet import GROUPS, ConditionedUNet
from morphogen.networks.level_uncertainty import LevelUncertainty
from morphogen.networks.seen_vectors import SeenVectors

LevelsOfTraining = Literal["lognormal", "log_uniform", "cosine", "vp", "sub_vp", "ve", "flow"]

CPU_PATCH = 4
"""Side of the squares of pixels that become channels where there is no GPU."""

_WARM_UP_STEPS = 40  # of Adam's second moment
_LEVEL_SCALE = 100.0  # of log sigma, so that sinusoids of wavelength 2 pi up to 60 000 resolve it


class DenoisingSettings(MethodSettings):
    """Settings of every denoising method; each has its own defaults."""

    batch_size: int = Field(default=16, ge=1, description="images a step, over all processes together")
    learning_rate: float = Field(default=1e-3, gt=0, description="at its highest; it falls as a cosine")
    levels: LevelsOfTraining = Field(
        default="lognormal",
        description="noise levels of training: log sigma normal or uniform, or uniform in the time of a process",
    )
    level_mean: float = Field(default=1.0, description="mean of log sigma, for lognormal levels")
    level_deviation: float = Field(default=1.5, gt=0, description="its standard deviation")
    shift: float = Field(default=1.0, gt=0, description="factor on the noise levels, for levels of the flow")
    lowest_noise: float = Field(default=0.01, gt=0, description="lowest noise level, images have variance 1")
    highest_noise: float = Field(default=80.0, gt=0, description="highest noise level, where sampling starts")
    predicts: Target = Field(default="v", description="what the network predicts")
    weighting: Literal["plain", "min_snr", "learned"] = Field(
        default="learned",
        description="of the levels in the loss: the prediction's own squared error, Min-SNR, or all alike, by an error"
        " of each level that is learnt",
    )
    solver: str = Field(default="dpm_solver", description="how images are drawn, see docs/solvers.md")
    sample_steps: int = Field(default=20, ge=1, description="noise levels that the solver visits")
    guidance: float = Field(default=1.0, ge=0, description="weight of the condition in sampling; 1 for no guidance")
    guidance_from: float = Field(default=0.0, ge=0, description="lowest noise level that is guided")
    guidance_to: float = Field(default=1e6, gt=0, description="highest noise level that is guided")
    condition_dropout: float = Field(
        default=0.1,
        ge=0,
        lt=1,
        description="share of images, in training, to whose network nothing is told; and again, of each of several"
        " conditions by itself",
    )

    @model_validator(mode="after")
    def _levels_and_solver_fit(self) -> "DenoisingSettings":
        if self.lowest_noise >= self.highest_noise:
            raise ValueError("lowest_noise below highest_noise")
        if self.shift != 1 and self.levels != "flow":
            raise ValueError(f"levels=flow beside a shift: levels={self.levels} have none")
        if self.guidance_from >= self.guidance_to:
            raise ValueError("guidance_from below guidance_to")
        if self.guidance != 1 and not self.condition_dropout:
            raise ValueError("condition_dropout above 0, for guidance needs a network that was at times told nothing")
        if self.solver not in solver_names():
            raise ValueError(f"a solver among {', '.join(solver_names())}")
        return self


@dataclass(frozen=True, slots=True)
class Given:
    """What a denoiser is told beside the noisy image; each with one row an image.

    Attributes:
        vector: conditions ``(B, width)``, the vector of the image in front of them and that of a text at their end;
            None for an unconditional method.
        told: for each condition 1, or 0 where it is left out, ``(B, conditions)``.
        tokens: of a text ``(B, T, text width + 1)``, the last entry 1 for a token that is told and 0 elsewhere.
        context: an image in register ``(B, context channels + 1, h, w)``, the last channel 1 where it is told; else all
            channels are 0.
    """

    vector: Tensor | None = None
    told: Tensor | None = None
    tokens: Tensor | None = None
    context: Tensor | None = None

    @property
    def kinds(self) -> int:
        """How many things are told, or left out, by themselves: the conditions, and the context as the last."""
        return (0 if self.told is None else self.told.shape[1]) + (self.context is not None)

    def but(self, kept: Tensor) -> "Given":
        """The same with some left out: ``kept`` is 1 or 0, ``(B, kinds)``. A text is the last of the conditions."""
        told, tokens, context = self.told, self.tokens, self.context
        if told is not None:
            told = told * kept[:, : told.shape[1]]
        if tokens is not None and told is not None:
            there = tokens[..., -1:] * told[:, -1, None, None]
            tokens = torch.cat([tokens[..., :-1], there], dim=2)
        if context is not None:
            context = context * kept[:, -1, None, None, None]
        return Given(self.vector, told, tokens, context)

    def untold(self) -> "Given":
        """The same with everything left out."""
        some = self.vector if self.vector is not None else self.context
        return self if some is None else self.but(torch.zeros(len(some), self.kinds, device=some.device))

    def beside(self, x: Tensor) -> Tensor:
        """What a network sees: noisy images ``(B, C, h, w)``, and the context, if any, as further channels."""
        return x if self.context is None else torch.cat([x, self.context], dim=1)

    def __add__(self, other: "Given") -> "Given":
        """One batch after the other."""
        return Given(*(
            None if one is None or two is None else torch.cat([one, two])
            for one, two in ((getattr(self, f.name), getattr(other, f.name)) for f in fields(self))
        ))  # fmt: skip


class DenoisingMethod(GenerativeMethod):
    """A method that says what an image was before noise came upon it.

    Attributes:
        lossy: what is encoded and decoded is not the image that it was.
    """

    lossy: ClassVar[bool] = False
    conditional: ClassVar[Literal["no", "may", "must"]] = "may"
    reads_text: ClassVar[bool] = True
    takes_context: ClassVar[bool] = True
    takes_image_vector: ClassVar[bool] = True
    averaged = ("network",)
    compiled = ("network",)
    settings: DenoisingSettings
    mean: Tensor
    deviation: Tensor
    network: nn.Module

    def __init__(self, settings: DenoisingSettings, task: Task) -> None:
        super().__init__(settings, task)
        channels = self.inside[0]
        self.register_buffer("mean", torch.zeros(channels, 1, 1))
        self.register_buffer("deviation", torch.ones(channels, 1, 1))
        self.uncertainty = LevelUncertainty() if settings.weighting == "learned" else None
        self.told_vectors = SeenVectors(task.image_vector) if task.image_vector else None
        self.phases: tuple[Phase, ...] = (self.denoising_phase(self.learning),)

    @property
    def learning(self) -> tuple[str, ...]:
        """The sub-modules that learn to denoise."""
        return ("network",) if self.uncertainty is None else ("network", "uncertainty")

    def denoising_phase(self, trains: tuple[str, ...], during: tuple[float, float] = (0.0, 1.0)) -> Phase:
        """The phase that trains the denoiser, in a part of the budget."""
        settings = self.settings
        return Phase(
            "denoising",
            trains=trains,
            learning_rate=settings.learning_rate,
            betas=(0.9, 0.99),
            falls=True,
            warm_up_images=_WARM_UP_STEPS * settings.batch_size,
            during=during,
        )

    @abstractmethod
    def predict(self, x: Tensor, level: Tensor, given: Given) -> Tensor:
        """What the network says, ``(B, ...)``.

        Args:
            x: noisy images of variance 1, ``(B, ...)``.
            level: 100 log sigma, ``(B,)``.
            given: what it is told beside them.
        """

    @property
    def inside(self) -> tuple[int, ...]:
        """Shape of one image where noise is added: channels, height, width."""
        return self.shape.channels, self.shape.height, self.shape.width

    def prepare(self, images: Tensor) -> None:
        """Measure mean and standard deviation of each channel."""
        self.mean.copy_(images.mean((0, 2, 3))[:, None, None])
        self.deviation.copy_(images.std((0, 2, 3))[:, None, None].clamp(min=1e-3))

    def begin(self, phase: str, batches: Callable[[int, int], Batch]) -> None:
        """Keep the vectors of some training crops, where vectors are told."""
        if self.told_vectors is not None:
            self.told_vectors.keep(batches)

    @property
    def seen_vectors(self) -> SeenVectors | None:
        """The vectors of some training crops, where vectors are told."""
        return self.told_vectors

    @property
    def begun(self) -> bool:
        """Whether the denoiser has begun to learn; before, there is nothing to draw from."""
        return True

    def encode(self, images: Tensor, randomness: Randomness) -> Tensor:
        """Images in [-1, 1] to where noise is added, at variance 1."""
        return (images - self.mean) / self.deviation

    def decode(self, x0: Tensor) -> Tensor:
        """The way back."""
        return x0 * self.deviation + self.mean

    def loss(self, phase: str, batch: Batch, randomness: Randomness) -> Loss:
        """Mean squared error of the prediction."""
        x0 = self.encode(batch.images, randomness)
        return self.denoising_loss(x0, self.given(batch), randomness)

    def denoising_loss(self, x0: Tensor, given: Given, randomness: Randomness) -> Loss:
        """The loss at random noise levels, with conditions left out at random, and the prediction's squared error."""
        settings = self.settings
        sigma = self.training_levels(randomness.uniform())
        noise = randomness.normal(*x0.shape[1:])
        level = on_the_circle(sigma)
        xt = add_noise(x0, noise, level)
        said = self.predict(xt, _LEVEL_SCALE * sigma.log(), self._told_some(given, randomness))
        error = (said - target(settings.predicts, x0, noise, level)).square().flatten(1).mean(1)  # (B,)
        weighted = error
        if settings.weighting == "min_snr":
            weighted = error * min_snr_weight(sigma) / plain_weight(settings.predicts, level)
        elif self.uncertainty is not None:
            expected = self.uncertainty(sigma)
            weighted = error * torch.exp(-expected) + expected
        return Loss(weighted.mean(), {"denoising": error.mean()})

    def training_levels(self, u: Tensor) -> Tensor:
        """Noise levels of training for numbers from U[0, 1), ``(B,)``."""
        settings = self.settings
        low, high = settings.lowest_noise, settings.highest_noise
        if settings.levels == "lognormal":
            return lognormal(u, settings.level_mean, settings.level_deviation)
        if settings.levels in ("log_uniform", "ve"):
            return log_uniform(u, low, high)
        process = self.process
        assert process is not None
        return uniform_in_time(u, process, low, high)

    @property
    def process(self) -> Process | None:
        """The process in whose time the levels of training lie, if they do."""
        settings = self.settings
        if settings.levels == "flow":
            return Flow(settings.shift)
        return PROCESSES[settings.levels]() if settings.levels in PROCESSES else None

    def denoise(self, x: Tensor, sigma: Tensor, given: Given) -> Tensor:
        """The estimate of x_0 ``(B, ...)`` for noisy images ``(B, ...)`` at noise levels ``(B,)``."""
        level = on_the_circle(sigma)
        xt = per_image(level.signal, x) * x
        said = self.predict(xt, _LEVEL_SCALE * sigma.log(), given)
        return clean_image(self.settings.predicts, said, xt, level)

    def denoiser(self, request: SampleRequest, given: Given | None = None) -> Denoiser:
        """The denoiser for what is asked: with guidance, through windows, its estimates held within the grey range.

        Args:
            request: what is asked.
            given: what is told, where that is not all that the request says.
        """
        given = self.given(request) if given is None else given
        denoise = self._guided(given, request)
        return self.through_windows(denoise, given.context, request.size, request.overlap)

    def through_windows(
        self,
        denoise: Callable[[Tensor, Tensor, Tensor | None], Tensor],
        context: Tensor | None,
        size: tuple[int, int] | None,
        overlap: int | None = None,
    ) -> Denoiser:
        """A denoiser for images of a size, from one for images of the run's own, whose third argument is the context.

        Args:
            denoise: from images ``(B, ...)``, levels ``(B,)`` and the context there to estimates like the images.
            context: of all images, of their whole size, as ``Given`` has it.
            size: height and width of the images in pixels; None for the run's own.
            overlap: pixels that windows share at least; None for the method's choice.
        """
        if size is None or size == (self.shape.height, self.shape.width):
            return lambda x, sigma: denoise(x, sigma, context)
        window = self.inside[1:]
        overlap = self.overlap if overlap is None else -(-overlap // self.pixels_inside)
        return windowed(
            denoise if context is not None else lambda x, sigma: denoise(x, sigma, None),
            (window[0], window[1]), overlap, beside=context,
        )  # fmt: skip

    @property
    def pixels_inside(self) -> int:
        """Pixels of the image, along one side, to one place where noise is added."""
        return self.shape.height // self.inside[1]

    @property
    def overlap(self) -> int:
        """Places that windows share by default: half of the shorter side, so that each is seen well inside of one."""
        return min(self.inside[1:]) // 2

    def _guided(self, given: Given, request: SampleRequest) -> Callable[[Tensor, Tensor, Tensor | None], Tensor]:
        """A denoiser whose context comes as a third argument, for it depends on the window."""
        settings = self.settings

        def held(x: Tensor, sigma: Tensor, told: Given) -> Tensor:
            return self.hold(self.denoise(x, sigma, told))

        weight = settings.guidance if request.guidance is None else request.guidance
        low, high = request.guidance_interval or (settings.guidance_from, settings.guidance_to)

        def denoise(x: Tensor, sigma: Tensor, context: Tensor | None) -> Tensor:
            here = replace(given, context=context)
            if weight == 1 or not here.kinds:
                return held(x, sigma, here)
            return guided(
                lambda x, sigma: held(x, sigma, here + here.untold()),
                lambda x, sigma: held(x, sigma, here),
                weight, low, high,
            )(x, sigma)  # fmt: skip

        return denoise

    def hold(self, x0: Tensor) -> Tensor:
        """Estimates within what an image can be: the grey range (Ho et al. 2020, section 3.4, as all codes have it)."""
        return x0.clamp((-1 - self.mean) / self.deviation, (1 - self.mean) / self.deviation)

    def given(self, known: Batch | SampleRequest) -> Given:
        """All that is known of each image, told."""
        vector, told, context = None, None, None
        parts = [part for part in (known.condition, known.text) if part is not None and self.task.conditions]
        if parts:
            told = torch.ones(len(parts[0]), len(self.task.conditions.widths), device=parts[0].device)
        if self.seen_vectors is not None:
            assert known.image_vector is not None
            there = ~known.image_vector.isnan().any(1, keepdim=True)  # (B, 1)
            parts.insert(0, torch.where(there, self.seen_vectors.inside(known.image_vector), 0.0))
            told = there.float() if told is None else torch.cat([there.float(), told], dim=1)
        if parts:
            vector = torch.cat(parts, dim=1)
        if self.task.context_channels and known.context is not None:
            inside = self.context_inside(known.context)
            context = torch.cat([inside, torch.ones_like(inside[:, :1])], dim=1)
        return Given(vector, told, known.tokens, context)

    def context_inside(self, context: Tensor) -> Tensor:
        """An image in register ``(B, context channels, H, W)`` at the places where noise is added."""
        return context

    @property
    def beside(self) -> int:
        """Channels that a network sees beside the noisy image, where there is an image in register."""
        context = self.task.context_channels * self.pixels_inside**2
        return context + 1 if context else 0

    def sampling_levels(self, steps: int) -> Tensor:
        """Noise levels that a solver visits, ``(steps,)`` falling float64; Karras et al. 2022, equation 5."""
        return karras_steps(steps, self.settings.lowest_noise, self.settings.highest_noise)

    def sample(self, request: SampleRequest, randomness: Randomness) -> Tensor:
        """Follow the denoiser from noise to images."""
        settings = self.settings
        sigmas = self.sampling_levels(request.steps or settings.sample_steps)

        channels, *inside = self.inside
        if request.size is not None:
            inside = [side // self.pixels_inside for side in request.size]

        def normal() -> Tensor:
            return randomness.normal(channels, *inside)

        x = float(sigmas[0]) * normal()
        x0 = solver(request.solver or settings.solver).solve(self.denoiser(request), x, sigmas, normal)
        return self.decode(x0)

    def _told_some(self, given: Given, randomness: Randomness) -> Given:
        """What is known of each image, each condition left out at random; in a part of these images all are."""
        kinds, dropout = given.kinds, self.settings.condition_dropout
        if not kinds:
            return given
        coins = randomness.uniform(kinds + 1)  # (B, kinds + 1)
        kept = coins[:, kinds:] >= dropout
        if kinds > 1:
            # Beside one coin for all together, without which few images would be told nothing, as guidance needs.
            kept = kept & (coins[:, :kinds] >= dropout)
        return given.but(kept.expand(-1, kinds).float())


class UNetSettings(DenoisingSettings):
    """Settings of a denoising method whose network is a UNet on pixels."""

    channels: tuple[int, ...] = Field(default=(64, 128, 192), min_length=1, description="channels of the UNet's levels")
    layers: int = Field(default=1, ge=1, description="residual layers in each level")
    attention: bool = Field(default=True, description="attention in the coarsest level")
    patch: int | None = Field(
        default=None,
        ge=1,
        description="space-to-depth in front of the network; 1 is the paper's; by default 4 on a CPU, 1 on a GPU",
    )

    @model_validator(mode="after")
    def _channels_fit_their_groups(self) -> "UNetSettings":
        if any(c % GROUPS for c in self.channels):
            raise ValueError(f"multiples of {GROUPS} in channels, for the groups of the normalisation")
        return self


class UNetMethod(DenoisingMethod):
    """A denoising method whose network is a UNet on pixels."""

    settings: UNetSettings

    def __init__(self, settings: UNetSettings, task: Task) -> None:
        super().__init__(settings, task)
        self.network = ConditionedUNet(
            task.shape.channels,
            settings.channels,
            layers=settings.layers,
            attention=settings.attention,
            patch=settings.patch or CPU_PATCH,
            conditions=task.widths,
            text=0 if task.conditions.text is None else task.conditions.text.width,
            beside=self.beside,
        )

    @classmethod
    def suited(cls, settings: UNetSettings, *, on_gpu: bool) -> UNetSettings:
        """Space-to-depth is for those who cannot afford the network on every pixel."""
        if settings.patch is not None:
            return settings
        return settings.model_copy(update={"patch": 1 if on_gpu else CPU_PATCH})

    @classmethod
    def sizes(cls, settings: UNetSettings) -> Sizes:
        """The patches, halved between the levels, must come out whole."""
        unit = (settings.patch or CPU_PATCH) * 2 ** (len(settings.channels) - 1)
        return Sizes(multiple_of=unit, at_least=2 * unit)

    def predict(self, x: Tensor, level: Tensor, given: Given) -> Tensor:
        """The UNet's answer."""
        said: Tensor = self.network(given.beside(x), level, given.vector, given.told, given.tokens)
        return said


def on_the_circle(sigma: Tensor) -> Level:
    """Signal and noise of variance 1 together, at noise levels ``(B,)``."""
    signal = (1 + sigma.square()).rsqrt()
    return Level(signal, sigma * signal)
