"""Everything that ``training`` can train on an image set: generative methods, and what understands images."""

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from morphogen.catalogue import Catalogue
from morphogen.methods.method import ImageLearner, MethodSettings, method_class, method_settings
from morphogen.problems import as_problem

UNDERSTANDING = Catalogue("morphogen.understanding", "network that understands images", frozenset({"learners"}))


def understanding_names() -> list[str]:
    """What understands images: the files of this folder."""
    return UNDERSTANDING.names()


def learner_class(name: str) -> type[ImageLearner]:
    """The class of a learner by its file name.

    Raises:
        Problem: there is none of that name.
    """
    if name in understanding_names():
        return UNDERSTANDING.module(name).Method  # type: ignore[no-any-return]
    return method_class(name)


def learner_settings(name: str, given: Mapping[str, Any] | None = None) -> MethodSettings:
    """A learner's settings: its defaults, changed by what is given.

    Raises:
        Problem: no such learner or setting, or a value that it cannot take.
    """
    if name not in understanding_names():
        return method_settings(name, given)
    kind = UNDERSTANDING.module(name).Settings
    try:
        return kind.model_validate(dict(given or {}))  # type: ignore[no-any-return]
    except ValidationError as error:
        raise as_problem(error, f"settings of {name}", kind) from None
