"""The contract of an editor: one file, one paper. What goes in is a picture and what is asked of it; out comes an edit.

A file beside this one holds ``Settings``, which a person may change, and ``Editor``. The file name is the name on the
command line. An editor works with a model in a folder (a run that ``train`` made, a pipeline of diffusers) or with none
(a control, a hosted service), says which parts of an instruction it takes and which it cannot do without, and says
where it set out to change the image, so that an edit can be audited: outside of that region every pixel is the source's
to the bit, in the source's own pixel type.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, ValidationError

from morphogen.catalogue import Catalogue
from morphogen.images.intensity import IntensityMap
from morphogen.images.picture import Label, Picture
from morphogen.pretrained.readable_text import require_readable_text
from morphogen.problems import Problem, as_problem


class EditorSettings(BaseModel):
    """What an editor can be told. Its ``Settings`` adds its own, each with a description."""

    model_config = ConfigDict(frozen=True, extra="forbid")


@dataclass(frozen=True, slots=True)
class Instruction:
    """What is asked of one image.

    Attributes:
        caption: what the edited image is to show.
        before: what the image shows now, in words.
        words: what is to be done, as an order: "make the pores larger".
        mask: ``(height, width)``, true where the image may change; None for everywhere.
        emphasis: weights of words of the caption, 1 as they are.
        asked: values of the conditions of a run, as "porosity" 0.3.
    """

    caption: str = ""
    before: str = ""
    words: str = ""
    mask: NDArray[np.bool_] | None = None
    emphasis: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))
    asked: Mapping[str, Label] = field(default_factory=lambda: MappingProxyType({}))

    @property
    def given(self) -> frozenset[str]:
        """Names of the parts that are given."""
        return frozenset(f.name for f in fields(self) if (part := getattr(self, f.name)) is not None and len(part) > 0)


PARTS = frozenset(f.name for f in fields(Instruction))
"""Names of all parts of an instruction."""


@dataclass(frozen=True, slots=True, eq=False)
class Edit:
    """What became of one image.

    Attributes:
        source: the image as it was.
        picture: the image as it is now; same size, channels, pixel type and pixel size, unless it was painted beyond
            its border.
        region: ``(height, width)`` of the picture, true where the editor set out to change it. Where it is false, the
            pixels are the source's to the bit.
        maps: pictures of how it came about, by name, ``(height, width)`` each: the attention of a word, the contrast
            that a mask was made of.
    """

    source: Picture
    picture: Picture
    region: NDArray[np.bool_]
    maps: Mapping[str, NDArray[np.float32]] = field(default_factory=lambda: MappingProxyType({}))

    def __post_init__(self) -> None:
        if self.region.shape != self.picture.size or self.region.dtype != np.bool_:
            raise ValueError(f"a region {self.region.shape} of {self.region.dtype} does not fit {self.picture.size}")
        if self.source.size == self.picture.size and not np.array_equal(
            self.source.pixels[:, ~self.region], self.picture.pixels[:, ~self.region]
        ):
            raise ValueError("an editor changed pixels outside of the region that it names")


class EditingMethod(ABC):
    """Base of all editors.

    Class attributes:
        title: how the field calls it.
        takes: which parts of an instruction it can make use of, names of attributes of ``Instruction``.
        needs: which of these it cannot do without.
        model: what the folder of its model holds, in words ("a run of a diffusion method"); "" if it has none.

    Args:
        settings: of the editor.
        folder: of its model; None where it has none.
        cpu: stay on the CPU even where there is a GPU.

    Attributes:
        sees: grey values that the editor tells apart, as its model learnt; None where there is no such limit.

    Raises:
        Problem: the folder does not hold a model that the editor can work with.
    """

    title: ClassVar[str]
    takes: ClassVar[frozenset[str]]
    needs: ClassVar[frozenset[str]] = frozenset()
    model: ClassVar[str] = ""

    def __init__(self, settings: EditorSettings, folder: Path | None, *, cpu: bool = False) -> None:
        self.settings, self.folder, self.cpu = settings, folder, cpu
        self.sees: IntensityMap | None = None

    def check(self, source: Picture, instruction: Instruction) -> None:  # noqa: B027  # most have nothing to refuse
        """Refuse now what would go wrong after a model has worked for minutes; by default nothing.

        Raises:
            Problem: the model cannot take such an image, or such an instruction.
        """

    @abstractmethod
    def edit(
        self, sources: Sequence[Picture], instructions: Sequence[Instruction], *, seed: int, first: int
    ) -> list[Edit]:
        """Edit a batch of pictures, one instruction each; all chance comes from the seed and the number of the picture.

        Args:
            sources: pictures of one size, channels and pixel type.
            instructions: as many.
            seed: the same seed gives the same edits.
            first: running number of the first picture; picture k is the same in any batch.
        """


EDITORS = Catalogue("morphogen.editing", "editor", frozenset({"editor", "edit", "diffusion_run"}))


def editor_names() -> list[str]:
    """The editors there are: the files of this folder."""
    return EDITORS.names()


def editor_class(name: str) -> type[EditingMethod]:
    """The class of an editor by its file name.

    Raises:
        Problem: there is no such editor.
    """
    return EDITORS.module(name).Editor  # type: ignore[no-any-return]


def editor_settings_kind(name: str) -> type[EditorSettings]:
    """The settings that an editor has.

    Raises:
        Problem: there is no such editor.
    """
    return EDITORS.module(name).Settings  # type: ignore[no-any-return]


def editor_settings(name: str, given: Mapping[str, Any] | None = None) -> EditorSettings:
    """An editor's settings: its defaults, changed by what is given.

    Raises:
        Problem: no such editor or setting, or a value that it cannot take.
    """
    kind = editor_settings_kind(name)
    try:
        return kind.model_validate(dict(given or {}))
    except ValidationError as error:
        raise as_problem(error, name, kind) from None


def require_sound(name: str, source: Picture, instruction: Instruction) -> None:
    """Refuse an instruction that an editor cannot follow, whatever its model.

    Raises:
        Problem: a part is missing, or says nothing to this editor; a text is too long; a mask does not fit, or is all
            or nothing.
    """
    kind = editor_class(name)
    given = instruction.given
    for part in sorted(kind.needs - given):
        raise Problem(f"{name} needs {DEMANDS[part]}", do="give it")
    for part in sorted(given - kind.takes):
        raise Problem(f"{name} makes nothing of {DEMANDS[part]}", do="leave it out, or choose another editor")
    for text in (instruction.caption, instruction.before, instruction.words):
        if text:
            require_readable_text(text)
    mask = instruction.mask
    if mask is None:
        return
    if mask.shape != source.size:
        raise Problem(
            f"a mask of {mask.shape[0]} x {mask.shape[1]} does not fit an image of {source.size[0]} x {source.size[1]}",
            do="give a mask of the image's size",
        )
    if mask.all() or not mask.any():
        what = "all" if mask.all() else "nothing"
        raise Problem(f"the mask lets {what} of the image change", do="mark the part that is to change")


DEMANDS = {
    "caption": "a caption of what the image is to show",
    "before": "a caption of what the image shows now",
    "words": "an instruction",
    "mask": "a mask of what may change",
    "emphasis": "weights of words",
    "asked": "values of conditions",
}
"""What the parts of an instruction are, in words."""
