"""Prompt-to-prompt. Hertz, Mokady, Tenenbaum, Aberman, Pritch, Cohen-Or 2022 (arXiv:2208.01626).

The source and its edit are denoised side by side, each told its own caption. Where a word acts is decided by attention
across, which places belong together by attention of the image to itself; so for a span of the steps the edit is given
the attention of the source, and only what the words say differs:

    swapped words       the new word acts where the old one did
    added words         all other words act where they did, the new ones where the edit wants them
    weights of words    attention to a word is multiplied, at all steps; below 1 there is less of it

(``mathematics.attention_edits``; their section 3.2). Attention of the image to itself is injected for a span of its
own, as in the authors' code.

Where the source comes from. A picture that ``generate`` drew carries its seed: both are then sampled from its own
noise, as in the paper, by the run's own solver. Of any other picture the noise has to be found
(``mathematics.inversion``). By default that is edit-friendly inversion, which returns the source exactly under any
guidance at one evaluation a level, and whose noise carries the image (Huberman-Spiegelglas et al. 2023,
arXiv:2304.06140, combine it with prompt-to-prompt). ``start=ddim`` inverts the deterministic sampler, each
step to its exact inverse. Under either the source's side is led along its recorded path, so that its attention is that
of the image itself, whatever guidance does to the other side; that is what null-text optimisation is for.

A mask keeps the edit on the source's path outside of it at every step, and the source's pixels at the end.

What differs from the networks of the paper: those of this package are told the caption as one vector too, beside the
tokens, through the embedding of the noise level. The edit is told that of its own caption from the start.
"""

import math
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field, field_validator
from torch import Tensor

from morphogen.editing.editor import Edit, EditingMethod, EditorSettings, Instruction
from morphogen.generation.attend import titles
from morphogen.generation.captioned import CaptionedRun
from morphogen.generation.generate import DRAWN_WITH, NUMBER, SAMPLES, SEED
from morphogen.images.conditions import ASKED, CAPTION
from morphogen.images.picture import EDITED_BY, TRAINED_ON, Label, Picture
from morphogen.mathematics.attention_edits import Alignment, align, edited_attention
from morphogen.mathematics.inversion import Inversion, ddim_inversion, edit_friendly_inversion, sampled_again
from morphogen.mathematics.noise_levels import Denoiser, karras_steps
from morphogen.mathematics.randomness import Randomness
from morphogen.mathematics.solvers.solver import solver
from morphogen.methods.denoising import Given
from morphogen.networks.attention_control import Watch, controlled
from morphogen.pretrained.text_encoder import tokens_of
from morphogen.problems import Problem

_NOISE = 150
"""Purpose of the random stream of the noise of an inversion."""
_SAME = 1.0  # grey levels by which a picture that is drawn again may differ, for rounding
_SAME_FLOAT = 1e-4  # of the grey range, where pixels are floats

Span = tuple[float, float]


class Settings(EditorSettings):
    """Settings of prompt-to-prompt."""

    start: Literal["auto", "seed", "edit_friendly", "ddim"] = Field(
        default="auto",
        description="where the source's noise comes from: its seed, or inversion; auto is the seed where it has one",
    )
    steps: int = Field(default=50, ge=2, description="noise levels of an inversion")
    noise: float | None = Field(
        default=None,
        gt=0,
        description="noise level that an inversion goes up to, images have variance 1; by default the run's highest",
    )
    iterations: int = Field(default=10, ge=0, description="evaluations that better each step of ddim inversion")
    guidance: float | None = Field(
        default=None, ge=0, description="weight of the captions; by default as the run, or the source, was drawn"
    )
    across: Span = Field(
        default=(0.0, 0.8), description="span of the steps, as shares from the noisiest on, that keep where words act"
    )
    itself: Span = Field(
        default=(0.0, 0.4), description="span of the steps that keep which places of the image belong together"
    )
    text_encoder: str | None = Field(
        default=None, description="folder of the run's text encoder, where that is no longer where it was"
    )

    @field_validator("across", "itself")
    @classmethod
    def _is_a_span(cls, span: Span) -> Span:
        if not 0 <= span[0] <= span[1] <= 1:
            raise ValueError("two shares of the steps from 0 to 1, the lower one first")
        return span


