"""What a browser asks of a run: one record, from which both the command and the picture at once are made.

So the picture that follows a slider and the images that ``morphogen generate`` writes are asked for in the same words,
and cannot drift apart. A browser names runs and sets; where they are is the workspace's business.
"""

from collections.abc import Callable
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

LARGEST_SEED = 2**53 - 1
"""Larger whole numbers are not exact in a browser."""

ThingName = Annotated[str, StringConstraints(min_length=1, max_length=4096)]
"""Name of a run or a set in the workspace."""

Word = Annotated[str, StringConstraints(max_length=100, pattern=r"^[^=\s]([^=]*[^=\s])?$")]
"""Name of a condition, or a word: what can stand before the "=" of an option."""

Value = Annotated[str, StringConstraints(min_length=1, max_length=1000)]
Words = Annotated[str, StringConstraints(max_length=1000)]
Number = Annotated[float, Field(allow_inf_nan=False, ge=-1e12, le=1e12)]
Side = Annotated[int, Field(ge=1, le=4096)]


class DrawingWish(BaseModel):
    """What is to be drawn; what is left out is as the run has it.

    Attributes:
        run: name of the run in the workspace.
        seed: same seed, same images.
        count: how many.
        numbers: conditions that are numbers; two of them are the ends of a range to go through evenly.
        classes: conditions that are classes, or texts other than captions.
        caption: what the images are to show.
        guidance: weight of the condition.
        image_guidance: weight of the image before, where a run has two.
        solver: a file of ``mathematics.solvers``.
        steps: noise levels that it visits.
        truncation: of styles.
        size: height and width, larger than those of training.
        context: name of a set whose masks, edges or images are told.
        sources: name of a set to translate.
        reverse: translate the other way.
        prior: name of a run that draws vectors for the caption.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    run: ThingName
    seed: int = Field(default=0, ge=0, le=LARGEST_SEED)
    count: int = Field(default=16, ge=1, le=4096)
    numbers: dict[Word, Number | tuple[Number, Number]] = Field(default={}, max_length=64)
    classes: dict[Word, Value] = Field(default={}, max_length=64)
    caption: Words = ""
    guidance: float | None = Field(default=None, ge=0, le=1e3, allow_inf_nan=False)
    image_guidance: float | None = Field(default=None, ge=0, le=1e3, allow_inf_nan=False)
    solver: Annotated[str, StringConstraints(pattern="^[a-z0-9_]{1,40}$")] | None = None
    steps: int | None = Field(default=None, ge=1, le=1000)
    truncation: float | None = Field(default=None, ge=0, le=1, allow_inf_nan=False)
    size: tuple[Side, Side] | None = None
    context: ThingName | None = None
    sources: ThingName | None = None
    reverse: bool = False
    prior: ThingName | None = None

    def command(self, place: Callable[[Literal["run", "set"], str], str]) -> list[str]:
        """Words of the command that does it, behind ``morphogen`` and without ``--out``.

        Args:
            place: from kind and name to the path that is typed.
        """
        words = ["generate", place("run", self.run), "--seed", str(self.seed)]
        if self.sources is not None:  # all of them are translated, as they are
            return [*words, "--sources", place("set", self.sources), *(["--reverse"] if self.reverse else [])]
        words += ["--count", str(self.count)]
        for name, wish in self.numbers.items():
            words += ["--ask", f"{name}={'..'.join(exactly(end) for end in _ends(wish))}"]
        for name, value in self.classes.items():
            words += ["--ask", f"{name}={value}"]
        if self.caption:
            words += ["--caption", self.caption]
        how: tuple[tuple[str, float | str | None], ...] = (
            ("--guidance", self.guidance), ("--image-guidance", self.image_guidance), ("--solver", self.solver),
            ("--steps", self.steps), ("--truncation", self.truncation),
        )  # fmt: skip
        for option, given in how:
            if given is not None:
                words += [option, exactly(given) if isinstance(given, float) else str(given)]
        if self.size is not None:
            words += ["--size", *map(str, self.size)]
        if self.context is not None:
            words += ["--context", place("set", self.context)]
        if self.prior is not None:
            words += ["--prior", place("run", self.prior)]
        return words

    def arguments(self) -> dict[str, Any]:
        """The same as arguments of ``generation.generate``, less those that name places."""
        asked: dict[str, Any] = {**self.numbers, **self.classes}
        if self.caption:
            asked["caption"] = self.caption
        return {
            "seed": self.seed, "count": self.count, "asked": asked, "guidance": self.guidance,
            "image_guidance": self.image_guidance, "solver": self.solver, "steps": self.steps,
            "truncation": self.truncation, "size": self.size,
        }  # fmt: skip


def _ends(wish: float | tuple[float, float]) -> tuple[float, ...]:
    return wish if isinstance(wish, tuple) else (wish,)


def exactly(number: float) -> str:
    """As it is read back to the bit, without a point where it is whole."""
    return f"{number:.0f}" if number == int(number) and abs(number) < 1e15 else repr(number)
