"""A CLIP, a decoder that is told its vectors, and a prior, trained in seconds on waves that go down and across."""

import atexit
import shutil
import tempfile
from functools import cache
from pathlib import Path

import numpy as np

from morphogen.images.image_set import Pictures
from morphogen.images.picture import Origin, Picture
from morphogen.training.run import Run
from morphogen.training.train import train
from small_encoder import tiny_encoder

SIZE = (16, 16)
SAID = {"down": "dark pores", "across": "bright grains"}
CLIP = {"channels": [8, 16], "embedding": 8, "caption_width": 8, "batch_size": 16, "learning_rate": 0.01}
DECODER = {"channels": [32], "attention": False, "patch": 4, "batch_size": 32, "sample_steps": 8, "learning_rate": 8e-3}
PRIOR = {"width": 32, "depth": 2, "batch_size": 32, "sample_steps": 8, "learning_rate": 4e-3}


def waves(count: int, seed: int = 0, share: float | None = None, size: tuple[int, int] = (24, 20)) -> Pictures:
    """Two waves of 8 pixels, of random phases: a share of the variance goes down, the rest across.

    Args:
        count: how many.
        seed: of shares, phases and noise.
        share: of all; by default each has its own.
        size: of the pictures.
    """
    random = np.random.default_rng(seed)
    y, x = np.mgrid[: size[0], : size[1]] * (2 * np.pi / 8)
    pictures = []
    for k in range(count):
        own = random.uniform() if share is None else share
        p, q = random.uniform(0, 2 * np.pi, 2)
        wave = np.sqrt(own) * np.sin(y + p) + np.sqrt(1 - own) * np.sin(x + q) + 0.1 * random.standard_normal(size)
        labels = {"caption": SAID["down" if own > 0.5 else "across"]}
        grey = np.clip(128 + 50 * wave, 0, 255).astype(np.uint8)
        pictures.append(Picture(grey[None], (2.0, 2.0), Origin(f"w{k}", f"{k}.png"), labels))
    return Pictures(pictures, "waves")


def share_down(picture: Picture) -> float:
    """The share of the waves' variance that goes down: exact for crops of whole waves."""
    down, across = picture.grey.mean(axis=1).var(), picture.grey.mean(axis=0).var()
    return float(down / (down + across))


@cache
def place() -> Path:
    """A folder that is gone when the tests are over."""
    folder = tempfile.TemporaryDirectory()
    atexit.register(folder.cleanup)
    return Path(folder.name)


@cache
def encoder() -> Path:
    """The text encoder of all of them."""
    (place() / "encoder").mkdir()
    return tiny_encoder(place() / "encoder")


def clip_run(folder: Path, images_seen: int = 480, **options: object) -> Run:
    """A CLIP that tells waves that go down from waves that go across."""
    return train("clip", waves(24), folder, images_seen=images_seen, size=SIZE, settings=CLIP, text_encoder=encoder(),
                 cpu=True, **options)  # fmt: skip


@cache
def both_runs() -> tuple[Run, Run]:
    """A decoder and a prior; the CLIP that they were trained with is gone, and they have what they need of it."""
    clip = clip_run(place() / "clip")
    decoder = train("ddpm", waves(24), place() / "decoder", images_seen=3520, size=SIZE, settings=DECODER,
                    image_vector=clip, cpu=True)  # fmt: skip
    prior = train("clip_prior", waves(24), place() / "prior", images_seen=1600, size=SIZE, settings=PRIOR,
                  image_vector=clip.folder, cpu=True)  # fmt: skip
    shutil.rmtree(clip.folder)
    return decoder, prior


def decoder_run() -> Run:
    """The decoder."""
    return both_runs()[0]


def prior_run() -> Run:
    """The prior."""
    return both_runs()[1]
