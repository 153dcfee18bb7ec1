"""The latent space of a style-based run: interpolate, and mix styles.

Interpolation. Karras, Laine, Aila 2019 (arXiv:1812.04948): a style w = f(z) is drawn through the mapping network f,
and a straight line between two styles passes through images that are likely in turn; between two z, which are normal,
the line is the arc of a great circle (``mathematics.spherical``).

Style mixing. The same, section 3.1 and figure 3: some layers of an image take the style of another.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor

from morphogen.generation.generate import Asked, asked_of, asked_values, picture_of, tell_of_outside
from morphogen.generation.style_based import after_latents, device_of, labelled, opened, styles_of, synthesised
from morphogen.images.conditions import ASKED, OUTSIDE
from morphogen.images.folders import write_images
from morphogen.images.image_set import Pictures
from morphogen.images.picture import Label, Picture
from morphogen.mathematics.spherical import spherical
from morphogen.problems import Problem
from morphogen.progress import track
from morphogen.training.run import Run

if TYPE_CHECKING:
    from morphogen.generation.style_based import StyleMethod

FROM_SEED, TO_SEED, SHARE = "from seed", "to seed", "share"
"""Labels of an interpolated picture: its ends, and how far it is from the first to the second, 0 to 1."""
ROW_SEED, COLUMN_SEED, COLUMN_LAYERS = "row seed", "column seed", "layers of the column"
"""Labels of a mixed picture: where its styles are from, and which layers take the column's."""
Space = Literal["w", "z"]
BANDS = ("coarse", "middle", "fine")
"""Names of the first, second and last third of the layers."""


@dataclass(frozen=True, slots=True)
class _Source:
    """What a seed stands for: the same as image 0 that ``generate`` draws from it."""

    seed: int
    z: Tensor  # (1, latent_dimensions)
    condition: Tensor | None  # (1, width)
    values: Mapping[str, Label]
    styles: Tensor  # (1, layers, style_dimensions)


@dataclass(frozen=True, slots=True)
class Mixed:
    """A matrix of mixed styles.

    Attributes:
        rows: the pictures of the rows' seeds, as ``generate`` draws them.
        columns: those of the columns' seeds.
        images: the mixed ones, row after row, with the noise inputs of their rows.
        layers: those that take the column's style.
    """

    rows: Pictures
    columns: Pictures
    images: Pictures
    layers: tuple[int, ...]

    @property
    def words(self) -> str:
        """Which layers are the columns', in short: "layers 0-2, 5"."""
        runs: list[list[int]] = []
        for layer in self.layers:
            if runs and layer == runs[-1][-1] + 1:
                runs[-1].append(layer)
            else:
                runs.append([layer])
        parts = [f"{one[0]}-{one[-1]}" if len(one) > 1 else f"{one[0]}" for one in runs]
        return f"layer{'s' if len(self.layers) > 1 else ''} {', '.join(parts)}"


