"""Triples made by prompts and a filter. Brooks, Holynski, Efros 2023 (arXiv:2211.09800), section 3.1.

From pairs of captions with the order that leads from one to the other: a run that reads captions draws images of the
first, the editor ``prompt_to_prompt`` changes each to the second, many times over with other seeds and settings, and
CLIP says which pairs to keep (``mathematics.directional_similarity``).

The paper lets a language model write the captions; here the grammar of edits does (``phantoms.edits``), whose captions
say numbers that an image can be held against. Its thresholds are those of CLIP ViT-L/14 on photographs. Another CLIP
has other cosines, so they are arguments, and what was measured goes with every pair.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from morphogen.editing.editor import Instruction, editor_class, editor_settings
from morphogen.generation.generate import generate
from morphogen.images.conditions import CAPTION, INSTRUCTION
from morphogen.images.image_set import ImageSet, Pictures
from morphogen.images.picture import Origin, Picture
from morphogen.images.triples import AFTER, BEFORE, ReadTriples
from morphogen.instructions.triples import ALIKE, CAPTION_BEFORE, DIRECTIONAL, EDIT, OF_CAPTION
from morphogen.mathematics.directional_similarity import cosine, directional_similarity
from morphogen.phantoms.edits import triple
from morphogen.problems import Problem
from morphogen.training.run import Run

EDITOR = "prompt_to_prompt"
"""The editor that makes the image after."""

VARIANTS = tuple({"across": (0.0, share)} for share in (0.1, 0.3, 0.5, 0.7, 0.9))
"""Shares of the steps in which attention across is injected; the paper draws one from U(0.1, 0.9) for each try."""


class ImagesAndTexts(Protocol):
    """A CLIP: images and texts as vectors of one space."""

    def images(self, images: ImageSet, /) -> NDArray[np.float64]:
        """Vectors ``(n, d)`` of images."""

    def captions(self, texts: Sequence[str], /) -> NDArray[np.float64]:
        """Vectors ``(n, d)`` of texts."""


@dataclass(frozen=True, slots=True)
class CaptionPair:
    """What an image shows before and after, the order that leads from one to the other, and its edit by name."""

    before: str
    instruction: str
    after: str
    edit: str = ""


@dataclass(frozen=True, slots=True)
class Filter:
    """What a pair has to reach to be kept; the paper's numbers.

    Attributes:
        directional: least cosine of the change of the image with that of the caption.
        alike: least cosine of both images.
        of_caption: least cosine of each image with its caption.
        most: pairs that are kept of one pair of captions, those of the largest directional similarity.
    """

    directional: float = 0.2
    alike: float = 0.75
    of_caption: float = 0.2
    most: int = 4

    def kept(self, seen: "Similarities") -> NDArray[np.intp]:
        """Which pairs of one pair of captions are kept, the best first."""
        good = (
            (seen.directional >= self.directional) & (seen.alike >= self.alike) & (seen.of_caption >= self.of_caption)
        )
        order = np.argsort(-seen.directional, kind="stable")
        return order[good[order]][: self.most]


@dataclass(frozen=True, slots=True, eq=False)
class Similarities:
    """What CLIP says of pairs of images and captions, ``(n,)`` each.

    Attributes:
        directional: of the change of the image with that of the caption.
        alike: of both images.
        of_caption: of each image with its caption, the smaller of the two.
    """

    directional: NDArray[np.float64]
    alike: NDArray[np.float64]
    of_caption: NDArray[np.float64]


def similarities(
    clip: ImagesAndTexts, before: Sequence[Picture], after: Sequence[Picture], captions: Sequence[CaptionPair]
) -> Similarities:
    """What a CLIP says of pairs.

    Args:
        clip: the CLIP.
        before: images before.
        after: images after, as many.
        captions: of each pair.
    """
    one, other = clip.images(Pictures(before)), clip.images(Pictures(after))
    said_before = clip.captions([pair.before for pair in captions])
    said_after = clip.captions([pair.after for pair in captions])
    return Similarities(
        directional_similarity(one, other, said_before, said_after),
        cosine(one, other),
        np.minimum(cosine(one, said_before), cosine(other, said_after)),
    )


def caption_pairs(kind: str, count: int, seed: int, names: Sequence[str] = ()) -> list[CaptionPair]:
    """Pairs of captions of phantoms of a kind, with instructions; pair k depends on (seed, k) alone."""
    drawn = (triple(kind, seed=seed, number=k, names=tuple(names)) for k in range(count))
    return [CaptionPair(t.before.caption, t.instruction, t.after.caption, t.change.name) for t in drawn]


def prompted_triples(
    run: Run | Path | str,
    clip: ImagesAndTexts,
    pairs: Sequence[CaptionPair],
    *,
    tries: int = 16,
    variants: Sequence[Mapping[str, Any]] = VARIANTS,
    filter: Filter = Filter(),  # frozen
    seed: int = 0,
    text_encoder: Path | str | None = None,
    cpu: bool = False,
) -> ReadTriples:
    """Pairs of generated images that an instruction leads from one to the other.

    Args:
        run: that reads captions.
        clip: that judges.
        pairs: of captions.
        tries: images drawn for each pair of captions; try k has the k-th of the variants, again from the first on.
        variants: settings of the editor.
        filter: what is kept.
        seed: of images and edits.
        text_encoder: folder of the run's text encoder, where that is no longer where it was.
        cpu: stay on the CPU even where there is a GPU.

    Raises:
        Problem: the run reads no captions, there is no such editor, or no pair is good enough.
    """
    run = run if isinstance(run, Run) else Run(run)
    text = run.record.conditions.text
    if text is None or text.name != CAPTION:
        raise Problem(f"{run.folder} reads no captions", do="train one that is conditioned on caption")
    kind = editor_class(EDITOR)
    read_by = {} if text_encoder is None else {"text_encoder": str(text_encoder)}
    editors = [kind(editor_settings(EDITOR, {**variant, **read_by}), run.folder, cpu=cpu) for variant in variants]
    before: list[Picture] = []
    after: list[Picture] = []
    for number, pair in enumerate(pairs):
        asked = {CAPTION: pair.before}
        drawn = list(generate(run, count=tries, seed=seed + number, asked=asked, text_encoder=text_encoder, cpu=cpu))
        instruction = Instruction(caption=pair.after, before=pair.before if "before" in kind.takes else "")
        edited: list[Picture] = [*drawn]
        for place, editor in enumerate(editors):
            mine = range(place, tries, len(editors))
            for k in mine:  # one by one: each try has a number of its own
                (edit,) = editor.edit([drawn[k]], [instruction], seed=seed + number, first=k)
                edited[k] = edit.picture
        seen = similarities(clip, drawn, edited, [pair] * tries)
        for k in filter.kept(seen):
            name = f"{number:04d}-{k:02d}"
            origin = Origin(f"{run.folder.name}-{name}", f"triple {name} of {run.folder.name}")
            told = {
                INSTRUCTION: pair.instruction,
                CAPTION: pair.after,
                CAPTION_BEFORE: pair.before,
                EDIT: pair.edit,
                DIRECTIONAL: float(seen.directional[k]),
                ALIKE: float(seen.alike[k]),
                OF_CAPTION: float(seen.of_caption[k]),
            }
            before.append(replace(drawn[k], origin=origin, labels={**drawn[k].labels, CAPTION: pair.before}))
            after.append(replace(edited[k], origin=origin, labels={**edited[k].labels, **told}))
    if not after:
        raise Problem(
            f"of {tries * len(pairs)} pairs none passes the filter", do="lower its thresholds, or try more often"
        )
    return ReadTriples(Pictures(before, BEFORE), Pictures(after, AFTER))
