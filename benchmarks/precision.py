"""What a training step takes in bf16, against fp32 in the same run: seconds of this CPU, steps of both in turn.

    python benchmarks/precision.py [METHOD ...] [--runs N] [--size 64]

Seconds of all its threads, so that other work on the machine counts for little. A CPU without instructions for bf16
(AVX512-BF16 or AMX) is slower in it, and `morphogen train --precision bf16` refuses it.
"""

import argparse
import time
from collections.abc import Callable
from statistics import median

import torch
from rich.console import Console
from rich.table import Table

from morphogen.mathematics.randomness import Randomness
from morphogen.methods.method import Batch, ImageShape, Task, method_class, method_settings
from morphogen.specimens.specimen import augmentations, specimen
from morphogen.training.fit import new_state, parameters_of
from morphogen.training.train import computes_in_bf16

METHODS = ("ddpm", "dit", "vae", "dcgan", "stylegan2")


def step_of(name: str, size: int) -> Callable[[bool], None]:
    """One step of all phases, in bf16 where that is asked."""
    torch.manual_seed(0)
    allowed = augmentations(specimen("rock").symmetries)
    method = method_class(name)(method_settings(name, {}), Task(ImageShape(1, size, size), augmentations=allowed))
    state = new_state(method)
    batch = Batch(torch.rand(method.settings.batch_size, 1, size, size) * 2 - 1)

    def step(in_bf16: bool) -> None:
        for number, phase in enumerate(method.phases):
            parameters = parameters_of(method, phase)
            method.requires_grad_(False)
            for parameter in parameters:
                parameter.requires_grad_(True)
            with torch.autocast("cpu", torch.bfloat16, enabled=in_bf16):
                found = method.loss(phase.name, batch, Randomness.of_images(0, 0, len(batch.images), purpose=number))
            found.total.backward()
            state.optimisers[phase.trains].step()
            state.optimisers[phase.trains].zero_grad(set_to_none=True)

    return step


def seconds(step: Callable[[bool], None], in_bf16: bool) -> float:
    """Of all threads."""
    started = time.process_time()
    step(in_bf16)
    return time.process_time() - started


def main() -> None:
    """Time, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("methods", nargs="*", default=METHODS)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--size", type=int, default=64)
    args = parser.parse_args()
    console = Console(width=110)
    console.print(f"instructions for bf16: {'yes' if computes_in_bf16() else 'no'}; {torch.get_num_threads()} threads")
    table = Table("method", "fp32, s a step", "bf16, s a step", "fp32 over bf16")
    for name in args.methods:
        step = step_of(name, args.size)
        for in_bf16 in (False, True):
            step(in_bf16)
        pairs = [(seconds(step, False), seconds(step, True)) for _ in range(args.runs)]
        single, half = (median(column) for column in zip(*pairs, strict=True))
        table.add_row(name, f"{single:.3f}", f"{half:.3f}", f"{median(a / b for a, b in pairs):.2f}")
    console.print(table)


if __name__ == "__main__":
    main()
