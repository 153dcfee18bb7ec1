"""From a solid to what stands in front of a camera: a section with soft edges.

A section is drawn three times as fine as its pixels. The middle one of the nine says what a pixel is, as its centre
does; their mean says how bright it is, so that an edge has the mean of both sides to a ninth of a pixel.
"""

import math
from collections.abc import Callable, Mapping
from typing import TypeVar

import numpy as np
from scipy.ndimage import gaussian_filter

from morphogen.mathematics.randomness import Source, stream
from morphogen.phantoms.phantom import KindSettings, Scene
from morphogen.phantoms.solid import Solid

AnySettings = TypeVar("AnySettings", bound=KindSettings)

FINER = 3
TEXTURE = 0.02  # standard deviation of the grey within a material


def section_of(
    solid: Callable[[AnySettings, tuple[int, int, int], float, Source], Solid],
    *,
    phase: tuple[str, ...],
    greys: Mapping[str, float],
    empty: float,
    fraction: str,
    caption: Callable[[Mapping[str, float], str], str],
) -> Callable[[AnySettings, tuple[int, int], float, Source], Scene]:
    """The ``scene`` of a kind that has depth: a section, from its solid of depth 1. It raises what the solid does.

    Args:
        solid: of the kind.
        phase: the materials of interest; none for what is empty.
        greys: reflectance of each material.
        empty: reflectance of what is empty.
        fraction: name of the parameter that is the share of the phase; it is told of the pixels.
        caption: of the parameters, and of what is seen: "slice".
    """

    def scene(settings: AnySettings, size: tuple[int, int], spacing_um: float, source: Source) -> Scene:
        fine = solid(settings, (1, FINER * size[0], FINER * size[1]), spacing_um / FINER, source)
        kinds = fine.labels[0]
        labels = fine.mask(phase)[0, FINER // 2 :: FINER, FINER // 2 :: FINER].astype(np.uint8)
        grey = fine.painted(greys, empty)[0].reshape(size[0], FINER, size[1], FINER).mean((1, 3), dtype=np.float64)
        texture = gaussian_filter(stream(source, "texture").standard_normal(size), 1.5) * (2 * math.sqrt(math.pi) * 1.5)
        filled = np.clip(1 - (kinds == 0).reshape(size[0], FINER, size[1], FINER).mean((1, 3)), 0, 1)
        parameters = {**fine.parameters, fraction: float(labels.mean())}
        reflectance = np.clip(grey + TEXTURE * texture * filled, 0, 1)
        materials = kinds[FINER // 2 :: FINER, FINER // 2 :: FINER]
        return Scene(reflectance, labels, parameters, caption(parameters, "slice"), materials, fine.materials)

    return scene
