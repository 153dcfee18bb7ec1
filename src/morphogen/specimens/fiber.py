"""Unidirectional fiber composites in microCT, seen in cross-section: bright fibers in a darker matrix."""

from morphogen.specimens.specimen import Specimen

SPECIMEN = Specimen(
    name="fiber",
    phase="fiber",
    phase_is="bright",
    fraction="fiber volume fraction",
    symmetries=frozenset({"flip_horizontal", "flip_vertical", "quarter_turn"}),
    descriptors=("phase_fraction", "two_point_correlation", "grey_levels"),
)
