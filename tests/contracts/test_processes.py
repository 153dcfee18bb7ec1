"""Two processes under torchrun and one train the same weights from the same global batch."""

import os
import shlex
import socket
import subprocess
import sys
from pathlib import Path

import torch
from safetensors.torch import load_file

from morphogen.images.folders import write_images
from morphogen.methods.method import method_class, method_names
from morphogen.training.run import Run
from small_sets import CONDITIONS, SMALL, random_set, small_teacher


def test_two_processes_and_one_give_the_same_weights(tmp_path):
    """All methods in one launch, for starting Python three times takes longer than training."""
    write_images(random_set(), tmp_path / "set")
    write_images(random_set(seed=9), tmp_path / "sources")
    for processes in (1, 2):
        commands = [shlex.join(_training(tmp_path, method, processes)) for method in method_names()]
        (tmp_path / "commands").write_text("\n".join(commands), encoding="utf-8")
        _launch(processes, str(Path(__file__).with_name("one_after_the_other.py")), str(tmp_path / "commands"))
    assert [method for method in method_names() if not _alike(tmp_path, method)] == []


def test_the_command_line_is_what_torchrun_starts(tmp_path):
    write_images(random_set(), tmp_path / "set")
    _launch(2, "-m", "morphogen", *_training(tmp_path, "vae", 2))
    assert Run(tmp_path / "vae 2").counters["images_seen"] == 24


def _alike(folder, method):
    """Whether one process and two trained the same weights, and moved them at all."""
    runs = [Run(folder / f"{method} {processes}") for processes in (1, 2)]
    assert all(run.counters["images_seen"] == 24 for run in runs)
    one, two = (load_file(run.folder / "weights.safetensors") for run in runs)
    # Sums over a batch and over two halves of it differ in the last digits, and Adam blows up the smallest
    # gradients, so the difference is held against how far training moved the weights.
    fresh = runs[0].new_method().state_dict()
    moved = torch.cat([(value - fresh[key]).flatten() for key, value in one.items()])
    apart = torch.cat([(value - two[key]).flatten() for key, value in one.items()])
    assert moved.norm() > 1e-4 * torch.cat([value.flatten() for value in fresh.values()]).norm(), method
    return apart.norm() < 0.02 * moved.norm()


def _training(folder, method, processes):
    """What is typed to train a small model of a method."""
    kind, settings = method_class(method), [f"--set={name}={value}" for name, value in SMALL[method].items()]
    command = ["train", method, str(folder / "set"), "--crop", "16", "24", *settings]
    if kind.needs_context:
        command += ["--context", "edges"]
    if kind.learns_from:
        teach = "control" if kind.needs_context else "distil"
        command = [teach, str(small_teacher().folder), str(folder / "set"), "--set=batch_size=4"]
    command += ["--cpu", "--images-seen", "24", "--out", str(folder / f"{method} {processes}")]
    if kind.conditional == "must":
        command += [f"--condition={name}" for name in CONDITIONS]
    if kind.translates:
        command += ["--sources", str(folder / "sources")]
    return command


def _launch(processes, *what):
    launcher = ["-m", "torch.distributed.run", "--nproc_per_node", str(processes)]
    launcher += ["--master_addr", "127.0.0.1", "--master_port", str(_free_port())]
    subprocess.run(
        [sys.executable, *launcher, *what],
        check=True,
        capture_output=True,
        text=True,
        timeout=600,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )


def _free_port():
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        return bound.getsockname()[1]
