"""Write captions: what is measured in an image, in the words of its kind of specimen."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType

from morphogen.evaluation.descriptors.descriptor import Descriptor, Scalar, fitted_descriptor
from morphogen.evaluation.descriptors.phase_fraction import DESCRIPTOR as PHASE_FRACTION
from morphogen.evaluation.fields import fields
from morphogen.evaluation.section import Section
from morphogen.evaluation.segmentation.segmentation import Segmentation, fit_segmentation
from morphogen.images.conditions import CAPTION
from morphogen.images.image_set import ImageSet, Pictures
from morphogen.images.picture import Picture
from morphogen.problems import Problem
from morphogen.progress import track
from morphogen.specimens.specimen import Phrase, Specimen
from morphogen.specimens.specimen import specimen as kind_of_specimen

_MOST_FIELDS = 100_000


def caption(
    images: ImageSet, *, specimen: str, segmentation: str | None = None, crop: tuple[int, int] | None = None
) -> tuple[Pictures, Segmentation]:
    """The images with captions of what is measured in them, and how their phase was told.

    The segmentation is fitted once, to all images together. Captions that images have are replaced.

    Args:
        images: measured images.
        specimen: kind of specimen, "rock"; its file says which readings are spoken of, and in what words.
        segmentation: "otsu", "masks", ...; by default as the kind says.
        crop: height and width of fields into which images are cut first, so that each caption is true of its field;
            whole images where left out.

    Raises:
        Problem: an unknown kind or segmentation, images that are smaller than a field, or a kind whose captions speak
            of a reading that does not exist.
    """
    kind = kind_of_specimen(specimen)
    found = fit_segmentation(segmentation or kind.segmentation, images, kind.phase_is)
    cut = images if crop is None else fields(images, crop, _MOST_FIELDS)
    sections = [Section.of(picture, found) for picture in cut]
    descriptors = {p.descriptor: fitted_descriptor(p.descriptor, sections) for p in kind.wording.phrases}
    told = [
        replace(section.picture, labels={**section.picture.labels, CAPTION: said(section, kind, descriptors)})
        for section in track(sections, "Captioning")
    ]
    return Pictures(told, getattr(images, "name", "images")), found


class CaptionWriter:
    """Writes captions of images of a kind, as they are or as they would be if some readings were other ones.

    Args:
        kind: of specimen.
        segmentation: how the phase is told.
        measured: images to which the descriptors are fitted.
    """

    def __init__(self, kind: Specimen, segmentation: Segmentation, measured: Sequence[Picture]) -> None:
        self._kind, self._segmentation = kind, segmentation
        sections = [Section.of(picture, segmentation) for picture in measured]
        self._descriptors = {p.descriptor: fitted_descriptor(p.descriptor, sections) for p in kind.wording.phrases}

    def __call__(self, picture: Picture, times: Mapping[str, float] = MappingProxyType({})) -> str:
        """The caption of an image.

        Args:
            picture: the image.
            times: how many times what it is each reading is to be, by its name; 1 where left out.
        """
        return said(Section.of(picture, self._segmentation), self._kind, self._descriptors, times)


def said(
    section: Section,
    kind: Specimen,
    descriptors: Mapping[str, Descriptor],
    times: Mapping[str, float] = MappingProxyType({}),
) -> str:
    """The caption of one section, or of one whose readings were so many times what they are."""
    read = {name: dict(describe(section).scalars) for name, describe in descriptors.items()}
    if PHASE_FRACTION.name in read.get("phase_fraction", {}):
        read["phase_fraction"][kind.fraction] = read["phase_fraction"][PHASE_FRACTION.name]
    for scalars in read.values():
        for name, scalar in scalars.items():
            if name in times and scalar.value is not None:
                scalars[name] = replace(scalar, value=scalar.value * times[name])
    parts = (_phrase(phrase, section, read) for phrase in kind.wording.phrases)
    return ", ".join([kind.wording.subject, *(part for part in parts if part)])


def _phrase(phrase: Phrase, section: Section, read: dict[str, dict[str, Scalar]]) -> str:
    known = read[phrase.descriptor]
    for reading in (phrase.reading, phrase.over):
        if reading and reading not in known:
            raise Problem(
                f"a caption speaks of '{reading}', which the descriptor '{phrase.descriptor}' does not read",
                do=f"let the file of the kind name one of {', '.join(sorted(known))}",
            )
    scalar = known[phrase.reading]
    under = read[phrase.descriptor][phrase.over] if phrase.over else None
    if scalar.value is None or (under is not None and not under.value):
        return ""
    if under is not None and under.value is not None:
        return phrase.of(scalar.value / under.value, "")
    pixel = min(section.pixel) if scalar.unit == section.unit else 1.0
    return phrase.of(scalar.value, scalar.unit, pixel)
