"""The recipe of a study: one YAML file that says what is compared on what, at which budget."""

from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, Field, ValidationError, field_validator, model_validator

from morphogen.problems import Problem, as_problem
from morphogen.studies.editing_recipe import EditingRecipe
from morphogen.studies.parts import Budget, FileSource, PhantomSource, RecipePart, require_file_names

EMBEDDED = Path(__file__).parent / "default.yaml"
"""The comparison on phantoms that needs no data."""


class SpecimenRecipe(RecipePart):
    """One image set of the study.

    Attributes:
        kind: kind of specimen: which phase, which descriptors.
        about: a sentence for the page.
        phantom: phantoms to make; or
        images: images to read.
        another_phantom, another_images: measured images of another specimen, for the control of that name.
        segmentation: how the phase is told, "otsu", "level=112", "masks", ...; by default as its kind says.
        with_masks: methods learn image and mask together, and so generate both.
        conditions: what methods that can be conditioned are conditioned on: labels of the images, or what the kind
            calls the area fraction of its phase.
        source_phantom, source_images: what methods that translate start from.
        crop: height and width of what is trained, generated and compared.
        symmetries: flips and turns that the specimen allows; by default those of its kind.
        held_out: share of the measured area that no method sees.
        clip_percent: share of extreme pixels that the intensity map may cut at each end.
    """

    kind: str
    about: str = ""
    phantom: PhantomSource | None = None
    images: FileSource | None = None
    another_phantom: PhantomSource | None = None
    another_images: FileSource | None = None
    segmentation: str | None = None
    with_masks: bool = False
    conditions: tuple[str, ...] = ()
    source_phantom: PhantomSource | None = None
    source_images: FileSource | None = None
    crop: tuple[int, int] = (64, 64)
    symmetries: tuple[Literal["flip_horizontal", "flip_vertical", "quarter_turn"], ...] | None = None
    held_out: float = Field(default=0.3, gt=0, lt=1)
    clip_percent: float = Field(default=0.0, ge=0, lt=50)

    @model_validator(mode="after")
    def _one_source(self) -> "SpecimenRecipe":
        if (self.phantom is None) == (self.images is None):
            raise ValueError("either with a phantom or with images")
        if self.another_phantom is not None and self.another_images is not None:
            raise ValueError("with one other specimen, a phantom or images")
        if self.source_phantom is not None and self.source_images is not None:
            raise ValueError("with one set to translate, a phantom or images")
        return self


class UsefulnessRecipe(RecipePart):
    """How the worth of generated images is measured: a segmentation network is trained on them.

    Attributes:
        images: crops seen in each training.
        seeds: trainings of each kind.
    """

    images: int = Field(default=4000, ge=1)
    seeds: int = Field(default=3, ge=2)


class EvaluationRecipe(RecipePart):
    """How sets are compared.

    Attributes:
        fields: at most so many fields of every set; so many images are generated.
        features: what distances are computed over.
        inception: TorchScript file of the Inception network, for "inception".
        download_inception: fetch the standard file instead.
        resamples: replicates of the bootstrap.
        usefulness: where given, for specimens whose methods learn masks too, a segmentation network is trained on
            measured images, on generated ones and on both.
    """

    fields: int = Field(default=256, ge=8)
    features: tuple[str, ...] = Field(default=("vgg16", "descriptors"), min_length=1)
    inception: str | None = None
    download_inception: bool = False
    resamples: int = Field(default=200, ge=50)
    usefulness: UsefulnessRecipe | None = None

    @field_validator("features")
    @classmethod
    def _known(cls, features: tuple[str, ...]) -> tuple[str, ...]:
        from morphogen.evaluation.evaluate import feature_names

        for name in features:
            if name not in feature_names():
                raise ValueError(f"among {', '.join(feature_names())}")
        return features


class Recipe(RecipePart):
    """A study.

    Attributes:
        title: heading of the page.
        seed: of everything.
        budget: the same for every method.
        methods: settings of each method, by its name; {} for its defaults. The name may be any other, so that a method
            can be there more than once, if the settings say ``method``; ``seed`` is another seed than the study's.
        specimens: image sets by name.
        evaluation: how sets are compared.
    """

    title: str
    seed: int = Field(default=0, ge=0)
    budget: Budget
    methods: dict[str, dict[str, Any]] = Field(min_length=1)
    specimens: dict[str, SpecimenRecipe] = Field(min_length=1)
    evaluation: EvaluationRecipe = EvaluationRecipe()

    def method_of(self, name: str) -> str:
        """The method of a row, a file in methods/."""
        return str(self.methods[name].get("method", name))

    def settings_of(self, name: str) -> dict[str, Any]:
        """Settings of the method of a row."""
        return {key: value for key, value in self.methods[name].items() if key not in ("method", "seed")}

    def seed_of(self, name: str) -> int:
        """Seed of the training of a row."""
        return int(self.methods[name].get("seed", self.seed))

    @field_validator("methods")
    @classmethod
    def _seeds(cls, methods: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
        for name, given in methods.items():
            seed = given.get("seed", 0)
            if type(seed) is not int or seed < 0:
                raise ValueError(f"with a seed of {name} that is a whole number from 0 up")
        require_file_names(methods)
        return methods

    @field_validator("specimens")
    @classmethod
    def _file_names(cls, specimens: dict[str, SpecimenRecipe]) -> dict[str, SpecimenRecipe]:
        require_file_names(specimens)
        return specimens


AnyRecipe = Recipe | EditingRecipe
"""What a study can be: of methods, or of editors, which says ``compares: editors``."""


def read_recipe(path: Path | str) -> AnyRecipe:
    """Read a recipe.

    Raises:
        Problem: missing, not YAML, misspelt or impossible; the message names the key.
    """
    path = Path(path)
    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise Problem(f"there is no recipe {path}", do="check the path") from None
    except (yaml.YAMLError, UnicodeDecodeError, IsADirectoryError) as error:
        line = getattr(getattr(error, "problem_mark", None), "line", None)
        where = f" in line {line + 1}" if line is not None else ""
        raise Problem(f"{path} is not YAML{where}", do="mend it; recipes/ has examples") from None
    if not isinstance(found, dict):
        raise Problem(f"{path} is empty or not a recipe", do="see recipes/ for examples")
    return as_recipe(found, str(path))


def as_recipe(found: dict[str, Any], where: str) -> AnyRecipe:
    """A recipe from plain data.

    Raises:
        Problem: misspelt or impossible; the message names the key.
    """
    kind: type[BaseModel] = EditingRecipe if "compares" in found else Recipe
    try:
        recipe = kind.model_validate(found)
    except ValidationError as error:
        raise as_problem(error, where, kind) from None
    assert isinstance(recipe, AnyRecipe)
    return recipe
