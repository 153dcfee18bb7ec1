"""The recipe of an editing study: which edits are asked of which images, and who is asked for them."""

from collections.abc import Sequence
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from morphogen.editing.editor import PARTS, editor_names
from morphogen.phantoms.edits import CHANGES
from morphogen.problems import Problem
from morphogen.studies.parts import Budget, FileSource, RecipePart, require_file_names

CONTROLS = ("identity", "noise", "another")
"""Editors that do nothing that was asked; every study has their rows."""

CLIP = "clip"
"""What the CLIP is called among the runs."""

MEASURED = "-measured"
"""How the names of sets of measured images end, in folders."""

TRUTH = "truth again"
"""Row of the true images after, photographed once more."""


class PromptRecipe(RecipePart):
    """One edit that is asked for.

    Attributes:
        edit: a change of phantoms, see ``morphogen triples KIND --list``; it says which reading has to move.
        words: how it is said, as a paper says it, in the place of the grammar's orders.
        factor: size of the change: what words mean that tell none. Of the grammar's orders any size, if left out.
    """

    edit: str
    words: str = Field(default="", max_length=1000)
    factor: float | None = None

    @model_validator(mode="after")
    def _words_mean_a_size(self) -> "PromptRecipe":
        if self.words and self.factor is None:
            raise ValueError("with a factor, where it has words of its own: they tell no size")
        return self


class LearntRun(RecipePart):
    """A run that editors work with, trained in the study, for each set of images.

    Attributes:
        learns: "captions" of images, or "orders" from triples.
        method: a file in methods/.
        settings: of the method, that differ from its defaults.
        budget: another one than the study's.
    """

    learns: Literal["captions", "orders"]
    method: str
    settings: dict[str, Any] = Field(default={})
    budget: Budget | None = None


class EditorRecipe(RecipePart):
    """A row: an editor with its settings.

    Attributes:
        editor: a file in editing/; by default the name of the row.
        run: the run that it works with, one of the recipe's; or
        model: a folder of its model, relative to the folder given with ``--images``.
        settings: of the editor, that differ from its defaults.
        told: parts of the instruction that it is given; by default captions if it takes any, else the order.
        told_where: give it the region that truly changes as a mask, which no one knows of a measured image.
    """

    editor: str = ""
    run: str = ""
    model: str = ""
    settings: dict[str, Any] = Field(default={})
    told: tuple[str, ...] | None = None
    told_where: bool = False

    @field_validator("told")
    @classmethod
    def _parts(cls, told: tuple[str, ...] | None) -> tuple[str, ...] | None:
        for name in told or ():
            if name not in PARTS:
                raise ValueError(f"made of {', '.join(sorted(PARTS))}")
        return told

    @model_validator(mode="after")
    def _one_model(self) -> "EditorRecipe":
        if self.run and self.model:
            raise ValueError("with a run of the recipe or the folder of a model, not both")
        return self


class EditedSpecimen(RecipePart):
    """Images of one kind that are edited: phantoms, whose answer is known, and measured images where there are any.

    Attributes:
        kind: kind of specimen, "rock", "fiber" or "root".
        about: a sentence for the page.
        caption: what such an image shows, as a paper says it, in the place of the phantoms' own words; what is known of
            each follows behind it.
        prompts: the edits, by name.
        size: height and width of the images in pixels.
        triples: of phantoms, to learn from.
        images: phantoms that are edited, for each prompt.
        measured: measured images that are edited, too; where the folder that ``--images`` names has them.
        measured_images: so many crops of them at most, for each prompt.
        segmentation: how the phase of phantoms is told; by default as the kind says.
        measured_segmentation: how that of measured images is told; by default as of phantoms.
        descriptors: files of ``evaluation.descriptors`` that are read; by default those of the kind.
    """

    kind: Literal["rock", "fiber", "root"]
    about: str = ""
    caption: str = Field(default="", max_length=300)
    prompts: dict[str, PromptRecipe] = Field(min_length=1)
    size: tuple[int, int] = (64, 64)
    triples: int = Field(default=400, ge=2)
    images: int = Field(default=16, ge=2)
    measured: FileSource | None = None
    measured_images: int = Field(default=16, ge=2)
    segmentation: str | None = None
    measured_segmentation: str | None = None
    descriptors: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _edits_of_the_kind(self) -> "EditedSpecimen":
        known = [change.name for change in CHANGES[self.kind]]
        for name, prompt in self.prompts.items():
            if prompt.edit not in known:
                raise ValueError(f"with edits of {self.kind} in prompt '{name}', one of {', '.join(known)}")
        return self


