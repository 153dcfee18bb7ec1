"""A scene in three dimensions: which material every voxel is made of, exactly.

What a kind draws and an instrument looks at. Voxels are cubes; a voxel has the material in which its centre lies, so a
slice of a solid has the labels of a section through its geometry. Label 0 is empty (pore, void, crack, air) or the
background, which attenuates nothing; label k is ``materials[k - 1]``.

The file of a kind that has depth holds, beside what ``phantom`` asks of every kind, ``MATERIALS`` (the names in the
order of their labels), ``PHASE`` (the materials that the kind is about; none for pores, label 0), ``GREYS`` and
``EMPTY`` (what each material and emptiness reflect), and

    solid(settings, shape, spacing_um, source) -> Solid

with the axes depth, height and width. A solid of depth 1 is a section.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, eq=False)
class Solid:
    """A volume whose answer is known.

    Attributes:
        labels: ``(depth, height, width)`` uint8; 0 is empty or background, k is ``materials[k - 1]``.
        materials: names of the materials, in the order of their labels from 1.
        spacing_um: side of a voxel in micrometres.
        parameters: what was asked for (``..._asked``, where the drawing may differ from it) and what was realised.
        caption: one line in words.
        geometry: exact geometry by name, lengths in micrometres and angles in radians, coordinates in the order depth,
            height, width from the corner of the volume: such as "centres", "axes", "centre lines".

    Raises:
        ValueError: the labels are not a volume of uint8, or name a material that is not there.
    """

    labels: NDArray[np.uint8]
    materials: tuple[str, ...]
    spacing_um: float
    parameters: Mapping[str, float]
    caption: str
    geometry: Mapping[str, NDArray[np.float64]] = field(default_factory=lambda: MappingProxyType({}))

    def __post_init__(self) -> None:
        if self.labels.ndim != 3 or self.labels.dtype != np.uint8:
            raise ValueError(
                f"labels must be (depth, height, width) uint8, got {self.labels.shape} {self.labels.dtype}"
            )
        if self.labels.size and self.labels.max() > len(self.materials):
            raise ValueError(f"label {self.labels.max()} is none of {len(self.materials)} materials")

    def slice(self, axis: int, index: int) -> NDArray[np.uint8]:
        """Labels of one slice, a view: across the depth for axis 0, the height for 1, the width for 2."""
        section: NDArray[np.uint8] = np.moveaxis(self.labels, axis, 0)[index]
        return section

    def mask(self, phase: tuple[str, ...]) -> NDArray[np.bool_]:
        """Where the material is one of these; where it is empty, if there are none."""
        names = [label for label, name in enumerate(self.materials, start=1) if name in phase]
        return np.isin(self.labels, names or [0])

    def fractions(self) -> Mapping[str, float]:
        """Share of the voxels of each material, by name; what is left is empty."""
        counts = np.bincount(self.labels.ravel(), minlength=len(self.materials) + 1)
        shares = counts[1:] / max(self.labels.size, 1)
        return MappingProxyType({name: float(share) for name, share in zip(self.materials, shares, strict=True)})

    def painted(self, values: Mapping[str, float], empty: float = 0.0) -> NDArray[np.float32]:
        """The volume with a value for each material, such as its attenuation or its grey: ``labels.shape`` float32.

        Args:
            values: by the names of ``materials``.
            empty: of label 0.
        """
        table = np.array([empty, *(values[name] for name in self.materials)], dtype=np.float32)
        volume: NDArray[np.float32] = table[self.labels]
        return volume
