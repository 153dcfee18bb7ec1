"""Denoising diffusion. Ho, Jain, Abbeel 2020 (arXiv:2006.11239).

    x_t = sqrt(a_t) x_0 + sqrt(1 - a_t) n,    L = E || network(x_t, t) - n ||^2

What it shares with the other denoising methods is in ``denoising``: noise level in place of time, targets, solvers,
guidance. The paper itself is

    -p levels=vp -p predicts=epsilon -p solver=ancestral -p sample_steps=1000 -p patch=1

where vp is its linear beta for many steps (the sampler's levels lie elsewhere); with levels=cosine and predicts=v it is
Nichol, Dhariwal 2021 (arXiv:2102.09672) with the target of Salimans, Ho 2022 (arXiv:2202.00512).

Defaults that differ from the paper, each for a reason: v in place of the noise, which is the preconditioning of Karras
et al. 2022 (arXiv:2206.00364), with their noise levels of training; DPM-Solver++(2M) in place of a thousand
ancestral steps; space-to-depth in front of the network on a CPU.
"""

from morphogen.methods.denoising import UNetMethod, UNetSettings


class Settings(UNetSettings):
    """Settings of the denoising diffusion model."""


class Method(UNetMethod):
    """Denoising diffusion probabilistic model."""

    title = "DDPM"
