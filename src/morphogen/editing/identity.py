"""Identity: nothing is done. A control: a score that rewards it rewards doing nothing."""

from collections.abc import Sequence

import numpy as np

from morphogen.editing.editor import PARTS, Edit, EditingMethod, EditorSettings, Instruction
from morphogen.images.picture import Picture


class Settings(EditorSettings):
    """There are none."""


class Editor(EditingMethod):
    """Takes every instruction, and follows none."""

    title = "identity (control)"
    takes = PARTS

    def edit(
        self, sources: Sequence[Picture], instructions: Sequence[Instruction], *, seed: int, first: int
    ) -> list[Edit]:
        """The sources, changed nowhere."""
        return [Edit(source, source, np.zeros(source.size, np.bool_)) for source in sources]
