"""Can seams be found in images larger than the training crop? (`python benchmarks/seams.py RUN`).

A trained diffusion run without conditions draws images through overlapping windows of the size it was trained on.
Across every column c, the correlation of the pixels r apart on both sides of it is computed over all rows and images:

    C(c) = < g(c - r/2) g(c + r/2) > / sqrt(< g(c - r/2)^2 > < g(c + r/2)^2 >),    g grey levels less their mean

and likewise across rows. Away from a seam it is the two-point correlation inside. A seam is a place where C departs
from the mean over all places by more than chance: the largest departure is given in standard errors (jackknife over
images) beside the largest that as many places have by chance (97.5 % of the maximum of that many normal numbers).
"Borders" are the places where windows that do not move would meet. Three ways are compared: windows as `generate
--size` uses them, the same without moving, and windows side by side that neither overlap nor move, in which a seam has
to be found.
"""

import argparse
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from rich.console import Console
from rich.table import Table
from scipy.stats import norm

from morphogen.mathematics.randomness import Randomness
from morphogen.mathematics.solvers.solver import solver
from morphogen.mathematics.windows import Windowed
from morphogen.methods.denoising import DenoisingMethod
from morphogen.methods.method import SampleRequest
from morphogen.training.run import Run

LAGS = (2, 8)


@torch.inference_mode()
def drawn(
    method: DenoisingMethod, size: tuple[int, int], count: int, batch: int, seed: int, how: str
) -> NDArray[np.float64]:
    """Images ``(count, height, width)`` in [-1, 1]."""
    found = []
    for first in range(0, count, batch):
        here = min(batch, count - first)
        request = SampleRequest(size=size, overlap=0 if how == "side by side" else None)
        denoise = method.denoiser(request)
        assert isinstance(denoise, Windowed)
        denoise.shift = how == "as drawn"
        randomness = Randomness.of_images(seed, first, here)
        channels, inside = method.inside[0], [side // method.pixels_inside for side in size]

        def normal(randomness: Randomness = randomness, shape: tuple[int, ...] = (channels, *inside)) -> torch.Tensor:
            return randomness.normal(*shape)

        sigmas = method.sampling_levels(method.settings.sample_steps)
        x0 = solver(method.settings.solver).solve(denoise, float(sigmas[0]) * normal(), sigmas, normal)
        found.append(method.decode(x0)[:, 0].double().numpy())
    return np.concatenate(found)


def departures(images: NDArray[np.float64], lag: int) -> tuple[NDArray[np.float64], float]:
    """For each place across columns, C less its mean in standard errors; and that mean."""
    g = images - images.mean()
    left, right = g[..., :-lag], g[..., lag:]  # the place of number k is column k + lag / 2
    sums = [(a * b).sum(1) for a, b in ((left, right), (left, left), (right, right))]  # (images, places)

    def correlation(
        product: NDArray[np.float64], one: NDArray[np.float64], other: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        return product / np.sqrt(one * other)

    whole = correlation(*(s.sum(0) for s in sums))
    without = correlation(*(s.sum(0) - s for s in sums))  # (images, places)
    mean, means = whole.mean(), without.mean(1, keepdims=True)
    n = len(images)
    error = np.sqrt((n - 1) / n * np.square(without - means - (without - means).mean(0)).sum(0))
    return (whole - mean) / error, float(mean)


def main() -> None:
    """Draw, look for seams, and print."""
    parser = argparse.ArgumentParser(description="Can seams be found in images larger than the training crop?")
    parser.add_argument("run", type=Path)
    parser.add_argument("--size", type=int, nargs=2, default=(192, 192))
    parser.add_argument("--count", type=int, default=32)
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--picture", type=Path, help="write the first images of each way to this PNG file")
    args = parser.parse_args()
    method = Run(args.run).trained_method()
    assert isinstance(method, DenoisingMethod)
    height, width = args.size
    window = method.shape.width
    borders = range(window, width, window)
    table = Table("windows", "lag, px", "C inside", "largest departure, s.e.", "by chance below", "at borders, s.e.")
    rows = []
    for how in ("as drawn", "not moving", "side by side"):
        images = drawn(method, (height, width), args.count, args.batch_size, args.seed, how)
        rows.append(np.concatenate(list(images[:3]), axis=1))
        for lag in LAGS:
            across = [departures(images, lag), departures(images.transpose(0, 2, 1), lag)]
            score = np.concatenate([a for a, _ in across])
            limit = norm.ppf(1 - (1 - 0.975 ** (1 / len(score))) / 2)
            at = max((abs(a[b - lag // 2]) for a, _ in across for b in borders if b - lag // 2 < len(a)), default=0.0)
            table.add_row(how, str(lag), f"{np.mean([m for _, m in across]):.3f}", f"{np.abs(score).max():.1f}",
                          f"{limit:.1f}", f"{at:.1f}")  # fmt: skip
    Console(width=140).print(table)
    if args.picture is not None:
        grey = np.clip((np.concatenate(rows) + 1) * 127.5, 0, 255).astype("uint8")
        Image.fromarray(grey).save(args.picture)


if __name__ == "__main__":
    main()