class EditingRecipe(RecipePart):
    """A study of editors.

    Attributes:
        compares: "editors", which tells it from a study of methods.
        title: heading of the page.
        seed: of everything.
        budget: of each training.
        runs: what editors work with, by name.
        clip: budget of a CLIP for CLIPScore, trained on the captions; none is trained where left out.
        editors: the rows, by name; ``identity``, ``noise`` and ``another`` are added.
        specimens: what is edited, by name.
        least_held: share of the readings not asked for that an edit has to hold, to count as one that succeeded.
        papers: scores that papers report, taken against the image before.
        text_encoder: folder of the encoder that reads captions and orders; by default MiniLM, from its package.
        resamples: replicates of the bootstrap.
        precision: of the trainings; bf16 is taken where the machine computes in it, and fp32 elsewhere.
    """

    compares: Literal["editors"]
    title: str
    seed: int = Field(default=0, ge=0)
    budget: Budget
    runs: dict[str, LearntRun] = Field(default={})
    clip: Budget | None = None
    editors: dict[str, EditorRecipe] = Field(default={})
    specimens: dict[str, EditedSpecimen] = Field(min_length=1)
    least_held: float = Field(default=0.75, gt=0, le=1)
    papers: tuple[Literal["ssim", "lpips", "frechet"], ...] = ("ssim", "lpips", "frechet")
    text_encoder: str | None = None
    resamples: int = Field(default=1000, ge=50)
    precision: Literal["fp32", "bf16"] = "fp32"

    @field_validator("runs", "editors", "specimens")
    @classmethod
    def _file_names(cls, named: dict[str, Any]) -> dict[str, Any]:
        require_file_names(named)
        return named

    @model_validator(mode="after")
    def _rows_have_what_they_name(self) -> "EditingRecipe":
        if CLIP in self.runs:
            raise ValueError(f"without a run called {CLIP}: that is the CLIP's own name")
        for name in self.specimens:
            if name.endswith(MEASURED):
                raise ValueError(f"without a specimen called {name}: the measured images of another could be called so")
        for row, editor in self.editors.items():
            if row in CONTROLS:
                raise ValueError(f"without a row called {row}: it is added to every study")
            if self.editor_of(row) not in editor_names():
                raise ValueError(f"with editors among {', '.join(editor_names())}, and '{row}' is none")
            if editor.run and editor.run not in self.runs:
                raise ValueError(f"with a run '{editor.run}', which the row '{row}' names")
        return self

    def editor_of(self, row: str) -> str:
        """The editor of a row, a file in editing/."""
        return self.editors[row].editor or row if row in self.editors else row

    def budget_of(self, run: str) -> Budget:
        """The budget of a run."""
        return self.runs[run].budget or self.budget

    def narrowed(self, only: Sequence[str], seconds: float | None) -> "EditingRecipe":
        """The recipe with these specimens alone, and another budget for every training, where they are given.

        Raises:
            Problem: there is no such specimen.
        """
        for name in only:
            if name not in self.specimens:
                raise Problem(f"the recipe has no specimen '{name}'", do=f"choose among {', '.join(self.specimens)}")
        changed: dict[str, Any] = {}
        if only:
            changed["specimens"] = {name: self.specimens[name] for name in only}
        if seconds is not None:
            budget = Budget(seconds=seconds)
            changed["budget"] = budget
            changed["clip"] = budget if self.clip is not None else None
            changed["runs"] = {name: run.model_copy(update={"budget": None}) for name, run in self.runs.items()}
        return self.model_copy(update=changed)
