"""Phantoms with depth: a solid, the grey volume that a tomograph would make of it, and the files of both.

The grey volume is a clean reconstruction: a grey for each material and a texture within, the camera's point spread in
all three directions, and its noise; the light does not fall off across a tomogram, so there is no shading.
Instruments that project and reconstruct take the solid itself.
"""

import json
import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Protocol, cast

import numpy as np
import tifffile
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, gaussian_filter1d

from morphogen.images.picture import Label
from morphogen.mathematics.randomness import Source, numpy_generator
from morphogen.phantoms.instruments.camera import Camera
from morphogen.phantoms.instruments.instrument import Instrument, PixelType, Seen
from morphogen.phantoms.instruments.tomograph import Tomograph
from morphogen.phantoms.phantom import (
    CAMERA,
    GEOMETRY,
    Kind,
    KindSettings,
    check_window,
    module_of,
    phantom_kinds,
    settings_of,
    varied_parameters,
)
from morphogen.phantoms.sections import TEXTURE
from morphogen.phantoms.solid import Solid
from morphogen.problems import Problem
from morphogen.whole_files import require_free_folder, require_space, write_folder_whole, write_text_whole, write_whole

BYTES_A_VOXEL = 80  # at most at one time: a field and its transforms on a larger torus, or gauge, owner and labels


@dataclass(frozen=True, slots=True, eq=False)
class Volume:
    """A phantom with depth.

    Attributes:
        solid: what it is made of, exactly.
        pixels: ``(depth, height, width)``, uint8 or uint16, what a clean scan shows.
        mask: ``(depth, height, width)``, true in the phase of interest.
        kind: of phantom.
        specimen: its name, as of a 2-D phantom.
        recorded: what its instrument recorded, such as the grey scale.
    """

    solid: Solid
    pixels: NDArray[np.generic]
    mask: NDArray[np.bool_]
    kind: str
    specimen: str
    recorded: Mapping[str, Label] = field(default_factory=lambda: MappingProxyType({}))


class SolidKind(Kind, Protocol):
    """What the file of a kind with depth holds beside the rest."""

    MATERIALS: tuple[str, ...]
    PHASE: tuple[str, ...]
    GREYS: Mapping[str, float]
    EMPTY: float

    solid: Callable[[KindSettings, tuple[int, int, int], float, Source], Solid]


def solid_kinds() -> list[str]:
    """The kinds that have depth, in alphabetical order."""
    return [kind for kind in phantom_kinds() if hasattr(module_of(kind), "solid")]


def volume(
    kind: str,
    *,
    shape: tuple[int, int, int],
    seed: int,
    specimen: int = 0,
    spacing_um: float | None = None,
    dtype: PixelType = "uint8",
    camera: Instrument | None = None,
    parameters: Mapping[str, float | None] | Mapping[str, float] | None = None,
    **more: float | None,
) -> Volume:
    """One phantom with depth.

    Args:
        kind: one of ``solid_kinds``.
        shape: depth, height and width in voxels.
        seed: non-negative; the same seed, specimen and parameters give the same bytes.
        specimen: running number of the specimen under this seed, from 0.
        spacing_um: side of a voxel; the kind's own where None.
        dtype: "uint8" or "uint16".
        camera: a camera's blur, noise and grey scale without its shading, or a tomograph; a clean scan where None.
        parameters: parameters of the kind, as a mapping.
        more: the same, as keywords.

    Raises:
        Problem: a kind that is unknown or has no depth, an unknown parameter, a value out of range, a window too
            small, or one too large for the memory.
    """
    module = _solid_module(kind)
    settings = settings_of(module, {**(parameters or {}), **more})
    spacing = module.SPACING_UM if spacing_um is None else float(spacing_um)
    check_window(kind, (min(shape), max(shape)), seed, specimen, spacing, dtype)
    _require_memory(shape)
    solid = module.solid(settings, shape, spacing, numpy_generator(seed, GEOMETRY, specimen))
    seen = _seen(solid, module, camera or Camera(), dtype, seed, specimen)
    return Volume(solid, seen.pixels, solid.mask(module.PHASE), kind, f"{kind}-{seed}-{specimen:02d}", seen.recorded)


def _seen(solid: Solid, module: SolidKind, camera: Instrument, dtype: PixelType, seed: int, specimen: int) -> Seen:
    """What an instrument makes of a solid, ``(depth, height, width)``."""
    if isinstance(camera, Tomograph):
        return camera.scan(solid, dtype, numpy_generator(seed, CAMERA, specimen))
    if not isinstance(camera, Camera):
        raise Problem(f"a volume has no {camera.takes}", do="see it through the camera or the tomograph")
    optics = camera.model_copy(update={"shading": 0.0})
    grey = _reflectance(solid, module, numpy_generator(seed, CAMERA, specimen, 0))
    if optics.blur_px:
        gaussian_filter1d(grey, optics.blur_px, axis=0, output=grey, mode="reflect")
    pixels = np.empty(solid.labels.shape, dtype=dtype)
    for index, layer in enumerate(grey):  # within a layer the camera blurs
        pixels[index] = optics.photograph(layer, dtype, numpy_generator(seed, CAMERA, specimen, 1 + index))
    return Seen(pixels)


