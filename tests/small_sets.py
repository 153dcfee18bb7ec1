"""Small image sets and small networks that the tests share."""

import numpy as np

from morphogen.images.image_set import Pictures
from morphogen.images.picture import Origin, Picture

SMALL = {
    "vae": {"channels": [8, 16], "latent_dimensions": 4, "batch_size": 4},
    "dcgan": {"channels": [8, 16], "latent_dimensions": 4, "batch_size": 4, "r1_every": 2},
    "ddpm": {"channels": [16, 32], "layers": 1, "patch": 2, "batch_size": 4, "sample_steps": 3, "learning_rate": 5e-3},
}
"""Settings with which each method trains a step in milliseconds; a new method adds a line here."""

NUMBERS = {"uint8": 255, "uint16": 65535, "float32": 1.0}


def random_set(
    count: int = 2,
    size: tuple[int, int] = (40, 48),
    channels: int = 1,
    dtype: str = "uint8",
    specimens: int | None = None,
    seed: int = 0,
    spacing_um: float = 2.5,
) -> Pictures:
    """Pictures of smooth noise; picture k shows specimen k modulo ``specimens``."""
    random = np.random.default_rng(seed)
    specimens = specimens or count
    pictures = []
    for k in range(count):
        smooth = random.random((channels, *size)).cumsum(axis=1).cumsum(axis=2) % 3 / 3
        pixels = (smooth * NUMBERS[dtype]).astype(dtype)
        pictures.append(Picture(pixels, (spacing_um, spacing_um), Origin(f"s{k % specimens}", f"{k}.tif")))
    return Pictures(pictures, "random")
