"""Can seams be found in images larger than the training crop? (`python benchmarks/seams.py RUN`).

A trained diffusion run without conditions draws images through overlapping windows of the size it was trained on.
Across every column c, the correlation of the pixels r apart on both sides of it is computed over all rows and images:

    C(c) = < g(c - r/2) g(c + r/2) > / sqrt(< g(c - r/2)^2 > < g(c + r/2)^2 >),    g grey levels less their mean

and likewise across rows. Away from a seam it is the two-point correlation inside. A seam is a place where C departs
from the mean over all places by more than chance: the largest departure is given in standard errors (jackknife over
images) beside the largest by chance, the 97.5 % quantile of the maximum over places of the same statistic when the
deviations of each image from the mean change their sign at random, which keeps what neighbouring places have in common.
Half a window from the image's own border is left out, for there a network sees less. Three ways are compared: windows
as `generate --size` uses them, the same without moving, and windows side by side that neither overlap nor move, in
which a seam has to be found, at multiples of the window.
"""

import argparse
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from rich.console import Console
from rich.table import Table

from morphogen.mathematics.randomness import Randomness
from morphogen.mathematics.solvers.solver import solver
from morphogen.mathematics.windows import Windowed
from morphogen.methods.denoising import DenoisingMethod
from morphogen.methods.method import SampleRequest
from morphogen.training.run import Run

LAGS = (2, 8)

Values = NDArray[np.float64]


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
        found.append(method.decode(x0).mean(1).double().numpy())
    return np.concatenate(found)


def departures(
    images: NDArray[np.float64], lag: int, margin: int
) -> tuple[NDArray[np.float64], NDArray[np.float64], float]:
    """For each place across columns C less its mean, the same of each image's jackknife, and that mean.

    Place k is column ``margin + k + lag / 2``.
    """
    g = (images - images.mean())[..., margin : images.shape[-1] - margin]
    left, right = g[..., :-lag], g[..., lag:]
    sums = [(a * b).sum(1) for a, b in ((left, right), (left, left), (right, right))]  # (images, places)

    def correlation(product: Values, one: Values, other: Values) -> Values:
        found: Values = product / np.sqrt(one * other)
        return found - found.mean(-1, keepdims=True)

    whole = correlation(*(s.sum(0) for s in sums))
    without = correlation(*(s.sum(0) - s for s in sums))  # (images, places)
    n = len(images)
    inside = float(sums[0].sum() / np.sqrt(sums[1].sum() * sums[2].sum()))
    return whole, np.sqrt((n - 1) / n) * (without - without.mean(0)), inside


def largest_by_chance(parts: list[Values], seed: int, draws: int = 2000) -> float:
    """The 97.5 % quantile of the largest departure in standard errors, of images whose deviations change sign."""
    n = len(parts[0])
    signs = np.random.default_rng(seed).choice((-1.0, 1.0), (draws, n))
    T = np.max([np.abs(signs @ p / np.sqrt(np.square(p).sum(0))).max(1) for p in parts], axis=0)
    T = np.minimum(T, 0.999 * np.sqrt(n))
    # T is over deviations as they are, a departure over deviations about their mean: Student's t of T.
    return float(np.quantile(T * np.sqrt((n - 1) / (n - np.square(T))), 0.975))


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
    run = Run(args.run)
    method = run.trained_method()
    if not isinstance(method, DenoisingMethod) or method.learns_from or method.task.conditions or run.record.context:
        parser.error("a run of a diffusion method is needed that is told nothing")
    height, width = args.size
    window = (method.shape.height, method.shape.width)
    if height % window[0] or width % window[1] or height < 3 * window[0] or width < 3 * window[1]:
        parser.error(f"--size needs multiples of the window, {window[0]} and {window[1]}, three of each or more")
    columns = (
        "windows",
        "lag, px",
        "C inside",
        "largest departure, s.e.",
        "by chance below",
        "at multiples of the window, s.e.",
    )
    table, rows = Table(*columns), []
    for how in ("as drawn", "not moving", "side by side"):
        images = drawn(method, (height, width), args.count, args.batch_size, args.seed, how)
        rows.append(np.concatenate(list(images[:3]), axis=1))
        for lag in LAGS:
            scores, parts, insides, at = [], [], [], 0.0
            for axis in (1, 0):  # across columns, and across rows
                margin, side = window[axis] // 2, args.size[axis]
                found, each, inside = departures(images if axis else images.transpose(0, 2, 1), lag, margin)
                score = np.abs(found) / np.sqrt(np.square(each).sum(0))
                borders = [b - margin - lag // 2 for b in range(window[axis], side, window[axis])]
                at = max(at, *(score[b] for b in borders))
                scores.append(score.max())
                parts.append(each)
                insides.append(inside)
            limit = largest_by_chance(parts, args.seed)
            table.add_row(how, str(lag), f"{np.mean(insides):.3f}", f"{max(scores):.1f}", f"{limit:.1f}", f"{at:.1f}")
    Console(width=140).print(table)
    if args.picture is not None:
        grey = np.clip((np.concatenate(rows) + 1) * 127.5, 0, 255).astype("uint8")
        Image.fromarray(grey).save(args.picture)


if __name__ == "__main__":
    main()
