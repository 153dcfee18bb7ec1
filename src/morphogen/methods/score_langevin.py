"""Score matching with Langevin dynamics. Song, Ermon 2019 (arXiv:1907.05600), improved in 2020 (arXiv:2006.09011).

    L = 1 / N sum_i sigma_i^2 E || s(x_0 + sigma_i n, sigma_i) + n / sigma_i ||^2       2019, equations 5 and 6
    x <- x + e_i s(x, sigma_i) + sqrt(2 e_i) z,  a few times at each falling sigma_i    2019, algorithm 1

With s = -network / sigma (2020, technique 3) the loss is the plain squared error of the noise, at noise levels that are
geometric (2020, technique 2): log uniform here. The highest level should be about the largest distance between two
training images (2020, technique 1): sqrt(2 d) for d independent pixels of variance 1, less where they depend on each
other, as they do. Steps of the dynamics are chosen by technique 4, weights are averaged (technique 5).

Deviation: the network is told the noise level, as in 2019, by an embedding; and it sees images of variance 1, the
preconditioning of Karras et al. 2022.
"""

from pydantic import Field
from torch import Tensor

from morphogen.mathematics.noise_levels import geometric_steps
from morphogen.mathematics.prediction_targets import Target
from morphogen.methods.denoising import LevelsOfTraining, UNetMethod, UNetSettings


class Settings(UNetSettings):
    """Settings of score matching with Langevin dynamics."""

    levels: LevelsOfTraining = Field(default="log_uniform", description="noise levels of training: geometric")
    predicts: Target = Field(default="epsilon", description="what the network predicts")
    solver: str = Field(default="annealed_langevin", description="how images are drawn, see docs/solvers.md")
    sample_steps: int = Field(default=100, ge=1, description="noise levels that the solver visits")


class Method(UNetMethod):
    """Noise-conditional score network, sampled by annealed Langevin dynamics."""

    title = "score matching, Langevin"

    def sampling_levels(self, steps: int) -> Tensor:
        """Geometric, as in training."""
        return geometric_steps(steps, self.settings.lowest_noise, self.settings.highest_noise)