def interpolate(
    run: Run | Path | str,
    seeds: Sequence[int],
    *,
    steps: int = 9,
    space: Space = "w",
    asked: Asked | None = None,
    strict: bool = False,
    truncation: float | None = None,
    batch_size: int = 16,
    folder: Path | str | None = None,
    extension: str | None = None,
    cpu: bool = False,
) -> Pictures:
    """Lines between the styles of seeds: from the first to the second, from there to the third, and so on.

    Along a line only the style moves: the noise inputs are those of its first seed. So each line starts at the very
    picture that ``generate`` draws from that seed, and ends at the style of the next under the noise of the first.

    Args:
        run: a style-based run or its folder.
        seeds: two or more, as given to ``generate``.
        steps: pictures a line, both ends included.
        space: "w" for straight lines between styles, "z" for arcs between latent vectors (and straight lines between
            conditions, where the seeds differ in them).
        asked: as for ``generate``; a range goes evenly through the seeds.
        strict: as for ``generate``.
        truncation: as for ``generate``.
        batch_size: images drawn at a time; memory, not content.
        folder: where to write them; not written if left out.
        extension: an ending, as ".tif" or ".nrrd"; by default PNG for 8 bit and TIFF for the rest.
        cpu: stay on the CPU even where there is a GPU.

    Returns:
        ``(len(seeds) - 1) * steps`` pictures, line after line.

    Raises:
        Problem: the run is not style-based, fewer than two seeds or steps, or what ``generate`` refuses.
    """
    if len(seeds) < 2:
        raise Problem("a line goes from one seed to another", do="give two seeds or more")
    if steps < 2:
        raise Problem(f"a line of {steps} pictures has no two ends", do="give 2 steps or more")
    run, method, target = opened(run, folder, extension, cpu)
    sources = _sources(run, method, seeds, asked or {}, strict=strict, truncation=truncation)
    shares = torch.linspace(0, 1, steps, device=device_of(method))[:, None]  # (steps, 1)
    pictures: list[Picture] = []
    for here, there in track(list(pairwise(sources)), f"Drawing {len(sources) - 1} lines"):
        if space == "w":
            styles = torch.lerp(here.styles, there.styles, shares[..., None])
        else:
            condition = None
            if here.condition is not None and there.condition is not None:
                condition = torch.lerp(here.condition, there.condition, shares)
            styles = styles_of(method, spherical(here.z, there.z, shares), condition, truncation)
        drawn = synthesised(method, styles, [here.seed] * steps, batch_size)
        for k, (channels, share) in enumerate(zip(drawn, shares[:, 0].tolist(), strict=True)):
            name = f"{run.folder.name}-{here.seed}-{there.seed}-{k}"
            labels: dict[str, Label] = {FROM_SEED: float(here.seed), TO_SEED: float(there.seed), SHARE: round(share, 6)}
            labels |= {"interpolated in": space} | _asked_between(here, there, share, space)
            labels |= _warning(run, [here, there])
            pictures.append(labelled(picture_of(run, channels, name, method.learnt_through), labels))
    made = Pictures(pictures, f"interpolations of {run.folder.name}")
    if target is not None:
        write_images(made, target, extension=extension)
    return made


def mix(
    run: Run | Path | str,
    rows: Sequence[int],
    columns: Sequence[int],
    *,
    layers: str | Iterable[int] = "coarse",
    asked: Asked | None = None,
    strict: bool = False,
    truncation: float | None = None,
    batch_size: int = 16,
    folder: Path | str | None = None,
    extension: str | None = None,
    cpu: bool = False,
) -> Mixed:
    """The picture of each row with some of its layers in the style of each column.

    Args:
        run: a style-based run or its folder.
        rows: seeds, as given to ``generate``; an image takes all else from its row, the noise inputs too.
        columns: seeds of the styles that are mixed in.
        layers: which layers take the column's style: "coarse", "middle" or "fine" for a third of them, or their
            numbers, coarsest first: "0-2", "0,3", (0, 1, 2).
        asked: as for ``generate``; a range goes evenly through the rows and then the columns.
        strict: as for ``generate``.
        truncation: as for ``generate``.
        batch_size: images drawn at a time; memory, not content.
        folder: where to write them, as ``rows/``, ``columns/`` and, the mixed ones, ``images/``; not written if left
            out.
        extension: an ending, as ".tif" or ".nrrd"; by default PNG for 8 bit and TIFF for the rest.
        cpu: stay on the CPU even where there is a GPU.

    Raises:
        Problem: the run is not style-based, no row or column, layers that it does not have, or what ``generate``
            refuses.
    """
    if not rows or not columns:
        raise Problem("styles of no seed cannot be mixed", do="give at least one row and one column")
    run, method, target = opened(run, folder, extension, cpu)
    chosen = layers_named(layers, method.style_layers)
    sources = _sources(run, method, [*rows, *columns], asked or {}, strict=strict, truncation=truncation)
    alone = Pictures(_own_pictures(run, method, sources, batch_size), f"sources of {run.folder.name}")
    of_rows, of_columns = sources[: len(rows)], sources[len(rows) :]
    pairs = [(row, column) for row in of_rows for column in of_columns]
    takes = torch.zeros(method.style_layers, 1, dtype=torch.bool, device=device_of(method))
    takes[list(chosen)] = True
    styles = torch.cat([torch.where(takes, column.styles, row.styles) for row, column in pairs])
    drawn = synthesised(method, styles, [row.seed for row, _ in pairs], batch_size)
    pictures = []
    for channels, (row, column) in zip(drawn, pairs, strict=True):
        picture = picture_of(run, channels, f"{run.folder.name}-{row.seed}-{column.seed}", method.learnt_through)
        which = ", ".join(map(str, chosen))
        labels: dict[str, Label] = {ROW_SEED: float(row.seed), COLUMN_SEED: float(column.seed), COLUMN_LAYERS: which}
        labels |= _warning(run, [row, column])
        pictures.append(labelled(picture, labels))
    mixed = Mixed(
        Pictures(alone[k] for k in range(len(rows))),
        Pictures(alone[k] for k in range(len(rows), len(alone))),
        Pictures(pictures, f"mixed styles of {run.folder.name}"),
        chosen,
    )
    if target is not None:
        for images, place in (
            (mixed.images, target),
            (mixed.rows, target / "rows"),
            (mixed.columns, target / "columns"),
        ):
            write_images(images, place, extension=extension)
    return mixed


