"""What the editors that paint with a diffusion run have in common: pixels that are known, and others that are drawn.

The run's denoiser is told the known pixels (``mathematics.known_region``) and followed from noise, or from the image
with noise upon it, to an image; in the picture only the region to be changed is replaced, in its own pixel type.

Only the surroundings of the region are looked at: a window of the run's crop where the region fits into one, and
overlapping windows (``mathematics.windows``) over a rectangle around it where it does not. What of that rectangle lies
beyond the image's border is drawn and thrown away.

Under latent diffusion a place of the latent is known where all pixels that it stands for are, and those of its
neighbours; hidden pixels are filled with the nearest known ones before they are encoded. What is drawn has passed
the decoder, and lacks what that cannot give (``morphogen reconstruct`` says what). What the decoder gets wrong is known
where the pixels are: it is carried into the region as a membrane (``mathematics.membranes``), so that the two meet
without a step. Texture that the decoder does not give stays missing.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field, field_validator
from scipy.ndimage import distance_transform_edt
from torch import Tensor
from torch.nn.functional import max_pool2d

from morphogen.editing.editor import Edit, EditingMethod, EditorSettings, Instruction
from morphogen.generation.generate import asked_values, require_able, tell_of_outside, told
from morphogen.generation.prior import untold_vectors
from morphogen.images.conditions import ASKED, CAPTION, known_as
from morphogen.images.context import name_of
from morphogen.images.mask_channel import channel_of_mask, mask_of_channel
from morphogen.images.picture import TRAINED_ON, TRAINED_THROUGH, Label, Picture
from morphogen.mathematics.known_region import filled, told_known
from morphogen.mathematics.membranes import membrane
from morphogen.mathematics.randomness import Randomness
from morphogen.mathematics.solvers.solver import solver as find_solver
from morphogen.mathematics.solvers.solver import solver_names
from morphogen.methods.denoising import DenoisingMethod
from morphogen.methods.method import SampleRequest, method_class, method_names
from morphogen.problems import Problem
from morphogen.progress import console
from morphogen.training.captions import encoder_of
from morphogen.training.run import Run
from morphogen.training.train import SAME_SCALE, uses_gpu
from morphogen.understanding.learners import learner_class

_PAINTING = 132
"""Purpose of the random streams of what is painted."""

Hole = NDArray[np.bool_]


class PaintSettings(EditorSettings):
    """How a diffusion run paints."""

    steps: int | None = Field(default=None, ge=1, description="noise levels that are visited; by default as the run")
    solver: str | None = Field(default=None, description="how they are gone through; by default as the run")
    guidance: float | None = Field(default=None, ge=0, description="weight of the condition; by default as the run")
    passes: int = Field(
        default=4, ge=0, le=50, description="derivatives a level that tell what is known; 0 for replacement alone"
    )
    doubt: float = Field(default=0.3, ge=0, description="how far these are off; more leans on replacement")
    restarts: int = Field(default=1, ge=0, description="how often it is drawn again from a noise level between")
    restart_from: float = Field(default=1.0, gt=0, description="that noise level, images have variance 1")
    overlap: int | None = Field(default=None, ge=0, description="pixels that windows share; by default half a window")
    membrane: bool = Field(
        default=True, description="under latent diffusion: carry the decoder's error at the border into the region"
    )
    text_encoder: str | None = Field(default=None, description="folder of the run's text encoder, where it was moved")

    @field_validator("solver")
    @classmethod
    def _is_a_solver(cls, name: str | None) -> str | None:
        if name is not None and name not in solver_names():
            raise ValueError(f"one of {', '.join(solver_names())}")
        return name


@dataclass(frozen=True)
class Canvas:
    """What is painted on.

    Attributes:
        unit: ``(channels, height, width)`` in [-1, 1], with the mask as the last channel where the run has one.
        known: like it, true where it is known.
        region: ``(height, width)``, true where it is painted.
    """

    unit: NDArray[np.float32]
    known: NDArray[np.bool_]
    region: Hole


class DiffusionRunEditor(EditingMethod):
    """An editor that works with a run of a diffusion method."""

    model = "a run of a diffusion method"
    settings: PaintSettings

    def __init__(self, settings: EditorSettings, folder: Path | None, *, cpu: bool = False) -> None:
        super().__init__(settings, folder, cpu=cpu)
        assert folder is not None
        self.run = Run(folder)
        record, kind = self.run.record, learner_class(self.run.record.method)
        self.sees = record.intensity
        if not issubclass(kind, DenoisingMethod):
            able = ", ".join(n for n in method_names() if _paints(n))
            raise Problem(f"{folder} is a run of {record.method}, no diffusion method", do=f"name a run of {able}")
        if record.context is not None:
            raise Problem(f"{folder} draws images for others that it is told", do="name a run without a context")
        if kind.learns_from:
            teacher = f", {record.teacher.folder}" if record.teacher is not None else ""
            raise Problem(
                f"{folder} is a student that jumps from noise to images, and nothing can be told it on the way",
                do=f"name its teacher{teacher}",
            )
        self.device = torch.device("cuda" if uses_gpu(cpu) else "cpu")
        method = self.run.trained_method().to(self.device)
        assert isinstance(method, DenoisingMethod)
        self.method = method
        self.encoder = encoder_of(record.conditions, self.settings.text_encoder)
        require_able(record.method, method, SampleRequest(guidance=self.settings.guidance))
        untold_vectors(method, 1)  # refuses a run that was told one every time
        overlap, most = self.settings.overlap, min(self.window) - method.pixels_inside
        if overlap is not None and overlap > most:
            raise Problem(f"windows of {self.window[0]} x {self.window[1]} cannot overlap by {overlap} pixels",
                          do=f"choose 0 to {most}")  # fmt: skip
        self._told: set[str] = set()

    @property
    def window(self) -> tuple[int, int]:
        """Height and width of the images that the run was trained on."""
        return self.method.shape.height, self.method.shape.width

    def check(self, source: Picture, instruction: Instruction) -> None:
        """The image must be one of the run's kind, and large enough, and the run must know what is asked."""
        self.require_like(source)
        self.require_room(source, source.size)
        asked = self.asked_of(instruction)
        values = asked_values(self.run, asked, 1, 0)
        if self.encoder is not None:
            self.encoder(self.run.record.conditions.text_of(values[0]))  # refuses a text that is too long
        asked_for = repr(sorted(asked.items()))
        if asked_for not in self._told:
            self._told.add(asked_for)
            tell_of_outside(self.run, [{n: v for n, v in values[0].items() if n in asked}], strict=False)

    def require_like(self, source: Picture) -> None:
        """Refuse an image that is not of the run's kind.

        Raises:
            Problem: other channels, or another pixel type.
        """
        record = self.run.record
        channels = self.run.shape.channels - record.with_masks
        if source.channels != channels:
            raise Problem(
                f"{name_of(source)} has {source.channels} channels, and the run knows {channels}",
                do="give images like those that it was trained on, colour images by their luminance",
            )
        if source.pixels.dtype.name != record.intensity.dtype:
            raise Problem(
                f"{name_of(source)} is {source.pixels.dtype.name}, and the run knows {record.intensity.dtype}",
                do="give images of that pixel type, on the same grey scale",
            )
        here, there = source.spacing_um[0], record.images.spacing_um[0]
        if there is not None and math.isfinite(here) and abs(here / there - 1) > SAME_SCALE:
            said = f"Warning: pixels of {here:g} um, and the run was trained on pixels of {there:g} um"
            if said not in self._told:
                self._told.add(said)
                console().print(said, highlight=False)

    def require_room(self, source: Picture, size: tuple[int, int]) -> None:
        """Refuse what is smaller than the run's window.

        Raises:
            Problem: it is.
        """
        if size[0] < self.window[0] or size[1] < self.window[1]:
            raise Problem(
                f"{name_of(source)} is {size[0]} x {size[1]}, smaller than the {self.window[0]} x {self.window[1]} that"
                " the run looks through",
                do="give larger images, or a run that was trained on smaller crops",
            )

    def asked_of(self, instruction: Instruction) -> dict[str, Label]:
        """What is asked of the run's conditions, the caption among them.

        Raises:
            Problem: a caption, and the run knows none.
        """
        asked = dict(instruction.asked)
        if instruction.caption:
            if known_as(CAPTION, self.run.record.conditions.names) is None:
                raise Problem(
                    "a caption is given, and the run was trained without text",
                    do="leave it out, or train one that is conditioned on captions",
                )
            asked[CAPTION] = instruction.caption
        return asked

    def canvas(self, source: Picture, region: Hole, *, rim: tuple[int, int, int, int] = (0, 0, 0, 0)) -> Canvas:
        """The source as what is painted on.

        Args:
            source: the image.
            region: ``(height, width)`` with the rim, true where it is to be painted.
            rim: pixels that are added above, below, left and right.
        """
        width = ((0, 0), rim[:2], rim[2:])
        unit = self.run.record.intensity.to_unit(source.pixels)
        known = np.repeat(~region[None], len(unit), axis=0)
        unit = np.pad(unit, width, mode="edge")
        if self.run.record.with_masks:
            drawn = np.zeros(source.size, np.bool_) if source.mask is None else source.mask
            unit = np.concatenate([unit, np.pad(channel_of_mask(drawn), width, mode="edge")])
            known = np.concatenate([known, known[:1] & (source.mask is not None)])
        return Canvas(unit, known, region)

    def painted(
        self, canvases: Sequence[Canvas], instructions: Sequence[Instruction], *, seed: int, first: int,
        noise_level: float | None = None,
    ) -> tuple[list[NDArray[np.float32]], list[dict[str, Label]]]:  # fmt: skip
        """What the run paints in the regions, and the labels that say with what.

        Args:
            canvases: what is painted on.
            instructions: as many.
            seed: same seed, same painting.
            first: running number of the first.
            noise_level: where painting starts, with so much noise on what is there; by default from noise alone.

        Returns:
            ``(channels, height, width)`` each, of the canvas; and labels.
        """
        values = [
            asked_values(self.run, self.asked_of(wish), 1, seed, first=first + k)[0]
            for k, wish in enumerate(instructions)
        ]
        places = [place_around(canvas.region, self.window, self.method.pixels_inside) for canvas in canvases]
        found = [canvas.unit.copy() for canvas in canvases]
        for shape in dict.fromkeys((place.height, place.width) for place in places):
            here = [k for k, place in enumerate(places) if (place.height, place.width) == shape]
            cuts = [places[k].of(canvases[k], hidden_from_nearest=noise_level is None) for k in here]
            streams = Randomness([(seed, _PAINTING, first + k) for k in here], self.device)
            painted = self._paint(cuts, [values[k] for k in here], shape, streams, noise_level)
            for k, cut, unit in zip(here, cuts, painted, strict=True):
                places[k].put(self._mended(unit, *cut), found[k])
        record = self.run.record
        labels: dict[str, Label] = {"method": record.method, TRAINED_ON: record.images.fingerprint}
        if self.method.learnt_through:
            labels[TRAINED_THROUGH] = self.method.learnt_through
        return found, [labels | {ASKED + name: value for name, value in of_image.items()} for of_image in values]

    def edits(
        self, sources: Sequence[Picture], canvases: Sequence[Canvas], painted: Sequence[NDArray[np.float32]],
        labels: Sequence[Mapping[str, Label]], rim: tuple[int, int, int, int] = (0, 0, 0, 0),
    ) -> list[Edit]:  # fmt: skip
        """The sources with what was painted in their regions, and every other pixel as it was, to the bit."""
        found = []
        for source, canvas, unit, own in zip(sources, canvases, painted, labels, strict=True):
            masked, width = self.run.record.with_masks, (rim[:2], rim[2:])
            grey = self.run.record.intensity.to_grey(unit[:-1] if masked else unit)
            pixels = np.pad(source.pixels, ((0, 0), *width), mode="edge")
            pixels[:, canvas.region] = grey[:, canvas.region]
            mask = source.mask if source.size == canvas.region.shape else None
            if masked:
                drawn = mask_of_channel(unit[-1])
                before = drawn if source.mask is None else np.pad(source.mask, width, mode="edge")
                mask = np.where(canvas.region, drawn, before)
            origin = source.origin if source.size == canvas.region.shape else replace(source.origin, region=None)
            picture = replace(source, pixels=pixels, mask=mask, origin=origin, labels={**source.labels, **own})
            found.append(Edit(source, picture, canvas.region))
        return found

    def _mended(
        self, painted: NDArray[np.float32], unit: NDArray[np.float32], known: NDArray[np.bool_]
    ) -> NDArray[np.float32]:
        """What was painted ``(channels, height, width)``, less what the decoder gets wrong round about."""
        if not (self.method.lossy and self.settings.membrane):
            return painted
        images = len(painted) - self.run.record.with_masks  # a mask has no shades
        found = painted.copy()
        found[:images] += membrane(unit[:images] - painted[:images], known[0])
        mended: NDArray[np.float32] = np.clip(found, -1, 1)
        return mended

    def _paint(
        self, cuts: Sequence[tuple[NDArray[np.float32], NDArray[np.bool_]]], values: Sequence[Mapping[str, Label]],
        shape: tuple[int, int], streams: Randomness, noise_level: float | None,
    ) -> NDArray[np.float32]:  # fmt: skip
        settings, method = self.settings, self.method
        request = SampleRequest(
            guidance=settings.guidance,
            size=None if shape == self.window else shape,
            overlap=None if shape == self.window else settings.overlap,
            **told(values, self.run.record.conditions, self.encoder, self.device),
            image_vector=untold_vectors(method, len(values)),
        )
        unit = torch.from_numpy(np.stack([cut for cut, _ in cuts])).to(self.device)
        known = torch.from_numpy(np.stack([where for _, where in cuts])).to(self.device)
        sigmas = method.sampling_levels(settings.steps or method.settings.sample_steps)
        if noise_level is not None:
            level = sigmas.new_tensor([min(max(noise_level, float(sigmas[-1])), float(sigmas[0]))])
            sigmas = torch.cat([level, sigmas[sigmas < 0.98 * level]])
        with torch.no_grad():
            y = method.encode(unit, streams)
            where = known if method.pixels_inside == 1 else _known_inside(known, method.pixels_inside)
            denoise = method.denoiser(request)
            conditional = (
                told_known(denoise, y, where, settings.passes, settings.doubt) if bool(where.any()) else denoise
            )

            def normal() -> Tensor:
                return streams.normal(*y.shape[1:])

            x = (y if noise_level is not None else where * y) + float(sigmas[0]) * normal()
            x0 = filled(
                find_solver(settings.solver or method.settings.solver), conditional, x, sigmas, normal,
                restarts=settings.restarts, restart_from=settings.restart_from,
            )  # fmt: skip
            return method.decode(x0).float().cpu().numpy()


