"""A tiny model for each editor, and what contract tests ask of it; a new editor adds a line to ``SMALL_EDITORS``."""

import atexit
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from morphogen.editing.editor import Instruction
from morphogen.images.folders import write_images
from morphogen.images.image_set import Pictures
from morphogen.images.picture import Picture
from morphogen.training.train import train
from small_encoder import tiny_encoder
from small_pipelines import small_pipelines
from small_service import small_service
from small_sets import SMALL, random_set, small_instructed
from small_unclip import SAID, decoder_run, waves

SIZE = (24, 36)


def hole(picture: Picture) -> np.ndarray:
    """A mask that is neither a rectangle nor at the border, of some tenth of the image."""
    height, width = picture.size
    y, x = np.mgrid[:height, :width]
    disc = (y - 0.55 * height) ** 2 + (x - 0.4 * width) ** 2 < (0.18 * height) ** 2
    disc[height // 2, : width // 4] = True
    return disc


def masked(picture: Picture) -> Instruction:
    """The mask alone: enough for an editor that fills it."""
    return Instruction(mask=hole(picture))


@cache
def folder_for_models() -> Path:
    """A folder that is gone when the tests are over."""
    folder = tempfile.TemporaryDirectory()
    atexit.register(folder.cleanup)
    return Path(folder.name)


@cache
def other_images() -> Path:
    """Measured images, larger than those of ``images``."""
    others = random_set(3, (48, 60), seed=77)
    return write_images(others, folder_for_models() / "others")


@cache
def diffusion_run() -> Path:
    """A run that has hardly begun, of images like ``images``."""
    place = folder_for_models() / "diffusion"
    train("ddpm", random_set(2), place, images_seen=40, size=(16, 24), settings=SMALL["ddpm"], cpu=True)
    return place


def nothing(picture: Picture) -> Instruction:
    """Nothing is asked: enough for an editor whose settings say it all."""
    return Instruction()


@dataclass(frozen=True)
class Small:
    """How the contract tests use an editor.

    Attributes:
        model: makes its model, once, and says where; None where it has none.
        settings: that make it quick.
        images: three pictures of one size that it can edit.
        asks: the instruction for one of them.
        by_chance: whether another seed gives another edit.
        grows: whether the edited picture is larger than the source.
        slack: grey levels that an edit may differ by from batch to batch, where floats round differently.
    """

    model: Callable[[], Path | None] = lambda: None
    settings: dict[str, Any] = field(default_factory=dict)
    images: Callable[[], Pictures] = lambda: random_set(3, SIZE)
    asks: Callable[[Picture], Instruction] = masked
    by_chance: bool = True
    grows: bool = False
    slack: int = 1


BEFORE, AFTER = "rock with dark pores", "bright grains of rock"


@cache
def captioned_run() -> Path:
    """A run that has hardly begun, told captions that it reads by attention across."""
    place = folder_for_models() / "captioned"
    encoder = folder_for_models() / "encoder"
    encoder.mkdir()
    images = random_set(4)
    told = Pictures(replace(p, labels={**p.labels, "caption": (BEFORE, AFTER)[k % 2]}) for k, p in enumerate(images))
    train("ddpm", told, place, images_seen=40, size=(16, 24), settings=SMALL["ddpm"], conditions=["caption"],
          text_encoder=tiny_encoder(encoder), cpu=True)  # fmt: skip
    return place


def two_captions(picture: Picture) -> Instruction:
    """What an image shows, and what it is to show."""
    return Instruction(caption=AFTER, before=BEFORE)


def a_concept(picture: Picture) -> Instruction:
    """Something of which there is to be more."""
    return Instruction(caption=AFTER)


def painted(picture: Picture) -> Instruction:
    """What is to be in the hole."""
    return Instruction(caption="pores", mask=hole(picture))


def ordered(picture: Picture) -> Instruction:
    """What is to be done in the hole."""
    return Instruction(words="make it brighter", mask=hole(picture))


def towards_across(picture: Picture) -> Instruction:
    """What waves are to become, and what they are."""
    return Instruction(caption=SAID["across"], before=SAID["down"])


def of_one_window() -> Pictures:
    """Images as large as the crops of the captioned run."""
    return random_set(3, (16, 24))


SMALL_EDITORS: dict[str, Small] = {
    "another": Small(other_images),
    "diffedit": Small(
        captioned_run,
        {"steps": 2, "iterations": 1, "mask_noises": 2, "threshold": 0.4, "guidance": 9},
        images=of_one_window,
        asks=two_captions,
    ),
    "hosted_edit": Small(settings=small_service(), asks=painted),
    "identity": Small(by_chance=False),
    "inpaint": Small(diffusion_run, {"passes": 1}),
    "instruct_pix2pix": Small(small_instructed, {"steps": 3}, asks=ordered),
    "ledits": Small(captioned_run, {"steps": 2, "scale": 300}, images=of_one_window, asks=a_concept),
    "noise": Small(),
    "outpaint": Small(diffusion_run, {"left": 5, "down": 9, "passes": 1, "restarts": 0}, asks=nothing, grows=True),
    "pipeline": Small(lambda: small_pipelines()["inpaint"], {"steps": 2}, asks=painted),
    "prompt_to_prompt": Small(captioned_run, {"steps": 3, "guidance": 300}, images=of_one_window, asks=two_captions),
    "sdedit": Small(diffusion_run, {"passes": 1}),
    "text_differences": Small(
        lambda: decoder_run().folder,
        {"steps": 3, "iterations": 1},
        images=lambda: waves(3, 5),
        asks=towards_across,
        by_chance=False,
    ),
    "variations": Small(
        lambda: decoder_run().folder,
        {"steps": 3, "strength": 0.5, "iterations": 1},
        images=lambda: waves(3, 5),
        asks=nothing,
    ),
}
