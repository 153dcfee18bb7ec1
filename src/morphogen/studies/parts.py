"""What recipes of every kind are made of: budgets, and where images come from."""

from collections.abc import Iterable
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator


class RecipePart(BaseModel):
    """Frozen, and a misspelt key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Budget(RecipePart):
    """What every method gets, the same for all: seconds of training, or images seen."""

    seconds: float | None = Field(default=None, gt=0)
    images: int | None = Field(default=None, ge=1)

    @model_validator(mode="after")
    def _one_of_two(self) -> "Budget":
        if (self.seconds is None) == (self.images is None):
            raise ValueError("either seconds or images")
        return self

    @property
    def words(self) -> str:
        """The budget in words."""
        if self.seconds is not None:
            return f"{self.seconds:g} seconds of training for each method"
        return f"{self.images:,} images seen by each method"


class PhantomSource(RecipePart):
    """Images that the program makes itself.

    Attributes:
        kind: "rock", "fiber" or "root".
        count: number of specimens.
        size: height and width of each in pixels.
        spacing_um: pixel size; by default that of the kind.
        parameters: see ``morphogen phantom KIND --help``.
    """

    kind: str
    count: int = Field(default=12, ge=2)
    size: tuple[int, int] = (256, 256)
    spacing_um: float | None = Field(default=None, gt=0)
    parameters: dict[str, float] = {}


class FileSource(RecipePart):
    """Images on disk, relative to the folder given with ``--images``.

    Attributes:
        path: a folder, a volume or an image.
        files: glob pattern of file names in the folder.
        axis: axis along which volumes are sliced.
        specimen_pattern: regular expression that finds the specimen's name in the file name.
        pixel_size_um: pixel size, where the files don't say it.
        shrink: whole factor by which the images are made smaller.
        grey: take the luminance of colour images.
    """

    path: str
    files: str = "*"
    axis: Literal[0, 1, 2] = 0
    specimen_pattern: str | None = None
    pixel_size_um: float | None = Field(default=None, gt=0)
    shrink: int = Field(default=1, ge=1)
    grey: bool = False


def require_file_names(names: Iterable[str]) -> None:
    """Refuse names that cannot become folders.

    Raises:
        ValueError: one has other characters than letters, digits, - and _.
    """
    for name in names:
        if not name.replace("-", "").replace("_", "").isalnum():
            raise ValueError("made of names of letters, digits, - and _, for they become folders")
