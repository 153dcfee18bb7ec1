"""JPEG: compression by Pillow, the severity being 100 less the quality.

JPEG has 8 bits. What it changes is found on the declared grey range in 8 bits and added to the pixels as they are, so
that a 16 bit or float image gets the blocks and ripples and keeps its depth.
"""

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from morphogen.audit.defect import FieldDefect, Material, with_pixels
from morphogen.evaluation.section import Section
from morphogen.images.picture import Picture


def _degrade(section: Section, severity: float, generator: np.random.Generator, material: Material) -> Picture:
    grey = section.picture.pixels.astype(np.float64)
    low, step = material.intensity.low, material.grey_range / 255
    if section.picture.pixels.dtype == np.uint8:
        low, step = 0.0, 1.0
    eight_bit = np.clip(np.rint((grey - low) / step), 0, 255).astype(np.uint8)
    quality = 100 - round(severity)
    if len(grey) == 3:
        change = _compressed(np.moveaxis(eight_bit, 0, -1), quality)
        change = np.moveaxis(change, -1, 0)
    else:
        change = np.stack([_compressed(channel, quality) for channel in eight_bit])
    return with_pixels(section.picture, grey + (change - eight_bit) * step, material)


def _compressed(image: NDArray[np.uint8], quality: int) -> NDArray[np.float64]:
    file = io.BytesIO()
    Image.fromarray(image).save(file, "JPEG", quality=quality)
    return np.asarray(Image.open(file), dtype=np.float64)


DEFECT = FieldDefect(
    name="JPEG",
    unit="100 - quality",
    severities=(10.0, 50.0, 80.0),
    definition="The image is compressed by JPEG with a quality of 100 less this.",
    degrade=_degrade,
)
