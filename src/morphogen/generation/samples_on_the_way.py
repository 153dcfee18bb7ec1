"""A few images of a run while it is still trained, for eyes.

They are drawn from the weights that were saved last, always from the same seed, so that one sees the same images come
about. What they cost in time comes out of a budget in seconds; after a budget in images every weight is what it would
be without them. They are stored as they are looked at: 8 bit, side by side, on the grey scale of the run.
"""

import time
from pathlib import Path

import numpy as np
from PIL import Image

from morphogen.generation.generate import generate
from morphogen.images.intensity import IntensityMap
from morphogen.images.picture import Picture
from morphogen.problems import Problem
from morphogen.progress import aside, console
from morphogen.training.fit import StepReport
from morphogen.training.run import Run
from morphogen.whole_files import write_whole

FOLDER = "samples"
"""Folder of a run with one file a time that images were drawn, called by the images seen until then."""

COUNT = 4
_GAP = 2


class SamplesOnTheWay:
    """Draws images of a run whenever it has saved and some time is over; to be called after each step.

    Args:
        folder: of the run.
        every_seconds: least time between two drawings.
        text_encoder: see ``generate``.
        cpu: stay on the CPU even where there is a GPU.
    """

    def __init__(
        self, folder: Path, *, every_seconds: float, text_encoder: Path | None = None, cpu: bool = False
    ) -> None:
        self._folder, self._every, self._text_encoder, self._cpu = folder, every_seconds, text_encoder, cpu
        self._last, self._drawn_of = time.monotonic(), self._saved()

    def __call__(self, _: StepReport) -> None:
        """Draw if it is time."""
        if time.monotonic() - self._last >= self._every and self._saved() != self._drawn_of:
            self.draw()

    def draw(self) -> None:
        """Draw now, unless these weights were drawn from already. What cannot be drawn alone is said once."""
        saved = self._saved()
        if saved is None or saved == self._drawn_of or self._every == float("inf"):
            return
        try:
            run = Run(self._folder)
            with aside():
                pictures = generate(
                    run, count=COUNT, seed=0, batch_size=COUNT, text_encoder=self._text_encoder, cpu=self._cpu
                )
            (self._folder / FOLDER).mkdir(exist_ok=True)
            place = self._folder / FOLDER / f"{int(run.counters['images_seen']):010d}.png"
            strip = Image.fromarray(side_by_side(list(pictures), run.record.intensity))
            write_whole(place, lambda temporary: strip.save(temporary, format="PNG"))
        except Problem as problem:
            console().print(f"No samples on the way: {problem}", markup=False)
            self._every = float("inf")
        self._last, self._drawn_of = time.monotonic(), saved

    def _saved(self) -> int | None:
        file = self._folder / "weights.safetensors"
        return file.stat().st_mtime_ns if file.exists() else None


def side_by_side(pictures: list[Picture], scale: IntensityMap) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    """Pictures of one size in a row, the gaps between them transparent: ``(height, width, 2)``, or 4 of colours."""
    tiles = []
    for picture in pictures:
        channels = picture.pixels[:3] if picture.channels >= 3 else picture.pixels[:1]
        shown = np.rint((scale.to_unit(channels) + 1) * 127.5).astype(np.uint8)
        opaque = np.full_like(shown[:1], 255)
        tiles.append(np.pad(np.concatenate([shown, opaque]), ((0, 0), (0, 0), (0, _GAP))))
    row = np.concatenate(tiles, axis=2)[:, :, :-_GAP]
    return np.ascontiguousarray(np.moveaxis(row, 0, -1))
