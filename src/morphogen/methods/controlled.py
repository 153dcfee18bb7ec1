"""ControlNet: a trained diffusion run, steered by edges or masks. Zhang, Rao, Agrawala 2023 (arXiv:2302.05543).

The run stays as it is, every weight. A copy of its encoder learns to steer it (``networks.steered_unet``) from images
in register with what they are drawn for: their edges (Canny 1986, found in the training images themselves) or masks.
The objective is the run's own (equation 6 of the paper), and so are its noise levels, solvers, guidance and conditions.

What is told can be left out, as in training of any denoiser; then the run answers as if it had never been steered.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, ClassVar

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from morphogen.mathematics.noise_levels import Denoiser
from morphogen.mathematics.randomness import Randomness
from morphogen.methods.denoising import DenoisingMethod, Given
from morphogen.methods.method import (
    Batch,
    GenerativeMethod,
    Loss,
    MethodSettings,
    SampleRequest,
    Sizes,
    Task,
    method_class,
    method_settings,
)
from morphogen.networks.conditioned_unet import ConditionedUNet
from morphogen.networks.seen_vectors import SeenVectors
from morphogen.networks.steered_unet import Control, SteeredUNet
from morphogen.problems import Problem


class Settings(MethodSettings):
    """Settings of a control."""

    batch_size: int = Field(default=16, ge=1, description="images a step, over all processes together")
    learning_rate: float = Field(default=5e-4, gt=0, description="at its highest; it falls as a cosine")
    teacher: str = Field(default="ddpm", description="method of the run that is steered, which says it")
    teacher_settings: dict[str, Any] = Field(default={}, description="settings of that run, which says them")

    @model_validator(mode="after")
    def _the_run_denoises(self) -> "Settings":
        kind = method_class(self.teacher)
        if not issubclass(kind, DenoisingMethod) or kind.learns_from:
            raise ValueError(f"a run that denoises, and {self.teacher} does not")
        method_settings(self.teacher, self.teacher_settings)
        return self

    @property
    def condition_dropout(self) -> float:
        """As the run had it."""
        return float(getattr(method_settings(self.teacher, self.teacher_settings), "condition_dropout", 0.0))


class Method(DenoisingMethod):
    """A denoising method that is held still, and its control.

    It holds one whole method of the run's kind, whose weights are buffers here, so that no phase moves them.
    """

    title = "ControlNet"
    averaged = ("control",)
    compiled = ("control",)
    learns_from: ClassVar[bool] = True
    needs_context: ClassVar[bool] = True
    settings: Settings  # type: ignore[assignment]  # levels, targets and solver are those of the run inside

    def __init__(self, settings: Settings, task: Task) -> None:
        # Past the initialisation of DenoisingMethod: mean, deviation and network are those of the run inside.
        GenerativeMethod.__init__(self, settings, task)
        run = method_class(settings.teacher)(
            method_settings(settings.teacher, settings.teacher_settings), replace(task, context_channels=0)
        )
        assert isinstance(run, DenoisingMethod)
        network = run.network
        if not isinstance(network, ConditionedUNet):
            raise Problem(
                f"{settings.teacher} has no UNet, whose encoder a control is a copy of",
                do="control a run of ddpm, score_sde, score_langevin or latent_diffusion",
            )
        # Training of a UNet starts at v = 0, which nothing steers; without a run, its last layer is a random one.
        last: nn.Conv2d = network.unet.get_submodule("conv_out")  # type: ignore[assignment]
        nn.init.normal_(last.weight, std=0.1)
        run.task = task
        self.control = Control(network, run.beside - 1)
        _hold_still(run)
        run.network = SteeredUNet(network, self.control, run.inside[0])
        self.run = run
        self.learnt_through = run.learnt_through
        self.phases = (self.denoising_phase(("control",)),)

    @classmethod
    def sizes(cls, settings: Settings) -> Sizes:
        """Those of the run."""
        return method_class(settings.teacher).sizes(method_settings(settings.teacher, settings.teacher_settings))

    @property
    def inside(self) -> tuple[int, ...]:
        """Shape of one image where noise is added."""
        return self.run.inside

    @property
    def begun(self) -> bool:
        """Whether there is anything to draw from."""
        return self.run.begun

    @property
    def _frozen(self) -> ConditionedUNet:
        network = self.run.network
        assert isinstance(network, SteeredUNet)
        return network.frozen

    def learn_from(self, teacher: GenerativeMethod) -> None:
        """Hold the run, and start the control as a copy of its encoder."""
        assert isinstance(teacher, DenoisingMethod)
        state = teacher.state_dict()
        self._frozen.load_state_dict(teacher.network.state_dict())
        others = {name: value for name, value in state.items() if not name.startswith("network.")}
        self.run.load_state_dict(others, strict=False)  # all that is missing has just been loaded
        self.control.start_as(self._frozen)

    def prepare(self, images: Tensor) -> None:
        """Nothing: the run has measured the images."""

    def begin(self, phase: str, batches: Callable[[int, int], Batch]) -> None:
        """Nothing: what is kept of training crops, the run has."""

    @property
    def seen_vectors(self) -> SeenVectors | None:
        """Those of the run."""
        return self.run.seen_vectors

    def loss(self, phase: str, batch: Batch, randomness: Randomness) -> Loss:
        """The loss of the run."""
        with torch.no_grad():
            x0 = self.run.encode(batch.images, randomness)
        return self.run.denoising_loss(x0, self.run.given(batch), randomness)

    def predict(self, x: Tensor, level: Tensor, given: Given) -> Tensor:
        """What the steered network says."""
        return self.run.predict(x, level, given)

    def encode(self, images: Tensor, randomness: Randomness) -> Tensor:
        """As the run does."""
        return self.run.encode(images, randomness)

    def decode(self, x0: Tensor) -> Tensor:
        """As the run does."""
        return self.run.decode(x0)

    def given(self, known: Batch | SampleRequest) -> Given:
        """As the run is told, and the hint beside it."""
        return self.run.given(known)

    def denoiser(self, request: SampleRequest, given: Given | None = None) -> Denoiser:
        """The run's denoiser, steered."""
        return self.run.denoiser(request, given)

    def sample(self, request: SampleRequest, randomness: Randomness) -> Tensor:
        """Draw as the run does, for what is told."""
        return self.run.sample(request, randomness)


def _hold_still(whole: nn.Module) -> None:
    """Turn all parameters into buffers, which no phase moves."""
    for module in whole.modules():
        for name, parameter in list(module.named_parameters(recurse=False)):
            delattr(module, name)
            module.register_buffer(name, parameter.detach())
