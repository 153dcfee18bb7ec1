"""Two processes under torchrun and one train the same weights from the same global batch."""

import os
import socket
import subprocess
import sys

import pytest
import torch
from safetensors.torch import load_file

from morphogen.images.folders import write_images
from morphogen.methods.method import method_class, method_names
from morphogen.training.run import Run
from small_sets import CONDITIONS, SMALL, random_set, small_teacher


@pytest.mark.parametrize("method", method_names())
def test_two_processes_and_one_give_the_same_weights(tmp_path, method):
    write_images(random_set(), tmp_path / "set")
    write_images(random_set(seed=9), tmp_path / "sources")
    for processes in (1, 2):
        _launch(tmp_path, method, processes)
    one, two = (load_file(tmp_path / f"run{n}" / "weights.safetensors") for n in (1, 2))
    assert Run(tmp_path / "run2").counters["images_seen"] == 24
    # Sums over a batch and over two halves of it differ in the last digits, and Adam blows up the smallest
    # gradients, so the difference is held against how far training moved the weights.
    fresh = Run(tmp_path / "run1").new_method().state_dict()
    moved = torch.cat([(value - fresh[key]).flatten() for key, value in one.items()])
    apart = torch.cat([(value - two[key]).flatten() for key, value in one.items()])
    assert moved.norm() > 1e-4 * torch.cat([value.flatten() for value in fresh.values()]).norm()
    assert apart.norm() < 0.02 * moved.norm()


def _launch(folder, method, processes):
    launcher = ["-m", "torch.distributed.run", "--nproc_per_node", str(processes)]
    launcher += ["--master_addr", "127.0.0.1", "--master_port", str(_free_port())]
    settings = [f"--set={name}={value}" for name, value in SMALL[method].items()]
    command = ["-m", "morphogen", "train", method, str(folder / "set"), "--crop", "16", "24", *settings]
    if method_class(method).needs_context:
        command += ["--context", "edges"]
    if method_class(method).learns_from:
        teach = "control" if method_class(method).needs_context else "distil"
        command = ["-m", "morphogen", teach, str(small_teacher().folder), str(folder / "set"), "--set=batch_size=4"]
    command += ["--cpu", "--images-seen", "24", "--out", str(folder / f"run{processes}")]
    if method_class(method).conditional == "must":
        command += [f"--condition={name}" for name in CONDITIONS]
    if method_class(method).translates:
        command += ["--sources", str(folder / "sources")]
    subprocess.run(
        [sys.executable, *launcher, *command],
        check=True,
        capture_output=True,
        text=True,
        timeout=180,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )


def _free_port():
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        return bound.getsockname()[1]
