"""How a measured file stores its pixels, so that what is generated can be stored alike."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from morphogen.images.endings import ending_of, format_of, place_of
from morphogen.images.folders import image_files, require_format, write_images
from morphogen.images.formats.plane import UnreadableImageError
from morphogen.images.image_set import ImageSet
from morphogen.problems import Problem


@dataclass(frozen=True, slots=True)
class Storing:
    """How images are to be written.

    Attributes:
        extension: ending of their files; None for PNG where they are 8 bit and TIFF otherwise.
        stored_as: type of number in the files, as "int16", where that is not the type of the pixels.
        as_stack: whether they are the slices of one file.
    """

    extension: str | None = None
    stored_as: str | None = None
    as_stack: bool = False

    def write(self, images: ImageSet, folder: Path) -> None:
        """Write a set so."""
        write_images(images, folder, extension=self.extension, stored_as=self.stored_as, as_stack=self.as_stack)


def storing(
    pixel_type: str,
    *,
    extension: str | None = None,
    like: Path | str | None = None,
    as_stack: bool = False,
) -> Storing:
    """How to write what will have such pixels, refused now if it cannot be.

    Args:
        pixel_type: type of the pixels that are to be written.
        extension: the ending that is wanted.
        like: a measured file instead, whose ending and type of number they are to have; a volume, or a folder of
            images, of which the first counts; ``scan.h5:/inside`` as in reading.
        as_stack: whether they are to be the slices of one file.

    Raises:
        Problem: no such file, one with another type of pixels, or a format that cannot hold them.
    """
    if like is None:
        if extension is not None or as_stack:
            require_format(extension or ".tif", pixel_type, as_stack=as_stack)
        return Storing(extension, None, as_stack)
    if extension is not None:
        raise Problem("an ending is given, and a file that has one", do="give the one or the other")
    path, inside = place_of(Path(like))
    first = image_files(path)[0]
    stored = _stored_type(first, inside)
    stored_as = "uint8" if stored == np.bool_ else stored.name
    if (stored_as if stored_as in ("uint8", "uint16") else "float32") != pixel_type:
        raise Problem(
            f"{first} has {stored} pixels and what the run makes has {pixel_type}",
            do="name a file like those that it was trained on",
        )
    require_format(ending_of(first), stored_as, as_stack=as_stack)
    return Storing(ending_of(first), stored_as, as_stack)


def _stored_type(file: Path, inside: str | None) -> np.dtype[np.generic]:
    """The type of number in a file, in the byte order of this machine."""
    module = format_of(ending_of(file))
    try:
        if hasattr(module, "stored_type"):
            stored: np.dtype[np.generic] = module.stored_type(file)
        elif hasattr(module, "open_volume"):
            volume = module.open_volume(file, inside)
            stored = getattr(volume, "stored", volume.dtype)
            volume.close()
        else:
            stored = module.read(file, 0)[0].pixels.dtype
    except UnreadableImageError as error:
        raise Problem(f"{file} {error}", do=error.do) from None
    return stored.newbyteorder("=")
