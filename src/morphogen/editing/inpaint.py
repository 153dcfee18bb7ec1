"""Inpainting with a diffusion run: a hole is filled with what fits its surroundings, by the run's own lights.

The run was not trained for it: its denoiser is told the known pixels while it is followed from noise to an image
(``mathematics.known_region``; Lugmayr et al. 2022, arXiv:2201.09865, is the best known of its kind). What is filled in
is a draw from what the run holds possible there, another one for another seed. Pixels outside of the mask come back to
the bit.
"""

from collections.abc import Sequence

from morphogen.editing.diffusion_run import DiffusionRunEditor, PaintSettings
from morphogen.editing.editor import Edit, Instruction
from morphogen.images.picture import Picture


class Settings(PaintSettings):
    """Settings of inpainting."""


class Editor(DiffusionRunEditor):
    """Fills the mask."""

    title = "inpainting by a diffusion run"
    takes = frozenset({"mask", "caption", "asked"})
    needs = frozenset({"mask"})

    def edit(
        self, sources: Sequence[Picture], instructions: Sequence[Instruction], *, seed: int, first: int
    ) -> list[Edit]:
        """The sources with other pixels in their masks."""
        canvases = []
        for source, instruction in zip(sources, instructions, strict=True):
            assert instruction.mask is not None
            canvases.append(self.canvas(source, instruction.mask))
        painted, labels = self.painted(canvases, instructions, seed=seed, first=first)
        return self.edits(sources, canvases, painted, labels)