@dataclass(frozen=True)
class Place:
    """A rectangle of a canvas, which may reach beyond its lower and right border."""

    top: int
    left: int
    height: int
    width: int

    def of(self, canvas: Canvas, *, hidden_from_nearest: bool) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """What is there, and what of it is known; hidden pixels may be given the value of the nearest known one."""
        unit, known = canvas.unit[:, *self._inside()], canvas.known[:, *self._inside()]
        down, right = self.height - unit.shape[1], self.width - unit.shape[2]
        beyond = ((0, 0), (0, down), (0, right))
        unit, known = np.pad(unit, beyond, mode="edge"), np.pad(known, beyond)
        if not hidden_from_nearest:
            return unit, known
        filled_up = unit.copy()
        for channel, seen in zip(filled_up, known, strict=True):
            if seen.any():
                rows, columns = distance_transform_edt(~seen, return_distances=False, return_indices=True)
                channel[:] = channel[rows, columns]
        return filled_up, known

    def put(self, painted: NDArray[np.float32], unit: NDArray[np.float32]) -> None:
        """Put what was painted back into the whole, less what lies beyond its border."""
        place = unit[:, *self._inside()]
        place[:] = painted[:, : place.shape[1], : place.shape[2]]

    def _inside(self) -> tuple[slice, slice]:
        return slice(self.top, self.top + self.height), slice(self.left, self.left + self.width)


