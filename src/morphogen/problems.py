"""What can go wrong in a way that the person at the keyboard can put right."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pydantic import BaseModel, ValidationError


class Problem(Exception):
    """One line a scientist understands: what is wrong, where, and what to do about it.

    The command line prints it without a traceback and leaves with exit code 2. Anything else that is
    raised is a fault of the program and keeps its traceback.

    Args:
        what: what is wrong and where, without a full stop at the end.
        do: what to do about it, in the imperative, without a full stop at the end.
    """

    def __init__(self, what: str, *, do: str) -> None:
        self.what = what
        self.do = do
        super().__init__(printable(" ".join(f"{what}: {do}".split())))


def printable(text: str) -> str:
    """The text with what no terminal may be sent, such as control characters in a file's name, written as escapes."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def as_problem(error: ValidationError, where: str, model: type[BaseModel]) -> Problem:
    """The first thing that is wrong with what a person wrote, in a line.

    Args:
        error: what pydantic says.
        where: the file or group that was read.
        model: what was expected; its keys are offered where one is misspelt.
    """
    first = error.errors()[0]
    place = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        known = sorted(_keys_beside(model, first["loc"]))
        close = difflib.get_close_matches(str(first["loc"][-1]), known, n=1, cutoff=0.5)
        advice = f"did you mean '{close[0]}'?" if close else f"it can be {', '.join(known)}"
        return Problem(f"{where}: '{place}' is not a known key", do=advice)
    if first["type"] == "missing":
        return Problem(f"{where}: '{place}' is missing", do="add it")
    said = first["msg"].removeprefix("Value error, ").removeprefix("Input should be ")
    if not place:  # a rule over several keys
        return Problem(f"{where}: what is given does not fit together", do=f"it should be {said}")
    return Problem(f"{where}: '{place}' is {first['input']!r}", do=f"it should be {said}")


def _keys_beside(model: type[BaseModel], place: tuple[int | str, ...]) -> list[str]:
    """The keys that could stand where the misspelt one stands, as far as the types tell."""
    from typing import get_args

    from pydantic import BaseModel

    def models_in(kind: Any) -> list[type[BaseModel]]:
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            return [kind]
        return [m for part in get_args(kind) for m in models_in(part)]

    candidates = [model]
    for part in place[:-1]:
        fields = [m.model_fields[part].annotation for m in candidates if part in m.model_fields]
        candidates = [m for kind in fields for m in models_in(kind)] or candidates
    return [key for m in candidates for key in m.model_fields]
