"""Score-based generative modelling by stochastic differential equations. Song et al. 2021 (arXiv:2011.13456).

    dx = f(x, t) dt + g(t) dw,    L = E lambda(t) || s(x_t, t) - grad log p(x_t | x_0) ||^2      equation 7

with f and g of one of three processes (``sde``): variance exploding, variance preserving, sub-variance preserving. Each
is x = x_0 + sigma n in another scale and another time (``mathematics.noise_levels``), and lambda(t) is the variance of
the noise, so that the error of the noise counts alike at all times; so what a process decides is at which noise levels
the network is trained and where the sampler goes. Sampled by the predictor-corrector method (algorithms 2 and 3) or
along the probability flow by any of the other solvers; the flow gives likelihoods too (``morphogen likelihood``).

The network predicts v, from which the score follows as (D - x) / sigma^2. That is the error of the noise times
1 + sigma^2: high levels count for more. Predicting the noise, the paper's choice, is ``-p predicts=epsilon``.
"""

from typing import Literal

from pydantic import Field
from torch import Tensor

from morphogen.mathematics.noise_levels import process_steps
from morphogen.methods.denoising import LevelsOfTraining, UNetMethod, UNetSettings


class Settings(UNetSettings):
    """Settings of the score SDE."""

    levels: LevelsOfTraining = Field(
        default="ve", description="the process, ve, vp, sub_vp, cosine or flow; or levels of no process, as lognormal"
    )
    highest_noise: float = Field(default=50.0, gt=0, description="highest noise level, where sampling starts")
    solver: str = Field(default="predictor_corrector", description="how images are drawn, see docs/solvers.md")
    sample_steps: int = Field(default=100, ge=1, description="noise levels that the solver visits")
    steps_of: Literal["process", "karras"] = Field(
        default="process", description="noise levels of sampling: evenly in the process's time, or those of EDM"
    )


class Method(UNetMethod):
    """Score-based model of a stochastic differential equation."""

    title = "score SDE"
    settings: Settings

    def sampling_levels(self, steps: int) -> Tensor:
        """Evenly in the time of the process, as the paper's solvers go."""
        settings = self.settings
        if settings.steps_of == "karras" or self.process is None:
            return super().sampling_levels(steps)
        return process_steps(self.process, steps, settings.lowest_noise, settings.highest_noise)