def place_around(region: Hole, window: tuple[int, int], unit: int) -> Place:
    """What a run has to look at to paint a region.

    Along each axis one window in the middle of which the region lies, if it leaves a quarter of the window on both
    sides; else the region and half a window on either side. All of it within the image, as far as that is made of whole
    units.

    Args:
        region: ``(height, width)``, true where is painted; an empty one has a place, too.
        window: height and width of the run's crop.
        unit: pixels to a place where noise is added; a multiple of it is looked at.
    """
    spans = []
    for axis, length in enumerate(window):
        seen = np.flatnonzero(region.any(axis=1 - axis))
        low, high = (int(seen[0]), int(seen[-1]) + 1) if len(seen) else (0, 1)
        size = region.shape[axis]
        span = length if high - low <= length - 2 * (length // 4) else high - low + 2 * (length // 2)
        if span >= size:
            spans.append((0, max(-(-size // unit) * unit, length)))
            continue
        span = -(-span // unit) * unit
        start = min(max((low + high - span) // 2, 0), max(size - span, 0))
        spans.append((start, span))
    (top, height), (left, width) = spans
    return Place(top, left, height, width)


def _paints(method: str) -> bool:
    kind = method_class(method)
    return issubclass(kind, DenoisingMethod) and not kind.learns_from and not kind.needs_context


def _known_inside(known: Tensor, factor: int) -> Tensor:
    """Known pixels ``(B, C, H, W)`` to known places of a latent, ``(B, 1, H / f, W / f)``: with all around them."""
    hidden = (~known).any(1, keepdim=True).float()
    return max_pool2d(max_pool2d(hidden, factor), 3, stride=1, padding=1) == 0