def volumes(
    kind: str,
    *,
    count: int,
    shape: tuple[int, int, int],
    seed: int,
    vary: bool = True,
    spacing_um: float | None = None,
    dtype: PixelType = "uint8",
    camera: Instrument | None = None,
    parameters: Mapping[str, float | None] | Mapping[str, float] | None = None,
    **more: float | None,
) -> Sequence[Callable[[], Volume]]:
    """Phantoms with depth of several specimens, each drawn when it is called, so that one is in memory at a time.

    Arguments as ``volume`` and ``phantoms``; specimen k depends on (seed, k) alone.

    Raises:
        Problem: a count below 1, or a kind that has no depth; calls raise what ``volume`` does.
    """
    if count < 1:
        raise Problem(f"cannot draw {count} phantoms", do="ask for at least 1")
    _solid_module(kind)
    given = {**(parameters or {}), **more}
    return [
        partial(
            volume, kind, shape=shape, seed=seed, specimen=k, spacing_um=spacing_um, dtype=dtype, camera=camera,
            parameters={**(varied_parameters(kind, seed, k) if vary else {}), **given},
        )
        for k in range(count)
    ]  # fmt: skip


def write_volumes(drawn: Sequence[Callable[[], Volume]], folder: Path | str, *, masks_only: bool = False) -> str:
    """Write volumes as TIFF stacks that ImageJ shows with type, scale and unit.

    ``images/`` holds what a scan shows, ``masks/`` the phase of interest (0 and 255), ``labels/`` the materials by
    number, ``geometry/`` the exact geometry as NumPy arrays, and ``parameters.json`` captions, parameters and
    materials. As ``images/`` and ``masks/`` have the layout of every image folder, the slices can be described, split
    and trained on.

    Args:
        drawn: from ``volumes``.
        folder: where they go; made whole or not at all.
        masks_only: show the mask itself as the image.

    Returns:
        The caption of the first.

    Raises:
        Problem: as ``volume``, no room, or no right to write.
    """
    captions: list[str] = []
    place = require_free_folder(Path(folder), "the volumes")

    def fill(made: Path) -> None:
        for name in ("images", "masks", "labels", "geometry"):
            (made / name).mkdir()
        entries = []
        for index, draw in enumerate(drawn):
            one, name = draw(), f"{index:04d}"
            if not index:
                require_space(place, len(drawn) * (one.pixels.nbytes + 2 * one.mask.nbytes), "writing volumes")
            mask = 255 * one.mask.astype(np.uint8)
            files = {"images": mask if masks_only else one.pixels, "masks": mask, "labels": one.solid.labels}
            for where, values in files.items():
                write_whole(made / where / f"{name}.tif", partial(_write_stack, values, one.solid.spacing_um))
            write_whole(made / "geometry" / f"{name}.npz", partial(_write_geometry, one.solid.geometry))
            entries.append(_entry(one, name))
            captions.append(one.solid.caption)
        write_text_whole(made / "parameters.json", json.dumps({"volumes": entries}, indent=1, allow_nan=False))

    write_folder_whole(place, fill)
    return captions[0]


def _entry(one: Volume, name: str) -> dict[str, object]:
    return {
        "file": f"{name}.tif",
        "kind": one.kind,
        "specimen": one.specimen,
        "caption": one.solid.caption,
        "shape": list(one.solid.labels.shape),
        "spacing_um": one.solid.spacing_um,
        "materials": {material: label for label, material in enumerate(one.solid.materials, start=1)},
        "fractions": dict(one.solid.fractions()),
        "instrument": dict(one.recorded),
        "parameters": {key: value if math.isfinite(value) else None for key, value in one.solid.parameters.items()},
    }


def _write_stack(values: NDArray[np.generic], spacing_um: float, path: Path) -> None:
    metadata = {"axes": "ZYX", "unit": "micron", "spacing": spacing_um}
    resolution = (1 / spacing_um, 1 / spacing_um)  # ImageJ counts pixels a unit, whatever the unit is called
    tifffile.imwrite(path, values, imagej=True, resolution=resolution, resolutionunit="NONE", metadata=metadata)


def _write_geometry(geometry: Mapping[str, NDArray[np.float64]], path: Path) -> None:
    with open(path, "wb") as file:
        np.savez_compressed(file, **{name.replace(" ", "_"): values for name, values in geometry.items()})  # type: ignore[arg-type]


def _reflectance(solid: Solid, module: SolidKind, generator: np.random.Generator) -> NDArray[np.float32]:
    """A value for each material, and a texture within: ``labels.shape`` float32."""
    grey = solid.painted(module.GREYS, module.EMPTY)
    texture = gaussian_filter(generator.standard_normal(grey.shape, dtype=np.float32), 1.0)
    texture *= TEXTURE * (2 * math.sqrt(math.pi)) ** 1.5  # back to variance 1, in three dimensions
    texture *= solid.labels > 0
    grey += texture
    return np.clip(grey, 0, 1, out=grey)


def _solid_module(kind: str) -> SolidKind:
    module = module_of(kind)
    if not hasattr(module, "solid"):
        raise Problem(f"a {kind} phantom has no depth", do=f"choose one of {', '.join(solid_kinds())}")
    return cast(SolidKind, module)


def _require_memory(shape: tuple[int, int, int]) -> None:
    needed = math.prod(shape) * BYTES_A_VOXEL
    there = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if needed > 0.8 * there:
        raise Problem(
            f"a volume of {' x '.join(map(str, shape))} voxels may take {needed / 1e9:.0f} GB of memory, and there are"
            f" {there / 1e9:.0f}",
            do="choose a smaller one",
        )
