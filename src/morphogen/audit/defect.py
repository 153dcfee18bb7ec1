"""The contract of a defect: known, graded damage to measured images. Each file in ``defects`` holds one ``DEFECT``.

A defect has a physical name, a unit and severities in ascending order; severity 0 is the untouched image. It leaves
size, pixel type, spacing and origin as they are and keeps grey levels natural, so that a metric that sees it sees
the physics and not the brush. For one image all severities draw from one random stream: the graver damage contains
the lighter one wherever it can.

Two sorts. A ``FieldDefect`` damages every image by itself. A ``SetDefect`` leaves images as they are and damages the
set: it says which image stands at each place (repeats of a few, copies of training images).

A *harmless* defect changes nothing that a scientist would read from an image: metrics should stay quiet.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from morphogen.catalogue import Catalogue
from morphogen.evaluation.random_streams import Use
from morphogen.evaluation.section import Section
from morphogen.evaluation.segmentation.segmentation import Segmentation
from morphogen.images.image_set import ImageSet, Pictures
from morphogen.images.intensity import IntensityMap
from morphogen.images.picture import Picture
from morphogen.mathematics.randomness import numpy_generator
from morphogen.problems import Problem
from morphogen.specimens.specimen import Specimen

DEFECTS = Catalogue("morphogen.audit.defects", "defect", frozenset({"repainting"}))

VERSIONS = 4
"""In how many ways a repeated image may differ a little from itself."""


@dataclass(frozen=True, slots=True)
class Material:
    """What all images of an audit have in common.

    Attributes:
        specimen: their kind.
        segmentation: how its phase is told, fitted to the clean images.
        intensity: their declared grey range.
    """

    specimen: Specimen
    segmentation: Segmentation
    intensity: IntensityMap

    @property
    def grey_range(self) -> float:
        """From black to white, in the units of the pixels."""
        return self.intensity.high - self.intensity.low

    def section(self, picture: Picture) -> Section:
        """A picture with its phase."""
        return Section.of(picture, self.segmentation)

    def stored(self, grey: NDArray[np.floating]) -> NDArray[np.generic]:
        """Grey levels as pixels of the material's type: whole numbers are rounded and clipped, nothing wraps."""
        dtype = np.dtype(self.intensity.dtype)
        if np.issubdtype(dtype, np.integer):
            limits = np.iinfo(dtype)
            grey = np.clip(np.rint(grey), limits.min, limits.max)
        pixels: NDArray[np.generic] = grey.astype(dtype)
        return pixels


@dataclass(frozen=True, slots=True, kw_only=True)
class Defect:
    """What every defect says of itself.

    Attributes:
        name: "pores closed".
        unit: of the severities, "% of the porosity".
        severities: in ascending order, without 0.
        definition: one sentence.
        suits: whether it means something for a kind of specimen.
        harmless: true where metrics should stay quiet.
    """

    name: str
    unit: str
    severities: tuple[float, ...]
    definition: str
    suits: Callable[[Specimen], bool] = lambda _: True
    harmless: bool = False

    def __post_init__(self) -> None:
        if not self.severities or list(self.severities) != sorted({s for s in self.severities if s > 0}):
            raise ValueError(f"{self.name}: severities {self.severities} must be above 0 and ascend")


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldDefect(Defect):
    """Damage to each image by itself.

    Attributes:
        degrade: from a clean section, a severity, a random stream and the material to the damaged picture.
    """

    degrade: Callable[[Section, float, np.random.Generator, Material], Picture]


@dataclass(frozen=True, slots=True, eq=False)
class Places:
    """What stands at each place of a damaged set of n images.

    Attributes:
        image: ``(n,)``, which image.
        version: ``(n,)``, 0 for the image itself, 1 to ``VERSIONS`` for a repeat of it, -1 for a training image.
    """

    image: NDArray[np.intp]
    version: NDArray[np.intp]


@dataclass(frozen=True, slots=True, kw_only=True)
class SetDefect(Defect):
    """Damage to the set.

    Attributes:
        places: from the number of images, that of training images, a severity and a random stream.
        repeat: from a clean section, a version from 1, a random stream and the material to the image repeated
            with small changes; None where nothing is repeated.
    """

    places: Callable[[int, int, float, np.random.Generator], Places]
    repeat: Callable[[Section, int, np.random.Generator, Material], Picture] | None = None


