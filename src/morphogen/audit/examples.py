"""What each defect looks like: one clean field, and the same field at every severity."""

from collections.abc import Sequence

from morphogen.audit.defect import FieldDefect, Material, damaged, defects_for
from morphogen.images.image_set import ImageSet
from morphogen.images.picture import Picture


def examples(
    fields: ImageSet, material: Material, defects: Sequence[str] | None = None, seed: int = 0
) -> dict[str, tuple[Picture, ...]]:
    """The field of each defect that shows it best: the one whose gravest damage changes most.

    Args:
        fields: a few clean fields.
        material: what they have in common.
        defects: file names of those wanted; all that suit the kind by default. Defects of whole sets have no example.
        seed: of all randomness.

    Returns:
        By the name of the defect: the clean field, then the damaged ones, gravest last.
    """
    sections = [material.section(picture) for picture in fields]
    found = {}
    for defect in defects_for(material.specimen, defects):
        if not isinstance(defect, FieldDefect):
            continue
        rows = [damaged(defect, severity, sections, material, seed) for severity in (0.0, *defect.severities)]
        changes = [abs(grave.grey - clean.grey).sum() for clean, grave in zip(rows[0], rows[-1], strict=True)]
        best = changes.index(max(changes))
        found[defect.name] = tuple(row[best] for row in rows)
    return found
