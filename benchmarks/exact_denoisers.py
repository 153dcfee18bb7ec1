"""How exact solvers and likelihoods are where the answer is known (`python benchmarks/exact_denoisers.py`).

Solvers   On the exact denoiser of a mixture of Gaussians in the plane, and of the 64 crops of a rock phantom. What a
          solver without noise makes is held against the end of its own path (400 steps of Heun's method from the same
          noise): root mean square over pixels, images having variance 1. What a solver with noise makes has no such
          end; its mean and variance are held against those of the mixture, over 20 000 draws. The corrector's step
          follows the norm of each image's score, which is off by 2 / d in d dimensions: two here, thousands in images.
Likelihood  The probability flow's log p against the mixture's own, in bits a dimension: largest error over 256 draws.

No networks, no training; half a minute on one core.
"""

import argparse

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor

from morphogen.images.cropping import RandomCrops
from morphogen.images.intensity import IntensityMap
from morphogen.mathematics.exact_denoisers import DataSet, GaussianMixture
from morphogen.mathematics.likelihood import bits_a_dimension, log_likelihood
from morphogen.mathematics.noise_levels import Denoiser, decisive_steps, karras_steps
from morphogen.mathematics.randomness import Randomness
from morphogen.mathematics.solvers.solver import solver, solver_names
from morphogen.phantoms.phantom import image_set, phantoms

LOW, HIGH = 0.01, 80.0
"""Noise levels, the defaults of all denoising methods."""

MIXTURE = GaussianMixture(
    torch.tensor([0.3, 0.5, 0.2], dtype=torch.float64),
    torch.tensor([[-1.0, 0.5], [0.6, 1.0], [0.3, -1.3]], dtype=torch.float64),
    torch.tensor([[0.04, 0.09], [0.1, 0.01], [0.2, 0.05]], dtype=torch.float64),
)


def rock_crops() -> DataSet:
    """The exact denoiser of 64 crops of 32 x 32 pixels."""
    rocks = image_set(phantoms("rock", count=4, size=(96, 96), seed=1))
    crops = RandomCrops(rocks, (32, 32), IntensityMap.of(rocks))(0, 64)
    return DataSet(((crops - crops.mean()) / crops.std()).double())


def solved(name: str, denoise: Denoiser, shape: tuple[int, ...], count: int, steps: int) -> Tensor:
    """Images of one solver from the same noise."""
    randomness = Randomness.of_images(0, 0, count)

    def normal() -> Tensor:
        return randomness.normal(*shape).double()

    return solver(name).solve(denoise, HIGH * normal(), karras_steps(steps, LOW, HIGH), normal)


def steps_for(name: str, evaluations: int) -> int:
    """The most steps within a number of evaluations; 0 if there are none."""
    return max((n for n in range(1, evaluations + 1) if solver(name).evaluations(n) <= evaluations), default=0)


def errors(console: Console) -> None:
    """Solvers without noise, against the end of the path."""
    budgets = (5, 10, 20, 40, 80)
    for title, data, shape, count in (
        ("a mixture of Gaussians", MIXTURE, (2,), 1000),
        ("64 crops of a rock phantom", rock_crops(), (1, 32, 32), 64),
    ):
        end = solved("heun", data.denoise, shape, count, 400)
        table = Table(f"off the end of the path, {title}", *(f"{n} evaluations" for n in budgets))
        for name in solver_names():
            if solver(name).STOCHASTIC:
                continue
            off = [solved(name, data.denoise, shape, count, steps_for(name, n)) - end for n in budgets]
            table.add_row(solver(name).TITLE, *(f"{float(o.square().mean().sqrt()):.4f}" for o in off))
        console.print(table)


def moments(console: Console) -> None:
    """Solvers with noise, against mean and variance of the mixture."""
    budgets = (20, 100, 500)
    mean = (MIXTURE.weights[:, None] * MIXTURE.means).sum(0)
    variance = (MIXTURE.weights[:, None] * (MIXTURE.variances + MIXTURE.means.square())).sum(0) - mean.square()
    table = Table("off in mean, in variance", *(f"{n} evaluations" for n in budgets))
    for name in solver_names():
        if not solver(name).STOCHASTIC:
            continue
        cells = []
        for n in budgets:
            steps = steps_for(name, n)
            x = solved(name, MIXTURE.denoise, (2,), 20_000, steps)
            worst = [float((found - true).abs().max()) for found, true in ((x.mean(0), mean), (x.var(0), variance))]
            cells.append(", ".join(f"{w:.3f}" for w in worst))
        table.add_row(solver(name).TITLE, *cells)
    console.print(table)


def likelihoods(console: Console) -> None:
    """The probability flow against the density."""
    random = torch.Generator().manual_seed(0)
    chosen = torch.multinomial(MIXTURE.weights, 256, replacement=True, generator=random)
    noise = torch.randn(256, 2, generator=random, dtype=torch.float64)
    x = MIXTURE.means[chosen] + MIXTURE.variances[chosen].sqrt() * noise
    true = bits_a_dimension(MIXTURE.log_density(x, torch.full((256,), LOW, dtype=torch.float64)), 2)
    mean = (MIXTURE.weights[:, None] * MIXTURE.means).sum(0)
    table = Table("evaluations", "off by at most, bits a dimension", "in the mean over draws")
    for intervals in (8, 16, 24, 48):
        found = log_likelihood(MIXTURE.denoise, x, decisive_steps(intervals + 1, LOW, HIGH), mean=mean)
        off = bits_a_dimension(found, 2) - true
        table.add_row(str(4 * intervals), f"{float(off.abs().max()):.5f}", f"{float(off.mean()):+.5f}")
    console.print(table)
    console.print(f"exact: {float(true.mean()):.4f} bits a dimension on average", highlight=False)


def main() -> None:
    """Print all tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.parse_args()
    console = Console(width=140)
    errors(console)
    moments(console)
    likelihoods(console)


if __name__ == "__main__":
    main()