def layers_named(words: str | Iterable[int], count: int) -> tuple[int, ...]:
    """The numbers of style layers, coarsest first.

    Karras et al. 2019 call the layers of 4 and 8 pixels coarse, those of 16 and 32 middle and the rest fine, which is
    about a third each at 256 pixels. Here it is a third each at any size.

    Args:
        words: "coarse", "middle" or "fine", or numbers as "0-2" or "0,3-4", or the numbers themselves.
        count: how many layers there are.

    Raises:
        Problem: no such layer.
    """
    if isinstance(words, str) and words in BANDS:
        band = BANDS.index(words)
        numbers = list(range(count * band // 3, count * (band + 1) // 3))
    elif isinstance(words, str):
        numbers = []
        for part in words.split(","):
            first, dash, last = (word.strip() for word in part.partition("-"))
            if not first.isdecimal() or (dash and not last.isdecimal()):
                raise Problem(
                    f"'{words}' names no layers",
                    do=f"give {', '.join(BANDS)}, or numbers from 0 to {count - 1} as '0-2'",
                )
            # One beyond the last is enough to be refused; a million would not be.
            numbers += range(int(first), min(int(last if dash else first), count) + 1)
    else:
        numbers = [int(number) for number in words]
    if not numbers or min(numbers) < 0 or max(numbers) >= count:
        named = words if isinstance(words, str) else numbers
        raise Problem(f"there are no layers '{named}' in this run", do=f"it has the layers 0 to {count - 1}")
    return tuple(sorted(set(numbers)))


def _sources(
    run: Run,
    method: "StyleMethod",
    seeds: Sequence[int],
    asked: Asked,
    *,
    strict: bool,
    truncation: float | None,
) -> list[_Source]:
    """What ``generate(run, count=1, seed=s)`` starts from, for each seed; a range that is asked goes through them."""
    device = device_of(method)
    asked_of_each = [asked_values(run, asked_of(asked, k, len(seeds)), 1, seed)[0] for k, seed in enumerate(seeds)]
    tell_of_outside(run, asked_of_each, strict=strict)
    sources = []
    for seed, values in zip(seeds, asked_of_each, strict=True):
        condition = None
        if run.record.conditions:
            condition = torch.from_numpy(run.record.conditions.encode(values)).to(device)[None]
        z = after_latents(method, [seed])[1]
        sources.append(_Source(seed, z, condition, values, styles_of(method, z, condition, truncation)))
    return sources


def _own_pictures(run: Run, method: "StyleMethod", sources: Sequence[_Source], batch_size: int) -> Iterator[Picture]:
    styles, seeds = torch.cat([source.styles for source in sources]), [source.seed for source in sources]
    for source, channels in zip(sources, synthesised(method, styles, seeds, batch_size), strict=True):
        picture = picture_of(run, channels, f"{run.folder.name}-{source.seed}-0", method.learnt_through)
        asked = {ASKED + name: value for name, value in source.values.items()}
        yield labelled(picture, {"seed": float(source.seed), **asked, **_warning(run, [source])})


def _warning(run: Run, sources: Sequence[_Source]) -> dict[str, Label]:
    """What was asked of these beyond what training saw, as a label."""
    outside = dict.fromkeys(words for source in sources for words in run.record.conditions.outside(source.values))
    return {OUTSIDE: "; ".join(outside)} if outside else {}


def _asked_between(here: _Source, there: _Source, share: float, space: Space) -> dict[str, Label]:
    """What was asked of a picture on a line: of its ends what they were asked, between them what both were asked.

    In z the numbers go evenly from one to the other; in W nothing was asked of what lies between.
    """
    found: dict[str, Label] = {}
    for name, first in here.values.items():
        last = there.values[name]
        if first == last or share == 0:
            found[ASKED + name] = first
        elif share == 1:
            found[ASKED + name] = last
        elif space == "z" and not isinstance(first, str) and not isinstance(last, str):
            found[ASKED + name] = first + share * (last - first)
    return found
