"""One of the sets that a comparison is about: its name, what it is, and its fields."""

from dataclasses import dataclass
from typing import Literal

from morphogen.evaluation.records import Role
from morphogen.images.image_set import Pictures


@dataclass(frozen=True, slots=True, eq=False)
class ComparedSet:
    """A set under its name.

    Attributes:
        name: as in the tables.
        role: what it is; "measured" is the reference.
        images: its fields.
    """

    name: str
    role: Role | Literal["measured"]
    images: Pictures

    @property
    def groups(self) -> tuple[str, ...]:
        """Specimen of each field."""
        return tuple(picture.origin.specimen for picture in self.images)