AnyDefect = FieldDefect | SetDefect


def defect_names() -> list[str]:
    """The defects that are known: the files of ``defects``."""
    return DEFECTS.names()


def defect(name: str) -> AnyDefect:
    """The defect of that file name.

    Raises:
        Problem: there is none of that name.
    """
    found: AnyDefect = DEFECTS.module(name).DEFECT
    return found


def defects_for(specimen: Specimen, names: Sequence[str] | None = None) -> list[AnyDefect]:
    """The defects that mean something for a kind of specimen: the real ones first, then the harmless ones.

    Args:
        specimen: the kind.
        names: file names of those that are wanted; by default all.

    Raises:
        Problem: an unknown name, or a defect that this kind cannot have.
    """
    found = [defect(name) for name in (defect_names() if names is None else names)]
    if names is not None and (unsuited := [d.name for d in found if not d.suits(specimen)]):
        raise Problem(f"'{unsuited[0]}' means nothing for {specimen.name}", do="leave it out")
    return sorted((d for d in found if d.suits(specimen)), key=lambda d: d.harmless)


def damaged(
    defect: FieldDefect, severity: float, sections: Sequence[Section], material: Material, seed: int
) -> Pictures:
    """Every image with the same defect; severity 0 gives them back."""
    if severity == 0:
        return Pictures((section.picture for section in sections), "clean")
    return Pictures(
        (
            defect.degrade(section, severity, _stream(seed, defect, index), material)
            for index, section in enumerate(sections)
        ),
        f"{defect.name} {severity:g} {defect.unit}",
    )


def repeats(defect: SetDefect, sections: Sequence[Section], material: Material, seed: int) -> list[Pictures]:
    """Each image in ``VERSIONS`` repeats, one set a version; none where the defect repeats nothing."""
    if defect.repeat is None:
        return []
    return [
        Pictures(
            (
                defect.repeat(section, version, _stream(seed, defect, index, version), material)
                for index, section in enumerate(sections)
            ),
            f"{defect.name}, repeat {version}",
        )
        for version in range(1, VERSIONS + 1)
    ]


def degraded(
    defect: AnyDefect,
    severity: float,
    images: ImageSet,
    material: Material,
    *,
    training: ImageSet | None = None,
    seed: int = 0,
) -> Pictures:
    """A set with a defect.

    Args:
        defect: which.
        severity: how much, in its unit; 0 leaves everything as it is.
        images: clean fields of one size.
        material: what they have in common.
        training: what copies are taken from, for "copying".
        seed: of all randomness.

    Raises:
        Problem: copies are to be taken, and there are too few training images.
    """
    sections = [material.section(picture) for picture in images]
    if isinstance(defect, FieldDefect):
        return damaged(defect, severity, sections, material, seed)
    if severity == 0:
        return Pictures(images, "clean")
    sources = [Pictures(images), *repeats(defect, sections, material, seed)]
    places = defect.places(
        len(images), 0 if training is None else len(training), severity, _stream(seed, defect, len(images))
    )
    chosen = []
    for image, version in zip(places.image, places.version, strict=True):
        if version >= 0:
            chosen.append(sources[version][int(image)])
        else:
            assert training is not None
            chosen.append(training[int(image)])
    return Pictures(chosen, f"{defect.name} {severity:g} {defect.unit}")


def with_pixels(
    picture: Picture, grey: NDArray[np.floating], material: Material, mask: NDArray[np.bool_] | None = None
) -> Picture:
    """The picture with other grey levels ``(channels, height, width)`` and, where it has one, another mask."""
    if picture.mask is None or mask is None:
        mask = picture.mask
    return replace(picture, pixels=material.stored(grey), mask=mask)


def _stream(seed: int, defect: Defect, *index: int) -> np.random.Generator:
    # A checksum of the name, so that a new defect leaves the damage of all others as it was.
    return numpy_generator(seed, Use.DEFECTS, crc32(defect.name.encode()), *index)
