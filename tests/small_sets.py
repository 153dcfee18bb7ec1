"""Small image sets and small networks that the tests share."""

import atexit
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from morphogen.generation.generate import generate
from morphogen.generation.translate import translate
from morphogen.images.conditions import Conditions
from morphogen.images.context import Context
from morphogen.images.cropping import SOURCE_PLACES, Batches, RandomCrops
from morphogen.images.image_set import Pictures
from morphogen.images.intensity import IntensityMap
from morphogen.images.picture import Origin, Picture
from morphogen.mathematics.randomness import Randomness
from morphogen.methods.method import ImageShape, SampleRequest, Task, method_class
from morphogen.specimens.specimen import AUGMENTATIONS
from morphogen.training.run import Run
from morphogen.training.train import train

SMALL = {
    "vae": {"channels": [8, 16], "latent_dimensions": 4, "batch_size": 4},
    "dcgan": {"channels": [8, 16], "latent_dimensions": 4, "batch_size": 4, "r1_every": 2},
    "vanilla_gan": {
        "generator_units": [16],
        "discriminator_units": [16],
        "latent_dimensions": 4,
        "batch_size": 4,
        "spectral_norm": True,
        "learning_rate": 2e-3,
    },
    "conditional_gan": {"channels": [8, 16], "latent_dimensions": 4, "batch_size": 4, "r1_every": 2},
    "cyclegan": {"channels": [8, 16], "blocks": 1, "discriminator_channels": [8, 16], "buffer": 6, "batch_size": 4},
    "ddpm": {"channels": [16, 32], "layers": 1, "patch": 2, "batch_size": 4, "sample_steps": 3, "learning_rate": 5e-3},
    "score_sde": {"channels": [16, 32], "patch": 2, "batch_size": 4, "sample_steps": 3, "learning_rate": 5e-3},
    "score_langevin": {"channels": [16, 32], "patch": 2, "batch_size": 4, "sample_steps": 3, "learning_rate": 5e-3},
    "latent_diffusion": {
        "autoencoder_channels": [16, 16],
        "channels": [16, 32],
        "perceptual_every": 2,
        "encoded_crops": 16,
        "batch_size": 4,
        "sample_steps": 3,
        "learning_rate": 5e-3,
    },
    "dit": {"width": 16, "depth": 2, "heads": 2, "batch_size": 4, "sample_steps": 3, "learning_rate": 5e-3},
    "distilled": {"teacher": "ddpm", "batch_size": 4, "steps": 2, "learning_rate": 5e-3},
    "controlled": {"teacher": "ddpm", "batch_size": 4, "learning_rate": 5e-3},
    "stylegan2": {
        "channels": [4, 8, 8],
        "latent_dimensions": 4,
        "style_dimensions": 8,
        "batch_size": 4,
        "r1_every": 2,
        "path_length_every": 2,
        "adaptation_images": 200,
    },
}
"""Settings with which each method trains a step in milliseconds; a new method adds a line here."""

SMALL["distilled"]["teacher_settings"] = SMALL["ddpm"]
SMALL["instruct_pix2pix"] = SMALL["ddpm"] | {"channels": [16], "attention": False}
SMALL["controlled"]["teacher_settings"] = SMALL["instruct_pix2pix"]

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
        labels = {"brightness": round(float(smooth.mean()), 4) + 0.1 * k, "kind": "even" if k % 2 == 0 else "odd"}
        pictures.append(Picture(pixels, (spacing_um, spacing_um), Origin(f"s{k % specimens}", f"{k}.tif"), labels))
    return Pictures(pictures, "random")


CONDITIONS = ("brightness", "kind")
"""Labels of ``random_set`` on which methods are conditioned that must be."""


def needs(method: str, seed: int = 9, **kind: Any) -> dict[str, Any]:
    """What ``train`` must be given besides images: conditions, a set to translate, a context, or a teacher."""
    found = method_class(method)
    given: dict[str, Any] = {"conditions": CONDITIONS} if found.conditional == "must" else {}
    if found.translates:
        given["sources"] = random_set(seed=seed, **kind)
    if found.learns_from:
        given["teacher"] = small_teacher()
    if found.needs_context:
        given["context"] = "edges"
    return given


@cache
def small_teacher(size: tuple[int, int] = (16, 24), *, with_masks: bool = False) -> Run:
    """A run that has hardly begun, of a method that others may learn from, on ``random_set``."""
    folder = tempfile.TemporaryDirectory()
    atexit.register(folder.cleanup)
    images = random_set()
    if with_masks:
        images = Pictures(replace(p, mask=p.grey > 0.5 * p.grey.max()) for p in images)
    options = {"images_seen": 8, "size": size, "settings": SMALL["ddpm"], "with_masks": with_masks}
    return train("ddpm", images, Path(folder.name) / "run", cpu=True, **options)