class Editor(EditingMethod):
    """Prompt-to-prompt on a run that reads captions by attention across."""

    title = "prompt-to-prompt"
    takes = frozenset({"caption", "before", "emphasis", "asked", "mask"})
    needs = frozenset({"caption"})
    model = "a diffusion run that was trained with captions, which it reads by attention across"
    settings: Settings

    def __init__(self, settings: Settings, folder: Path | None, *, cpu: bool = False) -> None:
        super().__init__(settings, folder, cpu=cpu)
        if folder is None:
            raise Problem("prompt-to-prompt needs a run", do="name the folder of a diffusion run with captions")
        self.captioned = CaptionedRun(folder, text_encoder=settings.text_encoder, cpu=cpu, across=True)
        self.sees = self.captioned.run.record.intensity

    def check(self, source: Picture, instruction: Instruction) -> None:
        """Refuse what says nothing, or cannot be read."""
        captioned = self.captioned
        captioned.check(source, guidance=self.settings.guidance)
        before = captioned.caption_of(source, instruction.before)
        if not before:
            raise Problem(
                "nothing says what the image shows now", do="give a caption of it, or label the image with one"
            )
        if before == instruction.caption and not instruction.emphasis and not instruction.asked:
            raise Problem(
                f"the image shows what is asked already, '{before[:40]}'", do="ask for something else, or weigh a word"
            )
        captioned.known_of(source, instruction.asked)
        lowest, noise = captioned.method.settings.lowest_noise, self.settings.noise
        if noise is not None and noise <= lowest:
            raise Problem(f"noise {noise:g} is not above the run's lowest noise level", do=f"give more than {lowest:g}")
        captioned.words(before)
        words = captioned.words(instruction.caption)
        for phrase, weight in instruction.emphasis.items():
            tokens_of(phrase, words)
            if not math.isfinite(weight):
                raise Problem(f"the weight of '{phrase}' is {weight}", do="give a finite number")
        if self.settings.start == "seed":
            if not self._drawn_here(source):
                raise Problem(
                    f"{source.origin.specimen} does not say that this run drew it from a seed",
                    do="give images that were drawn from it, with their manifest.json, or start by inversion",
                )
            if instruction.mask is not None:
                raise Problem("a mask is given for an image that is drawn from its seed", do="start by inversion")

    def edit(
        self, sources: Sequence[Picture], instructions: Sequence[Instruction], *, seed: int, first: int
    ) -> list[Edit]:
        """Edit a batch: those that are drawn again together, and those that are inverted together."""
        with torch.inference_mode():
            return self._edited(sources, instructions, seed, first)

    def _edited(
        self, sources: Sequence[Picture], instructions: Sequence[Instruction], seed: int, first: int
    ) -> list[Edit]:
        start, found = self.settings.start, dict[int, Edit]()
        drawn: dict[tuple[Label | None, ...], list[int]] = defaultdict(list)
        if start in ("auto", "seed"):
            for k, (source, instruction) in enumerate(zip(sources, instructions, strict=True)):
                if self._drawn_here(source) and instruction.mask is None:
                    drawn[tuple(source.labels.get(name) for name in DRAWN_WITH)].append(k)
        for numbers in drawn.values():
            again = self._from_seeds([sources[k] for k in numbers], [instructions[k] for k in numbers])
            found |= {k: edit for k, edit in zip(numbers, again, strict=True) if edit is not None}
        rest = [k for k in range(len(sources)) if k not in found]
        if rest and start == "seed":
            raise Problem(
                f"{sources[rest[0]].origin.specimen} is not what the run draws from its seed",
                do="start by inversion",
            )
        if rest:
            edits = self._by_inversion([sources[k] for k in rest], [instructions[k] for k in rest],
                                       [(seed, _NOISE, first + k) for k in rest])  # fmt: skip
            found |= dict(zip(rest, edits, strict=True))
        return [found[k] for k in range(len(sources))]

    def _drawn_here(self, source: Picture) -> bool:
        """Whether a picture's labels say that this run drew it, and from which noise."""
        record, labels = self.captioned.run.record, source.labels
        return (
            all(isinstance(labels.get(name), float | int) for name in (SEED, NUMBER))
            and labels.get("method") == record.method
            and labels.get(TRAINED_ON) == record.images.fingerprint
            and EDITED_BY not in labels
        )

    def _from_seeds(self, sources: Sequence[Picture], instructions: Sequence[Instruction]) -> list[Edit | None]:
        """Sample sources and edits from the noise that the sources were drawn from; None where that gives another."""
        captioned, count, labels = self.captioned, len(sources), sources[0].labels
        method, size = captioned.method, sources[0].size
        steps, name, guidance = (labels.get(wish) for wish in DRAWN_WITH)
        drawn_with = float(guidance) if guidance is not None else None
        chosen = drawn_with if self.settings.guidance is None else self.settings.guidance
        levels = method.sampling_levels(int(steps) if steps is not None else method.settings.sample_steps)
        keys = [(int(p.labels[SEED]), SAMPLES, int(p.labels[NUMBER])) for p in sources]
        streams = Randomness(keys, captioned.device)
        inside = [side // method.pixels_inside for side in size]

        def normal() -> Tensor:
            return streams.normal(method.inside[0], *inside).repeat(2, 1, 1, 1)

        pair = self._pair(sources, instructions, levels)
        denoise = pair.denoiser(chosen)
        with controlled(method.network, pair):
            x = float(levels[0]) * normal()
            x0 = solver(str(name) if name is not None else method.settings.solver).solve(denoise, x, levels, normal)
        whole = [np.ones(size, np.bool_)] * count
        again = captioned.pictures(x0[:count], sources, whole, [{}] * count)
        edits = self._edits(x0[count:], sources, instructions, whole, pair)
        return [
            edit if self._alike(one, source) else None for edit, one, source in zip(edits, again, sources, strict=True)
        ]

    def _alike(self, one: Picture, other: Picture) -> bool:
        intensity = self.captioned.run.record.intensity
        integers = np.issubdtype(one.pixels.dtype, np.integer)
        most = _SAME if integers else _SAME_FLOAT * (intensity.high - intensity.low)
        return bool(np.abs(one.pixels.astype(np.float64) - other.pixels.astype(np.float64)).max() <= most)

    def _by_inversion(
        self, sources: Sequence[Picture], instructions: Sequence[Instruction], keys: Sequence[tuple[int, ...]]
    ) -> list[Edit]:
        """Invert the sources, and sample them again beside their edits."""
        captioned, settings, count = self.captioned, self.settings, len(sources)
        method, size = captioned.method, sources[0].size
        x0 = captioned.inside(sources)
        low, high = method.settings.lowest_noise, settings.noise or method.settings.highest_noise
        levels = karras_steps(settings.steps, low, high)
        pair = self._pair(sources, instructions, levels)
        pair.pairs = 0
        masks = [np.ones(size, np.bool_) if i.mask is None else i.mask for i in instructions]
        places = captioned.places(masks)
        with controlled(method.network, pair):
            inversion = self._inverted(captioned.denoiser(pair.before, size, settings.guidance), x0, levels, keys)
            paired = inversion.times(2)

            def between(x: Tensor, k: int) -> Tensor:
                known = inversion.path[k]
                return torch.cat([known, torch.where(places, x[count:], known)])

            pair.pairs = count
            made = sampled_again(pair.denoiser(settings.guidance), paired, between)[count:]
        return self._edits(made, sources, instructions, masks, pair)

    def _inverted(self, denoise: Denoiser, x0: Tensor, levels: Tensor, keys: Sequence[tuple[int, ...]]) -> Inversion:
        if self.settings.start == "ddim":
            return ddim_inversion(denoise, x0, levels, iterations=self.settings.iterations)
        streams = Randomness(keys, self.captioned.device)
        return edit_friendly_inversion(denoise, x0, levels, lambda: streams.normal(*x0.shape[1:]))

    def _pair(self, sources: Sequence[Picture], instructions: Sequence[Instruction], levels: Tensor) -> "_Pair":
        captioned = self.captioned
        befores = [captioned.caption_of(p, i.before) for p, i in zip(sources, instructions, strict=True)]
        afters = [i.caption for i in instructions]
        known = [captioned.known_of(p) for p in sources]
        known += [captioned.known_of(p, i.asked) for p, i in zip(sources, instructions, strict=True)]
        both = captioned.given([*sources, *sources], [*befores, *afters], known)
        assert both.tokens is not None
        front = captioned.tokens_in_front
        tokens = both.tokens.shape[1] + front
        aligned, scale = [], torch.ones(len(sources), tokens)
        for row, before, after, instruction in zip(scale, befores, afters, instructions, strict=True):
            spelt = [[(w.text, w.tokens) for w in captioned.words(text, marks=True)] for text in (before, after)]
            aligned.append(align(spelt[0], spelt[1], tokens, front))
            for phrase, weight in instruction.emphasis.items():
                row[[front + token for token in tokens_of(phrase, captioned.words(after))]] = weight
        device = captioned.device
        alignment = Alignment(
            torch.stack([a.places for a in aligned]).to(device), torch.stack([a.own for a in aligned]).to(device)
        )
        return _Pair(self, sources[0].size, both, alignment, scale.to(device), levels)

    def _edits(
        self, x0: Tensor, sources: Sequence[Picture], instructions: Sequence[Instruction],
        regions: Sequence[NDArray[np.bool_]], pair: "_Pair",
    ) -> list[Edit]:  # fmt: skip
        captioned = self.captioned
        labels = [
            {EDITED_BY: "prompt_to_prompt", ASKED + CAPTION: i.caption, **{ASKED + n: v for n, v in i.asked.items()}}
            for i in instructions
        ]
        pictures = captioned.pictures(x0, sources, regions, labels)
        maps = [pair.maps(k, i.caption) for k, i in enumerate(instructions)]
        return [Edit(*parts) for parts in zip(sources, pictures, regions, maps, strict=True)]


class _Pair:
    """Sources and edits in one batch, the sources first; a control that hands the attention of the first to the second.

    Attributes:
        before: what the sources alone are told.
        pairs: how many there are; 0 while only sources are denoised, and nothing is changed.
    """

    def __init__(
        self, editor: Editor, size: tuple[int, int], both: Given, alignment: Alignment, scale: Tensor, levels: Tensor
    ) -> None:
        self.editor, self.captioned, self.settings = editor, editor.captioned, editor.settings
        self.size, self.both, self.alignment, self.scale = size, both, alignment, scale
        self.levels: list[float] = levels.tolist()
        self.pairs = count = len(scale)
        self.before = first_of(both, count)
        self.keeps_across = self.keeps_itself = False
        shape = self.captioned.method.shape
        # Larger images are seen through windows, whose attention lies beside each other.
        self.watch = Watch(count) if size == (shape.height, shape.width) else None

    def denoiser(self, guidance: float | None) -> Denoiser:
        """Of sources and edits, which injects where it is the time for it."""
        inner: Callable[[Tensor, Tensor], Tensor] = self.captioned.denoiser(self.both, self.size, guidance)

        def denoise(x: Tensor, sigma: Tensor) -> Tensor:
            share = sum(level > float(sigma[0]) * (1 + 1e-6) for level in self.levels) / len(self.levels)
            first, last = self.settings.across
            self.keeps_across = first <= share < last
            first, last = self.settings.itself
            self.keeps_itself = first <= share < last
            return inner(x, sigma)

        return denoise

    def __call__(self, weights: Tensor, across: bool) -> Tensor:
        """The attention to be used: of sources as it is, of edits as it is to be. What is not told stays."""
        count = self.pairs
        if len(weights) < 2 * count or not count:
            return weights
        source, edited = weights[:count], weights[count : 2 * count]
        if across:
            if self.keeps_across:
                edited = edited_attention(source, edited, self.alignment)
            edited = edited * self.scale[:, None, None]
            if self.watch is not None:
                self.watch(edited, True)
        elif self.keeps_itself:
            edited = source
        return torch.cat([source, edited, weights[2 * count :]])

    def maps(self, k: int, caption: str) -> dict[str, NDArray[np.float32]]:
        """Where each word of the caption acted in edit k."""
        if self.watch is None or not self.watch.calls:
            return {}
        words = self.captioned.words(caption)
        inside = self.captioned.method.inside
        shares = self.watch.shares((inside[1], inside[2]))[k : k + 1]  # (1, M, h, w)
        front = self.captioned.tokens_in_front
        each = [shares[:, [front + t for t in w.tokens]].sum(1) for w in words]
        return {
            f"attention to {title}": self.captioned.pixels(one)[0]
            for title, one in zip(titles(words), each, strict=True)
        }


def first_of(given: Given, count: int) -> Given:
    """What the first ones of a batch are told."""
    return Given(*(
        None if part is None else part[:count] for part in (given.vector, given.told, given.tokens, given.context)
    ))  # fmt: skip
