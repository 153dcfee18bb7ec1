"""The only thing that passes between stages: an ordered set of pictures with a fingerprint."""

import hashlib
from collections.abc import Iterable, Iterator
from functools import cached_property
from typing import Protocol, runtime_checkable

import numpy as np

from morphogen.images.picture import Picture
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
    """An image set in memory.

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
        """SHA-256 of pixels, masks, shapes, types, spacing and specimens, in order; 16 hex digits."""
        digest = hashlib.sha256()
        for picture in self._pictures:
            digest.update(
                f"{picture.pixels.shape}{picture.pixels.dtype.str}{picture.spacing_um}"
                f"{picture.origin.specimen}".encode()
            )
            digest.update(np.ascontiguousarray(picture.pixels).tobytes())
            if picture.mask is not None:
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
