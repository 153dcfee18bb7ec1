"""Time and multiply-adds of an average training step of each GAN at 64 x 64, against the DCGAN in the same run.

    python benchmarks/training_steps.py [--runs N]

Multiply-adds are counted by torch's FlopCounterMode, forward and backward; a lazy penalty counts by its share of steps.
Beside the networks as they are stands a modulated convolution with a kernel for each image, as the paper writes it.
"""

import argparse
import time
from collections.abc import Callable
from statistics import median
from typing import ClassVar

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor
from torch.nn.functional import conv2d
from torch.utils.flop_counter import FlopCounterMode

from morphogen.mathematics.modulated_convolution import demodulation, modulated_convolution
from morphogen.mathematics.randomness import Randomness
from morphogen.methods.method import Batch, ImageShape, Phase, Task, Trainable, method_class, method_settings
from morphogen.specimens.specimen import augmentations, specimen
from morphogen.training.fit import new_state, parameters_of

ROWS: dict[str, tuple[str, dict[str, str]]] = {
    "dcgan": ("dcgan", {}),
    "vanilla_gan": ("vanilla_gan", {}),
    "stylegan2": ("stylegan2", {}),
    "stylegan2, projected": ("stylegan2", {"discriminator": "projected"}),
}


def measured(name: str, settings: dict[str, str], runs: int) -> tuple[float, float]:
    """Seconds, the median of some runs, and multiply-adds of an average step."""
    torch.manual_seed(0)
    allowed = augmentations(specimen("rock").symmetries)
    method = method_class(name)(method_settings(name, settings), Task(ImageShape(1, 64, 64), augmentations=allowed))
    if name == "stylegan2":
        method.get_buffer("augmentation").fill_(0.3)  # as in the middle of a training
    state = new_state(method)
    images = torch.rand(method.settings.batch_size, 1, 64, 64) * 2 - 1
    seconds = products = 0.0
    for number, phase in enumerate(method.phases):
        step = _step(method, phase, number, state.optimisers[phase.trains], Batch(images))
        step()
        counter = FlopCounterMode(display=False)
        counter.mod_tracker = _NoModules()  # type: ignore[assignment]
        with counter:
            step()
        seconds += median(_timed(step) for _ in range(runs)) / phase.every
        products += counter.get_total_flops() / 2 / phase.every
    return seconds, products


class _NoModules:
    """In place of the counter's follower of modules, whose hooks torch refuses in a derivative of a derivative.

    All products are counted under one name.
    """

    parents: ClassVar[set[str]] = {"Global"}

    def __enter__(self) -> None:
        pass

    def __exit__(self, *_: object) -> None:
        pass


def _step(
    method: Trainable, phase: Phase, number: int, optimiser: torch.optim.Adam, batch: Batch
) -> Callable[[], None]:
    parameters = parameters_of(method, phase)

    def step() -> None:
        method.requires_grad_(False)
        for parameter in parameters:
            parameter.requires_grad_(True)
        randomness = Randomness.of_images(0, 0, len(batch.images), purpose=number)
        found = method.loss(phase.name, batch, randomness)
        found.total.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
        with torch.no_grad():
            method.observe(found.parts, found.kept)

    return step


def _timed(call: Callable[[], object]) -> float:
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


def kernels_for_each_image(x: Tensor, weight: Tensor, style: Tensor) -> Tensor:
    """A modulated and demodulated convolution in one grouped convolution: ``(B, C, H, W)`` to ``(B, D, H, W)``."""
    kernels = weight[None] * style[:, None, :, None, None]
    kernels = kernels * (kernels.square().sum((2, 3, 4), keepdim=True) + 1e-8).rsqrt()
    count, channels, height, width = x.shape
    stacked = x.reshape(1, count * channels, height, width)
    return conv2d(stacked, kernels.flatten(0, 1), padding=1, groups=count).view(count, -1, height, width)


def convolutions(runs: int) -> tuple[float, float]:
    """Seconds forward and backward of our modulated convolution, and of the one with kernels for each image."""
    x = torch.randn(16, 128, 16, 16, requires_grad=True)
    weight, style = torch.randn(128, 128, 3, 3, requires_grad=True), torch.randn(16, 128, requires_grad=True)
    ours_in = x.detach().contiguous(memory_format=torch.channels_last).requires_grad_()

    def ours() -> Tensor:
        return modulated_convolution(ours_in, weight, style) * demodulation(weight, style)[:, :, None, None]

    torch.testing.assert_close(ours(), kernels_for_each_image(x, weight, style), rtol=1e-3, atol=1e-4)
    times = []
    for call in (ours, lambda: kernels_for_each_image(x, weight, style)):
        call().sum().backward()
        times.append(median(_timed(lambda call=call: call().sum().backward()) for _ in range(runs)))  # type: ignore[misc]
    return times[0], times[1]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=7, help="steps that are timed for each row; 7 by default")
    runs = parser.parse_args().runs
    table = Table(title=f"Median of {runs} steps, {torch.get_num_threads()} threads", title_justify="left")
    for column in ("method", "ms a step", "10^9 multiply-adds a step", "10^9 a second", "time of one, in DCGAN's"):
        table.add_column(column, justify="left" if column == "method" else "right")
    reference = None
    for row, (name, settings) in ROWS.items():
        seconds, products = measured(name, settings, runs)
        reference = reference or seconds / products
        table.add_row(
            row, f"{1e3 * seconds:.0f}", f"{products / 1e9:.2f}", f"{products / seconds / 1e9:.1f}",
            f"{seconds / products / reference:.2f}",
        )  # fmt: skip
    console = Console()
    console.print(table)
    ours, theirs = convolutions(runs)
    console.print(
        f"A modulated convolution, 16 x 128 x 16 x 16: {1e3 * ours:.1f} ms; with a kernel for each image"
        f" {1e3 * theirs:.1f} ms, {theirs / ours:.1f} times as long"
    )


if __name__ == "__main__":
    main()
