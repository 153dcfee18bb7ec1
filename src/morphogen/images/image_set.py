"""The only thing that passes between stages: an ordered set of pictures with a fingerprint."""

import hashlib
from collections.abc import Iterable, Iterator
from functools import cached_property
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from morphogen.images.picture import Picture
from morphogen.images.stored_pixels import levels_on_disk, stored, stored_mask
from morphogen.problems import Problem


@runtime_checkable
class ImageSet(Protocol):
    """Pictures of one kind: equal channels and pixel type, any sizes.

    Attributes:
        fingerprint: hash of the contents (pixels, masks, spacing, specimens); keys caches and reports.
    """

    @property
    def fingerprint(self) -> str:
        """Hash of the contents."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> Picture: ...

    def __iter__(self) -> Iterator[Picture]: ...


class Pictures:
    """An image set: its pictures in a row, their pixels in memory or on disk (``stored_pixels``).

    Args:
        pictures: at least one picture, all with the same channels and pixel type.
        name: what to call the set in messages.

    Raises:
        Problem: no picture, or channels or pixel types that differ.
    """

    def __init__(self, pictures: Iterable[Picture], name: str = "images") -> None:
        self._pictures = tuple(pictures)
        self.name = name
        if not self._pictures:
            raise Problem(f"{name}: there are no images", do="give at least one")
        first = self._pictures[0]
        for picture in self._pictures:
            for what, here, there in (
                ("channels", picture.channels, first.channels),
                ("pixel type", picture.pixels.dtype, first.pixels.dtype),
            ):
                if here != there:
                    raise Problem(
                        f"{name}: {what} differ, {there} in {first.origin.source} and"
                        f" {here} in {picture.origin.source}",
                        do="put images of one kind into one folder",
                    )

    def __len__(self) -> int:
        return len(self._pictures)

    def __getitem__(self, index: int, /) -> Picture:
        return self._pictures[index]

    def __iter__(self) -> Iterator[Picture]:
        return iter(self._pictures)

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of pixels, masks, shapes, types, spacing and specimens, in order; 16 hex digits.

        Of pixels on disk the hash of the contents of their volume enters, and their place in it: the volume is read
        once, in the order of storage, whatever the axis (``volume_file``). So it is another fingerprint than that of
        the same pixels in memory; which of the two a set has depends on its size alone (``folders.IN_MEMORY_BYTES``).
        """
        digest = hashlib.sha256()
        for picture in self._pictures:
            digest.update(
                f"{picture.pixels.shape}{picture.pixels.dtype.str}{picture.spacing_um}"
                f"{picture.origin.specimen}".encode()
            )
            on_disk, mask_on_disk = stored(picture.pixels), stored_mask(picture.mask)
            if on_disk is None:
                digest.update(np.ascontiguousarray(picture.pixels).tobytes())
            else:
                digest.update(on_disk.identity.encode())
            if mask_on_disk is not None:
                digest.update(f"mask{mask_on_disk.level}{mask_on_disk.pixels.identity}".encode())
            elif picture.mask is not None:
                digest.update(b"mask" + np.packbits(picture.mask).tobytes())
        return digest.hexdigest()[:16]

    @property
    def channels(self) -> int:
        """Channels of every picture."""
        return self._pictures[0].channels

    @property
    def specimens(self) -> tuple[str, ...]:
        """Names of the specimens, in order of first appearance."""
        return tuple(dict.fromkeys(picture.origin.specimen for picture in self._pictures))


def common_size(images: ImageSet, name: str = "images") -> tuple[int, int]:
    """Height and width that all pictures share.

    Raises:
        Problem: the sizes differ.
    """
    sizes = {picture.size for picture in images}
    if len(sizes) != 1:
        raise Problem(
            f"{name}: images of different sizes, {sorted(sizes)[:3]}",
            do="cut them to fields of one size first",
        )
    return sizes.pop()


def grey_levels(images: ImageSet) -> NDArray[np.float64]:
    """The grey levels of all pixels of a set; of volumes on disk about a million that stand for all.

    Of these every level that occurs is there, each about as often as its share says.
    """
    in_memory = [picture.grey.ravel() for picture in images if stored(picture.pixels) is None]
    on_disk = levels_on_disk(picture.pixels for picture in images)
    return np.concatenate([*in_memory, *(found.standing_for_all() for found in on_disk)])


def of_equal_size(images: ImageSet, at_most: int) -> Iterator[list[Picture]]:
    """Neighbours of equal size, at most so many at a time."""
    group: list[Picture] = []
    for picture in images:
        if group and (picture.size != group[0].size or len(group) == at_most):
            yield group
            group = []
        group.append(picture)
    if group:
        yield group