def conditions_of(method: str, images: Pictures, *, wherever_it_may: bool = False) -> Conditions:
    """The conditions of a method on ``random_set``: none if it can do without, unless ``wherever_it_may``."""
    takes = method_class(method).conditional
    if takes != "must" and not (takes == "may" and wherever_it_may):
        return Conditions()
    found = Conditions.of(CONDITIONS, list(images))
    return found.with_seen([found.values_of(p.labels, p.mask) for p in images])


def small_task(method: str, channels: int, height: int, width: int, *, conditioned: bool = False) -> Task:
    """What a method is to learn in tests, with all augmentations there are."""
    conditions = conditions_of(method, random_set(channels=channels), wherever_it_may=conditioned)
    context = int(method_class(method).needs_context)
    return Task(ImageShape(channels, height, width), conditions, frozenset(AUGMENTATIONS), context_channels=context)


def batches(method: str, channels: int = 1, size: tuple[int, int] = (16, 24), *, conditioned: bool = False) -> Batches:
    """Crops of ``random_set`` with all that a method needs beside them."""
    images, others = random_set(channels=channels), random_set(channels=channels, seed=9)
    flips = frozenset({"flip_horizontal"})
    sources = None
    if method_class(method).translates:
        sources = RandomCrops(others, size, IntensityMap.of(others), flips, seed=5, purpose=SOURCE_PLACES)
    context = Context(kind="edges").all_channels("edges", images) if method_class(method).needs_context else []
    crops = RandomCrops(images, size, IntensityMap.of(images), flips, seed=5, context=context)
    return Batches(crops, conditions_of(method, images, wherever_it_may=conditioned), sources)


def drawn(model: Any, first: int, count: int, seed: int = 7, *, conditioned: bool = False) -> Any:
    """Images ``first`` to ``first + count - 1`` of a method, conditions and sources of k alone."""
    name = type(model).__module__.rpartition(".")[2]
    shape = model.shape
    batch = batches(name, shape.channels, (shape.height, shape.width), conditioned=conditioned)(first, count)
    request = SampleRequest(condition=batch.condition, sources=batch.sources, context=batch.context)
    return model.sample(request, Randomness.of_images(seed, first, count))


def draw(run: Any, count: int, seed: int = 9, **options: Any) -> Pictures:
    """Images of a run: drawn, or translated from a small set."""
    if run.record.context is not None:
        options["context"] = random_set(count, (run.shape.height, run.shape.width), seed=seed)
    if not method_class(run.record.method).translates:
        return generate(run, count=count, seed=seed, cpu=True, **options)
    channels = run.shape.channels - run.record.with_masks
    sources = random_set(count, (16, 24), channels, run.record.source_intensity.dtype, seed=seed)
    masked = Pictures(replace(p, mask=p.grey > 0.5 * p.grey.max()) for p in sources)
    return translate(run, masked, cpu=True, **options)


def tiny_text_encoder(folder: Path, words: Sequence[str]) -> Path:
    """A BERT of 16 numbers a token that knows these words, saved as a real one is."""
    transformers = pytest.importorskip("transformers", reason="captions need transformers")
    known = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *words]
    torch.manual_seed(0)
    config = transformers.BertConfig(
        vocab_size=len(known), hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32
    )
    transformers.BertModel(config).save_pretrained(folder)
    (folder / "vocab.txt").write_text("\n".join(known), encoding="utf-8")
    transformers.BertTokenizerFast(vocab=str(folder / "vocab.txt")).save_pretrained(folder)
    return folder


@cache
def small_instructed() -> Path:
    """A run that has hardly begun to follow instructions, on images like ``random_set``."""
    folder = tempfile.TemporaryDirectory()
    atexit.register(folder.cleanup)
    place, images = Path(folder.name), random_set()
    orders = ["make it brighter", "make it darker"]
    after = [replace(p, labels={**p.labels, "instruction": order}) for p, order in zip(images, orders, strict=True)]
    train(
        "instruct_pix2pix", Pictures(after), place / "run", context=images, conditions=["instruction"], size=(16, 24),
        text_encoder=tiny_text_encoder(place / "encoder", ["make", "it", "brighter", "darker"]), images_seen=16,
        settings=SMALL["instruct_pix2pix"], cpu=True,
    )  # fmt: skip
    return place / "run"
